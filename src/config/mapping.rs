//! How the messages of a topic are read: `fields`, `items`, `ignore`, `encoding` and the rest.

use std::collections::BTreeMap;

use jiff::tz::TimeZone;

use super::context::Context;
use super::path::Path;
use super::schema::{self, FieldValue, TIMEZONE_DEFAULT};
use super::secret::Within;
use super::template::{Draft, Scope, Signin};
use crate::pipeline::{Charset, Constants, Field, Ignore, Mapping, Pointer};

/// The longest constant: as long as an id or a state may be.
const CONSTANT_BYTES_MAX: usize = 512;

/// The constants of one table's topics, in which variables of its `for` may stand.
pub(super) type ConstantDrafts = Vec<(Field, Draft)>;

/// The constants of one topic, with these values for the variables.
pub(super) fn filled<'v>(
    drafts: &[(Field, Draft)],
    value: impl Fn(&str) -> &'v str + Copy,
) -> Constants {
    let mut constants = Constants::default();
    for (field, draft) in drafts {
        constants.set_text(*field, draft.template(value).as_str());
    }
    constants
}

impl Context<'_> {
    pub(super) fn mapping(&mut self, path: &Path, topic: &schema::Topic, max_body: u64) -> Mapping {
        let mut mapping = Mapping::default();
        mapping.text_bytes_max = usize::try_from(max_body).unwrap_or(usize::MAX);
        self.fields(&mut mapping, &path.join("fields"), &topic.fields);
        if let Some(items) = &topic.items {
            mapping.items = self.report.take(&path.join("items"), items.parse());
        }
        if let Some(ignore) = &topic.ignore {
            mapping.ignore = self.ignore(&path.join("ignore"), ignore);
        }
        if let Some(encoding) = &topic.encoding {
            mapping.charset = self.charset(&path.join("encoding"), encoding);
        }
        let key: Vec<Option<Pointer>> = topic
            .event_key
            .0
            .iter()
            .map(|key| self.report.take(&path.join("event_key"), key.parse()))
            .collect();
        mapping.event_key = key.into_iter().flatten().collect();
        mapping.zone = self.zone(&path.join("timezone"), &topic.timezone);
        mapping
    }

    /// A time zone by its name. The default is known without a time zone database.
    pub(super) fn zone(&mut self, path: &Path, written: &str) -> TimeZone {
        let default = Mapping::default().zone;
        if written == TIMEZONE_DEFAULT {
            return default;
        }
        TimeZone::get(written).unwrap_or_else(|error| {
            let help = "expected a name of the IANA database, such as \"Asia/Shanghai\" or \"UTC\"";
            self.report.error_with(path, error.to_string(), help);
            default
        })
    }

    /// Where the fields stand.
    pub(super) fn fields(
        &mut self,
        mapping: &mut Mapping,
        path: &Path,
        fields: &BTreeMap<String, FieldValue>,
    ) {
        for (name, value) in fields {
            let path = path.join(name);
            match (field_named(name), value) {
                (Some(field), FieldValue::Pointer(pointer)) => {
                    if let Some(pointer) = self.report.take(&path, pointer.parse()) {
                        mapping.set(field, Some(pointer));
                    }
                }
                (Some(field), FieldValue::Constant(_)) => mapping.set(field, None),
                (None, _) => self.report.unknown_key(
                    &path,
                    name,
                    Field::ALL.iter().map(|field| field.name()),
                ),
            }
        }
    }

    /// The values of fields that no message says.
    pub(super) fn constants(
        &mut self,
        path: &Path,
        fields: &BTreeMap<String, FieldValue>,
        variables: &[String],
    ) -> ConstantDrafts {
        let scope = Scope {
            signin: Signin::Elsewhere,
            variables,
        };
        let mut constants = ConstantDrafts::new();
        for (name, value) in fields {
            let path = path.join(name);
            let (Some(field), FieldValue::Constant(constant)) = (field_named(name), value) else {
                continue;
            };
            let text = constant.r#const.to_string();
            if let Some(message) = wrong_constant(field, &text) {
                self.report.error(&path, message);
                continue;
            }
            let Some(draft) = self.draft(&path, &text, Within::Text, &scope) else {
                continue;
            };
            if draft.secrets().next().is_some() {
                let message = "a constant is stored and shown: it cannot be a secret";
                self.report.error(&path, message);
            }
            constants.push((field, draft));
        }
        constants
    }

    fn ignore(&mut self, path: &Path, written: &str) -> Option<Ignore> {
        match Ignore::parse(written) {
            Ok(ignore) => Some(ignore),
            Err(error) => {
                let help = "a condition over the message's own names, such as type == 'heartbeat'";
                let message = format!("`ignore` is not valid: {error}");
                self.report.error_with(path, message, help);
                None
            }
        }
    }

    fn charset(&mut self, path: &Path, written: &str) -> Option<Charset> {
        let charset = Charset::named(written);
        if charset.is_none() {
            let help = "such as \"utf-8\", \"gb18030\", \"gbk\", \"utf-16le\", \"utf-16be\", \
                        \"big5\" or \"latin1\"";
            let message = format!("`{written}` is no encoding of texts");
            self.report.error_with(path, message, help);
        }
        charset
    }
}

fn field_named(name: &str) -> Option<Field> {
    Field::ALL.into_iter().find(|field| field.name() == name)
}

/// What is wrong with the constant of a field.
fn wrong_constant(field: Field, text: &str) -> Option<String> {
    if field == Field::OccurredAt {
        return Some("no two statuses have one time: it cannot be a constant".to_owned());
    }
    match text.len() {
        0 => Some("expected a constant, found an empty text".to_owned()),
        1..=CONSTANT_BYTES_MAX => None,
        bytes => Some(format!(
            "expected a constant of at most {CONSTANT_BYTES_MAX} bytes, found {bytes}"
        )),
    }
}
