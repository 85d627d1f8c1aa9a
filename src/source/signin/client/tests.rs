use std::collections::BTreeMap;
use std::sync::Arc;

use super::*;
use crate::pipeline::Conditions;
use crate::source::signin::{AnswerPart, BodyTemplate, Extract, JsonTemplate, StepMethod};
use crate::transport::{Answer, Body, Jar};

/// A sign-in that takes `token` and `code` out of `data`.
fn signin() -> Signin {
    let extract = [("token", "/data/token"), ("code", "/data/socketCode")];
    let extract = extract.map(|(name, pointer)| Extract {
        name: name.into(),
        part: AnswerPart::Json(pointer.parse().unwrap()),
    });
    let password = JsonTemplate::Text(Secret::from("hunter2+").into());
    let body = JsonTemplate::Table(vec![("password".to_owned(), password)]);
    let step = Step {
        url: "https://h/api/login?key=hunter3".parse().unwrap(),
        method: StepMethod::Post(BodyTemplate::Json(body)),
        headers: vec![("X-Key".to_owned(), Secret::from("hunter4").into())],
        expect: None,
        extract: extract.to_vec(),
    };
    Signin {
        steps: vec![step],
        timeout: Duration::from_secs(10),
        redacted: vec!["hunter2+".into(), "hunter3".into(), "hunter4".into()],
    }
}

impl Signin {
    /// What the answer to its only request gives.
    fn read(&self, answer: Answer) -> Result<Credentials, SigninError> {
        let before = Credentials::default();
        self.steps[0]
            .read(answer, &before, &self.paths())
            .map_err(|error| self.redacted(error, &before))
    }

    fn taking(mut self, extract: &[(&str, AnswerPart)]) -> Signin {
        let extract = extract.iter().map(|(name, part)| Extract {
            name: (*name).into(),
            part: part.clone(),
        });
        self.steps[0].extract = extract.collect();
        self
    }

    fn expecting(mut self, expect: serde_json::Value) -> Signin {
        let table = expect.as_object().expect("a table");
        self.steps[0].expect = Some(Conditions::read(table).unwrap());
        self
    }
}

fn answer(status: u16, body: &str) -> Answer {
    Answer {
        status,
        headers: BTreeMap::from([("content-type".to_owned(), "text/plain".into())]),
        body: Body::Whole(body.as_bytes().to_vec()),
        cookies: Jar::default(),
        cookies_set: Vec::new(),
    }
}

