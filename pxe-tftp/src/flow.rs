//! One accepted transfer: blocks, windows, acknowledgments and retransmissions.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use pxe_core::{BatchLimit, Instant};

use crate::config::Config;
use crate::content::{Content, Unexpected};
use crate::negotiate::{Mode, Negotiated};
use crate::packets::Packets;
use crate::send_buffer::SendBuffer;
use crate::wire;

/// Octets of a DATA packet before its payload.
const DATA_HEADER_BYTES: u16 = 4;
/// A block of so many octets that leaves alone is copied behind its header: that takes less time
/// than the system takes for a second piece.
const COPIED_BYTES_MAX: usize = 4096;
/// Chunks of a file while there are many transfers: six blocks of Ethernet's size.
const CROWDED_CHUNK_BYTES: usize = 8 << 10;
/// Doublings of the retransmission time after which it stays as it is; any cap is met before.
const BACKOFF_SHIFT_MAX: u32 = 16;

/// The state of a transfer, from `accept` to its end.
///
/// Blocks are numbered from 1 in 64 bits here; only the wire has 16, and wraps to 0.
#[derive(Debug)]
pub(crate) struct Flow {
    pub(crate) negotiated: Negotiated,
    /// As it was when the transfer was accepted: a new configuration is for new transfers.
    config: Arc<Config>,
    content: Content,
    phase: Phase,
    /// The first block that is not acknowledged.
    base: u64,
    /// The next block to send.
    next: u64,
    /// One more than the greatest block ever sent: no ACK can be for this one or beyond.
    sent_end: u64,
    /// Whether several blocks may leave as segments of one send.
    segmentation: bool,
    rtt: RoundTrip,
    /// Retransmissions since the last progress.
    backoff: u32,
    /// When something was last sent.
    last_sent: Instant,
    /// When block `base` (or an earlier one) was last sent.
    base_sent: Instant,
    /// When a window was last sent again before its time.
    rewound: Option<Instant>,
    /// A window to be sent again soon, unless the client acknowledges more until then.
    repair: Option<Repair>,
    /// When the client last acknowledged something new, was accepted, or was given data to wait
    /// for.
    last_progress: Instant,
    /// Since when nothing is in flight, where that is so.
    idle_since: Instant,
    want: Option<Want>,
    retransmits: u64,
    stray_acks: u64,
}

/// What the peer has proved so far.
#[derive(Debug)]
enum Phase {
    /// Nothing: its address may be forged. Only the first packet is sent, and few times.
    Greeting {
        /// The OACK, or `None` if the first packet is DATA 1.
        oack: Option<Oack>,
        /// How often the first packet was sent.
        sends: u32,
    },
    /// It acknowledged the first packet.
    Verified,
}

#[derive(Debug)]
struct Oack {
    packet: Vec<u8>,
    /// It waits to be sent.
    due: bool,
}

/// Data that were asked for.
#[derive(Debug)]
struct Want {
    offset: u64,
    since: Instant,
}

/// The client says that a block is missing, but so soon after it was sent that the two may have
/// crossed. Sending it at once could double every packet; not sending it at all would leave the
/// client waiting for a whole timeout. So it is sent one round trip after the last time.
#[derive(Debug)]
struct Repair {
    at: Instant,
    /// The block that was missing.
    base: u64,
}

/// What an ACK led to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Acked {
    /// It acknowledged something new, or asked for a window again.
    Advanced,
    /// It was the last one.
    Finished,
    /// It was of no use.
    Ignored,
}

/// What is to be done when the time has come.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Expired {
    /// Something was sent again, or is to be.
    Retransmit,
    /// The peer does not answer.
    GiveUp,
    /// The driver does not give the data.
    DataLate,
    /// It has not.
    Early,
}

/// What is to be done about a request that came again.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Repeated {
    /// The first packet is to be sent again.
    Answered,
    /// Nothing.
    Absorbed,
    /// The client must have begun anew.
    Restart,
}

