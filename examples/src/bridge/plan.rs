//! What a deployment's file means for a bridge: each connection's connector is made of it.

use std::sync::Arc;
use std::time::Duration;

use failover_core::config::{ConfigError, Deployment};
use failover_core::dial::Registry;
use failover_core::directory::Endpoint;
use failover_core::drive::{
    BuildError, Connector, ConnectorBuilder, DialLimiter, Metrics, RetryBudget, SharedHealth,
};
use failover_core::failure::Kind;
use failover_core::policy::{
    Health, Limits, NobodyReady, On, Policy, PolicyError, Reaction, Reactions, Start, Walk,
};
use thiserror::Error;
use transport_tcp::{ByteStream, TokioClock};
use transport_ws::deploy::{self, DeployError, Tables};

/// The connector of one client's connection.
pub(crate) type Dialling = Connector<Registry<ByteStream>, TokioClock>;

/// A deployment, checked as a whole.
#[derive(Debug)]
pub struct Plan {
    registry: Registry<ByteStream>,
    endpoints: Vec<Endpoint>,
    policy: Policy,
}

/// What all connectors of a bridge have in common.
pub(crate) struct Common {
    pub(crate) clock: TokioClock,
    pub(crate) health: SharedHealth,
    pub(crate) limiter: DialLimiter,
    pub(crate) budget: RetryBudget,
    pub(crate) metrics: Arc<dyn Metrics>,
}

/// Why a deployment cannot be bridged. No credentials are shown.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum PlanError {
    /// Its endpoints or transports.
    #[error(transparent)]
    Deploy(#[from] DeployError),
    /// Its policy.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// What a bridge makes of its policy.
    #[error("policy: {0}")]
    Policy(#[from] PolicyError),
    /// It asks for what a bridge does not have.
    #[error(transparent)]
    Build(#[from] BuildError),
}

impl Plan {
    /// Checks a deployment as a whole; reads the files and variables that it names. A client waits this
    /// long for a connection, where the policy does not say it.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn new(deployment: &Deployment<Tables>, wait: Duration) -> Result<Self, PlanError> {
        let registry = deploy::registry(deployment)?;
        let endpoints = deploy::endpoints(deployment, &registry)?;
        let plan = Self {
            policy: policy(deployment, wait)?,
            registry,
            endpoints,
        };
        plan.builder(TokioClock::new(), 0).build()?;
        Ok(plan)
    }

    /// A connector for the client with this number.
    pub(crate) fn connector(&self, common: &Common, number: u64) -> Result<Dialling, BuildError> {
        self.builder(common.clock, number)
            .shared_health(&common.health)
            .limiter(&common.limiter)
            .retry_budget(&common.budget)
            .metrics(Arc::clone(&common.metrics))
            .build()
    }

    /// The servers, in the order of the file.
    #[must_use]
    pub fn endpoints(&self) -> &[Endpoint] {
        &self.endpoints
    }

    /// Whether this server is in the list still: under its name, over the same routes.
    pub(crate) fn lists(&self, one: &Endpoint) -> bool {
        let mut endpoints = self.endpoints.iter();
        endpoints.any(|it| it.name() == one.name() && it.routes() == one.routes())
    }

    /// How the policy chooses among the servers that are ready, for people.
    pub(crate) fn order_in_words(&self) -> &'static str {
        match self.policy.order().walk {
            Walk::Listed | Walk::FirstReady => "the first of the list that is ready",
            Walk::Rotate => "its turn in the rotation",
            Walk::Shuffled(_) => "drawn at random",
            Walk::Weighted => "drawn by weight",
            Walk::LeastFailed => "the one with the fewest failures",
            _ => "the policy's choice",
        }
    }

    fn builder(
        &self,
        clock: TokioClock,
        number: u64,
    ) -> ConnectorBuilder<Registry<ByteStream>, TokioClock> {
        let mut endpoints = self.endpoints.clone();
        // Each connector begins at the top of its list: the rotation is over the clients.
        if self.policy.order().walk == Walk::Rotate {
            let by = number % endpoints.len().max(1) as u64;
            endpoints.rotate_left(usize::try_from(by).unwrap_or(0));
        }
        Connector::builder(self.registry.clone(), clock)
            .endpoints(endpoints)
            .policy(self.policy.clone())
    }
}

