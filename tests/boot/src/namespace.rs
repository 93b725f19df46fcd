//! Network namespaces: one per boot, with a bridge, the server's address on it and a tap for the machine.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::process::tied_command;

/// The server's address.
pub(crate) const ADDRESS: &str = "10.77.0.1";
/// The interface on which the server serves.
pub(crate) const BRIDGE: &str = "br0";
/// The interface to which the machine is plugged.
pub(crate) const TAP: &str = "tap0";

const PREFIX: &str = "pxeboot";
/// Where iproute2 keeps the names of namespaces.
const NAMES: &str = "/run/netns";

static SERIAL: AtomicU32 = AtomicU32::new(0);

/// A name that no other harness, living or dead, has: `pxeboot-PID-START-N`, where START tells processes with one PID apart.
pub(crate) fn unique_name() -> String {
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
pub(crate) struct Namespace {
    name: String,
}

impl Namespace {
    /// Makes the namespace, its bridge and its tap.
    pub(crate) fn new(name: &str) -> Result<Namespace, String> {
        ip(&["netns", "add", name])?;
        let namespace = Namespace {
            name: name.to_owned(),
        };
        let inside = |arguments: &[&str]| {
            let mut all = vec!["-n", name];
            all.extend(arguments);
            ip(&all)
        };
        // Nothing speaks IPv6 yet: without it the capture has no noise of router solicitations of the bridge itself.
        for interface in ["all", "default"] {
            let setting = format!("net.ipv6.conf.{interface}.disable_ipv6=1");
            run(namespace.command("sysctl").args(["-qw", &setting]))?;
        }
        inside(&["link", "set", "lo", "up"])?;
        inside(&["link", "add", BRIDGE, "type", "bridge"])?;
        inside(&["address", "add", &format!("{ADDRESS}/24"), "dev", BRIDGE])?;
        inside(&["tuntap", "add", TAP, "mode", "tap"])?;
        inside(&["link", "set", TAP, "master", BRIDGE])?;
        inside(&["link", "set", TAP, "up"])?;
        inside(&["link", "set", BRIDGE, "up"])?;
        Ok(namespace)
    }

    /// A command that runs inside, and dies with the thread that starts it.
    pub(crate) fn command(&self, program: &str) -> Command {
        let mut command = tied_command("ip");
        command.args(["netns", "exec", &self.name, program]);
        command
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
pub(crate) fn remove_stale(work_parent: &Path) {
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

fn run(command: &mut Command) -> Result<(), String> {
    let shown = format!("{command:?}");
    let output = command
        .output()
        .map_err(|error| format!("cannot run {shown}: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!(
        "{shown}: {}",
        String::from_utf8_lossy(&output.stderr).trim()
    ))
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
