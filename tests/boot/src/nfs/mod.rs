//! Guests that use the NFS client of Debian's kernel: what they read, boot from and write while the server dies and comes back.

mod calls;
mod common;
mod cpio;
pub(crate) mod debian;
mod exercisers;
mod guest;
mod initramfs;
mod read_restart;
mod root;
mod trace;
mod write;

use std::fs;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use pxe_test_lab::{Namespace, POLL_INTERVAL, unique_name};

use crate::Options;
use crate::capture::Capture;
use crate::cell::WorkDirectory;
use crate::matrix::{Matrix, ServerDefinition, Variables, fill};
use crate::network::{self, ADDRESS, BRIDGE};
use crate::nfs::calls::Call;
use crate::nfs::debian::Debian;
use crate::nfs::guest::{Guest, Image};
use crate::report;
use crate::serial;
use crate::server::{self, Server};
use crate::signals;
use crate::tree;

/// The address of guests that ask nobody for one.
const MACHINE: &str = "10.77.0.30";

/// What guests call the tutorial's directory.
const EXPORT: &str = "/srv/tftp/os/ubuntu/1804";

/// After which a guest has failed. It ends a hang, and is no measure.
const TIME_LIMIT: Duration = Duration::from_secs(900);

/// How long a guest that is at work may take for its next call.
const CALL_PATIENCE: Duration = Duration::from_secs(60);

/// After which all that was sent has been captured.
const SETTLED: Duration = Duration::from_secs(2);

/// What all guests need of the host.
const PACKAGES: [&str; 3] = ["qemu-system-x86", "strace", "tcpdump"];

/// One guest, and what it is to show.
struct Cell {
    name: &'static str,
    about: &'static str,
    /// The server of the matrix.
    server: &'static str,
    run: fn(&mut Run<'_>) -> Result<(), String>,
}

const CELLS: [Cell; 4] = [
    Cell {
        name: "nfs-read-restart",
        about: "a file of 64 MiB and a tree of 10,000 files are read while the server is killed twice",
        server: "nfs",
        run: read_restart::run,
    },
    Cell {
        name: "nfs-root",
        about: "a Debian boots from its root, which klibc's nfsmount mounts, while the server is killed",
        server: "nfs",
        run: root::run,
    },
    Cell {
        name: "nfs-common",
        about: "a Debian with nfs-common mounts the tutorial's directory, and asks what can be asked",
        server: "nfs",
        run: common::run,
    },
    Cell {
        name: "nfs-write",
        about: "what a reply says is on disk was flushed, and fsx and pjdfstest find no fault",
        server: "nfs-writable",
        run: write::run,
    },
];

/// What a cell has at hand.
struct Run<'a> {
    debian: &'a Debian,
    definition: &'a ServerDefinition,
    variables: Variables,
    /// The package's directory, with the guests' scripts in `nfs/`.
    home: &'a Path,
    work: &'a Path,
    /// The tutorial's directory, which the server exports, as it is here.
    export: PathBuf,
    namespace: Namespace,
    // Dropped before the namespace.
    guest: Option<Guest>,
    server: Option<Server>,
    capture: Option<Capture>,
    /// What the harness did and found, and when.
    notes: Vec<String>,
    /// The same with all that the guest reported.
    course: Vec<String>,
    started: Instant,
}

