//! This project's server, built as it is to be released.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Builds it. Returns where it is.
///
/// # Errors
/// What cargo said.
pub(crate) fn build() -> Result<PathBuf, String> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args(["build", "--release", "--locked", "-p", "pxe-server"]);
    pxe_test_lab::run(&mut command)?;
    let own = std::env::current_exe().map_err(|error| format!("own path: {error}"))?;
    let profiles = own.parent().and_then(Path::parent);
    let program = profiles.map(|target| target.join("release/pxe-server"));
    program.ok_or_else(|| "no target directory above this program".to_owned())
}
