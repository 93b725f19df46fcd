//! From a request's head and what was found to the whole response, as a pure function.

use std::fmt::Write;
use std::ops::Range;

use bytes::Bytes;
use http::header::{
    ACCEPT_RANGES, ALLOW, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, HeaderName, LOCATION, RANGE,
    RETRY_AFTER, VARY,
};
use http::{HeaderValue, Method, StatusCode, Version};
use pxe_tree::{Attributes, ErrorKind, Timestamp, TreePath};

use crate::byteranges::Byteranges;
use crate::condition::{Validators, Verdict, evaluate, heeds_range};
use crate::fields::Fields;
use crate::listing_page::{listing_page, push_segment};
use crate::page::{Page, Shown};
use crate::range::{RangeAnswer, read_range};
use crate::{Listing, Rejection, RequestHead};

/// What was found at the path of a request.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub enum Outcome<'a> {
    /// A file of these attributes; only its length, change stamp and times are read.
    File {
        /// What its blob says of it.
        attributes: &'a Attributes,
        /// Its type, from [`MediaTypes`](crate::MediaTypes) or elsewhere.
        media_type: &'a HeaderValue,
    },
    /// A directory, with what it holds; `None` is answered with 403.
    ///
    /// If the path has no slash at its end, or a doubled one, the client is sent to the path that a
    /// directory has, whatever is given here: see
    /// [`Route::is_of_directory`](crate::Route::is_of_directory). For a
    /// directory that neither is listed nor has an index, give
    /// [`Failed(IsADirectory)`](ErrorKind::IsADirectory) instead: 403 at once.
    Directory(Option<&'a Listing>),
    /// It lies elsewhere: a URI, or an absolute path on this server, which is told below
    /// [`RequestHead::base`]. A client of HTTP/1.0 is told the path as a URI, with the name that it
    /// gave to this server in `Host`.
    Moved(&'a str),
    /// It could not be opened.
    Failed(ErrorKind),
    /// It was not looked for, see [`RequestHead::route`].
    Rejected(Rejection),
}

/// A response: everything that goes over the wire, except the bytes of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Plan {
    /// The status code.
    pub status: StatusCode,
    /// The header fields, in the order in which they have to be sent; no name twice.
    ///
    /// `Content-Length` and `Location` are never the last: lpxelinux handles a field only when
    /// the next one begins (syslinux, core/fs/pxe/http.c).
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// The body, piece after piece; empty for HEAD and 304. Their lengths add up to
    /// `Content-Length`, so it is never sent in chunks.
    pub body: Vec<Piece>,
    /// Whether the connection stays open; [`headers`](Self::headers) says so too where it must.
    pub keep_alive: bool,
}

/// A part of a response's body.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Piece {
    /// These bytes of the file; never empty, and within its length.
    File(Range<u64>),
    /// Text of the server's own.
    Text(Bytes),
}

impl Piece {
    /// How many bytes it has.
    #[allow(clippy::len_without_is_empty)] // no piece is empty
    pub const fn len(&self) -> u64 {
        match self {
            Self::File(range) => range.end.saturating_sub(range.start),
            Self::Text(text) => text.len() as u64,
        }
    }
}

impl Plan {
    /// The value of a field.
    pub fn header(&self, name: &HeaderName) -> Option<&HeaderValue> {
        self.headers
            .iter()
            .find_map(|(field, value)| (field == name).then_some(value))
    }

    /// How many bytes the body has.
    pub fn body_len(&self) -> u64 {
        self.body.iter().map(Piece::len).sum()
    }
}

