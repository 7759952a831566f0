//! What the world does to a fleet: words, deeds of servers, lists that they push.

use core::time::Duration;
use std::vec::Vec;

use super::{Act, Fleet, Watch};
use crate::attempt::AttemptId;
use crate::failure::Failure;
use crate::machine::{Change, Input, Verdict, Whither};
use crate::sim::client::{Entered, How, id_of, long, short};
use crate::sim::part::Part;
use crate::sim::server::{Deed, Meeting};
use crate::sim::weather::Meets;
use crate::sim::word::{Whom, Word};

impl Fleet {
    pub(super) fn carry_out_act(&mut self, act: Act, watch: &mut Watch<'_>) {
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
                for client in 0..self.clients.len() {
                    if !self.connections_to(server, client).is_empty() {
                        self.learn(client, &list, watch);
                    }
                }
            }
        }
    }

    fn say(&mut self, client: usize, word: Word, watch: &mut Watch<'_>) {
        let id_of = |server| id_of(self.list_of(client), server);
        let input = match word {
            Word::Reconnect => Some(Input::Reconnect(Whither::Any)),
            Word::ReconnectElsewhere => Some(Input::Reconnect(Whither::Other)),
            Word::ReconnectTo(server) => {
                id_of(server).map(|id| Input::Reconnect(Whither::This(id)))
            }
            Word::Drain => self.clients[client]
                .connection()
                .map(|attempt| Input::Drain { attempt }),
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

    /// A list of servers was pushed.
    fn learn(&mut self, client: usize, list: &[usize], watch: &mut Watch<'_>) {
        for server in list {
            self.add(client, *server, How::Learned, watch);
        }
        let entered = self.list_of(client).iter();
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
            Deed::PartMeets(part, meets) => {
                let meets = meets.map(|meets| self.meeting(meets));
                self.servers[server].part = meets.map(|meets| (part, meets));
            }
            Deed::Capacity(capacity) => self.servers[server].capacity = capacity,
            Deed::Drop(failure, verdict) => {
                self.cut(server, Part::ALL, failure, verdict, watch);
            }
            Deed::PartDrop(part, failure, verdict) => {
                self.cut(server, part, failure, verdict, watch);
            }
            Deed::Drain => {
                for client in 0..self.clients.len() {
                    for attempt in self.connections_to(server, client) {
                        self.tell(client, Input::Drain { attempt }, watch);
                    }
                }
            }
        }
    }

    fn meeting(&mut self, meets: Meets) -> Meeting {
        let place = short(self.meetings.len());
        self.meetings.push(meets);
        Meeting { place, meets }
    }

    /// This part of the clients loses its connections to this server, and the dials that it would
    /// have accepted.
    fn cut(
        &mut self,
        server: usize,
        part: Part,
        failure: Failure,
        verdict: Verdict,
        watch: &mut Watch<'_>,
    ) {
        let reset = self.meeting(Meets::fail(Duration::ZERO, failure)).place;
        for client in (0..self.clients.len()).filter(|client| part.has(*client)) {
            let meetings = &self.meetings;
            let flights = self.clients[client].dialed.iter_mut();
            for flight in flights.filter(|it| it.server() == server && !it.is_open()) {
                let meets = meetings[long(flight.meets)];
                if let Meets::Accept { .. } | Meets::AcceptAndDrop { .. } = meets {
                    flight.meets = reset;
                }
            }
        }
        for client in (0..self.clients.len()).filter(|client| part.has(*client)) {
            for attempt in self.connections_to(server, client) {
                self.lose(client, attempt, failure, verdict, watch);
            }
        }
    }

    /// The connections of this client to this server, in the order of their dials.
    fn connections_to(&self, server: usize, client: usize) -> Vec<AttemptId> {
        let open = self.clients[client].connections();
        let open = open.filter(|connection| connection.server() == server);
        let mut open: Vec<AttemptId> = open.map(|connection| connection.attempt).collect();
        open.sort_unstable();
        open
    }
}
