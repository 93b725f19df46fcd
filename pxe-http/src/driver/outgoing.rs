//! A response on its way out.

use std::io::{self, IoSlice};
use std::ops::Range;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;

use bytes::{Buf, Bytes};
use pxe_tree::{Blob, Direct, ErrorKind};
use rustix::io::Errno;
use rustix::net::sockopt::set_tcp_cork;
use rustix::net::{SendAncillaryBuffer, SendFlags};

use super::observer::Report;
use super::response::Response;
use super::scratch::{COPIED_BYTES_MAX, with_scratch};
use crate::Piece;

/// Bytes that leave by one `sendfile`, and of memory by one `sendmsg`: what is in memory is asked
/// for at the end of each.
const CHUNK_BYTES_MAX: u64 = 1 << 20;
/// The end of what leaves by `sendfile` is copied: so it is validated before it leaves, and all
/// that left before with it.
const TAIL_BYTES: u64 = 1024;
/// Bytes that are read at a time where it has to be waited for.
const READ_BYTES: u64 = 64 * 1024;
/// How far the medium is told to read ahead of that.
const AHEAD_BYTES: u64 = 4 << 20;

/// What is still to be sent of a response.
#[derive(Debug)]
pub(super) struct Outgoing {
    response: Arc<Response>,
    /// Bytes of its head that have left.
    head_sent: usize,
    /// The piece of its body that is next, and how many bytes of that have left.
    piece: usize,
    piece_sent: u64,
    blob: Option<Arc<dyn Blob>>,
    /// What comes next of a piece that is a file's, where it had to be waited for.
    read: Bytes,
    /// Counts the bytes of the body that were handed to the operating system.
    pub(super) report: Report,
    /// Up to where the next piece, which is a file's, was in memory when it was asked for, since the
    /// client had to be waited for.
    present_to: u64,
    /// Whether the operating system was told to send whole segments alone until the end.
    is_corked: bool,
    /// Whether the file's system has no `sendfile`.
    only_copies: bool,
}

/// What [`Outgoing::send_once`] came to.
#[derive(Debug)]
pub(super) enum Sent {
    /// So many bytes left.
    Bytes(usize),
    /// This part of the file is next, and is not in memory: see [`Outgoing::fetch`].
    Absent(Range<u64>),
    /// The file cannot be read any more, or is another one.
    Failed(ErrorKind),
}

/// What could be gathered in memory for one system call.
struct Gathered {
    /// Bytes at the beginning of the scratch memory.
    filled: usize,
    /// What comes behind them.
    next: Next,
}

/// What has not left yet of a piece.
enum Rest<'a> {
    File(Range<u64>),
    Text(&'a [u8]),
}

enum Next {
    Nothing,
    /// More bytes, which leave by the next system call at once.
    More,
    /// A part of the file from this offset on, of that length, by `sendfile`.
    File(u64, u64),
    /// A part of the file in memory.
    Memory(u64, u64),
    Absent(Range<u64>),
    Failed(ErrorKind),
}

impl Outgoing {
    /// All of a response. The blob is the file that its [`Piece::File`] are parts of.
    pub(super) fn new(
        response: Arc<Response>,
        blob: Option<Arc<dyn Blob>>,
        mut report: Report,
    ) -> Self {
        report.status = response.status;
        report.bytes_expected = response.body_len();
        Self {
            response,
            head_sent: 0,
            piece: 0,
            piece_sent: 0,
            blob,
            read: Bytes::new(),
            report,
            present_to: 0,
            is_corked: false,
            only_copies: false,
        }
    }

    /// How many bytes its body has, whether they have left or not.
    pub(super) const fn body_len(&self) -> u64 {
        self.report.bytes_expected
    }

    /// Whether another response may follow.
    pub(super) fn keeps_alive(&self) -> bool {
        self.response.keep_alive
    }

    pub(super) fn is_empty(&self) -> bool {
        self.unsent_head().is_empty() && self.piece == self.response.body.len()
    }

    /// Sends as much as one system call takes, to a socket that does not block.
    ///
    /// # Errors
    /// The operating system's, `WouldBlock` among them.
    pub(super) fn send_once(&mut self, socket: impl AsFd) -> io::Result<Sent> {
        let sent = with_scratch(|scratch| self.send_from(socket.as_fd(), scratch));
        // The client may take its time, and the memory may be needed for something else.
        let sent = sent.inspect_err(|_| self.present_to = 0)?;
        if let Sent::Bytes(count) = sent {
            self.advance(count);
            if self.is_corked && self.is_empty() {
                // It fails for sockets alone that have failed.
                let _ = set_tcp_cork(socket.as_fd(), false);
                self.is_corked = false;
            }
        }
        Ok(sent)
    }

