//! The snapshots of topics as they are written.

use std::time::Duration;

use stomp_bridge::delivery::Confirmations;
use stomp_bridge::source::{Credentials, StepMethod};
use stomp_bridge::transport::Content;

use super::{FOR, SIGNIN, SINK, SOURCE, TOPIC, good, read};

const RESYNC: &str = "[topics.t.resync]\nurl = \"http://h/devices\"\n";

/// The snapshot's status as its topic reads it: device, client and new state.
fn status(text: &str, topic: &str, json: &str) -> [String; 3] {
    let plan = good(text, &[]);
    let decoder = plan.decoders[topic].of_snapshots();
    let key = decoder.status_key(json.as_bytes()).unwrap();
    [key.device_id, key.client_id, key.new_state]
}

#[test]
fn a_snapshot_is_asked_for_as_it_is_written() {
    let text = format!(
        r#"{SOURCE}max_body = "2MiB"
{TOPIC}{SINK}{SIGNIN}
[topics.t.resync]
url = "https://h/devices?code={{{{ signin.code }}}}"
headers = {{ X-Key = "{{{{ secret('a') }}}}" }}
json = {{ deep = {{ code = "{{{{ signin.code }}}}" }} }}
expect = {{ "/code" = 200 }}
every = "10m"
"#
    );
    let plan = good(&text, &[("STOMP_BRIDGE_SECRET_A", "hunter2")]);
    let resync = &plan.source.resyncs["t"];
    let credentials = Credentials::new([("code".into(), "a/b".into())], Default::default());
    let url = resync.url.render(&credentials).unwrap();
    assert_eq!(url.as_str(), "https://h/devices?code=a%2Fb");
    let StepMethod::Post(body) = &resync.method else {
        panic!("what has a body is posted")
    };
    let expected = Content::Json(r#"{"deep":{"code":"a/b"}}"#.into());
    assert_eq!(body.render(&credentials).unwrap(), expected);
    assert!(resync.expect.is_some() && resync.tls.is_none());
    assert_eq!(resync.every, Some(Duration::from_secs(600)));
    assert_eq!(resync.timeout, Duration::from_secs(30));
    assert_eq!(resync.body_bytes_max, 2 << 20);
    let shown = format!("{plan:?}");
    assert!(!shown.contains("hunter2"), "{shown}");

    let plan = good(&format!("{SOURCE}{TOPIC}{SINK}{RESYNC}"), &[]);
    assert_eq!(plan.source.resyncs["t"].method, StepMethod::Get);
    assert_eq!(plan.source.resyncs["t"].every, None);
    assert!(
        good(&format!("{SOURCE}{TOPIC}{SINK}"), &[])
            .source
            .resyncs
            .is_empty()
    );
}

#[test]
fn only_a_history_gets_what_a_snapshot_confirms() {
    let text = format!("{SOURCE}{TOPIC}{SINK}[sinks.w]\ntype = \"webhook\"\nurl = \"http://h\"\n");
    let confirmations = good(&text, &[]).sinks.into_iter();
    let confirmations = confirmations.map(|(delivery, _)| delivery.confirmations);
    let expected = [Confirmations::Wanted, Confirmations::Filtered];
    assert_eq!(confirmations.collect::<Vec<_>>(), expected);
}

#[test]
fn a_snapshot_is_read_as_the_messages_are_but_for_its_own_fields() {
    let topic = format!("{SOURCE}{TOPIC}{SINK}[topics.t.fields]\nclient = {{ const = \"c\" }}\n");
    let json = r#"{"deviceId":1,"id":2,"newState":"x","clientId":3}"#;
    assert_eq!(
        status(&format!("{topic}{RESYNC}"), "t", json),
        ["1", "c", "x"]
    );
    let own = format!("{topic}{RESYNC}fields = {{ device = \"/id\", client = \"/clientId\" }}\n");
    assert_eq!(status(&own, "t", json), ["2", "3", "x"]);
    let own = format!("{topic}{RESYNC}fields = {{ new_state = {{ const = \"up\" }} }}\n");
    assert_eq!(status(&own, "t", json), ["1", "c", "up"]);
}

#[test]
fn each_topic_of_a_for_has_a_snapshot_of_its_own() {
    let text = format!(
        "{SOURCE}{FOR}for = {{ n = \"1..3\" }}\n{SINK}[topics.t.resync]\n\
         url = \"http://h/{{{{ n }}}}/devices\"\nform = {{ client = \"{{{{n}}}}\" }}\n\
         fields = {{ client = {{ const = \"c{{{{ n }}}}\" }} }}\n"
    );
    let plan = good(&text, &[]);
    let urls = plan.source.resyncs.iter();
    let urls: Vec<String> = urls
        .map(|(name, it)| format!("{name} {}", it.url))
        .collect();
    let expected = [1, 2, 3].map(|n| format!("t-{n} http://h/{n}/devices"));
    assert_eq!(urls, expected);
    let StepMethod::Post(body) = &plan.source.resyncs["t-2"].method else {
        panic!("it has a body")
    };
    let sent = body.render(&Credentials::default()).unwrap();
    assert_eq!(sent, Content::Form("client=2".into()));
    let json = r#"{"deviceId":1,"newState":"x"}"#;
    assert_eq!(status(&text, "t-3", json), ["1", "c3", "x"]);
}

#[test]
fn what_is_wrong_with_a_snapshot_is_told_once() {
    let topic = format!("{SOURCE}{FOR}for = {{ n = \"1..3\" }}\n{SINK}[topics.t.resync]\n");
    let url = "url = \"http://h\"\n";
    for (keys, expected) in [
        ("every = \"1m\"\n", "the address of the snapshot is missing"),
        ("url = \"ftp://h\"\n", "http"),
        (
            "url = \"http://u:p@h\"\n",
            "a user and password do not belong here",
        ),
        (
            "url = \"http://h/{{ signin.x }}\"\n",
            "there is no [source.signin]",
        ),
        ("url = \"http://h/{{ m }}\"\n", "`m`"),
        (
            &format!("{url}every = \"9s\"\n"),
            "expected at least 10s, found 9s",
        ),
        (
            &format!("{url}timeout = \"0s\"\n"),
            "expected a duration above 0",
        ),
        (&format!("{url}items = \"data\"\n"), "items"),
        (
            &format!("{url}fields = {{ devcie = \"/id\" }}\n"),
            "did you mean `device`?",
        ),
        (
            &format!("{url}method = \"GET\"\njson = {{}}\n"),
            "a GET has no body",
        ),
        (&format!("{url}expect = {{ code = 1 }}\n"), "expect"),
        (&format!("{url}extract = {{ a = \"/b\" }}\n"), "unknown key"),
    ] {
        let problems = read(&format!("{topic}{keys}"), &[]).expect_err(keys);
        let told = problems.to_string();
        assert!(told.contains(expected), "{keys}{told}");
        assert_eq!(problems.0.len(), 1, "{keys}{told}");
        assert!(told.contains("topics.t.resync"), "{keys}{told}");
    }
}
