//! Entries of zone files to records: directives, owners, TTLs, classes and types.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::data::{self, Fault, Words, shown};
use super::finding::Findings;
use super::generate::{Range, Template};
use super::lexer::{BOM, Entry, Lexer};
use super::{Severity, ZoneFile, ZoneFileLimits, ZoneFiles, check, time};
use crate::{Class, Name, Record, RecordType, Zone};

/// A TTL at most (RFC 2181 section 8).
const TTL_SECONDS_MAX: u32 = 0x7fff_ffff;

/// What is known while the files of a zone are read.
pub(super) struct Reader<'f> {
    zone_origin: &'f Name,
    files: &'f dyn ZoneFiles,
    limits: &'f ZoneFileLimits,
    octets_left: usize,
    files_left: usize,
    generated_left: usize,
    /// Those that were read, each once.
    paths: Vec<Arc<str>>,
    /// Those that include each other just now.
    chain: Vec<Arc<str>>,
    /// The value of `$TTL`.
    default_ttl: Option<u32>,
    /// The TTL of the last record, once one had a TTL of its own (RFC 1035 section 5.1).
    last_ttl: Option<u32>,
    /// Whether it was said that the TTL of the last record is taken.
    has_told_last_ttl: bool,
    records: Vec<Record>,
    /// Where each of the records is written.
    places: Vec<Place>,
    findings: Findings,
    /// Whether a bound was reached: nothing more is read.
    is_stopped: bool,
}

/// Where a record is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) file: Arc<str>,
    pub(super) line: u32,
}

/// What is known within one file.
#[derive(Debug, Clone)]
struct Scope {
    file: Arc<str>,
    origin: Name,
    /// That of the last record.
    owner: Option<Name>,
    /// Whether the origin was set after the last owner.
    is_origin_new: bool,
    /// The TTLs of the last owner's records since it was named last.
    ttls: BTreeMap<RecordType, u32>,
}

