//! A connector between a weather, a clock and a user.

use std::boxed::Box;
use std::collections::BTreeMap;
use std::future::Future;
use std::pin::pin;
use std::string::String;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use crate::attempt::AttemptId;
use crate::directory::{Endpoint, Url};
use crate::drive::{
    BuildError, Clock, Connector, Established, Event, Events, Handle, Loss, Recorder,
};
use crate::endpoint::{EndpointId, Security, Traits};
use crate::failure::{Failure, Kind, Phase};
use crate::machine::{Answer, Change, Input, Whither};
use crate::policy::Hooks;
use crate::sim::{Command, Meets, Trace, Trick, Weather};
use crate::testing::dialled::Dialled;
use crate::testing::dialled::actors::{Asking, Conn, Dialer, Shared};
use crate::testing::dialled::record::Record;
use crate::testing::{Case, ManualClock};
use crate::time::Time;

/// A connector between a weather, a clock and a user.
pub(super) struct Stage {
    pub(super) clock: ManualClock,
    record: Shared,
    events: Events,
    told: Vec<Event>,
    connector: Connector<Dialer, ManualClock>,
    handle: Handle,
    session: Option<Established<Conn>>,
    plans: BTreeMap<(Time, usize), Plan>,
    /// The id of the next endpoint that is added.
    next: u32,
    /// How often each loss is told.
    tells: u32,
    pub(super) pause: Pause,
    over: bool,
}

#[derive(Clone, Copy)]
pub(super) enum Pause {
    Said,
    Over,
}

#[derive(Clone, Copy)]
enum Plan {
    Command(Command),
    Trick(Trick),
}

impl Stage {
    pub(super) fn new(
        case: &Case,
        recorder: Recorder,
        hooks: Box<dyn Hooks + Send>,
    ) -> Result<Self, BuildError> {
        let clock = ManualClock::default();
        let empty = Trace {
            policy: Arc::clone(&case.policy),
            endpoints: case.endpoints.clone().into(),
            seed: case.seed,
            steps: Vec::new(),
        };
        let record = Shared::new(Record::new(clock.clone(), case.weather.clone(), empty));
        let dialer = Dialer {
            record: record.clone(),
            clock: clock.clone(),
        };
        let asking = Asking {
            record: record.clone(),
            inner: hooks,
        };
        let mut connector = Connector::builder(dialer, clock.clone())
            .endpoints(case.endpoints.iter().filter_map(endpoint))
            .policy(std::sync::Arc::clone(&case.policy))
            .seed(case.seed)
            .hooks(asking)
            .recorder(recorder)
            .build()?;
        let handle = connector.handle();
        let ids = case
            .endpoints
            .iter()
            .map(|traits| (name(traits.id()), traits.id()));
        record.with(|record| {
            record.names.extend(ids);
            record.told = Some((connector.events(), handle.clone()));
        });
        let commands = case
            .commands
            .iter()
            .map(|&(at, said)| (at, Plan::Command(said)));
        let tricks = case
            .tricks
            .iter()
            .map(|&(at, trick)| (at, Plan::Trick(trick)));
        let plans = commands.chain(tricks).enumerate();
        let mut stage = Self {
            clock,
            record,
            events: connector.events(),
            told: Vec::new(),
            connector,
            handle,
            session: None,
            plans: plans.map(|(n, (at, plan))| ((at, n), plan)).collect(),
            next: u32::try_from(case.endpoints.len()).unwrap_or(u32::MAX),
            tells: 1,
            pause: Pause::Over,
            over: false,
        };
        stage.tell(Input::Start);
        Ok(stage)
    }

    pub(super) fn dialled(self) -> Dialled {
        let (news, polls, faults) = self.record.with(|record| record.traces());
        Dialled {
            news,
            polls,
            faults,
            told: self.told,
            recording: self.connector.recording(),
        }
    }

