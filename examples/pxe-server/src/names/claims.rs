//! Who has which name.
//!
//! Each address claims at most one name, and each name is held by one of the addresses that claim
//! it. **Who holds it follows from the claims that there are, and from nothing else**: so it is the
//! same in whatever order and in whatever batches they came, and after a restart.
//!
//! 1. Names that the operator gave come before those that clients say.
//! 2. Of those the claim that began first; of two that began in the same second the lower address.
//! 3. If the machine that wins so claims the name for other addresses too (it moved, or has several
//!    ports), the claim that it began last: the name moves with its machine.
//!
//! So a name stays with its holder while that one's lease lives, whoever else says it, but for the
//! operator's word. Then the next has it.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use pxe_core::UnixTime;
use pxe_dhcp::wire::MachineUuid;
use pxe_dhcp::{ClientKey, LeaseRecord};

/// By what two leases are known to be one machine's: any of these is enough.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum MachineKey {
    Client(ClientKey),
    ClientId(Vec<u8>),
    Uuid(MachineUuid),
}

impl MachineKey {
    pub(super) fn all_of(record: &LeaseRecord) -> Vec<Self> {
        let client_id = record.client_id.clone().map(Self::ClientId);
        let more = client_id.into_iter().chain(record.uuid.map(Self::Uuid));
        std::iter::once(Self::Client(record.client.clone()))
            .chain(more)
            .collect()
    }
}

/// What an address wants to be called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Claim {
    /// The whole name in lower case, without a final dot.
    pub(super) name: String,
    /// Whether the operator gave it.
    pub(super) is_reserved: bool,
    pub(super) since: UnixTime,
    pub(super) machine: Vec<MachineKey>,
    /// For how long others may remember the name, in seconds.
    pub(super) ttl_seconds: u32,
}

/// Another address holds a name, or nobody does, or its time to live is another one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Change {
    pub(super) name: String,
    pub(super) before: Option<Holder>,
    pub(super) after: Option<Holder>,
}

/// Whose a name is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Holder {
    pub(super) address: Ipv4Addr,
    pub(super) ttl_seconds: u32,
}

/// All claims.
#[derive(Debug, Default)]
pub(super) struct Claims {
    by_address: BTreeMap<Ipv4Addr, Claim>,
    by_name: BTreeMap<String, Contest>,
}

/// The claims of one name. A thousand machines may say the same one, so that nothing in here is
/// searched from end to end.
#[derive(Debug, Default)]
struct Contest {
    order: BTreeSet<(Rank, UnixTime, Ipv4Addr)>,
    machines: BTreeMap<(Rank, MachineKey), BTreeSet<(UnixTime, Ipv4Addr)>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    Operator,
    Client,
}

impl Claim {
    const fn rank(&self) -> Rank {
        match self.is_reserved {
            true => Rank::Operator,
            false => Rank::Client,
        }
    }
}

impl Contest {
    fn insert(&mut self, address: Ipv4Addr, claim: &Claim) {
        self.order.insert((claim.rank(), claim.since, address));
        for key in &claim.machine {
            let of_machine = self.machines.entry((claim.rank(), key.clone()));
            of_machine.or_default().insert((claim.since, address));
        }
    }

    fn remove(&mut self, address: Ipv4Addr, claim: &Claim) {
        self.order.remove(&(claim.rank(), claim.since, address));
        for key in &claim.machine {
            if let Entry::Occupied(mut entry) = self.machines.entry((claim.rank(), key.clone())) {
                entry.get_mut().remove(&(claim.since, address));
                if entry.get().is_empty() {
                    entry.remove();
                }
            }
        }
    }
}

impl Claims {
    /// Puts a claim in the place of the one that the address had, if any; `None`: it claims no name
    /// any more. Says what changed: what is free now comes first.
    pub(super) fn put(&mut self, address: Ipv4Addr, claim: Option<Claim>) -> Vec<Change> {
        let former = self.by_address.get(&address);
        if former == claim.as_ref() {
            return Vec::new();
        }
        let mut names: Vec<String> = former
            .map(|former| former.name.clone())
            .into_iter()
            .collect();
        names.extend(claim.as_ref().map(|claim| claim.name.clone()));
        names.dedup();
        let before: Vec<_> = names.iter().map(|name| self.holder(name)).collect();
        if let Some(former) = self.by_address.remove(&address)
            && let Some(contest) = self.by_name.get_mut(&former.name)
        {
            contest.remove(address, &former);
            if contest.order.is_empty() {
                self.by_name.remove(&former.name);
            }
        }
        if let Some(claim) = claim {
            let contest = self.by_name.entry(claim.name.clone()).or_default();
            contest.insert(address, &claim);
            self.by_address.insert(address, claim);
        }
        let names = names.into_iter().zip(before);
        names
            .filter_map(|(name, before)| {
                let after = self.holder(&name);
                (before != after).then_some(Change {
                    name,
                    before,
                    after,
                })
            })
            .collect()
    }

