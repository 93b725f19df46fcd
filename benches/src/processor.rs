//! Processors: the time that a process took of them, and on which of them it runs.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::ValueEnum;
use nix::sched::{CpuSet, sched_setaffinity};
use nix::time::ClockId;
use nix::unistd::Pid;

/// Clock ticks a second in /proc/PID/stat (`USER_HZ`), the same on every architecture of Linux.
const TICKS_PER_SECOND: f64 = 100.0;

/// Which processors a server and its load have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Placement {
    /// The server and the load have the same one.
    One,
    /// Each has one of its own.
    Two,
    /// Both have both, as the kernel likes it.
    Free,
}

impl Placement {
    pub(crate) const ALL: [Self; 3] = [Self::One, Self::Two, Self::Free];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::One => "server and load on one CPU",
            Self::Two => "server on CPU 1, load on CPU 0",
            Self::Free => "server and load on both CPUs",
        }
    }

    /// Of the server, and of the load.
    pub(crate) const fn cpus(self) -> (&'static [usize], &'static [usize]) {
        match self {
            Self::One => (&[0], &[0]),
            Self::Two => (&[1], &[0]),
            Self::Free => (&[0, 1], &[0, 1]),
        }
    }
}

/// Processor time of a process, in seconds (proc(5), /proc/PID/stat fields 14 and 15).
pub(crate) fn cpu_seconds(pid: u32) -> Option<f64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(14 - 3);
    let user: f64 = fields.next()?.parse().ok()?;
    let system: f64 = fields.next()?.parse().ok()?;
    Some((user + system) / TICKS_PER_SECOND)
}

/// The processes of a process group.
pub(crate) fn group(leader: u32) -> impl Iterator<Item = u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter(move |pid| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        // Field 5; field 2 is the program's name in parentheses.
        let fields = stat
            .rsplit_once(')')
            .map(|(_, rest)| rest.split_whitespace());
        let group = fields.and_then(|mut fields| fields.nth(5 - 3)?.parse().ok());
        group == Some(leader)
    })
}

/// Processor time of all processes of a process group, in seconds.
pub(crate) fn group_cpu_seconds(leader: u32) -> f64 {
    group(leader).filter_map(cpu_seconds).sum()
}

/// The processor time of a process and of all that it starts, to the microsecond: a control group
/// of its own. It also counts those that have ended.
#[derive(Debug)]
pub(crate) struct Account {
    group: PathBuf,
}

impl Account {
    /// Where version 2 of control groups is mounted, and its file that says so (cgroups(7)).
    const UNIFIED: [&str; 2] = ["/sys/fs/cgroup", "/sys/fs/cgroup/cgroup.controllers"];
    /// The same for version 1 and its controller of accounts.
    const ACCOUNTS: &str = "/sys/fs/cgroup/cpuacct";
    /// How often its removal is tried.
    const REMOVALS_MAX: usize = 50;

    /// Begins one for a process that has started nothing yet.
    ///
    /// # Errors
    /// A text that names the control group.
    pub(crate) fn open(pid: u32) -> Result<Self, String> {
        let [unified, is_unified] = Self::UNIFIED;
        let parent = match Path::new(is_unified).exists() {
            true => unified,
            false => Self::ACCOUNTS,
        };
        let group = Path::new(parent).join(format!("pxe-bench-{pid}"));
        let at = |error: std::io::Error| format!("{}: {error}", group.display());
        match fs::create_dir(&group) {
            // A run that was killed left it; its process is gone, since another has its number.
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
            made => made.map_err(at)?,
        }
        let account = Self {
            group: group.clone(),
        };
        fs::write(group.join("cgroup.procs"), pid.to_string()).map_err(at)?;
        Ok(account)
    }

    /// What has been used, in seconds.
    ///
    /// # Errors
    /// A text that names the control group.
    pub(crate) fn seconds(&self) -> Result<f64, String> {
        let unreadable = || format!("{}: no CPU time", self.group.display());
        // Nanoseconds in version 1 (its documentation cpuacct.rst).
        if let Ok(usage) = fs::read_to_string(self.group.join("cpuacct.usage")) {
            let nanoseconds: f64 = usage.trim().parse().map_err(|_| unreadable())?;
            return Ok(nanoseconds / 1e9);
        }
        let stat = fs::read_to_string(self.group.join("cpu.stat")).map_err(|_| unreadable())?;
        let usage = stat
            .lines()
            .find_map(|line| line.strip_prefix("usage_usec "));
        let microseconds: Option<f64> = usage.and_then(|usage| usage.parse().ok());
        Ok(microseconds.ok_or_else(unreadable)? / 1e6)
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        // It is empty once its processes are gone; until then the system refuses.
        for _ in 0..Self::REMOVALS_MAX {
            match fs::remove_dir(&self.group) {
                Err(error) if error.kind() == std::io::ErrorKind::ResourceBusy => {
                    std::thread::sleep(pxe_test_lab::POLL_INTERVAL);
                }
                _ => return,
            }
        }
    }
}

/// What the calling thread used of its processor.
pub(crate) fn thread_cpu_time() -> Duration {
    let time = ClockId::CLOCK_THREAD_CPUTIME_ID.now();
    time.map(Duration::from).unwrap_or_default()
}

/// Puts the calling thread on these processors.
///
/// # Errors
/// A text that names them.
pub(crate) fn pin_this_thread(cpus: &[usize]) -> Result<(), String> {
    pin(Pid::from_raw(0), cpus)
}

/// Puts all threads of a process on these processors; threads that they start later come there
/// too.
///
/// # Errors
/// A text that names them.
pub(crate) fn pin_process(pid: u32, cpus: &[usize]) -> Result<(), String> {
    let directory = format!("/proc/{pid}/task");
    let threads = fs::read_dir(&directory).map_err(|error| format!("{directory}: {error}"))?;
    for thread in threads.flatten() {
        let id = thread.file_name().to_str().and_then(|id| id.parse().ok());
        match id.map(|id| pin(Pid::from_raw(id), cpus)) {
            // It may have ended just now.
            Some(Err(_)) if !thread.path().exists() => {}
            Some(pinned) => pinned?,
            None => {}
        }
    }
    Ok(())
}

fn pin(thread: Pid, cpus: &[usize]) -> Result<(), String> {
    let mut set = CpuSet::new();
    let marked = cpus.iter().try_for_each(|&cpu| set.set(cpu));
    let pinned = marked.and_then(|()| sched_setaffinity(thread, &set));
    pinned.map_err(|error| format!("CPUs {cpus:?}: {error}"))
}
