//! A thread that owns one engine, its sockets and its files.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::num::NonZeroUsize;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use ::tokio::runtime::Handle;
use pxe_core::{
    BatchLimit, Destination, IfIndex, Instant as Mono, Now, RecvMeta, SendFailure, SocketId,
    Transmit, UnixTime,
};
use pxe_tree::{Blob, ErrorKind, FileRequest, Opened, Protocol, Source, TreePath};

use super::Observer;
use super::backlog::{Backlog, BacklogBytes};
use super::bind::Ports;
use super::chunks::Chunks;
use super::control::Shared;
use super::files::{Data, Files, Range, Read};
use super::jobs::{Done, Jobs, Look, Mail, unless_panicked};
use super::listener::{Listener, RecvBatch};
use super::lone::Lone;
use super::mailbox::Mailbox;
use super::mtu::Mtus;
use super::poller::{Events, Poller, Ready};
use super::processors::Steering;
use super::requests::{Desk, HandedOver, Reception};
use super::transfer_socket::{Fault, Sent, TransferSocket};
use crate::config::{Config, PortMode};
use crate::engine::Engine;
use crate::error::Refusal;
use crate::event::{Filename, TransferId};
use crate::output::{FileInfo, Incoming, Output};
use crate::send_buffer::SendBuffer;
use crate::wire::ErrorCode;

/// The greatest payload of one UDP send: 65535 octets less the headers of IPv6 and UDP.
const SEND_BYTES_MAX: usize = 65_535 - 48;
/// Datagrams in one send at most: Linux takes 64 (`UDP_MAX_SEGMENTS`), newer ones more.
const SEND_SEGMENTS_MAX: NonZeroUsize = NonZeroUsize::new(64).unwrap();
/// Longer datagrams are cut off: clients send ACKs and short ERRORs.
const RECV_BYTES: usize = 2048;
/// Asking for the time of each packet would take as long as dealing with half of one.
const SOCKETS_PER_LOOK_AT_CLOCK: usize = 8;
/// Sockets that are kept for other transfers.
const PARKED_MAX: usize = 64;
/// Calls for requests before the transfers have their turn.
const RECEIVES_PER_TURN: usize = 8;
/// How long requests are taken, to one call, before the transfers have their turn: what a flood adds
/// to each round trip of a client that is served.
const LISTENER_TURN: Duration = Duration::from_millis(1);
/// Packets of a transfer that is alone, before it is seen to whether there is anything else.
const LONE_PACKETS: usize = 8;
/// How long they are taken before that. So whatever else comes waits for a few packets, or for this
/// and one [wait](TransferSocket::wait_recv) for a packet that does not come.
const LONE_TURN: Duration = Duration::from_millis(1);
/// What is due by then keeps a thread from such a turn: two of the longest jiffies are 20 ms.
const LONE_HORIZON: Duration = Duration::from_millis(25);

enum Phase {
    Serving,
    /// New requests are refused; at the given time, running transfers are broken off.
    Draining(Instant),
    /// They are being broken off.
    Ending,
    /// There are none left; the other threads' are waited for.
    Finished,
}

/// What all threads of a server have in common, from the start.
#[derive(Clone)]
pub(super) struct Common {
    pub(super) config: Config,
    pub(super) source: Arc<dyn Source>,
    pub(super) observer: Observer,
    pub(super) grace: Duration,
    pub(super) shared: Arc<Shared>,
    pub(super) chunks: Arc<Chunks<Look>>,
    pub(super) runtime: Handle,
    /// What waits for room in the buffers of transfers' sockets.
    pub(super) backlog_bytes: BacklogBytes,
    /// When the clock of all threads began.
    pub(super) epoch: Instant,
    /// Where requests go to the processor that they arrive at.
    pub(super) desk: Option<Arc<Desk>>,
}

