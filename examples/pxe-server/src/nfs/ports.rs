//! The ports of NFS, MOUNT and the portmapper.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use pxe_nfs::{Bound, Export, HandleKey, Programs, Registration, Server, Service};

use super::admission::admission;
use super::handle_key;
use crate::bind::StartError;
use crate::config::{Config, Nfs, Portmap};
use crate::hub::Hub;
use crate::observe::NfsObserver;
use crate::port_holder::Transport;
use crate::privileges::Identity;

/// RFC 1833 section 3.1.
pub(crate) const PORTMAP_PORT: u16 = 111;
/// rpcbind's, where it takes registrations from every user (libtirpc's `_PATH_RPCBINDSOCK`).
const RPCBIND_SOCKET: &str = "/run/rpcbind.sock";
/// Ports that are tried where any would do: the one that TCP is given may be taken for UDP.
const ANY_PORT_TRIES: usize = 16;

/// Ports that are bound, and not served yet.
#[derive(Debug)]
pub(crate) struct BoundNfs {
    ports: Vec<(Bound, Programs)>,
    key: HandleKey,
    portmap: PortmapState,
}

/// How clients find our ports.
#[derive(Debug)]
enum PortmapState {
    /// They ask us.
    Answered,
    /// They will ask another portmapper, which was not told yet; why they do not ask us.
    ToRegister { busy: String },
    /// They ask another portmapper.
    Registered(Registration),
    /// They have to know.
    Nowhere,
}

impl PortmapState {
    const fn as_str(&self) -> &'static str {
        match self {
            Self::Answered => "answered here",
            Self::ToRegister { .. } | Self::Registered(_) => "answered by another server",
            Self::Nowhere => "none",
        }
    }
}

/// What serves.
#[derive(Debug)]
pub(crate) struct RunningNfs {
    service: Service,
    /// `None` once it stops.
    server: Mutex<Option<pxe_nfs::Handle>>,
    portmap: &'static str,
    /// What another portmapper is to be told at the end.
    registration: Mutex<Option<Registration>>,
}

impl BoundNfs {
    /// Binds every port, and reads or makes the key of file handles.
    pub(crate) fn bind(
        config: &Config,
        handle_key: Option<&Path>,
        owner: Option<&Identity>,
    ) -> Result<Option<Self>, StartError> {
        let Some(nfs) = &config.nfs else {
            return Ok(None);
        };
        let mut ports = Vec::new();
        for (index, address) in nfs.listen.iter().enumerate() {
            let key = format!("nfs.listen[{index}]");
            let both = bind_both(config, &key, *address)?;
            ports.extend(both.map(|bound| (bound, Programs::Nfs)));
        }
        for port in &nfs.mount_ports {
            for ip in addresses(nfs) {
                let address = SocketAddr::new(ip, *port);
                let both = bind_both(config, "nfs.mount_ports", address)?;
                ports.extend(both.map(|bound| (bound, Programs::Mount)));
            }
        }
        let mut bound = Self {
            ports,
            key: handle_key::open(config, handle_key, owner)?,
            portmap: PortmapState::Nowhere,
        };
        bound.bind_portmap(config, nfs)?;
        Ok(Some(bound))
    }

    fn bind_portmap(&mut self, config: &Config, nfs: &Nfs) -> Result<(), StartError> {
        match &nfs.portmap {
            Portmap::Off => {}
            Portmap::At(addresses) => {
                for (index, address) in addresses.iter().enumerate() {
                    let key = format!("nfs.portmap[{index}]");
                    let both = bind_both(config, &key, *address)?;
                    self.ports
                        .extend(both.map(|bound| (bound, Programs::Portmap)));
                }
                self.portmap = PortmapState::Answered;
            }
            Portmap::Auto => {
                let mut ports = Vec::new();
                for ip in addresses(nfs) {
                    let address = SocketAddr::new(ip, PORTMAP_PORT);
                    match try_both(address) {
                        Ok(both) => ports.extend(both.map(|bound| (bound, Programs::Portmap))),
                        Err((transport, error)) => {
                            let key = "nfs.portmap";
                            let what = address.to_string();
                            let error = config.bind_error(key, &what, &error, transport, address);
                            self.register(&error);
                            return Ok(());
                        }
                    }
                }
                self.ports.extend(ports);
                self.portmap = PortmapState::Answered;
            }
        }
        Ok(())
    }

    /// Registers with the portmapper that is there. rpcbind takes a registration back from the
    /// same user alone, so with that it is done as the user who serves.
    fn register(&mut self, busy: &StartError) {
        let busy = busy.to_string();
        if Path::new(RPCBIND_SOCKET).exists() {
            self.portmap = PortmapState::ToRegister { busy };
        } else {
            self.portmap = register(&self.ports, &busy);
        }
    }

    /// Each address that is listened at, with the name of what is there; that of NFS come first.
    pub(crate) fn listeners(&self) -> Vec<(&'static str, SocketAddr)> {
        let tcp = |(bound, _): &&(Bound, Programs)| bound.transport() == pxe_nfs::Transport::Tcp;
        let named = |(bound, programs): &(Bound, Programs)| {
            let name = match programs {
                Programs::Mount => "mount ",
                Programs::Portmap => "portmap ",
                _ => "",
            };
            (name, bound.local_addr())
        };
        self.ports.iter().filter(tcp).map(named).collect()
    }

