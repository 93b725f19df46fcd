//! Which file of which server a name means to pxelinux (syslinux 6.04, core/fs/pxe/pxe.c and
//! core/fs/pxe/urlparse.c).

use core::fmt;

use crate::Text;
use crate::scan::word;

/// A build of the loader. They share one code, and differ in what it can reach and start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Loader {
    /// `pxelinux.0`: BIOS, TFTP by the firmware's own stack (core/legacynet).
    Pxelinux,
    /// `lpxelinux.0`: BIOS, with TCP of its own: TFTP, HTTP and FTP.
    Lpxelinux,
    /// `syslinux.efi`: UEFI; TFTP, HTTP and FTP.
    SyslinuxEfi,
    /// GRUB for UEFI, such as `grubnetx64.efi`: TFTP and HTTP. Its names are absolute
    /// ([`GrubParser`](crate::GrubParser)).
    GrubEfi,
    /// GRUB for the BIOS, such as `core.0`: TFTP and HTTP.
    GrubPc,
}

impl Loader {
    /// The protocols that it has, as in URLs.
    pub fn schemes(self) -> &'static [&'static str] {
        match self {
            Self::Pxelinux => &["tftp"],
            Self::Lpxelinux | Self::SyslinuxEfi => &["tftp", "http", "ftp"],
            Self::GrubEfi | Self::GrubPc => &["tftp", "http"],
        }
    }

    /// The name of its file, as syslinux has it; GRUB has none of its own.
    pub fn file_name(self) -> &'static str {
        match self {
            Self::Pxelinux => "pxelinux.0",
            Self::Lpxelinux => "lpxelinux.0",
            Self::SyslinuxEfi => "syslinux.efi",
            Self::GrubEfi | Self::GrubPc => "GRUB",
        }
    }

    /// Whether it runs under UEFI.
    pub fn is_efi(self) -> bool {
        matches!(self, Self::SyslinuxEfi | Self::GrubEfi)
    }

    /// Whether it is GRUB, whose names are absolute.
    pub fn is_grub(self) -> bool {
        matches!(self, Self::GrubEfi | Self::GrubPc)
    }
}

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Location {
    /// A file by TFTP.
    Tftp {
        /// The server: `None` is the one that the loader came from.
        host: Option<Text>,
        /// The name, as the request has it.
        path: Text,
    },
    /// A URL of another protocol that the loader has.
    Url(Text),
    /// A URL of a protocol that the loader has not: nothing is asked for.
    NoProtocol(Text),
}

impl Location {
    /// The same file in one spelling: a TFTP path without leading, doubled and dotted parts, as servers
    /// take it.
    pub(crate) fn simplified(&self) -> Self {
        match self {
            Self::Tftp { host, path } => Self::Tftp {
                host: host.clone(),
                path: Text::new(simplified(path)),
            },
            other => other.clone(),
        }
    }
}

/// A path without leading, doubled and dotted parts.
pub(crate) fn simplified(path: &[u8]) -> Vec<u8> {
    let mut parts: Vec<&[u8]> = Vec::new();
    for part in path.split(|byte| matches!(byte, b'/' | b'\\')) {
        match part {
            b"" | b"." => {}
            b".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    parts.join(&b'/')
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tftp { host: None, path } => write!(f, "{path} (TFTP)"),
            Self::Tftp {
                host: Some(host),
                path,
            } => write!(f, "{path} (TFTP, server {host})"),
            Self::Url(url) | Self::NoProtocol(url) => url.fmt(f),
        }
    }
}

/// Where a loader is, and so what its names mean.
///
/// Three things surprise people. The current directory is but a prefix: a name that begins with a
/// slash is relative too, and gives a doubled one. Names in an included file are relative to the
/// loader's directory, not to that file's. And the directory ends after the last character of the
/// boot file's name that is no letter, digit, dot or hyphen, so `bios/my_pxelinux.0` gives `bios/my_`.
///
/// # Example
///
/// ```
/// use pxe_menu::{Loader, Location, Paths};
///
/// let paths = Paths::new(Loader::Pxelinux, "bios/pxelinux.0");
/// let asked = |path: &str| Location::Tftp { host: None, path: path.into() };
/// assert_eq!(paths.locate(b"os/vmlinuz"), asked("bios/os/vmlinuz"));
/// assert_eq!(paths.locate(b"/os/vmlinuz"), asked("bios//os/vmlinuz"));
/// assert_eq!(paths.locate(b"::os/vmlinuz"), asked("os/vmlinuz"));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Paths {
    loader: Loader,
    /// The loader's `cwd_name`.
    directory: Text,
}

impl Paths {
    /// The most bytes of a name, its prefix not counted (`FILENAME_MAX` is 256 with a NUL). The
    /// documentation (pxelinux.txt) promises 127, prefix included.
    pub const NAME_BYTES_MAX: usize = 255;

