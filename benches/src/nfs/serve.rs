//! The two servers of the comparison that are libraries, each as a process of its own.

use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use nfs3_server::tcp::{NFSTcp, NFSTcpListener};
use pxe_nfs::{Export, ExportClient, ExportOptions, HandleKey, Network, Programs, Server, Service};
use pxe_tree::{DirTree, Tree};

use super::mirror::Mirror;
use super::server::Kind;

/// What to serve, and with what.
#[derive(Debug, Args)]
pub(crate) struct ServeOptions {
    /// Which server: one of the libraries.
    kind: Kind,
    /// What it serves, under this name.
    root: PathBuf,
}

/// Serves until it is killed, with tokio's defaults: a thread for each processor.
///
/// # Errors
/// A text, if it cannot begin, or ends.
pub(crate) fn serve(options: &ServeOptions) -> Result<(), String> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| format!("tokio: {error}"))?;
    let name = options.kind.name();
    let at = |error: std::io::Error| format!("{name}: {error}");
    let address = options.kind.nfs();
    runtime.block_on(async {
        match options.kind {
            Kind::PxeNfs => {
                let export = Export::new(options.root.as_os_str().as_bytes(), tree(options)?)
                    .to(ExportClient::new(Network::Any, ExportOptions::default()));
                let service = Service::builder(HandleKey::new([7; HandleKey::LEN])).export(export);
                let service = service.build().map_err(|error| error.to_string())?;
                let port = Server::bind_tcp(address).map_err(at)?;
                let server = Server::new(service).listen(port, Programs::Nfs);
                let _serving = server.start().map_err(at)?;
                std::future::pending().await
            }
            Kind::Nfs3Server => {
                let mirror = Mirror::new(&options.root);
                let listener = NFSTcpListener::bind_ro(&address.to_string(), mirror).await;
                listener.map_err(at)?.handle_forever().await.map_err(at)
            }
            Kind::Ganesha => Err("nfs-ganesha is a program of its own".to_owned()),
        }
    })
}

fn tree(options: &ServeOptions) -> Result<Arc<dyn Tree>, String> {
    let tree = DirTree::new(&options.root);
    let tree = tree.map_err(|error| format!("{}: {error}", options.root.display()))?;
    Ok(Arc::new(tree))
}
