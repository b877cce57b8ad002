//! Seeded chance: SplitMix64, nothing else.
//!
//! A link model needs repeatable numbers, not secret ones, and must not change when a library changes its
//! generator, because scenario seeds are kept for years. Never use this for keys.

/// SplitMix64 (Steele, Lea, Flood: "Fast splittable pseudorandom number generators", OOPSLA 2014).
#[derive(Clone, Debug)]
pub(crate) struct Chance(u64);

impl Chance {
    pub(crate) fn new(seed: u64) -> Chance {
        Chance(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Uniform in `0..=max` by multiplication; the bias is below `max / 2^64`.
    pub(crate) fn up_to(&mut self, max: u64) -> u64 {
        ((u128::from(self.next()) * (u128::from(max) + 1)) >> 64) as u64
    }

    /// True `ppm` times in a million. Draws exactly one number.
    pub(crate) fn happens(&mut self, ppm: u32) -> bool {
        self.up_to(999_999) < u64::from(ppm)
    }
}

#[cfg(test)]
mod tests {
    use super::Chance;

    #[test]
    fn first_numbers_of_the_reference_implementation() {
        let mut chance = Chance::new(1_234_567);
        assert_eq!(chance.next(), 6_457_827_717_110_365_317);
        assert_eq!(chance.next(), 3_203_168_211_198_807_973);
    }

    #[test]
    fn certain_and_impossible() {
        let mut chance = Chance::new(7);
        assert!((0..1000).all(|_| chance.happens(1_000_000)));
        assert!((0..1000).all(|_| !chance.happens(0)));
        assert!((0..1000).all(|_| chance.up_to(3) <= 3 && chance.up_to(0) == 0));
    }
}
