//! `pxe-server explain`: what it prints, to the letter.

use std::path::PathBuf;
use std::process::{Command, Output};

use serde_json::Value;
use tempfile::TempDir;

const CONFIG: &str = r#"
[tree]
root = "tree"
[tftp]
[http]
listen = "127.0.0.1:8080"
root = "os"
[dhcp]
listen = "192.168.150.1"
[[dhcp.subnet]]
network = "192.168.150.0/24"
pools = "192.168.150.100-192.168.150.200"
routers = "192.168.150.1"
dns_servers = "192.168.150.1"
domain_name = "matrix.lan"
[boot]
files = { uefi-x64 = "ipxe/snponly.efi", uefi-x64-http = "http://{server}/a.efi", default = "bios/lpxelinux.0" }
ipxe = "http://{server}/boot.ipxe"
configfile = "pxelinux.cfg/default"
[[boot.rule]]
name = "printers"
when = { mac = ["00:11:22", "00:11:33:*"] }
deny = true
[[boot.rule]]
name = "better ipxe"
when = { stage = "ipxe", not = { ipxe_feature = "http" } }
boot = "ipxe/undionly.kpxe"
[[boot.rule]]
name = "lab"
when = { relay = "192.168.150.0/24", circuit_id = "lab-*", arch = [7, "uefi-arm64"] }
boot = "lab/{mac}/grub.efi"
next_server = "192.168.150.9"
"#;

struct Site(TempDir);

