//! Where decisions are made and where they are enforced: the boot policy that DHCP asks, and the
//! source that TFTP and HTTP ask.

use std::net::IpAddr;
use std::sync::Arc;

use async_trait::async_trait;
use pxe_dhcp::{BootDecision, BootPolicy, BootRequest};
use pxe_tree::{ErrorKind, FileRequest, Opened, Result, Source};

use super::{Access, Identity, LookUp};
use crate::fact::{What, printable};
use crate::hub::Hub;

/// The policy in force, which remembers what it decided.
#[derive(Debug)]
pub(crate) struct Remembered(pub(crate) Arc<Hub>);

impl BootPolicy for Remembered {
    fn decide(&self, request: &BootRequest<'_>) -> BootDecision {
        self.0.decisions().decide(request)
    }
}

/// A source that opens nothing for a machine that may not boot: TFTP says ERROR 2 (access
/// violation), HTTP says 403.
#[derive(Debug)]
pub(crate) struct Guarded {
    source: Arc<dyn Source>,
    hub: Arc<Hub>,
}

impl Guarded {
    pub(crate) fn new(source: Arc<dyn Source>, hub: Arc<Hub>) -> Arc<Self> {
        Arc::new(Self { source, hub })
    }
}

#[async_trait]
impl Source for Guarded {
    async fn open(&self, request: &FileRequest<'_>) -> Result<Opened> {
        let local = request.local.map(|local| local.ip());
        match self.hub.access(request.remote.ip(), local).await {
            Access::Allowed => self.source.open(request).await,
            Access::Denied(_) => {
                Err(pxe_tree::Error::new(ErrorKind::PermissionDenied).at(request.path))
            }
        }
    }

    fn open_now(&self, request: &FileRequest<'_>) -> Option<Result<Opened>> {
        match self.hub.access_now(request.remote.ip())? {
            Access::Allowed => self.source.open_now(request),
            Access::Denied(_) => None,
        }
    }
}

impl Hub {
    /// Whether the client at this address may have files.
    ///
    /// If a rule can deny at all, it waits until the leases of earlier runs are known: a machine
    /// that may not boot must not slip in while the server starts. Later it waits for the kernel's
    /// neighbour table at most, and for that only if the client is not known yet.
    pub(crate) async fn access(&self, remote: IpAddr, local: Option<IpAddr>) -> Access {
        let ip = remote.to_canonical();
        let local = local.map(|local| local.to_canonical());
        if self.decisions().can_deny() {
            self.recalled().await;
        }
        match self.decisions().look_up(ip, self.now().mono) {
            LookUp::Known(access) => access,
            LookUp::Unknown => {
                let neighbour = self.neighbours().mac_of(ip).await;
                self.decisions()
                    .judge(ip, neighbour, local, self.now().mono)
            }
        }
    }

    /// The same if it is known at once.
    pub(crate) fn access_now(&self, remote: IpAddr) -> Option<Access> {
        if !self.decisions().can_deny() {
            return Some(Access::Allowed);
        }
        if !self.has_recalled() {
            return None;
        }
        match self
            .decisions()
            .look_up(remote.to_canonical(), self.now().mono)
        {
            LookUp::Known(access) => Some(access),
            LookUp::Unknown => None,
        }
    }

    /// Who the client at this address is. Right after a start it waits for the leases of earlier
    /// runs, so that a machine gets its own menu then, too.
    pub(crate) async fn identity(&self, ip: IpAddr, local: Option<IpAddr>) -> Identity {
        self.recalled().await;
        let neighbour = match self.machines().mac_of(ip) {
            Some(mac) => Some(mac),
            None => self.neighbours().mac_of(ip).await,
        };
        self.decisions().identity(ip, neighbour, local)
    }

    /// What is told of a request that was refused, if it was because the machine may not boot.
    pub(crate) fn denied(&self, remote: IpAddr, file: &str) -> Option<What> {
        let denial = self.decisions().denial(remote.to_canonical())?;
        Some(What::Denied {
            file: Some(file.to_owned()),
            reason: printable(&denial.to_string()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pxe_dhcp::NoBoot;
    use std::future::Future;
    use std::pin::pin;
    use std::task::{Context, Waker};

    #[tokio::test]
    async fn nobody_slips_in_while_the_leases_are_not_known() {
        let hub = Hub::new(Arc::default());
        let ip = IpAddr::from([10, 0, 0, 1]);
        assert_eq!(
            hub.access(ip, None).await,
            Access::Allowed,
            "no rule denies"
        );
        let policy: Arc<dyn BootPolicy> = Arc::new(NoBoot::new());
        hub.decisions().set_policy(&policy, &[], true);
        let mut access = pin!(hub.access(ip, None));
        let mut context = Context::from_waker(Waker::noop());
        assert!(access.as_mut().poll(&mut context).is_pending());
        hub.set_recalled();
        assert_eq!(access.await, Access::Allowed);
        assert_eq!(hub.access(ip, None).await, Access::Allowed);
    }
}
