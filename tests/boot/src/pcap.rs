//! Reads capture files (draft-ietf-opsawg-pcap) of Ethernet, and the IPv4 datagrams and TCP segments in them.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::Duration;

const MAGIC_MICROSECONDS: u32 = 0xa1b2_c3d4;
const MAGIC_NANOSECONDS: u32 = 0xa1b2_3c4d;
const LINKTYPE_ETHERNET: u32 = 1;

/// A frame: when it was seen, since the Unix epoch, and as much of it as was kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Frame<'a> {
    pub(crate) at: Duration,
    pub(crate) bytes: &'a [u8],
}

/// The frames of a capture file. A file that was cut off while it was written ends with its last whole frame.
pub(crate) fn frames(file: &[u8]) -> Result<impl Iterator<Item = Frame<'_>>, String> {
    let magic = field(file, 0).ok_or("the capture has no header")?;
    let little = |bytes: [u8; 4]| u32::from_le_bytes(bytes);
    let big = |bytes: [u8; 4]| u32::from_be_bytes(bytes);
    let (word, nanoseconds): (fn([u8; 4]) -> u32, bool) = match (little(magic), big(magic)) {
        (MAGIC_MICROSECONDS, _) => (little, false),
        (MAGIC_NANOSECONDS, _) => (little, true),
        (_, MAGIC_MICROSECONDS) => (big, false),
        (_, MAGIC_NANOSECONDS) => (big, true),
        (other, _) => return Err(format!("{other:#010x} is no magic number of a capture")),
    };
    // The upper bits say whether frames carry their checksum.
    let link_type = word(field(file, 20).ok_or("the capture's header is cut off")?) & 0x0fff_ffff;
    if link_type != LINKTYPE_ETHERNET {
        return Err(format!(
            "the capture is of link type {link_type}, not Ethernet"
        ));
    }
    let mut offset = 24;
    Ok(std::iter::from_fn(move || {
        let seconds = word(field(file, offset)?);
        let fraction = word(field(file, offset + 4)?);
        let kept = usize::try_from(word(field(file, offset + 8)?)).ok()?;
        let start = offset + 16;
        let bytes = file.get(start..start.checked_add(kept)?)?;
        offset = start + kept;
        let nanos = if nanoseconds {
            u64::from(fraction)
        } else {
            u64::from(fraction) * 1000
        };
        Some(Frame {
            at: Duration::from_secs(seconds.into()) + Duration::from_nanos(nanos),
            bytes,
        })
    }))
}

fn field(bytes: &[u8], offset: usize) -> Option<[u8; 4]> {
    bytes.get(offset..)?.first_chunk().copied()
}

/// What carries the payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Transport {
    Udp,
    Tcp,
}

/// The content of a UDP datagram or TCP segment over IPv4.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Packet<'a> {
    pub(crate) transport: Transport,
    pub(crate) source: SocketAddrV4,
    pub(crate) destination: SocketAddrV4,
    pub(crate) payload: &'a [u8],
}

