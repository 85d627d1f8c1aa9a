//! The file of `[names]`: a CSV file that says what devices are called. A line that cannot be used
//! is named and left out; the others hold.

mod lines;

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::Path as FilePath;
use std::sync::Arc;

use lines::{Line, Lines};

use super::context::{Context, Folders, unread};
use super::environment::Environment;
use super::foreign;
use super::lookup::{tables_of, text_of, value};
use super::path::Path;
use super::plan::{NamesFile, PlannedNames};
use super::schema;
use crate::model::{Label, Named, Names};

/// Room for 200,000 devices with long names.
const FILE_BYTES_MAX: u64 = 32 << 20;
/// Lines that are read; the names are in memory, each some 200 bytes.
const LINES_MAX: usize = 200_000;
/// A name goes into tables, messages and topics.
const LABEL_CHARS_MAX: usize = 200;
/// Findings that are named one by one.
const FINDINGS_MAX: usize = 10;

/// Characters of a line that are shown.
const SHOWN_CHARS_MAX: usize = 100;

/// What stands in a cell that ends the line of heads wrongly, and what should.
const OTHER_COMMAS: [(char, &str); 3] = [
    (';', "semicolons"),
    ('\t', "tabs"),
    ('，', "full-width commas"),
];

/// Why a file gives no names.
#[derive(Debug, PartialEq, Eq)]
struct Unusable {
    message: String,
    help: String,
}

/// A line that is not used, or not as it stands.
#[derive(Debug, PartialEq, Eq)]
struct Finding {
    line: usize,
    /// Its text.
    source: String,
    message: String,
}

/// What a file gives.
#[derive(Debug, Default, PartialEq, Eq)]
struct Found {
    names: Names,
    /// What is wrong.
    findings: Vec<Finding>,
    /// How much more is wrong.
    more: usize,
}

/// The names that a configuration file speaks of, whatever else is wrong with it, under the
/// environment of this process; `None`: it has none.
///
/// # Errors
/// The file, or its file of names, cannot be read.
pub fn names(file: &FilePath) -> Result<Option<Names>, String> {
    names_in(file, &Environment::of_process())
}

/// The same under a given environment.
///
/// # Errors
/// As [`names`].
pub fn names_in(file: &FilePath, environment: &Environment) -> Result<Option<Names>, String> {
    let text = text_of(file).map_err(|problems| problems.to_string())?;
    let Some(names) = value(&tables_of(&text), environment, &["names", "file"]) else {
        return Ok(None);
    };
    let names = Folders::of(file, environment).config.join(names);
    let found =
        read(&names).map_err(|unusable| format!("{}; {}", unusable.message, unusable.help))?;
    Ok(Some(found.names))
}

impl Context<'_> {
    /// The names of the devices. A file that gives none is no error: statuses come without names,
    /// and a name is no reason to lose them.
    pub(super) fn names(&mut self, written: schema::Names) -> PlannedNames {
        let path = Path::from("names.file");
        let Some(file) = written.file else {
            return PlannedNames::Absent;
        };
        // A change that comes while it is read is one.
        let seen = NamesFile::at(self.folders.config.join(file));
        let file = seen.path();
        match read(file) {
            Err(Unusable { message, help }) => {
                let message = format!("no names are read: {message}");
                self.report.warning_with(&path, message, help);
                PlannedNames::Unread {
                    file: seen,
                    before: Arc::default(),
                }
            }
            Ok(Found {
                names,
                findings,
                more,
            }) => {
                for finding in findings {
                    let at = (finding.line, finding.source);
                    self.report.line_warning(&path, file, at, finding.message);
                }
                if more > 0 {
                    let lines = if more == 1 { "line" } else { "lines" };
                    let message = format!(
                        "{more} more {lines} of {}: they are left out too",
                        file.display()
                    );
                    self.report.warning(&path, message);
                }
                PlannedNames::Read {
                    file: seen,
                    names: Arc::new(names),
                }
            }
        }
    }
}

