//! HTTP servers under the same load, in turns.

mod client;
mod content;
mod idle;
mod load;
mod response;
mod serve;
mod server;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::Args;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use pxe_test_lab::{POLL_INTERVAL, ensure, remove_stale};

use self::client::Check;
use self::content::Files;
use self::load::{Case, Load, Outcome, Until, What};
pub(crate) use self::serve::{ServeOptions, serve};
use self::server::{FILES_MAX, Kind, Programs, Roots};
use crate::network;
use crate::processor::{Placement, pin_this_thread};
use crate::published;
use crate::pxe_server;
use crate::running::Running;
use crate::statistics::median;

const STATIC_WEB_SERVER_VERSION: &str = "2.44.1";
const START_PATIENCE: Duration = Duration::from_secs(20);
/// The name that chooses what is measured of idle connections.
const IDLE: &str = "idle";

const fn case(name: &'static str, what: What, connections: usize) -> Case {
    Case {
        name,
        what,
        connections,
    }
}

const CASES: [Case; 10] = [
    case("1 KiB, 1 connection", What::Small, 1),
    case("1 KiB, 8 connections", What::Small, 8),
    case("1 KiB, new connections, 8 at once", What::Fresh, 8),
    case("ranges of 64 KiB, 8 connections", What::Range, 8),
    case("1 MiB, 1 connection", What::Medium, 1),
    case("1 MiB, 8 connections", What::Medium, 8),
    case("1 GiB, 1 connection", What::Large, 1),
    case("1 GiB, 8 connections", What::Large, 8),
    case("1 GiB in an image, 1 connection", What::LargeInImage, 1),
    case("1 GiB in an image, 8 connections", What::LargeInImage, 8),
];

/// What to measure.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Rounds; each starts every server once for each placement, and once for idle connections.
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
    /// Only cases whose name has this in it; of idle connections, that is "idle".
    #[arg(long, default_value = "")]
    matching: String,
    /// Only on these processors.
    #[arg(long, value_enum)]
    placement: Vec<Placement>,
    /// The server of this project; without it, it is built.
    #[arg(long)]
    server: Option<PathBuf>,
    /// static-web-server; without it, it is built.
    #[arg(long)]
    static_web_server: Option<PathBuf>,
    /// Where the files are.
    #[arg(long, default_value = "/var/tmp")]
    directory: PathBuf,
}

impl Options {
    fn placements(&self) -> Vec<Placement> {
        let is_wanted =
            |placement: &Placement| self.placement.is_empty() || self.placement.contains(placement);
        Placement::ALL.into_iter().filter(is_wanted).collect()
    }

    fn cases(&self) -> Vec<Case> {
        let is_wanted = |case: &Case| case.name.contains(&self.matching);
        CASES.into_iter().filter(is_wanted).collect()
    }

    fn kinds(&self) -> Vec<Kind> {
        match self.only.is_empty() {
            true => Kind::ALL.to_vec(),
            false => self.only.clone(),
        }
    }

    fn measures_idle(&self) -> bool {
        IDLE.contains(&self.matching)
    }

    fn programs(&self) -> Result<Programs, String> {
        let kinds = self.kinds();
        let pxe_server = match &self.server {
            Some(path) => path.clone(),
            None if !kinds.contains(&Kind::PxeServer) => PathBuf::new(),
            None => pxe_server::build()?,
        };
        let static_web_server = match &self.static_web_server {
            Some(path) => path.clone(),
            None if !kinds.contains(&Kind::StaticWebServer) => PathBuf::new(),
            None => {
                let name = Kind::StaticWebServer.name();
                published::build(name, name, STATIC_WEB_SERVER_VERSION)?
            }
        };
        Ok(Programs {
            pxe_server,
            static_web_server,
        })
    }
}

/// Of one server in one case, a value for each round.
#[derive(Debug, Default)]
struct Figures {
    /// GB/s, or thousands of responses per second.
    rate: Vec<f64>,
    /// The server's CPU seconds per GiB, or per 100,000 responses.
    cpu: Vec<f64>,
    load_busy: Vec<f64>,
}

/// Figures by placement, case and server.
type Table = Vec<Vec<Vec<Figures>>>;
/// Bytes for each idle connection, by server, count and round.
type IdleTable = Vec<Vec<Vec<f64>>>;

/// What all servers serve, and what is done with them.
struct Work<'a> {
    options: &'a Options,
    programs: Programs,
    directory: &'a Path,
    root: PathBuf,
    images: PathBuf,
    files: Files,
}

