//! The two servers of the comparison that are libraries, each as a process of its own.

use std::path::PathBuf;

use clap::Args;
use nfs3_server::tcp::{NFSTcp, NFSTcpListener};

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
            Kind::PxeNfs => Err("not yet".to_owned()),
            Kind::Nfs3Server => {
                let mirror = Mirror::new(&options.root);
                let listener = NFSTcpListener::bind_ro(&address.to_string(), mirror).await;
                listener.map_err(at)?.handle_forever().await.map_err(at)
            }
            Kind::Ganesha => Err("nfs-ganesha is a program of its own".to_owned()),
        }
    })
}
