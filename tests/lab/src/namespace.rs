//! Network namespaces, each destroyed with its owner.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use nix::sched::{CloneFlags, setns};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::process::{run, tied_command};

const PREFIX: &str = "pxeboot";
/// Where iproute2 keeps the names of namespaces.
const NAMES: &str = "/run/netns";

static SERIAL: AtomicU32 = AtomicU32::new(0);

/// A name that no other harness, living or dead, has: `pxeboot-PID-START-N`, where START tells processes with one PID apart.
pub fn unique_name() -> String {
    let pid = std::process::id();
    let start = start_time(pid).unwrap_or_default();
    let serial = SERIAL.fetch_add(1, Ordering::Relaxed);
    format!("{PREFIX}-{pid}-{start}-{serial}")
}

/// Whether the name was made by `unique_name` in a process that has ended.
pub(crate) fn is_stale(name: &str) -> bool {
    match owner(name) {
        Some((pid, start)) => start_time(pid) != Some(start),
        None => false,
    }
}

fn owner(name: &str) -> Option<(u32, u64)> {
    let mut parts = name.strip_prefix(PREFIX)?.strip_prefix('-')?.split('-');
    let pid = parts.next()?.parse().ok()?;
    let start = parts.next()?.parse().ok()?;
    let _serial: u32 = parts.next()?.parse().ok()?;
    parts.next().is_none().then_some((pid, start))
}

/// When the process began, in clock ticks since the machine's start (proc(5), /proc/PID/stat field 22).
fn start_time(pid: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // Field 2 is the program's name in parentheses, with any character inside.
    let after_name = stat.rsplit_once(')')?.1;
    after_name.split_whitespace().nth(22 - 3)?.parse().ok()
}

/// A namespace of the harness. Dropped, it is destroyed with all that is in it.
#[derive(Debug)]
pub struct Namespace {
    name: String,
}

impl Namespace {
    /// Makes a namespace whose loopback interface is up.
    ///
    /// # Errors
    /// What `ip` or `sysctl` said.
    pub fn new(name: &str) -> Result<Self, String> {
        ip(&["netns", "add", name])?;
        let namespace = Self {
            name: name.to_owned(),
        };
        // Nothing speaks IPv6 yet: without it captures have no noise of router solicitations.
        for interface in ["all", "default"] {
            let setting = format!("net.ipv6.conf.{interface}.disable_ipv6=1");
            run(namespace.command("sysctl").args(["-qw", &setting]))?;
        }
        namespace.ip(&["link", "set", "lo", "up"])?;
        Ok(namespace)
    }

    /// The namespace's name, as `ip netns` takes it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Runs `ip` with these arguments inside.
    ///
    /// # Errors
    /// What `ip` said.
    pub fn ip(&self, arguments: &[&str]) -> Result<(), String> {
        let mut all = vec!["-n", &self.name];
        all.extend(arguments);
        ip(&all)
    }

    /// Joins an interface of this namespace and one of another by a cable.
    ///
    /// # Errors
    /// What `ip` said.
    pub fn connect(&self, own: &str, other: &Self, others: &str) -> Result<(), String> {
        let peer = ["type", "veth", "peer", "name", others, "netns", &other.name];
        self.ip(&[&["link", "add", own], &peer[..]].concat())?;
        self.ip(&["link", "set", own, "up"])?;
        other.ip(&["link", "set", others, "up"])
    }

    /// A command that runs inside, and dies with the thread that starts it.
    pub fn command(&self, program: &str) -> Command {
        let mut command = tied_command("ip");
        command.args(["netns", "exec", &self.name, program]);
        command
    }

    /// Does something inside, in a thread of its own. A socket that is made there stays there.
    ///
    /// # Errors
    /// If the namespace cannot be entered.
    pub fn enter<T: Send>(&self, work: impl FnOnce() -> T + Send) -> Result<T, String> {
        let path = Path::new(NAMES).join(&self.name);
        let failed = |error: String| format!("cannot enter {}: {error}", path.display());
        let namespace = fs::File::open(&path).map_err(|error| failed(error.to_string()))?;
        let entered = std::thread::scope(|scope| {
            let inside = scope.spawn(|| {
                setns(&namespace, CloneFlags::CLONE_NEWNET)?;
                Ok::<T, nix::Error>(work())
            });
            inside.join()
        });
        match entered {
            Ok(result) => result.map_err(|error| failed(error.to_string())),
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        if let Err(error) = destroy(&self.name) {
            eprintln!("namespace {}: {error}", self.name);
        }
    }
}

/// Destroys the namespaces and work directories of harnesses that have died.
pub fn remove_stale(work_parent: &Path) {
    for path in stale_entries(Path::new(NAMES)) {
        if let Some(name) = path.file_name().and_then(|name| name.to_str()) {
            println!("removing namespace {name} of a run that has died");
            if let Err(error) = destroy(name) {
                eprintln!("namespace {name}: {error}");
            }
        }
    }
    for path in stale_entries(work_parent) {
        let _ = fs::remove_dir_all(path);
    }
}

fn stale_entries(directory: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(directory) else {
        return Vec::new();
    };
    entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| {
            path.file_name()
                .and_then(|name| name.to_str())
                .is_some_and(is_stale)
        })
        .collect()
}

/// Ends what still runs inside, then removes the namespace. Only the harness starts processes there.
fn destroy(name: &str) -> Result<(), String> {
    let output = Command::new("ip").args(["netns", "pids", name]).output();
    let pids = output.map(|output| output.stdout).unwrap_or_default();
    for pid in String::from_utf8_lossy(&pids).split_whitespace() {
        if let Ok(pid) = pid.parse() {
            let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
        }
    }
    ip(&["netns", "delete", name])
}

fn ip(arguments: &[&str]) -> Result<(), String> {
    run(Command::new("ip").args(arguments))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_differ_and_are_not_stale_while_the_harness_lives() {
        let (one, two) = (unique_name(), unique_name());
        assert_ne!(one, two);
        assert!(owner(&one).is_some());
        assert!(!is_stale(&one));
    }

    #[test]
    fn the_name_of_a_dead_harness_is_stale() {
        let pid = std::process::id();
        let start = start_time(pid).unwrap();
        assert!(is_stale(&format!("pxeboot-{pid}-{}-0", start + 1)));
        assert!(is_stale("pxeboot-4194305-1-0"), "above the largest pid");
    }

    #[test]
    fn what_others_made_is_never_stale() {
        for name in [
            "default",
            "pxeboot",
            "pxeboot-1",
            "pxeboot-x-1-0",
            "pxeboot-4194305-1-0-9",
        ] {
            assert!(!is_stale(name), "{name}");
        }
    }
}
