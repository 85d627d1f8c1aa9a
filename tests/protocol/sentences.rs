//! No sentence of the pages has more than 25 words: many of their readers read a language that is
//! not theirs. `docs/vocabulary.md` has the rule.

use crate::pages;

const WORDS_MAX: usize = 25;

/// Pages in a language that has no blanks between words are not counted. Below `tests/` lie pages of
/// what was installed.
fn is_counted(page: &str) -> bool {
    !page.starts_with("docs/zh/") && page != "README.zh-CN.md" && !page.starts_with("tests/")
}

#[test]
fn a_sentence_has_at_most_25_words() {
    let pages: Vec<String> = pages::all()
        .into_iter()
        .filter(|page| is_counted(page))
        .collect();
    assert!(pages.len() > 15, "only {pages:?}");
    let mut long = Vec::new();
    for page in &pages {
        for (line, sentence) in sentences(&pages::read(page)) {
            let words = words(&sentence);
            if words > WORDS_MAX {
                long.push(format!("{page}:{line}: {words} words: {sentence}"));
            }
        }
    }
    assert!(
        long.is_empty(),
        "sentences of more than {WORDS_MAX} words:\n{}",
        long.join("\n")
    );
}

#[test]
fn sentences_are_found_in_paragraphs_lists_and_tables() {
    let text = "# Head line\nOne two.\nThree `a. b`\nfour? [Five](x.md. y)\n\n- six\n  seven: e.g.9\n- 8\n\
                ```\nno\n```\n| a | b c. D |\n| --- | --- |\n";
    let found: Vec<(usize, String)> = sentences(text);
    let found: Vec<(usize, &str)> = found.iter().map(|(line, text)| (*line, &**text)).collect();
    let expected = [
        (2, "One two."),
        (2, "Three `` four?"),
        (2, "Five"),
        (6, "six seven: e.g.9"),
        (8, "8"),
        (12, "a"),
        (12, "b c."),
        (12, "D"),
    ];
    assert_eq!(found, expected);
    assert_eq!(words("Three `` four, - 5"), 4);
}

/// The sentences of a page, each with the line in which its paragraph begins.
fn sentences(text: &str) -> Vec<(usize, String)> {
    let mut pieces: Vec<(usize, String)> = Vec::new();
    let mut in_paragraph = false;
    for (number, line) in pages::prose(text).lines().enumerate() {
        let line = line.trim();
        let item = item(line);
        if line.is_empty() || line.starts_with('#') {
            in_paragraph = false;
        } else if let Some(row) = line.strip_prefix('|') {
            in_paragraph = false;
            let cells = row.trim_end_matches('|').split(" | ");
            pieces.extend(cells.map(|cell| (number + 1, cell.to_owned())));
        } else if let (true, None, Some((_, paragraph))) = (in_paragraph, item, pieces.last_mut()) {
            paragraph.push(' ');
            *paragraph += line;
        } else {
            in_paragraph = true;
            pieces.push((number + 1, item.unwrap_or(line).to_owned()));
        }
    }
    let mut sentences = Vec::new();
    for (line, piece) in pieces {
        for sentence in split(&plain(&piece)) {
            if words(&sentence) > 0 {
                sentences.push((line, sentence));
            }
        }
    }
    sentences
}

/// What stands behind the mark of a list's item.
fn item(line: &str) -> Option<&str> {
    let digits = line.trim_start_matches(|c: char| c.is_ascii_digit());
    let behind_number = digits
        .strip_prefix(". ")
        .filter(|_| digits.len() < line.len());
    line.strip_prefix("- ").or(behind_number)
}

/// A text without the targets of its links and without what stands in backticks.
fn plain(text: &str) -> String {
    let mut plain = String::new();
    for (index, piece) in text.split('`').enumerate() {
        plain += if index % 2 == 0 { piece } else { "``" };
    }
    let mut without_targets = String::new();
    let mut rest = plain.as_str();
    while let Some((before, behind)) = rest.split_once("](") {
        without_targets += before;
        rest = behind.split_once(')').map_or("", |(_, behind)| behind);
    }
    without_targets += rest;
    without_targets.replace(['[', '*'], "")
}

/// A sentence ends with its mark and a blank; a dot in the middle parts the links of a list.
fn split(text: &str) -> Vec<String> {
    let mut sentences = vec![Vec::new()];
    for word in text.split_whitespace() {
        if word == "·" {
            sentences.push(Vec::new());
            continue;
        }
        if let Some(sentence) = sentences.last_mut() {
            sentence.push(word);
        }
        if word.ends_with(['.', '!', '?']) || word.ends_with(".)") {
            sentences.push(Vec::new());
        }
    }
    sentences.iter().map(|words| words.join(" ")).collect()
}

/// What has a letter or a digit in it, or stands in backticks.
fn words(sentence: &str) -> usize {
    let is_word = |word: &&str| word.contains("``") || word.chars().any(char::is_alphanumeric);
    sentence.split_whitespace().filter(is_word).count()
}