/// A TTL, a class and a type, before a record's data.
struct Head {
    ttl: Option<u32>,
    kind: RecordType,
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
            files_left: limits.files_max,
            generated_left: limits.generated_max,
            paths: Vec::new(),
            chain: Vec::new(),
            default_ttl: None,
            last_ttl: None,
            has_told_last_ttl: false,
            records: Vec::new(),
            places: Vec::new(),
            findings: Findings::new(limits.findings_max),
            is_stopped: false,
        }
    }

    /// Reads the zone's own file and all that it includes, and checks what was read.
    pub(super) fn read(mut self, path: &str) -> ZoneFile {
        let file: Arc<str> = path.into();
        let mut scope = Scope {
            file: Arc::clone(&file),
            origin: self.zone_origin.clone(),
            owner: None,
            is_origin_new: false,
            ttls: BTreeMap::new(),
        };
        if let Err(why) = self.read_file(&mut scope) {
            self.findings.push(&file, None, Severity::Error, why);
        }
        // What was not read would only be missed again.
        if !self.findings.has_error() {
            check::zone(
                self.zone_origin,
                &file,
                &mut self.records,
                &self.places,
                &mut self.findings,
            );
        }
        let mut zone = None;
        if !self.findings.has_error() {
            match Zone::new(self.zone_origin.clone(), std::mem::take(&mut self.records)) {
                Ok(made) => zone = Some(made),
                Err(why) => self
                    .findings
                    .push(&file, None, Severity::Error, why.to_string()),
            }
        }
        ZoneFile {
            zone,
            findings: self.findings.sorted(&self.paths),
            files: self
                .paths
                .iter()
                .map(|path| path.as_ref().to_owned())
                .collect(),
        }
    }

    fn warn(&mut self, scope: &Scope, line: u32, text: impl Into<String>) {
        self.findings
            .push(&scope.file, Some(line), Severity::Warning, text);
    }

    /// Why nothing more is read. It is said once.
    fn stop(&mut self, why: String) -> String {
        self.is_stopped = true;
        why
    }

    /// Takes octets from what may still be read.
    fn spend(&mut self, octets: usize) -> Result<(), String> {
        match self.octets_left.checked_sub(octets) {
            Some(left) => {
                self.octets_left = left;
                Ok(())
            }
            None => {
                let octets_max = self.limits.octets_max;
                Err(self.stop(format!(
                    "all files together have more than {octets_max} octets"
                )))
            }
        }
    }

    /// Reads the scope's file.
    fn read_file(&mut self, scope: &mut Scope) -> Result<(), String> {
        let file = &scope.file;
        if self.chain.contains(file) {
            let chain = self.chain.join(" includes ");
            return Err(format!("files include each other: {chain} includes {file}"));
        }
        if self.chain.len() >= self.limits.depth_max {
            let depth_max = self.limits.depth_max;
            return Err(format!(
                "files include each other more than {depth_max} deep"
            ));
        }
        let Some(files_left) = self.files_left.checked_sub(1) else {
            let files_max = self.limits.files_max;
            return Err(self.stop(format!("more than {files_max} files are included")));
        };
        self.files_left = files_left;
        if !self.paths.contains(file) {
            self.paths.push(Arc::clone(file));
        }
        let octets = self.files.read(file, self.octets_left)?;
        self.spend(octets.len())?;
        self.chain.push(Arc::clone(file));
        self.read_octets(&octets, scope);
        self.chain.pop();
        Ok(())
    }

    fn read_octets(&mut self, octets: &[u8], scope: &mut Scope) {
        let file = Arc::clone(&scope.file);
        let mut note = |line, text| self.findings.push(&file, line, Severity::Note, text);
        if octets.starts_with(BOM) {
            note(
                Some(1),
                "the file begins with a byte order mark, which BIND does not take",
            );
        }
        if octets.last().is_some_and(|last| *last != b'\n') {
            note(None, "the last line does not end: was the file cut off?");
        }
        let mut lexer = Lexer::new(octets);
        let mut entry = Entry::default();
        while !self.is_stopped {
            let (line, text) = match lexer.next(&mut entry) {
                Ok(false) => break,
                Ok(true) => match self.read_entry(&entry, scope) {
                    Ok(()) => continue,
                    Err(Fault { line, text }) => (line, text),
                },
                Err((line, fault)) => (line, fault.to_string()),
            };
            self.findings
                .push(&scope.file, Some(line), Severity::Error, text);
        }
    }

    fn read_entry(&mut self, entry: &Entry<'_>, scope: &mut Scope) -> Result<(), Fault> {
        let mut words = Words::new(entry);
        if entry.is_indented {
            let line = entry.line;
            let Some(owner) = &scope.owner else {
                let text = "the line begins with a blank, and there is no owner before it";
                return Err(words.fault(text));
            };
            if scope.is_origin_new {
                let origin = &scope.origin;
                let text = format!("after $ORIGIN {origin} this is still about {owner}");
                self.warn(scope, line, text);
            }
        } else {
            let first = words.expect("an owner")?;
            if first.text.starts_with(b"$") {
                return self.read_directive(first.text, &mut words, scope);
            }
            let owner = name(first.text, &words, scope)?;
            let is_new = scope.owner.as_ref() != Some(&owner);
            if is_new {
                scope.ttls.clear();
            }
            if is_new && !self.is_in_zone(&owner) {
                let zone = self.zone_origin;
                let hint = match first.text.ends_with(b".") {
                    true => "",
                    false => "; look at the $ORIGIN before it",
                };
                let text = format!("ignored: {owner} is not in the zone {zone}{hint}");
                self.warn(scope, entry.line, text);
            }
            scope.owner = Some(owner);
        }
        scope.is_origin_new = false;
        let Some(owner) = scope.owner.clone() else {
            return Ok(());
        };
        let head = self.read_head(&mut words, scope)?;
        let count = self.records.len();
        self.read_record(owner, &head, &mut words, scope, entry.line)?;
        if self.records.len() > count {
            self.keep_ttl(scope, entry.line);
        }
        Ok(())
    }

    /// Gives the last record the TTL of the one before it of its name and type, as BIND does
    /// (RFC 2181 section 5.2).
    fn keep_ttl(&mut self, scope: &mut Scope, line: u32) {
        let Some(record) = self.records.last_mut() else {
            return;
        };
        let before = *scope.ttls.entry(record.kind).or_insert(record.ttl_seconds);
        let own = std::mem::replace(&mut record.ttl_seconds, before);
        if own != before {
            let kind = record.kind;
            let text = format!(
                "the TTL {own} differs from that of the {kind} record before, {before}, which is \
                 taken (RFC 2181 section 5.2)"
            );
            self.last_ttl = self.last_ttl.map(|_| before);
            self.warn(scope, line, text);
        }
    }

    fn is_in_zone(&self, owner: &Name) -> bool {
        owner.as_ref().is_within(self.zone_origin.as_ref())
    }

    fn read_directive(
        &mut self,
        directive: &[u8],
        words: &mut Words<'_, '_>,
        scope: &mut Scope,
    ) -> Result<(), Fault> {
        match directive.to_ascii_uppercase().as_slice() {
            b"$TTL" => {
                let text = words.expect_bare("a TTL")?.text;
                let seconds = time::seconds(text);
                // What comes after it is read even so.
                let ttl = seconds.map_or(0, |seconds| self.limit_ttl(seconds, words, scope));
                self.default_ttl = Some(ttl);
                seconds.ok_or_else(|| {
                    let hint = "write seconds, or a time like 1d12h";
                    words.fault(format!("{} is not a TTL: {hint}", shown(text)))
                })?;
                words.finish()
            }
            b"$ORIGIN" => {
                let text = words.expect_bare("an origin")?.text;
                scope.origin = name(text, words, scope)?;
                scope.is_origin_new = true;
                words.finish()
            }
            b"$INCLUDE" => self.read_include(words, scope),
            b"$GENERATE" => self.read_generate(words, scope),
            _ => Err(words.fault(format!(
                "unknown directive {}: there are $TTL, $ORIGIN, $INCLUDE and $GENERATE",
                shown(directive)
            ))),
        }
    }

    /// `$INCLUDE FILE [ORIGIN]`. The owner goes with it, as in BIND; neither owner nor origin come
    /// back.
    fn read_include(&mut self, words: &mut Words<'_, '_>, scope: &mut Scope) -> Result<(), Fault> {
        let text = words.expect("a file")?.text;
        let path = std::str::from_utf8(text)
            .map_err(|_| words.fault(format!("{} is not UTF-8", shown(text))))?;
        scope.ttls.clear();
        let mut inner = Scope {
            file: path.into(),
            ..scope.clone()
        };
        if let Some(token) = words.take() {
            inner.origin = name(token.text, words, scope)?;
            inner.is_origin_new = true;
        }
        words.finish()?;
        let result = self.read_file(&mut inner);
        result.map_err(|why| words.fault(format!("cannot include {}: {why}", shown(text))))
    }

    /// `$GENERATE RANGE OWNER [TTL] [CLASS] TYPE DATA`, as in BIND.
    fn read_generate(&mut self, words: &mut Words<'_, '_>, scope: &Scope) -> Result<(), Fault> {
        let line = words.line();
        let range = words.expect_bare("a range")?;
        let range = Range::parse(range.text).ok_or_else(|| {
            words.fault(format!(
                "{} is no range: write 1-9, or 0-254/2",
                shown(range.text)
            ))
        })?;
        let owners = words.expect_bare("an owner")?;
        let owners = Template::parse(owners.text).map_err(|why| words.fault(why))?;
        let head = self.read_head(words, scope)?;
        let data = words.expect("the data")?;
        let text = match data.is_quoted {
            true => without_escaped_quotes(data.text),
            false => data.text.to_vec(),
        };
        let data = Template::parse(&text).map_err(|why| words.fault(why))?;
        if words.peek().is_some() {
            return Err(words.fault("write the data of $GENERATE between quotes"));
        }
        let is_first_outside = &mut true;
        for value in range.values() {
            let Some(left) = self.generated_left.checked_sub(1) else {
                let generated_max = self.limits.generated_max;
                let why = format!("$GENERATE makes more than {generated_max} records");
                return Err(words.fault(self.stop(why)));
            };
            self.generated_left = left;
            let fault = |why: &str| Fault {
                line,
                text: format!("for the value {value}: {why}"),
            };
            let owner = owners.fill(value).map_err(fault)?;
            let data = data.fill(value).map_err(fault)?;
            let spent = self.spend(owner.len() + data.len());
            spent.map_err(|why| Fault { line, text: why })?;
            let owner = name(&owner, words, scope)?;
            if std::mem::take(is_first_outside) && !self.is_in_zone(&owner) {
                let zone = self.zone_origin;
                let text = format!("ignored: {owner} is not in the zone {zone}");
                self.warn(scope, line, text);
            }
            let mut entry = Entry::default();
            let lexed = Lexer::new(&data).next(&mut entry);
            lexed.map_err(|(_, why)| fault(&why.to_string()))?;
            entry.move_to(line);
            let mut words = Words::new(&entry);
            let read = self.read_record(owner, &head, &mut words, scope, line);
            read.map_err(|why| fault(&why.text))?;
            if self.is_stopped {
                break;
            }
        }
        Ok(())
    }

    /// A TTL and a class, in either order and neither needed, and a type.
    fn read_head(&mut self, words: &mut Words<'_, '_>, scope: &Scope) -> Result<Head, Fault> {
        let (mut ttl, mut class) = (None, None);
        let text = loop {
            let text = words.expect_bare("a record's type")?.text;
            if class.is_none()
                && let Some(found) = class_of(text)
            {
                class = Some(found);
            } else if ttl.is_none()
                && let Some(found) = time::seconds(text)
            {
                ttl = Some(self.limit_ttl(found, words, scope));
                self.last_ttl = ttl;
            } else {
                break text;
            }
        };
        let kind = std::str::from_utf8(text)
            .ok()
            .and_then(|text| text.parse().ok());
        let Some(kind): Option<RecordType> = kind else {
            return Err(words.fault(format!("{} is not the type of a record", shown(text))));
        };
        if kind.is_meta() {
            return Err(words.fault(format!("{kind} is a type of questions, not of records")));
        }
        if class.is_some_and(|class| class != Class::IN) {
            return Err(words.fault("the class is not IN, which is the only one that is served"));
        }
        Ok(Head { ttl, kind })
    }

    fn limit_ttl(&mut self, seconds: u32, words: &Words<'_, '_>, scope: &Scope) -> u32 {
        if seconds <= TTL_SECONDS_MAX {
            return seconds;
        }
        let text = format!("a TTL of {seconds} is more than {TTL_SECONDS_MAX}: 0 is taken");
        self.warn(scope, words.line(), text);
        0
    }

    /// A record, of which all but the data was read.
    fn read_record(
        &mut self,
        owner: Name,
        head: &Head,
        words: &mut Words<'_, '_>,
        scope: &Scope,
        line: u32,
    ) -> Result<(), Fault> {
        let kind = head.kind;
        let data = data::parse(kind, words, scope.origin.as_ref())?;
        if !self.is_in_zone(&owner) {
            return Ok(());
        }
        let is_apex = owner == *self.zone_origin;
        if kind == RecordType::SOA && !is_apex {
            return Err(Fault {
                line,
                text: format!(
                    "an SOA record of {owner}: it belongs to {}",
                    self.zone_origin
                ),
            });
        }
        if kind == RecordType::DS && is_apex {
            return Err(Fault {
                line,
                text: format!("a DS record of {owner} belongs to the zone above it"),
            });
        }
        let ttl = self.ttl(head, &data, scope, line)?;
        if self.records.len() >= self.limits.records_max {
            let records_max = self.limits.records_max;
            let text = self.stop(format!("the zone has more than {records_max} records"));
            return Err(Fault { line, text });
        }
        self.records.push(Record::new(owner, kind, ttl, data));
        self.places.push(Place {
            file: Arc::clone(&scope.file),
            line,
        });
        Ok(())
    }

    /// The TTL of a record: its own, that of `$TTL` (RFC 2308 section 4), that of the record before
    /// it (RFC 1035 section 5.1), or, for the first, what its SOA record says.
    fn ttl(&mut self, head: &Head, data: &[u8], scope: &Scope, line: u32) -> Result<u32, Fault> {
        if let Some(ttl) = head.ttl.or(self.default_ttl) {
            return Ok(ttl);
        }
        if let Some(ttl) = self.last_ttl {
            if !std::mem::replace(&mut self.has_told_last_ttl, true) {
                let hint = "write $TTL before the first record";
                let text = format!("the TTL of the record before is taken: {hint}");
                self.warn(scope, line, text);
            }
            return Ok(ttl);
        }
        let minimum = data
            .last_chunk::<4>()
            .filter(|_| head.kind == RecordType::SOA);
        let Some(minimum) = minimum else {
            self.default_ttl = Some(0);
            return Err(Fault {
                line,
                text: "there is no TTL: write $TTL 1d before the first record".to_owned(),
            });
        };
        let ttl = u32::from_be_bytes(*minimum);
        let ttl = if ttl <= TTL_SECONDS_MAX { ttl } else { 0 };
        let text = format!("there is no TTL: the SOA's last number, {ttl}, is taken; write $TTL");
        self.warn(scope, line, text);
        self.default_ttl = Some(ttl);
        Ok(ttl)
    }
}

