//! NFS servers under the same load, in turns.

mod client;
mod content;
mod load;
mod message;
mod mirror;
mod serve;
mod server;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::Args;
use pxe_test_lab::{POLL_INTERVAL, ensure, remove_stale};

use self::client::Check;
use self::load::{Case, Load, Operation, Outcome, Until};
pub(crate) use self::serve::{ServeOptions, serve};
use self::server::{Kind, Running};
use crate::network;
use crate::processor::{Placement, pin_this_thread};
use crate::statistics::median;

const START_PATIENCE: Duration = Duration::from_secs(20);
const CLIENTS_MAX: usize = 8;

/// What to measure.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Rounds; each starts every server once.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Milliseconds of each measurement.
    #[arg(long, default_value_t = 600)]
    milliseconds: u64,
    /// MiB of the large file, which is to fit into memory.
    #[arg(long, default_value_t = 1024)]
    file_mib: u64,
    /// Only these servers.
    #[arg(long, value_enum)]
    only: Vec<Kind>,
    /// Only cases whose name has this in it.
    #[arg(long, default_value = "")]
    matching: String,
    /// Only on these processors.
    #[arg(long, value_enum)]
    placement: Vec<Placement>,
    /// Where the files are: in a file system that the servers can serve.
    #[arg(long, default_value = "/var/tmp")]
    directory: PathBuf,
}

impl Options {
    fn placements(&self) -> impl Iterator<Item = Placement> {
        let is_wanted =
            |placement: &Placement| self.placement.is_empty() || self.placement.contains(placement);
        Placement::ALL.into_iter().filter(is_wanted)
    }
}

const fn case(operation: Operation, clients: usize, depth: usize) -> Case {
    Case {
        operation,
        clients,
        depth,
    }
}

const CASES: [(Case, &str); 8] = [
    (case(Operation::Read, 1, 1), "READ 1 MiB, 1 client"),
    (case(Operation::Read, 1, 8), "READ 1 MiB, 1 client, 8 deep"),
    (case(Operation::Read, 8, 1), "READ 1 MiB, 8 clients"),
    (case(Operation::Read, 8, 8), "READ 1 MiB, 8 clients, 8 deep"),
    (case(Operation::Getattr, 1, 1), "GETATTR, 1 client"),
    (case(Operation::Getattr, 8, 1), "GETATTR, 8 clients"),
    (case(Operation::Lookup, 1, 1), "LOOKUP, 1 client"),
    (case(Operation::Lookup, 8, 1), "LOOKUP, 8 clients"),
];

/// Of one server in one case, a value for each round.
#[derive(Debug, Default)]
struct Figures {
    /// GB/s, or thousands of operations per second.
    rate: Vec<f64>,
    /// The server's CPU seconds per GiB, or per 100,000 operations.
    cpu: Vec<f64>,
    load_busy: Vec<f64>,
}

/// Figures by placement, case and server.
type Table = Vec<Vec<Vec<Figures>>>;

/// Runs all rounds and prints the figures.
///
/// # Errors
/// A text that names what failed; a server that says something wrong is a failure.
pub(crate) fn run(options: &Options) -> Result<(), String> {
    remove_stale(&std::env::temp_dir());
    ensure(&Kind::PACKAGES.map(str::to_owned))?;
    let kinds: Vec<Kind> = match options.only.is_empty() {
        true => Kind::ALL.to_vec(),
        false => options.only.clone(),
    };
    let made = tempfile::TempDir::with_prefix_in("pxe-bench-", &options.directory);
    let directory = made.map_err(|error| format!("{}: {error}", options.directory.display()))?;
    let root = directory.path().join("tree");
    let at = |error: std::io::Error| format!("{}: {error}", root.display());
    std::fs::create_dir(&root).map_err(at)?;
    content::make(&root, options.file_mib << 20)?;
    let row = || kinds.iter().map(|_| Figures::default()).collect();
    let rows = || CASES.iter().map(|_| row()).collect();
    let mut table: Table = options.placements().map(|_| rows()).collect();
    let start = Instant::now();
    for round in 0..options.rounds {
        for turn in 0..kinds.len() {
            // Each round begins with another server.
            let number = (round + turn) % kinds.len();
            let Some(&kind) = kinds.get(number) else {
                continue;
            };
            println!("round {}: {}", round + 1, kind.name());
            let namespace = network::loopback()?;
            let running = Running::start(kind, &namespace, directory.path(), &root)?;
            let measured =
                namespace.enter(|| measure(options, &running, kind, number, &root, &mut table));
            measured
                .and_then(|result| result)
                .map_err(|error| running.failed(&error))?;
            running.stop()?;
        }
    }
    report(options, &kinds, &table, start.elapsed());
    Ok(())
}

