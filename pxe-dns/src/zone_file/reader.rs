//! Entries of zone files to records: directives, owners, TTLs, classes and types.

use std::sync::Arc;

use super::data::{self, Fault, Words, shown};
use super::lexer::{Entry, Lexer};
use super::{Finding, Severity, ZoneFile, ZoneFileLimits, ZoneFiles, time};
use crate::{Class, Name, Record, RecordType, Zone};

/// A TTL at most (RFC 2181 section 8).
const TTL_SECONDS_MAX: u32 = 0x7fff_ffff;

/// What is known while the files of a zone are read.
pub(super) struct Reader<'f> {
    zone_origin: &'f Name,
    files: &'f dyn ZoneFiles,
    limits: &'f ZoneFileLimits,
    /// Octets that may still be read.
    octets_left: usize,
    paths: Vec<Arc<str>>,
    /// The value of `$TTL`.
    default_ttl: Option<u32>,
    /// The TTL of the last record that had one of its own.
    last_ttl: Option<u32>,
    records: Vec<Record>,
    findings: Vec<Finding>,
}

/// What is known within one file.
#[derive(Debug)]
struct Scope {
    file: Arc<str>,
    origin: Name,
    /// That of the last record.
    owner: Option<Name>,
}

impl<'f> Reader<'f> {
    pub(super) fn new(
        zone_origin: &'f Name,
        files: &'f dyn ZoneFiles,
        limits: &'f ZoneFileLimits,
    ) -> Self {
        Self {
            zone_origin,
            files,
            limits,
            octets_left: limits.octets_max,
            paths: Vec::new(),
            default_ttl: None,
            last_ttl: None,
            records: Vec::new(),
            findings: Vec::new(),
        }
    }

    /// Reads the zone's own file and all that it includes.
    pub(super) fn read(mut self, path: &str) -> ZoneFile {
        let file: Arc<str> = path.into();
        self.paths.push(Arc::clone(&file));
        let mut scope = Scope {
            file,
            origin: self.zone_origin.clone(),
            owner: None,
        };
        match self.files.read(path, self.octets_left) {
            Ok(octets) => self.read_octets(&octets, &mut scope),
            Err(why) => self.find(&scope, None, Severity::Error, why),
        }
        let has_error = |findings: &[Finding]| {
            findings
                .iter()
                .any(|finding| finding.severity == Severity::Error)
        };
        let zone = match has_error(&self.findings) {
            true => None,
            false => {
                let zone = Zone::new(self.zone_origin.clone(), std::mem::take(&mut self.records));
                let text = |why: &dyn std::error::Error| why.to_string();
                if let Err(why) = &zone {
                    self.find(&scope, None, Severity::Error, text(why));
                }
                zone.ok()
            }
        };
        ZoneFile {
            zone,
            findings: self.findings,
            files: self.paths.iter().map(|path| (**path).to_owned()).collect(),
        }
    }

    fn find(&mut self, scope: &Scope, line: Option<u32>, severity: Severity, text: String) {
        if self.findings.len() < self.limits.findings_max {
            self.findings.push(Finding {
                file: Arc::clone(&scope.file),
                line,
                severity,
                text,
            });
        }
    }

    fn read_octets(&mut self, octets: &[u8], scope: &mut Scope) {
        let mut lexer = Lexer::new(octets);
        let mut entry = Entry::default();
        loop {
            match lexer.next(&mut entry) {
                Ok(true) => {
                    if let Err(Fault { line, text }) = self.read_entry(&entry, scope) {
                        self.find(scope, Some(line), Severity::Error, text);
                    }
                }
                Ok(false) => break,
                Err((line, fault)) => {
                    self.find(scope, Some(line), Severity::Error, fault.to_string());
                }
            }
        }
    }

