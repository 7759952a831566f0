//! `failover demo`: real servers, taken away and brought back, and one client that stays connected.
//!
//! The client is one [`Connector`] over all four transports. The director beside it never touches
//! the connection: it turns the servers' switches, and learns from the connector's own events and
//! from the echoed bytes what became of it.

mod authority;
mod client;
mod director;
mod outage;
mod server;

use std::io::{self, Write};
use std::time::Duration;

use failover_core::directory::{Endpoint, UrlError};
use failover_core::drive::{BuildError, Connector, Recorder, Recording};
use failover_core::policy::{
    Backoff, Jitter, Limits, Order, Pace, Policy, PolicyError, Ratio, Seed, Standing, Walk,
};
use thiserror::Error;
use tokio::sync::watch;
use transport_tcp::{ByteStream, TokioClock};

use self::authority::Authority;
use self::client::{Tally, exchange};
use self::director::Director;
use self::server::{Mode, Server, Speaks};
use crate::registry;
use crate::timeline::{Style, Table, millis, short};

/// How the demo runs.
#[derive(Clone, Copy, Debug)]
pub struct Demo {
    /// The seed of the client's jitter and of the lines that it sends.
    pub seed: u64,
    /// How many spare connections the client keeps.
    pub standby: u8,
    /// How its story is told.
    pub style: Style,
    /// Something that is made to go wrong, to see that the demo says so.
    pub fault: Option<Fault>,
}

/// What can be made to go wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Each connection's echo has one wrong bit in the byte with this number.
    FlipBit(u64),
    /// Servers that were taken away stay away.
    NeverBack,
    /// Switches do nothing: what is called an outage is none.
    NoOutage,
    /// The wss server is never there.
    NoWss,
}

