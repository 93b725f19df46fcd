//! Queries that others are to be asked, and what they answer.

use crate::wire::{Edns, Query, flag};
use crate::{Name, Peer, Rcode, Record, RecordType};

/// A query that others are to be asked.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Forwarding {
    /// Who asked.
    pub peer: Peer,
    /// The name that others are asked for: that of the question, or one that an alias in our zones
    /// leads to.
    pub name: Name,
    /// The type.
    pub kind: RecordType,
    /// The query, without what is not needed of it.
    pub(crate) message: Vec<u8>,
}

impl Forwarding {
    /// Others are to be asked for `name` on account of this query.
    pub(crate) fn new(peer: Peer, name: Name, query: &Query<'_>) -> Self {
        Self {
            peer,
            name,
            kind: query.kind,
            message: message(query),
        }
    }
}

/// A message with the header, the question and the EDNS of a query: a client may send 64 KiB more,
/// which are not to be held until others have answered.
pub(crate) fn message(query: &Query<'_>) -> Vec<u8> {
    let mut flags = 0;
    if query.rd {
        flags |= flag::RD;
    }
    if query.cd {
        flags |= flag::CD;
    }
    let additionals = u16::from(query.edns.is_some());
    let header = [query.id, flags, 1, 0, 0, additionals];
    let mut message = header.map(u16::to_be_bytes).concat();
    message.extend_from_slice(query.question);
    if let Some(Edns {
        udp_len_max,
        dnssec_ok,
    }) = query.edns
    {
        let [high, low] = udp_len_max.to_be_bytes();
        let dnssec_ok = if dnssec_ok { 0x80 } else { 0 };
        message.extend_from_slice(&[0, 0, 41, high, low, 0, 0, dnssec_ok, 0, 0, 0]);
    }
    message
}

/// What others answered.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Resolved {
    /// What came of it.
    pub rcode: Rcode,
    /// The answer section.
    pub answers: Vec<Record>,
    /// The authority section: an SOA record says for how long there is nothing.
    pub authorities: Vec<Record>,
}

impl Resolved {
    /// An answer without authority section.
    pub const fn new(rcode: Rcode, answers: Vec<Record>) -> Self {
        Self {
            rcode,
            answers,
            authorities: Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_is_held_without_what_is_not_needed() {
        let question = b"\x03pxe\x03lan\0\0\x1c\0\x01";
        // RD and CD; an OPT record with DO and a cookie, and a record of another kind.
        let mut sent = b"\x12\x34\x01\x10\0\x01\0\0\0\0\0\x02".to_vec();
        sent.extend_from_slice(question);
        sent.extend_from_slice(b"\0\0\x29\x04\xd0\0\0\x80\0\0\x0c\0\x0a\0\x08abcdefgh");
        sent.extend_from_slice(b"\0\0\x10\0\x01\0\0\0\0\x03\xe8");
        sent.extend_from_slice(&[b'x'; 1000]);
        let query = Query::parse(&sent).expect("a query");
        let peer = Peer::new(
            "192.0.2.1:53".parse().expect("an address"),
            crate::Transport::Tcp,
        );
        let forwarding = Forwarding::new(peer, query.name.to_name(), &query);
        assert_eq!(forwarding.message.len(), 12 + question.len() + 11);
        let held = Query::parse(&forwarding.message).expect("a query");
        assert_eq!((held.id, held.rd, held.cd), (0x1234, true, true));
        assert_eq!((held.question, held.edns), (query.question, query.edns));
    }
}
