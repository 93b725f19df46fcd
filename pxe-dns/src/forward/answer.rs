//! What a server said, and what of it is believed.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use hickory_resolver::proto::op::Message;
use hickory_resolver::proto::rr::Record as TheirRecord;
use hickory_resolver::proto::serialize::binary::{BinEncodable, BinEncoder, NameEncoding};

use super::cache::len_of;
use super::{ForwardLimits, Question};
use crate::{Name, NameRef, Rcode, Record, RecordType, Resolved};

/// YXDOMAIN: a DNAME record makes a name too long (RFC 6672 section 2.2).
const YXDOMAIN: Rcode = Rcode(6);
/// MD, MF, MB, MG, MR and MINFO: the names in them may be compressed (RFC 1035 section 3.3), and
/// hickory takes their data as it is.
const UNREAD: [u16; 6] = [3, 4, 7, 8, 9, 14];
/// Longer times than this are none (RFC 2181 section 8).
const TTL_MAX: u32 = i32::MAX as u32;

/// What a server said.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Said {
    /// All that is to be known.
    All(Resolved),
    /// Aliases only: what they lead to is still to be asked for.
    Aliases { so_far: Vec<Record>, target: Name },
}

/// Reads a response: only what answers the question is taken.
///
/// An alias leads on, and what nobody asked for stays behind: records of other names (RFC 5452
/// section 6), of other types, of other classes, referrals, additional records.
pub(super) fn read(
    question: Question<'_>,
    message: &Message,
    limits: &ForwardLimits,
) -> Result<Said, String> {
    let rcode = Rcode(message.metadata.response_code.into());
    if !matches!(rcode, Rcode::NOERROR | Rcode::NXDOMAIN | YXDOMAIN) {
        return Err(rcode.to_string());
    }
    let mut answers = records(&message.answers)?;
    let mut authorities = records(&message.authorities)?;
    for record in &mut answers {
        // With its letters as they were asked for: those of the query may have been drawn by lot.
        if record.owner == *question.name {
            record.owner = question.name.clone();
        }
    }
    let names = aliases(question, &answers, limits.aliases_max)?;
    let last = names.last().unwrap_or(question.name);
    answers.retain(|record| is_wanted(question, &names, last, record));
    let is_final = |record: &Record| {
        record.owner == *last && (is_any(question) || record.kind == question.kind)
    };
    let is_negative = !answers.iter().any(is_final);
    let mut has_soa = false;
    authorities.retain(|record| match record.kind {
        RecordType::SOA if is_negative => {
            let is_above = last.as_ref().is_within(record.owner.as_ref());
            let is_first = is_above && !has_soa;
            has_soa |= is_above;
            is_first
        }
        RecordType::RRSIG | RecordType::NSEC | RecordType::NSEC3 => question.dnssec_ok,
        _ => false,
    });
    for record in authorities.iter_mut().filter(|r| r.kind == RecordType::SOA) {
        // RFC 2308 section 5: the lesser of its TTL and its last number.
        let minimum = record.data.last_chunk().copied().map(u32::from_be_bytes);
        record.ttl_seconds = record.ttl_seconds.min(minimum.unwrap_or(0));
    }
    let resolved = Resolved {
        rcode,
        answers,
        authorities,
    };
    if len_of(&resolved) > limits.answer_len_max {
        return Err("too long an answer".to_owned());
    }
    if rcode == Rcode::NOERROR && is_negative && !has_soa {
        if names.len() > 1 {
            return Ok(Said::Aliases {
                target: last.clone(),
                so_far: resolved.answers,
            });
        }
        let is_referral =
            |record: &TheirRecord| u16::from(record.record_type()) == RecordType::NS.0;
        if message.authorities.iter().any(is_referral) {
            return Err("it refers to others and does not ask them".to_owned());
        }
    }
    Ok(Said::All(resolved))
}

/// For how many seconds an answer may be kept. That there is nothing may not without an SOA record,
/// whatever aliases lead there (RFC 2308 section 5).
pub(super) fn ttl_of(kind: RecordType, resolved: &Resolved) -> u32 {
    let mut answers = resolved.answers.iter();
    let is_positive = resolved.rcode == Rcode::NOERROR
        && answers.any(|record| kind == RecordType::ANY || record.kind == kind);
    let mut authorities = resolved.authorities.iter();
    if !is_positive && !authorities.any(|record| record.kind == RecordType::SOA) {
        return 0;
    }
    let records = resolved.answers.iter().chain(&resolved.authorities);
    records.map(|record| record.ttl_seconds).min().unwrap_or(0)
}

/// Brings the TTLs within bounds.
pub(super) fn clamp(resolved: &mut Resolved, limits: &ForwardLimits) {
    let max = limits.ttl_max_seconds;
    let min = limits.ttl_min_seconds.min(max);
    for record in &mut resolved.answers {
        record.ttl_seconds = record.ttl_seconds.clamp(min, max);
    }
    let max = max.min(limits.negative_ttl_max_seconds);
    for record in &mut resolved.authorities {
        record.ttl_seconds = record.ttl_seconds.clamp(min.min(max), max);
    }
}

