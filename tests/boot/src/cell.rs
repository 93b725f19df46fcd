//! Runs one cell of the matrix: a network, a server, a machine, and the verdict.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::mpsc::RecvTimeoutError;
use std::time::{Duration, Instant};

use pxe_test_lab::{POLL_INTERVAL, unique_name};

use crate::capture::Capture;
use crate::images::Images;
use crate::matrix::{
    Cell, Firmware, Loader, Matrix, Press, ServerDefinition, Sign, System, Variables,
};
use crate::network::{self, ADDRESS, BRIDGE};
use crate::phases::{self, Phases, Spoken};
use crate::qemu::{Machine, is_mostly};
use crate::report;
use crate::serial::{Screen, now};
use crate::server::{self, Server};
use crate::signals;
use crate::tree;
use crate::verdict;
use crate::wire::Conversations;

/// How often a running boot is looked after while its console is silent.
const LOOK_INTERVAL: Duration = Duration::from_millis(200);

/// How often a screen is looked at.
const PICTURE_INTERVAL: Duration = Duration::from_secs(2);

/// How long the console may go on to say why it failed.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// The server's folder of images, and its log, in the work directory.
const IMAGES: &str = "images";
const SERVER_LOG: &str = "pxe-server.log";
/// What the log has for each image that is offered.
const OFFERED: &str = r#""event":"image_offered""#;
/// How long a server may take to offer an image: more than it lets an image settle.
const OFFER_PATIENCE: Duration = Duration::from_secs(60);

/// What a run of cells has in common.
#[derive(Debug)]
pub(crate) struct Setting<'a> {
    pub(crate) matrix: &'a Matrix,
    pub(crate) images: &'a Images,
    pub(crate) server: &'a Path,
    /// Where the work directories are made.
    pub(crate) work_parent: &'a Path,
    /// Where a failed boot leaves its artifacts.
    pub(crate) artifacts: &'a Path,
    /// Artifacts are kept of passed boots too.
    pub(crate) keep: bool,
}

/// How a boot went.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) cell: String,
    /// Why it failed, if it did.
    pub(crate) failure: Option<String>,
    pub(crate) phases: Phases,
    /// The last requests that the wire saw, for a report of a failure.
    pub(crate) last_requests: Vec<String>,
    /// The end of the console's text, for a report of a failure.
    pub(crate) last_lines: Vec<String>,
    /// The ends of the server's logs, for a report of a failure.
    pub(crate) last_logs: Vec<String>,
    pub(crate) artifacts: Option<PathBuf>,
}

impl Outcome {
    /// A boot of which nothing is known yet.
    pub(crate) fn of(cell: &Cell) -> Outcome {
        Outcome {
            cell: cell.name.clone(),
            failure: None,
            phases: Phases::default(),
            last_requests: Vec::new(),
            last_lines: Vec::new(),
            last_logs: Vec::new(),
            artifacts: None,
        }
    }
}

/// The parts of a cell, looked up.
#[derive(Debug, Clone, Copy)]
struct Parts<'a> {
    cell: &'a Cell,
    server: &'a ServerDefinition,
    firmware: &'a Firmware,
    loader: &'a Loader,
    system: &'a System,
}

/// A directory that goes when it is dropped.
#[derive(Debug)]
pub(crate) struct WorkDirectory(pub(crate) PathBuf);

impl Drop for WorkDirectory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Boots the cell once.
pub(crate) fn run(setting: &Setting<'_>, cell: &Cell) -> Outcome {
    let mut outcome = Outcome::of(cell);
    let name = unique_name();
    let work = WorkDirectory(setting.work_parent.join(&name));
    if let Err(error) = boot(setting, cell, &name, &work.0, &mut outcome) {
        outcome.failure = Some(error);
        if let Some(server) = setting.matrix.servers.get(&cell.server) {
            outcome.last_logs = server::log_ends(server, &work.0);
        }
    }
    if outcome.failure.is_some() || setting.keep {
        match report::save(setting.artifacts, &work.0, &outcome) {
            Ok(directory) => outcome.artifacts = Some(directory),
            Err(error) => eprintln!("{}: artifacts are lost: {error}", cell.name),
        }
    }
    outcome
}

