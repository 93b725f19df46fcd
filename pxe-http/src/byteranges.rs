//! Several ranges of a file in one body (RFC 9110 section 14.6).

use std::fmt::Write;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::ops::Range;

use bytes::Bytes;
use http::HeaderValue;
use pxe_tree::{Attributes, Timestamp};

use crate::Piece;
use crate::fields::field_value;

/// A `multipart/byteranges` body.
pub(crate) struct Byteranges {
    /// The value of `Content-Type`.
    pub(crate) content_type: HeaderValue,
    /// What each part begins with, the bytes of the file, and the end.
    pub(crate) body: Vec<Piece>,
}

impl Byteranges {
    /// The body of these ranges of a file, in this order.
    pub(crate) fn new(
        ranges: &[Range<u64>],
        attributes: &Attributes,
        media_type: &HeaderValue,
        now: Timestamp,
    ) -> Self {
        const PART_LEN: usize = 160;
        let boundary = boundary(ranges, attributes, now);
        // Types that are no text are none that a part could have.
        let media_type = media_type.to_str().unwrap_or("application/octet-stream");
        let len = attributes.len;
        // All text in one buffer, of which the pieces are slices.
        let mut text = String::with_capacity(PART_LEN * (ranges.len() + 1));
        let mut ends = Vec::with_capacity(ranges.len());
        for range in ranges {
            if !text.is_empty() {
                text.push_str("\r\n");
            }
            let Range { start, end } = range;
            let _ = write!(
                text,
                "--{boundary}\r\nContent-Type: {media_type}\r\n\
                 Content-Range: bytes {start}-{}/{len}\r\n\r\n",
                end.saturating_sub(1)
            );
            ends.push(text.len());
        }
        let _ = write!(text, "\r\n--{boundary}--\r\n");
        let text = Bytes::from(text);
        let mut body = Vec::with_capacity(2 * ranges.len() + 1);
        let mut begin = 0;
        for (range, end) in ranges.iter().zip(ends) {
            body.push(Piece::Text(text.slice(begin..end)));
            body.push(Piece::File(range.clone()));
            begin = end;
        }
        body.push(Piece::Text(text.slice(begin..)));
        let content_type = format_args!("multipart/byteranges; boundary={boundary}");
        Self {
            // Visible ASCII alone, so that there is a value.
            content_type: field_value(content_type)
                .unwrap_or(HeaderValue::from_static("multipart/byteranges")),
            body,
        }
    }
}

/// A line that no file has in it by chance, nor on purpose: whoever writes a file does not know
/// the nanosecond of a later request.
fn boundary(ranges: &[Range<u64>], attributes: &Attributes, now: Timestamp) -> String {
    let mut hasher = DefaultHasher::new();
    let Attributes {
        fsid,
        fileid,
        change,
        ..
    } = *attributes;
    (now, fsid, fileid, change, ranges).hash(&mut hasher);
    format!("{:016x}", hasher.finish())
}
