//! Which addresses of a subnet's pools are free.

use core::net::Ipv4Addr;
use core::ops::RangeInclusive;

const WORD_BITS: usize = u64::BITS as usize;

/// A run of addresses that can be given, and the index of its first one.
#[derive(Debug, Clone, Copy)]
struct Run {
    first: u32,
    last: u32,
    index: usize,
}

/// The addresses that can be given in a subnet, each free or taken.
///
/// A bitmap with summaries: a bit of level 0 is an address, a bit of level n + 1 is a full word of
/// level n. So the next free address is found in a few steps, however large or full the pools.
#[derive(Debug, Clone)]
pub(super) struct AddressPool {
    runs: Vec<Run>,
    len: usize,
    levels: Vec<Vec<u64>>,
}

impl AddressPool {
    /// The addresses of `pools` that are in none of `exclusions`, all free.
    pub(super) fn new(
        pools: &[RangeInclusive<Ipv4Addr>],
        exclusions: impl IntoIterator<Item = RangeInclusive<Ipv4Addr>>,
    ) -> Self {
        let bits = |range: &RangeInclusive<Ipv4Addr>| {
            (
                u64::from(range.start().to_bits()),
                u64::from(range.end().to_bits()),
            )
        };
        let mut excluded: Vec<_> = exclusions.into_iter().map(|range| bits(&range)).collect();
        excluded.sort_unstable();
        let mut included: Vec<_> = pools.iter().map(bits).collect();
        included.sort_unstable();
        let (mut runs, mut len) = (Vec::new(), 0);
        let mut add = |first: u64, last: u64| {
            // u64 holds one address beyond 255.255.255.255, so that nothing overflows.
            if first <= last {
                let run = Run {
                    first: first as u32,
                    last: last as u32,
                    index: len,
                };
                len += (last - first) as usize + 1;
                runs.push(run);
            }
        };
        for (first, last) in included {
            let mut next = first;
            for (excluded_first, excluded_last) in &excluded {
                if *excluded_first > last {
                    break;
                }
                if *excluded_last < next {
                    continue;
                }
                if *excluded_first > next {
                    add(next, *excluded_first - 1);
                }
                next = *excluded_last + 1;
            }
            add(next, last);
        }
        let mut levels = Vec::new();
        let mut bits_of_level = len;
        loop {
            let mut words = vec![0_u64; bits_of_level.div_ceil(WORD_BITS).max(1)];
            // Bits beyond the end count as taken.
            for index in bits_of_level..words.len() * WORD_BITS {
                words[index / WORD_BITS] |= 1 << (index % WORD_BITS);
            }
            bits_of_level = words.len();
            levels.push(words);
            if bits_of_level == 1 {
                break;
            }
        }
        Self { runs, len, levels }
    }

    /// How many addresses there are, free or taken.
    pub(super) const fn len(&self) -> usize {
        self.len
    }

    /// Whether the address is one of these, free or taken.
    pub(super) fn contains(&self, address: Ipv4Addr) -> bool {
        self.index_of(address).is_some()
    }

    /// Marks an address as taken, or as free again; others are left as they are.
    pub(super) fn set_taken(&mut self, address: Ipv4Addr, is_taken: bool) {
        let Some(mut index) = self.index_of(address) else {
            return;
        };
        for words in &mut self.levels {
            let word = &mut words[index / WORD_BITS];
            let bit = 1 << (index % WORD_BITS);
            *word = if is_taken { *word | bit } else { *word & !bit };
            // A level up, the bit says whether this word is full.
            if is_taken && *word != u64::MAX {
                return;
            }
            index /= WORD_BITS;
        }
    }

