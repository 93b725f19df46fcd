//! A client that sees each byte, and blobs that misbehave on demand.

use std::num::NonZeroU64;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use pxe_tree::{
    Attributes, Blob, ErrorKind, FileRequest, MemBlob, NodeId, NodeKind, Opened, Source, Timestamp,
    source_fn,
};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::Semaphore;

/// So that a broken server fails a test instead of hanging it; no test depends on its length.
pub(crate) async fn within_bounds<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(60), future)
        .await
        .expect("an end within a minute")
}

/// A connection to a server, whatever it runs over.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

pub(crate) struct Client {
    pub(crate) stream: Box<dyn Stream>,
}

impl Client {
    pub(crate) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        within_bounds(self.stream.write_all(bytes.as_ref()))
            .await
            .expect("to be taken");
    }

    /// What comes until the server closes, or resets.
    pub(crate) async fn rest(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        let _ = within_bounds(self.stream.read_to_end(&mut bytes)).await;
        bytes
    }

    /// One head, up to and with its empty line.
    pub(crate) async fn head(&mut self) -> String {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let byte = within_bounds(self.stream.read_u8()).await.expect("a head");
            head.push(byte);
        }
        String::from_utf8(head).expect("text")
    }

    pub(crate) async fn body(&mut self, len: usize) -> Vec<u8> {
        let mut body = vec![0; len];
        within_bounds(self.stream.read_exact(&mut body))
            .await
            .expect("a body");
        body
    }
}

/// A response that was read to the end of its connection.
pub(crate) struct Response {
    pub(crate) status: String,
    pub(crate) fields: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Response {
    pub(crate) fn parse(bytes: &[u8]) -> Self {
        let at = bytes
            .windows(4)
            .position(|window| window == b"\r\n\r\n")
            .unwrap_or_else(|| panic!("no head in {:?}", String::from_utf8_lossy(bytes)));
        let head = std::str::from_utf8(&bytes[..at]).expect("text");
        let mut lines = head.split("\r\n");
        Self {
            status: lines.next().expect("a status line").to_owned(),
            fields: lines
                .map(|line| line.split_once(": ").expect("a field"))
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .collect(),
            body: bytes[at + 4..].to_vec(),
        }
    }

    /// With regard to case.
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        self.fields
            .iter()
            .find_map(|(field, value)| (field == name).then_some(value.as_str()))
    }

    pub(crate) fn names(&self) -> Vec<&str> {
        self.fields.iter().map(|(name, _)| name.as_str()).collect()
    }
}

pub(crate) fn attributes(len: u64) -> Attributes {
    let mut attributes = Attributes::new(NodeId::new(NonZeroU64::MIN), NodeKind::File, len);
    attributes.change = 1;
    attributes.modified = Timestamp::from_seconds(784_111_777);
    attributes
}

/// `/hello` and `/efi64/grubx64.efi`; a directory `/dir`; `/old` has moved.
pub(crate) fn files() -> Arc<dyn Source> {
    Arc::new(source_fn(|request: &FileRequest<'_>| {
        match request.path.as_bytes() {
            b"hello" | b"52:54:00:15:00:01" => Ok(Opened::File(MemBlob::with_attributes(
                "hello, world\n",
                attributes(0),
            ))),
            b"efi64/grubx64.efi" => Ok(Opened::File(MemBlob::new("MZ"))),
            b"empty" => Ok(Opened::File(MemBlob::new(""))),
            b"old" => Ok(Opened::Moved("/hello".into())),
            b"query" => Ok(Opened::File(MemBlob::new(
                request.query.unwrap_or("none").to_owned(),
            ))),
            _ => Err(ErrorKind::NotFound.into()),
        }
    }))
}

/// A source of this one blob, whatever is asked for.
pub(crate) fn only(blob: Arc<dyn Blob>) -> Arc<dyn Source> {
    Arc::new(source_fn(move |_: &FileRequest<'_>| {
        Ok(Opened::File(Arc::clone(&blob)))
    }))
}

/// The byte at each place of the files that [`PatternBlob`] makes.
pub(crate) fn pattern(offset: u64) -> u8 {
    // A prime, so that no chunk looks like another.
    (offset % 251) as u8
}

/// A file of any length, made as it is read.
#[derive(Debug)]
pub(crate) struct PatternBlob {
    pub(crate) attributes: Attributes,
    /// Whether it answers `read_now`.
    pub(crate) now: bool,
    /// How many bytes were read.
    pub(crate) read: AtomicU64,
    /// From where on reads fail, and how.
    pub(crate) fails: Option<(u64, ErrorKind)>,
    /// From where on reads are short.
    pub(crate) ends: Option<u64>,
    /// From where on reads wait for a permit.
    pub(crate) gate: Option<(u64, Semaphore)>,
}

impl PatternBlob {
    pub(crate) fn new(len: u64) -> Self {
        Self {
            attributes: attributes(len),
            now: false,
            read: AtomicU64::new(0),
            fails: None,
            ends: None,
            gate: None,
        }
    }

    /// Lets all reads through that wait, and will wait.
    pub(crate) fn open_gate(&self) {
        let (_, gate) = self.gate.as_ref().expect("a gate");
        gate.add_permits(Semaphore::MAX_PERMITS / 2);
    }

    fn fill(&self, offset: u64, buf: &mut [u8]) -> pxe_tree::Result<usize> {
        let end = self.ends.unwrap_or(self.attributes.len);
        let len = buf.len().min(end.saturating_sub(offset) as usize);
        if let Some((from, kind)) = self.fails
            && offset + len as u64 > from
        {
            return Err(kind.into());
        }
        for (byte, at) in buf[..len].iter_mut().zip(offset..) {
            *byte = pattern(at);
        }
        self.read.fetch_add(len as u64, Ordering::Relaxed);
        Ok(len)
    }
}

#[async_trait]
impl Blob for PatternBlob {
    fn attributes(&self) -> &Attributes {
        &self.attributes
    }

    async fn read_at(&self, offset: u64, len: usize) -> pxe_tree::Result<Bytes> {
        if let Some((from, gate)) = &self.gate
            && offset + len as u64 > *from
        {
            gate.acquire().await.expect("an open gate").forget();
        }
        tokio::task::yield_now().await;
        let mut buf = vec![0; len];
        let len = self.fill(offset, &mut buf)?;
        buf.truncate(len);
        Ok(buf.into())
    }

    fn read_now(&self, offset: u64, buf: &mut [u8]) -> pxe_tree::Result<Option<usize>> {
        if self.now {
            self.fill(offset, buf).map(Some)
        } else {
            Ok(None)
        }
    }
}
