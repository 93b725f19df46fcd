//! PXE's encapsulated options (43).

use core::fmt;
use core::net::Ipv4Addr;

use super::OptionCode;

/// The tag of a PXE option within option 43 (Intel's PXE specification 2.1, table 2-1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(clippy::exhaustive_structs)] // a wire integer: every value is valid
pub struct PxeTag(pub u8);

impl PxeTag {
    /// Padding, without a length octet.
    pub const PAD: Self = Self(0);
    /// The multicast address of MTFTP.
    pub const MTFTP_IP: Self = Self(1);
    /// The client's port for MTFTP.
    pub const MTFTP_CLIENT_PORT: Self = Self(2);
    /// The server's port for MTFTP.
    pub const MTFTP_SERVER_PORT: Self = Self(3);
    /// How long an MTFTP client listens before it opens a transfer, in seconds.
    pub const MTFTP_TIMEOUT: Self = Self(4);
    /// How long an MTFTP client waits before it opens another transfer, in seconds.
    pub const MTFTP_DELAY: Self = Self(5);
    /// How boot servers are found; see [`DiscoveryControl`].
    pub const DISCOVERY_CONTROL: Self = Self(6);
    /// The multicast address of boot server discovery.
    pub const DISCOVERY_MULTICAST: Self = Self(7);
    /// Boot servers of each type; see [`PxeOptions::boot_servers`].
    pub const BOOT_SERVERS: Self = Self(8);
    /// What a menu offers; see [`PxeOptions::menu_items`].
    pub const BOOT_MENU: Self = Self(9);
    /// A menu's prompt; see [`PxeOptions::menu_prompt`].
    pub const MENU_PROMPT: Self = Self(10);
    /// The item that a client chose; see [`PxeBootItem`].
    pub const BOOT_ITEM: Self = Self(71);
    /// The end of the options, without a length octet.
    pub const END: Self = Self(255);
}

impl fmt::Display for PxeTag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", OptionCode::VENDOR_SPECIFIC, self.0)
    }
}

/// The value of [`PxeTag::DISCOVERY_CONTROL`]: bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(clippy::exhaustive_structs)] // a wire integer: every value is valid
pub struct DiscoveryControl(pub u8);

impl DiscoveryControl {
    /// Boot servers are not looked for by broadcast.
    pub const NO_BROADCAST: Self = Self(1);
    /// Boot servers are not looked for by multicast.
    pub const NO_MULTICAST: Self = Self(2);
    /// Only the boot servers of [`PxeTag::BOOT_SERVERS`] are believed.
    pub const SERVERS_LISTED_ONLY: Self = Self(4);
    /// No prompt, no menu, no discovery: the boot file of the packet that this is in is taken.
    pub const SKIP: Self = Self(8);

    /// These bits and those.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether all these bits are set.
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

/// The value of [`PxeTag::BOOT_ITEM`]: what a client asks a boot server for, and is answered with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct PxeBootItem {
    /// The type of boot server, or the number of a menu's item.
    pub item_type: u16,
    /// Which file of a boot program in several parts, from 0, without the bit of
    /// [`is_credentials`](Self::is_credentials).
    pub layer: u16,
    /// Whether the client asks for the signature of that file (Boot Integrity Services): the
    /// layer's highest bit.
    pub is_credentials: bool,
}

impl PxeBootItem {
    /// The first file of an item.
    pub const fn new(item_type: u16) -> Self {
        Self {
            item_type,
            layer: 0,
            is_credentials: false,
        }
    }

    /// The four bytes on the wire.
    pub fn bytes(self) -> [u8; 4] {
        let credentials = if self.is_credentials { 0x8000 } else { 0 };
        let [type_high, type_low] = self.item_type.to_be_bytes();
        let [layer_high, layer_low] = (self.layer & 0x7fff | credentials).to_be_bytes();
        [type_high, type_low, layer_high, layer_low]
    }

