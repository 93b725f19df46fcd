//! A plain connection of the server's own: requests in, responses out, one after the other.

use std::future::poll_fn;
use std::io;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use http::StatusCode;
use pxe_tree::ErrorKind;
use rustix::net::RecvFlags;
use tokio::io::{AsyncWriteExt, Interest};
use tokio::net::TcpStream;
use tokio::time::Instant;

use super::admission::Place;
use super::answer::{Found, civil_time};
use super::head::Refusal;
use super::known_head::KnownHead;
use super::listener::Admitted;
use super::outgoing::{Outgoing, Sent};
use super::patience::Patience;
use super::peer::Peer;
use super::rate::{Credit, TooMany};
use super::response::refusal;
use super::scratch::{COPIED_BYTES_MAX, with_scratch};
use super::seat::SLOW_BYTES;
use crate::Limits;
use crate::event::{Event, Limit, Malformed, ResponseEnd};

/// Bytes that are received at a time.
const RECEIVED_BYTES: usize = 16 * 1024;
/// Bytes that are sent before other connections have their turn.
const TURN_BYTES: usize = 2 << 20;
/// How long, and how much, a client may go on to send after its last response: closed at once, it
/// would perhaps not read that response, since a reset discards what it has not read yet
/// (RFC 9112 section 9.6).
pub(super) const LINGER: Duration = Duration::from_secs(2);
pub(super) const LINGER_BYTES: usize = 256 * 1024;

/// Why a connection ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// Nothing is left to be said.
    Closed,
    /// Everything was said, but the client may still be speaking.
    Lingers,
    Limited(Limit),
}

/// A connection and its client's requests.
struct Connection {
    stream: TcpStream,
    peer: Peer,
    admitted: Admitted,
    /// What came and was not answered yet: the beginning of a head, or requests that the client
    /// sent without waiting. At most one head and what is received at a time.
    inbox: Vec<u8>,
    /// Since when the client is waited for: its next request, or the rest of it. `None`: it was not
    /// waited for yet.
    since: Option<Instant>,
    /// Whether it is looked at once for the client's next request: after a short response it is
    /// often there before that response is done with. After a long one it is not, and a server
    /// that rests gives a client on the same processor the time to take all of it at once.
    looks_again: bool,
    /// Bytes that were sent in this turn.
    turn_bytes: usize,
    patience: Patience,
    credit: Credit,
}

/// Serves a connection to its end.
pub(super) async fn serve(stream: TcpStream, admitted: Admitted) {
    let idle = admitted.place.admission.limits.idle_timeout;
    let mut connection = Connection {
        stream,
        peer: admitted.peer(),
        admitted,
        inbox: Vec::new(),
        since: None,
        looks_again: true,
        turn_bytes: 0,
        patience: Patience::new(idle),
        credit: Credit::default(),
    };
    match connection.run().await {
        End::Closed => {}
        End::Lingers => linger(&mut connection.stream).await,
        End::Limited(limit) => connection.admitted.tell_limit(limit),
    }
}

/// Closes the sending side, and waits a while for the client to do the same.
pub(super) async fn linger(stream: &mut TcpStream) {
    if stream.shutdown().await.is_err() {
        return;
    }
    let mut left = LINGER_BYTES;
    let drained = poll_fn(|cx| {
        while let Some(more) = left.checked_sub(1) {
            left = more;
            let count = ready!(poll_receive(stream, cx, true, <[u8]>::len));
            match count {
                Ok(0) | Err(_) => break,
                Ok(count) => left = left.saturating_sub(count),
            }
        }
        Poll::Ready(())
    });
    // Whichever comes first.
    let _ = tokio::time::timeout(LINGER, drained).await;
}

/// Receives once, into the thread's memory; no bytes are the end of what the client sends.
///
/// `looks_again` takes the socket for readable until it is found empty. Else it is taken for empty
/// too if it held less than there was room for: epoll tells of what comes after that (epoll(7)).
fn poll_receive<T>(
    stream: &TcpStream,
    cx: &mut Context<'_>,
    looks_again: bool,
    take: impl FnOnce(&[u8]) -> T,
) -> Poll<io::Result<T>> {
    with_scratch(|scratch| {
        let (room, _) = scratch.split_at_mut(RECEIVED_BYTES.min(scratch.len()));
        loop {
            ready!(stream.poll_read_ready(cx))?;
            let mut received = None;
            let tried = stream.try_io(Interest::READABLE, || {
                let (count, _) = rustix::net::recv(stream, &mut *room, RecvFlags::DONTWAIT)?;
                received = Some(count);
                match looks_again || count == room.len() {
                    true => Ok(()),
                    false => Err(io::ErrorKind::WouldBlock.into()),
                }
            });
            if let Some(count) = received {
                return Poll::Ready(Ok(take(room.get(..count).unwrap_or_default())));
            }
            if let Err(error) = tried {
                match error.kind() {
                    io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted => {}
                    _ => return Poll::Ready(Err(error)),
                }
            }
        }
    })
}

