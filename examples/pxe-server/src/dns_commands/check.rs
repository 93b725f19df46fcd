//! `pxe-server dns check`, and what `pxe-server check` says of zones.

use std::path::Path;
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use pxe_dns::{Name, NameRef, Severity};

use crate::cli::print;
use crate::config::Config;
use crate::dns::{Interfaces, Zones, read_zone_file};
use crate::fact::printable;

/// Checks one file. Findings go where errors go, the last line where output goes.
pub(super) fn run(file: &Path, zone: Option<&str>, is_printed: bool) -> ExitCode {
    let name = match zone {
        Some(text) => match text.parse::<Name>() {
            Ok(name) => name,
            Err(error) => {
                eprintln!("error: --zone {text}: {error}");
                return ExitCode::FAILURE;
            }
        },
        None => match guessed(file) {
            Some(name) => name,
            None => {
                eprintln!(
                    "error: {}: the name of the file says nothing of the zone's; add --zone NAME",
                    file.display()
                );
                return ExitCode::FAILURE;
            }
        },
    };
    let (_, read) = read_zone_file(&name, file);
    for finding in &read.findings {
        eprintln!("{}", printable(&finding.to_string()));
    }
    let errors = read.findings.iter();
    let errors = errors.filter(|finding| finding.severity == Severity::Error);
    match read.zone {
        None => {
            let errors = match errors.count() {
                1 => "1 error".to_owned(),
                count => format!("{count} errors"),
            };
            eprintln!("zone {name}: not loaded, {errors}");
            if zone.is_none() {
                eprintln!("the zone's name is taken from the file's; --zone names another");
            }
            ExitCode::FAILURE
        }
        Some(zone) => {
            let text = match is_printed {
                true => zone.to_string(),
                false => String::new(),
            };
            let (serial, records) = (zone.serial(), zone.records().count());
            print(&format!(
                "{text}zone {name} OK, serial {serial}, {records} records\n"
            ))
        }
    }
}

/// The zone of which a file of this name usually is.
fn guessed(file: &Path) -> Option<Name> {
    let name = file.file_name()?.to_str()?;
    let ends = [".zone", ".db", ".hosts", ".rev", ".txt", ".signed"];
    let name = ends
        .iter()
        .find_map(|end| name.strip_suffix(end))
        .unwrap_or(name);
    let begins = ["db.", "zone.", "named.", "master."];
    let name = begins
        .iter()
        .find_map(|begin| name.strip_prefix(begin))
        .unwrap_or(name);
    let name: Name = name.parse().ok()?;
    let is_address = name
        .as_ref()
        .labels()
        .all(|label| label.iter().all(u8::is_ascii_digit));
    match is_address {
        // BIND's packages call the zone of 10.0.0.0/8 db.10, and the tutorial that of
        // 192.168.150.0/24 db.150.168.192.
        true => {
            let text = format!("{name}in-addr.arpa.");
            text.parse().ok()
        }
        false => (name.as_ref() != NameRef::ROOT).then_some(name),
    }
}

/// What is found in the zones of a configuration, a line each.
#[derive(Debug, Default)]
pub(crate) struct CheckedZones {
    /// What keeps the server from starting.
    pub(crate) errors: Vec<String>,
    /// What is doubtful.
    pub(crate) warnings: Vec<String>,
    /// How many zones there are, if none has an error.
    pub(crate) count: usize,
}

/// Reads and makes all zones, as a server that starts does.
pub(crate) fn check_zones(config: &Config) -> CheckedZones {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    let interfaces = Interfaces::read();
    match Zones::load(config, &interfaces, &Zones::default(), since.as_secs()) {
        Ok(zones) => CheckedZones {
            errors: Vec::new(),
            warnings: zones
                .iter()
                .flat_map(|(_, loaded)| loaded.warnings.clone())
                .collect(),
            count: zones.iter().count(),
        },
        Err(problems) => CheckedZones {
            errors: problems
                .iter()
                .map(|problem| config.locate(problem))
                .collect(),
            ..CheckedZones::default()
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_names_of_files_are_those_of_zones() {
        for (file, zone) in [
            ("/etc/bind/db.matrix.lan", "matrix.lan."),
            ("matrix.lan.zone", "matrix.lan."),
            ("db.150.168.192", "150.168.192.in-addr.arpa."),
            ("named.localhost", "localhost."),
            ("150.168.192.in-addr.arpa", "150.168.192.in-addr.arpa."),
        ] {
            let name = guessed(Path::new(file)).map(|name| name.to_string());
            assert_eq!(name.as_deref(), Some(zone), "{file}");
        }
        assert_eq!(guessed(Path::new("a..b")), None);
    }
}
