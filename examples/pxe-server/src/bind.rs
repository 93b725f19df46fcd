//! Before anything is served: every port is bound, then root is given up.

use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

use pxe_dhcp::{BindError, BindSpec};
use thiserror::Error;

use crate::assemble;
use crate::capabilities::Kept;
use crate::config::{Config, ConfigError, Problem, Store};
use crate::control::ControlSocket;
use crate::dns::BoundDns;
use crate::https::Renewal;
use crate::hub::Hub;
use crate::lease_store;
use crate::machines::Machines;
use crate::nfs::BoundNfs;
use crate::observe;
use crate::port_holder::{Transport, holder};
use crate::privileges::{self, Identity};

/// Why a server does not start, or does not go on.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum StartError {
    /// The configuration does not suit this machine.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A thread, a timer or a socket could not be had from the operating system.
    #[error("cannot start: {0}")]
    System(#[from] io::Error),
    /// It started, and a protocol could not go on later.
    #[error("stopped by a failure: {0}")]
    Ended(String),
}

/// A server whose ports are bound, and which serves nobody yet.
#[derive(Debug)]
pub struct Bound {
    pub(crate) config: Config,
    /// Where the leases are kept.
    pub(crate) store: Store,
    pub(crate) hub: Arc<Hub>,
    pub(crate) dhcp: Option<pxe_dhcp::Server>,
    pub(crate) tftp: Option<pxe_tftp::Server>,
    /// Each listener with the index of its `[http]`.
    pub(crate) http: Vec<(usize, pxe_http::Bound)>,
    /// The certificate and key of each `[http]` that has them, by its index. They are read before
    /// root is given up, as keys often are for root alone.
    pub(crate) https: BTreeMap<usize, Renewal>,
    pub(crate) nfs: Option<BoundNfs>,
    pub(crate) dns: Option<BoundDns>,
    pub(crate) control: Option<ControlSocket>,
    identity: Option<Identity>,
    /// What is kept of root when it is given up.
    kept: Kept,
}

impl Bound {
    /// Checks what the configuration asks of this machine, and binds all its ports and the control
    /// socket.
    ///
    /// # Errors
    /// The first port that cannot be bound: where, why, who holds it and what to do. The directory
    /// of the leases cannot be made.
    pub fn bind(config: Config) -> Result<Self, StartError> {
        let store = config.leases.store.clone().unwrap_or(Store::Memory);
        let handle_key = config.nfs.as_ref().and_then(|nfs| nfs.handle_key.clone());
        Self::bind_with_state(config, store, handle_key.as_deref())
    }

    /// The same with the leases and the key of file handles kept there.
    pub(crate) fn bind_with_state(
        config: Config,
        store: Store,
        handle_key: Option<&Path>,
    ) -> Result<Self, StartError> {
        let identity = identity(&config)?;
        let hub = Arc::new(Hub::new(Arc::new(Machines::default())));
        let dhcp = bind_dhcp(&config, &hub)?;
        let tftp = bind_tftp(&config, &hub)?;
        let http = bind_http(&config)?;
        let https = read_certificates(&config)?;
        lease_store::prepare(&config, &store, identity.as_ref())?;
        // After the directory of the leases, where its key may be.
        let nfs = BoundNfs::bind(&config, handle_key, identity.as_ref())?;
        let dns = BoundDns::bind(&config)?;
        let kept = Kept::wanted(&config).possible()?;
        let control = match &config.server.control {
            None => None,
            Some(path) => {
                let bound = ControlSocket::bind(path, identity.as_ref());
                Some(bound.map_err(|error| {
                    let message = format!("cannot bind {}: {error}", path.display());
                    let remedy = "name another path, or \"\" for no control socket";
                    config.error(config.problem("server.control", message, remedy))
                })?)
            }
        };
        Ok(Self {
            config,
            store,
            hub,
            dhcp,
            tftp,
            http,
            https,
            nfs,
            dns,
            control,
            identity,
            kept,
        })
    }

    /// Becomes the configured user, if this process is root. It is to be done before the process
    /// has other threads that matter, and before anything is served.
    ///
    /// # Errors
    /// Root could not be given up for good: the process must not go on.
    pub fn drop_privileges(&self) -> Result<(), StartError> {
        let Some(identity) = &self.identity else {
            if privileges::is_root() {
                tracing::warn!(
                    event = "still_root",
                    "server.user names nobody else: the server stays root"
                );
            }
            return Ok(());
        };
        identity.assume(self.kept).map_err(|error| {
            let message = format!("cannot become {}: {error}", identity.name);
            self.config.error(
                self.config
                    .problem("server.user", message, "start it as that user"),
            )
        })?;
        tracing::info!(
            event = "privileges_dropped",
            user = identity.name.as_str(),
            uid = identity.uid.as_raw(),
            gid = identity.gid.as_raw(),
            "root is given up"
        );
        if !self.kept.is_none() {
            tracing::info!(
                event = "capabilities_kept",
                "nfs: of root's powers these are kept, as exports ask for them: {}",
                self.kept
            );
        }
        Ok(())
    }
}

/// Whom to become, if anybody.
fn identity(config: &Config) -> Result<Option<Identity>, StartError> {
    let Some(user) = config
        .server
        .user
        .as_deref()
        .filter(|_| privileges::is_root())
    else {
        return Ok(None);
    };
    match Identity::of(user) {
        Ok(Some(identity)) if identity.uid.is_root() => Ok(None),
        Ok(Some(identity)) => Ok(Some(identity)),
        Ok(None) | Err(_) => {
            let message = format!("this machine has no user {user}");
            let remedy = "name an existing one, or make it with `useradd --system`";
            Err(config.error(config.problem("server.user", message, remedy)))
        }
    }
}

