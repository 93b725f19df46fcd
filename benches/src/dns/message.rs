//! Queries as they are sent, and what responses have to say, read independently of pxe-dns.

use std::ops::Range;

use super::names::{Answer, Question, TTL_SECONDS, TYPE_A, TYPE_PTR};

const HEADER_LEN: usize = 12;
const CLASS_IN: u16 = 1;
/// NXDOMAIN (RFC 1035 section 4.1.1).
const NAME_ERROR: u8 = 3;
/// Pointers that are followed in one name at most.
const POINTERS_MAX: usize = 16;

/// A query, and what its response has to say.
#[derive(Debug, Clone)]
pub(crate) struct Exchange {
    /// The query, but for its first two octets (the id).
    pub(crate) query: Vec<u8>,
    answer: Expected,
}

#[derive(Debug, Clone)]
struct Expected {
    kind: u16,
    /// Not compressed; of no record if there is to be none.
    data: Option<Vec<u8>>,
}

impl Exchange {
    /// The exchange for a question: without EDNS, recursion desired, as stub resolvers ask.
    pub(crate) fn new(question: &Question) -> Self {
        let mut query = vec![0, 0, 0x01, 0x00, 0, 1, 0, 0, 0, 0, 0, 0];
        push_name(&question.name, &mut query);
        query.extend_from_slice(&question.kind.to_be_bytes());
        query.extend_from_slice(&CLASS_IN.to_be_bytes());
        let (kind, data) = match &question.answer {
            Answer::Address(address) => (TYPE_A, Some(address.octets().to_vec())),
            Answer::Name(name) => {
                let mut wire = Vec::new();
                push_name(name, &mut wire);
                (TYPE_PTR, Some(wire))
            }
            Answer::Nothing => (question.kind, None),
        };
        Self {
            query,
            answer: Expected { kind, data },
        }
    }

    /// Whether this is the response: the id, the question, no error but the expected one, and the
    /// one record with its owner, type, time to live and data.
    ///
    /// # Errors
    /// What is wrong.
    pub(crate) fn check(&self, id: u16, response: &[u8]) -> Result<(), &'static str> {
        let query = &self.query;
        let header = response.get(..HEADER_LEN).ok_or("a response too short")?;
        let &[id_high, id_low, flags, rcode, _, questions, _, answers, ..] = header else {
            return Err("a response too short");
        };
        if u16::from_be_bytes([id_high, id_low]) != id {
            return Err("a response to another query");
        }
        // QR, and not TC.
        if flags & 0x80 == 0 || flags & 0x02 != 0 {
            return Err("no complete response");
        }
        if questions != 1 || response.get(HEADER_LEN..query.len()) != query.get(HEADER_LEN..) {
            return Err("a response to another question");
        }
        match (&self.answer.data, rcode & 0xf, answers) {
            (None, NAME_ERROR, 0) => Ok(()),
            (Some(data), 0, 1) => self.check_record(data, response),
            (None, ..) => Err("an answer for a name that there is not"),
            (Some(_), NAME_ERROR, _) => Err("no such name, for one that there is"),
            (Some(_), 0, _) => Err("not one record"),
            (Some(_), ..) => Err("an error"),
        }
    }

    fn check_record(&self, data: &[u8], response: &[u8]) -> Result<(), &'static str> {
        const CUT: &str = "a record that is cut off";
        let query = &self.query;
        let asked = query.get(HEADER_LEN..query.len() - 4).unwrap_or_default();
        let (is_asked, owner_end) = compare_name(response, query.len(), asked).ok_or(CUT)?;
        let fixed = response.get(owner_end..owner_end + 10).ok_or(CUT)?;
        let (head, len) = fixed.split_at(8);
        let [high, low] = len.try_into().map_err(|_| CUT)?;
        let mut wanted = [0; 8];
        wanted[..2].copy_from_slice(&self.answer.kind.to_be_bytes());
        wanted[2..4].copy_from_slice(&CLASS_IN.to_be_bytes());
        wanted[4..].copy_from_slice(&TTL_SECONDS.to_be_bytes());
        if !is_asked || head != wanted {
            return Err("another record");
        }
        let start = owner_end + 10;
        let range: Range<usize> = start..start + usize::from(u16::from_be_bytes([high, low]));
        let given = response.get(range.clone()).ok_or(CUT)?;
        let is_right = match self.answer.kind {
            TYPE_PTR => compare_name(response, start, data)
                .is_some_and(|(same, end)| same && end == range.end),
            _ => given == data,
        };
        match is_right {
            true => Ok(()),
            false => Err("a record with other data"),
        }
    }
}

