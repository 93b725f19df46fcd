//! Fuzz bodies: run by cargo-fuzz, and by the property tests. They panic if a promise is broken.

mod scripted;
mod shape;

use std::net::Ipv4Addr;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::FutureExt;
use pxe_tree::{MemTree, TreePath};

use self::scripted::Scripted;
use self::shape::Shape;
use crate::record::{FRAGMENTS_MAX, Records, TooLong};
use crate::xdr::{Reader, Write};
use crate::{
    Data, Export, ExportClient, HandleKey, Mapping, Peer, Programs, Reply, Service, Transport,
    lock, mount, nfs, portmap,
};

/// The longest record of [`fuzz_record`].
const RECORD_BYTES_MAX: usize = 300;

/// Whatever comes in a stream, and in whatever pieces: the same records come out, none of them
/// longer than allowed.
///
/// The first byte is the length of the pieces, the rest the stream.
pub fn fuzz_record(data: &[u8]) {
    let Some((piece, stream)) = data.split_first() else {
        return;
    };
    let mut records = Records::new(RECORD_BYTES_MAX);
    let mut expected = whole_records(stream).into_iter();
    for bytes in stream.chunks(usize::from(*piece).max(1)) {
        records.buffer.extend_from_slice(bytes);
        loop {
            match records.next() {
                Ok(Some(record)) => {
                    assert!(record.len() <= RECORD_BYTES_MAX);
                    assert_eq!(expected.next(), Some(Ok(record.to_vec())));
                }
                Ok(None) => break,
                Err(TooLong) => {
                    assert_eq!(expected.next(), Some(Err(TooLong)));
                    return;
                }
            }
        }
        // Only one fragment is waited for, and it is no longer than a record.
        assert!(records.missing() <= RECORD_BYTES_MAX);
        assert!(records.buffer.len() < 4 + RECORD_BYTES_MAX);
    }
    assert_eq!(expected.next(), None);
}

/// The records of a stream (RFC 5531 section 11) in the simplest way, up to the first that is too
/// long.
fn whole_records(mut stream: &[u8]) -> Vec<Result<Vec<u8>, TooLong>> {
    let mut whole = Vec::new();
    let mut record = Vec::new();
    let mut fragments = 0;
    while let Some((announced, rest)) = stream.split_first_chunk() {
        let announced = u32::from_be_bytes(*announced);
        let is_last = announced >> 31 == 1;
        let len = usize::try_from(announced & !(1 << 31)).expect("31 bits");
        if record.len() + len > RECORD_BYTES_MAX || fragments > FRAGMENTS_MAX {
            whole.push(Err(TooLong));
            break;
        }
        let Some((fragment, rest)) = rest.split_at_checked(len) else {
            break;
        };
        record.extend_from_slice(fragment);
        stream = rest;
        fragments += 1;
        if is_last {
            fragments = 0;
            whole.push(Ok(std::mem::take(&mut record)));
        }
    }
    whole
}

/// Whatever message comes, the answer is a reply to it, or none.
///
/// The first byte chooses the port and the transport; the rest is the message.
pub fn fuzz_rpc(data: &[u8]) {
    let Some((choice, message)) = data.split_first() else {
        return;
    };
    let server = Fuzzed::new();
    let programs = match choice & 3 {
        0 => Programs::Portmap,
        1 => Programs::Mount,
        _ => Programs::Nfs,
    };
    let transport = match choice & 4 {
        0 => Transport::Tcp,
        _ => Transport::Udp,
    };
    let message = Bytes::copy_from_slice(message);
    let Some(reply) = server.answer(programs, transport, &message) else {
        return;
    };
    let mut reader = Reader::new(&reply);
    assert_eq!(reader.u32(), Reader::new(&message).u32(), "xid");
    assert_eq!(reader.u32(), Ok(1), "a reply");
    let is_denied = reader.bool().expect("accepted or denied");
    if is_denied {
        let is_auth = reader.bool().expect("version or credentials");
        let words = if is_auth { 1 } else { 2 };
        assert_eq!(reader.rest().len(), 4 * words);
        return;
    }
    assert_eq!(reader.u64(), Ok(0), "an empty verifier");
    let stat = reader.u32().expect("accept_stat");
    match stat {
        0 => {}
        2 => assert_eq!(reader.rest().len(), 8, "two versions"),
        1..=5 => assert_eq!(reader.rest().len(), 0),
        _ => panic!("accept_stat {stat}"),
    }
}

