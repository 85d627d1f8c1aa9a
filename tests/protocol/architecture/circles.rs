//! The files of one folder import each other in no circle, and a folder's map has no code. So a
//! reader finds a beginning and an end.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use super::collect;
use super::text::{Literals, code, is_word, production};

/// Circles that stand, by their folder. The list may only become shorter.
const KNOWN_CIRCLES: &[(&str, &[&str])] = &[];

/// A path of names, from the crate on.
type Module = Vec<String>;

#[test]
fn files_of_one_folder_import_each_other_in_no_circle() {
    let found = circles(&sources());
    let known: BTreeSet<(String, Vec<String>)> = KNOWN_CIRCLES
        .iter()
        .map(|(folder, files)| {
            let files = files.iter().map(|file| (*file).to_owned()).collect();
            ((*folder).to_owned(), files)
        })
        .collect();
    let new: Vec<_> = found.difference(&known).collect();
    let gone: Vec<_> = known.difference(&found).collect();
    assert!(
        new.is_empty(),
        "files that import each other in a circle: {new:#?}; known, and no longer there: {gone:#?}"
    );
    assert!(
        gone.is_empty(),
        "take these out of KNOWN_CIRCLES: {gone:#?}"
    );
}

#[test]
fn no_map_of_a_folder_has_code() {
    let maps: Vec<(String, String)> = sources()
        .into_iter()
        .filter(|(file, _)| file.ends_with("/mod.rs"))
        .collect();
    assert!(maps.len() > 10, "only {} maps in src/", maps.len());
    let found: Vec<String> = maps
        .into_iter()
        .filter(|(_, text)| has_code(text))
        .map(|(file, _)| file)
        .collect();
    assert!(
        found.is_empty(),
        "mod.rs holds what its folder is, `mod` and `use`; code is to move out of {found:?}"
    );
    assert!(has_code("mod a;\npub use a::A;\nconst B: u8 = 1;"));
}

#[test]
fn a_circle_is_found_through_any_form_of_a_path() {
    let check = |a: &str, b: &str, expected: bool| {
        let files = [
            ("lib.rs", "pub mod f;"),
            (
                "f/mod.rs",
                "mod a;\nmod b;\npub use a::A;\npub use self::b::{B as Other, deep::D};",
            ),
            ("f/a.rs", a),
            ("f/b.rs", b),
            ("f/b/deep.rs", "use crate::f::a::A;"),
        ];
        let files: Vec<(String, String)> = files
            .map(|(file, text)| (file.to_owned(), text.to_owned()))
            .to_vec();
        let found = circles(&files);
        let circle = BTreeSet::from([("f".to_owned(), vec!["a".to_owned(), "b".to_owned()])]);
        let expected = if expected { circle } else { BTreeSet::new() };
        assert_eq!(found, expected, "{a} | {b}");
    };
    // The other way is that of f/b/deep.rs, whatever f/b.rs has.
    check("", "use super::a::A;", false);
    check("use super::b::B;", "", true);
    check("use super::{c, b};", "", true);
    check("use super::Other;", "", true);
    check("use crate::f::D;", "", true);
    check("fn f() { crate::f::b::g() }", "", true);
    check("pub(in crate::f) fn f() { self::b::g(); }", "", false);
    check("// use super::b;\nfn f(){ x(\"super::b\") }", "", false);
    check("#[cfg(test)]\nmod tests { use crate::f::b::B; }", "", false);
}

/// Every file of `src/`, without tests: its name and its text.
fn sources() -> Vec<(String, String)> {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    collect(&src, &mut files);
    assert!(files.len() > 20, "only {} files in src/", files.len());
    files
        .iter()
        .map(|file| {
            let name = file.strip_prefix(&src).expect("files of src/ are in src/");
            let text = fs::read_to_string(file).expect("read a source file");
            (name.to_string_lossy().into_owned(), text)
        })
        .filter(|(name, _)| !name.ends_with("/tests.rs") && name != "main.rs")
        .collect()
}

/// Each folder, with files in it that can be reached from each other.
fn circles(files: &[(String, String)]) -> BTreeSet<(String, Vec<String>)> {
    let files: BTreeMap<Module, Vec<Import>> = files
        .iter()
        .map(|(file, text)| (module(file), imports(text)))
        .collect();
    let mut graphs: BTreeMap<&[String], BTreeMap<&str, BTreeSet<String>>> = BTreeMap::new();
    for (from, imports) in &files {
        for import in imports {
            if let Some((depth, to)) = sibling(from, import, &files) {
                let graph = graphs.entry(&from[..depth]).or_default();
                graph.entry(&from[depth]).or_default().insert(to);
            }
        }
    }
    let mut found = BTreeSet::new();
    for (folder, graph) in &graphs {
        let reach = |from: &str| {
            let mut reached = BTreeSet::new();
            let mut next: Vec<&str> = vec![from];
            while let Some(file) = next.pop() {
                for to in graph.get(file).into_iter().flatten() {
                    if reached.insert(to.as_str()) {
                        next.push(to);
                    }
                }
            }
            reached
        };
        for file in graph.keys() {
            let circle: Vec<String> = reach(file)
                .into_iter()
                .filter(|other| reach(other).contains(file))
                .map(str::to_owned)
                .collect();
            if circle.len() > 1 {
                found.insert((folder.join("/"), circle));
            }
        }
    }
    found
}

