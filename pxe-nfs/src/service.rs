//! The server without its sockets: a call in, a reply out.

use std::any::Any;
use std::collections::BTreeMap;
use std::fmt;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, PoisonError, RwLock};

use bytes::Bytes;
use futures_util::FutureExt;

use crate::export::Export;
use crate::handle::{ExportId, HandleKey};
use crate::mount::Mounts;
use crate::nfs::repeated::Repeated;
use crate::portmap::PortMap;
use crate::rpc::{Call, Rejected, accepted, denied, rejected};
use crate::{Admission, BuildError, Event, Failed, Limits, Peer, Reply, lock, mount, nfs, portmap};

/// Answers calls: portmap, MOUNT, NFS and NLM. Cheap to clone; all clones are one.
///
/// It knows no socket, thread or clock, and has its files from [`pxe_tree::Tree`]s. The driver
/// (`Server`, with the feature `tokio`) brings it calls; so can anything else that has some.
#[derive(Debug, Clone)]
pub struct Service {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    exports: RwLock<Arc<Exports>>,
    pub(crate) key: HandleKey,
    pub(crate) limits: Limits,
    pub(crate) mounts: Mounts,
    pub(crate) repeated: Repeated,
    pub(crate) ports: PortMap,
    /// Tells writes before a restart from those after it (RFC 1813 section 3.3.7).
    pub(crate) write_verifier: [u8; 8],
    admits: Box<dyn Fn(&Peer) -> Admission + Send + Sync>,
    on_event: Box<dyn Fn(&Event) + Send + Sync>,
}

/// All that is exported, by id.
pub(crate) type Exports = BTreeMap<ExportId, Arc<Export>>;

/// Which programs are answered: one socket may be for some of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Programs {
    /// NFS, MOUNT, and NLM, by which locks are refused.
    Nfs,
    /// MOUNT alone, at a port of its own: klibc's nfsmount tries 627 where no portmapper tells it
    /// another one (usr/kinit/nfsmount/mount.c).
    Mount,
    /// The portmapper.
    Portmap,
}

impl Service {
    /// A service without exports, whose handles are signed with this key.
    pub fn builder(key: HandleKey) -> ServiceBuilder {
        ServiceBuilder {
            exports: Vec::new(),
            key,
            limits: Limits::default(),
            write_verifier: [0; 8],
            admits: Box::new(|_| Admission::Admitted),
            on_event: Box::new(|_| {}),
        }
    }

    /// The reply to a message; `None` if it is none that could be answered.
    ///
    /// `message` is what comes in a datagram, or in a record without its mark. Calls may be
    /// answered concurrently, and in any order. A future that was polled should be polled to its
    /// end, even if nobody waits for the reply: what it began may be half done, and others may wait
    /// for what it holds.
    ///
    /// A panic of a tree, or of what admits clients, ends nothing but the call: it is answered by
    /// `SYSTEM_ERR` (RFC 5531 section 9), and told as [`Event::Failed`].
    pub async fn answer(&self, peer: &Peer, programs: Programs, message: Bytes) -> Option<Reply> {
        let call = match Call::parse(&message) {
            Ok(call) => call,
            Err(no_call) => return denied(no_call).map(Reply::from),
        };
        let xid = call.xid;
        let done = match (programs, call.program) {
            (Programs::Nfs, nfs::PROGRAM) => nfs::answer(&self.inner, peer, &call, &message).await,
            (Programs::Nfs | Programs::Mount, mount::PROGRAM) => {
                let done = mount::answer(&self.inner, peer, &call).boxed();
                let name = mount::procedure_name(call.procedure);
                self.inner.guarded(peer, name, done).await.map(Reply::from)
            }
            (Programs::Nfs, lock::PROGRAM) => lock::answer(&call).map(Reply::from),
            (Programs::Portmap, portmap::PROGRAM) => {
                portmap::answer(&self.inner.ports, peer, &call).map(Reply::from)
            }
            // Among them ACLs (100227), which clients do without then.
            _ => Err(Rejected::ProgramUnavailable),
        };
        match done {
            Ok(reply) => Some(reply),
            Err(why) => rejected(xid, why).map(Reply::from),
        }
    }

    /// From now on these are exported and no others. Mounts of those that stay go on: a handle
    /// holds as long as there is an export of its path, and of the same directory of a tree.
    ///
    /// # Errors
    /// As [`ServiceBuilder::build`]; the former exports stay.
    pub fn set_exports(&self, exports: Vec<Export>) -> Result<(), BuildError> {
        let exports = Arc::new(by_id(exports)?);
        let current = self.inner.exports.write();
        *current.unwrap_or_else(PoisonError::into_inner) = exports;
        Ok(())
    }

    /// The bounds.
    pub fn limits(&self) -> &Limits {
        &self.inner.limits
    }
}

