//! Paths within a tree, and how TFTP and HTTP requests become one.

use std::fmt;
use std::str::FromStr;

use bytes::{BufMut, Bytes, BytesMut};

use crate::name::write_escaped;
use crate::{ErrorKind, Name};

/// A path from the root of a tree: zero or more [`Name`]s.
///
/// `..` is applied while a path is made, and stops at the root (RFC 3986 section 5.2.4), so no
/// value of this type leads out of a tree. The empty path is the root itself.
///
/// # Example
///
/// ```
/// use pxe_tree::TreePath;
///
/// let asked = TreePath::from_tftp(b"\\Boot\\..//bios/lpxelinux.0").unwrap();
/// assert_eq!(asked.to_string(), "/bios/lpxelinux.0");
/// assert_eq!(asked, TreePath::from_uri_path("/bios/%6cpxelinux.0").unwrap());
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct TreePath {
    /// The names joined by single slashes, with none at either end.
    joined: Bytes,
}

impl TreePath {
    /// The longest path that a request may name, in bytes: Linux's `PATH_MAX`, less its NUL.
    pub const LEN_MAX: usize = 4095;

    /// The root: a path of no names.
    pub const ROOT: Self = Self {
        joined: Bytes::new(),
    };

    /// Reads names joined by slashes, as they stand in a configuration file or a link.
    ///
    /// Slashes at the ends and doubled ones are dropped, `.` is dropped, `..` drops the name
    /// before it and stops at the root.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidName`] for a NUL, [`ErrorKind::NameTooLong`] beyond
    /// [`Name::LEN_MAX`] or [`Self::LEN_MAX`].
    pub fn parse<B: AsRef<[u8]> + ?Sized>(bytes: &B) -> Result<Self, ErrorKind> {
        Self::from_parts(bytes.as_ref(), |byte| byte == b'/')
    }

    /// Reads the file name of a TFTP request.
    ///
    /// As [`parse`](Self::parse), and backslashes separate too (Windows' loader asks for
    /// `\Boot\BCD`), bytes 0xFF at the end are dropped (ROMs read the END option behind an
    /// unterminated option 67 as part of the name), and so is `::` at the beginning (syslinux writes
    /// it before names that its path prefix is not for; doc/pxelinux.txt).
    ///
    /// # Errors
    /// As [`parse`](Self::parse).
    pub fn from_tftp(filename: &[u8]) -> Result<Self, ErrorKind> {
        let end = filename
            .iter()
            .rposition(|&byte| byte != 0xff)
            .map_or(0, |last| last + 1);
        let filename = &filename[..end];
        let filename = filename.strip_prefix(b"::").unwrap_or(filename);
        Self::from_parts(filename, |byte| matches!(byte, b'/' | b'\\'))
    }

    /// Reads the path of an HTTP request target, without query.
    ///
    /// Percent signs are decoded once, each segment by itself: `%2e%2e` is `..`, and a segment
    /// with `%2f` or `%00` in it is no name. A percent sign that begins no escape stands for
    /// itself, as browsers have it.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidName`] for an encoded slash or NUL, else as [`parse`](Self::parse).
    pub fn from_uri_path(path: &str) -> Result<Self, ErrorKind> {
        if path.len() > 3 * Self::LEN_MAX {
            return Err(ErrorKind::NameTooLong);
        }
        let mut builder = Builder {
            joined: BytesMut::with_capacity(path.len()),
        };
        let mut decoded = Vec::new();
        for segment in path.split('/') {
            if segment.contains('%') {
                decoded.clear();
                percent_decode(segment.as_bytes(), &mut decoded);
                builder.push(&decoded)?;
            } else {
                builder.push(segment.as_bytes())?;
            }
        }
        builder.finish()
    }

    fn from_parts(bytes: &[u8], separates: impl Fn(u8) -> bool) -> Result<Self, ErrorKind> {
        let mut builder = Builder::default();
        for part in bytes.split(|&byte| separates(byte)) {
            builder.push(part)?;
        }
        builder.finish()
    }

    /// Whether this is the root.
    pub fn is_root(&self) -> bool {
        self.joined.is_empty()
    }

    /// The names joined by single slashes, with none at either end; empty for the root.
    pub fn as_bytes(&self) -> &[u8] {
        &self.joined
    }

    /// The names, from the root on.
    pub fn names(&self) -> impl DoubleEndedIterator<Item = &Name> {
        self.joined
            .split(|&byte| byte == b'/')
            .filter(|part| !part.is_empty())
            .map(Name::cast)
    }

