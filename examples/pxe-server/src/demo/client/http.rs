//! The virtual machine's HTTP: what lpxelinux.0 and syslinux.efi send, and how they read.
//!
//! They are stricter than browsers (syslinux, core/fs/pxe/http.c), and so is this: status 200
//! only, and a field counts only once another one follows it.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpStream};
use std::time::Duration;

use super::Failure;

/// How long the server may be silent.
const SILENCE_MAX: Duration = Duration::from_secs(10);
/// No server's head is longer.
const HEAD_BYTES_MAX: usize = 16 << 10;
/// A file larger than this would not be one of the demo's.
const FILE_BYTES_MAX: u64 = 64 << 20;

/// What a request came to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Got {
    File(Vec<u8>),
    /// Status 404.
    NotFound,
}

/// `http://address:port/path`, as the demo's menus have it: no name, since there is no DNS.
pub(super) fn parse_url(url: &str) -> Option<(SocketAddrV4, &str)> {
    let rest = url.strip_prefix("http://")?;
    let (authority, path) = rest.split_at(rest.find('/')?);
    let server = match authority.contains(':') {
        true => authority.parse().ok()?,
        false => SocketAddrV4::new(authority.parse().ok()?, 80),
    };
    Some((server, path))
}

/// Fetches a file over a connection of its own.
pub(super) fn get(local: Ipv4Addr, mac: [u8; 6], url: &str) -> Result<Got, Failure> {
    let step = format!("http {url}");
    let failed = |error: std::io::Error| Failure::new(&step, error);
    let wrong = |problem: String| Failure::new(&step, problem);
    let (server, path) = parse_url(url).ok_or_else(|| wrong("is no URL of an address".into()))?;
    let mut stream = connect(local, server).map_err(failed)?;
    stream.set_read_timeout(Some(SILENCE_MAX)).map_err(failed)?;
    stream
        .write_all(request(server, path, local, mac).as_bytes())
        .map_err(failed)?;

    let mut received = Vec::new();
    let head_len = loop {
        if let Some(end) = received.windows(4).position(|window| window == b"\r\n\r\n") {
            break end + 4;
        }
        if received.len() > HEAD_BYTES_MAX {
            return Err(wrong("the response's head does not end".into()));
        }
        let mut buffer = [0; 4096];
        let len = stream.read(&mut buffer).map_err(failed)?;
        if len == 0 {
            return Err(wrong(
                "the connection ended within the response's head".into(),
            ));
        }
        received.extend_from_slice(&buffer[..len]);
    };
    let head = String::from_utf8_lossy(&received[..head_len]).into_owned();
    let length = match read_head(&head).map_err(wrong)? {
        Head::NotFound => return Ok(Got::NotFound),
        Head::Content(length) => length,
    };
    let mut content = received.split_off(head_len);
    // To the end of the connection: a byte too many is as wrong as one too few.
    let left = length.saturating_sub(content.len() as u64);
    content.reserve(usize::try_from(left).unwrap_or_default());
    stream
        .take(left + 1)
        .read_to_end(&mut content)
        .map_err(failed)?;
    if content.len() as u64 != length {
        let came = content.len();
        return Err(wrong(format!(
            "{length} bytes were announced, {came} or more came"
        )));
    }
    Ok(Got::File(content))
}

/// A connection from the machine's own address, which is how the server knows the machine.
fn connect(local: Ipv4Addr, server: SocketAddrV4) -> std::io::Result<TcpStream> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()?;
    // Only for this: the standard library cannot bind before it connects.
    let stream = runtime.block_on(async {
        let socket = tokio::net::TcpSocket::new_v4()?;
        socket.bind(SocketAddr::from((local, 0)))?;
        socket.connect(SocketAddr::V4(server)).await?.into_std()
    })?;
    stream.set_nonblocking(false)?;
    Ok(stream)
}

