//! proxyDHCP beside another server, as real firmware sees it, and who is left alone.

mod support;

use std::net::{Ipv4Addr, SocketAddr};

use pxe_core::{Destination, IfIndex};
use pxe_dhcp::wire::{Message, MessageType};
use pxe_dhcp::{
    ArchPolicy, Boot, BootDecision, BootPolicy, BootRequest, ClientArch, Config, Event,
    IgnoreReason, Mode, NoBoot, Subnet,
};
use support::firmware::*;
use support::{Bench, MAC, Request, SERVER, describe, ip, is_ignored, policy};

/// The server that gives addresses.
const OTHER: Ipv4Addr = Ipv4Addr::new(192, 168, 150, 9);

fn proxy() -> Bench {
    proxy_of(policy().with_ipxe("http://{server}/boot.ipxe"))
}

fn proxy_of(policy: impl BootPolicy) -> Bench {
    Bench::new(Config::new().with_mode(Mode::Proxy), policy)
}

fn broadcast() -> Destination {
    let interface = IfIndex::new(2).expect("not zero");
    Destination::Broadcast {
        interface,
        port: 68,
    }
}

/// A proxy's OFFER in words: always broadcast, without an address and without a lease's options.
fn offer(bench: &mut Bench, request: &Request) -> String {
    let replies = bench.send(request);
    assert_eq!(replies.len(), 1, "{:?}", bench.events);
    assert_eq!(replies[0].0, broadcast());
    assert!(matches!(bench.last_event(), Event::ProxyOffered { .. }));
    nothing_is_leased(bench, &replies[0].1);
    describe(&replies[0].1)
}

fn nothing_is_leased(bench: &Bench, reply: &[u8]) {
    let message = Message::parse(reply).expect("a reply");
    assert_eq!(message.yiaddr(), None);
    for code in [1, 3, 51, 58, 59] {
        assert!(message.options().all(|option| option.code.0 != code));
    }
    assert!(bench.store.is_empty() && bench.commits.is_empty());
    assert_eq!(bench.engine.offers_len(), 0);
}

const ROM_ECHO: &str = "97 001eab577e000000408000525400150001\n";

#[test]
fn bios_rom_boots_from_the_proxys_offer() {
    // 43 {6: 8}: no menu and no discovery; without it, a ROM looks for boot servers.
    assert_eq!(
        offer(&mut proxy(), &plain_rom()),
        format!(
            "flags 8000\nyiaddr -\nsiaddr 192.168.150.1\nsname 192.168.150.1\n\
             file bios/lpxelinux.0\n53 OFFER\n54 192.168.150.1\n60 PXEClient\n\
             66 192.168.150.1<NUL>\n67 bios/lpxelinux.0<NUL>\n43 060108ff\n\
             209 pxelinux.cfg/default\n{ROM_ECHO}"
        )
    );
}

#[test]
fn ipxe_needs_siaddr_and_filename_in_the_proxys_offer() {
    // `dhcp_has_pxeopts`: without both, it asks at port 4011. And 54 is the pseudo-identifier
    // that it knows the proxy by.
    let expected = |vendor_options: &str| {
        format!(
            "flags 8000\nyiaddr -\nsiaddr 192.168.150.1\nsname 192.168.150.1\n\
             file http://192.168.150.1/boot.ipxe\n53 OFFER\n54 192.168.150.1\n60 PXEClient\n\
             66 192.168.150.1<NUL>\n67 http://192.168.150.1/boot.ipxe<NUL>\n{vendor_options}\
             209 pxelinux.cfg/default\n{ROM_ECHO}61 01525400150001\n"
        )
    };
    assert_eq!(
        offer(&mut proxy(), &ipxe_rom_bios()),
        expected("43 060108ff\n")
    );
    assert_eq!(offer(&mut proxy(), &snponly()), expected(""));
}

#[test]
fn ipxe_that_asks_at_port_4011_is_answered_there() {
    // From port 68, and the answer has to come from 4011 (`dhcp_proxy_rx`): by the socket that
    // was asked.
    let mut bench = proxy();
    let request = ipxe_rom_bios()
        .typed(MessageType::REQUEST)
        .option(54, SERVER.octets())
        .ciaddr(ip(100));
    let reply = bench.ask_binl(&request, (ip(100), 68));
    let text = describe(&reply);
    assert!(text.contains("\n53 ACK\n54 192.168.150.1\n"), "{text}");
    assert!(text.contains("\nsiaddr 192.168.150.1\n"), "{text}");
    assert!(
        text.contains("\nfile http://192.168.150.1/boot.ipxe\n"),
        "{text}"
    );
}

