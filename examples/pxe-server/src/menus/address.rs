//! Where a client finds this server's files: what converted menus put before paths.

use std::net::{IpAddr, SocketAddr};

use pxe_tree::{FileRequest, Protocol, TreePath};

use super::wanted::Language;
use crate::config::{Config, MenuFileProtocol};

/// The sockets that were bound, whose ports are the real ones.
#[derive(Debug, Clone, Default)]
pub(crate) struct Served {
    /// Those of TFTP.
    pub(crate) tftp: Vec<SocketAddr>,
    /// Those of HTTP, each with the index of its `[http]`.
    pub(crate) http: Vec<(usize, SocketAddr)>,
}

impl Served {
    /// Where this configuration wants them served.
    pub(crate) fn listens(config: &Config) -> Self {
        let tftp = config.tftp.iter().flat_map(|tftp| &tftp.listen);
        let http = config.http.iter().enumerate();
        let http =
            http.flat_map(|(number, table)| table.listen.iter().map(move |at| (number, *at)));
        Self {
            tftp: tftp.copied().collect(),
            http: http.collect(),
        }
    }
}

/// What a client puts before the path of a file.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Address {
    /// The protocol and the server, without a slash at its end: a URL, or a device of GRUB.
    pub(super) base: String,
    /// The directory of the tree that is found there.
    pub(super) root: TreePath,
}

/// Where a menu's files are found: the first that has a file counts.
pub(super) fn addresses(
    config: &Config,
    served: &Served,
    language: Language,
    request: &FileRequest<'_>,
) -> Vec<Address> {
    let Some(local) = request.local else {
        return Vec::new();
    };
    let asked = local.ip().to_canonical();
    let host = config.menu.server.map_or(asked, IpAddr::V4);
    let here = |listen: &&SocketAddr| listen.ip().is_unspecified() || listen.ip() == asked;
    let by_http = request.protocol != Protocol::Tftp;
    let mut http: Vec<(u16, &TreePath)> = Vec::new();
    for (number, table) in config.http.iter().enumerate() {
        let own = served.http.iter().filter(|(of, _)| *of == number);
        let ports = own.map(|(_, listen)| listen).filter(here);
        let ports = ports.map(SocketAddr::port);
        // The one that was asked is known to be reached.
        let port = ports.min_by_key(|port| (by_http && *port != local.port(), *port));
        http.extend(port.map(|port| (port, &table.root)));
    }
    http.sort_by_key(|(port, root)| (!root.is_root(), by_http && *port != local.port()));
    let http = http.into_iter().map(|(port, root)| Address {
        base: language.base("http", host, (port != 80).then_some(port)),
        root: root.clone(),
    });
    let tftp = served.tftp.iter().find(here);
    let tftp = tftp.map(|listen| Address {
        base: language.base("tftp", host, (listen.port() != 69).then_some(listen.port())),
        root: TreePath::ROOT,
    });
    let is_http_first = match config.menu.files {
        Some(protocol) => protocol == MenuFileProtocol::Http,
        // Debian's signed GRUB that came by TFTP has no HTTP, and Secure Boot lets it load none.
        None => by_http || language == Language::Ipxe,
    };
    match is_http_first {
        true => http.chain(tftp).collect(),
        false => tftp.into_iter().chain(http).collect(),
    }
}

impl Language {
    fn base(self, scheme: &str, host: IpAddr, port: Option<u16>) -> String {
        let host = match host {
            IpAddr::V4(ip) => ip.to_string(),
            IpAddr::V6(ip) => format!("[{ip}]"),
        };
        let port = port.map_or_else(String::new, |port| format!(":{port}"));
        match self {
            Self::Grub => format!("({scheme},{host}{port})"),
            Self::Ipxe => format!("{scheme}://{host}{port}"),
        }
    }
}
