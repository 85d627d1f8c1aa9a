//! Why a connection ended, or why there is none.

use std::io;
use std::time::Duration;

use super::connection::Blame;
use super::incoming;
use super::reason::Reason;
use crate::tls;

/// What there is to say where the broker does not say why.
pub(super) const CLOSED: &str = "the broker closed the connection";

/// Why the connection ended.
#[derive(Debug)]
pub(super) struct Loss {
    pub(super) error: String,
    /// Who we are was refused: a person has to act, and brokers lock out those who insist.
    pub(super) is_refusal: bool,
    pub(super) obstacle: Obstacle,
    /// What the broker's DISCONNECT said.
    pub(super) reason: Option<Reason>,
}

/// What in our CONNECT stood in the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Obstacle {
    /// The version of MQTT.
    Version,
    /// The retained will.
    Retain,
    /// The QoS of the will.
    Qos,
    /// The broker has closed the connection and did not say why.
    Closed,
    /// Nothing that another CONNECT would mend.
    Other,
}

impl Loss {
    pub(super) fn new(error: impl Into<String>) -> Loss {
        Loss {
            error: error.into(),
            is_refusal: false,
            obstacle: Obstacle::Other,
            reason: None,
        }
    }

    /// The broker closed the connection without a word.
    pub(super) fn closed() -> Loss {
        Loss {
            obstacle: Obstacle::Closed,
            ..Loss::new(CLOSED)
        }
    }

    /// The broker did not answer our CONNECT: to us it is as if it had closed the connection.
    pub(super) fn silent(waited: Duration) -> Loss {
        let seconds = waited.as_secs();
        Loss {
            obstacle: Obstacle::Closed,
            ..Loss::new(format!("no CONNACK within {seconds} s"))
        }
    }

    /// A person has to act.
    pub(super) fn refusal(error: impl Into<String>) -> Loss {
        Loss {
            is_refusal: true,
            ..Loss::new(error)
        }
    }

    /// The broker said DISCONNECT (MQTT 5, section 3.14).
    pub(super) fn disconnected(reason: Reason, server: Option<&str>, client_id: &str) -> Loss {
        let advice = match (reason.code, server) {
            (0x8E, _) => format!(
                ": another client has connected with the client_id \"{client_id}\"; give each its own"
            ),
            (0x9C | 0x9D, Some(server)) => format!("; it names \"{server}\": set `url` to that"),
            _ => String::new(),
        };
        Loss {
            reason: Some(reason.clone()),
            ..Loss::new(format!("{CLOSED}: {reason}{advice}"))
        }
    }

    /// Whether the end was for what we published.
    pub(super) fn blame(&self) -> Blame {
        match &self.reason {
            Some(reason) if reason.blames_a_publish() => Blame::ThePublish,
            Some(reason) if !reason.may_blame_a_publish() => Blame::Nothing,
            Some(_) | None => Blame::Perhaps,
        }
    }

    /// The broker has closed the connection and did not say why.
    pub(super) fn is_without_cause(&self) -> bool {
        self.obstacle == Obstacle::Closed
    }
}

impl From<io::Error> for Loss {
    fn from(error: io::Error) -> Loss {
        use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
        // TLS 1.3 tells of a refused client certificate after the handshake, with the first read.
        match (tls::refusal(&error), error.kind()) {
            (Some(refusal), _) => tls_problem(&tls::explained(refusal)),
            (None, UnexpectedEof) => Loss::closed(),
            (None, BrokenPipe | ConnectionAborted | ConnectionReset) => Loss {
                obstacle: Obstacle::Closed,
                ..Loss::new(error.to_string())
            },
            (None, _) => Loss::new(error.to_string()),
        }
    }
}

impl From<incoming::Error> for Loss {
    fn from(error: incoming::Error) -> Loss {
        match error {
            incoming::Error::Io(error) => error.into(),
            error => Loss::new(format!("the broker does not speak MQTT: {error}")),
        }
    }
}

/// TLS did not come about.
pub(super) fn tls_problem(problem: &str) -> Loss {
    Loss::new(format!("TLS: {problem}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disconnect_says_what_to_do_and_whom_to_blame() {
        for (code, server, words, blame) in [
            (
                0x8E,
                None,
                "session taken over (0x8e): another client has connected with the client_id \"b\"",
                Blame::Nothing,
            ),
            (
                0x9D,
                Some("b2:1883"),
                "server moved (0x9d); it names \"b2:1883\": set `url` to that",
                Blame::Nothing,
            ),
            (0x95, None, "packet too large (0x95)", Blame::ThePublish),
            (0x87, None, "not authorized (0x87)", Blame::Perhaps),
        ] {
            let loss = Loss::disconnected(Reason::new(code, None), server, "b");
            assert!(loss.error.contains(words), "{}", loss.error);
            assert_eq!(loss.blame(), blame, "{code:#x}");
            assert!(!loss.is_without_cause());
        }
        assert_eq!(Loss::closed().blame(), Blame::Perhaps);
    }
}
