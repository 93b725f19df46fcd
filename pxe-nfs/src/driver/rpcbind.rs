//! Registering with another portmapper (rpcbind), where that has port 111 already.

use std::io::{self, Read, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use socket2::{Domain, Protocol, Socket, Type};

use super::Bound;
use crate::portmap::{IPPROTO_TCP, PROGRAM, VERSION as PORTMAP_VERSION};
use crate::record::{Records, mark};
use crate::xdr::{Malformed, Reader, Write};
use crate::{Mapping, Programs, lock};

/// Where rpcbind listens for local programs (`_PATH_RPCBINDSOCK` of libtirpc). It takes
/// registrations there from any user, and by the network from none, unless it was started with
/// options for that (rpcbind's src/security.c, `is_loopback`).
const SOCKET_PATH: &str = "/run/rpcbind.sock";
/// The portmapper of old, which has no such socket.
const PORTMAPPER: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 111);
/// rpcbind answers at once, or something is wrong.
const PATIENCE: Duration = Duration::from_secs(2);
/// A datagram on the loopback is lost only if the portmapper's queue is full.
const TRIES: u32 = 3;
/// RPCBPROC_SET and PMAPPROC_SET, RPCBPROC_UNSET and PMAPPROC_UNSET (RFC 1833 sections 2.1, 3.2).
const SET: u32 = 1;
const UNSET: u32 = 2;
/// The version of rpcbind's protocol, and its highest.
const RPCB_VERSION: u32 = 4;
const REPLY_BYTES_MAX: usize = 1024;

/// Why programs could not be registered.
///
/// Clients have to be told the port then: `mount -o port=2049,mountport=2049` with nfs-utils. The
/// nfsmount of klibc (initramfs of Debian and Ubuntu) takes `port=2049` and tries port 627 for
/// MOUNT.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RegisterError {
    /// There is no portmapper, or it does not answer.
    #[error(
        "no portmapper could be asked at {SOCKET_PATH} or {PORTMAPPER}: clients need the options \
         port= and mountport="
    )]
    Unreachable(#[source] io::Error),
    /// The portmapper did not take the program.
    #[error(
        "the portmapper refuses program {} version {} at port {}: another server has registered \
         it, or registering is not permitted; clients need the options port= and mountport=",
        mapping.program, mapping.version, mapping.port
    )]
    Refused {
        /// What was refused.
        mapping: Mapping,
    },
}

/// Programs that another portmapper tells of.
///
/// [`unregister`](Self::unregister) takes them back. If it is dropped, or the process killed, the
/// portmapper goes on to tell of them, until somebody asks and it finds nobody at their port.
#[derive(Debug)]
#[must_use = "what is registered stays so until it is unregistered"]
pub struct Registration {
    portmapper: Portmapper,
    registered: Vec<Entry>,
}

/// Registers with the portmapper of this machine what is going to be served at these ports.
///
/// It waits for the portmapper's answers, for some seconds at most: to be called before the server
/// starts. rpcbind takes registrations from any user, and lets the same user or root take them back
/// (its src/rpcb_svc_com.c, `map_unset`);
/// a portmapper without its Unix socket takes them from root alone. So where there is an rpcbind,
/// call this after privileges are dropped, as the user who will unregister; else before.
///
/// # Errors
/// If there is no portmapper, or it refuses; nothing is registered then.
pub fn register<'a>(
    ports: impl IntoIterator<Item = (&'a Bound, Programs)>,
) -> Result<Registration, RegisterError> {
    let portmapper =
        Portmapper::find(Path::new(SOCKET_PATH), PORTMAPPER).map_err(RegisterError::Unreachable)?;
    Registration::with(portmapper, entries(ports))
}

impl Registration {
    fn with(portmapper: Portmapper, entries: Vec<Entry>) -> Result<Self, RegisterError> {
        let mut registration = Self {
            portmapper,
            registered: Vec::new(),
        };
        for entry in entries {
            match registration.portmapper.change(SET, &entry) {
                Ok(true) => registration.registered.push(entry),
                Ok(false) if entry.is_refused_by_others() => {}
                failed => {
                    let mapping = entry.mapping;
                    // What was registered is of no use alone, and nothing better can be done
                    // about a failure than to tell the first one.
                    let _ = registration.unregister();
                    return Err(match failed {
                        Err(error) => RegisterError::Unreachable(error),
                        Ok(_) => RegisterError::Refused { mapping },
                    });
                }
            }
        }
        Ok(registration)
    }

