//! One topic of the configuration: its destination, and how its messages are acknowledged.

use std::sync::Arc;

use super::signin::{Credentials, SigninError, SigninTemplate};
use crate::stomp::{AckMode, Subscribe};

/// One subscription, as it is configured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Topic {
    /// The name in the configuration, and the subscription id.
    pub name: Arc<str>,
    /// As the server knows it.
    pub destination: SigninTemplate,
    /// How messages are acknowledged.
    pub ack: AckMode,
    /// Further headers of SUBSCRIBE.
    pub headers: Vec<(String, SigninTemplate)>,
}

impl Topic {
    /// The subscription on one connection.
    ///
    /// # Errors
    /// A placeholder that the credentials has nothing for.
    pub(super) fn subscribe(&self, credentials: &Credentials) -> Result<Subscribe, SigninError> {
        let plain = |template: &SigninTemplate| -> Result<String, SigninError> {
            Ok(template.render(credentials)?.expose_secret().to_owned())
        };
        let headers = self
            .headers
            .iter()
            .map(|(name, value)| Ok((name.clone(), plain(value)?)));
        Ok(Subscribe {
            id: self.name.clone(),
            destination: plain(&self.destination)?,
            ack: self.ack,
            headers: headers.collect::<Result<_, SigninError>>()?,
        })
    }

    /// The value of a further header, as it may be shown; the first, as the server reads it.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }
}

/// The names of those topics of which it is true.
pub(super) fn names_where(topics: &[Topic], is: impl Fn(&Topic) -> bool) -> Vec<Arc<str>> {
    topics
        .iter()
        .filter(|topic| is(topic))
        .map(|topic| Arc::clone(&topic.name))
        .collect()
}

#[cfg(test)]
impl Topic {
    /// A topic for a test, without a sign-in.
    pub(super) fn sample(
        name: &str,
        destination: &str,
        ack: AckMode,
        headers: &[(&str, &str)],
    ) -> Topic {
        let headers = headers
            .iter()
            .map(|(key, value)| (key.to_string(), (*value).into()));
        Topic {
            name: name.into(),
            destination: destination.into(),
            ack,
            headers: headers.collect(),
        }
    }
}
