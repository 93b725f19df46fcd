//! Rules: which one decides, and what an explanation says of the others.

use std::net::Ipv4Addr;

use proptest::prelude::*;
use pxe_core::MacAddr;
use pxe_dhcp::wire::{IpxeFeature, IpxeFeatures, MachineUuid, OptionCode};
use pxe_dhcp::{
    ArchPolicy, Boot, BootDecision, BootItem, BootMenu, BootPolicy, BootRequest, ClientArch,
    Condition, DhcpOption, Pattern, Rule, RulePolicy, Stage,
};

const SERVER: Ipv4Addr = Ipv4Addr::new(192, 168, 150, 1);
const MAC: MacAddr = MacAddr::new([0x52, 0x54, 0, 0x15, 0, 1]);

fn mac(text: &str) -> Condition {
    Condition::Mac(text.parse().expect("a prefix"))
}

fn everybody() -> Condition {
    Condition::All(Vec::new())
}

fn not(condition: Condition) -> Condition {
    Condition::Not(Box::new(condition))
}

fn http() -> Condition {
    Condition::IpxeFeature(IpxeFeature::HTTP)
}

fn file(name: &str) -> Boot {
    Boot::File(name.into())
}

fn firmware(architectures: &[ClientArch]) -> BootRequest<'_> {
    BootRequest::new(SERVER)
        .with_mac(MAC)
        .with_architectures(architectures)
}

fn ipxe(features: IpxeFeatures) -> BootRequest<'static> {
    firmware(&[ClientArch::X86_BIOS])
        .with_user_classes(&[b"iPXE"])
        .with_ipxe_features(features)
}

fn system() -> BootRequest<'static> {
    BootRequest::new(SERVER).with_mac(MAC)
}

#[track_caller]
fn check(decision: &BootDecision, boot: &Boot, explanation: &str) {
    let said = decision.explanation.to_string();
    assert_eq!((&decision.boot, said.as_str()), (boot, explanation));
}

#[test]
fn the_first_rule_that_matches_decides() {
    let policy = RulePolicy::new()
        .with_rule(Rule::new("a", mac("52:55")).with_file("a.efi"))
        .with_rule(
            Rule::new("b", mac("52:54"))
                .with_file("b.efi")
                .with_next_server(SERVER),
        )
        .with_rule(Rule::new("c", everybody()).with_boot(Boot::Denied))
        .otherwise(ArchPolicy::syslinux());
    let decision = policy.decide(&firmware(&[ClientArch::UEFI_X64]));
    check(
        &decision,
        &file("b.efi"),
        "- a: mac is 52:54:00:15:00:01, not 52:55:*\n\
         + b: mac 52:54:00:15:00:01 begins with 52:54",
    );
    assert_eq!(decision.next_server, Some(SERVER));
    let other = firmware(&[ClientArch::UEFI_X64]).with_mac(MacAddr::new([2; 6]));
    assert_eq!(policy.decide(&other).boot, Boot::Denied);
}

#[test]
fn a_rule_without_a_boot_adds_to_what_follows() {
    let option = |text: &str| DhcpOption::new(OptionCode::CONFIG_FILE, text);
    let policy = RulePolicy::new()
        .with_rule(Rule::new("lab", mac("52:54")).with_option(option("lab")))
        .with_rule(
            Rule::new("all", everybody())
                .with_option(option("all"))
                .with_server_name("boot.matrix.lan"),
        )
        .otherwise(
            ArchPolicy::syslinux()
                .with_config_file("default")
                .with_reboot_seconds(9),
        );
    let decision = policy.decide(&firmware(&[ClientArch::X86_BIOS]));
    check(
        &decision,
        &file("bios/lpxelinux.0"),
        "~ lab: mac 52:54:00:15:00:01 begins with 52:54\n\
         ~ all: no condition\n\
         - arch uefi-x86: the client says x86-bios\n\
         - arch uefi-x64: the client says x86-bios\n\
         + default: no other rule matched",
    );
    assert_eq!(decision.option(OptionCode::CONFIG_FILE), Some(&b"lab"[..]));
    assert!(decision.option(OptionCode::REBOOT_TIME).is_some());
    assert_eq!(decision.server_name.as_deref(), Some("boot.matrix.lan"));
}

