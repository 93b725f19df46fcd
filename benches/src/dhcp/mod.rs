//! DHCP servers under the same load, in turns.

mod load;
mod message;
mod perfdhcp;
mod server;

use std::fs::File;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use nix::sched::{CloneFlags, setns};
use pxe_test_lab::{Namespace, ensure, remove_stale, unique_name};

use self::load::{Load, Outcome, Pace, Until};
use self::server::{INTERFACE, Kind, Pool, Running};
use crate::flush;
use crate::processor::pin_this_thread;
use crate::pxe_server;
use crate::statistics::{median, percentile};

const SERVER: Ipv4Addr = Ipv4Addr::new(10, 16, 0, 1);
const RELAY: Ipv4Addr = Ipv4Addr::new(10, 16, 0, 2);
/// A server with 100,000 leases reads them before it answers.
const START_PATIENCE: Duration = Duration::from_secs(120);
const PERFDHCP_RATES: [u32; 8] = [200, 500, 1000, 2000, 4000, 6000, 8000, 10_000];

/// What to measure.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Rounds; each starts every server once, with no leases.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Seconds of each measurement.
    #[arg(long, default_value_t = 5)]
    seconds: u32,
    /// Exchanges under way at once.
    #[arg(long, default_value_t = 100)]
    outstanding: usize,
    /// Clients that take turns. What is measured is not their first exchange.
    #[arg(long, default_value_t = 2000)]
    clients: u32,
    /// Exchanges per second where latency is measured.
    #[arg(long, default_value_t = 1000)]
    rate: u32,
    /// Active leases where memory and start-up time are measured; 0 leaves that out.
    #[arg(long, default_value_t = 100_000)]
    leases: u32,
    /// Also with Kea's perfdhcp.
    #[arg(long)]
    perfdhcp: bool,
    /// Where leases are kept: on a medium that is worth measuring.
    #[arg(long, default_value = "/var/tmp")]
    directory: PathBuf,
    /// The server of this project; without it, it is built.
    #[arg(long)]
    server: Option<PathBuf>,
}

#[derive(Debug, Default)]
struct Figures {
    per_second: Vec<f64>,
    cpu_per_exchange: Vec<f64>,
    load_busy: Vec<f64>,
    lost: u32,
    p50: Vec<f64>,
    p99: Vec<f64>,
    ack_p99: Vec<f64>,
    rate_lost: u32,
    perfdhcp: Vec<f64>,
}

/// Runs all rounds and prints the figures.
///
/// # Errors
/// A text that names what failed; a server that gives one address to two clients is a failure.
pub(crate) fn run(options: &Options) -> Result<(), String> {
    remove_stale(&std::env::temp_dir());
    ensure(&Kind::PACKAGES.map(str::to_owned))?;
    let program = match &options.server {
        Some(path) => path.clone(),
        None => pxe_server::build()?,
    };
    let (server_side, client_side) = network()?;
    let mut figures: Vec<Figures> = Kind::ALL.iter().map(|_| Figures::default()).collect();
    let mut flush_p99 = Vec::new();
    for round in 0..options.rounds {
        let times = flush::times(&options.directory, 1000)?;
        flush_p99.push(milliseconds(percentile(&times, 0.99)));
        for turn in 0..Kind::ALL.len() {
            // Each round begins with another server.
            let number = (round + turn) % Kind::ALL.len();
            let (Some(kind), Some(figures)) = (Kind::ALL.get(number), figures.get_mut(number))
            else {
                continue;
            };
            println!("round {}: {}", round + 1, kind.name());
            let directory = directory(options)?;
            let running =
                Running::start(*kind, &program, &server_side, directory.path(), Pool::Usual)?;
            let result = inside(&client_side, || measure(options, &running, figures));
            result.map_err(|error| running.failed(&error))?;
            if options.perfdhcp {
                let rates = &PERFDHCP_RATES;
                let clients = options.clients;
                let reached = perfdhcp::greatest_rate(&client_side, SERVER, rates, 3, clients)?;
                figures.perfdhcp.push(f64::from(reached));
            }
            running.stop()?;
        }
    }
    report(options, &figures, median(&flush_p99).unwrap_or_default());
    if options.leases > 0 {
        println!("\n{} active leases:", options.leases);
        for kind in [Kind::PxeServer, Kind::Kea] {
            let directory = directory(options)?;
            many_leases(
                options,
                kind,
                &program,
                &server_side,
                &client_side,
                directory.path(),
            )?;
        }
    }
    Ok(())
}

fn measure(options: &Options, running: &Running, figures: &mut Figures) -> Result<(), String> {
    let mut load = Load::new(RELAY, options.clients)?;
    load.wait_for_offer(SERVER, START_PATIENCE)?;
    // Gently: what is lost here takes a client its time.
    let first = Until::Completed(options.clients);
    load.run(SERVER, Pace::Outstanding(8), first)?;
    let until = Until::Elapsed(Duration::from_secs(options.seconds.into()));
    let paced = load.run(SERVER, Pace::PerSecond(options.rate), until)?;
    figures
        .p50
        .push(milliseconds(percentile(&paced.times, 0.5)));
    figures
        .p99
        .push(milliseconds(percentile(&paced.times, 0.99)));
    figures
        .ack_p99
        .push(milliseconds(percentile(&paced.ack_times, 0.99)));
    figures.rate_lost += paced.lost;
    let before = running.cpu_seconds().unwrap_or_default();
    let full: Outcome = load.run(SERVER, Pace::Outstanding(options.outstanding), until)?;
    let cpu = running.cpu_seconds().unwrap_or_default() - before;
    figures.per_second.push(full.per_second());
    figures
        .cpu_per_exchange
        .push(cpu * 1e6 / f64::from(full.completed.max(1)));
    figures.load_busy.push(full.busy);
    figures.lost += full.lost;
    Ok(())
}

