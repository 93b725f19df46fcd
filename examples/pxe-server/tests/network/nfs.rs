//! Calls of MOUNT and NFS version 3 over TCP, each field as RFC 1813 has it.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use super::PATIENCE;

const MOUNT: u32 = 100_005;
const NFS: u32 = 100_003;

/// A connection.
pub(crate) struct NfsClient {
    stream: TcpStream,
    xid: u32,
}

/// What a reply says after its header.
pub(crate) struct Results(Vec<u8>);

impl NfsClient {
    pub(crate) fn connect(server: SocketAddr) -> Self {
        let stream = TcpStream::connect(server).expect("connected");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        Self { stream, xid: 0 }
    }

    /// A file handle, or the status of MOUNT.
    pub(crate) fn mount(&mut self, path: &str) -> Result<Vec<u8>, u32> {
        let mut results = self.call(MOUNT, 1, &opaque(path.as_bytes()));
        match results.number() {
            0 => Ok(results.opaque()),
            status => Err(status),
        }
    }

    /// The paths that are listed.
    pub(crate) fn exports(&mut self) -> Vec<String> {
        let mut results = self.call(MOUNT, 5, &[]);
        let mut paths = Vec::new();
        while results.number() == 1 {
            paths.push(String::from_utf8(results.opaque()).expect("UTF-8"));
            while results.number() == 1 {
                results.opaque();
            }
        }
        paths
    }

    /// The handle of a name in a directory, or the status.
    pub(crate) fn look_up(&mut self, directory: &[u8], name: &str) -> Result<Vec<u8>, u32> {
        let args = [opaque(directory), opaque(name.as_bytes())].concat();
        let mut results = self.call(NFS, 3, &args);
        match results.number() {
            0 => Ok(results.opaque()),
            status => Err(status),
        }
    }

    /// The first bytes of a file, or the status.
    pub(crate) fn read(&mut self, file: &[u8], count: u32) -> Result<Vec<u8>, u32> {
        let range = [&0_u64.to_be_bytes()[..], &count.to_be_bytes()].concat();
        let mut results = self.call(NFS, 6, &[opaque(file), range].concat());
        match results.number() {
            0 => {
                // fattr3 (section 2.6), then count and eof.
                if results.number() == 1 {
                    results.skip(84);
                }
                results.skip(8);
                Ok(results.opaque())
            }
            status => Err(status),
        }
    }

    /// Whether the server knows the handle: the status of GETATTR.
    pub(crate) fn status_of(&mut self, handle: &[u8]) -> u32 {
        self.call(NFS, 1, &opaque(handle)).number()
    }

    /// Makes an empty file: the status.
    pub(crate) fn create(&mut self, directory: &[u8], name: &str) -> u32 {
        // UNCHECKED, and no attributes.
        let how = [0; 7 * 4];
        let args = [opaque(directory), opaque(name.as_bytes()), how.to_vec()].concat();
        self.call(NFS, 8, &args).number()
    }

    fn call(&mut self, program: u32, procedure: u32, args: &[u8]) -> Results {
        self.xid += 1;
        // AUTH_SYS of user 0: stamp, machine name, uid, gid, no groups.
        let head = [
            self.xid, 0, 2, program, 3, procedure, 1, 20, 0, 0, 0, 0, 0, 0, 0,
        ];
        let mut call: Vec<u8> = head.iter().flat_map(|word| word.to_be_bytes()).collect();
        call.extend_from_slice(args);
        let mark = 1 << 31 | u32::try_from(call.len()).expect("short");
        // In one piece: a second one would wait for the acknowledgment of the first.
        let record = [&mark.to_be_bytes()[..], &call].concat();
        self.stream.write_all(&record).expect("sent");
        let mut mark = [0; 4];
        self.stream.read_exact(&mut mark).expect("a reply in time");
        let len = u32::from_be_bytes(mark) & !(1 << 31);
        let mut reply = vec![0; usize::try_from(len).expect("short")];
        self.stream.read_exact(&mut reply).expect("a whole reply");
        let mut results = Results(reply);
        let head: Vec<u32> = (0..6).map(|_| results.number()).collect();
        assert_eq!(head, [self.xid, 1, 0, 0, 0, 0], "accepted and done");
        results
    }
}

impl Results {
    fn number(&mut self) -> u32 {
        let bytes: Vec<u8> = self.0.drain(..4).collect();
        u32::from_be_bytes(bytes.try_into().expect("four"))
    }

    fn skip(&mut self, len: usize) {
        self.0.drain(..len);
    }

    fn opaque(&mut self) -> Vec<u8> {
        let len = usize::try_from(self.number()).expect("short");
        let bytes = self.0.drain(..len).collect();
        self.skip(len.wrapping_neg() & 3);
        bytes
    }
}

fn opaque(bytes: &[u8]) -> Vec<u8> {
    let len = u32::try_from(bytes.len()).expect("short");
    let mut opaque = len.to_be_bytes().to_vec();
    opaque.extend_from_slice(bytes);
    opaque.resize(opaque.len().next_multiple_of(4), 0);
    opaque
}
