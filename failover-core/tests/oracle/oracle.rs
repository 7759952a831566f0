//! The policy, interpreted plainly: lists that are searched from the front, and one field for each
//! thing that the documentation names. Slow, and read beside the documentation rather than beside
//! the machine.
//!
//! Where the documentation leaves it open, it holds: a connection that did not prove stable goes on
//! with the outage before it, so that neither `first` nor `Lost::First` applies to its loss; what the
//! start-up counted still counts; one that was retired comes back without its rest.
//!
//! Where a draw decides (a shuffled or a weighted walk) it says who may be next and takes over the
//! machine's choice.

mod others;
mod resume;

use std::time::Duration;

use failover_core::endpoint::{EndpointId, Security, Traits};
use failover_core::failure::{Failure, Kind, Scope};
use failover_core::machine::{CloseReason, Verdict};
use failover_core::policy::{
    Backoff, Class, Every, Limit, Limits, Lost, MIN_REDIAL, NobodyReady, PlainFallback, Policy,
    Ratio, Reaction, Start, Walk,
};
use failover_core::time::Time;

/// What the machine is seen to do.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Seen {
    Idle,
    Waiting(EndpointId, Time),
    Dialing(EndpointId, u8, Time),
    Connected(EndpointId),
    Starved,
    Closed(CloseReason),
}

#[derive(Clone, Debug)]
pub(crate) struct Oracle {
    policy: Policy,
    servers: Vec<Server>,
    /// Who had a turn in this sweep.
    taken: Vec<EndpointId>,
    /// How many turns were dialled in this sweep.
    turns: u32,
    /// Who was dialled last: a rotation goes on behind it.
    behind: Option<EndpointId>,
    /// Under `Start::FirstOnly`, before the first connection.
    pinned: Option<EndpointId>,
    start_up: bool,
    /// Since when there is no connection.
    since: Time,
    failed_turns: u32,
    sweeps: u32,
    /// The last wait of the series, before its bounds.
    series: Option<u64>,
    /// How many dials there were since the outage began.
    dials: u32,
    lost: Option<EndpointId>,
    place: Lost,
    /// A sweep began, and the wait before it was not yet taken.
    owes_wait: bool,
    /// The wait before the first dial after the loss was taken.
    took_first: bool,
    /// When the turn that is under way is over, if the policy bounds turns.
    turn_until: Option<Time>,
    /// The newest dial of all.
    newest: Option<Time>,
    /// Until when only the lost server is dialled.
    resume_until: Option<Time>,
    pub(crate) doing: Doing,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Doing {
    Idle,
    Waiting {
        server: EndpointId,
        route: u8,
        /// The routes that were tried in this turn, in which this is the next.
        tried: Vec<u8>,
        at: Time,
    },
    Dialing {
        server: EndpointId,
        route: u8,
        tried: Vec<u8>,
        deadline: Time,
        /// Since when it waits for a permit.
        held: Option<Time>,
    },
    Connected {
        server: EndpointId,
        since: Time,
    },
    Starved,
    Closed,
}

#[derive(Clone, Debug)]
struct Server {
    traits: Traits,
    off: bool,
    removed: bool,
    retired: bool,
    failures: u32,
    marks: u8,
    suspensions: u32,
    is_suspended: bool,
    /// It rests, or rested last, for another reason.
    is_marked: bool,
    rests_until: Time,
    /// Under a pace per endpoint.
    series: Option<u64>,
    paced_until: Time,
    dialled: Option<Time>,
    route: u8,
}

/// What the policy says comes next.
#[derive(Debug)]
enum Next {
    Close(Vec<CloseReason>),
    Starve,
    Dial(Vec<(EndpointId, Time)>),
}

impl Oracle {
    pub(crate) fn new(policy: Policy, endpoints: &[Traits]) -> Self {
        Self {
            policy,
            servers: endpoints
                .iter()
                .map(|traits| Server::new(*traits))
                .collect(),
            taken: Vec::new(),
            turns: 0,
            owes_wait: false,
            took_first: false,
            behind: None,
            pinned: None,
            start_up: true,
            since: Time::ZERO,
            failed_turns: 0,
            sweeps: 0,
            series: None,
            dials: 0,
            lost: None,
            place: Lost::InPlace,
            turn_until: None,
            newest: None,
            resume_until: None,
            doing: Doing::Idle,
        }
    }

