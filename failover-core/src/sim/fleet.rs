//! Many clients, each a machine of its own, in one world of servers with limited capacity.

use core::time::Duration;
use std::collections::BTreeSet;
use std::hint::black_box;
use std::sync::Arc;

use crate::attempt::AttemptId;
use crate::endpoint::{EndpointId, Endpoints, Traits};
use crate::failure::{Failure, Kind, Phase};
use crate::few::Few;
use crate::machine::{
    Answer, Change, DialOrder, Input, Machine, Outbox, Output, Status, Verdict, Whither,
};
use crate::policy::{Policy, Seed};
use crate::random::mix;
use crate::sim::queue::Queue;
use crate::sim::server::{Deed, Meeting, Server, Serving};
use crate::sim::trace::Asked;
use crate::sim::weather::Meets;
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
    servers: Vec<Serving>,
    endpoints: Endpoints,
    /// The list that every client begins with; its seed follows from this one.
    configured: Vec<Entered>,
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

/// Whom a command is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whom {
    /// Every client.
    All,
    /// This one, from 0.
    Client(usize),
}

/// A word of a user to a client, or of the network. Servers are named by their place in the fleet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Word {
    /// Reconnect, wherever the policy says.
    Reconnect,
    /// Reconnect to another server.
    ReconnectElsewhere,
    /// Reconnect to this server.
    ReconnectTo(usize),
    /// The connection's server drains.
    Drain,
    /// Start no dials.
    Pause,
    /// The pause is over, or the network is back.
    Resume,
    /// This server joins the list, if it is not in it.
    Add(usize),
    /// This server leaves the list.
    Remove(usize),
    /// This server is switched off.
    Off(usize),
    /// This server is switched on.
    On(usize),
    /// End.
    Close,
}

impl Word {
    /// The server that it names.
    #[must_use]
    pub const fn server(self) -> Option<usize> {
        match self {
            Self::ReconnectTo(server)
            | Self::Add(server)
            | Self::Remove(server)
            | Self::Off(server)
            | Self::On(server) => Some(server),
            Self::Reconnect
            | Self::ReconnectElsewhere
            | Self::Drain
            | Self::Pause
            | Self::Resume
            | Self::Close => None,
        }
    }
}

struct Client {
    machine: Machine,
    /// When it will be woken, if no dial is answered before: other wake-ups that are planned for it
    /// are void.
    wake: Option<Time>,
    in_flight: Few<Dialed>,
    open: Few<Dialed>,
    /// Its own list by the endpoint's id, once that is another than the configured one.
    #[expect(
        clippy::box_collection,
        reason = "16 bytes less in each of a million clients"
    )]
    list: Option<Box<Vec<Entered>>>,
}

/// Which server an endpoint is, and how it came into the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Entered {
    server: usize,
    how: How,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum How {
    Configured,
    Learned,
    Gone,
}

/// A dial in flight, or the connection that came of it. Small: there are millions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Dialed {
    attempt: AttemptId,
    server: u32,
    /// Its place among the meetings.
    meets: u32,
    /// When the client hears of it.
    answered: Time,
}

/// Small: there are millions.
#[derive(Clone, Copy, Debug)]
enum Plan {
    Start(u32),
    Wake(u32),
    Report(u32, AttemptId),
    Drop(u32, AttemptId),
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
        let client = |number| Client {
            machine: Machine::new(
                Arc::clone(&policy),
                endpoints.clone(),
                seed_of(seed, number),
            ),
            wake: None,
            in_flight: Few::None,
            open: Few::None,
            list: None,
        };
        Self {
            clients: (0..clients).map(client).collect(),
            servers: servers.into_iter().map(Serving::new).collect(),
            endpoints,
            configured,
            seed,
            meetings: vec![Meeting::CROWDED.meets, Meeting::ACCEPT.meets],
            lists: Vec::new(),
            acts: Vec::new(),
            plans: Queue::new(),
            now: Time::ZERO,
            hooks: Recorder::default(),
            out: Outbox::default(),
        }
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
            let clients = &self.clients;
            let Some((at, plan)) = self.plans.pop(end, |soon| look_at(clients, soon)) else {
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
        let connected =
            |client: &&Client| matches!(client.machine.status(), Status::Connected { .. });
        self.clients.iter().filter(connected).count()
    }

