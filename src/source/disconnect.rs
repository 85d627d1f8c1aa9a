//! Why a connected life ended, by what the source does about it.

use std::time::Duration;

use super::broker;
use super::signin::{Credentials, SigninError};
use super::topic::Topic;
use crate::duration::InWords;
use crate::journal;
use crate::stomp::{Session, SessionError};
use crate::transport::{DialError, TransportError};

/// Why a connection ended.
#[derive(Debug, thiserror::Error)]
pub(super) enum DisconnectReason {
    /// We said goodbye.
    #[error("stopped")]
    Stopped,
    /// We said goodbye, or had not said anything yet, since the configuration has changed.
    #[error("the configuration has changed")]
    Reloaded,
    /// The server does not want us as we are configured: retried slowly.
    #[error("{0}")]
    Refused(String),
    /// Anything that time may mend.
    #[error("{0}")]
    Lost(String),
    /// Nothing has gone wrong that could be seen.
    #[error(
        "no byte for {} from a server that sends no heart-beats: reconnecting to test the link",
        InWords(*.0)
    )]
    Quiet(Duration),
    /// The journal has ended: so does the process.
    #[error(transparent)]
    Journal(#[from] journal::Error),
}

impl From<DialError> for DisconnectReason {
    fn from(error: DialError) -> DisconnectReason {
        match error {
            DialError::Http {
                status: 401 | 403, ..
            }
            | DialError::Gateway { .. }
            | DialError::Address { .. }
            | DialError::TlsSettings(_) => DisconnectReason::Refused(error.to_string()),
            error if error.wants_sign_in() => DisconnectReason::Refused(error.to_string()),
            _ => DisconnectReason::Lost(error.to_string()),
        }
    }
}

impl From<SigninError> for DisconnectReason {
    fn from(error: SigninError) -> DisconnectReason {
        let text = error.to_string();
        match error {
            SigninError::Refused(_) => DisconnectReason::Refused(text),
            SigninError::Trouble(_) => DisconnectReason::Lost(text),
            SigninError::Dial(error) => match DisconnectReason::from(error) {
                DisconnectReason::Refused(_) => DisconnectReason::Refused(text),
                _ => DisconnectReason::Lost(text),
            },
        }
    }
}

impl DisconnectReason {
    /// Without what a server has repeated of the sign-in's values.
    pub(super) fn redacted(self, credentials: &Credentials) -> DisconnectReason {
        match self {
            DisconnectReason::Refused(text) => DisconnectReason::Refused(credentials.redact(&text)),
            DisconnectReason::Lost(text) => DisconnectReason::Lost(credentials.redact(&text)),
            other => other,
        }
    }
}

impl From<TransportError> for DisconnectReason {
    fn from(error: TransportError) -> DisconnectReason {
        DisconnectReason::Lost(error.to_string())
    }
}

/// What the end of a session means. Many servers do not name the frame that caused an ERROR. An
/// ERROR that comes before all topics are subscribed counts as the refusal of one of them.
pub(super) fn by_session(error: &SessionError, topics: &[Topic]) -> DisconnectReason {
    match error {
        SessionError::Refused(said) if broker::mends_itself(said) => {
            DisconnectReason::Lost(error.to_string())
        }
        SessionError::Refused(_) | SessionError::SubscribeRefused { .. } => {
            DisconnectReason::Refused(error.to_string())
        }
        SessionError::Server(said) if !said.unconfirmed.is_empty() => {
            let named = |topic: &&Topic| said.unconfirmed.contains(&topic.name);
            let destinations: Vec<&str> = topics
                .iter()
                .filter(named)
                .map(|topic| topic.destination.as_str())
                .collect();
            let destinations = destinations.join(" or ");
            DisconnectReason::Refused(format!(
                "subscribe to {destinations} refused: {said}; check that it exists and that this login may read it"
            ))
        }
        _ => DisconnectReason::Lost(error.to_string()),
    }
}

/// What the end of the socket means is the session's to say; the transport may know the server's
/// own words.
pub(super) fn by_close(session: &mut Session, error: &TransportError) -> DisconnectReason {
    match session.closed() {
        Err(why) => DisconnectReason::Lost(format!("{why}{} ({error})", broker::advice(&why))),
        Ok(()) => DisconnectReason::Lost(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gateway_that_wants_a_sign_in_refuses() {
        let error = DialError::Gateway {
            url: "http://h/ws/info".to_owned(),
            words: "code 401".to_owned(),
        };
        assert!(matches!(
            DisconnectReason::from(error),
            DisconnectReason::Refused(_)
        ));
    }
}
