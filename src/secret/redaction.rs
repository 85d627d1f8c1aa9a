//! What must not leave the process: every secret that it knows, in each spelling. One list for the
//! whole process, since whatever leaves it passes here: log lines, HTTP answers, error texts, dead
//! letters.

use std::borrow::Cow;
use std::collections::{HashSet, VecDeque};
use std::ops::Range;
use std::sync::{Arc, LazyLock, PoisonError, RwLock};

use aho_corasick::AhoCorasick;
use percent_encoding::percent_decode_str;
use url::Url;

use super::spellings::{base64_spellings, hex_spellings, spellings};
use super::unescaped::Unescaped;

/// A shorter value gives nothing away, and stands in many a text by chance.
const CHARS_MIN: usize = 4;
/// A value shorter than this counts only as a whole word.
const WORD_CHARS_MAX: usize = 8;
/// Secrets of the configuration: as many as a file of some thousand lines names.
const CONFIGURED_MAX: usize = 4096;
/// Secrets that servers gave: those of the last few dozen connections.
const GIVEN_MAX: usize = 256;
/// Their bytes: a server may set fifty cookies of 4 KiB, and what finds a value needs some hundred
/// times its size.
const GIVEN_BYTES_MAX: usize = 64 * 1024;
/// A part of a header's value that is shorter is `Bearer` or a cookie's name.
const HEADER_PART_CHARS_MIN: usize = 8;
/// A part of a URL without a name that is shorter is a word, such as a database's name.
const URL_PART_CHARS_MIN: usize = 16;
/// Our texts have it in them, as in the commands that they name. A login is often a part of it.
const OUR_NAME: &[u8] = env!("CARGO_PKG_NAME").as_bytes();
/// What errors say and what to do about them, English and Chinese, the special ones first. A login may
/// be one of their words, such as `user`.
pub const OUR_TEXTS: &str = concat!(
    include_str!("../ops/trouble/configuration.txt"),
    include_str!("../ops/trouble/phrases.txt"),
);
/// What stands in a text's place that is not known yet: secrets are written beside it.
pub const PLACEHOLDER: char = '\0';
/// What stands in a secret's place.
pub(super) const MASK: &str = "…";

/// Where a secret comes from, hence how long it is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lifetime {
    /// The configuration.
    Configured,
    /// A server gave it for one connection.
    Given,
}

/// What a name has in it that means a secret, such as a header's or a key's.
const SECRET_NAMES: [&str; 9] = [
    "auth",
    "cookie",
    "credential",
    "key",
    "pass",
    "pwd",
    "secret",
    "session",
    "token",
];

/// Whether a name says that its value is a secret.
pub fn is_secret_name(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    SECRET_NAMES.iter().any(|secret| name.contains(secret))
}

/// From now on this value leaves the process in no spelling.
pub fn protect(secret: &str, lifetime: Lifetime) {
    let kind = match lifetime {
        Lifetime::Configured => Kind::Configured,
        Lifetime::Given => Kind::Given,
    };
    add(secret, kind);
}

/// Protects the value of a header: all of it where its name says that it is a secret, else from
/// an echo.
pub fn protect_header(name: &str, value: &str, lifetime: Lifetime) {
    if !is_secret_name(name) {
        return protect_from_echo(value, lifetime);
    }
    protect_text(value, lifetime);
    // Behind `Bearer` or `Basic`; of a cookie each value.
    for part in value.split([' ', ';', ',', PLACEHOLDER]) {
        let value = part.split_once('=').map_or(part, |(_, value)| value);
        for text in [part, value] {
            if text.chars().count() >= HEADER_PART_CHARS_MIN {
                protect(text, lifetime);
            }
        }
    }
}

/// Protects a text in which [`PLACEHOLDER`] may stand: all of it, or what stands beside that.
pub fn protect_text(text: &str, lifetime: Lifetime) {
    if !text.contains(PLACEHOLDER) {
        return protect(text, lifetime);
    }
    let parts = text.split(PLACEHOLDER);
    for part in parts.filter(|part| part.chars().count() >= HEADER_PART_CHARS_MIN) {
        protect(part, lifetime);
    }
}

