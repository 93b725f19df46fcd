//! In what form a field of a record's data is written, and what it is in wire form.

use std::fmt::Write as _;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use super::super::time;
use super::encoding::{BASE32_HEX, BASE64, Encoding, HEX};
use super::{Fault, Words, bitmap, date, location, params, prefixes, registry, shown};
use crate::{Name, NameRef, RecordType};

/// A form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// A number of 8 bits.
    U8,
    /// A number of 16 bits.
    U16,
    /// A number of 32 bits.
    U32,
    /// A time of 32 bits, with units or without.
    Seconds,
    /// A domain name.
    Domain,
    Ipv4,
    Ipv6,
    /// A character string (RFC 1035 section 3.3).
    Text,
    /// All words that are left, each a character string: one at least.
    Texts,
    /// Text without a length, one word and the data's rest.
    Value,
    /// Letters and digits (RFC 8659 section 4.1).
    Tag,
    /// Hexadecimal digits of one word, or `-` for none (RFC 5155 section 3.3).
    Salt,
    /// A hashed name (RFC 5155 section 3.3).
    Hash,
    /// The type of a record.
    Type,
    /// An algorithm of DNSSEC, by name or number.
    Algorithm,
    /// A digest of a key, by name or number.
    Digest,
    /// For what a key is, by name or number.
    Protocol,
    /// The type of a certificate, by name or number.
    Certificate,
    /// When a signature is valid.
    Date,
    /// All words that are left, together.
    Hex,
    Base64,
    /// The same, and it may lack (RFC 2535 section 3.1.2).
    Key,
    /// All words that are left are types: one at least.
    Types,
    /// The same, and there may be none.
    AnyTypes,
    /// All words that are left are address prefixes.
    Prefixes,
    /// All words that are left are a location.
    Location,
    /// All words that are left are parameters of a service.
    Params,
}

/// A number without sign, in decimal digits.
pub(in crate::zone_file) fn number<T: FromStr>(text: &[u8]) -> Option<T> {
    let is_number = !text.is_empty() && text.iter().all(u8::is_ascii_digit);
    let text = std::str::from_utf8(text).ok().filter(|_| is_number)?;
    text.parse().ok()
}

/// A word without its escapes; none if a backslash escapes nothing.
pub(super) fn unescaped(text: &[u8]) -> Option<Vec<u8>> {
    let mut octets = Vec::with_capacity(text.len());
    let mut rest = text.iter();
    while let Some(octet) = rest.next() {
        if *octet != b'\\' {
            octets.push(*octet);
            continue;
        }
        let next = rest.next()?;
        if next.is_ascii_digit() {
            let digits = [*next, *rest.next()?, *rest.next()?];
            octets.push(number(&digits)?);
        } else {
            octets.push(*next);
        }
    }
    Some(octets)
}

pub(super) fn take<const N: usize>(data: &mut &[u8]) -> Option<[u8; N]> {
    let (head, rest) = data.split_first_chunk::<N>()?;
    *data = rest;
    Some(*head)
}

/// Octets after their number.
fn counted<'a>(data: &mut &'a [u8]) -> Option<&'a [u8]> {
    let [len] = take(data)?;
    let (octets, rest) = data.split_at_checked(usize::from(len))?;
    *data = rest;
    Some(octets)
}