impl Flow {
    pub(crate) fn new(
        now: Instant,
        config: Arc<Config>,
        negotiated: Negotiated,
        oack: Vec<u8>,
        len: u64,
        segmentation: bool,
    ) -> Self {
        let oack = (!oack.is_empty()).then_some(Oack {
            packet: oack,
            due: true,
        });
        Self {
            content: Content::new(negotiated.mode, len),
            negotiated,
            config,
            phase: Phase::Greeting { oack, sends: 0 },
            base: 1,
            next: 1,
            sent_end: 1,
            segmentation,
            rtt: RoundTrip::default(),
            backoff: 0,
            last_sent: now,
            base_sent: now,
            rewound: None,
            repair: None,
            last_progress: now,
            idle_since: now,
            want: None,
            retransmits: 0,
            stray_acks: 0,
        }
    }

    /// Whether the client may still be one that only asks for the file's length.
    pub(crate) fn may_be_probe(&self) -> bool {
        let greeting = matches!(self.phase, Phase::Greeting { oack: Some(_), .. });
        greeting && self.negotiated.tsize.is_some()
    }

    /// Whether the peer has proved that it exists.
    pub(crate) const fn is_verified(&self) -> bool {
        matches!(self.phase, Phase::Verified)
    }

    pub(crate) fn blocks_acknowledged(&self) -> u64 {
        self.base - 1
    }

    pub(crate) fn bytes_acknowledged(&self) -> u64 {
        let full = self.blocks_acknowledged() * u64::from(self.negotiated.blksize);
        match self.content.total() {
            Some(total) => full.min(total),
            None => full,
        }
    }

    pub(crate) const fn file_len(&self) -> u64 {
        self.content.file_len()
    }

    pub(crate) const fn retransmits(&self) -> u64 {
        self.retransmits
    }

    pub(crate) const fn stray_acks(&self) -> u64 {
        self.stray_acks
    }

    /// One more than the last block of the window that begins at `base`.
    fn window_end(&self) -> u64 {
        let window = match self.phase {
            // Windows only for peers that answered: until then, an OACK or DATA 1.
            Phase::Greeting { oack: Some(_), .. } => 0,
            Phase::Greeting { oack: None, .. } => 1,
            Phase::Verified => u64::from(self.negotiated.windowsize),
        };
        self.base + window
    }

    /// Whether there is something to send.
    pub(crate) fn is_ready(&self) -> bool {
        match &self.phase {
            Phase::Greeting {
                oack: Some(oack), ..
            } => oack.due,
            Phase::Greeting { oack: None, .. } | Phase::Verified => {
                self.next < self.window_end()
                    && self
                        .content
                        .block_len(self.next, self.negotiated.blksize)
                        .is_some()
            }
        }
    }

    /// Whether an ACK is awaited.
    fn in_flight(&self) -> bool {
        match &self.phase {
            Phase::Greeting {
                oack: Some(oack), ..
            } => !oack.due,
            Phase::Greeting { oack: None, .. } | Phase::Verified => self.next > self.base,
        }
    }

    /// The time to wait for an ACK.
    fn retransmit_after(&self) -> Duration {
        let base = match self.negotiated.timeout {
            Some(timeout) => timeout,
            None => self.rtt.timeout(&self.config),
        };
        let factor = 1_u32 << self.backoff.min(BACKOFF_SHIFT_MAX);
        base.saturating_mul(factor)
            .min(self.config.retransmit_max.max(base))
    }

    /// When a silent peer is given up, however long its timeout is; `None` while it is the driver
    /// who is waited for.
    fn silence_deadline(&self) -> Option<Instant> {
        let limits = &self.config.limits;
        let patience = match self.phase {
            Phase::Greeting { .. } => limits.greeting_timeout,
            Phase::Verified => limits.silence_timeout,
        };
        self.want.is_none().then(|| self.last_progress + patience)
    }

