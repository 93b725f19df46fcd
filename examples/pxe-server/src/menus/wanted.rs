//! Which menu a path asks for, where the tree has no such file.

use pxe_menu::Client;
use pxe_tree::{Name, TreePath};

/// The script that iPXE builds for UEFI ask for by themselves (`efi_autoexec_network` in iPXE's
/// interface/efi/efi_autoexec.c): beside themselves, then in the root.
const AUTOEXEC: &[u8] = b"autoexec.ipxe";
/// The script that iPXE is told to load where nothing else is configured.
pub(crate) const SCRIPT: &str = "boot.ipxe";

/// The places where loaders of distributions look for GRUB's menu whatever directory they came
/// from, so where a menu of GRUB is if a tree has one of its own.
pub(super) const GRUB_MENUS: [&str; 3] = ["grub/grub.cfg", "boot/grub/grub.cfg", "grub.cfg"];

/// A menu that a loader looks for, and that can be made of another loader's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Wanted {
    /// One of the names that GRUB tries, one after the other.
    Grub {
        /// Where it looks: its prefix.
        directory: TreePath,
        /// What follows `grub.cfg-`; `None` for `grub.cfg`, the last name.
        suffix: Option<String>,
    },
    /// The script that iPXE looks for by itself.
    Autoexec,
    /// Another script of iPXE.
    Script,
    /// pxelinux's own menu, by the last name that it tries. None is made of another loader's; it may
    /// be one of images.
    Default,
}

/// In which language.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Language {
    /// That of pxelinux and syslinux.efi.
    Syslinux,
    /// That of GRUB.
    Grub,
    /// Scripts of iPXE.
    Ipxe,
}

impl Wanted {
    /// What a request for this path looks for.
    pub(super) fn of(path: &TreePath) -> Option<Self> {
        let name = path.file_name()?.as_bytes();
        if name == AUTOEXEC {
            return Some(Self::Autoexec);
        }
        if name.ends_with(b".ipxe") {
            return Some(Self::Script);
        }
        if name == b"default" {
            let folder = path.parent()?;
            let is_menu = folder.file_name()?.as_bytes() == b"pxelinux.cfg";
            return is_menu.then_some(Self::Default);
        }
        let rest = name.strip_prefix(b"grub.cfg")?;
        let suffix = match rest {
            [] => None,
            [b'-', suffix @ ..] => Some(std::str::from_utf8(suffix).ok()?.to_owned()),
            _ => return None,
        };
        let directory = path.parent()?;
        // GRUB, and what Debian builds into its own, look there first and for the menu in the
        // directory above next: a menu that the tree has there must not be hidden.
        if directory.file_name().is_some_and(is_platform) {
            return None;
        }
        Some(Self::Grub { directory, suffix })
    }

    pub(super) const fn language(&self) -> Language {
        match self {
            Self::Grub { .. } => Language::Grub,
            Self::Autoexec | Self::Script => Language::Ipxe,
            Self::Default => Language::Syslinux,
        }
    }

    /// The names that a loader tries after this one, and that come before a menu that is made.
    pub(super) fn later(&self, client: &Client) -> Vec<TreePath> {
        match self {
            Self::Grub { directory, suffix } => {
                let names = pxe_menu::grub_search_paths(client, "", true);
                let own = match suffix {
                    Some(suffix) => format!("/grub.cfg-{suffix}"),
                    None => "/grub.cfg".to_owned(),
                };
                let at = names.iter().position(|name| *name == own);
                // One that is none of this client's is followed by the last one, as all are.
                let at = at.map_or(names.len().saturating_sub(1), |at| at + 1);
                let later = names.get(at..).unwrap_or_default().iter();
                let later = later.filter_map(|name| TreePath::parse(name).ok());
                later
                    .filter_map(|name| directory.join(&name).ok())
                    .collect()
            }
            Self::Autoexec => TreePath::parse(AUTOEXEC).into_iter().collect(),
            Self::Script | Self::Default => Vec::new(),
        }
    }

    /// Whether it is the last name that its loader tries, so that it may be for any machine.
    pub(super) const fn is_last(&self) -> bool {
        match self {
            Self::Grub { suffix, .. } => suffix.is_none(),
            Self::Autoexec | Self::Script | Self::Default => true,
        }
    }

    /// The client as the name tells of it, which knows better than the server behind a router that
    /// gives the addresses. GRUB writes the UUID, the MAC address with its type, or the address.
    pub(super) fn tell(&self, mut client: Client) -> Client {
        let Self::Grub {
            suffix: Some(suffix),
            ..
        } = self
        else {
            return client;
        };
        if let Some(mac) = mac_of(suffix) {
            if client.mac.is_some_and(|known| known != mac) {
                (client.uuid, client.host_name) = (None, None);
            }
            client.mac = Some(mac);
        } else if let Some(uuid) = uuid_of(suffix) {
            client.uuid = Some(uuid);
        } else if let Some(ip) = octets(suffix, &[8]) {
            client.ip = <[u8; 4]>::try_from(ip).ok().map(Into::into);
        }
        client
    }
}

