//! What one connector finds out of an endpoint, all know.

use std::boxed::Box;
use std::fmt;
use std::string::{String, ToString};
use std::sync::{Arc, Mutex};
use std::task::Waker;
use std::time::Duration;
use std::vec::Vec;

use crate::drive::clock::Clock;
use crate::drive::share::locked;
use crate::lookup::Lookup;
use crate::numbered::Numbered;
use crate::time::Time;

/// What connectors of one process know of endpoints together. Clones are the same knowledge.
///
/// An endpoint is known by its [name](crate::directory::Endpoint::name): the same name is the same
/// server, in every connector that this is given to. When one connector suspends it, the others
/// let it rest for as long; when its time is up, one of them probes it and the others wait for what
/// comes of it; when one connects, the rest is over for all, and those that wait come back spread
/// over their policy's [`wake_spread`](crate::policy::Standing::wake_spread). A suspension grows by
/// the series of who probes. What the user asks for by name and what a policy dials although it rests is
/// dialled all the same.
///
/// Up to 4096 endpoints are known at a time; beyond, the oldest news is forgotten.
///
/// ```
/// # use std::future::{Ready, ready};
/// # use failover_core::drive::{Clock, SharedHealth};
/// # use failover_core::time::Time;
/// # struct MyClock;
/// # impl Clock for MyClock { type Sleep = Ready<()>;
/// #   fn now(&self) -> Time { Time::ZERO }
/// #   fn sleep_until(&self, _: Time) -> Ready<()> { ready(()) } }
/// // One for all: `builder.shared_health(&health)` on each.
/// let health = SharedHealth::new(MyClock);
/// assert!(health.resting().is_empty());
/// ```
#[derive(Clone)]
pub struct SharedHealth {
    inside: Arc<Inside>,
}

struct Inside {
    now: Box<dyn Fn() -> Time + Send + Sync>,
    book: Mutex<Book>,
}

#[derive(Default)]
struct Book {
    /// The number of the last news.
    version: u64,
    endpoints: Lookup<Arc<str>, Entry>,
    /// Of which endpoint each news is that is the last one of it.
    last: Numbered<u64, Arc<str>>,
    last_reader: u64,
    readers: Numbered<u64, Waker>,
}

/// The last news of an endpoint.
struct Entry {
    version: u64,
    by: u64,
    state: State,
}

#[derive(Clone, Copy)]
enum State {
    /// Suspended until then; afterwards it is to be probed.
    Rests(Time),
    /// Somebody probes it: until then at most.
    Probed(Time),
    Well,
}

/// How many endpoints are known at a time.
const MOST: usize = 4096;

impl SharedHealth {
    /// Nothing is known yet. The clock may be another than the connectors'.
    #[must_use]
    pub fn new(clock: impl Clock) -> Self {
        Self {
            inside: Arc::new(Inside {
                now: Box::new(move || clock.now()),
                book: Mutex::default(),
            }),
        }
    }

    /// The endpoints that rest, or wait for a probe, by name, and for how long still.
    #[must_use]
    pub fn resting(&self) -> Vec<(String, Duration)> {
        let now = (self.inside.now)();
        let mut resting: Vec<(String, Duration)> = locked(&self.inside.book, |book| {
            let rests = |(_, name): (u64, &Arc<str>)| match book.endpoints.get(name)?.state {
                State::Rests(until) | State::Probed(until) => {
                    Some((name.to_string(), until.since(now)))
                }
                State::Well => None,
            };
            book.last.iter().filter_map(rests).collect()
        });
        resting.sort_unstable();
        resting
    }

    pub(crate) fn reader(&self) -> Reader {
        let (id, seen) = locked(&self.inside.book, |book| {
            book.last_reader += 1;
            // What is known already is news to who comes later.
            (book.last_reader, 0)
        });
        Reader {
            health: self.clone(),
            id,
            seen,
        }
    }
}

impl fmt::Debug for SharedHealth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedHealth")
            .field("resting", &self.resting())
            .finish()
    }
}

/// A connector's side of it.
pub(crate) struct Reader {
    health: SharedHealth,
    id: u64,
    /// The last news that it has heard.
    seen: u64,
}

/// What others found out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum News {
    /// It rests for so long.
    Rests(Duration),
    /// It rests no more.
    Recovered,
}

/// Whether it may be dialled now.
pub(crate) enum Claim {
    /// Nothing speaks against it.
    Free,
    /// As the probe for all.
    Probe(Probe),
    /// It rests, or somebody else probes it, for so long at most.
    Busy(Duration),
}

/// The one probe of an endpoint. Dropped without news, somebody else may probe it.
pub(crate) struct Probe {
    health: SharedHealth,
    name: String,
    version: u64,
}