pub(super) struct Worker {
    common: Common,
    /// Which of the threads it is.
    number: usize,
    engine: Engine,
    phase: Phase,
    /// Which wishes of the handles it knows.
    wishes_seen: u64,
    poller: Poller,
    /// By [`SocketId`], from 0.
    listeners: Vec<Listener>,
    /// By [`SocketId`], from the number of listeners on.
    sockets: Vec<Option<TransferSocket>>,
    /// Free places of `sockets`.
    free: Vec<usize>,
    /// Places of those that wait for another transfer.
    parked: Vec<usize>,
    ports: Ports,
    files: Files,
    /// Whose each transfer is, and where its request came in.
    remotes: HashMap<TransferId, (SocketAddr, SocketId)>,
    jobs: Jobs,
    mailbox: Arc<Mailbox<Mail>>,
    mtus: Mtus,
    lone: Lone,
    /// How many sends there were.
    sends: u64,
    recv_buffer: Vec<u8>,
    send_buffer: SendBuffer,
}

impl Worker {
    /// Number `number` of the threads, with these listening sockets.
    pub(super) fn new(
        number: usize,
        sockets: Vec<UdpSocket>,
        mailbox: Arc<Mailbox<Mail>>,
        common: Common,
    ) -> io::Result<Self> {
        let waker = common.shared.waker(number);
        let poller = Poller::new(waker.ok_or(io::ErrorKind::NotFound)?)?;
        let mut listeners = Vec::new();
        for (id, socket) in (0..).map(SocketId).zip(sockets) {
            let listener = Listener::new(id, socket)?;
            poller.add(&listener, id)?;
            listeners.push(listener);
        }
        Ok(Self {
            number,
            engine: Engine::new(common.config.clone()),
            phase: Phase::Serving,
            wishes_seen: 0,
            poller,
            listeners,
            sockets: Vec::new(),
            free: Vec::new(),
            parked: Vec::new(),
            ports: Ports {
                range: common.config.port_range.clone(),
                // The threads begin at different places.
                tried: u16::try_from(number << 8).unwrap_or_default(),
            },
            files: Files::new(Arc::clone(&common.chunks)),
            remotes: HashMap::new(),
            jobs: Jobs::new(common.runtime.clone(), Arc::clone(&mailbox)),
            mailbox,
            mtus: Mtus::default(),
            lone: Lone::default(),
            sends: 0,
            recv_buffer: vec![0; RECV_BYTES],
            send_buffer: SendBuffer::new(),
            common,
        })
    }

    /// Serves until a shutdown is complete, over all threads.
    pub(super) fn run(mut self) -> io::Result<()> {
        // Sources may want the runtime when they are polled here.
        let runtime = self.common.runtime.clone();
        let _entered = runtime.enter();
        let (mut events, mut batch) = (Events::new(), RecvBatch::new(self.listeners.len()));
        // Those from before there was a thread to wake.
        self.handle_wishes();
        self.finish_if_done();
        loop {
            match self.lone_socket() {
                Some(id) => {
                    self.handle_lone(id);
                    self.poller.look(&mut events)?;
                }
                None => {
                    let deadline = self.deadline();
                    self.poller.wait(&mut events, deadline)?;
                }
            }
            if self.common.shared.is_abandoned() || self.common.shared.is_finished() {
                return Ok(());
            }
            self.handle_wishes();
            self.make_room();
            let sends = self.sends;
            self.handle_ready(&events, &mut batch)?;
            let (listeners, answered) = (self.listeners.len(), self.sends != sends);
            let is_listener = |id: SocketId| (id.0 as usize) < listeners;
            self.lone.notice(events.all(), is_listener, answered);
            self.handle_time();
            self.finish_if_done();
        }
    }

    fn now(&self) -> Now {
        let nanos = self.common.epoch.elapsed().as_nanos();
        let mono = Mono::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
        // TFTP has no use for the time of day.
        Now::new(mono, UnixTime::from_seconds(0))
    }

