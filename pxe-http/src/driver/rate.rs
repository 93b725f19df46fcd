//! How many requests each client makes.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

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
    pub(super) fn new(limits: &Limits) -> Self {
        let interval = limits
            .requests_per_client_per_second
            // Not less than the clock can tell: in no time at all, a bucket would hold nothing.
            .map(|rate| (Duration::from_secs(1) / rate.get()).max(Duration::from_nanos(1)));
        let burst = limits.requests_per_client_burst.max(1);
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
        let client = network(client);
        if !clients.full_at.contains_key(&client) && clients.full_at.len() >= CLIENTS_MAX {
            if clients.swept.is_none_or(|swept| swept + SWEEP <= now) {
                clients.swept = Some(now);
                clients.full_at.retain(|_, full_at| *full_at > now);
            }
            if clients.full_at.len() >= CLIENTS_MAX {
                // So many clients that ask at once are bounded by their connections.
                return Ok(wanted);
            }
        }
        let full_at = clients.full_at.entry(client).or_insert(now);
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
}

/// Whom an address stands for: with IPv6, whoever has a /64 has all its addresses (RFC 6177).
fn network(client: IpAddr) -> IpAddr {
    match client {
        IpAddr::V4(_) => client,
        IpAddr::V6(address) => {
            let mask = u128::MAX << 64;
            IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & mask))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use super::*;

    fn rates(per_second: u32, burst: u32) -> Rates {
        Rates::new(&Limits {
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
