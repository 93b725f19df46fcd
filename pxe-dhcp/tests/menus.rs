//! Boot menus of option 43: shown by firmware, and their items at port 4011.

mod support;

use std::net::Ipv4Addr;

use pxe_dhcp::wire::{Message, MessageType, OptionCode, PxeBootItem, PxeOptions};
use pxe_dhcp::{
    Boot, BootDecision, BootItem, BootMenu, BootPolicy, BootRequest, Config, Event, IgnoreReason,
    Mode, Stage,
};
use support::firmware::*;
use support::{Bench, Request, SERVER, describe, ip, is_ignored, lan};

const OTHER: Ipv4Addr = Ipv4Addr::new(192, 168, 150, 9);

#[derive(Debug)]
struct Menu(BootMenu);

impl BootPolicy for Menu {
    fn decide(&self, request: &BootRequest<'_>) -> BootDecision {
        match request.stage {
            Stage::System => BootDecision::new(Boot::Nothing),
            _ => BootDecision::new(Boot::Menu(self.0.clone())),
        }
    }
}

fn menu() -> Menu {
    let items = [
        BootItem::new(0x8000, "Debian", "debian/pxelinux.0"),
        BootItem::new(0x8001, "Rescue", "rescue/bstrap").with_next_server(OTHER),
        BootItem::local("Disk"),
    ];
    Menu(BootMenu::new("F8: menu", 10, items).expect("a good menu"))
}

/// 6: neither broadcast nor multicast; 10: the prompt; 8: us, for each item that has a file; 9.
const MENU: &str = "\n43 060103\
    0a090a46383a206d656e75\
    080e800001c0a89601800101c0a89601\
    091980000644656269616e800106526573637565000004446973\
    6bff\n";

fn bench(mode: Mode) -> Bench {
    let config = Config::new().with_mode(mode);
    match mode {
        Mode::Authoritative => Bench::new(config.with_subnet(lan()), menu()),
        _ => Bench::new(config, menu()),
    }
}

/// What a client sends that has chosen: 60 cut to `PXEClient`, and the item.
fn choose(discover: &Request, item: PxeBootItem) -> Request {
    let mut options = vec![71, 4];
    options.extend_from_slice(&item.bytes());
    options.push(255);
    let request = discover.clone().typed(MessageType::REQUEST).ciaddr(ip(100));
    request.option(43, options)
}

#[test]
fn bios_roms_and_ipxe_show_the_menu_of_a_proxys_offer() {
    for request in [plain_rom(), ipxe_rom_bios()] {
        let text = describe(&bench(Mode::Proxy).ask(&request));
        assert!(text.contains(MENU), "{text}");
        assert!(text.contains("\n60 PXEClient\n"), "{text}");
        // For a ROM that shows none.
        assert!(text.contains("\nfile debian/pxelinux.0\n"), "{text}");
    }
}

#[test]
fn edk2_gets_the_menu_of_a_proxy_at_port_4011() {
    // `PxeBcRetryBinlOffer` takes an answer with a menu and no file.
    let mut bench = bench(Mode::Proxy);
    let text = describe(&bench.ask(&edk2_x64()));
    assert!(
        !text.contains("\n43 ") && text.contains("\nfile -\n"),
        "{text}"
    );
    let request = edk2_x64().typed(MessageType::REQUEST).ciaddr(ip(100));
    let text = describe(&bench.ask_binl(&request, (ip(100), 4011)));
    assert!(text.contains(MENU), "{text}");
}

#[test]
fn a_server_with_authority_sends_the_menu_with_pxeclient() {
    // Without 60 nobody looks at 43. In the ACK too: EDK2 parses that one.
    let mut bench = bench(Mode::Authoritative);
    for request in [plain_rom(), edk2_x64()] {
        let offer = bench.ask(&request);
        let address = Message::parse(&offer).expect("an offer").yiaddr();
        let ack = bench.ask(&request.select(address.expect("an address")));
        for reply in [offer, ack] {
            let text = describe(&reply);
            assert!(text.contains("\n60 PXEClient\n"), "{text}");
            assert!(text.contains(MENU), "{text}");
        }
    }
    let text = describe(&bench.ask(&udhcpc()));
    assert!(!text.contains("\n43 ") && !text.contains("\n60 "), "{text}");
}

#[test]
fn who_cannot_show_a_menu_gets_its_first_item() {
    for mode in [Mode::Authoritative, Mode::Proxy] {
        let text = describe(&bench(mode).ask(&snponly()));
        assert!(!text.contains("\n43 "), "{text}");
        assert!(text.contains("\nfile debian/pxelinux.0\n"), "{text}");
    }
}

