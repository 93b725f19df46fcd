//! The bytes beneath a store: a file, or something that fails on purpose.

use core::fmt;
use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::{Arc, Mutex, PoisonError};

use ::redb::StorageBackend;

/// The bytes beneath a [`RedbStore`](super::RedbStore): a file, or whatever else keeps them.
///
/// The store calls it from one thread, one call at a time. Nobody else may write to it meanwhile.
pub trait Medium: fmt::Debug + Send + Sync + 'static {
    /// How many bytes there are.
    ///
    /// # Errors
    ///
    /// If that cannot be found out.
    fn len(&self) -> io::Result<u64>;

    /// Whether there are none.
    ///
    /// # Errors
    ///
    /// If that cannot be found out.
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }

    /// Fills `buffer` with what is at `offset`.
    ///
    /// # Errors
    ///
    /// If it cannot be read, or ends before.
    fn read(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()>;

    /// Puts bytes at `offset`. They need not be durable yet.
    ///
    /// # Errors
    ///
    /// If they cannot be written.
    fn write(&self, offset: u64, bytes: &[u8]) -> io::Result<()>;

    /// Cuts it, or adds zeros.
    ///
    /// # Errors
    ///
    /// If that cannot be done.
    fn set_len(&self, len: u64) -> io::Result<()>;

    /// Makes all that was written durable: when it returns, it survives a loss of power.
    ///
    /// # Errors
    ///
    /// If that cannot be done; what was written since the last call may be lost then.
    fn sync(&self) -> io::Result<()>;
}

/// A file.
#[derive(Debug)]
pub(super) struct FileMedium {
    file: File,
}

impl FileMedium {
    pub(super) const fn new(file: File) -> Self {
        Self { file }
    }
}

impl Medium for FileMedium {
    fn len(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    fn read(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.file.read_exact_at(buffer, offset)
    }

    fn write(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all_at(bytes, offset)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len)
    }

    fn sync(&self) -> io::Result<()> {
        // fdatasync: it includes a changed length.
        self.file.sync_data()
    }
}

/// A medium that keeps what is written for itself, so that what is beneath stays as it was.
#[derive(Debug)]
pub(super) struct Overlay {
    beneath: Arc<dyn Medium>,
    changes: Mutex<Changes>,
}

#[derive(Debug)]
struct Changes {
    len: u64,
    /// Whole pages, by their number.
    pages: BTreeMap<u64, Vec<u8>>,
    /// How much of what is beneath is still to be seen.
    beneath_len: u64,
}

const PAGE_BYTES: u64 = 4096;

impl Overlay {
    pub(super) fn new(beneath: Arc<dyn Medium>) -> io::Result<Self> {
        let len = beneath.len()?;
        let changes = Mutex::new(Changes {
            len,
            pages: BTreeMap::new(),
            beneath_len: len,
        });
        Ok(Self { beneath, changes })
    }