    /// When [`handle_timeout`](Self::handle_timeout) has something to do.
    pub(crate) fn deadline(&self) -> Instant {
        if self.in_flight() {
            let mut retransmit = self.last_sent + self.retransmit_after();
            if let Some(given_up) = self.silence_deadline() {
                retransmit = retransmit.min(given_up);
            }
            let repair = self.repair.as_ref().map(|repair| repair.at);
            return repair.map_or(retransmit, |repair| repair.min(retransmit));
        }
        let since = self
            .want
            .as_ref()
            .map_or(self.idle_since, |want| want.since);
        since + self.config.limits.data_timeout
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant) -> Expired {
        if now < self.deadline() {
            return Expired::Early;
        }
        if self.in_flight()
            && let Some(repair) = self.repair.take_if(|repair| repair.at <= now)
        {
            if repair.base == self.base {
                self.rewind(now);
            }
            return Expired::Retransmit;
        }
        let data_late = |want: &Want| now >= want.since + self.config.limits.data_timeout;
        if self.want.as_ref().is_some_and(data_late) || !self.in_flight() {
            return Expired::DataLate;
        }
        let given_up = self.silence_deadline();
        if given_up.is_some_and(|given_up| given_up <= now) {
            return Expired::GiveUp;
        }
        let first_sends_max = self.config.limits.first_sends_max;
        match &mut self.phase {
            Phase::Greeting { sends, .. } if *sends >= first_sends_max => return Expired::GiveUp,
            _ if self.backoff >= self.config.retransmits_max => return Expired::GiveUp,
            Phase::Greeting {
                oack: Some(oack), ..
            } => {
                oack.due = true;
                self.idle_since = now;
            }
            Phase::Greeting { oack: None, .. } | Phase::Verified => self.rewind(now),
        }
        // While the disk is what the rest of a window waits for, silence is not the client's
        // fault: that time is bounded by `data_timeout`.
        if self.want.is_none() || self.backoff + 1 < self.config.retransmits_max {
            self.backoff += 1;
        }
        self.rtt.forget_sample();
        Expired::Retransmit
    }

    /// Makes the window that begins at `base` due again.
    fn rewind(&mut self, now: Instant) {
        self.next = self.base;
        self.rewound = Some(now);
        self.repair = None;
        self.idle_since = now;
        self.rtt.forget_sample();
    }

    /// Whether so little time passed since `sent` that what arrived cannot be an answer to it.
    fn too_early(&self, now: Instant, sent: Instant) -> bool {
        let least = self.rtt.least.unwrap_or(self.config.retransmit_min);
        now.saturating_duration_since(sent) < least
    }

    pub(crate) fn handle_ack(&mut self, now: Instant, block: u16) -> Acked {
        if let Phase::Greeting {
            oack: Some(_),
            sends,
        } = &self.phase
        {
            // RFC 2347: an OACK is acknowledged as block 0. Before it was sent, no ACK is due.
            if block != 0 || *sends == 0 {
                self.stray_acks += 1;
                return Acked::Ignored;
            }
            self.rtt.acknowledge(now, 0);
            self.verified(now);
            return Acked::Advanced;
        }
        // The wire's 16 bits name exactly one block of [base - 1, base + 65534]: no comparison of
        // wrapped numbers is needed, whatever the size of the file.
        let last_acknowledged = self.base - 1;
        let ahead = block.wrapping_sub(last_acknowledged as u16);
        let block = last_acknowledged + u64::from(ahead);
        if block >= self.sent_end {
            self.stray_acks += 1;
            return Acked::Ignored;
        }
        if ahead == 0 {
            return self.handle_repeated_ack(now);
        }
        self.rtt.acknowledge(now, block);
        self.base = block + 1;
        self.verified(now);
        if self.content.last_block(self.negotiated.blksize) == Some(block) {
            return Acked::Finished;
        }
        let acknowledged_bytes = block * u64::from(self.negotiated.blksize);
        self.content.release(acknowledged_bytes);
        self.repair = None;
        if self.next <= self.base {
            self.next = self.base;
        } else {
            // An ACK inside the window: what follows it got lost, so the window begins there
            // (RFC 7440 section 4). If it was sent anew just now, this ACK may be an answer to
            // what was sent before.
            match self.rewound {
                Some(rewound) if self.too_early(now, rewound) => self.repair_after(rewound),
                _ => self.rewind(now),
            }
        }
        Acked::Advanced
    }

    /// Has the window sent again one round trip after `sent`.
    fn repair_after(&mut self, sent: Instant) {
        self.repair = Some(Repair {
            at: sent + self.rtt.mean().unwrap_or(self.config.retransmit_min),
            base: self.base,
        });
    }