#[test]
fn a_rule_passes_over_clients_that_cannot_load_its_file() {
    let policy = RulePolicy::new()
        .with_rule(Rule::new("url", everybody()).with_file("http://{server}/boot.ipxe"))
        .with_rule(Rule::new("file", everybody()).with_file("x/{uuid}.efi"))
        .with_rule(Rule::new("rest", everybody()).with_file("rest.efi"));
    check(
        &policy.decide(&firmware(&[ClientArch::UEFI_X64])),
        &file("rest.efi"),
        "- url: no condition, but firmware that boots by TFTP cannot load \
         \"http://192.168.150.1/boot.ipxe\"\n\
         - file: no condition, but \"x/{uuid}.efi\" needs {uuid}, which the client does not say\n\
         + rest: no condition",
    );
    let with_uuid = firmware(&[ClientArch::UEFI_X64]).with_uuid(MachineUuid::from_wire([0x22; 16]));
    let named = file("x/22222222-2222-2222-2222-222222222222.efi");
    assert_eq!(policy.decide(&with_uuid).boot, named);
    let url = Boot::Url("http://192.168.150.1/boot.ipxe".into());
    assert_eq!(policy.decide(&ipxe(IpxeFeatures::new())).boot, url);
    let by_http = firmware(&[ClientArch::UEFI_X64_HTTP]).with_vendor_class(b"HTTPClient");
    assert_eq!(policy.decide(&by_http).boot, url);
}

#[test]
fn ipxe_is_never_told_to_load_ipxe_again() {
    let policy = RulePolicy::new()
        .with_rule(Rule::new("bios", everybody()).with_file("ipxe/undionly.kpxe"))
        .otherwise(ArchPolicy::new().with_ipxe("boot.ipxe"));
    check(
        &policy.decide(&ipxe(IpxeFeatures::new())),
        &file("boot.ipxe"),
        "- bios: no condition, but iPXE is never told to load iPXE again: \
         \"ipxe/undionly.kpxe\"\n\
         + ipxe: user class iPXE (77) or option 175",
    );
    let rom = policy.decide(&firmware(&[ClientArch::X86_BIOS]));
    assert_eq!(rom.boot, file("ipxe/undionly.kpxe"));
    let menu = BootMenu::new("iPXE", 0, [BootItem::new(0x8000, "iPXE", "undionly.kpxe")]);
    let menu = RulePolicy::new()
        .with_rule(Rule::new("menu", everybody()).with_boot(Boot::Menu(menu.expect("short"))));
    assert_eq!(menu.decide(&ipxe(IpxeFeatures::new())).boot, Boot::Nothing);
}

/// LTSP's dnsmasq.conf does so: the iPXE of a network card is seldom built with all it needs, and
/// loads one that is.
#[test]
fn an_ipxe_that_lacks_a_feature_may_be_given_another() {
    let policy = RulePolicy::new()
        .with_rule(Rule::new("script", http()).with_file("http://{server}/boot.ipxe"))
        .with_rule(Rule::new("better ipxe", not(http())).with_file("undionly.kpxe"));
    let better = policy.decide(&ipxe(IpxeFeatures::new().with(IpxeFeature::PXE)));
    assert_eq!(better.boot, file("undionly.kpxe"));
    let full = policy.decide(&ipxe(IpxeFeatures::new().with(IpxeFeature::HTTP)));
    assert_eq!(
        full.boot,
        Boot::Url("http://192.168.150.1/boot.ipxe".into())
    );
}

#[test]
fn an_operating_system_boots_nothing_and_may_be_denied() {
    let policy = RulePolicy::new()
        .with_rule(Rule::new("printers", mac("00:11")).with_boot(Boot::Denied))
        .with_rule(
            Rule::new("lab", mac("52:54"))
                .with_file("a.efi")
                .with_next_server(SERVER),
        )
        .with_rule(Rule::new("others", everybody()).with_boot(Boot::Denied));
    let lab = policy.decide(&system());
    check(
        &lab,
        &Boot::Nothing,
        "- printers: mac is 52:54:00:15:00:01, not 00:11:*\n\
         + lab: mac 52:54:00:15:00:01 begins with 52:54",
    );
    assert_eq!((lab.next_server, lab.options.len()), (Some(SERVER), 0));
    let printer = system().with_mac(MacAddr::new([0, 0x11, 0, 0, 0, 1]));
    assert_eq!(policy.decide(&printer).boot, Boot::Denied);
    assert_eq!(
        policy.decide(&system().with_mac(MacAddr::new([2; 6]))).boot,
        Boot::Denied
    );
}

