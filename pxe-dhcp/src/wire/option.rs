//! Options: the walk over them, and the forms of those that have parts.

use core::net::Ipv4Addr;

use super::OptionCode;

/// Which field of the message an option was found in (RFC 2131 section 4.1, option overload).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum OptionField {
    /// The options field.
    Options,
    /// The `file` field, when option 52 is 1 or 3.
    File,
    /// The `sname` field, when option 52 is 2 or 3.
    Sname,
}

/// An option as it stands in the message: one part of it, if it was split (RFC 3396).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct RawOption<'a> {
    /// The option's code; never PAD or END.
    pub code: OptionCode,
    /// The value, or this part of it.
    pub data: &'a [u8],
    /// Where it was found.
    pub field: OptionField,
    /// Whether the option's length ran beyond its field; `data` is then what there was.
    pub truncated: bool,
}

/// The options of a message in their order: the options field, then `file`, then `sname`.
///
/// PAD is skipped, END and the end of a field end that field. A length that runs beyond the field
/// gives one last, [`truncated`](RawOption::truncated) option.
#[derive(Debug, Clone)]
pub struct OptionWalk<'a> {
    rest: &'a [u8],
    field: OptionField,
    file: Option<&'a [u8]>,
    sname: Option<&'a [u8]>,
}

impl<'a> OptionWalk<'a> {
    pub(super) const fn new(
        options: &'a [u8],
        file: Option<&'a [u8]>,
        sname: Option<&'a [u8]>,
    ) -> Self {
        Self {
            rest: options,
            field: OptionField::Options,
            file,
            sname,
        }
    }

    /// The next option of this field alone.
    fn next_of_field(&mut self) -> Option<RawOption<'a>> {
        loop {
            let (&code, rest) = self.rest.split_first()?;
            let code = OptionCode(code);
            self.rest = rest;
            match code {
                OptionCode::PAD => continue,
                OptionCode::END => {
                    self.rest = &[];
                    return None;
                }
                _ => {}
            }
            // A code as the field's last byte has no length octet: nothing is lost with it.
            let (&len, rest) = self.rest.split_first()?;
            let (data, rest, truncated) = match rest.split_at_checked(usize::from(len)) {
                Some((data, rest)) => (data, rest, false),
                None => (rest, &[][..], true),
            };
            self.rest = rest;
            return Some(RawOption {
                code,
                data,
                field: self.field,
                truncated,
            });
        }
    }
}

impl<'a> Iterator for OptionWalk<'a> {
    type Item = RawOption<'a>;

    fn next(&mut self) -> Option<RawOption<'a>> {
        loop {
            if let Some(option) = self.next_of_field() {
                return Some(option);
            }
            if let Some(file) = self.file.take() {
                (self.rest, self.field) = (file, OptionField::File);
            } else if let Some(sname) = self.sname.take() {
                (self.rest, self.field) = (sname, OptionField::Sname);
            } else {
                return None;
            }
        }
    }
}

/// The sub-options of option 82, as a relay agent added them (RFC 3046).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RelayAgentInfo<'a> {
    data: &'a [u8],
}

impl<'a> RelayAgentInfo<'a> {
    /// Reads the value of option 82. Every value is taken; malformed ends hold nothing.
    pub const fn new(data: &'a [u8]) -> Self {
        Self { data }
    }

    /// The first sub-option with this number, if it is complete.
    pub fn sub_option(&self, number: u8) -> Option<&'a [u8]> {
        let mut rest = self.data;
        loop {
            let (&[found, len], tail) = rest.split_first_chunk()?;
            let (data, tail) = tail.split_at_checked(usize::from(len))?;
            if found == number {
                return Some(data);
            }
            rest = tail;
        }
    }

    /// Sub-option 1: the circuit that the client is on (RFC 3046 section 3.1).
    pub fn circuit_id(&self) -> Option<&'a [u8]> {
        self.sub_option(1)
    }

    /// Sub-option 2: the remote end of that circuit (RFC 3046 section 3.2).
    pub fn remote_id(&self) -> Option<&'a [u8]> {
        self.sub_option(2)
    }

    /// Sub-option 5: an address in the client's subnet, instead of `giaddr` (RFC 3527).
    pub fn link_selection(&self) -> Option<Ipv4Addr> {
        let octets: [u8; 4] = self.sub_option(5)?.try_into().ok()?;
        Some(octets.into())
    }

    /// Sub-option 11: the relay's address, to be told to the client as the server's, so that its
    /// renewals pass the relay too (RFC 5107).
    pub fn server_id_override(&self) -> Option<Ipv4Addr> {
        let octets: [u8; 4] = self.sub_option(11)?.try_into().ok()?;
        Some(Ipv4Addr::from(octets)).filter(|address| !address.is_unspecified())
    }
}