    /// An ACK for the block before the window.
    ///
    /// In lock-step it is never answered: if each side answered duplicates by duplicates, every
    /// packet of the rest of the transfer would be sent twice, the Sorcerer's Apprentice syndrome
    /// (RFC 1123 section 4.2.3.1). In a window it says that the window's first block is missing.
    fn handle_repeated_ack(&mut self, now: Instant) -> Acked {
        let windowed = self.negotiated.windowsize > 1;
        if !windowed || self.next <= self.base {
            self.stray_acks += 1;
            return Acked::Ignored;
        }
        if self.too_early(now, self.base_sent) {
            self.stray_acks += 1;
            if self.repair.is_none() {
                self.repair_after(self.base_sent);
            }
        } else {
            self.rewind(now);
        }
        Acked::Advanced
    }

    fn verified(&mut self, now: Instant) {
        self.phase = Phase::Verified;
        self.backoff = 0;
        self.last_progress = now;
        self.idle_since = now;
    }

    pub(crate) fn handle_repeated_request(&mut self, now: Instant) -> Repeated {
        match &mut self.phase {
            Phase::Greeting { sends, .. } if *sends >= self.config.limits.first_sends_max => {
                Repeated::Absorbed
            }
            Phase::Greeting { sends: 0, .. } => Repeated::Absorbed,
            Phase::Greeting {
                oack: Some(oack), ..
            } => {
                oack.due = true;
                self.idle_since = now;
                self.rtt.forget_sample();
                Repeated::Answered
            }
            Phase::Greeting { oack: None, .. } => {
                self.rewind(now);
                Repeated::Answered
            }
            Phase::Verified => {
                let idle = now.saturating_duration_since(self.last_progress);
                if idle >= self.config.restart_after {
                    Repeated::Restart
                } else {
                    Repeated::Absorbed
                }
            }
        }
    }

    /// Stops sending several blocks at once. `false` if that was so already.
    pub(crate) fn stop_segmentation(&mut self) -> bool {
        std::mem::replace(&mut self.segmentation, false)
    }

    /// Appends what may be sent now, within `limit`. Returns the size of its segments, where
    /// there may be several; `None` if there is nothing to send.
    pub(crate) fn fill(
        &mut self,
        now: Instant,
        limit: BatchLimit,
        out: &mut SendBuffer,
    ) -> Option<Option<NonZeroUsize>> {
        if let Phase::Greeting {
            oack: Some(oack),
            sends,
        } = &mut self.phase
        {
            if !oack.due {
                return None;
            }
            oack.due = false;
            out.make(|made| made.extend_from_slice(&oack.packet));
            *sends += 1;
            self.last_sent = now;
            if *sends == 1 {
                self.rtt.start(now, 0);
            } else {
                self.retransmits += 1;
            }
            return Some(None);
        }
        let blksize = self.negotiated.blksize;
        let segment = usize::from(blksize) + usize::from(DATA_HEADER_BYTES);
        let segment_size = NonZeroUsize::new(segment).filter(|_| self.segmentation);
        let blocks_max = match self.negotiated.windowsize {
            1 => 1,
            _ => segment_size.map_or(1, |size| limit.segments_of(size)) as u64,
        };
        let copied = blocks_max == 1 && usize::from(blksize) <= COPIED_BYTES_MAX;
        let begin = self.next;
        let end = self.window_end().min(begin + blocks_max);
        while self.next < end {
            let ready = self.content.append_packets(self.next, end - self.next, out);
            if ready > 0 {
                self.next += ready;
                continue;
            }
            let Some(len) = self.content.block_len(self.next, blksize) else {
                break;
            };
            // The number wraps to 0 after 65535, as every client expects that gets that far.
            let number = self.next as u16;
            out.make(|made| wire::encode_data_header(made, number));
            let offset = (self.next - 1) * u64::from(blksize);
            self.content.append(offset, len, copied, out);
            self.next += 1;
            if len < usize::from(blksize) {
                break;
            }
        }
        if self.next == begin {
            return None;
        }
        if let Phase::Greeting { sends, .. } = &mut self.phase {
            *sends += 1;
        }
        if begin >= self.sent_end {
            self.rtt.start(now, self.next - 1);
        } else {
            self.retransmits += self.next.min(self.sent_end) - begin;
        }
        if begin == self.base {
            self.base_sent = now;
        }
        self.sent_end = self.sent_end.max(self.next);
        self.last_sent = now;
        Some(segment_size.filter(|_| self.next - begin > 1))
    }

