//! What each client of network boot gets, as pure functions of what it sends.

use std::num::NonZeroU64;

use http::header::{
    CONTENT_LENGTH, CONTENT_TYPE, COOKIE, ETAG, HOST, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE,
    LAST_MODIFIED, LOCATION, RANGE, RETRY_AFTER,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Version};
use proptest::prelude::*;
use pxe_http::{MediaTypes, Outcome, Piece, Plan, RequestHead, fuzzing, plan};
use pxe_tree::{Attributes, ErrorKind, NodeId, NodeKind, Protocol, Timestamp, TreePath};

/// 1994-11-06T08:49:37Z.
const MODIFIED: i64 = 784_111_777;
const NOW: Timestamp = Timestamp::from_seconds(MODIFIED + 3600);

struct Client {
    version: Version,
    headers: HeaderMap,
}

impl Client {
    fn new(version: Version, fields: &[(HeaderName, &'static str)]) -> Self {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(name, HeaderValue::from_static(value));
        }
        Self { version, headers }
    }

    fn http_1_1(fields: &[(HeaderName, &'static str)]) -> Self {
        let mut client = Self::new(Version::HTTP_11, fields);
        client
            .headers
            .insert(HOST, HeaderValue::from_static("10.0.0.1"));
        client
    }

    fn lpxelinux() -> Self {
        Self::new(
            Version::HTTP_10,
            &[
                (HOST, "10.0.0.1:8080"),
                (http::header::USER_AGENT, "Syslinux/6.04"),
                (http::header::CONNECTION, "close"),
                (COOKIE, "_Syslinux_BOOTIF=01-52-54-00-15-00-01"),
            ],
        )
    }

    fn edk2() -> Self {
        Self::http_1_1(&[
            (http::header::ACCEPT, "*/*"),
            (http::header::USER_AGENT, "UefiHttpBoot/1.0"),
        ])
    }

    fn ask(&self, method: &Method, target: &str, outcome: Outcome<'_>) -> Plan {
        let head = RequestHead::new(method, target, self.version, &self.headers);
        let outcome = match head.route() {
            Ok(_) => outcome,
            Err(rejection) => Outcome::Rejected(rejection),
        };
        plan(&head, outcome, NOW)
    }

    /// Asks for a file of 1,000 bytes.
    fn get(&self, target: &str) -> Plan {
        self.file(&Method::GET, target, 1000)
    }

    fn file(&self, method: &Method, target: &str, len: u64) -> Plan {
        let types = MediaTypes::new();
        let path = TreePath::from_uri_path(target).expect("a path");
        let outcome = Outcome::File {
            attributes: &attributes(len),
            media_type: types.of(&path),
        };
        self.ask(method, target, outcome)
    }
}

fn attributes(len: u64) -> Attributes {
    let mut attributes = Attributes::new(NodeId::new(NonZeroU64::MIN), NodeKind::File, len);
    attributes.change = 0xc0ffee;
    attributes.modified = Timestamp::from_seconds(MODIFIED);
    attributes
}

fn text<'a>(plan: &'a Plan, name: &HeaderName) -> Option<&'a str> {
    plan.header(name).map(|value| value.to_str().expect("text"))
}

fn names(plan: &Plan) -> Vec<&str> {
    plan.headers.iter().map(|(name, _)| name.as_str()).collect()
}

fn page(plan: &Plan) -> &str {
    match plan.body.as_slice() {
        [Piece::Text(text)] => std::str::from_utf8(text).expect("UTF-8"),
        other => panic!("no page but {other:?}"),
    }
}

/// syslinux, core/fs/pxe/http.c: any status but 200 fails (and redirects other than 301, 302, 303
/// and 307), and a field is read only when the next one begins.
#[test]
fn lpxelinux_takes_only_200_and_needs_content_length_before_the_last_header() {
    let plan = Client::lpxelinux().get("/bios/ldlinux.c32");
    assert_eq!(plan.status, StatusCode::OK);
    assert_eq!(
        names(&plan),
        [
            "date",
            "content-length",
            "content-type",
            "last-modified",
            "etag",
            "accept-ranges",
            "connection"
        ]
    );
    assert_eq!(text(&plan, &CONTENT_LENGTH), Some("1000"));
    assert_eq!(plan.body, [Piece::File(0..1000)]);
    assert!(!plan.keep_alive);
}

/// Fields that it keeps have at most 19 bytes of name and 1,023 of value.
#[test]
fn lpxelinux_follows_302_and_needs_location_before_the_last_header() {
    let client = Client::lpxelinux();
    let plan = client.ask(&Method::GET, "/a", Outcome::Moved("http://10.0.0.2/b"));
    assert_eq!(plan.status, StatusCode::FOUND);
    assert_eq!(text(&plan, &LOCATION), Some("http://10.0.0.2/b"));
    assert_eq!(names(&plan)[..2], ["date", "location"]);
    assert_eq!(names(&plan).last(), Some(&"connection"));
}

/// `__pxe_searchdir` in syslinux, core/fs/pxe/pxe.c: what is no URI goes behind the directory that
/// it works in, `http://10.0.0.1:8080/bios/` + `/b`.
#[test]
fn lpxelinux_takes_a_moved_path_for_a_relative_one() {
    let client = Client::lpxelinux();
    let location = |client: &Client, to| {
        let plan = client.ask(&Method::GET, "/a", Outcome::Moved(to));
        text(&plan, &LOCATION).expect("a location").to_owned()
    };
    assert_eq!(location(&client, "/b?c"), "http://10.0.0.1:8080/b?c");
    assert_eq!(location(&client, "//10.0.0.2/b"), "//10.0.0.2/b");
    assert_eq!(location(&client, "tftp://10.0.0.2/b"), "tftp://10.0.0.2/b");
    // RFC 9110 section 10.2.2: HTTP/1.1 has relative references, and EDK2's Host lacks the port.
    assert_eq!(location(&Client::edk2(), "/b"), "/b");
    for host in ["", "a/b", "a@b", "a b"] {
        let client = Client::new(Version::HTTP_10, &[(HOST, host)]);
        assert_eq!(location(&client, "/b"), "/b", "{host:?}");
    }
    let head = RequestHead::new(&Method::GET, "/a", Version::HTTP_10, &client.headers)
        .with_protocol(Protocol::Https);
    let plan = plan(&head, Outcome::Moved("/b"), NOW);
    assert_eq!(text(&plan, &LOCATION), Some("https://10.0.0.1:8080/b"));
}

#[test]
fn lpxelinux_gets_an_empty_file_with_its_length() {
    let plan = Client::lpxelinux().file(&Method::GET, "/empty", 0);
    assert_eq!(plan.status, StatusCode::OK);
    assert_eq!(text(&plan, &CONTENT_LENGTH), Some("0"));
    assert_eq!(plan.body, []);
}

/// EDK2 allocates by the HEAD's Content-Length and reads by the GET's.
#[test]
fn edk2_head_then_get_have_identical_fields() {
    let client = Client::edk2();
    let target = "/efi64/bootx64.efi";
    let head = client.file(&Method::HEAD, target, 1000);
    let get = client.file(&Method::GET, target, 1000);
    assert_eq!((head.status, get.status), (StatusCode::OK, StatusCode::OK));
    assert_eq!(head.headers, get.headers);
    assert_eq!(text(&head, &CONTENT_LENGTH), Some("1000"));
    assert_eq!(text(&head, &CONTENT_TYPE), Some("application/efi"));
    assert_eq!(head.body, []);
    assert_eq!(get.body_len(), 1000);
    assert!(get.keep_alive);
}

#[test]
fn edk2_head_of_what_is_missing_is_404_with_the_length_of_the_page() {
    let client = Client::edk2();
    let missing = Outcome::Failed(ErrorKind::NotFound);
    let head = client.ask(&Method::HEAD, "/no.efi", missing);
    let get = client.ask(&Method::GET, "/no.efi", missing);
    assert_eq!(head.status, StatusCode::NOT_FOUND);
    assert_eq!(head.headers, get.headers);
    assert_eq!(head.body, []);
}

/// grub-core/net/http.c: a seek is a new request with `Range: bytes=N-`, and what comes is taken
/// for the bytes from N on.
#[test]
fn grub_seeks_with_an_open_range() {
    let client = Client::http_1_1(&[(RANGE, "bytes=990-")]);
    let plan = client.get("/linux");
    assert_eq!(plan.status, StatusCode::PARTIAL_CONTENT);
    assert_eq!(plan.body, [Piece::File(990..1000)]);
    assert_eq!(
        names(&plan)[..3],
        ["date", "content-range", "content-length"]
    );
    assert_eq!(text(&plan, &CONTENT_LENGTH), Some("10"));
    assert_eq!(plan.headers[1].1, "bytes 990-999/1000");
}

#[test]
fn ipxe_san_boot_asks_for_single_ranges() {
    let plan = Client::http_1_1(&[(RANGE, "bytes=512-1023")]).get("/disk.iso");
    assert_eq!(plan.status, StatusCode::PARTIAL_CONTENT);
    assert_eq!(plan.body, [Piece::File(512..1000)]);
    assert!(plan.keep_alive);
}

/// src/net/tcp/httpcore.c: iPXE waits that long and asks again.
#[test]
fn ipxe_tries_again_after_503() {
    let client = Client::http_1_1(&[]);
    for kind in [ErrorKind::Busy, ErrorKind::Stale] {
        let plan = client.ask(&Method::GET, "/a", Outcome::Failed(kind));
        assert_eq!(plan.status, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(text(&plan, &RETRY_AFTER), Some("1"));
    }
}

#[test]
fn busybox_wget_closes_after_one_reply() {
    let client = Client::http_1_1(&[(http::header::CONNECTION, "close")]);
    let plan = client.get("/by-mac/52:54:00:15:00:01/preseed.cfg");
    assert_eq!(plan.status, StatusCode::OK);
    assert_eq!(names(&plan).last(), Some(&"connection"));
    assert!(!plan.keep_alive);
}

#[test]
fn http_1_0_may_keep_its_connection_and_may_ask_for_ranges() {
    let client = Client::new(
        Version::HTTP_10,
        &[
            (http::header::CONNECTION, "Keep-Alive"),
            (RANGE, "bytes=0-0"),
        ],
    );
    let plan = client.get("/a");
    assert_eq!(plan.status, StatusCode::PARTIAL_CONTENT);
    assert!(plan.keep_alive);
    assert_eq!(text(&plan, &http::header::CONNECTION), Some("keep-alive"));
}

#[test]
fn unsatisfiable_ranges_are_told_the_length() {
    let plan = Client::http_1_1(&[(RANGE, "bytes=1000-")]).get("/a");
    assert_eq!(plan.status, StatusCode::RANGE_NOT_SATISFIABLE);
    assert_eq!(plan.headers[1].1, "bytes */1000");
    assert_eq!(
        page(&plan),
        "416 Range Not Satisfiable\n/a: has only 1000 bytes\n"
    );
}

#[test]
fn broken_and_repeated_ranges_get_the_whole_file() {
    for value in ["bytes=0-1,x", "bytes=9-1", "lines=1-2", "garbage"] {
        let plan = Client::http_1_1(&[(RANGE, value)]).get("/a");
        assert_eq!(plan.status, StatusCode::OK, "{value}");
        assert_eq!(plan.body_len(), 1000);
    }
    let twice = Client::http_1_1(&[(RANGE, "bytes=0-1"), (RANGE, "bytes=0-1")]);
    assert_eq!(twice.get("/a").status, StatusCode::OK);
}

/// RFC 9110 section 14.6, to the byte.
#[test]
fn several_ranges_are_parts_of_one_body() {
    let client = Client::http_1_1(&[(RANGE, "bytes=-1,2000-,0-9")]);
    let plan = client.get("/a.txt");
    assert_eq!(plan.status, StatusCode::PARTIAL_CONTENT);
    assert_eq!(
        names(&plan),
        [
            "date",
            "content-length",
            "content-type",
            "last-modified",
            "etag",
            "accept-ranges"
        ]
    );
    let boundary = text(&plan, &CONTENT_TYPE)
        .and_then(|value| value.strip_prefix("multipart/byteranges; boundary="))
        .expect("a boundary");
    assert!(!boundary.is_empty() && boundary.bytes().all(|byte| byte.is_ascii_alphanumeric()));
    let part = |range: &str| {
        format!(
            "--{boundary}\r\nContent-Type: text/plain; charset=utf-8\r\n\
             Content-Range: bytes {range}/1000\r\n\r\n"
        )
    };
    let piece = |text: String| Piece::Text(text.into());
    assert_eq!(
        plan.body,
        [
            piece(part("999-999")),
            Piece::File(999..1000),
            piece(format!("\r\n{}", part("0-9"))),
            Piece::File(0..10),
            piece(format!("\r\n--{boundary}--\r\n")),
        ]
    );
    let len = plan.body_len().to_string();
    assert_eq!(text(&plan, &CONTENT_LENGTH), Some(len.as_str()));

    // Of one range that is left, or that all were joined to, the plain form.
    for value in ["bytes=5-6,1000-", "bytes=5-5,6-6", "bytes=5-6,5-6,6-6"] {
        let plan = Client::http_1_1(&[(RANGE, value)]).get("/a.txt");
        assert_eq!(plan.body, [Piece::File(5..7)], "{value}");
        assert_eq!(plan.headers[1].1, "bytes 5-6/1000");
    }
}

#[test]
fn head_knows_no_ranges() {
    for value in ["bytes=0-9", "bytes=0-9,20-29", "bytes=1000-"] {
        let client = Client::http_1_1(&[(RANGE, value)]);
        let plan = client.file(&Method::HEAD, "/a", 1000);
        assert_eq!(plan.status, StatusCode::OK, "{value}");
        assert_eq!(text(&plan, &CONTENT_LENGTH), Some("1000"));
    }
}

#[test]
fn ranges_of_more_than_32_bits_are_exact() {
    let len = (4 << 30) + 1;
    let client = Client::http_1_1(&[(RANGE, "bytes=4294967296-")]);
    let plan = client.file(&Method::GET, "/big.iso", len);
    assert_eq!(plan.body, [Piece::File(4 << 30..len)]);
    assert_eq!(plan.headers[1].1, "bytes 4294967296-4294967296/4294967297");
}

#[test]
fn a_client_that_has_the_file_gets_304_without_body_or_length() {
    let first = Client::http_1_1(&[]).get("/a");
    let etag = first.header(&ETAG).expect("a tag").clone();
    assert_eq!(
        text(&first, &LAST_MODIFIED),
        Some("Sun, 06 Nov 1994 08:49:37 GMT")
    );
    let mut client = Client::http_1_1(&[]);
    client.headers.insert(IF_NONE_MATCH, etag);
    let second = client.get("/a");
    assert_eq!(second.status, StatusCode::NOT_MODIFIED);
    assert_eq!(second.body, []);
    assert_eq!(names(&second), ["date", "last-modified", "etag"]);

    // 304 comes before ranges, and before 416.
    client
        .headers
        .insert(RANGE, HeaderValue::from_static("bytes=5000-"));
    assert_eq!(client.get("/a").status, StatusCode::NOT_MODIFIED);

    let dated = Client::http_1_1(&[(IF_MODIFIED_SINCE, "Sun, 06 Nov 1994 08:49:37 GMT")]);
    assert_eq!(
        dated.file(&Method::HEAD, "/a", 1000).status,
        StatusCode::NOT_MODIFIED
    );
}

/// A Raspberry Pi as the server has no battery for its clock.
#[test]
fn a_server_whose_clock_is_behind_calls_no_new_content_unchanged() {
    let client = Client::http_1_1(&[(IF_MODIFIED_SINCE, "Sun, 06 Nov 1994 08:49:36 GMT")]);
    let head = RequestHead::new(&Method::GET, "/a", Version::HTTP_11, &client.headers);
    let media_type = HeaderValue::from_static("a/b");
    let outcome = Outcome::File {
        attributes: &attributes(10),
        media_type: &media_type,
    };
    for (now, last_modified) in [
        (30, Some("Thu, 01 Jan 1970 00:00:30 GMT")),
        (-1, None),
        (NOW.seconds, Some("Sun, 06 Nov 1994 08:49:37 GMT")),
    ] {
        let plan = plan(&head, outcome, Timestamp::from_seconds(now));
        assert_eq!(plan.status, StatusCode::OK, "at {now}");
        assert_eq!(text(&plan, &LAST_MODIFIED), last_modified);
    }
}

#[test]
fn a_resumed_download_of_a_replaced_file_starts_anew() {
    let old = Client::http_1_1(&[(RANGE, "bytes=500-"), (IF_RANGE, "\"other\"")]);
    let plan = old.get("/a");
    assert_eq!((plan.status, plan.body_len()), (StatusCode::OK, 1000));

    let etag = plan.header(&ETAG).expect("a tag").clone();
    let mut same = Client::http_1_1(&[(RANGE, "bytes=500-")]);
    same.headers.insert(IF_RANGE, etag);
    assert_eq!(same.get("/a").body, [Piece::File(500..1000)]);
}

#[test]
fn conditions_do_not_hide_errors() {
    let client = Client::http_1_1(&[(IF_NONE_MATCH, "*")]);
    let plan = client.ask(&Method::GET, "/a", Outcome::Failed(ErrorKind::NotFound));
    assert_eq!(plan.status, StatusCode::NOT_FOUND);
}

#[test]
fn a_failed_precondition_is_412() {
    let client = Client::http_1_1(&[(http::header::IF_MATCH, "\"other\"")]);
    let plan = client.get("/a");
    assert_eq!(plan.status, StatusCode::PRECONDITION_FAILED);
    assert_eq!(
        page(&plan),
        "412 Precondition Failed\n/a: not the version that the request is about\n"
    );
}

#[test]
fn pages_name_the_path_and_the_cause() {
    let client = Client::http_1_1(&[]);
    let page_of = |target: &str, outcome| {
        let plan = client.ask(&Method::GET, target, outcome);
        assert_eq!(
            text(&plan, &CONTENT_TYPE),
            Some("text/plain; charset=utf-8")
        );
        page(&plan).to_owned()
    };
    assert_eq!(
        page_of(
            "/efi64//shim%5fx.efi?x=1",
            Outcome::Failed(ErrorKind::NotFound)
        ),
        "404 Not Found\n/efi64/shim_x.efi: no such file or directory\n"
    );
    assert_eq!(
        page_of("/bios/", Outcome::Directory(None)),
        "403 Forbidden\n/bios: is a directory\n"
    );
    assert_eq!(
        page_of("/bios", Outcome::Failed(ErrorKind::IsADirectory)),
        "403 Forbidden\n/bios: is a directory\n"
    );
    assert_eq!(
        page_of("*", Outcome::Directory(None)),
        "400 Bad Request\n*: not a path to a file\n"
    );
    assert_eq!(
        page_of("/a%00", Outcome::Directory(None)),
        "404 Not Found\n/a%00: invalid name\n"
    );
    let long = page_of(&format!("/{}", "a".repeat(300)), Outcome::Directory(None));
    assert!(long.starts_with("414 URI Too Long\n/aaa") && long.len() < 400);
}

#[test]
fn every_error_kind_has_a_page() {
    for kind in ErrorKind::ALL {
        let plan = Client::http_1_1(&[]).ask(&Method::GET, "/a", Outcome::Failed(kind));
        assert_eq!(plan.status.as_u16(), kind.http_status());
        assert!(page(&plan).ends_with(&format!("/a: {kind}\n")));
    }
}

#[test]
fn methods_other_than_get_and_head_get_405_with_allow() {
    let client = Client::http_1_1(&[]);
    for method in [
        Method::POST,
        Method::PUT,
        Method::DELETE,
        Method::OPTIONS,
        Method::TRACE,
        Method::CONNECT,
        Method::from_bytes(b"PROPFIND").expect("a token"),
    ] {
        let plan = client.file(&method, "/a", 1000);
        assert_eq!(plan.status, StatusCode::METHOD_NOT_ALLOWED, "{method}");
        assert_eq!(text(&plan, &http::header::ALLOW), Some("GET, HEAD"));
    }
    // Even if the caller did not ask `route`.
    let head = RequestHead::new(&Method::POST, "/a", Version::HTTP_11, &client.headers);
    let media_type = HeaderValue::from_static("a/b");
    let outcome = Outcome::File {
        attributes: &attributes(10),
        media_type: &media_type,
    };
    assert_eq!(
        plan(&head, outcome, NOW).status,
        StatusCode::METHOD_NOT_ALLOWED
    );
}

/// RFC 3986 section 5.2: the names on a directory's page are relative to what its path has before
/// the last slash, and `../` leads up by one slash.
#[test]
fn a_directory_without_its_final_slash_is_redirected() {
    let client = Client::http_1_1(&[]);
    for (target, to) in [
        ("/bios", "/bios/"),
        ("/bios?a=b/c", "/bios/?a=b/c"),
        ("http://10.0.0.1/a%20b/52:54", "/a%20b/52:54/"),
        // Not the directory of a server named a.
        ("//a", "/a/"),
        ("/a/..//b", "/b/"),
        ("/bios//", "/bios/"),
        ("/os//debian/?a", "/os/debian/?a"),
        ("//", "/"),
    ] {
        let plan = client.ask(&Method::GET, target, Outcome::Directory(None));
        assert_eq!(plan.status, StatusCode::FOUND, "{target}");
        assert_eq!(text(&plan, &LOCATION), Some(to));
    }
    let plan = Client::lpxelinux().ask(&Method::GET, "/bios", Outcome::Directory(None));
    assert_eq!(text(&plan, &LOCATION), Some("http://10.0.0.1:8080/bios/"));
}

#[test]
fn a_source_cannot_add_header_fields() {
    let client = Client::http_1_1(&[]);
    let plan = client.ask(
        &Method::GET,
        "/a",
        Outcome::Moved("/b\r\nSet-Cookie: x\u{e9} \"<>\\^`{|}%20"),
    );
    assert_eq!(
        text(&plan, &LOCATION),
        Some("/b%0D%0ASet-Cookie:%20x%C3%A9%20%22%3C%3E%5C%5E%60%7B%7C%7D%20")
    );
}

fn field() -> impl Strategy<Value = String> {
    prop_oneof![
        "(Range|If-Range|If-Match|If-None-Match|Connection|Host|Cookie):[ -~]{0,30}",
        "Range: bytes=[0-9]{0,4}-[0-9]{0,4}",
        "Range: bytes=[0-9]{1,2}-,[0-9]{1,3}-[0-9]{3},-[0-9]{1,2}",
        "If-(Un)?modified-Since: Sun, 06 Nov 1994 08:4[0-9]:[0-5][0-9] GMT",
        "If-(None-)?Match: (W/)?\"0-1-[0-9a-f]{1,3}-[0-9]\"",
        "Accept: (text/html|text/plain|application/json|\\*/\\*)(;q=0\\.[0-9])?",
        "[ -~]{0,40}",
    ]
}

proptest! {
    #[test]
    fn every_plan_keeps_its_promises(
        choice in any::<[u8; 8]>(),
        target in prop_oneof!["/[a-z0-9/%.?]{0,20}", "[ -~]{0,30}", any::<String>()],
        fields in prop::collection::vec(field(), 0..6),
    ) {
        let mut data = choice.to_vec();
        data.extend_from_slice(target.as_bytes());
        for field in fields {
            data.push(b'\n');
            data.extend_from_slice(field.as_bytes());
        }
        fuzzing::fuzz_plan(&data);
    }

    #[test]
    fn garbage_harms_no_plan(data in prop::collection::vec(any::<u8>(), 0..200)) {
        fuzzing::fuzz_plan(&data);
    }
}

#[cfg(feature = "tokio")]
proptest! {
    #[test]
    fn every_head_is_read_alike_in_parts_and_answered(
        choice in any::<[u8; 7]>(),
        requests in prop::collection::vec(
            ("(GET|HEAD|POST) (/[a-z0-9/%.?]{0,20}|[ -~]{0,10}) HTTP/1\\.[01]", prop::collection::vec(field(), 0..4)),
            1..4,
        ),
    ) {
        let mut data = choice.to_vec();
        for (line, fields) in requests {
            data.extend_from_slice(line.as_bytes());
            data.extend_from_slice(b"\r\nHost: a\r\n");
            for field in fields {
                data.extend_from_slice(field.as_bytes());
                data.extend_from_slice(b"\r\n");
            }
            data.extend_from_slice(b"\r\n");
        }
        fuzzing::fuzz_head(&data);
    }
}
