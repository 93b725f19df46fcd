//! A client's connection: calls in, replies out, in whatever order they are ready.

use std::future::Future;
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::io::{AsyncReadExt, Interest};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep};

use super::reply_queue::ReplyQueue;
use crate::record::Records;
use crate::{Limits, Reply};

/// Room for what is read at a time.
const READ_BYTES: usize = 16 * 1024;
/// Calls that are begun, and system calls that send, before other connections have their turn.
const WORK_PER_TURN: usize = 64;
/// Bytes that are sent before other connections have their turn.
const BYTES_PER_TURN: usize = 4 << 20;

/// An answer under way; `None`: the message is no call.
pub(super) type Answering = Pin<Box<dyn Future<Output = Option<Reply>> + Send>>;

/// Answers calls.
pub(super) trait Answer {
    fn answer(&self, message: Bytes) -> Answering;

    /// How much memory the answer may take, for a call that is not answered at once.
    fn room(&self, message: &[u8]) -> usize;

    /// How long a record may be now.
    fn record_bytes_max(&self) -> usize;
}

/// Why a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// The client closed it, the server stops, or the network failed.
    Closed,
    /// What came is no call.
    Malformed,
    /// The client said nothing for too long.
    Idle,
    /// The client took nothing for too long.
    SendStalled,
}

/// What was done on a connection.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Totals {
    pub(super) calls: u64,
    pub(super) bytes_sent: u64,
}

/// A call that could not be answered at once.
struct UnderWay {
    answer: Answering,
    room: usize,
}

impl Future for UnderWay {
    type Output = (Option<Reply>, usize);

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let room = self.room;
        self.answer.as_mut().poll(cx).map(|reply| (reply, room))
    }
}

/// A connection and all that is under way on it.
pub(super) struct Connection<A> {
    stream: TcpStream,
    answers: A,
    limits: Limits,
    records: Records,
    calls: FuturesUnordered<UnderWay>,
    /// What the answers of `calls` may take.
    room: usize,
    pub(super) replies: ReplyQueue,
    intake: Intake,
    pub(super) totals: Totals,
    timer: Timer,
}

/// Whether calls are still taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Intake {
    Open,
    /// No more comes; what came is answered.
    Ended,
    /// Nothing more is answered; what was answered is sent.
    Over(End),
}

impl<A: Answer> Connection<A> {
    pub(super) fn new(stream: TcpStream, answers: A, limits: Limits) -> Self {
        let records = Records::new(answers.record_bytes_max());
        Self {
            stream,
            answers,
            records,
            calls: FuturesUnordered::new(),
            room: 0,
            replies: ReplyQueue::default(),
            intake: Intake::Open,
            totals: Totals::default(),
            timer: Timer::new(limits.idle_max),
            limits,
        }
    }

    /// Takes no further calls: those that are under way are answered.
    pub(super) fn stop(&mut self) {
        if self.intake == Intake::Open {
            self.intake = Intake::Over(End::Closed);
        }
    }

    /// Ready once the connection is to be closed.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<End> {
        let mut turn = Turn {
            work_left: WORK_PER_TURN,
            bytes_left: BYTES_PER_TURN,
        };
        loop {
            self.take_answers(cx, &mut turn);
            let is_held_up = self.begin_calls(cx, &mut turn);
            if self.send(cx, &mut turn).is_err() {
                return Poll::Ready(End::Closed);
            }
            if turn.is_over() {
                // Others have their turn.
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            if let Some(end) = self.end() {
                return Poll::Ready(end);
            }
            if is_held_up && self.may_begin() {
                continue;
            }
            if !self.may_begin() || self.intake != Intake::Open {
                break;
            }
            match self.read(cx) {
                Poll::Ready(Ok(0)) => self.intake = Intake::Ended,
                Poll::Ready(Ok(_)) => self.timer.heard(),
                Poll::Ready(Err(_)) => return Poll::Ready(End::Closed),
                Poll::Pending => break,
            }
        }
        let waits_for = match (self.replies.is_empty(), self.calls.is_empty()) {
            (false, _) => WaitsFor::Sending(self.limits.send_stalled_max),
            (true, false) => WaitsFor::Ourselves,
            (true, true) => WaitsFor::Calls(self.limits.idle_max),
        };
        self.timer.poll(cx, waits_for)
    }

    /// Why the connection is to be closed, if nothing more is to be done on it.
    fn end(&self) -> Option<End> {
        let is_done = self.calls.is_empty() && self.replies.is_empty();
        match self.intake {
            Intake::Open => None,
            // What is left in the buffer is no whole record: a client that closes amid a call.
            Intake::Ended => is_done.then_some(End::Closed),
            Intake::Over(end) => is_done.then_some(end),
        }
    }

    /// Whether one more call can be taken: there is a place for it, and memory for its reply.
    fn may_begin(&self) -> bool {
        self.calls.len() + self.replies.files() < self.limits.calls_max.max(1)
            && self.replies.held() + self.room < self.limits.reply_bytes_max.max(1)
    }

