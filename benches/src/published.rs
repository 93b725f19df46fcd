//! Servers that no distribution has as packages, from their published crates.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Builds the program that has the crate's name, below the target directory, if that was not done
/// before. Returns where it is.
///
/// # Errors
/// What cargo said.
pub(crate) fn build(name: &str, of_crate: &str, version: &str) -> Result<PathBuf, String> {
    let root = target()?.join(format!("peers/{name}-{version}"));
    let program = root.join("bin").join(of_crate);
    if program.exists() {
        return Ok(program);
    }
    println!("building {name} {version}, once");
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args(["install", "--quiet", "--locked", "--no-track"]);
    command.args(["--version", version]);
    command.arg("--root").arg(&root).arg(of_crate);
    command.env("CARGO_TARGET_DIR", target()?.join("peers/build"));
    pxe_test_lab::run(&mut command)?;
    Ok(program)
}

/// The target directory that this program is in.
///
/// # Errors
/// A text, if there is none.
pub(crate) fn target() -> Result<PathBuf, String> {
    let own = std::env::current_exe().map_err(|error| format!("own path: {error}"))?;
    let target = own.parent().and_then(Path::parent);
    let target = target.ok_or("no target directory above this program")?;
    Ok(target.to_owned())
}
