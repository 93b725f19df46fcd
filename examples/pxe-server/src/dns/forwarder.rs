//! Who is asked for what is in no zone: as the configuration says it now.

use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use pxe_dns::{ForwardError, Forwarder, HickoryForwarder, Name, Question, Resolved, Upstream};

use super::interfaces::Interfaces;
use super::zones::Stamp;
use crate::config::{Config, Dns, DnsForward, Problem};

/// The system's name servers (resolv.conf(5)).
pub(crate) const RESOLV_CONF: &str = "/etc/resolv.conf";
/// Where systems keep the certificates of the authorities that they trust: Debian and Alpine,
/// Fedora and RHEL, openSUSE.
const AUTHORITIES: [&str; 3] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
];
/// RFC 1035 section 4.2.
const DNS_PORT: u16 = 53;

/// A forwarder that can be replaced while questions wait for their answers.
#[derive(Debug, Default)]
pub(crate) struct CurrentForwarder {
    asking: Mutex<Asking>,
}

/// Who is asked, and by what.
#[derive(Debug, Clone, Default)]
pub(crate) struct Asking {
    wanted: Option<Wanted>,
    forwarder: Option<HickoryForwarder>,
    /// Those that are asked.
    servers: Vec<Upstream>,
    /// Of resolv.conf, as it was.
    stamp: Option<Stamp>,
}

/// What a configuration says of it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Wanted {
    forward: DnsForward,
    forward_zones: Vec<(Name, Vec<Upstream>)>,
    stop_rebinding: bool,
    /// Certificates of authorities, if somebody is asked by TLS.
    roots: Option<Vec<u8>>,
}

impl Wanted {
    fn of(config: &Config, dns: &Dns) -> Result<Self, Problem> {
        let named: &[Upstream] = match &dns.forward {
            DnsForward::Servers(servers) => servers,
            DnsForward::Nobody | DnsForward::System => &[],
        };
        let by_zone = dns.forward_zones.iter().flat_map(|(_, servers)| servers);
        let has_tls = (named.iter().chain(by_zone)).any(|server| server.server_name().is_some());
        Ok(Self {
            forward: dns.forward.clone(),
            forward_zones: dns.forward_zones.clone(),
            stop_rebinding: dns.stop_rebinding,
            roots: match has_tls {
                true => Some(roots(config, dns)?),
                false => None,
            },
        })
    }
}

/// The certificates of the authorities that vouch for servers asked by TLS.
fn roots(config: &Config, dns: &Dns) -> Result<Vec<u8>, Problem> {
    if let Some(file) = &dns.tls_ca {
        let problem = |error: std::io::Error| {
            let message = format!("{}: {error}", file.display());
            let remedy = "name a file of certificates that the server's user can read";
            config.problem("dns.tls_ca", message, remedy)
        };
        return std::fs::read(file).map_err(problem);
    }
    let read = AUTHORITIES.iter().find_map(|path| std::fs::read(path).ok());
    read.ok_or_else(|| {
        config.problem(
            "dns.forward",
            "this machine has no certificates of authorities, which servers asked by TLS are \
             known by",
            "install the package ca-certificates, or name your own with tls_ca",
        )
    })
}

impl Asking {
    /// Those that a configuration asks.
    ///
    /// # Errors
    /// They cannot be asked.
    pub(crate) fn of(
        config: &Config,
        dns: &Dns,
        interfaces: &Interfaces,
        former: &Self,
    ) -> Result<Self, Problem> {
        let wanted = Wanted::of(config, dns)?;
        if former.wanted.as_ref() == Some(&wanted) {
            // With what it knows by heart.
            return Ok(former.clone());
        }
        let mut asking = Self::default();
        let mut builder = HickoryForwarder::builder()
            .own_addresses(interfaces.listeners(config, dns))
            .stop_rebinding(wanted.stop_rebinding);
        if let Some(roots) = &wanted.roots {
            builder = builder.tls_roots(roots.as_slice());
        }
        for (zone, servers) in &wanted.forward_zones {
            builder = builder.zone(zone.clone(), servers.iter().cloned());
        }
        if let DnsForward::Servers(servers) = &wanted.forward {
            asking.servers.clone_from(servers);
            builder = builder.upstreams(servers.iter().cloned());
        }
        let asks_nobody = wanted.forward == DnsForward::Nobody && wanted.forward_zones.is_empty();
        asking.wanted = Some(wanted);
        if asks_nobody {
            return Ok(asking);
        }
        let forwarder = builder.build().map_err(|error| {
            config.problem(
                "dns.forward",
                error.to_string(),
                "name other servers, or [] to ask nobody",
            )
        })?;
        asking.forwarder = Some(forwarder);
        asking.read_system();
        Ok(asking)
    }

