//! Domain names in wire form.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;

/// Octets of a name at most, lengths and the root's zero included (RFC 1035 section 2.3.4).
pub const NAME_LEN_MAX: usize = 255;
/// Octets of a label at most (RFC 1035 section 2.3.4).
pub const LABEL_LEN_MAX: usize = 63;
/// Labels of a name at most: each has at least two octets, and the root's zero needs one.
pub(crate) const LABELS_MAX: usize = NAME_LEN_MAX / 2;

/// An absolute domain name, of its own.
///
/// It keeps the case in which it was written; comparing and hashing ignore that of ASCII letters
/// (RFC 4343). It is ordered canonically (RFC 4034 section 6.1): a name is followed by all names
/// below it.
#[derive(Clone)]
pub struct Name {
    wire: Box<[u8]>,
}

/// An absolute domain name in somebody else's memory.
///
/// It is compared, hashed and ordered as [`Name`].
#[derive(Clone, Copy)]
pub struct NameRef<'a> {
    /// Labels, each after its length; the root's zero at the end. Never a pointer.
    wire: &'a [u8],
}

/// Why something is no domain name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NameError {
    /// A label has nothing in it.
    #[error("an empty label")]
    EmptyLabel,
    /// A label is longer than [`LABEL_LEN_MAX`].
    #[error("a label of more than 63 octets")]
    LabelTooLong,
    /// It is longer than [`NAME_LEN_MAX`].
    #[error("a name of more than 255 octets")]
    TooLong,
    /// A backslash is followed by neither a character nor three digits up to 255.
    #[error("a backslash that escapes nothing")]
    BadEscape,
    /// The text does not end in a dot and there is nothing to add.
    #[error("a relative name where no origin is known")]
    Relative,
    /// It does not end, or has a pointer where none can be.
    #[error("not a name in wire form")]
    Malformed,
}

impl Name {
    /// The root.
    pub fn root() -> Self {
        NameRef::ROOT.to_name()
    }

    /// The name of this text (RFC 1035 section 5.1): labels between dots, `\.` for a dot within
    /// one, `\DDD` for any octet. What does not end in a dot is relative to the origin.
    ///
    /// # Errors
    /// Those of [`NameError`].
    ///
    /// ```
    /// # use pxe_dns::{Name, NameError};
    /// let origin: Name = "matrix.lan.".parse()?;
    /// assert_eq!(Name::from_text(b"pxe", Some(origin.as_ref()))?, "PXE.matrix.lan.".parse()?);
    /// # Ok::<(), NameError>(())
    /// ```
    pub fn from_text(text: &[u8], origin: Option<NameRef<'_>>) -> Result<Self, NameError> {
        if text == b"@" {
            return origin.map(NameRef::to_name).ok_or(NameError::Relative);
        }
        if text == b"." {
            return Ok(Self::root());
        }
        let mut wire = Vec::with_capacity(text.len() + 2);
        let mut label = Vec::new();
        let mut rest = text.iter().copied();
        let mut is_absolute = false;
        while let Some(octet) = rest.next() {
            is_absolute = octet == b'.';
            match octet {
                b'.' => push_label(&mut wire, &mut label)?,
                b'\\' => label.push(escaped(&mut rest)?),
                _ => label.push(octet),
            }
        }
        if !is_absolute {
            push_label(&mut wire, &mut label)?;
        }
        match (is_absolute, origin) {
            (true, _) => wire.push(0),
            (false, Some(origin)) => wire.extend_from_slice(origin.wire),
            (false, None) => return Err(NameError::Relative),
        }
        match wire.len() {
            ..=NAME_LEN_MAX => Ok(Self { wire: wire.into() }),
            _ => Err(NameError::TooLong),
        }
    }

    /// The same name with a label before it.
    ///
    /// # Errors
    /// `EmptyLabel`, `LabelTooLong`, `TooLong`.
    pub fn with_label(origin: NameRef<'_>, label: &[u8]) -> Result<Self, NameError> {
        let mut wire = Vec::with_capacity(1 + label.len() + origin.wire.len());
        push_label(&mut wire, &mut label.to_vec())?;
        wire.extend_from_slice(origin.wire);
        match wire.len() {
            ..=NAME_LEN_MAX => Ok(Self { wire: wire.into() }),
            _ => Err(NameError::TooLong),
        }
    }

    /// The same, borrowed.
    pub fn as_ref(&self) -> NameRef<'_> {
        NameRef { wire: &self.wire }
    }
}

fn push_label(wire: &mut Vec<u8>, label: &mut Vec<u8>) -> Result<(), NameError> {
    match label.len() {
        0 => return Err(NameError::EmptyLabel),
        len @ 1..=LABEL_LEN_MAX => wire.push(len as u8),
        _ => return Err(NameError::LabelTooLong),
    }
    wire.append(label);
    Ok(())
}

