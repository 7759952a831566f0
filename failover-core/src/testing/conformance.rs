//! The promises of [`Dial`], each as a function that any transport can call from a test.
//!
//! A transport crate runs all of them against real peers, one line a test. The kit knows no
//! runtime: it waits with the [`Clock`] that the transport's runtime has anyway.
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

use std::error::Error as StdError;
use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::string::{String, ToString};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;
use std::time::Duration;
use std::vec::Vec;

use thiserror::Error;

use crate::attempt::{AttemptId, Purpose};
use crate::dial::{Dial, DialContext};
use crate::directory::Target;
use crate::drive::Clock;
use crate::failure::{Classify, Kind, Phase};
use crate::time::Time;

/// How long the kit waits for something that must happen: 30 seconds, because a system's resolver
/// may ask two servers twice, 5 seconds each, before it says that there is no such name.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// How long the kit waits before it believes that something did not happen: 20 milliseconds.
pub const QUIET: Duration = Duration::from_millis(20);

/// The most await points of one dial that [`leaves_nothing_when_cancelled`] cuts at.
pub const MOST_CUTS: usize = 64;

/// A promise of [`Dial`].
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

/// Making the future does nothing; the first poll begins.
///
/// `to` is any target whose peer writes `peer`; nobody else may dial it meanwhile.
///
/// # Errors
/// When the dialer leaves a breadcrumb or the peer sees a connection without a poll.
pub async fn does_nothing_before_it_is_polled(
    dialer: &impl Dial,
    to: &Target,
    peer: &PeerLog,
    clock: &(impl Clock + Clone),
) -> Result<(), Violation> {
    let before = peer.accepted();
    let cx = context(clock, PATIENCE);
    let unpolled = dialer.dial(to, &cx);
    clock.sleep_until(clock.now() + QUIET).await;
    drop(unpolled);
    if let Some(phase) = cx.trail().phase() {
        return Promise::Lazy.broken(format!("it entered phase {phase}"));
    }
    match peer.accepted() - before {
        0 => Ok(()),
        more => Promise::Lazy.broken(format!("the peer saw {more} connections")),
    }
}

/// A dial to this target fails by itself within [`PATIENCE`], and its error is classified as one
/// of the `expected` kinds.
///
/// Call it for a refused target ([`Kind::Refused`]), for a peer that resets in the handshake
/// ([`Kind::Reset`] or [`Kind::Closed`], as the transport can tell), for a name that does not
/// exist, and for each failure of the transport's own.
///
/// # Errors
/// When the dial succeeds, lasts, or fails as another kind.
pub async fn fails_as(
    expected: &[Kind],
    dialer: &impl Dial,
    to: &Target,
    clock: &(impl Clock + Clone),
) -> Result<(), Violation> {
    let error = failure_of(Promise::FailsAs, dialer, to, clock).await?;
    let failure = error.failure();
    if expected.contains(&failure.kind) {
        return Ok(());
    }
    Promise::FailsAs.broken(format!(
        "expected one of {expected:?}, got `{failure}` from {error:?}"
    ))
}

/// A dial to a peer that accepts and says nothing lasts until the deadline `after` from now; the
/// trail then names the phase of the layer that waited.
///
/// # Errors
/// When the dial ends by itself, or its last breadcrumb names another phase.
pub async fn waits_for_a_mute_peer_until_the_deadline(
    phase: Phase,
    after: Duration,
    dialer: &impl Dial,
    to: &Target,
    clock: &(impl Clock + Clone),
) -> Result<(), Violation> {
    let cx = context(clock, after);
    match within(clock, after, dialer.dial(to, &cx)).await {
        Some(Ok(_)) => return Promise::Patient.broken("the dial succeeded".to_string()),
        Some(Err(error)) => {
            return Promise::Patient.broken(format!("the dial ended itself: {error:?}"));
        }
        None => {}
    }
    match cx.trail().phase() {
        Some(last) if last == phase => Ok(()),
        Some(last) => {
            Promise::Patient.broken(format!("it waited in {phase}, the trail says {last}"))
        }
        None => Promise::Patient.broken("there is no trail".to_string()),
    }
}

