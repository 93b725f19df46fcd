//! Which thread has which client.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Mutex;

use super::control::lock;

/// Whom a request came from, without a flow label, and the address of the listening sockets that it
/// came to.
pub(super) type Asked = (SocketAddr, SocketAddr);

/// The thread that each client's transfer runs on, where any thread may get its requests.
///
/// There is an entry for each transfer, and so as many as
/// [`Limits::transfers_max`](crate::Limits::transfers_max) lets there be; and for the request that
/// each thread looks at.
#[derive(Debug, Default)]
pub(super) struct Claims(Mutex<BTreeMap<Asked, usize>>);

impl Claims {
    /// The thread that has this client. If none has, it is `thread` from now on.
    pub(super) fn claim(&self, asked: Asked, thread: usize) -> usize {
        *lock(&self.0).entry(asked).or_insert(thread)
    }

    /// The thread that has this client.
    pub(super) fn owner(&self, asked: Asked) -> Option<usize> {
        lock(&self.0).get(&asked).copied()
    }

    /// Whether this thread has any client.
    pub(super) fn has_any(&self, thread: usize) -> bool {
        lock(&self.0).values().any(|owner| *owner == thread)
    }

    /// This thread has no transfer with that client.
    pub(super) fn release(&self, asked: Asked, thread: usize) {
        let mut claims = lock(&self.0);
        if claims.get(&asked) == Some(&thread) {
            claims.remove(&asked);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_stays_with_its_thread_until_that_releases_it() {
        let asked = |port| {
            let [remote, local] = [port, 69].map(|port| SocketAddr::from(([192, 0, 2, 1], port)));
            (remote, local)
        };
        let claims = Claims::default();
        assert_eq!(claims.claim(asked(1), 3), 3);
        assert_eq!(claims.claim(asked(1), 4), 3);
        assert_eq!(claims.claim(asked(2), 4), 4);
        // It is not another thread's to release.
        claims.release(asked(1), 4);
        assert_eq!(claims.claim(asked(1), 4), 3);
        assert_eq!(claims.owner(asked(1)), Some(3));
        claims.release(asked(1), 3);
        assert_eq!(claims.owner(asked(1)), None);
        assert!(!claims.has_any(3) && claims.has_any(4));
        assert_eq!(claims.claim(asked(1), 4), 4);
    }
}
