//! The virtual machine's DHCP: a PXE ROM's messages, sent through a relay of its own.
//!
//! Option sets and their order are those of real firmware, from captures in QEMU. The relay
//! (RFC 1542 section 4.1) is what makes this work without root: it needs no broadcast, and the
//! answer comes to its address on the server's port.

use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};
use std::time::{Duration, Instant};

use super::Failure;

/// How long a machine waits for an answer before it asks again, as PXE ROMs do.
const ANSWER_WAIT: Duration = Duration::from_secs(2);
/// How often it asks.
const ATTEMPTS_MAX: u32 = 4;

const MAGIC: [u8; 4] = [99, 130, 83, 99];
/// A message shorter than this is padded (RFC 1542 section 2.1).
const LEN_MIN: usize = 300;

const DISCOVER: u8 = 1;
const OFFER: u8 = 2;
const REQUEST: u8 = 3;
const ACK: u8 = 5;
const NAK: u8 = 6;

/// What one kind of firmware sends.
#[derive(Debug)]
pub(super) struct Rom {
    /// Option 93 (RFC 4578 section 2.1).
    pub(super) arch: u16,
    /// Option 94.
    pub(super) interface: [u8; 3],
    /// Option 60.
    pub(super) vendor_class: &'static str,
    /// Option 57.
    pub(super) message_len_max: u16,
    /// Option 55.
    pub(super) parameters: &'static [u8],
    /// Whether it wants answers by broadcast.
    pub(super) broadcast: bool,
    /// The options in the order in which they are sent.
    pub(super) order: &'static [u8],
}

/// What the server gave.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Lease {
    pub(super) address: Ipv4Addr,
    /// `siaddr`: where to fetch the file.
    pub(super) next_server: Ipv4Addr,
    /// The `file` field.
    pub(super) file: String,
    /// Option 209 (RFC 5071 section 4).
    pub(super) config_file: Option<String>,
    /// Option 210 (RFC 5071 section 5).
    pub(super) path_prefix: Option<String>,
}

/// One machine and its way to the server.
#[derive(Debug)]
pub(super) struct Client<'a> {
    pub(super) rom: &'a Rom,
    pub(super) mac: [u8; 6],
    /// The relay's socket, bound to the relay's address and the server's port.
    pub(super) relay: &'a UdpSocket,
    /// The relay's address.
    pub(super) giaddr: Ipv4Addr,
    pub(super) server: SocketAddrV4,
}

