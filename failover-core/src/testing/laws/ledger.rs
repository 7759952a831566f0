//! What can be known from outside: an account of a life, kept step by step from what went in and
//! what came out.

use std::collections::{BTreeMap, BTreeSet};

use crate::attempt::AttemptId;
use crate::endpoint::{EndpointId, Security, Traits};
use crate::failure::{Failure, Kind, Scope};
use crate::machine::{Answer, Change, DialOrder, Event, Input, Link, Output, Verdict};
use crate::policy::{Limits, MIN_REDIAL, PlainFallback, Policy, Reaction, Start};
use crate::sim::{Asked, Step, Trace};
use crate::time::Time;

/// The account after a number of steps.
pub(super) struct Ledger<'a> {
    pub(super) policy: &'a Policy,
    pub(super) now: Time,
    pub(super) in_flight: BTreeMap<AttemptId, DialOrder>,
    /// Those of them that have not begun, since when.
    pub(super) held: BTreeMap<AttemptId, Time>,
    /// Connections that stand, spares too.
    pub(super) open: BTreeSet<AttemptId>,
    /// The connection that the client uses, and since when.
    pub(super) main: Option<(Link, Time)>,
    /// Whether there ever was one.
    pub(super) was_connected: bool,
    pub(super) traits: BTreeMap<EndpointId, Traits>,
    /// The route that worked last.
    first_route: BTreeMap<EndpointId, u8>,
    /// The last dial of each, and when its turn is over under a policy that bounds turns.
    turns: BTreeMap<EndpointId, (Time, Time)>,
    /// Switched off, or removed for good.
    pub(super) gone: BTreeSet<EndpointId>,
    removed: BTreeSet<EndpointId>,
    /// The one that alone is dialled at start-up.
    pinned: Option<EndpointId>,
    /// Which outage it is, and when it began; time with a connection is left out.
    pub(super) outage: u32,
    pub(super) outage_since: Time,
    /// Whether each endpoint may rest, from its last failure on.
    pub(super) rests: BTreeMap<EndpointId, bool>,
}

/// Something that happened in a step, with the meaning that the account gives it.
pub(super) enum Fact {
    /// A turn of the client's own failed; the next one of this endpoint is another turn.
    TurnFailed(EndpointId),
    /// A route failed within a turn that another route goes on with.
    RouteFailed(EndpointId),
    /// A dial on the side failed.
    SideFailed,
    /// Cancelled by the machine.
    Cancelled,
    /// A connection ended that proved stable: a new outage begins.
    Stable(EndpointId),
    /// Nothing that counts.
    Other,
}

impl<'a> Ledger<'a> {
    pub(super) fn new(trace: &'a Trace) -> Self {
        Self {
            policy: &trace.policy,
            now: Time::ZERO,
            in_flight: BTreeMap::new(),
            held: BTreeMap::new(),
            open: BTreeSet::new(),
            main: None,
            was_connected: false,
            traits: trace.endpoints.iter().map(|t| (t.id(), *t)).collect(),
            first_route: BTreeMap::new(),
            turns: BTreeMap::new(),
            gone: BTreeSet::new(),
            removed: BTreeSet::new(),
            pinned: None,
            outage: 1,
            outage_since: Time::ZERO,
            rests: BTreeMap::new(),
        }
    }

