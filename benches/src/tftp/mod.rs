//! TFTP servers under the same load, in turns.

mod case;
mod content;
mod load;
mod packet;
mod programs;
mod report;
mod serve;
mod server;
mod transfer;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::Args;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use pxe_test_lab::{Namespace, POLL_INTERVAL, ensure, remove_stale};

use self::case::{Case, Kind as Measured};
use self::content::Content;
use self::load::{Load, run_on_each};
use self::programs::Programs;
use self::report::{Figures, Table};
pub(crate) use self::serve::{ServeOptions, serve};
use self::server::{Kind, Running};
use crate::network::loopback;
use crate::processor::{Placement, pin_this_thread};

const START_PATIENCE: Duration = Duration::from_secs(20);
const SETTLE_PATIENCE: Duration = Duration::from_secs(3);
/// A server that uses less of a processor does nothing that matters.
const IDLE_SHARE: f64 = 0.05;
/// Sockets and a few files: the greatest number of clients has as many, and servers have no fewer.
const FILES_MIN: u64 = 10_000;

/// What to measure.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Rounds; each starts every server once for each placement.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Milliseconds of each measurement.
    #[arg(long, default_value_t = 500)]
    milliseconds: u64,
    /// MiB of the large file.
    #[arg(long, default_value_t = 16)]
    file_mib: u64,
    /// Only these servers.
    #[arg(long, value_enum)]
    only: Vec<Kind>,
    /// With the least possible server, which shows what the machine allows.
    #[arg(long)]
    reference: bool,
    /// Clients take each block by itself, as firmware does (without `UDP_GRO`).
    #[arg(long)]
    plain: bool,
    /// Only cases whose name has this in it.
    #[arg(long, default_value = "")]
    matching: String,
    /// Only on these processors.
    #[arg(long, value_enum)]
    placement: Vec<Placement>,
    /// The server of this project; without it, it is built.
    #[arg(long)]
    server: Option<PathBuf>,
}

impl Options {
    fn placements(&self) -> impl Iterator<Item = Placement> {
        let is_wanted =
            |placement: &Placement| self.placement.is_empty() || self.placement.contains(placement);
        Placement::ALL.into_iter().filter(is_wanted)
    }

    fn cases(&self, placement: Placement) -> impl Iterator<Item = Case> {
        let is_wanted = |case: &Case| case.name.contains(&self.matching);
        Case::of(placement).filter(is_wanted).map(|case| Case {
            takes_segments: !self.plain,
            ..case
        })
    }

    fn kinds(&self) -> Vec<Kind> {
        let mut kinds = match self.only.is_empty() {
            true => Kind::ALL.to_vec(),
            false => self.only.clone(),
        };
        if self.reference {
            kinds.push(Kind::Reference);
        }
        kinds
    }
}

/// Runs all rounds and prints the figures.
///
/// # Errors
/// A text that names what failed; a wrong byte is a failure.
pub(crate) fn run(options: &Options) -> Result<(), String> {
    remove_stale(&std::env::temp_dir());
    allow_files()?;
    let kinds = options.kinds();
    ensure(&Kind::PACKAGES.map(str::to_owned))?;
    let programs = Programs::get(&kinds, options.server.as_deref())?;
    let made = tempfile::TempDir::with_prefix("pxe-bench-");
    let directory = made.map_err(|error| format!("temporary directory: {error}"))?;
    let root = directory.path().join("tree");
    let content = Content::new();
    content.write_tree(directory.path(), &root, options.file_mib)?;
    let mut table = Table::new(options, &kinds);
    let start = Instant::now();
    for round in 0..options.rounds {
        for (placement, rows) in options.placements().zip(&mut table.placements) {
            for turn in 0..kinds.len() {
                // Each round begins with another server.
                let number = (round + turn) % kinds.len();
                let Some(&kind) = kinds.get(number) else {
                    continue;
                };
                println!("round {}: {}, {}", round + 1, placement.name(), kind.name());
                let namespace = network()?;
                let running = Running::start(
                    kind,
                    &programs,
                    &namespace,
                    directory.path(),
                    &root,
                    placement,
                )?;
                let row = rows.iter_mut().filter_map(|row| row.get_mut(number));
                let row: Vec<&mut Figures> = row.collect();
                let measured =
                    namespace.enter(|| measure(options, &content, &running, kind, placement, row));
                measured
                    .and_then(|result| result)
                    .map_err(|error| running.failed(&error))?;
                running.stop()?;
            }
        }
    }
    table.print(options, &kinds, start.elapsed());
    Ok(())
}

/// Measures a server; figures are by case.
fn measure(
    options: &Options,
    content: &Content,
    running: &Running,
    kind: Kind,
    placement: Placement,
    row: Vec<&mut Figures>,
) -> Result<(), String> {
    let (_, cpus) = placement.cpus();
    pin_this_thread(cpus)?;
    let start = Instant::now();
    while !load::is_answered(content)? {
        if start.elapsed() > START_PATIENCE {
            return Err("no answer".to_owned());
        }
        std::thread::sleep(POLL_INTERVAL);
    }
    let time = Duration::from_millis(options.milliseconds);
    for (case, figures) in options.cases(placement).zip(row) {
        if kind == Kind::Reference && (case.clients > 1 || case.is_lossy) {
            continue;
        }
        let load = || Load::new(content, case, options.file_mib, 0);
        if case.kind == Measured::Steady {
            // Until all threads and buffers have found their places.
            load()?.run(case.until(time / 20))?;
        }
        settle(running)?;
        let before = running.cpu_seconds()?;
        let until = case.until(time);
        let outcome = match case.kind {
            Measured::Steady => load()?.run(until),
            Measured::Storm => run_on_each(content, case, options.file_mib, cpus, until),
        };
        let outcome = outcome.map_err(|error| format!("{}: {error}", case.name))?;
        figures.add(&outcome, running.cpu_seconds()? - before);
    }
    Ok(())
}

/// Waits until a server has done with clients that are gone, or for so long.
fn settle(running: &Running) -> Result<(), String> {
    let start = Instant::now();
    let mut before = running.cpu_seconds()?;
    while start.elapsed() < SETTLE_PATIENCE {
        std::thread::sleep(POLL_INTERVAL);
        let now = running.cpu_seconds()?;
        if now - before < POLL_INTERVAL.as_secs_f64() * IDLE_SHARE {
            return Ok(());
        }
        before = now;
    }
    Ok(())
}

/// A namespace whose loopback interface has the MTU of Ethernet: some servers make no block longer.
fn network() -> Result<Namespace, String> {
    let namespace = loopback()?;
    // Without an address that is not of loopback alone, tftpd-hpa takes the machine for one without
    // IPv4 (getaddrinfo(3), AI_ADDRCONFIG).
    namespace.ip(&["address", "add", "192.0.2.1/32", "dev", "lo"])?;
    Ok(namespace)
}

/// Allows this process, and the servers that it starts, as many files as the system lets them have.
fn allow_files() -> Result<(), String> {
    let at = |errno: nix::Error| format!("RLIMIT_NOFILE: {errno}");
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).map_err(at)?;
    if hard < FILES_MIN {
        return Err(format!("RLIMIT_NOFILE is {hard}; {FILES_MIN} are needed"));
    }
    setrlimit(Resource::RLIMIT_NOFILE, hard.min(2 * FILES_MIN), hard).map_err(at)
}
