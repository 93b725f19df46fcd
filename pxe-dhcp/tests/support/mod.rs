//! An engine with its store, in virtual time, and the requests of clients.
#![allow(dead_code)] // each test program uses a part of it

pub(crate) mod firmware;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use pxe_core::{
    BatchLimit, Destination, IfIndex, Instant, MacAddr, Now, RecvMeta, SocketId, UnixTime,
};
use pxe_dhcp::wire::{Header, Message, MessageType, OptionCode, Priority, Reply};
use pxe_dhcp::{
    ArchPolicy, BootPolicy, CommitError, Config, Engine, Event, IgnoreReason, LeaseRecord, Output,
    ProbeResult, Subnet, Ticket,
};

pub(crate) const SERVER: Ipv4Addr = Ipv4Addr::new(192, 168, 150, 1);
pub(crate) const MAC: MacAddr = MacAddr::new([0x52, 0x54, 0, 0x15, 0, 1]);

pub(crate) fn ip(last: u8) -> Ipv4Addr {
    Ipv4Addr::new(192, 168, 150, last)
}

pub(crate) fn mac(last: u8) -> MacAddr {
    MacAddr::new([0x52, 0x54, 0, 0x15, 0, last])
}

/// The tutorial's subnet.
pub(crate) fn lan() -> Subnet {
    Subnet::new("192.168.150.0/24".parse().expect("a network"))
        .with_pool(ip(100), ip(200))
        .with_routers(&[SERVER])
        .with_name_servers(&[SERVER])
        .with_domain_name("matrix.lan")
        .with_lease_seconds(3600)
}

/// The tutorial's boot files.
pub(crate) fn policy() -> ArchPolicy {
    ArchPolicy::syslinux().with_config_file("pxelinux.cfg/default")
}

/// A subnet with these addresses to give, for ten minutes.
pub(crate) fn small(first: u8, last: u8) -> Config {
    let subnet = Subnet::new("192.168.150.0/24".parse().expect("a network"));
    Config::new().with_subnet(
        subnet
            .with_pool(ip(first), ip(last))
            .with_lease_seconds(600),
    )
}

pub(crate) fn client() -> Request {
    Request::new(MAC)
}

pub(crate) fn yiaddr(reply: &[u8]) -> Option<Ipv4Addr> {
    Message::parse(reply).expect("a reply").yiaddr()
}

pub(crate) fn is_ignored(bench: &Bench, expected: IgnoreReason) -> bool {
    matches!(bench.last_event(), Event::Ignored { reason, .. } if *reason == expected)
}

/// An engine, its store, and what came out of it.
pub(crate) struct Bench {
    pub(crate) engine: Engine,
    pub(crate) now: Now,
    /// The address from which every reply has to leave.
    pub(crate) server: Ipv4Addr,
    pub(crate) store: BTreeMap<Ipv4Addr, LeaseRecord>,
    pub(crate) events: Vec<Event>,
    /// Probes that are not answered, while `holds_probes`; else each finds its address free, but
    /// for those `in_use`.
    pub(crate) probes: Vec<(Ticket, Ipv4Addr)>,
    pub(crate) holds_probes: bool,
    pub(crate) in_use: BTreeSet<Ipv4Addr>,
    /// Commits that are not answered, while `holds_commits`.
    pub(crate) commits: Vec<(Ticket, LeaseRecord, Option<u64>)>,
    pub(crate) holds_commits: bool,
    /// Where requests at port 67 come from: nobody has an address at first.
    pub(crate) remote: Ipv4Addr,
    sent: Vec<(Destination, Vec<u8>)>,
    xid: u32,
}

