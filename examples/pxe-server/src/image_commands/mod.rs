//! `pxe-server image`: what a folder of images holds, how each boots, and why; without a network,
//! without root and without a running server.

mod check;
mod list;
mod own;
mod show;
mod site;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Subcommand;
use serde_json::Value;

use self::site::Site;
use crate::cli::print;
use crate::config::Config;
use crate::menu_commands::harmless_json;

/// The command line of `image`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// List the images of a folder: what each is, and whether it is served
    List {
        #[command(flatten)]
        folder: FolderArgs,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Show what an image was recognised by, what it needs, and the command lines that boot it
    Show {
        /// The configuration that serves it, to have its addresses in command lines
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
        /// The image's file; with --config its name or that of its file
        image: String,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Say what keeps images from being served or booted; exit status 1 if anything does, 2 if it
    /// cannot be said
    Check {
        #[command(flatten)]
        folder: FolderArgs,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

/// Which folder.
#[derive(Debug, clap::Args)]
struct FolderArgs {
    /// The configuration that serves the folder
    #[arg(
        long,
        value_name = "FILE",
        conflicts_with = "folder",
        required_unless_present = "folder"
    )]
    config: Option<PathBuf>,
    /// A folder of images
    folder: Option<PathBuf>,
}

impl FolderArgs {
    fn open(&self) -> Result<Site, String> {
        match (&self.config, &self.folder) {
            (Some(config), _) => Site::of_file(config),
            (None, Some(folder)) => Site::of_folder(folder),
            (None, None) => Err("name a configuration or a folder".to_owned()),
        }
    }
}

/// What a wrong command line, and what cannot be read, ends with.
const UNUSABLE: u8 = 2;

/// Runs a command about images.
pub(crate) fn run(args: &Args) -> ExitCode {
    let done = match &args.action {
        Action::List { folder, json } => folder.open().map(|site| list::run(&site, *json)),
        Action::Show {
            config: Some(config),
            image,
            json,
        } => Site::of_file(config).and_then(|site| show::run(&site, image, *json)),
        Action::Show {
            config: None,
            image,
            json,
        } => {
            let path = Path::new(image);
            let folder = path.parent().filter(|folder| *folder != Path::new(""));
            let name = path.file_name().map(|name| name.to_string_lossy());
            let site = Site::of_folder(folder.unwrap_or(Path::new(".")));
            site.and_then(|site| show::run(&site, &name.unwrap_or_default(), *json))
        }
        Action::Check { folder, json } => folder.open().map(|site| check::run(&site, *json)),
    };
    done.unwrap_or_else(|reason| {
        eprintln!("pxe-server: {reason}");
        ExitCode::from(UNUSABLE)
    })
}

/// Prints JSON. Names of files and texts of images are anybody's, and terminals obey more characters
/// than JSON has to escape.
fn print_json(value: &Value) -> ExitCode {
    print(&harmless_json(&format!("{value:#}\n")))
}

/// What is wrong with the images of this configuration, each thing a line.
pub(crate) fn findings(config: &Config) -> Vec<String> {
    if config.images.is_none() {
        return Vec::new();
    }
    match Site::of_config(config.clone()) {
        Ok(site) => check::errors(&site),
        // What is wrong with its profiles was told.
        Err(_) => Vec::new(),
    }
}

/// A line about images that cannot be had, if there are any.
pub(crate) fn complaint(config: &Config) -> Option<String> {
    let findings = findings(config);
    let file = config.file.display();
    let rest = format!("`pxe-server image check --config {file}` says more");
    match findings.as_slice() {
        [] => None,
        [text] => Some(format!("images: {text}; {rest}")),
        [text, more @ ..] => Some(format!("images: {text}, and {} more; {rest}", more.len())),
    }
}
