//! The world around one machine.

use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::attempt::AttemptId;
use crate::endpoint::{EndpointId, Endpoints, Security};
use crate::failure::{Failure, Kind};
use crate::machine::{
    Answer, Change, DialOrder, Input, Machine, Outbox, Output, Status, Verdict, Whither,
};
use crate::policy::{
    Choice, ChoiceAsked, DelayAnswer, DelayAsked, Hooks, JudgeAsked, NoHooks, Policy, Reaction,
    Seed,
};
use crate::sim::trace::{Asked, Step, Trace};
use crate::sim::weather::{Meets, Weather};
use crate::time::Time;

/// A word of the user, or of the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Command {
    /// Reconnect.
    Reconnect(Whither),
    /// The server of the present connection drains.
    Drain,
    /// Start no dials.
    Pause,
    /// The pause is over.
    Resume,
    /// The list changes.
    Change(Change),
    /// Others found this endpoint to be bad: it rests for so long.
    Rests(EndpointId, Duration),
    /// Others connected to this endpoint.
    Recovered(EndpointId),
    /// From now on each dial waits for so long before it begins, for a permit that it needs. Zero:
    /// it begins at once.
    Permits(Duration),
    /// End.
    Close,
}

/// What a driver, a clock or a transport may do wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Trick {
    /// A wake-up that nobody asked for.
    Wake,
    /// From now on each wake-up and each report comes twice.
    Double,
    /// Reports about dials and connections that are no more, and about some that never were.
    Stale,
    /// The next input is told a time that lies this far back.
    Back(Duration),
    /// The host sleeps for this long: what was due meanwhile comes late.
    Sleep(Duration),
    /// The dials in flight learn that their route is protected like this.
    Learn(Security),
}

/// One real machine between a weather, a clock and a user.
pub struct World {
    machine: Machine,
    hooks: Recorder,
    out: Outbox,
    weather: Weather,
    now: Time,
    /// What will happen, by time and order of planning.
    plans: BTreeMap<(Time, u64), Plan>,
    planned: u64,
    in_flight: BTreeMap<AttemptId, DialOrder>,
    /// How long a dial waits for its permit.
    permits: Duration,
    /// Those of the dials in flight that wait for one.
    held: BTreeSet<AttemptId>,
    /// The connections that stand, and how they will end.
    open: BTreeSet<AttemptId>,
    doubles: u32,
    back: Duration,
    trace: Trace,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Plan {
    Begin(AttemptId),
    Report(AttemptId, Meets),
    Drop(AttemptId, Failure, Verdict),
    Command(Command),
    Trick(Trick),
}

impl core::fmt::Debug for World {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("World")
            .field("now", &self.now)
            .field("machine", &self.machine)
            .field("plans", &self.plans)
            .finish_non_exhaustive()
    }
}

impl World {
    /// A world at time zero. Nothing happens before [`start`](Self::start).
    #[must_use]
    pub fn new(
        policy: impl Into<Arc<Policy>>,
        endpoints: impl Into<Endpoints>,
        seed: Seed,
        weather: Weather,
    ) -> Self {
        let (policy, endpoints) = (policy.into(), endpoints.into());
        Self {
            machine: Machine::new(Arc::clone(&policy), endpoints.clone(), seed),
            hooks: Recorder::default(),
            out: Outbox::default(),
            weather,
            now: Time::ZERO,
            plans: BTreeMap::new(),
            planned: 0,
            in_flight: BTreeMap::new(),
            permits: Duration::ZERO,
            held: BTreeSet::new(),
            open: BTreeSet::new(),
            doubles: 1,
            back: Duration::ZERO,
            trace: Trace {
                policy,
                endpoints,
                seed,
                steps: Vec::new(),
            },
        }
    }

    /// The same with a machine that never scans its list.
    #[cfg(test)]
    pub(crate) fn with_index(mut self) -> Self {
        self.machine = self.machine.with_index();
        self
    }