/// Whatever procedures are called with whatever arguments and handles, each reply is whole and
/// looks as it should; handles that were tampered with lead nowhere; and a call that comes again
/// is answered the same, whether it only reads or must not be done twice.
///
/// The input is a list of calls: program and procedure, what is bent in the message, how changes
/// end, arguments.
pub fn fuzz_procedures(data: &[u8]) {
    let mut server = Fuzzed::new();
    let mut handles = server.mount();
    let mut input = Input { rest: data };
    for _ in 0..CALLS_MAX {
        if input.rest.is_empty() {
            break;
        }
        server.call(&mut input, &mut handles);
    }
}

const CALLS_MAX: usize = 64;
const HANDLES_MAX: usize = 32;

/// Takes values off bytes; zeros once they are used up.
pub(crate) struct Input<'a> {
    rest: &'a [u8],
}

impl Input<'_> {
    fn byte(&mut self) -> u8 {
        let Some((byte, rest)) = self.rest.split_first() else {
            return 0;
        };
        self.rest = rest;
        *byte
    }

    /// Small numbers, and those at the edges.
    fn number64(&mut self) -> u64 {
        let byte = u64::from(self.byte());
        match byte {
            0..128 => byte,
            128..192 => 1 << (byte - 128),
            _ => u64::MAX >> (byte - 192),
        }
    }

    fn number32(&mut self) -> u32 {
        // The cast takes the lower half.
        self.number64() as u32
    }
}

/// A server with a small tree.
struct Fuzzed {
    service: Service,
    tree: Arc<Scripted>,
    /// The transaction of the next call.
    xid: u32,
}

thread_local! {
    /// Made once: nothing changes it.
    static TREE: Arc<Scripted> = Arc::new(Scripted::new(tree()));
}

fn tree() -> MemTree {
    let tree = MemTree::new();
    for path in ["file", "dir/file", "dir/dir/deep", "\u{e4}"] {
        tree.insert_file(path, path.repeat(50)).expect("free");
    }
    for number in 0..60 {
        let path = format!("many/{number:03}");
        tree.insert_file(path, "").expect("free");
    }
    for (link, target) in [("link", "dir"), ("dir/link", "../..")] {
        tree.insert_link(link, target).expect("free");
    }
    tree
}

impl Fuzzed {
    fn new() -> Self {
        let tree = TREE.with(Arc::clone);
        let client: ExportClient = "*(rw,insecure,no_root_squash)".parse().expect("valid");
        let within = TreePath::parse("dir").expect("valid");
        let service = Service::builder(HandleKey::new([7; HandleKey::LEN]))
            .export(Export::writable("/export", Arc::clone(&tree) as _).to(client.clone()))
            .export(
                Export::new("/within", Arc::clone(&tree) as _)
                    .with_root(within)
                    .to(client),
            )
            .build()
            .expect("two paths");
        service.inner.ports.add(Mapping {
            program: nfs::PROGRAM,
            version: nfs::VERSION,
            protocol: 6,
            port: 2049,
        });
        let xid = 5;
        Self { service, tree, xid }
    }

    /// The whole reply to a message, as bytes.
    fn answer(&self, programs: Programs, transport: Transport, message: &Bytes) -> Option<Vec<u8>> {
        let local = (Ipv4Addr::new(192, 168, 150, 1), 2049).into();
        let remote = (Ipv4Addr::new(192, 168, 150, 7), 900).into();
        let peer = Peer::new(remote, local, transport);
        let reply = now(self.service.answer(&peer, programs, message.clone()))?;
        let len = reply.len();
        let bytes = whole(reply);
        assert_eq!(bytes.len(), len, "as announced");
        assert!(len.is_multiple_of(4), "XDR has whole words");
        Some(bytes)
    }

