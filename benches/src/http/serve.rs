//! pxe-http alone, as a process of its own.

use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use pxe_http::{Limits, Server};
use pxe_tree::{DirTree, TreeSource};

use super::server::{ADDRESS, CONNECTIONS_MAX};

/// What to serve.
#[derive(Debug, Args)]
pub(crate) struct ServeOptions {
    /// The directory.
    root: PathBuf,
}

/// Serves until it is killed, with tokio's defaults: a thread for each processor.
///
/// # Errors
/// A text, if it cannot begin.
pub(crate) fn serve(options: &ServeOptions) -> Result<(), String> {
    let at = |error: std::io::Error| format!("pxe-http: {error}");
    let tree = DirTree::new(&options.root);
    let tree = tree.map_err(|error| format!("{}: {error}", options.root.display()))?;
    let source = Arc::new(TreeSource::new(Arc::new(tree)));
    let mut limits = Limits::default();
    limits.connections_max = CONNECTIONS_MAX;
    limits.connections_per_client_max = CONNECTIONS_MAX;
    limits.requests_per_client_per_second = None;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(at)?;
    runtime.block_on(async {
        let bound = Server::bind(ADDRESS).map_err(at)?;
        let server = Server::new().limits(limits).listen(bound, source);
        let _serving = server.start().map_err(at)?;
        std::future::pending().await
    })
}
