//! Many clients, each a machine of its own, in one world of servers with limited capacity.

use core::time::Duration;
use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap};
use std::sync::Arc;

use crate::attempt::AttemptId;
use crate::endpoint::{EndpointId, Endpoints, Traits};
use crate::failure::{Failure, Kind, Phase};
use crate::machine::{
    Answer, Change, DialOrder, Input, Machine, Outbox, Output, Status, Verdict, Whither,
};
use crate::policy::{Policy, Seed};
use crate::sim::server::{Deed, Server, Serving};
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
    /// The lists that servers will push.
    lists: Vec<Vec<usize>>,
    plans: BinaryHeap<Reverse<Entry>>,
    planned: u64,
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
    seed: Seed,
    /// By the endpoint's id: which server it is, and how it came into the list.
    list: Vec<Entered>,
    in_flight: Vec<Flight>,
    open: Vec<(AttemptId, usize)>,
    /// When the heap will wake it: other wake-ups of it in the heap are void.
    wake: Option<Time>,
}

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

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Flight {
    attempt: AttemptId,
    server: usize,
    meets: Meets,
}

/// Ordered by time, then by order of planning.
#[derive(Clone, Copy, Debug)]
struct Entry {
    at: Time,
    number: u64,
    plan: Plan,
}

#[derive(Clone, Copy, Debug)]
enum Plan {
    Start(usize),
    Wake(usize),
    Report(usize, AttemptId),
    Drop(usize, AttemptId, Failure, Verdict),
    Word(Whom, Word),
    Deed(usize, Deed),
    Push(usize, usize),
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Entry {}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<core::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Entry {
    fn cmp(&self, other: &Self) -> core::cmp::Ordering {
        (self.at, self.number).cmp(&(other.at, other.number))
    }
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
        let configured = servers.iter().enumerate().filter(|(_, s)| s.configured);
        let list: Vec<Entered> = configured
            .map(|(server, _)| Entered {
                server,
                how: How::Configured,
            })
            .collect();
        let traits = |(id, entered): (usize, &Entered)| servers[entered.server].traits_as(id);
        let endpoints: Vec<Traits> = list.iter().enumerate().map(traits).collect();
        let endpoints = Endpoints::from(endpoints);
        let client = |number| {
            let seed = seed_of(seed, number);
            Client {
                machine: Machine::new(Arc::clone(&policy), endpoints.clone(), seed),
                seed,
                list: list.clone(),
                in_flight: Vec::new(),
                open: Vec::new(),
                wake: None,
            }
        };
        Self {
            clients: (0..clients).map(client).collect(),
            servers: servers.into_iter().map(Serving::new).collect(),
            endpoints,
            lists: Vec::new(),
            plans: BinaryHeap::new(),
            planned: 0,
            now: Time::ZERO,
            hooks: Recorder::default(),
            out: Outbox::default(),
        }
    }

    /// This server will do this at that time. What is planned first for one time is done first;
    /// what is said of a server or client that is not there is not heard.
    pub fn deed(&mut self, at: Time, server: usize, deed: Deed) {
        if server < self.servers.len() {
            self.plan(at, Plan::Deed(server, deed));
        }
    }

    /// This server will push this list of servers to its clients: they add those that they do not
    /// know, and remove those that they know from such a list only and that are not in it.
    pub fn push(&mut self, at: Time, server: usize, list: impl IntoIterator<Item = usize>) {
        let all = self.servers.len();
        if server < all {
            let list = list.into_iter().filter(|named| *named < all).collect();
            self.lists.push(list);
            self.plan(at, Plan::Push(server, self.lists.len() - 1));
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
            self.plan(at, Plan::Word(whom, word));
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
            self.plan(self.now + after, Plan::Start(client));
        }
    }

