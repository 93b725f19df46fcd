//! The server's end of the control socket.

use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileTypeExt, lchown};
use std::os::unix::net::UnixListener as StdListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockType, UnixAddr, bind, listen, socket,
};
use nix::sys::stat::{Mode, fchmod};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::{Answer, Command, Failure, parse, response};
use crate::privileges::Identity;

/// A request line's length in bytes, with its end.
const REQUEST_BYTES_MAX: u64 = 64 * 1024;
/// Connections at once; the next one waits.
const CONNECTIONS_MAX: usize = 16;
/// How long a connection may take to send a request, or to take an answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// Answers commands.
#[async_trait]
pub(crate) trait Handler: Send + Sync + 'static {
    async fn handle(&self, command: Command) -> Result<Answer, Failure>;
}

/// A bound control socket. Its file is removed when this is dropped.
#[derive(Debug)]
pub(crate) struct ControlSocket {
    listener: Option<StdListener>,
    path: PathBuf,
}

impl ControlSocket {
    /// Binds the socket, in a directory that is made if it is missing, for this user alone.
    ///
    /// A file that a dead server left is replaced; a living server's is not.
    pub(crate) fn bind(path: &Path, owner: Option<&Identity>) -> io::Result<Self> {
        let directory = path.parent().unwrap_or(Path::new("/"));
        if !directory.as_os_str().is_empty() && !directory.is_dir() {
            std::fs::create_dir_all(directory)?;
            // The user must be able to remove the socket at the end.
            own(directory, owner)?;
        }
        remove_stale(path)?;
        let socket = Self {
            listener: Some(bind_private(path)?),
            path: path.to_owned(),
        };
        own(path, owner)?;
        Ok(socket)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Answers until the task is dropped.
    pub(crate) async fn serve(mut self, handler: Arc<dyn Handler>) -> io::Result<()> {
        let Some(listener) = self.listener.take() else {
            return Ok(());
        };
        let listener = UnixListener::from_std(listener)?;
        let permits = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        let mut connections = JoinSet::new();
        loop {
            while connections.try_join_next().is_some() {}
            let Ok(permit) = Arc::clone(&permits).acquire_owned().await else {
                return Ok(());
            };
            match listener.accept().await {
                Ok((stream, _)) => {
                    let handler = Arc::clone(&handler);
                    connections.spawn(async move {
                        let _permit = permit;
                        // An error is a client that went away, or took too long.
                        let _ = talk(stream, &*handler).await;
                    });
                }
                Err(error) => {
                    tracing::warn!(event = "control_failed", "control socket: {error}");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
    }
}

impl Drop for ControlSocket {
    fn drop(&mut self) {
        // Gone already, or in a directory that is not ours: nothing more can be done.
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Listens at a new file that only its owner can open.
///
/// Linux gives the file the mode that the socket had before it was bound (net/unix/af_unix.c), so
/// there is no moment at which others can connect, and no path whose mode root would change while
/// somebody puts another file there.
fn bind_private(path: &Path) -> io::Result<StdListener> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let socket = socket(AddressFamily::Unix, SockType::Stream, flags, None)?;
    fchmod(&socket, Mode::S_IRUSR | Mode::S_IWUSR)?;
    bind(socket.as_raw_fd(), &UnixAddr::new(path)?)?;
    listen(&socket, Backlog::MAXCONN)?;
    Ok(StdListener::from(socket))
}

/// Gives the file to the server's user. It never follows a link: the directory belongs to that
/// user, who could otherwise make root give away any file of the system.
fn own(path: &Path, owner: Option<&Identity>) -> io::Result<()> {
    match owner {
        Some(owner) => lchown(path, Some(owner.uid.as_raw()), Some(owner.gid.as_raw())),
        None => Ok(()),
    }
}

fn remove_stale(path: &Path) -> io::Result<()> {
    let metadata = match std::fs::symlink_metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    if !metadata.file_type().is_socket() {
        return Err(io::Error::new(
            io::ErrorKind::AlreadyExists,
            "there is a file of this name that is no socket",
        ));
    }
    match std::os::unix::net::UnixStream::connect(path) {
        Ok(_) => Err(io::Error::new(
            io::ErrorKind::AddrInUse,
            "another server answers there",
        )),
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            std::fs::remove_file(path)
        }
        Err(error) => Err(error),
    }
}

async fn talk(stream: UnixStream, handler: &dyn Handler) -> io::Result<()> {
    let (reader, mut writer) = stream.into_split();
    let mut reader = BufReader::new(reader);
    loop {
        let mut line = Vec::new();
        let mut request = (&mut reader).take(REQUEST_BYTES_MAX);
        if timeout(PATIENCE, request.read_until(b'\n', &mut line)).await?? == 0 {
            return Ok(());
        }
        let is_whole = line.ends_with(b"\n") || (line.len() as u64) < REQUEST_BYTES_MAX;
        let result = match is_whole {
            true => match parse(&line) {
                Ok(command) => handler.handle(command).await,
                Err(failure) => Err(failure),
            },
            false => Err(Failure::new("bad_request", "the request is too long")),
        };
        let mut answer = response(result).to_string();
        answer.push('\n');
        timeout(PATIENCE, writer.write_all(answer.as_bytes())).await??;
        if !is_whole {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::unistd::{Gid, Uid};
    use std::os::unix::fs::{PermissionsExt, symlink};
    use tempfile::tempdir;

    #[derive(Debug)]
    struct Echo;

    #[async_trait]
    impl Handler for Echo {
        async fn handle(&self, command: Command) -> Result<Answer, Failure> {
            match command {
                Command::Status => Ok(Answer::from_iter([("here".into(), true.into())])),
                _ => Err(Failure::new("not_found", "no")),
            }
        }
    }

    async fn ask(path: &Path, request: &[u8]) -> String {
        let mut stream = UnixStream::connect(path).await.expect("listening");
        stream.write_all(request).await.expect("open");
        stream.shutdown().await.expect("open");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.expect("UTF-8");
        answer
    }

    #[tokio::test]
    async fn commands_are_answered_line_by_line() {
        let directory = tempdir().expect("temporary directory");
        let path = directory.path().join("made/control.sock");
        let socket = ControlSocket::bind(&path, None).expect("bound");
        let mode = std::fs::metadata(&path)
            .expect("exists")
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
        let server = tokio::spawn(socket.serve(Arc::new(Echo)));
        let two = b"{\"version\":1,\"command\":\"status\"}\n{\"version\":1,\"command\":\"stop\"}\n";
        assert_eq!(
            ask(&path, two).await,
            "{\"here\":true,\"ok\":true,\"version\":1}\n\
             {\"error\":{\"code\":\"not_found\",\"message\":\"no\"},\"ok\":false,\"version\":1}\n"
        );
        // The last line needs no end.
        let answer = ask(&path, br#"{"version":1,"command":"status"}"#).await;
        assert!(answer.contains("\"ok\":true"), "{answer}");
        server.abort();
        assert!(server.await.expect_err("aborted").is_cancelled());
        assert!(!path.exists(), "the socket's file is removed at the end");
    }

    #[tokio::test]
    async fn an_endless_request_is_refused() {
        let directory = tempdir().expect("temporary directory");
        let path = directory.path().join("control.sock");
        let socket = ControlSocket::bind(&path, None).expect("bound");
        let _server = tokio::spawn(socket.serve(Arc::new(Echo)));
        let mut stream = UnixStream::connect(&path).await.expect("listening");
        // More than is read may be refused by the kernel once the server has hung up.
        let _ = stream
            .write_all(&vec![b'x'; REQUEST_BYTES_MAX as usize])
            .await;
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
        let answer = String::from_utf8(answer).expect("UTF-8");
        assert!(answer.contains("too long"), "{answer}");
    }

    /// The server's user owns the directory, and may put a link there while root is not looking.
    #[test]
    fn no_file_is_given_away_through_a_link() {
        let directory = tempdir().expect("temporary directory");
        let link = directory.path().join("control.sock");
        symlink(directory.path().join("nothing"), &link).expect("writable");
        let owner = Identity {
            name: "me".to_owned(),
            uid: Uid::effective(),
            gid: Gid::effective(),
        };
        // Following the link would find nothing to give.
        own(&link, Some(&owner)).expect("the link itself changed hands");
    }

    #[test]
    fn a_dead_servers_socket_is_replaced_and_a_living_ones_is_not() {
        let directory = tempdir().expect("temporary directory");
        let path = directory.path().join("control.sock");
        // A server that was killed leaves its file.
        drop(StdListener::bind(&path).expect("bound"));
        assert!(path.exists());
        let living = ControlSocket::bind(&path, None).expect("replaced");
        let error = ControlSocket::bind(&path, None).expect_err("in use");
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
        drop(living);
        std::fs::write(&path, "precious").expect("writable");
        let error = ControlSocket::bind(&path, None).expect_err("no socket");
        assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(
            std::fs::read_to_string(&path).expect("still there"),
            "precious"
        );
    }
}
