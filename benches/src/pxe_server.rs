//! This project's server, built as it is to be released.

use std::path::PathBuf;
use std::process::Command;

use crate::published;

/// Builds it. Returns where it is.
///
/// # Errors
/// What cargo said.
pub(crate) fn build() -> Result<PathBuf, String> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args(["build", "--release", "--locked", "-p", "pxe-server"]);
    pxe_test_lab::run(&mut command)?;
    Ok(published::target()?.join("release/pxe-server"))
}
