//! `pxe-server menu check`: every menu that machines find in a tree, checked for each loader that
//! reads it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::ValueEnum;
use pxe_menu::{
    Code, Diagnostic, Paint, ReportFile, Tally, Text, report_github, report_json, report_text,
};
use pxe_tree::{NodeKind, TreePath};
use serde_json::{Value, json};

use super::UNUSABLE;
use super::checked::{Checked, beginning, unreadable};
use super::colour::ColourArgs;
use super::site::{Site, TreeArgs, shown, tftp};
use super::station::{Station, Stations, likely, with_slash};
use super::terminal::harmless_json;
use super::tree_files::TreeFiles;
use super::unasked;
use crate::cli::print;
use crate::config::Config;
use crate::fact::printable;
use crate::menus::program::Program;
use crate::menus::read::Unread;

/// The version of the form of `--format json`. A field more does not raise it.
const JSON_VERSION: u32 = 1;

/// The command line of `menu check`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// A tree, or one menu of it; without one, the tree of the configuration, or this directory
    path: Option<PathBuf>,
    /// Let warnings fail, too
    #[arg(long)]
    strict: bool,
    /// How findings are written
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    format: Format,
    #[command(flatten)]
    colour: ColourArgs,
    #[command(flatten)]
    tree: TreeArgs,
}

/// How findings are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people
    Text,
    /// For programs
    Json,
    /// Annotations of a GitHub workflow
    Github,
}

/// Checks.
pub(super) fn run(args: &Args) -> Result<ExitCode, String> {
    let near = args.path.as_deref().unwrap_or(Path::new("."));
    let site = Site::open(&args.tree, near)?;
    let stations = site.wait(Stations::find(&site));
    let mut check = Check::new(&site);
    match args.path.as_deref() {
        Some(file) if !file.is_dir() => {
            let path = site.path_of(file)?;
            let readers = site.wait(stations.readers_of(&site, &path));
            check.menu(&readers, &path, false);
            if let (true, Some(why)) = (check.menus.is_empty(), check.unreadable.pop()) {
                return Err(why);
            }
        }
        Some(folder) => {
            let below = site.path_of(folder)?;
            check.tree(&stations, &below);
        }
        None => check.tree(&stations, &TreePath::ROOT),
    }
    if check.menus.is_empty() && check.unreadable.is_empty() {
        return Err(format!("there is no menu to check; {}", site.tell()));
    }
    let written = match args.format {
        Format::Text => check.text(args.colour.paint()),
        Format::Json => check.json(),
        Format::Github => check.github(),
    };
    let printed = print(&written);
    if printed != ExitCode::SUCCESS {
        return Ok(printed);
    }
    let tally = check.tally();
    let is_bad = tally.errors > 0 || (args.strict && tally.warnings > 0);
    Ok(match check.unreadable.is_empty() {
        false => ExitCode::from(UNUSABLE),
        true if is_bad => ExitCode::FAILURE,
        true => ExitCode::SUCCESS,
    })
}

/// What is wrong with the menus of a configured tree, in a line; `None` if nothing is, or if there
/// are none.
pub(crate) fn complaint(config: &Config) -> Option<String> {
    let site = Site::of_config(config.clone()).ok()?;
    let stations = site.wait(Stations::find(&site));
    let mut check = Check::new(&site);
    check.tree(&stations, &TreePath::ROOT);
    let tally = check.tally();
    let is_good = tally.errors + tally.warnings + check.unreadable.len() == 0;
    (!is_good).then(|| {
        let file = shown(&config.file);
        let summary = check.summary();
        format!("menus: {summary}; pxe-server menu check --config {file} shows them")
    })
}

/// Findings in the files of one menu.
struct Told {
    checked: Checked,
    path: TreePath,
    /// Those that no menu before it had.
    findings: Vec<Diagnostic>,
}

/// A file that no machine asks for.
struct Unasked {
    name: String,
    finding: Diagnostic,
}

/// By what a finding is known again: its file, line and column, code, message.
type Key = (String, Option<(u32, u32)>, Code, String);

/// The menus of a tree, each with the loaders that come to it.
type Menus = BTreeMap<TreePath, Vec<Station>>;

/// A check on its way.
struct Check<'a> {
    site: &'a Site,
    files: TreeFiles<'a>,
    menus: Vec<Told>,
    unasked: Vec<Unasked>,
    /// Files that could not be read, each a line.
    unreadable: Vec<String>,
    /// What was told already: menus share files.
    told: BTreeSet<Key>,
    /// Every file that belongs to one.
    read: BTreeSet<TreePath>,
    loaders: BTreeSet<String>,
    is_cut: bool,
}

impl<'a> Check<'a> {
    fn new(site: &'a Site) -> Self {
        Self {
            site,
            files: TreeFiles::new(site),
            menus: Vec::new(),
            unasked: Vec::new(),
            unreadable: Vec::new(),
            told: BTreeSet::new(),
            read: BTreeSet::new(),
            loaders: BTreeSet::new(),
            is_cut: false,
        }
    }

