//! The requests of real clients, as captured from them in QEMU: SeaBIOS 1.16.2, OVMF and AAVMF
//! 2022.11, iPXE 1.0.0+git-20190125, syslinux 6.04-pre, Linux 6.1 (klibc 2.0.12), busybox 1.35.

use std::net::Ipv4Addr;

pub(crate) const DISCOVER: u8 = 1;
pub(crate) const REQUEST: u8 = 3;
pub(crate) const DECLINE: u8 = 4;
pub(crate) const RELEASE: u8 = 7;
pub(crate) const INFORM: u8 = 8;

const MAGIC_COOKIE: [u8; 4] = [99, 130, 83, 99];
const BROADCAST_FLAG: [u8; 2] = [0x80, 0];

const ROM_LIST: &[u8] = &[
    1, 2, 3, 5, 6, 11, 12, 13, 15, 16, 17, 18, 43, 54, 60, 67, 128, 129, 130, 131, 132, 133, 134,
    135,
];
const IPXE_LIST: &[u8] = &[
    1, 3, 6, 7, 12, 15, 17, 26, 43, 60, 66, 67, 119, 128, 129, 130, 131, 132, 133, 134, 135, 175,
    203,
];
const EDK2_LIST: &[u8] = &[
    1, 2, 3, 4, 5, 6, 12, 13, 15, 17, 18, 22, 23, 28, 40, 41, 42, 43, 50, 51, 54, 58, 59, 60, 66,
    67, 97, 128, 129, 130, 131, 132, 133, 134, 135,
];
const EDK2_HTTP_LIST: &[u8] = &[
    1, 2, 3, 4, 5, 6, 12, 13, 15, 17, 18, 22, 23, 28, 40, 41, 42, 43, 50, 51, 54, 58, 59, 60, 235,
    67, 97,
];
/// Features http, bzimage, pxe and menu, and the version.
const IPXE_FEATURES: &[u8] = &[
    0xeb, 3, 1, 0, 0, 0x13, 1, 1, 0x18, 1, 1, 0x21, 1, 1, 0x27, 1, 1,
];

/// Where a REQUEST has options 54 and 50.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Additions {
    /// EDK2: right after 53.
    AfterType,
    AtEnd,
}

/// A client that boots, or one that has booted.
#[derive(Debug, Clone)]
pub(crate) struct Firmware {
    pub(crate) name: &'static str,
    pub(crate) hardware: [u8; 6],
    /// The options of its DISCOVER after 53, in order.
    options: Vec<(u8, Vec<u8>)>,
    wants_broadcast: bool,
    additions: Additions,
    /// What its REQUEST says in option 57, if that differs.
    request_size: Option<u16>,
    bytes_min: usize,
}

/// Every client of the captures.
pub(crate) fn all() -> Vec<Firmware> {
    let bios = "PXEClient:Arch:00000:UNDI:002001";
    vec![
        plain_rom(0x10),
        ipxe("ipxe", 0x11, bios, 0, [1, 2, 1]),
        Firmware {
            wants_broadcast: true,
            ..ipxe("undionly", 0x12, bios, 0, [1, 2, 1])
        },
        ipxe(
            "snponly",
            0x13,
            "PXEClient:Arch:00007:UNDI:003010",
            7,
            [1, 3, 10],
        ),
        edk2("edk2-x64", 0x14, "PXEClient:Arch:00007:UNDI:003000", 7),
        edk2("edk2-ia32", 0x15, "PXEClient:Arch:00006:UNDI:003000", 6),
        edk2("edk2-arm64", 0x16, "PXEClient:Arch:00011:UNDI:003000", 11),
        edk2("edk2-http", 0x17, "HTTPClient:Arch:00016:UNDI:003000", 16),
        syslinux_efi(0x18),
        klibc(0x19),
        udhcpc(0x1a),
    ]
}

/// Order: 53 57 93 94 60 55 97.
pub(crate) fn plain_rom(number: u8) -> Firmware {
    Firmware::new("plain-rom", number)
        .with(57, 1260_u16.to_be_bytes())
        .with(93, [0, 0])
        .with(94, [1, 2, 1])
        .with(60, "PXEClient:Arch:00000:UNDI:002001")
        .with(55, ROM_LIST)
        .with(97, uuid(number))
}

/// Order: 53 57 93 94 60 77 55 175 61 97.
fn ipxe(
    name: &'static str,
    number: u8,
    vendor_class: &str,
    arch: u8,
    interface: [u8; 3],
) -> Firmware {
    let firmware = Firmware::new(name, number);
    let id = [&[1][..], &firmware.hardware].concat();
    firmware
        .with(57, 1472_u16.to_be_bytes())
        .with(93, [0, arch])
        .with(94, interface)
        .with(60, vendor_class)
        .with(77, "iPXE")
        .with(55, IPXE_LIST)
        .with(175, IPXE_FEATURES)
        .with(61, id)
        .with(97, uuid(number))
}

/// Order: 53 57 55 97 94 93 60. The REQUEST of PXE says 65280 in 57.
fn edk2(name: &'static str, number: u8, vendor_class: &str, arch: u8) -> Firmware {
    let is_http = vendor_class.starts_with("HTTPClient");
    let list = if is_http { EDK2_HTTP_LIST } else { EDK2_LIST };
    let firmware = Firmware::new(name, number)
        .with(57, 1472_u16.to_be_bytes())
        .with(55, list)
        .with(97, uuid(number))
        .with(94, [1, 3, 0])
        .with(93, [0, arch])
        .with(60, vendor_class);
    Firmware {
        wants_broadcast: true,
        additions: Additions::AfterType,
        request_size: (!is_http).then_some(65_280),
        ..firmware
    }
}