impl Reader {
    /// What others found out since the last call, in its order. Later news wakes `reader`.
    pub(crate) fn news(&mut self, reader: &Waker) -> Vec<(String, News)> {
        let now = (self.health.inside.now)();
        let (id, seen) = (self.id, self.seen);
        // A waker that is replaced is dropped after the lock is released.
        let (news, seen, _before) = locked(&self.health.inside.book, |book| {
            let before = match book.readers.get(id) {
                Some(waker) if waker.will_wake(reader) => None,
                Some(_) | None => book.readers.insert(id, reader.clone()),
            };
            let news = book.last.after(seen).filter_map(|(_, name)| {
                let entry = book.endpoints.get(name).filter(|entry| entry.by != id)?;
                let news = match entry.state {
                    State::Rests(until) | State::Probed(until) if until > now => {
                        News::Rests(until.since(now))
                    }
                    State::Rests(_) | State::Probed(_) => return None,
                    State::Well => News::Recovered,
                };
                Some((name.to_string(), news))
            });
            (news.collect::<Vec<_>>(), book.version, before)
        });
        self.seen = seen;
        news
    }

    /// It was suspended here, for so long. While it rests or is probed already, one more failure is
    /// no news.
    pub(crate) fn suspended(&self, name: &str, rest: Duration) {
        let now = (self.health.inside.now)();
        self.tell(name, State::Rests(now + rest), |entry| match entry.state {
            State::Rests(until) => until <= now,
            State::Probed(until) => entry.by == self.id || until <= now,
            State::Well => true,
        });
    }

    /// A dial of it gave a connection.
    pub(crate) fn connected(&self, name: &str) {
        let known = locked(&self.health.inside.book, |book| {
            book.endpoints.contains(name)
        });
        if known {
            self.tell(name, State::Well, |entry| {
                !matches!(entry.state, State::Well)
            });
        }
    }

    /// Asks to dial it, for so long at most, as one who has not heard that it rests.
    pub(crate) fn claim(&self, name: &str, lasts: Duration) -> Claim {
        let now = (self.health.inside.now)();
        let state = locked(&self.health.inside.book, |book| {
            let entry = book.endpoints.get(name)?;
            Some((entry.state, entry.by == self.id))
        });
        match state {
            None | Some((State::Well, _)) => Claim::Free,
            Some((State::Rests(until) | State::Probed(until), mine)) if until > now => match mine {
                true => Claim::Free,
                false => Claim::Busy(until.since(now)),
            },
            Some((State::Rests(_) | State::Probed(_), _)) => self.begin_probe(name, lasts, now),
        }
    }

    fn begin_probe(&self, name: &str, lasts: Duration, now: Time) -> Claim {
        let until = now + lasts;
        // Somebody may have come first since it was looked at.
        let mine = self.tell(name, State::Probed(until), |entry| match entry.state {
            State::Rests(until) | State::Probed(until) => until <= now,
            State::Well => false,
        });
        match mine {
            Some(version) => Claim::Probe(Probe {
                health: self.health.clone(),
                name: name.to_string(),
                version,
            }),
            None => Claim::Busy(lasts),
        }
    }

    /// Notes news and wakes the others, if it is news.
    fn tell(&self, name: &str, state: State, is_news: impl Fn(&Entry) -> bool) -> Option<u64> {
        let (version, mut wakers) = locked(&self.health.inside.book, |book| {
            let name = match book.endpoints.get_key_value(name) {
                Some((_, entry)) if !is_news(entry) => return (None, Numbered::new()),
                Some((name, _)) => Arc::clone(name),
                None => Arc::from(name),
            };
            let version = book.note(name, self.id, state);
            let mut wakers = core::mem::take(&mut book.readers);
            // Its own waker stays: it knows.
            if let Some(own) = wakers.remove(self.id) {
                book.readers.insert(self.id, own);
            }
            (Some(version), wakers)
        });
        // Woken after the lock is released.
        for waker in wakers.take_all() {
            waker.wake();
        }
        version
    }
}

impl Book {
    /// The number of this news.
    fn note(&mut self, name: Arc<str>, by: u64, state: State) -> u64 {
        self.version += 1;
        let version = self.version;
        self.last.insert(version, Arc::clone(&name));
        let entry = Entry { version, by, state };
        if let Some(before) = self.endpoints.insert(name, entry) {
            self.last.remove(before.version);
        }
        if self.endpoints.len() > MOST {
            self.forget_the_oldest();
        }
        version
    }

    fn forget_the_oldest(&mut self) {
        let oldest = self.last.first().map(|(version, _)| version);
        if let Some(name) = oldest.and_then(|version| self.last.remove(version)) {
            self.endpoints.remove(&name);
        }
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        locked(&self.health.inside.book, |book| {
            book.readers.remove(self.id)
        });
    }
}

impl fmt::Debug for Reader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reader").field("seen", &self.seen).finish()
    }
}

impl Drop for Probe {
    fn drop(&mut self) {
        let now = (self.health.inside.now)();
        locked(&self.health.inside.book, |book| {
            if let Some(entry) = book.endpoints.get_mut(self.name.as_str())
                && entry.version == self.version
            {
                entry.state = State::Rests(now);
            }
        });
    }
}

#[cfg(test)]
mod tests;
