//! The server under test: found or built, configured, started, watched and ended.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use pxe_test_lab::{Namespace, Output, POLL_INTERVAL, Process};
use serde_json::Value;

use crate::matrix::{Port, ServerDefinition, ServerProcess, Variables, fill};
use crate::network;
use crate::tree;

const READY_PATIENCE: Duration = Duration::from_secs(15);

/// Runs a command to its end.
fn prepare(words: &[String], work: &Path) -> Result<(), String> {
    let (program, arguments) = words.split_first().ok_or("there is an empty command")?;
    let mut command = Command::new(program);
    let output = command.args(arguments).current_dir(work).output();
    let output = output.map_err(|error| format!("cannot run {program}: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(format!("{}: {}: {said}", words.join(" "), output.status))
}

/// The running processes of the server, and the hosts on which some of them run.
#[derive(Debug)]
pub(crate) struct Server {
    // Dropped first.
    processes: Vec<(ServerProcess, Process)>,
    hosts: Vec<Namespace>,
}

impl Server {
    /// Starts it, and returns when all its ports are bound.
    pub(crate) fn start(
        namespace: &Namespace,
        definition: &ServerDefinition,
        variables: &Variables,
        work: &Path,
    ) -> Result<Server, String> {
        for (name, content) in &definition.files {
            let content = fill(content, variables).map_err(|error| format!("{name}: {error}"))?;
            tree::write(&work.join(name), content.as_bytes())?;
        }
        for words in &definition.prepare {
            let words: Result<Vec<String>, String> =
                words.iter().map(|word| fill(word, variables)).collect();
            prepare(&words?, work)?;
        }
        let mut server = Server {
            processes: Vec::new(),
            hosts: Vec::new(),
        };
        for wanted in &definition.process {
            let words: Result<Vec<String>, String> = wanted
                .command
                .iter()
                .map(|word| fill(word, variables))
                .collect();
            let words = words.map_err(|error| format!("{}: {error}", wanted.name))?;
            let (program, arguments) = words
                .split_first()
                .ok_or_else(|| format!("{} has no command", wanted.name))?;
            let mut command = match wanted.host {
                None => namespace.command(program),
                Some(address) => {
                    let host = network::add_host(namespace, server.hosts.len(), address)?;
                    let command = host.command(program);
                    server.hosts.push(host);
                    command
                }
            };
            command.args(arguments);
            let log = work.join(format!("{}.log", wanted.name));
            let process = Process::spawn(command, &wanted.name, &log, Output::Log)?;
            server.processes.push((wanted.clone(), process));
        }
        let deadline = Instant::now() + READY_PATIENCE;
        while let Some(port) = server.unbound() {
            if let Some(reason) = server.ended() {
                return Err(reason);
            }
            if Instant::now() > deadline {
                return Err(format!("{port} is not bound after {READY_PATIENCE:?}"));
            }
            std::thread::sleep(POLL_INTERVAL);
        }
        Ok(server)
    }

    fn unbound(&self) -> Option<Port> {
        self.processes.iter().find_map(|(wanted, process)| {
            let read = |table| fs::read_to_string(format!("/proc/{}/net/{table}", process.id()));
            let both = |four, six| read(four).unwrap_or_default() + &read(six).unwrap_or_default();
            let (udp, tcp) = (both("udp", "udp6"), both("tcp", "tcp6"));
            wanted.ready.iter().copied().find(|port| match *port {
                Port::Udp(number) => !is_bound(&udp, number, None),
                Port::Tcp(number) => !is_bound(&tcp, number, Some("0A")),
            })
        })
    }

    /// Says which process has ended by itself, if one has.
    pub(crate) fn ended(&mut self) -> Option<String> {
        self.processes.iter_mut().find_map(|(wanted, process)| {
            process
                .ended()
                .map(|status| format!("{} ended by itself: {status}", wanted.name))
        })
    }

    /// The number of its last process.
    pub(crate) fn pid(&self) -> Option<u32> {
        self.processes.last().map(|(_, process)| process.id())
    }

    /// Stops it where it is: it answers nobody, and can only be dropped, which kills it.
    pub(crate) fn freeze(&mut self) -> Result<(), String> {
        for (_, process) in &mut self.processes {
            process.freeze()?;
        }
        Ok(())
    }

    /// Ends it, and says what was wrong with its way of running and ending.
    pub(crate) fn finish(mut self) -> Result<(), String> {
        if let Some(reason) = self.ended() {
            return Err(reason);
        }
        for (wanted, process) in &mut self.processes {
            if let Some(user) = &wanted.user {
                let uid = user_id(user)?;
                let status = fs::read_to_string(format!("/proc/{}/status", process.id()));
                let status = status.map_err(|error| format!("{}: {error}", wanted.name))?;
                let uids = uids(&status);
                if uids.is_empty() || uids.iter().any(|seen| *seen != uid) {
                    return Err(format!(
                        "{} runs with the user ids {uids:?}, not as {user} ({uid})",
                        wanted.name
                    ));
                }
            }
            let status = process.terminate()?;
            if wanted.clean_exit && !status.success() {
                return Err(format!("{} ended with {status} after SIGTERM", wanted.name));
            }
        }
        Ok(())
    }
}

/// The last lines of each process's log.
pub(crate) fn log_ends(definition: &ServerDefinition, work: &Path) -> Vec<String> {
    const SHOWN: usize = 8;
    let mut ends = Vec::new();
    for process in &definition.process {
        let log = fs::read(work.join(format!("{}.log", process.name))).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        let lines: Vec<&str> = log.lines().collect();
        let skipped = lines.len().saturating_sub(SHOWN);
        ends.extend(
            lines
                .iter()
                .skip(skipped)
                .map(|line| format!("{}: {line}", process.name)),
        );
    }
    ends
}

/// Whether a table of proc(5), /proc/PID/net/udp or tcp, has the local port, in the state if one is asked for.
fn is_bound(table: &str, port: u16, state: Option<&str>) -> bool {
    let suffix = format!(":{port:04X}");
    table.lines().any(|line| {
        let mut fields = line.split_whitespace().skip(1);
        let local = fields.next().is_some_and(|local| local.ends_with(&suffix));
        local && state.is_none_or(|state| fields.nth(1) == Some(state))
    })
}

/// Real, effective, saved and file system user id of /proc/PID/status.
fn uids(status: &str) -> Vec<u32> {
    let line = status.lines().find_map(|line| line.strip_prefix("Uid:"));
    line.unwrap_or_default()
        .split_whitespace()
        .filter_map(|uid| uid.parse().ok())
        .collect()
}

fn user_id(name: &str) -> Result<u32, String> {
    let users = fs::read_to_string("/etc/passwd").map_err(|error| error.to_string())?;
    let id = users.lines().find_map(|line| {
        let mut fields = line.split(':');
        (fields.next() == Some(name))
            .then(|| fields.nth(1)?.parse().ok())
            .flatten()
    });
    id.ok_or_else(|| format!("there is no user {name}"))
}

/// Builds pxe-server with the Cargo that runs this, and says where it is.
pub(crate) fn build() -> Result<PathBuf, String> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args([
        "build",
        "--quiet",
        "--package",
        "pxe-server",
        "--bin",
        "pxe-server",
    ]);
    command.arg("--message-format=json-render-diagnostics");
    command
        .arg("--manifest-path")
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml"));
    if !cfg!(debug_assertions) {
        command.arg("--release");
    }
    let output = command
        .stderr(Stdio::inherit())
        .output()
        .map_err(|error| format!("cannot run cargo: {error}"))?;
    if !output.status.success() {
        return Err("cargo cannot build pxe-server".to_owned());
    }
    executable(&String::from_utf8_lossy(&output.stdout))
        .ok_or_else(|| "cargo does not say where it put pxe-server".to_owned())
}

/// The program among Cargo's messages.
fn executable(messages: &str) -> Option<PathBuf> {
    messages.lines().find_map(|line| {
        let message: Value = serde_json::from_str(line).ok()?;
        let is_ours = message.get("target")?.get("name")? == "pxe-server";
        is_ours
            .then(|| message.get("executable")?.as_str().map(PathBuf::from))
            .flatten()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bound_ports_are_found() {
        let tcp = "  sl  local_address rem_address   st tx_queue\n   \
            0: 01004D0A:1F90 00000000:0000 0A 00000000\n   \
            1: 01004D0A:0050 02004D0A:C001 01 00000000\n";
        assert!(is_bound(tcp, 8080, Some("0A")));
        assert!(
            !is_bound(tcp, 80, Some("0A")),
            "a connection is no listener"
        );
        assert!(is_bound(tcp, 80, None));
        assert!(!is_bound(tcp, 808, None));
    }

    #[test]
    fn the_user_of_a_process_is_read() {
        assert_eq!(
            uids("Name:\tx\nUid:\t65534\t65534\t0\t65534\n"),
            [65534, 65534, 0, 65534]
        );
        assert!(uids("Name:\tx\n").is_empty());
    }

    #[test]
    fn cargo_tells_where_the_program_is() {
        let messages = concat!(
            r#"{"reason":"compiler-artifact","target":{"name":"pxe-http"},"executable":null}"#,
            "\n",
            r#"{"reason":"compiler-artifact","target":{"name":"pxe-server"},"executable":null}"#,
            "\n",
            r#"{"reason":"compiler-artifact","target":{"name":"pxe-server"},"executable":"/t/pxe-server"}"#,
            "\n",
            r#"{"reason":"build-finished","success":true}"#,
        );
        assert_eq!(executable(messages), Some(PathBuf::from("/t/pxe-server")));
    }
}
