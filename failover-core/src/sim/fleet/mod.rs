//! Many clients, each a machine of its own, in one world of servers with limited capacity.

mod acts;

use core::time::Duration;
use std::collections::BTreeMap;
use std::hint::black_box;
use std::sync::Arc;

use crate::attempt::AttemptId;
use crate::endpoint::{EndpointId, Endpoints, Traits};
use crate::failure::{Failure, Kind, Phase};
use crate::machine::{Answer, DialOrder, Input, Machine, Outbox, Output, Status, Verdict};
use crate::policy::{Policy, Seed};
use crate::pool::Slot;
use crate::sim::client::{Body, Client, Dialed, Entered, How, long, seed_of, short};
use crate::sim::queue::Queue;
use crate::sim::server::{Deed, Meeting, Server, Serving};
use crate::sim::trace::Asked;
use crate::sim::weather::Meets;
use crate::sim::word::{Whom, Word};
use crate::sim::world::Recorder;
use crate::time::Time;

/// Many clients in one world, on one virtual clock. One client is only a fleet of one.
///
/// Everything that happens to a client is shown to a watcher as a [`Moment`], so that a fleet of a
/// million keeps no history.
///
/// ```
/// use std::time::Duration;
/// use failover_core::endpoint::{EndpointId, Security, Traits};
/// use failover_core::policy::{Policy, Seed};
/// use failover_core::sim::{Deed, Fleet, Meets, Server};
/// use failover_core::time::Time;
///
/// // A hundred clients of one server, which is away for ten seconds.
/// let server = Server::new(Traits::new(EndpointId::new(0)).route(Security::Plain));
/// let mut fleet = Fleet::new(Policy::default(), vec![server], 100, Seed::new(7));
/// let second = |n| Time::ZERO + Duration::from_secs(n);
/// fleet.deed(second(60), 0, Deed::Meets(Meets::REFUSE));
/// fleet.deed(second(60), 0, Deed::RESET);
/// fleet.deed(second(70), 0, Deed::Meets(Meets::ACCEPT));
/// fleet.start();
/// let mut dials = 0;
/// fleet.run_until(second(120), u64::MAX, &mut |_, moment| dials += moment.dials().count());
/// assert_eq!(fleet.connected(), 100);
/// assert!((500..2000).contains(&dials), "{dials}");
/// ```
pub struct Fleet {
    clients: Vec<Client>,
    /// The slots of the machines that rest, as many for each client as the list has endpoints.
    slots: Vec<Slot>,
    /// The machine at work: one after the other, each client's is that.
    machine: Machine,
    /// Room for those that do not fit among the resting ones.
    #[expect(clippy::vec_box, reason = "they are exchanged with those of clients")]
    spare: Vec<Box<Machine>>,
    /// The lists of the clients that have another than the configured one, by the endpoint's id.
    own_lists: BTreeMap<u32, Vec<Entered>>,
    servers: Vec<Serving>,
    policy: Arc<Policy>,
    endpoints: Endpoints,
    /// The list that every client begins with.
    configured: Vec<Entered>,
    /// The seed of the first client.
    seed: Seed,
    /// What the dials in flight and the connections have met or will meet.
    meetings: Vec<Meets>,
    /// The lists that servers will push.
    lists: Vec<Vec<usize>>,
    /// What the world does, beside what happens to single clients.
    acts: Vec<Act>,
    plans: Queue<Plan>,
    now: Time,
    hooks: Recorder,
    out: Outbox,
}

/// One call of one client's [`Machine::handle`], and what came of it.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Moment<'a> {
    /// When.
    pub at: Time,
    /// Which client, from 0.
    pub client: usize,
    /// The news.
    pub input: Input,
    /// What became of it.
    pub answer: Answer,
    /// What the hooks were asked meanwhile. A fleet has none: they answered as suggested.
    pub asked: &'a [Asked],
    /// The work that followed.
    pub outputs: &'a [Output],
    /// When the machine wants to be woken afterwards.
    pub wake: Option<Time>,
    /// What it does afterwards.
    pub status: Status,
}

