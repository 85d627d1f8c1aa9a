//! Why a connected life ended, by what the source does about it.

use std::time::Duration;

use super::broker;
use super::signin::{Credentials, SigninError};
use super::status::Refuser;
use crate::duration::InWords;
use crate::journal;
use crate::stomp::SessionError;
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
    /// The sign-in does not want us: retried as slowly.
    #[error("{0}")]
    SignInRefused(String),
    /// The server does not want one of our topics: the next connection leaves it out.
    #[error("{0}")]
    TopicRefused(String),
    /// Anything that time may mend.
    #[error("{0}")]
    Lost(String),
    /// The server has said when to come again.
    #[error("{text}")]
    Busy {
        /// Its words.
        text: String,
        /// Not before this time has passed.
        after: Duration,
    },
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
            | DialError::Address { .. }
            | DialError::TlsSettings(_) => DisconnectReason::Refused(error.to_string()),
            error if error.wants_sign_in() => DisconnectReason::Refused(error.to_string()),
            DialError::Http {
                retry_after: Some(after),
                ..
            } => DisconnectReason::Busy {
                text: error.to_string(),
                after,
            },
            _ => DisconnectReason::Lost(error.to_string()),
        }
    }
}

impl From<SigninError> for DisconnectReason {
    fn from(error: SigninError) -> DisconnectReason {
        let text = error.to_string();
        match error {
            SigninError::Refused(_) | SigninError::RefusedUnasked(_) => {
                DisconnectReason::SignInRefused(text)
            }
            SigninError::Trouble(_) => DisconnectReason::Lost(text),
            SigninError::Busy { after, .. } => DisconnectReason::Busy { text, after },
            SigninError::Dial(error) => match DisconnectReason::from(error) {
                DisconnectReason::Refused(_) => DisconnectReason::SignInRefused(text),
                DisconnectReason::Busy { after, .. } => DisconnectReason::Busy { text, after },
                _ => DisconnectReason::Lost(text),
            },
        }
    }
}

impl DisconnectReason {
    /// Who does not want us as we are configured, where that is why.
    pub(super) fn refuser(&self) -> Option<Refuser> {
        match self {
            DisconnectReason::Refused(_) => Some(Refuser::Server),
            DisconnectReason::SignInRefused(_) => Some(Refuser::SignIn),
            _ => None,
        }
    }

    /// Without what a server has repeated of the sign-in's values.
    pub(super) fn redacted(self, credentials: &Credentials) -> DisconnectReason {
        match self {
            DisconnectReason::Refused(text) => DisconnectReason::Refused(credentials.redact(&text)),
            DisconnectReason::SignInRefused(text) => {
                DisconnectReason::SignInRefused(credentials.redact(&text))
            }
            DisconnectReason::TopicRefused(text) => {
                DisconnectReason::TopicRefused(credentials.redact(&text))
            }
            DisconnectReason::Lost(text) => DisconnectReason::Lost(credentials.redact(&text)),
            DisconnectReason::Busy { text, after } => DisconnectReason::Busy {
                text: credentials.redact(&text),
                after,
            },
            other => other,
        }
    }
}

impl From<TransportError> for DisconnectReason {
    fn from(error: TransportError) -> DisconnectReason {
        DisconnectReason::Lost(error.to_string())
    }
}

/// Whether the server has answered CONNECTED before, to the same settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Acceptance {
    /// It has: our credentials are good.
    Known,
    /// Nobody knows.
    Unknown,
}

/// What the end of a session means where it is about no topic.
pub(super) fn by_session(error: &SessionError) -> DisconnectReason {
    match error {
        SessionError::Refused(said) if !broker::mends_itself(said) => {
            DisconnectReason::Refused(error.to_string())
        }
        // The advice to look at the credentials is none.
        SessionError::Refused(said) => {
            DisconnectReason::Lost(format!("the server is not ready for CONNECT: {said}"))
        }
        _ => DisconnectReason::Lost(format!("{error}{}", broker::advice(error))),
    }
}

/// What the end of the socket means is the session's to say; the transport may know the server's
/// own words.
pub(super) fn by_close(
    closed: Result<(), SessionError>,
    error: &TransportError,
    acceptance: Acceptance,
) -> DisconnectReason {
    DisconnectReason::Lost(match closed {
        // A server that stops or starts closes so, too, and says nothing of a login.
        Err(SessionError::ClosedBeforeConnected)
            if acceptance == Acceptance::Known || error.is_going_away() =>
        {
            format!("no CONNECTED, as from a server that restarts: {error}")
        }
        // Between frames: the transport's words are all that there is to say.
        Err(SessionError::Closed {
            unfinished_bytes: 0,
        })
        | Ok(()) => error.to_string(),
        Err(why) => format!("{why}{} ({error})", broker::advice(&why)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_close_is_told_once_and_a_cut_frame_with_it() {
        let check = |unfinished_bytes, expected: &str| {
            let closed = Err(SessionError::Closed { unfinished_bytes });
            let error = TransportError::Closed {
                code: Some(1008),
                reason: "token expired".to_owned(),
            };
            let ended = by_close(closed, &error, Acceptance::Known);
            assert_eq!(ended.to_string(), expected);
        };
        let said =
            "the server closed the connection with code 1008 (policy violation): token expired";
        check(0, said);
        let cut = format!("the server closed the connection, 7 bytes into a frame ({said})");
        check(7, &cut);
    }

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
