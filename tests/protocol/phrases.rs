//! The files in `src/ops/trouble`, by which the page says errors in Chinese and tells an error from
//! what to do about it: the program says each phrase, and each advice of the program is a phrase.

use std::fmt::Write as _;
use std::fs;
use std::sync::LazyLock;

use crate::architecture::production;
use crate::operations::texts;
use crate::pages;
use crate::vocabulary::lexed;

const PHRASES: &str = "src/ops/trouble/phrases.txt";

/// Of a configuration's problems.
const CONFIGURATION: &str = "src/ops/trouble/configuration.txt";

/// What may stand in a text of the program in place of a hole of a phrase.
const HOLE: char = '\u{1}';

/// The functions that say what to do about an error, or name it, and the section that has their
/// words. Without a name: the texts of the file that follow an error, behind `; `.
const SPEAKERS: &[(&str, &str, &str)] = &[
    ("src/sinks/webhook/answer.rs", "advice", "advice"),
    ("src/sinks/mqtt/broker.rs", "", "advice"),
    ("src/sinks/mqtt/reason.rs", "words", "errors"),
    ("src/sinks/history/sqlite/failure.rs", "advice", "advice"),
    ("src/sinks/history/postgres/failure.rs", "advice", "advice"),
    ("src/sinks/history/postgres/unusable.rs", "advice", "advice"),
    ("src/transport/error.rs", "http_advice", "advice"),
    ("src/transport/error.rs", "answer_advice", "advice"),
    ("src/tls/explained.rs", "advice", "advice"),
    ("src/tls/untrusted.rs", "advice", "advice"),
    ("src/source/signin/step.rs", "advice", "advice"),
    ("src/source/resync/ask.rs", "advice", "advice"),
];

/// A phrase in English, its holes as [`HOLE`], and its section.
fn phrases() -> Vec<(String, String)> {
    let text = [CONFIGURATION, PHRASES].map(pages::read).concat();
    let mut section = String::new();
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let mut lines = lines.filter(|line| !line.is_empty());
    let mut phrases = Vec::new();
    while let Some(line) = lines.next() {
        if let Some(name) = line.strip_prefix('[').and_then(|it| it.strip_suffix(']')) {
            section = name.to_owned();
            continue;
        }
        lines.next().expect("the Chinese of it");
        let holes = ["{}", "{=}", "{#}"];
        let en = holes.iter().fold(line.to_owned(), |text, hole| {
            text.replace(hole, &HOLE.to_string())
        });
        phrases.push((en, section.clone()));
    }
    assert!(phrases.len() > 400, "{} phrases", phrases.len());
    phrases
}

/// Whether an error has words that the page says in Chinese: by itself, or an error within it.
pub(crate) fn is_known(error: &str) -> bool {
    static ERRORS: LazyLock<Vec<String>> = LazyLock::new(|| {
        let errors = phrases().into_iter().filter(|(_, of)| of == "errors");
        errors.map(|(phrase, _)| phrase).collect()
    });
    let without_advice = || {
        error
            .rsplit_once("; ")
            .is_some_and(|(what, _)| is_known(what))
    };
    let is_within = || {
        error
            .split_once(": ")
            .is_some_and(|(_, rest)| is_known(rest))
    };
    ERRORS.iter().any(|phrase| fits(error, phrase)) || without_advice() || is_within()
}

/// Whether a text is a phrase with something in its holes.
fn fits(text: &str, phrase: &str) -> bool {
    let Some((first, rest)) = phrase.split_once(HOLE) else {
        return text == phrase;
    };
    let Some(text) = text.strip_prefix(first) else {
        return false;
    };
    let next = rest.split(HOLE).next().unwrap_or_default();
    match rest.is_empty() {
        true => true,
        false => text
            .match_indices(next)
            .any(|(at, _)| fits(&text[at..], rest)),
    }
}

