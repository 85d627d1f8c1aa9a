//! Dates that matter before anything fails by them: the server's clock, and its certificate's end.

use jiff::{SignedDuration, Timestamp};

use super::report::{Check, Outcome};
use crate::cli::print::counted;
use crate::duration::InWords;

/// A difference of clocks that deserves a look. HTTP's dates have whole seconds.
const SKEW_MAX: SignedDuration = SignedDuration::from_secs(60);

/// A certificate that ends within this time should be renewed now.
const CERTIFICATE_MIN: SignedDuration = SignedDuration::from_hours(21 * 24);

/// Our clock beside the server's.
pub(super) fn skew(theirs: Timestamp, ours: Timestamp) -> Check {
    let difference = ours.duration_since(theirs);
    let size = InWords(difference.unsigned_abs());
    let check = Check::new("clock", Outcome::Ok);
    if difference.abs() <= SKEW_MAX {
        return check.found("as the server's");
    }
    let side = match difference.is_negative() {
        true => "behind",
        false => "before",
    };
    check.found(format!("{size} {side} the server's")).advise(
        "the times of receipt and the days of reports go by this machine's clock: set it (timedatectl, \
         chrony), or the server's",
    )
}

/// How long a certificate still holds.
pub(super) fn certificate(check: Check, ends: Timestamp, now: Timestamp) -> Check {
    let check = check.found(format!("certificate until {}", ends.strftime("%Y-%m-%d")));
    let left = ends.duration_since(now);
    if left > CERTIFICATE_MIN {
        return check;
    }
    let days = (left.as_hours().max(0) / 24).unsigned_abs();
    let days = counted(days, "day", "days");
    check.advise(format!(
        "the server's certificate ends in {days}: have it renewed; after that no connection \
         is made"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).expect("a time")
    }

    #[test]
    fn a_clock_that_differs_is_named_with_its_side() {
        let check = |ours: i64, expected: &str, warns: bool| {
            let check = format!("{:?}", skew(at(10_000), at(ours)));
            assert!(check.contains(expected), "{check}");
            assert_eq!(check.contains("Warning"), warns, "{check}");
        };
        check(10_059, "as the server's", false);
        check(10_300, "before the server's", true);
        check(9_000, "behind the server's", true);
    }

    #[test]
    fn a_certificate_is_called_for_three_weeks_before_its_end() {
        let day = 86_400;
        let check = |left: i64, expected: &str| {
            let plain = Check::new("TLS", Outcome::Ok);
            let check = format!("{:?}", certificate(plain, at(left), at(0)));
            assert!(check.contains(expected), "{left}: {check}");
        };
        check(22 * day, "outcome: Ok");
        check(20 * day, "ends in 20 days");
        check(-day, "ends in 0 days");
    }
}