fn measure(
    options: &Options,
    running: &Running,
    kind: Kind,
    number: usize,
    root: &Path,
    table: &mut Table,
) -> Result<(), String> {
    let mut load = mounted(kind, root)?;
    load.verify()?;
    let until = Until::Elapsed(Duration::from_millis(options.milliseconds));
    for (placement, rows) in options.placements().zip(table) {
        let (server_cpus, load_cpus) = placement.cpus();
        running.pin(server_cpus)?;
        pin_this_thread(load_cpus)?;
        for ((case, name), row) in CASES.iter().zip(rows) {
            if !name.contains(&options.matching) {
                continue;
            }
            // Until all threads and buffers have found their places.
            let few = Until::Elapsed(Duration::from_millis(options.milliseconds / 20));
            load.run(*case, Check::Spots, few)?;
            let before = running.cpu_seconds().unwrap_or_default();
            let outcome = load.run(*case, Check::Spots, until);
            let outcome = outcome.map_err(|error| format!("{name}: {error}"))?;
            let cpu = running.cpu_seconds().unwrap_or_default() - before;
            if let Some(figures) = row.get_mut(number) {
                figures.add(&outcome, cpu);
            }
        }
    }
    Ok(())
}

impl Figures {
    fn add(&mut self, outcome: &Outcome, cpu_seconds: f64) {
        let seconds = outcome.elapsed.as_secs_f64();
        let (rate, cpu) = match outcome.bytes {
            0 => {
                let operations = outcome.operations as f64;
                (operations / seconds / 1e3, cpu_seconds / operations * 1e5)
            }
            bytes => {
                let bytes = bytes as f64;
                (
                    bytes / seconds / 1e9,
                    cpu_seconds / bytes * f64::from(1 << 30),
                )
            }
        };
        self.rate.push(rate);
        self.cpu.push(cpu);
        self.load_busy.push(outcome.busy);
    }
}

/// The load, as soon as the server answers.
fn mounted(kind: Kind, root: &Path) -> Result<Load, String> {
    let start = Instant::now();
    loop {
        let load = Load::new(
            kind.mount(),
            kind.nfs(),
            &kind.export(root),
            root,
            CLIENTS_MAX,
        );
        match load {
            Err(_) if start.elapsed() < START_PATIENCE => std::thread::sleep(POLL_INTERVAL),
            other => return other,
        }
    }
}

fn report(options: &Options, kinds: &[Kind], table: &Table, elapsed: Duration) {
    println!(
        "\nmedians of {} rounds of {} ms, {} s in all; READ in GB/s and CPU s/GiB, others in 1000/s and CPU s/100,000",
        options.rounds,
        options.milliseconds,
        elapsed.as_secs()
    );
    let middle = |values: &[f64]| median(values).unwrap_or_default();
    for (placement, rows) in options.placements().zip(table) {
        let placement = placement.name();
        let names: Vec<&str> = kinds.iter().map(|kind| kind.name()).collect();
        println!("\n| {placement} | {} |", names.join(" | "));
        println!("|---|{}", "---|".repeat(kinds.len()));
        let rows = CASES.iter().zip(rows);
        for ((_, name), row) in rows.filter(|((_, name), _)| name.contains(&options.matching)) {
            let own = row.first();
            let cells: Vec<String> = row
                .iter()
                .enumerate()
                .map(|(index, figures)| {
                    let ratio = match own {
                        Some(own) if index > 0 => {
                            let pairs = own.rate.iter().zip(&figures.rate);
                            let ratios: Vec<f64> = pairs.map(|(own, other)| own / other).collect();
                            format!(" (**{:.2}**)", middle(&ratios))
                        }
                        _ => String::new(),
                    };
                    format!(
                        "{:.2}{ratio}, {:.2} s, load {:.0} %",
                        middle(&figures.rate),
                        middle(&figures.cpu),
                        middle(&figures.load_busy) * 100.0
                    )
                })
                .collect();
            println!("| {name} | {} |", cells.join(" | "));
        }
    }
}