    /// Lets happen what happens up to this time, but at most so many things.
    pub(super) fn run_until(&mut self, end: Time, most: usize) {
        for _ in 0..most {
            let due = self
                .record
                .with(|record| record.due.first().map(|&(at, _)| at));
            let planned = self.plans.keys().next().map(|&(at, _)| at);
            let next = [due, planned, self.clock.next(), self.session_ends()];
            let Some(next) = next.into_iter().flatten().min().filter(|next| *next <= end) else {
                break;
            };
            self.clock.advance_to(next);
            let now = self.clock.now();
            self.record
                .with(|record| record.due.retain(|(at, _)| *at > now));
            self.tell(Input::Wake);
            if self.session_ends().is_some_and(|at| at <= now) {
                self.lose();
            } else if let Some(entry) = self.plans.first_entry()
                && entry.key().0 <= now
            {
                match entry.remove() {
                    Plan::Command(command) => self.say(command),
                    Plan::Trick(trick) => self.play(trick),
                }
            }
        }
    }

    fn session_ends(&self) -> Option<Time> {
        let id = self.session.as_ref()?.id();
        self.record
            .with(|record| record.ends.get(&id).map(|&(at, ..)| at))
    }

    /// News that the connector hears when it is polled; and polls it.
    fn tell(&mut self, input: Input) {
        self.record.with(|record| record.begin(input));
        self.poll();
        self.record.with(|record| record.end_poll(input));
    }

    /// Polls, with a new future, until nothing is ready any more.
    fn poll(&mut self) {
        self.poll_all();
        let told = core::iter::from_fn(|| self.events.try_next());
        self.told.extend(told);
    }

    fn poll_all(&mut self) {
        while !self.over {
            if self.session.is_some() {
                if poll_once(self.connector.hung_up()).is_pending() {
                    return;
                }
                self.record.with(|record| record.seen());
                self.session = None;
                continue;
            }
            match poll_once(self.connector.connect()) {
                Poll::Pending => return,
                Poll::Ready(Ok(link)) => {
                    self.record
                        .with(|record| record.out = Some((link.id(), link.leave())));
                    self.session = Some(link);
                }
                Poll::Ready(Err(_)) => self.over = true,
            }
        }
    }

    /// The session ends as the weather says.
    fn lose(&mut self) {
        let Some(link) = self.session.take() else {
            return;
        };
        let id = link.id();
        let Some((_, failure, verdict)) = self.record.with(|record| record.ends.remove(&id)) else {
            return;
        };
        let failure = Failure {
            phase: failure.phase.or(Some(Phase::Session)),
            ..failure
        };
        self.record.with(|record| record.lost(id, failure, verdict));
        drop(link);
        let answer = self
            .connector
            .lost(id, Loss::from(failure).verdict(verdict));
        self.record.with(|record| record.answered(answer));
        for _ in 1..self.tells {
            self.lose_in_vain(id);
        }
        self.poll();
        let input = Input::Lost {
            attempt: id,
            failure,
            verdict,
        };
        self.record.with(|record| record.end_poll(input));
    }

    /// A report about a connection that is not in use changes nothing.
    fn lose_in_vain(&mut self, id: AttemptId) {
        let before = self.record.with(|record| record.seen());
        let answer = self.connector.lost(id, Failure::new(Kind::Reset));
        self.record.with(|record| {
            if answer == Answer::Taken || record.seen() != before {
                let fault = std::format!("a report about {id}, not in use, was {answer:?}");
                record.faults.push(fault);
            }
        });
    }

    fn say(&mut self, command: Command) {
        let input = match command {
            Command::Reconnect(whither) => {
                match whither {
                    Whither::Any => self.handle.reconnect(),
                    Whither::Other => self.handle.reconnect_other(),
                    Whither::This(id) => self.handle.reconnect_to(name(id)),
                }
                Input::Reconnect(whither)
            }
            Command::Drain => {
                let Some(link) = &self.session else {
                    return;
                };
                self.handle.drain();
                Input::Drain { attempt: link.id() }
            }
            Command::Pause => {
                self.pause = Pause::Said;
                self.handle.pause();
                Input::Pause
            }
            Command::Resume => {
                self.pause = Pause::Over;
                self.handle.resume();
                Input::Resume
            }
            Command::Change(change) => Input::Change(self.change(change)),
            // It shares nothing with others.
            Command::Rests(..) | Command::Recovered(_) | Command::Permits(_) => return,
            Command::Close => {
                self.handle.close();
                Input::Close
            }
        };
        self.tell(input);
    }

