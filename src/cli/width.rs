//! How many columns a line may have: those of the terminal. A pipe and a file have none: who reads
//! them looks for whole lines.

use unicode_width::UnicodeWidthChar;

use super::print::harmless;
use super::terminal::columns;

/// A narrower terminal gets lines of this width: in fewer columns nothing can be read.
const COLUMNS_MIN: usize = 12;

/// How many columns a line has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Width(pub(super) Option<usize>);

impl Width {
    pub(super) fn of_output() -> Width {
        Width(columns().map(|columns| columns.max(COLUMNS_MIN)))
    }

    /// The text in lines that fit, each behind an indent. Its spaces stand as they are.
    pub(super) fn wrapped(self, indent: &str, text: &str) -> Vec<String> {
        let room = self.0.unwrap_or(usize::MAX);
        let mut lines = Vec::new();
        for line in harmless(text).split('\n') {
            let (mut piece, mut columns) = (indent.to_owned(), indent.len());
            for character in line.chars() {
                let width = character.width().unwrap_or(0);
                if columns + width > room {
                    lines.push(std::mem::replace(&mut piece, indent.to_owned()));
                    columns = indent.len();
                }
                piece.push(character);
                columns += width;
            }
            lines.push(piece);
        }
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_fit_with_their_indent_and_a_pipe_cuts_none() {
        let check = |columns, text: &str, expected: &[&str]| {
            assert_eq!(Width(columns).wrapped("  ", text), expected, "{text}");
        };
        check(Some(6), "a  bcd", &["  a  b", "  cd"]);
        check(Some(6), "射阳县\nx", &["  射阳", "  县", "  x"]);
        check(None, "a  bcd ef", &["  a  bcd ef"]);
        check(None, "a\x1b", &["  a\\u{1b}"]);
    }
}
