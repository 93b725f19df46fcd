//! A running server: its tasks, and the remote control that everything else uses.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use pxe_core::MacAddr;
use pxe_dhcp::{BindSpec, LeaseRecord, WithdrawError};
use pxe_tree::Tree;
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

use crate::assemble;
use crate::bind::{Bound, StartError};
use crate::config::Config;
use crate::control::{Answer, Command, Failure, Handler};
use crate::decisions::{Guarded, Remembered};
use crate::dns::{BoundDns, Question, RunningDns};
use crate::fact::Protocol;
use crate::http_servers::HttpServers;
use crate::https::Renewal;
use crate::hub::Hub;
use crate::images::Images;
use crate::lease_store;
use crate::log::LogControl;
use crate::machines::Machines;
use crate::menus::{Menus, Served};
use crate::names::{Names, NamingStore};
use crate::nfs::{self, BoundNfs, RunningNfs};
use crate::source::{SwapSource, http_source, tftp_source};
use crate::status;
use crate::trees::Trees;

/// How often zone files are looked at. A changed one is read at the look after the one that saw
/// it, so that it is served one to two seconds after it was written.
const ZONE_FILES_LOOK: Duration = Duration::from_millis(1000);

/// A server that serves. Dropping it ends all its tasks at once.
#[derive(Debug)]
#[must_use = "dropping it stops the server"]
pub struct Running {
    handle: Handle,
    tasks: JoinSet<Result<(), String>>,
    control: Option<JoinHandle<()>>,
}

/// The remote control of a running server; clones control the same one.
#[derive(Debug, Clone)]
pub struct Handle {
    pub(crate) shared: Arc<Shared>,
}

#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) hub: Arc<Hub>,
    config: Mutex<Arc<Config>>,
    /// A tree that was given at the start, which no reload replaces.
    pub(crate) given_tree: Option<Arc<dyn Tree>>,
    /// The images, if any are served.
    images: Mutex<Option<Arc<Images>>>,
    pub(crate) tftp_source: Option<Arc<SwapSource>>,
    /// One per `[http]`.
    pub(crate) http_sources: Vec<Arc<SwapSource>>,
    pub(crate) http: Arc<HttpServers>,
    /// The certificates of those that have one.
    pub(crate) certificates: Vec<Renewal>,
    /// Where they are served.
    pub(crate) served: Served,
    pub(crate) tftp: Option<pxe_tftp::Handle>,
    pub(crate) dhcp: Option<pxe_dhcp::Handle>,
    pub(crate) nfs: Option<Arc<RunningNfs>>,
    pub(crate) dns: Option<Arc<RunningDns>>,
    pub(crate) log: Option<LogControl>,
    pub(crate) listeners: Vec<Listener>,
    pub(crate) reloads: AtomicU64,
    /// One reload at a time.
    pub(crate) reloading: tokio::sync::Mutex<()>,
    stop: watch::Sender<bool>,
}

/// An address that is listened at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Listener {
    pub(crate) protocol: Protocol,
    /// What the configuration says: an interface or an address.
    pub(crate) name: String,
    pub(crate) address: SocketAddr,
}

impl Running {
    /// Binds and serves, without giving up root: for tests, and for programs that embed a server.
    ///
    /// # Errors
    /// What the configuration asks of this machine is not there, or a port cannot be bound.
    ///
    /// # Panics
    /// Outside of a tokio runtime with I/O and time enabled.
    pub async fn start(config: Config) -> Result<Self, StartError> {
        for warning in config.check_machine()? {
            tracing::warn!(event = "config", "{}", config.locate(&warning));
        }
        Bound::bind(config)?.start().await
    }

    /// The remote control.
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// Where this protocol is served, in the order of the configuration; ports are the real ones.
    /// Those of NFS are followed by those where MOUNT and the portmapper alone are.
    pub fn addresses(&self, protocol: Protocol) -> Vec<SocketAddr> {
        let listeners = self.handle.shared.listeners.iter();
        listeners
            .filter(|listener| listener.protocol == protocol)
            .map(|listener| listener.address)
            .collect()
    }

    /// The machines that were seen, and what they did.
    pub fn machines(&self) -> &Arc<Machines> {
        self.handle.shared.hub.machines()
    }

