//! Words that were given up, held against all that a user reads and against the names in the code.
//! `docs/vocabulary.md` says what the words in use mean. Single words in prose are for a reviewer's
//! eye: most of them have another meaning somewhere.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::architecture::{collect, production};
use crate::log_lines;
use crate::pages;

/// Subcommands of the command line, and the word in use.
const VERBS: &[(&str, &str)] = &[("dead", "dlq"), ("ls", "list"), ("renew", "reset-id")];

/// Words of configuration keys, metrics, tables, columns and table heads.
const NAMES: &[(&str, &str)] = &[
    ("able", "up"),
    ("account", "accounting"),
    ("accounts", "accounting"),
    ("again", "redelivered"),
    ("aside", "dead_lettered, DLQ"),
    ("dropped", "evicted"),
    ("imbalance", "accounting_errors"),
    ("imbalances", "accounting_errors"),
    ("ledger", "accounting"),
    ("lost", "evicted"),
    ("rejected", "undecodable"),
    ("weakness", "warning"),
    ("weaknesses", "warnings"),
];

/// Words that no text of the program has: log lines, errors, `--help`.
const WORDS: &[(&str, &str)] = &[
    ("anew", "again"),
    ("aside", "dead-lettered"),
    ("disowned", "a stale copy"),
    ("errand", "attempt"),
    ("imbalance", "accounting error"),
    ("ledger", "delivery accounting"),
    ("parcel", "attempt"),
    ("roster", "subscriptions"),
    ("weakness", "configuration warning"),
    ("whoever", "the one who"),
];

/// Phrases that stand nowhere: documents, examples, `--help`, log lines, errors, SQL.
const PHRASES: &[(&str, &str)] = &[
    ("set aside", "dead-lettered"),
    ("sets aside", "dead-letters"),
    ("for good", "permanently"),
    ("once more", "again; redelivered"),
    ("weak point", "configuration warning"),
    ("weak points", "configuration warnings"),
    ("take up", "apply"),
    ("taken up", "applied"),
    ("takes up", "applies"),
    ("takes this up", "applies this key"),
    ("nothing is changed", "reload rejected"),
    ("lets us in", "accepts connections"),
    ("older copy", "stale copy"),
    ("journal renew", "journal reset-id"),
    ("dead ls", "dlq list"),
    ("dead show", "dlq show"),
    ("dead redrive", "dlq redrive"),
    ("dead drop", "dlq drop"),
    ("loses none of them", "nothing is lost once it is received"),
    (
        "accounts do not balance",
        "delivery accounting does not balance",
    ),
    ("more than a fifth", "rejection rate above 20 %"),
    ("of the house", "of the project"),
    ("all the same", "still, or nothing"),
    ("any more", "no longer, or nothing"),
    ("for ever", "without end"),
    ("is told", "gets, or reads"),
    ("lets go of", "releases, or forgets"),
    ("so long", "for that time"),
    ("so many", "this number of"),
    ("under way", "in flight"),
    ("what is", "the thing by its name"),
];

/// Phrases of the list that comments still have in hundreds of places.
const BUT_IN_COMMENTS: &[&str] = &["so many", "what is"];

/// Words of identifiers, where the word has no other meaning in the code.
const IDENTIFIERS: &[(&str, &str)] = &[
    ("able", "up"),
    ("aside", "dead letter"),
    ("complaint", "log throttle"),
    ("courier", "publisher"),
    ("crossings", "wire trace"),
    ("disowned", "stale, fenced"),
    ("dismiss", "stop"),
    ("distrust", "circuit breaker"),
    ("enlist", "start"),
    ("errand", "attempt"),
    ("house", "rig"),
    ("hush", "redact"),
    ("imbalance", "accounting error"),
    ("judgement", "circuit breaker"),
    ("ledger", "accounting"),
    ("leftover", "orphan"),
    ("occasion", "reason"),
    ("parcel", "attempt"),
    ("recruit", "start"),
    ("roster", "subscriptions"),
    ("seat", "slot"),
    ("sighting", "status key"),
    ("suspect", "circuit breaker"),
    ("traffic", "engine"),
    ("weakness", "warning"),
    ("witness", "reference time"),
    ("wording", "template"),
    ("worth a line", "should_log"),
];

/// Where a given-up word may stand: a path or its beginning, the word, and why. An exception that
/// nothing needs is an error, too.
const EXCEPTIONS: &[(&str, &str, &str)] = &[];

