//! How a service is reached (RFC 9460 section 2.1): parameters of SVCB and HTTPS records.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::{Ipv4Addr, Ipv6Addr};

use super::encoding::BASE64;
use super::form::{quote, take, unescaped};
use super::{Fault, Words, number, shown};

const MANDATORY: u16 = 0;
const ALPN: u16 = 1;
const NO_DEFAULT_ALPN: u16 = 2;
const PORT: u16 = 3;
const IPV4HINT: u16 = 4;
const ECH: u16 = 5;
const IPV6HINT: u16 = 6;

/// The keys that have names (RFC 9460 section 14.3.2, RFC 9461).
const NAMES: [(&str, u16); 8] = [
    ("mandatory", MANDATORY),
    ("alpn", ALPN),
    ("no-default-alpn", NO_DEFAULT_ALPN),
    ("port", PORT),
    ("ipv4hint", IPV4HINT),
    ("ech", ECH),
    ("ipv6hint", IPV6HINT),
    ("dohpath", 7),
];

/// All words that are left: `alpn=h2,h3`, `port="8443"`, `key667=text`.
pub(super) fn parse(words: &mut Words<'_, '_>, data: &mut Vec<u8>) -> Result<(), Fault> {
    let mut params = BTreeMap::new();
    while let Some(token) = words.take() {
        let (name, value) = match token.text.iter().position(|octet| *octet == b'=') {
            Some(at) => {
                let (name, value) = token.text.split_at(at);
                (name, value.get(1..))
            }
            None => (token.text, None),
        };
        // A quoted value is a word of its own.
        let quoted = words
            .peek()
            .filter(|next| next.is_quoted && value == Some(b""));
        let value = match quoted {
            Some(quoted) => {
                words.take();
                quoted.text
            }
            None => value.unwrap_or_default(),
        };
        let key = key_of(name)
            .ok_or_else(|| words.fault(format!("{} is not the key of a parameter", shown(name))))?;
        let encoded = unescaped(value).and_then(|value| match name.starts_with(b"key") {
            // A key by its number has its value in wire form.
            true => check_value(key, &value).map(|()| value),
            false => encode(key, &value),
        });
        let value = encoded.ok_or_else(|| {
            words.fault(format!(
                "{} cannot be the value of {}",
                shown(value),
                shown(name)
            ))
        })?;
        if params.insert(key, value).is_some() {
            return Err(words.fault(format!("{} is there twice", shown(name))));
        }
    }
    check(&params).map_err(|why| words.fault(why))?;
    for (key, value) in params {
        let len = u16::try_from(value.len()).map_err(|_| words.fault("the value is too long"))?;
        data.extend(key.to_be_bytes());
        data.extend(len.to_be_bytes());
        data.extend(value);
    }
    Ok(())
}

/// RFC 9460 sections 7.1.1 and 8.
fn check(params: &BTreeMap<u16, Vec<u8>>) -> Result<(), &'static str> {
    if params.contains_key(&NO_DEFAULT_ALPN) && !params.contains_key(&ALPN) {
        return Err("no-default-alpn without alpn");
    }
    let mandatory = params
        .get(&MANDATORY)
        .map(Vec::as_slice)
        .unwrap_or_default();
    for key in mandatory.chunks_exact(2).filter_map(<[u8]>::first_chunk) {
        let key = u16::from_be_bytes(*key);
        if key == MANDATORY || !params.contains_key(&key) {
            return Err("a mandatory parameter is not there");
        }
    }
    Ok(())
}

fn key_of(name: &[u8]) -> Option<u16> {
    let named = NAMES.iter().find(|(text, _)| text.as_bytes() == name);
    named.map(|(_, key)| *key).or_else(|| {
        let digits = name.strip_prefix(b"key")?;
        let is_padded = digits.len() > 1 && digits.starts_with(b"0");
        number(digits).filter(|_| !is_padded)
    })
}

fn encode(key: u16, value: &[u8]) -> Option<Vec<u8>> {
    let utf8 = || std::str::from_utf8(value).ok();
    let octets = match key {
        MANDATORY => {
            let keys = value.split(|octet| *octet == b',').map(key_of);
            let mut keys = keys.collect::<Option<Vec<u16>>>()?;
            keys.sort_unstable();
            let has_twins = keys.windows(2).any(|pair| matches!(pair, [a, b] if a == b));
            return (!has_twins).then(|| keys.into_iter().flat_map(u16::to_be_bytes).collect());
        }
        ALPN => protocols(value)?,
        NO_DEFAULT_ALPN => return value.is_empty().then(Vec::new),
        PORT => number::<u16>(value)?.to_be_bytes().to_vec(),
        IPV4HINT => {
            let addresses = utf8()?
                .split(',')
                .map(|text| text.parse().map(|ip: Ipv4Addr| ip.octets()));
            addresses.collect::<Result<Vec<_>, _>>().ok()?.concat()
        }
        IPV6HINT => {
            let addresses = utf8()?
                .split(',')
                .map(|text| text.parse().map(|ip: Ipv6Addr| ip.octets()));
            addresses.collect::<Result<Vec<_>, _>>().ok()?.concat()
        }
        ECH => BASE64.decode(value)?,
        _ => value.to_vec(),
    };
    Some(octets)
}