    /// The results of a call, if it was done; without `accept_stat`.
    fn results(&self, called: Called, args: &[u8]) -> Option<Vec<u8>> {
        let mut message = Vec::new();
        let version = called.version();
        for number in [self.xid, 0, 2, called.program, version, called.procedure] {
            message.put_u32(number);
        }
        // AUTH_SYS: most often root, whom `no_root_squash` leaves all rights.
        let uid = if self.xid & 7 == 0 { 1000 } else { 0 };
        for number in [1, 20, 0, 0, uid, uid, 0, 0, 0] {
            message.put_u32(number);
        }
        message.put_bytes(args);
        let reply = self.answer(called.programs(), Transport::Tcp, &message.into())?;
        let (header, results) = reply.split_first_chunk::<24>().expect("a header");
        match header {
            [.., 0, 0, 0, 0] => Some(results.to_vec()),
            _ => None,
        }
    }

    /// Handles of the exports' roots.
    fn mount(&self) -> Vec<Vec<u8>> {
        let called = Called {
            program: mount::PROGRAM,
            procedure: 1,
        };
        let paths: [&[u8]; 2] = [b"/export", b"/within"];
        let handles = paths.into_iter().map(|path| {
            let mut args = Vec::new();
            args.put_opaque(path);
            let results = self.results(called, &args).expect("mounted");
            let (status, results) = results.split_at(4);
            assert_eq!(status, [0; 4]);
            let found = shape::read("Hf", results).expect("a handle");
            found.handles.concat()
        });
        handles.collect()
    }

    /// One call that the input chooses.
    fn call(&mut self, input: &mut Input<'_>, handles: &mut Vec<Vec<u8>>) {
        self.xid += 1;
        let called = Called::choose(input.byte());
        let Some(shape) = called.shape() else {
            return;
        };
        let bend = input.byte();
        let next = input.byte();
        let mut args = shape::write(shape.args, input, handles);
        match (bend, args.len()) {
            (250..=252, 1..) => {
                let at = usize::from(input.byte()) % args.len();
                args[at] ^= input.byte();
            }
            (253.., 1..) => args.truncate(usize::from(input.byte()) % args.len()),
            _ => {}
        }
        let is_of_handle = shape.args.starts_with('H');
        let handle = Reader::new(&args).opaque(usize::MAX).unwrap_or_default();
        let is_forged = is_of_handle && !handles.iter().any(|known| known == handle);
        self.tree.set_next(next);
        let Some(results) = self.results(called, &args) else {
            return;
        };
        let is_busy = results.starts_with(&10008_u32.to_be_bytes()); // NFS3ERR_JUKEBOX
        if called.answers_again() && !is_busy {
            self.tree.set_next(!next);
            assert_eq!(
                self.results(called, &args).as_ref(),
                Some(&results),
                "{called:?}"
            );
        }
        let (has_status, status) = match called.has_status() {
            true => (4, Reader::new(&results).u32().expect("a status")),
            false => (0, 0),
        };
        assert!(STATUSES.contains(&status), "{called:?}: status {status}");
        assert!(
            !is_forged || status != 0,
            "{called:?} takes a forged handle"
        );
        let parts = if status == 0 {
            shape.done
        } else {
            shape.failed
        };
        let found = match shape::read(parts, &results[has_status..]) {
            Ok(found) => found,
            Err(malformed) => panic!("{called:?}: {malformed:?} after {status}: {results:?}"),
        };
        if status == 0 {
            called.check(&args, &found, results.len());
        }
        for handle in found.handles {
            if handles.len() < HANDLES_MAX && !handles.iter().any(|known| known == handle) {
                handles.push(handle.to_vec());
            }
        }
    }
}

