//! Rust source as the checks read it: without comments, and with or without what stands in
//! literals. Lines stay where they are.

/// Whether what stands in string and character literals is kept.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Literals {
    Kept,
    Emptied,
}

/// What of a file is production code, as rustfmt writes it: each item behind `#[cfg(test)]` leaves
/// empty lines, since tests may use more.
pub(crate) fn production(text: &str) -> String {
    let mut code = String::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if line.trim() != "#[cfg(test)]" {
            code.push_str(line);
        } else if let Some(item) = lines.next() {
            code.push('\n');
            let end = line.replace("#[cfg(test)]", "}");
            if !item.ends_with([';', '}']) {
                let item = lines.by_ref().take_while(|line| *line != end);
                code.extend(item.map(|_| '\n'));
                code.push('\n');
            }
        }
        code.push('\n');
    }
    code
}

/// The text without its comments.
pub(crate) fn code(text: &str, literals: Literals) -> String {
    let mut reader = Reader {
        rest: text,
        before: ['\0'; 2],
        code: String::new(),
        literals,
    };
    while !reader.rest.is_empty() {
        reader.step();
    }
    reader.code
}

struct Reader<'a> {
    rest: &'a str,
    /// The last two characters, the newest first.
    before: [char; 2],
    code: String,
    literals: Literals,
}

impl Reader<'_> {
    fn step(&mut self) {
        if self.rest.starts_with("//") {
            self.drop(self.rest.find('\n').unwrap_or(self.rest.len()));
        } else if self.rest.starts_with("/*") {
            self.drop(block_comment(self.rest));
        } else if let Some(hashes) = self.raw_string() {
            let (open, close) = (hashes + 2, format!("\"{}", "#".repeat(hashes)));
            let text = &self.rest[open..];
            let end = text.find(&close).unwrap_or(text.len());
            self.literal(open, open + end);
        } else if self.rest.starts_with('"') {
            self.literal(1, 1 + quoted(&self.rest[1..], '"'));
        } else if self.rest.starts_with('\'') && is_character(self.rest) {
            self.literal(1, 1 + quoted(&self.rest[1..], '\''));
        } else {
            let width = self.rest.chars().next().map_or(1, char::len_utf8);
            self.keep(width);
        }
    }

    /// The number of `#` of a raw string that begins here.
    fn raw_string(&self) -> Option<usize> {
        let [last, before] = self.before;
        if is_word(last) && (last != 'b' || is_word(before)) {
            return None;
        }
        let rest = self.rest.strip_prefix('r')?;
        let hashes = rest.len() - rest.trim_start_matches('#').len();
        rest[hashes..].starts_with('"').then_some(hashes)
    }

    /// A literal whose text is at `open..close`; its closing quote is code again.
    fn literal(&mut self, open: usize, close: usize) {
        self.keep(open);
        match self.literals {
            Literals::Kept => self.keep(close - open),
            Literals::Emptied => self.drop(close - open),
        }
        self.keep(self.rest.len().min(1));
    }

    fn keep(&mut self, width: usize) {
        let (kept, rest) = self.rest.split_at(width);
        self.code.push_str(kept);
        self.pass(kept);
        self.rest = rest;
    }

    fn drop(&mut self, width: usize) {
        let (dropped, rest) = self.rest.split_at(width);
        self.code.extend(dropped.chars().filter(|c| *c == '\n'));
        self.pass(dropped);
        self.rest = rest;
    }

    fn pass(&mut self, text: &str) {
        for character in text.chars() {
            self.before = [character, self.before[0]];
        }
    }
}

/// Whether the character may stand in a name.
pub(super) fn is_word(character: char) -> bool {
    character.is_alphanumeric() || character == '_'
}

/// Whether a quote begins a character, not a lifetime.
fn is_character(text: &str) -> bool {
    let mut characters = text.chars().skip(1);
    match characters.next() {
        Some('\\') => true,
        Some(_) => characters.next() == Some('\''),
        None => false,
    }
}

/// How long the text before the closing quote is.
fn quoted(text: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, character) in text.char_indices() {
        match character {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            _ if character == quote => return at,
            _ => {}
        }
    }
    text.len()
}

/// How long the comment is, with those in it.
fn block_comment(text: &str) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < text.len() {
        let rest = &text.as_bytes()[at..];
        if rest.starts_with(b"/*") {
            (depth, at) = (depth + 1, at + 2);
        } else if rest.starts_with(b"*/") {
            (depth, at) = (depth - 1, at + 2);
        } else {
            at += 1;
        }
        if depth == 0 {
            return at;
        }
    }
    text.len()
}

#[test]
fn items_for_tests_are_no_production_code() {
    for (text, expected) in [
        ("a\nb", "a\nb\n"),
        ("#[cfg(test)]\nmod tests;\nuse a;", "\n\nuse a;\n"),
        ("a\n#[cfg(test)]\nmod tests { b }", "a\n\n\n"),
        (
            "#[cfg(test)]\nimpl A {\n    fn b() {\n    }\n}\nfn c() {}",
            "\n\n\n\n\nfn c() {}\n",
        ),
        (
            "impl A {\n    #[cfg(test)]\n    fn b() {\n        c\n    }\n    d\n}",
            "impl A {\n\n\n\n\n    d\n}\n",
        ),
    ] {
        assert_eq!(production(text), expected);
    }
}

#[test]
fn comments_and_literals_are_told_from_code() {
    for (text, kept, emptied) in [
        ("a // b\nc", "a \nc", "a \nc"),
        ("a /* b /* c\n */ d */ e", "a \n e", "a \n e"),
        (r#"x("a // \" b")"#, r#"x("a // \" b")"#, r#"x("")"#),
        (
            r###"x(r#"a " b"#, br"c")"###,
            r###"x(r#"a " b"#, br"c")"###,
            r###"x(r#""#, br"")"###,
        ),
        (
            "f::<'a>('b', '\\'', '\"')",
            "f::<'a>('b', '\\'', '\"')",
            "f::<'a>('', '', '')",
        ),
        ("for\"a\" r#type", "for\"a\" r#type", "for\"\" r#type"),
    ] {
        assert_eq!(code(text, Literals::Kept), kept);
        assert_eq!(code(text, Literals::Emptied), emptied);
    }
}
