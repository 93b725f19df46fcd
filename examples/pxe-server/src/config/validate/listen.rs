//! `[tftp]` and `[http]`: who listens where.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::num::NonZeroU32;
use std::ops::RangeInclusive;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use pxe_tree::{NameBuf, TreePath};

use super::super::file::{self, OneOrMany};
use super::super::place::Problems;
use super::super::{Dns, Http, Nfs, Tftp, Tls, Tree};
use super::rewrite::rewrite;
use super::value::number;

/// As many sockets as a process can have where nobody has raised that (fs.nr_open), less some.
const CONNECTIONS_MAX: i64 = 1_000_000;
/// A day: who waits longer has gone.
const SECONDS_MAX: i64 = 86_400;

pub(super) fn tftp(problems: &mut Problems<'_>, raw: &file::Tftp, tree: &Tree) -> Tftp {
    let single_port = raw.single_port.unwrap_or(false);
    let port_range = raw.port_range.as_deref().and_then(|text| {
        if single_port {
            problems.error(
                "tftp.port_range",
                format!("{text} has no meaning with single_port = true"),
                "remove one of the two",
            );
        }
        port_range(problems, "tftp.port_range", text)
    });
    let blksize = number(problems, "tftp.blksize_max", raw.blksize_max, 8..=65_464);
    let windowsize = number(
        problems,
        "tftp.windowsize_max",
        raw.windowsize_max,
        1..=65_535,
    );
    let transfers = number(
        problems,
        "tftp.transfers_max",
        raw.transfers_max,
        1..=65_536,
    );
    let per_client = number(
        problems,
        "tftp.transfers_per_client_max",
        raw.transfers_per_client_max,
        1..=65_536,
    );
    Tftp {
        listen: listeners(problems, "tftp.listen", raw.listen.as_ref(), 69),
        single_port,
        port_range,
        clamp_blksize_to_mtu: raw.clamp_blksize_to_mtu.unwrap_or(true),
        blksize_max: blksize.unwrap_or(65_464),
        windowsize_max: windowsize.unwrap_or(64),
        transfers_max: transfers.unwrap_or(4096),
        transfers_per_client_max: per_client.unwrap_or(512),
        ignore_case: raw.ignore_case.unwrap_or(false),
        quiet_misses: raw.quiet_misses.unwrap_or(false),
        rewrite: Arc::new(rewrite(problems, raw, tree)),
    }
}

fn port_range(problems: &mut Problems<'_>, path: &str, text: &str) -> Option<RangeInclusive<u16>> {
    let ports = text
        .split_once('-')
        .and_then(|(first, last)| Some((first.parse().ok()?, last.parse().ok()?)));
    match ports {
        Some((first, last)) if 0 < first && first <= last => Some(first..=last),
        _ => {
            problems.error(
                path,
                format!("{text:?} is no range of ports"),
                "write it as 40000-40999",
            );
            None
        }
    }
}

pub(super) fn http(
    problems: &mut Problems<'_>,
    raw: &OneOrMany<file::Http>,
    directory: &Path,
) -> Vec<Http> {
    let mut all = Vec::new();
    for (key, raw) in raw.with_paths("http") {
        let root = raw.root.as_deref().unwrap_or("/");
        let path = format!("{key}.root");
        if root.split('/').any(|name| name == "..") {
            problems.error(
                &path,
                format!("{root} leads out of the tree"),
                "name a directory below tree.root, such as /os",
            );
        }
        let root = TreePath::parse(root).unwrap_or_else(|error| {
            problems.error(
                &path,
                format!("{root:?}: {error}"),
                "name a directory of the tree, such as /os",
            );
            TreePath::default()
        });
        let tls = (raw.tls.as_ref()).and_then(|raw| tls(problems, &key, raw, directory));
        let port = if raw.tls.is_some() { 443 } else { 80 };
        all.push(Http {
            listen: listeners(
                problems,
                &format!("{key}.listen"),
                raw.listen.as_ref(),
                port,
            ),
            root,
            has_listings: raw.listings.unwrap_or(true),
            index: index(problems, &key, raw.index.as_deref()),
            limits: http_limits(problems, &key, raw),
            tls,
            key,
        });
    }
    all
}

/// A name, as the file stands in the directory itself.
fn index(problems: &mut Problems<'_>, key: &str, raw: Option<&str>) -> Option<NameBuf> {
    let text = match raw {
        None => "index.html",
        Some("") => return None,
        Some(text) => text,
    };
    let name = NameBuf::new(text.to_owned());
    if name.is_err() {
        let remedy = "write the name of a file, such as index.html, or \"\" for none";
        problems.error(
            &format!("{key}.index"),
            format!("{text:?} is no name"),
            remedy,
        );
    }
    name.ok()
}

