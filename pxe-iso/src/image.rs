//! Which file system an image holds.

use std::sync::Arc;

use pxe_tree::Blob;

use crate::format::Format;
use crate::reader::Reader;
use crate::{ImageError, ImageTree, Limits, iso9660, udf};

/// Opens images.
#[derive(Debug)]
#[non_exhaustive]
pub struct Image;

impl Image {
    /// Opens an image with the default options.
    ///
    /// # Errors
    /// As [`ImageOptions::open`].
    pub async fn open(image: Arc<dyn Blob>) -> Result<Arc<ImageTree>, ImageError> {
        ImageOptions::default().open(image).await
    }
}

/// Where names, modes and times are taken from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum NameSource {
    /// The best that there is: Rock Ridge, else Joliet, else UDF, else plain names. UDF comes first
    /// if the ISO 9660 side is a stub, as on Windows' installation media: a text that says that
    /// UDF is needed.
    #[default]
    Best,
    /// Rock Ridge (IEEE P1282).
    RockRidge,
    /// Joliet, the supplementary descriptor with names in UCS-2.
    Joliet,
    /// The names of the primary descriptor (ECMA-119).
    Plain,
    /// UDF (ECMA-167).
    Udf,
}

/// How an image is opened.
#[derive(Debug, Clone, Default)]
pub struct ImageOptions {
    pub(crate) names: NameSource,
    pub(crate) keeps_case: bool,
    pub(crate) limits: Limits,
}

impl ImageOptions {
    /// The default options.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the names from here, and fails if they are not there.
    #[must_use]
    pub const fn with_names(mut self, names: NameSource) -> Self {
        self.names = names;
        self
    }

    /// Leaves plain names in upper case. By default they become lower case, as Linux shows them.
    #[must_use]
    pub const fn with_case_kept(mut self) -> Self {
        self.keeps_case = true;
        self
    }

    /// Other bounds.
    #[must_use]
    pub fn with_limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Reads the volume descriptors of an image, some KiB; directories are read when they are
    /// asked for.
    ///
    /// # Errors
    /// `NotAnImage` if there is no file system, or not the one that was asked for; `Damaged`,
    /// `Unsupported`, and what reading gives.
    pub async fn open(&self, image: Arc<dyn Blob>) -> Result<Arc<ImageTree>, ImageError> {
        let reader = Reader::new(image);
        let format = self.format(&reader).await?;
        Ok(Arc::new(ImageTree::new(
            reader,
            format,
            self.limits.clone(),
        )))
    }

    async fn format(&self, reader: &Reader) -> Result<Box<dyn Format>, ImageError> {
        let iso9660 = match self.names {
            NameSource::Udf => None,
            _ => iso9660::Volume::open(reader, self).await?,
        };
        let wants_udf = match (&iso9660, self.names) {
            (Some(volume), NameSource::Best) => volume.is_stub().await?,
            (None, NameSource::Best | NameSource::Udf) => true,
            _ => false,
        };
        if wants_udf && let Some(volume) = udf::Volume::open(reader, &self.limits).await? {
            return Ok(Box::new(volume));
        }
        match iso9660 {
            Some(volume) => Ok(Box::new(volume)),
            None => Err(ImageError::NotAnImage),
        }
    }
}
