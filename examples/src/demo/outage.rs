//! What is done to the servers, and how long the client may take to notice and to be back.

use std::time::Duration;

use crate::demo::client::ECHO_WITHIN;
use crate::demo::server::Mode;

/// An outage that the demo makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outage {
    /// The client's server stops: dials of it are refused.
    Stop,
    /// The client's server resets its connections in the middle of the stream.
    Reset,
    /// The client's server goes silent; nothing is closed.
    Stall,
    /// All servers stop; some time later another one is back.
    AllStop,
    /// The client's server and the next in the list go silent.
    TwoStall,
}

impl Outage {
    pub(crate) const ALL: [Self; 5] = [
        Self::Stop,
        Self::Reset,
        Self::Stall,
        Self::AllStop,
        Self::TwoStall,
    ];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Stop => "server stopped",
            Self::Reset => "reset mid-stream",
            Self::Stall => "stalled, not closed",
            Self::AllStop => "all stopped, one back",
            Self::TwoStall => "two stalled",
        }
    }

    /// What happens to the client's server, to the one after it, and to the two others.
    pub(crate) const fn modes(self) -> [Mode; 3] {
        match self {
            Self::Stop => [Mode::Stopped, Mode::Serving, Mode::Serving],
            Self::Reset => [Mode::Resetting, Mode::Serving, Mode::Serving],
            Self::Stall => [Mode::Stalled, Mode::Serving, Mode::Serving],
            Self::AllStop => [Mode::Stopped; 3],
            Self::TwoStall => [Mode::Stalled, Mode::Stalled, Mode::Serving],
        }
    }

    /// When the server after the next is back, if none is left.
    pub(crate) const fn one_back_after(self) -> Option<Duration> {
        match self {
            Self::AllStop => Some(Duration::from_millis(1200)),
            Self::Stop | Self::Reset | Self::Stall | Self::TwoStall => None,
        }
    }

    /// Within this time the client must have noticed. A stall shows only by its silence.
    pub(crate) const fn noticed_within(self) -> Duration {
        match self {
            Self::Stop | Self::Reset | Self::AllStop => Duration::from_millis(500),
            Self::Stall | Self::TwoStall => ECHO_WITHIN.saturating_add(Duration::from_millis(500)),
        }
    }
}
