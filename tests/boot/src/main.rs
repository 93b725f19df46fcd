//! Boots real firmware in QEMU, in network namespaces, from the server under test. README.md says how to run it and how to add a boot.

#![forbid(unsafe_code)]

mod capture;
mod cell;
mod document;
mod fixtures;
mod images;
mod installer;
mod matrix;
mod menus;
mod network;
mod nfs;
mod pcap;
mod phases;
mod qemu;
mod report;
mod serial;
mod server;
mod signals;
mod terminal;
mod tree;
mod verdict;
mod wire;

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use clap::{Parser, ValueEnum};

use crate::cell::{Outcome, Setting};
use crate::images::Images;
use crate::matrix::{Cell, Matrix};

/// Boots real firmware in QEMU, in network namespaces, from the server under test.
#[derive(Debug, Parser)]
#[command(name = "pxe-boot-tests")]
struct Options {
    /// What to do.
    #[arg(value_enum, default_value = "run")]
    command: Command,
    /// Only the cells with this in their name; may be given several times.
    #[arg(long, value_name = "NAME")]
    only: Vec<String>,
    /// Lists the cells, and runs nothing.
    #[arg(long)]
    list: bool,
    /// Boots each cell so often.
    #[arg(long, value_name = "N", default_value = "1")]
    repeat: NonZeroUsize,
    /// How many machines run at once [default: one per processor].
    #[arg(long, value_name = "N")]
    jobs: Option<NonZeroUsize>,
    /// The server's program; built from examples/pxe-server where it is not given.
    #[arg(long, value_name = "PATH")]
    server: Option<PathBuf>,
    /// How other servers are configured and started, instead of matrix/server.toml. Only cells with a server in it are run.
    #[arg(long, value_name = "FILE")]
    definition: Option<PathBuf>,
    /// Another directory with a matrix.
    #[arg(long, value_name = "DIR")]
    matrix: Option<PathBuf>,
    /// Keeps the artifacts of boots that passed, too.
    #[arg(long)]
    keep: bool,
}

