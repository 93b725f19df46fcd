//! A small site: a server, a client on its link, and a client behind a router whose far link has an MTU of 1400.
//!
//! ```text
//! client eth0 10.78.0.100 ── br0 10.78.0.1 server far0 10.79.0.1 ── 10.79.0.2 router 10.80.0.1 ══ eth0 10.80.0.2 far client
//!                                                                                MTU 1400 ══
//! ```

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use pxe_test_lab::{Namespace, Output, POLL_INTERVAL, Process, run, unique_name};
use tempfile::TempDir;

use crate::https;

/// The server's address on the link of the boot clients.
pub(crate) const SERVER: &str = "10.78.0.1";
/// The server's address towards the router.
pub(crate) const SERVER_FAR: &str = "10.79.0.1";
/// How long the server may take until its ports are open.
const START_PATIENCE: Duration = Duration::from_secs(10);

/// The length of `big.bin`: no multiple of any block size used here, and more than 65,536 blocks of 512 bytes.
const BIG_LEN: usize = 36 * 1024 * 1024 + 123;
/// The length of `small.bin`.
const SMALL_LEN: usize = 100_001;

/// What a site's server is to do.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Setup {
    /// Its configuration, with `@work@` for a folder of its own.
    pub(crate) configuration: &'static str,
    /// The ports that it opens.
    pub(crate) ports: &'static [u16],
}

/// A server of everything.
pub(crate) const EVERYTHING: Setup = Setup {
    configuration: include_str!("../server.toml"),
    ports: &[67, 69, 80, 8080],
};

/// See the module's documentation. Dropped, everything is gone.
#[derive(Debug)]
pub(crate) struct Site {
    // Dropped in this order: processes, then namespaces, then files.
    server: Process,
    pub(crate) client: Namespace,
    pub(crate) far_client: Namespace,
    pub(crate) router: Namespace,
    pub(crate) at_server: Namespace,
    directory: TempDir,
    server_log: PathBuf,
}

impl Site {
    /// Makes the networks and starts the server on them.
    pub(crate) fn new(server: &Path, setup: &Setup) -> Result<Self, String> {
        let directory = TempDir::with_prefix("pxe-interop-").map_err(|error| error.to_string())?;
        // The server runs as nobody.
        run(Command::new("chmod").arg("0755").arg(directory.path()))?;
        lay_out(directory.path()).map_err(|error| format!("cannot lay out the tree: {error}"))?;

        // A configuration that names a certificate needs one before the server starts.
        if setup.configuration.contains("https.crt") {
            https::make_certificate(directory.path())?;
        }
        let [at_server, client, router, far_client] =
            [(); 4].map(|()| Namespace::new(&unique_name()));
        let (at_server, client, router, far_client) = (at_server?, client?, router?, far_client?);
        at_server.connect("br0", &client, "eth0")?;
        at_server.connect("far0", &router, "near0")?;
        router.connect("far0", &far_client, "eth0")?;
        address(&at_server, "10.78.0.1/24", "br0")?;
        address(&at_server, "10.79.0.1/24", "far0")?;
        address(&client, "10.78.0.100/24", "eth0")?;
        address(&router, "10.79.0.2/24", "near0")?;
        address(&router, "10.80.0.1/24", "far0")?;
        address(&far_client, "10.80.0.2/24", "eth0")?;
        router.ip(&["link", "set", "far0", "mtu", "1400"])?;
        far_client.ip(&["link", "set", "eth0", "mtu", "1400"])?;
        at_server.ip(&["route", "add", "10.80.0.0/24", "via", "10.79.0.2"])?;
        far_client.ip(&["route", "add", "default", "via", "10.80.0.1"])?;
        router.ip(&["route", "add", "10.78.0.0/24", "via", "10.79.0.1"])?;
        run(router
            .command("sysctl")
            .args(["-qw", "net.ipv4.ip_forward=1"]))?;

        let work = directory.path().display();
        let config = directory.path().join("server.toml");
        fs::write(
            &config,
            setup.configuration.replace("@work@", &work.to_string()),
        )
        .map_err(|error| error.to_string())?;
        let server_log = directory.path().join("server.log");
        let mut command = at_server.command(&server.display().to_string());
        command.arg("serve").arg(&config);
        let mut server = Process::spawn(command, "pxe-server", &server_log, Output::Log)?;
        await_ports(&at_server, &mut server, &server_log, setup.ports)?;
        Ok(Self {
            server,
            client,
            far_client,
            router,
            at_server,
            directory,
            server_log,
        })
    }

    /// A file of the served tree, as it lies on disk.
    pub(crate) fn served(&self, path: &str) -> PathBuf {
        self.directory.path().join("tree").join(path)
    }

    /// A file beside the tree, where `@work@` is.
    pub(crate) fn beside_tree(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// A place for what a client writes.
    pub(crate) fn scratch(&self, name: &str) -> PathBuf {
        self.directory.path().join("scratch").join(name)
    }

    /// What the server has logged until now.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(&self.server_log).unwrap_or_default()
    }

