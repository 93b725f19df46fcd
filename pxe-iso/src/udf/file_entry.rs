//! File entries: what is known of a file, and where its content lies (ECMA-167 part 4 sections
//! 14.6, 14.9 and 14.17).

use std::ops::Range;

use pxe_tree::{NodeKind, Timestamp};

use super::allocation::Form;
use super::extended_attribute;
use super::fault::Fault;
use super::fields::Fields;
use super::tag::{self, Tag};
use super::timestamp::{self, TIMESTAMP_LEN};
use crate::{Damage, Unsupported};

/// A file entry or an extended file entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct FileEntry {
    pub(super) kind: NodeKind,
    /// Bytes of content (`Information Length`).
    pub(super) len: u64,
    /// Blocks that are recorded for the content.
    pub(super) blocks: u64,
    pub(super) mode: u32,
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) nlink: u32,
    /// Major and minor number of a device.
    pub(super) device: (u32, u32),
    pub(super) accessed: Option<Timestamp>,
    pub(super) modified: Option<Timestamp>,
    pub(super) changed: Option<Timestamp>,
    pub(super) content: EntryContent,
}

/// Where the content of a file lies, as offsets in its entry's block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum EntryContent {
    /// In the entry itself.
    Embedded(Range<usize>),
    /// Where allocation descriptors say, which lie in the entry.
    Allocated(Form, Range<usize>),
    /// It is not read.
    Refused(Unsupported),
}

/// Owner and group that no one has (UDF 2.01 section 3.3.3.1).
const NO_OWNER: u32 = u32::MAX;

impl FileEntry {
    /// The entry in this block, which says that it is the block `block` of its partition.
    pub(super) fn parse(bytes: &[u8], block: u32) -> Result<Self, Fault> {
        let found = Tag::parse(bytes)?;
        if found.location != block {
            return Err(Damage::Tag.into());
        }
        // Where the fields after the information length begin, and those after the times.
        let (blocks_at, times_at, changed_at, ends_at) = match found.identifier {
            tag::FILE_ENTRY => (64, 72, 96, 168),
            tag::EXTENDED_FILE_ENTRY => (72, 80, 116, 208),
            _ => return Err(Damage::Tag.into()),
        };
        let fields = Fields::new(bytes);
        let time = |at| Ok::<_, Damage>(timestamp::parse(fields.slice(at, TIMESTAMP_LEN)?));
        let flags = fields.u16(16 + 18)?;
        let kind = kind(fields.u8(16 + 11)?)?;

        let attributes_len = fields.len(ends_at)?;
        let attributes = fields.slice(ends_at + 8, attributes_len)?;
        let content_at = ends_at + 8 + attributes_len;
        let content_len = fields.len(ends_at + 4)?;
        let content_end = content_at + fields.slice(content_at, content_len)?.len();
        let len = fields.u64(56)?;
        let content = content(fields.u16(16 + 4)?, flags, content_at..content_end, len)?;

        let owner = |number| if number == NO_OWNER { 0 } else { number };
        let device = match kind {
            NodeKind::BlockDevice | NodeKind::CharDevice => {
                extended_attribute::device(attributes)?.unwrap_or_default()
            }
            _ => (0, 0),
        };
        Ok(Self {
            kind,
            len,
            blocks: fields.u64(blocks_at)?,
            mode: mode(fields.u32(44)?, flags),
            uid: owner(fields.u32(36)?),
            gid: owner(fields.u32(40)?),
            nlink: u32::from(fields.u16(48)?).max(1),
            device,
            accessed: time(times_at)?,
            modified: time(times_at + TIMESTAMP_LEN)?,
            changed: time(changed_at)?,
            content,
        })
    }
}

/// The kind of a node by the file type of its ICB (ECMA-167 part 4 section 14.6.6, UDF 2.01
/// section 2.3.5.2).
fn kind(file_type: u8) -> Result<NodeKind, Fault> {
    Ok(match file_type {
        4 => NodeKind::Directory,
        // 0 is a file of unspecified meaning, as UDF 1.50 has its tables; 249 a real-time file.
        0 | 5 | 249 => NodeKind::File,
        6 => NodeKind::BlockDevice,
        7 => NodeKind::CharDevice,
        9 => NodeKind::Fifo,
        10 => NodeKind::Socket,
        12 => NodeKind::Link,
        // An indirect entry belongs to strategy 4096.
        3 => return Err(Unsupported::Udf(STRATEGY_4096).into()),
        _ => return Err(Damage::Malformed.into()),
    })
}

const STRATEGY_4096: &str = "an ICB of strategy 4096";

