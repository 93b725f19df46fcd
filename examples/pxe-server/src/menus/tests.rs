//! What clients of a tree get whose menu is pxelinux's.

mod images;
mod templates;

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::sync::Arc;

use pxe_dhcp::{BootRequest, ClientArch};
use pxe_tree::{Blob, ErrorKind, FileRequest, MemTree, Opened, Protocol, Result, Source, TreePath};

use super::converter::MAKING_MAX;
use super::{Menus, Served};
use crate::assemble;
use crate::config::{Config, Http};
use crate::fact::Fact;
use crate::hub::Hub;
use crate::machines::MachineId;
use crate::source::{http_source, tftp_source};

const SERVER: Ipv4Addr = Ipv4Addr::new(192, 168, 150, 1);
const MENU: &str = "DEFAULT menu.c32\nMENU TITLE Boot\nTIMEOUT 100\n\
    LABEL debian\n MENU LABEL Debian\n LINUX os/debian/linux\n INITRD os/debian/initrd.gz\n APPEND quiet\n\
    LABEL wipe\n MENU LABEL Wipe\n MENU PASSWD $1$salt$oFKJcXEnJSGJlGHDCZ5kZ.\n LINUX os/wipe\n";

/// A tree as `init` lays it out, and the sources that serve it.
struct Site {
    tree: Arc<MemTree>,
    hub: Arc<Hub>,
    config: Config,
    tftp: Box<dyn Source>,
    http: Vec<Box<dyn Source>>,
}

impl Site {
    /// With this in the configuration, besides the listeners.
    fn new(more: &str) -> Self {
        Self::with_http(more, "[http]\n")
    }

    fn with_http(more: &str, http: &str) -> Self {
        Self::with_listeners(more, &format!("[tftp]\n{http}"))
    }

    fn with_listeners(more: &str, listeners: &str) -> Self {
        let text = format!(
            "[tree]\nroot = \"/srv/tftp\"\n{listeners}[dhcp]\nlisten = \"192.168.150.1\"\n\
             [[dhcp.subnet]]\nnetwork = \"192.168.150.0/24\"\npools = \"192.168.150.30-192.168.150.50\"\n\
             routers = \"192.168.150.254\"\n{more}"
        );
        let config = Config::parse(&text, Path::new("test.toml")).expect("valid");
        let tree = Arc::new(MemTree::new());
        for (path, target) in [
            ("bios/pxelinux.cfg", "../pxelinux.cfg"),
            ("efi64/pxelinux.cfg", "../pxelinux.cfg"),
            ("bios/os", "../os"),
            ("efi64/os", "../os"),
        ] {
            tree.insert_link(path, target).expect("free");
        }
        tree.insert_file("os/debian/linux", "kernel").expect("free");
        let hub = Arc::new(Hub::new(Arc::default()));
        hub.set_recalled();
        assemble::decide_by(&config, hub.decisions());
        let served = Served::listens(&config);
        let menus = Arc::new(Menus::new(&config, served, Arc::clone(&tree) as _));
        let source = |http: &Http| http_source(&menus, &hub, http);
        Self {
            tftp: tftp_source(&menus, &hub),
            http: config.http.iter().map(source).collect(),
            tree,
            hub,
            config,
        }
    }

    fn with_menu(self, name: &str, content: &'static str) -> Self {
        let path = format!("pxelinux.cfg/{name}");
        self.tree.insert_file(path, content).expect("free");
        self
    }

    /// The machine with this last octet of both its addresses has said this over DHCP.
    fn meet(&self, last: u8, arch: ClientArch) {
        let ip = IpAddr::V4(address(last));
        let mac = [0x52, 0x54, 0, 0, 0, last].into();
        self.hub.machines().addresses().lease(ip, mac);
        let architectures = [arch];
        let request = BootRequest::new(SERVER).with_mac(mac);
        self.hub
            .decisions()
            .decide(&request.with_architectures(&architectures));
    }

