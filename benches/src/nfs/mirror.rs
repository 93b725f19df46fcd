//! A directory behind the trait of nfs3_server, as that project's own mirror does it: paths by
//! number, each call through `tokio::fs`, and a file that is opened for each READ.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::io::SeekFrom;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::{PoisonError, RwLock};

use nfs3_server::fs_util::metadata_to_fattr3;
use nfs3_server::nfs3_types::nfs3::{fattr3, filename3, nfspath3, nfsstat3};
use nfs3_server::vfs::{
    DirEntryPlus, FileHandleU64, NextResult, NfsReadFileSystem, ReadDirPlusIterator,
};
use tokio::fs::File;
use tokio::io::{AsyncReadExt, AsyncSeekExt};

const ROOT: u64 = 1;

/// The directory.
#[derive(Debug)]
pub(crate) struct Mirror {
    known: RwLock<Known>,
}

#[derive(Debug)]
struct Known {
    /// The path of each number, from 1 on.
    paths: Vec<PathBuf>,
    numbers: HashMap<PathBuf, u64>,
}

impl Mirror {
    /// Files below this directory.
    pub(crate) fn new(root: &Path) -> Self {
        let root = root.to_owned();
        let known = Known {
            paths: vec![root.clone()],
            numbers: HashMap::from([(root, ROOT)]),
        };
        Self {
            known: RwLock::new(known),
        }
    }

    fn path(&self, handle: FileHandleU64) -> Result<PathBuf, nfsstat3> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        let index = usize::try_from(handle.as_u64() - ROOT).ok();
        let path = index.and_then(|index| known.paths.get(index));
        path.cloned().ok_or(nfsstat3::NFS3ERR_STALE)
    }
}

impl NfsReadFileSystem for Mirror {
    type Handle = FileHandleU64;

    fn root_dir(&self) -> FileHandleU64 {
        FileHandleU64::new(ROOT)
    }

    async fn lookup(
        &self,
        directory: &FileHandleU64,
        name: &filename3<'_>,
    ) -> Result<FileHandleU64, nfsstat3> {
        let path = self
            .path(*directory)?
            .join(OsStr::from_bytes(name.as_ref()));
        let found = |known: &Known| known.numbers.get(&path).copied();
        let number = found(&self.known.read().unwrap_or_else(PoisonError::into_inner));
        if let Some(number) = number {
            return Ok(FileHandleU64::new(number));
        }
        tokio::fs::symlink_metadata(&path)
            .await
            .map_err(|error| status(&error))?;
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        let number = found(&known).unwrap_or_else(|| {
            known.paths.push(path.clone());
            known.paths.len() as u64
        });
        known.numbers.insert(path, number);
        Ok(FileHandleU64::new(number))
    }

    async fn getattr(&self, id: &FileHandleU64) -> Result<fattr3, nfsstat3> {
        let path = self.path(*id)?;
        let metadata = tokio::fs::symlink_metadata(&path)
            .await
            .map_err(|error| status(&error))?;
        Ok(metadata_to_fattr3(id.as_u64(), &metadata))
    }

    async fn read(
        &self,
        id: &FileHandleU64,
        offset: u64,
        count: u32,
    ) -> Result<(Vec<u8>, bool), nfsstat3> {
        let path = self.path(*id)?;
        read(&path, offset, count)
            .await
            .map_err(|error| status(&error))
    }

    async fn readdirplus(
        &self,
        _directory: &FileHandleU64,
        _cookie: u64,
    ) -> Result<impl ReadDirPlusIterator<FileHandleU64>, nfsstat3> {
        Err::<Nothing, _>(nfsstat3::NFS3ERR_NOTSUPP)
    }

    async fn readlink(&self, _id: &FileHandleU64) -> Result<nfspath3<'_>, nfsstat3> {
        Err(nfsstat3::NFS3ERR_NOTSUPP)
    }
}

/// Directories are not listed: nothing that is measured asks for it.
struct Nothing;

impl ReadDirPlusIterator<FileHandleU64> for Nothing {
    async fn next(&mut self) -> NextResult<DirEntryPlus<FileHandleU64>> {
        NextResult::Eof
    }
}

async fn read(path: &Path, offset: u64, count: u32) -> std::io::Result<(Vec<u8>, bool)> {
    let mut file = File::open(path).await?;
    let len = file.metadata().await?.len();
    let count = u64::from(count).min(len.saturating_sub(offset));
    file.seek(SeekFrom::Start(offset)).await?;
    let mut bytes = vec![0; count as usize];
    file.read_exact(&mut bytes).await?;
    Ok((bytes, offset + count >= len))
}

fn status(error: &std::io::Error) -> nfsstat3 {
    match error.kind() {
        std::io::ErrorKind::NotFound => nfsstat3::NFS3ERR_NOENT,
        std::io::ErrorKind::PermissionDenied => nfsstat3::NFS3ERR_ACCES,
        _ => nfsstat3::NFS3ERR_IO,
    }
}
