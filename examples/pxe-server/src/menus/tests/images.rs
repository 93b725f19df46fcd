//! Menus of images, and menus with images in them.

use pxe_iso::fuzzing::image_of;
use pxe_tree::conformance::Fixture;
use pxe_tree::{DirKeys, Subtree, Tree};

use super::*;
use crate::images::{ImagesSettings, ImagesTree, Keeper, Library, Profiles};

const LIVE_NFS: &str = "boot=live components netboot=nfs nfsroot=192.168.150.1:/images/deb";
const LIVE_HTTP: &str =
    "boot=live components fetch=http://192.168.150.1/images/deb/live/filesystem.squashfs";

/// A live system, as far as it is recognised by its files.
fn live() -> Vec<u8> {
    let info = "Official Debian GNU/Linux Live 12.5.0 gnome 2024-02-10T11:07:25Z";
    let fixture = Fixture::new()
        .file(".disk/info", info)
        .file("live/filesystem.squashfs", "squashfs")
        .file("live/initrd.img", "initrd")
        .file("live/vmlinuz", "kernel");
    image_of(&fixture, "d-live 12.5.0 gn amd64")
}

/// An image with a menu of isolinux.
fn tool(menu: &'static str) -> Vec<u8> {
    let fixture = Fixture::new()
        .file("isolinux/isolinux.cfg", menu)
        .file("boot/kernel", "kernel");
    image_of(&fixture, "TOOL")
}

/// A site with a folder of images.
struct Images {
    site: Site,
    keeper: Keeper,
    dir: tempfile::TempDir,
}

impl Images {
    async fn new(files: &[(&str, Vec<u8>)], more: &str, listeners: &str) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        for (name, bytes) in files {
            std::fs::write(dir.path().join(name), bytes).expect("writable");
        }
        let library = Library::new();
        let settings = ImagesSettings {
            dir: dir.path().to_owned(),
            settle: std::time::Duration::ZERO,
            profiles: Arc::new(Profiles::shipped()),
            keys: DirKeys::Inode,
        };
        let mut keeper = Keeper::new(Arc::clone(&library), settings);
        keeper.look().await;
        let more = match more.contains("[images]") {
            true => more.to_owned(),
            false => format!("[images]\ndir = \"/srv/images\"\n{more}"),
        };
        let mut site = Site::with_listeners(&more, listeners);
        let inner = Arc::new(ImagesTree::new(Arc::clone(&library)));
        let at = TreePath::parse("images").expect("valid");
        let tree = Subtree::new(Arc::clone(&site.tree) as Arc<dyn Tree>, at, inner);
        let tree = Arc::new(tree.expect("a folder"));
        let served = Served::listens(&site.config);
        let menus = Menus::new(&site.config, served, tree).with_images(Some(library));
        let menus = Arc::new(menus);
        site.tftp = tftp_source(&menus, &site.hub);
        let source = |http: &Http| http_source(&menus, &site.hub, http);
        site.http = site.config.http.iter().map(source).collect();
        Self { site, keeper, dir }
    }

    async fn usual(files: &[(&str, Vec<u8>)]) -> Self {
        Self::new(files, "", "[tftp]\n[http]\n").await
    }
}

#[tokio::test]
async fn the_folder_of_images_has_their_menus() {
    let images = Images::usual(&[("deb.iso", live())]).await;
    let site = &images.site;
    site.meet(30, ClientArch::X86_BIOS);
    let menu = site.tftp(30, "/images/menu.cfg").await.expect("made");
    let expected = format!(
        "UI menu.c32\nMENU MARGIN 2\nMENU TITLE Images\nLABEL images/deb\n  \
         MENU LABEL Debian GNU/Linux 12.5.0 live (needs 1.1 GiB of memory)\n  \
         LINUX ::images/deb/live/vmlinuz\n  APPEND {LIVE_HTTP}\n  \
         INITRD ::images/deb/live/initrd.img\n  SYSAPPEND 0x2\nLABEL local\n  \
         MENU LABEL Boot from the local disk\n  LOCALBOOT 0\n  SYSAPPEND 0x0\n"
    );
    assert_eq!(menu, expected);
    // A pxelinux that came by HTTP has HTTP.
    let menu = site.http(30, "/images/menu.cfg").await.expect("made");
    assert!(
        menu.contains("LINUX http://192.168.150.1/images/deb/live/vmlinuz\n"),
        "{menu}"
    );
    let entries = site.tftp(30, "/images/entries.cfg").await.expect("made");
    assert!(entries.starts_with("LABEL images/deb\n"), "{entries}");
    assert!(!entries.contains("local"), "{entries}");
    let ipxe = site.http(30, "/images/menu.ipxe").await.expect("made");
    let kernel = format!(
        "kernel http://192.168.150.1/images/deb/live/vmlinuz initrd=initrd0 {LIVE_HTTP} \
         BOOTIF=01-${{mac:hexhyp}} || goto failed0\n"
    );
    assert!(ipxe.contains(&kernel), "{ipxe}");
    let grub = site.tftp(30, "/images/grub.cfg").await.expect("made");
    let linux = format!(
        "linux (tftp,192.168.150.1)/images/deb/live/vmlinuz {LIVE_HTTP} \
         BOOTIF=01-52-54-00-00-00-1e\n"
    );
    assert!(grub.contains(&linux), "{grub}");
    assert!(is_missing(&site.tftp(30, "/images/other.cfg").await));
    let kernel = site.tftp(30, "/images/deb/live/vmlinuz").await;
    assert_eq!(kernel.expect("there"), "kernel");
    let told = site.facts(30);
    let told: Vec<String> = told.iter().map(|fact| fact.what.to_string()).collect();
    let made = "made /images/grub.cfg from the images";
    assert!(told.iter().any(|what| what.contains(made)), "{told:?}");
}

