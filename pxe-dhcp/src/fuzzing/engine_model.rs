//! An engine among clients, a store and another server, all driven by a fuzzer's bytes.

use core::net::{IpAddr, Ipv4Addr, SocketAddr};
use core::time::Duration;
use std::collections::BTreeMap;

use pxe_core::{
    BatchLimit, Destination, IfIndex, Instant, MacAddr, Now, RecvMeta, SocketId, Transmit, UnixTime,
};

use super::engine_setup::{config, engine, policy};
use super::input::Input;
use crate::wire::{Header, Message, MessageType, OptionCode, Priority, Reply};
use crate::{
    ClientKey, CommitError, Engine, LeaseRecord, LeaseState, Mode, Output, ProbeResult, Probing,
    Ticket,
};

pub(super) const SERVER: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
const RELAY: Ipv4Addr = Ipv4Addr::new(10, 1, 0, 2);
const CLIENTS: u8 = 6;
pub(super) const UUID: [u8; 16] = [7; 16];
pub(super) const IDENTIFIER: &[u8] = b"\xffid";

/// Lets an engine meet whatever the bytes say: every mode, requests of all kinds at both ports,
/// whole and damaged, time, answers of the store and of probes in any order, another server,
/// restarts.
///
/// # Panics
///
/// If an address is given to two clients at once, or at all in a mode that gives none, an ACK
/// leaves without its commit, an answer of port 4011 goes elsewhere than to who asked, a reply is
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
    let flags = input.byte();
    let mut world = World::new(flags, observe);
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
    mode: Mode,
    narrow: bool,
    has_menus: bool,
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
    /// Who sent the last datagram.
    sender: SocketAddr,
    xid: u32,
}

impl<F: FnMut(&[u8])> World<F> {
    fn new(flags: u8, observe: F) -> Self {
        let has_menus = flags & 16 != 0;
        let mode = match flags >> 2 & 3 {
            1 => Mode::Proxy,
            2 => Mode::Binl,
            _ => Mode::Authoritative,
        };
        let probing = if flags & 2 != 0 {
            Probing::Reused
        } else {
            Probing::Off
        };
        Self {
            engine: engine(false, probing, mode, has_menus),
            has_menus,
            observe,
            now: Now::new(
                Instant::from_nanos(1),
                UnixTime::from_seconds(1_795_000_000),
            ),
            wall_jumps: flags & 1 != 0,
            probing,
            mode,
            narrow: false,
            store: BTreeMap::new(),
            commits: Vec::new(),
            probes: Vec::new(),
            held: BTreeMap::new(),
            owed: BTreeMap::new(),
            allowed: BTreeMap::new(),
            offered: BTreeMap::new(),
            sender: SocketAddr::from(([0, 0, 0, 0], 68)),
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
                let config = config(self.narrow, self.probing, self.mode);
                self.has_menus = !self.has_menus;
                let policy = policy(self.has_menus);
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
        if more & 128 != 0 {
            let selection = [10, input.below(3), 0, 0];
            let len = usize::from(input.below(6)).min(4);
            push(OptionCode::SUBNET_SELECTION, &selection[..len]);
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
            let arch = input.below(24);
            push(OptionCode::CLIENT_ARCH, &[0, arch]);
            let class: &[u8] = match arch {
                15.. => b"HTTPClient:Arch:00016:UNDI:003000",
                _ => b"PXEClient:Arch:00000:UNDI:002001",
            };
            push(OptionCode::VENDOR_CLASS, class);
            if arch & 1 != 0 {
                let item = [71, 4, 0x80, input.below(3), input.byte() & 0x81, 0, 255];
                push(OptionCode::VENDOR_SPECIFIC, &item);
            }
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
                None => {
                    // The relay takes out again what it put in.
                    let relays = message.relay_agent_info().map_or(0, |info| info.len() + 32);
                    payload.len().max(300) + relays + 28
                }
            };
            let allowed = self.allowed.entry(message.xid()).or_insert(0);
            *allowed = said.max(*allowed);
        }
        let is_binl = input.byte() < if self.mode.gives_addresses() { 40 } else { 160 };
        let address = match input.below(8) {
            0 => Ipv4Addr::UNSPECIFIED,
            1 => Ipv4Addr::new(10, 0, 0, input.below(16)),
            2 => Ipv4Addr::from([input.byte(), 0, 0, 255]),
            _ => Message::parse(payload)
                .ok()
                .and_then(|message| message.ciaddr().or(message.giaddr()))
                .unwrap_or(RELAY),
        };
        let port = [68, 4011, 0, 67][usize::from(input.below(4))];
        self.sender = SocketAddr::from((address, port));
        let mut meta = RecvMeta::new(SocketId(is_binl.into()), self.sender);
        if input.byte() < 250 {
            meta = meta.with_local_ip(IpAddr::V4(SERVER));
            meta = meta.with_interface(IfIndex::new(2).expect("not zero"));
        }
        if is_binl {
            self.engine.handle_binl_datagram(self.now, &meta, payload);
        } else {
            self.engine.handle_datagram(self.now, &meta, payload);
        }
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
            self.engine = engine(self.narrow, self.probing, self.mode, self.has_menus);
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
            self.check_way(&transmit, &buffer);
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
                    assert!(
                        self.mode.gives_addresses(),
                        "{:?} leases nothing",
                        self.mode
                    );
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

    /// Whether a reply goes where it may, and says no more than it may there.
    fn check_way(&self, transmit: &Transmit, payload: &[u8]) {
        let message = Message::parse(payload).expect("replies can be read");
        let is_binl = transmit.socket == SocketId(1);
        if is_binl {
            assert_eq!(transmit.to, Destination::Unicast(self.sender), "who asked");
            let (SocketAddr::V4(sender), ciaddr) = (self.sender, message.ciaddr()) else {
                panic!("an answer to IPv6")
            };
            let says = [ciaddr, message.giaddr()];
            let is_said = says.contains(&Some(*sender.ip()));
            assert!(is_said || says == [None, None], "{sender} claims {says:?}");
            assert!(!sender.ip().is_unspecified() && sender.port() != 0);
        }
        let gives_addresses = self.mode.gives_addresses() && !is_binl;
        if gives_addresses {
            return;
        }
        assert!(
            is_binl || self.mode != Mode::Binl,
            "it is silent at port 67"
        );
        assert_eq!(message.yiaddr(), None);
        for option in message.options() {
            let code = option.code.0;
            assert!(!matches!(code, 1 | 3 | 6 | 51 | 58 | 59), "{code}");
        }
        match message.message_type() {
            Some(MessageType::ACK) => {}
            Some(MessageType::OFFER) => assert!(!is_binl),
            other => panic!("{other:?} of a server without leases"),
        }
        let class = message.vendor_class();
        let class = class.as_deref().unwrap_or_default();
        assert!(matches!(class, b"PXEClient" | b"HTTPClient"));
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
