//! UDF (ECMA-167, OSTA UDF 1.02 to 2.01).

use async_trait::async_trait;
use pxe_tree::NodeId;

use crate::format::{Entry, Fingerprint, Format, Node};
use crate::reader::Reader;
use crate::{ImageError, Limits};

/// A UDF volume.
#[derive(Debug)]
pub(crate) enum Volume {}

impl Volume {
    /// `None` if there is no UDF.
    pub(crate) async fn open(
        _reader: &Reader,
        _limits: &Limits,
    ) -> Result<Option<Self>, ImageError> {
        Ok(None)
    }
}

#[async_trait]
impl Format for Volume {
    fn name(&self) -> &'static str {
        match *self {}
    }

    fn volume_id(&self) -> &str {
        match *self {}
    }

    fn declared_len(&self) -> Option<u64> {
        match *self {}
    }

    fn fingerprint(&self) -> Fingerprint {
        match *self {}
    }

    fn root(&self) -> NodeId {
        match *self {}
    }

    async fn node(&self, _: NodeId) -> Result<Node, ImageError> {
        match *self {}
    }

    async fn entries(&self, _: NodeId) -> Result<Vec<Entry>, ImageError> {
        match *self {}
    }

    async fn parent(&self, _: NodeId) -> Result<NodeId, ImageError> {
        match *self {}
    }
}