/// The octet after a backslash.
fn escaped(rest: &mut impl Iterator<Item = u8>) -> Result<u8, NameError> {
    let first = rest.next().ok_or(NameError::BadEscape)?;
    if !first.is_ascii_digit() {
        return Ok(first);
    }
    let mut value = u16::from(first - b'0');
    for _ in 0..2 {
        let digit = rest.next().filter(u8::is_ascii_digit);
        value = value * 10 + u16::from(digit.ok_or(NameError::BadEscape)? - b'0');
    }
    u8::try_from(value).map_err(|_| NameError::BadEscape)
}

impl<'a> NameRef<'a> {
    /// The root.
    pub const ROOT: NameRef<'static> = NameRef { wire: &[0] };

    /// The name at the beginning of these octets, which must not be compressed.
    ///
    /// # Errors
    /// `TooLong`, `Malformed`.
    pub fn from_wire(octets: &'a [u8]) -> Result<Self, NameError> {
        let mut len = 0;
        loop {
            match octets.get(len) {
                Some(0) => break,
                Some(&label) if usize::from(label) <= LABEL_LEN_MAX => {
                    len += 1 + usize::from(label);
                }
                _ => return Err(NameError::Malformed),
            }
            if len >= NAME_LEN_MAX {
                return Err(NameError::TooLong);
            }
        }
        let wire = octets.get(..=len).ok_or(NameError::Malformed)?;
        Ok(Self { wire })
    }

    /// Labels, each after its length, and the root's zero (RFC 1035 section 3.1).
    pub const fn wire(self) -> &'a [u8] {
        self.wire
    }

    /// Its labels without the root's, from the left.
    pub const fn labels(self) -> Labels<'a> {
        Labels { rest: self }
    }

    /// Its labels without the root's, from the right. `starts` is room for where they begin.
    pub(crate) fn labels_from_right<'p>(
        self,
        starts: &'p mut [u8; LABELS_MAX],
    ) -> impl Iterator<Item = &'a [u8]> + use<'a, 'p> {
        let mut count = 0;
        let mut at = 0;
        for (start, label) in starts.iter_mut().zip(self.labels()) {
            // A name has fewer octets than this can say.
            *start = at as u8;
            at += 1 + label.len();
            count += 1;
        }
        let known = starts.get(..count).unwrap_or_default();
        known.iter().rev().filter_map(move |start| {
            let rest = self.wire.get(usize::from(*start)..)?;
            let (len, rest) = rest.split_first()?;
            rest.get(..usize::from(*len))
        })
    }

    /// Whether this is the root.
    pub const fn is_root(self) -> bool {
        self.wire.len() <= 1
    }

    /// Whether its first label is `*` (RFC 4592 section 2.1.1).
    pub fn is_wildcard(self) -> bool {
        self.wire.starts_with(b"\x01*")
    }

    /// The name without its first label; the root has none.
    pub fn parent(self) -> Option<Self> {
        let (len, _) = self.wire.split_first()?;
        let wire = self.wire.get(1 + usize::from(*len)..)?;
        (!wire.is_empty()).then_some(Self { wire })
    }

    /// Whether this is `other` or a name below it.
    pub fn is_within(self, other: NameRef<'_>) -> bool {
        let Some(mut excess) = self.wire.len().checked_sub(other.wire.len()) else {
            return false;
        };
        let mut name = self;
        while excess > 0 {
            let Some(parent) = name.parent() else {
                return false;
            };
            match excess.checked_sub(name.wire.len() - parent.wire.len()) {
                Some(less) => (excess, name) = (less, parent),
                None => return false,
            }
        }
        name == other
    }

    /// A copy.
    pub fn to_name(self) -> Name {
        Name {
            wire: self.wire.into(),
        }
    }
}

/// The labels of a name, from the left.
#[derive(Debug, Clone)]
pub struct Labels<'a> {
    rest: NameRef<'a>,
}

impl<'a> Iterator for Labels<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let wire = self.rest.wire;
        let parent = self.rest.parent()?;
        self.rest = parent;
        wire.get(1..wire.len() - parent.wire.len())
    }
}

impl PartialEq<NameRef<'_>> for NameRef<'_> {
    fn eq(&self, other: &NameRef<'_>) -> bool {
        // Lengths are below every letter, so that they are compared as they are.
        self.wire.eq_ignore_ascii_case(other.wire)
    }
}

impl Eq for NameRef<'_> {}

impl Hash for NameRef<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        for octet in self.wire {
            state.write_u8(octet.to_ascii_lowercase());
        }
    }
}

impl Ord for NameRef<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        let (mut our_starts, mut their_starts) = ([0; LABELS_MAX], [0; LABELS_MAX]);
        let ours = self.labels_from_right(&mut our_starts);
        let mut theirs = other.labels_from_right(&mut their_starts);
        for ours in ours {
            let Some(theirs) = theirs.next() else {
                return Ordering::Greater;
            };
            let ours = ours.iter().map(u8::to_ascii_lowercase);
            match ours.cmp(theirs.iter().map(u8::to_ascii_lowercase)) {
                Ordering::Equal => {}
                unequal => return unequal,
            }
        }
        match theirs.next() {
            Some(_) => Ordering::Less,
            None => Ordering::Equal,
        }
    }
}

