//! Who may ask the HTTP listener for what: by the Host that a request names, and by its token. It
//! reads no body.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::Json;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, StatusCode, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use serde_json::json;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::control::Access;
use super::cookie::cookie;
use super::settings::Settings;
use crate::hex::hex;
use crate::secret::Secret;

/// What everybody may ask for: a probe cannot sign in.
const OPEN_PATHS: &[&str] = &["/healthz", "/readyz", "/sign-in"];
/// Of these everybody may have each.
const OPEN_FOLDER: &str = "/assets/";
/// It has a check of its own.
const CONTROL_PATH: &str = "/control";

/// Decides over each request.
#[derive(Debug, Clone)]
pub(super) struct Guard(Arc<Rules>);

#[derive(Debug)]
struct Rules {
    /// The address of the listener.
    address: SocketAddr,
    hosts: Vec<String>,
    token: Option<Secret>,
    is_tls: bool,
    access: Arc<Access>,
    /// The cookie of who has signed in with the token; another one after each start.
    cookie: Option<String>,
}

/// The cookie's name.
const COOKIE: &str = "stomp_bridge";

/// What an answer may say to the one who asked; an extension of the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Openness {
    /// All of it.
    Full,
    /// Whether the daemon is well, and not why not.
    StatusOnly,
}

impl Guard {
    pub(super) fn new(settings: &Settings, address: SocketAddr, access: Arc<Access>) -> Guard {
        let start = Uuid::new_v4();
        let cookie = settings.token.as_ref().map(|token| {
            let text = format!("cookie {start} {}", token.expose_secret());
            hex(Sha256::digest(text.as_bytes()))
        });
        Guard(Arc::new(Rules {
            cookie,
            is_tls: settings.tls.is_some(),
            address,
            hosts: settings.hosts.clone(),
            token: settings.token.clone(),
            access,
        }))
    }

    /// The cookie that this token is worth, as a header sets it; `None`: it is not the token.
    pub(super) fn cookie_for(&self, token: &str) -> Option<String> {
        let rules = &*self.0;
        let mut headers = HeaderMap::new();
        headers.insert(
            header::AUTHORIZATION,
            format!("Bearer {token}").parse().ok()?,
        );
        if !rules.has_token(&headers) {
            return None;
        }
        let secure = if rules.is_tls { "; Secure" } else { "" };
        let cookie = rules.cookie.as_ref()?;
        Some(format!(
            "{COOKIE}={cookie}; Path=/; HttpOnly; SameSite=Strict{secure}"
        ))
    }
}

/// Lets a request through to its route, or answers it.
pub(super) async fn check(
    State(guard): State<Guard>,
    mut request: Request,
    next: Next,
) -> Response {
    let rules = &*guard.0;
    if !rules.knows(request.uri(), request.headers()) {
        return refusal(
            StatusCode::MISDIRECTED_REQUEST,
            "this listener is not asked by that Host: name it in http.hosts, or use localhost or \
             the address of http.listen",
        );
    }
    let reads = rules.has_token(request.headers()) || rules.has_cookie(request.headers());
    let open = match (&rules.token, reads) {
        (None, _) | (Some(_), true) => Openness::Full,
        (Some(_), false) => Openness::StatusOnly,
    };
    let path = request.uri().path();
    let is_open =
        OPEN_PATHS.contains(&path) || path == CONTROL_PATH || path.starts_with(OPEN_FOLDER);
    if open == Openness::StatusOnly && !is_open {
        if wants_a_page(&request) {
            return (StatusCode::SEE_OTHER, [(header::LOCATION, "/sign-in")]).into_response();
        }
        let answer = refusal(
            StatusCode::UNAUTHORIZED,
            "this needs the header `Authorization: Bearer` with the token of http.token",
        );
        return ([(header::WWW_AUTHENTICATE, "Bearer")], answer).into_response();
    }
    request.extensions_mut().insert(open);
    next.run(request).await
}

impl Rules {
    /// Whether the request is for us. A web page of another site can have a browser ask us (DNS
    /// rebinding): it then names the page's own host. A request without a Host is no browser's.
    fn knows(&self, uri: &Uri, headers: &HeaderMap) -> bool {
        let named = headers.get_all(header::HOST).iter();
        let named = named.map(|host| host.to_str().ok());
        let absolute = uri.authority().map(|authority| Some(authority.as_str()));
        named
            .chain(absolute)
            .all(|host| host.is_some_and(|host| self.is_ours(host)))
    }

    fn is_ours(&self, host: &str) -> bool {
        let name = without_port(host);
        let name = name.strip_suffix('.').unwrap_or(name);
        if let Ok(ip) = name.parse::<IpAddr>() {
            let listen = self.address.ip().to_canonical();
            // A page's own host is a name, hence no address of ours.
            return listen.is_unspecified()
                || ip.to_canonical() == listen
                || (ip.is_loopback() && listen.is_loopback());
        }
        name.eq_ignore_ascii_case("localhost")
            || self
                .hosts
                .iter()
                .any(|known| known.eq_ignore_ascii_case(name))
    }

