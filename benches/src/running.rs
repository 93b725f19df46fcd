//! A server that runs, with all its processes.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use pxe_test_lab::{Namespace, Output, Process};

use crate::memory::group_memory_bytes;
use crate::processor::{Placement, group, group_cpu_seconds, pin_process};

/// A server that runs. Dropped, it is killed.
#[derive(Debug)]
pub(crate) struct Running {
    process: Process,
    name: &'static str,
    log: PathBuf,
}

impl Running {
    /// Starts a server whose output goes to this log.
    ///
    /// # Errors
    /// A text that names the server.
    pub(crate) fn start(command: Command, name: &'static str, log: &Path) -> Result<Self, String> {
        Ok(Self {
            process: Process::spawn(command, name, log, Output::Log)?,
            name,
            log: log.to_owned(),
        })
    }

    /// Puts all its threads on the CPUs of a placement, if that asks for one: some servers choose
    /// theirs by themselves.
    ///
    /// # Errors
    /// A text that names the CPUs.
    pub(crate) fn pin(&self, placement: Placement) -> Result<(), String> {
        match placement.cpus() {
            (cpus @ [_], _) => group(self.process.id()).try_for_each(|pid| pin_process(pid, cpus)),
            _ => Ok(()),
        }
    }

    /// Processor time that all its processes used, in seconds.
    pub(crate) fn cpu_seconds(&self) -> f64 {
        // setpriv, `ip netns exec` and taskset replace themselves; it leads a group of its own.
        group_cpu_seconds(self.process.id())
    }

    /// Bytes of memory of all its processes.
    pub(crate) fn memory_bytes(&self) -> u64 {
        group_memory_bytes(self.process.id())
    }

    /// # Errors
    /// A text with the log's end, if it has ended already.
    pub(crate) fn stop(mut self) -> Result<(), String> {
        match self.process.ended() {
            Some(status) => Err(self.failed(&format!("ended: {status}"))),
            // Its workers end with it only if it is asked to end.
            None => self.process.terminate().map(drop),
        }
    }

    /// What went wrong, with the end of the server's log.
    pub(crate) fn failed(&self, error: &str) -> String {
        let log = fs::read(&self.log).unwrap_or_default();
        let tail = log.get(log.len().saturating_sub(2000)..);
        let tail = String::from_utf8_lossy(tail.unwrap_or_default());
        format!("{}: {error}\n{tail}", self.name)
    }
}

/// A command that runs in a namespace on some CPUs; what it runs is still to be added.
pub(crate) fn on_cpus(namespace: &Namespace, cpus: &[usize]) -> Command {
    let mut command = namespace.command("taskset");
    let cpus: Vec<String> = cpus.iter().map(usize::to_string).collect();
    command.args(["-c", &cpus.join(",")]);
    command
}
