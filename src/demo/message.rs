//! A message as it is published, by any sender.

use bytes::Bytes;

/// A published message: the body and the headers that come with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Exactly as it is subscribed to; there are no patterns.
    pub destination: String,
    /// Further headers of MESSAGE, without those that belong to one delivery (`subscription`,
    /// `message-id`, `ack`) and without `content-length`.
    pub headers: Vec<(String, String)>,
    /// Any bytes.
    pub body: Bytes,
}

impl Message {
    /// A body of JSON, with its `content-type`.
    pub fn json(destination: impl Into<String>, body: impl Into<Bytes>) -> Message {
        let headers = vec![("content-type".to_owned(), "application/json".to_owned())];
        Message {
            destination: destination.into(),
            headers,
            body: body.into(),
        }
    }
}
