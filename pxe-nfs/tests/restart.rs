//! A server that is killed and started again, while a client reads from it.
#![cfg(feature = "tokio")]

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use pxe_nfs::{
    Bound, Export, ExportClient, ExportOptions, Handle, HandleKey, Network, Programs, Server,
    Service,
};
use pxe_tree::DirTree;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const NFS: u32 = 100_003;
const LOOKUP: u32 = 3;
const READ: u32 = 6;
const MOUNT: u32 = 100_005;
const MNT: u32 = 1;
const READ_BYTES: u32 = 128 * 1024;
const FILE_BYTES: usize = 3 * 1024 * 1024 + 5;

/// A server as after a start: nothing but the key and the files is the same.
fn start(bound: Bound, root: &Path) -> Handle {
    let mut options = ExportOptions::default();
    options.is_secure = false;
    let tree = Arc::new(DirTree::new(root).expect("a directory"));
    let export = Export::new("/export", tree).to(ExportClient::new(Network::Any, options));
    let service = Service::builder(HandleKey::new([7; HandleKey::LEN]))
        .export(export)
        .build()
        .expect("a service");
    Server::new(service)
        .listen(bound, Programs::Nfs)
        .start()
        .expect("a server")
}

/// A client that connects again and repeats its call when a connection ends, as every client does.
struct Client {
    server: SocketAddr,
    stream: Option<TcpStream>,
    connected: usize,
}

impl Client {
    async fn call(&mut self, program: u32, procedure: u32, args: &[u8]) -> Vec<u8> {
        loop {
            if let Ok(results) = self.try_call(program, procedure, args).await {
                return results;
            }
            self.stream = None;
        }
    }

    async fn try_call(
        &mut self,
        program: u32,
        procedure: u32,
        args: &[u8],
    ) -> std::io::Result<Vec<u8>> {
        let mut stream = match self.stream.take() {
            Some(stream) => stream,
            None => {
                self.connected += 1;
                TcpStream::connect(self.server).await?
            }
        };
        let words = [7, 0, 2, program, 3, procedure, 0, 0, 0, 0];
        let mut message: Vec<u8> = words.into_iter().flat_map(u32::to_be_bytes).collect();
        message.extend_from_slice(args);
        let mark = 1 << 31 | u32::try_from(message.len()).expect("a short message");
        stream.write_all(&mark.to_be_bytes()).await?;
        stream.write_all(&message).await?;
        let mark = stream.read_u32().await?;
        let mut reply = vec![0; (mark & !(1 << 31)) as usize];
        stream.read_exact(&mut reply).await?;
        self.stream = Some(stream);
        assert_eq!(reply[..8], [0, 0, 0, 7, 0, 0, 0, 1], "a reply to this call");
        assert_eq!(reply[20..28], [0; 8], "SUCCESS, and OK");
        Ok(reply.split_off(28))
    }
}

fn opaque(bytes: &[u8]) -> Vec<u8> {
    let len = u32::try_from(bytes.len()).expect("a short text");
    let mut opaque = len.to_be_bytes().to_vec();
    opaque.extend_from_slice(bytes);
    opaque.resize(opaque.len().next_multiple_of(4), 0);
    opaque
}

fn word(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

fn handle(results: &[u8]) -> Vec<u8> {
    results[4..][..word(results, 0) as usize].to_vec()
}

#[tokio::test]
async fn a_client_notices_nothing_of_a_server_that_is_killed_and_started_again() {
    let dir = tempfile::tempdir().expect("a directory");
    let content: Vec<u8> = (0..FILE_BYTES)
        .map(|at| (at / 4096) as u8 ^ at as u8)
        .collect();
    std::fs::write(dir.path().join("file"), &content).expect("a file");
    let bound = Server::bind_tcp("127.0.0.1:0").expect("a port");
    let address = bound.local_addr();
    let mut server = Some(start(bound, dir.path()));
    let mut client = Client {
        server: address,
        stream: None,
        connected: 0,
    };
    let root = handle(&client.call(MOUNT, MNT, &opaque(b"/export")).await);
    let args = [opaque(&root), opaque(b"file")].concat();
    let file = handle(&client.call(NFS, LOOKUP, &args).await);
    let mut got = Vec::new();
    for at in 0_u32.. {
        if at % 8 == 7 {
            // Killed: its connections end at once, whatever is on them. The listener's task ends
            // when the runtime comes to it.
            drop(server.take());
            let bound = loop {
                match Server::bind_tcp(address) {
                    Ok(bound) => break bound,
                    Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::AddrInUse),
                }
                tokio::task::yield_now().await;
            };
            server = Some(start(bound, dir.path()));
        }
        let offset = u64::from(at * READ_BYTES).to_be_bytes();
        let args = [
            opaque(&file),
            offset.to_vec(),
            READ_BYTES.to_be_bytes().to_vec(),
        ]
        .concat();
        let results = client.call(NFS, READ, &args).await;
        // Attributes are there (a flag, and 84 bytes); then count, eof and the data.
        assert_eq!(word(&results, 0), 1);
        let (count, eof) = (word(&results, 88) as usize, word(&results, 92));
        assert_eq!(word(&results, 96) as usize, count);
        got.extend_from_slice(&results[100..][..count]);
        if eof == 1 {
            break;
        }
    }
    assert!(got == content, "the content");
    assert_eq!(client.connected, 4, "the first server, and three restarts");
}
