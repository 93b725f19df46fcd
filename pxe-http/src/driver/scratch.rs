//! Memory that each thread has once, for what lives no longer than one system call.

use std::cell::RefCell;

/// Bytes of a file that leave by one system call, copied.
pub(super) const COPIED_BYTES_MAX: usize = 64 * 1024;
/// What else leaves with them: the head, and the parts' heads of several ranges.
const HEADS_BYTES: usize = 16 * 1024;

thread_local! {
    static SCRATCH: RefCell<Box<[u8]>> =
        RefCell::new(vec![0; COPIED_BYTES_MAX + HEADS_BYTES].into());
}

/// Runs the function with this thread's memory, whose content means nothing.
pub(super) fn with_scratch<T>(f: impl FnOnce(&mut [u8]) -> T) -> T {
    SCRATCH.with(|scratch| match scratch.try_borrow_mut() {
        Ok(mut scratch) => f(&mut scratch),
        // Within itself: a source that runs a server's connection while it is read.
        Err(_) => f(&mut vec![0; COPIED_BYTES_MAX + HEADS_BYTES]),
    })
}
