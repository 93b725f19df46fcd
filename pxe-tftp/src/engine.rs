//! The engine: datagrams, answers of the driver and the time go in; datagrams, wishes and events
//! come out.

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use bytes::Bytes;
use pxe_core::{
    BatchLimit, Destination, IfIndex, Instant, Now, RecvMeta, SendFailure, SocketId, Transmit,
};

use crate::config::{Config, PortMode};
use crate::error::Refusal;
use crate::event::{Event, Filename, Limit, Outcome, Peer, PeerMessage, Report, TransferId};
use crate::flow::{Acked, Expired, Flow, Repeated};
use crate::negotiate::{Mode, Requested, Terms, blksize_of_mtu, negotiate};
use crate::reply::{RateLimit, Remembered, Replies, Reply};
use crate::transfer::{State, Table, Transfer};
use crate::wire::{ErrorCode, Opcode, Options, Packet, Request};

/// A TFTP server without sockets, files, threads or clocks: see the [crate's page](crate).
#[derive(Debug, Default)]
pub struct Engine {
    config: Arc<Config>,
    /// New requests are refused.
    draining: bool,
    table: Table,
    /// Transfers that have something to send, each once; served in turn.
    ready: VecDeque<TransferId>,
    replies: Replies,
    outputs: VecDeque<Output>,
    events_lost: u64,
    remembered: Remembered,
    strays: RateLimit,
}

/// What only the driver can do, and what it may want to know.
#[derive(Debug)]
#[non_exhaustive]
pub enum Output {
    /// A client asks for a file: answer with [`Engine::accept`] or [`Engine::refuse`].
    Incoming(Incoming),
    /// A transfer needs a socket of its own: answer with [`Engine::handle_socket_opened`] or
    /// [`Engine::handle_socket_failed`].
    #[non_exhaustive]
    OpenSocket {
        /// For which transfer.
        transfer: TransferId,
        /// To be bound to this address, where one was asked; its family is the remote's.
        local_ip: Option<IpAddr>,
        /// The client.
        remote: SocketAddr,
        /// The interface that the request came in on; link-local addresses need it.
        interface: Option<IfIndex>,
    },
    /// A transfer's own socket is no longer needed; all that was to leave by it has been polled.
    #[non_exhaustive]
    CloseSocket {
        /// The socket.
        socket: SocketId,
    },
    /// A transfer needs data: answer with [`Engine::handle_data`] or
    /// [`Engine::handle_data_failure`]. Each transfer asks for one range at a time.
    #[non_exhaustive]
    Want {
        /// Which transfer.
        transfer: TransferId,
        /// Where the range begins, in bytes.
        offset: u64,
        /// How long it is, in bytes. It ends at a multiple of
        /// [`Config::chunk_bytes`](crate::Config::chunk_bytes) or the end of the file.
        len: usize,
    },
    /// A transfer is over: the driver can let go of its file. Its number comes not again.
    #[non_exhaustive]
    Release {
        /// Which transfer.
        transfer: TransferId,
    },
    /// Something an operator may want to know.
    Event(Event),
}

/// A read request that waits for its file. Answer it with [`Engine::accept`] or
/// [`Engine::refuse`]; a client whose request is not answered gets an ERROR after
/// [`Limits::accept_timeout`](crate::Limits::accept_timeout).
#[derive(Debug)]
#[must_use = "the client waits for `accept` or `refuse`"]
pub struct Incoming {
    transfer: TransferId,
    peer: Peer,
    filename: Filename,
    mode: Mode,
    options: Requested,
}

impl Incoming {
    /// The number of the transfer to be.
    pub const fn transfer(&self) -> TransferId {
        self.transfer
    }

    /// Who asks whom.
    pub const fn peer(&self) -> &Peer {
        &self.peer
    }

    /// The name as sent.
    pub const fn filename(&self) -> &Filename {
        &self.filename
    }

    /// The mode that the client asks for.
    pub const fn mode(&self) -> Mode {
        self.mode
    }

    /// The known options that the client asks for.
    pub const fn options(&self) -> Requested {
        self.options
    }
}

