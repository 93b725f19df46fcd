//! Sources, files and observers that panic or never answer.

use std::sync::{Arc, mpsc};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use pxe_tftp::wire::{ErrorCode, Opcode};
use pxe_tftp::{Config, Limits, Server};
use pxe_tree::{
    Attributes, Blob, ErrorKind, FileRequest, MemBlob, NodeId, NodeKind, Opened, Source, source_fn,
};

use crate::{Client, Got, PATIENCE, Running, content, tree};

/// Says when it is dropped.
struct Dropped(mpsc::Sender<()>);

impl Drop for Dropped {
    fn drop(&mut self) {
        let _ = self.0.send(());
    }
}

/// A source that never answers, as on a network file system whose server is gone.
#[derive(Debug)]
struct Stuck(std::sync::Mutex<mpsc::Sender<()>>);

#[async_trait]
impl Source for Stuck {
    async fn open(&self, _request: &FileRequest<'_>) -> pxe_tree::Result<Opened> {
        let _dropped = Dropped(self.0.lock().unwrap().clone());
        std::future::pending().await
    }
}

#[test]
fn a_stuck_source_is_not_asked_for_ever() {
    let (sender, dropped) = mpsc::channel();
    let limits = Limits::new().with_accept_timeout(Duration::from_millis(50));
    let config = Config::new().with_limits(limits);
    let server = Running::start("127.0.0.1:0", config, Stuck(std::sync::Mutex::new(sender)));
    assert_eq!(
        server.client().request(Opcode::RRQ, "any", &[]),
        Got::Error(ErrorCode::NOT_DEFINED, "server is too slow: any".to_owned())
    );
    dropped
        .recv_timeout(PATIENCE)
        .expect("what nobody waits for any more is dropped");
}

#[test]
fn a_panic_of_the_source_costs_one_transfer() {
    let source = source_fn(|request: &FileRequest<'_>| match request.path.as_bytes() {
        b"bad" => panic!("a fault of the source"),
        _ => Ok(Opened::File(MemBlob::new("good"))),
    });
    let server = Running::start("127.0.0.1:0", Config::new(), source);
    assert!(matches!(
        server.client().request(Opcode::RRQ, "bad", &[]),
        Got::Error(ErrorCode::NOT_DEFINED, _)
    ));
    assert_eq!(server.client().fetch("good", &[]).unwrap(), b"good");
}

/// A file that is known to be there, and whose reading panics at the spot.
#[derive(Debug)]
struct Faulty(Attributes);

#[async_trait]
impl Blob for Faulty {
    fn attributes(&self) -> &Attributes {
        &self.0
    }

    fn read_now(&self, _offset: u64, _buf: &mut [u8]) -> pxe_tree::Result<Option<usize>> {
        panic!("a fault of the file");
    }

    async fn read_at(&self, _offset: u64, _len: usize) -> pxe_tree::Result<Bytes> {
        Err(ErrorKind::Io.into())
    }
}

#[test]
fn a_panic_while_data_are_read_at_the_spot_costs_one_transfer() {
    let source = source_fn(|request: &FileRequest<'_>| match request.path.as_bytes() {
        b"bad" => {
            let node = NodeId::new(std::num::NonZeroU64::MIN);
            let attributes = Attributes::new(node, NodeKind::File, 1000);
            Ok(Opened::File(Arc::new(Faulty(attributes))))
        }
        _ => Ok(Opened::File(MemBlob::new("good"))),
    });
    let server = Running::start("127.0.0.1:0", Config::new(), source);
    assert!(matches!(
        server.client().request(Opcode::RRQ, "bad", &[]),
        Got::Error(ErrorCode::NOT_DEFINED, _)
    ));
    assert_eq!(server.client().fetch("good", &[]).unwrap(), b"good");
}

#[test]
fn a_panic_of_who_sees_events_costs_no_client_its_file() {
    let server = Server::bind("127.0.0.1:0".parse().unwrap(), Config::new())
        .unwrap()
        .on_event(|_| panic!("a fault of the observer"));
    let (addr, handle) = (server.local_addr().unwrap(), server.handle());
    let thread = std::thread::spawn(move || {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?
            .block_on(server.run(Arc::new(tree()), std::future::pending()))
    });
    assert!(Client::of(addr).fetch("small", &[]).unwrap() == content(1000));
    handle.shut_down();
    thread.join().expect("no panic").expect("no error");
}
