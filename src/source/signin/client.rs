//! The HTTP sign-in before each connection: asks, and takes out of the answer what the connection
//! needs. What it sends and what it is given is in no log and in no error.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tracing::info;
use url::Url;

use super::credentials::Credentials;
use super::error::SigninError;
use super::outline::{self, outline};
use super::template;
use crate::pipeline::Pointer;
use crate::secret::Secret;
use crate::source::masked::masked;
use crate::tls;
use crate::transport::{Answer, Body, Method, Proxies, Request, exchange};

/// `[source.signin]`.
#[derive(Clone, PartialEq, Eq)]
pub struct Signin {
    /// `http` or `https`.
    pub url: Url,
    /// The request's method.
    pub method: Method,
    /// Sent with it.
    pub headers: Vec<(String, Secret)>,
    /// The timeout of the whole sign-in.
    pub timeout: Duration,
    /// The values to take out of the answer.
    pub extract: Vec<Extract>,
    /// What must not be shown, should the server repeat it.
    pub redacted: Vec<Secret>,
}

/// A value of the answer, and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Extract {
    /// As in `{{ signin.NAME }}`.
    pub name: Arc<str>,
    /// In the answer.
    pub pointer: Pointer,
}

/// An answer to a sign-in is a few hundred bytes, or a token of a few thousand.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

impl Signin {
    /// Signs in. With the source's TLS settings, since it is one platform mostly.
    pub(in crate::source) async fn ask(
        &self,
        tls: &tls::Settings,
    ) -> Result<Credentials, SigninError> {
        let request = Request {
            url: self.url.clone(),
            method: self.method.clone(),
            headers: self.headers.clone(),
            tls: tls.clone(),
            proxies: Proxies::of_environment(),
            timeout: self.timeout,
            body_bytes_max: ANSWER_BYTES_MAX,
        };
        let credentials = self.read(exchange(&request).await?)?;
        info!(url = %masked(&self.url), "signed in");
        Ok(credentials)
    }

    fn read(&self, answer: Answer) -> Result<Credentials, SigninError> {
        match answer.status {
            429 | 503 if let Some(after) = answer.retry_after => Err(SigninError::Busy {
                text: self.told(&answer),
                after,
            }),
            200..=299 => Ok(Credentials::new(self.extract(&answer)?, answer.cookies)),
            // A gateway answers so while the service behind it starts; the others say themselves
            // that they will pass.
            404 | 408 | 425 | 500..=599 => Err(SigninError::Trouble(self.told(&answer))),
            _ => Err(SigninError::Refused(self.told(&answer))),
        }
    }

    fn extract(&self, answer: &Answer) -> Result<Vec<(Arc<str>, Secret)>, SigninError> {
        if self.extract.is_empty() {
            return Ok(Vec::new());
        }
        let refused = |problem: String| {
            let url = masked(&self.url);
            SigninError::Refused(
                self.redact(&format!("{url} answered {}, but {problem}", answer.status)),
            )
        };
        let Body::Whole(body) = &answer.body else {
            return Err(refused(format!(
                "with more than {ANSWER_BYTES_MAX} bytes: is this the address to sign in at"
            )));
        };
        let text =
            std::str::from_utf8(body).map_err(|_| refused("the answer is not UTF-8".to_owned()))?;
        let value = |extract: &Extract| match value_at(&extract.pointer, text) {
            Ok(value) => Ok((Arc::clone(&extract.name), value)),
            Err(Unfit::NotJson) => {
                let (kind, bytes) = (
                    answer.content_type.as_deref().unwrap_or("of no type"),
                    text.len(),
                );
                Err(refused(format!(
                    "the answer is not JSON ({kind}, {bytes} bytes): is this the address to sign in at"
                )))
            }
            Err(Unfit::Value(found)) => {
                let Extract { name, pointer } = extract;
                let shown = outline(text, self.extract.iter().map(|extract| &extract.pointer));
                Err(refused(format!(
                    "at \"{pointer}\" (extract.{name}) {found}; it came as {shown}"
                )))
            }
        };
        self.extract.iter().map(value).collect()
    }

