//! Builds the structures of UDF for tests, and images of them.

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