    /// The machine of this client.
    #[must_use]
    pub fn machine(&self, client: usize) -> Option<&Machine> {
        Some(&self.clients.get(client)?.machine)
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
        Some(self.list_of(self.clients.get(client)?).get(id)?.server)
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
                if self.clients[client].wake == Some(self.now) {
                    self.clients[client].wake = None;
                    self.tell(client, Input::Wake, watch);
                }
            }
            Plan::Report(client, attempt) => self.report(long(client), attempt, watch),
            Plan::Drop(client, attempt) => self.drop(long(client), attempt, watch),
            Plan::Act(number) => self.carry_out_act(self.acts[long(number)], watch),
        }
    }

    fn carry_out_act(&mut self, act: Act, watch: &mut Watch<'_>) {
        match act {
            Act::Word(Whom::Client(client), word) => self.say(client, word, watch),
            Act::Word(Whom::All, word) => {
                for client in 0..self.clients.len() {
                    self.say(client, word, watch);
                }
            }
            Act::Deed(server, deed) => self.do_deed(server, deed, watch),
            Act::Push(server, list) => {
                let list = core::mem::take(&mut self.lists[list]);
                let clients: BTreeSet<usize> = self
                    .live(server)
                    .iter()
                    .map(|(client, _)| *client)
                    .collect();
                for client in clients {
                    self.learn(client, &list, watch);
                }
            }
        }
    }

    /// The answer to a dial, unless nobody waits for it any more.
    fn report(&mut self, client: usize, attempt: AttemptId, watch: &mut Watch<'_>) {
        let flights = &mut self.clients[client].in_flight;
        let Some(flight) = flights.take(|flight| flight.attempt == attempt) else {
            return;
        };
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
        let server = &mut self.servers[long(flight.server)];
        if server.is_full() {
            let failure = Failure::new(Kind::Refused).at(Phase::Login);
            return self.tell(client, Input::Failed { attempt, failure }, watch);
        }
        server.live += 1;
        self.clients[client].open.push(flight);
        if let Some(lives) = lives {
            let end = Plan::Drop(short(client), attempt);
            self.plans.push(self.now + lives, end);
        }
        self.tell(client, Input::Connected { attempt }, watch);
    }

    /// A connection that was to live only for a while.
    fn drop(&mut self, client: usize, attempt: AttemptId, watch: &mut Watch<'_>) {
        let open = &self.clients[client].open;
        let Some(connection) = open.iter().find(|c| c.attempt == attempt) else {
            return;
        };
        if let Meets::AcceptAndDrop {
            failure, verdict, ..
        } = self.meetings[long(connection.meets)]
        {
            self.lose(client, attempt, failure, verdict, watch);
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
        let open = &mut self.clients[client].open;
        let Some(connection) = open.take(|connection| connection.attempt == attempt) else {
            return false;
        };
        self.servers[long(connection.server)].live -= 1;
        true
    }

    fn say(&mut self, client: usize, word: Word, watch: &mut Watch<'_>) {
        let this = &self.clients[client];
        let id_of = |server| id_of(self.list_of(this), server);
        let input = match word {
            Word::Reconnect => Some(Input::Reconnect(Whither::Any)),
            Word::ReconnectElsewhere => Some(Input::Reconnect(Whither::Other)),
            Word::ReconnectTo(server) => {
                id_of(server).map(|id| Input::Reconnect(Whither::This(id)))
            }
            Word::Drain => this.connection().map(|attempt| Input::Drain { attempt }),
            Word::Pause => Some(Input::Pause),
            Word::Resume => Some(Input::Resume),
            Word::Add(server) => return self.add(client, server, How::Configured, watch),
            Word::Remove(server) => return self.remove(client, server, watch),
            Word::Off(server) => id_of(server).map(|id| Input::Change(Change::Off(id))),
            Word::On(server) => id_of(server).map(|id| Input::Change(Change::On(id))),
            Word::Close => Some(Input::Close),
        };
        if let Some(input) = input {
            self.tell(client, input, watch);
        }
    }

    fn add(&mut self, client: usize, server: usize, how: How, watch: &mut Watch<'_>) {
        let list = self.own_list(client);
        if id_of(list, server).is_some() {
            return;
        }
        list.push(Entered { server, how });
        let id = list.len() - 1;
        let traits = self.servers[server].server.traits_as(id);
        self.tell(client, Input::Change(Change::Add(traits)), watch);
    }

    fn remove(&mut self, client: usize, server: usize, watch: &mut Watch<'_>) {
        let list = self.own_list(client);
        let Some(id) = id_of(list, server) else {
            return;
        };
        for entered in list.iter_mut().filter(|e| e.server == server) {
            entered.how = How::Gone;
        }
        self.tell(client, Input::Change(Change::Remove(id)), watch);
    }

    fn list_of<'a>(&'a self, client: &'a Client) -> &'a [Entered] {
        client.list.as_deref().unwrap_or(&self.configured)
    }

    fn own_list(&mut self, client: usize) -> &mut Vec<Entered> {
        let configured = &self.configured;
        self.clients[client]
            .list
            .get_or_insert_with(|| Box::new(configured.clone()))
    }

    /// A list of servers was pushed.
    fn learn(&mut self, client: usize, list: &[usize], watch: &mut Watch<'_>) {
        for server in list {
            self.add(client, *server, How::Learned, watch);
        }
        let entered = self.list_of(&self.clients[client]).iter();
        let learned = entered.filter(|e| e.how == How::Learned && !list.contains(&e.server));
        for server in learned.map(|e| e.server).collect::<Vec<_>>() {
            self.remove(client, server, watch);
        }
    }

    fn do_deed(&mut self, server: usize, deed: Deed, watch: &mut Watch<'_>) {
        match deed {
            Deed::Meets(meets) => self.servers[server].meets = self.meeting(meets),
            Deed::RouteMeets(route, meets) => {
                let meets = meets.map(|meets| self.meeting(meets));
                self.servers[server].route_meets(route, meets);
            }
            Deed::Capacity(capacity) => self.servers[server].capacity = capacity,
            Deed::Drop(failure, verdict) => {
                self.reset_flights(server, failure);
                for (client, attempt) in self.live(server) {
                    self.lose(client, attempt, failure, verdict, watch);
                }
            }
            Deed::Drain => {
                for (client, attempt) in self.live(server) {
                    self.tell(client, Input::Drain { attempt }, watch);
                }
            }
        }
    }

    fn meeting(&mut self, meets: Meets) -> Meeting {
        let place = short(self.meetings.len());
        self.meetings.push(meets);
        Meeting { place, meets }
    }

    /// Dials that this server would have accepted fail with it.
    fn reset_flights(&mut self, server: usize, failure: Failure) {
        let reset = self.meeting(Meets::fail(Duration::ZERO, failure)).place;
        let meetings = &self.meetings;
        let flights = self.clients.iter_mut().flat_map(|c| c.in_flight.iter_mut());
        for flight in flights.filter(|flight| long(flight.server) == server) {
            if let Meets::Accept { .. } | Meets::AcceptAndDrop { .. } = meetings[long(flight.meets)]
            {
                flight.meets = reset;
            }
        }
    }

    /// The connections of this server: client and dial, in order.
    fn live(&self, server: usize) -> Vec<(usize, AttemptId)> {
        let mut live = Vec::with_capacity(self.load(server));
        for (number, client) in self.clients.iter().enumerate() {
            let open = client.open.iter().filter(|c| long(c.server) == server);
            let before = live.len();
            live.extend(open.map(|connection| (number, connection.attempt)));
            live[before..].sort_unstable();
        }
        live
    }

    fn tell(&mut self, client: usize, input: Input, watch: &mut Watch<'_>) {
        let mut out = core::mem::take(&mut self.out);
        let now = self.now;
        let answer = self.clients[client]
            .machine
            .handle(input, &mut self.hooks, &mut out, now);
        if let (Input::Connected { attempt }, Answer::Stale | Answer::Closed) = (input, answer) {
            // The driver drops what nobody wants.
            self.forget(client, attempt);
        }
        for output in out.as_slice() {
            self.work(client, output);
        }
        let machine = &self.clients[client].machine;
        let (wake, status) = (machine.next_wake(), machine.status());
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
        let answered = this.in_flight.iter().map(|flight| flight.answered).min();
        let wake = wake.filter(|wake| answered.is_none_or(|answered| *wake < answered));
        if this.wake != wake {
            this.wake = wake;
            if let Some(at) = wake {
                self.plans.push(at, Plan::Wake(short(client)));
            }
        }
    }

    fn work(&mut self, client: usize, output: &Output) {
        match *output {
            Output::Dial(order) => self.dial(client, &order),
            Output::Cancel(attempt) => {
                let flights = &mut self.clients[client].in_flight;
                flights.retain(|flight| flight.attempt != attempt);
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
        let (meeting, after) = self.servers[server].answer(order.route, self.now);
        let answered = after.map_or(Time::MAX, |after| self.now + after);
        self.clients[client].in_flight.push(Dialed {
            attempt,
            server: short(server),
            meets: meeting.place,
            answered,
        });
        if answered != Time::MAX {
            let report = Plan::Report(short(client), attempt);
            self.plans.push(answered, report);
        }
    }
}

impl Client {
    fn connection(&self) -> Option<AttemptId> {
        match self.machine.status() {
            Status::Connected { link, .. } => Some(link.attempt),
            Status::Idle
            | Status::Waiting { .. }
            | Status::Dialing { .. }
            | Status::Paused
            | Status::Starved
            | Status::Closed(_) => None,
        }
    }
}

/// The id under which this server is in this list.
fn id_of(list: &[Entered], server: usize) -> Option<EndpointId> {
    let here = |entered: &Entered| entered.server == server && entered.how != How::Gone;
    Some(EndpointId::new(short(list.iter().position(here)?)))
}

/// Reads a little of a client that is wanted in a moment, so that it is in the cache by then: of
/// several that lie far apart, all are on their way at once.
fn look_at(clients: &[Client], plan: &Plan) {
    if let Plan::Wake(client) | Plan::Report(client, _) = plan
        && let Some(client) = clients.get(long(*client))
    {
        black_box(client.machine.glance());
        black_box(client.wake);
    }
}

/// Clients, servers and acts are numbered in 32 bits: more of them fit into no memory.
fn short(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

fn long(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

/// Mixed, so that neighbours share nothing.
fn seed_of(seed: Seed, client: usize) -> Seed {
    if client == 0 {
        return seed;
    }
    let number = u64::try_from(client).unwrap_or(u64::MAX);
    let apart = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    Seed::new(mix(seed.get().wrapping_add(apart)))
}
