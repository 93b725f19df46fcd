//! From a TCP connection to one over TLS, or to a clear word why not.

use std::future::poll_fn;
use std::io;
use std::num::NonZeroUsize;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use http::StatusCode;
use rustls::{AlertDescription, PeerIncompatible};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::time::Instant;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::identity::CurrentIdentity;
use crate::Limits;
use crate::driver::hyper_connection;
use crate::driver::listener::Admitted;
use crate::driver::rate::{Rates, TooMany};
use crate::driver::response::refusal;
use crate::event::{Event, HandshakeFailed, Limit, Malformed};

/// How long a handshake is left alone before it has to make room for others: firmware that
/// calculates with large numbers is slow.
const UNDER_WAY: Duration = Duration::from_secs(4);

/// Serves a connection to its end.
pub(in crate::driver) async fn serve(
    stream: TcpStream,
    identity: &CurrentIdentity,
    admitted: Admitted,
) {
    let (seat, limits) = (&admitted.place.seat, &admitted.place.admission.limits);
    let waits_since = Instant::now() + UNDER_WAY;
    // Nothing was asked yet that a server which stops would have to answer.
    let begun = tokio::select! {
        begun = tokio::time::timeout(
            limits.handshake_timeout,
            begin(stream, identity, &admitted),
        ) => begun,
        _ = poll_fn(|cx| seat.poll_leave(cx, waits_since)) => return,
    };
    seat.begin();
    let failed = match begun {
        Ok(Begun::Encrypted(stream)) => {
            let peer = admitted.peer().over_tls();
            return hyper_connection::serve(*stream, peer, admitted).await;
        }
        Ok(Begun::Nothing) => return,
        // It was told already.
        Ok(Begun::Refused) => return,
        Err(_) => return admitted.tell_limit(Limit::HandshakeTime),
        Ok(Begun::Clear) => None,
        Ok(Begun::Failed(error)) => Some(error),
    };
    let (remote, local) = (admitted.remote, admitted.local);
    admitted.place.admission.observer.tell(|| match failed {
        None => Event::Malformed(Malformed {
            remote,
            local,
            cause: "HTTP in clear, on a port for HTTPS".into(),
        }),
        Some(error) => Event::HandshakeFailed(HandshakeFailed {
            remote,
            local,
            cause: cause(&error),
        }),
    });
}

/// What came of a connection.
enum Begun {
    Encrypted(Box<TlsStream<TcpStream>>),
    /// It spoke HTTP in clear, and was told.
    Clear,
    /// It said nothing before it went away: a look whether the port is open.
    Nothing,
    /// Its client has begun too many.
    Refused,
    Failed(io::Error),
}

/// What handshakes may take of the machine.
#[derive(Debug)]
pub(in crate::driver) struct Handshakes {
    rates: Rates,
    /// Those that may be calculated at once: half of the processors' worth, so that the other half
    /// goes on sending files however many are begun.
    turns: Semaphore,
}

impl Handshakes {
    pub(in crate::driver) fn new(limits: &Limits) -> Self {
        let processors = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
        Self {
            rates: Rates::handshakes(limits),
            turns: Semaphore::new((processors / 2).max(1)),
        }
    }

    /// Runs a handshake, of which each step waits for its turn. It holds none while it waits for
    /// its client.
    async fn run<F: Future>(&self, handshake: F) -> F::Output {
        let mut handshake = pin!(handshake);
        loop {
            let turn = self.turns.acquire().await;
            let step = poll_fn(|cx| Poll::Ready(handshake.as_mut().poll(cx))).await;
            drop(turn);
            if let Poll::Ready(output) = step {
                return output;
            }
            // The step has said what wakes this task.
            let mut is_woken = false;
            poll_fn(|_| match std::mem::replace(&mut is_woken, true) {
                true => Poll::Ready(()),
                false => Poll::Pending,
            })
            .await;
        }
    }
}

