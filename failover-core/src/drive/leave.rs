//! How a session learns that it is to finish.

use std::future::poll_fn;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Poll, Waker};

use crate::numbered::Numbered;

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
    /// How many ever waited.
    numbers: u64,
    waiting: Numbered<u64, Waker>,
}

impl Leave {
    /// Ready when the connection is to be left.
    ///
    /// # Cancel safety
    /// Dropping the future loses nothing.
    pub async fn asked(&self) {
        let mut asking = Asking {
            leave: self,
            number: None,
        };
        poll_fn(|cx| asking.poll(cx.waker())).await;
    }

    /// Whether the connection is to be left.
    #[must_use]
    pub fn is_asked(&self) -> bool {
        self.with(|inside| inside.asked)
    }

    pub(crate) fn ask(&self) {
        let mut waiting = self.with(|inside| {
            inside.asked = true;
            core::mem::take(&mut inside.waiting)
        });
        // Woken after the lock is released.
        for waker in waiting.take_all() {
            waker.wake();
        }
    }

    fn with<T>(&self, then: impl FnOnce(&mut Inside) -> T) -> T {
        then(&mut self.inside.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Somebody who waits for it. Who gives up leaves no waker behind.
struct Asking<'a> {
    leave: &'a Leave,
    /// Its place among those who wait, once it does.
    number: Option<u64>,
}

impl Asking<'_> {
    fn poll(&mut self, waker: &Waker) -> Poll<()> {
        let (asked, _before) = self.leave.with(|inside| {
            if inside.asked {
                return (Poll::Ready(()), None);
            }
            let number = *self.number.get_or_insert_with(|| {
                inside.numbers += 1;
                inside.numbers
            });
            // What it replaces is dropped after the lock is released: it may be the last of a task.
            (Poll::Pending, inside.waiting.insert(number, waker.clone()))
        });
        asked
    }
}

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        if let Some(number) = self.number {
            self.leave.with(|inside| inside.waiting.remove(number));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::{Context, Wake};

    use super::*;

    /// A task that looks at the connection once more when it is dropped.
    struct Task {
        leave: Leave,
        woken: Arc<AtomicUsize>,
    }

    impl Wake for Task {
        fn wake(self: Arc<Self>) {
            self.woken.fetch_add(1, Ordering::SeqCst);
        }
    }

    impl Drop for Task {
        fn drop(&mut self) {
            let _ = self.leave.is_asked();
        }
    }

    fn task(leave: &Leave) -> (Waker, Arc<AtomicUsize>) {
        let woken = Arc::new(AtomicUsize::new(0));
        let task = Task {
            leave: leave.clone(),
            woken: Arc::clone(&woken),
        };
        (Arc::new(task).into(), woken)
    }

    #[test]
    fn who_waits_is_woken_where_it_looked_last_and_who_gave_up_is_not() {
        let leave = Leave::default();
        let [first, second, gone] = [(); 3].map(|()| task(&leave));
        let mut waiting = pin!(leave.asked());
        let mut look = |waker: &Waker| waiting.as_mut().poll(&mut Context::from_waker(waker));
        assert!(look(&first.0).is_pending());
        drop(first.0);
        assert!(look(&second.0).is_pending());
        let once = |waker| pin!(leave.asked()).poll(&mut Context::from_waker(waker));
        assert!(once(&gone.0).is_pending());

        leave.ask();
        let woken = [&first.1, &second.1, &gone.1].map(|woken| woken.load(Ordering::SeqCst));
        assert_eq!(woken, [0, 1, 0]);
        assert!(look(Waker::noop()).is_ready());
        assert!(once(Waker::noop()).is_ready());
    }
}