impl Moment<'_> {
    /// The dials that were ordered.
    pub fn dials(&self) -> impl Iterator<Item = &DialOrder> {
        self.outputs.iter().filter_map(|output| match output {
            Output::Dial(order) => Some(order),
            Output::Cancel(_) | Output::HangUp { .. } | Output::Event(_) => None,
        })
    }
}

/// What is shown to the watcher of a [`Fleet`].
pub type Watch<'a> = dyn FnMut(&Fleet, &Moment<'_>) + 'a;

/// Small: there are millions.
#[derive(Clone, Copy, Debug)]
enum Plan {
    Start(u32),
    Wake(u32),
    /// The dial of this client that is answered now.
    Report(u32),
    /// The connection of this client that ends now.
    Drop(u32),
    Act(u32),
}

/// What the world does.
#[derive(Clone, Copy, Debug)]
enum Act {
    Word(Whom, Word),
    Deed(usize, Deed),
    Push(usize, usize),
}

impl core::fmt::Debug for Fleet {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Fleet")
            .field("now", &self.now)
            .field("clients", &self.clients.len())
            .field("servers", &self.servers)
            .finish_non_exhaustive()
    }
}

impl Fleet {
    /// A fleet at time zero. Nothing happens before [`start`](Self::start). The first client has
    /// this seed, every other one a seed that follows from it.
    #[must_use]
    pub fn new(
        policy: impl Into<Arc<Policy>>,
        servers: Vec<Server>,
        clients: usize,
        seed: Seed,
    ) -> Self {
        let policy = policy.into();
        let listed = servers.iter().enumerate().filter(|(_, s)| s.configured);
        let configured: Vec<Entered> = listed
            .map(|(server, _)| Entered {
                server,
                how: How::Configured,
            })
            .collect();
        let traits = |(id, entered): (usize, &Entered)| servers[entered.server].traits_as(id);
        let endpoints: Vec<Traits> = configured.iter().enumerate().map(traits).collect();
        let endpoints = Endpoints::from(endpoints);
        let new = |number| {
            let (policy, seed) = (Arc::clone(&policy), seed_of(seed, number));
            Machine::new(policy, endpoints.clone(), seed)
        };
        let mut fleet = Self {
            clients: Vec::with_capacity(clients),
            slots: Vec::with_capacity(clients.saturating_mul(endpoints.len())),
            machine: new(0),
            spare: Vec::new(),
            own_lists: BTreeMap::new(),
            servers: servers.into_iter().map(Serving::new).collect(),
            policy: Arc::clone(&policy),
            endpoints: endpoints.clone(),
            configured,
            seed,
            meetings: vec![Meeting::CROWDED.meets, Meeting::ACCEPT.meets],
            lists: Vec::new(),
            acts: Vec::new(),
            plans: Queue::new(),
            now: Time::ZERO,
            hooks: Recorder::default(),
            out: Outbox::default(),
        };
        for number in 0..clients {
            let slots = (0..fleet.endpoints.len()).map(Slot::new);
            fleet.slots.extend(slots);
            let mut machine = fleet.spare.pop().unwrap_or_else(|| Box::new(new(number)));
            *machine = new(number);
            fleet.clients.push(Client::new(Body::Whole(machine)));
            fleet.rouse(number);
            fleet.settle(number);
        }
        fleet
    }

    /// This server will do this at that time. What is planned first for one time is done first;
    /// what is said of a server or client that is not there is not heard.
    pub fn deed(&mut self, at: Time, server: usize, deed: Deed) {
        if server < self.servers.len() {
            self.act(at, Act::Deed(server, deed));
        }
    }