    /// The free addresses, beginning with that of number `start` and going round once.
    pub(super) fn free_from(&self, start: usize) -> impl Iterator<Item = Ipv4Addr> + '_ {
        let start = start.min(self.len);
        let upper = self.free_between(start, self.len);
        upper.chain(self.free_between(0, start))
    }

    fn free_between(&self, first: usize, end: usize) -> impl Iterator<Item = Ipv4Addr> + '_ {
        let mut next = first;
        core::iter::from_fn(move || {
            let index = self.next_free(next).filter(|index| *index < end)?;
            next = index + 1;
            self.address_at(index)
        })
    }

    /// The first free index that is not below `from`.
    fn next_free(&self, from: usize) -> Option<usize> {
        let (mut level, mut index) = (0, from);
        loop {
            let position = index / WORD_BITS;
            let word = *self.levels.get(level)?.get(position)?;
            let free = !word & u64::MAX << (index % WORD_BITS);
            if free != 0 {
                let mut found = position * WORD_BITS + free.trailing_zeros() as usize;
                for words in self.levels[..level].iter().rev() {
                    found = found * WORD_BITS + (!words[found]).trailing_zeros() as usize;
                }
                return Some(found);
            }
            (level, index) = (level + 1, position + 1);
        }
    }

    fn index_of(&self, address: Ipv4Addr) -> Option<usize> {
        let bits = address.to_bits();
        let after = self.runs.partition_point(|run| run.first <= bits);
        let run = self.runs.get(after.checked_sub(1)?)?;
        (bits <= run.last).then(|| run.index + (bits - run.first) as usize)
    }

    fn address_at(&self, index: usize) -> Option<Ipv4Addr> {
        let after = self.runs.partition_point(|run| run.index <= index);
        let run = self.runs.get(after.checked_sub(1)?)?;
        Some(Ipv4Addr::from_bits(run.first + (index - run.index) as u32))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(last: u32) -> Ipv4Addr {
        Ipv4Addr::from_bits(0x0a00_0000 + last)
    }

    #[test]
    fn exclusions_are_cut_out() {
        let pool = AddressPool::new(
            &[ip(20)..=ip(29), ip(10)..=ip(14)],
            [
                ip(0)..=ip(10),
                ip(12)..=ip(12),
                ip(12)..=ip(21),
                ip(29)..=ip(40),
            ],
        );
        let all: Vec<_> = pool.free_from(0).collect();
        let expected: Vec<_> = [11, 22, 23, 24, 25, 26, 27, 28].map(ip).to_vec();
        assert_eq!(all, expected);
        assert_eq!(pool.len(), 8);
        assert!(!pool.contains(ip(12)) && pool.contains(ip(11)) && !pool.contains(ip(29)));
    }

    #[test]
    fn the_whole_address_space_ends_without_overflow() {
        let end = Ipv4Addr::BROADCAST;
        let first = Ipv4Addr::from_bits(u32::MAX - 3);
        let pool = AddressPool::new(&[first..=end], [end..=end]);
        assert_eq!(pool.len(), 3);
        assert_eq!(AddressPool::new(&[], []).free_from(0).count(), 0);
    }

    #[test]
    fn full_pools_of_any_size_find_their_last_free_address() {
        for len in [1_u32, 63, 64, 65, 4095, 4096, 4097, 70_000] {
            let mut pool = AddressPool::new(&[ip(0)..=ip(len - 1)], []);
            for last in 0..len {
                pool.set_taken(ip(last), true);
            }
            assert_eq!(pool.free_from(7).next(), None, "{len}");
            for free in [0, len / 2, len - 1] {
                pool.set_taken(ip(free), false);
                for start in [0, free as usize, (free as usize + 1) % len as usize] {
                    let found: Vec<_> = pool.free_from(start).collect();
                    assert_eq!(found, [ip(free)], "{len} from {start}");
                }
                pool.set_taken(ip(free), true);
            }
        }
    }

    #[test]
    fn search_goes_round_once() {
        let pool = AddressPool::new(&[ip(0)..=ip(9)], []);
        let found: Vec<_> = pool
            .free_from(8)
            .map(|address| address.to_bits() & 0xff)
            .collect();
        assert_eq!(found, [8, 9, 0, 1, 2, 3, 4, 5, 6, 7]);
        assert_eq!(pool.free_from(usize::MAX).count(), 10);
    }
}
