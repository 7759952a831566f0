//! What was recorded.

use std::boxed::Box;
use std::collections::BTreeMap;
use std::string::{String, ToString};
use std::sync::Arc;
use std::time::Duration;
use std::vec::Vec;

use crate::directory::{ById, Endpoint};
use crate::drive::recorder::replay::Replay;
use crate::drive::recorder::{HookAnswer, Stretch};
use crate::endpoint::{EndpointId, Endpoints};
use crate::failure::Failure;
use crate::machine::{Input, Machine, Output};
use crate::policy::{Choice, DelayAnswer, Policy, Seed};
use crate::time::{Time, nanos};

/// What a [`Recorder`](crate::drive::Recorder) kept: a policy, a seed, endpoints, and every input that
/// the machine took in, with what it put out.
///
/// ```
/// # use std::future::{Ready, ready};
/// # use failover_core::directory::Endpoint;
/// # use failover_core::drive::{Clock, Connector};
/// # use failover_core::testing::{Script, Step};
/// # use failover_core::time::Time;
/// # #[derive(Clone)] struct MyClock;
/// # impl Clock for MyClock { type Sleep = Ready<()>;
/// #   fn now(&self) -> Time { Time::ZERO }
/// #   fn sleep_until(&self, _: Time) -> Ready<()> { ready(()) } }
/// # smol::block_on(async {
/// # let dialer = Script::new(MyClock).host("a", [Step::Accept]);
/// use failover_core::drive::Recorder;
///
/// let mut connector = Connector::builder(dialer, MyClock)
///     .endpoint(Endpoint::parse("tcp://a:1")?)
///     .recorder(Recorder::default())
///     .build()?;
/// connector.connect().await?;
///
/// let recording = connector.recording().ok_or("no recorder was given")?;
/// assert_eq!(recording.entries().len(), 2); // begin, and the dial was answered
/// let replay = recording.replay().ok_or("it cannot be played again")?;
/// assert!(replay.into_iter().all(|step| step.is_the_same()));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Recording {
    pub(super) version: String,
    pub(super) policy: Arc<Policy>,
    pub(super) seed: Seed,
    pub(super) dropped: u64,
    pub(super) known: BTreeMap<EndpointId, KnownEndpoint>,
    pub(super) beginning: Beginning,
    pub(super) entries: Vec<Entry>,
    pub(super) until: Time,
}

/// Where a record begins.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Beginning {
    /// At the start, with this list.
    Start(Endpoints),
    /// With this machine, of which older inputs were dropped.
    Checkpoint(Box<Machine>),
    /// Somewhere: the machine was not written down in the text that it was read from.
    #[cfg(feature = "serde")]
    Unknown,
}

/// An endpoint as it may be shown.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct KnownEndpoint {
    /// Its name.
    pub name: String,
    /// The URLs of its routes, without userinfo and query.
    pub routes: Vec<String>,
}

/// One input that the machine took in, and what came of it.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Entry {
    /// When, by the connector's clock.
    pub at: Time,
    /// The news.
    pub input: Input,
    /// What hooks answered meanwhile, in the order in which they were asked. None: to all questions
    /// what the policy suggested.
    pub hooks: Vec<HookAnswer>,
    /// The work that followed.
    pub outputs: Vec<Output>,
}

impl Recording {
    pub(super) fn of_flight(
        seed: Seed,
        endpoints: Endpoints,
        dropped: u64,
        stretches: impl Iterator<Item = Stretch>,
        known: &ById<Arc<Endpoint>>,
        until: Time,
    ) -> Self {
        let mut before: Option<Machine> = None;
        let mut entries = Vec::new();
        for stretch in stretches {
            let mut hooks = stretch.hooks.into_iter();
            let mut outputs = stretch.outputs.into_iter();
            entries.extend(stretch.entries.into_iter().map(|bare| {
                Entry {
                    at: bare.at,
                    input: bare.input.plain(),
                    hooks: hooks
                        .by_ref()
                        .take(bare.hooks)
                        .map(HookAnswer::plain)
                        .collect(),
                    outputs: outputs.by_ref().take(bare.outputs).map(plain).collect(),
                }
            }));
            before.get_or_insert(stretch.before);
        }
        let policy = before.as_ref().map(|machine| machine.policy().clone());
        Self {
            version: env!("CARGO_PKG_VERSION").to_string(),
            policy: Arc::new(policy.unwrap_or_default()),
            seed,
            dropped,
            known: known
                .iter()
                .map(|(id, known)| (id, known.as_ref().into()))
                .collect(),
            beginning: match before.filter(|_| dropped > 0) {
                None => Beginning::Start(endpoints),
                Some(machine) => Beginning::Checkpoint(Box::new(machine)),
            },
            entries,
            until,
        }
    }

