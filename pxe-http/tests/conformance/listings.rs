//! Directories: their listings for people and programs, and their index.

use std::sync::Arc;

use pxe_http::{Directories, Limits};
use pxe_tree::{MemTree, Source, TreeSource};

use crate::driver::{Driver, Running};
use crate::on_every_driver;
use crate::support::Response;

on_every_driver! {
    a_directory_is_listed_for_people_and_for_programs,
    a_directory_without_its_slash_is_redirected,
    a_directory_with_an_index_is_that_page,
    a_listing_asked_for_by_head_has_no_body,
    a_directory_is_refused_where_none_is_listed,
}

fn tree() -> Arc<dyn Source> {
    let tree = MemTree::new();
    tree.insert_file("os/linux", &b"kernel"[..]).expect("room");
    tree.insert_file("os/initrd.gz", &b"initrd"[..])
        .expect("room");
    tree.insert_file("page/index.html", &b"<p>page"[..])
        .expect("room");
    Arc::new(TreeSource::new(Arc::new(tree)))
}

async fn listed(driver: Driver) -> Running {
    driver
        .start_with(Limits::default(), Directories::listed(), tree())
        .await
}

async fn get(server: &Running, line: &str, fields: &str) -> Response {
    let request = format!("{line} HTTP/1.1\r\nHost: a\r\n{fields}Connection: close\r\n\r\n");
    Response::parse(&server.exchange(request).await)
}

async fn a_directory_is_listed_for_people_and_for_programs(driver: Driver) {
    let server = listed(driver).await;
    let page = get(&server, "GET /os/", "").await;
    assert_eq!(page.status, "HTTP/1.1 200 OK");
    let kind = page.field("Content-Type").expect("a type");
    assert!(kind.starts_with("text/html"), "{kind}");
    let text = String::from_utf8(page.body).expect("text");
    let (initrd, linux) = (text.find("initrd.gz"), text.find("linux"));
    assert!(initrd.is_some() && initrd < linux, "{text}");

    let json = get(&server, "GET /os/", "Accept: application/json\r\n").await;
    let kind = json.field("Content-Type").expect("a type");
    assert!(kind.starts_with("application/json"), "{kind}");
    let text = String::from_utf8(json.body).expect("text");
    assert!(
        text.contains("\"initrd.gz\"") && text.contains("\"linux\""),
        "{text}"
    );
}

async fn a_directory_without_its_slash_is_redirected(driver: Driver) {
    let server = listed(driver).await;
    let moved = get(&server, "GET /os", "").await;
    assert!(moved.status.starts_with("HTTP/1.1 30"), "{}", moved.status);
    let to = moved.field("Location").expect("a place");
    assert!(to.ends_with("os/"), "{to}");
}

async fn a_directory_with_an_index_is_that_page(driver: Driver) {
    let server = listed(driver).await;
    assert_eq!(get(&server, "GET /page/", "").await.body, b"<p>page");
}

async fn a_listing_asked_for_by_head_has_no_body(driver: Driver) {
    let server = listed(driver).await;
    let whole = get(&server, "GET /os/", "").await;
    let head = get(&server, "HEAD /os/", "").await;
    assert_eq!(head.status, "HTTP/1.1 200 OK");
    let len = whole.body.len().to_string();
    assert_eq!(head.field("Content-Length"), Some(len.as_str()));
    assert_eq!(head.body, b"");
}

async fn a_directory_is_refused_where_none_is_listed(driver: Driver) {
    let server = driver.start(Limits::default(), tree()).await;
    assert_eq!(
        get(&server, "GET /os/", "").await.status,
        "HTTP/1.1 403 Forbidden"
    );
}
