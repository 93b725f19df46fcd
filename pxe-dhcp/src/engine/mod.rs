//! The server's state machine.

mod address_pool;
mod answer;
mod bootp;
mod change;
mod choice;
mod identity;
mod lease_table;
mod offer_table;
mod other_servers;
mod outgoing;
mod plan;
mod port;
mod proxy;
mod rate;
mod request;
mod stranger;
mod withdraw;

use core::fmt;
use core::net::Ipv4Addr;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use pxe_core::{BatchLimit, Destination, IfIndex, Instant, MacAddr, Now, RecvMeta};
use pxe_core::{SendFailure, Transmit};

use self::change::Change;
use self::lease_table::{Hold, Lease, LeaseTable};
use self::offer_table::OfferTable;
use self::other_servers::OtherServers;
use self::outgoing::Outgoing;
use self::plan::Plan;
use self::rate::RateLimiter;
use self::request::Origin;
pub use self::withdraw::WithdrawError;
use crate::{
    BootPolicy, CommitError, Config, ConfigError, Event, LeaseRecord, LeaseState, Limit, Limits,
};

/// The number of a question that an engine asked its driver.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(u64);

impl fmt::Display for Ticket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What only the driver can do, or may want to know.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Output {
    /// Put this record into the store if the store's version of its address is
    /// `expected_version` (`None`: if it has none), make it durable, and say so with
    /// [`Engine::handle_committed`]. An ACK waits for it.
    Commit {
        /// To answer with.
        ticket: Ticket,
        /// The record.
        lease: Box<LeaseRecord>,
        /// The version that it replaces.
        expected_version: Option<u64>,
    },
    /// Find out whether anybody uses this address (ARP or ICMP echo), and say so with
    /// [`Engine::handle_probed`]. An OFFER waits for it.
    Probe {
        /// To answer with.
        ticket: Ticket,
        /// The address.
        address: Ipv4Addr,
        /// The link of the client, if it was not relayed.
        interface: Option<IfIndex>,
        /// Who asks. If it uses the address itself, nobody else does.
        client: Option<MacAddr>,
    },
    /// Something happened.
    Event(Event),
}

/// What a probe found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ProbeResult {
    /// Nobody answered.
    Free,
    /// Somebody uses the address.
    InUse,
}

/// How often things happened since the engine was made.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Counters {
    /// Datagrams handled.
    pub received: u64,
    /// OFFERs of addresses.
    pub offers: u64,
    /// ACKs, those to INFORM included.
    pub acks: u64,
    /// OFFERs of boot information alone ([`Mode::Proxy`](crate::Mode::Proxy)).
    pub proxy_offers: u64,
    /// ACKs of boot information alone, to clients that ask a boot server.
    pub boot_server_acks: u64,
    /// NAKs.
    pub naks: u64,
    /// Messages left without an answer.
    pub ignored: u64,
    /// How often each limit was reached.
    pub limits: BTreeMap<Limit, u64>,
}

/// A DHCP server, a proxyDHCP server or a boot server, without input or output: see
/// [`Mode`](crate::Mode).
///
/// Give it datagrams, time and answers by `handle_*`; then fetch what it wants by `poll_*` until
/// they have nothing more. The order of the `poll_*` calls does not matter.
///
/// ```
/// use std::{net::{IpAddr, Ipv4Addr, SocketAddr}, sync::Arc, time::Duration};
/// use pxe_core::{BatchLimit, Instant, Now, RecvMeta, SocketId, UnixTime};
/// use pxe_dhcp::{ArchPolicy, Config, Engine, Output, Subnet};
/// # fn discover() -> Vec<u8> {
/// #     use pxe_dhcp::wire::{Header, OptionCode, Priority, Reply};
/// #     let mut header = Header::request();
/// #     header.chaddr[..6].copy_from_slice(&[0x52, 0x54, 0, 0x15, 0, 1]);
/// #     header.giaddr = [192, 168, 150, 2].into();
/// #     let mut discover = Reply::new(header);
/// #     discover.push(OptionCode::MESSAGE_TYPE, [1], Priority::Required);
/// #     let mut bytes = Vec::new();
/// #     discover.write(548, &mut bytes).expect("it fits");
/// #     bytes
/// # }
///
/// let server = Ipv4Addr::new(192, 168, 150, 1);
/// let config = Config::new().with_subnet(
///     Subnet::new("192.168.150.0/24".parse()?)
///         .with_pool([192, 168, 150, 100].into(), [192, 168, 150, 200].into()),
/// );
/// let mut engine = Engine::new(config, Arc::new(ArchPolicy::syslinux()), 0)?;
///
/// let now = Now::new(Instant::EPOCH, UnixTime::from_seconds(1_795_000_000));
/// let relay = SocketAddr::from(([192, 168, 150, 2], 67));
/// let meta = RecvMeta::new(SocketId(0), relay).with_local_ip(IpAddr::V4(server));
/// engine.handle_datagram(now, &meta, &discover());
///
/// let mut buf = Vec::new();
/// let offer = engine.poll_transmit(now, BatchLimit::ONE, &mut buf).expect("an OFFER");
/// assert_eq!((offer.len, buf.len()), (300, 300));
/// while let Some(output) = engine.poll_output() {
///     match output {
///         Output::Commit { ticket, .. } => engine.handle_committed(now, ticket, Ok(())),
///         Output::Event(event) => println!("{event:?}"),
///         _ => {}
///     }
/// }
/// assert_eq!(engine.poll_timeout(), Some(now.mono + Duration::from_secs(60)), "the offer's end");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Engine {
    plan: Plan,
    policy: Arc<dyn BootPolicy>,
    seed: u64,
    leases: LeaseTable,
    offers: OfferTable,
    /// Changes on their way to the store, and which address each is about: one at a time.
    changes: BTreeMap<Ticket, Change>,
    changing: BTreeMap<Ipv4Addr, Ticket>,
    rate: RateLimiter,
    new_clients: RateLimiter,
    other_servers: OtherServers,
    transmits: VecDeque<Outgoing>,
    outputs: VecDeque<Output>,
    /// How many of `outputs` are events, and whether some were lost since they were last fetched.
    events_queued: usize,
    events_lost: bool,
    next_ticket: u64,
    counters: Counters,
}

