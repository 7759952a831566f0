//! Endpoints of Apache Synapse and WSO2.

use alloc::vec;
use alloc::vec::Vec;
use core::time::Duration;

use crate::failure::Kind;
use crate::link::{Late, LinkPolicy, Reply};
use crate::policy::{
    Backoff, Health, Jitter, Lost, NobodyReady, On, Order, Pace, Policy, PolicyError, Ratio,
    Reaction, Reactions, Start, Walk,
};
use crate::preset::Preset;

/// The elements of a Synapse endpoint, with their defaults.
///
/// | Synapse | default | ours |
/// |---|---|---|
/// | `suspendOnFailure/initialDuration` | 30 s | `health.initial` |
/// | `suspendOnFailure/progressionFactor` | 1.0 | `health.factor` |
/// | `suspendOnFailure/maximumDuration` | none | `health.maximum` |
/// | `suspendOnFailure/errorCodes` | all others | `reactions`: suspend; what is not named is next |
/// | `markForSuspension/errorCodes` | 101504, 101505 | `reactions`: mark; −1 alone: none |
/// | `markForSuspension/retriesBeforeSuspension` | 0 | `health.retries` |
/// | `markForSuspension/retryDelay` | 0 ms | `health.retry_delay` |
/// | `retryConfig/disabledErrorCodes` | none | `reactions`: stop |
/// | `retryConfig/enabledErrorCodes` | all | none: write the others as stop |
/// | `timeout/duration` | none | `link.reply` |
/// | `timeout/responseAction` | never | `link.reply`: fault, discard, report |
/// | `failover` | dynamic | `order.walk`: first ready |
/// | `failover dynamic="false"` | | `order.lost`: first |
/// | `loadbalance` | round robin | `order.walk`: rotate, or weighted |
/// | nested groups | | tiers |
///
/// Codes as kinds of failure ([`SynapseCode`]): 101000, 101001, 101500, 101501 reset; 101503
/// refused, unreachable, resolve; 101504 stale; 101505 closed; 101506 protocol; 101507 cancelled;
/// 101508 timeout; 303000 none ready. A failure that carries the number itself is matched by it.
///
/// Nothing is waited but suspensions and retry delays; when all rest, the first whose time is up is
/// waited for (Synapse fails the message with 303000: [`NobodyReady::Fail`]). A success resets at
/// once (`stable_after` is 0).
///
/// Not reproduced: failures of ignored codes that loop inside one call (the hard floor bounds them;
/// give such a policy a wait); a suspension multiplied by every failure in flight; a late success
/// that ends a suspension, a mark that shortens one; a failure that brings back an endpoint that is
/// off; a maximum that does not bound the first suspension; weights that ignore health; every
/// caller on the endpoint whose time is up (here one probe). A disabled code ends the walk *and*
/// keeps the endpoint as it is, so it is not both stop and suspend.
#[derive(Clone, Debug, PartialEq)]
pub struct Synapse {
    /// The group it stands in.
    pub group: SynapseGroup,
    /// `initialDuration`.
    pub initial_duration: Duration,
    /// `progressionFactor`.
    pub progression_factor: Ratio,
    /// `maximumDuration`; nothing: no maximum.
    pub maximum_duration: Option<Duration>,
    /// `suspendOnFailure/errorCodes`; nothing: all that are not marked.
    pub suspend_codes: Option<Vec<SynapseCode>>,
    /// `markForSuspension/errorCodes`.
    pub mark_codes: Vec<SynapseCode>,
    /// `retriesBeforeSuspension`.
    pub retries_before_suspension: u8,
    /// `retryDelay`.
    pub retry_delay: Duration,
    /// `disabledErrorCodes`.
    pub disabled_codes: Vec<SynapseCode>,
    /// `timeout/duration` and `responseAction`.
    pub timeout: Option<(Duration, Late)>,
}

/// How a group of Synapse endpoints chooses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum SynapseGroup {
    /// `failover`: the first that is ready, every time.
    #[default]
    Failover,
    /// `failover dynamic="false"`: the present one while it is ready.
    StaticFailover,
    /// `loadbalance`: the next that is ready.
    LoadBalance,
    /// `loadbalance` by weight.
    WeightedLoadBalance,
}

