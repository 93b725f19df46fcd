//! Rules that rewrite paths, by the rules and through a source.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use proptest::prelude::*;
use pxe_tree::{
    Case, ErrorKind, FileRequest, MemTree, Opened, PathPattern, Protocol, REWRITE_RULES_MAX,
    Replacement, RewriteAction, RewriteLookup, RewriteRule, RewriteRules, RewriteSource,
    RewriteThen, RewriteValues, RewriteWhen, Source, TreePath, TreeSource,
};

fn path(text: &str) -> TreePath {
    TreePath::parse(text).expect("a valid path")
}

fn to(text: &str) -> RewriteAction {
    RewriteAction::Replace(Replacement::parse(text).expect("a valid replacement"))
}

fn exact(text: &str, action: RewriteAction) -> RewriteRule {
    let pattern = PathPattern::exact(path(text), Case::Sensitive);
    RewriteRule::new(format!("exact {text}"), pattern, action)
}

fn below(text: &str, action: RewriteAction) -> RewriteRule {
    let pattern = PathPattern::below(path(text), Case::Sensitive);
    RewriteRule::new(format!("below {text}"), pattern, action)
}

fn rules(rules: impl IntoIterator<Item = RewriteRule>) -> RewriteRules {
    RewriteRules::new(rules).expect("valid rules")
}

fn made(rules: &RewriteRules, asked: &str) -> Result<String, ErrorKind> {
    let course = rules.apply(&path(asked), &RewriteValues::new());
    course.outcome.map(|path| path.to_string())
}

#[test]
fn plain_rules_are_about_whole_names() {
    let rules = rules([
        below("tftpboot", to("")),
        exact("default", to("menus/main")),
        below("old", to("new/place")),
    ]);
    for (asked, expected) in [
        ("/tftpboot/bios/x", "/bios/x"),
        ("tftpboot", "/tftpboot"),
        ("tftpboot2/x", "/tftpboot2/x"),
        ("default", "/menus/main"),
        ("pxelinux.cfg/default", "/pxelinux.cfg/default"),
        ("default/x", "/default/x"),
        ("old/a/b", "/new/place/a/b"),
        ("tftpboot/old/a", "/new/place/a"),
    ] {
        assert_eq!(made(&rules, asked).as_deref(), Ok(expected), "{asked}");
    }
}

#[test]
fn a_directory_is_put_before_every_path() {
    let rules = rules([below("", to("images"))]);
    assert_eq!(made(&rules, "a/b").as_deref(), Ok("/images/a/b"));
}

#[test]
fn case_is_ignored_where_a_rule_says_so() {
    let pattern = PathPattern::below(path("boot"), Case::Ignored);
    let rules = rules([RewriteRule::new("windows", pattern, to("windows/Boot"))]);
    assert_eq!(made(&rules, "Boot/BCD").as_deref(), Ok("/windows/Boot/BCD"));
    assert_eq!(made(&rules, "BOOT/x").as_deref(), Ok("/windows/Boot/x"));
    assert_eq!(made(&rules, "boots/x").as_deref(), Ok("/boots/x"));
}

#[test]
fn rules_apply_in_order_and_stop_where_one_says_so() {
    let all = [
        exact("a", to("b")),
        exact("b", to("c")).then(RewriteThen::Stop),
        exact("c", to("d")),
    ];
    let rules = rules(all);
    assert_eq!(made(&rules, "a").as_deref(), Ok("/c"));
    assert_eq!(made(&rules, "c").as_deref(), Ok("/d"));
    let course = rules.apply(&path("a"), &RewriteValues::new());
    assert_eq!(
        course.steps,
        [(0, Some(path("b"))), (1, Some(path("c")))],
        "what each rule did is known"
    );
}

