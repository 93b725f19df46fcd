//! The driver on loopback: a relay at 127.0.0.2 speaks for clients to a server at 127.0.0.1.

#![cfg(target_os = "linux")]

mod support;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use pxe_core::MacAddr;
use pxe_dhcp::wire::{Message, MessageType};
use pxe_dhcp::{
    BindError, BindSpec, Boot, BootDecision, BootItem, BootMenu, BootPolicy, BootRequest, Commit,
    CommitError, Config, Cursor, Event, LeaseRecord, LeaseState, LeaseStore, MemoryStore, NoBoot,
    Server, StoreError, Subnet, WithdrawError,
};
use support::{Request, mac, policy};
use tokio::net::UdpSocket;
use tokio::sync::{Semaphore, oneshot};
use tokio::time::timeout;

const SERVER: Ipv4Addr = Ipv4Addr::LOCALHOST;
const RELAY: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);
/// Far longer than anything here takes: only a failure waits for it.
const PATIENCE: Duration = Duration::from_secs(20);

fn config(port: u16) -> Config {
    let subnet = Subnet::new("127.0.0.0/24".parse().expect("a network"))
        .with_pool([127, 0, 0, 100].into(), [127, 0, 0, 200].into());
    Config::new().with_ports(port, port).with_subnet(subnet)
}

/// The relay's socket, and a server bound to the same port of another address.
async fn pair() -> (UdpSocket, Server) {
    for _ in 0..20 {
        let relay = UdpSocket::bind((RELAY, 0))
            .await
            .expect("a socket on loopback");
        let port = relay.local_addr().expect("an address").port();
        if let Ok(server) = Server::bind(BindSpec::address(SERVER), config(port)) {
            return (relay, server);
        }
    }
    panic!("no port is free on both addresses");
}

async fn ask(relay: &UdpSocket, request: &Request, xid: u32) -> Vec<u8> {
    let mut request = request.clone().giaddr(RELAY);
    request.header.xid = xid;
    let port = relay.local_addr().expect("an address").port();
    relay
        .send_to(&request.bytes(), (SERVER, port))
        .await
        .expect("sent");
    let mut buffer = vec![0; 2000];
    let (len, from) = timeout(PATIENCE, relay.recv_from(&mut buffer))
        .await
        .expect("a reply")
        .expect("received");
    assert_eq!(from, SocketAddr::from((SERVER, port)));
    buffer.truncate(len);
    assert_eq!(Message::parse(&buffer).expect("a reply").xid(), xid);
    buffer
}

async fn lease(relay: &UdpSocket, mac: MacAddr) -> Ipv4Addr {
    let client = Request::new(mac);
    let offer = ask(relay, &client.discover(), 1).await;
    let address = Message::parse(&offer)
        .expect("an offer")
        .yiaddr()
        .expect("an address");
    let ack = ask(relay, &client.select_of(address, SERVER), 2).await;
    let ack = Message::parse(&ack).expect("an ACK");
    assert_eq!(ack.message_type(), Some(MessageType::ACK));
    assert_eq!(ack.yiaddr(), Some(address));
    address
}

#[tokio::test]
async fn a_lease_over_real_sockets() {
    let (relay, server) = pair().await;
    let events = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&events);
    let server = server.on_event(move |event| seen.lock().expect("no panic").push(event.clone()));
    let handle = server.handle();
    let store = Arc::new(MemoryStore::new());
    let stored: Arc<dyn LeaseStore> = Arc::clone(&store) as _;
    let running = tokio::spawn(server.run(stored, Arc::new(policy()), std::future::pending()));
    let address = lease(&relay, mac(1)).await;
    let leases = handle.leases().await.expect("the server runs");
    assert_eq!(leases.len(), 1);
    assert_eq!(
        (leases[0].address, leases[0].mac()),
        (address, Some(mac(1)))
    );
    assert_eq!(store.load(None, 10).await.expect("readable"), leases);

    // Another policy from now on, and a pool that moved; the lease stays.
    let port = relay.local_addr().expect("an address").port();
    let mut moved = config(port);
    moved.subnets[0].pools = vec![[127, 0, 0, 50].into()..=[127, 0, 0, 60].into()];
    handle
        .reconfigure(moved, Arc::new(NoBoot::new()))
        .expect("a good configuration");
    assert!(
        handle
            .reconfigure(Config::new().with_ports(0, 0), Arc::new(NoBoot::new()))
            .is_err()
    );
    let other = lease(&relay, mac(2)).await;
    assert!((50..=60).contains(&other.octets()[3]), "{other}");

    handle.shut_down();
    timeout(PATIENCE, running)
        .await
        .expect("it ends")
        .expect("no panic")
        .expect("no error");
    assert_eq!(handle.leases().await, None);
    let events = events.lock().expect("no panic");
    let acknowledged = |event: &&Event| matches!(event, Event::Acknowledged { .. });
    assert_eq!(events.iter().filter(acknowledged).count(), 2);
}

