//! `[[tftp.rewrite]]` and the other rules about names: what is served, explained and told.

mod network;

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use pxe_server::{Config, MachineId, Protocol, Running, What};
use serde_json::Value;
use tempfile::TempDir;

use network::tftp_get;

const CONFIG: &str = r#"
[server]
user = ""
control = "control.sock"
[tree]
root = "tree"
[tftp]
listen = "127.0.0.1:0"
ignore_case = true
[[tftp.rewrite]]
name = "windows"
directory = "boot"
ignore_case = true
replace = "windows/Boot"
[[tftp.rewrite]]
regex = '^(.+\.cfg)[^/]*$'
replace = "$1"
[[tftp.rewrite]]
path = "host.cfg"
replace = "hosts/${ip_hex:lower}.cfg"
then = "stop"
[[tftp.rewrite]]
regex = '\.key$'
refuse = true
[[tftp.rewrite]]
directory = "old"
replace = "new"
when = "missing"
"#;

const DHCP: &str = r#"
[dhcp]
listen = "127.0.0.1"
[dhcp.subnet]
network = "127.0.0.0/24"
pools = "127.0.0.30"
[boot]
files = { default = "old/file" }
"#;

struct Site {
    directory: TempDir,
    config: String,
}

impl Site {
    fn new(config: &str) -> Self {
        let directory = tempfile::tempdir().expect("temporary directory");
        let site = Self {
            directory,
            config: config.to_owned(),
        };
        for (name, content) in [
            ("windows/Boot/bcd", "registry"),
            ("hosts/7f000001.cfg", "by address"),
            ("main.cfg", "main"),
            ("server.key", "secret"),
            ("new/file", "moved"),
            ("start4.elf", "common"),
            ("9ffefdef/config.txt", "its own"),
        ] {
            let path = site.path("tree").join(name);
            std::fs::create_dir_all(path.parent().expect("below")).expect("writable");
            std::fs::write(path, content).expect("writable");
        }
        std::fs::write(site.path("pxe.toml"), config).expect("writable");
        site
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    async fn start(&self) -> Running {
        let config = Config::parse(&self.config, &self.path("pxe.toml")).expect("valid");
        Running::start(config).await.expect("starts")
    }

    fn explain(&self, path: &str) -> (String, Value) {
        let run = |json: &[&str]| {
            let output = Command::new(env!("CARGO_BIN_EXE_pxe-server"))
                .args([
                    "explain",
                    "pxe.toml",
                    "--address",
                    "127.0.0.1",
                    "--path",
                    path,
                ])
                .args(json)
                .current_dir(self.directory.path())
                .output()
                .expect("runs");
            let errors = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(output.status.success(), "{errors}");
            String::from_utf8(output.stdout).expect("UTF-8")
        };
        let text = run(&[]);
        let lines = text.lines().skip_while(|line| !line.starts_with("  tftp"));
        let lines = lines
            .take_while(|line| line.starts_with("  "))
            .collect::<Vec<_>>();
        let json = serde_json::from_str(&run(&["--json"])).expect("JSON");
        (lines.join("\n"), json)
    }
}

fn get(running: &Running, name: &str) -> Result<String, u16> {
    let server = running.addresses(Protocol::Tftp)[0];
    let content = tftp_get(server, name).map_err(|error| error.code)?;
    Ok(String::from_utf8(content).expect("UTF-8"))
}

#[tokio::test(flavor = "multi_thread")]
async fn rules_lead_to_files_and_the_timeline_tells_it() {
    let site = Site::new(CONFIG);
    let running = site.start().await;
    // As pxelinux does it with option 210.
    let with_root = site.path("tree/Boot/BCD").display().to_string();
    for (asked, expected) in [
        ("\\Boot\\BCD", Ok("registry")),
        (with_root.as_str(), Ok("registry")),
        ("main.cfg\u{1e}o#", Ok("main")),
        ("host.cfg", Ok("by address")),
        ("server.key", Err(2)),
        ("old/file", Ok("moved")),
        ("old/nothing", Err(1)),
        // A Raspberry Pi's own file comes first, then that of all.
        ("9ffefdef/config.txt", Ok("its own")),
        ("9ffefdef/start4.elf", Ok("common")),
        ("dc-a6-32-01-36-c2/start4.elf", Ok("common")),
        // Nobody else is led elsewhere: not the addresses of other makers, nor pxelinux's names.
        ("52-54-00-01-36-c2/start4.elf", Err(1)),
        ("9FFEFDEF/start4.elf", Err(1)),
        ("pxelinux.cfg/9ffefdef/start4.elf", Err(1)),
    ] {
        let got = get(&running, asked);
        assert_eq!(got.as_deref(), expected.as_ref().copied(), "{asked}");
    }
    let id = MachineId::Ip(IpAddr::from([127, 0, 0, 1]));
    let machine = running.machines().get(id).expect("it asked");
    let notes = machine.facts.iter().filter_map(|fact| match &fact.what {
        What::Note { text, .. } => Some(text.as_str()),
        _ => None,
    });
    let notes: Vec<_> = notes.collect();
    for expected in [
        "looked for /windows/Boot/BCD in the place of /Boot/BCD, by windows",
        "looked for /hosts/7f000001.cfg in the place of /host.cfg, by tftp.rewrite[2]",
        "/server.key is refused by tftp.rewrite[3]: permission denied",
        "looked for /new/file in the place of /old/file, by tftp.rewrite[4]",
        "looked for /start4.elf in the place of /9ffefdef/start4.elf, by raspberry_pi_fallback",
    ] {
        assert!(notes.contains(&expected), "{expected}: {notes:#?}");
    }
    assert!(
        !notes.iter().any(|note| note.contains("nothing")),
        "{notes:#?}"
    );
    running.stop().await.expect("stops");
}

#[tokio::test(flavor = "multi_thread")]
async fn raspberry_pis_fall_back_to_a_directory_or_not_at_all() {
    let tftp = "[server]\nuser = \"\"\ncontrol = \"\"\n[tree]\nroot = \"tree\"\n[tftp]\nlisten = \"127.0.0.1:0\"\n";
    let site = Site::new(&format!("{tftp}raspberry_pi_directory = \"new\"\n"));
    let running = site.start().await;
    assert_eq!(get(&running, "9ffefdef/file").as_deref(), Ok("moved"));
    assert_eq!(get(&running, "9ffefdef/start4.elf"), Err(1));
    running.stop().await.expect("stops");
    let site = Site::new(&format!("{tftp}raspberry_pi_fallback = false\n"));
    let running = site.start().await;
    assert_eq!(get(&running, "9ffefdef/start4.elf"), Err(1));
    running.stop().await.expect("stops");
}

#[test]
fn explain_shows_what_each_rule_did() {
    let site = Site::new(&format!("{CONFIG}{DHCP}"));
    let (text, json) = site.explain("\\BOOT\\bcd");
    assert_eq!(
        text,
        "  tftp        /windows/Boot/bcd, 8 bytes\n    windows: /windows/Boot/bcd"
    );
    let rewritten = &json["path"][0]["rewritten"];
    assert_eq!(rewritten[0]["rule"], "windows");
    assert_eq!(rewritten[0]["path"], "/windows/Boot/bcd");
    let (text, json) = site.explain("server.key");
    assert_eq!(
        text,
        "  tftp        permission denied\n    tftp.rewrite[3]: refused"
    );
    assert_eq!(json["path"][0]["rewritten"][0]["path"], Value::Null);
    let (text, _) = site.explain("9ffefdef/start4.elf");
    assert_eq!(
        text,
        "  tftp        /start4.elf, 6 bytes\n    raspberry_pi_fallback: /start4.elf"
    );
    let (text, _) = site.explain("host.cfg");
    assert_eq!(
        text,
        "  tftp        /hosts/7f000001.cfg, 10 bytes\n    tftp.rewrite[2]: /hosts/7f000001.cfg"
    );
    let (text, _) = site.explain("main.cfg");
    assert_eq!(text, "  tftp        /main.cfg, 4 bytes");
}

#[test]
fn wrong_rules_are_told_with_their_places() {
    let rule = |rule: &str| {
        let text = format!("[tree]\nroot = \"tree\"\n[tftp]\n[[tftp.rewrite]]\n{rule}\n");
        let error = Config::parse(&text, Path::new("pxe.toml")).expect_err(rule);
        error.to_string()
    };
    for (text, expected) in [
        (
            "replace = \"x\"",
            "pxe.toml:4:1: tftp.rewrite: does not say which paths",
        ),
        (
            "path = \"a\"\nregex = \"b\"\nreplace = \"x\"",
            "write one of path, directory and regex",
        ),
        ("path = \"a\"", "write replace = \"..\", or refuse = true"),
        (
            "path = \"a\"\nreplace = \"x\"\nrefuse = true",
            "write replace = \"..\", or refuse = true",
        ),
        (
            "regex = '('\nrefuse = true",
            "pxe.toml:5:9: tftp.rewrite.regex: \"(\": unclosed group",
        ),
        (
            "regex = 'a'\nreplace = \"$1\"",
            "there is no group 1: the pattern has 0",
        ),
        (
            "regex = 'a'\nreplace = \"$\"",
            "a dollar sign is written as $$",
        ),
        (
            "regex = 'a'\nreplace = \"${mak}\"",
            "${mak} is not known; did you mean ${mac}?",
        ),
        (
            "path = \"a\"\nreplace = \"b\"\nwhen = \"mising\"",
            "did you mean missing?",
        ),
        (
            "path = \"a\"\nreplace = \"b\"\nwhen = \"missing\"\nthen = \"stop\"",
            "has no meaning with when",
        ),
        (
            "path = \"a\"\nreplace = \"b\"\nname = \"\"",
            "\"\" is no name",
        ),
    ] {
        let error = rule(text);
        assert!(error.contains(expected), "{text}:\n{error}");
    }
}

#[test]
fn a_rule_that_refuses_less_than_is_found_is_told_of() {
    let warnings = |text: &str| {
        let config = Config::parse(text, Path::new("pxe.toml")).expect("valid");
        let warnings = config.warnings.iter().map(ToString::to_string);
        warnings.filter(|text| text.contains("in any case")).count()
    };
    assert_eq!(warnings(CONFIG), 1);
    let refuse = "refuse = true";
    let ignoring = CONFIG.replace(refuse, "refuse = true\nignore_case = true");
    assert_eq!(warnings(&ignoring), 0);
    assert_eq!(warnings(&CONFIG.replace("ignore_case = true\n[[", "[[")), 0);
}

#[test]
fn a_boot_file_that_rules_find_is_not_missed() {
    let site = Site::new(&format!("{CONFIG}{DHCP}").replace("ignore_case = true\n[[", "[["));
    let warnings = |text: &str| {
        let config = Config::parse(text, &site.path("pxe.toml")).expect("valid");
        let warnings = config.check_machine().expect("all is there");
        let warnings = warnings.iter().map(|warning| format!("{warning:?}"));
        warnings
            .filter(|warning| warning.contains("has no file"))
            .count()
    };
    assert_eq!(warnings(&site.config), 0);
    assert_eq!(
        warnings(
            &site
                .config
                .replace("replace = \"new\"", "replace = \"else\"")
        ),
        1
    );
}
