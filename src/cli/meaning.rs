//! What a text means that a person has written for a device: its ids, or its name. An id always
//! beats a name: else a name could hide a device, and nothing would reach it.

use crate::cli::print::harmless;
use crate::model::device_key;

/// Devices that are named in an error.
const SHOWN_MAX: usize = 3;

/// Client and device of devices, in order.
pub(super) type Ids = Vec<(String, String)>;

/// How a text means a device.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    /// It is the ids of these devices.
    Ids(Ids),
    /// It is a name, or the ids of a device that nobody has seen.
    Name,
}

/// It is the id of some devices and the name of others.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text} is the id of {ids} and the name of {named}: write one of these in its place")]
pub(super) struct Ambiguous {
    text: String,
    ids: String,
    named: String,
}

/// What a text means, where it is the ids of the devices `there`, and the name of the others: of
/// both, client/device goes before the id alone.
///
/// # Errors
/// It is an id alone, and the name of another device.
pub(super) fn meaning(
    text: &str,
    there: Ids,
    named: &[(String, String)],
) -> Result<Meaning, Ambiguous> {
    let (whole, alone): (Ids, Ids) = there.into_iter().partition(|ids| is_whole(text, ids));
    if !whole.is_empty() {
        return Ok(Meaning::Ids(whole));
    }
    if alone.iter().all(|ids| named.contains(ids)) {
        return Ok(Meaning::Name);
    }
    match named.is_empty() {
        true => Ok(Meaning::Ids(alone)),
        false => Err(Ambiguous {
            text: harmless(text),
            ids: shown(&alone),
            named: shown(named),
        }),
    }
}

/// Whether a text is client/device of a device.
pub(super) fn is_whole(text: &str, (client, device): &(String, String)) -> bool {
    device_key(client, device) == text
}

/// Each client and device that a text may be. An id may hold a slash itself.
pub(super) fn splits(text: &str) -> Ids {
    let splits = text.match_indices('/');
    let split = |(at, _): (usize, &str)| (text[..at].to_owned(), text[at + 1..].to_owned());
    splits.map(split).collect()
}

fn shown(devices: &[(String, String)]) -> String {
    let keys = devices.iter().take(SHOWN_MAX);
    let keys: Vec<String> = keys
        .map(|(client, device)| harmless(&device_key(client, device)))
        .collect();
    let more = match devices.len() > SHOWN_MAX {
        true => ", …",
        false => "",
    };
    keys.join(", ") + more
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(keys: &[&str]) -> Ids {
        let key = |key: &&str| {
            let (client, device) = key.split_once('/').unwrap();
            (client.to_owned(), device.to_owned())
        };
        keys.iter().map(key).collect()
    }

    #[test]
    fn an_id_beats_a_name_and_what_is_both_is_said() {
        let check = |text,
                     there: &[&str],
                     named: &[&str],
                     expected: Result<Option<&[&str]>, &str>| {
            let found = meaning(text, ids(there), &ids(named));
            match (found, expected) {
                (Ok(Meaning::Name), Ok(None)) => {}
                (Ok(Meaning::Ids(found)), Ok(Some(expected))) => assert_eq!(found, ids(expected)),
                (Err(error), Err(words)) => assert!(error.to_string().contains(words), "{error}"),
                (found, _) => panic!("{text}: {found:?}"),
            }
        };
        check("pump", &[], &["2/12"], Ok(None));
        check("1/1", &["1/1"], &["2/12"], Ok(Some(&["1/1"])));
        check("1/1", &[], &["2/12"], Ok(None));
        check("1/1", &["1/1", "x/1/1"], &[], Ok(Some(&["1/1"])));
        check("/7", &["/7"], &["4/14"], Ok(Some(&["/7"])));
        check("7", &["4/7"], &["4/7"], Ok(None));
        check("7", &["1/7", "2/7"], &[], Ok(Some(&["1/7", "2/7"])));
        let words = "7 is the id of 1/7, 2/7 and the name of 4/14: write one of these";
        check("7", &["1/7", "2/7"], &["4/14"], Err(words));
    }

    #[test]
    fn an_id_may_hold_a_slash() {
        assert_eq!(splits("7"), []);
        assert_eq!(splits("1/7"), ids(&["1/7"]));
        let either = [("a", "b/c"), ("a/b", "c")];
        assert_eq!(
            splits("a/b/c"),
            either.map(|(a, b)| (a.to_owned(), b.to_owned()))
        );
    }
}
