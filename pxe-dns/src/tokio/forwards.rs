//! Queries that others are asked for.

use std::fmt;
use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use super::clients::{Clients, Place};
use super::clock::Clock;
use super::throttle::Throttle;
use crate::{
    Event, ForwardError, ForwardFailed, Forwarder, Forwarding, Question, Rcode, Resolved, Service,
};

/// Asks others, for so many queries at once and no more.
pub(super) struct Forwards {
    service: Service,
    forwarder: Option<Arc<dyn Forwarder>>,
    permits: Arc<Semaphore>,
    clients: Arc<Clients>,
    throttle: Throttle,
}

/// A query that has its place among those that others are asked for.
pub(super) struct Begun {
    forwards: Arc<Forwards>,
    forwarding: Forwarding,
    _place: Place,
    _permit: OwnedSemaphorePermit,
}

impl Forwards {
    pub(super) fn new(
        service: Service,
        forwarder: Option<Arc<dyn Forwarder>>,
        clock: Clock,
    ) -> Self {
        let forwards_max = service.limits().forwards_max.min(Semaphore::MAX_PERMITS);
        Self {
            permits: Arc::new(Semaphore::new(forwards_max)),
            clients: Arc::default(),
            throttle: Throttle::new(clock),
            service,
            forwarder,
        }
    }

    /// Gives a query its place. If there is none the client is told so at once: the response is
    /// appended to `reply`.
    pub(super) fn begin(
        self: &Arc<Self>,
        forwarding: Forwarding,
        reply: &mut Vec<u8>,
    ) -> Option<Begun> {
        let peer = forwarding.peer;
        if self.forwarder.is_none() {
            self.fail(&forwarding, &ForwardError::NoServer, reply);
            return None;
        }
        let per_client_max = self.service.limits().forwards_per_client_max;
        let place = Place::take(&self.clients, peer.remote.ip(), per_client_max);
        let permit = Arc::clone(&self.permits).try_acquire_owned();
        let (peer, limit) = match (place, permit) {
            (Some(place), Ok(permit)) => {
                return Some(Begun {
                    forwards: Arc::clone(self),
                    forwarding,
                    _place: place,
                    _permit: permit,
                });
            }
            (None, _) => (Some(peer), "forwards_per_client_max"),
            (Some(_), Err(_)) => (None, "forwards_max"),
        };
        self.throttle.limited(&self.service, peer, limit);
        self.answer(&forwarding, ForwardError::Busy.rcode(), reply);
        None
    }

    /// Tells the client, and who listens, that nobody answered.
    fn fail(&self, forwarding: &Forwarding, why: &ForwardError, reply: &mut Vec<u8>) {
        self.service.tell_with(|| {
            Event::ForwardFailed(ForwardFailed {
                peer: forwarding.peer,
                name: forwarding.name.clone(),
                kind: forwarding.kind,
                why: why.to_string(),
            })
        });
        self.answer(forwarding, why.rcode(), reply);
    }

    fn answer(&self, forwarding: &Forwarding, rcode: Rcode, reply: &mut Vec<u8>) {
        let resolved = Resolved::new(rcode, Vec::new());
        // The failure is what is told.
        let _ = self.service.write_forwarded(forwarding, &resolved, reply);
    }
}

impl fmt::Debug for Forwards {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Forwards")
            .field("forwarder", &self.forwarder)
            .finish_non_exhaustive()
    }
}

impl Begun {
    /// Asks others. The response is appended to `reply`.
    pub(super) async fn finish(&self, reply: &mut Vec<u8>) {
        let Forwards {
            service, forwarder, ..
        } = &*self.forwards;
        let question = Question::from(&self.forwarding);
        let resolved = match forwarder {
            None => Err(ForwardError::NoServer),
            Some(forwarder) => {
                let resolving = forwarder.resolve(question);
                let resolved = timeout(service.limits().forward_max, resolving).await;
                resolved.unwrap_or(Err(ForwardError::Timeout))
            }
        };
        match resolved {
            Ok(resolved) => service.answer_forwarded(&self.forwarding, &resolved, reply),
            Err(why) => self.forwards.fail(&self.forwarding, &why, reply),
        }
    }
}
