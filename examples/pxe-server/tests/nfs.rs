//! NFS of the server in this process, asked over loopback.

mod network;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use nix::unistd::{getegid, geteuid};
use pxe_server::{Bound, Config, MachineId, Protocol, Running};
use pxe_tree::MemTree;
use tempfile::TempDir;

use network::nfs::NfsClient;
use network::{http_get, tftp_get};

/// The clients of the tests: their ports are not privileged.
const LOOPBACK: &str = "127.0.0.0/8(ro,insecure)";

const NFS3ERR_ROFS: u32 = 30;
const NFS3ERR_STALE: u32 = 70;
const NFS3ERR_BADHANDLE: u32 = 10001;
/// Of MOUNT.
const MNT3ERR_ACCES: u32 = 13;

struct Site {
    directory: TempDir,
    config: String,
}

impl Site {
    /// A tree, and these exports.
    fn new(exports: &str) -> Self {
        let directory = tempfile::tempdir().expect("temporary directory");
        let tree = directory.path().join("tree");
        std::fs::create_dir_all(tree.join("os/ubuntu")).expect("writable");
        std::fs::write(tree.join("os/ubuntu/vmlinuz"), "a kernel").expect("writable");
        let config = format!(
            "[server]\ncontrol = \"control.sock\"\n[tree]\nroot = \"tree\"\n\
             [tftp]\nlisten = \"127.0.0.1:0\"\n[http]\nlisten = \"127.0.0.1:0\"\n\
             [nfs]\nlisten = \"127.0.0.1:0\"\nportmap = \"off\"\nhandle_key = \"nfs.key\"\n\
             {exports}"
        );
        Self { directory, config }
    }