/// Texts of the program that print a value with `{:?}`, by file and placeholder. All values are
/// texts from outside, in quotes and with escaped control characters. An entry that nothing needs
/// is an error, too.
const QUOTED: &[(&str, &str)] = &[
    // What the command line, the environment and the configuration say.
    ("src/cli/log/layer.rs", "{value:?}"),
    // `%value` comes to the log's layer as such a value.
    ("src/cli/redacted.rs", "{value:?}"),
    ("src/faults.rs", "{fault:?}"),
    ("src/sinks/webhook/headers.rs", "{name:?}"),
    ("src/transport/headers.rs", "{name:?}"),
    // What events and servers say.
    ("src/sinks/mqtt/sink.rs", "{topic:?}"),
    ("src/sinks/mqtt/topic.rs", "{c:?}"),
    ("src/sinks/webhook/target.rs", "{id:?}"),
    ("src/transport/sockjs/info.rs", "{moved:?}"),
    // A character of JSON.
    ("src/transport/sockjs/frame.rs", "{:?}"),
];

/// The macros that write a line of the log.
const LOG_MACROS: &[&str] = &["error!", "warn!", "info!", "debug!", "trace!", "event!"];

/// A given-up word that was found.
struct Found {
    place: String,
    word: &'static str,
    said: String,
}

#[test]
fn nobody_reads_a_word_that_was_given_up() {
    let mut found = Vec::new();
    let mut search = |place: &str, text: &str, words: &[(&'static str, &'static str)]| {
        for (number, line) in text.lines().enumerate() {
            for &(word, new) in words.iter().filter(|(word, _)| has(line, word)) {
                found.push(Found {
                    place: format!("{place}:{}", number + 1),
                    word,
                    said: format!("`{word}` is `{new}`: {}", around(line, word)),
                });
            }
        }
    };
    let (verbs, help) = help();
    search("commands", &verbs.join("\n"), VERBS);
    search("--help", &joined(&help), WORDS);
    search("--help", &joined(&help), PHRASES);
    for (place, text) in documents() {
        search(&place, &joined(&text), PHRASES);
    }
    for (place, text) in read("config.toml").into_iter().chain(examples()) {
        search(&place, &keys(&text), NAMES);
    }
    for file in sources("src") {
        let text = fs::read_to_string(root().join(&file)).expect("read a source file");
        // Tests stand last in a file.
        let text = text
            .split_once("#[cfg(test)]")
            .map_or(&*text, |(code, _)| code);
        if file.ends_with("tests.rs") {
            continue;
        }
        let (_, literals) = lexed(text);
        for (line, literal) in literals {
            let place = format!("{file}:{line}");
            match literal.contains(' ') {
                true => {
                    search(&place, &literal, WORDS);
                    search(&place, &literal, PHRASES);
                }
                // A table head, or the name of a metric.
                false if is_head(&literal) || file == "src/ops/metrics/list.rs" => {
                    search(&place, &words(&literal), NAMES);
                }
                false => {}
            }
        }
    }
    for (place, text) in migrations() {
        let code = text
            .lines()
            .map(|line| line.split("--").next().unwrap_or_default());
        search(&place, &words(&code.collect::<Vec<_>>().join("\n")), NAMES);
        search(&place, &text, PHRASES);
    }
    let in_comments: Vec<_> = PHRASES
        .iter()
        .filter(|(phrase, _)| !BUT_IN_COMMENTS.contains(phrase))
        .copied()
        .collect();
    for folder in ["src", "tests", "benches", "fuzz"] {
        for file in sources(folder) {
            let text = fs::read_to_string(root().join(&file)).expect("read a source file");
            search(&file, &words(&lexed(&text).0), IDENTIFIERS);
            let comments = joined(&comments(&text));
            search(&file, &comments, WORDS);
            search(&file, &comments, &in_comments);
        }
    }
    let mut needed = BTreeSet::new();
    let mut report = String::new();
    for Found { place, word, said } in &found {
        let exception = EXCEPTIONS
            .iter()
            .position(|(path, but, _)| place.starts_with(path) && (but == word || *but == "*"));
        match exception {
            Some(index) => {
                needed.insert(index);
            }
            None => writeln!(report, "{place}: {said}").expect("write to a String"),
        }
    }
    for (index, (path, word, _)) in EXCEPTIONS.iter().enumerate() {
        if !needed.contains(&index) {
            writeln!(report, "no exception is needed: {path} {word}").expect("write to a String");
        }
    }
    assert!(report.is_empty(), "given-up words:\n{report}");
}