impl Bench {
    pub(crate) fn new(config: Config, policy: impl BootPolicy) -> Self {
        let engine = Engine::new(config, Arc::new(policy), 0).expect("a good configuration");
        Self {
            engine,
            now: Now::new(Instant::EPOCH, UnixTime::from_seconds(1_795_000_000)),
            server: SERVER,
            store: BTreeMap::new(),
            events: Vec::new(),
            probes: Vec::new(),
            holds_probes: false,
            in_use: BTreeSet::new(),
            commits: Vec::new(),
            holds_commits: false,
            remote: Ipv4Addr::UNSPECIFIED,
            sent: Vec::new(),
            xid: 0,
        }
    }

    pub(crate) fn lan() -> Self {
        Self::new(Config::new().with_subnet(lan()), policy())
    }

    pub(crate) fn advance(&mut self, duration: Duration) {
        self.now = self.now + duration;
        self.engine.handle_timeout(self.now);
        self.drain();
    }

    /// Sends a request and gives the replies to it, and where they went.
    pub(crate) fn send(&mut self, request: &Request) -> Vec<(Destination, Vec<u8>)> {
        self.xid += 1;
        let mut request = request.clone();
        request.header.xid = self.xid;
        self.send_bytes(&request.bytes(), request.local_ip)
    }

    pub(crate) fn send_bytes(
        &mut self,
        payload: &[u8],
        local: Ipv4Addr,
    ) -> Vec<(Destination, Vec<u8>)> {
        let meta = RecvMeta::new(SocketId(0), SocketAddr::from((self.remote, 68)))
            .with_local_ip(IpAddr::V4(local))
            .with_interface(IfIndex::new(2).expect("not zero"));
        self.engine.handle_datagram(self.now, &meta, payload);
        self.drain();
        std::mem::take(&mut self.sent)
    }

    /// Sends a request to port 4011 from this address and port, and gives the replies.
    pub(crate) fn send_binl(
        &mut self,
        request: &Request,
        from: (Ipv4Addr, u16),
    ) -> Vec<(Destination, Vec<u8>)> {
        self.xid += 1;
        let mut request = request.clone();
        request.header.xid = self.xid;
        let meta = RecvMeta::new(SocketId(1), SocketAddr::from(from))
            .with_local_ip(IpAddr::V4(request.local_ip))
            .with_interface(IfIndex::new(2).expect("not zero"));
        self.engine
            .handle_binl_datagram(self.now, &meta, &request.bytes());
        self.drain();
        std::mem::take(&mut self.sent)
    }

    /// The one reply to a request at port 4011, which went back where that came from.
    pub(crate) fn ask_binl(&mut self, request: &Request, from: (Ipv4Addr, u16)) -> Vec<u8> {
        let mut replies = self.send_binl(request, from);
        assert_eq!(replies.len(), 1, "{:?}", self.events);
        let (to, reply) = replies.remove(0);
        assert_eq!(to, Destination::Unicast(SocketAddr::from(from)));
        reply
    }

    /// The one reply to a request.
    pub(crate) fn ask(&mut self, request: &Request) -> Vec<u8> {
        let mut replies = self.send(request);
        assert_eq!(replies.len(), 1, "{:?}", self.events);
        replies.remove(0).1
    }

    /// A lease from DISCOVER to ACK; gives the address.
    pub(crate) fn lease(&mut self, client: &Request) -> Ipv4Addr {
        let offer = self.ask(&client.discover());
        let address = Message::parse(&offer)
            .expect("an offer")
            .yiaddr()
            .expect("an address");
        let ack = self.ask(&client.select(address));
        let ack = Message::parse(&ack).expect("an ACK");
        assert_eq!(
            ack.message_type(),
            Some(MessageType::ACK),
            "{:?}",
            self.events
        );
        assert_eq!(ack.yiaddr(), Some(address));
        address
    }

