//! Who may use an export: asked of each MNT and of each call, as addresses and ports are all that
//! AUTH_SYS proves.

use std::sync::Arc;

use crate::export::Export;
use crate::handle::ExportId;
use crate::rpc::Auth;
use crate::service::Inner;
use crate::{Credentials, ExportOptions, Peer, Refusal, Squash};

impl Inner {
    /// The export of a handle and what this client may do there, or why nothing.
    ///
    /// [`Refusal::nfs3_status`] is what the client is told; the event is the caller's to tell, as
    /// he knows whether a path or a handle was refused.
    pub(crate) async fn admitted(
        &self,
        peer: &Peer,
        export: ExportId,
    ) -> Result<(Arc<Export>, ExportOptions), Refusal> {
        let export = self.export(export).ok_or(Refusal::NoSuchExport)?;
        let options = export.allows(peer)?.clone();
        match self.admits(peer).await {
            true => Ok((export, options)),
            false => Err(Refusal::NotAdmitted),
        }
    }
}

impl Export {
    /// What a client may do here if it is admitted at all, or why nothing.
    pub(crate) fn allows(&self, peer: &Peer) -> Result<&ExportOptions, Refusal> {
        let options = self.options(peer.remote.ip()).ok_or(Refusal::Address)?;
        match options.is_secure && !peer.is_privileged() {
            true => Err(Refusal::Port),
            false => Ok(options),
        }
    }
}

impl Refusal {
    /// What is said to a call with a handle (`nfsstat3`, RFC 1813 section 2.6), as Linux's server
    /// has it (fs/nfsd/nfsfh.c, `nfsd_set_fh_dentry` and `nfsd_setuser_and_check_port`): an export
    /// that is none for this client is as one that is none at all.
    pub(crate) const fn nfs3_status(self) -> u32 {
        match self {
            Self::NoSuchExport | Self::Address => 70, // NFS3ERR_STALE
            Self::Port => 1,                          // NFS3ERR_PERM
            Self::NotAdmitted => 13,                  // NFS3ERR_ACCES
            Self::NotFound => 2,                      // NFS3ERR_NOENT
            Self::NotADirectory => 20,                // NFS3ERR_NOTDIR
            Self::ForgedHandle => 10001,              // NFS3ERR_BADHANDLE
        }
    }
}

impl ExportOptions {
    /// On whose behalf a call is made, when its user is squashed as the export wants it.
    ///
    /// As Linux's server does (fs/nfsd/auth.c, `nfsd_setuser`): group 0 is squashed wherever it is
    /// named, whoever the user is; the id -1 is nobody's; who names no user is the anonymous one.
    pub(crate) fn credentials(&self, auth: &Auth) -> Credentials {
        const ROOT: u32 = 0;
        const INVALID: u32 = u32::MAX;
        let anonymous = || Credentials::new(self.anonymous_uid, self.anonymous_gid);
        let Auth::Sys { uid, gid, groups } = auth else {
            return anonymous();
        };
        let squashes_root = match self.squash {
            Squash::All => return anonymous(),
            Squash::Root => true,
            Squash::None => false,
        };
        let is_squashed = |id: u32| id == INVALID || squashes_root && id == ROOT;
        let group = |gid: u32| match is_squashed(gid) {
            true => self.anonymous_gid,
            false => gid,
        };
        Credentials {
            uid: match is_squashed(*uid) {
                true => self.anonymous_uid,
                false => *uid,
            },
            gid: group(*gid),
            groups: groups.iter().copied().map(group).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use pxe_tree::MemTree;

    use super::*;
    use crate::{ExportClient, HandleKey, Network, Service, Transport};

    fn sys(uid: u32, gid: u32, groups: &[u32]) -> Auth {
        let groups = groups.to_vec();
        Auth::Sys { uid, gid, groups }
    }

    fn credentials(uid: u32, gid: u32, groups: &[u32]) -> Credentials {
        Credentials {
            groups: groups.to_vec(),
            ..Credentials::new(uid, gid)
        }
    }

    #[test]
    fn users_are_squashed_as_by_linux() {
        let options = |squash| ExportOptions {
            squash,
            anonymous_uid: 1000,
            anonymous_gid: 2000,
            ..ExportOptions::default()
        };
        let anonymous = credentials(1000, 2000, &[]);
        let table = [
            (
                Squash::Root,
                sys(0, 0, &[0, 4]),
                credentials(1000, 2000, &[2000, 4]),
            ),
            (
                Squash::Root,
                sys(7, 0, &[5, 0]),
                credentials(7, 2000, &[5, 2000]),
            ),
            (Squash::Root, sys(0, 7, &[]), credentials(1000, 7, &[])),
            (Squash::Root, sys(7, 8, &[9]), credentials(7, 8, &[9])),
            (
                Squash::Root,
                sys(u32::MAX, u32::MAX, &[]),
                anonymous.clone(),
            ),
            (Squash::Root, Auth::None, anonymous.clone()),
            (Squash::None, sys(0, 0, &[0]), credentials(0, 0, &[0])),
            (
                Squash::None,
                sys(u32::MAX, 0, &[]),
                credentials(1000, 0, &[]),
            ),
            (Squash::None, Auth::None, anonymous.clone()),
            (Squash::All, sys(7, 8, &[9]), anonymous.clone()),
            (Squash::All, sys(0, 0, &[]), anonymous.clone()),
            (Squash::All, Auth::None, anonymous),
        ];
        for (squash, auth, expected) in table {
            assert_eq!(
                options(squash).credentials(&auth),
                expected,
                "{squash:?} {auth:?}"
            );
        }
    }

    #[tokio::test]
    async fn each_refusal_has_its_reason() {
        let client = |network: Network, is_secure| {
            let options = ExportOptions {
                is_secure,
                ..ExportOptions::default()
            };
            ExportClient::new(network, options)
        };
        let net = |address: [u8; 4], prefix_len| Network::Prefix {
            address: address.into(),
            prefix_len,
        };
        let tree = Arc::new(MemTree::new());
        let export = Export::new("/srv", tree)
            .to(client(net([192, 168, 150, 0], 24), true))
            .to(client(net([192, 168, 150, 9], 32), false));
        let id = export.id;
        let service = Service::builder(HandleKey::new([1; 16]))
            .export(export)
            .admit(|peer| peer.remote.ip() != std::net::Ipv4Addr::new(192, 168, 150, 66))
            .build()
            .expect("one export");
        let reason = async |remote: &str, id| {
            let local = ([192, 168, 150, 1], 2049).into();
            let peer = Peer::new(remote.parse().expect("valid"), local, Transport::Tcp);
            service.inner.admitted(&peer, id).await.err()
        };
        let other = ExportId(id.0 ^ 1);
        assert_eq!(reason("192.168.150.7:900", id).await, None);
        assert_eq!(reason("[::ffff:192.168.150.7]:900", id).await, None);
        assert_eq!(
            reason("192.168.150.9:1024", id).await,
            None,
            "the closest network"
        );
        assert_eq!(reason("192.168.150.7:1024", id).await, Some(Refusal::Port));
        assert_eq!(
            reason("192.168.151.7:900", id).await,
            Some(Refusal::Address)
        );
        assert_eq!(reason("[fe80::1]:900", id).await, Some(Refusal::Address));
        assert_eq!(
            reason("192.168.150.66:900", id).await,
            Some(Refusal::NotAdmitted)
        );
        assert_eq!(
            reason("192.168.150.7:900", other).await,
            Some(Refusal::NoSuchExport)
        );
    }
}
