//! Real firmware's own messages, from boots that reached their system, get the answers with which they did.
//!
//! `captures/*.txt` are made by `cargo run -p pxe-boot-tests -- fixtures` out of boots in QEMU (tests/boot). Where an answer
//! is changed on purpose, boot the machines again and make the files anew.

mod support;

use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use pxe_core::{Destination, IfIndex, RecvMeta, SocketId};
use pxe_dhcp::wire::Message;
use pxe_dhcp::{ArchPolicy, ClientArch, Config, Mode, Subnet};
use support::Bench;

/// The server's address in the boots.
const BOOT_SERVER: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 1);

/// What was sent, and what it has to be answered.
#[derive(Debug, Default)]
struct Exchange {
    at: Duration,
    from: Option<SocketAddr>,
    to: Option<SocketAddr>,
    message: Vec<u8>,
    answer: String,
}

/// Reads a fixture: `> MILLISECONDS FROM TO` and the message, then perhaps `< FROM TO` and the answer's fields.
fn exchanges(fixture: &str) -> Vec<Exchange> {
    let mut exchanges: Vec<Exchange> = Vec::new();
    for line in fixture.lines() {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if let Some(asked) = line.strip_prefix("> ") {
            let mut words = asked.split(' ');
            let at = words.next().and_then(|word| word.parse().ok());
            let mut address = || words.next().and_then(|word| word.parse().ok());
            exchanges.push(Exchange {
                at: Duration::from_millis(at.expect("milliseconds")),
                from: address(),
                to: address(),
                ..Exchange::default()
            });
            continue;
        }
        let exchange = exchanges.last_mut().expect("a message before its bytes");
        if line.starts_with("< ") || !exchange.answer.is_empty() {
            writeln!(exchange.answer, "{line}").expect("a string");
        } else {
            let digits = line.as_bytes().chunks(2);
            let byte = |pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
            exchange
                .message
                .extend(digits.map(|pair| byte(pair).expect("hexadecimal digits")));
        }
    }
    exchanges
}

/// The address that the boot was given.
fn leased(exchanges: &[Exchange]) -> Option<Ipv4Addr> {
    let answers = exchanges
        .iter()
        .flat_map(|exchange| exchange.answer.lines());
    let addresses = answers.filter_map(|line| line.strip_prefix("yiaddr ")?.parse().ok());
    addresses
        .rev()
        .find(|address: &Ipv4Addr| !address.is_unspecified())
}

/// An answer as the fixtures have it.
fn described(from: SocketAddr, to: SocketAddr, reply: &[u8]) -> String {
    let message = Message::parse(reply).expect("a reply");
    let mut text = format!("< {from} {to}\nflags {:04x}\n", message.flags());
    let mut line = |name: &str, value: String| writeln!(text, "{name} {value}").expect("a string");
    for (name, start) in [
        ("ciaddr", 12),
        ("yiaddr", 16),
        ("siaddr", 20),
        ("giaddr", 24),
    ] {
        let octets = *reply[start..].first_chunk::<4>().expect("a header");
        line(name, Ipv4Addr::from(octets).to_string());
    }
    let name = |name: Option<&[u8]>| format!("{:?}", String::from_utf8_lossy(name.unwrap_or(b"")));
    line("sname", name(message.sname()));
    line("file", name(message.file()));
    for option in message.options() {
        line(&option.code.to_string(), value(option.data));
    }
    text
}

