//! The account of what a connector did, kept by those whom it did it to.

use std::collections::{BTreeMap, BTreeSet};
use std::string::{String, ToString};

use crate::attempt::{AttemptId, Purpose, Role};
use crate::dial::DialContext;
use crate::directory::Target;
use crate::drive::{Attempt, Clock, Events, Handle, Leave, NextDial, What};
use crate::drive::{Link as NamedLink, Status as NamedStatus};
use crate::endpoint::{EndpointId, Security};
use crate::failure::{Failure, Kind, Phase};
use crate::machine::{
    Answer, AttemptEnded, DialOrder, Event, Input, Link, Output, Planned, Status, Verdict,
};
use crate::sim::{Asked, Meets, Step, Trace, Weather};
use crate::testing::ManualClock;
use crate::time::Time;

/// Written by the dialer, the hooks, the connections and the event stream, in the order of what
/// happens: whoever writes takes in first what the event stream has told meanwhile.
pub(super) struct Record {
    clock: ManualClock,
    /// What the connector tells; there as soon as it is.
    pub(super) told: Option<(Events, Handle)>,
    pub(super) weather: Weather,
    pub(super) names: BTreeMap<String, EndpointId>,
    /// When dials in flight will be answered.
    pub(super) due: BTreeSet<(Time, AttemptId)>,
    /// What dials in flight meet.
    pub(super) meets: BTreeMap<AttemptId, Meets>,
    /// How connections that were accepted will end.
    pub(super) ends: BTreeMap<AttemptId, (Time, Failure, Verdict)>,
    /// What dials in flight will learn.
    pub(super) learns: BTreeMap<AttemptId, Security>,
    /// The connection that is in use.
    pub(super) out: Option<(AttemptId, Leave)>,
    /// What was told otherwise than it was.
    pub(super) faults: Vec<String>,
    dials: BTreeMap<AttemptId, (DialOrder, End)>,
    open: BTreeSet<AttemptId>,
    main: Option<Link>,
    news: Trace,
    polls: Trace,
    step: Step,
    /// How many of the steps belong to polls that are over.
    polled: usize,
}

/// How the dialer saw a dial end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    NotYet,
    Answered,
    Dropped,
}

impl Record {
    pub(super) fn new(clock: ManualClock, weather: Weather, empty: Trace) -> Self {
        Self {
            step: step(Input::Wake, clock.now()),
            clock,
            told: None,
            weather,
            names: BTreeMap::new(),
            due: BTreeSet::new(),
            meets: BTreeMap::new(),
            ends: BTreeMap::new(),
            learns: BTreeMap::new(),
            out: None,
            faults: Vec::new(),
            dials: BTreeMap::new(),
            open: BTreeSet::new(),
            main: None,
            polls: empty.clone(),
            news: empty,
            polled: 0,
        }
    }

    /// News for the connector: what is seen from now on follows from it.
    pub(super) fn begin(&mut self, input: Input) {
        self.listen();
        self.finish(input);
    }

    /// What became of the news.
    pub(super) fn answered(&mut self, answer: Answer) {
        self.step.answer = answer;
    }

    /// A poll is over; this news had been told before it.
    pub(super) fn end_poll(&mut self, input: Input) {
        self.begin(Input::Wake);
        let wake = self.clock.next();
        let status = self.status();
        let mut whole = step(input, self.clock.now());
        (whole.wake, whole.status) = (wake, status);
        for step in self.news.steps.get_mut(self.polled..).unwrap_or_default() {
            step.wake = wake;
            whole.asked.extend(&step.asked);
            whole.outputs.extend(&step.outputs);
        }
        self.polled = self.news.steps.len();
        self.polls.steps.push(whole);
    }

    /// A dial begins, and it is answered then; never, if it meets silence.
    pub(super) fn dial(&mut self, to: &Target, cx: &DialContext) -> Option<Time> {
        let now = self.clock.now();
        let order = DialOrder {
            attempt: cx.attempt(),
            endpoint: self.id(to),
            route: to.route(),
            role: match cx.purpose() {
                Purpose::Probe => Role::Probe,
                Purpose::Spare => Role::Spare,
                Purpose::First | Purpose::Reconnect | Purpose::Failover => Role::Main,
            },
            purpose: cx.purpose(),
            number: cx.number(),
            deadline: now + cx.remaining(),
        };
        self.output(Output::Dial(order));
        self.dials.insert(order.attempt, (order, End::NotYet));
        let meets = self.weather.meets(order.endpoint, order.route, now);
        let after = match meets {
            Meets::Accept { after }
            | Meets::AcceptAndDrop { after, .. }
            | Meets::Fail { after, .. } => Some(now + after),
            Meets::Mute => None,
        };
        self.meets.insert(order.attempt, meets);
        self.due.extend(after.map(|at| (at, order.attempt)));
        after
    }

