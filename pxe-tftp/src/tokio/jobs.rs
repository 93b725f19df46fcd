//! What may take a while: files being opened, and data being read.

use std::collections::HashMap;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use ::tokio::runtime::Handle;
use ::tokio::task::AbortHandle;
use futures_util::FutureExt;
use pxe_tree::{ErrorKind, Opened};

use super::chunks::Waiter;
use super::files::Data;
use super::mailbox::Mailbox;
use super::requests::HandedOver;
use crate::event::TransferId;
use crate::output::Incoming;

/// What comes to a thread.
#[derive(Debug)]
pub(super) enum Mail {
    /// A job has been done.
    Done(Done),
    /// Another transfer has read what this one waits for.
    Look(TransferId),
    /// Another thread got a packet that belongs here.
    HandedOver(HandedOver),
}

/// What a job led to.
#[derive(Debug)]
pub(super) enum Done {
    Opened(Incoming, pxe_tree::Result<Opened>),
    Data {
        transfer: TransferId,
        result: pxe_tree::Result<Data>,
    },
}

impl Done {
    const fn transfer(&self) -> TransferId {
        match self {
            Self::Opened(incoming, _) => incoming.transfer(),
            Self::Data { transfer, .. } => *transfer,
        }
    }
}

/// Has a transfer look for its data again.
#[derive(Debug)]
pub(super) struct Look {
    pub(super) mailbox: Arc<Mailbox<Mail>>,
    pub(super) transfer: TransferId,
}

impl Waiter for Look {
    fn tell(self) {
        self.mailbox.put(Mail::Look(self.transfer));
    }
}

/// A job: polled once at the spot, then by a task of its own.
pub(super) type Job = Pin<Box<dyn Future<Output = Done> + Send>>;

/// The jobs of one thread that took a while.
#[derive(Debug)]
pub(super) struct Jobs {
    runtime: Handle,
    mailbox: Arc<Mailbox<Mail>>,
    /// The job that a transfer waits for.
    waiting: HashMap<TransferId, AbortHandle>,
}

impl Jobs {
    pub(super) fn new(runtime: Handle, mailbox: Arc<Mailbox<Mail>>) -> Self {
        Self {
            runtime,
            mailbox,
            waiting: HashMap::new(),
        }
    }

    /// Polls a job at once, since most need no waiting, and else makes it a task, which sends mail.
    pub(super) fn start(&mut self, transfer: TransferId, mut job: Job) -> Option<Done> {
        // The task polls it again whatever happens meanwhile.
        match job.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(done) => Some(done),
            Poll::Pending => {
                let mailbox = Arc::clone(&self.mailbox);
                let task = async move { mailbox.put(Mail::Done(job.await)) };
                let task = self.runtime.spawn(task).abort_handle();
                self.waiting.insert(transfer, task);
                None
            }
        }
    }

    /// Takes notice of a job that is done.
    pub(super) fn ended(&mut self, done: &Done) {
        self.waiting.remove(&done.transfer());
    }

    /// A file system that hangs must not gather jobs.
    pub(super) fn abort(&mut self, transfer: TransferId) {
        if let Some(job) = self.waiting.remove(&transfer) {
            job.abort();
        }
    }
}

impl Drop for Jobs {
    fn drop(&mut self) {
        self.waiting.values().for_each(AbortHandle::abort);
    }
}

/// A panic of the source is one client's misfortune, and not the end of the server.
pub(super) async fn unless_panicked<T>(
    job: impl Future<Output = pxe_tree::Result<T>>,
) -> pxe_tree::Result<T> {
    let result = AssertUnwindSafe(job).catch_unwind().await;
    result.unwrap_or_else(|_| Err(ErrorKind::Io.into()))
}