    /// This server will push this list of servers to its clients: they add those that they do not
    /// know, and remove those that they know from such a list only and that are not in it.
    pub fn push(&mut self, at: Time, server: usize, list: impl IntoIterator<Item = usize>) {
        let all = self.servers.len();
        if server < all {
            let list = list.into_iter().filter(|named| *named < all).collect();
            self.lists.push(list);
            self.act(at, Act::Push(server, self.lists.len() - 1));
        }
    }

    /// This will be said at that time.
    pub fn word(&mut self, at: Time, whom: Whom, word: Word) {
        let known = match whom {
            Whom::All => true,
            Whom::Client(client) => client < self.clients.len(),
        };
        if known
            && word
                .server()
                .is_none_or(|server| server < self.servers.len())
        {
            self.act(at, Act::Word(whom, word));
        }
    }

    /// Every client begins now.
    pub fn start(&mut self) {
        self.start_over(Duration::ZERO);
    }

    /// The clients begin one after the other, evenly over this time.
    pub fn start_over(&mut self, spread: Duration) {
        let all = u128::try_from(self.clients.len())
            .unwrap_or(u128::MAX)
            .max(1);
        for client in 0..self.clients.len() {
            let part = spread.as_nanos() * u128::try_from(client).unwrap_or(0) / all;
            let after = Duration::from_nanos(u64::try_from(part).unwrap_or(u64::MAX));
            self.plans
                .push(self.now + after, Plan::Start(short(client)));
        }
    }

    /// Lets happen what happens up to this time, but at most so many things; says how many did.
    pub fn run_until(&mut self, end: Time, most: u64, watch: &mut Watch<'_>) -> u64 {
        let mut done = 0;
        while done < most {
            let (clients, slots, each) = (&self.clients, &self.slots, self.endpoints.len());
            let soon = |plan: &Plan| look_at(clients, slots, each, plan);
            let Some((at, plan)) = self.plans.pop(end, soon) else {
                break;
            };
            self.now = self.now.max(at);
            self.carry_out(plan, watch);
            done += 1;
        }
        done
    }

    /// What time it is: that of the last thing that happened.
    #[must_use]
    pub fn now(&self) -> Time {
        self.now
    }

    /// How many clients are connected.
    #[must_use]
    pub fn connected(&self) -> usize {
        let connected = |client: &&Client| client.connection().is_some();
        self.clients.iter().filter(connected).count()
    }

    /// The seed of this client.
    #[must_use]
    pub fn seed(&self, client: usize) -> Option<Seed> {
        (client < self.clients.len()).then(|| seed_of(self.seed, client))
    }

    /// The list that every client begins with.
    #[must_use]
    pub fn endpoints(&self) -> &Endpoints {
        &self.endpoints
    }

    /// Which server this client means by this endpoint.
    #[must_use]
    pub fn server(&self, client: usize, endpoint: EndpointId) -> Option<usize> {
        let id = usize::try_from(endpoint.number()).ok()?;
        let list = (client < self.clients.len()).then(|| self.list_of(client))?;
        Some(list.get(id)?.server)
    }

    /// How many connections this server holds.
    #[must_use]
    pub fn load(&self, server: usize) -> usize {
        let live = self.servers.get(server).map_or(0, |server| server.live);
        usize::try_from(live).unwrap_or(usize::MAX)
    }

    fn act(&mut self, at: Time, act: Act) {
        let number = short(self.acts.len());
        self.acts.push(act);
        self.plans.push(at, Plan::Act(number));
    }

    fn carry_out(&mut self, plan: Plan, watch: &mut Watch<'_>) {
        match plan {
            Plan::Start(client) => self.tell(long(client), Input::Start, watch),
            Plan::Wake(client) => {
                let client = long(client);
                if self.clients[client].wake == self.now {
                    self.clients[client].wake = Time::MAX;
                    self.tell(client, Input::Wake, watch);
                }
            }
            Plan::Report(client) => self.report(long(client), watch),
            Plan::Drop(client) => self.drop(long(client), watch),
            Plan::Act(number) => self.carry_out_act(self.acts[long(number)], watch),
        }
    }

