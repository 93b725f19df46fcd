//! Which machine is which: hardware addresses, their leased addresses, and what each did lately.

use std::cmp::Reverse;
use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::fmt;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use pxe_core::MacAddr;

use crate::addresses::Addresses;
use crate::fact::{Fact, What};

/// How much is remembered. A peer can make us hold no more than this.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// At most this many machines; the one that was silent longest is forgotten first.
    pub machines_max: usize,
    /// At most this many facts of each; the oldest are forgotten first.
    pub facts_max: usize,
}

impl Default for Limits {
    /// 4096 machines are two full /21 networks; 128 facts hold a boot of some 60 files. A table
    /// that hostile peers filled with the longest texts stays under 400 MiB; a usual one takes a
    /// few.
    fn default() -> Self {
        Self {
            machines_max: 4096,
            facts_max: 128,
        }
    }
}

/// What a machine is known by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum MachineId {
    /// Its hardware address.
    Mac(MacAddr),
    /// Its address alone: it got it from another DHCP server, or before we started.
    Ip(IpAddr),
}

impl fmt::Display for MachineId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mac(mac) => mac.fmt(f),
            Self::Ip(ip) => ip.fmt(f),
        }
    }
}

/// What is remembered of one machine.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Machine {
    /// What it is known by.
    pub id: MachineId,
    /// Its latest address.
    pub ip: Option<IpAddr>,
    /// What it did, oldest first.
    pub facts: VecDeque<Fact>,
    /// How many older facts were forgotten.
    pub facts_forgotten: u64,
    last_seen: u64,
}

/// The bounded table of machines; shared, so all methods take `&self`.
///
/// [`identify`](Self::identify) is given every fact, then [`record`](Self::record). Facts of TFTP
/// and HTTP carry an address only; the table knows by the DHCP facts before them whose address it
/// is.
#[derive(Debug)]
pub struct Machines {
    limits: Limits,
    addresses: Arc<Addresses>,
    table: Mutex<Table>,
}

#[derive(Debug, Default)]
struct Table {
    machines: HashMap<MachineId, Machine>,
    /// Each machine by a `last_seen` that it had, to find the one that was silent longest. It is
    /// brought up to date when that one is looked for: most facts are of machines that are known.
    silence: BTreeMap<u64, MachineId>,
    sequence: u64,
}

impl Machines {
    /// An empty table. Limits of 0 are taken as 1.
    pub fn new(limits: Limits) -> Self {
        Self {
            limits: Limits {
                machines_max: limits.machines_max.max(1),
                facts_max: limits.facts_max.max(1),
            },
            addresses: Arc::default(),
            table: Mutex::default(),
        }
    }

    /// Takes in what a fact says of leases, and gives it back with the hardware address filled in
    /// where it is known. A fact about no client at all is given back as it is.
    pub fn identify(&self, mut fact: Fact) -> Fact {
        fact.mac = fact.mac.or_else(|| self.mac_of(fact.ip?));
        match (&fact.what, fact.mac) {
            (What::Leased { address, .. }, Some(mac)) => {
                self.addresses.lease(IpAddr::V4(*address), mac);
                fact.ip = fact.ip.or(Some(IpAddr::V4(*address)));
            }
            (What::LeasedByOther { address, .. }, Some(mac)) => {
                self.addresses.give(IpAddr::V4(*address), mac);
                fact.ip = fact.ip.or(Some(IpAddr::V4(*address)));
            }
            (What::Released { address } | What::Declined { address }, Some(mac)) => {
                self.addresses.take(IpAddr::V4(*address), mac);
            }
            _ => {}
        }
        fact
    }

    /// Remembers a fact with its machine, as [`identify`](Self::identify) gave it.
    pub fn record(&self, fact: Fact) {
        let id = match (fact.mac, fact.ip) {
            (Some(mac), _) => MachineId::Mac(mac),
            (None, Some(ip)) => MachineId::Ip(ip),
            (None, None) => return,
        };
        let mut table = self.table();
        let machine = table.touch(id, self.limits.machines_max);
        machine.ip = fact.ip.or(machine.ip);
        if machine.facts.len() >= self.limits.facts_max {
            machine.facts.pop_front();
            machine.facts_forgotten = machine.facts_forgotten.saturating_add(1);
        }
        machine.facts.push_back(fact);
    }

