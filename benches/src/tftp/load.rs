//! The load: clients in one thread that fetch files as fast as they get them, and compare every
//! byte.

use std::io::{ErrorKind, IoSliceMut};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, UdpSocket};
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::socket::{MsgFlags, MultiHeaders, recv, recvmmsg, setsockopt, sockopt};

use super::case::{Case, Until};
use super::content::{Content, File};
use super::packet::{ABORT, Wish, ack, write_request};
use super::transfer::{Next, Transfer};
use crate::processor::{pin_this_thread, thread_cpu_time};

/// Where the servers listen.
pub(super) const SERVER: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::LOCALHOST, 69);
/// As UEFI's firmware asks on Ethernet.
pub(super) const BLKSIZE: u16 = 1468;
/// A client that hears nothing for so long repeats what it said.
const SILENCE: Duration = Duration::from_secs(1);
/// How often silences are looked for.
const SWEEP: Duration = Duration::from_millis(100);
/// A client alone that has so often repeated itself gives up, and the run ends.
const REPEATS_MAX: u32 = 10;
/// Datagrams that are taken at once.
const BATCH: usize = 32;
/// What a datagram needs that has many segments in it (`UDP_GRO`, udp(7)), and some bytes more, so
/// that the beginnings of two do not share their places in the caches.
const ROOM: usize = 65_536 + 1472;
/// Bytes that a socket holds, if the system allows it: each server's whole window.
const SOCKET_BUFFER: usize = 1 << 20;
/// Files with fewer bytes are fetched by sockets that were there before, and are not connected: for
/// a few packets that would be dear.
const CONNECTED_FROM: u64 = 64 << 10;
/// Sockets of a client for such files, used in turns.
const SOCKETS_SMALL: usize = 16;
/// Events that are taken at once.
const EVENTS: usize = 256;

/// What came of a measurement.
#[derive(Debug, Clone, Default)]
pub(super) struct Outcome {
    pub(super) bytes: u64,
    pub(super) files: u64,
    pub(super) elapsed: Duration,
    /// What the load itself used of a processor, from 0 to 1.
    pub(super) busy: f64,
    /// The window that was granted last.
    pub(super) windowsize: u16,
    /// How often a client heard nothing for [`SILENCE`].
    pub(super) silences: u64,
    /// Clients that had not fetched their file when patience ended.
    pub(super) unfinished: usize,
    /// When the others had, ascending.
    pub(super) completions: Vec<Duration>,
}

impl Outcome {
    /// What two loads did at the same time.
    fn with(mut self, other: Self) -> Self {
        self.bytes += other.bytes;
        self.files += other.files;
        self.elapsed = self.elapsed.max(other.elapsed);
        self.busy += other.busy;
        self.windowsize = self.windowsize.max(other.windowsize);
        self.silences += other.silences;
        self.unfinished += other.unfinished;
        self.completions.extend(other.completions);
        self.completions.sort();
        self
    }
}

/// Runs the clients of a case, shared out to a thread on each of these processors: one alone would
/// be busier than a server that has several.
///
/// # Errors
/// As [`Load::new`] and [`Load::run`].
pub(super) fn run_on_each<'c>(
    content: &'c Content,
    case: Case,
    large_mib: u64,
    cpus: &[usize],
    until: Until,
) -> Result<Outcome, String> {
    let share = Case {
        clients: case.clients / cpus.len().max(1),
        ..case
    };
    let load = |index| Load::new(content, share, large_mib, index * share.clients);
    let loads: Result<Vec<Load<'c>>, String> = (0..cpus.len()).map(load).collect();
    std::thread::scope(|scope| {
        let spawn = |(load, cpu): (Load<'c>, usize)| {
            scope.spawn(move || pin_this_thread(&[cpu]).and_then(|()| load.run(until)))
        };
        let threads = loads?.into_iter().zip(cpus.iter().copied());
        let threads: Vec<_> = threads.map(spawn).collect();
        let outcomes = threads.into_iter().map(|thread| match thread.join() {
            Ok(outcome) => outcome,
            Err(panic) => std::panic::resume_unwind(panic),
        });
        outcomes
            .reduce(|one, other| Ok(one?.with(other?)))
            .ok_or("no processor")?
    })
}

/// Clients of the server.
pub(super) struct Load<'c> {
    content: &'c Content,
    large_mib: u64,
    case: Case,
    epoll: Epoll,
    clients: Vec<Client>,
    /// How many of them want a file.
    fetching: usize,
    /// Numbers of transfers, from which their losses come.
    transfers: u64,
    request: Vec<u8>,
    buffers: Vec<u8>,
    outcome: Outcome,
}

