//! A client's connection: calls in, replies out, in whatever order they are ready.

use std::future::Future;
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::FuturesUnordered;
use futures_util::{Stream, StreamExt};
use rustix::net::RecvFlags;
use tokio::io::{AsyncReadExt, Interest};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep};

use super::memory::Memory;
use super::reply_queue::ReplyQueue;
use crate::record::{Records, TooLong};
use crate::{Limits, Reply};

/// What a call needs besides the data of a WRITE: headers, credentials of at most 400 bytes twice,
/// a handle, and two names or a path.
const CALL_BYTES_MAX: usize = 4096;
/// Room for what is read at a time.
const READ_BYTES: usize = 16 * 1024;
/// The same where a call is expected that is no WRITE.
const LOOK_BYTES: usize = 1024;
/// Calls that are begun, and system calls that send, before other connections have their turn.
const WORK_PER_TURN: usize = 64;
/// Bytes that are sent before other connections have their turn.
const BYTES_PER_TURN: usize = 4 << 20;

/// How long calls of a connection that is lost may go on, and take its place.
const FINISH_MAX: Duration = Duration::from_secs(60);

/// An answer under way; `None`: the message is no call.
pub(super) type Answering = Pin<Box<dyn Future<Output = Option<Reply>> + Send>>;

/// Answers calls.
pub(super) trait Answer {
    fn answer(&self, message: Bytes) -> Answering;

    /// How much memory the answer may take, for a call that is not answered at once.
    fn room(&self, message: &[u8]) -> usize;
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
    /// What `calls` and their answers may take.
    room: usize,
    memory: Memory,
    pub(super) replies: ReplyQueue,
    intake: Intake,
    pub(super) totals: Totals,
    timer: Timer,
    hurry: Hurry,
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
    pub(super) fn new(stream: TcpStream, answers: A, limits: Limits, memory: Memory) -> Self {
        // Also where nothing can be written to: a client whose export has become read-only is to be
        // told so, and would repeat for ever what closes its connection. What is not sent takes no
        // memory.
        let records = Records::new(limits.write_bytes_max as usize + CALL_BYTES_MAX);
        Self {
            stream,
            answers,
            records,
            calls: FuturesUnordered::new(),
            room: 0,
            memory,
            replies: ReplyQueue::default(),
            intake: Intake::Open,
            totals: Totals::default(),
            timer: Timer::new(limits.idle_max),
            hurry: Hurry::default(),
            limits,
        }
    }

    /// Takes no further calls: those that are under way are answered.
    pub(super) fn stop(&mut self) {
        if self.intake == Intake::Open {
            self.intake = Intake::Over(End::Closed);
        }
    }

    /// The calls that are under way when a connection has ended: to be [finished](finish).
    pub(super) fn take_calls(&mut self) -> impl Stream + Unpin + use<A> {
        std::mem::take(&mut self.calls)
    }

