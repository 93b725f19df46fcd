//! Responses, taken apart for comparison.

use std::fmt;

use super::name::Name;

pub(super) const A: u16 = 1;
pub(super) const NS: u16 = 2;
pub(super) const CNAME: u16 = 5;
pub(super) const SOA: u16 = 6;
pub(super) const DNAME: u16 = 39;
pub(super) const OPT: u16 = 41;
pub(super) const IXFR: u16 = 251;
pub(super) const AXFR: u16 = 252;
pub(super) const ANY: u16 = 255;

/// How types are called.
pub(super) const TYPES: [(&str, u16); 35] = [
    ("A", A),
    ("NS", NS),
    ("CNAME", CNAME),
    ("SOA", SOA),
    ("MB", 7),
    ("NULL", 10),
    ("PTR", 12),
    ("HINFO", 13),
    ("MX", 15),
    ("TXT", 16),
    ("RP", 17),
    ("AFSDB", 18),
    ("SIG", 24),
    ("AAAA", 28),
    ("LOC", 29),
    ("SRV", 33),
    ("NAPTR", 35),
    ("DNAME", DNAME),
    ("OPT", OPT),
    ("DS", 43),
    ("SSHFP", 44),
    ("RRSIG", 46),
    ("NSEC", 47),
    ("DNSKEY", 48),
    ("NSEC3", 50),
    ("TLSA", 52),
    ("SVCB", 64),
    ("HTTPS", 65),
    ("TSIG", 250),
    ("IXFR", IXFR),
    ("AXFR", AXFR),
    ("ANY", ANY),
    ("URI", 256),
    ("CAA", 257),
    ("TYPE65280", 65280),
];

/// What a type is called.
pub(super) fn type_name(kind: u16) -> String {
    let known = TYPES.iter().find(|(_, code)| *code == kind);
    known.map_or_else(|| format!("TYPE{kind}"), |(name, _)| (*name).to_owned())
}

/// The type that is called so.
pub(super) fn type_of(name: &str) -> Option<u16> {
    let known = TYPES.iter().find(|(known, _)| *known == name);
    let by_number = || name.strip_prefix("TYPE")?.parse().ok();
    known.map(|(_, code)| *code).or_else(by_number)
}

/// A record, with the names in its data written out.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Record {
    pub(super) owner: Name,
    pub(super) kind: u16,
    pub(super) class: u16,
    pub(super) ttl: u32,
    pub(super) data: Data,
}

/// A record's data: octets, then names, then octets.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Data {
    before: Vec<u8>,
    pub(super) names: Vec<Name>,
    after: Vec<u8>,
}

impl Record {
    /// The record with all its names in lower case.
    pub(super) fn folded(&self) -> Self {
        let mut folded = self.clone();
        folded.owner = self.owner.folded();
        folded.data.names = self.data.names.iter().map(Name::folded).collect();
        folded
    }
}

impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            owner, kind, ttl, ..
        } = self;
        write!(f, "{owner} {ttl} {}", type_name(*kind))?;
        for octet in self.data.before.iter().take(24) {
            write!(f, " {octet}")?;
        }
        for name in &self.data.names {
            write!(f, " {name}")?;
        }
        for octet in self.data.after.iter().take(24) {
            write!(f, " {octet}")?;
        }
        Ok(())
    }
}

/// What an OPT record says (RFC 6891 section 6.1.2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Opt {
    pub(super) udp_len_max: u16,
    pub(super) version: u8,
    pub(super) flags: u16,
    /// The codes of its options.
    pub(super) options: Vec<u16>,
}

/// A response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Response {
    pub(super) id: u16,
    /// The second word of the header without the code.
    pub(super) flags: u16,
    /// With the upper bits of the OPT record.
    pub(super) rcode: u16,
    /// The question as it came.
    pub(super) question: Vec<u8>,
    pub(super) answer: Vec<Record>,
    pub(super) authority: Vec<Record>,
    pub(super) additional: Vec<Record>,
    pub(super) opt: Option<Opt>,
    /// The whole message's octets.
    pub(super) len: usize,
}

/// The bits of the second word of a header.
pub(super) mod flag {
    pub(crate) const QR: u16 = 0x8000;
    pub(crate) const AA: u16 = 0x0400;
    pub(crate) const TC: u16 = 0x0200;
    pub(crate) const RD: u16 = 0x0100;
    pub(crate) const RA: u16 = 0x0080;
    pub(crate) const AD: u16 = 0x0020;
    pub(crate) const CD: u16 = 0x0010;
}

impl Response {
    /// Reads a message.
    ///
    /// # Errors
    /// What is wrong with it: whatever a client might stumble over.
    pub(super) fn parse(message: &[u8]) -> Result<Self, String> {
        let mut reader = Reader { message, at: 0 };
        let (id, word) = (reader.u16()?, reader.u16()?);
        if word & flag::QR == 0 {
            return Err("the response is a query".to_owned());
        }
        let counts = [reader.u16()?, reader.u16()?, reader.u16()?, reader.u16()?];
        let start = reader.at;
        for _ in 0..counts[0] {
            reader.name()?;
            reader.take(4)?;
        }
        let question = message.get(start..reader.at).unwrap_or_default().to_vec();
        let answer = reader.records(counts[1])?;
        let authority = reader.records(counts[2])?;
        let mut additional = reader.records(counts[3])?;
        if reader.at != message.len() {
            return Err(format!("{} octets follow", message.len() - reader.at));
        }
        let mut rcode = word & 0xf;
        let mut opt = None;
        if let Some(at) = additional.iter().position(|record| record.kind == OPT) {
            let record = additional.remove(at);
            if !record.owner.labels().is_empty() {
                return Err("an OPT record of a name that is not the root".to_owned());
            }
            rcode |= (record.ttl >> 24 << 4) as u16;
            opt = Some(Opt {
                udp_len_max: record.class,
                version: (record.ttl >> 16) as u8,
                flags: record.ttl as u16,
                options: options(&record.data.before)?,
            });
        }
        let all = [&answer, &authority, &additional];
        if all.into_iter().flatten().any(|record| record.kind == OPT) {
            return Err("an OPT record too many".to_owned());
        }
        Ok(Self {
            id,
            flags: word & !0xf,
            rcode,
            question,
            answer,
            authority,
            additional,
            opt,
            len: message.len(),
        })
    }

