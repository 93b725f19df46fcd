//! Servers of the comparison that are in this program, each as a process of its own.

use std::fs;
use std::io::IoSlice;
use std::net::UdpSocket;
use std::os::fd::AsRawFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg};
use pxe_tftp::{Config, Server};
use pxe_tree::{DirTree, TreeSource};

use super::load::SERVER;
use super::packet::{DATA, HEAD_LEN, Wish, head, oack, read_ack, read_request};
use super::server::Kind;

/// A client that says nothing for so long has gone: the reference has no timers, and repeats
/// nothing.
const PATIENCE: Duration = Duration::from_secs(1);
/// As much as one UDP datagram's payload is over IPv4, which also bounds what is segmented at once.
const SEGMENTED_MAX: usize = 65_507;

/// What to serve, and with what.
#[derive(Debug, Args)]
pub(crate) struct ServeOptions {
    /// Which server: one that is in this program.
    kind: Kind,
    /// What it serves.
    root: PathBuf,
}

/// Serves until it is killed.
///
/// # Errors
/// A text, if it cannot begin, or ends.
pub(crate) fn serve(options: &ServeOptions) -> Result<(), String> {
    match options.kind {
        Kind::PxeTftp => crate_alone(options),
        Kind::Reference => least_possible(options),
        _ => Err(format!("{} is a program of its own", options.kind.name())),
    }
}

/// pxe-tftp over a `DirTree`, with tokio's defaults.
fn crate_alone(options: &ServeOptions) -> Result<(), String> {
    let at = |error: std::io::Error| format!("pxe-tftp: {error}");
    let tree = DirTree::new(&options.root);
    let tree = tree.map_err(|error| format!("{}: {error}", options.root.display()))?;
    let source = Arc::new(TreeSource::new(Arc::new(tree)));
    let server = Server::bind(SERVER.into(), Config::new()).map_err(at)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(at)?;
    let serving = server.run(source, std::future::pending());
    runtime.block_on(serving).map_err(at)
}

/// One client at a time, whose packets lie ready in memory: one system call sends a window (more
/// where it is above 64 KiB), one takes its ACK. What the machine allows, and no server to use.
fn least_possible(options: &ServeOptions) -> Result<(), String> {
    let at = |error: std::io::Error| format!("reference: {error}");
    let listener = UdpSocket::bind(SERVER).map_err(at)?;
    let mut ready: Option<(String, Wish, u64, Vec<u8>)> = None;
    let mut request = [0; 2048];
    loop {
        let (len, client) = listener.recv_from(&mut request).map_err(at)?;
        let Some((name, wish)) = request.get(..len).and_then(read_request) else {
            continue;
        };
        let known = ready
            .take()
            .filter(|known| known.0 == name && known.1 == wish);
        let (name, wish, file_len, packets) = match known {
            Some(known) => known,
            None => {
                let file = fs::read(options.root.join(name)).map_err(at)?;
                (
                    name.to_owned(),
                    wish,
                    file.len() as u64,
                    packets(&file, wish),
                )
            }
        };
        let socket = UdpSocket::bind((*SERVER.ip(), 0)).map_err(at)?;
        socket.connect(client).map_err(at)?;
        socket.set_read_timeout(Some(PATIENCE)).map_err(at)?;
        // A client that goes away ends its transfer, and no more.
        let _ = send(&socket, &oack(file_len, wish), wish, &packets);
        ready = Some((name, wish, file_len, packets));
    }
}

/// All packets of a file, one behind the other.
fn packets(file: &[u8], wish: Wish) -> Vec<u8> {
    let blksize = usize::from(wish.blksize);
    // A whole last block is followed by an empty one.
    let count = file.len() / blksize + 1;
    let mut packets = Vec::with_capacity(file.len() + count * HEAD_LEN);
    for index in 0..count {
        let start = index * blksize;
        let data = file.get(start..file.len().min(start + blksize));
        packets.extend_from_slice(&head(DATA, (index + 1) as u16));
        packets.extend_from_slice(data.unwrap_or_default());
    }
    packets
}

/// Sends a file to its end.
fn send(socket: &UdpSocket, oack: &[u8], wish: Wish, packets: &[u8]) -> std::io::Result<()> {
    let packet_len = HEAD_LEN + usize::from(wish.blksize);
    let segment = packet_len as u16;
    let at_once = SEGMENTED_MAX / packet_len * packet_len;
    let mut answer = [0; 512];
    socket.send(oack)?;
    let mut acknowledged = 0;
    while acknowledged * packet_len < packets.len() {
        let len = socket.recv(&mut answer)?;
        let Some(block) = answer.get(..len).and_then(read_ack) else {
            return Ok(());
        };
        // Windows are far shorter than half of all numbers.
        acknowledged += usize::from(block.wrapping_sub(acknowledged as u16));
        let end = (acknowledged + usize::from(wish.windowsize)) * packet_len;
        let window = packets.get(acknowledged * packet_len..packets.len().min(end));
        for part in window.unwrap_or_default().chunks(at_once) {
            match part.len() > packet_len {
                true => {
                    let cut = [ControlMessage::UdpGsoSegments(&segment)];
                    let (fd, part) = (socket.as_raw_fd(), [IoSlice::new(part)]);
                    sendmsg::<()>(fd, &part, &cut, MsgFlags::empty(), None)?;
                }
                false => {
                    socket.send(part)?;
                }
            }
        }
    }
    Ok(())
}
