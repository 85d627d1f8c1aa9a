//! A row of an answer, by the names of its columns, and as a line of CSV.

use jiff::Timestamp;

use super::question::{DeviceKey, Field, Value};
use crate::model::Severity;

/// A row.
#[derive(Debug, Clone, Copy)]
pub struct Row<'a> {
    fields: &'static [Field],
    values: &'a [Value],
}

impl<'a> Row<'a> {
    /// Of the columns that the question has.
    pub fn new(fields: &'static [Field], values: &'a [Value]) -> Row<'a> {
        Row { fields, values }
    }

    /// Its columns and values, in order.
    pub fn pairs(&self) -> impl Iterator<Item = (&'static str, &'a Value)> + use<'a> {
        let names = self.fields.iter().map(|field| field.name);
        names.zip(self.values)
    }

    /// The value of a column that the answer may not have.
    pub fn value(&self, name: &str) -> Option<&'a Value> {
        let mut pairs = self.pairs();
        pairs.find_map(|(found, value)| (found == name).then_some(value))
    }

    /// A text, empty where there is none.
    pub fn text(&self, name: &str) -> &'a str {
        self.value(name).map_or("", Value::text)
    }

    /// A text that is there and not empty.
    pub fn some_text(&self, name: &str) -> Option<&'a str> {
        Some(self.text(name)).filter(|text| !text.is_empty())
    }

    /// An instant.
    pub fn time(&self, name: &str) -> Option<Timestamp> {
        match self.value(name)? {
            Value::Time(time) => Some(*time),
            _ => None,
        }
    }

    /// A number with a fraction.
    pub fn number(&self, name: &str) -> Option<f64> {
        match self.value(name)? {
            Value::Number(number) => Some(*number),
            _ => None,
        }
    }

    /// A whole number.
    pub fn integer(&self, name: &str) -> Option<i64> {
        match self.value(name)? {
            Value::Integer(integer) => Some(*integer),
            _ => None,
        }
    }

    /// How many; 0 where nothing says it.
    pub fn count(&self, name: &str) -> u64 {
        let count = self.integer(name).unwrap_or(0);
        count.try_into().unwrap_or(0)
    }

    /// Whether a column is true.
    pub fn is(&self, name: &str) -> bool {
        matches!(self.value(name), Some(Value::Boolean(true)))
    }

    /// Its device.
    pub fn device(&self) -> DeviceKey {
        DeviceKey {
            stream: self.text("stream").to_owned(),
            client_id: self.text("client_id").to_owned(),
            device_id: self.text("device_id").to_owned(),
        }
    }

    /// Its device's serial number.
    pub fn serial(&self) -> Option<&'a str> {
        self.some_text("serial")
    }

    /// Its severity; one that is not known is `unknown`.
    pub fn severity(&self) -> Severity {
        let word = self.text("severity");
        let mut all = Severity::ALL.into_iter();
        let found = all.find(|severity| severity.as_str() == word);
        found.unwrap_or(Severity::Unknown)
    }

    /// Its fields as RFC 4180 writes them.
    pub fn csv(&self) -> Vec<String> {
        let fields = self.pairs().map(|(name, value)| match value {
            Value::Number(number) => rounded(name, *number).to_string(),
            value => cell(&written(value)),
        });
        fields.collect()
    }
}

/// A value as CSV and JSON write it. Times are UTC.
pub fn written(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::Text(text) => text.clone(),
        Value::Time(time) => format!("{time:.6}"),
        Value::Number(number) => number.to_string(),
        Value::Integer(integer) => integer.to_string(),
        Value::Boolean(boolean) => boolean.to_string(),
    }
}

/// What a division of two equal sums may lack, in hundredths of a percent. A millisecond of a year is
/// far more.
const ROUNDING: f64 = 1e-8;

/// A percent has two digits, and is never 100 where something is missing; seconds have three. A
/// place is as it was sent.
pub fn rounded(name: &str, number: f64) -> f64 {
    if name == "percent" {
        (number * 100.0 + ROUNDING).floor() / 100.0
    } else if name.ends_with("seconds") {
        (number * 1000.0).round() / 1000.0
    } else {
        number
    }
}

/// What a spreadsheet takes for the beginning of a formula; that of Chinese and Japanese has the wide
/// characters, too.
const FORMULA: [char; 11] = ['=', '+', '-', '@', '\t', '\r', '\n', '＝', '＋', '－', '＠'];

/// A text in CSV: what a spreadsheet would take for a formula has a `'` before it, as OWASP advises
/// against "CSV injection". A number is none.
pub fn cell(text: &str) -> String {
    match text.starts_with(FORMULA) && !is_number(text) {
        true => quoted(&format!("'{text}")),
        false => quoted(text),
    }
}

/// Whether a text is a number with or without a sign; infinity is none.
fn is_number(text: &str) -> bool {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    digits.starts_with(|first: char| first.is_ascii_digit()) && digits.parse::<f64>().is_ok()
}

/// RFC 4180, section 2: a field with a comma, a quote or a line end stands in quotes, and quotes are
/// doubled.
fn quoted(text: &str) -> String {
    match text.contains([',', '"', '\r', '\n']) {
        true => format!("\"{}\"", text.replace('"', "\"\"")),
        false => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_of_csv_is_a_formula_and_numbers_stay_numbers() {
        for (text, expected) in [
            ("=1+1", "'=1+1"),
            ("=HYPERLINK(\"x\",1)", "\"'=HYPERLINK(\"\"x\"\",1)\""),
            ("+cmd|' /C calc'!A0", "'+cmd|' /C calc'!A0"),
            ("-1+2", "'-1+2"),
            ("@SUM(A1)", "'@SUM(A1)"),
            ("\t=1", "'\t=1"),
            ("\r=1", "\"'\r=1\""),
            ("＝1", "'＝1"),
            ("-inf", "'-inf"),
            ("-", "'-"),
            ("-7", "-7"),
            ("+86.5e3", "+86.5e3"),
            ("'=1", "'=1"),
            ("1=1", "1=1"),
            ("故障", "故障"),
            ("", ""),
        ] {
            assert_eq!(cell(text), expected, "{text}");
        }
    }
}
