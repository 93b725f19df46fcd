//! A response as it goes over the wire, but for the bytes of files.

use http::header::{
    ACCEPT_RANGES, CONNECTION, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, DATE, ETAG, HeaderName,
    LAST_MODIFIED,
};
use http::{HeaderValue, Method, StatusCode, Version};

use super::answer::civil_time;
use crate::fields::http_date;
use crate::{Piece, Plan};

/// A planned response, its head written.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Response {
    pub(super) head: Vec<u8>,
    pub(super) body: Vec<Piece>,
    pub(super) status: StatusCode,
    pub(super) keep_alive: bool,
}

impl Response {
    /// The response of this plan to a request of this version.
    pub(super) fn new(version: Version, plan: Plan) -> Self {
        let mut head = Vec::with_capacity(320);
        put_status_line(&mut head, version, plan.status);
        for (name, value) in &plan.headers {
            put_field(&mut head, name, value);
        }
        head.extend_from_slice(b"\r\n");
        Self {
            head,
            body: plan.body,
            status: plan.status,
            keep_alive: plan.keep_alive,
        }
    }

    /// How many bytes the body has.
    pub(super) fn body_len(&self) -> u64 {
        self.body.iter().map(Piece::len).sum()
    }
}

fn put_status_line(head: &mut Vec<u8>, version: Version, status: StatusCode) {
    head.extend_from_slice(match version {
        Version::HTTP_10 => b"HTTP/1.0 ",
        _ => b"HTTP/1.1 ",
    });
    head.extend_from_slice(status.as_str().as_bytes());
    head.push(b' ');
    head.extend_from_slice(status.canonical_reason().unwrap_or_default().as_bytes());
    head.extend_from_slice(b"\r\n");
}

/// GRUB finds `Content-Length` with regard to case (grub-core/net/http.c, parse_line); without it,
/// it reads until the connection closes, which a kept one never does.
fn put_field(head: &mut Vec<u8>, name: &HeaderName, value: &HeaderValue) {
    match NAMES.iter().find(|(known, _)| known == name) {
        Some((_, name)) => head.extend_from_slice(name),
        None => put_name(head, name),
    }
    head.extend_from_slice(value.as_bytes());
    head.extend_from_slice(b"\r\n");
}

/// The fields that files have, as [`put_name`] writes them, those that always come first.
static NAMES: [(HeaderName, &[u8]); 8] = [
    (DATE, b"Date: "),
    (CONTENT_LENGTH, b"Content-Length: "),
    (CONTENT_TYPE, b"Content-Type: "),
    (LAST_MODIFIED, b"Last-Modified: "),
    (ETAG, b"Etag: "),
    (ACCEPT_RANGES, b"Accept-Ranges: "),
    (CONTENT_RANGE, b"Content-Range: "),
    (CONNECTION, b"Connection: "),
];

fn put_name(head: &mut Vec<u8>, name: &HeaderName) {
    let begin = head.len();
    head.extend_from_slice(name.as_str().as_bytes());
    let name = head.get_mut(begin..).unwrap_or_default();
    for word in name.split_mut(|&byte| byte == b'-') {
        if let Some(first) = word.first_mut() {
            first.make_ascii_uppercase();
        }
    }
    head.extend_from_slice(b": ");
}

/// A whole response for what is no request that could be planned: the connection closes after it.
/// `method` is that of the request, if it was read.
pub(super) fn refusal(
    method: Option<&Method>,
    status: StatusCode,
    cause: &str,
    retry_after_seconds: Option<u64>,
) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(256);
    put_status_line(&mut bytes, Version::HTTP_11, status);
    // RFC 9110 section 6.6.1: whoever has a clock sends it with each 4xx.
    if let Some(date) = http_date(civil_time().seconds) {
        put_field(&mut bytes, &DATE, &date);
    }
    if let Some(seconds) = retry_after_seconds {
        let field = format!("Retry-After: {seconds}\r\n");
        bytes.extend_from_slice(field.as_bytes());
    }
    let reason = status.canonical_reason().unwrap_or_default();
    let page = format!("{} {reason}\n{cause}\n", status.as_str());
    let fields = format!(
        "Content-Length: {}\r\nContent-Type: text/plain; charset=utf-8\r\n\
         Connection: close\r\n\r\n",
        page.len()
    );
    bytes.extend_from_slice(fields.as_bytes());
    // RFC 9110 section 8.6: HEAD is told the length that GET would get.
    if method != Some(&Method::HEAD) {
        bytes.extend_from_slice(page.as_bytes());
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_are_written_in_one_piece_are_as_all_others() {
        for (name, known) in &NAMES {
            let mut made = Vec::new();
            put_name(&mut made, name);
            assert_eq!(made, *known);
        }
    }
}
