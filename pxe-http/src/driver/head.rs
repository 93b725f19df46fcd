//! A request's head, out of the bytes of a connection.

use std::cell::Cell;
use std::mem::MaybeUninit;

use http::{HeaderMap, HeaderName, HeaderValue, Method, Version};

use crate::RequestHead;

/// Header fields of one request; RFC 9110 section 5.4 lets a server refuse more with 4xx.
const FIELDS_MAX: usize = 100;

/// A request's head, apart from the bytes that it was read from.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) method: Method,
    pub(crate) target: String,
    pub(crate) version: Version,
    pub(crate) headers: HeaderMap,
}

/// Why bytes are no head that is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// No HTTP/1.x; what is wrong with it.
    Malformed(&'static str),
    /// More fields than [`FIELDS_MAX`], or more bytes than are allowed.
    TooLong,
    /// The same, and the request line alone is too long already.
    TargetTooLong,
}

impl Head {
    pub(crate) fn request(&self) -> RequestHead<'_> {
        RequestHead::new(&self.method, &self.target, self.version, &self.headers)
    }

    /// The head at the beginning of these bytes, and its length; `None` if it does not end in
    /// them. It may have so many bytes.
    pub(crate) fn parse(bytes: &[u8], len_max: usize) -> Result<Option<(Self, usize)>, Refusal> {
        let too_long = || match bytes.iter().take(len_max).any(|&byte| byte == b'\n') {
            true => Refusal::TooLong,
            false => Refusal::TargetTooLong,
        };
        let mut fields = [const { MaybeUninit::uninit() }; FIELDS_MAX];
        let mut request = httparse::Request::new(&mut []);
        let len = match request.parse_with_uninit_headers(bytes, &mut fields) {
            Ok(httparse::Status::Complete(len)) if len <= len_max => len,
            Ok(httparse::Status::Partial) if bytes.len() < len_max => return Ok(None),
            Ok(_) => return Err(too_long()),
            Err(httparse::Error::TooManyHeaders) => return Err(Refusal::TooLong),
            Err(error) => return Err(Refusal::Malformed(cause(error))),
        };
        let missing = Refusal::Malformed("invalid request line");
        let method = request.method.ok_or(missing)?;
        let mut headers = SPARE.take();
        headers.reserve(request.headers.len());
        for field in &*request.headers {
            let name = HeaderName::from_bytes(field.name.as_bytes())
                .map_err(|_| Refusal::Malformed("invalid header name"))?;
            let value = HeaderValue::from_bytes(field.value)
                .map_err(|_| Refusal::Malformed("invalid header value"))?;
            headers.append(name, value);
        }
        let head = Self {
            method: Method::from_bytes(method.as_bytes()).map_err(|_| missing)?,
            target: request.path.ok_or(missing)?.to_owned(),
            version: match request.version {
                Some(0) => Version::HTTP_10,
                _ => Version::HTTP_11,
            },
            headers,
        };
        Ok(Some((head, len)))
    }
}

thread_local! {
    /// Memory for the fields of this thread's next request.
    static SPARE: Cell<HeaderMap> = Cell::default();
}

impl Drop for Head {
    fn drop(&mut self) {
        let mut headers = std::mem::take(&mut self.headers);
        headers.clear();
        if headers.capacity() <= FIELDS_MAX {
            // At its end, the thread has none any more.
            let _ = SPARE.try_with(|spare| spare.set(headers));
        }
    }
}

const fn cause(error: httparse::Error) -> &'static str {
    match error {
        httparse::Error::HeaderName => "invalid header name",
        httparse::Error::HeaderValue => "invalid header value",
        httparse::Error::NewLine => "invalid end of line",
        httparse::Error::Version => "invalid HTTP version",
        _ => "invalid request line",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GET: &[u8] = b"GET /a?b HTTP/1.0\r\nHost: x\r\nA: 1\r\na: 2\r\n\r\nGET";

    #[test]
    fn a_head_ends_with_its_empty_line() {
        for len in 0..GET.len() - 3 {
            assert_eq!(Head::parse(&GET[..len], 1000), Ok(None), "{len} bytes");
        }
        let (head, len) = Head::parse(GET, 1000).expect("valid").expect("complete");
        assert_eq!(len, GET.len() - 3);
        assert_eq!((&head.method, &*head.target), (&Method::GET, "/a?b"));
        assert_eq!(head.version, Version::HTTP_10);
        let values: Vec<_> = head.headers.get_all("a").iter().collect();
        assert_eq!(values, ["1", "2"]);
    }

    #[test]
    fn heads_are_bounded_in_bytes_and_fields() {
        let line = format!("GET /{} HTTP/1.1\r\n", "a".repeat(100));
        assert_eq!(
            Head::parse(line.as_bytes(), 90),
            Err(Refusal::TargetTooLong)
        );
        assert_eq!(Head::parse(line.as_bytes(), 116), Err(Refusal::TooLong));
        assert_eq!(Head::parse(line.as_bytes(), 117), Ok(None));
        for (count, refused) in [(100, false), (101, true)] {
            let head = format!("GET / HTTP/1.1\r\n{}\r\n", "a:b\r\n".repeat(count));
            let parsed = Head::parse(head.as_bytes(), 1000);
            assert_eq!(parsed == Err(Refusal::TooLong), refused, "{count} fields");
        }
    }

    #[test]
    fn nothing_is_left_of_the_request_before() {
        for _ in 0..2 {
            let (first, _) = Head::parse(GET, 1000).expect("valid").expect("complete");
            assert_eq!(first.headers.len(), 3);
            drop(first);
            let next = Head::parse(b"GET / HTTP/1.1\r\nB: 3\r\n\r\n", 1000);
            let (next, _) = next.expect("valid").expect("complete");
            let fields: Vec<_> = next.headers.iter().collect();
            let field = (
                &HeaderName::from_static("b"),
                &HeaderValue::from_static("3"),
            );
            assert_eq!(fields, [field]);
        }
    }

    /// RFC 9112 sections 2.2, 3 and 5.1: these make two readers of a request see different ones.
    #[test]
    fn what_two_readers_may_understand_differently_is_refused() {
        for head in [
            "GET / HTTP/2.0\r\n\r\n",
            "GET / HTTP/1.1\r\nA : b\r\n\r\n",
            "GET / HTTP/1.1\r\nA: b\r\n c\r\n\r\n",
            "GET / HTTP/1.1\r\nA: b\0c\r\n\r\n",
            "GET / HTTP/1.1\r\nA: b\rc\r\n\r\n",
            "GET  / HTTP/1.1\r\n\r\n",
            "GET /\r\n\r\n",
        ] {
            let parsed = Head::parse(head.as_bytes(), 1000);
            assert!(matches!(parsed, Err(Refusal::Malformed(_))), "{head:?}");
        }
    }
}
