use std::sync::{Arc, Mutex};

use nfs3_types::mount::{
    MOUNT_PROGRAM, dirpath, exports, mountlist, mountres3, mountres3_ok, mountstat3,
};
use nfs3_types::xdr_codec::{Opaque, Void};
use pxe_tree::{MemTree, Tree};

use super::*;
use crate::oracle::{self, Procedure, ask, peer};
use crate::{ExportClient, ExportOptions, HandleKey, Limits, Programs, Service, ServiceBuilder};

const HERE: [u8; 4] = [192, 168, 150, 7];
const ELSEWHERE: [u8; 4] = [10, 0, 0, 7];

fn network(address: [u8; 4], prefix_len: u8) -> ExportClient {
    let network = Network::Prefix {
        address: address.into(),
        prefix_len,
    };
    ExportClient::new(network, ExportOptions::default())
}

/// The tutorial's tree, exported twice: all of it, and a part of it to others alone.
fn builder() -> (ServiceBuilder, Arc<MemTree>) {
    let tree = MemTree::new();
    for file in ["os/ubuntu/1804/.disk/info", "os/debian/linux", "secret/key"] {
        tree.insert_file(file, "...").expect("free");
    }
    for (link, target) in [
        ("os/bionic", "ubuntu/1804"),
        ("os/absolute", "/srv/tftp/os/ubuntu"),
        ("os/ubuntu/escape", "../../secret"),
        ("os/ubuntu/escape_absolute", "/secret"),
        ("os/loop", "loop"),
    ] {
        tree.insert_link(link, target).expect("free");
    }
    let tree = Arc::new(tree);
    let os = Export::new("/os/", Arc::clone(&tree) as _)
        .with_root(TreePath::parse("os").expect("valid"))
        .to(network(HERE, 24));
    let all = Export::new("/srv/tftp", Arc::clone(&tree) as _)
        .to(network(HERE, 24))
        .to(network([192, 168, 150, 66], 32));
    let inner = Export::new("/srv/tftp/secret", Arc::clone(&tree) as _)
        .with_root(TreePath::parse("secret").expect("valid"))
        .to(network(ELSEWHERE, 8))
        .hidden();
    let builder = Service::builder(HandleKey::new([1; 16]))
        .export(os)
        .export(all)
        .export(inner);
    (builder, tree)
}

fn service() -> (Service, Arc<MemTree>) {
    let (builder, tree) = builder();
    (builder.build().expect("distinct"), tree)
}

fn procedure(number: MOUNT_PROGRAM) -> Procedure {
    Procedure(PROGRAM, VERSION, number as u32)
}

async fn mounts(service: &Service, peer: &Peer, path: &str) -> Result<mountres3_ok<'static>, u32> {
    let path = dirpath(Opaque::borrowed(path.as_bytes()));
    match ask(
        service,
        peer,
        procedure(MOUNT_PROGRAM::MOUNTPROC3_MNT),
        &path,
    )
    .await
    {
        mountres3::Ok(ok) => Ok(ok),
        mountres3::Err(status) => Err(status as u32),
    }
}

/// The path within the tree of what is mounted.
async fn leads(service: &Service, tree: &MemTree, path: &str) -> Result<String, u32> {
    let ok = mounts(service, &peer(HERE), path).await?;
    assert_eq!(ok.auth_flavors, [AUTH_SYS]);
    let (_, key) = service.inner.key.verify(&ok.fhandle.0).expect("signed");
    let node = tree.resolve_key(&key).await.expect("there");
    for path in ["", "os", "os/ubuntu", "os/ubuntu/1804"] {
        let resolved = pxe_tree::resolve(tree, &TreePath::parse(path).expect("valid")).await;
        if resolved.is_ok_and(|resolved| resolved.attributes.node == node) {
            return Ok(path.to_owned());
        }
    }
    panic!("{path} leads elsewhere");
}

