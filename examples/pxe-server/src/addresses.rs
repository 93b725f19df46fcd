//! Whose address is whose: the one table that joins what comes by DHCP, which names a hardware
//! address, with what comes by TFTP and HTTP, which names an IP address.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Mutex, MutexGuard, PoisonError};

use pxe_core::MacAddr;

/// A /16 network full of machines: some 10 MiB.
const ADDRESSES_MAX: usize = 65_536;

/// The bounded table of addresses; shared, so all methods take `&self`.
///
/// An address is one machine's: whoever got it last. The pair that was told longest ago is
/// forgotten first.
#[derive(Debug)]
pub(crate) struct Addresses {
    addresses_max: usize,
    table: Mutex<Table>,
}

#[derive(Debug, Default)]
struct Table {
    by_ip: HashMap<IpAddr, Holder>,
    by_mac: BTreeSet<(MacAddr, IpAddr)>,
    /// The sequence number of each pair, to find the oldest.
    order: BTreeMap<u64, IpAddr>,
    sequence: u64,
}

#[derive(Debug, Clone, Copy)]
struct Holder {
    mac: MacAddr,
    sequence: u64,
}

impl Addresses {
    /// An empty table for at most this many addresses; 0 is taken as 1.
    pub(crate) fn new(addresses_max: usize) -> Self {
        Self {
            addresses_max: addresses_max.max(1),
            table: Mutex::default(),
        }
    }

    /// `mac` has `ip` from now on, and no other address: another server's leases are over when
    /// the machine takes the next one, as far as we are told.
    pub(crate) fn give(&self, ip: IpAddr, mac: MacAddr) {
        let mut table = self.table();
        let all = table
            .by_mac
            .range((mac, IpAddr::V4(Ipv4Addr::UNSPECIFIED))..);
        let former = all.take_while(|(holder, _)| *holder == mac);
        for (_, former) in former.copied().collect::<Vec<_>>() {
            table.forget(former);
        }
        table.insert(ip, mac, self.addresses_max);
    }

    /// `mac` has leased `ip` of us, and keeps what else it leased until that ends: a machine has an
    /// address in each network that it is in, and one that may not boot may in none of them.
    pub(crate) fn lease(&self, ip: IpAddr, mac: MacAddr) {
        self.table().insert(ip, mac, self.addresses_max);
    }

    /// `mac` had leased `ip` when an earlier run ended, and has it still if nobody got it since.
    pub(crate) fn recall(&self, ip: IpAddr, mac: MacAddr) {
        let mut table = self.table();
        if !table.by_ip.contains_key(&ip) && table.by_ip.len() < self.addresses_max {
            table.insert(ip, mac, self.addresses_max);
        }
    }

    /// `mac` has `ip` no longer. If another machine got it meanwhile, that one keeps it.
    pub(crate) fn take(&self, ip: IpAddr, mac: MacAddr) {
        let mut table = self.table();
        if table.by_ip.get(&ip).is_some_and(|holder| holder.mac == mac) {
            table.forget(ip);
        }
    }

    /// Whose address this is.
    pub(crate) fn mac_of(&self, ip: IpAddr) -> Option<MacAddr> {
        self.table().by_ip.get(&ip).map(|holder| holder.mac)
    }

    /// A panic of another thread leaves the table whole: each method writes it in full or not.
    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for Addresses {
    fn default() -> Self {
        Self::new(ADDRESSES_MAX)
    }
}

impl Table {
    fn insert(&mut self, ip: IpAddr, mac: MacAddr, addresses_max: usize) {
        self.forget(ip);
        while self.by_ip.len() >= addresses_max {
            let Some(oldest) = self.order.values().next().copied() else {
                break;
            };
            self.forget(oldest);
        }
        self.sequence += 1;
        let sequence = self.sequence;
        self.order.insert(sequence, ip);
        self.by_mac.insert((mac, ip));
        self.by_ip.insert(ip, Holder { mac, sequence });
    }

    fn forget(&mut self, ip: IpAddr) {
        if let Some(holder) = self.by_ip.remove(&ip) {
            self.by_mac.remove(&(holder.mac, ip));
            self.order.remove(&holder.sequence);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mac(last: u8) -> MacAddr {
        MacAddr::new([0x52, 0x54, 0, 0, 0, last])
    }

    fn ip(last: u8) -> IpAddr {
        IpAddr::from([192, 168, 150, last])
    }

    #[test]
    fn an_address_is_the_last_ones_that_got_it() {
        let addresses = Addresses::default();
        addresses.give(ip(30), mac(1));
        addresses.give(ip(30), mac(2));
        assert_eq!(addresses.mac_of(ip(30)), Some(mac(2)));
        // The former holder's lease ends late: it is not the new one's.
        addresses.take(ip(30), mac(1));
        assert_eq!(addresses.mac_of(ip(30)), Some(mac(2)));
        addresses.take(ip(30), mac(2));
        assert_eq!(addresses.mac_of(ip(30)), None);
    }

    #[test]
    fn a_machine_has_one_address_of_another_server_and_all_that_it_leased() {
        let addresses = Addresses::default();
        addresses.lease(ip(30), mac(1));
        addresses.lease(ip(31), mac(1));
        addresses.lease(ip(32), mac(2));
        assert_eq!(addresses.mac_of(ip(30)), Some(mac(1)));
        assert_eq!(addresses.mac_of(ip(31)), Some(mac(1)));
        addresses.give(ip(33), mac(1));
        assert_eq!(addresses.mac_of(ip(30)), None);
        assert_eq!(addresses.mac_of(ip(31)), None);
        assert_eq!(addresses.mac_of(ip(32)), Some(mac(2)), "another machine's");
        assert_eq!(addresses.mac_of(ip(33)), Some(mac(1)));
        addresses.take(ip(33), mac(1));
        let table = addresses.table();
        let lens = (table.by_ip.len(), table.by_mac.len(), table.order.len());
        assert_eq!(lens, (1, 1, 1));
    }

    #[test]
    fn what_was_heard_counts_more_than_what_is_recalled() {
        let addresses = Addresses::new(3);
        addresses.give(ip(30), mac(1));
        addresses.recall(ip(30), mac(2));
        assert_eq!(addresses.mac_of(ip(30)), Some(mac(1)));
        addresses.recall(ip(31), mac(1));
        assert_eq!(addresses.mac_of(ip(31)), Some(mac(1)), "it has two");
        for last in 40..=45 {
            addresses.recall(ip(last), mac(last));
        }
        assert_eq!(addresses.mac_of(ip(40)), Some(mac(40)));
        assert_eq!(addresses.mac_of(ip(41)), None, "there is no room");
    }

    #[test]
    fn the_table_is_bounded_and_forgets_the_oldest() {
        let addresses = Addresses::new(2);
        for last in 1..=3 {
            addresses.give(ip(last), mac(last));
            // Told again: it is the youngest then.
            addresses.give(ip(1), mac(1));
        }
        assert_eq!(addresses.mac_of(ip(1)), Some(mac(1)));
        assert_eq!(addresses.mac_of(ip(2)), None);
        assert_eq!(addresses.mac_of(ip(3)), Some(mac(3)));
        let table = addresses.table();
        let lens = (table.by_ip.len(), table.by_mac.len(), table.order.len());
        assert_eq!(lens, (2, 2, 2));
    }
}
