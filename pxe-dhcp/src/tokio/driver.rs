//! The loop between sockets, clock, store and engine.

mod links;

use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::io;
use std::net::Ipv4Addr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ::tokio::sync::{mpsc, oneshot};
use ::tokio::time::{Instant as TokioInstant, sleep_until};
use pxe_core::{BatchLimit, Instant, Now, SocketId, UnixTime};

use self::links::begin_search;
use super::bell::Bell;
use super::interface::Interfaces;
use super::packet_socket::PacketSocket;
use super::ping_socket::PingSocket;
use super::prober::{NoProbe, Prober, Question};
use super::server_search::FoundServer;
use super::socket::RunningSocket;
use super::{Control, Observer, Port, RawSockets, RunError, Server};
use crate::{
    BootPolicy, Commit, CommitError, Cursor, Engine, Event, LeaseRecord, LeaseStore, Limit, Output,
    ProbeResult, StoreError, Ticket, WithdrawError,
};

/// Datagrams of one socket that are read before the others, the store and the clock have a turn.
const RECEIVE_BATCH_MAX: usize = 64;
/// The longest time between two looks at the changes of other servers; the clock ends somewhere.
const CHANGES_INTERVAL_MAX: Duration = Duration::from_secs(365 * 86_400);
/// Records of one call to the store.
const PAGE_RECORDS_MAX: usize = 1024;

/// How long after a change of interfaces or addresses they are listed: changes come in groups (an
/// interface, its state, its addresses).
const SETTLE_TIME: Duration = Duration::from_millis(50);
/// A call to the store that has not ended yet.
type Pending<T> = Pin<Box<dyn Future<Output = T> + Send>>;
/// What the store says about changes by other servers.
type Changes = Result<(Vec<LeaseRecord>, Cursor), StoreError>;

/// The servers that were found, by interface.
type Searched = Vec<(String, io::Result<Vec<FoundServer>>)>;

pub(super) struct Driver {
    engine: Engine,
    sockets: Vec<(RunningSocket, Port)>,
    /// Sends frames to clients that have no address yet.
    sender: Option<PacketSocket>,
    prober: Prober,
    /// Told once.
    ping_unavailable: Option<io::Error>,
    interfaces: Interfaces,
    bell: Option<Bell>,
    /// When the interfaces are to be listed, after the bell rang.
    list_at: Option<TokioInstant>,
    /// The addresses that the configuration calls ours, besides those of the interfaces.
    configured_addresses: Vec<Ipv4Addr>,
    search: Option<Pending<Searched>>,
    store: Arc<dyn LeaseStore>,
    observer: Observer,
    controls: mpsc::UnboundedReceiver<Control>,
    clock: Clock,
    /// Changes that wait for the batch before them.
    waiting: VecDeque<(Ticket, Commit)>,
    in_flight: Option<Pending<Vec<Result<(), CommitError>>>>,
    in_flight_tickets: Vec<Ticket>,
    /// Who waits for a commit of the operator's.
    withdrawals: Vec<(Ticket, oneshot::Sender<Result<(), WithdrawError>>)>,
    changes_interval: Option<Duration>,
    changes_at: TokioInstant,
    /// The store may be slow: clients are served meanwhile.
    changes: Option<Pending<Changes>>,
    cursor: Option<Cursor>,
    /// Which socket has the first turn next.
    turn: usize,
    receive_buffer: Vec<u8>,
    send_buffer: Vec<u8>,
}

/// Monotonic time from the driver's start, and civil time.
#[derive(Debug, Clone, Copy)]
struct Clock {
    start: TokioInstant,
}

impl Clock {
    fn now(&self) -> Now {
        let mono = Instant::EPOCH + self.start.elapsed();
        let wall = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        Now::new(mono, UnixTime::from_seconds(wall.as_secs()))
    }

    fn tokio(&self, at: Instant) -> TokioInstant {
        self.start + at.saturating_duration_since(Instant::EPOCH)
    }
}

/// What woke the loop.
enum Wake {
    /// A socket, or, after the last of them, the probes.
    Readable(io::Result<usize>),
    Stored(Vec<Result<(), CommitError>>),
    Control(Option<Control>),
    Timeout,
    AskForChanges,
    Changes(Changes),
    ProbesDue,
    Bell(io::Result<()>),
    List,
    Searched(Searched),
}