    /// An answer that is no sign-in, in one line.
    fn told(&self, answer: &Answer) -> String {
        let (url, status) = (masked(&self.url), answer.status);
        let said = match (&answer.location, &answer.body) {
            (Some(location), _) => format!(" (to {location})"),
            (None, Body::Whole(body) | Body::Cut(body)) => {
                let pointers = self.extract.iter().map(|extract| &extract.pointer);
                let said = outline::excerpt(body, pointers);
                if said.is_empty() {
                    String::new()
                } else {
                    format!(" ({said})")
                }
            }
        };
        self.redact(&format!(
            "{url} answered {status}{said}; {}",
            advice(status)
        ))
    }

    fn redact(&self, text: &str) -> String {
        self.redacted
            .iter()
            .map(Secret::expose_secret)
            .filter(|secret| !secret.is_empty())
            .fold(
                text.to_owned(),
                // As it is, and as a form or a URL has it.
                |text, secret| {
                    text.replace(secret, "…")
                        .replace(&template::percent_encoded(secret), "…")
                },
            )
    }
}

fn advice(status: u16) -> &'static str {
    match status {
        300..=399 => {
            "redirects are not followed: set source.signin.url to the address that it leads to; a sign-in answers 200"
        }
        400 | 422 => {
            "check source.signin: the names in json or form, and which of them the server wants"
        }
        401 | 403 => "check the user and password in source.signin",
        404 | 405 => "check source.signin: url and method",
        408 | 425 => "it is tried again",
        415 => {
            "check source.signin: the server may want form in place of json, or json in place of form"
        }
        429 => "too many sign-ins: it is tried again later",
        500..=599 => "the server or a proxy before it is in trouble: see its log",
        _ => "check source.signin and the server's log",
    }
}

/// Why a value cannot be used.
enum Unfit {
    NotJson,
    /// What there is instead.
    Value(String),
}

/// A text, a number as it is written, or `true` or `false`.
fn value_at(pointer: &Pointer, json: &str) -> Result<Secret, Unfit> {
    let found = |what: &str| Unfit::Value(format!("there is {what}"));
    let raw = pointer
        .find(json)
        .map_err(|_| Unfit::NotJson)?
        .ok_or_else(|| found("nothing"))?;
    let value = match raw.as_bytes().first() {
        Some(b'"') => serde_json::from_str::<String>(raw).map_err(|_| Unfit::NotJson)?,
        Some(b'{') => return Err(found("an object, not a text or a number")),
        Some(b'[') => return Err(found("an array, not a text or a number")),
        Some(b'n') => return Err(found("null")),
        _ => raw.to_owned(),
    };
    if value.trim().is_empty() {
        return Err(found("an empty text"));
    }
    // It would end a header of HTTP or STOMP and begin another.
    if value.chars().any(char::is_control) {
        return Err(found(
            "a text with a line end or another control character, which no header can hold",
        ));
    }
    Ok(value.into())
}

