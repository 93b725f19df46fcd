//! A whole zone for another server (AXFR, RFC 5936).

use std::fmt;
use std::sync::Arc;

use super::Zones;
use super::node::{Node, RrSet};
use super::overlay::is_after;
use crate::forwarding::message;
use crate::wire::{Full, Query, Response, Section};
use crate::{Name, NameRef, Peer, Rcode, RecordType, Transport};

/// Octets after which a message gets no more records: pointers to names (RFC 1035 section 4.1.4)
/// reach no further, so that longer messages save nothing.
const MESSAGE_LEN: usize = 0x4000;

/// A zone on its way to a client: messages, to be sent one after the other.
///
/// All are of one version of the zone, whatever becomes of it meanwhile.
pub struct Transfer {
    origin: Name,
    serial: u32,
    /// The query, which each message repeats (RFC 5936 section 2.2).
    query: Vec<u8>,
    nodes: Vec<Arc<Node>>,
    stage: Stage,
}

/// What is to be sent next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// The SOA record that is first, and the only one for who has this version already.
    First {
        is_only: bool,
    },
    /// A record: which set of which node, and where in its data.
    Record {
        node: usize,
        set: usize,
        at: usize,
    },
    /// The SOA record that is last.
    Last,
    Done,
}

impl Zones {
    /// The zone for a query of type AXFR or IXFR, or why the client does not get it.
    ///
    /// Differences between versions are not kept: IXFR is answered with the whole zone, or, by
    /// UDP or to who has this version, with its SOA record (RFC 1995 sections 2 and 4).
    pub(crate) fn transfer(&self, peer: &Peer, query: &Query<'_>) -> Result<Transfer, Rcode> {
        let is_datagram = peer.transport == Transport::Udp;
        if is_datagram && query.kind == RecordType::AXFR {
            // RFC 5936 section 4.2: not by UDP.
            return Err(Rcode::FORMERR);
        }
        let served = self.find(query.name);
        let served = served.filter(|served| served.zone.origin() == query.name);
        let served = served.ok_or(Rcode::NOTAUTH)?;
        if !served.transfer.allows(peer.remote.ip()) {
            return Err(Rcode::REFUSED);
        }
        let serial = served.zone.serial();
        let is_current = |theirs: u32| !is_after(serial, theirs);
        let is_only = is_datagram
            || query.kind == RecordType::IXFR && query.ixfr_serial.is_some_and(is_current);
        let nodes = served.zone.nodes.values();
        Ok(Transfer {
            origin: served.zone.origin.clone(),
            serial,
            query: message(query),
            nodes: nodes
                .take(if is_only { 1 } else { usize::MAX })
                .cloned()
                .collect(),
            stage: Stage::First { is_only },
        })
    }
}

