//! Fills a volume that mkudffs made. Linux could do that, if every machine's kernel had UDF and
//! loop devices; wrudf writes to volumes of discs only. So it is done here: new entries are copies
//! of the root's own one, with other sizes, kinds and places, and 7z says whether they are right.

use std::fs;
use std::path::Path;

const PARTITION: u16 = 5;
const FILE_SET: u16 = 256;
const FILE_IDENTIFIER: u16 = 257;
const EXTENDED_FILE_ENTRY: u16 = 266;
const TAG_LEN: usize = 16;

const DIRECTORY: u8 = 4;
const FILE: u8 = 5;

/// The first block that is filled: far behind what mkudffs uses.
const FIRST_BLOCK: u32 = 1000;

/// Where a file's content lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// In so many extents, the later ones before the earlier ones.
    Short(usize),
    /// The same, each with its partition.
    Long(usize),
    /// In the entry itself.
    Embedded,
}

/// A file or a directory that was written: the block of its entry.
#[derive(Debug, Clone, Copy)]
pub(super) struct Written {
    block: u32,
    kind: u8,
}

#[derive(Debug)]
pub(super) struct Volume {
    image: Vec<u8>,
    block_size: usize,
    /// Where the partition begins in the image, in bytes.
    start: usize,
    root: u32,
    next: u32,
}

impl Volume {
    pub(super) fn open(path: &Path, block_size: usize) -> Result<Self, String> {
        let image = fs::read(path).map_err(|error| error.to_string())?;
        let descriptor = |tag: u16| {
            let mut blocks = image.chunks(block_size);
            blocks.find(|block| block[..2] == tag.to_le_bytes() && block[5] == 0)
        };
        let partition = descriptor(PARTITION).ok_or("no partition")?;
        let start = u32_at(partition, 188) as usize * block_size;
        let file_set = descriptor(FILE_SET).ok_or("no file set")?;
        let root = u32_at(file_set, 404);
        Ok(Self {
            block_size,
            start,
            root,
            next: FIRST_BLOCK,
            image,
        })
    }

    pub(super) fn save(&self, path: &Path) -> Result<(), String> {
        fs::write(path, &self.image).map_err(|error| error.to_string())
    }

    fn block_mut(&mut self, block: u32) -> &mut [u8] {
        let start = self.start + block as usize * self.block_size;
        &mut self.image[start..]
    }

    fn take_blocks(&mut self, count: usize) -> u32 {
        let first = self.next;
        self.next += u32::try_from(count).unwrap_or(0);
        first
    }

    pub(super) fn file(&mut self, content: &[u8], form: Form) -> Written {
        let block = self.take_blocks(1);
        self.write(block, FILE, content, form);
        Written { block, kind: FILE }
    }

    /// A directory of the root's, whose place is known before it is filled.
    pub(super) fn directory(&mut self, children: &[(&str, Written)]) -> Written {
        let block = self.take_blocks(1);
        self.fill_directory(block, children);
        let kind = DIRECTORY;
        Written { block, kind }
    }

    pub(super) fn fill_root(&mut self, children: &[(&str, Written)]) {
        self.fill_directory(self.root, children);
    }

    fn fill_directory(&mut self, block: u32, children: &[(&str, Written)]) {
        let mut content = self.identifier(1 << 3 | 1 << 1, self.root, &[]);
        for (name, child) in children {
            let is_directory = child.kind == DIRECTORY;
            content.extend(self.identifier(
                u8::from(is_directory) << 1,
                child.block,
                &compressed(name),
            ));
        }
        self.write(block, DIRECTORY, &content, Form::Short(2));
    }

    /// A file identifier descriptor (ECMA-167 part 4 section 14.4).
    fn identifier(&self, characteristics: u8, block: u32, name: &[u8]) -> Vec<u8> {
        let mut made = vec![0; 38];
        made[..2].copy_from_slice(&FILE_IDENTIFIER.to_le_bytes());
        made[2] = 2;
        made[16] = 1;
        made[18] = characteristics;
        made[19] = u8::try_from(name.len()).unwrap_or(0);
        let entry_len = u32::try_from(self.block_size).unwrap_or(0);
        made[20..24].copy_from_slice(&entry_len.to_le_bytes());
        made[24..28].copy_from_slice(&block.to_le_bytes());
        made.extend(name);
        made.resize(made.len().next_multiple_of(4), 0);
        sign(&mut made, 0);
        made
    }

