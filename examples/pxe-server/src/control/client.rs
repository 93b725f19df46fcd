//! The client's end of the control socket: what the other commands of the program use.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;
use thiserror::Error;

use super::{Answer, Command, Failure, Request, VERSION};

/// An answer's length in bytes: 100,000 leases of 300 bytes, twice.
const ANSWER_BYTES_MAX: u64 = 64 << 20;
/// How long a server may take to answer. A reload opens a tree, which may be on a slow disk.
const PATIENCE: Duration = Duration::from_secs(30);

/// A connection to a running server.
#[derive(Debug)]
pub struct Client {
    stream: BufReader<UnixStream>,
    path: PathBuf,
}

/// Why a running server did not do what it was asked for.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ClientError {
    /// Nobody listens at the socket.
    #[error(
        "no server runs at {}; start one with `pxe-server serve CONFIG.toml`, \
         or name its socket with --control",
        path.display()
    )]
    #[non_exhaustive]
    NotRunning {
        /// The socket.
        path: PathBuf,
    },
    /// The socket belongs to another user.
    #[error(
        "{} belongs to another user; run this as root or as the server's user",
        path.display()
    )]
    #[non_exhaustive]
    NotPermitted {
        /// The socket.
        path: PathBuf,
    },
    /// The conversation failed.
    #[error("cannot talk to the server at {}", path.display())]
    #[non_exhaustive]
    Io {
        /// The socket.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The server refused.
    #[error(transparent)]
    Refused(#[from] Failure),
}

impl Client {
    /// Connects to the server whose control socket this is.
    ///
    /// # Errors
    /// No server runs there, or it is another user's.
    pub fn connect(path: &Path) -> Result<Self, ClientError> {
        let connect = || {
            let stream = UnixStream::connect(path)?;
            stream.set_read_timeout(Some(PATIENCE))?;
            stream.set_write_timeout(Some(PATIENCE))?;
            Ok(stream)
        };
        let path = path.to_owned();
        match connect() {
            Ok(stream) => Ok(Self {
                stream: BufReader::new(stream),
                path,
            }),
            Err(error) => Err(match io::Error::kind(&error) {
                io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => {
                    ClientError::NotRunning { path }
                }
                io::ErrorKind::PermissionDenied => ClientError::NotPermitted { path },
                _ => ClientError::Io {
                    path,
                    source: error,
                },
            }),
        }
    }

    /// Asks, and waits for the answer.
    ///
    /// # Errors
    /// The server refused, or did not answer in half a minute.
    pub fn ask(&mut self, command: Command) -> Result<Answer, ClientError> {
        let value = self.exchange(command).map_err(|source| ClientError::Io {
            path: self.path.clone(),
            source,
        })?;
        let failure = value
            .get("error")
            .cloned()
            .map(serde_json::from_value::<Failure>);
        match (value, failure) {
            (_, Some(Ok(failure))) => Err(failure.into()),
            (Value::Object(mut answer), _) => {
                answer.remove("version");
                answer.remove("ok");
                Ok(answer)
            }
            _ => Err(Failure::new("bad_request", "the server's answer is no object").into()),
        }
    }

    fn exchange(&mut self, command: Command) -> io::Result<Value> {
        let mut request = serde_json::to_vec(&Request {
            version: VERSION,
            command,
        })?;
        request.push(b'\n');
        self.stream.get_mut().write_all(&request)?;
        let mut line = Vec::new();
        (&mut self.stream)
            .take(ANSWER_BYTES_MAX)
            .read_until(b'\n', &mut line)?;
        if line.is_empty() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(serde_json::from_slice(&line)?)
    }
}
