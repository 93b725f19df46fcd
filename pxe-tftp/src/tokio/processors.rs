//! The processors that packets arrive at.

use std::os::fd::AsFd;

use nix::libc::{self, sock_filter, sock_fprog};
use nix::sched::{CpuSet, sched_getaffinity};
use nix::sys::socket::{setsockopt, sockopt};
use nix::unistd::Pid;

use super::interfaces::all_deliver_to;

/// Whether each of so many threads can have a processor whose packets it serves: whether this
/// program may use so many, numbered from 0 without a gap, and the network delivers packets to all
/// of them. Else one thread would have to serve nearly all clients.
pub(super) fn suit(threads: usize) -> bool {
    threads > 1 && are_all_of(threads) && all_deliver_to(threads)
}

/// Whether this program may use so many processors, numbered from 0 without a gap.
fn are_all_of(count: usize) -> bool {
    // Of the calling thread.
    let Ok(set) = sched_getaffinity(Pid::from_raw(0)) else {
        return false;
    };
    let mine = (0..CpuSet::count()).filter(|number| set.is_set(*number) == Ok(true));
    mine.eq(0..count)
}

/// What decides which socket of a `SO_REUSEPORT` group gets a datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Steering {
    /// The addresses and ports of both ends, as without any program: a client stays with a socket.
    Hash,
    /// The processor that the datagram arrived at: its number is that of the socket, in the order
    /// in which they were bound.
    Processor,
}

impl Steering {
    /// Sets it for the whole group of this socket.
    pub(super) fn set(self, socket: &impl AsFd) -> nix::Result<()> {
        let load_processor = instruction(
            libc::BPF_LD | libc::BPF_W | libc::BPF_ABS,
            (libc::SKF_AD_OFF + libc::SKF_AD_CPU).cast_unsigned(),
        );
        let mut code = match self {
            // There is no such socket, so that the system takes its hash.
            Self::Hash => vec![instruction(libc::BPF_RET | libc::BPF_K, u32::MAX)],
            // Of a processor whose number is too large, the system takes its hash too.
            Self::Processor => vec![load_processor, instruction(libc::BPF_RET | libc::BPF_A, 0)],
        };
        let program = sock_fprog {
            len: u16::try_from(code.len()).unwrap_or_default(),
            filter: code.as_mut_ptr(),
        };
        setsockopt(socket, sockopt::AttachReusePortCbpf, &program)
    }
}

fn instruction(code: u32, k: u32) -> sock_filter {
    sock_filter {
        code: u16::try_from(code).unwrap_or_default(),
        jt: 0,
        jf: 0,
        k,
    }
}

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;
    use std::net::{SocketAddr, UdpSocket};
    use std::thread;

    use nix::sched::sched_setaffinity;

    use super::super::bind::bind_listeners;
    use super::*;

    /// A datagram that is sent by that processor arrives at it, as there is no network between.
    fn send_on(processor: usize, to: SocketAddr) {
        let client = UdpSocket::bind("127.0.0.1:0").expect("a port");
        let sent = thread::spawn(move || {
            let mut set = CpuSet::new();
            set.set(processor).expect("a number");
            sched_setaffinity(Pid::from_raw(0), &set).expect("one that may be used");
            client.send_to(b"datagram", to).expect("sent");
        });
        sent.join().expect("no panic");
    }

    fn receives(socket: &UdpSocket) -> bool {
        socket.set_nonblocking(true).expect("no error");
        match socket.recv(&mut [0; 16]) {
            Ok(len) => len == 8,
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::WouldBlock);
                false
            }
        }
    }

    #[test]
    fn the_processor_that_a_datagram_arrives_at_chooses_the_socket() {
        let sockets = bind_listeners("127.0.0.1:0".parse().expect("an address")).expect("a port");
        let to = sockets[0].local_addr().expect("an address");
        if sockets.len() > 1 {
            Steering::Processor
                .set(&sockets[0])
                .expect("a kernel that takes programs");
        }
        if are_all_of(sockets.len()) {
            // Each time from another port, which would go to any of them.
            for processor in (0..sockets.len()).cycle().take(8 * sockets.len()) {
                send_on(processor, to);
                let got: Vec<_> = sockets.iter().map(receives).collect();
                let chosen: Vec<_> = (0..sockets.len()).map(|n| n == processor).collect();
                assert_eq!(got, chosen);
            }
        }
        if sockets.len() > 1 {
            Steering::Hash.set(&sockets[0]).expect("another program");
        }
        for _ in 0..8 {
            send_on(0, to);
            assert_eq!(sockets.iter().filter(|socket| receives(socket)).count(), 1);
        }
    }
}