    /// Serves until [`Handle::stop`] is called and the running transfers are over, or the grace
    /// period is.
    ///
    /// # Errors
    /// A protocol could not go on; the others were stopped, too.
    pub async fn wait(mut self) -> Result<(), String> {
        let mut result = Ok(());
        while let Some(joined) = self.tasks.join_next().await {
            let ended = match joined {
                Ok(ended) => ended,
                Err(error) => Err(format!("a task failed: {error}")),
            };
            if let Err(error) = ended {
                tracing::error!(event = "failed", "{error}");
                result = result.and(Err(error));
            }
            // One protocol alone makes no boot: what ends, ends all.
            self.handle.stop();
        }
        if let Some(control) = self.control.take() {
            control.abort();
            // Its socket's file is gone afterwards.
            let _ = control.await;
        }
        result
    }

    /// Stops gracefully: [`Handle::stop`], then [`wait`](Self::wait).
    ///
    /// # Errors
    /// As [`wait`](Self::wait).
    pub async fn stop(self) -> Result<(), String> {
        self.handle.stop();
        self.wait().await
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(control) = &self.control {
            control.abort();
        }
    }
}

impl Bound {
    /// Opens the tree and serves it.
    ///
    /// # Errors
    /// The tree or the leases cannot be opened.
    ///
    /// # Panics
    /// Outside of a tokio runtime with I/O and time enabled.
    pub async fn start(self) -> Result<Running, StartError> {
        self.start_all(None, None).await
    }

    /// Serves this tree, and not the directory of the configuration.
    ///
    /// # Errors
    /// The operating system's, about sockets. The leases cannot be opened.
    ///
    /// # Panics
    /// Outside of a tokio runtime with I/O and time enabled.
    pub async fn start_with_tree(self, tree: Arc<dyn Tree>) -> Result<Running, StartError> {
        self.start_all(Some(tree), None).await
    }

    /// As [`start`](Self::start); the log's level then follows the configuration.
    pub(crate) async fn start_with_log(self, log: LogControl) -> Result<Running, StartError> {
        self.start_all(None, Some(log)).await
    }

    async fn start_all(
        self,
        given_tree: Option<Arc<dyn Tree>>,
        log: Option<LogControl>,
    ) -> Result<Running, StartError> {
        let config = &self.config;
        let wrong = |problem| config.error(problem);
        let images = Images::start(config).map_err(wrong)?;
        if let Some(images) = &images {
            // Mostly that is done at once, and then they are there when the server says so.
            images.library().known().await;
        }
        let trees = match &given_tree {
            Some(tree) => Trees::given(config, Arc::clone(tree), images.as_deref()),
            None => Trees::open(config, images.as_deref()),
        };
        let trees = trees.map_err(wrong)?;
        self.spawn(&trees, given_tree, images, log)
    }

