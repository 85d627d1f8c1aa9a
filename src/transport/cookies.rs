//! Cookies, for the life of one connection: those of a sign-in, and those that load balancers stick
//! by (SockJS, `cookie_needed`).

use std::net::IpAddr;

use jiff::Timestamp;
use tokio_tungstenite::tungstenite::http::header::{self, HeaderMap, HeaderValue};
use url::Url;

use super::cookie_date;
use crate::secret::{Lifetime, Secret, protect};

/// A jar.
#[derive(Debug, Clone, Default)]
pub struct Jar {
    cookies: Vec<Cookie>,
}

#[derive(Clone, PartialEq, Eq)]
struct Cookie {
    name: String,
    value: String,
    domain: Domain,
    path: String,
    secure: bool,
}

/// Whom a cookie is for (RFC 6265, section 5.3). The port makes no difference.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Domain {
    /// The host that has set it.
    Host(String),
    /// A domain, and every host below it.
    Below(String),
}

// Cookies are credentials.
impl std::fmt::Debug for Cookie {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Cookie {
            name, domain, path, ..
        } = self;
        let mut shown = f.debug_struct("Cookie");
        shown
            .field("name", name)
            .field("domain", domain)
            .field("path", path)
            .finish_non_exhaustive()
    }
}

/// RFC 6265, section 6.1, asks for 50 cookies of 4096 bytes a host.
const COOKIES_MAX: usize = 50;
const COOKIE_BYTES_MAX: usize = 4096;
/// A shorter value is a word, such as a language, and no session.
const SECRET_BYTES_MIN: usize = 8;

impl Jar {
    /// Takes what the answer to a request for `url` sets. A cookie that is malformed or too large
    /// is left out. Gives the names of those that it keeps.
    pub(super) fn store(&mut self, url: &Url, answer: &HeaderMap) -> Vec<String> {
        let mut kept = Vec::new();
        for value in answer.get_all(header::SET_COOKIE) {
            let Some((cookie, fate)) = parse(url, value) else {
                continue;
            };
            let same = |known: &Cookie| {
                (&known.name, &known.domain, &known.path)
                    == (&cookie.name, &cookie.domain, &cookie.path)
            };
            self.cookies.retain(|known| !same(known));
            if fate == Fate::Kept {
                if self.cookies.len() == COOKIES_MAX {
                    self.cookies.remove(0);
                }
                if cookie.value.len() >= SECRET_BYTES_MIN {
                    protect(&cookie.value, Lifetime::Given);
                }
                kept.push(cookie.name.clone());
                self.cookies.push(cookie);
            }
        }
        kept
    }

    /// The newest cookie of a name, whomever it is for.
    pub fn value(&self, name: &str) -> Option<Secret> {
        let mut newest_first = self.cookies.iter().rev();
        let cookie = newest_first.find(|cookie| cookie.name == name)?;
        Some(cookie.value.as_str().into())
    }

    /// The values of all cookies.
    pub fn values(&self) -> impl Iterator<Item = &str> {
        self.cookies.iter().map(|cookie| cookie.value.as_str())
    }

    /// The header `Cookie` for a request of `url`, if there is any for it (RFC 6265, section 5.4).
    pub(super) fn header(&self, url: &Url) -> Option<HeaderValue> {
        let mut fitting = self
            .cookies
            .iter()
            .filter(|cookie| cookie.fits(url))
            .collect::<Vec<_>>();
        // Longer paths first; the sort is stable, so older ones first among equals.
        fitting.sort_by_key(|cookie| std::cmp::Reverse(cookie.path.len()));
        let pairs = fitting
            .iter()
            .map(|cookie| format!("{}={}", cookie.name, cookie.value))
            .collect::<Vec<_>>();
        if pairs.is_empty() {
            return None;
        }
        let mut value = HeaderValue::from_bytes(pairs.join("; ").as_bytes()).ok()?;
        value.set_sensitive(true);
        Some(value)
    }
}

impl Cookie {
    fn fits(&self, url: &Url) -> bool {
        if self.secure && !matches!(url.scheme(), "https" | "wss") {
            return false;
        }
        if !self.domain.covers(&host(url)) {
            return false;
        }
        // RFC 6265, section 5.1.4.
        match url.path().strip_prefix(self.path.as_str()) {
            Some(rest) => rest.is_empty() || self.path.ends_with('/') || rest.starts_with('/'),
            None => false,
        }
    }
}