/// Protects what a URL has of secrets: its password, and values of its query.
pub fn protect_url(url: &Url, lifetime: Lifetime) {
    if let Some(password) = url.password() {
        protect(&decoded(password), lifetime);
    }
    for (name, value) in url.query_pairs() {
        for part in value.split(PLACEHOLDER) {
            if is_secret_name(&name) || is_random(part) {
                protect(part, lifetime);
            }
        }
    }
}

/// Protects what of a URL's path looks as tokens do: chat servers have theirs there.
pub fn protect_url_path(url: &Url, lifetime: Lifetime) {
    for segment in url.path_segments().into_iter().flatten() {
        for part in decoded(segment).split(PLACEHOLDER) {
            if is_random(part) {
                protect(part, lifetime);
            }
        }
    }
}

/// Whether a part of a URL looks as tokens do, and not as a word.
fn is_random(part: &str) -> bool {
    part.chars().count() >= URL_PART_CHARS_MIN && part.contains(|c: char| c.is_ascii_digit())
}

fn decoded(text: &str) -> Cow<'_, str> {
    percent_decode_str(text).decode_utf8_lossy()
}

/// From now on this value is shown in no text of a server, which may repeat what it was sent. Our
/// own texts may hold it: a login such as `bridge` is an everyday word. Nothing is masked that is a
/// word of these: it gives nothing away, and what to do about an error could not be read.
pub fn protect_from_echo(value: &str, lifetime: Lifetime) {
    if OUR_WORDS.contains(value.trim()) {
        return;
    }
    let kind = match lifetime {
        Lifetime::Configured => Kind::Echoed,
        Lifetime::Given => Kind::EchoedGiven,
    };
    add(value, kind);
}

/// A text without the secrets.
pub fn redact(text: &str) -> Cow<'_, str> {
    matchers().secrets.redact(text)
}

/// A text of a server without the secrets, and without all else that it was sent.
pub fn redact_echo(text: &str) -> Cow<'_, str> {
    let matchers = matchers();
    match matchers.secrets.redact(text) {
        Cow::Borrowed(text) => matchers.echoes.redact(text),
        Cow::Owned(text) => Cow::Owned(matchers.echoes.redact(&text).into_owned()),
    }
}

/// Every value that is known.
#[derive(Debug, Default)]
struct Registry {
    configured: VecDeque<String>,
    given: VecDeque<String>,
    echoed: VecDeque<String>,
    echoed_given: VecDeque<String>,
    matchers: Matchers,
    /// The matchers lack a value.
    is_stale: bool,
}

/// What finds them.
#[derive(Debug, Clone, Default)]
struct Matchers {
    secrets: Arc<Matcher>,
    echoes: Arc<Matcher>,
}

#[derive(Debug, Default)]
struct Matcher {
    /// `None`: there is nothing to find.
    automaton: Option<AhoCorasick>,
    /// Whether each pattern counts as a whole word only.
    words: Vec<bool>,
}

static REGISTRY: LazyLock<RwLock<Registry>> = LazyLock::new(RwLock::default);

static OUR_WORDS: LazyLock<HashSet<&str>> = LazyLock::new(|| {
    let words = OUR_TEXTS.split(|c: char| !c.is_ascii_alphanumeric());
    words.collect()
});

fn matchers() -> Matchers {
    let known = REGISTRY.read().unwrap_or_else(PoisonError::into_inner);
    if !known.is_stale {
        return known.matchers.clone();
    }
    drop(known);
    let mut registry = REGISTRY.write().unwrap_or_else(PoisonError::into_inner);
    registry.matchers()
}

fn add(value: &str, kind: Kind) {
    let mut registry = REGISTRY.write().unwrap_or_else(PoisonError::into_inner);
    registry.add(value.trim(), kind);
}

/// The lists of values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Configured,
    Given,
    Echoed,
    EchoedGiven,
}

