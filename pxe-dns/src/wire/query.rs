//! A query, read without copying or allocating anything.

use super::{DATAGRAM_LEN_MIN, HEADER_LEN, flag};
use crate::{Class, NameRef, Rcode, RecordType};

/// Octets at the end of an SOA record: serial, refresh, retry, expire, minimum.
const SOA_NUMBERS_LEN: usize = 20;

/// The kind of a query (RFC 1035 section 4.1.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(clippy::exhaustive_structs)] // a wire integer: every value is valid
pub struct Opcode(pub u8);

impl Opcode {
    /// A question.
    pub const QUERY: Self = Self(0);
    /// A zone has changed (RFC 1996).
    pub const NOTIFY: Self = Self(4);
    /// A change of a zone (RFC 2136).
    pub const UPDATE: Self = Self(5);
}

/// A query that can be answered: one question, and perhaps EDNS.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Query<'a> {
    /// By which the client knows the response.
    pub id: u16,
    /// Whether recursion is desired.
    pub rd: bool,
    /// Whether checking is disabled (RFC 4035 section 3.2.2).
    pub cd: bool,
    /// The name that is asked for.
    pub name: NameRef<'a>,
    /// The type that is asked for.
    pub kind: RecordType,
    /// The class that is asked for.
    pub class: Class,
    /// What the client says of itself, if it knows EDNS.
    pub edns: Option<Edns>,
    /// Which version of the zone the client has, in a query for what has changed since
    /// (RFC 1995 section 3).
    pub ixfr_serial: Option<u32>,
    /// The question as it came, which the response repeats.
    pub(crate) question: &'a [u8],
}

/// What an OPT record says (RFC 6891 section 6.1.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Edns {
    /// Octets of a datagram that the client takes; at least 512.
    pub udp_len_max: u16,
    /// Whether DNSSEC's records are welcome (RFC 3225).
    pub dnssec_ok: bool,
}

/// Why a message is not answered as a query.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum NoQuery {
    /// It is not to be answered at all: it is a response itself, or too short to have a header.
    Ignored,
    /// It is to be answered by this header alone.
    Rejected {
        /// The client's.
        id: u16,
        /// The client's.
        opcode: Opcode,
        /// Whether recursion is desired.
        rd: bool,
        /// Why.
        rcode: Rcode,
        /// Whether the response has to have an OPT record.
        has_edns: bool,
    },
}

impl<'a> Query<'a> {
    /// Reads a message.
    ///
    /// # Errors
    /// [`NoQuery`] says what to do instead.
    pub fn parse(message: &'a [u8]) -> Result<Self, NoQuery> {
        let header = message.get(..HEADER_LEN).ok_or(NoQuery::Ignored)?;
        let word = |at: usize| u16_at(header, at).unwrap_or_default();
        let (id, flags) = (word(0), word(2));
        if flags & flag::QR != 0 {
            return Err(NoQuery::Ignored);
        }
        let opcode = Opcode((flags >> 11 & 0xf) as u8);
        let rejected = |rcode, has_edns| NoQuery::Rejected {
            id,
            opcode,
            rd: flags & flag::RD != 0,
            rcode,
            has_edns,
        };
        if opcode != Opcode::QUERY {
            return Err(rejected(Rcode::NOTIMP, false));
        }
        let malformed = rejected(Rcode::FORMERR, false);
        // One question, as RFC 9619 demands. Prerequisites and the like are not looked for.
        if (word(4), word(6)) != (1, 0) || word(8) > 1 {
            return Err(malformed);
        }
        let body = message.get(HEADER_LEN..).unwrap_or_default();
        let name = NameRef::from_wire(body).map_err(|_| malformed)?;
        let question_len = name.wire().len() + 4;
        let question = body.get(..question_len).ok_or(malformed)?;
        let (kind, class) = (
            u16_at(body, question_len - 4),
            u16_at(body, question_len - 2),
        );
        let (kind, class) = kind.zip(class).ok_or(malformed)?;
        let mut rest = body.get(question_len..).unwrap_or_default();
        let mut ixfr_serial = None;
        if word(8) == 1 {
            // Only that query has something there (RFC 1995 section 3).
            let known = Additional::parse(rest).ok_or(malformed)?;
            if (RecordType(kind), known.kind) != (RecordType::IXFR, RecordType::SOA) {
                return Err(malformed);
            }
            let numbers_at = known.len.checked_sub(SOA_NUMBERS_LEN).ok_or(malformed)?;
            let serial = u16_at(rest, numbers_at).zip(u16_at(rest, numbers_at + 2));
            ixfr_serial = serial.map(|(high, low)| u32::from(high) << 16 | u32::from(low));
            rest = rest.get(known.len..).ok_or(malformed)?;
        }
        let mut edns = None;
        for _ in 0..word(10) {
            let additional = Additional::parse(rest).ok_or(malformed)?;
            rest = rest.get(additional.len..).ok_or(malformed)?;
            if additional.kind != RecordType::OPT {
                // A signature (TSIG, SIG(0)) that nobody here can verify: as if it were not there.
                continue;
            }
            // RFC 6891 section 6.1.1: more than one, or one that is not the root's, is an error.
            if edns.is_some() || !additional.is_roots {
                return Err(malformed);
            }
            if additional.ttl >> 16 & 0xff != 0 {
                return Err(rejected(Rcode::BADVERS, true));
            }
            edns = Some(Edns {
                udp_len_max: additional.class.max(DATAGRAM_LEN_MIN as u16),
                dnssec_ok: additional.ttl & 0x8000 != 0,
            });
        }
        Ok(Self {
            id,
            rd: flags & flag::RD != 0,
            cd: flags & flag::CD != 0,
            name,
            kind: RecordType(kind),
            class: Class(class),
            edns,
            ixfr_serial,
            question,
        })
    }

