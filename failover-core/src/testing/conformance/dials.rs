//! What a dial does and says.

use std::error::Error as StdError;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::string::{String, ToString};
use std::task::Poll;
use std::time::Duration;
use std::vec::Vec;

use crate::dial::Dial;
use crate::directory::Target;
use crate::drive::Clock;
use crate::failure::{Classify, Kind, Phase};
use crate::testing::conformance::tools::{
    connection_of, context, eventually, everything_it_says, failure_of, settled, within,
};
use crate::testing::conformance::{PATIENCE, PeerLog, Promise, QUIET, Violation};

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
    // Dials before this one may still wait in a queue of the peer.
    settled(clock, || before.accepted() + after.accepted()).await;
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
