//! What was asked and answered on the wire: DHCP, DNS, TFTP and HTTP, as far as a boot is judged by it.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::Duration;

use crate::matrix::{Protocol, Step};
use crate::network::MACHINE;
use crate::pcap::{self, Packet, Transport};

/// The port of HTTP over TLS.
const HTTPS: u16 = 443;

fn is_https(packet: &Packet<'_>) -> bool {
    packet.source.port() == HTTPS || packet.destination.port() == HTTPS
}

/// The conversations of one capture. All times are since the Unix epoch.
#[derive(Debug, Default)]
pub(crate) struct Conversations {
    pub(crate) discover: Option<Discover>,
    /// When each DHCPACK was sent.
    pub(crate) acks: Vec<Duration>,
    /// Each answer of a DHCP server.
    pub(crate) replies: Vec<Reply>,
    pub(crate) requests: Vec<Request>,
    pub(crate) lookups: Vec<Lookup>,
}

/// The machine's first DHCPDISCOVER.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Discover {
    pub(crate) at: Duration,
    /// Option 60.
    pub(crate) vendor_class: Option<String>,
    /// Option 77.
    pub(crate) user_class: Option<String>,
}

/// What an answer of a DHCP server told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Reply {
    pub(crate) from: Ipv4Addr,
    /// It has an address for the client.
    pub(crate) leases: bool,
    /// It says what to boot, or that it could: `file`, or option 43, 60 or 67.
    pub(crate) boots: bool,
}

/// A request for a file.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) at: Duration,
    pub(crate) protocol: Protocol,
    /// As it was asked for.
    pub(crate) path: String,
    /// Only its size is asked for, as EDK2 does before it reads by HTTP.
    head: bool,
    client: SocketAddrV4,
    server: SocketAddrV4,
    /// How often it was sent again before an answer.
    pub(crate) repeats: u32,
    pub(crate) answer: Option<Answer>,
}

/// A question for a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Lookup {
    id: u16,
    client: SocketAddrV4,
    pub(crate) server: SocketAddrV4,
    /// As it was asked for, without the root's dot.
    pub(crate) name: String,
    /// 1 is A, 28 is AAAA.
    pub(crate) kind: u16,
    /// The code of the answer and how many records it has.
    pub(crate) answer: Option<(u16, u16)>,
}

impl Lookup {
    /// Whether this name's IPv4 address was asked for and told.
    pub(crate) fn finds(&self, name: &str) -> bool {
        let has_records = self
            .answer
            .is_some_and(|(rcode, count)| rcode == 0 && count > 0);
        self.kind == 1 && has_records && self.name.eq_ignore_ascii_case(name)
    }
}

impl fmt::Display for Lookup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "dns {} type {} at {}: ",
            self.name, self.kind, self.server
        )?;
        match self.answer {
            None => f.write_str("no answer"),
            Some((rcode, count)) => write!(f, "rcode {rcode}, {count} records"),
        }
    }
}

/// The first answer to a request.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// TFTP DATA, and when.
    Data(Duration),
    /// TFTP ERROR of the server.
    Error(u16, String),
    /// TFTP ERROR of the client before any data, or an answer to HTTP HEAD: a size probe.
    Probe,
    /// HTTP status.
    Status(u16),
}

impl Request {
    /// Whether it was answered with content.
    pub(crate) fn is_served(&self) -> bool {
        matches!(self.answer, Some(Answer::Data(_) | Answer::Status(200)))
    }

    /// Whether it is the one that a cell expects.
    pub(crate) fn is(&self, step: &Step) -> bool {
        // What is asked for over TLS, the verdict looks for elsewhere.
        self.protocol == step.protocol
            && (step.protocol == Protocol::Https || step.is_for(&self.path))
    }
}

impl fmt::Display for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: ", self.protocol, self.path)?;
        match &self.answer {
            None => f.write_str("no answer")?,
            Some(Answer::Data(_)) => f.write_str("data")?,
            Some(Answer::Error(code, text)) => write!(f, "error {code} {text:?}")?,
            Some(Answer::Probe) => f.write_str("only the size was asked for")?,
            Some(Answer::Status(status)) => write!(f, "status {status}")?,
        }
        match self.repeats {
            0 => Ok(()),
            times => write!(f, " (sent {} times)", times + 1),
        }
    }
}

