//! Who a server is to its clients: a certificate, and the key that proves it.

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::{self, PemObject, SectionKind};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{NoServerSessionStorage, ServerConfig};
use rustls::sign::{CertifiedKey, SigningKey, SingleCertAndKey};
use rustls::version::{TLS12, TLS13};

use super::certificate::Certificate;
use super::finite_field::{self, FiniteField};

/// Who a server is to its clients: a certificate with those between it and the CA that the clients
/// know, and the key that proves it. Clones are cheap.
///
/// # Example
///
/// ```no_run
/// use pxe_http::Identity;
///
/// let chain = std::fs::read("/etc/pxe/https.crt")?;
/// let key = std::fs::read("/etc/pxe/https.key")?;
/// let identity = Identity::from_pem(&chain, &key)?;
/// assert!(identity.certificate().is_for("10.77.0.1"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Identity {
    certificate: Arc<Certificate>,
    certified: Arc<CertifiedKey>,
    config: Arc<ServerConfig>,
}

/// Why a certificate and a key are no identity.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum IdentityError {
    /// There is no certificate where the chain should be.
    #[error("there is no certificate (`-----BEGIN CERTIFICATE-----`) in it{}", .0.hint())]
    NoCertificate(Instead),
    /// There is no key where the key should be.
    #[error("there is no private key (`-----BEGIN PRIVATE KEY-----`) in it{}", .0.hint())]
    NoKey(Instead),
    /// The key can only be read with a password, which a server that starts by itself has not.
    #[error(
        "the private key is encrypted: write it without a password (`openssl pkey -in KEY -out NEW`)"
    )]
    EncryptedKey,
    /// It is written as PEM, but damaged; this tells how.
    #[error("it is damaged: {0}")]
    DamagedPem(String),
    /// A certificate of the chain cannot be read.
    #[error("certificate {place} cannot be read")]
    BadCertificate {
        /// Which one of the file, from 1.
        place: usize,
    },
    /// A key of a kind that cannot be used.
    #[error(
        "the private key cannot be used: it has to be RSA of 2048 to 8192 bits (which every \
         firmware knows), or of the curve P-256 or P-384, or Ed25519"
    )]
    UnusableKey,
    /// The key is another certificate's.
    #[error("the private key is not the certificate's")]
    OtherKey,
    /// The key is that of a later certificate.
    #[error("the private key is that of certificate {place}: the server's own has to be the first")]
    WrongOrder {
        /// Which one of the file, from 1.
        place: usize,
    },
    /// The operating system has no randomness to give.
    #[error("the operating system gives no randomness")]
    NoRandomness,
}

impl IdentityError {
    /// Whether it is about the key; else it is about the certificates.
    pub const fn concerns_key(&self) -> bool {
        matches!(
            self,
            Self::NoKey(_) | Self::EncryptedKey | Self::UnusableKey | Self::OtherKey
        )
    }
}

/// What was there in place of what was wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Instead {
    /// Nothing that is written as PEM.
    NoPem,
    /// A private key.
    Key,
    /// A certificate.
    Certificate,
    /// A request to sign a certificate.
    Request,
    /// Something else.
    Other,
}

impl Instead {
    const fn hint(self) -> &'static str {
        match self {
            Self::NoPem => ", nor anything else that is written as PEM",
            Self::Key => ", but a private key",
            Self::Certificate => ", but a certificate",
            Self::Request => ", but a request for one, which a CA has yet to sign",
            Self::Other => "",
        }
    }

    fn of(pem: &[u8]) -> Self {
        let sections = <(SectionKind, Vec<u8>)>::pem_slice_iter(pem);
        let mut found = Self::NoPem;
        for (kind, _) in sections.flatten() {
            found = match kind {
                SectionKind::Certificate => return Self::Certificate,
                SectionKind::PrivateKey
                | SectionKind::RsaPrivateKey
                | SectionKind::EcPrivateKey => return Self::Key,
                SectionKind::Csr => return Self::Request,
                _ => Self::Other,
            };
        }
        found
    }
}

