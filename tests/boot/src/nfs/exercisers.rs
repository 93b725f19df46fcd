//! Programs that exercise a file system, built once by Cargo and kept for later runs.

use std::path::{Path, PathBuf};
use std::process::Command;

use pxe_test_lab::run;

use crate::nfs::debian::CACHE;

/// A program that a crate has, in the version that its exclusions are written for.
struct Exerciser {
    name: &'static str,
    version: &'static str,
}

const FSX: Exerciser = Exerciser {
    name: "fsx",
    version: "0.3.2",
};
const PJDFSTEST: Exerciser = Exerciser {
    name: "pjdfstest",
    version: "0.2.2",
};

/// Where they are.
#[derive(Debug)]
pub(crate) struct Exercisers {
    pub(crate) fsx: PathBuf,
    pub(crate) pjdfstest: PathBuf,
}

impl Exercisers {
    /// Those of an earlier run, or new ones.
    pub(crate) fn ensure() -> Result<Exercisers, String> {
        Ok(Exercisers {
            fsx: FSX.ensure()?,
            pjdfstest: PJDFSTEST.ensure()?,
        })
    }
}

impl Exerciser {
    fn ensure(&self) -> Result<PathBuf, String> {
        let root = Path::new(CACHE).join(format!("{}-{}", self.name, self.version));
        let program = root.join("bin").join(self.name);
        if program.is_file() {
            return Ok(program);
        }
        println!("building {} {}", self.name, self.version);
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut command = Command::new(cargo);
        // Optimised code would be no faster over NFS, and take longer to build. It is built beside its place, not in our target.
        command.args([
            "install",
            "--quiet",
            "--locked",
            "--debug",
            "--version",
            self.version,
        ]);
        command.arg("--root").arg(&root);
        command.arg("--target-dir").arg(root.join("target"));
        command.arg(self.name);
        command.current_dir("/");
        let built = run(&mut command);
        let _ = std::fs::remove_dir_all(root.join("target"));
        built?;
        Ok(program)
    }
}
