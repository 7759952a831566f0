//! Whether the peer is still there, and whether it can tell that we are.
//!
//! It sends nothing, reads nothing and arms no timer: it says when to send a ping and when to give
//! the connection up. Only *received* data proves a peer alive; what is sent proves nothing, for
//! it goes into a buffer. [`Heartbeat`] is what may be said, [`Monitor`] watches one connection,
//! [`negotiate`] settles the periods of both sides as STOMP does.
//!
//! ```
//! use core::time::Duration;
//! use failover_core::heartbeat::{Action, Heartbeat, Monitor, Stale};
//! use failover_core::time::Time;
//!
//! // NATS: a ping every 2 min, and two of them may be unanswered.
//! let at = |minutes: u64| Time::ZERO + Duration::from_secs(60 * minutes);
//! let mut monitor = Monitor::new(&Heartbeat::NATS, at(0));
//! monitor.handle_received(at(1));
//!
//! // The peer dies. It is asked twice, and given up within 6 min after its last byte.
//! assert_eq!(Heartbeat::NATS.bound(), Some(Duration::from_secs(6 * 60)));
//! assert_eq!(monitor.next_wake(), Some(at(3)));
//! assert_eq!(monitor.poll_action(at(3)), Some(Action::Ping));
//! assert_eq!(monitor.poll_action(at(3)), None);
//! assert_eq!(monitor.poll_action(at(5)), Some(Action::Ping));
//! assert_eq!(monitor.poll_action(at(7)), Some(Action::Stale(Stale::Silent)));
//! assert_eq!(monitor.next_wake(), None);
//! ```

mod config;
mod negotiate;

use core::time::Duration;

pub use self::config::{Heartbeat, HeartbeatBuilder, HeartbeatError, LEAST_PERIOD, Watch};
pub use self::negotiate::{Agreed, Offer, negotiate};
use crate::time::{Time, nanos};

/// Watches one connection.
///
/// # The one law of its life
/// Tell it what happened ([`handle_received`](Self::handle_received) and the others); then, and at
/// each [`next_wake`](Self::next_wake), call [`poll_action`](Self::poll_action) until it returns
/// nothing, and do what it returns. Read what has arrived *before* polling, or a peer is judged by
/// data that nobody looked at.
///
/// # The bound
/// A dead peer is noticed at `interval × (max_outstanding + 1)` after the last received byte, if
/// the wake-ups are in time ([`Heartbeat::bound`]). Each late wake-up puts it off by as much as it
/// is late, because each ping has a whole interval to be answered, counted from when it was sent.
///
/// # Time that jumps or stands still
/// A wake-up that is late by more than an interval (the machine slept) says nothing about the peer:
/// nobody listened. So it never makes a connection stale at once. The peer is asked once more
/// (also beyond `max_outstanding`; if that is 0, it is only listened for) and has a whole interval to
/// answer. This grace is given once per silence, so that a caller who is always late notices a dead
/// peer too. However far time jumped, a poll gives one ping, not many. While time stands still,
/// nothing becomes due, and one that runs backwards counts as standing still.
///
/// A pending write has the same grace, once: when its deadline is seen late by more than itself, it
/// runs anew.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Monitor {
    /// Nanoseconds; `u64::MAX` is never.
    interval: u64,
    beat: u64,
    write_deadline: u64,
    max_outstanding: u32,
    /// Pings since the last received byte.
    outstanding: u32,
    /// When the silence of the peer is long enough for the next step.
    ask_at: Time,
    /// When our own silence is.
    beat_at: Time,
    write: Option<Write>,
    grace: Grace,
    state: State,
    /// The latest time that was told: time never runs backwards here.
    latest: Time,
}

/// What to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Action {
    /// Send something that the peer answers.
    Ping,
    /// Send something, so that the peer sees that we are there; it need not answer.
    Beat,
    /// Give the connection up: the last action. (For the machine: a loss of
    /// [`Kind::Stale`](crate::failure::Kind::Stale).)
    Stale(Stale),
}

/// Why a connection is given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Stale {
    /// Nothing was received for too long.
    Silent,
    /// A write did not end for too long: the peer takes nothing in.
    Stuck,
}

/// A write that has not ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Write {
    /// When it is too old.
    by: Time,
    grace: Grace,
}

/// The second chance after time jumped, once per silence and once per write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Grace {
    Left,
    Spent,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Watching,
    Over,
}

impl Monitor {
    /// Watches a connection that was made just now.
    #[must_use]
    pub fn new(heartbeat: &Heartbeat, now: Time) -> Self {
        let period = |part: Option<Duration>| part.map_or(u64::MAX, nanos);
        let watch = heartbeat.watch();
        let interval = period(watch.map(|watch| watch.interval));
        let beat = period(heartbeat.beat());
        Self {
            interval,
            beat,
            write_deadline: period(heartbeat.write_deadline()),
            max_outstanding: watch.map_or(0, |watch| watch.max_outstanding),
            outstanding: 0,
            ask_at: now.after(interval),
            beat_at: now.after(beat),
            write: None,
            grace: Grace::Left,
            state: State::Watching,
            latest: now,
        }
    }

