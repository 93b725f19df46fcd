//! What a server tells its operator.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::{Method, StatusCode, Version};
use pxe_tree::{ErrorKind, Protocol, TreePath};

/// Something that happened; faults of peers are told here and nowhere else.
///
/// Given by reference to the function of `Server::on_event`, which runs on the server's own tasks:
/// it should be quick and must not block.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Event {
    /// A request's head was read.
    Request(Arc<Requested>),
    /// The response to a request has ended, well or badly.
    Response(Responded),
    /// A bound of [`Limits`](crate::Limits) was reached.
    Limited(Limited),
    /// A peer sent what is no HTTP request; its connection was closed.
    Malformed(Malformed),
    /// A connection that should have become one over TLS did not, and was closed.
    HandshakeFailed(HandshakeFailed),
    /// A connection could not be accepted; the server tries again.
    AcceptFailed(AcceptFailed),
}

/// A request.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Requested {
    /// When its head was read.
    pub at: Instant,
    /// Who asked.
    pub remote: SocketAddr,
    /// At which of our addresses.
    pub local: Option<SocketAddr>,
    /// In clear or over TLS.
    pub protocol: Protocol,
    /// What it said. Requests of equal heads may share it.
    pub head: Arc<RequestedHead>,
}

/// What the head of a request said, as far as it is told of.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RequestedHead {
    /// The method.
    pub method: Method,
    /// The version of the request line.
    pub version: Version,
    /// The target as it came, except that of an absolute form hyper's service has only the path and
    /// the query: at most as long as a request's head may be.
    pub target: String,
    /// The path that was looked for; `None` if the request was rejected before.
    pub path: Option<TreePath>,
    /// The `Range` field.
    pub range: Option<String>,
    /// The `User-Agent` field.
    pub user_agent: Option<String>,
    /// The boot interface's MAC address, out of lpxelinux's cookie: see [`bootif`](crate::bootif).
    pub bootif: Option<[u8; 6]>,
}

/// How a response went.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Responded {
    /// What was asked.
    pub request: Arc<Requested>,
    /// The status code that was sent.
    pub status: StatusCode,
    /// How many bytes of body were to be sent; 0 for HEAD.
    pub bytes_expected: u64,
    /// How many bytes of body were handed to the connection. If the response was aborted, up to
    /// one chunk of these may not have left.
    pub bytes_sent: u64,
    /// From [`Requested::at`] to the end of the response.
    pub duration: Duration,
    /// Whether it ended well.
    pub end: ResponseEnd,
}

/// How a response ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ResponseEnd {
    /// Everything was handed to the operating system.
    Complete,
    /// The client went away or took nothing for too long, or the server was stopped.
    Disconnected,
    /// The file could not be read to its end, or was changed meanwhile: the connection was closed
    /// short, so that the client does not take it for complete.
    FileFailed(ErrorKind),
}

/// A bound that was reached.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Limited {
    /// Which bound.
    pub limit: Limit,
    /// Whose connection it concerns; `None` for [`Limit::Connections`], and for a sum over clients
    /// of whom there are too many to be told apart.
    pub remote: Option<SocketAddr>,
    /// At which of our addresses.
    pub local: SocketAddr,
    /// How often. A client that is refused something ([`Limit::is_refusal`]) is told of at once, and
    /// what it is refused after that as a sum every 10 s and at the end: then this is more than 1,
    /// perhaps, and `remote` and `local` are those of the last time.
    pub count: u64,
}

/// The bounds of [`Limits`](crate::Limits), by what happens at them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Limit {
    /// `connections_max`: the listener waits until a connection ends. Told once per wait.
    Connections,
    /// `connections_per_client_max`: the connection was answered 503 and closed; one for TLS was
    /// closed without a word.
    ConnectionsPerClient,
    /// `requests_per_client_per_second`: the request was answered 429 and its connection closed.
    RequestRate,
    /// `handshakes_per_client_per_second`: the handshake had to wait, or the connection was closed
    /// since it would have had to wait for longer than `handshake_timeout`.
    HandshakeRate,
    /// `head_bytes_max`, or 100 header fields: the request was answered 431, or 414 if the request
    /// line alone is too long, and its connection closed.
    HeadBytes,
    /// `handshake_timeout`: the connection was closed.
    HandshakeTime,
    /// `head_timeout`: the connection was closed.
    HeadTime,
    /// `idle_timeout`: the connection was closed, which is normal.
    IdleTime,
    /// `stall_timeout`, or `slow_timeout` where others waited for its place: the connection was
    /// closed.
    StallTime,
    /// `source_timeout`: the request was answered 503, or its connection closed if the response
    /// had begun.
    SourceTime,
}

impl Limit {
    /// Whether a client reaches it by a packet or two each time, so that such events are summed up.
    pub const fn is_refusal(self) -> bool {
        matches!(
            self,
            Self::ConnectionsPerClient | Self::RequestRate | Self::HandshakeRate
        )
    }
}

/// What a peer sent instead of a request.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Malformed {
    /// Who.
    pub remote: SocketAddr,
    /// At which of our addresses.
    pub local: SocketAddr,
    /// What was wrong with it.
    pub cause: String,
}

/// A handshake of TLS that failed.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct HandshakeFailed {
    /// With whom.
    pub remote: SocketAddr,
    /// At which of our addresses.
    pub local: SocketAddr,
    /// What stood in the way, as far as the client said it.
    pub cause: String,
}

/// A connection that could not be accepted.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct AcceptFailed {
    /// The listener's address.
    pub local: SocketAddr,
    /// The operating system's reason; out of file descriptors, for example.
    pub error: Arc<std::io::Error>,
}
