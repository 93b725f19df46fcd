//! Bytes that are given to a socket which has not told of room.

use std::io;

use rustix::net::SendFlags;
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

use crate::driver::hyper_stream::{Push, Pushed};

impl Push for TlsStream<TcpStream> {
    fn push(&mut self) -> Pushed {
        let (socket, session) = self.get_mut();
        let mut pushed = Pushed::default();
        while session.wants_write() {
            match session.write_tls(&mut Untold(socket)) {
                Ok(count @ 1..) => pushed.bytes += count,
                // An error is told by the next write.
                Ok(0) | Err(_) => break,
            }
        }
        pushed.is_all = !session.wants_write();
        pushed
    }
}

/// A socket by itself: tokio would not ask it before it tells of room.
struct Untold<'a>(&'a TcpStream);

impl io::Write for Untold<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
        Ok(rustix::net::send(self.0, bytes, flags)?)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
