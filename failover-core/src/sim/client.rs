//! A client of a fleet: its machine, and what the world knows of its dials. Small: there are millions.

use crate::attempt::AttemptId;
use crate::endpoint::EndpointId;
use crate::few::Few;
use crate::machine::{Machine, Rest, Status};
use crate::policy::Seed;
use crate::time::Time;

pub(super) struct Client {
    pub(super) machine: Body,
    /// When it will be woken, if no dial is answered before; [`Time::MAX`]: not at all. Other wake-ups
    /// that are planned for it are void.
    pub(super) wake: Time,
    /// Its dials in flight, and its connections.
    pub(super) dialed: Few<Dialed>,
}

/// Where a client's machine is while another one is at work.
pub(super) enum Body {
    /// Its slots are among those of the fleet.
    Resting(Rest),
    /// It does not fit there.
    Whole(Box<Machine>),
}

/// A dial in flight, or the connection that came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Dialed {
    pub(super) attempt: AttemptId,
    /// When the client hears of a dial, or a connection that does not live on ends.
    pub(super) until: Time,
    /// The server's number, twice; and one, if it is a connection.
    place: u32,
    /// Its place among the meetings.
    pub(super) meets: u32,
}

/// Which server an endpoint is, and how it came into the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entered {
    pub(super) server: usize,
    pub(super) how: How,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum How {
    Configured,
    Learned,
    Gone,
}

impl Client {
    pub(super) fn new(machine: Body) -> Self {
        Self {
            machine,
            wake: Time::MAX,
            dialed: Few::None,
        }
    }

    pub(super) fn flights(&self) -> impl Iterator<Item = &Dialed> {
        self.dialed.iter().filter(|dialed| !dialed.is_open())
    }

    pub(super) fn connections(&self) -> impl Iterator<Item = &Dialed> {
        self.dialed.iter().filter(|dialed| dialed.is_open())
    }

    /// The connection that its machine has in use.
    pub(super) fn connection(&self) -> Option<AttemptId> {
        let machine = match &self.machine {
            Body::Resting(rest) => return rest.connection(),
            Body::Whole(machine) => machine,
        };
        match machine.status() {
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

impl Dialed {
    /// A dial in flight.
    pub(super) fn new(attempt: AttemptId, server: usize, meets: u32, answered: Time) -> Self {
        Self {
            attempt,
            until: answered,
            place: short(server) << 1,
            meets,
        }
    }

    /// The connection that came of it.
    pub(super) const fn opened(mut self, until: Time) -> Self {
        self.until = until;
        self.place |= 1;
        self
    }

    pub(super) const fn is_open(&self) -> bool {
        self.place & 1 == 1
    }

    pub(super) fn server(&self) -> usize {
        long(self.place >> 1)
    }
}

/// The id under which this server is in this list.
pub(super) fn id_of(list: &[Entered], server: usize) -> Option<EndpointId> {
    let here = |entered: &Entered| entered.server == server && entered.how != How::Gone;
    Some(EndpointId::new(short(list.iter().position(here)?)))
}

/// Clients, servers and acts are numbered in 32 bits: more of them fit into no memory.
pub(super) fn short(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

pub(super) fn long(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

/// The finalizer of SplitMix64, so that neighbours share nothing.
pub(super) fn seed_of(seed: Seed, client: usize) -> Seed {
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
