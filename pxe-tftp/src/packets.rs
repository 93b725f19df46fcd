//! DATA packets that lie ready, one behind the other.

use bytes::Bytes;

use crate::wire::Opcode;

/// Octets of a DATA packet before its payload.
const HEADER_BYTES: usize = 4;

/// The DATA packets of consecutive blocks of a file, one behind the other, as one send takes them.
///
/// A block has the same number in all transfers with one block size, so that all of them can share
/// packets. A driver makes them for [`Engine::handle_packets`](crate::Engine::handle_packets): the
/// system copies a window that lies in one piece twice as fast as headers and blocks in turns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packets {
    bytes: Bytes,
    blksize: u16,
    /// Of the first block, in the file.
    offset: u64,
}

impl Packets {
    /// Takes packets that [`spread`](Self::spread) has made, for blocks from `offset` of the file
    /// on. `None`: no block of this size begins there.
    pub fn new(bytes: Bytes, blksize: u16, offset: u64) -> Option<Self> {
        let begins = blksize > 0 && offset.is_multiple_of(blksize.into());
        begins.then_some(Self {
            bytes,
            blksize,
            offset,
        })
    }

    /// Copies data of the file from `offset` on into packets.
    pub fn of_data(data: &[u8], blksize: u16, offset: u64) -> Option<Self> {
        let mut bytes = vec![0; Self::room(data.len(), blksize)];
        let start = bytes.len() - data.len();
        bytes.get_mut(start..)?.copy_from_slice(data);
        Self::spread(&mut bytes, data.len(), blksize, offset);
        Self::new(bytes.into(), blksize, offset)
    }

    /// How many octets the packets of `len` octets of data take.
    pub const fn room(len: usize, blksize: u16) -> usize {
        let blksize = if blksize == 0 { 1 } else { blksize as usize };
        len.saturating_add(len.div_ceil(blksize).saturating_mul(HEADER_BYTES))
    }

    /// Makes packets of the last `len` octets of `buffer`, data of the file from `offset` on, where
    /// they are: the buffer has [`room`](Self::room), or more. Returns how long they are.
    ///
    /// A second buffer would take that much more of a cache, and time.
    ///
    /// # Panics
    ///
    /// If the buffer has less room than that.
    pub fn spread(buffer: &mut [u8], len: usize, blksize: u16, offset: u64) -> usize {
        let size = usize::from(blksize.max(1));
        let mut number = offset / size as u64;
        let mut from = buffer.len().saturating_sub(len);
        let mut to = 0;
        while from < buffer.len() {
            let count = size.min(buffer.len() - from);
            number += 1;
            // The header's place is free: what lay there was moved before, or never was data.
            buffer.copy_within(from..from + count, to + HEADER_BYTES);
            let [high, low] = Opcode::DATA.0.to_be_bytes();
            // The number wraps to 0 after 65535, as every client expects that gets that far.
            let [first, second] = (number as u16).to_be_bytes();
            if let Some(header) = buffer.get_mut(to..to + HEADER_BYTES) {
                header.copy_from_slice(&[high, low, first, second]);
            }
            to += HEADER_BYTES + count;
            from += count;
        }
        to
    }

    pub(crate) const fn blksize(&self) -> u16 {
        self.blksize
    }

    /// Where their data begin in the file.
    pub(crate) const fn offset(&self) -> u64 {
        self.offset
    }

    /// Where their data end in the file.
    pub(crate) fn end(&self) -> u64 {
        let headers = self.bytes.len().div_ceil(self.packet_bytes()) * HEADER_BYTES;
        self.offset + self.bytes.len().saturating_sub(headers) as u64
    }

    fn packet_bytes(&self) -> usize {
        usize::from(self.blksize) + HEADER_BYTES
    }

    /// All of them, in one piece.
    pub(crate) const fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// Where at most `count` packets lie, from the one on whose block begins at `offset`, and how
    /// many there are.
    pub(crate) fn find(&self, offset: u64, count: u64) -> Option<(std::ops::Range<usize>, u64)> {
        let ahead = offset.checked_sub(self.offset)?;
        let index = usize::try_from(ahead / u64::from(self.blksize)).ok()?;
        let from = index.checked_mul(self.packet_bytes())?;
        let left = self.bytes.len().checked_sub(from)?;
        let there = left.div_ceil(self.packet_bytes());
        let count = there.min(usize::try_from(count).unwrap_or(usize::MAX));
        let upto = left.min(count * self.packet_bytes());
        (count > 0).then_some((from..from + upto, count as u64))
    }

    /// Those from the block on that begins at `offset`.
    #[cfg(feature = "tokio")]
    pub(crate) fn since(&self, offset: u64) -> Option<Self> {
        let (range, _) = self.find(offset, u64::MAX)?;
        Self::new(self.bytes.slice(range), self.blksize, offset)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_become_packets_where_they_are() {
        let data: Vec<u8> = (0..20).collect();
        let packets = Packets::of_data(&data, 8, 8 * 65_535).expect("a block begins there");
        let expected = [
            &[0, 3, 0, 0][..],
            &data[..8],
            &[0, 3, 0, 1],
            &data[8..16],
            &[0, 3, 0, 2],
            &data[16..],
        ];
        assert_eq!(packets.bytes(), &expected.concat());
        assert_eq!((packets.offset(), packets.end()), (524_280, 524_300));
        assert_eq!(packets.find(524_280, 2), Some((0..24, 2)));
        assert_eq!(packets.find(524_288, 9), Some((12..32, 2)));
        assert_eq!(packets.find(524_304, 1), None);
        assert_eq!(packets.find(0, 1), None);
        assert_eq!(Packets::of_data(&data, 8, 4), None);
        assert_eq!(Packets::of_data(&data, 0, 0), None);
        let empty = Packets::of_data(&[], 8, 8).expect("a block begins there");
        assert_eq!((empty.end(), empty.find(8, 1)), (8, None));
    }
}