    /// Lets happen what happens, and the machine gives up slots after each step, however few.
    #[cfg(test)]
    pub(crate) fn run_tidied_until(&mut self, end: Time, most: usize) {
        for _ in 0..most {
            self.run_until(end, 1);
            self.machine.give_up_slots();
        }
    }

    /// The same with a user's hooks.
    #[must_use]
    pub fn with_hooks(mut self, hooks: Box<dyn Hooks>) -> Self {
        self.hooks.inner = hooks;
        self
    }

    /// This will be said at that time.
    pub fn command(&mut self, at: Time, command: Command) {
        self.plan(at, Plan::Command(command));
    }

    /// This will be done wrong at that time.
    pub fn trick(&mut self, at: Time, trick: Trick) {
        self.plan(at, Plan::Trick(trick));
    }

    /// The machine is told to begin.
    pub fn start(&mut self) {
        self.tell(Input::Start);
    }

    /// Lets happen what happens up to this time, but at most so many things.
    pub fn run_until(&mut self, end: Time, most: usize) {
        for _ in 0..most {
            let planned = self.plans.first_key_value().map(|((at, _), _)| *at);
            let wake = self.machine.next_wake();
            let Some(next) = planned.into_iter().chain(wake).min() else {
                break;
            };
            if next > end {
                break;
            }
            self.now = self.now.max(next);
            if planned == Some(next) {
                self.carry_out_next_plan();
            } else {
                self.tell_doubled(Input::Wake);
            }
        }
    }

    /// The world heals: every dial from now on is accepted at once, every connection lives on,
    /// nobody says or does anything wrong any more, a pause ends, and dials that wait for a permit
    /// begin. A mute dial stays mute.
    pub fn heal(&mut self) {
        self.weather = Weather::new(Meets::ACCEPT);
        self.heal_partly(Weather::new(Meets::ACCEPT));
    }

    /// The same, but new dials meet this weather.
    pub fn heal_partly(&mut self, weather: Weather) {
        self.weather = weather;
        self.plans
            .retain(|_, plan| matches!(plan, Plan::Report(..)));
        self.doubles = 1;
        self.back = Duration::ZERO;
        for plan in self.plans.values_mut() {
            if let Plan::Report(_, meets @ Meets::AcceptAndDrop { .. }) = plan {
                *meets = Meets::ACCEPT;
            }
        }
        self.permits = Duration::ZERO;
        for attempt in self.held.clone() {
            self.begin(attempt);
        }
        if let Status::Paused = self.machine.status() {
            self.tell(Input::Resume);
        }
    }

    /// What time it is.
    #[must_use]
    pub fn now(&self) -> Time {
        self.now
    }

    /// The machine.
    #[must_use]
    pub fn machine(&self) -> &Machine {
        &self.machine
    }

    /// What happened so far.
    #[must_use]
    pub fn trace(&self) -> &Trace {
        &self.trace
    }

    /// What happened.
    #[must_use]
    pub fn into_trace(self) -> Trace {
        self.trace
    }

    fn plan(&mut self, at: Time, plan: Plan) {
        self.planned += 1;
        self.plans.insert((at, self.planned), plan);
    }

    fn carry_out_next_plan(&mut self) {
        let Some((_, plan)) = self.plans.pop_first() else {
            return;
        };
        match plan {
            Plan::Begin(attempt) => self.begin(attempt),
            Plan::Report(attempt, meets) => self.report(attempt, meets),
            Plan::Drop(attempt, failure, verdict) => {
                self.open.remove(&attempt);
                self.tell_doubled(Input::Lost {
                    attempt,
                    failure,
                    verdict,
                });
            }
            Plan::Command(command) => self.say(command),
            Plan::Trick(trick) => self.play(trick),
        }
    }

