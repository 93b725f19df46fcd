//! What real clients send (captured in QEMU: SeaBIOS 1.16.2, OVMF and AAVMF 2022.11, iPXE
//! 1.0.0+git-20190125, syslinux 6.04-pre, Linux 6.1, busybox 1.35), and what they get.

mod support;

use pxe_dhcp::wire::Message;
use pxe_dhcp::{ClientArch, Config};
use support::firmware::*;
use support::{Bench, MAC, Request, SERVER, describe, lan, mac, policy};

/// The reply to a DISCOVER of a client that is alone, its address left out.
fn offer(bench: &mut Bench, request: &Request) -> String {
    let reply = bench.ask(request);
    let address = Message::parse(&reply)
        .expect("an offer")
        .yiaddr()
        .expect("an address");
    describe(&reply).replace(&format!("yiaddr {address}"), "yiaddr ADDRESS")
}

const LEASE: &str = "53 OFFER\n54 192.168.150.1\n51 3600\n58 1800\n59 3150\n1 255.255.255.0\n";

#[test]
fn captured_lengths_are_met() {
    assert_eq!(edk2_x64().bytes().len(), 347);
    assert_eq!(edk2_http().bytes().len(), 340);
    assert_eq!(syslinux_efi().bytes().len(), 253);
    assert_eq!(plain_rom().bytes().len(), 336);
}

#[test]
fn plain_rom_gets_file_siaddr_and_configfile_unasked() {
    // It asks for 67, not for 66; nobody asks for 209. No option 60: with it, and without 43,
    // EDK2 would take the offer for a BINL one and wait for port 4011.
    let expected = format!(
        "flags 0000\nyiaddr ADDRESS\nsiaddr 192.168.150.1\nsname 192.168.150.1\n\
         file bios/lpxelinux.0\n{LEASE}\
         66 192.168.150.1<NUL>\n67 bios/lpxelinux.0<NUL>\n209 pxelinux.cfg/default\n\
         97 001eab577e000000408000525400150001\n3 192.168.150.1\n6 192.168.150.1\n\
         15 matrix.lan\n"
    );
    assert_eq!(offer(&mut Bench::lan(), &plain_rom()), expected);
}

/// RFC 5071: pxelinux reads 208 to 211, and no firmware asks for them.
#[test]
fn pxelinux_is_told_208_to_211_unasked() {
    let policy = policy()
        .with_pxelinux_magic()
        .with_path_prefix("bios/")
        .with_reboot_seconds(60);
    let mut bench = Bench::new(Config::new().with_subnet(lan()), policy);
    let reply = bench.ask(&plain_rom());
    let message = Message::parse(&reply).expect("an offer");
    let told = |code: u8| {
        let mut options = message.options().filter(|option| option.code.0 == code);
        options.next().map(|option| option.data.to_vec())
    };
    assert_eq!(told(208), Some(vec![0xf1, 0, 0x74, 0x7e]));
    assert_eq!(told(209), Some(b"pxelinux.cfg/default".to_vec()));
    assert_eq!(told(210), Some(b"bios/".to_vec()));
    assert_eq!(told(211), Some(vec![0, 0, 0, 60]));
}

#[test]
fn edk2_pxe_gets_its_architectures_file() {
    for (vendor_class, arch, file) in [
        ("PXEClient:Arch:00007:UNDI:003000", 7, "efi64/syslinux.efi"),
        ("PXEClient:Arch:00009:UNDI:003000", 9, "efi64/syslinux.efi"),
        ("PXEClient:Arch:00006:UNDI:003000", 6, "efi32/syslinux.efi"),
    ] {
        let request = edk2(vendor_class, arch, EDK2_LIST, 1472);
        let expected = format!(
            "flags 8000\nyiaddr ADDRESS\nsiaddr 192.168.150.1\nsname 192.168.150.1\n\
             file {file}\n{LEASE}\
             66 192.168.150.1<NUL>\n67 {file}<NUL>\n209 pxelinux.cfg/default\n\
             97 001eab577e000000408000525400150001\n3 192.168.150.1\n6 192.168.150.1\n\
             15 matrix.lan\n28 192.168.150.255\n"
        );
        assert_eq!(offer(&mut Bench::lan(), &request), expected);
    }
}

#[test]
fn edk2_gets_the_boot_file_in_the_ack_too() {
    let mut bench = Bench::lan();
    let address = bench.lease(&edk2_x64());
    let again = edk2("PXEClient:Arch:00007:UNDI:003000", 7, EDK2_LIST, 65_280);
    let ack = bench.ask(&again.select(address));
    let message = Message::parse(&ack).expect("an ACK");
    assert_eq!(message.file(), Some(&b"efi64/syslinux.efi"[..]));
    assert!(ack.len() <= 1472, "65280 in option 57 is not believed");
}

