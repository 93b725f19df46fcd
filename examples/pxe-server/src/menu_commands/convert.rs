//! `pxe-server menu convert`: a menu as a file for another loader.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use super::checked::Checked;
use super::colour::ColourArgs;
use super::language::{BaseArgs, Language};
use super::machine::{Known, Machine};
use super::site::{Site, TreeArgs, shown};
use super::station::Stations;
use super::terminal;
use crate::folder::{Folder, Put};

/// The command line of `menu convert`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The menu
    file: PathBuf,
    /// The language to say it in
    #[arg(long, value_name = "LANGUAGE")]
    to: Language,
    /// The file to write; without one, the standard output
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Replace that file if it is there
    #[arg(long, requires = "output")]
    force: bool,
    /// The machine that it is for, as at `menu show`
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

/// Converts. The exit status is 1 if entries were left out.
pub(super) fn run(args: &Args) -> Result<ExitCode, String> {
    let site = Site::open(&args.tree, &args.file)?;
    eprintln!("{}", site.tell());
    let machine = Machine::new(&args.machine)?;
    let stations = site.wait(Stations::find(&site));
    let checked = Checked::read_file(&site, &stations, &args.file, &machine)?;
    checked.tell(args.colour.paint_errors());
    let client = machine.client(&site);
    let menu = &checked.menu.resolution.menu;
    let paths = checked.station().paths();
    let (text, lost) = args.to.say(menu, paths, &client, &args.base);
    checked.tell_more(&lost, args.colour.paint_errors());
    let left_out = lost
        .iter()
        .filter(|finding| finding.message.starts_with("left out: "));
    let left_out = left_out.count();
    match &args.output {
        Some(file) => write(file, &text, args.force)?,
        None => {
            let printed = terminal::print(&text);
            if printed != ExitCode::SUCCESS {
                return Ok(printed);
            }
        }
    }
    Ok(match left_out {
        0 => ExitCode::SUCCESS,
        count => {
            let plural = if count == 1 { "y was" } else { "ies were" };
            eprintln!("{count} entr{plural} left out");
            ExitCode::FAILURE
        }
    })
}

/// Writes the file whole or not at all, so that a server never gives half of it.
fn write(file: &Path, content: &[u8], force: bool) -> Result<(), String> {
    let name = file.file_name().and_then(|name| name.to_str());
    let name = name.ok_or_else(|| format!("{} is no name for a file", shown(file)))?;
    let parent = match file.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    if !parent.is_dir() {
        return Err(format!("{} is no directory: make it first", shown(parent)));
    }
    let put = Folder::open_or_make(parent).and_then(|folder| folder.put(name, content, force));
    match put.map_err(|error| error.to_string())? {
        Put::Kept if force => Err(format!(
            "{} is there and no file: name another one",
            shown(file)
        )),
        Put::Kept => Err(format!(
            "{} is there already; --force replaces it",
            shown(file)
        )),
        _ => Ok(()),
    }
}