    /// The data to ask the driver for, if any are needed and none were asked for yet; `is_crowded`:
    /// with many other transfers, each is to hold little.
    pub(crate) fn poll_want(&mut self, now: Instant, is_crowded: bool) -> Option<(u64, usize)> {
        if self.want.is_some() || self.may_be_probe() {
            return None;
        }
        let blksize = u64::from(self.negotiated.blksize);
        let window_blocks = match &self.phase {
            Phase::Greeting { .. } => 1,
            Phase::Verified => u64::from(self.negotiated.windowsize),
        };
        let window_bytes = (self.base - 1 + window_blocks).saturating_mul(blksize);
        let read_ahead = match self.negotiated.mode {
            Mode::Octet if !is_crowded => self.config.read_ahead_bytes as u64,
            Mode::Octet | Mode::Netascii => 0,
        };
        let chunk_bytes = chunk_bytes(&self.config, is_crowded);
        let chunk_bytes = whole_blocks(chunk_bytes, self.negotiated.blksize);
        // One more octet tells a full last block from one that an empty one follows.
        let upto = window_bytes.saturating_add(read_ahead.max(1));
        let (offset, len) = self.content.want(upto, chunk_bytes)?;
        self.want = Some(Want { offset, since: now });
        Some((offset, len))
    }

    /// Takes packets with data that were asked for, likewise.
    pub(crate) fn handle_packets(
        &mut self,
        now: Instant,
        packets: Packets,
    ) -> Result<(), Unexpected> {
        let offset = packets.offset();
        if self.want.take_if(|want| want.offset == offset).is_some() {
            let blksize = self.negotiated.blksize;
            self.content.supply_packets(blksize, packets)?;
            // Until now, its silence was not the client's fault.
            self.last_progress = now;
        }
        Ok(())
    }

    /// Takes data that were asked for. Others (late, repeated) are ignored.
    pub(crate) fn handle_data(
        &mut self,
        now: Instant,
        offset: u64,
        bytes: Bytes,
    ) -> Result<(), Unexpected> {
        if self.want.take_if(|want| want.offset == offset).is_some() {
            self.content.supply(offset, bytes)?;
            // Until now, its silence was not the client's fault.
            self.last_progress = now;
        }
        Ok(())
    }
}

/// How much of a file is asked for at a time; `is_crowded`: with many other transfers.
pub(crate) fn chunk_bytes(config: &Config, is_crowded: bool) -> usize {
    match is_crowded {
        true => config.chunk_bytes.min(CROWDED_CHUNK_BYTES),
        false => config.chunk_bytes,
    }
}

/// What a chunk of so many octets holds of whole blocks, or one block.
pub(crate) fn whole_blocks(chunk_bytes: usize, blksize: u16) -> usize {
    let blksize = usize::from(blksize.max(1));
    chunk_bytes.max(blksize) / blksize * blksize
}

/// Measured round trips (RFC 6298, without its clock granularity).
#[derive(Debug, Default)]
struct RoundTrip {
    /// Mean and deviation.
    smoothed: Option<(Duration, Duration)>,
    least: Option<Duration>,
    /// The block whose ACK is timed, and when it was sent. Never one that was sent twice (Karn).
    sample: Option<(u64, Instant)>,
}

impl RoundTrip {
    fn start(&mut self, now: Instant, block: u64) {
        if self.sample.is_none() {
            self.sample = Some((block, now));
        }
    }

    fn forget_sample(&mut self) {
        self.sample = None;
    }

    fn acknowledge(&mut self, now: Instant, block: u64) {
        let Some((_, sent)) = self.sample.take_if(|(timed, _)| *timed <= block) else {
            return;
        };
        let measured = now.saturating_duration_since(sent);
        self.least = Some(self.least.map_or(measured, |least| least.min(measured)));
        self.smoothed = Some(match self.smoothed {
            None => (measured, measured / 2),
            Some((mean, deviation)) => {
                let error = mean.abs_diff(measured);
                ((mean * 7 + measured) / 8, (deviation * 3 + error) / 4)
            }
        });
    }

    fn mean(&self) -> Option<Duration> {
        self.smoothed.map(|(mean, _)| mean)
    }

    fn timeout(&self, config: &Config) -> Duration {
        match self.smoothed {
            None => config.retransmit_initial,
            Some((mean, deviation)) => (mean + deviation * 4)
                .min(config.retransmit_initial)
                .max(config.retransmit_min),
        }
    }
}