    async fn open(&self, protocol: Protocol, last: u8, path: &str) -> Result<Arc<dyn Blob>> {
        let path = TreePath::parse(path)?;
        let remote = (address(last), 2070).into();
        let request = FileRequest::new(protocol, remote, &path);
        let (source, port) = match protocol {
            Protocol::Tftp => (&self.tftp, 69),
            _ => (&self.http[0], self.config.http[0].listen[0].port()),
        };
        match source
            .open(&request.with_local((SERVER, port).into()))
            .await?
        {
            Opened::File(blob) => Ok(blob),
            _ => Err(ErrorKind::IsADirectory.into()),
        }
    }

    async fn tftp(&self, last: u8, path: &str) -> Result<String> {
        text(&*self.open(Protocol::Tftp, last, path).await?).await
    }

    async fn http(&self, last: u8, path: &str) -> Result<String> {
        text(&*self.open(Protocol::Http, last, path).await?).await
    }

    /// What the machine at this address is known to have done.
    fn facts(&self, last: u8) -> Vec<Fact> {
        let machines = self.hub.machines();
        let ip = IpAddr::V4(address(last));
        let id = machines
            .mac_of(ip)
            .map_or(MachineId::Ip(ip), MachineId::Mac);
        machines
            .get(id)
            .map_or_else(Vec::new, |machine| machine.facts.into())
    }
}

fn address(last: u8) -> Ipv4Addr {
    Ipv4Addr::new(192, 168, 150, last)
}

async fn text(blob: &dyn Blob) -> Result<String> {
    let bytes = blob.read_at(0, 1 << 20).await?;
    assert_eq!(bytes.len() as u64, blob.attributes().len);
    Ok(String::from_utf8(bytes.to_vec()).expect("UTF-8"))
}

fn is_missing(opened: &Result<String>) -> bool {
    matches!(opened, Err(error) if error.kind() == ErrorKind::NotFound)
}

#[tokio::test]
async fn grub_and_ipxe_get_pxelinuxs_menu() {
    let site = Site::new("").with_menu("default", MENU);
    let grub = site.tftp(30, "/grub/grub.cfg").await.expect("made");
    assert!(
        grub.contains("(tftp,192.168.150.1)/efi64/os/debian/linux"),
        "{grub}"
    );
    assert!(
        grub.contains("(tftp,192.168.150.1)/efi64/os/debian/initrd.gz"),
        "{grub}"
    );
    let ipxe = site.tftp(30, "/boot.ipxe").await.expect("made");
    assert!(ipxe.starts_with("#!ipxe"), "{ipxe}");
    assert!(
        ipxe.contains("http://192.168.150.1/bios/os/debian/linux"),
        "{ipxe}"
    );
    // A GRUB that came by HTTP has HTTP.
    let grub = site.http(30, "/grub/grub.cfg").await.expect("made");
    assert!(
        grub.contains("(http,192.168.150.1)/efi64/os/debian/linux"),
        "{grub}"
    );
    assert_eq!(site.http(30, "/boot.ipxe").await.expect("made"), ipxe);
    assert!(is_missing(&site.tftp(30, "/grub/x.cfg").await));
}

/// The tutorial's web server shows `/os` alone.
#[tokio::test]
async fn files_are_fetched_by_http_if_it_serves_their_folder() {
    let site = Site::with_http("", "[http]\nroot = \"/os\"\n");
    let site = site.with_menu(
        "default",
        "LABEL a\nLINUX os/debian/linux\nINITRD os/initrd.gz\nLABEL b\nLINUX /os/debian/x\n\
         LABEL c\nLINUX memtest\n",
    );
    for script in [
        site.http(30, "/boot.ipxe").await,
        site.tftp(30, "/boot.ipxe").await,
    ] {
        let script = script.expect("made");
        assert!(
            script.contains(" http://192.168.150.1/debian/linux "),
            "{script}"
        );
        assert!(
            script.contains(" http://192.168.150.1/initrd.gz "),
            "{script}"
        );
        assert!(
            script.contains(" http://192.168.150.1/debian/x "),
            "{script}"
        );
        assert!(
            script.contains(" tftp://192.168.150.1/bios/memtest "),
            "{script}"
        );
    }
    let grub = site.http(30, "/grub/grub.cfg").await.expect("made");
    assert!(grub.contains("(http,192.168.150.1)/debian/linux"), "{grub}");
    assert!(grub.contains("(http,192.168.150.1)/initrd.gz"), "{grub}");
    assert!(
        grub.contains("(tftp,192.168.150.1)/efi64/memtest"),
        "{grub}"
    );
}

