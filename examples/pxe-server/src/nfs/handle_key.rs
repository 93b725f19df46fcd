//! The key that signs file handles: made once, and kept in a file.
//!
//! Machines keep their handles for as long as they run. With another key than the one that signed
//! them none of them holds, and every machine loses its root: so a key is never made in silence
//! where there should be one.

use std::fs::{File, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use nix::fcntl::OFlag;
use pxe_nfs::HandleKey;
use rustix::rand::{GetRandomFlags, getrandom};

use crate::bind::StartError;
use crate::config::{Config, HANDLE_KEY_DEFAULT};
use crate::lease_store;
use crate::privileges::{self, Identity};

/// For nobody else to read: whoever has it can make handles of all files.
const MODE: u32 = 0o600;

/// Where the server of this machine keeps the key: as the configuration says, else in
/// [`HANDLE_KEY_DEFAULT`] if it is started as root; or nowhere.
pub(crate) fn of_service(config: &Config) -> Option<PathBuf> {
    let configured = config.nfs.as_ref()?.handle_key.clone();
    configured.or_else(|| privileges::is_root().then(|| HANDLE_KEY_DEFAULT.into()))
}

/// The key of this file, which is made if it is missing; a new one if it is kept nowhere.
///
/// To be called before root is given up: the file may be root's.
/// `owner` is whom a directory that has to be made belongs to.
pub(crate) fn open(
    config: &Config,
    file: Option<&Path>,
    owner: Option<&Identity>,
) -> Result<HandleKey, StartError> {
    let Some(file) = file else {
        tracing::warn!(
            event = "handle_key_lost",
            "nfs: the key of file handles is kept nowhere: machines lose what they have mounted \
             when this server starts again; name a file with nfs.handle_key"
        );
        return Ok(HandleKey::new(random()?));
    };
    match look(config, file)? {
        Some(key) => Ok(key),
        None => {
            let remedy = "make its directory, or name a file elsewhere";
            let key = make(file, owner)
                .map_err(|error| failed(config, file, "cannot make", &error, remedy))?;
            tracing::info!(
                event = "handle_key_made",
                file = %file.display(),
                "nfs: the key of file handles was made, in {}: keep it, or machines lose what \
                 they have mounted",
                file.display()
            );
            Ok(key)
        }
    }
}

/// The key of this file; `None` if there is no file yet.
pub(crate) fn look(config: &Config, file: &Path) -> Result<Option<HandleKey>, StartError> {
    match read(file) {
        Ok(key) => Ok(Some(key)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => {
            let remedy = match error.kind() {
                io::ErrorKind::PermissionDenied => "make it readable for the server's user",
                _ => "restore it; or remove it, and machines have to mount anew",
            };
            Err(failed(config, file, "cannot use", &error, remedy))
        }
    }
}

fn failed(config: &Config, file: &Path, what: &str, error: &io::Error, remedy: &str) -> StartError {
    let message = format!("{what} {}: {error}", file.display());
    config.error(config.problem("nfs.handle_key", message, remedy))
}

fn read(path: &Path) -> io::Result<HandleKey> {
    // A pipe in its place would keep us waiting for its writer.
    let mut file = File::options()
        .read(true)
        .custom_flags(OFlag::O_NONBLOCK.bits())
        .open(path)?;
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(io::Error::other("no regular file"));
    }
    if metadata.permissions().mode() & 0o077 != 0 {
        tracing::warn!(
            event = "handle_key_readable",
            "nfs: {} can be read by others, who can make handles of all files with it; chmod 600 it",
            path.display()
        );
    }
    let mut key = [0; HandleKey::LEN];
    let is_whole = file.read_exact(&mut key).is_ok() && file.read(&mut [0])? == 0;
    match is_whole {
        true => Ok(HandleKey::new(key)),
        false => Err(io::Error::other(format!(
            "a key has {} bytes, this has {}",
            HandleKey::LEN,
            metadata.len()
        ))),
    }
}

/// Makes the file, whole or not at all, and on the disk before anybody gets a handle. If another
/// server makes it at the same time, both have the one that was first.
fn make(path: &Path, owner: Option<&Identity>) -> io::Result<HandleKey> {
    let directory = path.parent().filter(|parent| *parent != Path::new(""));
    let directory = directory.unwrap_or(Path::new("."));
    if !directory.is_dir() {
        lease_store::make_directory(directory, owner)?;
    }
    let mut name = path.file_name().unwrap_or_default().to_owned();
    // Not by the process: in a container that is 1 each time, and the file of a start that was cut
    // off would be in the way of all later ones.
    name.push(format!(".{:032x}.new", u128::from_ne_bytes(random()?)));
    let temporary = path.with_file_name(name);
    let made = (|| {
        let mut file = File::options()
            .write(true)
            .create_new(true)
            .mode(MODE)
            .open(&temporary)?;
        file.write_all(&random()?)?;
        file.set_permissions(Permissions::from_mode(MODE))?;
        file.sync_all()?;
        match std::fs::hard_link(&temporary, path) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
            _ => Ok(()),
        }
    })();
    // Best effort: the error that matters is the first one.
    let _ = std::fs::remove_file(&temporary);
    made?;
    File::open(directory)?.sync_all()?;
    read(path)
}

