//! A user's own code in the decisions.

use core::time::Duration;

use crate::endpoint::{EndpointId, Security};
use crate::failure::Failure;
use crate::policy::reaction::Reaction;

/// A user's own code in the decisions. Every method has a default: the policy's own answer.
///
/// Hooks are passed by `&mut dyn` to each call of the machine, so that they may keep state and need
/// neither `Clone` nor a lock. They must not block: they run on the task that drives the machine.
/// The machine passes a panic on; the connector catches it and takes the policy's answer.
pub trait Hooks {
    /// How long to wait. Asked where the policy would wait, when its pace has
    /// [`custom`](crate::policy::Pace::custom) switched on. The default keeps the suggestion.
    fn delay(&mut self, asked: &DelayAsked) -> DelayAnswer {
        let _ = asked;
        DelayAnswer::AsSuggested
    }

    /// Which endpoint is next. Asked at every pick, with the policy's choice. The default keeps it;
    /// so does an endpoint that may not be dialled now (unknown, removed, off, retired, resting).
    fn choose(&mut self, asked: &ChoiceAsked) -> Choice {
        let _ = asked;
        Choice::AsSuggested
    }

    /// What a failure means. Asked at every failed turn and loss. The default keeps the policy's
    /// reaction.
    fn judge(&mut self, asked: &JudgeAsked) -> Reaction {
        asked.suggested
    }

    /// Whether a server that another server named joins the list. Asked by the directory, once for
    /// each new one that passed its checks (the machine knows no names). The default admits it.
    fn admit(&mut self, asked: &AdmitAsked<'_>) -> Admission {
        let _ = asked;
        Admission::Admit
    }
}

/// No code of one's own.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoHooks;

impl Hooks for NoHooks {}

/// A closure as the delay hook.
///
/// ```
/// use core::time::Duration;
/// use failover_core::policy::{DelayAnswer, DelayAsked, DelayHook, Hooks};
///
/// let mut hook = DelayHook(|asked: &DelayAsked| {
///     DelayAnswer::PlusJitter(Duration::from_secs(u64::from(asked.waits)))
/// });
/// # fn takes(_: &mut dyn Hooks) {}
/// takes(&mut hook);
/// ```
#[derive(Clone, Copy, Debug)]
pub struct DelayHook<F>(pub F);

impl<F: FnMut(&DelayAsked) -> DelayAnswer> Hooks for DelayHook<F> {
    fn delay(&mut self, asked: &DelayAsked) -> DelayAnswer {
        (self.0)(asked)
    }
}

/// The situation in which a delay is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct DelayAsked {
    /// Which wait of this outage it is, from 1 (NATS passes the same number).
    pub waits: u32,
    /// How many dials this outage had so far.
    pub dials: u32,
    /// The endpoint that will be dialled after the wait.
    pub endpoint: EndpointId,
    /// Whether that dial is TLS.
    pub security: Security,
    /// The last failure, if any.
    pub failure: Option<Failure>,
    /// What the policy would wait, jitter included.
    pub suggested: Duration,
    /// A number drawn from the machine's stream, so that a hook's own randomness replays too.
    pub random: u64,
}

/// The answer of a delay hook.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "kebab-case")
)]
#[non_exhaustive]
pub enum DelayAnswer {
    /// What the policy suggested.
    AsSuggested,
    /// Exactly this long.
    Exactly(#[cfg_attr(feature = "serde", serde(with = "crate::time::in_nanos"))] Duration),
    /// This long, spread by the policy's jitter.
    PlusJitter(#[cfg_attr(feature = "serde", serde(with = "crate::time::in_nanos"))] Duration),
}

/// The situation in which the next endpoint is chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ChoiceAsked {
    /// How many dials this outage had so far.
    pub dials: u32,
    /// The endpoint lost last, if any.
    pub lost: Option<EndpointId>,
    /// Whom the policy would dial.
    pub suggested: EndpointId,
}

/// The answer of a choice hook.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "kebab-case")
)]
#[non_exhaustive]
pub enum Choice {
    /// Whom the policy suggested, when the policy says.
    AsSuggested,
    /// This endpoint, when the policy says.
    Endpoint(EndpointId),
    /// This endpoint, after exactly this wait (never below the hard floor).
    EndpointAfter(
        EndpointId,
        #[cfg_attr(feature = "serde", serde(with = "crate::time::in_nanos"))] Duration,
    ),
}

/// A failure whose meaning is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct JudgeAsked {
    /// Whose failure.
    pub endpoint: EndpointId,
    /// The failure.
    pub failure: Failure,
    /// What the policy makes of it.
    pub suggested: Reaction,
}

/// A learned server whose admission is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct AdmitAsked<'a> {
    /// Its URL. It carries no credentials: those that a server pushes are refused before.
    pub url: &'a str,
    /// The name of the endpoint that named it.
    pub teacher: &'a str,
}

impl<'a> AdmitAsked<'a> {
    /// The server at `url`, named by `teacher`.
    #[must_use]
    pub const fn new(url: &'a str, teacher: &'a str) -> Self {
        Self { url, teacher }
    }
}

/// The answer of an admission hook.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Admission {
    /// It joins the list.
    Admit,
    /// It does not.
    Refuse,
}
