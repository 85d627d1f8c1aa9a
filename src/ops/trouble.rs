//! What an error says, apart from what to do about it, and both in Chinese. Errors are English texts,
//! which log, journal and `status` keep: the words of the program, and what a peer has said. Here
//! the words of the program are found again. What a peer has said is never translated.

use std::borrow::Cow;
use std::sync::LazyLock;

use super::lang::Lang;
use crate::bilingual::{Bilingual, both};
use crate::secret::OUR_TEXTS;

/// Up to this length the parts of an error are looked for; a longer one stays as it is.
const ERROR_BYTES_MAX: usize = 4096;

/// So deep an error may be in an error; and so many places are looked at, from its end, behind which
/// advice may stand. A peer's words may hold any number of both.
const CAUSES_MAX: usize = 8;
const MARKS_MAX: usize = 16;

/// What stands between an error and what to do about it.
const BEFORE_ADVICE: [&str; 2] = ["; ", ": "];

static LIST: LazyLock<List> = LazyLock::new(|| List::read(OUR_TEXTS));

/// An error, in its parts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Trouble<'a> {
    /// What has happened.
    what: &'a str,
    /// What to do about it, by the code that made the error; mostly one.
    advice: Vec<Bilingual>,
}

impl<'a> Trouble<'a> {
    /// The parts of an error.
    pub(super) fn of(error: &'a str) -> Trouble<'a> {
        let whole = Trouble {
            what: error,
            advice: Vec::new(),
        };
        if error.len() > ERROR_BYTES_MAX {
            return whole;
        }
        let ends = BEFORE_ADVICE
            .iter()
            .flat_map(|mark| error.match_indices(mark));
        let mut ends: Vec<(usize, &str)> = ends.collect();
        ends.sort_unstable();
        let ends = ends.split_off(ends.len().saturating_sub(MARKS_MAX));
        // The first place behind which nothing but advice stands; an error may be nothing else.
        let starts = ends.into_iter().map(|(end, mark)| (end, end + mark.len()));
        std::iter::once((0, 0))
            .chain(starts)
            .find_map(|(end, start)| {
                let advice = LIST.advice(&error[start..])?;
                let what = &error[..end];
                Some(Trouble { what, advice })
            })
            .unwrap_or(whole)
    }

    /// What has happened.
    pub(super) fn what(&self, lang: Lang) -> Cow<'a, str> {
        match lang {
            Lang::En => Cow::Borrowed(self.what),
            Lang::Zh => LIST
                .chinese(self.what, CAUSES_MAX)
                .map_or(self.what.into(), Cow::Owned),
        }
    }

    /// What to do, as sentences; none: nobody knows.
    pub(super) fn advice(&self, lang: Lang) -> Option<String> {
        let sentences: Vec<String> = self.advice.iter().map(|it| sentence(it, lang)).collect();
        (!sentences.is_empty()).then(|| sentences.join(lang.t(" ", "")))
    }
}

/// A whole error in a language: what has happened, and what to do.
pub(super) fn said(error: &str, lang: Lang) -> Cow<'_, str> {
    if lang == Lang::En {
        return Cow::Borrowed(error);
    }
    let trouble = Trouble::of(error);
    let advice = trouble.advice(lang);
    let what = trouble.what(lang);
    match advice {
        Some(advice) if what.is_empty() => advice.into(),
        Some(advice) => format!("{what}。{advice}").into(),
        None => what,
    }
}

fn sentence(text: &Bilingual, lang: Lang) -> String {
    let text = lang.of(text);
    let mut letters = text.chars();
    let first = letters.next().map(char::to_uppercase);
    let text: String = first.into_iter().flatten().chain(letters).collect();
    let is_question = text.starts_with("Is ") || text.ends_with('吗');
    match text.ends_with(['?', '？', '.', '。']) {
        true => text,
        false if is_question => format!("{text}{}", lang.t("?", "？")),
        false => format!("{text}{}", lang.t(".", "。")),
    }
}

/// A text with holes, in both languages.
#[derive(Debug)]
struct Phrase {
    en: Vec<Piece>,
    zh: Vec<Piece>,
}

