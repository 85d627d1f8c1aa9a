//! The headers that the user has configured, checked once: what they may hold, and which of them
//! are ours.

use tokio_tungstenite::tungstenite::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use url::Url;

use super::cookies::Jar;
use super::error::DialError;
use super::peer::shown;
use crate::secret::Secret;

/// The handshake's own (RFC 6455, section 4.1), and those that frame a body: a second one would
/// break the request.
const OURS: [HeaderName; 9] = [
    header::CONNECTION,
    header::UPGRADE,
    header::CONTENT_LENGTH,
    header::TRANSFER_ENCODING,
    header::SEC_WEBSOCKET_KEY,
    header::SEC_WEBSOCKET_VERSION,
    header::SEC_WEBSOCKET_EXTENSIONS,
    header::SEC_WEBSOCKET_PROTOCOL,
    header::SEC_WEBSOCKET_ACCEPT,
];

/// Checks the headers of a target. Values are marked as secret, so that no Debug shows them. There
/// is no `Origin` unless the user names one: we are no browser, and servers refuse origins that
/// they do not know.
pub(super) fn parse(url: &Url, headers: &[(String, Secret)]) -> Result<HeaderMap, DialError> {
    let unusable = |name: &str, problem: &str| DialError::Address {
        url: shown(url),
        problem: format!("the header {name:?} {problem}"),
    };
    let mut parsed = HeaderMap::new();
    parsed.insert(header::USER_AGENT, HeaderValue::from_static(USER_AGENT));
    for (name, value) in headers {
        let key = HeaderName::from_bytes(name.as_bytes())
            .map_err(|_| unusable(name, "is no valid name: letters, digits and \"-\" are"))?;
        if OURS.contains(&key) {
            return Err(unusable(name, "is set by the connection itself: remove it"));
        }
        let mut value =
            HeaderValue::from_bytes(value.expose_secret().as_bytes()).map_err(|_| {
                unusable(
                    name,
                    "has a line end or another control character in its value: remove it",
                )
            })?;
        value.set_sensitive(true);
        if key == header::USER_AGENT {
            parsed.insert(key, value);
        } else {
            parsed.append(key, value);
        }
    }
    Ok(parsed)
}

/// The headers of one request: the configured ones, and the cookies that are for it.
pub(super) fn with_cookies(headers: &HeaderMap, jar: &Jar, url: &Url) -> HeaderMap {
    let mut headers = headers.clone();
    let Some(cookies) = jar.header(url) else {
        return headers;
    };
    // A second Cookie header is not allowed (RFC 6265, section 5.4): the user's own comes first in
    // the one.
    let merged = match headers.get(header::COOKIE) {
        Some(own) => {
            HeaderValue::from_bytes(&[own.as_bytes(), b"; ", cookies.as_bytes()].concat()).ok()
        }
        None => Some(cookies),
    };
    if let Some(mut merged) = merged {
        merged.set_sensitive(true);
        headers.insert(header::COOKIE, merged);
    }
    headers
}

/// What we call ourselves.
pub(super) const USER_AGENT: &str = concat!("stomp-bridge/", env!("CARGO_PKG_VERSION"));

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(name: &str, value: &str) -> Result<HeaderMap, String> {
        let url = "ws://h/ws?token=secret".parse().expect("a URL");
        parse(&url, &[(name.to_owned(), value.into())]).map_err(|error| error.to_string())
    }

    #[test]
    fn configured_header_is_sent_as_it_is() {
        let headers = parsed("Authorization", "Bearer ä").expect("a header");
        assert_eq!(headers["authorization"].as_bytes(), "Bearer ä".as_bytes());
        assert!(!format!("{headers:?}").contains("Bearer"), "{headers:?}");
        assert_eq!(
            parsed("User-Agent", "mine").expect("a header")["user-agent"],
            "mine"
        );
        assert!(headers.get("origin").is_none());
    }

    #[test]
    fn header_that_would_break_the_request_is_refused() {
        let check = |name, value, expected: &str| {
            let error = parsed(name, value).expect_err(name);
            assert!(error.contains(expected), "{error}");
            assert!(!error.contains("secret"), "{error}");
        };
        check(
            "X-A",
            "secret\r\nX-B: 1",
            "the header \"X-A\" has a line end",
        );
        check("X A", "1", "the header \"X A\" is no valid name");
        check(
            "sec-websocket-protocol",
            "1",
            "is set by the connection itself",
        );
    }
}
