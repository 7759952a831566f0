//! Control from elsewhere: a cloneable handle.

use std::fmt;
use std::future::poll_fn;
use std::string::String;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::task::{Poll, Waker};
use std::vec::Vec;

use thiserror::Error;

use crate::attempt::AttemptId;
use crate::directory::{Endpoint, Target};
use crate::drive::recorder::{Flight, Recorded, Recording};
use crate::drive::report::{Counters, Reports, Snapshot};
use crate::drive::share::HeldBy;
use crate::machine::CloseReason;
use crate::numbered::Numbered;
use crate::time::Time;

/// Controls a connector from elsewhere. Clones control the same one.
///
/// Calls never wait, work in every state and are coalesced: a thousand [`reconnect`](Self::reconnect)s
/// before the connector is polled are one, and [`close`](Self::close) wins over all. They take
/// effect when the connector is polled next. A handle does not keep the connector alive.
///
/// ```
/// use failover_core::drive::Handle;
///
/// fn the_laptop_wakes_up(handle: &Handle) {
///     handle.resume();
/// }
///
/// fn this_server_is_slow(handle: &Handle) {
///     handle.reconnect_other();
/// }
/// ```
#[derive(Clone)]
pub struct Handle {
    shared: Arc<Shared>,
}

impl Handle {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// Gives up the connection, if there is one, and makes another, wherever the policy says; cuts a
    /// wait short once. Not a failure: no limit counts it. Nothing happens while a dial is in flight.
    pub fn reconnect(&self) {
        self.shared.say(|words| words.reconnect = Some(Goal::Any));
    }

    /// The same, but to another server than the present one.
    pub fn reconnect_other(&self) {
        self.shared.say(|words| words.reconnect = Some(Goal::Other));
    }

    /// The same, but to the server with this name, once, even if it rests. An unknown name changes
    /// nothing and is told as [`What::ListRefused`](crate::drive::What::ListRefused).
    pub fn reconnect_to(&self, name: impl Into<String>) {
        let name = name.into();
        self.shared
            .say(|words| words.reconnect = Some(Goal::This(name)));
    }

    /// The server of the present connection drains (a lame duck): it is left, spread over the
    /// policy's time, with overlap if the policy allows.
    pub fn drain(&self) {
        self.shared.say(|words| words.drain = true);
    }

    /// Starts no dials until [`resume`](Self::resume): the machine is about to sleep, the network is
    /// gone. A connection stays.
    pub fn pause(&self) {
        self.shared.say(|words| words.network = Some(Network::Gone));
    }

    /// Ends a pause; also without one, when the network is back: waits are cut down to a small
    /// spread.
    pub fn resume(&self) {
        self.shared.say(|words| words.network = Some(Network::Back));
    }

    /// Adds an endpoint to the list.
    ///
    /// # Errors
    /// When too many changes wait already.
    pub fn add(&self, endpoint: Endpoint) -> Result<(), TooManyChanges> {
        self.change(Change::Add(endpoint))
    }

    /// Removes the endpoint with this name. Its connection is left as if it drained.
    ///
    /// # Errors
    /// When too many changes wait already.
    pub fn remove(&self, name: impl Into<String>) -> Result<(), TooManyChanges> {
        self.change(Change::Remove(name.into()))
    }

    /// Replaces the configured endpoints by these; those that stay keep their state, unless their
    /// routes, tier, weight, deadline or class have changed. Supersedes the changes that still wait. A list that contradicts itself changes nothing and is told as
    /// [`What::ListRefused`](crate::drive::What::ListRefused).
    pub fn replace(&self, endpoints: impl IntoIterator<Item = Endpoint>) {
        let endpoints = endpoints.into_iter().collect();
        self.shared.say(|words| {
            words.changes.clear();
            words.changes.push(Change::Replace(endpoints));
        });
    }

    /// Switches the endpoint with this name off. Its connection is left as if it drained.
    ///
    /// # Errors
    /// When too many changes wait already.
    pub fn switch_off(&self, name: impl Into<String>) -> Result<(), TooManyChanges> {
        self.change(Change::Off(name.into()))
    }

    /// Switches it on again; it begins anew.
    ///
    /// # Errors
    /// When too many changes wait already.
    pub fn switch_on(&self, name: impl Into<String>) -> Result<(), TooManyChanges> {
        self.change(Change::On(name.into()))
    }

