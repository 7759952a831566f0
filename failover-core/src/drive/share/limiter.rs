//! At most so many dials at once, first come, first served.

use std::boxed::Box;
use std::fmt;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use std::vec::Vec;

use crate::drive::clock::Clock;
use crate::drive::share::locked;
use crate::numbered::Numbered;
use crate::time::Time;

/// Bounds the dials that are in flight at once, over all connectors that it is given to. Clones are
/// the same limiter.
///
/// Permits go out first come, first served; a dial asks for one before its deadline begins, and its
/// permit comes back when it ends, however it does: done, failed, cancelled, dropped with its
/// connector. A connector that nobody polls does not hold the others up: a permit that it does not
/// take up within a second goes to the next in line, and one of a dial that it lets lie comes
/// back at the dial's deadline.
///
/// ```
/// # use std::future::{Ready, ready};
/// # use failover_core::directory::Endpoint;
/// # use failover_core::time::Time;
/// # use failover_core::testing::{Script, Step};
/// use std::num::NonZeroUsize;
/// use failover_core::drive::{Clock, Connector, DialLimiter};
/// # #[derive(Clone)] struct MyClock;
/// # impl Clock for MyClock { type Sleep = Ready<()>;
/// #   fn now(&self) -> Time { Time::ZERO }
/// #   fn sleep_until(&self, _: Time) -> Ready<()> { ready(()) } }
///
/// let limiter = DialLimiter::new(NonZeroUsize::MIN, MyClock);
/// # let dialer = Script::new(MyClock).host("a", [Step::Accept]);
/// # smol::block_on(async {
/// for _ in 0..1000 {
///     let mut connector = Connector::builder(dialer.clone(), MyClock)
///         .endpoint(Endpoint::parse("tcp://a:1")?)
///         .limiter(&limiter)
///         .build()?;
///     connector.connect().await?;
/// }
/// assert_eq!((limiter.in_flight(), limiter.waiting()), (0, 0));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
#[derive(Clone)]
pub struct DialLimiter {
    inside: Arc<Inside>,
}

struct Inside {
    most: usize,
    now: Box<dyn Fn() -> Time + Send + Sync>,
    line: Mutex<Line>,
}

#[derive(Default)]
struct Line {
    last: u64,
    /// Who has a permit, and until when at most.
    holders: Vec<(u64, Time)>,
    /// Who waits, in the order in which they came.
    waiting: Numbered<u64, Waker>,
}

/// How long a permit waits for its owner to be polled.
const TAKE_UP: Duration = Duration::from_secs(1);

impl DialLimiter {
    /// At most this many dials at once. The clock may be another than the connectors'.
    #[must_use]
    pub fn new(most: NonZeroUsize, clock: impl Clock) -> Self {
        Self {
            inside: Arc::new(Inside {
                most: most.get(),
                now: Box::new(move || clock.now()),
                line: Mutex::default(),
            }),
        }
    }

    /// How many dials are in flight, or about to be.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        locked(&self.inside.line, |line| line.holders.len())
    }

    /// How many dials wait for a permit.
    #[must_use]
    pub fn waiting(&self) -> usize {
        locked(&self.inside.line, |line| line.waiting.len())
    }

    /// A place in the line, once it is polled.
    pub(crate) fn line_up(&self) -> Place {
        let id = locked(&self.inside.line, |line| {
            line.last += 1;
            line.last
        });
        Place {
            limiter: self.clone(),
            id,
        }
    }
}

impl fmt::Debug for DialLimiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DialLimiter")
            .field("most", &self.inside.most)
            .field("in_flight", &self.in_flight())
            .field("waiting", &self.waiting())
            .finish()
    }
}

/// A place in the line, then a permit. Dropping it gives either back.
#[derive(Debug)]
pub(crate) struct Place {
    limiter: DialLimiter,
    id: u64,
}

impl Place {
    /// Ready when the permit is there, for a dial that lasts so long at most.
    pub(crate) fn poll(&mut self, lasts: Duration, cx: &Context<'_>) -> Poll<()> {
        let inside = &self.limiter.inside;
        let now = (inside.now)();
        let (wakers, polled) = locked(&inside.line, |line| {
            line.holders
                .retain(|(id, until)| *until > now || *id == self.id);
            if line.held_by(self.id).is_none() {
                line.waiting.insert(self.id, cx.waker().clone());
            }
            let wakers = line.grant(inside.most, now, Some(self.id));
            match line.held_by(self.id) {
                Some(until) => {
                    *until = now + lasts;
                    (wakers, Poll::Ready(()))
                }
                None => (wakers, Poll::Pending),
            }
        });
        wake(wakers);
        polled
    }

    /// After how much time a permit may come free that nobody gives back.
    pub(crate) fn looks_again(&self) -> Option<Duration> {
        let inside = &self.limiter.inside;
        let now = (inside.now)();
        let soonest = locked(&inside.line, |line| {
            line.holders.iter().map(|(_, until)| *until).min()
        });
        soonest.map(|until| until.since(now))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let inside = &self.limiter.inside;
        let now = (inside.now)();
        let wakers = locked(&inside.line, |line| {
            line.waiting.remove(self.id);
            line.holders.retain(|(id, _)| *id != self.id);
            line.grant(inside.most, now, None)
        });
        wake(wakers);
    }
}

impl Line {
    fn held_by(&mut self, holder: u64) -> Option<&mut Time> {
        let mut holders = self.holders.iter_mut();
        holders.find_map(|(id, until)| (*id == holder).then_some(until))
    }

    /// Hands out the permits that are free, to the first in line. Who is to be woken of them.
    fn grant(&mut self, most: usize, now: Time, awake: Option<u64>) -> Vec<Waker> {
        let mut wakers = Vec::new();
        while self.holders.len() < most
            && let Some(id) = self.waiting.first().map(|(id, _)| id)
        {
            let waker = self.waiting.remove(id);
            self.holders.push((id, now + TAKE_UP));
            if awake != Some(id) {
                wakers.extend(waker);
            }
        }
        wakers
    }
}

/// After the lock is released.
fn wake(wakers: Vec<Waker>) {
    for waker in wakers {
        waker.wake();
    }
}
