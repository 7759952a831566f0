//! What races teach about the next one's stagger.

use core::num::NonZeroU32;
use core::time::Duration;

/// Learns from won races how long a dial may well take. It outlives them: keep one per pool, or one
/// per transport. 12 bytes, `Copy`.
///
/// Two things make up the stagger:
///
/// - **How long dials take**: the estimate of RFC 6298 for retransmission, the smoothed time plus four
///   times its smoothed deviation, where a dial counts as at most four times the estimate, so that
///   a single lost packet (3 s among milliseconds) is forgotten after some ten dials, while a
///   network that got slower is believed after a few.
/// - **Patience**: what that estimate is stretched by, from 1 to 4. A *needless* start, of a
///   candidate beside one that then won all the same, raises it by a quarter; every other win
///   lowers it by a thousandth. So needless starts settle below 1 in 200 wins, whatever the
///   distribution of the dial times, as long as a stretch of 4 and the bounds can do it.
///
/// Only winners teach. A mute server, which is cancelled when another wins, does not teach
/// patience: the stagger stays short as long as it is on the list. The other side of it: a healthy
/// server that is always slower than the others by more than the stagger costs a connection each
/// time it stands first. Give such a one a tier of its own, or raise the lower bound.
///
/// ```
/// use core::time::Duration;
/// use failover_core::race::{Lap, Stagger, Trainer};
///
/// let mut trainer = Trainer::new();
/// assert_eq!(Stagger::TRAINED.wait(&trainer), Duration::from_millis(250));
/// trainer.learn(Lap::new(Duration::from_micros(400)));
/// assert_eq!(Stagger::TRAINED.wait(&trainer), Duration::from_millis(10));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(deny_unknown_fields)
)]
pub struct Trainer {
    /// The smoothed time of a dial, in microseconds.
    typical: Option<NonZeroU32>,
    /// Its smoothed deviation, in microseconds.
    deviation: u32,
    /// In units of 1 / `ONE`.
    patience: u32,
}

impl Trainer {
    /// Knows nothing yet.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            typical: None,
            deviation: 0,
            patience: ONE,
        }
    }

    /// Learns from a win.
    pub fn learn(&mut self, lap: Lap) {
        self.on_time(lap.took);
        self.patience = match lap.hedges {
            0 => self.patience - self.patience / 1024,
            _ => self.patience + self.patience / 4,
        }
        .clamp(ONE, MOST_PATIENT);
    }

    /// The stagger of the next race, within these bounds; `max` as long as nothing is known.
    #[must_use]
    pub fn stagger(&self, min: Duration, max: Duration) -> Duration {
        let Some(typical) = self.typical else {
            return max;
        };
        let stretched = Duration::from_micros(self.estimate(typical))
            .max(min)
            .saturating_mul(self.patience)
            / ONE;
        stretched.max(min).min(max)
    }

    /// Whether this is one that races have taught.
    #[cfg(feature = "serde")]
    pub(crate) fn is_sound(&self) -> bool {
        (ONE..=MOST_PATIENT).contains(&self.patience)
    }

    fn on_time(&mut self, took: Duration) {
        let Some(typical) = self.typical else {
            let took = micros(took);
            self.typical = NonZeroU32::new(took);
            self.deviation = took / 2;
            return;
        };
        let believed = u32::try_from(self.estimate(typical).saturating_mul(4)).unwrap_or(u32::MAX);
        let took = micros(took).min(believed);
        let off = typical.get().abs_diff(took);
        self.deviation = toward(self.deviation, off, 4);
        self.typical = NonZeroU32::new(toward(typical.get(), took, 8));
    }

    /// In microseconds.
    fn estimate(&self, typical: NonZeroU32) -> u64 {
        let slack = u64::from(self.deviation).saturating_mul(4).max(TICK);
        u64::from(typical.get()).saturating_add(slack)
    }
}

impl Default for Trainer {
    fn default() -> Self {
        Self::new()
    }
}

/// How a race was won.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Lap {
    /// From the winner's own start until it was done.
    pub took: Duration,
    /// How many others started meanwhile because the stagger ran out: needlessly, as it turned out.
    pub hedges: u32,
}

impl Lap {
    /// A dial that took this long, with nobody beside it.
    #[must_use]
    pub const fn new(took: Duration) -> Self {
        Self { took, hedges: 0 }
    }
}

/// Patience of 1.
const ONE: u32 = 1 << 16;
/// The longest stretch: with it, a mute server costs at most four times the estimate.
const MOST_PATIENT: u32 = 4 * ONE;
/// RFC 6298's clock granularity, in microseconds: usual timers tick once a millisecond.
const TICK: u64 = 1000;

/// Moves `from` by an `n`-th of its distance to `to`.
fn toward(from: u32, to: u32, n: u32) -> u32 {
    if to >= from {
        from + (to - from) / n
    } else {
        from - (from - to) / n
    }
}

/// At least 1; more than 71 minutes saturate.
fn micros(duration: Duration) -> u32 {
    u32::try_from(duration.as_micros())
        .unwrap_or(u32::MAX)
        .max(1)
}
