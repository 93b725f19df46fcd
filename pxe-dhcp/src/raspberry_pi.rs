//! The boot ROM of a Raspberry Pi, which says that it is an x86 BIOS.
//!
//! By DHCPv4 it sends architecture 0 and `PXEClient:Arch:00000:UNDI:002001` (raspberrypi/firmware
//! issue 1928); what tells it from a PC is its hardware address, or what its boot loader puts
//! into option 97. It boots from `siaddr` (or option 66) by names of its own, whatever option 67
//! says, but only if option 43 holds a PXE menu with an item `Raspberry Pi Boot`
//! (raspberrypi/documentation issue 1686, TechnitiumSoftware/DnsServer issue 183).

use pxe_core::MacAddr;

use crate::wire::{Message, OptionCode};
use crate::{ClientArch, Stage};

/// Blocks of addresses of Raspberry Pi Ltd and its foundation (IEEE's registry; the list that
/// LTSP's dnsmasq.conf goes by).
pub const RASPBERRY_PI_BLOCKS: [[u8; 3]; 7] = [
    [0x28, 0xcd, 0xc1],
    [0x2c, 0xcf, 0x67],
    [0x88, 0xa2, 0x9e],
    [0xb8, 0x27, 0xeb],
    [0xd8, 0x3a, 0xdd],
    [0xdc, 0xa6, 0x32],
    [0xe4, 0x5f, 0x01],
];

/// How option 97 begins, after its type octet, unless `DHCP_OPTION97` in the boot loader's
/// configuration says otherwise: the characters `RPi4` (raspberrypi/documentation request 1460).
const MACHINE_ID: &[u8] = b"RPi";

/// What it asks for first; it does so by itself.
pub(crate) const BOOT_FILE: &str = "bootcode.bin";

/// What its ROM wants to see beside the boot server. A reply without option 60 is none for it.
pub(crate) const OPTIONS: [(OptionCode, &[u8]); 2] = [
    (OptionCode::VENDOR_CLASS, b"PXEClient"),
    (OptionCode::VENDOR_SPECIFIC, MENU),
];

/// What dnsmasq sends for `pxe-service=0,"Raspberry Pi Boot   "`: boot with the file that is named
/// (6), a prompt of 0 seconds (10), and the one item (9).
///
/// The boot ROM of a Pi 3 compares the item's text with its three spaces, later boot loaders look
/// for the words in it. No PAD may follow: early boot loaders of the Pi 4 then ignore the reply
/// (rpi-eeprom issue 82).
const MENU: &[u8] = b"\x06\x01\x03\x0a\x04\x00PXE\x09\x17\x00\x00\x14Raspberry Pi Boot   \xff";

/// Whether a message comes from the boot ROM of a Raspberry Pi: from its ROM only. What it loads,
/// UEFI or U-Boot, says its true architecture, and boots like any other machine of that
/// (bootimus issue 118).
pub(crate) fn is_boot_rom(message: &Message<'_>) -> bool {
    let architectures = message.architectures();
    let says_bios = match architectures.as_slice() {
        [] => message
            .vendor_class()
            .is_some_and(|class| class.starts_with(b"PXEClient:Arch:00000")),
        only => only == [ClientArch::X86_BIOS],
    };
    let user_classes = message.user_classes();
    let is_ipxe = message.ipxe_features().is_some() || user_classes.iter().next().is_some();
    says_bios && !is_ipxe && (is_of_block(message.mac()) || has_machine_id(message))
}

/// Whether a client is to get the options that this boot ROM wants to see.
pub(crate) fn wants_menu(stage: Stage, architectures: &[ClientArch]) -> bool {
    stage == Stage::Pxe && architectures.first() == Some(&ClientArch::ARM_RPIBOOT)
}

fn is_of_block(mac: Option<MacAddr>) -> bool {
    mac.is_some_and(|mac| RASPBERRY_PI_BLOCKS.contains(&mac.oui()))
}

fn has_machine_id(message: &Message<'_>) -> bool {
    let id = message.option(OptionCode::CLIENT_MACHINE_ID);
    // Some send no type octet (rpi-eeprom issue 103).
    id.is_some_and(|id| {
        let id = id.strip_prefix(&[0]).unwrap_or(&id);
        id.starts_with(MACHINE_ID)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{Header, Priority, Reply};

    fn is_rom(mac: [u8; 6], options: &[(u8, &[u8])]) -> bool {
        let mut header = Header::request();
        header.chaddr[..6].copy_from_slice(&mac);
        let mut request = Reply::new(header);
        for (code, data) in options {
            request.push(OptionCode(*code), data, Priority::Required);
        }
        let mut bytes = Vec::new();
        request.write(1472, &mut bytes).expect("it fits");
        is_boot_rom(&Message::parse(&bytes).expect("a message"))
    }

    #[test]
    fn raspberry_pi_is_known_by_its_address_or_its_machine_id() {
        const PI: [u8; 6] = [0xdc, 0xa6, 0x32, 0xb0, 0x23, 0xc3];
        const PC: [u8; 6] = [0x52, 0x54, 0, 0x15, 0, 1];
        const CLASS: &[u8] = b"PXEClient:Arch:00000:UNDI:002001";
        // Of a Pi 4: the characters, the board's revision, the MAC's end, the serial number.
        const ID: &[u8] = b"\0RPi4\x14\x31\xd0\0\x32\xb0\x23\xc3\xd8\0\x92\xe0";
        assert!(is_rom(PI, &[(93, &[0, 0]), (60, CLASS)]));
        assert!(is_rom(PI, &[(60, CLASS)]));
        assert!(is_rom(PC, &[(93, &[0, 0]), (60, CLASS), (97, ID)]));
        assert!(
            is_rom(PC, &[(93, &[0, 0]), (97, &ID[1..])]),
            "no type octet"
        );
        assert!(!is_rom(PC, &[(93, &[0, 0]), (60, CLASS)]));
        assert!(!is_rom(PI, &[(93, &[0, 11]), (97, ID)]), "its UEFI");
        assert!(!is_rom(PI, &[(93, &[0, 0x16])]), "its U-Boot");
        assert!(!is_rom(PI, &[(60, b"dhcpcd-9.4.1:Linux")]), "its system");
        assert!(!is_rom(PI, &[(93, &[0, 0]), (77, b"iPXE")]));
    }

    #[test]
    fn the_menu_is_well_formed() {
        let mut rest = MENU;
        let mut tags = Vec::new();
        while let [tag, len, tail @ ..] = rest {
            let (value, tail) = tail.split_at(usize::from(*len));
            tags.push((*tag, value));
            rest = tail;
        }
        assert_eq!(rest, [255]);
        let item = b"\0\0\x14Raspberry Pi Boot   ".as_slice();
        assert_eq!(tags, [(6, &[3][..]), (10, b"\0PXE"), (9, item)]);
    }
}
