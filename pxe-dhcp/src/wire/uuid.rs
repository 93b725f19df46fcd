//! The machine's UUID of option 97.

use core::fmt;
use core::str::FromStr;

/// A machine's UUID, as option 97 carries it after its type octet (RFC 4578 section 2.3).
///
/// The bytes are kept in wire order. In its text form the first three fields are turned round,
/// as firmware sends them little-endian: `00 1eab577e 0000 0040 ..` is `7e57ab1e-0000-4000-..`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MachineUuid([u8; 16]);

/// Where the text form's octets stand in wire order.
const TEXT_ORDER: [usize; 16] = [3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15];

impl MachineUuid {
    /// The UUID with these octets in wire order.
    pub const fn from_wire(octets: [u8; 16]) -> Self {
        Self(octets)
    }

    /// The octets in wire order.
    pub const fn to_wire(self) -> [u8; 16] {
        self.0
    }

    /// Reads the value of option 97: a zero type octet, then 16 octets.
    ///
    /// Anything else gives `None`, which must not stop a boot: Intel ROMs without option 97 and
    /// Raspberry Pis with 16 octets and no type exist (pixiecore issue 21, rpi-eeprom issue 103).
    pub fn read(data: &[u8]) -> Option<Self> {
        match data.split_first() {
            Some((0, octets)) => octets.try_into().ok().map(Self),
            _ => None,
        }
    }
}

impl fmt::Display for MachineUuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, index) in TEXT_ORDER.iter().enumerate() {
            if matches!(position, 4 | 6 | 8 | 10) {
                f.write_str("-")?;
            }
            write!(f, "{:02x}", self.0[*index])?;
        }
        Ok(())
    }
}

/// A text is no UUID of the form `7e57ab1e-0000-4000-8000-525400150001`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct ParseMachineUuidError;

impl fmt::Display for ParseMachineUuidError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not a UUID of the form 7e57ab1e-0000-4000-8000-525400150001")
    }
}

impl core::error::Error for ParseMachineUuidError {}

impl FromStr for MachineUuid {
    type Err = ParseMachineUuidError;

    fn from_str(text: &str) -> Result<Self, ParseMachineUuidError> {
        let bytes = text.as_bytes();
        if bytes.len() != 36 || [8, 13, 18, 23].iter().any(|at| bytes[*at] != b'-') {
            return Err(ParseMachineUuidError);
        }
        let mut digits = bytes
            .iter()
            .filter(|byte| **byte != b'-')
            .map(|byte| match byte {
                b'0'..=b'9' => Ok(byte - b'0'),
                b'a'..=b'f' => Ok(byte - b'a' + 10),
                b'A'..=b'F' => Ok(byte - b'A' + 10),
                _ => Err(ParseMachineUuidError),
            });
        let mut octets = [0; 16];
        for index in TEXT_ORDER {
            let high = digits.next().ok_or(ParseMachineUuidError)??;
            let low = digits.next().ok_or(ParseMachineUuidError)??;
            octets[index] = high << 4 | low;
        }
        match digits.next() {
            None => Ok(Self(octets)),
            Some(_) => Err(ParseMachineUuidError),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_three_fields_are_little_endian_on_the_wire() {
        let wire = [
            0, 0x1e, 0xab, 0x57, 0x7e, 0, 0, 0, 0x40, 0x80, 0, 0x52, 0x54, 0, 0x15, 0, 1,
        ];
        let uuid = MachineUuid::read(&wire).expect("type 0 and 16 octets");
        assert_eq!(uuid.to_string(), "7e57ab1e-0000-4000-8000-525400150001");
        assert_eq!(uuid.to_string().to_uppercase().parse(), Ok(uuid));
    }

    #[test]
    fn raspberry_pi_sends_16_octets_without_a_type() {
        assert_eq!(MachineUuid::read(&[0x34; 16]), None);
        assert_eq!(MachineUuid::read(&[]), None);
        assert_eq!(MachineUuid::read(&[1; 17]), None);
    }

    #[test]
    fn malformed_texts_are_refused() {
        for text in [
            "",
            "7e57ab1e-0000-4000-8000-52540015000",
            "7e57ab1e-0000-4000-8000-5254001500011",
            "7e57ab1e-0000-4000-8000-52540015000g",
            "7e57ab1e000004000-8000-5254001500010",
            "-------------------------------------",
            "7e57ab1e-0000-4000-8000-52540015-001",
        ] {
            assert_eq!(
                text.parse::<MachineUuid>(),
                Err(ParseMachineUuidError),
                "{text}"
            );
        }
    }
}
