//! Menus that the server makes and fills in, asked for by TFTP and HTTP over loopback.

mod network;

use std::net::Ipv4Addr;
use std::process::Command;

use pxe_server::{Config, MachineId, Protocol, Running};
use tempfile::TempDir;

use network::{DhcpClient, http_get, http_get_from, tftp_get, tftp_get_from};

const ONE: [u8; 6] = [0x52, 0x54, 0, 0, 0, 1];
const OTHER: [u8; 6] = [0x52, 0x54, 0, 0, 0, 2];

/// A tree of pxelinux alone, laid out as `init` does it.
struct Site {
    directory: TempDir,
    menu: String,
    port: u16,
}

impl Site {
    fn new(client: &DhcpClient) -> Self {
        let directory = tempfile::tempdir().expect("temporary directory");
        let tree = directory.path().join("tree");
        for folder in ["pxelinux.cfg", "os", "bios", "efi64"] {
            std::fs::create_dir_all(tree.join(folder)).expect("writable");
        }
        for link in [
            "bios/pxelinux.cfg",
            "efi64/pxelinux.cfg",
            "bios/os",
            "efi64/os",
        ] {
            let target = format!("../{}", link.rsplit('/').next().unwrap_or_default());
            std::os::unix::fs::symlink(target, tree.join(link)).expect("writable");
        }
        let site = Self {
            directory,
            menu: String::new(),
            port: client.port(),
        };
        site.put("os/linux", "kernel");
        site.put(
            "pxelinux.cfg/default",
            "LABEL a\nLINUX os/linux\nAPPEND common\n",
        );
        site
    }

    fn put(&self, path: &str, content: &str) {
        let path = self.directory.path().join("tree").join(path);
        std::fs::write(path, content).expect("writable");
    }

    fn config(&self) -> Config {
        let text = self.text();
        Config::parse(&text, &self.directory.path().join("server.toml")).expect("valid")
    }

    fn text(&self) -> String {
        format!(
            "[server]\ncontrol = \"\"\n[tree]\nroot = \"tree\"\n[tftp]\nlisten = \"127.0.0.1:0\"\n\
             [http]\nlisten = \"127.0.0.1:0\"\n[dhcp]\nlisten = \"127.0.0.1\"\nport = {}\n\
             [[dhcp.subnet]]\nnetwork = \"127.0.0.0/24\"\npools = \"127.0.0.30-127.0.0.39\"\n\
             [[dhcp.host]]\nname = \"stolen\"\nmac = \"52:54:00:00:00:09\"\ndeny = true\n\
             [boot]\nfiles = {{ default = \"bios/lpxelinux.0\" }}\n{}",
            self.port, self.menu
        )
    }
}

