//! The lines of a text by RFC 4180.

/// A line of a text.
pub(super) struct Line {
    /// Of its beginning, from 1.
    pub(super) number: usize,
    pub(super) cells: Vec<String>,
    /// Its quotes are.
    pub(super) is_closed: bool,
}

/// What an empty text begins with.
impl Default for Line {
    fn default() -> Line {
        Line {
            number: 1,
            cells: Vec::new(),
            is_closed: true,
        }
    }
}

/// The lines of a text by RFC 4180. A quoted cell may go on over lines; one that never ends goes no
/// further than its own.
pub(super) struct Lines<'a> {
    rest: std::iter::Peekable<std::str::Chars<'a>>,
    line: usize,
}

impl<'a> Lines<'a> {
    pub(super) fn of(text: &'a str) -> Lines<'a> {
        Lines {
            rest: text.chars().peekable(),
            line: 1,
        }
    }

    /// The rest of a cell in quotes, up to the quote that ends it. False where there is none.
    fn quoted(&mut self, cell: &mut String) -> bool {
        let begin = (self.rest.clone(), self.line);
        while let Some(character) = self.rest.next() {
            match character {
                '"' if self.rest.next_if_eq(&'"').is_some() => cell.push('"'),
                '"' if self.line == begin.1 || self.is_at_end_of_cell() => return true,
                // It begins another cell, in a line that this one would swallow.
                '"' => break,
                character => {
                    self.line += usize::from(character == '\n');
                    cell.push(character);
                }
            }
        }
        (self.rest, self.line) = begin;
        false
    }

    fn is_at_end_of_cell(&mut self) -> bool {
        let next = self.rest.peek();
        next.is_none_or(|next| matches!(next, ',' | '\r' | '\n'))
    }

    fn skip_line(&mut self) {
        if self.rest.any(|character| character == '\n') {
            self.line += 1;
        }
    }
}

impl Iterator for Lines<'_> {
    type Item = Line;

    fn next(&mut self) -> Option<Line> {
        self.rest.peek()?;
        let number = self.line;
        let mut is_closed = true;
        let mut cells = vec![String::new()];
        while let Some(character) = self.rest.next() {
            let cell = cells.last_mut()?;
            match character {
                '"' if cell.trim().is_empty() => {
                    cell.clear();
                    is_closed = self.quoted(cell);
                    if !is_closed {
                        self.skip_line();
                        break;
                    }
                }
                ',' => cells.push(String::new()),
                '\n' => {
                    self.line += 1;
                    break;
                }
                '\r' if self.rest.peek() == Some(&'\n') => {}
                character => cell.push(character),
            }
        }
        Some(Line {
            number,
            cells,
            is_closed,
        })
    }
}
