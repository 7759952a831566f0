//! What became of a herd, for people and programs.

use std::fmt;
use std::time::Duration;

use failover_core::time::Time;
use serde_json::{Value, json};

use super::count::{SHARES, float};
use crate::timeline::{Table, millis, millis_at, short};

/// A herd in figures.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Herd {
    /// The policy.
    pub policy: String,
    /// How many clients there were.
    pub clients: usize,
    /// How many were connected at the end.
    pub connected: usize,
    /// How many had given up.
    pub closed: usize,
    /// When the first connection was lost, if one was.
    pub lost_at: Option<Time>,
    /// The fewest clients that were connected after that.
    pub least: usize,
    /// When the world did something to the servers for the last time: from then on it is as good as
    /// it gets. Nothing, where no connection was lost or the world never healed.
    pub healed_at: Option<Time>,
    /// The servers, if at the end all of them still took no connection: the world never healed.
    pub still_down: Vec<String>,
    /// When 50, 90, 99 and 100 % of the clients were connected, and stayed so.
    pub back: [Option<Time>; 4],
    /// How long clients were without a connection.
    pub waited: Waited,
    /// Steps of the machines.
    pub steps: u64,
    /// Whether it ended because too much happened.
    pub cut: bool,
    /// How long the play took, on this computer.
    pub took: Duration,
    /// How long it had a processor meanwhile; the same where the system does not say.
    pub on_processor: Duration,
    /// How finely rates are measured.
    pub bin: Duration,
    /// When it ended.
    pub until: Time,
    /// Server by server.
    pub servers: Vec<ServerFigures>,
    /// By time, then by server.
    pub bins: Vec<Bin>,
}

/// What happened to one server in one stretch of time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Bin {
    /// Dials that began.
    pub dials: u64,
    /// Dials that failed.
    pub failed: u64,
    /// Dials that became connections.
    pub accepted: u64,
    /// Connections that it held when it began.
    pub held: usize,
}

/// One server of a herd.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct ServerFigures {
    /// Its name.
    pub name: String,
    /// Dials to it.
    pub dials: u64,
    /// Those that became connections.
    pub accepted: u64,
    /// Those that it refused.
    pub refused: u64,
    /// Those that took too long.
    pub timed_out: u64,
    /// Those that ended otherwise: failed in another way, or called off.
    pub otherwise: u64,
    /// Dials a second in the worst stretch.
    pub peak: f64,
    /// When that was.
    pub peak_at: Time,
    /// Dials a second in the stretch that is worse than 99 % of those in which there were any.
    pub p99: f64,
    /// Dials that became connections, in a second of the stretch with the most of them.
    pub accepted_peak: f64,
    /// The same of the stretch that is worse than 99 % of those in which there were any.
    pub accepted_p99: f64,
    /// Connections that it held at the end.
    pub held: usize,
}

/// How long clients were without a connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Waited {
    /// The longest time of one client.
    pub longest: Duration,
    /// Which.
    pub client: usize,
    /// Since when.
    pub since: Time,
    /// How many times a client came back or still waits at the end.
    pub times: u64,
    total: Duration,
}

impl Waited {
    pub(super) fn note(&mut self, client: usize, since: Time, until: Time) {
        let waited = until.since(since);
        self.times += 1;
        self.total = self.total.saturating_add(waited);
        if waited > self.longest {
            (self.longest, self.client, self.since) = (waited, client, since);
        }
    }

    /// The mean.
    #[must_use]
    pub fn mean(&self) -> Duration {
        let times = u32::try_from(self.times).unwrap_or(u32::MAX);
        self.total.checked_div(times).unwrap_or_default()
    }
}

impl ServerFigures {
    pub(super) fn new(name: &str) -> Self {
        Self {
            name: name.to_string(),
            dials: 0,
            accepted: 0,
            refused: 0,
            timed_out: 0,
            otherwise: 0,
            peak: 0.0,
            peak_at: Time::ZERO,
            p99: 0.0,
            accepted_peak: 0.0,
            accepted_p99: 0.0,
            held: 0,
        }
    }
}

impl Herd {
    /// Dials of all.
    #[must_use]
    pub fn dials(&self) -> u64 {
        self.servers.iter().map(|server| server.dials).sum()
    }

    /// Dials that led to nothing.
    #[must_use]
    pub fn wasted(&self) -> u64 {
        let accepted: u64 = self.servers.iter().map(|server| server.accepted).sum();
        self.dials().saturating_sub(accepted)
    }

    /// Dials of one client, in the mean.
    #[must_use]
    pub fn dials_each(&self) -> f64 {
        float(self.dials()) / float(u64::try_from(self.clients.max(1)).unwrap_or(u64::MAX))
    }

