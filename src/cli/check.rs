//! `stomp-bridge check`: every problem of a configuration at once.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use rustix::fs::{Access, access};
use serde::Serialize;

use super::config_file::ConfigArgs;
use super::connection::verb_code;
use super::doctor::{self, Form, Looks, Report};
use super::error_words::in_words;
use super::exit::{BAD_CONFIGURATION, fail, refuse};
use super::log;
use super::print::{harmless, json, say, tell};
use super::target::Target;
use super::terminal::{columns, error_columns, hanging};
use crate::app::try_build;
use crate::config::{self, Level, Location, Plan, Problem, Problems};
use crate::sinks::Settings;
use crate::source::{guarantees, in_short};

/// The databases that this user can neither write nor make: each one's key, and the place that
/// forbids it.
fn unwritable(plan: &Plan) -> Vec<(String, PathBuf)> {
    let histories = plan.sinks.iter().filter_map(|(delivery, settings)| {
        let Settings::Sqlite(settings) = settings else {
            return None;
        };
        Some((format!("sinks.{}.path", delivery.name), &settings.path))
    });
    let journal = ("journal.path".to_owned(), &plan.journal.path);
    let files = std::iter::once(journal).chain(histories);
    files
        .filter_map(|(key, file)| Some((key, forbidden(file)?)))
        .collect()
}

/// The file, or the nearest folder above it, where this user may not write to it. SQLite makes files
/// beside its own.
fn forbidden(file: &Path) -> Option<PathBuf> {
    let folder = file.ancestors().skip(1).find(|at| at.exists())?;
    let places = [
        (folder, Access::WRITE_OK | Access::EXEC_OK),
        (file, Access::WRITE_OK),
    ];
    let mut places = places.into_iter().filter(|(at, _)| at.exists());
    let (place, _) = places.find(|(at, wanted)| access(*at, *wanted).is_err())?;
    Some(place.to_owned())
}

#[derive(Debug, Args)]
pub(super) struct CheckArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// Then try the server and the sinks, as `doctor` does.
    #[arg(long)]
    connect: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

pub(super) fn check(args: &CheckArgs, option: Option<&str>) -> ExitCode {
    let found = Found::of(&args.config.file);
    let form = match args.json {
        true => Form::Json,
        false => Form::Text,
    };
    if form == Form::Text {
        found.print();
    }
    let (true, Some(plan)) = (args.connect, &found.plan) else {
        return found.end(form, None);
    };
    // What a part would log of its trouble is the answer.
    let _log = match log::start(option, "off") {
        Ok(log) => log,
        Err(error) => return refuse(&error),
    };
    verb_code(async {
        let target = Target::of(&args.config.file);
        let report = doctor::connect(&target, plan, (&Looks::default(), &[]), form).await?;
        Ok(match report {
            Some(report) => found.end(form, Some(&report)),
            None => ExitCode::FAILURE,
        })
    })
}

/// As `check` without any option, for one who knows which server it is.
pub(super) fn validate(config: &Path) -> ExitCode {
    let found = Found::of(config);
    found.print_problems();
    found.end(Form::Text, None)
}

/// What a configuration comes to.
struct Found {
    config: PathBuf,
    /// `None`: it cannot be used.
    plan: Option<Plan>,
    /// Errors, or what deserves a look.
    problems: Problems,
}

/// One problem, for a program.
#[derive(Serialize)]
struct Line<'a> {
    level: &'static str,
    place: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    column: Option<usize>,
    key: &'a str,
    message: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    help: Option<&'a str>,
}

impl<'a> Line<'a> {
    fn of(problem: &'a Problem) -> Line<'a> {
        let (line, column) = match &problem.place {
            Location::File { line, column, .. } => (Some(*line), Some(*column)),
            Location::Variable(_) | Location::Whole(_) => (None, None),
        };
        Line {
            level: match problem.level {
                Level::Error => "error",
                Level::Warning => "warning",
            },
            place: problem.place.to_string(),
            line,
            column,
            key: &problem.path,
            message: &problem.message,
            help: problem.help.as_deref(),
        }
    }
}

/// Problems for a screen of this width. A caret points up from its line, and a place is to be copied:
/// lines of the file and places stand as they are.
fn fitted(problems: &str, columns: Option<usize>) -> String {
    let line = |line: &str| {
        let said = line.trim_start_matches([' ', '0', '1', '2', '3', '4', '5', '6', '7', '8', '9']);
        let lead = line.len() - said.len();
        match said.starts_with('|') || said.starts_with("--> ") {
            true => vec![line.to_owned()],
            false if said.starts_with("= ") => hanging(line, lead + 2, columns),
            false => hanging(line, 2, columns),
        }
    };
    let lines: Vec<String> = problems.lines().flat_map(line).collect();
    lines.join("\n")
}

impl Found {
    fn of(config: &Path) -> Found {
        let whole = |level, path: &str, message: String, help: Option<String>| Problem {
            level,
            place: Location::Whole(config.to_owned()),
            path: path.to_owned(),
            message,
            help,
        };
        let (plan, problems) = match config::load(config) {
            // Certificates and clients are made as `run` makes them.
            Ok(plan) => match try_build(&plan) {
                Ok(()) => {
                    let mut warnings = plan.warnings.clone();
                    warnings.extend(unwritable(&plan).into_iter().map(|(key, place)| {
                        let place = place.display();
                        let message = format!("this user may not write to {place}");
                        let help = "the daemon's user must be able to: run this as that user, give \
                                    it the folder, or name another path";
                        whole(Level::Warning, &key, message, Some(help.to_owned()))
                    }));
                    (Some(plan), Problems(warnings))
                }
                Err(error) => {
                    let error = whole(Level::Error, "", in_words(&error), None);
                    (None, Problems(vec![error]))
                }
            },
            Err(problems) => (None, problems),
        };
        Found {
            config: config.to_owned(),
            plan,
            problems,
        }
    }

