//! Values within a URL or a form: what templates print there, and the filter `urlencode`.

use std::fmt;
use std::sync::Arc;

use minijinja::value::{Object, ObjectRepr, Value, ValueKind};
use minijinja::{Error, ErrorKind};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// All but the unreserved characters of RFC 3986, section 2.3, so that a value cannot change the
/// URL around it.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// A value as a part of a URL's path or query.
pub fn percent_encoded(text: &str) -> String {
    utf8_percent_encode(text, RESERVED).to_string()
}

/// A value as a template prints it; `None`: it is absent, and prints nothing.
pub(super) fn printed(value: &Value) -> Result<Option<String>, Error> {
    Ok(Some(match value.kind() {
        ValueKind::Undefined | ValueKind::None => return Ok(None),
        ValueKind::Map | ValueKind::Seq => serde_json::to_string(value).map_err(|error| {
            Error::new(ErrorKind::BadSerialization, "no JSON form").with_source(error)
        })?,
        // As in JSON: the language itself prints `True`.
        ValueKind::Bool => value.is_true().to_string(),
        _ => value.to_string(),
    }))
}

/// The filter of conditions.
pub(super) fn urlencode(value: &Value) -> Result<String, Error> {
    let text = printed(value)?.unwrap_or_default();
    Ok(percent_encoded(&text))
}

/// The filter of templates. A URL does not encode its result again.
pub(super) fn urlencode_once(value: &Value) -> Result<Value, Error> {
    Ok(Value::from_object(Encoded(urlencode(value)?)))
}

/// Whether a value has come through the filter.
pub(super) fn is_encoded(value: &Value) -> bool {
    value.downcast_object_ref::<Encoded>().is_some()
}

#[derive(Debug)]
struct Encoded(String);

impl Object for Encoded {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }

    fn render(self: &Arc<Self>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