/// A part of a phrase.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    /// As it stands there.
    Text(String),
    /// `{}`: an error, whose own words are looked up.
    Error,
    /// `{=}`: a name, or what somebody else has said.
    Name,
    /// `{#}`: digits.
    Number,
}

/// All phrases.
#[derive(Debug, Default)]
struct List {
    advice: Vec<Phrase>,
    waits: Vec<Phrase>,
    errors: Vec<Phrase>,
}

impl List {
    /// Two lines each, below the name of their section.
    fn read(text: &str) -> List {
        let mut list = List::default();
        let mut section = "";
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        let mut lines = lines.filter(|line| !line.is_empty());
        while let Some(line) = lines.next() {
            let into = match section_of(line) {
                Some(name) => {
                    section = name;
                    continue;
                }
                None => match section {
                    "advice" => &mut list.advice,
                    "waits" => &mut list.waits,
                    _ => &mut list.errors,
                },
            };
            let zh = lines.next().unwrap_or(line);
            let (en, zh) = (pieces(line), pieces(zh));
            into.push(Phrase { en, zh });
        }
        list
    }

    /// Of a text that is nothing but advice: all of it, without what the verdict says itself.
    fn advice(&self, text: &str) -> Option<Vec<Bilingual>> {
        if text.is_empty() {
            return None;
        }
        if self
            .waits
            .iter()
            .any(|phrase| phrase.found_in(text).is_some())
        {
            return Some(Vec::new());
        }
        let known = |text: &str| {
            self.advice.iter().find_map(|phrase| {
                let parts = phrase.found_in(text)?;
                Some(both(text.to_owned(), phrase.filled(&parts, |_| None)))
            })
        };
        if let Some(whole) = known(text) {
            return Some(vec![whole]);
        }
        // The first of several is a phrase: so a text of nobody's is looked through once.
        text.match_indices("; ").find_map(|(at, mark)| {
            let first = known(&text[..at])?;
            let rest = self.advice(&text[at + mark.len()..])?;
            Some(std::iter::once(first).chain(rest).collect())
        })
    }

    /// An error in Chinese; `None`: it has no words of the program.
    fn chinese(&self, error: &str, causes_max: usize) -> Option<String> {
        let deeper = causes_max.checked_sub(1)?;
        let found = |phrase: &Phrase| {
            let parts = phrase.found_in(error)?;
            Some(phrase.filled(&parts, |part| self.chinese(part, deeper)))
        };
        self.errors.iter().find_map(found).or_else(|| {
            let (place, rest) = error.split_once(": ")?;
            let (known, cause) = (self.chinese(place, deeper), self.chinese(rest, deeper));
            (known.is_some() || cause.is_some()).then(|| {
                let known = known.unwrap_or_else(|| place.to_owned());
                format!("{known}：{}", cause.unwrap_or_else(|| rest.to_owned()))
            })
        })
    }
}

fn section_of(line: &str) -> Option<&str> {
    line.strip_prefix('[')?.strip_suffix(']')
}

impl Phrase {
    /// What stands in the holes, where the text is this phrase.
    fn found_in<'t>(&self, text: &'t str) -> Option<Vec<(&Piece, &'t str)>> {
        let mut parts = Vec::new();
        found(&self.en, text, &mut parts).then_some(parts)
    }

    /// In Chinese, with what stood in the holes.
    fn filled(&self, parts: &[(&Piece, &str)], chinese: impl Fn(&str) -> Option<String>) -> String {
        // Chinese may have another order: holes of one kind keep theirs.
        let mut left: Vec<(&Piece, &str)> = parts.to_vec();
        let mut text = String::new();
        for piece in &self.zh {
            if let Piece::Text(words) = piece {
                text.push_str(words);
                continue;
            }
            let Some(at) = left.iter().position(|(hole, _)| *hole == piece) else {
                continue;
            };
            let (_, part) = left.remove(at);
            let said = (*piece == Piece::Error).then(|| chinese(part)).flatten();
            text.push_str(said.as_deref().unwrap_or(part));
        }
        text
    }
}

