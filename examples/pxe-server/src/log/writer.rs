//! Lines on their way to stderr.

use std::io::{self, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use tracing_subscriber::fmt::MakeWriter;

/// Bytes that wait for the thread; beyond, lines are dropped and counted. At 200 bytes a line this
/// is a second of a thousand machines that boot at once.
const WAITING_BYTES_MAX: usize = 2 << 20;
/// How long lines are collected after some were written. The first line after a silence leaves at
/// once; in a flood, waking the thread for each line costs more than the line.
const COLLECT: Duration = Duration::from_millis(2);
/// How long the end of the program waits for a reader of stderr that does not read.
const FLUSH_PATIENCE: Duration = Duration::from_secs(2);

/// Writes lines: at once at first, and by a thread of its own once that is started.
#[derive(Debug, Clone, Default)]
pub(super) struct LineWriter {
    /// What the thread shares; none before it is started.
    queue: Arc<OnceLock<Queue>>,
}

#[derive(Debug, Default)]
struct Queue {
    lines: Mutex<Lines>,
    /// There are lines.
    filled: Condvar,
    /// There are none left.
    written: Condvar,
}

#[derive(Debug, Default)]
struct Lines {
    waiting: Vec<u8>,
    dropped: u64,
    /// Whether the thread sleeps until there are lines.
    is_thread_idle: bool,
}

impl LineWriter {
    pub(super) fn start_thread(&self) -> io::Result<()> {
        self.start_thread_to(io::stderr())
    }

    fn start_thread_to(&self, out: impl Write + Send + 'static) -> io::Result<()> {
        if self.queue.set(Queue::default()).is_err() {
            return Ok(());
        }
        let queue = Arc::clone(&self.queue);
        let thread = std::thread::Builder::new().name("log".to_owned());
        thread.spawn(move || {
            if let Some(queue) = queue.get() {
                queue.write_all(out);
            }
        })?;
        Ok(())
    }

    pub(super) fn flush(&self) {
        self.flush_within(FLUSH_PATIENCE);
    }

    fn flush_within(&self, patience: Duration) {
        if let Some(queue) = self.queue.get() {
            let is_busy = |lines: &mut Lines| !lines.waiting.is_empty() || !lines.is_thread_idle;
            drop(
                queue
                    .written
                    .wait_timeout_while(queue.lock(), patience, is_busy),
            );
        }
    }

    fn write_line(&self, line: &[u8]) {
        match self.queue.get() {
            // There is nowhere to tell that stderr cannot be written.
            None => drop(io::stderr().write_all(line)),
            Some(queue) => queue.put(line),
        }
    }
}

impl Queue {
    fn put(&self, line: &[u8]) {
        let mut lines = self.lock();
        if lines.waiting.len() + line.len() > WAITING_BYTES_MAX {
            lines.dropped += 1;
            return;
        }
        lines.waiting.extend_from_slice(line);
        // The condition variable would make a system call even if nobody waits.
        if std::mem::take(&mut lines.is_thread_idle) {
            drop(lines);
            self.filled.notify_one();
        }
    }

    fn write_all(&self, mut out: impl Write) {
        let mut batch = Vec::new();
        loop {
            let dropped = {
                let mut lines = self.lock();
                while lines.waiting.is_empty() && lines.dropped == 0 {
                    lines.is_thread_idle = true;
                    self.written.notify_all();
                    lines = (self.filled.wait(lines)).unwrap_or_else(PoisonError::into_inner);
                }
                lines.is_thread_idle = false;
                std::mem::swap(&mut batch, &mut lines.waiting);
                std::mem::take(&mut lines.dropped)
            };
            drop(out.write_all(&batch));
            batch.clear();
            if dropped > 0 {
                drop(writeln!(
                    out,
                    "{dropped} lines were dropped: this log is read too slowly"
                ));
            }
            std::thread::sleep(COLLECT);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Lines> {
        // Nothing that holds it can panic half way.
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<'a> MakeWriter<'a> for LineWriter {
    type Writer = &'a Self;

    fn make_writer(&'a self) -> Self::Writer {
        self
    }
}

impl Write for &LineWriter {
    /// The formatter hands each line over whole.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.write_line(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::{Receiver, channel};

    /// A reader of the log that does not read before it is told to.
    struct Slow {
        go: Receiver<()>,
        written: Arc<Mutex<String>>,
    }

    impl Write for Slow {
        fn write(&mut self, lines: &[u8]) -> io::Result<usize> {
            // An error means that the test lets it go on for ever.
            let _ = self.go.recv();
            let mut written = self.written.lock().expect("whole");
            written.push_str(std::str::from_utf8(lines).expect("UTF-8"));
            Ok(lines.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_reader_that_does_not_read_holds_nobody_up() {
        let (go, wait) = channel();
        let written = Arc::new(Mutex::new(String::new()));
        let writer = LineWriter::default();
        let slow = Slow {
            go: wait,
            written: Arc::clone(&written),
        };
        writer.start_thread_to(slow).expect("a thread");
        // The thread may have taken as much as can wait; as much again fills the queue.
        let line = "x".repeat(1 << 10);
        let fits = WAITING_BYTES_MAX / (line.len() + 10);
        for number in 0..2 * fits + 100 {
            writer.write_line(format!("{number} {line}\n").as_bytes());
        }
        drop(go);
        writer.flush_within(Duration::from_secs(60));
        let written = written.lock().expect("whole");
        assert!(written.contains("lines were dropped"));
        assert!(written.starts_with("0 x"));
        let numbers = written.lines().filter_map(|line| line.split_once(" x"));
        let numbers: Vec<usize> = numbers
            .filter_map(|(number, _)| number.parse().ok())
            .collect();
        assert!(
            numbers.is_sorted() && numbers.len() >= fits,
            "{}",
            numbers.len()
        );
    }
}
