//! What `fuzz/run` searches for hours, for a moment: the inputs that it knows, and what comes out
//! where chance changes them.

#[path = "../../fuzz/checks/decoder.rs"]
mod decoder;
#[path = "../../fuzz/checks/headers.rs"]
mod headers;
#[path = "../../fuzz/checks/lenient.rs"]
mod lenient;
#[path = "../../fuzz/checks/session.rs"]
mod session;
#[path = "../../fuzz/checks/sockjs.rs"]
mod sockjs;

use std::fs;
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use proptest::sample::Index;

use super::codec::behind;

/// Written by hand, and found by libFuzzer.
const FOLDERS: [&str; 2] = ["seeds", "corpus"];

/// The known inputs of a target.
fn known(target: &str) -> Vec<Vec<u8>> {
    let fuzz = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz");
    let files = FOLDERS.iter().flat_map(|folder| {
        let folder = fuzz.join(folder).join(target);
        let mut files: Vec<PathBuf> = fs::read_dir(&folder)
            .unwrap_or_else(|e| panic!("list {}: {e}", folder.display()))
            .map(|entry| entry.unwrap().path())
            .collect();
        assert!(!files.is_empty(), "nothing in {}", folder.display());
        files.sort();
        files
    });
    files.map(|file| fs::read(file).unwrap()).collect()
}

/// One thing that chance does to an input.
#[derive(Debug, Clone)]
enum Change {
    Remove(Index, Index),
    Insert(Index, Vec<u8>),
    Replace(Index, u8),
    /// The rest is another input's.
    Join(Index, Index, Index),
}

fn change() -> impl Strategy<Value = Change> {
    let bytes = prop_oneof![
        prop::collection::vec(any::<u8>(), 1..8),
        prop::sample::select(vec![
            "\n", "\n\n", "\r\n", ":", "\\", "\0", "~", "|", "<", "\"", "[", "ERROR"
        ])
        .prop_map(|text| text.as_bytes().to_vec()),
    ];
    prop_oneof![
        (any::<Index>(), any::<Index>()).prop_map(|(from, to)| Change::Remove(from, to)),
        (any::<Index>(), bytes).prop_map(|(at, bytes)| Change::Insert(at, bytes)),
        (any::<Index>(), any::<u8>()).prop_map(|(at, byte)| Change::Replace(at, byte)),
        (any::<Index>(), any::<Index>(), any::<Index>())
            .prop_map(|(at, other, from)| Change::Join(at, other, from)),
    ]
}

impl Change {
    fn apply(&self, input: &mut Vec<u8>, known: &[Vec<u8>]) {
        let place = |index: &Index, length: usize| index.index(length + 1);
        match self {
            Change::Remove(from, to) => {
                let (from, to) = (place(from, input.len()), place(to, input.len()));
                input.drain(from.min(to)..from.max(to));
            }
            Change::Insert(at, bytes) => {
                let at = place(at, input.len());
                input.splice(at..at, bytes.iter().copied());
            }
            Change::Replace(at, byte) => {
                if !input.is_empty() {
                    let at = at.index(input.len());
                    input[at] = *byte;
                }
            }
            Change::Join(at, other, from) => {
                let other = other.get(known);
                input.truncate(place(at, input.len()));
                input.extend_from_slice(&other[place(from, other.len())..]);
            }
        }
    }
}

/// An input beyond it is libFuzzer's.
const BYTES_MAX: usize = 4096;

/// Checks every known input of a target, and so many that are made of them.
fn holds(target: &str, made: u32, check: fn(&[u8])) {
    let known = known(target);
    for input in &known {
        check(input);
    }
    let config = ProptestConfig {
        cases: made,
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    let inputs = (any::<Index>(), prop::collection::vec(change(), 1..6));
    proptest!(config, |((first, changes) in inputs)| {
        let mut input = first.get(&known).clone();
        for change in &changes {
            change.apply(&mut input, &known);
        }
        input.truncate(BYTES_MAX);
        check(&input);
    });
}

#[test]
fn bytes_decode_alike_however_they_are_cut() {
    holds("decoder", 1_000, decoder::check);
}

#[test]
fn headers_mean_the_same_after_a_return() {
    holds("headers", 1_000, headers::check);
}

#[test]
fn a_good_message_behind_what_was_found_arrives() {
    holds("lenient", 1_000, lenient::check);
}

#[test]
fn a_session_survives_what_was_found() {
    holds("session", 1_000, session::check);
}

#[test]
fn sockjs_frames_are_frames_or_errors() {
    holds("sockjs", 1_000, sockjs::check);
}
