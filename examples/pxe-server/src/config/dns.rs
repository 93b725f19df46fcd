//! `[dns]`: names of the boot network.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use pxe_core::Network;
use pxe_dns::{Name, Upstream};

use super::Config;

/// `[dns]`.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Dns {
    /// The addresses to listen at, by UDP and by TCP; `None`: our own ones on the boot network.
    pub listen: Option<Vec<SocketAddr>>,
    /// The domain of machines that are told no other one; `None` if there is none.
    pub domain: Option<Name>,
    /// The server's own name; `None`: the host of `domain` that has our address, or else that of
    /// this machine.
    pub server_name: Option<Name>,
    /// Who is answered from zones that say nothing else.
    pub allow_query: DnsClients,
    /// For whom others are asked.
    pub allow_recursion: DnsClients,
    /// Who is asked what is in no zone.
    pub forward: DnsForward,
    /// Names that others are asked for, with all below them, instead.
    pub forward_zones: Vec<(Name, Vec<Upstream>)>,
    /// Whether addresses that are not global are removed from what `forward`'s servers say.
    pub stop_rebinding: bool,
    /// The certificates of the authorities that vouch for servers asked by TLS; `None`: those that
    /// the system trusts.
    pub tls_ca: Option<PathBuf>,
    /// Each `[[dns.zone]]`, and those that come by themselves: the domains of `[dns]` and of
    /// `[[dhcp.subnet]]`.
    pub zones: Vec<DnsZone>,
}

/// Who may do something.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum DnsClients {
    /// The boot network: this machine, the networks of `[[dhcp.subnet]]`, and those that the
    /// addresses are in at which we listen.
    Own,
    /// What is written; the first that matches decides, and what matches none may not.
    Listed(Vec<DnsAddress>),
}

/// An element of a list of clients, as BIND's address match lists have them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct DnsAddress {
    /// Whom it matches.
    pub who: DnsWho,
    /// Whether they may.
    pub may: bool,
}

/// Whom an element of a list of clients matches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum DnsWho {
    /// `any`: everybody.
    Any,
    /// `localhost`: every address of this machine.
    Localhost,
    /// `localnets`: every network that this machine has an interface in.
    Localnets,
    /// A network, or a single address.
    Network(Network),
}

/// Who is asked what is in no zone.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum DnsForward {
    /// Nobody: such names are refused at once.
    Nobody,
    /// Those that `/etc/resolv.conf` names, but ourselves; nobody, if there is no other.
    System,
    /// These.
    Servers(Vec<Upstream>),
}

/// `[[dns.zone]]`.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct DnsZone {
    /// Its name.
    pub name: Name,
    /// Where its records come from.
    pub content: ZoneContent,
    /// Whether the names of leases appear here.
    pub has_leases: bool,
    /// Who is answered.
    pub allow_query: DnsClients,
    /// Who may have the whole zone.
    pub allow_transfer: DnsClients,
    /// Its path in the file: `dns.zone`, or `dns.zone[1]`; `dns.domain` for one that comes by
    /// itself.
    pub(crate) key: String,
}

/// Where a zone's records come from.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ZoneContent {
    /// A zone file, as BIND has them.
    File(PathBuf),
    /// The lines of the configuration. SOA and NS records are made, and the reverse names of the
    /// hosts.
    Lines {
        /// Names with their addresses; `@` is the zone itself.
        hosts: BTreeMap<String, Vec<IpAddr>>,
        /// Lines as zone files have them.
        records: Vec<String>,
        /// For how many seconds records may be kept that do not say it themselves.
        ttl_seconds: u32,
    },
}

impl DnsAddress {
    /// These may.
    pub const fn allowed(who: DnsWho) -> Self {
        Self { who, may: true }
    }
}

impl Config {
    /// The zones that a name may be in whose lease is in `domain`, as DHCP tells it (option 15);
    /// the longest first.
    pub(crate) fn zones_of_leases(&self) -> impl Iterator<Item = &DnsZone> {
        let zones = self.dns.iter().flat_map(|dns| &dns.zones);
        zones.filter(|zone| zone.has_leases)
    }
}
