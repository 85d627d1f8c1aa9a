//! What the other side of a sink answers to somebody who asks whether it would take events.

use crate::secret::redact_echo;

/// What came back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// What the other side has said, in words for a person.
    pub text: String,
    /// What an operator should mend although it was accepted.
    pub advice: Option<String>,
}

impl Answer {
    /// One that leaves nothing to mend.
    pub(super) fn plain(text: String) -> Answer {
        Answer { text, advice: None }
    }
}

/// The same without secrets.
pub(super) fn redacted(answered: Result<Answer, String>) -> Result<Answer, String> {
    let redacted = |text: String| redact_echo(&text).into_owned();
    match answered {
        Ok(answer) => Ok(Answer {
            text: redacted(answer.text),
            advice: answer.advice.map(redacted),
        }),
        Err(error) => Err(redacted(error)),
    }
}