fn read(file: &FilePath) -> Result<Found, Unusable> {
    let shown = file.display();
    let failed = |error: std::io::Error| Unusable {
        message: match error.kind() {
            ErrorKind::NotFound => format!("there is no file {shown}"),
            _ => format!("cannot read {shown}: {error}"),
        },
        help: unread(&error).to_owned(),
    };
    let mut bytes = Vec::new();
    // A pipe would block the one who opens it.
    let found = std::fs::metadata(file).map_err(failed)?;
    if !found.is_file() && !found.is_dir() {
        return Err(Unusable {
            message: format!("{shown} is no file"),
            help: "name a file with a line for each device".to_owned(),
        });
    }
    let opened = File::open(file).map_err(failed)?;
    opened
        .take(FILE_BYTES_MAX + 1)
        .read_to_end(&mut bytes)
        .map_err(failed)?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(Unusable {
            message: format!("{shown} has more than {} MiB", FILE_BYTES_MAX >> 20),
            help: "name a file with a line for each device".to_owned(),
        });
    }
    let text = std::str::from_utf8(&bytes).map_err(|error| {
        let before = &bytes[..error.valid_up_to()];
        let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
        Unusable {
            message: match foreign::is_gbk(&bytes) {
                true => format!("{shown}:{line} is not UTF-8, but GB18030 (GBK)"),
                false => format!("{shown}:{line} is not UTF-8"),
            },
            help: "save it as UTF-8; in Excel the type is `CSV UTF-8`".to_owned(),
        }
    })?;
    parse(&shown.to_string(), text.trim_start_matches('\u{feff}'))
}

/// Which cell of a line is what.
struct Columns {
    device: Option<usize>,
    serial: Option<usize>,
    name: Option<usize>,
    group: Option<usize>,
}

impl Columns {
    fn of(file: &str, heads: &[String]) -> Result<Columns, Unusable> {
        let at = |name: &str| {
            heads
                .iter()
                .position(|head| head.trim().eq_ignore_ascii_case(name))
        };
        let columns = Columns {
            device: at("device"),
            serial: at("serial"),
            name: at("name"),
            group: at("group"),
        };
        let has_key = columns.device.is_some() || columns.serial.is_some();
        if has_key && (columns.name.is_some() || columns.group.is_some()) {
            return Ok(columns);
        }
        let line = heads.join(",");
        let other = OTHER_COMMAS
            .into_iter()
            .find(|(sign, _)| line.contains(*sign));
        let message = match other {
            Some((_, signs)) => format!("{file}:1 has {signs} between its cells: expected commas"),
            None => format!("{file}:1 names no columns: expected heads such as device,name,group"),
        };
        Err(Unusable {
            message,
            help:
                "`device` is client/device such as 1/7, `serial` the serial number; one of them, \
                   and `name` or `group`"
                    .to_owned(),
        })
    }
}

fn parse(file: &str, text: &str) -> Result<Found, Unusable> {
    let mut lines = Lines::of(text);
    let Line {
        cells: heads,
        is_closed,
        ..
    } = lines.next().unwrap_or_default();
    if !is_closed {
        return Err(Unusable {
            message: format!("{file}:1 has a quote that is not closed"),
            help: "close it, or leave it out".to_owned(),
        });
    }
    let columns = Columns::of(file, &heads)?;
    let mut found = Found::default();
    for (count, line) in lines.enumerate() {
        let number = line.number;
        if count == LINES_MAX {
            let message = format!("there are more than {LINES_MAX} lines: the rest is left out");
            found.findings.push(Finding::of(text, number, message));
            break;
        }
        let wrong = match line.is_closed {
            true => found.add(&columns, &line.cells),
            false => Some("the line is left out: a quote is not closed".to_owned()),
        };
        if let Some(message) = wrong {
            match found.findings.len() < FINDINGS_MAX {
                true => found.findings.push(Finding::of(text, number, message)),
                false => found.more += 1,
            }
        }
    }
    Ok(found)
}