/// Decodes an Ethernet frame; `None` for all that is not UDP or TCP over IPv4, and for later fragments.
pub(crate) fn packet(frame: &[u8]) -> Option<Packet<'_>> {
    const ETHERTYPE_IPV4: [u8; 2] = [0x08, 0x00];
    if frame.get(12..14)? != ETHERTYPE_IPV4 {
        return None;
    }
    let ip = frame.get(14..)?;
    let header_len = usize::from(ip.first()? & 0x0f) * 4;
    let total_len = usize::from(u16::from_be_bytes(*ip.get(2..)?.first_chunk()?));
    let fragment_offset = u16::from_be_bytes(*ip.get(6..)?.first_chunk()?) & 0x1fff;
    if fragment_offset != 0 {
        return None;
    }
    let address = |offset: usize| {
        ip.get(offset..)?
            .first_chunk::<4>()
            .copied()
            .map(Ipv4Addr::from)
    };
    // A short frame is padded by the link, a long one is cut off by the capture. With segmentation offload the length may be 0.
    let end = if total_len == 0 {
        ip.len()
    } else {
        total_len.min(ip.len())
    };
    let body = ip.get(header_len..end)?;
    let port = |offset: usize| {
        body.get(offset..)?
            .first_chunk()
            .copied()
            .map(u16::from_be_bytes)
    };
    let (transport, payload) = match ip.get(9)? {
        17 => (Transport::Udp, body.get(8..)?),
        6 => (
            Transport::Tcp,
            body.get(usize::from(body.get(12)? >> 4) * 4..)?,
        ),
        _ => return None,
    };
    Some(Packet {
        transport,
        source: SocketAddrV4::new(address(12)?, port(0)?),
        destination: SocketAddrV4::new(address(16)?, port(2)?),
        payload,
    })
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A UDP datagram or TCP segment in an Ethernet frame.
    pub(crate) fn frame(
        transport: Transport,
        source: &str,
        destination: &str,
        payload: &[u8],
    ) -> Vec<u8> {
        let source: SocketAddrV4 = source.parse().unwrap();
        let destination: SocketAddrV4 = destination.parse().unwrap();
        let mut body = Vec::new();
        body.extend(source.port().to_be_bytes());
        body.extend(destination.port().to_be_bytes());
        match transport {
            Transport::Udp => body.extend([0; 4]),
            Transport::Tcp => {
                body.extend([0; 8]);
                body.extend([5 << 4, 0, 0, 0, 0, 0, 0, 0]);
            }
        }
        body.extend(payload);
        let mut frame = vec![0; 12];
        frame.extend([0x08, 0x00, 0x45, 0]);
        frame.extend(u16::try_from(body.len() + 20).unwrap().to_be_bytes());
        frame.extend([0, 0, 0, 0, 64]);
        frame.push(if transport == Transport::Udp { 17 } else { 6 });
        frame.extend([0, 0]);
        frame.extend(source.ip().octets());
        frame.extend(destination.ip().octets());
        frame.extend(body);
        frame
    }

    pub(crate) fn capture(magic: u32, order: fn(u32) -> [u8; 4], frames: &[&[u8]]) -> Vec<u8> {
        let mut file = Vec::new();
        for word in [magic, 0x0004_0002, 0, 0, 65535, LINKTYPE_ETHERNET] {
            file.extend(order(word));
        }
        for (index, bytes) in frames.iter().enumerate() {
            let len = u32::try_from(bytes.len()).unwrap();
            for word in [1_700_000_000, u32::try_from(index).unwrap() + 5, len, len] {
                file.extend(order(word));
            }
            file.extend(*bytes);
        }
        file
    }

    #[test]
    fn frames_of_either_byte_order_and_resolution_are_read() {
        let content: [&[u8]; 2] = [b"abc", b""];
        let second = Duration::from_secs(1_700_000_000);
        for (magic, order, unit) in [
            (
                MAGIC_MICROSECONDS,
                u32::to_le_bytes as fn(u32) -> [u8; 4],
                1000,
            ),
            (MAGIC_MICROSECONDS, u32::to_be_bytes, 1000),
            (MAGIC_NANOSECONDS, u32::to_le_bytes, 1),
            (MAGIC_NANOSECONDS, u32::to_be_bytes, 1),
        ] {
            let file = capture(magic, order, &content);
            let read: Vec<Frame<'_>> = frames(&file).unwrap().collect();
            assert_eq!(read.len(), 2);
            assert_eq!(read[0].bytes, b"abc");
            assert_eq!(read[1].at, second + Duration::from_nanos(6 * unit));
        }
    }

    #[test]
    fn a_capture_that_is_cut_off_ends_with_its_last_whole_frame() {
        let file = capture(MAGIC_MICROSECONDS, u32::to_le_bytes, &[b"first", b"second"]);
        for cut in 1..22 {
            let cut_off = &file[..file.len() - cut];
            assert_eq!(frames(cut_off).unwrap().count(), 1, "{cut} bytes less");
        }
    }

    #[test]
    fn what_is_no_capture_is_refused() {
        assert!(frames(b"").is_err());
        assert!(frames(b"GET / HTTP/1.0\r\n\r\n0123456789").is_err());
        let mut raw_ip = capture(MAGIC_MICROSECONDS, u32::to_le_bytes, &[]);
        raw_ip[20] = 101;
        assert_eq!(
            frames(&raw_ip).err().unwrap(),
            "the capture is of link type 101, not Ethernet"
        );
    }

    #[test]
    fn packets_are_decoded() {
        let bytes = frame(
            Transport::Udp,
            "10.77.0.30:2070",
            "10.77.0.1:69",
            b"\0\x01x\0octet\0",
        );
        let udp = packet(&bytes).unwrap();
        assert_eq!(udp.transport, Transport::Udp);
        assert_eq!(udp.source.to_string(), "10.77.0.30:2070");
        assert_eq!(udp.payload, b"\0\x01x\0octet\0");
        let bytes = frame(
            Transport::Tcp,
            "10.77.0.30:49152",
            "10.77.0.1:8080",
            b"GET / HTTP/1.0",
        );
        assert_eq!(packet(&bytes).unwrap().payload, b"GET / HTTP/1.0");
    }

    #[test]
    fn padding_of_short_frames_is_no_payload() {
        let mut bytes = frame(Transport::Udp, "1.1.1.1:1", "2.2.2.2:2", b"ab");
        bytes.extend([0; 20]);
        assert_eq!(packet(&bytes).unwrap().payload, b"ab");
    }

    #[test]
    fn cut_off_frames_and_later_fragments_are_passed_over() {
        let whole = frame(Transport::Tcp, "1.1.1.1:1", "2.2.2.2:2", b"");
        for len in 0..whole.len() {
            assert_eq!(packet(&whole[..len]), None, "{len} bytes");
        }
        let mut fragment = frame(Transport::Udp, "1.1.1.1:1", "2.2.2.2:2", b"ab");
        fragment[14 + 7] = 1;
        assert_eq!(packet(&fragment), None);
    }
}