impl Conversations {
    /// Reads a capture file.
    pub(crate) fn read(capture: &[u8]) -> Result<Conversations, String> {
        let mut conversations = Conversations::default();
        for frame in pcap::frames(capture)? {
            if let Some(packet) = pcap::packet(frame.bytes) {
                conversations.add(frame.at, &packet);
            }
        }
        Ok(conversations)
    }

    fn add(&mut self, at: Duration, packet: &Packet<'_>) {
        match packet.transport {
            // A server that looks for others on its network is a client as well, but not ours.
            Transport::Udp if is_dhcp(packet) => {
                if is_of_machine(packet.payload) {
                    self.add_dhcp(at, packet);
                }
            }
            Transport::Udp if is_dns(packet) => self.add_dns(packet),
            Transport::Udp => self.add_tftp(at, packet),
            Transport::Tcp if is_https(packet) => self.add_https(at, packet),
            Transport::Tcp => self.add_http(at, packet),
        }
    }

    fn add_dhcp(&mut self, at: Duration, packet: &Packet<'_>) {
        const BOOTREPLY: u8 = 2;
        const DHCPDISCOVER: u8 = 1;
        const DHCPACK: u8 = 5;
        let message = packet.payload;
        if message.first() == Some(&BOOTREPLY) {
            let set = |field: Option<&[u8]>| field.is_some_and(|field| field != [0; 4]);
            self.replies.push(Reply {
                from: *packet.source.ip(),
                leases: set(message.get(16..20)),
                boots: message.get(108).is_some_and(|first| *first != 0)
                    || [43, 60, 67]
                        .iter()
                        .any(|code| dhcp_option(message, *code).is_some()),
            });
        }
        match dhcp_option(message, 53).and_then(|value| value.first()) {
            Some(&DHCPDISCOVER) if self.discover.is_none() => {
                let text = |code| {
                    dhcp_option(message, code)
                        .map(|value| String::from_utf8_lossy(value).into_owned())
                };
                self.discover = Some(Discover {
                    at,
                    vendor_class: text(60),
                    user_class: text(77),
                });
            }
            Some(&DHCPACK) => self.acks.push(at),
            _ => {}
        }
    }

    fn add_dns(&mut self, packet: &Packet<'_>) {
        const RESPONSE: u16 = 0x8000;
        let message = packet.payload;
        let word = |at: usize| {
            let octets = message.get(at..at + 2)?;
            Some(u16::from_be_bytes([*octets.first()?, *octets.get(1)?]))
        };
        let (Some(id), Some(flags), Some(answers)) = (word(0), word(2), word(6)) else {
            return;
        };
        if flags & RESPONSE == 0 {
            let Some((name, end)) = dns_name(message) else {
                return;
            };
            self.lookups.push(Lookup {
                id,
                client: packet.source,
                server: packet.destination,
                name,
                kind: word(end).unwrap_or_default(),
                answer: None,
            });
            return;
        }
        // One that was asked again is answered as well.
        let (client, server) = (packet.destination, packet.source);
        let is_asked = |lookup: &&mut Lookup| {
            (lookup.id, lookup.client, lookup.server) == (id, client, server)
        };
        for lookup in self.lookups.iter_mut().filter(is_asked) {
            lookup.answer.get_or_insert((flags & 0xf, answers));
        }
    }

    fn add_tftp(&mut self, at: Duration, packet: &Packet<'_>) {
        const RRQ: u16 = 1;
        const DATA: u16 = 3;
        const ERROR: u16 = 5;
        let Some((opcode, rest)) = packet.payload.split_first_chunk() else {
            return;
        };
        match u16::from_be_bytes(*opcode) {
            RRQ if packet.destination.port() == 69 => {
                if let Some(path) = rest.split(|byte| *byte == 0).next() {
                    self.ask(at, Protocol::Tftp, path, false, packet);
                }
            }
            DATA => {
                if let Some(request) = self.open(packet.destination, None) {
                    request.answer = Some(Answer::Data(at));
                }
            }
            ERROR => {
                let code = rest
                    .first_chunk()
                    .copied()
                    .map(u16::from_be_bytes)
                    .unwrap_or_default();
                let text = rest
                    .get(2..)
                    .and_then(|text| text.split(|byte| *byte == 0).next());
                let text = String::from_utf8_lossy(text.unwrap_or_default()).into_owned();
                if let Some(request) = self.open(packet.destination, None) {
                    request.answer = Some(Answer::Error(code, text));
                } else if let Some(request) = self.open(packet.source, None) {
                    request.answer = Some(Answer::Probe);
                }
            }
            _ => {}
        }
    }

