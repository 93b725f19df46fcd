//! One task that owns one engine, its sockets and its files.

use std::collections::HashMap;
use std::future::{Future, poll_fn};
use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::num::NonZeroUsize;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime};

use ::tokio::task::coop::has_budget_remaining;
use ::tokio::task::{AbortHandle, JoinSet};
use ::tokio::time::{Instant, Sleep, sleep_until};
use futures_util::FutureExt;
use pxe_core::{
    BatchLimit, Destination, IfIndex, Instant as Mono, Now, SocketId, Transmit, UnixTime,
};
use pxe_tree::{Blob, ErrorKind, FileRequest, Opened, Protocol, Source, TreePath};

use super::Observer;
use super::bind::bind_transfer;
use super::files::{Files, Read};
use super::mtu::Mtus;
use super::readiness::Shared;
use super::socket::{DriverSocket, Offload, RecvBuffers};
use crate::config::Config;
use crate::engine::Engine;
use crate::error::Refusal;
use crate::event::{Filename, TransferId};
use crate::output::{FileInfo, Incoming, Output};
use crate::send_buffer::SendBuffer;
use crate::wire::ErrorCode;

/// Receive calls on one socket before the others have their turn.
const RECEIVES_PER_TURN: usize = 8;
/// Rounds of receiving, answering and sending before other tasks of the runtime have their turn.
const ROUNDS_PER_POLL: usize = 32;
/// The greatest payload of one UDP send: 65535 octets less the headers of IPv6 and UDP.
const SEND_BYTES_MAX: usize = 65_535 - 48;
/// Errors in a row, of a listening socket, after which it is taken to be broken.
const LISTENER_ERRORS_MAX: u32 = 1000;

/// A file being opened, or data being read; polled once at the spot, then by a task of its own.
type Job = Pin<Box<dyn Future<Output = Done> + Send>>;

enum Done {
    Opened(Incoming, pxe_tree::Result<Opened>),
    Data {
        transfer: TransferId,
        blob: Arc<dyn Blob>,
        offset: u64,
        result: pxe_tree::Result<bytes::Bytes>,
    },
}

enum Phase {
    Serving,
    /// New requests are refused; at the given time, running transfers are broken off.
    Draining(Instant),
    /// They are being broken off.
    Ending,
}

pub(super) struct Driver {
    engine: Engine,
    config: Config,
    source: Arc<dyn Source>,
    observer: Observer,
    shared: Arc<Shared>,
    epoch: Instant,
    phase: Phase,
    grace: Duration,
    /// What is known of segmentation offload.
    offload: Offload,
    /// By [`SocketId`]: those below `listeners` are the listening sockets.
    sockets: HashMap<SocketId, DriverSocket>,
    listeners: u32,
    next_socket: u32,
    next_port: u16,
    listener_errors: u32,
    files: Files,
    /// Names of running transfers, for their ERRORs.
    names: HashMap<TransferId, Filename>,
    jobs: JoinSet<Done>,
    /// The job that a transfer waits for, where it is not done at once.
    waiting: HashMap<TransferId, AbortHandle>,
    mtus: Mtus,
    timer: Pin<Box<Sleep>>,
    buffers: RecvBuffers,
    send_buffer: SendBuffer,
    /// Sockets that have something to read, and were not looked at yet.
    ready: Vec<SocketId>,
}

impl Driver {
    pub(super) fn new(
        sockets: Vec<UdpSocket>,
        config: Config,
        source: Arc<dyn Source>,
        observer: Observer,
        grace: Duration,
        shared: Arc<Shared>,
    ) -> io::Result<Self> {
        let mut listeners = 0;
        let mut by_id = HashMap::new();
        let offload = Offload::new()?;
        for socket in sockets {
            let id = SocketId(listeners);
            let listener = DriverSocket::listener(id, socket, &offload, Arc::clone(&shared))?;
            by_id.insert(id, listener);
            listeners += 1;
        }
        let epoch = Instant::now();
        Ok(Self {
            engine: Engine::new(config.clone()),
            config,
            source,
            observer,
            shared,
            epoch,
            phase: Phase::Serving,
            grace,
            offload,
            sockets: by_id,
            listeners,
            next_socket: listeners,
            next_port: 0,
            listener_errors: 0,
            files: Files::default(),
            names: HashMap::new(),
            jobs: JoinSet::new(),
            waiting: HashMap::new(),
            mtus: Mtus::default(),
            timer: Box::pin(sleep_until(epoch)),
            buffers: RecvBuffers::default(),
            send_buffer: SendBuffer::new(),
            ready: Vec::new(),
        })
    }

    /// Serves until a shutdown is complete.
    pub(super) async fn run(mut self) -> io::Result<()> {
        poll_fn(|cx| self.poll(cx)).await
    }

