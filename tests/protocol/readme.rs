//! Both READMEs: short, with the same commands, and with figures that `docs/sizing.md` has measured.

use std::collections::BTreeSet;

use crate::pages;

const PAGES: [&str; 2] = ["README.md", "README.zh-CN.md"];

/// What one reads before one decides.
const LINES_MAX: usize = 150;

/// Where the figures stand, and how they were measured.
const MEASURED: (&str, &str) = ("docs/sizing.md", "## At the rates that users have");

#[test]
fn a_readme_is_short() {
    for page in PAGES {
        let lines = pages::read(page).lines().count();
        assert!(
            lines <= LINES_MAX,
            "{page} has {lines} lines, above {LINES_MAX}"
        );
    }
}

#[test]
fn both_languages_have_the_same_commands_and_questions() {
    for language in ["sh", "sql", "text"] {
        let [english, chinese] = PAGES.map(|page| commands(page, language));
        assert!(!english.is_empty(), "no {language}");
        assert_eq!(chinese, english, "{language}");
    }
}

#[test]
fn the_figures_are_those_that_were_measured() {
    let (page, heading) = MEASURED;
    let text = pages::read(page);
    let (_, section) = text.split_once(heading).expect("the section of figures");
    let measured = numbers(section.split("\n## ").next().unwrap_or_default());
    let [english, chinese] = PAGES.map(figures);
    assert!(english.len() >= 6, "only {english:?}");
    assert_eq!(chinese, english, "figures of both languages");
    let other: Vec<&String> = english.difference(&measured).collect();
    assert!(other.is_empty(), "{heading:?} of {page} lacks {other:?}");
}

/// The numbers of the paragraph that says how they were measured.
fn figures(page: &str) -> BTreeSet<String> {
    let text = pages::read(page);
    let mut paragraphs = text.split("\n\n");
    let paragraph = paragraphs.find(|paragraph| paragraph.contains("](docs/sizing.md)"));
    numbers(paragraph.unwrap_or_default())
}

/// A block's lines without comments and the blanks before them.
fn commands(page: &str, language: &str) -> Vec<String> {
    let blocks = pages::blocks(page, language).into_iter();
    let lines = blocks.flat_map(|block| {
        let lines = block.text.lines().map(|line| {
            let command = line.split(" #").next().unwrap_or_default();
            command.trim_end().to_owned()
        });
        lines.collect::<Vec<_>>()
    });
    lines.collect()
}

/// The numbers of a text, as they are written: `11,100`, `0.52`.
fn numbers(text: &str) -> BTreeSet<String> {
    let is_part = |c: char| c.is_ascii_digit() || c == ',' || c == '.';
    let words = text.split(|c| !is_part(c));
    let words = words.map(|word| word.trim_matches([',', '.']));
    words
        .filter(|word| !word.is_empty())
        .map(str::to_owned)
        .collect()
}
