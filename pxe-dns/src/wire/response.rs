//! A response, written record by record.

use super::compression::Suffixes;
use super::query::Query;
use super::{HEADER_LEN, NoQuery, flag};
use crate::{Class, NameRef, Rcode, RecordType};

/// Octets of an OPT record without options.
const OPT_LEN: usize = 11;
/// What we take by UDP ourselves: what passes an Ethernet without fragments (DNS flag day 2020).
const UDP_LEN_MAX: u16 = 1232;

/// Sections of a response, in their order (RFC 1035 section 4.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[allow(clippy::exhaustive_enums)] // RFC 1035 has no others
pub enum Section {
    /// What was asked for.
    Answer,
    /// Who knows, or that there is nothing.
    Authority,
    /// What will be asked for next.
    Additional,
}

/// A record that does not fit into what the client takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
#[error("the response is full")]
pub struct Full;

/// A state to which a response can be set [back](Response::rewind).
#[derive(Debug, Clone, Copy)]
pub struct Mark {
    len: usize,
    counts: [u16; 3],
}

/// A response that is being written at the end of a buffer.
#[derive(Debug)]
pub struct Response<'b> {
    buffer: &'b mut Vec<u8>,
    /// Where the message begins in the buffer.
    start: usize,
    /// What the message without its OPT record may be long.
    len_max: usize,
    edns: Option<bool>,
    flags: u16,
    rcode: Rcode,
    counts: [u16; 3],
    suffixes: Suffixes,
}

