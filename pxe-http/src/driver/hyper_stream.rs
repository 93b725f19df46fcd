//! A connection's socket as hyper wants it, with the times that a peer is given.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use hyper::rt::ReadBufCursor;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

use super::connection::{LINGER, LINGER_BYTES};
use super::flow::{Flow, Phase};
use super::seat::{SLOW_BYTES, Seat};
use crate::Limits;
use crate::event::Limit;

/// A stream that can be given bytes though the operating system has not told of room for them.
pub(super) trait Push {
    /// Sends what waits to be sent, as far as it is taken now.
    fn push(&mut self) -> Pushed;
}

/// What came of it.
#[derive(Debug, Default)]
pub(super) struct Pushed {
    pub(super) bytes: usize,
    /// Nothing is left that waits to be sent.
    pub(super) is_all: bool,
}

/// How long a peer may take for what.
#[derive(Debug, Clone, Copy)]
pub(super) struct Timeouts {
    head: Duration,
    idle: Duration,
    stall: Duration,
    /// Bytes that have to be taken within `stall`.
    taken_bytes_least: usize,
}

impl From<&Limits> for Timeouts {
    fn from(limits: &Limits) -> Self {
        Self {
            head: limits.head_timeout,
            idle: limits.idle_timeout,
            stall: limits.stall_timeout,
            taken_bytes_least: limits.taken_bytes_least,
        }
    }
}

/// A byte stream between hyper and a client.
///
/// The times are kept here and not by hyper's own timer, since it has one for heads and for idle
/// connections together, and none for clients that read nothing.
#[derive(Debug)]
pub(super) struct HyperStream<S> {
    stream: S,
    flow: Arc<Flow>,
    timeouts: Timeouts,
    sleep: Pin<Box<Sleep>>,
    /// What `sleep` runs for.
    armed: Option<Limit>,
    /// By which the connection may be asked to make room.
    seat: Option<Arc<Seat>>,
    /// Since when the client is waited for: its next request, or the rest of it.
    waits_since: Option<Instant>,
    /// What the client took of late, and since when it has taken no more; `None`: nothing waited for
    /// it yet.
    taken_bytes: usize,
    slow_since: Option<Instant>,
    closing: Closing,
}

/// How far the end of a connection has come.
#[derive(Debug, Clone, Copy)]
enum Closing {
    /// Not all is sent.
    Not,
    /// The sending side is closed; perhaps the client is still speaking.
    Sent,
    /// It was, and may do so for a while: so many bytes are still taken.
    Lingers(usize),
}

impl<S: AsyncRead + AsyncWrite + Push + Unpin> HyperStream<S> {
    pub(super) fn new(stream: S, flow: Arc<Flow>, timeouts: Timeouts) -> Self {
        Self {
            stream,
            flow,
            timeouts,
            sleep: Box::pin(tokio::time::sleep(timeouts.idle)),
            armed: None,
            seat: None,
            waits_since: None,
            taken_bytes: 0,
            slow_since: None,
            closing: Closing::Not,
        }
    }

    /// The same, at a seat which it leaves while it waits for its client.
    pub(super) fn with_seat(mut self, seat: Arc<Seat>) -> Self {
        self.seat = Some(seat);
        self
    }

    /// Says that the client is waited for. Ready if the connection is to leave.
    fn poll_leave(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let since = *self.waits_since.get_or_insert_with(Instant::now);
        match &self.seat {
            Some(seat) => seat.poll_leave(cx, since).map(drop),
            None => Poll::Pending,
        }
    }

    /// Ready once the time for this is over; the time begins at the first call after a disarming,
    /// or after calls for something else.
    fn poll_expired(&mut self, cx: &mut Context<'_>, limit: Limit) -> Poll<()> {
        if self.armed != Some(limit) {
            let duration = match limit {
                Limit::HeadTime => self.timeouts.head,
                Limit::StallTime => self.timeouts.stall,
                _ => self.timeouts.idle,
            };
            // A duration beyond what the clock can say means never; the stream's own waker is
            // registered by whoever calls.
            let Some(deadline) = Instant::now().checked_add(duration) else {
                return Poll::Pending;
            };
            self.sleep.as_mut().reset(deadline);
            self.armed = Some(limit);
        }
        ready!(self.sleep.as_mut().poll(cx));
        self.armed = None;
        if limit == Limit::StallTime {
            let pushed = self.stream.push();
            if pushed.bytes > 0
                && (pushed.is_all || pushed.bytes >= self.timeouts.taken_bytes_least)
            {
                self.pushed(cx, pushed.bytes);
                return Poll::Pending;
            }
        }
        self.flow.break_limit(limit);
        Poll::Ready(())
    }

