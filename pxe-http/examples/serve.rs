//! Serves a directory: `serve DIRECTORY ADDRESS:PORT [CERTIFICATE KEY]`, for example
//! `serve /srv/tftp 0.0.0.0:8080`; with a certificate and its key (PEM files), over TLS:
//! `cargo run -p pxe-http --features tls --example serve -- /srv/tftp 0.0.0.0:8443 https.crt https.key`.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use pxe_http::Server;
use pxe_tree::{DirTree, TreeSource};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (directory, address, files) = match arguments.as_slice() {
        [directory, address] => (directory, address, None),
        [directory, address, chain, key] => (directory, address, Some((chain, key))),
        _ => return Err("usage: serve DIRECTORY ADDRESS:PORT [CERTIFICATE KEY]".into()),
    };
    let source = Arc::new(TreeSource::new(Arc::new(DirTree::new(directory)?)));
    // Bind first; privileges can be dropped then.
    let bound = Server::bind(address)?;
    println!("{directory} at {}", bound.local_addr());
    let server = Server::new().on_event(|event| println!("{event:?}"));
    let server = match files {
        None => server.listen(bound, source),
        #[cfg(feature = "tls")]
        Some((chain, key)) => {
            let (chain, key) = (std::fs::read(chain)?, std::fs::read(key)?);
            let identity = pxe_http::Identity::from_pem(&chain, &key)?;
            server.listen_tls(bound, identity, source)
        }
        #[cfg(not(feature = "tls"))]
        Some(_) => return Err("built without the feature tls".into()),
    };
    let handle = server.start()?;
    tokio::signal::ctrl_c().await?;
    handle.shutdown(Duration::from_secs(5)).await;
    Ok(())
}
