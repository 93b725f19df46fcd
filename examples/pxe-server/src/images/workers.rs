//! Threads that read files, of which one that hangs keeps no other file from its turn.

use std::time::Duration;

use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::{Instant, timeout_at};

/// How many files are read at once: a disk that seeks is not faster with more.
const AT_ONCE: usize = 4;
/// How many may be at work, with those that hang. Each takes a thread, two where it hangs in a read,
/// of the 512 of tokio's pool: the others are for clients.
const AT_WORK_MAX: usize = 32;

/// Work on files `F`, each on a thread that may wait.
#[derive(Debug)]
pub(super) struct Workers<F, T> {
    tasks: JoinSet<T>,
    running: Vec<Running<F>>,
    patience: Duration,
}

/// A thread at work.
#[derive(Debug)]
struct Running<F> {
    id: Id,
    /// What it reads; `None` if nobody wants to know any more.
    file: Option<F>,
    since: Instant,
    is_slow: bool,
}

/// What became of work on a file.
#[derive(Debug)]
pub(super) enum Event<F, T> {
    /// It takes its time, and is waited for no longer.
    Slow(F),
    /// It is done.
    Done {
        /// The file.
        file: F,
        /// How long it took, if it was slow.
        slow_for: Option<Duration>,
        /// What it gave, or the message of its panic.
        done: Result<T, String>,
    },
}

impl<F: Clone + PartialEq, T: Send + 'static> Workers<F, T> {
    /// Nobody at work; what takes longer than `patience` is slow.
    pub(super) fn new(patience: Duration) -> Self {
        Self {
            tasks: JoinSet::new(),
            running: Vec::new(),
            patience,
        }
    }

    /// After how long work is slow.
    pub(super) const fn patience(&self) -> Duration {
        self.patience
    }

    /// Whether more may be begun.
    pub(super) fn has_room(&self) -> bool {
        let at_work = self.running.len();
        at_work < AT_WORK_MAX && at_work - self.slow_count() < AT_ONCE
    }

    /// How many are slow.
    pub(super) fn slow_count(&self) -> usize {
        let slow = self.running.iter().filter(|running| running.is_slow);
        slow.count()
    }

    /// Whether somebody is at work on this file.
    pub(super) fn is_at(&self, file: &F) -> bool {
        let mut running = self.running.iter();
        running.any(|running| running.file.as_ref() == Some(file))
    }

    /// Begins work on a file.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub(super) fn begin(&mut self, file: F, work: impl FnOnce() -> T + Send + 'static) {
        let id = self.tasks.spawn_blocking(work).id();
        self.running.push(Running {
            id,
            file: Some(file),
            since: Instant::now(),
            is_slow: false,
        });
    }

    /// What is done on files of which this does not hold is of no interest any more. A thread that
    /// hangs cannot be ended, and counts until it is done.
    pub(super) fn retain(&mut self, is_wanted: impl Fn(&F) -> bool) {
        for running in &mut self.running {
            running.file.take_if(|file| !is_wanted(file));
        }
    }

    /// Waits for what happens next; `None` if nothing runs but what is slow.
    pub(super) async fn next(&mut self) -> Option<Event<F, T>> {
        loop {
            let patient = self.running.iter().filter(|running| !running.is_slow);
            let joined = match patient.map(|running| running.since).min() {
                None => Some(self.tasks.try_join_next_with_id()?),
                Some(since) => {
                    let joined = self.tasks.join_next_with_id();
                    timeout_at(since + self.patience, joined)
                        .await
                        .unwrap_or_default()
                }
            };
            let event = match joined {
                Some(joined) => self.done(joined),
                None => self.slow(),
            };
            if event.is_some() {
                return event;
            }
        }
    }

    /// Waits until something is done that was slow.
    pub(super) async fn late(&mut self) -> Event<F, T> {
        loop {
            match self.tasks.join_next_with_id().await {
                None => std::future::pending().await,
                Some(joined) => {
                    if let Some(event) = self.done(joined) {
                        return event;
                    }
                }
            }
        }
    }

    fn done(&mut self, joined: Result<(Id, T), JoinError>) -> Option<Event<F, T>> {
        let id = match &joined {
            Ok((id, _)) => *id,
            Err(error) => error.id(),
        };
        let place = self.running.iter().position(|running| running.id == id)?;
        let running = self.running.swap_remove(place);
        let done = match joined {
            Ok((_, done)) => Ok(done),
            // The server stops, and the work was not begun.
            Err(error) if error.is_cancelled() => return None,
            Err(error) => Err(message(error)),
        };
        Some(Event::Done {
            file: running.file?,
            slow_for: running.is_slow.then(|| running.since.elapsed()),
            done,
        })
    }

    /// One that takes too long from now on.
    fn slow(&mut self) -> Option<Event<F, T>> {
        let patience = self.patience;
        let is_late =
            |running: &&mut Running<F>| !running.is_slow && running.since.elapsed() >= patience;
        let running = self.running.iter_mut().find(is_late)?;
        running.is_slow = true;
        running.file.clone().map(Event::Slow)
    }
}

