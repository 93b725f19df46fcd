//! What DNS's events mean.

use std::sync::Arc;

use pxe_dns::Event;

use crate::fact::Protocol;
use crate::hub::Hub;

/// Reports events to the hub.
#[derive(Debug)]
pub(crate) struct DnsObserver {
    hub: Arc<Hub>,
}

impl DnsObserver {
    pub(crate) const fn new(hub: Arc<Hub>) -> Self {
        Self { hub }
    }

    /// Takes an event in.
    pub(crate) fn observe(&self, event: &Event) {
        match event {
            Event::Answered(answered) => {
                let _ = answered;
                self.hub.count(Protocol::Dns, "queries", 1);
            }
            other => tracing::debug!(event = "other", "dns: {other:?}"),
        }
    }
}
