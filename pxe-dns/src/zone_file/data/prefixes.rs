//! Lists of address prefixes (RFC 3123).

use std::fmt::Write as _;
use std::net::{Ipv4Addr, Ipv6Addr};

use super::form::take;
use super::{Fault, Words, number, shown};

/// All words that are left are prefixes: `1:192.0.2.0/24`, `!2:2001:db8::/32`.
pub(super) fn parse(words: &mut Words<'_, '_>, data: &mut Vec<u8>) -> Result<(), Fault> {
    while let Some(token) = words.take() {
        let item = item(token.text).ok_or_else(|| {
            let hint = "write 1:192.0.2.0/24 or 2:2001:db8::/32, with a ! before it for all others";
            words.fault(format!("{} is not a prefix: {hint}", shown(token.text)))
        })?;
        data.extend(item);
    }
    Ok(())
}

fn item(text: &[u8]) -> Option<Vec<u8>> {
    let (negation, text) = match text {
        [b'!', rest @ ..] => (0x80, rest),
        _ => (0, text),
    };
    let text = std::str::from_utf8(text).ok()?;
    let (family, rest) = text.split_once(':')?;
    let (address, prefix_len) = rest.split_once('/')?;
    let prefix_len: u8 = number(prefix_len.as_bytes())?;
    let (family, mut octets, bits) = match number(family.as_bytes())? {
        1_u16 => (1, address.parse::<Ipv4Addr>().ok()?.octets().to_vec(), 32),
        2 => (2, address.parse::<Ipv6Addr>().ok()?.octets().to_vec(), 128),
        _ => return None,
    };
    let len = octets
        .iter()
        .rposition(|octet| *octet != 0)
        .map_or(0, |last| last + 1);
    octets.truncate(len);
    let head = [0, family, prefix_len, negation | len as u8];
    (prefix_len <= bits).then(|| [&head[..], &octets].concat())
}

/// Takes all data that is left.
pub(super) fn text(data: &mut &[u8], out: &mut String) -> Option<()> {
    while !data.is_empty() {
        let [0, family, prefix_len, len] = take::<4>(data)? else {
            return None;
        };
        let (octets, rest) = data.split_at_checked(usize::from(len & 0x7f))?;
        *data = rest;
        let mut address = [0; 16];
        address.get_mut(..octets.len())?.copy_from_slice(octets);
        let separator = if out.is_empty() { "" } else { " " };
        let negation = if len & 0x80 != 0 { "!" } else { "" };
        let is_short = octets.last() != Some(&0);
        match family {
            1 if is_short && octets.len() <= 4 && prefix_len <= 32 => {
                let address = Ipv4Addr::from(*address.first_chunk()?);
                write!(out, "{separator}{negation}1:{address}/{prefix_len}").ok()?;
            }
            2 if is_short && prefix_len <= 128 => {
                let address = Ipv6Addr::from(address);
                write!(out, "{separator}{negation}2:{address}/{prefix_len}").ok()?;
            }
            _ => return None,
        }
    }
    Some(())
}
