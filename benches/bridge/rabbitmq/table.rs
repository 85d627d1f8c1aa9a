//! The table of one scenario, in at most 100 columns: medians, ratios to the script, threads.

use std::collections::BTreeMap;

use super::contestant::SCRIPT;
use super::figures::{Figures, MEASURES, ThreadFigures};

const NAME_WIDTH: usize = 12;
const WIDTH: usize = 9;
/// A thread below this part of its process's CPU and switches is one of the others.
const THREAD_PART_MIN: f64 = 0.02;
/// As wide as the table.
const NOTE_WIDTH: usize = NAME_WIDTH + MEASURES.len() * (WIDTH + 1);

/// What came of one contestant.
pub(super) struct Outcome {
    pub(super) name: String,
    pub(super) runs: Vec<Figures>,
    /// Why runs are missing.
    pub(super) failures: Vec<String>,
}

/// Prints it.
pub(super) fn print(outcomes: &[Outcome]) {
    let medians: Vec<(&str, Figures)> = outcomes
        .iter()
        .filter_map(|outcome| Some((outcome.name.as_str(), Figures::medians(&outcome.runs)?)))
        .collect();
    print_head(&medians);
    for (name, figures) in &medians {
        print_figures(name, figures);
    }
    for outcome in outcomes
        .iter()
        .filter(|outcome| !outcome.failures.is_empty())
    {
        print_failures(outcome);
    }
    if let Some((_, script)) = medians.iter().find(|(name, _)| *name == SCRIPT)
        && medians.len() > 1
    {
        println!("  ratios to the script");
        for (name, figures) in medians.iter().filter(|(name, _)| *name != SCRIPT) {
            print_ratios(name, figures, script);
        }
    }
    println!(
        "  {:<30}{:>WIDTH$} {:>WIDTH$}",
        "threads", "CPU us", "switches"
    );
    for (name, figures) in &medians {
        print_threads(name, &figures.threads);
    }
}

fn print_head(medians: &[(&str, Figures)]) {
    let ticks_us = medians.iter().map(|(_, figures)| figures.tick_us);
    if let Some(tick_us) = ticks_us.max_by(f64::total_cmp) {
        println!("  the kernel counts CPU in ticks of 10 ms: here one makes {tick_us:.2} CPU us");
    }
    print!("  {:<NAME_WIDTH$}", "");
    for measure in &MEASURES {
        print!(" {:>WIDTH$}", measure.head);
    }
    println!();
}

fn print_figures(name: &str, figures: &Figures) {
    print!("  {name:<NAME_WIDTH$}");
    for (measure, value) in MEASURES.iter().zip(&figures.values) {
        match value {
            Some(value) => print!(" {value:>WIDTH$.*}", measure.decimals),
            None => print!(" {:>WIDTH$}", "-"),
        }
    }
    println!();
}

fn print_ratios(name: &str, figures: &Figures, script: &Figures) {
    print!("  {name:<NAME_WIDTH$}");
    for (value, script) in figures.values.iter().zip(&script.values) {
        match (value, script) {
            (Some(value), Some(script)) if *script > 0.0 => {
                print!(" {:>WIDTH$.2}", value / script);
            }
            _ => print!(" {:>WIDTH$}", "-"),
        }
    }
    println!();
}

/// One line for each sort of failure.
fn print_failures(outcome: &Outcome) {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for failure in &outcome.failures {
        *counts.entry(failure).or_default() += 1;
    }
    for (failure, count) in counts {
        let line = format!(
            "{count} of {} failed: {failure}",
            outcome.runs.len() + outcome.failures.len()
        );
        let line: String = line.chars().take(NOTE_WIDTH - NAME_WIDTH).collect();
        println!("  {:<NAME_WIDTH$}{line}", outcome.name);
    }
}

fn print_threads(contestant: &str, threads: &BTreeMap<String, ThreadFigures>) {
    let sum = |figure: fn(&ThreadFigures) -> f64| threads.values().map(figure).sum::<f64>();
    let (cpu_us, switches) = (sum(|thread| thread.cpu_us), sum(|thread| thread.switches));
    let mut named: Vec<(&String, &ThreadFigures)> = threads
        .iter()
        .filter(|(_, thread)| {
            thread.cpu_us > cpu_us * THREAD_PART_MIN || thread.switches > switches * THREAD_PART_MIN
        })
        .collect();
    named.sort_by(|(_, one), (_, other)| other.cpu_us.total_cmp(&one.cpu_us));
    let mut others = ThreadFigures { cpu_us, switches };
    for (name, thread) in named {
        print_thread(&format!("{contestant}: {name}"), *thread);
        // Sums of rounded numbers may end just below nothing.
        others.cpu_us = (others.cpu_us - thread.cpu_us).max(0.0);
        others.switches = (others.switches - thread.switches).max(0.0);
    }
    if others.cpu_us > 0.05 || others.switches > 0.005 {
        print_thread(&format!("{contestant}: others"), others);
    }
}

fn print_thread(name: &str, thread: ThreadFigures) {
    println!(
        "  {name:<30}{:>WIDTH$.1} {:>WIDTH$.2}",
        thread.cpu_us, thread.switches
    );
}
