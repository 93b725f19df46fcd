//! Validators and conditional requests (RFC 9110 sections 8.8 and 13).

use std::cell::RefCell;
use std::hash::{DefaultHasher, Hasher};
use std::time::{SystemTime, UNIX_EPOCH};

use http::header::{
    HeaderName, IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, IF_UNMODIFIED_SINCE,
};
use http::{HeaderMap, HeaderValue, Method};
use pxe_tree::{Attributes, Timestamp};

use crate::RequestHead;
use crate::date::SECONDS_END;
use crate::fields::field_value;
use crate::memo::Memo;

fn parse_http_date(value: &HeaderValue) -> Option<i64> {
    let time: SystemTime = httpdate::parse_http_date(value.to_str().ok()?).ok()?;
    i64::try_from(time.duration_since(UNIX_EPOCH).ok()?.as_secs()).ok()
}

/// By what a client recognizes the content that it has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Validators {
    /// The entity tag, with `W/` if it is weak, and quotes.
    pub(crate) etag: Option<HeaderValue>,
    /// Seconds since 1970 of the last modification, which may be in the future: a machine without
    /// a battery for its clock begins in 1970.
    pub(crate) last_modified: Option<i64>,
}

impl Validators {
    /// What can be said of a file.
    ///
    /// A change stamp makes a strong tag: equal stamps of one node promise equal content. A time
    /// of modification alone makes a weak one, which no range may rest upon. Content of which
    /// neither is known (made for each request) has no validator at all: length and number may
    /// well be equal while the bytes differ.
    pub(crate) fn of(attributes: &Attributes) -> Self {
        let Attributes {
            fsid,
            fileid,
            len,
            change,
            modified,
            ..
        } = *attributes;
        let etag = if change != 0 {
            strong_tag([fsid, fileid, len, change])
        } else if modified != Timestamp::default() {
            let Timestamp { seconds, nanos } = modified;
            field_value(format_args!(
                "W/\"{fsid:x}-{fileid:x}-{len:x}-{seconds:x}.{nanos:x}\""
            ))
        } else {
            None
        };
        let last_modified = (1..SECONDS_END)
            .contains(&modified.seconds)
            .then_some(modified.seconds);
        Self {
            etag,
            last_modified,
        }
    }
}

/// The entity tag of a file whose change stamp is known.
fn strong_tag(numbers: [u64; 4]) -> Option<HeaderValue> {
    thread_local! {
        static TAGS: RefCell<Memo<[u64; 4], 128>> = const { RefCell::new(Memo::new()) };
    }
    let [fsid, fileid, len, change] = numbers;
    let make = || field_value(format_args!("\"{fsid:x}-{fileid:x}-{len:x}-{change:x}\""));
    // Files that were made one after the other mostly have numbers that follow each other.
    TAGS.with_borrow_mut(|tags| tags.get(fileid, numbers, make))
}

impl Validators {
    /// What can be said of a page that was made of what is true now.
    pub(crate) fn of_page(text: &[u8]) -> Self {
        // Whoever has a page of an equal hash has this page; another release of this software may
        // hash otherwise, and then sends it once more.
        let mut hasher = DefaultHasher::new();
        hasher.write(text);
        Self {
            etag: field_value(format_args!(
                "\"{:x}-{:016x}\"",
                text.len(),
                hasher.finish()
            )),
            last_modified: None,
        }
    }
}

/// What the conditions of a request say (RFC 9110 section 13.2.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Do what was asked.
    Perform,
    /// 304.
    NotModified,
    /// 412.
    PreconditionFailed,
}

/// Steps 1 to 4 of RFC 9110 section 13.2.2, for GET and HEAD of content that exists.
pub(crate) fn evaluate(headers: &HeaderMap, validators: &Validators) -> Verdict {
    let etag = validators.etag.as_ref().map(HeaderValue::as_bytes);
    if headers.contains_key(IF_MATCH) {
        if !any_tag(headers, &IF_MATCH, |tag| strongly_equal(tag, etag)) {
            return Verdict::PreconditionFailed;
        }
    } else if let (Some(date), Some(modified)) = (
        single_date(headers, &IF_UNMODIFIED_SINCE),
        validators.last_modified,
    ) && modified > date
    {
        return Verdict::PreconditionFailed;
    }
    if headers.contains_key(IF_NONE_MATCH) {
        if any_tag(headers, &IF_NONE_MATCH, |tag| weakly_equal(tag, etag)) {
            return Verdict::NotModified;
        }
    } else if let (Some(date), Some(modified)) = (
        single_date(headers, &IF_MODIFIED_SINCE),
        validators.last_modified,
    ) && modified <= date
    {
        return Verdict::NotModified;
    }
    Verdict::Perform
}

