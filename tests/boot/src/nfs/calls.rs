//! The remote procedure calls of a capture (RFC 5531), and their replies: over TCP as far as segments begin with them, which
//! those of Linux's client and small replies do, and over UDP.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::network::ADDRESS;
use crate::pcap::{self, Transport};

/// Programs.
pub(crate) const PORTMAP: u32 = 100_000;
pub(crate) const NFS: u32 = 100_003;
pub(crate) const MOUNT: u32 = 100_005;
pub(crate) const LOCK_MANAGER: u32 = 100_021;

/// Procedures of NFS version 3 (RFC 1813 section 3).
pub(crate) const READ: u32 = 6;
pub(crate) const WRITE: u32 = 7;
pub(crate) const COMMIT: u32 = 21;

/// One call of the machine, and what became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Call {
    pub(crate) xid: u32,
    pub(crate) program: u32,
    pub(crate) version: u32,
    pub(crate) procedure: u32,
    /// The arguments, as far as they were captured.
    pub(crate) arguments: Vec<u8>,
    /// Each time at which it was sent: more than one if it was sent again.
    pub(crate) sent: Vec<Duration>,
    /// The first reply.
    pub(crate) replied: Option<Replied>,
}

/// A reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Replied {
    pub(crate) at: Duration,
    /// `accept_stat` of an accepted call: 0 SUCCESS, 1 PROG_UNAVAIL, 2 PROG_MISMATCH, 3 PROC_UNAVAIL.
    pub(crate) accept: Option<u32>,
    /// What follows: the results, or the range of versions.
    pub(crate) results: Vec<u8>,
}

impl Call {
    pub(crate) fn is(&self, program: u32, procedure: u32) -> bool {
        self.program == program && self.procedure == procedure
    }
}

/// All calls of the machine to the server, in the order in which they were first sent.
pub(crate) fn read(capture: &[u8]) -> Result<Vec<Call>, String> {
    let mut calls: Vec<Call> = Vec::new();
    // Of a number that is used again, the last.
    let mut latest: BTreeMap<u32, usize> = BTreeMap::new();
    for frame in pcap::frames(capture)? {
        let Some(packet) = pcap::packet(frame.bytes) else {
            continue;
        };
        let is_call = *packet.destination.ip() == ADDRESS;
        if !is_call && *packet.source.ip() != ADDRESS {
            continue;
        }
        let messages = match packet.transport {
            Transport::Udp => vec![packet.payload],
            Transport::Tcp => records(packet.payload),
        };
        for message in messages {
            if is_call {
                let Some(call) = call(message, frame.at) else {
                    continue;
                };
                let again = latest
                    .get(&call.xid)
                    .and_then(|index| calls.get_mut(*index));
                match again {
                    Some(first) if first.is_same(&call) => first.sent.push(frame.at),
                    _ => {
                        latest.insert(call.xid, calls.len());
                        calls.push(call);
                    }
                }
            } else if let Some((xid, replied)) = reply(message, frame.at) {
                let call = latest.get(&xid).and_then(|index| calls.get_mut(*index));
                if let Some(call) = call.filter(|call| call.replied.is_none()) {
                    call.replied = Some(replied);
                }
            }
        }
    }
    Ok(calls)
}

impl Call {
    fn is_same(&self, other: &Call) -> bool {
        let key = |call: &Call| (call.program, call.version, call.procedure);
        // What was captured of one may be less.
        let both = self.arguments.len().min(other.arguments.len());
        key(self) == key(other) && self.arguments.get(..both) == other.arguments.get(..both)
    }
}

/// The records that begin in a segment, the last one as far as it is there.
fn records(mut segment: &[u8]) -> Vec<&[u8]> {
    let mut records = Vec::new();
    while let Some((mark, rest)) = segment.split_first_chunk() {
        let len = usize::try_from(u32::from_be_bytes(*mark) & 0x7fff_ffff).unwrap_or(usize::MAX);
        let (record, after) = rest.split_at(len.min(rest.len()));
        records.push(record);
        segment = after;
    }
    records
}

/// Words of XDR, read one after the other.
struct Words<'a>(&'a [u8]);

impl Words<'_> {
    fn next(&mut self) -> Option<u32> {
        let (word, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(u32::from_be_bytes(*word))
    }

    /// Passes over an `opaque_auth`.
    fn skip_auth(&mut self) -> Option<()> {
        let _flavor = self.next()?;
        let len = usize::try_from(self.next()?)
            .ok()?
            .checked_next_multiple_of(4)?;
        self.0 = self.0.get(len..)?;
        Some(())
    }
}