#[tokio::test]
async fn nfs_comes_first_if_it_is_served() {
    let listeners = "[tftp]\n[http]\n[nfs]\nlisten = \"192.168.150.1:2049\"\nportmap = \"off\"\n";
    let images = Images::new(&[("deb.iso", live())], "", listeners).await;
    for path in ["/images/menu.cfg", "/images/menu.ipxe", "/images/grub.cfg"] {
        let menu = images.site.tftp(30, path).await.expect("made");
        assert!(menu.contains(LIVE_NFS), "{menu}");
        assert!(menu.contains("live (needs 1 GiB of memory)"), "{menu}");
    }
}

/// The tutorial's web server shows `/os` alone.
#[tokio::test]
async fn each_web_server_shows_images_besides_its_own_files() {
    let http = "[tftp]\n[http]\nroot = \"/os\"\n";
    let images = Images::new(&[("deb.iso", live())], "", http).await;
    let site = &images.site;
    let squashfs = site.http(30, "/images/deb/live/filesystem.squashfs").await;
    assert_eq!(squashfs.expect("there"), "squashfs");
    assert_eq!(
        site.http(30, "/debian/linux").await.expect("there"),
        "kernel"
    );
    for menu in [
        site.tftp(30, "/images/menu.ipxe").await,
        site.http(30, "/images/menu.ipxe").await,
    ] {
        let menu = menu.expect("made");
        let kernel = format!(
            "kernel http://192.168.150.1/images/deb/live/vmlinuz initrd=initrd0 {LIVE_HTTP} "
        );
        assert!(menu.contains(&kernel), "{menu}");
    }
}

#[tokio::test]
async fn without_a_web_server_there_is_no_way_by_http() {
    let images = Images::new(&[("deb.iso", live())], "", "[tftp]\n").await;
    let menu = images.site.tftp(30, "/images/menu.ipxe").await;
    let menu = menu.expect("made");
    let why = "# not offered: deb: the image is not served by HTTP; turn [http] on.\n";
    assert!(menu.contains(why), "{menu}");
}

#[tokio::test]
async fn a_machine_whose_tree_has_no_menu_is_offered_images() {
    let images = Images::usual(&[("deb.iso", live())]).await;
    let site = &images.site;
    for (asked, same) in [
        ("/bios/pxelinux.cfg/default", "/images/menu.cfg"),
        ("/grub/grub.cfg", "/images/grub.cfg"),
        ("/boot.ipxe", "/images/menu.ipxe"),
        ("/autoexec.ipxe", "/images/menu.ipxe"),
    ] {
        let menu = site.tftp(30, asked).await.expect("made");
        assert!(menu.contains(LIVE_HTTP), "{menu}");
        assert_eq!(menu, site.tftp(30, same).await.expect("made"));
    }
    for other in [
        "/grub/grub.cfg-01-52-54-00-00-00-1e",
        "/bios/pxelinux.cfg/C0A8961E",
        "/other.ipxe",
    ] {
        assert!(is_missing(&site.tftp(30, other).await), "{other}");
    }
    let own = "UI menu.c32\nLABEL mine\nLINUX mine\n";
    site.tree
        .insert_file("pxelinux.cfg/default", own)
        .expect("free");
    let menu = site.tftp(30, "/bios/pxelinux.cfg/default").await;
    assert_eq!(menu.expect("there"), own);
}

#[tokio::test]
async fn without_images_there_is_no_menu_of_them() {
    let images = Images::usual(&[]).await;
    for path in ["/bios/pxelinux.cfg/default", "/grub/grub.cfg", "/boot.ipxe"] {
        assert!(is_missing(&images.site.tftp(30, path).await), "{path}");
    }
    let menu = images.site.tftp(30, "/images/menu.cfg").await;
    assert!(menu.expect("made").contains("LABEL local\n"));
}