#[tokio::test]
async fn a_handle_withdraws_a_lease() {
    let (relay, server) = pair().await;
    let handle = server.handle();
    let store = Arc::new(MemoryStore::new());
    let stored: Arc<dyn LeaseStore> = Arc::clone(&store) as _;
    let running = tokio::spawn(server.run(stored, Arc::new(policy()), std::future::pending()));
    let address = lease(&relay, mac(1)).await;
    assert_eq!(handle.withdraw(address).await, Ok(()));
    let record = &store.load(None, 10).await.expect("readable")[0];
    assert!(matches!(record.state, LeaseState::Released { .. }));
    let not_held = Err(WithdrawError::NotHeld(address));
    assert_eq!(handle.withdraw(address).await, not_held);
    handle.shut_down();
    timeout(PATIENCE, running)
        .await
        .expect("it ends")
        .expect("no panic")
        .expect("no error");
    assert_eq!(handle.withdraw(address).await, Err(WithdrawError::Ended));
}

#[tokio::test]
async fn leases_are_loaded_at_the_start() {
    let store: Arc<dyn LeaseStore> = Arc::new(MemoryStore::new());
    let mut before = None;
    for _ in 0..2 {
        let (relay, server) = pair().await;
        // Another seed: the address cannot come from the hash.
        let server = server.with_seed(before.map_or(0, |_| 1));
        let (end, ended) = oneshot::channel::<()>();
        let shutdown = async move { drop(ended.await) };
        let running = tokio::spawn(server.run(Arc::clone(&store), Arc::new(policy()), shutdown));
        let address = lease(&relay, mac(7)).await;
        assert_eq!(*before.get_or_insert(address), address);
        drop(end);
        timeout(PATIENCE, running)
            .await
            .expect("it ends")
            .expect("no panic")
            .expect("no error");
    }
}

/// A store that commits when it is told to.
#[derive(Debug)]
struct SlowStore {
    inner: MemoryStore,
    permits: Semaphore,
    batches: Mutex<Vec<usize>>,
}

#[async_trait]
impl LeaseStore for SlowStore {
    async fn load(
        &self,
        after: Option<Ipv4Addr>,
        records_max: usize,
    ) -> Result<Vec<LeaseRecord>, StoreError> {
        self.inner.load(after, records_max).await
    }

    async fn commit(&self, batch: Vec<Commit>) -> Vec<Result<(), CommitError>> {
        self.batches.lock().expect("no panic").push(batch.len());
        self.permits.acquire().await.expect("open").forget();
        self.inner.commit(batch).await
    }

    async fn changes_since(
        &self,
        cursor: Option<Cursor>,
        records_max: usize,
    ) -> Result<(Vec<LeaseRecord>, Cursor), StoreError> {
        self.inner.changes_since(cursor, records_max).await
    }
}

#[tokio::test]
async fn commits_are_grouped_while_the_store_is_busy_and_finished_at_the_end() {
    let (relay, server) = pair().await;
    let store = Arc::new(SlowStore {
        inner: MemoryStore::new(),
        permits: Semaphore::new(0),
        batches: Mutex::new(Vec::new()),
    });
    let handle = server.handle();
    let shared: Arc<dyn LeaseStore> = Arc::clone(&store) as _;
    let running = tokio::spawn(server.run(shared, Arc::new(policy()), std::future::pending()));
    let port = relay.local_addr().expect("an address").port();
    for number in 0..10 {
        let client = Request::new(mac(number));
        let offer = ask(&relay, &client.discover(), 1).await;
        let address = Message::parse(&offer)
            .expect("an offer")
            .yiaddr()
            .expect("an address");
        let request = client.select_of(address, SERVER).giaddr(RELAY);
        relay
            .send_to(&request.bytes(), (SERVER, port))
            .await
            .expect("sent");
    }
    // An answer to one more DISCOVER: all ten REQUESTs were read, and none is acknowledged.
    let offer = ask(&relay, &Request::new(mac(11)).discover(), 77).await;
    let offer = Message::parse(&offer).expect("an offer");
    assert_eq!(offer.message_type(), Some(MessageType::OFFER));
    handle.shut_down();
    // It has heard that, and still waits for the store.
    let leases = handle.leases().await.expect("the server runs");
    assert_eq!(leases.len(), 0);
    store.permits.add_permits(10);
    let mut buffer = [0; 2000];
    for _ in 0..10 {
        let (len, _) = timeout(PATIENCE, relay.recv_from(&mut buffer))
            .await
            .expect("an ACK")
            .expect("read");
        let ack = Message::parse(&buffer[..len]).expect("an ACK");
        assert_eq!(ack.message_type(), Some(MessageType::ACK));
    }
    timeout(PATIENCE, running)
        .await
        .expect("it ends")
        .expect("no panic")
        .expect("no error");
    assert_eq!(
        store.inner.load(None, 100).await.expect("readable").len(),
        10
    );
    let batches = store.batches.lock().expect("no panic");
    assert_eq!(batches.iter().sum::<usize>(), 10);
    assert_eq!(
        batches.len(),
        2,
        "one while nothing was in flight, then all others: {batches:?}"
    );
}

