//! Whether records make a sensible zone: what `named-checkzone` checks, and a little more.

mod host_name;
mod index;

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use self::host_name::{is_address, is_host_name, is_mailbox, may_have_address};
use self::index::{Found, Index};
use super::Severity;
use super::finding::Findings;
use super::reader::Place;
use crate::{Name, NameRef, Record, RecordType};

/// Aliases of aliases that are followed.
const CHAIN_LEN_MAX: usize = 16;
/// Octets of a message at most (RFC 1035 section 4.2.2).
const MESSAGE_LEN_MAX: usize = 65_535;
/// Octets of a record before its data, if its name is a pointer (RFC 1035 section 4.1.3).
const RECORD_HEAD_LEN: usize = 12;
/// From here on a serial is no date of this century: `2100010100`.
const LATE_SERIAL: u32 = 2_100_010_100;

/// Checks a zone's records. Each stands at the place of the same index, and all are in the zone.
///
/// A record that is there twice goes; those of a name and type get one TTL (RFC 2181 sections 5 and
/// 5.2).
pub(super) fn zone(
    origin: &Name,
    file: &Arc<str>,
    records: &mut Vec<Record>,
    places: &[Place],
    findings: &mut Findings,
) {
    let check = Check {
        origin: origin.as_ref(),
        records,
        places,
        index: Index::new(origin.as_ref(), records),
    };
    check.apex(file, findings);
    let mut changes = Changes::default();
    for indices in check.index.names() {
        check.name(indices, &mut changes, findings);
    }
    for (index, record) in records.iter().enumerate() {
        check.owner(index, record, findings);
        check.data(index, record, findings);
        check.target(index, record, findings);
    }
    for (index, ttl_seconds) in changes.ttls {
        if let Some(record) = records.get_mut(index) {
            record.ttl_seconds = ttl_seconds;
        }
    }
    let mut index = 0;
    records.retain(|_| {
        index += 1;
        !changes.doubles.contains(&(index - 1))
    });
}

/// What is made of records that could not all be as they are written.
#[derive(Default)]
struct Changes {
    /// Records by index, and their TTLs.
    ttls: Vec<(usize, u32)>,
    /// Records that are there already.
    doubles: BTreeSet<usize>,
}

/// Data that is equal if it says the same: a name alone is compared without regard to case.
fn essence(record: &Record) -> Cow<'_, [u8]> {
    match record.kind {
        RecordType::NS | RecordType::CNAME | RecordType::DNAME | RecordType::PTR => {
            Cow::Owned(record.data.to_ascii_lowercase())
        }
        _ => Cow::Borrowed(&record.data),
    }
}

struct Check<'r> {
    origin: NameRef<'r>,
    records: &'r [Record],
    places: &'r [Place],
    index: Index,
}

