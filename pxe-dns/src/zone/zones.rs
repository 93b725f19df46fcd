//! The zones that are served.

use std::collections::{BTreeMap, BTreeSet};

use super::overlay::is_after;
use super::sort_key::{KeyBuffer, SortKey, prefixes};
use super::{DATA_LEN_MAX, Zone};
use crate::dynamic::HoldReason;
use crate::{Name, NameRef, Record, RecordType, ServedZone};

/// Octets of a record in a message beside its data: a pointer to its owner, type, class, TTL and
/// length (RFC 1035 sections 4.1.3 and 4.1.4).
const RECORD_OVERHEAD: usize = 12;

/// The zones that are served, found by name.
#[derive(Debug, Clone, Default)]
pub(crate) struct Zones {
    served: Vec<ServedZone>,
    /// By the key of its name, where a zone is.
    index: BTreeMap<SortKey, usize>,
    /// The last serials of zones that are served no longer: they may come back.
    gone: BTreeMap<SortKey, u32>,
    /// Dynamic records by their name: those that are answered, and those that are not.
    dynamic: BTreeMap<Name, Vec<Record>>,
}

impl Zones {
    /// Serves these zones and no others. Of two with one name, the last counts. Returns those
    /// that were served before, which may take time to drop.
    pub(crate) fn replace(&mut self, zones: Vec<ServedZone>) -> Vec<ServedZone> {
        let new = zones.iter().enumerate();
        let index = new.map(|(at, served)| (served.zone.key.clone(), at));
        let before = Self {
            index: std::mem::replace(&mut self.index, index.collect()),
            served: std::mem::replace(&mut self.served, zones),
            gone: BTreeMap::new(),
            dynamic: BTreeMap::new(),
        };
        let owners: Vec<Name> = self.dynamic.keys().cloned().collect();
        for owner in owners {
            self.overlay(owner.as_ref());
        }
        for served in &mut self.served {
            let of_file = served.zone.serial().wrapping_add(served.serial_offset);
            let earlier = before.index.get(served.zone.key.as_slice());
            let earlier = earlier.and_then(|at| before.served.get(*at));
            served.zone.set_serial(match earlier {
                Some(earlier) if !is_after(of_file, earlier.zone.serial()) => earlier.zone.serial(),
                _ => of_file,
            });
            if let Some(earlier) = earlier
                && earlier.zone.serial() == served.zone.serial()
                && !earlier.zone.says_the_same(&served.zone)
            {
                served.zone.increase_serial();
            }
            if let Some(last) = self.gone.remove(served.zone.key.as_slice())
                && !is_after(served.zone.serial(), last)
            {
                served.zone.set_serial(last);
                served.zone.increase_serial();
            }
        }
        let gone = before.served.iter().map(|served| &served.zone);
        let gone = gone.filter(|zone| !self.index.contains_key(zone.key.as_slice()));
        self.gone
            .extend(gone.map(|zone| (zone.key.clone(), zone.serial())));
        before.served
    }

    /// From now on these are the dynamic records of the names. A zone's serial increases once, if
    /// anything changes in it.
    pub(crate) fn set_dynamic(&mut self, names: impl IntoIterator<Item = (Name, Vec<Record>)>) {
        let mut changed = BTreeSet::new();
        for (owner, records) in names {
            match records.is_empty() {
                true => self.dynamic.remove(&owner),
                false => self.dynamic.insert(owner.clone(), records),
            };
            changed.extend(self.overlay(owner.as_ref()));
        }
        for at in changed {
            if let Some(served) = self.served.get_mut(at) {
                served.zone.increase_serial();
            }
        }
    }

    /// Why a dynamic record is not answered, if it is not.
    pub(crate) fn hold_reason(&self, record: &Record) -> Option<HoldReason> {
        let Some(served) = self.find(record.owner.as_ref()) else {
            return Some(HoldReason::NoZone);
        };
        let records = self.dynamic.get(&record.owner).into_iter().flatten();
        let mut judged = judged(&served.zone, records);
        let found = judged.find(|(one, _)| *one == record);
        found.map_or_else(|| served.zone.hold_reason(record), |(_, reason)| reason)
    }

    /// Puts the dynamic records of a name into its zone. Returns which zone that changed.
    fn overlay(&mut self, owner: NameRef<'_>) -> Option<usize> {
        let at = self.find_at(KeyBuffer::new(owner).as_slice())?;
        let zone = &mut self.served.get_mut(at)?.zone;
        let records = self.dynamic.get(&owner.to_name());
        let answered: Vec<&Record> = judged(zone, records.into_iter().flatten())
            .filter_map(|(record, reason)| reason.is_none().then_some(record))
            .collect();
        zone.overlay(owner, &answered).then_some(at)
    }

    /// The zone in which a name is: that with the longest name.
    pub(crate) fn find(&self, name: NameRef<'_>) -> Option<&ServedZone> {
        self.find_key(KeyBuffer::new(name).as_slice())
    }

    /// The zone that is to be asked for records of this type.
    pub(super) fn find_for(&self, key: &[u8], kind: RecordType) -> Option<&ServedZone> {
        let nearest = self.find_key(key)?;
        if kind != RecordType::DS || nearest.zone.key.as_slice() != key {
            return Some(nearest);
        }
        // DS is the parent's (RFC 4035 section 3.1.4.1), if it is here and not delegated further.
        let above = prefixes(key).rev().nth(1).unwrap_or_default();
        let parent = (!key.is_empty()).then(|| self.find_key(above)).flatten();
        Some(
            parent
                .filter(|parent| parent.zone.holds_cut(key))
                .unwrap_or(nearest),
        )
    }

    fn find_key(&self, key: &[u8]) -> Option<&ServedZone> {
        self.served.get(self.find_at(key)?)
    }

    fn find_at(&self, key: &[u8]) -> Option<usize> {
        let longest_first = prefixes(key).rev().chain(std::iter::once(&[][..]));
        let mut found = longest_first.filter_map(|above| self.index.get(above));
        found.next().copied()
    }
}

/// The dynamic records of a name in this zone, each with why it is not answered, if it is not.
fn judged<'a>(
    zone: &Zone,
    records: impl Iterator<Item = &'a Record>,
) -> impl Iterator<Item = (&'a Record, Option<HoldReason>)> {
    let mut lens: BTreeMap<RecordType, usize> = BTreeMap::new();
    records.map(move |record| {
        let reason = zone.hold_reason(record).or_else(|| {
            let len = lens.entry(record.kind).or_insert(0);
            let with_this = *len + RECORD_OVERHEAD + record.data.len();
            if with_this > RECORD_OVERHEAD + DATA_LEN_MAX {
                return Some(HoldReason::TooLarge);
            }
            *len = with_this;
            None
        });
        (record, reason)
    })
}
