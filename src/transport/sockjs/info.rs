//! SockJS's `/info`: what the endpoint offers, and where it really is.

use serde_json::Value;
use url::Url;

use super::http::{Http, refusal};
use crate::transport::error::{DialError, Stage};
use crate::transport::peer::{Deadline, Peer, shown};
use crate::transport::upgrade::shown_text;
use crate::transport::{gateway, http};

/// What we need of the answer.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Info {
    /// Whether the websocket transport is worth trying.
    pub(super) websocket: Offer,
    /// Where the sessions live: the configured base, unless the answer has a `base_url`.
    pub(super) base: Url,
}

/// Whether the server has a transport.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Offer {
    Present,
    Absent,
}

/// The fields of an answer (sockjs-protocol 0.3.3, section "Info request"). One of them is enough.
const FIELDS: [&str; 5] = [
    "websocket",
    "base_url",
    "origins",
    "cookie_needed",
    "entropy",
];

/// An answer is a hundred bytes.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// Asks the endpoint at `base`.
pub(super) async fn ask(
    http: &Http,
    peer: &Peer,
    base: &Url,
    deadline: Deadline,
) -> Result<Info, DialError> {
    deadline
        .bound(peer, Stage::Info, request(http, peer, base))
        .await
}

async fn request(http: &Http, peer: &Peer, base: &Url) -> Result<Info, DialError> {
    let url = below(base, "info");
    let failed = |error: reqwest::Error| http::dial_error(peer, Stage::Info, &error);
    let mut answer = http.get(&url).await.map_err(failed)?;
    if answer.status() != 200 {
        return Err(refusal(&url, answer).await);
    }
    let mut body = Vec::new();
    while let Some(bytes) = answer.chunk().await.map_err(failed)? {
        if body.len() + bytes.len() > ANSWER_BYTES_MAX {
            return Err(wrong(
                &url,
                format!("the answer is longer than {ANSWER_BYTES_MAX} bytes: {NO_ENDPOINT}"),
            ));
        }
        body.extend_from_slice(&bytes);
    }
    read(base, &url, &body)
}

const NO_ENDPOINT: &str =
    "this is no SockJS endpoint; a plain WebSocket one is configured as ws:// or wss://";

fn read(base: &Url, url: &Url, body: &[u8]) -> Result<Info, DialError> {
    let body = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
    let not_ours = |problem: &str| {
        let problem = format!("the answer is not the JSON object of SockJS ({problem})");
        wrong(url, format!("{problem}: {NO_ENDPOINT}"))
    };
    let answer: Value =
        serde_json::from_slice(body).map_err(|error| not_ours(&error.to_string()))?;
    let Value::Object(fields) = &answer else {
        return Err(not_ours("expected an object"));
    };
    // Some servers answer `{}`.
    if !fields.is_empty() && !FIELDS.iter().any(|name| fields.contains_key(*name)) {
        if let Some(words) = gateway::wants_sign_in(&answer) {
            let url = shown(url);
            return Err(DialError::Gateway { url, words });
        }
        return Err(not_ours(&format!(
            "none of {} in {}",
            FIELDS.join(", "),
            shown_text(body)
        )));
    }
    let websocket = match fields.get("websocket") {
        Some(offer) if is_no(offer) => Offer::Absent,
        _ => Offer::Present,
    };
    let base_url = fields.get("base_url").and_then(Value::as_str);
    let base = match base_url.filter(|base| !base.is_empty()) {
        Some(moved) => elsewhere(base, url, moved)?,
        None => base.clone(),
    };
    Ok(Info { websocket, base })
}

/// As JavaScript reads it, but for texts.
fn is_no(offer: &Value) -> bool {
    match offer {
        Value::Bool(offer) => !offer,
        Value::Number(offer) => offer.as_f64() == Some(0.0),
        Value::String(offer) => matches!(offer.trim(), "" | "false" | "0"),
        _ => false,
    }
}

/// A `base_url` may move the sessions to another path or port. Our headers and the STOMP passcode
/// go there, so it may not move them to another host, nor from TLS to clear text.
fn elsewhere(base: &Url, url: &Url, moved: &str) -> Result<Url, DialError> {
    let mut target = base
        .join(moved)
        .map_err(|error| wrong(url, format!("its base_url {moved:?} is no URL: {error}")))?;
    if target.scheme() != base.scheme() || target.host_str() != base.host_str() {
        return Err(wrong(
            url,
            format!(
                "its base_url leads to {}: configure that URL, if it is to be trusted",
                shown(&target)
            ),
        ));
    }
    if target.query().is_none() {
        target.set_query(base.query());
    }
    Ok(target)
}

