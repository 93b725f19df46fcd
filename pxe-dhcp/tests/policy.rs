//! What the engine makes of a policy's decisions.

mod support;

use std::net::Ipv4Addr;

use pxe_core::MacAddr;
use pxe_dhcp::wire::{Message, OptionCode};
use pxe_dhcp::{
    ArchPolicy, Boot, BootDecision, BootPolicy, BootRequest, ClientArch, Config, DhcpOption, Event,
    Explanation,
};
use support::{Bench, MAC, Request, SERVER, ip, lan};

/// Denies its boot to everybody, but does not forget to say from where it would have been.
#[derive(Debug)]
struct DenyAll;

impl BootPolicy for DenyAll {
    fn decide(&self, _: &BootRequest<'_>) -> BootDecision {
        let mut explanation = Explanation::new();
        explanation.matched("closed", "nobody boots here");
        let mut decision = BootDecision::new(Boot::Denied).with_explanation(explanation);
        decision.next_server = Some(ip(9));
        decision.server_name = Some("boot.matrix.lan".into());
        decision.with_option(DhcpOption::new(OptionCode::CONFIG_FILE, "default"))
    }
}

fn rom() -> Request {
    Request::new(MAC)
        .option(53, [1])
        .option(60, "PXEClient:Arch:00007:UNDI:003000")
        .option(93, [0, 7])
        .option(55, [1, 3, 6, 15, 17, 43, 66, 67, 150, 209])
}

#[test]
fn a_denied_client_gets_an_address_and_no_boot_information() {
    let mut lan = lan();
    for code in [13, 17, 43, 66, 67, 150, 175, 208, 209, 210, 211] {
        lan = lan.with_option(DhcpOption::new(OptionCode(code), [1, 2, 3, 4]).forced());
    }
    let mut bench = Bench::new(Config::new().with_subnet(lan), DenyAll);
    let offer = bench.ask(&rom().discover());
    let ack = bench.ask(&rom().select(ip(100)));
    for reply in [offer, ack] {
        let message = Message::parse(&reply).expect("a reply");
        assert_eq!(message.siaddr(), None);
        assert_eq!((message.file(), message.sname()), (None, None));
        let codes: Vec<u8> = message.options().map(|option| option.code.0).collect();
        assert!(codes.starts_with(&[53, 54, 51]), "{codes:?}");
        for told in [1, 3, 6, 15] {
            assert!(codes.contains(&told), "{told} of {codes:?}");
        }
        for kept_back in [13, 17, 43, 60, 66, 67, 150, 175, 208, 209, 210, 211] {
            assert!(!codes.contains(&kept_back), "{kept_back} of {codes:?}");
        }
        assert!(
            message
                .yiaddr()
                .is_some_and(|address| address != Ipv4Addr::UNSPECIFIED)
        );
    }
    let Event::Acknowledged {
        boot, explanation, ..
    } = bench.last_event()
    else {
        panic!("{:?}", bench.events);
    };
    assert_eq!(*boot, Boot::Denied);
    assert_eq!(explanation.to_string(), "+ closed: nobody boots here");
}

/// Option 43 is also how an access point is told its controller.
#[test]
fn a_denied_system_keeps_its_vendor_options() {
    let lan = lan().with_option(DhcpOption::new(OptionCode::VENDOR_SPECIFIC, [1, 2, 3, 4]));
    let mut bench = Bench::new(Config::new().with_subnet(lan), DenyAll);
    let offer = bench.ask(
        &Request::new(MAC)
            .option(60, "AP")
            .option(55, [1, 43])
            .discover(),
    );
    let message = Message::parse(&offer).expect("an OFFER");
    assert!(message.has_option(OptionCode::VENDOR_SPECIFIC));
    assert_eq!(message.siaddr(), None);
}

const PI: MacAddr = MacAddr::new([0xdc, 0xa6, 0x32, 0xb0, 0x23, 0xc3]);

/// What the boot ROM of a Pi 4 sends (TechnitiumSoftware/DnsServer issue 183).
fn raspberry_pi() -> Request {
    Request::new(PI)
        .option(53, [1])
        .option(
            55,
            [1, 3, 43, 60, 66, 67, 128, 129, 130, 131, 132, 133, 134, 135],
        )
        .option(93, [0, 0])
        .option(94, [1, 2, 1])
        .option(97, b"\0RPi4\x14\x31\xd0\0\x32\xb0\x23\xc3\xd8\0\x92\xe0")
        .option(60, "PXEClient:Arch:00000:UNDI:002001")
}

