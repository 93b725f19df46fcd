//! The command line.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::config::CONTROL_DEFAULT;
use crate::{client_commands, serve};

/// A network-boot server: DHCP, TFTP, HTTP, NFS and DNS from one tree of files and one short
/// configuration.
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
    /// Look for what keeps machines from booting: ports, interfaces, other DHCP servers, files
    Doctor(crate::doctor::Args),
    /// Say what a machine would be told to boot, and why; needs no running server
    Explain(Box<crate::explain::Args>),
    /// Show how the running server is
    Status {
        #[command(flatten)]
        control: Control,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Make the running server read its configuration file again
    Reload {
        #[command(flatten)]
        control: Control,
    },
    /// List or export the leases, or release one
    Leases(crate::lease_commands::Args),
    /// Show at which step of its boot each machine is, or the timeline of one
    Machines {
        #[command(flatten)]
        control: Control,
        /// Print JSON
        #[arg(long)]
        json: bool,
        /// A machine's hardware or IP address
        machine: Option<String>,
    },
    /// Stop the running server gracefully
    Stop {
        #[command(flatten)]
        control: Control,
    },
    /// Show boot menus, check them, or say them in another loader's language
    Menu(crate::menu_commands::Args),
    /// Show which images of systems are served, how each boots, and why
    Image(crate::image_commands::Args),
    /// Check zone files, and ask the running server for names
    Dns(crate::dns_commands::Args),
    /// Lay out a boot tree from the loaders installed on this machine
    Init(crate::init::Args),
    /// Boot a virtual client from a server on loopback ports, and show its timeline
    Demo(crate::demo::Args),
}

#[derive(Debug, clap::Args)]
pub(crate) struct Control {
    /// The control socket of the running server, as its configuration names it
    #[arg(long = "control", value_name = "PATH", default_value = CONTROL_DEFAULT, global = true)]
    path: PathBuf,
}

impl Control {
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

/// Prints an answer; successful if it could be written.
pub(crate) fn print(text: &str) -> ExitCode {
    print_bytes(text.as_bytes())
}

/// The same of what need not be text.
pub(crate) fn print_bytes(bytes: &[u8]) -> ExitCode {
    let mut out = io::stdout().lock();
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Ok(()) => ExitCode::SUCCESS,
        // Nobody reads on (`leases | head`): there is no one to tell.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("pxe-server: output could not be written: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Runs the program: reads the command line, does what it says.
#[must_use]
pub fn main() -> ExitCode {
    match Cli::parse().command {
        Command::Serve { config } => serve::serve(&config),
        Command::Check { config } => serve::check(&config),
        Command::Doctor(args) => crate::doctor::run(&args),
        Command::Explain(args) => crate::explain::run(&args),
        Command::Status { control, json } => client_commands::status(&control, json),
        Command::Reload { control } => client_commands::reload(&control),
        Command::Leases(args) => crate::lease_commands::run(args),
        Command::Machines {
            control,
            json,
            machine,
        } => client_commands::machines(&control, json, machine),
        Command::Stop { control } => client_commands::stop(&control),
        Command::Menu(args) => crate::menu_commands::run(&args),
        Command::Image(args) => crate::image_commands::run(&args),
        Command::Dns(args) => crate::dns_commands::run(&args),
        Command::Init(args) => crate::init::run(&args),
        Command::Demo(args) => crate::demo::run(&args),
    }
}