#[test]
fn a_word_is_found_where_it_stands_alone() {
    for (line, word, found) in [
        ("An event is Set Aside.", "set aside", true),
        ("the offset asides", "set aside", false),
        ("what is", "what is", true),
        ("somewhat is", "what is", false),
        ("able, or not", "able", true),
        ("table", "able", false),
    ] {
        assert_eq!(has(line, word), found, "{line}: {word}");
    }
    assert_eq!(words("sink_again SinkAgain x"), "sink again Sink Again x");
    let (code, literals) =
        lexed("let a = \"b \\\"c\\\" \\\n   d\"; // e 'f'\nlet 'g' = r#\"h \"i\"#;");
    assert_eq!(code, "let a = \n; \nlet  = ;");
    assert_eq!(
        literals,
        [(1, "b \\\"c\\\" d".to_owned()), (3, "h \"i".to_owned())]
    );
    assert_eq!(
        joined(&comments(
            "a(); // b\n    // so\n    // far\n    c();\n//! d"
        )),
        "\nso far \nd "
    );
    assert_eq!(keys("# a = 1   # b = 2\n#   # c\n[d.e]\n"), "a\n\nd e\n");
}

/// `Some(10s)` and `V1_2` are Rust's words: a log line has `10s` and `1.2`.
#[test]
fn nobody_reads_a_value_in_rusts_words() {
    let mut report = String::new();
    let mut needed = BTreeSet::new();
    let (mut lines, mut texts) = (0, 0);
    for file in sources("src") {
        if file.ends_with("tests.rs") || file.contains("/tests/") {
            continue;
        }
        let text = fs::read_to_string(root().join(&file)).expect("read a source file");
        let (code, literals) = lexed(&production(&text));
        for (line, fields) in log_fields(&code) {
            lines += 1;
            if has_debug_field(fields) {
                writeln!(report, "{file}:{line}: a field with `?`").expect("write to a String");
            }
        }
        for (line, literal) in literals {
            texts += 1;
            for placeholder in debug_placeholders(&literal) {
                match QUOTED
                    .iter()
                    .position(|entry| *entry == (&file, placeholder))
                {
                    Some(index) => {
                        needed.insert(index);
                    }
                    None => {
                        writeln!(report, "{file}:{line}: {placeholder}").expect("write to a String")
                    }
                }
            }
        }
    }
    for (index, entry) in QUOTED.iter().enumerate() {
        if !needed.contains(&index) {
            writeln!(report, "nothing needs {entry:?}").expect("write to a String");
        }
    }
    assert!(
        lines > 80 && texts > 800,
        "{lines} log lines, {texts} texts"
    );
    assert!(
        report.is_empty(),
        "give it `as_str` or `Display`:\n{report}"
    );
}

#[test]
fn a_field_in_rusts_words_is_found() {
    for (code, found) in [
        ("info!(?cause, \"\");", true),
        ("info!(a, b = ?c.d(), \"\");", true),
        ("tracing::warn!(\n    %a,\n    ?b,\n);", true),
        ("info!(a = f(b)?, c = %d, \"\");", false),
        ("info!(a); let b = c?;", false),
    ] {
        let mut fields = log_fields(code);
        assert_eq!(
            fields.any(|(_, fields)| has_debug_field(fields)),
            found,
            "{code}"
        );
    }
    let found: Vec<&str> = debug_placeholders("{a} {b:.1?} {:#?} {{:?} {c:>5}").collect();
    assert_eq!(found, ["{b:.1?}", "{:#?}"]);
}

/// The tables of what the log says: each quotes a log line or an error of the program.
#[test]
fn troubleshooting_quotes_log_lines_as_they_are() {
    let (_, page) = read("docs/troubleshooting.md").expect("read docs/troubleshooting.md");
    let tables = page.split("| it says |").skip(1);
    let rows: Vec<&str> = tables
        .flat_map(|table| {
            let rows = table.lines().skip(2);
            rows.take_while(|line| line.starts_with('|'))
        })
        .collect();
    let texts: Vec<String> = sources("src")
        .into_iter()
        .flat_map(|file| {
            let text = fs::read_to_string(root().join(file)).expect("read a source file");
            lexed(&text).1.into_iter().map(|(_, literal)| literal)
        })
        .collect();
    let mut quotations = 0;
    for row in rows {
        let said = row.split('|').nth(1).expect("what it says");
        let quoted: Vec<&str> = said.split('`').skip(1).step_by(2).collect();
        assert!(!quoted.is_empty(), "no log line in backticks: {row}");
        for quoted in quoted {
            // What stands between the pieces differs from line to line.
            let is_said = texts.iter().any(|text| {
                quoted
                    .split('…')
                    .try_fold(&**text, |rest, piece| Some(rest.split_once(piece)?.1))
                    .is_some()
            });
            assert!(is_said, "no text of src/ says `{quoted}`");
            quotations += 1;
        }
    }
    assert!(quotations > 40, "{quotations} log lines");
}