    fn asks_system(&self) -> bool {
        let wanted = self.wanted.as_ref();
        wanted.is_some_and(|wanted| wanted.forward == DnsForward::System)
    }

    /// Takes the system's servers as they are now, if it is them that are asked.
    fn read_system(&mut self) {
        let (true, Some(forwarder)) = (self.asks_system(), &self.forwarder) else {
            return;
        };
        let path = Path::new(RESOLV_CONF);
        self.stamp = Stamp::of(path);
        let text = std::fs::read(path).unwrap_or_default();
        self.servers = forwarder.set_resolv_conf(&text);
    }
}

impl CurrentForwarder {
    /// From now on these are asked.
    pub(crate) fn set(&self, asking: Asking) {
        *self.lock() = asking;
    }

    pub(crate) fn asking(&self) -> Asking {
        self.lock().clone()
    }

    /// Those that are asked; nobody is, if there is none.
    pub(crate) fn servers(&self) -> Vec<String> {
        let asking = self.lock();
        let zones = asking.wanted.iter().flat_map(|it| &it.forward_zones);
        let by_zone = zones.flat_map(|(zone, servers)| {
            let servers = servers.iter();
            servers.map(move |server| format!("{server} for {zone}"))
        });
        let servers = asking.servers.iter().map(ToString::to_string);
        servers.chain(by_zone).collect()
    }

    /// Whether the system has other servers than before; they are asked from now on.
    pub(crate) fn look_at_system(&self) -> bool {
        let mut asking = self.asking();
        if !asking.asks_system() || asking.stamp == Stamp::of(Path::new(RESOLV_CONF)) {
            return false;
        }
        asking.read_system();
        self.set(asking);
        true
    }

    /// A panic of another thread leaves it whole.
    fn lock(&self) -> MutexGuard<'_, Asking> {
        self.asking.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Forwarder for CurrentForwarder {
    async fn resolve(&self, question: Question<'_>) -> Result<Resolved, ForwardError> {
        let forwarder = self.lock().forwarder.clone();
        match forwarder {
            Some(forwarder) => forwarder.resolve(question).await,
            None => Err(ForwardError::NoServer),
        }
    }
}

/// The servers that a resolv.conf names.
pub(crate) fn system_name_servers(text: &[u8]) -> Vec<SocketAddr> {
    let text = String::from_utf8_lossy(text);
    let servers = text.lines().filter_map(|line| {
        let mut words = line.split_ascii_whitespace();
        let is_server = words.next() == Some("nameserver");
        let ip: IpAddr = words.next().filter(|_| is_server)?.parse().ok()?;
        Some(SocketAddr::new(ip, DNS_PORT))
    });
    servers.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All of 127.0.0.0/8 is at a server that listens everywhere, and no interface has it: what
    /// is left of systemd-resolved's stub in a resolv.conf would be ourselves.
    #[tokio::test]
    async fn the_whole_loopback_network_is_ourselves_where_we_listen_everywhere() {
        let text =
            "[tree]\nroot = \"/\"\n[dns]\nlisten = \"0.0.0.0:53\"\nforward = \"127.0.0.53\"\n";
        let config = Config::parse(text, Path::new("/x.toml")).expect("valid");
        let dns = config.dns.as_ref().expect("configured");
        let asking = Asking::of(&config, dns, &Interfaces::read(), &Asking::default());
        let problem = asking.expect_err("ourselves");
        assert!(problem.message.contains("itself"), "{problem:?}");
    }
}
