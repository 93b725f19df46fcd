//! BIND and ours beside each other, with the same zones.

use std::fmt::Write as _;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;

use pxe_test_lab::{Namespace, Output, Process, run, unique_name};
use tempfile::TempDir;

use super::ask::{Asker, Heard, Query};
use super::message::{SOA, flag};
use super::name::Name;
use super::zone::ZoneFile;
use crate::site::{await_server, await_text};

/// Where BIND listens.
pub(super) const NAMED: Ipv4Addr = Ipv4Addr::new(10, 53, 0, 1);
/// Where ours listens.
pub(super) const OURS: Ipv4Addr = Ipv4Addr::new(10, 53, 0, 2);
/// From where both are asked.
const CLIENT: Ipv4Addr = Ipv4Addr::new(10, 53, 0, 9);

/// Two servers of the same zones in a namespace. Dropped, everything is gone.
#[derive(Debug)]
pub(super) struct Pair {
    // Dropped in this order: processes, then the namespace, then files.
    _named: Process,
    ours: Process,
    pub(super) namespace: Namespace,
    directory: TempDir,
}

/// What both said to a query.
#[derive(Debug)]
pub(super) struct Exchange {
    pub(super) shown: String,
    pub(super) query: Option<Query>,
    pub(super) named: Heard,
    pub(super) ours: Heard,
}

impl Pair {
    /// Starts both. Recursion is for nobody: what is outside of the zones is refused.
    pub(super) fn new(server: &Path, zones: &[ZoneFile]) -> Result<Self, String> {
        let directory = TempDir::with_prefix("pxe-interop-").map_err(|error| error.to_string())?;
        // Ours runs as nobody.
        run(Command::new("chmod").arg("0755").arg(directory.path()))?;
        let namespace = Namespace::new(&unique_name())?;
        for address in [NAMED, OURS, CLIENT] {
            namespace.ip(&["address", "add", &format!("{address}/24"), "dev", "lo"])?;
        }
        let copies = copied(zones, directory.path())?;
        let named = named(&namespace, directory.path(), &copies)?;
        let ours = ours(&namespace, directory.path(), server, &copies)?;
        let pair = Self {
            _named: named,
            ours,
            namespace,
            directory,
        };
        pair.has_all(zones)?;
        Ok(pair)
    }

    /// Fails if one of the two does not serve one of the zones.
    fn has_all(&self, zones: &[ZoneFile]) -> Result<(), String> {
        let is_served = |heard: &Heard| match heard {
            Heard::Response(response) => response.rcode == 0 && response.has(flag::AA),
            _ => false,
        };
        let mut missing = Vec::new();
        for zone in zones {
            let origin = Name::of_text(&zone.origin).ok_or("no origin")?;
            let query = Query::plain(origin, SOA);
            for Exchange { named, ours, .. } in
                self.ask(std::slice::from_ref(&query), &[], &query)?
            {
                for (who, heard) in [("named", named), ("ours", ours)] {
                    if !is_served(&heard) {
                        missing.push(format!("{who} does not serve {}", zone.origin));
                    }
                }
            }
        }
        match missing.is_empty() {
            true => Ok(()),
            false => Err(format!("{}\n{}", missing.join("\n"), self.log())),
        }
    }

    /// Asks both the same queries, and then sends both the same messages, which may be no queries.
    pub(super) fn ask(
        &self,
        queries: &[Query],
        messages: &[(&str, Vec<u8>)],
        then: &Query,
    ) -> Result<Vec<Exchange>, String> {
        let from = SocketAddr::from((CLIENT, 0));
        self.namespace.enter(|| {
            let mut named = Asker::new(from, (NAMED, 53).into())?;
            let mut ours = Asker::new(from, (OURS, 53).into())?;
            let mut exchanges = Vec::new();
            for query in queries {
                exchanges.push(Exchange {
                    shown: query.to_string(),
                    named: named.ask(query)?,
                    ours: ours.ask(query)?,
                    query: Some(query.clone()),
                });
            }
            for (what, message) in messages {
                exchanges.push(Exchange {
                    shown: (*what).to_owned(),
                    named: named.send(message, then)?,
                    ours: ours.send(message, then)?,
                    query: None,
                });
            }
            Ok(exchanges)
        })?
    }

    /// Ends ours, and fails if it did not end well.
    pub(super) fn end(mut self) -> Result<(), String> {
        match self.ours.terminate()? {
            status if status.success() => Ok(()),
            status => Err(format!("ours ended with {status}\n{}", self.log())),
        }
    }

