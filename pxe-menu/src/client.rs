//! What is known about a machine that reads a menu.

use core::net::Ipv4Addr;
use std::collections::BTreeMap;

use crate::Text;

/// A machine, as its loader knows itself.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Client {
    /// Its boot interface's MAC address.
    pub mac: Option<[u8; 6]>,
    /// Its address.
    pub ip: Option<Ipv4Addr>,
    /// The boot server.
    pub server: Option<Ipv4Addr>,
    /// The gateway.
    pub gateway: Option<Ipv4Addr>,
    /// The netmask.
    pub netmask: Option<Ipv4Addr>,
    /// The UUID, byte for byte as DHCP option 97 has it after its type byte.
    pub uuid: Option<[u8; 16]>,
    /// The architecture type of its firmware: the first of DHCP option 93 (RFC 4578 section 2.1).
    pub architecture: Option<u16>,
    /// Its name, as it was given or as it says: any bytes.
    pub host_name: Option<Text>,
    /// What the loader finds out by itself: the value of each bit of SYSAPPEND from 3 on, with its
    /// name, such as `CPU=6PXL` for bit 3.
    pub system: BTreeMap<u8, Text>,
}

impl Client {
    /// A machine of which nothing is known.
    pub fn new() -> Self {
        Self::default()
    }

    /// With a MAC address.
    #[must_use]
    pub fn with_mac(mut self, mac: [u8; 6]) -> Self {
        self.mac = Some(mac);
        self
    }

    /// With an address.
    #[must_use]
    pub fn with_ip(mut self, ip: Ipv4Addr) -> Self {
        self.ip = Some(ip);
        self
    }

    /// With a boot server.
    #[must_use]
    pub fn with_server(mut self, server: Ipv4Addr) -> Self {
        self.server = Some(server);
        self
    }

    /// With a gateway and a netmask.
    #[must_use]
    pub fn with_network(mut self, gateway: Ipv4Addr, netmask: Ipv4Addr) -> Self {
        self.gateway = Some(gateway);
        self.netmask = Some(netmask);
        self
    }

    /// With a UUID, byte for byte as DHCP option 97 has it.
    #[must_use]
    pub fn with_uuid(mut self, uuid: [u8; 16]) -> Self {
        self.uuid = Some(uuid);
        self
    }

    /// With the architecture type of its firmware, as DHCP option 93 has it.
    #[must_use]
    pub fn with_architecture(mut self, option_93: u16) -> Self {
        self.architecture = Some(option_93);
        self
    }

    /// With a host name.
    #[must_use]
    pub fn with_host_name(mut self, name: impl Into<Text>) -> Self {
        self.host_name = Some(name.into());
        self
    }

    /// The MAC address with its type, as in `01-52-54-00-15-00-01`.
    pub(crate) fn hardware_name(&self) -> Option<String> {
        let mac = self.mac?;
        let digits = mac.map(|byte| format!("{byte:02x}"));
        Some(format!("01-{}", digits.join("-")))
    }

    /// The UUID as syslinux writes it: the bytes in the order in which they came, without the swap of
    /// the first three fields that others make. None if it takes the UUID for invalid: it wants the
    /// seventh byte to be of 0x10 to 0xef (`is_valid_uuid` in core/sysappend.c), which is the version
    /// only if the bytes are in network order. A machine whose firmware sends them in little endian,
    /// as most do, has a random byte there.
    pub(crate) fn syslinux_uuid(&self) -> Option<String> {
        let uuid = self.uuid?;
        if !(0x10..0xf0).contains(&uuid[6]) {
            return None;
        }
        Some(hyphened(uuid))
    }

    /// The options that a mask of SYSAPPEND or IPAPPEND adds, each with a space before it.
    ///
    /// What is unknown is left out, as the loader does it. Spaces in a value become underscores.
    pub fn sysappend(&self, mask: u32) -> Text {
        let mut added = Vec::new();
        for bit in 0..32 {
            if mask & (1 << bit) == 0 {
                continue;
            }
            if let Some(option) = self.option(bit).filter(|option| !option.is_empty()) {
                added.push(b' ');
                mangle(&option, &mut added);
            }
        }
        Text::new(added)
    }

    fn option(&self, bit: u8) -> Option<Text> {
        let dotted = |address: Option<Ipv4Addr>| address.unwrap_or(Ipv4Addr::UNSPECIFIED);
        match bit {
            0 => self.ip.map(|ip| {
                let (server, gateway, mask) = (
                    dotted(self.server),
                    dotted(self.gateway),
                    dotted(self.netmask),
                );
                Text::from(format!("ip={ip}:{server}:{gateway}:{mask}"))
            }),
            1 => self
                .hardware_name()
                .map(|name| Text::from(format!("BOOTIF={name}"))),
            2 => self
                .syslinux_uuid()
                .map(|uuid| Text::from(format!("SYSUUID={uuid}"))),
            _ => self.system.get(&bit).cloned(),
        }
    }
}

/// The bytes in their order, in lower case hexadecimal.
pub(crate) fn hyphened(uuid: [u8; 16]) -> String {
    let mut text = String::new();
    for (index, byte) in uuid.iter().enumerate() {
        if matches!(index, 4 | 6 | 8 | 10) {
            text.push('-');
        }
        text.push_str(&format!("{byte:02x}"));
    }
    text
}

/// Runs of spaces become one underscore, none at the ends (`copy_sysappend_string`).
fn mangle(value: &[u8], into: &mut Vec<u8>) {
    let words = value
        .split(|byte| crate::scan::is_space(*byte))
        .filter(|word| !word.is_empty());
    for (index, word) in words.enumerate() {
        if index > 0 {
            into.push(b'_');
        }
        into.extend_from_slice(word);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client() -> Client {
        Client::new()
            .with_mac([0x52, 0x54, 0, 0x15, 0, 1])
            .with_ip(Ipv4Addr::new(192, 168, 150, 39))
            .with_server(Ipv4Addr::new(192, 168, 150, 1))
            .with_network(
                Ipv4Addr::new(192, 168, 150, 1),
                Ipv4Addr::new(255, 255, 255, 0),
            )
    }

    #[test]
    fn ipappend_3_adds_the_address_and_the_interface() {
        let added = client().sysappend(3);
        assert_eq!(
            added,
            " ip=192.168.150.39:192.168.150.1:192.168.150.1:255.255.255.0 BOOTIF=01-52-54-00-15-00-01"
        );
    }

    #[test]
    fn values_with_spaces_get_underscores() {
        let mut client = client();
        client.system.insert(5, " SYSPRODUCT=Standard  PC ".into());
        assert_eq!(client.sysappend(0x20), " SYSPRODUCT=Standard_PC");
    }

    /// OVMF and SeaBIOS under QEMU, -uuid 7e57ab1e-0000-4000-..: option 97 is 00 1eab577e 0000 0040 ..,
    /// so the byte that syslinux checks is 0, and no file of the UUID is ever asked for.
    #[test]
    fn syslinux_takes_a_little_endian_uuid_for_invalid() {
        let mut uuid = [
            0x1e, 0xab, 0x57, 0x7e, 0, 0, 0, 0x40, 0x80, 0, 0, 0, 0, 0, 0, 1,
        ];
        assert_eq!(client().with_uuid(uuid).syslinux_uuid(), None);
        uuid[6] = 0x41;
        let name = "1eab577e-0000-4140-8000-000000000001";
        assert_eq!(
            client().with_uuid(uuid).syslinux_uuid().as_deref(),
            Some(name)
        );
    }
}
