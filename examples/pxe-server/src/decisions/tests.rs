//! What is decided about a machine holds for its addresses, and for as long as it should.

use super::*;
use pxe_core::UnixTime;
use pxe_dhcp::{ClientArch, Explanation, LeaseState};

/// Denies machines whose hardware address ends in an odd number, iPXE of 52:54:00:00:00:04,
/// UEFI, and 10.0.0.66.
#[derive(Debug)]
struct Odd;

impl BootPolicy for Odd {
    fn decide(&self, request: &BootRequest<'_>) -> BootDecision {
        let last = request.mac.map(|mac| mac.octets()[5]);
        let is_uefi = request.architectures.contains(&ClientArch::UEFI_X64);
        let mut explanation = Explanation::new();
        let mut deny = |rule: &'static str, matched| {
            match matched {
                true => explanation.matched(rule, "it is"),
                false => explanation.failed(rule, "it is not"),
            }
            matched
        };
        let is_denied = deny("odd", last.is_some_and(|last| last % 2 == 1))
            || deny("ipxe", request.stage == Stage::Ipxe && last == Some(4))
            || deny("uefi", is_uefi)
            || deny("66", request.client_ip == Some(Ipv4Addr::new(10, 0, 0, 66)))
            || deny(
                "network",
                request.subnet.is_some_and(|net| net.prefix() == 30),
            );
        let boot = match (is_denied, request.stage) {
            (true, _) => Boot::Denied,
            (_, Stage::System) => Boot::Nothing,
            _ => Boot::File("x".into()),
        };
        BootDecision::new(boot).with_explanation(explanation)
    }
}

fn odd() -> Arc<dyn BootPolicy> {
    Arc::new(Odd)
}

fn mac(last: u8) -> MacAddr {
    MacAddr::new([0x52, 0x54, 0, 0, 0, last])
}

fn ip(last: u8) -> IpAddr {
    IpAddr::from([10, 0, 0, last])
}

const NOW: Instant = Instant::from_nanos(1_000_000_000);

fn decisions() -> Decisions {
    let limits = Limits {
        machines_max: 2,
        strangers_max: 2,
        stranger_time: Duration::from_secs(10),
    };
    let decisions = Decisions::new(Arc::default(), limits);
    let networks = ["10.0.0.4/30".parse().expect("a network")];
    decisions.set_policy(&odd(), &networks, true);
    decisions
}

fn ask(decisions: &Decisions, mac: MacAddr, stage: Stage, arch: Option<ClientArch>) {
    let architectures: Vec<ClientArch> = arch.into_iter().collect();
    let mut request = BootRequest::new(Ipv4Addr::new(10, 0, 0, 1)).with_mac(mac);
    request.architectures = &architectures;
    request.stage = stage;
    decisions.decide(&request);
}

fn rule(access: &Access) -> Option<&str> {
    access.denial().map(|denial| denial.rule.as_str())
}

/// What is known at once, or what is found out with this neighbour.
fn access(decisions: &Decisions, at: u8, neighbour: Option<MacAddr>, now: Instant) -> Access {
    match decisions.look_up(ip(at), now) {
        LookUp::Known(access) => access,
        LookUp::Unknown => decisions.judge(ip(at), neighbour, None, now),
    }
}

#[test]
fn a_leased_address_is_judged_as_its_machine() {
    let decisions = decisions();
    ask(&decisions, mac(1), Stage::Pxe, None);
    ask(&decisions, mac(2), Stage::Pxe, None);
    decisions.addresses.give(ip(10), mac(1));
    decisions.addresses.give(ip(11), mac(2));
    let LookUp::Known(denied) = decisions.look_up(ip(10), NOW) else {
        panic!("its lease is known");
    };
    assert_eq!(denied.to_string(), "denied by odd: it is");
    assert_eq!(
        decisions.look_up(ip(11), NOW),
        LookUp::Known(Access::Allowed)
    );
    // The lease moves to the other machine.
    decisions.addresses.give(ip(10), mac(2));
    assert_eq!(
        decisions.look_up(ip(10), NOW),
        LookUp::Known(Access::Allowed)
    );
    assert_eq!(decisions.look_up(ip(11), NOW), LookUp::Unknown);
    // It ends: nobody's address is judged by itself.
    decisions.addresses.take(ip(10), mac(2));
    assert_eq!(decisions.look_up(ip(10), NOW), LookUp::Unknown);
}

