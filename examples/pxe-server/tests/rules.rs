//! `[[boot.rule]]`, good and bad, as people write it.

use std::path::Path;

use pxe_dhcp::{Boot, ClientArch, Condition};
use pxe_server::Config;

fn parse(rule: &str) -> Result<Config, String> {
    let text = format!(
        "[tree]\nroot = \"/srv/tftp\"\n[dhcp]\nlisten = \"127.0.0.1\"\n[[dhcp.subnet]]\n\
         network = \"10.0.0.0/8\"\npools = \"10.0.0.5\"\n[boot]\n[[boot.rule]]\n{rule}\n"
    );
    Config::parse(&text, Path::new("t.toml")).map_err(|error| error.to_string())
}

#[track_caller]
fn rule(text: &str) -> pxe_dhcp::Rule {
    let config = parse(text).expect("valid");
    config.boot.expect("configured").rules.remove(0)
}

#[test]
fn keys_are_all_asked_for_and_of_a_list_any() {
    let mac = |text: &str| Condition::Mac(text.parse().expect("a prefix"));
    let rule = rule(
        "name = \"lab\"\nwhen = { mac = [\"52:54:00\", \"52:55:*\"], arch = 9, \
         any = [{ user_class = \"iPXE\" }, { not = { vendor_class = \"PXE*\" } }] }\n\
         boot = \"http://{server}/{mac}\"",
    );
    assert_eq!(rule.name, "lab");
    assert_eq!(rule.boot, Some(Boot::Url("http://{server}/{mac}".into())));
    let class = Condition::VendorClass("PXE*".parse().expect("a pattern"));
    assert_eq!(
        rule.when,
        Condition::All(vec![
            Condition::Any(vec![mac("52:54:00"), mac("52:55")]),
            Condition::Arch(ClientArch(9)),
            Condition::Any(vec![
                Condition::UserClass("iPXE".parse().expect("a pattern")),
                Condition::Not(Box::new(class)),
            ]),
        ])
    );
}

#[test]
fn a_rule_may_deny_or_boot_nothing_or_a_menu() {
    assert_eq!(rule("deny = true").boot, Some(Boot::Denied));
    assert_eq!(rule("none = true").boot, Some(Boot::Nothing));
    assert_eq!(rule("next_server = \"10.0.0.9\"").boot, None);
    let options = rule("options = { tftp-server-address = \"10.0.0.9\" }").options;
    assert_eq!(
        (options[0].code.0, &options[0].data[..]),
        (150, &[10, 0, 0, 9][..])
    );
    let menu = rule(
        "menu = { prompt = \"Choose\", timeout_seconds = 5, item = [\
         { label = \"Debian\", boot = \"lpxelinux.0\" }, { label = \"Disk\" }] }",
    );
    let Some(Boot::Menu(menu)) = menu.boot else {
        panic!("a menu");
    };
    assert_eq!((menu.prompt(), menu.timeout_seconds()), ("Choose", 5));
    let types: Vec<u16> = menu.items().iter().map(|item| item.item_type()).collect();
    assert_eq!(types, [0x8000, 0]);
}

#[test]
fn errors_name_the_key_and_say_what_was_meant() {
    for (text, expected) in [
        (
            "when = { arhc = \"uefi-x64\" }\ndeny = true",
            "t.toml:10:17: boot.rule.when.arhc: arhc is nothing to ask a client for; \
             did you mean arch?",
        ),
        (
            "when = { arch = [7, \"uefi-64\"] }\ndeny = true",
            "t.toml:10:21: boot.rule.when.arch: uefi-64 is no architecture; \
             did you mean uefi-x64?",
        ),
        (
            "when = { mac = \"52:54:0\" }\ndeny = true",
            "t.toml:10:16: boot.rule.when.mac: \"52:54:0\" is no mac; write it as \
             \"52:54:00:12:34:56\", or its beginning as \"52:54:00:*\"",
        ),
        (
            "when = { ipxe_feature = \"htpp\" }\ndeny = true",
            "t.toml:10:25: boot.rule.when.ipxe_feature: \"htpp\" is no feature of iPXE; \
             did you mean http?",
        ),
        (
            "when = { circuit_id = \"hex:0\" }\ndeny = true",
            "t.toml:10:23: boot.rule.when.circuit_id: \"hex:0\": \"hex:\" wants two hexadecimal \
             digits for each octet, as in \"hex:00040a\"; write a text, with * for any \
             characters, or octets such as \"hex:0004*\"",
        ),
        (
            "boot = \"a\"\ndeny = true",
            "t.toml:11:8: boot.rule.deny: boot says what is booted already; remove one of the two",
        ),
        (
            "boot = \"{sever}/a\"",
            "t.toml:10:8: boot.rule.boot: {sever} stands for nothing; did you mean {server}?",
        ),
        (
            "name = \"x\"",
            "t.toml:9:1: boot.rule: the rule does not say what is booted; add boot = \"..\", \
             menu, deny = true or none = true",
        ),
        (
            "deny = true\nname = \"a\"\n[[boot.rule]]\nnone = true\nname = \"a\"",
            "t.toml:14:8: boot.rule.name: two rules are called a; rename one of them: the name \
             is how a decision is explained",
        ),
    ] {
        assert_eq!(parse(text).expect_err(text), expected);
    }
}

#[test]
fn a_rule_that_is_never_reached_is_a_warning() {
    let config = parse("deny = true\n[[boot.rule]]\nboot = \"a\"").expect("valid");
    let warnings: Vec<String> = config.warnings.iter().map(ToString::to_string).collect();
    assert_eq!(
        warnings,
        [
            "boot.rule: is never reached: \"rule 1\" before it is for everybody; move it up, or \
          give that rule a when"
        ]
    );
}