    /// A server pushed a list of servers over this connection. It is checked, bounded, merged at most
    /// once in a while, and told as [`What::Discovered`](crate::drive::What::Discovered). The latest
    /// list counts; one of a connection that is no more does not.
    pub fn learn<'a>(&self, connection: AttemptId, list: impl IntoIterator<Item = &'a str>) {
        let list = list
            .into_iter()
            .take(MAX_LEARNED)
            .map(String::from)
            .collect();
        self.shared
            .say(|words| words.learned = Some((connection, list)));
    }

    /// Ends the connector, whatever it is doing. A session gets the policy's grace to finish.
    pub fn close(&self) {
        self.shared.say(|words| words.close = true);
    }

    /// What the connector is doing.
    #[must_use]
    pub fn status(&self) -> Status {
        self.shared.with(|inside| inside.status.clone())
    }

    /// Everything that is known at this moment. Takes time in proportion to the list.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        let at = (self.shared.now)();
        self.shared.with(|inside| Snapshot {
            at,
            status: inside.status.clone(),
            since: inside.since,
            counters: inside.counters,
            endpoints: inside.reports.values().cloned().collect(),
        })
    }

    /// A sentence for each endpoint: why this one, why that one waits, until when, what would change it.
    /// See [`Snapshot::explain`].
    #[must_use]
    pub fn explain(&self) -> Vec<String> {
        self.snapshot().explain()
    }

    /// What the flight recorder kept so far, also after the end; nothing without a
    /// [`recorder`](crate::drive::ConnectorBuilder::recorder). Copies the ring.
    #[must_use]
    pub fn recording(&self) -> Option<Recording> {
        self.shared.recording()
    }

    /// A view of the status that can be waited on.
    #[must_use]
    pub fn watch(&self) -> Watch {
        let id = self.shared.with(|inside| {
            inside.watches += 1;
            inside.watches
        });
        Watch {
            shared: Arc::clone(&self.shared),
            id,
            seen: None,
        }
    }

    fn change(&self, change: Change) -> Result<(), TooManyChanges> {
        let mut taken = Ok(());
        self.shared.say(|words| {
            if words.changes.len() < MAX_CHANGES {
                words.changes.push(change);
            } else {
                taken = Err(TooManyChanges);
            }
        });
        taken
    }
}

/// How many changes of the list may wait for a connector that nobody polls.
const MAX_CHANGES: usize = 1024;
/// How many addresses of a pushed list are looked at.
const MAX_LEARNED: usize = 4096;

/// A change of the list was not taken: 1024 wait already, because nobody polls the connector.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("{MAX_CHANGES} changes of the list wait already: is the connector polled?")]
#[non_exhaustive]
pub struct TooManyChanges;

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle")
            .field("status", &self.status())
            .finish()
    }
}

/// The latest status of a connector, as a value that can be waited on. Readers that are slow see the
/// latest one and none between.
pub struct Watch {
    shared: Arc<Shared>,
    /// Its place among those that are woken.
    id: u64,
    /// The version of the status that it gave last.
    seen: Option<u64>,
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.shared.with(|inside| inside.watchers.remove(self.id));
    }
}

impl Watch {
    /// The status, once it is another than the one this watch gave last; at the first call at once.
    /// `None` when it has given `Closed` or `Dropped`: there will be no other.
    ///
    /// # Cancel safety
    /// Dropping the future loses nothing.
    pub async fn next(&mut self) -> Option<Status> {
        let id = self.id;
        let (shared, seen) = (&self.shared, &mut self.seen);
        poll_fn(|cx| {
            let (next, _before) = shared.with(|inside| {
                if *seen != Some(inside.version) {
                    *seen = Some(inside.version);
                    return (Poll::Ready(Some(inside.status.clone())), None);
                }
                if inside.status.is_final() {
                    return (Poll::Ready(None), None);
                }
                // What it replaces is dropped after the lock is released: it may be the last of a task.
                (
                    Poll::Pending,
                    inside.watchers.insert(id, cx.waker().clone()),
                )
            });
            next
        })
        .await
    }
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch").field("seen", &self.seen).finish()
    }
}

/// What a connector is doing.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub enum Status {
    /// Nobody asked it to connect yet.
    #[default]
    Idle,
    /// Waiting until it is time for the next dial.
    Waiting {
        /// Whom it will dial.
        target: Target,
        /// When.
        until: Time,
    },
    /// A dial is in flight.
    Dialing {
        /// To whom.
        target: Target,
    },
    /// The next dial waits for a permit that connectors share.
    Held {
        /// Whom it will dial.
        target: Target,
        /// Whose permit.
        by: HeldBy,
    },
    /// Connected.
    Connected {
        /// To whom.
        target: Target,
        /// Since when.
        since: Time,
    },
    /// Told to start no dials.
    Paused,
    /// No endpoint to dial.
    Starved,
    /// Over.
    Closed(CloseReason),
    /// The connector was dropped.
    Dropped,
}

impl Status {
    /// Whether there will be no other.
    #[must_use]
    pub const fn is_final(&self) -> bool {
        matches!(self, Self::Closed(_) | Self::Dropped)
    }