    pub(crate) fn drain(&mut self) {
        while let Some(output) = self.engine.poll_output() {
            match output {
                Output::Commit {
                    ticket,
                    lease,
                    expected_version,
                } => {
                    self.commits.push((ticket, *lease, expected_version));
                    if !self.holds_commits {
                        self.commit_all();
                    }
                }
                Output::Probe {
                    ticket, address, ..
                } if self.holds_probes => self.probes.push((ticket, address)),
                Output::Probe {
                    ticket, address, ..
                } => {
                    let result = match self.in_use.contains(&address) {
                        true => ProbeResult::InUse,
                        false => ProbeResult::Free,
                    };
                    self.engine.handle_probed(self.now, ticket, result);
                }
                Output::Event(event) => self.events.push(event),
                other => panic!("{other:?}"),
            }
        }
        let mut buffer = Vec::new();
        while let Some(transmit) = self
            .engine
            .poll_transmit(self.now, BatchLimit::ONE, &mut buffer)
        {
            assert_eq!(transmit.source, Some(IpAddr::V4(self.server)));
            self.sent.push((transmit.to, std::mem::take(&mut buffer)));
        }
    }

    pub(crate) fn commit_all(&mut self) {
        for (ticket, lease, expected) in std::mem::take(&mut self.commits) {
            let current = self.store.get(&lease.address);
            let result = if current.map(|record| record.version) == expected {
                self.store.insert(lease.address, lease);
                Ok(())
            } else {
                Err(CommitError::Conflict {
                    current: current.cloned().map(Box::new),
                })
            };
            self.engine.handle_committed(self.now, ticket, result);
        }
    }

    pub(crate) fn probed(&mut self, result: ProbeResult) -> Vec<(Destination, Vec<u8>)> {
        let (ticket, _) = self.probes.remove(0);
        self.engine.handle_probed(self.now, ticket, result);
        self.drain();
        std::mem::take(&mut self.sent)
    }

    pub(crate) fn sent(&mut self) -> Vec<(Destination, Vec<u8>)> {
        self.drain();
        std::mem::take(&mut self.sent)
    }

    pub(crate) fn last_event(&self) -> &Event {
        self.events.last().expect("an event")
    }

    pub(crate) fn type_of(replies: &[(Destination, Vec<u8>)]) -> Vec<MessageType> {
        let parse = |bytes: &[u8]| Message::parse(bytes).expect("a reply").message_type();
        replies
            .iter()
            .filter_map(|(_, bytes)| parse(bytes))
            .collect()
    }
}

/// A client's request: fixed fields, and options in the order in which they are sent.
#[derive(Clone)]
pub(crate) struct Request {
    pub(crate) header: Header,
    pub(crate) options: Vec<(u8, Vec<u8>)>,
    pub(crate) local_ip: Ipv4Addr,
    /// The length up to which the client pads with zeros.
    pub(crate) padded: usize,
}

impl Request {
    /// A request of a client that says nothing about itself but its MAC.
    pub(crate) fn new(mac: MacAddr) -> Self {
        let mut header = Header::request();
        header.chaddr[..6].copy_from_slice(&mac.octets());
        Self {
            header,
            options: Vec::new(),
            local_ip: SERVER,
            padded: 0,
        }
    }

    pub(crate) fn option(mut self, code: u8, data: impl AsRef<[u8]>) -> Self {
        self.options.push((code, data.as_ref().to_vec()));
        self
    }

    pub(crate) fn broadcast(mut self) -> Self {
        self.header.flags = 0x8000;
        self
    }

    pub(crate) fn giaddr(mut self, giaddr: Ipv4Addr) -> Self {
        self.header.giaddr = giaddr;
        self
    }

    pub(crate) fn ciaddr(mut self, ciaddr: Ipv4Addr) -> Self {
        self.header.ciaddr = ciaddr;
        self
    }

    /// The same, its message type this one; a 53 that is there keeps its place.
    pub(crate) fn typed(mut self, message_type: MessageType) -> Self {
        match self.options.iter_mut().find(|(code, _)| *code == 53) {
            Some((_, data)) => *data = vec![message_type.0],
            None => self.options.insert(0, (53, vec![message_type.0])),
        }
        self
    }

    pub(crate) fn discover(&self) -> Self {
        self.clone().typed(MessageType::DISCOVER)
    }

