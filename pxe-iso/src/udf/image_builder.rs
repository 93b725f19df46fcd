//! Builds the structures of UDF for tests and for the fuzz body, and images of them.

use super::tag::{self, crc};

/// A descriptor with a right tag: `body` is what follows the tag.
pub(crate) fn tagged(identifier: u16, location: u32, body: &[u8]) -> Vec<u8> {
    let crc_len = u16::try_from(body.len()).expect("descriptors are short");
    let mut bytes = identifier.to_le_bytes().to_vec();
    bytes.extend([2, 0, 0, 0, 0, 0]);
    bytes.extend(crc(body).to_le_bytes());
    bytes.extend(crc_len.to_le_bytes());
    bytes.extend(location.to_le_bytes());
    bytes[4] = bytes
        .iter()
        .fold(0, |sum: u8, byte| sum.wrapping_add(*byte));
    bytes.extend_from_slice(body);
    bytes
}

/// A file entry to be.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) file_type: u8,
    pub(crate) strategy: u16,
    pub(crate) flags: u16,
    pub(crate) permissions: u32,
    pub(crate) uid: u32,
    pub(crate) len: u64,
    pub(crate) attributes: Vec<u8>,
    /// Allocation descriptors, or the content itself.
    pub(crate) content: Vec<u8>,
}

impl Entry {
    /// An entry with its content in it.
    pub(crate) fn embedded(file_type: u8, content: &[u8]) -> Self {
        Self {
            file_type,
            strategy: 4,
            flags: 3,
            permissions: 0,
            uid: 1000,
            len: content.len() as u64,
            attributes: Vec::new(),
            content: content.to_vec(),
        }
        .with_form(3)
    }

    /// An entry whose content lies where these short allocation descriptors say.
    pub(crate) fn short(file_type: u8, len: u64, descriptors: &[(u32, u32)]) -> Self {
        let words = descriptors.iter().flat_map(|(len, block)| [len, block]);
        Self {
            len,
            content: words.flat_map(|word| word.to_le_bytes()).collect(),
            ..Self::embedded(file_type, b"")
        }
        .with_form(0)
    }

    fn with_form(mut self, form: u16) -> Self {
        self.flags = self.flags & !7 | form;
        self
    }

    fn head(&self) -> Vec<u8> {
        let mut body = vec![0; 4];
        body.extend(self.strategy.to_le_bytes());
        body.extend([0, 0, 1, 0, 0, self.file_type, 0, 0, 0, 0, 0, 0]);
        body.extend(self.flags.to_le_bytes());
        for word in [self.uid, 0, self.permissions] {
            body.extend(word.to_le_bytes());
        }
        body.extend([1, 0, 0, 0, 0, 0, 0, 0]);
        body.extend(self.len.to_le_bytes());
        body
    }

    fn tail(&self, body: &mut Vec<u8>) {
        for part in [&self.attributes, &self.content] {
            let len = u32::try_from(part.len()).expect("short");
            body.extend(len.to_le_bytes());
        }
        body.extend_from_slice(&self.attributes);
        body.extend_from_slice(&self.content);
    }

    /// As a file entry that lies in this block.
    pub(crate) fn file_entry(&self, block: u32) -> Vec<u8> {
        let mut body = self.head();
        body.extend(1_u64.to_le_bytes());
        for day in [2, 3, 4] {
            body.extend(time(day));
        }
        body.resize(168 - 16, 0);
        self.tail(&mut body);
        tagged(tag::FILE_ENTRY, block, &body)
    }

    /// As an extended file entry that lies in this block.
    pub(crate) fn extended_file_entry(&self, block: u32) -> Vec<u8> {
        let mut body = self.head();
        body.extend(self.len.to_le_bytes());
        body.extend(1_u64.to_le_bytes());
        for day in [2, 3, 9, 4] {
            body.extend(time(day));
        }
        body.resize(208 - 16, 0);
        self.tail(&mut body);
        tagged(tag::EXTENDED_FILE_ENTRY, block, &body)
    }
}