/// However far a dial has come, dropping it ends every connection that it opened: the dial is cut
/// at its first await that waits, at the second, and so on, up to [`MOST_CUTS`] or until it
/// completes (then the connection itself is dropped) or stands still for `still`.
///
/// The peer must read each connection to its end and note it in `peer`. A peer that completes
/// the handshake has the most to cut; one that falls silent in the middle reaches the rest.
///
/// # Errors
/// When the peer still sees an open connection after [`PATIENCE`].
pub async fn leaves_nothing_when_cancelled(
    still: Duration,
    dialer: &impl Dial,
    to: &Target,
    peer: &PeerLog,
    clock: &(impl Clock + Clone),
) -> Result<(), Violation> {
    let before = peer.accepted();
    for cut in 1..=MOST_CUTS {
        let cx = context(clock, PATIENCE);
        let ended = within(clock, still, until_pending(cut, dialer.dial(to, &cx))).await;
        if !eventually(clock, || peer.open() == 0).await {
            let open = peer.open();
            let phase = cx.trail().phase();
            return Promise::CancelSafe.broken(format!(
                "{open} connections are open after a cut at pending {cut}, phase {phase:?}"
            ));
        }
        if !matches!(ended, Some(Cut::Here)) {
            break;
        }
    }
    // A connection may have been in the peer's accept queue while its log was read.
    clock.sleep_until(clock.now() + QUIET).await;
    if !eventually(clock, || peer.open() == 0).await {
        return Promise::CancelSafe.broken(format!("{} connections are open", peer.open()));
    }
    if peer.accepted() == before {
        return Promise::CancelSafe
            .broken("no dial ever reached the peer: nothing was tested".to_string());
    }
    Ok(())
}

/// However far a dial has come, dropping it leaves no more of anything than there was: the same cuts,
/// and after each `count` must fall to what it was before. What it counts is the test's choice: open
/// descriptors, tasks of the runtime, allocated bytes. Nobody else may change it meanwhile; what is
/// made once and kept (a thread, a session ticket) is made by a whole dial before the first count.
///
/// Says at how many awaits it cut.
///
/// # Errors
/// When the count stays higher for [`PATIENCE`].
pub async fn leaves_no_more_than_before(
    still: Duration,
    dialer: &impl Dial,
    to: &Target,
    count: impl Fn() -> usize,
    clock: &(impl Clock + Clone),
) -> Result<usize, Violation> {
    let cx = context(clock, PATIENCE);
    drop(within(clock, still, dialer.dial(to, &cx)).await);
    let before = settled(clock, &count).await;
    for cut in 1..=MOST_CUTS {
        let cx = context(clock, PATIENCE);
        let ended = within(clock, still, until_pending(cut, dialer.dial(to, &cx))).await;
        if !eventually(clock, || count() <= before).await {
            let phase = cx.trail().phase();
            let found = format!(
                "{before} before, {} after a cut at pending {cut}, phase {phase:?}",
                count()
            );
            return Err(Promise::CancelSafe.violation(found));
        }
        if !matches!(ended, Some(Cut::Here)) {
            return Ok(cut);
        }
    }
    Ok(MOST_CUTS)
}

/// A dial that fails says why without any of these secrets: neither `Display` nor `Debug` of the
/// error or of anything in its source chain shows them.
///
/// `to` is a target that fails, with the secrets in its userinfo, its query and its options.
///
/// # Errors
/// When a secret is shown, or the dial does not fail.
pub async fn errors_hold_no_secrets(
    secrets: &[&str],
    dialer: &impl Dial,
    to: &Target,
    clock: &(impl Clock + Clone),
) -> Result<(), Violation> {
    let error = failure_of(Promise::Discreet, dialer, to, clock).await?;
    let shown = everything_it_says(&error);
    match secrets.iter().find(|secret| shown.contains(**secret)) {
        None => Ok(()),
        Some(_) => {
            let redacted = secrets
                .iter()
                .fold(shown, |text, secret| text.replace(secret, "<SECRET>"));
            Promise::Discreet.broken(redacted)
        }
    }
}

