//! What the loop does about its links: interfaces that change, and other servers there.

use std::io;
use std::time::Duration;

use ::tokio::time::Instant as TokioInstant;

use super::{Driver, Pending, Searched};
use crate::tokio::interface::Interfaces;
use crate::tokio::packet_socket::PacketSocket;
use crate::tokio::server_search::{FoundServer, WAIT_DEFAULT, search};
use crate::tokio::socket::Change;
use crate::{Config, Event, Mode};

/// When to list them again after that failed, or an interface could not be served.
const RETRY_TIME: Duration = Duration::from_secs(2);

impl Driver {
    /// Looks at the interfaces again, after some of them changed.
    pub(super) fn list_interfaces(&mut self) {
        self.list_at = None;
        // If they cannot be listed now, those that were listed before still hold.
        let Ok(interfaces) = Interfaces::list() else {
            self.list_at = Some(TokioInstant::now() + RETRY_TIME);
            return;
        };
        let before = std::mem::replace(&mut self.interfaces, interfaces);
        self.follow_interfaces();
        let addresses = self.interfaces.addresses();
        if addresses != before.addresses() {
            let all = self.configured_addresses.iter().chain(&addresses).copied();
            self.engine.set_own_addresses(self.clock.now(), all);
            (self.observer)(&Event::OwnAddresses { addresses });
        }
    }

    /// Listens to the interfaces as they were listed last.
    pub(super) fn follow_interfaces(&mut self) {
        let mut changes: Vec<(String, Change)> = Vec::new();
        for (socket, _) in &mut self.sockets {
            let change = socket.follow(&self.interfaces);
            if let (Some(change), Some(name)) = (change, socket.interface()) {
                let change = (name.to_owned(), change);
                // Port 4011 has the fate of port 67.
                if !changes.contains(&change) {
                    changes.push(change);
                }
            }
        }
        for (interface, change) in changes {
            (self.observer)(&match change {
                Change::Lost => Event::InterfaceLost { interface },
                Change::Served => Event::InterfaceServed { interface },
                Change::Unserved(reason) => Event::InterfaceUnserved { interface, reason },
            });
        }
        if self.sockets.iter().any(|(socket, _)| socket.is_unserved()) {
            let again = TokioInstant::now() + RETRY_TIME;
            self.list_at.get_or_insert(again);
        }
    }

    pub(super) fn changes_unseen(&self, error: &io::Error) {
        let reason = error.to_string();
        (self.observer)(&Event::ChangesUnseen { reason });
    }

    /// In authoritative mode there should be no other server; in the others there must be one.
    pub(super) fn searched(&mut self, searched: Searched) {
        self.search = None;
        let is_alone = self.engine.config().mode.gives_addresses();
        for (interface, found) in searched {
            let index = self.interfaces.named(&interface).map(|one| one.index);
            let found = match found {
                Ok(found) => found,
                Err(error) => {
                    let reason = error.to_string();
                    (self.observer)(&Event::SearchFailed { interface, reason });
                    continue;
                }
            };
            let mut others = found.iter().filter(|one| one.offered.is_some());
            if is_alone {
                for FoundServer { address, mac, .. } in others {
                    let now = self.clock.now();
                    self.engine
                        .handle_other_server(now, *address, Some(*mac), index);
                }
            } else if others.next().is_none() {
                (self.observer)(&Event::NoOtherServer { interface });
            }
        }
    }
}

/// Looks for other DHCP servers in the background; nobody waits for it.
pub(super) fn begin_search(
    config: &Config,
    searches: Vec<(String, PacketSocket)>,
    interfaces: &Interfaces,
) -> Option<Pending<Searched>> {
    // A boot server says nothing of addresses.
    if config.mode == Mode::Binl || searches.is_empty() {
        return None;
    }
    let ports = (config.server_port, config.client_port);
    let tasks: Vec<_> = searches
        .into_iter()
        .filter_map(|(name, socket)| {
            let interface = interfaces.named(&name)?.clone();
            // Such as loopback: no other host is there.
            interface.mac?;
            Some((name, socket, interface))
        })
        .collect();
    Some(Box::pin(async move {
        let mut found = Vec::new();
        let mut running: Vec<_> = tasks
            .into_iter()
            .map(|(name, socket, interface)| {
                let searching =
                    async move { search(socket, &interface, ports, WAIT_DEFAULT).await };
                (name, ::tokio::spawn(searching))
            })
            .collect();
        for (name, task) in running.drain(..) {
            let result = task
                .await
                .unwrap_or_else(|error| Err(io::Error::other(error)));
            found.push((name, result));
        }
        found
    }))
}
