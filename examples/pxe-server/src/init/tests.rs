//! On a fabricated system: no test reads this machine's own loaders.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::sync::Arc;

use pxe_tree::{FileRequest, Opened, Protocol, TreePath};
use tempfile::TempDir;

use super::*;
use crate::assemble;
use crate::config::Config;
use crate::hub::Hub;
use crate::menus::{Menus, Served};
use crate::source::tftp_source;
use crate::trees::Trees;

/// A root directory and a place for trees.
struct Machine {
    root: TempDir,
    place: TempDir,
}

impl Machine {
    /// A system with this `ID` and nothing installed.
    fn new(id: &str) -> Self {
        let machine = Self {
            root: TempDir::new().expect("a folder"),
            place: TempDir::new().expect("a folder"),
        };
        machine.write("/etc/os-release", &format!("ID={id}\n"));
        machine
    }

    fn write(&self, path: &str, content: &str) {
        let path = self.root.path().join(path.trim_start_matches('/'));
        fs::create_dir_all(path.parent().expect("not the root")).expect("made");
        fs::write(path, content).expect("written");
    }

    /// Installs every file that a family needs, each with its own path as its content.
    fn install(&self, system: &str, family: &str) {
        for (target, needed) in targets(&family_named(family)) {
            if needed {
                self.install_file(system, target);
            }
        }
    }

    fn install_file(&self, system: &str, target: &str) {
        let catalogue = Catalogue::built_in();
        let system = catalogue
            .systems
            .iter()
            .find(|known| known.id == system)
            .expect("known");
        let path = &system.origin(target).expect("brought by this system").paths[0];
        let path = path.to_str().expect("UTF-8");
        self.write(path, path);
    }

    fn args(&self) -> Args {
        Args {
            dir: self.tree(),
            force: false,
            from: self.root.path().to_owned(),
            mode: Addresses::Authoritative,
            config: None,
        }
    }

    fn tree(&self) -> PathBuf {
        self.place.path().join("srv/tftp")
    }

    fn init(&self) -> (Outcome, String) {
        report(&self.args()).expect("laid out")
    }

    fn force(&self) -> (Outcome, String) {
        let args = Args {
            force: true,
            ..self.args()
        };
        report(&args).expect("laid out")
    }