/// A day of January 1970, in UTC.
fn time(day: u8) -> [u8; 12] {
    [0, 0x10, 0xb2, 0x07, 1, day, 0, 0, 0, 0, 0, 0]
}

/// A file identifier descriptor.
pub(crate) fn identifier(characteristics: u8, block: u32, name: &[u8]) -> Vec<u8> {
    let mut body = vec![1, 0, characteristics];
    body.push(u8::try_from(name.len()).expect("short"));
    body.extend(2048_u32.to_le_bytes());
    body.extend(block.to_le_bytes());
    body.extend([0; 8 + 2]);
    body.extend_from_slice(name);
    body.resize(body.len().next_multiple_of(4), 0);
    tagged(tag::FILE_IDENTIFIER, 0, &body)
}

/// An image with one partition, whose blocks are put in by number.
#[derive(Debug, Clone)]
pub(crate) struct ImageBuilder {
    block_size: usize,
    /// The blocks of the partition; 0 is the file set's, 1 the root's.
    blocks: Vec<Vec<u8>>,
    partition_map: Vec<u8>,
    revision: u16,
}

/// The block of the file set.
pub(crate) const FILE_SET_BLOCK: u32 = 0;
/// The block of the root directory's file entry.
pub(crate) const ROOT_BLOCK: u32 = 1;
/// The first sector of the main and of the reserve volume descriptor sequence.
pub(crate) const SEQUENCE_SECTORS: [u32; 2] = [240, 246];
const SEQUENCE_LEN: u32 = 6;
/// Where the first anchor lies.
pub(crate) const ANCHOR_SECTOR: u32 = 256;
/// The first sector of the partition.
pub(crate) const PARTITION_SECTOR: u32 = 257;

impl ImageBuilder {
    pub(crate) fn new(block_size: usize) -> Self {
        let mut builder = Self {
            block_size,
            blocks: Vec::new(),
            partition_map: vec![1, 6, 1, 0, 7, 0],
            revision: 0x0102,
        };
        let mut file_set = vec![0; 512 - 16];
        file_set[400 - 16..404 - 16].copy_from_slice(&2048_u32.to_le_bytes());
        file_set[404 - 16..408 - 16].copy_from_slice(&ROOT_BLOCK.to_le_bytes());
        builder.put(
            FILE_SET_BLOCK,
            tagged(tag::FILE_SET, FILE_SET_BLOCK, &file_set),
        );
        builder.put(ROOT_BLOCK, Vec::new());
        builder
    }

    #[cfg(test)]
    /// Another partition map, in a volume of this revision.
    pub(crate) fn with_partition_map(mut self, map: Vec<u8>, revision: u16) -> Self {
        self.partition_map = map;
        self.revision = revision;
        self
    }

    /// Puts bytes at a block and, if they are more, the following ones.
    pub(crate) fn put(&mut self, block: u32, bytes: impl AsRef<[u8]>) {
        let (block, bytes) = (block as usize, bytes.as_ref());
        let count = bytes.len().div_ceil(self.block_size).max(1);
        if self.blocks.len() < block + count {
            self.blocks.resize(block + count, Vec::new());
        }
        for (at, piece) in bytes.chunks(self.block_size).enumerate() {
            self.blocks[block + at] = piece.to_vec();
        }
    }

    /// A directory with its entries in it, beginning with its parent.
    pub(crate) fn put_directory(&mut self, block: u32, parent: u32, children: &[(&str, u32)]) {
        let mut content = identifier(1 << 3, parent, b"");
        for (name, child) in children {
            let name = [b"\x08", name.as_bytes()].concat();
            content.extend(identifier(0, *child, &name));
        }
        self.put(block, Entry::embedded(4, &content).file_entry(block));
    }

