//! A client that writes to a directory of this machine.

use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use bytes::Bytes;
use nfs3_types::nfs3::{
    COMMIT3args, COMMIT3resfail, COMMIT3resok, CREATE3args, CREATE3resfail, CREATE3resok,
    LINK3args, LINK3resfail, LINK3resok, MKDIR3args, MKDIR3resfail, MKDIR3resok, MKNOD3args,
    MKNOD3resfail, MKNOD3resok, Nfs3Option, Nfs3Result, REMOVE3args, REMOVE3resfail, REMOVE3resok,
    RENAME3args, RENAME3resfail, RENAME3resok, RMDIR3args, RMDIR3resfail, RMDIR3resok,
    SETATTR3args, SETATTR3resfail, SETATTR3resok, SYMLINK3args, SYMLINK3resfail, SYMLINK3resok,
    WRITE3args, WRITE3resfail, WRITE3resok, createhow3, diropargs3, fattr3, mknoddata3, nfs_fh3,
    nfsstat3, nfstime3, sattr3, stable_how, symlinkdata3,
};
use nfs3_types::xdr_codec::{Opaque, Pack, Unpack};
use pxe_tree::{DirTree, WriteTree};
use tempfile::TempDir;

use super::{Client, PATH, builder, options, some};
use crate::oracle::{self, Procedure};
use crate::{Export, ExportClient, ExportOptions, Network, Programs, Service, Squash};

/// What a procedure said: what it made or changed, or why not.
pub(super) type Said<T> = Result<T, nfsstat3>;

/// A directory that is exported `rw,no_root_squash`, and one of its users.
#[derive(Clone)]
pub(super) struct Writer {
    pub(super) client: Client,
    /// Each call is another one, unless it is meant to be repeated.
    xids: Arc<AtomicU32>,
    pub(super) dir: Arc<TempDir>,
}

