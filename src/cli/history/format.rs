//! Answers for other programs: CSV by RFC 4180, one JSON object a line, and GeoJSON by RFC 7946.
//! Times are UTC. Nothing is kept in memory.

use std::io::{IsTerminal, stdout};

use clap::ValueEnum;
use serde_json::{Map, Value as Json, json};

use super::labels::Labels;
use super::rows::Row;
use crate::cli::print::{harmless, part};
use crate::model::device_key;
use crate::sinks::history::question::{Field, Value};

/// Rows are written once there are as many bytes of them.
const BUFFER_BYTES: usize = 64 * 1024;

/// How an answer is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// For a person.
    Table,
    /// RFC 4180, with a line of heads.
    Csv,
    /// One object a line.
    Json,
    /// One FeatureCollection; of devices only.
    Geojson,
}

/// Prints rows one by one.
pub(super) struct Printer<'a> {
    format: Format,
    labels: &'a Labels,
    rows: usize,
    buffer: String,
}

impl<'a> Printer<'a> {
    /// Begins; CSV has its heads.
    pub(super) fn begin(format: Format, fields: &[Field], labels: &'a Labels) -> Printer<'a> {
        let buffer = match format {
            Format::Csv => {
                let names = fields.iter().map(|field| field.name);
                let labels = match has_device(fields) && !labels.are_absent() {
                    true => &["name", "group"][..],
                    false => &[],
                };
                let heads: Vec<&str> = names.chain(labels.iter().copied()).collect();
                heads.join(",") + "\r\n"
            }
            Format::Geojson => "{\"type\":\"FeatureCollection\",\"features\":[".to_owned(),
            Format::Json | Format::Table => String::new(),
        };
        Printer {
            format,
            labels,
            rows: 0,
            buffer,
        }
    }

    /// A row.
    pub(super) fn row(&mut self, row: &Row<'_>) {
        match self.format {
            Format::Csv => self.buffer += &(shown(csv(row, self.labels)) + "\r\n"),
            Format::Json | Format::Table => {
                self.buffer += &(Json::from(object(row, self.labels)).to_string() + "\n");
            }
            Format::Geojson => {
                self.buffer += if self.rows == 0 { "\n" } else { ",\n" };
                self.buffer += &feature(row, self.labels).to_string();
            }
        }
        self.rows += 1;
        if self.buffer.len() >= BUFFER_BYTES {
            self.flush();
        }
    }

    /// How many rows there were.
    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    /// Writes what has come.
    pub(super) fn flush(&mut self) {
        part!("{}", self.buffer);
        self.buffer.clear();
    }

    /// Ends.
    pub(super) fn end(mut self) {
        if self.format == Format::Geojson {
            self.buffer += "\n]}\n";
        }
        self.flush();
    }
}

/// A terminal would obey control characters; a file gets them as they came.
fn shown(line: String) -> String {
    match stdout().is_terminal() {
        true => harmless(&line),
        false => line,
    }
}

fn has_device(fields: &[Field]) -> bool {
    fields.iter().any(|field| field.name == "device_id")
}

fn csv(row: &Row<'_>, labels: &Labels) -> String {
    let mut cells: Vec<String> = row.pairs().map(|(_, value)| quoted(&text(value))).collect();
    if row.value("device_id").is_some() && !labels.are_absent() {
        let label = labels.of_row(row).cloned().unwrap_or_default();
        cells.extend([label.name, label.group].map(|text| quoted(text.as_deref().unwrap_or(""))));
    }
    cells.join(",")
}

fn text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::Text(text) => text.clone(),
        Value::Time(time) => format!("{time:.6}"),
        Value::Number(number) => number.to_string(),
        Value::Integer(integer) => integer.to_string(),
        Value::Boolean(boolean) => boolean.to_string(),
    }
}

/// Section 2: a field with a comma, a quote or a line end stands in quotes, and quotes are doubled.
fn quoted(text: &str) -> String {
    match text.contains([',', '"', '\r', '\n']) {
        true => format!("\"{}\"", text.replace('"', "\"\"")),
        false => text.to_owned(),
    }
}

fn object(row: &Row<'_>, labels: &Labels) -> Map<String, Json> {
    let mut object = Map::new();
    for (name, value) in row.pairs() {
        let value = match value {
            // A payload is JSON already.
            Value::Text(text) if name == "payload" => {
                serde_json::from_str(text).unwrap_or_else(|_| json!(text))
            }
            Value::Null => Json::Null,
            Value::Number(number) => json!(number),
            Value::Integer(integer) => json!(integer),
            Value::Boolean(boolean) => json!(boolean),
            Value::Text(_) | Value::Time(_) => json!(text(value)),
        };
        object.insert(name.to_owned(), value);
    }
    if row.value("device_id").is_some() && !labels.are_absent() {
        let label = labels.of_row(row).cloned().unwrap_or_default();
        object.insert("name".to_owned(), json!(label.name.as_deref()));
        object.insert("group".to_owned(), json!(label.group.as_deref()));
    }
    object
}

/// A device on the map, in WGS-84 as RFC 7946 wants it; without a place its geometry is null.
fn feature(row: &Row<'_>, labels: &Labels) -> Json {
    let point = row
        .number("wgs84_longitude")
        .zip(row.number("wgs84_latitude"));
    let geometry = point.map(
        |(longitude, latitude)| json!({ "type": "Point", "coordinates": [longitude, latitude] }),
    );
    let id = device_key(row.text("client_id"), row.text("device_id"));
    json!({
        "type": "Feature",
        "id": format!("{}/{id}", row.text("stream")),
        "geometry": geometry,
        "properties": object(row, labels),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sinks::history::question::Kind;

    const FIELDS: &[Field] = &[
        Field {
            name: "device_id",
            kind: Kind::Text,
        },
        Field {
            name: "payload",
            kind: Kind::Text,
        },
        Field {
            name: "seconds",
            kind: Kind::Number,
        },
    ];

    #[test]
    fn what_a_device_sends_stays_one_field() {
        let values = [
            Value::Text("a,\"b\"\r\n故障".to_owned()),
            Value::Text("{\"x\":1}".to_owned()),
            Value::Null,
        ];
        let row = Row::new(FIELDS, &values);
        let labels = Labels::default();
        assert_eq!(
            csv(&row, &labels),
            "\"a,\"\"b\"\"\r\n故障\",\"{\"\"x\"\":1}\","
        );
        let object = Json::from(object(&row, &labels));
        assert_eq!(
            object,
            json!({ "device_id": "a,\"b\"\r\n故障", "payload": { "x": 1 }, "seconds": null })
        );
    }

    #[test]
    fn a_device_without_a_place_has_no_geometry() {
        let values = [Value::Text("7".to_owned()), Value::Null, Value::Number(1.5)];
        let feature = feature(&Row::new(FIELDS, &values), &Labels::default());
        assert_eq!(feature["geometry"], Json::Null);
        assert_eq!(feature["properties"]["seconds"], 1.5);
    }
}