/// Its own DHCP, for TCP: 53 57 55 and nothing more, 253 bytes.
fn syslinux_efi(number: u8) -> Firmware {
    let firmware = Firmware::new("syslinux-efi", number)
        .with(57, 65_280_u16.to_be_bytes())
        .with(55, [1, 3, 6]);
    Firmware {
        wants_broadcast: true,
        ..firmware
    }
}

/// Linux' initramfs.
fn klibc(number: u8) -> Firmware {
    let firmware = Firmware::new("klibc", number)
        .with(55, [1, 3, 6, 12, 15, 17, 26, 28, 40, 119, 121])
        .with(60, "Linux ipconfig");
    Firmware {
        wants_broadcast: true,
        bytes_min: 300,
        ..firmware
    }
}

pub(crate) fn udhcpc(number: u8) -> Firmware {
    let firmware = Firmware::new("udhcpc", number);
    let id = [&[1][..], &firmware.hardware].concat();
    Firmware {
        bytes_min: 300,
        ..firmware
            .with(57, 576_u16.to_be_bytes())
            .with(55, [1, 3, 6, 12, 15, 28, 42, 66, 67, 119])
            .with(60, "udhcp 1.35.0")
            .with(61, id)
    }
}

/// Option 97: a zero byte, and the UUID with its first three fields little-endian.
fn uuid(number: u8) -> [u8; 17] {
    [
        0, 0x1e, 0xab, 0x57, 0x7e, 0, 0, 0, 0x40, 0x80, 0, 0x52, 0x54, 0, 0x15, 0, number,
    ]
}

impl Firmware {
    fn new(name: &'static str, number: u8) -> Self {
        Self {
            name,
            hardware: [0x52, 0x54, 0, 0x15, 0, number],
            options: Vec::new(),
            wants_broadcast: false,
            additions: Additions::AtEnd,
            request_size: None,
            bytes_min: 0,
        }
    }

    fn with(mut self, code: u8, data: impl AsRef<[u8]>) -> Self {
        self.options.push((code, data.as_ref().to_vec()));
        self
    }

    /// Whether it boots by PXE or HTTP, so that it says its architecture.
    pub(crate) fn boots(&self) -> bool {
        self.options.iter().any(|(code, _)| *code == 93)
    }

    /// Whether it is iPXE, and says what it can do.
    pub(crate) fn is_ipxe(&self) -> bool {
        self.options.iter().any(|(code, _)| *code == 175)
    }

    /// An option of its DISCOVER.
    pub(crate) fn option(&self, wanted: u8) -> Option<&[u8]> {
        let mut options = self.options.iter();
        let found = options.find(|(code, _)| *code == wanted);
        found.map(|(_, data)| data.as_slice())
    }

    /// One of its messages; `additions` are options 54 and 50, or what else a type needs.
    pub(crate) fn message(&self, message_type: u8, additions: &[(u8, Vec<u8>)]) -> Message {
        let mut options = self.options.clone();
        if let (REQUEST, Some(size)) = (message_type, self.request_size) {
            let sizes = options.iter_mut().filter(|(code, _)| *code == 57);
            sizes.for_each(|(_, data)| *data = size.to_be_bytes().to_vec());
        }
        let at = match self.additions {
            Additions::AfterType => 0,
            Additions::AtEnd => options.len(),
        };
        options.splice(at..at, additions.iter().cloned());
        options.insert(0, (53, vec![message_type]));
        Message {
            hardware: self.hardware,
            xid: 0,
            wants_broadcast: self.wants_broadcast,
            ciaddr: Ipv4Addr::UNSPECIFIED,
            giaddr: Ipv4Addr::UNSPECIFIED,
            options,
            bytes_min: self.bytes_min,
        }
    }
}

/// A request to send.
#[derive(Debug, Clone)]
pub(crate) struct Message {
    pub(crate) hardware: [u8; 6],
    pub(crate) xid: u32,
    pub(crate) wants_broadcast: bool,
    pub(crate) ciaddr: Ipv4Addr,
    pub(crate) giaddr: Ipv4Addr,
    options: Vec<(u8, Vec<u8>)>,
    bytes_min: usize,
}

impl Message {
    /// The same from a client that has this address, and so needs no broadcast.
    pub(crate) fn at(mut self, address: Ipv4Addr) -> Self {
        self.ciaddr = address;
        self.wants_broadcast = false;
        self
    }

    /// The same as a BOOTP client would send it (RFC 951).
    pub(crate) fn without_type(mut self) -> Self {
        self.options.retain(|(code, _)| *code != 53);
        self
    }

    /// The same as a relay passes it on, with option 82 at its end (RFC 3046).
    pub(crate) fn through(mut self, relay: Ipv4Addr) -> Self {
        self.giaddr = relay;
        let information = b"\x01\x04eth7\x02\x06\x52\x54\0\0\0\x07";
        self.options.push((82, information.to_vec()));
        self
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        let hops = u8::from(!self.giaddr.is_unspecified());
        let mut bytes = vec![1, 1, 6, hops];
        bytes.extend(self.xid.to_be_bytes());
        bytes.extend([0, 0]);
        bytes.extend(if self.wants_broadcast {
            BROADCAST_FLAG
        } else {
            [0, 0]
        });
        bytes.extend(self.ciaddr.octets());
        bytes.extend([0; 8]);
        bytes.extend(self.giaddr.octets());
        bytes.extend(self.hardware);
        bytes.resize(236, 0);
        bytes.extend(MAGIC_COOKIE);
        for (code, data) in &self.options {
            bytes.extend([*code, data.len() as u8]); // no option here is longer than 255 bytes
            bytes.extend(data);
        }
        bytes.push(255);
        bytes.resize(bytes.len().max(self.bytes_min), 0);
        bytes
    }
}
