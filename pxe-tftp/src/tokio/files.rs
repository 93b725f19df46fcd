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

#[cfg(test)]
mod tests {
    use super::*;
    use async_trait::async_trait;
    use pxe_tree::{Attributes, ErrorKind, NodeId, NodeKind};
    use std::num::NonZeroU64;
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

    #[derive(Debug)]
    struct Counted {
        attributes: Attributes,
        reads: AtomicUsize,
        changed: AtomicBool,
    }

    #[async_trait]
    impl Blob for Counted {
        fn attributes(&self) -> &Attributes {
            &self.attributes
        }

        async fn read_at(&self, _offset: u64, _len: usize) -> pxe_tree::Result<Bytes> {
            Err(ErrorKind::Unsupported.into())
        }

        fn read_now(&self, offset: u64, buf: &mut [u8]) -> pxe_tree::Result<Option<usize>> {
            self.reads.fetch_add(1, Ordering::Relaxed);
            buf.fill(offset as u8);
            Ok(Some(buf.len()))
        }

        fn validate(&self) -> pxe_tree::Result<()> {
            match self.changed.load(Ordering::Relaxed) {
                true => Err(ErrorKind::Stale.into()),
                false => Ok(()),
            }
        }
    }

    fn now(read: Read) -> Bytes {
        match read {
            Read::Now(bytes) => bytes,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn transfers_of_one_file_share_its_chunks_until_it_changes() {
        let node = NodeId::new(NonZeroU64::MIN);
        let blob = Arc::new(Counted {
            attributes: Attributes::new(node, NodeKind::File, 1 << 30),
            reads: AtomicUsize::new(0),
            changed: AtomicBool::new(false),
        });
        let mut files = Files::default();
        let [one, two] = [TransferId(1), TransferId(2)];
        files.insert(one, Arc::clone(&blob) as Arc<dyn Blob>);
        files.insert(two, Arc::clone(&blob) as Arc<dyn Blob>);
        let first = now(files.read(one, 64, 32));
        let second = now(files.read(two, 64, 16));
        assert_eq!(second.as_ptr(), first.as_ptr());
        assert_eq!(second.len(), 16);
        assert_eq!(blob.reads.load(Ordering::Relaxed), 1);

        for chunk in 0..10 * CHUNKS_MAX as u64 {
            now(files.read(one, chunk * 100, 100));
        }
        assert!(files.chunks.len() <= CHUNKS_MAX && files.order.len() <= CHUNKS_MAX);

        now(files.read(one, 5, 1));
        blob.changed.store(true, Ordering::Relaxed);
        assert!(matches!(files.read(two, 5, 1), Read::Failed(_)));

        files.release(one);
        assert!(matches!(files.read(one, 5, 1), Read::Gone));
        files.release(two);
        assert!(files.chunks.is_empty() && files.order.is_empty());
        assert_eq!(Arc::strong_count(&blob), 1, "the file is closed");
    }
}
