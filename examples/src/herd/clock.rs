//! How long a play takes, and how much of that it has a processor.

use std::fs;
use std::time::{Duration, Instant};

/// What counts as long, in ticks of the system of up to 10 ms.
const TICKS: Duration = Duration::from_millis(100);

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

    /// Of the thread that asks, which started it. The system counts in ticks: a play of a few of them is
    /// told by the clock on the wall.
    pub(super) fn on_processor(&self) -> Duration {
        let now = of_this_thread().zip(self.processor);
        let had = now.map(|(now, then)| now.saturating_sub(then));
        had.filter(|had| *had > TICKS)
            .unwrap_or_else(|| self.took())
    }
}

/// The time that this thread had a processor, as Linux tells it.
fn of_this_thread() -> Option<Duration> {
    let text = fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    let nanos = text.split_whitespace().next()?.parse().ok()?;
    Some(Duration::from_nanos(nanos))
}
