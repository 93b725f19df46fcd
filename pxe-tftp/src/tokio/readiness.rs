//! Which of a driver's many sockets have something to read, without a task for each.

use std::mem;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Wake, Waker};

use futures_util::task::AtomicWaker;
use pxe_core::SocketId;

use crate::config::Config;

/// What the sockets' wakers and the handles share with the driver's task.
#[derive(Debug, Default)]
pub(super) struct Shared {
    /// The driver's task.
    task: AtomicWaker,
    ready: Mutex<Vec<SocketId>>,
    control: Mutex<Control>,
}

/// What the handles want.
#[derive(Debug, Default)]
pub(super) struct Control {
    pub(super) shut_down: bool,
    pub(super) config: Option<Config>,
}

impl Shared {
    pub(super) fn register(&self, task: &Waker) {
        self.task.register(task);
    }

    /// Moves the sockets that became ready to `ids`, in their order of becoming so.
    pub(super) fn take_ready(&self, ids: &mut Vec<SocketId>) {
        ids.append(&mut lock(&self.ready));
    }

    pub(super) fn control(&self, change: impl FnOnce(&mut Control)) {
        change(&mut lock(&self.control));
        self.task.wake();
    }

    pub(super) fn take_control(&self) -> Control {
        mem::take(&mut *lock(&self.control))
    }
}

/// The values behind these locks are whole at every moment, so a panic elsewhere harms nothing.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Wakes the driver's task and says for which socket.
#[derive(Debug)]
pub(super) struct SocketWaker {
    id: SocketId,
    /// It stands in the list already.
    listed: AtomicBool,
    shared: Arc<Shared>,
}

impl SocketWaker {
    pub(super) fn new(id: SocketId, shared: Arc<Shared>) -> Arc<Self> {
        let listed = AtomicBool::new(false);
        Arc::new(Self { id, listed, shared })
    }

    /// To be called before the socket is looked at: what comes later lists it again.
    pub(super) fn unlist(&self) {
        self.listed.store(false, Ordering::Release);
    }
}

impl Wake for SocketWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.listed.swap(true, Ordering::AcqRel) {
            lock(&self.shared.ready).push(self.id);
            self.shared.task.wake();
        }
    }
}
