//! Answers for other programs: CSV by RFC 4180, one JSON object a line, and GeoJSON by RFC 7946.
//! Times are UTC. A spreadsheet takes no text of CSV for a formula. Nothing is kept in memory.

use std::io::{IsTerminal, stdout};

use clap::ValueEnum;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::value::RawValue;
use serde_json::{Value as Json, json};

use super::labels::Labels;
use crate::cli::print::{harmless, part};
use crate::model::device_key;
use crate::sinks::history::question::{Field, Value};
use crate::sinks::history::row::{Row, cell, rounded, written};

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
    /// One FeatureCollection, of what has a place.
    Geojson,
}

/// What --format takes where there is no place to show on a map.
pub(super) const WITHOUT_PLACES: &[Format] = &[Format::Table, Format::Csv, Format::Json];
/// What it takes where all rows are written.
pub(super) const WHOLE: &[Format] = &[Format::Csv, Format::Json, Format::Geojson];

/// Reads one of these formats, and lists them in the help.
pub(super) fn one_of(formats: &[Format]) -> impl TypedValueParser<Value = Format> + use<> {
    let values = formats.iter().filter_map(ValueEnum::to_possible_value);
    PossibleValuesParser::new(values).try_map(|word| Format::from_str(&word, false))
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
                self.buffer += &(json(&Object {
                    row: *row,
                    labels: self.labels,
                }) + "\n");
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
    let mut cells = row.csv();
    if row.value("device_id").is_some() && !labels.are_absent() {
        let label = labels.of_row(row).cloned().unwrap_or_default();
        cells.extend([label.name, label.group].map(|text| cell(text.as_deref().unwrap_or(""))));
    }
    cells.join(",")
}

/// A row as JSON, its keys in the order of the columns.
struct Object<'a> {
    row: Row<'a>,
    labels: &'a Labels,
}

impl Serialize for Object<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Object { row, labels } = self;
        let mut object = serializer.serialize_map(None)?;
        for (name, value) in row.pairs() {
            match value {
                Value::Text(text) if name == "payload" => {
                    object.serialize_entry(name, &payload(text))?
                }
                Value::Null => object.serialize_entry(name, &())?,
                Value::Number(number) => object.serialize_entry(name, &rounded(name, *number))?,
                Value::Integer(integer) => object.serialize_entry(name, integer)?,
                Value::Boolean(boolean) => object.serialize_entry(name, boolean)?,
                Value::Text(_) | Value::Time(_) => object.serialize_entry(name, &written(value))?,
            }
        }
        if row.value("device_id").is_some() && !labels.are_absent() {
            let label = labels.of_row(row).cloned().unwrap_or_default();
            object.serialize_entry("name", &label.name.as_deref())?;
            object.serialize_entry("group", &label.group.as_deref())?;
        }
        object.end()
    }
}

/// A payload is JSON already, and stays as the device wrote it where that is one line.
fn payload(text: &str) -> Box<RawValue> {
    let as_text = || serde_json::value::to_raw_value(text).unwrap_or_default();
    if text.contains(['\n', '\r']) {
        let parsed = serde_json::from_str::<Json>(text);
        return parsed
            .and_then(|parsed| serde_json::value::to_raw_value(&parsed))
            .unwrap_or_else(|_| as_text());
    }
    RawValue::from_string(text.to_owned()).unwrap_or_else(|_| as_text())
}

fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

/// A device or a status on the map, in WGS-84 as RFC 7946 wants it; without a place its geometry is
/// null.
fn feature(row: &Row<'_>, labels: &Labels) -> Json {
    let point = row
        .number("wgs84_longitude")
        .zip(row.number("wgs84_latitude"));
    let geometry = point.map(
        |(longitude, latitude)| json!({ "type": "Point", "coordinates": [longitude, latitude] }),
    );
    let id = match row.value("sequence") {
        Some(_) => row.text("event_id").to_owned(),
        None => {
            let device = device_key(row.text("client_id"), row.text("device_id"));
            format!("{}/{device}", row.text("stream"))
        }
    };
    json!({
        "type": "Feature",
        "id": id,
        "geometry": geometry,
        "properties": Object { row: *row, labels },
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
        let object = json(&Object {
            row,
            labels: &labels,
        });
        let expected = r#"{"device_id":"a,\"b\"\r\n故障","payload":{"x":1},"seconds":null}"#;
        assert_eq!(object, expected);
    }

    #[test]
    fn no_text_of_a_line_of_csv_is_a_formula() {
        let values = [
            Value::Text("=1".to_owned()),
            Value::Null,
            Value::Number(-1.5),
        ];
        let row = Row::new(FIELDS, &values);
        assert_eq!(csv(&row, &Labels::default()), "'=1,,-1.5");
    }

    #[test]
    fn figures_are_rounded_and_places_are_not() {
        for (name, number, expected) in [
            ("percent", 99.999_9, 99.99),
            ("percent", 100.0, 100.0),
            ("percent", 99.999_999_999_999_9, 100.0),
            ("percent", 99.999_999_99, 99.99),
            ("uncertain_seconds", 105.707_053_367, 105.707),
            ("longitude", 120.123_456_789, 120.123_456_789),
        ] {
            assert_eq!(rounded(name, number), expected, "{name}");
        }
    }

    #[test]
    fn a_payload_is_one_line_and_else_as_it_came() {
        for (text, expected) in [
            (r#"{"b": 1.50, "a":1e400}"#, r#"{"b": 1.50, "a":1e400}"#),
            ("{\n\"a\": [1,\r\n2]}", r#"{"a":[1,2]}"#),
            ("no JSON", r#""no JSON""#),
            ("1e400\n", r#""1e400\n""#),
        ] {
            assert_eq!(payload(text).get(), expected);
        }
    }

    #[test]
    fn a_device_without_a_place_has_no_geometry() {
        let values = [Value::Text("7".to_owned()), Value::Null, Value::Number(1.5)];
        let feature = feature(&Row::new(FIELDS, &values), &Labels::default());
        assert_eq!(feature["geometry"], Json::Null);
        assert_eq!(feature["properties"]["seconds"], 1.5);
    }
}
