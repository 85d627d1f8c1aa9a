//! Metrics as Prometheus reads them: its text format, and OpenMetrics where that is asked for. The
//! samples are the same in both; counters are named otherwise in the lines about them.

use std::fmt::{Display, Write};

use axum::http::{HeaderMap, header};

use super::list::{Family, Kind};
use crate::latency::{BOUNDS_US, LatencyReading};

/// How the metrics are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::ops) enum Format {
    /// Prometheus' text format 0.0.4, for everybody who does not ask for another.
    Text,
    /// OpenMetrics 1.0.0.
    OpenMetrics,
}

impl Format {
    /// What `Accept` asks for: OpenMetrics, where it is accepted at least as gladly as text.
    pub(in crate::ops) fn wanted(headers: &HeaderMap) -> Format {
        let accepted = headers.get_all(header::ACCEPT);
        let accepted = accepted.iter().filter_map(|value| value.to_str().ok());
        let (mut open, mut text) = (0.0_f32, 0.0_f32);
        for range in accepted.flat_map(|value| value.split(',')) {
            let mut parts = range.split(';').map(str::trim);
            let media = parts.next().unwrap_or_default().to_ascii_lowercase();
            let parameters: Vec<(&str, &str)> =
                parts.filter_map(|part| part.split_once('=')).collect();
            let parameter = |name: &str| {
                let found = parameters.iter().find(|(of, _)| of.trim() == name);
                found.map(|(_, value)| value.trim().trim_matches('"'))
            };
            let quality: f32 = parameter("q").map_or(1.0, |q| q.parse().unwrap_or(0.0));
            let version = parameter("version");
            match &*media {
                "application/openmetrics-text"
                    if version.is_none_or(|version| ["1.0.0", "0.0.1"].contains(&version)) =>
                {
                    open = open.max(quality);
                }
                "text/plain" | "text/*" => text = text.max(quality),
                _ => {}
            }
        }
        match open > 0.0 && open >= text {
            true => Format::OpenMetrics,
            false => Format::Text,
        }
    }

    /// Its Content-Type.
    pub(in crate::ops) fn content_type(self) -> &'static str {
        match self {
            Format::Text => "text/plain; version=0.0.4; charset=utf-8",
            Format::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

/// What has been written so far.
#[derive(Debug)]
pub(super) struct Exposition {
    format: Format,
    text: String,
}

/// The samples of one metric.
pub(super) struct Samples<'a> {
    family: &'static Family,
    text: &'a mut String,
}

impl Exposition {
    pub(super) fn new(format: Format) -> Exposition {
        // Some topics and sinks have 20 KiB.
        let text = String::with_capacity(32 * 1024);
        Exposition { format, text }
    }

    /// Begins a metric, which may have no samples.
    pub(super) fn family(&mut self, family: &'static Family) -> Samples<'_> {
        let name = match self.format {
            Format::Text => family.name,
            Format::OpenMetrics => family.name.trim_end_matches("_total"),
        };
        let help = escaped(family.help, self.format == Format::OpenMetrics);
        let kind = family.kind.as_str();
        line(
            &mut self.text,
            format_args!("# HELP {name} {help}\n# TYPE {name} {kind}\n"),
        );
        let unit = ["seconds", "bytes"]
            .into_iter()
            .find(|unit| name.ends_with(unit));
        if let (Format::OpenMetrics, Some(unit)) = (self.format, unit) {
            line(&mut self.text, format_args!("# UNIT {name} {unit}\n"));
        }
        Samples {
            family,
            text: &mut self.text,
        }
    }

    /// All of it.
    pub(super) fn finish(mut self) -> String {
        if self.format == Format::OpenMetrics {
            self.text.push_str("# EOF\n");
        }
        self.text
    }
}

impl Samples<'_> {
    /// One value, with one value for each label.
    pub(super) fn sample(&mut self, labels: &[&str], value: impl Display) {
        self.named("", labels, None, value);
    }

    /// A histogram, with one value for each label.
    pub(super) fn histogram(&mut self, labels: &[&str], reading: &LatencyReading) {
        debug_assert_eq!(self.family.kind, Kind::Histogram);
        for (bound_us, count) in BOUNDS_US.iter().zip(reading.at_most) {
            self.named("_bucket", labels, Some(&bound(*bound_us)), count);
        }
        self.named("_bucket", labels, Some("+Inf"), reading.count);
        self.named("_sum", labels, None, reading.sum.as_secs_f64());
        self.named("_count", labels, None, reading.count);
    }