    fn print(&self) {
        self.print_problems();
        let Some(plan) = &self.plan else {
            return;
        };
        // Which server it is, nobody knows before it has answered.
        for guarantee in guarantees(&plan.source.topics, plan.journal.when_full) {
            let servers = guarantee.servers.join(", ");
            let (topics, line) = (in_short(&guarantee.topics), guarantee.line);
            let line = format!("guarantee, if the server is {servers}: {topics}: {line}");
            let lines = hanging(&harmless(&line), 2, columns());
            lines.iter().for_each(|line| say!("{line}"));
        }
    }

    fn print_problems(&self) {
        let Some(plan) = &self.plan else {
            tell!("{}", fitted(&self.problems.to_string(), error_columns()));
            return;
        };
        for warning in &self.problems.0 {
            tell!("{}\n", fitted(&warning.to_string(), error_columns()));
        }
        let counted = |count: usize, what: &str| match count {
            1 => format!("1 {what}"),
            count => format!("{count} {what}s"),
        };
        let topics = counted(plan.source.topics.len(), "topic");
        let sinks = counted(plan.sinks.len(), "sink");
        let line = format!("{}: ok, {topics}, {sinks}", self.config.display());
        let lines = hanging(&line, 2, columns());
        lines.iter().for_each(|line| say!("{line}"));
    }

    /// Prints the JSON, and gives the exit code.
    fn end(&self, form: Form, connected: Option<&Report>) -> ExitCode {
        #[derive(Serialize)]
        struct Whole<'a> {
            ok: bool,
            problems: Vec<Line<'a>>,
            #[serde(skip_serializing_if = "Option::is_none")]
            topics: Option<usize>,
            #[serde(skip_serializing_if = "Option::is_none")]
            sinks: Option<usize>,
            #[serde(skip_serializing_if = "Option::is_none")]
            connect: Option<&'a Report>,
        }
        let is_connected = connected.is_none_or(Report::ok);
        let code = match (&self.plan, is_connected) {
            (None, _) => ExitCode::from(BAD_CONFIGURATION),
            (Some(_), true) => ExitCode::SUCCESS,
            (Some(_), false) => ExitCode::FAILURE,
        };
        if form == Form::Text {
            return code;
        }
        let whole = Whole {
            ok: self.plan.is_some() && is_connected,
            problems: self.problems.0.iter().map(Line::of).collect(),
            topics: self.plan.as_ref().map(|plan| plan.source.topics.len()),
            sinks: self.plan.as_ref().map(|plan| plan.sinks.len()),
            connect: connected,
        };
        match json(&whole) {
            Ok(()) => code,
            Err(error) => fail(&error),
        }
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn what_a_problem_says_keeps_to_the_terminal_and_what_it_shows_stands() {
        let shown = "7 | url = \"a value that is longer than the terminal is wide\"\n  \
                     |       ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^\n";
        let place = " --> /etc/stomp-bridge/somewhere/config.toml:7:3 (source.url)\n";
        let problem = format!(
            "error: expected a value that is shorter than this one\n{place}  |\n{shown}  = write \
             one that does not go beyond the right end of it"
        );
        let fitted = |columns| super::fitted(&problem, columns);
        assert_eq!(fitted(None), problem);
        let narrow = fitted(Some(40));
        assert!(narrow.contains(place) && narrow.contains(shown), "{narrow}");
        let words = |text: &str| text.split_whitespace().collect::<String>();
        assert_eq!(words(&narrow), words(&problem));
        let mut said = narrow.lines().filter(|line| !line.contains(['|', '>']));
        assert!(said.clone().count() >= 4, "{narrow}");
        assert!(said.all(|line| line.len() <= 40), "{narrow}");
    }
}
