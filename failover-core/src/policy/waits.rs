//! A policy's waits alone, without a machine.

use core::fmt;
use core::iter::FusedIterator;
use core::time::Duration;

use crate::endpoint::Security;
use crate::policy::{Policy, Seed};
use crate::random::Random;

/// The waits of a policy, one after the other, jitter included: for tables, proofs, and programs
/// that keep their own loop. Made by [`Policy::waits`].
///
/// They are the waits of one outage, in the order in which a machine draws them. What stands around
/// the pace takes no part: the wait before the first dial, the delay hook, a resting endpoint, the
/// floor of [`MIN_REDIAL`](crate::policy::MIN_REDIAL).
///
/// Its state is 25 bytes beside the borrowed policy: the generator (16), the previous wait before
/// jitter (8), the security (1).
#[derive(Clone, PartialEq)]
pub struct Waits<'a> {
    policy: &'a Policy,
    rng: Random,
    previous: u64,
    security: Security,
}

impl Policy {
    /// The waits of one outage before dials of this security.
    ///
    /// ```
    /// use core::time::Duration;
    /// use failover_core::endpoint::Security;
    /// use failover_core::policy::{Backoff, Jitter, Pace, Policy, Ratio, Seed};
    ///
    /// let base = Duration::from_millis(100);
    /// let policy = Policy::builder()
    ///     .pace(Pace::new(Backoff::Exponential { base, factor: Ratio::TWO }))
    ///     .jitter(Jitter::UpTo(base))
    ///     .build()?;
    /// let mut waits = policy.waits(Seed::new(7), Security::Plain);
    /// assert!((base..2 * base).contains(&waits.next_wait()));
    /// assert!((2 * base..3 * base).contains(&waits.next_wait()));
    /// # Ok::<(), failover_core::policy::PolicyError>(())
    /// ```
    #[must_use]
    pub fn waits(&self, seed: Seed, security: Security) -> Waits<'_> {
        Waits {
            policy: self,
            rng: Random::new(seed),
            previous: 0,
            security,
        }
    }
}

impl Waits<'_> {
    /// The next wait. There is always one: a policy's limits are another matter.
    // Within a loop the policy's numbers then stay in registers: 20 instructions less.
    #[inline(always)]
    pub fn next_wait(&mut self) -> Duration {
        self.previous = self
            .policy
            .next_wait(self.previous, self.security, &mut self.rng);
        let wait = self
            .policy
            .spread(self.previous, self.security, &mut self.rng);
        Duration::from_nanos(wait)
    }

    /// Back to the first wait, as after a connection that proved stable. The generator goes on.
    pub fn reset(&mut self) {
        self.previous = 0;
    }
}

impl Iterator for Waits<'_> {
    type Item = Duration;

    #[inline]
    fn next(&mut self) -> Option<Duration> {
        Some(self.next_wait())
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (usize::MAX, None)
    }
}

impl FusedIterator for Waits<'_> {}

impl fmt::Debug for Waits<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Waits")
            .field("backoff", &self.policy.pace().backoff)
            .field("previous", &Duration::from_nanos(self.previous))
            .field("security", &self.security)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::*;

    #[test]
    fn the_first_wait_comes_again_after_a_reset_with_another_draw() {
        let policy = Policy::default();
        let mut waits = policy.waits(Seed::new(1), Security::Plain);
        let before: Vec<Duration> = waits.by_ref().take(100).collect();
        waits.reset();
        let first = waits.next_wait();
        assert!(first < Duration::from_millis(250) && first != before[0]);
    }

    #[test]
    fn its_state_is_as_small_as_its_documentation_says() {
        let beside = size_of::<Waits<'_>>() - size_of::<&Policy>();
        assert_eq!(beside, 25_usize.next_multiple_of(align_of::<Waits<'_>>()));
    }
}
