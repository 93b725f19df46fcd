//! Comparison with other servers: each figure is taken from all of them in one run, interleaved.
//!
//! Runs as root on Debian and installs the servers that it compares. See `benches/README.md`.
#![forbid(unsafe_code)]

mod dhcp;
mod flush;
mod statistics;

use std::process::ExitCode;

use clap::Parser;

/// Compares this project's server with others, in one run.
#[derive(Debug, Parser)]
enum Command {
    /// DHCP: against kea-dhcp4, isc-dhcp-server and dnsmasq.
    Dhcp(dhcp::Options),
}

fn main() -> ExitCode {
    let result = match Command::parse() {
        Command::Dhcp(options) => dhcp::run(&options),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