/// Option 81: the client's full domain name, and who is to update the name server (RFC 4702).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct ClientFqdn {
    /// The flags octet: 1 S, 2 O, 4 E, 8 N (RFC 4702 section 2.1).
    pub flags: u8,
    /// The name in text form, without a final dot; bytes that are no text are replaced.
    pub name: String,
}

impl ClientFqdn {
    /// The server is to update the address record (flag S).
    pub const SERVER_UPDATES: u8 = 1;
    /// The server updates the address record although the client wanted to, or does not although
    /// the client asked it to (flag O); in replies alone.
    pub const OVERRIDDEN: u8 = 2;
    /// The name is in DNS wire form (flag E); older clients send text.
    pub const ENCODED: u8 = 4;
    /// The server is to update nothing (flag N).
    pub const NO_UPDATE: u8 = 8;

    /// A name with these flags.
    pub fn new(flags: u8, name: impl Into<String>) -> Self {
        Self {
            flags,
            name: name.into(),
        }
    }

    /// Reads the value of option 81; `None` if it is shorter than its three fixed octets.
    ///
    /// A name that is not what its flag says is read as text as far as it goes: a malformed option
    /// 81 must not cost a client its answer (TechnitiumSoftware/DnsServer issue 1738).
    pub fn read(data: &[u8]) -> Option<Self> {
        let (&[flags, _, _], name) = data.split_first_chunk()?;
        let decoded = if flags & Self::ENCODED != 0 {
            from_labels(name)
        } else {
            None
        };
        let name = decoded.unwrap_or_else(|| String::from_utf8_lossy(name).into_owned());
        let name = name.trim_end_matches(['\0', '.']).to_owned();
        Some(Self { flags, name })
    }
}

/// A name in DNS wire form as text; the final zero label may be missing (a partial name).
fn from_labels(mut rest: &[u8]) -> Option<String> {
    let mut name = String::new();
    while let Some((&len, tail)) = rest.split_first() {
        if len == 0 {
            break;
        }
        let (label, tail) = tail.split_at_checked(usize::from(len))?;
        if !name.is_empty() {
            name.push('.');
        }
        name.push_str(core::str::from_utf8(label).ok()?);
        rest = tail;
    }
    Some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn walk(bytes: &[u8]) -> Vec<(u8, Vec<u8>, bool)> {
        OptionWalk::new(bytes, None, None)
            .map(|option| (option.code.0, option.data.to_vec(), option.truncated))
            .collect()
    }

    #[test]
    fn walk_skips_padding_and_stops_at_end() {
        assert_eq!(
            walk(&[0, 53, 1, 1, 0, 0, 57, 0, 255, 93, 2, 0, 7]),
            [(53, vec![1], false), (57, vec![], false)]
        );
    }

    #[test]
    fn walk_survives_missing_end_and_lengths_beyond_the_field() {
        assert_eq!(walk(&[53, 1, 1, 12]), [(53, vec![1], false)]);
        assert_eq!(
            walk(&[53, 1, 1, 12, 9, b'a']),
            [(53, vec![1], false), (12, vec![b'a'], true)]
        );
    }

    #[test]
    fn overloaded_fields_come_after_the_options() {
        let found: Vec<_> = OptionWalk::new(&[1, 0], Some(&[2, 0, 255, 9]), Some(&[0, 3, 0]))
            .map(|option| (option.code.0, option.field))
            .collect();
        assert_eq!(
            found,
            [
                (1, OptionField::Options),
                (2, OptionField::File),
                (3, OptionField::Sname)
            ]
        );
    }

    #[test]
    fn relay_sub_options() {
        let info = RelayAgentInfo::new(&[1, 2, b'p', b'1', 5, 4, 10, 0, 0, 1, 2, 9, 0]);
        assert_eq!(info.circuit_id(), Some(&b"p1"[..]));
        assert_eq!(info.link_selection(), Some(Ipv4Addr::new(10, 0, 0, 1)));
        assert_eq!(info.remote_id(), None, "its length runs beyond the option");
    }

    #[test]
    fn full_domain_names_in_both_forms() {
        let read = |data: &[u8]| ClientFqdn::read(data).map(|fqdn| fqdn.name);
        assert_eq!(
            read(b"\x04\0\0\x03lab\x03lan\0").as_deref(),
            Some("lab.lan")
        );
        assert_eq!(read(b"\x04\0\0\x03lab").as_deref(), Some("lab"));
        assert_eq!(read(b"\x01\0\0lab.lan.").as_deref(), Some("lab.lan"));
        assert_eq!(
            read(b"\x04\0\0lab.lan").as_deref(),
            Some("lab.lan"),
            "flag E, yet text"
        );
        assert_eq!(read(b"\x04\0"), None);
    }
}
