//! Makes images for tests, those of other crates too.

use std::collections::BTreeMap;

use pxe_tree::TreePath;
use pxe_tree::conformance::{Expected, Fixture};

const BLOCK: usize = 2048;
/// Blocks before the first directory: the system's, the primary descriptor, the terminator.
const HEAD_BLOCKS: usize = 18;

fn both16(number: u16) -> Vec<u8> {
    [number.to_le_bytes(), number.to_be_bytes()].concat()
}

pub(crate) fn both32(number: u32) -> Vec<u8> {
    [number.to_le_bytes(), number.to_be_bytes()].concat()
}

/// A system use entry.
pub(crate) fn entry(signature: &[u8; 2], data: &[u8]) -> Vec<u8> {
    let len = u8::try_from(data.len() + 4).expect("short");
    [signature, &[len, 1][..], data].concat()
}

pub(crate) fn continuation(block: u32, offset: u32, len: u32) -> Vec<u8> {
    entry(b"CE", &[block, offset, len].map(both32).concat())
}

fn posix(mode: u32) -> Vec<u8> {
    entry(b"PX", &[mode, 1, 7, 8].map(both32).concat())
}

/// `NM` in pieces.
fn name(name: &[u8]) -> Vec<u8> {
    let pieces = name.chunks(200);
    let last = pieces.len() - 1;
    let piece = |(number, piece): (usize, &[u8])| {
        let goes_on = u8::from(number < last);
        entry(b"NM", &[&[goes_on][..], piece].concat())
    };
    pieces.enumerate().flat_map(piece).collect()
}

/// `SL`, each component in an entry of its own.
fn target(target: &[u8]) -> Vec<u8> {
    let (mut made, mut rest) = (Vec::new(), target);
    if let Some(below) = target.strip_prefix(b"/") {
        made.extend(entry(b"SL", &[1, 8, 0]));
        rest = below;
    }
    for component in rest.split(|byte| *byte == b'/') {
        let len = u8::try_from(component.len()).expect("short");
        made.extend(match component {
            b"." => entry(b"SL", &[1, 2, 0]),
            b".." => entry(b"SL", &[1, 4, 0]),
            _ => entry(b"SL", &[&[1, 0, len][..], component].concat()),
        });
    }
    made
}

/// A directory record, without what its area has no room for.
pub(crate) fn record(identifier: &[u8], block: u32, len: u32, flags: u8, area: &[u8]) -> Vec<u8> {
    let mut made = vec![0, 0];
    made.extend(both32(block));
    made.extend(both32(len));
    made.extend([124, 2, 29, 12, 34, 56, 0, flags, 0, 0]);
    made.extend(both16(1));
    made.push(u8::try_from(identifier.len()).expect("short"));
    made.extend(identifier);
    made.resize(made.len().next_multiple_of(2), 0);
    made.extend(area);
    made.resize(made.len().next_multiple_of(2), 0);
    made[0] = u8::try_from(made.len()).expect("an area that fits");
    made
}

/// A record of a path table.
#[cfg(test)]
pub(crate) fn path_record(block: u32, parent: u16, identifier: &[u8]) -> Vec<u8> {
    let mut made = vec![u8::try_from(identifier.len()).expect("short"), 0];
    made.extend(block.to_le_bytes());
    made.extend(parent.to_le_bytes());
    made.extend(identifier);
    made.resize(made.len().next_multiple_of(2), 0);
    made
}

/// An image that is being made.
#[derive(Debug)]
pub(crate) struct ImageBuilder {
    pub(crate) bytes: Vec<u8>,
}

impl ImageBuilder {
    pub(crate) fn new() -> Self {
        let bytes = vec![0; HEAD_BLOCKS * BLOCK];
        Self { bytes }
    }

    /// Adds these bytes at the end, and returns their block.
    pub(crate) fn add(&mut self, bytes: &[u8]) -> u32 {
        let block = u32::try_from(self.bytes.len() / BLOCK).expect("small");
        self.bytes.extend(bytes);
        self.bytes
            .resize(self.bytes.len().next_multiple_of(BLOCK), 0);
        block
    }

    /// A record whose area goes on elsewhere if it has no room.
    fn record_of(
        &mut self,
        identifier: &[u8],
        block: u32,
        len: u32,
        flags: u8,
        area: &[u8],
    ) -> Vec<u8> {
        if area.len() <= 180 {
            return record(identifier, block, len, flags, area);
        }
        // One area that leads to the next one.
        let (first, second) = area.split_at(first_entry(area));
        let second_block = self.add(second);
        let second = continuation(second_block, 0, u32::try_from(second.len()).expect("small"));
        let first = [first, &second].concat();
        let first_block = self.add(&first);
        let first = continuation(first_block, 0, u32::try_from(first.len()).expect("small"));
        record(identifier, block, len, flags, &first)
    }