#[tokio::test]
async fn syslinux_efi_is_known_by_its_folder() {
    let freedos = image_of(&Fixture::new().file("x", "x"), "FREEDOS");
    let images = Images::usual(&[("dos.iso", freedos), ("deb.iso", live())]).await;
    let site = &images.site;
    site.tree
        .insert_file("bios/memdisk", "memdisk")
        .expect("free");
    let bios = site.tftp(30, "/bios/pxelinux.cfg/default").await;
    let bios = bios.expect("made");
    assert!(bios.contains("LINUX ::bios/memdisk\n"), "{bios}");
    let efi = site.tftp(30, "/efi64/pxelinux.cfg/default").await;
    let efi = efi.expect("made");
    assert!(
        efi.starts_with("# not offered: dos: memdisk is for the BIOS"),
        "{efi}"
    );
    assert!(efi.contains(LIVE_HTTP), "{efi}");
    // What DHCP tells of the machine is better than that.
    site.meet(31, ClientArch::UEFI_X64);
    let efi = site.tftp(31, "/images/menu.cfg").await.expect("made");
    assert!(!efi.contains("LINUX ::bios/memdisk\n"), "{efi}");
}

#[tokio::test]
async fn a_converted_menu_has_a_submenu_of_images() {
    let images = Images::usual(&[("deb.iso", live())]).await;
    let site = &images.site;
    site.tree
        .insert_file("pxelinux.cfg/default", MENU)
        .expect("free");
    let grub = site.tftp(30, "/grub/grub.cfg").await.expect("made");
    let (mine, added) = grub.split_once("submenu 'Images'").expect("a submenu");
    assert!(mine.contains("menuentry 'Debian'"), "{grub}");
    assert!(added.contains(LIVE_HTTP), "{grub}");
    let ipxe = site.tftp(30, "/boot.ipxe").await.expect("made");
    assert!(
        ipxe.contains(" Images >\n") && ipxe.contains(LIVE_HTTP),
        "{ipxe}"
    );
}

#[tokio::test]
async fn a_menu_that_leads_to_images_gets_no_second_submenu() {
    let images = Images::usual(&[("deb.iso", live())]).await;
    let menus = [
        "UI menu.c32\nLABEL a\nLINUX a\nMENU BEGIN i\nMENU TITLE Systems\n\
         INCLUDE ::images/entries.cfg\nMENU END\n",
        "UI menu.c32\nLABEL a\nLINUX a\nLABEL i\nMENU LABEL Systems\nCONFIG ::images/menu.cfg\n",
    ];
    for (number, menu) in menus.into_iter().enumerate() {
        let site = &images.site;
        let last = 40 + u8::try_from(number).expect("few");
        let name = format!("pxelinux.cfg/C0A896{last:02X}");
        site.tree.insert_file(name, menu).expect("free");
        let ipxe = site.tftp(last, "/boot.ipxe").await.expect("made");
        assert!(ipxe.contains(" Systems >\n"), "{ipxe}");
        assert!(!ipxe.contains(" Images >\n"), "{ipxe}");
        assert_eq!(ipxe.matches(LIVE_HTTP).count(), 1, "{ipxe}");
    }
}

/// The first of a label counts, and an image may be called as anything.
#[tokio::test]
async fn no_image_has_a_label_of_the_menu_that_includes_it() {
    let files = [
        ("local.iso", live()),
        (".back.iso", live()),
        ("local-1.iso", live()),
    ];
    let images = Images::usual(&files).await;
    let site = &images.site;
    for name in ["menu.cfg", "entries.cfg"] {
        let menu = site.tftp(30, &format!("/images/{name}")).await;
        let menu = menu.expect("made");
        let labels = menu.lines().filter_map(|line| line.strip_prefix("LABEL "));
        let labels: Vec<&str> = labels.collect();
        let expected = ["images/local", "images/local-1", "local"];
        let of_images = if name == "menu.cfg" { 3 } else { 2 };
        assert_eq!(labels, expected[..of_images], "{menu}");
    }
}

