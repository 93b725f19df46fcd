//! Clients that nobody here wrote, against the server, in network namespaces.
//!
//! `cargo run -p pxe-interop-tests` as root; `-- NAME` runs the tests whose name contains NAME.
#![forbid(unsafe_code)]

mod access;
mod client;
mod comparison;
mod dhcp;
mod dhcp_client;
mod dhcp_link;
mod dhcp_trouble;
mod differences;
mod dns;
mod dns_forward;
mod dns_leases;
mod firmware;
mod grub;
mod http;
mod http_changes;
mod http_download;
mod http_large;
mod https;
mod images;
mod iso_images;
mod menus;
mod nfs;
mod nfs_link;
mod reply;
mod segment;
mod served_menus;
mod site;
mod storm_http;
mod storm_tftp;
mod tenancy;
mod tftp;
mod wiretap;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};

use clap::Parser;

use crate::site::{Setup, Site};

/// A test: a name, and what it does on a site of its own.
type Test = (&'static str, fn(&Site) -> Result<(), String>);

/// A test that lays out its own networks, and starts this server on them.
type LoneTest = (&'static str, fn(&Path) -> Result<(), String>);

const LONE_TESTS: [LoneTest; 2] = [
    (
        "the_tutorials_dhcpd_conf_has_the_same_answers",
        comparison::tutorial,
    ),
    (
        "the_alpine_dhcpd_conf_has_the_same_answers",
        comparison::alpine,
    ),
];

/// The Debian packages whose programs the tests run.
const PACKAGES: [&str; 42] = [
    "aria2",
    "atftp",
    "bind9",
    "bind9-dnsutils",
    "bind9-host",
    "bind9-utils",
    "busybox",
    "curl",
    "dhcpcd-base",
    "dnsmasq-base",
    "genisoimage",
    "grub-common",
    "grub-efi-amd64-bin",
    "grub-pc-bin",
    "isc-dhcp-client",
    "isc-dhcp-relay",
    "isc-dhcp-server",
    "isolinux",
    "jq",
    "knot-dnsutils",
    "ldnsutils",
    "libarchive-tools",
    "libnet-tftp-perl",
    "libnfs-utils",
    "mtools",
    "musl-tools",
    "nfs-common",
    "nsd",
    "openssl",
    "p7zip-full",
    "procps",
    "python3-requests",
    "rpcbind",
    "syslinux-utils",
    "systemd",
    "tftp-hpa",
    "tshark",
    "udftools",
    "unbound",
    "w3m",
    "wget",
    "xorriso",
];

/// How many tests run at once: most of the time they wait for clients.
const TESTS_AT_ONCE: usize = 12;

#[derive(Debug, Parser)]
#[command(about = "Clients that nobody here wrote, against pxe-server (needs root)")]
struct Arguments {
    /// Run the tests whose name contains this.
    #[arg(default_value = "")]
    only: String,
    /// The server's binary; built first if not given.
    #[arg(long)]
    server: Option<PathBuf>,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("interop: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<bool, String> {
    let packages = PACKAGES.map(String::from);
    pxe_test_lab::ensure(&packages)?;
    let server = match &arguments.server {
        Some(server) => server.clone(),
        None => site::build_server()?,
    };
    pxe_test_lab::remove_stale(&std::env::temp_dir());
    // Those that wait longest come first.
    let on_sites = [
        (tenancy::TESTS, tenancy::SETUP),
        (tftp::TESTS, site::EVERYTHING),
        (http_large::TESTS, site::EVERYTHING),
        (http::TESTS, site::EVERYTHING),
        (http_download::TESTS, site::EVERYTHING),
        (http_changes::TESTS, site::EVERYTHING),
        (https::TESTS, https::SETUP),
        (nfs::TESTS, nfs::SETUP),
        (access::TESTS, access::SETUP),
        (images::TESTS, images::SETUP),
        (served_menus::TESTS, served_menus::SETUP),
        (dhcp::TESTS, site::EVERYTHING),
    ];
    let on_sites = on_sites.into_iter().flat_map(|(tests, setup)| {
        let job = move |(name, test): &Test| (*name, Job::OnSite(setup, *test));
        tests.iter().map(job)
    });
    let alone = [
        &LONE_TESTS[..],
        dns::TESTS,
        dns_forward::TESTS,
        dhcp_link::TESTS,
        dhcp_trouble::TESTS,
        dns_leases::TESTS,
        grub::TESTS,
        menus::TESTS,
        nfs_link::TESTS,
        storm_http::TESTS,
        storm_tftp::TESTS,
    ];
    let job_alone = |(name, test): &LoneTest| (*name, Job::Alone(*test));
    let alone = alone.into_iter().flatten().map(job_alone);
    // They write gigabytes. Beside them, whoever writes a lease to the disk waits for seconds, and so
    // does the client that asked for it.
    let writers = iso_images::TESTS.iter().map(job_alone);
    let is_wanted = |(name, _): &(&str, Job)| name.contains(&arguments.only);
    let jobs: Vec<_> = on_sites.chain(alone).filter(is_wanted).collect();
    let writers: Vec<_> = writers.filter(is_wanted).collect();
    let failed = run_all(&jobs, &server) + run_all(&writers, &server);
    let count = jobs.len() + writers.len();
    println!("{} passed, {failed} failed", count - failed);
    Ok(failed == 0 && count > 0)
}

/// Runs these, many at once. Returns how many failed.
fn run_all(jobs: &[(&str, Job)], server: &Path) -> usize {
    let (next, failed) = (AtomicUsize::new(0), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for _ in 0..TESTS_AT_ONCE.min(jobs.len()) {
            scope.spawn(|| {
                while let Some((name, job)) = jobs.get(next.fetch_add(1, Ordering::Relaxed)) {
                    match job.run(server) {
                        Ok(()) => println!("ok      {name}"),
                        Err(error) => {
                            failed.fetch_add(1, Ordering::Relaxed);
                            println!("FAILED  {name}: {error}");
                        }
                    }
                }
            });
        }
    });
    failed.into_inner()
}

/// A test, by what it needs.
#[derive(Debug, Clone, Copy)]
enum Job {
    OnSite(Setup, fn(&Site) -> Result<(), String>),
    Alone(fn(&Path) -> Result<(), String>),
}

impl Job {
    fn run(self, server: &Path) -> Result<(), String> {
        match self {
            // A site each: no test sees the leases or the transfers of another.
            Self::OnSite(setup, test) => {
                let site = Site::new(server, &setup)?;
                let result = test(&site);
                site.judge(result)
            }
            Self::Alone(test) => test(server),
        }
    }
}
