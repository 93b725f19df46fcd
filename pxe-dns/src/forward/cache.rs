//! Answers of others, for as long as they may be kept.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use pxe_core::Instant;

use super::{ForwardError, ForwardLimits, Question};
use crate::{Name, RecordType, Resolved};

/// Octets that an entry or a record takes beside its names and data, about.
const OVERHEAD: usize = 96;

/// What is asked, without the asker.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Key {
    pub(super) name: Name,
    pub(super) kind: RecordType,
    pub(super) dnssec_ok: bool,
    pub(super) checking_disabled: bool,
}

impl From<Question<'_>> for Key {
    fn from(question: Question<'_>) -> Self {
        Self {
            name: question.name.clone(),
            kind: question.kind,
            dnssec_ok: question.dnssec_ok,
            checking_disabled: question.checking_disabled,
        }
    }
}

impl Key {
    pub(super) fn question(&self) -> Question<'_> {
        let question = Question::new(&self.name, self.kind).dnssec_ok(self.dnssec_ok);
        question.checking_disabled(self.checking_disabled)
    }
}

/// Answers, and failures, by what was asked. The one that was not used for longest goes first.
#[derive(Debug)]
pub(super) struct Cache {
    entries_max: usize,
    len_max: usize,
    entries: HashMap<Key, Entry>,
    by_use: BTreeMap<u64, Key>,
    uses: u64,
    len: usize,
}

#[derive(Debug)]
struct Entry {
    answer: Result<Resolved, ForwardError>,
    since: Instant,
    ttl: Duration,
    used: u64,
    len: usize,
}

impl Cache {
    pub(super) fn new(limits: &ForwardLimits) -> Self {
        Self {
            entries_max: limits.cache_entries_max,
            len_max: limits.cache_len_max,
            entries: HashMap::new(),
            by_use: BTreeMap::new(),
            uses: 0,
            len: 0,
        }
    }

    /// What is kept, with what is left of its TTLs (RFC 2181 section 8).
    pub(super) fn get(
        &mut self,
        key: &Key,
        now: Instant,
    ) -> Option<Result<Resolved, ForwardError>> {
        let entry = self.entries.get_mut(key)?;
        let age = now.saturating_duration_since(entry.since);
        if age >= entry.ttl {
            self.remove(key);
            return None;
        }
        self.by_use.remove(&entry.used);
        self.uses += 1;
        entry.used = self.uses;
        self.by_use.insert(entry.used, key.clone());
        let seconds = u32::try_from(age.as_secs()).unwrap_or(u32::MAX);
        let mut answer = entry.answer.clone();
        if let Ok(resolved) = &mut answer {
            let records = resolved.answers.iter_mut();
            for record in records.chain(&mut resolved.authorities) {
                record.ttl_seconds = record.ttl_seconds.saturating_sub(seconds);
            }
        }
        Some(answer)
    }

    /// Keeps an answer for so many seconds, if any. What is larger than the whole cache is not
    /// kept.
    pub(super) fn insert(
        &mut self,
        key: Key,
        answer: Result<Resolved, ForwardError>,
        ttl_seconds: u32,
        now: Instant,
    ) {
        self.remove(&key);
        let len = 2 * key.name.as_ref().wire().len() + OVERHEAD + answer.as_ref().map_or(0, len_of);
        if ttl_seconds == 0 || len > self.len_max || self.entries_max == 0 {
            return;
        }
        while self.entries.len() >= self.entries_max || self.len + len > self.len_max {
            let Some((_, oldest)) = self.by_use.pop_first() else {
                break;
            };
            self.remove(&oldest);
        }
        self.uses += 1;
        self.len += len;
        self.by_use.insert(self.uses, key.clone());
        let entry = Entry {
            answer,
            since: now,
            ttl: Duration::from_secs(ttl_seconds.into()),
            used: self.uses,
            len,
        };
        self.entries.insert(key, entry);
    }

    fn remove(&mut self, key: &Key) {
        if let Some(entry) = self.entries.remove(key) {
            self.by_use.remove(&entry.used);
            self.len -= entry.len;
        }
    }

