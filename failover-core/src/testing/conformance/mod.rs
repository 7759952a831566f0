//! The promises of [`Dial`](crate::dial::Dial), each as a function that any transport can call from a test.
//!
//! A transport crate runs all of them against real peers, one line a test. The kit knows no
//! runtime: it waits with the [`Clock`](crate::drive::Clock) that the transport's runtime has anyway.
//!
//! | promise | function |
//! |---|---|
//! | nothing happens before the first poll | [`does_nothing_before_it_is_polled`] |
//! | a failure says what failed | [`fails_as`], for a refused target, a reset in the handshake, … |
//! | no deadline and no retry of its own; the trail names the phase | [`waits_for_a_mute_peer_until_the_deadline`] |
//! | dropping the future leaves nothing behind, at any await | [`leaves_nothing_when_cancelled`], as the peer sees it; [`leaves_no_more_than_before`], by any count |
//! | an error tells its causes | [`errors_tell_their_causes`] |
//! | errors hold no secrets | [`errors_hold_no_secrets`] |
//! | every dial looks anew where the server is | [`a_reconnect_sees_a_moved_server`] |
//! | dials do not wait for, disturb or end each other | [`concurrent_dials_are_independent`] |
//! | a keeper of its spares notices the end of one (where there is a keeper) | [`a_keeper_notices_the_end`] |
//!
//! Where a function proves that something did *not* happen, it looks again after a short while
//! ([`QUIET`]): a slow machine can hide a violation there, never invent one.
//!
//! ```
//! # use failover_core::dial::{Dial, DialContext};
//! # use failover_core::directory::Target;
//! # use failover_core::drive::Clock;
//! # use failover_core::failure::{Failure, Kind};
//! # use failover_core::testing::conformance::{self, Violation};
//! # struct Nowhere;
//! # impl Dial for Nowhere { type Conn = (); type Error = Failure;
//! #   async fn dial(&self, _: &Target, _: &DialContext) -> Result<(), Failure> {
//! #     Err(Failure::new(Kind::Refused)) } }
//! // In a transport's tests: `#[tokio::test]`, a listener that was closed again, its own clock.
//! async fn a_refused_target_fails_as_refused(clock: impl Clock + Clone) -> Result<(), Violation> {
//!     let nobody = Target::parse("tcp://127.0.0.1:9").unwrap();
//!     conformance::fails_as(&[Kind::Refused], &Nowhere, &nobody, &clock).await
//! }
//! ```

mod cancel;
mod dials;
mod keep;
mod tools;

use std::fmt;
use std::string::String;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use thiserror::Error;

pub use self::cancel::{leaves_no_more_than_before, leaves_nothing_when_cancelled};
pub use self::dials::{
    a_reconnect_sees_a_moved_server, concurrent_dials_are_independent,
    does_nothing_before_it_is_polled, errors_hold_no_secrets, errors_tell_their_causes, fails_as,
    waits_for_a_mute_peer_until_the_deadline,
};
pub use self::keep::a_keeper_notices_the_end;

/// How long the kit waits for something that must happen: 30 seconds, because a system's resolver
/// may ask two servers twice, 5 seconds each, before it says that there is no such name.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// How long the kit waits before it believes that something did not happen: 20 milliseconds.
pub const QUIET: Duration = Duration::from_millis(20);

/// The most await points of one dial that [`leaves_nothing_when_cancelled`] cuts at.
pub const MOST_CUTS: usize = 64;

/// A promise of [`Dial`](crate::dial::Dial).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Promise {
    /// Nothing happens before the future is polled.
    Lazy,
    /// A failure is told, in time, with the right kind.
    FailsAs,
    /// No deadline of its own, and the trail names the layer that waits.
    Patient,
    /// Dropping the future closes what was half open.
    CancelSafe,
    /// An error tells its causes.
    Traceable,
    /// Errors hold no secrets.
    Discreet,
    /// Every dial looks anew where the server is.
    Fresh,
    /// Dials do not wait for, disturb or end each other.
    Independent,
    /// A keeper of spares is quiet while its connection stands, and notices its end.
    Watchful,
}

impl fmt::Display for Promise {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Lazy => "nothing happens before the dial is polled",
            Self::FailsAs => "a failure is told with the right kind",
            Self::Patient => "only the deadline ends a dial to a mute peer, and its phase is known",
            Self::CancelSafe => "a dropped dial leaves nothing behind",
            Self::Traceable => "an error tells its causes",
            Self::Discreet => "errors hold no secrets",
            Self::Fresh => "every dial looks anew where the server is",
            Self::Independent => "dials do not wait for, disturb or end each other",
            Self::Watchful => "a keeper is quiet while its connection stands, and notices its end",
        })
    }
}

/// A dialer broke a promise.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("broken promise ({promise}): {found}")]
#[non_exhaustive]
pub struct Violation {
    /// Which promise.
    pub promise: Promise,
    /// What was seen instead.
    pub found: String,
}

/// What the peer of a test has seen: the test's server writes it, the kit reads it.
///
/// Clones share the counters.
///
/// ```
/// use failover_core::testing::conformance::PeerLog;
///
/// let log = PeerLog::default();
/// let seen = log.accept(); // the server accepted a connection …
/// assert_eq!((log.accepted(), log.open()), (1, 1));
/// drop(seen); // … and has read its end
/// assert_eq!((log.accepted(), log.open()), (1, 0));
/// ```
#[derive(Clone, Debug, Default)]
pub struct PeerLog(Arc<Counters>);

#[derive(Debug, Default)]
struct Counters {
    accepted: AtomicUsize,
    closed: AtomicUsize,
}

impl PeerLog {
    /// Notes a connection. Keep what this returns until the connection's end is read (end of file
    /// or an error): dropping it notes the end.
    #[must_use]
    pub fn accept(&self) -> Seen {
        self.0.accepted.fetch_add(1, Ordering::SeqCst);
        Seen(self.clone())
    }

    /// How many connections there were.
    #[must_use]
    pub fn accepted(&self) -> usize {
        self.0.accepted.load(Ordering::SeqCst)
    }

    /// How many of them the client has not ended yet.
    #[must_use]
    pub fn open(&self) -> usize {
        let closed = self.0.closed.load(Ordering::SeqCst);
        self.accepted().saturating_sub(closed)
    }
}

/// A connection that the peer has accepted; made by [`PeerLog::accept`].
#[derive(Debug)]
pub struct Seen(PeerLog);

impl Drop for Seen {
    fn drop(&mut self) {
        self.0.0.closed.fetch_add(1, Ordering::SeqCst);
    }
}

impl Promise {
    fn broken(self, found: String) -> Result<(), Violation> {
        Err(self.violation(found))
    }

    fn violation(self, found: String) -> Violation {
        Violation {
            promise: self,
            found,
        }
    }
}
