//! `pxe-server explain`: what a machine would be told, and why, without a network and without a
//! running server.
//!
//! A request as such a machine sends it is handed to the engine that serves, with the policy that
//! serves and no lease; what is printed is read from its reply. So it cannot say anything else
//! than the server would.

mod answer;
mod client;
mod path;
mod report;

use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::process::ExitCode;

use pxe_core::MacAddr;
use pxe_dhcp::wire::{IpxeFeature, MachineUuid};
use pxe_dhcp::{ClientArch, Pattern, Stage};

use self::answer::Told;
use crate::cli::print;
use crate::config::{Config, ConfigError};

/// The machine, and what is asked about it.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The configuration file
    #[arg(default_value = "pxe.toml")]
    config: PathBuf,
    /// The machine's hardware address
    #[arg(long, default_value = "52:54:00:00:00:01")]
    mac: MacAddr,
    /// Its architecture, such as uefi-x64; several for firmware that names several
    #[arg(long, value_delimiter = ',')]
    arch: Vec<ClientArch>,
    /// Its UUID, as `dmidecode -s system-uuid` shows it
    #[arg(long)]
    uuid: Option<MachineUuid>,
    /// Its vendor class (option 60), if it is not the usual one of its stage
    #[arg(long)]
    vendor_class: Option<String>,
    /// A user class (option 77), such as iPXE
    #[arg(long)]
    user_class: Option<String>,
    /// A feature of its iPXE (option 175), such as http; several with commas
    #[arg(long, value_delimiter = ',')]
    ipxe_feature: Vec<IpxeFeature>,
    /// Its client identifier (option 61), as a text or as hex:01525400..
    #[arg(long, value_name = "ID")]
    client_id: Option<Octets>,
    /// Its host name (option 12)
    #[arg(long)]
    host_name: Option<String>,
    /// The relay that it asks through
    #[arg(long)]
    relay: Option<Ipv4Addr>,
    /// The circuit identifier that the relay adds, as a text or as hex:..
    #[arg(long, value_name = "ID")]
    circuit_id: Option<Octets>,
    /// The remote identifier that the relay adds, as a text or as hex:..
    #[arg(long, value_name = "ID")]
    remote_id: Option<Octets>,
    /// The address that it asks for
    #[arg(long)]
    address: Option<Ipv4Addr>,
    /// At which step of its boot it is: pxe, http, ipxe or system
    #[arg(long)]
    stage: Option<Stage>,
    /// The server's address towards it, if the configuration does not say it
    #[arg(long)]
    server: Option<Ipv4Addr>,
    /// Say too whether it gets this file by TFTP and HTTP, or may mount this path by NFS
    #[arg(long, value_name = "FILE")]
    path: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Octets, written as a text or after `hex:`.
#[derive(Debug, Clone)]
struct Octets(Vec<u8>);

impl std::str::FromStr for Octets {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if !text.starts_with("hex:") {
            return Ok(Self(text.into()));
        }
        let pattern: Pattern = text.parse().map_err(|error| format!("{error}"))?;
        let octets = pattern.as_exact().filter(|octets| octets.len() <= 255);
        let octets = octets.ok_or("write at most 255 octets, without wildcards")?;
        Ok(Self(octets.to_vec()))
    }
}

/// Why nothing can be explained.
#[derive(Debug)]
enum Failure {
    Config(ConfigError),
    Other(String),
}

/// Explains.
pub(crate) fn run(args: &Args) -> ExitCode {
    match explain(args) {
        Ok(text) => print(&text),
        Err(Failure::Config(error)) => {
            for line in error.to_string().lines() {
                eprintln!("error: {line}");
            }
            ExitCode::FAILURE
        }
        Err(Failure::Other(reason)) => {
            eprintln!("pxe-server: {reason}");
            ExitCode::FAILURE
        }
    }
}

fn explain(args: &Args) -> Result<String, Failure> {
    let config = Config::load(&args.config).map_err(Failure::Config)?;
    let told = Told::to(args, &config).map_err(Failure::Other)?;
    let files = match &args.path {
        Some(path) => {
            let lookups = path::lookups(args, &config, &told, path);
            Some(lookups.map_err(Failure::Other)?)
        }
        None => None,
    };
    let report = report::Report {
        args,
        config: &config,
        told: &told,
        files: files.as_deref(),
    };
    Ok(match args.json {
        true => format!("{:#}\n", report.json()),
        false => report.text(),
    })
}
