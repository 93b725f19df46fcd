//! Why an image, or a part of it, cannot be read.

use std::io;

use pxe_tree::{Error, ErrorKind};
use thiserror::Error as ThisError;

/// Why an image, or something in it, cannot be read.
#[derive(Debug, ThisError)]
#[non_exhaustive]
pub enum ImageError {
    /// There is neither an ISO 9660 nor a UDF volume descriptor where one has to be.
    #[error("neither an ISO 9660 nor a UDF file system")]
    NotAnImage,
    /// What is written in the image contradicts itself, or leads out of it.
    #[error("damaged image: {0}")]
    Damaged(#[from] Damage),
    /// The image uses something that this crate does not read.
    #[error("{0}")]
    Unsupported(#[from] Unsupported),
    /// The image itself could not be read, or a question about a node makes no sense
    /// (`NotADirectory`, `Stale`).
    #[error(transparent)]
    Tree(#[from] Error),
}

impl From<ErrorKind> for ImageError {
    fn from(kind: ErrorKind) -> Self {
        Self::Tree(kind.into())
    }
}

impl From<ImageError> for Error {
    /// `Io` for damage, `Unsupported` for what is not read; the message stays for the log.
    fn from(error: ImageError) -> Self {
        match error {
            ImageError::Tree(error) => error,
            ImageError::Unsupported(_) => {
                let source = io::Error::new(io::ErrorKind::Unsupported, error);
                Self::with_source(ErrorKind::Unsupported, source)
            }
            ImageError::NotAnImage | ImageError::Damaged(_) => {
                let source = io::Error::new(io::ErrorKind::InvalidData, error);
                Self::with_source(ErrorKind::Io, source)
            }
        }
    }
}

/// What is wrong in an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, ThisError)]
#[non_exhaustive]
pub enum Damage {
    /// A structure or an extent ends beyond the end of the image.
    #[error("something lies beyond the end of the image")]
    BeyondEnd,
    /// A structure is shorter than its own fields.
    #[error("a structure ends before its fields do")]
    TooShort,
    /// A structure has values that no such structure can have.
    #[error("a structure has impossible values")]
    Malformed,
    /// A checksum or a CRC is wrong.
    #[error("a checksum is wrong")]
    Checksum,
    /// A descriptor has another tag, or another place, than what led to it says.
    #[error("a descriptor is not the one that was expected")]
    Tag,
    /// Something leads back to itself: continuation areas, allocation descriptors, directories.
    #[error("a chain of structures leads back to itself")]
    Loop,
    /// A bound of [`Limits`](crate::Limits) is exceeded; its field's name.
    #[error("the limit {0} is exceeded")]
    Limit(&'static str),
}

/// What this crate does not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, ThisError)]
#[non_exhaustive]
pub enum Unsupported {
    /// An interleaved file (ECMA-119 section 6.4.3).
    #[error("interleaved files are not read")]
    Interleaved,
    /// A logical block size other than 512, 1024 or 2048 bytes.
    #[error("logical blocks of {0} bytes are not read")]
    BlockSize(u32),
    /// A sparse file (RRIP 1.12 section 4.1.7, `SF`).
    #[error("sparse files of Rock Ridge (SF) are not read")]
    SparseFile,
    /// A file compressed by zisofs (`ZF`).
    #[error("files compressed by zisofs (ZF) are not read")]
    Zisofs,
    /// A UDF revision, as binary coded decimal: 0x0250 is 2.50.
    #[error("UDF revision {0:x} is not read")]
    UdfRevision(u16),
    /// A part of UDF, by its name in ECMA-167 or in OSTA's specification.
    #[error("{0} (UDF) is not read")]
    Udf(&'static str),
}
