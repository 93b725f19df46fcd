//! What a flush to the medium costs here, to compare latencies with.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

/// As long as a lease record with what belongs to it.
const BLOCK: [u8; 4096] = [0x5a; 4096];

/// The times, in ascending order, of so many appends of 4 KiB with `fdatasync` in a directory.
///
/// # Errors
/// A text that names the file.
pub(crate) fn times(directory: &Path, count: usize) -> Result<Vec<Duration>, String> {
    let path = directory.join("flush");
    let at = |error: std::io::Error| format!("{}: {error}", path.display());
    let mut file = File::create(&path).map_err(at)?;
    let mut times = Vec::with_capacity(count);
    for _ in 0..count {
        let start = Instant::now();
        file.write_all(&BLOCK).map_err(at)?;
        file.sync_data().map_err(at)?;
        times.push(start.elapsed());
    }
    std::fs::remove_file(&path).map_err(at)?;
    times.sort();
    Ok(times)
}