/// Step 5: whether a `Range` field of this request is to be heeded.
///
/// Only GET has ranges (RFC 9110 section 14.2). A date in `If-Range` counts only if it lies at
/// least a second back, since within one second the content may have changed twice (section
/// 8.8.2.2).
pub(crate) fn heeds_range(head: &RequestHead<'_>, validators: &Validators, now: Timestamp) -> bool {
    if *head.method != Method::GET {
        return false;
    }
    let mut conditions = head.headers.get_all(IF_RANGE).iter();
    let Some(condition) = conditions.next() else {
        return true;
    };
    if conditions.next().is_some() {
        return false;
    }
    if let Some(date) = parse_http_date(condition) {
        return validators.last_modified == Some(date) && date < now.seconds;
    }
    let tag = condition.as_bytes().trim_ascii();
    strongly_equal(tag, validators.etag.as_ref().map(HeaderValue::as_bytes))
}

/// The date of a field that must not be repeated; `None` if it is absent or no date, since both
/// mean that the field is ignored (RFC 9110 sections 13.1.3 and 13.1.4).
fn single_date(headers: &HeaderMap, name: &HeaderName) -> Option<i64> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?;
    if values.next().is_some() {
        return None;
    }
    parse_http_date(value)
}

/// Whether the field is `*`, or one of its entity tags passes the test.
fn any_tag(headers: &HeaderMap, name: &HeaderName, test: impl Fn(&[u8]) -> bool) -> bool {
    headers.get_all(name).iter().any(|value| {
        let value = value.as_bytes().trim_ascii();
        value == b"*" || Tags { rest: value }.any(&test)
    })
}

/// RFC 9110 section 8.8.3.2: equal, and neither is weak.
fn strongly_equal(tag: &[u8], ours: Option<&[u8]>) -> bool {
    ours.is_some_and(|ours| !ours.starts_with(b"W/") && ours == tag)
}

/// RFC 9110 section 8.8.3.2: equal but for the mark of weakness.
fn weakly_equal(tag: &[u8], ours: Option<&[u8]>) -> bool {
    fn opaque(tag: &[u8]) -> &[u8] {
        tag.strip_prefix(b"W/").unwrap_or(tag)
    }
    ours.is_some_and(|ours| opaque(ours) == opaque(tag))
}