impl Domain {
    /// What the attribute `Domain` says. A foreign or an all too wide one is left out of account:
    /// the cookie then goes back where it came from and nowhere else.
    fn of(host: String, attribute: &str) -> Domain {
        let domain = attribute.trim_start_matches('.').to_ascii_lowercase();
        let wide = !domain.contains('.') || host.parse::<IpAddr>().is_ok();
        let named = Domain::Below(domain);
        if !wide && named.covers(&host) {
            named
        } else {
            Domain::Host(host)
        }
    }

    /// RFC 6265, section 5.1.3.
    fn covers(&self, host: &str) -> bool {
        match self {
            Domain::Host(own) => own == host,
            Domain::Below(domain) => host
                .strip_suffix(domain.as_str())
                .is_some_and(|rest| rest.is_empty() || rest.ends_with('.')),
        }
    }
}

/// Without the brackets of an IPv6 address; the URL has it in small letters already.
fn host(url: &Url) -> String {
    url.host_str()
        .unwrap_or_default()
        .trim_matches(['[', ']'])
        .to_owned()
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    Kept,
    Expired,
}

/// RFC 6265, section 5.2.
fn parse(url: &Url, value: &HeaderValue) -> Option<(Cookie, Fate)> {
    let text = std::str::from_utf8(value.as_bytes()).ok()?;
    if text.len() > COOKIE_BYTES_MAX {
        return None;
    }
    let mut parts = text.split(';');
    let (name, value) = parts.next()?.split_once('=')?;
    let (name, value) = (name.trim(), value.trim());
    if name.is_empty() {
        return None;
    }
    let mut cookie = Cookie {
        name: name.to_owned(),
        value: value.to_owned(),
        domain: Domain::Host(host(url)),
        path: default_path(url),
        secure: false,
    };
    let (mut max_age, mut expires) = (None, None);
    for attribute in parts {
        let (key, value) = attribute.split_once('=').unwrap_or((attribute, ""));
        let value = value.trim();
        match key.trim().to_ascii_lowercase().as_str() {
            "domain" => cookie.domain = Domain::of(host(url), value),
            "path" if value.starts_with('/') => cookie.path = value.to_owned(),
            "secure" => cookie.secure = true,
            "max-age" => max_age = value.parse::<i64>().ok(),
            "expires" => expires = cookie_date::parse(value),
            _ => {}
        }
    }
    let expired = match (max_age, expires) {
        (Some(seconds), _) => seconds <= 0,
        (None, Some(at)) => at <= Timestamp::now(),
        (None, None) => false,
    };
    Some((cookie, if expired { Fate::Expired } else { Fate::Kept }))
}

