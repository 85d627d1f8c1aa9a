use super::*;

fn mistakes(source: &str) -> String {
    of_condition(source).mistakes.join("; ")
}

#[test]
fn what_can_never_be_equal_is_a_mistake_that_says_what_to_write() {
    for (source, expected) in [
        (
            "device_id == 3",
            "`device_id` is a text and `3` is a number, so they are never equal: write '3'",
        ),
        ("3 != client_id", "write '3'"),
        ("device_id in [1, '2']", "write '1'"),
        (
            "not (device_id not in (1, 2))",
            "write '1'; `device_id` is a text and `2`",
        ),
        (
            "longitude > '100'",
            "`longitude` is a number and `'100'` is a text, so they are never equal: write 100",
        ),
        (
            "changed == 'true'",
            "`changed` is true or false and `'true'` is a text, so they are never equal: write changed or not changed",
        ),
        ("changed == 1", "write changed or not changed"),
        ("state == true", "write 'true'"),
        ("device_id|int == '3'", "write 3"),
        (
            "1 < device_id < 3",
            "write '1'; `device_id` is a text and `3`",
        ),
        (
            "severity == 'critical' or 'warning'",
            "'warning' alone is true for every status",
        ),
        ("'fault'", "alone is true for every status"),
        (
            "severity >= 'warnin'",
            "'warnin' has no place among the severities, did you mean 'warning'?",
        ),
        (
            "severity > 'unknown'",
            "'unknown' has no place among the severities: they are ok < info < warning < critical",
        ),
        ("severity > state", "`state` is no severity"),
        ("severity > 'critical'", "no severity is beyond 'critical'"),
        ("severity is ge('warnin')", "did you mean 'warning'?"),
        (
            "state in ('fault')",
            "`state in 'fault'` asks whether state is a part of that text: write a list, \
             state in ['fault']",
        ),
        ("device_id not in '1, 2'", "device_id in ['1', '2']"),
        (
            "city in changed",
            "`changed` is true or false, so nothing can be in it",
        ),
        (
            "'x' in device_id|length",
            "is a number, so nothing can be in it",
        ),
        (
            "state == ['fault', 'offline']",
            "`state` is a text and `['fault', 'offline']` is a list, so they are never equal: \
             write state in ['fault', 'offline']",
        ),
        ("city|split(',') == 'a'", "write 'a' in city|split(',')"),
        ("device_id is eq(3)", "write '3'"),
        ("device_id is in([3])", "write '3'"),
        ("city|capitalize == 3", "write '3'"),
        ("serial|default('') == 3", "write '3'"),
        ("(city if changed else detail) == 3", "write '3'"),
        ("1 if 'x' else 2", "'x' alone is true"),
    ] {
        let mistakes = mistakes(source);
        assert!(mistakes.contains(expected), "{source}: {mistakes}");
    }
}

#[test]
fn a_mistyped_name_of_the_language_is_named() {
    // Behind what no status reaches.
    let filter = mistakes("false and payload|tojsno == 'x'");
    assert_eq!(filter, "unknown filter `tojsno`, did you mean `tojson`?");
    let test = mistakes("city is definde");
    assert_eq!(test, "unknown test `definde`, did you mean `defined`?");
    assert!(mistakes("city|nonsense").contains("expected one of abs, attr"));
}

#[test]
fn what_may_be_equal_is_none() {
    for source in [
        "device_id == '3'",
        "device_id|int > 5",
        "longitude > 100 and latitude < 30.5",
        "changed == true",
        "changed and severity >= 'warning'",
        "'ok' < severity <= 'warning'",
        "payload.temperature > 5 and payload.name == 'x'",
        "serial == none or serial is none",
        "received_at > '2026-01-01'",
        "'盐' in city and device_id in ['1', '2']",
        "state == new_state",
        "city|urlencode == 'a' and city|reverse == 'a' and city|first == 'a'",
        "payload.list|reverse == 'a' and payload.list|first == 3",
        "serial|default(3) == 3 and device_id is in(['3'])",
        "state in payload.list and state in city and 'a' in 'abc'",
        "{'a': 1}.a == 1 and state in {'a': 1} and payload.list == ['a']",
        "severity is ge('warning')",
    ] {
        assert_eq!(mistakes(source), "", "{source}");
    }
}

#[test]
fn words_are_those_that_a_vocabulary_judges() {
    let source =
        "state == 'a' or 'b' == topic or severity in ('c', 'e') or city == 'd' or state == 'a'";
    let words = of_condition(source).words;
    let words: Vec<_> = words.iter().map(|it| (it.column, &*it.word)).collect();
    let expected = [
        ("state", "a"),
        ("topic", "b"),
        ("severity", "c"),
        ("severity", "e"),
    ];
    assert_eq!(words, expected);
}

#[test]
fn a_templates_conditions_are_judged_where_they_are_about_columns() {
    for (source, expected) in [
        ("{% if device_id == 3 %}x{% endif %}", "write '3'"),
        (
            "{{ 'x' if severity >= 'warning' }}",
            "write severity in ['warning', 'critical']",
        ),
        (
            "{% for state in payload.x %}{{ state == 1 }}{% endfor %}",
            "",
        ),
        ("{% set topic = 3 %}{% if topic == 3 %}x{% endif %}", ""),
        ("{{ serial or 'none' }}", ""),
        (
            "{% if severity == 'critical' or 'warning' %}x{% endif %}",
            "'warning' alone is true",
        ),
        ("{% if state in 'fault' %}x{% endif %}", "write a list"),
        (
            "{% if device_id|urlencode == 'a%20b' %}x{% endif %}",
            "`device_id|urlencode` is a part of a URL and `'a%20b'` is a text, so they are \
             never equal: leave `urlencode` out",
        ),
        ("{{ device_id|urlencode|upper == 'A' }}", ""),
        ("{% if kind == 3 %}x{% endif %}", "write '3'"),
    ] {
        let mistakes = of_template(source).mistakes.join("; ");
        assert!(
            if expected.is_empty() {
                mistakes.is_empty()
            } else {
                mistakes.contains(expected)
            },
            "{source}: {mistakes}"
        );
    }
}
