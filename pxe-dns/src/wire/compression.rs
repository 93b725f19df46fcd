//! Pointers to names that a message has already (RFC 1035 section 4.1.4).

use crate::NameRef;

/// Names that are remembered: a name of `ip6.arpa` has 34 labels, and stands in question and answer
/// with different case. More save little, and looking costs time.
const SUFFIXES_MAX: usize = 128;
/// A pointer has 14 bits.
const OFFSET_MAX: usize = 0x3fff;
const POINTER: u16 = 0xc000;

/// Where names are in a message: each beginning of a label that was written.
#[derive(Debug)]
pub(super) struct Suffixes {
    offsets: [u16; SUFFIXES_MAX],
    count: usize,
}

impl Default for Suffixes {
    fn default() -> Self {
        Self {
            offsets: [0; SUFFIXES_MAX],
            count: 0,
        }
    }
}

impl Suffixes {
    /// Forgets what begins at this offset of the message, or after it.
    pub(super) fn truncate(&mut self, len: usize) {
        while self.count > 0 && self.offset(self.count - 1).is_some_and(|at| at >= len) {
            self.count -= 1;
        }
    }

    fn offset(&self, index: usize) -> Option<usize> {
        let known = self.offsets.get(..self.count)?;
        known.get(index).map(|offset| usize::from(*offset))
    }

    /// Remembers the labels of a name that is in the message from `offset` on.
    pub(super) fn add(&mut self, mut offset: usize, name: NameRef<'_>) {
        for label in name.labels() {
            if let Some(slot) = self.offsets.get_mut(self.count)
                && offset <= OFFSET_MAX
            {
                *slot = offset as u16;
                self.count += 1;
            }
            offset += 1 + label.len();
        }
    }

    /// Appends a name to the message that begins at `start` of the buffer, as short as it can be.
    pub(super) fn write(&mut self, buffer: &mut Vec<u8>, start: usize, name: NameRef<'_>) {
        let mut rest = name;
        while !rest.is_root() {
            let message = buffer.get(start..).unwrap_or_default();
            let offset = message.len();
            // The case is kept: a name that differs in it is another one here.
            if let Some(at) = self.find(message, rest) {
                buffer.extend_from_slice(&(POINTER | at).to_be_bytes());
                return;
            }
            let Some(parent) = rest.parent() else { break };
            if let Some(slot) = self.offsets.get_mut(self.count)
                && offset <= OFFSET_MAX
            {
                *slot = offset as u16;
                self.count += 1;
            }
            let label_len = rest.wire().len() - parent.wire().len();
            buffer.extend_from_slice(rest.wire().get(..label_len).unwrap_or_default());
            rest = parent;
        }
        buffer.push(0);
    }

    fn find(&self, message: &[u8], name: NameRef<'_>) -> Option<u16> {
        let known = self.offsets.get(..self.count).unwrap_or_default();
        let is_here = |at: &&u16| is_at(message, usize::from(**at), name.wire());
        known.iter().find(is_here).copied()
    }
}

/// Whether the message has this name at this place. It has only what was written here, so that
/// each pointer leads backwards.
fn is_at(message: &[u8], mut at: usize, mut wire: &[u8]) -> bool {
    loop {
        let Some(&len) = message.get(at) else {
            return false;
        };
        if u16::from(len) << 8 & POINTER == POINTER {
            let low = message.get(at + 1).copied().unwrap_or_default();
            let to = usize::from((u16::from(len) << 8 | u16::from(low)) & !POINTER);
            if to >= at {
                return false;
            }
            at = to;
            continue;
        }
        let label = 1 + usize::from(len);
        let (ours, theirs) = (message.get(at..at + label), wire.get(..label));
        if ours.is_none() || ours != theirs {
            return false;
        }
        if len == 0 {
            return true;
        }
        at += label;
        wire = wire.get(label..).unwrap_or_default();
    }
}
