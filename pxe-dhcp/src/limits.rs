//! Bounds on what peers can make an engine keep or do.

/// Bounds on what peers can make an engine keep or do. None of them is 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// The longest message to read, in bytes. Default: 4096; the longest seen are of 600.
    pub datagram_bytes_max: usize,
    /// Offers that wait for their REQUEST. Beyond it the oldest is given up; its client can still
    /// have the address if it is free when the REQUEST comes. Default: 16384.
    pub offers_max: usize,
    /// Records of leases, expired ones included; beyond it the longest expired is forgotten, and
    /// if none is expired, new clients get nothing. Of a store that has more, no more are loaded.
    /// Default: 1,000,000, some 600 MB.
    pub leases_max: usize,
    /// Changes on their way to the store. Default: 4096.
    pub commits_max: usize,
    /// Replies that wait to be sent. Default: 4096, at most 6 MB.
    pub transmits_max: usize,
    /// Events that wait to be fetched. Default: 65536.
    pub events_max: usize,
    /// Addresses in quarantine, so that a liar cannot decline a whole pool. Default: 64.
    pub quarantined_max: usize,
    /// Probes for one DISCOVER, each of which found its address in use. Default: 3.
    pub probes_per_client_max: u32,
    /// Addresses that are probed at one time, each with a DISCOVER that waits. Beyond it an address
    /// counts as free without a probe; but one whose lease is over only by a clock that may have
    /// been stepped is not given then. Default: 1024.
    pub probes_max: usize,
    /// Other DHCP servers that are remembered, so that each is told of once an hour; beyond it
    /// further ones are not told of. Default: 64.
    pub other_servers_max: usize,
    /// How many messages a client may send at once, at one port (see
    /// [`new_clients_burst`](Self::new_clients_burst)). Default: 32.
    pub client_burst: u32,
    /// How many messages per second a client may send on and on. Default: 8; boots send less than
    /// one.
    pub client_messages_per_second: u32,
    /// How many clients' and how many ports' rates are remembered, each rounded up to a power of
    /// two. Default: 8192.
    pub rate_clients_max: usize,
    /// How many new clients a port may have at once. A client is new if it has neither a lease,
    /// past ones included, nor an offer nor a reservation; its port is that of a relay's option
    /// 82, else the relay, else our interface. So inventing MACs empties no pool at once, and
    /// those who are known do not notice. Default: 2048, a machine hall that is switched on.
    ///
    /// Of all who claim a reservation by UUID or by a relay's port, one is known: who gets its
    /// address. What relays say is believed: let a firewall pass only theirs.
    ///
    /// A proxy, which knows nobody, counts every client behind a relay, by the relay's address:
    /// what is forged is sent there.
    pub new_clients_burst: u32,
    /// How many new clients per second a port may have on and on. Default: 256.
    pub new_clients_per_second: u32,
    /// Offers to clients at one port that wait for their REQUEST; beyond it, new clients there
    /// have to wait. Default: 4096.
    pub offers_per_port_max: usize,
    /// Active leases of the clients at one port of a relay (`giaddr` and option 82, 1 and 2);
    /// beyond it, new clients there get nothing. Relays that say no circuit are not counted.
    /// Default: 4096, as there are relays with one circuit for a whole network (isc-dhcp-relay
    /// says its interface there). Where each machine has a circuit of its own, 4 is enough.
    pub leases_per_port_max: usize,
    /// Active leases of clients whose MACs begin with the same three bytes; beyond it, new clients
    /// with such MACs get nothing. Default: 65536, as there are halls full of one vendor's
    /// machines, and virtual machines all begin alike.
    pub leases_per_oui_max: usize,
}

impl Limits {
    /// Every default.
    pub const fn new() -> Self {
        Self {
            datagram_bytes_max: 4096,
            offers_max: 16_384,
            leases_max: 1_000_000,
            commits_max: 4096,
            transmits_max: 4096,
            events_max: 65_536,
            quarantined_max: 64,
            probes_per_client_max: 3,
            probes_max: 1024,
            other_servers_max: 64,
            client_burst: 32,
            client_messages_per_second: 8,
            rate_clients_max: 8192,
            new_clients_burst: 2048,
            new_clients_per_second: 256,
            offers_per_port_max: 4096,
            leases_per_port_max: 4096,
            leases_per_oui_max: 65_536,
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self::new()
    }
}
