//! What is TLS's own: handshakes that fail, who the server is, and what a client has to know.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use pxe_http::{CurrentIdentity, Directories, Event, Identity, Limit, Limits};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, KeyUsagePurpose,
};
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, HandshakeKind, RootCertStore, SupportedProtocolVersion};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::driver::{Running, server_name};
use crate::support::{Client, Response, files, within_bounds};

/// A CA, made for one test.
pub(crate) struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    pub(crate) fn new() -> Self {
        Self::named("Test CA")
    }

    fn named(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let key = KeyPair::generate().expect("a key");
        Self(CertifiedIssuer::self_signed(params, key).expect("a CA"))
    }

    /// A certificate for these names and addresses, and its key.
    pub(crate) fn identity(&self, names: &[&str]) -> Identity {
        let names: Vec<String> = names.iter().map(|&name| name.into()).collect();
        let params = CertificateParams::new(names).expect("names");
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.0).expect("a certificate");
        let (chain, key) = (certificate.pem(), key.serialize_pem());
        Identity::from_pem(chain.as_bytes(), key.as_bytes()).expect("an identity")
    }

    pub(crate) fn known_to_client(&self) -> TlsConnector {
        self.known_to(&[&TLS13, &TLS12], &[])
    }

    fn known_to(
        &self,
        versions: &[&'static SupportedProtocolVersion],
        protocols: &[&str],
    ) -> TlsConnector {
        let mut roots = RootCertStore::empty();
        roots.add(self.0.der().clone()).expect("a root");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)
            .expect("versions")
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = protocols
            .iter()
            .map(|name| name.as_bytes().into())
            .collect();
        TlsConnector::from(Arc::new(config))
    }
}

/// A server, the CA of its certificate, and what may be replaced.
struct Secured {
    server: Running,
    authority: Authority,
    identity: CurrentIdentity,
}

async fn secured(limits: Limits) -> Secured {
    let authority = Authority::new();
    let identity = CurrentIdentity::new(authority.identity(&["127.0.0.1"]));
    let server = Running::over_tls(limits, Directories::default(), identity.clone(), files());
    Secured {
        server,
        authority,
        identity,
    }
}

impl Secured {
    async fn dial(&self, connector: TlsConnector) -> std::io::Result<Client> {
        self.server.dialer().trusting(connector).dial().await
    }

    async fn failure(&mut self) -> String {
        let failed = self.server.event(|event| match event {
            Event::HandshakeFailed(failed) => Some(failed.cause),
            _ => None,
        });
        failed.await
    }
}

const CLOSING: &str = "GET /hello HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";

/// The version, and what was agreed on to be spoken.
async fn spoken(secured: &Secured, connector: &TlsConnector) -> (u16, Option<Vec<u8>>) {
    let stream = TcpStream::connect(secured.server.address)
        .await
        .expect("a connection");
    let stream = within_bounds(connector.connect(server_name(), stream))
        .await
        .expect("a handshake");
    let (_, session) = stream.get_ref();
    let version = session.protocol_version().expect("a version").into();
    let protocol = session.alpn_protocol().map(<[u8]>::to_vec);
    let mut client = Client {
        stream: Box::new(stream),
    };
    client.send(CLOSING).await;
    assert_eq!(
        Response::parse(&client.rest().await).body,
        b"hello, world\n"
    );
    (version, protocol)
}

#[tokio::test]
async fn tls_1_2_and_1_3_are_spoken_with_and_without_a_word_on_http() {
    let secured = secured(Limits::default()).await;
    for (version, number) in [(&TLS12, 0x0303), (&TLS13, 0x0304)] {
        for (offered, agreed) in [
            (&[][..], None),
            (&["h2", "http/1.1"], Some(b"http/1.1".to_vec())),
        ] {
            let connector = secured.authority.known_to(&[version], offered);
            assert_eq!(spoken(&secured, &connector).await, (number, agreed));
        }
    }
}

/// RFC 7301 section 3.2.
#[tokio::test]
async fn a_client_that_speaks_only_http_2_is_told() {
    let mut secured = secured(Limits::default()).await;
    let connector = secured.authority.known_to(&[&TLS13], &["h2"]);
    assert!(secured.dial(connector).await.is_err());
    assert!(secured.failure().await.contains("ALPN"));
}

#[tokio::test]
async fn the_operator_is_told_that_a_client_does_not_know_the_ca() {
    let mut secured = secured(Limits::default()).await;
    for (name, told) in [
        ("Another CA", "the client does not know the CA"),
        ("Test CA", "the client knows another CA by the name"),
    ] {
        let stranger = Authority::named(name).known_to_client();
        assert!(secured.dial(stranger).await.is_err());
        let cause = secured.failure().await;
        assert!(cause.starts_with(told), "{cause}");
    }
}

#[tokio::test]
async fn a_client_that_asked_for_another_name_is_told_of() {
    let mut secured = secured(Limits::default()).await;
    secured
        .identity
        .replace(secured.authority.identity(&["10.77.0.1"]));
    assert!(
        secured
            .dial(secured.authority.known_to_client())
            .await
            .is_err()
    );
    let cause = secured.failure().await;
    assert!(
        cause.contains("a wrong name or address in the URL"),
        "{cause}"
    );
}

