//! An engine among clients, a store and another server, all driven by a fuzzer's bytes.

use core::net::{IpAddr, Ipv4Addr, SocketAddr};
use core::time::Duration;
use std::collections::BTreeMap;
use std::sync::Arc;

use pxe_core::{BatchLimit, IfIndex, Instant, MacAddr, Now, RecvMeta, SocketId, UnixTime};

use super::input::Input;
use crate::wire::{Header, MachineUuid, Message, MessageType, OptionCode, Priority, Reply};
use crate::{
    ArchPolicy, Bootp, ClientKey, CommitError, Config, Engine, LeaseRecord, LeaseState, Limits,
    Output, ProbeResult, Probing, Reservation, ReservedFor, Subnet, Ticket,
};

const SERVER: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
const RELAY: Ipv4Addr = Ipv4Addr::new(10, 1, 0, 2);
const CLIENTS: u8 = 6;
const UUID: [u8; 16] = [7; 16];
const IDENTIFIER: &[u8] = b"\xffid";

/// Lets an engine meet whatever the bytes say: requests of all kinds, whole and damaged, time,
/// answers of the store and of probes in any order, another server, restarts.
///
/// # Panics
///
/// If an address is given to two clients at once, an ACK leaves without its commit, a reply is
/// shorter than 300 bytes or longer than its client allows, a reply cannot be read, or a table
/// exceeds its limit.
pub fn fuzz_engine(data: &[u8]) {
    fuzz_engine_replies(data, |_| {});
}

/// The same, and shows each reply.
///
/// # Panics
///
/// As [`fuzz_engine`], and if `observe` does.
pub fn fuzz_engine_replies(data: &[u8], observe: impl FnMut(&[u8])) {
    let mut input = Input::new(data);
    let mode = input.byte();
    let mut world = World::new(mode, observe);
    while !input.is_empty() {
        world.step(&mut input);
        world.drain();
    }
    // In the end every commit is answered, and nothing is owed to anybody.
    while !world.commits.is_empty() {
        world.answer_commit(0, 0);
        world.drain();
    }
    assert_eq!(world.engine.commits_len(), 0);
}

/// A commit that waits for the store's answer.
struct Waiting {
    ticket: Ticket,
    lease: LeaseRecord,
    expected_version: Option<u64>,
    /// Until when the client has it, if it gets it: it counts from its REQUEST.
    until: Option<Instant>,
}

struct World<F> {
    engine: Engine,
    observe: F,
    now: Now,
    /// Whether the wall clock jumps. Then there is no other server, who would believe it, and
    /// restarts only with probes: without them, so does this one.
    wall_jumps: bool,
    probing: Probing,
    narrow: bool,
    /// Another server shares the store.
    store: BTreeMap<Ipv4Addr, LeaseRecord>,
    commits: Vec<Waiting>,
    probes: Vec<(Ticket, Ipv4Addr)>,
    /// Who holds an address until when, by what the clients were told.
    held: BTreeMap<Ipv4Addr, (ClientKey, Instant)>,
    /// Stored leases whose ACK has not been seen yet, and when they end.
    owed: BTreeMap<(Ipv4Addr, ClientKey), Instant>,
    /// What each transaction's client takes, in bytes.
    allowed: BTreeMap<u32, usize>,
    offered: BTreeMap<ClientKey, Ipv4Addr>,
    xid: u32,
}

