//! The law of the waits: how the next one follows from the one before.

use core::time::Duration;

use rand::Rng;

use crate::endpoint::Security;
use crate::policy::error::PolicyError;
use crate::policy::ratio::Ratio;
use crate::time::nanos;

/// How waits grow, before jitter.
///
/// Each law is a step from one wait to the next. The last two draw their waits themselves and take
/// no further [`Jitter`](crate::policy::Jitter).
///
/// ```
/// use core::time::Duration;
/// use failover_core::policy::{Backoff, Ratio};
///
/// let doubling = Backoff::Exponential { base: Duration::from_millis(100), factor: Ratio::TWO };
/// let cap = Duration::from_secs(1);
/// let waits: Vec<u128> = (1..=6).map(|n| doubling.wait(n, cap).as_millis()).collect();
/// assert_eq!(waits, [100, 200, 400, 800, 1000, 1000]);
///
/// // stompit's series, min(10·(2ᵏ − 1), 30000):
/// let stompit = Backoff::Affine { initial: Duration::from_millis(10), factor: Ratio::TWO };
/// let waits: Vec<u128> = (1..=5).map(|n| stompit.wait(n, Duration::from_secs(30)).as_millis()).collect();
/// assert_eq!(waits, [10, 30, 70, 150, 310]);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Backoff {
    /// The same wait every time (NATS's `ReconnectWait`, Diffusion's interval).
    Constant(Duration),
    /// `base`, `base·factor`, `base·factor²`, … up to the cap (ActiveMQ, gRPC).
    Exponential {
        /// The first wait. Above zero.
        base: Duration,
        /// What each wait is multiplied by. At least 1.
        factor: Ratio,
    },
    /// `initial·(factorᵏ − 1)`, that is `previous·factor + initial·(factor − 1)`: stompit's law.
    Affine {
        /// The unit of the series. Above zero.
        initial: Duration,
        /// The growth. Above 1.
        factor: Ratio,
    },
    /// `U[base, min(cap, 3·previous))`: decorrelated jitter. (AWS draws `min(cap, U[base,
    /// 3·previous))`, which piles up at the cap.)
    Decorrelated {
        /// The least wait. Above zero, below the cap.
        base: Duration,
    },
    /// A ladder with one phase φ per outage, drawn from `U[0, 1)`: waits `J·φ`, `J + J·φ`, then
    /// doubled, then exactly the cap. The attempts of many clients fall evenly on every stretch of
    /// time, for an outage of any length, where jitter drawn anew at each attempt bunches: sums of
    /// uniforms pile up.
    ///
    /// `J` is the whole initial spread: a small one recovers fast from a blip, but then half of the
    /// clients knock within it. It is shrunk to the next value of which the cap is a power of two
    /// times.
    PhaseLadder {
        /// `J` before a plain dial. Above zero, at most the cap.
        spread: Duration,
        /// `J` before a TLS dial.
        tls_spread: Duration,
    },
}

impl Backoff {
    /// The `n`-th wait in closed form (from 1), before jitter, at most `cap`; for the laws that
    /// draw, the bound that the `n`-th wait of a plain dial does not exceed.
    ///
    /// For tables and proofs; it takes as many steps as the law needs to reach the cap.
    #[must_use]
    pub fn wait(&self, n: u32, cap: Duration) -> Duration {
        let law = self.compile(cap);
        let mut wait = 0;
        for _ in 0..n {
            let next = law.most_after(wait);
            if next == wait {
                break;
            }
            wait = next;
        }
        Duration::from_nanos(wait)
    }

    /// Whether the law draws its waits itself, so that jitter does not apply.
    #[must_use]
    pub const fn draws(&self) -> bool {
        match self {
            Self::Constant(_) | Self::Exponential { .. } | Self::Affine { .. } => false,
            Self::Decorrelated { .. } | Self::PhaseLadder { .. } => true,
        }
    }

    /// The wait that the law ends at, before jitter: the cap, unless it does not grow.
    pub(crate) fn plateau(&self, cap: Duration) -> Duration {
        match *self {
            Self::Constant(wait) => wait.min(cap),
            Self::Exponential { base, factor } if factor == Ratio::ONE => base.min(cap),
            Self::Exponential { .. }
            | Self::Affine { .. }
            | Self::Decorrelated { .. }
            | Self::PhaseLadder { .. } => cap,
        }
    }