impl Site {
    fn new() -> Self {
        let site = Self(tempfile::tempdir().expect("temporary directory"));
        std::fs::create_dir_all(site.path("tree/os")).expect("writable");
        std::fs::write(site.path("tree/os/linux"), "kernel").expect("writable");
        std::os::unix::fs::symlink("os/linux", site.path("tree/vmlinuz")).expect("writable");
        std::fs::write(site.path("pxe.toml"), CONFIG).expect("writable");
        site
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn run(&self, arguments: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_pxe-server"))
            .arg("explain")
            .args(arguments)
            .current_dir(self.0.path())
            .output()
            .expect("built")
    }

    #[track_caller]
    fn explains(&self, arguments: &[&str], expected: &str) {
        let output = self.run(arguments);
        let text = String::from_utf8_lossy(&output.stdout);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert_eq!((text.trim_end(), &*errors), (expected.trim(), ""));
        assert!(output.status.success());
    }
}

#[test]
fn uefi_firmware_gets_the_file_of_its_architecture() {
    Site::new().explains(
        &[
            "--mac",
            "52:54:00:15:00:01",
            "--arch",
            "uefi-x64",
            "--path",
            "/vmlinuz",
        ],
        r#"
machine       52:54:00:15:00:01, uefi-x64, stage pxe
server        192.168.150.1
decision      ipxe/snponly.efi
next server   192.168.150.1
address       192.168.150.151, of the pool 192.168.150.100 to 192.168.150.200, or the one of its last lease
files         allowed
  tftp        /os/linux, 6 bytes
  http 127.0.0.1:8080 no such file or directory
rules
  - printers: mac is 52:54:00:15:00:01, not 00:11:22:* or 00:11:33:*
  - better ipxe: stage is pxe, not ipxe
  - lab: no relay
  - ipxe: the client's stage is pxe
  + arch uefi-x64: the client says uefi-x64
options
  53  OFFER
  54  192.168.150.1
  51  3600 seconds
  58  1800 seconds
  59  3150 seconds
  1   255.255.255.0
  66  "192.168.150.1"
  67  "ipxe/snponly.efi"
  209 "pxelinux.cfg/default"
  3   192.168.150.1
  6   192.168.150.1
  15  "matrix.lan"
  28  192.168.150.255
"#,
    );
}

#[test]
fn a_denied_machine_gets_an_address_and_no_files() {
    Site::new().explains(
        &["--mac", "00:11:22:00:00:01", "--path", "os/linux"],
        r#"
machine       00:11:22:00:00:01, stage system
server        192.168.150.1
decision      denied
address       192.168.150.165, of the pool 192.168.150.100 to 192.168.150.200, or the one of its last lease
files         denied by printers: mac 00:11:22:00:00:01 begins with 00:11:22
  tftp        /os/linux, which it does not get
  http 127.0.0.1:8080 no such file or directory
rules
  + printers: mac 00:11:22:00:00:01 begins with 00:11:22
options
  53  OFFER
  54  192.168.150.1
  51  3600 seconds
  58  1800 seconds
  59  3150 seconds
  1   255.255.255.0
  3   192.168.150.1
  6   192.168.150.1
  15  "matrix.lan"
  28  192.168.150.255
"#,
    );
}

#[test]
fn an_ipxe_gets_its_script_or_a_better_ipxe() {
    let site = Site::new();
    site.explains(
        &["--stage", "ipxe", "--ipxe-feature", "http,bzimage"],
        r#"
machine       52:54:00:00:00:01, stage ipxe
server        192.168.150.1
decision      http://192.168.150.1/boot.ipxe
next server   192.168.150.1
address       192.168.150.184, of the pool 192.168.150.100 to 192.168.150.200, or the one of its last lease
files         allowed
rules
  - printers: mac is 52:54:00:00:00:01, not 00:11:22:* or 00:11:33:*
  - better ipxe: ipxe has http, which is excluded
  - lab: no relay
  + ipxe: user class iPXE (77) or option 175
options
  53  OFFER
  54  192.168.150.1
  51  3600 seconds
  58  1800 seconds
  59  3150 seconds
  1   255.255.255.0
  66  "192.168.150.1"
  67  "http://192.168.150.1/boot.ipxe"
  175 hex:b00101
  209 "pxelinux.cfg/default"
  3   192.168.150.1
  6   192.168.150.1
  15  "matrix.lan"
"#,
    );
    site.explains(
        &["--stage", "ipxe", "--ipxe-feature", "bzimage"],
        r#"
machine       52:54:00:00:00:01, stage ipxe
server        192.168.150.1
decision      ipxe/undionly.kpxe
next server   192.168.150.1
address       192.168.150.184, of the pool 192.168.150.100 to 192.168.150.200, or the one of its last lease
files         allowed
rules
  - printers: mac is 52:54:00:00:00:01, not 00:11:22:* or 00:11:33:*
  + better ipxe: stage is ipxe, ipxe lacks http
options
  53  OFFER
  54  192.168.150.1
  51  3600 seconds
  58  1800 seconds
  59  3150 seconds
  1   255.255.255.0
  66  "192.168.150.1"
  67  "ipxe/undionly.kpxe"
  175 hex:b00101
  209 "pxelinux.cfg/default"
  3   192.168.150.1
  6   192.168.150.1
  15  "matrix.lan"
"#,
    );
}

#[test]
fn a_relayed_machine_is_known_by_its_port() {
    Site::new().explains(
        &[
            "--arch",
            "uefi-x64",
            "--relay",
            "192.168.150.2",
            "--circuit-id",
            "lab-7",
        ],
        r#"
machine       52:54:00:00:00:01, uefi-x64, stage pxe
server        192.168.150.1
decision      lab/52-54-00-00-00-01/grub.efi
next server   192.168.150.9
address       192.168.150.184, of the pool 192.168.150.100 to 192.168.150.200, or the one of its last lease
files         allowed
rules
  - printers: mac is 52:54:00:00:00:01, not 00:11:22:* or 00:11:33:*
  - better ipxe: stage is pxe, not ipxe
  + lab: relay 192.168.150.2 is in 192.168.150.0/24, circuit id "lab-7" matches "lab-*", architecture is uefi-x64
options
  53  OFFER
  54  192.168.150.1
  51  3600 seconds
  58  1800 seconds
  59  3150 seconds
  1   255.255.255.0
  66  "192.168.150.9"
  67  "lab/52-54-00-00-00-01/grub.efi"
  209 "pxelinux.cfg/default"
  3   192.168.150.1
  6   192.168.150.1
  15  "matrix.lan"
  28  192.168.150.255
  82  hex:01056c61622d37
"#,
    );
}

/// The same site beside a server that gives addresses.
fn proxy() -> Site {
    let site = Site::new();
    let text = CONFIG
        .replace("[[dhcp.subnet]]", "mode = \"proxy\"\n[[dhcp.subnet]]")
        .replace("pools = \"192.168.150.100-192.168.150.200\"\n", "");
    let menu = "[[boot.rule]]\nname = \"menu\"\nwhen = { arch = \"uefi-x86\" }\n\
        menu = { item = [{ label = \"A\", boot = \"a.efi\" }, { label = \"Disk\" }] }\n";
    std::fs::write(site.path("pxe.toml"), text + menu).expect("writable");
    site
}

#[test]
fn a_proxy_explains_whom_it_does_not_answer() {
    let site = proxy();
    site.explains(
        &["--mac", "00:11:22:00:00:01", "--arch", "uefi-x64"],
        r#"
machine       00:11:22:00:00:01, uefi-x64, stage pxe
server        192.168.150.1
no answer     it is denied its boot
decision      denied
files         denied by printers: mac 00:11:22:00:00:01 begins with 00:11:22
rules
  + printers: mac 00:11:22:00:00:01 begins with 00:11:22
"#,
    );
    site.explains(
        &["--arch", "uefi-arm64-http"],
        r#"
machine       52:54:00:00:00:01, uefi-arm64-http, stage http
server        192.168.150.1
no answer     there is nothing for it to boot
decision      boots nothing
files         allowed
rules
  - printers: mac is 52:54:00:00:00:01, not 00:11:22:* or 00:11:33:*
  - better ipxe: stage is http, not ipxe
  - lab: no relay
  - menu: architecture is uefi-arm64-http, not uefi-x86
  - ipxe: the client's stage is http
  - arch uefi-x64: the client says uefi-arm64-http
  - arch uefi-x64-http: the client says uefi-arm64-http
  - default: no other rule matched, but firmware that boots by HTTP needs a URL, not "bios/lpxelinux.0"
  + nothing: no rule matched and there is no default for it
"#,
    );
}

#[test]
fn a_proxy_explains_its_answer_at_port_4011() {
    let site = proxy();
    site.explains(
        &["--arch", "uefi-x86", "--relay", "192.168.150.2"],
        r#"
machine       52:54:00:00:00:01, uefi-x86, stage pxe
server        192.168.150.1
decision      menu: A (a.efi), Disk (local disk)
next server   192.168.150.1
files         allowed
rules
  - printers: mac is 52:54:00:00:00:01, not 00:11:22:* or 00:11:33:*
  - better ipxe: stage is pxe, not ipxe
  - lab: no relay
  + menu: architecture is uefi-x86
options
  53  ACK
  54  192.168.150.1
  60  "PXEClient"
  66  "192.168.150.1"
  67  "a.efi"
  43  hex:0601030a140a507265737320463820666f722061206d656e750807800001c0a89601090b800001410000044469736bff
  209 "pxelinux.cfg/default"
"#,
    );
    // No relay passes on what is asked there, so nothing is known of the port any more.
    let lab = ["--relay", "192.168.150.2", "--circuit-id", "lab-7"];
    site.explains(
        &[&["--arch", "uefi-x64"], &lab[..]].concat(),
        r#"
machine       52:54:00:00:00:01, uefi-x64, stage pxe
server        192.168.150.1
decision      ipxe/snponly.efi
next server   192.168.150.1
files         allowed
rules
  - printers: mac is 52:54:00:00:00:01, not 00:11:22:* or 00:11:33:*
  - better ipxe: stage is pxe, not ipxe
  - lab: no relay
  - menu: architecture is uefi-x64, not uefi-x86
  - ipxe: the client's stage is pxe
  + arch uefi-x64: the client says uefi-x64
options
  53  ACK
  54  192.168.150.1
  60  "PXEClient"
  66  "192.168.150.1"
  67  "ipxe/snponly.efi"
  209 "pxelinux.cfg/default"
"#,
    );
}

#[test]
fn every_rule_is_explained_however_many_there_are() {
    let site = Site::new();
    let rules: String = (0..200)
        .map(|number| {
            format!("[[boot.rule]]\nwhen = {{ host_name = \"pc-{number}\" }}\nboot = \"a\"\n")
        })
        .collect();
    let text = format!("{CONFIG}{rules}");
    std::fs::write(site.path("pxe.toml"), text).expect("writable");
    let output = site.run(&["--host-name", "pc-199", "--arch", "uefi-x64"]);
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("\n  - rule 202: host name is \"pc-199\", not \"pc-198\"\n"));
    assert!(
        text.contains("\n  + rule 203: host name is \"pc-199\"\n"),
        "{text}"
    );
}