/// The file's policy, with what a bridge does otherwise. What the file says counts; a preset says all.
fn policy(deployment: &Deployment<Tables>, wait: Duration) -> Result<Policy, PlanError> {
    let form = deployment.policy.clone().unwrap_or_default();
    let said = deployment.policy()?;
    // A stream of bytes that another program speaks cannot be moved.
    let mut standing = said.standing();
    standing.spares = 0;
    standing.failback = None;
    standing.max_age = None;
    let waits = |limits: Limits| match limits.elapsed {
        Some(_) => limits,
        None => limits.elapsed(wait),
    };
    let mut policy = said.to_builder().standing(standing);
    if form.start_up_limits.is_none() {
        policy = policy.start_up_limits(waits(said.start_up_limits()));
    }
    if form.limits.is_none() {
        policy = policy.limits(waits(said.limits()));
    }
    if form.preset.is_none() {
        if form.reactions.is_none() {
            let rests = RESTS.iter().fold(Reactions::default(), |rules, &kind| {
                rules.on(On::kind(kind), Reaction::Suspend)
            });
            policy = policy.reactions(rests);
        }
        if form.health.is_none() {
            policy = policy.health(Health::default().initial(REST).maximum(LONGEST_REST));
        }
        if form.nobody_ready.is_none() {
            policy = policy.nobody_ready(NobodyReady::LeastBad);
        }
        if form.start.is_none() {
            policy = policy.start(Start::Persevere);
        }
    }
    Ok(policy.build()?)
}

/// What tells one client's dial about a server, and all others should know: it rests.
const RESTS: [Kind; 6] = [
    Kind::Resolve,
    Kind::Refused,
    Kind::Unreachable,
    Kind::Timeout,
    Kind::Tls,
    Kind::Upgrade,
];

/// How long a server rests that could not be reached, while another one is ready.
const REST: Duration = Duration::from_secs(10);

const LONGEST_REST: Duration = Duration::from_secs(60);

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use failover_core::failure::{Failure, Scope};

    use super::*;

    const WAIT: Duration = Duration::from_secs(7);

    fn plan(policy: &str) -> Plan {
        let text = format!(
            "version = 1\nendpoints = [\"tcp://a:1\", \"tcp://b:1\", \"tcp://c:1\"]\n{policy}"
        );
        Plan::new(&toml::from_str(&text).unwrap(), WAIT).unwrap()
    }

    #[test]
    fn where_the_file_says_nothing_a_server_that_cannot_be_reached_rests() {
        let policy = plan("").policy;
        let refused = Failure::new(Kind::Refused);
        assert_eq!(policy.reactions().to(&refused), Reaction::Suspend);
        assert_eq!(policy.health().initial, REST);
        assert_eq!(policy.nobody_ready(), NobodyReady::LeastBad);
        // That all of them rest is no reason to send a client away.
        assert_eq!(policy.start(), Start::Persevere);
        assert_eq!(policy.start_up_limits().elapsed, Some(WAIT));
        // How a session ends says little about its server.
        let reset = Failure::new(Kind::Reset);
        assert_eq!(policy.reactions().to(&reset), Reaction::Next);
        // A fatal failure stays one whatever its kind.
        let fatal = Failure::new(Kind::Other).scope(Scope::Fatal);
        assert_eq!(policy.reactions().to(&fatal), Reaction::Stop);
    }

    #[test]
    fn what_the_file_says_counts() {
        let text = "[policy]\nreactions = []\nnobody_ready = \"wait\"\n\
                    [policy.health]\ninitial = \"3s\"\n[policy.start_up_limits]\nsweeps = 2\n";
        let policy = plan(text).policy;
        assert_eq!(
            policy.reactions().to(&Failure::new(Kind::Refused)),
            Reaction::Next
        );
        assert_eq!(policy.health().initial, Duration::from_secs(3));
        assert_eq!(policy.nobody_ready(), NobodyReady::Wait);
        assert_eq!(policy.start_up_limits().elapsed, None);
        let preset = plan("[policy]\npreset = \"nats\"\n").policy;
        assert_eq!(
            preset.reactions().to(&Failure::new(Kind::Refused)),
            Reaction::Next
        );
    }

    #[test]
    fn nothing_moves_a_connection_that_stands() {
        let text = "[policy.standing]\nspares = 2\nfailback = {}\nmax_age = { age = \"1h\" }\n";
        let standing = plan(text).policy.standing();
        assert_eq!(
            (standing.spares, standing.failback, standing.max_age),
            (0, None, None)
        );
    }

    #[test]
    fn a_server_is_the_same_while_its_name_and_its_routes_are() {
        let plan = plan("");
        let endpoint = |url: &str| Endpoint::parse(url).unwrap();
        assert!(plan.lists(&endpoint("tcp://a:1").weight(7)));
        assert!(!plan.lists(&endpoint("tls://a:1")));
        assert!(!plan.lists(&endpoint("tcp://a:1").named("another")));
    }
}