    /// Waits until the server has logged a line that holds all of these.
    pub(crate) fn await_log(&self, parts: &[&str]) -> Result<(), String> {
        let deadline = Instant::now() + START_PATIENCE;
        while Instant::now() < deadline {
            if self
                .log()
                .lines()
                .any(|line| parts.iter().all(|part| line.contains(part)))
            {
                return Ok(());
            }
            std::thread::sleep(POLL_INTERVAL);
        }
        Err(format!("the server logged no line with {parts:?}"))
    }

    /// How many fragments the router has made (RFC 4293, ipSystemStatsOutFragCreates).
    pub(crate) fn fragments(&self) -> Result<u64, String> {
        let output = self.router.command("cat").arg("/proc/net/snmp").output();
        let output = output.map_err(|error| format!("cannot read /proc/net/snmp: {error}"))?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let mut lines = text.lines().filter_map(|line| line.strip_prefix("Ip: "));
        let (names, values) = (lines.next().unwrap_or(""), lines.next().unwrap_or(""));
        names
            .split(' ')
            .zip(values.split(' '))
            .find(|(name, _)| *name == "FragCreates")
            .and_then(|(_, value)| value.parse().ok())
            .ok_or_else(|| format!("no FragCreates in: {text}"))
    }

    /// The server's process, once it has dropped its privileges.
    pub(crate) fn server_pid(&self) -> u32 {
        self.server.id()
    }

    /// Ends the server, and fails if the test did, or if the server did not end well.
    pub(crate) fn judge(mut self, result: Result<(), String>) -> Result<(), String> {
        let end = self.server.terminate();
        result.map_err(|error| format!("{error}\nserver's log:\n{}", self.log()))?;
        match end? {
            status if status.success() => Ok(()),
            status => Err(format!("the server ended with {status}\n{}", self.log())),
        }
    }
}

/// Builds the server as `cargo run` would, and returns its path.
pub(crate) fn build_server() -> Result<PathBuf, String> {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    run(Command::new(cargo).args(["build", "--quiet", "-p", "pxe-server"]))?;
    // This binary lies in the same folder.
    let own = std::env::current_exe().map_err(|error| error.to_string())?;
    Ok(own.with_file_name("pxe-server"))
}

fn address(namespace: &Namespace, address: &str, interface: &str) -> Result<(), String> {
    namespace.ip(&["address", "add", address, "dev", interface])
}

fn lay_out(directory: &Path) -> std::io::Result<()> {
    let tree = directory.join("tree");
    for folder in [
        "tree/bios",
        "tree/pxelinux.cfg",
        "tree/os",
        "images",
        "scratch",
    ] {
        fs::create_dir_all(directory.join(folder))?;
    }
    symlink("../pxelinux.cfg", tree.join("bios/pxelinux.cfg"))?;
    symlink("../os", tree.join("bios/os"))?;
    fs::write(
        tree.join("pxelinux.cfg/default"),
        "DEFAULT menu.c32\nLABEL one\n  KERNEL x\n",
    )?;
    fs::write(tree.join("bios/lpxelinux.0"), noise(SMALL_LEN, 1))?;
    fs::write(tree.join("os/small.bin"), noise(SMALL_LEN, 2))?;
    fs::write(tree.join("os/big.bin"), noise(BIG_LEN, 3))?;
    fs::write(tree.join("os/empty.bin"), "")?;
    fs::write(tree.join("os/block.bin"), noise(512 * 8, 4))?;
    Ok(())
}

/// Bytes without a pattern, the same for the same seed (splitmix64).
pub(crate) fn noise(len: usize, mut state: u64) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(len + 8);
    while bytes.len() < len {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = state;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bytes.extend((word ^ (word >> 31)).to_le_bytes());
    }
    bytes.truncate(len);
    bytes
}

/// Waits until a server holds these UDP or TCP ports.
pub(crate) fn await_ports(
    at: &Namespace,
    server: &mut Process,
    log: &Path,
    ports: &[u16],
) -> Result<(), String> {
    await_server(server, log, || {
        let sockets = at.command("ss").args(["-lnutH"]).output();
        let sockets = sockets
            .map_err(|error| format!("cannot run ss: {error}"))?
            .stdout;
        let sockets = String::from_utf8_lossy(&sockets);
        let is_open = |port: &u16| sockets.contains(&format!(":{port} "));
        Ok(ports.iter().all(is_open))
    })
}

/// Waits until a server has logged this text.
pub(crate) fn await_text(server: &mut Process, log: &Path, text: &str) -> Result<(), String> {
    await_server(server, log, || {
        Ok(fs::read_to_string(log).unwrap_or_default().contains(text))
    })
}

/// Waits until a server is ready in this sense.
pub(crate) fn await_server(
    server: &mut Process,
    log: &Path,
    is_ready: impl Fn() -> Result<bool, String>,
) -> Result<(), String> {
    let deadline = Instant::now() + START_PATIENCE;
    let log = || fs::read_to_string(log).unwrap_or_default();
    while !is_ready()? {
        if let Some(status) = server.ended() {
            return Err(format!("the server ended with {status}:\n{}", log()));
        }
        if Instant::now() > deadline {
            return Err(format!("the server is not ready:\n{}", log()));
        }
        std::thread::sleep(POLL_INTERVAL);
    }
    Ok(())
}