    /// When something is to be done, if nothing happens before.
    fn deadline(&self) -> Option<Instant> {
        let grace = match self.phase {
            Phase::Draining(until) => Some(until),
            Phase::Serving | Phase::Ending | Phase::Finished => None,
        };
        let engine = self.engine.poll_timeout();
        let engine = engine.map(|at| self.common.epoch + Duration::from_nanos(at.as_nanos()));
        engine.into_iter().chain(grace).min()
    }

    fn handle_wishes(&mut self) {
        let Some(wishes) = self.common.shared.wishes(&mut self.wishes_seen) else {
            return;
        };
        if let Some(config) = wishes.config {
            self.ports.range.clone_from(&config.port_range);
            self.close_parked();
            self.common
                .chunks
                .set_bytes_max(config.limits.cache_bytes_max);
            if config.ports == PortMode::Single {
                self.steer_by_hash();
            }
            self.engine.set_config(config.clone());
            self.common.config = config;
        }
        if wishes.shut_down && matches!(self.phase, Phase::Serving) {
            self.engine.shut_down();
            self.phase = Phase::Draining(Instant::now() + self.common.grace);
        }
    }

    /// Displaces transfers for requests that other threads have taken.
    fn make_room(&mut self) {
        let count = self.common.shared.displacements(self.number);
        if count == 0 {
            return;
        }
        let now = self.now();
        for _ in 0..count {
            self.engine.make_room(now);
        }
        self.drain_engine(now);
        self.common.shared.have_displaced(self.number, count);
    }

    /// From now on, all packets of a client have to come to the same socket. That stays so: ACKs of
    /// such transfers go on to come when there are others again.
    fn steer_by_hash(&mut self) {
        let Some(desk) = self.common.desk.take() else {
            return;
        };
        for listener in &self.listeners {
            if desk.addrs.contains(&listener.local_addr()) {
                let result = Steering::Hash.set(listener);
                debug_assert!(result.is_ok(), "{result:?}");
            }
        }
    }

