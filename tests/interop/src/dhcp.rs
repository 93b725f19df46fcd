//! DHCP clients: busybox's udhcpc, ISC's dhclient; and what the server's process may do.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::Test;
use crate::client::{client, ensure};
use crate::site::{SERVER, Site};

pub(crate) const TESTS: &[Test] = &[
    ("udhcpc_leases_and_releases", udhcpc_leases),
    ("udhcpc_as_a_pxe_client_gets_its_boot_file", udhcpc_boots),
    ("dhclient_leases_and_releases", dhclient_leases),
    (
        "one_machine_keeps_its_address_whatever_its_client_identifier",
        one_address,
    ),
    ("the_server_runs_as_nobody", server_runs_as_nobody),
];

/// Writes down what udhcpc and dhclient tell their scripts. udhcpc gives an address back from that
/// very address, so it has to be there; and it does so (-R) when it is told to end.
const SCRIPT: &str = r#"#!/bin/sh
[ "$1" = bound ] && ip address add "$ip/24" dev "$interface"
echo "event=$1$reason"
set | grep -E '^(ip|subnet|router|dns|domain|lease|siaddr|boot_file|bootfile|pxeconffile)='
[ "$1" = bound ] && kill -TERM "$PPID"
exit 0
"#;

fn script(site: &Site) -> Result<String, String> {
    let path = site.scratch("script");
    let failed = |error: std::io::Error| error.to_string();
    fs::write(&path, SCRIPT).map_err(failed)?;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).map_err(failed)?;
    Ok(path.display().to_string())
}

/// Runs udhcpc until it has a lease; its interface has the address then.
pub(crate) fn udhcpc(site: &Site, more: &[&str]) -> Result<String, String> {
    let script = script(site)?;
    let arguments = [
        "udhcpc", "-i", "eth0", "-f", "-n", "-t", "3", "-T", "2", "-s", &script,
    ];
    Ok(
        client(&site.client, "busybox", &[&arguments[..], more].concat())?
            .succeeds()?
            .text,
    )
}

fn dhclient(site: &Site, more: &[&str]) -> Result<String, String> {
    let script = script(site)?;
    let leases = site.scratch("dhclient.leases").display().to_string();
    let pid = site.scratch("dhclient.pid").display().to_string();
    let config = site.scratch("dhclient.conf");
    // No identifier but the hardware address, no delay, an answer or the end.
    fs::write(&config, "timeout 10;\ninitial-interval 1;\n").map_err(|error| error.to_string())?;
    let config = config.display().to_string();
    let arguments = [
        "-4", "-1", "-v", "-cf", &config, "-lf", &leases, "-pf", &pid, "-sf", &script,
    ];
    let all = [&arguments[..], more, &["eth0"]].concat();
    Ok(client(&site.client, "dhclient", &all)?.succeeds()?.text)
}

/// The value of the first line `NAME='VALUE'` or `NAME=VALUE`.
fn value<'a>(text: &'a str, names: &[&str]) -> Result<&'a str, String> {
    text.lines()
        .filter_map(|line| line.split_once('='))
        .find(|(name, _)| names.contains(name))
        .map(|(_, value)| value.trim_matches('\''))
        .ok_or_else(|| format!("none of {names:?} in: {text}"))
}

fn equal(text: &str, names: &[&str], wanted: &str) -> Result<(), String> {
    let found = value(text, names)?;
    ensure(found == wanted, || {
        format!("{names:?} is {found:?}, not {wanted:?}")
    })
}

fn udhcpc_leases(site: &Site) -> Result<(), String> {
    let text = udhcpc(site, &["-R"])?;
    ensure(value(&text, &["ip"])?.starts_with("10.78.0."), || {
        text.clone()
    })?;
    equal(&text, &["subnet"], "255.255.255.0")?;
    equal(&text, &["router"], SERVER)?;
    equal(&text, &["dns"], SERVER)?;
    equal(&text, &["domain"], "matrix.lan")?;
    equal(&text, &["lease"], "600")?;
    // A system's own DHCP is no boot request.
    ensure(value(&text, &["boot_file"]).is_err(), || {
        format!("a boot file for a system: {text}")
    })?;
    site.await_log(&["dhcp", "leased"])?;
    site.await_log(&["dhcp", "released"])
}

fn udhcpc_boots(site: &Site) -> Result<(), String> {
    // -V: the vendor class of a BIOS ROM; 93 (0x5d): x64 UEFI.
    let class = "PXEClient:Arch:00000:UNDI:002001";
    let text = udhcpc(
        site,
        &[
            "-R",
            "-V",
            class,
            "-x",
            "0x5d:0000",
            "-O",
            "bootfile",
            "-O",
            "tftp",
        ],
    )?;
    equal(&text, &["boot_file"], "bios/lpxelinux.0")?;
    equal(&text, &["siaddr"], SERVER)?;
    // Option 209 comes although nobody asked for it.
    equal(&text, &["pxeconffile"], "pxelinux.cfg/default")?;
    for arch in ["0007", "0009"] {
        let class = "PXEClient:Arch:00007:UNDI:003000";
        let arch = format!("0x5d:{arch}");
        let text = udhcpc(site, &["-R", "-V", class, "-x", &arch, "-O", "bootfile"])?;
        equal(&text, &["boot_file"], "efi64/syslinux.efi")?;
    }
    Ok(())
}

fn dhclient_leases(site: &Site) -> Result<(), String> {
    let text = dhclient(site, &[])?;
    ensure(text.contains("DHCPACK of 10.78.0."), || text.clone())?;
    // It stays in the background to renew; -r ends it and gives the address back.
    let text = dhclient(site, &["-r"])?;
    ensure(text.contains("DHCPRELEASE of 10.78.0."), || text.clone())?;
    site.await_log(&["dhcp", "leased"])?;
    site.await_log(&["dhcp", "released"])
}

fn one_address(site: &Site) -> Result<(), String> {
    // udhcpc sends 01+MAC as client identifier, -C none; firmware and loaders differ likewise.
    let with = udhcpc(site, &[])?;
    let without = udhcpc(site, &["-C"])?;
    let other = udhcpc(site, &["-x", "0x3d:00112233445566778899"])?;
    let address = value(&with, &["ip"])?;
    equal(&without, &["ip"], address)?;
    equal(&other, &["ip"], address)
}

fn server_runs_as_nobody(site: &Site) -> Result<(), String> {
    // `ip netns exec` and `setpriv` have become the server by exec, so its number is theirs.
    let status = Path::new("/proc")
        .join(site.server_pid().to_string())
        .join("status");
    let status = fs::read_to_string(&status).map_err(|error| error.to_string())?;
    for (line, wanted) in [
        ("Uid:", "65534\t65534\t65534\t65534"),
        ("Gid:", "65534\t65534\t65534\t65534"),
        ("CapEff:", "0000000000000000"),
        ("CapPrm:", "0000000000000000"),
    ] {
        let found = status
            .lines()
            .find_map(|text| text.strip_prefix(line))
            .map(str::trim);
        ensure(found == Some(wanted), || {
            format!("{line} {found:?}, not {wanted}")
        })?;
    }
    Ok(())
}
