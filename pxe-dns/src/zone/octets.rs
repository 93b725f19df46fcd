//! Octets that mostly are few.

use std::cmp::Ordering;

/// Octets, compared as slices are. Up to `N` of them are where this is, so that none are fetched
/// from elsewhere.
#[derive(Debug, Clone)]
pub(super) enum Octets<const N: usize> {
    Short { len: u8, octets: [u8; N] },
    Long(Box<[u8]>),
}

impl<const N: usize> Octets<N> {
    pub(super) fn new(slice: &[u8]) -> Self {
        let mut octets = [0; N];
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

impl<const N: usize> PartialEq for Octets<N> {
    fn eq(&self, other: &Self) -> bool {
        self.as_slice() == other.as_slice()
    }
}

impl<const N: usize> Eq for Octets<N> {}

impl<const N: usize> Ord for Octets<N> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.as_slice().cmp(other.as_slice())
    }
}

impl<const N: usize> PartialOrd for Octets<N> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