impl Check<'_> {
    /// Tells something of a record.
    fn find(
        &self,
        index: usize,
        severity: Severity,
        text: impl Into<String>,
        findings: &mut Findings,
    ) {
        if let Some(place) = self.places.get(index) {
            findings.push(&place.file, Some(place.line), severity, text);
        }
    }

    fn warn(&self, index: usize, text: impl Into<String>, findings: &mut Findings) {
        self.find(index, Severity::Warning, text, findings);
    }

    fn fail(&self, index: usize, text: impl Into<String>, findings: &mut Findings) {
        self.find(index, Severity::Error, text, findings);
    }

    /// Where a record stands, in a sentence.
    fn place(&self, index: usize) -> String {
        let place = self.places.get(index);
        place.map_or_else(String::new, |place| {
            format!("{}:{}", place.file, place.line)
        })
    }

    /// A zone begins with one SOA record and has a name server.
    fn apex(&self, file: &Arc<str>, findings: &mut Findings) {
        let origin = self.origin;
        let Some(soa) = self.index.first(origin, RecordType::SOA) else {
            let text = format!(
                "there is no SOA record of {origin}: the file begins with one, or is of another \
                 zone"
            );
            findings.push(file, None, Severity::Error, text);
            return;
        };
        if self.index.first(origin, RecordType::NS).is_none() {
            let text = format!("{origin} has no NS record: name the server of this zone");
            self.fail(soa, text, findings);
        }
        let data = self
            .records
            .get(soa)
            .map(|record| &record.data[..])
            .unwrap_or_default();
        let Some(Soa {
            serial,
            refresh,
            retry,
            expire,
            ..
        }) = Soa::read(data)
        else {
            return;
        };
        if serial == 0 {
            let text = "the serial is 0: begin with 1, or with a date like 2026112101";
            self.warn(soa, text, findings);
        } else if serial >= LATE_SERIAL {
            let text = format!(
                "the serial {serial} is beyond all dates like 2026112101; going back to one needs \
                 two steps (RFC 1982)"
            );
            self.find(soa, Severity::Note, text, findings);
        }
        if u64::from(expire) < u64::from(refresh) + u64::from(retry) {
            let text = format!(
                "the expire time {expire} is less than refresh and retry time together: servers \
                 that copy the zone give it up before they asked twice (RFC 1912 section 2.2)"
            );
            self.warn(soa, text, findings);
        }
    }

    /// What the records of one name may not be together.
    fn name(&self, indices: &[usize], changes: &mut Changes, findings: &mut Findings) {
        let mut sets: BTreeMap<RecordType, Vec<(usize, &Record)>> = BTreeMap::new();
        for index in indices {
            if let Some(record) = self.records.get(*index) {
                sets.entry(record.kind).or_default().push((*index, record));
            }
        }
        for (kind, set) in &sets {
            self.set(*kind, set, changes, findings);
        }
        let Some([(alias, record), ..]) = sets.get(&RecordType::CNAME).map(Vec::as_slice) else {
            return;
        };
        // RFC 1034 section 3.6.2, RFC 2181 section 10.1, RFC 4034 section 4 and what preceded it.
        let beside = |kind: RecordType| {
            let may = matches!(
                kind,
                RecordType::CNAME
                    | RecordType::RRSIG
                    | RecordType::NSEC
                    | RecordType::SIG
                    | RecordType::KEY
            );
            !may
        };
        for (kind, set) in sets.iter().filter(|(kind, _)| beside(**kind)) {
            let other = set.first().map(|(index, _)| *index).unwrap_or_default();
            let place = self.place(other.min(*alias));
            let text = format!(
                "{} has a CNAME record and a {kind} record ({place}): an alias has nothing else",
                record.owner
            );
            self.fail(other.max(*alias), text, findings);
        }
    }

    /// What the records of one name and type may not be together.
    fn set(
        &self,
        kind: RecordType,
        set: &[(usize, &Record)],
        changes: &mut Changes,
        findings: &mut Findings,
    ) {
        let mut seen = BTreeMap::new();
        let (Some((first, record)), Some((_, last))) = (set.first(), set.last()) else {
            return;
        };
        let is_single = matches!(
            kind,
            RecordType::CNAME | RecordType::DNAME | RecordType::SOA
        );
        for (index, record) in set {
            let data = essence(record);
            match seen.get(&data) {
                Some(before) => {
                    let text = format!("the same record as {}", self.place(*before));
                    self.find(*index, Severity::Note, text, findings);
                    changes.doubles.insert(*index);
                }
                None if is_single && !seen.is_empty() => {
                    let (owner, place) = (&record.owner, self.place(*first));
                    let text = format!("{owner} has another {kind} record ({place}): keep one");
                    self.fail(*index, text, findings);
                }
                None => {}
            }
            seen.entry(data).or_insert(*index);
        }
        let octets: usize = set
            .iter()
            .filter(|(index, _)| !changes.doubles.contains(index))
            .map(|(_, record)| RECORD_HEAD_LEN + record.data.len())
            .sum();
        if octets > MESSAGE_LEN_MAX {
            let text = format!(
                "the {kind} records of {} are more than a message can hold (RFC 1035 section 4.2.2)",
                record.owner
            );
            self.fail(*first, text, findings);
        }
        // As in BIND, of records that do not follow each other the last tells the TTL.
        if set
            .iter()
            .any(|(_, record)| record.ttl_seconds != last.ttl_seconds)
        {
            let (ttl, other) = (last.ttl_seconds, record.ttl_seconds);
            let text = format!(
                "the {kind} records of {} have different TTLs (RFC 2181 section 5.2), {other} and \
                 {ttl}: {ttl} is taken for all",
                record.owner
            );
            let index = set.last().map_or(*first, |(index, _)| *index);
            self.warn(index, text, findings);
            changes
                .ttls
                .extend(set.iter().map(|(index, _)| (*index, ttl)));
        }
    }

    /// Names that cannot own what they own.
    fn owner(&self, index: usize, record: &Record, findings: &mut Findings) {
        let (owner, kind) = (record.owner.as_ref(), record.kind);
        if owner.is_wildcard() && matches!(kind, RecordType::NS | RecordType::NSEC3) {
            let text = format!("{owner} is a wildcard, which has no {kind} record (RFC 4592)");
            self.fail(index, text, findings);
        }
        if owner.parent().is_some_and(has_star) {
            let text = format!("{owner} has a * within it, which stands for itself alone");
            self.warn(index, text, findings);
        }
        let has_host = matches!(kind, RecordType::A | RecordType::AAAA | RecordType::MX);
        if has_host && !may_have_address(owner) {
            let text = format!(
                "{owner} is no name of a host (letters, digits and hyphens), but has a {kind} record"
            );
            self.warn(index, text, findings);
        }
        if kind == RecordType::NSEC3 && !is_hash(owner) {
            let text = format!("{owner} is no hashed name, but has an NSEC3 record");
            self.fail(index, text, findings);
        }
        // Once for each name, however many such records it has.
        let is_first_spf =
            kind == RecordType::SPF && self.index.first(owner, RecordType::SPF) == Some(index);
        if is_first_spf && !self.has_spf_text(owner) {
            let text = format!(
                "mail servers look for a TXT record of {owner}, no longer for SPF (RFC 7208 \
                 section 3.1)"
            );
            self.warn(index, text, findings);
        }
        if let Some(meant) = self.doubled(owner) {
            let text = format!("{owner}: is the dot at its end missing, after {meant}?");
            self.warn(index, text, findings);
        }
        let is_glue = matches!(kind, RecordType::A | RecordType::AAAA);
        let at_cut = matches!(
            kind,
            RecordType::NS
                | RecordType::DS
                | RecordType::NSEC
                | RecordType::RRSIG
                | RecordType::NSEC3
        );
        let text = match self.index.cut(owner) {
            Some(Found::Delegation(ns)) if !is_glue => {
                let cut = self.records.get(ns).map(|record| record.owner.as_ref());
                if cut == Some(owner) && at_cut {
                    return;
                }
                format!("the NS record of {} gives", self.place(ns))
            }
            Some(Found::BelowDname(dname)) => {
                format!("the DNAME record of {} gives", self.place(dname))
            }
            _ => return,
        };
        let text = format!("never answered: {text} {owner} to others");
        self.warn(index, text, findings);
    }

    fn has_spf_text(&self, owner: NameRef<'_>) -> bool {
        self.index.of_name(owner).iter().any(|index| {
            self.records.get(*index).is_some_and(|record| {
                let text = record.data.get(1..).unwrap_or_default();
                record.kind == RecordType::TXT && text.starts_with(b"v=spf1")
            })
        })
    }

    /// Names in data that hosts or mailboxes cannot have.
    fn data(&self, index: usize, record: &Record, findings: &mut Findings) {
        if let Some(soa) = Soa::read(&record.data).filter(|_| record.kind == RecordType::SOA) {
            let rname = soa.rname;
            let first = rname.labels().next().unwrap_or_default();
            if first.contains(&b'@') {
                let text = format!("the mailbox {rname}: write a dot in place of the @");
                self.warn(index, text, findings);
            } else if !is_mailbox(rname) {
                let text = format!(
                    "{rname} is no mailbox: write root.{} for root@..",
                    self.origin
                );
                self.warn(index, text, findings);
            }
        }
        let Some(target) = target(record) else {
            return;
        };
        let is_reverse = ["in-addr.arpa", "ip6.arpa"].iter().any(|suffix| {
            let suffix: Result<Name, _> = suffix.parse();
            suffix.is_ok_and(|suffix| record.owner.as_ref().is_within(suffix.as_ref()))
        });
        let is_host = match record.kind {
            RecordType::NS
            | RecordType::MX
            | RecordType::SRV
            | RecordType::SOA
            | RecordType::AFSDB => true,
            RecordType::PTR => is_reverse && !is_service_list(record.owner.as_ref()),
            _ => false,
        };
        let kind = record.kind;
        let needs_name = matches!(kind, RecordType::NS | RecordType::MX | RecordType::SRV);
        if needs_name && is_address(target, self.origin) {
            let text = format!("a {kind} record has a name, not an address: {target}");
            self.warn(index, text, findings);
        } else if is_host && !is_host_name(target) {
            let text = format!("{target} is no name of a host: letters, digits and hyphens");
            self.warn(index, text, findings);
        }
        // Names of hosts are seldom those of a reverse zone.
        if kind == RecordType::PTR && is_reverse && target.is_within(self.origin) {
            let text = format!("{target} is in the reverse zone: is the dot at its end missing?");
            self.warn(index, text, findings);
        } else if let Some(meant) = self.doubled(target) {
            let text = format!("{target}: is the dot at its end missing, after {meant}?");
            self.warn(index, text, findings);
        }
    }

    /// What a name was meant to be that ends in the zone's name twice.
    fn doubled(&self, name: NameRef<'_>) -> Option<Name> {
        let count = self.origin.labels().count();
        let own = name.labels().count().checked_sub(count)?;
        let labels: Vec<&[u8]> = name.labels().take(own).collect();
        let mut meant = Name::root();
        for label in labels.iter().rev() {
            meant = Name::with_label(meant.as_ref(), label).ok()?;
        }
        // `lan.lan.` may be the name of a host.
        let is_doubled = count > 1 && meant.as_ref().is_within(self.origin);
        (is_doubled && name.is_within(self.origin)).then_some(meant)
    }

    /// Names in data that are in the zone, but have no address there.
    fn target(&self, index: usize, record: &Record, findings: &mut Findings) {
        let Some(target) = target(record).filter(|target| target.is_within(self.origin)) else {
            return;
        };
        let (owner, kind) = (record.owner.as_ref(), record.kind);
        let severity = match kind {
            RecordType::NS if owner == self.origin => Severity::Error,
            RecordType::NS => return self.delegation(index, owner, target, findings),
            RecordType::MX | RecordType::SRV => Severity::Warning,
            RecordType::CNAME => return self.alias(index, target, findings),
            _ => return,
        };
        if target.is_root() || self.index.cut(owner).is_some() {
            return;
        }
        let text = match self.index.find(target) {
            Found::Address | Found::Delegation(_) => return,
            Found::Nothing => {
                let hint = self.hint(target);
                format!("{target} has no address record (A or AAAA){hint}")
            }
            Found::Alias(alias) => {
                let place = self.place(alias);
                format!("{target} is an alias ({place}), which a {kind} record may not name")
            }
            Found::BelowDname(dname) => {
                let place = self.place(dname);
                format!("{target} is below a DNAME record ({place})")
            }
        };
        self.find(index, severity, text, findings);
    }

    /// The dot that may be missing at the end of a name of several labels.
    fn hint(&self, target: NameRef<'_>) -> String {
        let own = target.labels().count() - self.origin.labels().count();
        match self.doubled(target) {
            None if own > 1 => "; is the dot at its end missing?".to_owned(),
            _ => String::new(),
        }
    }

    /// The servers of another zone need addresses here if they are in it (RFC 1034 section 4.2.1).
    fn delegation(
        &self,
        index: usize,
        owner: NameRef<'_>,
        target: NameRef<'_>,
        findings: &mut Findings,
    ) {
        let is_below = match self.index.cut(owner) {
            Some(Found::Delegation(ns)) => self
                .records
                .get(ns)
                .is_some_and(|record| record.owner.as_ref() != owner),
            cut => cut.is_some(),
        };
        if is_below || self.index.has_glue(target) {
            return;
        }
        let text = match self.index.find(target) {
            Found::Address => return,
            Found::Delegation(ns) => {
                let place = self.place(ns);
                format!(
                    "{target} is in another zone ({place}): add its address record here too (glue)"
                )
            }
            Found::Nothing => {
                let hint = self.hint(target);
                format!("{target} has no address record (A or AAAA){hint}")
            }
            Found::Alias(alias) => format!("{target} is an alias ({})", self.place(alias)),
            Found::BelowDname(dname) => {
                format!("{target} is below a DNAME record ({})", self.place(dname))
            }
        };
        self.warn(index, text, findings);
    }

    /// An alias should lead somewhere.
    fn alias(&self, index: usize, target: NameRef<'_>, findings: &mut Findings) {
        let mut next = target;
        for _ in 0..CHAIN_LEN_MAX {
            match self.index.find(next) {
                Found::Nothing if !self.index.has(next) => {
                    let hint = self.hint(target);
                    self.warn(index, format!("there is no {next}{hint}"), findings);
                    return;
                }
                Found::Alias(alias) => {
                    let record = self.records.get(alias);
                    match record.and_then(self::target) {
                        Some(after) if after.is_within(self.origin) => next = after,
                        _ => return,
                    }
                }
                _ => return,
            }
        }
        self.warn(
            index,
            format!("the aliases from {target} on go round or are too many"),
            findings,
        );
    }
}