/// Plans the response to a request.
///
/// Reads no clock: `now` is the civil time, for `Date` and for judging dates. Never panics,
/// whatever the peer sent. In particular:
///
/// - HEAD gets exactly the fields of GET (EDK2 asks HEAD first and allocates by its
///   `Content-Length`), so it knows no ranges (RFC 9110 section 14.2).
/// - `Range` is heeded in HTTP/1.0 as well: a client that sends it knows what it means, and one
///   that does not (lpxelinux, which takes no status but 200) never gets a 206.
/// - Anything malformed in `Range` is ignored: 200 with the whole file. Several ranges become
///   `multipart/byteranges` (section 14.6); those that overlap or touch are joined first, so that no
///   byte is sent twice, and of more than 256 none is heeded (section 17.15).
/// - Conditions have the precedence of RFC 9110 section 13.2.2.
/// - Error pages are short and name the path and the cause: plain text, or HTML to a client that
///   says in `Accept` that it would rather have that. Listings are HTML, or JSON in the same way.
pub fn plan(head: &RequestHead<'_>, outcome: Outcome<'_>, now: Timestamp) -> Plan {
    // No caller can answer a POST with a file by mistake.
    let outcome = match (head.method, outcome) {
        (&Method::GET | &Method::HEAD, _) | (_, Outcome::Rejected(_)) => outcome,
        _ => Outcome::Rejected(Rejection::MethodNotAllowed),
    };
    match outcome {
        Outcome::File {
            attributes,
            media_type,
        } => plan_file(head, attributes, media_type, now),
        Outcome::Directory(listing) => plan_directory(head, listing, now),
        Outcome::Failed(kind) | Outcome::Rejected(Rejection::BadPath(kind)) => {
            plan_error(head, kind, now)
        }
        Outcome::Moved(to) => plan_moved(head, to, now),
        Outcome::Rejected(Rejection::MethodNotAllowed) => {
            let cause = format!("{}: only GET and HEAD are served", head.method);
            Refusal::new(StatusCode::METHOD_NOT_ALLOWED, cause)
                .after(ALLOW, HeaderValue::from_static("GET, HEAD"))
                .finish(head, now)
        }
        Outcome::Rejected(Rejection::BadTarget) => {
            let cause = format!("{}: not a path to a file", Shown(head.target));
            Refusal::new(StatusCode::BAD_REQUEST, cause).finish(head, now)
        }
        Outcome::Rejected(Rejection::BadFraming) => {
            let cause = "where its content ends cannot be told (RFC 9112 section 6.3)";
            Refusal::new(StatusCode::BAD_REQUEST, cause).finish(head, now)
        }
        Outcome::Rejected(Rejection::BadHost) => {
            let cause = "HTTP/1.1 needs exactly one Host field (RFC 9112 section 3.2)";
            Refusal::new(StatusCode::BAD_REQUEST, cause).finish(head, now)
        }
    }
}