    // News.

    pub(crate) fn start(&mut self, seen: Seen, now: Time) -> Result<(), String> {
        self.since = now;
        self.advance(seen, now)
    }

    pub(crate) fn connected(&mut self, now: Time) {
        let Doing::Dialing { server, route, .. } = self.doing else {
            panic!("no dial")
        };
        let it = self.server(server);
        it.route = route;
        it.is_suspended = false;
        it.is_marked = false;
        it.rests_until = Time::ZERO;
        it.paced_until = Time::ZERO;
        self.start_up = false;
        self.pinned = None;
        self.resume_until = None;
        self.doing = Doing::Connected { server, since: now };
    }

    pub(crate) fn failed(&mut self, failure: Failure, seen: Seen, now: Time) -> Result<(), String> {
        let Doing::Dialing {
            server,
            route,
            mut tried,
            ..
        } = self.doing.clone()
        else {
            panic!("no dial")
        };
        tried.push(route);
        let reaction = self.reaction(server, &failure);
        let later = now.max(self.server(server).floor());
        if failure.kind.invites_next_route()
            && failure.scope != Scope::Fatal
            && self.turn_until.is_none_or(|until| later < until)
            && self.resume_until.is_none_or(|until| now < until)
            && let Some(route) = self.next_route(server, &tried)
        {
            // Another route of the same turn: at once, but for the hard floor; patience may end.
            let elapsed = self.out_of_patience(now);
            if !elapsed.is_empty() && matches!(seen, Seen::Closed(_)) {
                return self.expect_close(&elapsed, seen);
            }
            return self.take_up(server, route, tried, (later, later), seen, now);
        }
        if let Some(told) = self.failed_in_the_window(server, reaction, seen, now) {
            return told;
        }
        self.book(server, &failure, reaction, true, now);
        if reaction == Reaction::Stop {
            return self.expect_close(&[CloseReason::Fatal(failure)], seen);
        }
        self.advance(seen, now)
    }

    pub(crate) fn lost(
        &mut self,
        failure: Failure,
        verdict: Verdict,
        seen: Seen,
        now: Time,
    ) -> Result<(), String> {
        let Doing::Connected { server, since } = self.doing else {
            panic!("no connection")
        };
        let lived = now.since(since);
        let stable = lived >= self.policy.stable_after();
        self.lost = Some(server);
        self.place = match verdict {
            Verdict::Retry => Lost::First,
            Verdict::Next | Verdict::Suspend | Verdict::Remove => Lost::TurnTaken,
            _ => self.policy.order().lost,
        };
        if stable {
            self.since = now;
            self.failed_turns = 0;
            self.sweeps = 0;
            self.series = None;
            self.dials = 0;
            self.new_sweep();
            self.owes_wait = false;
            self.took_first = false;
            for it in &mut self.servers {
                if it.retired {
                    it.begin_anew();
                    it.is_suspended = false;
                    it.is_marked = false;
                    it.rests_until = Time::ZERO;
                }
            }
            self.server(server).begin_anew();
            if self.place == Lost::TurnTaken {
                self.taken.push(server);
            }
        } else {
            self.since = self.since + lived;
        }
        let reaction = match verdict {
            Verdict::Next => Reaction::Next,
            Verdict::Suspend => Reaction::Suspend,
            Verdict::Remove => Reaction::Remove,
            Verdict::Stop => Reaction::Stop,
            _ => self.reaction(server, &failure),
        };
        self.book(server, &failure, reaction, !stable, now);
        if reaction == Reaction::Stop {
            return self.expect_close(&[CloseReason::Fatal(failure)], seen);
        }
        if verdict == Verdict::AsPolicy
            && let Some(told) = self.begin_window(server, &failure, reaction, seen, now)
        {
            return told;
        }
        self.advance(seen, now)
    }

