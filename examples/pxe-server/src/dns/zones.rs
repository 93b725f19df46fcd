//! The zones that are served: read from their files, or made from the configuration.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nix::fcntl::OFlag;
use pxe_dns::{Finding, Name, ServedZone, Severity, Zone, ZoneFile, ZoneFileLimits};

use super::interfaces::Interfaces;
use super::written::{WrittenZone, written};
use crate::config::{Config, Dns, Problem, ZoneContent};
use crate::fact::printable;

/// A zone as it is served.
#[derive(Debug, Clone)]
pub(crate) struct LoadedZone {
    pub(crate) zone: Zone,
    /// What it was read or made from.
    source: ZoneSource,
    /// What is doubtful in it.
    pub(crate) warnings: Vec<String>,
    /// What is wrong in its file as it is now, for which it is served as it was before.
    pub(crate) faults: Vec<String>,
    /// How many records it has.
    pub(crate) records: usize,
}

/// The files that a zone was read from, the first of them its own, as they were.
type ReadFiles = Vec<(PathBuf, Option<Stamp>)>;

/// What a zone was read or made from.
#[derive(Debug, Clone)]
enum ZoneSource {
    Files(ReadFiles),
    Written(WrittenZone),
}

/// By what a file is known to be the same: whoever changes it changes one of these.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stamp {
    device: u64,
    inode: u64,
    len: u64,
    modified: (i64, i64),
    /// Of what is in the inode: who may read it, and what was written with an old time.
    changed: (i64, i64),
}

impl Stamp {
    pub(super) fn of(path: &Path) -> Option<Self> {
        let metadata = std::fs::metadata(path).ok()?;
        Some(Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            len: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        })
    }
}

/// All zones of a configuration.
#[derive(Debug, Clone, Default)]
pub(crate) struct Zones(BTreeMap<Name, LoadedZone>);

impl Zones {
    /// Reads and makes the zones. `former` are those of the configuration before: a zone that is
    /// made from the same lines keeps its serial, any other gets a greater one.
    ///
    /// # Errors
    /// All that is wrong with any.
    pub(crate) fn load(
        config: &Config,
        interfaces: &Interfaces,
        former: &Self,
        unix_seconds: u64,
    ) -> Result<Self, Vec<Problem>> {
        let Some(dns) = &config.dns else {
            return Ok(Self::default());
        };
        let mut zones = BTreeMap::new();
        let mut problems = Vec::new();
        for zone in &dns.zones {
            let ZoneContent::File(path) = &zone.content else {
                continue;
            };
            match from_file(&zone.name, path).1 {
                Ok(loaded) => {
                    zones.insert(zone.name.clone(), loaded);
                }
                Err(faults) => {
                    let key = format!("{}.file", zone.key);
                    let faults = faults.into_iter();
                    problems.extend(faults.map(|fault| config.problem(&key, fault, "")));
                }
            }
        }
        for made in written(config, dns, interfaces) {
            let before = former.0.get(&made.name);
            match from_lines(config, made, before, unix_seconds) {
                Ok(loaded) => {
                    zones.insert(loaded.zone.origin().to_name(), loaded);
                }
                Err(faults) => problems.extend(faults),
            }
        }
        match problems.is_empty() {
            true => Ok(Self(zones)),
            false => Err(problems),
        }
    }

    /// Those whose files are others than they were when they were read, and what these are now.
    pub(crate) fn changed(&self) -> BTreeMap<Name, Vec<Option<Stamp>>> {
        let changed = self.0.iter().filter_map(|(name, loaded)| {
            let ZoneSource::Files(files) = &loaded.source else {
                return None;
            };
            let now: Vec<Option<Stamp>> = files.iter().map(|(path, _)| Stamp::of(path)).collect();
            let is_same = files.iter().map(|(_, stamp)| stamp).eq(&now);
            (!is_same).then(|| (name.clone(), now))
        });
        changed.collect()
    }

