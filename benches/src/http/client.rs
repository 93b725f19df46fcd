//! One connection of the load: requests go out, responses are taken and checked.

use std::io::{ErrorKind, Write};
use std::net::{Ipv4Addr, SocketAddrV4, TcpStream};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, recv};
use socket2::{Domain, Socket, Type};

use super::content::File;
use super::response;
use crate::pattern;

/// A server that says nothing for so long has failed.
pub(super) const PATIENCE: Duration = Duration::from_secs(20);
/// What is taken at once where a head may begin: more than any head here, with the whole of a small
/// file.
const HEAD_MAX: usize = 4096;
/// Bytes at the end of each body that are looked at always; of those at its beginning it is what came
/// with the head.
const SPOT_LEN: usize = 64;

/// How much of a body is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Check {
    /// Every byte.
    Whole,
    /// Its length, what came with its head, and its last bytes. What lies between is taken from the
    /// socket without being copied (`MSG_TRUNC`, tcp(7)), so that it is the servers that are
    /// measured.
    Spots,
}

/// A request.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asked<'f> {
    pub(super) file: &'f File,
    /// The first and the last byte, if not all are asked for.
    pub(super) range: Option<(u64, u64)>,
    /// Whether the server is to close the connection after it.
    pub(super) is_last: bool,
    pub(super) check: Check,
}

impl<'f> Asked<'f> {
    /// All of a file.
    pub(super) const fn whole(file: &'f File, check: Check) -> Self {
        Self {
            file,
            range: None,
            is_last: false,
            check,
        }
    }

    /// How many bytes there are to send.
    pub(super) fn len(&self) -> u64 {
        self.range
            .map_or(self.file.len, |(first, last)| last - first + 1)
    }

    /// Where in the pattern they begin.
    fn first(&self) -> u64 {
        self.file.first + self.range.map_or(0, |(first, _)| first)
    }
}

/// What came of looking at a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// There was nothing more to take.
    Empty,
    /// All that had come was taken, with so many bytes of a body.
    Taken(u64),
    /// So many bytes of a body were taken, and there may be more at once.
    More(u64),
    /// The response has ended, with so many bytes of its body.
    Done(u64),
}

/// What is to come next.
#[derive(Debug, Clone, Copy)]
enum Next<'f> {
    Nothing,
    Head(Asked<'f>),
    Body { asked: Asked<'f>, left: u64 },
    Close,
}

/// A connection to a server.
#[derive(Debug)]
pub(super) struct Client<'f> {
    stream: TcpStream,
    next: Next<'f>,
    asked: u32,
    request: Vec<u8>,
    head: Vec<u8>,
}

impl<'f> Client<'f> {
    /// A connection from an address of this machine.
    ///
    /// # Errors
    /// A text that names the server's address.
    pub(super) fn connect(from: Ipv4Addr, server: SocketAddrV4) -> Result<Self, String> {
        let connect = || {
            let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
            socket.bind(&SocketAddrV4::new(from, 0).into())?;
            socket.connect(&server.into())?;
            socket.set_read_timeout(Some(PATIENCE))?;
            socket.set_write_timeout(Some(PATIENCE))?;
            Ok::<TcpStream, std::io::Error>(socket.into())
        };
        Ok(Self {
            stream: connect().map_err(|error| format!("{server}: {error}"))?,
            next: Next::Nothing,
            asked: 0,
            request: Vec::new(),
            head: Vec::new(),
        })
    }

    /// How many requests it was sent.
    pub(super) const fn asked(&self) -> u32 {
        self.asked
    }

    /// # Errors
    /// A text, if the connection fails.
    pub(super) fn ask(&mut self, asked: Asked<'f>) -> Result<(), String> {
        self.request.clear();
        // As curl has them.
        let fields = "HTTP/1.1\r\nHost: 127.0.0.1\r\nUser-Agent: pxe-benches\r\nAccept: */*\r\n";
        self.request.extend_from_slice(b"GET ");
        self.request.extend_from_slice(asked.file.path.as_bytes());
        self.request.push(b' ');
        self.request.extend_from_slice(fields.as_bytes());
        if let Some((first, last)) = asked.range {
            // Writing to a Vec cannot fail.
            let _ = write!(self.request, "Range: bytes={first}-{last}\r\n");
        }
        if asked.is_last {
            self.request.extend_from_slice(b"Connection: close\r\n");
        }
        self.request.extend_from_slice(b"\r\n");
        self.next = Next::Head(asked);
        self.asked += 1;
        let sent = self.stream.write_all(&self.request);
        sent.map_err(|error| format!("sending a request: {error}"))
    }

