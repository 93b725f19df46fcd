//! A menu of the tree, read and checked as its loaders have it.

use std::path::Path;

use pxe_menu::{
    Client, Code, Diagnostic, FileId, Format, Limits, Paint, Parser, Paths, Place, ReportFile,
    Text, check, report_text,
};
use pxe_tree::TreePath;

use super::machine::Machine;
use super::site::{Site, shown};
use super::station::{Station, Stations};
use super::tree_files::TreeFiles;
use crate::fact::printable;
use crate::menus::TemplateFault;
use crate::menus::read::{ReadMenu, Unread};

/// A menu and what was found.
#[derive(Debug)]
pub(super) struct Checked {
    /// The loaders that read it alike; at least one.
    pub(super) stations: Vec<Station>,
    pub(super) menu: ReadMenu,
    /// What is wrong with its lines and its files, for any of those loaders.
    pub(super) findings: Vec<Diagnostic>,
    /// Its files' names on this machine.
    names: Vec<String>,
}

impl Checked {
    /// Reads and checks a menu for a machine, by the name under which a loader asks for it.
    pub(super) fn read(
        site: &Site,
        station: &Station,
        name: &Text,
        format: Option<Format>,
        client: &Client,
    ) -> Result<Self, Unread> {
        let menu = read(site, station, name, format, client)?;
        let files = TreeFiles::new(site);
        Ok(Self::new(&files, vec![station.clone()], menu, client))
    }

    /// Reads and checks a file of the tree for several loaders: once for all that read it alike. One
    /// may differ by what an include is in its directory. If it is where they look for their menus, it
    /// is in their language.
    pub(super) fn read_for_all(
        files: &TreeFiles<'_>,
        stations: &[Station],
        path: &TreePath,
        is_asked_for: bool,
    ) -> Result<Vec<Self>, Unread> {
        let client = Client::new();
        let mut groups: Vec<(Vec<Station>, ReadMenu)> = Vec::new();
        for station in stations {
            let format = station.format().filter(|_| is_asked_for);
            let menu = read(
                files.site(),
                station,
                &station.name_of(path),
                format,
                &client,
            )?;
            let is_alike = |other: &ReadMenu| {
                other.paths == menu.paths && other.resolution.menu == menu.resolution.menu
            };
            match groups.iter_mut().find(|(_, other)| is_alike(other)) {
                Some((stations, _)) => stations.push(station.clone()),
                None => groups.push((vec![station.clone()], menu)),
            }
        }
        let groups = groups.into_iter();
        let checked = groups.map(|(stations, menu)| Self::new(files, stations, menu, &client));
        Ok(checked.collect())
    }

    fn new(files: &TreeFiles<'_>, stations: Vec<Station>, menu: ReadMenu, client: &Client) -> Self {
        let site = files.site();
        let loaders: Vec<Paths> = stations.iter().map(Station::paths).collect();
        let mut findings = check(&menu.resolution, &loaders, client, files);
        findings.retain(|finding| !is_about_placeholder(&menu, finding));
        findings.extend(wrong_placeholders(&menu));
        // A report names a file for each: what is about the menu as a whole stands at its beginning.
        for finding in &mut findings {
            finding.place = finding.place.or_else(beginning);
        }
        let names = menu.files.iter().enumerate().map(|(index, source)| {
            match menu.paths.get(index).and_then(Option::as_ref) {
                Some(path) => site.on_disk(path).to_string_lossy().into_owned(),
                None => source.name.to_string(),
            }
        });
        Self {
            stations,
            findings,
            names: names.collect(),
            menu,
        }
    }

    /// The first of the loaders that read it.
    pub(super) fn station(&self) -> &Station {
        &self.stations[0]
    }

    /// The same of a file of this machine, for the loader that would read it.
    pub(super) fn read_file(
        site: &Site,
        stations: &Stations,
        file: &Path,
        machine: &Machine,
    ) -> Result<Self, String> {
        let path = site.path_of(file)?;
        let station = site.wait(stations.readers_of(site, &path)).swap_remove(0);
        let name = station.name_of(&path);
        let checked = Self::read(site, &station, &name, None, &machine.client(site));
        checked.map_err(|why| unreadable(site, &path, &why))
    }

    /// Tells who reads it, and what is wrong with it.
    pub(super) fn tell(&self, paint: Paint) {
        let station = self.station();
        match station.is_assumed {
            true => eprintln!("loader: {} (assumed: none lies near)", station.name()),
            false => {
                let file = printable(&station.file.to_string());
                eprintln!("loader: {} ({file})", station.name());
            }
        }
        for line in self.unread() {
            eprintln!("error: {line}");
        }
        let is_told = |fault: &&TemplateFault| {
            let mut wrong = self.menu.wrong_placeholders.iter();
            wrong.any(|(_, error)| *error == fault.error)
        };
        for fault in self.menu.unfilled.iter().filter(|fault| !is_told(fault)) {
            let fault = printable(&fault.to_string());
            eprintln!("template, not filled in: {fault}");
        }
        self.tell_more(&self.findings, paint);
    }