fn binl_request(discover: &Request) -> Request {
    discover.clone().typed(MessageType::REQUEST).ciaddr(ip(100))
}

#[test]
fn edk2_gets_a_bare_offer_and_its_file_at_port_4011() {
    for (vendor_class, arch, file) in [
        ("PXEClient:Arch:00007:UNDI:003000", 7, "efi64/syslinux.efi"),
        ("PXEClient:Arch:00006:UNDI:003000", 6, "efi32/syslinux.efi"),
        ("PXEClient:Arch:00011:UNDI:003000", 11, "grubaa64.efi"),
    ] {
        let policy = policy().with_arch(ClientArch::UEFI_ARM64, "grubaa64.efi");
        let mut bench = proxy_of(policy);
        let request = edk2(vendor_class, arch, EDK2_LIST, 1472);
        // No 43: older firmware ignores an offer that has it. The file is for firmware that does
        // not ask again; EDK2 does not look at it.
        let head =
            |kind: &str| format!("sname 192.168.150.1\nfile {file}\n53 {kind}\n54 192.168.150.1\n");
        let tail = format!(
            "60 PXEClient\n66 192.168.150.1<NUL>\n67 {file}<NUL>\n209 pxelinux.cfg/default\n\
             {ROM_ECHO}"
        );
        assert_eq!(
            offer(&mut bench, &request),
            format!(
                "flags 8000\nyiaddr -\nsiaddr 192.168.150.1\n{}{tail}",
                head("OFFER")
            )
        );
        // It asks from port 4011, and listens there.
        let request = edk2(vendor_class, arch, EDK2_LIST, 65_280);
        let mut request = binl_request(&request);
        request.header.flags = 0;
        let reply = bench.ask_binl(&request, (ip(100), 4011));
        nothing_is_leased(&bench, &reply);
        assert_eq!(
            describe(&reply),
            format!(
                "flags 0000\nciaddr 192.168.150.100\nyiaddr -\nsiaddr 192.168.150.1\n{}{tail}",
                head("ACK")
            )
        );
        let Event::BootServerAcknowledged { address, boot, .. } = bench.last_event() else {
            panic!("{:?}", bench.events)
        };
        assert_eq!((*address, boot), (Some(ip(100)), &Boot::File(file.into())));
    }
}

#[test]
fn edk2_takes_siaddr_of_the_offer_for_the_server_to_ask() {
    // `PxeBcRetryBinlOffer`: with another boot server there, it would ask that one at port 4011.
    let mut bench = proxy_of(policy().with_next_server(OTHER));
    let text = offer(&mut bench, &edk2_x64());
    assert!(text.contains("\nsiaddr 192.168.150.1\n"), "{text}");
    assert!(
        text.contains("\nfile -\n") && !text.contains("\n67 "),
        "{text}"
    );
    let reply = bench.ask_binl(&binl_request(&edk2_x64()), (ip(100), 4011));
    let text = describe(&reply);
    assert!(text.contains("\nsiaddr 192.168.150.9\n"), "{text}");
    assert!(text.contains("\nfile efi64/syslinux.efi\n"), "{text}");
    // Nobody else asks again: BIOS ROMs are told at once.
    let text = offer(&mut bench, &plain_rom());
    assert!(text.contains("\nsiaddr 192.168.150.9\n"), "{text}");
}

#[test]
fn edk2_http_takes_a_proxys_url() {
    // `HttpBootParseDhcp4Packet`: HTTPClient, a URL and no `yiaddr` make a proxy's offer.
    let url = "http://{server}/efi64/boot.efi";
    let mut bench = proxy_of(policy().with_arch(ClientArch::UEFI_X64_HTTP, url));
    assert_eq!(
        offer(&mut bench, &edk2_http()),
        format!(
            "flags 8000\nyiaddr -\nsiaddr 192.168.150.1\nsname 192.168.150.1\n\
             file http://192.168.150.1/efi64/boot.efi\n53 OFFER\n54 192.168.150.1\n\
             60 HTTPClient\n66 192.168.150.1<NUL>\n\
             67 http://192.168.150.1/efi64/boot.efi<NUL>\n209 pxelinux.cfg/default\n{ROM_ECHO}"
        )
    );
}