impl<'b> Response<'b> {
    /// The response to a query, of at most so many octets. It repeats the question.
    pub fn new(query: &Query<'_>, len_max: usize, buffer: &'b mut Vec<u8>) -> Self {
        let start = buffer.len();
        let mut flags = flag::QR;
        if query.rd {
            flags |= flag::RD;
        }
        if query.cd {
            flags |= flag::CD;
        }
        buffer.extend_from_slice(&query.id.to_be_bytes());
        buffer.extend_from_slice(&[0, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
        buffer.extend_from_slice(query.question);
        let mut suffixes = Suffixes::default();
        suffixes.add(HEADER_LEN, query.name);
        let edns = query.edns.map(|edns| edns.dnssec_ok);
        Self {
            buffer,
            start,
            len_max: len_max
                .min(u16::MAX.into())
                .saturating_sub(edns.map_or(0, |_| OPT_LEN)),
            edns,
            flags,
            rcode: Rcode::NOERROR,
            counts: [0; 3],
            suffixes,
        }
    }

    /// Appends the response to what is no query; nothing for what is to be ignored.
    pub fn reject(why: NoQuery, buffer: &mut Vec<u8>) {
        let NoQuery::Rejected {
            id,
            opcode,
            rd,
            rcode,
            has_edns,
        } = why
        else {
            return;
        };
        let mut flags = flag::QR | u16::from(opcode.0 & 0xf) << 11 | rcode.0 & 0xf;
        if rd {
            flags |= flag::RD;
        }
        buffer.extend_from_slice(&id.to_be_bytes());
        buffer.extend_from_slice(&flags.to_be_bytes());
        buffer.extend_from_slice(&[0, 0, 0, 0, 0, 0, 0, u8::from(has_edns)]);
        if has_edns {
            push_opt(buffer, rcode, false);
        }
    }

    /// Says that this comes from a zone of ours (AA).
    pub fn set_authoritative(&mut self) {
        self.flags |= flag::AA;
    }

    /// Says that the server would ask others (RA).
    pub fn set_recursion_available(&mut self) {
        self.flags |= flag::RA;
    }

    /// Says that something is missing: it is to be asked for by TCP (TC).
    pub fn set_truncated(&mut self) {
        self.flags |= flag::TC;
    }

    /// Whether it says that something is missing.
    pub fn is_truncated(&self) -> bool {
        self.flags & flag::TC != 0
    }

    /// Says what came of it.
    pub fn set_rcode(&mut self, rcode: Rcode) {
        self.rcode = rcode;
    }

    /// What came of it so far.
    pub fn rcode(&self) -> Rcode {
        self.rcode
    }

    /// Octets that it has so far.
    pub(crate) fn written(&self) -> usize {
        self.buffer.len() - self.start
    }

    /// How many records a section has.
    pub fn count(&self, section: Section) -> u16 {
        self.counts
            .get(section as usize)
            .copied()
            .unwrap_or_default()
    }

    /// Appends a record of the Internet's class. Sections are to be written in their order.
    ///
    /// # Errors
    /// If it does not fit; the response is then as it was.
    pub fn push(
        &mut self,
        section: Section,
        owner: NameRef<'_>,
        kind: RecordType,
        ttl_seconds: u32,
        data: &[u8],
    ) -> Result<(), Full> {
        let mark = self.mark();
        self.suffixes.write(self.buffer, self.start, owner);
        self.buffer.extend_from_slice(&kind.0.to_be_bytes());
        self.buffer.extend_from_slice(&Class::IN.0.to_be_bytes());
        self.buffer.extend_from_slice(&ttl_seconds.to_be_bytes());
        let len_at = self.buffer.len();
        self.buffer.extend_from_slice(&[0; 2]);
        self.push_data(kind, data);
        let data_len = self.buffer.len() - len_at - 2;
        let count = self.counts.get_mut(section as usize);
        match (u16::try_from(data_len), count) {
            (Ok(len), Some(count)) if self.buffer.len() - self.start <= self.len_max => {
                *count += 1;
                if let Some(place) = self.buffer.get_mut(len_at..len_at + 2) {
                    place.copy_from_slice(&len.to_be_bytes());
                }
                Ok(())
            }
            _ => {
                self.rewind(mark);
                Err(Full)
            }
        }
    }

    /// Data, with pointers where every resolver knows them (RFC 3597 section 4).
    fn push_data(&mut self, kind: RecordType, data: &[u8]) {
        let (fixed, names) = match kind {
            RecordType::NS | RecordType::CNAME | RecordType::PTR => (0, 1),
            RecordType::MX => (2, 1),
            RecordType::SOA => (0, 2),
            _ => (0, 0),
        };
        let (head, mut rest) = data.split_at(data.len().min(fixed));
        self.buffer.extend_from_slice(head);
        for _ in 0..names {
            let Ok(name) = NameRef::from_wire(rest) else {
                break;
            };
            self.suffixes.write(self.buffer, self.start, name);
            rest = rest.get(name.wire().len()..).unwrap_or_default();
        }
        self.buffer.extend_from_slice(rest);
    }

    /// The state as it is.
    pub fn mark(&self) -> Mark {
        Mark {
            len: self.buffer.len(),
            counts: self.counts,
        }
    }

    /// Takes back what was appended since then.
    pub fn rewind(&mut self, mark: Mark) {
        self.buffer.truncate(mark.len);
        self.counts = mark.counts;
        self.suffixes.truncate(mark.len - self.start);
    }

    /// Completes the message. Returns its length.
    pub fn finish(mut self) -> usize {
        if self.edns.is_none() && self.rcode.0 > 0xf {
            // There is no place for the rest of the code.
            self.rcode = Rcode::SERVFAIL;
        }
        let flags = self.flags | self.rcode.0 & 0xf;
        let [answers, authorities, mut additionals] = self.counts;
        if let Some(dnssec_ok) = self.edns {
            push_opt(self.buffer, self.rcode, dnssec_ok);
            additionals += 1;
        }
        let counts = [answers, authorities, additionals].map(u16::to_be_bytes);
        let header = self.buffer.get_mut(self.start..self.start + HEADER_LEN);
        if let Some([_, _, high, low, _, _, rest @ ..]) = header {
            [*high, *low] = flags.to_be_bytes();
            rest.copy_from_slice(counts.as_flattened());
        }
        self.buffer.len() - self.start
    }
}

fn push_opt(buffer: &mut Vec<u8>, rcode: Rcode, dnssec_ok: bool) {
    let [high, low] = UDP_LEN_MAX.to_be_bytes();
    let rcode_high = (rcode.0 >> 4) as u8;
    let dnssec_ok = if dnssec_ok { 0x80 } else { 0 };
    buffer.extend_from_slice(&[0, 0, 41, high, low, rcode_high, 0, dnssec_ok, 0, 0, 0]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Name;

    fn name(text: &str) -> Name {
        text.parse().expect(text)
    }

    fn query(kind: RecordType, edns: bool) -> Vec<u8> {
        let mut message = vec![0, 7, 1, 0, 0, 1, 0, 0, 0, 0, 0, u8::from(edns)];
        message.extend_from_slice(name("pxe.lan").as_ref().wire());
        message.extend_from_slice(&[0, kind.0 as u8, 0, 1]);
        if edns {
            push_opt(&mut message, Rcode::NOERROR, false);
        }
        message
    }

    #[test]
    fn names_that_are_there_already_are_pointed_to() {
        let message = query(RecordType::MX, false);
        let query = Query::parse(&message).expect("a query");
        let mut buffer = b"before".to_vec();
        let mut response = Response::new(&query, 512, &mut buffer);
        response.set_authoritative();
        let mail = [&[0, 10], name("mail.lan").as_ref().wire()].concat();
        let (pxe, other) = (name("pxe.lan"), name("PXE.lan"));
        for owner in [pxe.as_ref(), other.as_ref()] {
            let pushed = response.push(Section::Answer, owner, RecordType::MX, 60, &mail);
            pushed.expect("room");
        }
        let len = response.finish();
        let expected = [
            // AA, RD, one question, two answers; the question.
            &[0, 7, 0x85, 0, 0, 1, 0, 2, 0, 0, 0, 0][..],
            b"\x03pxe\x03lan\0\0\x0f\0\x01",
            // Owner at 12; `mail` and a pointer to `lan` at 16.
            &[0xc0, 12, 0, 15, 0, 1, 0, 0, 0, 60, 0, 9, 0, 10],
            b"\x04mail\xc0\x10",
            // Another case is another name; `mail.lan` is at 39.
            b"\x03PXE\xc0\x10",
            &[0, 15, 0, 1, 0, 0, 0, 60, 0, 4, 0, 10, 0xc0, 39],
        ]
        .concat();
        assert_eq!(buffer[6..], expected);
        assert_eq!(len, expected.len());
    }

    /// RFC 3597 section 4: nobody has to know of pointers in the data of later types.
    #[test]
    fn names_in_data_of_later_types_are_whole() {
        let message = query(RecordType::SRV, false);
        let query = Query::parse(&message).expect("a query");
        let mut buffer = Vec::new();
        let mut response = Response::new(&query, 512, &mut buffer);
        let (pxe, data) = (
            name("pxe.lan"),
            [&[0; 6], name("pxe.lan").as_ref().wire()].concat(),
        );
        let pushed = response.push(Section::Answer, pxe.as_ref(), RecordType::SRV, 60, &data);
        pushed.expect("room");
        response.finish();
        assert!(buffer.ends_with(&data));
    }

    #[test]
    fn what_does_not_fit_leaves_no_trace() {
        let message = query(RecordType::TXT, true);
        let query = Query::parse(&message).expect("a query");
        let (text, pxe) = (vec![b'x'; 200], name("other.lan"));
        for room in 100..600 {
            let mut buffer = Vec::new();
            let mut response = Response::new(&query, room, &mut buffer);
            let mut pushed = 0;
            while response
                .push(Section::Answer, pxe.as_ref(), RecordType::TXT, 60, &text)
                .is_ok()
            {
                pushed += 1;
            }
            response.set_truncated();
            let len = response.finish();
            assert!(len <= room && len == buffer.len());
            let first = 29 + 18 + 200;
            let expected = [25 + 11, first + 7, first + 212 + 7];
            assert_eq!(Some(&len), expected.get(pushed), "{room}");
        }
    }

    #[test]
    fn a_code_beyond_four_bits_needs_edns() {
        for (edns, low, high) in [(false, 2, None), (true, 0, Some(1))] {
            let message = query(RecordType::A, edns);
            let query = Query::parse(&message).expect("a query");
            let mut buffer = Vec::new();
            let mut response = Response::new(&query, 512, &mut buffer);
            response.set_rcode(Rcode::BADVERS);
            response.finish();
            assert_eq!(buffer[3] & 0xf, low);
            let opt = buffer.get(25..).filter(|opt| !opt.is_empty());
            assert_eq!(opt.map(|opt| opt[5]), high);
        }
    }

    #[test]
    fn what_is_no_query_gets_a_header_alone() {
        let mut message = query(RecordType::A, false);
        message[2] |= 5 << 3;
        let why = Query::parse(&message).expect_err("an UPDATE");
        let mut buffer = Vec::new();
        Response::reject(why, &mut buffer);
        assert_eq!(buffer, [0, 7, 0xa9, 4, 0, 0, 0, 0, 0, 0, 0, 0]);
        buffer.clear();
        Response::reject(NoQuery::Ignored, &mut buffer);
        assert_eq!(buffer, []);
    }
}