    fn read(&self, path: &str) -> String {
        fs::read_to_string(self.tree().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
    }
}

fn family_named(name: &str) -> Family {
    let families = Catalogue::built_in().families;
    families
        .into_iter()
        .find(|family| family.name == name)
        .expect("a known family")
}

fn report(args: &Args) -> Result<(Outcome, String), Error> {
    let mut out = Vec::new();
    let outcome = lay_out(args, &mut out)?;
    Ok((outcome, String::from_utf8(out).expect("UTF-8")))
}

const FAMILIES: [&str; 6] = ["bios", "efi32", "efi64", "ipxe-bios", "ipxe-efi", "grub"];

#[test]
fn complete_system_gives_the_tutorials_tree() {
    let machine = Machine::new("debian");
    for family in FAMILIES {
        machine.install("debian", family);
    }
    let (outcome, report) = machine.init();
    assert_eq!(outcome.complete, FAMILIES);
    assert!(outcome.incomplete.is_empty());
    assert_eq!(
        machine.read("bios/lpxelinux.0"),
        "/usr/lib/PXELINUX/lpxelinux.0"
    );
    assert_eq!(
        machine.read("efi64/ldlinux.e64"),
        "/usr/lib/syslinux/modules/efi64/ldlinux.e64"
    );
    // Under the name that shim asks for. A menu there would hide the one that is made of pxelinux's.
    assert!(
        machine
            .read("grub/grubx64.efi")
            .ends_with("grubnetx64.efi.signed")
    );
    assert!(!machine.tree().join("grub/grub.cfg").exists());
    for folder in ["bios", "efi32", "efi64"] {
        for name in ["pxelinux.cfg", "os"] {
            let link = fs::read_link(machine.tree().join(folder).join(name)).expect("a link");
            assert_eq!(link, Path::new("..").join(name));
        }
        assert_eq!(
            machine.read(&format!("{folder}/pxelinux.cfg/default")),
            MENU
        );
    }
    let mode = |path: &str| {
        let metadata = fs::symlink_metadata(machine.tree().join(path)).expect(path);
        metadata.permissions().mode() & 0o7777
    };
    assert_eq!((mode(".."), mode("")), (0o755, 0o755), "made with the tree");
    assert_eq!(
        (mode("bios"), mode("os"), mode("pxelinux.cfg")),
        (0o755, 0o755, 0o755)
    );
    assert_eq!(
        (mode("bios/menu.c32"), mode("pxelinux.cfg/default")),
        (0o644, 0o644)
    );
    assert!(report.contains("created: bios/lpxelinux.0 from /usr/lib/PXELINUX/lpxelinux.0\n"));
    assert!(report.contains("missing: bios/memdisk (optional): apt install syslinux-common\n"));
    assert!(!hidden_files(&machine.tree()), "a temporary file was left");
}

fn hidden_files(folder: &Path) -> bool {
    fs::read_dir(folder).expect("a folder").any(|entry| {
        let entry = entry.expect("readable");
        let hidden = entry.file_name().as_encoded_bytes().starts_with(b".");
        hidden || (entry.file_type().expect("known").is_dir() && hidden_files(&entry.path()))
    })
}

#[test]
fn partial_system_names_the_packages() {
    let machine = Machine::new("debian");
    machine.install("debian", "bios");
    machine.install_file("debian", "efi32/ldlinux.e32");
    let (outcome, report) = machine.init();
    assert_eq!(outcome.complete, ["bios"]);
    assert_eq!(outcome.incomplete.len(), 5);
    assert!(report.contains("missing: efi32/syslinux.efi: apt install syslinux-efi\n"));
    assert!(report.contains("missing: efi32/menu.c32: apt install syslinux-common\n"));
    assert!(report.contains("missing: ipxe/undionly.kpxe: apt install ipxe\n"));
    assert!(report.contains("missing: grub/shimx64.efi: apt install shim-signed\n"));
    assert!(report.contains("missing: grub/grubx64.efi: apt install grub-efi-amd64-signed\n"));
    assert!(report.contains("incomplete: efi32 ("));
    // What there is of an incomplete family is laid, what has nothing leaves no folder.
    assert!(machine.tree().join("efi32/ldlinux.e32").exists());
    assert!(!machine.tree().join("grub").exists());
}

#[test]
fn empty_system_completes_nothing() {
    let (outcome, report) = Machine::new("debian").init();
    assert!(outcome.complete.is_empty());
    assert!(report.contains("missing: bios/lpxelinux.0: apt install pxelinux\n"));
    assert!(!report.contains("A configuration"));
}

#[test]
fn packages_have_the_names_of_the_running_system() {
    let machine = Machine::new("fedora");
    machine.install("fedora", "efi64");
    let (outcome, report) = machine.init();
    assert_eq!(outcome.complete, ["efi64"]);
    assert!(report.contains("missing: bios/lpxelinux.0: dnf install syslinux-nonlinux\n"));
    assert!(report.contains(
        "missing: efi32/syslinux.efi: not packaged for this system; for debian: apt install syslinux-efi\n"
    ));
    let (_, report) = Machine::new("plan9").init();
    assert!(report.contains("note: this system is not in the list of known ones"));
}

/// openSUSE's shim asks for grub.efi beside itself, others' for grubx64.efi.
#[test]
fn opensuse_shim_finds_its_grub() {
    let machine = Machine::new("suse");
    machine.install("suse", "grub");
    let (outcome, _) = machine.init();
    assert_eq!(outcome.complete, ["grub"]);
    assert_eq!(
        machine.read("grub/shimx64.efi"),
        "/usr/share/efi/x86_64/shim.efi"
    );
    assert_eq!(
        machine.read("grub/grub.efi"),
        machine.read("grub/grubx64.efi")
    );
}

/// Loaders of one family are never mixed: ldlinux.c32 refuses another version's PXELINUX.
#[test]
fn a_family_comes_from_one_system() {
    let machine = Machine::new("debian");
    machine.install("arch", "bios");
    machine.install_file("debian", "bios/lpxelinux.0");
    let (outcome, _) = machine.init();
    assert_eq!(outcome.complete, ["bios"]);
    assert_eq!(
        machine.read("bios/lpxelinux.0"),
        "/usr/lib/syslinux/bios/lpxelinux.0"
    );
}

#[test]
fn second_run_changes_nothing() {
    let machine = Machine::new("debian");
    machine.install("debian", "bios");
    machine.init();
    let stamp = |path: &str| {
        let metadata = fs::symlink_metadata(machine.tree().join(path)).expect(path);
        (metadata.ino(), metadata.mtime_nsec(), metadata.mtime())
    };
    let paths = ["bios/lpxelinux.0", "bios/os", "pxelinux.cfg/default"];
    let before = paths.map(stamp);
    for (outcome, report) in [machine.init(), machine.force()] {
        assert_eq!(outcome.complete, ["bios"]);
        assert!(report.contains("unchanged: bios/lpxelinux.0\n"));
        assert!(
            !report.contains("created:") && !report.contains("kept:"),
            "{report}"
        );
        assert_eq!(paths.map(stamp), before);
    }
}

#[test]
fn changed_file_is_kept_unless_forced() {
    let machine = Machine::new("debian");
    machine.install("debian", "bios");
    machine.init();
    for path in ["bios/lpxelinux.0", "pxelinux.cfg/default"] {
        fs::write(machine.tree().join(path), "mine").expect("written");
    }
    let (outcome, report) = machine.init();
    assert_eq!(outcome.complete, ["bios"]);
    assert!(report.contains(
        "kept: bios/lpxelinux.0: differs from /usr/lib/PXELINUX/lpxelinux.0; --force replaces it\n"
    ));
    assert_eq!(machine.read("bios/lpxelinux.0"), "mine");

    let (_, report) = machine.force();
    assert!(report.contains("replaced: bios/lpxelinux.0 from /usr/lib/PXELINUX/lpxelinux.0\n"));
    assert_eq!(
        machine.read("bios/lpxelinux.0"),
        "/usr/lib/PXELINUX/lpxelinux.0"
    );
    // A menu is the administrator's work, which no force replaces.
    assert!(report.contains("kept: pxelinux.cfg/default: differs from a fresh one\n"));
    assert_eq!(machine.read("pxelinux.cfg/default"), "mine");
}

#[test]
fn links_are_not_written_through() {
    let machine = Machine::new("debian");
    machine.install("debian", "bios");
    machine.init();
    let victim = machine.place.path().join("victim");
    fs::write(&victim, "untouched").expect("written");
    let loader = machine.tree().join("bios/lpxelinux.0");
    fs::remove_file(&loader).expect("removed");
    symlink(&victim, &loader).expect("linked");
    assert!(machine.init().1.contains("kept: bios/lpxelinux.0"));
    // By force the link itself is replaced, not what it points to.
    assert!(machine.force().1.contains("replaced: bios/lpxelinux.0"));
    assert_eq!(fs::read_to_string(&victim).expect("there"), "untouched");
    assert!(fs::symlink_metadata(&loader).expect("there").is_file());

    let elsewhere = machine.place.path().join("elsewhere");
    fs::create_dir(&elsewhere).expect("made");
    fs::remove_dir_all(machine.tree().join("bios")).expect("removed");
    symlink(&elsewhere, machine.tree().join("bios")).expect("linked");
    let error = report(&machine.args()).expect_err("refused").to_string();
    assert!(
        error.ends_with("bios: is not a folder (links are not written through)"),
        "{error}"
    );
    assert_eq!(fs::read_dir(&elsewhere).expect("readable").count(), 0);
}

#[test]
fn a_file_is_no_place_for_a_tree() {
    let machine = Machine::new("debian");
    fs::create_dir(machine.place.path().join("srv")).expect("made");
    fs::write(machine.tree(), "a file").expect("written");
    let error = report(&machine.args()).expect_err("refused").to_string();
    assert!(error.contains("tftp: Not a directory"), "{error}");
    assert_eq!(fs::read_to_string(machine.tree()).expect("there"), "a file");
}

#[test]
fn loader_put_there_by_hand_counts() {
    let machine = Machine::new("debian");
    fs::create_dir_all(machine.tree().join("ipxe")).expect("made");
    fs::write(machine.tree().join("ipxe/undionly.kpxe"), "mine").expect("written");
    let (outcome, report) = machine.init();
    assert_eq!(outcome.complete, ["ipxe-bios"]);
    assert!(report.contains("kept: ipxe/undionly.kpxe: was there"));
}

#[test]
fn configuration_is_written_where_asked_and_never_over() {
    let machine = Machine::new("debian");
    machine.install("debian", "bios");
    let file = machine.place.path().join("etc/pxe.toml");
    let args = Args {
        config: Some(file.clone()),
        ..machine.args()
    };
    let (_, told) = report(&args).expect("laid out");
    let written = fs::read_to_string(&file).expect("written");
    assert!(told.contains(&written), "{told}");
    assert!(written.contains(&*machine.tree().to_string_lossy()));
    assert!(
        written.lines().count() <= 25,
        "{} lines",
        written.lines().count()
    );
    let parsed = Config::parse(&written, &file).expect("valid");
    assert_eq!(parsed.tree.root, machine.tree());
    assert!(parsed.warnings.is_empty(), "{:?}", parsed.warnings);
    let with_images = written.replace("# [images]", "[images]");
    let with_images = with_images.replace("# dir =", "dir =");
    let with_images = Config::parse(&with_images, &file).expect("valid");
    let images = with_images.images.expect("uncommented");
    assert_eq!(images.dir, Path::new("/srv/images"));
    let table: toml::Table = written.parse().expect("TOML");
    assert_eq!(table["boot"]["files"].as_table().expect("a table").len(), 1);
    assert_eq!(
        table["boot"]["files"]["default"].as_str(),
        Some("bios/lpxelinux.0")
    );
    fs::write(&file, "mine").expect("written");
    assert!(
        report(&args)
            .expect("laid out")
            .1
            .contains("pxe.toml: differs from a fresh one\n")
    );
    assert_eq!(fs::read_to_string(&file).expect("there"), "mine");
}

/// syslinux.efi comes first; where it is not, shim and GRUB are the boot file.
#[test]
fn configuration_names_the_loaders_there_are() {
    let catalogue = Catalogue::built_in();
    let files = |families: &[&str]| {
        let complete: Vec<String> = families.iter().map(|name| (*name).to_owned()).collect();
        boot_files(&catalogue, &complete)
    };
    assert_eq!(
        files(&["bios", "grub"]),
        r#"default = "bios/lpxelinux.0", uefi-x64 = "grub/shimx64.efi""#
    );
    assert_eq!(
        files(&["efi64", "grub"]),
        r#"uefi-x64 = "efi64/syslinux.efi""#
    );
    assert_eq!(files(&["ipxe-bios"]), "");
}

#[test]
fn paths_are_quoted_in_the_configuration() {
    assert_eq!(toml_string(Path::new("/srv/tftp")), "\"/srv/tftp\"");
    let odd = "/srv/a \"b\\c'";
    let text = format!("dir = {}", toml_string(Path::new(odd)));
    let table: toml::Table = text.parse().expect("TOML");
    assert_eq!(table["dir"].as_str(), Some(odd));
}

#[test]
fn a_configuration_for_networks_that_have_a_dhcp_server() {
    let machine = Machine::new("debian");
    let file = machine.place.path().join("server.toml");
    let args = Args {
        config: Some(file.clone()),
        mode: Addresses::Proxy,
        ..machine.args()
    };
    report(&args).expect("laid out");
    let written = fs::read_to_string(&file).expect("written");
    // Nothing is installed, so there is nothing to boot yet.
    let written = written.replace("files = {  }", "files = { default = \"x\" }");
    let parsed = Config::parse(&written, &file).expect("valid");
    let dhcp = parsed.dhcp.expect("configured");
    assert_eq!(dhcp.mode, pxe_dhcp::Mode::Proxy);
    assert!(dhcp.subnets.is_empty());
}

/// The tree has one menu, and each loader in it gets that.
#[tokio::test]
async fn grub_and_ipxe_have_a_menu_without_any_further_file() {
    let machine = Machine::new("debian");
    for family in FAMILIES {
        machine.install("debian", family);
    }
    let file = machine.place.path().join("server.toml");
    let args = Args {
        config: Some(file.clone()),
        ..machine.args()
    };
    report(&args).expect("laid out");
    let config = Config::load(&file).expect("valid");
    let hub = Arc::new(Hub::new(Arc::default()));
    hub.set_recalled();
    assemble::decide_by(&config, hub.decisions());
    let tree = Trees::open(&config, None).expect("laid out").served;
    let menus = Arc::new(Menus::new(&config, Served::listens(&config), tree));
    let source = tftp_source(&menus, &hub);
    for (path, begin) in [
        // Where Debian's GRUB looks.
        ("grub/grub.cfg", "# Network boot\n"),
        ("ipxe/autoexec.ipxe", "#!ipxe\n"),
        ("boot.ipxe", "#!ipxe\n"),
    ] {
        let path = TreePath::parse(path).expect("valid");
        let request = FileRequest::new(Protocol::Tftp, ([192, 168, 150, 30], 2070).into(), &path);
        let request = request.with_local(([192, 168, 150, 1], 69).into());
        let Ok(Opened::File(menu)) = source.open(&request).await else {
            panic!("{path}: no menu");
        };
        let menu = menu.read_at(0, 65_536).await.expect("in memory");
        let menu = String::from_utf8_lossy(&menu);
        assert!(menu.starts_with(begin), "{menu}");
        assert!(menu.contains("Boot from the local disk"), "{menu}");
        assert!(menu.contains("Restart"), "{menu}");
    }
}
