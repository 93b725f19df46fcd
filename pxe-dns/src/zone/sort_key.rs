//! Names in a form whose octets are in canonical order.

use std::borrow::Borrow;

use super::octets::Octets;
use crate::name::LABELS_MAX;
use crate::{NAME_LEN_MAX, NameRef};

/// Octets of a key at most: each octet of a name may need two.
const KEY_LEN_MAX: usize = 2 * NAME_LEN_MAX;
/// Octets that a key has without memory of its own: `host-192-168-150-7`, say.
const SHORT_LEN_MAX: usize = 22;
/// Ends a label: before all octets of a longer one.
const END: u8 = 0;
/// Before an octet that would be `END` or this.
const ESCAPE: u8 = 1;

/// A name from its right to its left, in lower case, each label followed by [`END`].
///
/// Octets are compared as they are: that is the canonical order (RFC 4034 section 6.1). The key
/// of a name is the beginning of the keys of all names below it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct SortKey(Octets<SHORT_LEN_MAX>);

/// A key on the stack.
#[derive(Debug, Clone)]
pub(super) struct KeyBuffer {
    octets: [u8; KEY_LEN_MAX],
    len: usize,
}

impl SortKey {
    pub(super) fn new(key: &[u8]) -> Self {
        Self(Octets::new(key))
    }

    pub(super) fn as_slice(&self) -> &[u8] {
        self.0.as_slice()
    }
}

impl Borrow<[u8]> for SortKey {
    fn borrow(&self) -> &[u8] {
        self.as_slice()
    }
}

impl KeyBuffer {
    /// The key of a name.
    pub(super) fn new(name: NameRef<'_>) -> Self {
        let mut key = Self {
            octets: [0; KEY_LEN_MAX],
            len: 0,
        };
        for label in name.labels_from_right(&mut [0; LABELS_MAX]) {
            key.push_label(label);
        }
        key
    }

    /// A copy of a key.
    pub(super) fn of_key(key: &[u8]) -> Self {
        let mut octets = [0; KEY_LEN_MAX];
        for (place, octet) in octets.iter_mut().zip(key) {
            *place = *octet;
        }
        Self {
            octets,
            len: key.len().min(KEY_LEN_MAX),
        }
    }

    /// Makes this the key of a name below.
    pub(super) fn push_label(&mut self, label: &[u8]) {
        let place = self.octets.get_mut(self.len..self.len + label.len());
        if let Some(place) = place
            && label.iter().all(|octet| *octet > ESCAPE)
        {
            place.copy_from_slice(label);
            place.make_ascii_lowercase();
            self.len += label.len();
            self.push(END);
            return;
        }
        for octet in label {
            let lower = octet.to_ascii_lowercase();
            if lower <= ESCAPE {
                self.push(ESCAPE);
                self.push(lower + 1);
            } else {
                self.push(lower);
            }
        }
        self.push(END);
    }

    pub(super) fn as_slice(&self) -> &[u8] {
        self.octets.get(..self.len).unwrap_or_default()
    }

    /// What follows the key of the zone in which this name is.
    pub(super) fn below(&self, origin: &[u8]) -> &[u8] {
        self.as_slice().get(origin.len()..).unwrap_or_default()
    }

    fn push(&mut self, octet: u8) {
        // A name is never longer than its keys may be.
        if let Some(place) = self.octets.get_mut(self.len) {
            *place = octet;
            self.len += 1;
        }
    }
}

/// The keys of the ancestors of this key's name and of itself, from the topmost but the root.
pub(super) fn prefixes(key: &[u8]) -> impl DoubleEndedIterator<Item = &[u8]> {
    let ends = key.iter().enumerate().filter(|(_, octet)| **octet == END);
    ends.filter_map(move |(at, _)| key.get(..=at))
}

/// Octets of the key of the lowest name at or above both.
pub(super) fn common_len(a: &[u8], b: &[u8]) -> usize {
    let mut len = 0;
    for (at, (x, y)) in a.iter().zip(b).enumerate() {
        if x != y {
            break;
        }
        if *x == END {
            len = at + 1;
        }
    }
    len
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::Name;

    fn key(name: &Name) -> KeyBuffer {
        KeyBuffer::new(name.as_ref())
    }

    fn names() -> impl Strategy<Value = Name> {
        let octet = prop_oneof![
            Just(0),
            Just(1),
            Just(2),
            Just(b'a'),
            Just(b'A'),
            any::<u8>()
        ];
        let label = prop::collection::vec(octet, 1..4);
        prop::collection::vec(label, 0..5).prop_map(|labels| {
            labels.iter().fold(Name::root(), |name, label| {
                Name::with_label(name.as_ref(), label).expect("a short name")
            })
        })
    }

    proptest! {
        #[test]
        fn keys_are_in_the_order_of_names(a in names(), b in names()) {
            let (x, y) = (SortKey::new(key(&a).as_slice()), SortKey::new(key(&b).as_slice()));
            prop_assert_eq!(x.cmp(&y), a.cmp(&b));
            prop_assert_eq!(x.as_slice().starts_with(y.as_slice()), a.as_ref().is_within(b.as_ref()));
            let common = x.as_slice().get(..common_len(x.as_slice(), y.as_slice()));
            let above = prefixes(x.as_slice()).rev().find(|above| y.as_slice().starts_with(above));
            prop_assert_eq!(common, Some(above.unwrap_or_default()));
        }
    }

    #[test]
    fn the_longest_key_has_its_place() {
        let label = [0; 63];
        let mut name = Name::root();
        for len in [61, 63, 63, 63] {
            name = Name::with_label(name.as_ref(), &label[..len]).expect("a name");
        }
        assert_eq!(name.as_ref().wire().len(), NAME_LEN_MAX);
        assert_eq!(key(&name).as_slice().len(), 2 * 250 + 4);
        assert_eq!(prefixes(key(&name).as_slice()).count(), 4);
    }
}
