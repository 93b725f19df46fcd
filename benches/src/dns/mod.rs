//! DNS servers under the same load, in turns.

mod dnsperf;
mod handle;
mod load;
mod message;
mod names;
mod serve;
mod server;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::Args;
use pxe_test_lab::{Namespace, POLL_INTERVAL, ensure, remove_stale, unique_name};

pub(crate) use self::handle::run as handle;
use self::load::{Load, Until};
use self::message::Exchange;
use self::names::{Question, Zone};
pub(crate) use self::serve::{ServeOptions, serve};
use self::server::{ADDRESS, Kind};
use crate::processor::{Placement, pin_this_thread};
use crate::pxe_server;
use crate::running::Running;
use crate::statistics::median;

const START_PATIENCE: Duration = Duration::from_secs(20);
/// Questions that are drawn; the load begins anew after the last.
const DRAWN: usize = 100_000;
const SEED: u64 = 1;
/// Ports of clients, a hundred for each round: all servers have the same within one.
const FIRST_PORT: u16 = 20_000;
const PORTS_PER_ROUND: u16 = 100;

/// Who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Generator {
    /// This program, which checks each response.
    Own,
    /// DNS-OARC's.
    Dnsperf,
}

/// How many ask, and how much at once.
#[derive(Debug, Clone, Copy)]
struct Clients {
    count: usize,
    /// Queries that each has outstanding, always.
    outstanding: usize,
}

const ALONE: Clients = Clients {
    count: 1,
    outstanding: 1,
};
const MANY: Clients = Clients {
    count: CLIENTS_MAX as usize,
    outstanding: 16,
};
const CLIENTS_MAX: u16 = 8;

/// What is measured.
#[derive(Debug, Clone, Copy)]
struct Case {
    name: &'static str,
    generator: Generator,
    clients: Clients,
    zone: Zone,
}

const fn case(name: &'static str, generator: Generator, clients: Clients, zone: Zone) -> Case {
    Case {
        name,
        generator,
        clients,
        zone,
    }
}

/// dnsperf has no case with one query outstanding: its two threads then wait for each other, and
/// send some hundreds or thousands of queries a second to any server.
const CASES: [Case; 4] = [
    case("1 outstanding, A", Generator::Own, ALONE, Zone::Forward),
    case("8 clients x 16, A", Generator::Own, MANY, Zone::Forward),
    case(
        "8 clients x 16, A, dnsperf",
        Generator::Dnsperf,
        MANY,
        Zone::Forward,
    ),
    case("8 clients x 16, PTR", Generator::Own, MANY, Zone::Reverse),
];

/// What to measure.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Rounds; each starts every server once for each placement.
    #[arg(long, default_value_t = 5)]
    rounds: u16,
    /// Milliseconds of each measurement.
    #[arg(long, default_value_t = 1000)]
    milliseconds: u64,
    /// Names, each with an address that has that name.
    #[arg(long, default_value_t = 10_000)]
    names: u16,
    /// Only these servers.
    #[arg(long, value_enum)]
    only: Vec<Kind>,
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
    fn placements(&self) -> Vec<Placement> {
        chosen(&self.placement, &Placement::ALL)
    }

    fn cases(&self) -> impl Iterator<Item = Case> {
        let is_wanted = |case: &Case| case.name.contains(&self.matching);
        CASES.into_iter().filter(is_wanted)
    }
}

fn chosen<T: Copy>(only: &[T], all: &[T]) -> Vec<T> {
    match only.is_empty() {
        true => all.to_vec(),
        false => only.to_vec(),
    }
}

/// Of one server with one load in one case, a value for each round.
#[derive(Debug, Default)]
struct Figures {
    per_second: Vec<f64>,
    /// The server's CPU seconds per million responses.
    cpu: Vec<f64>,
    load_busy: Vec<f64>,
}

/// Figures by placement, case and server.
type Table = Vec<Vec<Vec<Figures>>>;

