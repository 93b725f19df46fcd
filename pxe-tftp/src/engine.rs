//! The engine: datagrams, answers of the driver and the time go in; datagrams, wishes and events
//! come out.

use std::collections::{BTreeSet, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use bytes::Bytes;
use pxe_core::{BatchLimit, Destination, Instant, Now, RecvMeta, SendFailure, SocketId, Transmit};

use crate::config::{Config, PortMode};
use crate::error::Refusal;
use crate::event::{Event, Limit, Noise, Outcome, Peer, PeerMessage, Report, TransferId};
use crate::flow::{Acked, Expired, Flow, chunk_bytes};
use crate::negotiate::{Agreement, Mode, Terms, blksize_of_mtu, negotiate};
use crate::noise::NoiseCounts;
use crate::output::{FileInfo, Incoming, Output};
use crate::packets::Packets;
use crate::reply::{RateLimit, Remembered, Replies, Reply};
use crate::send_buffer::SendBuffer;
use crate::transfer::{State, Table, Transfer};
use crate::wire::{ErrorCode, Opcode, Options, Packet};

/// A TFTP server without sockets, files, threads or clocks: see the [crate's page](crate).
#[derive(Debug, Default)]
pub struct Engine {
    pub(crate) config: Arc<Config>,
    /// New requests are refused.
    pub(crate) draining: bool,
    pub(crate) table: Table,
    /// Transfers of other engines, that count towards the same bound.
    pub(crate) elsewhere: usize,
    /// The same, of the address whose request is handled next.
    pub(crate) elsewhere_of_remote: usize,
    /// Since when a transfer of another engine has not been answered.
    pub(crate) unanswered_elsewhere: Option<Instant>,
    /// Transfers that other engines are to displace.
    pub(crate) displacements: usize,
    /// What windows may hold beyond their shares, in octets: here, and of other engines.
    borrowed_bytes: usize,
    borrowed_bytes_elsewhere: usize,
    /// Transfers that have something to send, each once; served in turn.
    ready: VecDeque<TransferId>,
    replies: Replies,
    /// Sockets of ended transfers until the driver is told to close them: what still comes in
    /// by them is no request.
    closing: BTreeSet<SocketId>,
    pub(crate) outputs: VecDeque<Output>,
    events_lost: u64,
    remembered: Remembered,
    strays: RateLimit,
    noise: NoiseCounts,
}

impl Engine {
    /// An engine with no transfers.
    pub fn new(config: Config) -> Self {
        Self {
            config: Arc::new(config),
            ..Self::default()
        }
    }

    /// Changes the configuration for requests to come; running transfers keep theirs.
    pub fn set_config(&mut self, config: Config) {
        self.config = Arc::new(config);
    }

    /// Takes no more requests: they get ERROR 0, "server is shutting down". What runs goes on, and
    /// [`is_idle`](Self::is_idle) says when it is over.
    pub const fn shut_down(&mut self) {
        self.draining = true;
    }

    /// Ends every transfer with this ERROR.
    pub fn abort_all(&mut self, now: Now, refusal: &Refusal) {
        for id in self.table.ids() {
            self.finish(now.mono, id, Outcome::Failed(refusal.clone()));
        }
    }

    /// Counts so many transfers of other engines, which serve the same clients on other threads,
    /// towards [`Limits::transfers_max`](crate::Limits::transfers_max).
    pub const fn set_transfers_elsewhere(&mut self, transfers: usize) {
        self.elsewhere = transfers;
    }

    /// Counts so many transfers of other engines with the address of the request that comes next
    /// towards [`Limits::transfers_per_remote_max`](crate::Limits::transfers_per_remote_max).
    pub const fn set_transfers_of_remote_elsewhere(&mut self, transfers: usize) {
        self.elsewhere_of_remote = transfers;
    }

    /// Says since when the first packet of a transfer of another engine has not been acknowledged, so
    /// that it can be displaced by the next request: the longest of all, by the same clock.
    pub const fn set_unanswered_elsewhere(&mut self, since: Option<Instant>) {
        self.unanswered_elsewhere = since;
    }

    /// Since when the first packet of a transfer has not been acknowledged. With 0, that of the one for
    /// which it is longest; with another number, that of the one that comes so many after it.
    pub fn unanswered_since(&self, rank: usize) -> Option<Instant> {
        let (since, _) = self.table.unanswered_at(rank)?;
        Some(since)
    }

    /// How many places requests were given, since this was asked last, that transfers of other
    /// engines have to give up: have those [make room](Self::make_room). It is at most one for each
    /// time the driver said [that there is one](Self::set_unanswered_elsewhere).
    pub fn take_displacements(&mut self) -> usize {
        std::mem::take(&mut self.displacements)
    }

    /// Ends the transfer that has not been answered for longest, for another engine's request, if
    /// that is as long as [`Limits::displaced_after`](crate::Limits::displaced_after). `false`: there
    /// is none.
    pub fn make_room(&mut self, now: Now) -> bool {
        self.displace(now.mono, self.table.unanswered_at(0))
    }

    /// Counts so many bytes that windows of other engines have borrowed towards
    /// [`Limits::window_bytes_in_all_max`](crate::Limits::window_bytes_in_all_max).
    pub const fn set_borrowed_window_bytes_elsewhere(&mut self, bytes: usize) {
        self.borrowed_bytes_elsewhere = bytes;
    }

    /// What the windows of this engine's transfers may hold beyond their shares of
    /// [`Limits::window_bytes_in_all_max`](crate::Limits::window_bytes_in_all_max), in bytes.
    pub const fn borrowed_window_bytes(&self) -> usize {
        self.borrowed_bytes
    }

    /// How much of a file to read and keep at a time, in bytes: a [chunk](Config::chunk_bytes), or
    /// less while there are [many transfers](crate::Limits::ahead_transfers_max). A slow client
    /// holds all of what its block lies in.
    pub fn chunk_bytes(&self) -> usize {
        chunk_bytes(&self.config, self.is_crowded())
    }

    /// Whether there are so many transfers that each is to hold little.
    fn is_crowded(&self) -> bool {
        let transfers = self.table.len().saturating_add(self.elsewhere);
        transfers > self.config.limits.ahead_transfers_max
    }

    /// How many requests and transfers there are with this address.
    pub fn transfers_of_remote(&self, remote: IpAddr) -> usize {
        self.table.with_ip(remote)
    }

    /// Whether there is a request or a transfer of this client's, from this listening socket.
    #[cfg(feature = "tokio")]
    pub(crate) fn has_transfer(&self, remote: SocketAddr, listener: SocketId) -> bool {
        let id = self.table.of_request(without_flow(remote), listener);
        id.is_some()
    }

    /// How many requests and transfers there are.
    pub fn transfers(&self) -> usize {
        self.table.len()
    }

    /// Whether there is no transfer, and nothing left to send.
    pub fn is_idle(&self) -> bool {
        self.table.len() == 0 && self.replies.is_empty()
    }

    /// Takes a datagram that was received.
    pub fn handle_datagram(&mut self, now: Now, meta: &RecvMeta, payload: &[u8]) {
        let now = now.mono;
        let peer = Peer {
            remote: without_flow(meta.remote),
            local_ip: meta.local_ip,
            interface: meta.interface,
        };
        if self.closing.contains(&meta.socket) {
            return;
        }
        let own = self.table.of_socket(meta.socket);
        match (Packet::decode(payload), own) {
            (Err(error), _) => {
                self.noise(now, Noise::Malformed, || Event::Malformed { peer, error });
                // Never an ERROR in answer to an ERROR, not even to half of one.
                if own.is_none() && !payload.starts_with(&Opcode::ERROR.0.to_be_bytes()) {
                    let refusal = Refusal::new(ErrorCode::ILLEGAL_OPERATION, error.to_string());
                    self.reply_to_stray(now, meta.socket, peer, &refusal);
                }
            }
            (Ok(Packet::ReadRequest(request)), None) => {
                self.handle_read_request(now, meta.socket, peer, request, payload);
            }
            (Ok(Packet::WriteRequest(request)), None) => {
                self.handle_write_request(now, meta.socket, peer, &request);
            }
            (Ok(packet), Some(id)) => {
                let mine = self
                    .table
                    .get_mut(id)
                    .is_some_and(|transfer| transfer.peer.remote == peer.remote);
                if mine {
                    self.handle_transfer_packet(now, id, &packet);
                } else {
                    self.handle_stray(now, meta.socket, peer, &packet);
                }
            }
            (Ok(packet), None) => match self.table.of_request(peer.remote, meta.socket) {
                Some(id) if self.runs_on(id, meta.socket) => {
                    self.handle_transfer_packet(now, id, &packet);
                }
                Some(id) if matches!(packet, Packet::Error { .. }) => {
                    // The client gives up before it was answered.
                    self.handle_transfer_packet(now, id, &packet);
                }
                _ => self.handle_stray(now, meta.socket, peer, &packet),
            },
        }
    }

    fn runs_on(&mut self, id: TransferId, listener: SocketId) -> bool {
        self.table.get_mut(id).is_some_and(|transfer| {
            matches!(&transfer.state, State::Running { socket, .. } if *socket == listener)
        })
    }

    fn handle_transfer_packet(&mut self, now: Instant, id: TransferId, packet: &Packet<'_>) {
        let Some(transfer) = self.table.get_mut(id) else {
            return;
        };
        match *packet {
            Packet::Ack { block } => {
                let Some(flow) = transfer.flow_mut() else {
                    return;
                };
                match flow.handle_ack(now, block) {
                    Acked::Advanced => {
                        self.table.answered(id);
                        self.settle(now, id);
                    }
                    Acked::Finished => self.finish(now, id, Outcome::Complete),
                    Acked::Ignored => {}
                }
            }
            Packet::Error { code, message } => {
                let probe = transfer.flow_mut().is_some_and(|flow| flow.may_be_probe());
                let outcome = if probe {
                    Outcome::Probe
                } else {
                    let message = PeerMessage::new(message);
                    Outcome::Aborted { code, message }
                };
                self.finish(now, id, outcome);
            }
            // Neither a request to a transfer's port nor DATA or OACK makes sense from a client.
            _ => {
                let peer = transfer.peer;
                self.unknown_transfer(now, peer, packet.opcode());
            }
        }
    }

    /// Deals with a packet that belongs to no transfer of its sender.
    fn handle_stray(&mut self, now: Instant, socket: SocketId, peer: Peer, packet: &Packet<'_>) {
        let opcode = packet.opcode();
        let late = self.remembered.contains(now, (peer.remote, socket));
        self.unknown_transfer(now, peer, opcode);
        // A late ACK of a transfer that is over is no reason for an ERROR; and to an ERROR,
        // there is no answer (RFC 1350 section 7).
        if late || opcode == Opcode::ERROR {
            return;
        }
        let refusal = Refusal::new(ErrorCode::UNKNOWN_TRANSFER_ID, "unknown transfer ID");
        self.reply_to_stray(now, socket, peer, &refusal);
    }

    fn unknown_transfer(&mut self, now: Instant, peer: Peer, opcode: Opcode) {
        self.noise(now, Noise::UnknownTransfer, || Event::UnknownTransfer {
            peer,
            opcode,
        });
    }

    /// Takes a request that was answered with [`Output::Incoming`], and begins its transfer.
    ///
    /// If the client has given up or begun anew meanwhile, nothing happens. The token must be one
    /// of this engine.
    ///
    /// Whether the transfer goes on: if so, [`Output::Release`] says when it is over.
    #[allow(clippy::needless_pass_by_value)] // a token is answered once
    pub fn accept(&mut self, now: Now, incoming: Incoming, file: FileInfo) -> bool {
        let now = now.mono;
        let id = incoming.transfer;
        let Some(transfer) = self.table.get_mut(id) else {
            return false;
        };
        let options = match Packet::decode(&transfer.request) {
            Ok(Packet::ReadRequest(request)) => request.options,
            _ => Options::NONE,
        };
        let peer = transfer.peer;
        let remote = peer.remote.ip();
        let config = Arc::clone(&transfer.config);
        let share = config.limits.window_share();
        let borrowed = (self.borrowed_bytes).saturating_add(self.borrowed_bytes_elsewhere);
        let left = (config.limits.window_bytes_to_lend()).saturating_sub(borrowed);
        let terms = Terms {
            mode: transfer.mode,
            remote,
            len: file.len,
            mtu: file.mtu,
            window_bytes: share.saturating_add(left),
        };
        let Agreement {
            negotiated,
            oack,
            is_limited,
        } = negotiate(&options, terms, &config);
        let borrowed_bytes = negotiated.window_bytes(file.len).saturating_sub(share);
        // A block that would be fragmented cannot be a segment of an offloaded send.
        let segmentation = file
            .mtu
            .is_some_and(|mtu| u32::from(negotiated.blksize) <= blksize_of_mtu(mtu, remote));
        let single_port = config.ports == PortMode::Single;
        let flow = Flow::new(now, config, negotiated, oack, file.len, segmentation);
        if !self.table.accept(id, flow, single_port) {
            return false;
        }
        if let Some(transfer) = self.table.get_mut(id) {
            transfer.borrowed_bytes = borrowed_bytes;
            self.borrowed_bytes += borrowed_bytes;
        }
        if is_limited {
            self.limit_reached(now, Limit::WindowBytes, peer);
        }
        if single_port {
            self.started(id, file.len);
        } else {
            self.outputs.push_back(Output::OpenSocket {
                transfer: id,
                local_ip: peer.local_ip,
                remote: peer.remote,
                interface: peer.interface,
            });
        }
        self.settle(now, id);
        true
    }

    /// Answers a request with an ERROR.
    #[allow(clippy::needless_pass_by_value)] // a token is answered once
    pub fn refuse(&mut self, now: Now, incoming: Incoming, refusal: Refusal) {
        let asking = self
            .table
            .get_mut(incoming.transfer)
            .is_some_and(|transfer| matches!(transfer.state, State::Asking));
        if asking {
            self.finish(now.mono, incoming.transfer, Outcome::Failed(refusal));
        }
    }

    /// Takes the socket that a transfer asked for. Its number must not be one of a listening
    /// socket, or of a socket that was opened for another transfer and not closed since.
    pub fn handle_socket_opened(&mut self, now: Now, transfer: TransferId, socket: SocketId) {
        if self.table.open(transfer, socket) {
            if let Some(len) = self.file_len(transfer) {
                self.started(transfer, len);
            }
            self.settle(now.mono, transfer);
        } else {
            // The transfer ended meanwhile.
            self.close(socket);
        }
    }

    fn file_len(&mut self, id: TransferId) -> Option<u64> {
        let flow = self.table.get_mut(id)?.flow_mut()?;
        Some(flow.file_len())
    }

    /// There is no socket for this transfer: the client gets this ERROR.
    pub fn handle_socket_failed(&mut self, now: Now, transfer: TransferId, refusal: Refusal) {
        let opening = self
            .table
            .get_mut(transfer)
            .is_some_and(|transfer| matches!(transfer.state, State::Opening(_)));
        if opening {
            self.finish(now.mono, transfer, Outcome::Failed(refusal));
        }
    }

    /// Takes data of a file that [`Output::Want`] asked for.
    ///
    /// Less than was asked for is good, and the rest is asked for again. None at all means that the
    /// file ends before the length that was promised: the client gets an ERROR, since it would take
    /// a short block for the end of a whole file.
    pub fn handle_data(&mut self, now: Now, transfer: TransferId, offset: u64, data: Bytes) {
        let Some(entry) = self.table.get_mut(transfer) else {
            return;
        };
        let Some(flow) = entry.flow_mut() else {
            return;
        };
        let result = flow.handle_data(now.mono, offset, data);
        self.supplied(now, transfer, result.is_ok());
    }

    /// As [`handle_data`](Self::handle_data), with data that lie in packets of the transfer's
    /// [block size](Self::blksize): whole blocks, but at the file's end.
    pub fn handle_packets(&mut self, now: Now, transfer: TransferId, packets: Packets) {
        let entry = self.table.get_mut(transfer);
        if let Some(flow) = entry.and_then(Transfer::flow_mut) {
            let result = flow.handle_packets(now.mono, packets);
            self.supplied(now, transfer, result.is_ok());
        }
    }

    /// After a transfer was given data: those that it waits for, or others.
    fn supplied(&mut self, now: Now, transfer: TransferId, expected: bool) {
        let Some(entry) = self.table.get_mut(transfer) else {
            return;
        };
        match expected {
            true => self.settle(now.mono, transfer),
            false => {
                let text = format!("file is shorter than expected: {}", entry.filename);
                let refusal = Refusal::new(ErrorCode::NOT_DEFINED, text);
                self.finish(now.mono, transfer, Outcome::Failed(refusal));
            }
        }
    }

    /// The block size of a transfer of octets, for [`handle_packets`](Self::handle_packets). Text
    /// has none: its blocks are not those of the file.
    pub fn blksize(&self, transfer: TransferId) -> Option<u16> {
        let (State::Opening(flow) | State::Running { flow, .. }) = &self.table.get(transfer)?.state
        else {
            return None;
        };
        let octets = matches!(flow.negotiated.mode, Mode::Octet);
        octets.then_some(flow.negotiated.blksize)
    }

    /// The data that [`Output::Want`] asked for cannot be read: the client gets this ERROR.
    pub fn handle_data_failure(&mut self, now: Now, transfer: TransferId, refusal: Refusal) {
        let started = self
            .table
            .get_mut(transfer)
            .is_some_and(|transfer| !matches!(transfer.state, State::Asking));
        if started {
            self.finish(now.mono, transfer, Outcome::Failed(refusal));
        }
    }

    /// Takes what became of a datagram that was to be sent.
    pub fn handle_send_failure(&mut self, now: Now, to: Destination, failure: SendFailure) {
        let Destination::Unicast(remote) = to else {
            return;
        };
        for id in self.table.of_remote(without_flow(remote)) {
            let Some(transfer) = self.table.get_mut(id) else {
                continue;
            };
            let State::Running { flow, .. } = &mut transfer.state else {
                continue;
            };
            let end = match failure {
                SendFailure::Unreachable => true,
                SendFailure::TooLarge => !flow.stop_segmentation(),
                // These may pass, and else the time comes when it is given up.
                _ => false,
            };
            if end {
                self.finish(now.mono, id, Outcome::SendFailed(failure));
            }
        }
    }

    /// The system takes no segments on the way to this client, and the driver has sent the datagrams
    /// one by one: from now on they are polled so. What was polled before may be told of, too.
    pub fn handle_segments_refused(&mut self, to: Destination) {
        let Destination::Unicast(remote) = to else {
            return;
        };
        for id in self.table.of_remote(without_flow(remote)) {
            if let Some(transfer) = self.table.get_mut(id)
                && let State::Running { flow, .. } = &mut transfer.state
            {
                flow.stop_segmentation();
            }
        }
    }

    /// Does what is due. Early and repeated calls are harmless.
    pub fn handle_timeout(&mut self, now: Now) {
        let now = now.mono;
        self.tell_sums(now);
        while let Some(id) = self.table.pop_timer(now) {
            let Some(transfer) = self.table.get_mut(id) else {
                continue;
            };
            let early = now < transfer.deadline();
            let expired = match &mut transfer.state {
                State::Asking | State::Opening(_) if early => Expired::Early,
                State::Asking | State::Opening(_) => Expired::DataLate,
                State::Running { flow, .. } => flow.handle_timeout(now),
            };
            match expired {
                Expired::Early | Expired::Retransmit => self.settle(now, id),
                Expired::GiveUp => self.finish(now, id, Outcome::TimedOut),
                Expired::DataLate => {
                    let text = format!("server is too slow: {}", transfer.filename);
                    let refusal = Refusal::new(ErrorCode::NOT_DEFINED, text);
                    self.finish(now, id, Outcome::Failed(refusal));
                }
            }
        }
    }

    /// Puts off the next timer, if it goes off before `horizon` and its transfer has put off its
    /// deadline since: so that a driver that cannot wait exactly sees how far off the deadline is.
    #[cfg(feature = "tokio")]
    pub(crate) fn put_off_timer(&mut self, horizon: Instant) {
        if let Some(id) = self.table.pop_timer(horizon) {
            self.table.arm(id);
        }
    }

    /// When to call [`handle_timeout`](Self::handle_timeout) next: at the earliest deadline, or
    /// somewhat before. `None`: nothing is scheduled.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let timers = self.table.next_timer().into_iter();
        timers.chain(self.noise.due()).min()
    }

    /// Puts datagrams into `out` in place of what is there, all to one destination and within
    /// `limit`, and says how to send them. `None`: there is nothing to send now.
    pub fn poll_transmit(
        &mut self,
        now: Now,
        limit: BatchLimit,
        out: &mut SendBuffer,
    ) -> Option<Transmit> {
        out.clear();
        if let Some(reply) = self.replies.pop() {
            out.make(|made| reply.encode(made));
            if reply.closes {
                let socket = reply.socket;
                self.close(socket);
            }
            let to = Destination::Unicast(reply.peer.remote);
            let transmit = Transmit::new(reply.socket, to, out.len());
            return Some(transmit.with_source(reply.peer.local_ip));
        }
        while let Some(id) = self.ready.pop_front() {
            let Some(transfer) = self.table.get_mut(id) else {
                continue;
            };
            transfer.queued = false;
            let State::Running { socket, flow, .. } = &mut transfer.state else {
                continue;
            };
            let Some(segment_size) = flow.fill(now.mono, limit, out) else {
                continue;
            };
            let to = Destination::Unicast(transfer.peer.remote);
            let mut transmit =
                Transmit::new(*socket, to, out.len()).with_source(transfer.peer.local_ip);
            transmit.segment_size = segment_size;
            if !flow.is_verified() {
                self.table.greeted(now.mono, id);
            }
            self.settle(now.mono, id);
            return Some(transmit);
        }
        None
    }

    /// The next thing that only the driver can do, or may want to know.
    pub fn poll_output(&mut self) -> Option<Output> {
        let output = self.outputs.pop_front();
        if let Some(Output::CloseSocket { socket }) = &output {
            self.closing.remove(socket);
        }
        if output.is_none() && self.events_lost > 0 {
            let count = std::mem::take(&mut self.events_lost);
            return Some(Output::Event(Event::EventsLost { count }));
        }
        output
    }

    /// How much is kept: outputs, transfers in turn, unanswered ones, remembered ones. For fuzzing.
    pub(crate) fn sizes(&self) -> [usize; 4] {
        [
            self.outputs.len(),
            self.ready.len(),
            self.table.unanswered(),
            self.remembered.len(),
        ]
    }

    /// After a transfer's state has changed: asks for data, queues it for sending, sets its timer.
    pub(crate) fn settle(&mut self, now: Instant, id: TransferId) {
        let is_crowded = self.is_crowded();
        let Some(transfer) = self.table.get_mut(id) else {
            return;
        };
        if let Some(flow) = transfer.flow_mut()
            && let Some((offset, len)) = flow.poll_want(now, is_crowded)
        {
            self.outputs.push_back(Output::Want {
                transfer: id,
                offset,
                len,
            });
        }
        if let State::Running { flow, .. } = &transfer.state
            && !transfer.queued
            && flow.is_ready()
        {
            transfer.queued = true;
            self.ready.push_back(id);
        }
        self.table.arm(id);
    }

    fn started(&mut self, id: TransferId, len: u64) {
        let Some(transfer) = self.table.get_mut(id) else {
            return;
        };
        let (peer, filename) = (transfer.peer, transfer.filename.clone());
        let Some(flow) = transfer.flow_mut() else {
            return;
        };
        let negotiated = flow.negotiated;
        self.event(Event::TransferStarted {
            transfer: id,
            peer,
            filename,
            len,
            negotiated,
        });
    }

    /// Ends a transfer: the client is told where it does not know, and so is the operator.
    pub(crate) fn finish(&mut self, now: Instant, id: TransferId, outcome: Outcome) {
        let Some(transfer) = self.table.remove(id) else {
            return;
        };
        if transfer.queued {
            self.ready.retain(|queued| *queued != id);
        }
        self.borrowed_bytes -= transfer.borrowed_bytes;
        let Transfer {
            peer,
            listener,
            filename,
            ..
        } = transfer;
        let told = match &outcome {
            Outcome::Failed(refusal) => Some(refusal.clone()),
            Outcome::TimedOut => Some(Refusal::new(
                ErrorCode::NOT_DEFINED,
                "transfer timed out: no acknowledgment",
            )),
            _ => None,
        };
        let (socket, owned, flow) = match transfer.state {
            State::Asking => (listener, false, None),
            State::Opening(flow) => (listener, false, Some(flow)),
            State::Running {
                socket,
                owned,
                flow,
            } => (socket, owned, Some(flow)),
        };
        match told {
            Some(refusal) => self.reply(now, socket, peer, &refusal, owned),
            // A reply to a stray may still have to leave by it.
            None if owned && !self.replies.close_after(socket) => self.close(socket),
            None => {}
        }
        if owned {
            self.closing.insert(socket);
        } else {
            let until = now + transfer.config.retransmit_max;
            let remembered_max = self.config.limits.remembered_max;
            self.remembered
                .insert((peer.remote, socket), until, remembered_max);
        }
        self.outputs.push_back(Output::Release { transfer: id });
        let event = match (flow, outcome) {
            (Some(flow), outcome) => Event::TransferFinished {
                transfer: id,
                peer,
                filename,
                report: Report {
                    outcome,
                    negotiated: flow.negotiated,
                    bytes: flow.bytes_acknowledged(),
                    blocks: flow.blocks_acknowledged(),
                    retransmits: flow.retransmits(),
                    stray_acks: flow.stray_acks(),
                    duration: now.saturating_duration_since(transfer.received_at),
                },
            },
            (None, Outcome::Failed(refusal)) => Event::Refused {
                transfer: Some(id),
                peer,
                opcode: Opcode::RRQ,
                filename,
                refusal,
            },
            (None, _) => Event::RequestDropped {
                transfer: id,
                peer,
                filename,
            },
        };
        self.event(event);
    }

    /// Queues an ERROR; `closes`: the socket is closed after it.
    pub(crate) fn reply(
        &mut self,
        now: Instant,
        socket: SocketId,
        peer: Peer,
        refusal: &Refusal,
        closes: bool,
    ) {
        let reply = Reply {
            socket,
            peer,
            refusal: refusal.clone(),
            closes,
        };
        if !self.replies.push(reply, self.config.limits.replies_max) {
            if closes && !self.replies.close_after(socket) {
                self.close(socket);
            }
            self.limit_reached(now, Limit::Replies, peer);
        }
    }

    fn close(&mut self, socket: SocketId) {
        self.closing.insert(socket);
        self.outputs.push_back(Output::CloseSocket { socket });
    }

    /// Queues an ERROR for somebody who did not ask for anything, if there were not too many.
    fn reply_to_stray(&mut self, now: Instant, socket: SocketId, peer: Peer, refusal: &Refusal) {
        if self
            .strays
            .take(now, self.config.limits.stray_replies_per_second)
        {
            self.reply(now, socket, peer, refusal, false);
        } else {
            self.limit_reached(now, Limit::StrayReplies, peer);
        }
    }

    pub(crate) fn limit_reached(&mut self, now: Instant, limit: Limit, peer: Peer) {
        let noise = Noise::LimitReached(limit);
        self.noise(now, noise, || Event::LimitReached { limit, peer });
    }

    /// Tells what peers can cause by one packet each; it is only made if it is told.
    pub(crate) fn noise(&mut self, now: Instant, noise: Noise, event: impl FnOnce() -> Event) {
        self.tell_sums(now);
        let per_second = self.config.limits.noise_events_per_second;
        if self.noise.take(now, noise, per_second) {
            self.event(event());
        }
    }

    fn tell_sums(&mut self, now: Instant) {
        for (noise, count) in self.noise.sums(now) {
            self.event(Event::Untold { noise, count });
        }
    }

    pub(crate) fn event(&mut self, event: Event) {
        if self.outputs.len() < self.config.limits.outputs_max {
            self.outputs.push_back(Output::Event(event));
        } else {
            self.events_lost += 1;
        }
    }
}

/// The address without IPv6's flow label, which a client may change between packets.
pub(crate) fn without_flow(mut address: SocketAddr) -> SocketAddr {
    if let SocketAddr::V6(v6) = &mut address {
        v6.set_flowinfo(0);
    }
    address
}
