//! Nothing but `source/broker` knows one server from another.

use std::fs;
use std::path::Path;

use super::collect;
use super::text::{Literals, code, production};

/// As they stand in names and in texts, whatever the case.
const SERVERS: [&str; 5] = ["rabbit", "activemq", "artemis", "spring", "coilmq"];

/// Where a server's name may stand in spite of that: the file, the name, and why.
const EXCEPTIONS: &[(&str, &str, &str)] = &[
    (
        "cli/send.rs",
        "spring",
        "the advice to leave out a flag of this verb",
    ),
    (
        "config/source.rs",
        "rabbit",
        "the author of a configuration knows the server; no CONNECTED has come yet",
    ),
    (
        "config/topics/subscribe.rs",
        "activemq",
        "a header of SUBSCRIBE that needs another key of the configuration",
    ),
    (
        "transport/error.rs",
        "spring",
        "the meaning of a close code: a transport knows no session, and no broker",
    ),
];

#[test]
fn only_the_folder_for_brokers_knows_a_server_by_name() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    collect(&src, &mut files);
    let mut found: Vec<(String, &str)> = Vec::new();
    let mut in_the_folder = 0;
    for file in files {
        let name = file.strip_prefix(&src).expect("files of src/ are in src/");
        let name = name.to_string_lossy().into_owned();
        let text = fs::read_to_string(&file).expect("read a source file");
        let named = servers_in(&text);
        if name.starts_with("source/broker/") {
            in_the_folder += named.len();
        } else if !name.starts_with("demo/") && !name.ends_with("/tests.rs") {
            found.extend(named.into_iter().map(|server| (name.clone(), server)));
        }
    }
    assert!(in_the_folder > 0, "no server in source/broker");
    found.sort();
    let expected: Vec<(String, &str)> = EXCEPTIONS
        .iter()
        .map(|(file, server, _)| ((*file).to_owned(), *server))
        .collect();
    assert_eq!(
        found, expected,
        "servers named outside source/broker, and EXCEPTIONS"
    );
}

#[test]
fn a_server_is_found_in_names_and_texts_and_not_in_comments() {
    for (text, expected) in [
        ("// as RabbitMQ does\nfn f() {}", &[][..]),
        ("if broker == Broker::RabbitMq {}", &["rabbit"]),
        ("const A: &str = \"activemq.x\";", &["activemq"]),
        ("say(\"Artemis // and Spring\")", &["artemis", "spring"]),
        (
            "fn f() {}\n#[cfg(test)]\nmod tests { const S: &str = \"RabbitMQ\"; }",
            &[],
        ),
    ] {
        assert_eq!(servers_in(text), expected, "{text}");
    }
}

fn servers_in(text: &str) -> Vec<&'static str> {
    let code = code(&production(text), Literals::Kept).to_lowercase();
    SERVERS
        .into_iter()
        .filter(|server| code.contains(server))
        .collect()
}
