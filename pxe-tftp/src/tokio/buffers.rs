//! Room for what is read, used again.

use std::sync::{Arc, Mutex};

use bytes::Bytes;

use super::control::lock;

/// Buffers kept, at most; each has the size of a chunk.
const KEPT_MAX: usize = 16;

/// Buffers that nobody uses now. To clear a new one for each chunk would take a tenth of the time
/// that reading it takes.
#[derive(Debug, Default)]
pub(super) struct Buffers {
    kept: Mutex<Vec<Vec<u8>>>,
}

/// A buffer in use.
#[derive(Debug)]
pub(super) struct Buffer {
    bytes: Vec<u8>,
    len: usize,
    buffers: Arc<Buffers>,
}

impl Buffers {
    /// A buffer of `len` octets, whatever they are.
    pub(super) fn take(self: &Arc<Self>, len: usize) -> Buffer {
        let kept = lock(&self.kept).pop();
        let bytes = match kept {
            // Somebody may hold it for long: it has to be little more than what is asked for.
            Some(bytes) if bytes.len() >= len && bytes.len() - len <= len / 8 => bytes,
            _ => vec![0; len],
        };
        Buffer {
            bytes,
            len,
            buffers: Arc::clone(self),
        }
    }
}

impl Buffer {
    pub(super) fn as_mut(&mut self) -> &mut [u8] {
        self.bytes.get_mut(..self.len).unwrap_or_default()
    }

    /// The first `len` octets of it, shared.
    pub(super) fn into_bytes(mut self, len: usize) -> Bytes {
        self.len = len.min(self.len);
        Bytes::from_owner(self)
    }
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let mut kept = lock(&self.buffers.kept);
        if kept.len() < KEPT_MAX {
            kept.push(std::mem::take(&mut self.bytes));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_are_used_again_and_few_are_kept() {
        let buffers = Arc::new(Buffers::default());
        let mut buffer = buffers.take(100);
        buffer.as_mut().fill(7);
        let address = buffer.as_ref().as_ptr();
        let bytes = buffer.into_bytes(60);
        assert_eq!((bytes.len(), bytes.as_ptr()), (60, address));
        let slice = bytes.slice(10..20);
        drop(bytes);
        assert_eq!(slice, [7; 10][..]);
        drop(slice);
        assert_eq!(buffers.take(90).as_ref().as_ptr(), address);
        // Not a large one for less.
        assert_eq!(buffers.take(80).bytes.len(), 80);
        drop((0..50).map(|_| buffers.take(5)).collect::<Vec<_>>());
        assert_eq!(lock(&buffers.kept).len(), KEPT_MAX);
    }
}
