//! The part of a file that a transfer's window covers, as it appears on the wire.

use std::collections::VecDeque;

use bytes::Bytes;

use crate::negotiate::Mode;
use crate::packets::Packets;
use crate::send_buffer::SendBuffer;

/// Most that one `Want` asks for, in bytes, unless one block is larger.
const WANT_BYTES_MAX: u64 = 1 << 20;
/// Raw bytes that a netascii transfer asks for at a time: their conversion is memory of its own.
const NETASCII_WANT_BYTES: u64 = 1 << 10;

/// A window on the stream of octets that DATA packets carry.
///
/// Octet transfers keep the driver's `Bytes`, so that all transfers of a file share its chunks.
#[derive(Debug)]
pub(crate) struct Content {
    /// The file's length, in bytes.
    len: u64,
    form: Form,
}

#[derive(Debug)]
enum Form {
    Octet {
        /// Contiguous; the first holds the oldest octet that may be sent again.
        chunks: VecDeque<Chunk>,
        /// Where the last chunk ends.
        end: u64,
    },
    Netascii {
        /// Converted octets, from `start` of the converted stream on.
        stream: VecDeque<u8>,
        start: u64,
        /// How much of the file is converted.
        raw_end: u64,
    },
}

#[derive(Debug)]
enum Chunk {
    Data { offset: u64, bytes: Bytes },
    Packets(Packets),
}

impl Chunk {
    fn end(&self) -> u64 {
        match self {
            Self::Data { offset, bytes } => offset + bytes.len() as u64,
            Self::Packets(packets) => packets.end(),
        }
    }
}

/// Data that were not asked for, or none where the file should go on.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Unexpected;

impl Content {
    pub(crate) fn new(mode: Mode, len: u64) -> Self {
        let form = match mode {
            Mode::Octet => Form::Octet {
                chunks: VecDeque::new(),
                end: 0,
            },
            Mode::Netascii => Form::Netascii {
                stream: VecDeque::new(),
                start: 0,
                raw_end: 0,
            },
        };
        Self { len, form }
    }

    pub(crate) const fn file_len(&self) -> u64 {
        self.len
    }

    /// Where the octets end that are at hand.
    fn end(&self) -> u64 {
        match &self.form {
            Form::Octet { end, .. } => *end,
            Form::Netascii { stream, start, .. } => start + stream.len() as u64,
        }
    }

    /// The length of the stream; not known for text before all of it is converted.
    pub(crate) fn total(&self) -> Option<u64> {
        match &self.form {
            Form::Octet { .. } => Some(self.len),
            Form::Netascii { raw_end, .. } => (*raw_end >= self.len).then(|| self.end()),
        }
    }

    /// The number of the last block (RFC 1350 section 6: the first that is not full).
    pub(crate) fn last_block(&self, blksize: u16) -> Option<u64> {
        Some(self.total()? / u64::from(blksize) + 1)
    }

    /// Octets in block `block` (from 1); `None` while they are not at hand, and past the end.
    pub(crate) fn block_len(&self, block: u64, blksize: u16) -> Option<usize> {
        let start = block.checked_sub(1)?.checked_mul(blksize.into())?;
        let full_end = start.checked_add(blksize.into())?;
        let end = match self.total() {
            Some(total) if start > total => return None,
            Some(total) => full_end.min(total),
            None => full_end,
        };
        (end <= self.end()).then_some((end - start) as usize)
    }

    /// What to ask the driver for, so that the stream is at hand up to `upto`.
    pub(crate) fn want(&self, upto: u64, chunk_bytes: usize) -> Option<(u64, usize)> {
        if self.end() >= upto {
            return None;
        }
        let (from, goal) = match &self.form {
            Form::Octet { end, .. } => {
                let chunk = chunk_bytes.max(1) as u64;
                let goal = upto.min(self.len).div_ceil(chunk).saturating_mul(chunk);
                let most = (end / chunk * chunk).saturating_add(WANT_BYTES_MAX.max(chunk));
                (*end, goal.min(most))
            }
            Form::Netascii { raw_end, .. } => (*raw_end, raw_end + NETASCII_WANT_BYTES),
        };
        let goal = goal.min(self.len);
        (goal > from).then(|| (from, (goal - from) as usize))
    }

