//! The messages of the load: calls as Linux sends them, and as much of the replies as is checked
//! (RFC 5531, RFC 1813).

use super::content::Facts;

const NFS: (u32, u32) = (100_003, 3);
const MOUNT: (u32, u32) = (100_005, 3);
const LAST_FRAGMENT: u32 = 1 << 31;
const AUTH_SYS: u32 = 1;
/// Not root, so that nothing is squashed.
const UID: u32 = 1000;
/// Bytes of a reply before its results: mark, transaction, REPLY, accepted, verifier, SUCCESS.
const RESULTS_AT: usize = 28;
const FATTR_LEN: usize = 84;
/// Bytes of a reply to READ before the data: with attributes, as each of the servers gives them.
pub(crate) const READ_HEAD_LEN: usize = RESULTS_AT + 4 + 4 + FATTR_LEN + 4 + 4 + 4;

/// An operation.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Call<'a> {
    Mount {
        path: &'a str,
    },
    Getattr {
        file: &'a [u8],
    },
    Lookup {
        directory: &'a [u8],
        name: &'a str,
    },
    Read {
        file: &'a [u8],
        offset: u64,
        len: u32,
    },
}

impl Call<'_> {
    /// The record with this call.
    pub(crate) fn write(&self, xid: u32, record: &mut Vec<u8>) {
        let ((program, version), procedure) = match self {
            Self::Mount { .. } => (MOUNT, 1),
            Self::Getattr { .. } => (NFS, 1),
            Self::Lookup { .. } => (NFS, 3),
            Self::Read { .. } => (NFS, 6),
        };
        record.clear();
        let machine = b"bench";
        let auth_len = 4 + 4 + padded(machine.len()) + 4 + 4 + 4;
        for number in [0, xid, 0, 2, program, version, procedure, AUTH_SYS] {
            put_u32(record, number);
        }
        put_u32(record, auth_len as u32);
        put_u32(record, 0);
        put_opaque(record, machine);
        // User, group, no further groups; then no verifier.
        for number in [UID, UID, 0, 0, 0] {
            put_u32(record, number);
        }
        match *self {
            Self::Mount { path } => put_opaque(record, path.as_bytes()),
            Self::Getattr { file } => put_opaque(record, file),
            Self::Lookup { directory, name } => {
                put_opaque(record, directory);
                put_opaque(record, name.as_bytes());
            }
            Self::Read { file, offset, len } => {
                put_opaque(record, file);
                record.extend_from_slice(&offset.to_be_bytes());
                put_u32(record, len);
            }
        }
        let mark = LAST_FRAGMENT | (record.len() - 4) as u32;
        if let Some(place) = record.get_mut(..4) {
            place.copy_from_slice(&mark.to_be_bytes());
        }
    }
}

/// The head of a reply, with its results if these are short.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reply<'a> {
    bytes: &'a [u8],
}

impl<'a> Reply<'a> {
    pub(crate) const fn new(bytes: &'a [u8]) -> Self {
        Self { bytes }
    }

    /// How many bytes the whole record has, with its mark; `None` until that is there.
    ///
    /// # Errors
    /// A text, if it is more than one fragment: none of the servers does that.
    pub(crate) fn record_len(&self) -> Result<Option<usize>, String> {
        let Ok(mark) = self.u32_at(0) else {
            return Ok(None);
        };
        if mark & LAST_FRAGMENT == 0 {
            return Err("a reply in several fragments".to_owned());
        }
        Ok(Some((mark & !LAST_FRAGMENT) as usize + 4))
    }

    /// The transaction, if the call was done.
    ///
    /// # Errors
    /// A text, if the server refused it or failed.
    pub(crate) fn done(&self) -> Result<u32, String> {
        // REPLY, accepted, no verifier of no bytes, SUCCESS; and the results begin with OK.
        for (at, wanted) in [(8, 1), (12, 0), (16, 0), (20, 0), (24, 0), (RESULTS_AT, 0)] {
            let number = self.u32_at(at)?;
            if number != wanted {
                return Err(format!("a reply with {number} at {at}, not {wanted}"));
            }
        }
        self.u32_at(4)
    }

