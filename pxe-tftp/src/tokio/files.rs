//! The open files of one thread's transfers, and where their data come from.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use pxe_tree::{Blob, Direct};

use super::buffers::Buffers;
use super::chunks::{Chunks, Found, Reading};
use super::jobs::Look;
use crate::event::{Filename, TransferId};

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

/// Where data come from.
#[derive(Debug)]
pub(super) enum Read {
    /// Here they are; maybe fewer than asked for.
    Now(Range, Bytes),
    /// It takes a while: await [`Blob::read_at`] of `read`, of which `want` is wanted.
    Later {
        blob: Arc<dyn Blob>,
        want: Range,
        read: Range,
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
        let want = None;
        self.open.insert(transfer, OpenFile { blob, name, want });
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
    pub(super) fn want(&mut self, transfer: TransferId, want: Range) {
        if let Some(file) = self.open.get_mut(&transfer) {
            file.want = Some(want);
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
        let (read, reading) = if direct || alone {
            (want, None)
        } else {
            let chunk = chunk_of(want.offset, chunk_bytes, blob.attributes().len);
            match self.chunks.look(blob, chunk.offset, want.offset, || waiter) {
                Found::Here(bytes) => {
                    file.want = None;
                    // It was read a moment ago; the file may have changed since.
                    return match blob.validate() {
                        Ok(()) => Read::Now(want, want.of(chunk.offset, &bytes)),
                        Err(error) => Read::Failed(error),
                    };
                }
                Found::Awaited => return Read::Awaited,
                Found::Missing(reading) => (chunk, Some(reading)),
            }
        };
        file.want = None;
        if !direct {
            let mut buffer = self.buffers.take(read.len);
            match blob.read_now(read.offset, buffer.as_mut()) {
                Ok(Some(len)) => {
                    let bytes = buffer.into_bytes(len);
                    if let Some(reading) = reading {
                        reading.finish(&bytes);
                    }
                    return Read::Now(want, want.of(read.offset, &bytes));
                }
                Ok(None) => {}
                Err(error) => return Read::Failed(error),
            }
        }
        Read::Later {
            blob: Arc::clone(blob),
            want,
            read,
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
