//! What a number on the command line may be, in words: those of Rust's own parsers reach nobody.

use std::net::SocketAddr;
use std::str::FromStr;

/// Nobody waits longer than a day for messages.
pub(super) const WAIT_SECONDS_MAX: u64 = 86_400;

/// Reads a whole number of a range for clap. [`u64::MAX`] as its end: there is none.
pub(super) fn whole<T: FromStr>(
    least: u64,
    most: u64,
) -> impl Fn(&str) -> Result<T, String> + Clone + Send + Sync + 'static {
    move |text| {
        let number: Option<u64> = text.parse().ok();
        let is_in_range = number.is_some_and(|number| (least..=most).contains(&number));
        let number = text.parse().ok().filter(|_| is_in_range);
        number.ok_or_else(|| match most {
            u64::MAX => format!("expected a whole number from {least} on"),
            _ => format!("expected a whole number from {least} to {most}"),
        })
    }
}

/// Reads where a daemon listens.
pub(super) fn address(text: &str) -> Result<SocketAddr, String> {
    let address = text.parse();
    address.map_err(|_| "expected an address and a port, such as 127.0.0.1:9610".to_owned())
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroUsize;

    use super::*;

    #[test]
    fn a_number_is_in_its_range_or_the_range_is_named() {
        let from_one = whole::<NonZeroUsize>(1, u64::MAX);
        assert_eq!(from_one("100").unwrap().get(), 100);
        for text in ["0", "abc", "1.5", "", "99999999999999999999"] {
            let said = from_one(text).unwrap_err();
            assert_eq!(said, "expected a whole number from 1 on", "{text}");
        }
        let said = whole::<u32>(0, 9)("10").unwrap_err();
        assert_eq!(said, "expected a whole number from 0 to 9");
        assert!(address("localhost").unwrap_err().contains("127.0.0.1:9610"));
        assert!(address("[::1]:80").is_ok());
    }
}
