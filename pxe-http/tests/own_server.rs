//! What the server's own driver does with files of the operating system, with clients that speak
//! too much, and with sources that hang. What all drivers do alike is in `conformance`.

use std::fs::{self, File, OpenOptions};
use std::io::{Seek, SeekFrom, Write};
use std::os::fd::AsFd;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use pxe_http::{Event, Handle, Limit, Limits, Responded, ResponseEnd, Server};
use pxe_tree::{
    Attributes, Blob, DirTree, Direct, ErrorKind, FileRequest, MemBlob, MemTree, Opened, Source,
    TreeSource, source_fn,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;

/// So that a broken server fails a test instead of hanging it; no test depends on its length.
async fn within_bounds<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(60), future)
        .await
        .expect("an end within a minute")
}

struct Running {
    address: std::net::SocketAddr,
    handle: Handle,
    events: mpsc::UnboundedReceiver<Event>,
}

impl Running {
    fn start(limits: Limits, source: Arc<dyn Source>) -> Self {
        let bound = Server::bind("127.0.0.1:0").expect("a port");
        let address = bound.local_addr();
        let (sender, events) = mpsc::unbounded_channel();
        let handle = Server::new()
            .limits(limits)
            .on_event(move |event| {
                let _ = sender.send(event.clone());
            })
            .listen(bound, source)
            .start()
            .expect("a runtime");
        Self {
            address,
            handle,
            events,
        }
    }

    async fn connect(&self) -> TcpStream {
        within_bounds(TcpStream::connect(self.address))
            .await
            .expect("a connection")
    }

    async fn exchange(&self, request: impl AsRef<[u8]>) -> Vec<u8> {
        let mut stream = self.connect().await;
        send(&mut stream, request).await;
        rest(&mut stream).await
    }

    async fn event<T>(&mut self, take: impl Fn(Event) -> Option<T>) -> T {
        loop {
            let event = within_bounds(self.events.recv()).await.expect("an event");
            if let Some(taken) = take(event) {
                return taken;
            }
        }
    }

    async fn response(&mut self) -> Responded {
        self.event(|event| match event {
            Event::Response(responded) => Some(responded),
            _ => None,
        })
        .await
    }

    async fn limit(&mut self) -> Limit {
        self.event(|event| match event {
            Event::Limited(limited) => Some(limited.limit),
            _ => None,
        })
        .await
    }
}

fn limits(change: impl FnOnce(&mut Limits)) -> Limits {
    let mut limits = Limits::default();
    change(&mut limits);
    limits
}

async fn send(stream: &mut TcpStream, bytes: impl AsRef<[u8]>) {
    within_bounds(stream.write_all(bytes.as_ref()))
        .await
        .expect("to be taken");
}

/// What comes until the server closes, or resets.
async fn rest(stream: &mut TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    let _ = within_bounds(stream.read_to_end(&mut bytes)).await;
    bytes
}

/// A response's head, up to its empty line.
async fn head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(within_bounds(stream.read_u8()).await.expect("a head"));
    }
    String::from_utf8(head).expect("text")
}

async fn content(stream: &mut TcpStream, len: usize) -> Vec<u8> {
    let mut content = vec![0; len];
    within_bounds(stream.read_exact(&mut content))
        .await
        .expect("content");
    content
}

/// Head and content of a response that ended with its connection.
fn parts(response: &[u8]) -> (&str, &[u8]) {
    let at = response.windows(4).position(|bytes| bytes == b"\r\n\r\n");
    let (head, content) = response.split_at(at.expect("a head") + 4);
    (std::str::from_utf8(head).expect("text"), content)
}

/// Bytes of which no two chunks are alike.
fn pattern(range: std::ops::Range<u64>) -> Vec<u8> {
    range.map(|at| (at % 251) as u8).collect()
}

const MIB: u64 = 1 << 20;

/// A server of a directory with one file of that many bytes.
fn with_file(len: u64) -> (Running, tempfile::TempDir) {
    let dir = tempfile::tempdir().expect("a directory");
    fs::write(dir.path().join("f"), pattern(0..len)).expect("a file");
    let tree = DirTree::new(dir.path()).expect("a tree");
    let source = TreeSource::new(Arc::new(tree));
    (Running::start(Limits::default(), Arc::new(source)), dir)
}