    /// What a sign-in has given to a browser; never enough for a change.
    fn has_cookie(&self, headers: &HeaderMap) -> bool {
        let given = cookie(headers, COOKIE);
        let digest = |text: &str| Sha256::digest(text.as_bytes());
        self.cookie
            .as_deref()
            .zip(given.as_deref())
            .is_some_and(|(expected, given)| digest(expected) == digest(given))
    }

    /// The configured token, or the one beside the journal. Takes as long for a near miss as for
    /// any other.
    fn has_token(&self, headers: &HeaderMap) -> bool {
        let authorization = headers.get(header::AUTHORIZATION);
        let Some(given) = authorization.and_then(|value| value.to_str().ok()) else {
            return false;
        };
        let digest = |text: &str| Sha256::digest(text.as_bytes());
        let is_token =
            |token: &Secret| digest(given) == digest(&format!("Bearer {}", token.expose_secret()));
        let configured = self.token.as_ref().is_some_and(is_token);
        self.access.allows(Some(given)) || configured
    }
}

/// Whether a browser asks for a page, which can show a form in its place.
fn wants_a_page(request: &Request) -> bool {
    let accepted = request.headers().get(header::ACCEPT);
    let accepted = accepted
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    request.method() == Method::GET && accepted.contains("text/html")
}

/// A Host without its port: of `[::1]:9610` the address within the brackets.
fn without_port(host: &str) -> &str {
    if let Some(rest) = host.strip_prefix('[') {
        return rest.split_once(']').map_or(rest, |(address, _)| address);
    }
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    }
}

fn refusal(status: StatusCode, error: &str) -> Response {
    (status, Json(json!({ "error": error }))).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(listen: &str) -> Rules {
        let address = listen.parse().unwrap();
        Rules {
            address,
            hosts: vec!["bridge.example.com".to_owned()],
            token: Some(Secret::from("a token of some length")),
            is_tls: true,
            access: Arc::new(Access::new(address)),
            cookie: Some("0a1b".to_owned()),
        }
    }

    fn check(listen: &str, host: &str, expected: bool) {
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, host.parse().unwrap());
        let known = rules(listen).knows(&Uri::from_static("/status"), &headers);
        assert_eq!(known, expected, "{listen} asked as {host}");
    }

    #[test]
    fn a_host_is_localhost_or_the_address_or_named() {
        for (listen, host, expected) in [
            ("127.0.0.1:9610", "localhost:9610", true),
            ("127.0.0.1:9610", "LOCALHOST.", true),
            ("127.0.0.1:9610", "127.0.0.1:9610", true),
            ("127.0.0.1:9610", "[::1]:9610", true),
            ("127.0.0.1:9610", "Bridge.example.com:443", true),
            ("127.0.0.1:9610", "evil.example:9610", false),
            ("127.0.0.1:9610", "localhost.evil.example", false),
            ("127.0.0.1:9610", "127.0.0.1.evil.example", false),
            ("127.0.0.1:9610", "192.0.2.7", false),
            ("127.0.0.1:9610", "", false),
            ("192.0.2.7:9610", "192.0.2.7:9610", true),
            ("192.0.2.7:9610", "192.0.2.8:9610", false),
            ("0.0.0.0:9610", "192.0.2.7:9610", true),
            ("0.0.0.0:9610", "evil.example", false),
            ("[::]:9610", "[2001:db8::1]:9610", true),
        ] {
            check(listen, host, expected);
        }
    }

    #[test]
    fn every_name_that_a_request_gives_counts() {
        let rules = rules("127.0.0.1:9610");
        let none = HeaderMap::new();
        assert!(rules.knows(&Uri::from_static("/status"), &none));
        assert!(!rules.knows(&Uri::from_static("http://evil.example/status"), &none));
        let mut two = HeaderMap::new();
        two.append(header::HOST, "localhost".parse().unwrap());
        two.append(header::HOST, "evil.example".parse().unwrap());
        assert!(!rules.knows(&Uri::from_static("/status"), &two));
    }

    #[test]
    fn a_token_is_worth_a_cookie_that_lets_read_and_no_other_site_sends() {
        let guard = Guard(Arc::new(rules("192.0.2.7:9610")));
        assert_eq!(guard.cookie_for("another token"), None);
        let set = guard.cookie_for("a token of some length").unwrap();
        assert!(
            set.ends_with("; HttpOnly; SameSite=Strict; Secure"),
            "{set}"
        );
        let reads = |cookie: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::COOKIE, cookie.parse().unwrap());
            guard.0.has_cookie(&headers)
        };
        assert!(reads(set.split_once(';').unwrap().0));
        assert!(!reads("stomp_bridge=0a1c") && !reads("stomp_bridge="));
    }

    #[test]
    fn a_token_is_the_configured_one_or_the_one_beside_the_journal() {
        let rules = rules("127.0.0.1:9610");
        let given = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::AUTHORIZATION, text.parse().unwrap());
            rules.has_token(&headers)
        };
        assert!(given("Bearer a token of some length"));
        assert!(given(&format!("Bearer {}", rules.access.token)));
        assert!(!given("Bearer a token of some lengt"));
        assert!(!given("Bearer"));
        assert!(!rules.has_token(&HeaderMap::new()));
    }
}