/// `nfsstat3` and `mountstat3` (RFC 1813 section 2.6 and appendix I.5.1).
const STATUSES: [u32; 29] = [
    0, 1, 2, 5, 6, 13, 17, 18, 19, 20, 21, 22, 27, 28, 30, 31, 63, 66, 69, 70, 71, 10001, 10002,
    10003, 10004, 10005, 10006, 10007, 10008,
];

/// A procedure that is called.
#[derive(Debug, Clone, Copy)]
struct Called {
    program: u32,
    procedure: u32,
}

impl Called {
    fn choose(byte: u8) -> Self {
        let (program, procedure) = match byte {
            0..200 => (nfs::PROGRAM, byte % 22),
            200..240 => (mount::PROGRAM, byte % 6),
            240..248 => (portmap::PROGRAM, byte % 5),
            _ => (lock::PROGRAM, byte % 5),
        };
        Self {
            program,
            procedure: procedure.into(),
        }
    }

    fn shape(self) -> Option<Shape> {
        let shapes: &[Shape] = match self.program {
            nfs::PROGRAM => &shape::NFS,
            mount::PROGRAM => &shape::MOUNT,
            lock::PROGRAM => &shape::LOCK,
            _ => &shape::PORTMAP,
        };
        shapes.get(usize::try_from(self.procedure).ok()?).copied()
    }

    const fn version(self) -> u32 {
        match self.program {
            portmap::PROGRAM => portmap::VERSION,
            _ => 3,
        }
    }

    const fn programs(self) -> Programs {
        match self.program {
            portmap::PROGRAM => Programs::Portmap,
            _ => Programs::Nfs,
        }
    }

    const fn has_status(self) -> bool {
        match self.program {
            nfs::PROGRAM => self.procedure != 0,
            mount::PROGRAM => self.procedure == 1,
            _ => false,
        }
    }

    /// Whether the same call has the same reply, whatever happened meanwhile: all but WRITE and
    /// COMMIT.
    const fn answers_again(self) -> bool {
        self.program != nfs::PROGRAM || !matches!(self.procedure, 7 | 21)
    }

    /// What holds between arguments and results.
    fn check(self, args: &[u8], found: &shape::Found<'_>, len: usize) {
        let mut args = Reader::new(args);
        let _handle = args.opaque(usize::MAX);
        match (self.program, self.procedure) {
            (nfs::PROGRAM, 6) => {
                let count = args.u64().and_then(|_| args.u32()).expect("a count");
                let data = found.data.expect("data").len();
                assert_eq!(Ok(data), found.numbers[0].try_into().map_err(drop));
                assert!(
                    data <= usize::try_from(count).expect("32 bits"),
                    "more than asked for"
                );
            }
            (nfs::PROGRAM, 16 | 17) => {
                let _cookie_and_verifier = (args.u64(), args.u64());
                let mut most = args.u32().expect("a count");
                if self.procedure == 17 {
                    most = args.u32().expect("a count");
                }
                // The status is not counted.
                assert!(
                    len - 4 <= usize::try_from(most).expect("32 bits"),
                    "{len} over {most}"
                );
            }
            _ => {}
        }
    }
}

/// A reply's bytes, as they go over the wire.
fn whole(reply: Reply) -> Vec<u8> {
    let mut bytes = reply.head;
    match reply.data {
        Data::None => {}
        Data::Bytes(data) => bytes.extend_from_slice(&data),
        Data::File { blob, offset, len } => {
            let len = usize::try_from(len).expect("32 bits");
            bytes.extend_from_slice(&now(blob.read_at(offset, len)).expect("in memory"));
        }
    }
    let padding = crate::xdr::padding(bytes.len());
    bytes.put_bytes(&[0; 3][..padding]);
    bytes
}

