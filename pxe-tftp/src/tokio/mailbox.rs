//! What comes to a thread from tasks and from other threads.

use std::mem;
use std::sync::{Arc, Mutex};

use super::control::{Shared, lock};

/// The mail of one thread.
#[derive(Debug)]
pub(super) struct Mailbox<M> {
    mails: Mutex<Vec<M>>,
    shared: Arc<Shared>,
    thread: usize,
}

impl<M> Mailbox<M> {
    pub(super) fn new(shared: Arc<Shared>, thread: usize) -> Self {
        Self {
            mails: Mutex::default(),
            shared,
            thread,
        }
    }

    /// Puts a mail in, and wakes the thread unless others did that already.
    pub(super) fn put(&self, mail: M) {
        let was_empty = {
            let mut mails = lock(&self.mails);
            mails.push(mail);
            mails.len() == 1
        };
        if was_empty && let Some(waker) = self.shared.waker(self.thread) {
            waker.wake();
        }
    }

    /// Takes all that is there.
    pub(super) fn take(&self) -> Vec<M> {
        mem::take(&mut *lock(&self.mails))
    }
}
