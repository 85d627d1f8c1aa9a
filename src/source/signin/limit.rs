//! How often a refused sign-in is tried again: platforms lock an account after a few wrong
//! passwords, and then nobody gets in. It is given the time.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::client::Signin;
use crate::duration::InWords;

/// So many refused sign-ins may fall into each [`WINDOW`]. RuoYi, which many platforms are made of,
/// locks an account for ten minutes after five; a person may have mistyped the password, too.
const REFUSED_MAX: usize = 3;

/// Ten minutes.
const WINDOW: Duration = Duration::from_secs(600);

/// The refused sign-ins of the last [`WINDOW`], whatever they were for. Clones share them.
#[derive(Debug, Clone, Default)]
pub(in crate::source) struct SigninLimit(Arc<Mutex<Refusals>>);

#[derive(Debug, Default)]
struct Refusals {
    /// What was refused: where something else is sent, that is another question.
    of: Option<Signin>,
    at: VecDeque<Instant>,
}

impl SigninLimit {
    /// A sign-in was refused.
    pub(in crate::source) fn refused(&self, signin: &Signin, now: Instant) {
        let mut refusals = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        refusals.refused(signin, now);
    }

    /// How long the next sign-in must wait.
    pub(in crate::source) fn wait(&self, signin: Option<&Signin>, now: Instant) -> Option<Wait> {
        let refusals = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        refusals.wait(signin, now)
    }
}

impl Refusals {
    fn refused(&mut self, signin: &Signin, now: Instant) {
        if !self.is_of(signin) {
            self.of = Some(signin.clone());
            self.at.clear();
        }
        self.at.push_back(now);
        if self.at.len() > REFUSED_MAX {
            self.at.pop_front();
        }
    }

    fn wait(&self, signin: Option<&Signin>, now: Instant) -> Option<Wait> {
        if self.at.len() < REFUSED_MAX || !self.is_of(signin?) {
            return None;
        }
        let left = WINDOW.saturating_sub(now.saturating_duration_since(*self.at.front()?));
        (!left.is_zero()).then_some(Wait(left))
    }

    fn is_of(&self, signin: &Signin) -> bool {
        self.of.as_ref().is_some_and(|of| of.asks_as(signin))
    }
}

/// The rest of a wait; as a text why, and what to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::source) struct Wait(pub(in crate::source) Duration);

impl std::fmt::Display for Wait {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{REFUSED_MAX} sign-ins were refused within {}: the next one comes in {}, so that the \
             platform does not lock the account; correct source.signin and reload: where it sends \
             something else then, it is tried at once",
            InWords(WINDOW),
            InWords::about(self.0)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::Conditions;
    use crate::source::signin::{BodyTemplate, Step, StepMethod};

    fn signin(name: &str) -> Signin {
        let form = vec![("username".to_owned(), name.into())];
        let step = Step {
            url: "https://h/login".parse().unwrap(),
            method: StepMethod::Post(BodyTemplate::Form(form)),
            headers: Vec::new(),
            expect: None,
            extract: Vec::new(),
        };
        Signin {
            steps: vec![step],
            timeout: Duration::from_secs(10),
            redacted: Vec::new(),
        }
    }

    #[test]
    fn no_ten_minutes_see_more_than_three_refused_sign_ins() {
        let (signin, began) = (signin("a"), Instant::now());
        for gap in [0, 1, 45, 150, 299, 300, 601] {
            let (limit, mut now) = (SigninLimit::default(), began);
            let mut tried = Vec::new();
            for _ in 0..20 {
                now += limit
                    .wait(Some(&signin), now)
                    .map_or(Duration::ZERO, |wait| wait.0);
                tried.push(now);
                limit.refused(&signin, now);
                now += Duration::from_secs(gap);
            }
            for four in tried.windows(4) {
                assert!(four[3] - four[0] >= WINDOW, "{gap}: {four:?}");
            }
            // Nor do they wait for longer than that.
            let whole = tried[19] - tried[0];
            let most = (WINDOW + Duration::from_secs(3 * gap)) * 7;
            assert!(whole <= most, "{gap}: {whole:?}");
        }
    }

    #[test]
    fn corrected_settings_are_tried_at_once_and_unchanged_ones_are_not() {
        let (wrong, right, now) = (signin("a"), signin("b"), Instant::now());
        let limit = SigninLimit::default();
        for _ in 0..REFUSED_MAX {
            assert_eq!(limit.wait(Some(&wrong), now), None);
            limit.refused(&wrong, now);
        }
        assert_eq!(limit.wait(Some(&wrong), now), Some(Wait(WINDOW)));
        assert_eq!(limit.wait(Some(&right), now), None);
        assert_eq!(limit.wait(None, now), None);
        // What is done with the answer is no other question.
        let mut same = signin("a");
        same.timeout *= 2;
        let expect = serde_json::json!({ "status": 302 });
        same.steps[0].expect =
            Some(Conditions::read(expect.as_object().expect("a table")).unwrap());
        assert_eq!(limit.wait(Some(&same), now), Some(Wait(WINDOW)));
        let later = now + Duration::from_secs(599);
        let text = limit.wait(Some(&wrong), later).unwrap().to_string();
        assert!(text.starts_with("3 sign-ins were refused within 10m: the next one comes in 1s"));
        assert_eq!(limit.wait(Some(&wrong), now + WINDOW), None);
    }
}