/// Runs all rounds and prints the figures.
///
/// # Errors
/// A text that names what failed; a wrong response, and a connection that is lost, are failures.
pub(crate) fn run(options: &Options) -> Result<(), String> {
    remove_stale(&std::env::temp_dir());
    ensure(&Kind::PACKAGES.map(str::to_owned))?;
    let programs = options.programs()?;
    let raised = getrlimit(Resource::RLIMIT_NOFILE)
        .and_then(|(_, hard)| setrlimit(Resource::RLIMIT_NOFILE, hard, hard).map(|()| hard));
    let files_max = raised.map_err(|errno| format!("open files: {errno}"))?;
    if files_max < FILES_MAX as u64 {
        return Err(format!(
            "{files_max} files can be open, {FILES_MAX} have to"
        ));
    }
    let made = tempfile::TempDir::with_prefix_in("pxe-bench-", &options.directory);
    let directory = made.map_err(|error| format!("{}: {error}", options.directory.display()))?;
    let [root, images] = ["tree", "isos"].map(|name| directory.path().join(name));
    for made in [&root, &images] {
        std::fs::create_dir(made).map_err(|error| format!("{}: {error}", made.display()))?;
    }
    let work = Work {
        options,
        programs,
        directory: directory.path(),
        files: Files::make(&root, &images, options.file_mib << 20)?,
        root,
        images,
    };
    let (kinds, cases) = (options.kinds(), options.cases());
    let row = || kinds.iter().map(|_| Figures::default()).collect();
    let rows = || cases.iter().map(|_| row()).collect();
    let mut table: Table = options.placements().iter().map(|_| rows()).collect();
    let counts = idle::COUNTS.map(|_| Vec::new()).to_vec();
    let mut idle: IdleTable = kinds.iter().map(|_| counts.clone()).collect();
    let start = Instant::now();
    for round in 0..options.rounds {
        for (placement, rows) in options.placements().into_iter().zip(&mut table) {
            for (number, kind) in turns(&kinds, round) {
                let row = rows.iter_mut().filter_map(|row| row.get_mut(number));
                let row: Vec<&mut Figures> = row.collect();
                if !cases.iter().any(|case| kind.takes_part_in(case.what)) {
                    continue;
                }
                println!("round {}: {}, {}", round + 1, placement.name(), kind.name());
                work.with(kind, placement, |running, load| {
                    work.measure(running, load, kind, placement, round, row)
                })?;
            }
        }
        for (number, kind) in turns(&kinds, round) {
            if kind == Kind::NginxCopying || !options.measures_idle() {
                continue;
            }
            println!("round {}: {IDLE}, {}", round + 1, kind.name());
            let each = work.with(kind, Placement::Free, |running, _| {
                pin_this_thread(Placement::Free.cpus().1)?;
                idle::measure(running, &work.files, &idle::COUNTS)
            })?;
            let columns = idle.get_mut(number).into_iter().flatten();
            columns.zip(each).for_each(|(all, one)| all.push(one));
        }
    }
    report(options, &table, start.elapsed());
    report_idle(options, &idle);
    Ok(())
}

/// The servers with their numbers; each round begins with another one.
fn turns(kinds: &[Kind], round: usize) -> impl Iterator<Item = (usize, Kind)> {
    let numbered = kinds.iter().copied().enumerate();
    numbered
        .cycle()
        .skip(round % kinds.len().max(1))
        .take(kinds.len())
}

impl Work<'_> {
    /// Starts a server in a network of its own, waits until it answers, does something, stops it.
    fn with<T: Send>(
        &self,
        kind: Kind,
        placement: Placement,
        measure: impl FnOnce(&Running, &mut Load<'_>) -> Result<T, String> + Send,
    ) -> Result<T, String> {
        let namespace = network::loopback()?;
        let running = server::start(
            kind,
            &self.programs,
            &namespace,
            self.directory,
            Roots {
                tree: &self.root,
                images: &self.images,
            },
            placement,
        )?;
        let measured = namespace.enter(|| {
            let mut load = Load::new(&self.files);
            let start = Instant::now();
            while !load.is_answered() {
                if start.elapsed() > START_PATIENCE {
                    return Err("no right answer".to_owned());
                }
                std::thread::sleep(POLL_INTERVAL);
            }
            measure(&running, &mut load)
        });
        let measured = measured.and_then(|result| result);
        let measured = measured.map_err(|error| running.failed(&error))?;
        running.stop()?;
        Ok(measured)
    }

    /// Verifies a server, then measures it; figures are by case.
    fn measure(
        &self,
        running: &Running,
        load: &mut Load<'_>,
        kind: Kind,
        placement: Placement,
        round: usize,
        row: Vec<&mut Figures>,
    ) -> Result<(), String> {
        let (_, cpus) = placement.cpus();
        pin_this_thread(cpus)?;
        running.pin(placement)?;
        let large = [What::Large, What::LargeInImage].into_iter();
        let large = large.filter(|what| round == 0 && kind.takes_part_in(*what));
        load.verify(&large.collect::<Vec<_>>())?;
        let time = Duration::from_millis(self.options.milliseconds);
        let mut cases: Vec<_> = self.options.cases().into_iter().zip(row).collect();
        if !round.is_multiple_of(2) {
            // Two that are compared take turns in being the first.
            cases.reverse();
        }
        for (case, figures) in cases {
            if !kind.takes_part_in(case.what) {
                continue;
            }
            let at = |error: String| format!("{}: {error}", case.name);
            // Until all threads and buffers have found their places.
            let few = Until::Elapsed(time / 20);
            load.run(case, Check::Spots, few).map_err(at)?;
            let before = running.cpu_seconds();
            let outcome = load.run(case, Check::Spots, Until::Elapsed(time));
            let outcome = outcome.map_err(at)?;
            figures.add(case, &outcome, running.cpu_seconds() - before);
        }
        Ok(())
    }
}

