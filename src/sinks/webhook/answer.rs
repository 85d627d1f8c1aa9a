//! What an HTTP answer means for the event that was posted.

use std::time::{Duration, SystemTime};

use crate::retry::retry_after;

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

/// Judges by the status (RFC 9110, section 15) and the text of `Retry-After` (section 10.2.3).
pub(super) fn judge(status: u16, asked: Option<&str>, now: SystemTime) -> Verdict {
    match status {
        200..=299 => Verdict::Confirmed,
        400 | 413 | 422 => Verdict::Refused,
        410 => Verdict::Disabled,
        429 | 503 => Verdict::Retry(asked.and_then(|text| retry_after(text, now))),
        // Where we are sent, who we are and what we ask for is the same for every event, and so is
        // what a proxy says of the server behind it (520 to 527: Cloudflare's).
        300..=399 | 401..=407 | 502 | 504 | 520..=527 => Verdict::Retry(None),
        _ => Verdict::Unclear,
    }
}

/// What the person behind the sink can do about a status.
pub(super) fn advice(status: u16) -> Option<&'static str> {
    match status {
        300..=399 => Some("redirects are not followed: set `url` to where it leads"),
        401 | 403 => Some("check `headers` and `secret`"),
        404 | 405 => Some("check `url`"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
                    judge(status, None, SystemTime::UNIX_EPOCH),
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
            ("120", Some(120)),
            (" 7 ", Some(7)),
            ("0", Some(1)),
            ("86400", Some(3600)),
            ("99999999999999999999999999", Some(3600)),
            ("Sat, 01 Jan 2000 00:02:00 GMT", Some(121)),
            ("Saturday, 01-Jan-00 00:02:00 GMT", Some(121)),
            ("Thu, 30 Dec 1999 00:00:00 GMT", Some(1)),
            ("Wed, 01 Mar 2000 00:00:00 GMT", Some(3600)),
            ("", None),
            ("-5", None),
            ("1.5", None),
            ("soon", None),
        ];
        for (text, seconds) in cases {
            let verdict = Verdict::Retry(seconds.map(Duration::from_secs));
            assert_eq!(judge(503, Some(text), now), verdict, "503 {text:?}");
            assert_eq!(judge(429, Some(text), now), verdict, "429 {text:?}");
            assert_eq!(
                judge(500, Some(text), now),
                Verdict::Unclear,
                "500 {text:?}"
            );
        }
    }
}
