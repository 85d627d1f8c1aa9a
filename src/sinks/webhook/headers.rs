//! The headers of requests.

use std::fmt;

use reqwest::header::{ACCEPT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};

use crate::model::Event;
use crate::pipeline::Template;
use crate::secret::{Secret, is_secret_name, redact};

/// The value of a header.
#[derive(Clone, PartialEq)]
pub enum HeaderText {
    /// The same for every event.
    Fixed(Secret),
    /// Made of the event; its text may have secrets in it.
    Template(Template),
}

/// Shows nothing of it.
impl fmt::Debug for HeaderText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HeaderText(…)")
    }
}

/// The headers that differ from one event to another.
pub(super) struct Rendered(Vec<(HeaderName, Template)>);

impl Rendered {
    /// Adds those of an event.
    ///
    /// # Errors
    /// What failed in rendering one.
    pub(super) fn add(&self, event: &Event, headers: &mut HeaderMap) -> Result<(), String> {
        for (name, template) in &self.0 {
            let text = text_of(template, event)?;
            let mut value = HeaderValue::from_bytes(text.as_bytes())
                .map_err(|_| format!("headers: {name} cannot have this text"))?;
            value.set_sensitive(true);
            headers.insert(name.clone(), value);
        }
        Ok(())
    }
}

/// The value of a header for an event.
fn text_of(template: &Template, event: &Event) -> Result<String, String> {
    let text = template.render(event)?;
    // A device's text must not begin a header of its own.
    let text = text.replace(char::is_control, " ");
    Ok(text.trim().to_owned())
}

/// What may be shown of the headers for an event: what is made of it, and what the body is.
///
/// # Errors
/// What failed in rendering one.
pub(super) fn shown(
    written: &[(String, HeaderText)],
    event: &Event,
) -> Result<Vec<(String, String)>, String> {
    let shown = |(name, text): &(String, HeaderText)| {
        let text = match text {
            HeaderText::Template(_) if is_secret_name(name) => "…".to_owned(),
            HeaderText::Template(template) => redact(&text_of(template, event)?).into_owned(),
            HeaderText::Fixed(value) if name.eq_ignore_ascii_case(CONTENT_TYPE.as_str()) => {
                value.expose_secret().to_owned()
            }
            HeaderText::Fixed(_) => "…".to_owned(),
        };
        Ok((name.clone(), text))
    };
    written.iter().map(shown).collect()
}

/// The headers of every request, with what the body is where `written` does not say it; and those
/// that differ.
///
/// # Errors
/// The header that cannot be one.
pub(super) fn headers(written: &[(String, HeaderText)]) -> Result<(HeaderMap, Rendered), String> {
    let (mut headers, mut rendered) = (HeaderMap::new(), Vec::new());
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    // An answer's text is read as it comes.
    headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    for (name, text) in written {
        let header = name_of(name)?;
        match text {
            HeaderText::Template(template) => rendered.push((header, template.clone())),
            HeaderText::Fixed(value) => {
                let unfit = |_| {
                    format!(
                        "headers: the value of {name:?} has characters that a header cannot have"
                    )
                };
                let mut value = HeaderValue::from_str(value.expose_secret()).map_err(unfit)?;
                value.set_sensitive(true);
                headers.insert(header, value);
            }
        }
    }
    Ok((headers, Rendered(rendered)))
}

/// The name of a header.
///
/// # Errors
/// It cannot be one.
pub(super) fn name_of(name: &str) -> Result<HeaderName, String> {
    HeaderName::from_bytes(name.as_bytes())
        .map_err(|_| format!("headers: {name:?} cannot be a header's name"))
}
