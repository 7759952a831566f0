//! What happened, with names, errors and phases: for people and for logs.

use std::collections::VecDeque;
use std::fmt;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::string::String;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Poll, Waker};
use std::time::Duration;
use std::vec::Vec;

use crate::attempt::{AttemptId, Purpose};
use crate::dial::DialError;
use crate::directory::{Endpoint, Refused, Target};
use crate::drive::error::ListError;
use crate::drive::share::HeldBy;
use crate::failure::{Failure, Phase};
use crate::machine::{CloseReason, Move, Why};
use crate::time::Time;

/// Something that happened to a connector.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Event {
    /// When, by the connector's clock.
    pub at: Time,
    /// What.
    pub what: What,
}

/// What happened. The order is law L15: `Connected`, then any number of `Disconnected`, `Attempt`s
/// and `Reconnected` or `FailedOver`; a move with overlap is `Switching`, then `Moved`; `Closed` is
/// the last. The others may stand anywhere before it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum What {
    /// A dial ended, well or badly.
    Attempt(Attempt),
    /// A dial waits for a permit that connectors share; its deadline does not run. Told once for
    /// each dial and permit.
    Held {
        /// What is to be dialled.
        target: Target,
        /// Whose permit.
        by: HeldBy,
    },
    /// The first connection stands.
    Connected(Link),
    /// A connection to the server that was lost stands again.
    Reconnected(Link),
    /// A connection to another server than the one lost stands.
    FailedOver {
        /// The new connection.
        to: Link,
        /// The server that was lost.
        from: Arc<Endpoint>,
    },
    /// The connection is no more.
    Disconnected {
        /// Which.
        link: Link,
        /// Why.
        why: Why,
        /// The application's or transport's own error, if it came with the loss.
        error: Option<DialError>,
        /// How long the connection lived.
        lived: Duration,
        /// The dial that comes next; nothing if it closes.
        next: Option<NextDial>,
    },
    /// The window in which the session might have been resumed is over: the next connection is for
    /// a new one.
    SessionGone,
    /// A move to another server began; the connection stands meanwhile.
    Switching {
        /// The present connection.
        from: Link,
        /// What for.
        why: Move,
    },
    /// A move is done: this is the connection from now on.
    Moved {
        /// The new connection.
        to: Link,
        /// The server that was left.
        from: Arc<Endpoint>,
        /// What for.
        why: Move,
    },
    /// The server of the connection drains and will be left.
    Draining {
        /// The connection.
        link: Link,
        /// After this time.
        after: Duration,
    },
    /// An endpoint is suspended.
    Suspended {
        /// Which.
        endpoint: Arc<Endpoint>,
        /// Until then.
        until: Time,
    },
    /// A spare connection stands ready.
    SpareReady(Link),
    /// A spare connection was lost.
    SpareLost {
        /// Which.
        link: Link,
        /// Why.
        failure: Failure,
    },
    /// The list of endpoints changed, through a handle.
    ListChanged {
        /// Who came.
        added: Vec<Arc<Endpoint>>,
        /// Who left.
        removed: Vec<Arc<Endpoint>>,
    },
    /// A change of the list was refused; the list is as it was.
    ListRefused {
        /// Why.
        error: ListError,
    },
    /// A server pushed a list of servers, and it was merged.
    Discovered {
        /// The connection over which it came.
        by: Link,
        /// Who came.
        added: Vec<Arc<Endpoint>>,
        /// Who left: servers learned earlier and named no longer.
        removed: Vec<Arc<Endpoint>>,
        /// What was not taken, and why.
        refused: Vec<Refused>,
    },
    /// A loss was reported of a connection that is no more, or was reported already: nothing
    /// changed.
    LateReport {
        /// The connection.
        connection: AttemptId,
    },
    /// The policy asks for work beside a standing connection (spares, failback, a greatest age), and
    /// nothing polls the connector meanwhile: use [`run`](crate::drive::Connector::run). Told once.
    NotDriven,
    /// There is no endpoint to dial, and no time will change that.
    Starved,
    /// A hook panicked; the policy's own answer was taken.
    HookPanicked {
        /// The panic's message, if it had one.
        message: Option<String>,
    },
    /// It is over. The last event.
    Closed(CloseReason),
}