fn redirect(location: &str, cookies: &[&str]) -> Answer {
    Answer {
        headers: BTreeMap::from([("location".to_owned(), location.into())]),
        cookies_set: cookies.iter().map(|name| (*name).to_owned()).collect(),
        ..answer(302, "<html>")
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
    refused_by(&signin(), answer, expected);
}

fn refused_by(signin: &Signin, answer: Answer, expected: &str) {
    let error = signin.read(answer).unwrap_err();
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
    let body = Body::Cut(vec![b'['; 300_000]);
    refused(
        Answer {
            body,
            ..answer(200, "")
        },
        "with more than 262144 bytes",
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
    refused(
        redirect("https://h/portal?t0ken", &[]),
        "answered 302 (to https://h/portal); redirects are not followed: set source.signin.url",
    );
    refused(
        redirect("/", &["JSESSIONID"]),
        "came with the cookie JSESSIONID: if that is the sign-in, as of a form login, write \
         expect = { status = 302 }",
    );
}

#[test]
fn what_is_expected_decides_alone_and_else_the_servers_words_are_the_error() {
    let signin = || signin().taking(&[]);
    let code = || signin().expecting(serde_json::json!({ "/code": [200, 0] }));
    for (status, body) in [(200, r#"{"code":200}"#), (500, r#"{"code":"0"}"#)] {
        code().read(answer(status, body)).unwrap();
    }
    refused_by(
        &code(),
        answer(200, r#"{"code":401,"msg":"密码错误","token":"t0ken"}"#),
        r#"answered 200 ({"code": 401, "msg": "密码错误", "token": …}), but expect wants "/code" = [200, 0]; check the user"#,
    );
    refused_by(
        &code(),
        answer(200, "<html> log in"),
        "(<html> log in), but expect wants",
    );
    let error = code().read(answer(503, "")).unwrap_err();
    assert!(matches!(error, SigninError::Trouble(_)), "{error}");
    let found = || signin().expecting(serde_json::json!({ "status": 302 }));
    found().read(redirect("/", &["JSESSIONID"])).unwrap();
    found().read(redirect("/home?from=login", &[])).unwrap();
    refused_by(
        &found(),
        answer(200, "<html>"),
        "but expect wants status = 302",
    );
}

#[test]
fn redirect_to_the_sign_in_itself_is_a_refusal_whatever_is_expected() {
    let found = || signin().expecting(serde_json::json!({ "status": 302 }));
    for location in [
        "/login?error",
        "https://h/login?error=true#x",
        "/anywhere?a=1&error",
        "/api/login",
        "https://h/api/login?t0ken",
    ] {
        refused_by(
            &found(),
            redirect(location, &["JSESSIONID"]),
            "leads back to the sign-in",
        );
        refused_by(
            &signin(),
            redirect(location, &[]),
            "leads back to the sign-in",
        );
    }
}

#[test]
fn values_come_from_headers_cookies_fields_and_the_text_too() {
    let parts = [
        ("header", AnswerPart::Header("X-Auth".to_owned())),
        ("cookie", AnswerPart::Cookie("absent".to_owned())),
        ("input", AnswerPart::Input("_csrf".to_owned())),
        ("text", AnswerPart::Text),
    ];
    let with = |name: usize| signin().taking(&parts[name..=name]);
    let mut page = answer(200, "<input name=_csrf value='a&amp;b'>\n");
    page.headers.insert("x-auth".to_owned(), "Bearer x".into());
    let value = |signin: Signin, answer: Answer| {
        let name = Arc::clone(&signin.steps[0].extract[0].name);
        let credentials = signin.read(answer).unwrap();
        credentials.value(&name).unwrap().expose_secret().to_owned()
    };
    assert_eq!(value(with(3), answer(200, " e.y.J\r\n")), "e.y.J");
    assert_eq!(
        value(with(2), answer(200, "<input name=_csrf value='a&amp;b'>")),
        "a&b"
    );
    assert_eq!(value(with(0), page), "Bearer x");
    refused_by(
        &with(0),
        answer(200, "t0ken"),
        "in the header X-Auth (extract.header) there is nothing; it came as an answer with the \
         headers content-type",
    );
    refused_by(
        &with(1),
        answer(200, "t0ken"),
        "in the cookie absent (extract.cookie) there is nothing; it came as an answer without \
         cookies",
    );
    refused_by(
        &with(2),
        answer(200, "t0ken"),
        "in the page's field _csrf (extract.input) there is nothing",
    );
    refused_by(
        &with(3),
        answer(200, "t0ken\nt0ken"),
        "as the answer's text (extract.text) there is a text with a line end",
    );
    refused_by(&with(3), answer(200, ""), "there is an empty text");
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
        let answer = Answer {
            headers: BTreeMap::from([("retry-after".to_owned(), "90".into())]),
            ..answer(status, "busy hunter2+")
        };
        let error = signin().read(answer).unwrap_err();
        assert!(error.to_string().contains("(busy …)"), "{error}");
        let SigninError::Busy { after, .. } = error else {
            panic!("{error}")
        };
        assert_eq!(after, Duration::from_secs(90));
    }
}

#[test]
fn of_two_secrets_the_longer_one_is_hidden_first() {
    let signin = Signin {
        redacted: vec!["hunter2".into(), "hunter2-and-more".into()],
        ..signin()
    };
    refused_by(
        &signin,
        answer(401, "no hunter2-and-more, hunter2"),
        "answered 401 (no …, …)",
    );
}

#[test]
fn the_service_itself_says_no_at_a_status_of_trouble() {
    let code = || {
        signin()
            .taking(&[])
            .expecting(serde_json::json!({ "/code": 200 }))
    };
    for status in [404, 500, 501] {
        refused_by(
            &code(),
            answer(status, r#"{"code":500,"msg":"密码错误"}"#),
            "but expect wants \"/code\" = 200; check ",
        );
    }
    refused_by(
        &code(),
        answer(500, r#"{"code":500}"#),
        "check the user and password in source.signin, and its expect",
    );
    let trouble = |status, body: &str| {
        let error = code().read(answer(status, body)).unwrap_err();
        assert!(matches!(error, SigninError::Trouble(_)), "{error}");
    };
    trouble(502, r#"{"code":502}"#);
    trouble(500, r#"{"status":500}"#);
    trouble(500, "<html>");
    let unsaid = |body: &str| signin().read(answer(500, body)).unwrap_err().to_string();
    let advice = "if it answers a wrong password so, write in expect";
    assert!(unsaid(r#"{"code":500}"#).contains(advice));
    assert!(!unsaid("<html>").contains(advice));
}

#[test]
fn redirect_to_any_login_page_refuses_what_we_sent() {
    let found = || signin().expecting(serde_json::json!({ "status": 302 }));
    for location in [
        "/login.html",
        "/login?failed",
        "/app/login",
        "http://h:1/login",
    ] {
        refused_by(&found(), redirect(location, &["SID"]), "leads back to");
    }
    let unasked = || {
        let mut signin = found().taking(&[]);
        let step = &mut signin.steps[0];
        (step.method, step.headers) = (StepMethod::Get, Vec::new());
        step.url = "https://h/start".parse().unwrap();
        signin
    };
    unasked().read(redirect("/app/login", &["SID"])).unwrap();
}

#[test]
fn redirect_to_the_same_path_elsewhere_says_where_to_ask() {
    let found = || signin().expecting(serde_json::json!({ "status": 301 }));
    let moved = |location: &str| Answer {
        status: 301,
        ..redirect(location, &[])
    };
    let mut clear = found();
    clear.steps[0].url = "http://h/api/login".parse().unwrap();
    let error = clear.read(moved("https://h/api/login?t0ken")).unwrap_err();
    assert_eq!(
        error.to_string(),
        "sign-in refused: http://h/api/login answered 301: the sign-in is at another address; \
         set url to https://h/api/login"
    );
    refused_by(
        &found(),
        moved("https://u:hunter@h:8443/api/login"),
        "set url to https://h:8443/api/login",
    );
    // So a wrong password looks behind a proxy that ends TLS.
    for location in ["http://h/api/login", "https://i:8/api/login?error"] {
        refused_by(&found(), moved(location), "leads back to the sign-in");
    }
}

#[tokio::test]
async fn a_later_requests_timeout_is_told_as_that_of_all() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = async {
        let mut silent = Vec::new();
        for number in 0.. {
            let (mut stream, _) = listener.accept().await.unwrap();
            if number == 0 {
                let mut asked = Vec::new();
                while !asked.ends_with(b"\r\n\r\n") {
                    asked.push(stream.read_u8().await.unwrap());
                }
                let answer = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
                stream.write_all(answer.as_bytes()).await.unwrap();
            } else {
                silent.push(stream);
            }
        }
    };
    let step = Step {
        url: format!("http://{address}/").parse().unwrap(),
        method: StepMethod::Get,
        headers: Vec::new(),
        expect: None,
        extract: Vec::new(),
    };
    let signin = Signin {
        steps: vec![step; 2],
        timeout: Duration::from_millis(300),
        redacted: Vec::new(),
    };
    let tls = tls::Settings::default();
    let outcome = tokio::select! {
        outcome = signin.ask(&tls) => outcome,
        () = server => panic!("it does not end"),
    };
    let error = outcome.unwrap_err().to_string();
    assert!(error.contains("no answer within 300 ms"), "{error}");
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
