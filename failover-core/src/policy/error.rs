//! Why a policy is refused.

use core::fmt;
use core::time::Duration;

use thiserror::Error;

use crate::policy::jitter::Jitter;
use crate::policy::ratio::Ratio;
use crate::time::Told;

/// Why a policy is refused: what is wrong, and what would be right.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum PolicyError {
    /// An exponential law that starts from zero never grows.
    #[error(
        "backoff: an exponential law needs a base above zero (for no wait at all, use a constant of zero)"
    )]
    ZeroBase,
    /// A factor below one shrinks the waits.
    #[error("backoff: the factor is {factor}, it must be at least 1")]
    FactorBelowOne {
        /// The factor.
        factor: Ratio,
    },
    /// An affine law grows only with a factor above one.
    #[error("backoff: the factor is {factor}, an affine law needs one above 1")]
    FactorNotAboveOne {
        /// The factor.
        factor: Ratio,
    },
    /// A decorrelated law draws between its base and the cap.
    #[error(
        "backoff: the decorrelated base {} must be at least min ({}) and below cap ({})",
        Told(*base), Told(*min), Told(*cap)
    )]
    DecorrelatedBase {
        /// The base.
        base: Duration,
        /// The least wait.
        min: Duration,
        /// The longest wait.
        cap: Duration,
    },
    /// A phase ladder begins at zero and ends at the cap.
    #[error(
        "backoff: a phase ladder needs a spread ({}) of at most cap ({}), and a min of zero (it is {})",
        Told(*spread), Told(*cap), Told(*min)
    )]
    Ladder {
        /// The wider spread.
        spread: Duration,
        /// The least wait.
        min: Duration,
        /// The longest wait.
        cap: Duration,
    },
    /// The least wait is above the longest.
    #[error("pace: min is {}, which is above cap ({})", Told(*min), Told(*cap))]
    MinAboveCap {
        /// The least wait.
        min: Duration,
        /// The longest wait.
        cap: Duration,
    },
    /// The least wait is longer than any wait can be.
    #[error("pace: min is {}, but no wait is longer than 2⁶⁴ nanoseconds (584 years)", Told(*min))]
    MinTooLong {
        /// The least wait.
        min: Duration,
    },
    /// A proportion above one would give negative waits.
    #[error("jitter: the proportion is {p}, it must lie between 0 and 1")]
    Proportion {
        /// The proportion.
        p: Ratio,
    },
    /// The jitter does not fit between the least and the longest wait.
    #[error(
        "jitter: {} has no room between min ({}) and cap ({}): raise cap, lower min, or take less jitter",
        Spelt(*jitter),
        Told(*min), Told(*cap)
    )]
    NoRoomForJitter {
        /// The jitter.
        jitter: Jitter,
        /// The least wait.
        min: Duration,
        /// The longest wait.
        cap: Duration,
    },
    /// Nothing is left of the jitter: every client would wait exactly min.
    #[error(
        "jitter: of {} over waits of {} nothing lies above min ({}), so that all clients would wait alike: lower min, or wait longer",
        Spelt(*jitter),
        Told(*wait), Told(*min)
    )]
    MinSwallowsJitter {
        /// The jitter.
        jitter: Jitter,
        /// The wait that the law ends at.
        wait: Duration,
        /// The least wait.
        min: Duration,
    },
    /// The first wait is above the longest.
    #[error("pace: first is {}, which is above cap ({})", Told(*first), Told(*cap))]
    FirstAboveCap {
        /// The first wait.
        first: Duration,
        /// The longest wait.
        cap: Duration,
    },
    /// A start-up limit of zero would close before the first dial.
    #[error(
        "limits at start-up: {limit} is 0, which would close before the first dial: use at least 1"
    )]
    ZeroStartUpLimit {
        /// The limit's name.
        limit: &'static str,
    },
    /// A suspension that shrinks.
    #[error("health: the factor is {factor}, it must be at least 1")]
    SuspensionFactor {
        /// The factor.
        factor: Ratio,
    },
    /// More marks than can be counted.
    #[error("health: {retries} retries before suspension, at most 254 are possible")]
    Retries {
        /// The marks asked for.
        retries: u8,
    },
    /// More classes than can be numbered.
    #[error("class: {classes} classes, at most 255 are possible")]
    TooManyClasses {
        /// How many there are.
        classes: usize,
    },
    /// A limit of zero would retire an endpoint that never failed.
    #[error("class: its per_endpoint limit is 0: use at least 1")]
    ZeroClassLimit,
    /// A part that needs two connections at the same time.
    #[error("{part} needs two connections at the same time, but overlap is forbidden")]
    NeedsOverlap {
        /// The part.
        part: &'static str,
    },
    /// Failback without probes.
    #[error("failback: it needs at least one good probe, and an interval above zero")]
    ZeroFailback,
    /// An age without room.
    #[error(
        "max_age: the age ({}) must be above zero, and the spread ({}) at most the age",
        Told(*age), Told(*spread)
    )]
    MaxAge {
        /// The age.
        age: Duration,
        /// Its spread.
        spread: Duration,
    },
    /// A resume window without a pause between its dials.
    #[error(
        "resume: the wait between two dials ({}) must be at least a millisecond, and the window ({}) above zero",
        Told(*every), Told(*window)
    )]
    Resume {
        /// The window.
        window: Duration,
        /// The wait between two dials.
        every: Duration,
    },
    /// A dial without time.
    #[error("deadline: {} is below a millisecond: give a dial at least that", Told(*deadline))]
    ZeroDeadline {
        /// The deadline.
        deadline: Duration,
    },
    /// A turn without time.
    #[error("turn_deadline: it is below a millisecond: give a turn at least that")]
    ZeroTurnDeadline,
}

/// A jitter as it is written.
struct Spelt(Jitter);

impl fmt::Display for Spelt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Jitter::None => f.write_str("none"),
            Jitter::Full => f.write_str("full"),
            Jitter::Equal => f.write_str("equal"),
            Jitter::UpTo(width) => Told(width).fmt(f),
            Jitter::Proportional(p) => match (p.ppm() / 10_000, p.ppm() % 10_000) {
                (percent, 0) => write!(f, "{percent}%"),
                (percent, rest) => write!(f, "{percent}.{rest:04}%"),
            },
        }
    }
}