fn boot(
    setting: &Setting<'_>,
    cell: &Cell,
    name: &str,
    work: &Path,
    outcome: &mut Outcome,
) -> Result<(), String> {
    let matrix = setting.matrix;
    let missing = || format!("cell {:?} has an unknown part", cell.name);
    let parts = Parts {
        cell,
        server: matrix.servers.get(&cell.server).ok_or_else(missing)?,
        firmware: matrix.firmware.get(&cell.firmware).ok_or_else(missing)?,
        loader: matrix.loaders.get(&cell.loader).ok_or_else(missing)?,
        system: matrix.systems.get(&cell.system).ok_or_else(missing)?,
    };
    tree::make_directory(work)?;
    let variables = variables(parts.loader, &parts.system.append, setting.server, work);
    tree::lay_out(
        &work.join("tree"),
        &[&parts.loader.tree, &parts.system.tree],
        &variables,
    )?;
    // Dropped in reverse order: machine, server, capture, then the network below them.
    let namespace = network::make(name)?;
    if let Some(rules) = &parts.firmware.nftables {
        let file = work.join("rules.nft");
        tree::write(&file, rules.as_bytes())?;
        network::load_rules(&namespace, &file)?;
    }
    let capture = Capture::start(&namespace, work)?;
    if !parts.system.images.is_empty() {
        tree::make_directory(&work.join(IMAGES))?;
    }
    let mut server = Server::start(&namespace, parts.server, &variables, work)?;
    drop_images(setting.images, parts.system, &mut server, work)?;
    let mut machine = Machine::start(&namespace, parts.firmware, parts.system.memory_mib, work)?;
    let power_on = machine.power_on;
    let mut screen = Screen::default();
    let mut spoken = Spoken::default();
    let watched = watch(
        &parts,
        &mut machine,
        &mut server,
        &mut screen,
        &mut spoken,
        work,
    );
    if watched.is_err()
        && let Err(error) = machine.take_picture(&work.join("screen.png"), "png")
    {
        outcome.last_lines.push(format!("({error})"));
    }
    outcome
        .last_lines
        .extend(screen.last_lines(12).into_iter().map(str::to_owned));
    // Already known to be as it should, or not: how the emulator ends says nothing.
    let _ = machine.process.terminate();
    let stopped = server.finish();
    let conversations = capture.finish()?;
    outcome.phases = phases::derive(power_on, &cell.expect, &conversations, spoken);
    outcome.last_requests = last_requests(&conversations);
    watched.map_err(|error| explain(&error, &outcome.phases))?;
    stopped?;
    verdict::judge(
        parts.firmware,
        parts.server,
        &cell.expect,
        &cell.names,
        &conversations,
    )?;
    let log = fs::read_to_string(work.join(SERVER_LOG)).unwrap_or_default();
    verdict::unlogged(&cell.expect, &conversations, &log)?;
    match outcome.phases.missing() {
        Some(_) => Err(explain("the marker came by another way", &outcome.phases)),
        None => Ok(()),
    }
}

/// Drops the system's images into the server's folder, and waits until it says that it offers them.
fn drop_images(
    images: &Images,
    system: &System,
    server: &mut Server,
    work: &Path,
) -> Result<(), String> {
    let folder = work.join(IMAGES);
    for (name, image) in &system.images {
        images.drop_into(&folder, name, image)?;
    }
    let deadline = Instant::now() + OFFER_PATIENCE;
    loop {
        let log = fs::read_to_string(work.join(SERVER_LOG)).unwrap_or_default();
        if log.matches(OFFERED).count() >= system.images.len() {
            return Ok(());
        }
        if let Some(reason) = server.ended() {
            return Err(reason);
        }
        if Instant::now() > deadline {
            return Err(format!(
                "images are not offered after {OFFER_PATIENCE:?} in the folder"
            ));
        }
        std::thread::sleep(POLL_INTERVAL);
    }
}

