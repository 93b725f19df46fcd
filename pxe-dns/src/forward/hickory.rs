//! Asking servers by hickory.

use std::collections::HashMap;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use async_trait::async_trait;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use hickory_resolver::{PoolContext, TlsConfig};
use pxe_core::Instant;
use tokio::sync::watch;

use super::answer::{self, Said};
use super::cache::{Cache, Key};
use super::counters::Counts;
use super::server::{self, Server};
use super::{
    ForwardCounters, ForwardError, ForwardLimits, Forwarder, Question, Upstream, resolv_conf,
};
use crate::{Name, NameRef, Rcode, Record, RecordType, Resolved};

/// How often others are asked for what aliases lead to, because a server told only those.
const HOPS_MAX: usize = 8;

/// Asks other servers, by [`hickory_resolver`](https://docs.rs/hickory-resolver).
///
/// # Whom it asks
/// The servers of the longest [zone](HickoryForwarderBuilder::zone) that the name is in, or else the
/// [upstreams](HickoryForwarderBuilder::upstreams). The one that answered last is asked first; a
/// server that fails or refuses is followed by the next one at once, one that is silent after
/// [`ForwardLimits::patience`]; the first usable answer is taken. When nobody answered before
/// [`ForwardLimits::deadline`], the client is told so (SERVFAIL).
///
/// Identical questions are asked once, however many clients wait. So two servers that forward to
/// each other do not multiply a question: the second time it comes, it waits for itself.
///
/// # What it believes
/// Only records that answer the question, as a chain of aliases leads there, and the SOA record of
/// a negative answer. If a server tells aliases alone, others are asked for what they lead to.
///
/// # DNSSEC
/// Nothing is validated here. DO and CD are passed on, signatures come back to clients that set DO,
/// and AD is never set: a client that wants to know has to validate, or to ask somebody it trusts.
#[derive(Clone)]
pub struct HickoryForwarder {
    inner: Arc<Inner>,
}

struct Inner {
    limits: ForwardLimits,
    own_addresses: Vec<SocketAddr>,
    stop_rebinding: bool,
    case_randomization: bool,
    context: Arc<PoolContext>,
    zones: Vec<(Name, Arc<Servers>)>,
    upstreams: RwLock<Arc<Servers>>,
    cache: Mutex<Cache>,
    in_flight: Mutex<HashMap<Key, Waiting>>,
    counts: Counts,
    epoch: tokio::time::Instant,
}

/// Where an answer will be.
type Waiting = watch::Receiver<Option<Result<Resolved, ForwardError>>>;

/// Servers that are asked for the same names.
#[derive(Default)]
struct Servers {
    all: Vec<Server>,
    /// The place of the one that answered last.
    preferred: AtomicUsize,
}

/// Makes a [`HickoryForwarder`].
#[derive(Default)]
#[must_use]
pub struct HickoryForwarderBuilder {
    limits: ForwardLimits,
    upstreams: Vec<Upstream>,
    zones: Vec<(Name, Vec<Upstream>)>,
    own_addresses: Vec<SocketAddr>,
    stop_rebinding: bool,
    case_randomization: bool,
    #[cfg(feature = "tls")]
    roots: Option<Vec<u8>>,
}

/// Why nobody can be asked like this.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ForwardConfigError {
    /// We would ask ourselves.
    #[error("{upstream} is this server itself: it would ask itself without end")]
    Ourselves {
        /// The server.
        upstream: Upstream,
    },
    /// A zone has no servers.
    #[error("nobody is named who could be asked for {zone}")]
    NoServers {
        /// The zone.
        zone: Name,
    },
    /// A zone is named twice.
    #[error("{zone} is forwarded twice")]
    ZoneTwice {
        /// The zone.
        zone: Name,
    },
    /// A server is to be asked by TLS, and TLS is not built in.
    #[error("{upstream} is to be asked by TLS, which needs the feature \"tls\"")]
    NoTls {
        /// The server.
        upstream: Upstream,
    },
    /// A server is to be asked by TLS, and nobody is trusted to vouch for it.
    #[error("{upstream} is to be asked by TLS, but no certificates of authorities are given")]
    NoRoots {
        /// The server.
        upstream: Upstream,
    },
    /// What a server's certificate has to be for is no name.
    #[error("{upstream} has a certificate for what is neither a host name nor an address")]
    ServerName {
        /// The server.
        upstream: Upstream,
    },
    /// The certificates of the authorities cannot be used.
    #[error("certificates of authorities: {reason}")]
    Roots {
        /// Why.
        reason: String,
    },
}

