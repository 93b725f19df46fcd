//! What passes the interfaces of a namespace: frames, the DHCP messages in them, and tshark's
//! opinion of those.

use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use pxe_test_lab::Namespace;
use socket2::{Domain, Protocol, Socket, Type};

use crate::reply;

/// `ETH_P_ALL` of linux/if_ether.h.
const EVERY_PROTOCOL: u16 = 3;
/// How soon the tap notices that it is no longer wanted.
const STOP_INTERVAL: Duration = Duration::from_millis(50);
const FRAME_BYTES_MAX: usize = 65_536;

/// An Ethernet frame with a DHCP message in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Datagram {
    pub(crate) frame: Vec<u8>,
    pub(crate) hardware_destination: [u8; 6],
    pub(crate) source: SocketAddrV4,
    pub(crate) destination: SocketAddrV4,
    pub(crate) payload: Vec<u8>,
}

impl Datagram {
    /// The content of a frame, if it is a whole UDP datagram of DHCP's ports.
    fn read(frame: &[u8]) -> Option<Self> {
        let ip = frame.get(14..)?;
        if frame.get(12..14)? != [0x08, 0x00] || *ip.get(9)? != 17 {
            return None;
        }
        let header_len = usize::from(ip.first()? & 0x0f) * 4;
        let len = usize::from(u16::from_be_bytes(*ip.get(2..)?.first_chunk()?));
        let udp = ip.get(header_len..len)?;
        let address = |at: usize| ip.get(at..)?.first_chunk::<4>().copied();
        let port = |at: usize| udp.get(at..)?.first_chunk().copied();
        let end = |ip: [u8; 4], port: [u8; 2]| {
            SocketAddrV4::new(Ipv4Addr::from(ip), u16::from_be_bytes(port))
        };
        let (source, destination) = (end(address(12)?, port(0)?), end(address(16)?, port(2)?));
        let is_dhcp = |port: u16| [67, 68, 4011].contains(&port);
        if !is_dhcp(source.port()) || !is_dhcp(destination.port()) {
            return None;
        }
        Some(Self {
            frame: frame.to_vec(),
            hardware_destination: *frame.first_chunk()?,
            source,
            destination,
            payload: udp.get(8..)?.to_vec(),
        })
    }

    /// Whether a server sent it.
    pub(crate) fn is_reply(&self) -> bool {
        self.payload.first() == Some(&2)
    }

    /// The value of option 53.
    pub(crate) fn message_type(&self) -> Option<u8> {
        let options = reply::options(&self.payload)?;
        options.get(&53)?.first().copied()
    }

    pub(crate) fn xid(&self) -> Option<u32> {
        let octets = self.payload.get(4..)?.first_chunk()?;
        Some(u32::from_be_bytes(*octets))
    }

    pub(crate) fn ciaddr(&self) -> Option<Ipv4Addr> {
        self.address_at(12)
    }

    pub(crate) fn yiaddr(&self) -> Option<Ipv4Addr> {
        self.address_at(16)
    }

    pub(crate) fn giaddr(&self) -> Option<Ipv4Addr> {
        self.address_at(24)
    }

    /// The address at this offset of the message, unless it is 0.0.0.0.
    fn address_at(&self, offset: usize) -> Option<Ipv4Addr> {
        let octets = self.payload.get(offset..)?.first_chunk::<4>()?;
        Some(Ipv4Addr::from(*octets)).filter(|address| !address.is_unspecified())
    }
}

/// Hears what every interface of a namespace sends and receives, until it is dropped.
#[derive(Debug)]
pub(crate) struct Wiretap {
    heard: Receiver<Datagram>,
    is_over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Wiretap {
    /// A tap that hears everything from now on.
    pub(crate) fn new(namespace: &Namespace) -> Result<Self, String> {
        let protocol = Protocol::from(i32::from(EVERY_PROTOCOL.to_be()));
        let socket = namespace.enter(|| {
            let socket = Socket::new(Domain::PACKET, Type::RAW, Some(protocol))?;
            socket.set_recv_buffer_size(4 << 20)?;
            socket.set_read_timeout(Some(STOP_INTERVAL))?;
            Ok(socket)
        })?;
        let socket = socket.map_err(|error: std::io::Error| {
            format!("cannot hear {}: {error}", namespace.name())
        })?;
        let is_over = Arc::new(AtomicBool::new(false));
        let (tell, heard) = channel();
        let over = Arc::clone(&is_over);
        let thread = std::thread::spawn(move || listen(&socket, &tell, &over));
        Ok(Self {
            heard,
            is_over,
            thread: Some(thread),
        })
    }

    /// The next message; `None` if there is none before the deadline.
    pub(crate) fn next(&self, deadline: Instant) -> Option<Datagram> {
        let patience = deadline.saturating_duration_since(Instant::now());
        self.heard.recv_timeout(patience).ok()
    }
}

impl Drop for Wiretap {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn listen(mut socket: &Socket, tell: &Sender<Datagram>, is_over: &AtomicBool) {
    let mut frame = vec![0; FRAME_BYTES_MAX];
    while !is_over.load(Ordering::Relaxed) {
        match socket.read(&mut frame) {
            Ok(len) => {
                if let Some(datagram) = frame.get(..len).and_then(Datagram::read)
                    && tell.send(datagram).is_err()
                {
                    return;
                }
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(_) => return,
        }
    }
}

/// Demands that tshark finds no fault with any of these.
pub(crate) fn judge_by_tshark(heard: &[Datagram], scratch: &Path) -> Result<(), String> {
    // What a dissector cannot read, and what it reads but calls wrong (an "expert info" of the
    // severity error, 0x800000 in epan/proto.h).
    const FAULTS: &str = "_ws.malformed || _ws.expert.severity >= 0x800000";
    let file = scratch.join("heard.pcap");
    write_capture(heard, &file).map_err(|error| format!("cannot write a capture: {error}"))?;
    let tshark = |filter: &str, more: &[&str]| {
        let mut command = Command::new("tshark");
        command.arg("-r").arg(&file).args(["-Y", filter]).args(more);
        let output = command
            .output()
            .map_err(|error| format!("cannot run tshark: {error}"))?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            return Err(format!("tshark: {}: {said}", output.status));
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    };
    // tshark counts what it recognizes, or a capture it cannot read would have no fault.
    let read = tshark("dhcp", &["-T", "fields", "-e", "frame.number"])?;
    let read = read.lines().count();
    if read != heard.len() {
        return Err(format!("tshark reads {read} of {} messages", heard.len()));
    }
    let faults = tshark(FAULTS, &["-V"])?;
    if faults.is_empty() {
        return Ok(());
    }
    Err(format!("tshark finds faults:\n{faults}"))
}

/// A capture file (draft-ietf-opsawg-pcap) of Ethernet.
fn write_capture(heard: &[Datagram], path: &Path) -> std::io::Result<()> {
    let mut bytes = Vec::new();
    for word in [0xa1b2_c3d4_u32, 0x0004_0002, 0, 0, 65_535, 1] {
        bytes.extend(word.to_le_bytes());
    }
    // The version's two halves are 16 bits each: 2, then 4.
    bytes[4..8].copy_from_slice(&[2, 0, 4, 0]);
    for (index, datagram) in (0_u32..).zip(heard) {
        let len = datagram.frame.len() as u32; // at most FRAME_BYTES_MAX
        for word in [0, index, len, len] {
            bytes.extend(word.to_le_bytes());
        }
        bytes.extend(&datagram.frame);
    }
    File::create(path)?.write_all(&bytes)
}
