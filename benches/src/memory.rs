//! The memory that processes take.

use std::fs;

use crate::processor::group;

/// Bytes of memory of all processes of a process group; what they share counts once (proc(5),
/// `Pss`).
pub(crate) fn group_memory_bytes(leader: u32) -> u64 {
    group(leader)
        .filter_map(|pid| {
            let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
            let line = rollup.lines().find_map(|line| line.strip_prefix("Pss:"))?;
            let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
            Some(kibibytes * 1024)
        })
        .sum()
}
