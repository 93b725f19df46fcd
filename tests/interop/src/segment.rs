//! A link with one DHCP server on it, ours or isc-dhcp-server, and beside it a place to send requests
//! from: as clients without an address, as clients with one, and as a relay.
//!
//! ```text
//! client eth0, no address ── port0 ┐
//!                                  br1 server
//! relay eth0, an address ─── port1 ┘
//! ```

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};
use std::path::Path;
use std::time::{Duration, Instant};

use pxe_test_lab::{Namespace, Output, Process, run, unique_name};
use socket2::{Domain, Protocol, Socket, Type};
use tempfile::TempDir;

use crate::firmware::{Firmware, Message, REQUEST, udhcpc};
use crate::reply::Reply;
use crate::site::{await_ports, await_text};
use crate::wiretap::{Datagram, Wiretap};

/// How long a server may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// How many clients make fences: a server limits what one client may send in a second.
const FENCE_CLIENTS: u8 = 6;
/// How much of a server's log is worth showing.
const LOG_LINES: usize = 30;
/// The hardware addresses of fences end in this and more.
const FENCE_NUMBER: u8 = 0xf0;

/// Which server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Server<'a> {
    /// pxe-server: its program, and its configuration with `@work@` for a folder of its own.
    Ours(&'a Path, &'a str),
    /// isc-dhcp-server's dhcpd with this configuration.
    Isc(&'a str),
}

/// The addresses of a segment.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan {
    pub(crate) server: Ipv4Addr,
    pub(crate) relay: Ipv4Addr,
    /// The first and the last that are given.
    pub(crate) pool: (Ipv4Addr, Ipv4Addr),
}

/// How a request comes to the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    Broadcast,
    /// From the client's own address.
    Unicast,
    Relay,
}

/// See the module's documentation.
#[derive(Debug)]
pub(crate) struct Segment {
    // Dropped in this order: processes and taps, then namespaces, then files.
    process: Process,
    client_tap: Wiretap,
    relay_tap: Wiretap,
    client_socket: UdpSocket,
    relay_socket: UdpSocket,
    client: Namespace,
    _relay: Namespace,
    _server: Namespace,
    directory: TempDir,
    plan: Plan,
    xid: u32,
    /// Clients with an address each, whose requests mark the end of what a server says to others.
    fences: Vec<(Firmware, Ipv4Addr)>,
    /// The transactions that are over.
    over: BTreeSet<u32>,
    replies: Vec<Datagram>,
}

impl Segment {
    /// Makes the link and starts the server on it.
    pub(crate) fn new(server: Server<'_>, plan: Plan) -> Result<Self, String> {
        let directory = TempDir::with_prefix("pxe-interop-").map_err(|error| error.to_string())?;
        run(std::process::Command::new("chmod")
            .arg("0755")
            .arg(directory.path()))?;
        let [at_server, client, relay] = [(); 3].map(|()| Namespace::new(&unique_name()));
        let (at_server, client, relay) = (at_server?, client?, relay?);
        at_server.ip(&["link", "add", "br1", "type", "bridge"])?;
        for (port, other) in [("port0", &client), ("port1", &relay)] {
            at_server.connect(port, other, "eth0")?;
            at_server.ip(&["link", "set", port, "master", "br1"])?;
        }
        at_server.ip(&["link", "set", "br1", "up"])?;
        let with_prefix = |address: Ipv4Addr| format!("{address}/24");
        at_server.ip(&["address", "add", &with_prefix(plan.server), "dev", "br1"])?;
        relay.ip(&["address", "add", &with_prefix(plan.relay), "dev", "eth0"])?;
        let process = start(server, &at_server, directory.path())?;
        let socket = |namespace: &Namespace, address, port| {
            let made = namespace.enter(|| socket(SocketAddrV4::new(address, port)))?;
            made.map_err(|error| format!("no socket in {}: {error}", namespace.name()))
        };
        let mut segment = Self {
            process,
            client_tap: Wiretap::new(&client)?,
            relay_tap: Wiretap::new(&relay)?,
            client_socket: socket(&client, Ipv4Addr::UNSPECIFIED, 68)?,
            relay_socket: socket(&relay, plan.relay, 67)?,
            client,
            _relay: relay,
            _server: at_server,
            directory,
            plan,
            xid: 0x1000,
            fences: Vec::new(),
            over: BTreeSet::new(),
            replies: Vec::new(),
        };
        for number in 0..FENCE_CLIENTS {
            let client = udhcpc(FENCE_NUMBER + number);
            let address = segment.lease(&client)?;
            segment.fences.push((client, address));
        }
        Ok(segment)
    }