/// What the engine has to know of a file, and of the path to the client, to send it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct FileInfo {
    /// The file's length, in bytes. The transfer ends there, and not before: a file that turns out
    /// shorter is an error.
    pub len: u64,
    /// The MTU of the interface towards the client, in bytes. Unknown, no block size is too large,
    /// and each block leaves by a call of its own.
    pub mtu: Option<u32>,
}

impl FileInfo {
    /// A file of `len` bytes, and an unknown MTU.
    pub const fn new(len: u64) -> Self {
        Self { len, mtu: None }
    }

    /// The same, with the MTU towards the client.
    #[must_use]
    pub const fn with_mtu(mut self, mtu: Option<u32>) -> Self {
        self.mtu = mtu;
        self
    }
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
        let own = self.table.of_socket(meta.socket);
        match (Packet::decode(payload), own) {
            (Err(error), _) => {
                self.event(Event::Malformed { peer, error });
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
                let refusal = Refusal::new(
                    ErrorCode::ACCESS_VIOLATION,
                    format!("this server takes no files: {}", name_of(&request)),
                );
                self.refuse_request(meta.socket, peer, Opcode::WRQ, &request, refusal);
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

    fn handle_read_request(
        &mut self,
        now: Instant,
        listener: SocketId,
        peer: Peer,
        request: Request<'_>,
        payload: &[u8],
    ) {
        if let Some(id) = self.table.of_request(peer.remote, listener)
            && self.absorb_repeated(now, id, peer, payload)
        {
            return;
        }
        if peer.local_ip.is_some_and(is_broadcast_or_multicast) {
            let filename = self.filename_of(&request);
            return self.event(Event::BroadcastIgnored { peer, filename });
        }
        if let Err(refusal) = self.admit(&request, payload.len(), peer) {
            return self.refuse_request(listener, peer, Opcode::RRQ, &request, refusal);
        }
        let Some(mode) = Mode::from_wire(request.mode) else {
            let mode = String::from_utf8_lossy(request.mode)
                .escape_debug()
                .to_string();
            let text = format!("transfer mode is not octet or netascii: {mode}");
            let refusal = Refusal::new(ErrorCode::ILLEGAL_OPERATION, text);
            return self.refuse_request(listener, peer, Opcode::RRQ, &request, refusal);
        };
        let filename = self.filename_of(&request);
        let options = Requested::from_wire(&request.options);
        let transfer = self.table.insert(Transfer::new(
            peer,
            listener,
            Bytes::copy_from_slice(payload),
            filename.clone(),
            mode,
            now,
            Arc::clone(&self.config),
        ));
        self.table.arm(transfer);
        self.event(Event::RequestReceived {
            transfer,
            peer,
            filename: filename.clone(),
            mode,
            options,
        });
        self.outputs.push_back(Output::Incoming(Incoming {
            transfer,
            peer,
            filename,
            mode,
            options,
        }));
    }

    /// Deals with a request from where a transfer runs; `false` if a new one is to begin.
    ///
    /// lpxelinux repeats a request after 60 ms and uses one port for all its files: a second
    /// transfer for the repetition would send it the wrong file later.
    fn absorb_repeated(
        &mut self,
        now: Instant,
        id: TransferId,
        peer: Peer,
        payload: &[u8],
    ) -> bool {
        let Some(transfer) = self.table.get_mut(id) else {
            return false;
        };
        let repeated = if transfer.request != payload {
            Repeated::Restart
        } else {
            match &mut transfer.state {
                State::Asking | State::Opening(_) => Repeated::Absorbed,
                State::Running { flow, .. } => flow.handle_repeated_request(now),
            }
        };
        let answered = match repeated {
            Repeated::Restart => {
                self.finish(now, id, Outcome::Superseded);
                return false;
            }
            Repeated::Answered => true,
            Repeated::Absorbed => false,
        };
        self.settle(now, id);
        self.event(Event::RequestRepeated {
            transfer: id,
            peer,
            answered,
        });
        true
    }

    /// Checks the bounds on requests.
    fn admit(
        &mut self,
        request: &Request<'_>,
        request_bytes: usize,
        peer: Peer,
    ) -> Result<(), Refusal> {
        let limits = &self.config.limits;
        let limit = if self.draining {
            let text = "server is shutting down";
            return Err(Refusal::new(ErrorCode::NOT_DEFINED, text));
        } else if request.filename.len() > limits.filename_bytes_max {
            let text = format!("file name of {} bytes is too long", request.filename.len());
            return Err(Refusal::new(ErrorCode::NOT_DEFINED, text));
        } else if request_bytes > limits.request_bytes_max {
            let text = format!("request of {request_bytes} bytes is too long");
            return Err(Refusal::new(ErrorCode::ILLEGAL_OPERATION, text));
        } else if self.table.len() >= limits.transfers_max {
            Limit::Transfers
        } else if self.table.with_ip(peer.remote.ip()) >= limits.transfers_per_remote_max {
            Limit::TransfersPerRemote
        } else if self.table.asking() >= limits.incoming_max {
            Limit::Incoming
        } else if self.outputs.len() >= limits.outputs_max {
            Limit::Outputs
        } else {
            return Ok(());
        };
        self.event(Event::LimitReached { limit, peer });
        let text = format!("server busy: {limit}");
        Err(Refusal::new(ErrorCode::NOT_DEFINED, text))
    }

    /// Answers a request that never becomes a transfer.
    fn refuse_request(
        &mut self,
        listener: SocketId,
        peer: Peer,
        opcode: Opcode,
        request: &Request<'_>,
        refusal: Refusal,
    ) {
        self.reply(listener, peer, &refusal, false);
        let filename = self.filename_of(request);
        self.event(Event::Refused {
            transfer: None,
            peer,
            opcode,
            filename,
            refusal,
        });
    }

    /// The name, cut off where it is too long to be kept.
    fn filename_of(&self, request: &Request<'_>) -> Filename {
        let len = request.filename.len();
        let len = len.min(self.config.limits.filename_bytes_max);
        let name = request.filename.get(..len).unwrap_or_default();
        Filename::new(Bytes::copy_from_slice(name))
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
                    Acked::Advanced => self.settle(now, id),
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
                let opcode = packet.opcode();
                self.event(Event::UnknownTransfer { peer, opcode });
            }
        }
    }

