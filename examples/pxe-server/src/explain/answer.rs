//! What the engine says to that request.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use pxe_core::{BatchLimit, IfIndex, Instant, Now, RecvMeta, SocketId, UnixTime};
use pxe_dhcp::wire::{Message, OptionCode};
use pxe_dhcp::{Boot, Engine, Event, Explanation, Mode, Output, ProbeResult, Stage};

use super::{Args, client};
use crate::assemble::{self, Reasons};
use crate::config::Config;

/// What the machine is told.
#[derive(Debug, Default)]
pub(super) struct Told {
    /// The server's address towards it, and whether that is only supposed.
    pub(super) server: Option<(Ipv4Addr, bool)>,
    pub(super) boot: Boot,
    pub(super) next_server: Option<Ipv4Addr>,
    pub(super) explanation: Explanation,
    /// Why there is no reply.
    pub(super) silence: Option<String>,
    /// The reply's bytes.
    pub(super) reply: Option<Vec<u8>>,
    /// The address in it, and by what the machine gets it.
    pub(super) address: Option<(Ipv4Addr, String)>,
}

impl Told {
    /// Asks the engine that this configuration makes.
    pub(super) fn to(args: &Args, config: &Config) -> Result<Self, String> {
        let Some(dhcp) = &config.dhcp else {
            return Self::nothing(args, config);
        };
        let config_of_engine = assemble::dhcp(config, dhcp);
        let mut told = Self::default();
        let (server, is_supposed) = server(args, config, &config_of_engine);
        told.server = Some((server, is_supposed));
        let mode = config_of_engine.mode;
        let policy = assemble::policy(config, Reasons::All);
        let mut engine = Engine::new(config_of_engine, policy, 0)
            .map_err(|error| format!("{}: {error}", config.file.display()))?;
        let from = |ip: Ipv4Addr, port| {
            let meta = RecvMeta::new(SocketId(0), SocketAddr::from((ip, port)));
            let meta = meta.with_local_ip(IpAddr::V4(server));
            match IfIndex::new(1) {
                Some(interface) => meta.with_interface(interface),
                None => meta,
            }
        };
        let now = Now::new(Instant::EPOCH, UnixTime::from_seconds(0));
        let sender = args.relay.unwrap_or(Ipv4Addr::UNSPECIFIED);
        let discover = client::discover(args)?;
        engine.handle_datagram(now, &from(sender, 67), &discover);
        told.read(&mut engine, now);
        if mode == Mode::Binl || (mode == Mode::Proxy && told.asks_again(args)) {
            let address = args.address.unwrap_or(Ipv4Addr::new(192, 0, 2, 1));
            let request = client::binl_request(args, address)?;
            engine.handle_binl_datagram(now, &from(address, 4011), &request);
            told.read(&mut engine, now);
        }
        told.find_address(&engine);
        Ok(told)
    }

    /// Where only files are served: what becomes of a path can be said all the same.
    fn nothing(args: &Args, config: &Config) -> Result<Self, String> {
        let reason = "no [dhcp]: this server tells no machine what to boot";
        if args.path.is_none() {
            return Err(format!("{} has {reason}", config.file.display()));
        }
        Ok(Self {
            silence: Some(reason.to_owned()),
            ..Self::default()
        })
    }

    /// Whether a proxy's offer has the machine ask at port 4011: UEFI's has no option 43, and then
    /// what is told there counts.
    fn asks_again(&self, args: &Args) -> bool {
        let reply = self.reply.as_deref();
        let message = reply.and_then(|bytes| Message::parse(bytes).ok());
        client::stage_of(args) == Stage::Pxe
            && message.is_some_and(|offer| offer.option(OptionCode::VENDOR_SPECIFIC).is_none())
    }

    fn read(&mut self, engine: &mut Engine, now: Now) {
        while let Some(output) = engine.poll_output() {
            match output {
                Output::Probe { ticket, .. } => {
                    engine.handle_probed(now, ticket, ProbeResult::Free);
                }
                Output::Event(event) => self.see(event),
                _ => {}
            }
        }
        let mut reply = Vec::new();
        let is_answered = engine
            .poll_transmit(now, BatchLimit::ONE, &mut reply)
            .is_some();
        self.reply = is_answered.then_some(reply);
        if is_answered {
            self.silence = None;
        }
    }

    fn see(&mut self, event: Event) {
        match event {
            Event::Offered {
                boot,
                next_server,
                explanation,
                ..
            }
            | Event::ProxyOffered {
                boot,
                next_server,
                explanation,
                ..
            }
            | Event::BootServerAcknowledged {
                boot,
                next_server,
                explanation,
                ..
            } => {
                // No boot server either is told to whom is denied its boot.
                self.next_server = (boot != Boot::Denied).then_some(next_server);
                (self.boot, self.explanation) = (boot, explanation);
            }
            Event::NotBooted {
                boot, explanation, ..
            } => {
                let silence = match boot {
                    Boot::Denied => "it is denied its boot",
                    _ => "there is nothing for it to boot",
                };
                self.silence = Some(silence.to_owned());
                (self.boot, self.explanation) = (boot, explanation);
            }
            Event::Ignored { reason, .. } => self.silence = Some(reason.to_string()),
            Event::PoolExhausted { subnet, .. } => {
                self.silence = Some(format!("{subnet} has no address for it"));
            }
            Event::ReplyTooLong { limit, .. } => {
                self.silence = Some(format!("the reply does not fit {limit} bytes"));
            }
            _ => {}
        }
    }

    fn find_address(&mut self, engine: &Engine) {
        let reply = self.reply.as_deref();
        let message = reply.and_then(|bytes| Message::parse(bytes).ok());
        let Some(address) = message.and_then(|message| message.yiaddr()) else {
            return;
        };
        let subnets = &engine.config().subnets;
        let subnet = subnets.iter().find(|one| one.network.contains(address));
        let why = subnet.and_then(|subnet| {
            let mut reserved = subnet.reservations.iter();
            if reserved.any(|one| Some(address) == one.address) {
                return Some("reserved for it".to_owned());
            }
            let pool = subnet.pools.iter().find(|pool| pool.contains(&address))?;
            let (first, last) = (pool.start(), pool.end());
            Some(format!(
                "of the pool {first} to {last}, or the one of its last lease"
            ))
        });
        self.address = Some((address, why.unwrap_or_default()));
    }
}

/// Our address towards the machine: the one that is told, or one that is likely.
fn server(args: &Args, config: &Config, engine: &pxe_dhcp::Config) -> (Ipv4Addr, bool) {
    if let Some(server) = args.server {
        return (server, false);
    }
    let place = args.relay.or(args.address);
    let mut subnets = engine.subnets.iter();
    let subnet = match place {
        Some(place) => subnets.find(|subnet| subnet.network.contains(place)),
        None => subnets.next(),
    };
    if let Some(server) = subnet.and_then(|subnet| subnet.server_ip) {
        return (server, false);
    }
    let listen = config.dhcp.iter().flat_map(|dhcp| &dhcp.listen);
    let known: Vec<Ipv4Addr> = listen.copied().collect();
    let is_near = |one: &Ipv4Addr| {
        args.relay.is_some() || subnet.is_none_or(|subnet| subnet.network.contains(*one))
    };
    if let Some(server) = known.into_iter().find(is_near) {
        return (server, false);
    }
    let network = subnet.map(|subnet| subnet.network.network());
    let first = network.map(|network| Ipv4Addr::from_bits(network.to_bits() | 1));
    (first.unwrap_or(Ipv4Addr::LOCALHOST), true)
}
