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
        // What is said if there is no UDF either.
        let mut fault = ImageError::NotAnImage;
        let iso9660 = match self.names {
            NameSource::Udf => None,
            NameSource::Best => match iso9660::Volume::open(reader, self).await {
                Err(error @ (ImageError::Damaged(_) | ImageError::Unsupported(_))) => {
                    fault = error;
                    None
                }
                other => other?,
            },
            _ => iso9660::Volume::open(reader, self).await?,
        };
        let udf = match (&iso9660, self.names) {
            (Some(volume), NameSource::Best) if volume.is_stub().await? => self.udf(reader).await?,
            // Damage there takes nothing from the names that are here.
            (Some(volume), NameSource::Best) if volume.has_plain_names() => {
                match self.udf(reader).await {
                    Err(ImageError::Damaged(_) | ImageError::Unsupported(_)) => None,
                    other => other?,
                }
            }
            (None, NameSource::Best | NameSource::Udf) => self.udf(reader).await?,
            _ => None,
        };
        match (udf, iso9660) {
            (Some(volume), _) => Ok(Box::new(volume)),
            (None, Some(volume)) => Ok(Box::new(volume)),
            (None, None) => Err(fault),
        }
    }

    async fn udf(&self, reader: &Reader) -> Result<Option<udf::Volume>, ImageError> {
        udf::Volume::open(reader, &self.limits).await
    }
}