#[test]
fn ipxe_gets_its_script_and_need_not_wait_for_a_proxy() {
    let policy = policy().with_ipxe("http://{server}/boot.ipxe");
    for request in [ipxe_rom_bios(), ipxe_rom_bios().broadcast(), snponly()] {
        let mut bench = Bench::new(Config::new().with_subnet(lan()), policy.clone());
        let flags = if request.header.flags == 0 {
            "0000"
        } else {
            "8000"
        };
        let expected = format!(
            "flags {flags}\nyiaddr ADDRESS\nsiaddr 192.168.150.1\nsname 192.168.150.1\n\
             file http://192.168.150.1/boot.ipxe\n{LEASE}\
             66 192.168.150.1<NUL>\n67 http://192.168.150.1/boot.ipxe<NUL>\n175 b00101\n\
             209 pxelinux.cfg/default\n97 001eab577e000000408000525400150001\n\
             61 01525400150001\n3 192.168.150.1\n6 192.168.150.1\n15 matrix.lan\n"
        );
        assert_eq!(offer(&mut bench, &request), expected);
    }
}

#[test]
fn edk2_http_gets_a_url_with_httpclient() {
    let url = "http://{server}/efi64/boot.efi";
    let policy = policy().with_arch(ClientArch::UEFI_X64_HTTP, url);
    let mut bench = Bench::new(Config::new().with_subnet(lan()), policy);
    let expected = format!(
        "flags 8000\nyiaddr ADDRESS\nsiaddr 192.168.150.1\nsname 192.168.150.1\n\
         file http://192.168.150.1/efi64/boot.efi\n{LEASE}\
         60 HTTPClient\n66 192.168.150.1<NUL>\n67 http://192.168.150.1/efi64/boot.efi<NUL>\n\
         209 pxelinux.cfg/default\n97 001eab577e000000408000525400150001\n3 192.168.150.1\n\
         6 192.168.150.1\n15 matrix.lan\n28 192.168.150.255\n"
    );
    assert_eq!(offer(&mut bench, &edk2_http()), expected);
}

#[test]
fn edk2_http_without_a_url_gets_a_plain_lease() {
    let expected = format!(
        "flags 8000\nyiaddr ADDRESS\nsiaddr 192.168.150.1\nsname -\nfile -\n{LEASE}\
         97 001eab577e000000408000525400150001\n3 192.168.150.1\n6 192.168.150.1\n\
         15 matrix.lan\n28 192.168.150.255\n"
    );
    assert_eq!(offer(&mut Bench::lan(), &edk2_http()), expected);
}

#[test]
fn systems_get_an_address_and_no_boot_file() {
    let plain = |flags: &str, rest: &str| {
        format!(
            "flags {flags}\nyiaddr ADDRESS\nsiaddr 192.168.150.1\nsname -\nfile -\n{LEASE}{rest}"
        )
    };
    let (routers, domain) = ("3 192.168.150.1\n6 192.168.150.1\n", "15 matrix.lan\n");
    let broadcast = "28 192.168.150.255\n";
    let offered = |request: &Request| offer(&mut Bench::lan(), request);
    assert_eq!(offered(&syslinux_efi()), plain("8000", routers));
    let expected = plain("8000", &format!("{routers}{domain}{broadcast}"));
    assert_eq!(offered(&klibc_ipconfig()), expected);
    let expected = plain(
        "0000",
        &format!("61 01525400150001\n{routers}{domain}{broadcast}"),
    );
    assert_eq!(offered(&udhcpc()), expected);
}

#[test]
fn one_machine_keeps_its_address_through_its_whole_boot() {
    let mut bench = Bench::lan();
    // Others come first, so that the address is not simply the first one.
    for number in 10..40 {
        bench.lease(&Request::new(mac(number)));
    }
    let address = bench.lease(&plain_rom());
    for stage in [
        ipxe_rom_bios(),
        syslinux_efi(),
        klibc_ipconfig(),
        udhcpc(),
        edk2_x64(),
    ] {
        assert_eq!(bench.lease(&stage), address);
    }
    let record = &bench.store[&address];
    assert_eq!(record.arch, Some(ClientArch::UEFI_X64));
    assert_eq!(record.version, 6);
    // What the firmware said stays when the system asks.
    bench.lease(&udhcpc());
    let record = &bench.store[&address];
    assert_eq!(record.arch, Some(ClientArch::UEFI_X64));
    assert!(record.uuid.is_some());
    assert_eq!(record.vendor_class.as_deref(), Some(&b"udhcp 1.35.0"[..]));
}

