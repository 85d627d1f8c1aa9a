//! What a start makes before anything runs. All that a configuration or the machine may refuse is
//! here, so that a start that fails leaves the journal as it was.

use std::fmt;
use std::sync::Arc;

use anyhow::Context;
use tokio::sync::Notify;
use tracing::warn;

use crate::app::delivery_runtime::DeliveryRuntime;
use crate::app::running_sinks::BuiltSink;
use crate::config::Plan;
use crate::journal::{self, Writer};
use crate::ops::Listener;
use crate::paced::Interval;

/// The reason why a start has failed stands in the configuration: another start is of no use before
/// somebody has changed it.
#[derive(Debug)]
pub(super) struct BadConfiguration;

impl fmt::Display for BadConfiguration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the configuration cannot be used")
    }
}

/// Made, and not running yet.
pub(super) struct Begun {
    pub(super) listener: Listener,
    pub(super) sinks: Vec<BuiltSink>,
    pub(super) commit_interval: Interval,
    pub(super) delivery_runtime: DeliveryRuntime,
}

impl Begun {
    /// # Errors
    /// What cannot be made or opened, and what to do about it.
    pub(super) async fn new(plan: &Plan, troubles: &Arc<Notify>) -> anyhow::Result<Begun> {
        let commit_interval = Interval::new(plan.commit_interval);
        let sinks = build(plan, &commit_interval, troubles)?;
        let listener = Listener::bind(&plan.http).await?;
        Ok(Begun {
            listener,
            sinks,
            commit_interval,
            delivery_runtime: DeliveryRuntime::new()?,
        })
    }
}

/// Makes every part that a configuration describes, as a start does, and connects to nothing.
///
/// # Errors
/// A part that cannot be made from its settings, of which [`is_bad_configuration`] is true.
pub fn try_build(plan: &Plan) -> anyhow::Result<()> {
    build(plan, &Interval::new(plan.commit_interval), &Arc::default()).map(drop)
}

fn build(
    plan: &Plan,
    commit_interval: &Interval,
    troubles: &Arc<Notify>,
) -> anyhow::Result<Vec<BuiltSink>> {
    let built = || -> anyhow::Result<Vec<BuiltSink>> {
        crate::tls::client_config(&plan.source.tls).context("source.tls")?;
        let sinks = plan.sinks.iter();
        sinks
            .map(|(delivery, settings)| {
                BuiltSink::new(delivery, settings, commit_interval, troubles)
            })
            .collect()
    };
    built().context(BadConfiguration)
}

/// Whether an end has its reason in the configuration, which may also lead to a file that is none of
/// ours, or none of this version's: another start is of no use.
pub fn is_bad_configuration(error: &anyhow::Error) -> bool {
    let of_journal = |cause: &(dyn std::error::Error + 'static)| {
        let journal: Option<&journal::Error> = cause.downcast_ref();
        journal.is_some_and(journal::Error::is_of_no_use)
    };
    error.is::<BadConfiguration>() || error.chain().any(of_journal)
}

/// Closes the journal of a start that has failed.
pub(super) async fn leave(writer: Writer) {
    if let Err(error) = writer.leave().await {
        warn!(%error, "journal not closed cleanly; nothing is lost");
    }
}