    /// A folder for what belongs to it.
    pub(crate) fn scratch(&self) -> &Path {
        self.directory.path()
    }

    /// Every reply that the server has sent.
    pub(crate) fn replies(&self) -> &[Datagram] {
        &self.replies
    }

    /// The end of what the server has logged.
    pub(crate) fn log(&self) -> String {
        let log = fs::read_to_string(self.directory.path().join("server.log"));
        let log = log.unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(LOG_LINES)..].join("\n")
    }

    /// Ends the server.
    pub(crate) fn end(&mut self) -> Result<(), String> {
        self.process.terminate().map(drop)
    }

    /// Gives the client's interface an address.
    pub(crate) fn set_address(&self, address: Ipv4Addr) -> Result<(), String> {
        let address = format!("{address}/24");
        self.client.ip(&["address", "add", &address, "dev", "eth0"])
    }

    /// Takes the address away again.
    pub(crate) fn unset_address(&self, address: Ipv4Addr) -> Result<(), String> {
        let address = format!("{address}/24");
        self.client.ip(&["address", "del", &address, "dev", "eth0"])
    }

    /// An address that some client has.
    pub(crate) fn fence_address(&self) -> Result<Ipv4Addr, String> {
        let first = self.fences.first();
        first
            .map(|(_, address)| *address)
            .ok_or("no fence".to_owned())
    }

    /// An address of the pool that no client has.
    pub(crate) fn free_address(&self) -> Result<Ipv4Addr, String> {
        let (first, last) = self.plan.pool;
        let taken = |one: &Ipv4Addr| self.fences.iter().any(|(_, address)| address == one);
        let mut pool = (first.to_bits()..=last.to_bits()).map(Ipv4Addr::from_bits);
        pool.find(|one| !taken(one))
            .ok_or("no free address".to_owned())
    }

    /// The server's replies to a request that it may leave unanswered, in order.
    ///
    /// A server answers in order, so it is known to have said all when the request of another
    /// client, sent right after, is answered.
    pub(crate) fn ask_or_not(&mut self, message: &Message, way: Way) -> Result<Vec<Reply>, String> {
        let xid = self.send(message, way)?;
        let mut replies = Vec::new();
        if way == Way::Relay {
            self.hear_until_fence(xid, Way::Relay, &mut replies)?;
        }
        // What came by a relay may be answered without it.
        self.hear_until_fence(xid, Way::Broadcast, &mut replies)?;
        self.over.insert(xid);
        Ok(replies)
    }

    fn hear_until_fence(
        &mut self,
        xid: u32,
        way: Way,
        replies: &mut Vec<Reply>,
    ) -> Result<(), String> {
        let fence = self.send_fence(way)?;
        self.over.insert(fence);
        loop {
            let datagram = self.next(way)?;
            let Some(found) = datagram.xid() else {
                continue;
            };
            if found == xid {
                replies.push(Reply::read(&datagram)?);
            } else if found == fence {
                return Ok(());
            } else if self.over.contains(&found) {
                return Err(format!(
                    "a late reply: {:?}",
                    Reply::read(&datagram)?.fields
                ));
            } else {
                return Err(format!("a reply to nobody, {found:#x}"));
            }
        }
    }

    /// A lease of a client on the link: its address.
    fn lease(&mut self, client: &Firmware) -> Result<Ipv4Addr, String> {
        let discover = client.message(crate::firmware::DISCOVER, &[]);
        let offer = self.ask(&discover, Way::Broadcast)?;
        let select = [
            (50, offer.yiaddr.octets().to_vec()),
            (54, self.plan.server.octets().to_vec()),
        ];
        let ack = self.ask(&client.message(REQUEST, &select), Way::Broadcast)?;
        match ack.field("option 53") {
            Some("ACK") => Ok(ack.yiaddr),
            other => Err(format!("{other:?} in place of an ACK")),
        }
    }

    /// The reply to a request that has one, whenever it comes. A second one is an error of the
    /// next request.
    pub(crate) fn ask(&mut self, message: &Message, way: Way) -> Result<Reply, String> {
        let xid = self.send(message, way)?;
        let datagram = self.next(way)?;
        let reply = Reply::read(&datagram)?;
        if datagram.xid() != Some(xid) {
            return Err(format!("a reply to another request: {:?}", reply.fields));
        }
        self.over.insert(xid);
        Ok(reply)
    }

    fn send_fence(&mut self, way: Way) -> Result<u32, String> {
        self.fences.rotate_left(1);
        let (client, address) = self.fences.first().cloned().ok_or("no fence")?;
        let mut message = client.message(REQUEST, &[(50, address.octets().to_vec())]);
        message.wants_broadcast = true;
        if way == Way::Relay {
            message = message.through(self.plan.relay);
            return self.send(&message, Way::Relay);
        }
        self.send(&message, Way::Broadcast)
    }

    /// Sends a request with a number of its own.
    fn send(&mut self, message: &Message, way: Way) -> Result<u32, String> {
        self.xid += 1;
        let mut message = message.clone();
        message.xid = self.xid;
        let bytes = message.bytes();
        let to_server = SocketAddrV4::new(self.plan.server, 67);
        let sent = match way {
            Way::Broadcast => {
                let everyone = SocketAddrV4::new(Ipv4Addr::BROADCAST, 67);
                self.client_socket.send_to(&bytes, everyone)
            }
            Way::Relay => self.relay_socket.send_to(&bytes, to_server),
            Way::Unicast => {
                let own = SocketAddrV4::new(message.ciaddr, 68);
                self.client
                    .enter(|| socket(own)?.send_to(&bytes, to_server))?
            }
        };
        sent.map_err(|error| format!("cannot send: {error}"))?;
        Ok(self.xid)
    }

    /// The next thing the server says.
    fn next(&mut self, way: Way) -> Result<Datagram, String> {
        let deadline = Instant::now() + PATIENCE;
        let (tap, port) = match way {
            Way::Relay => (&self.relay_tap, 67),
            _ => (&self.client_tap, 68),
        };
        loop {
            let Some(datagram) = tap.next(deadline) else {
                return Err(format!("no answer within {PATIENCE:?}"));
            };
            // The tap hears what is sent too, and what the bridge sends to all its ports.
            if datagram.is_reply() && datagram.destination.port() == port {
                self.replies.push(datagram.clone());
                return Ok(datagram);
            }
        }
    }
}

