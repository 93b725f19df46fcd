//! Rock Ridge (IEEE P1282, RRIP 1.12; and 1991A, the older one).

use pxe_tree::{Attributes, NodeKind, Timestamp};

use super::field::{byte, date7, date17, le32, part};
use super::system_use::{Continuation, SystemUses};
use crate::{Damage, Limits, Unsupported};

const CONTINUE: u8 = 1;
const CURRENT: u8 = 2;
const PARENT: u8 = 4;
const ROOT: u8 = 8;

/// What Rock Ridge says about one directory record, collected from its areas.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct RockRidge {
    /// `NM`: the name, if there is one.
    pub(super) name: Option<Vec<u8>>,
    /// `PX`.
    posix: Option<Posix>,
    /// `PN`: major and minor number.
    device: Option<(u32, u32)>,
    /// `SL`: the target of a symbolic link.
    pub(super) target: Option<Vec<u8>>,
    /// The next component of the target has a slash before it.
    wants_slash: bool,
    /// `TF`.
    modified: Option<Timestamp>,
    accessed: Option<Timestamp>,
    changed: Option<Timestamp>,
    /// `CL`: the block of a directory that was moved because it lies too deep.
    pub(super) child: Option<u32>,
    /// `PL`: the block of the directory above a moved one.
    pub(super) parent: Option<u32>,
    /// `RE`: this record is the moved directory, and is not shown here.
    pub(super) is_relocated: bool,
    /// `SF` or `ZF`.
    pub(super) refused: Option<Unsupported>,
    /// `ZF`: bytes of the content once it is expanded.
    pub(super) expanded_len: Option<u32>,
    /// `ER` with an identifier of Rock Ridge, or any entry that only Rock Ridge has.
    pub(super) is_there: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Posix {
    mode: u32,
    nlink: u32,
    uid: u32,
    gid: u32,
}

impl RockRidge {
    /// Adds what an area says, and returns where it goes on.
    ///
    /// # Errors
    /// `TooShort` if an entry is shorter than its fields, `Limit` for a target that is too long.
    pub(super) fn add(
        &mut self,
        area: &[u8],
        limits: &Limits,
    ) -> Result<Option<Continuation>, Damage> {
        let mut continuation = None;
        for entry in SystemUses::new(area) {
            let data = entry.data;
            self.is_there |= matches!(&entry.signature, b"PX" | b"NM" | b"SL" | b"TF" | b"RR");
            match &entry.signature {
                b"CE" => continuation = Some(Continuation::parse(data)?),
                b"ER" => self.is_there |= is_rock_ridge(data),
                b"PX" => {
                    self.posix = Some(Posix {
                        mode: le32(data, 0)?,
                        nlink: le32(data, 8)?,
                        uid: le32(data, 16)?,
                        gid: le32(data, 24)?,
                    });
                }
                b"PN" => self.device = Some(device(le32(data, 0)?, le32(data, 8)?)),
                b"NM" => self.add_name(data)?,
                b"SL" => self.add_target(data, limits)?,
                b"TF" => self.add_times(data)?,
                b"CL" => self.child = Some(le32(data, 0)?),
                b"PL" => self.parent = Some(le32(data, 0)?),
                b"RE" => self.is_relocated = true,
                b"SF" => self.refused = Some(Unsupported::SparseFile),
                b"ZF" => {
                    self.refused = Some(Unsupported::Zisofs);
                    self.expanded_len = Some(le32(data, 4)?);
                }
                _ => {}
            }
        }
        Ok(continuation)
    }

    /// `NM` (section 4.1.4): parts are joined, whether or not the flag says that more come.
    fn add_name(&mut self, data: &[u8]) -> Result<(), Damage> {
        let name = self.name.get_or_insert_default();
        match byte(data, 0)? & (CURRENT | PARENT) {
            0 => name.extend_from_slice(data.get(1..).unwrap_or_default()),
            CURRENT => name.extend_from_slice(b"."),
            _ => name.extend_from_slice(b".."),
        }
        // No tree shows such a name; more of it need not be collected.
        name.truncate(pxe_tree::Name::LEN_MAX + 1);
        Ok(())
    }