fn bind_dhcp(config: &Config, hub: &Arc<Hub>) -> Result<Option<pxe_dhcp::Server>, StartError> {
    let Some(dhcp) = &config.dhcp else {
        return Ok(None);
    };
    let mut server: Option<pxe_dhcp::Server> = None;
    for socket in assemble::dhcp_sockets(dhcp) {
        let key = match &socket {
            BindSpec::Address(_) => "dhcp.listen",
            _ => "dhcp.interface",
        };
        let bound = match server {
            None => pxe_dhcp::Server::bind(socket, assemble::dhcp(config, dhcp)),
            Some(server) => server.and_bind(socket),
        };
        server = Some(bound.map_err(|error| config.dhcp_error(key, error))?);
    }
    if assemble::has_menus(config) {
        let key = match dhcp.interfaces.is_empty() {
            true => "dhcp.listen",
            false => "dhcp.interface",
        };
        let with_menus = server.map(pxe_dhcp::Server::with_binl).transpose();
        server = with_menus.map_err(|error| config.dhcp_error(key, error))?;
    }
    let hub = Arc::clone(hub);
    // The seed stays the same from run to run: while leases are kept in memory, a machine finds its
    // address again after a restart, because the search for it begins at the same place.
    Ok(server.map(|server| server.on_event(move |event| observe::dhcp(&hub, event))))
}

fn bind_tftp(config: &Config, hub: &Arc<Hub>) -> Result<Option<pxe_tftp::Server>, StartError> {
    let Some(tftp) = &config.tftp else {
        return Ok(None);
    };
    let mut server: Option<pxe_tftp::Server> = None;
    for (index, address) in tftp.listen.iter().enumerate() {
        let bound = match server {
            None => pxe_tftp::Server::bind(*address, assemble::tftp(tftp)),
            Some(server) => server.and_bind(*address),
        };
        server = Some(bound.map_err(|error| {
            let key = format!("tftp.listen[{index}]");
            config.bind_error(&key, &address.to_string(), &error, Transport::Udp, *address)
        })?);
    }
    let hub = Arc::clone(hub);
    Ok(server.map(|server| {
        server
            .with_grace(config.server.grace)
            .on_event(move |event| observe::tftp(&hub, event))
    }))
}

fn bind_http(config: &Config) -> Result<Vec<(usize, pxe_http::Bound)>, StartError> {
    let mut bound = Vec::new();
    for (number, http) in config.http.iter().enumerate() {
        for (index, address) in http.listen.iter().enumerate() {
            let listener = pxe_http::Server::bind(address).map_err(|error| {
                let key = format!("{}.listen[{index}]", http.key);
                config.bind_error(&key, &address.to_string(), &error, Transport::Tcp, *address)
            })?;
            bound.push((number, listener));
        }
    }
    Ok(bound)
}

fn read_certificates(config: &Config) -> Result<BTreeMap<usize, Renewal>, StartError> {
    let with_tls = config.http.iter().enumerate();
    let with_tls = with_tls.filter_map(|(number, http)| Some((number, http, http.tls.as_ref()?)));
    let read = with_tls.map(|(number, http, tls)| {
        let renewal = Renewal::begin(tls).map_err(|wrong| {
            let key = format!("{}.tls.{}", http.key, wrong.name);
            config.error(config.problem(&key, wrong.message, wrong.remedy))
        })?;
        Ok((number, renewal))
    });
    read.collect()
}

impl Config {
    /// A single problem as an error.
    pub(crate) fn error(&self, problem: Problem) -> StartError {
        StartError::Config(ConfigError {
            file: self.file.clone(),
            problems: vec![problem],
        })
    }

    /// What keeps DHCP from being served, and what to do about it.
    pub(crate) fn dhcp_error(&self, key: &str, error: BindError) -> StartError {
        match error {
            BindError::Socket {
                spec, port, source, ..
            } => {
                let ip = match spec {
                    BindSpec::Address(ip) => ip,
                    _ => Ipv4Addr::UNSPECIFIED,
                };
                let address = SocketAddr::from((ip, port));
                let what = format!("UDP port {port} on {spec}");
                self.bind_error(key, &what, &source, Transport::Udp, address)
            }
            error => self.error(self.problem(key, chain(&error), "")),
        }
    }

    /// What keeps a port from being bound, and what to do about it.
    pub(crate) fn bind_error(
        &self,
        key: &str,
        what: &str,
        error: &io::Error,
        transport: Transport,
        address: SocketAddr,
    ) -> StartError {
        let (reason, remedy) = match error.kind() {
            io::ErrorKind::AddrInUse => match holder(transport, address) {
                Some(holder) => (
                    format!("address in use ({holder})"),
                    "stop it, or choose another address".to_owned(),
                ),
                None => (
                    "address in use".to_owned(),
                    "stop the program that holds it, or choose another address".to_owned(),
                ),
            },
            io::ErrorKind::AddrNotAvailable => (
                format!("this machine does not have the address {}", address.ip()),
                "choose one that `ip address` shows".to_owned(),
            ),
            io::ErrorKind::PermissionDenied => (
                "permission denied".to_owned(),
                "start as root (it is given up once the ports are bound), or choose ports above \
                 1023"
                    .to_owned(),
            ),
            _ => (error.to_string(), String::new()),
        };
        self.error(self.problem(key, format!("cannot bind {what}: {reason}"), remedy))
    }
}

/// An error and its causes in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
