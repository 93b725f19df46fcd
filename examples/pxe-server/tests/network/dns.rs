//! A client of DNS: a question, and what came of it.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream, UdpSocket};
use std::time::Duration;

use pxe_dns::{Name, NameRef, RecordType};

/// What came of a question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reply {
    /// The code: 0 is no error, 3 that there is no such name, 5 that the server does not want to.
    pub(crate) rcode: u8,
    /// Whether it comes from a zone of the server's own.
    pub(crate) is_authoritative: bool,
    /// The answer section, as `name TYPE data`; of SOA the serial, and what is neither an address nor
    /// a name is left out.
    pub(crate) answers: Vec<String>,
}

/// Asks by UDP.
pub(crate) fn ask(server: SocketAddr, name: &str, kind: RecordType) -> Reply {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let patience = Some(Duration::from_secs(10));
    socket.set_read_timeout(patience).expect("valid");
    socket.send_to(&query(name, kind), server).expect("sent");
    let mut reply = [0; 4096];
    let (len, from) = socket.recv_from(&mut reply).expect("an answer in time");
    assert_eq!(from, server);
    read(&reply[..len])
}

/// Asks by TCP.
pub(crate) fn ask_by_tcp(server: SocketAddr, name: &str, kind: RecordType) -> Reply {
    let mut stream = TcpStream::connect(server).expect("listening");
    let patience = Some(Duration::from_secs(10));
    stream.set_read_timeout(patience).expect("valid");
    let query = query(name, kind);
    let len = u16::try_from(query.len()).expect("short");
    let message = [&len.to_be_bytes()[..], &query].concat();
    stream.write_all(&message).expect("open");
    let mut len = [0; 2];
    stream.read_exact(&mut len).expect("an answer in time");
    let mut reply = vec![0; usize::from(u16::from_be_bytes(len))];
    stream.read_exact(&mut reply).expect("whole");
    read(&reply)
}

fn query(name: &str, kind: RecordType) -> Vec<u8> {
    let name: Name = name.parse().expect("a name");
    let mut query = vec![0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    query.extend_from_slice(name.as_ref().wire());
    query.extend_from_slice(&kind.0.to_be_bytes());
    query.extend_from_slice(&[0, 1]);
    query
}

fn read(reply: &[u8]) -> Reply {
    let word = |at: usize| u16::from_be_bytes([reply[at], reply[at + 1]]);
    assert_eq!(word(0), 0x1234);
    assert_eq!(reply[2] & 0x80, 0x80, "a response");
    let mut at = 12;
    for _ in 0..word(4) {
        name_at(reply, &mut at);
        at += 4;
    }
    let mut answers = Vec::new();
    for _ in 0..word(6) {
        let owner = name_at(reply, &mut at);
        let (kind, len) = (RecordType(word(at)), usize::from(word(at + 8)));
        let mut data = at + 10;
        at = data + len;
        let data = match kind {
            RecordType::A => {
                let octets: [u8; 4] = reply[data..at].try_into().expect("an address");
                Ipv4Addr::from(octets).to_string()
            }
            RecordType::CNAME | RecordType::PTR | RecordType::NS => {
                name_at(reply, &mut data).to_string()
            }
            RecordType::SOA => {
                name_at(reply, &mut data);
                name_at(reply, &mut data);
                let serial: [u8; 4] = reply[data..data + 4].try_into().expect("a serial");
                u32::from_be_bytes(serial).to_string()
            }
            _ => String::new(),
        };
        answers.push(format!("{owner} {kind} {data}").trim_end().to_owned());
    }
    Reply {
        rcode: reply[3] & 0xf,
        is_authoritative: reply[2] & 4 != 0,
        answers,
    }
}

/// The name there, and behind it.
fn name_at(reply: &[u8], at: &mut usize) -> Name {
    let mut wire = Vec::new();
    let mut from = *at;
    let mut end = None;
    loop {
        match usize::from(reply[from]) {
            0 => break,
            high @ 0xc0.. => {
                end.get_or_insert(from + 2);
                from = (high & 0x3f) << 8 | usize::from(reply[from + 1]);
            }
            len => {
                wire.extend_from_slice(&reply[from..=from + len]);
                from += len + 1;
            }
        }
    }
    *at = end.unwrap_or(from + 1);
    wire.push(0);
    NameRef::from_wire(&wire).expect("a name").to_name()
}