#[tokio::test]
async fn directories_below_an_export_are_mounted() {
    let (service, tree) = service();
    for (path, expected) in [
        ("/srv/tftp", Ok("")),
        ("//srv/./tftp//", Ok("")),
        ("/srv/tftp/os/ubuntu/1804", Ok("os/ubuntu/1804")),
        ("/srv/tftp/os/bionic/", Ok("os/ubuntu/1804")),
        ("/srv/tftp/os/absolute/1804", Ok("os/ubuntu/1804")),
        ("/srv/tftp/../../os", Ok("os")),
        ("/os", Ok("os")),
        ("/os/ubuntu", Ok("os/ubuntu")),
        ("/os/..", Ok("os")),
        // The export's root is the root of its links.
        ("/os/ubuntu/escape", Err(mountstat3::MNT3ERR_NOENT)),
        ("/os/ubuntu/escape_absolute", Err(mountstat3::MNT3ERR_NOENT)),
        ("/os/../secret", Err(mountstat3::MNT3ERR_NOENT)),
        ("/srv/tftp/nowhere", Err(mountstat3::MNT3ERR_NOENT)),
        ("/srv/tftp/os/debian/linux", Err(mountstat3::MNT3ERR_NOTDIR)),
        (
            "/srv/tftp/os/debian/linux/x",
            Err(mountstat3::MNT3ERR_NOTDIR),
        ),
        ("/srv/tftp/os/loop", Err(mountstat3::MNT3ERR_INVAL)),
        ("/srv/tftp/a\0b", Err(mountstat3::MNT3ERR_INVAL)),
        // The closest export decides, and that is none for this client.
        ("/srv/tftp/secret", Err(mountstat3::MNT3ERR_ACCES)),
        ("/srv/tftp/secret/nowhere", Err(mountstat3::MNT3ERR_ACCES)),
        // No export at all: what rpc.mountd says, too.
        ("/srv/tftpboot", Err(mountstat3::MNT3ERR_ACCES)),
        ("/srv", Err(mountstat3::MNT3ERR_ACCES)),
        ("/", Err(mountstat3::MNT3ERR_ACCES)),
        ("", Err(mountstat3::MNT3ERR_ACCES)),
        ("srv/tftp", Err(mountstat3::MNT3ERR_ACCES)),
    ] {
        let expected = expected.map(str::to_owned).map_err(|status| status as u32);
        assert_eq!(leads(&service, &tree, path).await, expected, "{path:?}");
    }
    let long = format!("/srv/tftp/{}", "a".repeat(256));
    let too_long = Err(mountstat3::MNT3ERR_NAMETOOLONG as u32);
    assert_eq!(leads(&service, &tree, &long).await, too_long);
}

#[tokio::test]
async fn an_export_of_the_root_holds_every_path() {
    let tree = Arc::new(MemTree::new());
    tree.insert_file("os/x", "...").expect("free");
    let export = Export::new("/", Arc::clone(&tree) as _).to(network(HERE, 24));
    let service = Service::builder(HandleKey::new([1; 16])).export(export);
    let service = service.build().expect("one");
    assert_eq!(leads(&service, &tree, "").await, Ok(String::new()));
    assert_eq!(leads(&service, &tree, "/os").await, Ok("os".to_owned()));
}

/// Which paths there are is for those alone who may have one.
#[tokio::test]
async fn refusals_come_before_any_name() {
    let told = Arc::new(Mutex::new(Vec::new()));
    let (builder, _) = builder();
    let service = builder
        .admit(|peer| peer.remote.ip() != std::net::Ipv4Addr::new(192, 168, 150, 66))
        .on_event({
            let told = Arc::clone(&told);
            move |event| told.lock().expect("no panic").push(format!("{event:?}"))
        })
        .build()
        .expect("distinct");
    let unprivileged = Peer::new(
        (HERE, 1024).into(),
        ([192, 168, 150, 1], 2049).into(),
        Transport::Tcp,
    );
    for (peer, reason) in [
        (peer(ELSEWHERE), "Address"),
        (peer([192, 168, 150, 66]), "NotAdmitted"),
        (unprivileged, "Port"),
    ] {
        for path in [
            "/srv/tftp",
            "/srv/tftp/nowhere",
            "/srv/tftp/os/debian/linux",
        ] {
            let refused = Err(mountstat3::MNT3ERR_ACCES as u32);
            let status = mounts(&service, &peer, path).await.map(|_| ());
            assert_eq!(status, refused, "{reason} {path}");
            let event = told.lock().expect("no panic").pop().expect("an event");
            assert!(
                event.starts_with("Refused(") && event.contains(reason),
                "{event}"
            );
        }
    }
    assert!(mounts(&service, &peer(HERE), "/srv/tftp").await.is_ok());
    let event = told.lock().expect("no panic").pop().expect("an event");
    assert!(event.starts_with("Mounted("), "{event}");
}

async fn listed(service: &Service, peer: &Peer) -> Vec<String> {
    let number = procedure(MOUNT_PROGRAM::MOUNTPROC3_EXPORT);
    let exports: exports<'_, '_> = ask(service, peer, number, &Void).await;
    let text = |name: &[u8]| String::from_utf8_lossy(name).into_owned();
    let line = |node: nfs3_types::mount::export_node<'_, '_>| {
        let groups: Vec<String> = node.ex_groups.0.iter().map(|name| text(&name.0)).collect();
        format!("{} {}", text(&node.ex_dir.0), groups.join(","))
    };
    exports.0.into_iter().map(line).collect()
}

#[tokio::test]
async fn showmount_shows_the_exports() {
    let (builder, tree) = builder();
    let everybody = ExportClient::new(Network::Any, ExportOptions::default());
    let public = Export::new("/pub", tree)
        .to(network(ELSEWHERE, 8))
        .to(everybody);
    let service = builder
        .admit(|peer| peer.remote.ip() != std::net::Ipv4Addr::new(192, 168, 150, 66))
        .build()
        .expect("distinct");
    let lines = [
        "/os 192.168.150.0/24",
        "/srv/tftp 192.168.150.0/24,192.168.150.66",
    ];
    assert_eq!(listed(&service, &peer(HERE)).await, lines);
    assert_eq!(listed(&service, &peer([127, 0, 0, 1])).await, lines);
    assert_eq!(
        listed(&service, &peer([192, 168, 150, 66])).await,
        [""; 0],
        "not admitted"
    );
    assert_eq!(
        listed(&service, &peer([172, 16, 0, 1])).await,
        [""; 0],
        "nothing is for him"
    );
    service.set_exports(vec![public]).expect("one");
    assert_eq!(listed(&service, &peer([172, 16, 0, 1])).await, ["/pub *"]);
}