#[tokio::test]
async fn a_request_in_clear_is_answered_and_told_of() {
    let mut secured = secured(Limits::default()).await;
    let stream = TcpStream::connect(secured.server.address)
        .await
        .expect("a connection");
    let mut client = Client {
        stream: Box::new(stream),
    };
    client.send(CLOSING).await;
    let response = Response::parse(&client.rest().await);
    assert_eq!(response.status, "HTTP/1.1 400 Bad Request");
    let page = String::from_utf8(response.body).expect("text");
    assert!(page.contains("https://"), "{page}");
    let cause = secured.server.event(|event| match event {
        Event::Malformed(malformed) => Some(malformed.cause),
        _ => None,
    });
    assert!(cause.await.contains("in clear"));
}

#[tokio::test]
async fn what_is_neither_tls_nor_http_is_told_of() {
    let mut secured = secured(Limits::default()).await;
    let mut stream = TcpStream::connect(secured.server.address)
        .await
        .expect("a connection");
    stream.write_all(&[0; 100]).await.expect("to be taken");
    assert!(!secured.failure().await.is_empty());
}

#[tokio::test]
async fn a_handshake_that_does_not_end_is_not_waited_for() {
    let mut limits = Limits::default();
    limits.handshake_timeout = Duration::from_millis(1);
    let mut secured = secured(limits).await;
    for begin in [&b""[..], b"\x16\x03\x01\x02\x00\x01"] {
        let stream = TcpStream::connect(secured.server.address)
            .await
            .expect("a connection");
        let mut client = Client {
            stream: Box::new(stream),
        };
        client.send(begin).await;
        client.rest().await;
        let limit = secured.server.event(|event| match event {
            Event::Limited(limited) => Some(limited.limit),
            _ => None,
        });
        assert_eq!(limit.await, Limit::HandshakeTime);
    }
    assert_eq!(secured.server.connections(), 0);
}

#[tokio::test]
async fn a_handshake_counts_as_a_connection_of_its_client() {
    let mut limits = Limits::default();
    limits.connections_per_client_max = 1;
    let mut secured = secured(limits).await;
    let _silent = TcpStream::connect(secured.server.address)
        .await
        .expect("a connection");
    assert!(
        secured
            .dial(secured.authority.known_to_client())
            .await
            .is_err()
    );
    let limit = secured.server.event(|event| match event {
        Event::Limited(limited) => Some(limited.limit),
        _ => None,
    });
    assert_eq!(limit.await, Limit::ConnectionsPerClient);
}

#[tokio::test]
async fn handshakes_beyond_the_rate_of_one_client_wait_for_their_turn() {
    let mut limits = Limits::default();
    limits.handshakes_per_client_per_second = NonZeroU32::new(10);
    limits.handshakes_per_client_burst = 1;
    let mut secured = secured(limits).await;
    let dial = || secured.dial(secured.authority.known_to_client());
    let clients = tokio::join!(dial(), dial(), dial());
    for client in [clients.0, clients.1, clients.2] {
        client.expect("a handshake");
    }
    let limit = secured.server.event(|event| match event {
        Event::Limited(limited) => Some(limited.limit),
        _ => None,
    });
    assert_eq!(limit.await, Limit::HandshakeRate);
}

#[tokio::test]
async fn a_server_that_stops_waits_for_no_handshake() {
    let secured = secured(Limits::default()).await;
    let silent = TcpStream::connect(secured.server.address)
        .await
        .expect("a connection");
    while secured.server.connections() == 0 {
        tokio::task::yield_now().await;
    }
    let (left, _) = secured
        .server
        .shut_down(Duration::from_secs(60))
        .end()
        .await;
    assert_eq!(left, 0);
    let mut client = Client {
        stream: Box::new(silent),
    };
    assert_eq!(client.rest().await, b"");
}

#[tokio::test]
async fn a_renewed_certificate_is_shown_to_new_connections_and_old_ones_go_on() {
    let mut secured = secured(Limits::default()).await;
    let mut old = secured
        .dial(secured.authority.known_to_client())
        .await
        .expect("a handshake");
    let renewed = Authority::new();
    secured.identity.replace(renewed.identity(&["127.0.0.1"]));

    assert!(
        secured
            .dial(secured.authority.known_to_client())
            .await
            .is_err()
    );
    secured.failure().await;
    let mut new = secured
        .dial(renewed.known_to_client())
        .await
        .expect("a handshake");
    for client in [&mut old, &mut new] {
        client.send(CLOSING).await;
        assert_eq!(
            Response::parse(&client.rest().await).body,
            b"hello, world\n"
        );
    }
}

/// What has to be kept for it is kept by the client.
#[tokio::test]
async fn sessions_are_resumed_until_the_certificate_is_replaced() {
    let secured = secured(Limits::default()).await;
    for version in [&TLS12, &TLS13] {
        let connector = secured.authority.known_to(&[version], &[]);
        assert_eq!(handshake(&secured, &connector).await, HandshakeKind::Full);
        assert_eq!(
            handshake(&secured, &connector).await,
            HandshakeKind::Resumed
        );
        secured
            .identity
            .replace(secured.authority.identity(&["127.0.0.1"]));
        assert_eq!(handshake(&secured, &connector).await, HandshakeKind::Full);
    }
}

async fn handshake(secured: &Secured, connector: &TlsConnector) -> HandshakeKind {
    let stream = TcpStream::connect(secured.server.address)
        .await
        .expect("a connection");
    let stream = within_bounds(connector.connect(server_name(), stream)).await;
    let mut stream = stream.expect("a handshake");
    // A ticket of TLS 1.3 comes with the first data.
    stream
        .write_all(CLOSING.as_bytes())
        .await
        .expect("to be taken");
    let mut response = Vec::new();
    within_bounds(stream.read_to_end(&mut response))
        .await
        .expect("an end");
    stream.get_ref().1.handshake_kind().expect("a handshake")
}