    pub(crate) fn woken(&mut self, seen: Seen, now: Time) -> Result<(), String> {
        if let Doing::Waiting { .. } | Doing::Dialing { .. } | Doing::Starved = self.doing {
            let elapsed = self.out_of_patience(now);
            if !elapsed.is_empty() {
                return self.expect_close(&elapsed, seen);
            }
        }
        let ends_now = self.resume_until.is_some_and(|until| until <= now);
        match self.doing.clone() {
            Doing::Waiting { .. } if ends_now => {
                self.resume_until = None;
                self.advance(seen, now)
            }
            Doing::Waiting {
                server,
                route,
                tried,
                at,
            } if at <= now => self.take_up(server, route, tried, (now, now), seen, now),
            Doing::Dialing {
                deadline,
                held: None,
                ..
            } if deadline <= now => self.failed(Failure::new(Kind::Timeout), seen, now),
            _ => {
                self.resume_until = self.resume_until.filter(|_| !ends_now);
                Ok(())
            }
        }
    }

    /// To anywhere, or to this one even if it rests.
    pub(crate) fn reconnect(
        &mut self,
        this: Option<EndpointId>,
        seen: Seen,
        now: Time,
    ) -> Result<(), String> {
        let Doing::Waiting {
            server,
            route,
            tried,
            at,
        } = self.doing.clone()
        else {
            return Ok(());
        };
        let elapsed = self.out_of_patience(now);
        if !elapsed.is_empty() {
            return self.expect_close(&elapsed, seen);
        }
        let named = this.unwrap_or(server);
        if !self.server(named).is_there() {
            return Ok(());
        }
        if self.lost != Some(named) {
            self.resume_until = None;
        }
        let it = self.server(named).clone();
        let floor = it.floor().max(now);
        // Within a millisecond of another dial the machine may take that one's floor.
        let slack = self
            .newest
            .map_or(now, |newest| newest + MIN_REDIAL)
            .max(floor);
        let least_bad = self.policy.nobody_ready() == NobodyReady::LeastBad;
        let range = if this.is_none() && it.rests_until > now && !least_bad {
            let at = it.rests_until.min(at);
            (at, at)
        } else {
            (floor, slack)
        };
        let (route, tried) = match named == server {
            true => (route, tried),
            false => (it.route, Vec::new()),
        };
        self.take_up(named, route, tried, range, seen, now)
    }

    pub(crate) fn add(&mut self, traits: Traits, seen: Seen, now: Time) -> Result<(), String> {
        self.servers.push(Server::new(traits));
        self.somebody_came(traits.id(), seen, now)
    }

    pub(crate) fn switch_on(
        &mut self,
        endpoint: EndpointId,
        seen: Seen,
        now: Time,
    ) -> Result<(), String> {
        let it = self.server(endpoint);
        if it.removed || !it.off {
            return Ok(());
        }
        it.off = false;
        it.begin_anew();
        it.is_suspended = false;
        it.is_marked = false;
        it.rests_until = Time::ZERO;
        it.paced_until = Time::ZERO;
        // The hard floor as if it had just been dialled: switching it to and fro hammers nobody.
        it.dialled = Some(now);
        let is_connected =
            matches!(self.doing, Doing::Connected { server, .. } if server == endpoint);
        if !is_connected {
            self.taken.retain(|taken| *taken != endpoint);
        }
        self.somebody_came(endpoint, seen, now)
    }

    /// Off, or removed for good. Of the connected one, the oracle does not know.
    pub(crate) fn gone(
        &mut self,
        endpoint: EndpointId,
        for_good: bool,
        seen: Seen,
        now: Time,
    ) -> Result<(), String> {
        let it = self.server(endpoint);
        it.off = true;
        it.removed |= for_good;
        if for_good && self.pinned == Some(endpoint) {
            self.pinned = None;
        }
        let window = self.resume_until;
        if self.lost == Some(endpoint) {
            self.resume_until = None;
        }
        match self.doing.clone() {
            Doing::Waiting { server, at, .. } if server == endpoint => {
                // Pick again, keep the deadline, unless it was one of the resume window.
                let next = self.decide(now, Some(at).filter(|_| window.is_none()));
                self.enter(next, seen, now)
            }
            Doing::Dialing { server, .. } if server == endpoint => self.advance(seen, now),
            _ => Ok(()),
        }
    }

