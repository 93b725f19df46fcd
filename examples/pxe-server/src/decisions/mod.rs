//! One decision about each machine, for all protocols.
//!
//! DHCP asks the boot policy about a machine at each step of its boot; what was decided is kept
//! here, and TFTP and HTTP ask for it at each request: a machine that may not boot gets no file by
//! any of them. Which machine an address belongs to is known, in this order, by
//!
//! 1. the lease that this server gave, or in proxy mode the one that another server gave, as the
//!    machine's own REQUEST told ([`Addresses`]);
//! 2. the kernel's neighbour table, for addresses on our own link ([`neighbours`]).
//!
//! A client of which no DHCP message was heard is judged by what is known of it: its address, the
//! network that it is in, and its hardware address where the kernel knows that.
//!
//! **Several machines behind one address** (NAT, a router that hides a network) are one machine
//! here: the one whose hardware address the kernel sees there, or nobody in particular.
//!
//! It is no defence against forged addresses: see SECURITY.md.

mod access;
mod asked;
mod guard;
mod identity;
pub(crate) mod neighbours;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use pxe_core::{Instant, MacAddr};
use pxe_dhcp::{Boot, BootDecision, BootPolicy, BootRequest, Ipv4Net, LeaseRecord, NoBoot, Stage};

use self::asked::Asked;
use crate::addresses::Addresses;
use crate::machines::MachineId;

pub(crate) use self::access::{Access, Denial};
pub(crate) use self::guard::{Guarded, Remembered};
pub(crate) use self::identity::Identity;

/// How much is remembered. A peer can make us hold no more than this.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// At most this many machines; the one that asked longest ago is forgotten first, and is a
    /// stranger then.
    pub(crate) machines_max: usize,
    /// At most this many addresses of strangers; the oldest is forgotten first.
    pub(crate) strangers_max: usize,
    /// For so long an answer of the kernel's neighbour table is believed.
    pub(crate) stranger_time: Duration,
}

impl Default for Limits {
    /// A request is some 800 bytes usually, and there are two in a boot, so that a full table takes
    /// 13 MiB; one that hostile peers filled with the longest messages (4 KiB, three of them for a
    /// boot) stays under 200 MiB. No address should change its machine faster than `stranger_time`.
    fn default() -> Self {
        Self {
            machines_max: 8192,
            strangers_max: 16_384,
            stranger_time: Duration::from_secs(10),
        }
    }
}

/// The boot policy in force, and what it decided about each machine.
#[derive(Debug)]
pub(crate) struct Decisions {
    limits: Limits,
    addresses: Arc<Addresses>,
    rules: ArcSwap<Rules>,
    table: Mutex<Table>,
}

/// What decides.
#[derive(Debug)]
struct Rules {
    policy: Arc<dyn BootPolicy>,
    /// The networks of the configuration, for clients of which only an address is known.
    networks: Vec<Ipv4Net>,
    /// Whether any rule can deny at all. If not, no request needs a look into any table.
    can_deny: bool,
    /// Grows with each policy: what an older one decided is asked again.
    generation: u64,
}

#[derive(Debug, Default)]
struct Table {
    machines: HashMap<MachineId, Known>,
    /// When each machine asked last, to find the one that did longest ago.
    silence: BTreeMap<u64, MachineId>,
    sequence: u64,
    strangers: HashMap<IpAddr, Stranger>,
    /// The addresses of `strangers`, the oldest first; each once.
    strangers_order: VecDeque<IpAddr>,
}

/// What was decided about a machine in its last boot.
#[derive(Debug, Default)]
struct Known {
    generation: u64,
    sequence: u64,
    /// One per step of a boot: firmware, iPXE, operating system. **A denial holds for the whole
    /// boot**: it ends when an earlier step asks again, so when the machine starts anew.
    steps: [Option<Judged>; 3],
}

#[derive(Debug)]
struct Judged {
    asked: Asked,
    boot: Boot,
    access: Access,
}

/// A client of which no DHCP message was heard.
#[derive(Debug)]
struct Stranger {
    generation: u64,
    until: Instant,
    mac: Option<MacAddr>,
    access: Access,
}

/// Whether the client at an address may have files, as far as it is known now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum LookUp {
    Known(Access),
    /// Ask the neighbour table whose address it is, then [`Decisions::judge`].
    Unknown,
}

/// What was decided about a machine, to be shown.
#[derive(Debug, Clone)]
pub(crate) struct Shown {
    pub(crate) decision: BootDecision,
    pub(crate) stage: Stage,
    pub(crate) access: Access,
}

impl Judged {
    fn new(asked: Asked, decision: &BootDecision) -> Self {
        Self {
            asked,
            boot: decision.boot.clone(),
            access: Access::of(&decision.boot, &decision.explanation),
        }
    }
}

impl Known {
    /// The place of a stage among the steps of a boot.
    const fn step(stage: Stage) -> usize {
        match stage {
            Stage::Pxe | Stage::Http => 0,
            Stage::Ipxe => 1,
            _ => 2,
        }
    }

