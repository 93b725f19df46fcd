//! NFS where the server is not alone, or not always there: rpcbind beside it, and restarts.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use pxe_test_lab::{Namespace, Output, POLL_INTERVAL, Process, run, unique_name};
use tempfile::TempDir;

use crate::LoneTest;
use crate::client::{client, ensure, same};
use crate::site::{await_ports, await_text};

pub(crate) const TESTS: &[LoneTest] = &[
    (
        "rpcbind_is_told_of_nfs_and_told_when_it_ends",
        beside_rpcbind,
    ),
    (
        "without_a_portmapper_the_log_says_what_clients_need",
        without_a_portmapper,
    ),
    (
        "a_file_is_read_over_a_restart_of_the_server",
        over_a_restart,
    ),
];

const SERVER: &str = "10.81.0.1";
const PATIENCE: Duration = Duration::from_secs(30);
/// Far more than sockets and pipes hold.
const FILE_LEN: usize = 64 << 20;

/// A server's place and a client's, joined by a cable.
struct Link {
    // Dropped in this order: namespaces, then files.
    at_server: Namespace,
    client: Namespace,
    directory: TempDir,
}

impl Link {
    fn new() -> Result<Self, String> {
        let directory = TempDir::with_prefix("pxe-interop-").map_err(|error| error.to_string())?;
        run(Command::new("chmod").arg("0755").arg(directory.path()))?;
        let [at_server, client] = [(); 2].map(|()| Namespace::new(&unique_name()));
        let (at_server, client) = (at_server?, client?);
        at_server.connect("eth0", &client, "eth0")?;
        at_server.ip(&["address", "add", &format!("{SERVER}/24"), "dev", "eth0"])?;
        client.ip(&["address", "add", "10.81.0.2/24", "dev", "eth0"])?;
        let link = Self {
            at_server,
            client,
            directory,
        };
        link.lay_out().map_err(|error| error.to_string())?;
        Ok(link)
    }