impl HickoryForwarderBuilder {
    /// Bounds other than the defaults.
    pub fn limits(mut self, limits: ForwardLimits) -> Self {
        self.limits = limits;
        self
    }

    /// The servers that are asked for everything that is in no [zone](Self::zone).
    pub fn upstreams(mut self, upstreams: impl IntoIterator<Item = Upstream>) -> Self {
        self.upstreams = upstreams.into_iter().collect();
        self
    }

    /// The servers that are asked for this name and all below it.
    pub fn zone(mut self, zone: Name, upstreams: impl IntoIterator<Item = Upstream>) -> Self {
        self.zones.push((zone, upstreams.into_iter().collect()));
        self
    }

    /// Where this server listens itself: nobody there is asked. An unspecified address stands for
    /// all addresses of this machine.
    pub fn own_addresses(mut self, addresses: impl IntoIterator<Item = SocketAddr>) -> Self {
        self.own_addresses = addresses.into_iter().collect();
        self
    }

    /// Whether addresses that are not global are removed from answers, but for names in a
    /// [zone](Self::zone).
    ///
    /// So no name of the Internet can stand for a machine of this network, in whose name a web
    /// page would then talk to it (DNS rebinding). It is off by default, as it is in dnsmasq,
    /// unbound and BIND: the servers of an organisation's network tell private addresses rightly,
    /// and those are the servers that a boot network mostly has above it.
    pub fn stop_rebinding(mut self, stop: bool) -> Self {
        self.stop_rebinding = stop;
        self
    }

    /// Whether the case of letters in a query by UDP is drawn by lot, and has to come back
    /// (draft-vixie-dnsext-dns0x20), which makes it harder to forge a response. It is off by
    /// default, as in unbound: a server that does not keep the case is asked by TCP each time.
    pub fn case_randomization(mut self, randomize: bool) -> Self {
        self.case_randomization = randomize;
        self
    }

    /// The certificates of the authorities that vouch for servers asked by TLS, in PEM form, as
    /// systems have them in one file (`/etc/ssl/certs/ca-certificates.crt`, say).
    ///
    /// None are built in: they would grow old in a server that is not updated, and an organisation
    /// has an authority of its own.
    #[cfg(feature = "tls")]
    pub fn tls_roots(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.roots = Some(pem.into());
        self
    }

    /// The forwarder.
    ///
    /// # Errors
    /// Those of [`ForwardConfigError`].
    pub fn build(self) -> Result<HickoryForwarder, ForwardConfigError> {
        let zones = self.zones.iter();
        let named = zones
            .flat_map(|(_, upstreams)| upstreams)
            .chain(&self.upstreams);
        for upstream in named {
            if is_own(&self.own_addresses, upstream.address()) {
                let upstream = upstream.clone();
                return Err(ForwardConfigError::Ourselves { upstream });
            }
        }
        let context = server::context(&self.limits, self.tls()?);
        let servers = |upstreams: Vec<Upstream>| Servers::new(upstreams, &context, &self.limits);
        let mut zones: Vec<(Name, Arc<Servers>)> = Vec::with_capacity(self.zones.len());
        for (zone, upstreams) in self.zones {
            if upstreams.is_empty() {
                return Err(ForwardConfigError::NoServers { zone });
            }
            if zones.iter().any(|(other, _)| *other == zone) {
                return Err(ForwardConfigError::ZoneTwice { zone });
            }
            zones.push((zone, servers(upstreams)));
        }
        let upstreams = servers(self.upstreams);
        Ok(HickoryForwarder {
            inner: Arc::new(Inner {
                cache: Mutex::new(Cache::new(&self.limits)),
                limits: self.limits,
                own_addresses: self.own_addresses,
                stop_rebinding: self.stop_rebinding,
                case_randomization: self.case_randomization,
                context,
                zones,
                upstreams: RwLock::new(upstreams),
                in_flight: Mutex::default(),
                counts: Counts::default(),
                epoch: tokio::time::Instant::now(),
            }),
        })
    }

