//! A configuration, prepared for looking things up.

use core::net::Ipv4Addr;
use std::collections::{BTreeMap, BTreeSet};

use pxe_core::UnixTime;

use super::address_pool::AddressPool;
use crate::wire::OptionCode;
use crate::{ClientKey, Config, ConfigError, Reservation, Subnet};

/// A subnet's number in [`Plan::subnets`].
pub(super) type SubnetIndex = usize;

/// A subnet, prepared.
#[derive(Debug)]
pub(super) struct PlannedSubnet {
    pub(super) config: Subnet,
    /// The subnets on the same link, this one first.
    pub(super) link: Vec<SubnetIndex>,
    pub(super) pool: AddressPool,
    /// Addresses whose lease is over, the longest ago first: they are given again in this order.
    pub(super) idle: BTreeSet<(UnixTime, Ipv4Addr)>,
    by_client: BTreeMap<ClientKey, usize>,
    by_address: BTreeMap<Ipv4Addr, usize>,
}

impl PlannedSubnet {
    /// The reservation of this client.
    pub(super) fn reservation_of(&self, client: &ClientKey) -> Option<&Reservation> {
        self.config.reservations.get(*self.by_client.get(client)?)
    }

    /// The reservation of this address.
    pub(super) fn reservation_at(&self, address: Ipv4Addr) -> Option<&Reservation> {
        self.config
            .reservations
            .get(*self.by_address.get(&address)?)
    }
}

/// A configuration, prepared.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) config: Config,
    pub(super) subnets: Vec<PlannedSubnet>,
    by_network: BTreeMap<Ipv4Addr, SubnetIndex>,
    own: BTreeSet<Ipv4Addr>,
}

impl Plan {
    pub(super) fn new(config: Config) -> Result<Self, ConfigError> {
        config.check()?;
        let mut own: BTreeSet<Ipv4Addr> = config.own_addresses.iter().copied().collect();
        own.extend(config.subnets.iter().filter_map(|subnet| subnet.server_ip));
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
                pool: pool_of(subnet, &own),
                idle: BTreeSet::new(),
                by_client: numbered(subnet, |reservation| reservation.client.clone()),
                by_address: numbered(subnet, |reservation| reservation.address),
                config: subnet.clone(),
            });
        }
        Ok(Self {
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

    /// Whether an address is this server's.
    pub(super) fn is_own(&self, address: Ipv4Addr) -> bool {
        self.own.contains(&address)
    }
}

fn numbered<K: Ord>(subnet: &Subnet, key: impl Fn(&Reservation) -> K) -> BTreeMap<K, usize> {
    let reservations = subnet.reservations.iter().enumerate();
    reservations
        .map(|(index, reservation)| (key(reservation), index))
        .collect()
}

/// What can be given to anybody: the pools without exclusions, reservations, our own addresses,
/// the routers, and the network's and the broadcast address.
fn pool_of(subnet: &Subnet, own: &BTreeSet<Ipv4Addr>) -> AddressPool {
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
        exclude(reservation.address);
    }
    for option in &subnet.options {
        if option.code == OptionCode::ROUTERS {
            let (routers, _) = option.data.as_chunks::<4>();
            routers
                .iter()
                .for_each(|octets| exclude(Ipv4Addr::from(*octets)));
        }
    }
    AddressPool::new(&subnet.pools, exclusions)
}
