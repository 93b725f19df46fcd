//! Where a client finds this server's files: what converted menus put before paths.

use std::net::{IpAddr, SocketAddr};

use pxe_tree::{FileRequest, Protocol, TreePath};

use super::wanted::Language;
use crate::config::{Config, MenuFileProtocol};
use crate::source::images_apart;

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
    /// The folder of images, if it is found there too, by its path in the whole tree.
    pub(super) images: Option<TreePath>,
}

impl Address {
    /// What follows the base for a directory of the tree, if it is found there.
    pub(super) fn below(&self, directory: &TreePath) -> Option<TreePath> {
        directory.strip_prefix(&self.root).or_else(|| {
            let images = self.images.as_ref()?;
            directory.strip_prefix(images)?;
            Some(directory.clone())
        })
    }
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
    let host = match (config.menu.server, asked) {
        (Some(server), IpAddr::V4(_)) => IpAddr::V4(server),
        // Who asks by IPv6 is behind no NAT, and may have no IPv4.
        _ => asked,
    };
    // `[::]` takes IPv4 as well; 0.0.0.0 takes nothing else.
    let all = |ip: IpAddr| ip.is_unspecified() && (ip.is_ipv6() || asked.is_ipv4());
    let here = |listen: &&SocketAddr| listen.ip() == asked || all(listen.ip());
    let by_http = request.protocol != Protocol::Tftp;
    let mut http: Vec<(u16, &TreePath)> = Vec::new();
    // Menus say http, and not every loader has the other.
    let tables = config.http.iter().enumerate();
    for (number, table) in tables.filter(|(_, table)| table.tls.is_none()) {
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
        images: images_apart(config, root).cloned(),
    });
    let tftp = served.tftp.iter().find(here);
    let tftp = tftp.map(|listen| Address {
        base: language.base("tftp", host, (listen.port() != 69).then_some(listen.port())),
        root: TreePath::ROOT,
        images: None,
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
            Self::Syslinux | Self::Ipxe => format!("{scheme}://{host}{port}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn bases(more: &str, local: &str, protocol: Protocol) -> Vec<String> {
        let text = format!("[tree]\nroot = \"/srv/tftp\"\n{more}");
        let config = Config::parse(&text, Path::new("test.toml")).expect("valid");
        let served = Served::listens(&config);
        let path = TreePath::parse("boot.ipxe").expect("valid");
        let local: SocketAddr = local.parse().expect("an address");
        let request = FileRequest::new(protocol, local, &path).with_local(local);
        let addresses = addresses(&config, &served, Language::Ipxe, &request);
        addresses.into_iter().map(|one| one.base).collect()
    }

    #[test]
    fn a_listener_of_ipv4_alone_is_no_address_of_ipv6() {
        let listen = "[tftp]\nlisten = \"0.0.0.0:69\"\n[http]\nlisten = \"[::]:80\"\n";
        assert_eq!(
            bases(listen, "[2001:db8::1]:80", Protocol::Http),
            ["http://[2001:db8::1]"]
        );
        // `[::]` takes IPv4, too.
        assert_eq!(
            bases(listen, "192.0.2.1:69", Protocol::Tftp),
            ["http://192.0.2.1", "tftp://192.0.2.1"]
        );
    }

    #[test]
    fn the_address_behind_a_nat_is_for_ipv4() {
        let menu = "[http]\nlisten = \"[::]:80\"\n[menu]\nserver = \"198.51.100.1\"\n";
        assert_eq!(
            bases(menu, "192.0.2.1:80", Protocol::Http),
            ["http://198.51.100.1"]
        );
        assert_eq!(
            bases(menu, "[2001:db8::1]:80", Protocol::Http),
            ["http://[2001:db8::1]"]
        );
    }
}