impl Driver {
    pub(super) async fn start(
        server: Server,
        store: Arc<dyn LeaseStore>,
        policy: Arc<dyn BootPolicy>,
    ) -> Result<Self, RunError> {
        let clock = Clock {
            start: TokioInstant::now(),
        };
        // First, so that it hears of what changes after the list was made.
        let bell = Bell::hang();
        let interfaces = Interfaces::list()?;
        let mut config = server.config;
        let configured_addresses = config.own_addresses.clone();
        config.own_addresses.extend(interfaces.addresses());
        let receive_buffer = vec![0; config.limits.datagram_bytes_max.saturating_add(1)];
        let mut engine = Engine::new(config, policy, server.seed)?;
        let mut after = None;
        loop {
            let page = store.load(after, PAGE_RECORDS_MAX).await?;
            let Some(last) = page.last() else { break };
            after = Some(last.address);
            engine.load(clock.now(), page);
        }
        let sockets = server.sockets.into_iter();
        let sockets: io::Result<Vec<_>> = sockets
            .map(|(socket, port)| Ok((socket.start()?, port)))
            .collect();
        let RawSockets {
            sender,
            arp,
            ping,
            searches,
        } = server.raw;
        let mut driver = Self {
            search: begin_search(engine.config(), searches, &interfaces),
            engine,
            sockets: sockets?,
            sender: None,
            ping_unavailable: None,
            prober: Prober::new(None, None)?,
            interfaces,
            bell: None,
            list_at: None,
            configured_addresses,
            store,
            observer: server.observer,
            controls: server.controls,
            clock,
            waiting: VecDeque::new(),
            in_flight: None,
            in_flight_tickets: Vec::new(),
            withdrawals: Vec::new(),
            changes_interval: server.changes_interval,
            changes_at: TokioInstant::now(),
            changes: None,
            cursor: None,
            turn: 0,
            receive_buffer,
            send_buffer: Vec::new(),
        };
        driver.take_raw(sender, arp, ping)?;
        match bell {
            Ok(bell) => driver.bell = Some(bell),
            Err(error) => driver.changes_unseen(&error),
        }
        Ok(driver)
    }

    /// Takes over the sockets that there are, and tells of those that there are not.
    fn take_raw(
        &mut self,
        sender: io::Result<PacketSocket>,
        arp: io::Result<PacketSocket>,
        ping: io::Result<PingSocket>,
    ) -> io::Result<()> {
        let ping = match ping {
            Ok(ping) => Some(ping),
            Err(error) => {
                self.ping_unavailable = Some(error);
                None
            }
        };
        self.prober = Prober::new(arp.ok(), ping)?;
        match sender {
            Ok(sender) => self.sender = Some(sender),
            // Nobody misses it who listens to addresses alone: relays, and tests on loopback.
            Err(_)
                if self
                    .sockets
                    .iter()
                    .all(|(one, _)| one.interface().is_none()) => {}
            Err(error) => {
                let reason = error.to_string();
                (self.observer)(&Event::LinkLayerUnavailable { reason });
            }
        }
        Ok(())
    }

    pub(super) async fn run(mut self) -> Result<(), RunError> {
        let mut is_ending = false;
        // An interface may have been made anew since the sockets were bound.
        self.follow_interfaces();
        loop {
            self.drain();
            if is_ending && self.in_flight.is_none() {
                return Ok(());
            }
            match self.wake(is_ending).await {
                Wake::Readable(index) => self.receive(index?)?,
                Wake::Stored(results) => self.stored(results),
                // All handles are gone: the server goes on.
                Wake::Control(None) => {}
                Wake::Control(Some(control)) => is_ending |= self.control(control)?,
                Wake::Timeout => self.engine.handle_timeout(self.clock.now()),
                Wake::AskForChanges => self.ask_for_changes(),
                Wake::Changes(changes) => self.load_changes(changes),
                Wake::ProbesDue => {
                    // An answer that has come counts, however late it is looked at.
                    self.receive_probes();
                    self.advance_probes();
                }
                Wake::Bell(Ok(())) => {
                    let settled = TokioInstant::now() + SETTLE_TIME;
                    self.list_at.get_or_insert(settled);
                }
                Wake::Bell(Err(error)) => {
                    self.bell = None;
                    self.changes_unseen(&error);
                }
                Wake::List => self.list_interfaces(),
                Wake::Searched(searched) => self.searched(searched),
            }
        }
    }

