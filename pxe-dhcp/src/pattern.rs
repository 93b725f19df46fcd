//! What bytes, and what hardware addresses, a condition looks for.

use core::fmt;
use core::str::FromStr;

use pxe_core::MacAddr;
use thiserror::Error;

/// The longest text of a peer that an explanation shows; what is longer ends in `...`.
const SHOWN_BYTES_MAX: usize = 48;

/// Bytes with wildcards: `*` stands for any bytes, none among them.
///
/// Written as text, or as octets after `hex:`; `*` is a wildcard in both. `\*` and `\\` are a
/// literal star and backslash.
///
/// ```
/// use pxe_dhcp::Pattern;
///
/// let pattern: Pattern = "PXEClient:Arch:*:UNDI:*".parse()?;
/// assert!(pattern.matches(b"PXEClient:Arch:00007:UNDI:003000"));
/// assert!("hex:0004*".parse::<Pattern>()?.matches(&[0, 4, 0, 10, 0, 1]));
/// assert!(!"eth0".parse::<Pattern>()?.matches(b"eth0/1"));
/// # Ok::<(), pxe_dhcp::ParsePatternError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pattern {
    /// What stands before the first wildcard, or all there is without one.
    first: Vec<u8>,
    /// What stands after each wildcard.
    rest: Vec<Vec<u8>>,
}

impl Pattern {
    /// Exactly these bytes; none of them is a wildcard.
    pub fn exact(bytes: impl AsRef<[u8]>) -> Self {
        Self {
            first: bytes.as_ref().to_vec(),
            rest: Vec::new(),
        }
    }

    /// Whatever begins with these bytes; none of them is a wildcard.
    pub fn prefix(bytes: impl AsRef<[u8]>) -> Self {
        Self {
            first: bytes.as_ref().to_vec(),
            rest: vec![Vec::new()],
        }
    }

    /// The bytes that match, if those are the only ones: if there is no wildcard.
    pub fn as_exact(&self) -> Option<&[u8]> {
        self.rest.is_empty().then_some(self.first.as_slice())
    }

    /// Whether these bytes match from their first to their last.
    pub fn matches(&self, bytes: &[u8]) -> bool {
        self.matches_by(bytes, |one, other| one == other)
    }

    /// The same, with the letters of ASCII alike in both cases: for host names (RFC 4343).
    pub fn matches_ignoring_case(&self, bytes: &[u8]) -> bool {
        self.matches_by(bytes, <[u8]>::eq_ignore_ascii_case)
    }

    fn matches_by(&self, bytes: &[u8], equal: fn(&[u8], &[u8]) -> bool) -> bool {
        let Some((last, middle)) = self.rest.split_last() else {
            return equal(bytes, &self.first);
        };
        let Some((head, mut rest)) = bytes.split_at_checked(self.first.len()) else {
            return false;
        };
        if !equal(head, &self.first) {
            return false;
        }
        for part in middle {
            // The leftmost place leaves the most for the parts that follow. An empty part, from
            // two wildcards in a row, is found at once.
            let found = (0..=rest.len().saturating_sub(part.len())).find_map(|at| {
                let (candidate, after) = rest.get(at..)?.split_at_checked(part.len())?;
                equal(candidate, part).then_some(after)
            });
            match found {
                Some(after) => rest = after,
                None => return false,
            }
        }
        rest.len()
            .checked_sub(last.len())
            .and_then(|at| rest.get(at..))
            .is_some_and(|tail| equal(tail, last))
    }

    fn parts(&self) -> impl Iterator<Item = &Vec<u8>> {
        core::iter::once(&self.first).chain(&self.rest)
    }

    fn is_text(&self) -> bool {
        self.parts().flatten().all(|byte| is_shown(*byte))
    }
}