    /// Reads what begins with those four bytes.
    pub fn read(data: &[u8]) -> Option<Self> {
        let &[type_high, type_low, layer_high, layer_low] = data.first_chunk()?;
        let layer = u16::from_be_bytes([layer_high, layer_low]);
        Some(Self {
            item_type: u16::from_be_bytes([type_high, type_low]),
            layer: layer & 0x7fff,
            is_credentials: layer & 0x8000 != 0,
        })
    }
}

/// The value of option 43 as a PXE client or server sends it.
///
/// Every value is taken: padding is skipped, and what is malformed ends what can be read.
///
/// ```
/// use pxe_dhcp::wire::{DiscoveryControl, PxeOptions, PxeTag};
///
/// let options = PxeOptions::new(&[6, 1, 8, 255]);
/// assert_eq!(options.get(PxeTag::DISCOVERY_CONTROL), Some(&[8][..]));
/// assert!(options.discovery_control().is_some_and(|bits| bits.has(DiscoveryControl::SKIP)));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PxeOptions<'a> {
    data: &'a [u8],
}

impl<'a> PxeOptions<'a> {
    /// Reads the value of option 43.
    pub const fn new(data: &'a [u8]) -> Self {
        Self { data }
    }

    /// The options in their order.
    pub fn iter(&self) -> impl Iterator<Item = (PxeTag, &'a [u8])> + use<'a> {
        let mut rest = self.data;
        core::iter::from_fn(move || {
            loop {
                let (&tag, tail) = rest.split_first()?;
                match PxeTag(tag) {
                    PxeTag::PAD => rest = tail,
                    PxeTag::END => return None,
                    tag => {
                        let (&len, tail) = tail.split_first()?;
                        let (value, tail) = tail.split_at_checked(usize::from(len))?;
                        rest = tail;
                        return Some((tag, value));
                    }
                }
            }
        })
    }

    /// The first option with this tag.
    pub fn get(&self, tag: PxeTag) -> Option<&'a [u8]> {
        self.iter()
            .find_map(|(found, value)| (found == tag).then_some(value))
    }

    /// How boot servers are found.
    pub fn discovery_control(&self) -> Option<DiscoveryControl> {
        let bits = *self.get(PxeTag::DISCOVERY_CONTROL)?.first()?;
        Some(DiscoveryControl(bits))
    }

    /// The item that a client asks for.
    pub fn boot_item(&self) -> Option<PxeBootItem> {
        PxeBootItem::read(self.get(PxeTag::BOOT_ITEM)?)
    }

    /// Boot servers: a type, and an address that serves it. A type with several addresses comes
    /// several times.
    pub fn boot_servers(&self) -> impl Iterator<Item = (u16, Ipv4Addr)> + use<'a> {
        let mut rest = self.get(PxeTag::BOOT_SERVERS).unwrap_or_default();
        let mut of_type = (0, &[][..]);
        core::iter::from_fn(move || {
            loop {
                let (item_type, addresses): (u16, &[u8]) = of_type;
                if let Some((address, tail)) = addresses.split_first_chunk::<4>() {
                    of_type = (item_type, tail);
                    return Some((item_type, Ipv4Addr::from(*address)));
                }
                let (&[high, low, count], tail) = rest.split_first_chunk()?;
                let (addresses, tail) = tail.split_at_checked(4 * usize::from(count))?;
                of_type = (u16::from_be_bytes([high, low]), addresses);
                rest = tail;
            }
        })
    }

    /// What a menu offers: a type, and the text to show.
    pub fn menu_items(&self) -> impl Iterator<Item = (u16, &'a [u8])> + use<'a> {
        let mut rest = self.get(PxeTag::BOOT_MENU).unwrap_or_default();
        core::iter::from_fn(move || {
            let (&[high, low, len], tail) = rest.split_first_chunk()?;
            let (text, tail) = tail.split_at_checked(usize::from(len))?;
            rest = tail;
            Some((u16::from_be_bytes([high, low]), text))
        })
    }

    /// A menu's prompt: after how many seconds the first item boots (0: at once; 255: never), and
    /// the text to show.
    pub fn menu_prompt(&self) -> Option<(u8, &'a [u8])> {
        let (timeout_seconds, text) = self.get(PxeTag::MENU_PROMPT)?.split_first()?;
        Some((*timeout_seconds, text))
    }
}