/// Why there was no demo. (A demo that went wrong is a [`Report`].)
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum DemoError {
    /// No server could be started.
    #[error("cannot start a server on 127.0.0.1")]
    Server(#[from] io::Error),
    /// A server's URL.
    #[error(transparent)]
    Url(#[from] UrlError),
    /// The client's policy.
    #[error(transparent)]
    Policy(#[from] PolicyError),
    /// The client.
    #[error(transparent)]
    Client(#[from] BuildError),
}

/// What came of it.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Report {
    /// The outages, in order.
    pub outages: Vec<Row>,
    /// What failed. Empty: the client was connected again after every outage, over each of the
    /// four transports at least once, and no byte of the echo was wrong.
    pub failures: Vec<String>,
    /// How many spare connections the client kept.
    pub standby: u8,
    /// Lines sent.
    pub sent: u64,
    /// Lines that came back right.
    pub echoed: u64,
    /// Bytes of those.
    pub bytes: u64,
    /// How long it took.
    pub took: Duration,
    /// What the client's flight recorder kept.
    pub recording: Option<Recording>,
}

/// One outage. Times count from the moment when the servers were taken away.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Row {
    /// What was done.
    pub outage: String,
    /// To which server.
    pub server: String,
    /// When the client noticed.
    pub detected_after: Option<Duration>,
    /// When it was connected again, and the echo came back.
    pub back_after: Option<Duration>,
    /// How many dials it made.
    pub attempts: u32,
    /// On which endpoint it was connected again.
    pub on: Option<String>,
    /// If that was a spare: how long after the end of the session before it was handed out.
    pub promoted_after: Option<Duration>,
}

impl Demo {
    /// Runs it: about seven seconds, and never more than [`LONGEST`]. What happens is written to `out`
    /// as it happens; output that cannot be written is left out.
    ///
    /// # Errors
    /// When servers or client cannot be set up.
    pub async fn run(self, out: &mut (dyn Write + Send)) -> Result<Report, DemoError> {
        let clock = TokioClock::new();
        let authority = Authority::new()?;
        let flip_at = match self.fault {
            Some(Fault::FlipBit(at)) => Some(at),
            Some(Fault::NeverBack | Fault::NoOutage | Fault::NoWss) | None => None,
        };
        let start = |speaks| Server::start(speaks, &authority.server, flip_at);
        let servers: Vec<Server> = Speaks::ALL
            .map(start)
            .into_iter()
            .collect::<Result<_, _>>()?;
        if self.fault == Some(Fault::NoWss) {
            let wss = servers.iter().filter(|server| server.speaks == Speaks::Wss);
            wss.for_each(|server| server.turn(Mode::Stopped));
        }
        let endpoints = servers
            .iter()
            .map(|server| Ok(Endpoint::parse(&server.url())?.named(server.speaks.scheme())))
            .collect::<Result<Vec<_>, UrlError>>()?;

        let mut connector = Connector::builder(registry(authority.client), clock)
            .endpoints(endpoints)
            .policy(policy(self.standby)?)
            .seed(Seed::new(self.seed))
            .recorder(Recorder::default())
            .keeper(|_| ByteStream::poll_ended)
            .build()?;
        let handle = connector.handle();
        let tally = watch::Sender::new(Tally::default());
        let director = Director::new(
            self,
            &servers,
            &mut connector,
            clock,
            tally.subscribe(),
            out,
        );
        let client = connector.run(|link| exchange(link, tally.clone(), self.seed));
        let report = director.direct(client).await;
        Ok(Report {
            recording: handle.recording(),
            ..report
        })
    }
}

/// The longest that a demo takes.
pub const LONGEST: Duration = Duration::from_secs(14);

/// One walk down the list after the other; short waits, because everything is near.
fn policy(standby: u8) -> Result<Policy, PolicyError> {
    let backoff = Backoff::Exponential {
        base: Duration::from_millis(100),
        factor: Ratio::TWO,
    };
    Policy::builder()
        .order(Order::new(Walk::Rotate))
        .pace(Pace::new(backoff).cap(Duration::from_millis(500)))
        .jitter(Jitter::Equal)
        .tls_jitter(Jitter::Equal)
        .limits(Limits::UNLIMITED)
        .stable_after(Duration::from_millis(300))
        .deadline(Duration::from_millis(600))
        // The client says goodbye to nobody.
        .standing(Standing::default().grace(Duration::ZERO).spares(standby))
        .build()
}

impl Report {
    /// Whether nothing failed.
    #[must_use]
    pub fn is_ok(&self) -> bool {
        self.failures.is_empty()
    }

    /// The last word, as lines for people or as one JSON object.
    #[must_use]
    pub fn text(&self, style: Style) -> String {
        match style {
            Style::Json => format!("{}\n", self.as_json()),
            Style::Plain | Style::Coloured => self.in_words(style),
        }
    }
}

impl Report {
    fn in_words(&self, style: Style) -> String {
        use crate::timeline::Mark;
        let or_never = |time: Option<Duration>| time.map_or_else(|| "never".to_string(), short);
        let mut heads = vec![
            "outage",
            "of",
            "detected after",
            "back after",
            "attempts",
            "on",
        ];
        if self.standby > 0 {
            heads.push("promoted in");
        }
        let mut table = Table::new(heads);
        for row in &self.outages {
            let mut cells = vec![
                row.outage.clone(),
                row.server.clone(),
                or_never(row.detected_after),
                or_never(row.back_after),
                row.attempts.to_string(),
                row.on.clone().unwrap_or_else(|| "-".to_string()),
            ];
            if self.standby > 0 {
                let promoted = row.promoted_after;
                cells.push(promoted.map_or_else(|| "not a spare".to_string(), micros));
            }
            table.row(cells);
        }
        let lost = self.sent.saturating_sub(self.echoed);
        let mut text = format!(
            "\n{table}\n  {} lines sent, {} echoed ({} bytes, each compared), {lost} \
             unanswered when a connection was lost; {}\n",
            self.sent,
            self.echoed,
            self.bytes,
            short(self.took),
        );
        let verdict = if self.is_ok() {
            style.mark(
                Mark::Good,
                "  ok: connected again after every outage, over each transport; no byte was wrong\n",
            )
        } else {
            let failures = self.failures.iter();
            let told: String = failures.map(|what| format!("  FAILED: {what}\n")).collect();
            style.mark(Mark::Bad, &told)
        };
        text.push_str(&verdict);
        text
    }

    fn as_json(&self) -> serde_json::Value {
        let outages = self.outages.iter().map(|row| {
            let mut told = serde_json::json!({
                "outage": row.outage,
                "server": row.server,
                "detected_after_ms": row.detected_after.map(millis),
                "back_after_ms": row.back_after.map(millis),
                "attempts": row.attempts,
                "on": row.on,
            });
            if self.standby > 0 {
                let promoted = row.promoted_after.map(|after| after.as_secs_f64() * 1e6);
                told["promoted_after_us"] = promoted.into();
            }
            told
        });
        serde_json::json!({
            "event": "summary",
            "ok": self.is_ok(),
            "failures": self.failures,
            "outages": outages.collect::<serde_json::Value>(),
            "lines_sent": self.sent,
            "lines_echoed": self.echoed,
            "bytes_compared": self.bytes,
            "took_ms": millis(self.took),
        })
    }
}

/// For people, in microseconds: a promotion takes a few.
fn micros(duration: Duration) -> String {
    format!("{:.0} µs", duration.as_secs_f64() * 1e6)
}
