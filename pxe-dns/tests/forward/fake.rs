//! Servers that say what a test wants them to say.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use pxe_dns::wire::{Query, Response, Section};
use pxe_dns::{Name, Rcode, RecordType, Transport, Upstream};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, UdpSocket};
use tokio::sync::Semaphore;

/// What is said to a query: any number of messages.
type Say = dyn Fn(&Query<'_>, Transport) -> Vec<Vec<u8>> + Send + Sync;

/// A server on the loopback interface.
pub(crate) struct Fake {
    pub(crate) address: SocketAddr,
    asked: Arc<Mutex<Vec<Asked>>>,
    /// As many queries are answered as this has permits.
    pub(crate) permits: Arc<Semaphore>,
}

/// A query that came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Asked {
    pub(crate) name: String,
    pub(crate) transport: Transport,
    pub(crate) has_edns: bool,
    pub(crate) dnssec_ok: bool,
    pub(crate) cd: bool,
}

impl Fake {
    /// A server that answers at once.
    pub(crate) async fn start(
        say: impl Fn(&Query<'_>, Transport) -> Vec<Vec<u8>> + Send + Sync + 'static,
    ) -> Self {
        Self::with_permits(Semaphore::MAX_PERMITS, say).await
    }

    /// A server that reads and says nothing.
    pub(crate) async fn silent() -> Self {
        Self::start(|_, _| Vec::new()).await
    }

    /// A server that says this code and nothing else.
    pub(crate) async fn saying(rcode: Rcode) -> Self {
        Self::start(move |query, _| vec![respond(query, |response| response.set_rcode(rcode))])
            .await
    }

    /// A server that has this address for each name.
    pub(crate) async fn with_address(address: [u8; 4]) -> Self {
        Self::start(move |query, _| {
            vec![respond(query, |response| {
                let pushed =
                    response.push(Section::Answer, query.name, RecordType::A, 60, &address);
                pushed.expect("it fits");
            })]
        })
        .await
    }

    /// A server that answers so many queries, and more when it gets more permits.
    pub(crate) async fn with_permits(
        permits: usize,
        say: impl Fn(&Query<'_>, Transport) -> Vec<Vec<u8>> + Send + Sync + 'static,
    ) -> Self {
        let (udp, tcp) = sockets().await;
        let fake = Self {
            address: tcp.local_addr().expect("an address"),
            asked: Arc::default(),
            permits: Arc::new(Semaphore::new(permits)),
        };
        let answering = Answering {
            say: Arc::new(say),
            asked: Arc::clone(&fake.asked),
            permits: Arc::clone(&fake.permits),
        };
        tokio::spawn(answering.clone().datagrams(udp));
        tokio::spawn(answering.connections(tcp));
        fake
    }

    pub(crate) fn upstream(&self) -> Upstream {
        Upstream::plain(self.address)
    }

    /// The queries that came so far.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().expect("not poisoned").clone()
    }

    /// By what they came.
    pub(crate) fn transports(&self) -> Vec<Transport> {
        self.asked().iter().map(|asked| asked.transport).collect()
    }
}

/// One port for both.
async fn sockets() -> (Arc<UdpSocket>, TcpListener) {
    loop {
        let tcp = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        if let Ok(udp) = UdpSocket::bind(tcp.local_addr().expect("an address")).await {
            return (Arc::new(udp), tcp);
        }
    }
}

#[derive(Clone)]
struct Answering {
    say: Arc<Say>,
    asked: Arc<Mutex<Vec<Asked>>>,
    permits: Arc<Semaphore>,
}

impl Answering {
    async fn datagrams(self, udp: Arc<UdpSocket>) {
        let mut buffer = [0; 4096];
        while let Ok((len, remote)) = udp.recv_from(&mut buffer).await {
            let (answering, udp) = (self.clone(), Arc::clone(&udp));
            let message = buffer[..len].to_vec();
            tokio::spawn(async move {
                for said in answering.answer(&message, Transport::Udp).await {
                    udp.send_to(&said, remote).await.expect("it is sent");
                }
            });
        }
    }

    /// Each connection serves one query and is closed.
    async fn connections(self, tcp: TcpListener) {
        while let Ok((mut stream, _)) = tcp.accept().await {
            let answering = self.clone();
            tokio::spawn(async move {
                let len = stream.read_u16().await.expect("a length");
                let mut message = vec![0; len.into()];
                stream.read_exact(&mut message).await.expect("a message");
                for said in answering.answer(&message, Transport::Tcp).await {
                    let len = u16::try_from(said.len()).expect("not too long");
                    stream.write_u16(len).await.expect("it is sent");
                    stream.write_all(&said).await.expect("it is sent");
                }
            });
        }
    }

    async fn answer(&self, message: &[u8], transport: Transport) -> Vec<Vec<u8>> {
        let query = Query::parse(message).expect("a query");
        assert!(query.rd, "recursion is desired");
        let asked = Asked {
            name: query.name.to_string(),
            transport,
            has_edns: query.edns.is_some(),
            dnssec_ok: query.edns.is_some_and(|edns| edns.dnssec_ok),
            cd: query.cd,
        };
        self.asked.lock().expect("not poisoned").push(asked);
        self.permits.acquire().await.expect("open").forget();
        (self.say)(&query, transport)
    }
}

/// A response of this content.
pub(crate) fn respond(query: &Query<'_>, write: impl FnOnce(&mut Response<'_>)) -> Vec<u8> {
    let mut message = Vec::new();
    let mut response = Response::new(query, 65_535, &mut message);
    response.set_recursion_available();
    write(&mut response);
    response.finish();
    message
}

/// Pushes a record, or panics.
pub(crate) fn push(
    response: &mut Response<'_>,
    section: Section,
    owner: &str,
    kind: RecordType,
    ttl_seconds: u32,
    data: &[u8],
) {
    let owner = name(owner);
    let pushed = response.push(section, owner.as_ref(), kind, ttl_seconds, data);
    pushed.expect("it fits");
}

/// A record that says what a name is called otherwise.
pub(crate) fn push_alias(response: &mut Response<'_>, owner: &str, ttl_seconds: u32, target: &str) {
    let (section, kind) = (Section::Answer, RecordType::CNAME);
    push(response, section, owner, kind, ttl_seconds, &wire(target));
}

pub(crate) fn name(text: &str) -> Name {
    text.parse().expect(text)
}

/// The wire form of a name.
pub(crate) fn wire(text: &str) -> Vec<u8> {
    name(text).as_ref().wire().to_vec()
}

/// The data of an SOA record of this last number.
pub(crate) fn soa(minimum: u32) -> Vec<u8> {
    let mut data = [wire("ns.example"), wire("admin.example")].concat();
    for number in [1, 3600, 600, 86_400, minimum] {
        data.extend_from_slice(&number.to_be_bytes());
    }
    data
}