    fn read_entry(&mut self, entry: &Entry<'_>, scope: &mut Scope) -> Result<(), Fault> {
        let mut words = Words::new(entry);
        let first = words.peek().filter(|_| !entry.is_indented);
        match first {
            Some(token) if token.text.starts_with(b"$") && !token.is_quoted => {
                words.take();
                self.read_directive(token.text, &mut words, scope)?;
                words.finish()
            }
            Some(token) => {
                words.take();
                let owner = Name::from_text(token.text, Some(scope.origin.as_ref()));
                let owner = owner.map_err(|why| {
                    words.fault(format!("{} is not a name: {why}", shown(token.text)))
                })?;
                scope.owner = Some(owner);
                self.read_record(&mut words, scope)
            }
            None => self.read_record(&mut words, scope),
        }
    }

    fn read_directive(
        &mut self,
        directive: &[u8],
        words: &mut Words<'_, '_>,
        scope: &mut Scope,
    ) -> Result<(), Fault> {
        match directive.to_ascii_uppercase().as_slice() {
            b"$TTL" => {
                let text = words.expect("a TTL")?.text;
                let ttl = time::seconds(text)
                    .ok_or_else(|| words.fault(format!("{} is not a TTL", shown(text))))?;
                self.default_ttl = Some(ttl.min(TTL_SECONDS_MAX));
                Ok(())
            }
            b"$ORIGIN" => {
                let text = words.expect("an origin")?.text;
                let origin = Name::from_text(text, Some(scope.origin.as_ref()));
                scope.origin = origin
                    .map_err(|why| words.fault(format!("{} is not a name: {why}", shown(text))))?;
                Ok(())
            }
            _ => Err(words.fault(format!("unknown directive: {}", shown(directive)))),
        }
    }

    /// A record, of which the owner was read.
    fn read_record(&mut self, words: &mut Words<'_, '_>, scope: &Scope) -> Result<(), Fault> {
        let Some(owner) = scope.owner.clone() else {
            return Err(words.fault("a line begins with a blank, and there is no owner before it"));
        };
        let (mut ttl, mut class) = (None, None);
        let (kind_text, kind) = loop {
            let text = words.expect("a record's type")?.text;
            if class.is_none()
                && let Some(found) = class_of(text)
            {
                class = Some(found);
            } else if ttl.is_none()
                && let Some(found) = time::seconds(text)
            {
                ttl = Some(found.min(TTL_SECONDS_MAX));
                self.last_ttl = ttl;
            } else {
                break (
                    text,
                    std::str::from_utf8(text)
                        .ok()
                        .and_then(|text| text.parse().ok()),
                );
            }
        };
        let Some(kind): Option<RecordType> = kind else {
            return Err(words.fault(format!("{} is not a record's type", shown(kind_text))));
        };
        if class.is_some_and(|class| class != Class::IN) {
            return Err(words.fault("the class is not IN"));
        }
        let data = data::parse(kind, words, scope.origin.as_ref())?;
        let ttl = ttl.or(self.default_ttl).or(self.last_ttl).or_else(|| {
            let minimum = data.last_chunk::<4>().filter(|_| kind == RecordType::SOA)?;
            self.default_ttl = Some(u32::from_be_bytes(*minimum).min(TTL_SECONDS_MAX));
            self.default_ttl
        });
        let Some(ttl) = ttl else {
            return Err(words.fault("no TTL: write $TTL 1d at the top of the file"));
        };
        self.records.push(Record::new(owner, kind, ttl, data));
        Ok(())
    }
}

/// A class; none if it is none.
fn class_of(text: &[u8]) -> Option<Class> {
    match text.to_ascii_uppercase().as_slice() {
        b"IN" => Some(Class::IN),
        b"CH" | b"CHAOS" => Some(Class::CH),
        b"HS" | b"HESIOD" => Some(Class(4)),
        b"ANY" => Some(Class::ANY),
        b"NONE" => Some(Class(254)),
        upper => {
            let digits = upper.strip_prefix(b"CLASS")?;
            let is_number = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
            let digits = std::str::from_utf8(digits).ok().filter(|_| is_number)?;
            digits.parse().ok().map(Class)
        }
    }
}
