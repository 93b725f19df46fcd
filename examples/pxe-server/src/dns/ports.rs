//! The ports of DNS, and what serves there.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use pxe_core::Now;
use pxe_dns::{
    AccessList, Bound, ForwardError, Forwarder as _, Forwarding, LocalZones, Name, Server,
    ServerHandle, Service, Transport as DnsTransport,
};

use super::forwarder::{Asking, CurrentForwarder, RESOLV_CONF};
use super::interfaces::Interfaces;
use super::written::server_name;
use super::zones::{Stamp, Zones};
use crate::bind::StartError;
use crate::config::{Config, ConfigError, Dns, Problem};
use crate::fact::Protocol;
use crate::hub::Hub;
use crate::names::{Names, Rules, Taken};
use crate::observe::DnsObserver;
use crate::port_holder::Transport;

/// Ports that are tried where any would do: the one that TCP is given may be taken for UDP.
const ANY_PORT_TRIES: usize = 16;

/// How often, and after which pause, an address of ours is tried that cannot be bound yet.
const OURS_TRIES: u32 = 50;
const OURS_PAUSE: Duration = Duration::from_millis(100);

/// Ports that are bound, and not served yet.
#[derive(Debug)]
pub(crate) struct BoundDns {
    ports: Vec<Bound>,
}

/// What serves.
#[derive(Debug)]
pub(crate) struct RunningDns {
    service: Service,
    server: Mutex<Serving>,
    forwarder: Arc<CurrentForwarder>,
    zones: Mutex<Arc<Zones>>,
    /// Zones whose files had changed when they were looked at last, and how they were then.
    changing: Mutex<BTreeMap<Name, Vec<Option<Stamp>>>>,
    names: Arc<Names>,
}

/// Whether queries are answered.
#[derive(Debug)]
enum Serving {
    /// They wait in the sockets.
    NotYet(Server),
    Now(ServerHandle),
    Ended,
}

impl BoundDns {
    /// Binds every port.
    pub(crate) fn bind(config: &Config) -> Result<Option<Self>, StartError> {
        let Some(dns) = &config.dns else {
            return Ok(None);
        };
        let mut ports = Vec::new();
        let interfaces = Interfaces::read();
        let listeners = interfaces.listeners(config, dns);
        for (index, address) in listeners.into_iter().enumerate() {
            let key = format!("dns.listen[{index}]");
            let both = match interfaces.has(address.ip()) {
                true => once_it_is_ours(|| try_both(address)),
                false => try_both(address),
            };
            let both = both.map_err(|(transport, error)| {
                config.bind_error(&key, &address.to_string(), &error, transport, address)
            })?;
            ports.extend(both);
        }
        Ok(Some(Self { ports }))
    }

    /// Each address that is listened at, by both transports.
    pub(crate) fn listeners(&self) -> impl Iterator<Item = SocketAddr> {
        let ports = self.ports.iter();
        let tcp = ports.filter(|port| port.transport() == DnsTransport::Tcp);
        tcp.map(Bound::local_addr)
    }

    /// Reads the zones and serves them.
    pub(crate) fn serve(
        self,
        config: &Config,
        hub: &Arc<Hub>,
    ) -> Result<Arc<RunningDns>, StartError> {
        let interfaces = Interfaces::read();
        let now = hub.now().wall.as_seconds();
        let forwarder = Arc::new(CurrentForwarder::default());
        let prepared = Prepared::of(
            config,
            &interfaces,
            &Zones::default(),
            &Asking::default(),
            now,
        )
        .map_err(|problems| start_error(config, problems))?;
        let observer = DnsObserver::new(Arc::clone(hub));
        let service = Service::builder()
            .on_event(move |event| observer.observe(event))
            .rate_limit_key(random_key()?)
            .build();
        let server = Server::new(service.clone()).forwarder(Arc::clone(&forwarder) as _);
        let ports = self.ports.into_iter();
        let server = ports.fold(server, Server::listen);
        let names = Names::new(service.dynamic().clone(), Arc::clone(hub));
        let names = Arc::new(names);
        let running = Arc::new(RunningDns {
            service,
            server: Mutex::new(Serving::NotYet(server)),
            forwarder,
            zones: Mutex::default(),
            changing: Mutex::default(),
            names,
        });
        running.put_in_force(config, &interfaces, prepared);
        Ok(running)
    }
}

impl RunningDns {
    /// What answers.
    pub(crate) const fn service(&self) -> &Service {
        &self.service
    }

    /// The names of leases.
    pub(crate) const fn names(&self) -> &Arc<Names> {
        &self.names
    }