    /// Forgets everything.
    pub(super) fn clear(&mut self) {
        self.entries.clear();
        self.by_use.clear();
        self.len = 0;
    }

    pub(super) fn entries(&self) -> usize {
        self.entries.len()
    }
}

/// About how many octets an answer takes.
pub(super) fn len_of(resolved: &Resolved) -> usize {
    let records = resolved.answers.iter().chain(&resolved.authorities);
    let len = records.map(|r| OVERHEAD + r.owner.as_ref().wire().len() + r.data.len());
    len.sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Rcode, Record};

    const SECOND: u64 = 1_000_000_000;

    fn key(text: &str) -> Key {
        let name: Name = text.parse().expect(text);
        Key::from(Question::new(&name, RecordType::A))
    }

    fn answer(key: &Key, ttl_seconds: u32) -> Result<Resolved, ForwardError> {
        let record = Record::new(key.name.clone(), key.kind, ttl_seconds, vec![192, 0, 2, 1]);
        Ok(Resolved::new(Rcode::NOERROR, vec![record]))
    }

    fn at(seconds: u64) -> Instant {
        Instant::from_nanos(seconds * SECOND)
    }

    #[test]
    fn ttls_count_down_until_the_answer_goes() {
        let mut cache = Cache::new(&ForwardLimits::default());
        let boot = key("boot.example");
        cache.insert(boot.clone(), answer(&boot, 60), 60, at(5));
        assert_eq!(cache.get(&boot, at(5)), Some(answer(&boot, 60)));
        assert_eq!(
            cache.get(&key("BOOT.example"), at(64)),
            Some(answer(&boot, 1))
        );
        assert_eq!(cache.get(&boot, at(65)), None);
        assert_eq!((cache.entries(), cache.len, cache.by_use.len()), (0, 0, 0));
    }

    #[test]
    fn what_may_not_be_kept_is_not_kept() {
        let mut cache = Cache::new(&ForwardLimits::default());
        let boot = key("boot.example");
        cache.insert(boot.clone(), answer(&boot, 60), 60, at(0));
        cache.insert(boot.clone(), answer(&boot, 0), 0, at(1));
        assert_eq!(cache.get(&boot, at(1)), None);
        cache.insert(boot.clone(), Err(ForwardError::Timeout), 2, at(1));
        assert_eq!(cache.get(&boot, at(2)), Some(Err(ForwardError::Timeout)));
        cache.clear();
        assert_eq!(cache.get(&boot, at(2)), None);
    }

    #[test]
    fn questions_with_other_wishes_are_others() {
        let mut cache = Cache::new(&ForwardLimits::default());
        let boot = key("boot.example");
        cache.insert(boot.clone(), answer(&boot, 60), 60, at(0));
        let question = boot.question();
        for other in [
            question.dnssec_ok(true),
            question.checking_disabled(true),
            Question::new(&boot.name, RecordType::AAAA),
        ] {
            assert_eq!(cache.get(&Key::from(other), at(0)), None);
        }
    }

    #[test]
    fn the_cache_is_bounded_and_keeps_what_is_used() {
        let limits = ForwardLimits {
            cache_entries_max: 3,
            ..ForwardLimits::default()
        };
        let mut cache = Cache::new(&limits);
        let used = key("used.example");
        cache.insert(used.clone(), answer(&used, 60), 60, at(0));
        for number in 0..10 {
            let random = key(&format!("r{number}.example"));
            cache.insert(random.clone(), answer(&random, 60), 60, at(0));
            assert!(cache.get(&used, at(1)).is_some());
            assert!(cache.entries() <= 3);
        }
        let len = cache.len;
        let limits = ForwardLimits {
            cache_len_max: len,
            ..ForwardLimits::default()
        };
        let mut cache = Cache::new(&limits);
        for number in 0..10 {
            let random = key(&format!("r{number}.example"));
            cache.insert(random.clone(), answer(&random, 60), 60, at(0));
            assert!(cache.len <= len);
        }
        assert!(cache.entries() >= 2);
    }
}
