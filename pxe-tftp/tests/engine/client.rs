//! A client as RFC 1350, 2347 and 7440 describe it.

use std::time::Duration;

use pxe_core::{Instant, Now};
use pxe_tftp::wire::{self, ErrorCode, Opcode, Options, Packet, Request};

/// What a client asks for.
#[derive(Debug, Clone)]
pub(crate) struct Ask {
    pub(crate) filename: Vec<u8>,
    pub(crate) mode: &'static str,
    pub(crate) options: Vec<(&'static str, String)>,
    /// Time until it repeats its last packet.
    pub(crate) timeout: Duration,
    /// Gives up after so many repetitions in a row.
    pub(crate) repeats_max: u32,
}

impl Ask {
    pub(crate) fn new(filename: &str) -> Self {
        Self {
            filename: filename.into(),
            mode: "octet",
            options: Vec::new(),
            timeout: Duration::from_millis(700),
            repeats_max: 40,
        }
    }

    #[allow(clippy::needless_pass_by_value)] // reads better where it is called
    pub(crate) fn option(mut self, name: &'static str, value: impl ToString) -> Self {
        self.options.push((name, value.to_string()));
        self
    }

    pub(crate) fn mode(mut self, mode: &'static str) -> Self {
        self.mode = mode;
        self
    }

