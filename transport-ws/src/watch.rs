//! What of a connection depends on time: whether the server is there, whether a write ends, and
//! whether a goodbye is answered.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use failover_core::heartbeat::{Action, Heartbeat, Monitor};
use failover_core::time::Time;
use tokio::time::{Instant, Sleep, sleep_until};

/// The two watches of a connection, one for each direction: each direction may be polled by a task
/// of its own, and only who reads can tell that nothing came.
pub(crate) struct Watches {
    pub(crate) reading: Watch,
    pub(crate) writing: Watch,
}

impl Watches {
    pub(crate) fn new(heartbeat: Option<&Heartbeat>) -> Self {
        let reading = heartbeat.and_then(|heartbeat| {
            let silence = heartbeat
                .watch()
                .map(|watch| Heartbeat::builder().watch(watch.interval, watch.max_outstanding));
            match heartbeat.beat() {
                Some(beat) => Some(silence.unwrap_or_else(Heartbeat::builder).beat(beat)),
                None => silence,
            }
        });
        let writing = heartbeat
            .and_then(Heartbeat::write_deadline)
            .map(|deadline| Heartbeat::builder().write_deadline(deadline));
        // Parts of what was built cannot be refused.
        let built = |builder: failover_core::heartbeat::HeartbeatBuilder| builder.build().ok();
        Self {
            reading: Watch::new(reading.and_then(built)),
            writing: Watch::new(writing.and_then(built)),
        }
    }
}

/// One watch: a heartbeat's monitor and a deadline, over one timer that exists once it is needed.
pub(crate) struct Watch {
    epoch: Instant,
    monitor: Option<Monitor>,
    close_by: Option<Instant>,
    timer: Option<Pin<Box<Sleep>>>,
}

/// What is due.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Due {
    Heartbeat(Action),
    /// The grace for the close handshake is over.
    Close,
}

impl Watch {
    fn new(heartbeat: Option<Heartbeat>) -> Self {
        Self {
            epoch: Instant::now(),
            monitor: heartbeat.map(|heartbeat| Monitor::new(&heartbeat, Time::ZERO)),
            close_by: None,
            timer: None,
        }
    }

    /// Tells the monitor what happened, if there is one.
    pub(crate) fn tell(&mut self, what: impl FnOnce(&mut Monitor, Time)) {
        let epoch = self.epoch;
        if let Some(monitor) = &mut self.monitor {
            what(monitor, since(epoch));
        }
    }

    /// The connection is to be closed within this time; what was said first counts.
    pub(crate) fn close_within(&mut self, grace: Duration) {
        let by = || after(Instant::now(), grace);
        self.close_by = Some(self.close_by.unwrap_or_else(by));
    }

    /// Waits until something is due; for ever, if nothing ever will be.
    pub(crate) fn poll_due(&mut self, cx: &mut Context<'_>) -> Poll<Due> {
        if self.monitor.is_none() && self.close_by.is_none() {
            return Poll::Pending;
        }
        loop {
            let now = Instant::now();
            if self.close_by.is_some_and(|by| by <= now) {
                return Poll::Ready(Due::Close);
            }
            let epoch = self.epoch;
            let action = self.monitor.as_mut();
            if let Some(action) = action.and_then(|monitor| monitor.poll_action(since(epoch))) {
                return Poll::Ready(Due::Heartbeat(action));
            }
            let Some(wake) = self.next_wake() else {
                return Poll::Pending;
            };
            let timer = self
                .timer
                .get_or_insert_with(|| Box::pin(sleep_until(wake)));
            // One that strikes too early costs less than setting it at each message.
            if timer.is_elapsed() || timer.deadline() > wake {
                timer.as_mut().reset(wake);
            }
            ready!(timer.as_mut().poll(cx));
        }
    }

    fn next_wake(&self) -> Option<Instant> {
        let wake = self.monitor.as_ref().and_then(Monitor::next_wake);
        let wake = wake.map(|wake| after(self.epoch, wake.since(Time::ZERO)));
        [wake, self.close_by].into_iter().flatten().min()
    }
}

fn since(epoch: Instant) -> Time {
    Time::ZERO + epoch.elapsed()
}

/// Later than any connection lives, if the sum is no time.
fn after(start: Instant, duration: Duration) -> Instant {
    start.checked_add(duration.min(NEVER)).unwrap_or(start)
}

/// A hundred years.
const NEVER: Duration = Duration::from_secs(100 * 365 * 24 * 3600);
