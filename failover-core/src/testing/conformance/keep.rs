//! What a keeper of spares notices.

use std::future::poll_fn;
use std::task::Poll;
use std::vec::Vec;

use crate::dial::Dial;
use crate::directory::Target;
use crate::drive::{Clock, Keep};
use crate::testing::conformance::tools::{connection_of, within};
use crate::testing::conformance::{PATIENCE, Promise, QUIET, Violation};

/// A [keeper](Keep) is quiet while the connection stands, and notices its end, once the peer `ends` it:
/// two connections to `to`, each with a keeper that `make` makes; only the second is ended, after the
/// first was dropped, so that a keeper that hears of another connection's end is caught, too.
///
/// # Errors
/// When it gives up a connection that stands, or does not notice its end within [`PATIENCE`].
pub async fn a_keeper_notices_the_end<D: Dial, K: Keep<D::Conn>>(
    dialer: &D,
    to: &Target,
    make: impl Fn() -> K,
    ends: impl FnOnce(),
    clock: &(impl Clock + Clone),
) -> Result<(), Violation> {
    let mut watched = Vec::new();
    for _ in 0..2 {
        let conn = connection_of(Promise::Watchful, dialer, to, clock).await?;
        watched.push((conn, make()));
    }
    let lost = poll_fn(|cx| {
        for (conn, keeper) in &mut watched {
            if let Poll::Ready(loss) = keeper.poll_lost(conn, cx) {
                return Poll::Ready(loss);
            }
        }
        Poll::Pending
    });
    if let Some(loss) = within(clock, QUIET, lost).await {
        return Promise::Watchful.broken(std::format!("it gave up one that stands: {loss:?}"));
    }
    watched.remove(0);
    ends();
    let lost = poll_fn(|cx| match watched.first_mut() {
        Some((conn, keeper)) => keeper.poll_lost(conn, cx).map(drop),
        None => Poll::Ready(()),
    });
    match within(clock, PATIENCE, lost).await {
        Some(()) => Ok(()),
        None => Promise::Watchful.broken(std::format!("nothing noticed within {PATIENCE:?}")),
    }
}
