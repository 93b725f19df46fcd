//! What a server is told once: behaviour in [`Config`], bounds in [`Limits`].

use std::ops::RangeInclusive;
use std::time::Duration;

/// Declares the builder-style setter of each field.
macro_rules! setters {
    ($($(#[$doc:meta])* $setter:ident $field:ident: $type:ty;)*) => {
        $(
            $(#[$doc])*
            #[must_use]
            pub fn $setter(mut self, $field: $type) -> Self {
                self.$field = $field;
                self
            }
        )*
    };
}

/// From which port a transfer's packets leave.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum PortMode {
    /// A port of its own for each transfer, as RFC 1350 section 4 has it. The default.
    #[default]
    PerTransfer,
    /// The port that was asked, for all. For NAT and containers, where only that one is open.
    ///
    /// An ACK proves nothing then: whoever can forge a request in the name of a victim knows where
    /// to send the ACKs as well, and each brings the victim a whole window. Do not let requests
    /// from outside of the site reach such a server.
    Single,
}

/// How an engine behaves. Every value has a default that suits a network boot.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Config {
    /// From which port transfers are served. Default: [`PortMode::PerTransfer`].
    pub ports: PortMode,
    /// The ports that transfers may use in [`PortMode::PerTransfer`], for firewalls. The engine
    /// does not look at it, its driver does. Default: `None`, the system's ephemeral ports.
    pub port_range: Option<RangeInclusive<u16>>,
    /// Grant no block larger than an unfragmented packet of the interface's MTU takes.
    /// Default: true, since some boot ROMs cannot put fragments together. Switch it off for
    /// clients that insist on the size they asked for, or for speed on a lossless network.
    pub clamp_blksize_to_mtu: bool,
    /// Greatest block size to grant, in bytes, 8 to 65464. Default: 65464 (RFC 2348).
    pub blksize_max: u16,
    /// Greatest window to grant, in blocks, 1 or more (RFC 7440). Default: 64. Greater windows
    /// gain nothing on a LAN, and overrun the receive rings of firmware's network drivers.
    pub windowsize_max: u16,
    /// Time before the first retransmission, while no round trip was measured and the client
    /// chose no `timeout`. Default: 1 s, the least RFC 2349 can ask for.
    pub retransmit_initial: Duration,
    /// The least retransmission time that measured round trips can lead to. Default: 200 ms:
    /// firmware acknowledges late when it writes to slow memory.
    pub retransmit_min: Duration,
    /// Where doubling of the retransmission time ends. Default: 8 s. A greater `timeout` option
    /// is honoured nevertheless.
    pub retransmit_max: Duration,
    /// How often a packet is repeated without any progress before the transfer is given up.
    /// Default: 6, which is 23 to 40 s: longer than a spanning tree takes to let a port through.
    pub retransmits_max: u32,
    /// A repeated request ends a running transfer and starts anew, if that made no progress for
    /// this long; before, it is absorbed as a duplicate. Default: 2 s. lpxelinux repeats within
    /// 60 ms, a machine that was reset takes seconds to ask again.
    pub restart_after: Duration,
    /// File data are asked for in chunks that end at multiples of this, in bytes. Default: 64 KiB.
    pub chunk_bytes: usize,
    /// How far beyond its window a transfer asks for data ahead, in bytes. Default: 32 KiB.
    pub read_ahead_bytes: usize,
    /// Bounds on what clients can make the engine hold or send.
    pub limits: Limits,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            ports: PortMode::default(),
            port_range: None,
            clamp_blksize_to_mtu: true,
            blksize_max: crate::negotiate::BLKSIZE_MAX,
            windowsize_max: 64,
            retransmit_initial: Duration::from_secs(1),
            retransmit_min: Duration::from_millis(200),
            retransmit_max: Duration::from_secs(8),
            retransmits_max: 6,
            restart_after: Duration::from_secs(2),
            chunk_bytes: 64 << 10,
            read_ahead_bytes: 32 << 10,
            limits: Limits::default(),
        }
    }
}

impl Config {
    /// The defaults.
    pub fn new() -> Self {
        Self::default()
    }

    setters! {
        /// Sets [`ports`](Self::ports).
        with_ports ports: PortMode;
        /// Sets [`port_range`](Self::port_range).
        with_port_range port_range: Option<RangeInclusive<u16>>;
        /// Sets [`clamp_blksize_to_mtu`](Self::clamp_blksize_to_mtu).
        with_clamp_blksize_to_mtu clamp_blksize_to_mtu: bool;
        /// Sets [`blksize_max`](Self::blksize_max).
        with_blksize_max blksize_max: u16;
        /// Sets [`windowsize_max`](Self::windowsize_max).
        with_windowsize_max windowsize_max: u16;
        /// Sets [`retransmit_initial`](Self::retransmit_initial).
        with_retransmit_initial retransmit_initial: Duration;
        /// Sets [`retransmit_min`](Self::retransmit_min).
        with_retransmit_min retransmit_min: Duration;
        /// Sets [`retransmit_max`](Self::retransmit_max).
        with_retransmit_max retransmit_max: Duration;
        /// Sets [`retransmits_max`](Self::retransmits_max).
        with_retransmits_max retransmits_max: u32;
        /// Sets [`restart_after`](Self::restart_after).
        with_restart_after restart_after: Duration;
        /// Sets [`chunk_bytes`](Self::chunk_bytes).
        with_chunk_bytes chunk_bytes: usize;
        /// Sets [`read_ahead_bytes`](Self::read_ahead_bytes).
        with_read_ahead_bytes read_ahead_bytes: usize;
        /// Sets [`limits`](Self::limits).
        with_limits limits: Limits;
    }
}

