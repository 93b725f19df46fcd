//! What a service answers for directories, as it is told to.

use std::future::poll_fn;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;

use http::{Request, Response};
use http_body::Body;
use pxe_http::{Directories, FileBody, FileService, ListingLimits, Peer};
use pxe_tree::{
    ErrorKind, FileRequest, MemTree, NameBuf, Opened, Source, Tree, TreeSource, source_fn,
};

async fn get(files: &FileService, path: &str) -> Response<FileBody> {
    get_from(files, path, [10, 0, 0, 7].into()).await
}

async fn get_from(files: &FileService, path: &str, client: IpAddr) -> Response<FileBody> {
    let peer = Peer::new((client, 49_153).into());
    let request = Request::get(path).header("Host", "a");
    let request = request.body(()).expect("a request");
    files.respond(peer, request).await
}

async fn text(response: Response<FileBody>) -> String {
    let mut body = response.into_body();
    let mut bytes = Vec::new();
    while let Some(frame) = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
        let data = frame.expect("no failure").into_data().expect("data");
        bytes.extend_from_slice(&data);
    }
    String::from_utf8(bytes).expect("text")
}

fn tree() -> Arc<dyn Source> {
    let tree = MemTree::new();
    tree.insert_file("os/linux", "kernel").expect("free");
    tree.insert_file("site/index.html", "<p>welcome</p>")
        .expect("free");
    // Browsers are sent to the file that the link leads to, not to the link.
    tree.insert_link("linked/index.html", "../site/index.html")
        .expect("free");
    tree.insert_file("odd/index.html/x", "").expect("free");
    Arc::new(TreeSource::new(Arc::new(tree)))
}

#[tokio::test]
async fn directories_are_refused_by_default() {
    let files = FileService::new(tree());
    for path in ["/", "/os", "/os/", "/site/"] {
        assert_eq!(get(&files, path).await.status(), 403, "{path}");
    }
}

/// As the example has it.
#[tokio::test]
async fn below_a_path_of_a_router_clients_are_sent_to_paths_below_it() {
    for base in ["/boot", "boot/"] {
        let files = FileService::new(tree())
            .directories(Directories::listed())
            .below(base);
        let peer = Peer::new(([10, 0, 0, 7], 49_153).into());
        let mut application = axum::Router::new()
            .nest_service("/boot", files)
            .layer(axum::Extension(peer));
        let mut get = |path: &str, version| {
            let request = Request::get(path).version(version).header("Host", "a:8080");
            let request = request.body(axum::body::Body::empty());
            tower_service::Service::call(&mut application, request.expect("a request"))
        };
        let Ok(moved) = get("/boot/os?x", http::Version::HTTP_11).await;
        assert_eq!(moved.status(), 302);
        assert_eq!(moved.headers()["location"], "/boot/os/?x");
        let Ok(listed) = get("/boot/os/?x", http::Version::HTTP_11).await;
        assert_eq!(listed.status(), 200);
        let Ok(moved) = get("/boot/os", http::Version::HTTP_10).await;
        assert_eq!(moved.headers()["location"], "http://a:8080/boot/os/");
    }
}

#[tokio::test]
async fn directories_are_listed_where_that_is_wanted() {
    let files = FileService::new(tree()).directories(Directories::listed());
    let moved = get(&files, "/os?x").await;
    assert_eq!(moved.status(), 302);
    assert_eq!(moved.headers()["location"], "/os/?x");
    let listing = get(&files, "/os/").await;
    assert_eq!(listing.status(), 200);
    assert_eq!(
        listing.headers()["content-type"],
        "text/html; charset=utf-8"
    );
    assert!(text(listing).await.contains("<a href=\"linux\">linux</a>"));
}