#[test]
fn an_item_is_answered_with_the_same_71_and_its_file() {
    for mode in [Mode::Authoritative, Mode::Proxy, Mode::Binl] {
        let mut bench = bench(mode);
        for (request, port) in [(plain_rom(), 68), (ipxe_rom_bios(), 68), (edk2_x64(), 4011)] {
            let request = choose(&request, PxeBootItem::new(0x8000));
            let reply = bench.ask_binl(&request, (ip(100), port));
            let text = describe(&reply);
            assert!(text.contains("\n53 ACK\n54 192.168.150.1\n"), "{text}");
            assert!(text.contains("\nsiaddr 192.168.150.1\n"), "{text}");
            assert!(text.contains("\nfile debian/pxelinux.0\n"), "{text}");
            assert!(text.contains("\n43 470480000000ff\n"), "{text}");
            let Event::BootServerAcknowledged {
                item_type, boot, ..
            } = bench.last_event()
            else {
                panic!("{:?}", bench.events)
            };
            assert_eq!(*item_type, Some(0x8000));
            assert_eq!(boot, &Boot::File("debian/pxelinux.0".into()));
        }
        assert!(bench.store.is_empty() && bench.commits.is_empty());
    }
}

#[test]
fn layers_are_appended_to_names_without_a_dot() {
    // As dnsmasq's pxe-service does.
    let mut item = PxeBootItem::new(0x8001);
    item.layer = 2;
    let reply = bench(Mode::Binl).ask_binl(&choose(&plain_rom(), item), (ip(100), 68));
    let text = describe(&reply);
    assert!(text.contains("\nfile rescue/bstrap.2\n"), "{text}");
    assert!(text.contains("\nsiaddr 192.168.150.9\n"), "{text}");
    let message = Message::parse(&reply).expect("an ACK");
    assert_eq!(message.pxe_boot_item(), Some(item));
}

#[test]
fn edk2_takes_the_boot_server_it_asked_for_its_tftp_server() {
    // `EfiPxeBcDiscover` sets it before `PxeBcDhcp4BootInfo` could look at `siaddr`; only a list
    // of boot servers beside a 6 that skips discovery comes first.
    let request = choose(&edk2_x64(), PxeBootItem::new(0x8001));
    let reply = bench(Mode::Proxy).ask_binl(&request, (ip(100), 4011));
    let message = Message::parse(&reply).expect("an ACK");
    assert_eq!(message.siaddr(), Some(OTHER));
    let data = message.option(OptionCode::VENDOR_SPECIFIC).expect("43");
    let options = PxeOptions::new(&data);
    assert_eq!(options.discovery_control().map(|bits| bits.0), Some(8));
    assert_eq!(options.boot_servers().next(), Some((0x8001, OTHER)));
}

#[test]
fn an_item_that_is_not_there_is_not_answered() {
    let mut bench = bench(Mode::Proxy);
    for item_type in [0, 1, 0x8002] {
        let request = choose(&plain_rom(), PxeBootItem::new(item_type));
        assert!(bench.send_binl(&request, (ip(100), 68)).is_empty());
        assert!(is_ignored(&bench, IgnoreReason::UnknownItem(item_type)));
    }
    // Signatures of boot files there are none.
    let mut item = PxeBootItem::new(0x8000);
    item.is_credentials = true;
    let request = choose(&plain_rom(), item);
    assert!(bench.send_binl(&request, (ip(100), 68)).is_empty());
    assert!(is_ignored(&bench, IgnoreReason::Credentials));
}

#[test]
fn an_item_may_be_asked_for_by_broadcast() {
    // At port 67, where it is no renewal of a lease although `ciaddr` is set.
    for mode in [Mode::Authoritative, Mode::Proxy] {
        let mut bench = bench(mode);
        bench.remote = ip(100);
        let request = choose(&plain_rom(), PxeBootItem::new(0x8000));
        let text = describe(&bench.ask(&request));
        assert!(text.contains("\nfile debian/pxelinux.0\n"), "{text}");
        assert!(text.contains("\nyiaddr -\n"), "{text}");
    }
    // A boot server's own port is 4011.
    let mut bench = bench(Mode::Binl);
    bench.remote = ip(100);
    let request = choose(&plain_rom(), PxeBootItem::new(0x8000));
    assert!(bench.send(&request).is_empty());
}

#[test]
fn an_item_of_another_servers_menu_gets_what_the_client_boots() {
    let policy = support::policy();
    let mut bench = Bench::new(Config::new().with_mode(Mode::Binl), policy);
    let request = choose(&plain_rom(), PxeBootItem::new(1));
    let reply = bench.ask_binl(&request, (ip(100), 68));
    let message = Message::parse(&reply).expect("an ACK");
    assert_eq!(message.file(), Some(&b"bios/lpxelinux.0"[..]));
    assert_eq!(message.pxe_boot_item(), Some(PxeBootItem::new(1)));
    assert_eq!(message.server_id(), Some(SERVER));
}

