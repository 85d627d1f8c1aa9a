//! A table to which rows come: they stand below its heading, and the heading is said again where a
//! column begins, gets wider or has no room any longer.

use super::table::{Look, Table, Widths};

/// What was printed of it so far.
#[derive(Debug, Default)]
pub(super) struct Below {
    widths: Widths,
    heading: String,
    left_out: Vec<&'static str>,
}

/// What is to be printed of the next rows.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Next {
    pub(super) lines: Vec<String>,
    /// The columns for which there is no room, where that was not said yet.
    pub(super) left_out: Vec<&'static str>,
}

impl Below {
    /// The lines of the next rows.
    pub(super) fn next(&mut self, mut table: Table, look: &Look) -> Next {
        table.above = std::mem::take(&mut self.widths);
        self.widths = table.widths_with_above();
        let drawn = table.lines(look);
        let mut lines = drawn.lines;
        match lines.first() {
            Some(heading) if *heading == self.heading => drop(lines.remove(0)),
            heading => self.heading = heading.cloned().unwrap_or_default(),
        }
        let is_said = drawn.left_out == self.left_out;
        self.left_out.clone_from(&drawn.left_out);
        Next {
            lines,
            left_out: if is_said { Vec::new() } else { drawn.left_out },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::history::answer::head;
    use crate::cli::history::table::Cell;

    fn look(columns: Option<usize>) -> Look {
        Look {
            columns,
            has_colours: false,
            has_unicode: true,
        }
    }

    fn table(rows: &[[&str; 4]]) -> Table {
        let cells = |row: &[&str; 4]| {
            let time = Cell::or_short(format!("2026-11-30 {}", row[0]), row[0].to_owned());
            let texts = row[1..].iter().map(|text| Cell::text(text));
            std::iter::once(time).chain(texts).collect()
        };
        Table {
            heads: vec![
                head("TIME", 1),
                head("DEVICE", 0),
                head("NAME", 2),
                head("NOTE", 4),
            ],
            rows: rows.iter().map(cells).collect(),
            ..Table::default()
        }
    }

    #[test]
    fn rows_stand_below_a_heading_that_fits_them() {
        let mut below = Below::default();
        let mut next = |rows: &[[&str; 4]]| below.next(table(rows), &look(None)).lines;
        assert_eq!(
            next(&[["10:00", "1/7", "", ""]]),
            ["TIME              DEVICE", "2026-11-30 10:00  1/7"]
        );
        assert_eq!(next(&[["10:01", "1/8", "", ""]]), ["2026-11-30 10:01  1/8"]);
        // A column begins, and another gets wider; both stay so.
        let first = next(&[["10:02", "long/17", "", "changed"]]);
        assert_eq!(first[0], "TIME              DEVICE   NOTE");
        assert_eq!(
            next(&[["10:03", "1/8", "", ""], ["10:04", "1/7", "", "resync"]]),
            ["2026-11-30 10:03  1/8", "2026-11-30 10:04  1/7      resync"]
        );
    }

    #[test]
    fn a_narrow_terminal_says_once_what_it_leaves_out() {
        let mut below = Below::default();
        let mut next = |rows: &[[&str; 4]]| below.next(table(rows), &look(Some(24)));
        let first = next(&[["10:00", "1/7", "pump", "changed"]]);
        assert_eq!(first.left_out, ["NOTE"]);
        // Times are short, and go on to be so.
        assert_eq!(first.lines[1], "10:00  1/7     pump");
        let second = next(&[["10:01", "1/7", "", ""]]);
        assert_eq!(second.lines, ["10:01  1/7"]);
        assert_eq!(second.left_out, Vec::<&str>::new());
    }
}