/// pxelinux has no words for programs of UEFI and for wimboot's files.
#[tokio::test]
async fn a_menu_that_includes_images_has_what_pxelinux_cannot_start() {
    let program = Fixture::new().file("EFI/BOOT/bootx64.efi", "program");
    let program = image_of(&program, "MT86PLUS_64");
    let windows = Fixture::new()
        .file("sources/boot.wim", "wim")
        .file("boot/boot.sdi", "sdi")
        .file("boot/bcd", "bcd");
    let windows = image_of(&windows, "WINPE");
    let files = [
        ("mt.iso", program),
        ("deb.iso", live()),
        ("pe.iso", windows),
    ];
    let images = Images::usual(&files).await;
    let site = &images.site;
    let tree = &site.tree;
    tree.insert_file("wimboot", "wimboot").expect("free");
    let menu = "UI menu.c32\nLABEL a\nLINUX a\nMENU BEGIN i\nMENU TITLE Systems\n\
         INCLUDE ::images/entries.cfg\nMENU END\n";
    tree.insert_file("pxelinux.cfg/default", menu)
        .expect("free");
    site.meet(30, ClientArch::UEFI_X64);
    let grub = site.tftp(30, "/grub/grub.cfg").await.expect("made");
    let program = "chainloader (tftp,192.168.150.1)/images/mt/EFI/BOOT/bootx64.efi\n";
    assert!(grub.contains(program), "{grub}");
    assert!(grub.contains(LIVE_HTTP), "{grub}");
    let ipxe = site.tftp(30, "/boot.ipxe").await.expect("made");
    for line in [
        "/images/mt/EFI/BOOT/bootx64.efi || goto ",
        "initrd --name boot.wim http://192.168.150.1/images/pe/sources/boot.wim boot.wim || goto ",
        LIVE_HTTP,
    ] {
        assert!(ipxe.contains(line), "{line} in {ipxe}");
    }
    assert!(!ipxe.contains(".image."), "{ipxe}");
}

/// An image's links are whoever's who made it, and a web server's root is there for a reason.
#[tokio::test]
async fn no_link_of_an_image_leads_out_of_it() {
    let hostile = Fixture::new()
        .file("x", "mine")
        .link("top", "/secret")
        .link("own", "/x")
        .link("d/up", "../../../secret")
        .link("d/own", "../../../x");
    let hostile = image_of(&hostile, "HOSTILE");
    let files = [("a.iso", hostile), ("b.iso", live())];
    let http = "[tftp]\n[http]\nroot = \"/os\"\n";
    let images = Images::new(&files, "", http).await;
    let site = &images.site;
    site.tree.insert_file("secret", "secret").expect("free");
    site.tree.insert_link("os/a", "../images/a").expect("free");
    for (by_http, by_tftp) in [("/images/a", "/images/a"), ("/a", "/os/a")] {
        for (path, content) in [
            ("x", Some("mine")),
            ("own", Some("mine")),
            ("d/own", Some("mine")),
            ("top", None),
            ("d/up", None),
        ] {
            let found = site.http(30, &format!("{by_http}/{path}")).await.ok();
            assert_eq!(found.as_deref(), content, "{by_http}/{path}");
            let found = site.tftp(30, &format!("{by_tftp}/{path}")).await.ok();
            assert_eq!(found.as_deref(), content, "{by_tftp}/{path}");
        }
    }
}

#[tokio::test]
async fn menus_change_with_the_images() {
    let mut images = Images::usual(&[("deb.iso", live())]).await;
    let path = "/images/menu.cfg";
    let first = images.site.tftp(30, path).await.expect("made");
    assert_eq!(images.site.tftp(30, path).await.expect("made"), first);
    let tool = tool("LABEL one\nMENU LABEL One\nLINUX /boot/kernel\nAPPEND quiet\n");
    std::fs::write(images.dir.path().join("tool.iso"), tool).expect("writable");
    images.keeper.look().await;
    let second = images.site.tftp(30, path).await.expect("made");
    let added = "LABEL images/tool\n  MENU LABEL TOOL [tool]: One\n  LINUX ::images/tool/boot/kernel\n  \
                 APPEND quiet\n";
    assert!(second.contains(added), "{second}");
    std::fs::remove_file(images.dir.path().join("deb.iso")).expect("removed");
    images.keeper.look().await;
    let third = images.site.tftp(30, path).await.expect("made");
    assert!(
        !third.contains("LABEL images/deb\n") && third.contains(added),
        "{third}"
    );
}

#[tokio::test]
async fn what_is_turned_off_is_not_made() {
    let off = "[images]\ndir = \"/srv/images\"\nmenu = false\n";
    let images = Images::new(&[("deb.iso", live())], off, "[tftp]\n[http]\n").await;
    let site = &images.site;
    assert!(is_missing(&site.tftp(30, "/boot.ipxe").await));
    let menu = site.tftp(30, "/images/menu.ipxe").await.expect("made");
    assert!(menu.contains(LIVE_HTTP), "{menu}");
    site.tree
        .insert_file("pxelinux.cfg/default", MENU)
        .expect("free");
    let menu = site.tftp(30, "/boot.ipxe").await.expect("made");
    assert!(!menu.contains("Images"), "{menu}");
    let off = "[menu]\nconvert = false\n";
    let images = Images::new(&[("deb.iso", live())], off, "[tftp]\n[http]\n").await;
    assert!(is_missing(&images.site.tftp(30, "/boot.ipxe").await));
    let menu = images.site.tftp(30, "/images/menu.ipxe").await;
    assert!(menu.is_ok());
}
