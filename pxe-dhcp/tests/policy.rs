//! What the engine makes of a policy's decisions.

mod support;

use std::net::Ipv4Addr;

use pxe_dhcp::wire::{Message, OptionCode};
use pxe_dhcp::{
    Boot, BootDecision, BootPolicy, BootRequest, Config, DhcpOption, Event, Explanation,
};
use support::{Bench, MAC, Request, ip, lan};

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