    /// What its input says, if the machine took it. To be called before its outputs.
    pub(super) fn hear(&mut self, step: &Step) {
        self.now = self.now.max(step.at);
        if step.answer != Answer::Taken {
            return;
        }
        match step.input {
            Input::Start => self.outage_since = self.now,
            Input::Learned { attempt, security } => {
                if let Some(order) = self.in_flight.get(&attempt)
                    && let Some(traits) = self.traits.get_mut(&order.endpoint)
                {
                    traits.learn(order.route, security);
                }
            }
            Input::Lost {
                attempt,
                failure,
                verdict,
            } => {
                self.open.remove(&attempt);
                if let Some((link, _)) = self.main
                    && link.attempt == attempt
                {
                    let rests = verdict == Verdict::Suspend || failure.retry_after.is_some();
                    *self.rests.entry(link.endpoint).or_default() |= rests;
                    if verdict == Verdict::Remove {
                        self.gone.insert(link.endpoint);
                    }
                }
            }
            Input::Change(Change::Add(traits)) => {
                self.traits.insert(traits.id(), traits);
            }
            Input::Change(Change::Remove(id)) => {
                self.gone.insert(id);
                self.removed.insert(id);
            }
            Input::Change(Change::Off(id)) => {
                self.gone.insert(id);
            }
            Input::Change(Change::On(id)) => {
                if !self.removed.contains(&id) && self.gone.remove(&id) {
                    self.rests.insert(id, false);
                }
            }
            Input::Rests { endpoint, .. } => {
                self.rests.insert(endpoint, true);
            }
            Input::Recovered { endpoint } => {
                self.rests.insert(endpoint, false);
            }
            Input::Held { attempt } => {
                self.held.insert(attempt, self.now);
            }
            Input::Begun { attempt } => self.begin(attempt),
            Input::Wake
            | Input::Connected { .. }
            | Input::Failed { .. }
            | Input::Drain { .. }
            | Input::Reconnect(_)
            | Input::Pause
            | Input::Resume
            | Input::Close => {}
        }
        for asked in &step.asked {
            if let Asked::Judge(asked, reaction) = asked {
                let rests = matches!(reaction, Reaction::Mark | Reaction::Suspend)
                    || asked.failure.retry_after.is_some();
                *self.rests.entry(asked.endpoint).or_default() |= rests;
                if *reaction == Reaction::Remove {
                    self.gone.insert(asked.endpoint);
                }
            }
        }
    }

    /// One output, and what it means.
    pub(super) fn take(&mut self, output: &Output) -> Fact {
        match output {
            Output::Dial(order) => {
                self.in_flight.insert(order.attempt, *order);
                self.take_turn(order);
                let pins = self.policy.start() == Start::FirstOnly && !self.was_connected;
                if pins && self.pinned.is_none_or(|id| self.removed.contains(&id)) {
                    self.pinned = Some(order.endpoint);
                }
                Fact::Other
            }
            Output::Cancel(_) => Fact::Other,
            Output::HangUp { attempt, .. } => {
                self.open.remove(attempt);
                Fact::Other
            }
            Output::Event(event) => self.take_event(event),
        }
    }

    fn take_event(&mut self, event: &Event) -> Fact {
        match *event {
            Event::Attempt(ended) => {
                let order = ended.order;
                self.in_flight.remove(&order.attempt);
                self.held.remove(&order.attempt);
                match ended.outcome {
                    Ok(()) => {
                        self.open.insert(order.attempt);
                        self.first_route.insert(order.endpoint, order.route);
                        self.rests.insert(order.endpoint, false);
                        Fact::Other
                    }
                    Err(failure) if failure.kind == Kind::Cancelled => Fact::Cancelled,
                    Err(_) if self.main.is_some() => Fact::SideFailed,
                    Err(failure) if self.next_route(&order, failure).is_some() => {
                        Fact::RouteFailed(order.endpoint)
                    }
                    Err(_) => Fact::TurnFailed(order.endpoint),
                }
            }
            Event::Connected(link) | Event::Reconnected(link) => self.stands(link),
            Event::FailedOver { to, .. } => self.stands(to),
            Event::Moved { to, .. } => {
                let fact = match self.main {
                    Some((from, since)) => self.ended(from, since),
                    None => Fact::Other,
                };
                self.stands(to);
                match fact {
                    Fact::Stable(_) => fact,
                    Fact::TurnFailed(_)
                    | Fact::RouteFailed(_)
                    | Fact::SideFailed
                    | Fact::Cancelled
                    | Fact::Other => Fact::Other,
                }
            }
            Event::Disconnected { link, why, .. } => {
                let since = self.main.take().map_or(self.now, |(_, since)| since);
                match (self.ended(link, since), why) {
                    (Fact::TurnFailed(id), crate::machine::Why::Lost(_)) => Fact::TurnFailed(id),
                    (Fact::TurnFailed(_), _) => Fact::Other,
                    (other, _) => other,
                }
            }
            Event::Suspended { endpoint, .. } => {
                // A dial of it that is in flight ends its turn.
                let is_dialled = |order: &DialOrder| order.endpoint == endpoint;
                if self.in_flight.values().any(is_dialled)
                    && let Some((_, until)) = self.turns.get_mut(&endpoint)
                {
                    *until = Time::ZERO;
                }
                Fact::Other
            }
            Event::SessionGone
            | Event::Switching { .. }
            | Event::Draining { .. }
            | Event::SpareReady(_)
            | Event::SpareLost { .. }
            | Event::Starved
            | Event::Closed(_) => Fact::Other,
        }
    }