/// Questions of one zone.
struct Drawn {
    questions: Vec<Question>,
    /// The same as queries.
    exchanges: Vec<Exchange>,
    /// The same in a file, as dnsperf reads them.
    file: PathBuf,
}

impl Drawn {
    fn new(zone: Zone, names: u16, file: PathBuf) -> Result<Self, String> {
        let questions = names::drawn(zone, names, DRAWN, SEED);
        dnsperf::write_file(&file, &questions)?;
        Ok(Self {
            exchanges: questions.iter().map(Exchange::new).collect(),
            questions,
            file,
        })
    }
}

/// What all servers are asked.
struct Work<'a> {
    options: &'a Options,
    forward: Drawn,
    reverse: Drawn,
    /// A query for each name and each address.
    all: Vec<Exchange>,
}

/// Runs all rounds and prints the figures.
///
/// # Errors
/// A text that names what failed; a wrong answer, and a lost query, are failures.
pub(crate) fn run(options: &Options) -> Result<(), String> {
    remove_stale(&std::env::temp_dir());
    ensure(&Kind::PACKAGES.map(str::to_owned))?;
    let kinds = chosen(&options.only, &Kind::ALL);
    let program = match &options.server {
        Some(path) => path.clone(),
        None => pxe_server::build()?,
    };
    let made = tempfile::TempDir::with_prefix("pxe-bench-");
    let directory = made.map_err(|error| format!("temporary directory: {error}"))?;
    names::write_files(directory.path(), options.names)?;
    let drawn = |zone, file| Drawn::new(zone, options.names, directory.path().join(file));
    let work = Work {
        options,
        forward: drawn(Zone::Forward, "forward.questions")?,
        reverse: drawn(Zone::Reverse, "reverse.questions")?,
        all: names::all(options.names)
            .map(|one| Exchange::new(&one))
            .collect(),
    };
    let row = || kinds.iter().map(|_| Figures::default()).collect();
    let rows = || options.cases().map(|_| row()).collect();
    let mut table: Table = options.placements().iter().map(|_| rows()).collect();
    let mut memory: Vec<Vec<f64>> = kinds.iter().map(|_| Vec::new()).collect();
    let start = Instant::now();
    for round in 0..options.rounds {
        for (placement, rows) in options.placements().into_iter().zip(&mut table) {
            for turn in 0..kinds.len() {
                // Each round begins with another server.
                let number = (usize::from(round) + turn) % kinds.len();
                let (Some(&kind), Some(memory)) = (kinds.get(number), memory.get_mut(number))
                else {
                    continue;
                };
                println!("round {}: {}, {}", round + 1, placement.name(), kind.name());
                let namespace = Namespace::new(&unique_name())?;
                let running =
                    server::start(kind, &program, &namespace, directory.path(), placement)?;
                let row = rows.iter_mut().filter_map(|row| row.get_mut(number));
                let row = row.collect();
                let measured = namespace.enter(|| work.measure(&running, placement, round, row));
                measured
                    .and_then(|result| result)
                    .map_err(|error| running.failed(&error))?;
                memory.push(running.memory_bytes() as f64 / f64::from(1 << 20));
                running.stop()?;
            }
        }
    }
    report(options, &kinds, &table, &memory, start.elapsed());
    Ok(())
}

