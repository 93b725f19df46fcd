//! Installs the Debian packages that a run needs.

use std::collections::BTreeSet;
use std::process::Command;

/// What this crate itself runs.
const OWN: [&str; 2] = ["iproute2", "util-linux"];

/// Installs those of the packages that are missing. A package that cannot be had is an error: nothing is skipped.
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
    apt(&arguments)
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
