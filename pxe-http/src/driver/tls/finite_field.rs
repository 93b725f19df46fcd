//! Diffie-Hellman in a finite field, for firmware that knows no elliptic curves.
//!
//! EDK2 is built without them unless its packager chose otherwise: OVMF of Debian 12 (2022.11)
//! offers TLS 1.2 with `DHE_RSA` and `RSA` alone, and no groups
//! (EDK2, CryptoPkg/Library/OpensslLib: the flavour `OpensslLib.inf` has no `EC`). iPXE was the
//! same from 2022 to 2024. Such a client could not be served by curves, so there is one group for
//! it: ffdhe2048 of RFC 7919, in TLS 1.2 only, with the same ciphers as for the others.
//!
//! RFC 9325 section 4.1 advises against this key exchange, and why it does is kept away:
//!
//! - Servers used an exponent again, and a secret's leading zeros, which TLS 1.2 strips, then told
//!   it in the end (the Raccoon attack). Here each handshake has an exponent of its own.
//! - Servers chose groups that were small or no groups. Here there is one, and its prime is tested.
//! - It costs more than curves do. Nobody gets it who has a curve in common with us, in whatever
//!   order it names its ciphers; how much of it one client can ask for is bounded as all
//!   handshakes are (`handshakes_per_client_per_second`); and
//!   [`Identity::without_finite_field`](super::Identity::without_finite_field) is without it.
//!
//! It is written here since no provider for rustls has it that could be taken: ring, aws-lc-rs,
//! rustls-openssl, rustls-graviola and rustls-rustcrypto have no such group, and the one that has,
//! rustls-mbedcrypto-provider, is mbedtls in C behind the whole of rustls, under another licence.
//! rustls itself has the negotiation, the group's numbers and the stripping of zeros; what is left
//! is one exponentiation, which crypto-bigint does in constant time.

use std::fmt;
use std::sync::OnceLock;

use crypto_bigint::modular::{FixedMontyForm, FixedMontyParams};
use crypto_bigint::zeroize::{Zeroize, Zeroizing};
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
        let mut bytes = Zeroizing::new([0; EXPONENT_LEN]);
        let random = ring::default_provider().secure_random;
        random.fill(bytes.as_mut_slice())?;
        Ok(Box::new(Exchange::new(&bytes)))
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

/// Our half of one exchange, and of no other.
struct Exchange {
    exponent: Zeroizing<U256>,
    public: [u8; MEMBER_LEN],
}

impl Exchange {
    fn new(exponent: &[u8; EXPONENT_LEN]) -> Self {
        let exponent = Zeroizing::new(U256::from_be_slice(exponent));
        let public = power(&U2048::from_u8(2), &exponent);
        Self { exponent, public }
    }
}

impl ActiveKeyExchange for Exchange {
    /// The secret with its leading zeros; `complete_for_tls_version` strips them for TLS 1.2
    /// (RFC 5246 section 8.1.2).
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

/// In a time that does not tell the exponent: all of its bits count, zeros as well, and each window
/// of them reads the whole table of powers.
fn power(base: &U2048, exponent: &U256) -> [u8; MEMBER_LEN] {
    let mut form = FixedMontyForm::new(base, field()).pow(exponent);
    let mut power = form.retrieve();
    let mut bytes = [0; MEMBER_LEN];
    bytes.copy_from_slice(power.to_be_bytes().as_ref());
    form.zeroize();
    power.zeroize();
    bytes
}

/// A peer's public value, if it is one: from 2 to the prime less 2 (RFC 7919 section 5.1). It may
/// be written with fewer bytes than the prime (RFC 5246 section 7.4.7.2).
///
/// The prime is safe, so all these have the order q or 2q, and the latter tell at most whether our
/// exponent is even, which is never used again.
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
    use crypto_bigint::{Limb, NonZero};
    use rustls::version::{TLS12, TLS13};

    use super::*;

    fn exchange(seed: u8) -> Box<Exchange> {
        Box::new(Exchange::new(&[seed; EXPONENT_LEN]))
    }