    fn send_from(&mut self, socket: BorrowedFd<'_>, scratch: &mut [u8]) -> io::Result<Sent> {
        if self.unsent_head().is_empty()
            && !self.read.is_empty()
            && matches!(self.rests().next(), Some(Rest::File(_)))
        {
            let sent = rustix::net::send(socket, &self.read, SendFlags::NOSIGNAL)?;
            return Ok(Sent::Bytes(sent));
        }
        let Gathered { filled, next } = self.gather(scratch);
        let bytes = scratch.get(..filled).unwrap_or_default();
        if let Next::File(offset, len) = next {
            self.present_to = offset.saturating_add(len);
            if !self.is_corked {
                // A `sendfile` cannot say that more follows: it would send what is left over.
                self.is_corked = set_tcp_cork(socket, true).is_ok();
            }
        }
        let sent = match next {
            // What is there leaves first; then it is looked at again.
            Next::Absent(range) if bytes.is_empty() => return Ok(Sent::Absent(range)),
            Next::Failed(kind) if bytes.is_empty() => return Ok(Sent::Failed(kind)),
            Next::Nothing | Next::Absent(_) | Next::Failed(_) => {
                rustix::net::send(socket, bytes, SendFlags::NOSIGNAL)?
            }
            Next::File(offset, len) if bytes.is_empty() => {
                return self.send_file(socket, offset, len);
            }
            Next::More | Next::File(..) => {
                let flags = SendFlags::NOSIGNAL | SendFlags::MORE;
                rustix::net::send(socket, bytes, flags)?
            }
            Next::Memory(offset, len) => {
                let direct = self.blob.as_ref().map(|blob| blob.direct(offset, len));
                let Some(Direct::Memory(memory)) = direct else {
                    return Ok(Sent::Failed(ErrorKind::Io));
                };
                let slices = [IoSlice::new(bytes), IoSlice::new(memory)];
                let mut control = SendAncillaryBuffer::default();
                rustix::net::sendmsg(socket, &slices, &mut control, SendFlags::NOSIGNAL)?
            }
        };
        Ok(Sent::Bytes(sent))
    }

    fn unsent_head(&self) -> &[u8] {
        self.response.head.get(self.head_sent..).unwrap_or_default()
    }