const PI_MENU: &[u8] = b"\x06\x01\x03\x0a\x04\x00PXE\x09\x17\x00\x00\x14Raspberry Pi Boot   \xff";

#[test]
fn raspberry_pi_gets_its_menu_at_its_rom_stage_only() {
    let policy = ArchPolicy::syslinux().with_arch(ClientArch::UEFI_ARM64, "efi/grubaa64.efi");
    let mut bench = Bench::new(Config::new().with_subnet(lan()), policy);
    let mut replies = Vec::new();
    // Its REQUEST lacks option 60 (rpi-eeprom issue 82), and perhaps 93.
    for (xid, kept) in [(0x1234, &[53, 54, 50, 93][..]), (0x1235, &[53, 54, 50])] {
        let mut discover = raspberry_pi().discover();
        discover.header.xid = xid;
        let offer = bench.send_bytes(&discover.bytes(), SERVER).remove(0).1;
        let address = Message::parse(&offer).expect("an OFFER").yiaddr();
        let mut request = raspberry_pi().select(address.expect("an address"));
        request.header.xid = xid;
        request.options.retain(|(code, _)| kept.contains(code));
        let ack = bench.send_bytes(&request.bytes(), SERVER).remove(0).1;
        replies.extend([offer, ack]);
    }
    for reply in replies {
        let message = Message::parse(&reply).expect("a reply");
        assert_eq!(message.siaddr(), Some(SERVER));
        assert_eq!(message.vendor_class().as_deref(), Some(&b"PXEClient"[..]));
        assert_eq!(
            message.option(OptionCode::VENDOR_SPECIFIC).as_deref(),
            Some(PI_MENU)
        );
        assert_eq!(
            message.file(),
            Some(&b"bootcode.bin"[..]),
            "not that of a PC"
        );
        // Early boot loaders take a PAD before END for the end of all (rpi-eeprom issue 82).
        let end = reply.iter().rposition(|byte| *byte == 255).expect("an END");
        assert!(reply[end + 1..].iter().all(|byte| *byte == 0));
    }
    let uefi = Request::new(PI)
        .option(60, "PXEClient:Arch:00011:UNDI:003000")
        .option(93, [0, 11]);
    let offer = bench.ask(&uefi.discover());
    let message = Message::parse(&offer).expect("an OFFER");
    assert_eq!(message.file(), Some(&b"efi/grubaa64.efi"[..]));
    assert!(!message.has_option(OptionCode::VENDOR_SPECIFIC));
    assert!(!message.has_option(OptionCode::VENDOR_CLASS));
}

#[test]
fn a_denied_raspberry_pi_sees_no_menu() {
    let mut bench = Bench::new(Config::new().with_subnet(lan()), DenyAll);
    let offer = bench.ask(&raspberry_pi().discover());
    let message = Message::parse(&offer).expect("an OFFER");
    assert!(!message.has_option(OptionCode::VENDOR_SPECIFIC));
    assert!(!message.has_option(OptionCode::VENDOR_CLASS));
}

/// Each rule asks about all of them, so a hostile list would cost each rule as much.
#[test]
fn of_a_long_list_of_architectures_or_classes_the_first_are_looked_at() {
    #[derive(Debug)]
    struct Counted;
    impl BootPolicy for Counted {
        fn decide(&self, request: &BootRequest<'_>) -> BootDecision {
            let counts = (request.architectures.len(), request.user_classes.len());
            BootDecision::new(Boot::File(format!("{counts:?}")))
        }
    }
    let mut bench = Bench::new(Config::new().with_subnet(lan()), Counted);
    for (count, expected) in [(2, "(2, 2)"), (16, "(16, 16)"), (127, "(16, 16)")] {
        let request = Request::new(MAC)
            .option(53, [1])
            .option(57, [5, 0xc0])
            .option(93, [0, 7].repeat(count))
            .option(77, [1, b'a'].repeat(count));
        let offer = bench.ask(&request);
        let offer = Message::parse(&offer).expect("an offer");
        assert_eq!(offer.file(), Some(expected.as_bytes()), "{count}");
    }
}
