//! A server of a fleet: what it does, and how much it can take.

use core::time::Duration;
use std::collections::BTreeMap;

use crate::endpoint::{EndpointId, Traits};
use crate::failure::{Failure, Kind, Phase};
use crate::machine::Verdict;
use crate::policy::Limit;
use crate::sim::part::Part;
use crate::sim::weather::Meets;
use crate::time::Time;

/// A server as every client of a fleet sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Server {
    /// Its routes, weight, tier and deadline. Each client gives it an id of its own.
    pub traits: Traits,
    /// Whether it is in the clients' lists from the start. Otherwise they hear of it later.
    pub configured: bool,
    /// How much it can take.
    pub capacity: Capacity,
}

impl Server {
    /// A server in every client's list, which can take all.
    #[must_use]
    pub const fn new(traits: Traits) -> Self {
        Self {
            traits,
            configured: true,
            capacity: Capacity::UNLIMITED,
        }
    }

    /// The same, but the clients do not know it from the start.
    #[must_use]
    pub const fn unlisted(mut self) -> Self {
        self.configured = false;
        self
    }

    /// The same with this capacity.
    #[must_use]
    pub const fn capacity(mut self, capacity: Capacity) -> Self {
        self.capacity = capacity;
        self
    }

    pub(crate) fn traits_as(&self, id: usize) -> Traits {
        let id = EndpointId::new(u32::try_from(id).unwrap_or(u32::MAX));
        self.traits.with_id(id)
    }
}

/// How much a server can take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Capacity {
    /// The most connections at a time. One more is refused when it is done.
    pub connections: Limit,
    /// How long it works on each connection that it accepts, one after the other. Dials queue for
    /// it. Zero: no time.
    pub work: Duration,
    /// The longest queue, in time. A dial that would wait longer is refused at once.
    pub queue: Duration,
}

impl Capacity {
    /// It takes all.
    pub const UNLIMITED: Self = Self {
        connections: Limit::Unlimited,
        work: Duration::ZERO,
        queue: Duration::MAX,
    };

    /// The same with at most so many connections.
    #[must_use]
    pub const fn connections(mut self, limit: Limit) -> Self {
        self.connections = limit;
        self
    }

    /// The same with this much work for each connection.
    #[must_use]
    pub const fn work(mut self, work: Duration) -> Self {
        self.work = work;
        self
    }

    /// The same with this longest queue.
    #[must_use]
    pub const fn queue(mut self, queue: Duration) -> Self {
        self.queue = queue;
        self
    }
}

/// What a server does at some time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Deed {
    /// Dials meet this from now on, on every route.
    Meets(Meets),
    /// Dials over this route meet this from now on, whatever the others meet; with nothing, they
    /// meet the same as the others again.
    RouteMeets(u8, Option<Meets>),
    /// The dials of this part of the clients meet this from now on, whatever those of the others meet,
    /// on every route: the network between them and the server is not that of the others. With
    /// nothing, they meet the same as the others again. A server has one such part at a time.
    PartMeets(Part, Option<Meets>),
    /// It can take this much from now on.
    Capacity(Capacity),
    /// Its connections are lost, with those that it was about to accept.
    Drop(Failure, Verdict),
    /// The same for this part of the clients alone.
    PartDrop(Part, Failure, Verdict),
    /// It tells its clients that it drains.
    Drain,
}

impl Deed {
    /// Its connections are reset.
    pub const RESET: Self = Self::Drop(Failure::new(Kind::Reset), Verdict::AsPolicy);
}

/// What is met, by its place among the fleet's meetings.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Meeting {
    pub(crate) place: u32,
    pub(crate) meets: Meets,
}

impl Meeting {
    /// A server whose queue is too long refuses.
    pub(crate) const CROWDED: Self = Self {
        place: 0,
        meets: Meets::fail(
            Duration::ZERO,
            Failure::new(Kind::Refused).at(Phase::Connect),
        ),
    };
    /// What a server does that was told nothing.
    pub(crate) const ACCEPT: Self = Self {
        place: 1,
        meets: Meets::ACCEPT,
    };
}

/// A server at work.
#[derive(Debug)]
pub(crate) struct Serving {
    pub(crate) server: Server,
    pub(crate) capacity: Capacity,
    pub(crate) meets: Meeting,
    routes: BTreeMap<u8, Meeting>,
    /// A part of the clients, and what its dials meet.
    pub(crate) part: Option<(Part, Meeting)>,
    /// When it is done with what it has accepted so far.
    free: Time,
    /// How many connections it holds.
    pub(crate) live: u32,
}

impl Serving {
    pub(crate) fn new(server: Server) -> Self {
        Self {
            server,
            capacity: server.capacity,
            meets: Meeting::ACCEPT,
            routes: BTreeMap::new(),
            part: None,
            free: Time::ZERO,
            live: 0,
        }
    }

    pub(crate) fn route_meets(&mut self, route: u8, meets: Option<Meeting>) {
        match meets {
            Some(meets) => self.routes.insert(route, meets),
            None => self.routes.remove(&route),
        };
    }

    pub(crate) fn is_full(&self) -> bool {
        self.capacity.connections.is_reached(self.live)
    }

    /// What a dial of this client meets now, and after which time it hears of it.
    pub(crate) fn answer(
        &mut self,
        client: usize,
        route: u8,
        now: Time,
    ) -> (Meeting, Option<Duration>) {
        let part = self.part.filter(|(part, _)| part.has(client));
        let meeting = match part {
            Some((_, meeting)) => meeting,
            None => self.routes.get(&route).copied().unwrap_or(self.meets),
        };
        match meeting.meets {
            Meets::Mute => (meeting, None),
            Meets::Fail { after, .. } => (meeting, Some(after)),
            Meets::Accept { after } | Meets::AcceptAndDrop { after, .. } => {
                let begins = self.free.max(now);
                if begins.since(now) > self.capacity.queue {
                    return (Meeting::CROWDED, Some(Duration::ZERO));
                }
                self.free = begins + self.capacity.work;
                (meeting, Some(after.saturating_add(self.free.since(now))))
            }
        }
    }
}
