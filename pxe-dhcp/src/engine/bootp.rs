//! Clients that speak plain BOOTP (RFC 951): one request, one reply, and no lease time.

use core::net::Ipv4Addr;

use pxe_core::{Now, RecvMeta};

use super::Engine;
use super::request::{Asking, Origin};
use crate::wire::Message;
use crate::{Bootp, ClientInfo, Event, IgnoreReason, Stage};

impl Engine {
    pub(super) fn on_bootp(
        &mut self,
        now: Now,
        client: ClientInfo,
        message: &Message<'_>,
        meta: &RecvMeta,
        payload: &[u8],
        origin: Origin,
    ) {
        // Whoever speaks BOOTP boots: it is no system that only wants an address.
        let Some(asking) = self.asking(message, meta, client, Vec::new(), Stage::Pxe) else {
            return;
        };
        let asking = &asking;
        let reserved = self.reservation(asking).and_then(|one| one.address);
        let index = reserved.and_then(|address| self.plan.subnet_of(address));
        let subnet = &self.plan.subnets[index.unwrap_or(asking.subnet)].config;
        let is_pooled = matches!(subnet.bootp, Bootp::Dynamic { .. });
        let lease_seconds = match subnet.bootp {
            Bootp::Ignored => None,
            Bootp::Reserved => reserved.map(|_| subnet.lease_seconds_max),
            Bootp::Dynamic { lease_seconds } => Some(lease_seconds),
        };
        let Some(lease_seconds) = lease_seconds else {
            return self.ignore(Some(asking.client.clone()), IgnoreReason::Bootp);
        };
        if !matches!(origin, Origin::Probed { .. }) && !self.admits(now, asking, None) {
            return;
        }
        let Some(choice) = self.choose(asking) else {
            return self.report_nothing_to_give(asking);
        };
        // Another client may hold what is reserved for this one.
        if !is_pooled && reserved != Some(choice.address) {
            return self.ignore(Some(asking.client.clone()), IgnoreReason::Bootp);
        }
        if self.hold_offer(now, asking, payload, origin, choice) {
            self.grant_bootp(now, asking, choice.address, lease_seconds);
        }
    }

    fn grant_bootp(&mut self, now: Now, asking: &Asking<'_>, address: Ipv4Addr, seconds: u32) {
        let mut decision = self.decide(asking, Some(address));
        let lease = Some((address, seconds));
        let (reply, next_server) = self.reply(asking, None, lease, &mut decision);
        let Some(reply) = self.write(asking, &reply, Some(address), false) else {
            return;
        };
        let event = Event::Acknowledged {
            client: asking.client.clone(),
            address,
            lease_seconds: seconds,
            boot: decision.boot,
            next_server,
            explanation: decision.explanation,
        };
        self.start_lease(now, asking, address, seconds, reply, event);
    }
}
