//! What one send takes, gathered without a copy of the file's data.

use std::ops::Range;

use bytes::Bytes;

/// What one send takes, in order: packets and headers that were made for it, and file data that
/// stay where they are.
///
/// [`Engine::poll_transmit`](crate::Engine::poll_transmit) fills it. A driver gives its
/// [`slices`](Self::slices) to a system call that gathers them (`sendmsg`), so that a window of
/// blocks leaves without having been copied. One buffer serves all sends: it keeps its room.
#[derive(Debug, Default)]
pub struct SendBuffer {
    made: Vec<u8>,
    shared: Vec<Bytes>,
    pieces: Vec<Piece>,
    len: usize,
}

/// A run of octets.
#[derive(Debug, Clone)]
enum Piece {
    /// Of `made`.
    Made(Range<usize>),
    /// Of the element of `shared` with that index.
    Shared(usize, Range<usize>),
}

impl SendBuffer {
    /// A buffer with nothing in it.
    pub fn new() -> Self {
        Self::default()
    }

    /// How many octets there are in all.
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The octets, in pieces, none of which is empty.
    pub fn slices(&self) -> impl ExactSizeIterator<Item = &[u8]> {
        self.pieces.iter().map(|piece| {
            let slice = match piece {
                Piece::Made(range) => self.made.get(range.clone()),
                Piece::Shared(index, range) => {
                    let bytes = self.shared.get(*index);
                    bytes.and_then(|bytes| bytes.get(range.clone()))
                }
            };
            slice.unwrap_or_default()
        })
    }

    /// The octets in one piece: a copy.
    pub fn to_vec(&self) -> Vec<u8> {
        let mut all = Vec::with_capacity(self.len);
        self.slices().for_each(|slice| all.extend_from_slice(slice));
        all
    }

    /// Lets go of everything, but not of the room that it took.
    pub fn clear(&mut self) {
        self.made.clear();
        self.shared.clear();
        self.pieces.clear();
        self.len = 0;
    }

    /// Appends what `make` appends to a vector.
    pub(crate) fn make(&mut self, make: impl FnOnce(&mut Vec<u8>)) {
        let begin = self.made.len();
        make(&mut self.made);
        let end = self.made.len();
        if end <= begin {
            return;
        }
        self.len += end - begin;
        match self.pieces.last_mut() {
            Some(Piece::Made(range)) => range.end = end,
            _ => self.pieces.push(Piece::Made(begin..end)),
        }
    }

    /// Appends a part of `bytes`, which must lie within them, by a copy.
    pub(crate) fn copy(&mut self, bytes: &Bytes, range: Range<usize>) {
        let slice = bytes.get(range).unwrap_or_default();
        self.make(|made| made.extend_from_slice(slice));
    }

    /// Appends a part of `bytes`, which must lie within them, without a copy.
    pub(crate) fn share(&mut self, bytes: &Bytes, range: Range<usize>) {
        debug_assert!(range.end <= bytes.len());
        if range.is_empty() {
            return;
        }
        self.len += range.len();
        // The blocks of a window mostly lie in one chunk: it is held once for all of them.
        let held = |held: &Bytes| held.as_ptr() == bytes.as_ptr() && held.len() == bytes.len();
        if !self.shared.last().is_some_and(held) {
            self.shared.push(bytes.clone());
        }
        let index = self.shared.len() - 1;
        match self.pieces.last_mut() {
            Some(Piece::Shared(last, before)) if *last == index && before.end == range.start => {
                before.end = range.end;
            }
            _ => self.pieces.push(Piece::Shared(index, range)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_data_are_neither_copied_nor_held_twice() {
        let chunk = Bytes::from(vec![7; 100]);
        let mut buffer = SendBuffer::new();
        for block in 0..4 {
            buffer.make(|made| made.extend_from_slice(&[0, 3, 0, block]));
            let from = usize::from(block) * 10;
            buffer.share(&chunk, from..from + 4);
            buffer.share(&chunk, from + 4..from + 10);
        }
        buffer.share(&chunk, 100..100);
        let slices: Vec<_> = buffer.slices().collect();
        assert_eq!(slices.len(), 8);
        assert_eq!(slices[2], [0, 3, 0, 1]);
        assert_eq!(slices[3].as_ptr(), chunk[10..].as_ptr());
        assert_eq!((slices[3].len(), buffer.len()), (10, 56));
        assert_eq!(buffer.to_vec().len(), 56);
        assert!(!chunk.is_unique());
        buffer.clear();
        assert!(chunk.is_unique() && buffer.is_empty());
        assert_eq!(buffer.slices().len(), 0);
    }
}