    /// The last name; `None` for the root.
    pub fn file_name(&self) -> Option<&Name> {
        self.names().next_back()
    }

    /// The path without its last name; `None` for the root.
    pub fn parent(&self) -> Option<Self> {
        let last = self.file_name()?.as_bytes().len();
        let end = self.joined.len() - last;
        Some(Self {
            joined: self.joined.slice(..end.saturating_sub(1)),
        })
    }

    /// This path, then those names.
    ///
    /// # Errors
    /// [`ErrorKind::NameTooLong`] if the whole exceeds [`Self::LEN_MAX`].
    pub fn join(&self, more: &Self) -> Result<Self, ErrorKind> {
        let mut builder = Builder {
            joined: BytesMut::from(&self.joined[..]),
        };
        for name in more.names() {
            builder.push(name.as_bytes())?;
        }
        builder.finish()
    }

    /// This path, then one name.
    ///
    /// # Errors
    /// [`ErrorKind::NameTooLong`] if the whole exceeds [`Self::LEN_MAX`].
    pub fn child(&self, name: &Name) -> Result<Self, ErrorKind> {
        let mut builder = Builder {
            joined: BytesMut::from(&self.joined[..]),
        };
        builder.push(name.as_bytes())?;
        builder.finish()
    }

    /// What is left of this path below `prefix`; `None` if it is not below it.
    ///
    /// Only whole names count: `/foobar` is not below `/foo`.
    pub fn strip_prefix(&self, prefix: &Self) -> Option<Self> {
        if prefix.is_root() {
            return Some(self.clone());
        }
        let rest = self.joined.strip_prefix(&prefix.joined[..])?;
        match rest.first() {
            None => Some(Self::ROOT),
            Some(b'/') => Some(Self {
                joined: self.joined.slice(prefix.joined.len() + 1..),
            }),
            Some(_) => None,
        }
    }
}

/// Joins names while `..` takes the last one back.
#[derive(Default)]
struct Builder {
    joined: BytesMut,
}

impl Builder {
    fn push(&mut self, part: &[u8]) -> Result<(), ErrorKind> {
        match part {
            b"" | b"." => {}
            b".." => {
                let end = self
                    .joined
                    .iter()
                    .rposition(|&byte| byte == b'/')
                    .unwrap_or(0);
                self.joined.truncate(end);
            }
            _ => {
                let name = Name::new(part)?;
                // Bounded while it grows, so that no input costs more memory than a valid path.
                if self.joined.len() + 1 + name.as_bytes().len() > TreePath::LEN_MAX {
                    return Err(ErrorKind::NameTooLong);
                }
                if !self.joined.is_empty() {
                    self.joined.put_u8(b'/');
                }
                self.joined.put_slice(name.as_bytes());
            }
        }
        Ok(())
    }

    fn finish(self) -> Result<TreePath, ErrorKind> {
        Ok(TreePath {
            joined: self.joined.freeze(),
        })
    }
}

fn percent_decode(segment: &[u8], out: &mut Vec<u8>) {
    let mut rest = segment;
    while let [first, tail @ ..] = rest {
        match (first, tail) {
            (b'%', [high, low, after @ ..])
                if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() =>
            {
                out.push(hex(*high) << 4 | hex(*low));
                rest = after;
            }
            _ => {
                out.push(*first);
                rest = tail;
            }
        }
    }
}

const fn hex(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        b'a'..=b'f' => digit - b'a' + 10,
        _ => digit - b'A' + 10,
    }
}

impl AsRef<[u8]> for TreePath {
    fn as_ref(&self) -> &[u8] {
        self.as_bytes()
    }
}

impl FromStr for TreePath {
    type Err = ErrorKind;

    fn from_str(text: &str) -> Result<Self, ErrorKind> {
        Self::parse(text)
    }
}

impl fmt::Display for TreePath {
    /// The path with a leading slash, escaped as [`Name`] is.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("/")?;
        write_escaped(f, &self.joined)
    }
}

