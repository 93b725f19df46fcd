//! The configuration: read from a file, checked as a whole, and only then a value.
//!
//! [`Config::parse`] knows nothing but the text; what depends on this machine (directories, the
//! user, interfaces) is checked by [`Config::check_machine`] before anything starts.

mod dns;
mod file;
mod images;
mod machine;
mod machine_nfs;
mod machine_tls;
mod nfs;
mod parse;
mod place;
mod suggest;
mod validate;

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use pxe_dhcp::{
    Bootp, Class, ClientArch, DhcpOption, Ipv4Net, Mode, Pattern, Probing, ReservedFor,
};
use pxe_tree::{NameBuf, RewriteRules, TreePath};

pub use self::dns::{Dns, DnsAddress, DnsClients, DnsForward, DnsWho, DnsZone, ZoneContent};
pub use self::images::Images;
pub use self::nfs::{ExportedFiles, Nfs, NfsExport, Portmap};
pub(crate) use self::parse::problem as toml_problem;
pub use self::place::{ConfigError, Place, Problem};
pub(crate) use self::place::{Places, Problems, located};
pub(crate) use self::suggest::nearest;

/// Where the control socket is, if nothing else is said.
pub const CONTROL_DEFAULT: &str = "/run/pxe-server/control.sock";

/// Where the server of a machine keeps its leases, if it is started as root and nothing else is
/// said.
pub const LEASES_DEFAULT: &str = "/var/lib/pxe-server/leases.redb";

/// Where the server of a machine keeps the key of its file handles, if it is started as root and
/// nothing else is said.
pub const HANDLE_KEY_DEFAULT: &str = "/var/lib/pxe-server/nfs.key";

/// What `leases.store` says for leases that are kept in memory.
pub(crate) const LEASES_IN_MEMORY: &str = ":memory:";

/// A valid configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Config {
    /// The file it was read from; it names the places of later errors.
    pub file: PathBuf,
    /// `[server]`: the process.
    pub server: Server,
    /// `[tree]`: the files.
    pub tree: Tree,
    /// `[leases]`: where they are kept.
    pub leases: Leases,
    /// `[dhcp]`, if addresses are to be given.
    pub dhcp: Option<Dhcp>,
    /// `[boot]`, if machines are told what to boot.
    pub boot: Option<Boot>,
    /// `[tftp]`, if files are to be sent by TFTP.
    pub tftp: Option<Tftp>,
    /// Each `[http]`.
    pub http: Vec<Http>,
    /// `[nfs]`, if directories are to be mounted.
    pub nfs: Option<Nfs>,
    /// `[dns]`, if names are to be answered.
    pub dns: Option<Dns>,
    /// `[images]`, if images of systems are to be served.
    pub images: Option<Images>,
    /// `[menu]`: what is done with menus when they are served.
    pub menu: Menu,
    /// `[log]`.
    pub log: Log,
    /// What is allowed, but probably not meant.
    pub warnings: Vec<Problem>,
    /// Where each key stands.
    pub(crate) places: Places,
}

/// `[server]`: the process.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Server {
    /// The user to become when started as root; `None` to stay root.
    pub user: Option<String>,
    /// The control socket's path; `None` for no control socket.
    pub control: Option<PathBuf>,
    /// How long running transfers may go on after SIGTERM.
    pub grace: Duration,
}

/// `[leases]`: where they are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Leases {
    /// Where. If it is not said, `pxe-server serve` takes [`LEASES_DEFAULT`] when it is started as
    /// root; in all other cases they are in memory.
    pub store: Option<Store>,
}

/// Where leases are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Store {
    /// In memory: they end with the server.
    Memory,
    /// In this file, which is made if it is missing.
    File(PathBuf),
}

/// `[tree]`: the files.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Tree {
    /// The directory.
    pub root: PathBuf,
    /// Whether `\Boot\BCD` finds `boot/bcd`.
    pub ignore_case: bool,
}

/// `[dhcp]`: addresses.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Dhcp {
    /// The interfaces to answer all clients on.
    pub interfaces: Vec<String>,
    /// The addresses to answer relays at, and clients that have an address. There is at least one
    /// interface or one such address.
    pub listen: Vec<Ipv4Addr>,
    /// The server's UDP port; clients listen on the next one. 67 but in tests.
    pub port: u16,
    /// The UDP port of boot servers. 4011 but in tests.
    pub binl_port: u16,
    /// Who gives the addresses.
    pub mode: Mode,
    /// When an address is probed before it is offered.
    pub probing: Probing,
    /// For how long an offered address is kept.
    pub offer: Duration,
    /// For how long an address that was found in use is given to nobody.
    pub quarantine: Duration,
    /// `[dhcp.limits]`: bounds on what clients can make the server keep and do.
    pub limits: pxe_dhcp::Limits,
    /// Options for every client.
    pub options: Vec<DhcpOption>,
    /// The networks; at least one, unless another server gives the addresses.
    pub subnets: Vec<Subnet>,
    /// Each `[[dhcp.class]]`.
    pub classes: Vec<Class>,
    /// Each `[[dhcp.host]]`.
    pub hosts: Vec<Host>,
}