/// The entity tags of a list; ends at the first that is malformed. Tags may contain commas.
struct Tags<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Tags<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let separator = |byte: &u8| matches!(byte, b',' | b' ' | b'\t');
        let start = self.rest.iter().position(|byte| !separator(byte))?;
        let tag = self.rest.get(start..)?;
        let mark_len = if tag.starts_with(b"W/") { 2 } else { 0 };
        let quoted = tag.get(mark_len..)?.strip_prefix(b"\"")?;
        let opaque_len = quoted.iter().position(|&byte| byte == b'"')?;
        let (tag, rest) = tag.split_at_checked(mark_len + opaque_len + 2)?;
        self.rest = rest;
        Some(tag)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::Version;

    /// 1994-11-06T08:49:37Z, the example of RFC 9110 section 5.6.7.
    const MODIFIED: i64 = 784_111_777;
    const AT: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
    const BEFORE: &str = "Sun, 06 Nov 1994 08:49:36 GMT";
    const AFTER: &str = "Sun, 06 Nov 1994 08:49:38 GMT";

    fn validators() -> Validators {
        Validators {
            etag: Some(HeaderValue::from_static("\"a,b\"")),
            last_modified: Some(MODIFIED),
        }
    }

    fn headers(fields: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(*name, HeaderValue::from_static(value));
        }
        headers
    }

    #[test]
    fn conditions_have_the_precedence_of_rfc_9110_13_2_2() {
        use Verdict::{NotModified, Perform, PreconditionFailed};
        let cases: &[(&[(&str, &str)], Verdict)] = &[
            (&[], Perform),
            // Step 1.
            (&[("if-match", "\"a,b\"")], Perform),
            (&[("if-match", "*")], Perform),
            (&[("if-match", "\"x\", \"a,b\"")], Perform),
            (&[("if-match", "\"x\""), ("if-match", "\"a,b\"")], Perform),
            (&[("if-match", "W/\"a,b\"")], PreconditionFailed),
            (&[("if-match", "\"a\"")], PreconditionFailed),
            (&[("if-match", "a,b")], PreconditionFailed),
            (&[("if-match", "")], PreconditionFailed),
            // Step 2, and that step 1 hides it.
            (&[("if-unmodified-since", AT)], Perform),
            (&[("if-unmodified-since", AFTER)], Perform),
            (&[("if-unmodified-since", BEFORE)], PreconditionFailed),
            (&[("if-unmodified-since", "yesterday")], Perform),
            (
                &[("if-unmodified-since", BEFORE), ("if-unmodified-since", AT)],
                Perform,
            ),
            (
                &[("if-match", "\"a,b\""), ("if-unmodified-since", BEFORE)],
                Perform,
            ),
            // Step 3.
            (&[("if-none-match", "\"a,b\"")], NotModified),
            (&[("if-none-match", "W/\"a,b\"")], NotModified),
            (&[("if-none-match", "*")], NotModified),
            (&[("if-none-match", "\"x\",W/\"y\" , \"a,b\"")], NotModified),
            (&[("if-none-match", "\"a\"")], Perform),
            (&[("if-none-match", "broken, \"a,b\"")], Perform),
            // Step 4, and that step 3 hides it.
            (&[("if-modified-since", AT)], NotModified),
            (&[("if-modified-since", AFTER)], NotModified),
            (&[("if-modified-since", BEFORE)], Perform),
            (&[("if-modified-since", "0")], Perform),
            (
                &[("if-none-match", "\"x\""), ("if-modified-since", AT)],
                Perform,
            ),
            // Step 1 or 2 before step 3.
            (
                &[("if-match", "\"x\""), ("if-none-match", "\"a,b\"")],
                PreconditionFailed,
            ),
            (
                &[("if-match", "\"a,b\""), ("if-none-match", "\"a,b\"")],
                NotModified,
            ),
            (
                &[("if-unmodified-since", BEFORE), ("if-none-match", "*")],
                PreconditionFailed,
            ),
        ];
        for (fields, verdict) in cases {
            assert_eq!(
                evaluate(&headers(fields), &validators()),
                *verdict,
                "{fields:?}"
            );
        }
    }

    #[test]
    fn unknown_validators_match_nothing_but_the_star() {
        let unknown = Validators {
            etag: None,
            last_modified: None,
        };
        let verdict = |name, value| evaluate(&headers(&[(name, value)]), &unknown);
        assert_eq!(verdict("if-none-match", "\"\""), Verdict::Perform);
        assert_eq!(verdict("if-none-match", "*"), Verdict::NotModified);
        assert_eq!(verdict("if-modified-since", AFTER), Verdict::Perform);
        assert_eq!(verdict("if-unmodified-since", BEFORE), Verdict::Perform);
        assert_eq!(verdict("if-match", "\"x\""), Verdict::PreconditionFailed);
        assert_eq!(verdict("if-match", "*"), Verdict::Perform);
    }

    #[test]
    fn if_range_wants_a_strong_validator() {
        let heeds = |method: &Method, fields: &[(&'static str, &'static str)], now| {
            let headers = headers(fields);
            let head = RequestHead::new(method, "/", Version::HTTP_11, &headers);
            heeds_range(&head, &validators(), Timestamp::from_seconds(now))
        };
        let later = MODIFIED + 1;
        assert!(heeds(&Method::GET, &[], later));
        assert!(!heeds(&Method::HEAD, &[], later));
        assert!(heeds(&Method::GET, &[("if-range", "\"a,b\"")], later));
        assert!(!heeds(&Method::GET, &[("if-range", "W/\"a,b\"")], later));
        assert!(!heeds(&Method::GET, &[("if-range", "\"x\"")], later));
        assert!(!heeds(&Method::GET, &[("if-range", "*")], later));
        assert!(heeds(&Method::GET, &[("if-range", AT)], later));
        assert!(!heeds(&Method::GET, &[("if-range", AT)], MODIFIED));
        assert!(!heeds(&Method::GET, &[("if-range", AFTER)], later + 9));
        assert!(!heeds(&Method::GET, &[("if-range", BEFORE)], later));
        let twice = [("if-range", "\"a,b\""), ("if-range", "\"a,b\"")];
        assert!(!heeds(&Method::GET, &twice, later));
    }

    #[test]
    fn content_made_for_each_request_has_no_validator() {
        use pxe_tree::{NodeId, NodeKind};
        use std::num::NonZeroU64;

        let node = NodeId::new(NonZeroU64::MIN);
        let mut attributes = Attributes::new(node, NodeKind::File, 10);
        let unknown = Validators::of(&attributes);
        assert_eq!(unknown.etag, None);
        assert_eq!(unknown.last_modified, None);

        attributes.modified = Timestamp::from_seconds(MODIFIED);
        let dated = Validators::of(&attributes);
        assert!(
            dated
                .etag
                .is_some_and(|etag| etag.as_bytes().starts_with(b"W/\""))
        );
        assert_eq!(dated.last_modified, Some(MODIFIED));

        attributes.change = 7;
        let stamped = Validators::of(&attributes).etag.expect("a tag");
        let text = stamped.to_str().expect("text");
        assert!(text.starts_with('"') && text.ends_with("-7\""));
        attributes.change = 8;
        assert_ne!(Validators::of(&attributes).etag, Some(stamped));
    }
}
