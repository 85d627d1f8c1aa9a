//! Names of topics for one line of text: of hundreds, the first few.

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
