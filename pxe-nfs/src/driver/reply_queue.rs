//! Replies that wait to be sent on a connection.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::os::fd::AsFd;
use std::sync::Arc;

use bytes::{Buf, Bytes};
use pxe_tree::{Blob, Direct};
use rustix::net::{SendAncillaryBuffer, SendFlags};

use crate::record::mark;
use crate::xdr::padding;
use crate::{Data, Reply};

/// Data of at most so many bytes is copied behind its head: that costs less than one more place
/// in a vectored write.
const COPIED_BYTES_MAX: usize = 4096;
/// Pieces of memory that leave by one system call.
const SLICES_MAX: usize = 64;
/// Beyond so many bytes, what is copied next begins another piece.
const COPIED_TOGETHER_MAX: usize = 32 * 1024;
/// A buffer that grew beyond this is not kept for later replies.
const SPARE_BYTES_MAX: usize = 64 * 1024;

/// What is to be sent, in order.
///
/// Its memory is bounded by who fills it: [`held`](Self::held) says what it holds.
#[derive(Debug, Default)]
pub(super) struct ReplyQueue {
    segments: VecDeque<Segment>,
    /// Bytes of memory in `segments`.
    held: usize,
    held_peak: usize,
    /// How many of `segments` are files.
    files: usize,
    /// An empty buffer with room, for what is copied next.
    spare: Vec<u8>,
}

enum Segment {
    /// Marks, heads and small data of replies that follow each other; those before `sent` are out.
    Copied { bytes: Vec<u8>, sent: usize },
    /// Data in memory.
    Shared(Bytes),
    /// Data in a file.
    File {
        blob: Arc<dyn Blob>,
        offset: u64,
        len: u32,
    },
}

impl std::fmt::Debug for Segment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Copied { bytes, sent } => write!(f, "Copied({sent} of {})", bytes.len()),
            Self::Shared(bytes) => write!(f, "Shared({})", bytes.len()),
            Self::File { offset, len, .. } => write!(f, "File({offset}, {len})"),
        }
    }
}

impl ReplyQueue {
    /// Whether all is sent.
    pub(super) fn is_empty(&self) -> bool {
        self.segments.is_empty()
    }

    /// Bytes of memory that wait.
    pub(super) const fn held(&self) -> usize {
        self.held
    }

    /// The most that [`held`](Self::held) ever was.
    #[cfg(test)]
    pub(super) const fn held_peak(&self) -> usize {
        self.held_peak
    }

    /// Open files that wait.
    pub(super) const fn files(&self) -> usize {
        self.files
    }

    /// Appends a reply, with its mark and padding.
    pub(super) fn push(&mut self, reply: Reply) {
        let mark = mark(reply.len());
        let data_len = reply.data.len();
        self.copy(&[&mark, &reply.head]);
        match reply.data {
            Data::None => {}
            Data::Bytes(bytes) if bytes.len() <= COPIED_BYTES_MAX => self.copy(&[&bytes]),
            Data::Bytes(bytes) => {
                self.held += bytes.len();
                self.segments.push_back(Segment::Shared(bytes));
            }
            Data::File { len: 0, .. } => {}
            Data::File { blob, offset, len } => {
                self.files += 1;
                self.segments.push_back(Segment::File { blob, offset, len });
            }
        }
        let zeros = padding(data_len);
        if zeros > 0 {
            self.copy(&[&[0; 3][..zeros]]);
        }
        self.held_peak = self.held_peak.max(self.held);
    }

    /// Appends bytes to those at the end of the queue.
    fn copy(&mut self, parts: &[&[u8]]) {
        // What was sent of a segment takes memory until all of it is: so it must not grow for ever
        // while a client takes some, but never all.
        let has_room = matches!(
            self.segments.back(),
            Some(Segment::Copied { bytes, .. }) if bytes.len() < COPIED_TOGETHER_MAX
        );
        if !has_room {
            let bytes = std::mem::take(&mut self.spare);
            self.segments.push_back(Segment::Copied { bytes, sent: 0 });
        }
        if let Some(Segment::Copied { bytes, .. }) = self.segments.back_mut() {
            for part in parts {
                bytes.extend_from_slice(part);
                self.held += part.len();
            }
        }
    }