impl Work<'_> {
    /// Verifies a server, then measures it; figures are by case.
    fn measure(
        &self,
        running: &Running,
        placement: Placement,
        round: u16,
        row: Vec<&mut Figures>,
    ) -> Result<(), String> {
        let (_, cpus) = placement.cpus();
        pin_this_thread(cpus)?;
        let port = FIRST_PORT + round * PORTS_PER_ROUND;
        self.verify(port)?;
        running.pin(placement)?;
        let time = Duration::from_millis(self.options.milliseconds);
        for (case, figures) in self.options.cases().zip(row) {
            let drawn = self.drawn(case.zone);
            // Until all threads and buffers have found their places.
            let mut load = Load::new(ADDRESS, port, CLIENTS_MAX, &drawn.exchanges)?;
            load.run(case.clients, Until::Elapsed(time / 20))?;
            let before = running.cpu_seconds();
            let outcome = match case.generator {
                Generator::Own => load.run(case.clients, Until::Elapsed(time)),
                Generator::Dnsperf => {
                    drop(load);
                    dnsperf::run(
                        &drawn.file,
                        &drawn.questions,
                        case.clients,
                        time,
                        cpus,
                        port,
                    )
                }
            };
            let outcome = outcome.map_err(|error| format!("{}: {error}", case.name))?;
            let cpu = running.cpu_seconds() - before;
            let answered = outcome.answered as f64;
            figures
                .per_second
                .push(answered / outcome.elapsed.as_secs_f64());
            figures.cpu.push(cpu / answered * 1e6);
            figures.load_busy.push(outcome.busy);
        }
        Ok(())
    }

    fn drawn(&self, zone: Zone) -> &Drawn {
        match zone {
            Zone::Forward => &self.forward,
            Zone::Reverse => &self.reverse,
        }
    }

    /// Waits until the server answers, then asks for each name and each address once, and for some
    /// that there are not.
    fn verify(&self, port: u16) -> Result<(), String> {
        let start = Instant::now();
        let clients = Clients {
            count: 1,
            outstanding: 16,
        };
        let mut load = Load::new(ADDRESS, port, 1, &self.all)?;
        // Twice, for each of the zones: some servers load them side by side.
        while !(load.is_answered() && load.is_answered()) {
            if start.elapsed() > START_PATIENCE {
                return Err("no right answer".to_owned());
            }
            std::thread::sleep(POLL_INTERVAL);
        }
        load.run(clients, Until::Sent(self.all.len()))?;
        drop(load);
        for zone in [Zone::Forward, Zone::Reverse] {
            let mut load = Load::new(ADDRESS, port, 1, &self.drawn(zone).exchanges)?;
            load.run(clients, Until::Sent(1000))?;
        }
        Ok(())
    }
}

/// What came of one measurement.
#[derive(Debug, Clone, Copy)]
struct Outcome {
    answered: usize,
    elapsed: Duration,
    /// What the load itself used of a processor, from 0 to 1; above 1 where it has two threads.
    busy: f64,
}

fn report(
    options: &Options,
    kinds: &[Kind],
    table: &Table,
    memory: &[Vec<f64>],
    elapsed: Duration,
) {
    let middle = |values: &[f64]| median(values).unwrap_or_default();
    println!(
        "\n{} names; medians of {} rounds of {} ms, {} s in all; 1000 responses/s (ratio), \
         the server's CPU s per million responses, and the load's share of a CPU",
        options.names,
        options.rounds,
        options.milliseconds,
        elapsed.as_secs()
    );
    for (placement, rows) in options.placements().into_iter().zip(table) {
        let names: Vec<&str> = kinds.iter().map(|kind| kind.name()).collect();
        println!("\n| {} | {} |", placement.name(), names.join(" | "));
        println!("|---|{}", "---|".repeat(kinds.len()));
        for (case, row) in options.cases().zip(rows) {
            let own = row.first();
            let cell = |(index, figures): (usize, &Figures)| {
                let ratio = match own {
                    Some(own) if index > 0 => {
                        let pairs = own.per_second.iter().zip(&figures.per_second);
                        let ratios: Vec<f64> = pairs.map(|(own, other)| own / other).collect();
                        format!(" (**{:.2}**)", middle(&ratios))
                    }
                    _ => String::new(),
                };
                format!(
                    "{:.1}{ratio}, {:.1} s, load {:.0} %",
                    middle(&figures.per_second) / 1e3,
                    middle(&figures.cpu),
                    middle(&figures.load_busy) * 100.0
                )
            };
            let cells: Vec<String> = row.iter().enumerate().map(cell).collect();
            println!("| {} | {} |", case.name, cells.join(" | "));
        }
    }
    let cells = memory.iter().map(|values| format!("{:.1}", middle(values)));
    println!(
        "\n| MiB with these names | {} |",
        cells.collect::<Vec<_>>().join(" | ")
    );
}