fn push_name(name: &str, to: &mut Vec<u8>) {
    for label in name.split('.') {
        // Labels here are short.
        to.push(label.len() as u8);
        to.extend_from_slice(label.as_bytes());
    }
    to.push(0);
}

/// Whether the name at this place of a message, which may end in pointers, is `wanted` (in wire
/// form), and where it ends.
fn compare_name(message: &[u8], at: usize, mut wanted: &[u8]) -> Option<(bool, usize)> {
    let (mut place, mut end, mut same) = (at, None, true);
    for _ in 0..=POINTERS_MAX {
        loop {
            let &len = message.get(place)?;
            if len >= 0xc0 {
                let &low = message.get(place + 1)?;
                end.get_or_insert(place + 2);
                place = usize::from(u16::from_be_bytes([len & 0x3f, low]));
                break;
            }
            let label = message.get(place..=place + usize::from(len))?;
            let (first, rest) = wanted.split_at(label.len().min(wanted.len()));
            same &= label.eq_ignore_ascii_case(first);
            wanted = rest;
            place += label.len();
            if len == 0 {
                return Some((same && wanted.is_empty(), end.unwrap_or(place)));
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dns::names;

    fn exchange(kind: u16) -> Exchange {
        let of_kind = |question: &Question| question.kind == kind;
        let question = names::all(2).find(of_kind).expect("a question");
        Exchange::new(&question)
    }

    fn response(exchange: &Exchange, owner: &[u8], data: &[u8]) -> Vec<u8> {
        let mut response = exchange.query.clone();
        response[..2].copy_from_slice(&[0, 7]);
        response[2] |= 0x84;
        response[7] = 1;
        response.extend_from_slice(owner);
        response.extend_from_slice(&exchange.answer.kind.to_be_bytes());
        response.extend_from_slice(&[0, 1, 0, 0, 0x0e, 0x10, 0, data.len() as u8]);
        response.extend_from_slice(data);
        response
    }

    #[test]
    fn the_right_answer_passes_compressed_or_not() {
        let address = exchange(TYPE_A);
        let owner = address.query[12..address.query.len() - 4].to_vec();
        for owner in [&[0xc0, 12][..], &owner] {
            assert_eq!(
                address.check(7, &response(&address, owner, &[10, 64, 0, 0])),
                Ok(())
            );
        }
        let name = exchange(TYPE_PTR);
        let data = name.answer.data.clone().expect("data");
        assert_eq!(name.check(7, &response(&name, &[0xc0, 12], &data)), Ok(()));
    }

    #[test]
    fn whatever_is_changed_is_noticed() {
        for kind in [TYPE_A, TYPE_PTR] {
            let exchange = exchange(kind);
            let data = exchange.answer.data.clone().expect("data");
            let right = response(&exchange, &[0xc0, 12], &data);
            // Counts of other sections, bits that servers choose (AA, RA), and case in names do not matter.
            let bits = |at: usize| match at {
                2 => 0x80,
                3 => 0x0f,
                4 | 6 | 8..=11 => 0,
                _ => 0xff,
            };
            for at in 0..right.len() {
                let mut wrong = right.clone();
                wrong[at] ^= bits(at);
                if wrong != right {
                    assert!(exchange.check(7, &wrong).is_err(), "octet {at}");
                }
                assert!(exchange.check(7, &right[..at]).is_err(), "cut at {at}");
            }
        }
    }

    #[test]
    fn a_loop_of_pointers_ends() {
        assert_eq!(compare_name(&[0xc0, 0], 0, &[0]), None);
    }
}