/// A command in prose may go on in the next line; in a block it does behind a backslash alone.
fn commands_in_lines(text: &str) -> String {
    let mut joined = String::with_capacity(text.len());
    let mut in_block = false;
    for line in text.lines().map(str::trim) {
        let fence = line.starts_with("```");
        in_block ^= fence;
        let (line, end) = match line.strip_suffix('\\') {
            Some(goes_on) => (goes_on, ' '),
            None if in_block || fence => (line, '\n'),
            None => (line, ' '),
        };
        joined.push_str(line);
        joined.push(end);
    }
    joined
}

/// Every command that a document shows exists, with its flags.
#[test]
fn documents_show_commands_that_exist() {
    let (verbs, _) = help();
    let log_lines = log_lines::all();
    let mut shown = 0;
    for (place, text) in documents() {
        let text = commands_in_lines(&text);
        for (at, _) in text.match_indices("stomp-bridge ") {
            let before = &text[..at];
            // In a line, or in a block of commands.
            let in_code = before.ends_with('`') || before.matches("```").count() % 2 == 1;
            let command = text[at + "stomp-bridge ".len()..]
                .split(['`', '#', '\'', '|', '\n'])
                .next();
            let command = command.filter(|_| in_code).unwrap_or_default();
            let named: Vec<&str> = command.split_whitespace().take(2).collect();
            let Some(verb) = [2, 1].iter().find_map(|count| {
                let verb = named.get(..*count)?.join(" ");
                // `dlq` alone does nothing.
                let is_leaf = !verbs
                    .iter()
                    .any(|other| other.starts_with(&format!("{verb} ")));
                (is_leaf && verbs.contains(&verb)).then_some(verb)
            }) else {
                let is_verb = named.first().is_some_and(|name| {
                    name.len() > 2 && name.bytes().all(|byte| byte.is_ascii_lowercase())
                });
                let quoted = format!("stomp-bridge {}", command.trim());
                if log_lines.iter().any(|line| line.message == quoted) {
                    continue;
                }
                assert!(
                    !is_verb,
                    "{place}: there is no `stomp-bridge {}`",
                    named.join(" ")
                );
                continue;
            };
            shown += 1;
            let help = help_of(&verb);
            for flag in command
                .split_whitespace()
                .filter(|word| word.starts_with("--"))
            {
                assert!(
                    has(&help, flag),
                    "{place}: `stomp-bridge {verb}` has no {flag}"
                );
            }
        }
    }
    assert!(shown > 15, "only {shown} commands in the documents");
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> Option<(String, String)> {
    let text = fs::read_to_string(root().join(path)).ok()?;
    Some((path.to_owned(), text))
}

/// Files of a folder with an ending, by their paths in the repository.
fn files(folder: &str, ending: &str) -> Vec<(String, String)> {
    let mut paths: Vec<PathBuf> = fs::read_dir(root().join(folder))
        .expect("list a folder")
        .map(|entry| entry.expect("list a folder").path())
        .filter(|path| path.to_string_lossy().ends_with(ending))
        .collect();
    paths.sort();
    assert!(!paths.is_empty(), "no *{ending} in {folder}");
    paths
        .into_iter()
        .filter_map(|path| read(&path.strip_prefix(root()).ok()?.to_string_lossy()))
        .collect()
}

fn examples() -> Vec<(String, String)> {
    files("examples", ".toml")
}

fn migrations() -> Vec<(String, String)> {
    ["journal", "history_sqlite", "history_postgres"]
        .iter()
        .flat_map(|kind| files(&format!("migrations/{kind}"), ".sql"))
        .collect()
}

/// What users read. CHANGELOG.md is not among them: it names old words beside the new ones.
fn documents() -> Vec<(String, String)> {
    let is_read =
        |path: &String| path.starts_with("docs/") || !path.contains('/') && path != "CHANGELOG.md";
    let pages = pages::all().into_iter().filter(is_read);
    let mut documents: Vec<(String, String)> = pages.filter_map(|path| read(&path)).collect();
    documents.extend(read("config.toml"));
    documents.extend(read("docs/config.schema.json"));
    documents.extend(files("docs/alerts", ".rules.yml"));
    documents.extend(files("systemd", ".service"));
    documents.extend(examples());
    assert!(documents.len() > 8);
    documents
}

/// Rust files below a folder, by their paths in the repository.
fn sources(folder: &str) -> Vec<String> {
    let mut found = Vec::new();
    collect(&root().join(folder), &mut found);
    let path = |file: &PathBuf| {
        let path = file
            .strip_prefix(root())
            .expect("files of the repository are in it");
        path.to_string_lossy().into_owned()
    };
    let found: Vec<String> = found
        .iter()
        .map(path)
        // This file is the list of the words.
        .filter(|file| file != "tests/protocol/vocabulary.rs")
        .filter(|file| !file.contains("node_modules") && !file.contains("/target/"))
        .collect();
    assert!(found.len() > 3, "only {} files in {folder}", found.len());
    found
}

/// All commands, as `dlq list`, and the help of each.
fn help() -> (Vec<String>, String) {
    let (mut verbs, mut texts) = (Vec::new(), help_of(""));
    let mut open = commands(&texts, "");
    while let Some(verb) = open.pop() {
        let text = help_of(&verb);
        open.extend(commands(&text, &verb));
        texts += &text;
        verbs.push(verb);
    }
    assert!(verbs.len() > 10, "{verbs:?}");
    (verbs, texts)
}

fn help_of(verb: &str) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_stomp-bridge"))
        .args(verb.split_whitespace())
        .arg("--help")
        .output()
        .expect("run stomp-bridge --help");
    assert!(output.status.success(), "{verb}: {output:?}");
    String::from_utf8(output.stdout).expect("help is text")
}

