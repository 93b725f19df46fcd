//! Those who ask too much of HTTP, or never say what they want: good clients are answered meanwhile,
//! and the server's memory stays within bounds. Its limits are the default ones, if a test says no other.

use std::fs;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use pxe_test_lab::{Namespace, Output, Process, run, unique_name};
use socket2::{Domain, Socket, Type};
use tempfile::TempDir;

use crate::LoneTest;
use crate::client::ensure;
use crate::site::{await_ports, noise};

pub(crate) const TESTS: &[LoneTest] = &[
    ("slow_heads_leave_good_clients_served", slow_heads),
    ("idle_connections_leave_good_clients_served", idle),
    ("slow_readers_leave_good_clients_served", slow_readers),
    ("floods_of_garbage_leave_good_clients_served", garbage),
    (
        "floods_of_connections_leave_good_clients_served",
        connections,
    ),
    ("one_client_without_end_leaves_others_served", one_client),
];

/// The file that good clients fetch.
const GOOD_LEN: usize = 100_001;
/// The file that slow readers do not take.
const LARGE_LEN: u64 = 1 << 30;
/// How often good clients fetch, each time over a connection of its own.
const GOOD_FETCHES: u32 = 300;
/// A good client gives up after this.
const PATIENCE: Duration = Duration::from_secs(30);
/// The server's own bounds of time have passed by then, and what it does at them is done.
const LIMITS_PATIENCE: Duration = Duration::from_secs(180);
/// What the server's memory may grow by, whatever comes.
const GROWTH_MAX_KIB: u64 = 192 * 1024;
/// Connections of one address in a storm: fewer than the server lets one have.
const PER_ADDRESS: u32 = 50;
/// Sockets of a storm, with what else is open.
const OPEN_FILES: u64 = 12_000;

/// One storm at a time: together they would need more sockets than a process may have.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// A server on the loopback interface of a namespace of its own: a client there has any address of
/// 127.0.0.0/8. Dropped, everything is gone.
struct Storm {
    // Dropped in this order: the process, then the namespace, then files.
    server: Process,
    at: Namespace,
    directory: TempDir,
    good: Vec<u8>,
    idle_kib: u64,
    _alone: MutexGuard<'static, ()>,
}

/// Where a storm comes from, and where good clients are.
#[derive(Debug, Clone, Copy)]
enum From {
    Storm(u32),
    Good(u32),
}

impl From {
    fn address(self) -> Ipv4Addr {
        let bits = match self {
            Self::Storm(number) => 0x7f01_0000 + number,
            Self::Good(number) => 0x7f80_0000 + number,
        };
        Ipv4Addr::from(bits + 1)
    }

    fn connect(self, receive_buffer: Option<usize>) -> io::Result<TcpStream> {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
        if let Some(len) = receive_buffer {
            socket.set_recv_buffer_size(len)?;
        }
        socket.bind(&SocketAddr::from((self.address(), 0)).into())?;
        let server = SocketAddrV4::new(Ipv4Addr::LOCALHOST, 80);
        socket.connect_timeout(&SocketAddr::V4(server).into(), PATIENCE)?;
        let stream = TcpStream::from(socket);
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(stream)
    }
}

impl Storm {
    /// With these limits in `[http]`.
    fn new(server: &Path, limits: &str) -> Result<Self, String> {
        // Another one that failed has spoilt nothing.
        let alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
        pxe_test_lab::raise_open_files(OPEN_FILES)?;
        let directory = TempDir::with_prefix("pxe-interop-").map_err(|error| error.to_string())?;
        // The server runs as nobody.
        run(Command::new("chmod").arg("0755").arg(directory.path()))?;
        let good = noise(GOOD_LEN, 11);
        let path = |name: &str| directory.path().join(name);
        let lay_out = || -> io::Result<()> {
            fs::create_dir(path("tree"))?;
            fs::write(path("tree/good.bin"), &good)?;
            fs::File::create(path("tree/large.bin"))?.set_len(LARGE_LEN)?;
            let text = format!(
                "[server]\nuser = \"nobody\"\ncontrol = \"{}\"\n[tree]\nroot = \"{}\"\n\
                 [http]\nlisten = \"127.0.0.1:80\"\n{limits}[log]\nlevel = \"error\"\n",
                path("control.sock").display(),
                path("tree").display(),
            );
            fs::write(path("server.toml"), text)
        };
        lay_out().map_err(|error| error.to_string())?;
        let at = Namespace::new(&unique_name())?;
        // With what most systems let a service have open: it has to ask for more itself.
        let mut command = at.command("prlimit");
        command.args(["--nofile=1024:", "--"]);
        command.arg(server).arg("serve").arg(path("server.toml"));
        let log: PathBuf = path("server.log");
        let mut server = Process::spawn(command, "pxe-server", &log, Output::Log)?;
        await_ports(&at, &mut server, &log, &[80])?;
        let mut storm = Self {
            server,
            at,
            directory,
            good,
            idle_kib: 0,
            _alone: alone,
        };
        storm.at.enter(|| storm.fetch_good(0))??;
        storm.idle_kib = storm.memory("VmRSS")?;
        // The peak is counted from now on (proc(5), clear_refs).
        let clear = format!("/proc/{}/clear_refs", storm.server.id());
        fs::write(clear, "5").map_err(|error| error.to_string())?;
        Ok(storm)
    }

