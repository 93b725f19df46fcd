//! Which `Content-Type` a file gets.

use std::collections::HashMap;

use http::HeaderValue;
use pxe_tree::TreePath;

/// Media types by the extension of a file's name, without regard to case.
///
/// EDK2 takes the kind of an image from `Content-Type` first, and from the end of the URL only if
/// that says nothing (`.efi`, `.iso`, `.img`, exactly so written and with no query behind it), so
/// the type has to be right: NetworkPkg/HttpBootDxe/HttpBootSupport.c.
///
/// # Example
///
/// ```
/// use http::HeaderValue;
/// use pxe_http::MediaTypes;
/// use pxe_tree::TreePath;
///
/// let mut types = MediaTypes::new();
/// types.insert("sdi", HeaderValue::from_static("application/x-ms-sdi"));
/// let path = TreePath::parse("boot/BOOT.SDI").unwrap();
/// assert_eq!(types.of(&path), "application/x-ms-sdi");
/// ```
#[derive(Debug, Clone)]
pub struct MediaTypes {
    by_extension: HashMap<Box<[u8]>, HeaderValue>,
    fallback: HeaderValue,
}

const TEXT: &str = "text/plain; charset=utf-8";

/// Extensions in lower case. Types that IANA does not know are those of freedesktop.org's
/// shared-mime-info.
const DEFAULTS: &[(&str, &str)] = &[
    ("bz2", "application/x-bzip2"),
    ("cfg", TEXT),
    ("conf", TEXT),
    ("cpio", "application/x-cpio"),
    ("css", "text/css; charset=utf-8"),
    ("deb", "application/vnd.debian.binary-package"),
    ("efi", "application/efi"),
    ("gif", "image/gif"),
    ("gz", "application/gzip"),
    ("htm", "text/html; charset=utf-8"),
    ("html", "text/html; charset=utf-8"),
    ("ign", "application/json"),
    ("img", "application/vnd.efi-img"),
    ("ipxe", TEXT),
    ("iso", "application/vnd.efi-iso"),
    ("jpg", "image/jpeg"),
    ("js", "text/javascript; charset=utf-8"),
    ("json", "application/json"),
    ("ks", TEXT),
    ("log", TEXT),
    ("lst", TEXT),
    ("md", TEXT),
    ("menu", TEXT),
    ("png", "image/png"),
    ("preseed", TEXT),
    ("rpm", "application/x-rpm"),
    ("sh", TEXT),
    ("sqfs", "application/vnd.squashfs"),
    ("squashfs", "application/vnd.squashfs"),
    ("svg", "image/svg+xml"),
    ("tar", "application/x-tar"),
    ("toml", TEXT),
    ("txt", TEXT),
    ("wim", "application/x-ms-wim"),
    ("xml", "application/xml"),
    ("xz", "application/x-xz"),
    ("yaml", TEXT),
    ("yml", TEXT),
    ("zst", "application/zstd"),
];

impl MediaTypes {
    /// The types that network boot needs, a few that browsers like, and
    /// `application/octet-stream` for all else.
    pub fn new() -> Self {
        Self {
            by_extension: DEFAULTS
                .iter()
                .map(|(extension, media_type)| {
                    (
                        extension.as_bytes().into(),
                        HeaderValue::from_static(media_type),
                    )
                })
                .collect(),
            fallback: HeaderValue::from_static("application/octet-stream"),
        }
    }

    /// Gives files of this extension (without its dot) this type; the type that they had before.
    pub fn insert(&mut self, extension: &str, media_type: HeaderValue) -> Option<HeaderValue> {
        let extension = extension.to_ascii_lowercase().into_bytes();
        self.by_extension.insert(extension.into(), media_type)
    }

    /// Gives files of no known extension this type.
    pub fn set_fallback(&mut self, media_type: HeaderValue) {
        self.fallback = media_type;
    }

    /// The type of the file at this path.
    ///
    /// What lies in a folder `pxelinux.cfg` is text without regard to its name, which is a MAC
    /// address, a part of an IP address or `default`.
    pub fn of(&self, path: &TreePath) -> &HeaderValue {
        static MENU: HeaderValue = HeaderValue::from_static(TEXT);
        let mut names = path.names().rev();
        let Some(name) = names.next() else {
            return &self.fallback;
        };
        if names
            .next()
            .is_some_and(|folder| folder.as_bytes() == b"pxelinux.cfg")
        {
            return &MENU;
        }
        let name = name.as_bytes();
        name.iter()
            .rposition(|&byte| byte == b'.')
            .and_then(|dot| name.get(dot + 1..))
            .and_then(|extension| self.of_extension(extension))
            .unwrap_or(&self.fallback)
    }

    fn of_extension(&self, extension: &[u8]) -> Option<&HeaderValue> {
        // As long as nearly all of them are; each request of a file asks.
        let mut short = [0; 16];
        match short.get_mut(..extension.len()) {
            Some(lower) => {
                lower.copy_from_slice(extension);
                lower.make_ascii_lowercase();
                self.by_extension.get(&*lower)
            }
            None => {
                let lower = extension.to_ascii_lowercase();
                self.by_extension.get(lower.as_slice())
            }
        }
    }
}

impl Default for MediaTypes {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(path: &str) -> String {
        let types = MediaTypes::new();
        let path = TreePath::parse(path).expect("a valid path");
        types.of(&path).to_str().expect("text").to_owned()
    }

    #[test]
    fn edk2_takes_the_kind_of_image_from_the_media_type() {
        assert_eq!(of("efi64/bootx64.efi"), "application/efi");
        assert_eq!(of("EFI/BOOT/BOOTX64.EFI"), "application/efi");
        assert_eq!(of("os/debian-12.10.0.iso"), "application/vnd.efi-iso");
        assert_eq!(of("boot.img"), "application/vnd.efi-img");
    }

    #[test]
    fn scripts_and_menus_are_text() {
        for path in [
            "boot.ipxe",
            "grub/grub.cfg",
            "bios/pxelinux.cfg/default",
            "bios/pxelinux.cfg/01-52-54-00-15-00-01",
            "bios/pxelinux.cfg/C0A89627",
        ] {
            assert_eq!(of(path), TEXT, "{path}");
        }
    }

    #[test]
    fn images_of_operating_systems_have_types_of_their_own() {
        assert_eq!(of("live/filesystem.squashfs"), "application/vnd.squashfs");
        assert_eq!(of("sources/boot.WIM"), "application/x-ms-wim");
        assert_eq!(of("installer.ign"), "application/json");
    }

    #[test]
    fn no_extension_is_twice() {
        assert!(DEFAULTS.is_sorted_by(|(a, _), (b, _)| a < b));
    }

    #[test]
    fn extensions_may_be_of_any_length() {
        let mut types = MediaTypes::new();
        for len in [1, 15, 16, 17, 200] {
            let media_type = HeaderValue::from(len);
            types.insert(&"x".repeat(len), media_type.clone());
            let path = TreePath::parse(&format!("a.{}", "X".repeat(len))).expect("valid");
            assert_eq!(types.of(&path), media_type);
        }
    }

    #[test]
    fn all_else_is_a_stream_of_octets() {
        for path in [
            "",
            "linux",
            "initrd",
            "vmlinuz-6.12.48+deb13-amd64",
            "bios/lpxelinux.0",
            "efi",
            "a.efi.sig",
            "a.",
            ".x",
        ] {
            assert_eq!(of(path), "application/octet-stream", "{path}");
        }
    }
}