/// A dial that fails has an error with a cause in its `source()` chain, and every error in it says
/// something that the one before did not.
///
/// `to` is a target at which something below the transport fails: a refused one, a name that does
/// not exist. (An error of the transport's own need not have a cause.)
///
/// # Errors
/// When there is no source, one that repeats the words above it, or the dial does not fail.
pub async fn errors_tell_their_causes(
    dialer: &impl Dial,
    to: &Target,
    clock: &(impl Clock + Clone),
) -> Result<(), Violation> {
    let error = failure_of(Promise::Traceable, dialer, to, clock).await?;
    let chain = std::iter::successors(error.source(), |&error| error.source());
    let causes: Vec<String> = chain.map(ToString::to_string).collect();
    if causes.is_empty() {
        return Promise::Traceable.broken(format!("`{error}` has no source"));
    }
    let mut above = error.to_string();
    for cause in causes {
        if cause.is_empty() || cause == above {
            return Promise::Traceable.broken(format!("`{above}` because of `{cause}`"));
        }
        above = cause;
    }
    Ok(())
}

/// A dial after the server has moved reaches it where it is now: nothing is remembered of the dial
/// before it.
///
/// `to` leads to the peer that writes `before`, and after `moves` to the one that writes `after`:
/// the test's resolver, or the file at a path, names another.
///
/// # Errors
/// When a dial fails, or reaches the other peer.
pub async fn a_reconnect_sees_a_moved_server(
    dialer: &impl Dial,
    to: &Target,
    (before, after): (&PeerLog, &PeerLog),
    moves: impl FnOnce(),
    clock: &(impl Clock + Clone),
) -> Result<(), Violation> {
    let reached = || (before.accepted(), after.accepted());
    let (old, new) = reached();
    drop(connection_of(Promise::Fresh, dialer, to, clock).await?);
    if !eventually(clock, || reached() == (old + 1, new)).await {
        return Promise::Fresh.broken(format!("the first dial reached {:?}", reached()));
    }
    moves();
    drop(connection_of(Promise::Fresh, dialer, to, clock).await?);
    if !eventually(clock, || reached() == (old + 1, new + 1)).await {
        return Promise::Fresh.broken(format!("the second dial reached {:?}", reached()));
    }
    Ok(())
}