/// Whether a text is these pieces; adds what stands in the holes.
fn found<'p, 't>(
    pieces: &'p [Piece],
    text: &'t str,
    parts: &mut Vec<(&'p Piece, &'t str)>,
) -> bool {
    match pieces {
        [] => text.is_empty(),
        [Piece::Text(words), rest @ ..] => text
            .strip_prefix(words.as_str())
            .is_some_and(|text| found(rest, text, parts)),
        [hole] => {
            parts.push((hole, text));
            hole.takes(text)
        }
        [hole, rest @ ..] => {
            // Two holes never stand side by side.
            let [Piece::Text(next), ..] = rest else {
                return false;
            };
            let known = parts.len();
            text.match_indices(next.as_str()).any(|(at, _)| {
                parts.truncate(known);
                parts.push((hole, &text[..at]));
                hole.takes(&text[..at]) && found(rest, &text[at..], parts)
            })
        }
    }
}

impl Piece {
    fn takes(&self, text: &str) -> bool {
        match self {
            Piece::Number => !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()),
            // `{=}` may be nothing: a certificate without a subject.
            _ => true,
        }
    }
}

fn pieces(text: &str) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let holes = [
            ("{}", Piece::Error),
            ("{=}", Piece::Name),
            ("{#}", Piece::Number),
        ];
        let first = holes
            .into_iter()
            .filter_map(|(mark, piece)| Some((rest.find(mark)?, mark, piece)))
            .min_by_key(|(at, ..)| *at);
        let Some((at, mark, piece)) = first else {
            pieces.push(Piece::Text(rest.to_owned()));
            break;
        };
        if at > 0 {
            pieces.push(Piece::Text(rest[..at].to_owned()));
        }
        pieces.push(piece);
        rest = &rest[at + mark.len()..];
    }
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(error: &str, what: &str, advice: Option<&str>, zh: &str) {
        let trouble = Trouble::of(error);
        let found = (&*trouble.what(Lang::En), trouble.advice(Lang::En));
        assert_eq!(found, (what, advice.map(str::to_owned)), "{error}");
        assert_eq!(said(error, Lang::En), error);
        assert_eq!(said(error, Lang::Zh), zh, "{error}");
    }

    #[test]
    fn an_error_is_told_from_what_to_do_and_both_are_in_chinese() {
        check(
            "https://host answered 401: no; go away; check `headers` and `secret`",
            "https://host answered 401: no; go away",
            Some("Check `headers` and `secret`."),
            "https://host 回答 401：no; go away。请检查 `headers` 和 `secret`。",
        );
        check(
            "mqtt://host:1883: connection refused (CONNACK): not authorized (0x87); check user name, \
             password and the broker's access list",
            "mqtt://host:1883: connection refused (CONNACK): not authorized (0x87)",
            Some("Check user name, password and the broker's access list."),
            "mqtt://host:1883：连接被拒绝（CONNACK）：未授权（0x87）。请检查用户名、密码和 MQTT \
             服务器的访问控制列表。",
        );
        check(
            "/data/history.db: database or disk is full; the disk is full: free some space",
            "/data/history.db: database or disk is full",
            Some("The disk is full: free some space."),
            "/data/history.db: database or disk is full。磁盘已满：请腾出空间。",
        );
        check(
            "postgres://db:5432/d: the tables are in the schema \"a b\", on which the user bridge has \
             no USAGE; as the owner of the schema, run GRANT USAGE ON SCHEMA \"a b\" TO bridge",
            "postgres://db:5432/d: the tables are in the schema \"a b\", on which the user bridge has \
             no USAGE",
            Some("As the owner of the schema, run GRANT USAGE ON SCHEMA \"a b\" TO bridge."),
            "postgres://db:5432/d：表在 schema \"a b\" 中，而用户 bridge 没有它的 USAGE 权限。请由 schema \
             的所有者执行 GRANT USAGE ON SCHEMA \"a b\" TO bridge。",
        );
        check(
            "postgres://db:5432/d: the schema bridge has event, topic, and no bridge_migration: the \
             daemon has not made them; drop them and let the daemon make its own, or name another \
             `schema`; the migration is not to be run by hand",
            "postgres://db:5432/d: the schema bridge has event, topic, and no bridge_migration: the \
             daemon has not made them",
            Some(
                "Drop them and let the daemon make its own, or name another `schema`; the migration \
                 is not to be run by hand.",
            ),
            "postgres://db:5432/d：schema bridge 中已有 event, topic，但没有 bridge_migration：它们不是\
             守护进程创建的。请删除这些表，由守护进程自己创建，或换一个 `schema`；迁移脚本不能手工执行。",
        );
        check(
            "connect to 127.0.0.1:9: connection refused; is the server running, and is this its port",
            "connect to 127.0.0.1:9: connection refused",
            Some("Is the server running, and is this its port?"),
            "连接 127.0.0.1:9 被拒绝。服务器在运行吗？端口对吗？",
        );
        check(
            "TLS handshake with h:1: no answer within 500 ms; check firewalls and proxies on the way",
            "TLS handshake with h:1: no answer within 500 ms",
            Some("Check firewalls and proxies on the way."),
            "TLS 握手（h:1）：500 毫秒内没有应答。请检查途中的防火墙和代理。",
        );
        check(
            "postgres://b@h/d: error communicating with database: Connection refused (os error 111)",
            "postgres://b@h/d: error communicating with database: Connection refused (os error 111)",
            None,
            "postgres://b@h/d：与数据库的通信出错：连接被拒绝 (os error 111)",
        );
    }

    #[test]
    fn what_the_verdict_says_itself_is_left_out() {
        check(
            "sign-in refused: https://h/login answered 401 (密码错误); check the user and password in \
             source.signin; 3 sign-ins were refused within 10m: the next one comes in 9m, so that the \
             platform does not lock the account; correct source.signin and reload: where it sends \
             something else then, it is tried at once",
            "sign-in refused: https://h/login answered 401 (密码错误)",
            Some("Check the user and password in source.signin."),
            "登录被拒绝：https://h/login 回答 401（密码错误）。请检查 source.signin 的用户和密码。",
        );
    }

    #[test]
    fn what_a_peer_says_stays_as_it_is() {
        for error in ["", "refused", "bad: not a; word: of ours", "没有权限: x"] {
            check(error, error, None, error);
        }
        // Nor are the words of the program in it.
        check(
            "http://h answered 500: not authorized",
            "http://h answered 500: not authorized",
            None,
            "http://h 回答 500：not authorized",
        );
        for long in [
            "x; ".repeat(ERROR_BYTES_MAX),
            "x: ".repeat(ERROR_BYTES_MAX / 3),
            "; x answered 1: ".repeat(ERROR_BYTES_MAX / 16),
        ] {
            assert_eq!(Trouble::of(&long).what(Lang::En), long);
            assert!(said(&long, Lang::Zh).contains('x'));
        }
    }

    #[test]
    fn every_phrase_has_its_chinese_with_the_same_holes() {
        let (list, mut count) = (List::read(OUR_TEXTS), 0);
        for phrase in [list.advice, list.waits, list.errors].iter().flatten() {
            let holes = |pieces: &[Piece]| {
                let mut holes: Vec<String> = pieces
                    .iter()
                    .filter(|piece| !matches!(piece, Piece::Text(_)))
                    .map(|piece| format!("{piece:?}"))
                    .collect();
                holes.sort();
                holes
            };
            assert_eq!(holes(&phrase.en), holes(&phrase.zh), "{phrase:?}");
            let text = |pieces: &[Piece]| format!("{pieces:?}");
            assert!(text(&phrase.en).is_ascii(), "{phrase:?}");
            let is_only_holes = phrase.en == phrase.zh;
            assert!(is_only_holes || !text(&phrase.zh).is_ascii(), "{phrase:?}");
            let side_by_side = |two: &[Piece]| two.iter().all(|it| !matches!(it, Piece::Text(_)));
            assert!(!phrase.en.windows(2).any(side_by_side), "{phrase:?}");
            count += 1;
        }
        assert!(count > 200, "{count} phrases");
    }
}