impl Writer {
    /// The owner of the directory, who is not root, whoever runs the tests.
    pub(super) fn owner() -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        if dir.path().metadata().expect("there").uid() == 0 {
            chown(dir.path(), Some(1000), Some(100)).expect("root may");
        }
        Self::of(dir, Arc::new)
    }

    /// Whoever runs the tests.
    pub(super) fn myself() -> Self {
        Self::over(Arc::new)
    }

    /// The same, with something before the directory.
    pub(super) fn over<T: WriteTree>(tree: impl FnOnce(DirTree) -> Arc<T>) -> Self {
        Self::of(tempfile::tempdir().expect("a temporary directory"), tree)
    }

    fn of<T: WriteTree>(dir: TempDir, tree: impl FnOnce(DirTree) -> Arc<T>) -> Self {
        let mode = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(dir.path(), mode).expect("chmod");
        let meta = dir.path().metadata().expect("there");
        let inner = DirTree::new(dir.path()).expect("a directory");
        let options = ExportOptions {
            is_writable: true,
            squash: Squash::None,
            ..options()
        };
        let export = Export::writable(PATH, tree(inner));
        let export = export.to(ExportClient::new(Network::Any, options));
        let service = builder().export(export).build().expect("one export");
        let client = Client::of(service).user(meta.uid(), meta.gid(), &[]);
        Self {
            client,
            xids: Arc::new(AtomicU32::new(1)),
            dir: Arc::new(dir),
        }
    }

    pub(super) fn user(&self, uid: u32, gid: u32, groups: &[u32]) -> Self {
        Self {
            client: self.client.user(uid, gid, groups),
            ..self.clone()
        }
    }

    /// Another one than the directory's owner, in no group of his.
    pub(super) fn stranger(&self) -> Self {
        self.user(self.client.uid + 1, self.client.gid + 1, &[])
    }

    pub(super) fn root_user(&self) -> Self {
        self.user(0, 0, &[])
    }

    pub(super) fn service(&self) -> &Service {
        &self.client.service
    }

    /// A call, as it can be sent more than once.
    pub(super) fn message(&self, procedure: u32, args: &impl Pack) -> Bytes {
        let client = &self.client;
        let user = oracle::auth_sys(client.uid, client.gid, &client.groups);
        let procedure = Procedure(super::super::PROGRAM, super::super::VERSION, procedure);
        let mut message = oracle::call(procedure, user, args).to_vec();
        let xid = self.xids.fetch_add(1, Ordering::Relaxed);
        message[..4].copy_from_slice(&xid.to_be_bytes());
        message.into()
    }

    /// The results of a call.
    pub(super) async fn send<T: Unpack>(&self, message: Bytes) -> T {
        let xid = message.slice(..4);
        let reply = (self.client.service).answer(&self.client.peer, Programs::Nfs, message);
        let mut reply = oracle::bytes(reply.await.expect("a reply")).await;
        assert_eq!(&reply[..4], &xid[..]);
        reply[..4].copy_from_slice(&0x1234_5678_u32.to_be_bytes());
        oracle::results(&reply)
    }

    async fn ask<T: Unpack, E: Unpack>(&self, procedure: u32, args: &impl Pack) -> Said<T> {
        let message = self.message(procedure, args);
        match self.send(message).await {
            Nfs3Result::Ok(ok) => Ok(ok),
            Nfs3Result::Err((status, fail)) => {
                let _: E = fail;
                Err(status)
            }
        }
    }

    pub(super) async fn root(&self) -> nfs_fh3 {
        self.client.root().await
    }

    pub(super) async fn look_up(&self, dir: &nfs_fh3, name: &str) -> Said<nfs_fh3> {
        let found = self.client.look_up(dir, name.as_bytes()).await;
        found.map(|found| found.object)
    }

    pub(super) async fn attributes(&self, node: &nfs_fh3) -> Said<fattr3> {
        self.client.attributes(node).await
    }

    pub(super) async fn create(
        &self,
        dir: &nfs_fh3,
        name: &str,
        how: createhow3,
    ) -> Said<(nfs_fh3, fattr3)> {
        let where_ = at(dir, name);
        let args = CREATE3args { where_, how };
        let made = self.ask::<CREATE3resok, CREATE3resfail>(8, &args).await?;
        after(&made.dir_wcc);
        Ok((some(made.obj), some(made.obj_attributes)))
    }

    /// A new file of this mode.
    pub(super) async fn file(&self, dir: &nfs_fh3, name: &str, bits: u32) -> nfs_fh3 {
        let made = self.create(dir, name, createhow3::GUARDED(mode(bits)));
        made.await.expect("created").0
    }

    pub(super) async fn mkdir(
        &self,
        dir: &nfs_fh3,
        name: &str,
        attributes: sattr3,
    ) -> Said<(nfs_fh3, fattr3)> {
        let where_ = at(dir, name);
        let args = MKDIR3args { where_, attributes };
        let made = self.ask::<MKDIR3resok, MKDIR3resfail>(9, &args).await?;
        after(&made.dir_wcc);
        Ok((some(made.obj), some(made.obj_attributes)))
    }

    pub(super) async fn symlink(
        &self,
        dir: &nfs_fh3,
        name: &str,
        target: &str,
    ) -> Said<(nfs_fh3, fattr3)> {
        let symlink = symlinkdata3 {
            symlink_attributes: mode(0o777),
            symlink_data: target.as_bytes().into(),
        };
        let where_ = at(dir, name);
        let args = SYMLINK3args { where_, symlink };
        let made = self
            .ask::<SYMLINK3resok, SYMLINK3resfail>(10, &args)
            .await?;
        after(&made.dir_wcc);
        Ok((some(made.obj), some(made.obj_attributes)))
    }

    pub(super) async fn mknod(
        &self,
        dir: &nfs_fh3,
        name: &str,
        what: mknoddata3,
    ) -> Said<(nfs_fh3, fattr3)> {
        let where_ = at(dir, name);
        let args = MKNOD3args { where_, what };
        let made = self.ask::<MKNOD3resok, MKNOD3resfail>(11, &args).await?;
        after(&made.dir_wcc);
        Ok((some(made.obj), some(made.obj_attributes)))
    }

    pub(super) async fn remove(&self, dir: &nfs_fh3, name: &str) -> Said<()> {
        let args = REMOVE3args {
            object: at(dir, name),
        };
        let done = self.ask::<REMOVE3resok, REMOVE3resfail>(12, &args).await?;
        after(&done.dir_wcc);
        Ok(())
    }

    pub(super) async fn rmdir(&self, dir: &nfs_fh3, name: &str) -> Said<()> {
        let args = RMDIR3args {
            object: at(dir, name),
        };
        let done = self.ask::<RMDIR3resok, RMDIR3resfail>(13, &args).await?;
        after(&done.dir_wcc);
        Ok(())
    }

    pub(super) async fn rename(
        &self,
        (from_dir, from): (&nfs_fh3, &str),
        (to_dir, to): (&nfs_fh3, &str),
    ) -> Said<()> {
        let args = RENAME3args {
            from: at(from_dir, from),
            to: at(to_dir, to),
        };
        let done = self.ask::<RENAME3resok, RENAME3resfail>(14, &args).await?;
        after(&done.fromdir_wcc);
        after(&done.todir_wcc);
        Ok(())
    }

    pub(super) async fn link(&self, file: &nfs_fh3, dir: &nfs_fh3, name: &str) -> Said<fattr3> {
        let args = LINK3args {
            file: file.clone(),
            link: at(dir, name),
        };
        let done = self.ask::<LINK3resok, LINK3resfail>(15, &args).await?;
        after(&done.linkdir_wcc);
        Ok(some(done.file_attributes))
    }

    pub(super) async fn set(&self, object: &nfs_fh3, new_attributes: sattr3) -> Said<fattr3> {
        self.set_if(object, new_attributes, Nfs3Option::None).await
    }

    pub(super) async fn set_if(
        &self,
        object: &nfs_fh3,
        new_attributes: sattr3,
        guard: Nfs3Option<nfstime3>,
    ) -> Said<fattr3> {
        let args = SETATTR3args {
            object: object.clone(),
            new_attributes,
            guard,
        };
        let done = self.ask::<SETATTR3resok, SETATTR3resfail>(2, &args).await?;
        Ok(after(&done.obj_wcc))
    }

    pub(super) async fn write(
        &self,
        file: &nfs_fh3,
        offset: u64,
        data: &[u8],
        stable: stable_how,
    ) -> Said<WRITE3resok> {
        let args = WRITE3args {
            file: file.clone(),
            offset,
            count: u32::try_from(data.len()).expect("short"),
            stable,
            data: Opaque::borrowed(data),
        };
        let done = self.ask::<WRITE3resok, WRITE3resfail>(7, &args).await?;
        after(&done.file_wcc);
        Ok(done)
    }

    pub(super) async fn commit(&self, file: &nfs_fh3) -> Said<COMMIT3resok> {
        let args = COMMIT3args {
            file: file.clone(),
            offset: 0,
            count: 0,
        };
        self.ask::<COMMIT3resok, COMMIT3resfail>(21, &args).await
    }
}

pub(super) fn at<'a>(dir: &nfs_fh3, name: &'a str) -> diropargs3<'a> {
    diropargs3 {
        dir: dir.clone(),
        name: name.as_bytes().into(),
    }
}

pub(super) fn mode(mode: u32) -> sattr3 {
    sattr3 {
        mode: Nfs3Option::Some(mode),
        ..sattr3::default()
    }
}

/// What is known of a node after its change: nothing is said of it before.
fn after(wcc: &nfs3_types::nfs3::wcc_data) -> fattr3 {
    assert!(wcc.before.is_none(), "not told in one step");
    match &wcc.after {
        Nfs3Option::Some(after) => after.clone(),
        Nfs3Option::None => panic!("no attributes"),
    }
}