async fn dumped(service: &Service, peer: &Peer) -> Vec<String> {
    let number = procedure(MOUNT_PROGRAM::MOUNTPROC3_DUMP);
    let list: mountlist<'_, '_> = ask(service, peer, number, &Void).await;
    let text = |name: &[u8]| String::from_utf8_lossy(name).into_owned();
    let line = |body: nfs3_types::mount::mountbody<'_, '_>| {
        format!(
            "{}:{}",
            text(&body.ml_hostname.0),
            text(&body.ml_directory.0)
        )
    };
    list.0.into_iter().map(line).collect()
}

#[tokio::test]
async fn dump_tells_who_mounted_what() {
    let (service, _) = service();
    let other = [192, 168, 150, 8];
    for (client, path) in [(HERE, "/srv/tftp/"), (other, "/os"), (HERE, "/os/ubuntu")] {
        assert!(mounts(&service, &peer(client), path).await.is_ok());
    }
    assert_eq!(
        dumped(&service, &peer(HERE)).await,
        [
            "192.168.150.7:/os/ubuntu",
            "192.168.150.8:/os",
            "192.168.150.7:/srv/tftp"
        ]
    );
    assert_eq!(
        dumped(&service, &peer(ELSEWHERE)).await.len(),
        3,
        "something is for him"
    );
    assert_eq!(dumped(&service, &peer([172, 16, 0, 1])).await.len(), 0);
    let umnt = procedure(MOUNT_PROGRAM::MOUNTPROC3_UMNT);
    for path in ["/os/ubuntu/", "/nowhere"] {
        let path = dirpath(Opaque::borrowed(path.as_bytes()));
        let Void = ask(&service, &peer(HERE), umnt, &path).await;
    }
    assert_eq!(
        dumped(&service, &peer(HERE)).await,
        ["192.168.150.8:/os", "192.168.150.7:/srv/tftp"]
    );
    let umntall = procedure(MOUNT_PROGRAM::MOUNTPROC3_UMNTALL);
    let Void = ask(&service, &peer(HERE), umntall, &Void).await;
    assert_eq!(dumped(&service, &peer(HERE)).await, ["192.168.150.8:/os"]);
}

/// A datagram's sender can be forged: what it draws is bounded.
#[tokio::test]
async fn lists_are_short_over_udp() {
    let limited = Arc::new(Mutex::new(Vec::new()));
    let limits = Limits {
        mounts_max: 150,
        ..Limits::default()
    };
    let (builder, _) = builder();
    let service = builder
        .limits(limits)
        .on_event({
            let limited = Arc::clone(&limited);
            move |event| {
                if let Event::Limited(reached) = event {
                    limited.lock().expect("no panic").push(reached.limit);
                }
            }
        })
        .build()
        .expect("distinct");
    for host in 101..200 {
        let peer = peer([192, 168, 150, host]);
        assert!(mounts(&service, &peer, "/srv/tftp").await.is_ok());
        assert!(mounts(&service, &peer, "/os/ubuntu").await.is_ok());
    }
    let forgotten = std::mem::take(&mut *limited.lock().expect("no panic"));
    assert_eq!(forgotten, ["mounts_max"; 48]);
    let tcp = peer(HERE);
    let udp = Peer::new(tcp.remote, tcp.local, Transport::Udp);
    assert_eq!(dumped(&service, &tcp).await.len(), 150);
    assert!(limited.lock().expect("no panic").is_empty());
    let few = dumped(&service, &udp).await;
    assert!((5..20).contains(&few.len()), "{}", few.len());
    assert_eq!(few[0], "192.168.150.199:/os/ubuntu", "the latest first");
    assert_eq!(
        *limited.lock().expect("no panic"),
        ["udp_mount_list_bytes_max"]
    );
}

#[tokio::test]
async fn other_versions_and_procedures() {
    use nfs3_types::rpc::accept_stat_data;
    let (service, _) = service();
    let refusal = async |procedure| {
        let message = oracle::call(procedure, oracle::auth_sys(0, 0, &[]), &Void);
        let reply = service.answer(&peer(HERE), Programs::Mount, message).await;
        oracle::refusal(&oracle::bytes(reply.expect("a reply")).await)
    };
    // mount.nfs and showmount try version 3 first and take the others from the answer.
    for version in [1, 2, 4] {
        assert!(matches!(
            refusal(Procedure(PROGRAM, version, 1)).await,
            accept_stat_data::PROG_MISMATCH { low: 3, high: 3 }
        ));
    }
    assert!(matches!(
        refusal(Procedure(PROGRAM, VERSION, 6)).await,
        accept_stat_data::PROC_UNAVAIL
    ));
    assert!(matches!(
        refusal(Procedure(PROGRAM, VERSION, PROC_MNT)).await,
        accept_stat_data::GARBAGE_ARGS
    ));
}
