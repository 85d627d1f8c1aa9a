//! Names of topics for one line of text: of hundreds, the first few.

use crate::bilingual::{Bilingual, both};

/// More are counted.
const NAMES_MAX: usize = 5;

/// `a, b` or `a, b, c, d, e and 495 more`.
pub fn in_short<T: AsRef<str>>(names: &[T]) -> String {
    named(names).en.into_owned()
}

/// The same in both languages.
pub fn named<T: AsRef<str>>(names: &[T]) -> Bilingual {
    let shown: Vec<&str> = names.iter().take(NAMES_MAX).map(AsRef::as_ref).collect();
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
    }

    #[test]
    fn a_name_is_the_same_in_either_language_whatever_it_has_in_it() {
        let names = ["wind and sun", "b", "c", "d", "e", "f"];
        let zh = |names: &[&str]| named(names).zh.into_owned();
        assert_eq!(zh(&names[..1]), "wind and sun");
        assert_eq!(zh(&names), "wind and sun, b, c, d, e 等 6 个");
    }
}
