//! JSON pointers (RFC 6901), and several of them found in one pass over a text without building a
//! tree of it.

use std::fmt;
use std::str::FromStr;

use memchr::memchr2_iter;
use serde::Deserialize;
use serde::de::{self, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

/// How deep arrays and objects may be nested below a status. A deeper one is no device's message,
/// and databases and templates, which recurse, would fail on it later.
const DEPTH_MAX: usize = 64;

/// A parsed JSON pointer: empty for the whole value, else `/name`, `/name/0/name`, ….
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Pointer {
    source: String,
    tokens: Vec<String>,
}

impl Pointer {
    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.source
    }

    /// The JSON text that stands there; `None`: nothing does.
    ///
    /// # Errors
    /// The text is not JSON, as far as that shows on the way.
    pub fn find<'a>(&self, json: &'a str) -> Result<Option<&'a str>, serde_json::Error> {
        Ok(Finder::new([Some(self)]).find(json)?.pop().flatten())
    }
}

impl FromStr for Pointer {
    type Err = String;

    /// # Errors
    /// A text for the user: what a pointer looks like, and this one with the `/` that it lacks.
    fn from_str(source: &str) -> Result<Pointer, String> {
        if source.is_empty() {
            return Ok(Pointer {
                source: String::new(),
                tokens: Vec::new(),
            });
        }
        let Some(path) = source.strip_prefix('/') else {
            return Err(format!(
                "a JSON pointer starts with `/`, such as \"/{}\"",
                source.replace('.', "/")
            ));
        };
        let tokens = path
            .split('/')
            .map(unescape)
            .collect::<Result<_, String>>()?;
        Ok(Pointer {
            source: source.to_owned(),
            tokens,
        })
    }
}

impl fmt::Display for Pointer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.source.fmt(f)
    }
}

/// RFC 6901, section 3: `~1` is `/`, `~0` is `~`, nothing else follows a `~`.
fn unescape(token: &str) -> Result<String, String> {
    let mut rest = token.split('~');
    let mut text = rest.next().unwrap_or_default().to_owned();
    for part in rest {
        match part.as_bytes().first() {
            Some(b'0') => text.push('~'),
            Some(b'1') => text.push('/'),
            _ => {
                return Err(
                    "in a JSON pointer `~` is written `~0`, and `/` inside a name `~1`".to_owned(),
                );
            }
        }
        text.push_str(&part[1..]);
    }
    Ok(text)
}

/// Several pointers as one tree, so that one pass over a text finds all of them.
#[derive(Debug, Clone, Default)]
pub(super) struct Finder {
    root: Node,
    slots: usize,
}

#[derive(Debug, Clone, Default)]
struct Node {
    /// What stands here is the value of these.
    slots: Vec<usize>,
    children: Vec<Child>,
}

#[derive(Debug, Clone)]
struct Child {
    name: String,
    /// The name as an index into an array, where it is one (RFC 6901, section 4: no leading zeros).
    index: Option<usize>,
    node: Node,
}

impl Finder {
    /// A finder of these pointers; the n-th result is the n-th pointer's, an absent pointer finds
    /// nothing.
    pub(super) fn new<'a>(pointers: impl IntoIterator<Item = Option<&'a Pointer>>) -> Finder {
        let mut finder = Finder::default();
        for pointer in pointers {
            if let Some(pointer) = pointer {
                let node = pointer
                    .tokens
                    .iter()
                    .fold(&mut finder.root, |node, token| node.child(token));
                node.slots.push(finder.slots);
            }
            finder.slots += 1;
        }
        finder
    }

    /// The JSON text at each pointer; of two equal names in one object the last counts.
    ///
    /// # Errors
    /// The text is not JSON, as far as that shows on the way.
    pub(super) fn find<'de>(
        &self,
        json: &'de str,
    ) -> Result<Vec<Option<&'de str>>, serde_json::Error> {
        let mut found = vec![None; self.slots];
        let search = Search {
            node: &self.root,
            found: &mut found,
            may_be_deep: may_be_deep(json),
        };
        let mut deserializer = serde_json::Deserializer::from_str(json);
        search.deserialize(&mut deserializer)?;
        deserializer.end()?;
        Ok(found)
    }
}

impl Node {
    fn child(&mut self, name: &str) -> &mut Node {
        let place = self
            .children
            .iter()
            .position(|child| child.name == name)
            .unwrap_or_else(|| {
                let plain = name == "0" || !name.starts_with('0');
                let index = name
                    .parse()
                    .ok()
                    .filter(|_| plain && !name.starts_with('+'));
                self.children.push(Child {
                    name: name.to_owned(),
                    index,
                    node: Node::default(),
                });
                self.children.len() - 1
            });
        &mut self.children[place].node
    }
}

/// One node of the tree against one value of the text. The depth of the recursion is the pointers',
/// not the text's.
struct Search<'n, 'f, 'de> {
    node: &'n Node,
    found: &'f mut [Option<&'de str>],
    may_be_deep: bool,
}

impl<'n, 'de> Search<'n, '_, 'de> {
    fn of(&mut self, child: &'n Child) -> Search<'n, '_, 'de> {
        Search {
            node: &child.node,
            found: &mut *self.found,
            may_be_deep: self.may_be_deep,
        }
    }

    fn skip(&self) -> Skip {
        Skip {
            may_be_deep: self.may_be_deep,
        }
    }
}

