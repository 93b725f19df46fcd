//! What an engine asks of its driver, and what it is told in answer.

use std::net::{IpAddr, SocketAddr};

use pxe_core::{IfIndex, SocketId};

use crate::event::{Event, Filename, Peer, TransferId};
use crate::negotiate::{Mode, Requested};

/// What only the driver can do, and what it may want to know.
#[derive(Debug)]
#[non_exhaustive]
pub enum Output {
    /// A client asks for a file: answer with [`Engine::accept`](crate::Engine::accept) or [`Engine::refuse`](crate::Engine::refuse).
    Incoming(Incoming),
    /// A transfer needs a socket of its own: answer with [`Engine::handle_socket_opened`](crate::Engine::handle_socket_opened) or
    /// [`Engine::handle_socket_failed`](crate::Engine::handle_socket_failed).
    #[non_exhaustive]
    OpenSocket {
        /// For which transfer.
        transfer: TransferId,
        /// To be bound to this address, where one was asked; its family is the remote's.
        local_ip: Option<IpAddr>,
        /// The client.
        remote: SocketAddr,
        /// The interface that the request came in on; link-local addresses need it.
        interface: Option<IfIndex>,
    },
    /// A transfer's own socket is no longer needed; all that was to leave by it has been polled.
    #[non_exhaustive]
    CloseSocket {
        /// The socket.
        socket: SocketId,
    },
    /// A transfer needs data: answer with [`Engine::handle_data`](crate::Engine::handle_data) or
    /// [`Engine::handle_data_failure`](crate::Engine::handle_data_failure). Each transfer asks for one range at a time.
    #[non_exhaustive]
    Want {
        /// Which transfer.
        transfer: TransferId,
        /// Where the range begins, in bytes.
        offset: u64,
        /// How long it is, in bytes: 1 MiB or one chunk at most. In octet mode, it ends at a
        /// multiple of the whole blocks in [`Config::chunk_bytes`](crate::Config::chunk_bytes) or
        /// the end of the file, so that transfers ask for the same ranges; text is asked for in
        /// small pieces.
        len: usize,
    },
    /// A transfer is over: the driver can let go of its file. Its number comes not again.
    #[non_exhaustive]
    Release {
        /// Which transfer.
        transfer: TransferId,
    },
    /// Something an operator may want to know.
    Event(Event),
}

/// A read request that waits for its file. Answer it with [`Engine::accept`](crate::Engine::accept) or
/// [`Engine::refuse`](crate::Engine::refuse); a client whose request is not answered gets an ERROR after
/// [`Limits::accept_timeout`](crate::Limits::accept_timeout).
#[derive(Debug)]
#[must_use = "the client waits for `accept` or `refuse`"]
pub struct Incoming {
    pub(crate) transfer: TransferId,
    pub(crate) listener: SocketId,
    pub(crate) peer: Peer,
    pub(crate) filename: Filename,
    pub(crate) mode: Mode,
    pub(crate) options: Requested,
}

impl Incoming {
    /// The number of the transfer to be.
    pub const fn transfer(&self) -> TransferId {
        self.transfer
    }

    /// The socket that the request came in on.
    pub const fn socket(&self) -> SocketId {
        self.listener
    }

    /// Who asks whom.
    pub const fn peer(&self) -> &Peer {
        &self.peer
    }

    /// The name as sent.
    pub const fn filename(&self) -> &Filename {
        &self.filename
    }

    /// The mode that the client asks for.
    pub const fn mode(&self) -> Mode {
        self.mode
    }

    /// The known options that the client asks for.
    pub const fn options(&self) -> Requested {
        self.options
    }
}

/// What the engine has to know of a file, and of the path to the client, to send it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct FileInfo {
    /// The file's length, in bytes. The transfer ends there, and not before: a file that turns out
    /// shorter is an error.
    pub len: u64,
    /// The MTU of the interface towards the client, in bytes. Unknown, no block size is too large,
    /// and each block leaves by a call of its own.
    pub mtu: Option<u32>,
}

impl FileInfo {
    /// A file of `len` bytes, and an unknown MTU.
    pub const fn new(len: u64) -> Self {
        Self { len, mtu: None }
    }

    /// The same, with the MTU towards the client.
    #[must_use]
    pub const fn with_mtu(mut self, mtu: Option<u32>) -> Self {
        self.mtu = mtu;
        self
    }
}
