//! Where our answers differ from BIND's, and why they should.

use super::comparison::{Aspect, Compared};
use super::pair::Exchange;

/// A difference that may be, and has to be: one that no longer occurs is taken off the list.
pub(super) struct Rule {
    pub(super) name: &'static str,
    /// For the reader; docs/dns-differences.md has the same.
    #[allow(dead_code)] // it is data for those who read
    pub(super) why: &'static str,
    pub(super) aspects: &'static [Aspect],
    pub(super) when: fn(&Compared<'_>) -> bool,
    /// The same where one of the two said nothing.
    pub(super) heard: fn(&Exchange) -> bool,
}

pub(super) const RULES: [Rule; 0] = [];
