//! Octets that mostly are few.

use std::cmp::Ordering;

/// Octets without memory of their own: the key of `host-192-168-150-7`, say, or an address.
const SHORT_LEN_MAX: usize = 22;

/// Octets, compared as slices are. A few of them are where this is, so that none are fetched from
/// elsewhere.
#[derive(Debug, Clone)]
pub(super) enum Octets {
    Short {
        len: u8,
        octets: [u8; SHORT_LEN_MAX],
    },
    Long(Box<[u8]>),
}

impl Octets {
    pub(super) fn new(slice: &[u8]) -> Self {
        let mut octets = [0; SHORT_LEN_MAX];
        match octets.get_mut(..slice.len()) {
            Some(place) => {
                place.copy_from_slice(slice);
                Self::Short {
                    len: slice.len() as u8,
                    octets,
                }
            }
            None => Self::Long(slice.into()),
        }
    }

    pub(super) fn as_slice(&self) -> &[u8] {
        match self {
            Self::Short { len, octets } => octets.get(..usize::from(*len)).unwrap_or_default(),
            Self::Long(octets) => octets,
        }
    }
}

impl PartialEq for Octets {
    fn eq(&self, other: &Self) -> bool {
        self.as_slice() == other.as_slice()
    }
}

impl Eq for Octets {}

impl Ord for Octets {
    fn cmp(&self, other: &Self) -> Ordering {
        self.as_slice().cmp(other.as_slice())
    }
}

impl PartialOrd for Octets {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
