//! The service alone, as a server of someone else's would call it.

use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::{Arc, Mutex};

use http::{HeaderValue, Request, Response};
use http_body::Body;
use pxe_http::{Event, FileBody, FileService, MediaTypes, Peer, ResponseEnd};
use pxe_tree::{MemTree, Opened, Protocol, Source, TreeSource, source_fn};

fn peer() -> Peer {
    Peer::new("10.0.0.7:49153".parse().expect("an address"))
}

async fn collect(response: Response<FileBody>) -> Vec<u8> {
    let mut body = response.into_body();
    let mut bytes = Vec::new();
    while let Some(frame) = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
        let data = frame.expect("no failure").into_data().expect("data");
        bytes.extend_from_slice(&data);
    }
    bytes
}

fn tree() -> Arc<dyn Source> {
    let tree = MemTree::new();
    tree.insert_file("os/linux", &b"kernel"[..]).expect("room");
    tree.insert_link("bios/os", "../os").expect("room");
    Arc::new(TreeSource::new(Arc::new(tree)))
}

#[tokio::test]
async fn a_tree_is_served_with_its_links() {
    let files = FileService::new(tree());
    let request = Request::get("/bios/os/linux").header("Host", "a");
    let response = files
        .respond(peer(), request.body(()).expect("a request"))
        .await;
    assert_eq!(response.status(), 200);
    assert!(response.headers().contains_key("etag"));
    assert_eq!(response.body().size_hint().exact(), Some(6));
    assert_eq!(collect(response).await, b"kernel");
}

#[tokio::test]
async fn a_directory_is_forbidden_unless_it_is_to_be_listed() {
    let files = FileService::new(tree());
    for path in ["/os", "/os/", "/bios/os"] {
        let request = Request::get(path).header("Host", "a");
        let response = files
            .respond(peer(), request.body(()).expect("a request"))
            .await;
        assert_eq!(response.status(), 403);
        let page = String::from_utf8(collect(response).await).expect("text");
        assert_eq!(
            page,
            format!(
                "403 Forbidden\n{}: is a directory\n",
                path.trim_end_matches('/')
            )
        );
    }
}

#[tokio::test]
async fn it_is_a_service_of_hyper() {
    async fn call<S>(service: S) -> S::Response
    where
        S: hyper::service::Service<Request<String>, Error = Infallible>,
    {
        let request = Request::get("/os/linux").header("Host", "a");
        match service
            .call(request.body("unread".into()).expect("a request"))
            .await
        {
            Ok(response) => response,
            Err(never) => match never {},
        }
    }
    let files = FileService::new(tree());
    assert_eq!(collect(call(files.for_peer(peer())).await).await, b"kernel");
}

#[tokio::test]
async fn it_is_a_service_of_tower_where_the_peer_is_an_extension() {
    async fn call<S>(mut service: S, request: Request<String>) -> Response<FileBody>
    where
        S: tower_service::Service<
                Request<String>,
                Response = Response<FileBody>,
                Error = Infallible,
            >,
    {
        match service.call(request).await {
            Ok(response) => response,
            Err(never) => match never {},
        }
    }
    let seen = Arc::new(Mutex::new(Vec::new()));
    let sees = Arc::clone(&seen);
    let files = FileService::new(tree()).on_event(move |event| {
        if let Event::Request(request) = event {
            sees.lock().expect("no panic").push(request.remote);
        }
    });
    let request = || Request::get("/os/linux").header("Host", "a");
    let unread = || "unread".to_owned();

    let known = request()
        .extension(peer())
        .body(unread())
        .expect("a request");
    assert_eq!(collect(call(files.clone(), known).await).await, b"kernel");
    let known = request().body(unread()).expect("a request");
    assert_eq!(
        collect(call(files.for_peer(peer()), known).await).await,
        b"kernel"
    );
    let unknown = request().body(unread()).expect("a request");
    assert_eq!(call(files, unknown).await.status(), 500);
    assert_eq!(*seen.lock().expect("no panic"), [peer().remote; 2]);
}

#[tokio::test]
async fn a_source_sees_who_asks() {
    let local = "10.0.0.1:8080".parse().expect("an address");
    let source = source_fn(move |request: &pxe_tree::FileRequest<'_>| {
        assert_eq!(request.protocol, Protocol::Https);
        assert_eq!(request.remote, peer().remote);
        assert_eq!(request.local, Some(local));
        assert_eq!(request.path.to_string(), "/boot.ipxe");
        assert_eq!(request.query, Some("uuid=1"));
        assert_eq!(request.user_agent, Some("iPXE/1.21"));
        assert_eq!(request.cookie, Some("a=b"));
        Ok(Opened::Moved("/other".into()))
    });
    let files = FileService::new(Arc::new(source));
    let request = Request::get("/boot.ipxe?uuid=1")
        .version(http::Version::HTTP_10)
        .header("Host", "a")
        .header("User-Agent", "iPXE/1.21")
        .header("Cookie", "a=b");
    let peer = peer().with_local(local).over_tls();
    let response = files
        .respond(peer, request.body(()).expect("a request"))
        .await;
    assert_eq!(response.headers()["location"], "https://a/other");
}

#[tokio::test]
async fn media_types_and_events_can_be_chosen() {
    let mut types = MediaTypes::new();
    types.set_fallback(HeaderValue::from_static("application/x-boot"));
    let told = Arc::new(Mutex::new(Vec::new()));
    let teller = Arc::clone(&told);
    let files = FileService::new(tree())
        .media_types(types)
        .on_event(move |event| {
            if let Event::Response(response) = event {
                let mut told = teller.lock().expect("no panic");
                told.push((response.bytes_sent, response.end));
            }
        });
    let request = || {
        Request::get("/os/linux")
            .header("Host", "a")
            .body(())
            .expect("a request")
    };
    let response = files.respond(peer(), request()).await;
    assert_eq!(response.headers()["content-type"], "application/x-boot");
    collect(response).await;
    drop(files.respond(peer(), request()).await);
    assert_eq!(
        *told.lock().expect("no panic"),
        [(6, ResponseEnd::Complete), (0, ResponseEnd::Disconnected)]
    );
}
