//! `pxe-server image`: what it prints, where, and its exit status.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};

use pxe_iso::fuzzing::image_of;
use pxe_tree::conformance::Fixture;
use serde_json::Value;
use tempfile::TempDir;

/// A directory with a folder of images in it.
struct Site(TempDir);

impl Site {
    fn new() -> Self {
        let site = Self(tempfile::tempdir().expect("temporary directory"));
        for name in ["images", "tree"] {
            fs::create_dir(site.path(name)).expect("writable");
        }
        let live = Fixture::new()
            .file(
                ".disk/info",
                "Official Debian GNU/Linux Live 12.5.0 gnome 2024-02-10T11:07:25Z",
            )
            .file("live/filesystem.squashfs", vec![0; 3000])
            .file("live/vmlinuz-6.1.0-18-amd64", "kernel")
            .file("live/initrd.img-6.1.0-18-amd64", "initrd");
        site.put("debian live.iso", image_of(&live, "d-live 12.5.0 gn amd64"));
        site
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn put(&self, name: &str, content: impl AsRef<[u8]>) {
        fs::write(self.path("images").join(name), content).expect("writable");
    }

    fn image(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_pxe-server"));
        command
            .arg("image")
            .args(arguments)
            .current_dir(self.0.path());
        command.output().expect("it runs")
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("UTF-8")
}

/// What it printed, if it ended so.
fn printed(output: &Output, code: i32) -> String {
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(code), "{out}{err}");
    out
}

#[test]
fn a_list_has_a_line_for_each() {
    let site = Site::new();
    site.put("text.iso", "no image");
    let listed = printed(&site.image(&["list", "images"]), 0);
    let lines: Vec<&str> = listed.lines().collect();
    assert_eq!(lines.len(), 2, "{listed}");
    assert!(lines[0].starts_with("debian_live "), "{listed}");
    assert!(
        lines[0].ends_with("Debian GNU/Linux 12.5.0 live"),
        "{listed}"
    );
    assert!(
        lines[1].contains("not served: it cannot be read as an image"),
        "{listed}"
    );
    let listed = printed(&site.image(&["list", "images", "--json"]), 0);
    let listed: Value = serde_json::from_str(&listed).expect("JSON");
    assert_eq!(listed[0]["profile"], "debian-live");
    assert_eq!(listed[0]["file"], "debian live.iso");
    assert_eq!(listed[1]["state"], "damaged");
}

#[test]
fn an_image_is_shown_with_its_reasons_and_command_lines() {
    let site = Site::new();
    let shown = printed(&site.image(&["show", "images/debian live.iso"]), 0);
    for part in [
        "profile     debian-live",
        "because     live/filesystem.squashfs is there",
        "kernel    debian_live/live/vmlinuz-6.1.0-18-amd64",
        "nfs       boot=live components netboot=nfs nfsroot=SERVER:/images/debian_live",
        "http      boot=live components fetch=http://SERVER/images/debian_live/live/filesystem.squashfs",
        "memory      1 GiB by NFS",
        "source read",
    ] {
        assert!(shown.contains(part), "{part} is not in:\n{shown}");
    }
    let config = "[tree]\nroot = \"tree\"\n[http]\nlisten = \"192.0.2.1:8080\"\n\
        [nfs]\nlisten = \"192.0.2.1:2049\"\n[images]\ndir = \"images\"\npath = \"/os\"\n";
    fs::write(site.path("server.toml"), config).expect("writable");
    let shown = ["show", "--config", "server.toml", "debian_live", "--json"];
    let shown = printed(&site.image(&shown), 0);
    let shown: Value = serde_json::from_str(&shown).expect("JSON");
    let starts = shown["entries"][0]["start"].as_array().expect("a list");
    let line = |what: &str| {
        let found = starts.iter().find(|start| start["what"] == what);
        found.map(|start| start["value"].as_str().expect("a text").to_owned())
    };
    assert_eq!(
        line("http").as_deref(),
        Some(
            "boot=live components \
             fetch=http://192.0.2.1:8080/os/debian_live/live/filesystem.squashfs"
        )
    );
    assert_eq!(
        line("nfs").as_deref(),
        Some("boot=live components netboot=nfs nfsroot=192.0.2.1:/os/debian_live")
    );
    let missing = site.image(&["show", "images/other.iso"]);
    printed(&missing, 2);
    assert!(text(&missing.stderr).contains("has no image other.iso"));
}

#[test]
fn a_check_fails_for_what_cannot_be_booted() {
    let site = Site::new();
    let checked = printed(&site.image(&["check", "images"]), 0);
    assert_eq!(checked, "images: 1 of 1 images served\n");
    // Half of a copy, what nobody knows, and what needs a file that the tree has not.
    let known = fs::read(site.path("images/debian live.iso")).expect("there");
    site.put("half.iso", &known[..known.len() - 2048]);
    let unknown = Fixture::new().file("x", "x");
    // This one starts from a medium that it can see removed.
    let tails = Fixture::new().file("live/Tails.module", "x");
    site.put("tails.iso", image_of(&tails, "TAILS"));
    // Of this one there is another build for another processor, which nobody misses.
    let memtest = Fixture::new().file("EFI/BOOT/bootx64.efi", "x");
    site.put("memtest.iso", image_of(&memtest, "MT86PLUS_64"));
    site.put("unknown.iso", image_of(&unknown, "UNKNOWN"));
    site.put("dos.iso", image_of(&unknown, "FD13LIVE"));
    let config = "[tree]\nroot = \"tree\"\n[http]\n[images]\ndir = \"images\"\n";
    fs::write(site.path("server.toml"), config).expect("writable");
    let output = site.image(&["check", "--config", "server.toml"]);
    printed(&output, 1);
    let told = text(&output.stderr);
    for part in [
        "error: half: not served: it is not complete, its volume has ",
        "error: unknown: not recognised",
        "error: dos: memdisk is not in the tree",
        "error: tails: cannot be booted: Tails looks for itself",
    ] {
        assert!(told.contains(part), "{part} is not in:\n{told}");
    }
    assert_eq!(told.lines().count(), 4, "{told}");
    fs::write(site.path("tree/memdisk"), "memdisk").expect("writable");
    let output = site.image(&["check", "--config", "server.toml", "--json"]);
    let findings: Value = serde_json::from_str(&printed(&output, 1)).expect("JSON");
    assert_eq!(findings.as_array().map(Vec::len), Some(3), "{findings}");
}

/// An image that no profile knows, and whose isolinux and GRUB menus have different entries.
fn own_menu() -> Fixture {
    Fixture::new()
        .file(
            "isolinux/isolinux.cfg",
            "LABEL one\nMENU LABEL One\nKERNEL /boot/k\nINITRD /boot/i,/boot/j\nAPPEND quiet a=b;c\n\
             MENU BEGIN\nMENU TITLE More\nLABEL two\nKERNEL /boot/k\nAPPEND archisolabel=X\nMENU END\n\
             LABEL hdt\nCOM32 hdt.c32\nLABEL gone\nKERNEL /boot/gone\nLABEL disk\nLOCALBOOT 0\n",
        )
        .file(
            "boot/grub/grub.cfg",
            "menuentry 'One' { linux /boot/k quiet a=b\\;c\n initrd /boot/i /boot/j }\n\
             menuentry 'Shell' { chainloader /EFI/shell.efi }\n\
             menuentry 'Gone' { linux /boot/gone }\n",
        )
        .file("boot/k", "kernel")
        .file("boot/i", "initrd")
        .file("boot/j", "initrd")
        .file("EFI/shell.efi", "program")
}

#[test]
fn an_own_menu_is_shown_with_its_command_lines() {
    let site = Site::new();
    site.put("own menu.iso", image_of(&own_menu(), "OWN"));
    let shown = printed(&site.image(&["show", "images/own menu.iso"]), 0);
    let expected = "  entry       the usual one, BIOS and UEFI
    own menu  own_menu/isolinux/isolinux.cfg
    own menu  own_menu/boot/grub/grub.cfg
  own entry   One, BIOS and UEFI
    kernel    own_menu/boot/k
    initrd    own_menu/boot/i
    initrd    own_menu/boot/j
    arguments quiet a=b;c
  own entry   More: two (looks for a CD), BIOS
    kernel    own_menu/boot/k
    arguments archisolabel=X
  own entry   Shell, UEFI
    program   own_menu/EFI/shell.efi
  left out    BIOS: two: archisolabel looks for a CD
  left out    BIOS: hdt: it is no kernel
  left out    BIOS: gone: /boot/gone is not in the image
  left out    UEFI: Gone: /boot/gone is not in the image
";
    assert!(shown.contains(expected), "{shown}");
    let config = "[tree]\nroot = \"tree\"\n[tftp]\n[images]\ndir = \"images\"\npath = \"/os\"\n";
    fs::write(site.path("server.toml"), config).expect("writable");
    let shown = ["show", "--config", "server.toml", "own_menu", "--json"];
    let shown = printed(&site.image(&shown), 0);
    let shown: Value = serde_json::from_str(&shown).expect("JSON");
    let own = &shown["own_menu"];
    let one = serde_json::json!({
        "title": "One",
        "firmware": ["bios", "uefi"],
        "start": [
            { "what": "kernel", "value": "own_menu/boot/k" },
            { "what": "initrd", "value": "own_menu/boot/i" },
            { "what": "initrd", "value": "own_menu/boot/j" },
            { "what": "arguments", "value": "quiet a=b;c" },
        ],
    });
    assert_eq!(own["entries"][0], one);
    assert_eq!(own["entries"].as_array().map(Vec::len), Some(3));
    let left_out = serde_json::json!({ "firmware": ["bios"], "text": "hdt: it is no kernel" });
    assert_eq!(own["left_out"][1], left_out);
}

#[test]
fn entries_that_are_left_out_of_an_own_menu_fail_no_check() {
    let site = Site::new();
    site.put("own.iso", image_of(&own_menu(), "OWN"));
    let output = site.image(&["check", "images"]);
    printed(&output, 0);
    let expected = "\
warning: own: its own menu, BIOS: two: archisolabel looks for a CD
warning: own: its own menu, BIOS: hdt: it is no kernel
warning: own: its own menu, BIOS: gone: /boot/gone is not in the image
warning: own: its own menu, UEFI: Gone: /boot/gone is not in the image
";
    assert_eq!(text(&output.stderr), expected);
    let output = site.image(&["check", "images", "--json"]);
    let findings: Value = serde_json::from_str(&printed(&output, 0)).expect("JSON");
    assert_eq!(findings.as_array().map(Vec::len), Some(4), "{findings}");
    assert_eq!(findings[0]["severity"], "warning");
    // Programs of UEFI alone are nothing for a BIOS.
    let programs = Fixture::new()
        .file(
            "boot/grub/grub.cfg",
            "menuentry 'X' { chainloader /x.efi }\n",
        )
        .file("x.efi", "program");
    fs::remove_file(site.path("images/own.iso")).expect("there");
    site.put("programs.iso", image_of(&programs, "X"));
    let output = site.image(&["check", "images"]);
    printed(&output, 0);
    let expected = "warning: programs: cannot be booted by machines with BIOS: \
        boot/grub/grub.cfg: X: it starts nothing\n";
    assert_eq!(text(&output.stderr), expected);
}

#[test]
fn a_check_fails_for_an_own_menu_that_starts_nothing() {
    for (menu, told) in [
        (
            "LABEL x\nKERNEL gone\n",
            "no entry of its own menu can be started from the network; a profile of your own can \
             say how it boots, if it can (isolinux.cfg: x: /gone is not in the image)",
        ),
        (
            "LABEL x\nCOM32 chain.c32\nLABEL y\nLOCALBOOT 0\n",
            "can say how it boots, if it can (isolinux.cfg: x: it is no kernel)",
        ),
        (
            "LABEL y\nLOCALBOOT 0\n",
            "(isolinux.cfg has no entry that can be started from the network)",
        ),
        (
            "LABEL x\nKERNEL k\nAPPEND root=live:CDLABEL=X\n",
            "each entry of its own menu looks for a CD, which a machine that boots from the \
             network has not; a profile of your own can say how it boots, if it can",
        ),
    ] {
        let site = Site::new();
        let own = Fixture::new()
            .file("isolinux.cfg", menu)
            .file("k", "kernel");
        site.put("own.iso", image_of(&own, "OWN"));
        let output = site.image(&["check", "images", "--json"]);
        let findings: Value = serde_json::from_str(&printed(&output, 1)).expect("JSON");
        let findings = findings.as_array().expect("a list");
        let mut errors = findings.iter().filter(|found| found["severity"] == "error");
        let error = errors.next().expect(menu)["text"].as_str().expect("a text");
        assert!(error.starts_with("cannot be booted: "), "{error}");
        assert!(error.contains(told), "{error}");
        assert!(errors.next().is_none(), "{findings:?}");
        // The same for people.
        let output = site.image(&["check", "images"]);
        printed(&output, 1);
        let said = text(&output.stderr);
        assert!(said.starts_with("error: own: cannot be booted: "), "{said}");
    }
}

#[test]
fn what_no_protocol_serves_cannot_be_booted() {
    let site = Site::new();
    let config = "[tree]\nroot = \"tree\"\n[tftp]\n[images]\ndir = \"images\"\n";
    fs::write(site.path("server.toml"), config).expect("writable");
    let output = site.image(&["check", "--config", "server.toml"]);
    printed(&output, 1);
    let told = text(&output.stderr);
    assert!(
        told.starts_with("error: debian_live: cannot be booted: "),
        "{told}"
    );
    let show = ["show", "--config", "server.toml", "debian_live"];
    let shown = printed(&site.image(&show), 0);
    let line = "    http      none: the image is not served by HTTP; turn [http] on\n";
    assert!(shown.contains(line), "{shown}");
}

#[test]
fn what_cannot_be_looked_at_is_said() {
    let site = Site::new();
    fs::write(
        site.path("server.toml"),
        "[tree]\nroot = \"tree\"\n[tftp]\n",
    )
    .expect("writable");
    let output = site.image(&["list", "--config", "server.toml"]);
    printed(&output, 2);
    assert!(text(&output.stderr).contains("has no [images]"));
    for action in ["check", "list"] {
        let output = site.image(&[action, "nowhere"]);
        printed(&output, 2);
        let told = "pxe-server: nowhere: there is no such folder\n";
        assert_eq!(text(&output.stderr), told);
        let output = site.image(&[action, "server.toml"]);
        printed(&output, 2);
        assert!(text(&output.stderr).contains("server.toml: it is no folder"));
    }
    let output = site.image(&["show", "nowhere/x.iso"]);
    printed(&output, 2);
    assert!(text(&output.stderr).contains("nowhere: there is no such folder"));
    printed(&site.image(&["list"]), 2);
}

#[test]
fn explain_and_check_know_images() {
    let site = Site::new();
    site.put("text.iso", "no image");
    let config = "[tree]\nroot = \"tree\"\n[dhcp]\nlisten = \"127.0.0.1\"\n[dhcp.subnet]\n\
        network = \"10.0.0.0/24\"\npools = \"10.0.0.5\"\n[boot]\nfiles = { default = \"x\" }\n\
        [tftp]\n[http]\n[nfs]\n[images]\ndir = \"images\"\n";
    fs::write(site.path("server.toml"), config).expect("writable");
    let run = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_pxe-server"));
        command.args(arguments).current_dir(site.0.path());
        command.output().expect("it runs")
    };
    let path = "/images/debian_live/live/filesystem.squashfs";
    let mac = "52:54:00:15:00:01";
    let said = run(&["explain", "server.toml", "--mac", mac, "--path", path]);
    let said = text(&said.stdout);
    for by in [
        format!("tftp        {path}, 3000 bytes"),
        format!("http 0.0.0.0:80 {path}, 3000 bytes"),
        "nfs /images /debian_live/live/filesystem.squashfs, 3000 bytes".to_owned(),
    ] {
        assert!(said.contains(&by), "{by} is not in:\n{said}");
    }
    fs::create_dir(site.path("tree/images")).expect("writable");
    let told = text(&run(&["check", "server.toml"]).stderr);
    for part in [
        "tree/images is hidden by the images",
        "images: text: not served",
    ] {
        assert!(told.contains(part), "{part} is not in:\n{told}");
    }
}