/// What a panic said.
fn message(error: JoinError) -> String {
    match error.try_into_panic() {
        Ok(panic) => match panic.downcast::<String>() {
            Ok(text) => *text,
            Err(panic) => match panic.downcast_ref::<&str>() {
                Some(text) => (*text).to_owned(),
                None => "a panic without a message".to_owned(),
            },
        },
        Err(error) => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    /// Work that waits until its sender is dropped.
    fn hanging() -> (mpsc::Sender<()>, impl FnOnce() -> u32 + Send) {
        let (held, wait) = mpsc::channel::<()>();
        let work = move || {
            let _ = wait.recv();
            7
        };
        (held, work)
    }

    async fn next_done(
        workers: &mut Workers<&'static str, u32>,
    ) -> (&'static str, bool, Result<u32, String>) {
        match workers.next().await.expect("at work") {
            Event::Done {
                file,
                slow_for,
                done,
            } => (file, slow_for.is_some(), done),
            Event::Slow(file) => panic!("{file} is slow"),
        }
    }

    #[tokio::test]
    async fn work_that_hangs_is_waited_for_once() {
        let mut workers = Workers::new(Duration::ZERO);
        let (held, work) = hanging();
        workers.begin("hangs", work);
        let slow = workers.next().await;
        assert!(matches!(slow, Some(Event::Slow(file)) if file == "hangs"));
        assert!(workers.next().await.is_none(), "nothing else is at work");
        assert!(workers.has_room() && workers.is_at(&"hangs"));
        drop(held);
        let Event::Done {
            file,
            slow_for,
            done,
        } = workers.late().await
        else {
            panic!("it was slow before");
        };
        assert_eq!((file, done), ("hangs", Ok(7)));
        assert!(slow_for.is_some() && !workers.is_at(&"hangs"));
    }

    #[tokio::test]
    async fn a_panic_is_told_of_its_file_alone() {
        let mut workers = Workers::new(HOUR);
        workers.begin("bad", || panic!("by {} bytes", 3));
        let told = ("bad", false, Err("by 3 bytes".to_owned()));
        assert_eq!(next_done(&mut workers).await, told);
        workers.begin("good", || 1);
        let told = ("good", false, Ok(1));
        assert_eq!(next_done(&mut workers).await, told);
        assert!(workers.next().await.is_none());
    }

    #[tokio::test]
    async fn threads_are_bounded() {
        let mut workers = Workers::new(Duration::ZERO);
        let mut all_held = Vec::new();
        while workers.has_room() {
            while workers.has_room() {
                let (held, work) = hanging();
                workers.begin(all_held.len(), work);
                all_held.push(held);
            }
            while workers.next().await.is_some() {}
        }
        assert_eq!(all_held.len(), AT_WORK_MAX);
        assert_eq!(workers.slow_count(), AT_WORK_MAX);
        drop(all_held);
        workers.late().await;
        while !workers.running.is_empty() {
            workers.late().await;
        }
        assert!(workers.has_room());
    }

    #[tokio::test]
    async fn what_nobody_wants_to_know_is_not_told() {
        let mut workers = Workers::new(HOUR);
        let (held, work) = hanging();
        workers.begin("gone", work);
        workers.retain(|file| *file != "gone");
        assert!(!workers.is_at(&"gone"));
        workers.begin("gone", || 1);
        let told = ("gone", false, Ok(1));
        assert_eq!(next_done(&mut workers).await, told);
        drop(held);
        assert!(workers.next().await.is_none());
    }
}