    async fn wake(&mut self, is_ending: bool) -> Wake {
        let timeout = self.engine.poll_timeout().map(|at| self.clock.tokio(at));
        let (sockets, turn, prober) = (&self.sockets, self.turn, &self.prober);
        let (probes_due, list_at) = (prober.next_due(), self.list_at);
        // In turn, so that a flood at one of them keeps none of the others waiting. The last turn
        // is that of the probes.
        let readable = poll_fn(|context| {
            for offset in 0..=sockets.len() {
                let index = (turn + offset) % (sockets.len() + 1);
                let ready = match sockets.get(index) {
                    Some((socket, _)) => socket.poll_readable(context),
                    None if probes_due.is_some() => prober.poll_readable(context),
                    None => Poll::Pending,
                };
                if let Poll::Ready(ready) = ready {
                    return Poll::Ready(ready.map(|()| index));
                }
            }
            Poll::Pending
        });
        let asks_for_changes = self.changes_interval.is_some() && self.changes.is_none();
        ::tokio::select! {
            biased;
            results = when(self.in_flight.as_mut()), if self.in_flight.is_some() => {
                Wake::Stored(results)
            }
            control = self.controls.recv() => Wake::Control(control),
            changes = when(self.changes.as_mut()), if self.changes.is_some() && !is_ending => {
                Wake::Changes(changes)
            }
            () = sleep_until(self.changes_at), if asks_for_changes && !is_ending => {
                Wake::AskForChanges
            }
            () = at(timeout), if timeout.is_some() && !is_ending => Wake::Timeout,
            () = at(probes_due), if probes_due.is_some() && !is_ending => Wake::ProbesDue,
            rung = ring(self.bell.as_ref()), if self.bell.is_some() && !is_ending => {
                Wake::Bell(rung)
            }
            () = at(list_at), if list_at.is_some() && !is_ending => Wake::List,
            searched = when(self.search.as_mut()), if self.search.is_some() && !is_ending => {
                Wake::Searched(searched)
            }
            ready = readable, if !is_ending => Wake::Readable(ready),
        }
    }

