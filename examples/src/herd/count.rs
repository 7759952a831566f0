//! What is counted while a herd is played.

use std::time::Duration;

use failover_core::failure::Kind;
use failover_core::machine::{Event, Output, Status};
use failover_core::sim::{Fleet, Moment};
use failover_core::time::Time;

use super::clock::Clock;
use super::healing;
use super::report::{Bin, Herd, ServerFigures, Waited};
use crate::scenario::Scenario;

/// How finely rates are measured, unless the scenario is very long.
const BIN: Duration = Duration::from_millis(100);
/// The most bins of all servers together.
const MOST_BINS: u64 = 2_000_000;
/// A client that never was connected, where its loss would stand.
const NEW: u64 = u64::MAX;

/// The shares of clients whose return is timed, in percent.
pub(super) const SHARES: [usize; 4] = [50, 90, 99, 100];

pub(super) struct Count {
    bin: u64,
    until: Time,
    healed: Time,
    still_down: Vec<String>,
    /// Per client: since when it was without a connection last.
    down: Vec<u64>,
    /// Per client, a bit: whether it is connected. So all that is asked of most moments is in the cache.
    up: Vec<u64>,
    connected: usize,
    lost_at: Option<Time>,
    least: usize,
    /// When so many percent were last reached from below.
    back: [Option<Time>; SHARES.len()],
    steps: u64,
    waited: Waited,
    closed: usize,
    servers: Vec<ServerFigures>,
    /// By bin, then by server.
    bins: Vec<Bin>,
}

impl Count {
    pub(super) fn new(scenario: &Scenario) -> Self {
        let until = scenario.until;
        let servers = scenario.endpoints.iter();
        let each = MOST_BINS / u64::try_from(servers.len()).unwrap_or(u64::MAX).max(1);
        let bin = nanos(BIN).max(until.as_nanos() / each.max(1));
        Self {
            bin,
            until,
            healed: healing::healed(scenario),
            still_down: healing::still_down(scenario),
            down: vec![NEW; scenario.clients],
            up: vec![0; scenario.clients.div_ceil(64)],
            connected: 0,
            lost_at: None,
            least: scenario.clients,
            back: [None; SHARES.len()],
            steps: 0,
            waited: Waited::default(),
            closed: 0,
            servers: servers
                .map(|named| ServerFigures::new(&named.name))
                .collect(),
            bins: Vec::new(),
        }
    }

    pub(super) fn connected(&self) -> usize {
        self.connected
    }

    pub(super) fn note(&mut self, fleet: &Fleet, moment: &Moment<'_>) {
        self.steps += 1;
        self.pass(fleet, moment.at);
        for output in moment.outputs {
            match output {
                Output::Dial(order) => {
                    if let Some(server) = fleet.server(moment.client, order.endpoint) {
                        self.servers[server].dials += 1;
                        self.bin(moment.at, server).dials += 1;
                    }
                }
                Output::Event(Event::Attempt(ended)) => {
                    let Some(server) = fleet.server(moment.client, ended.order.endpoint) else {
                        continue;
                    };
                    let figures = &mut self.servers[server];
                    match ended.outcome.map_err(|failure| failure.kind) {
                        Ok(()) => figures.accepted += 1,
                        Err(Kind::Refused) => figures.refused += 1,
                        Err(Kind::Timeout) => figures.timed_out += 1,
                        Err(_) => figures.otherwise += 1,
                    }
                    let bin = self.bin(moment.at, server);
                    match ended.outcome {
                        Ok(()) => bin.accepted += 1,
                        Err(_) => bin.failed += 1,
                    }
                }
                Output::Event(Event::Closed(_)) => self.closed += 1,
                Output::Event(_) | Output::Cancel(_) | Output::HangUp { .. } | _ => {}
            }
        }
        let up = matches!(moment.status, Status::Connected { .. });
        if up != self.is_up(moment.client) {
            self.turned(moment.at, moment.client, up);
        }
    }

    fn is_up(&self, client: usize) -> bool {
        self.up[client / 64] >> (client % 64) & 1 == 1
    }