/// What reading came to.
enum Next {
    Head(Arc<KnownHead>),
    Refused(Refusal),
    End(End),
}

/// What one look at the socket came to.
enum Received {
    Head(Arc<KnownHead>),
    /// Bytes, but no whole head.
    Part,
    Nothing,
}

impl Connection {
    async fn run(&mut self) -> End {
        loop {
            let head = match self.head().await {
                Ok(head) => head,
                Err(end) => return end,
            };
            let (client, rates) = (self.peer.remote.ip(), &self.admitted.place.admission.rates);
            if let Err(TooMany(wait)) = rates.take(&mut self.credit, client) {
                self.refuse_rate(&head, wait).await;
                return End::Lingers;
            }
            match self.respond(&head).await {
                Ok(true) => self.since = None,
                // What a client sends on is content, or requests that nobody answers.
                Ok(false) if head.request().has_content() || self.has_unanswered() => {
                    return End::Lingers;
                }
                Ok(false) => return End::Closed,
                Err(end) => return end,
            }
        }
    }

    /// Whether the client has sent more than was answered.
    fn has_unanswered(&self) -> bool {
        let flags = RecvFlags::PEEK | RecvFlags::DONTWAIT;
        !self.inbox.is_empty()
            || rustix::net::recv(&self.stream, &mut [0], flags).is_ok_and(|(_, len)| len > 0)
    }

    fn limits(&self) -> &Limits {
        &self.admitted.place.admission.limits
    }

    /// The next request's head.
    async fn head(&mut self) -> Result<Arc<KnownHead>, End> {
        let next = match self.inbox.is_empty() {
            true => {
                // An idle connection holds no memory.
                self.inbox = Vec::new();
                poll_fn(|cx| self.poll_head(cx)).await
            }
            false => match self.take_head() {
                Ok(None) => poll_fn(|cx| self.poll_head(cx)).await,
                Ok(Some(head)) => Next::Head(head),
                Err(refusal) => Next::Refused(refusal),
            },
        };
        match next {
            Next::Head(head) => Ok(head),
            Next::End(end) => Err(end),
            Next::Refused(refusal) => {
                self.refuse(refusal).await;
                Err(End::Lingers)
            }
        }
    }

    fn head_bytes_max(&self) -> usize {
        self.limits().head_bytes_max.max(Limits::HEAD_BYTES_LEAST)
    }

    /// Takes a head off the bytes that are here.
    fn take_head(&mut self) -> Result<Option<Arc<KnownHead>>, Refusal> {
        let head_bytes_max = self.head_bytes_max();
        take_head(&mut self.inbox, head_bytes_max)
    }

    fn poll_head(&mut self, cx: &mut Context<'_>) -> Poll<Next> {
        let head_bytes_max = self.head_bytes_max();
        loop {
            let Self { stream, inbox, .. } = self;
            let is_first = inbox.is_empty();
            let received = poll_receive(stream, cx, self.looks_again, |bytes| {
                if bytes.is_empty() {
                    return Ok(Received::Nothing);
                }
                if inbox.is_empty() {
                    // As it nearly always is: the whole request at once.
                    let parsed = KnownHead::read(bytes, head_bytes_max)?;
                    let len = parsed.as_ref().map_or(0, |(_, len)| *len);
                    inbox.extend_from_slice(bytes.get(len..).unwrap_or_default());
                    return Ok(parsed.map_or(Received::Part, |(head, _)| Received::Head(head)));
                }
                inbox.extend_from_slice(bytes);
                // Only the end of a line can be the end of a head, so that one that comes in drips
                // is not read anew for each.
                if !bytes.contains(&b'\n') && inbox.len() < head_bytes_max {
                    return Ok(Received::Part);
                }
                let head = take_head(inbox, head_bytes_max)?;
                Ok(head.map_or(Received::Part, Received::Head))
            });
            match received {
                Poll::Ready(Ok(Ok(Received::Head(head)))) => {
                    return Poll::Ready(Next::Head(head));
                }
                Poll::Ready(Ok(Ok(Received::Part))) if is_first => self.since = None,
                Poll::Ready(Ok(Ok(Received::Part))) => {}
                Poll::Ready(Ok(Ok(Received::Nothing)) | Err(_)) => {
                    return Poll::Ready(Next::End(End::Closed));
                }
                Poll::Ready(Ok(Err(refusal))) => return Poll::Ready(Next::Refused(refusal)),
                Poll::Pending => break,
            }
        }
        let Place {
            seat, admission, ..
        } = &self.admitted.place;
        self.turn_bytes = 0;
        let since = *self.since.get_or_insert_with(Instant::now);
        if seat.poll_leave(cx, since).is_ready() {
            return Poll::Ready(Next::End(End::Closed));
        }
        let (duration, limit) = match self.inbox.is_empty() {
            true => (admission.limits.idle_timeout, Limit::IdleTime),
            false => (admission.limits.head_timeout, Limit::HeadTime),
        };
        let expired = self.patience.poll(cx, since, duration);
        expired.map(|()| Next::End(End::Limited(limit)))
    }