    fn change(&mut self, change: Change) -> Change {
        let (taken, change) = match change {
            Change::Add(_) => {
                let id = EndpointId::new(self.next);
                self.next += 1;
                let traits = Traits::new(id).route(Security::Tls);
                self.record.with(|record| record.names.insert(name(id), id));
                let taken = endpoint(&traits).map(|endpoint| self.handle.add(endpoint));
                (taken.unwrap_or(Ok(())), Change::Add(traits))
            }
            Change::Remove(id) => (self.handle.remove(name(id)), change),
            Change::Off(id) => (self.handle.switch_off(name(id)), change),
            Change::On(id) => (self.handle.switch_on(name(id)), change),
        };
        if let Err(error) = taken {
            let fault = std::format!("{change:?} was not taken: {error}");
            self.record.with(|record| record.faults.push(fault));
        }
        change
    }

    fn play(&mut self, trick: Trick) {
        match trick {
            Trick::Wake => self.tell(Input::Wake),
            Trick::Double => self.tells = 2,
            Trick::Stale => {
                let mut ids = self.record.with(|record| record.all_dials());
                ids.drain(..ids.len().saturating_sub(4));
                ids.extend([AttemptId::new(0), AttemptId::new(u64::MAX)]);
                let in_use = self.session.as_ref().map(|link| link.id());
                ids.retain(|id| Some(*id) != in_use);
                for id in ids {
                    self.lose_in_vain(id);
                }
            }
            Trick::Back(_) => {}
            Trick::Sleep(time) => self.clock.advance_to(self.clock.now() + time),
            Trick::Learn(security) => self.record.with(|record| {
                let learns: Vec<AttemptId> = record.in_flight().collect();
                record
                    .learns
                    .extend(learns.into_iter().map(|id| (id, security)));
            }),
        }
    }

    /// Every dial from now on is accepted at once, every connection lives on, nobody says or does
    /// anything wrong any more, and a pause ends. A mute dial stays mute.
    pub(super) fn heal(&mut self) {
        self.plans.clear();
        self.tells = 1;
        self.record.with(|record| {
            record.weather = Weather::new(Meets::ACCEPT);
            record.ends.clear();
            for meets in record.meets.values_mut() {
                if let Meets::AcceptAndDrop { after, .. } = *meets {
                    *meets = Meets::Accept { after };
                }
            }
        });
        // Also where a connection hides it.
        if let Pause::Said = self.pause {
            self.say(Command::Resume);
        }
    }
}

fn poll_once<F: Future>(future: F) -> Poll<F::Output> {
    pin!(future).poll(&mut Context::from_waker(Waker::noop()))
}

fn name(id: EndpointId) -> String {
    std::format!("e{}", id.number())
}

/// The endpoint that these traits describe. (There is always one: such names are good URLs.)
fn endpoint(traits: &Traits) -> Option<Endpoint> {
    let url = |route: u8| -> Option<Url> {
        let scheme = match traits.security(route) {
            Security::Plain => "tcp",
            Security::Tls => "tls",
        };
        let (host, port) = (name(traits.id()), u16::from(route) + 1);
        std::format!("{scheme}://{host}:{port}").parse().ok()
    };
    let mut first = Endpoint::new(url(0)?)
        .named(name(traits.id()))
        .tier(traits.in_tier())
        .weight(traits.weighs())
        .class(traits.in_class());
    if let Some(deadline) = traits.own_deadline() {
        first = first.deadline(deadline);
    }
    (1..traits.routes()).try_fold(first, |endpoint, route| Some(endpoint.or_via(url(route)?)))
}
