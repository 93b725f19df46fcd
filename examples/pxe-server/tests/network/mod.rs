//! Small clients over the standard library's sockets, so that the server is not tested by its own
//! code. Each waits at most ten seconds for an answer.
#![allow(dead_code)] // each test program uses some of it

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream, UdpSocket};
use std::os::fd::AsRawFd;
use std::time::Duration;

use pxe_core::MacAddr;

pub(crate) mod dns;
pub(crate) mod nfs;

const PATIENCE: Duration = Duration::from_secs(10);

/// A TFTP ERROR.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct TftpError {
    pub(crate) code: u16,
    pub(crate) message: String,
}

/// A transfer that has begun: what came of it, and where it goes on.
pub(crate) struct TftpTransfer {
    socket: UdpSocket,
    peer: SocketAddr,
    block: u16,
    pub(crate) content: Vec<u8>,
    pub(crate) is_complete: bool,
}

impl TftpTransfer {
    /// Asks for a file in octet mode without options (RFC 1350), and takes its first block.
    pub(crate) fn begin(server: SocketAddr, from: IpAddr, file: &str) -> Result<Self, TftpError> {
        let socket = UdpSocket::bind((from, 0)).expect("a port");
        socket.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        Self::ask(socket, server, file)
    }

    /// Leaves the file where it is, and asks for another one from the same port.
    pub(crate) fn leave_for(self, server: SocketAddr, file: &str) -> Result<Self, TftpError> {
        Self::ask(self.socket, server, file)
    }

    fn ask(socket: UdpSocket, server: SocketAddr, file: &str) -> Result<Self, TftpError> {
        let mut request = vec![0, 1];
        request.extend_from_slice(file.as_bytes());
        request.extend_from_slice(b"\0octet\0");
        socket.send_to(&request, server).expect("sent");
        let mut transfer = Self {
            socket,
            peer: server,
            block: 0,
            content: Vec::new(),
            is_complete: false,
        };
        transfer.receive()?;
        Ok(transfer)
    }

    /// Acknowledges the last block and takes the next one, unless it was the last.
    pub(crate) fn step(&mut self) -> Result<(), TftpError> {
        let [high, low] = self.block.to_be_bytes();
        self.socket
            .send_to(&[0, 4, high, low], self.peer)
            .expect("sent");
        match self.is_complete {
            true => Ok(()),
            false => self.receive(),
        }
    }

    fn receive(&mut self) -> Result<(), TftpError> {
        let mut packet = [0; 600];
        loop {
            let (len, peer) = self
                .socket
                .recv_from(&mut packet)
                .expect("an answer in time");
            let number = u16::from_be_bytes([packet[2], packet[3]]);
            match packet[1] {
                3 if number == self.block.wrapping_add(1) => {
                    self.peer = peer;
                    self.block = number;
                    self.content.extend_from_slice(&packet[4..len]);
                    self.is_complete = len < 4 + 512;
                    return Ok(());
                }
                3 => {}
                5 => {
                    let message = String::from_utf8_lossy(&packet[4..len]);
                    let message = message.trim_end_matches('\0').to_owned();
                    return Err(TftpError {
                        code: number,
                        message,
                    });
                }
                opcode => panic!("opcode {opcode}"),
            }
        }
    }
}

/// Fetches a file.
pub(crate) fn tftp_get(server: SocketAddr, file: &str) -> Result<Vec<u8>, TftpError> {
    tftp_get_from(server, Ipv4Addr::LOCALHOST.into(), file)
}

/// Fetches a file from this address of ours.
pub(crate) fn tftp_get_from(
    server: SocketAddr,
    from: IpAddr,
    file: &str,
) -> Result<Vec<u8>, TftpError> {
    let mut transfer = TftpTransfer::begin(server, from, file)?;
    while !transfer.is_complete {
        transfer.step()?;
    }
    transfer.step()?;
    Ok(transfer.content)
}

/// Fetches a path: the status code and the body.
pub(crate) fn http_get(server: SocketAddr, path: &str) -> (u16, Vec<u8>) {
    http_get_from(server, Ipv4Addr::LOCALHOST.into(), path)
}

/// The same from this address of ours.
pub(crate) fn http_get_from(server: SocketAddr, from: IpAddr, path: &str) -> (u16, Vec<u8>) {
    use nix::sys::socket::{
        AddressFamily, SockFlag, SockType, SockaddrStorage, bind, connect, socket,
    };
    // The standard library binds no socket before it connects.
    let socket = socket(
        AddressFamily::Inet,
        SockType::Stream,
        SockFlag::SOCK_CLOEXEC,
        None,
    )
    .expect("a socket");
    let own = SockaddrStorage::from(SocketAddr::new(from, 0));
    bind(socket.as_raw_fd(), &own).expect("an address of ours");
    connect(socket.as_raw_fd(), &SockaddrStorage::from(server)).expect("listening");
    let mut stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    write!(stream, "GET {path} HTTP/1.0\r\n\r\n").expect("sent");
    let mut response = Vec::new();
    stream
        .read_to_end(&mut response)
        .expect("an answer in time");
    let end = response
        .windows(4)
        .position(|window| window == b"\r\n\r\n")
        .expect("a head");
    let body = response.split_off(end + 4);
    let head = String::from_utf8(response).expect("ASCII");
    let status = head.split(' ').nth(1).and_then(|code| code.parse().ok());
    (status.expect("a status"), body)
}

