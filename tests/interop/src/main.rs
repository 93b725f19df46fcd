//! Clients that nobody here wrote, against the server, in network namespaces.
//!
//! `cargo run -p pxe-interop-tests` as root; `-- NAME` runs the tests whose name contains NAME.
#![forbid(unsafe_code)]

mod client;
mod dhcp;
mod http;
mod site;
mod tftp;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;

use crate::site::Site;

/// A test: a name, and what it does on a site of its own.
type Test = (&'static str, fn(&Site) -> Result<(), String>);

/// The Debian packages whose programs the tests run.
const PACKAGES: [&str; 6] = [
    "atftp",
    "busybox",
    "curl",
    "isc-dhcp-client",
    "procps",
    "tftp-hpa",
];

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
    let (mut passed, mut failed) = (0, 0);
    let tests = [tftp::TESTS, http::TESTS, dhcp::TESTS].concat();
    for (name, test) in tests
        .into_iter()
        .filter(|(name, _)| name.contains(&arguments.only))
    {
        // A site each: no test sees the leases or the transfers of another.
        let outcome = Site::new(&server).and_then(|site| {
            let result = test(&site);
            site.judge(result)
        });
        match outcome {
            Ok(()) => {
                passed += 1;
                println!("ok      {name}");
            }
            Err(error) => {
                failed += 1;
                println!("FAILED  {name}: {error}");
            }
        }
    }
    println!("{passed} passed, {failed} failed");
    Ok(failed == 0 && passed > 0)
}
