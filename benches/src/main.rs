//! Comparison with other servers: each figure is taken from all of them in one run, interleaved. And
//! how the time of pxe-menu grows with a menu.
//!
//! The comparisons run as root on Debian and install the servers that they compare. See
//! `benches/README.md`.
#![forbid(unsafe_code)]

mod dhcp;
mod dns;
mod flush;
mod http;
mod memory;
mod menu;
mod network;
mod nfs;
mod pattern;
mod processor;
mod published;
mod pxe_server;
mod random;
mod running;
mod statistics;
mod tftp;

use std::process::ExitCode;

use clap::Parser;

/// Compares this project's server with others, in one run, and measures its crates.
#[derive(Debug, Parser)]
enum Command {
    /// DHCP: against kea-dhcp4, isc-dhcp-server and dnsmasq.
    Dhcp(dhcp::Options),
    /// DNS: against nsd, knot, named and dnsmasq.
    Dns(dns::Options),
    /// DNS: how long the engine takes for a query, by the size of the zones. Needs no root.
    DnsHandle,
    /// pxe-dns, for itself.
    #[command(hide = true)]
    DnsServe(dns::ServeOptions),
    /// HTTP: against nginx, lighttpd and static-web-server.
    Http(http::Options),
    /// pxe-http, for itself.
    #[command(hide = true)]
    HttpServe(http::ServeOptions),
    /// NFS: against nfs-ganesha and nfs3_server.
    Nfs(nfs::Options),
    /// One of the servers of `nfs`, for itself: ours, or nfs3_server.
    #[command(hide = true)]
    NfsServe(nfs::ServeOptions),
    /// TFTP: against tftpd-hpa, dnsmasq, atftpd and rs-tftpd.
    Tftp(tftp::Options),
    /// One of the servers of `tftp`, for itself: our crate, or the least possible server.
    #[command(hide = true)]
    TftpServe(tftp::ServeOptions),
    /// Menus: how the time to read, check and render one grows with its labels. Needs no root.
    Menu(menu::Options),
}

fn main() -> ExitCode {
    let result = match Command::parse() {
        Command::Dhcp(options) => dhcp::run(&options),
        Command::Dns(options) => dns::run(&options),
        Command::DnsHandle => dns::handle(),
        Command::DnsServe(options) => dns::serve(&options),
        Command::Http(options) => http::run(&options),
        Command::HttpServe(options) => http::serve(&options),
        Command::Nfs(options) => nfs::run(&options),
        Command::NfsServe(options) => nfs::serve(&options),
        Command::Tftp(options) => tftp::run(&options),
        Command::TftpServe(options) => tftp::serve(&options),
        Command::Menu(options) => {
            menu::run(&options);
            Ok(())
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
