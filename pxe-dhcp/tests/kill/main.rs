//! `kill -9` under load, a hundred times: every lease that was acknowledged is there afterwards, and
//! no address goes to another client.
//!
//! The kernel keeps what a killed process wrote, so this shows nothing about flushing: that is
//! tested on a disk of its own (`redb_store`). It shows the program as a whole, its real file and
//! its real sockets. This program is also the server that it kills, so it has a `main` of its own.

#[path = "../support/mod.rs"]
mod support;

use std::collections::BTreeMap;
use std::error::Error;
use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, UdpSocket};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use pxe_core::MacAddr;
use pxe_dhcp::wire::{Message, MessageType};
use pxe_dhcp::{BindSpec, Config, LeaseStore, NoBoot, RedbStore, Server, Subnet};
use support::Request;

const SERVER: Ipv4Addr = Ipv4Addr::LOCALHOST;
const RELAY: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);
/// Far longer than anything here takes: only a failure waits for it.
const PATIENCE: Duration = Duration::from_secs(30);
const KILLS: usize = 100;
/// Clients whose exchange is running at a time.
const OUTSTANDING: u32 = 24;

type Failure = Box<dyn Error>;

fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.as_slice() {
        [word, store, port] if word == "serve" => serve(Path::new(store), port.parse()?),
        // A listing, or a filter that means other tests.
        filters if filters.iter().any(|word| word == "--list") => Ok(()),
        filters
            if filters.iter().any(|word| {
                !word.starts_with('-') && !"kill_under_load".contains(word.as_str())
            }) =>
        {
            Ok(())
        }
        _ => kill_under_load(),
    }
}

/// The server, until it is killed.
fn serve(store: &Path, port: u16) -> Result<(), Failure> {
    let mut config = Config::new().with_ports(port, port).with_subnet(
        Subnet::new("127.0.0.0/8".parse()?)
            .with_pool([127, 1, 0, 0].into(), [127, 1, 255, 255].into()),
    );
    config.limits.client_messages_per_second = 1000;
    let server = Server::bind(BindSpec::address(SERVER), config)?;
    let store = Arc::new(RedbStore::open(store)?);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    println!("ready");
    runtime.block_on(server.run(store, Arc::new(NoBoot::new()), std::future::pending()))?;
    Ok(())
}

/// A server in a process of its own; killed when dropped.
struct Killed(Child);

impl Killed {
    fn start(store: &Path, port: u16) -> Result<Self, Failure> {
        let mut child = Command::new(std::env::current_exe()?)
            .arg("serve")
            .arg(store)
            .arg(port.to_string())
            .stdout(Stdio::piped())
            .spawn()?;
        let out = child.stdout.take().ok_or("no output")?;
        let server = Self(child);
        let mut line = String::new();
        BufReader::new(out).read_line(&mut line)?;
        if line != "ready\n" {
            return Err(format!("the server says {line:?}").into());
        }
        Ok(server)
    }
}

impl Drop for Killed {
    fn drop(&mut self) {
        // SIGKILL. It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The clients, who speak through a relay, and what they were told.
struct Clients {
    relay: UdpSocket,
    port: u16,
    next: u32,
    acknowledged: BTreeMap<Ipv4Addr, MacAddr>,
}

fn mac(number: u32) -> MacAddr {
    let [a, b, c, d] = number.to_be_bytes();
    MacAddr::new([2, 0, a, b, c, d])
}

impl Clients {
    fn send(&self, request: Request) -> Result<(), Failure> {
        let bytes = request.giaddr(RELAY).bytes();
        self.relay.send_to(&bytes, (SERVER, self.port))?;
        Ok(())
    }

    fn discover(&mut self) -> Result<(), Failure> {
        let client = Request::new(mac(self.next));
        self.next += 1;
        self.send(client.discover())
    }

    /// Takes the next reply, and goes on with its client; whether it was an ACK.
    fn step(&mut self) -> Result<Option<bool>, Failure> {
        let mut buffer = [0; 1500];
        let len = match self.relay.recv(&mut buffer) {
            Ok(len) => len,
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => return Ok(None),
            // Of a server that was killed.
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionRefused => {
                return Ok(Some(false));
            }
            Err(error) => return Err(error.into()),
        };
        let reply = Message::parse(&buffer[..len]).map_err(|error| format!("{error:?}"))?;
        let client = reply.mac().ok_or("no client")?;
        let address = reply.yiaddr().ok_or("no address")?;
        let holder = self.acknowledged.get(&address).copied();
        if holder.is_some_and(|holder| holder != client) {
            return Err(format!("{address} is {holder:?}'s, and given to {client}").into());
        }
        if reply.message_type() == Some(MessageType::OFFER) {
            self.send(Request::new(client).select_of(address, SERVER))?;
            return Ok(Some(false));
        }
        if reply.message_type() != Some(MessageType::ACK) {
            return Err(format!("{client} got {:?}", reply.message_type()).into());
        }
        self.acknowledged.insert(address, client);
        Ok(Some(true))
    }

    /// Exchanges until so many are done; others are running then.
    fn load(&mut self, acks: usize) -> Result<(), Failure> {
        self.relay.set_read_timeout(Some(PATIENCE))?;
        for _ in 0..OUTSTANDING {
            self.discover()?;
        }
        let mut seen = 0;
        while seen < acks {
            if self.step()?.ok_or("no answer in time")? {
                seen += 1;
                self.discover()?;
            }
        }
        Ok(())
    }

    /// What the server sent before it was killed counts.
    fn take_the_rest(&mut self) -> Result<(), Failure> {
        self.relay.set_nonblocking(true)?;
        while self.step()?.is_some() {}
        self.relay.set_nonblocking(false)?;
        Ok(())
    }
}

fn kill_under_load() -> Result<(), Failure> {
    let folder = tempfile::tempdir()?;
    let store = folder.path().join("leases.redb");
    let (relay, port) = loop {
        let relay = UdpSocket::bind((RELAY, 0))?;
        let port = relay.local_addr()?.port();
        // The server takes the same port of another address.
        if UdpSocket::bind((SERVER, port)).is_ok() {
            break (relay, port);
        }
    };
    let mut clients = Clients {
        relay,
        port,
        next: 0,
        acknowledged: BTreeMap::new(),
    };
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    for round in 0..KILLS {
        let server = Killed::start(&store, port)?;
        clients.load(1 + round * 7 % 40)?;
        drop(server);
        clients.take_the_rest()?;
        let store = RedbStore::open_read_only(&store)?;
        let records = runtime.block_on(store.load(None, usize::MAX))?;
        let held: BTreeMap<_, _> = records
            .iter()
            .map(|record| (record.address, record.mac()))
            .collect();
        for (address, client) in &clients.acknowledged {
            if held.get(address) != Some(&Some(*client)) {
                return Err(format!("kill {round}: the lease of {address} is lost").into());
            }
        }
    }
    let leases = clients.acknowledged.len();
    println!("{KILLS} kills: {leases} acknowledged leases, none lost, none given twice");
    Ok(())
}
