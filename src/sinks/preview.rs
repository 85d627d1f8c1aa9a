//! What a sink would send for one event, without sending it.

use super::mqtt::{self, Qos};
use super::settings::Settings;
use super::webhook::RequestPreview;
use crate::model::{Event, EventKind};

/// What would be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Preview {
    /// A row with the event's columns.
    Row {
        /// The table's name.
        table: &'static str,
    },
    /// A PUBLISH.
    Publish {
        /// Its topic.
        topic: String,
        /// Its payload.
        body: Vec<u8>,
        /// 0 or 1.
        qos: u8,
        /// Whether the broker keeps it.
        retain: bool,
    },
    /// An HTTP request.
    Request(RequestPreview),
}

impl Preview {
    /// That of an event at a sink with these settings.
    ///
    /// # Errors
    /// Why the event would become a dead letter.
    pub fn of(settings: &Settings, event: &Event) -> Result<Preview, String> {
        match settings {
            Settings::Sqlite(_) | Settings::Postgres(_) => Ok(Preview::Row {
                table: match event.kind() {
                    EventKind::Status => "status_event",
                    EventKind::Coverage => "coverage",
                },
            }),
            Settings::Mqtt(settings) => {
                let publish = mqtt::Publish::preview(settings, event)?;
                Ok(Preview::Publish {
                    topic: publish.topic,
                    body: publish.body.to_vec(),
                    qos: match settings.qos {
                        Qos::AtMostOnce => 0,
                        Qos::AtLeastOnce => 1,
                    },
                    retain: settings.retain,
                })
            }
            Settings::Webhook(settings) => {
                RequestPreview::of(settings, event).map(Preview::Request)
            }
        }
    }
}
