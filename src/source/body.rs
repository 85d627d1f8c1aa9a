//! What a message says of its own body.

use std::borrow::Cow;

use crate::pipeline::Body;
use crate::stomp::Message;

/// The body, with the headers that say how it is written.
pub fn body_of(message: &Message) -> Body<'_> {
    let headers = ["content-type", "content-encoding"];
    let [content_type, content_encoding] = message.headers.pick(headers).map(text);
    Body {
        bytes: &message.body,
        content_type,
        content_encoding,
    }
}

fn text(value: Option<Cow<'_, [u8]>>) -> Cow<'_, str> {
    match value.unwrap_or_default() {
        Cow::Borrowed(value) => String::from_utf8_lossy(value),
        Cow::Owned(value) => Cow::Owned(String::from_utf8_lossy(&value).into_owned()),
    }
}