#[tokio::test]
async fn two_servers_share_a_store() {
    let store: Arc<dyn LeaseStore> = Arc::new(MemoryStore::new());
    let mut servers = Vec::new();
    for _ in 0..2 {
        let (relay, server) = pair().await;
        let server = server.with_changes_every(Duration::from_millis(5));
        let handle = server.handle();
        let never = std::future::pending();
        let running = tokio::spawn(server.run(Arc::clone(&store), Arc::new(policy()), never));
        servers.push((relay, handle, running));
    }
    let (first, second) = (&servers[0], &servers[1]);
    let address = lease(&first.0, mac(1)).await;
    // The second one hears of it, and knows the client when it asks there.
    let heard = async {
        while second.1.leases().await.expect("the server runs").is_empty() {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, heard).await.expect("changes are read");
    assert_eq!(lease(&second.0, mac(1)).await, address);
    assert_ne!(lease(&second.0, mac(2)).await, address);
    assert_eq!(
        store.load(None, 10).await.expect("readable")[0].client,
        mac(1).into()
    );
    for (_, handle, running) in servers {
        handle.shut_down();
        timeout(PATIENCE, running)
            .await
            .expect("it ends")
            .expect("no panic")
            .expect("no error");
    }
}

/// A store whose other servers' changes cannot be read: the call never ends.
#[derive(Debug)]
struct StuckStore {
    inner: MemoryStore,
    asked: Semaphore,
}

#[async_trait]
impl LeaseStore for StuckStore {
    async fn load(
        &self,
        after: Option<Ipv4Addr>,
        records_max: usize,
    ) -> Result<Vec<LeaseRecord>, StoreError> {
        self.inner.load(after, records_max).await
    }

    async fn commit(&self, batch: Vec<Commit>) -> Vec<Result<(), CommitError>> {
        self.inner.commit(batch).await
    }

    async fn changes_since(
        &self,
        _: Option<Cursor>,
        _: usize,
    ) -> Result<(Vec<LeaseRecord>, Cursor), StoreError> {
        self.asked.add_permits(1);
        std::future::pending().await
    }
}

#[tokio::test]
async fn clients_are_served_while_a_store_is_asked_for_changes() {
    let (relay, server) = pair().await;
    let server = server.with_changes_every(Duration::from_millis(1));
    let handle = server.handle();
    let store = Arc::new(StuckStore {
        inner: MemoryStore::new(),
        asked: Semaphore::new(0),
    });
    let shared: Arc<dyn LeaseStore> = Arc::clone(&store) as _;
    let running = tokio::spawn(server.run(shared, Arc::new(policy()), std::future::pending()));
    timeout(PATIENCE, store.asked.acquire())
        .await
        .expect("it is asked")
        .expect("open")
        .forget();
    lease(&relay, mac(1)).await;
    handle.shut_down();
    timeout(PATIENCE, running)
        .await
        .expect("it ends")
        .expect("no panic")
        .expect("no error");
}

/// Shows everybody a menu.
#[derive(Debug)]
struct Menu;

impl BootPolicy for Menu {
    fn decide(&self, _: &BootRequest<'_>) -> BootDecision {
        let items = [BootItem::new(0x8000, "Debian", "debian/pxelinux.0")];
        BootDecision::new(Boot::Menu(
            BootMenu::new("F8", 10, items).expect("a good menu"),
        ))
    }
}

/// The item that was chosen is asked for at port 4011, and the answer comes from there.
#[tokio::test]
async fn a_server_with_binl_answers_at_both_ports() {
    let (relay, server) = pair().await;
    let port = server.local_addrs().expect("addresses")[0].port();
    drop(server);
    let client = UdpSocket::bind((RELAY, 0)).await.expect("a socket");
    // It is free at the client's address, so most likely at the server's too.
    let binl = client.local_addr().expect("an address").port();
    let config = config(port).with_binl_port(binl);
    let server = Server::bind(BindSpec::address(SERVER), config).expect("bound");
    let server = server.with_binl().expect("bound");
    let server = server.with_binl().expect("once is enough");
    let ports = [port, binl].map(|port| SocketAddr::from((SERVER, port)));
    assert_eq!(server.local_addrs().expect("addresses"), ports);
    let handle = server.handle();
    let store: Arc<dyn LeaseStore> = Arc::new(MemoryStore::new());
    let running = tokio::spawn(server.run(store, Arc::new(Menu), std::future::pending()));
    lease(&relay, mac(1)).await;

    let chosen = [71, 4, 0x80, 0, 0, 0, 255];
    let request = support::firmware::plain_rom()
        .typed(MessageType::REQUEST)
        .ciaddr(RELAY)
        .option(43, chosen);
    client
        .send_to(&request.bytes(), ports[1])
        .await
        .expect("sent");
    let mut buffer = vec![0; 2000];
    let (len, from) = timeout(PATIENCE, client.recv_from(&mut buffer))
        .await
        .expect("a reply")
        .expect("received");
    assert_eq!(from, ports[1]);
    let ack = Message::parse(&buffer[..len]).expect("an ACK");
    assert_eq!(ack.message_type(), Some(MessageType::ACK));
    assert_eq!(ack.file(), Some(&b"debian/pxelinux.0"[..]));
    handle.shut_down();
    timeout(PATIENCE, running)
        .await
        .expect("it ends")
        .expect("no panic")
        .expect("no error");
}

/// A store that never tells what is in it, and never takes anything.
#[derive(Debug)]
struct DeadStore;

#[async_trait]
impl LeaseStore for DeadStore {
    async fn load(&self, _: Option<Ipv4Addr>, _: usize) -> Result<Vec<LeaseRecord>, StoreError> {
        std::future::pending().await
    }

    async fn commit(&self, _: Vec<Commit>) -> Vec<Result<(), CommitError>> {
        std::future::pending().await
    }

    async fn changes_since(
        &self,
        _: Option<Cursor>,
        _: usize,
    ) -> Result<(Vec<LeaseRecord>, Cursor), StoreError> {
        std::future::pending().await
    }
}

#[tokio::test]
async fn a_server_ends_while_its_leases_are_loaded() {
    let (_relay, server) = pair().await;
    let running = server.run(Arc::new(DeadStore), Arc::new(policy()), async {});
    let ended = timeout(PATIENCE, running).await;
    ended.expect("it ends").expect("no error");

    let (_relay, server) = pair().await;
    let handle = server.handle();
    let never = std::future::pending();
    let running = server.run(Arc::new(DeadStore), Arc::new(policy()), never);
    handle.shut_down();
    let ended = timeout(PATIENCE, running).await;
    ended.expect("it ends").expect("no error");
}

#[tokio::test]
async fn binding_says_what_is_wrong() {
    let (_relay, server) = pair().await;
    let port = server.local_addrs().expect("addresses")[0].port();
    let again = Server::bind(BindSpec::address(SERVER), config(port));
    assert!(matches!(again, Err(BindError::Socket { .. })), "{again:?}");
    let nowhere = Server::bind(BindSpec::interface("no-such-if0"), config(port));
    let error = nowhere.expect_err("there is no such interface");
    assert_eq!(error.to_string(), "interface no-such-if0 does not exist");
    let bad = Server::bind(BindSpec::address(SERVER), Config::new().with_ports(0, 68));
    assert!(matches!(bad, Err(BindError::Config(_))));
}

/// Two servers of one interface would both answer, each without knowing of the other's leases.
#[tokio::test]
async fn an_interface_has_one_server() {
    let (relay, server) = pair().await;
    let port = server.local_addrs().expect("addresses")[0].port();
    drop((relay, server));
    let bind = || Server::bind(BindSpec::interface("lo"), config(port));
    let _first = bind().expect("the port is free again");
    let second = bind();
    assert!(
        matches!(second, Err(BindError::Socket { .. })),
        "{second:?}"
    );
}

#[tokio::test]
async fn memory_store_conforms() {
    pxe_dhcp::conformance::lease_store(&MemoryStore::new()).await;
}