/// Dials of one dialer do not know of each other: while one waits for a `mute` peer, two others to
/// `good` are begun; one of them is dropped on its way, and the other still connects. So does a third
/// after the first was dropped.
///
/// # Errors
/// When a dial to `good` fails, or lasts because of another.
pub async fn concurrent_dials_are_independent(
    dialer: &impl Dial,
    good: &Target,
    mute: &Target,
    clock: &(impl Clock + Clone),
) -> Result<(), Violation> {
    let contexts = [(); 3].map(|()| context(clock, PATIENCE));
    let mut waiting = std::boxed::Box::pin(dialer.dial(mute, &contexts[0]));
    let mut dropped = std::boxed::Box::pin(dialer.dial(good, &contexts[1]));
    let mut kept = pin!(dialer.dial(good, &contexts[2]));
    let begun = poll_fn(|cx| {
        let waits = waiting.as_mut().poll(cx).is_pending();
        // Whether these two are done already does not matter; an error does.
        let _ = dropped.as_mut().poll(cx);
        Poll::Ready((waits, kept.as_mut().poll(cx)))
    });
    let (waits, early) = begun.await;
    if !waits {
        return Promise::Independent.broken("the dial to the mute peer ended".to_string());
    }
    drop(dropped);
    let connected = match early {
        Poll::Ready(outcome) => Some(outcome),
        Poll::Pending => within(clock, PATIENCE, kept).await,
    };
    match connected {
        Some(Ok(_)) => {}
        Some(Err(error)) => {
            return Promise::Independent.broken(format!("beside two others: {error:?}"));
        }
        None => return Promise::Independent.broken("it waits for another".to_string()),
    }
    drop(waiting);
    connection_of(Promise::Independent, dialer, good, clock).await?;
    Ok(())
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

/// The error of a dial that must fail.
async fn failure_of<D: Dial>(
    promise: Promise,
    dialer: &D,
    to: &Target,
    clock: &(impl Clock + Clone),
) -> Result<D::Error, Violation> {
    let cx = context(clock, PATIENCE);
    match within(clock, PATIENCE, dialer.dial(to, &cx)).await {
        Some(Err(error)) => Ok(error),
        Some(Ok(_)) => Err(promise.violation("the dial succeeded".to_string())),
        None => Err(promise.violation(format!(
            "the dial did not end within {PATIENCE:?}, its phase is {:?}",
            cx.trail().phase()
        ))),
    }
}

/// The connection of a dial that must succeed.
async fn connection_of<D: Dial>(
    promise: Promise,
    dialer: &D,
    to: &Target,
    clock: &(impl Clock + Clone),
) -> Result<D::Conn, Violation> {
    let cx = context(clock, PATIENCE);
    match within(clock, PATIENCE, dialer.dial(to, &cx)).await {
        Some(Ok(conn)) => Ok(conn),
        Some(Err(error)) => Err(promise.violation(format!("the dial failed: {error:?}"))),
        None => Err(promise.violation(format!(
            "the dial did not end within {PATIENCE:?}, its phase is {:?}",
            cx.trail().phase()
        ))),
    }
}

/// Display and both forms of Debug, of the error and of its sources.
fn everything_it_says(error: &(dyn StdError + 'static)) -> String {
    let chain = std::iter::successors(Some(error), |&error| error.source());
    let said: Vec<String> = chain
        .map(|error| format!("{error}\n{error:?}\n{error:#?}"))
        .collect();
    said.join("\n")
}

fn context(clock: &(impl Clock + Clone), deadline: Duration) -> DialContext {
    let now = clock.clone();
    DialContext::new(
        AttemptId::new(0),
        1,
        Purpose::First,
        clock.now() + deadline,
        Arc::new(move || now.now()),
    )
}

enum Cut {
    /// The future was pending for the given time and has been dropped.
    Here,
    /// It was ready before that; what it gave has been dropped.
    Past,
}

/// Polls until the future has been pending `count` times, then drops it.
async fn until_pending(count: usize, future: impl Future) -> Cut {
    let mut future = pin!(future);
    let mut pending = 0;
    poll_fn(|cx| {
        if future.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Cut::Past);
        }
        pending += 1;
        if pending == count {
            return Poll::Ready(Cut::Here);
        }
        Poll::Pending
    })
    .await
}

/// What the future gave, unless `limit` passed first; the future is dropped then.
async fn within<F: Future>(clock: &impl Clock, limit: Duration, future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    let mut sleep = pin!(clock.sleep_until(clock.now() + limit));
    poll_fn(|cx| {
        if let Poll::Ready(output) = future.as_mut().poll(cx) {
            return Poll::Ready(Some(output));
        }
        sleep.as_mut().poll(cx).map(|()| None)
    })
    .await
}

/// The count, once it has not changed for [`QUIET`].
async fn settled(clock: &impl Clock, count: impl Fn() -> usize) -> usize {
    loop {
        let before = count();
        clock.sleep_until(clock.now() + QUIET).await;
        if count() == before {
            return before;
        }
    }
}

/// Whether this becomes true within [`PATIENCE`].
async fn eventually(clock: &impl Clock, is_so: impl Fn() -> bool) -> bool {
    let give_up: Time = clock.now() + PATIENCE;
    loop {
        if is_so() {
            return true;
        }
        if clock.now() >= give_up {
            return false;
        }
        clock
            .sleep_until(clock.now() + Duration::from_millis(1))
            .await;
    }
}