#[test]
fn edk2_http_without_a_url_gets_no_proxys_offer() {
    // One without a URL would be discarded, and one with a file boots nothing.
    let mut bench = proxy();
    assert!(bench.send(&edk2_http()).is_empty());
    let Event::NotBooted { explanation, .. } = bench.last_event() else {
        panic!("{:?}", bench.events)
    };
    let text = explanation.to_string();
    assert!(!text.is_empty(), "it says why");
}

#[test]
fn raspberry_pi_gets_the_policys_option_43() {
    // Its ROM wants a boot menu with the text `Raspberry Pi Boot`, which the policy says.
    #[derive(Debug)]
    struct Pi;
    impl BootPolicy for Pi {
        fn decide(&self, _: &BootRequest<'_>) -> BootDecision {
            let option = pxe_dhcp::DhcpOption::new(
                pxe_dhcp::wire::OptionCode::VENDOR_SPECIFIC,
                b"\x06\x01\x03\x0a\x04\0PXE\x09\x14\0\0\x11Raspberry Pi Boot\xff",
            );
            BootDecision::new(Boot::File("bootcode.bin".into())).with_option(option)
        }
    }
    let request = Request::new(MAC)
        .option(53, [1])
        .option(60, "PXEClient:Arch:00000:UNDI:002001")
        .option(93, [0, 0])
        .option(97, *b"RPi4\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c");
    let reply = proxy_of(Pi).ask(&request);
    let message = Message::parse(&reply).expect("an offer");
    let data = message.option(pxe_dhcp::wire::OptionCode::VENDOR_SPECIFIC);
    let data = data.expect("option 43");
    let options = pxe_dhcp::wire::PxeOptions::new(&data);
    let items: Vec<_> = options.menu_items().collect();
    assert_eq!(items, [(0, &b"Raspberry Pi Boot"[..])]);
    // Its UUID is too short, and is repeated all the same.
    assert!(describe(&reply).contains("\n97 52506934"));
}

#[test]
fn systems_get_no_answer_from_a_proxy() {
    let mut bench = proxy();
    for request in [syslinux_efi(), klibc_ipconfig(), udhcpc()] {
        assert!(bench.send(&request).is_empty());
        assert!(is_ignored(&bench, IgnoreReason::NothingToBoot));
        assert!(
            bench
                .send_binl(&binl_request(&request), (ip(100), 68))
                .is_empty()
        );
        assert!(is_ignored(&bench, IgnoreReason::NothingToBoot));
    }
}

#[test]
fn who_is_to_boot_nothing_gets_no_answer_from_a_proxy() {
    #[derive(Debug)]
    struct Deny;
    impl BootPolicy for Deny {
        fn decide(&self, _: &BootRequest<'_>) -> BootDecision {
            BootDecision::new(Boot::Denied)
        }
    }
    let denied = proxy_of(Deny);
    for (mut bench, expected) in [
        (proxy_of(NoBoot::new()), Boot::Nothing),
        (denied, Boot::Denied),
    ] {
        for request in [plain_rom(), ipxe_rom_bios(), edk2_x64()] {
            assert!(bench.send(&request).is_empty());
            let told = bench.send_binl(&binl_request(&request), (ip(100), 68));
            assert!(told.is_empty());
            let Event::NotBooted { boot, .. } = bench.last_event() else {
                panic!("{:?}", bench.events)
            };
            assert_eq!(*boot, expected);
        }
    }
}

#[test]
fn a_proxy_answers_nothing_about_addresses() {
    let mut bench = proxy();
    // All that would get a NAK from a server with authority.
    for request in [plain_rom(), udhcpc(), Request::new(MAC)] {
        for (request, server) in [
            (request.select_of(ip(100), OTHER), Some(OTHER)),
            (request.reboot(Ipv4Addr::new(10, 9, 9, 9)), None),
            (request.renew(ip(100)), None),
        ] {
            let sent = request.clone();
            assert!(bench.send(&sent).is_empty());
            let message = sent.bytes();
            let message = Message::parse(&message).expect("a request");
            let asked = message.requested_address().or(message.ciaddr());
            // What it asks for is seen all the same.
            let Event::LeasedByOther {
                client,
                address,
                server: by,
            } = bench.last_event()
            else {
                panic!("{:?}", bench.events)
            };
            assert_eq!(client.mac(), Some(MAC));
            assert_eq!((Some(*address), *by), (asked, server));
        }
        for request in [
            request.release(ip(100)),
            request.decline(ip(100)),
            request.inform(ip(100)),
        ] {
            assert!(bench.send(&request).is_empty());
            assert!(matches!(
                bench.last_event(),
                Event::Ignored {
                    reason: IgnoreReason::NotLeasing(_),
                    ..
                }
            ));
        }
    }
    // Nor plain BOOTP.
    let request = Request::new(MAC);
    assert!(bench.send(&request).is_empty());
    assert!(is_ignored(&bench, IgnoreReason::Bootp));
    let counters = bench.engine.counters();
    assert_eq!((counters.offers, counters.acks, counters.naks), (0, 0, 0));
    assert!(bench.store.is_empty() && bench.commits.is_empty());
}

