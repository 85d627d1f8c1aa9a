//! `ARCHITECTURE.md` and `CONTRIBUTING.md` name files, folders and modules: all of them are there,
//! and the map has a row for each part of `src/`.

use std::fs;
use std::path::{Path, PathBuf};

use super::text::is_word;
use super::{collect, ranks};
use crate::pages;

const PAGES: &[&str] = &["ARCHITECTURE.md", "CONTRIBUTING.md"];

/// What is there only once something was built.
const BUILT: &str = "target/";

/// Stands for the reader's own name.
const ANY: &str = "NAME";

/// Every file of `src/`: its path there, and its text.
type Sources = Vec<(String, String)>;

#[test]
fn every_file_and_module_that_the_pages_name_is_there() {
    let sources = sources();
    let (mut count, mut missing) = (0, Vec::new());
    for page in PAGES {
        let mut line = 1;
        for (index, piece) in pages::prose(&pages::read(page)).split('`').enumerate() {
            let found = is_there(piece, &sources).filter(|_| index % 2 == 1);
            count += usize::from(found.is_some());
            if found == Some(false) {
                missing.push(format!("{page}:{line}: {piece}"));
            }
            line += piece.matches('\n').count();
        }
    }
    assert!(count > 150, "only {count} names in {PAGES:?}");
    assert!(missing.is_empty(), "not there: {missing:#?}");
}

#[test]
fn the_map_has_a_row_for_each_part() {
    let page = pages::read(PAGES[0]);
    let (_, map) = page.split_once("\n## Map\n").expect("the map");
    let rows = map.lines().filter_map(|line| line.strip_prefix("| `"));
    let rows: Vec<&str> = rows
        .filter_map(|row| row.split(" | ").next())
        .flat_map(|cell| cell.trim_end_matches('`').split("`, `"))
        .collect();
    let parts = ranks(&pages::read("src/lib.rs"));
    let lacks: Vec<&String> = parts
        .keys()
        .filter(|part| !rows.contains(&part.as_str()))
        .collect();
    let more: Vec<&&str> = rows
        .iter()
        .filter(|row| !parts.contains_key(**row))
        .collect();
    assert!(lacks.is_empty(), "the map lacks {lacks:?}");
    assert!(more.is_empty(), "the map has {more:?}, src/lib.rs has not");
}

#[test]
fn a_name_that_leads_nowhere_is_found() {
    let sources = [
        ("delivery/engine.rs", "pub struct Engine { pub pace: u8 }"),
        ("sinks/history/mod.rs", "pub use row::Row;"),
        ("sinks/history/row.rs", "pub struct Row;"),
    ];
    let sources = sources.map(|(file, text)| (file.to_owned(), text.to_owned()));
    for (name, expected) in [
        ("delivery::engine", Some(true)),
        ("history::row", Some(true)),
        ("engine::row", Some(false)),
        ("sinks::history::Row", Some(true)),
        ("sinks::history::Col", Some(false)),
        ("Engine::pace", Some(true)),
        ("Engine::rate", Some(false)),
        ("src/sinks/sink.rs", Some(true)),
        ("history/row.rs", Some(true)),
        ("row.rs", Some(true)),
        ("sinks/history", Some(true)),
        ("sinks/histories", Some(false)),
        ("sinks/row.rs", Some(false)),
        ("src/sinks/NAME/", None),
        ("target/packages", None),
        ("/readyz", None),
        ("cargo test", None),
    ] {
        assert_eq!(is_there(name, &sources.to_vec()), expected, "{name}");
    }
}

/// `None`: it is no name of a file, a folder or a module.
fn is_there(name: &str, sources: &Sources) -> Option<bool> {
    let is_plain = name.chars().all(|c| is_word(c) || "/.:-".contains(c));
    let is_foreign = name.starts_with('/') || name.starts_with(BUILT) || name.contains(ANY);
    if !is_plain || is_foreign {
        return None;
    }
    if name.contains("::") {
        let names: Vec<&str> = name.split("::").collect();
        return Some(is_module(&names, sources) || is_item(&names, sources));
    }
    let is_file = name.contains('/') || name.ends_with(".rs") || name.ends_with(".md");
    // A page says `source/writer.rs`, and behind `src/config/` it says `sinks.rs`.
    let is_in_src = |(file, _): &(String, String)| {
        let mut paths = Path::new(file).ancestors();
        paths.any(|path| path.ends_with(name))
    };
    is_file.then(|| pages::root().join(name).exists() || sources.iter().any(is_in_src))
}

/// Whether a file's path ends with these names: `delivery::engine` is `delivery/engine.rs`.
fn is_module(names: &[&str], sources: &Sources) -> bool {
    sources
        .iter()
        .any(|(file, _)| module(file).ends_with(PathBuf::from_iter(names)))
}

/// Whether the last name stands in the module, or beside the type, that the others name.
fn is_item(names: &[&str], sources: &Sources) -> bool {
    let Some((item, [.., holder])) = names.split_last() else {
        return false;
    };
    let is_type = holder.starts_with(char::is_uppercase);
    let place = PathBuf::from_iter(&names[..names.len() - 1]);
    sources.iter().any(|(file, text)| {
        let is_holder = match is_type {
            true => has_name(text, holder),
            false => module(file).ends_with(&place),
        };
        is_holder && has_name(text, item)
    })
}

/// `history/mod.rs` is the module `history`.
fn module(file: &str) -> PathBuf {
    let path = Path::new(file).with_extension("");
    match path.ends_with("mod") {
        true => path.parent().map(Path::to_owned).unwrap_or_default(),
        false => path,
    }
}

fn has_name(text: &str, name: &str) -> bool {
    text.split(|c| !is_word(c)).any(|word| word == name)
}

fn sources() -> Sources {
    let src = pages::root().join("src");
    let mut files = Vec::new();
    collect(&src, &mut files);
    assert!(files.len() > 20, "only {} files in src/", files.len());
    let text = |file: &PathBuf| {
        let name = file.strip_prefix(&src).expect("files of src/ are in src/");
        let text = fs::read_to_string(file).expect("read a source file");
        (name.to_string_lossy().into_owned(), text)
    };
    files.iter().map(text).collect()
}
