//! The virtual machine's TFTP (RFC 1350, 2347, 2348, 2349, 7440), as loaders speak it.

use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, UdpSocket};
use std::time::Duration;

use super::Failure;

const RRQ: u16 = 1;
const DATA: u16 = 3;
const ACK: u16 = 4;
const ERROR: u16 = 5;
const OACK: u16 = 6;

/// The block size without the blksize option.
const BLOCK_LEN_DEFAULT: usize = 512;
/// How long it waits for a packet before it repeats its last one.
const PACKET_WAIT: Duration = Duration::from_secs(1);
/// How often it repeats itself without any progress.
const REPEATS_MAX: u32 = 5;
/// A file larger than this would not be one of the demo's.
const FILE_BYTES_MAX: usize = 64 << 20;

/// Options of a read request, in the order in which they are sent.
pub(super) type Options = &'static [(&'static str, &'static str)];

/// What a request came to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Got {
    File(Vec<u8>),
    /// ERROR 1.
    NotFound,
}

/// Asks for a file's size as EDK2 does: a request with `tsize`, an OACK, and an ERROR to end it.
pub(super) fn probe(
    local: Ipv4Addr,
    server: SocketAddrV4,
    path: &str,
    options: Options,
) -> Result<u64, Failure> {
    let mut transfer = Transfer::start(local, server, path, options)?;
    loop {
        match transfer.receive()? {
            Packet::OptionsAcknowledged(options) => {
                transfer.send(&packet(ERROR, 8, b"User aborted the transfer\0"))?;
                let size = option(&options, "tsize");
                return size.ok_or_else(|| transfer.failure("the OACK says no tsize"));
            }
            Packet::Error(code, message) => {
                return Err(transfer.failure(format!("ERROR {code}: {message}")));
            }
            Packet::Data(..) => return Err(transfer.failure("DATA came where an OACK was due")),
            Packet::Other => {}
        }
    }
}

/// Fetches a file.
pub(super) fn get(
    local: Ipv4Addr,
    server: SocketAddrV4,
    path: &str,
    options: Options,
) -> Result<Got, Failure> {
    let mut transfer = Transfer::start(local, server, path, options)?;
    let asked = |name: &str| option(&pairs_of(options), name);
    let mut block_len = BLOCK_LEN_DEFAULT;
    let mut window = 1;
    let mut size = None;
    let mut content = Vec::new();
    let mut last_block: u16 = 0;
    let mut unacknowledged = 0;
    loop {
        match transfer.receive()? {
            Packet::OptionsAcknowledged(accepted) if content.is_empty() && last_block == 0 => {
                for (name, value) in &accepted {
                    let limit = asked(name).ok_or_else(|| {
                        transfer.failure(format!("OACK of {name}, not asked for"))
                    })?;
                    if name != "tsize" && (*value > limit || *value == 0) {
                        let problem = format!("OACK of {name}={value} where {limit} was asked for");
                        return Err(transfer.failure(problem));
                    }
                }
                let length = |value: u64| usize::try_from(value).unwrap_or(usize::MAX);
                block_len = option(&accepted, "blksize").map_or(BLOCK_LEN_DEFAULT, length);
                window = option(&accepted, "windowsize").unwrap_or(1);
                size = option(&accepted, "tsize");
                transfer.send(&packet(ACK, 0, b""))?;
            }
            Packet::Data(block, data) if block == last_block.wrapping_add(1) => {
                if data.len() > block_len || content.len() + data.len() > FILE_BYTES_MAX {
                    return Err(transfer.failure(format!("a block of {} bytes", data.len())));
                }
                content.extend_from_slice(&data);
                last_block = block;
                unacknowledged += 1;
                transfer.progress();
                let last = data.len() < block_len;
                if last || unacknowledged >= window {
                    unacknowledged = 0;
                    transfer.send(&packet(ACK, last_block, b""))?;
                }
                if last {
                    break;
                }
            }
            // A gap: say what was got, and the rest of the window comes again (RFC 7440 section
            // 4). A block that came before is ignored, so that no ACK is doubled.
            Packet::Data(block, _) if block.wrapping_sub(last_block) < 0x8000 => {
                unacknowledged = 0;
                transfer.send(&packet(ACK, last_block, b""))?;
            }
            Packet::Error(1, _) => return Ok(Got::NotFound),
            Packet::Error(code, message) => {
                return Err(transfer.failure(format!("ERROR {code}: {message}")));
            }
            Packet::OptionsAcknowledged(_) | Packet::Data(..) | Packet::Other => {}
        }
    }
    match size {
        Some(size) if size != content.len() as u64 => {
            Err(transfer.failure(format!("tsize says {size}, {} bytes came", content.len())))
        }
        _ => Ok(Got::File(content)),
    }
}

