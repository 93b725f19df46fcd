//! How long digests are, so that one that was cut off is seen.

use crate::RecordType;

/// Whether a digest in a record's data has the length of its type, if that is known.
pub(super) fn check(kind: RecordType, data: &[u8]) -> Result<(), String> {
    let (digest_type, digest) = match (kind, data) {
        (RecordType::SSHFP, [_, digest_type, digest @ ..]) => (*digest_type, digest),
        (RecordType::DS | RecordType::CDS, [_, _, _, digest_type, digest @ ..]) => {
            (*digest_type, digest)
        }
        _ => return Ok(()),
    };
    let len = match (kind, digest_type) {
        // SHA-1 (RFC 4255 section 3.1.2, RFC 4034 section 5.1.4).
        (_, 1) => 20,
        // SHA-256 (RFC 6594, RFC 4509).
        (_, 2) => 32,
        // GOST R 34.11-94 (RFC 5933) and SHA-384 (RFC 6605).
        (RecordType::DS | RecordType::CDS, 3) => 32,
        (RecordType::DS | RecordType::CDS, 4) => 48,
        _ => return Ok(()),
    };
    match digest.len() == len {
        true => Ok(()),
        false => Err(format!(
            "a digest of type {digest_type} has {} hexadecimal digits, and here are {}",
            len * 2,
            digest.len() * 2
        )),
    }
}
