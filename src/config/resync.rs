//! `[topics.NAME.resync]`: how a topic's snapshot is asked for, and how it is read.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;

use super::context::Context;
use super::mapping::ConstantDrafts;
use super::path::Path;
use super::schema::{self, FieldValue, SigninMethod, SigninStep};
use super::signin::Reading;
use super::template::{Scope, with_variables};
use super::units::{SecretTable, UrlText};
use crate::duration::InWords;
use crate::pipeline::Mapping;
use crate::source::Resync;
use crate::tls;

/// The shortest time between two snapshots: each is the state of every device.
const EVERY_MIN: Duration = Duration::from_secs(10);

/// What all topics of one table have in common.
pub(super) struct ResyncTable {
    pub(super) mapping: Mapping,
    pub(super) constants: ConstantDrafts,
    written: schema::Resync,
    tls: Option<tls::Settings>,
    path: Path,
    body_bytes_max: usize,
    /// One of its topics cannot be asked for, and neither can the others.
    is_wrong: bool,
}

impl Context<'_> {
    /// The table, whose snapshots are read as the topic's messages but for its own `items` and
    /// `fields`.
    pub(super) fn resync_table(
        &mut self,
        path: Path,
        mut written: schema::Resync,
        mapping: &Mapping,
        variables: &[String],
        max_body: u64,
    ) -> ResyncTable {
        let mut mapping = mapping.clone();
        // HTTP says how a body is written, and JSON is UTF-8.
        mapping.charset = None;
        mapping.items = None;
        if let Some(items) = &written.items {
            mapping.items = self.report.take(&path.join("items"), items.parse());
        }
        let fields = path.join("fields");
        self.fields(&mut mapping, &fields, &written.fields);
        let constants = self.constants(&fields, &written.fields, variables);
        if !written.fields.is_empty() {
            // The same pointer may find something else there.
            mapping.event_key = Vec::new();
        }
        let timeout = written.timeout.0;
        if timeout.is_zero() {
            self.report
                .error(&path.join("timeout"), "expected a duration above 0");
        }
        if let Some(every) = written.every.as_ref().map(|every| every.0)
            && every < EVERY_MIN
        {
            let (min, found) = (InWords(EVERY_MIN), InWords(every));
            let message = format!("expected at least {min}, found {found}");
            let help = "without the key, a snapshot is asked for after each gap only";
            self.report.error_with(&path.join("every"), message, help);
        }
        let tls = written
            .tls
            .take()
            .map(|tls| self.tls(&path.join("tls"), tls));
        ResyncTable {
            mapping,
            constants,
            written,
            tls,
            path,
            body_bytes_max: usize::try_from(max_body).unwrap_or(usize::MAX),
            is_wrong: false,
        }
    }

    /// How the snapshot of one topic is asked for, with these values for the variables of `for`.
    pub(super) fn resync(
        &mut self,
        table: &mut ResyncTable,
        values: &[(&str, &str)],
    ) -> Option<Resync> {
        if table.is_wrong {
            return None;
        }
        let asked = self.snapshot_request(table, values);
        table.is_wrong = asked.is_none();
        asked
    }

    fn snapshot_request(&mut self, table: &ResyncTable, values: &[(&str, &str)]) -> Option<Resync> {
        let written = &table.written;
        let filled = |text: &str| with_variables(text, values);
        let has_body = written.json.is_some() || written.form.is_some();
        let method = match has_body {
            true => SigninMethod::Post,
            false => SigninMethod::Get,
        };
        let table_filled = |table: &SecretTable| {
            SecretTable(
                match filled_json(&Value::Object(table.0.clone()), &filled) {
                    Value::Object(table) => table,
                    _ => table.0.clone(),
                },
            )
        };
        let headers = written.headers.iter();
        let headers =
            headers.map(|(name, value)| (name.clone(), filled(value.expose_secret()).into()));
        let step = SigninStep {
            url: (written.url.as_ref()).map(|UrlText(url)| UrlText(filled(url))),
            method: Some(written.method.unwrap_or(method)),
            json: written.json.as_ref().map(table_filled),
            form: written.form.as_ref().map(table_filled),
            headers: headers.collect(),
            expect: written.expect.clone(),
            extract: BTreeMap::new(),
        };
        let mut reading = Reading {
            scope: Scope {
                signin: self.signed_in.clone(),
                variables: &[],
            },
            redacted: Vec::new(),
            no_url: [
                "the address of the snapshot is missing",
                "such as url = \"https://platform.example.com/api/devices\"",
            ],
        };
        let step = self.step(&table.path, step, &mut reading)?;
        Some(Resync {
            url: step.url,
            method: step.method,
            headers: step.headers,
            expect: step.expect,
            tls: table.tls.clone(),
            timeout: written.timeout.0,
            every: written.every.as_ref().map(|every| every.0),
            body_bytes_max: table.body_bytes_max,
            redacted: reading.redacted,
        })
    }
}

/// The constants of a snapshot: the topic's, but for the fields that it reads otherwise.
pub(super) fn constants_beside(topic: &ConstantDrafts, table: &ResyncTable) -> ConstantDrafts {
    let own: &BTreeMap<String, FieldValue> = &table.written.fields;
    let stays = topic
        .iter()
        .filter(|(field, _)| !own.contains_key(field.name()));
    stays.chain(&table.constants).cloned().collect()
}

/// A value with its texts filled.
fn filled_json(value: &Value, filled: &impl Fn(&str) -> String) -> Value {
    match value {
        Value::String(text) => Value::String(filled(text)),
        Value::Array(elements) => elements
            .iter()
            .map(|element| filled_json(element, filled))
            .collect(),
        Value::Object(fields) => fields
            .iter()
            .map(|(name, field)| (name.clone(), filled_json(field, filled)))
            .collect(),
        plain => plain.clone(),
    }
}