impl Identity {
    /// Reads an identity as files have it: the server's certificate, followed by those that lead
    /// from it to the CA, and its private key (PKCS #8, PKCS #1 or SEC 1), each in PEM. What else
    /// is in the files is passed over, so both may be one.
    ///
    /// It is not judged whether the certificate is valid now: clients do, by clocks of their own,
    /// and EDK2 does not. [`certificate`](Self::certificate) says what it says.
    ///
    /// # Errors
    /// What is wrong with which of the two; see [`IdentityError::concerns_key`].
    pub fn from_pem(chain: &[u8], key: &[u8]) -> Result<Self, IdentityError> {
        let chain = read_chain(chain)?;
        let key = read_key(key)?;
        let certificate = read_leaf(&chain)?;
        let certified = CertifiedKey::new(chain, key);
        match certified.keys_match() {
            Ok(()) | Err(rustls::Error::InconsistentKeys(rustls::InconsistentKeys::Unknown)) => {}
            Err(rustls::Error::InconsistentKeys(_)) => return Err(place_of_key(&certified)),
            Err(_) => return Err(IdentityError::BadCertificate { place: 1 }),
        }
        let certified = Arc::new(certified);
        Ok(Self {
            certificate: Arc::new(certificate),
            config: Arc::new(config(Arc::clone(&certified), provider())?),
            certified,
        })
    }

    /// The same for clients that know elliptic curves alone.
    ///
    /// Without this, a client that has no curve in common with us gets a key exchange in the finite
    /// field of RFC 7919, ffdhe2048, in TLS 1.2: firmware that was built without curves, as EDK2
    /// often is, has no other. RFC 9325 section 4.1 advises against it where it is not needed.
    ///
    /// # Errors
    /// The operating system has no randomness to give.
    pub fn without_finite_field(self) -> Result<Self, IdentityError> {
        let config = config(Arc::clone(&self.certified), ring::default_provider())?;
        Ok(Self {
            config: Arc::new(config),
            ..self
        })
    }

    /// What the server's certificate says of itself.
    pub fn certificate(&self) -> &Certificate {
        &self.certificate
    }

    pub(super) fn config(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.config)
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Identity").field(&self.certificate).finish()
    }
}

/// The identity that a listener has now, to be replaced while it serves: when a certificate was
/// renewed, for example. Clones are one and the same.
#[derive(Debug, Clone)]
pub struct CurrentIdentity(Arc<RwLock<Identity>>);

impl CurrentIdentity {
    /// Begins with this identity.
    pub fn new(identity: Identity) -> Self {
        Self(Arc::new(RwLock::new(identity)))
    }

    /// The identity that new connections are shown.
    pub fn get(&self) -> Identity {
        self.0
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Shows new connections another identity, and forgets the sessions of the one before.
    /// Connections that are open go on.
    pub fn replace(&self, identity: Identity) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = identity;
    }
}

impl From<Identity> for CurrentIdentity {
    fn from(identity: Identity) -> Self {
        Self::new(identity)
    }
}