    /// What has not left yet of the body.
    fn rests(&self) -> impl Iterator<Item = Rest<'_>> {
        let pieces = self.response.body.get(self.piece..).unwrap_or_default();
        let sent = std::iter::once(self.piece_sent).chain(std::iter::repeat(0));
        pieces.iter().zip(sent).map(|(piece, sent)| match piece {
            Piece::File(range) => Rest::File(range.start.saturating_add(sent)..range.end),
            // Less than its length, which fits.
            Piece::Text(text) => Rest::Text(text.get(sent as usize..).unwrap_or_default()),
        })
    }

    /// Copies what can leave together.
    fn gather(&self, scratch: &mut [u8]) -> Gathered {
        let mut filled = 0;
        if !put(scratch, &mut filled, self.unsent_head()) {
            return Gathered {
                filled,
                next: Next::More,
            };
        }
        let mut next = Next::Nothing;
        for (number, rest) in self.rests().enumerate() {
            match rest {
                Rest::Text(text) => {
                    if !put(scratch, &mut filled, text) {
                        next = Next::More;
                        break;
                    }
                }
                Rest::File(range) if number == 0 && !self.read.is_empty() => {
                    let is_all = self.read.len() as u64 == range.end - range.start;
                    if !put(scratch, &mut filled, &self.read) {
                        next = Next::More;
                        break;
                    }
                    if !is_all {
                        break;
                    }
                }
                Rest::File(range) => {
                    let room = scratch.get_mut(filled..).unwrap_or_default();
                    let (count, then) = self.gather_file(&range, room, filled == 0);
                    filled += count;
                    next = then;
                    if !matches!(next, Next::Nothing) {
                        break;
                    }
                }
            }
        }
        Gathered { filled, next }
    }

    /// Copies the beginning of a part of the file, or says how else it leaves; `Nothing` if all of
    /// it was copied.
    fn gather_file(&self, range: &Range<u64>, room: &mut [u8], is_first: bool) -> (usize, Next) {
        // A part of a file without a file is a fault of this crate; it must not panic for it.
        let Some(blob) = &self.blob else {
            return (0, Next::Failed(ErrorKind::Io));
        };
        let len = range.end - range.start;
        let is_small = len <= COPIED_BYTES_MAX as u64;
        if !is_small {
            match blob.direct(range.start, len.min(CHUNK_BYTES_MAX)) {
                Direct::Memory(memory) if memory.len() > COPIED_BYTES_MAX => {
                    return (0, Next::Memory(range.start, memory.len() as u64));
                }
                Direct::File { len: prefix, .. } if !self.only_copies => {
                    let chunk_len = prefix.min(len - TAIL_BYTES);
                    let known = self.present_to.saturating_sub(range.start);
                    if is_first && known > 0 {
                        return (0, Next::File(range.start, chunk_len.min(known)));
                    }
                    let last = range.start.saturating_add(chunk_len.saturating_sub(1));
                    // This validates what has left, too.
                    return match blob.read_now(last, &mut [0]) {
                        Ok(Some(1)) => (0, Next::File(range.start, chunk_len)),
                        Ok(Some(_)) => (0, Next::Failed(ErrorKind::Stale)),
                        Ok(None) => (0, Next::Absent(range.start..range.end)),
                        Err(error) => (0, Next::Failed(error.kind())),
                    };
                }
                _ => {}
            }
        }
        let wanted = usize::try_from(len).unwrap_or(usize::MAX);
        if !is_first && wanted > room.len() {
            return (0, Next::More);
        }
        let count = wanted.min(room.len()).min(COPIED_BYTES_MAX);
        let (room, _) = room.split_at_mut(count);
        match blob.read_now(range.start, room) {
            Ok(Some(read)) if read == count && count == wanted => (count, Next::Nothing),
            Ok(Some(read)) if read == count => (count, Next::More),
            Ok(Some(_)) => (0, Next::Failed(ErrorKind::Stale)),
            Ok(None) => (0, Next::Absent(range.clone())),
            Err(error) => (0, Next::Failed(error.kind())),
        }
    }

    fn send_file(&mut self, socket: BorrowedFd<'_>, offset: u64, len: u64) -> io::Result<Sent> {
        let direct = self.blob.as_ref().map(|blob| blob.direct(offset, len));
        let Some(Direct::File {
            fd,
            offset: mut at,
            len,
        }) = direct
        else {
            return Ok(Sent::Failed(ErrorKind::Io));
        };
        let len = usize::try_from(len).unwrap_or(usize::MAX);
        match rustix::fs::sendfile(socket, fd, Some(&mut at), len) {
            Ok(0) => Ok(Sent::Failed(ErrorKind::Stale)),
            Ok(count) => Ok(Sent::Bytes(count)),
            // sendfile(2): the file's system lacks what it needs.
            Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) if !self.only_copies => {
                self.only_copies = true;
                Ok(Sent::Bytes(0))
            }
            Err(errno) if is_of_connection(errno) => Err(errno.into()),
            Err(Errno::STALE) => Ok(Sent::Failed(ErrorKind::Stale)),
            Err(_) => Ok(Sent::Failed(ErrorKind::Io)),
        }
    }

    /// So many bytes have left.
    fn advance(&mut self, count: usize) {
        let of_head = count.min(self.unsent_head().len());
        self.head_sent += of_head;
        let mut left = (count - of_head) as u64;
        self.report.bytes_sent = self.report.bytes_sent.saturating_add(left);
        while left > 0 {
            let Some(piece) = self.response.body.get(self.piece) else {
                return;
            };
            let taken = left.min(piece.len().saturating_sub(self.piece_sent));
            left -= taken;
            self.piece_sent += taken;
            if let Piece::File(_) = piece {
                // At most its length, which fits.
                self.read.advance(self.read.len().min(taken as usize));
            }
            if self.piece_sent == piece.len() {
                self.piece += 1;
                self.piece_sent = 0;
                self.present_to = 0;
            }
        }
    }

    /// The next part of the file, to be given to [`fetched`](Self::fetched). It may take its time.
    pub(super) fn fetch(
        &self,
        range: &Range<u64>,
    ) -> impl Future<Output = pxe_tree::Result<Bytes>> + Send + use<> {
        let blob = self.blob.clone();
        let offset = range.start;
        let len = (range.end - range.start).min(READ_BYTES);
        let ahead = (range.end - range.start).min(AHEAD_BYTES);
        async move {
            let blob = blob.ok_or(ErrorKind::Io)?;
            if ahead > len {
                blob.will_need(offset, ahead);
            }
            // At most READ_BYTES.
            let bytes = blob.read_at(offset, len as usize).await?;
            // A read is short only at the end of the content, and no plan goes beyond the length
            // that the blob gave: so the content has shrunk.
            match bytes.len() as u64 == len {
                true => Ok(bytes),
                false => Err(ErrorKind::Stale.into()),
            }
        }
    }

    pub(super) fn fetched(&mut self, bytes: Bytes) {
        self.read = bytes;
    }
}

/// Whether `sendfile` means the connection, and not the file: what `send` may say of TCP, for good or
/// for now (tcp(7), ip(7), send(2)).
const fn is_of_connection(errno: Errno) -> bool {
    matches!(
        errno,
        Errno::AGAIN
            | Errno::INTR
            | Errno::PIPE
            | Errno::CONNRESET
            | Errno::CONNABORTED
            | Errno::CONNREFUSED
            | Errno::NOTCONN
            | Errno::TIMEDOUT
            | Errno::HOSTUNREACH
            | Errno::HOSTDOWN
            | Errno::NETUNREACH
            | Errno::NETDOWN
            | Errno::PROTO
            | Errno::NOPROTOOPT
            | Errno::PERM
            | Errno::NOBUFS
            | Errno::NOMEM
    )
}

/// Copies bytes behind those that are there. Returns whether all of them fit.
fn put(scratch: &mut [u8], filled: &mut usize, bytes: &[u8]) -> bool {
    let room = scratch.get_mut(*filled..).unwrap_or_default();
    let len = bytes.len().min(room.len());
    let (room, _) = room.split_at_mut(len);
    room.copy_from_slice(bytes.get(..len).unwrap_or_default());
    *filled += len;
    len == bytes.len()
}