    /// Answers a request. Returns whether more can come.
    async fn respond(&mut self, head: &KnownHead) -> Result<bool, End> {
        let Self {
            stream,
            peer,
            admitted,
            patience,
            turn_bytes,
            looks_again,
            ..
        } = self;
        let (place, files) = (&admitted.place, &admitted.files);
        let limits = &place.admission.limits;
        place.seat.begin();
        let request = head.request();
        let asked = files.ask_known(*peer, head);
        let find = files.find(*peer, &request, &asked);
        let found = match patience.bound(limits.source_timeout, find).await {
            Some(found) => found,
            None => {
                admitted.tell_limit(Limit::SourceTime);
                Found::Failed(ErrorKind::Busy)
            }
        };
        let is_last = place.seat.is_leaving();
        let mut outgoing = files.respond(head, asked, found, civil_time(), is_last);
        *looks_again = outgoing.body_len() <= COPIED_BYTES_MAX as u64;
        let broken = match send(stream, &mut outgoing, patience, turn_bytes, place).await {
            Ok(()) => {
                let keeps_alive = outgoing.keeps_alive();
                outgoing.report.tell(ResponseEnd::Complete);
                return Ok(keeps_alive);
            }
            Err(broken) => broken,
        };
        let (response_end, end) = match broken {
            Broken::Disconnected => (ResponseEnd::Disconnected, End::Closed),
            Broken::File(kind) => (ResponseEnd::FileFailed(kind), End::Closed),
            Broken::Stalled => (ResponseEnd::Disconnected, End::Limited(Limit::StallTime)),
            Broken::SourceHangs => (
                ResponseEnd::FileFailed(ErrorKind::Busy),
                End::Limited(Limit::SourceTime),
            ),
        };
        outgoing.report.tell(response_end);
        Err(end)
    }

    /// Answers what is no request, or too long.
    async fn refuse(&mut self, refused: Refusal) {
        let (status, cause) = match refused {
            Refusal::Malformed(cause) => (StatusCode::BAD_REQUEST, cause),
            Refusal::TooLong => (
                StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
                "the request's head is too long",
            ),
            Refusal::TargetTooLong => (StatusCode::URI_TOO_LONG, "the request line is too long"),
        };
        self.say(&refusal(None, status, cause, None)).await;
        match refused {
            Refusal::Malformed(cause) => self.admitted.files.observer.tell(|| {
                Event::Malformed(Malformed {
                    remote: self.admitted.remote,
                    local: self.admitted.local,
                    cause: cause.to_owned(),
                })
            }),
            Refusal::TooLong | Refusal::TargetTooLong => {
                self.admitted.tell_limit(Limit::HeadBytes);
            }
        }
    }

    async fn refuse_rate(&mut self, head: &KnownHead, wait: Duration) {
        let seconds = wait.as_secs().saturating_add(1);
        let cause = "too many requests from your address";
        let status = StatusCode::TOO_MANY_REQUESTS;
        self.say(&refusal(Some(head.method()), status, cause, Some(seconds)))
            .await;
        self.admitted.tell_limit(Limit::RequestRate);
    }

    /// Sends the last bytes of a connection, as far as they are taken.
    async fn say(&mut self, bytes: &[u8]) {
        let stall_timeout = self.limits().stall_timeout;
        let written = self.stream.write_all(bytes);
        let _ = self.patience.bound(stall_timeout, written).await;
    }
}

