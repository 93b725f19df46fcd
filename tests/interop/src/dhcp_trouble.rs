//! What goes wrong around the DHCP server: privileges, file descriptors or neighbours are missing.

use std::net::{Ipv4Addr, UdpSocket};
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use pxe_test_lab::{POLL_INTERVAL, run};
use socket2::{Domain, Protocol, Socket, Type};

use crate::LoneTest;
use crate::client::ensure;
use crate::dhcp_link::{Lan, PATIENCE, SERVER, add_address, mac, text};
use crate::firmware::{self, DISCOVER, REQUEST};
use crate::wiretap::Wiretap;

pub(crate) const TESTS: &[LoneTest] = &[
    (
        "without_packet_sockets_clients_are_answered_by_broadcast",
        no_packet_sockets,
    ),
    ("silent_neighbours_hold_nobody_up", silent_neighbours),
    (
        "a_lease_is_renewed_at_an_interface_that_was_made_anew",
        renewed,
    ),
    (
        "a_server_short_of_file_descriptors_catches_up",
        short_of_descriptors,
    ),
    ("a_proxy_misses_the_other_server", no_other_server),
];

const POOL: &str = "10.77.0.30-10.77.0.50";

fn no_packet_sockets(program: &Path) -> Result<(), String> {
    let mut lan = Lan::new(program)?;
    lan.configure(POOL)?;
    lan.serve_by(&["setpriv", "--bounding-set=-net_raw"])?;
    lan.await_log(&["link_layer_unavailable"])?;
    let tap = Wiretap::new(&lan.client)?;
    let (address, _) = lan.lease(&mac(1), &["-R"])?;
    let deadline = Instant::now() + PATIENCE;
    let mut replies = 0;
    while replies < 2 {
        let datagram = tap.next(deadline).ok_or("no OFFER and ACK were heard")?;
        if !datagram.is_reply() {
            continue;
        }
        replies += 1;
        ensure(datagram.destination.ip().is_broadcast(), || {
            format!("a reply to {address} went to {datagram:?}")
        })?;
    }
    // What was another client's cannot be probed, and is given all the same.
    lan.lease(&mac(2), &[])?;
    lan.end()
}

/// Replies to relays that do not exist fill the socket's buffer, as each waits for an answer by
/// ARP, here for hours.
fn silent_neighbours(program: &Path) -> Result<(), String> {
    let mut lan = Lan::new(program)?;
    let key = "net.ipv4.neigh.br0.mcast_solicit=1000000";
    run(lan.at_server.command("sysctl").args(["-qw", key]))?;
    lan.serve("10.77.0.30-10.77.0.90")?;
    add_address(&lan.other, "10.77.0.9", "eth0")?;
    let socket = lan.other.enter(|| UdpSocket::bind("10.77.0.9:67"))?;
    let socket = socket.map_err(text)?;
    for round in 1..=30 {
        for number in 0..20 {
            let relay = Ipv4Addr::new(10, 77, 0, 200 + number % 5);
            let mut message = firmware::udhcpc(number).message(DISCOVER, &[]);
            (message.xid, message.giaddr) = (round, relay);
            socket
                .send_to(&message.bytes(), (SERVER, 67))
                .map_err(text)?;
        }
        let deadline = Instant::now() + PATIENCE;
        let offers = || lan.log().matches("\"offered\"").count();
        while offers() < 20 * round as usize {
            ensure(Instant::now() < deadline, || {
                format!("the server stands still after {} offers", offers())
            })?;
            std::thread::sleep(POLL_INTERVAL);
        }
    }
    // Some had no room.
    lan.await_log(&["send_failed"])?;
    for (last, more) in [(1, &[][..]), (2, &["-B"])] {
        lan.lease(&mac(last), more)?;
    }
    lan.end()
}

/// Port 67 is privileged, and the server runs as nobody by then: a packet socket stands in.
fn renewed(program: &Path) -> Result<(), String> {
    let mut lan = Lan::new(program)?;
    lan.serve(POOL)?;
    lan.at_server.ip(&["link", "delete", "br0"])?;
    lan.await_log(&["interface_lost"])?;
    lan.make_bridge(SERVER)?;
    lan.await_log(&["own_addresses", SERVER])?;
    lan.await_log(&["interface_served"])?;
    let client = firmware::udhcpc(1);
    let hardware: Vec<String> = client
        .hardware
        .iter()
        .map(|one| format!("{one:02x}"))
        .collect();
    let (address, _) = lan.lease(&hardware.join(":"), &[])?;
    add_address(&lan.client, &address.to_string(), "eth0")?;
    let answer = lan.client.enter(|| {
        let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP))?;
        socket.bind(&std::net::SocketAddrV4::new(address, 68).into())?;
        socket.set_read_timeout(Some(PATIENCE))?;
        let socket = UdpSocket::from(socket);
        let renewal = client.message(REQUEST, &[]).at(address);
        let mut bytes = renewal.bytes();
        // The kernel takes such datagrams in as well: of odd length, and with bytes beyond the end.
        bytes.push(0);
        socket.send_to(&bytes, (SERVER, 67))?;
        let mut answer = vec![0; 1500];
        let (len, from) = socket.recv_from(&mut answer)?;
        answer.truncate(len);
        Ok((answer, from))
    })?;
    let (answer, from) = answer.map_err(|error: std::io::Error| error.to_string())?;
    ensure(from.to_string() == format!("{SERVER}:67"), || {
        format!("the answer is from {from}")
    })?;
    let options = crate::reply::options(&answer).ok_or("no options")?;
    ensure(options.get(&53).is_some_and(|kind| *kind == [5]), || {
        format!("{options:?} is no ACK")
    })?;
    lan.end()
}

fn short_of_descriptors(program: &Path) -> Result<(), String> {
    let mut lan = Lan::new(program)?;
    lan.serve(POOL)?;
    let limit = |soft: &str| {
        let pid = lan.server.as_ref().map_or(0, pxe_test_lab::Process::id);
        // Root may have to be of the same user.
        let nobody = [
            "--reuid=nobody",
            "--regid=nogroup",
            "--clear-groups",
            "prlimit",
        ];
        let (pid, limit) = (format!("--pid={pid}"), format!("--nofile={soft}:"));
        run(Command::new("setpriv").args(nobody).args([pid, limit]))
    };
    // "ready" is logged when all is bound, before the driver has its other descriptors; it has them once
    // it has answered.
    lan.lease(&mac(9), &[])?;
    limit("3")?;
    add_address(&lan.at_server, "10.77.0.2", "br0")?;
    // It has its sockets, and so goes on.
    for last in 1..=8 {
        lan.lease(&mac(last), &[])?;
    }
    ensure(!lan.log().contains("own_addresses"), || lan.log())?;
    limit("1024")?;
    lan.await_log(&["own_addresses", "10.77.0.2"])?;
    lan.end()
}

fn no_other_server(program: &Path) -> Result<(), String> {
    let mut lan = Lan::new(program)?;
    let config = lan.configure(POOL)?;
    let content = std::fs::read_to_string(&config).map_err(text)?;
    let (head, _) = content.split_once("[[dhcp.subnet]]").ok_or("no subnet")?;
    let proxy = format!("{head}mode = \"proxy\"\n[boot]\nfiles = {{ default = \"x\" }}\n");
    std::fs::write(&config, proxy).map_err(text)?;
    lan.serve_by(&[])?;
    lan.await_log(&["no_other_server", "br0"])?;
    lan.end()
}
