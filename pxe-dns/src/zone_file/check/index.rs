//! The records of a zone by name.

use std::collections::BTreeMap;

use crate::{NameRef, Record, RecordType};

/// The records of each name in a zone, and the names that only have others below them.
pub(super) struct Index<'r> {
    records: &'r [Record],
    origin: Vec<u8>,
    /// Names in wire form and lower case, with the indices of their records. What follows the
    /// first label of such a key is the key of the name above it.
    names: BTreeMap<Vec<u8>, Vec<usize>>,
}

/// What a question for the address of a name in the zone finds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
    /// An address.
    Address,
    /// The name is an alias.
    Alias(usize),
    /// The name is another zone's: below this NS record.
    Delegation(usize),
    /// The name is below this DNAME record.
    BelowDname(usize),
    /// Neither address nor alias.
    Nothing,
}

fn key(name: NameRef<'_>) -> Vec<u8> {
    name.wire().to_ascii_lowercase()
}

/// The key of the name above.
fn above(key: &[u8]) -> Option<&[u8]> {
    let (len, _) = key.split_first().filter(|(len, _)| **len > 0)?;
    key.get(1 + usize::from(*len)..)
}

impl<'r> Index<'r> {
    pub(super) fn new(origin: NameRef<'_>, records: &'r [Record]) -> Self {
        let origin = key(origin);
        let mut names: BTreeMap<Vec<u8>, Vec<usize>> = BTreeMap::new();
        for (index, record) in records.iter().enumerate() {
            let mut name = key(record.owner.as_ref());
            names.entry(name.clone()).or_default().push(index);
            while name.len() > origin.len()
                && let Some(parent) = above(&name)
                && !names.contains_key(parent)
            {
                name = parent.to_vec();
                names.insert(name.clone(), Vec::new());
            }
        }
        Self {
            records,
            origin,
            names,
        }
    }

    /// The indices of each name's records, in the order in which they stand in the files.
    pub(super) fn names(&self) -> impl Iterator<Item = &[usize]> {
        self.names.values().map(Vec::as_slice)
    }

    /// The indices of a name's records.
    pub(super) fn of_name(&self, name: NameRef<'_>) -> &[usize] {
        self.names
            .get(&key(name))
            .map(Vec::as_slice)
            .unwrap_or_default()
    }

    /// The first record of this type that a name has.
    pub(super) fn first(&self, name: NameRef<'_>, kind: RecordType) -> Option<usize> {
        self.first_of(self.names.get(&key(name))?, kind)
    }

    fn first_of(&self, indices: &[usize], kind: RecordType) -> Option<usize> {
        let is_it = |index: &&usize| self.records.get(**index).is_some_and(|r| r.kind == kind);
        indices.iter().find(is_it).copied()
    }

    fn has_address(&self, indices: &[usize]) -> bool {
        let kinds = [RecordType::A, RecordType::AAAA];
        kinds
            .iter()
            .any(|kind| self.first_of(indices, *kind).is_some())
    }

    /// Whether a name has an address, be it one that only goes along with a delegation.
    pub(super) fn has_glue(&self, name: NameRef<'_>) -> bool {
        let indices = self.names.get(&key(name));
        indices.is_some_and(|indices| self.has_address(indices))
    }

    /// Whether there is this name: with records, or with names below it.
    pub(super) fn has(&self, name: NameRef<'_>) -> bool {
        self.names.contains_key(&key(name))
    }

    /// The topmost NS record of a delegation, or DNAME record, at or above a name.
    ///
    /// A DNAME record concerns the names below its own alone (RFC 6672 section 2.3).
    pub(super) fn cut(&self, name: NameRef<'_>) -> Option<Found> {
        let name = key(name);
        let mut rest = name.as_slice();
        let mut found = None;
        loop {
            if let Some(indices) = self.names.get(rest) {
                let dname = || self.first_of(indices, RecordType::DNAME);
                let ns = || self.first_of(indices, RecordType::NS);
                if rest.len() < name.len()
                    && let Some(dname) = dname()
                {
                    found = Some(Found::BelowDname(dname));
                }
                if rest.len() > self.origin.len()
                    && let Some(ns) = ns()
                {
                    found = Some(Found::Delegation(ns));
                }
            }
            match above(rest) {
                Some(above) if rest.len() > self.origin.len() => rest = above,
                _ => return found,
            }
        }
    }

    /// What a question for the address of a name in the zone finds (RFC 1034 section 4.3.2).
    pub(super) fn find(&self, name: NameRef<'_>) -> Found {
        if let Some(cut) = self.cut(name) {
            return cut;
        }
        let name = key(name);
        if let Some(indices) = self.names.get(&name) {
            return self.of(indices);
        }
        // The wildcard below the closest name that there is (RFC 4592 section 3.3.1).
        let mut rest = name.as_slice();
        while let Some(above) = above(rest) {
            if self.names.contains_key(above) {
                let wildcard = [b"\x01*", above].concat();
                let indices = self.names.get(&wildcard);
                return indices.map_or(Found::Nothing, |indices| self.of(indices));
            }
            rest = above;
        }
        Found::Nothing
    }

    fn of(&self, indices: &[usize]) -> Found {
        match self.first_of(indices, RecordType::CNAME) {
            _ if self.has_address(indices) => Found::Address,
            Some(alias) => Found::Alias(alias),
            None => Found::Nothing,
        }
    }
}
