//! Where the content of a file lies in the image.

use crate::Damage;
use crate::reader::Reader;

/// A contiguous part of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Extent {
    /// Where it lies in the image, in bytes; `None` for zeros that are not recorded.
    pub(crate) place: Option<u64>,
    /// How many bytes it has.
    pub(crate) len: u64,
}

/// The extents of a file, in its order.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Extents {
    /// Each with the offset in the file at which it begins; none is empty.
    pieces: Vec<(u64, Extent)>,
    len: u64,
}

impl Extents {
    /// Adds an extent at the end; one that goes on where the last one ends becomes part of it.
    ///
    /// # Errors
    /// `Limit` if there are too many, `Malformed` if the sizes exceed 63 bits.
    pub(crate) fn push(&mut self, extent: Extent, extents_max: usize) -> Result<(), Damage> {
        if extent.len == 0 {
            return Ok(());
        }
        let len = self.len.checked_add(extent.len);
        let len = len.filter(|len| i64::try_from(*len).is_ok());
        let len = len.ok_or(Damage::Malformed)?;
        let goes_on = |last: &Extent| match (last.place, extent.place) {
            (Some(last_place), Some(place)) => last_place.checked_add(last.len) == Some(place),
            (None, None) => true,
            _ => false,
        };
        let full = self.pieces.len() >= extents_max;
        match self.pieces.last_mut() {
            Some((_, last)) if goes_on(last) => last.len += extent.len,
            _ if full => return Err(Damage::Limit("extents_max")),
            _ => self.pieces.push((self.len, extent)),
        }
        self.len = len;
        Ok(())
    }

    /// Bytes of all extents.
    pub(crate) const fn len(&self) -> u64 {
        self.len
    }

    /// Whether all of them lie in the image.
    ///
    /// # Errors
    /// `BeyondEnd`.
    pub(crate) fn check(&self, reader: &Reader) -> Result<(), Damage> {
        let places = self.pieces.iter();
        places
            .filter_map(|(_, extent)| Some((extent.place?, extent.len)))
            .try_for_each(|(place, len)| reader.check(place, len))
    }

    /// The rest of the extent in which `offset` lies, `len_max` bytes of it at most; `None` at the
    /// end and beyond.
    pub(crate) fn at(&self, offset: u64, len_max: u64) -> Option<Extent> {
        let after = self.pieces.partition_point(|(start, _)| *start <= offset);
        let (start, extent) = self.pieces.get(after.checked_sub(1)?)?;
        let skipped = offset - start;
        let len = extent.len.checked_sub(skipped)?.min(len_max);
        (len > 0).then_some(Extent {
            place: extent.place.map(|place| place + skipped),
            len,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn extent(place: u64, len: u64) -> Extent {
        Extent {
            place: Some(place),
            len,
        }
    }

    #[test]
    fn neighbours_become_one_and_each_offset_has_its_place() {
        let mut extents = Extents::default();
        let hole = Extent {
            place: None,
            len: 7,
        };
        for piece in [extent(100, 10), extent(110, 5), hole, hole, extent(50, 1)] {
            extents.push(piece, 3).expect("three are left of it");
        }
        assert_eq!(extents.len(), 30);
        assert_eq!(extents.at(0, 99), Some(extent(100, 15)));
        assert_eq!(extents.at(14, 99), Some(extent(114, 1)));
        assert_eq!(
            extents.at(15, 3),
            Some(Extent {
                place: None,
                len: 3
            })
        );
        assert_eq!(extents.at(29, 99), Some(extent(50, 1)));
        for offset in [30, 31, u64::MAX] {
            assert_eq!(extents.at(offset, 99), None);
        }
        assert_eq!(
            extents.push(extent(0, 1), 3),
            Err(Damage::Limit("extents_max"))
        );
        assert_eq!(
            extents.push(extent(51, u64::MAX), 3),
            Err(Damage::Malformed)
        );
    }
}