/// `x86_64-efi`, `i386-pc`, `arm64-efi`: GRUB's directories of modules.
fn is_platform(name: &Name) -> bool {
    let name = name.as_bytes();
    let cpu = name.strip_suffix(b"-efi").or(name.strip_suffix(b"-pc"));
    let known: [&[u8]; 6] = [b"i386", b"x86_64", b"arm", b"arm64", b"ia64", b"riscv64"];
    cpu.is_some_and(|cpu| known.contains(&cpu))
}

/// `01-52-54-00-15-00-01`.
fn mac_of(suffix: &str) -> Option<[u8; 6]> {
    octets(suffix.strip_prefix("01-")?, &[2; 6])?
        .try_into()
        .ok()
}

/// `1eab577e-0000-0040-8000-525400150001`: the bytes in the order in which they came.
fn uuid_of(suffix: &str) -> Option<[u8; 16]> {
    octets(suffix, &[8, 4, 4, 4, 12])?.try_into().ok()
}

/// What groups of so many hexadecimal digits say.
fn octets(text: &str, digits: &[usize]) -> Option<Vec<u8>> {
    let groups: Vec<&str> = text.split('-').collect();
    let are_groups = groups
        .iter()
        .map(|group| group.len())
        .eq(digits.iter().copied());
    let is_hex = text
        .bytes()
        .all(|byte| byte == b'-' || byte.is_ascii_hexdigit());
    let all = groups.concat();
    if !are_groups || !is_hex {
        return None;
    }
    let pair = |at: usize| u8::from_str_radix(all.get(at..at + 2)?, 16).ok();
    (0..all.len()).step_by(2).map(pair).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(path: &str) -> Option<Wanted> {
        Wanted::of(&TreePath::parse(path).expect("valid"))
    }

    fn grub(directory: &str, suffix: Option<&str>) -> Option<Wanted> {
        Some(Wanted::Grub {
            directory: TreePath::parse(directory).expect("valid"),
            suffix: suffix.map(str::to_owned),
        })
    }

    #[test]
    fn loaders_are_known_by_what_they_ask_for() {
        for (path, expected) in [
            ("grub/grub.cfg", grub("grub", None)),
            ("grub.cfg", grub("", None)),
            ("EFI/fedora/grub.cfg-C0A8", grub("EFI/fedora", Some("C0A8"))),
            ("grub/grub.cfg.bak", None),
            ("grub/grubenv", None),
            ("ipxe/autoexec.ipxe", Some(Wanted::Autoexec)),
            ("boot.ipxe", Some(Wanted::Script)),
            ("bios/pxelinux.cfg/default", Some(Wanted::Default)),
            ("pxelinux.cfg/C0A8", None),
            ("pxelinux.cfg/default/x", None),
            ("default", None),
            ("", None),
        ] {
            assert_eq!(wanted(path), expected, "{path}");
        }
    }

    /// What Debian builds into its GRUB looks for `$prefix/x86_64-efi/grub.cfg` before `$prefix/grub.cfg`.
    #[test]
    fn no_menu_is_made_in_a_directory_of_grubs_modules() {
        assert_eq!(wanted("grub/x86_64-efi/grub.cfg"), None);
        assert_eq!(
            wanted("boot/grub/i386-pc/grub.cfg-01-52-54-00-00-00-01"),
            None
        );
        assert_eq!(wanted("my-efi/grub.cfg"), grub("my-efi", None));
    }

    #[test]
    fn a_name_of_grub_tells_of_its_client() {
        let known = Client::new()
            .with_mac([0x52, 0x54, 0, 0, 0, 1])
            .with_uuid([7; 16]);
        let told = |path: &str| wanted(path).expect("wanted").tell(known.clone());
        let same = told("grub/grub.cfg-01-52-54-00-00-00-01");
        assert_eq!(same, known);
        let other = told("grub/grub.cfg-01-52-54-00-00-00-02");
        assert_eq!(other, Client::new().with_mac([0x52, 0x54, 0, 0, 0, 2]));
        let addressed = told("grub/grub.cfg-C0A80009");
        assert_eq!(addressed.ip, Some([192, 168, 0, 9].into()));
        let uuid = told("grub/grub.cfg-1eab577e-0000-0040-8000-525400150001").uuid;
        assert_eq!(uuid.map(|uuid| (uuid[0], uuid[15])), Some((0x1e, 1)));
        for odd in [
            "01-52-54-00-00-00",
            "01-52-54-00-00-00-0é",
            "C0A8",
            "+0A80009",
            "x",
        ] {
            assert_eq!(told(&format!("grub/grub.cfg-{odd}")), known, "{odd}");
        }
    }

    #[test]
    fn the_names_after_one_are_those_that_grub_tries_next() {
        let client = Client::new().with_ip([192, 168, 0, 9].into());
        let later = |path: &str| -> Vec<String> {
            let later = wanted(path).expect("wanted").later(&client);
            later.iter().map(ToString::to_string).collect()
        };
        assert_eq!(later("grub/grub.cfg"), Vec::<String>::new());
        assert_eq!(
            later("grub/grub.cfg-C0"),
            ["/grub/grub.cfg-C", "/grub/grub.cfg"]
        );
        assert_eq!(
            later("grub/grub.cfg-01-52-54-00-00-00-09"),
            ["/grub/grub.cfg"]
        );
        assert_eq!(later("ipxe/autoexec.ipxe"), ["/autoexec.ipxe"]);
    }
}
