//! What was found: a line for each check, printed as it comes, or all of them as JSON at the end.

use std::time::Duration;

use serde::Serialize;
use unicode_width::UnicodeWidthStr;

use crate::cli::print::{harmless, say};
use crate::cli::terminal::{columns, has_colours, has_unicode, wrapped};
use crate::secret::redact;

/// A narrower terminal gets lines of this width: in fewer columns nothing can be read.
const COLUMNS_MIN: usize = 20;

/// How it is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::cli) enum Form {
    Text,
    Json,
}

/// What came of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Outcome {
    Ok,
    /// It works, and something deserves a look.
    Warning,
    Failed,
    Skipped,
}

/// One check.
#[derive(Debug, Serialize)]
pub(super) struct Check {
    /// The heading that it stands under.
    part: String,
    step: String,
    outcome: Outcome,
    #[serde(skip_serializing_if = "Option::is_none")]
    took_ms: Option<u64>,
    #[serde(skip_serializing_if = "String::is_empty")]
    found: String,
    /// What to do, a line each.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    advice: Vec<String>,
}

impl Check {
    pub(super) fn new(step: &str, outcome: Outcome) -> Check {
        Check {
            part: String::new(),
            step: step.to_owned(),
            outcome,
            took_ms: None,
            found: String::new(),
            advice: Vec::new(),
        }
    }

    pub(super) fn took(self, took: Duration) -> Check {
        Check {
            took_ms: Some(took.as_millis().try_into().unwrap_or(u64::MAX)),
            ..self
        }
    }

    pub(super) fn found(self, found: impl Into<String>) -> Check {
        Check {
            found: shown(&found.into()),
            ..self
        }
    }

    /// What to do; an outcome that was fine deserves a look then.
    pub(super) fn advise(mut self, advice: impl Into<String>) -> Check {
        self.advice.push(shown(&advice.into()));
        if self.outcome == Outcome::Ok {
            self.outcome = Outcome::Warning;
        }
        self
    }
}

/// What a peer wrote neither moves the cursor nor shows a secret.
fn shown(text: &str) -> String {
    harmless(&redact(text)).replace('\n', " ")
}

/// All of it.
#[derive(Debug, Serialize)]
pub(in crate::cli) struct Report {
    #[serde(skip)]
    form: Form,
    #[serde(skip)]
    style: Style,
    #[serde(skip)]
    part: String,
    ok: bool,
    checks: Vec<Check>,
}

impl Report {
    pub(super) fn new(form: Form) -> Report {
        Report {
            form,
            style: Style::of_terminal(),
            part: String::new(),
            ok: true,
            checks: Vec::new(),
        }
    }

    /// Whether nothing has failed.
    pub(in crate::cli) fn ok(&self) -> bool {
        self.ok
    }

    /// What the next checks are about.
    pub(super) fn heading(&mut self, part: &str) {
        self.part = shown(part);
        if self.form == Form::Text {
            say!("{}", wrapped(&self.part, 2, self.style.columns).join("\n"));
        }
    }

    pub(super) fn add(&mut self, check: Check) {
        self.ok &= check.outcome != Outcome::Failed;
        if self.form == Form::Text {
            for line in self.style.lines(&check) {
                say!("{line}");
            }
        }
        self.checks.push(Check {
            part: self.part.clone(),
            ..check
        });
    }

    /// The last line.
    pub(super) fn end(&self) {
        if self.form == Form::Json {
            return;
        }
        let count = |outcome| {
            let counted = self.checks.iter().filter(|check| check.outcome == outcome);
            counted.count()
        };
        let line = match (count(Outcome::Failed), count(Outcome::Warning)) {
            (0, 0) => "all is well".to_owned(),
            (0, warnings) => format!("it works; warnings: {warnings}"),
            (failed, 0) => format!("failed: {failed}"),
            (failed, warnings) => format!("failed: {failed}; warnings: {warnings}"),
        };
        say!("\n{}", wrapped(&line, 2, self.style.columns).join("\n"));
    }
}

/// How checks are written.
#[derive(Debug, Clone, Copy)]
struct Style {
    columns: usize,
    has_colours: bool,
    is_utf8: bool,
}

/// Columns of a step's name, and of its time; where the terminal is narrower than
/// [`TABLE_COLUMNS`], nothing is aligned.
const STEP_COLUMNS: usize = 18;
const TIME_COLUMNS: usize = 9;
const TABLE_COLUMNS: usize = 60;

/// What stands below a step.
const INDENT: usize = 4;

