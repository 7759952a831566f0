//! Settling the periods of both sides.

use core::time::Duration;

use crate::heartbeat::config::{Heartbeat, LEAST_PERIOD};

/// What one side says of itself: STOMP's header `heart-beat:<sends>,<wants>`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub struct Offer {
    /// It can send something at least this often; `None`: it cannot promise.
    pub sends: Option<Duration>,
    /// It wants to receive something at least this often; `None`: it does not care.
    pub wants: Option<Duration>,
}

impl Offer {
    /// From the numbers on the wire, in milliseconds, where 0 means none.
    #[must_use]
    pub fn from_millis(sends: u64, wants: u64) -> Self {
        let period = |millis| (millis > 0).then(|| Duration::from_millis(millis));
        Self {
            sends: period(sends),
            wants: period(wants),
        }
    }
}

/// What both sides agreed on, seen from ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub struct Agreed {
    /// We send something at least this often.
    pub outgoing: Option<Duration>,
    /// The peer sends something at least this often.
    pub incoming: Option<Duration>,
}

/// Settles both directions: each is the longer of what one side can and the other wants, and there
/// is none unless both said something (STOMP 1.2, "Heart-beating").
///
/// ```
/// use core::time::Duration;
/// use failover_core::heartbeat::{Monitor, Offer, negotiate};
/// use failover_core::time::Time;
///
/// // CONNECT heart-beat:10000,5000 and CONNECTED heart-beat:8000,20000
/// let agreed = negotiate(Offer::from_millis(10_000, 5_000), Offer::from_millis(8_000, 20_000));
/// assert_eq!(agreed.outgoing, Some(Duration::from_secs(20)));
/// assert_eq!(agreed.incoming, Some(Duration::from_secs(8)));
///
/// // We send after 18 s of our silence, and give up after 16 s of the peer's.
/// let heartbeat = agreed.heartbeat().unwrap();
/// assert_eq!(heartbeat.beat(), Some(Duration::from_secs(18)));
/// assert_eq!(heartbeat.bound(), Some(Duration::from_secs(16)));
/// let monitor = Monitor::new(&heartbeat, Time::ZERO);
/// assert_eq!(monitor.next_wake(), Some(Time::ZERO + Duration::from_secs(16)));
///
/// // A zero on either side of a direction: no beats that way.
/// let agreed = negotiate(Offer::from_millis(0, 5_000), Offer::from_millis(0, 20_000));
/// assert_eq!(agreed.heartbeat(), None);
/// ```
#[must_use]
pub fn negotiate(ours: Offer, theirs: Offer) -> Agreed {
    Agreed {
        outgoing: one_way(ours.sends, theirs.wants),
        incoming: one_way(theirs.sends, ours.wants),
    }
}

impl Agreed {
    /// The heartbeat that keeps the agreement. Both sides' timers are late at times, so we send
    /// when nine tenths of our period have passed, and give the peer up after two of its own, as
    /// Diffusion does. The peer is not asked: STOMP's beats have no answer.
    ///
    /// A peer that wants more than one beat a millisecond does not get them.
    #[must_use]
    pub fn heartbeat(&self) -> Option<Heartbeat> {
        let mut builder = Heartbeat::builder();
        if let Some(period) = self.incoming {
            builder = builder.watch(period.saturating_mul(2).max(LEAST_PERIOD), 0);
        }
        if let Some(period) = self.outgoing {
            builder = builder.beat((period - period / 10).max(LEAST_PERIOD));
        }
        builder.build().ok()
    }
}

fn one_way(sends: Option<Duration>, wants: Option<Duration>) -> Option<Duration> {
    Some(sends?.max(wants?))
}
