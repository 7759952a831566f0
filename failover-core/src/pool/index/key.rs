//! What a walk compares: a word for each place; the lowest goes first.

use core::fmt::Debug;

/// The word of one place; the word of several is the lowest of theirs.
pub(super) trait Key: Copy + Ord + Debug {
    /// Of a place without a slot, of a slot that was removed, of no places: above all others.
    const GONE: Self;
}

/// The highest tier; the number above it marks what is gone.
const LAST_TIER: u8 = u8::MAX - 1;

/// The tier alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Tier(u8);

impl Tier {
    pub(super) fn new(tier: u8) -> Self {
        Self(tier.min(LAST_TIER))
    }

    pub(super) fn number(self) -> u8 {
        self.0
    }
}

impl Key for Tier {
    const GONE: Self = Self(u8::MAX);
}

/// The tier, then the failures. More than 2^24 - 1 failures count as that.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Failures(u32);

impl Failures {
    const BITS: u32 = 24;
    const MOST: u32 = (1 << Self::BITS) - 1;

    pub(super) fn new(tier: u8) -> Self {
        Self(u32::from(tier.min(LAST_TIER)) << Self::BITS)
    }

    /// The same tier with as many failures.
    pub(super) fn with(self, failures: u32) -> Self {
        Self(self.0 & !Self::MOST | failures.min(Self::MOST))
    }
}

impl Key for Failures {
    const GONE: Self = Self(u32::MAX);
}
