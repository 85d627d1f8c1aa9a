//! The Markdown of the repository, as the tests read it: its files, its blocks of code, its headings.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use stomp_bridge::config::{Environment, Plan, Problems, parse};

/// A secret that is good for everything, also as the key of a webhook.
const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// A block of code in a page.
pub(crate) struct Block {
    /// Where its text begins.
    pub(crate) line: usize,
    pub(crate) text: String,
}

/// A file of the repository.
pub(crate) fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every page of the repository, by its path; not those of what was built or installed in it.
pub(crate) fn all() -> Vec<String> {
    let (mut pages, mut open) = (Vec::new(), vec![root().to_owned()]);
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(&folder).expect("list a folder") {
            let path = entry.expect("list a folder").path();
            let name = path
                .file_name()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned();
            let is_foreign = name.starts_with('.') || ["target", "node_modules"].contains(&&*name);
            if path.is_dir() && !is_foreign {
                open.push(path);
            } else if name.ends_with(".md") {
                let path = path.strip_prefix(root()).expect("it is in the repository");
                pages.push(path.to_string_lossy().into_owned());
            }
        }
    }
    pages.sort();
    assert!(pages.len() > 8, "only {pages:?}");
    pages
}

/// The blocks of code of a page in one language.
pub(crate) fn blocks(page: &str, language: &str) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut open: Option<(bool, Block)> = None;
    for (number, line) in read(page).lines().enumerate() {
        match (line.trim_start().strip_prefix("```"), open.take()) {
            (Some(_), Some((true, block))) => blocks.push(block),
            (Some(_), Some((false, _))) | (None, None) => {}
            (Some(name), None) => {
                let block = Block {
                    line: number + 2,
                    text: String::new(),
                };
                open = Some((name == language, block));
            }
            (None, Some((is_wanted, mut block))) => {
                block.text += line;
                block.text.push('\n');
                open = Some((is_wanted, block));
            }
        }
    }
    assert!(open.is_none(), "{page}: a block of code has no end");
    blocks
}

/// A page without its blocks of code; its lines stay where they are.
pub(crate) fn prose(text: &str) -> String {
    let mut in_code = false;
    let mut prose = String::with_capacity(text.len());
    for line in text.lines() {
        let is_fence = line.trim_start().starts_with("```");
        if !is_fence && !in_code {
            prose += line;
        }
        in_code ^= is_fence;
        prose.push('\n');
    }
    prose
}

/// Loads a configuration as if it stood in a file, with a value for each secret that it names.
pub(crate) fn loads(file: &Path, text: &str) -> Result<Plan, Problems> {
    let names = text.split("secret('").skip(1).map(|rest| {
        let (name, _) = rest.split_once("')").expect("a secret's name ends");
        name.to_uppercase()
    });
    let variables: BTreeMap<String, String> = names
        .map(|name| (format!("STOMP_BRIDGE_SECRET_{name}"), SECRET.to_owned()))
        .collect();
    parse(
        &root().join(file),
        text.to_owned(),
        &Environment { variables },
    )
}
