//! From a plan to what of it the page and the API show.

use std::collections::HashMap;
use std::sync::Arc;

use jiff::Timestamp;

use crate::config::Plan;
use crate::journal::WhenFull;
use crate::ops::{Setup, TopicSetup};
use crate::pipeline::Mapping;

/// The host's name, as Linux has it.
fn host() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    name.trim().to_owned()
}

/// What of it is shown.
pub(super) fn setup(plan: &Plan) -> Setup {
    let mut tables: HashMap<&str, &Arc<str>> = HashMap::new();
    for (table, topics) in &plan.families {
        tables.extend(topics.iter().map(|topic| (&**topic, table)));
    }
    let topics = plan.source.topics.iter().map(|topic| TopicSetup {
        name: Arc::clone(&topic.name),
        destination: topic.destination.to_string(),
        table: tables.get(&*topic.name).copied().cloned(),
        silence: plan.source.silence_of(&topic.name),
    });
    let history = plan.sinks.iter().find_map(|(_, settings)| settings.look());
    let zone = history.as_ref().map(|history| history.zone().clone());
    Setup {
        host: host(),
        server: plan
            .source
            .urls
            .first()
            .map_or_else(String::new, ToString::to_string),
        heartbeat: plan.source.heartbeat,
        topics: topics.collect(),
        sinks: plan
            .sinks
            .iter()
            .map(|(delivery, settings)| (Arc::clone(&delivery.name), settings.type_name()))
            .collect(),
        history,
        zone: zone.unwrap_or_else(|| Mapping::default().zone),
        pauses_when_full: plan.journal.when_full == WhenFull::Pause,
        applied_at: Timestamp::now(),
    }
}