    /// Lets happen what happens up to this time, but at most so many things; says how many did.
    pub fn run_until(&mut self, end: Time, most: u64, watch: &mut Watch<'_>) -> u64 {
        let mut done = 0;
        while done < most
            && let Some(Reverse(entry)) = self.plans.peek().copied()
            && entry.at <= end
        {
            self.plans.pop();
            self.now = self.now.max(entry.at);
            self.carry_out(entry.plan, watch);
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
        Some(self.clients.get(client)?.seed)
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
        Some(self.clients.get(client)?.list.get(id)?.server)
    }

    /// How many connections this server holds.
    #[must_use]
    pub fn load(&self, server: usize) -> usize {
        self.servers
            .get(server)
            .map_or(0, |server| server.live.len())
    }

    fn plan(&mut self, at: Time, plan: Plan) {
        self.planned += 1;
        let number = self.planned;
        self.plans.push(Reverse(Entry { at, number, plan }));
    }

    fn carry_out(&mut self, plan: Plan, watch: &mut Watch<'_>) {
        match plan {
            Plan::Start(client) => self.tell(client, Input::Start, watch),
            Plan::Wake(client) => {
                if self.clients[client].wake == Some(self.now) {
                    self.clients[client].wake = None;
                    self.tell(client, Input::Wake, watch);
                }
            }
            Plan::Report(client, attempt) => self.report(client, attempt, watch),
            Plan::Drop(client, attempt, failure, verdict) => {
                self.lose(client, attempt, failure, verdict, watch);
            }
            Plan::Word(Whom::Client(client), word) => self.say(client, word, watch),
            Plan::Word(Whom::All, word) => {
                for client in 0..self.clients.len() {
                    self.say(client, word, watch);
                }
            }
            Plan::Deed(server, deed) => self.do_deed(server, deed, watch),
            Plan::Push(server, list) => {
                let list = core::mem::take(&mut self.lists[list]);
                for client in self.clients_on(server) {
                    self.learn(client, &list, watch);
                }
            }
        }
    }

    /// The answer to a dial, unless nobody waits for it any more.
    fn report(&mut self, client: usize, attempt: AttemptId, watch: &mut Watch<'_>) {
        let flights = &mut self.clients[client].in_flight;
        let Some(at) = flights.iter().position(|flight| flight.attempt == attempt) else {
            return;
        };
        let flight = flights.swap_remove(at);
        match flight.meets {
            Meets::Accept { .. } => self.accept(client, flight, None, watch),
            Meets::AcceptAndDrop {
                lives,
                failure,
                verdict,
                ..
            } => self.accept(client, flight, Some((lives, failure, verdict)), watch),
            Meets::Fail { failure, .. } => {
                self.tell(client, Input::Failed { attempt, failure }, watch);
            }
            Meets::Mute => {}
        }
    }

    fn accept(
        &mut self,
        client: usize,
        flight: Flight,
        drop: Option<(Duration, Failure, Verdict)>,
        watch: &mut Watch<'_>,
    ) {
        let (attempt, server) = (flight.attempt, flight.server);
        if self.servers[server].is_full() {
            let failure = Failure::new(Kind::Refused).at(Phase::Login);
            return self.tell(client, Input::Failed { attempt, failure }, watch);
        }
        self.servers[server].live.insert((client, attempt));
        self.clients[client].open.push((attempt, server));
        if let Some((lives, failure, verdict)) = drop {
            let at = self.now + lives;
            self.plan(at, Plan::Drop(client, attempt, failure, verdict));
        }
        self.tell(client, Input::Connected { attempt }, watch);
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
        let Some(at) = open.iter().position(|(id, _)| *id == attempt) else {
            return false;
        };
        let (_, server) = open.swap_remove(at);
        self.servers[server].live.remove(&(client, attempt))
    }

    fn say(&mut self, client: usize, word: Word, watch: &mut Watch<'_>) {
        let this = &self.clients[client];
        let input = match word {
            Word::Reconnect => Some(Input::Reconnect(Whither::Any)),
            Word::ReconnectElsewhere => Some(Input::Reconnect(Whither::Other)),
            Word::ReconnectTo(server) => this
                .id_of(server)
                .map(|id| Input::Reconnect(Whither::This(id))),
            Word::Drain => this.connection().map(|attempt| Input::Drain { attempt }),
            Word::Pause => Some(Input::Pause),
            Word::Resume => Some(Input::Resume),
            Word::Add(server) => return self.add(client, server, How::Configured, watch),
            Word::Remove(server) => return self.remove(client, server, watch),
            Word::Off(server) => this.id_of(server).map(|id| Input::Change(Change::Off(id))),
            Word::On(server) => this.id_of(server).map(|id| Input::Change(Change::On(id))),
            Word::Close => Some(Input::Close),
        };
        if let Some(input) = input {
            self.tell(client, input, watch);
        }
    }

    fn add(&mut self, client: usize, server: usize, how: How, watch: &mut Watch<'_>) {
        let this = &mut self.clients[client];
        if this.id_of(server).is_some() {
            return;
        }
        let traits = self.servers[server].server.traits_as(this.list.len());
        this.list.push(Entered { server, how });
        self.tell(client, Input::Change(Change::Add(traits)), watch);
    }

    fn remove(&mut self, client: usize, server: usize, watch: &mut Watch<'_>) {
        let this = &mut self.clients[client];
        let Some(id) = this.id_of(server) else {
            return;
        };
        for entered in this.list.iter_mut().filter(|e| e.server == server) {
            entered.how = How::Gone;
        }
        self.tell(client, Input::Change(Change::Remove(id)), watch);
    }

    /// A list of servers was pushed.
    fn learn(&mut self, client: usize, list: &[usize], watch: &mut Watch<'_>) {
        for server in list {
            self.add(client, *server, How::Learned, watch);
        }
        let entered = self.clients[client].list.iter();
        let learned = entered.filter(|e| e.how == How::Learned && !list.contains(&e.server));
        for server in learned.map(|e| e.server).collect::<Vec<_>>() {
            self.remove(client, server, watch);
        }
    }

    fn do_deed(&mut self, server: usize, deed: Deed, watch: &mut Watch<'_>) {
        match deed {
            Deed::Meets(meets) => self.servers[server].meets = meets,
            Deed::RouteMeets(route, meets) => self.servers[server].route_meets(route, meets),
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

    /// Dials that this server would have accepted fail with it.
    fn reset_flights(&mut self, server: usize, failure: Failure) {
        let flights = self.clients.iter_mut().flat_map(|c| &mut c.in_flight);
        for flight in flights.filter(|flight| flight.server == server) {
            if let Meets::Accept { after } | Meets::AcceptAndDrop { after, .. } = flight.meets {
                flight.meets = Meets::Fail { after, failure };
            }
        }
    }

    fn live(&self, server: usize) -> Vec<(usize, AttemptId)> {
        self.servers[server].live.iter().copied().collect()
    }

    fn clients_on(&self, server: usize) -> BTreeSet<usize> {
        let live = self.servers[server].live.iter();
        live.map(|(client, _)| *client).collect()
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
        if wake != self.clients[client].wake {
            self.clients[client].wake = wake;
            if let Some(at) = wake {
                self.clients[client].wake = Some(at.max(now));
                self.plan(at.max(now), Plan::Wake(client));
            }
        }
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
        let (meets, after) = self.servers[server].answer(order.route, self.now);
        self.clients[client].in_flight.push(Flight {
            attempt,
            server,
            meets,
        });
        if let Some(after) = after {
            self.plan(self.now + after, Plan::Report(client, attempt));
        }
    }
}

impl Client {
    /// The id under which this server is in the list.
    fn id_of(&self, server: usize) -> Option<EndpointId> {
        let here = |entered: &Entered| entered.server == server && entered.how != How::Gone;
        let id = self.list.iter().position(here)?;
        u32::try_from(id).ok().map(EndpointId::new)
    }

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

/// The finalizer of SplitMix64, so that neighbours share nothing.
fn seed_of(seed: Seed, client: usize) -> Seed {
    if client == 0 {
        return seed;
    }
    let number = u64::try_from(client).unwrap_or(u64::MAX);
    let word = seed
        .get()
        .wrapping_add(number.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    Seed::new(word ^ (word >> 31))
}
