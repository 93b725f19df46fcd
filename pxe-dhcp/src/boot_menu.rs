//! Boot menus that firmware shows by itself.

use core::net::Ipv4Addr;
use std::borrow::Cow;

use thiserror::Error;

use crate::wire::{DiscoveryControl, PxeBootItem, PxeOptionsWriter, PxeTag};

/// The longest value of option 43: neither EDK2 (`PxeBcParseDhcp4Options`) nor iPXE
/// (`find_dhcp_option_with_encap`) joins a split one.
const VENDOR_BYTES_MAX: usize = 255;
/// The longest prompt or label, in bytes: EDK2 shows 70, and writes beyond a buffer of 70 when a
/// label is as long as that or longer (`PxeBcSelectBootMenu`, `PXEBC_DISPLAY_MAX_LINE`).
const TEXT_BYTES_MAX: usize = 69;

/// A menu that a boot ROM shows: option 43 of a PXE client, tags 6, 8, 9 and 10 (Intel's PXE
/// specification 2.1, table 2-1).
///
/// The client asks for the item that was chosen at port 4011, so the server has to listen there in
/// every [`Mode`](crate::Mode). BIOS ROMs, UEFI and iPXE's BIOS builds show menus; other clients
/// get the first item.
///
/// ```
/// use pxe_dhcp::{BootItem, BootMenu};
///
/// let menu = BootMenu::new("Press F8 for a menu", 10, [
///     BootItem::new(0x8000, "Debian", "bios/lpxelinux.0"),
///     BootItem::new(0x8001, "Rescue", "rescue/pxelinux.0"),
///     BootItem::local("This machine's disk"),
/// ])?;
/// assert_eq!(menu.item(0x8001).and_then(|item| item.boot()), Some("rescue/pxelinux.0"));
/// # Ok::<(), pxe_dhcp::BootMenuError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct BootMenu {
    prompt: String,
    timeout_seconds: u8,
    items: Vec<BootItem>,
}

impl BootMenu {
    /// A menu of these items. The client shows the prompt, and boots the first item after
    /// `timeout_seconds` unless F8 is pressed. 0: it boots the first item at once. 255: it shows
    /// the menu at once and waits for ever.
    ///
    /// # Errors
    ///
    /// If there are no items, two have the same number, an item and its number contradict each
    /// other, a text is empty or too long, or all of it does not fit into one option 43.
    pub fn new(
        prompt: impl Into<String>,
        timeout_seconds: u8,
        items: impl IntoIterator<Item = BootItem>,
    ) -> Result<Self, BootMenuError> {
        let menu = Self {
            prompt: prompt.into(),
            timeout_seconds,
            items: items.into_iter().collect(),
        };
        menu.check()?;
        Ok(menu)
    }

    /// What the client writes before it shows the menu.
    pub fn prompt(&self) -> &str {
        &self.prompt
    }

    /// After how many seconds the client boots the first item; 0 at once, 255 never.
    pub const fn timeout_seconds(&self) -> u8 {
        self.timeout_seconds
    }

    /// The items in their order; never empty.
    pub fn items(&self) -> &[BootItem] {
        &self.items
    }

    /// The item with this number.
    pub fn item(&self, item_type: u16) -> Option<&BootItem> {
        self.items.iter().find(|item| item.item_type == item_type)
    }

    /// The first item: what boots if nobody chooses, and all that a client gets that cannot show
    /// a menu.
    pub fn first(&self) -> Option<&BootItem> {
        self.items.first()
    }