    /// A dial was ordered: it begins, or waits for its permit.
    fn hold(&mut self, attempt: AttemptId) {
        if !self.in_flight.contains_key(&attempt) {
            return;
        }
        self.held.insert(attempt);
        self.plan(self.now + self.permits, Plan::Begin(attempt));
        self.tell_doubled(Input::Held { attempt });
    }

    /// A dial that was held begins.
    fn begin(&mut self, attempt: AttemptId) {
        self.held.remove(&attempt);
        self.tell_doubled(Input::Begun { attempt });
        self.meet(attempt);
    }

    /// The dial meets its weather.
    fn meet(&mut self, attempt: AttemptId) {
        let Some(order) = self.in_flight.get(&attempt) else {
            return;
        };
        let meets = self.weather.meets(order.endpoint, order.route, self.now);
        let after = match meets {
            Meets::Accept { after }
            | Meets::AcceptAndDrop { after, .. }
            | Meets::Fail { after, .. } => after,
            Meets::Mute => return,
        };
        self.plan(self.now + after, Plan::Report(attempt, meets));
    }

    fn report(&mut self, attempt: AttemptId, meets: Meets) {
        match meets {
            Meets::Accept { .. } => self.accept(attempt),
            Meets::AcceptAndDrop {
                lives,
                failure,
                verdict,
                ..
            } => {
                self.plan(self.now + lives, Plan::Drop(attempt, failure, verdict));
                self.accept(attempt);
            }
            Meets::Fail { failure, .. } => {
                self.in_flight.remove(&attempt);
                self.tell_doubled(Input::Failed { attempt, failure });
            }
            Meets::Mute => {}
        }
    }

    fn accept(&mut self, attempt: AttemptId) {
        self.in_flight.remove(&attempt);
        self.open.insert(attempt);
        self.tell_doubled(Input::Connected { attempt });
    }

    fn say(&mut self, command: Command) {
        let input = match command {
            Command::Reconnect(whither) => Input::Reconnect(whither),
            Command::Drain => match self.machine.status() {
                Status::Connected { link, .. } => Input::Drain {
                    attempt: link.attempt,
                },
                Status::Idle
                | Status::Waiting { .. }
                | Status::Dialing { .. }
                | Status::Paused
                | Status::Starved
                | Status::Closed(_) => return,
            },
            Command::Pause => Input::Pause,
            Command::Resume => Input::Resume,
            Command::Change(change) => Input::Change(change),
            Command::Rests(endpoint, rest) => Input::Rests {
                endpoint,
                until: self.now + rest,
            },
            Command::Recovered(endpoint) => Input::Recovered { endpoint },
            Command::Permits(after) => {
                self.permits = after;
                return;
            }
            Command::Close => Input::Close,
        };
        self.tell(input);
    }

    fn play(&mut self, trick: Trick) {
        match trick {
            Trick::Wake => self.tell(Input::Wake),
            Trick::Double => self.doubles = 2,
            Trick::Stale => self.tell_stale_news(),
            Trick::Back(back) => self.back = back,
            Trick::Sleep(time) => self.now = self.now + time,
            Trick::Learn(security) => {
                let in_flight: Vec<AttemptId> = self.in_flight.keys().copied().collect();
                for attempt in in_flight {
                    self.tell(Input::Learned { attempt, security });
                }
            }
        }
    }

    fn tell_stale_news(&mut self) {
        let ids = self.trace.dials().map(|(_, order)| order.attempt);
        let mut ids: Vec<AttemptId> = ids.collect();
        ids.drain(..ids.len().saturating_sub(4));
        ids.extend([AttemptId::new(0), AttemptId::new(u64::MAX)]);
        let failure = Failure::new(Kind::Reset);
        let verdict = Verdict::AsPolicy;
        let security = Security::Tls;
        for attempt in ids {
            if !self.in_flight.contains_key(&attempt) {
                self.tell(Input::Connected { attempt });
                self.tell(Input::Failed { attempt, failure });
                self.tell(Input::Learned { attempt, security });
                self.tell(Input::Held { attempt });
                self.tell(Input::Begun { attempt });
            } else if self.held.contains(&attempt) {
                self.tell(Input::Held { attempt });
            } else {
                self.tell(Input::Begun { attempt });
            }
            if !self.open.contains(&attempt) {
                self.tell(Input::Lost {
                    attempt,
                    failure,
                    verdict,
                });
                self.tell(Input::Drain { attempt });
            }
        }
    }

