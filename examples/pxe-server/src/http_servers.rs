//! The servers of HTTP: one for each `[http]`, with limits of its own.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use pxe_http::{Bound, Directories, Handle, ListingLimits, Server};
use tokio::task::JoinSet;

use crate::config::{Config, Http};
use crate::decisions::Guarded;
use crate::fact::Protocol;
use crate::https::Renewal;
use crate::hub::Hub;
use crate::observe;
use crate::source::SwapSource;

/// What serves; nothing, once it is shut down.
#[derive(Debug)]
pub(crate) struct HttpServers {
    running: Mutex<Vec<Handle>>,
}

impl HttpServers {
    /// Serves each source, one for each `[http]`, at the ports of that table.
    pub(crate) fn start(
        config: &Config,
        bound: Vec<(usize, Bound)>,
        certificates: &BTreeMap<usize, Renewal>,
        sources: &[Arc<SwapSource>],
        hub: &Arc<Hub>,
    ) -> io::Result<Arc<Self>> {
        let mut servers: BTreeMap<usize, Server> = BTreeMap::new();
        for (number, bound) in bound {
            let (Some(http), Some(source)) = (config.http.get(number), sources.get(number)) else {
                continue;
            };
            let observer = Arc::clone(hub);
            let protocol = match certificates.contains_key(&number) {
                true => Protocol::Https,
                false => Protocol::Http,
            };
            let server = servers.remove(&number).unwrap_or_else(|| {
                Server::new()
                    .limits(http.limits.clone())
                    .directories(directories(http))
                    .on_event(move |event| observe::http(&observer, protocol, event))
            });
            let source = Guarded::new(Arc::clone(source) as _, Arc::clone(hub));
            let server = match certificates.get(&number) {
                None => server.listen(bound, source),
                Some(renewal) => server.listen_tls(bound, renewal.identity(), source),
            };
            servers.insert(number, server);
        }
        let running: io::Result<Vec<Handle>> = servers.into_values().map(Server::start).collect();
        Ok(Arc::new(Self {
            running: Mutex::new(running?),
        }))
    }

    /// How many connections are open.
    pub(crate) fn connections(&self) -> usize {
        self.lock().iter().map(Handle::connections).sum()
    }

    /// Stops; gives the number of connections that had to be ended.
    pub(crate) async fn shut_down(&self, grace: Duration) -> usize {
        let running = std::mem::take(&mut *self.lock());
        let mut ends: JoinSet<usize> = JoinSet::new();
        for server in running {
            ends.spawn(server.shutdown(grace));
        }
        ends.join_all().await.into_iter().sum()
    }

    /// A panic of another thread leaves it whole.
    fn lock(&self) -> MutexGuard<'_, Vec<Handle>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn directories(http: &Http) -> Directories {
    let mut directories = Directories::default();
    directories.index.clone_from(&http.index);
    directories.listing = http.has_listings.then(ListingLimits::default);
    directories
}
