//! The four messages of an exchange, written and read here and not by the crate under test.

use std::net::Ipv4Addr;

const OPTIONS_AT: usize = 240;
const MAGIC: [u8; 4] = [99, 130, 83, 99];
const DISCOVER: u8 = 1;
const OFFER: u8 = 2;
const REQUEST: u8 = 3;
const ACK: u8 = 5;

/// What a server said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Said {
    Offer {
        address: Ipv4Addr,
        server: Ipv4Addr,
    },
    Ack {
        address: Ipv4Addr,
    },
    /// A NAK, or what is no answer at all.
    Other,
}

/// The MAC of the client with this number.
pub(crate) fn mac(client: u32) -> [u8; 6] {
    let [a, b, c, d] = client.to_be_bytes();
    [0x02, 0x00, a, b, c, d]
}

/// The DISCOVER of a client, through the relay at `giaddr`.
pub(crate) fn discover(client: u32, xid: u32, giaddr: Ipv4Addr) -> Vec<u8> {
    message(client, xid, giaddr, DISCOVER, &[])
}

/// The REQUEST that takes an offer.
pub(crate) fn request(
    client: u32,
    xid: u32,
    giaddr: Ipv4Addr,
    address: Ipv4Addr,
    server: Ipv4Addr,
) -> Vec<u8> {
    let [a, b, c, d] = address.octets();
    let [e, f, g, h] = server.octets();
    message(
        client,
        xid,
        giaddr,
        REQUEST,
        &[50, 4, a, b, c, d, 54, 4, e, f, g, h],
    )
}

fn message(client: u32, xid: u32, giaddr: Ipv4Addr, kind: u8, options: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0; OPTIONS_AT];
    bytes[..4].copy_from_slice(&[1, 1, 6, 1]);
    bytes[4..8].copy_from_slice(&xid.to_be_bytes());
    bytes[24..28].copy_from_slice(&giaddr.octets());
    bytes[28..34].copy_from_slice(&mac(client));
    bytes[236..240].copy_from_slice(&MAGIC);
    bytes.extend([53, 1, kind]);
    bytes.extend(options);
    bytes.extend([55, 4, 1, 3, 6, 15, 255]);
    bytes.resize(bytes.len().max(300), 0);
    bytes
}

/// Which transaction a reply is of, and what it says.
pub(crate) fn read(bytes: &[u8]) -> Option<(u32, Said)> {
    if bytes.first() != Some(&2) || bytes.get(236..240) != Some(&MAGIC[..]) {
        return None;
    }
    let four = |at: usize| -> Option<[u8; 4]> { bytes.get(at..at + 4)?.try_into().ok() };
    let xid = u32::from_be_bytes(four(4)?);
    let address = Ipv4Addr::from(four(16)?);
    let (mut kind, mut server) = (0, None);
    let mut at = OPTIONS_AT;
    while let Some(code) = bytes.get(at).copied().filter(|code| *code != 255) {
        if code == 0 {
            at += 1;
            continue;
        }
        let len = usize::from(*bytes.get(at + 1)?);
        match code {
            53 => kind = *bytes.get(at + 2)?,
            54 => server = Some(Ipv4Addr::from(four(at + 2)?)),
            _ => {}
        }
        at += 2 + len;
    }
    let said = match (kind, server) {
        (OFFER, Some(server)) => Said::Offer { address, server },
        (ACK, _) => Said::Ack { address },
        _ => Said::Other,
    };
    Some((xid, said))
}