/// What may be filled into the texts of the matrix.
pub(crate) fn variables(loader: &Loader, append: &str, server: &Path, work: &Path) -> Variables {
    let files = &loader.boot_files;
    // A JSON string is a TOML string as well.
    let pair = |(name, file): (&str, &str)| format!("{name} = {}", serde_json::Value::from(file));
    let ipxe = loader.ipxe.as_deref();
    let ipxe = ipxe.map_or_else(String::new, |ipxe| pair(("ipxe", ipxe)));
    let files_as_text = files
        .iter()
        .map(|(name, file)| (name.as_str(), file.as_str()));
    let table = files_as_text.map(pair).collect::<Vec<_>>().join(", ");
    let mut variables = Variables::from([
        ("address".to_owned(), ADDRESS.to_string()),
        ("interface".to_owned(), BRIDGE.to_owned()),
        ("append".to_owned(), append.to_owned()),
        ("server".to_owned(), server.display().to_string()),
        ("work".to_owned(), work.display().to_string()),
        ("tree".to_owned(), work.join("tree").display().to_string()),
        ("boot_files".to_owned(), format!("{{ {table} }}")),
        ("boot_ipxe".to_owned(), ipxe),
        (
            "http_root".to_owned(),
            loader.http_root.clone().unwrap_or_else(|| "/os".to_owned()),
        ),
    ]);
    for (name, file) in files {
        variables.insert(format!("boot:{name}"), file.clone());
    }
    variables
}

/// Follows the boot until the marker is on the console, or it is clear that it will not be.
fn watch(
    parts: &Parts<'_>,
    machine: &mut Machine,
    server: &mut Server,
    screen: &mut Screen,
    spoken: &mut Spoken,
    work: &Path,
) -> Result<(), String> {
    let limit = parts.cell.time_limit();
    let mut deadline = Instant::now() + limit;
    let mut at_deadline = format!("the marker was not there after {} s", limit.as_secs());
    let mut doomed = false;
    let mut pictured = Instant::now();
    let mut presses = parts.cell.press.iter().peekable();
    let failures = [
        &parts.firmware.failures,
        &parts.loader.failures,
        &parts.system.failures,
    ];
    loop {
        match machine.console.recv_timeout(LOOK_INTERVAL) {
            Ok(chunk) => {
                screen.add(&chunk.bytes);
                if let Sign::Console { kernel_banner, .. } = &parts.system.sign
                    && spoken.kernel.is_none()
                    && screen.shows(kernel_banner)
                {
                    spoken.kernel = Some(chunk.at);
                }
                if let Some(press) = presses.next_if(|press| screen.shows(&press.after)) {
                    screen.clear();
                    machine.type_keys(&press.keys)?;
                }
                if let Sign::Console { marker, .. } = &parts.system.sign
                    && !doomed
                    && screen.shows(marker)
                {
                    spoken.marker = Some(chunk.at);
                    return arrived(presses.next());
                }
                let failure = failures
                    .into_iter()
                    .flatten()
                    .find(|text| screen.shows(text));
                if let (false, Some(text)) = (doomed, failure) {
                    doomed = true;
                    at_deadline = format!("the console shows {text:?}");
                    deadline = deadline.min(Instant::now() + LAST_WORDS);
                }
            }
            Err(RecvTimeoutError::Timeout) => {
                if let Sign::Screen { colour } = parts.system.sign
                    && pictured.elapsed() > PICTURE_INTERVAL
                {
                    let picture = work.join("screen.ppm");
                    machine.take_picture(&picture, "ppm")?;
                    pictured = Instant::now();
                    let at = |error| format!("{}: {error}", picture.display());
                    if is_mostly(&fs::read(&picture).map_err(at)?, colour) {
                        (spoken.kernel, spoken.marker) = (Some(now()), Some(now()));
                        return arrived(presses.next());
                    }
                }
            }
            Err(RecvTimeoutError::Disconnected) => {
                return Err("the machine switched itself off or reset".to_owned());
            }
        }
        if let Some(reason) = server.ended() {
            return Err(reason);
        }
        if signals::interrupted() {
            return Err("interrupted".to_owned());
        }
        if Instant::now() > deadline {
            return Err(at_deadline);
        }
    }
}

/// The system runs. What had to be pressed, and was not?
fn arrived(left: Option<&Press>) -> Result<(), String> {
    match left {
        None => Ok(()),
        Some(press) => Err(format!("the console never showed {:?}", press.after)),
    }
}

fn explain(error: &str, phases: &Phases) -> String {
    match phases.missing() {
        Some(phase) => format!("{error}; first phase not reached: {}", phase.name()),
        None => error.to_owned(),
    }
}

fn last_requests(conversations: &Conversations) -> Vec<String> {
    const SHOWN: usize = 12;
    let requests = &conversations.requests;
    let skipped = requests.len().saturating_sub(SHOWN);
    requests
        .iter()
        .skip(skipped)
        .map(ToString::to_string)
        .collect()
}
