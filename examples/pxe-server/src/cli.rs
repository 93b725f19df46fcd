//! The command line.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// A network-boot server: DHCP, TFTP and HTTP from one tree of files and one short configuration.
#[derive(Debug, Parser)]
#[command(name = "pxe-server", version, about)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve what the configuration file says, until SIGTERM
    Serve {
        /// The configuration file
        config: PathBuf,
    },
    /// Say whether a configuration file is valid, and start nothing
    Check {
        /// The configuration file
        config: PathBuf,
    },
    /// Lay out a boot tree from the loaders installed on this machine
    Init(crate::init::Args),
    /// Boot a virtual client from a server on loopback ports, and show its timeline
    Demo(crate::demo::Args),
}

/// Runs the program: reads the command line, does what it says.
#[must_use]
pub fn main() -> ExitCode {
    match Cli::parse().command {
        Command::Serve { .. } | Command::Check { .. } => ExitCode::FAILURE,
        Command::Init(args) => crate::init::run(&args),
        Command::Demo(args) => crate::demo::run(&args),
    }
}