    /// Takes what was answered meanwhile.
    fn take_answers(&mut self, cx: &mut Context<'_>, turn: &mut Turn) {
        while turn.work_left > 0
            && let Poll::Ready(Some((reply, room))) = self.calls.poll_next_unpin(cx)
        {
            turn.work_left -= 1;
            self.room -= room;
            self.take(reply);
        }
    }

    fn take(&mut self, reply: Option<Reply>) {
        match reply {
            Some(reply) => {
                self.totals.calls += 1;
                self.replies.push(reply);
            }
            None => self.intake = Intake::Over(End::Malformed),
        }
    }

    /// Begins the calls that came, and ends those that need not wait. Returns whether there may be
    /// more of them that have to wait for a place.
    fn begin_calls(&mut self, cx: &mut Context<'_>, turn: &mut Turn) -> bool {
        self.records
            .set_record_bytes_max(self.answers.record_bytes_max());
        while !matches!(self.intake, Intake::Over(_)) {
            if turn.work_left == 0 || !self.may_begin() {
                return true;
            }
            let message = match self.records.next() {
                Ok(Some(message)) => message,
                Ok(None) => break,
                Err(_) => {
                    self.intake = Intake::Over(End::Malformed);
                    break;
                }
            };
            turn.work_left -= 1;
            let mut answer = self.answers.answer(message.clone());
            match answer.as_mut().poll(cx) {
                Poll::Ready(reply) => self.take(reply),
                Poll::Pending => {
                    let room = self.answers.room(&message);
                    self.room += room;
                    self.calls.push(UnderWay { answer, room });
                    // So that it is polled with a waker of its own.
                    self.take_answers(cx, turn);
                }
            }
        }
        false
    }

    /// Sends what the socket takes.
    fn send(&mut self, cx: &mut Context<'_>, turn: &mut Turn) -> io::Result<()> {
        while !self.replies.is_empty() && !turn.is_over() {
            match self.stream.poll_write_ready(cx) {
                Poll::Ready(ready) => ready?,
                Poll::Pending => return Ok(()),
            }
            let (stream, replies) = (&self.stream, &mut self.replies);
            match stream.try_io(Interest::WRITABLE, || replies.send_once(stream)) {
                Ok(sent) => {
                    turn.work_left -= 1;
                    turn.bytes_left = turn.bytes_left.saturating_sub(sent);
                    self.totals.bytes_sent += sent as u64;
                    self.timer.sent();
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Reads once, if there is something.
    fn read(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let room = self
            .records
            .missing()
            .min(self.records.buffer.len().max(READ_BYTES));
        self.records.buffer.reserve(room.max(READ_BYTES));
        pin!(self.stream.read_buf(&mut self.records.buffer)).poll(cx)
    }
}

/// What may be done before other connections have their turn.
struct Turn {
    work_left: usize,
    bytes_left: usize,
}

impl Turn {
    const fn is_over(&self) -> bool {
        self.work_left == 0 || self.bytes_left == 0
    }
}

/// What a connection waits for, and how long.
#[derive(Debug, Clone, Copy)]
enum WaitsFor {
    /// The client to send a call.
    Calls(Duration),
    /// The client to take replies.
    Sending(Duration),
    /// Answers.
    Ourselves,
}

/// The times that a client is given.
///
/// It is set only when it has to ring earlier than it would, or has rung too early: so a busy
/// connection never touches the runtime's timers.
#[derive(Debug)]
struct Timer {
    sleep: Pin<Box<Sleep>>,
    last_active: Instant,
    /// Since when replies wait of which the client takes nothing.
    stalled_since: Option<Instant>,
}

impl Timer {
    fn new(first: Duration) -> Self {
        Self {
            sleep: Box::pin(tokio::time::sleep(first)),
            last_active: Instant::now(),
            stalled_since: None,
        }
    }

    fn heard(&mut self) {
        self.last_active = Instant::now();
    }

    fn sent(&mut self) {
        self.last_active = Instant::now();
        self.stalled_since = None;
    }

    /// Ready once the client has taken too long.
    fn poll(&mut self, cx: &mut Context<'_>, waits_for: WaitsFor) -> Poll<End> {
        let (since, patience, end) = match waits_for {
            WaitsFor::Ourselves => return Poll::Pending,
            WaitsFor::Calls(patience) => (self.last_active, patience, End::Idle),
            WaitsFor::Sending(patience) => {
                let since = *self.stalled_since.get_or_insert_with(Instant::now);
                (since, patience, End::SendStalled)
            }
        };
        // Beyond what the clock can say: never.
        let Some(deadline) = since.checked_add(patience) else {
            return Poll::Pending;
        };
        if deadline < self.sleep.deadline() {
            self.sleep.as_mut().reset(deadline);
        }
        while self.sleep.as_mut().poll(cx).is_ready() {
            if self.sleep.deadline() >= deadline {
                return Poll::Ready(end);
            }
            self.sleep.as_mut().reset(deadline);
        }
        Poll::Pending
    }
}