/// A path below the base, with the base's query behind it.
pub(super) fn below(base: &Url, path: &str) -> Url {
    let mut url = base.clone();
    url.set_path(&format!("{}/{path}", base.path().trim_end_matches('/')));
    url.set_fragment(None);
    // Cannot fail with a host; a configured user belongs to no request.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    url
}

fn wrong(url: &Url, problem: String) -> DialError {
    DialError::Info {
        url: shown(url),
        problem,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> Url {
        text.parse().expect("a URL")
    }

    #[test]
    fn session_path_goes_before_the_query() {
        let check =
            |base: &str, expected: &str| assert_eq!(below(&url(base), "info").as_str(), expected);
        check("http://h/ws", "http://h/ws/info");
        check("http://h/ws/", "http://h/ws/info");
        check("http://h", "http://h/info");
        check(
            "http://u:p@h:81/a%20b/ws/?token=x#f",
            "http://h:81/a%20b/ws/info?token=x",
        );
    }

    fn check(body: &str, expected: Result<(Offer, &str), &str>) {
        let base = url("https://h/ws?token=x");
        let found = read(&base, &below(&base, "info"), body.as_bytes());
        match (found, expected) {
            (Ok(info), Ok((websocket, base))) => {
                assert_eq!(
                    (info.websocket, info.base.as_str()),
                    (websocket, base),
                    "{body}"
                );
            }
            (Err(error), Err(expected)) => {
                assert!(error.to_string().contains(expected), "{body}: {error}")
            }
            (found, _) => panic!("{body}: {found:?}"),
        }
    }

    #[test]
    fn info_says_what_is_offered_and_where() {
        let spring = r#"{"entropy":-1,"origins":["*:*"],"cookie_needed":true,"websocket":true}"#;
        check(spring, Ok((Offer::Present, "https://h/ws?token=x")));
        check(
            r#"{"websocket":false}"#,
            Ok((Offer::Absent, "https://h/ws?token=x")),
        );
        check("{}", Ok((Offer::Present, "https://h/ws?token=x")));
        check(
            r#"{"base_url":"/other"}"#,
            Ok((Offer::Present, "https://h/other?token=x")),
        );
        check(
            r#"{"base_url":"https://h:81/other?a=b"}"#,
            Ok((Offer::Present, "https://h:81/other?a=b")),
        );
        check(
            r#"{"base_url":""}"#,
            Ok((Offer::Present, "https://h/ws?token=x")),
        );
    }

    #[test]
    fn info_is_read_however_sloppily_it_is_written() {
        let here = |offer| Ok((offer, "https://h/ws?token=x"));
        check("\u{feff}{\"websocket\":true}", here(Offer::Present));
        for yes in ["\"true\"", "1", "null"] {
            check(&format!("{{\"websocket\":{yes}}}"), here(Offer::Present));
        }
        for no in ["\"false\"", "0", "\"\""] {
            check(&format!("{{\"websocket\":{no}}}"), here(Offer::Absent));
        }
        check(r#"{"origins":["*:*"],"base_url":7}"#, here(Offer::Present));
    }

    #[test]
    fn info_of_a_gateway_is_a_refusal_in_its_words() {
        check(
            r#"{"code":401,"msg":"令牌已过期"}"#,
            Err("https://h/ws/info: the gateway wants a sign-in: code 401, 令牌已过期"),
        );
        check(
            r#"{"code":500,"msg":"busy"}"#,
            Err("cookie_needed, entropy in {\"code\":500,\"msg\":\"busy\"}"),
        );
    }

    #[test]
    fn info_that_leads_astray_is_refused() {
        check(
            r#"{"base_url":"https://evil/"}"#,
            Err("its base_url leads to https://evil/: configure that URL"),
        );
        check(
            r#"{"base_url":"http://h/ws"}"#,
            Err("its base_url leads to http://h/ws: configure"),
        );
        check(
            "<html>",
            Err("https://h/ws/info: the answer is not the JSON object of SockJS"),
        );
        check("[]", Err("a plain WebSocket one is configured as ws://"));
    }
}