/// Runs the cells, several at once, and tells how they went.
pub(crate) fn run(options: &Options, matrix: &Matrix, home: &Path) -> Result<ExitCode, String> {
    let wanted = |cell: &&Cell| {
        options.only.is_empty() || options.only.iter().any(|name| cell.name.contains(name))
    };
    let cells: Vec<&Cell> = CELLS.iter().filter(wanted).collect();
    if cells.is_empty() {
        return Err(format!(
            "no cell has {} in its name",
            options.only.join(" or ")
        ));
    }
    if options.list {
        for cell in cells {
            println!("{}\n    {}", cell.name, cell.about);
        }
        return Ok(ExitCode::SUCCESS);
    }
    signals::listen()?;
    let packages = PACKAGES.iter().chain(&debian::PACKAGES);
    let packages: Vec<String> = packages.map(|name| (*name).to_owned()).collect();
    let servers = cells
        .iter()
        .filter_map(|cell| matrix.servers.get(cell.server));
    pxe_test_lab::ensure(
        packages
            .iter()
            .chain(servers.flat_map(|server| &server.packages)),
    )?;
    let work_parent = std::env::temp_dir();
    pxe_test_lab::remove_stale(&work_parent);
    let program = options.server()?;
    let debian = Debian::ensure()?;
    let queue: Vec<&Cell> = (0..options.repeat.get())
        .flat_map(|_| cells.iter().copied())
        .collect();
    let jobs = options
        .jobs
        .or_else(|| thread::available_parallelism().ok());
    let jobs = jobs.map_or(1, NonZeroUsize::get).min(queue.len());
    let next = AtomicUsize::new(0);
    let failed = Mutex::new(0_usize);
    let begun = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..jobs {
            scope.spawn(|| {
                // Children are tied to the thread that starts them: it lives as long as they do.
                while !signals::interrupted() {
                    let Some(cell) = queue.get(next.fetch_add(1, Ordering::Relaxed)) else {
                        break;
                    };
                    begun.fetch_add(1, Ordering::Relaxed);
                    println!("-- {} begins", cell.name);
                    let ran = std::panic::catch_unwind(|| {
                        one(cell, options, matrix, home, &work_parent, &program, &debian)
                    });
                    let result = ran.unwrap_or_else(|_| Err("the harness panicked".to_owned()));
                    if let Err(error) = result {
                        println!("== {}: FAILED\n  cause: {error}", cell.name);
                        *failed
                            .lock()
                            .unwrap_or_else(std::sync::PoisonError::into_inner) += 1;
                    }
                }
            });
        }
    });
    let failed = failed
        .into_inner()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    let begun = begun.into_inner();
    if begun < queue.len() {
        println!("{} not run", queue.len() - begun);
    }
    println!("{} passed, {failed} failed", begun - failed);
    let success = failed == 0 && begun == queue.len();
    Ok(if success {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Runs one cell in a namespace of its own.
fn one(
    cell: &Cell,
    options: &Options,
    matrix: &Matrix,
    home: &Path,
    work_parent: &Path,
    program: &Path,
    debian: &Debian,
) -> Result<(), String> {
    let definition = matrix
        .servers
        .get(cell.server)
        .ok_or_else(|| format!("the matrix has no server {:?}", cell.server))?;
    let name = unique_name();
    let work = WorkDirectory(work_parent.join(&name));
    tree::make_directory(&work.0)?;
    let tree = work.0.join("tree");
    for directory in ["", "os", "os/ubuntu", "os/ubuntu/1804"] {
        tree::make_directory(&tree.join(directory))?;
    }
    let text = |path: &Path| path.display().to_string();
    let variables = Variables::from([
        ("address".to_owned(), ADDRESS.to_string()),
        ("machine".to_owned(), MACHINE.to_owned()),
        ("interface".to_owned(), BRIDGE.to_owned()),
        ("server".to_owned(), text(program)),
        ("work".to_owned(), text(&work.0)),
        ("tree".to_owned(), text(&tree)),
        ("export".to_owned(), EXPORT.to_owned()),
        ("debian".to_owned(), text(&debian.root)),
    ]);
    let mut run = Run {
        debian,
        definition,
        variables,
        home,
        work: &work.0,
        export: tree.join("os/ubuntu/1804"),
        namespace: network::make(&name)?,
        guest: None,
        server: None,
        capture: None,
        notes: Vec::new(),
        course: Vec::new(),
        started: Instant::now(),
    };
    let result = (cell.run)(&mut run);
    let mut told = format!(
        "== {}: {} after {:.1} s",
        cell.name,
        if result.is_ok() { "passed" } else { "FAILED" },
        run.started.elapsed().as_secs_f64()
    );
    let mut section = |title: &str, lines: &[String]| {
        told.push_str(&format!("\n  {title}:"));
        for line in lines {
            told.push_str(&format!("\n    {line}"));
        }
    };
    let all = result.is_err() || options.keep;
    section("course", if all { &run.course } else { &run.notes });
    if let Err(error) = &result {
        section("cause", std::slice::from_ref(error));
        if let Some(guest) = &mut run.guest {
            section("last lines on the console", &guest.last_lines(25));
        }
        section(
            "last lines of the server",
            &server::log_ends(definition, &work.0),
        );
    }
    run.guest = None;
    run.server = None;
    run.capture = None;
    if result.is_err() || options.keep {
        tree::write(&work.0.join("report.txt"), format!("{told}\n").as_bytes())?;
        let kept = report::keep(&home.join("artifacts"), cell.name, &work.0)?;
        told.push_str(&format!("\n  artifacts: {}", kept.display()));
    }
    println!("{told}");
    result.map_err(|_| "see above".to_owned())
}

impl Run<'_> {
    /// Notes what was done or found.
    fn note(&mut self, text: impl Into<String>) {
        let line = self.timed(&text.into());
        self.notes.push(line.clone());
        self.course.push(line);
    }

    fn timed(&self, text: &str) -> String {
        format!("{:6.1} s  {text}", self.started.elapsed().as_secs_f64())
    }

    fn fill(&self, text: &str) -> Result<String, String> {
        fill(text, &self.variables)
    }

    /// A text of the package's directory `nfs`, filled in.
    fn script(&self, name: &str) -> Result<String, String> {
        let path = self.home.join("nfs").join(name);
        let text =
            fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        self.fill(&text)
            .map_err(|error| format!("{}: {error}", path.display()))
    }

    /// Starts capture, server and guest.
    fn start(&mut self, image: &Image) -> Result<(), String> {
        self.capture = Some(Capture::start(&self.namespace, self.work)?);
        self.start_server()?;
        self.guest = Some(Guest::start(&self.namespace, image, self.work, TIME_LIMIT)?);
        Ok(())
    }

    fn start_server(&mut self) -> Result<(), String> {
        let server = Server::start(&self.namespace, self.definition, &self.variables, self.work)?;
        self.server = Some(server);
        Ok(())
    }

    /// Kills the server in the midst of a call and starts it again. What the guest reported meanwhile is not waited for.
    ///
    /// The server is stopped first, until a call waits in its socket: else it is chance whether one is in work when it dies.
    fn restart_server(&mut self) -> Result<Outage, String> {
        self.server.as_mut().ok_or("no server runs")?.freeze()?;
        let stopped = serial::now();
        let deadline = Instant::now() + CALL_PATIENCE;
        loop {
            // A guest that waits for what it called just before calls no more. Such a reply may still be on its way into the capture.
            let since = match serial::now().saturating_sub(stopped) {
                age if age > SETTLED => stopped.saturating_sub(SETTLED),
                _ => stopped,
            };
            let waits = |call: &Call| {
                call.replied.is_none() && call.sent.first().is_some_and(|at| *at > since)
            };
            if self.calls()?.iter().any(waits) {
                break;
            }
            if Instant::now() > deadline {
                return Err("the guest calls a server no more that does not answer".to_owned());
            }
            thread::sleep(POLL_INTERVAL);
        }
        // Dropped, a process is killed.
        self.server = None;
        let from = serial::now();
        self.note("the server is killed");
        self.start_server()?;
        self.note("the server is back");
        Ok(Outage { from })
    }

    /// Waits for the guest's next report.
    fn next(&mut self) -> Result<String, String> {
        let (guest, server) = (self.guest.as_mut(), self.server.as_mut());
        let line = guest.zip(server).ok_or("nothing runs")?;
        let line = line.0.next(line.1)?;
        let timed = self.timed(&line);
        self.course.push(timed);
        Ok(line)
    }

    /// Waits until the guest reports that, and nothing else before.
    fn expect(&mut self, wanted: &str) -> Result<(), String> {
        let line = self.next()?;
        if line == wanted {
            return Ok(());
        }
        Err(format!(
            "the guest reports {line:?} where {wanted:?} should come"
        ))
    }

    /// Waits for a report that begins with this word, and returns the rest.
    fn value(&mut self, word: &str) -> Result<String, String> {
        let line = self.next()?;
        match line.split_once(' ') {
            Some((first, rest)) if first == word => Ok(rest.to_owned()),
            _ => Err(format!(
                "the guest reports {line:?} where {word:?} should come"
            )),
        }
    }

    /// Ends all, the server by SIGTERM, and reads what was called.
    fn finish(&mut self) -> Result<Vec<Call>, String> {
        if let Some(guest) = self.guest.take() {
            guest.switch_off();
        }
        if let Some(server) = self.server.take() {
            server.finish()?;
        }
        let capture = self.capture.take().ok_or("nothing was captured")?;
        capture.finish()?;
        self.calls()
    }

    /// The calls that were captured so far.
    fn calls(&self) -> Result<Vec<Call>, String> {
        let file = self.work.join("capture.pcap");
        let bytes = fs::read(&file).map_err(|error| format!("{}: {error}", file.display()))?;
        calls::read(&bytes).map_err(|error| format!("{}: {error}", file.display()))
    }
}

/// What a command line says on its standard output.
fn sh(directory: &Path, line: &str) -> Result<String, String> {
    let mut command = Command::new("sh");
    command.args(["-c", line]).current_dir(directory);
    let output = command
        .output()
        .map_err(|error| format!("cannot run {line}: {error}"))?;
    if !output.status.success() {
        return Err(format!(
            "{line}: {}",
            String::from_utf8_lossy(&output.stderr)
        ));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// When the server was gone, since the Unix epoch.
#[derive(Debug, Clone, Copy)]
struct Outage {
    from: Duration,
}

impl Outage {
    /// The calls that the outage interrupted: sent before the server was gone, sent again after, and then answered.
    fn interrupted(&self, calls: &[Call]) -> usize {
        let is_interrupted = |call: &&Call| {
            let replied = call.replied.as_ref().map(|replied| replied.at);
            call.sent.iter().any(|at| *at < self.from)
                && call.sent.iter().any(|at| *at > self.from)
                && replied.is_some_and(|at| at > self.from)
        };
        calls.iter().filter(is_interrupted).count()
    }
}