    fn lay_out(&self) -> std::io::Result<()> {
        for folder in ["tree", "run"] {
            fs::create_dir(self.path(folder))?;
        }
        // Each word is another, so that a part in the wrong place is noticed.
        let words = (0..FILE_LEN as u64 / 8).flat_map(u64::to_be_bytes);
        fs::write(self.path("tree/long.bin"), words.collect::<Vec<u8>>())?;
        let config = "[server]\ncontrol = \"\"\n[tree]\nroot = \"tree\"\n[nfs]\nhandle_key = \"nfs.key\"\n\
             [nfs.export]\npath = \"/srv/tftp\"\nclients = \"10.81.0.0/24(ro)\"\n\
             [log]\nlevel = \"debug\"\n";
        fs::write(self.path("server.toml"), config)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Starts a program on the server's side, where `/run` is a folder of the test: the sockets of
    /// the machine that the test runs on are not for it.
    fn start(&self, name: &str, program: &str) -> Result<Process, String> {
        let run = self.path("run").display().to_string();
        let mut command = self.at_server.command("sh");
        let script = format!("mount --bind {run} /run && exec {program}");
        command.args(["-c", &script]);
        Process::spawn(
            command,
            name,
            &self.path(&format!("{name}.log")),
            Output::Log,
        )
    }

    fn serve(&self, server: &Path) -> Result<Process, String> {
        let config = self.path("server.toml");
        let program = format!("{} serve {}", server.display(), config.display());
        let mut process = self.start("pxe-server", &program)?;
        await_ports(&self.at_server, &mut process, &self.log(), &[2049])?;
        Ok(process)
    }

    fn log(&self) -> PathBuf {
        self.path("pxe-server.log")
    }

    /// What the portmapper says of NFS, by TCP, as `rpcinfo -p` shows it.
    fn has_nfs(&self) -> Result<bool, String> {
        let told = client(&self.client, "rpcinfo", &["-p", SERVER])?.succeeds()?;
        let mut lines = told.text.lines().map(str::split_whitespace);
        Ok(lines.any(|line| line.take(4).eq(["100003", "3", "tcp", "2049"])))
    }
}

fn beside_rpcbind(server: &Path) -> Result<(), String> {
    let link = Link::new()?;
    let mut rpcbind = link.start("rpcbind", "rpcbind -f")?;
    await_ports(
        &link.at_server,
        &mut rpcbind,
        &link.path("rpcbind.log"),
        &[111],
    )?;
    ensure(!link.has_nfs()?, || "nobody serves NFS yet".into())?;
    let mut process = link.serve(server)?;
    await_text(
        &mut process,
        &link.log(),
        "registered with this machine's portmapper",
    )?;
    ensure(link.has_nfs()?, || "rpcbind does not know NFS".into())?;
    let url = format!("nfs://{SERVER}/srv/tftp");
    client(&link.client, "nfs-ls", &[&url])?
        .succeeds()?
        .says("long.bin")?;
    client(&link.client, "showmount", &["-e", SERVER])?
        .succeeds()?
        .says("/srv/tftp")?;
    process.terminate()?;
    ensure(!link.has_nfs()?, || "rpcbind still knows NFS".into())?;
    // A server that was killed says nothing to rpcbind; the next one is taken all the same.
    drop(link.serve(server)?);
    // What the others wrote is not what this one did.
    fs::remove_file(link.log()).map_err(|error| error.to_string())?;
    let mut process = link.serve(server)?;
    await_text(
        &mut process,
        &link.log(),
        "registered with this machine's portmapper",
    )?;
    ensure(link.has_nfs()?, || "rpcbind does not know NFS".into())?;
    client(&link.client, "nfs-ls", &[&url])?
        .succeeds()?
        .says("long.bin")?;
    process.terminate()?;
    rpcbind.terminate().map(drop)
}

/// Port 111 is held by what is no portmapper.
fn without_a_portmapper(server: &Path) -> Result<(), String> {
    let link = Link::new()?;
    let mut holder = link.start("nc", "busybox nc -ll -p 111 -e true")?;
    await_ports(&link.at_server, &mut holder, &link.path("nc.log"), &[111])?;
    let mut process = link.serve(server)?;
    await_text(&mut process, &link.log(), "nobody tells clients our ports")?;
    let said = fs::read_to_string(link.log()).unwrap_or_default();
    for needed in ["busybox", "port=N,mountport=N", "nfs.mount_ports = [627]"] {
        ensure(said.contains(needed), || format!("no {needed:?}: {said}"))?;
    }
    // As it says, so it is.
    let url = format!("nfs://{SERVER}/srv/tftp?nfsport=2049&mountport=2049");
    client(&link.client, "nfs-ls", &[&url])?
        .succeeds()?
        .says("long.bin")?;
    process.terminate()?;
    holder.terminate().map(drop)
}

fn over_a_restart(server: &Path) -> Result<(), String> {
    let link = Link::new()?;
    let first = link.serve(server)?;
    // It writes into a pipe that nobody reads until the server is another one.
    let fetched = link.path("fetched.bin");
    let (go, begun) = (link.path("go"), link.path("begun"));
    let script = format!(
        "nfs-cat nfs://{SERVER}/srv/tftp/long.bin | {{ head -c 1000000; touch {begun}; \
         while ! test -e {go}; do sleep 0.1; done; cat; }} > {fetched}",
        begun = begun.display(),
        go = go.display(),
        fetched = fetched.display()
    );
    let mut command = link.client.command("bash");
    command.args(["-o", "pipefail", "-c", &script]);
    let mut reader = Process::spawn(command, "nfs-cat", &link.path("nfs-cat.log"), Output::Log)?;
    await_truth("nothing is read", || begun.exists())?;
    // Killed, not stopped.
    drop(first);
    let mut second = link.serve(server)?;
    fs::write(&go, "").map_err(|error| error.to_string())?;
    let deadline = Instant::now() + PATIENCE;
    let status = loop {
        if let Some(status) = reader.ended() {
            break status;
        }
        ensure(Instant::now() < deadline, || "the file is not read".into())?;
        sleep(POLL_INTERVAL);
    };
    let said = fs::read_to_string(link.path("nfs-cat.log")).unwrap_or_default();
    ensure(status.success(), || format!("nfs-cat: {status}: {said}"))?;
    same(&fetched, &link.path("tree/long.bin"))?;
    second.terminate().map(drop)
}

fn await_truth(otherwise: &str, is_so: impl Fn() -> bool) -> Result<(), String> {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        ensure(Instant::now() < deadline, || otherwise.to_owned())?;
        sleep(POLL_INTERVAL);
    }
    Ok(())
}
