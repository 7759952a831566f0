//! What the checks are made of.

use std::error::Error as StdError;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::string::{String, ToString};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;
use std::vec::Vec;

use crate::attempt::{AttemptId, Purpose};
use crate::dial::{Dial, DialContext};
use crate::directory::Target;
use crate::drive::Clock;
use crate::testing::conformance::{PATIENCE, Promise, QUIET, Violation};
use crate::time::Time;

/// The error of a dial that must fail.
pub(super) async fn failure_of<D: Dial>(
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
pub(super) async fn connection_of<D: Dial>(
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
pub(super) fn everything_it_says(error: &(dyn StdError + 'static)) -> String {
    let chain = std::iter::successors(Some(error), |&error| error.source());
    let said: Vec<String> = chain
        .map(|error| format!("{error}\n{error:?}\n{error:#?}"))
        .collect();
    said.join("\n")
}

pub(super) fn context(clock: &(impl Clock + Clone), deadline: Duration) -> DialContext {
    let now = clock.clone();
    DialContext::new(
        AttemptId::new(0),
        1,
        Purpose::First,
        clock.now() + deadline,
        Arc::new(move || now.now()),
    )
}

/// What the future gave, unless `limit` passed first; the future is dropped then.
pub(super) async fn within<F: Future>(
    clock: &impl Clock,
    limit: Duration,
    future: F,
) -> Option<F::Output> {
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
pub(super) async fn settled(clock: &impl Clock, count: impl Fn() -> usize) -> usize {
    loop {
        let before = count();
        clock.sleep_until(clock.now() + QUIET).await;
        if count() == before {
            return before;
        }
    }
}

/// Whether this becomes true within [`PATIENCE`].
pub(super) async fn eventually(clock: &impl Clock, is_so: impl Fn() -> bool) -> bool {
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
