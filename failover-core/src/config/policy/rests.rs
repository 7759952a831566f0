//! `limits`, `health`, `reactions` and `classes`: when it gives up, and who rests.

use std::vec::Vec;

use crate::config::value::{Bound, Factor, Span, Switch, Worded};
use crate::policy::{Class, Health, Limits, On, Reaction, Reactions};

use super::{ClassForm, FormError, HealthForm, LimitsForm, RawReaction, on, span};

impl LimitsForm {
    pub(super) fn limits(&self, base: Limits) -> Limits {
        let bound = |own: Option<Bound>, base| own.map_or(base, |own| own.0);
        let limits = Limits::UNLIMITED
            .turns(bound(self.turns, base.turns))
            .per_endpoint(bound(self.per_endpoint, base.per_endpoint))
            .sweeps(bound(self.sweeps, base.sweeps));
        match self
            .elapsed
            .map_or(base.elapsed, |own| on(own).map(|own| own.0))
        {
            Some(elapsed) => limits.elapsed(elapsed),
            None => limits,
        }
    }
}

impl From<Limits> for LimitsForm {
    fn from(limits: Limits) -> Self {
        Self {
            turns: Some(Bound(limits.turns)),
            per_endpoint: Some(Bound(limits.per_endpoint)),
            sweeps: Some(Bound(limits.sweeps)),
            elapsed: Some(Switch::from_option(limits.elapsed.map(Span))),
        }
    }
}

impl HealthForm {
    pub(super) fn health(&self, base: Health) -> Health {
        Health::default()
            .initial(span(self.initial, base.initial))
            .factor(self.factor.map_or(base.factor, |factor| factor.0))
            .maximum(span(self.maximum, base.maximum))
            .retries(self.retries.unwrap_or(base.retries))
            .retry_delay(span(self.retry_delay, base.retry_delay))
    }
}

impl From<Health> for HealthForm {
    fn from(health: Health) -> Self {
        Self {
            initial: Some(Span(health.initial)),
            factor: Some(Factor(health.factor)),
            maximum: Some(Span(health.maximum)),
            retries: Some(health.retries),
            retry_delay: Some(Span(health.retry_delay)),
        }
    }
}

pub(super) fn reactions(rules: &[RawReaction]) -> Result<Reactions, FormError> {
    let mut reactions = Reactions::default();
    for rule in rules {
        let mut on = On::ANY;
        on.kind = rule.kind.map(|kind| kind.0);
        on.scope = rule.scope.map(|scope| scope.0);
        on.code = rule.code;
        let Some(reaction) = rule.reaction else {
            return Err(FormError::Missing {
                part: "reactions",
                key: "reaction",
                example: "{ kind = \"auth\", reaction = \"suspend\" }",
            });
        };
        reactions = reactions.on(on, reaction.0);
    }
    Ok(reactions)
}

pub(super) fn raw(reactions: &Reactions) -> Vec<RawReaction> {
    let raw = |(on, reaction): &(On, Reaction)| RawReaction {
        kind: on.kind.map(Worded),
        scope: on.scope.map(Worded),
        code: on.code,
        reaction: Some(Worded(*reaction)),
    };
    reactions.rules().iter().map(raw).collect()
}

impl ClassForm {
    pub(super) fn class(&self) -> Result<Class, FormError> {
        let mut class = Class::default();
        if let Some(health) = &self.health {
            class = class.health(health.health(Health::default()));
        }
        if let Some(rules) = &self.reactions {
            class = class.reactions(reactions(rules)?);
        }
        if let Some(limit) = self.per_endpoint {
            class = class.per_endpoint(limit.0);
        }
        Ok(class)
    }
}

impl From<&Class> for ClassForm {
    fn from(class: &Class) -> Self {
        Self {
            health: class.health.map(HealthForm::from),
            reactions: Some(raw(&class.reactions)),
            per_endpoint: class.per_endpoint.map(Bound),
        }
    }
}
