//! Points in time, as the driver counts them.

use core::fmt;
use core::time::Duration;

/// A point in time: nanoseconds since an epoch that the driver of the machine chose.
///
/// The core never reads a clock. Whoever drives the [`Machine`](crate::machine::Machine) says what
/// time it is; any monotonic source does. Arithmetic saturates, so that [`Time::MAX`] means
/// "never" and no sum overflows (law L1).
///
/// ```
/// use core::time::Duration;
/// use failover_core::time::Time;
///
/// let start = Time::ZERO + Duration::from_millis(5);
/// assert_eq!(start.as_nanos(), 5_000_000);
/// assert_eq!(Time::MAX + Duration::from_secs(1), Time::MAX);
/// assert_eq!(start.since(Time::MAX), Duration::ZERO);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(transparent)
)]
pub struct Time(u64);

impl Time {
    /// The driver's epoch.
    pub const ZERO: Self = Self(0);
    /// Later than every other time: "never". About 584 years after the epoch.
    pub const MAX: Self = Self(u64::MAX);

    /// Later than any clock tells: 292 years after the epoch. What is read from a text stays below it,
    /// so that sums have room.
    #[cfg(feature = "serde")]
    pub(crate) const FAR: Self = Self(u64::MAX / 2);

    /// The time `nanos` nanoseconds after the epoch.
    #[must_use]
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// Nanoseconds since the epoch.
    #[must_use]
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// How long after `earlier` this is; zero if it is not after it.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }

    /// `nanos` nanoseconds later, or [`Time::MAX`].
    #[must_use]
    pub(crate) const fn after(self, nanos: u64) -> Self {
        Self(self.0.saturating_add(nanos))
    }
}

impl core::ops::Add<Duration> for Time {
    type Output = Self;

    /// The time `later` after this one; saturates at [`Time::MAX`].
    fn add(self, later: Duration) -> Self {
        self.after(nanos(later))
    }
}

impl fmt::Debug for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self == Self::MAX {
            f.write_str("never")
        } else {
            write!(f, "{:?}", Duration::from_nanos(self.0))
        }
    }
}

/// The nanoseconds of a duration; one longer than 584 years saturates.
#[inline]
pub(crate) const fn nanos(duration: Duration) -> u64 {
    let whole = duration.as_secs().saturating_mul(1_000_000_000);
    whole.saturating_add(duration.subsec_nanos() as u64)
}

/// Durations as whole nanoseconds; one longer than 584 years saturates.
#[cfg(feature = "serde")]
pub(crate) mod in_nanos {
    use core::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer};

    pub(crate) fn serialize<S: Serializer>(duration: &Duration, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_u64(super::nanos(*duration))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
        u64::deserialize(from).map(Duration::from_nanos)
    }

    /// The same where there may be none.
    pub(crate) mod maybe {
        use core::time::Duration;

        use serde::{Deserialize, Deserializer, Serialize, Serializer};

        pub(crate) fn serialize<S: Serializer>(
            duration: &Option<Duration>,
            to: S,
        ) -> Result<S::Ok, S::Error> {
            duration.map(crate::time::nanos).serialize(to)
        }

        pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
            from: D,
        ) -> Result<Option<Duration>, D::Error> {
            Ok(Option::deserialize(from)?.map(Duration::from_nanos))
        }
    }
}

/// A duration as it is written: nothing is no number of nanoseconds.
pub(crate) struct Told(pub(crate) Duration);

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Duration::ZERO => f.write_str("0s"),
            other => write!(f, "{other:?}"),
        }
    }
}
