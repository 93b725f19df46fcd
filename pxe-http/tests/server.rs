//! The server on loopback, byte for byte.

mod support;

use std::sync::Arc;

use pxe_http::{Event, ResponseEnd};
use pxe_tree::{ErrorKind, MemBlob, Protocol, TreePath};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use support::{PatternBlob, Response, Running, pattern, within_bounds};

const LPXELINUX: &str = "GET /hello HTTP/1.0\r\nHost: 10.0.0.1:8080\r\n\
    User-Agent: Syslinux/6.04\r\nConnection: close\r\n\
    Cookie: _Syslinux_ip=10.0.0.7:10.0.0.1::255.255.255.0; \
    _Syslinux_BOOTIF=01-52-54-00-15-00-01\r\n\r\n";

/// syslinux, core/fs/pxe/http.c: HTTP/1.0, 200 only, a field is read when the next one begins, and
/// the content ends with the connection.
#[tokio::test]
async fn lpxelinux_takes_only_200_and_needs_content_length_before_the_last_header() {
    let server = Running::with_files();
    let response = Response::parse(&server.exchange(LPXELINUX).await);
    assert_eq!(response.status, "HTTP/1.0 200 OK");
    assert_eq!(
        response.names(),
        [
            "Date",
            "Content-Length",
            "Content-Type",
            "Last-Modified",
            "Etag",
            "Accept-Ranges",
            "Connection"
        ]
    );
    assert_eq!(response.field("Content-Length"), Some("13"));
    assert_eq!(response.field("Connection"), Some("close"));
    assert_eq!(response.body, b"hello, world\n");
}

#[tokio::test]
async fn lpxelinux_is_told_of_as_an_event_with_its_mac_address() {
    let mut server = Running::with_files();
    server.exchange(LPXELINUX).await;
    let request = server
        .event(|event| match event {
            Event::Request(request) => Some(request),
            _ => None,
        })
        .await;
    assert_eq!(request.remote.ip(), server.address.ip());
    assert_eq!(request.local, Some(server.address));
    assert_eq!(request.protocol, Protocol::Http);
    assert_eq!(request.method, "GET");
    assert_eq!(request.target, "/hello");
    assert_eq!(request.path, TreePath::parse("hello").ok());
    assert_eq!(request.user_agent.as_deref(), Some("Syslinux/6.04"));
    assert_eq!(request.bootif, Some([0x52, 0x54, 0, 0x15, 0, 1]));

    let response = server.response_event().await;
    assert!(Arc::ptr_eq(&response.request, &request));
    assert_eq!(response.status, 200);
    assert_eq!((response.bytes_sent, response.bytes_expected), (13, 13));
    assert_eq!(response.end, ResponseEnd::Complete);
}

/// grub-core/net/http.c, parse_line: it wants `HTTP/1.1 ` and finds `Content-Length: ` with regard
/// to case; without it, it reads until the connection closes.
#[tokio::test]
async fn grub_finds_content_length_with_regard_to_case() {
    let server = Running::with_files();
    let mut client = server.connect().await;
    client
        .send("GET /hello HTTP/1.1\r\nHost: 10.0.0.1\r\nUser-Agent: GRUB 2.06\r\n\r\n")
        .await;
    let head = client.head().await;
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    assert!(head.contains("\r\nContent-Length: 13\r\n"), "{head}");
    assert!(!head.contains("chunked"), "{head}");
    assert_eq!(client.body(13).await, b"hello, world\n");
}

/// EDK2 asks HEAD first, without a port in Host, and allocates by its Content-Length.
#[tokio::test]
async fn edk2_head_then_get_over_one_connection() {
    let server = Running::with_files();
    let mut client = server.connect().await;
    let request = |method| {
        format!(
            "{method} /efi64//grubx64.efi HTTP/1.1\r\nHost: 10.0.0.1\r\nAccept: */*\r\n\
             User-Agent: UefiHttpBoot/1.0\r\n\r\n"
        )
    };
    client.send(request("HEAD")).await;
    let head = client.head().await;
    client.send(request("GET")).await;
    let get = client.head().await;
    let undated = |head: &str| {
        let (date, rest) = head
            .split_once("\r\nContent-Length: 2\r\nContent-Type: application/efi\r\n")
            .unwrap_or_else(|| panic!("{head}"));
        assert!(date.starts_with("HTTP/1.1 200 OK\r\nDate: "), "{head}");
        rest.to_owned()
    };
    assert_eq!(undated(&head), undated(&get));
    assert_eq!(client.body(2).await, b"MZ");
    assert_eq!(server.handle.connections(), 1);
}

