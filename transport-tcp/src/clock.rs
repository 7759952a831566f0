//! tokio's clock.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use failover_core::drive::Clock;
use failover_core::time::Time;
use pin_project_lite::pin_project;
use tokio::time::{Instant, Sleep, sleep_until};

/// The clock of the tokio runtime; its epoch is when it was made.
///
/// It follows a paused runtime (`tokio::time::pause`), so that tests need not wait.
///
/// ```
/// use std::time::Duration;
/// use failover_core::drive::Clock;
/// use failover_core::time::Time;
/// use transport_tcp::TokioClock;
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() {
/// let clock = TokioClock::new();
/// let hour = Time::ZERO + Duration::from_secs(3600);
/// clock.sleep_until(hour).await; // at once: the runtime's time is paused
/// assert!(clock.now() >= hour);
/// # }
/// ```
#[derive(Clone, Copy, Debug)]
pub struct TokioClock {
    epoch: Instant,
}

impl TokioClock {
    /// A clock that counts from now.
    #[must_use]
    #[inline]
    pub fn new() -> Self {
        Self {
            epoch: Instant::now(),
        }
    }
}

impl Default for TokioClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for TokioClock {
    type Sleep = TokioSleep;

    #[inline]
    fn now(&self) -> Time {
        Time::ZERO + self.epoch.elapsed()
    }

    /// Must be called inside a tokio runtime with its time enabled.
    #[inline]
    fn sleep_until(&self, at: Time) -> TokioSleep {
        let after = at.since(Time::ZERO);
        TokioSleep {
            timer: match at {
                Time::MAX => None,
                _ => self.epoch.checked_add(after).map(sleep_until),
            },
        }
    }
}

pin_project! {
    /// Waits for a point in time; made by [`TokioClock`]. Until [`Time::MAX`] it waits for ever
    /// and holds no timer.
    #[derive(Debug)]
    pub struct TokioSleep {
        #[pin]
        timer: Option<Sleep>,
    }
}

impl Future for TokioSleep {
    type Output = ();

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let Some(timer) = self.project().timer.as_pin_mut() else {
            return Poll::Pending;
        };
        // tokio asks its timer wheel, which may lag behind the clock by a tick: what lies in the
        // past must be ready at the first poll.
        if timer.deadline() <= Instant::now() {
            return Poll::Ready(());
        }
        timer.poll(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::pin::pin;
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn a_time_in_the_past_is_ready_at_the_first_poll() {
        let clock = TokioClock::new();
        for at in [Time::ZERO, clock.now()] {
            assert!(first_poll(clock.sleep_until(at)).await.is_ready());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn it_wakes_when_its_time_has_come_and_not_before() {
        let clock = TokioClock::new();
        let at = clock.now() + Duration::from_millis(7);
        assert!(first_poll(clock.sleep_until(at)).await.is_pending());
        clock.sleep_until(at).await;
        assert!(clock.now() >= at);
    }

    #[tokio::test(start_paused = true)]
    async fn never_never_comes() {
        let clock = TokioClock::new();
        let limit = Duration::from_secs(100 * 365 * 24 * 3600);
        let never = tokio::time::timeout(limit, clock.sleep_until(Time::MAX)).await;
        assert!(never.is_err());
    }

    async fn first_poll(sleep: TokioSleep) -> Poll<()> {
        let mut sleep = pin!(sleep);
        poll_fn(|cx| Poll::Ready(sleep.as_mut().poll(cx))).await
    }
}