    /// The dialer answers; what the dial has learned is told first.
    pub(super) fn answer(&mut self, attempt: AttemptId, outcome: Result<(), Failure>) {
        if let Some((_, end)) = self.dials.get_mut(&attempt) {
            *end = End::Answered;
        }
        match outcome {
            Ok(()) => {
                self.open.insert(attempt);
                self.begin(Input::Connected { attempt });
            }
            Err(failure) => self.begin(Input::Failed { attempt, failure }),
        }
    }

    /// The dialer's future was dropped.
    pub(super) fn dropped(&mut self, attempt: AttemptId) {
        self.listen();
        self.due.retain(|(_, id)| *id != attempt);
        self.meets.remove(&attempt);
        if let Some((_, end @ End::NotYet)) = self.dials.get_mut(&attempt) {
            *end = End::Dropped;
        }
    }

    /// A connection was dropped by the connector.
    pub(super) fn hung_up(&mut self, attempt: AttemptId) {
        self.listen();
        if self.open.remove(&attempt) {
            let grace = std::time::Duration::ZERO;
            self.step.outputs.push(Output::HangUp { attempt, grace });
        }
    }

    /// A connection is lost; the connector will be told.
    pub(super) fn lost(&mut self, attempt: AttemptId, failure: Failure, verdict: Verdict) {
        self.begin(Input::Lost {
            attempt,
            failure,
            verdict,
        });
        self.out = None;
        self.open.remove(&attempt);
    }

    /// A hook was asked.
    pub(super) fn asked(&mut self, asked: Asked) {
        self.listen();
        let late = self
            .dials
            .values()
            .find(|(order, end)| *end == End::Dropped && order.deadline <= self.clock.now());
        if let Some(&(order, _)) = late {
            self.timed_out(order.attempt);
        } else if !self.step.outputs.is_empty() {
            // The machine was told something that is not seen from outside: the time.
            self.finish(Input::Wake);
        }
        self.step.asked.push(asked);
    }

    /// How many things were seen so far.
    pub(super) fn seen(&mut self) -> usize {
        self.listen();
        let steps = self.news.steps.iter().chain([&self.step]);
        steps
            .map(|step| step.outputs.len() + step.asked.len())
            .sum()
    }

    pub(super) fn in_flight(&self) -> impl Iterator<Item = AttemptId> {
        let open = self
            .dials
            .iter()
            .filter(|(_, (_, end))| *end == End::NotYet);
        open.map(|(attempt, _)| *attempt)
    }

    /// Every dial so far.
    pub(super) fn all_dials(&self) -> Vec<AttemptId> {
        self.news.dials().map(|(_, order)| order.attempt).collect()
    }

    pub(super) fn traces(&self) -> (Trace, Trace, Vec<String>) {
        (self.news.clone(), self.polls.clone(), self.faults.clone())
    }

    fn output(&mut self, output: Output) {
        self.listen();
        self.step.outputs.push(output);
    }

    fn finish(&mut self, input: Input) {
        let status = self.status();
        let next = step(input, self.clock.now());
        let mut done = core::mem::replace(&mut self.step, next);
        if let Status::Closed(_) = status {
            self.step.answer = Answer::Closed;
        }
        done.status = status;
        let empty = done.outputs.is_empty() && done.asked.is_empty();
        if done.input != Input::Wake || !empty {
            self.news.steps.push(done);
        }
    }

    /// A dial was dropped because its deadline has passed.
    fn timed_out(&mut self, attempt: AttemptId) {
        if let Some((_, end)) = self.dials.get_mut(&attempt) {
            *end = End::Answered;
        }
        let failure = Failure::new(Kind::Timeout).at(Phase::Connect);
        self.finish(Input::Failed { attempt, failure });
    }

    /// Takes in what the event stream has told.
    fn listen(&mut self) {
        if let Some((attempt, _)) = self.out.take_if(|(_, leave)| leave.is_asked())
            && self.open.remove(&attempt)
        {
            let grace = std::time::Duration::ZERO;
            self.step.outputs.push(Output::HangUp { attempt, grace });
        }
        while let Some(event) = self.told.as_mut().and_then(|(events, _)| events.try_next()) {
            self.hear(event.what);
        }
    }

