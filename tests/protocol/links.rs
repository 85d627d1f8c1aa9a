//! Every relative link of every page leads somewhere, and so does every `#anchor`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path, PathBuf};

use crate::pages;

#[test]
fn every_link_of_every_page_leads_somewhere() {
    let mut anchors = Anchors::default();
    let mut broken = Vec::new();
    let mut links = 0;
    for page in pages::all() {
        for (line, target) in targets(&pages::read(&page)) {
            links += 1;
            if let Some(why) = anchors.problem(&page, &target) {
                broken.push(format!("{page}:{line}: {target}: {why}"));
            }
        }
    }
    assert!(links > 60, "only {links} links");
    assert!(
        broken.is_empty(),
        "links that lead nowhere:\n{}",
        broken.join("\n")
    );
}

#[test]
fn links_are_found_and_headings_are_named_as_their_pages_show_them() {
    let text = "# A `b` & c\n\n[x](a.md#b) `[no](no.md)` ![i](i.png \"t\") [u]: <v.md>\n\
                [u]: v.md\n<img src=\"w.png\">\n```\n[no](no.md)\n```\n## 端口\n## A b  c\n";
    let found: Vec<(usize, String)> = targets(text);
    let found: Vec<(usize, &str)> = found
        .iter()
        .map(|(line, target)| (*line, &**target))
        .collect();
    assert_eq!(
        found,
        [(3, "a.md#b"), (3, "i.png"), (4, "v.md"), (5, "w.png")]
    );
    let expected = ["a-b--c", "端口", "a-b--c-1"].map(str::to_owned);
    assert_eq!(named(text), BTreeSet::from(expected));
}

/// The anchors of each page that was asked for.
#[derive(Default)]
struct Anchors(BTreeMap<PathBuf, BTreeSet<String>>);

impl Anchors {
    /// Why a target leads nowhere.
    fn problem(&mut self, page: &str, target: &str) -> Option<String> {
        let is_elsewhere = ["http://", "https://", "mailto:"]
            .iter()
            .any(|scheme| target.starts_with(scheme));
        if is_elsewhere {
            return None;
        }
        let (path, anchor) = match target.split_once('#') {
            Some((path, anchor)) => (path, Some(anchor)),
            None => (target, None),
        };
        let file = match path {
            "" => PathBuf::from(page),
            path => {
                let folder = Path::new(page).parent().unwrap_or(Path::new(""));
                let Some(file) = normal(&folder.join(path)) else {
                    return Some("it leaves the repository".to_owned());
                };
                file
            }
        };
        if !pages::root().join(&file).exists() {
            return Some("there is no such file".to_owned());
        }
        let anchor = anchor?;
        if file.extension().is_none_or(|ending| ending != "md") {
            return Some("only a page has anchors".to_owned());
        }
        let known = self
            .0
            .entry(file.clone())
            .or_insert_with(|| named(&pages::read(&file.to_string_lossy())));
        (!known.contains(anchor)).then(|| {
            let known: Vec<&str> = known.iter().map(String::as_str).collect();
            format!("there is no such heading; there are {}", known.join(", "))
        })
    }
}

/// A path without `.` and `..`; `None`: it leads out.
fn normal(path: &Path) -> Option<PathBuf> {
    let mut normal = PathBuf::new();
    for component in path.components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir => {
                if !normal.pop() {
                    return None;
                }
            }
            Component::Normal(name) => normal.push(name),
            Component::RootDir | Component::Prefix(_) => return None,
        }
    }
    Some(normal)
}

/// What a page links to, and in which lines: links, images, definitions, and HTML's `src` and `href`.
fn targets(text: &str) -> Vec<(usize, String)> {
    let mut targets = Vec::new();
    for (number, line) in pages::prose(text).lines().enumerate() {
        let line = without_code(line);
        let mut add = |target: &str| {
            let target = target.split_whitespace().next().unwrap_or_default();
            let target = target.trim_start_matches('<').trim_end_matches('>');
            if !target.is_empty() {
                targets.push((number + 1, target.to_owned()));
            }
        };
        for (at, _) in line.match_indices("](") {
            let rest = &line[at + 2..];
            add(rest.split(')').next().unwrap_or_default());
        }
        let definition = line.strip_prefix('[').and_then(|line| line.split_once(']'));
        if let Some((name, rest)) = definition
            && let Some(target) = rest.strip_prefix(": ")
            && !name.starts_with('^')
        {
            add(target);
        }
        for attribute in ["src=\"", "href=\""] {
            for (at, _) in line.match_indices(attribute) {
                let rest = &line[at + attribute.len()..];
                add(rest.split('"').next().unwrap_or_default());
            }
        }
    }
    targets
}

/// A line without what stands in backticks.
fn without_code(line: &str) -> String {
    let pieces: Vec<&str> = line.split('`').collect();
    // A backtick without another one is none of code.
    let whole = pieces.len() - usize::from(pieces.len().is_multiple_of(2));
    let mut text = String::new();
    for (index, piece) in pieces.iter().enumerate() {
        if index % 2 == 0 || index >= whole {
            text += piece;
        } else {
            text += "``";
        }
    }
    text
}

/// The anchors of a page: those of its headings, as GitHub and GitLab make them, and HTML's `id`.
fn named(text: &str) -> BTreeSet<String> {
    let mut named = BTreeSet::new();
    let mut times: BTreeMap<String, usize> = BTreeMap::new();
    for line in pages::prose(text).lines() {
        for attribute in ["id=\"", "name=\""] {
            for (at, _) in line.match_indices(attribute) {
                let rest = &line[at + attribute.len()..];
                named.insert(rest.split('"').next().unwrap_or_default().to_owned());
            }
        }
        let heading = line.trim_start_matches('#');
        if heading.len() == line.len() || !heading.starts_with(' ') {
            continue;
        }
        let kept = |c: &char| c.is_alphanumeric() || [' ', '-', '_'].contains(c);
        let anchor: String = linked(heading.trim())
            .to_lowercase()
            .chars()
            .filter(kept)
            .collect();
        let anchor = anchor.replace(' ', "-");
        let again = times.entry(anchor.clone()).or_default();
        named.insert(match *again {
            0 => anchor,
            again => format!("{anchor}-{again}"),
        });
        *again += 1;
    }
    named
}

/// A heading without the targets of its links.
fn linked(heading: &str) -> String {
    let mut text = String::new();
    let mut rest = heading;
    while let Some((before, after)) = rest.split_once("](") {
        text += before;
        rest = after.split_once(')').map_or("", |(_, after)| after);
    }
    text + rest
}
