//! What an HTTP answer means for the event that was posted: by its status, and by what the
//! configuration looks for in it.

use std::time::{Duration, SystemTime};

use super::doorkeeper;
use crate::pipeline::Conditions;
use crate::retry::retry_after;

/// How a receiver says in its answer what becomes of an event. Robots of chat groups answer 200 to
/// everything, and refuse in the body.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Answers {
    /// What the answer to an event that has arrived says; without a status the answer must be 2xx,
    /// too. `None`: every 2xx confirms.
    pub success: Option<Conditions>,
    /// What an answer says while nothing is accepted, whatever it is.
    pub retry_when: Option<Conditions>,
    /// What an answer says to an event that is never accepted.
    pub reject_when: Option<Conditions>,
}

/// An answer as it came.
#[derive(Debug, Clone, Copy)]
pub(super) struct Answer<'a> {
    pub(super) status: u16,
    /// The text of `Retry-After`.
    pub(super) retry_after: Option<&'a str>,
    /// As far as it was read.
    pub(super) body: &'a str,
}

/// What to do with the event, or with the sink.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It has arrived.
    Confirmed,
    /// It will never be taken.
    Refused,
    /// The receiver accepts nothing from now on.
    Disabled,
    /// Nothing can be taken just now, whatever it is; not before the named time where there is one.
    Retry(Option<Duration>),
    /// It was not taken, and the answer does not say whose fault that is.
    Unclear,
}

impl Answers {
    /// Whether anything is looked for in the body of an answer.
    pub(super) fn read_body(&self) -> bool {
        let all = [&self.success, &self.retry_when, &self.reject_when];
        all.into_iter().flatten().any(Conditions::are_on_body)
    }

    /// Whether the answer is the receiver's own and says no to what `success` looks for.
    pub(super) fn is_denied(&self, body: &str) -> bool {
        let success = self.success.as_ref();
        success.is_some_and(|success| success.is_denied(body))
    }

    /// The verdict, and which key of the configuration leads to it, where one does.
    pub(super) fn judge(&self, answer: Answer<'_>, now: SystemTime) -> (Verdict, Option<String>) {
        let hold = |conditions: &Option<Conditions>| {
            let conditions = conditions.as_ref();
            conditions.is_some_and(|all| all.unmet(answer.status, answer.body).is_none())
        };
        if hold(&self.retry_when) {
            let asked = answer.retry_after.and_then(|text| retry_after(text, now));
            let why = "which `retry_when` retries".to_owned();
            return (Verdict::Retry(asked), Some(why));
        }
        if hold(&self.reject_when) {
            let why = "which `reject_when` takes for a rejection".to_owned();
            return (Verdict::Refused, Some(why));
        }
        let is_2xx = (200..300).contains(&answer.status);
        let success = self.success.as_ref();
        match success.filter(|success| is_2xx || success.are_on_status()) {
            None => (by_status(answer, now), None),
            Some(success) => match success.unmet(answer.status, answer.body) {
                None => (Verdict::Confirmed, None),
                Some(_) if !is_2xx => (by_status(answer, now), None),
                Some(unmet) => {
                    let why = format!("where `success` wants {unmet}");
                    (Verdict::Unclear, Some(why))
                }
            },
        }
    }
}

/// Judges by the status (RFC 9110, section 15) and the text of `Retry-After` (section 10.2.3).
fn by_status(answer: Answer<'_>, now: SystemTime) -> Verdict {
    match answer.status {
        200..=299 => Verdict::Confirmed,
        400 if doorkeeper::advice(answer.body).is_some() => Verdict::Retry(None),
        400 | 413 | 422 => Verdict::Refused,
        410 => Verdict::Disabled,
        // A receiver that asks for less, and what a proxy says of the server behind it (520 to 527:
        // Cloudflare's), concerns every event.
        429 | 502..=504 | 520..=527 => {
            Verdict::Retry(answer.retry_after.and_then(|text| retry_after(text, now)))
        }
        // Where we are sent, who we are and what we ask for is the same for every event.
        300..=399 | 401..=407 => Verdict::Retry(None),
        _ => Verdict::Unclear,
    }
}

