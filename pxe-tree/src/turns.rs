//! One who makes what many ask for at once, while the others wait.

use std::collections::BTreeSet;
use std::future::poll_fn;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};

/// Sees to it that of many who ask for the same thing at once one makes it and the others wait.
///
/// A thousand clients that ask for a directory's entries are not to read the directory a thousand
/// times at once. What was made is kept elsewhere, by whoever owns this.
#[derive(Debug)]
pub struct Turns<K> {
    making: Mutex<Making<K>>,
}

/// What is being made, and who waits for something.
#[derive(Debug)]
struct Making<K> {
    keys: BTreeSet<K>,
    waiting: Vec<Waker>,
}

/// What there is of a thing.
#[derive(Debug)]
#[allow(clippy::exhaustive_enums)] // there is no third case
pub enum Turn<'a, T, K: Ord + Copy> {
    /// The thing itself.
    Made(T),
    /// Nothing; it is for the caller to make it and to keep it, until this is dropped.
    Make(Maker<'a, K>),
}

/// The only one who makes a thing.
#[derive(Debug)]
pub struct Maker<'a, K: Ord + Copy> {
    making: &'a Mutex<Making<K>>,
    key: K,
}

impl<K: Ord + Copy> Drop for Maker<'_, K> {
    fn drop(&mut self) {
        let mut making = lock(self.making);
        making.keys.remove(&self.key);
        // All of them: one that is woken alone may have given up.
        let waiting = std::mem::take(&mut making.waiting);
        drop(making);
        waiting.into_iter().for_each(Waker::wake);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<K> Default for Turns<K> {
    fn default() -> Self {
        Self {
            making: Mutex::new(Making {
                keys: BTreeSet::new(),
                waiting: Vec::new(),
            }),
        }
    }
}

impl<K: Ord + Copy> Turns<K> {
    /// What `made` finds, or the right to make it. `made` is called again each time that somebody
    /// else has made something, or has given up.
    pub async fn turn<T>(&self, key: K, made: impl Fn() -> Option<T>) -> Turn<'_, T, K> {
        poll_fn(|context| {
            let mut making = lock(&self.making);
            if let Some(made) = made() {
                return Poll::Ready(Turn::Made(made));
            }
            if making.keys.insert(key) {
                let making = &self.making;
                return Poll::Ready(Turn::Make(Maker { making, key }));
            }
            let waker = context.waker();
            if !making.waiting.iter().any(|other| other.will_wake(waker)) {
                making.waiting.push(waker.clone());
            }
            Poll::Pending
        })
        .await
    }
}