impl Registry {
    fn add(&mut self, value: &str, kind: Kind) {
        let is_configured = match kind {
            Kind::Given => self.configured.iter().any(|known| known == value),
            Kind::EchoedGiven => self.echoed.iter().any(|known| known == value),
            Kind::Configured | Kind::Echoed => false,
        };
        if value.chars().count() < CHARS_MIN || is_configured {
            return;
        }
        let (values, max, bytes_max) = match kind {
            Kind::Configured => (&mut self.configured, CONFIGURED_MAX, usize::MAX),
            Kind::Given => (&mut self.given, GIVEN_MAX, GIVEN_BYTES_MAX),
            Kind::Echoed => (&mut self.echoed, CONFIGURED_MAX, usize::MAX),
            Kind::EchoedGiven => (&mut self.echoed_given, GIVEN_MAX, GIVEN_BYTES_MAX),
        };
        let known = values.iter().position(|known| known == value);
        // The one that was used last stands last.
        if let Some(index) = known {
            values.remove(index);
        }
        values.push_back(value.to_owned());
        let bytes = |values: &VecDeque<String>| values.iter().map(String::len).sum::<usize>();
        while values.len() > max || (values.len() > 1 && bytes(values) > bytes_max) {
            values.pop_front();
        }
        if known.is_none() {
            self.is_stale = true;
        }
    }

    /// Made when a text is to be redacted: a configuration brings many values at once.
    fn matchers(&mut self) -> Matchers {
        if std::mem::take(&mut self.is_stale) {
            let secrets = self.configured.iter().chain(&self.given);
            let echoes = self.echoed.iter().chain(&self.echoed_given);
            self.matchers = Matchers {
                secrets: Arc::new(Matcher::of(secrets, Within::Anything)),
                echoes: Arc::new(Matcher::of(echoes, Within::Words)),
            };
        }
        self.matchers.clone()
    }
}

/// Where a value counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Within {
    /// Anywhere, but for a short one.
    Anything,
    /// Between characters that are no letters and no digits.
    Words,
}

impl Matcher {
    fn of<'a>(values: impl Iterator<Item = &'a String>, within: Within) -> Matcher {
        let mut patterns = Vec::new();
        let mut words = Vec::new();
        for value in values {
            let is_short = value.chars().count() < WORD_CHARS_MAX;
            for spelling in spellings(value) {
                patterns.push(spelling);
                words.push(is_short || within == Within::Words);
            }
            // What stands beside it in base64 or in digits is no word.
            let encoded = base64_spellings(value).into_iter();
            for spelling in encoded.chain(hex_spellings(value)) {
                patterns.push(spelling);
                words.push(false);
            }
        }
        if patterns.is_empty() {
            return Matcher::default();
        }
        let automaton = AhoCorasick::new(patterns);
        Matcher {
            // Fails only for patterns of gigabytes.
            automaton: automaton.ok(),
            words,
        }
    }

    fn redact<'t>(&self, text: &'t str) -> Cow<'t, str> {
        let Some(automaton) = &self.automaton else {
            return Cow::Borrowed(text);
        };
        let mut secrets = self.found(automaton, text.as_bytes());
        // Any character may be escaped, also one that needs it not, and more than once.
        for level in Unescaped::levels(text) {
            let found = self.found(automaton, &level.bytes);
            secrets.extend(found.iter().map(|secret| level.place(secret)));
        }
        if secrets.is_empty() {
            return Cow::Borrowed(text);
        }
        // One may begin within another, or within what is none.
        secrets.sort_unstable_by_key(|secret| secret.start);
        let mut redacted = String::new();
        let mut done = 0;
        for secret in secrets {
            // One that overlaps with the one before goes under the same mask.
            if secret.start >= done {
                redacted.push_str(&text[done..secret.start]);
                redacted.push_str(MASK);
            }
            done = done.max(secret.end);
        }
        redacted.push_str(&text[done..]);
        Cow::Owned(redacted)
    }

    /// Where secrets stand.
    fn found(&self, automaton: &AhoCorasick, text: &[u8]) -> Vec<Range<usize>> {
        let found = automaton.find_overlapping_iter(text).filter(|found| {
            let counts_as_word_only = self.words[found.pattern().as_usize()];
            let is_word = || is_word(text, found.start(), found.end());
            !counts_as_word_only || (is_word() && !is_in_our_name(text, &found.range()))
        });
        found.map(|found| found.range()).collect()
    }
}