fn many_leases(
    options: &Options,
    kind: Kind,
    program: &Path,
    server_side: &Namespace,
    client_side: &Namespace,
    directory: &Path,
) -> Result<(), String> {
    let running = Running::start(kind, program, server_side, directory, Pool::Large)?;
    let empty = inside(client_side, || {
        let mut load = Load::new(RELAY, options.leases)?;
        load.wait_for_offer(SERVER, START_PATIENCE)?;
        let empty = running.memory_bytes();
        let pace = Pace::Outstanding(options.outstanding);
        load.run(SERVER, pace, Until::Completed(options.leases))?;
        Ok(empty)
    });
    let empty = empty.map_err(|error| running.failed(&error))?;
    let full = running.memory_bytes();
    running.stop()?;
    let again = Running::start(kind, program, server_side, directory, Pool::Large)?;
    let started = inside(client_side, || {
        Load::new(RELAY, 1)?.wait_for_offer(SERVER, START_PATIENCE)
    });
    let started = started.map_err(|error| again.failed(&error))?;
    let loaded = again.memory_bytes();
    again.stop()?;
    let mebibytes = |bytes: Option<u64>| bytes.unwrap_or_default() as f64 / f64::from(1 << 20);
    println!(
        "{:<11} memory {:.0} MiB without leases, {:.0} MiB with, {:.0} MiB after a restart; \
         first OFFER {:.2} s after the start",
        kind.name(),
        mebibytes(empty),
        mebibytes(full),
        mebibytes(loaded),
        started.as_secs_f64()
    );
    Ok(())
}

fn report(options: &Options, figures: &[Figures], flush_p99: f64) {
    println!(
        "\nmedians of {} rounds of {} s; server on CPU 1, load on CPU 0; fdatasync of 4 KiB: p99 {flush_p99:.2} ms",
        options.rounds, options.seconds
    );
    println!(
        "{:<11} {:>12} {:>9} {:>6} {:>9} {:>9} {:>9} {:>9} {:>6} {:>9}  before an ACK",
        "server",
        "exchanges/s",
        "us CPU",
        "lost",
        "load CPU",
        "p50 ms",
        "p99 ms",
        "ACK p99",
        "lost",
        "perfdhcp"
    );
    let middle = |values: &[f64]| median(values).unwrap_or_default();
    for (kind, figures) in Kind::ALL.iter().zip(figures) {
        println!(
            "{:<11} {:>12.0} {:>9.1} {:>6} {:>8.0}% {:>9.2} {:>9.2} {:>9.2} {:>6} {:>9}  {}",
            kind.name(),
            middle(&figures.per_second),
            middle(&figures.cpu_per_exchange),
            figures.lost,
            middle(&figures.load_busy) * 100.0,
            middle(&figures.p50),
            middle(&figures.p99),
            middle(&figures.ack_p99),
            figures.rate_lost,
            median(&figures.perfdhcp).map_or("-".to_owned(), |rate| format!("{rate:.0}")),
            kind.durability(),
        );
    }
    let Some(own) = figures.first() else { return };
    for (kind, other) in Kind::ALL.iter().zip(figures).skip(1) {
        let ratios = own.per_second.iter().zip(&other.per_second);
        let ratios: Vec<f64> = ratios.map(|(own, other)| own / other).collect();
        println!(
            "pxe-server / {}: {:.2} exchanges/s",
            kind.name(),
            middle(&ratios)
        );
    }
    println!(
        "pxe-server p99 at {}/s: {:.2} ms; twice the p99 of fdatasync and 1 ms: {:.2} ms",
        options.rate,
        middle(&own.p99),
        2.0 * flush_p99 + 1.0
    );
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

fn directory(options: &Options) -> Result<tempfile::TempDir, String> {
    let made = tempfile::TempDir::with_prefix_in("pxe-bench-", &options.directory);
    made.map_err(|error| format!("{}: {error}", options.directory.display()))
}

/// A namespace for servers and one for the load, joined by a cable.
fn network() -> Result<(Namespace, Namespace), String> {
    let server_side = Namespace::new(&unique_name())?;
    let client_side = Namespace::new(&unique_name())?;
    server_side.connect(INTERFACE, &client_side, INTERFACE)?;
    let assign = |namespace: &Namespace, address: Ipv4Addr| {
        namespace.ip(&["addr", "add", &format!("{address}/12"), "dev", INTERFACE])
    };
    assign(&server_side, SERVER)?;
    assign(&client_side, RELAY)?;
    Ok((server_side, client_side))
}

/// Does the work on a thread of its own, inside a namespace and on CPU 0.
fn inside<T: Send>(
    namespace: &Namespace,
    work: impl FnOnce() -> Result<T, String> + Send,
) -> Result<T, String> {
    let path = format!("/run/netns/{}", namespace.name());
    std::thread::scope(|scope| {
        let worker = scope.spawn(|| {
            let file = File::open(&path).map_err(|error| format!("{path}: {error}"))?;
            setns(file, CloneFlags::CLONE_NEWNET).map_err(|error| format!("{path}: {error}"))?;
            pin_this_thread(&[0])?;
            work()
        });
        worker.join().map_err(|_| "the load panicked".to_owned())?
    })
}