#[test]
fn architecture_falls_back_to_the_vendor_class() {
    // bootimus issue 118: option 93 unreadable, `PXEClient:Arch:00011` in option 60.
    let request = Request::new(MAC)
        .option(53, [1])
        .option(93, [7])
        .option(60, "PXEClient:Arch:00007:UNDI:003000");
    let text = offer(&mut Bench::lan(), &request);
    assert!(text.contains("file efi64/syslinux.efi"), "{text}");
}

#[test]
fn a_pxeclient_without_an_architecture_is_a_bios() {
    let policy = pxe_dhcp::ArchPolicy::new().with_arch(ClientArch::X86_BIOS, "bios/lpxelinux.0");
    let mut bench = Bench::new(Config::new().with_subnet(lan()), policy);
    let text = offer(
        &mut bench,
        &Request::new(MAC).option(53, [1]).option(60, "PXEClient"),
    );
    assert!(text.contains("file bios/lpxelinux.0"), "{text}");
}

#[test]
fn raspberry_pi_request_lacks_option_60() {
    // rpi-eeprom issue 82. All that tells it is the transaction that its DISCOVER began.
    let mut bench = Bench::lan();
    let discover = Request::new(MAC)
        .option(53, [1])
        .option(60, "PXEClient:Arch:00000:UNDI:002001");
    let mut discover = discover.discover();
    discover.header.xid = 0x1234;
    let offers = bench.send_bytes(&discover.bytes(), SERVER);
    let address = Message::parse(&offers[0].1)
        .expect("an offer")
        .yiaddr()
        .expect("an address");
    let mut request = Request::new(MAC).select(address);
    request.header.xid = 0x1234;
    let acks = bench.send_bytes(&request.bytes(), SERVER);
    let ack = Message::parse(&acks[0].1).expect("an ACK");
    assert_eq!(ack.file(), Some(&b"bios/lpxelinux.0"[..]));
    // The system's own request is another transaction, even while there is an offer.
    bench.send_bytes(&discover.bytes(), SERVER);
    assert_eq!(bench.engine.offers_len(), 1);
    let ack = bench.ask(&Request::new(MAC).reboot(address));
    assert_eq!(Message::parse(&ack).expect("an ACK").file(), None);
}

#[test]
fn raspberry_pi_3_sends_no_parameter_list_and_is_told_everything() {
    // raspberrypi/firmware issue 1001: without mask and router it finds no TFTP server.
    let request = Request::new(MAC)
        .option(53, [1])
        .option(60, "PXEClient:Arch:00000:UNDI:002001");
    let text = offer(&mut Bench::lan(), &request);
    for line in [
        "1 255.255.255.0",
        "3 192.168.150.1",
        "6 192.168.150.1",
        "15 matrix.lan",
    ] {
        assert!(text.lines().any(|found| found == line), "{line} in {text}");
    }
}

#[test]
fn a_malformed_option_81_costs_nobody_an_answer() {
    // TechnitiumSoftware/DnsServer issue 1738.
    let request = Request::new(MAC)
        .option(53, [1])
        .option(81, [4])
        .option(93, [0, 7]);
    let text = offer(&mut Bench::lan(), &request);
    assert!(text.contains("file efi64/syslinux.efi"), "{text}");
}

#[test]
fn edk2_with_its_uuid_in_chaddr_is_served() {
    let mut request = edk2_x64();
    request.header.hlen = 16;
    request.header.chaddr.copy_from_slice(&UUID[1..]);
    let reply = Bench::lan().ask(&request);
    assert_eq!(reply[2], 16);
    assert_eq!(reply[28..44], UUID[1..]);
}

#[test]
fn every_reply_is_at_least_300_bytes_with_zeros_after_end() {
    let mut bench = Bench::lan();
    for request in [syslinux_efi(), plain_rom(), udhcpc()] {
        let reply = bench.ask(&request);
        assert!(reply.len() >= 300);
    }
    let reply = bench.ask(&syslinux_efi());
    let end = 240 + 3 + 5 * 6 + 2 * 6;
    assert_eq!(reply[end], 255);
    assert!(reply[end + 1..].iter().all(|byte| *byte == 0));
}

#[test]
fn dhcproto_reads_every_reply() {
    use dhcproto::{Decodable, Decoder, v4};
    let mut bench = Bench::lan();
    for request in [
        plain_rom(),
        ipxe_rom_bios(),
        snponly(),
        edk2_x64(),
        edk2_http(),
        syslinux_efi(),
    ] {
        let reply = bench.ask(&request);
        let message = v4::Message::decode(&mut Decoder::new(&reply)).expect("a message");
        assert_eq!(message.opts().msg_type(), Some(v4::MessageType::Offer));
        let expected = Message::parse(&reply).expect("a message");
        assert_eq!(Some(message.yiaddr()), expected.yiaddr());
        let codes: std::collections::BTreeSet<u8> =
            expected.options().map(|option| option.code.0).collect();
        assert_eq!(message.opts().iter().count(), codes.len());
    }
}
