//! Rules of their own for some endpoints.

use crate::policy::error::PolicyError;
use crate::policy::health::Health;
use crate::policy::limits::Limit;
use crate::policy::reaction::Reactions;

/// Rules of their own for some endpoints: what a class says beats the policy's word for all.
///
/// A policy has a short list of classes, numbered from 1 in the order in which they were added; an
/// endpoint names the number of its own ([`Traits::class`](crate::endpoint::Traits::class)). 0, and
/// a number that the policy does not have, mean that the policy's own rules apply.
///
/// ```
/// use failover_core::failure::{Failure, Kind};
/// use failover_core::policy::{Class, Health, Limit, On, Policy, Reaction, Reactions};
///
/// let flaky = Class::default()
///     .health(Health::default().retries(5))
///     .reactions(Reactions::default().on(On::kind(Kind::Timeout), Reaction::Mark))
///     .per_endpoint(Limit::AtMost(20));
/// let policy = Policy::builder().class(flaky).build()?;
///
/// let timeout = Failure::new(Kind::Timeout);
/// assert_eq!(policy.reaction_in(0, &timeout), Reaction::Next);
/// assert_eq!(policy.reaction_in(1, &timeout), Reaction::Mark);
/// assert_eq!(policy.health_in(1).retries, 5);
/// # Ok::<(), failover_core::policy::PolicyError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub struct Class {
    /// How they are rested. Default: as the policy says.
    pub health: Option<Health>,
    /// What their failures mean; asked before the policy's rules. Default: none.
    pub reactions: Reactions,
    /// How many failed turns in a row retire one of them. Default: as the policy's limits say.
    pub per_endpoint: Option<Limit>,
}

/// The most classes that a policy may have: they are numbered from 1 to 255.
const MOST: usize = u8::MAX as usize;

impl Class {
    /// The same with this health.
    #[must_use]
    pub fn health(mut self, health: Health) -> Self {
        self.health = Some(health);
        self
    }

    /// The same with these reactions.
    #[must_use]
    pub fn reactions(mut self, reactions: Reactions) -> Self {
        self.reactions = reactions;
        self
    }

    /// The same with this limit of failed turns of one endpoint, at least 1.
    #[must_use]
    pub fn per_endpoint(mut self, limit: Limit) -> Self {
        self.per_endpoint = Some(limit);
        self
    }

    fn check(&self) -> Result<(), PolicyError> {
        if let Some(health) = self.health {
            health.check()?;
        }
        match self.per_endpoint {
            Some(Limit::AtMost(0)) => Err(PolicyError::ZeroClassLimit),
            Some(Limit::AtMost(_) | Limit::Unlimited) | None => Ok(()),
        }
    }
}

pub(super) fn check(classes: &[Class]) -> Result<(), PolicyError> {
    if classes.len() > MOST {
        let classes = classes.len();
        return Err(PolicyError::TooManyClasses { classes });
    }
    classes.iter().try_for_each(Class::check)
}