    /// The handle that MNT and LOOKUP begin with, and where it ends.
    fn handle(&self) -> Result<(&'a [u8], usize), String> {
        let len = self.u32_at(RESULTS_AT + 4)? as usize;
        let handle = self
            .bytes
            .get(RESULTS_AT + 8..)
            .and_then(|rest| rest.get(..len));
        let handle = handle.filter(|handle| (1..=64).contains(&handle.len()));
        let handle = handle.ok_or_else(|| format!("a handle of {len} bytes"))?;
        Ok((handle, RESULTS_AT + 8 + padded(len)))
    }

    /// The handle of a reply to MNT.
    ///
    /// # Errors
    /// A text, if there is none.
    pub(crate) fn mounted(&self) -> Result<&'a [u8], String> {
        self.handle().map(|(handle, _)| handle)
    }

    /// What a reply to GETATTR says.
    ///
    /// # Errors
    /// A text, if it is too short.
    pub(crate) fn attributes(&self) -> Result<(u32, Facts), String> {
        self.attributes_at(RESULTS_AT + 4)
    }

    /// What a reply to LOOKUP says: the handle, and the attributes of what was found.
    ///
    /// # Errors
    /// A text, if these are missing.
    pub(crate) fn found(&self) -> Result<(&'a [u8], u32, Facts), String> {
        let (handle, at) = self.handle()?;
        let (kind, facts) = self.attributes_after(at)?;
        Ok((handle, kind, facts))
    }

    /// What a reply to READ says: the attributes, and how many bytes of data follow the head.
    ///
    /// # Errors
    /// A text, if the attributes are missing, or the lengths do not agree.
    pub(crate) fn read(&self) -> Result<(u32, Facts, usize), String> {
        let (kind, facts) = self.attributes_after(RESULTS_AT + 4)?;
        let count = self.u32_at(READ_HEAD_LEN - 12)?;
        let len = self.u32_at(READ_HEAD_LEN - 4)?;
        if count != len {
            return Err(format!("READ says {count} bytes and gives {len}"));
        }
        Ok((kind, facts, len as usize))
    }

    fn attributes_after(&self, at: usize) -> Result<(u32, Facts), String> {
        match self.u32_at(at)? {
            1 => self.attributes_at(at + 4),
            _ => Err("a reply without attributes".to_owned()),
        }
    }

    /// `fattr3`: the kind, and what is compared.
    fn attributes_at(&self, at: usize) -> Result<(u32, Facts), String> {
        let number = |index: usize| self.u32_at(at + index * 4);
        let facts = Facts {
            nlink: number(2)?,
            uid: number(3)?,
            gid: number(4)?,
            len: u64::from(number(5)?) << 32 | u64::from(number(6)?),
            modified: (number(17)?, number(18)?),
        };
        Ok((number(0)?, facts))
    }

    fn u32_at(&self, at: usize) -> Result<u32, String> {
        let bytes = self.bytes.get(at..).and_then(|rest| rest.first_chunk());
        let number = bytes.map(|bytes| u32::from_be_bytes(*bytes));
        number.ok_or_else(|| format!("a reply of {} bytes", self.bytes.len()))
    }
}

const fn padded(len: usize) -> usize {
    len.next_multiple_of(4)
}

fn put_u32(record: &mut Vec<u8>, number: u32) {
    record.extend_from_slice(&number.to_be_bytes());
}

fn put_opaque(record: &mut Vec<u8>, bytes: &[u8]) {
    put_u32(record, bytes.len() as u32);
    record.extend_from_slice(bytes);
    record.resize(record.len().next_multiple_of(4), 0);
}
