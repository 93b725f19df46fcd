//! `pxe-server doctor`: what on this machine and its links keeps machines from booting.

mod dns;
mod finding;
mod firewall;
mod links;
mod nfs;
mod ports;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use nix::unistd::{AccessFlags, access};
use serde_json::json;

use self::finding::Finding;
use crate::capabilities::Kept;
use crate::cli::print;
use crate::config::{Config, ConfigError, Problem, Store};
use crate::privileges::{self, Identity};

/// The doctor's command line.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The configuration file
    config: PathBuf,
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// How many seconds to wait for other DHCP servers, which may ping an address first
    #[arg(long, value_name = "SECONDS", default_value_t = 5)]
    wait: u64,
}

/// Looks, tells, and fails if the server could not serve.
pub(crate) fn run(args: &Args) -> ExitCode {
    let findings = examine(&args.config, Duration::from_secs(args.wait));
    let can_serve = !findings.iter().any(Finding::is_error);
    let text = if args.json {
        let answer = json!({ "can_serve": can_serve, "findings": findings });
        format!("{answer:#}\n")
    } else {
        findings
            .iter()
            .map(|finding| format!("{finding}\n"))
            .collect()
    };
    let printed = print(&text);
    if can_serve {
        printed
    } else {
        ExitCode::FAILURE
    }
}

fn examine(file: &Path, wait: Duration) -> Vec<Finding> {
    let config = match Config::load(file) {
        Ok(config) => config,
        Err(error) => return faults(&error),
    };
    let mut findings = vec![Finding::ok(format!("{}: valid", file.display()))];
    let warn = |problem: &Problem| Finding::warning(config.locate(problem), "");
    findings.extend(config.warnings.iter().map(warn));
    match config.check_machine() {
        Ok(warnings) => findings.extend(warnings.iter().map(warn)),
        Err(error) => findings.extend(faults(&error)),
    }
    if !privileges::is_root() {
        findings.push(Finding::warning(
            "not root: ports, other servers and the firewall can be looked at in part only",
            "run it as root",
        ));
    }
    findings.extend(ports::examine(&config));
    findings.extend(nfs::examine(&config));
    findings.extend(dns::examine(&config));
    findings.extend(links::examine(&config, wait));
    findings.extend(firewall::examine(&config));
    let store = Store::of_service(&config);
    // The last: there is no way back to root.
    findings.extend(as_user(&config));
    findings.extend(dns::examine_as_user(&config, &findings));
    findings.extend(images_as_user(&config));
    let dhcp = config.dhcp.as_ref();
    if dhcp.is_some_and(|dhcp| dhcp.mode.gives_addresses()) {
        findings.extend(examine_store(&store));
    }
    findings
}

fn faults(error: &ConfigError) -> Vec<Finding> {
    let text = error.to_string();
    text.lines().map(|line| Finding::error(line, "")).collect()
}

/// Whether the user that the server becomes can read what it is to serve.
fn as_user(config: &Config) -> Vec<Finding> {
    let user = config.server.user.as_deref();
    let Some(user) = user.filter(|_| privileges::is_root()) else {
        return Vec::new();
    };
    // A user that does not exist was told of.
    let Ok(Some(identity)) = Identity::of(user) else {
        return Vec::new();
    };
    if let Err(error) = identity.assume(Kept::NONE) {
        let text = format!("cannot become {user}: {error}");
        return vec![Finding::error(text, "start the server as that user")];
    }
    let root = &config.tree.root;
    if let Err(error) = std::fs::read_dir(root) {
        let text = format!("{} cannot be read by {user}: {error}", root.display());
        let remedy = "let that user read it (chmod o+rx, on the directories above it too)";
        return vec![Finding::error(text, remedy)];
    }
    let files = config.boot_files();
    let unreadable = files.iter().filter_map(|(name, path)| {
        let error = std::fs::File::open(path).err()?;
        // What is missing was told of.
        (error.kind() == std::io::ErrorKind::PermissionDenied).then(|| {
            let text = format!("boot file {name} cannot be read by {user}");
            Finding::error(text, format!("chmod o+r {}", path.display()))
        })
    });
    let mut findings: Vec<Finding> = unreadable.collect();
    findings.extend(unreadable_keys(config, user));
    if findings.is_empty() {
        let text = format!("{} can be read by {user}", root.display());
        findings.push(Finding::ok(text));
    }
    findings
}

/// Images as the user that this process is by now has them.
fn images_as_user(config: &Config) -> Vec<Finding> {
    let Some(images) = &config.images else {
        return Vec::new();
    };
    let found = crate::image_commands::findings(config);
    if found.is_empty() {
        let text = format!("all images in {} can be served", images.dir.display());
        return vec![Finding::ok(text)];
    }
    let found = found.into_iter();
    found
        .map(|text| Finding::warning(format!("images: {text}"), ""))
        .collect()
}

/// What can be read at the start, as root, and not when it was renewed.
fn unreadable_keys(config: &Config, user: &str) -> Vec<Finding> {
    let tls = config.http.iter().filter_map(|http| http.tls.as_ref());
    let files = tls.flat_map(|tls| [&tls.certificate, &tls.key]);
    let unreadable = files.filter_map(|path| {
        let error = std::fs::File::open(path).err()?;
        (error.kind() == std::io::ErrorKind::PermissionDenied).then(|| {
            let text = format!(
                "{} cannot be read by {user}: once it is renewed, the server has to be started \
                 anew",
                path.display()
            );
            let remedy = "give it to the group of that user, and let that group read it";
            Finding::warning(text, remedy)
        })
    });
    unreadable.collect()
}

/// Whether the user that this process is by now can keep leases there. The file is not opened: a
/// server that runs has it for itself.
fn examine_store(store: &Store) -> Option<Finding> {
    let Store::File(file) = store else {
        let text = "leases are kept in memory, and lost when the server ends";
        return Some(Finding::warning(text, "name a file with leases.store"));
    };
    let directory = file.parent().filter(|parent| *parent != Path::new(""));
    let directory = directory.unwrap_or(Path::new("."));
    let wanted = match (file.exists(), directory.is_dir()) {
        (true, _) => file.as_path(),
        (false, true) => directory,
        (false, false) => {
            let text = format!("{} will be made for the leases", directory.display());
            return Some(Finding::ok(text));
        }
    };
    let access = access(wanted, AccessFlags::R_OK | AccessFlags::W_OK);
    Some(match access {
        Ok(()) => Finding::ok(format!("leases can be kept in {}", file.display())),
        Err(error) => {
            let text = format!("leases cannot be kept in {}: {error}", file.display());
            let remedy = format!("give {} to the server's user", wanted.display());
            Finding::error(text, remedy)
        }
    })
}