    /// The version of this crate that recorded it.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.version
    }

    /// The policy.
    #[must_use]
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// The seed that the connector began with.
    #[must_use]
    pub fn seed(&self) -> Seed {
        self.seed
    }

    /// How many inputs were forgotten, because the ring was full, before the first that is kept. Zero:
    /// it begins with the connector.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    /// The inputs that are kept, oldest first. Those that changed nothing (stale reports, whatever
    /// comes after the end) are not among them.
    #[must_use]
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// When it was read, by the connector's clock.
    #[must_use]
    pub fn until(&self) -> Time {
        self.until
    }

    /// An endpoint that it speaks of. Of those that were removed, the last 256 are known.
    #[must_use]
    pub fn endpoint(&self, id: EndpointId) -> Option<&KnownEndpoint> {
        self.known.get(&id)
    }

    /// All endpoints that it knows, in the order of their ids.
    pub fn endpoints(&self) -> impl Iterator<Item = (EndpointId, &KnownEndpoint)> {
        self.known.iter().map(|(id, known)| (*id, known))
    }

    /// Plays it again, in the machine of *this* version. Nothing, if it was read from a text and begins
    /// in the middle of the life of a machine with more than 64 endpoints: such a machine is not
    /// written down.
    #[must_use]
    pub fn replay(&self) -> Option<Replay<'_>> {
        let machine = match &self.beginning {
            Beginning::Start(list) => {
                Machine::new(Arc::clone(&self.policy), list.clone(), self.seed)
            }
            Beginning::Checkpoint(machine) => Machine::clone(machine),
            #[cfg(feature = "serde")]
            Beginning::Unknown => return None,
        };
        Some(Replay::new(self, machine))
    }
}

impl From<&Endpoint> for KnownEndpoint {
    fn from(endpoint: &Endpoint) -> Self {
        Self {
            name: endpoint.name().to_string(),
            routes: endpoint.routes().iter().map(ToString::to_string).collect(),
        }
    }
}

/// A duration as it can be written: one of more than 584 years is as good as that, for the machine
/// too.
fn writable(duration: Duration) -> Duration {
    Duration::from_nanos(nanos(duration))
}

impl Failure {
    fn plain(self) -> Self {
        Self {
            retry_after: self.retry_after.map(writable),
            ..self
        }
    }
}

impl Input {
    fn plain(self) -> Self {
        match self {
            Self::Failed { attempt, failure } => Self::Failed {
                attempt,
                failure: failure.plain(),
            },
            Self::Lost {
                attempt,
                failure,
                verdict,
            } => Self::Lost {
                attempt,
                failure: failure.plain(),
                verdict,
            },
            Self::Start
            | Self::Wake
            | Self::Connected { .. }
            | Self::Held { .. }
            | Self::Begun { .. }
            | Self::Learned { .. }
            | Self::Drain { .. }
            | Self::Reconnect(_)
            | Self::Pause
            | Self::Resume
            | Self::Change(_)
            | Self::Rests { .. }
            | Self::Recovered { .. }
            | Self::Close => self,
        }
    }
}

impl HookAnswer {
    fn plain(self) -> Self {
        match self {
            Self::Delay(DelayAnswer::Exactly(delay)) => {
                Self::Delay(DelayAnswer::Exactly(writable(delay)))
            }
            Self::Delay(DelayAnswer::PlusJitter(delay)) => {
                Self::Delay(DelayAnswer::PlusJitter(writable(delay)))
            }
            Self::Choice(Choice::EndpointAfter(endpoint, wait)) => {
                Self::Choice(Choice::EndpointAfter(endpoint, writable(wait)))
            }
            Self::AsSuggested | Self::Delay(_) | Self::Choice(_) | Self::Judge(_) => self,
        }
    }
}

/// An output as it can be written.
pub(super) fn plain(output: Output) -> Output {
    use crate::machine::{AttemptEnded, CloseReason, Event, Why};
    let why = |why| match why {
        Why::Lost(failure) => Why::Lost(failure.plain()),
        Why::Left(_) | Why::ByUser => why,
    };
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "only these hold a duration that may come from a user"
    )]
    match output {
        Output::HangUp { attempt, grace } => Output::HangUp {
            attempt,
            grace: writable(grace),
        },
        Output::Event(Event::Attempt(ended)) => Output::Event(Event::Attempt(AttemptEnded {
            outcome: ended.outcome.map_err(Failure::plain),
            ..ended
        })),
        Output::Event(Event::Disconnected {
            link,
            why: because,
            lived,
            next,
        }) => Output::Event(Event::Disconnected {
            link,
            why: why(because),
            lived,
            next,
        }),
        Output::Event(Event::SpareLost { link, failure }) => Output::Event(Event::SpareLost {
            link,
            failure: failure.plain(),
        }),
        Output::Event(Event::Closed(CloseReason::Fatal(failure))) => {
            Output::Event(Event::Closed(CloseReason::Fatal(failure.plain())))
        }
        other => other,
    }
}