    /// Those that are to be asked by TLS.
    fn by_tls(&self) -> impl Iterator<Item = (&Upstream, &str)> {
        let zones = self.zones.iter();
        let named = zones
            .flat_map(|(_, upstreams)| upstreams)
            .chain(&self.upstreams);
        named.filter_map(|upstream| Some((upstream, upstream.server_name()?)))
    }

    #[cfg(feature = "tls")]
    fn tls(&self) -> Result<TlsConfig, ForwardConfigError> {
        super::tls::config(self.by_tls(), self.roots.as_deref())
    }

    #[cfg(not(feature = "tls"))]
    fn tls(&self) -> Result<TlsConfig, ForwardConfigError> {
        match self.by_tls().next() {
            Some((upstream, _)) => Err(ForwardConfigError::NoTls {
                upstream: upstream.clone(),
            }),
            None => TlsConfig::new().map_err(|error| ForwardConfigError::Roots {
                reason: error.to_string(),
            }),
        }
    }
}

impl fmt::Debug for HickoryForwarderBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HickoryForwarderBuilder")
            .field("upstreams", &self.upstreams)
            .field("zones", &self.zones)
            .finish_non_exhaustive()
    }
}

impl HickoryForwarder {
    /// A forwarder that asks nobody yet.
    pub fn builder() -> HickoryForwarderBuilder {
        HickoryForwarderBuilder::default()
    }

    /// From now on the servers of this file (resolv.conf(5)) are asked for everything that is in no
    /// zone, but for ourselves. Returns which those are; if there are none, clients are told that
    /// nobody can answer.
    ///
    /// The name servers alone are looked at: a name that is asked here is absolute, so nothing is
    /// appended to it, and answers come as the names' owners want them, so nothing is sorted. An
    /// address of the link (`fe80::`) is left out, as hickory has no place for its interface.
    pub fn set_resolv_conf(&self, text: &[u8]) -> Vec<Upstream> {
        let mut upstreams = resolv_conf::upstreams(text);
        upstreams.retain(|upstream| !is_own(&self.inner.own_addresses, upstream.address()));
        let inner = &self.inner;
        let servers = Servers::new(upstreams.clone(), &inner.context, &inner.limits);
        let mut current = inner
            .upstreams
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        let unchanged = current.all.iter().map(Server::upstream).eq(&upstreams);
        if !unchanged {
            *current = servers;
            drop(current);
            // What the servers of another network said holds there.
            inner.cache().clear();
        }
        upstreams
    }

    /// Forgets all answers.
    pub fn clear_cache(&self) {
        self.inner.cache().clear();
    }

    /// What happened so far.
    pub fn counters(&self) -> ForwardCounters {
        let mut counters = self.inner.counts.get();
        counters.cache_entries = self.inner.cache().entries();
        counters.in_flight = self.inner.in_flight().len();
        counters
    }
}

impl fmt::Debug for HickoryForwarder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let zones = self.inner.zones.iter().map(|(zone, _)| zone);
        f.debug_struct("HickoryForwarder")
            .field("upstreams", &*self.inner.upstreams())
            .field("zones", &zones.collect::<Vec<_>>())
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl Forwarder for HickoryForwarder {
    async fn resolve(&self, question: Question<'_>) -> Result<Resolved, ForwardError> {
        if question.kind.is_meta() && question.kind != RecordType::ANY {
            // RFC 6895 section 3.1: what is asked of a server itself, as a transfer is.
            return Ok(Resolved::new(Rcode::NOTIMP, Vec::new()));
        }
        let inner = &self.inner;
        let key = Key::from(question);
        if let Some(kept) = inner.cache().get(&key, inner.now()) {
            inner.counts.found();
            return kept;
        }
        let mut waiting = inner.wait_for(key)?;
        match waiting.wait_for(Option::is_some).await.as_deref() {
            Ok(Some(answer)) => answer.clone(),
            _ => Err(ForwardError::Failed("the program is stopping".to_owned())),
        }
    }
}

