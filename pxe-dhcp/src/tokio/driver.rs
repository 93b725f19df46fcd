//! The loop between sockets, clock, store and engine.

use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ::tokio::sync::{mpsc, oneshot};
use ::tokio::time::{Instant as TokioInstant, sleep_until};
use pxe_core::{BatchLimit, Instant, Now, SocketId, UnixTime};

use super::socket::{RunningSocket, own_addresses};
use super::{Control, Observer, RunError, Server};
use crate::{
    BootPolicy, Commit, CommitError, Config, Cursor, Engine, Event, LeaseRecord, LeaseStore,
    Output, ProbeResult, StoreError, Ticket, WithdrawError,
};

/// Datagrams of one socket that are read before the others, the store and the clock have a turn.
const RECEIVE_BATCH_MAX: usize = 64;
/// Records of one call to the store.
const PAGE_RECORDS_MAX: usize = 1024;

/// A call to the store that has not ended yet.
type Pending<T> = Pin<Box<dyn Future<Output = T> + Send>>;
/// What the store says about changes by other servers.
type Changes = Result<(Vec<LeaseRecord>, Cursor), StoreError>;

pub(super) struct Driver {
    engine: Engine,
    sockets: Vec<RunningSocket>,
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
    Socket(io::Result<usize>),
    Stored(Vec<Result<(), CommitError>>),
    Control(Option<Control>),
    Timeout,
    AskForChanges,
    Changes(Changes),
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
        let config = with_own_addresses(server.config)?;
        let receive_buffer = vec![0; config.limits.datagram_bytes_max.saturating_add(1)];
        let mut engine = Engine::new(config, policy, server.seed)?;
        let mut after = None;
        loop {
            let page = store.load(after, PAGE_RECORDS_MAX).await?;
            let Some(last) = page.last() else { break };
            after = Some(last.address);
            engine.load(clock.now(), page);
        }
        let sockets: io::Result<Vec<_>> = server
            .sockets
            .into_iter()
            .map(|socket| socket.start())
            .collect();
        Ok(Self {
            engine,
            sockets: sockets?,
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
        })
    }

    pub(super) async fn run(mut self) -> Result<(), RunError> {
        let mut is_ending = false;
        loop {
            self.drain().await;
            if is_ending && self.in_flight.is_none() {
                return Ok(());
            }
            match self.wake(is_ending).await {
                Wake::Socket(index) => self.receive(index?)?,
                Wake::Stored(results) => self.stored(results),
                // All handles are gone: the server goes on.
                Wake::Control(None) => {}
                Wake::Control(Some(control)) => is_ending |= self.control(control)?,
                Wake::Timeout => self.engine.handle_timeout(self.clock.now()),
                Wake::AskForChanges => self.ask_for_changes(),
                Wake::Changes(changes) => self.load_changes(changes),
            }
        }
    }

    async fn wake(&mut self, is_ending: bool) -> Wake {
        let timeout = self.engine.poll_timeout().map(|at| self.clock.tokio(at));
        let (sockets, turn) = (&self.sockets, self.turn);
        let readable = poll_fn(|context| {
            for offset in 0..sockets.len() {
                let index = (turn + offset) % sockets.len();
                if let Poll::Ready(ready) = sockets[index].socket().poll_recv_ready(context) {
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
            ready = readable, if !is_ending => Wake::Socket(ready),
        }
    }

    fn receive(&mut self, index: usize) -> Result<(), RunError> {
        self.turn = index + 1;
        let id = SocketId(u32::try_from(index).unwrap_or(u32::MAX));
        let Some(socket) = self.sockets.get_mut(index) else {
            return Ok(());
        };
        for _ in 0..RECEIVE_BATCH_MAX {
            match socket.try_receive(id, &mut self.receive_buffer) {
                Ok((len, meta)) => {
                    let payload = self.receive_buffer.get(..len).unwrap_or_default();
                    self.engine
                        .handle_datagram(self.clock.now(), &meta, payload);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                // An ICMP error for an earlier reply, or an interface that is down: both pass.
                Err(error) if is_passing(&error) => break,
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Hands on all that the engine has to say.
    async fn drain(&mut self) {
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
                Output::Probe { ticket, .. } => {
                    // This driver cannot probe.
                    self.engine
                        .handle_probed(self.clock.now(), ticket, ProbeResult::Free);
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
            let Some(socket) = self.sockets.get(index) else {
                continue;
            };
            if let Err(failure) = socket.send(&transmit, &self.send_buffer).await {
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
                // If they cannot be listed now, those that were listed before still hold.
                let known = self.engine.config().own_addresses.clone();
                let mut config = *config;
                config
                    .own_addresses
                    .extend(own_addresses().unwrap_or(known));
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
        let interval = self.changes_interval.unwrap_or(Duration::MAX);
        self.changes_at = TokioInstant::now() + interval;
    }
}

fn with_own_addresses(mut config: Config) -> io::Result<Config> {
    config.own_addresses.extend(own_addresses()?);
    Ok(config)
}

fn is_passing(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionRefused
            | io::ErrorKind::HostUnreachable
            | io::ErrorKind::NetworkUnreachable
            | io::ErrorKind::NetworkDown
            | io::ErrorKind::Interrupted
    )
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