    /// A dial that was held begins: it has its whole deadline, its turn as much time as it had.
    fn begin(&mut self, attempt: AttemptId) {
        let (Some(since), Some(order)) =
            (self.held.remove(&attempt), self.in_flight.get_mut(&attempt))
        else {
            return;
        };
        let waited = self.now.since(since);
        order.deadline = order.deadline + waited;
        if let Some((last, until)) = self.turns.get_mut(&order.endpoint) {
            (*last, *until) = (self.now, *until + waited);
        }
    }

    fn take_turn(&mut self, order: &DialOrder) {
        let until = match self.policy.turn_deadline() {
            Some(most) => self.now + most,
            None => Time::MAX,
        };
        let begins = order.route == self.first_route(order.endpoint);
        let turn = self
            .turns
            .entry(order.endpoint)
            .or_insert((self.now, until));
        turn.0 = self.now;
        if begins || turn.1 <= self.now {
            turn.1 = until;
        }
    }

    /// Whether no further route can be dialled in its turn: the hard floor holds one up.
    fn is_turn_over(&self, endpoint: EndpointId) -> bool {
        let turn = self.turns.get(&endpoint);
        turn.is_some_and(|&(last, until)| until <= self.now.max(last + MIN_REDIAL))
    }

    fn stands(&mut self, link: Link) -> Fact {
        self.main = Some((link, self.now));
        self.was_connected = true;
        Fact::Other
    }

    /// A connection ended: stable, or a failed turn.
    fn ended(&mut self, link: Link, since: Time) -> Fact {
        let lived = self.now.since(since);
        if lived >= self.policy.stable_after() {
            self.outage += 1;
            self.outage_since = self.now;
            return Fact::Stable(link.endpoint);
        }
        self.outage_since = self.outage_since + lived;
        Fact::TurnFailed(link.endpoint)
    }

    /// The route that goes on with the turn: the one that worked last is first, then the others in
    /// their order; no plain one after a TLS one unless the policy allows it.
    pub(super) fn next_route(&self, failed: &DialOrder, failure: Failure) -> Option<u8> {
        if failure.scope == Scope::Fatal
            || !failure.kind.invites_next_route()
            || self.gone.contains(&failed.endpoint)
            || self.is_turn_over(failed.endpoint)
        {
            return None;
        }
        let traits = self.traits.get(&failed.endpoint)?;
        let first = self.first_route(failed.endpoint);
        let mut routes = vec![first];
        routes.extend((0..traits.routes()).filter(|&route| route != first));
        let at = routes.iter().position(|&route| route == failed.route)?;
        let may_be_plain = self.policy.plain_fallback() == PlainFallback::Allow
            || traits.security(failed.route) == Security::Plain;
        let mut later = routes.into_iter().skip(at + 1);
        later.find(|&route| may_be_plain || traits.security(route) == Security::Tls)
    }

    /// The limits of this stage.
    pub(super) fn limits(&self) -> Limits {
        match self.was_connected {
            true => self.policy.limits(),
            false => self.policy.start_up_limits(),
        }
    }

    /// Whether this endpoint is in the list, on, and one that the client may dial at this stage.
    pub(super) fn is_admitted(&self, endpoint: EndpointId) -> bool {
        let alone = match self.was_connected {
            true => None,
            false => self.pinned.filter(|id| !self.removed.contains(id)),
        };
        !self.gone.contains(&endpoint) && alone.is_none_or(|id| id == endpoint)
    }

    /// Whether this endpoint may rest: since its last answer a failure asked for it.
    pub(super) fn rests(&self, endpoint: EndpointId) -> bool {
        self.rests.get(&endpoint).copied().unwrap_or(false)
    }

    fn first_route(&self, endpoint: EndpointId) -> u8 {
        self.first_route.get(&endpoint).copied().unwrap_or(0)
    }
}
