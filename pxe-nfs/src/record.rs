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
    record_bytes_max: usize,
}

/// A record is longer than it may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TooLong;

const LAST: u32 = 1 << 31;
const MARK_LEN: usize = 4;
/// Fragments of one record: nobody sends more than one.
const FRAGMENTS_MAX: usize = 1024;

impl Records {
    pub(crate) fn new(record_bytes_max: usize) -> Self {
        Self {
            buffer: BytesMut::new(),
            begun: BytesMut::new(),
            fragments: 0,
            record_bytes_max,
        }
    }

    /// The same, for records of other lengths from now on.
    pub(crate) fn set_record_bytes_max(&mut self, record_bytes_max: usize) {
        self.record_bytes_max = record_bytes_max;
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
            let is_last = mark & LAST != 0;
            if is_last && self.begun.is_empty() {
                self.fragments = 0;
                return Ok(Some(fragment.freeze()));
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
