//! Why a connected life ended, by what the source does about it.

use std::time::Duration;

use super::{Pass, SigninError, Topic};
use crate::journal;
use crate::stomp::{Session, SessionError};
use crate::transport::{DialError, TransportError};

/// See the module.
#[derive(Debug, thiserror::Error)]
pub(super) enum Ended {
    /// We said goodbye.
    #[error("stopped")]
    Stopped,
    /// We said goodbye, or had not said anything yet, since there are other orders now.
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
        "no byte for {0:?} from a server that sends no heart-beats: connecting anew, to be sure of the link"
    )]
    Quiet(Duration),
    /// The journal has ended: so does the process.
    #[error(transparent)]
    Journal(#[from] journal::Error),
}

impl From<DialError> for Ended {
    fn from(error: DialError) -> Ended {
        match error {
            DialError::Http {
                status: 401 | 403, ..
            }
            | DialError::Address { .. }
            | DialError::TlsSettings(_) => Ended::Refused(error.to_string()),
            _ => Ended::Lost(error.to_string()),
        }
    }
}

impl From<SigninError> for Ended {
    fn from(error: SigninError) -> Ended {
        let text = error.to_string();
        match error {
            SigninError::Refused(_) => Ended::Refused(text),
            SigninError::Trouble(_) => Ended::Lost(text),
            SigninError::Dial(error) => match Ended::from(error) {
                Ended::Refused(_) => Ended::Refused(text),
                _ => Ended::Lost(text),
            },
        }
    }
}

impl Ended {
    /// Without what a server has repeated of the sign-in's values.
    pub(super) fn hushed(self, pass: &Pass) -> Ended {
        match self {
            Ended::Refused(text) => Ended::Refused(pass.hush(&text)),
            Ended::Lost(text) => Ended::Lost(pass.hush(&text)),
            other => other,
        }
    }
}

impl From<TransportError> for Ended {
    fn from(error: TransportError) -> Ended {
        Ended::Lost(error.to_string())
    }
}

/// ActiveMQ refuses a `client-id` while it has not noticed the end of the connection before: that
/// mends itself, with our heart-beats within seconds.
const CLIENT_ID_IN_USE: &str = "already connected from";

/// What the end of a session means. Many servers do not say what an ERROR is about; one that comes
/// before every topic stands is taken for the refusal of one of those.
pub(super) fn by_session(error: &SessionError, topics: &[Topic]) -> Ended {
    match error {
        SessionError::Refused(said) if said.message.contains(CLIENT_ID_IN_USE) => {
            Ended::Lost(error.to_string())
        }
        SessionError::Refused(_) | SessionError::SubscribeRefused { .. } => {
            Ended::Refused(error.to_string())
        }
        SessionError::Server(said) if !said.unconfirmed.is_empty() => {
            let named = |topic: &&Topic| said.unconfirmed.contains(&topic.name);
            let destinations: Vec<&str> = topics
                .iter()
                .filter(named)
                .map(|topic| topic.destination.as_str())
                .collect();
            let destinations = destinations.join(" or ");
            Ended::Refused(format!(
                "subscribe to {destinations} refused: {said}; check that it exists and that this login may read it"
            ))
        }
        _ => Ended::Lost(error.to_string()),
    }
}

/// What the end of the socket means is the session's to say; the transport may know the server's
/// own words.
pub(super) fn by_close(session: &mut Session, error: &TransportError) -> Ended {
    match session.closed() {
        Err(why) => Ended::Lost(format!("{why} ({error})")),
        Ok(()) => Ended::Lost(error.to_string()),
    }
}