impl Transfer {
    /// The zone's name.
    pub fn origin(&self) -> NameRef<'_> {
        self.origin.as_ref()
    }

    /// The version.
    pub const fn serial(&self) -> u32 {
        self.serial
    }

    /// Appends the next message, of at most 65,535 octets. False if there is none: all was sent.
    pub fn next_message(&mut self, buffer: &mut Vec<u8>) -> bool {
        let query = std::mem::take(&mut self.query);
        let is_more = match Query::parse(&query) {
            Ok(query) if self.stage != Stage::Done => {
                let mut response = Response::new(&query, u16::MAX.into(), buffer);
                response.set_authoritative();
                while response.written() < MESSAGE_LEN && self.push(&mut response) {}
                if response.count(Section::Answer) == 0 {
                    // Nothing is so long: `Zone::new` sees to it.
                    self.stage = Stage::Done;
                }
                response.finish();
                true
            }
            _ => false,
        };
        self.query = query;
        is_more
    }

    /// Appends the SOA record alone.
    pub(crate) fn push_soa(&self, response: &mut Response<'_>) -> Result<(), Full> {
        let Some((apex, soa, data)) = self.record() else {
            return Ok(());
        };
        let owner = apex.owner.as_ref();
        response.push(Section::Answer, owner, soa.kind, soa.ttl_seconds, data)
    }

    /// Appends the next record. False if there is none, or no room for it.
    fn push(&mut self, response: &mut Response<'_>) -> bool {
        let Some((node, set, data)) = self.record() else {
            return false;
        };
        let owner = node.owner.as_ref();
        let pushed = response.push(Section::Answer, owner, set.kind, set.ttl_seconds, data);
        let len = data.len();
        if pushed.is_ok() {
            self.stage = self.after(len);
        }
        pushed.is_ok()
    }

    /// The record that is to be sent next.
    fn record(&self) -> Option<(&Node, &RrSet, &[u8])> {
        match self.stage {
            Stage::First { .. } | Stage::Last => {
                let apex = self.nodes.first()?;
                let soa = apex.set(RecordType::SOA)?;
                Some((apex, soa, soa.data().next()?))
            }
            Stage::Record { node, set, at } => {
                let node = self.nodes.get(node)?;
                let set = node.sets().get(set)?;
                Some((node, set, set.data_from(at).next()?))
            }
            Stage::Done => None,
        }
    }

    /// What follows the record that is to be sent next, whose data have this length.
    fn after(&self, data_len: usize) -> Stage {
        let (mut node, mut set, mut at) = match self.stage {
            Stage::First { is_only: false } => (0, 0, 0),
            Stage::Record { node, set, at } => (node, set, at + RrSet::packed_len(data_len)),
            Stage::First { is_only: true } | Stage::Last | Stage::Done => return Stage::Done,
        };
        while let Some(of_name) = self.nodes.get(node) {
            while let Some(of_kind) = of_name.sets().get(set) {
                let is_soa = of_kind.kind == RecordType::SOA;
                if !is_soa && of_kind.data_from(at).next().is_some() {
                    return Stage::Record { node, set, at };
                }
                (set, at) = (set + 1, 0);
            }
            (node, set) = (node + 1, 0);
        }
        Stage::Last
    }
}