    /// The answer to a dial, unless nobody waits for it any more.
    fn report(&mut self, client: usize, watch: &mut Watch<'_>) {
        let (dialed, now) = (&mut self.clients[client].dialed, self.now);
        let Some(flight) = dialed.take(|it| it.until == now && !it.is_open()) else {
            return;
        };
        let attempt = flight.attempt;
        match self.meetings[long(flight.meets)] {
            Meets::Accept { .. } => self.accept(client, flight, None, watch),
            Meets::AcceptAndDrop { lives, .. } => self.accept(client, flight, Some(lives), watch),
            Meets::Fail { failure, .. } => {
                self.tell(client, Input::Failed { attempt, failure }, watch);
            }
            Meets::Mute => {}
        }
    }

    fn accept(
        &mut self,
        client: usize,
        flight: Dialed,
        lives: Option<Duration>,
        watch: &mut Watch<'_>,
    ) {
        let attempt = flight.attempt;
        let server = &mut self.servers[flight.server()];
        if server.is_full() {
            let failure = Failure::new(Kind::Refused).at(Phase::Login);
            return self.tell(client, Input::Failed { attempt, failure }, watch);
        }
        server.live += 1;
        let end = lives.map_or(Time::MAX, |lives| self.now + lives);
        self.clients[client].dialed.push(flight.opened(end));
        if end < Time::MAX {
            self.plans.push(end, Plan::Drop(short(client)));
        }
        self.tell(client, Input::Connected { attempt }, watch);
    }

    /// A connection that was to live only for a while.
    fn drop(&mut self, client: usize, watch: &mut Watch<'_>) {
        let (now, mut open) = (self.now, self.clients[client].connections());
        let Some(ended) = open.find(|connection| connection.until == now).copied() else {
            return;
        };
        drop(open);
        if let Meets::AcceptAndDrop {
            failure, verdict, ..
        } = self.meetings[long(ended.meets)]
        {
            self.lose(client, ended.attempt, failure, verdict, watch);
        }
    }

    fn lose(
        &mut self,
        client: usize,
        attempt: AttemptId,
        failure: Failure,
        verdict: Verdict,
        watch: &mut Watch<'_>,
    ) {
        if self.forget(client, attempt) {
            let lost = Input::Lost {
                attempt,
                failure,
                verdict,
            };
            self.tell(client, lost, watch);
        }
    }

    /// Whether this connection stood until now.
    fn forget(&mut self, client: usize, attempt: AttemptId) -> bool {
        let dialed = &mut self.clients[client].dialed;
        let Some(connection) = dialed.take(|it| it.attempt == attempt && it.is_open()) else {
            return false;
        };
        self.servers[connection.server()].live -= 1;
        true
    }

    fn list_of(&self, client: usize) -> &[Entered] {
        if self.own_lists.is_empty() {
            return &self.configured;
        }
        let own = self.own_lists.get(&short(client));
        own.unwrap_or(&self.configured)
    }

    fn own_list(&mut self, client: usize) -> &mut Vec<Entered> {
        let configured = &self.configured;
        let own = self.own_lists.entry(short(client));
        own.or_insert_with(|| configured.clone())
    }

    /// This client's machine is the one at work.
    fn rouse(&mut self, client: usize) {
        let each = self.endpoints.len();
        match &mut self.clients[client].machine {
            Body::Resting(rest) => {
                let slots = &mut self.slots[client * each..][..each];
                self.machine.rise(rest, slots, self.now);
            }
            Body::Whole(machine) => core::mem::swap(&mut self.machine, machine),
        }
    }