#[tokio::test]
async fn what_no_listener_serves_is_told() {
    let site = Site::with_listeners("", "[http]\nroot = \"/os\"\n");
    let menu = "LABEL a\nLINUX os/debian/linux\nLABEL b\nLINUX memtest\n";
    let site = site.with_menu("default", menu);
    site.http(30, "/boot.ipxe").await.expect("made");
    let told = site.facts(30).first().expect("told").what.to_string();
    assert!(
        told.contains("no listener serves what is in /bios"),
        "{told}"
    );
    assert!(!told.contains("debian"), "{told}");
}

#[tokio::test]
async fn an_entry_whose_password_cannot_be_asked_for_is_left_out_and_told_of() {
    let site = Site::new("").with_menu("default", MENU);
    for path in ["/grub/grub.cfg", "/boot.ipxe"] {
        let menu = site.tftp(30, path).await.expect("made");
        assert!(!menu.contains("os/wipe"), "{menu}");
        assert!(!menu.contains("$1$salt"), "{menu}");
    }
    let facts = site.facts(30);
    let made = facts.iter().find(|fact| fact.what.name() == "menu_made");
    let made = made.expect("told").what.to_string();
    assert!(
        made.starts_with("made /grub/grub.cfg from /pxelinux.cfg/default, without: "),
        "{made}"
    );
    assert!(made.contains("wipe"), "{made}");
    let counters = site.hub.counters();
    let incomplete = (crate::fact::Protocol::Tftp, "menu_incomplete");
    assert_eq!(counters.get(&incomplete), Some(&2), "{counters:?}");
}

#[tokio::test]
async fn a_file_of_the_tree_comes_first() {
    let site = Site::new("")
        .with_menu("default", MENU)
        .with_menu("01-52-54-00-00-00-1e", "LABEL a\nLINUX a\n");
    site.tree
        .insert_file("grub/grub.cfg-C0A8", "own")
        .expect("free");
    assert_eq!(
        site.tftp(30, "grub/grub.cfg-C0A8").await.expect("there"),
        "own"
    );
    // What GRUB asks for before it would hide it.
    let before = "grub/grub.cfg-01-52-54-00-00-00-1e";
    assert!(is_missing(&site.tftp(30, before).await));
    site.tree.remove("grub/grub.cfg-C0A8").expect("there");
    assert!(site.tftp(30, before).await.is_ok());
    // Red Hat's GRUB looks beside itself first, and then there.
    site.tree.insert_file("grub/grub.cfg", "own").expect("free");
    assert!(is_missing(&site.tftp(30, "EFI/redhat/grub.cfg").await));
    assert_eq!(site.tftp(30, "grub/grub.cfg").await.expect("there"), "own");
    site.tree.insert_file("autoexec.ipxe", "own").expect("free");
    assert!(is_missing(&site.tftp(30, "ipxe/autoexec.ipxe").await));
}