impl Engine {
    /// A server without leases.
    ///
    /// `seed` decides which of the free addresses a client gets: equal seeds give equal addresses,
    /// on every machine and after every restart. It need not be secret.
    ///
    /// # Errors
    ///
    /// If the configuration contradicts itself; see [`Config::check`].
    pub fn new(
        config: Config,
        policy: Arc<dyn BootPolicy>,
        seed: u64,
    ) -> Result<Self, ConfigError> {
        Ok(Self {
            rate: RateLimiter::of_clients(&config.limits),
            new_clients: RateLimiter::of_new_clients(&config.limits),
            plan: Plan::new(config)?,
            policy,
            seed,
            leases: LeaseTable::default(),
            offers: OfferTable::default(),
            changes: BTreeMap::new(),
            changing: BTreeMap::new(),
            other_servers: OtherServers::default(),
            transmits: VecDeque::new(),
            outputs: VecDeque::new(),
            events_queued: 0,
            events_lost: false,
            next_ticket: 0,
            counters: Counters::default(),
        })
    }

    /// Takes records from the store: all of them before the first datagram, and later those that
    /// another server changed. A record that is not newer than the one known is passed over, and
    /// so is one beyond [`Limits::leases_max`]: if its address is given to somebody, the store
    /// will tell.
    pub fn load(&mut self, now: Now, records: impl IntoIterator<Item = LeaseRecord>) {
        for record in records {
            let known = self
                .leases
                .get(record.address)
                .map(|lease| lease.record.version);
            if known.is_some_and(|version| version >= record.version) {
                continue;
            }
            if known.is_none() && !self.make_room() {
                self.limit_reached(Limit::Leases);
                continue;
            }
            self.adopt(now, record);
        }
        self.advance(now);
    }

    /// Changes what the server does. Leases and offers stay; an active lease is kept even if its
    /// address is in no pool any more, until its client gives it up.
    ///
    /// # Errors
    ///
    /// If the configuration contradicts itself; the old one stays then.
    pub fn reconfigure(
        &mut self,
        now: Now,
        config: Config,
        policy: Arc<dyn BootPolicy>,
    ) -> Result<(), ConfigError> {
        let plan = Plan::new(config)?;
        if plan.config.limits != self.plan.config.limits {
            self.rate = RateLimiter::of_clients(&plan.config.limits);
            self.new_clients = RateLimiter::of_new_clients(&plan.config.limits);
        }
        (self.plan, self.policy) = (plan, policy);
        let addresses: Vec<Ipv4Addr> = self.leases.records().map(|record| record.address).collect();
        for address in addresses {
            self.mark(address);
        }
        let offered: Vec<Ipv4Addr> = self.offers.addresses().collect();
        for address in offered
            .into_iter()
            .chain(self.changing.keys().copied().collect::<Vec<_>>())
        {
            self.mark(address);
        }
        self.advance(now);
        Ok(())
    }