impl Finding {
    fn of(text: &str, line: usize, message: String) -> Finding {
        let source = text.lines().nth(line - 1).unwrap_or_default();
        let shown = source.chars().take(SHOWN_CHARS_MAX);
        Finding {
            line,
            source: shown
                .map(|c| if c.is_control() { ' ' } else { c })
                .collect(),
            message,
        }
    }
}

impl Found {
    /// Adds a line; says what is wrong with it.
    fn add(&mut self, columns: &Columns, cells: &[String]) -> Option<String> {
        let cell = |column: Option<usize>| {
            let cell = cells.get(column?)?.trim();
            Some(cell).filter(|cell| !cell.is_empty())
        };
        if cells.iter().all(|cell| cell.trim().is_empty()) {
            return None;
        }
        let (name, group) = (cell(columns.name), cell(columns.group));
        let is_long = |text: &str| text.chars().count() > LABEL_CHARS_MAX;
        if name.into_iter().chain(group).any(is_long) {
            return Some(format!(
                "the line is left out: a name has at most {LABEL_CHARS_MAX} characters"
            ));
        }
        if name.is_none() && group.is_none() {
            return Some("the line is left out: it has neither name nor group".to_owned());
        }
        let label = Label {
            name: name.map(Arc::from),
            group: group.map(Arc::from),
        };
        let keys = (cell(columns.device), cell(columns.serial));
        let named: Vec<Named<'_>> = match keys {
            (None, None) => return Some("the line is left out: it names no device".to_owned()),
            (Some(device), _) if !device.contains('/') => {
                return Some(format!(
                    "the line is left out: `{device}` is no client/device such as 1/7; serial numbers have the head `serial`"
                ));
            }
            (Some(device), _) if device.ends_with('/') => {
                return Some(format!(
                    "the line is left out: `{device}` has no device behind the slash, as 1/7 has"
                ));
            }
            (device, serial) => {
                let device = device.map(Named::Device);
                device
                    .into_iter()
                    .chain(serial.map(Named::Serial))
                    .collect()
            }
        };
        let mut twice = None;
        for key in named {
            if !self.names.add(key, label.clone()) {
                let (Named::Device(key) | Named::Serial(key)) = key;
                twice = Some(format!(
                    "{key} is named for the second time: the first line counts"
                ));
            }
        }
        twice
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Found {
        parse("names.csv", text).unwrap()
    }

    fn name(found: &Found, client: &str, device: &str, serial: Option<&str>) -> String {
        let label = found
            .names
            .of(client, device, serial)
            .cloned()
            .unwrap_or_default();
        let text =
            |text: Option<Arc<str>>| text.map_or_else(|| "-".to_owned(), |text| text.to_string());
        format!("{} {}", text(label.name), text(label.group))
    }

    #[test]
    fn devices_are_named_by_ids_or_serial_numbers() {
        let found = found(
            "Serial,device,city,NAME,group\r\n,1/7,x,\"泵站, \"\"北\"\"\",江苏\r\nsn-1,,,二号,\r\n\r\n",
        );
        assert!(found.findings.is_empty());
        assert_eq!(name(&found, "1", "7", None), "泵站, \"北\" 江苏");
        assert_eq!(name(&found, "2", "1", Some("sn-1")), "二号 -");
        assert_eq!(name(&found, "2", "1", None), "- -");
    }

