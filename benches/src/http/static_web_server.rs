//! static-web-server, which no distribution has as a package: built once, and kept.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Which one.
const VERSION: &str = "2.44.1";

/// Builds it if that was not done before. Returns where it is.
///
/// # Errors
/// What cargo said.
pub(super) fn build() -> Result<PathBuf, String> {
    let own = std::env::current_exe().map_err(|error| format!("own path: {error}"))?;
    let target = own.parent().and_then(Path::parent);
    let target = target.ok_or("no target directory above this program")?;
    let root = target.join(format!("peers/static-web-server-{VERSION}"));
    let program = root.join("bin/static-web-server");
    if program.exists() {
        return Ok(program);
    }
    println!("building static-web-server {VERSION}, once");
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args([
        "install",
        "--quiet",
        "--locked",
        "--no-track",
        "--version",
        VERSION,
    ]);
    command.arg("--root").arg(&root).arg("static-web-server");
    command.env("CARGO_TARGET_DIR", target.join("peers/build"));
    pxe_test_lab::run(&mut command)?;
    Ok(program)
}