#[test]
fn a_client_that_renews_with_an_option_43_of_its_own_renews() {
    let mut bench = bench(Mode::Authoritative);
    let address = bench.lease(&udhcpc());
    let request = udhcpc().renew(address).option(43, [71, 4, 0x80, 0, 0, 0]);
    let reply = bench.ask(&request);
    let message = Message::parse(&reply).expect("an ACK");
    assert_eq!(message.yiaddr(), Some(address));
}

#[test]
fn the_longest_menu_fits_into_the_shortest_reply() {
    // Without option 57 a client takes 576 bytes: what repeats the header's fields is left out.
    let items = (0..22).map(|index| BootItem::new(0x8000 + index, "A", "debian/pxelinux.0"));
    let longest = BootMenu::new("P2", 10, items).expect("it fits");
    let mut bench = Bench::new(Config::new().with_mode(Mode::Proxy), Menu(longest));
    let mut request = ipxe_rom_bios();
    request.options.retain(|(code, _)| *code != 57);
    let reply = bench.ask(&request);
    assert!(reply.len() <= 548);
    let message = Message::parse(&reply).expect("an offer");
    let data = message.option(OptionCode::VENDOR_SPECIFIC).expect("43");
    assert_eq!((data.len(), data.last()), (255, Some(&255)));
    assert_eq!(PxeOptions::new(&data).menu_items().count(), 22);
    assert_eq!(message.file(), Some(&b"debian/pxelinux.0"[..]));
}

/// The longest menu, for a client without option 57, which takes 576 bytes, and with a machine's
/// and a client's identifier and a relay's, all of which have to be repeated.
fn crowded(first: BootItem) -> (Menu, Request) {
    let items = (1..22).map(|index| BootItem::new(0x8000 + index, "A", "debian/pxelinux.0"));
    let items = std::iter::once(first).chain(items);
    let longest = BootMenu::new("P2", 10, items).expect("it fits");
    let mut request = ipxe_rom_bios();
    request.options.retain(|(code, _)| *code != 57);
    (Menu(longest), request.option(82, [7; 40]).giaddr(ip(2)))
}

#[test]
fn a_menu_that_does_not_fit_gives_way_to_its_first_item() {
    for mode in [Mode::Authoritative, Mode::Proxy] {
        let first = BootItem::new(0x8000, "A", "first.0").with_next_server(OTHER);
        let (menu, request) = crowded(first);
        let config = match mode {
            Mode::Authoritative => Config::new().with_mode(mode).with_subnet(lan()),
            _ => Config::new().with_mode(mode),
        };
        let mut bench = Bench::new(config, menu);
        let offer = bench.ask(&request);
        let mut replies = vec![offer.clone()];
        match mode {
            Mode::Authoritative => {
                let address = Message::parse(&offer).expect("an offer").yiaddr();
                replies.push(bench.ask(&request.select(address.expect("an address"))));
            }
            _ => {
                let request = request.typed(MessageType::REQUEST);
                replies.push(bench.ask_binl(&request, (ip(2), 67)));
            }
        }
        for reply in replies {
            assert!(reply.len() <= 548);
            let message = Message::parse(&reply).expect("a reply");
            assert_eq!(message.file(), Some(&b"first.0"[..]));
            assert_eq!(message.siaddr(), Some(OTHER));
            let data = message
                .option(OptionCode::VENDOR_SPECIFIC)
                .unwrap_or_default();
            assert_eq!(PxeOptions::new(&data).menu_items().count(), 0);
        }
        let (Event::Offered { explanation, .. } | Event::ProxyOffered { explanation, .. }) = bench
            .events
            .iter()
            .find(|event| matches!(event, Event::Offered { .. } | Event::ProxyOffered { .. }))
            .expect("an offer")
        else {
            panic!("{:?}", bench.events)
        };
        let why = "- menu: the reply would be too long for the client: it gets the first item";
        assert!(explanation.to_string().ends_with(why), "{explanation}");
    }
}

#[test]
fn a_proxy_has_nothing_to_say_if_the_first_item_is_the_disk() {
    let (menu, request) = crowded(BootItem::local("Disk"));
    let mut bench = Bench::new(Config::new().with_mode(Mode::Proxy), menu);
    assert!(bench.send(&request).is_empty());
    assert!(matches!(
        bench.last_event(),
        Event::NotBooted {
            boot: Boot::Nothing,
            ..
        }
    ));
}