fn config(narrow: bool, probing: Probing) -> Config {
    let mut limits = Limits::new();
    limits.offers_max = 4;
    limits.leases_max = 12;
    limits.commits_max = 3;
    limits.transmits_max = 4;
    limits.events_max = 64;
    limits.quarantined_max = 2;
    limits.rate_clients_max = 4;
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

fn engine(narrow: bool, probing: Probing) -> Engine {
    let policy = ArchPolicy::syslinux()
        .with_ipxe("http://{server}/boot.ipxe")
        .with_config_file("pxelinux.cfg/default");
    Engine::new(config(narrow, probing), Arc::new(policy), 7).expect("a good configuration")
}

impl<F: FnMut(&[u8])> World<F> {
    fn new(mode: u8, observe: F) -> Self {
        let probing = if mode & 2 != 0 {
            Probing::Reused
        } else {
            Probing::Off
        };
        Self {
            engine: engine(false, probing),
            observe,
            now: Now::new(
                Instant::from_nanos(1),
                UnixTime::from_seconds(1_795_000_000),
            ),
            wall_jumps: mode & 1 != 0,
            probing,
            narrow: false,
            store: BTreeMap::new(),
            commits: Vec::new(),
            probes: Vec::new(),
            held: BTreeMap::new(),
            owed: BTreeMap::new(),
            allowed: BTreeMap::new(),
            offered: BTreeMap::new(),
            xid: 0,
        }
    }

    fn step(&mut self, input: &mut Input<'_>) {
        match input.below(16) {
            0..=4 => self.request(input),
            5..=7 => self.answer_commit(input.byte(), 0),
            8 => self.answer_commit(input.byte(), input.below(4)),
            9 => self.answer_probe(input),
            10 => self.now = self.now + Duration::from_secs(1 << input.below(13)),
            11 => {
                self.engine.handle_timeout(self.now);
                let next = self.engine.poll_timeout();
                assert!(next.is_none_or(|at| at > self.now.mono), "{next:?} was due");
            }
            12 => self.jump_or_restart(input),
            13 => self.other_server(input),
            14 => {
                self.narrow = !self.narrow;
                let config = config(self.narrow, self.probing);
                let policy = Arc::new(ArchPolicy::syslinux());
                self.engine
                    .reconfigure(self.now, config, policy)
                    .expect("a good configuration");
            }
            _ => {
                let len = 3 * usize::from(input.byte() / 2);
                let payload: Vec<u8> = (0..len).map(|_| input.byte()).collect();
                self.datagram(input, &payload);
            }
        }
    }

    /// A client's message, sometimes damaged.
    fn request(&mut self, input: &mut Input<'_>) {
        let number = input.below(CLIENTS);
        let mut header = Header::request();
        self.xid += 1;
        header.xid = self.xid;
        header.chaddr[..6].copy_from_slice(&[2, 0, 0, 0, 0, number]);
        let key = ClientKey::Ethernet(MacAddr::new([2, 0, 0, 0, 0, number]));
        let flags = input.byte();
        if flags & 1 != 0 {
            header.flags = 0x8000;
        }
        if flags & 2 != 0 {
            header.giaddr = RELAY;
        }
        let more = input.byte();
        let message_type = [1, 1, 3, 3, 3, 4, 7, 8][usize::from(input.below(8))];
        let address = match input.below(3) {
            0 => self.offered.get(&key).copied().unwrap_or(SERVER),
            1 => {
                let mine = self.held.iter().find(|(_, (holder, _))| *holder == key);
                mine.map_or(SERVER, |(address, _)| *address)
            }
            _ => Ipv4Addr::new(10, input.below(2), 0, input.below(16)),
        };
        let with = match input.below(6) {
            0 => 2 | 4 | 8,      // SELECTING
            1 => 2 | 4 | 8 | 64, // and a length limit
            2 => 1,              // RENEWING, RELEASE
            3 => 2,              // INIT-REBOOT
            _ => input.byte(),
        };
        if with & 1 != 0 {
            header.ciaddr = address;
        }
        let mut request = Reply::new(header);
        let mut push = |code, data: &[u8]| request.push(code, data, Priority::Required);
        // Without it, plain BOOTP.
        if more & 7 != 7 {
            push(OptionCode::MESSAGE_TYPE, &[message_type]);
        }
        if more & 8 != 0 {
            push(OptionCode::CLIENT_MACHINE_ID, &[&[0], &UUID[..]].concat());
        }
        if more & 16 != 0 {
            push(OptionCode::CLIENT_ID, IDENTIFIER);
        }
        if more & 32 != 0 {
            push(OptionCode::LEASE_TIME, &[0, 0, input.byte(), 0]);
        }
        if with & 2 != 0 {
            push(OptionCode::REQUESTED_ADDRESS, &address.octets());
        }
        if with & 4 != 0 {
            let server = if with & 8 != 0 {
                SERVER
            } else {
                Ipv4Addr::new(10, 0, 0, 14)
            };
            push(OptionCode::SERVER_ID, &server.octets());
        }
        if with & 16 != 0 {
            push(OptionCode::CLIENT_ARCH, &[0, input.below(17)]);
            push(
                OptionCode::VENDOR_CLASS,
                b"PXEClient:Arch:00000:UNDI:002001",
            );
        }
        if with & 32 != 0 {
            push(OptionCode::USER_CLASS, b"iPXE");
        }
        if with & 64 != 0 {
            push(OptionCode::MAX_MESSAGE_SIZE, &[input.byte(), 0]);
        }
        if with & 128 != 0 {
            let info = match more & 64 != 0 {
                true => vec![1, 1, b'p'],
                false => vec![9; usize::from(input.byte())],
            };
            push(OptionCode::RELAY_AGENT_INFO, &info);
            push(
                OptionCode::PARAMETER_REQUEST_LIST,
                &[1, 3, 6, 15, 28, 66, 67],
            );
        }
        let mut payload = Vec::new();
        request.write(1472, &mut payload).expect("it fits");
        for _ in 0..input.byte().saturating_sub(240) {
            let position = 2 * usize::from(input.byte());
            if let Some(byte) = payload.get_mut(position) {
                *byte = input.byte();
            }
        }
        self.datagram(input, &payload);
    }

    fn datagram(&mut self, input: &mut Input<'_>, payload: &[u8]) {
        if let Ok(message) = Message::parse(payload) {
            let said = match message.message_type() {
                Some(_) => usize::from(message.max_message_size().unwrap_or(576).max(576)),
                None => payload.len().max(300) + 28,
            };
            let allowed = self.allowed.entry(message.xid()).or_insert(0);
            *allowed = said.max(*allowed);
        }
        let mut meta = RecvMeta::new(SocketId(0), SocketAddr::from(([0, 0, 0, 0], 68)));
        if input.byte() < 250 {
            meta = meta.with_local_ip(IpAddr::V4(SERVER));
            meta = meta.with_interface(IfIndex::new(2).expect("not zero"));
        }
        self.engine.handle_datagram(self.now, &meta, payload);
    }

    /// How a commit ends: 0 stored, 1 lost, 2 stored but the answer is an error, 3 another server
    /// was faster.
    fn answer_commit(&mut self, which: u8, outcome: u8) {
        if self.commits.is_empty() {
            return;
        }
        let waiting = self.commits.remove(usize::from(which) % self.commits.len());
        let Waiting {
            ticket,
            lease,
            expected_version,
            until,
        } = waiting;
        let address = lease.address;
        if outcome == 3 && !self.wall_jumps {
            self.take_for_other(address);
        }
        let current = self.store.get(&address);
        let result = if outcome == 1 {
            Err(CommitError::Unavailable("lost".to_owned()))
        } else if current.map(|record| record.version) != expected_version {
            // What is stored may be the client's own, and for as long: then it is as good.
            if let (Some(current), Some(until)) = (current, until)
                && current.client == lease.client
                && current.bound_until() >= lease.bound_until()
            {
                self.owed.insert((address, lease.client), until);
            }
            Err(CommitError::Conflict {
                current: current.cloned().map(Box::new),
            })
        } else {
            let client = lease.client.clone();
            self.store.insert(address, lease);
            match (outcome, until) {
                (2, _) => Err(CommitError::Unavailable("unknown".to_owned())),
                (_, Some(until)) => {
                    self.owed.insert((address, client), until);
                    Ok(())
                }
                _ => Ok(()),
            }
        };
        self.engine
            .handle_committed(self.now, ticket, result.clone());
        // A second answer to the same question changes nothing.
        self.engine.handle_committed(self.now, ticket, result);
    }

    fn answer_probe(&mut self, input: &mut Input<'_>) {
        if self.probes.is_empty() {
            return;
        }
        let (ticket, address) = self
            .probes
            .remove(usize::from(input.byte()) % self.probes.len());
        // Clients answer for what they use; and so may others who were never given it.
        let used = self.held.get(&address);
        let is_used = used.is_some_and(|(_, until)| *until > self.now.mono);
        let result = if input.flag() || is_used {
            ProbeResult::InUse
        } else {
            ProbeResult::Free
        };
        self.engine.handle_probed(self.now, ticket, result);
    }

    fn jump_or_restart(&mut self, input: &mut Input<'_>) {
        const DAY_SECONDS: u64 = 86_400;
        let restarts = !self.wall_jumps || self.probing == Probing::Reused && input.flag();
        if !restarts {
            let seconds = self.now.wall.as_seconds();
            let seconds = match input.flag() {
                true => seconds + DAY_SECONDS,
                false => seconds.saturating_sub(DAY_SECONDS),
            };
            self.now.wall = UnixTime::from_seconds(seconds);
        } else {
            self.engine = engine(self.narrow, self.probing);
            self.engine.load(self.now, self.store.values().cloned());
            self.commits.clear();
            self.probes.clear();
            self.owed.clear();
        }
    }

    /// Another server with the same store changes something, and maybe tells.
    fn other_server(&mut self, input: &mut Input<'_>) {
        if self.wall_jumps {
            return;
        }
        self.take_for_other(Ipv4Addr::new(10, input.below(2), 0, input.below(16)));
        if input.flag() {
            self.engine.load(self.now, self.store.values().cloned());
        }
    }

    /// Another server gives an address to a client of its own, if its lease is over.
    fn take_for_other(&mut self, address: Ipv4Addr) {
        let current = self.store.get(&address);
        let is_taken = current.is_some_and(|record| match record.state {
            LeaseState::Bound { expires } => expires > self.now.wall,
            LeaseState::Declined { until } => until > self.now.wall,
            LeaseState::Released { .. } => false,
        });
        if is_taken {
            return;
        }
        let other = ClientKey::Ethernet(MacAddr::new([2, 0, 0, 0, 1, 0]));
        let state = LeaseState::Bound {
            expires: self.now.wall.saturating_add_seconds(600),
        };
        let mut record = LeaseRecord::new(address, other.clone(), state, self.now.wall);
        record.version = current.map_or(0, |current| current.version) + 1;
        self.store.insert(address, record);
        self.held
            .insert(address, (other, self.now.mono + Duration::from_secs(600)));
    }

    /// Fetches all that the engine has to say, and checks it.
    fn drain(&mut self) {
        let mut replies = Vec::new();
        let mut buffer = Vec::new();
        while let Some(transmit) = self
            .engine
            .poll_transmit(self.now, BatchLimit::ONE, &mut buffer)
        {
            assert_eq!(transmit.len, buffer.len());
            replies.push(core::mem::take(&mut buffer));
        }
        while let Some(output) = self.engine.poll_output() {
            match output {
                Output::Commit {
                    ticket,
                    lease,
                    expected_version,
                } => {
                    let lease = *lease;
                    assert_eq!(lease.version, expected_version.unwrap_or(0) + 1);
                    let until = match lease.state {
                        LeaseState::Bound { expires } => {
                            let seconds = expires.saturating_seconds_since(self.now.wall);
                            Some(self.now.mono + Duration::from_secs(seconds))
                        }
                        // A client that gives an address back does not use it any more, whatever
                        // becomes of its message.
                        _ => {
                            self.held.retain(|held, (holder, _)| {
                                *held != lease.address || *holder != lease.client
                            });
                            None
                        }
                    };
                    self.commits.push(Waiting {
                        ticket,
                        lease,
                        expected_version,
                        until,
                    });
                }
                Output::Probe {
                    ticket, address, ..
                } => self.probes.push((ticket, address)),
                Output::Event(_) => {}
            }
        }
        for reply in replies {
            self.check_reply(&reply);
            (self.observe)(&reply);
        }
        // A reply that did not fit into the queue is lost, as on a wire.
        self.owed.clear();
        let limits = self.engine.config().limits;
        assert!(self.engine.offers_len() <= limits.offers_max);
        assert!(self.engine.commits_len() <= limits.commits_max);
        assert!(self.engine.leases().count() <= limits.leases_max);
        assert!(self.probes.len() < 100_000);
    }

    fn check_reply(&mut self, payload: &[u8]) {
        let message = Message::parse(payload).expect("replies can be read");
        // A UUID (97) is repeated as it came.
        let mut malformed = message.malformed();
        let malformed = malformed.find(|code| *code != OptionCode::CLIENT_MACHINE_ID);
        assert_eq!(malformed, None, "replies are well formed");
        assert!(payload.len() >= 300, "relays drop shorter ones");
        let allowed = self.allowed.get(&message.xid()).copied().unwrap_or(0);
        assert!(
            payload.len() + 28 <= allowed,
            "{} bytes for {allowed}",
            payload.len()
        );
        let order: Vec<_> = message.options().map(|option| option.code).collect();
        let is_bootp = message.message_type().is_none();
        if is_bootp {
            let is_dhcp = |code: &OptionCode| matches!(code.0, 50..=59 | 61);
            assert!(!order.iter().any(is_dhcp), "{order:?} to plain BOOTP");
        } else {
            assert_eq!(
                order[..2],
                [OptionCode::MESSAGE_TYPE, OptionCode::SERVER_ID]
            );
        }
        let relay_at = order
            .iter()
            .position(|code| *code == OptionCode::RELAY_AGENT_INFO);
        let is_last = |at| {
            order[at..]
                .iter()
                .all(|code| *code == OptionCode::RELAY_AGENT_INFO)
        };
        assert!(relay_at.is_none_or(is_last), "82 is last");
        let Some(client) = ClientKey::of(&message) else {
            panic!("a reply to nobody")
        };
        let Some(address) = message.yiaddr() else {
            return;
        };
        assert!(
            address != SERVER && address != Ipv4Addr::new(10, 0, 0, 2),
            "own and router"
        );
        assert!(!matches!(
            address.octets(),
            [10, 0, 0, 0 | 15] | [10, 1, 0, 0 | 7]
        ));
        match message.message_type() {
            Some(MessageType::OFFER) => {
                let other = self.held.get(&address);
                let is_free = other.is_none_or(|(holder, until)| {
                    *holder == client || *until <= self.now.mono || !self.knows(address)
                });
                assert!(is_free, "{address} offered to {client}, held by {other:?}");
                self.offered.insert(client, address);
            }
            // The answer to plain BOOTP is one as well, and says no identifier.
            Some(MessageType::ACK) | None => {
                let owed = self
                    .owed
                    .keys()
                    .find(|(owed, _)| is_bootp && *owed == address);
                let client = owed.map_or(client, |(_, client)| client.clone());
                let until = self.owed.remove(&(address, client.clone()));
                let until = until.unwrap_or_else(|| panic!("ACK of {address} without commit"));
                if let Some((holder, until)) = self.held.get(&address) {
                    let is_free = *holder == client || *until <= self.now.mono;
                    assert!(is_free, "{address} given to {client} is {holder}'s");
                }
                self.held.insert(address, (client, until));
            }
            other => panic!("{other:?} with an address"),
        }
    }

    /// Whether the engine has seen the store's newest record of an address: what another server
    /// did in the meantime it learns when it commits.
    fn knows(&self, address: Ipv4Addr) -> bool {
        let stored = self.store.get(&address).map(|record| record.version);
        let known = self
            .engine
            .leases()
            .find(|record| record.address == address);
        known.map(|record| record.version) == stored
    }
}