/// The parts of an SOA record's data that are looked at.
struct Soa<'d> {
    mname: NameRef<'d>,
    rname: NameRef<'d>,
    serial: u32,
    refresh: u32,
    retry: u32,
    expire: u32,
}

impl<'d> Soa<'d> {
    fn read(data: &'d [u8]) -> Option<Self> {
        let mname = NameRef::from_wire(data).ok()?;
        let rest = data.get(mname.wire().len()..)?;
        let rname = NameRef::from_wire(rest).ok()?;
        let (numbers, _) = rest.get(rname.wire().len()..)?.as_chunks::<4>();
        let [serial, refresh, retry, expire, _] = *numbers else {
            return None;
        };
        Some(Self {
            mname,
            rname,
            serial: u32::from_be_bytes(serial),
            refresh: u32::from_be_bytes(refresh),
            retry: u32::from_be_bytes(retry),
            expire: u32::from_be_bytes(expire),
        })
    }
}

/// The name of a host in a record's data, or of what it is an alias of.
fn target(record: &Record) -> Option<NameRef<'_>> {
    let skipped = match record.kind {
        RecordType::NS | RecordType::CNAME | RecordType::PTR | RecordType::DNAME => 0,
        RecordType::MX | RecordType::AFSDB | RecordType::KX => 2,
        RecordType::SRV => 6,
        RecordType::SOA => return Soa::read(&record.data).map(|soa| soa.mname),
        _ => return None,
    };
    NameRef::from_wire(record.data.get(skipped..)?).ok()
}

/// Whether the first label is a hash of SHA-1 in base 32 (RFC 5155 section 1.3).
fn is_hash(name: NameRef<'_>) -> bool {
    let is_digit = |octet: &u8| matches!(octet.to_ascii_uppercase(), b'0'..=b'9' | b'A'..=b'V');
    name.labels()
        .next()
        .is_some_and(|label| label.len() == 32 && label.iter().all(is_digit))
}

/// Whether a label is `*`.
fn has_star(name: NameRef<'_>) -> bool {
    name.labels().any(|label| label == b"*")
}

/// Whether PTR records of this name list services (RFC 6763 section 11).
fn is_service_list(name: NameRef<'_>) -> bool {
    let mut labels = name.labels();
    let lists: [&[u8]; 5] = [b"b", b"db", b"r", b"dr", b"lb"];
    let first = labels.next().unwrap_or_default();
    let is_list = lists.iter().any(|list| first.eq_ignore_ascii_case(list));
    is_list
        && labels
            .next()
            .is_some_and(|label| label.eq_ignore_ascii_case(b"_dns-sd"))
        && labels
            .next()
            .is_some_and(|label| label.eq_ignore_ascii_case(b"_udp"))
}