    /// Takes what the driver read at `offset` of the file: any part, but not none, of what was
    /// asked for. What exceeds the file's length is cut off.
    pub(crate) fn supply(&mut self, offset: u64, bytes: Bytes) -> Result<(), Unexpected> {
        let expected = match &self.form {
            Form::Octet { end, .. } => *end,
            Form::Netascii { raw_end, .. } => *raw_end,
        };
        let room = self.len.saturating_sub(offset);
        if offset != expected || bytes.is_empty() || room == 0 {
            return Err(Unexpected);
        }
        let take = usize::try_from(room).unwrap_or(usize::MAX).min(bytes.len());
        let bytes = if take < bytes.len() {
            bytes.slice(..take)
        } else {
            bytes
        };
        match &mut self.form {
            Form::Octet { chunks, end } => {
                *end += bytes.len() as u64;
                chunks.push_back(Chunk::Data { offset, bytes });
            }
            Form::Netascii {
                stream, raw_end, ..
            } => {
                *raw_end += bytes.len() as u64;
                // Each octet is converted by itself, so the edges of chunks do not matter.
                for &byte in &bytes {
                    match byte {
                        b'\n' => stream.extend(b"\r\n"),
                        b'\r' => stream.extend(b"\r\0"),
                        byte => stream.push_back(byte),
                    }
                }
            }
        }
        Ok(())
    }

    /// Takes packets of blocks of this size, whose data begin where what is at hand ends: whole
    /// blocks, or the rest of the file.
    pub(crate) fn supply_packets(
        &mut self,
        blksize: u16,
        packets: Packets,
    ) -> Result<(), Unexpected> {
        let upto = packets.end();
        let whole = upto == self.len || upto.is_multiple_of(u64::from(blksize.max(1)));
        match &mut self.form {
            Form::Octet { chunks, end }
                if packets.offset() == *end
                    && packets.blksize() == blksize
                    && (*end..=self.len).contains(&upto)
                    && upto > *end
                    && whole =>
            {
                *end = upto;
                chunks.push_back(Chunk::Packets(packets));
                Ok(())
            }
            _ => Err(Unexpected),
        }
    }

    /// Appends packets that lie ready, at most `count` from that of `block` on; how many there were.
    pub(crate) fn append_packets(&self, block: u64, count: u64, out: &mut SendBuffer) -> u64 {
        let Form::Octet { chunks, .. } = &self.form else {
            return 0;
        };
        for chunk in chunks {
            let Chunk::Packets(packets) = chunk else {
                continue;
            };
            let offset = (block - 1) * u64::from(packets.blksize());
            if let Some((range, count)) = packets.find(offset, count) {
                out.share(packets.bytes(), range);
                return count;
            }
        }
        0
    }

    /// Appends `len` octets from `offset` of the stream on; they have to be at hand. `copied`: in
    /// one piece with what is before.
    pub(crate) fn append(&self, offset: u64, len: usize, copied: bool, out: &mut SendBuffer) {
        match &self.form {
            Form::Octet { chunks, .. } => {
                let mut at = offset;
                let end = offset + len as u64;
                for chunk in chunks {
                    if at >= end {
                        break;
                    }
                    if at >= chunk.end() {
                        continue;
                    }
                    // Packets hold whole blocks, and leave as such.
                    if let Chunk::Data { offset, bytes } = chunk {
                        let from = (at - offset) as usize;
                        let upto = (end.min(chunk.end()) - offset) as usize;
                        match copied {
                            true => out.copy(bytes, from..upto),
                            false => out.share(bytes, from..upto),
                        }
                    }
                    at = chunk.end();
                }
            }
            Form::Netascii { stream, start, .. } => {
                let from = (offset - start) as usize;
                out.make(|made| made.extend(stream.iter().skip(from).take(len)));
            }
        }
    }

