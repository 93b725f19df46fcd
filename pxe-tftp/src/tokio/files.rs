//! The open files of a driver's transfers, and the chunks that they share.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, Weak};

use bytes::Bytes;
use pxe_tree::{Blob, Direct};

use crate::event::TransferId;

/// Chunks kept for other transfers of the same file: with the default chunk size, 4 MiB. In a
/// class that boots at once, the machines are within a few chunks of each other.
const CHUNKS_MAX: usize = 64;

/// The address of a blob: its identity as long as somebody holds it, be it weakly.
type BlobAddress = usize;

fn address(blob: &Arc<dyn Blob>) -> BlobAddress {
    Arc::as_ptr(blob).cast::<()>() as usize
}

#[derive(Debug, Default)]
pub(super) struct Files {
    open: HashMap<TransferId, Arc<dyn Blob>>,
    chunks: BTreeMap<(BlobAddress, u64), Chunk>,
    /// The oldest first.
    order: VecDeque<(BlobAddress, u64)>,
}

#[derive(Debug)]
struct Chunk {
    /// Keeps the address from being given to another blob.
    blob: Weak<dyn Blob>,
    bytes: Bytes,
}

/// Where data come from.
#[derive(Debug)]
pub(super) enum Read {
    /// Here they are; maybe fewer than asked for.
    Now(Bytes),
    /// It takes a while: await [`Blob::read_at`], then tell with [`Files::keep`].
    Later(Arc<dyn Blob>),
    /// They cannot be had.
    Failed(pxe_tree::Error),
    /// The transfer is over.
    Gone,
}

impl Files {
    pub(super) fn insert(&mut self, transfer: TransferId, blob: Arc<dyn Blob>) {
        self.open.insert(transfer, blob);
    }

    pub(super) fn release(&mut self, transfer: TransferId) {
        if self.open.remove(&transfer).is_some() && self.open.is_empty() {
            self.chunks.clear();
            self.order.clear();
        }
    }

    /// Reads what a transfer wants, if it can be had without waiting.
    pub(super) fn read(&mut self, transfer: TransferId, offset: u64, len: usize) -> Read {
        let Some(blob) = self.open.get(&transfer) else {
            return Read::Gone;
        };
        if let Direct::Memory(_) = blob.direct(offset, len as u64) {
            // Shared by the blob itself, without a copy.
            return Read::Later(Arc::clone(blob));
        }
        if let Some(chunk) = self.chunks.get(&(address(blob), offset)) {
            // Other transfers read this chunk a moment ago; the file may have changed since.
            if let Err(error) = blob.validate() {
                return Read::Failed(error);
            }
            return Read::Now(chunk.bytes.slice(..chunk.bytes.len().min(len)));
        }
        let mut buffer = vec![0; len];
        match blob.read_now(offset, &mut buffer) {
            Ok(Some(read)) => {
                buffer.truncate(read);
                let bytes = Bytes::from(buffer);
                let blob = Arc::clone(blob);
                self.keep(&blob, offset, &bytes);
                Read::Now(bytes)
            }
            Ok(None) => Read::Later(Arc::clone(blob)),
            Err(error) => Read::Failed(error),
        }
    }

    /// Keeps what was read for other transfers, unless nobody else has the file open.
    pub(super) fn keep(&mut self, blob: &Arc<dyn Blob>, offset: u64, bytes: &Bytes) {
        // This transfer, and one more reference that is held while it reads.
        let shared = Arc::strong_count(blob) > 2;
        if !shared || bytes.is_empty() || matches!(blob.direct(offset, 1), Direct::Memory(_)) {
            return;
        }
        let key = (address(blob), offset);
        let chunk = Chunk {
            blob: Arc::downgrade(blob),
            bytes: bytes.clone(),
        };
        if self.chunks.insert(key, chunk).is_none() {
            self.order.push_back(key);
        }
        while self.order.len() > CHUNKS_MAX {
            if let Some(oldest) = self.order.pop_front() {
                self.chunks.remove(&oldest);
            }
        }
        // Chunks of closed files go first.
        while let Some(oldest) = self.order.front()
            && let Some(chunk) = self.chunks.get(oldest)
            && chunk.blob.strong_count() == 0
        {
            self.chunks.remove(oldest);
            self.order.pop_front();
        }
    }
}