    /// Ready once the connection is to be closed.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<End> {
        let mut turn = Turn {
            work_left: WORK_PER_TURN,
            bytes_left: BYTES_PER_TURN,
            has_sent: false,
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
                Poll::Pending if turn.has_sent && self.replies.is_empty() && self.look_again() => {}
                Poll::Pending => break,
            }
        }
        if self.calls.is_empty() && self.records.buffer.is_empty() {
            self.records.shrink(READ_BYTES);
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
        let held = self.replies.held() + self.room;
        self.calls.len() + self.replies.files() < self.limits.calls_max.max(1)
            && held < self.limits.reply_bytes_max.max(1)
            && (held == 0 || self.memory.all() < self.limits.reply_bytes_of_all_max)
    }

    /// Tells the others what is held here.
    fn tell_memory(&mut self) {
        self.memory.set(self.replies.held() + self.room);
    }

    /// Takes what was answered meanwhile.
    fn take_answers(&mut self, cx: &mut Context<'_>, turn: &mut Turn) {
        while turn.work_left > 0
            && !self.calls.is_empty()
            && let Poll::Ready(Some((reply, room))) = self.calls.poll_next_unpin(cx)
        {
            turn.work_left -= 1;
            self.room -= room;
            self.take(reply);
            self.tell_memory();
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
        while !matches!(self.intake, Intake::Over(_)) {
            if turn.work_left == 0 || !self.may_begin() {
                return true;
            }
            let message = match self.records.next() {
                Ok(Some(message)) => message,
                Ok(None) => break,
                Err(TooLong) => {
                    self.intake = Intake::Over(End::Malformed);
                    break;
                }
            };
            turn.work_left -= 1;
            let mut answer = self.answers.answer(message.clone());
            match answer.as_mut().poll(cx) {
                Poll::Ready(reply) => {
                    self.take(reply);
                    self.tell_memory();
                }
                Poll::Pending => {
                    // The call is held until it is answered: a WRITE with its data.
                    let room = message.len() + self.answers.room(&message);
                    self.room += room;
                    self.calls.push(UnderWay { answer, room });
                    self.tell_memory();
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
                    turn.has_sent = true;
                    self.totals.bytes_sent += sent as u64;
                    self.tell_memory();
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

    /// Looks once whether the next call has come while the reply left, before the runtime is asked
    /// to wait for it. A client that does one call after the other, and many of them together,
    /// are answered with half the system calls then. What is not taken here is told by the
    /// runtime later: it has not been asked yet.
    fn look_again(&mut self) -> bool {
        if !self.hurry.is_worth_a_look() {
            return false;
        }
        let mut bytes = [0; LOOK_BYTES];
        let taken = rustix::net::recv(&self.stream, &mut bytes[..], RecvFlags::DONTWAIT);
        // Of ends and failures the runtime tells as well.
        let taken = taken.map_or(0, |(taken, _)| taken);
        let bytes = bytes.get(..taken).unwrap_or_default();
        self.records.buffer.extend_from_slice(bytes);
        self.hurry.looked(taken > 0);
        if taken > 0 {
            self.timer.heard();
        }
        taken > 0
    }
}

/// Does what calls of a connection began that is lost: a change must not stay half done, and a
/// future that is polled no more may hold what others wait for.
pub(super) async fn finish(mut calls: impl Stream + Unpin) {
    let all = async { while calls.next().await.is_some() {} };
    // Beyond that, nothing is known that would end it.
    let _ = tokio::time::timeout(FINISH_MAX, all).await;
}

/// Whether a client is quick enough to be looked at again after each reply.
#[derive(Debug, Default)]
struct Hurry {
    /// Replies that leave before the next look.
    wait: u8,
    /// How many there were before the last look; more each time that it was in vain.
    waited: u8,
}

impl Hurry {
    const WAIT_MAX: u8 = 63;

    fn is_worth_a_look(&mut self) -> bool {
        match self.wait.checked_sub(1) {
            Some(less) => {
                self.wait = less;
                false
            }
            None => true,
        }
    }

    fn looked(&mut self, has_found: bool) {
        self.waited = match has_found {
            true => 0,
            false => (self.waited * 2 + 1).min(Self::WAIT_MAX),
        };
        self.wait = self.waited;
    }
}

/// What may be done before other connections have their turn.
struct Turn {
    work_left: usize,
    bytes_left: usize,
    /// Whether something was sent that the client may have answered already.
    has_sent: bool,
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
    /// Whether something was heard or sent since `last_active`.
    is_active: bool,
    last_active: Instant,
    /// Since when replies wait of which the client takes nothing.
    stalled_since: Option<Instant>,
}

impl Timer {
    fn new(first: Duration) -> Self {
        Self {
            sleep: Box::pin(tokio::time::sleep(first)),
            is_active: false,
            last_active: Instant::now(),
            stalled_since: None,
        }
    }

    fn heard(&mut self) {
        self.is_active = true;
    }

    fn sent(&mut self) {
        self.is_active = true;
        self.stalled_since = None;
    }

    /// Ready once the client has taken too long.
    fn poll(&mut self, cx: &mut Context<'_>, waits_for: WaitsFor) -> Poll<End> {
        if std::mem::take(&mut self.is_active) {
            self.last_active = Instant::now();
        }
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

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::future::poll_fn;
    use std::io::{Seek, SeekFrom, Write as _};
    use std::num::NonZeroU64;
    use std::os::fd::AsFd;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::{Arc, Mutex};

    use pxe_tree::{Attributes, Blob, Direct, NodeId, NodeKind};
    use tokio::io::AsyncWriteExt;
    use tokio::net::TcpListener;
    use tokio::sync::oneshot;
    use tokio::task::JoinHandle;

    use super::*;
    use crate::Data;
    use crate::record::mark;

    const MIB: usize = 1 << 20;

    /// A message's first byte says how it is answered, at once by default; the answer begins with
    /// the whole message.
    #[derive(Clone, Default)]
    struct Stub {
        begun: Arc<AtomicUsize>,
        /// What calls wait for, in the order in which they come.
        waits: Arc<Mutex<VecDeque<oneshot::Receiver<()>>>>,
        file: Option<Arc<FileBlob>>,
        room: usize,
    }

    const MEBIBYTE: u8 = b'm';
    const FILE: u8 = b'f';
    const WAITS: u8 = b'w';
    const NEVER: u8 = b'n';
    const GARBAGE: u8 = b'g';

    impl Answer for Stub {
        fn answer(&self, message: Bytes) -> Answering {
            self.begun.fetch_add(1, Ordering::Relaxed);
            let data = match message[0] {
                MEBIBYTE => Data::Bytes(Bytes::from_static(&[0; MIB])),
                FILE => {
                    let blob = Arc::clone(self.file.as_ref().expect("a file"));
                    let (len, offset) = (blob.len - 1, 1);
                    Data::File { blob, offset, len }
                }
                _ => Data::None,
            };
            let head = message.to_vec();
            match message[0] {
                GARBAGE => Box::pin(std::future::ready(None)),
                NEVER => Box::pin(std::future::pending()),
                WAITS => {
                    let mut waits = self.waits.lock().expect("no panic");
                    let wait = waits.pop_front().expect("something to wait for");
                    Box::pin(async move {
                        wait.await.expect("a signal");
                        Some(Reply { head, data })
                    })
                }
                _ => Box::pin(std::future::ready(Some(Reply { head, data }))),
            }
        }

        fn room(&self, _message: &[u8]) -> usize {
            self.room
        }
    }

    #[derive(Debug)]
    struct FileBlob {
        file: std::fs::File,
        attributes: Attributes,
        len: u32,
    }

    impl FileBlob {
        /// A file of so many bytes that says to have `len`.
        fn new(content: &[u8], len: u32) -> Arc<Self> {
            let mut file = tempfile::tempfile().expect("a file");
            file.write_all(content).expect("to be written");
            file.seek(SeekFrom::Start(0)).expect("to be rewound");
            let node = NodeId::new(NonZeroU64::MIN);
            let attributes = Attributes::new(node, NodeKind::File, len.into());
            Arc::new(Self {
                file,
                attributes,
                len,
            })
        }
    }

    #[async_trait::async_trait]
    impl Blob for FileBlob {
        fn attributes(&self) -> &Attributes {
            &self.attributes
        }

        async fn read_at(&self, _offset: u64, _len: usize) -> pxe_tree::Result<Bytes> {
            unreachable!("it leaves by sendfile")
        }

        fn direct(&self, offset: u64, len: u64) -> Direct<'_> {
            let fd = self.file.as_fd();
            Direct::File { fd, offset, len }
        }
    }

    fn record(message: &[u8]) -> Vec<u8> {
        [&mark(message.len())[..], message].concat()
    }

    async fn connect(stub: Stub, limits: Limits) -> (TcpStream, Connection<Stub>) {
        connect_with(stub, limits, Memory::default()).await
    }

    async fn connect_with(
        stub: Stub,
        limits: Limits,
        memory: Memory,
    ) -> (TcpStream, Connection<Stub>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let client = TcpStream::connect(address).await.expect("a connection");
        let (stream, _) = listener.accept().await.expect("a connection");
        let connection = Connection::new(stream, stub, limits, memory);
        (client, connection)
    }

    /// Serves in a task of its own; tells how it ended.
    fn serve(mut connection: Connection<Stub>) -> JoinHandle<(End, Connection<Stub>)> {
        tokio::spawn(async move {
            let end = poll_fn(|cx| connection.poll(cx)).await;
            (end, connection)
        })
    }

    async fn reply(client: &mut TcpStream) -> Vec<u8> {
        let mark = client.read_u32().await.expect("a mark");
        let mut reply = vec![0; (mark & !(1 << 31)) as usize];
        client.read_exact(&mut reply).await.expect("a reply");
        reply
    }

    async fn rest(client: &mut TcpStream) -> Vec<u8> {
        let mut rest = Vec::new();
        // A reset is an end too.
        let _ = client.read_to_end(&mut rest).await;
        rest
    }

    #[tokio::test]
    async fn answers_leave_in_the_order_in_which_they_are_ready() {
        let stub = Stub::default();
        let (first, wait_first) = oneshot::channel();
        let (second, wait_second) = oneshot::channel();
        stub.waits
            .lock()
            .expect("no panic")
            .extend([wait_first, wait_second]);
        let (mut client, connection) = connect(stub, Limits::default()).await;
        let task = serve(connection);
        let calls = [&b"w1"[..], b"w2", b"s3"].map(record).concat();
        client.write_all(&calls).await.expect("to be taken");
        assert_eq!(reply(&mut client).await, b"s3");
        second.send(()).expect("waited for");
        assert_eq!(reply(&mut client).await, b"w2");
        first.send(()).expect("waited for");
        assert_eq!(reply(&mut client).await, b"w1");
        drop(client);
        let (end, connection) = task.await.expect("no panic");
        assert_eq!(end, End::Closed);
        let bytes_sent = 3 * (4 + 2);
        let totals = Totals {
            calls: 3,
            bytes_sent,
        };
        assert_eq!(connection.totals, totals);
    }

    /// 10 GiB of replies to somebody who takes a hundredth of them.
    #[tokio::test]
    async fn a_slow_reader_that_pipelines_10000_reads_costs_bounded_memory() {
        let stub = Stub::default();
        let limits = Limits::default();
        let (mut client, connection) = connect(stub.clone(), limits.clone()).await;
        let task = serve(connection);
        let call = record(&[MEBIBYTE; 100]);
        let (mut from, mut to) = client.split();
        let calls = call.repeat(10_000);
        let write = async { to.write_all(&calls).await.expect("calls wait") };
        let read = async {
            let mut reply = vec![0; 4 + 100 + MIB];
            for _ in 0..100 {
                from.read_exact(&mut reply).await.expect("a reply");
                assert_eq!(reply[4..104], [MEBIBYTE; 100]);
            }
        };
        tokio::select! {
            // All calls may fit into the sockets' buffers.
            () = async { tokio::join!(write, std::future::pending::<()>()); } => unreachable!(),
            () = read => {}
        }
        drop(client);
        let (_, connection) = task.await.expect("no panic");
        let peak = connection.replies.held_peak();
        let begun = stub.begun.load(Ordering::Relaxed);
        println!("10000 READs of 1 MiB, 100 taken: {begun} begun, at most {peak} bytes held");
        assert!(peak > MIB, "replies did wait");
        assert!(peak <= limits.reply_bytes_max + MIB + 4 * 1024);
        assert!(begun < 200, "{begun} were begun for 100 that were taken");
    }

    #[tokio::test]
    async fn file_data_that_waits_holds_no_memory_and_few_files() {
        let stub = Stub {
            file: Some(FileBlob::new(&vec![7; MIB], MIB as u32)),
            ..Stub::default()
        };
        let limits = Limits::default();
        let (mut client, mut connection) = connect(stub.clone(), limits.clone()).await;
        let calls = record(&[FILE; 100]).repeat(200);
        client.write_all(&calls).await.expect("to be taken");
        // Until it can do no more.
        while let Poll::Pending = poll_once(&mut connection).await
            && connection.replies.files() < limits.calls_max
        {}
        let held = connection.replies.held();
        println!("64 READs of a file wait: {held} bytes held");
        assert!(held <= limits.calls_max * 112);
        let begun = stub.begun.load(Ordering::Relaxed);
        let task = serve(connection);
        let content = [vec![FILE; 100], vec![7; MIB - 1], vec![0]].concat();
        for _ in 0..200 {
            assert!(
                reply(&mut client).await == content,
                "head, data and padding"
            );
        }
        assert!(begun < 200, "{begun}");
        drop(client);
        assert_eq!(task.await.expect("no panic").0, End::Closed);
    }

    async fn poll_once(connection: &mut Connection<Stub>) -> Poll<End> {
        tokio::task::yield_now().await;
        poll_fn(|cx| Poll::Ready(connection.poll(cx))).await
    }

    #[tokio::test]
    async fn answers_that_are_awaited_count_as_memory() {
        let stub = Stub {
            room: MIB,
            ..Stub::default()
        };
        let (mut client, connection) = connect(stub.clone(), Limits::default()).await;
        let calls = record(&[NEVER; 100]).repeat(100);
        client.write_all(&calls).await.expect("to be taken");
        client.shutdown().await.expect("to be ended");
        let mut task = serve(connection);
        for _ in 0..1000 {
            tokio::task::yield_now().await;
        }
        assert!(!task.is_finished());
        assert_eq!(stub.begun.load(Ordering::Relaxed), 4);
        task.abort();
        assert!((&mut task).await.is_err());
    }

    #[tokio::test]
    async fn calls_that_are_not_answered_yet_count_as_memory() {
        let stub = Stub::default();
        let (client, connection) = connect(stub.clone(), Limits::default()).await;
        let task = serve(connection);
        let (mut from, mut to) = client.into_split();
        let calls = record(&[NEVER; MIB]).repeat(8);
        let writing = tokio::spawn(async move { to.write_all(&calls).await });
        while stub.begun.load(Ordering::Relaxed) < 4 {
            tokio::task::yield_now().await;
        }
        for _ in 0..1000 {
            tokio::task::yield_now().await;
        }
        assert_eq!(stub.begun.load(Ordering::Relaxed), 4);
        task.abort();
        writing.abort();
        assert!(from.read_u8().await.is_err());
    }

    /// Beyond what all may hold, each has one call at a time answered: none waits for another.
    #[tokio::test]
    async fn all_connections_together_hold_a_bounded_amount() {
        let limits = Limits {
            reply_bytes_of_all_max: 2 * MIB,
            ..Limits::default()
        };
        let memory = Memory::default();
        let stub = Stub {
            room: MIB,
            ..Stub::default()
        };
        let mut tasks = Vec::new();
        let mut clients = Vec::new();
        let calls = [record(&[NEVER; 100]), record(&[NEVER; 100])].concat();
        // Two of the first, and one of each of the others.
        for begun in 2..=5 {
            let another = memory.another();
            let (mut client, connection) =
                connect_with(stub.clone(), limits.clone(), another).await;
            client.write_all(&calls).await.expect("to be taken");
            tasks.push(serve(connection));
            clients.push(client);
            while stub.begun.load(Ordering::Relaxed) < begun {
                tokio::task::yield_now().await;
            }
            for _ in 0..200 {
                tokio::task::yield_now().await;
            }
            assert_eq!(stub.begun.load(Ordering::Relaxed), begun);
        }
        assert_eq!(memory.all(), 5 * MIB);
        for task in tasks {
            task.abort();
            assert!(task.await.is_err());
        }
        assert_eq!(memory.all(), 0);
    }

    #[tokio::test]
    async fn a_connection_goes_on_although_others_hold_all_memory() {
        let limits = Limits::default();
        let mut others = Memory::default();
        others.set(limits.reply_bytes_of_all_max);
        let memory = others.another();
        let (mut client, connection) = connect_with(Stub::default(), limits, memory).await;
        let task = serve(connection);
        let calls = record(&[MEBIBYTE; 100]).repeat(10);
        client.write_all(&calls).await.expect("to be taken");
        for _ in 0..10 {
            assert_eq!(reply(&mut client).await.len(), 100 + MIB);
        }
        drop(client);
        let (end, connection) = task.await.expect("no panic");
        assert_eq!(end, End::Closed);
        let peak = connection.replies.held_peak();
        assert!(peak < 2 * MIB, "{peak} bytes: more than one reply");
    }

    #[tokio::test]
    async fn a_file_that_was_cut_off_closes_the_connection() {
        let stub = Stub {
            file: Some(FileBlob::new(&[7; 1000], 2000)),
            ..Stub::default()
        };
        let (mut client, connection) = connect(stub, Limits::default()).await;
        let task = serve(connection);
        client.write_all(&record(b"f")).await.expect("to be taken");
        assert_eq!(task.await.expect("no panic").0, End::Closed);
        let rest = rest(&mut client).await;
        assert_eq!(rest.len(), 4 + 1 + 999, "what there is of a reply of 2000");
    }

    #[tokio::test]
    async fn garbage_ends_a_connection_after_earlier_replies() {
        for garbage in [&record(b"g")[..], &0x8010_1001_u32.to_be_bytes()] {
            let (mut client, connection) = connect(Stub::default(), Limits::default()).await;
            let task = serve(connection);
            let calls = [&record(b"s1"), garbage, &record(b"s2")].concat();
            client.write_all(&calls).await.expect("to be taken");
            assert_eq!(reply(&mut client).await, b"s1");
            assert_eq!(task.await.expect("no panic").0, End::Malformed);
            assert_eq!(rest(&mut client).await, b"");
        }
    }

    #[tokio::test]
    async fn a_stop_lets_answers_under_way_leave_and_takes_no_further_call() {
        let stub = Stub::default();
        let (signal, wait) = oneshot::channel();
        stub.waits.lock().expect("no panic").push_back(wait);
        let (mut client, mut connection) = connect(stub.clone(), Limits::default()).await;
        client.write_all(&record(b"w")).await.expect("to be taken");
        while stub.begun.load(Ordering::Relaxed) == 0 {
            assert!(poll_once(&mut connection).await.is_pending());
        }
        connection.stop();
        client.write_all(&record(b"s")).await.expect("to be taken");
        assert!(poll_once(&mut connection).await.is_pending());
        signal.send(()).expect("waited for");
        let task = serve(connection);
        assert_eq!(reply(&mut client).await, b"w");
        assert_eq!(task.await.expect("no panic").0, End::Closed);
        assert_eq!(stub.begun.load(Ordering::Relaxed), 1);
    }

    #[tokio::test]
    async fn other_connections_have_their_turn() {
        let stub = Stub::default();
        let (mut client, mut connection) = connect(stub.clone(), Limits::default()).await;
        let calls = record(b"s").repeat(1000);
        client.write_all(&calls).await.expect("to be taken");
        let mut turns = 0;
        while stub.begun.load(Ordering::Relaxed) < 1000 {
            let before = stub.begun.load(Ordering::Relaxed);
            assert!(poll_once(&mut connection).await.is_pending());
            let begun = stub.begun.load(Ordering::Relaxed) - before;
            assert!(begun <= WORK_PER_TURN, "{begun} in one turn");
            turns += 1;
        }
        assert!(turns >= 1000 / WORK_PER_TURN);
    }

    /// In virtual time, which goes on by itself when nothing else can happen.
    #[tokio::test(start_paused = true)]
    async fn a_silent_connection_is_closed() {
        let limits = Limits::default();
        let (_client, connection) = connect(Stub::default(), limits.clone()).await;
        let begin = Instant::now();
        let (end, _) = serve(connection).await.expect("no panic");
        assert_eq!((end, begin.elapsed()), (End::Idle, limits.idle_max));
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_stops_to_take_is_not_waited_for() {
        let limits = Limits::default();
        let (mut client, connection) = connect(Stub::default(), limits.clone()).await;
        let calls = record(&[MEBIBYTE]).repeat(100);
        client.write_all(&calls).await.expect("to be taken");
        let begin = Instant::now();
        let (end, _) = serve(connection).await.expect("no panic");
        let expected = (End::SendStalled, limits.send_stalled_max);
        assert_eq!((end, begin.elapsed()), expected);
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_may_take_its_time() {
        let limits = Limits::default();
        let (mut client, connection) = connect(Stub::default(), limits.clone()).await;
        client.write_all(&record(b"n")).await.expect("to be taken");
        let mut task = serve(connection);
        let long = tokio::time::timeout(10 * limits.idle_max, &mut task).await;
        assert!(long.is_err(), "it is we who are slow");
    }
}