    /// Takes note that this host has other addresses now: none of them is given to a client, and
    /// those that it no longer has can be. All else stays as it is.
    pub fn set_own_addresses(&mut self, now: Now, addresses: impl IntoIterator<Item = Ipv4Addr>) {
        let mut config = self.plan.config.clone();
        config.own_addresses = addresses.into_iter().collect();
        let policy = Arc::clone(&self.policy);
        let done = self.reconfigure(now, config, policy);
        debug_assert!(done.is_ok(), "own addresses contradict nothing: {done:?}");
    }

    /// Takes a datagram that came in.
    ///
    /// `meta.local_ip` must be an address of this host, also for a broadcast: the one by which the
    /// link's clients reach it. It tells the subnet of clients that are not relayed.
    pub fn handle_datagram(&mut self, now: Now, meta: &RecvMeta, payload: &[u8]) {
        self.advance(now);
        self.counters.received += 1;
        self.receive(now, meta, payload, Origin::Wire);
    }

    /// Takes a datagram that came in at the port of boot servers, 4011
    /// ([`Config::binl_port`]): a client that has an address asks what it is to boot. The answer
    /// goes to the address and port that it came from, by the socket that it came in at: clients
    /// look at the port that an answer comes from.
    ///
    /// It is answered in every mode. `meta.local_ip` is as for
    /// [`handle_datagram`](Self::handle_datagram).
    pub fn handle_binl_datagram(&mut self, now: Now, meta: &RecvMeta, payload: &[u8]) {
        self.advance(now);
        self.counters.received += 1;
        self.receive(now, meta, payload, Origin::Binl);
    }

    /// Does what is due. Early and repeated calls are harmless.
    pub fn handle_timeout(&mut self, now: Now) {
        self.advance(now);
    }

    /// Takes note that a reply could not be sent. The client asks again by itself.
    pub fn handle_send_failure(&mut self, now: Now, to: Destination, failure: SendFailure) {
        self.advance(now);
        self.event(Event::SendFailed { to, failure });
    }

    /// Takes the store's answer to [`Output::Commit`]. An unknown ticket is passed over.
    pub fn handle_committed(&mut self, now: Now, ticket: Ticket, result: Result<(), CommitError>) {
        self.advance(now);
        self.finish_change(now, ticket, result);
    }

    /// Takes the answer to [`Output::Probe`]. An unknown ticket is passed over: the offer may
    /// have been given up since.
    pub fn handle_probed(&mut self, now: Now, ticket: Ticket, result: ProbeResult) {
        self.advance(now);
        self.finish_probe(now, ticket, result);
    }

    /// Appends the next reply to `buf`, one datagram a call.
    pub fn poll_transmit(
        &mut self,
        _now: Now,
        _limit: BatchLimit,
        buf: &mut Vec<u8>,
    ) -> Option<Transmit> {
        let Outgoing {
            socket,
            to,
            source,
            payload,
        } = self.transmits.pop_front()?;
        buf.extend_from_slice(&payload);
        Some(Transmit::new(socket, to, payload.len()).with_source(source))
    }

    /// What the driver has to do or may want to know.
    pub fn poll_output(&mut self) -> Option<Output> {
        let output = self.outputs.pop_front()?;
        if matches!(output, Output::Event(_)) {
            self.events_queued -= 1;
            self.events_lost = false;
        }
        Some(output)
    }

