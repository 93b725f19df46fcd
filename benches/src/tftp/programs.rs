//! Where the servers' programs are that are not just installed.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::server::Kind;
use crate::{published, pxe_server};

const RS_TFTPD_VERSION: &str = "1.0.0";

/// The programs, below the target directory; built or unpacked once.
#[derive(Debug, Default)]
pub(super) struct Programs {
    pub(super) pxe_server: PathBuf,
    pub(super) rs_tftpd: PathBuf,
    pub(super) tftpd_hpa: PathBuf,
    pub(super) atftpd: PathBuf,
}

impl Programs {
    /// Gets those of some servers; our own is built, unless it is given.
    ///
    /// # Errors
    /// What cargo, apt-get or dpkg-deb said.
    pub(super) fn get(kinds: &[Kind], given: Option<&Path>) -> Result<Self, String> {
        let mut programs = Self::default();
        for kind in kinds {
            match kind {
                Kind::PxeServer => {
                    programs.pxe_server = match given {
                        Some(path) => path.to_owned(),
                        None => pxe_server::build()?,
                    };
                }
                Kind::RsTftpd => {
                    programs.rs_tftpd = published::build("rs-tftpd", "tftpd", RS_TFTPD_VERSION)?;
                }
                Kind::TftpdHpa => programs.tftpd_hpa = unpacked("tftpd-hpa", "usr/sbin/in.tftpd")?,
                Kind::Atftpd => programs.atftpd = unpacked("atftpd", "usr/sbin/atftpd")?,
                Kind::PxeTftp | Kind::Reference | Kind::Dnsmasq => {}
            }
        }
        Ok(programs)
    }
}

/// A program of a Debian package that is unpacked, not installed: the packages of TFTP servers
/// exclude each other.
fn unpacked(package: &str, program: &str) -> Result<PathBuf, String> {
    let root = published::target()?.join(format!("peers/{package}"));
    let program = root.join(program);
    if program.exists() {
        return Ok(program);
    }
    println!("unpacking {package}");
    let at = |error: std::io::Error| format!("{}: {error}", root.display());
    std::fs::create_dir_all(&root).map_err(at)?;
    let mut download = Command::new("apt-get");
    download
        .args(["download", "-qq", package])
        .current_dir(&root);
    pxe_test_lab::run(&mut download)?;
    let files = std::fs::read_dir(&root).map_err(at)?.flatten();
    let is_archive = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "deb");
    let mut archives = files.map(|file| file.path()).filter(is_archive);
    let archive = archives
        .next()
        .ok_or_else(|| format!("no archive of {package}"))?;
    pxe_test_lab::run(Command::new("dpkg-deb").arg("-x").arg(archive).arg(&root))?;
    Ok(program)
}