/// `[[dhcp.host]]`: a machine that is known, and what it alone gets. What its group says and it
/// does not is in here.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Host {
    /// By what logs and explanations call it.
    pub name: String,
    /// By what it is recognised.
    pub client: ReservedFor,
    /// Its address; `None` for one of a pool.
    pub address: Option<Ipv4Addr>,
    /// Option 12.
    pub host_name: Option<String>,
    /// What it boots, and from where, if that is said.
    pub boot: HostBoot,
    /// Its lease time, if it has one of its own.
    pub lease_seconds: Option<u32>,
    /// Its own options, then those of its group.
    pub options: Vec<DhcpOption>,
}

/// What a host or its group says about booting.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct HostBoot {
    /// A file or a URL.
    pub file: Option<String>,
    /// It may not boot, nor have any file.
    pub is_denied: bool,
    /// The boot server.
    pub next_server: Option<Ipv4Addr>,
}

/// `[[dhcp.subnet]]`: a network and what its machines are told.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Subnet {
    /// The network.
    pub network: Ipv4Net,
    /// Subnets with the same name here are on one link.
    pub shared_network: Option<String>,
    /// The addresses to give.
    pub pools: Vec<RangeInclusive<Ipv4Addr>>,
    /// Ranges within the pools that are not given.
    pub exclusions: Vec<RangeInclusive<Ipv4Addr>>,
    /// Option 3.
    pub routers: Vec<Ipv4Addr>,
    /// Option 6.
    pub dns_servers: Vec<Ipv4Addr>,
    /// Option 15.
    pub domain_name: Option<String>,
    /// The lease time of a client that asks for none.
    pub lease_seconds: u32,
    /// The shortest lease time that a client can ask for.
    pub lease_seconds_min: u32,
    /// The longest lease time that a client can ask for.
    pub lease_seconds_max: u32,
    /// Option 58; `None` for half of the lease.
    pub t1_seconds: Option<u32>,
    /// Option 59; `None` for 7/8 of the lease.
    pub t2_seconds: Option<u32>,
    /// Our address there; `None` for that of the interface.
    pub server_ip: Option<Ipv4Addr>,
    /// Whether only machines with a `[[dhcp.host]]` get an address.
    pub known_clients_only: bool,
    /// How clients that speak plain BOOTP are served.
    pub bootp: Bootp,
    /// Further options.
    pub options: Vec<DhcpOption>,
}

/// `[boot]`: what machines are told to boot.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Boot {
    /// The TFTP server's address; `None` for the address of the interface that was asked.
    pub next_server: Option<Ipv4Addr>,
    /// `[[boot.rule]]`: what is tried before the files.
    pub rules: Vec<pxe_dhcp::Rule>,
    /// The boot file or URL of each architecture.
    pub files: BTreeMap<ClientArch, String>,
    /// The boot file or URL of every other architecture.
    pub default_file: Option<String>,
    /// The boot file or URL of iPXE, whatever its architecture. In this one and those above,
    /// `{server}` stands for our address, as do the others of [`pxe_dhcp::PLACEHOLDERS`].
    pub ipxe: Option<String>,
    /// Option 209: pxelinux's configuration file.
    pub configfile: Option<String>,
    /// Option 210: what pxelinux puts before each name.
    pub path_prefix: Option<String>,
    /// Option 208: the magic that PXELINUX before 3.55 wants to see before it believes the others.
    pub pxelinux_magic: bool,
    /// Option 211: after how many seconds pxelinux reboots if all fails.
    pub reboot_seconds: Option<u32>,
}

/// `[tftp]`.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Tftp {
    /// The addresses to listen at; at least one.
    pub listen: Vec<SocketAddr>,
    /// Send from the port that was asked, for NAT and containers.
    pub single_port: bool,
    /// The ports that transfers use; `None` for any.
    pub port_range: Option<RangeInclusive<u16>>,
    /// Whether blocks are kept to what the interface's MTU takes unfragmented.
    pub clamp_blksize_to_mtu: bool,
    /// The greatest block size to grant, in bytes.
    pub blksize_max: u16,
    /// The greatest window to grant, in blocks.
    pub windowsize_max: u16,
    /// The greatest number of transfers at once.
    pub transfers_max: usize,
    /// The greatest number of transfers at once with one address.
    pub transfers_per_client_max: usize,
    /// Whether names are found in any case, as `[tree] ignore_case` says for HTTP too.
    pub ignore_case: bool,
    /// Whether a missing file is logged at level debug only.
    pub quiet_misses: bool,
    /// From the path that is asked for to the one that is served; the last rule is the one for
    /// Raspberry Pis, unless that is switched off.
    pub rewrite: Arc<RewriteRules>,
}