const GET: &str = "GET /f HTTP/1.1\r\nHost: a\r\n\r\n";
const GET_AND_CLOSE: &str = "GET /f HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";

/// Below and beyond what is copied, what leaves by one `sendfile`, and what a socket takes.
#[tokio::test]
async fn files_of_all_sizes_are_intact() {
    for len in [
        0,
        1,
        64 * 1024 - 1,
        64 * 1024,
        64 * 1024 + 1,
        80 * 1024,
        MIB,
        MIB + 1,
        20 * MIB + 4711,
    ] {
        let (mut server, _dir) = with_file(len);
        let response = server.exchange(GET_AND_CLOSE).await;
        let (head, content) = parts(&response);
        assert!(head.contains(&format!("\r\nContent-Length: {len}\r\n")));
        assert!(content == pattern(0..len), "{len} bytes");
        let told = server.response().await;
        assert_eq!((told.bytes_sent, told.bytes_expected), (len, len));
        assert_eq!(told.end, ResponseEnd::Complete);
    }
}

#[tokio::test]
async fn ranges_of_a_file_are_intact() {
    let (server, _dir) = with_file(5 * MIB);
    let mut stream = server.connect().await;
    for (first, last) in [
        (0, 0),
        (1, 65_536),
        (4711, 1_234_567),
        (MIB, 4 * MIB),
        (5 * MIB - 1, 5 * MIB - 1),
    ] {
        let request = format!("GET /f HTTP/1.1\r\nHost: a\r\nRange: bytes={first}-{last}\r\n\r\n");
        send(&mut stream, request).await;
        let head = head(&mut stream).await;
        assert!(head.starts_with("HTTP/1.1 206 "), "{head}");
        let content = content(&mut stream, (last + 1 - first) as usize).await;
        assert!(content == pattern(first..last + 1), "{first}-{last}");
    }
}

/// aria2 and others ask so for the ends of an archive.
#[tokio::test]
async fn several_ranges_of_a_file_leave_between_their_boundaries() {
    let (server, _dir) = with_file(5 * MIB);
    let request = "GET /f HTTP/1.0\r\nRange: bytes=0-9,100000-1200000,-5\r\n\r\n";
    let response = server.exchange(request).await;
    let (head, mut content) = parts(&response);
    let (_, len) = head.split_once("Content-Length: ").expect("a length");
    let len: usize = len
        .split_once('\r')
        .expect("a line")
        .0
        .parse()
        .expect("a number");
    assert_eq!(content.len(), len);
    for (first, last) in [(0, 9), (100_000, 1_200_000), (5 * MIB - 5, 5 * MIB - 1)] {
        let (part, after) = parts(content);
        let range = format!("Content-Range: bytes {first}-{last}/{}\r\n", 5 * MIB);
        assert!(part.contains(&range), "{part}");
        let (bytes, rest) = after.split_at((last + 1 - first) as usize);
        assert!(bytes == pattern(first..last + 1), "{first}-{last}");
        content = rest;
    }
}

#[tokio::test]
async fn many_requests_at_once_are_answered_in_order() {
    let (server, _dir) = with_file(300_000);
    let mut requests = String::new();
    let firsts: Vec<u64> = (0..200).map(|number| number * 1000).collect();
    for first in &firsts {
        let last = first + 70_000;
        let range = format!("Range: bytes={first}-{last}");
        requests.push_str(&format!("GET /f HTTP/1.1\r\nHost: a\r\n{range}\r\n\r\n"));
    }
    let (mut reading, mut writing) = server.connect().await.into_split();
    let written = tokio::spawn(async move {
        writing.write_all(requests.as_bytes()).await.expect("room");
        writing
    });
    let mut responses = Vec::new();
    let len = 70_001;
    for first in firsts {
        let expected = pattern(first..first + len);
        let at = loop {
            let head = responses.windows(4).position(|bytes| bytes == b"\r\n\r\n");
            if let Some(at) = head
                && responses.len() >= at + 4 + expected.len()
            {
                break at + 4;
            }
            let read = within_bounds(reading.read_buf(&mut responses)).await;
            assert!(read.expect("bytes") > 0);
        };
        assert!(responses[at..at + expected.len()] == expected, "{first}");
        responses.drain(..at + expected.len());
    }
    assert!(responses.is_empty());
    written.await.expect("no panic");
}