    /// Whether a reader would see no difference.
    fn is_same(&self, other: &Self) -> bool {
        let same = |a: &Target, b: &Target| {
            a.endpoint().name() == b.endpoint().name() && a.route() == b.route()
        };
        match (self, other) {
            (Self::Idle, Self::Idle)
            | (Self::Paused, Self::Paused)
            | (Self::Starved, Self::Starved)
            | (Self::Dropped, Self::Dropped) => true,
            (Self::Closed(a), Self::Closed(b)) => a == b,
            (Self::Dialing { target: a }, Self::Dialing { target: b }) => same(a, b),
            (Self::Held { target: a, by: x }, Self::Held { target: b, by: y }) => {
                x == y && same(a, b)
            }
            (
                Self::Waiting {
                    target: a,
                    until: x,
                },
                Self::Waiting {
                    target: b,
                    until: y,
                },
            )
            | (
                Self::Connected {
                    target: a,
                    since: x,
                },
                Self::Connected {
                    target: b,
                    since: y,
                },
            ) => x == y && same(a, b),
            _ => false,
        }
    }
}

/// What the handles and the connector share. Locked only to push or take a word.
pub(crate) struct Shared {
    inside: Mutex<Inside>,
    /// With a lock of its own.
    flight: OnceLock<Arc<Flight>>,
    now: Arc<dyn Fn() -> Time + Send + Sync>,
}

#[derive(Debug, Default)]
pub(crate) struct Inside {
    words: Words,
    driver: Option<Waker>,
    status: Status,
    since: Time,
    version: u64,
    /// How many watches there ever were.
    watches: u64,
    watchers: Numbered<u64, Waker>,
    pub(crate) counters: Counters,
    pub(crate) reports: Reports,
}

/// What was said since the connector last listened.
#[derive(Debug, Default)]
pub(crate) struct Words {
    pub(crate) close: bool,
    pub(crate) reconnect: Option<Goal>,
    pub(crate) drain: bool,
    pub(crate) network: Option<Network>,
    pub(crate) changes: Vec<Change>,
    pub(crate) learned: Option<(AttemptId, Vec<String>)>,
}

/// Where a forced reconnect goes, by name.
#[derive(Debug)]
pub(crate) enum Goal {
    Any,
    Other,
    This(String),
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Network {
    Gone,
    Back,
}

/// A change of the list, by name.
#[derive(Debug)]
pub(crate) enum Change {
    Add(Endpoint),
    Remove(String),
    Replace(Vec<Endpoint>),
    Off(String),
    On(String),
}

impl Shared {
    pub(crate) fn new(now: impl Fn() -> Time + Send + Sync + 'static, reports: Reports) -> Self {
        let inside = Inside {
            since: now(),
            reports,
            ..Inside::default()
        };
        Self {
            inside: Mutex::new(inside),
            flight: OnceLock::new(),
            now: Arc::new(now),
        }
    }

    /// Records from now on. Once.
    #[inline]
    pub(crate) fn record(&self, flight: Option<Flight>) {
        if let Some(flight) = flight {
            let _ = self.flight.set(Arc::new(flight));
        }
    }

    #[inline]
    pub(crate) fn flight(&self) -> Option<&Flight> {
        self.flight.get().map(|flight| &**flight)
    }

    pub(crate) fn recorded(&self) -> Option<Recorded> {
        let flight = self.flight.get()?;
        Some(Recorded::new(Arc::clone(flight), (self.now)()))
    }

    pub(crate) fn recording(&self) -> Option<Recording> {
        Some(self.flight()?.recording((self.now)()))
    }

    /// The connector's time, for whoever is told it.
    pub(crate) fn time(&self) -> Arc<dyn Fn() -> Time + Send + Sync> {
        Arc::clone(&self.now)
    }

    /// Takes the words, and leaves a waker for the next ones.
    #[inline]
    pub(crate) fn listen(&self, driver: &Waker) -> Words {
        self.with(|inside| {
            match &mut inside.driver {
                Some(waker) => waker.clone_from(driver),
                none => *none = Some(driver.clone()),
            }
            core::mem::take(&mut inside.words)
        })
    }

    /// Whether close was said and not yet heard.
    pub(crate) fn is_closing(&self) -> bool {
        self.with(|inside| inside.words.close)
    }

    #[inline]
    pub(crate) fn set_status(&self, status: Status, now: Time) {
        let watchers = self.with(|inside| {
            if inside.status.is_same(&status) {
                return None;
            }
            inside.status = status;
            inside.since = now;
            inside.version += 1;
            let anybody = !inside.watchers.is_empty();
            anybody.then(|| core::mem::take(&mut inside.watchers))
        });
        // Woken after the lock is released.
        if let Some(mut watchers) = watchers {
            for watcher in watchers.take_all() {
                watcher.wake();
            }
        }
    }

    fn say(&self, word: impl FnOnce(&mut Words)) {
        let driver = self.with(|inside| {
            word(&mut inside.words);
            inside.driver.take()
        });
        if let Some(driver) = driver {
            driver.wake();
        }
    }

    pub(crate) fn with<T>(&self, then: impl FnOnce(&mut Inside) -> T) -> T {
        then(&mut self.inside.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").finish_non_exhaustive()
    }
}