    /// Serves these exports.
    pub(crate) fn serve(
        self,
        config: &Config,
        exports: Vec<Export>,
        hub: &Arc<Hub>,
    ) -> Result<Arc<RunningNfs>, StartError> {
        let mut limits = pxe_nfs::Limits::default();
        if let Some(nfs) = &config.nfs {
            limits.connections_max = nfs.connections_max;
            limits.connections_per_client_max = nfs.connections_per_client_max;
            limits.read_bytes_max = nfs.read_bytes_max;
        }
        let (admitting, observer) = (Arc::clone(hub), NfsObserver::new(Arc::clone(hub)));
        let builder = Service::builder(self.key)
            .limits(limits)
            .write_verifier(since_epoch().to_be_bytes())
            .admit(move |peer| admission(&admitting, peer))
            .on_event(move |event| observer.observe(event));
        let service = exports
            .into_iter()
            .fold(builder, pxe_nfs::ServiceBuilder::export);
        let service = service.build().map_err(io::Error::other)?;
        let portmap = match self.portmap {
            PortmapState::ToRegister { busy } => register(&self.ports, &busy),
            other => other,
        };
        let server = Server::new(service.clone());
        let ports = self.ports.into_iter();
        let server = ports.fold(server, |server, (bound, programs)| {
            server.listen(bound, programs)
        });
        Ok(Arc::new(RunningNfs {
            service,
            server: Mutex::new(Some(server.start()?)),
            portmap: portmap.as_str(),
            registration: Mutex::new(match portmap {
                PortmapState::Registered(registration) => Some(registration),
                _ => None,
            }),
        }))
    }
}

impl RunningNfs {
    /// From now on these are exported; connections and what is mounted stay.
    pub(crate) fn set_exports(&self, exports: Vec<Export>) {
        if let Err(error) = self.service.set_exports(exports) {
            tracing::error!(event = "reload_failed", "nfs: {error}");
        }
    }

    /// How many connections are open.
    pub(crate) fn connections(&self) -> usize {
        let server = self.server.lock().unwrap_or_else(PoisonError::into_inner);
        server.as_ref().map_or(0, pxe_nfs::Handle::connections)
    }

    /// Who answers where the ports are.
    pub(crate) const fn portmap(&self) -> &'static str {
        self.portmap
    }

    /// Stops; gives the number of connections that had to be ended.
    pub(crate) async fn shut_down(&self, grace: Duration) -> usize {
        let registration = take(&self.registration);
        if let Some(registration) = registration {
            // It waits for the other portmapper.
            let ended = tokio::task::spawn_blocking(|| registration.unregister()).await;
            if let Ok(Err(error)) = ended {
                tracing::warn!(event = "portmap", "nfs: {error}");
            }
        }
        match take(&self.server) {
            Some(server) => server.shutdown(grace).await,
            None => 0,
        }
    }
}

fn take<T>(from: &Mutex<Option<T>>) -> Option<T> {
    from.lock().unwrap_or_else(PoisonError::into_inner).take()
}

/// Tells the portmapper of this machine where these ports are. If that cannot be, machines that
/// know the port are served all the same.
fn register(ports: &[(Bound, Programs)], busy: &str) -> PortmapState {
    match pxe_nfs::register(ports.iter().map(|(bound, programs)| (bound, *programs))) {
        Ok(registration) => {
            tracing::info!(
                event = "portmap_registered",
                "nfs: registered with this machine's portmapper, which has port {PORTMAP_PORT}"
            );
            PortmapState::Registered(registration)
        }
        Err(error) => {
            tracing::warn!(
                event = "portmap_lacks",
                "nfs: nobody tells clients our ports: {busy}; and {error}. nfs-utils needs \
                 port=N,mountport=N with the port of nfs.listen; klibc (casper, live-boot) port=N, \
                 and nfs.mount_ports = [627]"
            );
            PortmapState::Nowhere
        }
    }
}

/// Differs from that of an earlier start, which is what a write verifier is for.
fn since_epoch() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    u64::try_from(since.unwrap_or_default().as_nanos()).unwrap_or(u64::MAX)
}

/// The addresses of our own that NFS listens at, each once.
pub(crate) fn addresses(nfs: &Nfs) -> Vec<IpAddr> {
    let mut addresses: Vec<IpAddr> = nfs.listen.iter().map(SocketAddr::ip).collect();
    addresses.sort();
    addresses.dedup();
    addresses
}

fn bind_both(config: &Config, key: &str, address: SocketAddr) -> Result<[Bound; 2], StartError> {
    try_both(address).map_err(|(transport, error)| {
        config.bind_error(key, &address.to_string(), &error, transport, address)
    })
}

/// Binds the same port for TCP and for UDP.
fn try_both(address: SocketAddr) -> Result<[Bound; 2], (Transport, io::Error)> {
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