    /// Writes records at a block, none over the end of a sector.
    pub(crate) fn write_records(&mut self, block: u32, records: &[Vec<u8>]) {
        let mut at = block as usize * BLOCK;
        for record in records {
            if at % BLOCK + record.len() > BLOCK {
                at = at.next_multiple_of(BLOCK);
            }
            self.bytes[at..at + record.len()].copy_from_slice(record);
            at += record.len();
        }
    }

    /// Writes the primary descriptor and the terminator.
    #[cfg(test)]
    pub(crate) fn finish(self, root: u32, root_len: u32) -> Vec<u8> {
        self.finish_named(root, root_len, "TEST")
    }

    fn finish_named(mut self, root: u32, root_len: u32, volume_id: &str) -> Vec<u8> {
        let blocks = u32::try_from(self.bytes.len() / BLOCK).expect("small");
        let mut put = |at: usize, bytes: &[u8]| {
            self.bytes[16 * BLOCK + at..][..bytes.len()].copy_from_slice(bytes);
        };
        put(0, b"\x01CD001\x01");
        assert!(volume_id.len() <= 32, "{volume_id} is too long");
        put(40, format!("{volume_id:32}").as_bytes());
        put(80, &both32(blocks));
        put(128, &both16(2048));
        put(156, &record(&[0], root, root_len, 2, &[]));
        put(813, b"2024022912345678\0");
        put(BLOCK, b"\xffCD001\x01");
        self.bytes
    }
}

fn first_entry(area: &[u8]) -> usize {
    area.get(2).map_or(0, |len| usize::from(*len))
}

/// An image of a fixture with Rock Ridge.
#[cfg(test)]
pub(crate) fn rock_ridge(fixture: &Fixture) -> Vec<u8> {
    rock_ridge_named(fixture, "TEST")
}

/// The same with a volume identifier.
pub(crate) fn rock_ridge_named(fixture: &Fixture, volume_id: &str) -> Vec<u8> {
    let mut image = ImageBuilder::new();
    let mut dirs: BTreeMap<TreePath, (u32, u32)> = BTreeMap::new();
    let below = fixture
        .entries()
        .filter(|(_, found)| **found == Expected::Directory);
    let paths = std::iter::once(TreePath::ROOT).chain(below.map(|(path, _)| path.clone()));
    for path in paths {
        let children = fixture
            .entries()
            .filter(|(child, _)| child.parent().as_ref() == Some(&path));
        let len = ((children.count() + 3) * 255).next_multiple_of(BLOCK);
        let block = image.add(&vec![0; len]);
        dirs.insert(path, (block, u32::try_from(len).expect("small")));
    }
    for (path, &(block, len)) in &dirs {
        let (above, above_len) = path.parent().map_or((block, len), |above| dirs[&above]);
        let sp = if path.is_root() {
            [entry(b"SP", &[0xbe, 0xef, 0]), er()].concat()
        } else {
            Vec::new()
        };
        let own = [sp, posix(0o040_755)].concat();
        let mut records = vec![
            image.record_of(&[0], block, len, 2, &own),
            record(&[1], above, above_len, 2, &posix(0o040_755)),
        ];
        let children = fixture
            .entries()
            .filter(|(child, _)| child.parent().as_ref() == Some(path));
        for (number, (child, expected)) in children.enumerate() {
            let identifier = format!("N{number:05}.;1");
            let shown = name(child.file_name().expect("not the root").as_bytes());
            let (block, len, flags, area) = match expected {
                Expected::File(content) => {
                    let block = image.add(content);
                    (block, content.len(), 0, posix(0o100_640))
                }
                Expected::Directory => {
                    let (block, len) = dirs[child];
                    (block, len as usize, 2, posix(0o040_755))
                }
                Expected::Link(link) => {
                    let area = [posix(0o120_777), target(link)].concat();
                    (0, 0, 0, area)
                }
                Expected::Other(_) => (0, 0, 0, posix(0o010_600)),
                _ => continue,
            };
            let area = [shown, area].concat();
            let len = u32::try_from(len).expect("small");
            records.push(image.record_of(identifier.as_bytes(), block, len, flags, &area));
        }
        image.write_records(block, &records);
    }
    let (root, root_len) = dirs[&TreePath::ROOT];
    image.finish_named(root, root_len, volume_id)
}

fn er() -> Vec<u8> {
    entry(b"ER", b"\x0a\0\0\x01RRIP_1991A")
}
