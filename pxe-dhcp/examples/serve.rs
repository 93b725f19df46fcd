//! Gives leases and boot files on one interface, from memory:
//! `serve INTERFACE NETWORK FIRST LAST`, for example
//! `serve br0 192.168.150.0/24 192.168.150.100 192.168.150.200`.

use std::sync::Arc;

use pxe_dhcp::{ArchPolicy, BindSpec, Config, MemoryStore, Server, Subnet};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [interface, network, first, last] = arguments.as_slice() else {
        return Err("usage: serve INTERFACE NETWORK FIRST LAST".into());
    };
    let subnet = Subnet::new(network.parse()?).with_pool(first.parse()?, last.parse()?);
    let config = Config::new().with_subnet(subnet);
    let server = Server::bind(BindSpec::interface(interface), config)?
        .on_event(|event| println!("{event:?}"));
    let (store, policy) = (
        Arc::new(MemoryStore::new()),
        Arc::new(ArchPolicy::syslinux()),
    );
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(server.run(store, policy, std::future::pending()))?;
    Ok(())
}