impl fmt::Debug for Transfer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transfer")
            .field("origin", &self.origin)
            .field("serial", &self.serial)
            .field("stage", &self.stage)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{name, peer, query, zone, zones};
    use super::super::{DATA_LEN_MAX, Zone};
    use super::*;
    use crate::fuzzing::Message;
    use crate::wire::flag;
    use crate::{AccessList, Record, ServedZone};

    fn served(text: &str) -> Zones {
        let mut served = ServedZone::new(zone("example.", text));
        served.transfer = AccessList::any();
        let mut zones = Zones::default();
        zones.replace(vec![served]);
        zones
    }

    fn asked(zones: &Zones, message: &[u8], transport: Transport) -> Result<Transfer, Rcode> {
        let query = Query::parse(message).expect("a query");
        zones.transfer(&peer(transport), &query)
    }

    fn messages(mut transfer: Transfer) -> Vec<Message> {
        let mut all = Vec::new();
        let mut buffer = Vec::new();
        while transfer.next_message(&mut buffer) {
            assert!(buffer.len() <= usize::from(u16::MAX));
            all.push(Message::read(&buffer));
            buffer.clear();
        }
        assert!(buffer.is_empty());
        all
    }

    /// An IXFR query that says which version the client has.
    fn ixfr(serial: u32) -> Vec<u8> {
        let mut message = query(&name("example."), RecordType::IXFR, false, None);
        message[9] = 1;
        message.extend_from_slice(b"\xc0\x0c\0\x06\0\x01\0\0\0\0\0\x16\0\0");
        message.extend_from_slice(&serial.to_be_bytes());
        message.extend_from_slice(&[0; 16]);
        message
    }

    #[test]
    fn a_transfer_has_one_version_of_the_zone_between_two_soa_records() {
        let text: String = (0..3000)
            .map(|n| format!("h{n} A 192.0.2.1\nh{n} TXT x\n"))
            .collect();
        let mut zones = served(&format!("@ NS ns.example.com.\n{text}"));
        let expected: Vec<Record> = zones
            .find(name("example.").as_ref())
            .map(|served| served.zone.records().collect())
            .expect("a zone");
        let message = query(
            &name("example."),
            RecordType::AXFR,
            false,
            Some((1232, false)),
        );
        let transfer = asked(&zones, &message, Transport::Tcp).expect("a transfer");
        assert_eq!(
            (transfer.serial(), transfer.origin()),
            (7, name("example.").as_ref())
        );
        let data = vec![192, 0, 2, 9];
        let record = Record::new(name("h0.x.example."), RecordType::A, 60, data);
        zones.set_dynamic([(record.owner.clone(), vec![record])]);
        let messages = messages(transfer);
        assert!(messages.len() > 1);
        for message in &messages {
            assert_eq!(message.flags & (flag::AA | flag::QR), flag::AA | flag::QR);
            assert!(message.question.is_some() && message.edns.is_some());
        }
        let mut records: Vec<Record> = messages
            .into_iter()
            .flat_map(|message| message.answers)
            .collect();
        assert_eq!(records.pop(), records.first().cloned());
        assert_eq!(records, expected);
    }

    #[test]
    fn a_client_that_has_the_version_gets_its_soa_alone() {
        let zones = served("@ NS ns.example.com.\n");
        for (serial, count) in [(6, 3), (7, 1), (8, 1), (0x8000_0008, 3)] {
            let transfer = asked(&zones, &ixfr(serial), Transport::Tcp).expect("a transfer");
            let messages = messages(transfer);
            assert_eq!(
                (messages.len(), messages[0].answers.len()),
                (1, count),
                "{serial}"
            );
        }
        let transfer = asked(&zones, &ixfr(6), Transport::Udp).expect("an SOA record");
        assert_eq!(messages(transfer)[0].answers.len(), 1);
    }

    #[test]
    fn who_may_not_have_the_zone_is_refused() {
        let axfr = query(&name("example."), RecordType::AXFR, false, None);
        let below = query(&name("a.example."), RecordType::AXFR, false, None);
        let closed = zones([zone("example.", "@ NS ns.example.com.\n")]);
        let refused = asked(&closed, &axfr, Transport::Tcp).expect_err("no transfer");
        assert_eq!(refused, Rcode::REFUSED);
        let open = served("@ NS ns.example.com.\n");
        let refused = asked(&open, &below, Transport::Tcp).expect_err("no transfer");
        assert_eq!(refused, Rcode::NOTAUTH);
        let refused = asked(&open, &axfr, Transport::Udp).expect_err("no transfer");
        assert_eq!(refused, Rcode::FORMERR);
    }

    #[test]
    fn records_as_long_as_can_be_are_sent_too() {
        let records = zone("example.", "@ NS ns.example.com.\n")
            .records()
            .collect::<Vec<_>>();
        let long = |len| {
            let owner = name(&format!(
                "{}.example.",
                ["a".repeat(60), "b".repeat(60)].join(".")
            ));
            let long = Record::new(owner, RecordType(65280), 60, vec![7; len]);
            Zone::new(name("example."), records.iter().cloned().chain([long]))
        };
        assert!(long(DATA_LEN_MAX + 1).is_err());
        let mut served = ServedZone::new(long(DATA_LEN_MAX).expect("a zone"));
        served.transfer = AccessList::any();
        let mut zones = Zones::default();
        zones.replace(vec![served]);
        let axfr = query(
            &name("example."),
            RecordType::AXFR,
            false,
            Some((512, true)),
        );
        let transfer = asked(&zones, &axfr, Transport::Tcp).expect("a transfer");
        let count: usize = messages(transfer)
            .iter()
            .map(|message| message.answers.len())
            .sum();
        assert_eq!(count, 4);
    }
}
