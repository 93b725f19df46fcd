//! A configuration, prepared for looking things up.

use core::net::Ipv4Addr;
use std::collections::{BTreeMap, BTreeSet};

use pxe_core::UnixTime;

use super::address_pool::AddressPool;
use super::lease_table::Rank;
use crate::wire::OptionCode;
use crate::{Config, ConfigError, DhcpOption, Reservation, ReservedFor, Subnet};

/// A subnet's number in [`Plan::subnets`].
pub(super) type SubnetIndex = usize;

/// A subnet, prepared.
#[derive(Debug)]
pub(super) struct PlannedSubnet {
    /// Without its reservations, of which there may be many: [`Plan::reservation`] has them.
    pub(super) config: Subnet,
    /// The subnets on the same link, this one first.
    pub(super) link: Vec<SubnetIndex>,
    pub(super) pool: AddressPool,
    /// Addresses whose lease is over: they are given again in this order.
    pub(super) idle: BTreeSet<(Rank, UnixTime, Ipv4Addr)>,
    by_client: BTreeMap<ReservedFor, usize>,
    by_address: BTreeMap<Ipv4Addr, usize>,
}

/// A reservation's place: its subnet, and its number there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Reserved {
    pub(super) subnet: SubnetIndex,
    number: usize,
}

/// A configuration, prepared.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) config: Config,
    pub(super) subnets: Vec<PlannedSubnet>,
    by_network: BTreeMap<Ipv4Addr, SubnetIndex>,
    own: BTreeSet<Ipv4Addr>,
    has_reservations: bool,
}

impl Plan {
    pub(super) fn new(config: Config) -> Result<Self, ConfigError> {
        config.check()?;
        let mut own: BTreeSet<Ipv4Addr> = config.own_addresses.iter().copied().collect();
        own.extend(config.subnets.iter().filter_map(|subnet| subnet.server_ip));
        let classes = config.classes.iter().flat_map(|class| &class.options);
        let routers = routers_of(config.options.iter().chain(classes));
        let mut by_network = BTreeMap::new();
        let mut subnets = Vec::new();
        for (index, subnet) in config.subnets.iter().enumerate() {
            by_network.insert(subnet.network.network(), index);
            let shares = |other: &Subnet| {
                subnet.shared_network.is_some() && other.shared_network == subnet.shared_network
            };
            let others = config.subnets.iter().enumerate();
            let others = others.filter(|(other, config)| *other != index && shares(config));
            let link = [index]
                .into_iter()
                .chain(others.map(|(other, _)| other))
                .collect();
            subnets.push(PlannedSubnet {
                link,
                pool: pool_of(subnet, &own, &routers),
                idle: BTreeSet::new(),
                by_client: numbered(subnet, |reservation| Some(reservation.client.clone())),
                by_address: numbered(subnet, |reservation| reservation.address),
                config: without_reservations(subnet),
            });
        }
        Ok(Self {
            has_reservations: config
                .subnets
                .iter()
                .any(|one| !one.reservations.is_empty()),
            config,
            subnets,
            by_network,
            own,
        })
    }

    /// The subnet that an address is of.
    pub(super) fn subnet_of(&self, address: Ipv4Addr) -> Option<SubnetIndex> {
        let (_, index) = self.by_network.range(..=address).next_back()?;
        let subnet = self.subnets.get(*index)?;
        subnet.config.network.contains(address).then_some(*index)
    }

    /// Whether anything is reserved for anybody.
    pub(super) const fn has_reservations(&self) -> bool {
        self.has_reservations
    }

    /// The first reservation on a link for any of these, in their order.
    pub(super) fn reserved_for(
        &self,
        keys: &[ReservedFor],
        link: &[SubnetIndex],
    ) -> Option<Reserved> {
        keys.iter().find_map(|key| {
            link.iter().find_map(|subnet| {
                let number = *self.subnets.get(*subnet)?.by_client.get(key)?;
                let subnet = *subnet;
                Some(Reserved { subnet, number })
            })
        })
    }

    /// The reservation at a place.
    pub(super) fn reservation(&self, reserved: Reserved) -> Option<&Reservation> {
        let subnet = self.config.subnets.get(reserved.subnet)?;
        subnet.reservations.get(reserved.number)
    }

    /// The reservation of this address.
    pub(super) fn reservation_at(&self, address: Ipv4Addr) -> Option<&Reservation> {
        let subnet = self.subnet_of(address)?;
        let number = *self.subnets.get(subnet)?.by_address.get(&address)?;
        self.reservation(Reserved { subnet, number })
    }

    /// Whether an address is this server's.
    pub(super) fn is_own(&self, address: Ipv4Addr) -> bool {
        self.own.contains(&address)
    }
}

fn numbered<K: Ord>(
    subnet: &Subnet,
    key: impl Fn(&Reservation) -> Option<K>,
) -> BTreeMap<K, usize> {
    let reservations = subnet.reservations.iter().enumerate();
    reservations
        .filter_map(|(number, reservation)| Some((key(reservation)?, number)))
        .collect()
}

fn without_reservations(subnet: &Subnet) -> Subnet {
    // Not `clone`: that would copy what there may be 100,000 of.
    Subnet {
        network: subnet.network,
        shared_network: subnet.shared_network.clone(),
        pools: subnet.pools.clone(),
        exclusions: subnet.exclusions.clone(),
        reservations: Vec::new(),
        options: subnet.options.clone(),
        client_names: subnet.client_names.clone(),
        ..*subnet
    }
}

/// What can be given to anybody: the pools without exclusions, reservations, our own addresses,
/// the routers, and the network's and the broadcast address.
fn pool_of(subnet: &Subnet, own: &BTreeSet<Ipv4Addr>, routers: &[Ipv4Addr]) -> AddressPool {
    let network = subnet.network;
    let mut exclusions = subnet.exclusions.clone();
    let mut exclude = |address: Ipv4Addr| exclusions.push(address..=address);
    for address in [network.network(), network.broadcast()] {
        if !network.is_host(address) {
            exclude(address);
        }
    }
    own.iter().copied().for_each(&mut exclude);
    for reservation in &subnet.reservations {
        reservation.address.into_iter().for_each(&mut exclude);
    }
    let reserved = subnet.reservations.iter().flat_map(|one| &one.options);
    let own_routers = routers_of(subnet.options.iter().chain(reserved));
    routers
        .iter()
        .copied()
        .chain(own_routers)
        .for_each(&mut exclude);
    AddressPool::new(&subnet.pools, exclusions)
}

fn routers_of<'a>(options: impl Iterator<Item = &'a DhcpOption>) -> Vec<Ipv4Addr> {
    let routers = options.filter(|option| option.code == OptionCode::ROUTERS);
    let octets = routers.flat_map(|option| option.data.as_chunks::<4>().0);
    octets.map(|octets| Ipv4Addr::from(*octets)).collect()
}