    /// Whose address is whose, by the leases seen.
    pub(crate) const fn addresses(&self) -> &Arc<Addresses> {
        &self.addresses
    }

    /// Whose address this is, by the leases seen.
    pub fn mac_of(&self, ip: IpAddr) -> Option<MacAddr> {
        self.addresses.mac_of(ip)
    }

    /// One machine, as it is known now.
    pub fn get(&self, id: MachineId) -> Option<Machine> {
        self.table().machines.get(&id).cloned()
    }

    /// The machine with this hardware address.
    pub fn by_mac(&self, mac: MacAddr) -> Option<Machine> {
        self.get(MachineId::Mac(mac))
    }

    /// Every machine's id, the one seen last first.
    pub fn ids(&self) -> Vec<MachineId> {
        let table = self.table();
        let machines = table.machines.values();
        let mut seen: Vec<_> = machines
            .map(|machine| (machine.last_seen, machine.id))
            .collect();
        drop(table);
        seen.sort_unstable_by_key(|(last_seen, _)| Reverse(*last_seen));
        seen.into_iter().map(|(_, id)| id).collect()
    }

    /// How many machines are known.
    pub fn len(&self) -> usize {
        self.table().machines.len()
    }

    /// Whether no machine is known.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// A panic of another thread leaves the table whole: each method writes it in full or not.
    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for Machines {
    fn default() -> Self {
        Self::new(Limits::default())
    }
}

impl Table {
    /// Makes the machine the one seen last, and makes room for it if it is new.
    fn touch(&mut self, id: MachineId, machines_max: usize) -> &mut Machine {
        if self.machines.len() >= machines_max && !self.machines.contains_key(&id) {
            while self.machines.len() >= machines_max && self.forget_silent() {}
        }
        self.sequence += 1;
        let last_seen = self.sequence;
        match self.machines.entry(id) {
            Entry::Occupied(entry) => {
                let machine = entry.into_mut();
                machine.last_seen = last_seen;
                machine
            }
            Entry::Vacant(entry) => {
                self.silence.insert(last_seen, id);
                entry.insert(Machine {
                    id,
                    ip: None,
                    facts: VecDeque::new(),
                    facts_forgotten: 0,
                    last_seen,
                })
            }
        }
    }

