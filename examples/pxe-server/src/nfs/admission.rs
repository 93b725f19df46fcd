//! Whether a machine may have files by NFS: what was decided about its boot, as for all protocols.

use std::sync::Arc;

use pxe_nfs::{Admission, Peer};

use crate::decisions::Access;
use crate::hub::Hub;

/// The answer at once where it is known, as it is for all calls of a machine but its first.
pub(super) fn admission(hub: &Arc<Hub>, peer: &Peer) -> Admission {
    let (remote, local) = (peer.remote.ip(), peer.local.ip());
    if let Some(access) = hub.access_now(remote) {
        return (access == Access::Allowed).into();
    }
    let hub = Arc::clone(hub);
    Admission::Pending(Box::pin(async move {
        hub.access(remote, Some(local)).await == Access::Allowed
    }))
}
