//! One seed, every choice: SplitMix64 with the few draws that the simulator needs.
//!
//! A run is a function of its seed, so nothing in this crate draws chance from anywhere else. Parts of
//! a run that must not shift each other (faults, people, hostile peers) each take a [`Chance::fork`].
//! Never use this for keys outside the simulator.

/// SplitMix64 (Steele, Lea, Flood: "Fast splittable pseudorandom number generators", OOPSLA 2014).
#[derive(Clone, Debug)]
pub struct Chance(u64);

impl Chance {
    /// A stream of its own for each seed.
    pub fn new(seed: u64) -> Chance {
        Chance(seed)
    }

    /// A stream that does not move with this one, named by `label`.
    pub fn fork(&self, label: &str) -> Chance {
        let hash = blake3::keyed_hash(&seed32(self.0), label.as_bytes());
        let mut first = [0u8; 8];
        first.copy_from_slice(&hash.as_bytes()[..8]);
        Chance(u64::from_le_bytes(first))
    }

    /// The next 64 bits.
    pub fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Uniform below `n`; 0 if `n` is 0.
    pub fn below(&mut self, n: u64) -> u64 {
        ((u128::from(self.draw()) * u128::from(n)) >> 64) as u64
    }

    /// Uniform in `low..=high`.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high.saturating_sub(low) + 1)
    }

    /// True in `percent` of 100 draws.
    pub fn percent(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    /// One of `list`; `None` if it is empty.
    pub fn pick<'a, T>(&mut self, list: &'a [T]) -> Option<&'a T> {
        let n = list.len() as u64;
        list.get(self.below(n) as usize)
    }

    /// A 32-byte seed for a machine or a key.
    pub fn seed(&mut self) -> [u8; 32] {
        seed32(self.draw())
    }

    /// `n` bytes.
    pub fn bytes(&mut self, n: usize) -> Vec<u8> {
        (0..n).map(|_| self.draw() as u8).collect()
    }
}

fn seed32(n: u64) -> [u8; 32] {
    *blake3::hash(&n.to_le_bytes()).as_bytes()
}

#[cfg(test)]
mod tests {
    use super::Chance;

    #[test]
    fn first_numbers_of_the_reference_implementation() {
        let mut chance = Chance::new(1_234_567);
        assert_eq!(chance.draw(), 6_457_827_717_110_365_317);
        assert_eq!(chance.draw(), 3_203_168_211_198_807_973);
    }

    #[test]
    fn draws_stay_in_their_bounds() {
        let mut chance = Chance::new(3);
        assert!((0..1000).all(|_| (5..=9).contains(&chance.between(5, 9))));
        assert!((0..1000).all(|_| chance.percent(100) && !chance.percent(0)));
        assert_eq!(chance.pick::<u8>(&[]), None);
        assert_eq!(chance.below(0), 0);
    }
}
