//! Reads pieces of the image.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use pxe_tree::Blob;

use crate::extent::Extents;
use crate::{Damage, ImageError};

/// What is read by one call, at most.
const PIECE_BYTES: usize = 256 << 10;
/// What is tried without waiting, at most.
const NOW_BYTES: usize = 64 << 10;

/// The image's bytes, with a check that what is asked for lies in it.
#[derive(Debug, Clone)]
pub(crate) struct Reader {
    image: Arc<dyn Blob>,
}

impl Reader {
    pub(crate) const fn new(image: Arc<dyn Blob>) -> Self {
        Self { image }
    }

    pub(crate) const fn image(&self) -> &Arc<dyn Blob> {
        &self.image
    }

    /// Bytes of the image.
    pub(crate) fn len(&self) -> u64 {
        self.image.attributes().len
    }

    /// Whether all of a range lies in the image.
    ///
    /// # Errors
    /// `BeyondEnd`.
    pub(crate) fn check(&self, offset: u64, len: u64) -> Result<(), Damage> {
        match offset.checked_add(len) {
            Some(end) if end <= self.len() => Ok(()),
            _ => Err(Damage::BeyondEnd),
        }
    }

    /// Exactly `len` bytes. The caller has bounded `len`.
    ///
    /// # Errors
    /// `BeyondEnd`, and what the image's blob says.
    pub(crate) async fn read(&self, offset: u64, len: usize) -> Result<Bytes, ImageError> {
        self.check(offset, len as u64)?;
        if len <= NOW_BYTES {
            let mut bytes = BytesMut::zeroed(len);
            if self.image.read_now(offset, &mut bytes)? == Some(len) {
                return Ok(bytes.freeze());
            }
        }
        let first = self.image.read_at(offset, len.min(PIECE_BYTES)).await?;
        if first.len() == len {
            return Ok(first);
        }
        let mut all = BytesMut::with_capacity(len);
        all.extend_from_slice(&first);
        while all.len() < len {
            let wanted = (len - all.len()).min(PIECE_BYTES);
            let piece = self
                .image
                .read_at(offset + all.len() as u64, wanted)
                .await?;
            if piece.is_empty() || piece.len() > wanted {
                return Err(Damage::BeyondEnd.into());
            }
            all.extend_from_slice(&piece);
        }
        Ok(all.freeze())
    }

    /// All bytes of these extents, which the caller has bounded.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub(crate) async fn read_extents(&self, extents: &Extents) -> Result<Bytes, ImageError> {
        let mut all = BytesMut::new();
        while let Some(extent) = extents.at(all.len() as u64, PIECE_BYTES as u64) {
            let len = usize::try_from(extent.len).map_err(|_| Damage::Malformed)?;
            match extent.place {
                Some(place) if extents.len() == extent.len => return self.read(place, len).await,
                Some(place) => all.extend_from_slice(&self.read(place, len).await?),
                None => all.resize(all.len() + len, 0),
            }
        }
        Ok(all.freeze())
    }
}
