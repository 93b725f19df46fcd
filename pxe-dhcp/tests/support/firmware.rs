//! What real clients send: order, values and lengths as captured in QEMU (SeaBIOS 1.16.2, OVMF and
//! AAVMF 2022.11, iPXE 1.0.0+git-20190125, syslinux 6.04-pre, Linux 6.1, busybox 1.35).

use super::{MAC, Request};

pub(crate) const UUID: [u8; 17] = [
    0, 0x1e, 0xab, 0x57, 0x7e, 0, 0, 0, 0x40, 0x80, 0, 0x52, 0x54, 0, 0x15, 0, 1,
];
pub(crate) const ROM_LIST: &[u8] = &[
    1, 2, 3, 5, 6, 11, 12, 13, 15, 16, 17, 18, 43, 54, 60, 67, 128, 129, 130, 131, 132, 133, 134,
    135,
];
pub(crate) const IPXE_LIST: &[u8] = &[
    1, 3, 6, 7, 12, 15, 17, 26, 43, 60, 66, 67, 119, 128, 129, 130, 131, 132, 133, 134, 135, 175,
    203,
];
pub(crate) const EDK2_LIST: &[u8] = &[
    1, 2, 3, 4, 5, 6, 12, 13, 15, 17, 18, 22, 23, 28, 40, 41, 42, 43, 50, 51, 54, 58, 59, 60, 66,
    67, 97, 128, 129, 130, 131, 132, 133, 134, 135,
];
pub(crate) const EDK2_HTTP_LIST: &[u8] = &[
    1, 2, 3, 4, 5, 6, 12, 13, 15, 17, 18, 22, 23, 28, 40, 41, 42, 43, 50, 51, 54, 58, 59, 60, 235,
    67, 97,
];
/// Features http, bzimage, pxe and menu, and the version.
pub(crate) const IPXE_FEATURES: &[u8] = &[
    0xeb, 3, 1, 0, 0, 0x13, 1, 1, 0x18, 1, 1, 0x21, 1, 1, 0x27, 1, 1,
];

/// Order in a DISCOVER: 53 57 93 94 60 55 97.
pub(crate) fn plain_rom() -> Request {
    Request::new(MAC)
        .option(53, [1])
        .option(57, 1260_u16.to_be_bytes())
        .option(93, [0, 0])
        .option(94, [1, 2, 1])
        .option(60, "PXEClient:Arch:00000:UNDI:002001")
        .option(55, ROM_LIST)
        .option(97, UUID)
}

/// Order: 53 57 93 94 60 77 55 175 61 97.
pub(crate) fn ipxe(vendor_class: &str, arch: u8, interface: [u8; 3]) -> Request {
    Request::new(MAC)
        .option(53, [1])
        .option(57, 1472_u16.to_be_bytes())
        .option(93, [0, arch])
        .option(94, interface)
        .option(60, vendor_class)
        .option(77, "iPXE")
        .option(55, IPXE_LIST)
        .option(175, IPXE_FEATURES)
        .option(61, [1, 0x52, 0x54, 0, 0x15, 0, 1])
        .option(97, UUID)
}

pub(crate) fn ipxe_rom_bios() -> Request {
    ipxe("PXEClient:Arch:00000:UNDI:002001", 0, [1, 2, 1])
}

pub(crate) fn snponly() -> Request {
    ipxe("PXEClient:Arch:00007:UNDI:003010", 7, [1, 3, 10])
}

/// Order: 53 57 55 97 94 93 60. The REQUEST says 65280 in 57.
pub(crate) fn edk2(vendor_class: &str, arch: u8, list: &[u8], bytes: u16) -> Request {
    Request::new(MAC)
        .broadcast()
        .option(53, [1])
        .option(57, bytes.to_be_bytes())
        .option(55, list)
        .option(97, UUID)
        .option(94, [1, 3, 0])
        .option(93, [0, arch])
        .option(60, vendor_class)
}

pub(crate) fn edk2_x64() -> Request {
    edk2("PXEClient:Arch:00007:UNDI:003000", 7, EDK2_LIST, 1472)
}

pub(crate) fn edk2_http() -> Request {
    edk2(
        "HTTPClient:Arch:00016:UNDI:003000",
        16,
        EDK2_HTTP_LIST,
        1472,
    )
}

/// Its own DHCP, for TCP: 53 57 55 and nothing more, 253 bytes.
pub(crate) fn syslinux_efi() -> Request {
    let request = Request::new(MAC).broadcast().option(53, [1]);
    request
        .option(57, 65_280_u16.to_be_bytes())
        .option(55, [1, 3, 6])
}

pub(crate) fn klibc_ipconfig() -> Request {
    let mut request = Request::new(MAC).broadcast().option(53, [1]);
    request.padded = 300;
    request
        .option(55, [1, 3, 6, 12, 15, 17, 26, 28, 40, 119, 121])
        .option(60, "Linux ipconfig")
}

pub(crate) fn udhcpc() -> Request {
    let mut request = Request::new(MAC)
        .option(53, [1])
        .option(57, 576_u16.to_be_bytes());
    request.padded = 300;
    request
        .option(55, [1, 3, 6, 12, 15, 28, 42, 66, 67, 119])
        .option(60, "udhcp 1.35.0")
        .option(61, [1, 0x52, 0x54, 0, 0x15, 0, 1])
}