/// Where the content lies, by the strategy and the flags of the ICB (ECMA-167 part 4 sections
/// 14.6.2 and 14.6.8).
fn content(
    strategy: u16,
    flags: u16,
    place: Range<usize>,
    len: u64,
) -> Result<EntryContent, Damage> {
    const TRANSFORMED: u16 = 1 << 11;
    match strategy {
        4 => {}
        4096 => return Ok(EntryContent::Refused(Unsupported::Udf(STRATEGY_4096))),
        _ => {
            return Ok(EntryContent::Refused(Unsupported::Udf(
                "an ICB strategy other than 4",
            )));
        }
    }
    if flags & TRANSFORMED != 0 {
        return Ok(EntryContent::Refused(Unsupported::Udf(
            "a transformed file",
        )));
    }
    match flags & 7 {
        0 => Ok(EntryContent::Allocated(Form::Short, place)),
        1 => Ok(EntryContent::Allocated(Form::Long, place)),
        2 => Ok(EntryContent::Allocated(Form::Extended, place)),
        3 => match usize::try_from(len) {
            Ok(len) if len <= place.len() => {
                Ok(EntryContent::Embedded(place.start..place.start + len))
            }
            _ => Err(Damage::TooShort),
        },
        _ => Err(Damage::Malformed),
    }
}

/// Unix permission bits: UDF has five for each of others, group and owner, from the lowest on:
/// execute, write, read, and two that Unix does not know (ECMA-167 part 4 section 14.9.5). The
/// flags of the ICB have the rest.
fn mode(permissions: u32, flags: u16) -> u32 {
    let class = |shift: u32| permissions >> shift & 7;
    let flag = |bit: u16, mode: u32| if flags & 1 << bit == 0 { 0 } else { mode };
    class(10) << 6 | class(5) << 3 | class(0) | flag(6, 0o4000) | flag(7, 0o2000) | flag(8, 0o1000)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::udf::image_builder::Entry;

    #[test]
    fn both_kinds_of_entries_are_read_alike() {
        let entry = Entry {
            permissions: 0b00101_00101_00111,
            flags: 1 << 6 | 3,
            ..Entry::embedded(5, b"content")
        };
        let plain = FileEntry::parse(&entry.file_entry(9), 9).expect("an entry");
        assert_eq!(plain.kind, NodeKind::File);
        assert_eq!((plain.len, plain.mode), (7, 0o4557));
        assert_eq!((plain.uid, plain.gid, plain.nlink), (1000, 0, 1));
        let seconds = |time: Option<Timestamp>| time.expect("a time").seconds;
        assert_eq!(seconds(plain.accessed), 86_400);
        assert_eq!(seconds(plain.modified), 2 * 86_400);
        assert_eq!(seconds(plain.changed), 3 * 86_400);
        assert_eq!(plain.content, EntryContent::Embedded(176..183));
        let extended = FileEntry::parse(&entry.extended_file_entry(9), 9).expect("an entry");
        let content = EntryContent::Embedded(216..223);
        assert_eq!(extended, FileEntry { content, ..plain });
    }

    #[test]
    fn an_entry_lies_where_it_says_and_is_no_longer_than_its_block() {
        let entry = Entry::embedded(5, b"content");
        let good = entry.file_entry(9);
        assert_eq!(FileEntry::parse(&good, 8), Err(Damage::Tag.into()));
        for len in 0..good.len() {
            assert_eq!(
                FileEntry::parse(&good[..len], 9),
                Err(Damage::TooShort.into())
            );
        }
        let longer = Entry { len: 8, ..entry }.file_entry(9);
        assert_eq!(FileEntry::parse(&longer, 9), Err(Damage::TooShort.into()));
    }

    #[test]
    fn what_is_not_read_is_refused_by_name() {
        let content = |entry: Entry| FileEntry::parse(&entry.file_entry(9), 9);
        let of = |found: Result<FileEntry, Fault>| found.expect("an entry").content;
        let file = || Entry::embedded(5, b"");
        let refused = |name| EntryContent::Refused(Unsupported::Udf(name));
        let strategy_4096 = of(content(Entry {
            strategy: 4096,
            ..file()
        }));
        assert_eq!(strategy_4096, refused(STRATEGY_4096));
        let strategy_1 = of(content(Entry {
            strategy: 1,
            ..file()
        }));
        assert_eq!(strategy_1, refused("an ICB strategy other than 4"));
        let transformed = of(content(Entry {
            flags: 1 << 11,
            ..file()
        }));
        assert_eq!(transformed, refused("a transformed file"));
        let indirect = content(Entry {
            file_type: 3,
            ..file()
        });
        assert_eq!(indirect, Err(Unsupported::Udf(STRATEGY_4096).into()));
        let unknown = content(Entry {
            file_type: 200,
            ..file()
        });
        assert_eq!(unknown, Err(Damage::Malformed.into()));
    }

    #[test]
    fn devices_have_numbers_and_nobody_is_root() {
        let mut attributes = vec![0; 24];
        for word in [12_u32, 1, 24, 0, 8, 1] {
            attributes.extend(word.to_le_bytes());
        }
        let entry = Entry {
            attributes,
            uid: u32::MAX,
            ..Entry::embedded(6, b"")
        };
        let found = FileEntry::parse(&entry.file_entry(9), 9).expect("an entry");
        assert_eq!((found.kind, found.device), (NodeKind::BlockDevice, (8, 1)));
        assert_eq!(found.uid, 0);
    }
}