/// The server makes some of what an administrator's menu leads to, and has the rest in images.
#[test]
fn menus_that_lead_to_images_have_nothing_wrong() {
    let site = Site::new();
    let module = "\x7fELF\x01\x01\x01\0\0\0\0\0\0\0\0\0\x03\0\x03\0";
    let tree = |name: &str, content: &str| {
        let path = site.path("tree/bios").join(name);
        fs::create_dir_all(path.parent().expect("one")).expect("writable");
        fs::write(path, content).expect("writable");
    };
    tree("lpxelinux.0", "\0PXELINUX 6.04 lwIP \0");
    for name in ["menu.c32", "libutil.c32", "ldlinux.c32"] {
        tree(name, module);
    }
    let menu = "UI menu.c32\nINCLUDE ::images/entries.cfg\nLABEL all\n  CONFIG ::images/menu.cfg\n\
        LABEL own\n  LINUX ::images/debian_live/live/vmlinuz-6.1.0-18-amd64\n  \
        INITRD http://192.0.2.1/images/debian_live/live/initrd.img-6.1.0-18-amd64\n";
    tree("pxelinux.cfg/default", menu);
    let config = "[tree]\nroot = \"tree\"\n[tftp]\n[http]\nlisten = \"192.0.2.1:80\"\n\
        root = \"/bios\"\n[images]\ndir = \"images\"\n";
    fs::write(site.path("server.toml"), config).expect("writable");
    let check = || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_pxe-server"));
        let arguments = ["menu", "check", "--strict", "--config", "server.toml"];
        command.args(arguments).current_dir(site.0.path());
        command.output().expect("it runs")
    };
    let checked = printed(&check(), 0);
    assert!(checked.contains("checked 1 menu for 1 loader"), "{checked}");
    tree(
        "pxelinux.cfg/default",
        &menu.replace("live/vmlinuz", "live/other"),
    );
    let checked = printed(&check(), 1);
    assert!(checked.contains("1 error, 0 warnings"), "{checked}");
}

