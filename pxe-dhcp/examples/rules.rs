//! Boots by rules, and keeps the leases in a file:
//! `rules INTERFACE NETWORK FIRST LAST FILE`, for example
//! `rules br0 192.168.150.0/24 192.168.150.100 192.168.150.200 leases.redb`.

use std::sync::Arc;

use pxe_dhcp::wire::IpxeFeature;
use pxe_dhcp::{
    ArchPolicy, BindSpec, Boot, Condition, Config, Event, RedbStore, Rule, RulePolicy, Server,
    Subnet,
};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [interface, network, first, last, file] = arguments.as_slice() else {
        return Err("usage: rules INTERFACE NETWORK FIRST LAST FILE".into());
    };
    let printers = Condition::Mac("00:11:22".parse()?);
    let ipxe = Condition::IpxeFeature(IpxeFeature::HTTP);
    // The first rule that matches decides; for all others it is their architecture.
    let policy = RulePolicy::new()
        .with_rule(Rule::new("printers", printers).with_boot(Boot::Denied))
        .with_rule(Rule::new("ipxe", ipxe).with_file("http://{server}/boot.ipxe?mac={mac}"))
        .otherwise(ArchPolicy::syslinux());
    let subnet = Subnet::new(network.parse()?).with_pool(first.parse()?, last.parse()?);
    let config = Config::new().with_subnet(subnet);
    let server = Server::bind(BindSpec::interface(interface), config)?.on_event(tell);
    // Port 67 is bound: a server that is not an example gives up its privileges here.
    let store = Arc::new(RedbStore::open(file)?);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(server.run(store, Arc::new(policy), std::future::pending()))?;
    Ok(())
}

fn tell(event: &Event) {
    match event {
        // Each rule that was tried, and why it matched or not.
        Event::Acknowledged {
            client,
            explanation,
            ..
        } => println!("{client:?} boots by\n{explanation}"),
        other => println!("{other:?}"),
    }
}