#[test]
fn a_rule_that_begins_again_cannot_loop_for_ever() {
    let loops = rules([
        exact("a", to("b")).then(RewriteThen::Restart),
        exact("b", to("a")).then(RewriteThen::Restart),
    ]);
    assert_eq!(made(&loops, "a"), Err(ErrorKind::LinkLoop));
    let grows = rules([below("", to("deeper")).then(RewriteThen::Restart)]);
    assert_eq!(made(&grows, "a"), Err(ErrorKind::LinkLoop));
    let ends = rules([
        exact("b", to("c")),
        exact("a", to("b")).then(RewriteThen::Restart),
    ]);
    assert_eq!(made(&ends, "a").as_deref(), Ok("/c"));
}

#[test]
fn no_replacement_leads_out_of_the_tree() {
    let rules = rules([below("a", to("../../..")), exact("b", to("/etc/../../x"))]);
    assert_eq!(made(&rules, "a/etc/passwd").as_deref(), Ok("/etc/passwd"));
    assert_eq!(made(&rules, "b").as_deref(), Ok("/x"));
}

#[test]
fn a_rule_may_refuse() {
    let rules = rules([below("private", RewriteAction::Refuse)]);
    assert_eq!(
        made(&rules, "private/key"),
        Err(ErrorKind::PermissionDenied)
    );
    assert_eq!(made(&rules, "public/key").as_deref(), Ok("/public/key"));
}

#[test]
fn a_rule_without_its_value_does_nothing() {
    let rules = rules([exact("boot.cfg", to("machines/${mac}.cfg"))]);
    assert_eq!(rules.value_names().into_iter().collect::<Vec<_>>(), ["mac"]);
    assert_eq!(made(&rules, "boot.cfg").as_deref(), Ok("/boot.cfg"));
}

#[test]
fn what_cannot_be_a_list_of_rules_is_refused() {
    let many = (0..=REWRITE_RULES_MAX).map(|_| exact("a", to("b")));
    assert!(RewriteRules::new(many).is_err());
    let error = RewriteRules::new([exact("a", to("$1"))]).expect_err("no such group");
    assert_eq!(error.to_string(), "there is no group 1: the pattern has 0");
}

#[cfg(feature = "regex")]
mod regular_expressions {
    use super::*;

    fn regex(expression: &str, case: Case, action: RewriteAction) -> RewriteRule {
        let pattern = PathPattern::regex(expression, case).expect("a valid expression");
        RewriteRule::new(expression, pattern, action)
    }

    fn all(text: &str) -> RewriteAction {
        RewriteAction::ReplaceAll(Replacement::parse(text).expect("a valid replacement"))
    }

    // What map files of tftpd-hpa are used for.
    #[test]
    fn map_files_of_tftpd_hpa_can_be_said() {
        let case = Case::Sensitive;
        for (rule, asked, expected) in [
            // "r ^pxelinux\.bin\S* pxelinux.bin": a ROM that appends what lies behind the name.
            (
                regex("^pxelinux\\.bin.*$", case, to("pxelinux.bin")),
                "pxelinux.biny\n;o\u{1e}",
                "/pxelinux.bin",
            ),
            // "rg \\ /" is done for every name; other characters:
            (regex(":", case, all("-")), "01:02:03.cfg", "/01-02-03.cfg"),
            // "r ^/?(.*)$ \L\1"
            (
                regex("^.*$", case, to("${0:lower}")),
                "EFI/BOOT/BOOTX64.EFI",
                "/efi/boot/bootx64.efi",
            ),
            // "ri ^boot/fonts/(.*)$ Boot/Fonts/\1"
            (
                regex("^boot/fonts/(.*)$", Case::Ignored, to("Boot/Fonts/$1")),
                "BOOT/FONTS/wgl4_boot.ttf",
                "/Boot/Fonts/wgl4_boot.ttf",
            ),
            // "r ^[^/] /tftpboot/\0"
            (regex("^", case, to("tftpboot/")), "x", "/tftpboot/x"),
            // A version in the name.
            (
                regex("^vmlinuz-([0-9.]+)$", case, to("kernels/$1/vmlinuz")),
                "vmlinuz-6.1",
                "/kernels/6.1/vmlinuz",
            ),
        ] {
            let name = rule.name.clone();
            assert_eq!(
                made(&rules([rule]), asked).as_deref(),
                Ok(expected),
                "{name}"
            );
        }
    }