/// Chinese has no blanks between its words: only ASCII's letters and digits go on with one.
fn is_word(text: &[u8], start: usize, end: usize) -> bool {
    let goes_on = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    let (before, behind) = (&text[..start], &text[end..]);
    let begins = !goes_on(before.last()) || ends_with_escape(before);
    begins && !goes_on(behind.first())
}

/// Whether it stands within our own name, which says nothing of a secret; masked, it would.
fn is_in_our_name(text: &[u8], found: &Range<usize>) -> bool {
    let first = found.end.saturating_sub(OUR_NAME.len());
    (first..=found.start).any(|at| text[at..].starts_with(OUR_NAME))
}

/// Whether the last characters are one that is escaped, such as `%3A` or `\n`.
fn ends_with_escape(text: &[u8]) -> bool {
    let mut last = text.iter().rev().copied();
    let (third, second, first) = (last.next(), last.next(), last.next());
    let is_hex = |byte: Option<u8>| byte.is_some_and(|byte| byte.is_ascii_hexdigit());
    let is_percent = first == Some(b'%') && is_hex(second) && is_hex(third);
    is_percent || second == Some(b'\\')
}

#[cfg(test)]
mod tests {
    use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

    use super::*;

    fn check(values: &[&str], within: Within, text: &str, expected: &str) {
        let values: Vec<String> = values.iter().map(ToString::to_string).collect();
        let matcher = Matcher::of(values.iter(), within);
        assert_eq!(matcher.redact(text), expected, "{values:?}");
    }

    #[test]
    fn a_short_secret_is_a_word_among_chinese_ones() {
        check(&["abc123"], Within::Anything, "密码abc123错误", "密码…错误");
        check(&["abc123"], Within::Anything, "xabc1234", "xabc1234");
    }

    #[test]
    fn secrets_are_masked_wherever_they_stand() {
        use Within::Anything;
        check(&[], Anything, "nothing", "nothing");
        check(&["hunter2+x"], Anything, "ahunter2+xb", "a…b");
        check(&["hunter2+x"], Anything, "?p=hunter2%2Bx&q", "?p=…&q");
        let both = ["hunter2+x", "hunter2+x+more"];
        check(&both, Anything, "hunter2+x+more", "…");
        let basic = "Basic bGFiOmh1bnRlcjIreA==";
        check(&["hunter2+x"], Anything, basic, "Basic bGFiOm…A==");
    }