    fn spawn(
        self,
        trees: &Trees,
        given_tree: Option<Arc<dyn Tree>>,
        images: Option<Arc<Images>>,
        log: Option<LogControl>,
    ) -> Result<Running, StartError> {
        let store = lease_store::open(&self.config, &self.store)?;
        let Self {
            config,
            hub,
            dhcp,
            tftp,
            http,
            https,
            nfs,
            dns,
            control,
            ..
        } = self;
        let listeners = listeners(
            dhcp.as_ref(),
            tftp.as_ref(),
            &http,
            &https,
            nfs.as_ref(),
            dns.as_ref(),
        )?;
        let served = Served {
            tftp: (tftp
                .as_ref()
                .map(pxe_tftp::Server::local_addrs)
                .transpose()?)
            .unwrap_or_default(),
            http: (http.iter())
                .map(|(number, bound)| (*number, bound.local_addr()))
                .collect(),
        };
        let menus = Menus::new(&config, served.clone(), Arc::clone(&trees.served));
        let library = images.as_ref().map(|images| Arc::clone(images.library()));
        let menus = Arc::new(menus.with_images(library));
        hub.set_quiet_misses(config.tftp.as_ref().is_some_and(|tftp| tftp.quiet_misses));
        let tftp_source =
            (config.tftp.as_ref()).map(|_| SwapSource::new(tftp_source(&menus, &hub)));
        let http_sources: Vec<_> = (config.http.iter())
            .map(|http| SwapSource::new(http_source(&menus, &hub, http)))
            .collect();
        let (stop, stopped) = watch::channel(false);
        assemble::decide_by(&config, hub.decisions());
        let nfs = match nfs {
            None => None,
            Some(bound) => {
                let exports =
                    nfs::exports(&config, trees).map_err(|problem| config.error(problem))?;
                Some(bound.serve(&config, exports, &hub)?)
            }
        };
        let dns = match dns {
            None => None,
            Some(bound) => Some(bound.serve(&config, &hub)?),
        };
        let names = dns.as_ref().map(|dns| Arc::clone(dns.names()));
        let store = NamingStore::over(store, names);
        let policy = Arc::new(Remembered(Arc::clone(&hub)));
        let http = HttpServers::start(&config, http, &https, &http_sources, &hub)?;
        let grace = config.server.grace;
        let shared = Arc::new(Shared {
            hub: Arc::clone(&hub),
            config: Mutex::new(Arc::new(config)),
            given_tree,
            images: Mutex::new(images),
            tftp_source: tftp_source.clone(),
            http_sources,
            http: Arc::clone(&http),
            certificates: https.values().cloned().collect(),
            served,
            tftp: tftp.as_ref().map(pxe_tftp::Server::handle),
            dhcp: dhcp.as_ref().map(pxe_dhcp::Server::handle),
            nfs: nfs.clone(),
            dns: dns.clone(),
            log,
            listeners,
            reloads: AtomicU64::new(0),
            reloading: tokio::sync::Mutex::default(),
            stop,
        });
        let mut tasks = JoinSet::new();
        let stopped_watching = stopped.clone();
        if let Some(dhcp) = dhcp {
            let stopped = wait_for_stop(stopped.clone());
            tasks.spawn(async move {
                let result = dhcp.run(store, policy, stopped).await;
                result.map_err(|error| format!("dhcp: {error}"))
            });
        }
        if let (Some(tftp), Some(source)) = (tftp, tftp_source) {
            let stopped = wait_for_stop(stopped.clone());
            let source = Guarded::new(source, Arc::clone(&hub));
            tasks.spawn(async move {
                tftp.run(source, stopped)
                    .await
                    .map_err(|error| format!("tftp: {error}"))
            });
        }
        {
            let stopped = stopped.clone();
            tasks.spawn(async move {
                wait_for_stop(stopped).await;
                let ended = http.shut_down(grace).await;
                if ended > 0 {
                    tracing::warn!(event = "broken_off", "http: {ended} connections broken off");
                }
                Ok(())
            });
        }
        for renewal in shared.certificates.clone() {
            let stopped = stopped.clone();
            tasks.spawn(async move {
                tokio::select! {
                    () = renewal.run() => {}
                    () = wait_for_stop(stopped) => {}
                }
                Ok(())
            });
        }
        if let Some(dns) = dns {
            let (stopped, hub) = (stopped.clone(), Arc::clone(&hub));
            tasks.spawn(async move {
                let serve = async {
                    hub.recalled().await;
                    dns.begin()?;
                    dns.names().run().await;
                    Ok::<(), std::io::Error>(())
                };
                tokio::select! {
                    ended = serve => ended.map_err(|error| format!("dns: {error}"))?,
                    () = wait_for_stop(stopped) => {}
                }
                let ended = dns.shut_down(grace).await;
                if ended > 0 {
                    tracing::warn!(event = "broken_off", "dns: {ended} connections broken off");
                }
                Ok(())
            });
        }
        if let Some(nfs) = nfs {
            tasks.spawn(async move {
                wait_for_stop(stopped).await;
                let ended = nfs.shut_down(grace).await;
                if ended > 0 {
                    tracing::warn!(event = "broken_off", "nfs: {ended} connections broken off");
                }
                Ok(())
            });
        }
        let handle = Handle { shared };
        let control = control.map(|control| {
            let path = control.path().display().to_string();
            let served = control.serve(Arc::new(handle.clone()));
            tokio::spawn(async move {
                if let Err(error) = served.await {
                    tracing::error!(event = "control_failed", "control socket {path}: {error}");
                }
            })
        });
        handle.announce();
        if handle.shared.dns.is_some() {
            let watched = handle.clone();
            tasks.spawn(async move {
                watched.watch_zone_files(stopped_watching).await;
                Ok(())
            });
        }
        let recalled = handle.clone();
        tokio::spawn(async move { recalled.recall_leases().await });
        Ok(Running {
            handle,
            tasks,
            control,
        })
    }
}

