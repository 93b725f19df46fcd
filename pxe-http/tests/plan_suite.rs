//! Cases of public test suites, on `plan()` alone.

mod suite;

use std::num::NonZeroU64;

use http::header::{CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Version};
use pxe_http::{Outcome, Piece, Plan, RequestHead, plan};
use pxe_tree::{Attributes, ErrorKind, NodeId, NodeKind, Timestamp};

use suite::{CASES, Case, FILES, File, MODIFIED, Wanted, range};

const NOW: Timestamp = Timestamp::from_seconds(MODIFIED + 3600);

fn answer(lines: &[String]) -> Plan {
    let mut words = lines[0].split(' ');
    let method = words.next().expect("a method").parse::<Method>();
    let target = words.next().expect("a target");
    let version = match words.next() {
        Some("HTTP/1.0") => Version::HTTP_10,
        _ => Version::HTTP_11,
    };
    let mut headers = HeaderMap::new();
    for line in &lines[1..] {
        let (name, value) = line.split_once(':').expect("a field");
        headers.append(
            name.parse::<HeaderName>().expect("a name"),
            HeaderValue::from_str(value.trim()).expect("a value"),
        );
    }
    let method = method.expect("a method");
    let head = RequestHead::new(&method, target, version, &headers);
    let route = match head.route() {
        Ok(route) => route,
        Err(rejection) => return plan(&head, Outcome::Rejected(rejection), NOW),
    };
    let Some(file) = File::at(&route.path.to_string()) else {
        return plan(&head, Outcome::Failed(ErrorKind::NotFound), NOW);
    };
    let mut attributes = Attributes::new(NodeId::new(NonZeroU64::MIN), NodeKind::File, file.len);
    attributes.change = file.change;
    attributes.modified = Timestamp::from_seconds(MODIFIED);
    let outcome = Outcome::File {
        attributes: &attributes,
        media_type: &HeaderValue::from_static("application/octet-stream"),
    };
    plan(&head, outcome, NOW)
}

fn tag(file: Option<File>) -> String {
    let Some(file) = file else {
        return String::new();
    };
    let plan = answer(&[format!("GET {} HTTP/1.0", file.path)]);
    let tag = plan.header(&ETAG).expect("a tag");
    tag.to_str().expect("text").to_owned()
}

fn judge(case: &Case) {
    let source = case.source;
    let file = case.file();
    let plan = answer(&case.lines(&tag(file)));
    let (method, ..) = case.request_line();
    let len = file.map_or(0, |file| file.len);
    let status = match case.wanted {
        Wanted::Whole => 200,
        Wanted::Part(_) | Wanted::Parts(_) => 206,
        Wanted::Status(status) => status,
    };
    assert_eq!(plan.status.as_u16(), status, "{source}");
    let files: Vec<_> = plan
        .body
        .iter()
        .filter_map(|piece| match piece {
            Piece::File(range) => Some(range.clone()),
            _ => None,
        })
        .collect();
    let content_range = plan
        .header(&CONTENT_RANGE)
        .map(|value| value.to_str().expect("text").to_owned());
    match case.wanted {
        Wanted::Whole if method == "HEAD" || len == 0 => assert!(files.is_empty(), "{source}"),
        Wanted::Whole => assert_eq!(files, [range((0, len - 1))], "{source}"),
        Wanted::Part((first, last)) => {
            assert_eq!(files, [range((first, last))], "{source}");
            let wanted = format!("bytes {first}-{last}/{len}");
            assert_eq!(content_range, Some(wanted), "{source}");
        }
        Wanted::Parts(parts) => {
            let parts: Vec<_> = parts.iter().copied().map(range).collect();
            assert_eq!(files, parts, "{source}");
            let media_type = plan.header(&CONTENT_TYPE).expect("a type");
            assert!(media_type.as_bytes().starts_with(b"multipart/byteranges;"));
        }
        Wanted::Status(416) => assert_eq!(content_range, Some(format!("bytes */{len}"))),
        Wanted::Status(_) => assert!(files.is_empty(), "{source}"),
    }
    let content_length = plan.header(&CONTENT_LENGTH);
    match (method, status) {
        (_, 304) => assert_eq!((content_length, plan.body.len()), (None, 0), "{source}"),
        ("HEAD", _) => assert_eq!(content_length, Some(&HeaderValue::from(len)), "{source}"),
        _ => assert_eq!(
            content_length,
            Some(&HeaderValue::from(plan.body_len())),
            "{source}"
        ),
    }
    assert!(plan.keep_alive, "{source}");
}

#[test]
fn cases_of_other_servers_suites() {
    CASES.iter().for_each(judge);
}

#[test]
fn the_suite_is_about_its_files() {
    for file in FILES {
        assert_eq!(file.content().len() as u64, file.len);
        assert!(
            CASES
                .iter()
                .any(|case| case.file().is_some_and(|f| f.path == file.path))
        );
    }
}
