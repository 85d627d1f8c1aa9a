//! From the configuration as it is written to each part's own settings: what the values mean, and
//! whether they fit together.

use std::collections::{BTreeMap, HashMap};
use std::path::Path as FilePath;
use std::sync::Arc;
use std::time::Duration;

use figment::value::{Dict, Value};

use super::context::{Context, Folders};
use super::document::Document;
use super::environment::Environment;
use super::path::Path;
use super::plan::{Plan, PlannedNames};
use super::problem::Problems;
use super::reading::Reading;
use super::report::Report;
use super::schema::{self, Root, STATES_DEFAULT, WhenFull};
use super::secret::Secrets;
use super::test_case::TestCase;
use super::{signin, sinks};
use crate::duration::InWords;
use crate::pipeline::{Decoder, State, States};
use crate::rotation::SecretFiles;
use crate::sinks::Settings;
use crate::{delivery, journal, ops, source};

/// The smallest journal: a few batches.
const JOURNAL_BYTES_MIN: u64 = 1 << 20;

/// The longest time in which a status waits for others: each sink gets it so much later.
const COMMIT_INTERVAL_MAX: Duration = Duration::from_secs(1);

/// The longest `ready_timeout`: what is to be started behind the daemon waits as long.
const READY_TIMEOUT_MAX: Duration = Duration::from_secs(3600);

/// What a dead letter needs beside its body: its reason and its row.
const DLQ_BYTES_MORE: u64 = 4096;

/// The plan of a tree of values.
pub(super) fn check(
    document: &Document,
    file: &FilePath,
    values: Dict,
    environment: &Environment,
) -> Result<Plan, Problems> {
    let (checked, report) = checked(document, file, values, environment);
    let sinks = checked.sinks.into_iter();
    let sinks = sinks.filter_map(|(delivery, settings)| Some((delivery, settings?)));
    let plan = checked.source.zip(checked.http).map(|(source, http)| Plan {
        source,
        decoders: Arc::new(checked.decoders),
        families: checked.families,
        names: checked.names,
        journal: checked.journal,
        commit_interval: checked.commit_interval,
        sinks: sinks.collect(),
        http,
        ready_timeout: checked.ready_timeout,
        watch: checked.watch,
        tests: checked.tests,
        secret_files: checked.secret_files,
        warnings: Vec::new(),
    });
    report
        .finish(plan)
        .map(|(plan, warnings)| Plan { warnings, ..plan })
}

/// How entries are read, by a tree of values.
pub(super) fn reading(
    document: &Document,
    file: &FilePath,
    values: Dict,
    environment: &Environment,
) -> Reading {
    let (checked, report) = checked(document, file, values, environment);
    Reading {
        decoders: Arc::new(checked.decoders),
        sinks: checked.sinks.into_iter().map(|(wants, _)| wants).collect(),
        problems: report.problems(),
    }
}

/// The parts of a plan, as far as they can be used.
struct Checked {
    source: Option<source::Settings>,
    decoders: HashMap<Arc<str>, Decoder>,
    families: BTreeMap<Arc<str>, Vec<Arc<str>>>,
    names: PlannedNames,
    journal: journal::Settings,
    commit_interval: Duration,
    sinks: Vec<(delivery::Settings, Option<Settings>)>,
    tests: Vec<TestCase>,
    http: Option<ops::Settings>,
    ready_timeout: Duration,
    watch: bool,
    secret_files: SecretFiles,
}

