//! TFTP's packets, as the load and the least possible server write and read them.

use std::io::Write;

const RRQ: u16 = 1;
pub(super) const DATA: u16 = 3;
const ACK: u16 = 4;
const ERROR: u16 = 5;
const OACK: u16 = 6;

/// Operation and block number before a block's data.
pub(super) const HEAD_LEN: usize = 4;
/// Where nothing else is agreed on (RFC 1350).
pub(super) const BLKSIZE_DEFAULT: usize = 512;

/// What a server sends.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Packet<'a> {
    Data {
        block: u16,
        data: &'a [u8],
    },
    /// The options, each a name and a value.
    Oack(Vec<(String, u64)>),
    /// Its message.
    Error(String),
}

impl<'a> Packet<'a> {
    /// # Errors
    /// A text, if it is none that a server of files sends.
    pub(super) fn read(bytes: &'a [u8]) -> Result<Self, String> {
        let (operation, rest) = bytes.split_first_chunk().ok_or("an empty packet")?;
        match u16::from_be_bytes(*operation) {
            DATA => {
                let (block, data) = rest.split_first_chunk().ok_or("DATA without a number")?;
                let block = u16::from_be_bytes(*block);
                Ok(Self::Data { block, data })
            }
            OACK => Ok(Self::Oack(options(rest)?)),
            ERROR => Ok(Self::Error(
                String::from_utf8_lossy(rest.get(2..).unwrap_or_default())
                    .trim_end_matches('\0')
                    .to_owned(),
            )),
            other => Err(format!("operation {other}")),
        }
    }
}

/// Names in lower case with values, each of both ended by a zero (RFC 2347).
fn options(bytes: &[u8]) -> Result<Vec<(String, u64)>, String> {
    let mut texts = bytes.split(|&byte| byte == 0);
    let mut options = Vec::new();
    while let (Some(name), Some(value)) = (texts.next(), texts.next()) {
        let name = String::from_utf8_lossy(name).to_ascii_lowercase();
        let value = String::from_utf8_lossy(value);
        let number = value.parse();
        options.push((
            name,
            number.map_err(|_| format!("an option's value {value:?}"))?,
        ));
    }
    Ok(options)
}

/// What a client asks for beside a file. 1 is no `windowsize` at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Wish {
    pub(super) blksize: u16,
    pub(super) windowsize: u16,
}

/// A request for a file with its size, as firmware asks.
pub(super) fn write_request(name: &str, wish: Wish, packet: &mut Vec<u8>) {
    packet.clear();
    packet.extend_from_slice(&RRQ.to_be_bytes());
    let blksize = wish.blksize;
    // Writing to a vector does not fail.
    let _ = write!(packet, "{name}\0octet\0tsize\x000\0blksize\0{blksize}\0");
    if wish.windowsize > 1 {
        let _ = write!(packet, "windowsize\0{}\0", wish.windowsize);
    }
}

/// What a request of the load asks for: the file, and the rest.
pub(super) fn read_request(bytes: &[u8]) -> Option<(&str, Wish)> {
    let rest = bytes.strip_prefix(&RRQ.to_be_bytes())?;
    let mut texts = rest.split(|&byte| byte == 0);
    let name = str::from_utf8(texts.next()?).ok()?;
    let options = options(rest.get(name.len() + 1 + "octet\0".len()..)?).ok()?;
    let value = |wanted: &str| {
        let found = options.iter().find(|(name, _)| name == wanted)?;
        u16::try_from(found.1).ok()
    };
    let blksize = value("blksize")?;
    let windowsize = value("windowsize").unwrap_or(1);
    Some((
        name,
        Wish {
            blksize,
            windowsize,
        },
    ))
}

/// The answer to a request.
pub(super) fn oack(len: u64, wish: Wish) -> Vec<u8> {
    let mut packet = OACK.to_be_bytes().to_vec();
    let _ = write!(packet, "tsize\0{len}\0blksize\0{}\0", wish.blksize);
    if wish.windowsize > 1 {
        let _ = write!(packet, "windowsize\0{}\0", wish.windowsize);
    }
    packet
}

pub(super) fn ack(block: u16) -> [u8; HEAD_LEN] {
    head(ACK, block)
}

/// The block that an ACK is for.
pub(super) fn read_ack(bytes: &[u8]) -> Option<u16> {
    let block = bytes.strip_prefix(&ACK.to_be_bytes())?;
    Some(u16::from_be_bytes(*block.first_chunk()?))
}

pub(super) fn head(operation: u16, block: u16) -> [u8; HEAD_LEN] {
    let ([a, b], [c, d]) = (operation.to_be_bytes(), block.to_be_bytes());
    [a, b, c, d]
}

/// Ends a transfer, as firmware does that has seen enough.
pub(super) const ABORT: &[u8] = b"\0\x05\0\0enough\0";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let mut packet = Vec::new();
        let (plain, windows) = (
            Wish {
                blksize: 1468,
                windowsize: 1,
            },
            Wish {
                blksize: 1024,
                windowsize: 16,
            },
        );
        for wish in [plain, windows] {
            write_request("a/b.img", wish, &mut packet);
            assert_eq!(read_request(&packet), Some(("a/b.img", wish)));
        }
        let named = |name: &str, value| (name.to_owned(), value);
        let options = vec![
            named("tsize", 7),
            named("blksize", 1024),
            named("windowsize", 16),
        ];
        assert_eq!(Packet::read(&oack(7, windows)), Ok(Packet::Oack(options)));
        assert_eq!(read_ack(&ack(515)), Some(515));
        assert_eq!(Packet::read(ABORT), Ok(Packet::Error("enough".to_owned())));
        let data = [&head(DATA, 515)[..], b"xy"].concat();
        let block = Packet::Data {
            block: 515,
            data: b"xy",
        };
        assert_eq!(Packet::read(&data), Ok(block));
    }
}