/// Whether it is bytes that count.
const fn is_bulk(what: What) -> bool {
    matches!(what, What::Medium | What::Large | What::LargeInImage)
}

impl Figures {
    fn add(&mut self, case: Case, outcome: &Outcome, cpu_seconds: f64) {
        let seconds = outcome.elapsed.as_secs_f64();
        let (amount, unit, cpu_unit) = match is_bulk(case.what) {
            true => (outcome.bytes as f64, 1e9, f64::from(1 << 30)),
            false => (outcome.responses as f64, 1e3, 1e5),
        };
        self.rate.push(amount / seconds / unit);
        self.cpu.push(cpu_seconds / amount * cpu_unit);
        self.load_busy.push(outcome.busy);
    }

    /// The rate in proportion to that of others, taken in the same rounds.
    fn ratio(&self, to: &Self) -> Option<f64> {
        let pairs = self.rate.iter().zip(&to.rate);
        median(&pairs.map(|(own, other)| own / other).collect::<Vec<f64>>())
    }

    /// What the table says, with a ratio.
    fn cell(&self, ratio: Option<f64>) -> String {
        let (Some(rate), Some(cpu), Some(busy)) = (
            median(&self.rate),
            median(&self.cpu),
            median(&self.load_busy),
        ) else {
            return "-".to_owned();
        };
        let ratio = ratio.map_or_else(String::new, |ratio| format!(" (**{ratio:.2}**)"));
        let busy = busy * 100.0;
        format!("{rate:.2}{ratio}, {cpu:.2} s, load {busy:.0} %")
    }
}

fn report(options: &Options, table: &Table, elapsed: Duration) {
    println!(
        "\nmedians of {} rounds of {} ms, {} s in all; files of 1 MiB and more in GB/s and CPU s/GiB, \
         others in 1000/s and CPU s/100,000",
        options.rounds,
        options.milliseconds,
        elapsed.as_secs()
    );
    for (placement, rows) in options.placements().into_iter().zip(table) {
        let names = options.kinds().into_iter().map(Kind::name);
        let names: Vec<&str> = names.collect();
        if rows.is_empty() {
            continue;
        }
        println!("\n| {} | {} |", placement.name(), names.join(" | "));
        println!("|---|{}", "---|".repeat(names.len()));
        let cases = options.cases();
        for (case, row) in cases.iter().zip(rows) {
            // The file in the image is compared with the one in the directory.
            let in_directory = cases.iter().zip(rows).find(|(other, _)| {
                case.what == What::LargeInImage
                    && other.what == What::Large
                    && other.connections == case.connections
            });
            let in_directory = in_directory.and_then(|(_, row)| row.first());
            let own = row.first();
            let cells = row.iter().enumerate().map(|(index, figures)| {
                figures.cell(match index {
                    0 => in_directory.and_then(|other| figures.ratio(other)),
                    _ => own.and_then(|own| own.ratio(figures)),
                })
            });
            println!(
                "| {} | {} |",
                case.name,
                cells.collect::<Vec<_>>().join(" | ")
            );
        }
    }
}

fn report_idle(options: &Options, idle: &IdleTable) {
    if !options.measures_idle() {
        return;
    }
    println!("\n| KiB for each idle connection | 1,000 | 10,000 |\n|---|---|---|");
    for (kind, columns) in options.kinds().into_iter().zip(idle) {
        let cells = columns.iter().filter_map(|values| median(values));
        let cells: Vec<String> = cells
            .map(|bytes| format!("{:.1}", bytes / 1024.0))
            .collect();
        if !cells.is_empty() {
            println!("| {} | {} |", kind.name(), cells.join(" | "));
        }
    }
}