    fn named(&mut self, suffix: &str, labels: &[&str], bound: Option<&str>, value: impl Display) {
        debug_assert_eq!(labels.len(), self.family.labels.len());
        self.text.push_str(self.family.name);
        self.text.push_str(suffix);
        let pairs = self
            .family
            .labels
            .iter()
            .copied()
            .zip(labels.iter().copied());
        let mut separator = '{';
        for (label, value) in pairs.chain(bound.map(|bound| ("le", bound))) {
            let value = escaped(value, true);
            line(self.text, format_args!("{separator}{label}=\"{value}\""));
            separator = ',';
        }
        let end = if separator == ',' { "}" } else { "" };
        line(self.text, format_args!("{end} {value}\n"));
    }
}

/// A bucket's bound in seconds: `0.005`, and `1.0` as OpenMetrics wants it. Both formats have the
/// same text, so that it is the same series.
fn bound(bound_us: u64) -> String {
    let seconds = bound_us as f64 / 1e6;
    match bound_us % 1_000_000 {
        0 => format!("{seconds:.1}"),
        _ => seconds.to_string(),
    }
}

/// A help text, or with `quotes` a label's value.
fn escaped(text: &str, quotes: bool) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '\\' => escaped.push_str("\\\\"),
            '\n' => escaped.push_str("\\n"),
            '"' if quotes => escaped.push_str("\\\""),
            _ => escaped.push(character),
        }
    }
    escaped
}

fn line(text: &mut String, arguments: std::fmt::Arguments<'_>) {
    text.write_fmt(arguments).expect("a string takes any text");
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use axum::http::HeaderValue;

    use super::*;
    use crate::latency::Latency;

    static COUNTER: Family = Family {
        name: "a_bytes_total",
        kind: Kind::Counter,
        labels: &["topic"],
        help: "A \"text\"\\",
    };
    static HISTOGRAM: Family = Family {
        name: "b_seconds",
        kind: Kind::Histogram,
        labels: &[],
        help: "B",
    };

    fn written(format: Format) -> String {
        let mut exposition = Exposition::new(format);
        let mut samples = exposition.family(&COUNTER);
        samples.sample(&["a\"\\\n故障"], 7);
        let latency = Latency::default();
        latency.observe(Duration::from_micros(1_500_000), 2);
        exposition
            .family(&HISTOGRAM)
            .histogram(&[], &latency.read());
        exposition.finish()
    }

    #[test]
    fn counters_have_their_own_names_in_both_formats_and_any_label_is_escaped() {
        let text = written(Format::Text);
        let begins = "# HELP a_bytes_total A \"text\"\\\\\n# TYPE a_bytes_total counter\n\
             a_bytes_total{topic=\"a\\\"\\\\\\n故障\"} 7\n# HELP b_seconds B\n";
        assert!(text.starts_with(begins), "{text}");
        assert!(!text.contains("EOF") && !text.contains("UNIT"), "{text}");
        let open = written(Format::OpenMetrics);
        let begins = "# HELP a_bytes A \\\"text\\\"\\\\\n# TYPE a_bytes counter\n\
             # UNIT a_bytes bytes\na_bytes_total{topic=\"a\\\"\\\\\\n故障\"} 7\n# HELP b_seconds B\n";
        assert!(open.starts_with(begins), "{open}");
        assert!(open.ends_with("\n# EOF\n"), "{open}");
    }

    #[test]
    fn a_histogram_has_cumulative_buckets_a_sum_and_a_count() {
        let text = written(Format::Text);
        for line in [
            "b_seconds_bucket{le=\"0.001\"} 0",
            "b_seconds_bucket{le=\"1.0\"} 0",
            "b_seconds_bucket{le=\"2.5\"} 2",
            "b_seconds_bucket{le=\"3600.0\"} 2",
            "b_seconds_bucket{le=\"+Inf\"} 2",
            "b_seconds_sum 3",
            "b_seconds_count 2",
        ] {
            assert!(text.lines().any(|it| it == line), "{line} is not in {text}");
        }
    }

    #[test]
    fn openmetrics_is_for_those_who_prefer_it() {
        let check = |accept: &[&str], expected: Format| {
            let mut headers = HeaderMap::new();
            for value in accept {
                let value = HeaderValue::from_str(value).expect("a header");
                headers.append(header::ACCEPT, value);
            }
            assert_eq!(Format::wanted(&headers), expected, "{accept:?}");
        };
        check(&[], Format::Text);
        check(&["*/*"], Format::Text);
        check(&["text/html,*/*;q=0.8"], Format::Text);
        check(&["text/plain"], Format::Text);
        // Prometheus 2 and 3.
        check(
            &[
                "application/openmetrics-text;version=1.0.0,application/openmetrics-text;\
               version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
            ],
            Format::OpenMetrics,
        );
        check(
            &[
                "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,\
               text/plain;version=0.0.4;q=0.2,*/*;q=0.1",
            ],
            Format::OpenMetrics,
        );
        check(
            &["text/plain;q=0.5", "application/openmetrics-text; q=0.4"],
            Format::Text,
        );
        check(&["application/openmetrics-text;q=0"], Format::Text);
        check(
            &["application/openmetrics-text;version=9.0.0"],
            Format::Text,
        );
        check(&["application/openmetrics-text;q=much"], Format::Text);
        check(&["Application/OpenMetrics-Text"], Format::OpenMetrics);
    }
}