impl Options {
    /// The server's program.
    fn server(&self) -> Result<PathBuf, String> {
        match &self.server {
            Some(path) => path
                .canonicalize()
                .map_err(|error| format!("{}: {error}", path.display())),
            None if self.definition.is_some() => Ok(PathBuf::from("no --server was given")),
            None => server::build(),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Command {
    /// Runs the boots.
    Run,
    /// Walks through the menus of menus/ on a machine that runs menu.c32, and compares what it draws.
    Menus,
    /// Runs the guests that use the kernel's NFS client.
    Nfs,
    /// Writes what the boots kept by `run --keep` said over DHCP into pxe-dhcp/tests/captures.
    Fixtures,
}

fn main() -> ExitCode {
    match run(&Options::parse()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("pxe-boot-tests: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> Result<ExitCode, String> {
    let home = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut matrix = match &options.matrix {
        Some(directory) => Matrix::load(directory)?,
        None => Matrix::load(&home.join("matrix"))?,
    };
    if let Some(file) = &options.definition {
        matrix.load_servers(file)?;
    }
    let wanted = |cell: &&Cell| {
        options.only.is_empty() || options.only.iter().any(|name| cell.name.contains(name))
    };
    if options.command == Command::Menus {
        return menus::run(options, &matrix, home);
    }
    if options.command == Command::Nfs {
        return nfs::run(options, &matrix, home);
    }
    let cells: Vec<&Cell> = matrix.cells.iter().filter(wanted).collect();
    if cells.is_empty() {
        return Err(format!(
            "no cell has {} in its name",
            options.only.join(" or ")
        ));
    }
    if options.list {
        list(&matrix, &cells);
        return Ok(ExitCode::SUCCESS);
    }
    let artifacts = home.join("artifacts");
    if options.command == Command::Fixtures {
        let to = home.join("../../pxe-dhcp/tests/captures");
        fixtures::make(&artifacts, &cells, &to)?;
        return Ok(ExitCode::SUCCESS);
    }
    signals::listen()?;
    let tcpdump = "tcpdump".to_owned();
    let parts = cells.iter().flat_map(|cell| packages_of(&matrix, cell));
    pxe_test_lab::ensure(parts.chain([&tcpdump]))?;
    let work_parent = std::env::temp_dir();
    pxe_test_lab::remove_stale(&work_parent);
    let images = Images::of(home);
    images.ensure(&matrix, &cells)?;
    let server = options.server()?;
    let setting = Setting {
        matrix: &matrix,
        images: &images,
        server: &server,
        work_parent: &work_parent,
        artifacts: &artifacts,
        keep: options.keep,
    };
    let jobs = options
        .jobs
        .or_else(|| thread::available_parallelism().ok());
    let queue: Vec<&Cell> = (0..options.repeat.get())
        .flat_map(|_| cells.iter().copied())
        .collect();
    let outcomes = boot_all(&setting, &queue, jobs.map_or(1, NonZeroUsize::get));
    let failed = outcomes
        .iter()
        .filter(|outcome| outcome.failure.is_some())
        .count();
    println!("\n{}\n", report::table(&outcomes));
    let skipped = queue.len() - outcomes.len();
    if skipped > 0 {
        println!("{skipped} not run");
    }
    println!("{} passed, {failed} failed", outcomes.len() - failed);
    let success = failed == 0 && skipped == 0;
    Ok(if success {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Boots the cells of the queue, several at once, and returns how they went, in the order of the queue.
fn boot_all(setting: &Setting<'_>, queue: &[&Cell], jobs: usize) -> Vec<Outcome> {
    let next = AtomicUsize::new(0);
    let outcomes = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..jobs.min(queue.len()) {
            scope.spawn(|| {
                // Children are tied to the thread that starts them: it lives as long as they do.
                while !signals::interrupted() {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    let Some(cell) = queue.get(index) else { break };
                    println!("-- {} begins", cell.name);
                    let booted = std::panic::catch_unwind(|| cell::run(setting, cell))
                        .unwrap_or_else(|_| Outcome {
                            failure: Some("the harness panicked".to_owned()),
                            ..Outcome::of(cell)
                        });
                    println!("{}", report::block(&booted));
                    if let Ok(mut outcomes) = outcomes.lock() {
                        outcomes.push((index, booted));
                    }
                }
            });
        }
    });
    let mut outcomes = outcomes
        .into_inner()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    outcomes.sort_by_key(|(index, _)| *index);
    outcomes.into_iter().map(|(_, outcome)| outcome).collect()
}

fn packages_of<'a>(matrix: &'a Matrix, cell: &Cell) -> impl Iterator<Item = &'a String> {
    let firmware = matrix
        .firmware
        .get(&cell.firmware)
        .map(|firmware| &firmware.packages);
    let loader = matrix
        .loaders
        .get(&cell.loader)
        .map(|loader| &loader.packages);
    let system = matrix
        .systems
        .get(&cell.system)
        .map(|system| &system.packages);
    let server = matrix
        .servers
        .get(&cell.server)
        .map(|server| &server.packages);
    [firmware, loader, system, server]
        .into_iter()
        .flatten()
        .flatten()
}

fn list(matrix: &Matrix, cells: &[&Cell]) {
    for cell in cells {
        println!("{}", cell.name);
        let parts = [
            matrix.servers.get(&cell.server).map(|server| &server.about),
            matrix
                .firmware
                .get(&cell.firmware)
                .map(|firmware| &firmware.about),
            matrix.loaders.get(&cell.loader).map(|loader| &loader.about),
            matrix.systems.get(&cell.system).map(|system| &system.about),
        ];
        for about in parts.into_iter().flatten() {
            println!("    {about}");
        }
    }
}