/// iPXE fetches script, kernel and initrd over one connection.
#[tokio::test]
async fn ipxe_keeps_its_connection() {
    let server = Running::with_files();
    let mut client = server.connect().await;
    for _ in 0..3 {
        client
            .send("GET /hello HTTP/1.1\r\nConnection: keep-alive\r\nHost: 10.0.0.1:8080\r\n\r\n")
            .await;
        let head = client.head().await;
        assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
        assert_eq!(client.body(13).await, b"hello, world\n");
    }
}

#[tokio::test]
async fn http_1_0_keeps_its_connection_only_if_asked_to() {
    let server = Running::with_files();
    let mut client = server.connect().await;
    client
        .send("GET /hello HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
        .await;
    let head = client.head().await;
    assert!(
        head.ends_with("\r\nConnection: keep-alive\r\n\r\n"),
        "{head}"
    );
    client.body(13).await;
    client.send("GET /hello HTTP/1.0\r\n\r\n").await;
    let last = Response::parse(&client.rest().await);
    assert_eq!(last.field("Connection"), Some("close"));
    assert_eq!(last.body, b"hello, world\n");
}

#[tokio::test]
async fn busybox_wget_leaves_colons_unescaped_and_closes() {
    let server = Running::with_files();
    let request = "GET /52:54:00:15:00:01 HTTP/1.1\r\nHost: 10.0.0.1\r\n\
        User-Agent: Wget\r\nConnection: close\r\n\r\n";
    let response = Response::parse(&server.exchange(request).await);
    assert_eq!(response.status, "HTTP/1.1 200 OK");
    assert_eq!(response.body, b"hello, world\n");
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_order() {
    let mut server = Running::with_files();
    let request = "GET /hello HTTP/1.1\r\nHost: a\r\n\r\n\
        HEAD /hello HTTP/1.1\r\nHost: a\r\n\r\n\
        GET /none HTTP/1.1\r\nHost: a\r\n\r\n\
        GET /hello HTTP/1.1\r\nHost: a\r\nRange: bytes=7-11\r\nConnection: close\r\n\r\n";
    let bytes = server.exchange(request).await;
    let text = String::from_utf8(bytes).expect("text");
    let parts: Vec<_> = text.split("HTTP/1.1 ").collect();
    assert_eq!(parts.len(), 5, "{text}");
    assert!(parts[1].starts_with("200 ") && parts[1].ends_with("\r\n\r\nhello, world\n"));
    assert!(parts[2].starts_with("200 ") && parts[2].ends_with("\r\n\r\n"));
    assert!(
        parts[3].starts_with("404 ") && parts[3].ends_with("/none: no such file or directory\n")
    );
    assert!(parts[4].starts_with("206 ") && parts[4].ends_with("\r\n\r\nworld"));
    for bytes_sent in [13, 0, 47, 5] {
        let response = server.response_event().await;
        assert_eq!(response.bytes_sent, bytes_sent, "{response:?}");
        assert_eq!(response.end, ResponseEnd::Complete);
    }
}

#[tokio::test]
async fn every_status_has_content_length_before_the_last_header() {
    let server = Running::with_files();
    for (request, status) in [
        ("GET /none HTTP/1.0", "404 Not Found"),
        ("GET /old HTTP/1.0", "302 Found"),
        ("GET /empty HTTP/1.0", "200 OK"),
        ("HEAD /hello HTTP/1.0", "200 OK"),
        ("POST /hello HTTP/1.0", "405 Method Not Allowed"),
        ("OPTIONS * HTTP/1.0", "405 Method Not Allowed"),
        (
            "GET /hello HTTP/1.0\r\nRange: bytes=1-2",
            "206 Partial Content",
        ),
        (
            "GET /hello HTTP/1.0\r\nRange: bytes=99-",
            "416 Range Not Satisfiable",
        ),
        (
            "GET /hello HTTP/1.0\r\nIf-Match: \"x\"",
            "412 Precondition Failed",
        ),
        ("GET hello HTTP/1.0", "400 Bad Request"),
    ] {
        let bytes = server.exchange(format!("{request}\r\n\r\n")).await;
        let response = Response::parse(&bytes);
        assert_eq!(response.status, format!("HTTP/1.0 {status}"), "{request}");
        let names = response.names();
        let at = names
            .iter()
            .position(|name| name.eq_ignore_ascii_case("content-length"))
            .unwrap_or_else(|| panic!("{request}: {names:?}"));
        assert!(at + 1 < names.len(), "{request}: {names:?}");
    }
}

#[tokio::test]
async fn a_client_that_has_the_file_gets_304_without_body_or_length() {
    let server = Running::with_files();
    let mut client = server.connect().await;
    client
        .send(
            "GET /hello HTTP/1.1\r\nHost: a\r\n\
             If-Modified-Since: Sun, 06 Nov 1994 08:49:37 GMT\r\n\r\n\
             GET /hello HTTP/1.1\r\nHost: a\r\n\r\n",
        )
        .await;
    let head = client.head().await;
    assert!(head.starts_with("HTTP/1.1 304 Not Modified\r\n"), "{head}");
    assert!(!head.contains("Content-Length"), "{head}");
    assert!(client.head().await.starts_with("HTTP/1.1 200 OK\r\n"));
}

#[tokio::test]
async fn absolute_form_and_queries_are_understood() {
    let server = Running::with_files();
    for (target, body) in [
        (
            "http://10.0.0.1:8080/query?mac=52:54:00&uuid=",
            "mac=52:54:00&uuid=",
        ),
        ("/query?a?b=%41", "a?b=%41"),
        ("/query?", ""),
        ("/%71uery", "none"),
    ] {
        let request = format!("GET {target} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        let response = Response::parse(&server.exchange(request).await);
        assert_eq!(response.status, "HTTP/1.1 200 OK", "{target}");
        assert_eq!(response.body, body.as_bytes(), "{target}");
    }
}

#[tokio::test]
async fn a_post_with_a_body_is_refused_and_its_body_is_no_request() {
    let server = Running::with_files();
    let body = "GET /hello HTTP/1.1\r\nHost: a\r\n\r\n";
    let request = format!(
        "POST /hello HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let response = Response::parse(&server.exchange(request).await);
    assert_eq!(response.status, "HTTP/1.1 405 Method Not Allowed");
    assert_eq!(response.field("Allow"), Some("GET, HEAD"));
    assert_eq!(response.field("Connection"), Some("close"));
    assert_eq!(
        response.body,
        b"405 Method Not Allowed\nPOST: only GET and HEAD are served\n"
    );
}

#[tokio::test]
async fn a_client_that_closes_its_sending_side_gets_its_file() {
    let server = Running::with_blob(Arc::new(PatternBlob::new(1 << 20)));
    let mut client = server.connect().await;
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    client.stream.shutdown().await.expect("half a close");
    let response = Response::parse(&client.rest().await);
    assert_eq!(response.body.len(), 1 << 20);
}

async fn get_large(blob: PatternBlob) {
    let len = blob.attributes.len;
    let mut server = Running::with_blob(Arc::new(blob));
    let response = Response::parse(&server.exchange("GET / HTTP/1.0\r\n\r\n").await);
    assert_eq!(
        response.field("Content-Length"),
        Some(len.to_string().as_str())
    );
    assert_eq!(response.body.len() as u64, len);
    assert!(
        response
            .body
            .iter()
            .zip(0..)
            .all(|(&byte, at)| byte == pattern(at))
    );
    let told = server.response_event().await;
    assert_eq!((told.bytes_sent, told.end), (len, ResponseEnd::Complete));
}

/// Not a multiple of a chunk, so that the last one is short.
const LARGE: u64 = 5 * 1024 * 1024 + 17;

#[tokio::test]
async fn five_mebibytes_that_have_to_be_waited_for_are_intact() {
    get_large(PatternBlob::new(LARGE)).await;
}

#[tokio::test]
async fn five_mebibytes_that_are_at_hand_are_intact() {
    let mut blob = PatternBlob::new(LARGE);
    blob.now = true;
    get_large(blob).await;
}

#[tokio::test]
async fn five_mebibytes_in_memory_are_intact() {
    let content: Vec<u8> = (0..LARGE).map(pattern).collect();
    let server = Running::with_blob(MemBlob::new(content.clone()));
    let response = Response::parse(&server.exchange("GET / HTTP/1.0\r\n\r\n").await);
    assert!(response.body == content);
}

#[tokio::test]
async fn a_range_beyond_4_gib_is_intact() {
    let server = Running::with_blob(Arc::new(PatternBlob::new((4 << 30) + 100)));
    let request = "GET / HTTP/1.0\r\nRange: bytes=4294967290-4294967305\r\n\r\n";
    let response = Response::parse(&server.exchange(request).await);
    assert_eq!(
        response.field("Content-Range"),
        Some("bytes 4294967290-4294967305/4294967396")
    );
    let expected: Vec<u8> = (4_294_967_290..4_294_967_306).map(pattern).collect();
    assert_eq!(response.body, expected);
}

#[tokio::test]
async fn a_slow_reader_gets_its_file_intact() {
    let server = Running::with_blob(Arc::new(PatternBlob::new(LARGE)));
    let mut client = server.connect().await;
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    client.head().await;
    let mut at = 0;
    let mut buf = [0; 1000];
    while at < LARGE {
        let len = within_bounds(client.stream.read(&mut buf))
            .await
            .expect("bytes");
        assert!(len > 0, "closed at {at}");
        assert!(
            buf[..len]
                .iter()
                .zip(at..)
                .all(|(&byte, at)| byte == pattern(at))
        );
        at += len as u64;
        tokio::task::yield_now().await;
    }
}

async fn get_failing(mut blob: PatternBlob, now: bool) -> (Vec<u8>, ResponseEnd) {
    blob.now = now;
    let mut server = Running::with_blob(Arc::new(blob));
    let mut client = server.connect().await;
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let response = Response::parse(&client.rest().await);
    assert_eq!(response.field("Content-Length"), Some("1000000"));
    let told = server.response_event().await;
    assert!(told.bytes_sent < told.bytes_expected);
    (response.body, told.end)
}

#[tokio::test]
async fn a_file_that_changes_or_fails_closes_short() {
    for now in [false, true] {
        for kind in [ErrorKind::Stale, ErrorKind::Io] {
            let mut blob = PatternBlob::new(1_000_000);
            blob.fails = Some((500_000, kind));
            let (body, end) = get_failing(blob, now).await;
            assert!(body.len() < 1_000_000);
            assert_eq!(end, ResponseEnd::FileFailed(kind));
        }
    }
}

#[tokio::test]
async fn a_file_that_shrinks_closes_short() {
    for now in [false, true] {
        let mut blob = PatternBlob::new(1_000_000);
        blob.ends = Some(999_999);
        let (body, end) = get_failing(blob, now).await;
        assert!(body.len() < 1_000_000);
        assert_eq!(end, ResponseEnd::FileFailed(ErrorKind::Stale));
    }
}

#[tokio::test]
async fn a_client_that_leaves_is_told_of() {
    let mut server = Running::with_blob(Arc::new(PatternBlob::new(1 << 40)));
    let mut client = server.connect().await;
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    client.head().await;
    drop(client);
    let told = server.response_event().await;
    assert_eq!(told.end, ResponseEnd::Disconnected);
    assert!(told.bytes_sent < told.bytes_expected);
}

#[tokio::test]
async fn garbage_is_answered_400_and_told_of() {
    for garbage in [
        "garbage\r\n\r\n",
        "GET / HTTP/7.3\r\n\r\n",
        "\u{1}\u{2}\u{3}\r\n\r\n",
        "GET /\r\n\r\n",
    ] {
        let mut server = Running::with_files();
        let bytes = server.exchange(garbage).await;
        assert!(bytes.starts_with(b"HTTP/1.1 400 "), "{garbage:?}");
        let cause = server
            .event(|event| match event {
                Event::Malformed(malformed) => Some(malformed.cause),
                _ => None,
            })
            .await;
        assert!(!cause.is_empty());
    }
}