    /// A number of /proc/PID/status, in KiB.
    fn memory(&self, name: &str) -> Result<u64, String> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.server.id()));
        let status = status.map_err(|error| format!("the server is gone: {error}"))?;
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        let number = line.and_then(|line| line.trim_matches(':').split_whitespace().next());
        number
            .and_then(|number| number.parse().ok())
            .ok_or_else(|| format!("no {name} in {status}"))
    }

    /// One good client fetches a file.
    fn fetch_good(&self, number: u32) -> Result<(), String> {
        let fetch = || -> io::Result<Vec<u8>> {
            let mut stream = From::Good(number).connect(None)?;
            stream.write_all(b"GET /good.bin HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")?;
            let mut all = Vec::new();
            stream.read_to_end(&mut all)?;
            Ok(all)
        };
        let all = fetch().map_err(|error| format!("good client {number}: {error}"))?;
        ensure(
            all.starts_with(b"HTTP/1.1 200 ") && all.ends_with(&self.good),
            || {
                let head = all.get(..all.len().min(100)).unwrap_or_default();
                format!("good client {number}: {}", String::from_utf8_lossy(head))
            },
        )
    }

    /// Several good clients, one after the other.
    fn good_clients(&self) -> Result<(), String> {
        (0..GOOD_FETCHES).try_for_each(|number| self.fetch_good(number))
    }

    /// Good clients while something goes on in other threads.
    fn good_clients_during(
        &self,
        attack: impl Fn(u32) -> io::Result<()> + Sync,
    ) -> Result<usize, String> {
        let (is_over, attacks) = (AtomicBool::new(false), AtomicUsize::new(0));
        self.at.enter(|| {
            thread::scope(|scope| {
                for thread in 0..4 {
                    let (is_over, attacks, attack) = (&is_over, &attacks, &attack);
                    scope.spawn(move || {
                        let mut number = thread;
                        while !is_over.load(Ordering::Relaxed) {
                            // What the server does to it is its own affair.
                            let _ = attack(number);
                            attacks.fetch_add(1, Ordering::Relaxed);
                            number = (number + 4) % 0x1_0000;
                        }
                    });
                }
                let served = self.good_clients();
                is_over.store(true, Ordering::Relaxed);
                served
            })
        })??;
        Ok(attacks.into_inner())
    }

    /// Ends the server well, and tells what it took.
    fn judge(mut self, name: &str) -> Result<(), String> {
        // Those of the storm have gone; a good client is served as at the beginning.
        self.at.enter(|| self.fetch_good(0))??;
        let (peak, after) = (self.memory("VmHWM")?, self.memory("VmRSS")?);
        let before = self.idle_kib;
        println!(
            "        {name}: {GOOD_FETCHES} good clients were served; {before} KiB before, \
             {peak} KiB at most, {after} KiB after"
        );
        let log = fs::read_to_string(self.directory.path().join("server.log")).unwrap_or_default();
        ensure(peak < before + GROWTH_MAX_KIB, || {
            format!("{peak} KiB of memory")
        })?;
        let end = self.server.terminate()?;
        ensure(end.success(), || {
            format!("the server ended with {end}\n{log}")
        })
    }
}

/// So many connections, from as few addresses as may be.
fn many(
    count: u32,
    open: impl Fn(From) -> io::Result<TcpStream>,
) -> Result<Vec<TcpStream>, String> {
    let streams = (0..count).map(|number| open(From::Storm(number / PER_ADDRESS)));
    let streams: io::Result<Vec<TcpStream>> = streams.collect();
    streams.map_err(|error| format!("the storm itself failed: {error}"))
}

/// Whether the server has ended a connection; what came of it is read.
fn is_ended(stream: &mut TcpStream) -> bool {
    let mut part = [0; 4096];
    loop {
        match stream.read(&mut part) {
            Ok(0) => return true,
            Ok(_) => {}
            Err(error) => return error.kind() != io::ErrorKind::WouldBlock,
        }
    }
}