/// Bounds on what clients can make the engine hold or send.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Transfers at once, in all (over all threads of the driver), with the requests that wait for
    /// the driver. Beyond: ERROR 0, "server busy", unless one can be
    /// [displaced](Self::displaced_after). Default: 4096, a large site that boots at once.
    pub transfers_max: usize,
    /// Transfers at once with one address (over all threads of the driver); beyond, as above.
    /// Default: 512: behind a NAT or a container's proxy, a whole class has one address; a single
    /// machine uses one to four.
    pub transfers_per_remote_max: usize,
    /// Transfers at once, in all (over all threads of the driver), up to which file data are asked for
    /// in whole [chunks](Config::chunk_bytes) and [ahead](Config::read_ahead_bytes). With more, each
    /// transfer asks for what its window takes, rounded up to 8 KiB. Default: 1024. So transfers of
    /// different files, all in lock-step, hold 128 MiB of data at most, and with 4,096 of them 64 MiB
    /// and what the first ones had; those in windows hold their windows besides. Transfers of one file
    /// with one block size share what they hold.
    pub ahead_transfers_max: usize,
    /// Where there is no place for a request, a transfer has to make room whose first packet was
    /// not acknowledged for so long; else a few forged requests per second would keep all places
    /// taken. Default: 200 ms, far beyond a round trip in a LAN. A client that is slower asks
    /// again. The engine looks among its own transfers first, then asks for
    /// [room elsewhere](crate::Engine::take_displacements). Where it is one client's bound that is met, it looks
    /// among its own alone: requests that are forged in that client's name, each by another port,
    /// come to all threads of the driver alike.
    pub displaced_after: Duration,
    /// Requests that the driver was asked about and has not answered yet, per thread of the driver.
    /// Default: 1024.
    pub incoming_max: usize,
    /// Longest file name, in bytes. Default: 512, which RFC 2347 allows for a whole request.
    pub filename_bytes_max: usize,
    /// Longest request, in bytes; longer ones are refused. Default: 1024, twice what RFC 2347
    /// allows.
    pub request_bytes_max: usize,
    /// How often the first packet of a transfer is sent in all, by timeouts and to repeated
    /// requests, before the peer proves with an ACK that it exists. Default: 5. This bounds what
    /// a forged source address makes us send to a victim.
    pub first_sends_max: u32,
    /// How long a peer may take to acknowledge the first packet, whatever `timeout` it asked for.
    /// Default: 30 s, longer than all repetitions of the first packet take. Requests with forged
    /// addresses hold a place for so long.
    pub greeting_timeout: Duration,
    /// How long a peer may be silent in the middle of its file, whatever `timeout` it asked for.
    /// Default: 60 s, longer than all repetitions with timeouts up to 5 s take. It is the longest
    /// that a client which went away, or never was, holds a place.
    pub silence_timeout: Duration,
    /// Most file data in one window, in bytes: a smaller `windowsize` is granted where the blocks
    /// are large, but at least 1. Default: 1 MiB, eleven times what 64 blocks take on Ethernet.
    pub window_bytes_max: usize,
    /// Most file data in the windows of all transfers together, in bytes, over all threads of the
    /// driver. One half is divided evenly: each of [`transfers_max`](Self::transfers_max) transfers
    /// has that share, whatever the others ask for. What a window takes beyond its share it borrows
    /// from the other half, as long as there is something left. Else a smaller `windowsize` is
    /// granted (RFC 7440 section 3 lets a server do that), never less than 1; and a smaller
    /// `blksize` (RFC 2348), never less than 1468. Default: 128 MiB. A share is 16 KiB then, which
    /// is 11 blocks of Ethernet's size, and 4,096 transfers have room for 22 such blocks each.
    ///
    /// It counts what windows may hold, as if no two held the same: where a class boots, they do,
    /// and hold less.
    pub window_bytes_in_all_max: usize,
    /// Replies per second to datagrams that belong to no transfer and ask for none (ERROR 4 and 5),
    /// per thread of the driver. Default: 100.
    pub stray_replies_per_second: u32,
    /// Events per second, of each kind of [`Noise`](crate::Noise), that are told one by one; the others
    /// are counted, and told as [`Event::Untold`](crate::Event::Untold). An event can cost more than
    /// the packet that it is about. Per thread of the driver. Default: 100.
    pub noise_events_per_second: u32,
    /// ERROR packets that wait to be sent, per thread of the driver. Default: 1024.
    pub replies_max: usize,
    /// Outputs that wait to be polled, per thread of the driver; beyond, events are dropped (and counted), and new requests
    /// find the server busy. Default: 8192.
    pub outputs_max: usize,
    /// Ended transfers of single-port mode that are remembered, so that a late ACK does not get
    /// an ERROR which the same client's next transfer would take for its own. Per thread of the
    /// driver. Default: 1024.
    pub remembered_max: usize,
    /// File data that are kept for other transfers of the same file with the same block size, in
    /// bytes, over all threads of the driver; the engine does not look at it. Default: 32 MiB, a loader and
    /// a kernel: in a class that boots at once, the machines are within a few chunks of each other,
    /// and one that boots after another finds all of these ready to be sent.
    pub cache_bytes_max: usize,
    /// How long the driver may take to answer for a request, or to open a socket.
    /// Default: 30 s. The client gets an ERROR then.
    pub accept_timeout: Duration,
    /// How long the driver may take to give the data that were asked for. Default: 60 s: a network
    /// file system behind the tree can stall. The client gets an ERROR then.
    pub data_timeout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            transfers_max: 4096,
            transfers_per_remote_max: 512,
            ahead_transfers_max: 1024,
            displaced_after: Duration::from_millis(200),
            incoming_max: 1024,
            filename_bytes_max: 512,
            request_bytes_max: 1024,
            first_sends_max: 5,
            greeting_timeout: Duration::from_secs(30),
            silence_timeout: Duration::from_secs(60),
            window_bytes_max: 1 << 20,
            window_bytes_in_all_max: 128 << 20,
            stray_replies_per_second: 100,
            noise_events_per_second: 100,
            replies_max: 1024,
            outputs_max: 8192,
            remembered_max: 1024,
            cache_bytes_max: 32 << 20,
            accept_timeout: Duration::from_secs(30),
            data_timeout: Duration::from_secs(60),
        }
    }
}