    fn check(&self) -> Result<(), BootMenuError> {
        if self.items.is_empty() {
            return Err(BootMenuError::Empty);
        }
        let labels = self.items.iter().map(|item| &item.label);
        for text in labels.chain([&self.prompt]) {
            if text.is_empty() {
                return Err(BootMenuError::TextEmpty);
            }
            if text.len() > TEXT_BYTES_MAX {
                return Err(BootMenuError::TextTooLong(text.clone()));
            }
        }
        for (index, item) in self.items.iter().enumerate() {
            let item_type = item.item_type;
            if (item_type == 0) != item.boot.is_none() {
                return Err(BootMenuError::LocalIsZero(item_type));
            }
            let mut before = self.items.iter().take(index);
            if before.any(|other| other.item_type == item_type) {
                return Err(BootMenuError::Twice(item_type));
            }
        }
        let len = self.vendor_bytes();
        if len > VENDOR_BYTES_MAX {
            return Err(BootMenuError::TooLong(len));
        }
        Ok(())
    }

    /// How long option 43 is.
    fn vendor_bytes(&self) -> usize {
        let prompt = 2 + 1 + self.prompt.len();
        let servers = self.items.iter().filter(|item| item.boot.is_some());
        let servers = match servers.count() {
            0 => 0,
            count => 2 + 7 * count,
        };
        let labels: usize = self.items.iter().map(|item| 3 + item.label.len()).sum();
        3 + prompt + servers + 2 + labels + 1
    }

    /// The value of option 43 that makes a client show this menu, and ask this server for the
    /// item that was chosen.
    pub(crate) fn vendor_options(&self, server_ip: Ipv4Addr) -> Vec<u8> {
        let (mut servers, mut labels) = (Vec::new(), Vec::new());
        for item in &self.items {
            let item_type = item.item_type.to_be_bytes();
            if item.boot.is_some() {
                servers.extend_from_slice(&item_type);
                servers.push(1);
                servers.extend_from_slice(&server_ip.octets());
            }
            labels.extend_from_slice(&item_type);
            labels.push(u8::try_from(item.label.len()).unwrap_or(u8::MAX));
            labels.extend_from_slice(item.label.as_bytes());
        }
        let mut prompt = vec![self.timeout_seconds];
        prompt.extend_from_slice(self.prompt.as_bytes());
        // We are the boot server of each item: nobody has to be looked for. Not
        // `SERVERS_LISTED_ONLY`: EDK2 would then take no answer whose `siaddr` is another's
        // (`PxeBcDhcp4Discover`).
        let control = DiscoveryControl::NO_BROADCAST.with(DiscoveryControl::NO_MULTICAST);
        let mut writer = PxeOptionsWriter::new();
        writer.push(PxeTag::DISCOVERY_CONTROL, &[control.0]);
        writer.push(PxeTag::MENU_PROMPT, &prompt);
        if !servers.is_empty() {
            writer.push(PxeTag::BOOT_SERVERS, &servers);
        }
        writer.push(PxeTag::BOOT_MENU, &labels);
        writer.finish()
    }
}

/// An item of a [`BootMenu`].
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct BootItem {
    item_type: u16,
    label: String,
    boot: Option<String>,
    next_server: Option<Ipv4Addr>,
}

impl BootItem {
    /// A file by TFTP, under a number that the client says when it asks for it: not 0, and above
    /// 32767 for what has no number in the PXE specification.
    ///
    /// A file whose last part has no dot stands for several, of which the client asks for one by
    /// its layer: the layer is appended, so that `rescue/bstrap` becomes `rescue/bstrap.0` (the
    /// specification's section 2.4.5, and dnsmasq's `pxe-service`).
    pub fn new(item_type: u16, label: impl Into<String>, boot: impl Into<String>) -> Self {
        Self {
            item_type,
            label: label.into(),
            boot: Some(boot.into()),
            next_server: None,
        }
    }

    /// The machine's own disk (type 0): the client leaves the network boot, and asks nobody.
    pub fn local(label: impl Into<String>) -> Self {
        Self {
            item_type: 0,
            label: label.into(),
            boot: None,
            next_server: None,
        }
    }

    /// The same, with another TFTP server than ourselves.
    #[must_use]
    pub const fn with_next_server(mut self, next_server: Ipv4Addr) -> Self {
        self.next_server = Some(next_server);
        self
    }