    /// Whether the server gives all its files to somebody.
    pub(super) fn is_served(&self) -> bool {
        self.menu.wrong_placeholders.is_empty()
    }

    /// Tells findings about its files.
    pub(super) fn tell_more(&self, findings: &[Diagnostic], paint: Paint) {
        eprint!("{}", report_text(&self.report_files(), findings, paint));
    }

    /// Its files, for reports.
    pub(super) fn report_files(&self) -> Vec<ReportFile<'_>> {
        let named = self.names.iter().zip(&self.menu.files);
        let files = named.map(|(name, source)| {
            let bytes = source.bytes.as_deref().unwrap_or_default();
            ReportFile::new(&**name, bytes)
        });
        files.collect()
    }

    /// Files that are there and cannot be read: what is wrong, and what to do.
    pub(super) fn unread(&self) -> impl Iterator<Item = String> {
        self.menu.unread.iter().map(|(location, why)| {
            let location = printable(&location.to_string());
            format!("{location}: {why}{}", what_to_do(why))
        })
    }

    /// The file that a finding is about; of one about the menu as a whole, its first.
    pub(super) fn file_of(&self, finding: &Diagnostic) -> &str {
        let index = finding.place.map_or(0, |place| place.file.index());
        self.names.get(index).map_or("", String::as_str)
    }
}

fn read(
    site: &Site,
    station: &Station,
    name: &Text,
    format: Option<Format>,
    client: &Client,
) -> Result<ReadMenu, Unread> {
    let limits = Limits::default();
    let paths = station.paths();
    let menu = site.files.read_menu(paths, name, format, client, limits);
    site.wait(menu)
}

/// A finding for each placeholder that is filled in for no machine.
fn wrong_placeholders(menu: &ReadMenu) -> impl Iterator<Item = Diagnostic> {
    menu.wrong_placeholders.iter().map(|(file, error)| {
        let line = line_of(menu, *file, error.line());
        let name = error.name().map(|name| format!("{{{name}}}"));
        let column = name.and_then(|name| {
            let mut parts = line.windows(name.len());
            parts.position(|part| part == name.as_bytes())
        });
        let column = u32::try_from(column.unwrap_or(1).max(1)).unwrap_or(1);
        let place = Place::new(*file, error.line(), column);
        let message = error.to_string();
        let message = match message.split_once(": ") {
            Some((_, message)) => message.to_owned(),
            None => message,
        };
        Diagnostic::new(Code::UnknownPlaceholder, place, message)
            .with_remedy("correct it: the file is given to nobody")
    })
}

/// A line of a file of a menu, from 1.
fn line_of(menu: &ReadMenu, file: FileId, line: u32) -> &[u8] {
    let bytes = menu.files.get(file.index());
    let bytes = bytes.and_then(|file| file.bytes.as_deref());
    let mut lines = bytes.unwrap_or_default().split(|byte| *byte == b'\n');
    let line = usize::try_from(line)
        .ok()
        .and_then(|line| line.checked_sub(1));
    line.and_then(|line| lines.nth(line)).unwrap_or_default()
}

/// Whether a finding is that there is no such file, and its name is filled in when the menu is served.
fn is_about_placeholder(menu: &ReadMenu, finding: &Diagnostic) -> bool {
    let is_of_name = matches!(
        finding.code,
        Code::MissingFile
            | Code::MissingScreenFile
            | Code::MissingInclude
            | Code::MissingLink
            | Code::ImageType
    );
    let Some(place) = finding.place.filter(|_| is_of_name) else {
        return false;
    };
    let path = menu.paths.get(place.file.index()).and_then(Option::as_ref);
    if !path.is_some_and(|path| menu.unfilled.iter().any(|one| one.file == *path)) {
        return false;
    }
    let line = line_of(menu, place.file, place.line);
    line.windows(2).any(|two| matches!(two, b"${" | b"#{"))
}

/// The beginning of the first file of a report.
pub(super) fn beginning() -> Option<Place> {
    let first = Parser::new("first", Limits::default()).poll_need()?;
    Some(Place::new(first.id, 1, 1))
}

/// What is wrong with a menu that cannot be read at all.
pub(super) fn unreadable(site: &Site, path: &TreePath, why: &Unread) -> String {
    let file = shown(&site.on_disk(path));
    format!("{file}: {why}{}", what_to_do(why))
}

fn what_to_do(why: &Unread) -> &'static str {
    match why {
        Unread::Tree(error) if error.kind() == pxe_tree::ErrorKind::PermissionDenied => {
            "; make it readable for this user, and for the server's"
        }
        Unread::TooLarge(_) => "; it is no menu",
        _ if why.is_missing() => "; name an existing file",
        _ => "",
    }
}