    /// Notes what the client has taken, of which the operating system did not tell: it tells of room
    /// only when a third of its buffer is free, which may be megabytes.
    fn pushed(&mut self, cx: &Context<'_>, bytes: usize) {
        self.disarm(Limit::StallTime);
        self.taken_bytes = self.taken_bytes.saturating_add(bytes);
        if self.taken_bytes >= SLOW_BYTES {
            self.is_not_slow();
        }
        // There is room to write again, of which nobody else tells.
        cx.waker().wake_by_ref();
    }

    fn disarm(&mut self, limit: Limit) {
        if self.armed == Some(limit) {
            self.armed = None;
        }
    }

    /// The outcome of a write, or the end of patience.
    fn stalls<T>(
        &mut self,
        cx: &mut Context<'_>,
        written: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.disarm(Limit::StallTime);
            return written;
        }
        let since = *self.slow_since.get_or_insert_with(Instant::now);
        let seat = self.seat.as_ref();
        if seat.is_some_and(|seat| seat.poll_make_room(cx, since).is_ready()) {
            let pushed = self.stream.push();
            let taken = self.taken_bytes.saturating_add(pushed.bytes);
            if pushed.bytes > 0 && (pushed.is_all || taken >= SLOW_BYTES) {
                self.pushed(cx, pushed.bytes);
                return Poll::Pending;
            }
            self.flow.break_limit(Limit::StallTime);
        } else {
            ready!(self.poll_expired(cx, Limit::StallTime));
        }
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }

    /// Notes what was taken, by the client or by what encrypts for it.
    fn took(&mut self, written: &Poll<io::Result<usize>>) {
        if let Poll::Ready(Ok(count)) = written {
            self.taken_bytes = self.taken_bytes.saturating_add(*count);
            if self.taken_bytes >= SLOW_BYTES {
                self.is_not_slow();
            }
        }
    }

    fn is_not_slow(&mut self) {
        self.taken_bytes = 0;
        if self.slow_since.take().is_some()
            && let Some(seat) = &self.seat
        {
            seat.took();
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Push + Unpin> hyper::rt::Read for HyperStream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut buf: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        // Requests are short, so a copy costs less than it takes to write unsafe code well.
        let mut bytes = [0; 4096];
        let len = bytes.len().min(buf.remaining());
        let mut read = ReadBuf::new(&mut bytes[..len]);
        if let Poll::Ready(result) = Pin::new(&mut self.stream).poll_read(cx, &mut read) {
            if result.is_ok() && !read.filled().is_empty() {
                buf.put_slice(read.filled());
                if self.flow.received() {
                    self.disarm(Limit::IdleTime);
                    self.waits_since = None;
                }
                if let Some(seat) = &self.seat {
                    seat.begin();
                }
            }
            return Poll::Ready(result);
        }
        let phase = self.flow.phase();
        if phase != Phase::Responding && self.poll_leave(cx).is_ready() {
            // As if the client had closed: hyper then closes without a word.
            return Poll::Ready(Ok(()));
        }
        match phase {
            Phase::Idle => {
                ready!(self.poll_expired(cx, Limit::IdleTime));
                // As if the client had closed: hyper then closes without a word.
                Poll::Ready(Ok(()))
            }
            Phase::Head => {
                ready!(self.poll_expired(cx, Limit::HeadTime));
                Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
            }
            Phase::Responding => Poll::Pending,
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Push + Unpin> hyper::rt::Write for HyperStream<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.took(&written);
        self.stalls(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.took(&written);
        self.stalls(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    /// hyper calls this when its own buffer is empty, so everything so far is out then. A stream
    /// over TLS has a buffer of its own, and waits here.
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(cx);
        ready!(self.stalls(cx, flushed))?;
        // Nothing waits for the client now.
        self.is_not_slow();
        if self.flow.flushed() {
            self.armed = None;
            self.waits_since = None;
        }
        Poll::Ready(Ok(()))
    }

    /// What is unread when a socket is closed makes its client lose the end of what was sent, so
    /// that it is read first.
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if matches!(self.closing, Closing::Not) {
            let shut_down = Pin::new(&mut self.stream).poll_shutdown(cx);
            ready!(self.stalls(cx, shut_down))?;
            self.closing = Closing::Sent;
        }
        let mut bytes = [0; 4096];
        loop {
            let mut read = ReadBuf::new(&mut bytes);
            let received = Pin::new(&mut self.stream).poll_read(cx, &mut read);
            let left = match (self.closing, received) {
                (Closing::Lingers(left), Poll::Pending) => {
                    ready!(self.sleep.as_mut().poll(cx));
                    left
                }
                (Closing::Lingers(left), Poll::Ready(Ok(()))) => left,
                (Closing::Not | Closing::Sent, Poll::Ready(Ok(()))) => {
                    self.sleep.as_mut().reset(Instant::now() + LINGER);
                    LINGER_BYTES
                }
                _ => return Poll::Ready(Ok(())),
            };
            // The client has closed, too, or it is time.
            match left.checked_sub(read.filled().len()) {
                Some(left) if !read.filled().is_empty() => self.closing = Closing::Lingers(left),
                _ => return Poll::Ready(Ok(())),
            }
        }
    }
}

/// In virtual time, which goes on by itself when nothing else can happen.
#[cfg(test)]
mod tests {
    use std::num::NonZeroU64;

    use bytes::Bytes;
    use pxe_tree::{Attributes, Blob, FileRequest, NodeId, NodeKind, Opened, source_fn};
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
    use tokio::task::JoinHandle;
    use tokio::time::{sleep, timeout};

    use super::super::hyper_connection::http1_builder;
    use super::super::{peer::Peer, service::FileService};
    use super::*;

    impl Push for DuplexStream {
        fn push(&mut self) -> Pushed {
            Pushed::default()
        }
    }

    /// A stream that takes bytes of which its client takes some every second, and that tells of room
    /// never: as the operating system does while less than a third of its buffer is free.
    #[derive(Debug)]
    struct Reticent {
        pushed: usize,
        begin: Instant,
        bytes_per_second: usize,
    }

    impl Push for Reticent {
        fn push(&mut self) -> Pushed {
            let seconds = self.begin.elapsed().as_secs();
            let taken = usize::try_from(seconds).expect("few") * self.bytes_per_second;
            Pushed {
                bytes: taken - std::mem::replace(&mut self.pushed, taken),
                is_all: false,
            }
        }
    }

    impl AsyncRead for Reticent {
        fn poll_read(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
            _: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            Poll::Pending
        }
    }

    impl AsyncWrite for Reticent {
        fn poll_write(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
            _: &[u8],
        ) -> Poll<io::Result<usize>> {
            Poll::Pending
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Pending
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Pending
        }
    }

    /// Whether a client that takes so much is waited for, for ten times as long as may be.
    async fn is_waited_for(bytes_per_second: usize, seat: Option<Arc<Seat>>) -> bool {
        let limits = Limits::default();
        let stream = Reticent {
            pushed: 0,
            begin: Instant::now(),
            bytes_per_second,
        };
        let flow = Arc::new(Flow::default());
        let mut socket = HyperStream::new(stream, Arc::clone(&flow), Timeouts::from(&limits));
        if let Some(seat) = &seat {
            socket = socket.with_seat(Arc::clone(seat));
        }
        let write = std::future::poll_fn(|cx| {
            hyper::rt::Write::poll_write(Pin::new(&mut socket), cx, b"content")
        });
        let ask = async {
            while let Some(seat) = &seat {
                sleep(limits.slow_timeout).await;
                seat.ask(crate::driver::seat::Leave::MakeRoom);
            }
            std::future::pending::<()>().await;
        };
        tokio::select! {
            written = timeout(limits.stall_timeout * 10, write) => written.is_err(),
            () = ask => false,
        }
    }

    /// As it is on a plain connection.
    #[tokio::test(start_paused = true)]
    async fn a_client_is_waited_for_that_takes_less_than_the_system_tells_of() {
        let limits = Limits::default();
        let seconds = usize::try_from(limits.stall_timeout.as_secs()).expect("few");
        let least = limits.taken_bytes_least.div_ceil(seconds);
        assert!(is_waited_for(least, None).await);
        assert!(!is_waited_for(least / 2, None).await);
        assert!(!is_waited_for(0, None).await);
        // And where others wait for its place.
        let seconds = usize::try_from(limits.slow_timeout.as_secs()).expect("few");
        let least = SLOW_BYTES.div_ceil(seconds);
        assert!(is_waited_for(least, Some(Arc::default())).await);
        assert!(!is_waited_for(least / 2, Some(Arc::default())).await);
    }

    const FILE_LEN: usize = 100_000;
    const SECOND: Duration = Duration::from_secs(1);

    /// A file of which each chunk takes a second.
    #[derive(Debug)]
    struct SlowBlob(Attributes);

    #[async_trait::async_trait]
    impl Blob for SlowBlob {
        fn attributes(&self) -> &Attributes {
            &self.0
        }

        async fn read_at(&self, _offset: u64, len: usize) -> pxe_tree::Result<Bytes> {
            sleep(SECOND).await;
            Ok(vec![7; len].into())
        }
    }

    struct Served {
        client: DuplexStream,
        flow: Arc<Flow>,
        task: JoinHandle<()>,
    }

    /// A connection, served from a file, that holds so many bytes in either direction.
    fn serve(capacity: usize) -> Served {
        let limits = Limits::default();
        let node = NodeId::new(NonZeroU64::MIN);
        let attributes = Attributes::new(node, NodeKind::File, FILE_LEN as u64);
        let blob = Arc::new(SlowBlob(attributes));
        let source = source_fn(move |_: &FileRequest<'_>| Ok(Opened::File(blob.clone())));
        let (client, stream) = tokio::io::duplex(capacity);
        let flow = Arc::new(Flow::default());
        let service = FileService::new(Arc::new(source))
            .for_peer(Peer::new("10.0.0.7:49153".parse().expect("an address")))
            .with_flow(Arc::clone(&flow));
        let socket = HyperStream::new(stream, Arc::clone(&flow), Timeouts::from(&limits));
        let connection = http1_builder(&limits).serve_connection(socket, service);
        let task = tokio::spawn(async move {
            let _ = connection.await;
        });
        Served { client, flow, task }
    }

    impl Served {
        /// The limit at which the connection ends, and after which time.
        async fn end(self) -> (Option<Limit>, Duration) {
            let begin = Instant::now();
            timeout(Duration::from_secs(3600), self.task)
                .await
                .expect("an end within an hour")
                .expect("no panic");
            (self.flow.broken_limit(), begin.elapsed())
        }

        async fn take(&mut self, len: usize) {
            let mut bytes = vec![0; len];
            self.client.read_exact(&mut bytes).await.expect("bytes");
        }

        async fn head(&mut self) {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(self.client.read_u8().await.expect("a head"));
            }
        }
    }

    const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";

    #[tokio::test(start_paused = true)]
    async fn a_client_that_stops_to_take_is_not_waited_for() {
        let mut served = serve(64);
        served.client.write_all(GET).await.expect("room");
        served.head().await;
        served.take(FILE_LEN - 1000).await;
        let stall = Limits::default().stall_timeout;
        assert_eq!(served.end().await, (Some(Limit::StallTime), stall));
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_takes_little_at_a_time_is_waited_for() {
        let mut served = serve(64);
        served.client.write_all(GET).await.expect("room");
        served.head().await;
        let mut left = FILE_LEN;
        while left > 0 {
            sleep(Limits::default().stall_timeout - SECOND).await;
            let len = left.min(5000);
            served.take(len).await;
            left -= len;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_head_in_drips_is_not_waited_for() {
        let mut served = serve(64);
        let begin = Instant::now();
        while served.client.write_all(b"G").await.is_ok() {
            sleep(SECOND).await;
        }
        assert_eq!(served.flow.broken_limit(), Some(Limit::HeadTime));
        let head = Limits::default().head_timeout;
        assert!((head..=head + SECOND).contains(&begin.elapsed()));
    }

    #[tokio::test(start_paused = true)]
    async fn idle_time_begins_anew_after_each_response() {
        let mut served = serve(64);
        let idle = Limits::default().idle_timeout;
        for _ in 0..3 {
            sleep(idle - SECOND).await;
            served.client.write_all(GET).await.expect("room");
            served.head().await;
            served.take(FILE_LEN).await;
        }
        assert_eq!(served.end().await, (Some(Limit::IdleTime), idle));
    }
}
