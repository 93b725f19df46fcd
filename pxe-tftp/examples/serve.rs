//! Serves a directory: `cargo run -p pxe-tftp --example serve -- DIRECTORY ADDRESS`, for example
//! `/srv/tftp 127.0.0.1:6969`; then `curl -O tftp://127.0.0.1:6969/pxelinux.0`.
//!
//! A third argument, `quiet`, leaves out the line for each event.

use std::error::Error;
use std::sync::Arc;

use pxe_tftp::{Config, Server};
use pxe_tree::{DirTree, TreeSource};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (directory, address, quiet) = match arguments.as_slice() {
        [directory, address] => (directory, address, false),
        [directory, address, quiet] if quiet == "quiet" => (directory, address, true),
        _ => return Err("usage: serve DIRECTORY ADDRESS:PORT [quiet]".into()),
    };
    let source = TreeSource::new(Arc::new(DirTree::new(directory)?));

    // Bind first; privileges can be dropped then.
    let mut server = Server::bind(address.parse()?, Config::new())?;
    if !quiet {
        server = server.on_event(|event| println!("{event:?}"));
    }
    println!("serving {directory} at {}", server.local_addr()?);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let shutdown = async {
        // Without the signal, it serves until it is killed.
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    };
    runtime.block_on(server.run(Arc::new(source), shutdown))?;
    Ok(())
}