/// One transfer: a socket, the peer once it is known, and what to repeat.
struct Transfer<'a> {
    path: &'a str,
    socket: UdpSocket,
    server: SocketAddrV4,
    /// The server's transfer identifier: the port it answers from.
    peer: Option<SocketAddr>,
    last_sent: Vec<u8>,
    repeats: u32,
}

enum Packet {
    Data(u16, Vec<u8>),
    OptionsAcknowledged(Vec<(String, u64)>),
    Error(u16, String),
    Other,
}

impl<'a> Transfer<'a> {
    fn start(
        local: Ipv4Addr,
        server: SocketAddrV4,
        path: &'a str,
        options: Options,
    ) -> Result<Self, Failure> {
        let step = || format!("tftp {path}");
        let socket = UdpSocket::bind((local, 0)).map_err(|error| Failure::new(step(), error))?;
        let wait = socket.set_read_timeout(Some(PACKET_WAIT));
        wait.map_err(|error| Failure::new(step(), error))?;
        let mut request = RRQ.to_be_bytes().to_vec();
        let texts = [path, "octet"].into_iter();
        for text in texts.chain(options.iter().flat_map(|(name, value)| [*name, *value])) {
            request.extend(text.bytes());
            request.push(0);
        }
        let mut transfer = Self {
            path,
            socket,
            server,
            peer: None,
            last_sent: Vec::new(),
            repeats: 0,
        };
        transfer.send(&request)?;
        Ok(transfer)
    }

    fn failure(&self, problem: impl std::fmt::Display) -> Failure {
        Failure::new(format!("tftp {}", self.path), problem)
    }

    fn progress(&mut self) {
        self.repeats = 0;
    }

    fn send(&mut self, packet: &[u8]) -> Result<(), Failure> {
        packet.clone_into(&mut self.last_sent);
        let to = self.peer.unwrap_or(SocketAddr::V4(self.server));
        let sent = self.socket.send_to(packet, to);
        sent.map(drop).map_err(|error| self.failure(error))
    }

    /// The next packet of this transfer's peer; what was sent last is repeated while none comes.
    fn receive(&mut self) -> Result<Packet, Failure> {
        let mut buffer = [0; 2048];
        loop {
            match self.socket.recv_from(&mut buffer) {
                Ok((len, from)) => {
                    if from.ip() != *self.server.ip() || self.peer.is_some_and(|peer| peer != from)
                    {
                        continue;
                    }
                    self.peer = Some(from);
                    return read(&buffer[..len])
                        .ok_or_else(|| self.failure("a malformed packet came"));
                }
                Err(error)
                    if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) =>
                {
                    if self.repeats >= REPEATS_MAX {
                        return Err(self.failure("the server is silent"));
                    }
                    self.repeats += 1;
                    let last = self.last_sent.clone();
                    self.send(&last)?;
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(self.failure(error)),
            }
        }
    }
}

fn packet(opcode: u16, number: u16, rest: &[u8]) -> Vec<u8> {
    let mut packet = opcode.to_be_bytes().to_vec();
    packet.extend(number.to_be_bytes());
    packet.extend(rest);
    packet
}

fn read(bytes: &[u8]) -> Option<Packet> {
    let number = |at: usize| Some(u16::from_be_bytes(bytes.get(at..at + 2)?.try_into().ok()?));
    Some(match number(0)? {
        DATA => Packet::Data(number(2)?, bytes.get(4..)?.to_vec()),
        OACK => Packet::OptionsAcknowledged(read_options(bytes.get(2..)?)?),
        ERROR => {
            let message = bytes
                .get(4..)?
                .split(|byte| *byte == 0)
                .next()
                .unwrap_or_default();
            Packet::Error(number(2)?, String::from_utf8_lossy(message).into_owned())
        }
        _ => Packet::Other,
    })
}

/// Pairs of texts, each ended by a NUL; every option of this client has a number as its value.
fn read_options(bytes: &[u8]) -> Option<Vec<(String, u64)>> {
    let texts = std::str::from_utf8(bytes.strip_suffix(&[0])?).ok()?;
    let texts: Vec<&str> = texts.split('\0').collect();
    let (pairs, rest) = texts.as_chunks::<2>();
    if !rest.is_empty() {
        return None;
    }
    let pair = |[name, value]: &[&str; 2]| Some((name.to_ascii_lowercase(), value.parse().ok()?));
    pairs.iter().map(pair).collect()
}

fn pairs_of(options: Options) -> Vec<(String, u64)> {
    let pair = |(name, value): &(&str, &str)| Some(((*name).to_owned(), value.parse().ok()?));
    options.iter().filter_map(pair).collect()
}

fn option(options: &[(String, u64)], name: &str) -> Option<u64> {
    options
        .iter()
        .find(|(known, _)| known == name)
        .map(|(_, value)| *value)
}
