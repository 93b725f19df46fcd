//! Our own questions, and the answers to them.

use pxe_dns::{Name, NameRef, Record, RecordType};

/// Octets that any resolver of today takes by UDP (RFC 6891 section 6.2.5); by TCP it says nothing.
const UDP_LEN: u16 = 4096;
/// Pointers that a name is followed through at most: more than any has labels.
const POINTERS_MAX: usize = 128;

/// A question with recursion desired, as clients ask it.
pub(crate) fn query(name: NameRef<'_>, kind: RecordType) -> Vec<u8> {
    // The id is nobody's business where there is one answer and it does not travel.
    let mut query = vec![0, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 1];
    query.extend_from_slice(name.wire());
    query.extend_from_slice(&kind.0.to_be_bytes());
    query.extend_from_slice(&[0, 1]);
    let [high, low] = UDP_LEN.to_be_bytes();
    query.extend_from_slice(&[0, 0, 41, high, low, 0, 0, 0, 0, 0, 0]);
    query
}

/// An answer, read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) flags: u16,
    /// Answer, authority and additional section, the last without EDNS.
    pub(crate) sections: [Vec<Record>; 3],
}

impl Answer {
    /// Reads an answer; `None` if it is none.
    pub(crate) fn parse(message: &[u8]) -> Option<Self> {
        let word = |at: usize| word_at(message, at);
        let mut at = 12;
        for _ in 0..word(4)? {
            name_at(message, &mut at)?;
            at += 4;
        }
        let mut sections: [Vec<Record>; 3] = Default::default();
        for (section, count_at) in sections.iter_mut().zip([6, 8, 10]) {
            for _ in 0..word(count_at)? {
                let record = record_at(message, &mut at)?;
                if record.kind != RecordType::OPT {
                    section.push(record);
                }
            }
        }
        Some(Self {
            flags: word(2)?,
            sections,
        })
    }
}

fn word_at(message: &[u8], at: usize) -> Option<u16> {
    let pair = message.get(at..at + 2)?;
    pair.try_into().ok().map(u16::from_be_bytes)
}

fn record_at(message: &[u8], at: &mut usize) -> Option<Record> {
    let owner = name_at(message, at)?;
    let kind = RecordType(word_at(message, *at)?);
    let ttl = u32::from(word_at(message, *at + 4)?) << 16 | u32::from(word_at(message, *at + 6)?);
    let len = usize::from(word_at(message, *at + 8)?);
    let mut from = *at + 10;
    let end = from + len;
    *at = end;
    // Only in these may names be compressed (RFC 3597 section 4).
    let (fixed, names) = match kind {
        RecordType::NS | RecordType::CNAME | RecordType::PTR => (0, 1),
        RecordType::MX => (2, 1),
        RecordType::SOA => (0, 2),
        _ => (0, 0),
    };
    let mut data = message.get(from..from + fixed)?.to_vec();
    from += fixed;
    for _ in 0..names {
        data.extend_from_slice(name_at(message, &mut from)?.as_ref().wire());
    }
    data.extend_from_slice(message.get(from..end)?);
    Some(Record::new(owner, kind, ttl, data))
}

/// The name there; `at` is behind it then.
fn name_at(message: &[u8], at: &mut usize) -> Option<Name> {
    let mut wire = Vec::new();
    let mut from = *at;
    let mut behind = None;
    for _ in 0..POINTERS_MAX {
        let len = usize::from(*message.get(from)?);
        match len {
            0 => {
                wire.push(0);
                *at = behind.unwrap_or(from + 1);
                return NameRef::from_wire(&wire).ok().map(NameRef::to_name);
            }
            1..=63 => {
                wire.extend_from_slice(message.get(from..=from + len)?);
                from += len + 1;
            }
            _ => {
                behind.get_or_insert(from + 2);
                from = usize::from(word_at(message, from)? & 0x3fff);
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_with_pointers_is_read() {
        let name: Name = "pxe.lan".parse().expect("a name");
        let mut message = query(name.as_ref(), RecordType::CNAME);
        message[2] = 0x84;
        message.truncate(message.len() - 11);
        message[7] = 1;
        message[11] = 0;
        // The owner is at 12, what is behind its first label at 16.
        message.extend_from_slice(&[0xc0, 12, 0, 5, 0, 1, 0, 0, 0, 60, 0, 6]);
        message.extend_from_slice(b"\x03www\xc0\x10");
        let answer = Answer::parse(&message).expect("an answer");
        let [answers, ..] = &answer.sections;
        assert_eq!(answers[0].to_string(), "pxe.lan. 60 IN CNAME www.lan.");
        for len in 0..message.len() {
            assert_eq!(Answer::parse(&message[..len]), None, "{len}");
        }
        // A pointer to itself.
        let at = message.len() - 2;
        message[at..].copy_from_slice(&[0xc0, at as u8]);
        assert_eq!(Answer::parse(&message), None);
    }
}
