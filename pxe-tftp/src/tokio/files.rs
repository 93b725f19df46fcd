//! The open files of one thread's transfers, and where their data come from.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use pxe_tree::{Blob, Direct};

use super::buffers::Buffers;
use super::chunks::{Chunks, Found, Reading};
use super::jobs::Look;
use crate::event::{Filename, TransferId};
use crate::flow::whole_blocks;
use crate::packets::Packets;

/// What transfers read.
#[derive(Debug)]
pub(super) struct Files {
    open: HashMap<TransferId, OpenFile>,
    chunks: Arc<Chunks<Look>>,
    buffers: Arc<Buffers>,
}

#[derive(Debug)]
struct OpenFile {
    blob: Arc<dyn Blob>,
    /// For its ERRORs.
    name: Filename,
    /// What the transfer waits for.
    want: Option<Range>,
    /// Of a transfer of octets.
    blksize: Option<u16>,
}

/// A part of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Range {
    pub(super) offset: u64,
    pub(super) len: usize,
}

impl Range {
    /// This part of what was read at `start`.
    pub(super) fn of(self, start: u64, bytes: &Bytes) -> Bytes {
        let from = usize::try_from(self.offset.saturating_sub(start)).unwrap_or(usize::MAX);
        let from = from.min(bytes.len());
        bytes.slice(from..from.saturating_add(self.len).min(bytes.len()))
    }
}

/// Data of a file.
#[derive(Debug)]
pub(super) enum Data {
    /// As they are, from there on.
    Plain(u64, Bytes),
    /// In packets.
    Packets(Packets),
}

/// What is read, and in which form it is kept.
#[derive(Debug, Clone, Copy)]
pub(super) struct Piece {
    range: Range,
    /// Of the blocks in whose packets it is to lie.
    blksize: Option<u16>,
}

impl Piece {
    pub(super) const fn range(&self) -> Range {
        self.range
    }

    /// The form in which it is kept.
    pub(super) fn form(&self, bytes: &Bytes) -> Bytes {
        let packets = |blksize| Packets::of_data(bytes, blksize, self.range.offset);
        let packets = self.blksize.and_then(packets);
        packets.map_or_else(|| bytes.clone(), |packets| packets.bytes().clone())
    }

    /// What is wanted of it; maybe less.
    pub(super) fn data(&self, want: Range, formed: &Bytes) -> Data {
        let start = self.range.offset;
        let packets = |blksize| Packets::new(formed.clone(), blksize, start)?.since(want.offset);
        match self.blksize.and_then(packets) {
            Some(packets) => Data::Packets(packets),
            None if self.blksize.is_some() => Data::Plain(want.offset, Bytes::new()),
            None => Data::Plain(want.offset, want.of(start, formed)),
        }
    }

    /// How far the wanted data lie behind its start, in the form in which it is kept.
    fn ahead(&self, want: Range) -> usize {
        let ahead = want.offset.saturating_sub(self.range.offset);
        let ahead = usize::try_from(ahead).unwrap_or(usize::MAX);
        self.blksize
            .map_or(ahead, |blksize| Packets::room(ahead, blksize))
    }
}

/// Where data come from.
#[derive(Debug)]
pub(super) enum Read {
    /// Here they are; maybe fewer than asked for.
    Now(Data),
    /// It takes a while: await [`Blob::read_at`] of `piece`, of which `want` is wanted.
    Later {
        blob: Arc<dyn Blob>,
        want: Range,
        piece: Piece,
        /// Others wait for it too.
        reading: Option<Reading<Look>>,
    },
    /// Another transfer reads them.
    Awaited,
    /// They cannot be had.
    Failed(pxe_tree::Error),
    /// The transfer is over, or wants nothing.
    Gone,
}

impl Files {
    pub(super) fn new(chunks: Arc<Chunks<Look>>) -> Self {
        Self {
            open: HashMap::new(),
            chunks,
            buffers: Arc::default(),
        }
    }

    pub(super) fn insert(&mut self, transfer: TransferId, name: Filename, blob: Arc<dyn Blob>) {
        let file = OpenFile {
            blob,
            name,
            want: None,
            blksize: None,
        };
        self.open.insert(transfer, file);
    }

