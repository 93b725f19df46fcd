//! A connection on which hyper speaks HTTP.

use std::pin::pin;
use std::sync::Arc;

use hyper::server::conn::http1;
use tokio::io::{AsyncRead, AsyncWrite};

use super::flow::Flow;
use super::hyper_stream::{HyperStream, Push, Timeouts};
use super::listener::Admitted;
use super::peer::Peer;
use super::service::FileService;
use crate::Limits;
use crate::event::{Event, Limit, Malformed};

/// Serves a connection to its end.
pub(super) async fn serve<S>(stream: S, peer: Peer, admitted: Admitted)
where
    S: AsyncRead + AsyncWrite + Push + Unpin + Send + 'static,
{
    let admission = Arc::clone(&admitted.place.admission);
    let flow = Arc::new(Flow::default());
    let service = FileService::from_files(admitted.files.clone())
        .for_peer(peer)
        .with_flow(Arc::clone(&flow))
        .within(&admission);
    let socket = HyperStream::new(stream, Arc::clone(&flow), Timeouts::from(&admission.limits))
        .with_seat(Arc::clone(&admitted.place.seat));
    let result = {
        let connection = http1_builder(&admission.limits).serve_connection(socket, service);
        let mut connection = pin!(connection);
        tokio::select! {
            result = connection.as_mut() => result,
            _ = admitted.place.seat.leave() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        }
    };
    // Everything of the connection is gone now, so its responses are told of before its end.
    flow.disconnected();
    // What is left is a client that went away or a file that failed: its response said so.
    let limit = match (flow.broken_limit(), &result) {
        (Some(limit), _) => Some(limit),
        (None, Err(error)) if error.is_parse_too_large() => Some(Limit::HeadBytes),
        (None, Err(error)) if error.is_parse() => {
            admission.observer.tell(|| {
                Event::Malformed(Malformed {
                    remote: admitted.remote,
                    local: admitted.local,
                    cause: error.to_string(),
                })
            });
            None
        }
        _ => None,
    };
    if let Some(limit) = limit {
        admitted.tell_limit(limit);
    }
}

pub(super) fn http1_builder(limits: &Limits) -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder
        // GRUB finds `Content-Length` with regard to case (grub-core/net/http.c, parse_line);
        // without it, it reads until the connection closes, which a kept one never does.
        .title_case_headers(true)
        // A client that ends its sending side after its request still gets the response.
        .half_close(true)
        // The times are kept by `HyperStream`.
        .header_read_timeout(None)
        // Bounds the request's head, and makes hyper ask for the next chunk of a body only when
        // less than this waits to be sent.
        .max_buf_size(limits.head_bytes_max.max(Limits::HEAD_BYTES_LEAST));
    builder
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU64;
    use std::sync::atomic::{AtomicU64, Ordering};

    use pxe_tree::{Attributes, Blob, FileRequest, NodeId, NodeKind, Opened, source_fn};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    /// A gibibyte of zeros that counts how many of them were read.
    #[derive(Debug)]
    struct Counted {
        attributes: Attributes,
        read: AtomicU64,
    }

    #[async_trait::async_trait]
    impl Blob for Counted {
        fn attributes(&self) -> &Attributes {
            &self.attributes
        }

        async fn read_at(&self, _offset: u64, _len: usize) -> pxe_tree::Result<bytes::Bytes> {
            unreachable!("read_now always answers")
        }

        fn read_now(&self, _offset: u64, buf: &mut [u8]) -> pxe_tree::Result<Option<usize>> {
            self.read.fetch_add(buf.len() as u64, Ordering::Relaxed);
            Ok(Some(buf.len()))
        }
    }

    #[tokio::test]
    async fn a_client_that_reads_nothing_makes_two_chunks_be_held_at_most() {
        let node = NodeId::new(NonZeroU64::MIN);
        let blob = Arc::new(Counted {
            attributes: Attributes::new(node, NodeKind::File, 1 << 30),
            read: AtomicU64::new(0),
        });
        let opened = Opened::File(blob.clone());
        let source = source_fn(move |_: &FileRequest<'_>| Ok(opened.clone()));
        let remote = "10.0.0.7:49153".parse().expect("an address");
        let service = FileService::new(Arc::new(source)).for_peer(Peer::new(remote));

        let limits = Limits::default();
        let (mut client, stream) = tokio::io::duplex(1024);
        let socket = HyperStream::new(stream, Arc::default(), Timeouts::from(&limits));
        let connection = http1_builder(&limits).serve_connection(socket, service);
        let connection = tokio::spawn(connection);
        client
            .write_all(b"GET / HTTP/1.0\r\n\r\n")
            .await
            .expect("to be taken");
        // The head and the beginning of the body; then the pipe is full.
        let mut begin = [0; 4096];
        client.read_exact(&mut begin).await.expect("a beginning");
        for _ in 0..1000 {
            tokio::task::yield_now().await;
        }
        let read = blob.read.load(Ordering::Relaxed);
        assert!((1..=128 * 1024).contains(&read), "{read} bytes were read");
        connection.abort();
    }
}
