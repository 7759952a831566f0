//! News in, work out.

use alloc::vec::{Drain, Vec};
use core::fmt;
use core::time::Duration;

use crate::attempt::{AttemptId, Purpose, Role};
use crate::endpoint::{EndpointId, Security, Traits};
use crate::failure::Failure;
use crate::time::Time;

/// News for the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "kebab-case", deny_unknown_fields)
)]
#[non_exhaustive]
pub enum Input {
    /// Begin to connect. Later ones change nothing.
    Start,
    /// Time has passed. Early, late and doubled ones are harmless.
    Wake,
    /// This dial is done: there is a connection.
    Connected {
        /// The dial.
        attempt: AttemptId,
    },
    /// This dial has not begun: it waits for a permit that the driver needs. Until
    /// [`Input::Begun`] its deadline does not run.
    Held {
        /// The dial.
        attempt: AttemptId,
    },
    /// This dial was held, and begins now, with its whole deadline.
    Begun {
        /// The dial.
        attempt: AttemptId,
    },
    /// This dial failed.
    Failed {
        /// The dial.
        attempt: AttemptId,
        /// Why.
        failure: Failure,
    },
    /// This dial learned how its route is really protected (the server demanded TLS, say).
    Learned {
        /// The dial.
        attempt: AttemptId,
        /// What it learned.
        security: Security,
    },
    /// This connection was lost.
    Lost {
        /// The dial that made it.
        attempt: AttemptId,
        /// Why.
        failure: Failure,
        /// What the application makes of it.
        verdict: Verdict,
    },
    /// The server of this connection drains: leave it before it closes.
    Drain {
        /// The dial that made it.
        attempt: AttemptId,
    },
    /// Give up the connection and make another; cut a wait short, once.
    Reconnect(Whither),
    /// Start no dials until [`Input::Resume`], and drop those in flight (the machine is about to
    /// sleep, the network is gone). A connection stays.
    Pause,
    /// The pause is over, or the network is back: waits are cut down to a small spread.
    Resume,
    /// The list changed.
    Change(Change),
    /// Somebody else found this endpoint to be bad, or probes it: it rests until then. Its own
    /// series do not grow, and it does not count as one that refused. A dial of it that is [held](Input::Held) is given up and is no failure;
    /// one that has begun goes on.
    Rests {
        /// Which.
        endpoint: EndpointId,
        /// Until when; a longer rest of its own stays.
        until: Time,
    },
    /// Somebody else connected to this endpoint: it rests no more. A wait is cut down to a small
    /// spread, for it.
    Recovered {
        /// Which.
        endpoint: EndpointId,
    },
    /// End. The last input that changes anything.
    Close,
}

/// Where a forced reconnect goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "kebab-case")
)]
#[non_exhaustive]
pub enum Whither {
    /// Wherever the policy says. The default.
    #[default]
    Any,
    /// To another than the present one.
    Other,
    /// To this one, once, even if it rests.
    This(EndpointId),
}

/// A change of the list. It takes effect in the running decisions at once; the other endpoints
/// keep their state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "kebab-case")
)]
#[non_exhaustive]
pub enum Change {
    /// This endpoint comes last in the list, and is dialled at once where others are waited for,
    /// unless the wait holds for it, too. Its id must be above all that were ever used.
    Add(Traits),
    /// It leaves the list for good. Its connection is left as if it drained. Once those that left outnumber
    /// those that are there, they are forgotten: this one change then walks the list.
    Remove(EndpointId),
    /// It is not dialled until it is switched on. Its connection is left as if it drained.
    Off(EndpointId),
    /// It is switched on and begins anew, like one that is added. A connection to it that was not
    /// left yet stays.
    On(EndpointId),
}

/// What the application makes of a loss.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "kebab-case")
)]
#[non_exhaustive]
pub enum Verdict {
    /// What the policy says. The default.
    #[default]
    AsPolicy,
    /// Try the lost server first, unless the connection did not prove stable: then its turn is over,
    /// or a server that accepts and drops would keep the client from all others.
    Retry,
    /// Go on to the next; the lost server has had its turn.
    Next,
    /// Suspend the lost server, and go on to the next.
    Suspend,
    /// Take the lost server out until it is switched on again.
    Remove,
    /// Close: no server would do better.
    Stop,
}

