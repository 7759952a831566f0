//! What the bridge knows of its clients and its servers: sessions write it, the page reads it.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use failover_core::drive::Handle;

use crate::bridge::carry::Meter;
use crate::bridge::numbers::Numbers;

/// What the bridge knows. One lock, held only to note or to copy.
pub(crate) struct Board {
    pub(crate) numbers: Arc<Numbers>,
    pub(crate) fixed: Fixed,
    inside: Mutex<Inside>,
}

/// What does not change while it runs.
#[derive(Clone, Debug)]
pub(crate) struct Fixed {
    pub(crate) listening: String,
    pub(crate) file: String,
    pub(crate) most_clients: usize,
    pub(crate) began: Instant,
    pub(crate) began_at: SystemTime,
}

pub(crate) struct Inside {
    pub(crate) phase: Phase,
    pub(crate) clients: BTreeMap<u64, Row>,
    pub(crate) servers: BTreeMap<String, Server>,
    pub(crate) totals: Totals,
    /// The last ones that ended, the newest last.
    pub(crate) ended: VecDeque<Ended>,
    pub(crate) full_since: Option<Instant>,
    accept: Accept,
    pub(crate) file: FileNews,
}

/// Whether it takes new clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    Serving,
    Draining { since: Instant },
}

/// Whether the system lets clients in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Accept {
    Works,
    Fails,
}

/// One client.
pub(crate) struct Row {
    pub(crate) name: String,
    pub(crate) since: Instant,
    pub(crate) handle: Option<Handle>,
    pub(crate) meter: Arc<Meter>,
    /// Where it is connected to.
    pub(crate) on: Option<Place>,
}

/// A server that a client is connected to.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(crate) endpoint: String,
    pub(crate) url: String,
    pub(crate) since: Instant,
    pub(crate) why: String,
}

/// What the bridge as a whole has seen of a server.
#[derive(Clone, Debug, Default)]
pub(crate) struct Server {
    /// Why its last dial failed, and since when they do.
    pub(crate) failing: Option<(String, Instant)>,
    pub(crate) connected: Option<Instant>,
    /// None while no client is connected to it.
    pub(crate) in_use: Option<InUse>,
    /// Why the last client came to it.
    pub(crate) why: String,
}

/// The clients that are connected to a server.
#[derive(Clone, Copy, Debug)]
pub(crate) struct InUse {
    /// Since when there has been at least one.
    pub(crate) since: Instant,
    /// How many there are: as many as rows that are on it.
    pub(crate) clients: usize,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Totals {
    pub(crate) accepted: u64,
    pub(crate) to_server: u64,
    pub(crate) to_client: u64,
    pub(crate) ended: BTreeMap<&'static str, u64>,
    pub(crate) full: u64,
    pub(crate) reopened: u64,
    pub(crate) loaded: u64,
    pub(crate) refused: u64,
}

/// A client that is gone.
#[derive(Clone, Debug)]
pub(crate) struct Ended {
    pub(crate) number: u64,
    pub(crate) name: String,
    pub(crate) endpoint: Option<String>,
    pub(crate) lived: Duration,
    pub(crate) at: Instant,
    pub(crate) how: String,
}

#[derive(Clone, Debug)]
pub(crate) struct FileNews {
    pub(crate) loaded: Instant,
    pub(crate) loaded_at: SystemTime,
    /// Why the file, as it is now, was refused.
    pub(crate) refused: Option<(String, Instant)>,
}

/// How many clients that are gone are remembered.
const REMEMBERED: usize = 10;

impl Board {
    pub(crate) fn new(fixed: Fixed) -> Self {
        Self {
            numbers: Arc::new(Numbers::default()),
            inside: Mutex::new(Inside {
                phase: Phase::Serving,
                clients: BTreeMap::new(),
                servers: BTreeMap::new(),
                totals: Totals::default(),
                ended: VecDeque::new(),
                full_since: None,
                accept: Accept::Works,
                file: FileNews {
                    loaded: fixed.began,
                    loaded_at: fixed.began_at,
                    refused: None,
                },
            }),
            fixed,
        }
    }

