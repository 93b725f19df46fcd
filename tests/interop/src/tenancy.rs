//! A lease from its beginning to its end: real clients get one, renew it from their server, rebind
//! it with anybody when their server is out of reach, and give it back; on the server's link and
//! through a relay.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use pxe_test_lab::{Namespace, Output, POLL_INTERVAL, Process};

use crate::Test;
use crate::client::ensure;
use crate::dhcp_client::{DhcpClient, Program};
use crate::firmware::{RELEASE, REQUEST};
use crate::reply;
use crate::site::{SERVER, SERVER_FAR, Setup, Site, await_text};
use crate::wiretap::{Datagram, Wiretap, judge_by_tshark};

/// Leases of 20 seconds, to be renewed after 5 and rebound after 10.
pub(crate) const SETUP: Setup = Setup {
    configuration: include_str!("../fixtures/leases.toml"),
    ports: &[67],
};

pub(crate) const TESTS: &[Test] = &[
    ("dhclient_renews_rebinds_and_releases", |site| {
        live(site, Program::Dhclient, None)
    }),
    ("udhcpc_renews_rebinds_and_releases", |site| {
        live(site, Program::Udhcpc, None)
    }),
    ("dhcpcd_renews_rebinds_and_releases", |site| {
        live(site, Program::Dhcpcd, None)
    }),
    ("networkd_renews_rebinds_and_releases", |site| {
        live(site, Program::Networkd, None)
    }),
    ("dhclient_behind_dhcrelay", |site| {
        live(site, Program::Dhclient, Some(Relay::Dhcrelay))
    }),
    ("udhcpc_behind_dhcrelay", |site| {
        live(site, Program::Udhcpc, Some(Relay::Dhcrelay))
    }),
    ("dhcpcd_behind_dhcrelay", |site| {
        live(site, Program::Dhcpcd, Some(Relay::Dhcrelay))
    }),
    ("udhcpc_behind_dnsmasq", |site| {
        live(site, Program::Udhcpc, Some(Relay::Dnsmasq))
    }),
    ("dhcpcd_behind_dnsmasq", |site| {
        live(site, Program::Dhcpcd, Some(Relay::Dnsmasq))
    }),
    ("networkd_behind_dhcrelay", |site| {
        live(site, Program::Networkd, Some(Relay::Dhcrelay))
    }),
    ("dhclient_asks_for_its_old_address_after_a_reboot", reboot),
    (
        "dhclient_is_told_that_it_is_on_another_network",
        carried_away,
    ),
    (
        "four_clients_of_one_machine_have_one_address",
        one_address_for_all,
    ),
];

const ACK: u8 = 5;
/// A lease's whole time, and some for a busy machine.
const PATIENCE: Duration = Duration::from_secs(40);

/// A hardware address that nobody has.
const NOBODY: &str = "02:00:00:00:00:99";

/// A program that relays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Relay {
    /// ISC's.
    Dhcrelay,
    /// Whose author wrote dhcp-helper too, which Debian does not install beside isc-dhcp-server.
    Dnsmasq,
}

impl Relay {
    fn start(self, site: &Site) -> Result<Process, String> {
        let log = site.scratch("relay.log");
        let (mut command, ready) = match self {
            Self::Dhcrelay => {
                let mut command = site.router.command("dhcrelay");
                command.args(["-4", "-d", "-a", "-id", "far0", "-iu", "near0", SERVER_FAR]);
                (command, "Sending on   Socket/fallback")
            }
            Self::Dnsmasq => {
                let mut command = site.router.command("dnsmasq");
                let relay = format!("--dhcp-relay={GATEWAY},{SERVER_FAR}");
                command.args(["--keep-in-foreground", "--conf-file=/dev/null", "--port=0"]);
                command.args(["--user=root", "--pid-file", "--log-facility=-", &relay]);
                (command, "DHCP relay from")
            }
        };
        command.current_dir("/");
        let mut process = Process::spawn(command, "the relay", &log, Output::Log)?;
        await_text(&mut process, &log, ready)?;
        Ok(process)
    }
}

/// The router's address on the link of the far client.
const GATEWAY: &str = "10.80.0.1";

/// What passes the server's interfaces while a client lives.
#[derive(Debug)]
struct Watch {
    tap: Wiretap,
    seen: Vec<Datagram>,
}

impl Watch {
    /// The next message like this.
    fn next(&mut self, what: &str, is_it: impl Fn(&Datagram) -> bool) -> Result<Datagram, String> {
        let deadline = Instant::now() + PATIENCE;
        while let Some(datagram) = self.tap.next(deadline) {
            self.seen.push(datagram.clone());
            if is_it(&datagram) {
                return Ok(datagram);
            }
        }
        Err(format!("no {what} within {PATIENCE:?}"))
    }

    /// The server's ACK of a request.
    fn ack(&mut self, request: &Datagram) -> Result<Ipv4Addr, String> {
        let xid = request.xid();
        let ack = self.next("ACK", |datagram| {
            datagram.is_reply() && datagram.xid() == xid && datagram.message_type() == Some(ACK)
        })?;
        ack.yiaddr().ok_or("an ACK without an address".to_owned())
    }
}

