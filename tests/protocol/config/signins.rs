//! The sign-in as it is written, with what is filled into it.

use std::time::Duration;

use stomp_bridge::source::{AnswerPart, Credentials, SigninTemplate, Step, StepMethod};
use stomp_bridge::transport::Content;

use super::{SIGNIN, SINK, SOURCE, TOPIC, good};

#[test]
fn a_sign_in_is_what_is_written_with_its_secrets_filled_in() {
    let text = format!(
        r#"
[source]
url = "wss://h/ws?a={{{{ secret('a') }}}}&token={{{{ signin.token }}}}"
login = "{{{{ signin.user }}}}"
passcode = "{{{{ signin.token }}}}"
headers = {{ Authorization = "Bearer {{{{ signin.token }}}}" }}
[source.signin]
url = "https://h/login?key={{{{ secret('a') }}}}"
json = {{ username = "bridge", password = "{{{{ secret('a') }}}}", remember = true, deep = {{ n = [1, 2.5] }} }}
extract = {{ token = "/data/token", user = "" }}
{TOPIC}headers = {{ selector = "u = '{{{{ signin.user }}}}'" }}
{SINK}"#
    );
    let plan = good(&text, &[("STOMP_BRIDGE_SECRET_A", "a&b")]);
    let signin = plan.source.signin.as_ref().unwrap();
    let none = Credentials::default();
    let url = signin.steps[0].url.render(&none).unwrap();
    assert_eq!(url.as_str(), "https://h/login?key=a%26b");
    let expected = r#"{"deep":{"n":[1,2.5]},"password":"a&b","remember":true,"username":"bridge"}"#;
    assert_eq!(
        sent(&signin.steps[0], &none),
        Content::Json(expected.into())
    );
    assert_eq!(signin.timeout, Duration::from_secs(10));
    let pass = Credentials::new(
        [("token".into(), "t/1".into()), ("user".into(), "me".into())],
        Default::default(),
    );
    let rendered =
        |template: &SigninTemplate| template.render(&pass).unwrap().expose_secret().to_owned();
    let source = &plan.source;
    assert_eq!(
        source.urls[0].render(&pass).unwrap().as_str(),
        "wss://h/ws?a=a%26b&token=t%2F1"
    );
    assert_eq!(rendered(source.login.as_ref().unwrap()), "me");
    assert_eq!(rendered(source.passcode.as_ref().unwrap()), "t/1");
    assert_eq!(rendered(&source.headers[0].1), "Bearer t/1");
    assert_eq!(rendered(&source.topics[0].headers[0].1), "u = 'me'");
    let shown = format!("{plan:?}");
    assert!(
        !shown.contains("a&b") && !shown.contains("a%26b") && !shown.contains("Bearer"),
        "{shown}"
    );

    let form = SIGNIN.replace(
        "extract",
        "form = { user = \"a b\", password = \"{{ secret('a') }}\", n = 5 }\nextract",
    );
    let plan = good(
        &format!("{SOURCE}{TOPIC}{SINK}{form}"),
        &[("STOMP_BRIDGE_SECRET_A", "a&b")],
    );
    let form = sent(&plan.source.signin.as_ref().unwrap().steps[0], &none);
    assert_eq!(form, Content::Form("n=5&password=a%26b&user=a+b".into()));
    let plan = good(
        &format!("{SOURCE}{TOPIC}{SINK}{SIGNIN}method = \"GET\"\n"),
        &[],
    );
    assert_eq!(
        plan.source.signin.as_ref().unwrap().steps[0].method,
        StepMethod::Get
    );
}

/// What a request of a sign-in sends.
fn sent(step: &Step, credentials: &Credentials) -> Content {
    match &step.method {
        StepMethod::Get => Content::Empty,
        StepMethod::Post(body) => body.render(credentials).unwrap(),
    }
}

#[test]
fn a_sign_in_of_several_requests_fills_each_with_what_the_ones_before_gave() {
    let text = format!(
        r#"{SOURCE}headers = {{ X-Both = "{{{{ signin.csrf }}}} {{{{ signin.token }}}}" }}
[source.signin]
timeout = "3s"
[[source.signin.steps]]
url = "https://h/login"
method = "GET"
extract = {{ csrf = {{ input = "_csrf" }}, xsrf = {{ cookie = "XSRF-TOKEN" }} }}
[[source.signin.steps]]
url = "https://h/login?a={{{{ signin.xsrf }}}}"
form = {{ username = "bridge", password = "{{{{ secret('a') }}}}", _csrf = "{{{{ signin.csrf }}}}" }}
headers = {{ X-XSRF-TOKEN = "{{{{ signin.xsrf }}}}" }}
expect = {{ status = [302, 303], "/code" = 0 }}
extract = {{ token = {{ header = "Authorization" }}, all = {{ text = true }} }}
{TOPIC}{SINK}"#
    );
    let plan = good(&text, &[("STOMP_BRIDGE_SECRET_A", "p&w")]);
    let signin = plan.source.signin.as_ref().unwrap();
    assert_eq!(signin.timeout, Duration::from_secs(3));
    let [first, second] = &signin.steps[..] else {
        panic!("{signin:?}")
    };
    assert_eq!(
        (&first.method, first.expect.is_none()),
        (&StepMethod::Get, true)
    );
    let parts = |step: &Step| -> Vec<AnswerPart> {
        step.extract
            .iter()
            .map(|extract| extract.part.clone())
            .collect()
    };
    assert_eq!(
        parts(first),
        [
            AnswerPart::Input("_csrf".to_owned()),
            AnswerPart::Cookie("XSRF-TOKEN".to_owned()),
        ]
    );
    assert_eq!(
        parts(second),
        [
            AnswerPart::Text,
            AnswerPart::Header("Authorization".to_owned()),
        ]
    );
    let gave = [("csrf".into(), "c/1".into()), ("xsrf".into(), "x&1".into())];
    let gave = Credentials::new(gave, Default::default());
    let url = second.url.render(&gave).unwrap();
    assert_eq!(url.as_str(), "https://h/login?a=x%261");
    let body = "_csrf=c%2F1&password=p%26w&username=bridge";
    assert_eq!(sent(second, &gave), Content::Form(body.into()));
    let header = second.headers[0].1.render(&gave).unwrap();
    assert_eq!(header.expose_secret(), "x&1");
    let expect = second.expect.as_ref().unwrap();
    assert_eq!(expect.unmet(303, r#"{"code":"0"}"#), None);
    assert!(expect.unmet(200, r#"{"code":0}"#).is_some());
    let shown = format!("{plan:?}");
    assert!(!shown.contains("p&w"), "{shown}");
}
