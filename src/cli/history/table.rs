//! A table that fits the terminal: first the columns that matter least are left out, then times get
//! shorter, and at last texts are cut. A Chinese character is two columns wide.

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use crate::cli::print::one_line;
use crate::cli::terminal::{PLAIN, colour};
use crate::model::Severity;

/// Between two columns.
const GAP: usize = 2;
/// A text is not cut below this width.
const CUT_MIN: usize = 4;
/// The columns of words whose beginning is enough, and how narrow they get before another column is
/// left out.
const CUT_FIRST: [&str; 2] = ["NAME", "CAUSE"];
const CUT_FIRST_MIN: usize = 6;
/// Columns of this rank and above go before times get shorter.
const MINOR: u8 = 5;

/// The head of a column.
#[derive(Debug, Clone, Copy)]
pub(super) struct Head {
    pub(super) name: &'static str,
    /// 0: it is always there; else the highest rank is left out first.
    pub(super) rank: u8,
    pub(super) side: Side,
}

/// Where the texts of a column stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Left,
    Right,
}

/// One text of a table.
#[derive(Debug, Clone, Default)]
pub(super) struct Cell {
    long: String,
    /// Where there is no room for the long one.
    short: Option<String>,
    severity: Option<Severity>,
}

/// What a terminal shows.
#[derive(Debug, Clone, Copy)]
pub(super) struct Look {
    /// `None`: there is no end to a line.
    pub(super) columns: Option<usize>,
    pub(super) has_colours: bool,
    pub(super) has_unicode: bool,
}

/// A table.
#[derive(Debug, Default)]
pub(super) struct Table {
    pub(super) heads: Vec<Head>,
    pub(super) rows: Vec<Vec<Cell>>,
    /// What stands above it already.
    pub(super) above: Widths,
}

/// How wide the columns of the rows above a table are: of long texts, and of short ones; 0: there
/// was no text.
#[derive(Debug, Default)]
pub(super) struct Widths(Vec<[usize; 2]>);

/// A table as lines, the heads first.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Lines {
    pub(super) lines: Vec<String>,
    /// How wide the widest is.
    pub(super) width: usize,
    /// The columns for which there is no room.
    pub(super) left_out: Vec<&'static str>,
}

impl Cell {
    /// What came over the network moves no cursor.
    pub(super) fn text(text: &str) -> Cell {
        Cell {
            long: one_line(text),
            ..Cell::default()
        }
    }

    /// With a form for narrow terminals.
    pub(super) fn or_short(long: String, short: String) -> Cell {
        Cell {
            long,
            short: Some(short),
            severity: None,
        }
    }

    /// In the colour of a severity.
    pub(super) fn of(severity: Severity, text: &str) -> Cell {
        Cell {
            severity: Some(severity),
            ..Cell::text(text)
        }
    }