    /// The highest rate of dials at one server.
    #[must_use]
    pub fn peak(&self) -> f64 {
        self.servers.iter().map(|s| s.peak).fold(0.0, f64::max)
    }

    /// The highest rate of dials at one server once the world had healed: those that cost it work. Zero,
    /// where it never did.
    #[must_use]
    pub fn peak_of_return(&self) -> f64 {
        self.peak_of_return_over(1)
    }

    /// The same in so many stretches together.
    #[must_use]
    pub fn peak_of_return_over(&self, stretches: usize) -> f64 {
        if !self.still_down.is_empty() {
            return 0.0;
        }
        let stretches = stretches.max(1);
        let healed = self.healed_at.unwrap_or(Time::ZERO).as_nanos();
        let width = u64::try_from(self.bin.as_nanos())
            .unwrap_or(u64::MAX)
            .max(1);
        let before = usize::try_from(healed / width).unwrap_or(usize::MAX);
        let servers = self.servers.len().max(1);
        let rows: Vec<&[Bin]> = self.bins.chunks(servers).skip(before).collect();
        let of = |rows: &[&[Bin]], server: usize| {
            let bins = rows.iter().filter_map(|row| row.get(server));
            bins.map(|bin| bin.dials).sum::<u64>()
        };
        let groups = rows.chunks(stretches);
        let most = groups.flat_map(|rows| (0..servers).map(move |server| of(rows, server)));
        let width = self.bin.as_secs_f64() * float(u64::try_from(stretches).unwrap_or(u64::MAX));
        float(most.max().unwrap_or(0)) / width
    }

    /// The connections of the fullest server over those of a fair share, where any are held.
    #[must_use]
    pub fn imbalance(&self) -> Option<f64> {
        self.share(self.servers.iter().map(|server| server.held).max()?)
    }

    /// The same of the emptiest server.
    #[must_use]
    pub fn emptiest(&self) -> Option<f64> {
        self.share(self.servers.iter().map(|server| server.held).min()?)
    }

    fn share(&self, connections: usize) -> Option<f64> {
        let number = |n: usize| float(u64::try_from(n).unwrap_or(u64::MAX));
        let held: f64 = self.servers.iter().map(|server| number(server.held)).sum();
        (held > 0.0).then(|| number(connections) * number(self.servers.len()) / held)
    }

    /// How long after the world had healed so many percent (50, 90, 99, 100) were back; zero if they
    /// were already. `None`: they were not.
    #[must_use]
    pub fn back_after(&self, percent: usize) -> Option<Duration> {
        let at = SHARES.iter().position(|share| *share == percent)?;
        Some(self.back[at]?.since(self.healed_at?))
    }

    /// Whether all clients were connected at the end.
    #[must_use]
    pub fn recovered(&self) -> bool {
        self.connected == self.clients && !self.cut
    }

    /// Steps of the machines in a second of a processor of this computer.
    #[must_use]
    pub fn speed(&self) -> f64 {
        float(self.steps) / self.on_processor.as_secs_f64().max(1e-9)
    }

    /// For programs. What the computer's speed decides is not in it: the same scenario gives the same
    /// text.
    #[must_use]
    pub fn json(&self) -> Value {
        let back = |percent| self.back_after(percent).map(millis);
        let of_all =
            |figure: fn(&ServerFigures) -> u64| self.servers.iter().map(figure).sum::<u64>();
        json!({
            "policy": self.policy,
            "clients": self.clients,
            "connected": self.connected,
            "closed": self.closed,
            "recovered": self.recovered(),
            "cut": self.cut,
            "lost_at_ms": self.lost_at.map(millis_at),
            "least_connected": self.least,
            "healed_at_ms": self.healed_at.map(millis_at),
            "back_50_ms": back(50),
            "back_90_ms": back(90),
            "back_99_ms": back(99),
            "back_100_ms": back(100),
            "dials": self.dials(),
            "accepted": of_all(|server| server.accepted),
            "refused": of_all(|server| server.refused),
            "timed_out": of_all(|server| server.timed_out),
            "otherwise": of_all(|server| server.otherwise),
            "wasted": self.wasted(),
            "dials_per_client": rounded(self.dials_each()),
            "longest_wait_ms": millis(self.waited.longest),
            "longest_wait_client": self.waited.client,
            "longest_wait_since_ms": millis_at(self.waited.since),
            "mean_wait_ms": millis(self.waited.mean()),
            "peak_of_return_per_s": rounded(self.peak_of_return()),
            "imbalance": self.imbalance().map(rounded),
            "emptiest": self.emptiest().map(rounded),
            "steps": self.steps,
            "rates_per_ms": millis(self.bin),
            "servers": self.servers.iter().map(ServerFigures::json).collect::<Vec<_>>(),
        })
    }
}

