//! Holding on to files that were born a moment ago.
//!
//! A file system gives the inode of a deleted file to the next one at once, and births are kept
//! in ticks of the kernel's clock (1 to 10 ms). A file that is deleted and made again within one
//! tick would look like the first one, to nodes and to keys. An inode that is open is not given
//! away: so each file that is met within its first moments stays open (`O_PATH`) until the tick
//! has passed. This outlives the tree, as keys do.

use std::collections::VecDeque;
use std::os::fd::OwnedFd;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use super::stat::Stat;

/// Longer than the longest tick.
const YOUNG: Duration = Duration::from_millis(30);

/// How many files are held at once, in this process; beyond, the oldest is let go.
const HELD_MAX: usize = 128;

static HELD: Mutex<VecDeque<(SystemTime, OwnedFd)>> = Mutex::new(VecDeque::new());

/// Keeps the file open for a while if it is young.
pub(super) fn hold(fd: OwnedFd, stat: &Stat) {
    let Some(birth) = stat.identity.birth else {
        return;
    };
    let now = SystemTime::now();
    let Ok(seconds) = u64::try_from(birth.seconds) else {
        return;
    };
    let birth = SystemTime::UNIX_EPOCH + Duration::new(seconds, birth.nanos);
    // Born in the future: the clock was set back, or is another machine's.
    let age = match now.duration_since(birth) {
        Ok(age) => age,
        Err(ahead) => ahead.duration(),
    };
    if age >= YOUNG {
        return;
    }
    let mut held = HELD.lock().unwrap_or_else(PoisonError::into_inner);
    while held.len() >= HELD_MAX
        || held
            .front()
            .is_some_and(|(since, _)| now.duration_since(*since).is_ok_and(|age| age >= YOUNG))
    {
        held.pop_front();
    }
    held.push_back((now, fd));
}
