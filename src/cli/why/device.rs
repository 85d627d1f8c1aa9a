//! Which device a person means: `1/7`, or `7` of whichever client.

/// A device as it is written on the command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::cli) struct Device {
    /// `client/device`, or the device's id alone.
    pub(in crate::cli) text: String,
    /// The name of its stream, where only that one is meant.
    pub(in crate::cli) stream: Option<String>,
}

impl Device {
    /// Whether it is this one. Ids may hold a slash themselves.
    pub(in crate::cli) fn is(&self, stream: &str, client_id: &str, device_id: &str) -> bool {
        let wanted = self.text.as_str();
        let of_client = wanted
            .strip_prefix(client_id)
            .and_then(|rest| rest.strip_prefix('/'))
            .is_some_and(|device| device == device_id);
        (of_client || wanted == device_id)
            && self.stream.as_deref().is_none_or(|wanted| wanted == stream)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_is_named_with_its_client_or_alone() {
        let device = |text: &str, stream: Option<&str>| Device {
            text: text.to_owned(),
            stream: stream.map(str::to_owned),
        };
        for (text, stream, client, id, expected) in [
            ("1/7", None, "1", "7", true),
            ("1/7", None, "2", "7", false),
            ("1/7", None, "", "1/7", true),
            ("7", None, "2", "7", true),
            ("/7", None, "", "7", true),
            ("7", None, "2", "77", false),
            ("a/b/c", None, "a/b", "c", true),
            ("a/b/c", None, "a", "b/c", true),
            ("1/7", Some("s"), "1", "7", true),
            ("1/7", Some("t"), "1", "7", false),
        ] {
            let device = device(text, stream);
            assert_eq!(device.is("s", client, id), expected, "{text} {client}/{id}");
        }
    }
}
