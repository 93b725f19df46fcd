//! What is answered to requests for directories.

use pxe_tree::NameBuf;

use crate::ListingLimits;

/// What is answered to a request for a directory: its index file, else its listing, else 403.
///
/// A request whose path has no slash at its end is first sent to the path that has one, unless
/// neither is wanted.
///
/// # Example
///
/// ```
/// use pxe_http::Directories;
///
/// assert_eq!(Directories::default(), Directories::refused());
/// let mut directories = Directories::listed();
/// directories.index = None; // always the listing
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Directories {
    /// The name of the file in a directory that is its page, if the directory has it.
    pub index: Option<NameBuf>,
    /// Whether directories are listed, and within which bounds.
    pub listing: Option<ListingLimits>,
}

impl Directories {
    /// Neither index nor listing: 403. The default, as it is nginx's and lighttpd's without more.
    pub const fn refused() -> Self {
        Self {
            index: None,
            listing: None,
        }
    }

    /// `index.html`, else a listing with default bounds, as web servers do it that list at all.
    pub fn listed() -> Self {
        Self {
            index: NameBuf::new("index.html").ok(),
            listing: Some(ListingLimits::default()),
        }
    }
}
