//! Octets as characters of 4, 5 or 6 bits (RFC 4648).

/// An alphabet.
#[derive(Debug)]
pub(super) struct Encoding {
    /// Characters by value.
    alphabet: &'static [u8],
    bits: u32,
    /// Whether letters may be of either case.
    is_case_blind: bool,
    /// Characters to a multiple of which text is filled with `=`; none for no filling.
    group: Option<usize>,
}

/// Hexadecimal digits, written in upper case.
pub(super) const HEX: Encoding = Encoding {
    alphabet: b"0123456789ABCDEF",
    bits: 4,
    is_case_blind: true,
    group: None,
};

/// That of hashed names, without filling (RFC 4648 section 7, RFC 5155 section 3.3).
pub(super) const BASE32_HEX: Encoding = Encoding {
    alphabet: b"0123456789ABCDEFGHIJKLMNOPQRSTUV",
    bits: 5,
    is_case_blind: true,
    group: None,
};

/// That of keys and signatures (RFC 4648 section 4).
pub(super) const BASE64: Encoding = Encoding {
    alphabet: b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/",
    bits: 6,
    is_case_blind: false,
    group: Some(4),
};

impl Encoding {
    fn value(&self, character: u8) -> Option<u32> {
        let character = match self.is_case_blind {
            true => character.to_ascii_uppercase(),
            false => character,
        };
        let value = self.alphabet.iter().position(|other| *other == character)?;
        u32::try_from(value).ok()
    }

    /// The octets of this text; none if it has other characters, or bits that make no octet.
    pub(super) fn decode(&self, text: &[u8]) -> Option<Vec<u8>> {
        let filling = text.iter().rev().take_while(|c| **c == b'=').count();
        let digits = text.get(..text.len() - filling)?;
        let is_filled = match self.group {
            Some(group) => text.len().is_multiple_of(group) && filling < group,
            None => filling == 0,
        };
        let mut octets = Vec::with_capacity(digits.len());
        let (mut bits, mut count) = (0_u32, 0);
        for character in digits {
            bits = bits << self.bits | self.value(*character)?;
            count += self.bits;
            if count >= 8 {
                count -= 8;
                octets.push((bits >> count) as u8);
                bits &= (1 << count) - 1;
            }
        }
        // What is left is less than a character, and nothing.
        (is_filled && count < self.bits && bits == 0).then_some(octets)
    }

    /// The text of these octets.
    pub(super) fn encode(&self, octets: &[u8]) -> String {
        let mut text = String::with_capacity(octets.len() * 2 + 4);
        let mut push = |value: u32| {
            let character = self.alphabet.get(value as usize);
            text.push(char::from(character.copied().unwrap_or(b'=')));
        };
        let (mut bits, mut count) = (0_u32, 0);
        for octet in octets {
            bits = bits << 8 | u32::from(*octet);
            count += 8;
            while count >= self.bits {
                count -= self.bits;
                push(bits >> count);
                bits &= (1 << count) - 1;
            }
        }
        if count > 0 {
            push(bits << (self.bits - count));
        }
        while self
            .group
            .is_some_and(|group| !text.len().is_multiple_of(group))
        {
            text.push('=');
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 4648 section 10.
    #[test]
    fn octets_are_encoded_and_decoded() {
        for (encoding, octets, text) in [
            (&BASE64, &b""[..], ""),
            (&BASE64, b"f", "Zg=="),
            (&BASE64, b"fo", "Zm8="),
            (&BASE64, b"foobar", "Zm9vYmFy"),
            (&BASE32_HEX, b"f", "CO"),
            (&BASE32_HEX, b"foobar", "CPNMUOJ1E8"),
            (&HEX, b"\x00\xfa", "00FA"),
        ] {
            assert_eq!(encoding.encode(octets), text);
            assert_eq!(encoding.decode(text.as_bytes()).as_deref(), Some(octets));
        }
        assert_eq!(HEX.decode(b"fa"), Some(vec![0xfa]));
    }

    #[test]
    fn what_encodes_nothing_is_not_decoded() {
        for text in [
            "Z", "Zg", "Zg=", "Zh==", "Zg===", "Z===", "====", "Zm9v!", "Z=g=",
        ] {
            assert_eq!(BASE64.decode(text.as_bytes()), None, "{text}");
        }
        for text in ["0", "0g", "00=", "000"] {
            assert_eq!(HEX.decode(text.as_bytes()), None, "{text}");
        }
        for text in ["C", "CP", "W0", "CPN", "CO======"] {
            assert_eq!(BASE32_HEX.decode(text.as_bytes()), None, "{text}");
        }
    }
}