#[test]
fn an_operating_system_is_not_denied_for_what_only_firmware_says() {
    let by_arch = RulePolicy::new()
        .with_rule(Rule::new("uefi", Condition::Arch(ClientArch::UEFI_X64)).with_file("a.efi"))
        .with_rule(Rule::new("rest", everybody()).with_boot(Boot::Denied));
    check(
        &by_arch.decide(&system()),
        &Boot::Nothing,
        "- uefi: no architecture, but an operating system does not say all of it\n\
         - rest: no condition, but a rule before it may have let this machine boot\n\
         + operating system: neither an architecture (93) nor a vendor class PXEClient or \
         HTTPClient (60)",
    );
    assert_eq!(
        by_arch.decide(&firmware(&[ClientArch::X86_BIOS])).boot,
        Boot::Denied
    );
    let no_bios = RulePolicy::new().with_rule(
        Rule::new("uefi only", not(Condition::Arch(ClientArch::UEFI_X64))).with_boot(Boot::Denied),
    );
    assert_eq!(no_bios.decide(&system()).boot, Boot::Nothing);
    assert_eq!(
        no_bios.decide(&firmware(&[ClientArch::X86_BIOS])).boot,
        Boot::Denied
    );
}

fn conditions() -> impl Strategy<Value = Condition> {
    let leaf = prop_oneof![
        Just(Condition::Stage(Stage::Ipxe)),
        (0..12_u16).prop_map(|arch| Condition::Arch(ClientArch(arch))),
        Just(mac("52:54")),
        Just(mac("00")),
        Just(Condition::Uuid(MachineUuid::from_wire([1; 16]))),
        "[a-c*]{1,3}".prop_map(|text| Condition::VendorClass(text.parse().expect("a pattern"))),
        Just(Condition::UserClass(Pattern::exact("iPXE"))),
        Just(http()),
        Just(Condition::Requested(OptionCode(66))),
    ];
    leaf.prop_recursive(3, 12, 3, |inner| {
        let list = prop::collection::vec(inner.clone(), 0..3);
        prop_oneof![
            list.clone().prop_map(Condition::All),
            list.prop_map(Condition::Any),
            inner.prop_map(not),
        ]
    })
}

fn rules() -> impl Strategy<Value = Vec<Rule>> {
    let boot = prop_oneof![
        Just(None),
        Just(Some(Boot::Nothing)),
        Just(Some(Boot::Denied)),
        Just(Some(file("a.efi"))),
        Just(Some(file("ipxe.efi"))),
        Just(Some(Boot::Url("http://{server}/{mac}".into()))),
    ];
    prop::collection::vec((conditions(), boot), 0..6).prop_map(|rules| {
        let rules = rules.into_iter().enumerate();
        rules
            .map(|(index, (when, boot))| {
                let mut rule = Rule::new(format!("rule {index}"), when);
                rule.boot = boot;
                rule
            })
            .collect()
    })
}