    /// Answers from now on: once the leases of earlier runs are known, as nobody is to be told that
    /// there is no such name.
    pub(crate) fn begin(&self) -> io::Result<()> {
        let mut serving = lock(&self.server);
        match std::mem::replace(&mut *serving, Serving::Ended) {
            Serving::NotYet(server) => *serving = Serving::Now(server.start()?),
            other => *serving = other,
        }
        Ok(())
    }

    /// The zones as they are now.
    pub(crate) fn zones(&self) -> Arc<Zones> {
        Arc::clone(&lock(&self.zones))
    }

    /// From now on these zones are served; no query is lost.
    pub(crate) fn put_in_force(
        &self,
        config: &Config,
        interfaces: &Interfaces,
        prepared: Prepared,
    ) {
        let Some(dns) = &config.dns else { return };
        let Prepared { zones, asking } = prepared;
        self.forwarder.set(asking);
        for (_, loaded) in zones.iter() {
            for warning in &loaded.warnings {
                tracing::warn!(event = "zone", "dns: {warning}");
            }
        }
        self.serve_zones(config, dns, interfaces, zones);
    }

    fn serve_zones(&self, config: &Config, dns: &Dns, interfaces: &Interfaces, zones: Zones) {
        self.service
            .set_zones(zones.served(config, dns, interfaces));
        // Where there is nobody to be asked, a client is told so at once.
        let recursion = match self.asked_others().is_empty() {
            true => AccessList::none(),
            false => interfaces.access_list(config, dns, &dns.allow_recursion),
        };
        self.service.set_recursion(recursion);
        // Of the names that every server has for itself, those that others are named for.
        let elsewhere = dns.forward_zones.iter().map(|(zone, _)| zone.clone());
        let local_zones = elsewhere.fold(LocalZones::new(), LocalZones::elsewhere);
        self.service.set_local_zones(local_zones);
        let own = zones.iter().flat_map(|(_, loaded)| loaded.zone.records());
        let taken = Taken::of(own, &server_name(config, dns, interfaces));
        self.names.set_rules(Rules::new(config, taken));
        *lock(&self.zones) = Arc::new(zones);
    }

    /// Looks whether zones' files have changed, and reads those that have. One that changed since
    /// the last look may be half written: it is read once it stays as it is.
    ///
    /// Not to be called while another configuration is put in force.
    pub(crate) fn look_at_files(&self, config: &Config, hub: &Hub) {
        let Some(dns) = &config.dns else { return };
        self.service.tell_untold(hub.now());
        let zones = self.zones();
        let now = zones.changed();
        let before = std::mem::replace(&mut *lock(&self.changing), now.clone());
        let is_still = |(name, stamps): &(&Name, &Vec<_>)| before.get(*name) == Some(*stamps);
        let mut is_new = self.forwarder.look_at_system();
        if is_new {
            tracing::info!(
                event = "upstreams",
                "dns: {RESOLV_CONF} has changed; asked for other names: {}",
                match self.asked_others() {
                    servers if servers.is_empty() => "nobody".to_owned(),
                    servers => servers.join(", "),
                }
            );
        }
        let still: Vec<&Name> = now.iter().filter(is_still).map(|(name, _)| name).collect();
        if still.is_empty() && !is_new {
            return;
        }
        // Only now, as that takes its time with many names.
        let mut zones = Arc::unwrap_or_clone(zones);
        for name in still {
            let Some(loaded) = zones.read_again(name) else {
                continue;
            };
            is_new = true;
            for fault in &loaded.faults {
                tracing::error!(
                    event = "zone_refused",
                    zone = %name,
                    "dns: {name} is served as it was before: {fault}"
                );
            }
            if !loaded.faults.is_empty() {
                hub.count(Protocol::Dns, "zone_refused", 1);
                continue;
            }
            for warning in &loaded.warnings {
                tracing::warn!(event = "zone", zone = %name, "dns: {warning}");
            }
            let (serial, records) = (loaded.zone.serial(), loaded.records);
            hub.count(Protocol::Dns, "zone_loaded", 1);
            tracing::info!(
                event = "zone_loaded",
                zone = %name,
                serial,
                "dns: {name} is read again: serial {serial}, {records} records"
            );
        }
        if is_new {
            self.serve_zones(config, dns, &Interfaces::read(), zones);
        }
    }

    /// The servers that are asked for what is in no zone; nobody is, if there is none.
    pub(crate) fn asked_others(&self) -> Vec<String> {
        self.forwarder.servers()
    }