fn read_chain(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, IdentityError> {
    let chain = CertificateDer::pem_slice_iter(pem).collect::<Result<Vec<_>, _>>();
    let chain = chain.map_err(|error| damage(&error))?;
    if chain.is_empty() {
        return Err(IdentityError::NoCertificate(Instead::of(pem)));
    }
    Ok(chain)
}

fn read_key(pem: &[u8]) -> Result<Arc<dyn SigningKey>, IdentityError> {
    // An encrypted key is no section that can be told from others, or is one of RSA's with a
    // header (RFC 1421 section 4.6), which looks damaged.
    let text = String::from_utf8_lossy(pem);
    if text.contains("-----BEGIN ENCRYPTED PRIVATE KEY-----") || text.contains("4,ENCRYPTED") {
        return Err(IdentityError::EncryptedKey);
    }
    let key = match PrivateKeyDer::from_pem_slice(pem) {
        Ok(key) => key,
        Err(pem::Error::NoItemsFound) => return Err(IdentityError::NoKey(Instead::of(pem))),
        Err(error) => return Err(damage(&error)),
    };
    ring::sign::any_supported_type(&key).map_err(|_| IdentityError::UnusableKey)
}

fn damage(error: &pem::Error) -> IdentityError {
    IdentityError::DamagedPem(match error {
        pem::Error::MissingSectionEnd { .. } => "a `-----BEGIN` has no `-----END`".into(),
        pem::Error::IllegalSectionStart { .. } => {
            "a line that begins with `-----BEGIN` is cut off".into()
        }
        pem::Error::Base64Decode(_) => {
            "what is between `-----BEGIN` and `-----END` is no base64".into()
        }
        error => error.to_string(),
    })
}

fn read_leaf(chain: &[CertificateDer<'_>]) -> Result<Certificate, IdentityError> {
    let mut leaf = None;
    for (der, place) in chain.iter().zip(1..) {
        let read = Certificate::read(der).ok_or(IdentityError::BadCertificate { place })?;
        leaf.get_or_insert(read);
    }
    leaf.ok_or(IdentityError::NoCertificate(Instead::Other))
}

/// To which of the later certificates the key belongs, if to any.
fn place_of_key(certified: &CertifiedKey) -> IdentityError {
    let chain = certified.cert.iter().zip(1..);
    let fits = |der: &CertificateDer<'static>| {
        CertifiedKey::new(vec![der.clone()], Arc::clone(&certified.key))
            .keys_match()
            .is_ok()
    };
    match chain.into_iter().find(|(der, _)| fits(der)) {
        Some((_, place)) => IdentityError::WrongOrder { place },
        None => IdentityError::OtherKey,
    }
}

fn config(
    certified: Arc<CertifiedKey>,
    provider: CryptoProvider,
) -> Result<ServerConfig, IdentityError> {
    let no_randomness = |_| IdentityError::NoRandomness;
    let mut config = ServerConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(&[&TLS13, &TLS12])
        // The provider has suites and groups of both.
        .map_err(|_| IdentityError::UnusableKey)?
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(SingleCertAndKey::from(certified)));
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    // The provider's order: whoever has a curve in common with us gets no finite field, which costs
    // more, whatever it would rather have.
    config.ignore_client_order = true;
    // Sessions are kept by the clients, encrypted: so they take no memory here, however many come.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.ticketer = ring::Ticketer::new().map_err(no_randomness)?;
    config.send_tls13_tickets = 1;
    Ok(config)
}

