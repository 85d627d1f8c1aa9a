//! What one attempt to connect has met on its way, where somebody wants to know: how long each stage
//! took, the server's certificate, its clock. Nobody else pays for it, and it changes nothing.

use std::cell::RefCell;
use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::error::Stage;

/// What was met.
#[derive(Debug, Default)]
pub struct Survey {
    /// The stages that were done, in their order, each with the time that it took. Of SockJS's
    /// transports the first one's.
    pub stages: Vec<(Stage, Duration)>,
    /// When the last of them was done.
    pub last_done: Option<Instant>,
    /// The stage that has failed, where none was done after it.
    pub failed: Option<Stage>,
    /// The address that has accepted the TCP connection.
    pub address: Option<String>,
    /// Until when the server's certificate holds.
    pub certificate_ends: Option<Timestamp>,
    /// The server's clock (HTTP's `Date`), and ours when it came.
    pub clock: Option<(Timestamp, Timestamp)>,
    /// The transport of SockJS that works, and why those before it do not.
    pub fallback: Option<(String, String)>,
}

impl Survey {
    fn done(&mut self, stage: Stage, took: Duration) {
        (self.last_done, self.failed) = (Some(Instant::now()), None);
        if stage == Stage::Signin || self.stages.iter().all(|(known, _)| *known != stage) {
            self.stages.push((stage, took));
        }
    }
}

tokio::task_local! {
    static SURVEY: RefCell<Survey>;
}

/// Does the work, in this task, and says what its attempts to connect have met.
pub async fn surveyed<T>(work: impl Future<Output = T>) -> (T, Survey) {
    SURVEY
        .scope(RefCell::default(), async {
            let outcome = work.await;
            (outcome, SURVEY.with(RefCell::take))
        })
        .await
}

/// Whether somebody wants to know.
pub(super) fn is_wanted() -> bool {
    SURVEY.try_with(|_| ()).is_ok()
}

/// A stage is done.
pub(super) fn done(stage: Stage, took: Duration) {
    note(|survey| survey.done(stage, took));
}

/// A stage has failed; another way may still be tried.
pub(super) fn failed(stage: Stage) {
    note(|survey| survey.failed = Some(stage));
}

/// HTTP's `Date` of an answer that has just come.
pub(super) fn date(value: Option<&[u8]>) {
    let theirs = value.and_then(|value| {
        let date = httpdate::parse_http_date(std::str::from_utf8(value).ok()?).ok()?;
        Timestamp::try_from(date).ok()
    });
    if let Some(theirs) = theirs {
        note(|survey| survey.clock = Some((theirs, Timestamp::now())));
    }
}

/// Adds what was met.
pub(super) fn note(add: impl FnOnce(&mut Survey)) {
    // An error: nobody wants to know.
    let _ = SURVEY.try_with(|survey| add(&mut survey.borrow_mut()));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_survey_has_the_stages_of_its_own_work_alone() {
        let ms = Duration::from_millis;
        done(Stage::Connect, ms(1));
        assert!(!is_wanted());
        let work = async {
            assert!(is_wanted());
            for (stage, took) in [
                (Stage::Signin, 1),
                (Stage::Signin, 2),
                (Stage::Connect, 3),
                (Stage::Connect, 4),
            ] {
                done(stage, ms(took));
            }
            date(Some(b"Sun, 06 Nov 1994 08:49:37 GMT"));
            date(Some(b"yesterday"));
            failed(Stage::Connect);
            done(Stage::Connect, ms(5));
            failed(Stage::Tls);
            7
        };
        let (outcome, survey) = surveyed(work).await;
        assert_eq!(outcome, 7);
        let expected = [
            (Stage::Signin, ms(1)),
            (Stage::Signin, ms(2)),
            (Stage::Connect, ms(3)),
        ];
        assert_eq!(survey.stages, expected);
        assert_eq!(survey.failed, Some(Stage::Tls));
        let theirs = survey.clock.expect("a date").0.to_string();
        assert_eq!(theirs, "1994-11-06T08:49:37Z");
    }
}