    /// When [`handle_timeout`](Self::handle_timeout) is due; `None` if nothing is scheduled.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.leases
            .next_due()
            .into_iter()
            .chain(self.offers.next_due())
            .min()
    }

    /// The records that the engine knows, by address: given, given back, expired and in
    /// quarantine.
    pub fn leases(&self) -> impl Iterator<Item = &LeaseRecord> {
        self.leases.records()
    }

    /// How many offers wait for their REQUEST.
    pub fn offers_len(&self) -> usize {
        self.offers.len()
    }

    /// How many changes are on their way to the store.
    pub fn commits_len(&self) -> usize {
        self.changes.len()
    }

    /// How often things happened.
    pub const fn counters(&self) -> &Counters {
        &self.counters
    }

    /// The configuration in force.
    pub const fn config(&self) -> &Config {
        &self.plan.config
    }

    const fn limits(&self) -> &Limits {
        &self.plan.config.limits
    }

    fn ticket(&mut self) -> Ticket {
        self.next_ticket += 1;
        Ticket(self.next_ticket)
    }

    fn event(&mut self, event: Event) {
        if self.events_queued < self.limits().events_max {
            self.events_queued += 1;
            self.outputs.push_back(Output::Event(event));
        } else {
            *self.counters.limits.entry(Limit::Events).or_default() += 1;
            if !self.events_lost {
                self.events_lost = true;
                self.events_queued += 1;
                let limit = Limit::Events;
                self.outputs
                    .push_back(Output::Event(Event::LimitReached { limit }));
            }
        }
    }

    fn limit_reached(&mut self, limit: Limit) {
        *self.counters.limits.entry(limit).or_default() += 1;
        self.event(Event::LimitReached { limit });
    }

    fn send(&mut self, outgoing: Outgoing) {
        if self.transmits.len() < self.limits().transmits_max {
            self.transmits.push_back(outgoing);
        } else {
            self.limit_reached(Limit::Transmits);
        }
    }

    /// Ends what is over: leases, quarantines, offers.
    fn advance(&mut self, now: Now) {
        while let Some(lease) = self.leases.pop_due(now.mono) {
            self.forget_idle(&lease);
            let is_active = lease.is_active();
            let record = lease.record;
            if is_active {
                let (client, address) = (record.client.clone(), record.address);
                self.event(Event::Expired { client, address });
            }
            self.put(Lease {
                record,
                hold: Hold::Idle,
            });
        }
        while let Some(address) = self.offers.pop_due(now.mono) {
            self.mark(address);
        }
    }

    /// Puts a lease into the table, and its address where it belongs.
    fn put(&mut self, lease: Lease) {
        let address = lease.record.address;
        if let Some(before) = self.leases.insert(lease) {
            self.forget_idle(&before);
        }
        self.mark(address);
    }

    /// Takes a lease out of the table.
    fn forget(&mut self, address: Ipv4Addr) {
        if let Some(lease) = self.leases.remove(address) {
            self.forget_idle(&lease);
            self.mark(address);
        }
    }

    fn forget_idle(&mut self, lease: &Lease) {
        if let Some(index) = self.plan.subnet_of(lease.record.address) {
            let subnet = &mut self.plan.subnets[index];
            subnet.idle.remove(&lease.idle_entry());
        }
    }

    /// Brings a subnet's view of an address up to date: whether it is taken, and whether it waits
    /// to be given again.
    fn mark(&mut self, address: Ipv4Addr) {
        let Some(index) = self.plan.subnet_of(address) else {
            return;
        };
        let lease = self.leases.get(address);
        let is_busy =
            self.offers.client_at(address).is_some() || self.changing.contains_key(&address);
        let subnet = &mut self.plan.subnets[index];
        subnet.pool.set_taken(address, lease.is_some() || is_busy);
        if let Some(lease) = lease {
            let entry = lease.idle_entry();
            let is_idle = matches!(lease.hold, Hold::Idle | Hold::Doubtful { .. });
            // Reserved and excluded addresses are not for anybody else.
            if is_idle && !is_busy && subnet.pool.contains(address) {
                subnet.idle.insert(entry);
            } else {
                subnet.idle.remove(&entry);
            }
        }
    }

    /// Puts a record from the store into the table.
    ///
    /// Its times are civil, so they are only believed as far as nothing better is known: a lease
    /// that this engine gave lasts at least as long as it said, whatever the wall clock did. And
    /// none lasts longer from now than it did when it was given: a clock that is behind, as it is
    /// on a machine without a battery until NTP sets it, would hold addresses for years.
    fn adopt(&mut self, now: Now, record: LeaseRecord) {
        let known = self.leases.get(record.address);
        let given_until = match (known, record.state) {
            (
                Some(Lease {
                    record: known,
                    hold: Hold::Active { expires },
                }),
                LeaseState::Bound { .. },
            ) if known.client == record.client => Some(*expires),
            _ => None,
        };
        let mono_in = |seconds| now.mono + core::time::Duration::from_secs(seconds);
        let hold = match record.state {
            LeaseState::Released { .. } => Hold::Idle,
            LeaseState::Bound { expires: end } | LeaseState::Declined { until: end } => {
                let left = end.saturating_seconds_since(now.wall);
                let whole = end.saturating_seconds_since(record.last_seen);
                let until = mono_in(left.min(whole));
                match record.state {
                    // The clock that says so may have been stepped since the lease was given; but
                    // whoever has it counts its time, which is over after this.
                    _ if left == 0 && whole > 0 => Hold::Doubtful {
                        until: mono_in(whole),
                    },
                    _ if left == 0 => Hold::Idle,
                    LeaseState::Declined { .. } => Hold::Quarantined { until },
                    _ => Hold::Active { expires: until },
                }
            }
        };
        let hold = match (hold, given_until) {
            (Hold::Active { expires }, Some(given)) => Hold::Active {
                expires: expires.max(given),
            },
            (_, Some(expires)) => Hold::Active { expires },
            (hold, None) => hold,
        };
        // An offer of an address that another server gave to somebody else is void. Left in place,
        // it would have its holder refused.
        if hold != Hold::Idle
            && let Some(offered) = self.offers.client_at(record.address)
            && *offered != record.client
        {
            let offered = offered.clone();
            self.offers.remove(&offered);
        }
        self.put(Lease { record, hold });
    }
}
