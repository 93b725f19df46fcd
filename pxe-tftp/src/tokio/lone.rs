//! Whether one transfer has a thread for itself.

use pxe_core::SocketId;

use super::poller::Ready;

/// Waits in a row that told of the same transfer's socket and of nothing else, after which its
/// packets are waited for at that socket.
const LONE_WAITS: u8 = 16;

/// The transfer that was the only one to have packets, wait after wait.
///
/// A lone client in lock-step is the slowest case of TFTP, and each call counts there: to be told of
/// a socket that is the only one ready is a call for nothing.
#[derive(Debug, Default)]
pub(super) struct Lone {
    socket: Option<SocketId>,
    waits: u8,
}

impl Lone {
    /// The socket at which the next packet may be waited for.
    pub(super) fn socket(&self) -> Option<SocketId> {
        self.socket.filter(|_| self.waits >= LONE_WAITS)
    }

    /// Takes notice of what a wait has told, and of whether it led to a packet that the client has
    /// to answer: if not, another thing may have to happen first, such as a file being read.
    pub(super) fn notice(
        &mut self,
        told: impl Iterator<Item = Ready>,
        is_listener: impl Fn(SocketId) -> bool,
        answered: bool,
    ) {
        let mut one = None;
        for ready in told {
            match ready {
                Ready::Socket {
                    id,
                    writable: false,
                } if one.is_none() && !is_listener(id) => one = Some(id),
                _ => return self.forget(),
            }
        }
        match one {
            None => {}
            Some(_) if !answered => self.forget(),
            Some(id) if self.socket == Some(id) => self.waits = self.waits.saturating_add(1),
            Some(id) => {
                self.socket = Some(id);
                self.waits = 1;
            }
        }
    }

    /// Begins anew: there is something else, or nothing came.
    pub(super) fn forget(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn socket(id: u32) -> Ready {
        Ready::Socket {
            id: SocketId(id),
            writable: false,
        }
    }

    /// As after so many waits as it takes.
    fn lone() -> Lone {
        let mut lone = Lone::default();
        for _ in 0..LONE_WAITS {
            assert_eq!(lone.socket(), None);
            lone.notice([socket(7)].into_iter(), |_| false, true);
        }
        lone
    }

    #[test]
    fn a_transfer_is_alone_after_some_waits_that_told_of_nothing_else() {
        let mut lone = lone();
        assert_eq!(lone.socket(), Some(SocketId(7)));
        // Nothing was ready, or only a timer.
        lone.notice([].into_iter(), |_| false, false);
        assert_eq!(lone.socket(), Some(SocketId(7)));
        lone.forget();
        assert_eq!(lone.socket(), None);
    }

    #[test]
    fn whatever_else_is_ready_ends_it() {
        let writable = Ready::Socket {
            id: SocketId(7),
            writable: true,
        };
        for told in [
            &[socket(8)][..],
            &[socket(7), socket(8)],
            &[Ready::Waker],
            &[socket(7), Ready::Waker],
            &[writable],
        ] {
            let mut lone = lone();
            lone.notice(told.iter().copied(), |_| false, true);
            assert_eq!(lone.socket(), None, "{told:?}");
        }
        let mut listening = lone();
        listening.notice([socket(7)].into_iter(), |id| id == SocketId(7), true);
        assert_eq!(listening.socket(), None);
        let mut waiting = lone();
        waiting.notice([socket(7)].into_iter(), |_| false, false);
        assert_eq!(waiting.socket(), None);
    }
}