    fn add_http(&mut self, at: Duration, packet: &Packet<'_>) {
        let mut words = packet.payload.split(|byte| byte.is_ascii_whitespace());
        match words.next() {
            Some(method @ (b"GET" | b"HEAD")) => {
                if let Some(path) = words.next() {
                    self.ask(at, Protocol::Http, path, method == b"HEAD", packet);
                }
            }
            Some(version) if version.starts_with(b"HTTP/1.") => {
                let status = words.next().and_then(|word| std::str::from_utf8(word).ok());
                let status = status.and_then(|word| word.parse().ok());
                if let (Some(status), Some(request)) =
                    (status, self.open(packet.destination, Some(packet.source)))
                {
                    request.answer = Some(match (request.head, status) {
                        (true, 200) => Answer::Probe,
                        _ => Answer::Status(status),
                    });
                }
            }
            _ => {}
        }
    }

    /// A connection counts as one request: it is asked with the first record of its handshake, and answered with the first
    /// data after it. An alert is no answer.
    fn add_https(&mut self, at: Duration, packet: &Packet<'_>) {
        const HANDSHAKE: u8 = 22;
        const APPLICATION_DATA: u8 = 23;
        let is_asked = |request: &Request| {
            request.protocol == Protocol::Https && request.client == packet.source
        };
        match packet.payload.first() {
            Some(&HANDSHAKE)
                if packet.destination.port() == HTTPS && !self.requests.iter().any(is_asked) =>
            {
                let server = packet.destination.to_string();
                self.ask(at, Protocol::Https, server.as_bytes(), false, packet);
            }
            Some(&APPLICATION_DATA) if packet.source.port() == HTTPS => {
                if let Some(request) = self.open(packet.destination, Some(packet.source)) {
                    request.answer = Some(Answer::Data(at));
                }
            }
            _ => {}
        }
    }

    fn ask(
        &mut self,
        at: Duration,
        protocol: Protocol,
        path: &[u8],
        head: bool,
        packet: &Packet<'_>,
    ) {
        let path = String::from_utf8_lossy(path).into_owned();
        // Sent again from the same port before an answer: a retransmission.
        if let Some(request) = self.open(packet.source, None)
            && request.path == path
        {
            request.repeats += 1;
            return;
        }
        self.requests.push(Request {
            at,
            protocol,
            path,
            head,
            client: packet.source,
            server: packet.destination,
            repeats: 0,
            answer: None,
        });
    }

    /// The client's last request, if it is not yet answered.
    fn open(&mut self, client: SocketAddrV4, server: Option<SocketAddrV4>) -> Option<&mut Request> {
        let same = |request: &&mut Request| {
            request.client == client && server.is_none_or(|server| request.server == server)
        };
        self.requests
            .iter_mut()
            .rev()
            .find(same)
            .filter(|request| request.answer.is_none())
    }
}

/// Whether the datagram is one of DHCP, or of PXE's port for boot servers (PXE 2.1 section 2.2).
pub(crate) fn is_dhcp(packet: &Packet<'_>) -> bool {
    let ports = [packet.source.port(), packet.destination.port()];
    packet.transport == Transport::Udp && ports.iter().any(|port| [67, 4011].contains(port))
}

fn is_dns(packet: &Packet<'_>) -> bool {
    [packet.source.port(), packet.destination.port()].contains(&53)
}

/// The first question's name, and where its type begins.
fn dns_name(message: &[u8]) -> Option<(String, usize)> {
    const HEADER_LEN: usize = 12;
    let (mut labels, mut at) = (Vec::new(), HEADER_LEN);
    loop {
        let len = usize::from(*message.get(at)?);
        if len == 0 {
            return Some((labels.join("."), at + 1));
        }
        let label = message.get(at + 1..at + 1 + len)?;
        labels.push(String::from_utf8_lossy(label).into_owned());
        at += 1 + len;
    }
}

/// Whether the DHCP message is from the machine, or for it: `chaddr` is its address.
pub(crate) fn is_of_machine(message: &[u8]) -> bool {
    message.get(28..34) == Some(&MACHINE)
}

/// The value of an option outside the `file` and `sname` fields; the first, where it is split.
fn dhcp_option(message: &[u8], code: u8) -> Option<&[u8]> {
    dhcp_options(message)
        .find(|(this, _)| *this == code)
        .map(|(_, value)| value)
}