fn plan_file(
    head: &RequestHead<'_>,
    attributes: &Attributes,
    media_type: &HeaderValue,
    now: Timestamp,
) -> Plan {
    let len = attributes.len;
    let validators = Validators::of(attributes);
    let mut fields = Fields::new(now);
    match evaluate(head.headers, &validators) {
        Verdict::Perform => {}
        Verdict::NotModified => {
            fields.push_validators(validators, now);
            return fields.finish(head, StatusCode::NOT_MODIFIED, Vec::new());
        }
        Verdict::PreconditionFailed => return plan_precondition_failed(head, now),
    }
    let mut ranges = head.headers.get_all(RANGE).iter();
    let answer = match (ranges.next(), ranges.next()) {
        (Some(range), None) if heeds_range(head, &validators, now) => {
            read_range(range.as_bytes(), len)
        }
        _ => RangeAnswer::Whole,
    };
    let (status, content_type, body) = match answer {
        RangeAnswer::Whole if len == 0 => (StatusCode::OK, media_type.clone(), Vec::new()),
        RangeAnswer::Whole => {
            let body = vec![Piece::File(0..len)];
            (StatusCode::OK, media_type.clone(), body)
        }
        RangeAnswer::Part(range) => {
            let last = range.end.saturating_sub(1);
            fields.push_text(
                CONTENT_RANGE,
                format_args!("bytes {}-{last}/{len}", range.start),
            );
            let body = vec![Piece::File(range)];
            (StatusCode::PARTIAL_CONTENT, media_type.clone(), body)
        }
        RangeAnswer::Parts(ranges) => {
            let parts = Byteranges::new(&ranges, attributes, media_type, now);
            (StatusCode::PARTIAL_CONTENT, parts.content_type, parts.body)
        }
        RangeAnswer::Unsatisfiable => {
            let cause = format!("{}: has only {len} bytes", shown_path(head));
            return Refusal::new(StatusCode::RANGE_NOT_SATISFIABLE, cause)
                .before(CONTENT_RANGE, &format!("bytes */{len}"))
                .finish(head, now);
        }
    };
    let body_len: u64 = body.iter().map(Piece::len).sum();
    fields.push(CONTENT_LENGTH, HeaderValue::from(body_len));
    fields.push(CONTENT_TYPE, content_type);
    fields.push_validators(validators, now);
    // Always there, and always after Content-Length.
    fields.push(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    fields.finish(head, status, body)
}

/// RFC 3986 section 5.2: what a page of a directory names lies below it only if its path ends in
/// a slash, and what is above it where the page says only if that has no doubled one.
fn plan_directory(head: &RequestHead<'_>, listing: Option<&Listing>, now: Timestamp) -> Plan {
    let Ok(route) = head.route() else {
        return plan_error(head, ErrorKind::IsADirectory, now);
    };
    if !route.is_of_directory {
        let mut to = directory_uri(&route.path);
        if let Some(query) = route.query {
            to.push('?');
            to.push_str(query);
        }
        return plan_moved(head, &to, now);
    }
    let Some(listing) = listing else {
        return plan_error(head, ErrorKind::IsADirectory, now);
    };
    let page = listing_page(listing, &route.path, head.headers);
    let validators = Validators::of_page(&page.text);
    let mut fields = Fields::new(now);
    match evaluate(head.headers, &validators) {
        Verdict::Perform => {
            fields.push_page(&page);
            fields.push_validators(validators, now);
            fields.finish(head, StatusCode::OK, vec![Piece::Text(page.text)])
        }
        Verdict::NotModified => {
            fields.push(VARY, HeaderValue::from_static("accept"));
            fields.push_validators(validators, now);
            fields.finish(head, StatusCode::NOT_MODIFIED, Vec::new())
        }
        Verdict::PreconditionFailed => plan_precondition_failed(head, now),
    }
}

fn plan_precondition_failed(head: &RequestHead<'_>, now: Timestamp) -> Plan {
    let cause = format!(
        "{}: not the version that the request is about",
        shown_path(head)
    );
    Refusal::new(StatusCode::PRECONDITION_FAILED, cause).finish(head, now)
}

/// The path of a directory as a URI has it. Made of its names, and so without a doubled slash at
/// its beginning, behind which a browser would look for the name of another server.
fn directory_uri(path: &TreePath) -> String {
    let mut uri = String::from("/");
    for name in path.names() {
        push_segment(&mut uri, name.as_bytes());
        uri.push('/');
    }
    uri
}

fn plan_error(head: &RequestHead<'_>, kind: ErrorKind, now: Timestamp) -> Plan {
    let status =
        StatusCode::from_u16(kind.http_status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let refusal = Refusal::new(status, format!("{}: {kind}", shown_path(head)));
    if status == StatusCode::SERVICE_UNAVAILABLE {
        // iPXE tries again after that time (src/net/tcp/httpcore.c).
        return refusal.before(RETRY_AFTER, "1").finish(head, now);
    }
    refusal.finish(head, now)
}

/// 302: lpxelinux follows 301, 302, 303 and 307, but not 308 (syslinux, core/fs/pxe/http.c), and
/// what a source says now need not hold the next time.
///
/// lpxelinux puts its own directory before a path, even if that is absolute (`__pxe_searchdir` in
/// syslinux, core/fs/pxe/pxe.c): HTTP/1.0 knows URIs only (RFC 1945 section 10.11).
fn plan_moved(head: &RequestHead<'_>, to: &str, now: Timestamp) -> Plan {
    let mut to = escape_uri(to);
    if to.starts_with('/') && !to.starts_with("//") {
        to.insert_str(0, &escape_uri(head.base));
        if head.version < Version::HTTP_11
            && let Some(authority) = head.authority()
        {
            to.insert_str(0, &format!("{}://{authority}", head.protocol));
        }
    }
    let cause = format!("{}: lies at {}", shown_path(head), Shown(&to));
    Refusal::new(StatusCode::FOUND, cause)
        .before(LOCATION, &to)
        .finish(head, now)
}

/// Whatever no URI may contain, percent-encoded; so a source's text can add no header field.
fn escape_uri(uri: &str) -> String {
    let mut escaped = String::with_capacity(uri.len());
    for byte in uri.bytes() {
        // RFC 3986 section 2: what is neither reserved nor unreserved.
        if byte.is_ascii_graphic() && !br#""<>\^`{|}"#.contains(&byte) {
            escaped.push(char::from(byte));
        } else {
            let _ = write!(escaped, "%{byte:02X}");
        }
    }
    escaped
}

/// The path that was asked for, as an error page shows it.
fn shown_path(head: &RequestHead<'_>) -> String {
    match head.route() {
        Ok(route) => Shown(&TreePath::to_string(&route.path)).to_string(),
        Err(_) => Shown(head.target).to_string(),
    }
}

/// A page that says why there is no file, with the fields that its status asks for.
struct Refusal {
    status: StatusCode,
    cause: String,
    before: Option<(HeaderName, String)>,
    after: Option<(HeaderName, HeaderValue)>,
}

impl Refusal {
    fn new(status: StatusCode, cause: impl Into<String>) -> Self {
        Self {
            status,
            cause: cause.into(),
            before: None,
            after: None,
        }
    }

    /// With a field ahead of `Content-Length`.
    fn before(self, name: HeaderName, value: &str) -> Self {
        Self {
            before: Some((name, value.to_owned())),
            ..self
        }
    }

    /// With a field behind `Content-Type`.
    fn after(self, name: HeaderName, value: HeaderValue) -> Self {
        Self {
            after: Some((name, value)),
            ..self
        }
    }

    fn finish(self, head: &RequestHead<'_>, now: Timestamp) -> Plan {
        let mut fields = Fields::new(now);
        if let Some((name, value)) = self.before {
            fields.push_text(name, format_args!("{value}"));
        }
        let page = Page::of_status(self.status, &self.cause, head.headers);
        fields.push_page(&page);
        if let Some((name, value)) = self.after {
            fields.push(name, value);
        }
        fields.finish(head, self.status, vec![Piece::Text(page.text)])
    }
}
