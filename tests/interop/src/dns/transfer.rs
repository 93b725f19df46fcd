//! Whole zones: to `dig`, and to BIND and NSD as secondaries of ours, and to nobody else.

use std::fmt::Write as _;
use std::fs;
use std::net::Ipv4Addr;
use std::path::Path;
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use pxe_test_lab::{Namespace, Output, POLL_INTERVAL, Process, run, unique_name};
use tempfile::TempDir;

use super::generated;
use super::pair::{NAMED, OURS, start_named, start_ours};
use super::zone::ZoneFile;
use crate::client::{client, ensure};

/// A secondary by NSD.
const NSD: Ipv4Addr = Ipv4Addr::new(10, 53, 0, 3);
/// Who may have no zone.
const STRANGER: Ipv4Addr = Ipv4Addr::new(10, 53, 0, 9);
/// How long a secondary may take until it has all zones.
const PATIENCE: Duration = Duration::from_secs(30);
/// Zones that are transferred: each has records of all kinds, and more than fit into one message.
const ZONES: usize = 4;

/// Ours as the primary server of some zones.
struct Primary {
    _ours: Process,
    namespace: Namespace,
    directory: TempDir,
    zones: Vec<ZoneFile>,
}

impl Primary {
    fn new(server: &Path) -> Result<Self, String> {
        let directory = TempDir::with_prefix("pxe-interop-").map_err(|error| error.to_string())?;
        run(Command::new("chmod").arg("0755").arg(directory.path()))?;
        let namespace = Namespace::new(&unique_name())?;
        for address in [NAMED, OURS, NSD, STRANGER] {
            namespace.ip(&["address", "add", &format!("{address}/24"), "dev", "lo"])?;
        }
        let mut zones = generated::zones(directory.path())?;
        zones.truncate(ZONES);
        let mut text = format!(
            "[server]\nuser = \"nobody\"\ncontrol = \"{work}/control.sock\"\n\n\
             [tree]\nroot = \"{work}\"\n\n\
             [dns]\nlisten = [\"{OURS}:53\"]\nallow_query = [\"any\"]\n",
            work = directory.path().display()
        );
        for ZoneFile { origin, file } in &zones {
            run(Command::new("chmod").arg("0644").arg(file))?;
            let file = file.display();
            let _ = write!(
                text,
                "\n[[dns.zone]]\nname = \"{origin}\"\nfile = \"{file}\"\n\
                 allow_transfer = [\"{NAMED}\", \"{NSD}\"]\n"
            );
        }
        let ours = start_ours(
            &namespace,
            directory.path(),
            server,
            &text,
            &OURS.to_string(),
        )?;
        Ok(Self {
            _ours: ours,
            namespace,
            directory,
            zones,
        })
    }

    /// A zone's records as dig writes them, the SOA record at both ends; nothing if it is refused.
    fn transfer(
        &self,
        from: Ipv4Addr,
        of: Ipv4Addr,
        zone: &str,
    ) -> Result<Option<Vec<String>>, String> {
        let (from, at) = (from.to_string(), format!("@{of}"));
        let arguments = ["-b", &from, "+noall", "+answer", &at, zone, "AXFR"];
        let ran = client(&self.namespace, "dig", &arguments)?;
        if ran.text.contains("Transfer failed") {
            return Ok(None);
        }
        let lines = ran.succeeds()?.text;
        let lines = lines.lines().filter(|line| !line.starts_with(';'));
        let words = lines.map(|line| line.split_ascii_whitespace().collect::<Vec<_>>().join(" "));
        let records: Vec<String> = words.filter(|line| !line.is_empty()).collect();
        let ends = (records.first(), records.last());
        ensure(ends.0.is_some() && ends.0 == ends.1, || {
            format!("{zone}: does not begin and end with its SOA record: {ends:?}")
        })?;
        Ok(Some(records))
    }

    /// Waits until a secondary serves all zones, and compares its records with ours.
    fn await_copies(&self, of: Ipv4Addr) -> Result<(), String> {
        let deadline = Instant::now() + PATIENCE;
        for ZoneFile { origin, .. } in &self.zones {
            let own = self.transfer(NAMED, OURS, origin)?;
            let own = sorted(own.ok_or_else(|| format!("{origin}: ours gives it to nobody"))?);
            loop {
                let copy = self.transfer(NAMED, of, origin)?.map(sorted);
                if copy.as_ref() == Some(&own) {
                    break;
                }
                ensure(Instant::now() < deadline, || {
                    format!("{origin}: the secondary {of} has {copy:?}, ours {own:?}")
                })?;
                sleep(POLL_INTERVAL);
            }
        }
        Ok(())
    }

