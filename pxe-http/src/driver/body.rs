//! A response's body, read from its blob as the client takes it.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::fmt;
use std::future::Future;
use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
#[cfg(feature = "tls")]
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use pxe_tree::{Blob, Direct, ErrorKind};

use super::flow::Flow;
use super::observer::Report;
use crate::Piece;
#[cfg(feature = "tls")]
use crate::event::Limit;
use crate::event::ResponseEnd;

/// How many bytes of a file are held at a time.
const CHUNK_LEN: u64 = 64 * 1024;

/// The body of a response: what its [`Plan`](crate::Plan) says, read piece by piece.
///
/// At most one chunk of 64 KiB is held by it. Its length is known from the start and is exact; if
/// the file cannot be read to its end, it fails, and the server closes the connection short.
pub struct FileBody {
    pieces: VecDeque<Piece>,
    blob: Option<Arc<dyn Blob>>,
    reading: Option<Reading>,
    /// Bytes in all, and those that are still to come.
    len: u64,
    remaining: u64,
    /// Taken when the end is told.
    report: Option<Report>,
    flow: Option<Arc<Flow>>,
    failed: Option<ErrorKind>,
    /// How long each read may take.
    #[cfg(feature = "tls")]
    source_timeout: Option<Duration>,
}

/// A read under way, and how many bytes it has to give.
struct Reading {
    len: u64,
    future: ReadAt,
}

type ReadAt = Pin<Box<dyn Future<Output = pxe_tree::Result<Bytes>> + Send>>;

/// Why a body ended before its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[error("file content ended early: {kind}")]
#[non_exhaustive]
pub struct BodyError {
    /// What happened to the file.
    pub kind: ErrorKind,
}

impl From<BodyError> for std::io::Error {
    fn from(error: BodyError) -> Self {
        Self::other(error)
    }
}

impl From<Infallible> for BodyError {
    fn from(never: Infallible) -> Self {
        match never {}
    }
}

impl FileBody {
    pub(super) fn new(
        pieces: Vec<Piece>,
        blob: Option<Arc<dyn Blob>>,
        report: Report,
        flow: Option<Arc<Flow>>,
    ) -> Self {
        let len = pieces.iter().map(Piece::len).sum();
        Self {
            len,
            remaining: len,
            pieces: pieces.into(),
            blob,
            reading: None,
            report: Some(report),
            flow,
            failed: None,
            #[cfg(feature = "tls")]
            source_timeout: None,
        }
    }

    /// The same, on a connection of ours that waits so long for the file and no longer.
    #[cfg(feature = "tls")]
    pub(super) const fn with_source_timeout(mut self, source_timeout: Duration) -> Self {
        self.source_timeout = Some(source_timeout);
        self
    }

    /// Reads that part of the file. It may take its time, within its limit.
    fn read_at(&self, blob: &Arc<dyn Blob>, offset: u64, len: usize) -> ReadAt {
        let blob = Arc::clone(blob);
        let read = async move { blob.read_at(offset, len).await };
        #[cfg(feature = "tls")]
        if let Some(source_timeout) = self.source_timeout {
            let flow = self.flow.clone();
            return Box::pin(async move {
                if let Ok(done) = tokio::time::timeout(source_timeout, read).await {
                    return done;
                }
                if let Some(flow) = flow {
                    flow.break_limit(Limit::SourceTime);
                }
                Err(ErrorKind::Busy.into())
            });
        }
        Box::pin(read)
    }

    fn fail(&mut self, kind: ErrorKind) -> BodyError {
        self.failed = Some(kind);
        self.reading = None;
        self.pieces.clear();
        BodyError { kind }
    }

