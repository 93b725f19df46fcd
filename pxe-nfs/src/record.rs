//! Record marking (RFC 5531 section 11): messages in a stream of bytes.

use bytes::{Buf, Bytes, BytesMut};

/// Puts fragments together.
///
/// Bytes are appended to `buffer`; [`next`](Self::next) takes whole records off it. What is
/// announced is bounded before it is waited for.
#[derive(Debug)]
pub(crate) struct Records {
    pub(crate) buffer: BytesMut,
    /// Fragments of a record whose last one did not come yet.
    begun: BytesMut,
    fragments: usize,
    /// The longest fragment since the buffer was made.
    longest: usize,
    record_bytes_max: usize,
}

/// A record is longer than it may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TooLong;

const LAST: u32 = 1 << 31;
const MARK_LEN: usize = 4;
/// Records of at most so many bytes never share memory with longer ones.
const SHORT_BYTES: usize = 16 * 1024;
/// Fragments of one record: nobody sends more than one.
pub(crate) const FRAGMENTS_MAX: usize = 1024;

impl Records {
    pub(crate) fn new(record_bytes_max: usize) -> Self {
        Self {
            buffer: BytesMut::new(),
            begun: BytesMut::new(),
            fragments: 0,
            longest: 0,
            record_bytes_max,
        }
    }

    /// Gives back the memory of long records, if nothing is being received.
    pub(crate) fn shrink(&mut self, bytes_kept: usize) {
        if self.buffer.is_empty() && self.longest > bytes_kept {
            self.buffer = BytesMut::new();
            self.longest = 0;
        }
    }

    /// How many bytes are missing of the fragment that is being received; 0 if its mark is.
    pub(crate) fn missing(&self) -> usize {
        let announced = self.buffer.first_chunk::<MARK_LEN>().map_or(0, |mark| {
            let len = u32::from_be_bytes(*mark) & !LAST;
            usize::try_from(len).unwrap_or(usize::MAX)
        });
        announced.saturating_sub(self.buffer.len().saturating_sub(MARK_LEN))
    }

    /// The next whole record, if it is there.
    pub(crate) fn next(&mut self) -> Result<Option<Bytes>, TooLong> {
        loop {
            let Some(mark) = self.buffer.first_chunk::<MARK_LEN>() else {
                return Ok(None);
            };
            let mark = u32::from_be_bytes(*mark);
            let len = usize::try_from(mark & !LAST).map_err(|_| TooLong)?;
            if len > self.record_bytes_max.saturating_sub(self.begun.len())
                || self.fragments > FRAGMENTS_MAX
            {
                return Err(TooLong);
            }
            if self.buffer.len() - MARK_LEN < len {
                return Ok(None);
            }
            self.buffer.advance(MARK_LEN);
            let fragment = self.buffer.split_to(len);
            self.longest = self.longest.max(len);
            let is_last = mark & LAST != 0;
            if is_last && self.begun.is_empty() {
                self.fragments = 0;
                return Ok(Some(
                    match len <= SHORT_BYTES && self.longest > SHORT_BYTES {
                        // It may be held for long, and would hold the buffer of a long one.
                        true => Bytes::copy_from_slice(&fragment),
                        false => fragment.freeze(),
                    },
                ));
            }
            self.begun.extend_from_slice(&fragment);
            self.fragments += 1;
            if is_last {
                self.fragments = 0;
                return Ok(Some(self.begun.split().freeze()));
            }
        }
    }
}

