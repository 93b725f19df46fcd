//! Whom a server asked by TLS has to be vouched for by (RFC 7858 section 4.2, RFC 8310).

use hickory_resolver::TlsConfig;
use hickory_resolver::net::tls::default_provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};

use super::{ForwardConfigError, Upstream};

/// How servers are asked by TLS: only those whose certificate is good are.
pub(super) fn config<'a>(
    upstreams: impl Iterator<Item = (&'a Upstream, &'a str)>,
    roots: Option<&[u8]>,
) -> Result<TlsConfig, ForwardConfigError> {
    let error = |reason: String| ForwardConfigError::Roots { reason };
    let mut config = TlsConfig::new().map_err(|why| error(why.to_string()))?;
    for (upstream, name) in upstreams {
        let upstream = || upstream.clone();
        if ServerName::try_from(name).is_err() {
            let upstream = upstream();
            return Err(ForwardConfigError::ServerName { upstream });
        }
        if roots.is_none() {
            let upstream = upstream();
            return Err(ForwardConfigError::NoRoots { upstream });
        }
    }
    if let Some(pem) = roots {
        config.config = ClientConfig::builder_with_provider(default_provider().into())
            .with_safe_default_protocol_versions()
            .map_err(|why| error(why.to_string()))?
            .with_root_certificates(root_store(pem)?)
            .with_no_client_auth();
    }
    Ok(config)
}

fn root_store(pem: &[u8]) -> Result<RootCertStore, ForwardConfigError> {
    let error = |reason: String| ForwardConfigError::Roots { reason };
    let certificates = CertificateDer::pem_slice_iter(pem).collect::<Result<Vec<_>, _>>();
    let certificates = certificates.map_err(|why| error(why.to_string()))?;
    let mut store = RootCertStore::empty();
    // A system's file may have some that are too old to be read.
    let (used, _) = store.add_parsable_certificates(certificates);
    match used {
        0 => Err(error("there are none".to_owned())),
        _ => Ok(store),
    }
}
