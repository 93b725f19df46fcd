//! The load: complete exchanges of clients behind one relay.
//!
//! A relay's messages reach each of the servers by the same way, and one socket stands for any
//! number of clients.

use std::collections::{BTreeMap, VecDeque};
use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};
use std::time::{Duration, Instant};

use super::message::{self, Said};

/// After this long without an answer, an exchange is given up and counted as lost.
const PATIENCE: Duration = Duration::from_secs(2);

/// How exchanges are begun.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Pace {
    /// As many at once as this, always.
    Outstanding(usize),
    /// So many per second, whatever the server does.
    PerSecond(u32),
}

/// When to stop.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Until {
    Elapsed(Duration),
    Completed(u32),
}

/// What came of it.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    /// Exchanges that ended in an ACK.
    pub(crate) completed: u32,
    /// Exchanges that were given up, or ended in a NAK.
    pub(crate) lost: u32,
    pub(crate) elapsed: Duration,
    /// From DISCOVER to ACK, in ascending order.
    pub(crate) times: Vec<Duration>,
    /// From REQUEST to ACK, in ascending order.
    pub(crate) ack_times: Vec<Duration>,
    /// What the load itself used of its processor, from 0 to 1.
    pub(crate) busy: f64,
}

impl Outcome {
    pub(crate) fn per_second(&self) -> f64 {
        f64::from(self.completed) / self.elapsed.as_secs_f64()
    }
}

#[derive(Debug, Clone, Copy)]
struct Exchange {
    client: u32,
    begun: Instant,
    requested: Option<(Instant, Ipv4Addr)>,
}

/// A relay with clients behind it.
#[derive(Debug)]
pub(crate) struct Load {
    socket: UdpSocket,
    giaddr: Ipv4Addr,
    /// How many clients take turns.
    clients: u32,
    /// The transaction that was begun last.
    xid: u32,
    running: BTreeMap<u32, Exchange>,
    /// In the order in which they were begun.
    begun: VecDeque<u32>,
    /// Whose each address is that was acknowledged: no other client's, ever.
    holders: BTreeMap<Ipv4Addr, u32>,
}

impl Load {
    /// A relay at this address with so many clients, which take turns.
    ///
    /// # Errors
    /// A text, if the socket cannot be had.
    pub(crate) fn new(giaddr: Ipv4Addr, clients: u32) -> Result<Self, String> {
        let at = |error: std::io::Error| format!("relay {giaddr}:67: {error}");
        let socket = UdpSocket::bind(SocketAddrV4::new(giaddr, 67)).map_err(at)?;
        // Not connected: a server may answer from another address than it was asked at.
        // To look at the time now and then. Shorter ones take as long: the kernel counts in ticks.
        socket
            .set_read_timeout(Some(Duration::from_millis(5)))
            .map_err(at)?;
        Ok(Self {
            socket,
            giaddr,
            clients,
            xid: 0,
            running: BTreeMap::new(),
            begun: VecDeque::new(),
            holders: BTreeMap::new(),
        })
    }

    /// Waits until the server answers a DISCOVER; says how long that took.
    ///
    /// # Errors
    /// A text, if it does not answer for this long.
    pub(crate) fn wait_for_offer(
        &mut self,
        server: Ipv4Addr,
        patience: Duration,
    ) -> Result<Duration, String> {
        let start = Instant::now();
        let (client, xid) = self.next();
        let discover = message::discover(client, xid, self.giaddr);
        let mut buffer = [0; 2048];
        let mut sent: Option<Instant> = None;
        while start.elapsed() < patience {
            if sent.is_none_or(|at| at.elapsed() > Duration::from_millis(20)) {
                // Nobody listens yet: that is what is waited for.
                let _ = self.socket.send_to(&discover, (server, 67));
                sent = Some(Instant::now());
            }
            let Ok((len, _)) = self.socket.recv_from(&mut buffer) else {
                continue;
            };
            let said = buffer.get(..len).and_then(message::read);
            if matches!(said, Some((of, Said::Offer { .. })) if of == xid) {
                return Ok(start.elapsed());
            }
        }
        Err(format!("{server} gave no OFFER within {patience:?}"))
    }

    /// The next client and the number of its transaction.
    fn next(&mut self) -> (u32, u32) {
        self.xid += 1;
        (self.xid % self.clients, self.xid)
    }