    /// Lets go of what precedes `offset` of the stream: it is acknowledged.
    pub(crate) fn release(&mut self, offset: u64) {
        match &mut self.form {
            Form::Octet { chunks, .. } => {
                while chunks.front().is_some_and(|chunk| chunk.end() <= offset) {
                    chunks.pop_front();
                }
            }
            Form::Netascii { stream, start, .. } => {
                let released = offset.saturating_sub(*start).min(stream.len() as u64);
                stream.drain(..released as usize);
                *start += released;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn netascii_is_converted_across_chunk_edges() {
        let text = b"a\r\nb\rc\n\n\r";
        let expected = b"a\r\0\r\nb\r\0c\r\n\r\n\r\0";
        for cut in 1..text.len() {
            let mut content = Content::new(Mode::Netascii, text.len() as u64);
            content
                .supply(0, Bytes::copy_from_slice(&text[..cut]))
                .unwrap();
            assert_eq!(content.last_block(8), None);
            content
                .supply(cut as u64, Bytes::copy_from_slice(&text[cut..]))
                .unwrap();
            assert_eq!(content.last_block(8), Some(2));
            let mut out = SendBuffer::new();
            for block in 1..=2 {
                let len = content.block_len(block, 8).unwrap();
                content.append((block - 1) * 8, len, false, &mut out);
                content.release(block * 8);
            }
            assert_eq!(out.to_vec(), expected);
        }
    }

    #[test]
    fn a_short_or_displaced_chunk_is_no_end_of_file() {
        let mut content = Content::new(Mode::Octet, 10);
        assert_eq!(content.want(10, 4), Some((0, 10)));
        assert_eq!(content.supply(0, Bytes::new()), Err(Unexpected));
        assert_eq!(content.supply(1, Bytes::from_static(b"x")), Err(Unexpected));
        content.supply(0, Bytes::from_static(b"0123")).unwrap();
        assert_eq!(content.want(10, 4), Some((4, 6)));
        assert_eq!(content.block_len(1, 8), None);
        content
            .supply(4, Bytes::from_static(b"456789 and more"))
            .unwrap();
        assert_eq!(content.block_len(1, 8), Some(8));
        assert_eq!(content.block_len(2, 8), Some(2));
        assert_eq!(content.block_len(3, 8), None);
        assert_eq!(
            content.supply(10, Bytes::from_static(b"x")),
            Err(Unexpected)
        );
    }

    #[test]
    fn packets_are_appended_in_one_piece_beside_plain_data() {
        let file: Vec<u8> = (0..30).collect();
        let packets = |range: std::ops::Range<usize>, blksize| {
            let offset = range.start as u64;
            Packets::of_data(&file[range], blksize, offset).expect("a block begins there")
        };
        let mut content = Content::new(Mode::Octet, 30);
        // Of other blocks, and not all of one that is not the last.
        assert_eq!(content.supply_packets(8, packets(0..4, 4)), Err(Unexpected));
        assert_eq!(content.supply_packets(8, packets(0..9, 8)), Err(Unexpected));
        assert_eq!(
            content.supply_packets(8, packets(8..16, 8)),
            Err(Unexpected)
        );
        content.supply_packets(8, packets(0..16, 8)).unwrap();
        content
            .supply(16, Bytes::copy_from_slice(&file[16..24]))
            .unwrap();
        assert_eq!(
            content.supply_packets(8, packets(24..24, 8)),
            Err(Unexpected)
        );
        content.supply_packets(8, packets(24..30, 8)).unwrap();
        let append = |block, count| {
            let mut out = SendBuffer::new();
            let count = content.append_packets(block, count, &mut out);
            (count, out.to_vec())
        };
        let whole = packets(0..16, 8).bytes().to_vec();
        assert_eq!(append(1, 9), (2, whole.clone()));
        assert_eq!(append(2, 1), (1, whole[12..].to_vec()));
        assert_eq!(append(3, 9), (0, vec![]));
        assert_eq!(append(4, 9), (1, packets(24..30, 8).bytes().to_vec()));
        assert_eq!(append(5, 9), (0, vec![]));
        let mut text = Content::new(Mode::Netascii, 30);
        assert_eq!(text.supply_packets(8, packets(0..16, 8)), Err(Unexpected));
    }

    #[test]
    fn wants_end_at_chunk_edges() {
        let mut content = Content::new(Mode::Octet, 1000);
        assert_eq!(content.want(10, 64), Some((0, 64)));
        content.supply(0, Bytes::from(vec![0; 50])).unwrap();
        assert_eq!(content.want(51, 64), Some((50, 14)));
        assert_eq!(content.want(50, 64), None);
        assert_eq!(content.want(2000, 64), Some((50, 950)));
    }

    #[test]
    fn empty_and_full_files_end_with_an_empty_block() {
        let content = Content::new(Mode::Octet, 0);
        assert_eq!(content.block_len(1, 512), Some(0));
        assert_eq!(content.block_len(2, 512), None);
        assert_eq!(content.last_block(512), Some(1));
        let mut content = Content::new(Mode::Octet, 512);
        content.supply(0, Bytes::from(vec![0; 512])).unwrap();
        assert_eq!(content.block_len(1, 512), Some(512));
        assert_eq!(content.block_len(2, 512), Some(0));
        assert_eq!(content.last_block(512), Some(2));
    }
}
