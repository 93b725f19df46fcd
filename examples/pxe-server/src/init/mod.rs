//! `pxe-server init DIR`.

use std::path::PathBuf;
use std::process::ExitCode;

/// The command line of `init`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The directory to lay the tree out in
    dir: PathBuf,
}

pub(crate) fn run(args: &Args) -> ExitCode {
    eprintln!("init {}: not written yet", args.dir.display());
    ExitCode::FAILURE
}