/// `[http]`: one directory of the tree, at one or several addresses.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Http {
    /// The addresses to listen at; at least one.
    pub listen: Vec<SocketAddr>,
    /// The directory of the tree that `/` shows.
    pub root: TreePath,
    /// Whether it is shown what is in a directory.
    pub has_listings: bool,
    /// The file that stands for a directory, where it has one.
    pub index: Option<NameBuf>,
    /// What clients at these addresses can make the server hold.
    pub limits: pxe_http::Limits,
    /// What it takes to speak HTTPS there; `None`: HTTP in clear.
    pub tls: Option<Tls>,
    /// Its path in the file: `http`, or `http[1]`.
    pub(crate) key: String,
}

/// `tls` of `[http]`: who the server is to its clients.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Tls {
    /// The file of the certificate, and of those that lead from it to the CA: PEM.
    pub certificate: PathBuf,
    /// The file of its private key: PEM.
    pub key: PathBuf,
    /// Whether clients without elliptic curves are served, by a key exchange in a finite field.
    pub finite_field: bool,
}

/// `[menu]`: what is done with menus when they are served.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Menu {
    /// Whether GRUB and iPXE get pxelinux's menu in their own language where the tree has none for
    /// them.
    pub convert: bool,
    /// The boot file of the pxelinux or syslinux.efi whose menu that is; `None`: of one that
    /// `[boot]` names, or of one in a usual place.
    pub pxelinux: Option<String>,
    /// By which protocol menus that were converted name this server's files; `None`: by one that
    /// the loader is known to have.
    pub files: Option<MenuFileProtocol>,
    /// By which address they name this server; `None`: by the one that was asked.
    pub server: Option<Ipv4Addr>,
    /// The files whose placeholders are filled in for each client, by their paths in the tree
    /// without links and without a slash before them.
    pub templates: Vec<Pattern>,
}

/// By which protocol a menu names files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum MenuFileProtocol {
    /// TFTP.
    Tftp,
    /// HTTP.
    Http,
}

impl MenuFileProtocol {
    const NAMES: [(&str, Self); 2] = [("tftp", Self::Tftp), ("http", Self::Http)];
}

/// `[log]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Log {
    /// How lines look.
    pub format: LogFormat,
    /// Which lines there are.
    pub level: LogLevel,
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

impl LogFormat {
    const NAMES: [(&str, Self); 2] = [("text", Self::Text), ("json", Self::Json)];
}

/// How much is logged. Each level includes those before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum LogLevel {
    /// What keeps the server from working.
    Error,
    /// What somebody should look at.
    Warn,
    /// What machines do.
    Info,
    /// What is normal but noisy: size probes, names that loaders try, repeated packets.
    Debug,
    /// Everything, that of the libraries too.
    Trace,
}

impl LogLevel {
    const NAMES: [(&str, Self); 5] = [
        ("error", Self::Error),
        ("warn", Self::Warn),
        ("info", Self::Info),
        ("debug", Self::Debug),
        ("trace", Self::Trace),
    ];

    /// The name in the configuration.
    pub const fn as_str(self) -> &'static str {
        Self::NAMES[self as usize].0
    }
}

impl Config {
    /// Reads and checks a file.
    ///
    /// # Errors
    /// All that is wrong with it; or that it cannot be read.
    pub fn load(file: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(file).map_err(|error| {
            let message = format!("cannot read the configuration: {error}");
            let remedy = match error.kind() {
                std::io::ErrorKind::NotFound | std::io::ErrorKind::IsADirectory => {
                    "give the path of an existing file"
                }
                std::io::ErrorKind::PermissionDenied => "make it readable for this user",
                std::io::ErrorKind::InvalidData => "write it in UTF-8",
                _ => "",
            };
            ConfigError {
                file: file.to_owned(),
                problems: vec![Problem {
                    place: None,
                    key: String::new(),
                    message,
                    remedy: remedy.to_owned(),
                }],
            }
        })?;
        Self::parse(&text, file)
    }

    /// Checks the text of a configuration; `file` names it in errors, and relative paths in it
    /// are relative to that file's directory.
    ///
    /// # Errors
    /// All that is wrong with it.
    pub fn parse(text: &str, file: &Path) -> Result<Self, ConfigError> {
        let raw = parse::parse(text).map_err(|problem| ConfigError {
            file: file.to_owned(),
            problems: vec![problem],
        })?;
        validate::validate(&raw, Places::of(text), file)
    }

    /// A problem at a key of this configuration.
    pub(crate) fn problem(
        &self,
        path: &str,
        message: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Problem {
        Problem {
            place: self.places.find(path),
            key: place::without_indices(path),
            message: message.into(),
            remedy: remedy.into(),
        }
    }

    /// A problem as a line of text, with the file and the place.
    pub(crate) fn locate(&self, problem: &Problem) -> String {
        let mut text = String::new();
        // Writing to a String cannot fail.
        let _ = located(&mut text, &self.file, problem);
        text
    }
}