/// An error code of Synapse, such as 101503.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SynapseCode(u32);

impl SynapseCode {
    /// This code.
    #[must_use]
    pub const fn new(code: u32) -> Self {
        Self(code)
    }

    /// The number.
    #[must_use]
    pub const fn number(self) -> u32 {
        self.0
    }

    /// The kinds of failure that it stands for.
    #[must_use]
    pub const fn kinds(self) -> &'static [Kind] {
        match self.0 {
            101_000 | 101_001 | 101_500 | 101_501 => &[Kind::Reset],
            101_503 => &[Kind::Refused, Kind::Unreachable, Kind::Resolve],
            101_504 => &[Kind::Stale],
            101_505 => &[Kind::Closed],
            101_506 => &[Kind::Protocol],
            101_507 => &[Kind::Cancelled],
            101_508 => &[Kind::Timeout],
            303_000 => &[Kind::NoneReady],
            _ => &[],
        }
    }
}

impl Default for Synapse {
    fn default() -> Self {
        Self {
            group: SynapseGroup::Failover,
            initial_duration: Duration::from_secs(30),
            progression_factor: Ratio::ONE,
            maximum_duration: None,
            suspend_codes: None,
            mark_codes: vec![SynapseCode::new(101_504), SynapseCode::new(101_505)],
            retries_before_suspension: 0,
            retry_delay: Duration::ZERO,
            disabled_codes: Vec::new(),
            timeout: None,
        }
    }
}

impl Synapse {
    /// These elements as ours.
    ///
    /// # Errors
    /// When an element has a value that no policy may have.
    pub fn preset(&self) -> Result<Preset, PolicyError> {
        let order = match self.group {
            SynapseGroup::Failover => Order::new(Walk::FirstReady).lost(Lost::InPlace),
            SynapseGroup::StaticFailover => Order::new(Walk::FirstReady).lost(Lost::First),
            SynapseGroup::LoadBalance => Order::new(Walk::Rotate).lost(Lost::InPlace),
            SynapseGroup::WeightedLoadBalance => Order::new(Walk::Weighted).lost(Lost::InPlace),
        };
        let policy = Policy::builder()
            .order(order)
            .pace(Pace::new(Backoff::Constant(Duration::ZERO)))
            .jitter(Jitter::None)
            .tls_jitter(Jitter::None)
            .start(Start::Persevere)
            .stable_after(Duration::ZERO)
            .health(self.health())
            .nobody_ready(NobodyReady::Wait)
            .reactions(self.reactions())
            .build()?;
        let link = LinkPolicy::OFF.reply(match self.timeout {
            Some((deadline, then)) => Reply::Within { deadline, then },
            None => Reply::Off,
        });
        Ok(Preset { policy, link })
    }

    /// How such an endpoint rests.
    #[must_use]
    pub fn health(&self) -> Health {
        Health::default()
            .initial(self.initial_duration)
            .factor(self.progression_factor)
            .maximum(self.maximum_duration.unwrap_or(Duration::MAX))
            .retries(self.retries_before_suspension)
            .retry_delay(self.retry_delay)
    }

    /// What each failure means for such an endpoint: numbers are asked before kinds.
    #[must_use]
    pub fn reactions(&self) -> Reactions {
        let suspended = self.suspend_codes.as_deref().unwrap_or_default();
        let sets = [
            (self.disabled_codes.as_slice(), Reaction::Stop),
            (self.mark_codes.as_slice(), Reaction::Mark),
            (suspended, Reaction::Suspend),
        ];
        let mut reactions = Reactions::default();
        for (codes, reaction) in sets {
            for code in codes {
                reactions = reactions.on(On::code(code.0), reaction);
            }
        }
        for (codes, reaction) in sets {
            for kind in codes.iter().flat_map(|code| code.kinds()) {
                reactions = reactions.on(On::kind(*kind), reaction);
            }
        }
        reactions.on(
            On::ANY,
            match self.suspend_codes {
                None => Reaction::Suspend,
                Some(_) => Reaction::Next,
            },
        )
    }
}
