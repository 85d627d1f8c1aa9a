//! Conditions and templates that would hold for nothing, whatever comes.

use stomp_bridge::config::{Level, Problem};

use super::{SINK, SOURCE, TOPIC, good, read};

const WEBHOOK: &str = "[sinks.w]\ntype = \"webhook\"\nurl = \"http://h\"\n";

fn warnings(more: &str) -> Vec<Problem> {
    good(&format!("{SOURCE}{TOPIC}{WEBHOOK}{more}"), &[]).warnings
}

fn error(more: &str) -> String {
    let text = format!("{SOURCE}{TOPIC}{WEBHOOK}{more}");
    let problems = read(&text, &[]).expect_err(more);
    assert!(
        problems
            .0
            .iter()
            .any(|problem| problem.level == Level::Error)
    );
    problems.to_string()
}

#[test]
fn comparison_that_can_never_hold_is_an_error_that_says_what_to_write() {
    for (key, expected) in [
        (
            "when = \"device_id == 3\"",
            "so they are never equal: write '3'",
        ),
        (
            "when = \"changed == 'true'\"",
            "write changed or not changed",
        ),
        (
            "when = \"severity >= 'crit'\"",
            "they are ok < info < warning < critical",
        ),
        ("when = \"city|loewr == 'x'\"", "did you mean `lower`?"),
        (
            "when = \"changed && severity == 'ok'\"",
            "write `and` in place of `&&`",
        ),
        (
            "body = \"{{ device_id|tojsno }}\"",
            "unknown filter `tojsno`, did you mean `tojson`?",
        ),
        (
            "body = \"{% if client_id == 1 %}x{% endif %}\"",
            "write '1'",
        ),
        (
            "body = \"{% if severity > 'info' %}x{% endif %}\"",
            "write severity in ['warning', 'critical']",
        ),
        // Two mistakes in one text are both told.
        (
            "when = \"device_id == 3 and client_id == 7\"",
            "write '3'; `client_id` is a text and `7`",
        ),
    ] {
        let error = error(key);
        assert!(error.contains(expected), "{key}: {error}");
    }
}

#[test]
fn word_that_nothing_has_is_a_warning_that_names_the_nearest() {
    for (when, expected) in [
        (
            "severity == 'crtical'",
            "there is no severity 'crtical', did you mean 'critical'?",
        ),
        (
            "state == '故障'",
            "[states] calls '故障' by the name 'fault': compare state with 'fault'",
        ),
        (
            "state in ['falut']",
            "[states] gives no name 'falut', did you mean 'fault'?",
        ),
        ("topic == 'tt'", "there is no topic 'tt'"),
        ("false", "`when` holds for no status"),
    ] {
        let found = warnings(&format!("when = \"{when}\"\n"));
        let [warning] = &found[..] else {
            panic!("{when}: {found:?}")
        };
        assert_eq!(warning.path, "sinks.w.when");
        assert!(warning.message.contains(expected), "{when}: {warning}");
    }
    for when in [
        "severity >= 'warning'",
        "state == 'fault' and topic == 't' and device_id == '3'",
        "severity == 'unknown'",
    ] {
        let found = warnings(&format!("when = \"{when}\"\n"));
        assert!(found.is_empty(), "{when}: {found:?}");
    }
}

#[test]
fn templates_are_warned_of_the_same_words() {
    let condition = "{% if severity == 'crtical' %}x{% endif %}";
    for (path, key) in [
        ("body", format!("body = \"{condition}\"")),
        (
            "headers.Title",
            format!("headers = {{ Title = \"{condition}\" }}"),
        ),
        (
            "body",
            "batch = {}\nbody = \"{% for e in events if e.severity == 'crtical' %}x{% endfor %}\""
                .to_owned(),
        ),
    ] {
        let found = warnings(&format!("{key}\n"));
        let [warning] = &found[..] else {
            panic!("{key}: {found:?}")
        };
        assert_eq!(warning.path, format!("sinks.w.{path}"));
        let expected = "there is no severity 'crtical', did you mean 'critical'?";
        assert!(warning.message.contains(expected), "{key}: {warning}");
    }
    let mqtt =
        format!("[sinks.m]\ntype = \"mqtt\"\nbody = \"{condition}\"\ntopic = \"a{condition}\"\n");
    assert_eq!(warnings(&mqtt).len(), 2);
    let known = "body = \"{% if severity in ['critical'] and kind == 'status' %}x{% endif %}\"\n";
    assert_eq!(warnings(known), []);
}

