//! A Debian root, made once by mmdebstrap and kept for later runs: what guests mount as their root, and where the others have
//! their kernel, its modules and their few programs from.

use std::collections::hash_map::DefaultHasher;
use std::fs;
use std::hash::{Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::Command;

use pxe_test_lab::run;

/// Where what takes long to make is kept between runs. The server's user has to be able to get there.
pub(crate) const CACHE: &str = "/var/cache/pxe-boot-tests";

const SUITE: &str = "bookworm";

/// What is in it: enough for systemd to reach multi-user.target, initramfs-tools with klibc's nfsmount, nfs-utils.
const INCLUDE: [&str; 10] = [
    "busybox",
    "dbus",
    "initramfs-tools",
    "iproute2",
    "kmod",
    "linux-image-cloud-amd64",
    "netbase",
    "nfs-common",
    "systemd-sysv",
    "udev",
];

/// Written before packages are configured: the initramfs gets what it needs to mount its root over the network.
const NETBOOT: &str = "BOOT=nfs\nMODULES=netboot\n";

/// The root is read-only, and these are where a running system writes.
const FSTAB: &str = "\
tmpfs /tmp tmpfs defaults 0 0
tmpfs /var/tmp tmpfs defaults 0 0
tmpfs /var/log tmpfs defaults 0 0
tmpfs /var/lib/systemd tmpfs defaults 0 0
";

/// The packages of the host that make it.
pub(crate) const PACKAGES: [&str; 1] = ["mmdebstrap"];

/// A Debian root.
#[derive(Debug)]
pub(crate) struct Debian {
    pub(crate) root: PathBuf,
    /// The version of its kernel.
    version: String,
}

impl Debian {
    /// The one of an earlier run, or a new one.
    pub(crate) fn ensure() -> Result<Debian, String> {
        let mut hasher = DefaultHasher::new();
        (SUITE, INCLUDE, NETBOOT, FSTAB).hash(&mut hasher);
        let root = Path::new(CACHE).join(format!("debian-{:016x}", hasher.finish()));
        if !root.is_dir() {
            println!("making a Debian root in {}", root.display());
            make(&root)?;
        }
        let modules = root.join("lib/modules");
        let entries =
            fs::read_dir(&modules).map_err(|error| format!("{}: {error}", modules.display()))?;
        let mut versions: Vec<String> = entries
            .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
            .collect();
        versions.sort();
        let version = versions
            .pop()
            .ok_or_else(|| format!("{} is empty", modules.display()))?;
        Ok(Debian { root, version })
    }

    /// Its kernel.
    pub(crate) fn kernel(&self) -> PathBuf {
        self.root.join(format!("boot/vmlinuz-{}", self.version))
    }

    /// The initramfs that its own tools made.
    pub(crate) fn initrd(&self) -> PathBuf {
        self.root.join(format!("boot/initrd.img-{}", self.version))
    }

    /// The content of one of its files.
    pub(crate) fn read(&self, path: &str) -> Result<Vec<u8>, String> {
        let path = self.root.join(path);
        fs::read(&path).map_err(|error| format!("{}: {error}", path.display()))
    }

    /// The files of the modules and of all that they need, in the order in which they have to be loaded. Those that the kernel
    /// has built in have no file, and are left out.
    pub(crate) fn modules(&self, names: &[&str]) -> Result<Vec<String>, String> {
        let directory = format!("lib/modules/{}", self.version);
        let table = self.read(&format!("{directory}/modules.dep"))?;
        let table = String::from_utf8_lossy(&table);
        let mut order = Vec::new();
        for name in names {
            let file = format!("/{name}.ko");
            let line = table
                .lines()
                .filter_map(|line| line.split_once(':'))
                .find(|(module, _)| module.ends_with(&file));
            let (module, needs) = line.ok_or_else(|| format!("the kernel has no module {name}"))?;
            // modules.dep(5): what is needed first stands last.
            for path in needs.split_whitespace().rev().chain([module]) {
                let path = format!("{directory}/{path}");
                if !order.contains(&path) {
                    order.push(path);
                }
            }
        }
        Ok(order)
    }
}

/// Makes it beside its place, and moves it there when it is complete.
fn make(root: &Path) -> Result<(), String> {
    let at = |path: &Path, error: std::io::Error| format!("{}: {error}", path.display());
    fs::create_dir_all(CACHE).map_err(|error| at(Path::new(CACHE), error))?;
    let part = root.with_extension(format!("part-{}", std::process::id()));
    let written = root.with_extension(format!("files-{}", std::process::id()));
    fs::create_dir_all(&written).map_err(|error| at(&written, error))?;
    for (name, content) in [("netboot", NETBOOT), ("fstab", FSTAB)] {
        let path = written.join(name);
        fs::write(&path, content).map_err(|error| at(&path, error))?;
    }
    let mut command = Command::new("mmdebstrap");
    command.args(["--mode=root", "--variant=minbase", "--format=directory"]);
    command.arg(format!("--include={}", INCLUDE.join(",")));
    for path in ["doc", "man", "locale", "info"] {
        command.arg(format!("--dpkgopt=path-exclude=/usr/share/{path}/*"));
    }
    command.arg("--dpkgopt=force-unsafe-io");
    let hook = |name: &str, to: &str| {
        let from = written.join(name);
        format!("upload {} {to}", from.display())
    };
    command.arg("--essential-hook=mkdir -p \"$1/etc/initramfs-tools/conf.d\"");
    command.arg(format!(
        "--essential-hook={}",
        hook("netboot", "/etc/initramfs-tools/conf.d/netboot")
    ));
    command.arg(format!("--customize-hook={}", hook("fstab", "/etc/fstab")));
    // Empty, systemd makes up one for each boot; without it, it would take each boot for the first one (machine-id(5)).
    command.arg("--customize-hook=: >\"$1/etc/machine-id\"");
    command.arg(SUITE).arg(&part);
    command.args(sources()?);
    let made = run(&mut command);
    let _ = fs::remove_dir_all(&written);
    if let Err(error) = made {
        let _ = fs::remove_dir_all(&part);
        return Err(error);
    }
    match fs::rename(&part, root) {
        Ok(()) => Ok(()),
        // Another run was faster.
        Err(_) if root.is_dir() => {
            let _ = fs::remove_dir_all(&part);
            Ok(())
        }
        Err(error) => Err(at(root, error)),
    }
}

/// Where the host has its packages from: the files of sources.list(5).
pub(crate) fn sources() -> Result<Vec<PathBuf>, String> {
    let mut files: Vec<PathBuf> = vec!["/etc/apt/sources.list".into()];
    if let Ok(entries) = fs::read_dir("/etc/apt/sources.list.d") {
        files.extend(entries.filter_map(|entry| Some(entry.ok()?.path())));
    }
    let is_source = |path: &PathBuf| {
        let extension = path.extension().and_then(|extension| extension.to_str());
        matches!(extension, Some("list" | "sources")) && path.is_file()
    };
    files.retain(is_source);
    files.sort();
    if files.is_empty() {
        return Err("/etc/apt names no source of packages".to_owned());
    }
    Ok(files)
}
