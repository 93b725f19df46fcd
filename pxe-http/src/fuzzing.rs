//! Fuzz bodies, shared by the fuzz targets and the property tests.

use std::collections::HashSet;
use std::num::NonZeroU64;

use http::header::{CONNECTION, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, LOCATION};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Version};
use pxe_tree::{Attributes, ErrorKind, NameBuf, NodeId, NodeKind, Timestamp};

use crate::{Listing, ListingEntry, Outcome, Piece, Plan, Rejection, RequestHead, bootif, plan};

/// Plans a response to arbitrary bytes and checks what every response has to obey.
///
/// The first eight bytes choose method, version, and what is there (see `Choice`); then comes the
/// target up to a newline, then a header field a line.
///
/// # Panics
/// If [`plan`](crate::plan()) breaks a promise.
pub fn fuzz_plan(data: &[u8]) {
    let Some((&[method, version, ref choice @ ..], text)) = data.split_first_chunk::<8>() else {
        return;
    };
    let method = match method % 6 {
        0..=2 => Method::GET,
        3 | 4 => Method::HEAD,
        _ => Method::POST,
    };
    let version = match version % 3 {
        0 => Version::HTTP_10,
        _ => Version::HTTP_11,
    };
    let text = String::from_utf8_lossy(text);
    let mut lines = text.split('\n');
    let target = lines.next().unwrap_or_default();
    let mut headers = HeaderMap::new();
    for line in lines {
        let (name, value) = line.split_once(':').unwrap_or((line, ""));
        if let (Ok(name), Ok(value)) = (
            HeaderName::from_bytes(name.as_bytes()),
            HeaderValue::from_bytes(value.trim_ascii().as_bytes()),
        ) {
            headers.append(name, value);
        }
        let _ = bootif(value);
    }
    let head = RequestHead::new(&method, target, version, &headers);
    plan_and_check(&head, *choice);
}

/// Reads arbitrary bytes as a connection's requests, one after the other, and checks the response
/// to each.
///
/// The first seven bytes choose where the bytes are cut, and what is there; the rest are those of
/// the connection.
///
/// # Panics
/// If a head is read otherwise when its bytes come in two parts, or
/// [`plan`](crate::plan()) breaks a promise.
#[cfg(feature = "tokio")]
pub fn fuzz_head(data: &[u8]) {
    use crate::driver::Head;

    const LEN_MAX: usize = 8192;
    let Some((&[cut, ref choice @ ..], mut bytes)) = data.split_first_chunk::<7>() else {
        return;
    };
    while let Ok(Some((head, len))) = Head::parse(bytes, LEN_MAX) {
        assert!((1..=bytes.len().min(LEN_MAX)).contains(&len));
        let cut = usize::from(cut) * len / 256;
        assert_eq!(Head::parse(&bytes[..cut], LEN_MAX), Ok(None), "cut");
        let whole = Head::parse(&bytes[..len], LEN_MAX);
        assert_eq!(whole.as_ref().ok(), Some(&Some((head, len))), "followed");
        let Ok(Some((head, _))) = whole else { return };
        let planned = plan_and_check(&head.request(), *choice);
        if !planned.keep_alive {
            return;
        }
        bytes = &bytes[len..];
    }
}

/// What is there, chosen by bytes: outcome, length and its shift, change stamp, time of
/// modification, and the time now.
type Choice = [u8; 6];

fn plan_and_check(head: &RequestHead<'_>, choice: Choice) -> Plan {
    let [outcome, len, len_shift, change, modified, now] = choice;
    let now = seconds(now);
    let node = NodeId::new(NonZeroU64::MIN);
    let len = u64::from(len) << (len_shift % 57);
    let mut attributes = Attributes::new(node, NodeKind::File, len);
    attributes.change = u64::from(change);
    attributes.modified = seconds(modified);
    let media_type = HeaderValue::from_static("application/octet-stream");
    let listing = listing(head.target);
    let outcome = match (head.route(), outcome % 8) {
        (Err(rejection), _) => Outcome::Rejected(rejection),
        (Ok(_), 0) if change % 2 == 0 => Outcome::Directory(None),
        (Ok(_), 0) => Outcome::Directory(Some(&listing)),
        (Ok(_), 1) => Outcome::Moved(head.target),
        (Ok(_), 2) => {
            let index = usize::from(change) % ErrorKind::ALL.len();
            Outcome::Failed(ErrorKind::ALL[index])
        }
        (Ok(_), _) => Outcome::File {
            attributes: &attributes,
            media_type: &media_type,
        },
    };
    let planned = plan(head, outcome, now);
    check(head, &outcome, &planned);
    // The same again: nothing but the arguments decides.
    assert_eq!(planned, plan(head, outcome, now));

    // HEAD tells exactly what GET would, were it not for ranges.
    let mut whole = head.headers.clone();
    whole.remove(http::header::RANGE);
    let get = RequestHead::new(&Method::GET, head.target, head.version, &whole);
    let probe = RequestHead::new(&Method::HEAD, head.target, head.version, &whole);
    if !matches!(outcome, Outcome::Rejected(_)) {
        let get = plan(&get, outcome, now);
        let probe = plan(&probe, outcome, now);
        assert_eq!(
            (get.status, get.headers),
            (probe.status, probe.headers),
            "HEAD differs from GET"
        );
    }
    planned
}

