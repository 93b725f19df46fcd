//! The load that checks every response: clients that ask as fast as they are answered.

use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};
use std::os::fd::{AsFd, AsRawFd};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{MsgFlags, recv, send};
use nix::time::ClockId;

use super::message::Exchange;
use super::{ALONE, Clients, Outcome};

/// A server that says nothing for so long has lost a query.
const PATIENCE: Duration = Duration::from_secs(2);
/// More than any response here is long.
const RESPONSE_MAX: usize = 1232;

/// When to stop.
#[derive(Debug, Clone, Copy)]
pub(super) enum Until {
    Elapsed(Duration),
    /// So many queries were sent.
    Sent(usize),
}

/// Clients of one server.
pub(super) struct Load<'e> {
    exchanges: &'e [Exchange],
    next: usize,
    clients: Vec<Client>,
    record: Vec<u8>,
}

struct Client {
    socket: UdpSocket,
    id: u16,
    /// Sent, and not answered yet: the id, and the number of the exchange.
    pending: Vec<(u16, usize)>,
}

impl<'e> Load<'e> {
    /// So many clients, at ports from this one on: where a server spreads clients over sockets, it does
    /// so by their ports.
    ///
    /// # Errors
    /// A text that names the server's address.
    pub(super) fn new(
        server: SocketAddrV4,
        first_port: u16,
        clients: u16,
        exchanges: &'e [Exchange],
    ) -> Result<Self, String> {
        let connect = |index: u16| {
            let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, first_port + index))?;
            socket.connect(server)?;
            socket.set_read_timeout(Some(PATIENCE))?;
            Ok(Client {
                socket,
                id: index,
                pending: Vec::new(),
            })
        };
        let clients: std::io::Result<Vec<Client>> = (0..clients).map(connect).collect();
        Ok(Self {
            exchanges,
            next: 0,
            clients: clients.map_err(|error| format!("{server}: {error}"))?,
            record: Vec::new(),
        })
    }

    /// Asks once, and says whether the server gave the right answer in time.
    pub(super) fn is_answered(&mut self) -> bool {
        let is_answered = self.run(ALONE, Until::Sent(1)).is_ok();
        for client in &mut self.clients {
            client.pending.clear();
        }
        is_answered
    }

    /// Does this until it is enough, and waits for the last response.
    ///
    /// # Errors
    /// A text: a query is lost, or a response is wrong.
    pub(super) fn run(&mut self, ask: Clients, until: Until) -> Result<Outcome, String> {
        let clients = self.clients.get_mut(..ask.count).ok_or("few clients")?;
        let (cpu, start) = (cpu_time(), Instant::now());
        let (mut sent, mut answered) = (0, 0);
        let mut begin = |client: &mut Client| {
            let is_over = match until {
                Until::Elapsed(limit) => start.elapsed() >= limit,
                Until::Sent(limit) => sent >= limit,
            };
            if is_over {
                return Ok(());
            }
            sent += 1;
            let number = self.next;
            self.next = (number + 1) % self.exchanges.len();
            client.send(self.exchanges, number, &mut self.record)
        };
        for client in clients.iter_mut() {
            for _ in 0..ask.outstanding {
                begin(client)?;
            }
        }
        let mut response = [0; RESPONSE_MAX];
        let mut ready: Vec<usize> = (0..ask.count).collect();
        while clients.iter().any(|client| !client.pending.is_empty()) {
            // One client alone waits in its socket: that is a system call less.
            let flags = match ask.count {
                1 => MsgFlags::empty(),
                _ => {
                    wait(clients, &mut ready)?;
                    MsgFlags::MSG_DONTWAIT
                }
            };
            for &index in &ready {
                let Some(client) = clients.get_mut(index) else {
                    continue;
                };
                // What is there, and no more: all clients have their turn.
                for _ in 0..client.pending.len() {
                    if !client.take(self.exchanges, &mut response, flags)? {
                        break;
                    }
                    answered += 1;
                    begin(client)?;
                }
            }
        }
        let elapsed = start.elapsed();
        Ok(Outcome {
            answered,
            elapsed,
            busy: (cpu_time() - cpu).as_secs_f64() / elapsed.as_secs_f64(),
        })
    }
}

impl Client {
    fn send(
        &mut self,
        exchanges: &[Exchange],
        number: usize,
        record: &mut Vec<u8>,
    ) -> Result<(), String> {
        let exchange = exchanges.get(number).ok_or("no such exchange")?;
        self.id = self.id.wrapping_add(1);
        record.clear();
        record.extend_from_slice(&self.id.to_be_bytes());
        record.extend_from_slice(exchange.query.get(2..).unwrap_or_default());
        let sent = send(self.socket.as_raw_fd(), record, MsgFlags::empty());
        sent.map_err(|errno| format!("sending a query: {errno}"))?;
        self.pending.push((self.id, number));
        Ok(())
    }

    /// Takes a response and checks it; false if none is there.
    fn take(
        &mut self,
        exchanges: &[Exchange],
        response: &mut [u8],
        flags: MsgFlags,
    ) -> Result<bool, String> {
        let len = match recv(self.socket.as_raw_fd(), response, flags) {
            Ok(len) => len,
            Err(Errno::EAGAIN) if flags.is_empty() => return Err(LOST.to_owned()),
            Err(Errno::EAGAIN | Errno::EINTR) => return Ok(false),
            Err(errno) => return Err(format!("receiving a response: {errno}")),
        };
        let response = response.get(..len).unwrap_or_default();
        let id = response.first_chunk().copied().map(u16::from_be_bytes);
        let known = self
            .pending
            .iter()
            .position(|&(pending, _)| Some(pending) == id);
        let known = known.ok_or("a response to no query")?;
        let (id, number) = self.pending.swap_remove(known);
        let exchange = exchanges.get(number).ok_or("no such exchange")?;
        let checked = exchange.check(id, response);
        checked
            .map_err(|error| format!("{error}: {:02x?} gives {response:02x?}", exchange.query))?;
        Ok(true)
    }
}

/// What is said of a server that says nothing.
const LOST: &str = "a query is not answered";

/// Waits until some of the clients can go on.
fn wait(clients: &[Client], ready: &mut Vec<usize>) -> Result<(), String> {
    let mut waits: Vec<PollFd<'_>> = clients
        .iter()
        .map(|client| PollFd::new(client.socket.as_fd(), PollFlags::POLLIN))
        .collect();
    let patience = PollTimeout::try_from(PATIENCE).map_err(|error| error.to_string())?;
    match poll(&mut waits, patience) {
        Ok(0) => return Err(LOST.to_owned()),
        Ok(_) | Err(Errno::EINTR) => {}
        Err(errno) => return Err(format!("poll: {errno}")),
    }
    ready.clear();
    ready.extend(waits.iter().enumerate().filter_map(|(index, wait)| {
        let is_ready = wait.revents().is_some_and(|events| !events.is_empty());
        is_ready.then_some(index)
    }));
    Ok(())
}

/// What this thread used of its processor.
fn cpu_time() -> Duration {
    let time = ClockId::CLOCK_THREAD_CPUTIME_ID.now();
    time.map(Duration::from).unwrap_or_default()
}
