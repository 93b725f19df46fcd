//! What the HTTP clients of firmware and boot loaders ask, and what they need to be answered.

use std::sync::Arc;

use pxe_http::{Event, ResponseEnd};
use pxe_tree::TreePath;

use crate::driver::Driver;
use crate::on_every_driver;
use crate::support::Response;

on_every_driver! {
    lpxelinux_takes_only_200_and_needs_content_length_before_the_last_header,
    lpxelinux_is_told_of_as_an_event_with_its_mac_address,
    grub_finds_content_length_with_regard_to_case,
    edk2_head_then_get_over_one_connection,
    ipxe_keeps_its_connection,
    busybox_wget_leaves_colons_unescaped_and_closes,
}

const LPXELINUX: &str = "GET /hello HTTP/1.0\r\nHost: 10.0.0.1:8080\r\n\
    User-Agent: Syslinux/6.04\r\nConnection: close\r\n\
    Cookie: _Syslinux_ip=10.0.0.7:10.0.0.1::255.255.255.0; \
    _Syslinux_BOOTIF=01-52-54-00-15-00-01\r\n\r\n";

/// syslinux, core/fs/pxe/http.c: HTTP/1.0, 200 only, a field is read when the next one begins, and
/// the content ends with the connection.
async fn lpxelinux_takes_only_200_and_needs_content_length_before_the_last_header(driver: Driver) {
    let server = driver.with_files().await;
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

async fn lpxelinux_is_told_of_as_an_event_with_its_mac_address(driver: Driver) {
    let mut server = driver.with_files().await;
    server.exchange(LPXELINUX).await;
    let request = server
        .event(|event| match event {
            Event::Request(request) => Some(request),
            _ => None,
        })
        .await;
    assert_eq!(request.remote.ip(), server.address.ip());
    assert_eq!(request.local, Some(server.address));
    assert_eq!(request.protocol, driver.protocol());
    assert_eq!(request.head.method, "GET");
    assert_eq!(request.head.target, "/hello");
    assert_eq!(request.head.path, TreePath::parse("hello").ok());
    assert_eq!(request.head.user_agent.as_deref(), Some("Syslinux/6.04"));
    assert_eq!(request.head.bootif, Some([0x52, 0x54, 0, 0x15, 0, 1]));

    let response = server.response_event().await;
    assert!(Arc::ptr_eq(&response.request, &request));
    assert_eq!(response.status, 200);
    assert_eq!((response.bytes_sent, response.bytes_expected), (13, 13));
    assert_eq!(response.end, ResponseEnd::Complete);
}

/// grub-core/net/http.c, parse_line: it wants `HTTP/1.1 ` and finds `Content-Length: ` with regard
/// to case; without it, it reads until the connection closes.
async fn grub_finds_content_length_with_regard_to_case(driver: Driver) {
    let server = driver.with_files().await;
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
async fn edk2_head_then_get_over_one_connection(driver: Driver) {
    let server = driver.with_files().await;
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
}

/// iPXE fetches script, kernel and initrd over one connection.
async fn ipxe_keeps_its_connection(driver: Driver) {
    let server = driver.with_files().await;
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

async fn busybox_wget_leaves_colons_unescaped_and_closes(driver: Driver) {
    let server = driver.with_files().await;
    let request = "GET /52:54:00:15:00:01 HTTP/1.1\r\nHost: 10.0.0.1\r\n\
        User-Agent: Wget\r\nConnection: close\r\n\r\n";
    let response = Response::parse(&server.exchange(request).await);
    assert_eq!(response.status, "HTTP/1.1 200 OK");
    assert_eq!(response.body, b"hello, world\n");
}
