//! Lines on their way to stderr.

use std::io::{self, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tracing_subscriber::fmt::MakeWriter;

/// Lines that wait for the thread; beyond, lines are dropped and counted. At 200 bytes a line this
/// is 2 MB, and a second of a thousand machines that boot at once.
const LINES_MAX: usize = 8192;
/// How long the end of the program waits for a reader of stderr that does not read.
const FLUSH_PATIENCE: Duration = Duration::from_secs(2);

/// Writes lines: at once at first, and by a thread of its own once that is started.
#[derive(Debug, Clone, Default)]
pub(super) struct LineWriter {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    thread: OnceLock<SyncSender<Message>>,
    dropped: AtomicU64,
}

#[derive(Debug)]
enum Message {
    Line(Vec<u8>),
    Flush(SyncSender<()>),
}

impl LineWriter {
    pub(super) fn start_thread(&self) -> io::Result<()> {
        self.start_thread_to(io::stderr())
    }

    fn start_thread_to(&self, out: impl Write + Send + 'static) -> io::Result<()> {
        let (sender, receiver) = sync_channel(LINES_MAX);
        let shared = Arc::clone(&self.shared);
        let thread = std::thread::Builder::new().name("log".to_owned());
        thread.spawn(move || write_all(&receiver, &shared.dropped, out))?;
        // A second thread would end at once, its sender being dropped here.
        let _ = self.shared.thread.set(sender);
        Ok(())
    }

    pub(super) fn flush(&self) {
        if let Some(thread) = self.shared.thread.get() {
            let (sender, done) = sync_channel(1);
            // A full queue is a reader that does not read.
            if thread.try_send(Message::Flush(sender)).is_ok() {
                let _ = done.recv_timeout(FLUSH_PATIENCE);
            }
        }
    }

    fn write_line(&self, line: &[u8]) {
        match self.shared.thread.get() {
            // There is nowhere to tell that stderr cannot be written.
            None => drop(io::stderr().write_all(line)),
            Some(thread) => {
                if let Err(TrySendError::Full(_)) = thread.try_send(Message::Line(line.to_vec())) {
                    self.shared.dropped.fetch_add(1, Ordering::Relaxed);
                }
            }
        }
    }
}

fn write_all(messages: &Receiver<Message>, dropped: &AtomicU64, mut out: impl Write) {
    for message in messages {
        match message {
            Message::Line(line) => drop(out.write_all(&line)),
            Message::Flush(done) => drop(done.try_send(())),
        }
        let lost = dropped.swap(0, Ordering::Relaxed);
        if lost > 0 {
            drop(writeln!(
                out,
                "{lost} lines were dropped: this log is read too slowly"
            ));
        }
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
    use std::sync::Mutex;
    use std::sync::mpsc::channel;

    /// A reader of the log that does not read before it is told to.
    struct Slow {
        go: Receiver<()>,
        written: Arc<Mutex<String>>,
    }

    impl Write for Slow {
        fn write(&mut self, line: &[u8]) -> io::Result<usize> {
            // An error means that the test lets it go on for ever.
            let _ = self.go.recv();
            let mut written = self.written.lock().expect("whole");
            written.push_str(std::str::from_utf8(line).expect("UTF-8"));
            Ok(line.len())
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
        for number in 0..LINES_MAX + 100 {
            writer.write_line(format!("line {number}\n").as_bytes());
        }
        assert!(writer.shared.dropped.load(Ordering::Relaxed) >= 99);
        drop(go);
        // Waits for room, unlike `flush`.
        let (sender, done) = sync_channel(1);
        let thread = writer.shared.thread.get().expect("started");
        thread.send(Message::Flush(sender)).expect("running");
        done.recv().expect("answered");
        let written = written.lock().expect("whole");
        assert!(written.contains("lines were dropped"));
        assert!(written.starts_with("line 0\n"));
    }
}