    pub(super) fn release(&mut self, transfer: TransferId) {
        if let Some(file) = self.open.remove(&transfer)
            && Arc::strong_count(&file.blob) == 1
        {
            self.chunks.forget(&file.blob);
        }
    }

    /// The name of a running transfer's file.
    pub(super) fn name(&self, transfer: TransferId) -> Option<&Filename> {
        self.open.get(&transfer).map(|file| &file.name)
    }

    /// Notes what a transfer wants.
    pub(super) fn want(&mut self, transfer: TransferId, want: Range, blksize: Option<u16>) {
        if let Some(file) = self.open.get_mut(&transfer) {
            file.want = Some(want);
            file.blksize = blksize;
        }
    }

    /// Reads what a transfer wants, if it can be had without waiting.
    pub(super) fn read(&mut self, chunk_bytes: usize, waiter: Look) -> Read {
        let Some(file) = self.open.get_mut(&waiter.transfer) else {
            return Read::Gone;
        };
        let Some(want) = file.want else {
            return Read::Gone;
        };
        let blob = &file.blob;
        let direct = matches!(blob.direct(want.offset, want.len as u64), Direct::Memory(_));
        // Alone with a file, a transfer has no use for chunks that are kept. Who comes later reads
        // on its own what this one is reading.
        let alone = Arc::strong_count(blob) == 1;
        // What lies in memory is sent from there.
        let begins = |blksize: &u16| want.offset.is_multiple_of(u64::from(*blksize));
        let blksize = file.blksize.filter(begins).filter(|_| !direct);
        let chunk_bytes = whole_blocks(chunk_bytes, file.blksize.unwrap_or(1));
        let (piece, reading) = if direct || alone {
            let len = match direct {
                true => want.len,
                false => want.len.min(chunk_bytes),
            };
            let range = Range { len, ..want };
            (Piece { range, blksize }, None)
        } else {
            let range = chunk_of(want.offset, chunk_bytes, blob.attributes().len);
            let piece = Piece { range, blksize };
            let (start, ahead) = (range.offset, piece.ahead(want));
            match (self.chunks).look(blob, start, blksize, ahead, || waiter) {
                Found::Here(bytes) => {
                    file.want = None;
                    // It was read a moment ago; the file may have changed since.
                    return match blob.validate() {
                        Ok(()) => Read::Now(piece.data(want, &bytes)),
                        Err(error) => Read::Failed(error),
                    };
                }
                Found::Awaited => return Read::Awaited,
                Found::Missing(reading) => (piece, Some(reading)),
            }
        };
        file.want = None;
        if !direct {
            let Range { offset, len } = piece.range;
            let room = blksize.map_or(len, |blksize| Packets::room(len, blksize));
            let mut buffer = self.buffers.take(room);
            let (_, tail) = buffer.as_mut().split_at_mut(room - len);
            match blob.read_now(offset, tail) {
                Ok(Some(count)) => {
                    let count = count.min(len);
                    let formed = match blksize {
                        Some(blksize) => {
                            let (read, _) = buffer.as_mut().split_at_mut(room - len + count);
                            Packets::spread(read, count, blksize, offset)
                        }
                        None => count,
                    };
                    let bytes = buffer.into_bytes(formed);
                    if let Some(reading) = reading {
                        reading.finish(&bytes);
                    }
                    return Read::Now(piece.data(want, &bytes));
                }
                Ok(None) => {}
                Err(error) => return Read::Failed(error),
            }
        }
        Read::Later {
            blob: Arc::clone(blob),
            want,
            piece,
            reading,
        }
    }
}

/// The chunk of a file of `len` octets that `offset` lies in.
fn chunk_of(offset: u64, chunk_bytes: usize, len: u64) -> Range {
    let chunk = chunk_bytes.max(1) as u64;
    let start = offset / chunk * chunk;
    let left = len.saturating_sub(start).min(chunk);
    Range {
        offset: start,
        len: usize::try_from(left).unwrap_or(chunk_bytes),
    }
}