    pub(super) fn has(&self, flag: u16) -> bool {
        self.flags & flag != 0
    }
}

impl fmt::Display for Response {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "rcode {}", self.rcode)?;
        for (bit, name) in [
            (flag::AA, "aa"),
            (flag::TC, "tc"),
            (flag::RD, "rd"),
            (flag::RA, "ra"),
            (flag::AD, "ad"),
            (flag::CD, "cd"),
        ] {
            if self.has(bit) {
                write!(f, " {name}")?;
            }
        }
        write!(f, " opcode {}", self.flags >> 11 & 0xf)?;
        write!(f, " question of {}", self.question.len())?;
        match &self.opt {
            Some(opt) => write!(f, " {opt:?}")?,
            None => write!(f, " no OPT")?,
        }
        for (section, records) in [
            ("answer", &self.answer),
            ("authority", &self.authority),
            ("additional", &self.additional),
        ] {
            if records.is_empty() {
                continue;
            }
            write!(f, "; {section} {}:", records.len())?;
            for record in records.iter().take(6) {
                write!(f, " [{record}]")?;
            }
        }
        Ok(())
    }
}

fn options(data: &[u8]) -> Result<Vec<u16>, String> {
    let mut reader = Reader {
        message: data,
        at: 0,
    };
    let mut codes = Vec::new();
    while reader.at < data.len() {
        codes.push(reader.u16()?);
        let len = reader.u16()?;
        reader.take(len.into())?;
    }
    Ok(codes)
}

struct Reader<'a> {
    message: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    fn take(&mut self, len: usize) -> Result<Vec<u8>, String> {
        let octets = self.message.get(self.at..self.at + len);
        let octets = octets.ok_or_else(|| format!("it ends at {}", self.message.len()))?;
        self.at += len;
        Ok(octets.to_vec())
    }

    fn u16(&mut self) -> Result<u16, String> {
        let octets = self.take(2)?;
        Ok(u16::from(octets[0]) << 8 | u16::from(octets[1]))
    }

    fn u32(&mut self) -> Result<u32, String> {
        Ok(u32::from(self.u16()?) << 16 | u32::from(self.u16()?))
    }

    /// A name, and whether it is compressed.
    fn name(&mut self) -> Result<(Name, bool), String> {
        let (mut labels, mut at, mut is_compressed) = (Vec::new(), self.at, false);
        loop {
            let octet = |at: usize| {
                let octet = self.message.get(at).copied();
                octet.ok_or_else(|| format!("a name ends at {at}"))
            };
            let len = octet(at)?;
            match len {
                0 => {
                    if !is_compressed {
                        self.at = at + 1;
                    }
                    let name = Name::of_labels(labels).ok_or("a name is too long")?;
                    return Ok((name, is_compressed));
                }
                1..=63 => {
                    let label = self.message.get(at + 1..at + 1 + usize::from(len));
                    labels.push(label.ok_or("a label is cut off")?.to_vec());
                    at += 1 + usize::from(len);
                }
                0xc0.. => {
                    let target = usize::from(len & 0x3f) << 8 | usize::from(octet(at + 1)?);
                    if target >= at {
                        return Err(format!("a pointer at {at} to {target}"));
                    }
                    if !is_compressed {
                        self.at = at + 2;
                    }
                    (is_compressed, at) = (true, target);
                }
                _ => return Err(format!("a label of kind {len:#x}")),
            }
        }
    }

    fn records(&mut self, count: u16) -> Result<Vec<Record>, String> {
        (0..count).map(|_| self.record()).collect()
    }

    fn record(&mut self) -> Result<Record, String> {
        let (owner, _) = self.name()?;
        let (kind, class, ttl) = (self.u16()?, self.u16()?, self.u32()?);
        let len = usize::from(self.u16()?);
        let end = self.at + len;
        let (before, count) = match kind {
            NS | CNAME | 7..=9 | 12 | DNAME => (0, 1),
            SOA | 14 | 17 => (0, 2),
            15 | 18 | 21 | 36 => (2, 1),
            33 => (6, 1),
            _ => (len, 0),
        };
        let before = self.take(before)?;
        let mut names = Vec::new();
        for _ in 0..count {
            let (name, is_compressed) = self.name()?;
            // RFC 3597 section 4: in the types of RFC 1035 alone.
            if is_compressed && !matches!(kind, NS | CNAME | SOA | 7..=9 | 12 | 14 | 15) {
                return Err(format!("a compressed name in {}", type_name(kind)));
            }
            names.push(name);
        }
        let rest = end.checked_sub(self.at);
        let after = self.take(rest.ok_or("names go beyond a record's data")?)?;
        Ok(Record {
            owner,
            kind,
            class,
            ttl,
            data: Data {
                before,
                names,
                after,
            },
        })
    }
}