    pub(crate) fn read(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A client came. Its number is the answer's.
    pub(crate) fn enter(self: &Arc<Self>, name: String) -> Seat {
        let meter = Arc::new(Meter::new());
        let mut inside = self.read();
        inside.totals.accepted += 1;
        let number = inside.totals.accepted;
        let row = Row {
            name,
            since: Instant::now(),
            handle: None,
            meter: Arc::clone(&meter),
            on: None,
        };
        inside.clients.insert(number, row);
        Seat {
            board: Arc::clone(self),
            number,
            meter,
        }
    }

    /// A dial of this server failed. Whether that is news.
    pub(crate) fn dial_failed(&self, endpoint: &str, why: String) -> bool {
        let mut inside = self.read();
        let server = inside.servers.entry(endpoint.to_string()).or_default();
        let since = server.failing.as_ref().map(|(_, since)| *since);
        server.failing = Some((why, since.unwrap_or_else(Instant::now)));
        since.is_none()
    }

    /// All clients are there that may be. Whether that is news.
    pub(crate) fn is_full(&self) -> bool {
        let mut inside = self.read();
        let news = inside.full_since.is_none();
        if news {
            inside.full_since = Some(Instant::now());
            inside.totals.full += 1;
        }
        news
    }

    pub(crate) fn has_room(&self) {
        self.read().full_since = None;
    }

    /// No client can be let in. Whether that is news.
    pub(crate) fn accept_fails(&self) -> bool {
        std::mem::replace(&mut self.read().accept, Accept::Fails) == Accept::Works
    }

    pub(crate) fn accepts(&self) {
        self.read().accept = Accept::Works;
    }

    pub(crate) fn drains(&self) {
        let since = Instant::now();
        self.read().phase = Phase::Draining { since };
    }

    /// The file was taken. Servers that it does not name, and that nobody uses, are forgotten.
    pub(crate) fn file_taken(&self, is_listed: impl Fn(&str) -> bool) {
        let mut inside = self.read();
        inside.totals.loaded += 1;
        inside.file = FileNews {
            loaded: Instant::now(),
            loaded_at: SystemTime::now(),
            refused: None,
        };
        let keeps = |name: &str, server: &Server| is_listed(name) || server.in_use.is_some();
        inside.servers.retain(|name, server| keeps(name, server));
        let servers = &inside.servers;
        self.numbers
            .keep(|name| is_listed(name) || servers.contains_key(name));
    }

    pub(crate) fn file_refused(&self, why: String) {
        let mut inside = self.read();
        inside.totals.refused += 1;
        inside.file.refused = Some((why, Instant::now()));
    }
}

impl Inside {
    /// Bytes to servers and to clients, of those who are gone and those who are there.
    pub(crate) fn bytes(&self) -> (u64, u64) {
        let gone = (self.totals.to_server, self.totals.to_client);
        self.clients.values().fold(gone, |(up, down), row| {
            let (more_up, more_down) = row.meter.bytes();
            (up + more_up, down + more_down)
        })
    }

    fn leave(&mut self, number: u64) {
        let Some(on) = self.clients.get_mut(&number).and_then(|row| row.on.take()) else {
            return;
        };
        if let Some(server) = self.servers.get_mut(&on.endpoint)
            && let Some(in_use) = &mut server.in_use
        {
            in_use.clients -= 1;
            if in_use.clients == 0 {
                server.in_use = None;
            }
        }
    }
}

/// A client's place on the board: gone when it is dropped.
pub(crate) struct Seat {
    board: Arc<Board>,
    number: u64,
    meter: Arc<Meter>,
}

impl Seat {
    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    pub(crate) fn meter(&self) -> &Arc<Meter> {
        &self.meter
    }

    /// It waits for a connection that this connector makes.
    pub(crate) fn waits(&self, handle: Handle) {
        let mut inside = self.board.read();
        inside.leave(self.number);
        if let Some(row) = inside.clients.get_mut(&self.number) {
            row.handle = Some(handle);
        }
    }