fn call(message: &[u8], at: Duration) -> Option<Call> {
    const CALL: u32 = 0;
    const RPC_VERSION: u32 = 2;
    let mut words = Words(message);
    let xid = words.next()?;
    if (words.next()?, words.next()?) != (CALL, RPC_VERSION) {
        return None;
    }
    let (program, version, procedure) = (words.next()?, words.next()?, words.next()?);
    words.skip_auth()?;
    words.skip_auth()?;
    Some(Call {
        xid,
        program,
        version,
        procedure,
        arguments: words.0.to_vec(),
        sent: vec![at],
        replied: None,
    })
}

fn reply(message: &[u8], at: Duration) -> Option<(u32, Replied)> {
    const REPLY: u32 = 1;
    const MSG_ACCEPTED: u32 = 0;
    let mut words = Words(message);
    let xid = words.next()?;
    if words.next()? != REPLY {
        return None;
    }
    let accept = match words.next()? {
        MSG_ACCEPTED => {
            words.skip_auth()?;
            Some(words.next()?)
        }
        _ => None,
    };
    let results = words.0.to_vec();
    let replied = Replied {
        at,
        accept,
        results,
    };
    Some((xid, replied))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pcap::tests::{capture, frame};

    fn words(words: &[u32]) -> Vec<u8> {
        words.iter().flat_map(|word| word.to_be_bytes()).collect()
    }

    fn record(content: &[u32]) -> Vec<u8> {
        let mut record = words(&[0x8000_0000 | u32::try_from(4 * content.len()).unwrap()]);
        record.extend(words(content));
        record
    }

    const CALL: [u32; 12] = [7, 0, 2, NFS, 3, READ, 0, 0, 0, 0, 0xaa, 0xbb];
    const REPLY: [u32; 7] = [7, 1, 0, 0, 0, 0, 0xcc];

    #[test]
    fn calls_are_joined_with_their_replies() {
        let there =
            |payload: &[u8]| frame(Transport::Tcp, "10.77.0.30:700", "10.77.0.1:2049", payload);
        let back =
            |payload: &[u8]| frame(Transport::Tcp, "10.77.0.1:2049", "10.77.0.30:700", payload);
        let mut other = CALL;
        other[0] = 8;
        let both = [record(&CALL), record(&other)].concat();
        let frames = [
            there(&both),
            // Sent again on a new connection, and answered there.
            there(&record(&CALL)),
            back(&record(&REPLY)),
            back(&record(&[8, 1, 0, 0, 0, 2, 3, 3])),
        ];
        let frames: Vec<&[u8]> = frames.iter().map(Vec::as_slice).collect();
        let calls = read(&capture(0xa1b2_c3d4, u32::to_le_bytes, &frames)).unwrap();
        let [first, second] = &calls[..] else {
            panic!("{calls:?}");
        };
        assert!(first.is(NFS, READ));
        assert_eq!(first.sent.len(), 2);
        assert_eq!(first.arguments, words(&[0xaa, 0xbb]));
        let replied = first.replied.as_ref().unwrap();
        assert_eq!(
            (replied.accept, &replied.results),
            (Some(0), &words(&[0xcc]))
        );
        assert!(replied.at > first.sent[1]);
        let mismatch = second.replied.as_ref().unwrap();
        assert_eq!(
            (mismatch.accept, &mismatch.results),
            (Some(2), &words(&[3, 3]))
        );
    }

    #[test]
    fn a_number_that_is_used_again_is_another_call() {
        let udp =
            |payload: &[u8]| frame(Transport::Udp, "10.77.0.30:700", "10.77.0.1:111", payload);
        let mut other = CALL;
        other[5] = WRITE;
        let frames = [udp(&words(&CALL)), udp(&words(&other))];
        let frames: Vec<&[u8]> = frames.iter().map(Vec::as_slice).collect();
        let calls = read(&capture(0xa1b2_c3d4, u32::to_le_bytes, &frames)).unwrap();
        assert_eq!(calls.len(), 2);
        assert!(calls.iter().all(|call| call.sent.len() == 1));
    }

    #[test]
    fn what_is_no_call_is_passed_over() {
        assert!(call(b"GET / HTTP/1.0\r\n\r\n", Duration::ZERO).is_none());
        let whole = words(&CALL);
        for len in 0..40 {
            assert!(call(&whole[..len], Duration::ZERO).is_none(), "{len}");
        }
    }
}
