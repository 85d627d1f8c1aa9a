//! The configurations that the READMEs and the guides show. Each is one, and both languages show the
//! same.

use std::fs;
use std::path::Path;

use tempfile::TempDir;

use super::{SINK, set_up};

/// A page, the same page in Chinese, and the least number of configurations in it.
const PAGES: [(&str, &str, usize); 2] = [
    ("README.md", "README.zh-CN.md", 1),
    ("docs/guide.md", "docs/zh/guide.md", 8),
];

/// A webhook of this name without further keys.
fn webhook(name: &str) -> String {
    format!("[sinks.{name}]\ntype = \"webhook\"\nurl = \"https://h/a\"\n")
}

fn blocks(page: &str, language: &str) -> Vec<String> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(page);
    let text = fs::read_to_string(&file).unwrap_or_else(|error| panic!("{page}: {error}"));
    let opening = format!("```{language}\n");
    let blocks = text.split(&opening).skip(1);
    blocks
        .map(|rest| {
            let block = rest.split_once("```");
            block.expect("a block ends").0.to_owned()
        })
        .collect()
}

/// The lines of a configuration without their comments.
fn bare(block: &str) -> Vec<&str> {
    let lines = block.lines();
    lines
        .map(|line| line.split(" #").next().unwrap_or_default().trim_end())
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .collect()
}

/// The block with what it leaves out, and whether it left something out.
fn completed(block: &str) -> (String, bool) {
    let mut text = String::new();
    if !block.contains("[source]\nurl") {
        text += "[source]\nurl = \"http://h/ws\"\n";
    }
    let mut rest = block.to_owned();
    if !text.is_empty() {
        rest = rest.replace("[source]\n", "");
        if block.starts_with("[source]\n") {
            // Its keys follow the URL.
            text += &rest;
            rest.clear();
        }
    }
    if block.contains("signin.token") && !block.contains("[source.signin]") {
        text += "[source.signin]\nurl = \"https://h\"\nextract = { token = \"/token\" }\n";
    }
    // Keys without a table of their own are a sink's.
    if !block.trim_start().starts_with(['[', '#']) {
        text += &webhook("robot");
    }
    text += &rest;
    let mut missing = String::new();
    if !block.contains("destination") {
        missing += "[topics.map-1]\ndestination = \"/topic/t\"\n";
    }
    if !block.contains("[sinks.") {
        missing += &SINK.replace(".h]", ".history]");
        missing += &webhook("site");
        missing += &webhook("oncall");
    }
    let is_part = text.len() > block.len() || !missing.is_empty();
    (format!("{text}\n{missing}"), is_part)
}

#[test]
fn each_configuration_of_the_pages_loads() {
    for (english, _, least) in PAGES {
        let blocks = blocks(english, "toml");
        assert!(blocks.len() >= least, "{english}: {}", blocks.len());
        let folder = TempDir::new().expect("make a folder");
        let names = "device,serial,name,group\n1/7,,a,b\n";
        fs::write(folder.path().join("names.csv"), names).expect("write names.csv");
        let mut whole = 0;
        for block in blocks {
            let (text, is_part) = completed(&block);
            let file = folder.path().join("config.toml");
            fs::write(&file, &text).expect("write config.toml");
            let plan = set_up(&file);
            if !is_part {
                assert_eq!(plan.warnings, [], "{english}: {block}");
                whole += 1;
            }
        }
        assert!(whole > 0, "{english} shows no whole configuration");
    }
}

#[test]
fn both_languages_show_the_same_configurations_and_commands() {
    for (english, chinese, _) in PAGES {
        for language in ["toml", "sh", "sql", "text", "json"] {
            let (here, there) = (blocks(english, language), blocks(chinese, language));
            assert_eq!(here.len(), there.len(), "{chinese}: blocks of {language}");
            for (here, there) in here.iter().zip(&there) {
                assert_eq!(bare(here), bare(there), "{chinese}");
            }
        }
    }
}