/// One client, which is one address.
struct Client {
    address: Ipv4Addr,
    sockets: Vec<UdpSocket>,
    /// The socket of the transfer.
    socket: usize,
    transfer: Transfer,
    /// The server's port of this transfer, once it is known.
    server: Option<SocketAddr>,
    heard: Instant,
    repeats: u32,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// It has not asked yet.
    Idle,
    Fetching,
    /// It has its file, and wants no other.
    Done,
    /// The server refused, or did not answer.
    Failed,
}

impl<'c> Load<'c> {
    /// Clients for a case, with addresses from this number on; they have sockets, and have said
    /// nothing.
    ///
    /// # Errors
    /// A text: there are too few sockets, for example.
    pub(super) fn new(
        content: &'c Content,
        case: Case,
        large_mib: u64,
        first: usize,
    ) -> Result<Self, String> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC);
        let mut load = Self {
            content,
            large_mib,
            case,
            epoll: epoll.map_err(|errno| format!("epoll: {errno}"))?,
            clients: Vec::new(),
            fetching: case.clients,
            transfers: 0,
            request: Vec::new(),
            buffers: vec![0; ROOM * BATCH],
            outcome: Outcome::default(),
        };
        let sockets = match load.is_connected() {
            true => 1,
            false => SOCKETS_SMALL,
        };
        for index in 0..case.clients {
            let address = address(first + index);
            let sockets: Result<Vec<UdpSocket>, String> =
                (0..sockets).map(|_| load.socket(address, index)).collect();
            load.clients.push(Client {
                address,
                sockets: sockets?,
                socket: 0,
                transfer: load.transfer(0),
                server: None,
                heard: Instant::now(),
                repeats: 0,
                state: State::Idle,
            });
        }
        Ok(load)
    }

    fn is_connected(&self) -> bool {
        self.case.file.len(self.large_mib) >= CONNECTED_FROM
    }

    fn wish(&self) -> Wish {
        Wish {
            blksize: BLKSIZE,
            windowsize: self.case.windowsize,
        }
    }

    fn transfer(&self, number: u64) -> Transfer {
        let seed = self.case.is_lossy.then_some(number);
        Transfer::new(self.case.file, self.large_mib, self.wish(), seed)
    }

    /// A socket of a client; its events have the client's number.
    fn socket(&self, address: Ipv4Addr, client: usize) -> Result<UdpSocket, String> {
        let at = |error: std::io::Error| format!("{address}: {error}");
        let socket = UdpSocket::bind((address, 0)).map_err(at)?;
        if self.case.windowsize > 1 {
            let set = setsockopt(&socket, sockopt::UdpGroSegment, &self.case.takes_segments);
            set.map_err(|errno| format!("UDP_GRO: {errno}"))?;
            let set = setsockopt(&socket, sockopt::RcvBuf, &SOCKET_BUFFER);
            set.map_err(|errno| format!("SO_RCVBUF: {errno}"))?;
        }
        match self.case.clients {
            // It waits in its socket: that is a system call less.
            1 => socket.set_read_timeout(Some(SWEEP)).map_err(at)?,
            _ => {
                socket.set_nonblocking(true).map_err(at)?;
                let event = EpollEvent::new(EpollFlags::EPOLLIN, client as u64);
                let added = self.epoll.add(&socket, event);
                added.map_err(|errno| format!("epoll: {errno}"))?;
            }
        }
        Ok(socket)
    }

    /// Fetches files until it is enough; transfers that are under way then are broken off.
    ///
    /// # Errors
    /// A text: a byte is wrong, or a server gives up.
    pub(super) fn run(mut self, until: Until) -> Result<Outcome, String> {
        let (cpu, start) = (thread_cpu_time(), Instant::now());
        for index in 0..self.clients.len() {
            self.begin(index, start)?;
        }
        let (mut now, mut swept) = (start, start);
        let mut events = [EpollEvent::empty(); EVENTS];
        while !self.is_over(until, now - start) {
            let turn = match self.case.clients {
                1 => self.turn(0, start, until),
                _ => self.turns(&mut events, start, until),
            };
            turn?;
            now = Instant::now();
            if now - swept >= SWEEP {
                swept = now;
                self.sweep(now, until)?;
            }
        }
        self.outcome.elapsed = match self.outcome.completions.iter().max() {
            Some(&last)
                if self
                    .clients
                    .iter()
                    .all(|client| client.state == State::Done) =>
            {
                last
            }
            _ => start.elapsed(),
        };
        let busy = (thread_cpu_time() - cpu).as_secs_f64();
        self.outcome.busy = busy / start.elapsed().as_secs_f64();
        for client in &self.clients {
            if let (State::Fetching, Some(server)) = (client.state, client.server) {
                self.outcome.bytes += client.transfer.received();
                self.outcome.windowsize = client.transfer.windowsize();
                // What it does not hear does not matter: it is stopped, or hears of a closed port.
                let _ = client.send(ABORT, self.is_connected(), server);
            }
            self.outcome.unfinished += usize::from(client.state != State::Done);
        }
        self.outcome.completions.sort();
        Ok(self.outcome)
    }

    fn is_over(&self, until: Until, elapsed: Duration) -> bool {
        match until {
            Until::Elapsed(limit) => elapsed >= limit,
            Until::Fetched { patience } => elapsed >= patience || self.fetching == 0,
        }
    }

    /// A client asks for its file.
    fn begin(&mut self, index: usize, now: Instant) -> Result<(), String> {
        self.transfers += 1;
        let transfer = self.transfer(self.transfers);
        write_request(self.case.file.name(), self.wish(), &mut self.request);
        let is_connected = self.is_connected();
        let client = self.clients.get(index).ok_or("no such client")?;
        let fresh = match is_connected && client.state != State::Idle {
            true => Some(self.socket(client.address, index)?),
            false => None,
        };
        let client = self.clients.get_mut(index).ok_or("no such client")?;
        match fresh {
            Some(socket) => client.sockets = vec![socket],
            None => client.socket = (client.socket + 1) % client.sockets.len(),
        }
        client.transfer = transfer;
        client.server = None;
        client.heard = now;
        client.repeats = 0;
        client.state = State::Fetching;
        client.send(&self.request, false, SERVER.into())
    }

    /// Clients that were heard take what there is.
    fn turns(
        &mut self,
        events: &mut [EpollEvent],
        start: Instant,
        until: Until,
    ) -> Result<(), String> {
        let timeout = EpollTimeout::try_from(SWEEP).map_err(|error| error.to_string())?;
        let count = match self.epoll.wait(events, timeout) {
            Ok(count) => count,
            Err(Errno::EINTR) => 0,
            Err(errno) => return Err(format!("epoll: {errno}")),
        };
        for event in events.iter().take(count) {
            self.turn(event.data() as usize, start, until)?;
        }
        Ok(())
    }

    /// A client takes what there is for it.
    fn turn(&mut self, index: usize, start: Instant, until: Until) -> Result<(), String> {
        let is_connected = self.is_connected();
        let client = self.clients.get_mut(index).ok_or("no such client")?;
        let next = match (client.server, client.transfer.windowsize()) {
            (Some(server), 2..) => client.take_window(&mut self.buffers, self.content, server),
            _ => client.take(&mut self.buffers, self.content, is_connected),
        };
        match (next, until) {
            (Ok(Taken::Some), _) => Ok(()),
            (Ok(Taken::File), _) => {
                let now = Instant::now();
                self.outcome.windowsize = client.transfer.windowsize();
                self.outcome.bytes += client.transfer.received();
                self.outcome.files += 1;
                match until {
                    Until::Elapsed(limit) if now - start < limit => self.begin(index, now),
                    Until::Elapsed(_) => {
                        client.state = State::Done;
                        Ok(())
                    }
                    Until::Fetched { .. } => {
                        client.state = State::Done;
                        self.fetching -= 1;
                        self.outcome.completions.push(now - start);
                        Ok(())
                    }
                }
            }
            // A server that refuses some of a storm has failed them, not the run.
            (Err(error), Until::Fetched { .. }) if error.starts_with("ERROR") => {
                client.state = State::Failed;
                self.fetching -= 1;
                Ok(())
            }
            (Err(error), _) => Err(error),
        }
    }

    /// Clients that have heard nothing repeat themselves.
    fn sweep(&mut self, now: Instant, until: Until) -> Result<(), String> {
        write_request(self.case.file.name(), self.wish(), &mut self.request);
        let is_connected = self.is_connected();
        for client in &mut self.clients {
            if client.state != State::Fetching || now < client.heard + SILENCE {
                continue;
            }
            self.outcome.silences += 1;
            client.heard = now;
            client.repeats += 1;
            if client.repeats > REPEATS_MAX {
                client.state = State::Failed;
                self.fetching -= 1;
                if matches!(until, Until::Elapsed(_)) {
                    return Err("the server answers nothing".to_owned());
                }
            }
            // Sending may say that an earlier packet reached nobody; the next silence tells.
            let _ = match (client.transfer.again(), client.server) {
                (Some(block), Some(server)) => client.send(&ack(block), is_connected, server),
                _ => client.send(&self.request, false, SERVER.into()),
            };
        }
        Ok(())
    }
}

