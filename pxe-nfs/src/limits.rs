//! Bounds on all that a peer can make the server hold.

use std::time::Duration;

/// Bounds, each with its default.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Limits {
    /// The most bytes that a READ gives, and what FSINFO says (`rtmax`, `rtpref`): 1 MiB, which is
    /// the most that Linux asks for.
    pub read_bytes_max: u32,
    /// The same over UDP: 8 KiB. A reply is sent to whoever the datagram says it comes from.
    pub udp_read_bytes_max: u32,
    /// The most bytes that a WRITE takes (`wtmax`): 1 MiB. Exports that are read-only take none.
    pub write_bytes_max: u32,
    /// The most bytes of a reply to READDIR and READDIRPLUS: 64 KiB.
    pub list_bytes_max: u32,
    /// Calls of one connection that are answered at once: 64. Further ones wait in the socket.
    pub calls_max: usize,
    /// Bytes that a connection may have waiting in replies, and in calls whose replies do not wait
    /// yet: 4 MiB (file data that leaves by `sendfile` takes none). Beyond, no further call is read
    /// from it; so it is exceeded by one call or reply at most.
    pub reply_bytes_max: usize,
    /// The same of all connections together: 512 MiB. Beyond, each connection has one call at a time
    /// answered, so it is exceeded by one call or reply of each connection at most. What is being
    /// received is not counted: a call of each connection at most.
    pub reply_bytes_of_all_max: usize,
    /// Connections in all: 1,024. Further ones wait.
    pub connections_max: usize,
    /// Connections of one client: 64 (Linux opens up to 16 with `nconnect`). Further ones are closed.
    pub connections_per_client_max: usize,
    /// How long a connection may say nothing: 6 minutes (Linux closes one itself after 5).
    pub idle_max: Duration,
    /// How long a client may take nothing of what is sent to it: 60 seconds.
    pub send_stalled_max: Duration,
    /// Calls by UDP that are answered at once at one port: 256. Further ones wait in the socket, and
    /// are dropped where that is full; clients repeat them.
    pub udp_calls_max: usize,
    /// Mounts that DUMP lists: 4,096. Of more the oldest are forgotten, which harms nobody.
    pub mounts_max: usize,
    /// Bytes of the lists that DUMP and EXPORT of MOUNT give: 256 KiB. What exceeds them is left
    /// out, in DUMP the oldest mounts.
    pub mount_list_bytes_max: usize,
    /// The same over UDP: 512. Whoever forges the sender of a datagram draws no more than that on
    /// his victim.
    pub udp_mount_list_bytes_max: usize,
    /// Replies kept for calls that must not be done twice (REMOVE, RENAME, CREATE, ..), at some 500
    /// bytes each: 1,024. The oldest are forgotten; a client that repeats one of these may be told
    /// an error for what was done.
    pub repeated_calls_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            read_bytes_max: 1 << 20,
            udp_read_bytes_max: 8192,
            write_bytes_max: 1 << 20,
            list_bytes_max: 1 << 16,
            calls_max: 64,
            reply_bytes_max: 4 << 20,
            reply_bytes_of_all_max: 512 << 20,
            connections_max: 1024,
            connections_per_client_max: 64,
            idle_max: Duration::from_secs(360),
            send_stalled_max: Duration::from_secs(60),
            udp_calls_max: 256,
            mounts_max: 4096,
            mount_list_bytes_max: 256 << 10,
            udp_mount_list_bytes_max: 512,
            repeated_calls_max: 1024,
        }
    }
}
