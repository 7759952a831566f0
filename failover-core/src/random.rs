//! The generator of a client's random numbers.

use core::convert::Infallible;

use rand::rngs::Xoshiro128PlusPlus;
use rand::{Rng, SeedableRng, TryRng};

use crate::policy::Seed;

/// rand's Xoshiro128++, which gives the same numbers everywhere: 16 bytes, for there are many clients.
/// Each has its own place among 2^128 - 1 states. It guards no secret.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub(crate) struct Random(Xoshiro128PlusPlus);

impl Random {
    /// The numbers of this seed.
    pub(crate) fn new(seed: Seed) -> Self {
        Self(Xoshiro128PlusPlus::seed_from_u64(seed.get()))
    }
}

impl TryRng for Random {
    type Error = Infallible;

    #[inline]
    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Ok(self.0.next_u32())
    }

    #[inline]
    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        Ok(self.0.next_u64())
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        self.0.fill_bytes(bytes);
        Ok(())
    }
}