    /// Octets of a datagram that the client takes.
    pub fn udp_len_max(&self) -> usize {
        self.edns
            .map_or(DATAGRAM_LEN_MIN, |edns| edns.udp_len_max.into())
    }
}

/// What has to be known of a record in the additional section.
struct Additional {
    is_roots: bool,
    kind: RecordType,
    class: u16,
    ttl: u32,
    len: usize,
}

impl Additional {
    fn parse(octets: &[u8]) -> Option<Self> {
        let (name_len, is_roots) = match NameRef::from_wire(octets) {
            Ok(name) => (name.wire().len(), name.is_root()),
            Err(_) => (compressed_len(octets)?, false),
        };
        let data_len = u16_at(octets, name_len + 8)?;
        let len = name_len + 10 + usize::from(data_len);
        octets.get(..len)?;
        Some(Self {
            is_roots,
            kind: RecordType(u16_at(octets, name_len)?),
            class: u16_at(octets, name_len + 2)?,
            ttl: u32::from(u16_at(octets, name_len + 4)?) << 16
                | u32::from(u16_at(octets, name_len + 6)?),
            len,
        })
    }
}

/// The length of a name that ends in a pointer.
fn compressed_len(octets: &[u8]) -> Option<usize> {
    let mut len = 0;
    while len < crate::NAME_LEN_MAX {
        match octets.get(len)? {
            0 => return Some(len + 1),
            label @ 1..=63 => len += 1 + usize::from(*label),
            0xc0.. => return Some(len + 2),
            _ => return None,
        }
    }
    None
}

