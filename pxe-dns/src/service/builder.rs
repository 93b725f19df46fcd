//! Making a service.

use std::fmt;
use std::sync::{Arc, RwLock};

use super::{Inner, OnEvent, Recursion, Service};
use crate::rate_limit::RateLimit;
use crate::{AccessList, DynamicRecords, Event, Limits, LocalZones, ServedZone};

/// Makes a [`Service`].
#[derive(Default)]
pub struct ServiceBuilder {
    zones: Vec<ServedZone>,
    recursion: AccessList,
    local_zones: LocalZones,
    limits: Limits,
    rate_limit_key: [u8; 16],
    on_event: Option<OnEvent>,
}

impl ServiceBuilder {
    /// The same with one more zone.
    #[must_use]
    pub fn zone(mut self, zone: ServedZone) -> Self {
        self.zones.push(zone);
        self
    }

    /// The same, asking others for these clients.
    #[must_use]
    pub fn recursion(mut self, clients: AccessList) -> Self {
        self.recursion = clients;
        self
    }

    /// The same with other names that are answered here, where others would be asked for them.
    #[must_use]
    pub fn local_zones(mut self, local_zones: LocalZones) -> Self {
        self.local_zones = local_zones;
        self
    }

    /// The same with other bounds.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// The same with a key for the counters of the rate limit: 16 random octets, made anew at each
    /// start. Who knows the key (zeros, if none is given) can choose addresses that share counters
    /// with a client, so that this one is sent truncated responses, and comes by TCP.
    #[must_use]
    pub fn rate_limit_key(mut self, key: [u8; 16]) -> Self {
        self.rate_limit_key = key;
        self
    }

    /// The same, telling this what happens, on the threads that answer: it is to return soon.
    #[must_use]
    pub fn on_event(mut self, on_event: impl Fn(&Event) + Send + Sync + 'static) -> Self {
        self.on_event = Some(Box::new(on_event));
        self
    }

    /// The service.
    pub fn build(self) -> Service {
        let dynamic = DynamicRecords::new(&self.limits);
        drop(dynamic.zones_mut().replace(self.zones));
        Service {
            inner: Arc::new(Inner {
                dynamic,
                recursion: RwLock::new(Recursion {
                    clients: self.recursion,
                    local_zones: self.local_zones,
                }),
                rate_limit: RateLimit::new(&self.limits, self.rate_limit_key),
                limits: self.limits,
                on_event: self.on_event,
            }),
        }
    }
}

impl fmt::Debug for ServiceBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServiceBuilder").finish_non_exhaustive()
    }
}