    /// Starts reading a part of the file: the bytes at once if they are at hand.
    fn read(&mut self, range: &Range<u64>) -> Result<Option<Bytes>, ErrorKind> {
        // A piece of a file without a file is a fault of this crate; it must not panic for it.
        let blob = self.blob.as_ref().ok_or(ErrorKind::Io)?;
        let len = (range.end - range.start).min(CHUNK_LEN);
        let len_bytes = len as usize; // at most CHUNK_LEN
        // What lies in memory is shared by `read_at` without a copy.
        if !matches!(blob.direct(range.start, len), Direct::Memory(_)) {
            let mut buf = vec![0; len_bytes];
            if let Some(count) = blob
                .read_now(range.start, &mut buf)
                .map_err(|error| error.kind())?
            {
                buf.truncate(count);
                return check_len(Bytes::from(buf), len).map(Some);
            }
        }
        let future = self.read_at(blob, range.start, len_bytes);
        self.reading = Some(Reading { len, future });
        Ok(None)
    }

    /// Counts bytes as handed over.
    fn hand_over(&mut self, data: Bytes) -> Frame<Bytes> {
        let len = data.len() as u64;
        self.remaining = self.remaining.saturating_sub(len);
        if let Some(report) = &mut self.report {
            report.bytes_sent = report.bytes_sent.saturating_add(len);
        }
        Frame::data(data)
    }

    /// Takes the first `len` bytes from the front piece.
    fn advance(&mut self, len: u64) {
        if let Some(Piece::File(range)) = self.pieces.front_mut() {
            range.start = range.start.saturating_add(len);
            if range.is_empty() {
                self.pieces.pop_front();
            }
        }
    }
}

/// A read is short only at the end of the content, and no plan goes beyond the length that the
/// blob gave: so the content has shrunk.
fn check_len(data: Bytes, len: u64) -> Result<Bytes, ErrorKind> {
    if data.len() as u64 == len {
        Ok(data)
    } else {
        Err(ErrorKind::Stale)
    }
}

impl Body for FileBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = &mut *self;
        loop {
            if let Some(reading) = &mut this.reading {
                let read = ready!(reading.future.as_mut().poll(cx));
                let len = reading.len;
                this.reading = None;
                return Poll::Ready(Some(
                    match read
                        .map_err(|error| error.kind())
                        .and_then(|data| check_len(data, len))
                    {
                        Ok(data) => {
                            this.advance(len);
                            Ok(this.hand_over(data))
                        }
                        Err(kind) => Err(this.fail(kind)),
                    },
                ));
            }
            match this.pieces.front() {
                None => return Poll::Ready(None),
                Some(Piece::Text(text)) => {
                    let text = text.clone();
                    this.pieces.pop_front();
                    return Poll::Ready(Some(Ok(this.hand_over(text))));
                }
                Some(Piece::File(range)) => {
                    let range = range.clone();
                    match this.read(&range) {
                        Ok(Some(data)) => {
                            this.advance(data.len() as u64);
                            return Poll::Ready(Some(Ok(this.hand_over(data))));
                        }
                        Ok(None) => {}
                        Err(kind) => return Poll::Ready(Some(Err(this.fail(kind)))),
                    }
                }
            }
        }
    }

    /// Never true of an empty body: hyper would drop our Content-Length and append its own, as
    /// the last field, where lpxelinux does not see it.
    fn is_end_stream(&self) -> bool {
        self.remaining == 0 && self.len > 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.remaining)
    }
}

impl Drop for FileBody {
    fn drop(&mut self) {
        let Some(report) = self.report.take() else {
            return;
        };
        match (self.failed, self.remaining, &self.flow) {
            (Some(kind), ..) => report.tell(ResponseEnd::FileFailed(kind)),
            (None, 0, Some(flow)) => flow.end_response(report),
            (None, 0, None) => report.tell(ResponseEnd::Complete),
            (None, ..) => report.tell(ResponseEnd::Disconnected),
        }
    }
}

impl fmt::Debug for FileBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileBody")
            .field("pieces", &self.pieces)
            .field("remaining", &self.remaining)
            .finish_non_exhaustive()
    }
}
