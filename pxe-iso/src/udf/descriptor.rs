//! Descriptors of the volume: anchor, primary volume, partition, logical volume, file set
//! (ECMA-167 part 3 section 10, part 4 section 14.1).

use pxe_tree::Timestamp;

use super::address::{BlockAddress, VolumeExtent};
use super::characters::decode_dstring;
use super::fault::Fault;
use super::fields::Fields;
use super::tag::{self, Tag};
use super::timestamp::{self, TIMESTAMP_LEN};
use crate::{Damage, Unsupported};

/// The anchor: where the two copies of the volume descriptor sequence lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Anchor {
    pub(super) main: VolumeExtent,
    pub(super) reserve: VolumeExtent,
}

impl Anchor {
    /// The anchor in this sector.
    pub(super) fn parse(bytes: &[u8], sector: u32) -> Result<Self, Damage> {
        Tag::expect(bytes, tag::ANCHOR, sector)?;
        let fields = Fields::new(bytes);
        Ok(Self {
            main: VolumeExtent::parse(fields, 16)?,
            reserve: VolumeExtent::parse(fields, 24)?,
        })
    }
}

/// What identifies the volume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PrimaryVolume {
    pub(super) sequence_number: u32,
    pub(super) identifier: String,
    pub(super) set_identifier: String,
    pub(super) recorded: Option<Timestamp>,
}

impl PrimaryVolume {
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, Damage> {
        let fields = Fields::new(bytes);
        Ok(Self {
            sequence_number: fields.u32(16)?,
            // Names are for people: what does not decode is no reason to refuse the volume.
            identifier: decode_dstring(fields.slice(24, 32)?).unwrap_or_default(),
            set_identifier: decode_dstring(fields.slice(72, 128)?).unwrap_or_default(),
            recorded: timestamp::parse(fields.slice(376, TIMESTAMP_LEN)?),
        })
    }
}

/// Where a partition lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Partition {
    pub(super) sequence_number: u32,
    pub(super) number: u16,
    /// The first sector.
    pub(super) start: u32,
    /// Sectors.
    pub(super) len: u32,
}

impl Partition {
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, Damage> {
        let fields = Fields::new(bytes);
        Ok(Self {
            sequence_number: fields.u32(16)?,
            number: fields.u16(22)?,
            start: fields.u32(188)?,
            len: fields.u32(192)?,
        })
    }
}

/// The file system's own volume: the size of its blocks, its partitions, its file set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct LogicalVolume {
    pub(super) sequence_number: u32,
    pub(super) identifier: String,
    /// Bytes of a logical block.
    pub(super) block_size: u32,
    /// The revision of UDF, as it is written: 0x0102, 0x0201.
    pub(super) revision: u16,
    pub(super) file_set: BlockAddress,
    /// The partition number of each map, in the order in which addresses refer to them.
    pub(super) partition_numbers: Vec<u16>,
}

/// Partition maps of a volume: UDF has one or two.
const PARTITION_MAPS_MAX: u32 = 16;

impl LogicalVolume {
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, Fault> {
        let fields = Fields::new(bytes);
        // An entity identifier: flags, 23 characters, and the revision in the suffix (UDF 2.01
        // section 2.1.5.3).
        let revision = fields.u16(216 + 24)?;
        let maps_count = fields.u32(268)?;
        if maps_count > PARTITION_MAPS_MAX {
            return Err(Damage::Malformed.into());
        }
        let mut maps = fields.slice(440, fields.len(264)?)?;
        let mut partition_numbers = Vec::new();
        for _ in 0..maps_count {
            let (number, rest) = partition_map(maps, revision)?;
            partition_numbers.push(number);
            maps = rest;
        }
        Ok(Self {
            sequence_number: fields.u32(16)?,
            identifier: decode_dstring(fields.slice(84, 128)?).unwrap_or_default(),
            block_size: fields.u32(212)?,
            revision,
            file_set: BlockAddress::parse(fields, 248 + 4)?,
            partition_numbers,
        })
    }
}

/// The partition that the first of these maps names, and the maps after it (ECMA-167 part 3
/// section 10.7, UDF 2.01 section 2.2.8).
fn partition_map(maps: &[u8], revision: u16) -> Result<(u16, &[u8]), Fault> {
    let fields = Fields::new(maps);
    let len = usize::from(fields.u8(1)?);
    let map = Fields::new(fields.slice(0, len)?);
    match (map.u8(0)?, len) {
        (1, 6) => Ok((map.u16(4)?, maps.get(len..).unwrap_or(&[]))),
        (2, 64) => {
            let identifier = map.slice(5, 23)?;
            let is = |name: &[u8]| identifier.starts_with(name);
            Err(Fault::Unsupported(match () {
                // UDF 2.50 section 2.2.10.
                () if is(b"*UDF Metadata Partition") => Unsupported::UdfRevision(revision),
                () if is(b"*UDF Virtual Partition") => Unsupported::Udf("a virtual partition"),
                () if is(b"*UDF Sparable Partition") => Unsupported::Udf("a sparable partition"),
                () => UNKNOWN_PARTITION,
            }))
        }
        _ => Err(UNKNOWN_PARTITION.into()),
    }
}

const UNKNOWN_PARTITION: Unsupported = Unsupported::Udf("an unknown kind of partition");

/// The file set: where the root directory is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct FileSet {
    pub(super) root: BlockAddress,
}

impl FileSet {
    /// The file set in this block of its partition.
    pub(super) fn parse(bytes: &[u8], block: u32) -> Result<Self, Damage> {
        Tag::expect(bytes, tag::FILE_SET, block)?;
        let fields = Fields::new(bytes);
        if fields.u32(400)? == 0 {
            return Err(Damage::Malformed);
        }
        Ok(Self {
            root: BlockAddress::parse(fields, 400 + 4)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn type_2(identifier: &[u8]) -> Vec<u8> {
        let mut map = vec![0; 64];
        map[0] = 2;
        map[1] = 64;
        map[5..5 + identifier.len()].copy_from_slice(identifier);
        map
    }

    #[test]
    fn maps_of_type_1_name_their_partition() {
        let maps = [1, 6, 1, 0, 5, 0, 1, 6, 1, 0, 7, 0];
        let (first, rest) = partition_map(&maps, 0x102).expect("a map");
        assert_eq!(first, 5);
        assert_eq!(partition_map(rest, 0x102), Ok((7, &[][..])));
    }

    #[test]
    fn other_partitions_are_refused_by_name() {
        for (identifier, why) in [
            (
                &b"*UDF Virtual Partition"[..],
                Unsupported::Udf("a virtual partition"),
            ),
            (
                b"*UDF Sparable Partition",
                Unsupported::Udf("a sparable partition"),
            ),
            (b"*UDF Metadata Partition", Unsupported::UdfRevision(0x250)),
            (b"*Other", UNKNOWN_PARTITION),
        ] {
            let refused = partition_map(&type_2(identifier), 0x250).map(|(number, _)| number);
            assert_eq!(refused, Err(why.into()));
        }
        assert_eq!(partition_map(&[3, 2], 0), Err(UNKNOWN_PARTITION.into()));
        let short = Err(Fault::from(Damage::TooShort));
        for maps in [&[1, 0, 0, 0, 0, 0][..], &[1, 6, 1], &[]] {
            assert_eq!(partition_map(maps, 0), short);
        }
    }
}
