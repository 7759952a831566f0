//! A clock that stands still until it is moved.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};

use crate::drive::Clock;
use crate::time::Time;

/// A clock for tests without a runtime: it stands still until it is moved by hand, and says when
/// the next sleeper wants to wake. Clones are the same clock.
///
/// ```
/// use std::time::Duration;
/// use failover_core::drive::Clock;
/// use failover_core::testing::ManualClock;
///
/// let clock = ManualClock::default();
/// let second = Duration::from_secs(1);
/// let sleep = clock.sleep_until(clock.now() + second);
/// assert_eq!(clock.next(), Some(clock.now() + second));
/// clock.advance_to(clock.now() + second); // wakes it
/// drop(sleep);
/// assert_eq!(clock.next(), None);
/// ```
#[derive(Clone, Debug, Default)]
pub struct ManualClock(Arc<Mutex<Hands>>);

#[derive(Debug, Default)]
struct Hands {
    now: Time,
    /// How many sleeps there ever were.
    sleeps: u64,
    sleepers: BTreeMap<(Time, u64), Option<Waker>>,
}

impl ManualClock {
    /// Moves it to this time and wakes whose time has come. Never back.
    pub fn advance_to(&self, at: Time) {
        let due = self.with(|hands| {
            hands.now = hands.now.max(at);
            let now = hands.now;
            let due = hands.sleepers.range_mut(..=(now, u64::MAX));
            due.filter_map(|(_, waker)| waker.take())
                .collect::<Vec<Waker>>()
        });
        // Woken after the lock is released.
        for waker in due {
            waker.wake();
        }
    }

    /// When the next sleeper wants to wake; nothing if nobody sleeps.
    #[must_use]
    pub fn next(&self) -> Option<Time> {
        self.with(|hands| hands.sleepers.keys().next().map(|&(at, _)| at))
    }

    fn with<T>(&self, then: impl FnOnce(&mut Hands) -> T) -> T {
        then(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Clock for ManualClock {
    type Sleep = ManualSleep;

    fn now(&self) -> Time {
        self.with(|hands| hands.now)
    }

    fn sleep_until(&self, at: Time) -> ManualSleep {
        let key = self.with(|hands| {
            hands.sleeps += 1;
            let key = (at, hands.sleeps);
            hands.sleepers.insert(key, None);
            key
        });
        ManualSleep {
            clock: self.clone(),
            key,
        }
    }
}

/// A sleep of a [`ManualClock`].
#[derive(Debug)]
pub struct ManualSleep {
    clock: ManualClock,
    key: (Time, u64),
}

impl Future for ManualSleep {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let key = self.key;
        self.clock.with(|hands| {
            if hands.now >= key.0 {
                return Poll::Ready(());
            }
            hands.sleepers.insert(key, Some(cx.waker().clone()));
            Poll::Pending
        })
    }
}

impl Drop for ManualSleep {
    fn drop(&mut self) {
        self.clock.with(|hands| hands.sleepers.remove(&self.key));
    }
}