impl Limits {
    /// The defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// What each transfer's window may hold whatever the others hold.
    pub(crate) fn window_share(&self) -> usize {
        self.window_bytes_to_lend() / self.transfers_max.max(1)
    }

    /// What the windows of all transfers together may hold beyond their shares.
    pub(crate) const fn window_bytes_to_lend(&self) -> usize {
        self.window_bytes_in_all_max / 2
    }

    setters! {
        /// Sets [`transfers_max`](Self::transfers_max).
        with_transfers_max transfers_max: usize;
        /// Sets [`transfers_per_remote_max`](Self::transfers_per_remote_max).
        with_transfers_per_remote_max transfers_per_remote_max: usize;
        /// Sets [`ahead_transfers_max`](Self::ahead_transfers_max).
        with_ahead_transfers_max ahead_transfers_max: usize;
        /// Sets [`displaced_after`](Self::displaced_after).
        with_displaced_after displaced_after: Duration;
        /// Sets [`incoming_max`](Self::incoming_max).
        with_incoming_max incoming_max: usize;
        /// Sets [`filename_bytes_max`](Self::filename_bytes_max).
        with_filename_bytes_max filename_bytes_max: usize;
        /// Sets [`request_bytes_max`](Self::request_bytes_max).
        with_request_bytes_max request_bytes_max: usize;
        /// Sets [`first_sends_max`](Self::first_sends_max).
        with_first_sends_max first_sends_max: u32;
        /// Sets [`greeting_timeout`](Self::greeting_timeout).
        with_greeting_timeout greeting_timeout: Duration;
        /// Sets [`silence_timeout`](Self::silence_timeout).
        with_silence_timeout silence_timeout: Duration;
        /// Sets [`window_bytes_max`](Self::window_bytes_max).
        with_window_bytes_max window_bytes_max: usize;
        /// Sets [`window_bytes_in_all_max`](Self::window_bytes_in_all_max).
        with_window_bytes_in_all_max window_bytes_in_all_max: usize;
        /// Sets [`stray_replies_per_second`](Self::stray_replies_per_second).
        with_stray_replies_per_second stray_replies_per_second: u32;
        /// Sets [`noise_events_per_second`](Self::noise_events_per_second).
        with_noise_events_per_second noise_events_per_second: u32;
        /// Sets [`replies_max`](Self::replies_max).
        with_replies_max replies_max: usize;
        /// Sets [`outputs_max`](Self::outputs_max).
        with_outputs_max outputs_max: usize;
        /// Sets [`remembered_max`](Self::remembered_max).
        with_remembered_max remembered_max: usize;
        /// Sets [`cache_bytes_max`](Self::cache_bytes_max).
        with_cache_bytes_max cache_bytes_max: usize;
        /// Sets [`accept_timeout`](Self::accept_timeout).
        with_accept_timeout accept_timeout: Duration;
        /// Sets [`data_timeout`](Self::data_timeout).
        with_data_timeout data_timeout: Duration;
    }
}
