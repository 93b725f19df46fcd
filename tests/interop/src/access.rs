//! One decision for all protocols: curl and tftp from a machine that may boot, and from one that may not.

use std::fs;
use std::thread::sleep;
use std::time::{Duration, Instant};

use pxe_test_lab::{POLL_INTERVAL, run};

use crate::Test;
use crate::client::{client, ensure, same};
use crate::dhcp::udhcpc;
use crate::site::{SERVER, Setup, Site};

/// A server of everything that denies one machine.
pub(crate) const SETUP: Setup = Setup {
    configuration: include_str!("../access.toml"),
    ports: &[67, 69, 80, 8080],
};

pub(crate) const TESTS: &[Test] = &[
    (
        "who_is_denied_gets_no_file_by_tftp_and_http",
        denied_by_neighbour,
    ),
    (
        "a_denial_by_dhcp_holds_for_the_leased_address",
        denied_by_lease,
    ),
    ("a_reload_denies_and_allows", reloaded),
];

/// The hardware address that `access.toml` denies.
const DENIED: &str = "52:54:00:de:21:ed";
/// The server believes for ten seconds what the kernel told of an address.
const PATIENCE: Duration = Duration::from_secs(30);

/// From now on the client is the machine that is denied; the server's neighbour table learns it when the client
/// speaks.
pub(crate) fn become_denied(site: &Site) -> Result<(), String> {
    site.client
        .ip(&["link", "set", "eth0", "address", DENIED])?;
    // Its neighbours learn of it in their own time, unless they have to ask anew.
    site.at_server.ip(&["neighbour", "flush", "dev", "br0"])
}

fn fetch(site: &Site, url: &str, exit: i32) -> Result<(), String> {
    let fetched = site.scratch("fetched");
    let to = fetched.display().to_string();
    client(
        &site.client,
        "curl",
        &["-sS", "-f", "-m", "10", "-o", &to, url],
    )?
    .exits_with(exit)?;
    match exit {
        0 => same(&fetched, &site.served("os/small.bin")),
        _ => Ok(()),
    }
}

/// curl's exit statuses: 69 "Permission problem on TFTP server", 22 an HTTP status of 400 or more.
fn fetches(site: &Site, is_allowed: bool) -> Result<(), String> {
    let (tftp, http) = if is_allowed { (0, 0) } else { (69, 22) };
    fetch(site, &format!("tftp://{SERVER}/os/small.bin"), tftp)?;
    fetch(site, &format!("http://{SERVER}/small.bin"), http)
}

fn denied_by_neighbour(site: &Site) -> Result<(), String> {
    // The client has no lease: its address is its own.
    fetches(site, true)?;
    become_denied(site)?;
    await_denial(site)?;
    fetches(site, false)?;
    let to = site.scratch("hpa").display().to_string();
    let arguments = ["-m", "binary", SERVER, "-c", "get", "os/small.bin", &to];
    client(&site.client, "tftp", &arguments)?.says("Error code 2")?;
    let url = format!("http://{SERVER}/small.bin");
    client(&site.client, "curl", &["-sS", "-I", &url])?
        .succeeds()?
        .says("HTTP/1.1 403")?;
    // Nor a menu that would be made for it.
    for (url, exit) in [
        (format!("tftp://{SERVER}/grub/grub.cfg"), 69),
        (format!("http://{SERVER}/boot.ipxe"), 22),
    ] {
        client(&site.client, "curl", &["-sS", "-f", "-m", "10", &url])?.exits_with(exit)?;
    }
    site.await_log(&["denied", "tftp", "host stolen", "os/small.bin"])?;
    site.await_log(&["denied", "http", "host stolen", "/small.bin"])?;
    // The far client comes by a router: it is another one.
    let url = format!("http://{SERVER}/small.bin");
    let to = site.scratch("far").display().to_string();
    client(&site.far_client, "curl", &["-sS", "-f", "-o", &to, &url])?.succeeds()?;
    Ok(())
}

/// What is known of an address is believed for some seconds.
fn await_denial(site: &Site) -> Result<(), String> {
    let deadline = Instant::now() + PATIENCE;
    while fetches(site, false).is_err() {
        ensure(Instant::now() < deadline, || "it is not denied".into())?;
        sleep(POLL_INTERVAL);
    }
    Ok(())
}

fn denied_by_lease(site: &Site) -> Result<(), String> {
    become_denied(site)?;
    site.client.ip(&["address", "flush", "dev", "eth0"])?;
    udhcpc(site, &[])?;
    site.await_log(&["leased", DENIED])?;
    site.await_log(&["denied", DENIED, "host stolen"])?;
    fetches(site, false)
}

fn reloaded(site: &Site) -> Result<(), String> {
    fetches(site, true)?;
    let own = client(&site.client, "cat", &["/sys/class/net/eth0/address"])?.succeeds()?;
    let own = own.text.trim();
    reconfigure(site, DENIED, own, 1)?;
    fetches(site, false)?;
    reconfigure(site, own, DENIED, 2)?;
    fetches(site, true)
}

/// Writes another configuration and waits until it is in force.
fn reconfigure(site: &Site, from: &str, to: &str, reloads: u32) -> Result<(), String> {
    let file = site.served("../server.toml");
    let text = fs::read_to_string(&file).map_err(|error| error.to_string())?;
    ensure(text.contains(from), || {
        format!("{from} is not in the configuration")
    })?;
    fs::write(&file, text.replace(from, to)).map_err(|error| error.to_string())?;
    let pid = site.server_pid().to_string();
    run(site.at_server.command("kill").args(["-HUP", &pid]))?;
    site.await_log(&[&format!("\"reloads\":{reloads}"), "in force"])
}