/// More than sockets hold on both sides, so that the server is amid the file.
const BEGUN: u64 = 64 * MIB;

/// A server that has begun to send a file, and what its client has got.
async fn begun() -> (Running, tempfile::TempDir, TcpStream) {
    let (server, dir) = with_file(BEGUN);
    let mut stream = server.connect().await;
    send(&mut stream, GET).await;
    head(&mut stream).await;
    content(&mut stream, 100_000).await;
    (server, dir, stream)
}

async fn ends_short(mut server: Running, mut stream: TcpStream, expected: ResponseEnd) {
    let rest = rest(&mut stream).await;
    assert!((rest.len() as u64) < BEGUN - 100_000, "it came whole");
    let told = server.response().await;
    assert_eq!(told.end, expected);
    assert!(told.bytes_sent < told.bytes_expected);
}

#[tokio::test]
async fn a_file_that_is_truncated_meanwhile_ends_with_a_closed_connection() {
    let (server, dir, stream) = begun().await;
    let file = OpenOptions::new().write(true).open(dir.path().join("f"));
    file.expect("a file").set_len(BEGUN / 2).expect("to be cut");
    ends_short(server, stream, ResponseEnd::FileFailed(ErrorKind::Stale)).await;
}

#[tokio::test]
async fn a_file_that_is_edited_in_place_meanwhile_ends_with_a_closed_connection() {
    let (server, dir, stream) = begun().await;
    let file = OpenOptions::new().write(true).open(dir.path().join("f"));
    let mut file = file.expect("a file");
    file.seek(SeekFrom::Start(10)).expect("a place");
    file.write_all(b"edited").expect("to be written");
    // So that it is another time, however coarse the file system's clock is.
    let modified = std::time::SystemTime::now() + Duration::from_secs(10);
    file.set_modified(modified).expect("a time");
    ends_short(server, stream, ResponseEnd::FileFailed(ErrorKind::Stale)).await;
}

#[tokio::test]
async fn a_file_that_is_replaced_meanwhile_finishes_with_the_old_content() {
    let (mut server, dir, mut stream) = begun().await;
    let name = |name: &str| dir.path().join(name);
    fs::write(name("new"), "new").expect("a file");
    fs::rename(name("new"), name("f")).expect("to be replaced");
    let content = content(&mut stream, BEGUN as usize - 100_000).await;
    assert!(content == pattern(100_000..BEGUN));
    assert_eq!(server.response().await.end, ResponseEnd::Complete);
    let response = server.exchange(GET_AND_CLOSE).await;
    assert_eq!(parts(&response).1, b"new");
}

/// Which the driver cannot hold at once, and need not.
#[tokio::test]
async fn a_file_of_more_than_4_gib_has_its_end() {
    let dir = tempfile::tempdir().expect("a directory");
    sparse(&dir.path().join("f"), (4 << 30) + 1);
    let tree = DirTree::new(dir.path()).expect("a tree");
    let server = Running::start(Limits::default(), Arc::new(TreeSource::new(Arc::new(tree))));
    let request = "GET /f HTTP/1.0\r\nRange: bytes=4294867296-\r\n\r\n";
    let response = server.exchange(request).await;
    let (head, content) = parts(&response);
    assert!(head.contains("Content-Range: bytes 4294867296-4294967296/4294967297\r\n"));
    assert_eq!(content.len(), 100_001);
    let (last, zeros) = content.split_last().expect("content");
    assert_eq!(*last, b'e');
    assert!(zeros.iter().all(|&byte| byte == 0));
}