    fn with<T>(&self, work: impl FnOnce(&mut Changes) -> T) -> T {
        work(&mut self.changes.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Changes {
    fn read_page(&self, beneath: &dyn Medium, page: u64) -> io::Result<Vec<u8>> {
        if let Some(bytes) = self.pages.get(&page) {
            return Ok(bytes.clone());
        }
        let mut bytes = vec![0; PAGE_BYTES as usize];
        let start = page * PAGE_BYTES;
        let len = self.beneath_len.saturating_sub(start).min(PAGE_BYTES);
        if len > 0 {
            beneath.read(start, &mut bytes[..len as usize])?;
        }
        Ok(bytes)
    }
}

/// The pages that a range of bytes touches: page, where in the page, where in the range.
fn pieces(
    offset: u64,
    len: usize,
) -> impl Iterator<Item = (u64, core::ops::Range<usize>, core::ops::Range<usize>)> {
    let end = offset + len as u64;
    (offset / PAGE_BYTES..end.div_ceil(PAGE_BYTES)).map(move |page| {
        let start = page * PAGE_BYTES;
        let (from, to) = (offset.max(start), end.min(start + PAGE_BYTES));
        (
            page,
            (from - start) as usize..(to - start) as usize,
            (from - offset) as usize..(to - offset) as usize,
        )
    })
}

impl Medium for Overlay {
    fn len(&self) -> io::Result<u64> {
        Ok(self.with(|changes| changes.len))
    }

    fn read(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.with(|changes| {
            if offset + buffer.len() as u64 > changes.len {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            if changes.pages.is_empty() && offset + buffer.len() as u64 <= changes.beneath_len {
                return self.beneath.read(offset, buffer);
            }
            for (page, in_page, in_range) in pieces(offset, buffer.len()) {
                let bytes = changes.read_page(&*self.beneath, page)?;
                buffer[in_range].copy_from_slice(&bytes[in_page]);
            }
            Ok(())
        })
    }

    fn write(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.with(|changes| {
            for (page, in_page, in_range) in pieces(offset, bytes.len()) {
                let mut content = changes.read_page(&*self.beneath, page)?;
                content[in_page].copy_from_slice(&bytes[in_range]);
                changes.pages.insert(page, content);
            }
            changes.len = changes.len.max(offset + bytes.len() as u64);
            Ok(())
        })
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.with(|changes| {
            changes.len = len;
            changes.beneath_len = changes.beneath_len.min(len);
            let (last, used) = (len / PAGE_BYTES, (len % PAGE_BYTES) as usize);
            changes.pages.retain(|page, _| *page <= last);
            if let Some(bytes) = changes.pages.get_mut(&last) {
                bytes[used..].fill(0);
            }
            Ok(())
        })
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }
}

/// A medium as the database sees it.
#[derive(Debug)]
pub(super) struct Backend(pub(super) Arc<dyn Medium>);

impl StorageBackend for Backend {
    fn len(&self) -> io::Result<u64> {
        self.0.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.0.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.sync()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.0.write(offset, data)
    }
}

/// Writes all bytes once more, and makes them durable.
///
/// After a flush that failed, the kernel takes the pages for clean although the disk has them not,
/// and the next flush says nothing about them ("fsyncgate", PostgreSQL 2018). What can be read
/// then is only safe to build on when it was written again.
pub(super) fn rewrite(medium: &dyn Medium) -> io::Result<()> {
    const CHUNK_BYTES: u64 = 1 << 20;
    let len = medium.len()?;
    let mut buffer = vec![0; CHUNK_BYTES as usize];
    let mut offset = 0;
    while offset < len {
        let chunk = &mut buffer[..(len - offset).min(CHUNK_BYTES) as usize];
        medium.read(offset, chunk)?;
        medium.write(offset, chunk)?;
        offset += chunk.len() as u64;
    }
    medium.sync()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Fixed(Vec<u8>);

    impl Medium for Fixed {
        fn len(&self) -> io::Result<u64> {
            Ok(self.0.len() as u64)
        }

        fn read(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
            let from = offset as usize;
            buffer.copy_from_slice(&self.0[from..from + buffer.len()]);
            Ok(())
        }

        fn write(&self, _: u64, _: &[u8]) -> io::Result<()> {
            panic!("written beneath an overlay")
        }

        fn set_len(&self, _: u64) -> io::Result<()> {
            panic!("cut beneath an overlay")
        }

        fn sync(&self) -> io::Result<()> {
            panic!("flushed beneath an overlay")
        }
    }

    #[test]
    fn an_overlay_reads_what_was_written_and_leaves_what_is_beneath() {
        let beneath: Vec<u8> = (0..10_000_u32).map(|at| (at % 251) as u8).collect();
        let overlay = Overlay::new(Arc::new(Fixed(beneath.clone()))).expect("a length");
        let mut model = beneath;
        let all = |overlay: &Overlay| {
            let mut bytes = vec![0; overlay.len().expect("a length") as usize];
            overlay.read(0, &mut bytes).expect("it is there");
            bytes
        };
        assert!(all(&overlay) == model);
        for (offset, len) in [(5000, 10), (4090, 5000), (0, 1), (9_990, 10)] {
            overlay.write(offset, &vec![7; len]).expect("written");
            model[offset as usize..offset as usize + len].fill(7);
            assert!(all(&overlay) == model, "{len} bytes at {offset}");
        }
        for len in [12_000_usize, 6_000, 9_000, 20_000] {
            overlay.set_len(len as u64).expect("cut");
            model.resize(len, 0);
            assert!(all(&overlay) == model, "{len} bytes");
        }
        overlay.sync().expect("nothing to do");
        assert!(overlay.read(19_999, &mut [0; 2]).is_err());
    }
}