    fn sha_256(bytes: &[u8]) -> String {
        let SupportedCipherSuite::Tls13(suite) = ring::cipher_suite::TLS13_AES_128_GCM_SHA256
        else {
            panic!("a suite of TLS 1.3");
        };
        let hash = suite.common.hash_provider.hash(bytes);
        hash.as_ref()
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect()
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

    /// Against Python's `pow`, with the prime as OpenSSL has it: SHA-256 of 256 bytes, big-endian.
    #[test]
    fn public_value_and_secret_are_those_of_others() {
        let (ours, theirs) = (exchange(0x5a), exchange(0xc3));
        assert_eq!(
            sha_256(&ours.public),
            "fb2f1168d1ff5095a0f4c58084e1c065e60be39e8bf79d18c1167220332513c2"
        );
        let secret = ours.complete(&theirs.public).expect("a member");
        assert_eq!(
            sha_256(secret.secret_bytes()),
            "379051154a66ef23bcedae14d5e6515d02da89508cd602ff25a8e99eb705c1c6"
        );
    }

    /// The secret with 2 to the power of 82 begins with a zero byte. TLS 1.2 takes it without
    /// (RFC 5246 section 8.1.2), TLS 1.3 would take it with (RFC 8446 section 7.4.1).
    #[test]
    fn leading_zeros_of_the_secret_are_stripped_in_tls_1_2_alone() {
        let theirs = power(&U2048::from_u8(2), &U256::from_u8(82));
        let at = |version| {
            let secret = exchange(0x5a).complete_for_tls_version(&theirs, version);
            secret.expect("a member").secret_bytes().to_vec()
        };
        let stripped = at(&TLS12);
        assert_eq!(stripped.len(), MEMBER_LEN - 1);
        assert_eq!(
            sha_256(&stripped),
            "434ce67c66e7cbe3e5aaf121932f7adb1c54a3e1cb27a5f8aef64217174448ad"
        );
        assert_eq!(at(&TLS13), [&[0][..], &stripped].concat());
    }

    /// Which is what makes the stripped zeros harmless.
    #[test]
    fn no_exponent_is_used_again() {
        let publics = [(); 4].map(|()| {
            let exchange = FiniteField.start().expect("randomness");
            exchange.pub_key().to_vec()
        });
        for (at, public) in publics.iter().enumerate() {
            assert!(!publics[..at].contains(public));
        }
    }

    /// 2 to the power of 300, written out: the field's arithmetic is not only right with itself.
    #[test]
    fn a_power_below_the_prime_is_the_number_itself() {
        let squared = power(&U2048::from_u8(2), &U256::from_u32(300));
        let mut expected = [0; MEMBER_LEN];
        expected[MEMBER_LEN - 1 - 300 / 8] = 1 << (300 % 8);
        assert_eq!(squared, expected);
    }

    /// RFC 7919 appendix A.1: p = 2^2048 - 2^1984 + {[2^1918 * e] + 560316} * 2^64 - 1.
    #[test]
    fn the_prime_is_the_one_that_its_formula_gives() {
        const GUARD_BITS: u32 = 120;
        let mut term = U2048::ONE.shl(1918 + GUARD_BITS);
        let mut e = U2048::ZERO;
        let mut divisor = Limb::ZERO;
        while term != U2048::ZERO {
            e = e.wrapping_add(&term);
            divisor = divisor.wrapping_add(Limb::ONE);
            let divisor = NonZero::new(divisor).expect("a number from 1 on");
            term = term.div_rem_limb(divisor).0;
        }
        let middle = e.shr(GUARD_BITS).wrapping_add(&U2048::from_u32(560_316));
        let formula = U2048::ZERO // 2^2048 is 0 in so many bits.
            .wrapping_sub(&U2048::ONE.shl(1984))
            .wrapping_add(&middle.shl(64))
            .wrapping_sub(&U2048::ONE);
        assert_eq!(prime().get(), formula);
        assert_eq!(FFDHE2048.p.len(), MEMBER_LEN);
        assert_eq!(FFDHE2048.g, [2]);
    }

    /// Fermat's theorem, to the bases 2 and 3, for p and for q of p = 2q + 1; and 2 has the order q.
    #[test]
    fn the_prime_is_a_safe_one_and_2_generates_the_greater_subgroup() {
        let p = prime();
        let q = Odd::new(p.get().shr(1)).expect("the half of a safe prime is odd");
        for modulus in [p, q] {
            let params = FixedMontyParams::new_vartime(modulus);
            let exponent = modulus.get().wrapping_sub(&U2048::ONE);
            for base in [2, 3] {
                let form = FixedMontyForm::new(&U2048::from_u8(base), &params);
                assert_eq!(form.pow_vartime(&exponent).retrieve(), U2048::ONE);
            }
        }
        let two = FixedMontyForm::new(&U2048::from_u8(2), field());
        assert_eq!(two.pow_vartime(&q.get()).retrieve(), U2048::ONE);
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