    fn now(&self) -> Now {
        let nanos = Instant::now().duration_since(self.epoch).as_nanos();
        let mono = Mono::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
        let wall = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        Now::new(
            mono,
            UnixTime::from_seconds(wall.map_or(0, |wall| wall.as_secs())),
        )
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.shared.register(cx.waker());
        for _ in 0..ROUNDS_PER_POLL {
            self.poll_control();
            let mut progress = self.poll_jobs(cx);
            progress |= self.poll_sockets()?;
            self.poll_timers(cx);
            progress |= self.drain_engine(cx);
            if self.is_done() {
                return Poll::Ready(Ok(()));
            }
            // Sockets and timers would only pretend that there is nothing.
            if !has_budget_remaining() {
                return self.again(cx);
            }
            if !progress {
                return match self.poll_timers(cx) {
                    true => self.again(cx),
                    false => Poll::Pending,
                };
            }
        }
        self.again(cx)
    }

    fn again(&self, cx: &Context<'_>) -> Poll<io::Result<()>> {
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    fn poll_control(&mut self) {
        let control = self.shared.take_control();
        if let Some(config) = control.config {
            self.config = config.clone();
            self.engine.set_config(config);
        }
        if control.shut_down && matches!(self.phase, Phase::Serving) {
            self.engine.shut_down();
            self.phase = Phase::Draining(Instant::now() + self.grace);
        }
        if let Phase::Draining(until) = self.phase
            && Instant::now() >= until
        {
            let refusal = Refusal::new(ErrorCode::NOT_DEFINED, "server is shutting down");
            let now = self.now();
            self.engine.abort_all(now, &refusal);
            self.phase = Phase::Ending;
        }
    }

    /// Whether a shutdown is complete.
    fn is_done(&self) -> bool {
        match self.phase {
            Phase::Serving => false,
            Phase::Draining(_) | Phase::Ending => self.engine.is_idle(),
        }
    }

    fn poll_jobs(&mut self, cx: &mut Context<'_>) -> bool {
        let mut progress = false;
        while let Poll::Ready(Some(joined)) = self.jobs.poll_join_next(cx) {
            progress = true;
            // Else its transfer is over, and it was aborted.
            if let Ok(done) = joined {
                self.handle_done(done);
            }
        }
        progress
    }

    /// Receives from the sockets that became ready: listening ones first, so that a repeated
    /// request is seen before the packets that end its transfer; then in the order of becoming
    /// so, that none waits for those which are always ready.
    fn poll_sockets(&mut self) -> io::Result<bool> {
        let mut ready = std::mem::take(&mut self.ready);
        self.shared.take_ready(&mut ready);
        ready.sort_by_key(|id| id.0 >= self.listeners);
        let mut served = 0;
        let mut result = Ok(());
        for id in &ready {
            if !has_budget_remaining() {
                break;
            }
            served += 1;
            if let Err(error) = self.poll_socket(*id) {
                result = Err(error);
            }
        }
        ready.drain(..served);
        self.ready = ready;
        result.map(|()| served > 0)
    }

    fn poll_socket(&mut self, id: SocketId) -> io::Result<()> {
        let now = self.now();
        let Some(socket) = self.sockets.get_mut(&id) else {
            return Ok(());
        };
        socket.unlist();
        let engine = &mut self.engine;
        socket.flush(&mut |to, failure| {
            engine.handle_send_failure(now, Destination::Unicast(to), failure);
        });
        for _ in 0..RECEIVES_PER_TURN {
            let received = socket.poll_recv(&mut self.buffers, |meta, payload| {
                engine.handle_datagram(now, &meta, payload);
            });
            if id.0 < self.listeners && !matches!(received, Poll::Ready(Err(_))) {
                self.listener_errors = 0;
            }
            match received {
                Poll::Pending => return Ok(()),
                Poll::Ready(Ok(_)) => {}
                Poll::Ready(Err(error)) => {
                    socket.take_unreachable(&mut |to, failure| {
                        engine.handle_send_failure(now, Destination::Unicast(to), failure);
                    });
                    if id.0 < self.listeners {
                        self.listener_errors += 1;
                        if self.listener_errors > LISTENER_ERRORS_MAX {
                            return Err(error);
                        }
                    }
                }
            }
        }
        socket.relist();
        Ok(())
    }

    /// Sets the timer, and does what is due. Whether something was.
    fn poll_timers(&mut self, cx: &mut Context<'_>) -> bool {
        let grace = match self.phase {
            Phase::Draining(until) => Some(until),
            Phase::Serving | Phase::Ending => None,
        };
        let engine = self
            .engine
            .poll_timeout()
            .map(|at| self.epoch + Duration::from_nanos(at.as_nanos()));
        let Some(deadline) = engine.into_iter().chain(grace).min() else {
            return false;
        };
        // Not by the timer alone, which does not go off while the task's budget is spent.
        if Instant::now() < deadline {
            if self.timer.deadline() != deadline {
                self.timer.as_mut().reset(deadline);
            }
            if self.timer.as_mut().poll(cx).is_pending() {
                return false;
            }
        }
        let now = self.now();
        self.engine.handle_timeout(now);
        true
    }

    /// Does what the engine asks for until it asks no more. Whether there was anything.
    fn drain_engine(&mut self, cx: &mut Context<'_>) -> bool {
        let mut progress = false;
        loop {
            let mut idle = true;
            while let Some(output) = self.engine.poll_output() {
                idle = false;
                self.handle_output(cx, output);
            }
            let now = self.now();
            let limit = self.batch_limit();
            // One send, then outputs again: closing a socket must not wait for long.
            while let Some(transmit) = self.engine.poll_transmit(now, limit, &mut self.send_buffer)
            {
                idle = false;
                self.send(now, &transmit);
            }
            if idle {
                return progress;
            }
            progress = true;
        }
    }

    fn batch_limit(&self) -> BatchLimit {
        let segments = self.offload.segments_max();
        BatchLimit::new(
            NonZeroUsize::new(segments).unwrap_or(NonZeroUsize::MIN),
            SEND_BYTES_MAX,
        )
    }

    fn send(&mut self, now: Now, transmit: &Transmit) {
        let Destination::Unicast(to) = transmit.to else {
            return;
        };
        let Some(socket) = self.sockets.get_mut(&transmit.socket) else {
            return;
        };
        let segment_size = transmit.segment_size.map(NonZeroUsize::get);
        let engine = &mut self.engine;
        socket.send(
            to,
            transmit.source,
            &self.send_buffer.to_vec(),
            segment_size,
            &mut |to, failure| engine.handle_send_failure(now, Destination::Unicast(to), failure),
        );
    }

    fn handle_output(&mut self, cx: &mut Context<'_>, output: Output) {
        match output {
            Output::Incoming(incoming) => self.open_file(cx, incoming),
            Output::OpenSocket {
                transfer,
                local_ip,
                remote,
                interface,
            } => self.open_socket(transfer, local_ip, remote, interface),
            Output::CloseSocket { socket } => {
                if socket.0 >= self.listeners {
                    self.sockets.remove(&socket);
                }
            }
            Output::Want {
                transfer,
                offset,
                len,
            } => self.read(cx, transfer, offset, len),
            Output::Release { transfer } => {
                self.files.release(transfer);
                self.names.remove(&transfer);
                if let Some(job) = self.waiting.remove(&transfer) {
                    // A file system that hangs must not gather jobs.
                    job.abort();
                }
            }
            Output::Event(event) => (self.observer)(&event),
        }
    }

    fn open_file(&mut self, cx: &mut Context<'_>, incoming: Incoming) {
        let path = match TreePath::from_tftp(incoming.filename().as_bytes()) {
            Ok(path) => path,
            Err(kind) => return self.refuse(incoming, kind),
        };
        let source = Arc::clone(&self.source);
        let peer = *incoming.peer();
        let local = self.local_addr(incoming.socket(), peer.local_ip);
        self.start(
            cx,
            incoming.transfer(),
            Box::pin(async move {
                let mut request = FileRequest::new(Protocol::Tftp, peer.remote, &path);
                if let Some(local) = local {
                    request = request.with_local(local);
                }
                let result = unless_panicked(source.open(&request)).await;
                Done::Opened(incoming, result)
            }),
        );
    }

    /// The address at which a request came in, where it is known.
    fn local_addr(&self, listener: SocketId, asked: Option<IpAddr>) -> Option<SocketAddr> {
        let bound = self.sockets.get(&listener)?.local_addr().ok()?;
        match asked {
            Some(ip) => Some(SocketAddr::new(ip, bound.port())),
            None => Some(bound).filter(|bound| !bound.ip().is_unspecified()),
        }
    }

    fn read(&mut self, cx: &mut Context<'_>, transfer: TransferId, offset: u64, len: usize) {
        match self.files.read(transfer, offset, len) {
            Read::Now(bytes) => {
                let now = self.now();
                self.engine.handle_data(now, transfer, offset, bytes);
            }
            Read::Failed(error) => self.fail(transfer, &error),
            Read::Gone => {}
            Read::Later(blob) => self.start(
                cx,
                transfer,
                Box::pin(async move {
                    let result = unless_panicked(blob.read_at(offset, len)).await;
                    Done::Data {
                        transfer,
                        blob,
                        offset,
                        result,
                    }
                }),
            ),
        }
    }

    /// Polls a job at once, since most need no waiting, and else makes it a task.
    fn start(&mut self, cx: &mut Context<'_>, transfer: TransferId, mut job: Job) {
        match job.as_mut().poll(cx) {
            Poll::Ready(done) => self.handle_done(done),
            Poll::Pending => {
                let job = self.jobs.spawn(job);
                self.waiting.insert(transfer, job);
            }
        }
    }

    fn handle_done(&mut self, done: Done) {
        let (Done::Opened(Incoming { transfer, .. }, _) | Done::Data { transfer, .. }) = &done;
        self.waiting.remove(transfer);
        match done {
            Done::Opened(incoming, Ok(Opened::File(blob))) => self.accept(incoming, blob),
            Done::Opened(incoming, Ok(Opened::Directory(..))) => {
                self.refuse(incoming, ErrorKind::IsADirectory);
            }
            Done::Opened(incoming, Ok(Opened::Moved(to))) => {
                let text = format!("{} has moved to {to}", incoming.filename());
                let refusal = Refusal::new(ErrorCode::FILE_NOT_FOUND, text);
                let now = self.now();
                self.engine.refuse(now, incoming, refusal);
            }
            Done::Opened(incoming, Ok(_)) => self.refuse(incoming, ErrorKind::Unsupported),
            Done::Opened(incoming, Err(error)) => self.refuse(incoming, error.kind()),
            Done::Data {
                transfer,
                blob,
                offset,
                result,
            } => match result {
                Ok(bytes) => {
                    self.files.keep(&blob, offset, &bytes);
                    let now = self.now();
                    self.engine.handle_data(now, transfer, offset, bytes);
                }
                Err(error) => self.fail(transfer, &error),
            },
        }
    }

    fn accept(&mut self, incoming: Incoming, blob: Arc<dyn Blob>) {
        let peer = *incoming.peer();
        let mtu = self.mtus.towards(peer.remote, peer.local_ip);
        let file = FileInfo::new(blob.attributes().len).with_mtu(mtu);
        self.names
            .insert(incoming.transfer(), incoming.filename().clone());
        self.files.insert(incoming.transfer(), blob);
        let now = self.now();
        let transfer = incoming.transfer();
        if !self.engine.accept(now, incoming, file) {
            self.files.release(transfer);
            self.names.remove(&transfer);
        }
    }

    fn refuse(&mut self, incoming: Incoming, kind: ErrorKind) {
        let refusal = refusal_of(kind, incoming.filename());
        let now = self.now();
        self.engine.refuse(now, incoming, refusal);
    }

    fn fail(&mut self, transfer: TransferId, error: &pxe_tree::Error) {
        let Some(name) = self.names.get(&transfer) else {
            return;
        };
        let refusal = refusal_of(error.kind(), name);
        let now = self.now();
        self.engine.handle_data_failure(now, transfer, refusal);
    }

    fn open_socket(
        &mut self,
        transfer: TransferId,
        local_ip: Option<IpAddr>,
        remote: SocketAddr,
        interface: Option<IfIndex>,
    ) {
        let now = self.now();
        match self.try_open_socket(local_ip, remote, interface) {
            Ok(id) => self.engine.handle_socket_opened(now, transfer, id),
            Err(error) => {
                let text = format!("server has no port for this transfer: {}", error.kind());
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
        let ports = self.config.port_range.as_ref();
        let (socket, wildcard) =
            bind_transfer(local_ip, remote, interface, ports, &mut self.next_port)?;
        let id = self.free_socket_id();
        self.offload.refresh();
        let shared = Arc::clone(&self.shared);
        let socket = DriverSocket::transfer(id, socket, wildcard, &self.offload, shared)?;
        self.sockets.insert(id, socket);
        Ok(id)
    }

    fn free_socket_id(&mut self) -> SocketId {
        loop {
            let id = SocketId(self.next_socket);
            self.next_socket = match self.next_socket.checked_add(1) {
                Some(next) => next,
                None => self.listeners,
            };
            if !self.sockets.contains_key(&id) {
                return id;
            }
        }
    }
}

/// A panic of the source is one client's misfortune, and not the end of the server.
async fn unless_panicked<T>(job: impl Future<Output = pxe_tree::Result<T>>) -> pxe_tree::Result<T> {
    let result = AssertUnwindSafe(job).catch_unwind().await;
    result.unwrap_or_else(|_| Err(ErrorKind::Io.into()))
}

/// What a client is told, with the code of pxe-tree's one table.
fn refusal_of(kind: ErrorKind, filename: &Filename) -> Refusal {
    Refusal::new(ErrorCode(kind.tftp_code()), format!("{kind}: {filename}"))
}