/// The commands that a help lists, behind the verb that it is the help of.
fn commands(help: &str, verb: &str) -> Vec<String> {
    help.lines()
        .skip_while(|line| *line != "Commands:")
        .skip(1)
        .take_while(|line| !line.is_empty())
        .filter(|line| !line.starts_with("   "))
        .filter_map(|line| line.split_whitespace().next())
        .filter(|name| *name != "help")
        .map(|name| format!("{verb} {name}").trim().to_owned())
        .collect()
}

/// The lines of each paragraph in one: a phrase may begin at a line's end.
fn joined(text: &str) -> String {
    let mut joined = String::new();
    for line in text.lines().map(|line| line.trim_matches(['#', ' '])) {
        joined += line;
        joined.push(if line.is_empty() { '\n' } else { ' ' });
    }
    joined
}

/// The comments that have lines of their own; the other lines are empty.
fn comments(text: &str) -> String {
    let mut comments = String::new();
    for line in text.lines() {
        if let Some(comment) = line.trim_start().strip_prefix("//") {
            comments += comment.trim_start_matches(['/', '!']);
        }
        comments.push('\n');
    }
    comments
}

/// The part of a line that a word stands in.
fn around(line: &str, word: &str) -> String {
    let at = line.to_lowercase().find(word).unwrap_or_default();
    let before = line.get(..at).map_or(0, |before| before.chars().count());
    line.chars()
        .skip(before.saturating_sub(40))
        .take(120)
        .collect()
}

/// The keys and tables of a configuration, commented or not, as words.
fn keys(text: &str) -> String {
    let mut keys = String::new();
    for line in text.lines() {
        let line = line.strip_prefix("# ").unwrap_or(line);
        let key = match line.split_once(" = ") {
            Some((key, _)) if !key.contains(' ') => key,
            _ if line.starts_with('[') => line.split(']').next().unwrap_or_default(),
            _ => "",
        };
        keys += words(key).replace(['[', '.'], " ").trim();
        keys.push('\n');
    }
    keys
}

/// Whether a word or a phrase stands in a line by itself.
fn has(line: &str, word: &str) -> bool {
    let line = line.to_lowercase();
    line.match_indices(&word.to_lowercase()).any(|(at, _)| {
        let (before, after) = (&line[..at], &line[at + word.len()..]);
        !before.ends_with(char::is_alphanumeric) && !after.starts_with(char::is_alphanumeric)
    })
}

fn is_head(literal: &str) -> bool {
    literal.len() > 2 && literal.bytes().all(|byte| byte.is_ascii_uppercase())
}