fn provider() -> CryptoProvider {
    let mut provider = ring::default_provider();
    provider.cipher_suites.extend(finite_field::cipher_suites());
    provider.kx_groups.push(&FiniteField);
    provider
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair, PKCS_RSA_SHA256};
    use rustls::{CipherSuite, ClientConfig, ClientConnection, RootCertStore, ServerConnection};

    use super::*;

    /// Made for this test, and nobody's: ring reads keys of RSA and makes none.
    const RSA_KEY: &str = include_str!("testdata/rsa.key");

    fn rsa() -> (rcgen::Certificate, KeyPair) {
        let key = KeyPair::from_pem_and_sign_algo(RSA_KEY, &PKCS_RSA_SHA256).expect("a key");
        let params = CertificateParams::new(vec!["pxe.lan".into()]).expect("a name");
        (params.self_signed(&key).expect("a certificate"), key)
    }

    fn ecdsa(name: &str) -> (String, String) {
        let key = KeyPair::generate().expect("a key");
        let params = CertificateParams::new(vec![name.into()]).expect("a name");
        let certificate = params.self_signed(&key).expect("a certificate");
        (certificate.pem(), key.serialize_pem())
    }

    fn wrong(chain: &str, key: &str) -> String {
        let error = Identity::from_pem(chain.as_bytes(), key.as_bytes()).expect_err("no identity");
        error.to_string()
    }

    /// EDK2 as OVMF of Debian 12 has it: TLS 1.2, `DHE-RSA` and no groups.
    #[test]
    fn ovmf_of_debian_12_knows_no_elliptic_curves() {
        let (identity, roots) = rsa_identity();
        for suite in finite_field::cipher_suites() {
            let provider = CryptoProvider {
                cipher_suites: vec![suite],
                kx_groups: vec![&FiniteField],
                ..ring::default_provider()
            };
            let agreed = agreed(&identity, &roots, provider).expect("a handshake");
            assert_eq!(agreed, suite.suite());
            assert!(matches!(
                agreed,
                CipherSuite::TLS_DHE_RSA_WITH_AES_128_GCM_SHA256
                    | CipherSuite::TLS_DHE_RSA_WITH_AES_256_GCM_SHA384
            ));
        }
    }

    /// Even if it would rather have the finite field; and with a certificate whose key is of a
    /// curve, it cannot be asked for at all.
    #[test]
    fn who_knows_a_curve_gets_no_finite_field() {
        let (identity, roots) = rsa_identity();
        let suites = finite_field::cipher_suites().into_iter();
        let provider = CryptoProvider {
            cipher_suites: suites
                .chain(ring::default_provider().cipher_suites)
                .collect(),
            kx_groups: vec![&FiniteField, ring::kx_group::X25519],
            ..ring::default_provider()
        };
        assert_eq!(
            agreed(&identity, &roots, provider),
            Ok(CipherSuite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384)
        );

        let (chain, key) = ecdsa("pxe.lan");
        let identity = Identity::from_pem(chain.as_bytes(), key.as_bytes()).expect("an identity");
        assert!(agreed(&identity, &roots, finite_field_alone()).is_err());
    }

    #[test]
    fn the_finite_field_can_be_left_out() {
        let (identity, roots) = rsa_identity();
        let identity = identity.without_finite_field().expect("randomness");
        assert!(agreed(&identity, &roots, finite_field_alone()).is_err());
        assert_eq!(
            agreed(&identity, &roots, ring::default_provider()),
            Ok(CipherSuite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384)
        );
    }

    fn finite_field_alone() -> CryptoProvider {
        CryptoProvider {
            cipher_suites: finite_field::cipher_suites(),
            kx_groups: vec![&FiniteField],
            ..ring::default_provider()
        }
    }

    fn rsa_identity() -> (Identity, RootCertStore) {
        let (certificate, _) = rsa();
        let identity = Identity::from_pem(certificate.pem().as_bytes(), RSA_KEY.as_bytes());
        let mut roots = RootCertStore::empty();
        roots.add(certificate.der().clone()).expect("a root");
        (identity.expect("an identity"), roots)
    }

    /// The cipher suite that a client of TLS 1.2 with this provider agrees on with the server.
    fn agreed(
        identity: &Identity,
        roots: &RootCertStore,
        provider: CryptoProvider,
    ) -> Result<CipherSuite, rustls::Error> {
        let config = ClientConfig::builder_with_provider(Arc::new(provider))
            .with_protocol_versions(&[&TLS12])?
            .with_root_certificates(roots.clone())
            .with_no_client_auth();
        let name = "pxe.lan".try_into().expect("a name");
        let mut client = ClientConnection::new(Arc::new(config), name)?;
        let mut server = ServerConnection::new(identity.config())?;
        while client.is_handshaking() || server.is_handshaking() {
            let mut wire = Vec::new();
            client.write_tls(&mut wire).expect("room");
            server.read_tls(&mut &wire[..]).expect("room");
            server.process_new_packets()?;
            wire.clear();
            server.write_tls(&mut wire).expect("room");
            client.read_tls(&mut &wire[..]).expect("room");
            client.process_new_packets()?;
        }
        let suite = server.negotiated_cipher_suite().expect("a suite");
        Ok(suite.suite())
    }

    #[test]
    fn what_is_wrong_with_the_files_is_said() {
        let (chain, key) = ecdsa("a.lan");
        let (other_chain, other_key) = ecdsa("b.lan");
        let request =
            "-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----\n";
        let encrypted =
            "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
        let broken = key.replace("-----END PRIVATE KEY-----", "");
        let useless = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
        let no_certificate = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        for (chain, key, said) in [
            ("", key.as_str(), "no certificate"),
            (key.as_str(), key.as_str(), "but a private key"),
            (request, key.as_str(), "which a CA has yet to sign"),
            (no_certificate, key.as_str(), "certificate 1 cannot be read"),
            (chain.as_str(), "", "no private key"),
            (chain.as_str(), chain.as_str(), "but a certificate"),
            (chain.as_str(), encrypted, "encrypted"),
            (chain.as_str(), broken.as_str(), "no `-----END`"),
            (chain.as_str(), useless, "cannot be used"),
            (chain.as_str(), other_key.as_str(), "not the certificate's"),
        ] {
            let error = wrong(chain, key);
            assert!(error.contains(said), "{said}: {error}");
        }
        let both = format!("{other_chain}{chain}");
        assert!(wrong(&both, &key).contains("that of certificate 2"));
        // Both in one file.
        let one = format!("{key}{chain}");
        let identity = Identity::from_pem(one.as_bytes(), one.as_bytes()).expect("an identity");
        assert!(identity.certificate().is_for("a.lan"));
    }
}