    /// What ours has logged.
    pub(super) fn log(&self) -> String {
        fs::read_to_string(self.directory.path().join("ours.log")).unwrap_or_default()
    }
}

/// The zone files under names of this test's, where both servers may read them.
fn copied(zones: &[ZoneFile], directory: &Path) -> Result<Vec<ZoneFile>, String> {
    let copy = |(number, zone): (usize, &ZoneFile)| {
        let file = directory.join(format!("zone-{number}"));
        fs::copy(&zone.file, &file).map_err(|error| error.to_string())?;
        run(Command::new("chmod").arg("0644").arg(&file))?;
        let origin = zone.origin.clone();
        Ok(ZoneFile { origin, file })
    };
    zones.iter().enumerate().map(copy).collect()
}

/// Starts BIND as Debian configures it, but without recursion. Its checks warn, as those of
/// `named-checkzone` do by default.
fn named(namespace: &Namespace, directory: &Path, zones: &[ZoneFile]) -> Result<Process, String> {
    let shown = directory.display();
    let mut text = format!(
        "options {{ directory \"{shown}\"; pid-file none; listen-on {{ {NAMED}; }}; \
         listen-on-v6 {{ none; }}; recursion no; allow-transfer {{ none; }}; notify no; \
         dnssec-validation no; check-names primary warn; max-records-per-type 0; }};\ncontrols {{ }};\n"
    );
    for ZoneFile { origin, file } in zones {
        let file = file.display();
        let _ = writeln!(
            text,
            "zone \"{origin}\" {{ type primary; file \"{file}\"; allow-update {{ none; }}; }};"
        );
    }
    start_named(namespace, directory, "named", &text)
}

/// Starts BIND with this configuration.
pub(super) fn start_named(
    namespace: &Namespace,
    directory: &Path,
    name: &str,
    configuration: &str,
) -> Result<Process, String> {
    let at = |suffix: &str| -> PathBuf { directory.join(format!("{name}.{suffix}")) };
    let (file, log) = (at("conf"), at("log"));
    fs::write(&file, configuration).map_err(|error| error.to_string())?;
    let mut command = namespace.command("named");
    command.args(["-g", "-n", "1", "-4", "-c"]).arg(&file);
    let mut named = Process::spawn(command, name, &log, Output::Log)?;
    // It begins with "running on Linux", and listens then to nothing yet.
    await_text(&mut named, &log, " running\n")?;
    Ok(named)
}

fn ours(
    namespace: &Namespace,
    directory: &Path,
    server: &Path,
    zones: &[ZoneFile],
) -> Result<Process, String> {
    let mut text = format!(
        "[server]\nuser = \"nobody\"\ncontrol = \"{work}/control.sock\"\n\n\
         [tree]\nroot = \"{work}\"\n\n\
         [dns]\nlisten = [\"{OURS}:53\"]\nallow_query = [\"any\"]\nallow_recursion = [\"none\"]\n",
        work = directory.display()
    );
    for ZoneFile { origin, file } in zones {
        let file = file.display();
        let _ = write!(
            text,
            "\n[[dns.zone]]\nname = \"{origin}\"\nfile = \"{file}\"\n"
        );
    }
    start_ours(namespace, directory, server, &text, &OURS.to_string())
}

/// Starts ours with this configuration, and waits until it listens at this address.
pub(super) fn start_ours(
    namespace: &Namespace,
    directory: &Path,
    server: &Path,
    configuration: &str,
    address: &str,
) -> Result<Process, String> {
    let (file, log) = (directory.join("server.toml"), directory.join("ours.log"));
    fs::write(&file, configuration).map_err(|error| error.to_string())?;
    let mut command = namespace.command(&server.display().to_string());
    command.arg("serve").arg(&file);
    let mut ours = Process::spawn(command, "pxe-server", &log, Output::Log)?;
    await_server(&mut ours, &log, || {
        let sockets = namespace.command("ss").args(["-lnutH"]).output();
        let sockets = sockets.map_err(|error| format!("cannot run ss: {error}"))?;
        let sockets = String::from_utf8_lossy(&sockets.stdout).into_owned();
        // By UDP and by TCP.
        Ok(sockets.matches(&format!(" {address}:53 ")).count() >= 2)
    })?;
    Ok(ours)
}
