//! From a client's request to an open file.

use std::fmt;
use std::fmt::Debug;
use std::net::SocketAddr;
use std::sync::Arc;

use async_trait::async_trait;

use crate::{Blob, NodeId, Result, Tree, TreePath};

/// Answers requests for paths: what TFTP and HTTP need.
///
/// A [`TreeSource`](crate::TreeSource) answers from a tree, the same for each client. Whoever
/// makes content by themselves implements this trait, or gives a closure to
/// [`source_fn`].
#[async_trait]
pub trait Source: Debug + Send + Sync + 'static {
    /// What this client gets for this path.
    ///
    /// # Errors
    /// Any; [`ErrorKind`](crate::ErrorKind) says what the client is told.
    async fn open(&self, request: &FileRequest<'_>) -> Result<Opened>;

    /// The same if it is known at once, without the cost of a future; `None` where it is not, or
    /// nobody can tell. Then [`open`](Self::open) is to be used.
    fn open_now(&self, request: &FileRequest<'_>) -> Option<Result<Opened>> {
        let _ = request;
        None
    }
}

/// What a client gets.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Opened {
    /// A file's content.
    File(Arc<dyn Blob>),
    /// A directory: HTTP lists it, TFTP refuses it.
    Directory(Arc<dyn Tree>, NodeId),
    /// It lies at this URI or absolute path: HTTP redirects, TFTP refuses with that text.
    Moved(String),
}

/// By which protocol a request came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Protocol {
    /// RFC 1350.
    Tftp,
    /// RFC 9110, in clear.
    Http,
    /// RFC 9110 over TLS.
    Https,
    /// RFC 1813.
    Nfs3,
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tftp => "tftp",
            Self::Http => "http",
            Self::Https => "https",
            Self::Nfs3 => "nfs",
        })
    }
}

/// Who asks for what.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct FileRequest<'a> {
    /// How it was asked.
    pub protocol: Protocol,
    /// Who asked.
    pub remote: SocketAddr,
    /// At which of our addresses it was asked, if known.
    pub local: Option<SocketAddr>,
    /// What was asked for.
    pub path: &'a TreePath,
    /// HTTP: the query, without its question mark and as it came.
    pub query: Option<&'a str>,
    /// HTTP: the `User-Agent` field.
    pub user_agent: Option<&'a str>,
    /// HTTP: the `Cookie` field. lpxelinux puts the machine's identity there (`_Syslinux_BOOTIF`,
    /// `_Syslinux_SYSUUID`; syslinux, core/fs/pxe/http.c).
    pub cookie: Option<&'a str>,
}

impl<'a> FileRequest<'a> {
    /// A request of which no more is known.
    pub const fn new(protocol: Protocol, remote: SocketAddr, path: &'a TreePath) -> Self {
        Self {
            protocol,
            remote,
            local: None,
            path,
            query: None,
            user_agent: None,
            cookie: None,
        }
    }

    /// The same request, made at this address of ours.
    #[must_use]
    pub const fn with_local(mut self, local: SocketAddr) -> Self {
        self.local = Some(local);
        self
    }

    /// The same request for another path.
    #[must_use]
    pub const fn with_path<'b>(self, path: &'b TreePath) -> FileRequest<'b>
    where
        'a: 'b,
    {
        FileRequest { path, ..self }
    }

    /// The same request with what an HTTP request head says of it.
    #[must_use]
    pub const fn with_http(
        mut self,
        query: Option<&'a str>,
        user_agent: Option<&'a str>,
        cookie: Option<&'a str>,
    ) -> Self {
        self.query = query;
        self.user_agent = user_agent;
        self.cookie = cookie;
        self
    }
}

/// A source made of a closure, for content that is at hand or made at once.
///
/// # Example
///
/// Every machine gets a script that greets it by its address:
///
/// ```
/// use pxe_tree::{ErrorKind, FileRequest, MemBlob, Opened, source_fn};
///
/// let source = source_fn(|request: &FileRequest<'_>| match request.path.as_bytes() {
///     b"boot.ipxe" => {
///         let script = format!("#!ipxe\necho Hello {}\n", request.remote.ip());
///         Ok(Opened::File(MemBlob::new(script)))
///     }
///     _ => Err(ErrorKind::NotFound.into()),
/// });
/// # let _ = source;
/// ```
pub fn source_fn<F>(open: F) -> SourceFn<F>
where
    F: Fn(&FileRequest<'_>) -> Result<Opened> + Send + Sync + 'static,
{
    SourceFn { open }
}

/// See [`source_fn`].
pub struct SourceFn<F> {
    open: F,
}

impl<F> Debug for SourceFn<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SourceFn").finish_non_exhaustive()
    }
}

#[async_trait]
impl<F> Source for SourceFn<F>
where
    F: Fn(&FileRequest<'_>) -> Result<Opened> + Send + Sync + 'static,
{
    async fn open(&self, request: &FileRequest<'_>) -> Result<Opened> {
        (self.open)(request).map_err(|error| error.at(request.path))
    }
}