impl Form {
    /// Reads a field from words and appends it to the data.
    pub(super) fn parse(
        self,
        what: &str,
        words: &mut Words<'_, '_>,
        origin: NameRef<'_>,
        data: &mut Vec<u8>,
    ) -> Result<(), Fault> {
        let rest_in = |encoding: &Encoding, words: &mut Words<'_, '_>| {
            let mut digits = words.expect_bare(what)?.text.to_vec();
            while let Some(token) = words.take() {
                digits.extend_from_slice(token.text);
            }
            let octets = encoding.decode(&digits).filter(|octets| !octets.is_empty());
            octets.ok_or_else(|| words.fault(format!("{} is not {what}", shown(&digits))))
        };
        match self {
            Self::Hex => data.extend(rest_in(&HEX, words)?),
            Self::Base64 => data.extend(rest_in(&BASE64, words)?),
            Self::Key if words.peek().is_some() => data.extend(rest_in(&BASE64, words)?),
            Self::Key => {}
            Self::Types | Self::AnyTypes => {
                if self == Self::Types && words.peek().is_none() {
                    words.expect(what)?;
                }
                bitmap::parse(words, data)?;
            }
            Self::Prefixes => prefixes::parse(words, data)?,
            Self::Location => location::parse(words, data)?,
            Self::Params => params::parse(words, data)?,
            Self::Texts => {
                Self::Text.parse(what, words, origin, data)?;
                while words.peek().is_some() {
                    Self::Text.parse(what, words, origin, data)?;
                }
            }
            _ => {
                let text = match self {
                    Self::Text | Self::Value => words.expect(what)?.text,
                    _ => words.expect_bare(what)?.text,
                };
                self.parse_word(text, origin, data).map_err(|why| {
                    let text = shown(text);
                    words.fault(match why {
                        Some(why) => format!("{text} is not {what}: {why}"),
                        None => format!("{text} is not {what}"),
                    })
                })?;
            }
        }
        Ok(())
    }

    /// A field that is one word; else why it is none, if more than that can be said.
    fn parse_word(
        self,
        text: &[u8],
        origin: NameRef<'_>,
        data: &mut Vec<u8>,
    ) -> Result<(), Option<String>> {
        let utf8 = || std::str::from_utf8(text).ok();
        match self {
            Self::U8 => data.push(number(text).ok_or("it must be 0 to 255".to_owned())?),
            Self::U16 => {
                let value: u16 = number(text).ok_or("it must be 0 to 65535".to_owned())?;
                data.extend(value.to_be_bytes());
            }
            Self::U32 => {
                let value: u32 = number(text).ok_or("it must be 0 to 4294967295".to_owned())?;
                data.extend(value.to_be_bytes());
            }
            Self::Seconds => {
                let hint = "it must be seconds, or a time like 1w2d3h4m5s";
                let value = time::seconds(text).ok_or(hint.to_owned())?;
                data.extend(value.to_be_bytes());
            }
            Self::Domain => {
                let name = Name::from_text(text, Some(origin)).map_err(|e| Some(e.to_string()))?;
                data.extend_from_slice(name.as_ref().wire());
            }
            Self::Ipv4 => {
                let address: Ipv4Addr = utf8().and_then(|text| text.parse().ok()).ok_or(None)?;
                data.extend(address.octets());
            }
            Self::Ipv6 => {
                let address: Ipv6Addr = utf8().and_then(|text| text.parse().ok()).ok_or(None)?;
                data.extend(address.octets());
            }
            Self::Text => {
                let octets = unescaped(text).ok_or("a backslash escapes nothing".to_owned())?;
                let len = u8::try_from(octets.len())
                    .map_err(|_| "it is longer than 255 octets; write several".to_owned())?;
                data.push(len);
                data.extend(octets);
            }
            Self::Value => {
                let octets = unescaped(text).ok_or("a backslash escapes nothing".to_owned())?;
                data.extend(octets);
            }
            Self::Tag => {
                let is_tag = !text.is_empty() && text.iter().all(u8::is_ascii_alphanumeric);
                let len = u8::try_from(text.len())
                    .ok()
                    .filter(|_| is_tag)
                    .ok_or(None)?;
                data.push(len);
                data.extend_from_slice(text);
            }
            Self::Salt => {
                let digits = if text == b"-" { &b""[..] } else { text };
                let octets = HEX.decode(digits).ok_or(None)?;
                data.push(u8::try_from(octets.len()).map_err(|_| None)?);
                data.extend(octets);
            }
            Self::Hash => {
                let octets = BASE32_HEX.decode(text).filter(|octets| !octets.is_empty());
                let octets = octets.ok_or(None)?;
                data.push(u8::try_from(octets.len()).map_err(|_| None)?);
                data.extend(octets);
            }
            Self::Type => {
                let kind: RecordType = utf8().and_then(|text| text.parse().ok()).ok_or(None)?;
                data.extend(kind.0.to_be_bytes());
            }
            Self::Algorithm => data.push(registry::algorithm(text).ok_or(None)?),
            Self::Digest => data.push(registry::digest(text).ok_or(None)?),
            Self::Protocol => data.push(registry::protocol(text).ok_or(None)?),
            Self::Certificate => {
                data.extend(registry::certificate(text).ok_or(None)?.to_be_bytes());
            }
            Self::Date => {
                let hint = "it must be like 20261231235959";
                data.extend(date::seconds(text).ok_or(hint.to_owned())?.to_be_bytes());
            }
            // These are not one word.
            Self::Texts
            | Self::Hex
            | Self::Base64
            | Self::Key
            | Self::Types
            | Self::AnyTypes
            | Self::Prefixes
            | Self::Location
            | Self::Params => return Err(None),
        }
        Ok(())
    }