/// A directory whose entries are named as the target's segments are.
fn listing(target: &str) -> Listing {
    let kinds = [NodeKind::File, NodeKind::Directory, NodeKind::Link];
    let names = target.split('/').map(|name| name.as_bytes().to_vec());
    let entries = names
        .zip(kinds.into_iter().cycle())
        .filter_map(|(name, kind)| {
            let mut entry = ListingEntry::new(NameBuf::new(name).ok()?, kind);
            entry.target = (kind == NodeKind::Link).then(|| entry.name.as_bytes().to_vec().into());
            Some(entry)
        });
    Listing::new(entries.collect())
}

/// A time from a byte: some before 1970, some beyond what HTTP can say.
fn seconds(byte: u8) -> Timestamp {
    Timestamp::from_seconds(match byte {
        0 => 0,
        1 => -1,
        2 => i64::MAX,
        3 => i64::MIN,
        _ => 784_111_700 + i64::from(byte),
    })
}

/// What every response has to obey.
fn check(head: &RequestHead<'_>, outcome: &Outcome<'_>, plan: &Plan) {
    let names: Vec<_> = plan.headers.iter().map(|(name, _)| name).collect();
    let distinct: HashSet<_> = names.iter().collect();
    assert_eq!(distinct.len(), names.len(), "a field twice: {names:?}");
    for late in [CONTENT_LENGTH, LOCATION] {
        assert_ne!(
            names.last(),
            Some(&&late),
            "lpxelinux would not read {late}"
        );
    }
    let content_length = plan.header(&CONTENT_LENGTH).map(|value| {
        let text = value.to_str().expect("text");
        text.parse::<u64>().expect("a number")
    });
    match (content_length, plan.status) {
        (None, status) => assert_eq!(status, StatusCode::NOT_MODIFIED),
        (Some(_), _) if *head.method == Method::HEAD => assert!(plan.body.is_empty()),
        (Some(length), _) => assert_eq!(length, plan.body_len()),
    }
    assert_eq!(
        plan.keep_alive,
        plan.header(&CONNECTION)
            .is_none_or(|value| value != "close"),
        "the fields say otherwise"
    );
    let asked_for_part = head.headers.contains_key(http::header::RANGE);
    match plan.status {
        StatusCode::PARTIAL_CONTENT => {
            assert!(asked_for_part && *head.method == Method::GET);
            let parts = plan.body.len() > 1;
            assert_eq!(plan.header(&CONTENT_RANGE).is_none(), parts);
            if parts {
                check_parts(plan);
            }
        }
        StatusCode::RANGE_NOT_SATISFIABLE => assert!(asked_for_part),
        StatusCode::METHOD_NOT_ALLOWED => {
            assert!(matches!(
                outcome,
                Outcome::Rejected(Rejection::MethodNotAllowed)
            ));
        }
        _ => assert!(plan.header(&CONTENT_RANGE).is_none()),
    }
    for piece in &plan.body {
        assert_ne!(piece.len(), 0, "an empty piece");
        if let Piece::File(range) = piece {
            let Outcome::File { attributes, .. } = outcome else {
                panic!("bytes of a file where there is none");
            };
            assert!(range.start < range.end && range.end <= attributes.len);
        }
    }
    // A page repeats what the peer sent: it stays short, breaks no terminal, and runs no script.
    if plan.status == StatusCode::PARTIAL_CONTENT {
        return;
    }
    for piece in &plan.body {
        if let Piece::Text(text) = piece {
            let lists = plan.status == StatusCode::OK;
            assert!(lists || text.len() < 4096, "a long page");
            let text = std::str::from_utf8(text).expect("UTF-8");
            assert!(text.chars().all(|c| c == '\n' || !c.is_control()));
            let is_html = plan
                .header(&CONTENT_TYPE)
                .is_some_and(|value| value.as_bytes().starts_with(b"text/html"));
            assert!(!is_html || only_known_elements(text), "{text}");
        }
    }
}

/// RFC 9110 section 14.6: a boundary before each part and at the end; no byte is sent twice.
fn check_parts(plan: &Plan) {
    let boundary = plan
        .header(&CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.strip_prefix("multipart/byteranges; boundary="))
        .expect("a boundary");
    let mut ranges = Vec::new();
    for pair in plan.body.chunks(2) {
        let Piece::Text(text) = &pair[0] else {
            panic!("a part without its head");
        };
        let text = std::str::from_utf8(text).expect("UTF-8");
        match pair.get(1) {
            Some(Piece::File(range)) => {
                let last = range.end - 1;
                assert!(text.trim_start().starts_with(&format!("--{boundary}\r\n")));
                assert!(
                    text.contains(&format!("\r\nContent-Range: bytes {}-{last}/", range.start))
                );
                assert!(text.ends_with("\r\n\r\n"));
                ranges.push(range.clone());
            }
            Some(Piece::Text(_)) => panic!("a part without content"),
            None => assert_eq!(text, format!("\r\n--{boundary}--\r\n")),
        }
    }
    assert!(ranges.len() > 1 && plan.body.len() == 2 * ranges.len() + 1);
    ranges.sort_by_key(|range| range.start);
    assert!(ranges.is_sorted_by(|range, next| range.end < next.start));
}

/// Whether every `<` on a page begins an element that this crate writes.
fn only_known_elements(html: &str) -> bool {
    const NAMES: [&str; 16] = [
        "!DOCTYPE", "html", "head", "meta", "title", "style", "body", "h1", "p", "a", "table",
        "thead", "tbody", "tr", "th", "td",
    ];
    html.split('<').skip(1).all(|tag| {
        let tag = tag.strip_prefix('/').unwrap_or(tag);
        let end = tag.find([' ', '>']).unwrap_or(tag.len());
        NAMES.contains(&&tag[..end])
    })
}