    fn shown(&self, length: Length) -> &str {
        match (length, &self.short) {
            (Length::Short, Some(short)) => short,
            _ => &self.long,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Length {
    Long,
    Short,
}

impl Widths {
    fn of(&self, column: usize, length: Length) -> usize {
        let widths = self.0.get(column);
        widths.map_or(0, |widths| widths[length as usize])
    }
}

/// Which columns are shown, and how wide.
struct Layout {
    shown: Vec<usize>,
    widths: Vec<usize>,
    length: Length,
}

impl Table {
    /// The lines for a terminal.
    pub(super) fn lines(&self, look: &Look) -> Lines {
        let layout = self.layout(look.columns);
        let head: Vec<Cell> = self
            .heads
            .iter()
            .map(|head| Cell::text(head.name))
            .collect();
        let rows = std::iter::once(&head).chain(&self.rows);
        let lines = rows.map(|row| self.line(row, &layout, look)).collect();
        let is_left_out =
            |(index, _): &(usize, &Head)| !layout.shown.contains(index) && self.has_text(*index);
        let left_out = self.heads.iter().enumerate().filter(is_left_out);
        Lines {
            lines,
            width: total(&layout.widths),
            left_out: left_out.map(|(_, head)| head.name).collect(),
        }
    }

    /// Takes the texts of a column away: it says nothing here, and so is not shown.
    pub(super) fn empty(&mut self, name: &str) {
        let columns = self.heads.iter().enumerate();
        for (column, _) in columns.filter(|(_, head)| head.name == name) {
            self.rows
                .iter_mut()
                .for_each(|row| row[column] = Cell::default());
        }
    }

    /// Whether a row, or one above the table, has a text in a column.
    fn has_text(&self, column: usize) -> bool {
        self.above.of(column, Length::Long) > 0
            || self.rows.iter().any(|row| !row[column].long.is_empty())
    }

    fn layout(&self, columns: Option<usize>) -> Layout {
        // A column without a text says nothing.
        let says_something = |index: &usize| {
            self.rows.is_empty() || self.heads[*index].rank == 0 || self.has_text(*index)
        };
        let shown: Vec<usize> = (0..self.heads.len()).filter(says_something).collect();
        let whole = shown.clone();
        let mut layout = Layout {
            widths: Vec::new(),
            shown,
            length: Length::Long,
        };
        let columns = columns.unwrap_or(usize::MAX);
        loop {
            layout.widths = self.widths(&layout);
            if total(&layout.widths) <= columns {
                return self.with_more(layout, &whole, columns);
            }
            let last = layout
                .shown
                .iter()
                .copied()
                .max_by_key(|index| self.heads[*index].rank);
            let last = last.map(|index| (index, self.heads[index].rank));
            match last {
                Some((index, rank)) if rank >= MINOR => layout.shown.retain(|it| *it != index),
                _ if layout.length == Length::Long => layout.length = Length::Short,
                _ if self.cut_words(&mut layout, columns) => return layout,
                Some((index, rank)) if rank > 0 => layout.shown.retain(|it| *it != index),
                _ => break,
            }
        }
        squeeze(&mut layout.widths, columns);
        layout
    }

    /// Cuts words rather than leave a column out. Whether that is enough.
    fn cut_words(&self, layout: &mut Layout, columns: usize) -> bool {
        let excess = total(&layout.widths).saturating_sub(columns);
        let shown = layout.shown.iter().zip(&mut layout.widths);
        let mut words = shown.filter(|(index, _)| CUT_FIRST.contains(&self.heads[**index].name));
        match words.next() {
            Some((_, width)) if *width >= excess + CUT_FIRST_MIN => {
                *width -= excess;
                true
            }
            _ => false,
        }
    }

    /// With those columns for which there is still room: one that was left out may have been wide.
    fn with_more(&self, mut layout: Layout, whole: &[usize], columns: usize) -> Layout {
        let mut missing: Vec<usize> = whole.to_vec();
        missing.retain(|index| !layout.shown.contains(index));
        missing.sort_by_key(|index| self.heads[*index].rank);
        for index in missing {
            let mut more = Layout {
                shown: layout.shown.clone(),
                widths: Vec::new(),
                length: layout.length,
            };
            more.shown.push(index);
            more.shown.sort_unstable();
            more.widths = self.widths(&more);
            if total(&more.widths) <= columns {
                layout = more;
            } else if self.heads[index].rank < MINOR {
                // What matters less does not take its place.
                break;
            }
        }
        layout
    }

    fn widths(&self, layout: &Layout) -> Vec<usize> {
        let shown = layout.shown.iter();
        shown
            .map(|column| self.width(*column, layout.length))
            .collect()
    }

    fn width(&self, column: usize, length: Length) -> usize {
        let texts = self
            .rows
            .iter()
            .map(|row| row[column].shown(length).width());
        let others = [
            self.heads[column].name.width(),
            self.above.of(column, length),
        ];
        texts.chain(others).max().unwrap_or_default()
    }

    /// The widths that a table below this one goes on with.
    pub(super) fn widths_with_above(&self) -> Widths {
        let widths = |column| match self.has_text(column) {
            true => [Length::Long, Length::Short].map(|length| self.width(column, length)),
            false => [0, 0],
        };
        Widths((0..self.heads.len()).map(widths).collect())
    }

    fn line(&self, row: &[Cell], layout: &Layout, look: &Look) -> String {
        let mut line = String::new();
        let last = layout.shown.len().saturating_sub(1);
        for (nth, (column, width)) in layout.shown.iter().zip(&layout.widths).enumerate() {
            let cell = &row[*column];
            let text = cut(cell.shown(layout.length), *width, look);
            let blanks = " ".repeat(width.saturating_sub(text.width()));
            let text = painted(&text, cell.severity, look);
            match (self.heads[*column].side, nth == last) {
                (Side::Right, _) => line += &(blanks + &text),
                (Side::Left, true) => line += &text,
                (Side::Left, false) => line += &(text + &blanks),
            }
            if nth < last {
                line += &" ".repeat(GAP);
            }
        }
        line.trim_end().to_owned()
    }
}

/// The width of a line.
fn total(widths: &[usize]) -> usize {
    widths.iter().sum::<usize>() + GAP * widths.len().saturating_sub(1)
}

/// Takes from the widest until it fits, or nothing can be cut.
fn squeeze(widths: &mut [usize], columns: usize) {
    while total(widths) > columns {
        match widths.iter_mut().max() {
            Some(widest) if *widest > CUT_MIN => *widest -= 1,
            _ => return,
        }
    }
}

/// A text of at most this width.
pub(super) fn cut(text: &str, width: usize, look: &Look) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    let mark = if look.has_unicode { "…" } else { "~" };
    let room = width.saturating_sub(mark.width());
    let mut kept = String::new();
    let mut used = 0;
    for character in text.chars() {
        let wide = character.width().unwrap_or(0);
        if used + wide > room {
            break;
        }
        used += wide;
        kept.push(character);
    }
    kept + mark
}

fn painted(text: &str, severity: Option<Severity>, look: &Look) -> String {
    match severity
        .map(colour)
        .filter(|colour| look.has_colours && !colour.is_empty())
    {
        Some(colour) => format!("{colour}{text}{PLAIN}"),
        None => text.to_owned(),
    }
}

/// A text in lines of at most this width, cut at blanks.
pub(super) fn wrapped(text: &str, columns: Option<usize>) -> Vec<String> {
    let columns = columns.unwrap_or(usize::MAX);
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let line = lines.last_mut().expect("there is a line from the start");
        if line.is_empty() {
            line.push_str(word);
        } else if line.width() + 1 + word.width() <= columns {
            line.push(' ');
            line.push_str(word);
        } else {
            lines.push(word.to_owned());
        }
    }
    lines
        .iter()
        .map(|line| line.trim_end().to_owned())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOOK: Look = Look {
        columns: None,
        has_colours: false,
        has_unicode: true,
    };

    fn table() -> Table {
        let head = |name, rank, side| Head { name, rank, side };
        let row = |device: &str, severity, state: &str, city: &str, faults: &str| {
            vec![
                Cell::text(device),
                Cell::of(severity, state),
                Cell::or_short("2026-11-29 12:03:04".to_owned(), "11-29 12:03".to_owned()),
                Cell::text(city),
                Cell::text(""),
                Cell::text(faults),
            ]
        };
        Table {
            heads: vec![
                head("DEVICE", 0, Side::Left),
                head("STATE", 0, Side::Left),
                head("SINCE", 1, Side::Left),
                head("CITY", 5, Side::Left),
                head("NOTE", 2, Side::Left),
                head("FAULTS", 3, Side::Right),
            ],
            rows: vec![
                row(
                    "1/7",
                    Severity::Critical,
                    "故障",
                    "盐城市射阳县人民政府",
                    "7",
                ),
                row("a long client/17", Severity::Ok, "normal", "x", "12"),
            ],
            above: Widths::default(),
        }
    }

    fn lines(columns: usize) -> Lines {
        let look = Look {
            columns: Some(columns),
            ..LOOK
        };
        table().lines(&look)
    }

    #[test]
    fn columns_line_up_under_wide_characters() {
        let all = table().lines(&LOOK);
        assert_eq!(
            all.lines,
            [
                "DEVICE            STATE   SINCE                CITY                  FAULTS",
                "1/7               故障    2026-11-29 12:03:04  盐城市射阳县人民政府       7",
                "a long client/17  normal  2026-11-29 12:03:04  x                         12",
            ]
        );
        assert_eq!((all.width, all.left_out.len()), (75, 0));
    }

    #[test]
    fn a_narrow_terminal_shows_less_and_says_what() {
        let eighty = lines(60);
        assert_eq!(eighty.left_out, ["CITY"]);
        assert!(eighty.lines[1].contains("2026-11-29 12:03:04"));
        let forty = lines(40);
        assert_eq!(forty.left_out, ["CITY", "FAULTS"]);
        assert_eq!(forty.lines[1], "1/7               故障    11-29 12:03");
        let twenty = lines(20);
        assert_eq!(twenty.left_out, ["SINCE", "CITY", "FAULTS"]);
        assert_eq!(twenty.lines[2], "a long clie…  normal");
        for columns in [20, 40, 60] {
            let widest = lines(columns).lines.iter().map(|line| line.width()).max();
            assert!(widest <= Some(columns), "{columns}");
        }
        // Nothing below that helps, and nothing panics.
        for columns in 0..12 {
            assert_eq!(lines(columns).lines.len(), 3);
        }
    }

    #[test]
    fn a_name_is_cut_and_nothing_minor_takes_the_place_of_what_matters() {
        let head = |name, rank| Head {
            name,
            rank,
            side: Side::Left,
        };
        let texts = ["1/7", "a very long name of it", "a note that is long", "g"];
        let mut table = Table {
            heads: vec![
                head("DEVICE", 0),
                head("NAME", 2),
                head("NOTE", 4),
                head("GROUP", 5),
            ],
            rows: vec![texts.map(Cell::text).to_vec()],
            above: Widths::default(),
        };
        let lines = |columns| {
            let look = Look {
                columns: Some(columns),
                ..LOOK
            };
            table.lines(&look)
        };
        assert_eq!(lines(43).left_out, ["GROUP"]);
        assert_eq!(
            lines(43).lines[1],
            "1/7     a very long n…  a note that is long"
        );
        assert_eq!(lines(20).left_out, ["NOTE", "GROUP"]);
        assert_eq!(lines(20).lines[1], "1/7     a very long…");
        table.empty("NOTE");
        assert!(!table.lines(&LOOK).lines[0].contains("NOTE"));
    }

    #[test]
    fn colours_take_no_room() {
        let look = Look {
            has_colours: true,
            ..LOOK
        };
        let line = &table().lines(&look).lines[1];
        assert!(
            line.starts_with("1/7               \x1b[31m故障\x1b[0m    2026"),
            "{line:?}"
        );
    }

    #[test]
    fn a_text_is_cut_between_characters() {
        let ascii = Look {
            has_unicode: false,
            ..LOOK
        };
        assert_eq!(cut("盐城市射阳县", 6, &LOOK), "盐城…");
        assert_eq!(cut("盐城市射阳县", 5, &ascii), "盐城~");
        assert_eq!(cut("abc", 3, &LOOK), "abc");
        assert_eq!(wrapped("a bb ccc", Some(4)), ["a bb", "ccc"]);
        assert_eq!(wrapped("a bb", None), ["a bb"]);
    }
}