/// Waits until the server has ended all of these, doing this to each in turn.
fn await_ends(mut streams: Vec<TcpStream>, each: impl Fn(&mut TcpStream)) -> Result<(), String> {
    let deadline = Instant::now() + LIMITS_PATIENCE;
    for stream in &streams {
        stream
            .set_nonblocking(true)
            .map_err(|error| error.to_string())?;
    }
    while !streams.is_empty() {
        ensure(Instant::now() < deadline, || {
            format!("{} connections are open for ever", streams.len())
        })?;
        streams.retain_mut(|stream| {
            each(stream);
            !is_ended(stream)
        });
        thread::sleep(Duration::from_millis(200));
    }
    Ok(())
}

/// Slowloris: a thousand heads of which a byte comes now and then.
fn slow_heads(server: &Path) -> Result<(), String> {
    let storm = Storm::new(server, "")?;
    storm.at.enter(|| {
        let slow = many(1000, |from| {
            let mut stream = from.connect(None)?;
            stream.write_all(b"GET /good.bin HTTP/1.1\r\nX-Slow: ")?;
            Ok(stream)
        })?;
        storm.good_clients()?;
        await_ends(slow, |stream| {
            let _ = stream.write(b"x");
        })
    })??;
    storm.judge("a thousand slow heads")
}

/// Ten thousand connections without a request.
fn idle(server: &Path) -> Result<(), String> {
    let storm = Storm::new(server, "")?;
    storm.at.enter(|| {
        let idle = many(10_000, |from| from.connect(None))?;
        storm.good_clients()?;
        drop(idle);
        Ok::<(), String>(())
    })??;
    storm.judge("ten thousand idle connections")
}

/// Those who ask for a large file and take almost nothing of it.
fn slow_readers(server: &Path) -> Result<(), String> {
    let storm = Storm::new(server, "")?;
    storm.at.enter(|| {
        let slow = many(900, |from| {
            let mut stream = from.connect(Some(4096))?;
            stream.write_all(b"GET /large.bin HTTP/1.1\r\nHost: x\r\n\r\n")?;
            Ok(stream)
        })?;
        storm.good_clients()?;
        // They take nothing at all, for as long as they may.
        drop(slow);
        Ok::<(), String>(())
    })??;
    storm.judge("900 slow readers of a file of 1 GiB")
}

/// No request, but bytes: each time other ones, over a new connection.
fn garbage(server: &Path) -> Result<(), String> {
    let storm = Storm::new(server, "")?;
    let sent = storm.good_clients_during(|number| {
        let mut stream = From::Storm(number / PER_ADDRESS).connect(None)?;
        let len = 1 + (number as usize * 7919) % 70_000;
        stream.write_all(&noise(len, number.into()))?;
        is_ended(&mut stream);
        Ok(())
    })?;
    storm.judge(&format!("{sent} connections with garbage"))
}

/// Connections that are closed at once, by FIN and by RST in turn.
fn connections(server: &Path) -> Result<(), String> {
    let storm = Storm::new(server, "")?;
    let made = storm.good_clients_during(|number| {
        let stream = From::Storm(number / PER_ADDRESS).connect(None)?;
        if number % 8 < 4 {
            socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO))?;
        }
        Ok(())
    })?;
    storm.judge(&format!("{made} connections"))
}

/// One address that asks as fast as it is answered, a hundred requests at a time, until it is told
/// that this is too much (429).
fn one_client(server: &Path) -> Result<(), String> {
    let limits = "requests_per_client_per_second = 1000\nrequests_per_client_burst = 5000\n";
    let storm = Storm::new(server, limits)?;
    let batch = b"HEAD /good.bin HTTP/1.1\r\nHost: x\r\n\r\n".repeat(100);
    let (answered, told) = (AtomicUsize::new(0), AtomicUsize::new(0));
    storm.good_clients_during(|_| {
        let mut stream = From::Storm(0).connect(None)?;
        let mut part = [0; 64 * 1024];
        loop {
            // Its responses, and no more requests than there is room for.
            stream.write_all(&batch)?;
            let (mut heads, mut tail) = (0, Vec::new());
            while heads < 100 {
                let len = stream.read(&mut part)?;
                if len == 0 {
                    return Ok(());
                }
                tail.extend_from_slice(&part[..len]);
                let count = |what: &[u8]| tail.windows(what.len()).filter(|it| *it == what).count();
                let new = count(b"\r\n\r\n");
                heads += new;
                answered.fetch_add(new, Ordering::Relaxed);
                told.fetch_add(count(b"HTTP/1.1 429 "), Ordering::Relaxed);
                tail.drain(..tail.len().saturating_sub(3));
            }
        }
    })?;
    let (answered, told) = (answered.into_inner(), told.into_inner());
    ensure(told > 0, || {
        format!("all of {answered} requests were served")
    })?;
    storm.judge(&format!(
        "one client with {answered} requests, {told} of them too many"
    ))
}
