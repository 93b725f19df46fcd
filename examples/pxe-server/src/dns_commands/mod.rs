//! `pxe-server dns`: zone files checked, and names asked for.

mod check;
mod query;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Subcommand;

pub(crate) use self::check::check_zones;
use crate::cli::Control;

/// The command line of `dns`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Check a zone file as named-checkzone does: each finding with its file and line
    Check {
        /// The zone file
        file: PathBuf,
        /// The zone's name; left out, it is taken from the file's name (db.matrix.lan,
        /// matrix.lan.zone, 150.168.192.in-addr.arpa), or is that of its SOA record
        #[arg(long, value_name = "NAME")]
        zone: Option<String>,
        /// Print the zone in canonical form, too
        #[arg(long)]
        print: bool,
    },
    /// Ask the running server as a client would, and say where the answer comes from
    Query {
        #[command(flatten)]
        control: Control,
        /// A name, with the domain or without; or an address, for its name
        name: String,
        /// The type of records: A if nothing is said, PTR for an address
        #[arg(value_name = "TYPE")]
        kind: Option<String>,
        /// Ask as the client at this address, to see what it may
        #[arg(long, value_name = "ADDRESS")]
        client: Option<String>,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

/// Runs `dns`.
pub(crate) fn run(args: &Args) -> ExitCode {
    match &args.command {
        Command::Check { file, zone, print } => check::run(file, zone.as_deref(), *print),
        Command::Query {
            control,
            name,
            kind,
            client,
            json,
        } => query::run(control, name, kind.clone(), client.clone(), *json),
    }
}