    /// Runs exchanges.
    ///
    /// # Errors
    /// A text: the socket fails, or the server gave an address twice.
    pub(crate) fn run(
        &mut self,
        server: Ipv4Addr,
        pace: Pace,
        until: Until,
    ) -> Result<Outcome, String> {
        let start = Instant::now();
        let cpu = cpu_time();
        let mut outcome = Outcome::default();
        let mut buffer = [0; 2048];
        let mut begun = 0_u32;
        // A pace wants to be kept to the microsecond: no sleep.
        let spins = matches!(pace, Pace::PerSecond(_));
        let mode = self.socket.set_nonblocking(spins);
        mode.map_err(|error| format!("relay: {error}"))?;
        loop {
            let elapsed = start.elapsed();
            let is_over = match until {
                Until::Elapsed(limit) => elapsed >= limit,
                Until::Completed(count) => outcome.completed >= count,
            };
            if is_over {
                outcome.elapsed = elapsed;
                break;
            }
            match pace {
                Pace::Outstanding(count) => {
                    while self.running.len() < count {
                        self.begin(server)?;
                    }
                }
                Pace::PerSecond(rate) => {
                    let due = (elapsed.as_secs_f64() * f64::from(rate)) as u32;
                    while begun < due {
                        self.begin(server)?;
                        begun += 1;
                    }
                }
            }
            self.give_up(&mut outcome);
            match self.socket.recv_from(&mut buffer) {
                Ok((len, _)) => {
                    let said = buffer.get(..len).and_then(message::read);
                    if let Some((xid, said)) = said {
                        self.take(server, xid, said, &mut outcome)?;
                    }
                }
                Err(error)
                    if matches!(
                        error.kind(),
                        ErrorKind::WouldBlock | ErrorKind::ConnectionRefused | ErrorKind::TimedOut
                    ) => {}
                Err(error) => return Err(format!("relay: {error}")),
            }
        }
        outcome.busy = (cpu_time() - cpu) / outcome.elapsed.as_secs_f64();
        outcome.times.sort();
        outcome.ack_times.sort();
        self.running.clear();
        self.begun.clear();
        Ok(outcome)
    }

    fn begin(&mut self, server: Ipv4Addr) -> Result<(), String> {
        let (client, xid) = self.next();
        self.send(server, &message::discover(client, xid, self.giaddr))?;
        self.running.insert(
            xid,
            Exchange {
                client,
                begun: Instant::now(),
                requested: None,
            },
        );
        self.begun.push_back(xid);
        Ok(())
    }

    fn take(
        &mut self,
        server: Ipv4Addr,
        xid: u32,
        said: Said,
        outcome: &mut Outcome,
    ) -> Result<(), String> {
        let Some(exchange) = self.running.get_mut(&xid) else {
            return Ok(());
        };
        let client = exchange.client;
        match (said, exchange.requested) {
            (
                Said::Offer {
                    address,
                    server: id,
                },
                None,
            ) => {
                exchange.requested = Some((Instant::now(), address));
                let request = message::request(client, xid, self.giaddr, address, id);
                self.send(server, &request)?;
            }
            (Said::Ack { address }, Some((requested, offered))) => {
                let now = Instant::now();
                outcome.completed += 1;
                outcome.times.push(now - exchange.begun);
                outcome.ack_times.push(now - requested);
                self.running.remove(&xid);
                if address != offered {
                    return Err(format!(
                        "client {client} was offered {offered} and given {address}"
                    ));
                }
                let holder = *self.holders.entry(address).or_insert(client);
                if holder != client {
                    return Err(format!("{address} was given to two clients"));
                }
            }
            (Said::Other, _) => {
                outcome.lost += 1;
                self.running.remove(&xid);
            }
            (Said::Offer { .. }, Some(_)) | (Said::Ack { .. }, None) => {}
        }
        Ok(())
    }

    /// Gives up what has waited for too long.
    fn give_up(&mut self, outcome: &mut Outcome) {
        while let Some(xid) = self.begun.front() {
            match self.running.get(xid) {
                Some(exchange) if exchange.begun.elapsed() < PATIENCE => return,
                Some(_) => {
                    self.running.remove(xid);
                    outcome.lost += 1;
                }
                None => {}
            }
            self.begun.pop_front();
        }
    }

    fn send(&self, server: Ipv4Addr, bytes: &[u8]) -> Result<(), String> {
        match self.socket.send_to(bytes, (server, 67)) {
            Ok(_) => Ok(()),
            Err(error) if error.kind() == ErrorKind::ConnectionRefused => Ok(()),
            Err(error) => Err(format!("relay: {error}")),
        }
    }
}

/// What this process used of processors, in seconds.
fn cpu_time() -> f64 {
    crate::processor::cpu_seconds(std::process::id()).unwrap_or_default()
}