impl Inner {
    /// Asks, unless somebody is asking the same.
    fn wait_for(self: &Arc<Self>, key: Key) -> Result<Waiting, ForwardError> {
        let mut in_flight = self.in_flight();
        if let Some(waiting) = in_flight.get(&key) {
            self.counts.joined();
            return Ok(waiting.clone());
        }
        if in_flight.len() >= self.limits.in_flight_max {
            self.counts.busy();
            return Err(ForwardError::Busy);
        }
        let (sender, waiting) = watch::channel(None);
        in_flight.insert(key.clone(), waiting.clone());
        drop(in_flight);
        self.counts.asked();
        // A task of its own: a client that goes away takes nobody else's answer with it.
        let asking = Asking {
            inner: Arc::clone(self),
            key,
        };
        tokio::spawn(async move {
            let answer = asking.answer().await;
            // Before anybody hears of it: who asks from now on finds it in the cache.
            drop(asking);
            sender.send_replace(Some(answer));
        });
        Ok(waiting)
    }

    /// The answer to a question, aliases followed, and for how many seconds it may be kept.
    async fn follow(&self, key: &Key) -> Result<Resolved, ForwardError> {
        let mut so_far: Vec<Record> = Vec::new();
        let mut name = key.name.clone();
        for _ in 0..HOPS_MAX {
            let mut question = key.question();
            question.name = &name;
            match self.ask(question).await? {
                Said::All(mut resolved) => {
                    so_far.append(&mut resolved.answers);
                    resolved.answers = so_far;
                    return Ok(resolved);
                }
                Said::Aliases {
                    so_far: mut more,
                    target,
                } => {
                    so_far.append(&mut more);
                    if so_far.iter().any(|record| record.owner == target) {
                        break;
                    }
                    name = target;
                }
            }
        }
        let why = "aliases that lead nowhere".to_owned();
        Err(ForwardError::Failed(why))
    }

    /// What the first server said that said something usable.
    async fn ask(&self, question: Question<'_>) -> Result<Said, ForwardError> {
        let (servers, in_zone) = self.servers_of(question.name.as_ref());
        let mut rest = servers.in_order();
        let mut asked = FuturesUnordered::new();
        let mut failure = ForwardError::NoServer;
        loop {
            match rest.next() {
                Some(place) => asked.push(self.ask_server(&servers, place, question)),
                None if asked.is_empty() => return Err(failure),
                None => {}
            }
            let patience = tokio::time::sleep(self.limits.patience);
            tokio::select! {
                biased;
                Some((place, said)) = asked.next() => match said {
                    Ok(mut said) => {
                        servers.preferred.store(place, Ordering::Relaxed);
                        if let (Said::All(resolved), true) =
                            (&mut said, self.stop_rebinding && !in_zone)
                        {
                            answer::remove_private(resolved);
                        }
                        return Ok(said);
                    }
                    Err(why) => failure = ForwardError::Failed(why),
                },
                () = patience, if rest.len() > 0 => {}
            }
        }
    }

    async fn ask_server(
        &self,
        servers: &Servers,
        place: usize,
        question: Question<'_>,
    ) -> (usize, Result<Said, String>) {
        let Some(server) = servers.all.get(place) else {
            return (place, Err("no such server".to_owned()));
        };
        let said = server.ask(question, self.case_randomization).await;
        let said = said.and_then(|message| answer::read(question, &message, &self.limits));
        let said = said.map_err(|why| {
            self.counts.server_failed();
            format!("{}: {why}", server.upstream())
        });
        (place, said)
    }

