//! Diffie-Hellman in a finite field, for firmware that knows no elliptic curves.
//!
//! EDK2 is built without them unless its packager chose otherwise: OVMF of Debian 12 (2022.11)
//! offers TLS 1.2 with `DHE_RSA` and `RSA` alone, and no groups
//! (EDK2, CryptoPkg/Library/OpensslLib: the flavour `OpensslLib.inf` has no `EC`). iPXE was the
//! same from 2022 to 2024. Such a client could not be served by curves, so there is one group for
//! it: ffdhe2048 of RFC 7919, in TLS 1.2 only, with the same ciphers as for the others.

use std::fmt;
use std::sync::OnceLock;

use crypto_bigint::modular::{FixedMontyForm, FixedMontyParams};
use crypto_bigint::zeroize::Zeroize;
use crypto_bigint::{Odd, U256, U2048};
use rustls::crypto::{
    ActiveKeyExchange, KeyExchangeAlgorithm, SharedSecret, SupportedKxGroup, ring,
};
use rustls::ffdhe_groups::{FFDHE2048, FfdheGroup};
use rustls::{
    CipherSuite, CipherSuiteCommon, Error, NamedGroup, PeerMisbehaved, ProtocolVersion,
    SupportedCipherSuite, Tls12CipherSuite,
};

const LIMBS: usize = U2048::LIMBS;

/// The group's modulus has 2048 bits, and so have all its members.
const MEMBER_LEN: usize = 256;

/// RFC 7919 section 5.2: at least 225 bits for this group.
const EXPONENT_LEN: usize = 32;

/// The cipher suites of this key exchange, those of most bits first, as for the other ones.
pub(super) fn cipher_suites() -> Vec<SupportedCipherSuite> {
    static SUITES: OnceLock<[Option<Tls12CipherSuite>; 2]> = OnceLock::new();
    let suites = SUITES.get_or_init(|| {
        [
            over_finite_field(
                ring::cipher_suite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
                CipherSuite::TLS_DHE_RSA_WITH_AES_256_GCM_SHA384,
            ),
            over_finite_field(
                ring::cipher_suite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
                CipherSuite::TLS_DHE_RSA_WITH_AES_128_GCM_SHA256,
            ),
        ]
    });
    let suites = suites.iter().flatten();
    suites.map(SupportedCipherSuite::Tls12).collect()
}

/// The same suite under the name that it has with this key exchange.
fn over_finite_field(curve: SupportedCipherSuite, suite: CipherSuite) -> Option<Tls12CipherSuite> {
    let SupportedCipherSuite::Tls12(curve) = curve else {
        return None;
    };
    Some(Tls12CipherSuite {
        common: CipherSuiteCommon {
            suite,
            ..curve.common
        },
        kx: KeyExchangeAlgorithm::DHE,
        prf_provider: curve.prf_provider,
        sign: curve.sign,
        aead_alg: curve.aead_alg,
    })
}

/// ffdhe2048 (RFC 7919 appendix A.1).
#[derive(Debug)]
pub(super) struct FiniteField;

impl SupportedKxGroup for FiniteField {
    fn start(&self) -> Result<Box<dyn ActiveKeyExchange>, Error> {
        let mut bytes = [0; EXPONENT_LEN];
        ring::default_provider().secure_random.fill(&mut bytes)?;
        let exponent = U256::from_be_slice(&bytes);
        bytes.zeroize();
        Ok(Box::new(Exchange::new(exponent)))
    }

    fn ffdhe_group(&self) -> Option<FfdheGroup<'static>> {
        Some(FFDHE2048)
    }

    fn name(&self) -> NamedGroup {
        NamedGroup::FFDHE2048
    }

    fn usable_for_version(&self, version: ProtocolVersion) -> bool {
        version == ProtocolVersion::TLSv1_2
    }
}

/// Our half of one exchange.
struct Exchange {
    exponent: U256,
    public: [u8; MEMBER_LEN],
}

impl Exchange {
    fn new(exponent: U256) -> Self {
        let public = power(&U2048::from_u8(2), &exponent);
        Self { exponent, public }
    }
}

impl ActiveKeyExchange for Exchange {
    fn complete(self: Box<Self>, peer_pub_key: &[u8]) -> Result<SharedSecret, Error> {
        let theirs = member(peer_pub_key).ok_or(PeerMisbehaved::InvalidKeyShare)?;
        let mut secret = power(&theirs, &self.exponent);
        let shared = SharedSecret::from(&secret[..]);
        secret.zeroize();
        Ok(shared)
    }