    pub(crate) fn is_there(&self, endpoint: EndpointId) -> bool {
        self.servers
            .iter()
            .any(|it| it.traits.id() == endpoint && it.is_there())
    }

    pub(crate) fn next_wake(&self) -> Option<Time> {
        let due = match self.doing {
            Doing::Waiting { at, .. } => Some(at),
            Doing::Dialing { held: Some(_), .. } => None,
            Doing::Dialing { deadline, .. } => Some(deadline),
            // Only the end of patience ends it by itself.
            Doing::Starved => return self.limits().elapsed.map(|most| self.since + most),
            Doing::Idle | Doing::Connected { .. } | Doing::Closed => return None,
        };
        let patience = self.limits().elapsed.map(|most| self.since + most);
        [due, patience, self.resume_until]
            .into_iter()
            .flatten()
            .min()
    }

    /// Whether what is seen is what goes on here.
    pub(crate) fn agrees(&self, seen: Seen) -> bool {
        match (&self.doing, seen) {
            (Doing::Idle, Seen::Idle) | (Doing::Starved, Seen::Starved) => true,
            (Doing::Closed, Seen::Closed(_)) => true,
            (Doing::Waiting { server, at, .. }, Seen::Waiting(endpoint, until)) => {
                (*server, *at) == (endpoint, until)
            }
            (
                Doing::Dialing {
                    server,
                    route,
                    deadline,
                    ..
                },
                Seen::Dialing(endpoint, over, end),
            ) => (*server, *route, *deadline) == (endpoint, over, end),
            (Doing::Connected { server, .. }, Seen::Connected(endpoint)) => *server == endpoint,
            _ => false,
        }
    }

    // What comes next.

    fn somebody_came(&mut self, who: EndpointId, seen: Seen, now: Time) -> Result<(), String> {
        if let Doing::Waiting { .. } | Doing::Dialing { .. } | Doing::Starved = self.doing {
            let elapsed = self.out_of_patience(now);
            if !elapsed.is_empty() {
                return self.expect_close(&elapsed, seen);
            }
        }
        match self.doing {
            Doing::Starved => self.advance(seen, now),
            Doing::Waiting { at, .. } if at > now + MIN_REDIAL => {
                self.dial_sooner(who, at, seen, now)
            }
            _ => Ok(()),
        }
    }

    /// A fresh one is dialled at once, but for its floor and a wait that is before every dial or
    /// before the first.
    fn dial_sooner(
        &mut self,
        who: EndpointId,
        planned: Time,
        seen: Seen,
        now: Time,
    ) -> Result<(), String> {
        if self.pinned.is_some_and(|pinned| pinned != who) || self.resume_until.is_some() {
            return Ok(());
        }
        let pace = self.policy.pace();
        let (every, first) = (pace.every, pace.first);
        let wait = if self.dials > 0 && every == Every::Attempt {
            self.bounded(self.series.unwrap_or(0))
        } else if self.dials == 0 && !self.start_up && !first.is_zero() {
            self.bounded(nanos(first))
        } else {
            Duration::ZERO
        };
        let at = self.server(who).floor().max(now + wait);
        if at >= planned {
            return Ok(());
        }
        self.dial_alone(who, at, seen, now)
    }

    /// The wait before the sweep is cut short for this one alone.
    fn dial_alone(
        &mut self,
        who: EndpointId,
        at: Time,
        seen: Seen,
        now: Time,
    ) -> Result<(), String> {
        let waited = self.series.is_some();
        self.owes_wait |= self.policy.pace().every == Every::Sweep && self.turns == 0 && waited;
        let route = self.server(who).route;
        self.take_up(who, route, Vec::new(), (at, at), seen, now)
    }

    fn advance(&mut self, seen: Seen, now: Time) -> Result<(), String> {
        let next = self.decide(now, None);
        self.enter(next, seen, now)
    }