    /// SELECTING: 54 and 50 right after 53, as EDK2 has it.
    pub(crate) fn select(&self, address: Ipv4Addr) -> Self {
        self.select_of(address, SERVER)
    }

    pub(crate) fn select_of(&self, address: Ipv4Addr, server: Ipv4Addr) -> Self {
        let mut request = self.clone().typed(MessageType::REQUEST);
        request.options.insert(1, (54, server.octets().to_vec()));
        request.options.insert(2, (50, address.octets().to_vec()));
        request
    }

    /// INIT-REBOOT.
    pub(crate) fn reboot(&self, address: Ipv4Addr) -> Self {
        self.clone()
            .typed(MessageType::REQUEST)
            .option(50, address.octets())
    }

    /// RENEWING and REBINDING.
    pub(crate) fn renew(&self, address: Ipv4Addr) -> Self {
        self.clone().typed(MessageType::REQUEST).ciaddr(address)
    }

    pub(crate) fn release(&self, address: Ipv4Addr) -> Self {
        let release = self.clone().typed(MessageType::RELEASE).ciaddr(address);
        release.option(54, SERVER.octets())
    }

    pub(crate) fn decline(&self, address: Ipv4Addr) -> Self {
        let decline = self.clone().typed(MessageType::DECLINE);
        decline
            .option(50, address.octets())
            .option(54, SERVER.octets())
    }

    pub(crate) fn inform(&self, address: Ipv4Addr) -> Self {
        self.clone().typed(MessageType::INFORM).ciaddr(address)
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        // `Reply` would put 54 in front; a client's order is its own, so it is written here.
        let mut bytes = Vec::new();
        Reply::new(self.header.clone())
            .write(1472, &mut bytes)
            .expect("it fits");
        bytes.truncate(240);
        for (code, data) in &self.options {
            bytes.push(*code);
            bytes.push(u8::try_from(data.len()).expect("short"));
            bytes.extend_from_slice(data);
        }
        bytes.push(255);
        if bytes.len() < self.padded {
            bytes.resize(self.padded, 0);
        }
        bytes
    }
}

/// A reply in words: the fixed fields that are set, then an option a line, in their order.
pub(crate) fn describe(reply: &[u8]) -> String {
    let message = Message::parse(reply).expect("a reply");
    let mut text = String::new();
    let mut line = |name: &str, value: String| writeln!(text, "{name} {value}").expect("a string");
    let zero = |address: Option<Ipv4Addr>| address.map_or("-".to_owned(), |one| one.to_string());
    line("flags", format!("{:04x}", message.flags()));
    if let Some(ciaddr) = message.ciaddr() {
        line("ciaddr", ciaddr.to_string());
    }
    line("yiaddr", zero(message.yiaddr()));
    line("siaddr", zero(message.siaddr()));
    let name = |name: Option<&[u8]>| String::from_utf8_lossy(name.unwrap_or(b"-")).into_owned();
    line("sname", name(message.sname()));
    line("file", name(message.file()));
    for option in message.options() {
        line(&option.code.to_string(), value(option.code, option.data));
    }
    text
}

fn value(code: OptionCode, data: &[u8]) -> String {
    match (code.0, data) {
        (1 | 3 | 6 | 28 | 42 | 54, [a, b, c, d]) => Ipv4Addr::new(*a, *b, *c, *d).to_string(),
        (51 | 58 | 59, [a, b, c, d]) => u32::from_be_bytes([*a, *b, *c, *d]).to_string(),
        (53, [number]) => MessageType(*number).to_string(),
        (15 | 60 | 66 | 67 | 209, _) => String::from_utf8_lossy(data).replace('\0', "<NUL>"),
        _ => data.iter().map(|byte| format!("{byte:02x}")).collect(),
    }
}

/// Options for a reply that a test writes itself.
pub(crate) fn required(reply: &mut Reply, code: u8, data: impl AsRef<[u8]>) {
    reply.push(OptionCode(code), data, Priority::Required);
}