    /// The image.
    pub(crate) fn build(&self) -> Vec<u8> {
        let mut image = Vec::new();
        for identifier in [b"BEA01", b"NSR02", b"TEA01"] {
            let step = self.block_size.max(2048);
            let at = 32_768 + step * image.len().saturating_sub(32_768).div_ceil(step);
            image.resize(at + 1, 0);
            image.extend_from_slice(identifier);
        }
        for first in SEQUENCE_SECTORS {
            for (at, descriptor) in (first..).zip(self.descriptors(first)) {
                self.place(&mut image, at, &descriptor);
            }
        }
        let anchor = |sector| {
            let len = SEQUENCE_LEN * u32::try_from(self.block_size).expect("small");
            let words = [len, SEQUENCE_SECTORS[0], len, SEQUENCE_SECTORS[1]];
            let body: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
            tagged(tag::ANCHOR, sector, &body)
        };
        self.place(&mut image, ANCHOR_SECTOR, &anchor(ANCHOR_SECTOR));
        for (at, block) in (PARTITION_SECTOR..).zip(&self.blocks) {
            self.place(&mut image, at, block);
        }
        let last = PARTITION_SECTOR + self.blocks_count();
        self.place(&mut image, last, &anchor(last));
        image
    }

    fn blocks_count(&self) -> u32 {
        u32::try_from(self.blocks.len()).expect("few")
    }

    fn place(&self, image: &mut Vec<u8>, sector: u32, bytes: &[u8]) {
        let at = sector as usize * self.block_size;
        image.resize(image.len().max(at + self.block_size), 0);
        image[at..at + bytes.len()].copy_from_slice(bytes);
    }

    fn descriptors(&self, first: u32) -> [Vec<u8>; 4] {
        let mut primary = vec![0; 512 - 16];
        primary[24 - 16..32 - 16].copy_from_slice(b"\x08PRIMARY");
        primary[55 - 16] = 8;
        let mut partition = vec![0; 512 - 16];
        partition[22 - 16] = 7;
        partition[188 - 16..192 - 16].copy_from_slice(&PARTITION_SECTOR.to_le_bytes());
        partition[192 - 16..196 - 16].copy_from_slice(&self.blocks_count().to_le_bytes());
        let mut logical = vec![0; 440 - 16];
        logical[84 - 16..92 - 16].copy_from_slice(b"\x08LOGICAL");
        logical[211 - 16] = 8;
        let size = u32::try_from(self.block_size).expect("small");
        logical[212 - 16..216 - 16].copy_from_slice(&size.to_le_bytes());
        logical[240 - 16..242 - 16].copy_from_slice(&self.revision.to_le_bytes());
        logical[252 - 16..256 - 16].copy_from_slice(&FILE_SET_BLOCK.to_le_bytes());
        logical[264 - 16] = u8::try_from(self.partition_map.len()).expect("short");
        logical[268 - 16] = 1;
        logical.extend_from_slice(&self.partition_map);
        [
            tagged(tag::PRIMARY_VOLUME, first, &primary),
            tagged(tag::PARTITION, first + 1, &partition),
            tagged(tag::LOGICAL_VOLUME, first + 2, &logical),
            tagged(tag::TERMINATING, first + 3, &[0; 512 - 16]),
        ]
    }
}

/// Makes the tag at the start of this block right again: its checksum and its CRC, over what it
/// says that is covered or all of it.
pub(crate) fn sign(block: &mut [u8]) {
    let Some((head, body)) = block.split_at_mut_checked(tag::TAG_LEN) else {
        return;
    };
    let said = usize::from(u16::from_le_bytes([head[10], head[11]]));
    let covered = body.get(..said).unwrap_or(body);
    head[8..10].copy_from_slice(&crc(covered).to_le_bytes());
    let len = u16::try_from(covered.len()).unwrap_or(0);
    head[10..12].copy_from_slice(&len.to_le_bytes());
    head[4] = 0;
    head[4] = head.iter().fold(0, |sum: u8, byte| sum.wrapping_add(*byte));
}
