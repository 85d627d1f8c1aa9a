//! A row of an answer, by the names of its columns.

use jiff::Timestamp;

use crate::model::Severity;
use crate::sinks::history::question::{DeviceKey, Field, Value};

/// A row.
#[derive(Debug, Clone, Copy)]
pub(super) struct Row<'a> {
    fields: &'static [Field],
    values: &'a [Value],
}

impl<'a> Row<'a> {
    pub(super) fn new(fields: &'static [Field], values: &'a [Value]) -> Row<'a> {
        Row { fields, values }
    }

    /// Its columns and values, in order.
    pub(super) fn pairs(&self) -> impl Iterator<Item = (&'static str, &'a Value)> + use<'a> {
        let names = self.fields.iter().map(|field| field.name);
        names.zip(self.values)
    }

    /// The value of a column that the answer may not have.
    pub(super) fn value(&self, name: &str) -> Option<&'a Value> {
        let mut pairs = self.pairs();
        pairs.find_map(|(found, value)| (found == name).then_some(value))
    }

    /// A text, empty where there is none.
    pub(super) fn text(&self, name: &str) -> &'a str {
        match self.value(name) {
            Some(Value::Text(text)) => text,
            _ => "",
        }
    }

    pub(super) fn time(&self, name: &str) -> Option<Timestamp> {
        match self.value(name)? {
            Value::Time(time) => Some(*time),
            _ => None,
        }
    }

    pub(super) fn number(&self, name: &str) -> Option<f64> {
        match self.value(name)? {
            Value::Number(number) => Some(*number),
            _ => None,
        }
    }

    pub(super) fn integer(&self, name: &str) -> Option<i64> {
        match self.value(name)? {
            Value::Integer(integer) => Some(*integer),
            _ => None,
        }
    }

    /// Whether a column is true.
    pub(super) fn is(&self, name: &str) -> bool {
        matches!(self.value(name), Some(Value::Boolean(true)))
    }

    /// Its device.
    pub(super) fn device(&self) -> DeviceKey {
        DeviceKey {
            stream: self.text("stream").to_owned(),
            client_id: self.text("client_id").to_owned(),
            device_id: self.text("device_id").to_owned(),
        }
    }

    pub(super) fn serial(&self) -> Option<&'a str> {
        Some(self.text("serial")).filter(|serial| !serial.is_empty())
    }

    pub(super) fn severity(&self) -> Severity {
        let word = self.text("severity");
        let all = [
            Severity::Ok,
            Severity::Info,
            Severity::Warning,
            Severity::Critical,
        ];
        let found = all.into_iter().find(|severity| severity.as_str() == word);
        found.unwrap_or(Severity::Unknown)
    }
}