    /// Every menu in a part of the tree, as clients find them.
    fn tree(&mut self, stations: &Stations, below: &TreePath) {
        let site = self.site;
        self.is_cut = stations.is_cut;
        let is_below = |path: &TreePath| path.strip_prefix(below).is_some();
        let mut folders: BTreeMap<TreePath, Vec<Station>> = BTreeMap::new();
        let mut menus = Menus::new();
        for station in &stations.stations {
            if station.program == Program::Grub {
                continue;
            }
            if let Some(folder) = site.wait(site.menu_folder(station)) {
                folders.entry(folder).or_default().push(station.clone());
            }
            // The configuration that DHCP option 209 names.
            if let Some(name) = &station.config_file
                && let location = station.paths().locate(name.as_bytes())
                && let Ok(found) = site.wait(site.files.find(&location))
                && is_below(&found.path)
            {
                add(&mut menus, &found.path, station);
            }
        }
        for folder in &stations.pxelinux_folders {
            let found = site.wait(site.files.find(&tftp(folder.as_bytes())));
            if let Ok(folder) = found.map(|found| found.path)
                && !folders.contains_key(&folder)
            {
                let beside = with_slash(&folder.parent().unwrap_or(TreePath::ROOT));
                let program = Program::Syslinux(likely(&beside));
                folders.insert(folder, vec![Station::assumed(program, &beside)]);
            }
        }
        let mut others = Vec::new();
        for (folder, readers) in &folders {
            let mut from = readers.iter().map(|station| station.folder());
            let is_meant = is_below(folder)
                || from
                    .any(|folder| TreePath::parse(&folder).is_ok_and(|folder| is_below(&folder)));
            if is_meant {
                others.extend(self.pxelinux_folder(folder, readers, &mut menus));
            }
        }
        for path in stations.grub_configurations().filter(|path| is_below(path)) {
            for grub in stations.grubs() {
                add(&mut menus, path, &grub);
            }
        }
        for (path, stations) in &menus {
            self.menu(stations, path, true);
        }
        for (name, path) in others {
            if !self.read.contains(&path) {
                self.never_asked(&name, &path);
            }
        }
    }

    /// What lies where PXELINUX looks for its configuration: menus, and what has other names.
    fn pxelinux_folder(
        &mut self,
        folder: &TreePath,
        stations: &[Station],
        menus: &mut Menus,
    ) -> Vec<(Text, TreePath)> {
        let site = self.site;
        let mut others = Vec::new();
        let location = tftp(folder.as_bytes());
        let mut names = match site.wait(site.files.names(&location)) {
            Ok(names) => names,
            Err(why) => {
                self.cannot_read(folder, &why);
                return others;
            }
        };
        names.sort();
        let config = site.config.as_ref();
        let ignores_case = config.is_some_and(|config| config.tree.ignore_case);
        for (name, kind) in names {
            let path = [&with_slash(folder)[..], name.as_bytes()].concat();
            if !matches!(kind, NodeKind::File | NodeKind::Link) {
                continue;
            }
            let found = match site.wait(site.files.find(&tftp(&path[..]))) {
                Ok(found) if found.attributes.kind == NodeKind::File => found.path,
                Ok(_) => continue,
                Err(why) => {
                    if let Ok(path) = TreePath::parse(&path) {
                        self.cannot_read(&path, &why);
                    }
                    continue;
                }
            };
            let is_asked_for =
                unasked::is_asked_for(&name) || (ignores_case && unasked::meant(&name).is_some());
            if !is_asked_for {
                others.push((name, found));
                continue;
            }
            for station in stations {
                add(menus, &found, station);
            }
        }
        others
    }

    /// Reads and checks a menu for its loaders.
    fn menu(&mut self, stations: &[Station], path: &TreePath, is_asked_for: bool) {
        let all = match Checked::read_for_all(&self.files, stations, path, is_asked_for) {
            Ok(all) => all,
            Err(why) => return self.cannot_read(path, &why),
        };
        let loaders = stations.iter().map(|station| station.file.to_string());
        self.loaders.extend(loaders);
        for checked in all {
            for line in checked.unread() {
                if !self.unreadable.contains(&line) {
                    self.unreadable.push(line);
                }
            }
            self.read
                .extend(checked.menu.paths.iter().flatten().cloned());
            let findings = checked.findings.iter().filter(|finding| {
                let line = finding.place.map(|place| (place.line, place.column));
                let file = checked.file_of(finding).to_owned();
                let key = (file, line, finding.code, finding.message.clone());
                self.told.insert(key)
            });
            self.menus.push(Told {
                findings: findings.cloned().collect(),
                path: path.clone(),
                checked,
            });
        }
    }

