//! Exports a directory, read-only, to this machine and its private networks: `serve DIRECTORY PORT`,
//! for example `serve /srv/tftp 2049`. As root it is its own portmapper: mount it with
//! `mount -t nfs -o nolock SERVER:/srv/tftp /mnt`. Else add `vers=3,port=2049,mountport=2049`.

use std::sync::Arc;

use pxe_nfs::{Export, HandleKey, Programs, Server, Service};
use pxe_tree::DirTree;

const CLIENTS: [&str; 5] = [
    "127.0.0.0/8",
    "10.0.0.0/8",
    "172.16.0.0/12",
    "192.168.0.0/16",
    "fd00::/8",
];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [directory, port] = arguments.as_slice() else {
        return Err("usage: serve DIRECTORY PORT".into());
    };
    let mut export = Export::new(directory, Arc::new(DirTree::new(directory)?));
    for network in CLIENTS {
        export = export.to(format!("{network}(ro,insecure)").parse()?);
    }
    // A server for more than a try reads a random key that it keeps: clients that have mounted
    // this one trust whoever knows it.
    let key = HandleKey::new(*b"no secret at all");
    let service = Service::builder(key)
        .export(export)
        .on_event(|event| println!("{event:?}"))
        .build()?;
    let bound = Server::bind_tcp(("::", port.parse()?))?;
    println!("{directory} at {}", bound.local_addr());
    let mut server = Server::new(service).listen(bound, Programs::Nfs);
    for portmap in [Server::bind_tcp(("::", 111)), Server::bind_udp(("::", 111))] {
        match portmap {
            Ok(portmap) => server = server.listen(portmap, Programs::Portmap),
            Err(error) => println!("no portmapper: {error}"),
        }
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let handle = server.start()?;
        std::future::pending::<()>().await;
        drop(handle);
        Ok(())
    })
}