impl Style {
    fn of_terminal() -> Style {
        Style {
            columns: columns().map_or(usize::MAX, |columns| columns.max(COLUMNS_MIN)),
            has_colours: has_colours(),
            is_utf8: has_unicode(),
        }
    }

    fn lines(self, check: &Check) -> Vec<String> {
        let took = match check.took_ms {
            Some(took) => format!("{took} ms"),
            None => String::new(),
        };
        let (mark, step, found) = (self.mark(check.outcome), &check.step, &check.found);
        let mut lines = if self.columns < TABLE_COLUMNS {
            let text = [step.as_str(), took.as_str(), found.as_str()].join(" ");
            indented(&wrapped(&text, INDENT, self.columns), &format!("  {mark} "))
        } else {
            let gap = " ".repeat(STEP_COLUMNS.saturating_sub(step.width()));
            let head = format!("  {mark} {step}{gap}{took:>TIME_COLUMNS$}  ");
            let indent = INDENT + STEP_COLUMNS.max(step.width()) + TIME_COLUMNS + 2;
            indented(&wrapped(found, indent, self.columns), &head)
        };
        for advice in &check.advice {
            let indent = INDENT + 3;
            let advice = wrapped(advice, indent, self.columns);
            lines.extend(indented(&advice, &format!("{}-> ", " ".repeat(INDENT))));
        }
        lines
    }

    fn mark(self, outcome: Outcome) -> String {
        let (mark, plain, colour) = match outcome {
            Outcome::Ok => ("✓", "+", 32),
            Outcome::Warning => ("!", "!", 33),
            Outcome::Failed => ("✗", "x", 31),
            Outcome::Skipped => ("-", "-", 2),
        };
        let mark = if self.is_utf8 { mark } else { plain };
        match self.has_colours {
            true => format!("\x1b[{colour}m{mark}\x1b[0m"),
            false => mark.to_owned(),
        }
    }
}

/// The lines, the first behind a head.
fn indented(lines: &[String], head: &str) -> Vec<String> {
    let line = |(index, line): (usize, &String)| match index {
        0 => (head.to_owned() + line).trim_end().to_owned(),
        _ => line.clone(),
    };
    lines.iter().enumerate().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn style(columns: usize) -> Style {
        Style {
            columns,
            has_colours: false,
            is_utf8: true,
        }
    }

    fn check() -> Check {
        Check::new("TLS", Outcome::Ok)
            .took(Duration::from_micros(12_800))
            .found("certificate until 2027-01-01 of 射阳县")
    }

    #[test]
    fn a_check_is_a_row_and_its_advice_stands_below() {
        let lines = style(80).lines(&check());
        let expected = "  ✓ TLS                   12 ms  certificate until 2027-01-01 of 射阳县";
        assert_eq!(lines, [expected]);
        let lines = style(60).lines(&check().advise("renew it"));
        assert!(lines[0].starts_with("  ! TLS "), "{lines:#?}");
        assert_eq!(lines.last().map(String::as_str), Some("    -> renew it"));
    }

    #[test]
    fn a_narrow_terminal_cuts_nothing_off_and_is_kept_to() {
        for columns in [20, 40, 59, 60, 80] {
            let check = check().advise("renew it before that day, or the link ends");
            let lines = style(columns).lines(&check);
            let wide = lines.iter().find(|line| line.width() > columns);
            assert!(wide.is_none(), "{columns}: {wide:?}");
            let text = lines.concat();
            assert!(
                text.contains("2027-01-01") && text.contains("射阳县"),
                "{text}"
            );
        }
    }

    #[test]
    fn a_failure_counts_and_a_warning_does_not() {
        let mut report = Report::new(Form::Json);
        report.add(check().advise("look"));
        report.add(Check::new("first message", Outcome::Skipped));
        assert!(report.ok());
        report.add(Check::new("TCP", Outcome::Failed).advise("start it"));
        assert!(!report.ok());
        let json = serde_json::to_value(&report).expect("JSON");
        let outcomes = json["checks"].as_array().expect("checks").iter();
        let outcomes = outcomes.map(|check| check["outcome"].clone());
        assert_eq!(
            outcomes.collect::<Vec<_>>(),
            ["warning", "skipped", "failed"]
        );
        assert_eq!(
            (&json["ok"], &json["checks"][0]["took_ms"]),
            (&false.into(), &12.into())
        );
    }

    #[test]
    fn what_a_peer_says_does_not_drive_the_terminal() {
        let check = Check::new("CONNECTED", Outcome::Ok).found("a\x1b[2J\nb");
        assert_eq!(check.found, "a\\u{1b}[2J b");
    }
}
