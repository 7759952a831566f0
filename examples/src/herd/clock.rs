//! How long a play takes, and how much of that it has a processor.

use std::fs;
use std::time::{Duration, Instant};

pub(super) struct Clock {
    began: Instant,
    processor: Option<Duration>,
}

impl Clock {
    pub(super) fn start() -> Self {
        Self {
            began: Instant::now(),
            processor: of_this_thread(),
        }
    }

    pub(super) fn took(&self) -> Duration {
        self.began.elapsed()
    }

    /// Of the thread that asks, which started it.
    pub(super) fn on_processor(&self) -> Duration {
        let now = of_this_thread().zip(self.processor);
        now.map_or_else(|| self.took(), |(now, then)| now.saturating_sub(then))
    }
}

/// The time that this thread had a processor, as Linux tells it.
fn of_this_thread() -> Option<Duration> {
    let text = fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    let nanos = text.split_whitespace().next()?.parse().ok()?;
    Some(Duration::from_nanos(nanos))
}