/// A text of the program with its own holes as [`HOLE`], as it is printed.
fn printed(literal: &str) -> String {
    let (mut text, mut rest) = (String::new(), literal);
    while let Some(at) = rest.find(['{', '}', '\\']) {
        text.push_str(&rest[..at]);
        let after = &rest[at..];
        let mut letters = after.chars();
        let taken = match (letters.next(), letters.next()) {
            (Some(first), Some(second)) if first == second && first != '\\' => {
                text.push(first);
                2
            }
            (Some('\\'), Some(escaped)) => {
                text.push(escaped);
                1 + escaped.len_utf8()
            }
            (Some('{'), _) => match after.find('}') {
                Some(end) if !after[..end].contains([' ', '"']) => {
                    text.push(HOLE);
                    end + 1
                }
                // A brace of a text that is no format.
                _ => {
                    text.push('{');
                    1
                }
            },
            (first, _) => {
                text.extend(first);
                first.map_or(1, char::len_utf8)
            }
        };
        rest = &after[taken.min(after.len())..];
    }
    text + rest
}

#[test]
fn the_program_says_every_phrase() {
    let texts: Vec<String> = texts().iter().map(|text| printed(text)).collect();
    let texts = texts.join("\n");
    let mut report = String::new();
    for (phrase, _) in phrases() {
        // A phrase may be made of several texts: each longer piece of it stands somewhere.
        let pieces = phrase.split([HOLE, ':', ';', '(', ')', '|', ',']);
        let pieces = pieces.map(str::trim).filter(|piece| piece.len() > 3);
        for piece in pieces.filter(|piece| !is_said(&texts, piece) && !is_of_others(&phrase)) {
            writeln!(report, "{phrase:?}: no text of src/ has `{piece}`").expect("a String");
        }
    }
    assert!(report.is_empty(), "{report}");
}

/// Whether a text has the piece, or two of them have its parts: an error and the step that failed.
fn is_said(texts: &str, piece: &str) -> bool {
    let is_long = |part: &str| part.len() > 3 && texts.contains(part);
    let mut spaces = piece.match_indices(' ');
    is_long(piece) || spaces.any(|(at, _)| is_long(&piece[..at]) && is_long(&piece[at + 1..]))
}

/// The words of the system and of libraries, which no text of ours has.
fn is_of_others(phrase: &str) -> bool {
    let others = [
        "(os error",
        "failed to lookup address information",
        "failed to find time zone",
        "error sending request",
        "operation timed out",
        "client error (Connect)",
        "tcp connect error",
        "error communicating with database",
        "error occurred while attempting to establish a TLS connection",
        "encountered unexpected or invalid data",
        "bytes at EOF",
    ];
    others.iter().any(|words| phrase.contains(words))
}

#[test]
fn every_advice_of_the_program_is_a_phrase() {
    let phrases = phrases();
    let mut report = String::new();
    for (file, function, section) in SPEAKERS {
        let source = fs::read_to_string(pages::root().join(file)).expect("read a source file");
        let source = production(&source);
        let said: Vec<String> = body_of(&source, function)
            .into_iter()
            .flat_map(|body| lexed(body).1)
            .map(|(_, literal)| printed(&literal))
            .filter(|text| !function.is_empty() || text.starts_with("; "))
            .collect();
        let said: Vec<&str> = said
            .iter()
            .map(|text| text.trim_start_matches(['{', HOLE, ';', ':', ' ']))
            .filter(|text| text.trim().contains(' ') || *section == "errors")
            .collect();
        assert!(said.len() > 1, "{file}: {function} says {said:?}");
        for text in said {
            let is_known = phrases.iter().any(|(phrase, of)| {
                let phrase = phrase.trim_start_matches(HOLE);
                *of == *section
                    && (phrase == text || phrase.ends_with(text) || phrase.starts_with(text))
            });
            if !is_known {
                writeln!(report, "{file}: {function} says `{text}`").expect("a String");
            }
        }
    }
    assert!(report.is_empty(), "not in {PHRASES}:\n{report}");
}

/// The bodies of the functions of this name: each up to the brace that its line's indent closes.
fn body_of<'a>(source: &'a str, function: &str) -> Vec<&'a str> {
    if function.is_empty() {
        return vec![source];
    }
    let head = format!("fn {function}(");
    let starts = source.match_indices(&head).map(|(at, _)| at);
    let bodies = starts.map(|at| {
        let line = source[..at].rfind('\n').map_or(0, |end| end + 1);
        let indent: String = source[line..].chars().take_while(|c| *c == ' ').collect();
        let end = source[at..].find(&format!("\n{indent}}}\n"));
        &source[at..end.map_or(source.len(), |end| at + end)]
    });
    bodies.collect()
}