    /// The most bytes of a name that pxelinux.txt promises to work.
    pub const NAME_BYTES_SAFE: usize = 127;

    /// Paths for a loader that came as this boot file: a TFTP path or a URL.
    pub fn new(loader: Loader, boot_file: &str) -> Self {
        let bytes = boot_file.as_bytes();
        let in_name = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-');
        let end = bytes
            .iter()
            .rposition(|byte| !in_name(byte))
            .map_or(0, |at| at + 1);
        // GRUB's names are absolute.
        let end = if loader.is_grub() { 0 } else { end };
        Self::at(loader, bytes.get(..end).unwrap_or_default())
    }

    /// Paths for a loader that was given a path prefix (DHCP option 210, RFC 5071), which is taken as
    /// it is: it needs a slash at its end.
    pub fn with_prefix(loader: Loader, prefix: &str) -> Self {
        Self::at(loader, prefix.as_bytes())
    }

    fn at(loader: Loader, prefix: &[u8]) -> Self {
        let directory = match url_type(prefix) {
            UrlType::Suffix => [b"::", prefix].concat(),
            _ => prefix.to_vec(),
        };
        Self {
            loader,
            directory: Text::new(directory),
        }
    }

    /// The loader.
    pub fn loader(&self) -> Loader {
        self.loader
    }

    /// The directory, which is put before every name that is no URL and has no `::`.
    pub fn directory(&self) -> &Text {
        &self.directory
    }

    /// After a change of directory, as CONFIG makes it: it is added to the present one, unless it is a
    /// URL or has `::`.
    #[must_use]
    pub fn in_directory(&self, directory: &[u8]) -> Self {
        let directory = match url_type(directory) {
            UrlType::Suffix => [&self.directory[..], directory].concat(),
            _ => directory.to_vec(),
        };
        Self {
            loader: self.loader,
            directory: Text::new(directory),
        }
    }

    /// What the loader asks for by a name. A name ends at its first space.
    pub fn locate(&self, name: &[u8]) -> Location {
        let name = word(name).0;
        let name = name.get(..Self::NAME_BYTES_MAX).unwrap_or(name);
        let full = match url_type(name) {
            UrlType::Suffix => [&self.directory[..], name].concat(),
            _ => name.to_vec(),
        };
        match url_type(&full) {
            UrlType::Suffix => Location::Tftp {
                host: None,
                path: Text::new(full),
            },
            UrlType::HostColons(at) => {
                let (host, path) = full.split_at(at);
                Location::Tftp {
                    host: (!host.is_empty()).then(|| Text::from(host)),
                    path: Text::from(path.get(2..).unwrap_or_default()),
                }
            }
            UrlType::Url(at) => self.url(&full, at),
        }
    }

    /// A name that means the same file in any directory (`pxe_realpath`): `::` and the path from the
    /// server's root, or a URL. A name ends at its first space.
    ///
    /// ```
    /// use pxe_menu::{Loader, Paths};
    ///
    /// let paths = Paths::new(Loader::Pxelinux, "bios/pxelinux.0").in_directory(b"debian/");
    /// assert_eq!(paths.absolute(b"linux"), "::bios/debian/linux");
    /// assert_eq!(paths.absolute(b"http://host/linux"), "http://host/linux");
    /// ```
    pub fn absolute(&self, name: &[u8]) -> Text {
        let name = word(name).0;
        match url_type(name) {
            UrlType::Suffix => Text::new([&self.directory[..], name].concat()),
            _ => Text::from(name),
        }
    }

    fn url(&self, full: &[u8], at: usize) -> Location {
        let (scheme, rest) = full.split_at(at);
        // Schemes are compared as they are: `HTTP://` is none (`strcmp` in __pxe_searchdir).
        if !self
            .loader
            .schemes()
            .iter()
            .any(|known| known.as_bytes() == scheme)
        {
            return Location::NoProtocol(Text::from(full));
        }
        if scheme != b"tftp" {
            return Location::Url(Text::from(full));
        }
        let rest = rest.get(3..).unwrap_or_default();
        let slash = rest
            .iter()
            .position(|byte| *byte == b'/')
            .unwrap_or(rest.len());
        let (host, path) = rest.split_at(slash);
        let user = host.iter().position(|byte| *byte == b'@');
        let host = host.get(user.map_or(0, |at| at + 1)..).unwrap_or_default();
        Location::Tftp {
            host: (!host.is_empty()).then(|| Text::from(host)),
            path: Text::new(unescaped(path.get(1..).unwrap_or_default())),
        }
    }
}