impl ServerFigures {
    fn json(&self) -> Value {
        json!({
            "name": self.name,
            "dials": self.dials,
            "accepted": self.accepted,
            "refused": self.refused,
            "timed_out": self.timed_out,
            "otherwise": self.otherwise,
            "peak_dials_per_s": rounded(self.peak),
            "peak_at_ms": millis_at(self.peak_at),
            "p99_dials_per_s": rounded(self.p99),
            "peak_accepted_per_s": rounded(self.accepted_peak),
            "p99_accepted_per_s": rounded(self.accepted_p99),
            "held": self.held,
        })
    }
}

impl fmt::Display for Herd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut table = Table::new([
            "server",
            "dials",
            "accepted",
            "refused",
            "timed out",
            "other",
            "peak/s",
            "at",
            "p99/s",
            "accepted/s",
            "p99",
            "held at the end",
        ]);
        for server in &self.servers {
            table.row([
                server.name.clone(),
                server.dials.to_string(),
                server.accepted.to_string(),
                server.refused.to_string(),
                server.timed_out.to_string(),
                server.otherwise.to_string(),
                format!("{:.0}", server.peak),
                seconds(server.peak_at),
                format!("{:.0}", server.p99),
                format!("{:.0}", server.accepted_peak),
                format!("{:.0}", server.accepted_p99),
                server.held.to_string(),
            ]);
        }
        write!(f, "{table}")?;
        writeln!(
            f,
            "\n{} of {} connected at the end, {} gave up; {:.2} dials each, {} led to nothing",
            self.connected,
            self.clients,
            self.closed,
            self.dials_each(),
            self.wasted(),
        )?;
        match self.lost_at {
            None if self.still_down.is_empty() || self.recovered() => {
                return write!(f, "no connection was lost");
            }
            None => write!(f, "no connection was lost; ")?,
            Some(lost) => write!(
                f,
                "first loss at {}, at least {} connected; ",
                seconds(lost),
                self.least
            )?,
        }
        if let Some(healed) = self.healed_at {
            let at = seconds(healed);
            write!(f, "the world had healed at {at}; back after that:")?;
            for percent in SHARES {
                write!(f, " {percent} % {}", after(self.back_after(percent)))?;
            }
        } else {
            let are = if self.still_down.len() == 1 {
                "is"
            } else {
                "are"
            };
            let names = self.still_down.join(", ");
            write!(
                f,
                "the world never healed: {names} {are} still down at the end"
            )?;
        }
        writeln!(
            f,
            "\nlongest without a connection: client {}, {} from {}; mean {}",
            self.waited.client,
            short(self.waited.longest),
            seconds(self.waited.since),
            short(self.waited.mean()),
        )?;
        if let Some(imbalance) = self.imbalance()
            && self.servers.len() > 1
        {
            let emptiest = self.emptiest().unwrap_or(0.0);
            writeln!(
                f,
                "the fullest server holds {imbalance:.2} times a fair share, the emptiest {emptiest:.2}"
            )?;
        }
        if self.cut {
            return write!(f, "NOT RECOVERED: cut short, more happened than is played");
        }
        if !self.recovered() {
            let away = match self.clients - self.connected {
                1 => "1 client is".to_string(),
                away => format!("{away} clients are"),
            };
            return write!(f, "NOT RECOVERED: {away} without a connection at the end");
        }
        write!(f, "all are back")
    }
}

/// Several herds beside each other: the text of `--compare`.
#[must_use]
pub fn compared(herds: &[Herd]) -> String {
    let mut table = Table::new([
        "policy",
        "dials each",
        "wasted",
        "peak/s",
        "of return",
        "50 %",
        "90 %",
        "99 %",
        "100 %",
        "longest wait",
        "imbalance",
        "",
    ]);
    for herd in herds {
        table.row([
            herd.policy.clone(),
            format!("{:.2}", herd.dials_each()),
            herd.wasted().to_string(),
            format!("{:.0}", herd.peak()),
            format!("{:.0}", herd.peak_of_return()),
            after(herd.back_after(50)),
            after(herd.back_after(90)),
            after(herd.back_after(99)),
            after(herd.back_after(100)),
            short(herd.waited.longest),
            herd.imbalance()
                .map_or(String::new(), |i| format!("{i:.2}")),
            if herd.recovered() {
                ""
            } else {
                "not recovered"
            }
            .to_string(),
        ]);
    }
    table.to_string()
}

fn after(back: Option<Duration>) -> String {
    back.map_or("never".to_string(), short)
}

fn seconds(at: Time) -> String {
    format!("{:.3} s", at.since(Time::ZERO).as_secs_f64())
}

pub(super) fn rounded(figure: f64) -> f64 {
    (figure * 1e4).round() / 1e4
}