/// Names of protocols between commas; a backslash before a comma or a backslash makes it part of a
/// name (RFC 9460 appendix A.1).
fn protocols(value: &[u8]) -> Option<Vec<u8>> {
    let mut octets = Vec::new();
    let mut name = Vec::new();
    let mut rest = value.iter().copied();
    loop {
        let octet = rest.next();
        match octet {
            Some(b'\\') => name.push(rest.next().filter(|next| matches!(next, b',' | b'\\'))?),
            Some(b',') | None => {
                let len = u8::try_from(name.len()).ok().filter(|len| *len > 0)?;
                octets.push(len);
                octets.append(&mut name);
                if octet.is_none() {
                    return Some(octets);
                }
            }
            Some(octet) => name.push(octet),
        }
    }
}

/// Takes all data that is left.
pub(super) fn text(data: &mut &[u8], out: &mut String) -> Option<()> {
    let mut params = BTreeMap::new();
    let mut last_key = None;
    while !data.is_empty() {
        let key = u16::from_be_bytes(take(data)?);
        let len = u16::from_be_bytes(take(data)?);
        let (value, rest) = data.split_at_checked(usize::from(len))?;
        *data = rest;
        if last_key >= Some(key) {
            return None;
        }
        last_key = Some(key);
        params.insert(key, value.to_vec());
    }
    check(&params).ok()?;
    for (key, value) in params {
        if !out.ends_with(' ') {
            out.push(' ');
        }
        let name = NAMES.iter().take(7).find(|(_, named)| *named == key);
        match name {
            Some((name, _)) => out.push_str(name),
            None => write!(out, "key{key}").ok()?,
        }
        check_value(key, &value)?;
        let shown = decode(key, &value)?;
        if key != NO_DEFAULT_ALPN {
            out.push('=');
            quote(&shown, out).ok()?;
        }
    }
    Some(())
}

/// Whether a value is what its key wants: what is written becomes the same octets again.
fn check_value(key: u16, value: &[u8]) -> Option<()> {
    let shown = decode(key, value)?;
    (encode(key, &shown)? == value).then_some(())
}

/// The value of a parameter before its quotes and escapes.
fn decode(key: u16, value: &[u8]) -> Option<Vec<u8>> {
    let joined = |texts: Vec<String>| texts.join(",").into_bytes();
    Some(match key {
        MANDATORY => {
            let keys = value
                .chunks(2)
                .map(|key| key.try_into().map(u16::from_be_bytes));
            let keys = keys.collect::<Result<Vec<u16>, _>>().ok()?;
            joined(keys.iter().map(|key| format!("key{key}")).collect())
        }
        ALPN => {
            let mut shown = Vec::new();
            let mut rest = value;
            while let Some((len, after)) = rest.split_first() {
                let (name, after) = after.split_at_checked(usize::from(*len))?;
                rest = after;
                if !shown.is_empty() {
                    shown.push(b',');
                }
                for octet in name {
                    if matches!(octet, b',' | b'\\') {
                        shown.push(b'\\');
                    }
                    shown.push(*octet);
                }
            }
            shown
        }
        PORT => u16::from_be_bytes(value.try_into().ok()?)
            .to_string()
            .into_bytes(),
        IPV4HINT => {
            let addresses = value
                .chunks(4)
                .map(|ip| ip.try_into().map(|ip: [u8; 4]| Ipv4Addr::from(ip)));
            let addresses = addresses.collect::<Result<Vec<_>, _>>().ok()?;
            joined(addresses.iter().map(ToString::to_string).collect())
        }
        IPV6HINT => {
            let addresses = value
                .chunks(16)
                .map(|ip| ip.try_into().map(|ip: [u8; 16]| Ipv6Addr::from(ip)));
            let addresses = addresses.collect::<Result<Vec<_>, _>>().ok()?;
            joined(addresses.iter().map(ToString::to_string).collect())
        }
        ECH => BASE64.encode(value).into_bytes(),
        _ => value.to_vec(),
    })
}