    #[test]
    fn a_secret_is_masked_in_digits_and_whichever_of_its_characters_are_escaped() {
        use Within::{Anything, Words};
        for (text, expected) in [
            ("key 68756e746572322b78!", "key …!"),
            ("key 00:68756E746572322B7800", "key 00:…00"),
            (
                r"a \u0068\u0075\u006e\u0074\u0065\u0072\u0032\u002b\u0078 b",
                "a … b",
            ),
            (r"a \u0068unte\u0072\u0032\u002Bx b \u0041", r"a … b \u0041"),
            (r"a \\u0068unte\\u0072\\u0032\\u002Bx b", "a … b"),
            (r"\x68unter2+x h%75nter2%2bx &#104;unter2+x", "… … …"),
            ("故hunter2+x%41", "故…%41"),
        ] {
            check(&["hunter2+x"], Anything, text, expected);
        }
        let quoted = r#"{"body":"{\"body\":\"{\\\"key\\\":\\\"pass\\\\\\\"\\\\\\\\word\\\"}\"}"}"#;
        let masked = r#"{"body":"{\"body\":\"{\\\"key\\\":\\\"…\\\"}\"}"}"#;
        check(&[r#"pass"\word"#], Anything, quoted, masked);
        check(
            &["operator"],
            Words,
            r"\u006fperator co\u006fperator",
            r"… co\u006fperator",
        );
        check(
            &["密码一二三四五六"],
            Anything,
            r"x\u5bc6\u7801一二三四\u4E94六y",
            "x…y",
        );
    }

    #[test]
    fn a_secret_is_masked_in_a_text_within_texts() {
        let json = |text: &str| serde_json::to_string(text).unwrap();
        let url = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
        let form = |text: &str| {
            let parts = url::form_urlencoded::byte_serialize(text.as_bytes());
            parts.collect::<String>()
        };
        let html = |text: &str| text.replace('&', "&amp;").replace('"', "&quot;");
        let ascii = |text: &str| json(text).replace("ü", "\\u00fc").replace('/', "\\/");
        let debug = |text: &str| format!("{text:?}");
        type Way<'a> = (&'a str, &'a dyn Fn(&str) -> String);
        let ways: [Way<'_>; 6] = [
            ("json", &json),
            ("url", &url),
            ("form", &form),
            ("html", &html),
            ("ascii", &ascii),
            ("debug", &debug),
        ];
        for secret in [
            r#"pass"word"#,
            r#"pass\"word"#,
            r#"pass\\dir"word"#,
            r#""password""#,
            "pass%22wörd/&quot;",
            "pass ü word",
            "pass\nword: 1\ttwo",
        ] {
            let matcher = Matcher::of([secret.to_owned()].iter(), Within::Anything);
            for (first, inner) in ways {
                for (second, middle) in ways {
                    for (third, outer) in ways {
                        let text = outer(&middle(&inner(&format!("head {secret} tail"))));
                        let redacted = matcher.redact(&text);
                        let way = format!("{first} in {second} in {third}: {text}");
                        assert!(redacted.contains(MASK), "{secret} in {way}");
                        assert!(!redacted.contains("word"), "{secret} in {way}: {redacted}");
                        assert!(redacted.contains("head"), "{secret} in {way}: {redacted}");
                        assert!(redacted.contains("tail"), "{secret} in {way}: {redacted}");
                    }
                }
            }
        }
    }

    #[test]
    fn a_secret_that_begins_within_another_text_is_masked_whole() {
        use Within::Anything;
        let text = "xabcdefghijklmnop";
        check(&["abcd", "cdefghijklmnop"], Anything, text, "xab…");
        check(&["abcd", "abcdefgh-1"], Anything, "xabcdefgh-1", "x…");
        let text = "a-first-one-second";
        check(&["first-one", "one-second"], Anything, text, "a-…");
        check(
            &["first-one", "one-second"],
            Anything,
            "first-oneone-second",
            "……",
        );
    }

    #[test]
    fn what_is_short_or_an_everyday_word_counts_as_a_whole_word() {
        use Within::{Anything, Words};
        let text = "abcd xabcd abcd9 (abcd)";
        check(&["abcd"], Anything, text, "… xabcd abcd9 (…)");
        let text = "p%3Aabcd%0a \\nabcd xnabcd";
        check(&["abcd"], Anything, text, "p%3A…%0a \\n… xnabcd");
        let text = "cooperators of operator";
        check(&["operator"], Words, text, "cooperators of …");
    }

    #[test]
    fn our_own_name_is_whole_beside_a_login_that_is_a_part_of_it() {
        use Within::{Anything, Words};
        let text = "bridge: run `stomp-bridge dlq list`, stomp-bridges, (bridge)";
        let expected = "…: run `stomp-bridge dlq list`, stomp-bridges, (…)";
        check(&["bridge"], Words, text, expected);
        check(&["bridge", "stomp-bridge"], Words, text, expected);
        check(
            &["bridge"],
            Anything,
            "stomp-bridge or bridge",
            "stomp-bridge or …",
        );
        check(&["stomp-bridge"], Anything, "as stomp-bridge", "as …");
        check(&["bridge-7"], Words, "stomp-bridge-7", "stomp-…");
    }

    #[test]
    fn a_login_that_is_a_word_of_our_advice_leaves_it_whole() {
        for login in ["bridge", "user", "server", "DELETE"] {
            protect_from_echo(login, Lifetime::Configured);
        }
        protect_from_echo("bridge-test-17", Lifetime::Configured);
        let advice = "check user and password; EXECUTE on the functions bridge_make_partition";
        assert_eq!(redact_echo(advice), advice);
        assert_eq!(redact_echo("bridge-test-17 of user"), "… of user");
    }

    #[test]
    fn what_is_protected_is_redacted_from_then_on() {
        let text = "a redaction-test-7f3a, its echo-test-91bc and 17";
        assert_eq!(redact_echo(text), text);
        protect("redaction-test-7f3a\n", Lifetime::Configured);
        protect("17", Lifetime::Configured);
        protect_from_echo("echo-test-91bc", Lifetime::Configured);
        assert_eq!(redact(text), "a …, its echo-test-91bc and 17");
        assert_eq!(redact_echo(text), "a …, its … and 17");
    }

    #[test]
    fn parts_of_headers_and_urls_are_protected() {
        protect_header(
            "Authorization",
            "Bearer part-test-token-1",
            Lifetime::Configured,
        );
        protect_header(
            "Cookie",
            "sid=part-test-cookie-2; a=b",
            Lifetime::Configured,
        );
        protect_header("X-Site", "part-test-site-3", Lifetime::Configured);
        let url = "https://u:part-test%2Fpw-4@h/hook/part-test-segment-5?key=part-test-6&mode=full";
        let url = url.parse().unwrap();
        protect_url(&url, Lifetime::Configured);
        assert_eq!(redact("part-test-segment-5"), "part-test-segment-5");
        protect_url_path(&url, Lifetime::Configured);
        for secret in [
            "part-test-token-1",
            "part-test-cookie-2",
            "part-test/pw-4",
            "part-test-segment-5",
            "part-test-6",
        ] {
            assert_eq!(redact(&format!("no {secret}!")), "no …!", "{secret}");
        }
        assert_eq!(
            redact("part-test-site-3 Bearer full"),
            "part-test-site-3 Bearer full"
        );
        assert_eq!(redact_echo("part-test-site-3"), "…");
    }

    #[test]
    fn what_stands_beside_a_placeholder_is_protected() {
        protect_text("text-test-7d01\0abc", Lifetime::Configured);
        protect_header(
            "Authorization",
            "Bearer head-test-7d02\0",
            Lifetime::Configured,
        );
        let url = "https://h/way-test-7d03-more%00?key=key-test-7d04%00&d=%00";
        let url = url.parse().unwrap();
        protect_url(&url, Lifetime::Configured);
        protect_url_path(&url, Lifetime::Configured);
        let text = "text-test-7d01 head-test-7d02 way-test-7d03-more key-test-7d04 abc";
        assert_eq!(redact(text), "… … … … abc");
    }

    #[test]
    fn values_that_servers_give_do_not_grow_without_end() {
        let mut registry = Registry::default();
        registry.add("configured", Kind::Configured);
        for number in 0..GIVEN_MAX + 9 {
            registry.add(&format!("given-{number}"), Kind::Given);
            registry.add("given-0", Kind::Given);
        }
        assert_eq!(registry.given.len(), GIVEN_MAX);
        let redact =
            |registry: &mut Registry, text| registry.matchers().secrets.redact(text).into_owned();
        registry.add("configured", Kind::Given);
        assert_eq!(registry.given.len(), GIVEN_MAX);
        assert_eq!(redact(&mut registry, "configured given-0"), "… …");
        assert_eq!(redact(&mut registry, "given-1 given-264"), "given-1 …");
        // Cookies as large as they may be, and headers that each connection has another of.
        for number in 0..1000 {
            registry.add(&format!("{number:04096}"), Kind::Given);
            registry.add(&format!("echoed-{number}"), Kind::EchoedGiven);
        }
        let bytes: usize = registry.given.iter().map(String::len).sum();
        assert!(bytes <= GIVEN_BYTES_MAX, "{bytes}");
        assert_eq!(registry.echoed_given.len(), GIVEN_MAX);
    }
}