/// GRUB asks for a dozen names in order: each menu is at the one that is for the same machines.
#[tokio::test]
async fn each_name_of_grub_is_answered_with_the_menu_that_pxelinux_would_have() {
    let mac = "01-52-54-00-00-00-1e";
    let site = Site::new("");
    site.meet(30, ClientArch::UEFI_X64);
    let answered = async |site: &Site| {
        let client = pxe_menu::Client::new().with_mac([0x52, 0x54, 0, 0, 0, 0x1e]);
        let client = client.with_ip(address(30));
        for path in pxe_menu::grub_search_paths(&client, "/grub", true) {
            if let Ok(menu) = site.tftp(30, &path).await {
                let label = menu.split("vmlinuz-").nth(1).expect("a kernel");
                let label = label.split_whitespace().next().unwrap_or_default();
                return Some((path["/grub/".len()..].to_owned(), label.to_owned()));
            }
        }
        None
    };
    assert_eq!(answered(&site).await, None, "there is no menu");
    let menus: [(&str, &str, &'static str); 4] = [
        ("default", "grub.cfg", "LABEL d\nLINUX vmlinuz-default\n"),
        ("C0A8", "grub.cfg-C0A8", "LABEL c\nLINUX vmlinuz-C0A8\n"),
        (
            "C0A8961E",
            "grub.cfg-C0A8961E",
            "LABEL c\nLINUX vmlinuz-C0A8961E\n",
        ),
        (
            mac,
            "grub.cfg-01-52-54-00-00-00-1e",
            "LABEL m\nLINUX vmlinuz-mac\n",
        ),
    ];
    for (name, path, menu) in menus {
        site.tree
            .insert_file(format!("pxelinux.cfg/{name}"), menu)
            .expect("free");
        let label = menu.trim_end().rsplit('-').next().unwrap_or_default();
        let expected = Some((path.to_owned(), label.to_owned()));
        assert_eq!(answered(&site).await, expected, "{name}");
    }
    // By HTTP it asks for the last name alone.
    let by_http = site.http(30, "/grub/grub.cfg").await.expect("made");
    assert!(by_http.contains("vmlinuz-mac"), "{by_http}");
    // Another machine has not that menu, whether it is known or tells its name.
    let other = site.tftp(31, "/grub/grub.cfg").await.expect("made");
    assert!(other.contains("vmlinuz-C0A8\n"), "{other}");
    assert!(is_missing(
        &site.tftp(31, "/grub/grub.cfg-01-52-54-00-00-00-1f").await
    ));
}

/// pxelinux takes an empty file for a missing one (`__pxe_searchdir` in core/fs/pxe/pxe.c).
#[tokio::test]
async fn an_empty_menu_hides_none_that_comes_after_it() {
    let site = Site::new("")
        .with_menu("default", MENU)
        .with_menu("01-52-54-00-00-00-1e", "");
    site.meet(30, ClientArch::UEFI_X64);
    let menu = site.http(30, "/grub/grub.cfg").await.expect("made");
    assert!(menu.contains("os/debian/linux"), "{menu}");
}

#[tokio::test]
async fn option_209_names_the_menu_of_all() {
    let boot =
        "[boot]\nconfigfile = \"pxelinux.cfg/all\"\nfiles = { default = \"bios/lpxelinux.0\" }\n";
    let site = Site::new(boot)
        .with_menu("all", "LABEL a\nLINUX vmlinuz-all\n")
        .with_menu("01-52-54-00-00-00-1e", "LABEL m\nLINUX vmlinuz-mac\n");
    let name = "/grub/grub.cfg-01-52-54-00-00-00-1e";
    assert!(
        is_missing(&site.tftp(30, name).await),
        "pxelinux does not get it either"
    );
    let menu = site.tftp(30, "/grub/grub.cfg").await.expect("made");
    assert!(menu.contains("vmlinuz-all"), "{menu}");
}

#[tokio::test]
async fn ipxe_runs_no_menu_before_the_script_that_is_configured_for_it() {
    let files = "files = { default = \"bios/lpxelinux.0\", uefi-x64 = \"ipxe/snponly.efi\" }\n";
    let autoexec = async |boot: &str| {
        let site = Site::new(&format!("[boot]\n{files}{boot}")).with_menu("default", MENU);
        site.meet(30, ClientArch::UEFI_X64);
        let known = site.tftp(30, "/ipxe/autoexec.ipxe").await.is_ok();
        let stranger = site.tftp(31, "/ipxe/autoexec.ipxe").await.is_ok();
        (known, stranger)
    };
    assert_eq!(autoexec("").await, (true, true));
    let own = "ipxe = \"http://{server}/own.ipxe\"\n";
    assert_eq!(autoexec(own).await, (false, false));
    let rule = "[[boot.rule]]\nwhen = { stage = \"ipxe\", mac = \"52:54:00:00:00:1e\" }\nboot = \"own.ipxe\"\n";
    assert_eq!(autoexec(rule).await, (false, true));
    assert_eq!(
        autoexec("ipxe = \"http://{server}/boot.ipxe\"\n").await,
        (true, true)
    );
}

#[tokio::test]
async fn a_script_that_the_policy_names_and_the_tree_has_not_is_made() {
    let boot = "[boot]\nfiles = { default = \"ipxe/undionly.kpxe\" }\nipxe = \"http://{server}/lab/menu.ipxe\"\n";
    let site = Site::new(boot).with_menu("default", MENU);
    site.meet(30, ClientArch::X86_BIOS);
    assert!(site.http(30, "/lab/menu.ipxe").await.is_ok());
    assert!(is_missing(&site.http(30, "/lab/other.ipxe").await));
}

#[tokio::test]
async fn a_menu_is_the_same_until_a_file_of_it_changes() {
    let site = Site::new("").with_menu("default", "INCLUDE pxelinux.cfg/more\nLABEL a\nLINUX a\n");
    let open = async || {
        site.open(Protocol::Http, 30, "/grub/grub.cfg")
            .await
            .expect("made")
    };
    let first = open().await;
    let again = open().await;
    assert_eq!(first.attributes(), again.attributes());
    assert_ne!(first.attributes().change, 0, "it has a tag");
    assert_eq!(first.attributes().modified, Default::default());
    // A file that was not there comes.
    site.tree
        .insert_file("pxelinux.cfg/more", "LABEL b\nLINUX vmlinuz-b\n")
        .expect("free");
    let second = open().await;
    assert!(text(&*second).await.expect("read").contains("vmlinuz-b"));
    assert_ne!(first.attributes().change, second.attributes().change);
    assert!(
        !text(&*first)
            .await
            .expect("still there")
            .contains("vmlinuz-b")
    );
    site.tree
        .insert_file("pxelinux.cfg/more", "LABEL c\nLINUX vmlinuz-c\n")
        .expect("free");
    assert!(
        text(&*open().await)
            .await
            .expect("read")
            .contains("vmlinuz-c")
    );
}

#[tokio::test]
async fn a_menu_that_is_for_each_client_no_more_is_kept_for_all() {
    let site = Site::new("").with_menu("default", "LABEL a\nLINUX a\nIPAPPEND 3\n");
    let open = async |last| {
        let blob = site.open(Protocol::Tftp, last, "/grub/grub.cfg").await;
        Arc::as_ptr(&blob.expect("made")).cast::<()>() as usize
    };
    let (first, again) = (open(30).await, open(30).await);
    assert_eq!(first, again);
    for menu in [
        "LABEL a\nLINUX a\n",
        "LABEL a\nLINUX a\nIPAPPEND 2\n",
        "LABEL b\nLINUX b\n",
    ] {
        site.tree
            .insert_file("pxelinux.cfg/default", menu)
            .expect("free");
        let (first, again) = (open(30).await, open(30).await);
        assert_eq!(first, again, "made twice: {menu}");
    }
}

#[tokio::test]
async fn what_is_appended_of_a_client_is_its_own() {
    let site = Site::new("").with_menu("default", "LABEL a\nLINUX a\nIPAPPEND 3\n");
    for last in [30, 31] {
        site.meet(last, ClientArch::UEFI_X64);
    }
    for last in [30, 31, 30] {
        let menu = site.tftp(last, "/grub/grub.cfg").await.expect("made");
        let ip = format!("ip=192.168.150.{last}:192.168.150.1:192.168.150.254:255.255.255.0");
        assert!(menu.contains(&ip), "{menu}");
        assert!(
            menu.contains(&format!("BOOTIF=01-52-54-00-00-00-{last:02x}")),
            "{menu}"
        );
    }
}

#[tokio::test]
async fn nothing_is_made_if_that_is_not_wanted() {
    let site = Site::new("[menu]\nconvert = false\n").with_menu("default", MENU);
    assert!(is_missing(&site.tftp(30, "/grub/grub.cfg").await));
    assert!(is_missing(&site.tftp(30, "/boot.ipxe").await));
    let site = Site::new("");
    assert!(
        is_missing(&site.tftp(30, "/grub/grub.cfg").await),
        "there is no menu"
    );
    assert_eq!(site.facts(30), []);
}

#[tokio::test]
async fn five_hundred_clients_at_once_do_not_have_it_made_five_hundred_times() {
    let mut menu = String::from("UI menu.c32\n");
    for number in 0..1000 {
        menu.push_str(&format!("LABEL l{number}\nLINUX os/{number}\n"));
    }
    let site = Arc::new(Site::new(""));
    site.tree
        .insert_file("pxelinux.cfg/default", menu)
        .expect("free");
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..500 {
        let site = Arc::clone(&site);
        tasks.spawn(async move {
            let last = 30 + u8::try_from(number % 20).unwrap_or(0);
            let blob = site.open(Protocol::Tftp, last, "/grub/grub.cfg").await;
            let blob = blob.expect("made");
            (
                blob.attributes().change,
                Arc::as_ptr(&blob).cast::<()>() as usize,
                blob,
            )
        });
    }
    let blobs = tasks.join_all().await;
    assert_eq!(blobs.len(), 500);
    assert!(
        blobs.iter().all(|(change, ..)| *change == blobs[0].0),
        "one content"
    );
    let made: BTreeSet<usize> = blobs.iter().map(|(_, at, _)| *at).collect();
    assert!(made.len() <= MAKING_MAX, "{} were made", made.len());
}

#[tokio::test]
async fn ipxe_is_told_of_the_script_where_its_file_would_be_itself() {
    // What is for BIOS is nothing for it.
    let files =
        "[boot]\nfiles = { default = \"bios/lpxelinux.0\", uefi-x64 = \"ipxe/snponly.efi\" }\n";
    let decide = |more: &str, http: &str| {
        let files = if more.contains("[boot]") { "" } else { files };
        let site = Site::with_http(&format!("{files}{more}"), http);
        let architectures = [ClientArch::UEFI_X64];
        let classes: [&[u8]; 1] = [b"iPXE"];
        let request = BootRequest::new(SERVER).with_architectures(&architectures);
        let decision = site
            .hub
            .decisions()
            .decide(&request.with_user_classes(&classes));
        (
            format!("{:?}", decision.boot),
            decision.explanation.to_string(),
        )
    };
    let (boot, why) = decide("", "[http]\n");
    assert_eq!(boot, "Url(\"http://192.168.150.1/boot.ipxe\")");
    assert!(why.contains("+ menu.convert"), "{why}");
    let (boot, _) = decide("", "[http]\nlisten = \"0.0.0.0:8080\"\n");
    assert_eq!(boot, "Url(\"http://192.168.150.1:8080/boot.ipxe\")");
    assert_eq!(decide("", "").0, "File(\"boot.ipxe\")");
    assert_eq!(
        decide("[menu]\nconvert = false\n", "").0,
        "File(\"bios/lpxelinux.0\")"
    );
    let rom = "[boot]\nfiles = { default = \"bios/lpxelinux.0\" }\n";
    assert_eq!(
        decide(rom, "").0,
        "File(\"bios/lpxelinux.0\")",
        "a ROM of iPXE"
    );
    let none = "[[boot.rule]]\nnone = true\n";
    assert_eq!(decide(none, "").0, "Nothing");
}

/// What pxelinux finds where it looks is pxelinux's, even if it is full of another's lines.
#[tokio::test]
async fn a_menu_that_looks_like_grubs_is_still_converted_as_pxelinux_reads_it() {
    let menu = "LABEL debian\n LINUX os/debian/linux\n APPEND\nboot=casper\nip=dhcp\n\
                menuentry 'x' {\n  insmod gone\n}\nmenuentry 'y' {\n  insmod gone\n}\n";
    let site = Site::new("").with_menu("default", menu);
    site.meet(30, ClientArch::UEFI_X64);
    let made = site.tftp(30, "grub/grub.cfg").await.expect("made");
    assert!(made.contains("debian"), "{made}");
    assert!(!made.contains("gone"), "{made}");
}