fn name(text: &[u8], words: &Words<'_, '_>, scope: &Scope) -> Result<Name, Fault> {
    let name = Name::from_text(text, Some(scope.origin.as_ref()));
    name.map_err(|why| words.fault(format!("{} is not a name: {why}", shown(text))))
}

/// What stood between quotes, with the quotes in it as those of a line of its own: BIND's
/// `isc_lex_gettoken` drops the backslashes before them, and no others.
fn without_escaped_quotes(text: &[u8]) -> Vec<u8> {
    let mut octets = Vec::with_capacity(text.len());
    let mut rest = text.iter().copied();
    while let Some(octet) = rest.next() {
        match (octet, rest.clone().next()) {
            (b'\\', Some(b'"')) => {}
            (b'\\', Some(_)) => octets.push(octet),
            _ => {
                octets.push(octet);
                continue;
            }
        }
        octets.extend(rest.next());
    }
    octets
}

/// A class; none if it is none.
fn class_of(text: &[u8]) -> Option<Class> {
    match text.to_ascii_uppercase().as_slice() {
        b"IN" => Some(Class::IN),
        b"CH" | b"CHAOS" => Some(Class::CH),
        b"HS" | b"HESIOD" => Some(Class(4)),
        b"ANY" => Some(Class::ANY),
        b"NONE" => Some(Class(254)),
        upper => data::number(upper.strip_prefix(b"CLASS")?).map(Class),
    }
}