/// Names taken apart: `sink_again` and `SinkAgain` are the words sink and again.
fn words(text: &str) -> String {
    let mut words = String::new();
    let mut small = false;
    for c in text.chars() {
        if c.is_uppercase() && small {
            words.push(' ');
        }
        small = c.is_lowercase();
        words.push(if c == '_' { ' ' } else { c });
    }
    words
}

/// What stands in the parentheses of each log line, and the number of its line.
fn log_fields(code: &str) -> impl Iterator<Item = (usize, &str)> {
    let begins = LOG_MACROS.iter().flat_map(|name| code.match_indices(name));
    begins.filter_map(|(at, name)| {
        let fields = code[at + name.len()..].strip_prefix('(')?;
        let mut depth = 1;
        let end = fields.find(|c| {
            depth += i32::from(c == '(') - i32::from(c == ')');
            depth == 0
        })?;
        let line = code[..at].matches('\n').count() + 1;
        Some((line, &fields[..end]))
    })
}

/// Whether a field prints itself as Rust does: `?name`, `name = ?value`.
fn has_debug_field(fields: &str) -> bool {
    fields.match_indices('?').any(|(at, _)| {
        let before = fields[..at].trim_end();
        before.is_empty() || before.ends_with([',', '='])
    })
}

/// The placeholders of a text that print as Rust does.
fn debug_placeholders(literal: &str) -> impl Iterator<Item = &str> {
    literal.match_indices("?}").filter_map(|(end, _)| {
        let begin = literal[..end].rfind('{')?;
        let is_escaped = literal[..begin].ends_with('{');
        let inner = &literal[begin + 1..end];
        let is_format = inner.contains(':') && !inner.contains([' ', '}']);
        (is_format && !is_escaped).then_some(&literal[begin..end + 2])
    })
}

/// Rust code without its comments and literals, and its string literals with their lines.
pub(crate) fn lexed(text: &str) -> (String, Vec<(usize, String)>) {
    let (mut code, mut literals) = (String::new(), Vec::new());
    let mut rest = text;
    let mut line = 1;
    while let Some(c) = rest.chars().next() {
        let hashes = raw(rest, &code);
        let taken = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if let Some(hashes) = hashes {
            let begin = rest.find('"').map_or(rest.len(), |at| at + 1);
            let end = format!("\"{}", "#".repeat(hashes));
            let length = rest[begin..].find(&end).unwrap_or(rest.len() - begin);
            literals.push((line, rest[begin..begin + length].to_owned()));
            begin + length + end.len()
        } else if c == '"' {
            let length = string_bytes(&rest[1..]);
            literals.push((line, unbroken(&rest[1..=length])));
            length + 2
        } else if let Some(bytes) = character_bytes(rest) {
            bytes
        } else {
            code.push(c);
            line += usize::from(c == '\n');
            rest = &rest[c.len_utf8()..];
            continue;
        };
        let taken = taken.min(rest.len());
        let lines = rest[..taken].matches('\n').count();
        code.extend(std::iter::repeat_n('\n', lines));
        line += lines;
        rest = &rest[taken..];
    }
    (code, literals)
}

/// How many `#` a raw string has that begins here.
fn raw(rest: &str, before: &str) -> Option<usize> {
    let hashes = rest.strip_prefix('r')?;
    let is_name = before.ends_with(|c: char| (c.is_alphanumeric() && c != 'b') || c == '_');
    let begin = hashes.find(|c| c != '#')?;
    (hashes[begin..].starts_with('"') && !is_name).then_some(begin)
}

/// The bytes of a string literal up to its closing quote.
fn string_bytes(text: &str) -> usize {
    let mut escaped = false;
    text.find(|c| {
        let ends = c == '"' && !escaped;
        escaped = c == '\\' && !escaped;
        ends
    })
    .unwrap_or(text.len().saturating_sub(1))
}

/// A literal without its line breaks: `\` at the end of a line, and the blanks behind it.
fn unbroken(literal: &str) -> String {
    let mut pieces = literal.split("\\\n");
    let mut text = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        text += piece.trim_start();
    }
    text
}

/// The bytes of a character literal that begins here: not those of a lifetime.
fn character_bytes(rest: &str) -> Option<usize> {
    let inner = rest.strip_prefix('\'')?;
    let length = match inner.strip_prefix('\\') {
        Some(escape) => escape.get(1..)?.find('\'')? + 2,
        None => inner.chars().next()?.len_utf8(),
    };
    inner.get(length..)?.starts_with('\'').then_some(length + 2)
}
