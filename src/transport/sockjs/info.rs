//! SockJS's `/info`: what the endpoint offers, and where it really is.

use serde::Deserialize;
use url::Url;

use super::http::{Http, refusal};
use crate::transport::error::{DialError, Stage};
use crate::transport::http;
use crate::transport::peer::{Deadline, Peer, shown};

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

/// The answer as it is written (sockjs-protocol 0.3.3, section "Info request").
#[derive(Deserialize)]
struct Answer {
    websocket: Option<bool>,
    base_url: Option<String>,
}

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
    let answer = serde_json::from_slice::<Answer>(body).map_err(|error| {
        wrong(
            url,
            format!("the answer is not the JSON object of SockJS ({error}): {NO_ENDPOINT}"),
        )
    })?;
    let websocket = if answer.websocket.unwrap_or(true) {
        Offer::Present
    } else {
        Offer::Absent
    };
    let base = match answer.base_url.as_deref().filter(|base| !base.is_empty()) {
        Some(moved) => elsewhere(base, url, moved)?,
        None => base.clone(),
    };
    Ok(Info { websocket, base })
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
