//! What holds for clients that are not known yet.
//!
//! An attacker can invent a MAC per message, and empty a pool with them. What it cannot invent is
//! where it is plugged in. So each port has its bounds, and those who are known are beyond them.

use core::net::Ipv4Addr;

use pxe_core::Now;

use super::Engine;
use super::port::Port;
use super::request::Asking;
use crate::{ClientKey, IgnoreReason, Limit, ReservedFor};

impl Engine {
    /// Whether the client can be served as far as the limits for new clients go; if not, it is
    /// left without an answer, and asks again by itself. `asked` is the address that it insists on.
    pub(super) fn admits(
        &mut self,
        now: Now,
        asking: &Asking<'_>,
        asked: Option<Ipv4Addr>,
    ) -> bool {
        let client = &asking.client.key;
        let is_known = self.is_expected(asking, asked)
            || !self.leases.of_client(client).is_empty()
            || self.offers.get(client).is_some();
        if is_known {
            return true;
        }
        let Some(limit) = self.reached_by(now, asking) else {
            return true;
        };
        *self.counters.limits.entry(limit).or_default() += 1;
        self.ignore(Some(asking.client.clone()), IgnoreReason::Limit(limit));
        false
    }

    /// Whether something is reserved for this client, and for no others that say the same. Anybody
    /// can say a UUID, and many can be at one port: of those, the one that gets the reserved
    /// address is expected.
    fn is_expected(&self, asking: &Asking<'_>, asked: Option<Ipv4Addr>) -> bool {
        let Some(reservation) = self.reservation(asking) else {
            return false;
        };
        match (&reservation.client, &asking.client.key) {
            (ReservedFor::Mac(_), ClientKey::Ethernet(_))
            | (ReservedFor::Hardware { .. }, ClientKey::Hardware { .. })
            | (ReservedFor::ClientId(_), ClientKey::ClientId(_)) => true,
            _ => reservation.address.is_some_and(|address| {
                asked.is_none_or(|asked| asked == address)
                    && self.check_but_doubt(asking, address).is_ok()
            }),
        }
    }

    fn reached_by(&mut self, now: Now, asking: &Asking<'_>) -> Option<Limit> {
        let limits = *self.limits();
        let told = Port::told_by(asking.message);
        if told.is_some_and(|one| self.leases.active_at_port(one) >= limits.leases_per_port_max) {
            return Some(Limit::PortLeases);
        }
        let oui = asking.client.mac().map(|mac| mac.oui());
        if oui.is_some_and(|one| self.leases.active_of_oui(one) >= limits.leases_per_oui_max) {
            return Some(Limit::OuiLeases);
        }
        let port = Port::of_message(asking.message, asking.meta);
        if self.offers.at_port(port) >= limits.offers_per_port_max {
            return Some(Limit::PortOffers);
        }
        // Last, as it takes one.
        let is_allowed = self.new_clients.allows(now.mono, port.hash());
        (!is_allowed).then_some(Limit::NewClients)
    }
}