/// What a DHCP server gave.
#[derive(Debug)]
pub(crate) struct Lease {
    pub(crate) address: Ipv4Addr,
    pub(crate) next_server: Ipv4Addr,
    pub(crate) file: String,
    /// Option 81.
    pub(crate) fqdn: Option<Vec<u8>>,
}

/// An x64 UEFI machine behind a relay, which is the only kind that needs no privileges.
pub(crate) struct DhcpClient {
    relay: UdpSocket,
    mac: [u8; 6],
    /// Options that it sends besides.
    options: Vec<u8>,
}

impl DhcpClient {
    /// The relay's address on loopback; its port is the server's, too (RFC 2131 section 4.1).
    pub(crate) const RELAY: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);

    pub(crate) fn bind() -> Self {
        let relay = UdpSocket::bind((Self::RELAY, 0)).expect("a port");
        relay.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        Self {
            relay,
            mac: [0x52, 0x54, 0, 0x12, 0x34, 0x56],
            options: Vec::new(),
        }
    }

    /// The same machine sends this option, and no other of these, from now on.
    pub(crate) fn say(&mut self, code: u8, data: &[u8]) {
        let len = u8::try_from(data.len()).expect("short");
        self.options = [&[code, len], data].concat();
    }

    /// Another machine behind the same relay.
    pub(crate) fn with_mac(mut self, mac: [u8; 6]) -> Self {
        self.mac = mac;
        self
    }

    /// From now on it is another machine.
    pub(crate) fn set_mac(&mut self, mac: [u8; 6]) {
        self.mac = mac;
    }

    pub(crate) fn port(&self) -> u16 {
        self.relay.local_addr().expect("bound").port()
    }

    pub(crate) fn mac(&self) -> MacAddr {
        MacAddr::new(self.mac)
    }

    /// DISCOVER, OFFER, REQUEST, ACK.
    pub(crate) fn boot(&self, server: SocketAddr) -> Lease {
        let offer = self.exchange(server, 1, &[]);
        let address: [u8; 4] = offer[16..20].try_into().expect("four octets");
        let server_id = option(&offer, 54).expect("a server identifier");
        let mut options = vec![50, 4];
        options.extend_from_slice(&address);
        options.extend_from_slice(&[54, 4]);
        options.extend_from_slice(&server_id);
        let ack = self.exchange(server, 3, &options);
        assert_eq!(option(&ack, 53), Some(vec![5]), "DHCPACK");
        let file = ack[108..236]
            .split(|byte| *byte == 0)
            .next()
            .unwrap_or_default();
        Lease {
            address: Ipv4Addr::from(<[u8; 4]>::try_from(&ack[16..20]).expect("four octets")),
            next_server: Ipv4Addr::from(<[u8; 4]>::try_from(&ack[20..24]).expect("four octets")),
            file: String::from_utf8(file.to_vec()).expect("UTF-8"),
            fqdn: option(&ack, 81),
        }
    }

    /// Gives its address back, which nobody answers.
    pub(crate) fn release(&self, server: SocketAddr, address: Ipv4Addr) {
        self.send_from(server, 7, address, &[]);
    }

    /// The REQUEST with which the machine takes an address from another server, and which nobody
    /// answers here.
    pub(crate) fn take_from_another(&self, server: SocketAddr, address: Ipv4Addr) {
        let mut options = vec![50, 4];
        options.extend_from_slice(&address.octets());
        options.extend_from_slice(&[54, 4, 10, 0, 0, 1]);
        self.send(server, 3, &options);
    }

    fn exchange(&self, server: SocketAddr, message_type: u8, options: &[u8]) -> Vec<u8> {
        self.send(server, message_type, options);
        let mut reply = vec![0; 1500];
        let (len, _) = self.relay.recv_from(&mut reply).expect("an answer in time");
        reply.truncate(len);
        assert!(
            len >= 300 && &reply[4..8] == b"xid!",
            "a reply to this request"
        );
        reply
    }

    fn send(&self, server: SocketAddr, message_type: u8, options: &[u8]) {
        self.send_from(server, message_type, Ipv4Addr::UNSPECIFIED, options);
    }

    fn send_from(&self, server: SocketAddr, message_type: u8, from: Ipv4Addr, options: &[u8]) {
        let mut message = vec![0; 236];
        message[..4].copy_from_slice(&[1, 1, 6, 1]);
        message[4..8].copy_from_slice(b"xid!");
        message[12..16].copy_from_slice(&from.octets());
        message[24..28].copy_from_slice(&Self::RELAY.octets());
        message[28..34].copy_from_slice(&self.mac);
        message.extend_from_slice(&[99, 130, 83, 99, 53, 1, message_type, 93, 2, 0, 7]);
        let class = b"PXEClient:Arch:00007:UNDI:003000";
        message.extend_from_slice(&[60, class.len() as u8]);
        message.extend_from_slice(class);
        message.extend_from_slice(&[55, 4, 1, 3, 66, 67]);
        message.extend_from_slice(options);
        message.extend_from_slice(&self.options);
        message.push(255);
        self.relay.send_to(&message, server).expect("sent");
    }
}

fn option(message: &[u8], code: u8) -> Option<Vec<u8>> {
    let mut options = &message[240..];
    while let [found, rest @ ..] = options {
        match (*found, rest) {
            (0, _) => options = rest,
            (255, _) => return None,
            (found, [len, rest @ ..]) => {
                let (value, rest) = rest.split_at(usize::from(*len));
                if found == code {
                    return Some(value.to_vec());
                }
                options = rest;
            }
            _ => return None,
        }
    }
    None
}