    fn enter(&mut self, next: Next, seen: Seen, now: Time) -> Result<(), String> {
        match next {
            Next::Close(reasons) => self.expect_close(&reasons, seen),
            Next::Starve => {
                self.doing = Doing::Starved;
                Ok(())
            }
            Next::Dial(who) => {
                let endpoint = match seen {
                    Seen::Waiting(endpoint, _) | Seen::Dialing(endpoint, ..) => endpoint,
                    _ => return Err(format!("{who:?} expected")),
                };
                let Some((server, at)) = who.iter().find(|(server, _)| *server == endpoint) else {
                    return Err(format!("{who:?} expected"));
                };
                let route = self.server(*server).route;
                self.take_up(*server, route, Vec::new(), (*at, *at), seen, now)
            }
        }
    }

    /// Dials, or waits until some time of the range.
    fn take_up(
        &mut self,
        server: EndpointId,
        route: u8,
        tried: Vec<u8>,
        (from, to): (Time, Time),
        seen: Seen,
        now: Time,
    ) -> Result<(), String> {
        let at = match seen {
            Seen::Waiting(_, until) if from <= until && until <= to => until,
            _ => from,
        };
        if at > now {
            self.doing = Doing::Waiting {
                server,
                route,
                tried,
                at,
            };
            return Ok(());
        }
        self.dials += 1;
        self.newest = Some(now);
        if self.start_up && self.policy.start() == Start::FirstOnly {
            // Also within a turn: the first may have been removed meanwhile.
            self.pinned.get_or_insert(server);
        }
        if tried.is_empty() {
            self.turns += 1;
            self.taken.push(server);
            self.behind = Some(server);
            self.turn_until = self.policy.turn_deadline().map(|most| now + most);
        }
        let deadline = self.policy.deadline();
        let it = self.server(server);
        it.dialled = Some(now);
        // A wait that was cut short by force is over.
        it.paced_until = Time::ZERO;
        let deadline = now + it.traits.own_deadline().unwrap_or(deadline);
        let ends = [self.turn_until, self.resume_until].into_iter().flatten();
        let deadline = ends.fold(deadline, Time::min);
        self.doing = Doing::Dialing {
            server,
            route,
            tried,
            deadline,
            held: None,
        };
        Ok(())
    }

    /// `keep`: the deadline of a wait whose endpoint became ineligible.
    fn decide(&mut self, now: Time, keep: Option<Time>) -> Next {
        let reasons = self.reached(now);
        if !reasons.is_empty() {
            return Next::Close(reasons);
        }
        let pinned = self.pinned;
        let may = |it: &Server| pinned.is_none_or(|pinned| pinned == it.traits.id());
        if !self.servers.iter().any(|it| it.is_there() && may(it)) {
            return Next::Starve;
        }
        let mut ready = now;
        let mut who = self.whom(now);
        if who.is_empty() {
            // Of those that had no turn nobody is ready: who is first to be, whoever it is?
            let soonest = self.servers.iter().filter(|it| it.is_there() && may(it));
            ready = soonest.map(|it| it.rests_until).min().unwrap().max(now);
            let perseveres = self.policy.start() == Start::Persevere;
            if self.start_up && !perseveres && ready > now && self.all_refused() {
                return Next::Close(vec![CloseReason::AllRefused]);
            }
            who = self.whom(ready);
        }
        // The sweep is over; one in which nobody was dialled does not count.
        let first_ready = self.policy.order().walk == Walk::FirstReady;
        let had_turn = |who: &EndpointId| self.taken.contains(who);
        let boundary = match first_ready {
            true => who.iter().any(had_turn),
            false => who.is_empty(),
        };
        if boundary {
            self.sweeps += u32::from(self.turns > 0);
            self.new_sweep();
            if let Limit::AtMost(most) = self.limits().sweeps
                && self.sweeps >= most
            {
                let mut reasons = vec![CloseReason::Sweeps(most)];
                if ready > now && self.policy.nobody_ready() == NobodyReady::Fail {
                    reasons.push(CloseReason::NobodyReady);
                }
                return Next::Close(reasons);
            }
            who = self.whom(ready);
        }
        if ready > now && self.policy.nobody_ready() == NobodyReady::Fail {
            return Next::Close(vec![CloseReason::NobodyReady]);
        }
        self.owes_wait |= boundary;
        self.when(who, now, keep)
    }