/// What came of looking at a socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Taken {
    /// Something, or nothing.
    Some,
    /// The last block of the file.
    File,
}

impl Client {
    fn send(&self, packet: &[u8], is_connected: bool, to: SocketAddr) -> Result<(), String> {
        let socket = self.sockets.get(self.socket).ok_or("no such socket")?;
        let sent = match is_connected {
            true => socket.send(packet),
            false => socket.send_to(packet, to),
        };
        match sent {
            Ok(_) => Ok(()),
            Err(error) => Err(format!("sending: {error}")),
        }
    }

    /// Takes one packet: in lock-step there are no two.
    fn take(
        &mut self,
        buffer: &mut [u8],
        content: &Content,
        is_connected: bool,
    ) -> Result<Taken, String> {
        let socket = self.sockets.get(self.socket).ok_or("no such socket")?;
        let (len, from) = match (is_connected, self.server) {
            (true, Some(server)) => match socket.recv(buffer) {
                Ok(len) => (len, server),
                Err(error) => return nothing(&error),
            },
            (_, known) => match socket.recv_from(buffer) {
                // Of a transfer before.
                Ok((_, from)) if known.is_some_and(|known| known != from) => {
                    return Ok(Taken::Some);
                }
                Ok((len, from)) => (len, from),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return self.drain(buffer),
                Err(error) => return nothing(&error),
            },
        };
        if self.state != State::Fetching {
            return Ok(Taken::Some);
        }
        if self.server.is_none() {
            self.server = Some(from);
            if is_connected {
                let connected = socket.connect(from);
                connected.map_err(|error| format!("{from}: {error}"))?;
            }
        }
        self.heard = Instant::now();
        self.repeats = 0;
        let packet = buffer.get(..len).unwrap_or_default();
        match self.transfer.hear(content, packet)? {
            Next::Wait => Ok(Taken::Some),
            Next::Ack(block) => {
                self.send(&ack(block), is_connected, from)?;
                Ok(Taken::Some)
            }
            Next::Done(block) => {
                self.send(&ack(block), is_connected, from)?;
                Ok(Taken::File)
            }
        }
    }

