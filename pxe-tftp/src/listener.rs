//! Requests: whether they become transfers.

use std::net::IpAddr;
use std::sync::Arc;

use bytes::Bytes;
use pxe_core::{Instant, SocketId};

use crate::engine::Engine;
use crate::error::Refusal;
use crate::event::{Event, Filename, Limit, Noise, Outcome, Peer, TransferId};
use crate::flow::Repeated;
use crate::negotiate::{Mode, Requested};
use crate::output::{Incoming, Output};
use crate::transfer::{State, Transfer};
use crate::wire::{ErrorCode, Opcode, Request};

impl Engine {
    pub(crate) fn handle_read_request(
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
            return self.noise(now, Noise::BroadcastIgnored, || Event::BroadcastIgnored {
                peer,
                filename,
            });
        }
        if let Err(refusal) = self.admit(now, &request, payload.len(), peer) {
            return self.refuse_request(now, listener, peer, Opcode::RRQ, &request, refusal);
        }
        let Some(mode) = Mode::from_wire(request.mode) else {
            let mode = String::from_utf8_lossy(request.mode)
                .escape_debug()
                .to_string();
            let text = format!("transfer mode is not octet or netascii: {mode}");
            let refusal = Refusal::new(ErrorCode::ILLEGAL_OPERATION, text);
            return self.refuse_request(now, listener, peer, Opcode::RRQ, &request, refusal);
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
            listener,
            peer,
            filename,
            mode,
            options,
        }));
    }

    pub(crate) fn handle_write_request(
        &mut self,
        now: Instant,
        listener: SocketId,
        peer: Peer,
        request: &Request<'_>,
    ) {
        let name = Filename::new(Bytes::copy_from_slice(request.filename));
        let text = format!("this server takes no files: {name}");
        let refusal = Refusal::new(ErrorCode::ACCESS_VIOLATION, text);
        self.refuse_request(now, listener, peer, Opcode::WRQ, request, refusal);
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
        self.noise(now, Noise::RequestRepeated, || Event::RequestRepeated {
            transfer: id,
            peer,
            answered,
        });
        true
    }

    /// Checks the bounds on requests.
    fn admit(
        &mut self,
        now: Instant,
        request: &Request<'_>,
        request_bytes: usize,
        peer: Peer,
    ) -> Result<(), Refusal> {
        let config = Arc::clone(&self.config);
        let limits = &config.limits;
        let ip = peer.remote.ip();
        let of_remote = self.table.with_ip(ip);
        let limit = if self.draining {
            let text = "server is shutting down";
            return Err(Refusal::new(ErrorCode::NOT_DEFINED, text));
        } else if request.filename.len() > limits.filename_bytes_max {
            let text = format!("file name of {} bytes is too long", request.filename.len());
            return Err(Refusal::new(ErrorCode::NOT_DEFINED, text));
        } else if request_bytes > limits.request_bytes_max {
            let text = format!("request of {request_bytes} bytes is too long");
            return Err(Refusal::new(ErrorCode::ILLEGAL_OPERATION, text));
        } else if self.table.asking() >= limits.incoming_max {
            Limit::Incoming
        } else if self.outputs.len() >= limits.outputs_max {
            Limit::Outputs
        } else if of_remote.saturating_add(self.elsewhere_of_remote)
            >= limits.transfers_per_remote_max
            && !self.displace(now, self.table.longest_unanswered_of(ip))
        {
            Limit::TransfersPerRemote
        } else if !self.make_place(now) {
            Limit::Transfers
        } else {
            return Ok(());
        };
        self.limit_reached(now, limit, peer);
        let text = format!("server busy: {limit}");
        Err(Refusal::new(ErrorCode::NOT_DEFINED, text))
    }

    /// Sees to it that there is a place for one more, if that can be.
    fn make_place(&mut self, now: Instant) -> bool {
        let transfers_max = self.config.limits.transfers_max;
        // Engines that take places at the same moment may have taken one too many between them.
        while self.table.len().saturating_add(self.elsewhere) >= transfers_max {
            let longest = self.table.unanswered_at(0);
            if !self.displace(now, longest) && !self.displace_elsewhere(now) {
                return false;
            }
        }
        true
    }

    /// Ends the transfer that has been unanswered for longest, if that is long enough. Not by an
    /// ERROR: if its client is no invention, it may ask again.
    pub(crate) fn displace(
        &mut self,
        now: Instant,
        longest: Option<(Instant, TransferId)>,
    ) -> bool {
        let Some((_, id)) = longest.filter(|(since, _)| self.is_silent(now, *since)) else {
            return false;
        };
        self.finish(now, id, Outcome::Displaced);
        true
    }

    /// Has another engine do so.
    fn displace_elsewhere(&mut self, now: Instant) -> bool {
        let longest = self.unanswered_elsewhere.take();
        if self.elsewhere == 0 || !longest.is_some_and(|since| self.is_silent(now, since)) {
            return false;
        }
        self.elsewhere -= 1;
        self.displacements = self.displacements.saturating_add(1);
        true
    }

    fn is_silent(&self, now: Instant, since: Instant) -> bool {
        now.saturating_duration_since(since) >= self.config.limits.displaced_after
    }

    /// Answers a request that never becomes a transfer.
    fn refuse_request(
        &mut self,
        now: Instant,
        listener: SocketId,
        peer: Peer,
        opcode: Opcode,
        request: &Request<'_>,
        refusal: Refusal,
    ) {
        self.reply(now, listener, peer, &refusal, false);
        let filename = self.filename_of(request);
        self.noise(now, Noise::Refused, || Event::Refused {
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
}

fn is_broadcast_or_multicast(ip: IpAddr) -> bool {
    ip.is_multicast() || matches!(ip, IpAddr::V4(v4) if v4.is_broadcast())
}
