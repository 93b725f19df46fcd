//! One connection of the load: calls go out, replies are taken and checked.

use std::io::{ErrorKind, Write};
use std::net::{Ipv4Addr, SocketAddrV4, TcpStream};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, recv};
use socket2::{Domain, Socket, Type};

use super::content::Facts;
use super::message::{Call, READ_HEAD_LEN, Reply};
use crate::pattern;

/// Connections come from ports below this, as Linux makes them.
const PRIVILEGED_PORTS: u16 = 1024;
/// A server that says nothing for so long has failed.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);
/// Bytes at the beginning and at the end of each reply's data that are looked at always.
const SPOT_LEN: usize = 64;
/// More than any reply but READ's has.
const HEAD_MAX: usize = 2048;
/// `ftype3`.
const REGULAR: u32 = 1;

/// How much of what READ gives is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Check {
    /// Every byte.
    Whole,
    /// The lengths, the attributes, and the first and last bytes of each reply. What lies between
    /// is taken from the socket without being copied (`MSG_TRUNC`, tcp(7)), so that it is the
    /// servers that are measured.
    Spots,
}

/// A call that has no reply yet.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pending {
    pub(crate) xid: u32,
    pub(crate) expected: Expected,
}

/// What the reply has to say.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Expected {
    /// The attributes of this regular file, as GETATTR gives them.
    Attributes(Facts),
    /// The same as LOOKUP gives them.
    Found(Facts),
    /// So many bytes of the large file, with its attributes.
    Data { facts: Facts, offset: u64, len: u32 },
}

/// What came of looking at a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// There was nothing more to take.
    Empty,
    /// Something was taken.
    Taken,
    /// A reply has ended; it was the one to a call with so many bytes of data.
    Done(u64),
}

/// Data of a reply that are still to come.
#[derive(Debug, Clone, Copy)]
struct Body {
    offset: u64,
    left: usize,
    len: usize,
}

/// A connection to a server.
#[derive(Debug)]
pub(crate) struct Client {
    stream: TcpStream,
    xid: u32,
    pending: Vec<Pending>,
    record: Vec<u8>,
    head: [u8; HEAD_MAX],
    head_len: usize,
    body: Option<Body>,
}

impl Client {
    /// A connection from a port that only root can take.
    ///
    /// # Errors
    /// A text that names the server's address.
    pub(crate) fn connect(server: SocketAddrV4) -> Result<Self, String> {
        let at = |error: std::io::Error| format!("{server}: {error}");
        let stream = (1..PRIVILEGED_PORTS).rev().find_map(|port| {
            let connected = connect_from(port, server);
            match connected {
                Err(error) if error.kind() == ErrorKind::AddrInUse => None,
                other => Some(other),
            }
        });
        let stream = stream.ok_or("no port below 1024 is free")?.map_err(at)?;
        stream.set_nodelay(true).map_err(at)?;
        stream.set_read_timeout(Some(PATIENCE)).map_err(at)?;
        Ok(Self {
            stream,
            xid: 0,
            pending: Vec::new(),
            record: Vec::new(),
            head: [0; HEAD_MAX],
            head_len: 0,
            body: None,
        })
    }

    /// How many calls have no reply yet.
    pub(crate) fn outstanding(&self) -> usize {
        self.pending.len()
    }

    /// # Errors
    /// A text, if the connection fails.
    pub(crate) fn send(&mut self, call: &Call<'_>, expected: Expected) -> Result<(), String> {
        let xid = self.write(call)?;
        self.pending.push(Pending { xid, expected });
        Ok(())
    }

    fn write(&mut self, call: &Call<'_>) -> Result<u32, String> {
        self.xid += 1;
        call.write(self.xid, &mut self.record);
        let sent = self.stream.write_all(&self.record);
        sent.map_err(|error| format!("sending a call: {error}"))?;
        Ok(self.xid)
    }

