//! Where a machine's randomness comes from.

use core::fmt;

/// The seed of a machine's one stream of random numbers.
///
/// The same policy, endpoints, seed and inputs give the same trace on every platform (law L5).
/// Give every client a seed of its own, or they all draw the same jitter.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Seed(u64);

impl Seed {
    /// This seed.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A seed that no other call returned, from the operating system's randomness.
    #[cfg(feature = "std")]
    #[inline]
    #[must_use]
    pub fn random() -> Self {
        use std::hash::{BuildHasher, Hasher, RandomState};
        // Each `RandomState` has keys of its own, drawn from the system's randomness.
        Self(RandomState::new().build_hasher().finish())
    }

    /// The number, to print it and to replay.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }
}

impl fmt::Debug for Seed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#018x}", self.0)
    }
}