fn sparse(path: &Path, len: u64) {
    let mut file = File::create(path).expect("a file");
    file.seek(SeekFrom::Start(len - 1)).expect("a place");
    file.write_all(b"e").expect("to be written");
}

fn small() -> Arc<dyn Source> {
    let tree = MemTree::new();
    tree.insert_file("f", &b"content"[..]).expect("room");
    Arc::new(TreeSource::new(Arc::new(tree)))
}

/// RFC 9112 section 9.6: a reset would make the client lose the response.
#[tokio::test]
async fn a_client_that_sends_content_can_read_the_refusal() {
    let server = Running::start(Limits::default(), small());
    let mut stream = server.connect().await;
    let content = vec![b'x'; 200_000];
    let head = format!(
        "PUT /f HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n",
        content.len()
    );
    send(&mut stream, head).await;
    send(&mut stream, content).await;
    stream.shutdown().await.expect("to be closed");
    let response = rest(&mut stream).await;
    assert!(response.starts_with(b"HTTP/1.1 405 "));
    assert!(parts(&response).0.contains("\r\nConnection: close\r\n"));
}

/// RFC 9110 section 10.1.1: a server may answer at once instead of with 100.
#[tokio::test]
async fn a_client_that_waits_for_100_is_answered_at_once() {
    let server = Running::start(Limits::default(), small());
    let request = "PUT /f HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\nExpect: 100-continue\r\n\r\n";
    assert!(server.exchange(request).await.starts_with(b"HTTP/1.1 405 "));
    // Without content there is nothing to be asked for.
    let mut stream = server.connect().await;
    let request = "GET /f HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n\r\n";
    for _ in 0..2 {
        send(&mut stream, request).await;
        assert!(head(&mut stream).await.starts_with("HTTP/1.1 200 "));
        assert_eq!(content(&mut stream, 7).await, b"content");
    }
}

#[tokio::test]
async fn a_target_in_absolute_form_is_told_of_as_it_came() {
    let mut server = Running::start(Limits::default(), small());
    let request = "GET http://boot:80/f?a=b HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    let response = server.exchange(request).await;
    assert_eq!(parts(&response).1, b"content");
    let told = server.response().await;
    assert_eq!(told.request.head.target, "http://boot:80/f?a=b");
}

#[tokio::test]
async fn a_head_may_come_in_any_pieces() {
    let server = Running::start(Limits::default(), small());
    for cut in 1..GET_AND_CLOSE.len() {
        let (begin, end) = GET_AND_CLOSE.split_at(cut);
        let mut stream = server.connect().await;
        stream.set_nodelay(true).expect("an option");
        send(&mut stream, begin).await;
        tokio::task::yield_now().await;
        send(&mut stream, end).await;
        assert_eq!(parts(&rest(&mut stream).await).1, b"content", "{cut}");
    }
}

#[tokio::test]
async fn a_request_line_that_is_too_long_is_answered_414() {
    let mut server = Running::start(Limits::default(), small());
    let request = format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "a".repeat(20_000));
    assert!(server.exchange(request).await.starts_with(b"HTTP/1.1 414 "));
    assert_eq!(server.limit().await, Limit::HeadBytes);
}

/// The client has sent its request before it reads; a reset would discard the refusal.
#[tokio::test]
async fn a_client_with_too_many_connections_can_read_the_refusal() {
    let limits = limits(|limits| limits.connections_per_client_max = 1);
    let mut server = Running::start(limits, small());
    let mut first = server.connect().await;
    send(&mut first, GET).await;
    head(&mut first).await;
    for _ in 0..10 {
        let mut second = server.connect().await;
        send(&mut second, GET).await;
        second.shutdown().await.expect("to be closed");
        let response = rest(&mut second).await;
        assert!(response.starts_with(b"HTTP/1.1 503 "));
        assert!(parts(&response).0.contains("\r\nRetry-After: 1\r\n"));
    }
    assert_eq!(server.limit().await, Limit::ConnectionsPerClient);
}