    /// Takes back what was registered. It waits for the portmapper's answers as [`register`] does:
    /// not to be called from a task that serves others.
    ///
    /// # Errors
    /// If the portmapper does not answer or refuses: it does if root has registered and has become
    /// another user since. It notices by itself that nobody listens any more.
    pub fn unregister(mut self) -> Result<(), RegisterError> {
        let mut result = Ok(());
        for entry in std::mem::take(&mut self.registered) {
            let error = match self.portmapper.change(UNSET, &entry) {
                Ok(true) => continue,
                Ok(false) if entry.is_refused_by_others() => continue,
                Ok(false) => RegisterError::Refused {
                    mapping: entry.mapping,
                },
                Err(error) => RegisterError::Unreachable(error),
            };
            result = result.and(Err(error));
        }
        result
    }
}

/// A program at a port, as rpcbind names it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Entry {
    mapping: Mapping,
    netid: &'static str,
    ip: IpAddr,
}

impl Entry {
    /// Whether it does not matter who is asked: a kernel that mounts NFS itself has NLM, and takes
    /// it from others. Without the kernel's NFS server it refuses each lock, as we do
    /// (fs/lockd/svc4proc.c, `nlm4svc_retrieve_args`).
    const fn is_refused_by_others(&self) -> bool {
        self.mapping.program == lock::PROGRAM
    }

    /// The universal address of RFC 5665 section 5.2.3.3.
    fn address(&self) -> String {
        let [high, low] = self.mapping.port.to_be_bytes();
        format!("{}.{high}.{low}", self.ip)
    }
}

/// What to register for these ports; a socket for both families is registered for both.
fn entries<'a>(ports: impl IntoIterator<Item = (&'a Bound, Programs)>) -> Vec<Entry> {
    let mut entries: Vec<Entry> = Vec::new();
    for (bound, programs) in ports {
        let ip = bound.local_addr().ip();
        let ips = match ip {
            IpAddr::V6(Ipv6Addr::UNSPECIFIED) => vec![Ipv4Addr::UNSPECIFIED.into(), ip],
            _ => vec![ip],
        };
        for mapping in bound.mappings(programs) {
            for &ip in &ips {
                let netid = match (mapping.protocol == IPPROTO_TCP, ip.is_ipv4()) {
                    (true, true) => "tcp",
                    (true, false) => "tcp6",
                    (false, true) => "udp",
                    (false, false) => "udp6",
                };
                // The portmapper takes one port of a program: the first.
                let is_known = entries.iter().any(|known| {
                    (known.mapping.program, known.mapping.version, known.netid)
                        == (mapping.program, mapping.version, netid)
                });
                if !is_known {
                    entries.push(Entry { mapping, netid, ip });
                }
            }
        }
    }
    entries
}

/// How the portmapper is reached.
#[derive(Debug)]
enum Portmapper {
    /// rpcbind's own socket.
    Local(Box<Path>),
    /// A datagram from a privileged port, which is kept for unregistering.
    Datagrams {
        socket: UdpSocket,
        /// How many calls there were, each a transaction of that number.
        calls: u32,
    },
}

impl Portmapper {
    fn find(path: &Path, portmapper: SocketAddr) -> io::Result<Self> {
        match UnixStream::connect(path) {
            Ok(_) => Ok(Self::Local(path.into())),
            Err(_) => {
                let socket = privileged_socket(portmapper)?;
                Ok(Self::Datagrams { socket, calls: 0 })
            }
        }
    }

