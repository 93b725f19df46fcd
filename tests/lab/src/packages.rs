//! Installs the Debian packages that a run needs.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

/// What this crate itself runs.
const OWN: [&str; 2] = ["iproute2", "util-linux"];

/// What Debian's packages ask before they start their services (deb-systemd-invoke(1p),
/// invoke-rc.d(8)).
const POLICY: &str = "/usr/sbin/policy-rc.d";
/// Says that nothing is to be started.
const FORBIDS_ALL: &str = "#!/bin/sh\nexit 101\n";

/// Installs those of the packages that are missing; their services are not started. A package that cannot be had is an error: nothing is skipped.
///
/// # Errors
/// What `dpkg-query` or `apt-get` said.
pub fn ensure<'a>(wanted: impl IntoIterator<Item = &'a String>) -> Result<(), String> {
    let mut packages: BTreeSet<&str> = OWN.into_iter().collect();
    packages.extend(wanted.into_iter().map(String::as_str));
    let mut missing = Vec::new();
    for package in packages {
        if !is_installed(package)? {
            missing.push(package);
        }
    }
    if missing.is_empty() {
        return Ok(());
    }
    println!("installing {}", missing.join(" "));
    apt(&["update", "-qq"])?;
    let mut arguments = vec!["install", "-y", "-qq", "--no-install-recommends"];
    arguments.extend(&missing);
    let _quiet = ServicesForbidden::new()?;
    apt(&arguments)
}

/// As long as this lives, packages that are installed start no service.
struct ServicesForbidden {
    /// Whether the policy is ours. The administrator's stays, whatever it says.
    is_ours: bool,
}

impl ServicesForbidden {
    fn new() -> Result<Self, String> {
        let made = File::create_new(POLICY).and_then(|mut file| {
            file.set_permissions(fs::Permissions::from_mode(0o755))?;
            file.write_all(FORBIDS_ALL.as_bytes())
        });
        match made {
            Ok(()) => Ok(Self { is_ours: true }),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(Self { is_ours: false }),
            Err(error) => Err(format!("{POLICY}: {error}")),
        }
    }
}

impl Drop for ServicesForbidden {
    fn drop(&mut self) {
        if self.is_ours {
            let _ = fs::remove_file(POLICY);
        }
    }
}

fn is_installed(package: &str) -> Result<bool, String> {
    let output = Command::new("dpkg-query")
        .args(["-W", "-f", "${Status}", package])
        .output()
        .map_err(|error| format!("cannot run dpkg-query (this runs on Debian): {error}"))?;
    Ok(says_installed(&output.stdout))
}

fn says_installed(status: &[u8]) -> bool {
    String::from_utf8_lossy(status).ends_with(" ok installed")
}

fn apt(arguments: &[&str]) -> Result<(), String> {
    let output = Command::new("apt-get")
        .args(arguments)
        .env("DEBIAN_FRONTEND", "noninteractive")
        .output()
        .map_err(|error| format!("cannot run apt-get: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let errors = String::from_utf8_lossy(&output.stderr);
    Err(format!(
        "apt-get {}: {}\n{errors}",
        arguments.join(" "),
        output.status
    ))
}

#[cfg(test)]
mod tests {
    use super::says_installed;

    #[test]
    fn only_a_complete_installation_counts() {
        assert!(says_installed(b"install ok installed"));
        assert!(!says_installed(b"deinstall ok config-files"));
        assert!(!says_installed(b"install ok unpacked"));
        assert!(!says_installed(b""));
    }
}