    fn record(&mut self, judged: Judged) {
        let step = Self::step(judged.asked.stage);
        for (index, former) in self.steps.iter_mut().enumerate() {
            if index > step {
                *former = None;
            }
        }
        self.steps[step] = Some(judged);
    }

    /// As if it had been recorded before all that was.
    fn recall(&mut self, judged: Judged) {
        let step = Self::step(judged.asked.stage);
        if self.steps.iter().take(step + 1).all(Option::is_none) {
            self.steps[step] = Some(judged);
        }
    }

    /// The step that tells most: the one that is denied, or else the last one of its boot that was
    /// told what to boot.
    fn decisive(&self) -> Option<&Judged> {
        let all = || self.steps.iter().flatten();
        all()
            .find(|judged| judged.access != Access::Allowed)
            .or_else(|| all().rfind(|judged| judged.boot != Boot::Nothing))
            .or_else(|| all().next_back())
    }

    /// Asks again if another policy is in force.
    fn refresh(&mut self, rules: &Rules) {
        if self.generation == rules.generation {
            return;
        }
        self.generation = rules.generation;
        for judged in self.steps.iter_mut().flatten() {
            let decision = judged.asked.ask(&*rules.policy);
            judged.access = Access::of(&decision.boot, &decision.explanation);
            judged.boot = decision.boot;
        }
    }

    fn access(&mut self, rules: &Rules) -> Access {
        self.refresh(rules);
        let mut denied = self.steps.iter().flatten().map(|judged| &judged.access);
        denied
            .find(|access| **access != Access::Allowed)
            .cloned()
            .unwrap_or(Access::Allowed)
    }
}

impl Decisions {
    /// No machine is known, and nobody is told to boot anything or denied it.
    pub(crate) fn new(addresses: Arc<Addresses>, limits: Limits) -> Self {
        let rules = Rules {
            policy: Arc::new(NoBoot::new()),
            networks: Vec::new(),
            can_deny: false,
            generation: 0,
        };
        Self {
            limits,
            addresses,
            rules: ArcSwap::from_pointee(rules),
            table: Mutex::default(),
        }
    }

    /// Puts a policy in force. What the former one decided is asked again, each machine at its
    /// next request.
    pub(crate) fn set_policy(
        &self,
        policy: &Arc<dyn BootPolicy>,
        networks: &[Ipv4Net],
        can_deny: bool,
    ) {
        self.rules.rcu(|former| Rules {
            policy: Arc::clone(policy),
            networks: networks.to_vec(),
            can_deny,
            generation: former.generation + 1,
        });
    }

    /// What this client is to boot. It is remembered.
    pub(crate) fn decide(&self, request: &BootRequest<'_>) -> BootDecision {
        let rules = self.rules.load();
        let decision = rules.policy.decide(request);
        let id = match (request.mac, request.client_ip) {
            (Some(mac), _) => MachineId::Mac(mac),
            (None, Some(ip)) => MachineId::Ip(ip.into()),
            (None, None) => return decision,
        };
        let judged = Judged::new(Asked::of(request), &decision);
        self.remember(id, judged, &rules);
        decision
    }

    /// Takes in a lease of an earlier run. What was heard of its machine meanwhile counts more.
    pub(crate) fn recall(&self, lease: &LeaseRecord) {
        let ip = IpAddr::V4(lease.address);
        let Some(mac) = lease.mac() else { return };
        self.addresses.recall(ip, mac);
        let id = MachineId::Mac(mac);
        // Those that were heard since the start are not forgotten for one that was not.
        let has_room = |table: &Table| {
            table.machines.len() < self.limits.machines_max || table.machines.contains_key(&id)
        };
        if !has_room(&self.table()) {
            return;
        }
        let rules = self.rules.load();
        let asked = Asked::of_lease(lease, rules.network_of(ip), Ipv4Addr::UNSPECIFIED);
        let decision = asked.ask(&*rules.policy);
        let judged = Judged::new(asked, &decision);
        let mut table = self.table();
        if !has_room(&table) {
            return;
        }
        let known = table.touch(id, self.limits.machines_max);
        known.refresh(&rules);
        known.recall(judged);
    }

    fn remember(&self, id: MachineId, judged: Judged, rules: &Rules) {
        let mut table = self.table();
        let known = table.touch(id, self.limits.machines_max);
        // Its other steps are brought up to this policy before one is added that is.
        known.refresh(rules);
        known.record(judged);
    }

    /// Whether any rule can deny a machine its boot.
    pub(crate) fn can_deny(&self) -> bool {
        self.rules.load().can_deny
    }

