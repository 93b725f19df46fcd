//! The configuration file as it is written: names and shapes, no meaning yet.
//!
//! Values whose text must make sense (addresses, paths) stay texts here; `validate` reads them, so
//! that it can report all that is wrong at once, each with its line.

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct File {
    #[serde(default)]
    pub(super) server: Server,
    #[serde(default)]
    pub(super) tree: Tree,
    #[serde(default)]
    pub(super) leases: Leases,
    pub(super) dhcp: Option<Dhcp>,
    pub(super) boot: Option<Boot>,
    pub(super) tftp: Option<Tftp>,
    #[serde(default)]
    pub(super) http: OneOrMany<Http>,
    pub(super) nfs: Option<Nfs>,
    pub(super) dns: Option<Dns>,
    pub(super) images: Option<Images>,
    #[serde(default)]
    pub(super) menu: Menu,
    #[serde(default)]
    pub(super) log: Log,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Server {
    pub(super) user: Option<String>,
    pub(super) control: Option<String>,
    pub(super) grace_seconds: Option<i64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Leases {
    pub(super) store: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Tree {
    pub(super) root: Option<String>,
    pub(super) ignore_case: Option<bool>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Images {
    pub(super) dir: Option<String>,
    pub(super) path: Option<String>,
    #[serde(default)]
    pub(super) profiles: OneOrMany<String>,
    pub(super) menu: Option<bool>,
    pub(super) settle_seconds: Option<i64>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Dhcp {
    #[serde(default, alias = "interfaces")]
    pub(super) interface: OneOrMany<String>,
    #[serde(default)]
    pub(super) listen: OneOrMany<String>,
    pub(super) port: Option<i64>,
    pub(super) binl_port: Option<i64>,
    pub(super) mode: Option<String>,
    pub(super) probing: Option<String>,
    pub(super) offer_seconds: Option<i64>,
    pub(super) quarantine_seconds: Option<i64>,
    #[serde(default)]
    pub(super) limits: Limits,
    #[serde(default)]
    pub(super) options: Options,
    #[serde(default)]
    pub(super) subnet: OneOrMany<Subnet>,
    #[serde(default)]
    pub(super) class: OneOrMany<Class>,
    #[serde(default)]
    pub(super) group: OneOrMany<Group>,
    #[serde(default)]
    pub(super) host: OneOrMany<Host>,
}

/// Options of DHCP: names or codes, with values of any kind.
pub(super) type Options = BTreeMap<String, toml::Value>;

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Limits {
    pub(super) leases_max: Option<i64>,
    pub(super) offers_max: Option<i64>,
    pub(super) quarantined_max: Option<i64>,
    pub(super) client_burst: Option<i64>,
    pub(super) client_messages_per_second: Option<i64>,
    pub(super) new_clients_burst: Option<i64>,
    pub(super) new_clients_per_second: Option<i64>,
    pub(super) offers_per_port_max: Option<i64>,
    pub(super) leases_per_port_max: Option<i64>,
    pub(super) leases_per_oui_max: Option<i64>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Subnet {
    pub(super) network: Option<String>,
    pub(super) shared_network: Option<String>,
    #[serde(default)]
    pub(super) pools: OneOrMany<String>,
    #[serde(default)]
    pub(super) exclude: OneOrMany<String>,
    #[serde(default)]
    pub(super) routers: OneOrMany<String>,
    #[serde(default)]
    pub(super) dns_servers: OneOrMany<String>,
    pub(super) domain_name: Option<String>,
    pub(super) lease_seconds: Option<i64>,
    pub(super) lease_seconds_min: Option<i64>,
    pub(super) lease_seconds_max: Option<i64>,
    pub(super) t1_seconds: Option<i64>,
    pub(super) t2_seconds: Option<i64>,
    pub(super) server_ip: Option<String>,
    pub(super) known_clients_only: Option<bool>,
    pub(super) bootp: Option<String>,
    pub(super) bootp_lease_seconds: Option<i64>,
    #[serde(default)]
    pub(super) options: Options,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Class {
    pub(super) name: Option<String>,
    #[serde(default)]
    pub(super) when: toml::Table,
    pub(super) lease_seconds: Option<i64>,
    #[serde(default)]
    pub(super) options: Options,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Group {
    pub(super) name: Option<String>,
    pub(super) boot: Option<String>,
    pub(super) deny: Option<bool>,
    pub(super) next_server: Option<String>,
    pub(super) lease_seconds: Option<i64>,
    #[serde(default)]
    pub(super) options: Options,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Host {
    pub(super) name: Option<String>,
    pub(super) group: Option<String>,
    pub(super) mac: Option<String>,
    pub(super) client_id: Option<String>,
    pub(super) uuid: Option<String>,
    pub(super) circuit_id: Option<String>,
    pub(super) remote_id: Option<String>,
    pub(super) address: Option<String>,
    pub(super) host_name: Option<String>,
    pub(super) boot: Option<String>,
    pub(super) deny: Option<bool>,
    pub(super) next_server: Option<String>,
    pub(super) lease_seconds: Option<i64>,
    #[serde(default)]
    pub(super) options: Options,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Boot {
    pub(super) next_server: Option<String>,
    #[serde(default)]
    pub(super) files: BTreeMap<String, String>,
    pub(super) ipxe: Option<String>,
    #[serde(default)]
    pub(super) rule: OneOrMany<BootRule>,
    pub(super) configfile: Option<String>,
    pub(super) path_prefix: Option<String>,
    pub(super) pxelinux_magic: Option<bool>,
    pub(super) reboot_seconds: Option<i64>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct BootRule {
    pub(super) name: Option<String>,
    #[serde(default)]
    pub(super) when: toml::Table,
    pub(super) boot: Option<String>,
    pub(super) menu: Option<BootMenu>,
    pub(super) deny: Option<bool>,
    pub(super) none: Option<bool>,
    pub(super) next_server: Option<String>,
    pub(super) server_name: Option<String>,
    #[serde(default)]
    pub(super) options: Options,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct BootMenu {
    pub(super) prompt: Option<String>,
    pub(super) timeout_seconds: Option<i64>,
    #[serde(default)]
    pub(super) item: OneOrMany<BootItem>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct BootItem {
    pub(super) label: Option<String>,
    pub(super) boot: Option<String>,
    #[serde(rename = "type")]
    pub(super) item_type: Option<i64>,
    pub(super) next_server: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Tftp {
    pub(super) listen: Option<OneOrMany<String>>,
    pub(super) single_port: Option<bool>,
    pub(super) port_range: Option<String>,
    pub(super) clamp_blksize_to_mtu: Option<bool>,
    pub(super) blksize_max: Option<i64>,
    pub(super) windowsize_max: Option<i64>,
    pub(super) transfers_max: Option<i64>,
    pub(super) transfers_per_client_max: Option<i64>,
    pub(super) ignore_case: Option<bool>,
    pub(super) raspberry_pi_fallback: Option<bool>,
    pub(super) raspberry_pi_directory: Option<String>,
    pub(super) quiet_misses: Option<bool>,
    #[serde(default)]
    pub(super) rewrite: OneOrMany<Rewrite>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Rewrite {
    pub(super) name: Option<String>,
    pub(super) path: Option<String>,
    pub(super) directory: Option<String>,
    pub(super) regex: Option<String>,
    pub(super) ignore_case: Option<bool>,
    pub(super) replace: Option<String>,
    pub(super) all: Option<bool>,
    pub(super) refuse: Option<bool>,
    pub(super) when: Option<String>,
    pub(super) then: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Http {
    pub(super) listen: Option<OneOrMany<String>>,
    pub(super) tls: Option<Tls>,
    pub(super) root: Option<String>,
    pub(super) listings: Option<bool>,
    pub(super) index: Option<String>,
    pub(super) connections_max: Option<i64>,
    pub(super) connections_per_client_max: Option<i64>,
    pub(super) requests_per_client_per_second: Option<i64>,
    pub(super) requests_per_client_burst: Option<i64>,
    pub(super) idle_seconds: Option<i64>,
    pub(super) stall_seconds: Option<i64>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Tls {
    pub(super) certificate: Option<String>,
    pub(super) key: Option<String>,
    pub(super) finite_field: Option<bool>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Nfs {
    pub(super) listen: Option<OneOrMany<String>>,
    #[serde(default)]
    pub(super) portmap: OneOrMany<String>,
    #[serde(default)]
    pub(super) mount_ports: OneOrMany<i64>,
    pub(super) handle_key: Option<String>,
    pub(super) handles: Option<String>,
    pub(super) connections_max: Option<i64>,
    pub(super) connections_per_client_max: Option<i64>,
    pub(super) read_bytes_max: Option<i64>,
    #[serde(default)]
    pub(super) export: OneOrMany<NfsExport>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NfsExport {
    pub(super) path: Option<String>,
    pub(super) root: Option<String>,
    pub(super) directory: Option<String>,
    #[serde(default)]
    pub(super) clients: OneOrMany<String>,
    pub(super) hidden: Option<bool>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Dns {
    pub(super) listen: Option<OneOrMany<String>>,
    pub(super) domain: Option<String>,
    pub(super) server_name: Option<String>,
    pub(super) allow_query: Option<OneOrMany<String>>,
    pub(super) allow_recursion: Option<OneOrMany<String>>,
    pub(super) forward: Option<OneOrMany<String>>,
    #[serde(default)]
    pub(super) forward_zones: BTreeMap<String, OneOrMany<String>>,
    pub(super) stop_rebinding: Option<bool>,
    pub(super) tls_ca: Option<String>,
    #[serde(default)]
    pub(super) zone: OneOrMany<DnsZone>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct DnsZone {
    pub(super) name: Option<String>,
    pub(super) file: Option<String>,
    #[serde(default)]
    pub(super) hosts: BTreeMap<String, OneOrMany<String>>,
    #[serde(default)]
    pub(super) records: OneOrMany<String>,
    pub(super) ttl_seconds: Option<i64>,
    pub(super) leases: Option<bool>,
    pub(super) allow_query: Option<OneOrMany<String>>,
    pub(super) allow_transfer: Option<OneOrMany<String>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Menu {
    pub(super) convert: Option<bool>,
    pub(super) pxelinux: Option<String>,
    pub(super) files: Option<String>,
    pub(super) server: Option<String>,
    #[serde(default)]
    pub(super) templates: OneOrMany<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Log {
    pub(super) format: Option<String>,
    pub(super) level: Option<String>,
}

/// A value, or a list of such values: `"br1"` or `["br1", "br2"]`, `[http]` or `[[http]]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct OneOrMany<T> {
    pub(super) values: Vec<T>,
    /// Whether it is written as a list, so that its elements have paths with an index.
    pub(super) list: bool,
}

impl<T> Default for OneOrMany<T> {
    fn default() -> Self {
        Self {
            values: Vec::new(),
            list: true,
        }
    }
}

impl<T> OneOrMany<T> {
    /// Each value with its path, where `path` is that of the whole.
    pub(super) fn with_paths(&self, path: &str) -> impl Iterator<Item = (String, &T)> {
        self.values.iter().enumerate().map(move |(index, value)| {
            let path = match self.list {
                true => format!("{path}[{index}]"),
                false => path.to_owned(),
            };
            (path, value)
        })
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for OneOrMany<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(OneOrManyVisitor(PhantomData))
    }
}

struct OneOrManyVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> OneOrManyVisitor<T> {
    fn one<E: serde::de::Error>(
        value: impl serde::de::IntoDeserializer<'de, E>,
    ) -> Result<OneOrMany<T>, E> {
        Ok(OneOrMany {
            values: vec![T::deserialize(value.into_deserializer())?],
            list: false,
        })
    }
}

impl<'de, T: Deserialize<'de>> Visitor<'de> for OneOrManyVisitor<T> {
    type Value = OneOrMany<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value or a list of values")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Self::Value, E> {
        Self::one(text)
    }

    fn visit_bool<E: serde::de::Error>(self, value: bool) -> Result<Self::Value, E> {
        Self::one(value)
    }

    fn visit_i64<E: serde::de::Error>(self, number: i64) -> Result<Self::Value, E> {
        Self::one(number)
    }

    fn visit_f64<E: serde::de::Error>(self, number: f64) -> Result<Self::Value, E> {
        Self::one(number)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
        Ok(OneOrMany {
            values: vec![T::deserialize(MapAccessDeserializer::new(map))?],
            list: false,
        })
    }

    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Self::Value, A::Error> {
        Ok(OneOrMany {
            values: Vec::deserialize(SeqAccessDeserializer::new(seq))?,
            list: true,
        })
    }
}