impl fmt::Display for Pattern {
    /// As it is written: as text where all of it is, and after `hex:` otherwise.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Text that begins with `hex:` would be read back as octets.
        let is_text = self.is_text() && !self.first.starts_with(HEX);
        if !is_text {
            f.write_str("hex:")?;
        }
        for (index, part) in self.parts().enumerate() {
            if index > 0 {
                f.write_str("*")?;
            }
            for byte in part {
                match (is_text, byte) {
                    (false, byte) => write!(f, "{byte:02x}")?,
                    (true, b'*' | b'\\') => write!(f, "\\{}", char::from(*byte))?,
                    (true, byte) => write!(f, "{}", char::from(*byte))?,
                }
            }
        }
        Ok(())
    }
}

const HEX: &[u8] = b"hex:";

/// A text is no [`Pattern`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ParsePatternError {
    /// It is empty.
    #[error("a pattern cannot be empty; \"*\" matches anything")]
    Empty,
    /// A backslash stands before something else than a star or a backslash.
    #[error("\"\\\" in a pattern only stands before \"*\" or another \"\\\"")]
    Escape,
    /// What follows `hex:` is not pairs of hexadecimal digits.
    #[error("\"hex:\" wants two hexadecimal digits for each octet, as in \"hex:00040a\"")]
    Hex,
}

impl FromStr for Pattern {
    type Err = ParsePatternError;

    fn from_str(text: &str) -> Result<Self, ParsePatternError> {
        if text.is_empty() {
            return Err(ParsePatternError::Empty);
        }
        let parts = match text.as_bytes().strip_prefix(HEX) {
            Some(digits) => digits
                .split(|byte| *byte == b'*')
                .map(octets)
                .collect::<Option<Vec<_>>>()
                .ok_or(ParsePatternError::Hex)?,
            None => text_parts(text.as_bytes())?,
        };
        let mut parts = parts.into_iter();
        let first = parts.next().unwrap_or_default();
        let rest: Vec<_> = parts.collect();
        if first.is_empty() && rest.is_empty() {
            return Err(ParsePatternError::Hex);
        }
        Ok(Self { first, rest })
    }
}

fn text_parts(text: &[u8]) -> Result<Vec<Vec<u8>>, ParsePatternError> {
    let mut parts = vec![Vec::new()];
    let mut bytes = text.iter();
    while let Some(byte) = bytes.next() {
        let literal = match byte {
            b'*' => {
                parts.push(Vec::new());
                continue;
            }
            b'\\' => match bytes.next() {
                Some(escaped @ (b'*' | b'\\')) => *escaped,
                _ => return Err(ParsePatternError::Escape),
            },
            other => *other,
        };
        if let Some(part) = parts.last_mut() {
            part.push(literal);
        }
    }
    Ok(parts)
}

/// Pairs of hexadecimal digits, with colons between them or without.
fn octets(digits: &[u8]) -> Option<Vec<u8>> {
    let digits: Vec<u8> = digits
        .iter()
        .copied()
        .filter(|byte| *byte != b':')
        .collect();
    let (pairs, rest) = digits.as_chunks::<2>();
    let octet = |pair: &[u8; 2]| {
        let [high, low] = pair.map(|digit| char::from(digit).to_digit(16));
        u8::try_from(high? << 4 | low?).ok()
    };
    rest.is_empty()
        .then(|| pairs.iter().map(octet).collect())
        .flatten()
}

/// The first octets of an Ethernet address, one to all six of them.
///
/// Written `52:54:00`, `52:54:00:*` or `52:54:00:12:34:56`; hyphens will do for colons.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MacPrefix {
    octets: [u8; 6],
    len: u8,
}

impl MacPrefix {
    /// These octets; `None` unless there are one to six.
    pub fn new(octets: &[u8]) -> Option<Self> {
        let len = u8::try_from(octets.len()).ok()?;
        let mut all = [0; 6];
        all.get_mut(..octets.len())?.copy_from_slice(octets);
        (len > 0).then_some(Self { octets: all, len })
    }

    /// The octets.
    pub fn octets(&self) -> &[u8] {
        self.octets.get(..usize::from(self.len)).unwrap_or_default()
    }