/// Without the URL's query, and without the values of headers and body.
impl fmt::Debug for Signin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let headers: Vec<&str> = self.headers.iter().map(|(name, _)| name.as_str()).collect();
        f.debug_struct("Signin")
            .field("url", &masked(&self.url))
            .field("method", &self.method)
            .field("headers", &headers)
            .field("timeout", &self.timeout)
            .field("extract", &self.extract)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transport::{Content, Jar};

    /// A sign-in that takes `token` and `code` out of `data`.
    fn signin() -> Signin {
        let extract = [("token", "/data/token"), ("code", "/data/socketCode")];
        let extract = extract.map(|(name, pointer)| Extract {
            name: name.into(),
            pointer: pointer.parse().unwrap(),
        });
        Signin {
            url: "https://h/api/login?key=hunter3".parse().unwrap(),
            method: Method::Post(Content::Json(r#"{"password":"hunter2+"}"#.into())),
            headers: vec![("X-Key".to_owned(), "hunter4".into())],
            timeout: Duration::from_secs(10),
            extract: extract.to_vec(),
            redacted: vec!["hunter2+".into(), "hunter3".into(), "hunter4".into()],
        }
    }

    fn answer(status: u16, body: &str) -> Answer {
        let (location, content_type) = (None, Some("text/plain".to_owned()));
        Answer {
            status,
            location,
            retry_after: None,
            content_type,
            body: Body::Whole(body.as_bytes().to_vec()),
            cookies: Jar::default(),
        }
    }

    #[test]
    fn texts_numbers_and_truth_values_are_taken_as_they_are_written() {
        let check = |value: &str, expected: &str| {
            let credentials = signin()
                .read(answer(
                    200,
                    &format!(r#"{{"data":{{"token":{value},"socketCode":1}}}}"#),
                ))
                .unwrap();
            assert_eq!(
                credentials.value("token").unwrap().expose_secret(),
                expected
            );
        };
        check(r#""a\u0062\/c""#, "ab/c");
        check(
            "123456789012345678901234567890",
            "123456789012345678901234567890",
        );
        check("true", "true");
        check("-1.50", "-1.50");
    }

    fn refused(answer: Answer, expected: &str) {
        let error = signin().read(answer).unwrap_err();
        assert!(matches!(error, SigninError::Refused(_)), "{error}");
        let error = error.to_string();
        assert!(
            error.starts_with("sign-in refused: https://h/api/login answered "),
            "{error}"
        );
        assert!(error.contains(expected), "{error} is not {expected}");
        assert!(
            !error.contains("hunter") && !error.contains("t0ken"),
            "{error}"
        );
    }

    #[test]
    fn an_answer_without_the_value_is_a_refusal_that_shows_what_came_and_no_value() {
        let check = |body: &str, expected: &str| refused(answer(200, body), expected);
        check(
            r#"{"code":401,"msg":"密码错误","data":null}"#,
            r#"200, but at "/data/token" (extract.token) there is nothing; it came as {"code": 401, "data": null, "msg": "密码错误"}"#,
        );
        check(
            r#"{"data":{"token":"t0ken","socketCode":null,"expires":123456,"code":"t0ken2"}}"#,
            r#"at "/data/socketCode" (extract.code) there is null; it came as {"data": {"code": …, "expires": …, "socketCode": null, "token": …}}"#,
        );
        check(
            r#"{"data":{"token":{"t0ken":1}}}"#,
            r#"there is an object, not a text or a number; it came as {"data": {"token": …}}"#,
        );
        check(r#"{"data":{"token":[1]}}"#, "there is an array");
        check(r#"{"data":{"token":" "}}"#, "there is an empty text");
        check(
            r#"{"data":{"token":"t0ken\r\nhost:b"}}"#,
            "a line end or another control character",
        );
        check("t0ken", "the answer is not JSON (text/plain, 5 bytes)");
        check("", "the answer is not JSON");
    }

    #[test]
    fn an_answer_without_end_is_a_refusal() {
        let body = Body::Cut(vec![b'['; ANSWER_BYTES_MAX]);
        refused(
            Answer {
                body,
                ..answer(200, "")
            },
            "with more than 65536 bytes",
        );
    }

    #[test]
    fn a_refusal_says_what_the_server_said_without_what_we_said() {
        refused(
            answer(401, "Bad password hunter2+ for key hunter3"),
            "answered 401 (Bad password … for key …); check the user",
        );
        refused(
            answer(403, r#"{"error":"Forbidden hunter2+","token":"t0ken"}"#),
            r#"{"error": "Forbidden …", "token": …}"#,
        );
        refused(
            answer(422, ""),
            "answered 422; check source.signin: the names",
        );
        refused(answer(429, ""), "too many sign-ins");
        let redirect = Answer {
            location: Some("https://h/login".to_owned()),
            ..answer(302, "<html>")
        };
        refused(
            redirect,
            "answered 302 (to https://h/login); redirects are not followed: set source.signin.url",
        );
    }

    #[test]
    fn a_server_in_trouble_is_no_refusal() {
        for status in [404, 408, 500, 502, 503] {
            let error = signin().read(answer(status, "")).unwrap_err();
            assert!(matches!(error, SigninError::Trouble(_)), "{error}");
            assert!(
                error
                    .to_string()
                    .starts_with("sign-in failed: https://h/api/login answered"),
                "{error}"
            );
        }
    }

    #[test]
    fn a_server_that_says_when_to_come_again_is_left_alone_until_then() {
        for status in [429, 503] {
            let asked = Some(Duration::from_secs(90));
            let answer = Answer {
                retry_after: asked,
                ..answer(status, "busy hunter2+")
            };
            let error = signin().read(answer).unwrap_err();
            assert!(error.to_string().contains("(busy …)"), "{error}");
            let SigninError::Busy { after, .. } = error else {
                panic!("{error}")
            };
            assert_eq!(Some(after), asked);
        }
    }

    #[test]
    fn debug_shows_no_secret() {
        let shown = format!("{:?}", signin());
        assert!(
            shown.contains("https://h/api/login") && shown.contains("X-Key"),
            "{shown}"
        );
        assert!(!shown.contains("hunter"), "{shown}");
    }
}
