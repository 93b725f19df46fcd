//! Asks a server, by UDP and by TCP.

use std::fmt;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::time::Duration;

use super::message::{Response, flag, type_name};
use super::name::Name;

/// For how long an answer is waited.
const PATIENCE: Duration = Duration::from_secs(4);

/// How a question is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Manner {
    pub(super) by_tcp: bool,
    /// Bits of the header.
    pub(super) flags: u16,
    pub(super) class: u16,
    pub(super) edns: Option<Edns>,
}

/// The OPT record of a query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Edns {
    pub(super) udp_len_max: u16,
    pub(super) version: u8,
    /// `0x8000` is DO.
    pub(super) flags: u16,
    /// The options in wire form.
    pub(super) options: Vec<u8>,
}

impl Edns {
    pub(super) fn of_len(udp_len_max: u16) -> Self {
        Self {
            udp_len_max,
            version: 0,
            flags: 0,
            options: Vec::new(),
        }
    }
}

/// A question, and how it is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Query {
    pub(super) name: Name,
    pub(super) kind: u16,
    pub(super) manner: Manner,
}

impl Query {
    /// A question as stub resolvers of old ask it: by UDP, without EDNS.
    pub(super) fn plain(name: Name, kind: u16) -> Self {
        let manner = Manner {
            by_tcp: false,
            flags: 0,
            class: 1,
            edns: None,
        };
        Self { name, kind, manner }
    }

    pub(super) fn message(&self, id: u16) -> Vec<u8> {
        let manner = &self.manner;
        let mut message = Vec::new();
        let additional = u16::from(manner.edns.is_some());
        for word in [id, manner.flags, 1, 0, 0, additional] {
            message.extend(word.to_be_bytes());
        }
        self.name.write(&mut message);
        message.extend(self.kind.to_be_bytes());
        message.extend(manner.class.to_be_bytes());
        if let Some(edns) = &manner.edns {
            message.extend([0, 0, 41]);
            message.extend(edns.udp_len_max.to_be_bytes());
            message.extend([0, edns.version]);
            message.extend(edns.flags.to_be_bytes());
            message.extend((edns.options.len() as u16).to_be_bytes());
            message.extend(&edns.options);
        }
        message
    }
}

impl fmt::Display for Query {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let manner = &self.manner;
        write!(f, "{} {}", self.name, type_name(self.kind))?;
        match manner.class {
            1 => {}
            3 => f.write_str(" CH")?,
            class => write!(f, " CLASS{class}")?,
        }
        if manner.by_tcp {
            f.write_str(" +tcp")?;
        }
        for (bit, name) in [(flag::RD, "rd"), (flag::AD, "ad"), (flag::CD, "cd")] {
            if manner.flags & bit != 0 {
                write!(f, " +{name}")?;
            }
        }
        if let Some(edns) = &manner.edns {
            write!(f, " edns {} v{}", edns.udp_len_max, edns.version)?;
            if edns.flags != 0 {
                write!(f, " flags {:#x}", edns.flags)?;
            }
            if !edns.options.is_empty() {
                write!(f, " options {:?}", edns.options)?;
            }
        }
        Ok(())
    }
}

/// What came of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Heard {
    Response(Box<Response>),
    /// Later messages were answered, this was not.
    Nothing,
    /// The connection was closed.
    Closed,
}

impl fmt::Display for Heard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Response(response) => response.fmt(f),
            Self::Nothing => f.write_str("nothing"),
            Self::Closed => f.write_str("the connection was closed"),
        }
    }
}

/// Asks one server. Made in the namespace whose sockets it is to use.
#[derive(Debug)]
pub(super) struct Asker {
    server: SocketAddr,
    datagrams: UdpSocket,
    connection: Option<TcpStream>,
    last_id: u16,
}

impl Asker {
    pub(super) fn new(from: SocketAddr, server: SocketAddr) -> Result<Self, String> {
        let at = |error: std::io::Error| format!("cannot ask {server}: {error}");
        let datagrams = UdpSocket::bind(from).map_err(at)?;
        datagrams.connect(server).map_err(at)?;
        datagrams.set_read_timeout(Some(PATIENCE)).map_err(at)?;
        Ok(Self {
            server,
            datagrams,
            connection: None,
            last_id: 0,
        })
    }

