//! Ethernet hardware addresses.

use core::fmt;
use core::str::FromStr;

/// An EUI-48 hardware address, as `htype` 1 (Ethernet) of RFC 2131 carries it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct MacAddr([u8; 6]);

impl MacAddr {
    /// The address with these octets, in the order in which they are sent.
    pub const fn new(octets: [u8; 6]) -> Self {
        Self(octets)
    }

    /// The octets in the order in which they are sent.
    pub const fn octets(self) -> [u8; 6] {
        self.0
    }

    /// The first three octets: the manufacturer's block.
    pub const fn oui(self) -> [u8; 3] {
        [self.0[0], self.0[1], self.0[2]]
    }

    /// Whether the group bit is set (IEEE 802-2014, 8.2.2); no client can own such an address.
    pub const fn is_multicast(self) -> bool {
        self.0[0] & 1 == 1
    }

    /// The address in pxelinux's form: `01-` for Ethernet, then lower-case octets and hyphens.
    ///
    /// pxelinux asks for `pxelinux.cfg/01-52-54-00-12-34-56`, and `BOOTIF` on a kernel command
    /// line has the same form (syslinux, doc/pxelinux.txt).
    pub const fn pxelinux(self) -> impl fmt::Display {
        Pxelinux(self)
    }
}

impl From<[u8; 6]> for MacAddr {
    fn from(octets: [u8; 6]) -> Self {
        Self(octets)
    }
}

impl fmt::Display for MacAddr {
    /// Lower-case octets joined by colons: `52:54:00:12:34:56`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        join(f, self.0, ':')
    }
}

#[derive(Clone, Copy)]
struct Pxelinux(MacAddr);

impl fmt::Display for Pxelinux {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("01-")?;
        join(f, self.0.0, '-')
    }
}

fn join(f: &mut fmt::Formatter<'_>, octets: [u8; 6], separator: char) -> fmt::Result {
    for (index, octet) in octets.iter().enumerate() {
        if index > 0 {
            fmt::Write::write_char(f, separator)?;
        }
        write!(f, "{octet:02x}")?;
    }
    Ok(())
}

/// A text is not six octets of two hexadecimal digits, joined by colons or by hyphens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct ParseMacAddrError;

impl fmt::Display for ParseMacAddrError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not a hardware address of the form 52:54:00:12:34:56")
    }
}

impl core::error::Error for ParseMacAddrError {}

impl FromStr for MacAddr {
    type Err = ParseMacAddrError;

    /// Reads `52:54:00:12:34:56` or `52-54-00-12-34-56`, in either case, one separator throughout.
    fn from_str(text: &str) -> Result<Self, ParseMacAddrError> {
        let separator = if text.contains('-') { '-' } else { ':' };
        let mut parts = text.split(separator);
        let mut octets = [0; 6];
        for octet in &mut octets {
            let part = parts.next().ok_or(ParseMacAddrError)?;
            // from_str_radix takes a sign and any number of digits, so both are ruled out here.
            if part.len() != 2 || !part.bytes().all(|byte| byte.is_ascii_hexdigit()) {
                return Err(ParseMacAddrError);
            }
            *octet = u8::from_str_radix(part, 16).map_err(|_| ParseMacAddrError)?;
        }
        match parts.next() {
            Some(_) => Err(ParseMacAddrError),
            None => Ok(Self(octets)),
        }
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use super::*;
    use std::string::ToString;

    const MAC: MacAddr = MacAddr::new([0x52, 0x54, 0, 0x12, 0x34, 0xab]);

    #[test]
    fn text_forms_round_trip() {
        assert_eq!(MAC.to_string(), "52:54:00:12:34:ab");
        assert_eq!("52:54:00:12:34:AB".parse(), Ok(MAC));
        assert_eq!("52-54-00-12-34-ab".parse(), Ok(MAC));
        assert_eq!(MAC.pxelinux().to_string(), "01-52-54-00-12-34-ab");
    }

    #[test]
    fn malformed_texts_are_refused() {
        for text in [
            "",
            "52:54:00:12:34",
            "52:54:00:12:34:ab:cd",
            "52:54-00:12:34:ab",
            "+2:54:00:12:34:ab",
            "5:254:00:12:34:ab",
            "52:54:00:12:34:g0",
        ] {
            assert_eq!(text.parse::<MacAddr>(), Err(ParseMacAddrError), "{text}");
        }
    }

    #[test]
    fn group_bit_and_oui() {
        assert!(!MAC.is_multicast());
        assert!(MacAddr::new([0xff; 6]).is_multicast());
        assert_eq!(MAC.oui(), [0x52, 0x54, 0]);
    }
}
