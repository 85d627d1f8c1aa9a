//! The templates of a sink: what its events have, and which words are known.

use std::collections::BTreeSet;

use super::context::Context;
use super::path::Path;
use crate::model::EventKind;
use crate::pipeline::{ListTemplate, Template, Vocabulary};

/// The events of one sink.
#[derive(Clone, Copy)]
pub(super) struct Events<'a> {
    pub(super) kinds: &'a BTreeSet<EventKind>,
    pub(super) vocabulary: Vocabulary<'a>,
}

impl Events<'_> {
    /// A template of one event.
    pub(super) fn template(
        &self,
        check: &mut Context<'_>,
        path: &Path,
        source: &str,
    ) -> Option<Template> {
        let parsed = Template::parse(source, self.kinds);
        let template = check.report.take(path, parsed)?;
        let doubts = template.doubts(&self.vocabulary);
        check.doubted(path, "the template", &doubts);
        Some(template)
    }

    /// A template of several events.
    pub(super) fn list_template(
        &self,
        check: &mut Context<'_>,
        path: &Path,
        source: &str,
    ) -> Option<ListTemplate> {
        let parsed = ListTemplate::parse(source, self.kinds);
        let template = check.report.take(path, parsed)?;
        let doubts = template.doubts(&self.vocabulary);
        check.doubted(path, "the template", &doubts);
        Some(template)
    }
}