    fn tell_doubled(&mut self, input: Input) {
        for _ in 0..self.doubles {
            self.tell(input);
        }
    }

    fn tell(&mut self, input: Input) {
        let back = core::mem::take(&mut self.back);
        let at = Time::from_nanos(self.now.as_nanos().saturating_sub(crate::time::nanos(back)));
        let answer = self
            .machine
            .handle(input, &mut self.hooks, &mut self.out, at);
        let outputs: Vec<Output> = self.out.drain().collect();
        let mut ordered = Vec::new();
        for output in &outputs {
            self.carry_out(output, &mut ordered);
        }
        self.trace.steps.push(Step {
            at,
            input,
            answer,
            asked: core::mem::take(&mut self.hooks.asked),
            outputs,
            wake: self.machine.next_wake(),
            status: self.machine.status(),
        });
        if let (Input::Connected { attempt }, Answer::Stale | Answer::Closed) = (input, answer)
            && !self.stands(attempt)
        {
            // The driver drops what nobody wants.
            self.open.remove(&attempt);
            self.forget(attempt);
        }
        for attempt in ordered {
            self.hold(attempt);
        }
    }

    /// Whether the machine took this connection before.
    fn stands(&self, attempt: AttemptId) -> bool {
        self.open.contains(&attempt)
            && self.trace.steps.iter().any(|step| {
                step.input == Input::Connected { attempt } && step.answer == Answer::Taken
            })
    }

    /// Puts into `ordered` the dials that wait for a permit before they begin.
    fn carry_out(&mut self, output: &Output, ordered: &mut Vec<AttemptId>) {
        match *output {
            Output::Dial(order) => {
                self.in_flight.insert(order.attempt, order);
                match self.permits.is_zero() {
                    true => self.meet(order.attempt),
                    false => ordered.push(order.attempt),
                }
            }
            Output::Cancel(attempt) => {
                self.in_flight.remove(&attempt);
                self.held.remove(&attempt);
                self.forget(attempt);
            }
            Output::HangUp { attempt, .. } => {
                self.open.remove(&attempt);
                self.forget(attempt);
            }
            Output::Event(_) => {}
        }
    }

    fn forget(&mut self, attempt: AttemptId) {
        self.plans.retain(|_, plan| match plan {
            Plan::Begin(id) | Plan::Report(id, _) | Plan::Drop(id, _, _) => *id != attempt,
            Plan::Command(_) | Plan::Trick(_) => true,
        });
    }
}

/// Hooks that write down what they were asked.
pub(crate) struct Recorder {
    pub(crate) inner: Box<dyn Hooks>,
    pub(crate) asked: Vec<Asked>,
}

impl Default for Recorder {
    fn default() -> Self {
        Self {
            inner: Box::new(NoHooks),
            asked: Vec::new(),
        }
    }
}

impl Hooks for Recorder {
    fn delay(&mut self, asked: &DelayAsked) -> DelayAnswer {
        let answer = self.inner.delay(asked);
        self.asked.push(Asked::Delay(*asked, answer));
        answer
    }

    fn choose(&mut self, asked: &ChoiceAsked) -> Choice {
        let answer = self.inner.choose(asked);
        self.asked.push(Asked::Choice(*asked, answer));
        answer
    }

    fn judge(&mut self, asked: &JudgeAsked) -> Reaction {
        let answer = self.inner.judge(asked);
        self.asked.push(Asked::Judge(*asked, answer));
        answer
    }
}
