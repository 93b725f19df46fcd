//! What a request asks for, before any file is opened.

use http::header::{CONNECTION, CONTENT_LENGTH, HOST, TRANSFER_ENCODING};
use http::{HeaderMap, Method, Version};
use pxe_tree::{ErrorKind, Protocol, TreePath};

/// The head of a request: all that [`plan`](crate::plan()) reads of it.
///
/// The fields are those of an `http::Request`; a driver that does not use the `http` crate's
/// request type fills them from its own parser.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct RequestHead<'a> {
    /// The method.
    pub method: &'a Method,
    /// The request target as it came (RFC 9112 section 3.2): origin form or absolute form.
    pub target: &'a str,
    /// The version of the request line.
    pub version: Version,
    /// The header fields.
    pub headers: &'a HeaderMap,
    /// [`Protocol::Http`] or [`Protocol::Https`].
    pub protocol: Protocol,
    /// The path that something in between took off the target, with no slash at its end: the client
    /// finds there what is `/` here. Empty, unless [`with_base`](Self::with_base) says another.
    pub base: &'a str,
}

impl<'a> RequestHead<'a> {
    /// The head that consists of these parts, sent in clear.
    pub const fn new(
        method: &'a Method,
        target: &'a str,
        version: Version,
        headers: &'a HeaderMap,
    ) -> Self {
        Self {
            method,
            target,
            version,
            headers,
            protocol: Protocol::Http,
            base: "",
        }
    }

    /// The same head, sent by this protocol.
    #[must_use]
    pub const fn with_protocol(mut self, protocol: Protocol) -> Self {
        self.protocol = protocol;
        self
    }

    /// The same head, from which something in between has taken this path.
    #[must_use]
    pub const fn with_base(mut self, base: &'a str) -> Self {
        self.base = base;
        self
    }

    /// The head of a request of the `http` crate.
    ///
    /// Its `Uri` has dropped a fragment, if the target had one.
    pub fn from_parts(parts: &'a http::request::Parts) -> Self {
        let target = parts.uri.path_and_query().map_or("", |pq| pq.as_str());
        Self::new(&parts.method, target, parts.version, &parts.headers)
    }

    /// Whether more requests can come over this connection (RFC 9112 section 9.3): HTTP/1.1 unless
    /// the client says `close`, HTTP/1.0 only if it says `keep-alive`.
    ///
    /// Never after a request with content: nobody reads it, so that what follows on the connection
    /// is no request.
    pub fn keep_alive(&self) -> bool {
        let says = |option: &str| {
            self.headers.get_all(CONNECTION).iter().any(|value| {
                value
                    .as_bytes()
                    .split(|&byte| byte == b',')
                    .any(|token| token.trim_ascii().eq_ignore_ascii_case(option.as_bytes()))
            })
        };
        if self.has_content() {
            return false;
        }
        match self.version {
            Version::HTTP_09 => false,
            Version::HTTP_10 => says("keep-alive") && !says("close"),
            _ => !says("close"),
        }
    }

    /// Whether content follows the head (RFC 9112 section 6.3).
    pub(crate) fn has_content(&self) -> bool {
        self.headers.contains_key(TRANSFER_ENCODING)
            || self
                .headers
                .get_all(CONTENT_LENGTH)
                .iter()
                .any(|len| len != "0")
    }

    /// Whether nobody can tell where its content ends (RFC 9112 sections 6.1 and 6.3): of what comes
    /// behind it, another reader might take another part for the next request.
    fn has_bad_framing(&self) -> bool {
        if let Some(codings) = self.headers.get_all(TRANSFER_ENCODING).iter().next_back() {
            let mut codings = codings.as_bytes().rsplit(|&byte| byte == b',');
            let last = codings.next().unwrap_or_default().trim_ascii();
            return self.version < Version::HTTP_11 || !last.eq_ignore_ascii_case(b"chunked");
        }
        let mut lens = self.headers.get_all(CONTENT_LENGTH).iter();
        let is_number =
            |len: &[u8]| !len.is_empty() && len.iter().all(|digit| digit.is_ascii_digit());
        lens.next()
            .is_some_and(|len| !is_number(len.as_bytes()) || lens.any(|other| other != len))
    }

    /// The server as the client names it, for a URI; `None` if it does not, or not well.
    pub(crate) fn authority(&self) -> Option<&'a str> {
        let host = self.headers.get(HOST)?.to_str().ok()?;
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:[]%".contains(&byte);
        (!host.is_empty() && host.bytes().all(fits)).then_some(host)
    }

    /// What is asked for, or why that is not even looked for.
    ///
    /// # Errors
    /// The request cannot be answered with a file: give the [`Rejection`] to
    /// [`plan`](crate::plan()) as the outcome.
    pub fn route(&self) -> Result<Route<'a>, Rejection> {
        if self.has_bad_framing() {
            return Err(Rejection::BadFraming);
        }
        if !matches!(*self.method, Method::GET | Method::HEAD) {
            return Err(Rejection::MethodNotAllowed);
        }
        // RFC 9112 section 3.2: 400 for an HTTP/1.1 request without Host, or with two of them.
        // EDK2 sends a Host without the port, which is as good as any: the path alone decides what
        // is served.
        let hosts = self.headers.get_all(HOST).iter().count();
        if hosts > 1 || (hosts == 0 && self.version == Version::HTTP_11) {
            return Err(Rejection::BadHost);
        }
        let (path, query) = split_target(self.target).ok_or(Rejection::BadTarget)?;
        let is_of_directory = (path.ends_with('/') || path.is_empty()) && !path.contains("//");
        let path = TreePath::from_uri_path(path).map_err(Rejection::BadPath)?;
        Ok(Route {
            path,
            query,
            is_of_directory,
        })
    }
}