#[tokio::test]
async fn an_index_is_a_directorys_page() {
    let files = FileService::new(tree()).directories(Directories::listed());
    for path in ["/site/", "/linked/"] {
        let page = get(&files, path).await;
        assert_eq!(page.status(), 200);
        assert_eq!(page.headers()["content-type"], "text/html; charset=utf-8");
        assert_eq!(text(page).await, "<p>welcome</p>");
    }
    // What only has its name does not count.
    let listing = get(&files, "/odd/").await;
    assert!(text(listing).await.contains("index.html/"));

    let mut unlisted = Directories::refused();
    unlisted.index = NameBuf::new("index.html").ok();
    let files = FileService::new(tree()).directories(unlisted);
    assert_eq!(get(&files, "/site").await.status(), 302);
    assert_eq!(get(&files, "/site/").await.status(), 200);
    assert_eq!(get(&files, "/os/").await.status(), 403);
}

/// An index that may not be read is not passed over: a listing would show what it was to hide.
#[tokio::test]
async fn an_index_that_cannot_be_read_hides_its_directory() {
    let tree: Arc<dyn Tree> = Arc::new(MemTree::new());
    let source = source_fn(
        move |request: &FileRequest<'_>| match request.path.is_root() {
            true => Ok(Opened::Directory(Arc::clone(&tree), tree.root())),
            false => Err(ErrorKind::PermissionDenied.into()),
        },
    );
    let files = FileService::new(Arc::new(source)).directories(Directories::listed());
    assert_eq!(get(&files, "/").await.status(), 403);
}

fn listed_within(change: impl FnOnce(&mut ListingLimits)) -> FileService {
    let mut limits = ListingLimits::default();
    change(&mut limits);
    let mut directories = Directories::refused();
    directories.listing = Some(limits);
    FileService::new(tree()).directories(directories)
}

#[tokio::test]
async fn a_client_that_takes_its_listing_slowly_keeps_nobody_from_theirs() {
    let files = listed_within(|limits| limits.at_once_max = 1);
    let slow = get(&files, "/os/").await;
    assert_eq!(get(&files, "/os/").await.status(), 200);
    drop(slow);
}

/// Each page may take a MiB until its client has it.
#[tokio::test]
async fn pages_that_wait_for_their_clients_are_bounded() {
    let page_len = text(get(&listed_within(|_| {}), "/os/").await).await.len();
    let files = listed_within(|limits| limits.sent_bytes_max = page_len * 12);
    let mut of_one = Vec::new();
    for _ in 0..3 {
        of_one.push(get(&files, "/os/").await);
    }
    let beyond = get(&files, "/os/").await;
    assert_eq!(beyond.status(), 503);
    assert_eq!(beyond.headers()["retry-after"], "1");
    // Others have theirs, until it is too much for all together.
    let mut of_others = Vec::new();
    for number in 1..=9 {
        let page = get_from(&files, "/os/", [10, 0, 1, number].into()).await;
        assert_eq!(page.status(), 200);
        of_others.push(page);
    }
    let beyond = get_from(&files, "/os/", [10, 0, 1, 10].into()).await;
    assert_eq!(beyond.status(), 503);
    // A place is given back with the end of a response, whether it was read or not.
    of_others.pop();
    let read = of_one.pop().expect("one of three");
    text(read).await;
    for _ in 0..2 {
        of_one.clear();
        of_one.push(get(&files, "/os/").await);
        assert_eq!(of_one[0].status(), 200);
    }
}

#[cfg(feature = "tokio")]
#[tokio::test]
async fn a_server_lists_directories_as_well() {
    use std::time::Duration;

    use pxe_http::Server;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;

    let bound = Server::bind("127.0.0.1:0").expect("a port");
    let address = bound.local_addr();
    let server = Server::new().directories(Directories::listed());
    let handle = server.listen(bound, tree()).start().expect("a runtime");
    let mut stream = TcpStream::connect(address).await.expect("a connection");
    let request = b"GET /os/ HTTP/1.0\r\nAccept: application/json\r\n\r\n";
    stream.write_all(request).await.expect("to be taken");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("text");
    assert!(answer.contains(" 200 OK\r\n"), "{answer}");
    let entry = r#"{"name":"linux","href":"linux","type":"file","size":6}"#;
    assert!(answer.contains(entry), "{answer}");
    handle.shutdown(Duration::ZERO).await;
}
