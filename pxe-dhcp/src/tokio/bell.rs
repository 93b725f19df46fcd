//! Rings when interfaces or addresses of this host change (rtnetlink(7)).

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

use nix::libc::{RTMGRP_IPV4_IFADDR, RTMGRP_LINK};
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recv, socket,
};

use super::ready_socket::ReadySocket;

/// Messages that are thrown away at one time; if there are more, it rings once more.
const MESSAGES_MAX: usize = 256;

/// Tells that something changed, and not what: messages can be lost, and a new list cannot.
#[derive(Debug)]
pub(super) struct Bell {
    socket: ReadySocket<OwnedFd>,
}

impl Bell {
    pub(super) fn hang() -> io::Result<Self> {
        let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
        let socket = socket(
            AddressFamily::Netlink,
            SockType::Raw,
            flags,
            SockProtocol::NetlinkRoute,
        )?;
        let groups = (RTMGRP_LINK | RTMGRP_IPV4_IFADDR).cast_unsigned();
        bind(socket.as_raw_fd(), &NetlinkAddr::new(0, groups))?;
        Ok(Self {
            socket: ReadySocket::new(socket)?,
        })
    }

    /// Waits until it rings. To cancel this loses nothing.
    pub(super) async fn rung(&self) -> io::Result<()> {
        loop {
            self.socket.readable().await?;
            let mut buffer = [0; 64];
            let mut has_rung = false;
            for _ in 0..MESSAGES_MAX {
                let received = self.socket.try_read(|socket| {
                    // A message that does not fit is thrown away all the same.
                    Ok(recv(
                        socket.as_raw_fd(),
                        &mut buffer,
                        MsgFlags::MSG_DONTWAIT,
                    )?)
                });
                match received {
                    Ok(_) => has_rung = true,
                    // There were more than fit: it rang.
                    Err(error) if error.raw_os_error() == Some(nix::libc::ENOBUFS) => {
                        has_rung = true;
                    }
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                    Err(error) => return Err(error),
                }
            }
            if has_rung {
                return Ok(());
            }
        }
    }
}
