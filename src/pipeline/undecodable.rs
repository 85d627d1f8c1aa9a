//! Why a body, or one status in it, cannot be decoded, and what is to be done about it.

use serde_json::error::Category;

use super::scalar::excerpt;

/// The expected value and the found one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct Undecodable {
    /// A text for the user.
    pub reason: String,
    /// What is to be done about it.
    pub remedy: Remedy,
}

/// What makes an undecodable body decodable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Remedy {
    /// The topic describes its messages otherwise than they are.
    Topic,
    /// `source.max_body` is too small for what comes out of the body.
    Limit,
    /// `source.max_body` is too small for the body, whose end was not kept.
    Resend,
    /// The body is broken, or compressed by what nobody here can undo.
    Sender,
}

impl Undecodable {
    /// One that the topic's options may mend.
    pub fn by_topic(reason: String) -> Undecodable {
        Undecodable {
            reason,
            remedy: Remedy::Topic,
        }
    }

    /// One that no option mends.
    pub(super) fn by_sender(reason: String) -> Undecodable {
        Undecodable::with(Remedy::Sender, reason)
    }

    /// One that something else mends.
    pub fn with(remedy: Remedy, reason: String) -> Undecodable {
        Undecodable { reason, remedy }
    }
}

/// A text that is no JSON.
pub(super) fn not_json(error: &serde_json::Error, json: &str) -> Undecodable {
    let (line, column, found) = (error.line(), error.column(), excerpt(json));
    Undecodable::by_topic(match error.classify() {
        Category::Syntax => {
            format!("expected JSON, which is broken at line {line} column {column}; found {found}")
        }
        Category::Eof => {
            format!("expected JSON, which is cut off at line {line} column {column}; found {found}")
        }
        // Our own words.
        Category::Data | Category::Io => format!("expected JSON: {error}; found {found}"),
    })
}

impl Remedy {
    /// What a person does.
    pub fn advice(self) -> &'static str {
        match self {
            Remedy::Topic => {
                "correct the topic's `fields`, `items` or `encoding`, then run \
                 `stomp-bridge dlq redrive --undecodable --all`"
            }
            Remedy::Limit => {
                "raise source.max_body, then run `stomp-bridge dlq redrive --undecodable --all`; \
                 or have smaller messages sent"
            }
            Remedy::Resend => {
                "only its beginning was kept: raise source.max_body and have it sent again, or have \
                 smaller messages sent; then run `stomp-bridge dlq drop`"
            }
            Remedy::Sender => {
                "no option of the topic mends it: have its sender write it whole, uncompressed or by \
                 gzip or deflate; then run `stomp-bridge dlq drop`"
            }
        }
    }
}
