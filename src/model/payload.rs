//! The JSON text of a device's own status.

use std::sync::Arc;

use serde::{Serialize, Serializer, ser};
use serde_json::value::RawValue;

/// JSON as the device sent it, byte for byte. Clones share the text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Payload(Arc<str>);

impl Payload {
    /// A text that was read as JSON before.
    pub(crate) fn of_json(text: &str) -> Payload {
        Payload(text.into())
    }

    /// Reads a text.
    ///
    /// # Errors
    /// It is not JSON.
    pub fn parse(text: &str) -> Result<Payload, serde_json::Error> {
        let json: &RawValue = serde_json::from_str(text)?;
        Ok(Payload::of_json(json.get()))
    }

    /// Where there is none: `null`.
    pub fn null() -> Payload {
        Payload::of_json(RawValue::NULL.get())
    }

    /// Whether there is none.
    pub fn is_null(&self) -> bool {
        &*self.0 == RawValue::NULL.get()
    }

    /// The JSON.
    pub fn get(&self) -> &str {
        &self.0
    }

    /// The JSON, for one who keeps it.
    pub fn shared(&self) -> &Arc<str> {
        &self.0
    }
}

impl Serialize for Payload {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let json: &RawValue = serde_json::from_str(&self.0).map_err(ser::Error::custom)?;
        json.serialize(serializer)
    }
}
