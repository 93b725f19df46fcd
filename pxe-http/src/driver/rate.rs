//! How many requests each client makes.

use std::collections::HashMap;
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::peer::network;
use crate::Limits;

/// Clients that are counted at once.
const CLIENTS_MAX: usize = 4096;
/// Requests that a connection may answer before it asks again, at most: as many as it has answered
/// before, so that what is lost at its end is less than what it used.
const CREDIT_MAX: u32 = 32;
/// A full table is looked through for those who may be forgotten at most this often.
const SWEEP: Duration = Duration::from_secs(1);

/// A bucket of tokens for each client that asks much.
#[derive(Debug)]
pub(super) struct Rates {
    /// How long a token takes to come; `None`: there is no bound.
    interval: Option<Duration>,
    /// How long it takes to fill a bucket.
    fill: Duration,
    clients: Mutex<Clients>,
}

#[derive(Debug, Default)]
struct Clients {
    /// When each client's bucket will be full.
    full_at: HashMap<IpAddr, Instant>,
    swept: Option<Instant>,
}

/// Requests that a connection may answer without asking.
#[derive(Debug, Default)]
pub(super) struct Credit {
    left: u32,
    /// How many there were.
    given: u32,
}

/// The client may not ask now; it may after that time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TooMany(pub(super) Duration);

impl Rates {
    pub(super) fn requests(limits: &Limits) -> Self {
        Self::new(
            limits.requests_per_client_per_second,
            limits.requests_per_client_burst,
        )
    }

    #[cfg(feature = "tls")]
    pub(super) fn handshakes(limits: &Limits) -> Self {
        Self::new(
            limits.handshakes_per_client_per_second,
            limits.handshakes_per_client_burst,
        )
    }

    fn new(per_second: Option<NonZeroU32>, burst: u32) -> Self {
        let interval = per_second
            // Not less than the clock can tell: in no time at all, a bucket would hold nothing.
            .map(|rate| (Duration::from_secs(1) / rate.get()).max(Duration::from_nanos(1)));
        let burst = burst.max(1);
        Self {
            interval,
            fill: interval.unwrap_or_default().saturating_mul(burst),
            clients: Mutex::default(),
        }
    }

    /// Takes one request off the credit, which is renewed from the client's bucket.
    pub(super) fn take(&self, credit: &mut Credit, client: IpAddr) -> Result<(), TooMany> {
        let Some(interval) = self.interval else {
            return Ok(());
        };
        if credit.left == 0 {
            let wanted = (credit.given * 2).clamp(1, CREDIT_MAX);
            credit.given = self.renew(client, wanted, interval)?;
            credit.left = credit.given;
        }
        credit.left -= 1;
        Ok(())
    }

    /// As many as are wanted, or those that there are; at least 1.
    fn renew(&self, client: IpAddr, wanted: u32, interval: Duration) -> Result<u32, TooMany> {
        let now = Instant::now();
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(full_at) = clients.full_at(client, now) else {
            // So many clients that ask at once are bounded by their connections.
            return Ok(wanted);
        };
        let begin = (*full_at).max(now);
        let missing = begin.saturating_duration_since(now);
        let tokens = self.fill.saturating_sub(missing).as_nanos() / interval.as_nanos().max(1);
        let given = u32::try_from(tokens).map_or(wanted, |tokens| tokens.min(wanted));
        if given == 0 {
            let wait = (missing + interval).saturating_sub(self.fill);
            return Err(TooMany(wait));
        }
        *full_at = begin + interval.saturating_mul(given);
        Ok(given)
    }

    /// Takes the client's next token, which may not have come yet: returns how long it takes to
    /// come. None is taken if that is longer than it would be waited for.
    #[cfg(feature = "tls")]
    pub(super) fn queue(&self, client: IpAddr, wait_max: Duration) -> Result<Duration, TooMany> {
        let Some(interval) = self.interval else {
            return Ok(Duration::ZERO);
        };
        let now = Instant::now();
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(full_at) = clients.full_at(client, now) else {
            return Ok(Duration::ZERO);
        };
        let begin = (*full_at).max(now);
        let missing = begin.saturating_duration_since(now);
        let wait = (missing + interval).saturating_sub(self.fill);
        if wait > wait_max {
            return Err(TooMany(wait));
        }
        *full_at = begin + interval;
        Ok(wait)
    }
}