    pub(crate) fn packet(&self, opcode: Opcode) -> Vec<u8> {
        let mut pairs = Vec::new();
        for (name, value) in &self.options {
            pairs.extend_from_slice(name.as_bytes());
            pairs.push(0);
            pairs.extend_from_slice(value.as_bytes());
            pairs.push(0);
        }
        let options = Options::decode(&pairs);
        let request = Request::new(&self.filename, self.mode.as_bytes(), options);
        let mut out = Vec::new();
        wire::encode_request(&mut out, opcode, &request);
        out
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Ending {
    Complete,
    GaveUp,
    Error(ErrorCode, String),
}

/// A running client. Its packets go out through `sent`.
#[derive(Debug)]
pub(crate) struct Client {
    ask: Ask,
    /// The server's port for this transfer, once it is known.
    server_port: Option<u16>,
    blksize: usize,
    windowsize: u64,
    pub(crate) tsize: Option<u64>,
    /// The last block received in order; `None` before anything came.
    received: Option<u64>,
    /// Blocks received since the last ACK.
    in_window: u64,
    /// A gap was reported, and nothing in order came since.
    gap_reported: bool,
    pub(crate) data: Vec<u8>,
    last_packet: Vec<u8>,
    repeats: u32,
    pub(crate) deadline: Option<Instant>,
    pub(crate) ending: Option<Ending>,
    /// How many DATA packets came in.
    pub(crate) data_packets: u64,
}

/// A packet to a port of the server.
pub(crate) type Sent = (u16, Vec<u8>);

impl Client {
    pub(crate) fn start(now: Now, ask: Ask) -> (Self, Sent) {
        let rrq = ask.packet(Opcode::RRQ);
        let client = Self {
            server_port: None,
            blksize: 512,
            windowsize: 1,
            tsize: None,
            received: None,
            in_window: 0,
            gap_reported: false,
            data: Vec::new(),
            last_packet: rrq.clone(),
            repeats: 0,
            deadline: Some(now.mono + ask.timeout),
            ending: None,
            data_packets: 0,
            ask,
        };
        (client, (69, rrq))
    }

    fn acknowledge(&mut self, now: Now) -> Sent {
        let block = self.received.unwrap_or(0);
        let mut ack = Vec::new();
        wire::encode_ack(&mut ack, block as u16);
        self.last_packet.clone_from(&ack);
        self.in_window = 0;
        self.deadline = Some(now.mono + self.ask.timeout);
        (self.server_port.expect("a packet came"), ack)
    }

    pub(crate) fn handle_timeout(&mut self, now: Now) -> Option<Sent> {
        if self.deadline.is_none_or(|deadline| now.mono < deadline) {
            return None;
        }
        if self.ending.is_some() {
            self.deadline = None;
            return None;
        }
        self.repeats += 1;
        if self.repeats > self.ask.repeats_max {
            self.ending = Some(Ending::GaveUp);
            self.deadline = None;
            return None;
        }
        self.deadline = Some(now.mono + self.ask.timeout);
        if self.in_window > 0 {
            return Some(self.acknowledge(now));
        }
        Some((self.server_port.unwrap_or(69), self.last_packet.clone()))
    }

    pub(crate) fn handle_packet(&mut self, now: Now, from: u16, bytes: &[u8]) -> Option<Sent> {
        let packet = Packet::decode(bytes).expect("a server sends valid packets");
        match self.server_port {
            Some(port) if port != from => {
                if matches!(packet, Packet::Error { .. }) {
                    return None;
                }
                let mut error = Vec::new();
                wire::encode_error(&mut error, ErrorCode::UNKNOWN_TRANSFER_ID, b"");
                return Some((from, error));
            }
            _ => {}
        }
        match packet {
            Packet::OptionAck(options) => {
                self.server_port = Some(from);
                if self.received.is_some_and(|received| received > 0) {
                    return None;
                }
                self.take_options(&options);
                self.received = Some(0);
                Some(self.acknowledge(now))
            }
            Packet::Data { block, payload } => {
                self.server_port = Some(from);
                self.data_packets += 1;
                self.handle_data(now, block, payload)
            }
            Packet::Error { code, message } => {
                if self.ending.is_none() {
                    let message = String::from_utf8_lossy(message).into_owned();
                    self.ending = Some(Ending::Error(code, message));
                    self.deadline = None;
                }
                None
            }
            other => panic!("a server does not send {other:?}"),
        }
    }

    fn take_options(&mut self, options: &Options<'_>) {
        let number = |name: &str| -> Option<u64> {
            let value = options.get(name)?;
            Some(
                std::str::from_utf8(value)
                    .expect("digits")
                    .parse()
                    .expect("digits"),
            )
        };
        assert!(!options.is_empty(), "an empty OACK must not be sent");
        for (name, value) in options.iter() {
            let asked = self
                .ask
                .options
                .iter()
                .find(|(asked, _)| asked.as_bytes() == name)
                .expect("only what was asked for is answered");
            if name != b"tsize" {
                let asked: u64 = asked.1.parse().unwrap();
                let got: u64 = std::str::from_utf8(value).unwrap().parse().unwrap();
                assert!(got <= asked, "no value is greater than what was asked for");
            }
        }
        if let Some(blksize) = number("blksize") {
            self.blksize = blksize as usize;
        }
        if let Some(windowsize) = number("windowsize") {
            self.windowsize = windowsize;
        }
        self.tsize = number("tsize");
    }

    fn handle_data(&mut self, now: Now, block: u16, payload: &[u8]) -> Option<Sent> {
        let expected = self.received.unwrap_or(0) + 1;
        let ahead = block.wrapping_sub(expected as u16);
        if ahead == 0 && self.ending.is_none() {
            assert!(
                payload.len() <= self.blksize,
                "no block is greater than negotiated"
            );
            self.received = Some(expected);
            self.data.extend_from_slice(payload);
            self.in_window += 1;
            self.repeats = 0;
            self.gap_reported = false;
            self.deadline = Some(now.mono + self.ask.timeout);
            let last = payload.len() < self.blksize;
            if last {
                self.ending = Some(Ending::Complete);
            }
            return (last || self.in_window == self.windowsize).then(|| self.acknowledge(now));
        }
        let behind = ahead > u16::MAX / 2;
        if behind || self.ending.is_some() {
            // A duplicate of what was acknowledged last: that ACK was lost.
            let repeat = block == self.received.unwrap_or(0) as u16 && self.in_window == 0;
            return repeat.then(|| self.acknowledge(now));
        }
        // A gap: RFC 7440 section 4 asks for an ACK of the last block before it.
        if self.gap_reported {
            return None;
        }
        self.gap_reported = true;
        self.received.is_some().then(|| self.acknowledge(now))
    }
}