impl<'de> DeserializeSeed<'de> for Search<'_, '_, 'de> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        if self.node.slots.is_empty() && !self.node.children.is_empty() {
            return deserializer.deserialize_any(self);
        }
        let raw = shallow(deserializer, self.may_be_deep)?;
        for slot in &self.node.slots {
            self.found[*slot] = Some(raw);
        }
        if self.node.children.is_empty() {
            return Ok(());
        }
        serde_json::Deserializer::from_str(raw)
            .deserialize_any(self)
            .map_err(de::Error::custom)
    }
}

impl<'de> Visitor<'de> for Search<'_, '_, 'de> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<(), A::Error> {
        while let Some(child) = map.next_key_seed(Named(&self.node.children))? {
            match child {
                Some(child) => map.next_value_seed(self.of(child))?,
                None => map.next_value_seed(self.skip())?,
            }
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut seq: A) -> Result<(), A::Error> {
        for index in 0.. {
            let child = self
                .node
                .children
                .iter()
                .find(|child| child.index == Some(index));
            let element = match child {
                Some(child) => seq.next_element_seed(self.of(child))?,
                None => seq.next_element_seed(self.skip())?,
            };
            if element.is_none() {
                break;
            }
        }
        Ok(())
    }

    // A pointer into a scalar finds nothing.
    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }
    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }
    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }
    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }
    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }
    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }
}

/// A value that no pointer asks for.
struct Skip {
    may_be_deep: bool,
}

impl<'de> DeserializeSeed<'de> for Skip {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        match self.may_be_deep {
            true => shallow(deserializer, true).map(drop),
            false => IgnoredAny::deserialize(deserializer).map(drop),
        }
    }
}

/// The child of that name, compared in place.
struct Named<'n>(&'n [Child]);

impl<'de, 'n> DeserializeSeed<'de> for Named<'n> {
    type Value = Option<&'n Child>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'n> Visitor<'_> for Named<'n> {
    type Value = Option<&'n Child>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_str<E>(self, name: &str) -> Result<Self::Value, E> {
        Ok(self.0.iter().find(|child| child.name == name))
    }
}

/// The text of a value that is not nested deeper than [`DEPTH_MAX`].
fn shallow<'de, D: Deserializer<'de>>(
    deserializer: D,
    may_be_deep: bool,
) -> Result<&'de str, D::Error> {
    let raw = <&'de RawValue>::deserialize(deserializer)?.get();
    if may_be_deep && depth(raw) > DEPTH_MAX {
        return Err(de::Error::custom(format_args!(
            "nested deeper than {DEPTH_MAX} arrays and objects"
        )));
    }
    Ok(raw)
}

/// Whether a value may be nested too deeply. Nearly no text has as many brackets, and to count them
/// is much faster than to tell the texts within it from the rest.
fn may_be_deep(json: &str) -> bool {
    let mut brackets = memchr2_iter(b'{', b'[', json.as_bytes());
    brackets.nth(DEPTH_MAX).is_some()
}

/// How deeply valid JSON is nested: 0 for a scalar.
fn depth(json: &str) -> usize {
    let (mut depth, mut deepest, mut in_text, mut escaped) = (0_usize, 0_usize, false, false);
    for byte in json.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => in_text = !in_text,
            _ if in_text => {}
            b'{' | b'[' => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b'}' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn find<'a>(pointers: &[&str], json: &'a str) -> Vec<Option<&'a str>> {
        let pointers: Vec<Pointer> = pointers.iter().map(|text| text.parse().unwrap()).collect();
        Finder::new(pointers.iter().map(Some)).find(json).unwrap()
    }

    #[test]
    fn what_is_found_is_what_serde_json_finds() {
        let json = r#"{"a":{"b":[1,{"c":"x"},[2,3]],"":null},"a/b":7,"m~n":8,"0":{"1":true},"n":1e5,"s":"p"}"#;
        let value: Value = serde_json::from_str(json).unwrap();
        let pointers = [
            "", "/a", "/a/b", "/a/b/0", "/a/b/1/c", "/a/b/2/1", "/a/b/9", "/a/b/01", "/a/b/+1",
            "/a/b/-", "/a/", "/a~1b", "/m~0n", "/0/1", "/n/x", "/s/x", "/zz", "/a/b/1", "/n",
        ];
        let found = find(&pointers, json);
        for (pointer, found) in pointers.iter().zip(found) {
            let found = found.map(|text| serde_json::from_str::<Value>(text).unwrap());
            assert_eq!(found.as_ref(), value.pointer(pointer), "{pointer}");
        }
    }

    #[test]
    fn of_two_equal_names_the_last_counts() {
        assert_eq!(find(&["/a"], r#"{"a":1,"a":2}"#), [Some("2")]);
    }

    #[test]
    fn depth_is_limited_and_never_overflows_the_stack() {
        let finder = Finder::new([Some(&"/a".parse().unwrap())]);
        for depth in [DEPTH_MAX, DEPTH_MAX + 1, 1_000_000] {
            for name in ["a", "ignored"] {
                let json = format!("{{\"{name}\":{}{}}}", "[".repeat(depth), "]".repeat(depth));
                assert_eq!(
                    finder.find(&json).is_ok(),
                    depth <= DEPTH_MAX,
                    "{name} {depth}"
                );
            }
        }
    }

    #[test]
    fn a_pointer_that_is_none_is_refused_with_what_it_should_look_like() {
        for (source, expected) in [
            ("address.city", "\"/address/city\""),
            ("/a~2", "`~0`"),
            ("/a~", "`~0`"),
        ] {
            let error = source.parse::<Pointer>().unwrap_err();
            assert!(error.contains(expected), "{source}: {error}");
        }
    }
}