/// The module that a file is.
fn module(file: &str) -> Module {
    let path = file.trim_end_matches(".rs");
    let path = path.strip_suffix("/mod").unwrap_or(path);
    match path {
        "lib" => Module::new(),
        path => path.split('/').map(str::to_owned).collect(),
    }
}

/// A path in a file, and by which name what it leads to is known there, if it is a `use`.
struct Import {
    path: Vec<String>,
    name: Option<String>,
}

/// Which other file of a folder an import leads to; the folder is the path of the first names of
/// `from`.
fn sibling(
    from: &Module,
    import: &Import,
    files: &BTreeMap<Module, Vec<Import>>,
) -> Option<(usize, String)> {
    let mut target = absolute(from, &import.path, files)?;
    // A name that is handed on many times is handed on in a circle.
    for _ in 0..8 {
        let depth = from.iter().zip(&target).take_while(|(a, b)| a == b).count();
        if depth == from.len() || depth == target.len() {
            return None;
        }
        if files.contains_key(&target[..=depth]) {
            return Some((depth, target.swap_remove(depth)));
        }
        let map = &target[..depth];
        let named = |import: &&Import| import.name.as_ref() == Some(&target[depth]);
        let handed_on = files.get(map)?.iter().find(named)?;
        let mut path = absolute(&map.to_vec(), &handed_on.path, files)?;
        path.extend_from_slice(&target[depth + 1..]);
        target = path;
    }
    None
}

/// The path from the crate on; `None`: it leads to another crate.
fn absolute(
    from: &Module,
    path: &[String],
    files: &BTreeMap<Module, Vec<Import>>,
) -> Option<Module> {
    let mut target = from.clone();
    for (at, name) in path.iter().enumerate() {
        match name.as_str() {
            "crate" => target.clear(),
            "self" => {}
            "super" => {
                target.pop()?;
            }
            name => {
                target.push(name.to_owned());
                if at == 0 && !files.contains_key(&target) {
                    return None;
                }
            }
        }
    }
    Some(target)
}

/// What a file imports, and the paths in its code that begin with `crate`, `self` or `super`.
fn imports(text: &str) -> Vec<Import> {
    let code = code(&production(text), Literals::Emptied);
    let tokens = tokens(&code);
    let mut imports = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        let is_use = tokens[at] == "use";
        let goes_on = tokens.get(at + 1) == Some(&"::") && (at == 0 || tokens[at - 1] != "::");
        let begins = matches!(tokens[at], "crate" | "self" | "super") && goes_on;
        if is_use || begins {
            let start = at + usize::from(is_use);
            let first = imports.len();
            at = tree(&tokens, start, &[], &mut imports).max(at + 1);
            if !is_use {
                imports[first..]
                    .iter_mut()
                    .for_each(|import| import.name = None);
            }
        } else {
            at += 1;
        }
    }
    imports
}

/// Reads one path, or several behind a common one; gives where it ends.
fn tree(tokens: &[&str], at: usize, before: &[String], imports: &mut Vec<Import>) -> usize {
    let Some(token) = tokens.get(at) else {
        return at;
    };
    if *token == "{" {
        let mut at = at + 1;
        while let Some(token) = tokens.get(at) {
            at = match *token {
                "}" => return at + 1,
                "," => at + 1,
                _ => tree(tokens, at, before, imports).max(at + 1),
            };
        }
        return at;
    }
    let mut path = before.to_vec();
    if !token.starts_with(is_word) {
        imports.push(Import { path, name: None });
        return at + usize::from(*token == "*");
    }
    if *token != "self" || path.is_empty() {
        path.push((*token).to_owned());
    }
    match tokens.get(at + 1) {
        Some(&"::") => tree(tokens, at + 2, &path, imports),
        Some(&"as") => {
            let name = tokens.get(at + 2).map(|name| (*name).to_owned());
            imports.push(Import { path, name });
            at + 3
        }
        _ => {
            let name = path.last().cloned();
            imports.push(Import { path, name });
            at + 1
        }
    }
}

/// Names, `::`, and every other character by itself.
fn tokens(code: &str) -> Vec<&str> {
    let mut tokens = Vec::new();
    let mut rest = code.trim_start();
    while let Some(first) = rest.chars().next() {
        let width = if is_word(first) {
            rest.find(|c| !is_word(c)).unwrap_or(rest.len())
        } else if rest.starts_with("::") {
            2
        } else {
            first.len_utf8()
        };
        tokens.push(&rest[..width]);
        rest = rest[width..].trim_start();
    }
    tokens
}

/// Whether a file has anything but `mod` and `use`.
fn has_code(text: &str) -> bool {
    let code = code(&production(text), Literals::Emptied);
    tokens(&code).iter().any(|token| {
        matches!(
            *token,
            "fn" | "struct"
                | "enum"
                | "trait"
                | "impl"
                | "const"
                | "static"
                | "type"
                | "macro_rules"
        )
    })
}
