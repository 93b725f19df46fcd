//! The load that checks every response: clients that ask as fast as they are answered.

use std::io::{IoSlice, IoSliceMut};
use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};
use std::os::fd::{AsFd, AsRawFd};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{MsgFlags, MultiHeaders, recv, recvmmsg, send, sendmmsg};

use super::message::Exchange;
use super::{ALONE, Clients, Outcome};
use crate::processor::thread_cpu_time;

/// A server that says nothing for so long has lost a query.
const PATIENCE: Duration = Duration::from_secs(2);
/// More than any response here is long.
const RESPONSE_MAX: usize = 1232;
/// Datagrams that a system call takes or sends at most: a load that has one for each is busier than
/// the servers.
const BATCH: usize = 16;

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
    buffers: Buffers,
}

struct Client {
    socket: UdpSocket,
    id: u16,
    /// Sent, and not answered yet: the id, and the number of the exchange.
    pending: Vec<(u16, usize)>,
}

/// What the clients send and take next.
struct Buffers {
    queries: Vec<Vec<u8>>,
    responses: Vec<[u8; RESPONSE_MAX]>,
    headers: MultiHeaders<()>,
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
            buffers: Buffers {
                queries: vec![Vec::new(); BATCH],
                responses: vec![[0; RESPONSE_MAX]; BATCH],
                headers: MultiHeaders::preallocate(BATCH, None),
            },
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
        let (cpu, start) = (thread_cpu_time(), Instant::now());
        let (mut sent, mut answered) = (0, 0);
        // Sends as many queries for a client, unless it is enough.
        let mut begin = |client: &mut Client, count: usize, buffers: &mut Buffers| {
            let count = match until {
                Until::Elapsed(limit) if start.elapsed() >= limit => 0,
                Until::Elapsed(_) => count,
                Until::Sent(limit) => count.min(limit - sent),
            };
            sent += count;
            for query in buffers.queries.iter_mut().take(count) {
                let number = self.next;
                self.next = (number + 1) % self.exchanges.len();
                client.write(self.exchanges, number, query)?;
            }
            client.send(count, buffers)
        };
        for client in clients.iter_mut() {
            begin(client, ask.outstanding, &mut self.buffers)?;
        }
        let mut ready: Vec<usize> = (0..ask.count).collect();
        while clients.iter().any(|client| !client.pending.is_empty()) {
            // One client alone waits in its socket: that is a system call less.
            let flags = match ask.count {
                1 => MsgFlags::MSG_WAITFORONE,
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
                let taken = client.take(self.exchanges, flags, &mut self.buffers)?;
                answered += taken;
                begin(client, taken, &mut self.buffers)?;
            }
        }
        let elapsed = start.elapsed();
        Ok(Outcome {
            answered,
            elapsed,
            busy: (thread_cpu_time() - cpu).as_secs_f64() / elapsed.as_secs_f64(),
        })
    }
}

impl Client {
    /// Writes a query, which is then to be sent.
    fn write(
        &mut self,
        exchanges: &[Exchange],
        number: usize,
        query: &mut Vec<u8>,
    ) -> Result<(), String> {
        let exchange = exchanges.get(number).ok_or("no such exchange")?;
        self.id = self.id.wrapping_add(1);
        query.clear();
        query.extend_from_slice(&self.id.to_be_bytes());
        query.extend_from_slice(exchange.query.get(2..).unwrap_or_default());
        self.pending.push((self.id, number));
        Ok(())
    }

    /// Sends the first so many queries of the buffers.
    fn send(&self, count: usize, buffers: &mut Buffers) -> Result<(), String> {
        let fd = self.socket.as_raw_fd();
        let flags = MsgFlags::empty();
        let queries = buffers.queries.get(..count).ok_or("more than fits")?;
        let sent = match queries {
            [] => Ok(0),
            [query] => send(fd, query, flags).map(|_| 1),
            queries => {
                let slices: Vec<[IoSlice<'_>; 1]> =
                    queries.iter().map(|query| [IoSlice::new(query)]).collect();
                let headers = &mut buffers.headers;
                let sent = sendmmsg(fd, headers, &slices, [None; BATCH], [], flags);
                sent.map(Iterator::count)
            }
        };
        match sent {
            Ok(sent) if sent == count => Ok(()),
            Ok(sent) => Err(format!("{sent} of {count} queries are sent")),
            Err(errno) => Err(format!("sending queries: {errno}")),
        }
    }

    /// Takes responses and checks them. Returns how many there were.
    fn take(
        &mut self,
        exchanges: &[Exchange],
        flags: MsgFlags,
        buffers: &mut Buffers,
    ) -> Result<usize, String> {
        let fd = self.socket.as_raw_fd();
        let mut lens = [0; BATCH];
        let taken = match (self.pending.len(), buffers.responses.first_mut()) {
            (1, Some(response)) => recv(fd, response, flags & MsgFlags::MSG_DONTWAIT).map(|len| {
                lens[0] = len;
                1
            }),
            (wanted, _) => {
                let responses = buffers.responses.iter_mut().take(wanted);
                let mut slices: Vec<[IoSliceMut<'_>; 1]> = responses
                    .map(|response| [IoSliceMut::new(response)])
                    .collect();
                let taken = recvmmsg(fd, &mut buffers.headers, slices.iter_mut(), flags, None);
                taken.map(|taken| {
                    let messages = taken.zip(&mut lens);
                    messages.map(|(message, len)| *len = message.bytes).count()
                })
            }
        };
        let taken = match taken {
            Ok(taken) => taken,
            Err(Errno::EAGAIN) if flags.contains(MsgFlags::MSG_DONTWAIT) => 0,
            Err(Errno::EAGAIN) => return Err(LOST.to_owned()),
            Err(Errno::EINTR) => 0,
            Err(errno) => return Err(format!("receiving a response: {errno}")),
        };
        for (response, len) in buffers.responses.iter().zip(lens).take(taken) {
            self.check(exchanges, response.get(..len).unwrap_or_default())?;
        }
        Ok(taken)
    }

    fn check(&mut self, exchanges: &[Exchange], response: &[u8]) -> Result<(), String> {
        let id = response.first_chunk().copied().map(u16::from_be_bytes);
        let known = self
            .pending
            .iter()
            .position(|&(pending, _)| Some(pending) == id);
        let known = known.ok_or("a response to no query")?;
        let (id, number) = self.pending.swap_remove(known);
        let exchange = exchanges.get(number).ok_or("no such exchange")?;
        let checked = exchange.check(id, response);
        checked.map_err(|error| format!("{error}: {:02x?} gives {response:02x?}", exchange.query))
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