/// The name that the path of a `tftp://` URL asks for: it ends at `#`, and at `;mode=..`, and its
/// percent signs are decoded (`parse_url`, and `url_unescape` in `tftp_open`). A name with `::` stays as
/// it is.
fn unescaped(path: &[u8]) -> Vec<u8> {
    let end = path.iter().position(|byte| matches!(byte, b'#' | b';'));
    let mut rest = path.get(..end.unwrap_or(path.len())).unwrap_or_default();
    let digit = |byte: &u8| char::from(*byte).to_digit(16);
    let mut name = Vec::with_capacity(rest.len());
    while let Some((byte, after)) = rest.split_first() {
        rest = after;
        let code = match (byte, after) {
            (b'%', [high, low, ..]) => digit(high).zip(digit(low)),
            _ => None,
        };
        match code.and_then(|(high, low)| u8::try_from(16 * high + low).ok()) {
            Some(decoded) => {
                name.push(decoded);
                rest = after.get(2..).unwrap_or_default();
            }
            None => name.push(*byte),
        }
    }
    name
}

/// What the first colon of a name makes it (`url_type`).
enum UrlType {
    /// A name relative to the directory.
    Suffix,
    /// `host::path`; the colon's place.
    HostColons(usize),
    /// `scheme://..`; the colon's place.
    Url(usize),
}

fn url_type(name: &[u8]) -> UrlType {
    let Some(at) = name.iter().position(|byte| *byte == b':') else {
        return UrlType::Suffix;
    };
    match name.get(at + 1..) {
        Some([b'/', b'/', ..]) => UrlType::Url(at),
        Some([b':', ..]) => UrlType::HostColons(at),
        _ => UrlType::Suffix,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tftp(host: Option<&str>, path: &str) -> Location {
        Location::Tftp {
            host: host.map(Text::from),
            path: path.into(),
        }
    }

    #[test]
    fn the_directory_is_a_prefix_and_nothing_more() {
        let paths = Paths::new(Loader::Lpxelinux, "bios/lpxelinux.0");
        assert_eq!(
            paths.locate(b"pxelinux.cfg/default"),
            tftp(None, "bios/pxelinux.cfg/default")
        );
        assert_eq!(paths.locate(b"../os/x y"), tftp(None, "bios/../os/x"));
        assert_eq!(paths.locate(b"10.0.0.1::x"), tftp(Some("10.0.0.1"), "x"));
        assert_eq!(paths.locate(b"tftp://host/a/b"), tftp(Some("host"), "a/b"));
        assert_eq!(
            paths.locate(b"http://h:8080/x"),
            Location::Url("http://h:8080/x".into())
        );
        assert_eq!(paths.locate(b"a:b"), tftp(None, "bios/a:b"));
        let without = Paths::with_prefix(Loader::Pxelinux, "/srv/tftp");
        assert_eq!(without.locate(b"menu.c32"), tftp(None, "/srv/tftpmenu.c32"));
        let root = Paths::new(Loader::Pxelinux, "pxelinux.0");
        assert_eq!(root.locate(b"/menu.c32"), tftp(None, "/menu.c32"));
        let url = Paths::new(Loader::Lpxelinux, "http://h/boot/lpxelinux.0");
        assert_eq!(
            url.locate(b"menu.c32"),
            Location::Url("http://h/boot/menu.c32".into())
        );
    }

    #[test]
    fn an_underscore_ends_the_directory() {
        let paths = Paths::new(Loader::Pxelinux, "bios/my_pxelinux.0");
        assert_eq!(paths.directory(), "::bios/my_");
    }

    /// `url_unescape` in core/fs/pxe/tftp.c, which names with `::` do not go through.
    #[test]
    fn the_path_of_a_tftp_url_is_decoded() {
        let paths = Paths::new(Loader::Pxelinux, "bios/pxelinux.0");
        for (name, path) in [
            (&b"tftp://h/a%20b;mode=octet"[..], "a b"),
            (b"tftp://h/a%2fb%zz%4#part", "a/b%zz%4"),
            (b"tftp://user:word@h/%", "%"),
            (b"h::a%20b;c#d", "a%20b;c#d"),
        ] {
            assert_eq!(paths.locate(name), tftp(Some("h"), path));
        }
        assert_eq!(paths.locate(b"a%20b"), tftp(None, "bios/a%20b"));
    }

    #[test]
    fn pxelinux_0_has_no_http() {
        let paths = Paths::new(Loader::Pxelinux, "pxelinux.0");
        let url = "http://h/x";
        assert_eq!(
            paths.locate(url.as_bytes()),
            Location::NoProtocol(url.into())
        );
    }

    #[test]
    fn config_adds_its_directory_to_the_present_one() {
        let paths = Paths::new(Loader::Pxelinux, "bios/pxelinux.0").in_directory(b"debian/");
        assert_eq!(paths.locate(b"x"), tftp(None, "bios/debian/x"));
        assert_eq!(
            paths.in_directory(b"::os/").locate(b"x"),
            tftp(None, "os/x")
        );
    }
}
