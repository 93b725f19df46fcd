//! `pxe-server menu show`: a menu as a machine has it.

use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::ValueEnum;
use pxe_menu::{
    Client, GrubOptions, IpxeOptions, Limits, Paths, Rendered, Text, lint, render_grub,
    render_ipxe, render_json, render_syslinux, render_text,
};

use super::machine::{Known, Machine};
use super::site::{Site, TreeArgs, shown};
use super::station::{Station, Stations};
use super::tree_files::TreeFiles;
use crate::cli::print_bytes;
use crate::fact::printable;
use crate::menus::read::ReadMenu;

/// The command line of `menu show`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The menu; without one, that which the machine of --for gets
    #[arg(required_unless_present = "machine")]
    file: Option<PathBuf>,
    /// How it is shown
    #[arg(long = "as", value_name = "LANGUAGE", default_value = "text")]
    language: Language,
    /// The machine: its hardware address, UUID, IPv4 address, architecture (such as uefi-x64);
    /// several with commas
    #[arg(
        long = "for",
        id = "machine",
        value_name = "MACHINE",
        value_delimiter = ','
    )]
    machine: Vec<Known>,
    #[command(flatten)]
    tree: TreeArgs,
}

/// In which words a menu is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Language {
    /// As menu.c32 draws it
    Text,
    /// For programs
    Json,
    /// A script of iPXE
    Ipxe,
    /// A grub.cfg
    Grub,
    /// One file for pxelinux
    Syslinux,
}

/// Shows a menu.
pub(super) fn run(args: &Args) -> Result<ExitCode, String> {
    let near = args.file.as_deref().unwrap_or(Path::new("."));
    let site = Site::open(&args.tree, near)?;
    eprintln!("{}", site.tell());
    let machine = Machine::new(&args.machine)?;
    let stations = site.wait(Stations::find(&site));
    let (station, menu) = match &args.file {
        Some(file) => {
            let path = site.path_of(file)?;
            let station = site.wait(stations.reader_of(&site, &path));
            let name = station.name_of(&path);
            let menu = read(&site, &station, &name);
            let menu = menu.map_err(|why| format!("{}: {why}", shown(file)))?;
            (station, menu)
        }
        None => find(&site, &stations, &machine)?,
    };
    eprintln!("loader: {}", describe(&station));
    let client = machine.client(&site);
    let paths = station.paths();
    tell_findings(&site, &menu, &paths, &client);
    let resolved = &menu.resolution.menu;
    let shown = match args.language {
        Language::Text => Text::from(render_text(resolved)),
        Language::Json => Text::from(render_json(resolved, paths.loader(), &client)),
        Language::Syslinux => render_syslinux(resolved),
        Language::Ipxe => tell(render_ipxe(resolved, &IpxeOptions::new(paths))),
        Language::Grub => {
            let options = GrubOptions::new(paths, "(tftp)").with_client(client);
            tell(render_grub(resolved, &options))
        }
    };
    Ok(put_out(&shown))
}

fn tell_findings(site: &Site, menu: &ReadMenu, paths: &Paths, client: &Client) {
    for (location, why) in &menu.unread {
        eprintln!(
            "warning: {} is not read: {why}",
            printable(&location.to_string())
        );
    }
    let files = TreeFiles::new(site);
    let linted = lint(&menu.resolution, paths, client, &files);
    for finding in menu.resolution.diagnostics.iter().chain(&linted) {
        let Some(place) = finding.place else {
            eprintln!("{finding}");
            continue;
        };
        let path = menu.paths.get(place.file.index()).cloned().flatten();
        let name = match (path, menu.sources.get(place.file.index())) {
            (Some(path), _) => shown(&site.on_disk(&path)),
            (None, source) => {
                source.map_or(String::new(), |source| printable(&source.name.to_string()))
            }
        };
        eprintln!("{name}:{}:{}: {finding}", place.line, place.column);
    }
}

fn tell(rendered: Rendered) -> Text {
    for finding in &rendered.diagnostics {
        eprintln!("{finding}");
    }
    rendered.text
}

fn describe(station: &Station) -> String {
    let file = printable(&station.file.to_string());
    match station.is_assumed {
        true => format!("{} (assumed: none lies near)", station.name()),
        false => format!("{} ({file})", station.name()),
    }
}

fn read(site: &Site, station: &Station, name: &Text) -> Result<ReadMenu, String> {
    let (paths, limits) = (station.paths(), Limits::default());
    let read = site.files.read_menu(&paths, name, &limits);
    site.wait(read).map_err(|why| why.to_string())
}

/// The menu that a machine gets: the first of all that its loader asks for.
fn find(
    site: &Site,
    stations: &Stations,
    machine: &Machine,
) -> Result<(Station, ReadMenu), String> {
    let station = site.wait(machine.station(site, stations))?;
    for location in machine.asks(site, &station) {
        let asked = printable(&location.to_string());
        match site.wait(site.files.find(&location)) {
            Ok(found) => {
                eprintln!(
                    "asks for {asked}: that is {}",
                    printable(&found.path.to_string())
                );
                let name = station.name_of(&found.path);
                let menu = read(site, &station, &name).map_err(|why| format!("{asked}: {why}"))?;
                return Ok((station, menu));
            }
            Err(why) => eprintln!("asks for {asked}: {why}"),
        }
    }
    Err("such a machine finds no menu".to_owned())
}

/// Prints it: byte for byte into a file or a pipe, and so that it cannot drive a terminal.
fn put_out(text: &Text) -> ExitCode {
    match std::io::stdout().is_terminal() {
        true => print_bytes(for_terminal(&text.to_string()).as_bytes()),
        false => print_bytes(text),
    }
}

/// Lines of text with each other control character as an escape.
fn for_terminal(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    for char in text.chars() {
        let is_harmless = matches!(char, '\n' | '\t');
        let turns = matches!(char, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        if (char.is_control() || turns) && !is_harmless {
            clean.extend(char.escape_default());
        } else {
            clean.push(char);
        }
    }
    clean
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_menu_cannot_drive_a_terminal() {
        let hostile = "LABEL \x1b]0;x\x07\u{202e}a\n\tb\r\n";
        let clean = for_terminal(hostile);
        assert_eq!(clean, "LABEL \\u{1b}]0;x\\u{7}\\u{202e}a\n\tb\\r\n");
    }
}