    /// Whether the address begins with these octets.
    pub fn matches(&self, mac: MacAddr) -> bool {
        mac.octets().starts_with(self.octets())
    }

    /// Whether this is a whole address.
    pub const fn is_whole(&self) -> bool {
        self.len == 6
    }
}

impl From<MacAddr> for MacPrefix {
    fn from(mac: MacAddr) -> Self {
        Self {
            octets: mac.octets(),
            len: 6,
        }
    }
}

impl fmt::Display for MacPrefix {
    /// Lower-case octets joined by colons, and `:*` where some are missing.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, octet) in self.octets().iter().enumerate() {
            let separator = if index == 0 { "" } else { ":" };
            write!(f, "{separator}{octet:02x}")?;
        }
        f.write_str(if self.is_whole() { "" } else { ":*" })
    }
}

/// A text is no [`MacPrefix`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("not a hardware address, or the beginning of one, such as 52:54:00:12:34:56 or 52:54:00:*")]
#[non_exhaustive]
pub struct ParseMacPrefixError;

impl FromStr for MacPrefix {
    type Err = ParseMacPrefixError;

    fn from_str(text: &str) -> Result<Self, ParseMacPrefixError> {
        let separator = if text.contains('-') { '-' } else { ':' };
        let stem = match text.strip_suffix('*') {
            Some(stem) => stem.strip_suffix(separator).ok_or(ParseMacPrefixError)?,
            None => text,
        };
        let octet = |part: &str| match part.as_bytes() {
            [_, _] => octets(part.as_bytes())?.first().copied(),
            _ => None,
        };
        let octets: Option<Vec<u8>> = stem.split(separator).map(octet).collect();
        let prefix = octets.and_then(|octets| Self::new(&octets));
        prefix
            .filter(|prefix| stem.len() == text.len() || !prefix.is_whole())
            .ok_or(ParseMacPrefixError)
    }
}

/// Bytes that a peer sent, for people to read: in quotes if all of them are printable ASCII, as
/// octets after `hex:` otherwise, and cut off where they are long.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shown<'a>(pub(crate) &'a [u8]);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (shown, rest) = self
            .0
            .split_at_checked(SHOWN_BYTES_MAX)
            .unwrap_or((self.0, &[]));
        let dots = if rest.is_empty() { "" } else { "..." };
        if self.0.iter().all(|byte| is_shown(*byte)) {
            f.write_str("\"")?;
            for byte in shown {
                let escape = if matches!(byte, b'"' | b'\\') {
                    "\\"
                } else {
                    ""
                };
                write!(f, "{escape}{}", char::from(*byte))?;
            }
            return write!(f, "{dots}\"");
        }
        f.write_str("hex:")?;
        for byte in shown {
            write!(f, "{byte:02x}")?;
        }
        f.write_str(dots)
    }
}

