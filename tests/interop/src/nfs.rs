//! NFS: libnfs, showmount and rpcinfo against exports for two networks.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::thread::sleep;
use std::time::{Duration, Instant};

use pxe_test_lab::POLL_INTERVAL;

use crate::Test;
use crate::access::become_denied;
use crate::client::{Ran, client, ensure, same};
use crate::site::{SERVER, SERVER_FAR, Setup, Site};

/// A server with exports, which denies one machine.
pub(crate) const SETUP: Setup = Setup {
    configuration: include_str!("../nfs.toml"),
    ports: &[67, 69, 80, 111, 627, 2049],
};

pub(crate) const TESTS: &[Test] = &[
    ("libnfs_lists_and_reads_the_tree_of_tftp_and_http", reads),
    ("libnfs_writes_to_an_export_that_says_rw", writes),
    ("showmount_is_told_its_own_exports_and_mounts", showmount),
    ("rpcinfo_finds_every_program_and_calls_it", rpcinfo),
    ("mount_is_answered_at_klibc_s_port_too", mount_port),
    ("each_network_has_its_own_export", networks),
    ("a_secure_export_wants_privileged_ports", secure_ports),
    ("who_is_denied_gets_no_file_by_nfs_either", denied),
    ("files_of_root_go_to_nfs_and_to_nobody_else", files_of_root),
];

/// The server believes for ten seconds what the kernel told of an address.
const PATIENCE: Duration = Duration::from_secs(30);

/// The tree's own path, by which it is exported.
fn exported(site: &Site) -> String {
    site.served("")
        .display()
        .to_string()
        .trim_end_matches('/')
        .to_owned()
}

fn list(site: &Site, path: &str) -> Result<Ran, String> {
    client(&site.client, "nfs-ls", &[&format!("nfs://{SERVER}{path}")])
}

fn reads(site: &Site) -> Result<(), String> {
    let tree = exported(site);
    list(site, &format!("{tree}/os"))?
        .succeeds()?
        .says("100001 small.bin")?;
    // A directory below the export is mounted by its full path.
    for name in ["big.bin", "small.bin", "empty.bin", "block.bin"] {
        let to = site.scratch(name).display().to_string();
        let url = format!("nfs://{SERVER}{tree}/os/{name}");
        client(&site.client, "nfs-cp", &[&url, &to])?.succeeds()?;
        same(&site.scratch(name), &site.served(&format!("os/{name}")))?;
    }
    // The way of the far client has an MTU of its own.
    let to = site.scratch("far").display().to_string();
    let url = format!("nfs://{SERVER_FAR}/far/big.bin");
    client(&site.far_client, "nfs-cp", &[&url, &to])?.succeeds()?;
    same(&site.scratch("far"), &site.served("os/big.bin"))?;
    list(site, &format!("{tree}/missing"))?.says("MNT3ERR_NOENT")?;
    site.await_log(&[
        "\"event\":\"mounted\"",
        "10.78.0.100",
        &format!("{tree}/os"),
    ])?;
    site.await_log(&["\"event\":\"disconnected\"", "10.78.0.100"])
}

fn writes(site: &Site) -> Result<(), String> {
    let from = site.served("os/big.bin").display().to_string();
    let url = format!("nfs://{SERVER}/store/copy.bin");
    client(&site.client, "nfs-cp", &[&from, &url])?.succeeds()?;
    same(&site.scratch("copy.bin"), &site.served("os/big.bin"))?;
    let url = format!("nfs://{SERVER}{}/os/copy.bin", exported(site));
    let refused = client(&site.client, "nfs-cp", &[&from, &url])?;
    refused.says("NFS3ERR_ROFS")?;
    ensure(!site.served("os/copy.bin").exists(), || {
        "it was written".into()
    })
}

fn showmount(site: &Site) -> Result<(), String> {
    let tree = exported(site);
    let told = client(&site.client, "showmount", &["-e", SERVER])?.succeeds()?;
    ensure(
        told.text.contains(&format!("{tree} ")) && told.text.contains("/store "),
        || told.text.clone(),
    )?;
    ensure(!told.text.contains("/unlisted"), || told.text.clone())?;
    list(site, "/unlisted")?.succeeds()?.says("small.bin")?;
    client(&site.client, "showmount", &["-a", SERVER])?
        .succeeds()?
        .says("10.78.0.100:/unlisted")
        .map(drop)
}

fn rpcinfo(site: &Site) -> Result<(), String> {
    let told = client(&site.client, "rpcinfo", &["-p", SERVER])?.succeeds()?;
    let lines: Vec<Vec<&str>> = (told.text.lines())
        .map(|line| line.split_whitespace().collect())
        .collect();
    for (program, version, port) in [
        ("100000", "2", "111"),
        ("100003", "3", "2049"),
        ("100005", "3", "2049"),
        ("100021", "1", "2049"),
        ("100021", "3", "2049"),
        ("100021", "4", "2049"),
    ] {
        for transport in ["tcp", "udp"] {
            let wanted = [program, version, transport, port];
            ensure(lines.iter().any(|line| line.starts_with(&wanted)), || {
                format!("{wanted:?} is not in: {}", told.text)
            })?;
        }
    }
    for (transport, program, version) in [
        ("-t", "nfs", "3"),
        ("-u", "nfs", "3"),
        ("-t", "mountd", "3"),
        ("-u", "mountd", "3"),
        ("-t", "nlockmgr", "4"),
        ("-u", "nlockmgr", "4"),
    ] {
        client(
            &site.client,
            "rpcinfo",
            &[transport, SERVER, program, version],
        )?
        .succeeds()?
        .says("ready and waiting")?;
    }
    // Version 4 is not there, and a client is told which are.
    client(&site.client, "rpcinfo", &["-t", SERVER, "nfs", "4"])?.exits_with(1)?;
    Ok(())
}

