//! Names of topics in lists, as people order them; and for one line of text: of hundreds, the first
//! few.

use std::cmp::Ordering;

use crate::bilingual::{Bilingual, both};

/// More are counted.
const NAMES_MAX: usize = 5;

/// The order of names as people have it: numbers by their values, so that `map-2` is before `map-10`.
pub fn by_name(one: &str, other: &str) -> Ordering {
    let (mut left, mut right) = (one.as_bytes(), other.as_bytes());
    while let ([a, rest_left @ ..], [b, rest_right @ ..]) = (left, right) {
        let order = match a.is_ascii_digit() && b.is_ascii_digit() {
            true => {
                let (a, b) = (number(&mut left), number(&mut right));
                a.len().cmp(&b.len()).then_with(|| a.cmp(b))
            }
            false => {
                (left, right) = (rest_left, rest_right);
                a.cmp(b)
            }
        };
        if order.is_ne() {
            return order;
        }
    }
    // Of names that differ in zeros alone each still has its place.
    left.len().cmp(&right.len()).then_with(|| one.cmp(other))
}

/// The digits that a text begins with, without zeros before them; the text goes on behind them.
fn number<'a>(text: &mut &'a [u8]) -> &'a [u8] {
    let digits = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (number, rest) = text.split_at(digits);
    *text = rest;
    let zeros = number.iter().take_while(|byte| **byte == b'0').count();
    &number[zeros..]
}

/// What is kept of each topic, in the order of [`by_name`].
pub fn sorted<K: AsRef<str>, T>(named: impl IntoIterator<Item = (K, T)>) -> Vec<(K, T)> {
    let mut sorted: Vec<(K, T)> = named.into_iter().collect();
    sorted.sort_by(|(one, _), (other, _)| by_name(one.as_ref(), other.as_ref()));
    sorted
}

/// `a, b` or `a, b, c, d, e and 495 more`, in the order of [`by_name`].
pub fn in_short<T: AsRef<str>>(names: &[T]) -> String {
    named(names).en.into_owned()
}

/// The same in both languages.
pub fn named<T: AsRef<str>>(names: &[T]) -> Bilingual {
    let mut shown: Vec<&str> = names.iter().map(AsRef::as_ref).collect();
    shown.sort_by(|one, other| by_name(one, other));
    shown.truncate(NAMES_MAX);
    let shown = shown.join(", ");
    match names.len().saturating_sub(NAMES_MAX) {
        0 => both(shown.clone(), shown),
        more => both(
            format!("{shown} and {more} more"),
            format!("{shown} 等 {} 个", names.len()),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_many_names_the_first_few_stand_there_and_the_others_are_counted() {
        let names: Vec<String> = (1..=500).map(|number| format!("map-{number}")).collect();
        assert_eq!(in_short(&names[..1]), "map-1");
        assert_eq!(in_short(&names[..5]), "map-1, map-2, map-3, map-4, map-5");
        assert_eq!(
            in_short(&names),
            "map-1, map-2, map-3, map-4, map-5 and 495 more"
        );
        let mut names = names;
        names.sort();
        assert!(in_short(&names).starts_with("map-1, map-2, map-3, "));
    }

    #[test]
    fn numbers_in_names_are_ordered_by_their_values() {
        let ordered = [
            "",
            "7",
            "10",
            "a",
            "a-",
            "a-0",
            "a-00",
            "a-01",
            "a-1",
            "a-2",
            "a-2-b",
            "a-2-b3",
            "a-10",
            "a-010-x",
            "a-99999999999999999999",
            "a-100000000000000000000",
            "ab",
        ];
        for (at, one) in ordered.iter().enumerate() {
            for (place, other) in ordered.iter().enumerate() {
                assert_eq!(by_name(one, other), at.cmp(&place), "{one} and {other}");
            }
        }
        let named = sorted([("map-10", 1), ("map-9", 2)]);
        assert_eq!(named, [("map-9", 2), ("map-10", 1)]);
    }

    #[test]
    fn a_name_is_the_same_in_either_language_whatever_it_has_in_it() {
        let names = ["a wind and sun", "b", "c", "d", "e", "f"];
        let zh = |names: &[&str]| named(names).zh.into_owned();
        assert_eq!(zh(&names[..1]), "a wind and sun");
        assert_eq!(zh(&names), "a wind and sun, b, c, d, e 等 6 个");
    }
}
