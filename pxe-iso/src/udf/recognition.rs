//! The volume recognition sequence: what says that an image is UDF (ECMA-167 part 2 section 8.3,
//! part 3 section 9.1).

/// Where the sequence begins in an image, in bytes.
pub(crate) const RECOGNITION_START: u64 = 32_768;

/// How many bytes of it are looked at: more than any image's ISO 9660 descriptors and these.
pub(crate) const RECOGNITION_LEN: usize = 65_536;

/// Bytes of a volume structure descriptor. Media with larger sectors have one to a sector.
const DESCRIPTOR_LEN: usize = 2_048;

/// Whether the sequence names UDF: an `NSR02` or `NSR03` descriptor among those before the first
/// that is none. `bytes` are those of the image from [`RECOGNITION_START`] on.
pub(crate) fn names_udf(bytes: &[u8]) -> bool {
    [DESCRIPTOR_LEN, 2 * DESCRIPTOR_LEN]
        .into_iter()
        .any(|step| {
            bytes
                .chunks(step)
                .map_while(identifier)
                .any(|identifier| matches!(identifier, b"NSR02" | b"NSR03"))
        })
}

/// The identifier of a volume structure descriptor, if it is one of those that ECMA-167 part 2
/// section 9.1, ISO 9660 and ECMA-168 know.
fn identifier(descriptor: &[u8]) -> Option<&[u8; 5]> {
    let identifier = descriptor.get(1..6)?.first_chunk()?;
    match identifier {
        b"BEA01" | b"BOOT2" | b"CD001" | b"CDW02" | b"NSR02" | b"NSR03" | b"TEA01" => {
            Some(identifier)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sequence(step: usize, identifiers: &[&[u8; 5]]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for identifier in identifiers {
            let start = bytes.len();
            bytes.push(0);
            bytes.extend_from_slice(*identifier);
            bytes.resize(start + step, 0);
        }
        bytes
    }

    #[test]
    fn udf_is_named_among_known_descriptors_only() {
        assert!(names_udf(&sequence(2048, &[b"BEA01", b"NSR02", b"TEA01"])));
        assert!(names_udf(&sequence(4096, &[b"BEA01", b"NSR03", b"TEA01"])));
        let bridge: [&[u8; 5]; 5] = [b"CD001", b"CD001", b"BEA01", b"NSR02", b"TEA01"];
        assert!(names_udf(&sequence(2048, &bridge)));
        assert!(!names_udf(&sequence(2048, &[b"CD001", b"CD001"])));
        let none = b"\0\0\0\0\0";
        let hidden: [&[u8; 5]; 4] = [b"BEA01", none, none, b"NSR02"];
        assert!(!names_udf(&sequence(2048, &hidden)));
        assert!(!names_udf(&[]) && !names_udf(b"\0NSR0"));
    }
}