/// Takes a head off the bytes.
fn take_head(
    inbox: &mut Vec<u8>,
    head_bytes_max: usize,
) -> Result<Option<Arc<KnownHead>>, Refusal> {
    let Some((head, len)) = KnownHead::read(inbox, head_bytes_max)? else {
        return Ok(None);
    };
    inbox.drain(..len);
    Ok(Some(head))
}

/// Why a response could not be sent to its end.
enum Broken {
    Disconnected,
    Stalled,
    File(ErrorKind),
    SourceHangs,
}

/// Sends a response to its end.
async fn send(
    stream: &TcpStream,
    outgoing: &mut Outgoing,
    patience: &mut Patience,
    turn_bytes: &mut usize,
    place: &Place,
) -> Result<(), Broken> {
    let limits = &place.admission.limits;
    let mut pace = Pace::default();
    while !outgoing.is_empty() {
        let sent =
            poll_fn(|cx| poll_send(stream, outgoing, patience, &mut pace, place, cx)).await?;
        match sent {
            Sent::Bytes(count) => {
                pace.made(count, place);
                *turn_bytes += count;
                if *turn_bytes >= TURN_BYTES {
                    *turn_bytes = 0;
                    tokio::task::yield_now().await;
                }
            }
            Sent::Absent(range) => {
                let fetched = patience.bound(limits.source_timeout, outgoing.fetch(&range));
                match fetched.await {
                    Some(Ok(bytes)) => outgoing.fetched(bytes),
                    Some(Err(error)) => return Err(Broken::File(error.kind())),
                    None => return Err(Broken::SourceHangs),
                }
                pace.begin_anew(place);
            }
            Sent::Failed(kind) => return Err(Broken::File(kind)),
        }
    }
    pace.begin_anew(place);
    Ok(())
}

/// How a client takes a response: enough to be waited for at all, and enough to keep its place.
#[derive(Debug, Default)]
struct Pace {
    stall: Progress,
    slow: Progress,
}

impl Pace {
    fn made(&mut self, count: usize, place: &Place) {
        let limits = &place.admission.limits;
        self.stall.made(count, limits.taken_bytes_least);
        let was_slow = self.slow.since.is_some();
        if self.slow.made(count, SLOW_BYTES) && was_slow {
            place.seat.took();
        }
    }

    /// Something else was waited for, or is now.
    fn begin_anew(&mut self, place: &Place) {
        if self.slow.since.is_some() {
            place.seat.took();
        }
        *self = Self::default();
    }
}

/// What a client took of late.
#[derive(Debug, Default)]
struct Progress {
    bytes: usize,
    /// Since when it has taken no more than that; `None`: nothing waited for it yet.
    since: Option<Instant>,
}

impl Progress {
    /// Returns whether that was enough.
    fn made(&mut self, count: usize, least: usize) -> bool {
        self.bytes = self.bytes.saturating_add(count);
        let is_enough = self.bytes >= least;
        if is_enough {
            *self = Self::default();
        }
        is_enough
    }

    fn since(&mut self) -> Instant {
        *self.since.get_or_insert_with(Instant::now)
    }
}

fn poll_send(
    stream: &TcpStream,
    outgoing: &mut Outgoing,
    patience: &mut Patience,
    pace: &mut Pace,
    place: &Place,
    cx: &mut Context<'_>,
) -> Poll<Result<Sent, Broken>> {
    while let Poll::Ready(is_ready) = stream.poll_write_ready(cx) {
        if is_ready.is_err() {
            return Poll::Ready(Err(Broken::Disconnected));
        }
        match stream.try_io(Interest::WRITABLE, || outgoing.send_once(stream)) {
            Ok(sent) => return Poll::Ready(Ok(sent)),
            Err(error) => match error.kind() {
                io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted => {}
                _ => return Poll::Ready(Err(Broken::Disconnected)),
            },
        }
    }
    if place
        .seat
        .poll_make_room(cx, pace.slow.since())
        .is_pending()
    {
        let stall_timeout = place.admission.limits.stall_timeout;
        ready!(patience.poll(cx, pace.stall.since(), stall_timeout));
    }
    // The operating system tells of room only when a third of its buffer is free, which may be
    // megabytes: a slow client has perhaps taken something nevertheless.
    Poll::Ready(match outgoing.send_once(stream) {
        Ok(sent) => Ok(sent),
        Err(_) => Err(Broken::Stalled),
    })
}