#[test]
fn json_says_the_same() {
    let output = Site::new().run(&["--stage", "http", "--json", "--path", "nothing"]);
    let answer: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(answer["boot"]["url"], "http://192.168.150.1/a.efi");
    assert_eq!(answer["files_allowed"], true);
    assert_eq!(answer["path"][0]["error"], "no such file or directory");
    let rules = answer["rules"].as_array().expect("a list");
    let deciding = rules.iter().filter(|rule| rule["decides"] == true);
    assert_eq!(deciding.count(), 1);
    let class = serde_json::json!({ "code": 60, "value": "\"HTTPClient\"" });
    assert!(
        answer["options"]
            .as_array()
            .expect("a list")
            .contains(&class)
    );
}

#[test]
fn a_path_is_explained_that_would_be_made_or_filled_in() {
    let site = Site::new();
    std::fs::create_dir_all(site.path("tree/pxelinux.cfg")).expect("writable");
    let hash = "$1$salt$oFKJcXEnJSGJlGHDCZ5kZ.";
    let menu = format!("LABEL a\nLINUX ${{mac}}\nLABEL wipe\nMENU PASSWD {hash}\nLINUX b\n");
    std::fs::write(site.path("tree/pxelinux.cfg/default"), menu).expect("writable");
    let text = format!("{CONFIG}[menu]\ntemplates = \"pxelinux.cfg/*\"\n");
    std::fs::write(site.path("pxe.toml"), text).expect("writable");
    let said = |path: &str| {
        let output = site.run(&["--path", path]);
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let lines: Vec<&str> = text
            .lines()
            .skip_while(|line| !line.starts_with("  tftp"))
            .collect();
        lines.join("\n")
    };
    let made = said("grub/grub.cfg");
    assert!(made.contains("made from /pxelinux.cfg/default: "), "{made}");
    assert!(
        made.contains("\n    without: ") && made.contains("wipe"),
        "{made}"
    );
    let filled_in = said("pxelinux.cfg/default");
    assert!(
        filled_in.contains("/pxelinux.cfg/default, filled in for it: "),
        "{filled_in}"
    );
    // What the server does not get past, it does not make either.
    for link in ["tree/round", "tree/os/round"] {
        std::os::unix::fs::symlink("round", site.path(link)).expect("writable");
    }
    let round = said("round/grub.cfg");
    assert!(!round.contains("made from"), "{round}");
    let output = site.run(&["--json", "--path", "boot.ipxe"]);
    let answer: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(answer["path"][0]["converted"], true);
    assert_eq!(answer["path"][0]["path"], "/pxelinux.cfg/default");
    std::fs::write(site.path("tree/pxelinux.cfg/default"), "LABEL ${banana}\n").expect("writable");
    let refused = said("pxelinux.cfg/default");
    assert!(
        refused.contains("line 1: no placeholder `banana`"),
        "{refused}"
    );
}

