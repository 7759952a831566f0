//! A scenario in figures.

use std::fmt;
use std::time::Duration;

use failover_core::machine::{Event, Output, Status};
use failover_core::sim::{Fleet, Moment};
use failover_core::time::Time;
use serde_json::{Value, json};

use crate::plural::counted;
use crate::scenario::Scenario;
use crate::timeline::{Table, millis, short};

/// How finely a peak is measured.
const PEAK: Duration = Duration::from_millis(100);
/// Into how many stretches a life is cut.
const STRETCHES: u64 = 24;

/// A scenario in figures.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Summary {
    /// How many clients there were.
    pub clients: usize,
    /// How many were connected at the end.
    pub connected: usize,
    /// How many had closed.
    pub closed: usize,
    /// Dials of all.
    pub dials: u64,
    /// Those that failed.
    pub failed: u64,
    /// Connections that were lost.
    pub lost: u64,
    /// The time that all clients were connected, added up.
    pub connected_for: Duration,
    /// The longest time that one client was not connected, after it had been.
    pub longest_outage: Duration,
    /// The most dials in a tenth of a second.
    pub peak: u64,
    /// When that was.
    pub peak_at: Time,
    /// How many things happened.
    pub things: u64,
    /// Whether it ended because too much happened.
    pub cut: bool,
    /// The dials of each endpoint, by its name.
    pub per_endpoint: Vec<(String, u64)>,
    until: Time,
    stretches: Vec<Stretch>,
    lives: Vec<Life>,
    window: (u64, u64),
}

#[derive(Clone, Copy, Debug, Default)]
struct Stretch {
    dials: u64,
    failed: u64,
    lost: u64,
    /// Connections made less connections ended.
    gained: i64,
}

#[derive(Clone, Copy, Debug, Default)]
struct Life {
    since: Option<Time>,
    down: Option<Time>,
}

impl Summary {
    pub(super) fn new(scenario: &Scenario) -> Self {
        let stretches = usize::try_from(STRETCHES).unwrap_or(1);
        Self {
            clients: scenario.clients,
            connected: 0,
            closed: 0,
            dials: 0,
            failed: 0,
            lost: 0,
            connected_for: Duration::ZERO,
            longest_outage: Duration::ZERO,
            peak: 0,
            peak_at: Time::ZERO,
            things: 0,
            cut: false,
            per_endpoint: scenario
                .endpoints
                .iter()
                .map(|named| (named.name.clone(), 0))
                .collect(),
            until: scenario.until,
            stretches: vec![Stretch::default(); stretches],
            lives: vec![Life::default(); scenario.clients],
            window: (0, 0),
        }
    }

    pub(super) fn note(&mut self, fleet: &Fleet, moment: &Moment<'_>) {
        let at = self.stretch(moment.at);
        for output in moment.outputs {
            match output {
                Output::Dial(order) => {
                    self.dials += 1;
                    self.stretches[at].dials += 1;
                    self.note_peak(moment.at);
                    let server = fleet.server(moment.client, order.endpoint);
                    if let Some((_, dials)) = server.and_then(|s| self.per_endpoint.get_mut(s)) {
                        *dials += 1;
                    }
                }
                Output::Event(Event::Attempt(ended)) if ended.outcome.is_err() => {
                    self.failed += 1;
                    self.stretches[at].failed += 1;
                }
                Output::Event(Event::Disconnected { .. }) => {
                    self.lost += 1;
                    self.stretches[at].lost += 1;
                }
                Output::Event(Event::Closed(_)) => self.closed += 1,
                Output::Event(_) | Output::Cancel(_) | Output::HangUp { .. } | _ => {}
            }
        }
        self.note_life(moment, at);
    }

    fn note_peak(&mut self, at: Time) {
        let nanos = u64::try_from(PEAK.as_nanos()).unwrap_or(u64::MAX);
        let window = at.as_nanos() / nanos;
        if self.window.0 != window {
            self.window = (window, 0);
        }
        self.window.1 += 1;
        if self.window.1 > self.peak {
            self.peak = self.window.1;
            self.peak_at = Time::from_nanos(window * nanos);
        }
    }