    /// Who may be next in this sweep of those that are ready by then.
    fn whom(&self, ready: Time) -> Vec<EndpointId> {
        match self.policy.order().walk {
            Walk::FirstReady => self.best(ready, |_, _| true),
            _ => self.best(ready, |oracle, it| !oracle.had_turn(it)),
        }
    }

    /// The limits that are reached.
    fn reached(&self, now: Time) -> Vec<CloseReason> {
        let limits = self.limits();
        let mut reasons = self.out_of_patience(now);
        if let Limit::AtMost(most) = limits.turns
            && self.failed_turns >= most
        {
            reasons.push(CloseReason::Turns(most));
        }
        if let Limit::AtMost(most) = limits.sweeps
            && self.sweeps >= most
        {
            reasons.push(CloseReason::Sweeps(most));
        }
        // Only the first that the order named is dialled until it answers.
        let may = |it: &Server| self.pinned.is_none_or(|pinned| pinned == it.traits.id());
        let listed: Vec<&Server> = self
            .servers
            .iter()
            .filter(|it| !it.off && may(it))
            .collect();
        let own = self
            .policy
            .classes()
            .iter()
            .filter_map(|own| own.per_endpoint);
        let most = own
            .chain([limits.per_endpoint])
            .filter_map(|limit| match limit {
                Limit::AtMost(most) => Some(most),
                Limit::Unlimited => None,
            });
        if let Some(most) = most.max()
            && !listed.is_empty()
            && listed.iter().all(|it| it.retired)
        {
            reasons.push(CloseReason::PerEndpoint(most));
        }
        if limits.per_endpoint == Limit::AtMost(0) {
            reasons.push(CloseReason::PerEndpoint(0));
        }
        reasons
    }

    /// When each of these may be dialled, by the pace, its own bounds and its rest.
    fn when(&mut self, who: Vec<EndpointId>, now: Time, keep: Option<Time>) -> Next {
        let heeds_rest = self.policy.nobody_ready() == NobodyReady::Wait;
        let every = self.policy.pace().every;
        let waits = match every {
            // Picked again, it keeps the wait that is under way.
            Every::Attempt => self.dials > 0 && keep.is_none(),
            Every::Sweep => std::mem::take(&mut self.owes_wait),
            Every::Endpoint | Every::Return => false,
            _ => unreachable!(),
        };
        let mut wait = Duration::ZERO;
        if waits {
            let series = self.law(self.series);
            self.series = Some(series);
            wait = self.bounded(series);
        }
        if !self.start_up && self.dials == 0 && !std::mem::replace(&mut self.took_first, true) {
            let first = self.policy.pace().first;
            let first = if first.is_zero() {
                first
            } else {
                self.bounded(nanos(first))
            };
            wait = wait.max(first);
        }
        Next::Dial(
            who.into_iter()
                .map(|server| {
                    let returns = self
                        .server(server)
                        .series
                        .filter(|_| every == Every::Return);
                    let wait = wait.max(returns.map_or(Duration::ZERO, |wait| self.bounded(wait)));
                    let at = keep.unwrap_or(now).max(now + wait);
                    let it = self.server(server);
                    let own = it.floor().max(it.paced_until);
                    let rest = if heeds_rest {
                        it.rests_until
                    } else {
                        Time::ZERO
                    };
                    (server, at.max(own).max(rest))
                })
                .collect(),
        )
    }

    /// Whether all who had their turn, and are still there, are suspended.
    fn all_refused(&self) -> bool {
        let there = |it: &&Server| !it.off && !it.removed && self.had_turn(it);
        let tried: Vec<&Server> = self.servers.iter().filter(there).collect();
        !tried.is_empty() && tried.iter().all(|it| it.is_suspended && !it.retired)
    }

    fn new_sweep(&mut self) {
        self.taken.clear();
        self.turns = 0;
    }