/// RFC 6265, section 5.1.4: the directory of the request.
fn default_path(url: &Url) -> String {
    match url.path().rfind('/') {
        Some(0) | None => "/".to_owned(),
        Some(end) => url.path()[..end].to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(path: &str) -> Url {
        format!("http://h{path}").parse().expect("a URL")
    }

    /// The cookies that are sent to `to` after `/base/info` has set each of `set`.
    fn check(set: &[&str], to: &str, expected: Option<&str>) {
        let mut jar = Jar::default();
        for value in set {
            let mut answer = HeaderMap::new();
            answer.append(
                header::SET_COOKIE,
                HeaderValue::from_str(value).expect("a header"),
            );
            jar.store(&url("/base/info"), &answer);
        }
        let sent = jar
            .header(&url(to))
            .map(|value| value.to_str().expect("text").to_owned());
        assert_eq!(sent.as_deref(), expected, "{set:?} -> {to}");
    }

    #[test]
    fn cookie_goes_where_its_path_says() {
        check(&["a=1"], "/base/000/x/websocket", Some("a=1"));
        check(&["a=1"], "/base", Some("a=1"));
        check(&["a=1"], "/basement", None);
        check(&["a=1"], "/other", None);
        check(&["a=1; Path=/"], "/other", Some("a=1"));
        check(
            &["a=1; path=/base/; HttpOnly; SameSite=None"],
            "/base/000",
            Some("a=1"),
        );
        check(&["a=1; Path=/", "b=2"], "/base/000", Some("b=2; a=1"));
    }

    #[test]
    fn cookie_goes_to_its_host_on_any_port_or_to_its_domain() {
        let check = |domain: &str, from: &str, to: &str, sent: bool| {
            let mut jar = Jar::default();
            let mut answer = HeaderMap::new();
            let value = format!("a=1; Path=/{domain}");
            answer.append(
                header::SET_COOKIE,
                HeaderValue::from_str(&value).expect("a header"),
            );
            jar.store(&from.parse().expect("a URL"), &answer);
            assert_eq!(
                jar.header(&to.parse().expect("a URL")).is_some(),
                sent,
                "{domain} {from} {to}"
            );
        };
        check(
            "",
            "https://api.example.com/login",
            "wss://api.example.com:8443/ws",
            true,
        );
        check(
            "",
            "https://api.example.com/login",
            "wss://ws.example.com/ws",
            false,
        );
        check(
            "; Domain=.Example.com",
            "https://api.example.com/login",
            "wss://ws.example.com/ws",
            true,
        );
        check(
            "; Domain=example.com",
            "https://api.example.com/login",
            "wss://example.com/ws",
            true,
        );
        check(
            "; Domain=example.com",
            "https://api.example.com/login",
            "wss://anexample.com/ws",
            false,
        );
        check(
            "; Domain=com",
            "https://api.example.com/login",
            "wss://other.com/ws",
            false,
        );
        check(
            "; Domain=other.com",
            "https://api.example.com/login",
            "wss://other.com/ws",
            false,
        );
        check(
            "; Domain=other.com",
            "https://api.example.com/login",
            "wss://api.example.com/ws",
            true,
        );
        check(
            "; Domain=0.0.1",
            "http://127.0.0.1/login",
            "ws://10.0.0.1/ws",
            false,
        );
        check("", "http://[::1]:8080/login", "http://[::1]:9004/ws", true);
    }

    #[test]
    fn secure_cookie_is_not_sent_in_clear_text() {
        check(&["a=1; Secure"], "/base/x", None);
    }

    #[test]
    fn newer_cookie_replaces_and_an_expired_one_removes() {
        check(&["a=1", "a=2"], "/base/x", Some("a=2"));
        check(&["a=1", "a=; Max-Age=0"], "/base/x", None);
        check(
            &["a=1", "a=; Expires=Thu, 01 Jan 1970 00:00:00 GMT"],
            "/base/x",
            None,
        );
        for date in [
            "Thu, 01-Jan-1970 00:00:10 GMT",
            "01-Jan-70",
            "1 Jan 1970",
            "0",
        ] {
            check(&["a=1", &format!("a=; Expires={date}")], "/base/x", None);
        }
        check(
            &["a=1; Expires=Wed, 09-Dec-99 11:16:16 GMT"],
            "/base/x",
            None,
        );
        check(
            &["a=1; Expires=Wed, 09-Dec-2099 11:16:16 GMT"],
            "/base/x",
            Some("a=1"),
        );
        check(
            &["a=1; Max-Age=60; Expires=Thu, 01 Jan 1970 00:00:00 GMT"],
            "/base/x",
            Some("a=1"),
        );
    }

    #[test]
    fn malformed_cookie_is_left_out() {
        check(&["nonsense", "=1", "a==b=c"], "/base/x", Some("a==b=c"));
        check(
            &[&format!("a={}", "x".repeat(COOKIE_BYTES_MAX))],
            "/base/x",
            None,
        );
    }

    #[test]
    fn jar_holds_no_more_than_its_limit() {
        let many = (0..COOKIES_MAX + 1)
            .map(|index| format!("c{index}=1"))
            .collect::<Vec<_>>();
        let mut jar = Jar::default();
        for value in &many {
            let mut answer = HeaderMap::new();
            answer.append(
                header::SET_COOKIE,
                HeaderValue::from_str(value).expect("a header"),
            );
            jar.store(&url("/info"), &answer);
        }
        let sent = jar.header(&url("/info")).expect("cookies");
        assert_eq!(
            sent.to_str().expect("text").split("; ").count(),
            COOKIES_MAX
        );
        assert!(
            sent.to_str().expect("text").starts_with("c1=1"),
            "the oldest has gone"
        );
    }
}
