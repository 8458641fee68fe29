//! SipHash-2-4 with 128 bits of output (Aumasson and Bernstein): the keyed digest that stands for a pattern.
//!
//! Written out here because its keys have to be wiped, which no hasher of the standard library allows.

/// The digest of `bytes` under `key`.
pub(super) fn digest(key: [u64; 2], bytes: &[u8]) -> [u64; 2] {
    let mut state = State {
        a: key[0] ^ 0x736f_6d65_7073_6575,
        b: key[1] ^ 0x646f_7261_6e64_6f6d ^ 0xee,
        c: key[0] ^ 0x6c79_6765_6e65_7261,
        d: key[1] ^ 0x7465_6462_7974_6573,
    };
    let (words, rest) = bytes.as_chunks::<8>();
    for word in words {
        state.absorb(u64::from_le_bytes(*word));
    }
    // The last word holds what is left of the bytes and, on top, the length modulo 256.
    let last = rest
        .iter()
        .rev()
        .fold(0, |word, byte| word << 8 | u64::from(*byte));
    state.absorb((bytes.len() as u64) << 56 | last);
    state.c ^= 0xee;
    state.rounds(4);
    let low = state.fold();
    state.b ^= 0xdd;
    state.rounds(4);
    [low, state.fold()]
}

struct State {
    a: u64,
    b: u64,
    c: u64,
    d: u64,
}

impl State {
    #[inline(always)]
    fn absorb(&mut self, word: u64) {
        self.d ^= word;
        self.rounds(2);
        self.a ^= word;
    }

    #[inline(always)]
    fn rounds(&mut self, count: u32) {
        for _ in 0..count {
            self.a = self.a.wrapping_add(self.b);
            self.b = self.b.rotate_left(13) ^ self.a;
            self.a = self.a.rotate_left(32);
            self.c = self.c.wrapping_add(self.d);
            self.d = self.d.rotate_left(16) ^ self.c;
            self.a = self.a.wrapping_add(self.d);
            self.d = self.d.rotate_left(21) ^ self.a;
            self.c = self.c.wrapping_add(self.b);
            self.b = self.b.rotate_left(17) ^ self.c;
            self.c = self.c.rotate_left(32);
        }
    }

    fn fold(&self) -> u64 {
        self.a ^ self.b ^ self.c ^ self.d
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agrees_with_the_published_vectors() {
        let key = [0x0706_0504_0302_0100, 0x0f0e_0d0c_0b0a_0908];
        let hex = |bytes: &[u8]| {
            let [low, high] = digest(key, bytes);
            format!("{:016x}{:016x}", low.swap_bytes(), high.swap_bytes())
        };
        assert_eq!(hex(&[]), "a3817f04ba25a8e66df67214c7550293");
        assert_eq!(hex(&[0]), "da87c1d86b99af44347659119b22fc45");
    }
}