    /// The number that the client asks for it by.
    pub const fn item_type(&self) -> u16 {
        self.item_type
    }

    /// What the menu says.
    pub fn label(&self) -> &str {
        &self.label
    }

    /// The file, without a layer; `None` is the local disk.
    pub fn boot(&self) -> Option<&str> {
        self.boot.as_deref()
    }

    /// The TFTP server; `None` is this server.
    pub const fn next_server(&self) -> Option<Ipv4Addr> {
        self.next_server
    }

    /// The file of one layer; `None` is the local disk.
    pub fn file(&self, layer: u16) -> Option<Cow<'_, str>> {
        let boot = self.boot.as_deref()?;
        let name = boot.rsplit('/').next().unwrap_or(boot);
        Some(if name.contains('.') {
            Cow::Borrowed(boot)
        } else {
            Cow::Owned(format!("{boot}.{layer}"))
        })
    }
}

/// The value of option 43 that has a client take the boot file of the message that it is in,
/// without prompt, menu or discovery.
pub(crate) fn vendor_options_of_file() -> Vec<u8> {
    let mut writer = PxeOptionsWriter::new();
    writer.push(PxeTag::DISCOVERY_CONTROL, &[DiscoveryControl::SKIP.0]);
    writer.finish()
}

/// The value of option 43 in the answer to a client that chose an item.
///
/// EDK2 loads the file from the boot server that it asked, whatever `siaddr` says, unless the
/// answer skips discovery and lists another (`EfiPxeBcDiscover`, `PxeBcDhcp4BootInfo`).
pub(crate) fn vendor_options_of_item(
    item: PxeBootItem,
    server_ip: Ipv4Addr,
    next_server: Ipv4Addr,
) -> Vec<u8> {
    let mut writer = PxeOptionsWriter::new();
    if next_server != server_ip {
        writer.push(PxeTag::DISCOVERY_CONTROL, &[DiscoveryControl::SKIP.0]);
        let mut servers = item.item_type.to_be_bytes().to_vec();
        servers.push(1);
        servers.extend_from_slice(&next_server.octets());
        writer.push(PxeTag::BOOT_SERVERS, &servers);
    }
    writer.push(PxeTag::BOOT_ITEM, &item.bytes());
    writer.finish()
}

