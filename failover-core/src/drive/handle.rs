//! Control from elsewhere: a cloneable handle.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Waker;

use crate::directory::Target;
use crate::machine::CloseReason;
use crate::time::Time;

/// Controls a connector from elsewhere. Clones control the same one.
///
/// Calls never wait, work in every state and are coalesced: a thousand [`reconnect`](Self::reconnect)s
/// before the connector is polled are one, and [`close`](Self::close) wins over all. A handle does
/// not keep the connector alive.
#[derive(Clone)]
pub struct Handle {
    shared: Arc<Shared>,
}

impl Handle {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// Gives up the connection, if there is one, and makes another; cuts a wait short once. Not a
    /// failure: no limit counts it. Nothing happens while a dial is in flight.
    pub fn reconnect(&self) {
        self.shared.say(|words| words.reconnect = true);
    }

    /// Ends the connector, whatever it is doing. Takes effect when the connector is polled next.
    pub fn close(&self) {
        self.shared.say(|words| words.close = true);
    }

    /// What the connector is doing.
    #[must_use]
    pub fn status(&self) -> Status {
        self.shared.with(|inside| inside.status.clone())
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle")
            .field("status", &self.status())
            .finish()
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

/// What the handles and the connector share. Locked only to push or take a word.
#[derive(Debug, Default)]
pub(crate) struct Shared(Mutex<Inside>);

#[derive(Debug, Default)]
struct Inside {
    words: Words,
    driver: Option<Waker>,
    status: Status,
}

/// What was said since the connector last listened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Words {
    pub(crate) reconnect: bool,
    pub(crate) close: bool,
}

impl Shared {
    /// Takes the words, and leaves a waker for the next ones.
    pub(crate) fn listen(&self, driver: &Waker) -> Words {
        self.with(|inside| {
            match &mut inside.driver {
                Some(waker) => waker.clone_from(driver),
                none => *none = Some(driver.clone()),
            }
            core::mem::take(&mut inside.words)
        })
    }

    pub(crate) fn set_status(&self, status: Status) {
        self.with(|inside| inside.status = status);
    }

    fn say(&self, word: impl FnOnce(&mut Words)) {
        let driver = self.with(|inside| {
            word(&mut inside.words);
            inside.driver.take()
        });
        // Woken after the lock is released.
        if let Some(driver) = driver {
            driver.wake();
        }
    }

    fn with<T>(&self, then: impl FnOnce(&mut Inside) -> T) -> T {
        then(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
