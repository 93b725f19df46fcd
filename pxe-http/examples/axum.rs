//! Boot files below `/boot/` of an application's own server, written with axum:
//! `axum DIRECTORY ADDRESS:PORT`, for example `axum /srv/tftp 127.0.0.1:8080`; then
//! `curl -L http://127.0.0.1:8080/boot/bios` and `curl http://127.0.0.1:8080/healthy`.

use std::error::Error;
use std::sync::Arc;

use axum::routing::get;
use axum::{Extension, Router};
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use pxe_http::{Directories, FileService, Peer};
use pxe_tree::{DirTree, TreeSource};
use tokio::net::TcpListener;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [directory, address] = arguments.as_slice() else {
        return Err("usage: axum DIRECTORY ADDRESS:PORT".into());
    };
    let source = Arc::new(TreeSource::new(Arc::new(DirTree::new(directory)?)));
    let files = FileService::new(source)
        .directories(Directories::listed())
        .below("/boot")
        .on_event(|event| println!("{event:?}"));
    let application = Router::new()
        .route("/healthy", get(|| async { "yes\n" }))
        .nest_service("/boot", files);

    // `axum::serve` would do for browsers. It writes the names of fields in lower case, though, and
    // GRUB finds `Content-Length` with regard to case.
    let listener = TcpListener::bind(address).await?;
    loop {
        let (stream, remote) = listener.accept().await?;
        let peer = Peer::new(remote).with_local(stream.local_addr()?);
        // Whoever uses `axum::serve` makes the same extension of `ConnectInfo`, in a middleware.
        let service = TowerToHyperService::new(application.clone().layer(Extension(peer)));
        let connection = http1::Builder::new()
            .title_case_headers(true)
            .half_close(true)
            .serve_connection(TokioIo::new(stream), service);
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                println!("{remote}: {error}");
            }
        });
    }
}