#[test]
fn words_of_the_vocabulary_are_looked_up_without_blanks() {
    let text = format!("{SOURCE}{TOPIC}{SINK}[states]\n\" 着火 \" = {{ name = \"fire\" }}\n");
    let plan = good(&text, &[]);
    assert_eq!(plan.decoders["t"].state_name("着火\u{3000}"), "fire");
}

#[test]
fn a_test_names_what_the_configuration_has() {
    let message = "message = '{}'\n";
    for (test, expected) in [
        (
            "topic = \"t\"\n".to_owned(),
            "a test has a message, or the file of one",
        ),
        (
            format!("{message}file = \"a\"\n"),
            "a test has a message, or the file of one",
        ),
        (message.to_owned(), "this test expects nothing"),
        (format!("{message}event = {{}}\n"), "or undecodable = true"),
        (format!("{message}topic = \"tt\"\n"), "unknown topic `tt`"),
        (format!("{message}sinks = [\"ww\"]\n"), "unknown sink `ww`"),
        (
            format!("{message}event = {{ stat = \"x\" }}\n"),
            "did you mean `state`?",
        ),
        (
            format!("{message}mesage = \"x\"\n"),
            "did you mean `message`?",
        ),
    ] {
        let error = error(&format!("[[tests]]\n{test}"));
        assert!(error.contains(expected), "{test}: {error}");
    }
    // By its own name, where it has one, also where a value has the wrong type.
    for wrong in ["sinks = [\"ww\"]", "undecodable = 7", "mesage = \"x\""] {
        let tests = format!(
            "[[tests]]\n{message}sinks = []\n[[tests]]\nname = \"a fault\"\n{message}{wrong}\n"
        );
        let error = error(&tests);
        let (_, named) = error.split_once("error: ").expect("an error");
        assert!(named.starts_with("test `a fault`: "), "{error}");
    }
    let text = format!("{SOURCE}{TOPIC}{WEBHOOK}[[tests]]\n{message}sinks = [\"w\"]\n");
    let plan = good(&text, &[]);
    assert_eq!((&*plan.tests[0].name, &*plan.tests[0].topic), ("1", "t"));
}

/// One sink for each trap, and one that is right.
const TRAPS: [(&str, &str); 5] = [
    ("id_number", "device_id == 3"),
    ("severity_order", "severity >= 'warning'"),
    ("platform_word", "state == '故障'"),
    ("typo", "severity == 'crtical'"),
    ("right", "severity == 'critical'"),
];

fn traps(left_out: &str) -> String {
    let sink = |(name, when): &(&str, &str)| {
        format!(
            "[sinks.{name}]\ntype = \"webhook\"\nurl = \"http://h/{name}\"\nwhen = \"{when}\"\n"
        )
    };
    let sinks = TRAPS.iter().filter(|(name, _)| *name != left_out);
    format!("{SOURCE}{TOPIC}{}", sinks.map(sink).collect::<String>())
}

#[test]
fn each_trap_of_a_configuration_is_told_and_what_is_right_is_not() {
    let problems = read(&traps(""), &[]).expect_err("an id is no number").0;
    let mut errors = problems
        .iter()
        .filter(|problem| problem.level == Level::Error);
    let error = errors.next().unwrap().to_string();
    assert!(error.contains("sinks.id_number.when"), "{error}");
    assert!(error.contains("write '3'"), "{error}");
    assert_eq!(errors.next(), None);
    let warnings = good(&traps("id_number"), &[]).warnings;
    let told: Vec<String> = warnings.iter().map(Problem::to_string).collect();
    let [word, typo] = &told[..] else {
        panic!("{told:?}");
    };
    assert!(
        word.contains("sinks.platform_word.when") && word.contains("with 'fault'"),
        "{word}"
    );
    assert!(
        typo.contains("sinks.typo.when") && typo.contains("mean 'critical'"),
        "{typo}"
    );
}
