//! Where requests go: to one server, which no event can change.

use std::fmt;

use url::{Host, Position, Url};

use crate::model::Event;
use crate::pipeline::{Template, UrlPart};
use crate::secret::redact;

/// A receiver's URL. What stands in its path and query may be secrets and values of the event.
#[derive(Clone, PartialEq)]
pub struct Address {
    /// Where `behind` is a template, without a path.
    url: Url,
    /// Path and query.
    behind: Option<Template>,
}

/// Shows neither path nor query.
impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Address").field(&self.server()).finish()
    }
}

/// The same for every event.
impl From<Url> for Address {
    fn from(url: Url) -> Address {
        Address { url, behind: None }
    }
}

impl Address {
    /// A server, and a template of what stands behind it: it begins with `/` or `?`.
    pub fn new(server: Url, behind: Template) -> Address {
        Address {
            url: server,
            behind: Some(behind),
        }
    }

    /// The URL for an event.
    ///
    /// # Errors
    /// What failed in rendering it, or why the text is no such URL.
    pub fn of(&self, event: &Event) -> Result<Url, String> {
        let Some(behind) = &self.behind else {
            return Ok(self.url.clone());
        };
        let behind = behind.render_url(event)?;
        if has_dots(&behind) {
            return Err("`url`: a part of its path is `.` or `..`".to_owned());
        }
        let url = format!("{}{behind}", self.url.as_str().trim_end_matches('/'));
        let url = Url::parse(&url).map_err(|error| format!("`url` is no URL: {error}"))?;
        match url.origin() == self.url.origin() {
            true => Ok(url),
            false => Err("`url` leads to another server".to_owned()),
        }
    }

    /// Whether its requests are encrypted.
    pub fn is_https(&self) -> bool {
        self.url.scheme() == "https"
    }

    /// Scheme, server and user.
    pub(super) fn url(&self) -> &Url {
        &self.url
    }

    /// Whether it is this machine.
    pub(super) fn is_loopback(&self) -> bool {
        is_loopback(&self.url)
    }

    /// What may be shown of the URL for an event: the server, and what is made of the event. What
    /// else is written behind the server may be a secret.
    ///
    /// # Errors
    /// As [`Address::of`].
    pub(super) fn shown(&self, event: &Event) -> Result<String, String> {
        let (url, server) = (self.of(event)?, self.server());
        let Some(behind) = &self.behind else {
            return Ok(match &url[Position::BeforePath..] {
                "/" => server,
                _ => format!("{server}/…"),
            });
        };
        let parts = behind.render_url_parts(event)?;
        let shown = without_own_text(&parts);
        let slash = if shown.starts_with('/') { "" } else { "/" };
        Ok(format!("{server}{slash}{}", redact(&shown)))
    }

    /// Scheme, host and port.
    pub(in crate::sinks) fn server(&self) -> String {
        let host = self.url.host_str().unwrap_or_default();
        let port = self.url.port().map(|port| format!(":{port}"));
        format!("{}://{host}{}", self.url.scheme(), port.unwrap_or_default())
    }
}

/// Path and query, where `…` stands for each piece that is not made of the event. The names in a
/// query are shown.
fn without_own_text(parts: &[UrlPart]) -> String {
    let mut shown = String::new();
    // A name in the query may stand here.
    let (mut in_query, mut names) = (false, false);
    for part in parts {
        let own = match part {
            UrlPart::Value(value) => {
                shown.push_str(value);
                names = false;
                continue;
            }
            UrlPart::Own(own) => own,
        };
        for piece in own.split_inclusive(['/', '?', '&', '=']) {
            let end = piece.chars().next_back();
            let end = end.filter(|end| ['/', '?', '&', '='].contains(end));
            let text = piece.trim_end_matches(['/', '?', '&', '=']);
            match (names, end) {
                (true, Some('=')) => shown.push_str(text),
                _ if text.is_empty() => {}
                _ => shown.push('…'),
            }
            shown.extend(end);
            in_query |= end == Some('?');
            names = in_query && matches!(end, Some('?' | '&'));
        }
    }
    shown
}