    /// Who may be next among the ready ones: one, or several where a draw decides.
    fn best(&self, now: Time, may: impl Fn(&Self, &Server) -> bool) -> Vec<EndpointId> {
        let all: Vec<&Server> = self
            .servers
            .iter()
            .filter(|it| it.is_there() && it.rests_until <= now && may(self, it))
            .filter(|it| self.pinned.is_none_or(|pinned| pinned == it.traits.id()))
            .collect();
        let special = |wanted: Lost| {
            all.iter()
                .find(|it| Some(it.traits.id()) == self.lost && self.place == wanted)
        };
        // After that its turn is taken like any other.
        if let Some(first) = special(Lost::First).filter(|_| self.dials == 0) {
            return vec![first.traits.id()];
        }
        let last = special(Lost::Last).map(|it| it.traits.id());
        let others: Vec<&Server> = all
            .iter()
            .copied()
            .filter(|it| Some(it.traits.id()) != last)
            .collect();
        let Some(tier) = others.iter().map(|it| it.traits.in_tier()).min() else {
            return last.into_iter().collect();
        };
        let tier: Vec<&Server> = others
            .into_iter()
            .filter(|it| it.traits.in_tier() == tier)
            .collect();
        match self.policy.order().walk {
            Walk::Listed | Walk::FirstReady => vec![tier[0].traits.id()],
            Walk::Rotate => vec![self.behind_the_last(&tier)],
            Walk::LeastFailed => {
                let least = tier.iter().map(|it| it.failures).min();
                let least: Vec<&Server> = tier
                    .into_iter()
                    .filter(|it| Some(it.failures) == least)
                    .collect();
                vec![self.behind_the_last(&least)]
            }
            Walk::Shuffled(_) | Walk::Weighted => tier.iter().map(|it| it.traits.id()).collect(),
            _ => unreachable!(),
        }
    }

    fn behind_the_last(&self, of: &[&Server]) -> EndpointId {
        of.iter()
            .map(|it| it.traits.id())
            .find(|id| self.behind.is_some_and(|behind| *id > behind))
            .unwrap_or(of[0].traits.id())
    }

    fn had_turn(&self, it: &Server) -> bool {
        self.taken.contains(&it.traits.id())
    }

    fn next_route(&self, server: EndpointId, tried: &[u8]) -> Option<u8> {
        let traits = self
            .servers
            .iter()
            .find(|it| it.traits.id() == server)?
            .traits;
        let was_tls = tried
            .iter()
            .any(|route| traits.security(*route) == Security::Tls);
        let refused = self.policy.plain_fallback() == PlainFallback::Refuse && was_tls;
        (0..traits.routes())
            .filter(|route| !tried.contains(route))
            .find(|route| !(refused && traits.security(*route) == Security::Plain))
    }

    // What is booked.

    fn book(
        &mut self,
        server: EndpointId,
        failure: &Failure,
        reaction: Reaction,
        counted: bool,
        now: Time,
    ) {
        let own = self.class(server);
        let health = own.health.unwrap_or(self.policy.health());
        let limits = self.limits();
        let every = self.policy.pace().every;
        let previous = self.server(server).series;
        let series = self.law(previous);
        let wait = self.bounded(series);
        if counted {
            self.failed_turns += 1;
        }
        let it = self.server(server);
        if counted {
            it.failures += 1;
            match every {
                Every::Endpoint => {
                    it.series = Some(series);
                    it.paced_until = it.paced_until.max(now + wait);
                }
                Every::Return => it.series = Some(series),
                _ => {}
            }
        }
        match reaction {
            Reaction::Next | Reaction::Stop => {}
            Reaction::Mark if it.is_suspended && now < it.rests_until => {}
            Reaction::Mark if !it.is_suspended && it.marks < health.retries => {
                it.marks += 1;
                it.is_marked = true;
                it.rests_until = it.rests_until.max(now + health.retry_delay);
            }
            Reaction::Mark | Reaction::Suspend => {
                it.marks = health.retries;
                it.suspensions += 1;
                it.is_suspended = true;
                let mut rest = health.initial.min(health.maximum);
                for _ in 1..it.suspensions {
                    rest = times(health.factor, rest).min(health.maximum);
                }
                it.rests_until = it.rests_until.max(now + rest);
            }
            Reaction::Remove => it.off = true,
            _ => unreachable!(),
        }
        if let Some(hint) = failure.retry_after {
            it.is_marked = true;
            it.rests_until = it.rests_until.max(now + hint.min(health.maximum));
        }
        if let Limit::AtMost(most) = own.per_endpoint.unwrap_or(limits.per_endpoint)
            && counted
            && it.failures >= most
        {
            it.retired = true;
        }
    }

