//! Values of fields that no message says: `client = { const = "7" }`.

use super::Field;

/// A value for some fields, in place of what messages say.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Constants([Option<Box<str>>; Field::ALL.len()]);

impl Constants {
    /// A text, whatever it looks like.
    pub fn set_text(&mut self, field: Field, text: &str) {
        let json = serde_json::Value::from(text).to_string();
        self.0[field as usize] = Some(json.into());
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.iter().all(Option::is_none)
    }

    /// As it would stand in a message.
    pub(super) fn json(&self, field: Field) -> Option<&str> {
        self.0[field as usize].as_deref()
    }
}