fn http_limits(problems: &mut Problems<'_>, key: &str, raw: &file::Http) -> pxe_http::Limits {
    let mut limits = pxe_http::Limits::default();
    let path = |name: &str| format!("{key}.{name}");
    let counts = [
        (
            "connections_max",
            raw.connections_max,
            &mut limits.connections_max,
        ),
        (
            "connections_per_client_max",
            raw.connections_per_client_max,
            &mut limits.connections_per_client_max,
        ),
    ];
    for (name, raw, limit) in counts {
        if let Some(count) = number(problems, &path(name), raw, 1..=CONNECTIONS_MAX) {
            *limit = count;
        }
    }
    let rate = number(
        problems,
        &path("requests_per_client_per_second"),
        raw.requests_per_client_per_second,
        0..=i64::from(u32::MAX),
    );
    if let Some(rate) = rate {
        // 0: any number.
        limits.requests_per_client_per_second = NonZeroU32::new(rate);
    }
    let burst = number(
        problems,
        &path("requests_per_client_burst"),
        raw.requests_per_client_burst,
        1..=i64::from(u32::MAX),
    );
    if let Some(burst) = burst {
        limits.requests_per_client_burst = burst;
    }
    let times = [
        ("idle_seconds", raw.idle_seconds, &mut limits.idle_timeout),
        (
            "stall_seconds",
            raw.stall_seconds,
            &mut limits.stall_timeout,
        ),
    ];
    for (name, raw, limit) in times {
        if let Some(seconds) = number(problems, &path(name), raw, 1..=SECONDS_MAX) {
            *limit = Duration::from_secs(seconds);
        }
    }
    limits
}

/// Both files may be one.
fn tls(problems: &mut Problems<'_>, key: &str, raw: &file::Tls, directory: &Path) -> Option<Tls> {
    let mut file = |name: &str, raw: Option<&str>| match raw {
        None | Some("") => {
            let message = format!("names no {name}");
            let remedy = format!("write {name} = \"/etc/pxe-server/https.pem\"");
            problems.error(&format!("{key}.tls"), message, remedy);
            None
        }
        Some(file) => Some(directory.join(file)),
    };
    let certificate = file("certificate", raw.certificate.as_deref());
    let key = file("key", raw.key.as_deref());
    Some(Tls {
        certificate: certificate?,
        key: key?,
        finite_field: raw.finite_field.unwrap_or(true),
    })
}

pub(super) fn listeners(
    problems: &mut Problems<'_>,
    path: &str,
    raw: Option<&OneOrMany<String>>,
    port: u16,
) -> Vec<SocketAddr> {
    let Some(raw) = raw else {
        return vec![SocketAddr::from((Ipv4Addr::UNSPECIFIED, port))];
    };
    if raw.values.is_empty() {
        problems.error(
            path,
            "is empty",
            format!("name an address, such as 0.0.0.0:{port}, or remove the table"),
        );
    }
    let mut listeners = Vec::new();
    for (path, text) in raw.with_paths(path) {
        match (text.parse::<SocketAddr>(), text.parse::<IpAddr>()) {
            (Ok(address), _) => listeners.push(address),
            (_, Ok(ip)) => problems.error(
                &path,
                format!("{text} has no port"),
                format!("write {}", SocketAddr::new(ip, port)),
            ),
            _ => problems.error(
                &path,
                format!("{text:?} is no address and port"),
                format!("write it as 192.168.150.1:{port}"),
            ),
        }
    }
    listeners
}

/// Two listeners of one transport cannot have one address, nor one and the wildcard over it.
pub(super) fn distinct_listeners(
    problems: &mut Problems<'_>,
    tftp: Option<&Tftp>,
    http: &[Http],
    nfs: Option<&Nfs>,
    dns: Option<&Dns>,
) {
    let tftp = tftp.map(|tftp| ("tftp", tftp.listen.as_slice()));
    let http = http
        .iter()
        .map(|http| (http.key.as_str(), http.listen.as_slice()));
    // By both transports.
    let nfs = nfs.map(|nfs| ("nfs", nfs.listen.as_slice()));
    let dns = dns.and_then(|dns| Some(("dns", dns.listen.as_deref()?)));
    let mut told: Vec<String> = Vec::new();
    for transport in [
        tftp.into_iter().chain(nfs).chain(dns).collect(),
        http.chain(nfs).chain(dns).collect::<Vec<_>>(),
    ] {
        let mut seen: Vec<SocketAddr> = Vec::new();
        for (key, listeners) in transport {
            for (index, listener) in listeners.iter().enumerate() {
                if let Some(twin) = seen.iter().find(|twin| clash(**twin, *listener)) {
                    let message = match twin == listener {
                        true => format!("two listeners have {listener}"),
                        false => format!("{listener} and {twin} cannot both be listened at"),
                    };
                    let path = format!("{key}.listen[{index}]");
                    if !told.contains(&path) {
                        problems.error(&path, message, "remove one of them");
                        told.push(path);
                    }
                }
                seen.push(*listener);
            }
        }
    }
}

fn clash(a: SocketAddr, b: SocketAddr) -> bool {
    // A wildcard takes every address of its family, and that of IPv6 takes IPv4's, too.
    let takes =
        |a: IpAddr, b: IpAddr| a == b || (a.is_unspecified() && (a.is_ipv6() || b.is_ipv4()));
    // Port 0 is a new port each time.
    a.port() == b.port() && a.port() != 0 && (takes(a.ip(), b.ip()) || takes(b.ip(), a.ip()))
}
