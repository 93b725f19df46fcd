//! XDR (RFC 4506), of bytes that a peer chose: borrows, and allocates nothing that a length field
//! controls.

/// What was read is no such value: too short, too long, or no such number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Malformed;

/// Reads values one after the other.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(crate) const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// What was not read.
    pub(crate) const fn rest(&self) -> &'a [u8] {
        self.rest
    }

    fn take(&mut self, len: usize) -> Result<&'a [u8], Malformed> {
        let (taken, rest) = self.rest.split_at_checked(len).ok_or(Malformed)?;
        self.rest = rest;
        Ok(taken)
    }

    /// `N` bytes without a length (section 4.9); `N` is a multiple of four.
    pub(crate) fn fixed<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        const { assert!(N.is_multiple_of(4), "nothing here needs padding") };
        self.take(N)?.try_into().map_err(|_| Malformed)
    }

    pub(crate) fn u32(&mut self) -> Result<u32, Malformed> {
        self.fixed().map(u32::from_be_bytes)
    }

    pub(crate) fn u64(&mut self) -> Result<u64, Malformed> {
        self.fixed().map(u64::from_be_bytes)
    }

    /// Section 4.4: 0 or 1 and nothing else.
    pub(crate) fn bool(&mut self) -> Result<bool, Malformed> {
        match self.u32()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(Malformed),
        }
    }

    /// Bytes with their length before them (section 4.10), at most `len_max`. Padding that is not
    /// zero is let pass, as other servers do.
    pub(crate) fn opaque(&mut self, len_max: usize) -> Result<&'a [u8], Malformed> {
        let len = usize::try_from(self.u32()?).map_err(|_| Malformed)?;
        if len > len_max {
            return Err(Malformed);
        }
        let bytes = self.take(len)?;
        self.take(padding(len))?;
        Ok(bytes)
    }

    /// An optional value (section 4.19).
    pub(crate) fn optional<T>(
        &mut self,
        read: impl FnOnce(&mut Self) -> Result<T, Malformed>,
    ) -> Result<Option<T>, Malformed> {
        match self.bool()? {
            true => read(self).map(Some),
            false => Ok(None),
        }
    }
}

/// How many zeros follow so many bytes.
pub(crate) const fn padding(len: usize) -> usize {
    len.wrapping_neg() & 3
}

/// Writes values one after the other.
pub(crate) trait Write {
    fn put_bytes(&mut self, bytes: &[u8]);

    fn put_u32(&mut self, value: u32) {
        self.put_bytes(&value.to_be_bytes());
    }

    fn put_u64(&mut self, value: u64) {
        self.put_bytes(&value.to_be_bytes());
    }

    fn put_bool(&mut self, value: bool) {
        self.put_u32(u32::from(value));
    }

    /// Bytes with their length, which fits 32 bits with all that is written here.
    fn put_opaque(&mut self, bytes: &[u8]) {
        self.put_u32(u32::try_from(bytes.len()).unwrap_or(u32::MAX));
        self.put_bytes(bytes);
        self.put_bytes(&[0; 3][..padding(bytes.len())]);
    }
}

impl Write for Vec<u8> {
    fn put_bytes(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let mut bytes = Vec::new();
        bytes.put_u32(7);
        bytes.put_u64(8);
        bytes.put_bool(true);
        bytes.put_opaque(b"abcde");
        bytes.put_opaque(b"");
        assert_eq!(bytes.len() % 4, 0);
        let mut reader = Reader::new(&bytes);
        assert_eq!(reader.u32(), Ok(7));
        assert_eq!(reader.u64(), Ok(8));
        assert_eq!(
            reader.optional(|reader| reader.opaque(5)),
            Ok(Some(&b"abcde"[..]))
        );
        assert_eq!(reader.opaque(0), Ok(&b""[..]));
        assert_eq!(reader.u32(), Err(Malformed));
    }

    #[test]
    fn lengths_are_not_believed() {
        let mut bytes = Vec::new();
        bytes.put_u32(u32::MAX);
        assert_eq!(Reader::new(&bytes).opaque(usize::MAX), Err(Malformed));
        let mut bytes = Vec::new();
        bytes.put_opaque(b"abcde");
        assert_eq!(
            Reader::new(&bytes).opaque(4),
            Err(Malformed),
            "over the bound"
        );
        bytes.pop();
        assert_eq!(
            Reader::new(&bytes).opaque(5),
            Err(Malformed),
            "padding lacks"
        );
    }
}
