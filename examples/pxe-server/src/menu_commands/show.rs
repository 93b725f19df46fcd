//! `pxe-server menu show`: a menu as a machine has it.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use super::checked::Checked;
use super::colour::ColourArgs;
use super::images;
use super::language::{BaseArgs, Language};
use super::machine::{Known, Machine};
use super::site::{Site, TreeArgs};
use super::station::{Station, Stations};
use super::terminal;
use crate::fact::printable;
use crate::menus::program::Program;

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
    base: BaseArgs,
    #[command(flatten)]
    colour: ColourArgs,
    #[command(flatten)]
    tree: TreeArgs,
}

/// Shows a menu; what is wrong with it, and how it was found, goes to the standard error.
pub(super) fn run(args: &Args) -> Result<ExitCode, String> {
    let near = args.file.as_deref().unwrap_or(Path::new("."));
    let mut site = Site::open(&args.tree, near)?;
    eprintln!("{}", site.tell());
    let machine = Machine::new(&args.machine)?;
    let stations = site.wait(Stations::find(&site));
    let checked = match &args.file {
        Some(file) => Checked::read_file(&site, &stations, file, &machine)?,
        None => find(&mut site, &stations, &machine)?,
    };
    checked.tell(args.colour.paint_errors());
    let client = machine.client(&site);
    let menu = &checked.menu.resolution.menu;
    let paths = checked.station().paths();
    let (text, lost) = args.language.say(menu, paths, &client, &args.base);
    checked.tell_more(&lost, args.colour.paint_errors());
    let printed = terminal::print(&text);
    Ok(match printed == ExitCode::SUCCESS && !checked.is_served() {
        true => ExitCode::FAILURE,
        false => printed,
    })
}

/// The menu that a machine gets: the first of all that its loader asks for, or that of images.
fn find(site: &mut Site, stations: &Stations, machine: &Machine) -> Result<Checked, String> {
    let station: Station = site.wait(machine.station(site, stations))?;
    let is_grub = station.program == Program::Grub;
    if is_grub {
        eprintln!("what GRUB asks for is built into it: this is what usual builds ask for");
    }
    for location in machine.asks(site, &station) {
        let asked = printable(&location.to_string());
        match site.wait(site.files.find(&location)) {
            // The loader takes it for missing (`__pxe_searchdir` in core/fs/pxe/pxe.c).
            Ok(found) if found.attributes.len == 0 && !is_grub => {
                eprintln!("asks for {asked}: it is empty, which counts as missing");
            }
            Ok(found) => {
                let path = printable(&found.path.to_string());
                eprintln!("asks for {asked}: that is {path}");
                let name = station.name_of(&found.path);
                let (format, client) = (station.format(), machine.client_of_loader(site));
                let checked = Checked::read(site, &station, &name, format, &client);
                return checked.map_err(|why| format!("{asked}: {why}"));
            }
            Err(why) => eprintln!("asks for {asked}: {why}"),
        }
    }
    if let Some(path) = images::lay(site, &station, machine)? {
        let asked = printable(&path.to_string());
        eprintln!("the server makes {asked} of its images");
        let name = station.name_of(&path);
        let client = machine.client_of_loader(site);
        let checked = Checked::read(site, &station, &name, station.format(), &client);
        return checked.map_err(|why| format!("{asked}: {why}"));
    }
    let hint = match is_grub {
        true => ": the server makes one of pxelinux's for it, unless menu.convert is false",
        false => "",
    };
    let loader = station.name();
    Err(format!(
        "{loader} finds no menu for such a machine in the tree{hint}"
    ))
}