#[test]
fn a_path_of_an_export_is_explained() {
    let site = Site::new();
    let export = "[[nfs.export]]\npath = \"/srv/tftp\"\nclients = \"192.168.150.0/24(ro,insecure)\"\n\
        [[nfs.export]]\npath = \"/srv/tftp/os\"\nroot = \"/os\"\nclients = \"10.0.0.0/8\"\n";
    let text = std::fs::read_to_string(site.path("pxe.toml")).expect("readable");
    std::fs::write(site.path("pxe.toml"), text + export).expect("writable");
    let said = |path: &str, line: &str| {
        let output = site.run(&["--mac", "52:54:00:15:00:01", "--path", path]);
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(text.contains(line), "{text}");
    };
    said("/srv/tftp", "  nfs /srv/tftp /, to be mounted (ro,insecure");
    said(
        "/srv/tftp/vmlinuz",
        "  nfs /srv/tftp /os/linux, 6 bytes (ro,insecure",
    );
    said(
        "/srv/tftp/os/linux",
        "  nfs /srv/tftp/os /srv/tftp/os is not exported to 192.168.150.",
    );
}

#[test]
fn errors_are_those_of_the_other_commands() {
    let site = Site::new();
    let output = site.run(&["missing.toml"]);
    assert_eq!(output.status.code(), Some(1));
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(
        errors.starts_with("error: missing.toml: cannot read"),
        "{errors}"
    );
    std::fs::write(site.path("pxe.toml"), "[tree]\nroot = \"tree\"\n[tftp]\n").expect("writable");
    let output = site.run(&[]);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(
        errors,
        "pxe-server: pxe.toml has no [dhcp]: this server tells no machine what to boot\n"
    );
    assert_eq!(site.run(&["--arch", "banana"]).status.code(), Some(2));
}

#[test]
fn what_becomes_of_a_path_needs_no_dhcp() {
    let site = Site::new();
    std::fs::write(site.path("pxe.toml"), "[tree]\nroot = \"tree\"\n[tftp]\n").expect("writable");
    let output = site.run(&["--path", "vmlinuz"]);
    assert_eq!(
        String::from_utf8_lossy(&output.stdout),
        "machine       52:54:00:00:00:01, stage system\n\
         no answer     no [dhcp]: this server tells no machine what to boot\n\
         decision      boots nothing\n\
         files         allowed\n  tftp        /os/linux, 6 bytes\n"
    );
}

/// What the README shows of an explanation is part of the one for the tutorial's configuration.
#[test]
fn the_readmes_explanation_is_explains_own() {
    let site = Site::new();
    let tutorial = concat!(env!("CARGO_MANIFEST_DIR"), "/tutorial.toml");
    let machine = ["--mac", "52:54:00:12:34:56", "--arch", "uefi-x64"];
    let output = site.run(&[&[tutorial][..], &machine].concat());
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8_lossy(&output.stdout);
    let mut said = text.lines();
    let shown = include_str!("../README.md")
        .split("```text\n")
        .filter_map(|part| part.split("```").next())
        .find(|block| block.starts_with("machine "))
        .expect("the README shows one");
    for line in shown.lines() {
        assert!(said.any(|one| one == line), "{line:?} is not in:\n{text}");
    }
}