    /// Takes a field from data in wire form and writes it; none if it is malformed.
    pub(super) fn text(self, data: &mut &[u8], out: &mut String) -> Option<()> {
        match self {
            Self::U8 | Self::Algorithm | Self::Digest | Self::Protocol => {
                let [value] = take(data)?;
                write!(out, "{value}")
            }
            Self::U16 | Self::Certificate => write!(out, "{}", u16::from_be_bytes(take(data)?)),
            Self::Type => write!(out, "{}", RecordType(u16::from_be_bytes(take(data)?))),
            Self::U32 | Self::Seconds | Self::Date => {
                write!(out, "{}", u32::from_be_bytes(take(data)?))
            }
            Self::Domain => {
                let name = NameRef::from_wire(data).ok()?;
                *data = data.get(name.wire().len()..)?;
                write!(out, "{name}")
            }
            Self::Ipv4 => write!(out, "{}", Ipv4Addr::from(take::<4>(data)?)),
            Self::Ipv6 => write!(out, "{}", Ipv6Addr::from(take::<16>(data)?)),
            Self::Text => quote(counted(data)?, out),
            Self::Texts => {
                Self::Text.text(data, out)?;
                while !data.is_empty() {
                    out.push(' ');
                    Self::Text.text(data, out)?;
                }
                Ok(())
            }
            Self::Value => quote(std::mem::take(data), out),
            Self::Tag => {
                let tag = counted(data).filter(|tag| !tag.is_empty())?;
                let is_tag = tag.iter().all(u8::is_ascii_alphanumeric);
                out.push_str(std::str::from_utf8(tag).ok().filter(|_| is_tag)?);
                Ok(())
            }
            Self::Salt => match counted(data)? {
                [] => out.write_str("-"),
                salt => out.write_str(&HEX.encode(salt)),
            },
            Self::Hash => match counted(data)? {
                [] => return None,
                hash => out.write_str(&BASE32_HEX.encode(hash)),
            },
            Self::Key if data.is_empty() => Ok(()),
            Self::Types if data.is_empty() => return None,
            Self::Types | Self::AnyTypes => return bitmap::text(data, out),
            Self::Prefixes => return prefixes::text(data, out),
            Self::Location => return location::text(data, out),
            Self::Params => return params::text(data, out),
            Self::Hex => rest(data, &HEX, out)?,
            Self::Base64 | Self::Key => rest(data, &BASE64, out)?,
        }
        .ok()
    }
}

fn rest(data: &mut &[u8], encoding: &Encoding, out: &mut String) -> Option<std::fmt::Result> {
    let octets = std::mem::take(data);
    (!octets.is_empty()).then(|| out.write_str(&encoding.encode(octets)))
}

/// Writes text between quotes.
pub(super) fn quote(text: &[u8], out: &mut String) -> std::fmt::Result {
    out.push('"');
    for octet in text {
        match octet {
            b'"' | b'\\' => write!(out, "\\{}", char::from(*octet))?,
            0x20..=0x7e => out.push(char::from(*octet)),
            _ => write!(out, "\\{octet:03}")?,
        }
    }
    out.write_str("\"")
}
