//! A hash whose values stay the same in every build, on every machine and forever, because they
//! leave the process: in node keys, cookies and file numbers.
//!
//! SipHash-2-4 with a fixed key (Aumasson and Bernstein, 2012). The standard library's hashers
//! promise no stability over releases.

/// Hashes parts one after the other; where a part ends is part of the hash.
#[derive(Debug, Clone)]
pub(crate) struct StableHasher {
    lanes: [u64; 4],
    tail: u64,
    tail_bits: u32,
    len: u64,
}

impl StableHasher {
    /// A hasher for one purpose: hashes of different domains have nothing to do with each other.
    pub(crate) const fn new(domain: u64) -> Self {
        const KEY: u64 = 0x7078_652d_7472_6565; // "pxe-tree"
        Self {
            lanes: [
                KEY ^ 0x736f_6d65_7073_6575,
                domain ^ 0x646f_7261_6e64_6f6d ^ 0xee,
                KEY ^ 0x6c79_6765_6e65_7261,
                domain ^ 0x7465_6462_7974_6573,
            ],
            tail: 0,
            tail_bits: 0,
            len: 0,
        }
    }

    pub(crate) fn part(mut self, bytes: &[u8]) -> Self {
        self.write(bytes);
        self.number(bytes.len() as u64)
    }

    pub(crate) fn number(mut self, number: u64) -> Self {
        self.write(&number.to_le_bytes());
        self
    }

    fn write(&mut self, bytes: &[u8]) {
        self.len = self.len.wrapping_add(bytes.len() as u64);
        let mut rest = bytes;
        while self.tail_bits != 0 {
            let [first, others @ ..] = rest else { return };
            self.byte(*first);
            rest = others;
        }
        let (words, rest) = rest.as_chunks::<8>();
        for word in words {
            self.word(u64::from_le_bytes(*word));
        }
        for byte in rest {
            self.byte(*byte);
        }
    }

    fn byte(&mut self, byte: u8) {
        self.tail |= u64::from(byte) << self.tail_bits;
        self.tail_bits += 8;
        if self.tail_bits == 64 {
            let word = std::mem::take(&mut self.tail);
            self.tail_bits = 0;
            self.word(word);
        }
    }

    fn word(&mut self, word: u64) {
        self.lanes[3] ^= word;
        self.round();
        self.round();
        self.lanes[0] ^= word;
    }

    fn round(&mut self) {
        let [mut a, mut b, mut c, mut d] = self.lanes;
        a = a.wrapping_add(b);
        b = b.rotate_left(13) ^ a;
        a = a.rotate_left(32);
        c = c.wrapping_add(d);
        d = d.rotate_left(16) ^ c;
        a = a.wrapping_add(d);
        d = d.rotate_left(21) ^ a;
        c = c.wrapping_add(b);
        b = b.rotate_left(17) ^ c;
        c = c.rotate_left(32);
        self.lanes = [a, b, c, d];
    }

    pub(crate) fn finish128(mut self) -> [u8; 16] {
        let low = self.low_half();
        self.lanes[1] ^= 0xdd;
        let high = self.squeeze();
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&low.to_le_bytes());
        bytes[8..].copy_from_slice(&high.to_le_bytes());
        bytes
    }

    fn squeeze(&mut self) -> u64 {
        for _ in 0..4 {
            self.round();
        }
        self.lanes.iter().fold(0, |all, lane| all ^ lane)
    }

    /// The first half of the whole hash.
    pub(crate) fn finish64(mut self) -> u64 {
        self.low_half()
    }

    fn low_half(&mut self) -> u64 {
        let last = self.tail | (self.len & 0xff) << 56;
        self.word(last);
        self.lanes[2] ^= 0xee;
        self.squeeze()
    }

    /// One byte, for hints.
    pub(crate) fn finish8(self) -> u8 {
        self.finish64().to_le_bytes()[0]
    }
}

/// What the hashes are for. The numbers are part of what leaves the process: never change one.
pub(crate) mod domain {
    pub(crate) const NAME_KEY: u64 = 1;
    pub(crate) const FILEID: u64 = 2;
    pub(crate) const COOKIE: u64 = 3;
    pub(crate) const CHANGE: u64 = 4;
    pub(crate) const FSID: u64 = 5;
    pub(crate) const HINT: u64 = 6;
    #[cfg(feature = "dir")]
    pub(crate) const GENERATION: u64 = 7;
}

#[cfg(test)]
mod tests {
    use super::*;

    const FROZEN: [u128; 3] = [
        0x72b1_33d0_c721_ce3f_da79_0dcb_800b_b61d,
        0x9046_e117_315b_c1bb_830c_9b08_c064_a3ed,
        0xb29c_d0c8_6e37_1686_00a0_4862_8e75_fdd5,
    ];

    /// Keys and file numbers of yesterday's server must mean the same today.
    #[test]
    fn values_never_change() {
        let hash = |parts: &[&str]| {
            let start = StableHasher::new(domain::NAME_KEY);
            let all = parts
                .iter()
                .fold(start, |hash, part| hash.part(part.as_bytes()));
            u128::from_le_bytes(all.finish128())
        };
        assert_eq!(hash(&[]), FROZEN[0]);
        assert_eq!(
            hash(&["bios/lpxelinux.0"]),
            FROZEN[1],
            "{:#x}",
            hash(&["bios/lpxelinux.0"])
        );
        assert_eq!(hash(&["a", "b"]), FROZEN[2]);
    }

    /// The vector of the SipHash authors' `vectors.h` for the empty input and key 0..15, of the
    /// variant with 128 bits.
    #[test]
    fn it_is_siphash() {
        let mut hasher = StableHasher::new(0);
        let (k0, k1) = (0x0706_0504_0302_0100, 0x0f0e_0d0c_0b0a_0908);
        hasher.lanes = [
            k0 ^ 0x736f_6d65_7073_6575,
            k1 ^ 0x646f_7261_6e64_6f6d ^ 0xee,
            k0 ^ 0x6c79_6765_6e65_7261,
            k1 ^ 0x7465_6462_7974_6573,
        ];
        assert_eq!(
            hasher.finish128(),
            [
                0xa3, 0x81, 0x7f, 0x04, 0xba, 0x25, 0xa8, 0xe6, 0x6d, 0xf6, 0x72, 0x14, 0xc7, 0x55,
                0x02, 0x93
            ]
        );
    }

    #[test]
    fn it_does_not_matter_how_the_bytes_come() {
        let long: Vec<u8> = (0..=255).collect();
        let mut whole = StableHasher::new(9);
        whole.write(&long);
        for cut in [0, 1, 7, 8, 9, 100, 256] {
            let mut cut_up = StableHasher::new(9);
            cut_up.write(&long[..cut]);
            cut_up.write(&long[cut..]);
            assert_eq!(cut_up.finish64(), whole.clone().finish64(), "cut at {cut}");
        }
    }
}