    /// A client was connected or lost its connection.
    fn turned(&mut self, at: Time, client: usize, up: bool) {
        self.up[client / 64] ^= 1 << (client % 64);
        if up {
            self.connected += 1;
            let since = self.down[client];
            if since != NEW {
                self.waited.note(client, Time::from_nanos(since), at);
            }
        } else {
            self.connected -= 1;
            self.down[client] = at.as_nanos();
            self.lost_at.get_or_insert(at);
            self.least = self.least.min(self.connected);
        }
        for (share, back) in SHARES.iter().zip(&mut self.back) {
            let wanted = (self.down.len() * share).div_ceil(100);
            match back {
                None if self.connected >= wanted => *back = Some(at),
                Some(_) if self.connected < wanted => *back = None,
                None | Some(_) => {}
            }
        }
    }

    /// The time goes on: the bins up to now are complete.
    pub(super) fn pass(&mut self, fleet: &Fleet, at: Time) {
        let servers = self.servers.len();
        let now = self.place(at);
        while self.bins.len() < (now + 1) * servers {
            for server in 0..servers {
                let held = fleet.load(server);
                self.bins.push(Bin {
                    held,
                    ..Bin::default()
                });
            }
        }
    }

    fn bin(&mut self, at: Time, server: usize) -> &mut Bin {
        let place = self.place(at) * self.servers.len() + server;
        &mut self.bins[place]
    }

    fn place(&self, at: Time) -> usize {
        usize::try_from(at.min(self.until).as_nanos() / self.bin).unwrap_or(usize::MAX)
    }

    pub(super) fn herd(mut self, policy: &str, cut: bool, clock: &Clock) -> Herd {
        let servers = self.servers.len();
        let per_second = 1e9 / float(self.bin);
        for (number, figures) in self.servers.iter_mut().enumerate() {
            let mut bins = self.bins.iter().skip(number).step_by(servers);
            let dials = Worst::of(bins.clone().map(|bin| bin.dials));
            let accepted = Worst::of(bins.clone().map(|bin| bin.accepted));
            figures.held = bins.next_back().map_or(0, |bin| bin.held);
            figures.peak_at = Time::from_nanos(self.bin * dials.at);
            figures.peak = float(dials.most) * per_second;
            figures.p99 = float(dials.p99) * per_second;
            figures.accepted_peak = float(accepted.most) * per_second;
            figures.accepted_p99 = float(accepted.p99) * per_second;
        }
        let since = Time::from_nanos;
        for client in 0..self.down.len() {
            let down = self.down[client];
            if down != NEW && !self.is_up(client) {
                self.waited.note(client, since(down), self.until);
            }
        }
        Herd {
            policy: policy.to_string(),
            clients: self.down.len(),
            connected: self.connected,
            closed: self.closed,
            lost_at: self.lost_at,
            least: self.least.min(self.down.len()),
            healed_at: self
                .lost_at
                .filter(|_| self.still_down.is_empty())
                .map(|lost| self.healed.max(lost)),
            still_down: self.still_down,
            back: self.back,
            waited: self.waited,
            steps: self.steps,
            cut,
            took: clock.took(),
            on_processor: clock.on_processor(),
            bin: Duration::from_nanos(self.bin),
            until: self.until,
            servers: self.servers,
            bins: self.bins,
        }
    }
}

/// The worst of some counts.
struct Worst {
    most: u64,
    /// Which the worst is.
    at: u64,
    /// The one that is worse than 99 % of those above zero.
    p99: u64,
}

impl Worst {
    fn of(counts: impl Iterator<Item = u64>) -> Self {
        let mut counts: Vec<u64> = counts.collect();
        let most = counts.iter().copied().max().unwrap_or(0);
        let at = counts.iter().position(|count| *count == most).unwrap_or(0);
        counts.retain(|count| *count > 0);
        counts.sort_unstable();
        let p99 = (counts.len() * 99 / 100).min(counts.len().saturating_sub(1));
        Self {
            most,
            at: u64::try_from(at).unwrap_or(0),
            p99: counts.get(p99).copied().unwrap_or(0),
        }
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[expect(clippy::cast_precision_loss, reason = "figures for people")]
pub(super) fn float(number: u64) -> f64 {
    number as f64
}