    /// It is connected. Whether the server was failing, and for how long.
    pub(crate) fn connected(&self, on: Place) -> Option<Duration> {
        let mut inside = self.board.read();
        inside.leave(self.number);
        let now = Instant::now();
        let Inside {
            clients, servers, ..
        } = &mut *inside;
        let server = servers.entry(on.endpoint.clone()).or_default();
        let failed = server.failing.take();
        server.connected = Some(now);
        server.why.clone_from(&on.why);
        if let Some(row) = clients.get_mut(&self.number) {
            let nobody = InUse {
                since: now,
                clients: 0,
            };
            server.in_use.get_or_insert(nobody).clients += 1;
            row.on = Some(on);
        }
        failed.map(|(_, since)| now - since)
    }

    /// Its server left before anything had passed: another one is looked for.
    pub(crate) fn reopens(&self) {
        self.board.read().totals.reopened += 1;
    }

    /// It is gone: a word for the counter, and a sentence.
    pub(crate) fn ended(&self, word: &'static str, how: String) -> Duration {
        let mut inside = self.board.read();
        *inside.totals.ended.entry(word).or_default() += 1;
        let Some(row) = inside.clients.get(&self.number) else {
            return Duration::ZERO;
        };
        let ended = Ended {
            number: self.number,
            name: row.name.clone(),
            endpoint: row.on.as_ref().map(|on| on.endpoint.clone()),
            lived: row.since.elapsed(),
            at: Instant::now(),
            how,
        };
        let lived = ended.lived;
        if inside.ended.len() == REMEMBERED {
            inside.ended.pop_front();
        }
        inside.ended.push_back(ended);
        lived
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut inside = self.board.read();
        inside.leave(self.number);
        let (up, down) = self.meter.bytes();
        inside.totals.to_server += up;
        inside.totals.to_client += down;
        inside.clients.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SERVERS: [&str; 3] = ["ash", "birch", "cedar"];

    #[derive(Clone, Copy, Debug)]
    enum Step {
        Enter,
        /// The client at this place is connected to this server, from wherever it was.
        Connect(usize, &'static str),
        /// The client at this place goes.
        Leave(usize),
        /// A file that names only the first of the servers.
        TakeFile,
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let server = proptest::sample::select(SERVERS.to_vec());
        let step = prop_oneof![
            3 => Just(Step::Enter),
            4 => (0..6usize, server).prop_map(|(at, server)| Step::Connect(at, server)),
            2 => (0..6usize).prop_map(Step::Leave),
            1 => Just(Step::TakeFile),
        ];
        proptest::collection::vec(step, 0..60)
    }

    proptest! {
        #[test]
        fn a_server_is_in_use_by_as_many_clients_as_are_on_it(steps in steps()) {
            let board = board();
            let mut seats = Vec::new();
            for step in steps {
                match step {
                    Step::Enter => seats.push((board.enter(String::new()), None)),
                    Step::Connect(at, server) => if let Some((seat, on)) = seats.get_mut(at) {
                        seat.connected(to(server));
                        *on = Some(server);
                    },
                    Step::Leave(at) if at < seats.len() => drop(seats.remove(at)),
                    Step::Leave(_) => {}
                    Step::TakeFile => board.file_taken(|name| name == SERVERS[0]),
                }
                let inside = board.read();
                for server in SERVERS {
                    let known = inside.servers.get(server).and_then(|known| known.in_use);
                    let clients = seats.iter().filter(|(_, on)| *on == Some(server)).count();
                    prop_assert_eq!(known.map(|it| it.clients), Some(clients).filter(|it| *it > 0));
                }
            }
        }
    }

    #[test]
    fn a_server_is_in_use_since_its_first_client_came_until_its_last_one_goes() {
        let board = board();
        let since = || board.read().servers.get("ash")?.in_use.map(|it| it.since);
        let (first, second) = (board.enter(String::new()), board.enter(String::new()));
        first.connected(to("ash"));
        let began = since();
        assert!(began.is_some());
        second.connected(to("ash"));
        drop(first);
        assert_eq!(since(), began);
        second.connected(to("birch"));
        assert_eq!(since(), None);
    }

    fn board() -> Arc<Board> {
        Arc::new(Board::new(Fixed {
            listening: String::new(),
            file: String::new(),
            most_clients: 10,
            began: Instant::now(),
            began_at: SystemTime::now(),
        }))
    }

    fn to(server: &str) -> Place {
        Place {
            endpoint: server.to_string(),
            url: String::new(),
            since: Instant::now(),
            why: String::new(),
        }
    }
}