    #[test]
    fn only_what_is_found_is_replaced_and_not_too_often() {
        let rules = rules([regex("a", Case::Sensitive, all("b"))]);
        let asked = "a/".repeat(100);
        let made = made(&rules, &asked).expect("short");
        assert_eq!(made.matches('b').count(), 64);
        assert_eq!(made.matches('a').count(), 36);
        let grows = super::rules([regex("x", Case::Sensitive, all(&"y".repeat(200)))]);
        let asked = "x/".repeat(60);
        assert_eq!(super::made(&grows, &asked), Err(ErrorKind::NameTooLong));
        let empty = super::rules([regex("", Case::Sensitive, all("-"))]);
        assert_eq!(super::made(&empty, "ab").as_deref(), Ok("/-a-b-"));
    }

    #[test]
    fn expressions_are_bounded() {
        for expression in ["(", "a{1000}{1000}{1000}", &"a".repeat(5000)] {
            let error = PathPattern::regex(expression, Case::Sensitive).expect_err("refused");
            assert!(!error.to_string().is_empty());
        }
        // Exponential for those who try every way.
        let rules = rules([regex("^(a+)+$", Case::Sensitive, to("x"))]);
        let asked = format!("{}b", "a".repeat(250));
        assert_eq!(made(&rules, &asked), Ok(format!("/{asked}")));
    }
}

#[derive(Debug)]
struct Macs;

#[async_trait]
impl RewriteLookup for Macs {
    async fn look_up(&self, request: &FileRequest<'_>, values: &mut RewriteValues) {
        if request.remote.port() == 1 {
            values.insert("mac", "dc-a6-32-01-02-03".to_owned());
        }
    }
}