    /// Reads the file of a zone again. If it is bad, the zone stays as it was, but for its faults.
    /// `None`: it has no file.
    pub(crate) fn read_again(&mut self, name: &Name) -> Option<&LoadedZone> {
        let loaded = self.0.get_mut(name)?;
        let path = loaded.file()?.to_owned();
        let (files, read) = from_file(name, &path);
        match read {
            Ok(mut new) => {
                let (serial, former) = (new.zone.serial(), loaded.zone.serial());
                // It may have been touched, or be as it was before it was broken.
                let is_other = !new.zone.records().eq(loaded.zone.records());
                if serial == former && is_other {
                    new.warnings.push(format!(
                        "{}: the zone has changed and its serial is {serial} as before: \
                         secondaries do not see it; increase it",
                        path.display()
                    ));
                }
                *loaded = new;
            }
            Err(faults) => {
                loaded.faults = faults;
                loaded.source = ZoneSource::Files(files);
            }
        }
        Some(loaded)
    }

    pub(crate) fn get(&self, name: &Name) -> Option<&LoadedZone> {
        self.0.get(name)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&Name, &LoadedZone)> {
        self.0.iter()
    }

    /// The same with who may ask for each.
    pub(crate) fn served(
        &self,
        config: &Config,
        dns: &Dns,
        interfaces: &Interfaces,
    ) -> Vec<ServedZone> {
        let zones = self.0.iter().map(|(name, loaded)| {
            let mut served = ServedZone::new(loaded.zone.clone());
            let configured = dns.zones.iter().find(|zone| zone.name == *name);
            let query = configured.map_or(&dns.allow_query, |zone| &zone.allow_query);
            served.query = interfaces.access_list(config, dns, query);
            if let Some(zone) = configured {
                served.transfer = interfaces.access_list(config, dns, &zone.allow_transfer);
                // One that nobody wrote has such a serial already; without DHCP there are no leases.
                if zone.has_leases && config.dhcp.is_some() && loaded.file().is_some() {
                    served.serial_offset = serial_offset();
                }
            }
            served
        });
        zones.collect()
    }
}

impl LoadedZone {
    /// The zone's own file, if it was read from one.
    pub(crate) fn file(&self) -> Option<&Path> {
        match &self.source {
            ZoneSource::Files(files) => files.first().map(|(path, _)| path.as_path()),
            ZoneSource::Written(_) => None,
        }
    }
}

/// The seconds since the beginning of 2026, as seconds since 1970 would be more than half of all
/// serials away from one that is a date (RFC 1982).
fn serial_offset() -> u32 {
    const BEGINNING_OF_2026: u64 = 1_767_225_600;
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let now = now.unwrap_or_default().as_secs();
    u32::try_from(now.saturating_sub(BEGINNING_OF_2026)).unwrap_or(u32::MAX)
}

/// Reads a zone's file: the files it is made of, and what is wrong with them if it is no zone, a
/// line each, with file and line.
fn from_file(name: &Name, path: &Path) -> (ReadFiles, Result<LoadedZone, Vec<String>>) {
    let (files, file) = read_zone_file(name, path);
    let (faults, warnings) = told(&file.findings);
    let loaded = match file.zone {
        Some(zone) => Ok(LoadedZone {
            records: zone.records().count(),
            zone,
            source: ZoneSource::Files(files.clone()),
            warnings,
            faults: Vec::new(),
        }),
        None => Err(faults),
    };
    (files, loaded)
}

/// Reads a zone's file, with what it includes: those are beside it, if they are not named by their
/// whole paths.
pub(crate) fn read_zone_file(name: &Name, path: &Path) -> (ReadFiles, ZoneFile) {
    let stamps = RefCell::new(BTreeMap::new());
    let read = |asked: &str, octets_max: usize| {
        let path = beside(path, asked);
        // Before it is read: a change meanwhile is seen the next time.
        stamps
            .borrow_mut()
            .insert(asked.to_owned(), Stamp::of(&path));
        read_bounded(&path, octets_max)
    };
    let own = path.to_string_lossy();
    let file = ZoneFile::read(name, &own, &read, &ZoneFileLimits::default());
    let stamps = stamps.into_inner();
    let files = file.files.iter().map(|asked| {
        let stamp = stamps.get(asked).copied().flatten();
        (beside(path, asked), stamp)
    });
    (files.collect(), file)
}