/// What a request asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Route<'a> {
    /// The path, percent signs decoded once.
    pub path: TreePath,
    /// The query, without its question mark and as it came.
    pub query: Option<&'a str>,
    /// Whether the path ends in a slash and has none doubled, as that of a directory has to: else
    /// what a page of it names would lie elsewhere (RFC 3986 section 5.2). A directory need not be
    /// read if it does not.
    pub is_of_directory: bool,
}

/// Why a request is answered without looking for a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Rejection {
    /// Another method than GET and HEAD: 405.
    MethodNotAllowed,
    /// The target is in neither origin form nor absolute form, or has a fragment, white space or
    /// a control character in it: 400.
    BadTarget,
    /// A `Content-Length` that is no number or more than one, or a `Transfer-Encoding` in HTTP/1.0 or
    /// one that does not end in `chunked`: 400 (RFC 9112 section 6.3).
    BadFraming,
    /// HTTP/1.1 without `Host`, or any version with several: 400. Its value is not judged, though
    /// RFC 9112 section 3.2 asks for it: firmware is careless there, and it does not decide what is
    /// served.
    BadHost,
    /// The path cannot be that of a file (a NUL or an encoded slash in a name, too long).
    BadPath(ErrorKind),
}

/// Path and query of a target in origin form or absolute form (RFC 9112 section 3.2).
fn split_target(target: &str) -> Option<(&str, Option<&str>)> {
    let harmful = |byte: u8| byte <= b' ' || byte == 0x7f || byte == b'#';
    if target.bytes().any(harmful) {
        return None;
    }
    let path_and_query = if target.starts_with('/') {
        // `//efi64/grubx64.efi` is a path here, and no authority: shim asks for such.
        target
    } else {
        let (scheme, rest) = target.split_once("://")?;
        if !scheme.eq_ignore_ascii_case("http") && !scheme.eq_ignore_ascii_case("https") {
            return None;
        }
        let authority_len = rest.find(['/', '?']).unwrap_or(rest.len());
        if authority_len == 0 {
            return None;
        }
        rest.get(authority_len..)?
    };
    Some(match path_and_query.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (path_and_query, None),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::{HeaderName, HeaderValue};

    fn route(target: &str) -> Result<(String, Option<String>), Rejection> {
        let headers = HeaderMap::new();
        let head = RequestHead::new(&Method::GET, target, Version::HTTP_10, &headers);
        head.route()
            .map(|route| (route.path.to_string(), route.query.map(str::to_owned)))
    }

    fn path(text: &str) -> Result<(String, Option<String>), Rejection> {
        Ok((text.to_owned(), None))
    }

    #[test]
    fn shim_under_edk2_asks_for_a_path_with_a_double_slash() {
        assert_eq!(route("/efi64//grubx64.efi"), path("/efi64/grubx64.efi"));
        assert_eq!(route("//efi64/grubx64.efi"), path("/efi64/grubx64.efi"));
    }

    #[test]
    fn busybox_wget_leaves_colons_unescaped() {
        assert_eq!(
            route("/by-mac/52:54:00:15:00:01/preseed.cfg"),
            path("/by-mac/52:54:00:15:00:01/preseed.cfg")
        );
    }

    #[test]
    fn absolute_form_is_accepted() {
        assert_eq!(route("http://10.0.0.1:8080/a"), path("/a"));
        assert_eq!(route("HTTP://boot/"), path("/"));
        assert_eq!(route("http://boot"), path("/"));
        assert_eq!(
            route("http://boot?mac=1"),
            Ok(("/".into(), Some("mac=1".into())))
        );
    }

    #[test]
    fn queries_are_split_off_at_the_first_question_mark() {
        assert_eq!(
            route("/boot.ipxe?mac=52:54&x=?/../y"),
            Ok(("/boot.ipxe".into(), Some("mac=52:54&x=?/../y".into())))
        );
    }

    #[test]
    fn garbage_targets_are_rejected() {
        for target in [
            "",
            "*",
            "a",
            "http:/",
            "http://",
            "http:///x",
            "ftp://a/b",
            "/a b",
            "/a#b",
            "/a\r\nb",
            "boot:80",
            "/\u{7f}",
        ] {
            assert_eq!(route(target), Err(Rejection::BadTarget), "{target:?}");
        }
        assert_eq!(
            route("/a%2fb"),
            Err(Rejection::BadPath(ErrorKind::InvalidName))
        );
        assert_eq!(
            route(&"/a".repeat(5000)),
            Err(Rejection::BadPath(ErrorKind::NameTooLong))
        );
    }

    #[test]
    fn no_target_leaves_the_tree() {
        assert_eq!(route("/../../etc/passwd"), path("/etc/passwd"));
        assert_eq!(route("/%2e%2e/%2e%2e/etc"), path("/etc"));
    }

    #[test]
    fn http_1_1_needs_exactly_one_host() {
        let mut headers = HeaderMap::new();
        let rejection = |headers: &HeaderMap, version| {
            RequestHead::new(&Method::GET, "/", version, headers)
                .route()
                .err()
        };
        assert_eq!(rejection(&headers, Version::HTTP_10), None);
        assert_eq!(
            rejection(&headers, Version::HTTP_11),
            Some(Rejection::BadHost)
        );
        headers.append(HOST, HeaderValue::from_static("10.0.0.1"));
        assert_eq!(rejection(&headers, Version::HTTP_11), None);
        headers.append(HOST, HeaderValue::from_static("10.0.0.2"));
        assert_eq!(
            rejection(&headers, Version::HTTP_10),
            Some(Rejection::BadHost)
        );
    }

    /// RFC 9112 sections 6.1 and 6.3.
    #[test]
    fn content_of_which_nobody_can_tell_the_end_is_refused() {
        let both = "Transfer-Encoding: chunked\nContent-Length: x";
        for (version, fields, is_refused) in [
            (Version::HTTP_11, "Content-Length: 0", false),
            (Version::HTTP_10, "Content-Length: 18", false),
            (
                Version::HTTP_11,
                "Content-Length: 5\nContent-Length: 5",
                false,
            ),
            (Version::HTTP_11, "Transfer-Encoding: gzip , Chunked", false),
            (Version::HTTP_11, both, false),
            (Version::HTTP_11, "Content-Length: x", true),
            (Version::HTTP_11, "Content-Length: ", true),
            (Version::HTTP_10, "Content-Length: -1", true),
            (Version::HTTP_11, "Content-Length: 5, 6", true),
            (
                Version::HTTP_11,
                "Content-Length: 5\nContent-Length: 6",
                true,
            ),
            (Version::HTTP_10, "Transfer-Encoding: chunked", true),
            (Version::HTTP_11, "Transfer-Encoding: chunked, gzip", true),
            (Version::HTTP_11, "Transfer-Encoding: ", true),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(HOST, HeaderValue::from_static("a"));
            for (name, value) in fields.lines().filter_map(|line| line.split_once(": ")) {
                let name: HeaderName = name.parse().expect("a name");
                headers.append(name, HeaderValue::from_static(value));
            }
            let head = RequestHead::new(&Method::GET, "/", version, &headers);
            let rejection = is_refused.then_some(Rejection::BadFraming);
            assert_eq!(head.route().err(), rejection, "{version:?} {fields}");
            assert!(fields == "Content-Length: 0" || !head.keep_alive());
        }
    }

    /// RFC 9112 section 6.3: what follows is no request, whatever the method is.
    #[test]
    fn bad_framing_is_worse_than_another_method() {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_LENGTH, HeaderValue::from_static("x"));
        let head = RequestHead::new(&Method::POST, "/", Version::HTTP_10, &headers);
        assert_eq!(head.route(), Err(Rejection::BadFraming));
    }

    #[test]
    fn only_get_and_head_are_routed() {
        let headers = HeaderMap::new();
        for method in [Method::POST, Method::OPTIONS, Method::PUT, Method::CONNECT] {
            let head = RequestHead::new(&method, "/", Version::HTTP_10, &headers);
            assert_eq!(head.route(), Err(Rejection::MethodNotAllowed));
        }
    }

    #[test]
    fn persistence_follows_version_and_connection() {
        let cases = [
            (Version::HTTP_10, None, false),
            (Version::HTTP_10, Some("Keep-Alive"), true),
            (Version::HTTP_10, Some("close"), false),
            (Version::HTTP_10, Some("keep-alive, close"), false),
            (Version::HTTP_11, None, true),
            (Version::HTTP_11, Some("keep-alive"), true),
            (Version::HTTP_11, Some("TE , Close"), false),
        ];
        for (version, connection, keeps) in cases {
            let mut headers = HeaderMap::new();
            if let Some(value) = connection {
                headers.insert(CONNECTION, HeaderValue::from_static(value));
            }
            let head = RequestHead::new(&Method::GET, "/", version, &headers);
            assert_eq!(head.keep_alive(), keeps, "{version:?} {connection:?}");
        }
    }

    #[test]
    fn content_that_nobody_reads_ends_the_connection() {
        for (name, value, keeps) in [
            (CONTENT_LENGTH, "0", true),
            (CONTENT_LENGTH, "5", false),
            (CONTENT_LENGTH, "garbage", false),
            (TRANSFER_ENCODING, "chunked", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(&name, HeaderValue::from_static(value));
            let head = RequestHead::new(&Method::POST, "/", Version::HTTP_11, &headers);
            assert_eq!(head.keep_alive(), keeps, "{name}: {value}");
        }
    }
}