    /// Sends as much as one system call takes, to a socket that does not block. Returns how many
    /// bytes went.
    ///
    /// # Errors
    /// The operating system's, `WouldBlock` among them; `UnexpectedEof` if a file is shorter than
    /// its reply says.
    pub(super) fn send_once(&mut self, socket: impl AsFd) -> io::Result<usize> {
        let sent = match self.segments.front_mut() {
            None => return Ok(0),
            Some(Segment::File { blob, offset, len }) => {
                let sent = send_file(socket, &**blob, *offset, *len)?;
                *offset += u64::from(sent);
                *len -= sent;
                if *len == 0 {
                    self.files -= 1;
                    self.segments.pop_front();
                }
                return Ok(sent as usize);
            }
            Some(_) => self.send_memory(socket)?,
        };
        self.advance(sent);
        Ok(sent)
    }

    /// Sends the memory up to the first file, or to the end.
    fn send_memory(&self, socket: impl AsFd) -> io::Result<usize> {
        // The reply to one small call: no list of pieces has to be laid out.
        if let ([only], []) = self.segments.as_slices() {
            let bytes = only.memory().unwrap_or_default();
            return Ok(rustix::net::send(socket, bytes, SendFlags::NOSIGNAL)?);
        }
        let mut slices = [IoSlice::new(&[]); SLICES_MAX];
        let mut count = 0;
        let memory = self.segments.iter().map_while(Segment::memory);
        for (slot, bytes) in slices.iter_mut().zip(memory) {
            *slot = IoSlice::new(bytes);
            count += 1;
        }
        // What follows a head belongs to the same packet.
        let mut flags = SendFlags::NOSIGNAL;
        flags.set(SendFlags::MORE, count < self.segments.len());
        let sent = match slices.get(..count).unwrap_or_default() {
            [bytes] => rustix::net::send(socket, bytes, flags)?,
            slices => {
                rustix::net::sendmsg(socket, slices, &mut SendAncillaryBuffer::default(), flags)?
            }
        };
        Ok(sent)
    }

    /// Takes so many bytes of memory off the front.
    fn advance(&mut self, mut count: usize) {
        self.held -= count;
        while let Some(front) = self.segments.front_mut() {
            let left = match front {
                Segment::Copied { bytes, sent } => {
                    let taken = count.min(bytes.len() - *sent);
                    *sent += taken;
                    count -= taken;
                    bytes.len() - *sent
                }
                Segment::Shared(bytes) => {
                    let taken = count.min(bytes.len());
                    bytes.advance(taken);
                    count -= taken;
                    bytes.len()
                }
                Segment::File { .. } => return,
            };
            if left > 0 {
                return;
            }
            if let Some(Segment::Copied { mut bytes, .. }) = self.segments.pop_front()
                && bytes.capacity() <= SPARE_BYTES_MAX
            {
                bytes.clear();
                self.spare = bytes;
            }
        }
    }
}

impl Segment {
    fn memory(&self) -> Option<&[u8]> {
        match self {
            Self::Copied { bytes, sent } => Some(bytes.get(*sent..).unwrap_or_default()),
            Self::Shared(bytes) => Some(bytes),
            Self::File { .. } => None,
        }
    }
}

/// Sends from a blob as much as one system call takes.
fn send_file(socket: impl AsFd, blob: &dyn Blob, offset: u64, len: u32) -> io::Result<u32> {
    let sent = match blob.direct(offset, u64::from(len)) {
        Direct::File {
            fd,
            offset: mut at,
            len: prefix,
        } => {
            let len = usize::try_from(prefix.min(u64::from(len))).unwrap_or(usize::MAX);
            rustix::fs::sendfile(socket, fd, Some(&mut at), len)?
        }
        Direct::Memory(bytes) => rustix::net::send(socket, bytes, SendFlags::NOSIGNAL)?,
        _ => 0,
    };
    match u32::try_from(sent) {
        Ok(0) | Err(_) => Err(io::ErrorKind::UnexpectedEof.into()),
        Ok(sent) => Ok(sent),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of a client that takes replies as they come, but never all of them.
    #[test]
    fn what_was_sent_takes_no_memory_although_something_always_waits() {
        let mut queue = ReplyQueue::default();
        queue.push(vec![0; 128].into());
        for number in 1..=100_000_u32 {
            queue.push(number.to_be_bytes().repeat(32).into());
            queue.advance(132);
            let next = queue.segments.front().and_then(Segment::memory);
            let next = next.expect("memory that waits");
            assert_eq!(next[..8], [mark(128), number.to_be_bytes()].concat());
            assert_eq!(queue.held(), 132);
        }
        let taken: usize = queue.segments.iter().map(capacity).sum();
        assert!(taken <= 4 * SPARE_BYTES_MAX, "{taken} bytes for 132");
    }

    fn capacity(segment: &Segment) -> usize {
        match segment {
            Segment::Copied { bytes, .. } => bytes.capacity(),
            Segment::Shared(bytes) => bytes.len(),
            Segment::File { .. } => 0,
        }
    }
}
