//! A server that is asked, and the connections to it.

use std::sync::Arc;
use std::time::Duration;

use hickory_resolver::config::{ConnectionConfig, ResolverOpts};
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::xfer::{DnsExchange, DnsHandle, FirstAnswer};
use hickory_resolver::proto::op::{
    DnsRequest, DnsRequestOptions, DnsResponse, Message, Query, ResponseCode,
};
use hickory_resolver::proto::rr::{Name as TheirName, RecordType as TheirType};
use hickory_resolver::proto::serialize::binary::BinDecodable;
use hickory_resolver::{ConnectionProvider, PoolContext, TlsConfig};
use tokio::sync::Mutex;

use super::{ForwardLimits, Question, Upstream};

/// Octets of a datagram that we take (DNS flag day 2020).
const DATAGRAM_LEN_MAX: u16 = 1232;

type Exchange = DnsExchange<TokioRuntimeProvider>;

/// A server that is asked.
///
/// A question by UDP has a socket of its own with a port drawn by lot, and an identifier drawn by
/// lot (RFC 5452 section 9.2): both are hickory's. Questions by TCP and TLS share a connection.
pub(super) struct Server {
    upstream: Upstream,
    context: Arc<PoolContext>,
    /// Its connections end with it.
    provider: TokioRuntimeProvider,
    retransmit: Duration,
    datagrams: Option<Link>,
    stream: Link,
}

/// One way to a server: connected when it is needed, and again when it broke.
struct Link {
    config: ConnectionConfig,
    exchange: Mutex<Option<Exchange>>,
}

impl Server {
    pub(super) fn new(
        upstream: Upstream,
        context: Arc<PoolContext>,
        limits: &ForwardLimits,
    ) -> Self {
        let address = upstream.address();
        let link = |mut config: ConnectionConfig| {
            config.port = address.port();
            Link {
                config,
                exchange: Mutex::new(None),
            }
        };
        let (datagrams, stream) = match upstream.server_name() {
            None => (Some(link(ConnectionConfig::udp())), ConnectionConfig::tcp()),
            #[cfg(feature = "tls")]
            Some(name) => (None, ConnectionConfig::tls(name.into())),
            // The builder has refused it.
            #[cfg(not(feature = "tls"))]
            Some(_) => (None, ConnectionConfig::tcp()),
        };
        Self {
            datagrams,
            stream: link(stream),
            upstream,
            context,
            provider: TokioRuntimeProvider::default(),
            retransmit: limits.retransmit,
        }
    }

    pub(super) fn upstream(&self) -> &Upstream {
        &self.upstream
    }

    /// Asks. The response is one to this question, and whole.
    pub(super) async fn ask(
        &self,
        question: Question<'_>,
        case_randomization: bool,
    ) -> Result<Message, String> {
        let name = TheirName::from_bytes(question.name.as_ref().wire());
        let name = name.map_err(|error| error.to_string())?;
        let query = Query::query(name, TheirType::from(question.kind.0));
        let mut options = DnsRequestOptions::default();
        options.edns_payload_len = DATAGRAM_LEN_MAX;
        options.edns_set_dnssec_ok = question.dnssec_ok;
        options.case_randomization = case_randomization;
        options.retry_interval = self.retransmit;
        let cd = question.checking_disabled;
        let mut response = self.exchange(&query, options, cd).await?;
        let code = response.metadata.response_code;
        if matches!(code, ResponseCode::FormErr | ResponseCode::NotImp) {
            // RFC 6891 section 6.2.2: a server that does not know EDNS.
            options.use_edns = false;
            response = self.exchange(&query, options, cd).await?;
        }
        let code = response.metadata.response_code;
        let is_ours = matches!(response.queries.as_slice(), [only] if *only == query);
        if !is_ours && matches!(code, ResponseCode::NoError | ResponseCode::NXDomain) {
            return Err("a response to another question".to_owned());
        }
        Ok(response.into_message())
    }

    async fn exchange(
        &self,
        query: &Query,
        mut options: DnsRequestOptions,
        checking_disabled: bool,
    ) -> Result<DnsResponse, String> {
        let request = |options| {
            let mut request = DnsRequest::from_query(query.clone(), options);
            request.metadata.checking_disabled = checking_disabled;
            request
        };
        if let Some(datagrams) = &self.datagrams {
            match self.send(datagrams, request(options)).await {
                Ok(response) if !response.metadata.truncation => return Ok(response),
                // Perhaps forged: by TCP it cannot be.
                Ok(_) | Err(NetError::QueryCaseMismatch) => {}
                Err(error) => return Err(error.to_string()),
            }
        }
        options.case_randomization = false;
        match self.send(&self.stream, request(options)).await {
            Ok(response) if !response.metadata.truncation => Ok(response),
            Ok(_) => Err("truncated, though not by UDP".to_owned()),
            Err(error) => Err(error.to_string()),
        }
    }

    /// Asks once. A connection that was there before may have been closed: then by a new one.
    async fn send(&self, link: &Link, request: DnsRequest) -> Result<DnsResponse, NetError> {
        let kept = link.exchange.lock().await.clone();
        if let Some(exchange) = kept {
            match exchange.send(request.clone()).first_answer().await {
                Err(NetError::QueryCaseMismatch) => return Err(NetError::QueryCaseMismatch),
                Err(NetError::Timeout) => {
                    *link.exchange.lock().await = None;
                    return Err(NetError::Timeout);
                }
                // Also "busy", which is what is said of a connection that was closed.
                Err(_) => *link.exchange.lock().await = None,
                Ok(response) => return Ok(response),
            }
        }
        let exchange = self.connect(link).await?;
        exchange.send(request).first_answer().await
    }

    /// The connection, made anew if there is none. Those that need one wait for the same.
    async fn connect(&self, link: &Link) -> Result<Exchange, NetError> {
        let mut kept = link.exchange.lock().await;
        if let Some(exchange) = &*kept {
            return Ok(exchange.clone());
        }
        let ip = self.upstream.address().ip();
        let connecting = self
            .provider
            .new_connection(ip, &link.config, &self.context)?;
        let exchange = connecting.await?;
        *kept = Some(exchange.clone());
        Ok(exchange)
    }
}

/// What hickory is to know of all connections.
pub(super) fn context(limits: &ForwardLimits, tls: TlsConfig) -> Arc<PoolContext> {
    let mut options = ResolverOpts::default();
    // The whole question ends before: see `Asking::answer`.
    options.timeout = limits.deadline.saturating_mul(2);
    options.max_active_requests = limits.in_flight_max;
    Arc::new(PoolContext::new(options, tls))
}
