//! The servers that the model of an engine runs.

use core::net::Ipv4Addr;
use std::sync::Arc;

use pxe_core::MacAddr;

use super::engine_model::{IDENTIFIER, SERVER, UUID};
use crate::wire::MachineUuid;
use crate::{
    ArchPolicy, Boot, BootDecision, BootItem, BootMenu, BootPolicy, BootRequest, Bootp, Config,
    Engine, Limits, Mode, Probing, Reservation, ReservedFor, Subnet,
};

/// A menu for every client that can boot, of which most show something else.
#[derive(Debug)]
struct MenuPolicy(BootMenu);

impl MenuPolicy {
    fn new() -> Self {
        let items = [
            BootItem::new(0x8000, "Debian", "debian/pxelinux.0"),
            BootItem::local("Disk"),
            BootItem::new(0x8001, "Rescue", "rescue/bstrap")
                .with_next_server(Ipv4Addr::new(10, 0, 0, 3)),
        ];
        Self(BootMenu::new("Press F8", 10, items).expect("a good menu"))
    }
}

impl BootPolicy for MenuPolicy {
    fn decide(&self, request: &BootRequest<'_>) -> BootDecision {
        match request.architectures.first() {
            Some(arch) if arch.0 == 3 => BootDecision::new(Boot::Denied),
            Some(arch) if arch.is_http() => {
                BootDecision::new(Boot::Url("http://10.0.0.1/a.efi".to_owned()))
            }
            _ => BootDecision::new(Boot::Menu(self.0.clone())),
        }
    }
}

pub(super) fn config(narrow: bool, probing: Probing, mode: Mode) -> Config {
    let mut limits = Limits::new();
    limits.offers_max = 4;
    limits.leases_max = 12;
    limits.commits_max = 3;
    limits.transmits_max = 4;
    limits.events_max = 64;
    limits.quarantined_max = 2;
    limits.rate_clients_max = 4;
    limits.probes_max = 2;
    if !mode.gives_addresses() {
        let far = Subnet::new("10.1.0.0/29".parse().expect("a network"));
        return Config::new()
            .with_mode(mode)
            .with_subnet(far)
            .with_limits(limits);
    }
    let last = if narrow { 6 } else { 9 };
    let mac = MacAddr::new([2, 0, 0, 0, 0, 1]);
    let lan = Subnet::new("10.0.0.0/28".parse().expect("a network"))
        .with_pool(Ipv4Addr::new(10, 0, 0, 0), Ipv4Addr::new(10, 0, 0, last))
        .without(Ipv4Addr::new(10, 0, 0, 4), Ipv4Addr::new(10, 0, 0, 4))
        .with_reservation(Reservation::new(mac, Ipv4Addr::new(10, 0, 0, 5)))
        .with_reservation(Reservation::new(
            MachineUuid::from_wire(UUID),
            Ipv4Addr::new(10, 0, 0, 7),
        ))
        .with_reservation(Reservation::new(
            ReservedFor::ClientId(IDENTIFIER.to_vec()),
            Ipv4Addr::new(10, 0, 0, 11),
        ))
        .with_bootp(Bootp::Dynamic { lease_seconds: 900 })
        .with_routers(&[Ipv4Addr::new(10, 0, 0, 2)])
        .with_name_servers(&[SERVER; 60])
        .with_domain_name("lab.lan");
    let far = Subnet::new("10.1.0.0/29".parse().expect("a network"))
        .with_pool(Ipv4Addr::new(10, 1, 0, 1), Ipv4Addr::new(10, 1, 0, 5))
        .with_reservation(Reservation::new(
            ReservedFor::CircuitId(b"p".to_vec()),
            Ipv4Addr::new(10, 1, 0, 3),
        ));
    Config::new()
        .with_subnet(lan)
        .with_subnet(far)
        .with_probing(probing)
        .with_limits(limits)
}

pub(super) fn policy(has_menus: bool) -> Arc<dyn BootPolicy> {
    if has_menus {
        return Arc::new(MenuPolicy::new());
    }
    let policy = ArchPolicy::syslinux()
        .with_ipxe("http://{server}/boot.ipxe")
        .with_config_file("pxelinux.cfg/default");
    Arc::new(policy)
}

pub(super) fn engine(narrow: bool, probing: Probing, mode: Mode, has_menus: bool) -> Engine {
    let config = config(narrow, probing, mode);
    Engine::new(config, policy(has_menus), 7).expect("a good configuration")
}