/// What became of an input.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Answer {
    /// It was taken in.
    Taken,
    /// It spoke of a dial or connection that is no longer, or of an endpoint that is not in the list: it
    /// changed nothing. Whatever it brought (an established connection) is for the driver to drop.
    Stale,
    /// The machine is closed: it changed nothing.
    Closed,
}

/// Work for the driver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "kebab-case", deny_unknown_fields)
)]
#[non_exhaustive]
pub enum Output {
    /// Dial, and answer with [`Input::Connected`] or [`Input::Failed`].
    Dial(DialOrder),
    /// Drop this dial; its answer will not be heard.
    Cancel(AttemptId),
    /// Give up the connection that this dial made; it may finish for this long.
    HangUp {
        /// The dial that made it.
        attempt: AttemptId,
        /// How long it may finish. Zero: drop it.
        #[cfg_attr(feature = "serde", serde(with = "crate::time::in_nanos"))]
        grace: Duration,
    },
    /// Tell whoever listens.
    Event(Event),
}

/// A dial to make.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(deny_unknown_fields)
)]
#[non_exhaustive]
pub struct DialOrder {
    /// Its number, for the answer.
    pub attempt: AttemptId,
    /// Whom to dial.
    pub endpoint: EndpointId,
    /// Over which of its routes.
    pub route: u8,
    /// What part it plays.
    pub role: Role,
    /// What it is for.
    pub purpose: Purpose,
    /// Which dial of this outage it is, from 1.
    pub number: u32,
    /// When it has failed, if it is not done.
    pub deadline: Time,
}

/// What happened, by ids. The order of events is law L15.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "kebab-case", deny_unknown_fields)
)]
#[non_exhaustive]
pub enum Event {
    /// A dial ended.
    Attempt(AttemptEnded),
    /// The first connection stands.
    Connected(Link),
    /// A connection to the server that was lost stands again.
    Reconnected(Link),
    /// A connection to another server than the one lost stands.
    FailedOver {
        /// The new connection.
        to: Link,
        /// The server that was lost.
        from: EndpointId,
    },
    /// The connection is no more.
    Disconnected {
        /// Which.
        link: Link,
        /// Why.
        why: Why,
        /// How long it lived.
        #[cfg_attr(feature = "serde", serde(with = "crate::time::in_nanos"))]
        lived: Duration,
        /// What comes next; nothing if it closes.
        next: Option<Planned>,
    },
    /// The window in which the session might have been resumed is over: the next dial is for a new
    /// one.
    SessionGone,
    /// A move to another server began; the connection stands meanwhile. One that began because the
    /// server was switched off is withdrawn when it is switched on again.
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
        from: EndpointId,
        /// What for.
        why: Move,
    },
    /// The server of the connection drains and will be left.
    Draining {
        /// The connection.
        link: Link,
        /// After this time.
        #[cfg_attr(feature = "serde", serde(with = "crate::time::in_nanos"))]
        after: Duration,
    },
    /// An endpoint is suspended.
    Suspended {
        /// Which.
        endpoint: EndpointId,
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
    /// There is no endpoint to dial, and no time will change that. Told once.
    Starved,
    /// It is over. The last event.
    Closed(CloseReason),
}

/// How a dial ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(deny_unknown_fields)
)]
#[non_exhaustive]
pub struct AttemptEnded {
    /// The order, as it was given.
    pub order: DialOrder,
    /// With a connection, or why not.
    #[cfg_attr(feature = "serde", serde(rename = "failure", with = "outcome"))]
    pub outcome: Result<(), Failure>,
    /// How long it took.
    #[cfg_attr(feature = "serde", serde(with = "crate::time::in_nanos"))]
    pub took: Duration,
    /// What comes next; nothing if it is connected or closes.
    pub next: Option<Planned>,
}

/// An outcome as the failure that it may be.
#[cfg(feature = "serde")]
mod outcome {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use super::Failure;

    pub(super) fn serialize<S: Serializer>(
        outcome: &Result<(), Failure>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        outcome.err().serialize(to)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Result<(), Failure>, D::Error> {
        Ok(Option::deserialize(from)?.map_or(Ok(()), Err))
    }
}

/// A connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(deny_unknown_fields)
)]
#[non_exhaustive]
pub struct Link {
    /// The dial that made it.
    pub attempt: AttemptId,
    /// To whom.
    pub endpoint: EndpointId,
    /// Over which route.
    pub route: u8,
}