impl Client<'_> {
    /// DISCOVER, OFFER, REQUEST, ACK.
    pub(super) fn acquire(&self) -> Result<Lease, Failure> {
        let offer = self.exchange("DHCPDISCOVER", &self.message(DISCOVER, None), OFFER)?;
        let server_id = offer.address_option(54).ok_or_else(|| {
            Failure::new("dhcp DHCPOFFER", "carries no server identifier (option 54)")
        })?;
        if offer.yiaddr.is_unspecified() {
            return Err(Failure::new("dhcp DHCPOFFER", "offers no address"));
        }
        let wanted = Some((server_id, offer.yiaddr));
        let ack = self.exchange("DHCPREQUEST", &self.message(REQUEST, wanted), ACK)?;
        let wrong = |problem: String| Err(Failure::new("dhcp DHCPACK", problem));
        if ack.yiaddr != offer.yiaddr {
            return wrong(format!(
                "leases {} where {} was offered",
                ack.yiaddr, offer.yiaddr
            ));
        }
        if ack.file.is_empty() {
            return wrong("has an empty file field: nothing to boot".into());
        }
        if ack.siaddr.is_unspecified() {
            return wrong("has no next server (siaddr)".into());
        }
        // shim looks for its second stage by the header's field, others read the option.
        if let Some(name) = ack.text_option(67)
            && name != ack.file
        {
            return wrong(format!(
                "option 67 says {name}, the file field {}",
                ack.file
            ));
        }
        Ok(Lease {
            address: ack.yiaddr,
            next_server: ack.siaddr,
            config_file: ack.text_option(209),
            path_prefix: ack.text_option(210),
            file: ack.file,
        })
    }

    /// Sends a message until the answer of the wanted type comes.
    fn exchange(&self, name: &str, message: &[u8], wanted: u8) -> Result<Answer, Failure> {
        let step = format!("dhcp {name}");
        let failed = |error: std::io::Error| Failure::new(&step, error);
        let mut buffer = [0; 1500];
        for _ in 0..ATTEMPTS_MAX {
            self.relay.send_to(message, self.server).map_err(failed)?;
            let deadline = Instant::now() + ANSWER_WAIT;
            loop {
                let left = deadline.saturating_duration_since(Instant::now());
                if left.is_zero() {
                    break;
                }
                self.relay.set_read_timeout(Some(left)).map_err(failed)?;
                let len = match self.relay.recv_from(&mut buffer) {
                    Ok((len, from)) if from.ip() == *self.server.ip() => len,
                    Ok(_) => continue,
                    Err(error) => match error.kind() {
                        ErrorKind::WouldBlock | ErrorKind::TimedOut => break,
                        ErrorKind::Interrupted => continue,
                        _ => return Err(failed(error)),
                    },
                };
                let Some(answer) = Answer::read(&buffer[..len]) else {
                    return Err(Failure::new(&step, "the answer is no DHCP message"));
                };
                if answer.xid != self.xid() || answer.chaddr != self.mac {
                    continue;
                }
                match answer.option(53) {
                    Some([NAK]) => return Err(Failure::new(&step, "the server refused (DHCPNAK)")),
                    Some([kind]) if *kind == wanted => return Ok(answer),
                    _ => {}
                }
            }
        }
        Err(Failure::new(
            &step,
            format!("no answer, asked {ATTEMPTS_MAX} times"),
        ))
    }

    /// PXE ROMs make it of their hardware address and the time.
    fn xid(&self) -> [u8; 4] {
        let [_, _, a, b, c, d] = self.mac;
        [a ^ 0x5a, b, c, d]
    }

    /// A message with the ROM's options in the ROM's order; a REQUEST adds 54 and 50.
    fn message(&self, kind: u8, wanted: Option<(Ipv4Addr, Ipv4Addr)>) -> Vec<u8> {
        let mut message = vec![1, 1, 6, 1]; // BOOTREQUEST, Ethernet, 6 octets, one hop
        message.extend(self.xid());
        message.extend([0, 0]); // secs
        message.extend(if self.rom.broadcast {
            [0x80, 0]
        } else {
            [0, 0]
        });
        message.extend([0; 12]); // ciaddr, yiaddr, siaddr
        message.extend(self.giaddr.octets());
        message.extend(self.mac);
        message.extend([0; 10 + 64 + 128]); // the rest of chaddr, sname, file
        message.extend(MAGIC);
        for &code in self.rom.order {
            let value = self.option(code, kind);
            push_option(&mut message, code, &value);
        }
        if let Some((server_id, address)) = wanted {
            push_option(&mut message, 54, &server_id.octets());
            push_option(&mut message, 50, &address.octets());
        }
        message.push(255);
        message.resize(message.len().max(LEN_MIN), 0);
        message
    }

    fn option(&self, code: u8, kind: u8) -> Vec<u8> {
        match code {
            53 => vec![kind],
            55 => self.rom.parameters.to_vec(),
            57 => self.rom.message_len_max.to_be_bytes().to_vec(),
            60 => self.rom.vendor_class.as_bytes().to_vec(),
            93 => self.rom.arch.to_be_bytes().to_vec(),
            94 => self.rom.interface.to_vec(),
            // A type octet, then the machine's UUID: here one made of its hardware address.
            97 => [0; 11].into_iter().chain(self.mac).collect(),
            _ => Vec::new(),
        }
    }
}

fn push_option(message: &mut Vec<u8>, code: u8, value: &[u8]) {
    let len = u8::try_from(value.len()).expect("the demo's options are short");
    message.extend([code, len]);
    message.extend(value);
}

/// What a client reads of an answer.
struct Answer {
    xid: [u8; 4],
    yiaddr: Ipv4Addr,
    siaddr: Ipv4Addr,
    chaddr: [u8; 6],
    file: String,
    options: Vec<(u8, Vec<u8>)>,
}

impl Answer {
    /// Reads a BOOTREPLY; `None` if it is cut short or malformed.
    fn read(bytes: &[u8]) -> Option<Self> {
        let address = |at: usize| {
            let octets: [u8; 4] = bytes.get(at..at + 4)?.try_into().ok()?;
            Some(Ipv4Addr::from(octets))
        };
        if bytes.first() != Some(&2) || bytes.get(236..240)? != MAGIC {
            return None;
        }
        let mut options = Vec::new();
        let mut rest = &bytes[240..];
        loop {
            match *rest.first()? {
                0 => rest = &rest[1..],
                255 => break,
                code => {
                    let len = usize::from(*rest.get(1)?);
                    options.push((code, rest.get(2..2 + len)?.to_vec()));
                    rest = &rest[2 + len..];
                }
            }
        }
        Some(Self {
            xid: bytes.get(4..8)?.try_into().ok()?,
            yiaddr: address(16)?,
            siaddr: address(20)?,
            chaddr: bytes.get(28..34)?.try_into().ok()?,
            file: text(bytes.get(108..236)?),
            options,
        })
    }

    fn option(&self, code: u8) -> Option<&[u8]> {
        let (_, value) = self.options.iter().find(|(known, _)| *known == code)?;
        Some(value)
    }

    fn text_option(&self, code: u8) -> Option<String> {
        self.option(code).map(text)
    }

    fn address_option(&self, code: u8) -> Option<Ipv4Addr> {
        let octets: [u8; 4] = self.option(code)?.try_into().ok()?;
        Some(Ipv4Addr::from(octets))
    }
}

/// A text that may end with a NUL.
fn text(bytes: &[u8]) -> String {
    let end = bytes
        .iter()
        .position(|byte| *byte == 0)
        .unwrap_or(bytes.len());
    String::from_utf8_lossy(&bytes[..end]).into_owned()
}
