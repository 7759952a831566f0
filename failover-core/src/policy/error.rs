//! Why a policy is refused.

use core::time::Duration;

use thiserror::Error;

use crate::policy::jitter::Jitter;
use crate::policy::ratio::Ratio;

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
    /// The least wait is above the longest.
    #[error("pace: min is {min:?}, which is above cap ({cap:?})")]
    MinAboveCap {
        /// The least wait.
        min: Duration,
        /// The longest wait.
        cap: Duration,
    },
    /// A proportion above one would give negative waits.
    #[error("jitter: the proportion is {p}, it must lie between 0 and 1")]
    Proportion {
        /// The proportion.
        p: Ratio,
    },
    /// The jitter does not fit between the least and the longest wait.
    #[error(
        "jitter: {jitter:?} has no room between min ({min:?}) and cap ({cap:?}): raise cap, lower min, or take less jitter"
    )]
    NoRoomForJitter {
        /// The jitter.
        jitter: Jitter,
        /// The least wait.
        min: Duration,
        /// The longest wait.
        cap: Duration,
    },
    /// The first wait is above the longest.
    #[error("pace: first is {first:?}, which is above cap ({cap:?})")]
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
    /// A dial without time.
    #[error("the attempt's deadline is zero: give a dial at least a millisecond")]
    ZeroDeadline,
}