    /// Sets or unsets. `Ok(false)`: it was refused.
    fn change(&mut self, procedure: u32, entry: &Entry) -> io::Result<bool> {
        match self {
            Self::Local(path) => {
                // One call on each connection.
                let call = call(1, RPCB_VERSION, procedure, |args| {
                    // struct rpcb of RFC 1833 section 2.1; the owner is known by the socket.
                    args.put_u32(entry.mapping.program);
                    args.put_u32(entry.mapping.version);
                    args.put_opaque(entry.netid.as_bytes());
                    args.put_opaque(entry.address().as_bytes());
                    args.put_opaque(b"");
                });
                // rpcbind closes a connection that says nothing for 30 seconds.
                let mut stream = UnixStream::connect(&**path)?;
                stream.set_read_timeout(Some(PATIENCE))?;
                stream.set_write_timeout(Some(PATIENCE))?;
                stream.write_all(&[&mark(call.len())[..], &call].concat())?;
                is_done(&receive_record(&mut stream)?)
            }
            Self::Datagrams { socket, calls } => {
                // Version 2 knows IPv4 alone; what else there is can wait for an rpcbind.
                if entry.ip.is_ipv6() {
                    return Ok(true);
                }
                *calls = calls.wrapping_add(1);
                let call = call(*calls, PORTMAP_VERSION, procedure, |args| {
                    let mapping = &entry.mapping;
                    let port = u32::from(mapping.port);
                    for word in [mapping.program, mapping.version, mapping.protocol, port] {
                        args.put_u32(word);
                    }
                });
                exchange(socket, &call).and_then(|reply| is_done(&reply))
            }
        }
    }
}

/// A call of the portmapper's; AUTH_NONE.
fn call(xid: u32, version: u32, procedure: u32, put_args: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut call = Vec::new();
    for word in [xid, 0, 2, PROGRAM, version, procedure, 0, 0, 0, 0] {
        call.put_u32(word);
    }
    put_args(&mut call);
    call
}

/// The boolean that a reply holds; `false` as well if the call was not done.
fn is_done(reply: &[u8]) -> io::Result<bool> {
    let mut reader = Reader::new(reply);
    let mut words = [0; 6];
    let read = words.iter_mut().try_for_each(|word| {
        *word = reader.u32()?;
        Ok::<_, Malformed>(())
    });
    match read.map(|()| words) {
        // xid, REPLY, MSG_ACCEPTED, AUTH_NONE without a body, SUCCESS.
        Ok([_, 1, 0, _, 0, 0]) => Ok(reader.u32().is_ok_and(|done| done != 0)),
        Ok([_, 1, ..]) => Ok(false),
        // A denied call's reply is shorter.
        _ if reply.get(4..8) == Some(&[0, 0, 0, 1]) => Ok(false),
        _ => Err(io::ErrorKind::InvalidData.into()),
    }
}

fn receive_record(stream: &mut UnixStream) -> io::Result<Bytes> {
    let mut records = Records::new(REPLY_BYTES_MAX);
    let mut bytes = [0; REPLY_BYTES_MAX];
    loop {
        match records.next() {
            Ok(Some(record)) => return Ok(record),
            Ok(None) => {}
            Err(_) => return Err(io::ErrorKind::InvalidData.into()),
        }
        let count = stream.read(&mut bytes)?;
        if count == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let received = bytes.get(..count).unwrap_or_default();
        records.buffer.extend_from_slice(received);
    }
}

fn exchange(socket: &UdpSocket, call: &[u8]) -> io::Result<Vec<u8>> {
    let mut reply = vec![0; REPLY_BYTES_MAX];
    let mut result = Err(io::ErrorKind::TimedOut.into());
    for _ in 0..TRIES {
        socket.send(call)?;
        // A late reply to an earlier call, which was repeated, is not meant.
        loop {
            result = socket.recv(&mut reply);
            if result.is_err() || reply.get(..4) == call.get(..4) {
                break;
            }
        }
        match &result {
            Ok(_) => break,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(_) => break,
        }
    }
    let len = result?;
    reply.truncate(len);
    Ok(reply)
}