    fn cannot_read(&mut self, path: &TreePath, why: &Unread) {
        let line = unreadable(self.site, path, why);
        if !self.unreadable.contains(&line) {
            self.unreadable.push(line);
        }
    }

    /// A file beside the menus that nobody asks for and no menu includes: most often its name is
    /// nearly right.
    fn never_asked(&mut self, name: &Text, path: &TreePath) {
        let name = printable(&name.to_string());
        let message = format!("no machine asks for {name}, and no menu includes it");
        let place = beginning();
        let finding = match unasked::meant(name.as_bytes()) {
            Some(meant) => Diagnostic::new(Code::NeverAsked, place, message)
                .with_remedy(format!("did you mean {meant}?")),
            None => Diagnostic::new(Code::NeverAsked, place, message).as_note(),
        };
        self.unasked.push(Unasked {
            name: self.site.on_disk(path).to_string_lossy().into_owned(),
            finding,
        });
    }

    /// Each list of findings, with its files.
    fn reports(&self) -> impl Iterator<Item = (Vec<ReportFile<'_>>, &[Diagnostic])> {
        let menus = self.menus.iter();
        let menus = menus.map(|told| (told.checked.report_files(), &told.findings[..]));
        let unasked = self.unasked.iter().map(|unasked| {
            let files = vec![ReportFile::new(&*unasked.name, b"")];
            (files, std::slice::from_ref(&unasked.finding))
        });
        menus.chain(unasked)
    }

    fn tally(&self) -> Tally {
        let mut all = Tally::default();
        for (_, findings) in self.reports() {
            let tally = Tally::of(findings);
            all.errors += tally.errors;
            all.warnings += tally.warnings;
            all.notes += tally.notes;
        }
        all
    }

    /// The last line.
    fn summary(&self) -> String {
        let plural = |count: usize| if count == 1 { "" } else { "s" };
        let paths: BTreeSet<&TreePath> = self.menus.iter().map(|told| &told.path).collect();
        let (menus, loaders) = (paths.len(), self.loaders.len());
        let mut text = format!(
            "checked {menus} menu{} for {loaders} loader{}: {}",
            plural(menus),
            plural(loaders),
            self.tally()
        );
        if !self.unreadable.is_empty() {
            let _ = write!(text, ", {} not readable", self.unreadable.len());
        }
        if self.is_cut {
            text.push_str("; there are more directories than are looked at: name one");
        }
        text
    }

    fn text(&self, paint: Paint) -> String {
        let mut text = String::new();
        for line in &self.unreadable {
            let _ = writeln!(text, "error: {line}\n");
        }
        for (files, findings) in self.reports() {
            text.push_str(&report_text(&files, findings, paint));
        }
        let _ = writeln!(text, "{}", self.summary());
        text
    }

    fn github(&self) -> String {
        let mut text = String::new();
        for line in &self.unreadable {
            let _ = writeln!(
                text,
                "::error title=unreadable::{}",
                line.replace('%', "%25")
            );
        }
        for (files, findings) in self.reports() {
            text.push_str(&report_github(&files, findings));
        }
        let _ = writeln!(text, "{}", self.summary());
        text
    }

    fn json(&self) -> String {
        let menus = self.menus.iter().map(|told| {
            let loaders = told.checked.stations.iter().map(|station| {
                json!({
                    "name": station.name(),
                    "boot_file": station.file.to_string(),
                    "found": !station.is_assumed,
                })
            });
            json!({
                "file": self.site.on_disk(&told.path).to_string_lossy(),
                "loaders": loaders.collect::<Vec<_>>(),
                "findings": findings(&told.checked.report_files(), &told.findings),
            })
        });
        let unasked = self.unasked.iter().flat_map(|unasked| {
            let files = [ReportFile::new(&*unasked.name, b"")];
            findings(&files, std::slice::from_ref(&unasked.finding))
        });
        let tally = self.tally();
        let report = json!({
            "version": JSON_VERSION,
            "menus": menus.collect::<Vec<_>>(),
            "unasked": unasked.collect::<Vec<_>>(),
            "unreadable": self.unreadable,
            "errors": tally.errors,
            "warnings": tally.warnings,
            "notes": tally.notes,
            "complete": !self.is_cut,
        });
        format!("{}\n", harmless_json(&format!("{report:#}")))
    }
}

fn add(menus: &mut Menus, path: &TreePath, station: &Station) {
    let stations = menus.entry(path.clone()).or_default();
    if stations
        .iter()
        .all(|known| known.paths() != station.paths())
    {
        stations.push(station.clone());
    }
}

/// Findings in the form that pxe-menu documents.
fn findings(files: &[ReportFile<'_>], findings: &[Diagnostic]) -> Vec<Value> {
    let report: Value = serde_json::from_str(&report_json(files, findings)).unwrap_or_default();
    match report {
        Value::Object(mut report) => match report.remove("findings") {
            Some(Value::Array(findings)) => findings,
            _ => Vec::new(),
        },
        _ => Vec::new(),
    }
}