/// What is found in a zone file, errors and warnings.
fn told(findings: &[Finding]) -> (Vec<String>, Vec<String>) {
    let text = |finding: &Finding| printable(&finding.to_string());
    let of = |is_error: bool| {
        let findings = findings.iter();
        let findings = findings.filter(|finding| match finding.severity {
            Severity::Error => is_error,
            Severity::Warning => !is_error,
            _ => false,
        });
        findings.map(text).collect()
    };
    (of(true), of(false))
}

/// Where a file is that a zone file names: beside the zone's own file, if not by its whole path.
fn beside(own: &Path, asked: &str) -> PathBuf {
    if Path::new(asked) == own {
        return own.to_owned();
    }
    own.parent().unwrap_or(Path::new("")).join(asked)
}

/// The content of a file, or its first octets up to one more than these.
fn read_bounded(path: &Path, octets_max: usize) -> Result<Vec<u8>, String> {
    let read = || -> std::io::Result<Vec<u8>> {
        // A pipe in its place would keep us waiting for its writer.
        let file = File::options()
            .read(true)
            .custom_flags(OFlag::O_NONBLOCK.bits())
            .open(path)?;
        if !file.metadata()?.is_file() {
            return Err(std::io::Error::other("is no file"));
        }
        let bound = u64::try_from(octets_max)
            .unwrap_or(u64::MAX)
            .saturating_add(1);
        let mut content = Vec::new();
        file.take(bound).read_to_end(&mut content)?;
        Ok(content)
    };
    read().map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => "there is no such file".to_owned(),
        std::io::ErrorKind::PermissionDenied => {
            "the server's user may not read it: chmod o+r, or give it to that user's group"
                .to_owned()
        }
        _ => error.to_string(),
    })
}

fn from_lines(
    config: &Config,
    made: WrittenZone,
    before: Option<&LoadedZone>,
    unix_seconds: u64,
) -> Result<LoadedZone, Vec<Problem>> {
    // RFC 1982: a serial is 32 bits, and goes round.
    let now = (unix_seconds & u64::from(u32::MAX)) as u32;
    let serial = match before {
        None => now,
        Some(before) => match &before.source {
            ZoneSource::Written(same) if *same == made => before.zone.serial(),
            _ => {
                let former = before.zone.serial();
                let is_later = now.wrapping_sub(former).wrapping_sub(1) < i32::MAX as u32;
                if is_later {
                    now
                } else {
                    former.wrapping_add(1)
                }
            }
        },
    };
    let text = made.with_serial(serial);
    let own = "[dns]";
    let directory = config.file.parent().unwrap_or(Path::new("")).to_owned();
    let read = |asked: &str, octets_max: usize| match asked == own {
        true => Ok(text.clone().into_bytes()),
        false => read_bounded(&directory.join(asked), octets_max),
    };
    let file = ZoneFile::read(&made.name, own, &read, &ZoneFileLimits::default());
    let problem = |finding: &Finding| {
        let of_line = finding.line.filter(|_| *finding.file == *own);
        match of_line.and_then(|line| made.key(line)) {
            Some(key) => config.problem(key, printable(&finding.text), ""),
            None => config.problem("dns.zone", printable(&finding.to_string()), ""),
        }
    };
    let errors = file.findings.iter();
    let errors = errors.filter(|finding| finding.severity == Severity::Error);
    let problems: Vec<Problem> = errors.map(problem).collect();
    let warnings = file.findings.iter();
    let warnings = warnings.filter(|finding| finding.severity == Severity::Warning);
    let warnings = warnings.map(|finding| config.locate(&problem(finding)));
    let warnings: Vec<String> = warnings.collect();
    match file.zone {
        Some(zone) => Ok(LoadedZone {
            records: zone.records().count(),
            zone,
            source: ZoneSource::Written(made),
            warnings,
            faults: Vec::new(),
        }),
        None => Err(problems),
    }
}