    /// Another configuration's zones, and whom it asks, to be put in force.
    ///
    /// # Errors
    /// All that is wrong with them.
    pub(crate) fn prepare(&self, config: &Config, now: Now) -> Result<Prepared, Vec<Problem>> {
        let (zones, asking) = (self.zones(), self.forwarder.asking());
        let seconds = now.wall.as_seconds();
        Prepared::of(config, &Interfaces::read(), &zones, &asking, seconds)
    }

    /// Asks others, and answers with what they say.
    pub(super) async fn forward(
        &self,
        forwarding: &Forwarding,
        reply: &mut Vec<u8>,
    ) -> Result<(), ForwardError> {
        let resolved = self.forwarder.resolve(forwarding.into()).await?;
        self.service.answer_forwarded(forwarding, &resolved, reply);
        Ok(())
    }

    /// How many connections are open.
    pub(crate) fn connections(&self) -> usize {
        match &*lock(&self.server) {
            Serving::Now(server) => server.connections(),
            Serving::NotYet(_) | Serving::Ended => 0,
        }
    }

    /// Stops; gives the number of connections that had to be ended.
    pub(crate) async fn shut_down(&self, grace: Duration) -> usize {
        let serving = std::mem::replace(&mut *lock(&self.server), Serving::Ended);
        match serving {
            Serving::Now(server) => server.shutdown(grace).await,
            Serving::NotYet(_) | Serving::Ended => 0,
        }
    }
}

/// What was read and made for a configuration, and is not in force yet.
#[derive(Debug)]
pub(crate) struct Prepared {
    zones: Zones,
    asking: Asking,
}

impl Prepared {
    fn of(
        config: &Config,
        interfaces: &Interfaces,
        zones: &Zones,
        asking: &Asking,
        unix_seconds: u64,
    ) -> Result<Self, Vec<Problem>> {
        let asking = match &config.dns {
            Some(dns) => Asking::of(config, dns, interfaces, asking),
            None => Ok(Asking::default()),
        };
        match (Zones::load(config, interfaces, zones, unix_seconds), asking) {
            (Ok(zones), Ok(asking)) => Ok(Self { zones, asking }),
            (Err(problems), Ok(_)) => Err(problems),
            (zones, Err(problem)) => {
                let mut problems = zones.err().unwrap_or_default();
                problems.push(problem);
                Err(problems)
            }
        }
    }
}

/// By which nobody can tell how senders are counted together.
fn random_key() -> io::Result<[u8; 16]> {
    let mut key = [0; 16];
    rustix::rand::getrandom(&mut key, rustix::rand::GetRandomFlags::empty())?;
    Ok(key)
}

fn start_error(config: &Config, problems: Vec<Problem>) -> StartError {
    StartError::Config(ConfigError {
        file: config.file.clone(),
        problems,
    })
}

/// Tries again while the address is not there: nothing can be bound to an address of IPv6 until
/// nobody else answers for it, which takes a second or two after its interface came up (RFC 4862
/// section 5.4), and is when a machine starts its servers.
fn once_it_is_ours<T>(
    mut bind: impl FnMut() -> Result<T, (Transport, io::Error)>,
) -> Result<T, (Transport, io::Error)> {
    let mut tries = 1;
    loop {
        match bind() {
            Err((_, error))
                if error.kind() == io::ErrorKind::AddrNotAvailable && tries < OURS_TRIES =>
            {
                tries += 1;
                std::thread::sleep(OURS_PAUSE);
            }
            other => return other,
        }
    }
}

/// Binds the same port for TCP and for UDP.
pub(crate) fn try_both(address: SocketAddr) -> Result<[Bound; 2], (Transport, io::Error)> {
    let mut tries = 1;
    loop {
        let tcp = Server::bind_tcp(address).map_err(|error| (Transport::Tcp, error))?;
        let same = SocketAddr::new(address.ip(), tcp.local_addr().port());
        match Server::bind_udp(same) {
            Ok(udp) => return Ok([tcp, udp]),
            Err(_) if address.port() == 0 && tries < ANY_PORT_TRIES => tries += 1,
            Err(error) => return Err((Transport::Udp, error)),
        }
    }
}

/// Each holder of these locks leaves its value whole, so a panic elsewhere spoils nothing.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_of_ipv6_that_is_still_tentative_is_waited_for() {
        let mut tries = 0;
        let bound = once_it_is_ours(|| {
            tries += 1;
            match tries {
                3 => Ok(()),
                _ => Err((Transport::Tcp, io::ErrorKind::AddrNotAvailable.into())),
            }
        });
        assert!(bound.is_ok() && tries == 3);
        let mut tries = 0;
        let taken = once_it_is_ours::<()>(|| {
            tries += 1;
            Err((Transport::Udp, io::ErrorKind::AddrInUse.into()))
        });
        assert!(taken.is_err() && tries == 1);
    }
}
