//! A server's reply, field by field, as texts that can be compared and read.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use dhcproto::{Decodable, Decoder, v4};

use crate::wiretap::Datagram;

/// A reply. Its fields by name: those of the header, `option N`, and `to`, where it went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reply {
    pub(crate) yiaddr: Ipv4Addr,
    pub(crate) fields: BTreeMap<String, String>,
}

impl Reply {
    /// Reads a reply with dhcproto, and its options a second time as bytes: dhcproto must find the
    /// same ones.
    pub(crate) fn read(datagram: &Datagram) -> Result<Self, String> {
        let payload = &datagram.payload;
        let bad = |what: &str| format!("{what} in the reply {payload:02x?}");
        let mut decoder = Decoder::new(payload);
        let message = v4::Message::decode(&mut decoder).map_err(|error| bad(&error.to_string()))?;
        let mut fields = BTreeMap::new();
        let mut put = |name: &str, value: String| fields.insert(name.to_owned(), value);
        put("op", format!("{:?}", message.opcode()));
        put("htype", format!("{:?}", message.htype()));
        put("hops", message.hops().to_string());
        put("secs", message.secs().to_string());
        put("flags", format!("{:04x}", u16::from(message.flags())));
        put("ciaddr", message.ciaddr().to_string());
        put("yiaddr", message.yiaddr().to_string());
        put("siaddr", message.siaddr().to_string());
        put("giaddr", message.giaddr().to_string());
        put("chaddr", hex(message.chaddr()));
        put("sname", name_of(payload.get(44..108)));
        put("file", name_of(payload.get(108..236)));
        put("to", datagram.destination.to_string());
        put(
            "link",
            match datagram.hardware_destination {
                [0xff, 0xff, 0xff, 0xff, 0xff, 0xff] => "everyone".to_owned(),
                one if one == message.chaddr() => "the client".to_owned(),
                _ => "another".to_owned(),
            },
        );
        let options = options(payload).ok_or_else(|| bad("a malformed option"))?;
        for (code, data) in &options {
            put(&format!("option {code}"), show(*code, data));
        }
        let codes: Vec<u8> = options.keys().copied().collect();
        let mut others: Vec<u8> = message
            .opts()
            .iter()
            .map(|(code, _)| u8::from(*code))
            .collect();
        others.sort_unstable();
        if codes != others {
            return Err(bad(&format!(
                "dhcproto finds the options {others:?}, not {codes:?}"
            )));
        }
        Ok(Self {
            yiaddr: message.yiaddr(),
            fields,
        })
    }

    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        self.fields.get(name).map(String::as_str)
    }

    /// The same with a word in place of each value that is this address.
    pub(crate) fn with_word(mut self, address: Ipv4Addr, word: &str) -> Self {
        let (whole, address) = (format!("{address}:68"), address.to_string());
        for value in self.fields.values_mut() {
            if *value == address {
                word.clone_into(value);
            } else if *value == whole {
                *value = format!("{word}:68");
            }
        }
        self
    }
}

/// The options by code, those of several parts joined (RFC 3396).
pub(crate) fn options(payload: &[u8]) -> Option<BTreeMap<u8, Vec<u8>>> {
    let mut options: BTreeMap<u8, Vec<u8>> = BTreeMap::new();
    let mut rest = payload.get(240..)?;
    loop {
        match *rest {
            [0, ref tail @ ..] => rest = tail,
            [255, ..] => return Some(options),
            [code, len, ref tail @ ..] => {
                let (data, tail) = tail.split_at_checked(len.into())?;
                options.entry(code).or_default().extend(data);
                rest = tail;
            }
            _ => return None,
        }
    }
}

fn name_of(field: Option<&[u8]>) -> String {
    let field = field.unwrap_or_default();
    let end = field.iter().position(|byte| *byte == 0);
    let name = field.get(..end.unwrap_or(field.len())).unwrap_or_default();
    String::from_utf8_lossy(name).into_owned()
}

/// An option's value: what its type is good for, where that is known.
pub(crate) fn show(code: u8, data: &[u8]) -> String {
    match (code, data) {
        (53, [1]) => "DISCOVER".to_owned(),
        (53, [2]) => "OFFER".to_owned(),
        (53, [5]) => "ACK".to_owned(),
        (53, [6]) => "NAK".to_owned(),
        (51 | 58 | 59, [a, b, c, d]) => u32::from_be_bytes([*a, *b, *c, *d]).to_string(),
        (1 | 3 | 6 | 28 | 50 | 54, [a, b, c, d]) => Ipv4Addr::new(*a, *b, *c, *d).to_string(),
        _ if data.iter().all(|byte| (0x20..0x7f).contains(byte)) => {
            String::from_utf8_lossy(data).into_owned()
        }
        _ => match data.split_last() {
            Some((0, text)) if text.iter().all(|byte| (0x20..0x7f).contains(byte)) => {
                format!("{}<NUL>", String::from_utf8_lossy(text))
            }
            _ => hex(data),
        },
    }
}

fn hex(data: &[u8]) -> String {
    data.iter().map(|byte| format!("{byte:02x}")).collect()
}
