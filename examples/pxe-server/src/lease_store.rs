//! Where the leases are kept: its directory is made as root, its file opened as the server's user.

use std::error::Error as _;
use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::{DirBuilderExt, lchown};
use std::path::Path;
use std::sync::Arc;

use pxe_dhcp::{LeaseStore, MemoryStore, OpenStoreError, RedbStore};

use crate::bind::StartError;
use crate::config::{Config, Dhcp, LEASES_DEFAULT, LEASES_IN_MEMORY, Store};
use crate::privileges::{self, Identity};

impl Store {
    /// Where the server of this machine keeps its leases: as the configuration says, else in
    /// [`LEASES_DEFAULT`] if it is started as root, who can make that directory. Where another
    /// server gives the addresses there is nothing to keep, and no file is made or locked.
    pub(crate) fn of_service(config: &Config) -> Self {
        let gives_addresses = |dhcp: &Dhcp| dhcp.mode.gives_addresses();
        match &config.leases.store {
            _ if !config.dhcp.as_ref().is_some_and(gives_addresses) => Self::Memory,
            Some(store) => store.clone(),
            None if privileges::is_root() => Self::File(LEASES_DEFAULT.into()),
            None => {
                tracing::warn!(
                    event = "leases_in_memory",
                    "leases are kept in memory and lost at the end: name a file with leases.store"
                );
                Self::Memory
            }
        }
    }
}

/// Makes the directory of the file if it is missing, for the user that the server becomes.
///
/// A directory that is there is left as it is, whoever owns it: giving it away is not ours to do.
pub(crate) fn prepare(
    config: &Config,
    store: &Store,
    owner: Option<&Identity>,
) -> Result<(), StartError> {
    let (Some(_), Store::File(path)) = (&config.dhcp, store) else {
        return Ok(());
    };
    let directory = match path.parent() {
        Some(directory) if directory != Path::new("") => directory,
        _ => return Ok(()),
    };
    if directory.is_dir() {
        return Ok(());
    }
    make_directory(directory, owner).map_err(|error| {
        let message = format!("cannot make the directory {}: {error}", directory.display());
        let remedy = format!("name a file elsewhere, or {LEASES_IN_MEMORY:?}");
        config.error(config.problem("leases.store", message, remedy))
    })
}

/// Makes a directory for what the server keeps, which belongs to that user then.
pub(crate) fn make_directory(directory: &Path, owner: Option<&Identity>) -> io::Result<()> {
    // Those above it belong to the system.
    if let Some(above) = directory.parent() {
        std::fs::create_dir_all(above)?;
    }
    DirBuilder::new().mode(0o755).create(directory)?;
    match owner {
        // It was made just now, in a directory that is root's: nobody put a link there.
        Some(owner) => lchown(
            directory,
            Some(owner.uid.as_raw()),
            Some(owner.gid.as_raw()),
        ),
        None => Ok(()),
    }
}

/// Opens it, as the user that serves.
pub(crate) fn open(config: &Config, store: &Store) -> Result<Arc<dyn LeaseStore>, StartError> {
    let (Some(_), Store::File(path)) = (&config.dhcp, store) else {
        return Ok(Arc::new(MemoryStore::new()));
    };
    match RedbStore::open(path) {
        Ok(store) => {
            tracing::info!(event = "leases_opened", store = %path.display(), "leases are kept in {}", path.display());
            Ok(Arc::new(store))
        }
        Err(error) => {
            let remedy = remedy(&error, config);
            Err(config.error(config.problem("leases.store", text(&error), remedy)))
        }
    }
}

/// The error with its cause.
pub(crate) fn text(error: &OpenStoreError) -> String {
    match error.source() {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}

fn remedy(error: &OpenStoreError, config: &Config) -> String {
    match error {
        OpenStoreError::InUse { .. } => "stop that server, or name another file".to_owned(),
        OpenStoreError::Damaged { .. } => {
            "keep a copy, and put a backup in its place, or nothing: clients that renew get their \
             leases again"
                .to_owned()
        }
        OpenStoreError::File { source, .. } if source.kind() == io::ErrorKind::PermissionDenied => {
            let user = config.server.user.as_deref().unwrap_or("the server's user");
            format!("make the file and its directory writable for {user}")
        }
        OpenStoreError::File { source, .. } if source.kind() == io::ErrorKind::NotFound => {
            "make its directory".to_owned()
        }
        _ => format!("name another file, or {LEASES_IN_MEMORY:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proxy_keeps_no_leases() {
        let text = "[tree]\nroot = \"/srv/tftp\"\n[leases]\nstore = \"/leases.redb\"\n\
            [dhcp]\nmode = \"proxy\"\ninterface = \"br1\"\n\
            [boot]\nfiles = { default = \"x\" }\n[tftp]\n";
        let network = "[[dhcp.subnet]]\nnetwork = \"10.0.0.0/24\"\npools = \"10.0.0.9\"\n";
        let parse = |text: &str| Config::parse(text, Path::new("x.toml")).expect("valid");
        let proxy = parse(text);
        assert_eq!(Store::of_service(&proxy), Store::Memory);
        let warning = proxy.warnings.first().expect("a warning").to_string();
        assert!(warning.contains("there are no leases"), "{warning}");
        let leasing = text.replace("mode = \"proxy\"", "") + network;
        let file = Store::File("/leases.redb".into());
        assert_eq!(Store::of_service(&parse(&leasing)), file);
    }
}