    /// Does one call and waits for its reply, which is short.
    ///
    /// # Errors
    /// A text, if it fails.
    pub(crate) fn ask<T>(
        &mut self,
        call: &Call<'_>,
        read: impl FnOnce(&Reply<'_>) -> Result<T, String>,
    ) -> Result<T, String> {
        let xid = self.write(call)?;
        self.head_len = 0;
        loop {
            let reply = Reply::new(self.head.get(..self.head_len).unwrap_or_default());
            if reply.record_len()?.is_some_and(|len| len <= self.head_len) {
                self.head_len = 0;
                return match reply.done()? == xid {
                    true => read(&reply),
                    false => Err("a reply to another call".to_owned()),
                };
            }
            if self.fill_head(HEAD_MAX, MsgFlags::empty())? == 0 {
                return Err(SILENT.to_owned());
            }
        }
    }

    /// Takes what has come. With `MSG_DONTWAIT` in the flags it does not wait for it.
    ///
    /// # Errors
    /// A text: the connection fails, or the reply is wrong.
    pub(crate) fn step(
        &mut self,
        check: Check,
        flags: MsgFlags,
        scratch: &mut [u8],
    ) -> Result<Step, String> {
        match self.body {
            Some(body) => self.take_body(body, check, flags, scratch),
            None => self.take_head(flags),
        }
    }

    fn take_head(&mut self, flags: MsgFlags) -> Result<Step, String> {
        let is_data = |pending: &Pending| matches!(pending.expected, Expected::Data { .. });
        let wanted = match self.pending.iter().any(is_data) {
            // No more than that: what follows may be left in the socket.
            true => READ_HEAD_LEN + SPOT_LEN,
            false => HEAD_MAX,
        };
        if self.fill_head(wanted, flags)? == 0 {
            return Ok(Step::Empty);
        }
        let reply = Reply::new(self.head.get(..self.head_len).unwrap_or_default());
        let record_len = reply.record_len()?;
        if record_len.is_none_or(|len| self.head_len < len.min(wanted)) {
            return Ok(Step::Taken);
        }
        let xid = reply.done()?;
        let known = self.pending.iter().position(|pending| pending.xid == xid);
        let known = known.ok_or("a reply to no call")?;
        let (kind, facts, wanted_facts) = match self.pending.swap_remove(known).expected {
            Expected::Attributes(wanted) => {
                let (kind, facts) = reply.attributes()?;
                (kind, facts, wanted)
            }
            Expected::Found(wanted) => {
                let (_, kind, facts) = reply.found()?;
                (kind, facts, wanted)
            }
            Expected::Data {
                facts: wanted,
                offset,
                len,
            } => {
                let (kind, facts, given) = reply.read()?;
                let len = len as usize;
                let first = self.head.get(READ_HEAD_LEN..self.head_len);
                let first = first.unwrap_or_default();
                if given != len || record_len != Some(READ_HEAD_LEN + len) {
                    return Err(format!("READ gives {given} of {len} bytes"));
                }
                if !pattern::is_at(offset, first) {
                    return Err(format!("READ gives other bytes at {offset}"));
                }
                self.body = Some(Body {
                    offset,
                    left: len - first.len(),
                    len,
                });
                (kind, facts, wanted)
            }
        };
        self.head_len = 0;
        if (kind, facts) != (REGULAR, wanted_facts) {
            return Err(format!("kind {kind}, {facts:?}; it is {wanted_facts:?}"));
        }
        Ok(match self.body {
            Some(_) => Step::Taken,
            None => Step::Done(0),
        })
    }

    fn take_body(
        &mut self,
        body: Body,
        check: Check,
        flags: MsgFlags,
        scratch: &mut [u8],
    ) -> Result<Step, String> {
        let between = body.left.saturating_sub(SPOT_LEN);
        let is_looked_at = check == Check::Whole || between == 0;
        let (len, flags) = match is_looked_at {
            true => (body.left, flags),
            false => (between, flags | MsgFlags::MSG_TRUNC),
        };
        let room = scratch.len();
        let buffer = scratch.get_mut(..len.min(room)).unwrap_or_default();
        let taken = take(&self.stream, buffer, flags)?;
        let at = body.offset + (body.len - body.left) as u64;
        let seen = buffer.get(..taken).unwrap_or_default();
        if is_looked_at && !pattern::is_at(at, seen) {
            return Err(format!("READ gives other bytes at {at} or after"));
        }
        let left = body.left - taken;
        self.body = (left > 0).then_some(Body { left, ..body });
        Ok(match (taken, left) {
            (0, _) => Step::Empty,
            (_, 0) => Step::Done(body.len as u64),
            _ => Step::Taken,
        })
    }

    fn fill_head(&mut self, wanted: usize, flags: MsgFlags) -> Result<usize, String> {
        let room = self.head.get_mut(self.head_len..wanted);
        let taken = take(&self.stream, room.unwrap_or_default(), flags)?;
        self.head_len += taken;
        Ok(taken)
    }
}

impl AsFd for Client {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

/// What is said of a server that says nothing.
pub(crate) const SILENT: &str = "the server answers nothing";

/// How many bytes came; 0 if none are there.
fn take(stream: &TcpStream, buffer: &mut [u8], flags: MsgFlags) -> Result<usize, String> {
    match recv(stream.as_raw_fd(), buffer, flags) {
        Ok(0) => Err("the server closed the connection".to_owned()),
        Ok(taken) => Ok(taken),
        Err(Errno::EAGAIN | Errno::EINTR) => Ok(0),
        Err(errno) => Err(format!("receiving a reply: {errno}")),
    }
}

fn connect_from(port: u16, server: SocketAddrV4) -> std::io::Result<TcpStream> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.bind(&SocketAddrV4::new(Ipv4Addr::LOCALHOST, port).into())?;
    socket.connect(&server.into())?;
    Ok(socket.into())
}