    /// Forgets the machine that was silent longest. Returns whether there was one.
    fn forget_silent(&mut self) -> bool {
        // Each machine that was seen meanwhile comes here once, and then stands where it belongs.
        while let Some((last_seen, id)) = self.silence.pop_first() {
            match self.machines.get(&id) {
                Some(machine) if machine.last_seen != last_seen => {
                    self.silence.insert(machine.last_seen, id);
                }
                _ => {
                    self.machines.remove(&id);
                    return true;
                }
            }
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fact::Protocol;
    use pxe_core::Now;
    use std::net::Ipv4Addr;

    fn record(machines: &Machines, fact: Fact) {
        machines.record(machines.identify(fact));
    }

    fn mac(last: u8) -> MacAddr {
        MacAddr::new([0x52, 0x54, 0, 0, 0, last])
    }

    fn ip(last: u8) -> IpAddr {
        IpAddr::V4(Ipv4Addr::new(192, 168, 150, last))
    }

    fn leased(client: u8, address: u8) -> Fact {
        let what = What::Leased {
            address: Ipv4Addr::new(192, 168, 150, address),
            seconds: 600,
            file: None,
        };
        Fact::new(Now::default(), Protocol::Dhcp, what).with_mac(mac(client))
    }

    fn missing(address: u8) -> Fact {
        let what = What::Missing { file: "x".into() };
        Fact::new(Now::default(), Protocol::Tftp, what).with_ip(ip(address))
    }

    #[test]
    fn a_transfer_is_joined_to_the_lease_of_its_address() {
        let machines = Machines::default();
        record(&machines, leased(1, 30));
        assert_eq!(machines.identify(missing(30)).mac, Some(mac(1)));
        record(&machines, missing(30));
        assert_eq!(machines.identify(missing(31)).mac, None);
        record(&machines, missing(31));
        let machine = machines.by_mac(mac(1)).expect("recorded");
        assert_eq!((machine.facts.len(), machine.ip), (2, Some(ip(30))));
        assert!(machines.get(MachineId::Ip(ip(31))).is_some());
        assert_eq!(
            machines.ids(),
            [MachineId::Ip(ip(31)), MachineId::Mac(mac(1))]
        );
    }

    #[test]
    fn an_address_follows_its_last_lease() {
        let machines = Machines::default();
        record(&machines, leased(1, 30));
        record(&machines, leased(2, 30));
        assert_eq!(machines.mac_of(ip(30)), Some(mac(2)));
        record(&machines, leased(2, 31));
        assert_eq!(machines.mac_of(ip(30)), Some(mac(2)), "its lease runs on");
        assert_eq!(machines.mac_of(ip(31)), Some(mac(2)));
    }

    /// lpxelinux names its hardware address in HTTP requests, from whatever address they come.
    #[test]
    fn an_address_without_a_lease_does_not_hide_the_leased_one() {
        let machines = Machines::new(Limits {
            machines_max: 2,
            facts_max: 3,
        });
        record(&machines, leased(1, 30));
        record(&machines, missing(99).with_mac(mac(1)));
        record(&machines, leased(1, 31));
        record(&machines, missing(99).with_mac(mac(1)));
        record(&machines, leased(2, 40));
        record(&machines, leased(3, 41));
        assert!(
            machines.by_mac(mac(1)).is_none(),
            "the machine is forgotten"
        );
        assert_eq!(machines.mac_of(ip(31)), Some(mac(1)), "and not its address");
    }

    #[test]
    fn a_released_address_is_nobodys() {
        let machines = Machines::default();
        record(&machines, leased(1, 30));
        let what = What::Released {
            address: Ipv4Addr::new(192, 168, 150, 30),
        };
        record(
            &machines,
            Fact::new(Now::default(), Protocol::Dhcp, what).with_mac(mac(1)),
        );
        assert_eq!(machines.mac_of(ip(30)), None);
    }

    #[test]
    fn the_table_is_bounded_and_forgets_the_silent() {
        let machines = Machines::new(Limits {
            machines_max: 2,
            facts_max: 3,
        });
        record(&machines, leased(1, 30));
        record(&machines, leased(2, 31));
        record(&machines, missing(30));
        record(&machines, leased(3, 32));
        assert_eq!(
            machines.ids(),
            [MachineId::Mac(mac(3)), MachineId::Mac(mac(1))]
        );
        for _ in 0..10 {
            record(&machines, missing(30));
        }
        let machine = machines.by_mac(mac(1)).expect("seen lately");
        assert_eq!((machine.facts.len(), machine.facts_forgotten), (3, 9));
        let table = machines.table();
        assert_eq!(table.machines.len(), table.silence.len());
    }

    #[test]
    fn a_full_table_is_as_large_as_the_limits_say() {
        let limits = Limits::default();
        // A failure has two texts: the name of the file, and why.
        let text = crate::fact::printable(&"x".repeat(10_000)).len();
        let fact = size_of::<Fact>() + 2 * text;
        assert!(limits.machines_max * limits.facts_max * fact < 400 << 20);
    }

    #[test]
    fn a_fact_about_nobody_is_not_kept() {
        let machines = Machines::default();
        let what = What::Note {
            name: "x",
            text: String::new(),
        };
        record(&machines, Fact::new(Now::default(), Protocol::Http, what));
        assert!(machines.is_empty());
    }
}