    /// `SL` (section 4.1.3): components with flags of their own, and some of them in pieces.
    fn add_target(&mut self, data: &[u8], limits: &Limits) -> Result<(), Damage> {
        let target = self.target.get_or_insert_default();
        let mut rest = data.get(1..).ok_or(Damage::TooShort)?;
        while let &[flags, len, ..] = rest {
            let content = part(rest, 2, usize::from(len))?;
            rest = rest.get(2 + usize::from(len)..).unwrap_or_default();
            if self.wants_slash {
                target.push(b'/');
            }
            match flags & (CURRENT | PARENT | ROOT) {
                CURRENT => target.push(b'.'),
                PARENT => target.extend_from_slice(b".."),
                ROOT => target.push(b'/'),
                _ => target.extend_from_slice(content),
            }
            self.wants_slash = flags & (CONTINUE | ROOT) == 0;
            if target.len() > limits.link_bytes_max {
                return Err(Damage::Limit("link_bytes_max"));
            }
        }
        Ok(())
    }

    /// `TF` (section 4.1.6): creation, modification, access, attributes, and more, in this order.
    fn add_times(&mut self, data: &[u8]) -> Result<(), Damage> {
        let flags = byte(data, 0)?;
        let is_long = flags & 0x80 != 0;
        let len = if is_long { 17 } else { 7 };
        let mut at = 1;
        for bit in 0..7 {
            if flags & (1 << bit) == 0 {
                continue;
            }
            let date = part(data, at, len)?;
            at += len;
            let date = if is_long { date17(date) } else { date7(date) };
            match bit {
                1 => self.modified = date,
                2 => self.accessed = date,
                3 => self.changed = date,
                _ => {}
            }
        }
        Ok(())
    }

    /// What sort of node a record is that is no directory.
    pub(super) fn kind(&self) -> NodeKind {
        match self.posix.map_or(0, |posix| posix.mode) & 0o170_000 {
            0o120_000 => NodeKind::Link,
            0o060_000 => NodeKind::BlockDevice,
            0o020_000 => NodeKind::CharDevice,
            0o010_000 => NodeKind::Fifo,
            0o140_000 => NodeKind::Socket,
            _ => NodeKind::File,
        }
    }

    /// Writes mode, owner, number of names, times and device numbers into a node's attributes.
    pub(super) fn apply(&self, attributes: &mut Attributes) {
        if let Some(posix) = self.posix {
            attributes.mode = posix.mode & 0o7777;
            attributes.nlink = posix.nlink.max(1);
            attributes.uid = posix.uid;
            attributes.gid = posix.gid;
        }
        if matches!(
            attributes.kind,
            NodeKind::BlockDevice | NodeKind::CharDevice
        ) {
            attributes.rdev = self.device.unwrap_or_default();
        }
        if let Some(modified) = self.modified {
            attributes.modified = modified;
            attributes.accessed = modified;
            attributes.changed = modified;
        }
        if let Some(accessed) = self.accessed {
            attributes.accessed = accessed;
        }
        if let Some(changed) = self.changed {
            attributes.changed = changed;
        }
    }
}

/// `PN` (section 4.1.2): genisoimage writes the major number into the high half and the minor one
/// into the low half. xorriso writes all of a `dev_t` into the low half, as the section has it for
/// systems with 32 bits: eight bits of the minor number, twelve of the major one, and the rest of
/// the minor one, which Linux (fs/isofs/rock.c) does not look at.
const fn device(high: u32, low: u32) -> (u32, u32) {
    if high == 0 && low > 0xff {
        (low >> 8 & 0xfff, low & 0xff | low >> 12 & 0xf_ff00)
    } else {
        (high, low)
    }
}

/// `ER` (SUSP section 5.5) with one of the identifiers that are in use.
fn is_rock_ridge(data: &[u8]) -> bool {
    let id = byte(data, 0).and_then(|len| part(data, 4, usize::from(len)));
    matches!(id, Ok(b"RRIP_1991A" | b"IEEE_P1282" | b"IEEE_1282"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn device_numbers_are_in_two_halves_or_in_the_low_one() {
        assert_eq!(device(300, 70_000), (300, 70_000), "genisoimage");
        assert_eq!(device(0, 0x1111_2c70), (300, 70_000), "xorriso");
        assert_eq!(device(0, 0x811), (8, 17));
        assert_eq!(device(0, 7), (0, 7));
    }
}
