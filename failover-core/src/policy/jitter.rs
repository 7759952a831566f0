//! Spreading the waits, so that clients do not knock together.

use core::time::Duration;

use rand::Rng;

use crate::policy::backoff::draw;
use crate::policy::error::PolicyError;
use crate::policy::ratio::Ratio;
use crate::time::nanos;

/// How a wait of `v` is spread. The policy has one for plain and one for TLS endpoints.
///
/// Whatever the kind, the result lies between the pace's minimum and cap, and it still differs
/// between clients at the cap: the wait is shrunk to make room, the sum is never clamped (law L3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Jitter {
    /// `v`.
    None,
    /// `v + U[0, width)`: NATS's `ReconnectJitter`.
    UpTo(Duration),
    /// `v · U[1 − p, 1 + p)`: gRPC's ±20 %. `p` lies between 0 and 1.
    Proportional(Ratio),
    /// `U[0, v)`: "full jitter" of the AWS architecture blog.
    Full,
    /// `v/2 + U[0, v/2)`: "equal jitter" of the same.
    Equal,
}

impl Jitter {
    /// Refuses a jitter that has no room between `min` and `cap`.
    pub(crate) fn check(&self, min: Duration, cap: Duration) -> Result<(), PolicyError> {
        let (low, high) = (nanos(min), nanos(cap));
        let room = match *self {
            Self::None => true,
            Self::UpTo(width) => low
                .checked_add(nanos(width))
                .is_some_and(|most| most <= high),
            Self::Proportional(p) if p > Ratio::ONE => return Err(PolicyError::Proportion { p }),
            Self::Proportional(p) => {
                let center = p.shrink(high);
                low <= center.saturating_sub(p.of(center))
            }
            Self::Full => low < high || high == 0,
            Self::Equal => low <= high / 2,
        };
        if room {
            Ok(())
        } else {
            Err(PolicyError::NoRoomForJitter {
                jitter: *self,
                min,
                cap,
            })
        }
    }

    /// Refuses a jitter of which nothing is left of the wait that the law ends at: all of it lies
    /// below `min`, and every client would wait exactly that.
    pub(crate) fn check_plateau(
        &self,
        min: Duration,
        plateau: Duration,
        cap: Duration,
    ) -> Result<(), PolicyError> {
        let spreads = match *self {
            Self::None => false,
            Self::UpTo(width) => !width.is_zero(),
            Self::Proportional(p) => p > Ratio::ZERO,
            Self::Full | Self::Equal => true,
        };
        let (low, high) = self.compile(min, plateau, cap).last.1;
        if spreads && !min.is_zero() && low == high {
            return Err(PolicyError::MinSwallowsJitter {
                jitter: *self,
                wait: plateau,
                min,
            });
        }
        Ok(())
    }

    /// For a law whose waits end at `plateau`.
    pub(crate) fn compile(&self, min: Duration, plateau: Duration, cap: Duration) -> Spread {
        let mut spread = Spread {
            min: nanos(min),
            cap: nanos(cap),
            kind: match *self {
                Self::None => Kind::None,
                Self::UpTo(width) => Kind::UpTo(nanos(width)),
                Self::Proportional(p) => Kind::Proportional(p, p.shrink(nanos(cap))),
                Self::Full => Kind::Full,
                Self::Equal => Kind::Equal,
            },
            last: (0, (0, 0)),
        };
        let plateau = nanos(plateau);
        spread.last = (plateau, spread.range(plateau));
        spread
    }
}

/// A jitter ready to be drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Spread {
    min: u64,
    cap: u64,
    kind: Kind,
    /// The wait that the law ends at, and its range: after a while, each wait is that.
    last: (u64, (u64, u64)),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    None,
    UpTo(u64),
    Proportional(Ratio, u64),
    Full,
    Equal,
}

impl Spread {
    /// Spreads a wait, in nanoseconds.
    #[inline]
    pub(crate) fn draw(&self, wait: u64, rng: &mut impl Rng) -> u64 {
        let (low, high) = match self.last {
            (last, range) if last == wait => range,
            _ => self.range(wait),
        };
        draw(low, high, rng)
    }

    /// The least wait that is drawn, and the bound that is not reached: within `min..=cap`.
    #[inline]
    fn range(&self, wait: u64) -> (u64, u64) {
        match self.kind {
            Kind::None => {
                let wait = wait.max(self.min).min(self.cap);
                (wait, wait)
            }
            Kind::UpTo(width) => {
                let low = wait.min(self.cap.saturating_sub(width)).max(self.min);
                (low, low.saturating_add(width).min(self.cap))
            }
            Kind::Proportional(p, most) => {
                let center = wait.min(most);
                let half = p.of(center);
                let (low, high) = (center.saturating_sub(half), center.saturating_add(half));
                (
                    low.max(self.min).min(self.cap),
                    high.max(self.min).min(self.cap),
                )
            }
            Kind::Full => (self.min, wait.max(self.min).min(self.cap)),
            Kind::Equal => {
                let wait = wait.min(self.cap);
                ((wait / 2).max(self.min), wait.max(self.min))
            }
        }
    }
}