    /// The peer sent something, whatever it is: it lives.
    pub fn handle_received(&mut self, now: Time) {
        let now = self.tick(now);
        self.outstanding = 0;
        self.grace = Grace::Left;
        self.ask_at = now.after(self.interval);
    }

    /// What the peer sends is not read for now: its silence says nothing about it. It is asked on, for what is
    /// written may fail.
    pub fn handle_deaf(&mut self, now: Time) {
        let now = self.tick(now);
        self.outstanding = 0;
        self.grace = Grace::Left;
        if self.max_outstanding == 0 {
            self.ask_at = now.after(self.interval);
        }
    }

    /// A write begins, or waits for the peer to take it in. Until
    /// [`handle_written`](Self::handle_written), further ones change nothing: the oldest counts.
    pub fn handle_writing(&mut self, now: Time) {
        let now = self.tick(now);
        let by = now.after(self.write_deadline);
        self.write.get_or_insert(Write {
            by,
            grace: Grace::Left,
        });
    }

    /// What was to be written is written (a frame, or all that was buffered). This is a sign of
    /// life of ours, and proves nothing about the peer.
    pub fn handle_written(&mut self, now: Time) {
        let now = self.tick(now);
        self.write = None;
        self.beat_at = now.after(self.beat);
    }

    /// The next thing to do, if one is due.
    #[must_use = "it counts as done"]
    pub fn poll_action(&mut self, now: Time) -> Option<Action> {
        let now = self.tick(now);
        // At most two excuses: each leaves nothing due of its kind.
        loop {
            let next = self.decide(now)?;
            self.enter(next, now);
            if let Next::Act(action) = next {
                return Some(action);
            }
        }
    }

    /// When to call [`poll_action`](Self::poll_action), if nothing else happens before. A time that
    /// has passed means at once.
    #[must_use]
    pub fn next_wake(&self) -> Option<Time> {
        if self.state == State::Over {
            return None;
        }
        // Bytes of ours are on their way while a write is pending: no beat behind them.
        let ours = self.write.map_or(self.beat_at, |write| write.by);
        match self.ask_at.min(ours) {
            Time::MAX => None,
            wake => Some(wake),
        }
    }

    /// Pings since the last received byte.
    #[must_use]
    pub fn outstanding(&self) -> u32 {
        self.outstanding
    }

    fn decide(&self, now: Time) -> Option<Next> {
        let is_due = |at: Time| at <= now && at != Time::MAX;
        if self.state == State::Over {
            return None;
        }
        if let Some(write) = self.write.filter(|write| is_due(write.by)) {
            return Some(self.next_of_write(write, now));
        }
        if is_due(self.ask_at) {
            return Some(self.next_of_silence(now));
        }
        if self.write.is_none() && is_due(self.beat_at) {
            return Some(Next::Act(Action::Beat));
        }
        None
    }

    /// The pending write has run into its deadline.
    fn next_of_write(&self, write: Write, now: Time) -> Next {
        let slept = write.by.after(self.write_deadline) < now;
        match write.grace {
            Grace::Left if slept => Next::WaitForWrite(Write {
                by: now.after(self.write_deadline),
                grace: Grace::Spent,
            }),
            Grace::Left | Grace::Spent => Next::Act(Action::Stale(Stale::Stuck)),
        }
    }

    /// The peer was silent for one more interval.
    fn next_of_silence(&self, now: Time) -> Next {
        if self.outstanding < self.max_outstanding {
            return Next::Act(Action::Ping);
        }
        let slept = self.ask_at.after(self.interval) < now;
        match (self.grace, self.max_outstanding) {
            (Grace::Left, 0) if slept => Next::Listen,
            (Grace::Left, _) if slept => Next::Act(Action::Ping),
            (Grace::Left | Grace::Spent, _) => Next::Act(Action::Stale(Stale::Silent)),
        }
    }

    fn enter(&mut self, next: Next, now: Time) {
        match next {
            Next::WaitForWrite(write) => self.write = Some(write),
            Next::Listen => self.on_asked(now),
            Next::Act(Action::Ping) => {
                self.on_asked(now);
                self.outstanding = self.outstanding.saturating_add(1);
                self.beat_at = now.after(self.beat);
            }
            Next::Act(Action::Beat) => self.beat_at = now.after(self.beat),
            Next::Act(Action::Stale(_)) => self.state = State::Over,
        }
    }

    /// The peer has one more interval to answer.
    fn on_asked(&mut self, now: Time) {
        if self.outstanding >= self.max_outstanding {
            self.grace = Grace::Spent;
        }
        self.ask_at = now.after(self.interval);
    }

    fn tick(&mut self, now: Time) -> Time {
        self.latest = self.latest.max(now);
        self.latest
    }
}

/// What to do next.
#[derive(Clone, Copy)]
enum Next {
    Act(Action),
    /// Listen for one more interval, without asking.
    Listen,
    /// Give the pending write another deadline.
    WaitForWrite(Write),
}