fn tftp_text(running: &Running, from: Ipv4Addr, path: &str) -> Result<String, u16> {
    let tftp = running.addresses(Protocol::Tftp)[0];
    let content = tftp_get_from(tftp, from.into(), path).map_err(|error| error.code)?;
    Ok(String::from_utf8(content).expect("UTF-8"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tree_of_pxelinux_alone_has_menus_for_grub_and_ipxe() {
    let client = DhcpClient::bind();
    let mut site = Site::new(&client);
    let running = Running::start(site.config()).await.expect("started");
    let tftp = running.addresses(Protocol::Tftp)[0];
    let http = running.addresses(Protocol::Http)[0];
    let grub = tftp_get(tftp, "/grub/grub.cfg").expect("made");
    let grub = String::from_utf8(grub).expect("UTF-8");
    assert!(grub.contains("/efi64/os/linux common"), "{grub}");
    // What iPXE is told to fetch is there.
    for path in ["/autoexec.ipxe", "/boot.ipxe"] {
        let (status, script) = http_get(http, path);
        assert_eq!(status, 200, "{path}");
        let script = String::from_utf8(script).expect("UTF-8");
        let url = format!("http://{http}");
        let at = script.find(&url).expect("a URL") + url.len();
        let kernel = script[at..].split_whitespace().next().expect("a path");
        assert_eq!(
            http_get(http, kernel),
            (200, b"kernel".to_vec()),
            "{kernel}"
        );
        assert_eq!(tftp_get(tftp, path).expect("made"), script.as_bytes());
    }
    assert_eq!(tftp_get(tftp, "/grub/other.cfg").expect_err("none").code, 1);
    // It is the file's own content as soon as there is one.
    std::fs::create_dir(site.directory.path().join("tree/grub")).expect("writable");
    site.put("grub/grub.cfg", "own");
    assert_eq!(tftp_get(tftp, "/grub/grub.cfg").expect("there"), b"own");
    site.menu = "[menu]\nconvert = false\n".to_owned();
    let reloaded = running.handle().reload_with(site.config()).await;
    reloaded.expect("valid");
    assert_eq!(http_get(http, "/boot.ipxe").0, 404);
    running.stop().await.expect("no failure");
}

#[tokio::test(flavor = "multi_thread")]
async fn each_machine_has_its_own_menu_and_its_own_text_of_a_template() {
    let client = DhcpClient::bind();
    let mut site = Site::new(&client);
    site.put(
        "pxelinux.cfg/01-52-54-00-00-00-01",
        "LABEL a\nLINUX os/linux\nAPPEND its-own\n",
    );
    site.put("pxelinux.cfg/me", "${mac}\n");
    site.menu = "[menu]\ntemplates = [\"pxelinux.cfg/me\"]\n".to_owned();
    let running = Running::start(site.config()).await.expect("started");
    let dhcp = running.addresses(Protocol::Dhcp)[0];
    let http = running.addresses(Protocol::Http)[0];
    let client = client.with_mac(ONE);
    let one = client.boot(dhcp).address;
    let client = client.with_mac(OTHER);
    let other = client.boot(dhcp).address;
    let menu = |from| tftp_text(&running, from, "grub/grub.cfg").expect("made");
    assert!(menu(one).contains("its-own"), "{}", menu(one));
    assert!(menu(other).contains("common"), "{}", menu(other));
    for (from, mac) in [(one, "52:54:00:00:00:01\n"), (other, "52:54:00:00:00:02\n")] {
        let by_tftp = tftp_text(&running, from, "bios/pxelinux.cfg/me");
        assert_eq!(by_tftp.as_deref(), Ok(mac));
        let by_http = http_get_from(http, from.into(), "/pxelinux.cfg/me");
        assert_eq!(by_http, (200, mac.as_bytes().to_vec()));
    }
    let client = client.with_mac([0x52, 0x54, 0, 0, 0, 9]);
    let denied = client.boot(dhcp).address;
    for path in ["grub/grub.cfg", "boot.ipxe", "pxelinux.cfg/me"] {
        assert_eq!(tftp_text(&running, denied, path), Err(2), "{path}");
        let (status, _) = http_get_from(http, denied.into(), &format!("/{path}"));
        assert_eq!(status, 403, "{path}");
    }
    let machine = running
        .machines()
        .get(MachineId::Mac(ONE.into()))
        .expect("seen");
    let mut facts = machine.facts.iter().map(|fact| fact.what.to_string());
    let made = "made /grub/grub.cfg from /pxelinux.cfg/01-52-54-00-00-00-01";
    assert!(facts.any(|fact| fact == made), "{:?}", machine.facts);
    running.stop().await.expect("no failure");
}

#[test]
fn check_finds_the_faults_of_templates() {
    let client = DhcpClient::bind();
    let mut site = Site::new(&client);
    site.put("pxelinux.cfg/bad", "LABEL a\nAPPEND ${net9/mac}\n");
    site.put(
        "pxelinux.cfg/good",
        "APPEND ${mac} ${ip} ${uuid} ${hostname}\n",
    );
    site.menu = "[menu]\ntemplates = [\"pxelinux.cfg/*\", \"grub/*\"]\n".to_owned();
    let file = site.directory.path().join("server.toml");
    std::fs::write(&file, site.text()).expect("writable");
    let output = Command::new(env!("CARGO_BIN_EXE_pxe-server"))
        .arg("check")
        .arg(&file)
        .output()
        .expect("it runs");
    let said = String::from_utf8_lossy(&output.stderr);
    let faults: Vec<&str> = said
        .lines()
        .filter(|line| line.contains("menu.templates"))
        .collect();
    let [bad, unused] = &faults[..] else {
        panic!("two faults: {said}");
    };
    assert!(
        bad.contains("/pxelinux.cfg/bad: line 2: no placeholder `net9/mac`: known are "),
        "{bad}"
    );
    assert!(bad.starts_with("error: "), "{bad}");
    assert!(unused.contains("grub/* is no file of the tree"), "{unused}");
    assert!(unused.starts_with("warning: "), "{unused}");
    assert_eq!(output.status.code(), Some(1), "the file is given to nobody");
}