    /// Deals with a packet that belongs to no transfer of its sender.
    fn handle_stray(&mut self, now: Instant, socket: SocketId, peer: Peer, packet: &Packet<'_>) {
        let opcode = packet.opcode();
        let late = self.remembered.contains(now, (peer.remote, socket));
        self.event(Event::UnknownTransfer { peer, opcode });
        // A late ACK of a transfer that is over is no reason for an ERROR; and to an ERROR,
        // there is no answer (RFC 1350 section 7).
        if late || opcode == Opcode::ERROR {
            return;
        }
        let refusal = Refusal::new(ErrorCode::UNKNOWN_TRANSFER_ID, "unknown transfer ID");
        self.reply_to_stray(now, socket, peer, &refusal);
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
        let remote = transfer.peer.remote.ip();
        let terms = Terms {
            mode: transfer.mode,
            remote,
            len: file.len,
            mtu: file.mtu,
        };
        let config = Arc::clone(&transfer.config);
        let (negotiated, oack) = negotiate(&options, terms, &config);
        // A block that would be fragmented cannot be a segment of an offloaded send.
        let segmentation = file
            .mtu
            .is_some_and(|mtu| u32::from(negotiated.blksize) <= blksize_of_mtu(mtu, remote));
        let single_port = config.ports == PortMode::Single;
        let flow = Flow::new(now, config, negotiated, oack, file.len, segmentation);
        let (local_ip, remote) = (transfer.peer.local_ip, transfer.peer.remote);
        let interface = transfer.peer.interface;
        if !self.table.accept(id, flow, single_port) {
            return false;
        }
        if single_port {
            self.started(id, file.len);
        } else {
            self.outputs.push_back(Output::OpenSocket {
                transfer: id,
                local_ip,
                remote,
                interface,
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
            self.outputs.push_back(Output::CloseSocket { socket });
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
        match flow.handle_data(offset, data) {
            Ok(_) => self.settle(now.mono, transfer),
            Err(crate::content::Unexpected) => {
                let text = format!("file is shorter than expected: {}", entry.filename);
                let refusal = Refusal::new(ErrorCode::NOT_DEFINED, text);
                self.finish(now.mono, transfer, Outcome::Failed(refusal));
            }
        }
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

    /// Does what is due. Early and repeated calls are harmless.
    pub fn handle_timeout(&mut self, now: Now) {
        let now = now.mono;
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

    /// When to call [`handle_timeout`](Self::handle_timeout) next: at the earliest deadline, or
    /// somewhat before. `None`: nothing is scheduled.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.table.next_timer()
    }

    /// Appends datagrams to `buf`, all to one destination and within `limit`, and says how to
    /// send them. `None`: there is nothing to send now.
    pub fn poll_transmit(
        &mut self,
        now: Now,
        limit: BatchLimit,
        buf: &mut Vec<u8>,
    ) -> Option<Transmit> {
        let begin = buf.len();
        if let Some(reply) = self.replies.pop() {
            reply.encode(buf);
            if reply.closes {
                let socket = reply.socket;
                self.outputs.push_back(Output::CloseSocket { socket });
            }
            let to = Destination::Unicast(reply.peer.remote);
            let transmit = Transmit::new(reply.socket, to, buf.len() - begin);
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
            let Some(segment_size) = flow.fill(now.mono, limit, buf) else {
                continue;
            };
            let to = Destination::Unicast(transfer.peer.remote);
            let mut transmit =
                Transmit::new(*socket, to, buf.len() - begin).with_source(transfer.peer.local_ip);
            transmit.segment_size = segment_size;
            self.settle(now.mono, id);
            return Some(transmit);
        }
        None
    }

    /// The next thing that only the driver can do, or may want to know.
    pub fn poll_output(&mut self) -> Option<Output> {
        let output = self.outputs.pop_front();
        if output.is_none() && self.events_lost > 0 {
            let count = std::mem::take(&mut self.events_lost);
            return Some(Output::Event(Event::EventsLost { count }));
        }
        output
    }

    /// After a transfer's state has changed: asks for data, queues it for sending, sets its timer.
    fn settle(&mut self, now: Instant, id: TransferId) {
        let Some(transfer) = self.table.get_mut(id) else {
            return;
        };
        if let Some(flow) = transfer.flow_mut()
            && let Some((offset, len)) = flow.poll_want(now)
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
    fn finish(&mut self, now: Instant, id: TransferId, outcome: Outcome) {
        let Some(transfer) = self.table.remove(id) else {
            return;
        };
        if transfer.queued {
            self.ready.retain(|queued| *queued != id);
        }
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
            Some(refusal) => self.reply(socket, peer, &refusal, owned),
            None if owned => self.outputs.push_back(Output::CloseSocket { socket }),
            None => {}
        }
        if !owned {
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
    fn reply(&mut self, socket: SocketId, peer: Peer, refusal: &Refusal, closes: bool) {
        let reply = Reply {
            socket,
            peer,
            refusal: refusal.clone(),
            closes,
        };
        if !self.replies.push(reply, self.config.limits.replies_max) {
            if closes {
                self.outputs.push_back(Output::CloseSocket { socket });
            }
            let limit = Limit::Replies;
            self.event(Event::LimitReached { limit, peer });
        }
    }

    /// Queues an ERROR for somebody who did not ask for anything, if there were not too many.
    fn reply_to_stray(&mut self, now: Instant, socket: SocketId, peer: Peer, refusal: &Refusal) {
        if self
            .strays
            .take(now, self.config.limits.stray_replies_per_second)
        {
            self.reply(socket, peer, refusal, false);
        } else {
            let limit = Limit::StrayReplies;
            self.event(Event::LimitReached { limit, peer });
        }
    }

    fn event(&mut self, event: Event) {
        if self.outputs.len() < self.config.limits.outputs_max {
            self.outputs.push_back(Output::Event(event));
        } else {
            self.events_lost += 1;
        }
    }
}

fn name_of(request: &Request<'_>) -> Filename {
    Filename::new(Bytes::copy_from_slice(request.filename))
}

/// The address without IPv6's flow label, which a client may change between packets.
fn without_flow(mut address: SocketAddr) -> SocketAddr {
    if let SocketAddr::V6(v6) = &mut address {
        v6.set_flowinfo(0);
    }
    address
}

fn is_broadcast_or_multicast(ip: IpAddr) -> bool {
    ip.is_multicast() || matches!(ip, IpAddr::V4(v4) if v4.is_broadcast())
}
