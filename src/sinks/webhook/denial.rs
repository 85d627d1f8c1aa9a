//! What to do about an answer of 2xx that looks like a refusal, where the configuration looks for
//! none. It only warns: the event counts as delivered, and good answers end the warning.

use std::sync::{Mutex, PoisonError};

use serde_json::Value;

use crate::pipeline::Denial;

/// So many answers without a refusal, one after the other, end the warning.
const GOOD_ANSWERS: u32 = 20;

/// What was seen of such answers.
#[derive(Debug, Default)]
pub(super) struct Denials(Mutex<Seen>);

#[derive(Debug, Default)]
struct Seen {
    advice: Option<String>,
    good: u32,
}

impl Denials {
    /// What to do about them; `None`: there are none, or none any longer.
    pub(super) fn advice(&self) -> Option<String> {
        self.seen().advice.clone()
    }

    /// Takes note of an answer. Gives the advice where it is news.
    pub(super) fn note(&self, body: &str, server: &str, status: u16) -> Option<String> {
        let mut seen = self.seen();
        let Some(denial) = Denial::in_body(body) else {
            seen.good = seen.good.saturating_add(1);
            if seen.good >= GOOD_ANSWERS {
                seen.advice = None;
            }
            return None;
        };
        seen.good = 0;
        if seen.advice.is_some() {
            return None;
        }
        seen.advice = Some(advice(&denial, server, status));
        seen.advice.clone()
    }

    fn seen(&self) -> std::sync::MutexGuard<'_, Seen> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the person behind the sink can do about an answer of this server.
fn advice(denial: &Denial, server: &str, status: u16) -> String {
    let key = denial.key;
    let well = match denial.found {
        Value::Bool(_) => "true",
        _ => "0",
    };
    format!(
        "{server} answers {status} with {denial} inside, and such events count as delivered: if it \
         refuses them so, set success = {{ \"/{key}\" = {well} }}, and reject_when for what it \
         never accepts"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_advice_is_what_to_write() {
        let advice = |body| Denials::default().note(body, "https://host", 200).unwrap();
        assert!(advice(r#"{"errcode":7}"#).contains(r#"success = { "/errcode" = 0 }, and"#));
        assert!(advice(r#"{"ok":false}"#).contains(r#"success = { "/ok" = true }, and"#));
    }

    #[test]
    fn it_is_news_once_and_ends_after_good_answers_one_after_the_other() {
        let denials = Denials::default();
        let note = |body: &str| denials.note(body, "https://host", 200).is_some();
        let (bad, good) = (r#"{"errcode":7}"#, r#"{"errcode":0}"#);
        assert_eq!([bad, bad].map(note), [true, false]);
        (1..GOOD_ANSWERS).for_each(|_| assert!(!note(good)));
        assert!(!note(bad) && denials.advice().is_some());
        (0..GOOD_ANSWERS).for_each(|_| assert!(!note(good)));
        assert_eq!(denials.advice(), None);
        assert!(note(bad), "it is news again");
    }
}