/// Removes addresses that are not global.
pub(super) fn remove_private(resolved: &mut Resolved) {
    resolved.answers.retain(|record| match record.kind {
        RecordType::A => <[u8; 4]>::try_from(&record.data[..])
            .is_ok_and(|octets| !is_private(IpAddr::V4(octets.into()))),
        RecordType::AAAA => <[u8; 16]>::try_from(&record.data[..])
            .is_ok_and(|octets| !is_private(IpAddr::V6(octets.into()))),
        _ => true,
    });
}

fn is_private(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(address) => is_private_v4(address),
        IpAddr::V6(address) => {
            address.is_loopback()
                || address.is_unspecified()
                || address.is_unique_local()
                || address.is_unicast_link_local()
                || in_nat64(address).is_some_and(is_private_v4)
        }
    }
}

fn is_private_v4(address: Ipv4Addr) -> bool {
    let [first, second, ..] = address.octets();
    address.is_private()
        || address.is_loopback()
        || address.is_link_local()
        || first == 0
        // RFC 6598: addresses of carriers.
        || (first == 100 && second & 0xc0 == 64)
}

/// The IPv4 address in 64:ff9b::/96 (RFC 6052).
fn in_nat64(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let octets = address.octets();
    let prefix = [0, 0x64, 0xff, 0x9b, 0, 0, 0, 0, 0, 0, 0, 0];
    let rest = octets.strip_prefix(&prefix)?;
    <[u8; 4]>::try_from(rest).ok().map(Ipv4Addr::from)
}

fn is_any(question: Question<'_>) -> bool {
    question.kind == RecordType::ANY
}

/// The name that is asked for, and those that its aliases lead to.
fn aliases(
    question: Question<'_>,
    answers: &[Record],
    aliases_max: usize,
) -> Result<Vec<Name>, String> {
    let mut names = vec![question.name.clone()];
    if is_any(question) || question.kind == RecordType::CNAME {
        return Ok(names);
    }
    let aliases: Vec<&Record> = answers
        .iter()
        .filter(|record| record.kind == RecordType::CNAME)
        .collect();
    while let Some(alias) = aliases.iter().find(|r| Some(&r.owner) == names.last()) {
        let target = NameRef::from_wire(&alias.data).map_err(|error| error.to_string())?;
        let target = target.to_name();
        if names.contains(&target) {
            return Err("aliases that lead to each other".to_owned());
        }
        names.push(target);
        if names.len() > aliases_max + 1 {
            return Err("too many aliases".to_owned());
        }
    }
    Ok(names)
}

/// Whether a record of the answer section is part of the answer.
fn is_wanted(question: Question<'_>, names: &[Name], last: &Name, record: &Record) -> bool {
    let mut kind = record.kind;
    if kind == RecordType::RRSIG && question.kind != RecordType::RRSIG && !is_any(question) {
        let covered = record.data.first_chunk().copied().map(u16::from_be_bytes);
        match covered {
            Some(covered) if question.dnssec_ok => kind = RecordType(covered),
            _ => return false,
        }
    }
    if record.owner == *last && (is_any(question) || kind == question.kind) {
        return true;
    }
    match kind {
        RecordType::CNAME => record.owner != *last && names.contains(&record.owner),
        // RFC 6672 section 3.2: what the aliases were made from.
        RecordType::DNAME => names
            .iter()
            .any(|name| name != &record.owner && name.as_ref().is_within(record.owner.as_ref())),
        _ => false,
    }
}

/// The records of a section in our form, but for those of other classes, and those that cannot be
/// read.
fn records(section: &[TheirRecord]) -> Result<Vec<Record>, String> {
    let is_known = |record: &&TheirRecord| {
        let kind = u16::from(record.record_type());
        u16::from(record.dns_class) == 1 && !UNREAD.contains(&kind)
    };
    section.iter().filter(is_known).map(record).collect()
}

fn record(record: &TheirRecord) -> Result<Record, String> {
    let owner = uncompressed(&record.name)?;
    let owner = NameRef::from_wire(&owner).map_err(|error| error.to_string())?;
    let ttl_seconds = match record.ttl {
        ttl @ ..=TTL_MAX => ttl,
        _ => 0,
    };
    let kind = RecordType(record.record_type().into());
    let data = uncompressed(&record.data)?;
    Ok(Record::new(owner.to_name(), kind, ttl_seconds, data))
}

fn uncompressed(item: &impl BinEncodable) -> Result<Vec<u8>, String> {
    let mut octets = Vec::new();
    let mut encoder = BinEncoder::new(&mut octets);
    encoder.set_name_encoding(NameEncoding::Uncompressed);
    item.emit(&mut encoder).map_err(|error| error.to_string())?;
    Ok(octets)
}