impl PartialOrd for NameRef<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for NameRef<'_> {
    /// As zone files have it, with the dot at its end.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_root() {
            return f.write_str(".");
        }
        for label in self.labels() {
            for octet in label {
                match octet {
                    b'.' | b'\\' | b'"' | b'(' | b')' | b';' | b'@' | b'$' => {
                        write!(f, "\\{}", char::from(*octet))?;
                    }
                    0x21..=0x7e => write!(f, "{}", char::from(*octet))?,
                    _ => write!(f, "\\{octet:03}")?,
                }
            }
            f.write_str(".")?;
        }
        Ok(())
    }
}

impl fmt::Debug for NameRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Name {
    type Err = NameError;

    /// An absolute name, with or without the dot at its end.
    fn from_str(text: &str) -> Result<Self, NameError> {
        Self::from_text(text.as_bytes(), Some(NameRef::ROOT))
    }
}

impl PartialEq for Name {
    fn eq(&self, other: &Self) -> bool {
        self.as_ref() == other.as_ref()
    }
}

impl Eq for Name {}

impl Hash for Name {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_ref().hash(state);
    }
}

impl Ord for Name {
    fn cmp(&self, other: &Self) -> Ordering {
        self.as_ref().cmp(&other.as_ref())
    }
}

impl PartialOrd for Name {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.as_ref(), f)
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Name {
        text.parse().expect(text)
    }

    #[test]
    fn text_becomes_wire_form_and_text_again() {
        for (text, wire, shown) in [
            (".", &b"\0"[..], "."),
            (
                "pxe.matrix.lan",
                b"\x03pxe\x06matrix\x03lan\0",
                "pxe.matrix.lan.",
            ),
            ("PxE.lan.", b"\x03PxE\x03lan\0", "PxE.lan."),
            (r"a\.b.lan.", b"\x03a.b\x03lan\0", r"a\.b.lan."),
            (
                r"\007\255x.lan.",
                b"\x03\x07\xffx\x03lan\0",
                r"\007\255x.lan.",
            ),
            (r"\@.lan.", b"\x01@\x03lan\0", r"\@.lan."),
        ] {
            assert_eq!(name(text).as_ref().wire(), wire, "{text}");
            assert_eq!(name(text).to_string(), shown);
            assert_eq!(NameRef::from_wire(wire), Ok(name(text).as_ref()));
        }
    }

    #[test]
    fn what_is_no_name_is_told() {
        let long = "a".repeat(64);
        let many = "a.".repeat(128);
        for (text, error) in [
            ("a..b", NameError::EmptyLabel),
            (".a", NameError::EmptyLabel),
            ("", NameError::EmptyLabel),
            (long.as_str(), NameError::LabelTooLong),
            (many.as_str(), NameError::TooLong),
            (r"a\", NameError::BadEscape),
            (r"a\25", NameError::BadEscape),
            (r"a\256", NameError::BadEscape),
        ] {
            assert_eq!(text.parse::<Name>(), Err(error), "{text}");
        }
        assert_eq!(Name::from_text(b"pxe", None), Err(NameError::Relative));
        let most = "a.".repeat(127);
        assert_eq!(name(&most).as_ref().wire().len(), NAME_LEN_MAX);
        assert_eq!(NameRef::from_wire(b"\x03pxe"), Err(NameError::Malformed));
        assert_eq!(NameRef::from_wire(b"\xc0\x0c"), Err(NameError::Malformed));
        let wire = [&b"\x01a".repeat(127)[..], b"\x01a\0"].concat();
        assert_eq!(NameRef::from_wire(&wire), Err(NameError::TooLong));
    }

    /// RFC 4034 section 6.1 has these names in this order.
    #[test]
    fn names_are_in_canonical_order() {
        let names = [
            "example.",
            "a.example.",
            "yljkjljk.a.example.",
            "Z.a.example.",
            "zABC.a.EXAMPLE.",
            "z.example.",
            r"\001.z.example.",
            "*.z.example.",
            r"\200.z.example.",
        ]
        .map(name);
        assert!(names.is_sorted());
    }

    #[test]
    fn a_name_is_within_its_ancestors() {
        let within =
            |name_: &str, other: &str| name(name_).as_ref().is_within(name(other).as_ref());
        assert!(within("a.b.lan", "B.lan"));
        assert!(within("b.lan", "b.lan"));
        assert!(within("b.lan", "."));
        assert!(!within("ab.lan", "b.lan"));
        assert!(!within("lan", "b.lan"));
        // The octets of the other are at its end, but not as labels.
        assert!(!within(r"x\001b\003lan", "b.lan"));
    }
}