/// The options outside the `file` and `sname` fields, in their order, up to the first that is cut off.
pub(crate) fn dhcp_options(message: &[u8]) -> impl Iterator<Item = (u8, &[u8])> {
    const MAGIC_COOKIE: [u8; 4] = [99, 130, 83, 99];
    const PAD: u8 = 0;
    const END: u8 = 255;
    let marked = message.get(236..240) == Some(&MAGIC_COOKIE);
    let mut rest = message.get(240..).filter(|_| marked).unwrap_or_default();
    std::iter::from_fn(move || {
        loop {
            let (&code, after) = rest.split_first()?;
            match code {
                PAD => rest = after,
                END => return None,
                _ => {
                    let (&len, after) = after.split_first()?;
                    let (value, after) = after.split_at_checked(len.into())?;
                    rest = after;
                    return Some((code, value));
                }
            }
        }
    })
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::pcap::tests::frame;

    pub(crate) const CLIENT: &str = "10.77.0.30:2070";
    pub(crate) const TFTP: &str = "10.77.0.1:69";
    pub(crate) const TRANSFER: &str = "10.77.0.1:40000";
    pub(crate) const HTTP_CLIENT: &str = "10.77.0.30:49152";
    pub(crate) const HTTP: &str = "10.77.0.1:8080";

    /// A script of packets, a tenth of a second apart.
    #[derive(Default)]
    pub(crate) struct Script {
        pub(crate) conversations: Conversations,
        pub(crate) clock: Duration,
    }

    impl Script {
        fn send(&mut self, transport: Transport, from: &str, to: &str, payload: &[u8]) {
            self.clock += Duration::from_millis(100);
            let bytes = frame(transport, from, to, payload);
            self.conversations
                .add(self.clock, &pcap::packet(&bytes).unwrap());
        }

        pub(crate) fn udp(&mut self, from: &str, to: &str, payload: &[u8]) {
            self.send(Transport::Udp, from, to, payload);
        }

        pub(crate) fn tcp(&mut self, from: &str, to: &str, payload: &str) {
            self.send(Transport::Tcp, from, to, payload.as_bytes());
        }

        pub(crate) fn dhcp(&mut self, kind: u8, options: &[(u8, &[u8])]) {
            let mut message = vec![0; 236];
            message[28..34].copy_from_slice(&MACHINE);
            message.extend([99, 130, 83, 99, 0, 53, 1, kind]);
            for (code, value) in options {
                message.extend([*code, u8::try_from(value.len()).unwrap()]);
                message.extend(*value);
            }
            message.push(255);
            self.udp("0.0.0.0:68", "255.255.255.255:67", &message);
        }

        pub(crate) fn tftp_file(&mut self, path: &str) {
            self.udp(
                CLIENT,
                TFTP,
                format!("\0\x01{path}\0octet\0tsize\x000\0").as_bytes(),
            );
            self.udp(TRANSFER, CLIENT, b"\0\x06tsize\x005\0");
            self.udp(CLIENT, TRANSFER, b"\0\x04\0\0");
            self.udp(TRANSFER, CLIENT, b"\0\x03\0\x01hello");
        }

        pub(crate) fn http_file(&mut self, path: &str) {
            self.tcp(HTTP_CLIENT, HTTP, &format!("GET {path} HTTP/1.0\r\n\r\n"));
            self.tcp(HTTP, HTTP_CLIENT, "HTTP/1.0 200 OK\r\n\r\n");
        }
    }

    #[test]
    fn dhcp_is_followed() {
        let mut script = Script::default();
        script.dhcp(
            1,
            &[(60, b"PXEClient:Arch:00000:UNDI:002001"), (77, b"iPXE")],
        );
        script.dhcp(1, &[(60, b"other")]);
        script.dhcp(5, &[]);
        let discover = script.conversations.discover.unwrap();
        assert_eq!(discover.at, Duration::from_millis(100));
        assert_eq!(
            discover.vendor_class.unwrap(),
            "PXEClient:Arch:00000:UNDI:002001"
        );
        assert_eq!(discover.user_class.unwrap(), "iPXE");
        assert_eq!(script.conversations.acks, [Duration::from_millis(300)]);
    }

    #[test]
    fn a_server_that_looks_for_others_is_not_the_machine() {
        let mut script = Script::default();
        let mut search = vec![1];
        search.resize(236, 0);
        search.extend([99, 130, 83, 99, 53, 1, 1, 255]);
        script.udp("0.0.0.0:68", "255.255.255.255:67", &search);
        assert_eq!(script.conversations.discover, None);
        script.dhcp(1, &[]);
        assert!(script.conversations.discover.is_some());
    }

    #[test]
    fn dhcp_that_is_cut_off_is_passed_over() {
        let mut message = vec![0; 236];
        message.extend([99, 130, 83, 99, 53, 1, 1, 60, 9, b'P']);
        for len in 0..message.len() {
            assert_eq!(dhcp_option(&message[..len], 60), None);
        }
        assert_eq!(dhcp_option(&message, 60), None);
        assert_eq!(dhcp_option(&message, 53), Some(&[1][..]));
    }

    #[test]
    fn tftp_files_errors_and_repetitions_are_followed() {
        let mut script = Script::default();
        script.tftp_file("bios/lpxelinux.0");
        script.udp(CLIENT, TFTP, b"\0\x01/none\0octet\0");
        script.udp(CLIENT, TFTP, b"\0\x01/none\0octet\0");
        script.udp(TRANSFER, CLIENT, b"\0\x05\0\x01not found\0");
        let [file, none] = &script.conversations.requests[..] else {
            panic!("two requests")
        };
        assert!(file.is(&Step {
            protocol: Protocol::Tftp,
            path: "bios/lpxelinux.0".into()
        }));
        assert_eq!(file.answer, Some(Answer::Data(Duration::from_millis(400))));
        assert!(none.is(&Step {
            protocol: Protocol::Tftp,
            path: "none".into()
        }));
        assert!(!none.is_served());
        assert_eq!(
            none.to_string(),
            "tftp /none: error 1 \"not found\" (sent 2 times)"
        );
    }

    #[test]
    fn https_is_seen_without_what_is_asked_for() {
        const HTTPS: &str = "10.77.0.1:443";
        let step = Step {
            protocol: Protocol::Https,
            path: "ipxe/snponly.efi".into(),
        };
        let mut script = Script::default();
        script.tcp(HTTP_CLIENT, HTTPS, "\x16\x03\x01hello");
        script.tcp(HTTPS, HTTP_CLIENT, "\x16\x03\x03hello");
        script.tcp(HTTP_CLIENT, HTTPS, "\x16\x03\x03key");
        // An alert is no answer.
        script.tcp(HTTPS, HTTP_CLIENT, "\x15\x03\x03no");
        let [request] = &script.conversations.requests[..] else {
            panic!("one request")
        };
        assert!(request.is(&step) && !request.is_served());
        assert_eq!(request.to_string(), "https 10.77.0.1:443: no answer");
        script.tcp(HTTPS, HTTP_CLIENT, "\x17\x03\x03data");
        assert!(script.conversations.requests[0].is_served());
    }

    #[test]
    fn edk2_asks_for_the_size_and_aborts_before_it_reads() {
        let mut script = Script::default();
        script.udp(CLIENT, TFTP, b"\0\x01x.efi\0octet\0tsize\x000\0");
        script.udp(TRANSFER, CLIENT, b"\0\x06tsize\x005\0");
        script.udp(CLIENT, TRANSFER, b"\0\x05\0\x08User aborted the transfer\0");
        script.tftp_file("x.efi");
        let [probe, read] = &script.conversations.requests[..] else {
            panic!("two requests")
        };
        assert_eq!(probe.answer, Some(Answer::Probe));
        assert!(!probe.is_served() && read.is_served());
    }

    #[test]
    fn lpxelinux_asks_for_all_its_files_from_one_port() {
        let mut script = Script::default();
        script.tftp_file("a");
        script.tftp_file("b");
        assert!(script.conversations.requests.iter().all(Request::is_served));
        assert_eq!(script.conversations.requests.len(), 2);
    }

    #[test]
    fn http_is_followed() {
        let mut script = Script::default();
        script.http_file("/debian/linux");
        script.tcp(HTTP_CLIENT, HTTP, "GET /none HTTP/1.1\r\n\r\n");
        script.tcp(HTTP, "10.77.0.31:49152", "HTTP/1.1 200 OK\r\n\r\n");
        script.tcp(HTTP, HTTP_CLIENT, "HTTP/1.1 404 Not Found\r\n\r\n");
        let [linux, none] = &script.conversations.requests[..] else {
            panic!("two requests")
        };
        assert!(linux.is(&Step {
            protocol: Protocol::Http,
            path: "debian/linux".into()
        }));
        assert!(linux.is_served());
        assert_eq!(none.to_string(), "http /none: status 404");
    }
}