    /// Who is asked for a name, and whether because it is in a zone.
    fn servers_of(&self, name: NameRef<'_>) -> (Arc<Servers>, bool) {
        let zones = self.zones.iter();
        let zones = zones.filter(|(zone, _)| name.is_within(zone.as_ref()));
        match zones.max_by_key(|(zone, _)| zone.as_ref().wire().len()) {
            Some((_, servers)) => (Arc::clone(servers), true),
            None => (self.upstreams(), false),
        }
    }

    fn upstreams(&self) -> Arc<Servers> {
        let upstreams = self.upstreams.read();
        Arc::clone(&upstreams.unwrap_or_else(PoisonError::into_inner))
    }

    fn cache(&self) -> MutexGuard<'_, Cache> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn in_flight(&self) -> MutexGuard<'_, HashMap<Key, Waiting>> {
        self.in_flight
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> Instant {
        let nanos = self.epoch.elapsed().as_nanos();
        Instant::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }
}

/// A question in flight; dropping it takes it out of the table.
struct Asking {
    inner: Arc<Inner>,
    key: Key,
}

impl Asking {
    async fn answer(&self) -> Result<Resolved, ForwardError> {
        let limits = &self.inner.limits;
        let upstreams = self.inner.upstreams();
        let answer = tokio::time::timeout(limits.deadline, self.inner.follow(&self.key)).await;
        let mut answer = answer.unwrap_or(Err(ForwardError::Timeout));
        let ttl_seconds = match &mut answer {
            Ok(resolved) => {
                answer::clamp(resolved, limits);
                answer::ttl_of(self.key.kind, resolved)
            }
            Err(why) => {
                self.inner.counts.failed(why);
                limits.failure_ttl_seconds
            }
        };
        // An answer of servers that are no longer asked is told, but not kept.
        if Arc::ptr_eq(&upstreams, &self.inner.upstreams()) {
            let (key, now) = (self.key.clone(), self.inner.now());
            self.inner
                .cache()
                .insert(key, answer.clone(), ttl_seconds, now);
        }
        answer
    }
}

impl Drop for Asking {
    fn drop(&mut self) {
        self.inner.in_flight().remove(&self.key);
    }
}

impl Servers {
    fn new(
        upstreams: Vec<Upstream>,
        context: &Arc<PoolContext>,
        limits: &ForwardLimits,
    ) -> Arc<Self> {
        let server = |upstream| Server::new(upstream, Arc::clone(context), limits);
        Arc::new(Self {
            all: upstreams.into_iter().map(server).collect(),
            preferred: AtomicUsize::new(0),
        })
    }

    /// The places of all, the preferred one first.
    fn in_order(&self) -> std::vec::IntoIter<usize> {
        let preferred = self.preferred.load(Ordering::Relaxed);
        let mut places: Vec<usize> = (0..self.all.len()).collect();
        places.sort_by_key(|place| *place != preferred);
        places.into_iter()
    }
}

impl fmt::Debug for Servers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let upstreams = self.all.iter().map(|server| server.upstream().to_string());
        f.debug_list().entries(upstreams).finish()
    }
}

/// Whether we listen there ourselves.
fn is_own(own_addresses: &[SocketAddr], address: SocketAddr) -> bool {
    own_addresses.iter().any(|own| {
        own.port() == address.port()
            && (own.ip().to_canonical() == address.ip().to_canonical()
                || (own.ip().is_unspecified() && is_of_this_machine(address)))
    })
}

/// Whether what is sent there stays on this machine: the system then sends it from that very
/// address, or from another one of the loopback interface.
fn is_of_this_machine(address: SocketAddr) -> bool {
    let any: IpAddr = match address {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let source = UdpSocket::bind((any, 0)).and_then(|socket| {
        // Sends nothing.
        socket.connect(address)?;
        socket.local_addr()
    });
    let is_same = |source: SocketAddr| source.ip() == address.ip();
    address.ip().to_canonical().is_loopback() || source.is_ok_and(is_same)
}
