//! Boot menus that firmware shows by itself.

use core::net::Ipv4Addr;

use thiserror::Error;

/// The longest value of option 43: neither EDK2 (`PxeBcParseDhcp4Options`) nor boot ROMs join a
/// split one.
const VENDOR_BYTES_MAX: usize = 255;
/// The longest text of a prompt or a label, in bytes.
const TEXT_BYTES_MAX: usize = 70;

/// A menu that a boot ROM shows (option 43 of a PXE client; Intel's PXE specification 2.1, table
/// 2-1, tags 8, 9 and 10).
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
    /// A menu of these items; after `timeout_seconds` the client boots the first. 0: the menu is
    /// not shown and the first item boots at once. 255: the client waits for ever.
    ///
    /// # Errors
    ///
    /// If there are no items, two have the same number, an item and its number contradict each
    /// other, or all that does not fit into one option 43.
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

    /// The first item that boots from the network: what a client gets that cannot show a menu.
    pub fn first(&self) -> Option<&BootItem> {
        self.items.iter().find(|item| item.boot.is_some())
    }

    fn check(&self) -> Result<(), BootMenuError> {
        if self.items.is_empty() {
            return Err(BootMenuError::Empty);
        }
        let texts = self.items.iter().map(|item| &item.label);
        for text in texts.chain([&self.prompt]) {
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
        let len = self.wire_len();
        if len > VENDOR_BYTES_MAX {
            return Err(BootMenuError::TooLong(len));
        }
        Ok(())
    }

    /// The bytes of option 43: 6, 10, 8, 9 and the end.
    fn wire_len(&self) -> usize {
        let prompt = 2 + 1 + self.prompt.len();
        let servers = self.items.iter().filter(|item| item.boot.is_some());
        let servers = 2 + 7 * servers.count();
        let labels: usize = self.items.iter().map(|item| 3 + item.label.len()).sum();
        3 + prompt + servers + 2 + labels + 1
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

    /// The same, with another boot server than ourselves.
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

    /// The file; `None` is the local disk.
    pub fn boot(&self) -> Option<&str> {
        self.boot.as_deref()
    }

    /// The TFTP server; `None` is this server.
    pub const fn next_server(&self) -> Option<Ipv4Addr> {
        self.next_server
    }
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
    /// A prompt or label is too long.
    #[error("{0:?} is longer than 70 bytes")]
    TextTooLong(String),
    /// All of it does not fit into one option 43.
    #[error("the menu takes {0} bytes, but option 43 holds 255; use fewer items or shorter labels")]
    TooLong(usize),
}