    /// Asks and waits.
    ///
    /// # Errors
    /// If there is no answer in time, or one that cannot be read.
    pub(super) fn ask(&mut self, query: &Query) -> Result<Heard, String> {
        let id = self.next_id();
        let message = query.message(id);
        let by_tcp = query.manner.by_tcp;
        let server = self.server;
        let told = |error| format!("{server}: {query}: {error}");
        let heard = match by_tcp {
            true => self.by_tcp(&message).map_err(told)?,
            false => {
                let sent = self.datagrams.send(&message);
                sent.map_err(|error| told(error.to_string()))?;
                Heard::Response(Box::new(self.datagram().map_err(told)?))
            }
        };
        match &heard {
            Heard::Response(response) if response.id != id => Err(format!(
                "{}: {query}: the response has another id",
                self.server
            )),
            _ => Ok(heard),
        }
    }

    /// Sends what may be no query, and an ordinary one after it, and waits for the answer to that.
    ///
    /// # Errors
    /// If the ordinary one is not answered, or if a response cannot be read.
    pub(super) fn send(&mut self, message: &[u8], then: &Query) -> Result<Heard, String> {
        let id = self.next_id();
        let told = |error| format!("{}: {message:02x?}: {error}", self.server);
        for octets in [message.to_vec(), then.message(id)] {
            let sent = self.datagrams.send(&octets);
            sent.map_err(|error| told(error.to_string()))?;
        }
        let mut heard = Heard::Nothing;
        loop {
            let response = self.datagram().map_err(told)?;
            if response.id == id {
                return Ok(heard);
            }
            heard = Heard::Response(Box::new(response));
        }
    }

    /// A number that no query here had for long.
    fn next_id(&mut self) -> u16 {
        self.last_id = self.last_id.wrapping_add(1);
        self.last_id
    }

    fn datagram(&self) -> Result<Response, String> {
        let mut buffer = [0; 65_535];
        let len = loop {
            match self.datagrams.recv(&mut buffer) {
                Ok(len) => break len,
                // The system goes on with no wait that has a limit (signal(7)): a machine that was
                // paused interrupts it.
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(format!("no answer: {error}")),
            }
        };
        Response::parse(buffer.get(..len).unwrap_or_default())
    }

    fn by_tcp(&mut self, message: &[u8]) -> Result<Heard, String> {
        // A connection that the server has closed since is none: once more.
        for _ in 0..2 {
            let is_new = self.connection.is_none();
            match self.over_connection(message) {
                Ok(octets) => return Ok(Heard::Response(Box::new(Response::parse(&octets)?))),
                Err(error) => {
                    self.connection = None;
                    let is_closed = matches!(
                        error.kind(),
                        ErrorKind::UnexpectedEof
                            | ErrorKind::ConnectionReset
                            | ErrorKind::BrokenPipe
                    );
                    match (is_closed, is_new) {
                        (true, true) => return Ok(Heard::Closed),
                        (true, false) => {}
                        (false, _) => return Err(format!("by TCP: {error}")),
                    }
                }
            }
        }
        Ok(Heard::Closed)
    }

    fn over_connection(&mut self, message: &[u8]) -> std::io::Result<Vec<u8>> {
        if self.connection.is_none() {
            let connection = TcpStream::connect_timeout(&self.server, PATIENCE)?;
            connection.set_read_timeout(Some(PATIENCE))?;
            connection.set_nodelay(true)?;
            self.connection = Some(connection);
        }
        let connection = self.connection.as_mut();
        let connection = connection.ok_or_else(|| std::io::Error::other("no connection"))?;
        let mut framed = (message.len() as u16).to_be_bytes().to_vec();
        framed.extend_from_slice(message);
        connection.write_all(&framed)?;
        let mut len = [0; 2];
        connection.read_exact(&mut len)?;
        let mut octets = vec![0; u16::from_be_bytes(len).into()];
        connection.read_exact(&mut octets)?;
        Ok(octets)
    }
}