    /// Whose a name is.
    pub(super) fn holder(&self, name: &str) -> Option<Holder> {
        let contest = self.by_name.get(name)?;
        let (rank, _, first) = contest.order.first()?;
        let machine = &self.by_address.get(first)?.machine;
        let of_machine = machine.iter().filter_map(|key| {
            let claims = contest.machines.get(&(*rank, key.clone()))?;
            claims.last()
        });
        let (_, address) = of_machine.max()?;
        let claim = self.by_address.get(address)?;
        Some(Holder {
            address: *address,
            ttl_seconds: claim.ttl_seconds,
        })
    }

    /// Every name that is claimed, and who holds it.
    pub(super) fn holders(&self) -> impl Iterator<Item = (&str, Holder)> {
        let names = self.by_name.keys();
        names.filter_map(|name| Some((name.as_str(), self.holder(name)?)))
    }

    /// What an address claims.
    pub(super) fn of(&self, address: Ipv4Addr) -> Option<&Claim> {
        self.by_address.get(&address)
    }

    /// The name that an address holds.
    pub(super) fn held_by(&self, address: Ipv4Addr) -> Option<&str> {
        let name = self.of(address)?.name.as_str();
        let holder = self.holder(name)?;
        (holder.address == address).then_some(name)
    }

    /// How many names are held.
    pub(super) fn names_len(&self) -> usize {
        self.by_name.len()
    }

    /// How many addresses claim one.
    pub(super) fn len(&self) -> usize {
        self.by_address.len()
    }
}

#[cfg(test)]
mod tests {
    use pxe_core::MacAddr;

    use super::*;

    fn ip(last: u8) -> Ipv4Addr {
        Ipv4Addr::new(10, 0, 0, last)
    }

    fn claim(name: &str, since: u64, machine: u8) -> Claim {
        let mac = MacAddr::new([2, 0, 0, 0, 0, machine]);
        Claim {
            name: name.to_owned(),
            is_reserved: false,
            since: UnixTime::from_seconds(since),
            machine: vec![MachineKey::Client(mac.into())],
            ttl_seconds: 600,
        }
    }

    fn reserved(name: &str, since: u64, machine: u8) -> Claim {
        let is_reserved = true;
        Claim {
            is_reserved,
            ..claim(name, since, machine)
        }
    }

    fn holder(claims: &Claims, name: &str) -> Option<Ipv4Addr> {
        claims.holder(name).map(|holder| holder.address)
    }

    #[test]
    fn the_first_keeps_a_name_while_its_lease_lives() {
        let mut claims = Claims::default();
        claims.put(ip(9), Some(claim("pc7", 100, 1)));
        assert_eq!(claims.put(ip(5), Some(claim("pc7", 200, 2))), []);
        assert_eq!(holder(&claims, "pc7"), Some(ip(9)));
        assert_eq!(
            (claims.held_by(ip(9)), claims.held_by(ip(5))),
            (Some("pc7"), None)
        );
        let changes = claims.put(ip(9), None);
        assert_eq!(changes.len(), 1);
        assert_eq!(changes[0].before.map(|one| one.address), Some(ip(9)));
        assert_eq!(
            changes[0].after.map(|one| one.address),
            Some(ip(5)),
            "the next has it"
        );
        claims.put(ip(5), None);
        assert_eq!((claims.names_len(), claims.len()), (0, 0));
    }

    #[test]
    fn a_reservation_always_wins() {
        let mut claims = Claims::default();
        claims.put(ip(9), Some(claim("pc7", 100, 1)));
        claims.put(ip(5), Some(reserved("pc7", 200, 2)));
        assert_eq!(holder(&claims, "pc7"), Some(ip(5)));
        claims.put(ip(4), Some(reserved("pc7", 300, 3)));
        assert_eq!(holder(&claims, "pc7"), Some(ip(5)), "of two the first");
        // Its machine's own other lease, which was not reserved, does not take it away.
        claims.put(ip(6), Some(claim("pc7", 400, 2)));
        assert_eq!(holder(&claims, "pc7"), Some(ip(5)));
    }

