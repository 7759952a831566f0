//! The generator of a client's random numbers.

use core::convert::Infallible;

use rand::TryRng;

use crate::policy::Seed;

/// SplitMix64 (Steele, Lea and Flood 2014): a counter and a mix of its bits.
///
/// It is 8 bytes, for there are many clients, and a step is a dozen instructions. Each of its 2^64
/// states comes once; where each client draws some thousand numbers, a million of them do not meet.
/// It guards no secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Random(u64);

/// 2^64 over the golden ratio, made odd.
const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

impl Random {
    /// Begins where the seed's bits are mixed to, so that seeds that differ by some steps do not give
    /// the same numbers a little later.
    pub(crate) const fn new(seed: Seed) -> Self {
        Self(mix(seed.get()))
    }

    #[inline]
    const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(STEP);
        mix(self.0)
    }
}

/// A bijection after which every bit hangs on every bit: the variant 13 of Stafford.
#[inline]
pub(crate) const fn mix(word: u64) -> u64 {
    let word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ (word >> 31)
}

impl TryRng for Random {
    type Error = Infallible;

    #[inline]
    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Ok((self.next() >> 32) as u32)
    }

    #[inline]
    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        Ok(self.next())
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        for chunk in bytes.chunks_mut(8) {
            chunk.copy_from_slice(&self.next().to_le_bytes()[..chunk.len()]);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use rand::Rng;

    use super::*;

    #[test]
    fn it_gives_the_published_numbers() {
        // From the state 1234567, as in the reference of Vigna.
        let mut random = Random(1_234_567);
        let given = [(); 5].map(|()| random.next_u64());
        assert_eq!(
            given,
            [
                6_457_827_717_110_365_317,
                3_203_168_211_198_807_973,
                9_817_491_932_198_370_423,
                4_593_380_528_125_082_431,
                16_408_922_859_458_223_821,
            ]
        );
    }

    #[test]
    fn seeds_that_differ_by_a_step_do_not_share_their_numbers() {
        let mut one = Random::new(Seed::new(1));
        let mut other = Random::new(Seed::new(1_u64.wrapping_add(STEP)));
        one.next_u64();
        assert_ne!(one.next_u64(), other.next_u64());
    }

    #[test]
    fn bytes_are_filled_to_the_last() {
        let mut bytes = [0; 13];
        Random::new(Seed::new(7)).fill_bytes(&mut bytes);
        assert!(bytes[8..].iter().any(|&byte| byte != 0));
    }
}