fn random() -> io::Result<[u8; HandleKey::LEN]> {
    let mut key = [0; HandleKey::LEN];
    // So few bytes come at once or not at all.
    match getrandom(&mut key, GetRandomFlags::empty())? {
        HandleKey::LEN => Ok(key),
        _ => Err(io::Error::other("the kernel gave too few random bytes")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(file: &Path) -> Config {
        let text = format!(
            "[tree]\nroot = \"/srv\"\n[nfs]\nhandle_key = {file:?}\n[nfs.export]\nclients = \"*\"\n"
        );
        Config::parse(&text, Path::new("x.toml")).expect("valid")
    }

    fn error(path: &Path) -> String {
        let error = open(&config(path), Some(path), None).expect_err("no key");
        error
            .to_string()
            .replace(&path.display().to_string(), "FILE")
    }

    #[test]
    fn a_key_is_made_once_and_for_nobody_else_to_read() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("state/nfs.key");
        let config = config(&path);
        assert_eq!(of_service(&config).as_deref(), Some(&*path));
        open(&config, Some(&path), None).expect("made");
        let made = std::fs::read(&path).expect("there");
        let mode = std::fs::metadata(&path)
            .expect("there")
            .permissions()
            .mode();
        assert_eq!((made.len(), mode & 0o777), (HandleKey::LEN, MODE));
        assert_ne!(made, [0; HandleKey::LEN]);
        open(&config, Some(&path), None).expect("read");
        assert_eq!(std::fs::read(&path).expect("there"), made);
        let entries = std::fs::read_dir(path.parent().expect("one")).expect("there");
        assert_eq!(entries.count(), 1, "nothing else is left");
    }

    /// In a container every start is process 1.
    #[test]
    fn what_a_start_left_that_was_cut_off_is_in_nobodys_way() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("nfs.key");
        let left = format!("nfs.key.{}.new", std::process::id());
        std::fs::write(directory.path().join(left), "half").expect("writable");
        open(&config(&path), Some(&path), None).expect("made");
    }

    #[test]
    fn what_is_no_key_is_never_replaced() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("nfs.key");
        for content in ["short", "seventeen bytes.."] {
            std::fs::write(&path, content).expect("writable");
            std::fs::set_permissions(&path, Permissions::from_mode(MODE)).expect("ours");
            assert_eq!(
                error(&path),
                format!(
                    "x.toml:4:14: nfs.handle_key: cannot use FILE: a key has 16 bytes, this has \
                     {}; restore it; or remove it, and machines have to mount anew",
                    content.len()
                )
            );
            assert_eq!(std::fs::read_to_string(&path).expect("there"), content);
        }
        assert!(error(directory.path()).contains("no regular file"));
        let pipe = directory.path().join("pipe");
        nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRUSR).expect("made");
        assert!(error(&pipe).contains("no regular file"));
    }
}