    #[test]
    fn a_name_moves_with_its_machine() {
        let mut claims = Claims::default();
        claims.put(ip(9), Some(claim("pc7", 100, 1)));
        claims.put(ip(5), Some(claim("pc7", 150, 2)));
        claims.put(ip(20), Some(claim("pc7", 200, 1)));
        assert_eq!(
            holder(&claims, "pc7"),
            Some(ip(20)),
            "the newest of the first machine"
        );
        claims.put(ip(20), None);
        assert_eq!(holder(&claims, "pc7"), Some(ip(9)));
        // Another port of the machine, which its ROM said the UUID of.
        let uuid = MachineKey::Uuid(MachineUuid::from_wire([7; 16]));
        let mut first = claim("pc7", 100, 1);
        first.machine.push(uuid.clone());
        let mut other = claim("pc7", 300, 3);
        other.machine.push(uuid);
        claims.put(ip(9), Some(first));
        claims.put(ip(30), Some(other));
        assert_eq!(holder(&claims, "pc7"), Some(ip(30)));
    }

    #[test]
    fn an_address_that_changes_its_name_frees_the_former_first() {
        let mut claims = Claims::default();
        claims.put(ip(9), Some(claim("pc7", 100, 1)));
        let changes = claims.put(ip(9), Some(claim("pc8", 200, 1)));
        let names: Vec<_> = changes
            .iter()
            .map(|change| (change.name.as_str(), change.after.is_some()))
            .collect();
        assert_eq!(names, [("pc7", false), ("pc8", true)]);
        // The same again is no change, a new time to live is one.
        assert_eq!(claims.put(ip(9), Some(claim("pc8", 200, 1))), []);
        let ttl_seconds = 60;
        let short = Claim {
            ttl_seconds,
            ..claim("pc8", 200, 1)
        };
        assert_eq!(claims.put(ip(9), Some(short)).len(), 1);
    }

    /// A little generator of our own: pxe-server has no other use for a crate that makes values.
    struct Random(u64);

    impl Random {
        fn below(&mut self, bound: u64) -> u64 {
            self.0 = self
                .0
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            (self.0 >> 33) % bound
        }

        fn claim(&mut self) -> Option<Claim> {
            if self.below(5) == 0 {
                return None;
            }
            let name = format!("pc{}", self.below(3));
            let mut claim = claim(&name, self.below(4), self.below(4) as u8);
            claim.is_reserved = self.below(6) == 0;
            let uuid = MachineUuid::from_wire([self.below(3) as u8; 16]);
            claim.machine.push(MachineKey::Uuid(uuid));
            Some(claim)
        }
    }

    /// What is published follows from the changes alone; it must be what the claims say, whatever
    /// led there.
    #[test]
    fn one_holder_per_name_whatever_the_order_and_the_batches() {
        for seed in 0..300 {
            let mut random = Random(seed);
            let mut claims = Claims::default();
            let mut published: BTreeMap<String, Holder> = BTreeMap::new();
            let mut last: BTreeMap<Ipv4Addr, Claim> = BTreeMap::new();
            for _ in 0..60 {
                let (address, claim) = (ip(random.below(8) as u8), random.claim());
                match &claim {
                    Some(claim) => last.insert(address, claim.clone()),
                    None => last.remove(&address),
                };
                for change in claims.put(address, claim) {
                    assert_eq!(published.get(&change.name).copied(), change.before);
                    match change.after {
                        Some(after) => published.insert(change.name, after),
                        None => published.remove(&change.name),
                    };
                }
                // No address has two names, and all that are claimed are held by a claimant.
                let addresses: BTreeSet<_> = published.values().map(|one| one.address).collect();
                assert_eq!(addresses.len(), published.len());
                let claimed: BTreeSet<_> = last.values().map(|claim| &claim.name).collect();
                assert!(claimed.into_iter().eq(published.keys()));
                for (name, holder) in &published {
                    assert_eq!(&last[&holder.address].name, name);
                }
            }
            // A restart: the same claims, the other way round.
            let mut again = Claims::default();
            for (address, claim) in last.iter().rev() {
                again.put(*address, Some(claim.clone()));
            }
            for (name, holder) in &published {
                assert_eq!(again.holder(name), Some(*holder), "seed {seed}");
            }
        }
    }
}