    /// Writes content and its entry.
    fn write(&mut self, at: u32, kind: u8, content: &[u8], form: Form) {
        let (form_bits, place) = match form {
            Form::Short(extents) => (0, self.allocate(content, extents, 8)),
            Form::Long(extents) => (1, self.allocate(content, extents, 16)),
            Form::Embedded => (3, content.to_vec()),
        };
        let block_size = self.block_size;
        let mut entry = self.block_mut(self.root)[..block_size].to_vec();
        let fixed_len = match u16::from_le_bytes([entry[0], entry[1]]) {
            EXTENDED_FILE_ENTRY => {
                entry[64..72].copy_from_slice(&(content.len() as u64).to_le_bytes());
                216
            }
            _ => 176,
        };
        entry[16 + 11] = kind;
        entry[16 + 18] = entry[16 + 18] & !7 | form_bits;
        entry[56..64].copy_from_slice(&(content.len() as u64).to_le_bytes());
        entry.truncate(fixed_len);
        entry[fixed_len - 8..].fill(0);
        let len = u32::try_from(place.len()).unwrap_or(0);
        entry[fixed_len - 4..].copy_from_slice(&len.to_le_bytes());
        entry.extend(place);
        sign(&mut entry, at);
        self.block_mut(at)[..entry.len()].copy_from_slice(&entry);
    }

    /// Puts content into so many extents, and returns their descriptors.
    fn allocate(&mut self, content: &[u8], extents: usize, descriptor_len: usize) -> Vec<u8> {
        let blocks = content.len().div_ceil(self.block_size);
        let per_extent = blocks.div_ceil(extents).max(1);
        let first = self.take_blocks(blocks);
        let mut end = first + u32::try_from(blocks).unwrap_or(0);
        let mut descriptors = Vec::new();
        for part in content.chunks(per_extent * self.block_size) {
            end -= u32::try_from(part.len().div_ceil(self.block_size)).unwrap_or(0);
            self.block_mut(end)[..part.len()].copy_from_slice(part);
            let len = u32::try_from(part.len()).unwrap_or(0);
            let mut descriptor = [len.to_le_bytes(), end.to_le_bytes()].concat();
            descriptor.resize(descriptor_len, 0);
            descriptors.extend(descriptor);
        }
        descriptors
    }
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

/// OSTA compressed unicode (UDF 2.01 section 2.1.1).
fn compressed(name: &str) -> Vec<u8> {
    let small: Option<Vec<u8>> = name.chars().map(|c| u8::try_from(c).ok()).collect();
    match small {
        Some(bytes) => [&[8], &bytes[..]].concat(),
        None => [16]
            .into_iter()
            .chain(name.encode_utf16().flat_map(u16::to_be_bytes))
            .collect(),
    }
}

/// Fills in the tag: location, CRC, checksum (ECMA-167 part 3 section 7.2).
fn sign(descriptor: &mut [u8], location: u32) {
    let (tag, body) = descriptor.split_at_mut(TAG_LEN);
    let mut crc = 0_u16;
    for byte in body.iter() {
        crc ^= u16::from(*byte) << 8;
        for _ in 0..8 {
            crc = crc << 1 ^ if crc & 0x8000 == 0 { 0 } else { 0x1021 };
        }
    }
    let len = u16::try_from(body.len()).unwrap_or(0);
    tag[8..10].copy_from_slice(&crc.to_le_bytes());
    tag[10..12].copy_from_slice(&len.to_le_bytes());
    tag[12..16].copy_from_slice(&location.to_le_bytes());
    tag[4] = 0;
    tag[4] = tag.iter().fold(0, |sum: u8, byte| sum.wrapping_add(*byte));
}
