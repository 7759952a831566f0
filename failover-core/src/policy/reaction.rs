//! What a failure means.

use alloc::vec::Vec;

use crate::failure::{Failure, Kind, Scope};

/// What a failure means for its endpoint and for the walk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "kebab-case")
)]
#[non_exhaustive]
pub enum Reaction {
    /// It is counted, and the walk goes on to the next.
    Next,
    /// The endpoint is marked: it rests for [`Health::retry_delay`](crate::policy::Health), and is
    /// suspended when it has no marks left. (Synapse's `markForSuspension`)
    Mark,
    /// The endpoint is suspended. (Synapse's `suspendOnFailure`)
    Suspend,
    /// The endpoint leaves the pool until it is switched on again. (stompit, at an ERROR frame)
    Remove,
    /// The connector closes with this failure.
    Stop,
}

/// What each failure means: the first rule that matches, or else the failure's scope: transient ones
/// are [`Reaction::Next`], an endpoint's own are [`Reaction::Suspend`], fatal ones
/// [`Reaction::Stop`].
///
/// ```
/// use failover_core::failure::{Failure, Kind};
/// use failover_core::policy::{On, Reaction, Reactions};
///
/// let reactions = Reactions::default()
///     .on(On::kind(Kind::Timeout), Reaction::Mark)
///     .on(On::code(101_506), Reaction::Stop);
/// assert_eq!(reactions.to(&Failure::new(Kind::Timeout)), Reaction::Mark);
/// assert_eq!(reactions.to(&Failure::new(Kind::Other).code(101_506)), Reaction::Stop);
/// assert_eq!(reactions.to(&Failure::new(Kind::Refused)), Reaction::Next);
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash, Default)]
pub struct Reactions {
    rules: Vec<(On, Reaction)>,
}

impl Reactions {
    /// The same with one more rule, asked after those before it.
    #[must_use]
    pub fn on(mut self, on: On, reaction: Reaction) -> Self {
        self.rules.push((on, reaction));
        self
    }

    /// What this failure means.
    #[must_use]
    pub fn to(&self, failure: &Failure) -> Reaction {
        self.rule_for(failure).unwrap_or(match failure.scope {
            Scope::Transient => Reaction::Next,
            Scope::Endpoint => Reaction::Suspend,
            Scope::Fatal => Reaction::Stop,
        })
    }

    /// What the first rule that matches says.
    pub(crate) fn rule_for(&self, failure: &Failure) -> Option<Reaction> {
        let rule = self.rules.iter().find(|(on, _)| on.matches(failure));
        rule.map(|(_, reaction)| *reaction)
    }

    /// The rules, in the order in which they are asked.
    #[must_use]
    pub fn rules(&self) -> &[(On, Reaction)] {
        &self.rules
    }
}

/// Which failures a rule is for: all that it names must match. One that names nothing matches all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub struct On {
    /// Of this kind.
    pub kind: Option<Kind>,
    /// Reaching this far.
    pub scope: Option<Scope>,
    /// With this number of the peer's.
    pub code: Option<u32>,
}

impl On {
    /// Every failure.
    pub const ANY: Self = Self {
        kind: None,
        scope: None,
        code: None,
    };

    /// Failures of this kind.
    #[must_use]
    pub const fn kind(kind: Kind) -> Self {
        Self {
            kind: Some(kind),
            ..Self::ANY
        }
    }

    /// Failures that reach this far.
    #[must_use]
    pub const fn scope(scope: Scope) -> Self {
        Self {
            scope: Some(scope),
            ..Self::ANY
        }
    }

    /// Failures with this number of the peer's.
    #[must_use]
    pub const fn code(code: u32) -> Self {
        Self {
            code: Some(code),
            ..Self::ANY
        }
    }

    fn matches(&self, failure: &Failure) -> bool {
        self.kind.is_none_or(|kind| kind == failure.kind)
            && self.scope.is_none_or(|scope| scope == failure.scope)
            && self.code.is_none_or(|code| Some(code) == failure.code)
    }
}