/// Writes the value of option 43 for a PXE client.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PxeOptionsWriter {
    bytes: Vec<u8>,
}

impl PxeOptionsWriter {
    /// No options yet.
    pub const fn new() -> Self {
        Self { bytes: Vec::new() }
    }

    /// Adds an option. One that is longer than 255 bytes is left out: there is no way to split
    /// it. PAD and END are not options and change nothing.
    pub fn push(&mut self, tag: PxeTag, value: &[u8]) {
        if let (false, Ok(len)) = (
            matches!(tag, PxeTag::PAD | PxeTag::END),
            u8::try_from(value.len()),
        ) {
            self.bytes.extend_from_slice(&[tag.0, len]);
            self.bytes.extend_from_slice(value);
        }
    }

    /// The value, with its END: some ROMs read on into the next option without it.
    #[must_use]
    pub fn finish(mut self) -> Vec<u8> {
        self.bytes.push(PxeTag::END.0);
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let mut writer = PxeOptionsWriter::new();
        let control = DiscoveryControl::NO_BROADCAST.with(DiscoveryControl::NO_MULTICAST);
        writer.push(PxeTag::DISCOVERY_CONTROL, &[control.0]);
        writer.push(PxeTag::MENU_PROMPT, b"\x0aPress F8");
        writer.push(
            PxeTag::BOOT_SERVERS,
            &[
                0x80, 0, 1, 10, 0, 0, 1, 0x80, 1, 2, 10, 0, 0, 2, 10, 0, 0, 3,
            ],
        );
        writer.push(PxeTag::BOOT_MENU, b"\x80\x00\x06Debian\x00\x00\x04Disk");
        let item = PxeBootItem::new(0x8001);
        writer.push(PxeTag::BOOT_ITEM, &item.bytes());
        writer.push(PxeTag::END, &[1]);
        writer.push(PxeTag(99), &[0; 256]);
        let bytes = writer.finish();
        assert_eq!(bytes.last(), Some(&255));

        let options = PxeOptions::new(&bytes);
        assert_eq!(options.discovery_control(), Some(DiscoveryControl(3)));
        assert_eq!(options.menu_prompt(), Some((10, &b"Press F8"[..])));
        let servers: Vec<_> = options.boot_servers().collect();
        let server = |last| Ipv4Addr::new(10, 0, 0, last);
        assert_eq!(
            servers,
            [
                (0x8000, server(1)),
                (0x8001, server(2)),
                (0x8001, server(3))
            ]
        );
        let items: Vec<_> = options.menu_items().collect();
        assert_eq!(items, [(0x8000, &b"Debian"[..]), (0, &b"Disk"[..])]);
        assert_eq!(options.boot_item(), Some(item));
        assert_eq!(options.iter().count(), 5);
    }

    #[test]
    fn malformed_ends_hold_nothing() {
        for data in [
            &[][..],
            &[255, 71, 4, 0, 1, 0, 0],
            &[71],
            &[71, 4, 0, 1, 0],
            &[71, 3, 0, 1, 0],
            &[0, 0, 0],
        ] {
            assert_eq!(PxeOptions::new(data).boot_item(), None, "{data:?}");
        }
        let padded = [0, 0, 71, 5, 0x80, 2, 0x80, 1, 9];
        let item = PxeOptions::new(&padded).boot_item().expect("an item");
        assert_eq!((item.item_type, item.layer), (0x8002, 1));
        assert!(item.is_credentials);
        assert_eq!(item.bytes(), [0x80, 2, 0x80, 1]);
        let servers = [8, 5, 0x80, 0, 2, 10, 0];
        assert_eq!(PxeOptions::new(&servers).boot_servers().count(), 0);
        let items = [9, 5, 0x80, 0, 9, b'a', b'b'];
        assert_eq!(PxeOptions::new(&items).menu_items().count(), 0);
    }
}