    /// Whether the client at this address may have files.
    pub(crate) fn look_up(&self, ip: IpAddr, now: Instant) -> LookUp {
        let rules = self.rules.load();
        if !rules.can_deny {
            return LookUp::Known(Access::Allowed);
        }
        let mac = self.addresses.mac_of(ip);
        let mut table = self.table();
        if let Some(access) = table.access_of(ip, mac, &rules) {
            return LookUp::Known(access);
        }
        let stranger = table.strangers.get(&ip);
        let Some(stranger) = stranger.filter(|stranger| {
            stranger.generation == rules.generation
                && now < stranger.until
                && mac.is_none_or(|mac| stranger.mac == Some(mac))
        }) else {
            return LookUp::Unknown;
        };
        // It may have asked by DHCP since.
        let (mac, access) = (stranger.mac, stranger.access.clone());
        LookUp::Known(table.access_of(ip, mac, &rules).unwrap_or(access))
    }

    /// The same for a client of which nothing more can be found out. `neighbour` is the hardware
    /// address that the kernel knows for it, `local` the address of ours that it asked.
    pub(crate) fn judge(
        &self,
        ip: IpAddr,
        neighbour: Option<MacAddr>,
        local: Option<IpAddr>,
        now: Instant,
    ) -> Access {
        let rules = self.rules.load();
        let mac = self.addresses.mac_of(ip).or(neighbour);
        let server_ip = match local {
            Some(IpAddr::V4(local)) => local,
            _ => Ipv4Addr::UNSPECIFIED,
        };
        let asked = Asked::of_stranger(ip, mac, rules.network_of(ip), server_ip);
        let decision = asked.ask(&*rules.policy);
        let access = Access::of(&decision.boot, &decision.explanation);
        let stranger = Stranger {
            generation: rules.generation,
            until: now + self.limits.stranger_time,
            mac,
            access: access.clone(),
        };
        let mut table = self.table();
        table.meet(ip, stranger, self.limits.strangers_max);
        table.access_of(ip, mac, &rules).unwrap_or(access)
    }

    /// The rule that denies this address its files, by what was last known of it.
    pub(crate) fn denial(&self, ip: IpAddr) -> Option<Arc<Denial>> {
        // An answer that has just become too old is the one that the client was given.
        match self.look_up(ip, Instant::EPOCH) {
            LookUp::Known(Access::Denied(denial)) => Some(denial),
            _ => None,
        }
    }

    /// What was decided about a machine, with the reasons: the policy is asked for them anew.
    pub(crate) fn show(&self, id: MachineId) -> Option<Shown> {
        let rules = self.rules.load();
        let mut table = self.table();
        let known = table.machines.get_mut(&id)?;
        let access = known.access(&rules);
        let judged = known.decisive()?;
        let (asked, stage) = (judged.asked.clone(), judged.asked.stage);
        drop(table);
        Some(Shown {
            decision: asked.ask(&*rules.policy),
            stage,
            access,
        })
    }

    /// A panic of another thread leaves the table whole: each method writes it in full or not.
    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Rules {
    fn network_of(&self, ip: IpAddr) -> Option<Ipv4Net> {
        let IpAddr::V4(ip) = ip else { return None };
        self.networks.iter().copied().find(|net| net.contains(ip))
    }
}

impl Table {
    /// The machine's decisions, as the one that asked last; made room for if it is new.
    fn touch(&mut self, id: MachineId, machines_max: usize) -> &mut Known {
        let is_full = self.machines.len() >= machines_max.max(1);
        if is_full
            && !self.machines.contains_key(&id)
            && let Some((_, silent)) = self.silence.pop_first()
        {
            self.machines.remove(&silent);
        }
        self.sequence += 1;
        let known = self.machines.entry(id).or_default();
        self.silence.remove(&known.sequence);
        known.sequence = self.sequence;
        self.silence.insert(known.sequence, id);
        known
    }

    /// What was decided about the machine with this hardware address, or else at this address.
    fn access_of(&mut self, ip: IpAddr, mac: Option<MacAddr>, rules: &Rules) -> Option<Access> {
        let id = mac.map_or(MachineId::Ip(ip), MachineId::Mac);
        Some(self.machines.get_mut(&id)?.access(rules))
    }

    fn meet(&mut self, ip: IpAddr, stranger: Stranger, strangers_max: usize) {
        if self.strangers.insert(ip, stranger).is_none() {
            self.strangers_order.push_back(ip);
        }
        while self.strangers.len() > strangers_max.max(1) {
            let Some(oldest) = self.strangers_order.pop_front() else {
                break;
            };
            self.strangers.remove(&oldest);
        }
    }
}

impl fmt::Display for Shown {
    /// `boots bios/lpxelinux.0 (pxe)`, `boots nothing (system)`, `denied by rule x: ..`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.access, &self.decision.boot) {
            (Access::Denied(denial), _) => return denial.fmt(f),
            (_, Boot::File(file) | Boot::Url(file)) => write!(f, "boots {file}")?,
            _ => f.write_str("boots nothing")?,
        }
        write!(f, " ({})", self.stage)
    }
}
