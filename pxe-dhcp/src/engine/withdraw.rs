//! Addresses that the operator frees.

use core::net::Ipv4Addr;

use pxe_core::Now;
use thiserror::Error;

use super::change::{Change, Purpose};
use super::lease_table::Hold;
use super::{Engine, Ticket};
use crate::{ClientInfo, LeaseState};

/// An address cannot be freed.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum WithdrawError {
    /// Nobody holds it, and it is not in quarantine.
    #[error("no lease of {0} is active")]
    NotHeld(Ipv4Addr),
    /// A change of it is on its way to the store, or too many of others are: try again.
    #[error("lease of {0} is being changed")]
    Busy(Ipv4Addr),
    /// The store refused.
    #[error("{0}")]
    Refused(String),
    /// The server has ended.
    #[error("server has ended")]
    Ended,
}

impl Engine {
    /// Frees an address on its operator's behalf: its lease, or its quarantine, is over when the
    /// store has that ([`Output::Commit`](crate::Output::Commit)), and
    /// [`Event::Withdrawn`](crate::Event::Withdrawn) says so.
    ///
    /// Its client is not told, as DHCP has no way to (but for RFC 3203, which no client here
    /// speaks). If it is still there, it gets the address again when it renews, unless another
    /// client has it then; so free what belongs to machines that are gone.
    ///
    /// Returns the number of the commit: with its result this is done, or has failed.
    ///
    /// # Errors
    ///
    /// If nobody holds the address, or a change of it is on its way to the store.
    pub fn withdraw(&mut self, now: Now, address: Ipv4Addr) -> Result<Ticket, WithdrawError> {
        self.advance(now);
        let lease = self.leases.get(address);
        let Some(lease) = lease.filter(|lease| lease.hold != Hold::Idle) else {
            return Err(WithdrawError::NotHeld(address));
        };
        let is_full = self.changes.len() >= self.limits().commits_max;
        if is_full || self.changing.contains_key(&address) {
            return Err(WithdrawError::Busy(address));
        }
        let mut record = lease.record.clone();
        record.version = record.version.saturating_add(1);
        record.state = LeaseState::Released { at: now.wall };
        record.last_seen = now.wall;
        let client = ClientInfo::new(record.client.clone(), 0);
        let purpose = Purpose::Withdraw;
        self.start_change(&client, Change::new(record, purpose));
        let ticket = self.changing.get(&address).copied();
        ticket.ok_or(WithdrawError::Busy(address))
    }
}