fn socket(own: SocketAddrV4) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_reuse_address(true)?;
    socket.set_broadcast(true)?;
    // Without it there is no way to 255.255.255.255 from an interface without an address.
    socket.bind_device(Some(b"eth0"))?;
    socket.bind(&own.into())?;
    Ok(socket.into())
}

fn start(server: Server<'_>, at: &Namespace, directory: &Path) -> Result<Process, String> {
    let failed = |error: io::Error| error.to_string();
    let log = directory.join("server.log");
    match server {
        Server::Ours(program, config) => {
            let path = directory.join("server.toml");
            let config = config.replace("@work@", &directory.display().to_string());
            fs::write(&path, config).map_err(failed)?;
            fs::create_dir(directory.join("tree")).map_err(failed)?;
            let mut command = at.command(&program.display().to_string());
            command.arg("serve").arg(&path);
            let mut process = Process::spawn(command, "pxe-server", &log, Output::Log)?;
            await_ports(at, &mut process, &log, &[67])?;
            Ok(process)
        }
        Server::Isc(config) => {
            let path = directory.join("dhcpd.conf");
            let leases = directory.join("dhcpd.leases");
            fs::write(&path, config).map_err(failed)?;
            fs::write(&leases, "").map_err(failed)?;
            let mut command = at.command("dhcpd");
            command.args(["-4", "-f", "-d", "-cf"]).arg(&path);
            command.arg("-lf").arg(&leases);
            command
                .arg("-pf")
                .arg(directory.join("dhcpd.pid"))
                .arg("br1");
            let mut process = Process::spawn(command, "dhcpd", &log, Output::Log)?;
            await_text(&mut process, &log, "Server starting service.")?;
            Ok(process)
        }
    }
}
