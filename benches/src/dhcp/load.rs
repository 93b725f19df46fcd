//! The load: complete exchanges of ever new clients through one relay.
//!
//! A relay's messages reach each of the servers by the same way, and one socket stands for any
//! number of clients.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
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
    begun: Instant,
    requested: Option<(Instant, Ipv4Addr)>,
}

/// A relay with clients behind it.
#[derive(Debug)]
pub(crate) struct Load {
    socket: UdpSocket,
    giaddr: Ipv4Addr,
    next_client: u32,
    running: BTreeMap<u32, Exchange>,
    /// In the order in which they were begun.
    begun: VecDeque<u32>,
    /// Every address that was acknowledged: none twice.
    given: BTreeSet<Ipv4Addr>,
}

impl Load {
    /// A relay at this address, which speaks to the server at that one.
    ///
    /// # Errors
    /// A text, if the socket cannot be had.
    pub(crate) fn new(giaddr: Ipv4Addr, server: Ipv4Addr) -> Result<Self, String> {
        let at = |error: std::io::Error| format!("relay {giaddr}:67: {error}");
        let socket = UdpSocket::bind(SocketAddrV4::new(giaddr, 67)).map_err(at)?;
        // Not connected: a server may answer from another address than it was asked at.
        // To look at the time now and then. Shorter ones take as long: the kernel counts in ticks.
        socket
            .set_read_timeout(Some(Duration::from_millis(5)))
            .map_err(at)?;
        let load = Self {
            socket,
            giaddr,
            next_client: 1,
            running: BTreeMap::new(),
            begun: VecDeque::new(),
            given: BTreeSet::new(),
        };
        load.ask(server)?;
        Ok(load)
    }

    fn ask(&self, server: Ipv4Addr) -> Result<(), String> {
        // The route is there if a connected socket can be made; what is sent later goes by it.
        let probe = UdpSocket::bind(SocketAddrV4::new(self.giaddr, 0));
        let connected = probe.and_then(|probe| probe.connect((server, 67)));
        connected.map_err(|error| format!("no way to {server}: {error}"))
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
        let client = self.new_client();
        let discover = message::discover(client, self.giaddr);
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
            if matches!(said, Some((from, Said::Offer { .. })) if from == client) {
                return Ok(start.elapsed());
            }
        }
        Err(format!("{server} gave no OFFER within {patience:?}"))
    }

    fn new_client(&mut self) -> u32 {
        self.next_client += 1;
        self.next_client
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
                    if let Some((client, said)) = said {
                        self.take(server, client, said, &mut outcome)?;
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
        let client = self.new_client();
        self.send(server, &message::discover(client, self.giaddr))?;
        self.running.insert(
            client,
            Exchange {
                begun: Instant::now(),
                requested: None,
            },
        );
        self.begun.push_back(client);
        Ok(())
    }

    fn take(
        &mut self,
        server: Ipv4Addr,
        client: u32,
        said: Said,
        outcome: &mut Outcome,
    ) -> Result<(), String> {
        let Some(exchange) = self.running.get_mut(&client) else {
            return Ok(());
        };
        match (said, exchange.requested) {
            (
                Said::Offer {
                    address,
                    server: id,
                },
                None,
            ) => {
                exchange.requested = Some((Instant::now(), address));
                let request = message::request(client, self.giaddr, address, id);
                self.send(server, &request)?;
            }
            (Said::Ack { address }, Some((requested, offered))) => {
                let now = Instant::now();
                outcome.completed += 1;
                outcome.times.push(now - exchange.begun);
                outcome.ack_times.push(now - requested);
                self.running.remove(&client);
                if address != offered {
                    return Err(format!(
                        "client {client} was offered {offered} and given {address}"
                    ));
                }
                if !self.given.insert(address) {
                    return Err(format!("{address} was given to two clients"));
                }
            }
            (Said::Other, _) => {
                outcome.lost += 1;
                self.running.remove(&client);
            }
            (Said::Offer { .. }, Some(_)) | (Said::Ack { .. }, None) => {}
        }
        Ok(())
    }

    /// Gives up what has waited for too long.
    fn give_up(&mut self, outcome: &mut Outcome) {
        while let Some(client) = self.begun.front() {
            match self.running.get(client) {
                Some(exchange) if exchange.begun.elapsed() < PATIENCE => return,
                Some(_) => {
                    self.running.remove(client);
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
    super::server::cpu_seconds(std::process::id()).unwrap_or_default()
}
