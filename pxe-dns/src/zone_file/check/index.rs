//! The records of a zone by name.

use std::collections::BTreeMap;

use crate::{NameRef, Record, RecordType};

/// The records of each name in a zone, and the names that only have others below them.
pub(super) struct Index {
    origin: Vec<u8>,
    /// Names in wire form and lower case, with the indices of their records. What follows the
    /// first label of such a key is the key of the name above it.
    names: BTreeMap<Vec<u8>, OfName>,
}

/// The records of one name.
#[derive(Debug, Default)]
struct OfName {
    indices: Vec<usize>,
    /// The first of each type: a name may have many records.
    firsts: BTreeMap<RecordType, usize>,
}

impl OfName {
    fn first(&self, kind: RecordType) -> Option<usize> {
        self.firsts.get(&kind).copied()
    }

    fn has_address(&self) -> bool {
        self.first(RecordType::A)
            .or(self.first(RecordType::AAAA))
            .is_some()
    }

    fn found(&self) -> Found {
        match self.first(RecordType::CNAME) {
            _ if self.has_address() => Found::Address,
            Some(alias) => Found::Alias(alias),
            None => Found::Nothing,
        }
    }
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

impl Index {
    pub(super) fn new(origin: NameRef<'_>, records: &[Record]) -> Self {
        let origin = key(origin);
        let mut names: BTreeMap<Vec<u8>, OfName> = BTreeMap::new();
        for (index, record) in records.iter().enumerate() {
            let mut name = key(record.owner.as_ref());
            let of_name = names.entry(name.clone()).or_default();
            of_name.indices.push(index);
            of_name.firsts.entry(record.kind).or_insert(index);
            while name.len() > origin.len()
                && let Some(parent) = above(&name)
                && !names.contains_key(parent)
            {
                name = parent.to_vec();
                names.insert(name.clone(), OfName::default());
            }
        }
        Self { origin, names }
    }

    /// The indices of each name's records, in the order in which they stand in the files.
    pub(super) fn names(&self) -> impl Iterator<Item = &[usize]> {
        self.names
            .values()
            .map(|of_name| of_name.indices.as_slice())
    }

    /// The indices of a name's records.
    pub(super) fn of_name(&self, name: NameRef<'_>) -> &[usize] {
        let of_name = self.names.get(&key(name));
        of_name
            .map(|of_name| of_name.indices.as_slice())
            .unwrap_or_default()
    }

    /// The first record of this type that a name has.
    pub(super) fn first(&self, name: NameRef<'_>, kind: RecordType) -> Option<usize> {
        self.names.get(&key(name))?.first(kind)
    }

    /// Whether a name has an address, be it one that only goes along with a delegation.
    pub(super) fn has_glue(&self, name: NameRef<'_>) -> bool {
        self.names.get(&key(name)).is_some_and(OfName::has_address)
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
            if let Some(of_name) = self.names.get(rest) {
                if rest.len() < name.len()
                    && let Some(dname) = of_name.first(RecordType::DNAME)
                {
                    found = Some(Found::BelowDname(dname));
                }
                if rest.len() > self.origin.len()
                    && let Some(ns) = of_name.first(RecordType::NS)
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
        if let Some(of_name) = self.names.get(&name) {
            return of_name.found();
        }
        // The wildcard below the closest name that there is (RFC 4592 section 3.3.1).
        let mut rest = name.as_slice();
        while let Some(above) = above(rest) {
            if self.names.contains_key(above) {
                let wildcard = [b"\x01*", above].concat();
                let of_name = self.names.get(&wildcard);
                return of_name.map_or(Found::Nothing, OfName::found);
            }
            rest = above;
        }
        Found::Nothing
    }
}