/// The dial that comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(deny_unknown_fields)
)]
#[non_exhaustive]
pub struct Planned {
    /// Whom.
    pub endpoint: EndpointId,
    /// Over which route.
    pub route: u8,
    /// After which wait.
    #[cfg_attr(feature = "serde", serde(with = "crate::time::in_nanos"))]
    pub wait: Duration,
}

/// Why a connection is no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "kebab-case")
)]
#[non_exhaustive]
pub enum Why {
    /// It was lost.
    Lost(Failure),
    /// It was left for another, without overlap.
    Left(Move),
    /// The user closed.
    ByUser,
}

/// What a move with overlap is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "kebab-case")
)]
#[non_exhaustive]
pub enum Move {
    /// Back to a preferred tier.
    Failback,
    /// Away from a server that drains, was switched off or removed.
    Drain,
    /// The connection reached its greatest age.
    Age,
    /// It was asked for.
    Forced,
}

impl Move {
    /// The word for logs and JSON lines: stable, lower case.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Failback => "failback",
            Self::Drain => "drain",
            Self::Age => "age",
            Self::Forced => "forced",
        }
    }
}

/// Why it is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "kebab-case")
)]
#[non_exhaustive]
pub enum CloseReason {
    /// The user closed.
    ByUser,
    /// A failure that no endpoint would do better than, or the application's verdict.
    Fatal(Failure),
    /// As many failed turns in a row as the policy allows.
    Turns(u32),
    /// Every endpoint had as many failed turns in a row as the policy allows.
    PerEndpoint(u32),
    /// As many sweeps without success as the policy allows.
    Sweeps(u32),
    /// As much time without a connection as the policy allows.
    Elapsed(#[cfg_attr(feature = "serde", serde(with = "crate::time::in_nanos"))] Duration),
    /// At start-up, every endpoint refused for a reason of its own (certificate, login, upgrade).
    AllRefused,
    /// Every endpoint is resting, and the policy does not wait.
    NobodyReady,
}

impl fmt::Display for CloseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ByUser => f.write_str("closed by the user"),
            Self::Fatal(failure) => write!(f, "{failure}, which no other endpoint would do better"),
            Self::Turns(0) => f.write_str("the policy does not reconnect"),
            Self::Turns(1) => f.write_str("1 failed turn"),
            Self::Turns(most) => write!(f, "{most} failed turns in a row"),
            Self::PerEndpoint(1) => f.write_str("1 failed turn of every endpoint"),
            Self::PerEndpoint(most) => write!(f, "{most} failed turns in a row of every endpoint"),
            Self::Sweeps(1) => f.write_str("every endpoint failed"),
            Self::Sweeps(most) => write!(f, "every endpoint failed, {most} sweeps in a row"),
            Self::Elapsed(most) => write!(f, "no connection for {most:?}"),
            Self::AllRefused => f.write_str("every endpoint refused for a reason of its own"),
            Self::NobodyReady => f.write_str("every endpoint is resting"),
        }
    }
}

/// Where the machine puts its work: owned and emptied by the caller, reused from call to call.
#[derive(Clone, Debug, Default)]
pub struct Outbox {
    outputs: Vec<Output>,
}

impl Outbox {
    /// Takes the work out, oldest first.
    pub fn drain(&mut self) -> Drain<'_, Output> {
        self.outputs.drain(..)
    }

    /// The work, oldest first.
    #[must_use]
    pub fn as_slice(&self) -> &[Output] {
        &self.outputs
    }

    pub(crate) fn push(&mut self, output: Output) {
        self.outputs.push(output);
    }

    pub(crate) fn tell(&mut self, event: Event) {
        self.push(Output::Event(event));
    }

    /// Where the next output will stand, to [`amend`](Self::amend) it.
    pub(crate) fn mark(&self) -> usize {
        self.outputs.len()
    }

    /// Adds to the event at `mark` what comes next, which is decided only after it was told.
    pub(crate) fn amend(&mut self, mark: usize, planned: Option<Planned>) {
        if let Some(Output::Event(
            Event::Attempt(AttemptEnded { next, .. }) | Event::Disconnected { next, .. },
        )) = self.outputs.get_mut(mark)
        {
            *next = planned;
        }
    }
}
