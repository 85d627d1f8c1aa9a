//! What SUBSCRIBE says of a topic: its destination and its headers.

use std::collections::BTreeMap;

use crate::config::context::Context;
use crate::config::path::Path;
use crate::config::secret::Within;
use crate::config::template::{Draft, Scope};
use crate::secret::{Lifetime, PLACEHOLDER, Secret, is_secret_name, protect_header};

/// Headers of SUBSCRIBE that are ours to set (STOMP 1.2, section SUBSCRIBE).
const SUBSCRIBE_HEADERS: [&str; 4] = ["id", "destination", "ack", "receipt"];

/// Headers of SUBSCRIBE that bound what a server sends before our ACKs: RabbitMQ's, ActiveMQ's and
/// Artemis's.
const WINDOW_HEADERS: [&str; 3] = [
    "prefetch-count",
    "activemq.prefetchSize",
    "consumer-window-size",
];

/// Headers of SUBSCRIBE that name a durable subscription, to ActiveMQ and to Artemis. Both know it
/// by this name and the `client-id` of CONNECT together. Without the second, ActiveMQ makes up one
/// for each connection: what came in between is lost, and nobody ends the subscription.
pub(super) const DURABLE_NAMES: [&str; 2] =
    ["activemq.subscriptionName", "durable-subscription-name"];

impl Context<'_> {
    pub(super) fn destination(
        &mut self,
        path: &Path,
        table: &str,
        written: Option<String>,
        scope: &Scope<'_>,
    ) -> Option<Draft> {
        let Some(written) = written.filter(|written| !written.trim().is_empty()) else {
            let help = "such as destination = \"/topic/state/1\"";
            self.report
                .key_error(path, format!("topic `{table}` has no destination"), help);
            return None;
        };
        if lacks_slash(&written) {
            let message = format!(
                "`{written}` has no slash at its beginning: servers take it for the name of a \
                 queue, or send nothing; did you mean `/{written}`?"
            );
            self.report.warning(path, message);
        }
        self.draft(path, &written, Within::Text, scope)
    }

    pub(super) fn subscribe_headers(
        &mut self,
        path: &Path,
        written: BTreeMap<String, Secret>,
        scope: &Scope<'_>,
    ) -> Vec<(String, Draft)> {
        let mut headers = Vec::new();
        for (header, value) in written {
            let path = path.join(&header);
            if SUBSCRIBE_HEADERS.contains(&header.as_str()) {
                self.report.key_error(
                    &path,
                    format!("the header `{header}` is set by the daemon"),
                    "remove it",
                );
            }
            if DURABLE_NAMES.contains(&header.as_str()) && !self.has_client_id {
                let help = "add client-id = \"…\" to source.headers, one that no other client has";
                self.report
                    .key_error(&path, "a durable subscription without a client-id", help);
            }
            if let Some((message, help)) = wrong_value(&header, value.expose_secret()) {
                self.report.key_error(&path, message, help);
            }
            if let Some(value) = self.draft(&path, value.expose_secret(), Within::Text, scope) {
                // RabbitMQ's `x-dead-letter-routing-key` is none.
                if is_secret_name(&header) && !header.contains("routing") {
                    let text = value.text(&PLACEHOLDER.to_string());
                    protect_header(&header, text.expose_secret(), Lifetime::Configured);
                }
                headers.push((header, value));
            }
        }
        headers
    }
}

/// What is wrong with the value of a header that the daemon itself goes by, and what to do.
fn wrong_value(header: &str, value: &str) -> Option<(String, &'static str)> {
    if DURABLE_NAMES.contains(&header) && value.trim().is_empty() {
        return Some((
            format!("the header `{header}` is empty"),
            "give the durable subscription a name, or remove the header",
        ));
    }
    let number = value.trim().parse().unwrap_or(0);
    // A template may give any number.
    (WINDOW_HEADERS.contains(&header) && !value.contains("{{") && number < 1_u32).then(|| {
        (
            format!("the header `{header}` is `{value}`, and not a number from 1 on"),
            "it bounds what the server sends before our ACKs; remove it for the default",
        )
    })
}

/// Whether a destination such as `queue/x` was meant to begin with a slash. A name without any is a
/// queue of RabbitMQ and of ActiveMQ.
fn lacks_slash(destination: &str) -> bool {
    let first = destination.split('/').next().unwrap_or_default();
    let is_kind = [
        "queue",
        "topic",
        "exchange",
        "amq",
        "temp-queue",
        "user",
        "app",
    ];
    first.len() < destination.len() && is_kind.contains(&first)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_is_a_number_and_a_durable_name_is_not_empty() {
        for (header, value, is_wrong) in [
            ("prefetch-count", "1000", false),
            ("prefetch-count", "{{ n }}", false),
            ("prefetch-count", "0", true),
            ("prefetch-count", "abc", true),
            ("consumer-window-size", "-1", true),
            ("activemq.subscriptionName", " ", true),
            ("activemq.subscriptionName", "a", false),
            ("selector", "", false),
        ] {
            let wrong = wrong_value(header, value);
            assert_eq!(wrong.is_some(), is_wrong, "{header}: {value}: {wrong:?}");
        }
    }
}
