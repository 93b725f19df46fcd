//! From a handle to a node, for one caller.

use std::sync::Arc;

use bytes::Bytes;
use pxe_tree::{Attributes, Error, ErrorKind, NodeId, NodeKey, Tree};

use super::attributes::{POST_OP_LEN, put_attributes, put_post_op};
use super::permission::{Wanted, allows};
use super::status::Status;
use crate::export::Export;
use crate::handle::HANDLE_LEN_MAX;
use crate::rpc::{Call, Rejected};
use crate::service::{Inner, results};
use crate::xdr::{Malformed, Reader, Write};
use crate::{Credentials, Event, ExportOptions, Failed, Peer, Refusal, Refused, Reply};

/// How often a node that was lost between two steps is looked for anew: files are replaced while
/// they are read, and a client shall not notice.
const TRIES: usize = 4;

/// A call and all that is needed to answer it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Context<'a> {
    pub(crate) service: &'a Inner,
    pub(crate) peer: &'a Peer,
    pub(crate) call: &'a Call<'a>,
    /// What the call was read from.
    pub(crate) message: &'a Bytes,
}

/// Why a procedure ended early.
#[derive(Debug)]
pub(crate) enum Halt {
    /// The call was none.
    Rejected(Rejected),
    /// It could not be done, and nothing is said of any node.
    Failed(Status),
    /// It could not be done: the whole reply.
    Answered(Vec<u8>),
}

impl From<Malformed> for Halt {
    fn from(malformed: Malformed) -> Self {
        Self::Rejected(malformed.into())
    }
}

impl From<Status> for Halt {
    fn from(status: Status) -> Self {
        Self::Failed(status)
    }
}

/// A procedure's answer.
pub(crate) type Answer = Result<Reply, Halt>;

/// A node that a handle named: where it is, what is known of it now, and who asks.
#[derive(Debug, Clone)]
pub(crate) struct Object {
    pub(crate) export: Arc<Export>,
    /// What this client may do in the export.
    pub(crate) options: ExportOptions,
    /// The user, squashed.
    pub(crate) user: Credentials,
    pub(crate) key: NodeKey,
    pub(crate) attributes: Attributes,
    /// Whether the attributes are those of a moment ago: no client is told of them.
    pub(crate) is_recent: bool,
    /// How often it may be looked for anew.
    tries_left: usize,
}

impl Object {
    pub(crate) fn tree(&self) -> &dyn Tree {
        &*self.export.tree
    }

    pub(crate) const fn node(&self) -> NodeId {
        self.attributes.node
    }

    /// Whether the node's mode lets the user do that.
    pub(crate) fn allows(&self, wanted: Wanted) -> bool {
        allows(&self.attributes, &self.user, wanted)
    }

    /// `Ok` if the node's mode lets the user do that.
    pub(crate) fn check(&self, wanted: Wanted) -> Result<(), Status> {
        match self.allows(wanted) {
            true => Ok(()),
            false => Err(Status::ACCES),
        }
    }

    /// Whether this client may write here at all: `rw`.
    pub(crate) fn is_writable(&self) -> bool {
        self.options.is_writable && self.export.write.is_some()
    }

    /// The `fattr3` of a node of the same export.
    pub(crate) fn put_attributes(&self, reply: &mut Vec<u8>) {
        put_attributes(reply, self.export.id, &self.attributes);
    }

    /// The `post_op_attr` of this node.
    pub(crate) fn put_post_op(&self, reply: &mut Vec<u8>) {
        let known = (!self.is_recent).then_some(&self.attributes);
        put_post_op(reply, self.export.id, known);
    }
}