    /// The tree for everybody here.
    fn of_tree() -> Self {
        Self::new(&format!(
            "[[nfs.export]]\npath = \"/srv/tftp\"\nclients = \"{LOOPBACK}\"\n"
        ))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn config(&self) -> Config {
        Config::parse(&self.config, &self.path("server.toml")).expect("valid")
    }
}

fn nfs(running: &Running) -> SocketAddr {
    running.addresses(Protocol::Nfs)[0]
}

/// The machine's facts by NFS, once it has so many.
async fn told(running: &Running, count: usize) -> Vec<String> {
    let id = MachineId::Ip(Ipv4Addr::LOCALHOST.into());
    let wait = async {
        loop {
            let facts = running.machines().get(id).map(|machine| machine.facts);
            let facts = facts.into_iter().flatten();
            let facts = facts.filter(|fact| fact.protocol == Protocol::Nfs);
            let told: Vec<String> = facts.map(|fact| fact.what.to_string()).collect();
            if told.len() >= count {
                return told;
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), wait)
        .await
        .expect("in time")
}

#[tokio::test(flavor = "multi_thread")]
async fn one_tree_by_three_protocols() {
    let site = Site::of_tree();
    let running = Running::start(site.config()).await.expect("started");
    let mut client = NfsClient::connect(nfs(&running));
    assert_eq!(client.exports(), ["/srv/tftp"]);
    let directory = client.mount("/srv/tftp/os/ubuntu").expect("mounted");
    let file = client.look_up(&directory, "vmlinuz").expect("found");
    assert_eq!(client.read(&file, 100).expect("readable"), b"a kernel");
    assert_eq!(client.create(&directory, "new"), NFS3ERR_ROFS);
    let tftp = running.addresses(Protocol::Tftp)[0];
    assert_eq!(
        tftp_get(tftp, "os/ubuntu/vmlinuz").expect("found"),
        b"a kernel"
    );
    let http = running.addresses(Protocol::Http)[0];
    assert_eq!(
        http_get(http, "/os/ubuntu/vmlinuz"),
        (200, b"a kernel".to_vec())
    );
    running.stop().await.expect("no failure");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_mounted_outlives_a_restart() {
    let site = Site::of_tree();
    let running = Running::start(site.config()).await.expect("started");
    let mut client = NfsClient::connect(nfs(&running));
    let directory = client.mount("/srv/tftp/os").expect("mounted");
    running.stop().await.expect("no failure");
    let running = Running::start(site.config()).await.expect("started again");
    let mut client = NfsClient::connect(nfs(&running));
    let ubuntu = client.look_up(&directory, "ubuntu").expect("found");
    let file = client.look_up(&ubuntu, "vmlinuz").expect("found");
    assert_eq!(client.read(&file, 100).expect("readable"), b"a kernel");
    running.stop().await.expect("no failure");
    // With another key, a handle is nobody's.
    std::fs::remove_file(site.path("nfs.key")).expect("it was made");
    let running = Running::start(site.config()).await.expect("started again");
    let mut client = NfsClient::connect(nfs(&running));
    assert_eq!(client.status_of(&file), NFS3ERR_BADHANDLE);
    let told = told(&running, 1).await;
    assert!(told[0].contains("nfs.handle_key is another"), "{told:?}");
    running.stop().await.expect("no failure");
}

/// Machines go on by another server that has the same key and a copy of the files.
#[tokio::test(flavor = "multi_thread")]
async fn a_copy_of_the_files_stands_in_by_name() {
    for (handles, takes_over) in [("name", true), ("inode", false)] {
        let handles = format!("handle_key = \"nfs.key\"\nhandles = \"{handles}\"\n");
        let site = || {
            let mut site = Site::of_tree();
            let key = "handle_key = \"nfs.key\"\n";
            site.config = site.config.replace(key, &handles);
            site
        };
        let (first, second) = (site(), site());
        let running = Running::start(first.config()).await.expect("started");
        let mut client = NfsClient::connect(nfs(&running));
        let directory = client.mount("/srv/tftp/os").expect("mounted");
        running.stop().await.expect("no failure");
        std::fs::copy(first.path("nfs.key"), second.path("nfs.key")).expect("copied");
        let running = Running::start(second.config()).await.expect("started");
        let mut client = NfsClient::connect(nfs(&running));
        match takes_over {
            true => {
                let ubuntu = client.look_up(&directory, "ubuntu").expect("found");
                let file = client.look_up(&ubuntu, "vmlinuz").expect("found");
                assert_eq!(client.read(&file, 100).expect("readable"), b"a kernel");
            }
            false => assert_eq!(client.status_of(&directory), NFS3ERR_STALE),
        }
        running.stop().await.expect("no failure");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_changes_exports_and_cuts_no_connection() {
    let mut site = Site::of_tree();
    let running = Running::start(site.config()).await.expect("started");
    let mut client = NfsClient::connect(nfs(&running));
    let directory = client.mount("/srv/tftp/os").expect("mounted");
    let before = site.config.clone();
    site.config += &format!(
        "[[nfs.export]]\npath = \"/ubuntu\"\nroot = \"/os/ubuntu\"\nclients = \"{LOOPBACK}\"\n\
         [[nfs.export]]\npath = \"/hidden\"\nhidden = true\nclients = \"{LOOPBACK}\"\n"
    );
    let reload = async |config: Config| running.handle().reload_with(config).await;
    reload(site.config()).await.expect("valid");
    assert_eq!(client.exports(), ["/srv/tftp", "/ubuntu"]);
    client.look_up(&directory, "ubuntu").expect("still mounted");
    let ubuntu = client.mount("/ubuntu").expect("mounted");
    client.look_up(&ubuntu, "vmlinuz").expect("found");
    client.mount("/hidden/os").expect("hidden, and there");
    site.config = before.replace(LOOPBACK, "10.0.0.0/8(ro)");
    reload(site.config()).await.expect("valid");
    assert_eq!(client.status_of(&ubuntu), NFS3ERR_STALE, "it is gone");
    assert_eq!(
        client.status_of(&directory),
        NFS3ERR_STALE,
        "it is for others"
    );
    assert_eq!(client.mount("/srv/tftp"), Err(MNT3ERR_ACCES));
    site.config = site
        .config
        .replace("portmap = \"off\"", "portmap = \"auto\"");
    let refused = reload(site.config()).await.expect_err("needs a restart");
    assert!(
        refused.message.contains("nfs.portmap: it cannot change"),
        "{refused}"
    );
    running.stop().await.expect("no failure");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_says_what_to_do_and_is_told_once() {
    let site = Site::new(
        "[[nfs.export]]\npath = \"/srv/tftp\"\nclients = \"127.0.0.0/8(ro)\"\n\
         [[nfs.export]]\npath = \"/far\"\nclients = \"10.0.0.0/8(ro,insecure)\"\n",
    );
    let running = Running::start(site.config()).await.expect("started");
    let mut client = NfsClient::connect(nfs(&running));
    for _ in 0..3 {
        assert_eq!(
            client.mount("/srv/tftp"),
            Err(MNT3ERR_ACCES),
            "its port is not privileged"
        );
    }
    for path in ["/far", "/elsewhere"] {
        assert!(client.mount(path).is_err(), "{path}");
    }
    let told = told(&running, 3).await;
    let expected = [
        ("refused: /srv/tftp wants ports below 1024", "add insecure"),
        (
            "refused: /far is not exported to 127.0.0.1",
            "add its network",
        ),
        ("refused: /elsewhere is not exported", "[[nfs.export]]"),
    ];
    assert_eq!(told.len(), expected.len(), "{told:?}");
    for (told, (begin, part)) in told.iter().zip(expected) {
        assert!(told.starts_with(begin) && told.contains(part), "{told}");
    }
    running.stop().await.expect("no failure");
}

/// A diskless machine reads thousands of files, and connects anew after each silence.
#[tokio::test(flavor = "multi_thread")]
async fn a_machine_that_reads_on_and_on_is_three_facts() {
    let site = Site::of_tree();
    let running = Running::start(site.config()).await.expect("started");
    let mut client = NfsClient::connect(nfs(&running));
    let directory = client.mount("/srv/tftp/os/ubuntu").expect("mounted");
    let file = client.look_up(&directory, "vmlinuz").expect("found");
    for _ in 0..5 {
        for _ in 0..50 {
            client.read(&file, 100).expect("readable");
        }
        client = NfsClient::connect(nfs(&running));
    }
    // A refusal is told after all that came before it.
    told(&running, 3).await;
    assert!(client.mount("/elsewhere").is_err());
    let told = told(&running, 4).await;
    let expected = [
        "mounted /srv/tftp/os/ubuntu",
        "reads what it mounted",
        "disconnected after 52 calls, ",
        "refused: /elsewhere is not exported",
    ];
    assert_eq!(told.len(), expected.len(), "{told:?}");
    for (told, expected) in told.iter().zip(expected) {
        assert!(told.starts_with(expected), "{told}");
    }
    running.stop().await.expect("no failure");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_export_that_says_rw_is_written_to() {
    let (uid, gid) = (geteuid(), getegid());
    let clients = format!("127.0.0.0/8(rw,insecure,all_squash,anonuid={uid},anongid={gid})");
    let mut site = Site::new(&format!(
        "[[nfs.export]]\npath = \"/alpine\"\ndirectory = \"alpine\"\nclients = \"{clients}\"\n"
    ));
    site.config = site
        .config
        .replace("root = \"tree\"", "root = \"tree\"\nignore_case = true");
    std::fs::create_dir(site.path("alpine")).expect("writable");
    let running = Running::start(site.config()).await.expect("started");
    let mut client = NfsClient::connect(nfs(&running));
    let directory = client.mount("/alpine").expect("mounted");
    assert_eq!(client.create(&directory, "host.apkovl"), 0);
    assert!(site.path("alpine/host.apkovl").is_file());
    running.stop().await.expect("no failure");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_given_tree_is_exported_too() {
    let site = Site::of_tree();
    let tree = MemTree::new();
    tree.insert_file("hello", "from memory").expect("free");
    let bound = Bound::bind(site.config()).expect("bound");
    let running = bound
        .start_with_tree(Arc::new(tree))
        .await
        .expect("started");
    let mut client = NfsClient::connect(nfs(&running));
    let root = client.mount("/srv/tftp").expect("mounted");
    let file = client.look_up(&root, "hello").expect("found");
    assert_eq!(client.read(&file, 100).expect("readable"), b"from memory");
    running.stop().await.expect("no failure");
}