/// What the person behind the sink can do about a status.
pub(super) fn advice(status: u16, body: &str) -> Option<&'static str> {
    match status {
        400 => doorkeeper::advice(body),
        300..=399 => Some("redirects are not followed: set `url` to where it leads"),
        401 | 403 => Some("check `headers` and `secret`"),
        404 | 405 => Some("check `url` and `method`"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn answer<'a>(status: u16, retry_after: Option<&'a str>, body: &'a str) -> Answer<'a> {
        Answer {
            status,
            retry_after,
            body,
        }
    }

    fn conditions(table: Value) -> Option<Conditions> {
        Some(Conditions::read(table.as_object().unwrap()).unwrap())
    }

    /// DingTalk, Feishu and WeCom answer 200 to everything.
    #[test]
    fn the_body_decides_where_the_configuration_looks_at_it() {
        let robot = Answers {
            success: conditions(json!({ "/errcode": 0 })),
            retry_when: conditions(json!({ "/errcode": [130101, 45009] })),
            reject_when: conditions(json!({ "/errcode": 310000 })),
        };
        assert!(robot.read_body() && !Answers::default().read_body());
        let ok = r#"{"errcode":0,"errmsg":"ok"}"#;
        let fast = r#"{"errcode":130101,"errmsg":"send too fast"}"#;
        let keywords = r#"{"errcode":310000,"errmsg":"keywords not in content"}"#;
        let other = r#"{"errcode":300001,"errmsg":"token is not exist"}"#;
        let wanted = Some("where `success` wants \"/errcode\" = 0");
        let retries = Some("which `retry_when` retries");
        let seconds = |seconds| Verdict::Retry(Some(Duration::from_secs(seconds)));
        for (given, verdict, why) in [
            (answer(200, None, ok), Verdict::Confirmed, None),
            (answer(200, None, fast), Verdict::Retry(None), retries),
            (answer(200, Some("20"), fast), seconds(20), retries),
            (
                answer(200, None, keywords),
                Verdict::Refused,
                Some("which `reject_when` takes for a rejection"),
            ),
            (answer(200, None, other), Verdict::Unclear, wanted),
            (answer(200, None, "<html>"), Verdict::Unclear, wanted),
            (answer(204, None, ""), Verdict::Unclear, wanted),
            // A proxy's answer stays a proxy's, and a gateway's error page is no success.
            (answer(500, None, ok), Verdict::Unclear, None),
            (answer(502, Some("9"), "<html>"), seconds(9), None),
            (
                answer(400, None, keywords),
                Verdict::Refused,
                Some("which `reject_when` takes for a rejection"),
            ),
            (answer(302, None, ""), Verdict::Retry(None), None),
        ] {
            let (found, said) = robot.judge(given, SystemTime::UNIX_EPOCH);
            assert_eq!((found, said.as_deref()), (verdict, why), "{given:?}");
        }
    }

    #[test]
    fn a_status_in_success_stands_for_itself() {
        let knows = Answers {
            success: conditions(json!({ "status": [200, 409] })),
            reject_when: conditions(json!({ "status": 404 })),
            ..Answers::default()
        };
        assert!(!knows.read_body());
        for (status, verdict) in [
            (200, Verdict::Confirmed),
            (409, Verdict::Confirmed),
            (202, Verdict::Unclear),
            (404, Verdict::Refused),
            (503, Verdict::Retry(None)),
            (410, Verdict::Disabled),
        ] {
            let (found, _) = knows.judge(answer(status, None, ""), SystemTime::UNIX_EPOCH);
            assert_eq!(found, verdict, "{status}");
        }
    }

    #[test]
    fn every_status_has_one_meaning() {
        let cases = [
            (200..=299, Verdict::Confirmed),
            (300..=399, Verdict::Retry(None)),
            (400..=400, Verdict::Refused),
            (401..=407, Verdict::Retry(None)),
            (408..=409, Verdict::Unclear),
            (410..=410, Verdict::Disabled),
            (411..=412, Verdict::Unclear),
            (413..=413, Verdict::Refused),
            (414..=421, Verdict::Unclear),
            (422..=422, Verdict::Refused),
            (423..=428, Verdict::Unclear),
            (429..=429, Verdict::Retry(None)),
            (430..=501, Verdict::Unclear),
            (502..=504, Verdict::Retry(None)),
            (505..=519, Verdict::Unclear),
            (520..=527, Verdict::Retry(None)),
            (528..=999, Verdict::Unclear),
        ];
        for (statuses, verdict) in cases {
            for status in statuses {
                assert_eq!(
                    by_status(answer(status, None, ""), SystemTime::UNIX_EPOCH),
                    verdict,
                    "{status}"
                );
            }
        }
    }

    #[test]
    fn retry_after_is_seconds_or_a_date_and_has_bounds() {
        // Fri, 31 Dec 1999 23:59:59 GMT.
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(946_684_799);
        let cases = [
            ("120", Some(120_000)),
            (" 7 ", Some(7_000)),
            ("0", Some(1_000)),
            ("86400", Some(3_600_000)),
            ("99999999999999999999999999", Some(3_600_000)),
            ("Sat, 01 Jan 2000 00:02:00 GMT", Some(121_000)),
            ("Saturday, 01-Jan-00 00:02:00 GMT", Some(121_000)),
            ("Thu, 30 Dec 1999 00:00:00 GMT", Some(1_000)),
            ("Wed, 01 Mar 2000 00:00:00 GMT", Some(3_600_000)),
            ("", None),
            ("-5", None),
            ("1.5", Some(1_500)),
            ("0.2", Some(1_000)),
            ("3599.9999", Some(3_599_999)),
            ("1e9", None),
            ("1.", None),
            (".5", None),
            ("1.5.1", None),
            ("soon", None),
        ];
        for (text, asked) in cases {
            let verdict = Verdict::Retry(asked.map(Duration::from_millis));
            for status in [429, 502, 503, 504, 522] {
                let found = by_status(answer(status, Some(text), ""), now);
                assert_eq!(found, verdict, "{status} {text:?}");
            }
            let found = by_status(answer(500, Some(text), ""), now);
            assert_eq!(found, Verdict::Unclear, "500 {text:?}");
        }
    }
}