/// A socket on the loopback whose port only root can take, which is how old portmappers know it.
fn privileged_socket(portmapper: SocketAddr) -> io::Result<UdpSocket> {
    let mut result = Err(io::ErrorKind::AddrInUse.into());
    // As bindresvport(3) does.
    for port in (600..1024).rev() {
        let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP))?;
        result = socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, port)).into());
        match &result {
            Ok(()) => {
                let socket = UdpSocket::from(socket);
                socket.connect(portmapper)?;
                socket.set_read_timeout(Some(PATIENCE / TRIES))?;
                return Ok(socket);
            }
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {}
            Err(_) => break,
        }
    }
    result.and(Err(io::ErrorKind::AddrInUse.into()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;
    use std::thread;

    use super::*;
    use crate::Server;

    fn bound() -> [(Bound, Programs); 3] {
        [
            (
                Server::bind_tcp("127.0.0.1:0").expect("a port"),
                Programs::Nfs,
            ),
            (
                Server::bind_udp("127.0.0.1:0").expect("a port"),
                Programs::Nfs,
            ),
            (
                Server::bind_tcp("127.0.0.1:0").expect("a port"),
                Programs::Mount,
            ),
        ]
    }

    /// Program, version, transport and address.
    type Named = (u32, u32, String, String);

    fn expected(ports: &[(Bound, Programs); 3]) -> Vec<Named> {
        let [tcp, udp, _] = ports.each_ref().map(|(bound, _)| {
            let [high, low] = bound.local_addr().port().to_be_bytes();
            format!("127.0.0.1.{high}.{low}")
        });
        let all = [("tcp", tcp), ("udp", udp)].map(|(netid, address)| {
            [
                (100_003, 3),
                (100_005, 3),
                (100_021, 1),
                (100_021, 3),
                (100_021, 4),
            ]
            .map(|(program, version)| (program, version, netid.into(), address.clone()))
        });
        all.concat()
    }

    /// What an rpcbind is asked, until it has answered so many calls.
    type Asked = Vec<(u32, Named)>;

    fn rpcbind(listener: UnixListener, answers: Vec<bool>) -> thread::JoinHandle<Asked> {
        thread::spawn(move || {
            let mut asked = Vec::new();
            // The first connection only looks whether it is there.
            listener.accept().expect("a connection");
            for answer in answers {
                let (mut stream, _) = listener.accept().expect("a connection");
                let call = receive_record(&mut stream).expect("a call");
                let parsed = crate::rpc::Call::parse(&call).expect("a call");
                assert_eq!((parsed.program, parsed.version), (PROGRAM, 4));
                let mut args = Reader::new(parsed.args);
                let program = args.u32().expect("a program");
                let version = args.u32().expect("a version");
                let mut text = || {
                    let bytes = args.opaque(100).expect("a text");
                    String::from_utf8(bytes.to_vec()).expect("a text")
                };
                asked.push((parsed.procedure, (program, version, text(), text())));
                let mut reply = crate::rpc::accepted(parsed.xid, 4);
                reply.put_bool(answer);
                let record = [&mark(reply.len())[..], &reply].concat();
                stream.write_all(&record).expect("to be taken");
            }
            asked
        })
    }

    fn ask(path: &Path, ports: &[(Bound, Programs); 3]) -> Result<Registration, RegisterError> {
        let portmapper = Portmapper::find(path, PORTMAPPER).expect("the socket");
        let ports = ports.iter().map(|(bound, programs)| (bound, *programs));
        Registration::with(portmapper, entries(ports))
    }

    #[test]
    fn programs_are_registered_once_per_protocol_and_taken_back() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("rpcbind.sock");
        let thread = rpcbind(UnixListener::bind(&path).expect("a socket"), vec![true; 20]);
        let ports = bound();
        let registration = ask(&path, &ports).expect("to be registered");
        registration.unregister().expect("to be taken back");
        let expected = expected(&ports);
        let set = expected.iter().map(|entry| (SET, entry.clone()));
        let unset = expected.iter().map(|entry| (UNSET, entry.clone()));
        let asked = thread.join().expect("no panic");
        assert!(asked.iter().cloned().eq(set.chain(unset)), "{asked:?}");
    }

    /// Version 1 was the kernel's before, and version 4 of UDP is since.
    #[test]
    fn the_kernel_may_have_locks_itself() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("rpcbind.sock");
        let (set, unset) = ([true, true, false, true, true], [true, true, true, true]);
        let last = [true, true, true, false];
        let answers = [&set[..], &set, &unset, &last].concat();
        let thread = rpcbind(UnixListener::bind(&path).expect("a socket"), answers);
        let ports = bound();
        let registration = ask(&path, &ports).expect("to be registered");
        registration.unregister().expect("to be taken back");
        let expected = expected(&ports);
        let set = expected.iter().map(|entry| (SET, entry.clone()));
        let ours = expected
            .iter()
            .filter(|(program, version, ..)| (*program, *version) != (100_021, 1));
        let unset = ours.map(|entry| (UNSET, entry.clone()));
        let asked = thread.join().expect("no panic");
        assert!(asked.iter().cloned().eq(set.chain(unset)), "{asked:?}");
    }

    #[test]
    fn a_refusal_takes_back_what_was_registered_and_says_what_clients_need() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("rpcbind.sock");
        let answers = vec![true, false, true];
        let thread = rpcbind(UnixListener::bind(&path).expect("a socket"), answers);
        let ports = bound();
        let error = ask(&path, &ports).expect_err("a refusal");
        let text = error.to_string();
        assert!(text.contains("program 100005 version 3"), "{text}");
        assert!(text.contains("mountport="), "{text}");
        let procedures: Vec<u32> = thread
            .join()
            .expect("no panic")
            .iter()
            .map(|(procedure, _)| *procedure)
            .collect();
        assert_eq!(procedures, [SET, SET, UNSET]);
    }

    /// Version 2 by datagrams; of port 111 and privileged ports nothing is needed here.
    #[test]
    fn an_old_portmapper_is_asked_by_datagrams() {
        let server = UdpSocket::bind("127.0.0.1:0").expect("a port");
        let client = UdpSocket::bind("127.0.0.1:0").expect("a port");
        client
            .connect(server.local_addr().expect("an address"))
            .expect("a peer");
        let thread = thread::spawn(move || {
            let mut bytes = [0; 512];
            let mut words = Vec::new();
            for answer in [true, false] {
                let (len, peer) = server.recv_from(&mut bytes).expect("a call");
                let call = crate::rpc::Call::parse(&bytes[..len]).expect("a call");
                assert_eq!((call.program, call.version), (PROGRAM, 2));
                let mut args = Reader::new(call.args);
                words.push([(); 4].map(|()| args.u32().expect("a word")));
                let mut reply = crate::rpc::accepted(call.xid, 4);
                reply.put_bool(answer);
                // Twice, as to a call that was repeated because the first reply was late.
                for _ in 0..2 {
                    server.send_to(&reply, peer).expect("to be sent");
                }
            }
            words
        });
        let entry = |program| Entry {
            mapping: Mapping {
                program,
                version: 3,
                protocol: IPPROTO_TCP,
                port: 2049,
            },
            netid: "tcp",
            ip: Ipv4Addr::UNSPECIFIED.into(),
        };
        let mut portmapper = Portmapper::Datagrams {
            socket: client,
            calls: 0,
        };
        let done =
            |portmapper: &mut Portmapper, entry| portmapper.change(SET, &entry).expect("an answer");
        assert!(done(&mut portmapper, entry(100_003)));
        assert!(!done(&mut portmapper, entry(100_005)));
        let words = thread.join().expect("no panic");
        assert_eq!(words, [[100_003, 3, 6, 2049], [100_005, 3, 6, 2049]]);
    }

    #[test]
    fn a_socket_for_both_families_is_registered_for_both() {
        let Ok(bound) = Server::bind_tcp("[::]:0") else {
            // A kernel without IPv6.
            return;
        };
        let entries = entries([(&bound, Programs::Mount)]);
        let named: Vec<(&str, String)> = entries
            .iter()
            .map(|entry| (entry.netid, entry.address()))
            .collect();
        let [high, low] = bound.local_addr().port().to_be_bytes();
        let expected = [
            ("tcp", format!("0.0.0.0.{high}.{low}")),
            ("tcp6", format!("::.{high}.{low}")),
        ];
        assert_eq!(named, expected);
    }
}
