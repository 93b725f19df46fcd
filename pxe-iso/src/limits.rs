//! Bounds on what an image may ask of the reader.

/// Every bound of this crate. What exceeds one is refused with
/// [`Damage::Limit`](crate::Damage::Limit).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Volume descriptors that are looked at (ISO 9660, and UDF's sequences), each.
    pub volume_descriptors_max: usize,
    /// Bytes of one directory on the medium. Also of all that its entries lead to when it is listed:
    /// continuation areas (ISO 9660); targets of links, and descriptors of large files (UDF).
    pub directory_bytes_max: u64,
    /// Entries of one directory.
    pub directory_entries_max: usize,
    /// Directories that are remembered.
    pub directories_cached_max: usize,
    /// Entries that the remembered directories have together; a larger one alone is remembered
    /// too.
    pub entries_cached_max: usize,
    /// Bytes of all system use areas of one directory record.
    pub system_use_bytes_max: usize,
    /// Continuation areas (`CE`) of one directory record.
    pub continuations_max: usize,
    /// Bytes of a symbolic link's target.
    pub link_bytes_max: usize,
    /// Extents of one file. With the extents of ISO 9660 (4 GiB each) that is never reached; UDF's
    /// are 1 GiB at most.
    pub extents_max: usize,
    /// Entries of the El Torito boot catalogue.
    pub boot_entries_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            volume_descriptors_max: 64,
            directory_bytes_max: 64 << 20,
            directory_entries_max: 1 << 18,
            directories_cached_max: 64,
            entries_cached_max: 1 << 17,
            system_use_bytes_max: 16 << 10,
            continuations_max: 32,
            link_bytes_max: 4096,
            extents_max: 1 << 16,
            boot_entries_max: 64,
        }
    }
}