impl fmt::Debug for TreePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{self}\"")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn path(text: &str) -> TreePath {
        TreePath::parse(text).expect("a valid path")
    }

    #[test]
    fn dots_stop_at_the_root() {
        for text in [
            "../../etc/passwd",
            "/a/../../etc//passwd/.",
            "etc/./passwd/",
            "x/../etc/passwd",
        ] {
            assert_eq!(path(text).to_string(), "/etc/passwd", "{text}");
        }
        assert_eq!(path("a/.."), TreePath::ROOT);
        assert_eq!(path("..."), path("/..."));
    }

    #[test]
    fn tftp_names_as_loaders_send_them() {
        let cases: [(&[u8], &str); 8] = [
            (b"bios/lpxelinux.0", "/bios/lpxelinux.0"),
            (b"/grub/grub.cfg", "/grub/grub.cfg"),
            (b"//libcom32.c32", "/libcom32.c32"),
            (b"\\Boot\\BCD", "/Boot/BCD"),
            (b"bootx64.efi\xff", "/bootx64.efi"),
            (b"\xff\xff", "/"),
            (b"::bios/ldlinux.c32", "/bios/ldlinux.c32"),
            (b"a/::b", "/a/::b"),
        ];
        for (asked, meant) in cases {
            assert_eq!(
                TreePath::from_tftp(asked).expect("valid").to_string(),
                meant
            );
        }
    }

    #[test]
    fn uri_paths_are_decoded_once() {
        let decode = |text| TreePath::from_uri_path(text).map(|path| path.to_string());
        assert_eq!(
            decode("/efi64//grubx64.efi"),
            Ok("/efi64/grubx64.efi".into())
        );
        assert_eq!(decode("/52:54:00/a%20b"), Ok("/52:54:00/a b".into()));
        assert_eq!(decode("/%252e%252e/x"), Ok("/%2e%2e/x".into()));
        assert_eq!(decode("/%2e%2e/%2E./x"), Ok("/x".into()));
        assert_eq!(decode("/100%"), Ok("/100%".into()));
        assert_eq!(decode("/a%2fb"), Err(ErrorKind::InvalidName));
        assert_eq!(decode("/a%00"), Err(ErrorKind::InvalidName));
    }

    #[test]
    fn lengths_are_bounded() {
        let long = "a/".repeat(TreePath::LEN_MAX);
        assert_eq!(TreePath::parse(&long), Err(ErrorKind::NameTooLong));
        assert_eq!(TreePath::parse(&[b'a'; 300]), Err(ErrorKind::NameTooLong));
        assert_eq!(
            TreePath::from_uri_path(&"%41".repeat(256)),
            Err(ErrorKind::NameTooLong)
        );
        let half = path(&"a/".repeat(1024));
        assert_eq!(
            half.join(&half).expect("4,095 bytes").as_bytes().len(),
            4095
        );
        assert_eq!(
            half.join(&half).and_then(|all| all.join(&path("a"))),
            Err(ErrorKind::NameTooLong)
        );
    }

    #[test]
    fn prefixes_are_whole_names() {
        assert_eq!(
            path("/srv/tftp/bios").strip_prefix(&path("srv/tftp")),
            Some(path("bios"))
        );
        assert_eq!(
            path("/srv/tftp").strip_prefix(&path("srv/tftp")),
            Some(TreePath::ROOT)
        );
        assert_eq!(path("/srv/tftpboot").strip_prefix(&path("srv/tftp")), None);
        assert_eq!(path("a").strip_prefix(&TreePath::ROOT), Some(path("a")));
    }

    #[test]
    fn parents_end_at_the_root() {
        assert_eq!(path("a/b").parent(), Some(path("a")));
        assert_eq!(path("a").parent(), Some(TreePath::ROOT));
        assert_eq!(TreePath::ROOT.parent(), None);
    }

    proptest! {
        /// Whatever a peer sends, what comes out is a bounded list of harmless names.
        #[test]
        fn no_input_leaves_the_tree(bytes in prop::collection::vec(prop_oneof![
            Just(b'/'), Just(b'.'), Just(b'\\'), Just(b'%'), Just(b'2'), Just(b'e'), any::<u8>(),
        ], 0..80)) {
            let text = String::from_utf8_lossy(&bytes);
            let made = [TreePath::parse(&bytes), TreePath::from_tftp(&bytes), TreePath::from_uri_path(&text)];
            for path in made.into_iter().flatten() {
                prop_assert!(path.as_bytes().len() <= TreePath::LEN_MAX);
                for name in path.names() {
                    prop_assert!(Name::new(name.as_bytes()).is_ok());
                }
                // What was made is already in its simplest form.
                prop_assert_eq!(TreePath::parse(path.as_bytes()), Ok(path.clone()));
            }
        }
    }
}