#[test]
fn a_relayed_offer_goes_to_the_relay_with_the_clients_flags() {
    // pyke369/pdhcp issue 3. And 82 comes back, last.
    let relay = Ipv4Addr::new(10, 1, 0, 2);
    for request in [plain_rom(), edk2_x64()] {
        let flags = request.header.flags;
        let request = request.giaddr(relay).option(82, [1, 2, 0, 7]);
        let replies = proxy().send(&request);
        let to = SocketAddr::from((relay, 67));
        assert_eq!(replies[0].0, Destination::Unicast(to));
        let message = Message::parse(&replies[0].1).expect("an offer");
        assert_eq!((message.flags(), message.giaddr()), (flags, Some(relay)));
        let last = message.options().last().expect("options");
        assert_eq!((last.code.0, last.data), (82, &[1, 2, 0, 7][..]));
    }
}

#[test]
fn a_relays_address_is_no_boot_server() {
    // RFC 5107: the relay wants renewals, and stands in for the server in 54. But iPXE and ROMs
    // ask at port 4011 of the server that 54 names, where no relay listens.
    let relay = Ipv4Addr::new(10, 1, 0, 2);
    let mut overriding = vec![11, 4];
    overriding.extend(relay.octets());
    for request in [plain_rom(), ipxe_rom_bios(), edk2_x64()] {
        let request = request.giaddr(relay).option(82, &overriding);
        let reply = proxy().ask(&request);
        let message = Message::parse(&reply).expect("an offer");
        assert_eq!(message.server_id(), Some(SERVER));
        assert_eq!(message.siaddr(), Some(SERVER));
    }
}

#[test]
fn a_flood_by_way_of_one_relay_is_answered_at_a_relays_rate() {
    // Whose address it is, nobody knows: without subnets, any may be a relay's.
    let config = Config::new().with_mode(Mode::Proxy);
    let burst = config.limits.new_clients_burst;
    let mut bench = Bench::new(config, policy());
    let victim = Ipv4Addr::new(10, 1, 0, 2);
    let mut offers = 0;
    for number in 0..burst + 500 {
        let [_, _, high, low] = number.to_be_bytes();
        let mac = pxe_core::MacAddr::new([2, 0, 0, 0, high, low]);
        let request = Request::new(mac)
            .option(53, [1])
            .option(60, "PXEClient")
            .option(82, [1, 2, high, low])
            .giaddr(victim);
        offers += bench.send(&request).len();
    }
    assert_eq!(offers, burst as usize);
    let reached = IgnoreReason::Limit(pxe_dhcp::Limit::NewClients);
    assert!(is_ignored(&bench, reached));
    // Another relay's clients are served meanwhile, and those of our own link.
    let other = plain_rom().giaddr(Ipv4Addr::new(10, 2, 0, 2));
    assert_eq!(bench.send(&other).len(), 1);
    offer(&mut bench, &snponly());
}

#[test]
fn subnets_of_a_proxy_tell_the_policy_and_our_address() {
    #[derive(Debug)]
    struct Where;
    impl BootPolicy for Where {
        fn decide(&self, request: &BootRequest<'_>) -> BootDecision {
            let subnet = request
                .subnet
                .map_or("-".into(), |subnet| subnet.to_string());
            BootDecision::new(Boot::File(subnet))
        }
    }
    let behind = Subnet::new("10.1.0.0/24".parse().expect("a network")).with_server_ip(OTHER);
    let config = Config::new().with_mode(Mode::Proxy).with_subnet(behind);
    let mut bench = Bench::new(config, Where);
    let relayed = plain_rom().giaddr(Ipv4Addr::new(10, 1, 0, 2));
    let text = describe(&bench.ask(&relayed));
    assert!(text.contains("\nfile 10.1.0.0/24\n"), "{text}");
    assert!(text.contains("\n54 192.168.150.9\n"), "{text}");
    let text = describe(&bench.ask(&plain_rom()));
    assert!(
        text.contains("\nfile -\n53"),
        "a network of its own: {text}"
    );
    assert!(text.contains("\n54 192.168.150.1\n"), "{text}");
}