    pub(crate) fn check(&self, min: Duration, cap: Duration) -> Result<(), PolicyError> {
        let zero = |base: &Duration| base.is_zero().then_some(PolicyError::ZeroBase);
        let refused = match self {
            Self::Constant(_) => None,
            Self::Exponential { base, factor } => zero(base)
                .or((*factor < Ratio::ONE)
                    .then_some(PolicyError::FactorBelowOne { factor: *factor })),
            Self::Affine { initial, factor } => zero(initial).or((*factor <= Ratio::ONE)
                .then_some(PolicyError::FactorNotAboveOne { factor: *factor })),
            Self::Decorrelated { base } => zero(base).or((*base < min
                || nanos(*base) >= nanos(cap))
            .then_some(PolicyError::DecorrelatedBase {
                base: *base,
                min,
                cap,
            })),
            Self::PhaseLadder { spread, tls_spread } => {
                zero(spread).or(zero(tls_spread)).or_else(|| {
                    let widest = *spread.max(tls_spread);
                    (widest > cap || !min.is_zero()).then_some(PolicyError::Ladder {
                        spread: widest,
                        min,
                        cap,
                    })
                })
            }
        };
        refused.map_or(Ok(()), Err)
    }

    pub(crate) fn compile(&self, cap: Duration) -> Law {
        let cap = nanos(cap);
        match *self {
            Self::Constant(wait) => Law::Step {
                base: nanos(wait).min(cap),
                add: 0,
                factor: Ratio::ONE,
                cap: nanos(wait).min(cap),
            },
            Self::Exponential { base, factor } => Law::Step {
                base: nanos(base).min(cap),
                add: 0,
                // A lesser one is refused in a policy; in a table it stands still.
                factor: factor.max(Ratio::ONE),
                cap,
            },
            Self::Affine { initial, factor } => {
                // Not `factor.of(initial) - initial`: that product may saturate.
                let growth = Ratio::from_ppm(factor.ppm().saturating_sub(Ratio::ONE.ppm()));
                let add = growth.of(nanos(initial));
                Law::Step {
                    base: add.min(cap),
                    add,
                    factor,
                    cap,
                }
            }
            Self::Decorrelated { base } => Law::Decorrelated {
                base: nanos(base).min(cap),
                cap,
            },
            Self::PhaseLadder { spread, tls_spread } => Law::Ladder {
                spread: rung(nanos(spread), cap),
                tls_spread: rung(nanos(tls_spread), cap),
                hold: cap,
            },
        }
    }
}

/// The largest value that is at most `spread` and of which `hold` is a power of two times.
fn rung(spread: u64, hold: u64) -> u64 {
    let mut rung = hold;
    while rung > spread.max(1) {
        rung = rung.div_ceil(2);
    }
    rung.max(1).min(hold)
}

/// A backoff ready to be computed. Its state is one number: the previous wait in nanoseconds,
/// before jitter; 0 means that there was none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Law {
    Step {
        base: u64,
        add: u64,
        factor: Ratio,
        cap: u64,
    },
    Decorrelated {
        base: u64,
        cap: u64,
    },
    Ladder {
        spread: u64,
        tls_spread: u64,
        hold: u64,
    },
}

impl Law {
    /// The wait after a wait of `previous`.
    #[inline]
    pub(crate) fn next(&self, previous: u64, security: Security, rng: &mut impl Rng) -> u64 {
        match *self {
            Self::Step { .. } => self.most_after(previous),
            Self::Decorrelated { base, cap } => {
                let most = previous.max(base).saturating_mul(3).min(cap);
                draw(base, most, rng)
            }
            Self::Ladder {
                spread,
                tls_spread,
                hold,
            } => {
                let spread = match security {
                    Security::Plain => spread,
                    Security::Tls => tls_spread,
                };
                match previous {
                    // Never 0, which would mean that there was no wait.
                    0 => draw(0, spread, rng).max(1),
                    _ => climb(previous, spread, hold),
                }
            }
        }
    }

    /// The longest wait that may follow a wait of `previous`.
    #[inline]
    fn most_after(&self, previous: u64) -> u64 {
        match *self {
            // No factor is below one.
            Self::Step { cap, .. } if previous >= cap => cap,
            Self::Step { base, .. } if previous == 0 => base,
            Self::Step {
                add, factor, cap, ..
            } => factor.of(previous).saturating_add(add).min(cap),
            Self::Decorrelated { base, cap } => previous.max(base).saturating_mul(3).min(cap),
            Self::Ladder { spread, hold, .. } => match previous {
                0 => spread,
                _ => climb(previous, spread, hold),
            },
        }
    }
}

/// One rung up: `J + wait` from the first, then doubled, then the hold.
#[inline]
fn climb(previous: u64, spread: u64, hold: u64) -> u64 {
    if previous < spread {
        spread.saturating_add(previous).min(hold)
    } else if previous >= hold / 2 {
        hold
    } else {
        previous * 2
    }
}

/// A number of `low..high`, or `low` if there is none, and then nothing is drawn.
///
/// By one number of the generator always. Where the range is no power of two, some numbers come more
/// often than others, by one in 2^64 over the range: for a wait of a minute, one in 300 million.
#[inline]
pub(crate) fn draw(low: u64, high: u64, rng: &mut impl Rng) -> u64 {
    if low >= high {
        return low;
    }
    let share = u128::from(rng.next_u64()) * u128::from(high - low);
    low + (share >> 64) as u64
}
