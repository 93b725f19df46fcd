//! Values of header fields that were made a moment ago: the same few files are asked for again and
//! again.

use http::HeaderValue;

/// The last values. Each has the place that its maker says, and pushes out what was there.
#[derive(Debug)]
pub(crate) struct Memo<K, const PLACES: usize> {
    values: [Option<(K, HeaderValue)>; PLACES],
}

impl<K: Eq, const PLACES: usize> Memo<K, PLACES> {
    pub(crate) const fn new() -> Self {
        Self {
            values: [const { None }; PLACES],
        }
    }

    /// The value of this key, made if it is not at its place.
    pub(crate) fn get(
        &mut self,
        place: u64,
        key: K,
        make: impl FnOnce() -> Option<HeaderValue>,
    ) -> Option<HeaderValue> {
        // Less than the number of places, which fits.
        let index = place.checked_rem(PLACES as u64)? as usize;
        let place = self.values.get_mut(index)?;
        if let Some((known, value)) = place
            && *known == key
        {
            return Some(value.clone());
        }
        let value = make()?;
        *place = Some((key, value.clone()));
        Some(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_that_of_its_key_whatever_was_at_its_place() {
        let mut memo = Memo::<u64, 2>::new();
        let mut made = 0;
        for (key, makes) in [(7, 1), (7, 1), (9, 2), (8, 3), (9, 3), (7, 4), (8, 4)] {
            let value = memo.get(key, key, || {
                made += 1;
                Some(HeaderValue::from(key))
            });
            assert_eq!(value, Some(HeaderValue::from(key)));
            assert_eq!(made, makes, "{key}");
        }
        assert_eq!(memo.get(1, 1, || None), None);
        assert_eq!(memo.get(1, 7, || None), Some(HeaderValue::from(7)));
    }
}