#[test]
fn check_tells_a_pxelinux_that_cannot_show_the_menu_of_images() {
    let site = Site::new();
    fs::create_dir_all(site.path("tree/bios")).expect("writable");
    let config = "[tree]\nroot = \"tree\"\n[tftp]\nlisten = [\"127.0.0.1:69\"]\n\
        [http]\nlisten = [\"127.0.0.1:80\"]\n[images]\ndir = \"images\"\n";
    fs::write(site.path("server.toml"), config).expect("writable");
    let check = || site.image(&["check", "--config", "server.toml"]);
    printed(&check(), 0);
    fs::write(site.path("tree/bios/lpxelinux.0"), "loader").expect("writable");
    let checked = check();
    printed(&checked, 1);
    let said = text(&checked.stderr);
    assert!(
        said.contains("tree/bios/menu.c32 is not there, by which bios/lpxelinux.0 shows"),
        "{said}"
    );
    // The menu of the tree's own is drawn as it likes.
    fs::create_dir(site.path("tree/bios/pxelinux.cfg")).expect("writable");
    fs::write(site.path("tree/bios/pxelinux.cfg/default"), "DEFAULT x").expect("writable");
    printed(&check(), 0);
    fs::remove_dir_all(site.path("tree/bios/pxelinux.cfg")).expect("writable");
    fs::write(site.path("tree/bios/menu.c32"), "menu").expect("writable");
    printed(&check(), 0);
}