/// Whether it is this machine.
pub(super) fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

/// Whether a path has a segment that means another one (URL Standard, section 4.1: also where it is
/// percent-encoded).
fn has_dots(path_and_query: &str) -> bool {
    let path = path_and_query.split(['?', '#']).next().unwrap_or_default();
    path.split(['/', '\\']).any(|segment| {
        let segment = segment.to_ascii_lowercase().replace("%2e", ".");
        segment == "." || segment == ".."
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{EventKind, StatusEvent};

    fn check(behind: &str, device_id: &str, expected: Result<&str, &str>) {
        let event = Event::from(StatusEvent {
            device_id: device_id.to_owned(),
            ..StatusEvent::sample()
        });
        let server = Url::parse("https://u:p@hooks.example.com:8443").unwrap();
        let behind = Template::parse(behind, &[EventKind::Status].into()).unwrap();
        let url = Address::new(server, behind).of(&event).map(String::from);
        match (url, expected) {
            (Ok(url), Ok(expected)) => {
                let server = "https://u:p@hooks.example.com:8443";
                assert_eq!(url, format!("{server}{expected}"), "{device_id}");
            }
            (Err(error), Err(expected)) => assert!(error.contains(expected), "{error}"),
            (found, _) => panic!("{device_id}: {found:?}"),
        }
    }

    #[test]
    fn no_event_leaves_its_place_in_the_url() {
        let path = "/d/{{ device_id }}/s?s={{ state }}";
        check(path, "7", Ok("/d/7/s?s=fault"));
        check(path, "", Ok("/d//s?s=fault"));
        check(path, "a/b?c#d", Ok("/d/a%2Fb%3Fc%23d/s?s=fault"));
        check(
            path,
            "@evil.example.com",
            Ok("/d/%40evil.example.com/s?s=fault"),
        );
        check(path, "故\r\n", Ok("/d/%E6%95%85%0D%0A/s?s=fault"));
        check(path, "..", Err("is `.` or `..`"));
        check(path, ".", Err("is `.` or `..`"));
        check(path, "...", Ok("/d/.../s?s=fault"));
        check("/{{ device_id }}.", ".", Err("is `.` or `..`"));
        check("?q={{ device_id }}", "../x", Ok("/?q=..%2Fx"));
        check("?q={{ device_id|urlencode }}", "a b", Ok("/?q=a%20b"));
    }

    #[test]
    fn what_may_be_a_secret_is_not_shown() {
        let address = Address::from(Url::parse("http://u:p@h:1/a?token=t").unwrap());
        assert_eq!(format!("{address:?}"), "Address(\"http://h:1\")");
        assert_eq!(address.server(), "http://h:1");
        let event = Event::from(StatusEvent::sample());
        assert_eq!(address.shown(&event).unwrap(), "http://h:1/…");
        for (behind, expected) in [
            ("/hooks/abc/{{ device_id }}?s={{ state }}", "/…/…/1?s=fault"),
            ("/d-{{ device_id }}-x/y", "/…1…/…"),
            ("/a&b=c/{{ device_id }}", "/…&…=…/1"),
            ("/?key=pin5&d={{ device_id }}&word", "/?key=…&d=1&…"),
            ("/{{ device_id }}?k=YWI=&{{ state }}", "/1?k=…=&fault"),
            ("/{% if changed %}own{% endif %}/{{ 'a/b' }}", "/…/a%2Fb"),
            ("?s={{ state }}", "/?s=fault"),
        ] {
            let behind = Template::parse(behind, &[EventKind::Status].into()).unwrap();
            let address = Address::new(Url::parse("http://u:p@h:1").unwrap(), behind);
            assert_eq!(
                address.shown(&event).unwrap(),
                format!("http://h:1{expected}")
            );
        }
    }
}