/// A value as text, if it is one that may end with NUL, or in hexadecimal digits.
fn value(data: &[u8]) -> String {
    let visible = data.strip_suffix(&[0]).unwrap_or(data);
    if visible.iter().all(|byte| (b' '..=b'~').contains(byte)) {
        format!("{:?}", String::from_utf8_lossy(data))
    } else {
        data.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// The configuration of tests/boot's server that leases, with the one address that the boot was given.
fn leasing(address: Ipv4Addr) -> Config {
    let subnet = Subnet::new("10.77.0.0/24".parse().expect("a network"));
    Config::new().with_subnet(
        subnet
            .with_pool(address, address)
            .with_routers(&[BOOT_SERVER]),
    )
}

fn syslinux() -> ArchPolicy {
    ArchPolicy::syslinux()
}

fn grub() -> ArchPolicy {
    ArchPolicy::new()
        .with_arch(
            ClientArch::UEFI_X64,
            "debian-installer/amd64/bootnetx64.efi",
        )
        .with_default("debian-installer/amd64/pxelinux.0")
}

fn ipxe() -> ArchPolicy {
    ArchPolicy::new()
        .with_arch(ClientArch::UEFI_X64, "ipxe/snponly.efi")
        .with_arch(
            ClientArch::UEFI_X64_HTTP,
            "http://{server}/ipxe/snponly.efi",
        )
        .with_default("ipxe/undionly.kpxe")
        .with_ipxe("http://{server}:8080/boot.ipxe")
}

/// Sends what the fixture has, when it was sent, and compares the answers.
fn replay(fixture: &str, policy: ArchPolicy, config: impl Fn(Option<Ipv4Addr>) -> Config) {
    let exchanges = exchanges(fixture);
    assert!(exchanges.len() > 1);
    let policy = policy
        .with_next_server(BOOT_SERVER)
        .with_config_file("pxelinux.cfg/default");
    let mut bench = Bench::new(config(leased(&exchanges)), policy);
    bench.server = BOOT_SERVER;
    let mut elapsed = Duration::ZERO;
    for exchange in &exchanges {
        bench.advance(exchange.at - elapsed);
        elapsed = exchange.at;
        let (from, to) = exchange.from.zip(exchange.to).expect("two addresses");
        let local = match to.ip() {
            IpAddr::V4(Ipv4Addr::BROADCAST) => IpAddr::V4(BOOT_SERVER),
            local => local,
        };
        let meta = RecvMeta::new(SocketId(0), from)
            .with_local_ip(local)
            .with_interface(IfIndex::new(2).expect("not zero"));
        match to.port() {
            67 => bench
                .engine
                .handle_datagram(bench.now, &meta, &exchange.message),
            4011 => bench
                .engine
                .handle_binl_datagram(bench.now, &meta, &exchange.message),
            other => panic!("port {other}"),
        }
        let mut answers = String::new();
        for (destination, reply) in bench.sent() {
            let from = SocketAddr::from((BOOT_SERVER, to.port()));
            answers += &described(from, on_the_wire(destination), &reply);
        }
        assert_eq!(answers, exchange.answer, "{:?}", bench.events);
    }
}

/// Where a datagram that is sent there is seen to go.
fn on_the_wire(destination: Destination) -> SocketAddr {
    match destination {
        Destination::Unicast(to) => to,
        Destination::Broadcast { port, .. } => SocketAddr::from((Ipv4Addr::BROADCAST, port)),
        Destination::LinkLayer { ip, port, .. } => SocketAddr::from((ip, port)),
        other => panic!("{other:?}"),
    }
}

/// With addresses from our own pool.
fn replay_leasing(fixture: &str, policy: ArchPolicy) {
    replay(fixture, policy, |address| {
        leasing(address.expect("a lease"))
    });
}

/// Beside another server, which gives the addresses.
fn replay_proxy(fixture: &str, policy: ArchPolicy) {
    replay(fixture, policy, |_| Config::new().with_mode(Mode::Proxy));
}

#[test]
fn seabios_ipxe_lpxelinux() {
    replay_leasing(
        include_str!("captures/seabios-ipxe-lpxelinux.txt"),
        syslinux(),
    );
}

#[test]
fn seabios_undionly_script() {
    replay_leasing(include_str!("captures/seabios-undionly-script.txt"), ipxe());
}

#[test]
fn ovmf_syslinux_efi() {
    replay_leasing(include_str!("captures/ovmf-syslinux-efi.txt"), syslinux());
}

#[test]
fn ovmf_grub() {
    replay_leasing(include_str!("captures/ovmf-grub.txt"), grub());
}

#[test]
fn ovmf_snponly_script() {
    replay_leasing(include_str!("captures/ovmf-snponly-script.txt"), ipxe());
}

#[test]
fn ovmf_http_snponly_script() {
    replay_leasing(
        include_str!("captures/ovmf-http-snponly-script.txt"),
        ipxe(),
    );
}

#[test]
fn seabios_proxy_lpxelinux() {
    replay_proxy(
        include_str!("captures/seabios-proxy-lpxelinux.txt"),
        syslinux(),
    );
}

#[test]
fn seabios_proxy_undionly_script() {
    replay_proxy(
        include_str!("captures/seabios-proxy-undionly-script.txt"),
        ipxe(),
    );
}

#[test]
fn ovmf_proxy_syslinux_efi() {
    replay_proxy(
        include_str!("captures/ovmf-proxy-syslinux-efi.txt"),
        syslinux(),
    );
}

#[test]
fn ovmf_proxy_http_snponly_script() {
    replay_proxy(
        include_str!("captures/ovmf-proxy-http-snponly-script.txt"),
        ipxe(),
    );
}
