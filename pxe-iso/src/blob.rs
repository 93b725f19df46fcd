//! Files of an image, read where they lie.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use pxe_tree::{Attributes, Blob, Direct, ErrorKind, Result};

use crate::extent::{Extent, Extents};

/// What a hole is shown as.
static ZEROS: [u8; 64 << 10] = [0; 64 << 10];

/// A file of an image: parts of the image's blob.
#[derive(Debug)]
pub(crate) struct ExtentBlob {
    image: Arc<dyn Blob>,
    attributes: Attributes,
    extents: Arc<Extents>,
}

impl ExtentBlob {
    /// A file of these extents; `attributes.len` is their sum.
    pub(crate) fn new(
        image: Arc<dyn Blob>,
        mut attributes: Attributes,
        extents: Arc<Extents>,
    ) -> Self {
        attributes.len = extents.len();
        Self {
            image,
            attributes,
            extents,
        }
    }
}

#[async_trait]
impl Blob for ExtentBlob {
    fn attributes(&self) -> &Attributes {
        &self.attributes
    }

    async fn read_at(&self, offset: u64, len: usize) -> Result<Bytes> {
        let Some(first) = self.extents.at(offset, len as u64) else {
            return Ok(Bytes::new());
        };
        let left = self.extents.len() - offset;
        let wanted = usize::try_from(left).map_or(len, |left| left.min(len));
        let piece = piece(&*self.image, first).await?;
        if piece.len() == wanted {
            return Ok(piece);
        }
        let mut all = BytesMut::with_capacity(wanted);
        all.extend_from_slice(&piece);
        while all.len() < wanted {
            let (at, left) = (offset + all.len() as u64, (wanted - all.len()) as u64);
            let Some(extent) = self.extents.at(at, left) else {
                break;
            };
            all.extend_from_slice(&self::piece(&*self.image, extent).await?);
        }
        Ok(all.freeze())
    }

    fn read_now(&self, offset: u64, buf: &mut [u8]) -> Result<Option<usize>> {
        let mut done = 0;
        while let Some(rest) = buf.get_mut(done..).filter(|rest| !rest.is_empty()) {
            let at = offset.saturating_add(done as u64);
            let Some(extent) = self.extents.at(at, rest.len() as u64) else {
                break;
            };
            let len = usize::try_from(extent.len).map_err(|_| ErrorKind::Io)?;
            let part = rest.get_mut(..len).ok_or(ErrorKind::Io)?;
            match extent.place {
                None => part.fill(0),
                Some(place) => match self.image.read_now(place, part)? {
                    None => return Ok(None),
                    Some(read) if read == len => {}
                    // The image is shorter than it was.
                    Some(_) => return Err(ErrorKind::Stale.into()),
                },
            }
            done += len;
        }
        Ok(Some(done))
    }

    fn direct(&self, offset: u64, len: u64) -> Direct<'_> {
        let Some(extent) = self.extents.at(offset, len) else {
            return Direct::None;
        };
        match extent.place {
            Some(place) => self.image.direct(place, extent.len),
            None => {
                let len = usize::try_from(extent.len).unwrap_or(usize::MAX);
                Direct::Memory(&ZEROS[..len.min(ZEROS.len())])
            }
        }
    }

    fn will_need(&self, offset: u64, len: u64) {
        if let Some(Extent {
            place: Some(place),
            len,
        }) = self.extents.at(offset, len)
        {
            self.image.will_need(place, len);
        }
    }

    fn validate(&self) -> Result<()> {
        self.image.validate()
    }
}

/// All bytes of an extent.
async fn piece(image: &dyn Blob, extent: Extent) -> Result<Bytes> {
    let len = usize::try_from(extent.len).map_err(|_| ErrorKind::Io)?;
    let Some(place) = extent.place else {
        return Ok(Bytes::from(vec![0; len]));
    };
    let bytes = image.read_at(place, len).await?;
    match bytes.len() == len {
        true => Ok(bytes),
        // The image is shorter than it was.
        false => Err(ErrorKind::Stale.into()),
    }
}
