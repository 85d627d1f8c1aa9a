//! The known name that a mistyped one was meant to be.

/// The candidate that a name was likely meant to be.
pub(crate) fn nearest<'a>(
    name: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    let distance_max = (name.chars().count() / 3).clamp(1, 3);
    let name = name.to_lowercase();
    let near = candidates
        .into_iter()
        .map(|candidate| (distance(&name, &candidate.to_lowercase()), candidate));
    near.filter(|(distance, _)| *distance <= distance_max)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, near)| near)
}

/// Insertions, deletions, replacements and swaps of neighbours that make `b` of `a` (optimal string
/// alignment).
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut rows = vec![vec![0_usize; b.len() + 1]; a.len() + 1];
    for i in 0..=a.len() {
        for j in 0..=b.len() {
            rows[i][j] = if i == 0 || j == 0 {
                i + j
            } else {
                let replaced = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
                let mut best = replaced.min(rows[i - 1][j] + 1).min(rows[i][j - 1] + 1);
                if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                    best = best.min(rows[i - 2][j - 2] + 1);
                }
                best
            };
        }
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Event;

    #[test]
    fn the_nearest_name_is_the_one_that_was_meant() {
        for (name, expected) in [
            ("severty", Some("severity")),
            ("device", None),
            ("devcie_id", Some("device_id")),
            ("Changed", Some("changed")),
            ("temperature", None),
        ] {
            assert_eq!(nearest(name, Event::FIELDS), expected, "{name}");
        }
    }
}
