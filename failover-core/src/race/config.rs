//! What may be said about a race.

use core::time::Duration;

use thiserror::Error;

use crate::race::trainer::Trainer;
use crate::time::Told;

/// The least fixed stagger: 10 ms. RFC 8305 forbids less, because many starts on a network that
/// loses packets make it lose more.
pub const LEAST_STAGGER: Duration = Duration::from_millis(10);
/// The least bound of a trained stagger: 1 ms, the tick of the usual timers.
pub const LEAST_TRAINED_STAGGER: Duration = Duration::from_millis(1);
/// The longest stagger: 10 s. RFC 8305 recommends at most 2 s.
pub const LONGEST_STAGGER: Duration = Duration::from_secs(10);

/// How many candidates race at once, and how long after one another they start.
///
/// | part | default | source | what it trades |
/// |---|---|---|---|
/// | `most` | 4 in flight | two of each family | more: lives with more mute candidates before a deadline; costs descriptors here and half-open connections there |
/// | `stagger` | fixed, 250 ms | RFC 8305 | see [`Stagger`] |
///
/// [`Race::OFF`] starts the next only when the one before has failed.
///
/// ```
/// use core::time::Duration;
/// use failover_core::race::{Race, RaceError, Stagger};
///
/// let race = Race::new(2, Stagger::TRAINED)?;
/// assert_eq!(race.most(), 2);
/// assert_eq!(Race::new(0, Stagger::TRAINED), Err(RaceError::NobodyRuns));
/// let hasty = Stagger::Fixed(Duration::from_millis(9));
/// assert!(Race::new(2, hasty).unwrap_err().to_string().contains("9ms"));
/// # Ok::<(), RaceError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Race {
    most: u8,
    stagger: Stagger,
}

impl Race {
    /// One at a time: the next starts when the one before has failed.
    pub const OFF: Self = Self {
        most: 1,
        stagger: Stagger::DEFAULT,
    };

    /// A race of at most `most` at a time, one `stagger` after the other.
    pub fn new(most: u8, stagger: Stagger) -> Result<Self, RaceError> {
        if most == 0 {
            return Err(RaceError::NobodyRuns);
        }
        stagger.check()?;
        Ok(Self { most, stagger })
    }

    /// How many are in flight at once, at most. At least 1.
    #[must_use]
    pub const fn most(&self) -> u8 {
        self.most
    }

    /// How long after one another they start.
    #[must_use]
    pub const fn stagger(&self) -> Stagger {
        self.stagger
    }
}

impl Default for Race {
    fn default() -> Self {
        Self {
            most: 4,
            stagger: Stagger::DEFAULT,
        }
    }
}

/// How long the one that started last is given before the next one starts beside it.
///
/// Short finds a way around a mute candidate soon; too short starts connections for nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Stagger {
    /// Always this long: 10 ms to 10 s, by default 250 ms. RFC 8305 recommends 100 ms to 2 s.
    Fixed(Duration),
    /// As long as the dials seen so far make likely to be enough, within bounds: see [`Trainer`].
    /// `max` until the first dial was seen.
    ///
    /// `min` may be as low as 1 ms, below what RFC 8305 allows: it speaks of the addresses of one
    /// name over an unknown network, while a pool in one data centre may know better. The default,
    /// 10 ms, keeps to it.
    Trained {
        /// The least: 1 ms to `max`.
        min: Duration,
        /// The longest: up to 10 s.
        max: Duration,
    },
}

impl Stagger {
    /// Fixed, 250 ms.
    pub const DEFAULT: Self = Self::Fixed(Duration::from_millis(250));
    /// Trained, between 10 ms and 250 ms.
    pub const TRAINED: Self = Self::Trained {
        min: LEAST_STAGGER,
        max: Duration::from_millis(250),
    };

    /// How long it is by now.
    #[must_use]
    pub fn wait(&self, trainer: &Trainer) -> Duration {
        match *self {
            Self::Fixed(stagger) => stagger,
            Self::Trained { min, max } => trainer.stagger(min, max),
        }
    }

    fn check(&self) -> Result<(), RaceError> {
        let (least, min, max) = match *self {
            Self::Fixed(stagger) => (LEAST_STAGGER, stagger, stagger),
            Self::Trained { min, max } => (LEAST_TRAINED_STAGGER, min, max),
        };
        if min < least {
            return Err(RaceError::TooShort {
                stagger: min,
                least,
            });
        }
        if max > LONGEST_STAGGER {
            return Err(RaceError::TooLong { stagger: max });
        }
        if min > max {
            return Err(RaceError::MinAboveMax { min, max });
        }
        Ok(())
    }
}

impl Default for Stagger {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// Why a race is refused: what is wrong, and what would be right.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum RaceError {
    /// None may be in flight.
    #[error("race: most is 0, it must be at least 1 (1 = no race)")]
    NobodyRuns,
    /// The stagger, or its lower bound, is too short.
    #[error("race: the stagger is {}, it must be at least {least:?}", Told(*stagger))]
    TooShort {
        /// The stagger.
        stagger: Duration,
        /// The least of its kind.
        least: Duration,
    },
    /// The stagger, or its upper bound, is too long.
    #[error(
        "race: the stagger is {stagger:?}, it must be at most {LONGEST_STAGGER:?} (for no race, use most = 1)"
    )]
    TooLong {
        /// The stagger.
        stagger: Duration,
    },
    /// The bounds of a trained stagger are the wrong way round.
    #[error("race: the stagger's min is {min:?}, which is above its max ({max:?})")]
    MinAboveMax {
        /// The lower bound.
        min: Duration,
        /// The upper bound.
        max: Duration,
    },
}