    fn receive(&mut self, index: usize) -> Result<(), RunError> {
        self.turn = index + 1;
        let id = SocketId(u32::try_from(index).unwrap_or(u32::MAX));
        let Some((socket, port)) = self.sockets.get_mut(index) else {
            self.receive_probes();
            return Ok(());
        };
        for _ in 0..RECEIVE_BATCH_MAX {
            match socket.try_receive(id, &self.interfaces, &mut self.receive_buffer) {
                Ok((len, meta)) => {
                    let payload = self.receive_buffer.get(..len).unwrap_or_default();
                    let now = self.clock.now();
                    match port {
                        Port::Server => self.engine.handle_datagram(now, &meta, payload),
                        Port::Binl => self.engine.handle_binl_datagram(now, &meta, payload),
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                // An ICMP error for an earlier reply, an interface that is down, no memory: all pass.
                Err(error) if is_passing(&error) => break,
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Hands on all that the engine has to say.
    fn drain(&mut self) {
        while let Some(output) = self.engine.poll_output() {
            match output {
                Output::Commit {
                    ticket,
                    lease,
                    expected_version,
                } => {
                    self.waiting
                        .push_back((ticket, Commit::new(*lease, expected_version)));
                }
                Output::Probe {
                    ticket,
                    address,
                    interface,
                    client,
                } => {
                    let interface = interface.and_then(|index| self.interfaces.get(index));
                    self.probe(&Question {
                        ticket,
                        address,
                        interface: interface.cloned().as_ref(),
                        client,
                    });
                }
                Output::Event(event) => (self.observer)(&event),
            }
        }
        if self.in_flight.is_none() && !self.waiting.is_empty() {
            let (tickets, batch) = self.waiting.drain(..).unzip();
            self.in_flight_tickets = tickets;
            let store = Arc::clone(&self.store);
            self.in_flight = Some(Box::pin(async move { store.commit(batch).await }));
        }
        loop {
            self.send_buffer.clear();
            let now = self.clock.now();
            let buffer = &mut self.send_buffer;
            let Some(transmit) = self.engine.poll_transmit(now, BatchLimit::ONE, buffer) else {
                return;
            };
            let index = usize::try_from(transmit.socket.0).unwrap_or(usize::MAX);
            let Some((socket, _)) = self.sockets.get_mut(index) else {
                continue;
            };
            let (sender, interfaces) = (self.sender.as_ref(), &self.interfaces);
            let sent = socket.send(&transmit, &self.send_buffer, sender, interfaces);
            if let Err(failure) = sent {
                self.engine
                    .handle_send_failure(self.clock.now(), transmit.to, failure);
            }
        }
    }

    fn stored(&mut self, results: Vec<Result<(), CommitError>>) {
        self.in_flight = None;
        let now = self.clock.now();
        let mut results = results.into_iter();
        for ticket in std::mem::take(&mut self.in_flight_tickets) {
            let missing = || {
                Err(CommitError::Unavailable(
                    "the store gave no answer".to_owned(),
                ))
            };
            let result = results.next().unwrap_or_else(missing);
            let refusal = result.as_ref().err().map(ToString::to_string);
            self.engine.handle_committed(now, ticket, result);
            if let Some(index) = self.withdrawals.iter().position(|(one, _)| *one == ticket) {
                let (_, sender) = self.withdrawals.swap_remove(index);
                // Who asked may have gone.
                let _ = sender.send(refusal.map_or(Ok(()), |why| Err(WithdrawError::Refused(why))));
            }
        }
    }

    /// Does what a handle asks for; whether it was the end.
    fn control(&mut self, control: Control) -> Result<bool, RunError> {
        match control {
            Control::ShutDown => return Ok(true),
            Control::Reconfigure(config, policy) => {
                let mut config = *config;
                self.configured_addresses.clone_from(&config.own_addresses);
                config.own_addresses.extend(self.interfaces.addresses());
                let bytes = config.limits.datagram_bytes_max.saturating_add(1);
                self.receive_buffer.resize(bytes, 0);
                self.engine.reconfigure(self.clock.now(), config, policy)?;
            }
            Control::Leases(sender) => {
                let leases: Vec<LeaseRecord> = self.engine.leases().cloned().collect();
                // Who asked may have gone.
                let _ = sender.send(leases);
            }
            Control::Withdraw(address, sender) => {
                match self.engine.withdraw(self.clock.now(), address) {
                    Ok(ticket) => self.withdrawals.push((ticket, sender)),
                    Err(error) => {
                        let _ = sender.send(Err(error));
                    }
                }
            }
        }
        Ok(false)
    }

    fn probe(&mut self, question: &Question<'_>) {
        let config = self.engine.config();
        let (wait, probes_max) = (config.probe_time, config.limits.probes_max);
        let now = TokioInstant::now();
        let Err(reason) = self.prober.ask(now, question, wait, probes_max) else {
            return;
        };
        match reason {
            NoProbe::TooMany => {
                let limit = Limit::Probes;
                (self.observer)(&Event::LimitReached { limit });
            }
            NoProbe::Impossible if !question.address.is_loopback() => {
                if let Some(error) = self.ping_unavailable.take() {
                    let reason = error.to_string();
                    (self.observer)(&Event::PingUnavailable { reason });
                }
            }
            NoProbe::Impossible => {}
        }
        let now = self.clock.now();
        let ticket = question.ticket;
        self.engine.handle_probed(now, ticket, ProbeResult::Free);
    }

    fn receive_probes(&mut self) {
        let (now, engine) = (self.clock.now(), &mut self.engine);
        self.prober
            .receive(|ticket| engine.handle_probed(now, ticket, ProbeResult::InUse));
    }

    fn advance_probes(&mut self) {
        let (now, engine) = (self.clock.now(), &mut self.engine);
        let wait = engine.config().probe_time;
        self.prober.advance(TokioInstant::now(), wait, |ticket| {
            engine.handle_probed(now, ticket, ProbeResult::Free);
        });
    }

    fn ask_for_changes(&mut self) {
        let (store, cursor) = (Arc::clone(&self.store), self.cursor);
        self.changes = Some(Box::pin(async move {
            store.changes_since(cursor, PAGE_RECORDS_MAX).await
        }));
    }

    fn load_changes(&mut self, changes: Changes) {
        self.changes = None;
        match changes {
            Ok((records, cursor)) if !records.is_empty() => {
                self.cursor = Some(cursor);
                self.engine.load(self.clock.now(), records);
                return;
            }
            Ok((_, cursor)) => self.cursor = Some(cursor),
            Err(error) => {
                // A store that forgot the point is read from its beginning: what is known already
                // is passed over.
                if matches!(error, StoreError::Forgotten(_)) {
                    self.cursor = None;
                }
                (self.observer)(&Event::StoreUnreadable {
                    reason: error.to_string(),
                });
            }
        }
        let interval = self.changes_interval.unwrap_or(CHANGES_INTERVAL_MAX);
        self.changes_at = TokioInstant::now() + interval.min(CHANGES_INTERVAL_MAX);
    }
}

async fn ring(bell: Option<&Bell>) -> io::Result<()> {
    match bell {
        Some(bell) => bell.rung().await,
        None => std::future::pending().await,
    }
}

fn is_passing(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionRefused
            | io::ErrorKind::HostUnreachable
            | io::ErrorKind::NetworkUnreachable
            | io::ErrorKind::NetworkDown
            | io::ErrorKind::OutOfMemory
            | io::ErrorKind::Interrupted
    ) || error.raw_os_error() == Some(nix::libc::ENOBUFS)
}

/// When the call ends, if there is one; else never.
async fn when<T>(call: Option<&mut Pending<T>>) -> T {
    match call {
        Some(call) => call.await,
        None => std::future::pending().await,
    }
}

async fn at(timeout: Option<TokioInstant>) {
    match timeout {
        Some(timeout) => sleep_until(timeout).await,
        None => std::future::pending().await,
    }
}
