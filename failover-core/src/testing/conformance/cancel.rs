//! What a dropped dial leaves.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::string::ToString;
use std::task::Poll;
use std::time::Duration;

use crate::dial::Dial;
use crate::directory::Target;
use crate::drive::Clock;
use crate::testing::conformance::tools::{context, eventually, settled, within};
use crate::testing::conformance::{MOST_CUTS, PATIENCE, PeerLog, Promise, QUIET, Violation};

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