    #[test]
    fn a_line_that_cannot_be_used_is_named_and_left_out() {
        let long = "x".repeat(LABEL_CHARS_MAX + 1);
        let text = format!(
            "device,name,group\n1/1,\"a\nb\",\n7,seven,\n,nobody,\n1/2,,\n1/1,again,\n1/3,{long}\n1/4,four\n\
             2/,nothing,\n/7,without a client"
        );
        let found = found(&text);
        let expected = [
            (4, "`7` is no client/device"),
            (5, "names no device"),
            (6, "neither name nor group"),
            (7, "1/1 is named for the second time"),
            (8, "at most 200"),
            (10, "`2/` has no device behind the slash"),
        ];
        assert_eq!(found.findings.len(), expected.len(), "{:?}", found.findings);
        for (finding, (line, words)) in found.findings.iter().zip(expected) {
            assert_eq!(finding.line, line, "{finding:?}");
            assert!(finding.message.contains(words), "{finding:?}");
        }
        assert_eq!(found.findings[0].source, "7,seven,");
        assert_eq!(name(&found, "1", "1", None), "a\nb -");
        assert_eq!(name(&found, "1", "4", None), "four -");
        assert_eq!(name(&found, "", "7", None), "without a client -");
    }

    #[test]
    fn a_quote_that_is_not_closed_costs_its_own_line_only() {
        let found = found(
            "device,name\n1/1,\"a\nb\"\n1/2,\"pump\n1/3,three\n1/4,\"four\"\n1/5,\"five\n1/6",
        );
        let findings = found.findings.iter();
        let findings: Vec<_> = findings.map(|it| (it.line, it.source.as_str())).collect();
        assert_eq!(findings[0], (4, "1/2,\"pump"), "{findings:?}");
        assert!(found.findings[0].message.contains("a quote is not closed"));
        assert_eq!(findings[1], (7, "1/5,\"five"));
        assert_eq!(findings[2].0, 8, "what follows is read");
        let names = ["1", "2", "3", "4"].map(|device| name(&found, "1", device, None));
        assert_eq!(names, ["a\nb -", "- -", "three -", "four -"]);
        let heads = parse("names.csv", "device,\"name\n1/1,x\n").unwrap_err();
        assert!(
            heads.message.contains("names.csv:1 has a quote"),
            "{heads:?}"
        );
    }

    #[test]
    fn findings_and_lines_are_bounded() {
        let bad = found(&format!("device,name\n{}", "x,y\n".repeat(50)));
        assert_eq!((bad.findings.len(), bad.more), (FINDINGS_MAX, 40));
        let lines: String = (0..=LINES_MAX).map(|nth| format!("1/{nth},n\n")).collect();
        let many = found(&format!("device,name\n{lines}"));
        assert_eq!((many.names.len(), many.findings.len()), (LINES_MAX, 1));
    }

    #[test]
    fn a_file_that_is_no_such_table_says_what_it_is() {
        for (text, expected) in [
            ("", "names no columns"),
            ("1/7,泵站", "names no columns"),
            ("device;name\n1/7;x", "has semicolons"),
            ("device，name\n", "has full-width commas"),
            ("device,city", "names no columns"),
        ] {
            let error = parse("names.csv", text).unwrap_err();
            assert!(error.message.contains(expected), "{text}: {error:?}");
        }
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("names.csv");
        assert!(
            read(&file)
                .unwrap_err()
                .message
                .contains("there is no file")
        );
        std::fs::write(&file, b"device,name\n1/7,\xb1\xc3\xd5\xbe\n").unwrap();
        let error = read(&file).unwrap_err().message;
        assert!(
            error.contains("names.csv:2 is not UTF-8") && error.contains("GB18030"),
            "{error}"
        );
        std::fs::write(&file, "\u{feff}device,name\n1/7,x\n").unwrap();
        assert_eq!(name(&read(&file).unwrap(), "1", "7", None), "x -");
    }

    #[test]
    fn the_file_is_found_whatever_else_is_wrong() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("config.toml");
        std::fs::write(folder.path().join("n.csv"), "serial,name\ns,x\n").unwrap();
        let names = |text: &str| {
            std::fs::write(&file, text).unwrap();
            names_in(&file, &Environment::default())
        };
        assert_eq!(names("[sinc]\n").unwrap(), None);
        let some = names("[sinc]\nx = y\n[names]\nfile = \"n.csv\"\n").unwrap();
        assert!(some.is_some_and(|names| names.has_serials()));
        assert!(names("[names]\nfile = \"absent.csv\"\n").is_err());
    }
}