/// As lpxelinux.0 6.04 sends it: HTTP/1.0, and what it knows of the machine as a cookie.
fn request(server: SocketAddrV4, path: &str, local: Ipv4Addr, mac: [u8; 6]) -> String {
    let [a, b, c, d, e, f] = mac;
    format!(
        "GET {path} HTTP/1.0\r\n\
         Host: {server}\r\n\
         Cookie: _Syslinux_ip={local}:{gateway}:{gateway}:255.0.0.0; \
         _Syslinux_BOOTIF=01-{a:02x}-{b:02x}-{c:02x}-{d:02x}-{e:02x}-{f:02x}\r\n\
         Connection: close\r\n\
         User-Agent: Syslinux/6.04\r\n\
         \r\n",
        gateway = server.ip(),
    )
}

#[derive(Debug, PartialEq, Eq)]
enum Head {
    Content(u64),
    NotFound,
}

/// Reads a response's head as lpxelinux does, and says what it would stumble over.
fn read_head(head: &str) -> Result<Head, String> {
    let mut lines = head.split("\r\n").take_while(|line| !line.is_empty());
    let status_line = lines.next().unwrap_or_default();
    let status = status_line.split(' ').nth(1).unwrap_or_default();
    if !status_line.starts_with("HTTP/1.") {
        return Err(format!("is not answered by HTTP: {status_line:?}"));
    }
    match status {
        "200" => {}
        "404" => return Ok(Head::NotFound),
        _ => return Err(format!("status {status} (loaders take no other than 200)")),
    }
    let fields: Vec<(String, &str)> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim()))
        .collect();
    if fields.iter().any(|(name, _)| name == "transfer-encoding") {
        return Err("comes with a transfer coding, which HTTP/1.0 does not know".into());
    }
    let lengths = || {
        fields
            .iter()
            .enumerate()
            .filter(|(_, (name, _))| name == "content-length")
    };
    let Some((position, (_, value))) = lengths().next() else {
        return Err("has no Content-Length".into());
    };
    if position + 1 == fields.len() {
        return Err("has Content-Length as its last field, which lpxelinux does not read".into());
    }
    match value.parse() {
        Ok(length) if length <= FILE_BYTES_MAX && lengths().count() == 1 => {
            Ok(Head::Content(length))
        }
        _ => Err(format!("has a Content-Length of {value}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls() {
        let server = "127.0.0.1:8080".parse().expect("an address");
        assert_eq!(
            parse_url("http://127.0.0.1:8080/a/b"),
            Some((server, "/a/b"))
        );
        let (server, path) = parse_url("http://127.0.0.1/").expect("a URL");
        assert_eq!((server.port(), path), (80, "/"));
        for url in [
            "os/linux",
            "http://127.0.0.1",
            "http://host/x",
            "https://127.0.0.1/x",
        ] {
            assert_eq!(parse_url(url), None, "{url}");
        }
    }

    #[test]
    fn heads_are_read_as_lpxelinux_reads_them() {
        let read = |fields: &str| read_head(&format!("HTTP/1.0 200 OK\r\n{fields}\r\n"));
        assert_eq!(
            read("Content-Length: 5\r\nConnection: close\r\n"),
            Ok(Head::Content(5))
        );
        assert!(read("Connection: close\r\nContent-Length: 5\r\n").is_err());
        assert!(read("Connection: close\r\n").is_err());
        assert!(read("Content-Length: x\r\nA: b\r\n").is_err());
        assert!(read("Content-Length: 5\r\nContent-Length: 5\r\nA: b\r\n").is_err());
        assert!(read("Content-Length: 5\r\nTransfer-Encoding: chunked\r\nA: b\r\n").is_err());
        assert_eq!(
            read_head("HTTP/1.1 404 Not Found\r\n\r\n"),
            Ok(Head::NotFound)
        );
        assert!(read_head("HTTP/1.1 206 Partial Content\r\n\r\n").is_err());
        assert!(read_head("\r\n\r\n").is_err());
    }
}