#[test]
fn an_address_without_a_lease_is_judged_by_its_neighbour() {
    let decisions = decisions();
    ask(&decisions, mac(2), Stage::Pxe, Some(ClientArch::UEFI_X64));
    let of_known = access(&decisions, 20, Some(mac(2)), NOW);
    assert_eq!(
        rule(&of_known),
        Some("uefi"),
        "what DHCP heard of it counts"
    );
    let of_unknown = access(&decisions, 21, Some(mac(3)), NOW);
    assert_eq!(
        rule(&of_unknown),
        Some("odd"),
        "its hardware address counts"
    );
    assert_eq!(
        access(&decisions, 20, None, NOW),
        of_known,
        "the answer is kept"
    );
    let later = NOW + Duration::from_secs(10);
    assert_eq!(
        decisions.look_up(ip(20), later),
        LookUp::Unknown,
        "for a while"
    );
}

#[test]
fn a_stranger_is_judged_by_what_is_known() {
    let decisions = decisions();
    assert_eq!(rule(&access(&decisions, 66, None, NOW)), Some("66"));
    assert_eq!(rule(&access(&decisions, 5, None, NOW)), Some("network"));
    assert_eq!(access(&decisions, 9, None, NOW), Access::Allowed);
    let v6 = IpAddr::from([0xfe80, 0, 0, 0, 0, 0, 0, 1]);
    assert_eq!(decisions.look_up(v6, NOW), LookUp::Unknown);
    assert_eq!(decisions.judge(v6, None, None, NOW), Access::Allowed);
    // It gets a lease, and is no stranger any more.
    ask(&decisions, mac(1), Stage::System, None);
    decisions.addresses.give(ip(9), mac(1));
    assert_eq!(rule(&access(&decisions, 9, None, NOW)), Some("odd"));
}

#[test]
fn a_denial_holds_until_the_machine_starts_anew() {
    let decisions = decisions();
    decisions.addresses.give(ip(10), mac(4));
    let now = || access(&decisions, 10, None, NOW);
    ask(&decisions, mac(4), Stage::Pxe, Some(ClientArch::UEFI_X64));
    ask(&decisions, mac(4), Stage::System, None);
    assert_eq!(rule(&now()), Some("uefi"), "the system is the same machine");
    ask(&decisions, mac(4), Stage::Pxe, Some(ClientArch::X86_BIOS));
    assert_eq!(now(), Access::Allowed, "its firmware is set to BIOS");
    ask(&decisions, mac(4), Stage::Ipxe, None);
    ask(&decisions, mac(4), Stage::System, None);
    assert_eq!(rule(&now()), Some("ipxe"));
    ask(&decisions, mac(4), Stage::Pxe, None);
    assert_eq!(now(), Access::Allowed, "or it could never load iPXE again");
}