/// A client, where it lives, and what is seen of it.
#[derive(Debug)]
struct Tenancy<'a> {
    site: &'a Site,
    namespace: &'a Namespace,
    client: DhcpClient,
    watch: Watch,
    server: Ipv4Addr,
    relay: Option<Relay>,
}

fn live(site: &Site, program: Program, relay: Option<Relay>) -> Result<(), String> {
    let (namespace, server) = match relay {
        None => (&site.client, SERVER),
        Some(_) => (&site.far_client, SERVER_FAR),
    };
    let _relay = relay.map(|relay| relay.start(site)).transpose()?;
    namespace.ip(&["address", "flush", "dev", "eth0"])?;
    let tap = Wiretap::new(&site.at_server)?;
    let mut tenancy = Tenancy {
        site,
        namespace,
        client: DhcpClient::start(program, namespace, site.scratch("client"))?,
        watch: Watch {
            tap,
            seen: Vec::new(),
        },
        server: server
            .parse()
            .map_err(|_| format!("{server} is no address"))?,
        relay,
    };
    let outcome = tenancy.last();
    outcome.map_err(|error| format!("{error}\nthe client said:\n{}", tenancy.client.said()))?;
    let seen = tenancy.watch.seen.into_iter();
    let replies: Vec<Datagram> = seen.filter(Datagram::is_reply).collect();
    judge_by_tshark(&replies, &site.scratch("client"))
}

impl Tenancy<'_> {
    /// From its beginning to its end.
    fn last(&mut self) -> Result<(), String> {
        let relay = self.relay.map(|_| Ipv4Addr::new(10, 80, 0, 1));
        let select = self.watch.next("REQUEST", |datagram| {
            datagram.message_type() == Some(REQUEST) && datagram.giaddr() == relay
        })?;
        let address = self.watch.ack(&select)?;
        let link = if relay.is_some() {
            "10.80.0."
        } else {
            "10.78.0."
        };
        ensure(address.to_string().starts_with(link), || {
            format!("{address} is not on the client's link")
        })?;
        self.await_address(address)?;

        // RENEWING: from its address to the server's, at T1 (RFC 2131 section 4.4.5).
        let server = self.server;
        let renew = self.watch.next("unicast REQUEST", |datagram| {
            datagram.message_type() == Some(REQUEST)
                && datagram.ciaddr() == Some(address)
                && datagram.destination.ip() == &server
                && datagram.source.ip() == &address
        })?;
        let renewed = self.watch.ack(&renew)?;
        ensure(renewed == address, || format!("renewed as {renewed}"))?;
        let says = self.client.says_renewed(address);
        await_part(&says, 1, || Ok(self.client.said()))?;

        // REBINDING: the server is out of reach but by broadcast, at T2.
        let says = self.client.says_rebound(address);
        let said_before = self.client.said().matches(&says).count();
        self.cut("add")?;
        let rebind = self.watch.next("broadcast REQUEST", |datagram| {
            datagram.message_type() == Some(REQUEST)
                && datagram.ciaddr() == Some(address)
                && datagram.giaddr() == relay
                && (datagram.destination.ip().is_broadcast() || relay.is_some())
        })?;
        let rebound = self.watch.ack(&rebind)?;
        ensure(rebound == address, || format!("rebound as {rebound}"))?;
        await_part(&says, said_before + 1, || Ok(self.client.said()))?;
        self.await_address(address)?;
        self.cut("del")?;

        self.client.release(self.namespace)?;
        self.watch.next("RELEASE", |datagram| {
            datagram.message_type() == Some(RELEASE) && datagram.ciaddr() == Some(address)
        })?;
        self.site
            .await_log(&["\"event\":\"released\"", &address.to_string()])
    }

    /// Stops (`add`), or no longer stops (`del`), what the client sends to the server's address.
    fn cut(&self, how: &str) -> Result<(), String> {
        let server = self.server.to_string();
        if self.relay == Some(Relay::Dhcrelay) {
            // dhcrelay hears, and relays, all that crosses its link, whoever it is for. So it is
            // stopped where it begins: an error, for a client that asks the routing table.
            return self
                .namespace
                .ip(&["rule", how, "to", &server, "blackhole"]);
        }
        let next = if self.relay.is_some() {
            GATEWAY
        } else {
            SERVER
        };
        // In place of the one that was found by ARP.
        let how = if how == "add" { "replace" } else { how };
        let neighbour = ["neighbour", how, next, "lladdr", NOBODY, "dev", "eth0"];
        self.namespace.ip(&neighbour)
    }

    /// Waits until the client's interface has the address.
    fn await_address(&self, address: Ipv4Addr) -> Result<(), String> {
        let wanted = format!("inet {address}/24 ");
        let shown = || {
            let mut command = self.namespace.command("ip");
            let output = command.args(["-4", "address", "show", "eth0"]).output();
            let output = output.map_err(|error| format!("cannot run ip: {error}"))?;
            Ok(String::from_utf8_lossy(&output.stdout).into_owned())
        };
        await_part(&wanted, 1, shown)
    }
}

