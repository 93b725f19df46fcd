//! `[leases]`: where they are kept.

use std::path::Path;

use super::super::file;
use super::super::place::Problems;
use super::super::{LEASES_IN_MEMORY, Leases, Store};

pub(super) fn leases(
    problems: &mut Problems<'_>,
    raw: &file::Leases,
    directory: &Path,
    gives_addresses: bool,
) -> Leases {
    let store = match raw.store.as_deref() {
        None => None,
        Some(LEASES_IN_MEMORY) => Some(Store::Memory),
        Some(path) if path.is_empty() || path.ends_with('/') => {
            problems.error(
                "leases.store",
                format!("{path:?} is no file"),
                format!("name a file, or {LEASES_IN_MEMORY:?} to keep the leases in memory"),
            );
            None
        }
        Some(path) => Some(Store::File(directory.join(path))),
    };
    if store.is_some() && !gives_addresses {
        problems.warning(
            "leases.store",
            "no addresses are given, so there are no leases",
            "remove [leases]",
        );
    }
    Leases { store }
}
