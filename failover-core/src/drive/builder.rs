//! Puts a connector together.

use std::boxed::Box;
use std::sync::Arc;
use std::vec::Vec;

use crate::dial::{Dial, DialError};
use crate::directory::{Directory, Endpoint, Learner, Target};
use crate::drive::clock::Clock;
use crate::drive::connector::{Connector, Sharing};
use crate::drive::error::{BuildError, ListError};
use crate::drive::keep::{Keep, Keepers};
use crate::drive::metrics::Metrics;
use crate::drive::recorder::{Flight, Recorder};
use crate::drive::share::{DialLimiter, RetryBudget, SharedHealth};
use crate::machine::Machine;
use crate::policy::{CustomDelay, Hooks, NoHooks, Policy, Seed};

/// Puts a [`Connector`] together; every rule is checked in [`build`](Self::build).
#[must_use = "a builder does nothing until `build`"]
pub struct ConnectorBuilder<D: Dial, C> {
    dialer: D,
    clock: C,
    endpoints: Vec<Endpoint>,
    policy: Arc<Policy>,
    hooks: Option<Box<dyn Hooks + Send>>,
    seed: Seed,
    learner: Option<Learner>,
    sharing: Sharing,
    recorder: Option<Recorder>,
    keepers: Option<Keepers<D::Conn>>,
}

impl<D: Dial + 'static, C: Clock> ConnectorBuilder<D, C> {
    pub(crate) fn new(dialer: D, clock: C) -> Self {
        Self {
            dialer,
            clock,
            endpoints: Vec::new(),
            policy: Arc::default(),
            hooks: None,
            seed: Seed::random(),
            learner: None,
            sharing: Sharing::default(),
            recorder: None,
            keepers: None,
        }
    }

    /// Adds an endpoint to the list.
    pub fn endpoint(mut self, endpoint: Endpoint) -> Self {
        self.endpoints.push(endpoint);
        self
    }

    /// Adds endpoints to the list, in this order.
    pub fn endpoints(mut self, endpoints: impl IntoIterator<Item = Endpoint>) -> Self {
        self.endpoints.extend(endpoints);
        self
    }

    /// What to do: a [`Policy`], or an `Arc` of one that many connectors share. Default:
    /// [`Policy::default`].
    pub fn policy(mut self, policy: impl Into<Arc<Policy>>) -> Self {
        self.policy = policy.into();
        self
    }

    /// Code of your own in the decisions. A panic in it is caught and told as an event.
    pub fn hooks(mut self, hooks: impl Hooks + Send + 'static) -> Self {
        self.hooks = Some(Box::new(hooks));
        self
    }

    /// The seed of its randomness. Default: [`Seed::random`].
    pub fn seed(mut self, seed: Seed) -> Self {
        self.seed = seed;
        self
    }

    /// How lists that servers push are bounded and debounced. Default: [`Learner::default`]. Once it is
    /// said, the list may be empty at first: the connector then starves until an endpoint comes
    /// through its [`Handle`](crate::drive::Handle).
    pub fn learner(mut self, learner: Learner) -> Self {
        self.learner = Some(learner);
        self
    }

    /// Dials only with a permit of this limiter, which many connectors share. Default: without.
    pub fn limiter(mut self, limiter: &DialLimiter) -> Self {
        self.sharing.limiter = Some(limiter.clone());
        self
    }

    /// Retries only within this budget, which many connectors share. Default: without.
    pub fn retry_budget(mut self, budget: &RetryBudget) -> Self {
        self.sharing.budget = Some(budget.clone());
        self
    }

    /// Shares with other connectors which endpoints are bad. Default: not.
    pub fn shared_health(mut self, health: &SharedHealth) -> Self {
        self.sharing.health = Some(health.reader());
        self
    }

    /// Has every spare looked after by a keeper that this makes. Default: nobody looks after a spare,
    /// and one that died is found out when it is used.
    pub fn keeper<K>(mut self, make: impl Fn(&Target) -> K + Send + 'static) -> Self
    where
        K: Keep<D::Conn> + 'static,
    {
        self.keepers = Some(Box::new(move |to| Box::new(make(to))));
        self
    }

    /// Counts what it does. Default: nobody counts.
    pub fn metrics(mut self, metrics: Arc<dyn Metrics>) -> Self {
        self.sharing.metrics = Some(metrics);
        self
    }

    /// Keeps what happens, to be played again: a flight recorder. Default: without.
    pub fn recorder(mut self, recorder: Recorder) -> Self {
        self.recorder = Some(recorder);
        self
    }

    /// Checks everything and gives the connector. Nothing is dialled yet.
    ///
    /// # Errors
    /// When the list is empty or contradicts itself, when the dialer could never dial one of the
    /// endpoints, or when the policy asks a hook that was not given.
    pub fn build(self) -> Result<Connector<D, C>, BuildError> {
        if self.endpoints.is_empty() && self.learner.is_none() {
            return Err(BuildError::NoEndpoints);
        }
        if self.policy.pace().custom != CustomDelay::Off && self.hooks.is_none() {
            return Err(BuildError::MissingDelayHook);
        }
        let directory = Directory::new(self.endpoints).map_err(ListError::from)?;
        for (_, endpoint) in directory.iter() {
            check_routes(&self.dialer, endpoint)?;
        }
        let traits = directory.traits(|target| self.dialer.security(target));
        let machine = Machine::new(self.policy, &traits, self.seed);
        let hooks = self.hooks.unwrap_or_else(|| Box::new(NoHooks));
        let flight = self
            .recorder
            .map(|recorder| Flight::new(recorder, &machine, self.seed, traits.into(), &directory));
        let connector = Connector::new(
            self.dialer,
            self.clock,
            directory,
            machine,
            hooks,
            self.learner.unwrap_or_default(),
            self.sharing,
        );
        Ok(connector.recorded(flight).kept_by(self.keepers))
    }
}

pub(crate) fn check_routes(dialer: &impl Dial, endpoint: &Arc<Endpoint>) -> Result<(), ListError> {
    for route in 0..endpoint.routes().len() {
        let target = Target::new(Arc::clone(endpoint), u8::try_from(route).unwrap_or(u8::MAX));
        dialer.check(&target).map_err(|error| ListError::Endpoint {
            name: endpoint.name().into(),
            error: DialError::new(error),
        })?;
    }
    Ok(())
}
