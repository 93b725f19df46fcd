//! File handles: opaque to clients, signed, and the same after a restart.

use std::fmt;
use std::hash::Hasher;

use pxe_tree::{NodeKey, TreePath};
use siphasher::sip128::{Hasher128, SipHasher24};

use crate::xdr::padding;

/// The longest handle (RFC 1813 section 2.4), in bytes.
pub(crate) const HANDLE_LEN_MAX: usize = 64;
const VERSION: u8 = 1;
/// Where the length of the padding begins in the byte of the version.
const PADDING_SHIFT: u32 = 6;
const TAG_LEN: usize = 16;
const HEAD_LEN: usize = 1 + size_of::<u32>();

/// The secret with which handles are signed, so that no client can make one up and leave its
/// export by it.
///
/// Handles outlive the server: keep the secret, or all machines lose their root at the next
/// restart. Servers that stand in for each other need the same.
#[derive(Clone)]
pub struct HandleKey([u8; Self::LEN]);

impl HandleKey {
    /// The length of a secret, in bytes.
    pub const LEN: usize = 16;

    /// The key of this secret, which should be random.
    pub const fn new(secret: [u8; Self::LEN]) -> Self {
        Self(secret)
    }

    /// `version and length of padding, export, node's key, padding, tag`.
    ///
    /// The whole is a multiple of four bytes, 64 at most: U-Boot forgets the padding that RFC 4506
    /// wants behind other lengths, and writes over the end of the handle (net/nfs-common.c,
    /// `nfs_lookup_req` and `nfs_read_req`).
    pub(crate) fn sign(&self, export: ExportId, key: &NodeKey) -> Handle {
        let key = key.as_bytes();
        let padding = padding(HEAD_LEN + key.len() + TAG_LEN);
        let mut bytes = Vec::with_capacity(HANDLE_LEN_MAX);
        // The cast loses nothing: it is 3 at most.
        bytes.push(VERSION | (padding as u8) << PADDING_SHIFT);
        bytes.extend_from_slice(&export.0.to_be_bytes());
        bytes.extend_from_slice(key);
        bytes.extend_from_slice(&[0; 3][..padding]);
        let tag = self.tag(&bytes);
        bytes.extend_from_slice(&tag);
        Handle(bytes)
    }

    /// What a handle names, if it was signed by this key.
    pub(crate) fn verify(&self, handle: &[u8]) -> Option<(ExportId, NodeKey)> {
        let signed_len = handle.len().checked_sub(TAG_LEN)?;
        let (signed, tag) = handle.split_at_checked(signed_len)?;
        // As numbers: a comparison that takes the same time whatever they are.
        let tag = u128::from_le_bytes(tag.try_into().ok()?);
        if u128::from_le_bytes(self.tag(signed)) ^ tag != 0 {
            return None;
        }
        let (head, key) = signed.split_at_checked(HEAD_LEN)?;
        let [first, export @ ..] = head else {
            return None;
        };
        let padding = usize::from(first ^ VERSION) >> PADDING_SHIFT;
        if first & !(3 << PADDING_SHIFT) != VERSION {
            return None;
        }
        let (key, _) = key.split_at_checked(key.len().checked_sub(padding)?)?;
        let export = ExportId(u32::from_be_bytes(export.try_into().ok()?));
        Some((export, NodeKey::new(key).ok()?))
    }

    fn tag(&self, bytes: &[u8]) -> [u8; TAG_LEN] {
        let mut hasher = SipHasher24::new_with_key(&self.0);
        hasher.write(bytes);
        hasher.finish128().as_bytes()
    }
}

impl fmt::Debug for HandleKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HandleKey(..)")
    }
}

/// Which export: made of its path and its directory within its tree, so that it is the same after
/// a restart, whatever the order in the configuration, and another one if the export is narrowed
/// to a part of its tree: old handles would lead out of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct ExportId(pub(crate) u32);

impl ExportId {
    pub(crate) fn of(path: &[u8], root: &TreePath) -> Self {
        let mut hasher = SipHasher24::new_with_key(b"pxe-nfs exports.");
        hasher.write(path);
        if !root.is_root() {
            // Neither path has this byte.
            hasher.write_u8(0);
            hasher.write(root.as_bytes());
        }
        let [a, b, c, d, ..] = hasher.finish128().as_bytes();
        Self(u32::from_le_bytes([a, b, c, d]))
    }
}

/// An `nfs_fh3`, signed.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Handle(Vec<u8>);

impl Handle {
    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_handle_is_taken_from_its_own_server_alone() {
        let key = HandleKey::new(*b"0123456789abcdef");
        let node = NodeKey::new(&[7; NodeKey::LEN_MAX]).expect("short enough");
        let handle = key.sign(ExportId(5), &node);
        assert!(handle.as_bytes().len() <= HANDLE_LEN_MAX);
        assert_eq!(key.verify(handle.as_bytes()), Some((ExportId(5), node)));
        for at in 0..handle.as_bytes().len() {
            let mut other = handle.as_bytes().to_vec();
            other[at] ^= 1;
            assert_eq!(key.verify(&other), None, "byte {at}");
            assert_eq!(key.verify(&handle.as_bytes()[..at]), None, "{at} bytes");
        }
        let other = HandleKey::new(*b"0123456789abcdeg");
        assert_eq!(other.verify(handle.as_bytes()), None);
    }

    /// U-Boot's NFS client: see [`HandleKey::sign`].
    #[test]
    fn handles_have_whole_words_for_u_boot() {
        let key = HandleKey::new(*b"0123456789abcdef");
        for len in 0..=NodeKey::LEN_MAX {
            let node = NodeKey::new(&vec![0; len]).expect("short enough");
            let handle = key.sign(ExportId(5), &node);
            assert!(handle.as_bytes().len().is_multiple_of(4));
            assert!(handle.as_bytes().len() <= HANDLE_LEN_MAX);
            assert_eq!(key.verify(handle.as_bytes()), Some((ExportId(5), node)));
        }
    }

    /// They are kept by clients for as long as these run: a change of this test's bytes takes the
    /// root from each of them.
    #[test]
    fn handles_stay_what_they_are() {
        let key = HandleKey::new(*b"0123456789abcdef");
        let node = NodeKey::new(b"key").expect("short enough");
        let handle = key.sign(ExportId::of(b"/srv/tftp", &TreePath::ROOT), &node);
        let hex: String = handle
            .as_bytes()
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        assert_eq!(hex, "01e2424e506b6579c8a69b5c173e7b8905414be9e633d881");
    }
}
