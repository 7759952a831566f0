//! What may be said about a heartbeat.

use core::time::Duration;

use thiserror::Error;

use crate::time::Told;

/// The least period of anything: 1 ms, the tick of the usual timers.
pub const LEAST_PERIOD: Duration = Duration::from_millis(1);

/// How a connection is watched. No heartbeat at all is `Option<Heartbeat>`; a period of zero is
/// refused rather than given a meaning.
///
/// | part | default | source | what it trades |
/// |---|---|---|---|
/// | `watch` | every 10 s, 2 outstanding | NATS's way with shorter times | short notices a dead peer soon; costs a small packet an interval while nothing else comes, and wakes radios |
/// | `beat` | off | STOMP's `cx`, for peers that watch us | a small packet a period while nothing else is sent |
/// | `write_deadline` | off | | finds a peer that sends but takes nothing in; too short gives up a slow link |
///
/// ```
/// use core::time::Duration;
/// use failover_core::heartbeat::Heartbeat;
///
/// let heartbeat = Heartbeat::builder()
///     .watch(Duration::from_secs(5), 1)
///     .write_deadline(Duration::from_secs(30))
///     .build()?;
/// assert_eq!(heartbeat.bound(), Some(Duration::from_secs(10)));
///
/// let refused = Heartbeat::builder().watch(Duration::ZERO, 1).build();
/// assert!(refused.unwrap_err().to_string().starts_with("heartbeat: watch is 0s"));
/// # Ok::<(), failover_core::heartbeat::HeartbeatError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Heartbeat {
    watch: Option<Watch>,
    beat: Option<Duration>,
    write_deadline: Option<Duration>,
}

/// How the silence of the peer is watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Watch {
    /// How long the peer may be silent before it is asked, and how long each ping has to be
    /// answered. (NATS's `PingInterval`)
    pub interval: Duration,
    /// How many pings may be unanswered. (NATS's `MaxPingsOut`) With 0 the peer is never asked: it
    /// is stale after one silent interval, for protocols whose servers send on their own (STOMP,
    /// Diffusion).
    pub max_outstanding: u32,
}

impl Heartbeat {
    /// NATS's: a ping every 2 min, two may be unanswered. Stale 6 min after the last byte; counted
    /// from that byte, where NATS counts its own ticks and takes 4 to 6.
    pub const NATS: Self = Self::watching(Duration::from_secs(120), 2);

    /// Begins with nothing.
    pub fn builder() -> HeartbeatBuilder {
        HeartbeatBuilder {
            heartbeat: Self {
                watch: None,
                beat: None,
                write_deadline: None,
            },
        }
    }

    /// How the silence of the peer is watched.
    #[must_use]
    pub const fn watch(&self) -> Option<Watch> {
        self.watch
    }

    /// How long we may be silent.
    #[must_use]
    pub const fn beat(&self) -> Option<Duration> {
        self.beat
    }

    /// How long a write may be pending.
    #[must_use]
    pub const fn write_deadline(&self) -> Option<Duration> {
        self.write_deadline
    }

    /// Within this time after its last byte a dead peer is noticed, if wake-ups are in time:
    /// `interval × (max_outstanding + 1)`. Nothing if its silence is not watched.
    #[must_use]
    pub fn bound(&self) -> Option<Duration> {
        let watch = self.watch?;
        let steps = watch.max_outstanding.saturating_add(1);
        Some(watch.interval.saturating_mul(steps))
    }

    const fn watching(interval: Duration, max_outstanding: u32) -> Self {
        Self {
            watch: Some(Watch {
                interval,
                max_outstanding,
            }),
            beat: None,
            write_deadline: None,
        }
    }
}

impl Default for Heartbeat {
    fn default() -> Self {
        Self::watching(Duration::from_secs(10), 2)
    }
}

/// Builds a [`Heartbeat`].
#[derive(Clone, Copy, Debug)]
#[must_use = "it does nothing before `build`"]
pub struct HeartbeatBuilder {
    heartbeat: Heartbeat,
}

impl HeartbeatBuilder {
    /// Asks the peer after each silent `interval`, until `max_outstanding` pings are unanswered
    /// and one more interval has passed.
    pub fn watch(mut self, interval: Duration, max_outstanding: u32) -> Self {
        self.heartbeat.watch = Some(Watch {
            interval,
            max_outstanding,
        });
        self
    }

    /// Sends something whenever nothing was sent for this long.
    pub fn beat(mut self, period: Duration) -> Self {
        self.heartbeat.beat = Some(period);
        self
    }

    /// Gives up when a write is pending for this long.
    pub fn write_deadline(mut self, deadline: Duration) -> Self {
        self.heartbeat.write_deadline = Some(deadline);
        self
    }

    /// The heartbeat, if every period is at least [`LEAST_PERIOD`].
    pub fn build(self) -> Result<Heartbeat, HeartbeatError> {
        let Heartbeat {
            watch,
            beat,
            write_deadline,
        } = self.heartbeat;
        let parts = [
            ("watch", watch.map(|watch| watch.interval)),
            ("beat", beat),
            ("write_deadline", write_deadline),
        ];
        let set = parts
            .into_iter()
            .filter_map(|(part, period)| Some((part, period?)));
        if set.clone().count() == 0 {
            return Err(HeartbeatError::Nothing);
        }
        match set.into_iter().find(|(_, period)| *period < LEAST_PERIOD) {
            Some((part, period)) => Err(HeartbeatError::TooShort { part, period }),
            None => Ok(self.heartbeat),
        }
    }
}

/// Why a heartbeat is refused: what is wrong, and what would be right.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum HeartbeatError {
    /// No part is set.
    #[error("heartbeat: nothing is set (for none, use `None`)")]
    Nothing,
    /// A period is too short.
    #[error(
        "heartbeat: {part} is {}, it must be at least {LEAST_PERIOD:?} (for none, leave it out)",
        Told(*period)
    )]
    TooShort {
        /// Which part.
        part: &'static str,
        /// Its period.
        period: Duration,
    },
}
