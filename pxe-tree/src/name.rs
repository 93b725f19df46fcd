//! Names of directory entries.
//!
//! The only `unsafe` code of the crate is here: the cast by which a checked byte slice becomes a
//! `&Name`, as the standard library does it for `Path`.

use std::borrow::Borrow;
use std::fmt;
use std::ops::Deref;

use bytes::Bytes;

use crate::ErrorKind;

/// The name of one entry of a directory: 1 to 255 bytes of any encoding, neither `.` nor `..`,
/// with no slash and no NUL.
///
/// So a `Name` can neither leave its directory nor stand for another one.
#[derive(PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(transparent)]
pub struct Name([u8]);

impl Name {
    /// The longest name, in bytes: what Linux file systems and NFSv3's PATHCONF replies allow.
    pub const LEN_MAX: usize = 255;

    /// The name that these bytes are.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidName`] or [`ErrorKind::NameTooLong`].
    pub fn new<B: AsRef<[u8]> + ?Sized>(bytes: &B) -> Result<&Self, ErrorKind> {
        let bytes = bytes.as_ref();
        check(bytes)?;
        Ok(Self::cast(bytes))
    }

    /// A name whose bytes were checked already.
    #[allow(unsafe_code)]
    pub(crate) fn cast(bytes: &[u8]) -> &Self {
        debug_assert!(check(bytes).is_ok());
        // SAFETY: `Name` is `repr(transparent)` over `[u8]`, so both pointers have the same
        // address, length and lifetime. Validity does not depend on the check.
        unsafe { &*(std::ptr::from_ref(bytes) as *const Self) }
    }

    /// The bytes of the name.
    pub const fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// An owned copy.
    pub fn to_buf(&self) -> NameBuf {
        NameBuf(Bytes::copy_from_slice(&self.0))
    }
}

fn check(bytes: &[u8]) -> Result<(), ErrorKind> {
    match bytes {
        b"" | b"." | b".." => Err(ErrorKind::InvalidName),
        _ if bytes.iter().any(|&byte| matches!(byte, 0 | b'/')) => Err(ErrorKind::InvalidName),
        _ if bytes.len() > Name::LEN_MAX => Err(ErrorKind::NameTooLong),
        _ => Ok(()),
    }
}

impl fmt::Display for Name {
    /// The name as text: control characters escaped, bytes that are not UTF-8 as `\xNN`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_escaped(f, &self.0)
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{self}\"")
    }
}

/// Writes bytes that a peer chose so that a terminal or a log takes no harm.
pub(crate) fn write_escaped(f: &mut fmt::Formatter<'_>, bytes: &[u8]) -> fmt::Result {
    // As nearly all of them are; each request writes its path some times.
    let is_plain = |byte: &u8| matches!(byte, b' '..=b'~') && *byte != b'\\';
    if bytes.iter().all(is_plain)
        && let Ok(text) = std::str::from_utf8(bytes)
    {
        return f.write_str(text);
    }
    for chunk in bytes.utf8_chunks() {
        for character in chunk.valid().chars() {
            if character.is_control() || character == '\\' {
                write!(f, "{}", character.escape_default())?;
            } else {
                fmt::Write::write_char(f, character)?;
            }
        }
        for byte in chunk.invalid() {
            write!(f, "\\x{byte:02x}")?;
        }
    }
    Ok(())
}

/// An owned [`Name`]; clones share their bytes.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NameBuf(Bytes);

impl NameBuf {
    /// The name that these bytes are.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidName`] or [`ErrorKind::NameTooLong`].
    pub fn new(bytes: impl Into<Bytes>) -> Result<Self, ErrorKind> {
        let bytes = bytes.into();
        check(&bytes)?;
        Ok(Self(bytes))
    }
}

impl Deref for NameBuf {
    type Target = Name;

    fn deref(&self) -> &Name {
        Name::cast(&self.0)
    }
}

impl Borrow<Name> for NameBuf {
    fn borrow(&self) -> &Name {
        self
    }
}

impl From<&Name> for NameBuf {
    fn from(name: &Name) -> Self {
        name.to_buf()
    }
}

impl fmt::Display for NameBuf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl fmt::Debug for NameBuf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&**self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_could_leave_their_directory_cannot_be_made() {
        for bytes in [&b""[..], b".", b"..", b"a/b", b"/", b"a\0b"] {
            assert_eq!(Name::new(bytes), Err(ErrorKind::InvalidName), "{bytes:?}");
            assert_eq!(NameBuf::new(bytes.to_vec()), Err(ErrorKind::InvalidName));
        }
        assert_eq!(Name::new(&[b'a'; 256]), Err(ErrorKind::NameTooLong));
    }

    #[test]
    fn any_other_bytes_are_a_name() {
        for bytes in [&b"..."[..], b".disk", b"a\\b", b"\xff\xfe", &[b'a'; 255]] {
            assert_eq!(Name::new(bytes).map(Name::as_bytes), Ok(bytes));
        }
    }

    #[test]
    fn display_harms_no_terminal() {
        let name = NameBuf::new(&b"a\x1b[2J\xffe\xc3\xa9"[..]).expect("valid");
        assert_eq!(name.to_string(), "a\\u{1b}[2J\\xffe\u{e9}");
    }
}