#[test]
fn another_policy_is_asked_about_all_that_was_decided() {
    let decisions = decisions();
    ask(&decisions, mac(1), Stage::Pxe, None);
    decisions.addresses.give(ip(10), mac(1));
    assert_eq!(rule(&access(&decisions, 10, None, NOW)), Some("odd"));
    assert_eq!(rule(&access(&decisions, 66, None, NOW)), Some("66"));
    let no_boot: Arc<dyn BootPolicy> = Arc::new(NoBoot::new());
    decisions.set_policy(&no_boot, &[], true);
    assert_eq!(access(&decisions, 10, None, NOW), Access::Allowed);
    assert_eq!(access(&decisions, 66, None, NOW), Access::Allowed);
    decisions.set_policy(&odd(), &[], true);
    assert_eq!(rule(&access(&decisions, 10, None, NOW)), Some("odd"));
    let shown = decisions.show(MachineId::Mac(mac(1))).expect("known");
    assert_eq!(shown.to_string(), "denied by odd: it is");
    // Nothing can be denied: no table is asked.
    decisions.set_policy(&odd(), &[], false);
    assert_eq!(
        decisions.look_up(ip(77), NOW),
        LookUp::Known(Access::Allowed)
    );
}

#[test]
fn the_last_step_that_boots_something_is_shown() {
    let decisions = decisions();
    let shown = || {
        decisions
            .show(MachineId::Mac(mac(2)))
            .expect("known")
            .to_string()
    };
    ask(&decisions, mac(2), Stage::System, None);
    assert_eq!(shown(), "boots nothing (system)");
    ask(&decisions, mac(2), Stage::Pxe, None);
    ask(&decisions, mac(2), Stage::System, None);
    assert_eq!(shown(), "boots x (pxe)");
    ask(&decisions, mac(2), Stage::Ipxe, None);
    assert_eq!(shown(), "boots x (ipxe)");
}

#[test]
fn the_tables_are_bounded() {
    let decisions = decisions();
    for last in 1..=9 {
        ask(&decisions, mac(last), Stage::Pxe, None);
        ask(&decisions, mac(1), Stage::Pxe, None);
        access(&decisions, 100 + last, None, NOW);
        access(&decisions, 100 + last, None, NOW);
    }
    assert!(
        decisions.show(MachineId::Mac(mac(1))).is_some(),
        "it asks all the time"
    );
    assert!(decisions.show(MachineId::Mac(mac(8))).is_none());
    let table = decisions.table();
    assert_eq!((table.machines.len(), table.silence.len()), (2, 2));
    assert_eq!((table.strangers.len(), table.strangers_order.len()), (2, 2));
}

fn recall(decisions: &Decisions, last: u8, arch: Option<ClientArch>) {
    let (expires, seen) = (UnixTime::from_seconds(1000), UnixTime::from_seconds(0));
    let address = Ipv4Addr::new(10, 0, 0, last);
    let bound = LeaseState::Bound { expires };
    let mut lease = LeaseRecord::new(address, mac(last), bound, seen);
    lease.arch = arch;
    decisions.recall(&lease);
}

#[test]
fn what_is_recalled_takes_no_room_from_what_was_heard() {
    let decisions = decisions();
    ask(&decisions, mac(1), Stage::Pxe, None);
    for last in [2, 4, 6] {
        recall(&decisions, last, Some(ClientArch::UEFI_X64));
    }
    let is_known = |last| decisions.show(MachineId::Mac(mac(last))).is_some();
    assert_eq!([1, 2, 4, 6].map(is_known), [true, true, false, false]);
}

#[test]
fn a_lease_of_an_earlier_run_is_recalled() {
    let decisions = decisions();
    recall(&decisions, 2, Some(ClientArch::UEFI_X64));
    assert_eq!(rule(&access(&decisions, 2, None, NOW)), Some("uefi"));
    // Its system was heard meanwhile, of which a rule for firmware knows nothing.
    let decisions = self::decisions();
    ask(&decisions, mac(2), Stage::System, None);
    recall(&decisions, 2, Some(ClientArch::UEFI_X64));
    assert_eq!(rule(&access(&decisions, 2, None, NOW)), Some("uefi"));
    // Its firmware was heard meanwhile: that counts more.
    ask(&decisions, mac(4), Stage::Pxe, None);
    recall(&decisions, 4, Some(ClientArch::UEFI_X64));
    decisions.addresses.give(ip(4), mac(4));
    assert_eq!(access(&decisions, 4, None, NOW), Access::Allowed);
}