/// The mark of a reply, which is one fragment.
pub(crate) fn mark(len: usize) -> [u8; MARK_LEN] {
    // Replies are bounded far below 2^31.
    (LAST | u32::try_from(len).unwrap_or(0)).to_be_bytes()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MAX: usize = 64;

    fn fragment(body: &[u8], is_last: bool) -> Vec<u8> {
        let mut bytes = mark(body.len()).to_vec();
        if !is_last {
            bytes[0] &= 0x7f;
        }
        bytes.extend_from_slice(body);
        bytes
    }

    /// All records of a stream that comes in pieces.
    fn records(stream: &[u8], piece: usize) -> Result<Vec<Bytes>, TooLong> {
        let mut records = Records::new(MAX);
        let mut whole = Vec::new();
        for bytes in stream.chunks(piece) {
            records.buffer.extend_from_slice(bytes);
            while let Some(record) = records.next()? {
                whole.push(record);
            }
        }
        Ok(whole)
    }

    #[test]
    fn fragments_are_put_together() {
        let stream = [
            fragment(b"one", true),
            fragment(b"", false),
            fragment(b"tw", false),
            fragment(b"", false),
            fragment(b"o", true),
            fragment(b"", true),
            fragment(b"four", false),
            fragment(b"", true),
        ];
        for piece in 1..30 {
            let records = records(&stream.concat(), piece).expect("short");
            assert_eq!(records, [&b"one"[..], b"two", b"", b"four"], "{piece}");
        }
    }

    #[test]
    fn what_is_announced_is_bounded() {
        let longest = fragment(&[7; MAX], true);
        assert_eq!(records(&longest, 9).map(|all| all.len()), Ok(1));
        for too_long in [
            // Told by the mark alone.
            mark(MAX + 1).to_vec(),
            mark(0x7fff_ffff).to_vec(),
            [fragment(&[7; MAX], false), mark(1).to_vec()].concat(),
        ] {
            assert_eq!(records(&too_long, 4), Err(TooLong));
        }
        let whole = [fragment(&[7; MAX], false), fragment(b"", true)].concat();
        assert_eq!(records(&whole, 4).map(|all| all.len()), Ok(1));
    }

    /// Fragments without bytes take time and lead nowhere.
    #[test]
    fn fragments_are_counted() {
        let endless = fragment(b"", false).repeat(FRAGMENTS_MAX + 2);
        assert_eq!(records(&endless, 4096), Err(TooLong));
        let many = [
            fragment(b"", false).repeat(FRAGMENTS_MAX),
            fragment(b"x", true),
        ]
        .concat();
        // Each record has its own count.
        let twice = records(&many.repeat(2), 4096).expect("few enough");
        assert_eq!(twice, [&b"x"[..], b"x"]);
    }

    /// A call may be under way for long: it must not keep what a WRITE before it needed.
    #[test]
    fn a_short_record_keeps_no_long_buffer() {
        let mut records = Records::new(1 << 20);
        let long = fragment(&[7; 1 << 20], true);
        for mark in [&long, &fragment(b"a", true), &fragment(b"b", true)] {
            records.buffer.extend_from_slice(mark);
        }
        let long = records.next().expect("short enough").expect("a record");
        assert_eq!(long.len(), 1 << 20);
        drop(long);
        for expected in [b"a", b"b"] {
            let short = records.next().expect("short enough").expect("a record");
            assert_eq!(short, &expected[..]);
            assert!(short.is_unique(), "its memory is its own");
        }
    }

    #[test]
    fn what_is_missing_is_told() {
        let mut records = Records::new(MAX);
        assert_eq!(records.missing(), 0);
        records.buffer.extend_from_slice(&mark(9)[..3]);
        assert_eq!(records.missing(), 0);
        records.buffer.extend_from_slice(&mark(9)[3..]);
        assert_eq!(records.missing(), 9);
        records.buffer.extend_from_slice(b"nine byte");
        assert_eq!(records.missing(), 0);
    }

    proptest! {
        #[test]
        fn records_come_out_as_they_went_in(
            all in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..MAX), 0..6),
            cut in 1..MAX,
            piece in 1..90_usize,
        ) {
            let mut stream = Vec::new();
            for record in &all {
                let mut rest = &record[..];
                while rest.len() > cut {
                    stream.extend(fragment(&rest[..cut], false));
                    rest = &rest[cut..];
                }
                stream.extend(fragment(rest, true));
            }
            let read = records(&stream, piece).expect("short enough");
            prop_assert_eq!(read, all);
        }
    }
}