/// A menu that cannot be sent.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum BootMenuError {
    /// It has no items.
    #[error("a boot menu needs an item")]
    Empty,
    /// The local disk is type 0, and nothing else is.
    #[error("item type {0}: 0 is the local disk, and only that")]
    LocalIsZero(u16),
    /// Two items have one number.
    #[error("item type {0} is there twice")]
    Twice(u16),
    /// A prompt or label is empty.
    #[error("a prompt or label is empty")]
    TextEmpty,
    /// A prompt or label is too long.
    #[error("{0:?} is longer than 69 bytes")]
    TextTooLong(String),
    /// All of it does not fit into one option 43.
    #[error("the menu takes {0} bytes, but option 43 holds 255: use fewer items or shorter labels")]
    TooLong(usize),
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::PxeOptions;

    const SERVER: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
    const OTHER: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 2);

    fn item(item_type: u16) -> BootItem {
        BootItem::new(item_type, "A", "a.0")
    }

    #[test]
    fn menus_are_laid_out_as_firmware_reads_them() {
        let items = [
            BootItem::new(0x8000, "Debian", "bios/lpxelinux.0"),
            BootItem::local("Disk"),
            BootItem::new(0x8001, "Rescue", "rescue/pxelinux.0").with_next_server(OTHER),
        ];
        let menu = BootMenu::new("Press F8", 10, items).expect("it fits");
        let bytes = menu.vendor_options(SERVER);
        let options = PxeOptions::new(&bytes);
        let tags: Vec<u8> = options.iter().map(|(tag, _)| tag.0).collect();
        assert_eq!(tags, [6, 10, 8, 9]);
        assert_eq!(options.discovery_control(), Some(DiscoveryControl(3)));
        assert_eq!(options.menu_prompt(), Some((10, &b"Press F8"[..])));
        // We are asked for every item, wherever its file is; the local disk has no server.
        let servers: Vec<_> = options.boot_servers().collect();
        assert_eq!(servers, [(0x8000, SERVER), (0x8001, SERVER)]);
        let labels: Vec<_> = options.menu_items().collect();
        assert_eq!(
            labels,
            [(0x8000, &b"Debian"[..]), (0, b"Disk"), (0x8001, b"Rescue")]
        );
        assert_eq!(bytes.last(), Some(&255));
    }

    #[test]
    fn menus_that_firmware_cannot_take_are_refused() {
        let menu = |prompt: &str, items: &[BootItem]| {
            BootMenu::new(prompt, 1, items.to_vec()).map(|menu| menu.items().len())
        };
        assert_eq!(menu("P", &[]), Err(BootMenuError::Empty));
        assert_eq!(menu("", &[item(1)]), Err(BootMenuError::TextEmpty));
        assert_eq!(
            menu("P", &[item(0)]),
            Err(BootMenuError::LocalIsZero(0)),
            "a file is not the local disk"
        );
        assert_eq!(menu("P", &[item(1), item(1)]), Err(BootMenuError::Twice(1)));
        let long = "x".repeat(70);
        let too_long = BootMenuError::TextTooLong(long.clone());
        assert_eq!(menu(&long, &[item(1)]), Err(too_long));
        assert_eq!(menu(&long[1..], &[item(1)]), Ok(1));
        let items: Vec<_> = (1..=100).map(item).collect();
        assert_eq!(menu("P", &items[..22]), Ok(22));
        assert_eq!(menu("P2", &items[..22]), Ok(22));
        assert_eq!(menu("P23", &items[..22]), Err(BootMenuError::TooLong(256)));
        assert_eq!(menu("P", &items), Err(BootMenuError::TooLong(1112)));
        for count in 1..=22 {
            let menu = BootMenu::new("P", 1, items[..count].to_vec()).expect("it fits");
            assert_eq!(menu.vendor_options(SERVER).len(), menu.vendor_bytes());
        }
        let disk = BootMenu::new("P", 1, [BootItem::local("Disk")]).expect("it fits");
        assert_eq!(disk.vendor_options(SERVER).len(), disk.vendor_bytes());
    }

    #[test]
    fn layers_are_appended_to_names_without_a_dot() {
        let file = |boot: &str, layer| {
            let item = BootItem::new(1, "A", boot);
            item.file(layer).map(Cow::into_owned)
        };
        assert_eq!(file("a/pxelinux.0", 3).as_deref(), Some("a/pxelinux.0"));
        assert_eq!(file("v1.2/bstrap", 3).as_deref(), Some("v1.2/bstrap.3"));
        assert_eq!(file("bstrap", 0).as_deref(), Some("bstrap.0"));
        assert_eq!(BootItem::local("Disk").file(0), None);
    }

    #[test]
    fn edk2_is_told_another_tftp_server_in_the_list_of_boot_servers() {
        let item = PxeBootItem::new(0x8001);
        let plain = vendor_options_of_item(item, SERVER, SERVER);
        assert_eq!(plain, [71, 4, 0x80, 1, 0, 0, 255]);
        let bytes = vendor_options_of_item(item, SERVER, OTHER);
        let options = PxeOptions::new(&bytes);
        assert_eq!(options.discovery_control(), Some(DiscoveryControl::SKIP));
        let servers: Vec<_> = options.boot_servers().collect();
        assert_eq!(servers, [(0x8001, OTHER)]);
        assert_eq!(options.boot_item(), Some(item));
    }
}