impl Clients {
    /// When the client's bucket will be full; `None` if there is no room for it.
    fn full_at(&mut self, client: IpAddr, now: Instant) -> Option<&mut Instant> {
        let client = network(client);
        if !self.full_at.contains_key(&client) && self.full_at.len() >= CLIENTS_MAX {
            if self.swept.is_none_or(|swept| swept + SWEEP <= now) {
                self.swept = Some(now);
                self.full_at.retain(|_, full_at| *full_at > now);
            }
            if self.full_at.len() >= CLIENTS_MAX {
                return None;
            }
        }
        Some(self.full_at.entry(client).or_insert(now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rates(per_second: u32, burst: u32) -> Rates {
        Rates::requests(&Limits {
            requests_per_client_per_second: NonZeroU32::new(per_second),
            requests_per_client_burst: burst,
            ..Limits::default()
        })
    }

    fn take_all(rates: &Rates, client: &str) -> u32 {
        let client = client.parse().expect("an address");
        let mut credit = Credit::default();
        let mut count = 0;
        while count < 1_000_000 && rates.take(&mut credit, client).is_ok() {
            count += 1;
        }
        count
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_has_its_burst_and_then_its_rate() {
        let rates = rates(64, 320);
        assert_eq!(take_all(&rates, "10.0.0.7"), 320);
        assert_eq!(take_all(&rates, "10.0.0.7"), 0);
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(take_all(&rates, "10.0.0.7"), 64);
        assert_eq!(take_all(&rates, "10.0.0.8"), 320, "another client");
        tokio::time::advance(Duration::from_secs(1000)).await;
        assert_eq!(take_all(&rates, "10.0.0.7"), 320);
    }

    #[cfg(feature = "tls")]
    #[tokio::test(start_paused = true)]
    async fn handshakes_wait_for_their_turn_and_one_that_would_wait_too_long_takes_none() {
        let limits = Limits {
            handshakes_per_client_per_second: NonZeroU32::new(10),
            handshakes_per_client_burst: 3,
            ..Limits::default()
        };
        let rates = Rates::handshakes(&limits);
        let queue = |client: &str| {
            let client = client.parse().expect("an address");
            rates.queue(client, Duration::from_millis(250))
        };
        let millis = Duration::from_millis;
        for wait in [0, 0, 0, 100, 200] {
            assert_eq!(queue("10.0.0.7"), Ok(millis(wait)));
        }
        for _ in 0..3 {
            assert_eq!(queue("10.0.0.7"), Err(TooMany(millis(300))));
        }
        assert_eq!(queue("10.0.0.8"), Ok(Duration::ZERO), "another client");
        tokio::time::advance(millis(100)).await;
        assert_eq!(queue("10.0.0.7"), Ok(millis(200)));
    }

    #[tokio::test(start_paused = true)]
    async fn all_addresses_of_a_64_are_one_client() {
        let rates = rates(64, 320);
        assert_eq!(take_all(&rates, "2001:db8::1"), 320);
        assert_eq!(take_all(&rates, "2001:db8::ffff:1"), 0);
        assert_eq!(take_all(&rates, "2001:db8:0:1::1"), 320);
    }

    #[tokio::test(start_paused = true)]
    async fn the_table_of_clients_is_bounded() {
        let rates = rates(64, 320);
        let entries = || rates.clients.lock().expect("no panic").full_at.len();
        for number in 0..5000_u32 {
            let client = IpAddr::from(number.to_be_bytes());
            let mut credit = Credit::default();
            rates.take(&mut credit, client).expect("tokens");
        }
        assert_eq!(entries(), CLIENTS_MAX);
        tokio::time::advance(Duration::from_secs(10)).await;
        assert_eq!(take_all(&rates, "192.0.2.1"), 320);
        assert_eq!(entries(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_rate_beyond_what_the_clock_can_tell_refuses_nobody() {
        for per_second in [1_000_000_001, u32::MAX] {
            assert_eq!(
                take_all(&rates(per_second, 1_000_000), "10.0.0.7"),
                1_000_000
            );
        }
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_rate_there_is_no_bound() {
        assert_eq!(take_all(&rates(0, 1), "10.0.0.7"), 1_000_000);
    }
}
