//! How long somebody is waited for.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, Sleep};

/// A connection's timer.
///
/// It is set only when it has to ring earlier than it would, or has rung too early: so a busy
/// connection never touches the runtime's timers.
#[derive(Debug)]
pub(super) struct Patience {
    sleep: Pin<Box<Sleep>>,
}

impl Patience {
    /// `first` is how long what is waited for first may take.
    pub(super) fn new(first: Duration) -> Self {
        Self {
            sleep: Box::pin(tokio::time::sleep(first)),
        }
    }

    /// Ready once that time is over since then.
    pub(super) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        since: Instant,
        duration: Duration,
    ) -> Poll<()> {
        // Beyond what the clock can say: never.
        let Some(deadline) = since.checked_add(duration) else {
            return Poll::Pending;
        };
        if deadline < self.sleep.deadline() {
            self.sleep.as_mut().reset(deadline);
        }
        while self.sleep.as_mut().poll(cx).is_ready() {
            if self.sleep.deadline() >= deadline {
                return Poll::Ready(());
            }
            self.sleep.as_mut().reset(deadline);
        }
        Poll::Pending
    }

    /// What the future gives, or `None` if it takes longer than that.
    pub(super) async fn bound<T>(
        &mut self,
        duration: Duration,
        future: impl Future<Output = T>,
    ) -> Option<T> {
        let mut future = std::pin::pin!(future);
        let mut since = None;
        std::future::poll_fn(|cx| {
            if let Poll::Ready(output) = future.as_mut().poll(cx) {
                return Poll::Ready(Some(output));
            }
            let since = *since.get_or_insert_with(Instant::now);
            self.poll(cx, since, duration).map(|()| None)
        })
        .await
    }
}