impl<'a> Context<'a> {
    /// The procedure's arguments.
    pub(crate) const fn args(&self) -> Reader<'a> {
        Reader::new(self.call.args)
    }

    /// The results of a call, with room for so many bytes after the status.
    pub(crate) fn results(&self, status: Status, room: usize) -> Vec<u8> {
        let mut reply = results(self.call, 4 + room);
        reply.put_u32(status.get());
        reply
    }

    /// A failure, with what is known of the one node of whose attributes the reply tells.
    pub(crate) fn failed(&self, status: impl Into<Status>, object: &Object) -> Halt {
        let mut reply = self.results(status.into(), POST_OP_LEN);
        object.put_post_op(&mut reply);
        Halt::Answered(reply)
    }

    /// What a client is told of a tree's error; the operator is told of a medium's.
    pub(crate) fn status(&self, error: &Error) -> Status {
        if error.kind() == ErrorKind::Io {
            self.service.tell(&Event::Failed(Failed {
                peer: *self.peer,
                procedure: super::procedure_name(self.call.procedure),
                error: match std::error::Error::source(error) {
                    Some(source) => format!("{error}: {source}"),
                    None => error.to_string(),
                },
            }));
        }
        error.kind().into()
    }

    /// The node of a handle, if this client may know of it.
    pub(crate) async fn object(&self, handle: &[u8]) -> Result<Object, Status> {
        self.object_as(handle, |_, _| None).await
    }

    /// The same for a directory of which a name is wanted: as it was a moment ago, if that is
    /// remembered, which saves a system call of two.
    pub(crate) async fn directory(&self, handle: &[u8]) -> Result<Object, Status> {
        self.object_as(handle, |tree, key| tree.recent_directory(key))
            .await
    }

    async fn object_as(
        &self,
        handle: &[u8],
        recent: impl FnOnce(&dyn Tree, &NodeKey) -> Option<Attributes> + Send,
    ) -> Result<Object, Status> {
        let verified = self.service.key.verify(handle);
        let (export, key) = verified.ok_or_else(|| self.refused(Refusal::ForgedHandle))?;
        let admitted = self.service.admitted(self.peer, export).await;
        let (export, options) = admitted.map_err(|refusal| self.refused(refusal))?;
        let recent = recent(&*export.tree, &key);
        let is_recent = recent.is_some();
        let attributes = match recent {
            Some(recent) => recent,
            None => {
                let found = attributes_of(&*export.tree, &key).await;
                found.map_err(|error| self.status(&error))?
            }
        };
        let user = options.credentials(&self.call.auth);
        Ok(Object {
            export,
            options,
            user,
            key,
            attributes,
            is_recent,
            tries_left: TRIES,
        })
    }

    /// Looks for the node anew, after a tree or a blob called it stale: a file was replaced, a
    /// directory was renamed, or the tree forgot it.
    ///
    /// # Errors
    /// `NFS3ERR_STALE` if the handle leads to nothing now; `NFS3ERR_JUKEBOX` if that happened too
    /// often in this call, so that the client asks again in a while.
    pub(crate) async fn refresh(&self, object: &mut Object) -> Result<(), Status> {
        object.tries_left = object.tries_left.checked_sub(1).ok_or(Status::JUKEBOX)?;
        let found = attributes_of(object.tree(), &object.key).await;
        object.attributes = found.map_err(|error| self.status(&error))?;
        object.is_recent = false;
        Ok(())
    }

    fn refused(&self, reason: Refusal) -> Status {
        self.service.tell(&Event::Refused(Refused {
            peer: *self.peer,
            path: None,
            reason,
        }));
        reason.into()
    }

    /// The `post_op_fh3` of a node of this export: none if it lies too deep for a key, as a LOOKUP
    /// will tell.
    pub(crate) fn put_post_op_handle(
        &self,
        reply: &mut Vec<u8>,
        export: &Export,
        node: Option<NodeId>,
    ) {
        let key = node.and_then(|node| export.tree.key(node).ok());
        reply.put_bool(key.is_some());
        if let Some(key) = key {
            reply.put_opaque(self.service.key.sign(export.id, &key).as_bytes());
        }
    }
}

/// What is known of a key's node now.
async fn attributes_of(tree: &dyn Tree, key: &NodeKey) -> Result<Attributes, Error> {
    let mut found = tree.attributes_of_key(key).await;
    if matches!(&found, Err(error) if error.kind() == ErrorKind::Stale) {
        // It may have been renamed or replaced between the tree's own steps. Only once: the search
        // for what is gone is dear.
        found = tree.attributes_of_key(key).await;
    }
    found.map_err(|error| match error.kind() {
        // The signature holds, so the tree has become another one since.
        ErrorKind::BadKey => ErrorKind::Stale.into(),
        _ => error,
    })
}

impl<'a> Reader<'a> {
    /// An `nfs_fh3`.
    pub(crate) fn handle(&mut self) -> Result<&'a [u8], Malformed> {
        self.opaque(HANDLE_LEN_MAX)
    }
}