#[test]
fn a_binl_server_is_silent_at_port_67() {
    let config = Config::new().with_mode(Mode::Binl);
    let mut bench = Bench::new(config, policy());
    for request in [plain_rom(), ipxe_rom_bios(), edk2_x64(), udhcpc()] {
        assert!(bench.send(&request).is_empty());
        assert!(is_ignored(
            &bench,
            IgnoreReason::NotLeasing(MessageType::DISCOVER)
        ));
        // It knows who has which address, if it listens there.
        assert!(bench.send(&request.select_of(ip(100), OTHER)).is_empty());
        assert!(matches!(bench.last_event(), Event::LeasedByOther { .. }));
    }
}

#[test]
fn port_4011_is_answered_in_every_mode_and_for_every_architecture() {
    // danderson/netboot issue 132: a BIOS (0) and a Raspberry Pi ask there too.
    for mode in [Mode::Authoritative, Mode::Proxy, Mode::Binl] {
        let policy = || ArchPolicy::new().with_default("boot.0");
        let mut bench = Bench::new(Config::new().with_mode(mode), policy());
        for arch in 0..=0x30 {
            let arch = ClientArch(arch);
            if arch.is_http() {
                continue;
            }
            for message_type in [MessageType::REQUEST, MessageType::INFORM] {
                let mac = pxe_core::MacAddr::new([2, 0, 0, 0, 1, arch.0 as u8]);
                let request = Request::new(mac)
                    .option(60, "PXEClient")
                    .option(93, arch.0.to_be_bytes())
                    .typed(message_type)
                    .ciaddr(ip(arch.0 as u8 + 2));
                let reply = bench.ask_binl(&request, (ip(arch.0 as u8 + 2), 4011));
                let message = Message::parse(&reply).expect("an ACK");
                assert_eq!(message.message_type(), Some(MessageType::ACK));
                let file = match arch {
                    ClientArch::ARM_RPIBOOT => "bootcode.bin",
                    _ => "boot.0",
                };
                assert_eq!(message.file(), Some(file.as_bytes()), "{arch}");
            }
        }
        for message_type in [
            MessageType::DISCOVER,
            MessageType::RELEASE,
            MessageType::DECLINE,
        ] {
            let request = plain_rom().typed(message_type).ciaddr(ip(100));
            assert!(bench.send_binl(&request, (ip(100), 68)).is_empty());
            assert!(is_ignored(&bench, IgnoreReason::MessageType(message_type)));
        }
        // Plain BOOTP is about addresses.
        assert!(
            bench
                .send_binl(&Request::new(MAC), (ip(100), 68))
                .is_empty()
        );
        assert!(is_ignored(&bench, IgnoreReason::Bootp));
    }
}

#[test]
fn port_4011_answers_nobody_who_did_not_ask() {
    let mut bench = proxy();
    let request = plain_rom().typed(MessageType::REQUEST);
    for (ciaddr, from, reason) in [
        (ip(100), ip(101), IgnoreReason::OtherSender),
        (ip(100), Ipv4Addr::UNSPECIFIED, IgnoreReason::NoRoute),
        (ip(100), Ipv4Addr::BROADCAST, IgnoreReason::OtherSender),
    ] {
        let request = request.clone().ciaddr(ciaddr);
        assert!(bench.send_binl(&request, (from, 68)).is_empty());
        assert!(is_ignored(&bench, reason), "{:?}", bench.last_event());
    }
    // A client that says no address is answered where it wrote from.
    let reply = bench.ask_binl(&request, (ip(100), 68));
    assert_eq!(Message::parse(&reply).expect("an ACK").ciaddr(), None);
}

#[test]
fn a_flood_at_port_4011_is_answered_at_one_clients_rate() {
    // Many clients' requests, all with one source address: whose it is cannot be known.
    let mut bench = proxy();
    let burst = bench.engine.config().limits.client_burst as usize;
    let mut answers = 0;
    for number in 0..250_u8 {
        let mac = pxe_core::MacAddr::new([2, 0, 0, 0, 2, number]);
        let request = Request::new(mac).option(60, "PXEClient").option(93, [0, 0]);
        let request = request.typed(MessageType::REQUEST);
        answers += bench.send_binl(&request, (ip(7), 68)).len();
    }
    assert_eq!(answers, burst);
    assert!(is_ignored(&bench, IgnoreReason::RateLimit));
    // Others are served meanwhile.
    bench.ask_binl(&binl_request(&edk2_x64()), (ip(100), 4011));
}