fn u16_at(octets: &[u8], at: usize) -> Option<u16> {
    let pair = octets.get(at..at + 2)?;
    pair.try_into().ok().map(u16::from_be_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const OPT: &[u8] = &[0, 0, 41, 4, 208, 0, 0, 0x80, 0, 0, 0];

    /// `pxe.lan. IN A`, RD, id 7.
    fn query(counts: [u8; 4], rest: &[u8]) -> Vec<u8> {
        let [questions, answers, authorities, additionals] = counts;
        let header = [
            0,
            7,
            1,
            0,
            0,
            questions,
            0,
            answers,
            0,
            authorities,
            0,
            additionals,
        ];
        [&header[..], b"\x03pxe\x03lan\0", &[0, 1, 0, 1], rest].concat()
    }

    fn rcode(message: &[u8]) -> Rcode {
        match Query::parse(message) {
            Ok(query) => panic!("{query:?}"),
            Err(NoQuery::Rejected { id, rcode, .. }) => {
                assert_eq!(id, 7);
                rcode
            }
            Err(NoQuery::Ignored) => panic!("ignored"),
        }
    }

    #[test]
    fn a_query_is_read_with_its_edns() {
        let message = query([1, 0, 0, 0], b"");
        let parsed = Query::parse(&message).expect("a query");
        assert_eq!((parsed.id, parsed.rd, parsed.cd), (7, true, false));
        assert_eq!(parsed.name.to_string(), "pxe.lan.");
        assert_eq!((parsed.kind, parsed.class), (RecordType::A, Class::IN));
        assert_eq!((parsed.edns, parsed.udp_len_max()), (None, 512));

        let message = query([1, 0, 0, 1], OPT);
        let parsed = Query::parse(&message).expect("a query");
        let edns = Edns {
            udp_len_max: 1232,
            dnssec_ok: true,
        };
        assert_eq!((parsed.edns, parsed.udp_len_max()), (Some(edns), 1232));
    }

    #[test]
    fn less_than_512_octets_means_512() {
        let small = [0, 0, 41, 0, 100, 0, 0, 0, 0, 0, 0];
        let message = query([1, 0, 0, 1], &small);
        assert_eq!(Query::parse(&message).expect("a query").udp_len_max(), 512);
    }

    /// dig sends a cookie (RFC 7873) inside OPT, resolvers sign with TSIG behind it.
    #[test]
    fn options_and_signatures_are_passed_over() {
        let cookie = [
            0, 0, 41, 4, 208, 0, 0, 0, 0, 0, 12, 0, 10, 0, 8, 1, 2, 3, 4, 5, 6, 7, 8,
        ];
        let tsig = [0xc0, 12, 0, 250, 0, 255, 0, 0, 0, 0, 0, 1, 9];
        let message = query([1, 0, 0, 2], &[&cookie[..], &tsig].concat());
        assert!(Query::parse(&message).expect("a query").edns.is_some());
    }

    #[test]
    fn responses_and_scraps_are_not_answered() {
        let mut response = query([1, 0, 0, 0], b"");
        response[2] |= 0x80;
        for message in [&response[..], &response[..11], b""] {
            assert_eq!(Query::parse(message).err(), Some(NoQuery::Ignored));
        }
    }

    #[test]
    fn what_cannot_be_read_is_answered_by_formerr() {
        let whole = query([1, 0, 0, 1], OPT);
        for len in HEADER_LEN..whole.len() {
            assert_eq!(rcode(&whole[..len]), Rcode::FORMERR, "{len} octets");
        }
        for counts in [[0, 0, 0, 0], [2, 0, 0, 0], [1, 1, 0, 0], [1, 0, 1, 0]] {
            assert_eq!(rcode(&query(counts, b"")), Rcode::FORMERR, "{counts:?}");
        }
        // RFC 6891 section 6.1.1.
        let twice = query([1, 0, 0, 2], &[OPT, OPT].concat());
        assert_eq!(rcode(&twice), Rcode::FORMERR);
        let elsewhere = query([1, 0, 0, 1], &[&[1, b'x'], OPT].concat());
        assert_eq!(rcode(&elsewhere), Rcode::FORMERR);
        // A question must not be compressed: there is nothing before it.
        let mut pointer = query([1, 0, 0, 0], b"");
        pointer[HEADER_LEN] = 0xc0;
        assert_eq!(rcode(&pointer), Rcode::FORMERR);
    }

    #[test]
    fn other_kinds_of_queries_and_versions_of_edns_are_not_known() {
        for (opcode, rest) in [(1, &b""[..]), (4, b""), (5, b"garbage")] {
            let mut message = query([1, 0, 0, 0], rest);
            message[2] |= opcode << 3;
            assert_eq!(rcode(&message), Rcode::NOTIMP);
        }
        let mut version = OPT.to_vec();
        version[6] = 1;
        assert_eq!(rcode(&query([1, 0, 0, 1], &version)), Rcode::BADVERS);
    }
}
