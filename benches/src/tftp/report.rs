//! The figures of all rounds, and the tables that they make.

use std::time::Duration;

use super::Options;
use super::case::{Case, Kind as Measured};
use super::content::File;
use super::load::Outcome;
use super::server::Kind;
use crate::statistics::{median, percentile};

/// Of one server in one case, a value for each round.
#[derive(Debug, Default)]
pub(super) struct Figures {
    /// MB/s.
    bytes: Vec<f64>,
    /// Files per second.
    files: Vec<f64>,
    /// The server's CPU seconds per GiB.
    cpu_of_gib: Vec<f64>,
    /// The server's CPU seconds per 100,000 files.
    cpu_of_files: Vec<f64>,
    load_busy: Vec<f64>,
    windowsize: u16,
    silences: Vec<f64>,
    unfinished: Vec<f64>,
    /// Seconds until half of the clients, and almost all, had their file.
    p50: Vec<f64>,
    p99: Vec<f64>,
}

impl Figures {
    pub(super) fn add(&mut self, outcome: &Outcome, cpu_seconds: f64) {
        let seconds = outcome.elapsed.as_secs_f64();
        let (bytes, files) = (outcome.bytes as f64, outcome.files as f64);
        self.bytes.push(bytes / seconds / 1e6);
        self.files.push(files / seconds);
        self.cpu_of_gib
            .push(cpu_seconds / bytes * f64::from(1 << 30));
        self.cpu_of_files.push(cpu_seconds / files * 1e5);
        self.load_busy.push(outcome.busy);
        self.windowsize = outcome.windowsize;
        self.silences.push(outcome.silences as f64);
        self.unfinished.push(outcome.unfinished as f64);
        let time = |share| percentile(&outcome.completions, share).as_secs_f64();
        self.p50.push(time(0.5));
        self.p99.push(time(0.99));
    }

    fn rate(&self, case: &Case) -> &[f64] {
        match case.file {
            File::Small => &self.files,
            _ => &self.bytes,
        }
    }

    fn cpu(&self, case: &Case) -> &[f64] {
        match case.file {
            File::Small => &self.cpu_of_files,
            _ => &self.cpu_of_gib,
        }
    }

    fn cell(&self, case: &Case, own: Option<&Self>) -> String {
        if self.bytes.is_empty() {
            return String::new();
        }
        let ratio = match own {
            Some(own) => format!(" (**{:.2}**)", ratio(own.rate(case), self.rate(case))),
            None => String::new(),
        };
        let mut cell = format!(
            "{}{ratio}, {:.2} s, load {:.0} %",
            significant(middle(self.rate(case))),
            middle(self.cpu(case)),
            middle(&self.load_busy) * 100.0
        );
        if self.windowsize != case.windowsize && self.windowsize > 0 {
            cell += &format!(", window {}", self.windowsize);
        }
        if case.kind == Measured::Storm {
            let (p50, p99) = (middle(&self.p50), middle(&self.p99));
            cell += &format!(", p50 {p50:.2} s, p99 {p99:.2} s");
        }
        let silences = middle(&self.silences);
        if silences > 0.0 {
            cell += &format!(", {silences:.0} silences");
        }
        // The most of all rounds: that all clients have their files holds for each round, or not.
        let unfinished = self.unfinished.iter().copied().fold(0.0, f64::max);
        if case.kind == Measured::Storm && unfinished > 0.0 {
            cell += &format!(", {unfinished:.0} unfinished");
        }
        cell
    }
}

/// Figures by placement, case and server.
pub(super) struct Table {
    pub(super) placements: Vec<Vec<Vec<Figures>>>,
}

impl Table {
    pub(super) fn new(options: &Options, kinds: &[Kind]) -> Self {
        let row = || kinds.iter().map(|_| Figures::default()).collect();
        let rows = |placement| options.cases(placement).map(|_| row()).collect();
        Self {
            placements: options.placements().map(rows).collect(),
        }
    }

    pub(super) fn print(&self, options: &Options, kinds: &[Kind], elapsed: Duration) {
        println!(
            "\nmedians of {} rounds of {} ms, {} s in all; MB/s (ratio), the server's CPU s per \
             GiB, the load's share of a CPU; files of 1 KiB: files/s (ratio), CPU s per 100,000",
            options.rounds,
            options.milliseconds,
            elapsed.as_secs()
        );
        let names: Vec<&str> = kinds.iter().map(|kind| kind.name()).collect();
        for (placement, rows) in options.placements().zip(&self.placements) {
            let placement_name = placement.name();
            println!(
                "\n| {placement_name} | {} | against the best |",
                names.join(" | ")
            );
            println!("|---|{}---|", "---|".repeat(kinds.len()));
            for (case, row) in options.cases(placement).zip(rows) {
                let own = row.first();
                let cell = |(index, figures): (usize, &Figures)| {
                    figures.cell(&case, own.filter(|_| index > 0))
                };
                let cells: Vec<String> = row.iter().enumerate().map(cell).collect();
                let best = best(&case, kinds, row).unwrap_or_default();
                println!("| {} | {} | {best} |", case.name, cells.join(" | "));
            }
        }
    }
}

/// How the first server compares with the fastest of the peers.
fn best(case: &Case, kinds: &[Kind], row: &[Figures]) -> Option<String> {
    let own = row.first()?;
    let peers = kinds
        .iter()
        .zip(row)
        .skip(1)
        .filter(|(kind, _)| kind.is_peer());
    let rate = |figures: &Figures| middle(figures.rate(case));
    let (kind, best) = peers.max_by(|one, other| rate(one.1).total_cmp(&rate(other.1)))?;
    Some(format!(
        "{}: **{:.2}**, {:.2} of its CPU",
        kind.name(),
        ratio(own.rate(case), best.rate(case)),
        ratio(own.cpu(case), best.cpu(case)),
    ))
}

/// The median of the rounds' ratios.
fn ratio(own: &[f64], other: &[f64]) -> f64 {
    let ratios = own.iter().zip(other).map(|(own, other)| own / other);
    middle(&ratios.collect::<Vec<_>>())
}

fn middle(values: &[f64]) -> f64 {
    median(values).unwrap_or_default()
}

/// Three digits, but all of them before the point.
fn significant(value: f64) -> String {
    match value {
        100.0.. => format!("{value:.0}"),
        10.0.. => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}
