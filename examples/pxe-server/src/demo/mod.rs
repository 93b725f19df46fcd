//! `pxe-server demo`.

use std::process::ExitCode;

/// The command line of `demo`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Keep serving after the boot, until interrupted
    #[arg(long)]
    stay: bool,
}

pub(crate) fn run(args: &Args) -> ExitCode {
    eprintln!("demo (stay: {}): not written yet", args.stay);
    ExitCode::FAILURE
}
