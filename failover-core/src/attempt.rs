//! Dials and connections: how they are numbered and what they are for.

use core::fmt;

/// The number of one dial, and of the connection that comes of it.
///
/// A machine never uses a number twice, so that a late or doubled report about an older dial is
/// recognised and changes nothing (law L12).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(transparent)
)]
pub struct AttemptId(u64);

impl AttemptId {
    /// The attempt with this number. For drivers and tools that store numbers; the machine alone
    /// makes new ones.
    #[must_use]
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// The number.
    #[must_use]
    pub const fn number(self) -> u64 {
        self.0
    }
}

impl fmt::Display for AttemptId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{}", self.0)
    }
}

/// What part a dial plays among those that are in flight.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "kebab-case")
)]
#[non_exhaustive]
pub enum Role {
    /// The dial that the client waits for.
    Main,
    /// A staggered rival of the main dial.
    Raced,
    /// A warm standby connection.
    Spare,
    /// A look at a preferred endpoint while another is connected.
    Probe,
}

/// Why a dial is made; transports and login layers see it in their
/// [`DialContext`](crate::dial::DialContext).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "kebab-case")
)]
#[non_exhaustive]
pub enum Purpose {
    /// There was no connection before.
    First,
    /// Back to the server that was lost.
    Reconnect,
    /// To another server than the one lost.
    Failover,
    /// To see whether a preferred server is back.
    Probe,
    /// To keep a spare warm.
    Spare,
}

impl Purpose {
    /// The word for logs and JSON lines: stable, lower case.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::First => "first",
            Self::Reconnect => "reconnect",
            Self::Failover => "failover",
            Self::Probe => "probe",
            Self::Spare => "spare",
        }
    }
}