fn checked<'a>(
    document: &'a Document,
    file: &FilePath,
    values: Dict,
    environment: &Environment,
) -> (Checked, Report<'a>) {
    let mut report = Report::new(document);
    for (name, meant) in environment.misspelt() {
        report.idle_variable(name, &meant);
    }
    let root: Root = report.extract(&Path::default(), values);
    let folders = Folders::of(file, environment);
    let files = root
        .secrets
        .iter()
        .map(|(name, file)| (name.clone(), folders.config.join(&file.0)))
        .collect();
    let secrets = Secrets::new(environment.clone(), files);
    let signed_in = signin::extracts(root.source.signin.as_ref());
    let tables = root.topics.keys().cloned().collect();
    let has_client_id = root.source.headers.contains_key("client-id");
    let max_body = root.source.max_body.0;
    let mut check = Context {
        report,
        secrets,
        signed_in,
        has_client_id,
        tables,
        folders,
    };

    let states = Arc::new(states(root.states));
    let names = check.names(root.names);
    let mut topics = check.topics(root.topics, &states, names.names(), max_body);
    let subscriptions = std::mem::take(&mut topics.topics);
    let silences = std::mem::take(&mut topics.silences);
    let resyncs = std::mem::take(&mut topics.resyncs);
    let source = check.source(root.source, subscriptions, silences, resyncs);
    let commit_interval = check.commit_interval(root.journal.commit_interval.0);
    let journal = check.journal(root.journal, max_body);
    let sinks = root.sinks.unwrap_or_else(|| Value::from(Dict::new()));
    let sinks = sinks::check(&mut check, sinks, &topics, &states, &journal);
    let sink_names: Vec<&str> = sinks.iter().map(|(delivery, _)| &*delivery.name).collect();
    let tests = check.tests(root.tests, &topics, &sink_names);
    let http = check.http(root.http);
    let ready_timeout = check.ready_timeout(root.ready_timeout.0);
    let checked = Checked {
        source,
        decoders: topics.decoders,
        families: topics.families,
        names,
        journal,
        commit_interval,
        sinks,
        tests,
        http,
        ready_timeout,
        watch: root.watch.0,
        secret_files: check.secrets.read(),
    };
    (checked, check.report)
}

fn states(written: BTreeMap<String, schema::State>) -> States {
    let state = |(word, name, severity): (&str, &str, _)| {
        (
            word.to_owned(),
            State {
                name: name.to_owned(),
                severity,
            },
        )
    };
    let mut words: HashMap<String, State> = STATES_DEFAULT.map(state).into();
    for (word, written) in written {
        let word = word.trim().to_owned();
        let name = written.name.unwrap_or_else(|| word.clone());
        words.insert(
            word,
            State {
                name,
                severity: written.severity,
            },
        );
    }
    States { words }
}

impl Context<'_> {
    fn ready_timeout(&mut self, timeout: Duration) -> Duration {
        if timeout > READY_TIMEOUT_MAX {
            let (max, found) = (InWords(READY_TIMEOUT_MAX), InWords(timeout));
            let message = format!("expected \"0s\" (at once) to \"{max}\", found {found}");
            let help = "after this time the daemon goes on trying, and only systemd waits no more";
            let path = Path::from("ready_timeout");
            self.report.error_with(&path, message, help);
        }
        timeout
    }

    fn commit_interval(&mut self, interval: Duration) -> Duration {
        if interval > COMMIT_INTERVAL_MAX {
            let (max, found) = (InWords(COMMIT_INTERVAL_MAX), InWords(interval));
            let message = format!("expected \"0ms\" (at once) to \"{max}\", found {found}");
            self.report
                .error(&Path::from("journal.commit_interval"), message);
        }
        interval
    }

    fn journal(&mut self, written: schema::Journal, max_body: u64) -> journal::Settings {
        let bytes_max = written.max_bytes.0;
        if bytes_max < JOURNAL_BYTES_MIN {
            let message = format!("expected at least \"1MiB\", found {bytes_max} bytes");
            let help = "the log keeps what a sink has yet to get: \"1GiB\" is the default";
            let path = Path::from("journal.max_bytes");
            self.report.error_with(&path, message, help);
        }
        let when_full = match written.when_full {
            WhenFull::Pause => journal::WhenFull::Pause,
            WhenFull::DropOldest => journal::WhenFull::DropOldest,
        };
        let dlq_when_full = match written.dlq_when_full {
            WhenFull::Pause => journal::DlqWhenFull::Pause,
            WhenFull::DropOldest => journal::DlqWhenFull::DropOldest,
        };
        let dlq_bytes_max = written.dlq_max_bytes.0;
        if dlq_bytes_max < max_body.saturating_add(DLQ_BYTES_MORE) {
            self.report.error(
                &Path::from("journal.dlq_max_bytes"),
                "expected at least 4KiB more than source.max_body: the largest event has to fit",
            );
        }
        let devices_max = written.devices_max.0;
        if devices_max == 0 {
            self.report
                .error(&Path::from("journal.devices_max"), "expected at least 1");
        }
        let path = self.state_file(&written.path);
        self.database(&Path::from("journal.path"), &path);
        journal::Settings {
            path,
            bytes_max,
            when_full,
            devices_max: devices_max.into(),
            dlq_bytes_max,
            dlq_keep: written.dlq_keep.0,
            dlq_when_full,
            keep: written.keep.0,
        }
    }
}