async fn wait_for_stop(mut stopped: watch::Receiver<bool>) {
    // An error is a server that is gone, which is a stop, too.
    let _ = stopped.wait_for(|stopped| *stopped).await;
}

fn listeners(
    dhcp: Option<&pxe_dhcp::Server>,
    tftp: Option<&pxe_tftp::Server>,
    http: &[(usize, pxe_http::Bound)],
    https: &BTreeMap<usize, Renewal>,
    nfs: Option<&BoundNfs>,
    dns: Option<&BoundDns>,
) -> Result<Vec<Listener>, StartError> {
    let mut listeners = Vec::new();
    if let Some(server) = dhcp {
        for (spec, address) in server.specs().zip(server.local_addrs()?) {
            let name = match spec {
                BindSpec::Interface(name) => name.clone(),
                BindSpec::Address(ip) => ip.to_string(),
                other => other.to_string(),
            };
            listeners.push(Listener {
                protocol: Protocol::Dhcp,
                name,
                address,
            });
        }
    }
    let tftp = tftp
        .map(pxe_tftp::Server::local_addrs)
        .transpose()?
        .unwrap_or_default();
    let http = http.iter().map(|(number, bound)| {
        let protocol = match https.contains_key(number) {
            true => Protocol::Https,
            false => Protocol::Http,
        };
        (protocol, bound.local_addr())
    });
    let tftp = tftp.into_iter().map(|address| (Protocol::Tftp, address));
    for (protocol, address) in tftp.chain(http) {
        listeners.push(Listener {
            protocol,
            name: address.to_string(),
            address,
        });
    }
    for (what, address) in nfs.iter().flat_map(|nfs| nfs.listeners()) {
        listeners.push(Listener {
            protocol: Protocol::Nfs,
            name: format!("{what}{address}"),
            address,
        });
    }
    for address in dns.iter().flat_map(|dns| dns.listeners()) {
        listeners.push(Listener {
            protocol: Protocol::Dns,
            name: address.to_string(),
            address,
        });
    }
    Ok(listeners)
}

impl Handle {
    /// Begins a graceful stop: no new transfers, and the running ones may end within the grace
    /// period.
    pub fn stop(&self) {
        let is_new = self
            .shared
            .stop
            .send_if_modified(|stop| !std::mem::replace(stop, true));
        if is_new {
            // It hears of it from its task, too, but that may have to wait for a thread.
            if let Some(tftp) = &self.shared.tftp {
                tftp.shut_down();
            }
            tracing::info!(
                event = "stopping",
                transfers = self.shared.hub.transfers().len(),
                grace_seconds = self.config().server.grace.as_secs(),
                "stopping"
            );
        }
    }

    /// The configuration in force.
    pub fn config(&self) -> Arc<Config> {
        let config = self
            .shared
            .config
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        Arc::clone(&config)
    }

    pub(crate) fn set_config(&self, config: Config) {
        let mut current = self
            .shared
            .config
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        *current = Arc::new(config);
    }

