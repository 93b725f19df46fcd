//! What a server tells its operator.

use crate::Peer;

/// Something that happened; faults of peers are told here and nowhere else.
///
/// Given by reference to the function of [`ServiceBuilder::on_event`](crate::ServiceBuilder::on_event),
/// which runs where calls are answered: it should be quick and must not block.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Event {
    /// A directory was mounted.
    Mounted(Mounted),
    /// A directory was unmounted, as its client says.
    Unmounted(Mounted),
    /// A client reads a file, for the first time since it mounted something.
    FirstRead(Peer),
    /// A client was refused.
    Refused(Refused),
    /// A connection has ended.
    Disconnected(Disconnected),
    /// A peer sent what is no call; its connection was closed.
    Malformed(Peer),
    /// A bound of [`Limits`](crate::Limits) was reached.
    Limited(Limited),
    /// A connection could not be accepted; the server tries again.
    AcceptFailed(String),
    /// A call could not be done, and that was not the client's fault (an error of the medium, a
    /// panic of a tree).
    Failed(Failed),
}

/// A directory and who mounted it.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Mounted {
    /// The client.
    pub peer: Peer,
    /// The path as it was asked for, at most 1,024 bytes.
    pub path: Vec<u8>,
}

/// A client that was refused.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Refused {
    /// The client.
    pub peer: Peer,
    /// The path that it wanted to mount; `None` if it had a handle already.
    pub path: Option<Vec<u8>>,
    /// Why.
    pub reason: Refusal,
}

/// Why a client was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Refusal {
    /// Nothing of that name is exported to anybody.
    NoSuchExport,
    /// The export is not for this address.
    Address,
    /// The export wants calls from ports below 1024 (`secure`).
    Port,
    /// What admits clients does not admit this one.
    NotAdmitted,
    /// There is no such directory below the export.
    NotFound,
    /// The path is no directory.
    NotADirectory,
    /// A file handle was not made by this server, or with another key.
    ForgedHandle,
}

/// A connection that has ended.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Disconnected {
    /// The client.
    pub peer: Peer,
    /// How many calls were answered.
    pub calls: u64,
    /// How many bytes of replies were sent.
    pub bytes_sent: u64,
}

/// A bound that was reached.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Limited {
    /// The client, if one alone reached it.
    pub peer: Option<Peer>,
    /// The bound, by its name in [`Limits`](crate::Limits).
    pub limit: &'static str,
}

/// A call that failed.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Failed {
    /// The client.
    pub peer: Peer,
    /// The procedure's name, in the words of RFC 1813.
    pub procedure: &'static str,
    /// What went wrong, with what the operating system says.
    pub error: String,
}