    /// Asks and waits for the whole response.
    ///
    /// # Errors
    /// A text: the connection fails, or the response is wrong.
    pub(super) fn get(&mut self, asked: Asked<'f>, scratch: &mut [u8]) -> Result<(), String> {
        self.ask(asked)?;
        loop {
            match self.step(MsgFlags::empty(), scratch)? {
                Step::Done(_) => return Ok(()),
                Step::Taken(_) | Step::More(_) => {}
                Step::Empty => return Err(SILENT.to_owned()),
            }
        }
    }

    /// Takes what has come. With `MSG_DONTWAIT` in the flags it does not wait for it.
    ///
    /// # Errors
    /// A text: the connection fails, or the response is wrong.
    pub(super) fn step(&mut self, flags: MsgFlags, scratch: &mut [u8]) -> Result<Step, String> {
        match self.next {
            Next::Nothing => Err("a server that speaks unasked".to_owned()),
            Next::Head(asked) => self.take_head(asked, flags, scratch),
            Next::Body { asked, left } => self.take_body(asked, left, flags, scratch),
            Next::Close => match take(&self.stream, scratch, flags)? {
                Some(0) => Ok(Step::Done(0)),
                Some(_) => Err("more than the response".to_owned()),
                None => Ok(Step::Empty),
            },
        }
    }

    fn take_head(
        &mut self,
        asked: Asked<'f>,
        flags: MsgFlags,
        scratch: &mut [u8],
    ) -> Result<Step, String> {
        let begun = self.head.len();
        let room = scratch.get_mut(begun..HEAD_MAX).unwrap_or_default();
        let Some(taken) = some(take(&self.stream, room, flags)?)? else {
            return Ok(Step::Empty);
        };
        // Rarely anything: heads come in one piece.
        if let Some(before) = scratch.get_mut(..begun) {
            before.copy_from_slice(&self.head);
        }
        let bytes = scratch.get(..begun + taken).unwrap_or_default();
        let Some(head_len) = response::check(bytes, &asked)? else {
            self.head.clear();
            self.head.extend_from_slice(bytes);
            return Ok(Step::Taken(0));
        };
        self.head.clear();
        let body = bytes.get(head_len..).unwrap_or_default();
        self.passed(asked, asked.len(), body, body.len())
    }

    fn take_body(
        &mut self,
        asked: Asked<'f>,
        left: u64,
        flags: MsgFlags,
        scratch: &mut [u8],
    ) -> Result<Step, String> {
        let between = left.saturating_sub(SPOT_LEN as u64);
        let is_looked_at = asked.check == Check::Whole || between == 0;
        let (len, flags) = match is_looked_at {
            true => (left, flags),
            false => (between, flags | MsgFlags::MSG_TRUNC),
        };
        let len = usize::try_from(len).unwrap_or(usize::MAX);
        let room = len.min(scratch.len());
        let buffer = scratch.get_mut(..room).unwrap_or_default();
        let Some(taken) = some(take(&self.stream, buffer, flags)?)? else {
            return Ok(Step::Empty);
        };
        let seen = match is_looked_at {
            true => buffer.get(..taken).unwrap_or_default(),
            false => &[],
        };
        match self.passed(asked, left, seen, taken)? {
            Step::Taken(came) if taken == room => Ok(Step::More(came)),
            step => Ok(step),
        }
    }

    /// Checks what was seen of so many bytes that came, where so many were to come.
    fn passed(
        &mut self,
        asked: Asked<'f>,
        left: u64,
        seen: &[u8],
        came: usize,
    ) -> Result<Step, String> {
        let at = asked.first() + asked.len() - left;
        let came = came as u64;
        let left = left
            .checked_sub(came)
            .ok_or_else(|| format!("{asked:?} gives more bytes"))?;
        if !pattern::is_at(at, seen) {
            return Err(format!("{asked:?} gives other bytes at {at} or after"));
        }
        match (left, asked.is_last) {
            (0, false) => {
                self.next = Next::Nothing;
                Ok(Step::Done(came))
            }
            (0, true) => {
                self.next = Next::Close;
                Ok(Step::Taken(came))
            }
            _ => {
                self.next = Next::Body { asked, left };
                Ok(Step::Taken(came))
            }
        }
    }
}

impl AsFd for Client<'_> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

/// What is said of a server that says nothing.
pub(super) const SILENT: &str = "the server answers nothing";

/// How many bytes came: 0 at the end; `None` if none are there yet.
fn take(stream: &TcpStream, buffer: &mut [u8], flags: MsgFlags) -> Result<Option<usize>, String> {
    match recv(stream.as_raw_fd(), buffer, flags) {
        Ok(taken) => Ok(Some(taken)),
        Err(Errno::EAGAIN | Errno::EINTR) => Ok(None),
        Err(errno) => Err(format!("receiving a response: {errno}")),
    }
}

/// The same where the connection is not to end.
fn some(taken: Option<usize>) -> Result<Option<usize>, String> {
    match taken {
        Some(0) => Err(ErrorKind::UnexpectedEof.to_string()),
        other => Ok(other),
    }
}