    /// The images that are served, if any.
    pub(crate) fn images(&self) -> Option<Arc<Images>> {
        let images = self.shared.images.lock();
        images.unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn set_images(&self, images: Option<Arc<Images>>) {
        let mut current = (self.shared.images.lock()).unwrap_or_else(PoisonError::into_inner);
        *current = images;
    }

    /// Reads the zones whose files change, until the server stops.
    async fn watch_zone_files(&self, stopped: watch::Receiver<bool>) {
        let mut stopped = std::pin::pin!(wait_for_stop(stopped));
        loop {
            tokio::select! {
                () = &mut stopped => return,
                () = tokio::time::sleep(ZONE_FILES_LOOK) => {}
            }
            let _one_at_a_time = self.shared.reloading.lock().await;
            let handle = self.clone();
            // A disk may hang: queries are answered meanwhile.
            let looked = tokio::task::spawn_blocking(move || {
                if let Some(dns) = &handle.shared.dns {
                    dns.look_at_files(&handle.config(), &handle.shared.hub);
                }
            });
            if let Err(error) = looked.await {
                tracing::error!(event = "failed", "dns: zone files: {error}");
            }
        }
    }

    /// The names of leases, if DNS is served.
    pub(crate) fn names(&self) -> Option<&Names> {
        self.shared.dns.as_ref().map(|dns| &**dns.names())
    }

    /// Every lease record, by address; none if no addresses are given.
    pub async fn leases(&self) -> Vec<LeaseRecord> {
        match &self.shared.dhcp {
            Some(dhcp) => dhcp.leases().await.unwrap_or_default(),
            None => Vec::new(),
        }
    }

    /// Whose address is whose, and what is decided about them, by the leases of earlier runs: a
    /// machine that runs on does not speak DHCP until it renews.
    async fn recall_leases(&self) {
        let hub = &self.shared.hub;
        let mut leases = self.leases().await;
        let now = hub.now().wall;
        leases.retain(|lease| lease.is_active(now));
        // If there is no room for all, it is for those that were seen last.
        leases.sort_by_key(|lease| std::cmp::Reverse(lease.last_seen));
        for lease in &leases {
            hub.decisions().recall(lease);
        }
        hub.set_recalled();
    }

    /// Frees what an address or a machine holds, by its IP or hardware address.
    async fn release(&self, lease: &str) -> Result<Answer, Failure> {
        let addresses: Vec<Ipv4Addr> = match (lease.parse::<MacAddr>(), lease.parse()) {
            (_, Ok(address)) => vec![address],
            (Ok(mac), _) => {
                let leases = self.leases().await;
                let now = status::wall_time();
                let held = leases.iter().filter(|record| record.mac() == Some(mac));
                held.filter(|record| record.is_active(now))
                    .map(|record| record.address)
                    .collect()
            }
            _ => {
                let message = format!("{lease:?} is neither a hardware nor an IPv4 address");
                return Err(Failure::new("bad_request", message));
            }
        };
        let dhcp = self.shared.dhcp.as_ref().filter(|_| !addresses.is_empty());
        let Some(dhcp) = dhcp else {
            let message = format!("{lease} holds no lease here");
            return Err(Failure::new("not_found", message));
        };
        let mut released = Vec::new();
        for address in addresses {
            dhcp.withdraw(address).await.map_err(|error| {
                let code = match error {
                    WithdrawError::NotHeld(_) => "not_found",
                    WithdrawError::Busy(_) => "busy",
                    _ => "unavailable",
                };
                Failure::new(code, error.to_string())
            })?;
            released.push(address.to_string());
        }
        Ok(Answer::from_iter([(
            "released".to_owned(),
            released.into(),
        )]))
    }

    /// What a client is answered by DNS, and why.
    async fn dns_query(
        &self,
        name: &str,
        kind: Option<&str>,
        client: Option<&str>,
    ) -> Result<Answer, Failure> {
        let config = self.config();
        let (Some(running), Some(dns)) = (&self.shared.dns, &config.dns) else {
            let message = "this server answers no names: its configuration has no [dns]";
            return Err(Failure::new("unavailable", message));
        };
        let question = Question::parse(dns, name, kind, client)?;
        let now = self.shared.hub.now();
        let answer = running.answer(&config, dns, &question, now).await;
        Ok(status::object(answer))
    }

    fn announce(&self) {
        for listener in &self.shared.listeners {
            tracing::info!(
                event = "listening",
                protocol = listener.protocol.as_str(),
                address = %listener.address,
                "listening at {}{}",
                listener.name,
                match listener.protocol {
                    Protocol::Dhcp => format!(", UDP port {}", listener.address.port()),
                    _ => String::new(),
                }
            );
        }
        let config = self.config();
        tracing::info!(
            event = "ready",
            version = env!("CARGO_PKG_VERSION"),
            config = %config.file.display(),
            tree = %config.tree.root.display(),
            "ready"
        );
    }
}

#[async_trait]
impl Handler for Handle {
    async fn handle(&self, command: Command) -> Result<Answer, Failure> {
        match command {
            Command::Status => Ok(status::status(self).await),
            Command::Reload => self.reload().await,
            Command::Leases => Ok(status::leases(&self.leases().await, self.names())),
            Command::Release { lease } => self.release(&lease).await,
            Command::Machines { machine } => status::machines(self, machine.as_deref()),
            Command::DnsQuery { name, kind, client } => {
                self.dns_query(&name, kind.as_deref(), client.as_deref())
                    .await
            }
            Command::Stop => {
                self.stop();
                Ok(Answer::new())
            }
        }
    }
}