async fn begin(mut stream: TcpStream, identity: &CurrentIdentity, admitted: &Admitted) -> Begun {
    let mut first = [0];
    match stream.peek(&mut first).await {
        Ok(1..) => {}
        Ok(0) | Err(_) => return Begun::Nothing,
    }
    // A method begins so (RFC 9110 section 9), and no record of TLS does (RFC 8446 section 5.1).
    if first[0].is_ascii_uppercase() {
        refuse_clear(&mut stream).await;
        return Begun::Clear;
    }
    let admission = &admitted.place.admission;
    let (handshakes, wait_max) = (&admission.handshakes, admission.limits.handshake_timeout);
    match handshakes.rates.queue(admitted.remote.ip(), wait_max) {
        Ok(Duration::ZERO) => {}
        Ok(wait) => {
            admitted.tell_limit(Limit::HandshakeRate);
            tokio::time::sleep(wait).await;
        }
        Err(TooMany(_)) => {
            admitted.tell_limit(Limit::HandshakeRate);
            return Begun::Refused;
        }
    }
    let acceptor = TlsAcceptor::from(identity.get().config());
    match handshakes.run(acceptor.accept(stream)).await {
        Ok(stream) => Begun::Encrypted(Box::new(stream)),
        Err(error) => Begun::Failed(error),
    }
}

/// As nginx and others do, so that whoever forgot the `s` in the URL sees it.
async fn refuse_clear(stream: &mut TcpStream) {
    // What is not read when a socket is closed makes the client lose what was written to it.
    let _ = stream.try_read(&mut [0; 4096]);
    let cause = "this port speaks HTTPS: the URL has to begin with https://";
    let response = refusal(None, StatusCode::BAD_REQUEST, cause, None);
    let _ = stream.write_all(&response).await;
    let _ = stream.shutdown().await;
}

/// What the operator can do something about, in words; the rest as rustls says it.
fn cause(error: &io::Error) -> String {
    let tls = error
        .get_ref()
        .and_then(|error| error.downcast_ref::<rustls::Error>());
    let words = match tls {
        Some(rustls::Error::AlertReceived(alert)) => match alert {
            AlertDescription::UnknownCA => "the client does not know the CA of our certificate",
            AlertDescription::DecryptError => {
                "the client knows another CA by the name of that of our certificate"
            }
            AlertDescription::CertificateExpired => {
                "the client takes our certificate for expired, or its clock is wrong"
            }
            AlertDescription::BadCertificate | AlertDescription::CertificateUnknown => {
                "the client does not take our certificate: an unknown CA, a wrong name or address \
                 in the URL, or a wrong clock"
            }
            AlertDescription::ProtocolVersion => {
                "the client has no version of TLS in common with us"
            }
            AlertDescription::HandshakeFailure => {
                "the client has no cipher in common with us (an RSA key suits most of them)"
            }
            other => return format!("the client ended the handshake: {other:?}"),
        },
        Some(rustls::Error::PeerIncompatible(why)) => match why {
            PeerIncompatible::Tls12NotOffered
            | PeerIncompatible::Tls12NotOfferedOrEnabled
            | PeerIncompatible::SupportedVersionsExtensionRequired => {
                "the client has neither TLS 1.2 nor 1.3"
            }
            PeerIncompatible::NoCipherSuitesInCommon | PeerIncompatible::NoKxGroupsInCommon => {
                "the client has no cipher in common with us: an older iPXE knows RSA key exchange \
                 alone, and a client without elliptic curves needs a certificate with an RSA key"
            }
            other => return format!("the client cannot: {other:?}"),
        },
        Some(rustls::Error::NoApplicationProtocol) => {
            "the client wants to speak something else than HTTP/1.1 (ALPN)"
        }
        Some(other) => return other.to_string(),
        None if error.kind() == io::ErrorKind::UnexpectedEof => {
            "the client closed the connection during the handshake, without saying why"
        }
        None => return error.to_string(),
    };
    words.into()
}
