//! Names of topics for one line of text: of hundreds, the first few.

use crate::bilingual::{Bilingual, both};

/// More are counted.
const NAMES_MAX: usize = 5;

/// `a, b` or `a, b, c, d, e and 495 more`.
pub fn in_short<T: AsRef<str>>(names: &[T]) -> String {
    let shown: Vec<&str> = names.iter().take(NAMES_MAX).map(AsRef::as_ref).collect();
    match names.len().saturating_sub(NAMES_MAX) {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

/// The same in both languages.
pub fn named<T: AsRef<str>>(names: &[T]) -> Bilingual {
    let en = in_short(names);
    let zh = match en.split_once(" and ") {
        Some((shown, _)) if names.len() > NAMES_MAX => format!("{shown} 等 {} 个", names.len()),
        _ => en.clone(),
    };
    both(en, zh)
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
}