    fn hear(&mut self, what: What) {
        let event = match what {
            What::Attempt(attempt) => match self.ended(&attempt) {
                Some(event) => event,
                None => return,
            },
            // No word of the machine's: the gate stands before it.
            What::Held { .. } => return,
            What::Connected(link) => Event::Connected(self.stands(&link)),
            What::Reconnected(link) => Event::Reconnected(self.stands(&link)),
            What::FailedOver { to, from } => Event::FailedOver {
                to: self.stands(&to),
                from: self.named(from.name()),
            },
            What::Moved { to, from, why } => Event::Moved {
                to: self.stands(&to),
                from: self.named(from.name()),
                why,
            },
            What::Disconnected {
                link,
                why,
                lived,
                next,
                ..
            } => Event::Disconnected {
                link: self.link(&link),
                why,
                lived,
                next: next.map(|next| self.planned(&next)),
            },
            What::SessionGone => Event::SessionGone,
            What::Switching { from, why } => Event::Switching {
                from: self.link(&from),
                why,
            },
            What::Draining { link, after } => Event::Draining {
                link: self.link(&link),
                after,
            },
            What::Suspended { endpoint, until } => Event::Suspended {
                endpoint: self.named(endpoint.name()),
                until,
            },
            What::SpareReady(link) => Event::SpareReady(self.link(&link)),
            What::SpareLost { link, failure } => Event::SpareLost {
                link: self.link(&link),
                failure,
            },
            What::Starved => Event::Starved,
            What::Closed(reason) => Event::Closed(reason),
            What::ListChanged { .. }
            | What::ListRefused { .. }
            | What::Discovered { .. }
            | What::LateReport { .. }
            | What::NotDriven
            | What::HookPanicked { .. } => return,
        };
        self.step.outputs.push(Output::Event(event));
    }

    /// The end of a dial is told: is it as the dialer saw it?
    fn ended(&mut self, told: &Attempt) -> Option<Event> {
        let outcome = match &told.outcome {
            Ok(()) => Ok(()),
            Err(error) => Err(error.failure),
        };
        let cancelled = outcome.is_err_and(|failure| failure.kind == Kind::Cancelled);
        let Some((order, end)) = self.dials.remove(&told.id) else {
            // Ordered and cancelled before it was polled: nobody dialled.
            if !cancelled {
                let fault = std::format!("{} is told as {outcome:?}, never dialled", told.id);
                self.faults.push(fault);
            }
            return None;
        };
        match (end, cancelled) {
            (End::Dropped, true) => self.step.outputs.push(Output::Cancel(told.id)),
            (End::Dropped, false) => self.timed_out(told.id),
            (End::Answered, false) => {}
            (End::NotYet, _) | (End::Answered, true) => {
                let fault = std::format!("{} is told as {outcome:?}, it was {end:?}", told.id);
                self.faults.push(fault);
            }
        }
        let order = DialOrder {
            attempt: told.id,
            endpoint: self.id(&told.target),
            route: told.target.route(),
            purpose: told.purpose,
            number: told.number,
            ..order
        };
        let next = told.next.as_ref().map(|next| self.planned(next));
        Some(Event::Attempt(AttemptEnded {
            order,
            outcome,
            took: told.took,
            next,
        }))
    }

    fn stands(&mut self, link: &NamedLink) -> Link {
        let link = self.link(link);
        self.main = Some(link);
        link
    }

    fn link(&mut self, link: &NamedLink) -> Link {
        Link {
            attempt: link.id,
            endpoint: self.id(&link.target),
            route: link.target.route(),
        }
    }

    fn planned(&mut self, next: &NextDial) -> Planned {
        Planned {
            endpoint: self.id(&next.target),
            route: next.target.route(),
            wait: next.wait,
        }
    }

    fn status(&self) -> Status {
        let Some((_, handle)) = &self.told else {
            return Status::Idle;
        };
        let id = |target: &Target| self.names.get(target.endpoint().name()).copied();
        let named = match handle.status() {
            NamedStatus::Waiting { target, until } => {
                id(&target).map(|endpoint| Status::Waiting { endpoint, until })
            }
            NamedStatus::Dialing { target } | NamedStatus::Held { target, .. } => {
                id(&target).map(|endpoint| Status::Dialing { endpoint })
            }
            NamedStatus::Connected { since, .. } => {
                self.main.map(|link| Status::Connected { link, since })
            }
            NamedStatus::Paused => Some(Status::Paused),
            NamedStatus::Starved => Some(Status::Starved),
            NamedStatus::Closed(reason) => Some(Status::Closed(reason)),
            NamedStatus::Idle | NamedStatus::Dropped => None,
        };
        named.unwrap_or(Status::Idle)
    }

    fn id(&mut self, target: &Target) -> EndpointId {
        self.named(target.endpoint().name())
    }

    fn named(&mut self, name: &str) -> EndpointId {
        self.names.get(name).copied().unwrap_or_else(|| {
            self.faults.push("an unknown name: ".to_string() + name);
            EndpointId::new(u32::MAX)
        })
    }
}

fn step(input: Input, at: Time) -> Step {
    Step {
        at,
        input,
        answer: Answer::Taken,
        asked: Vec::new(),
        outputs: Vec::new(),
        wake: None,
        status: Status::Idle,
    }
}