/// `sendfile` says alike whether the file or the connection has failed; this file was never to be
/// read.
#[tokio::test]
async fn a_file_that_cannot_be_sent_is_told_as_such() {
    #[derive(Debug)]
    struct Unreadable(Arc<MemBlob>, File);

    #[async_trait]
    impl Blob for Unreadable {
        fn attributes(&self) -> &Attributes {
            self.0.attributes()
        }

        async fn read_at(&self, offset: u64, len: usize) -> pxe_tree::Result<Bytes> {
            self.0.read_at(offset, len).await
        }

        fn read_now(&self, offset: u64, buf: &mut [u8]) -> pxe_tree::Result<Option<usize>> {
            self.0.read_now(offset, buf)
        }

        fn direct(&self, offset: u64, len: u64) -> Direct<'_> {
            let fd = self.1.as_fd();
            Direct::File { fd, offset, len }
        }
    }

    let dir = tempfile::tempdir().expect("a temporary directory");
    let file = File::create(dir.path().join("f")).expect("create");
    let blob = Arc::new(Unreadable(MemBlob::new(pattern(0..MIB)), file));
    let source = source_fn(move |_: &FileRequest<'_>| Ok(Opened::File(blob.clone())));
    let mut server = Running::start(Limits::default(), Arc::new(source));
    server.exchange(GET).await;
    let end = server.response().await.end;
    assert_eq!(end, ResponseEnd::FileFailed(ErrorKind::Io));
}

/// The client takes a little now and then, which is progress, but not enough.
#[tokio::test]
async fn a_client_that_takes_too_little_is_not_waited_for() {
    let limits = limits(|limits| {
        limits.stall_timeout = Duration::from_millis(100);
        limits.taken_bytes_least = usize::MAX;
    });
    let blob = MemBlob::new(vec![7; 64 << 20]);
    let source = source_fn(move |_: &FileRequest<'_>| Ok(Opened::File(blob.clone())));
    let mut server = Running::start(limits, Arc::new(source));
    let mut stream = server.connect().await;
    send(&mut stream, GET).await;
    let taker = tokio::spawn(async move {
        let mut bytes = vec![0; 100];
        let mut ticks = tokio::time::interval(Duration::from_millis(1));
        while let Ok(1..) = stream.read(&mut bytes).await {
            ticks.tick().await;
        }
    });
    assert_eq!(server.response().await.end, ResponseEnd::Disconnected);
    assert_eq!(server.limit().await, Limit::StallTime);
    taker.abort();
}

#[tokio::test]
async fn the_last_response_before_a_stop_says_so() {
    let (release, held) = tokio::sync::oneshot::channel::<()>();
    #[derive(Debug)]
    struct Held(std::sync::Mutex<Option<tokio::sync::oneshot::Receiver<()>>>);

    #[async_trait]
    impl Source for Held {
        async fn open(&self, _request: &FileRequest<'_>) -> pxe_tree::Result<Opened> {
            let held = self.0.lock().expect("no panic").take();
            held.expect("one request").await.expect("a signal");
            Ok(Opened::File(MemBlob::new("content")))
        }
    }

    let source = Held(std::sync::Mutex::new(Some(held)));
    let mut server = Running::start(Limits::default(), Arc::new(source));
    let mut stream = server.connect().await;
    send(&mut stream, GET).await;
    server
        .event(|event| matches!(event, Event::Request(_)).then_some(()))
        .await;
    let mut stopping = Box::pin(server.handle.shutdown(Duration::from_secs(60)));
    // It stops as soon as it is asked for the first time.
    assert!(futures_are_pending(&mut stopping).await);
    release.send(()).expect("it waits");
    let response = rest(&mut stream).await;
    let (head, content) = parts(&response);
    assert!(head.contains("\r\nConnection: close\r\n"), "{head}");
    assert_eq!(content, b"content");
    assert_eq!(within_bounds(stopping).await, 0);
}

async fn futures_are_pending<F: Future + Unpin>(future: &mut F) -> bool {
    std::future::poll_fn(|cx| {
        let polled = std::pin::Pin::new(&mut *future).poll(cx);
        std::task::Poll::Ready(polled.is_pending())
    })
    .await
}