    /// Its own rules; none if it has no class, or one that the policy does not have.
    fn class(&mut self, server: EndpointId) -> Class {
        let number = usize::from(self.server(server).traits.in_class());
        let own = (1..).zip(self.policy.classes()).find(|(n, _)| *n == number);
        own.map(|(_, own)| own.clone()).unwrap_or_default()
    }

    /// What its own rules say, or those for all.
    fn reaction(&mut self, server: EndpointId, failure: &Failure) -> Reaction {
        let own = self.class(server).reactions;
        let rule = own.rules().iter().find(|(on, _)| {
            on.kind.is_none_or(|kind| kind == failure.kind)
                && on.scope.is_none_or(|scope| scope == failure.scope)
                && (on.code.is_none() || on.code == failure.code)
        });
        match rule {
            Some((_, reaction)) => *reaction,
            None => self.policy.reactions().to(failure),
        }
    }

    fn law(&self, previous: Option<u64>) -> u64 {
        let pace = self.policy.pace();
        let cap = pace.cap;
        let previous = previous
            .filter(|previous| *previous > 0)
            .map(Duration::from_nanos);
        let wait = match (pace.backoff, previous) {
            (Backoff::Constant(wait), _) => wait,
            (Backoff::Exponential { base, .. }, None) => base,
            (Backoff::Exponential { factor, .. }, Some(previous)) => times(factor, previous),
            (Backoff::Affine { initial, factor }, previous) => {
                let previous = previous.unwrap_or_default();
                times(factor, previous) + times(factor, initial) - initial
            }
            _ => unreachable!(),
        };
        nanos(wait.min(cap))
    }

    fn bounded(&self, wait: u64) -> Duration {
        let pace = self.policy.pace();
        Duration::from_nanos(wait).clamp(pace.min, pace.cap)
    }

    fn out_of_patience(&self, now: Time) -> Vec<CloseReason> {
        let elapsed = self.limits().elapsed;
        let over = elapsed.filter(|most| now.since(self.since) >= *most);
        over.map(CloseReason::Elapsed).into_iter().collect()
    }

    fn limits(&self) -> Limits {
        match self.start_up {
            true => self.policy.start_up_limits(),
            false => self.policy.limits(),
        }
    }

    fn expect_close(&mut self, reasons: &[CloseReason], seen: Seen) -> Result<(), String> {
        self.doing = Doing::Closed;
        match seen {
            Seen::Closed(reason) if reasons.contains(&reason) => Ok(()),
            _ => Err(format!("closed for one of {reasons:?} expected")),
        }
    }

    fn server(&mut self, endpoint: EndpointId) -> &mut Server {
        self.servers
            .iter_mut()
            .find(|it| it.traits.id() == endpoint)
            .unwrap()
    }
}

impl Server {
    fn new(traits: Traits) -> Self {
        Self {
            traits,
            off: false,
            removed: false,
            retired: false,
            failures: 0,
            marks: 0,
            suspensions: 0,
            is_suspended: false,
            is_marked: false,
            rests_until: Time::ZERO,
            series: None,
            paced_until: Time::ZERO,
            dialled: None,
            route: 0,
        }
    }

    fn is_there(&self) -> bool {
        !self.off && !self.removed && !self.retired
    }

    fn floor(&self) -> Time {
        self.dialled.map_or(Time::ZERO, |at| at + MIN_REDIAL)
    }

    fn begin_anew(&mut self) {
        self.retired = false;
        self.failures = 0;
        self.marks = 0;
        self.suspensions = 0;
        self.series = None;
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap()
}

/// In whole nanoseconds, rounded up.
fn times(factor: Ratio, wait: Duration) -> Duration {
    let nanos = (wait.as_nanos() * u128::from(factor.ppm())).div_ceil(1_000_000);
    Duration::from_nanos(u64::try_from(nanos).unwrap())
}