impl Inner {
    pub(crate) fn tell(&self, event: &Event) {
        (self.on_event)(event);
    }

    /// The answer to a call, even if it panics.
    pub(crate) async fn guarded<T>(
        &self,
        peer: &Peer,
        procedure: &'static str,
        answer: impl Future<Output = Result<T, Rejected>>,
    ) -> Result<T, Rejected> {
        // What a panic may leave behind is behind locks, which are taken from it as it left them.
        match AssertUnwindSafe(answer).catch_unwind().await {
            Ok(done) => done,
            Err(panic) => {
                self.tell(&Event::Failed(Failed {
                    peer: *peer,
                    procedure,
                    error: format!("panicked: {}", panic_text(&*panic)),
                }));
                Err(Rejected::SystemError)
            }
        }
    }

    /// Whether the client is admitted at all; exports are to be asked afterwards.
    pub(crate) async fn admits(&self, peer: &Peer) -> bool {
        match (self.admits)(peer) {
            Admission::Admitted => true,
            Admission::Refused => false,
            Admission::Pending(later) => later.await,
        }
    }

    /// What is exported now.
    pub(crate) fn exports(&self) -> Arc<Exports> {
        let exports = self.exports.read();
        Arc::clone(&exports.unwrap_or_else(PoisonError::into_inner))
    }

    /// The export of this id, if there still is one.
    pub(crate) fn export(&self, id: ExportId) -> Option<Arc<Export>> {
        let exports = self.exports.read();
        let exports = exports.unwrap_or_else(PoisonError::into_inner);
        exports.get(&id).cloned()
    }
}

impl fmt::Debug for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Service")
            .field("exports", &self.exports().values())
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

/// Makes a [`Service`].
pub struct ServiceBuilder {
    exports: Vec<Export>,
    key: HandleKey,
    limits: Limits,
    write_verifier: [u8; 8],
    admits: Box<dyn Fn(&Peer) -> Admission + Send + Sync>,
    on_event: Box<dyn Fn(&Event) + Send + Sync>,
}

impl ServiceBuilder {
    /// The same with one more export.
    #[must_use]
    pub fn export(mut self, export: Export) -> Self {
        self.exports.push(export);
        self
    }

    /// The same with other bounds.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// The same with something that differs after each restart, for clients with unstable writes:
    /// the time of the start, say. Exports that are read-only need none.
    #[must_use]
    pub fn write_verifier(mut self, verifier: [u8; 8]) -> Self {
        self.write_verifier = verifier;
        self
    }

    /// The same, asking this of each mount and of each call: who is not admitted gets nothing,
    /// not even the names of the exports. `admits` says `true` or `false`, or an [`Admission`].
    #[must_use]
    pub fn admit<A: Into<Admission>>(
        mut self,
        admits: impl Fn(&Peer) -> A + Send + Sync + 'static,
    ) -> Self {
        self.admits = Box::new(move |peer| admits(peer).into());
        self
    }

    /// The same, telling this what happens.
    #[must_use]
    pub fn on_event(mut self, on_event: impl Fn(&Event) + Send + Sync + 'static) -> Self {
        self.on_event = Box::new(on_event);
        self
    }

    /// The service.
    ///
    /// # Errors
    /// If two exports have one path, or a path is not absolute.
    pub fn build(self) -> Result<Service, BuildError> {
        let exports = Arc::new(by_id(self.exports)?);
        Ok(Service {
            inner: Arc::new(Inner {
                exports: RwLock::new(exports),
                key: self.key,
                mounts: Mounts::new(self.limits.mounts_max),
                repeated: Repeated::new(self.limits.repeated_calls_max),
                limits: self.limits,
                ports: PortMap::default(),
                write_verifier: self.write_verifier,
                admits: self.admits,
                on_event: self.on_event,
            }),
        })
    }
}

/// What a panic says.
fn panic_text(panic: &(dyn Any + Send)) -> &str {
    match (panic.downcast_ref::<&str>(), panic.downcast_ref::<String>()) {
        (Some(text), _) => text,
        (None, Some(text)) => text,
        (None, None) => "?",
    }
}

fn by_id(all: Vec<Export>) -> Result<Exports, BuildError> {
    let mut exports = Exports::new();
    for export in all {
        let path = String::from_utf8_lossy(&export.path).into_owned();
        if !export.path.starts_with(b"/") {
            return Err(BuildError::NotAbsolute { path });
        }
        let is_twice = exports.values().any(|other| other.path == export.path);
        if is_twice || exports.insert(export.id, Arc::new(export)).is_some() {
            return Err(BuildError::Twice { path });
        }
    }
    Ok(exports)
}

impl fmt::Debug for ServiceBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServiceBuilder")
            .field("exports", &self.exports)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

/// The results of a call that was done, after its header.
pub(crate) fn results(call: &Call<'_>, room: usize) -> Vec<u8> {
    accepted(call.xid, room)
}
