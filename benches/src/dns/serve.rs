//! pxe-dns alone, as a process of its own.

use std::path::PathBuf;

use clap::Args;
use pxe_dns::Server;

use super::handle::service;
use super::server::ADDRESS;

/// What to serve.
#[derive(Debug, Args)]
pub(crate) struct ServeOptions {
    /// Where the zones are.
    directory: PathBuf,
}

/// Serves until it is killed.
///
/// # Errors
/// A text, if it cannot begin.
pub(crate) fn serve(options: &ServeOptions) -> Result<(), String> {
    let at = |error: std::io::Error| format!("pxe-dns: {error}");
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(at)?;
    let service = service(&options.directory)?;
    runtime.block_on(async {
        let udp = Server::bind_udp(ADDRESS).map_err(at)?;
        let _serving = Server::new(service).listen(udp).start().map_err(at)?;
        std::future::pending().await
    })
}