async fn ask(source: &dyn Source, port: u16, asked: &str) -> Result<String, ErrorKind> {
    let asked = path(asked);
    let remote = ([192, 168, 150, 30], port).into();
    let request = FileRequest::new(Protocol::Tftp, remote, &asked);
    match source.open(&request).await.map_err(|error| error.kind())? {
        Opened::File(blob) => {
            let bytes = blob.read_at(0, 100).await.expect("in memory");
            Ok(String::from_utf8(bytes.to_vec()).expect("UTF-8"))
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_source_asks_elsewhere_for_what_is_missing_and_tells_what_it_did() {
    let tree = MemTree::new();
    for (name, content) in [
        ("start4.elf", "root"),
        ("rpi/dc-a6-32-01-02-03/config.txt", "of that machine"),
        ("config.txt", "of all"),
        ("hosts/C0A8961E.cfg", "by address"),
        ("9ffefdef/cmdline.txt", "own"),
    ] {
        tree.insert_file(name, content).expect("free");
    }
    let missing = |rule: RewriteRule| rule.when(RewriteWhen::Missing);
    let rules = rules([
        exact("host.cfg", to("hosts/${ip_hex}.cfg")),
        below("secret", RewriteAction::Refuse),
        missing(below("9ffefdef", to("rpi/${mac}"))),
        missing(below("9ffefdef", to(""))),
    ]);
    let told = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&told);
    let source = RewriteSource::new(Arc::new(TreeSource::new(Arc::new(tree))), Arc::new(rules))
        .with_lookup(Macs)
        .on_rewrite(move |_, done| {
            let outcome = match done.outcome {
                Ok(path) => path.to_string(),
                Err(kind) => kind.to_string(),
            };
            let text = format!("{} {outcome} {}", done.asked, done.rules.join(", "));
            seen.lock().expect("whole").push(text);
        });
    for (port, asked, expected) in [
        (2, "config.txt", Ok("of all")),
        (2, "host.cfg", Ok("by address")),
        (1, "9ffefdef/config.txt", Ok("of that machine")),
        (2, "9ffefdef/config.txt", Ok("of all")),
        (1, "9ffefdef/cmdline.txt", Ok("own")),
        (1, "9ffefdef/start4.elf", Ok("root")),
        (1, "9ffefdef/nothing", Err(ErrorKind::NotFound)),
        (1, "secret/x", Err(ErrorKind::PermissionDenied)),
    ] {
        let got = ask(&source, port, asked).await;
        assert_eq!(got.as_deref(), expected.as_ref().copied(), "{asked}");
    }
    assert_eq!(
        *told.lock().expect("whole"),
        [
            "/host.cfg /hosts/C0A8961E.cfg exact host.cfg",
            "/9ffefdef/config.txt /rpi/dc-a6-32-01-02-03/config.txt below 9ffefdef",
            "/9ffefdef/config.txt /config.txt below 9ffefdef",
            "/9ffefdef/start4.elf /start4.elf below 9ffefdef",
            "/secret/x permission denied below secret",
        ]
    );
}

/// With option 210, pxelinux puts the root's own path before each name; whoever wants what a rule
/// refuses can do that too.
#[tokio::test]
async fn rules_see_names_without_the_roots_own_path() {
    let tree = MemTree::new();
    for (name, content) in [
        ("private/key", "secret"),
        ("private/a-b", "secret"),
        ("windows/BCD", "registry"),
        ("common/start", "common"),
        ("srv/tftp/within", "within"),
        ("moved/here", "moved"),
        ("plain", "plain"),
    ] {
        tree.insert_file(name, content).expect("free");
    }
    let rules = rules([
        exact("private/a+b", to("private/a-b")),
        below("private", RewriteAction::Refuse),
        below("boot", to("windows")),
        below("srv/tftp/old", to("moved")),
        below("cut", to("")),
        below("private", RewriteAction::Refuse),
        below("9ffefdef", to("common")).when(RewriteWhen::Missing),
    ]);
    let files = TreeSource::new(Arc::new(tree)).with_root_path(path("srv/tftp"));
    let rules = rules.with_root_path(path("srv/tftp"));
    let source = RewriteSource::new(Arc::new(files), Arc::new(rules));
    for (asked, expected) in [
        ("private/key", Err(ErrorKind::PermissionDenied)),
        ("srv/tftp/private/key", Err(ErrorKind::PermissionDenied)),
        ("srv/tftp/private/a+b", Err(ErrorKind::PermissionDenied)),
        ("srv/tftp/srv/tftp/private/key", Err(ErrorKind::NotFound)),
        ("cut/srv/tftp/private/key", Err(ErrorKind::PermissionDenied)),
        ("srv/tftp/boot/BCD", Ok("registry")),
        ("srv/tftp/old/here", Ok("moved")),
        ("srv/tftp/9ffefdef/start", Ok("common")),
        ("srv/tftp/within", Ok("within")),
        ("srv/tftp/plain", Ok("plain")),
        ("srv/tftp/nothing", Err(ErrorKind::NotFound)),
    ] {
        let got = ask(&source, 1, asked).await;
        assert_eq!(got.as_deref(), expected.as_ref().copied(), "{asked}");
    }
}

proptest! {
    /// Whatever rules and paths there are, what comes out is a valid path or a refusal, soon.
    #[test]
    fn any_rules_end(
        asked in "[ab./$]{0,40}",
        all in prop::collection::vec(
            ("[ab/]{0,4}", "[ab./]{0,6}", any::<bool>(), 0_u8..3), 0..8),
    ) {
        let all = all.into_iter().map(|(pattern, replacement, whole, then)| {
            let rule = match whole {
                true => exact(&pattern, to(&replacement)),
                false => below(&pattern, to(&replacement)),
            };
            rule.then(match then {
                0 => RewriteThen::Next,
                1 => RewriteThen::Stop,
                _ => RewriteThen::Restart,
            })
        });
        let rules = rules(all);
        let course = rules.apply(&path(&asked), &RewriteValues::new());
        prop_assert!(course.steps.len() <= 8 * 17);
        if let Ok(path) = course.outcome {
            prop_assert_eq!(TreePath::parse(path.as_bytes()), Ok(path));
        }
    }
}
