//! Files that change while a slow client fetches them: it gets the old content whole, or sees that
//! something is wrong, and never a mixture of the right length.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::Duration;

use socket2::{Domain, Socket, Type};

use crate::Test;
use crate::client::ensure;
use crate::site::{Site, noise};

pub(crate) const TESTS: &[Test] = &[
    ("a_file_cut_off_meanwhile_ends_short", cut_off),
    ("a_file_edited_meanwhile_ends_short", edited),
    ("a_file_replaced_meanwhile_is_sent_as_it_was", replaced),
];

/// The client has this much of the body when the file changes. What else may be under way, in the
/// buffers of both ends, is much less than the file.
const BEFORE: usize = 100_000;
/// Nothing takes so long.
const PATIENCE: Duration = Duration::from_secs(30);

/// What of the file is fetched, by its `Range`.
#[derive(Debug, Clone, Copy)]
enum Fetched {
    /// All: it leaves by sendfile(2).
    Whole,
    /// Pieces that are small enough to be copied, all over the file.
    Pieces,
}

const WAYS: [Fetched; 2] = [Fetched::Whole, Fetched::Pieces];
/// How long a piece is.
const PIECE: usize = 32 * 1024;
/// How far a piece is from the next.
const STEP: usize = 512 * 1024;

impl Fetched {
    fn range(self, len: usize) -> Option<String> {
        let Self::Pieces = self else { return None };
        let starts = (0..len - PIECE).step_by(STEP);
        let ranges = starts.map(|start| format!("{start}-{}", start + PIECE - 1));
        let ranges: Vec<String> = ranges.collect();
        Some(format!("bytes={}", ranges.join(",")))
    }

    /// Whether a body is that of this content.
    fn is_whole(self, body: &[u8], content: &[u8]) -> bool {
        let Self::Pieces = self else {
            return body == content;
        };
        // Each piece in its order; of what stands between them the crate's tests know.
        let mut rest = body;
        (0..content.len() - PIECE).step_by(STEP).all(|start| {
            let piece = &content[start..start + PIECE];
            let head = rest.windows(4).position(|it| it == b"\r\n\r\n");
            let found = head.and_then(|at| rest.get(at + 4..at + 4 + PIECE));
            let is_same = found == Some(piece);
            rest = head.map_or(&[][..], |at| rest.get(at + 4 + PIECE..).unwrap_or_default());
            is_same
        })
    }
}

/// What a client got: how much was announced, and what came.
struct Got {
    status: u16,
    announced: usize,
    body: Vec<u8>,
}

/// Fetches slowly, and does this in the middle.
fn fetch(site: &Site, range: Option<&str>, change: impl FnOnce() + Send) -> Result<Got, String> {
    let range = range.map_or_else(String::new, |range| format!("Range: {range}\r\n"));
    let work = move || -> std::io::Result<(String, Vec<u8>)> {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
        // So that little of the body can be on its way.
        socket.set_recv_buffer_size(4096)?;
        let server = SocketAddr::from((Ipv4Addr::new(10, 78, 0, 1), 80));
        socket.connect(&server.into())?;
        let mut stream = TcpStream::from(socket);
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.write_all(
            format!("GET /changing.bin HTTP/1.1\r\nHost: x\r\n{range}Connection: close\r\n\r\n")
                .as_bytes(),
        )?;
        let mut all = Vec::new();
        let mut part = [0; 16 * 1024];
        let mut change = Some(change);
        loop {
            // A connection that is closed with something unread is reset; that is short as well.
            let len = match stream.read(&mut part) {
                Ok(len) => len,
                Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => 0,
                Err(error) => return Err(error),
            };
            all.extend_from_slice(&part[..len]);
            if len == 0 {
                break;
            }
            if all.len() > BEFORE
                && let Some(change) = change.take()
            {
                change();
            }
        }
        let end = all.windows(4).position(|it| it == b"\r\n\r\n");
        let end = end.ok_or_else(|| std::io::Error::other("no head came"))?;
        let body = all.split_off(end + 4);
        Ok((String::from_utf8_lossy(&all).to_lowercase(), body))
    };
    let fetched = site
        .client
        .enter(work)?
        .map_err(|error| error.to_string())?;
    let (head, body) = fetched;
    let number = |before: &str| {
        let (_, rest) = head.split_once(before)?;
        rest.split_ascii_whitespace().next()?.parse::<usize>().ok()
    };
    let announced = number("content-length:").ok_or("no Content-Length")?;
    let status = number("http/1.1 ").and_then(|code| u16::try_from(code).ok());
    Ok(Got {
        status: status.ok_or("no status")?,
        announced,
        body,
    })
}

/// A file, and what is in it.
fn lay_out(site: &Site) -> Result<Vec<u8>, String> {
    let content = noise(24 * 1024 * 1024, 77);
    // A new one each time.
    let _ = fs::remove_file(site.served("os/changing.bin"));
    let written = fs::write(site.served("os/changing.bin"), &content);
    written.map_err(|error| error.to_string())?;
    Ok(content)
}

/// Whatever is done to the file, the response ends before what was announced, and what came is the
/// old content as far as it goes.
fn ends_short(site: &Site, change: fn(&Path) -> std::io::Result<()>) -> Result<(), String> {
    for way in WAYS {
        let content = lay_out(site)?;
        let file = site.served("os/changing.bin");
        let range = way.range(content.len());
        let mut changed = Ok(());
        let got = fetch(site, range.as_deref(), || changed = change(&file))?;
        changed.map_err(|error| error.to_string())?;
        ensure(matches!(got.status, 200 | 206), || {
            format!("{way:?}: {}", got.status)
        })?;
        ensure(
            got.body.len() > BEFORE && got.body.len() < got.announced,
            || {
                format!(
                    "{way:?}: {} of {} bytes came",
                    got.body.len(),
                    got.announced
                )
            },
        )?;
        site.await_log(&[
            "\"protocol\":\"http\"",
            "\"event\":\"failed\"",
            "changing.bin",
        ])?;
    }
    Ok(())
}

fn cut_off(site: &Site) -> Result<(), String> {
    ends_short(site, |file| {
        File::options()
            .write(true)
            .open(file)?
            .set_len(BEFORE as u64)
    })
}

fn edited(site: &Site) -> Result<(), String> {
    ends_short(site, |file| {
        let file = File::options().write(true).open(file)?;
        // Near its end, where nothing is under way yet.
        file.write_all_at(b"other bytes", 23 * 1024 * 1024)
    })
}

/// As rsync and package managers replace files.
fn replaced(site: &Site) -> Result<(), String> {
    for way in WAYS {
        let content = lay_out(site)?;
        let range = way.range(content.len());
        let mut changed = Ok(());
        let got = fetch(site, range.as_deref(), || {
            let new = site.served("os/changing.new");
            changed = fs::write(&new, noise(1_000_000, 5))
                .and_then(|()| fs::rename(&new, site.served("os/changing.bin")));
        })?;
        changed.map_err(|error| error.to_string())?;
        ensure(got.body.len() == got.announced, || {
            format!(
                "{way:?}: {} of {} bytes came",
                got.body.len(),
                got.announced
            )
        })?;
        ensure(way.is_whole(&got.body, &content), || {
            format!("{way:?}: other content")
        })?;
    }
    Ok(())
}