    fn note_life(&mut self, moment: &Moment<'_>, at: usize) {
        let Some(life) = self.lives.get_mut(moment.client) else {
            return;
        };
        let up = matches!(moment.status, Status::Connected { .. });
        match (life.since, up) {
            (None, true) => {
                life.since = Some(moment.at);
                self.stretches[at].gained += 1;
                if let Some(down) = life.down.take() {
                    let outage = moment.at.since(down);
                    self.longest_outage = self.longest_outage.max(outage);
                }
            }
            (Some(since), false) => {
                life.since = None;
                life.down = Some(moment.at);
                self.stretches[at].gained -= 1;
                self.connected_for += moment.at.since(since);
            }
            (Some(_), true) | (None, false) => {}
        }
    }

    fn stretch(&self, at: Time) -> usize {
        let all = u128::from(self.until.as_nanos()).max(1);
        let part = u128::from(at.as_nanos()) * u128::from(STRETCHES) / all;
        usize::try_from(part)
            .unwrap_or(0)
            .min(self.stretches.len() - 1)
    }

    pub(super) fn finish(&mut self, fleet: &Fleet, things: u64) {
        self.things = things;
        self.cut = things >= super::MOST;
        self.connected = fleet.connected();
        for life in &self.lives {
            if let Some(since) = life.since {
                self.connected_for += self.until.since(since);
            }
            if let Some(down) = life.down {
                self.longest_outage = self.longest_outage.max(self.until.since(down));
            }
        }
    }

    /// The share of the time that the clients were connected, in percent.
    #[must_use]
    pub fn available(&self) -> f64 {
        let clients = u32::try_from(self.clients).unwrap_or(u32::MAX);
        let whole = self.until.since(Time::ZERO).as_secs_f64() * f64::from(clients);
        if whole > 0.0 {
            self.connected_for.as_secs_f64() / whole * 100.0
        } else {
            0.0
        }
    }

    /// For programs: the last line of a trace.
    #[must_use]
    pub fn json(&self) -> Value {
        json!({
            "at_ms": millis(self.until.since(Time::ZERO)),
            "event": "summary",
            "clients": self.clients,
            "connected": self.connected,
            "closed": self.closed,
            "dials": self.dials,
            "failed": self.failed,
            "lost": self.lost,
            "available_percent": (self.available() * 1e4).round() / 1e4,
            "longest_outage_ms": millis(self.longest_outage),
            "peak_dials_per_100ms": self.peak,
            "peak_at_ms": millis(self.peak_at.since(Time::ZERO)),
            "dials_by_endpoint": self
                .per_endpoint
                .iter()
                .map(|(name, dials)| (name.clone(), Value::from(*dials)))
                .collect::<serde_json::Map<_, _>>(),
        })
    }

    /// A life of many clients, stretch by stretch.
    #[must_use]
    pub fn stretches(&self) -> String {
        let mut table = Table::new(["from", "dials", "failed", "lost", "connected at its end"]);
        let length = self.until.since(Time::ZERO) / u32::try_from(STRETCHES).unwrap_or(1);
        let mut connected: i64 = 0;
        let mut from = Duration::ZERO;
        for stretch in &self.stretches {
            connected += stretch.gained;
            let share = usize::try_from(connected).unwrap_or(0) * 30 / self.clients.max(1);
            table.row([
                format!("{:.3}", from.as_secs_f64()),
                stretch.dials.to_string(),
                stretch.failed.to_string(),
                stretch.lost.to_string(),
                format!("{connected:>8} {}", "#".repeat(share)),
            ]);
            from += length;
        }
        table.to_string()
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{} of {} connected at the end, {} closed; connected {:.2} % of the time, longest outage {}",
            self.connected,
            self.clients,
            self.closed,
            self.available(),
            short(self.longest_outage),
        )?;
        write!(
            f,
            "{}, {} failed, {} lost; at most {} in 100 ms, at {:.3}",
            counted(self.dials, "dial"),
            self.failed,
            counted(self.lost, "connection"),
            counted(self.peak, "dial"),
            self.peak_at.since(Time::ZERO).as_secs_f64(),
        )?;
        if self.cut {
            write!(f, "\ncut short: more happened than is played")?;
        }
        Ok(())
    }
}
