//! Little-endian fields of a structure, each read checked.

use crate::Damage;

/// The bytes of a structure. All numbers of UDF are little-endian (ECMA-167 part 1 section 7.1).
#[derive(Debug, Clone, Copy)]
pub(super) struct Fields<'a> {
    bytes: &'a [u8],
}

impl<'a> Fields<'a> {
    pub(super) const fn new(bytes: &'a [u8]) -> Self {
        Self { bytes }
    }

    /// `len` bytes from `at` on.
    pub(super) fn slice(&self, at: usize, len: usize) -> Result<&'a [u8], Damage> {
        at.checked_add(len)
            .and_then(|end| self.bytes.get(at..end))
            .ok_or(Damage::TooShort)
    }

    fn array<const LEN: usize>(&self, at: usize) -> Result<[u8; LEN], Damage> {
        let bytes = self.slice(at, LEN)?;
        bytes.try_into().map_err(|_| Damage::TooShort)
    }

    pub(super) fn u8(&self, at: usize) -> Result<u8, Damage> {
        self.array(at).map(|[byte]| byte)
    }

    pub(super) fn u16(&self, at: usize) -> Result<u16, Damage> {
        self.array(at).map(u16::from_le_bytes)
    }

    pub(super) fn u32(&self, at: usize) -> Result<u32, Damage> {
        self.array(at).map(u32::from_le_bytes)
    }

    pub(super) fn u64(&self, at: usize) -> Result<u64, Damage> {
        self.array(at).map(u64::from_le_bytes)
    }

    /// A number of bytes or elements that memory could hold.
    pub(super) fn len(&self, at: usize) -> Result<usize, Damage> {
        usize::try_from(self.u32(at)?).map_err(|_| Damage::TooShort)
    }
}