    /// Drops what has come for transfers before this one.
    fn drain(&mut self, buffer: &mut [u8]) -> Result<Taken, String> {
        for socket in &self.sockets {
            while recv(socket.as_raw_fd(), buffer, MsgFlags::MSG_DONTWAIT).is_ok() {}
        }
        Ok(Taken::Some)
    }

    /// Takes what there is of a window.
    fn take_window(
        &mut self,
        buffers: &mut [u8],
        content: &Content,
        server: SocketAddr,
    ) -> Result<Taken, String> {
        let socket = self.sockets.get(self.socket).ok_or("no such socket")?;
        let mut headers = MultiHeaders::<()>::preallocate(BATCH, None);
        let mut lens = [0; BATCH];
        let mut slices: Vec<[IoSliceMut<'_>; 1]> = buffers
            .chunks_exact_mut(ROOM)
            .map(|buffer| [IoSliceMut::new(buffer)])
            .collect();
        let flags = MsgFlags::MSG_WAITFORONE;
        let taken = recvmmsg(socket.as_raw_fd(), &mut headers, &mut slices, flags, None);
        let count = match taken {
            Ok(taken) => {
                let messages = taken.zip(&mut lens);
                messages.map(|(message, len)| *len = message.bytes).count()
            }
            Err(errno) => return nothing(&errno.into()),
        };
        self.heard = Instant::now();
        self.repeats = 0;
        let packet_len = self.transfer.packet_len();
        for (buffer, &len) in buffers.chunks_exact(ROOM).zip(&lens).take(count) {
            // Segments that were sent by one call may come by one.
            for packet in buffer.get(..len).unwrap_or_default().chunks(packet_len) {
                match self.transfer.hear(content, packet)? {
                    Next::Wait => {}
                    Next::Ack(block) => self.send(&ack(block), true, server)?,
                    Next::Done(block) => {
                        self.send(&ack(block), true, server)?;
                        return Ok(Taken::File);
                    }
                }
            }
        }
        Ok(Taken::Some)
    }
}

/// An error of receiving is no reason to end where there is just nothing, or where a packet of ours
/// reached nobody: a server may not listen yet.
fn nothing(error: &std::io::Error) -> Result<Taken, String> {
    match error.kind() {
        ErrorKind::WouldBlock | ErrorKind::Interrupted | ErrorKind::ConnectionRefused => {
            Ok(Taken::Some)
        }
        _ => Err(format!("receiving: {error}")),
    }
}

/// The address of a client: each has its own, as machines have.
fn address(client: usize) -> Ipv4Addr {
    let number = client as u32;
    Ipv4Addr::from_bits(Ipv4Addr::new(127, 1, 0, 1).to_bits() + (number / 250) * 256 + number % 250)
}

/// Whether the server gives a small file.
///
/// # Errors
/// A text: it gives another.
pub(super) fn is_answered(content: &Content) -> Result<bool, String> {
    let case = Case::probe(File::Small);
    let until = Until::Fetched {
        patience: Duration::from_millis(200),
    };
    let outcome = Load::new(content, case, 0, 0)?.run(until)?;
    Ok(outcome.files == 1)
}