    fn log(&self, name: &str) -> String {
        fs::read_to_string(self.directory.path().join(name)).unwrap_or_default()
    }
}

fn sorted(mut records: Vec<String>) -> Vec<String> {
    // Case is no difference: see `rules`.
    for record in &mut records {
        record.make_ascii_lowercase();
    }
    records.sort();
    records
}

/// The same zones from BIND and from ours, to dig; nothing to others, by TCP and by UDP.
pub(super) fn to_listed_addresses(server: &Path) -> Result<(), String> {
    let primary = Primary::new(server)?;
    let directory = primary.directory.path();
    let mut text = format!(
        "options {{ directory \"{}\"; pid-file none; listen-on {{ {NAMED}; }}; \
         listen-on-v6 {{ none; }}; recursion no; notify no; dnssec-validation no; \
         check-names primary warn; max-records-per-type 0; allow-transfer {{ {NAMED}; }}; }};\n\
         controls {{ }};\n",
        directory.display()
    );
    for ZoneFile { origin, file } in &primary.zones {
        let file = file.display();
        let _ = writeln!(
            text,
            "zone \"{origin}\" {{ type primary; file \"{file}\"; }};"
        );
    }
    let _named = start_named(&primary.namespace, directory, "named", &text)?;
    primary.await_copies(NAMED)?;
    for ZoneFile { origin, .. } in &primary.zones {
        let refused = primary.transfer(STRANGER, OURS, origin)?;
        ensure(refused.is_none(), || {
            format!("{origin}: given to a stranger")
        })?;
    }
    let from = STRANGER.to_string();
    let at = format!("@{OURS}");
    for kind in ["AXFR", "IXFR=1"] {
        let arguments = ["-b", &from, "+tcp", &at, "g0.test", kind];
        let ran = client(&primary.namespace, "dig", &arguments)?;
        ensure(!ran.text.contains("Host"), || {
            format!("{kind} is answered to a stranger: {}", ran.text)
        })?;
    }
    Ok(())
}

/// BIND as a secondary of ours.
pub(super) fn to_bind(server: &Path) -> Result<(), String> {
    let primary = Primary::new(server)?;
    let directory = primary.directory.path();
    let mut text = format!(
        "options {{ directory \"{}\"; pid-file none; listen-on {{ {NAMED}; }}; \
         listen-on-v6 {{ none; }}; recursion no; notify no; dnssec-validation no; \
         max-records-per-type 0; transfer-source {NAMED}; query-source address {NAMED}; \
         allow-transfer {{ {NAMED}; }}; }};\ncontrols {{ }};\n",
        directory.display()
    );
    for ZoneFile { origin, .. } in &primary.zones {
        let _ = writeln!(
            text,
            "zone \"{origin}\" {{ type secondary; primaries {{ {OURS}; }}; file \"{origin}.copy\"; \
             masterfile-format text; }};"
        );
    }
    let _named = start_named(&primary.namespace, directory, "named", &text)?;
    let copied = primary.await_copies(NAMED);
    copied.map_err(|error| format!("{error}\n{}", primary.log("named.log")))
}

/// NSD as a secondary of ours.
pub(super) fn to_nsd(server: &Path) -> Result<(), String> {
    let primary = Primary::new(server)?;
    let directory = primary.directory.path();
    let shown = directory.display();
    let mut text = format!(
        "server:\n ip-address: {NSD}\n username: \"\"\n chroot: \"\"\n server-count: 1\n \
         database: \"\"\n zonesdir: \"{shown}\"\n pidfile: \"\"\n xfrdir: \"{shown}\"\n \
         xfrdfile: \"{shown}/xfrd.state\"\n zonelistfile: \"{shown}/zone.list\"\n \
         xfrd-reload-timeout: 1\n refuse-any: no\n\
         remote-control:\n control-enable: no\n"
    );
    for ZoneFile { origin, .. } in &primary.zones {
        let _ = write!(
            text,
            "zone:\n name: \"{origin}\"\n request-xfr: AXFR {OURS} NOKEY\n \
             allow-notify: {OURS} NOKEY\n outgoing-interface: {NSD}\n \
             provide-xfr: {NAMED} NOKEY\n"
        );
    }
    let (file, log) = (directory.join("nsd.conf"), directory.join("nsd.log"));
    fs::write(&file, text).map_err(|error| error.to_string())?;
    let mut command = primary.namespace.command("nsd");
    command.args(["-d", "-c"]).arg(&file);
    let _nsd = Process::spawn(command, "nsd", &log, Output::Log)?;
    let copied = primary.await_copies(NSD);
    copied.map_err(|error| format!("{error}\n{}", primary.log("nsd.log")))
}