    /// The machine at work, this client's, has done its work.
    fn settle(&mut self, client: usize) {
        let each = self.endpoints.len();
        let slots = &mut self.slots[client * each..][..each];
        let body = &mut self.clients[client].machine;
        match (self.machine.rest(&self.endpoints, slots), body) {
            (Some(rest), body) => {
                if let Body::Whole(spare) = core::mem::replace(body, Body::Resting(rest)) {
                    self.spare.push(spare);
                }
            }
            (None, Body::Whole(machine)) => core::mem::swap(&mut self.machine, machine),
            (None, body) => {
                let new = || {
                    let policy = Arc::clone(&self.policy);
                    Box::new(Machine::new(policy, self.endpoints.clone(), self.seed))
                };
                let mut machine = self.spare.pop().unwrap_or_else(new);
                core::mem::swap(&mut self.machine, &mut machine);
                *body = Body::Whole(machine);
            }
        }
    }

    fn tell(&mut self, client: usize, input: Input, watch: &mut Watch<'_>) {
        let mut out = core::mem::take(&mut self.out);
        let now = self.now;
        self.rouse(client);
        let answer = self.machine.handle(input, &mut self.hooks, &mut out, now);
        let (wake, status) = (self.machine.next_wake(), self.machine.status());
        self.settle(client);
        if let (Input::Connected { attempt }, Answer::Stale | Answer::Closed) = (input, answer) {
            // The driver drops what nobody wants.
            self.forget(client, attempt);
        }
        for output in out.as_slice() {
            self.work(client, output);
        }
        self.plan_wake(client, wake.map(|at| at.max(now)));
        let mut asked = core::mem::take(&mut self.hooks.asked);
        let moment = Moment {
            at: now,
            client,
            input,
            answer,
            asked: &asked,
            outputs: out.as_slice(),
            wake,
            status,
        };
        watch(self, &moment);
        asked.clear();
        self.hooks.asked = asked;
        out.drain();
        self.out = out;
    }

    /// A wake-up after the answer to a dial is planned when that has come.
    fn plan_wake(&mut self, client: usize, wake: Option<Time>) {
        let this = &mut self.clients[client];
        let answered = this.flights().map(|flight| flight.until).min();
        let wake = wake.filter(|wake| answered.is_none_or(|answered| *wake < answered));
        let wake = wake.unwrap_or(Time::MAX);
        if this.wake != wake {
            this.wake = wake;
            if wake < Time::MAX {
                self.plans.push(wake, Plan::Wake(short(client)));
            }
        }
    }

    fn work(&mut self, client: usize, output: &Output) {
        match *output {
            Output::Dial(order) => self.dial(client, &order),
            Output::Cancel(attempt) => {
                let dialed = &mut self.clients[client].dialed;
                dialed.retain(|it| it.attempt != attempt || it.is_open());
            }
            Output::HangUp { attempt, .. } => {
                self.forget(client, attempt);
            }
            Output::Event(_) => {}
        }
    }

    fn dial(&mut self, client: usize, order: &DialOrder) {
        let attempt = order.attempt;
        let Some(server) = self.server(client, order.endpoint) else {
            return;
        };
        let (meeting, after) = self.servers[server].answer(client, order.route, self.now);
        let answered = after.map_or(Time::MAX, |after| self.now + after);
        let flight = Dialed::new(attempt, server, meeting.place, answered);
        self.clients[client].dialed.push(flight);
        if answered != Time::MAX {
            self.plans.push(answered, Plan::Report(short(client)));
        }
    }
}

/// Reads a little of a client that is wanted in a moment, so that it is in the cache by then: of
/// several that lie far apart, all are on their way at once.
fn look_at(clients: &[Client], slots: &[Slot], each: usize, plan: &Plan) {
    if let Plan::Wake(number) | Plan::Report(number) = plan
        && let Some(client) = clients.get(long(*number))
    {
        black_box(slots.get(long(*number) * each).map(Slot::floor));
        black_box((client.wake, client.dialed.len()));
        if let Body::Resting(rest) = &client.machine {
            black_box(rest.glance());
        }
    }
}
