//! A PUBLISH of an event: its topic and its body, and whether anybody may send it.

use bytes::Bytes;

use super::incoming::Properties;
use super::outgoing::{self, REMAINING_BYTES_MAX};
use super::settings::Settings;
use super::terms::{Terms, Version};
use super::topic;
use crate::model::Event;
use crate::sinks::By;

/// A PUBLISH that is ready to go.
#[derive(Debug)]
pub(in crate::sinks) struct Publish {
    pub(in crate::sinks) topic: String,
    pub(in crate::sinks) body: Bytes,
}

/// Why an event is not published.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Unfit {
    pub(super) by: By,
    pub(super) error: String,
}

impl Publish {
    /// The PUBLISH of an event.
    ///
    /// # Errors
    /// Why our own rules refuse the event, or the broker's.
    pub(super) fn new(settings: &Settings, terms: &Terms, event: &Event) -> Result<Publish, Unfit> {
        let publish = Publish::rendered(settings, event)?;
        let bytes = publish.bytes(settings, terms);
        let our_max = settings.packet_bytes_max.min(REMAINING_BYTES_MAX);
        if bytes > our_max {
            return Err(Unfit::ours(format!(
                "the packet has {bytes} bytes, more than packet_bytes_max = {our_max}"
            )));
        }
        if bytes > terms.packet_bytes_max {
            let error = format!(
                "the packet has {bytes} bytes; the broker accepts at most {}",
                terms.packet_bytes_max
            );
            return Err(Unfit {
                by: By::Them,
                error,
            });
        }
        Ok(publish)
    }

    /// What a broker that sets no limits would get.
    ///
    /// # Errors
    /// Why our own rules refuse the event.
    pub(in crate::sinks) fn preview(settings: &Settings, event: &Event) -> Result<Publish, String> {
        let terms = Terms::new(Version::V311, &Properties::default(), 1);
        Publish::new(settings, &terms, event).map_err(|unfit| unfit.error)
    }

    /// The same, whatever its size.
    pub(super) fn rendered(settings: &Settings, event: &Event) -> Result<Publish, Unfit> {
        let topic = settings
            .topic
            .render_with(event, topic::encode_level)
            .map_err(Unfit::ours)?;
        topic::check_topic(&topic).map_err(Unfit::ours)?;
        let body = match &settings.body {
            Some(template) => template.render(event).map_err(Unfit::ours)?.into_bytes(),
            None => event.to_json(),
        };
        Ok(Publish {
            topic,
            body: body.into(),
        })
    }

    /// Its size on the wire, at most.
    fn bytes(&self, settings: &Settings, terms: &Terms) -> usize {
        let packet = outgoing::Publish {
            version: terms.version,
            topic: &self.topic,
            alias: (terms.aliases_max > 0).then_some(1),
            qos: settings.qos,
            retain: settings.retain,
            packet_id: 1,
            body: self.body.clone(),
        };
        packet.size()
    }
}

impl Unfit {
    fn ours(error: String) -> Unfit {
        Unfit { by: By::Us, error }
    }
}