/// Waits until a text has a part so many times.
fn await_part(
    part: &str,
    count: usize,
    text: impl Fn() -> Result<String, String>,
) -> Result<(), String> {
    let deadline = Instant::now() + PATIENCE;
    while text()?.matches(part).count() < count {
        if Instant::now() > deadline {
            let text = text()?;
            return Err(format!("{part:?} not {count} times in: {text}"));
        }
        std::thread::sleep(POLL_INTERVAL);
    }
    Ok(())
}

/// What a client asks first after its start, and the watch that saw it; it has been before, if its
/// folder is that of a former one.
fn started(
    site: &Site,
    namespace: &Namespace,
    relay: Option<Ipv4Addr>,
) -> Result<(DhcpClient, Watch, Datagram), String> {
    namespace.ip(&["address", "flush", "dev", "eth0"])?;
    let mut watch = Watch {
        tap: Wiretap::new(&site.at_server)?,
        seen: Vec::new(),
    };
    let client = DhcpClient::start(Program::Dhclient, namespace, site.scratch("client"))?;
    let request = watch.next("REQUEST", |datagram| {
        datagram.message_type() == Some(REQUEST) && datagram.giaddr() == relay
    });
    let request = request.map_err(|error| format!("{error}\n{}", client.said()))?;
    Ok((client, watch, request))
}

/// Waits until dhclient has bound this address so many times. It says so after it has written its lease
/// down, and runs its script before (`bind_lease` of its dhclient.c): ended in between, it knows of none.
fn await_kept(client: &DhcpClient, address: Ipv4Addr, times: usize) -> Result<(), String> {
    let says = format!("bound to {address} -- renewal in ");
    await_part(&says, times, || Ok(client.said()))
}

/// INIT-REBOOT (RFC 2131 section 3.2): the address without a DISCOVER before.
fn reboot(site: &Site) -> Result<(), String> {
    let lease = |is_again: bool| {
        let (client, mut watch, request) = started(site, &site.client, None)?;
        let address = watch.ack(&request)?;
        let (says, times) = if is_again {
            ("REBOOT", 2)
        } else {
            ("BOUND", 1)
        };
        await_part(&format!("{says} {address}\n"), 1, || Ok(client.said()))?;
        await_kept(&client, address, times)?;
        let options = reply::options(&request.payload).unwrap_or_default();
        ensure(options.contains_key(&54) != is_again, || {
            format!("its REQUEST was of another state: {options:?}")
        })?;
        Ok::<Ipv4Addr, String>(address)
    };
    let (first, second) = (lease(false)?, lease(true)?);
    ensure(first == second, || format!("{first}, then {second}"))
}

/// A NAK comes through the relay, and the client begins anew.
fn carried_away(site: &Site) -> Result<(), String> {
    const NAK: u8 = 6;
    let (client, mut watch, request) = started(site, &site.client, None)?;
    let first = watch.ack(&request)?;
    await_kept(&client, first, 1)?;
    drop(client);
    let _relay = Relay::Dhcrelay.start(site)?;
    let relay = Some(Ipv4Addr::new(10, 80, 0, 1));
    let (client, mut watch, request) = started(site, &site.far_client, relay)?;
    let options = reply::options(&request.payload).unwrap_or_default();
    ensure(options.get(&50) == Some(&first.octets().to_vec()), || {
        format!("it did not ask for {first}: {options:?}")
    })?;
    watch.next("NAK", |datagram| {
        datagram.is_reply()
            && datagram.xid() == request.xid()
            && datagram.message_type() == Some(NAK)
    })?;
    await_part("BOUND 10.80.0.", 1, || Ok(client.said()))
}

/// Whatever each of them says of itself: no identifier, 01 and the hardware address, a DUID.
fn one_address_for_all(site: &Site) -> Result<(), String> {
    let mut addresses = Vec::new();
    let mut identifiers = BTreeSet::new();
    for program in Program::ALL {
        site.client.ip(&["address", "flush", "dev", "eth0"])?;
        let mut watch = Watch {
            tap: Wiretap::new(&site.at_server)?,
            seen: Vec::new(),
        };
        let folder = site.scratch(&format!("{program:?}"));
        let client = DhcpClient::start(program, &site.client, folder)?;
        let leased = watch.next("REQUEST", |datagram| {
            datagram.message_type() == Some(REQUEST)
        });
        let leased = leased.and_then(|request| Ok((watch.ack(&request)?, request)));
        let (address, request) =
            leased.map_err(|error| format!("{program:?}: {error}\n{}", client.said()))?;
        let options = reply::options(&request.payload).unwrap_or_default();
        identifiers.insert(options.get(&61).cloned());
        addresses.push(address);
    }
    ensure(identifiers.len() >= 3, || {
        format!("the clients do not differ: {identifiers:?}")
    })?;
    ensure(
        addresses.iter().all(|one| Some(one) == addresses.first()),
        || format!("{addresses:?}"),
    )
}