proptest! {
    #[test]
    fn a_decision_is_pure_and_explains_itself(
        rules in rules(),
        architectures in prop::collection::vec((0..20_u16).prop_map(ClientArch), 0..3),
        vendor_class in prop::option::of("[a-c]{0,3}|PXEClient|HTTPClient"),
        is_ipxe in any::<bool>(),
        has_http in any::<bool>(),
        known_mac in any::<bool>(),
        requested in prop::collection::vec(any::<u8>(), 0..4),
    ) {
        let mut policy = RulePolicy::new().otherwise(ArchPolicy::syslinux());
        for rule in &rules {
            policy = policy.with_rule(rule.clone());
        }
        let mut request = BootRequest::new(SERVER).with_architectures(&architectures);
        if let Some(class) = &vendor_class {
            request = request.with_vendor_class(class.as_bytes());
        }
        let features = IpxeFeatures::new();
        if is_ipxe {
            request = request.with_ipxe_features(match has_http {
                true => features.with(IpxeFeature::HTTP),
                false => features,
            });
        }
        if known_mac {
            request = request.with_mac(MAC);
        }
        request.requested_options = &requested;

        let decision = policy.decide(&request);
        prop_assert_eq!(&decision, &policy.decide(&request));

        let tried = decision.explanation.tried();
        let deciding: Vec<_> = tried.iter().filter(|tried| tried.decides).collect();
        prop_assert_eq!(deciding.len(), 1, "{}", decision.explanation);
        prop_assert_eq!(tried.last(), deciding.first().copied(), "nothing is tried after it");
        prop_assert!(deciding[0].matched);
        for (rule, tried) in rules.iter().zip(tried) {
            prop_assert_eq!(&rule.name, &*tried.rule, "each rule in its order");
            let checked = rule.when.check(&request);
            prop_assert_eq!(checked.matched, rule.when.matches(&request));
            prop_assert!(!tried.matched || checked.matched, "{}", decision.explanation);
            prop_assert!(!tried.reason.contains('\n'));
        }
        if request.stage == Stage::System {
            prop_assert!(matches!(decision.boot, Boot::Nothing | Boot::Denied));
        }
        let is_file = matches!(decision.boot, Boot::File(_));
        prop_assert!(!is_file || request.stage != Stage::Http);
    }
}

#[test]
fn of_many_rules_the_first_are_explained_and_the_rest_counted() {
    let of = |number: u8| mac(&format!("02:{number:02x}"));
    let numbered = |policy: RulePolicy, number: u8| {
        let rule = Rule::new(format!("rule {number}"), of(number));
        policy.with_rule(rule.with_file("other.efi"))
    };
    let some = (0..70).fold(RulePolicy::new(), numbered);
    let lab = Rule::new("lab", mac("52:54")).with_server_name("boot");
    let policy = (70..72).fold(some.with_rule(lab), numbered);
    let last = Rule::new("last", everybody()).with_file("last.efi");
    let policy = policy.with_rule(last);
    let explained = |policy: &RulePolicy| {
        let decision = policy.decide(&firmware(&[ClientArch::UEFI_X64]));
        assert_eq!(decision.boot, file("last.efi"));
        assert_eq!(decision.server_name.as_deref(), Some("boot"));
        decision.explanation.to_string()
    };
    let said = explained(&policy);
    assert_eq!(said.lines().count(), 64 + 4);
    let tail = "- rule 63: mac is 52:54:00:15:00:01, not 02:3f:*\n\
        - 6 other rules: none of them matches\n\
        ~ lab: mac 52:54:00:15:00:01 begins with 52:54\n\
        - 2 other rules: none of them matches\n\
        + last: no condition";
    assert!(said.ends_with(tail), "{said}");
    let all = explained(&policy.with_reasons_max(usize::MAX));
    assert_eq!(all.lines().count(), 74);
}

/// What it lacks must be the reason for another one, or that one would load itself for ever.
#[test]
fn an_ipxe_that_lacks_nothing_is_given_no_other() {
    let lacking = not(http());
    let ours = mac("52:54");
    let complete = IpxeFeatures::new().with(IpxeFeature::HTTP);
    for (when, upgrades) in [
        (lacking.clone(), true),
        (Condition::All(vec![ours.clone(), lacking.clone()]), true),
        (Condition::Any(vec![lacking.clone(), ours.clone()]), false),
        (ours, false),
        (not(lacking), false),
    ] {
        let rule = Rule::new("ipxe", when.clone()).with_file("ipxe/undionly.kpxe");
        let policy = RulePolicy::new().with_rule(rule);
        let boot = |features| policy.decide(&ipxe(features)).boot;
        let expected = match upgrades {
            true => file("ipxe/undionly.kpxe"),
            false => Boot::Nothing,
        };
        assert_eq!(boot(IpxeFeatures::new()), expected, "{when:?}");
        assert_eq!(boot(complete), Boot::Nothing, "{when:?}");
    }
}