    fn pub_key(&self) -> &[u8] {
        &self.public
    }

    fn ffdhe_group(&self) -> Option<FfdheGroup<'static>> {
        Some(FFDHE2048)
    }

    fn group(&self) -> NamedGroup {
        NamedGroup::FFDHE2048
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        self.exponent.zeroize();
    }
}

impl fmt::Debug for Exchange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Exchange").finish_non_exhaustive()
    }
}

/// What calculates modulo the group's prime.
fn field() -> &'static FixedMontyParams<LIMBS> {
    static FIELD: OnceLock<FixedMontyParams<LIMBS>> = OnceLock::new();
    FIELD.get_or_init(|| FixedMontyParams::new(prime()))
}

fn prime() -> Odd<U2048> {
    Odd::new(U2048::from_be_slice(FFDHE2048.p)).expect("the group's modulus is odd")
}

/// In a time that does not tell the exponent.
fn power(base: &U2048, exponent: &U256) -> [u8; MEMBER_LEN] {
    let mut power = FixedMontyForm::new(base, field()).pow(exponent).retrieve();
    let mut bytes = [0; MEMBER_LEN];
    bytes.copy_from_slice(power.to_be_bytes().as_ref());
    power.zeroize();
    bytes
}

/// A peer's public value, if it is one: from 2 to the prime less 2 (RFC 7919 section 5.1). It may
/// be written with fewer bytes than the prime (RFC 5246 section 7.4.7.2).
fn member(bytes: &[u8]) -> Option<U2048> {
    let start = MEMBER_LEN.checked_sub(bytes.len())?;
    let mut padded = [0; MEMBER_LEN];
    padded.get_mut(start..)?.copy_from_slice(bytes);
    let value = U2048::from_be_slice(&padded);
    let last = prime().get().wrapping_sub(&U2048::from_u8(2));
    (value > U2048::ONE && value <= last).then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exchange(seed: u8) -> Box<Exchange> {
        Box::new(Exchange::new(U256::from_be_slice(&[seed; EXPONENT_LEN])))
    }

    #[test]
    fn both_sides_come_to_the_same_secret() {
        let (ours, theirs) = (exchange(0x5a), exchange(0xc3));
        let (our_public, their_public) = (ours.public, theirs.public);
        let at_us = ours.complete(&their_public).expect("a member");
        let at_them = theirs.complete(&our_public).expect("a member");
        assert_eq!(at_us.secret_bytes(), at_them.secret_bytes());
        assert_eq!(at_us.secret_bytes().len(), MEMBER_LEN);
    }

    /// 2 to the power of 300, written out: the field's arithmetic is not only right with itself.
    #[test]
    fn a_power_below_the_prime_is_the_number_itself() {
        let squared = power(&U2048::from_u8(2), &U256::from_u32(300));
        let mut expected = [0; MEMBER_LEN];
        expected[MEMBER_LEN - 1 - 300 / 8] = 1 << (300 % 8);
        assert_eq!(squared, expected);
    }

    /// Fermat's theorem: 2 to the power of the prime less one is 1, which no wrong prime gives.
    #[test]
    fn the_group_has_a_prime_modulus() {
        let exponent = prime().get().wrapping_sub(&U2048::ONE);
        let one = FixedMontyForm::new(&U2048::from_u8(2), field()).pow(&exponent);
        assert_eq!(one.retrieve(), U2048::ONE);
        assert_eq!(FFDHE2048.p.len(), MEMBER_LEN);
        assert_eq!(FFDHE2048.g, [2]);
    }

    #[test]
    fn public_values_that_would_fix_the_secret_are_refused() {
        let prime_less = |less: u8| {
            let value = prime().get().wrapping_sub(&U2048::from_u8(less));
            value.to_be_bytes().as_ref().to_vec()
        };
        for refused in [
            Vec::new(),
            vec![0],
            vec![1],
            vec![0; MEMBER_LEN],
            prime_less(1),
            prime_less(0),
            vec![0xff; MEMBER_LEN],
            vec![1; MEMBER_LEN + 1],
        ] {
            assert!(exchange(1).complete(&refused).is_err(), "{refused:x?}");
        }
        for taken in [vec![2], vec![0, 3], prime_less(2)] {
            assert!(exchange(1).complete(&taken).is_ok(), "{taken:x?}");
        }
    }
}