/// klibc's nfsmount asks port 627 for MOUNT if no portmapper tells it another one: see
/// docs/quirks.md. NFS is not there.
fn mount_port(site: &Site) -> Result<(), String> {
    // The universal address of port 627 (RFC 5665 section 5.2.3.3). What is asked for with `-n`
    // is asked at the portmapper's port all the same.
    let address = format!("{SERVER}.{}.{}", 627 / 256, 627 % 256);
    for transport in ["tcp", "udp"] {
        let at_627 = |program| ["-a", &address, "-T", transport, program, "3"];
        client(&site.client, "rpcinfo", &at_627("mountd"))?
            .succeeds()?
            .says("ready and waiting")?;
        client(&site.client, "rpcinfo", &at_627("nfs"))?.exits_with(1)?;
    }
    Ok(())
}

fn networks(site: &Site) -> Result<(), String> {
    let tree = exported(site);
    list(site, "/far")?.says("MNT3ERR_ACCES")?;
    site.await_log(&["/far is not exported to 10.78.0.100", "add its network"])?;
    // Who is in no export's network learns no name, not even of what is there.
    for path in [&format!("{tree}/os"), &format!("{tree}/nothing"), "/far"] {
        let url = format!("nfs://{SERVER_FAR}{path}");
        let listed = client(&site.router, "nfs-ls", &[&url])?;
        ensure(
            !listed.text.contains(".bin") && listed.text.contains("MNT3ERR_ACCES"),
            || format!("{url}: {}", listed.text),
        )?;
    }
    let told = client(&site.router, "showmount", &["-e", SERVER_FAR])?;
    ensure(
        !told.text.contains(&tree) && !told.text.contains("/store"),
        || told.text.clone(),
    )
}

/// libnfs takes a port below 1024 when it is root.
fn secure_ports(site: &Site) -> Result<(), String> {
    let url = format!("nfs://{SERVER_FAR}/far");
    client(&site.far_client, "nfs-ls", &[&url])?
        .succeeds()?
        .says("small.bin")?;
    let as_nobody = [
        "--reuid=65534",
        "--regid=65534",
        "--clear-groups",
        "nfs-ls",
        &url,
    ];
    let listed = client(&site.far_client, "setpriv", &as_nobody)?;
    ensure(!listed.text.contains("small.bin"), || listed.text.clone())?;
    site.await_log(&["/far wants ports below 1024", "add insecure"])
}

fn denied(site: &Site) -> Result<(), String> {
    let path = format!("{}/os", exported(site));
    list(site, &path)?.succeeds()?.says("small.bin")?;
    become_denied(site)?;
    // What is known of an address is believed for some seconds.
    let deadline = Instant::now() + PATIENCE;
    while list(site, &path)?.text.contains("small.bin") {
        ensure(Instant::now() < deadline, || "it is not denied".into())?;
        sleep(POLL_INTERVAL);
    }
    for (url, exit) in [
        (format!("tftp://{SERVER}/os/small.bin"), 69),
        (format!("http://{SERVER}/small.bin"), 22),
    ] {
        client(&site.client, "curl", &["-sS", "-f", "-m", "10", &url])?.exits_with(exit)?;
    }
    let told = client(&site.client, "showmount", &["-e", SERVER])?;
    ensure(!told.text.contains("/store"), || told.text.clone())?;
    site.await_log(&["denied", "\"nfs\"", "host stolen"])
}

/// `no_root_squash` makes the process keep the power to read all files: it is for those clients.
fn files_of_root(site: &Site) -> Result<(), String> {
    let secret = site.served("os/secret.bin");
    let written = fs::copy(site.served("os/small.bin"), &secret)
        .and_then(|_| fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)));
    written.map_err(|error| error.to_string())?;
    let to = site.scratch("secret.bin").display().to_string();
    let url = format!("nfs://{SERVER}{}/os/secret.bin", exported(site));
    client(&site.client, "nfs-cp", &[&url, &to])?.succeeds()?;
    same(&site.scratch("secret.bin"), &secret)?;
    // Root of this export is squashed.
    let url = format!("nfs://{SERVER}/unlisted/secret.bin");
    let copied = client(&site.client, "nfs-cp", &[&url, &to])?;
    copied.says("ACCES")?;
    for (url, exit) in [
        (format!("tftp://{SERVER}/os/secret.bin"), 69),
        (format!("http://{SERVER}/secret.bin"), 22),
    ] {
        client(&site.client, "curl", &["-sS", "-f", "-m", "10", &url])?.exits_with(exit)?;
    }
    Ok(())
}