    /// Takes what the sockets have: transfers' own first. A client that has got a file and asks for
    /// the next one from the same port (lpxelinux) has acknowledged the last block before.
    fn handle_ready(&mut self, events: &Events, batch: &mut RecvBatch) -> io::Result<()> {
        let mut now = self.now();
        for index in 0..events.len() {
            if let Some(Ready::Socket { id, writable }) = events.ready(index)
                && !self.is_listener(id)
            {
                self.handle_socket(now, id, writable);
            }
            if index % SOCKETS_PER_LOOK_AT_CLOCK == SOCKETS_PER_LOOK_AT_CLOCK - 1 {
                now = self.now();
            }
        }
        for index in 0..events.len() {
            match events.ready(index) {
                Some(Ready::Waker) => self.handle_mail(),
                Some(Ready::Socket { id, writable }) if self.is_listener(id) => {
                    self.handle_listener(batch, id, writable)?;
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn is_listener(&self, id: SocketId) -> bool {
        (id.0 as usize) < self.listeners.len()
    }

    fn handle_listener(
        &mut self,
        batch: &mut RecvBatch,
        id: SocketId,
        writable: bool,
    ) -> io::Result<()> {
        let mut faults = Vec::new();
        if writable
            && let Some(listener) = self.listeners.get_mut(id.0 as usize)
            && listener.flush(&mut |to, fault| faults.push((to, fault)))
        {
            let _ = self.poller.set_writable(&*listener, id, false);
        }
        let began = Instant::now();
        for _ in 0..RECEIVES_PER_TURN {
            let now = self.now();
            let result = self.receive(now, batch, id, &mut faults);
            self.handle_faults(now, &faults);
            faults.clear();
            // To open files and sockets is what takes time, so that it belongs to the turn.
            self.drain_engine(now);
            if !result? || began.elapsed() >= LISTENER_TURN {
                break;
            }
        }
        Ok(())
    }

    /// Receives once by a listening socket; whether there may be more.
    fn receive(
        &mut self,
        now: Now,
        batch: &mut RecvBatch,
        id: SocketId,
        faults: &mut Vec<(SocketAddr, Fault)>,
    ) -> io::Result<bool> {
        let Some(listener) = self.listeners.get_mut(id.0 as usize) else {
            return Ok(false);
        };
        let mut reception = Reception {
            engine: &mut self.engine,
            shared: &self.common.shared,
            desk: self.common.desk.as_deref(),
            number: self.number,
            asked: listener.local_addr(),
            now,
        };
        listener.recv(
            batch,
            |meta, payload| reception.take(&meta, payload),
            &mut |to, fault| faults.push((to, fault)),
        )
    }

    /// Takes a packet that came to another thread.
    fn handle_handed_over(&mut self, packet: &HandedOver) {
        self.common.shared.take_handed_over(self.number);
        let asked = |listener: &&Listener| listener.local_addr() == packet.asked;
        let Some(listener) = self.listeners.iter().find(asked) else {
            return;
        };
        let mut meta = packet.meta;
        meta.socket = listener.id();
        let mut reception = Reception {
            now: self.now(),
            engine: &mut self.engine,
            shared: &self.common.shared,
            desk: self.common.desk.as_deref(),
            number: self.number,
            asked: packet.asked,
        };
        reception.take(&meta, &packet.payload);
    }

    fn handle_faults(&mut self, now: Now, faults: &[(SocketAddr, Fault)]) {
        for (to, fault) in faults {
            let to = Destination::Unicast(*to);
            match *fault {
                Fault::NoSegments => self.engine.handle_segments_refused(to),
                Fault::Failed(failure) => self.engine.handle_send_failure(now, to, failure),
            }
        }
    }

    fn socket_mut(&mut self, id: SocketId) -> Option<&mut TransferSocket> {
        let index = (id.0 as usize).checked_sub(self.listeners.len())?;
        self.sockets.get_mut(index)?.as_mut()
    }

    fn handle_socket(&mut self, now: Now, id: SocketId, writable: bool) {
        let index = (id.0 as usize).checked_sub(self.listeners.len());
        let socket = index.and_then(|index| self.sockets.get_mut(index));
        let Some(Some(socket)) = socket else {
            return;
        };
        if socket.is_parked() {
            // It was on its way when the former transfer ended.
            let _ = socket.recv(&mut self.recv_buffer);
            return;
        }
        let remote = socket.remote();
        let received = socket.recv(&mut self.recv_buffer);
        if writable {
            self.flush(now, id);
        }
        self.handle_received(now, id, remote, received);
    }

    /// The socket of a transfer that is alone, if nothing is due soon.
    fn lone_socket(&mut self) -> Option<SocketId> {
        let id = self.lone.socket()?;
        let horizon = self.now().mono + LONE_HORIZON;
        let is_due = |engine: &Engine| engine.poll_timeout().is_some_and(|at| at <= horizon);
        if is_due(&self.engine) {
            self.engine.put_off_timer(horizon);
        }
        let waits = !is_due(&self.engine) && matches!(self.phase, Phase::Serving);
        waits.then_some(id)
    }

    /// Takes some packets of a transfer that is alone, each of which is waited for at its socket: two
    /// calls a block, instead of three.
    fn handle_lone(&mut self, id: SocketId) {
        let began = self.now().mono;
        let Some(index) = (id.0 as usize).checked_sub(self.listeners.len()) else {
            return;
        };
        for _ in 0..LONE_PACKETS {
            let Some(Some(socket)) = self.sockets.get_mut(index) else {
                return self.lone.forget();
            };
            let remote = socket.remote();
            let received = socket.wait_recv(&mut self.recv_buffer);
            if matches!(received, Ok(None)) {
                return self.lone.forget();
            }
            let (now, sends) = (self.now(), self.sends);
            self.handle_received(now, id, remote, received);
            if self.sends == sends {
                return self.lone.forget();
            }
            if now.mono.saturating_duration_since(began) >= LONE_TURN {
                return;
            }
        }
    }

    /// Takes what a transfer's socket has given.
    fn handle_received(
        &mut self,
        now: Now,
        id: SocketId,
        remote: SocketAddr,
        received: io::Result<Option<usize>>,
    ) {
        match received {
            Ok(Some(len)) => {
                let meta = RecvMeta::new(id, remote);
                let payload = self.recv_buffer.get(..len).unwrap_or(&self.recv_buffer);
                self.engine.handle_datagram(now, &meta, payload);
            }
            Ok(None) => {}
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                let fault = Fault::Failed(SendFailure::Unreachable);
                self.handle_faults(now, &[(remote, fault)]);
            }
            // These may pass, and else the time comes when it is given up.
            Err(_) => {}
        }
        self.drain_engine(now);
    }

    fn flush(&mut self, now: Now, id: SocketId) {
        let Some(socket) = self.socket_mut(id) else {
            return;
        };
        let (sent, remote) = (socket.flush(), socket.remote());
        if sent != Sent::NoRoom {
            self.set_writable(id, false);
        }
        self.handle_sent(now, id, remote, sent);
    }

    fn set_writable(&mut self, id: SocketId, writable: bool) {
        let index = (id.0 as usize).checked_sub(self.listeners.len());
        let result = match index {
            None => self
                .listeners
                .get(id.0 as usize)
                .map(|listener| self.poller.set_writable(listener, id, writable)),
            Some(index) => self
                .sockets
                .get(index)
                .and_then(Option::as_ref)
                .map(|socket| self.poller.set_writable(socket, id, writable)),
        };
        debug_assert!(matches!(result, None | Some(Ok(()))), "{result:?}");
    }

    /// Takes what became of a send.
    fn handle_sent(&mut self, now: Now, id: SocketId, to: SocketAddr, sent: Sent) {
        match sent {
            Sent::Done => {}
            Sent::NoRoom => self.set_writable(id, true),
            Sent::Singly => self.handle_faults(now, &[(to, Fault::NoSegments)]),
            Sent::Failed(failure) => self.handle_faults(now, &[(to, Fault::Failed(failure))]),
        }
    }

    fn handle_mail(&mut self) {
        let mails = self.mailbox.take();
        if mails.is_empty() {
            return;
        }
        for mail in mails {
            match mail {
                Mail::Done(done) => {
                    self.jobs.ended(&done);
                    self.handle_done(done);
                }
                Mail::Look(transfer) => self.read(transfer),
                Mail::HandedOver(packet) => self.handle_handed_over(&packet),
            }
        }
        let now = self.now();
        self.drain_engine(now);
    }

    /// Does what is due.
    fn handle_time(&mut self) {
        let due = |at: Mono, now: Now| at <= now.mono;
        let now = self.now();
        if self.engine.poll_timeout().is_some_and(|at| due(at, now)) {
            self.engine.handle_timeout(now);
            self.drain_engine(now);
        }
        if let Phase::Draining(until) = self.phase
            && Instant::now() >= until
        {
            let refusal = Refusal::new(ErrorCode::NOT_DEFINED, "server is shutting down");
            self.engine.abort_all(now, &refusal);
            self.phase = Phase::Ending;
            self.drain_engine(now);
        }
    }

    fn finish_if_done(&mut self) {
        let ends = matches!(self.phase, Phase::Draining(_) | Phase::Ending);
        if ends && self.engine.is_idle() {
            let desk = self.common.desk.as_ref();
            debug_assert!(!desk.is_some_and(|desk| desk.claims.has_any(self.number)));
            self.phase = Phase::Finished;
            self.common.shared.finish_one();
        }
    }

    /// Does what the engine asks for until it asks no more.
    fn drain_engine(&mut self, now: Now) {
        let limit = BatchLimit::new(SEND_SEGMENTS_MAX, SEND_BYTES_MAX);
        loop {
            while let Some(output) = self.engine.poll_output() {
                self.handle_output(now, output);
            }
            let transmit = self.engine.poll_transmit(now, limit, &mut self.send_buffer);
            // Only what is sent leads to more to do.
            let Some(transmit) = transmit else {
                break;
            };
            self.send(now, &transmit);
        }
        let (shared, engine) = (&self.common.shared, &self.engine);
        shared.set_transfers(self.number, engine.transfers());
        shared.set_borrowed_window_bytes(self.number, engine.borrowed_window_bytes());
        shared.set_unanswered(self.number, |rank| engine.unanswered_since(rank));
    }

    fn send(&mut self, now: Now, transmit: &Transmit) {
        let Destination::Unicast(to) = transmit.to else {
            return;
        };
        self.sends += 1;
        let (id, segment_size) = (transmit.socket, transmit.segment_size);
        let mut faults = Vec::new();
        let sent = match self.listeners.get_mut(id.0 as usize) {
            Some(listener) => listener.send(
                to,
                transmit.source,
                &self.send_buffer,
                segment_size,
                &mut |to, fault| faults.push((to, fault)),
            ),
            None => {
                let index = (id.0 as usize).checked_sub(self.listeners.len());
                match index.and_then(|index| self.sockets.get_mut(index)) {
                    Some(Some(socket)) => socket.send(&self.send_buffer, segment_size),
                    _ => return,
                }
            }
        };
        self.send_buffer.clear();
        self.handle_faults(now, &faults);
        self.handle_sent(now, id, to, sent);
    }

    fn handle_output(&mut self, now: Now, output: Output) {
        match output {
            Output::Incoming(incoming) => {
                let asked = (incoming.peer().remote, incoming.socket());
                self.remotes.insert(incoming.transfer(), asked);
                self.open_file(incoming);
            }
            Output::OpenSocket {
                transfer,
                local_ip,
                remote,
                interface,
            } => self.open_socket(now, transfer, local_ip, remote, interface),
            Output::CloseSocket { socket } => self.close_socket(socket),
            Output::Want {
                transfer,
                offset,
                len,
            } => {
                let blksize = self.engine.blksize(transfer);
                self.files.want(transfer, Range { offset, len }, blksize);
                self.read(transfer);
            }
            Output::Release { transfer } => {
                self.files.release(transfer);
                self.jobs.abort(transfer);
                if let Some((remote, listener)) = self.remotes.remove(&transfer) {
                    let ip = remote.ip();
                    let here = self.engine.transfers_of_remote(ip);
                    let shared = &self.common.shared;
                    shared.set_transfers_of_remote(self.number, ip, here);
                    self.release(remote, listener);
                }
            }
            Output::Event(event) => {
                // A panic of whoever listens costs it an event, and not all clients their files.
                let observer = AssertUnwindSafe(|| (self.common.observer)(&event));
                let _ = catch_unwind(observer);
            }
        }
    }

    /// Lets other threads have a client that has no transfer here.
    fn release(&self, remote: SocketAddr, listener: SocketId) {
        if let Some(desk) = &self.common.desk
            && let Some(asked) = self.listeners.get(listener.0 as usize)
            && !self.engine.has_transfer(remote, listener)
        {
            let asked = (remote, asked.local_addr());
            desk.claims.release(asked, self.number);
        }
    }

    fn open_file(&mut self, incoming: Incoming) {
        let path = match TreePath::from_tftp(incoming.filename().as_bytes()) {
            Ok(path) => path,
            Err(kind) => return self.refuse(incoming, kind),
        };
        let transfer = incoming.transfer();
        let source = Arc::clone(&self.common.source);
        let peer = *incoming.peer();
        let local = self.local_addr(incoming.socket(), peer.local_ip);
        let job = Box::pin(async move {
            let mut request = FileRequest::new(Protocol::Tftp, peer.remote, &path);
            if let Some(local) = local {
                request = request.with_local(local);
            }
            let result = unless_panicked(async { source.open(&request).await }).await;
            Done::Opened(incoming, result)
        });
        if let Some(done) = self.jobs.start(transfer, job) {
            self.handle_done(done);
        }
    }

    /// The address at which a request came in, where it is known.
    fn local_addr(&self, listener: SocketId, asked: Option<IpAddr>) -> Option<SocketAddr> {
        let bound = self.listeners.get(listener.0 as usize)?.local_addr();
        match asked {
            Some(ip) => Some(SocketAddr::new(ip, bound.port())),
            None => Some(bound).filter(|bound| !bound.ip().is_unspecified()),
        }
    }

    fn read(&mut self, transfer: TransferId) {
        let mailbox = Arc::clone(&self.mailbox);
        let look = Look { mailbox, transfer };
        let chunk_bytes = self.engine.chunk_bytes();
        let read = AssertUnwindSafe(|| self.files.read(chunk_bytes, look));
        // As with what is read by a task, a panic is one client's misfortune.
        let read = catch_unwind(read).unwrap_or_else(|_| Read::Failed(ErrorKind::Io.into()));
        match read {
            Read::Now(data) => {
                let now = self.now();
                self.take_data(now, transfer, data);
            }
            Read::Failed(error) => self.fail(transfer, &error),
            Read::Gone | Read::Awaited => {}
            Read::Later {
                blob,
                want,
                piece,
                reading,
            } => {
                let job = Box::pin(async move {
                    let Range { offset, len } = piece.range();
                    let read_at = async { blob.read_at(offset, len).await };
                    let result = unless_panicked(read_at).await.map(|bytes| {
                        let formed = piece.form(&bytes);
                        if let Some(reading) = reading {
                            reading.finish(&formed);
                        }
                        piece.data(want, &formed)
                    });
                    Done::Data { transfer, result }
                });
                if let Some(done) = self.jobs.start(transfer, job) {
                    self.handle_done(done);
                }
            }
        }
    }

    fn handle_done(&mut self, done: Done) {
        let now = self.now();
        match done {
            Done::Opened(incoming, Ok(Opened::File(blob))) => self.accept(now, incoming, blob),
            Done::Opened(incoming, Ok(Opened::Directory(..))) => {
                self.refuse(incoming, ErrorKind::IsADirectory);
            }
            Done::Opened(incoming, Ok(Opened::Moved(to))) => {
                let text = format!("{} has moved to {to}", incoming.filename());
                let refusal = Refusal::new(ErrorCode::FILE_NOT_FOUND, text);
                self.engine.refuse(now, incoming, refusal);
            }
            Done::Opened(incoming, Ok(_)) => self.refuse(incoming, ErrorKind::Unsupported),
            Done::Opened(incoming, Err(error)) => self.refuse(incoming, error.kind()),
            Done::Data { transfer, result } => match result {
                Ok(data) => self.take_data(now, transfer, data),
                Err(error) => self.fail(transfer, &error),
            },
        }
    }

    fn take_data(&mut self, now: Now, transfer: TransferId, data: Data) {
        match data {
            Data::Plain(offset, bytes) => self.engine.handle_data(now, transfer, offset, bytes),
            Data::Packets(packets) => self.engine.handle_packets(now, transfer, packets),
        }
    }

    fn accept(&mut self, now: Now, incoming: Incoming, blob: Arc<dyn Blob>) {
        let peer = *incoming.peer();
        let mtu = self.mtus.towards(peer.remote, peer.local_ip);
        let file = FileInfo::new(blob.attributes().len).with_mtu(mtu);
        let transfer = incoming.transfer();
        self.files
            .insert(transfer, incoming.filename().clone(), blob);
        let (shared, engine) = (&self.common.shared, &mut self.engine);
        let elsewhere = shared.borrowed_window_bytes_elsewhere(self.number);
        engine.set_borrowed_window_bytes_elsewhere(elsewhere);
        let is_accepted = engine.accept(now, incoming, file);
        shared.set_borrowed_window_bytes(self.number, engine.borrowed_window_bytes());
        if !is_accepted {
            self.files.release(transfer);
        }
    }

    fn refuse(&mut self, incoming: Incoming, kind: ErrorKind) {
        let refusal = refusal_of(kind, incoming.filename());
        let now = self.now();
        self.engine.refuse(now, incoming, refusal);
    }

    fn fail(&mut self, transfer: TransferId, error: &pxe_tree::Error) {
        let Some(name) = self.files.name(transfer) else {
            return;
        };
        let refusal = refusal_of(error.kind(), name);
        let now = self.now();
        self.engine.handle_data_failure(now, transfer, refusal);
    }

    fn open_socket(
        &mut self,
        now: Now,
        transfer: TransferId,
        local_ip: Option<IpAddr>,
        remote: SocketAddr,
        interface: Option<IfIndex>,
    ) {
        match self.try_open_socket(local_ip, remote, interface) {
            Ok(id) => self.engine.handle_socket_opened(now, transfer, id),
            Err(error) => {
                let text = format!("server has no socket for this transfer: {error}");
                let refusal = Refusal::new(ErrorCode::NOT_DEFINED, text);
                self.engine.handle_socket_failed(now, transfer, refusal);
            }
        }
    }

    fn try_open_socket(
        &mut self,
        local_ip: Option<IpAddr>,
        remote: SocketAddr,
        interface: Option<IfIndex>,
    ) -> io::Result<SocketId> {
        if let Some(id) = self.unpark_socket(local_ip, remote) {
            return Ok(id);
        }
        let backlog = Backlog::new(self.common.backlog_bytes.clone());
        let socket = TransferSocket::open(local_ip, remote, interface, &mut self.ports, backlog)?;
        let index = self.free.pop().unwrap_or(self.sockets.len());
        let id = u32::try_from(index + self.listeners.len());
        let id = SocketId(id.map_err(|_| io::ErrorKind::OutOfMemory)?);
        if let Err(error) = self.poller.add(&socket, id) {
            if index < self.sockets.len() {
                self.free.push(index);
            }
            return Err(error);
        }
        match self.sockets.get_mut(index) {
            Some(place) => *place = Some(socket),
            None => self.sockets.push(Some(socket)),
        }
        Ok(id)
    }

    /// A socket that served another transfer from this address.
    fn unpark_socket(&mut self, local_ip: Option<IpAddr>, remote: SocketAddr) -> Option<SocketId> {
        let fits = |index: &usize| {
            let socket = self.sockets.get(*index).and_then(Option::as_ref);
            socket.is_some_and(|socket| socket.is_parked_at(local_ip))
        };
        let place = self.parked.iter().rposition(fits)?;
        let index = self.parked.swap_remove(place);
        let socket = self.sockets.get_mut(index)?.as_mut()?;
        if socket.unpark(remote).is_err() {
            self.close_place(index);
            return None;
        }
        let id = u32::try_from(index + self.listeners.len()).ok()?;
        Some(SocketId(id))
    }

    fn close_socket(&mut self, id: SocketId) {
        let Some(index) = (id.0 as usize).checked_sub(self.listeners.len()) else {
            return;
        };
        let Some(Some(socket)) = self.sockets.get_mut(index) else {
            return;
        };
        // One of the system's choice is of no use once there is a range.
        let may_serve_again = self.ports.range.is_none() && self.parked.len() < PARKED_MAX;
        if may_serve_again && socket.park() {
            self.parked.push(index);
        } else {
            self.close_place(index);
        }
    }

    fn close_place(&mut self, index: usize) {
        let place = self.sockets.get_mut(index);
        if place.is_some_and(|place| place.take().is_some()) {
            self.free.push(index);
        }
    }

    fn close_parked(&mut self) {
        for index in std::mem::take(&mut self.parked) {
            self.close_place(index);
        }
    }
}

/// What a client is told, with the code of pxe-tree's one table.
fn refusal_of(kind: ErrorKind, filename: &Filename) -> Refusal {
    Refusal::new(ErrorCode(kind.tftp_code()), format!("{kind}: {filename}"))
}
