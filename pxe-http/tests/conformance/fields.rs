//! Statuses and header fields.

use crate::driver::Driver;
use crate::on_every_driver;
use crate::support::Response;

on_every_driver! {
    every_status_has_content_length_before_the_last_header,
    a_client_that_has_the_file_gets_304_without_body_or_length,
    absolute_form_and_queries_are_understood,
}

async fn every_status_has_content_length_before_the_last_header(driver: Driver) {
    let server = driver.with_files().await;
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

async fn a_client_that_has_the_file_gets_304_without_body_or_length(driver: Driver) {
    let server = driver.with_files().await;
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

async fn absolute_form_and_queries_are_understood(driver: Driver) {
    let server = driver.with_files().await;
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