const fn is_shown(byte: u8) -> bool {
    matches!(byte, b' '..=b'~')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn pattern(text: &str) -> Pattern {
        text.parse().expect("a pattern")
    }

    #[test]
    fn wildcards_stand_for_any_bytes() {
        for (text, matching, others) in [
            ("eth0", &["eth0"][..], &["eth", "eth01", "ETH0", ""][..]),
            ("eth*", &["eth", "eth0"], &["et", "xeth0"]),
            ("*/1", &["/1", "a/1", "/1/1"], &["/1x", "1"]),
            (
                "a*b*c",
                &["abc", "axbxc", "abbcc", "abcbc"],
                &["ab", "acb", "abcd"],
            ),
            ("*", &["", "anything"], &[]),
            ("a**b", &["ab", "axb"], &["a"]),
            ("ab*ba", &["abba", "ab-ba"], &["aba"]),
            (r"\*\\*", &[r"*\", r"*\x"], &[r"x\"]),
        ] {
            let parsed = pattern(text);
            for bytes in matching {
                assert!(parsed.matches(bytes.as_bytes()), "{text} {bytes}");
            }
            for bytes in others {
                assert!(!parsed.matches(bytes.as_bytes()), "{text} {bytes}");
            }
        }
        assert!(pattern("PC-*").matches_ignoring_case(b"pc-1"));
    }

    #[test]
    fn octets_after_hex() {
        assert_eq!(pattern("hex:00:04:0a"), Pattern::exact([0, 4, 10]));
        assert_eq!(pattern("hex:0004*"), Pattern::prefix([0, 4]));
        assert!(pattern("hex:*0a").matches(&[0, 10]));
        for (text, error) in [
            ("", ParsePatternError::Empty),
            ("hex:", ParsePatternError::Hex),
            ("hex:0", ParsePatternError::Hex),
            ("hex:0x", ParsePatternError::Hex),
            (r"a\b", ParsePatternError::Escape),
            ("a\\", ParsePatternError::Escape),
        ] {
            assert_eq!(text.parse::<Pattern>(), Err(error), "{text}");
        }
    }

    #[test]
    fn mac_prefixes() {
        let mac = MacAddr::new([0x52, 0x54, 0, 0x15, 0, 1]);
        for (text, shown, matches) in [
            ("52:54:00", "52:54:00:*", true),
            ("52-54-00-*", "52:54:00:*", true),
            ("52", "52:*", true),
            ("52:54:00:15:00:01", "52:54:00:15:00:01", true),
            ("52:54:01", "52:54:01:*", false),
        ] {
            let prefix: MacPrefix = text.parse().expect("a prefix");
            assert_eq!(
                (prefix.to_string().as_str(), prefix.matches(mac)),
                (shown, matches)
            );
            assert_eq!(prefix.to_string().parse(), Ok(prefix));
        }
        for text in [
            "",
            "*",
            ":*",
            "5",
            "52:",
            "52:5",
            "52:54:00*",
            "52:54-00",
            "+2:54",
            "52:*:00",
            "52:54:00:15:00:01:*",
            "52:54:00:15:00:01:02",
        ] {
            assert_eq!(
                text.parse::<MacPrefix>(),
                Err(ParseMacPrefixError),
                "{text}"
            );
        }
    }

    #[test]
    fn what_peers_send_is_escaped_and_cut_off() {
        assert_eq!(Shown(b"it's \"b\"").to_string(), r#""it's \"b\"""#);
        assert_eq!(Shown(b"a\n\x1b[2J").to_string(), "hex:610a1b5b324a");
        assert_eq!(Shown(&[b'a'; 500]).to_string().len(), SHOWN_BYTES_MAX + 5);
        assert_eq!(
            Shown(&[0xff; 500]).to_string().len(),
            2 * SHOWN_BYTES_MAX + 7
        );
    }

    proptest! {
        #[test]
        fn patterns_are_read_back_as_written(parts in prop::collection::vec(any::<Vec<u8>>(), 1..4)) {
            let mut parts = parts.into_iter();
            let pattern = Pattern { first: parts.next().unwrap_or_default(), rest: parts.collect() };
            prop_assume!(pattern != Pattern::exact([]));
            prop_assert_eq!(pattern.to_string().parse(), Ok(pattern));
        }

        #[test]
        fn a_pattern_matches_what_its_wildcards_are_filled_with(
            parts in prop::collection::vec(prop::collection::vec(0..3_u8, 0..3), 1..5),
            fills in prop::collection::vec(prop::collection::vec(0..3_u8, 0..3), 4),
        ) {
            let mut bytes = parts[0].clone();
            for (fill, part) in fills.iter().zip(&parts[1..]) {
                bytes.extend(fill);
                bytes.extend(part);
            }
            let pattern = Pattern { first: parts[0].clone(), rest: parts[1..].to_vec() };
            prop_assert!(pattern.matches(&bytes), "{} {:?}", pattern, bytes);
        }
    }
}
