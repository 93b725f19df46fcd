//! A socket of any kind that a tokio runtime watches.

use std::io;
use std::net::UdpSocket;
use std::os::fd::AsFd;
use std::task::{Context, Poll};

use ::tokio::io::Interest;

/// A socket that is not blocking, and a task that waits for it.
///
/// tokio's `AsyncFd` would be for this, and takes unsafe code since tokio 1.54. Its `UdpSocket`
/// watches any socket, and is asked here for nothing else.
#[derive(Debug)]
pub(super) struct ReadySocket<T> {
    watch: ::tokio::net::UdpSocket,
    inner: T,
}

impl<T: AsFd> ReadySocket<T> {
    /// To be called in a runtime.
    pub(super) fn new(inner: T) -> io::Result<Self> {
        let same = inner.as_fd().try_clone_to_owned()?;
        let watch = ::tokio::net::UdpSocket::from_std(UdpSocket::from(same))?;
        Ok(Self { watch, inner })
    }

    pub(super) const fn get_ref(&self) -> &T {
        &self.inner
    }

    pub(super) fn poll_readable(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.watch.poll_recv_ready(context)
    }

    pub(super) async fn readable(&self) -> io::Result<()> {
        self.watch.readable().await
    }

    /// Reads without waiting. A `WouldBlock` by `read` makes it wait for more.
    pub(super) fn try_read<R>(&self, read: impl FnOnce(&T) -> io::Result<R>) -> io::Result<R> {
        self.watch.try_io(Interest::READABLE, || read(&self.inner))
    }
}