/// What a tree in memory answers, it answers at once.
fn now<T>(work: impl Future<Output = T>) -> T {
    work.now_or_never()
        .expect("a tree in memory waits for nothing")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::record::mark;

    fn bytes(len_max: usize) -> impl Strategy<Value = Vec<u8>> {
        prop::collection::vec(any::<u8>(), 0..len_max)
    }

    /// Fragments, most of them as they should be.
    fn stream() -> impl Strategy<Value = Vec<u8>> {
        let fragment = (bytes(120), 0..4_u8, 0..40_u8).prop_map(|(body, is_last, bend)| {
            let mut fragment = mark(body.len()).to_vec();
            if is_last == 0 {
                fragment[0] = 0;
            }
            if bend == 0 {
                fragment[2] ^= 1;
            }
            fragment.extend(body);
            fragment
        });
        prop::collection::vec(fragment, 0..12).prop_map(|fragments| fragments.concat())
    }

    /// A header, most often one of ours, and arguments.
    fn message() -> impl Strategy<Value = Vec<u8>> {
        let program = prop_oneof![
            Just(100_000_u32),
            Just(100_003),
            Just(100_005),
            Just(100_021),
            any::<u32>()
        ];
        let header = (program, 0..5_u32, 0..24_u32, 0..3_u32, bytes(60));
        (header, bytes(40), 0..8_u8).prop_map(|(header, args, choice)| {
            let (program, version, procedure, flavor, body) = header;
            let mut message = Vec::new();
            for number in [1, 0, 2, program, version, procedure, flavor] {
                message.put_u32(number);
            }
            message.put_opaque(if flavor == 0 { b"" } else { &body });
            message.put_u64(0);
            message.extend(args);
            message.insert(0, choice);
            message
        })
    }

    /// What the bodies call is not refused before it is done.
    #[test]
    fn each_procedure_is_reached() {
        let server = Fuzzed::new();
        let root = server.mount().swap_remove(0);
        let input = |rest| Input { rest };
        let args = shape::write("Hn", &mut input(&[0, 0]), std::slice::from_ref(&root));
        let looked_up = server.results(Called::choose(3), &args).expect("done");
        let found = shape::read("Hpp", &looked_up[4..]).expect("a handle");
        let file = found.handles.concat();
        // Numbers that are no 0: how much a list may take.
        let most = 240;
        for (procedure, handles, rest) in [
            (1, [&root, &root], &[][..]),
            (2, [&root, &root], &[]),
            (3, [&root, &root], &[]),
            (4, [&root, &root], &[]),
            (6, [&file, &root], &[0, 0, 9]),
            (7, [&file, &root], &[]),
            (8, [&root, &root], &[0, 30]),
            (9, [&root, &root], &[0, 30]),
            (10, [&root, &root], &[0, 30, 0, 5]),
            (11, [&root, &root], &[0, 30, 7]),
            (12, [&root, &root], &[]),
            (13, [&root, &root], &[0, 1]),
            (14, [&root, &root], &[0, 0, 0, 30]),
            (15, [&file, &root], &[0, 1, 30]),
            (16, [&root, &root], &[0, 0, 0, most]),
            (17, [&root, &root], &[0, 0, 0, most, most]),
            (18, [&root, &root], &[]),
            (19, [&root, &root], &[]),
            (20, [&root, &root], &[]),
            (21, [&file, &root], &[]),
        ] {
            let called = Called::choose(procedure);
            let shape = called.shape().expect("a procedure");
            let handles = handles.map(Clone::clone);
            let args = shape::write(shape.args, &mut input(rest), &handles);
            let results = server.results(called, &args).expect("done");
            assert_eq!(results[..4], [0; 4], "{called:?}");
            shape::read(shape.done, &results[4..]).expect("as it should look");
        }
    }

    proptest! {
        #[test]
        fn records(piece in any::<u8>(), stream in prop_oneof![stream(), bytes(400)]) {
            let data = [&[piece][..], &stream].concat();
            fuzz_record(&data);
        }

        #[test]
        fn rpc(data in prop_oneof![message(), bytes(200)]) {
            fuzz_rpc(&data);
        }

        #[test]
        fn procedures(data in bytes(400)) {
            fuzz_procedures(&data);
        }
    }
}