/// A dial that ended.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Attempt {
    /// Its number.
    pub id: AttemptId,
    /// Which dial of this outage it was, from 1.
    pub number: u32,
    /// What was dialled.
    pub target: Target,
    /// What for.
    pub purpose: Purpose,
    /// The phases it entered, with the time of each.
    pub phases: Vec<(Phase, Time)>,
    /// The address tried or reached last, if the transport told it.
    pub address: Option<SocketAddr>,
    /// With a connection, or why not.
    pub outcome: Result<(), AttemptError>,
    /// How long it took.
    pub took: Duration,
    /// The dial that comes next; nothing if it is connected or closes.
    pub next: Option<NextDial>,
}

/// Why a dial ended without a connection.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct AttemptError {
    /// As the machine knows it, with the phase.
    pub failure: Failure,
    /// The transport's own error, or [`DeadlinePassed`](crate::drive::DeadlinePassed). None if the
    /// dial was cancelled.
    pub error: Option<DialError>,
}

/// A connection.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Link {
    /// The dial that made it: the connection's name towards the connector.
    pub id: AttemptId,
    /// To whom, over which route.
    pub target: Target,
}

/// The dial that comes next.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct NextDial {
    /// Whom.
    pub target: Target,
    /// After which wait.
    pub wait: Duration,
}

impl fmt::Display for AttemptError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.error {
            Some(error) => write_chain(error, f),
            None => fmt::Display::fmt(&self.failure, f),
        }
    }
}

/// An error and its causes in one line, each cause once.
pub(crate) fn write_chain(
    error: &dyn core::error::Error,
    f: &mut fmt::Formatter<'_>,
) -> fmt::Result {
    let mut said = std::format!("{error}");
    f.write_str(&said)?;
    let mut cause = error.source();
    while let Some(error) = cause {
        let text = std::format!("{error}");
        // A failure in the chain is for the machine; its words were said by the error above it.
        if !error.is::<Failure>() && !said.contains(&text) {
            write!(f, ": {text}")?;
            said = text;
        }
        cause = error.source();
    }
    Ok(())
}

/// A stream of events with a bounded memory of its own: who reads too slowly loses the oldest and
/// can see how many.
///
/// Made by [`Connector::events`](crate::drive::Connector::events). It ends after `Closed`, and
/// without it when the connector is dropped.
#[derive(Debug)]
pub struct Events {
    ring: Arc<Ring>,
}

impl Events {
    /// How many events a stream keeps for its reader.
    pub const KEPT: usize = 1024;

    pub(crate) fn new() -> (Self, Arc<Ring>) {
        let ring = Arc::new(Ring::default());
        (
            Self {
                ring: Arc::clone(&ring),
            },
            ring,
        )
    }

    /// The next event; `None` when there will be no more.
    ///
    /// # Cancel safety
    /// Dropping the future loses no event.
    pub async fn next(&mut self) -> Option<Event> {
        poll_fn(|cx| {
            self.ring.with(|inside| match inside.events.pop_front() {
                Some(event) => Poll::Ready(Some(event)),
                None if inside.ended => Poll::Ready(None),
                None => {
                    inside.reader = Some(cx.waker().clone());
                    Poll::Pending
                }
            })
        })
        .await
    }

    /// The next event, if one is there.
    pub fn try_next(&mut self) -> Option<Event> {
        self.ring.with(|inside| inside.events.pop_front())
    }

    /// How many events this stream has dropped because they were not read.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.ring.with(|inside| inside.dropped)
    }
}

/// What a stream's reader and the connector share.
#[derive(Debug, Default)]
pub(crate) struct Ring(Mutex<Inside>);

#[derive(Debug, Default)]
struct Inside {
    events: VecDeque<Event>,
    dropped: u64,
    ended: bool,
    reader: Option<Waker>,
}

impl Drop for Events {
    fn drop(&mut self) {
        // The connector forgets it at its next event.
        self.ring.with(|inside| inside.ended = true);
    }
}

impl Ring {
    /// Whether nobody will read it.
    pub(crate) fn is_ended(&self) -> bool {
        self.with(|inside| inside.ended)
    }

    pub(crate) fn push(&self, event: Event) {
        let reader = self.with(|inside| {
            if inside.events.len() == Events::KEPT {
                inside.events.pop_front();
                inside.dropped += 1;
            }
            inside.events.push_back(event);
            inside.reader.take()
        });
        wake(reader);
    }

    pub(crate) fn end(&self) {
        let reader = self.with(|inside| {
            inside.ended = true;
            inside.reader.take()
        });
        wake(reader);
    }

    fn with<T>(&self, then: impl FnOnce(&mut Inside) -> T) -> T {
        then(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Woken after the lock is released.
fn wake(reader: Option<Waker>) {
    if let Some(reader) = reader {
        reader.wake();
    }
}
