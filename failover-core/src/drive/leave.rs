//! How a session learns that it is to finish.

use std::future::poll_fn;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Poll, Waker};

/// Tells a session that its connection is to be left: a better one stands ready, its server drains,
/// or the user closed. The session may then finish what it is at, until the policy's
/// [grace](crate::policy::Standing::grace) is over; after that it is dropped.
///
/// Clones tell of the same connection.
///
/// ```
/// # use failover_core::drive::Leave;
/// # async fn next_request() {}
/// async fn session(leave: Leave) {
///     while !leave.is_asked() {
///         // or select between `leave.asked()` and the next piece of work
///         next_request().await;
///     }
/// }
/// ```
#[derive(Clone, Debug, Default)]
pub struct Leave {
    inside: Arc<Mutex<Inside>>,
}

#[derive(Debug, Default)]
struct Inside {
    asked: bool,
    waiting: Vec<Waker>,
}

impl Leave {
    /// Ready when the connection is to be left.
    ///
    /// # Cancel safety
    /// Dropping the future loses nothing.
    pub async fn asked(&self) {
        poll_fn(|cx| {
            self.with(|inside| {
                if inside.asked {
                    return Poll::Ready(());
                }
                if !inside
                    .waiting
                    .iter()
                    .any(|waker| waker.will_wake(cx.waker()))
                {
                    inside.waiting.push(cx.waker().clone());
                }
                Poll::Pending
            })
        })
        .await;
    }

    /// Whether the connection is to be left.
    #[must_use]
    pub fn is_asked(&self) -> bool {
        self.with(|inside| inside.asked)
    }

    pub(crate) fn ask(&self) {
        let waiting = self.with(|inside| {
            inside.asked = true;
            core::mem::take(&mut inside.waiting)
        });
        // Woken after the lock is released.
        for waker in waiting {
            waker.wake();
        }
    }

    fn with<T>(&self, then: impl FnOnce(&mut Inside) -> T) -> T {
        then(&mut self.inside.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
