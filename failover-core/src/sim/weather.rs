//! What a dial meets.

use core::time::Duration;

use crate::endpoint::EndpointId;
use crate::failure::{Failure, Kind};
use crate::machine::Verdict;
use crate::time::Time;

/// What a dial meets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Meets {
    /// A connection after this time, which lives on.
    Accept {
        /// How long the dial takes.
        after: Duration,
    },
    /// A connection that is lost again.
    AcceptAndDrop {
        /// How long the dial takes.
        after: Duration,
        /// How long the connection lives.
        lives: Duration,
        /// How it is lost.
        failure: Failure,
        /// What the application makes of that.
        verdict: Verdict,
    },
    /// A failure after this time.
    Fail {
        /// How long the dial takes.
        after: Duration,
        /// The failure.
        failure: Failure,
    },
    /// Nothing, ever.
    Mute,
}

impl Meets {
    /// A connection, at once.
    pub const ACCEPT: Self = Self::Accept {
        after: Duration::ZERO,
    };
    /// A refusal, at once.
    pub const REFUSE: Self = Self::refuse(Duration::ZERO);

    /// A refusal after this time.
    #[must_use]
    pub const fn refuse(after: Duration) -> Self {
        Self::fail(after, Failure::new(Kind::Refused))
    }

    /// This failure after this time.
    #[must_use]
    pub const fn fail(after: Duration, failure: Failure) -> Self {
        Self::Fail { after, failure }
    }

    /// A connection, at once, that is reset after this time.
    #[must_use]
    pub const fn accept_and_drop(lives: Duration) -> Self {
        Self::AcceptAndDrop {
            after: Duration::ZERO,
            lives,
            failure: Failure::new(Kind::Reset),
            verdict: Verdict::AsPolicy,
        }
    }
}

/// What dials meet, by time, endpoint and route: of the rules that hold, the one added last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Weather {
    rules: Vec<Rule>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Rule {
    from: Time,
    endpoint: Option<EndpointId>,
    route: Option<u8>,
    meets: Meets,
}

impl Weather {
    /// This, everywhere and always.
    #[must_use]
    pub fn new(always: Meets) -> Self {
        Self { rules: Vec::new() }.everywhere(Time::ZERO, always)
    }

    /// The same, and this everywhere from then on.
    #[must_use]
    pub fn everywhere(self, from: Time, meets: Meets) -> Self {
        self.rule(from, None, None, meets)
    }

    /// The same, and this at one endpoint from then on.
    #[must_use]
    pub fn endpoint(self, from: Time, endpoint: EndpointId, meets: Meets) -> Self {
        self.rule(from, Some(endpoint), None, meets)
    }

    /// The same, and this on one route of an endpoint from then on.
    #[must_use]
    pub fn route(self, from: Time, endpoint: EndpointId, route: u8, meets: Meets) -> Self {
        self.rule(from, Some(endpoint), Some(route), meets)
    }

    fn rule(
        mut self,
        from: Time,
        endpoint: Option<EndpointId>,
        route: Option<u8>,
        meets: Meets,
    ) -> Self {
        self.rules.push(Rule {
            from,
            endpoint,
            route,
            meets,
        });
        self
    }

    /// What a dial meets there and then.
    #[must_use]
    pub fn meets(&self, endpoint: EndpointId, route: u8, now: Time) -> Meets {
        let holds = |rule: &&Rule| {
            rule.from <= now
                && rule.endpoint.is_none_or(|id| id == endpoint)
                && rule.route.is_none_or(|other| other == route)
        };
        self.rules
            .iter()
            .rev()
            .find(holds)
            .map_or(Meets::Mute, |rule| rule.meets)
    }
}
