//! The director: takes servers away and brings them back, and sees what becomes of the client.

use std::collections::BTreeSet;
use std::future::Future;
use std::io::Write;
use std::pin::pin;
use std::time::Duration;

use failover_core::attempt::{AttemptId, Purpose};
use failover_core::dial::Dial;
use failover_core::drive::{Clock, Connector, Event, Events, GiveUp, Handle, Link, What};
use failover_core::time::Time;
use serde_json::json;
use tokio::sync::watch;
use tokio::time::timeout;
use transport_tcp::TokioClock;

use crate::demo::client::Tally;
use crate::demo::outage::Outage;
use crate::demo::server::{Mode, Server, Speaks};
use crate::demo::{Demo, Fault, LONGEST, Report, Row};
use crate::timeline::{Mark, Style, millis_at, short};

/// Directs one demo and writes down what happens.
pub(crate) struct Director<'a> {
    demo: Demo,
    servers: &'a [Server],
    events: Events,
    handle: Handle,
    clock: TokioClock,
    tally: watch::Receiver<Tally>,
    out: &'a mut (dyn Write + Send),
    report: Report,
    /// The connection that stands.
    here: Option<Link>,
    here_since: Time,
    /// When a connection was lost since this was last emptied, and what was said of it.
    lost: Option<(Time, String)>,
    /// Dials since the outage began.
    attempts: u32,
    /// The connections that were kept as spares.
    spares: BTreeSet<AttemptId>,
    /// The endpoints on which an echo came back.
    visited: BTreeSet<String>,
}

/// What failed, in words.
type Failed = String;

impl<'a> Director<'a> {
    pub(crate) fn new<D: Dial + 'static>(
        demo: Demo,
        servers: &'a [Server],
        connector: &mut Connector<D, TokioClock>,
        clock: TokioClock,
        tally: watch::Receiver<Tally>,
        out: &'a mut (dyn Write + Send),
    ) -> Self {
        Self {
            demo,
            servers,
            events: connector.events(),
            handle: connector.handle(),
            clock,
            tally,
            out,
            report: Report {
                standby: demo.standby,
                ..Report::default()
            },
            here: None,
            here_since: Time::ZERO,
            lost: None,
            attempts: 0,
            spares: BTreeSet::new(),
            visited: BTreeSet::new(),
        }
    }

    /// Runs the client beside the script, closes it, and reports.
    pub(crate) async fn direct(
        mut self,
        client: impl Future<Output = Result<(), GiveUp>>,
    ) -> Report {
        let mut client = pin!(client);
        let ended = tokio::select! {
            ended = &mut client => Some(ended),
            played = timeout(LONGEST, self.play_all()) => {
                match played {
                    Ok(Ok(())) => {}
                    Ok(Err(failed)) => self.report.failures.push(failed),
                    Err(_) => self.fail(format!("not done within {}", short(LONGEST))),
                }
                None
            }
        };
        match ended {
            Some(Ok(())) => self.fail("the client ended by itself".to_string()),
            Some(Err(gave_up)) => self.fail(format!("the client gave up: {gave_up}")),
            None => {
                self.handle.close();
                if timeout(CLOSED_WITHIN, client).await.is_err() {
                    self.fail(format!(
                        "the client was not closed within {}",
                        short(CLOSED_WITHIN)
                    ));
                }
            }
        }
        while let Some(event) = self.events.try_next() {
            self.see(&event);
        }
        self.sum_up()
    }

    fn sum_up(mut self) -> Report {
        let tally = *self.tally.borrow();
        // Whatever stopped the script says enough; what it did not come to is no news.
        if self.report.is_ok() {
            self.check_all(&tally);
        }
        self.report.sent = tally.sent;
        self.report.echoed = tally.echoed;
        self.report.bytes = tally.bytes;
        self.report.took = self.clock.now().since(Time::ZERO);
        self.report
    }

    fn check_all(&mut self, tally: &Tally) {
        if let Some(wrong) = tally.wrong {
            self.fail(wrong.to_string());
        }
        for server in self.servers {
            let name = server.speaks.scheme();
            if !self.visited.contains(name) {
                self.fail(format!("the client was never connected over {name}"));
            }
        }
    }

    fn fail(&mut self, what: Failed) {
        self.report.failures.push(what);
    }

    async fn play_all(&mut self) -> Result<(), Failed> {
        self.tell_servers();
        for outage in Outage::ALL {
            self.rest().await?;
            self.play(outage).await?;
        }
        self.rest().await?;
        // Whoever lost a connection that nobody took away may have skipped a server.
        for _ in self.servers {
            if self.visited.len() < self.servers.len() {
                self.play(Outage::Stop).await?;
                self.rest().await?;
            }
        }
        Ok(())
    }

    /// One outage: take away, see it noticed, see the client back, bring back.
    async fn play(&mut self, outage: Outage) -> Result<(), Failed> {
        let Some(at) = self.here.as_ref().and_then(|link| self.index_of(link)) else {
            return Err("the client is not connected".to_string());
        };
        let name = self.servers[at].speaks.scheme();
        let began = self.clock.now();
        self.attempts = 0;
        self.lost = None;
        self.take_away(outage, at);
        let mut row = Row {
            outage: outage.name().to_string(),
            server: name.to_string(),
            detected_after: None,
            back_after: None,
            attempts: 0,
            on: None,
            promoted_after: None,
        };

        let noticed = self
            .until(outage.noticed_within(), |seen| seen.lost.is_some())
            .await?;
        row.detected_after = self.lost.as_ref().map(|(at, _)| at.since(began));
        if noticed.is_err() {
            let within = short(outage.noticed_within());
            let failed = format!("{}: {name}: not noticed within {within}", row.outage);
            self.report.outages.push(row);
            return Err(failed);
        }
        if let Some(after) = outage.one_back_after() {
            let elapsed = self.clock.now().since(began);
            let nothing = self.until(after.saturating_sub(elapsed), |_| false);
            // It always takes the whole time.
            let _ = nothing.await?;
            self.turn(&[(at + 2) % self.servers.len()], Mode::Serving);
        }

        let back = self.settle().await?;
        row.attempts = self.attempts;
        if back.is_ok() {
            row.back_after = Some(self.here_since.since(began));
            row.on = self.here.as_ref().map(name_of);
            row.promoted_after = self.promoted();
        }
        self.report.outages.push(row);
        if back.is_err() {
            let within = short(BACK_WITHIN);
            let outage = outage.name();
            return Err(format!(
                "{outage}: {name}: not connected again within {within}"
            ));
        }
        let away: Vec<usize> = (0..self.servers.len())
            .filter(|&number| self.servers[number].mode() != Mode::Serving)
            .collect();
        self.turn(&away, Mode::Serving);
        Ok(())
    }

    fn take_away(&mut self, outage: Outage, at: usize) {
        let [this, next, others] = outage.modes();
        let count = self.servers.len();
        for mode in [Mode::Stopped, Mode::Resetting, Mode::Stalled] {
            let modes = [this, next].into_iter().chain(std::iter::repeat(others));
            let chosen: Vec<usize> = (0..count)
                .zip(modes)
                .filter(|&(_, its)| its == mode)
                .map(|(more, _)| (at + more) % count)
                .collect();
            self.turn(&chosen, mode);
        }
    }

    /// Waits for a connection that proves good, and lets it be used for a while. A loss that
    /// nobody caused is a row of its own.
    async fn rest(&mut self) -> Result<(), Failed> {
        loop {
            if self.settle().await?.is_err() {
                return Err(format!("not connected within {}", short(BACK_WITHIN)));
            }
            self.attempts = 0;
            self.lost = None;
            // Ends early only when a connection is lost.
            if self.until(REST, |seen| seen.lost.is_some()).await?.is_err() {
                return Ok(());
            }
            let Some((lost_at, what)) = self.lost.take() else {
                continue;
            };
            let back = self.settle().await?.is_ok();
            let promoted_after = self.promoted();
            self.report.outages.push(Row {
                outage: "not caused here".to_string(),
                server: what,
                detected_after: Some(Duration::ZERO),
                back_after: back.then(|| self.here_since.since(lost_at)),
                attempts: self.attempts,
                on: self.here.as_ref().map(name_of),
                promoted_after,
            });
        }
    }

    /// Until a connection stands and echoes came back on it.
    async fn settle(&mut self) -> Result<Result<(), TooLong>, Failed> {
        let settled = self
            .until(BACK_WITHIN, |seen| {
                let tally = seen.tally.borrow();
                let same = seen
                    .here
                    .as_ref()
                    .is_some_and(|link| tally.link == Some(link.id));
                same && tally.on_link >= PROOF
            })
            .await?;
        if let (Ok(()), Some(link)) = (&settled, &self.here) {
            self.visited.insert(name_of(link));
        }
        Ok(settled)
    }

    /// Sees what happens until this is so, or too much time has passed.
    async fn until(
        &mut self,
        within: Duration,
        so: impl Fn(&Self) -> bool,
    ) -> Result<Result<(), TooLong>, Failed> {
        let watching = async {
            while !so(self) {
                tokio::select! {
                    event = self.events.next() => match event {
                        Some(event) => self.see(&event),
                        None => return Err("the client's events ended".to_string()),
                    },
                    changed = self.tally.changed() => {
                        let wrong = self.tally.borrow_and_update().wrong;
                        if let Some(wrong) = wrong {
                            return Err(wrong.to_string());
                        }
                        if changed.is_err() {
                            return Err("the client is gone".to_string());
                        }
                    }
                }
            }
            Ok(())
        };
        match timeout(within, watching).await {
            Ok(Ok(())) => Ok(Ok(())),
            Ok(Err(failed)) => Err(failed),
            Err(_) => Ok(Err(TooLong)),
        }
    }

    fn see(&mut self, event: &Event) {
        if let Some(line) = self.demo.style.event(event) {
            self.write(&line);
        }
        #[expect(
            clippy::wildcard_enum_match_arm,
            reason = "the demo's policy moves nowhere by itself"
        )]
        match &event.what {
            What::Attempt(attempt) if attempt.purpose == Purpose::Spare => {}
            What::Attempt(_) => self.attempts += 1,
            What::SpareReady(link) => drop(self.spares.insert(link.id)),
            What::Connected(link) | What::Reconnected(link) | What::FailedOver { to: link, .. } => {
                self.here = Some(link.clone());
                self.here_since = event.at;
            }
            What::Disconnected { link, .. } => {
                self.here = None;
                // The first loss of an outage is the one that is asked for.
                self.lost.get_or_insert((event.at, name_of(link)));
            }
            _ => {}
        }
    }

    /// How soon the connection that stands was handed out, if it was a spare. Told when it is settled.
    fn promoted(&mut self) -> Option<Duration> {
        let link = self
            .here
            .clone()
            .filter(|link| self.spares.contains(&link.id))?;
        let after = self.tally.borrow().handed_after?;
        let (now, name) = (self.clock.now(), name_of(&link));
        let micros = after.as_secs_f64() * 1e6;
        let line = match self.demo.style {
            Style::Json => json!({"at_ms": millis_at(now), "event": "promoted", "endpoint": name, "after_us": micros}).to_string(),
            style @ (Style::Plain | Style::Coloured) => {
                let text = format!("the spare on {name}, in use {micros:.0} µs after the loss was seen");
                style.line(now, Mark::Good, "promoted", &text)
            }
        };
        self.write(&line);
        Some(after)
    }

    fn turn(&mut self, numbers: &[usize], mode: Mode) {
        if numbers.is_empty() {
            return;
        }
        let servers = numbers.iter().map(|&number| &self.servers[number]);
        let mut names = Vec::new();
        for server in servers {
            names.push(server.speaks.scheme());
            if self.obeys(server, mode) {
                server.turn(mode);
            }
        }
        let now = self.clock.now();
        let line = match self.demo.style {
            Style::Json => {
                json!({"at_ms": millis_at(now), "event": "servers", "endpoints": names, "mode": mode.to_string()})
                    .to_string()
            }
            style @ (Style::Plain | Style::Coloured) => {
                style.line(now, Mark::Deed, "servers", &format!("{} {mode}", names.join(", ")))
            }
        };
        self.write(&line);
    }

    /// Whether a server does as it is told: it does, unless that is the fault to be found.
    fn obeys(&self, server: &Server, mode: Mode) -> bool {
        match self.demo.fault {
            Some(Fault::NoOutage) => false,
            Some(Fault::NeverBack) => mode != Mode::Serving,
            Some(Fault::NoWss) => server.speaks != Speaks::Wss,
            Some(Fault::FlipBit(_)) | None => true,
        }
    }

    fn tell_servers(&mut self) {
        let urls: Vec<String> = self.servers.iter().map(Server::url).collect();
        let now = self.clock.now();
        let line = match self.demo.style {
            Style::Json => {
                json!({"at_ms": millis_at(now), "event": "begin", "urls": urls, "seed": self.demo.seed})
                    .to_string()
            }
            style @ (Style::Plain | Style::Coloured) => {
                let text = format!("seed {}: {}", self.demo.seed, urls.join(" "));
                style.line(now, Mark::Note, "begin", &text)
            }
        };
        self.write(&line);
    }

    /// Output that nobody takes any more is no reason to stop.
    fn write(&mut self, line: &str) {
        let _ = writeln!(self.out, "{line}").and_then(|()| self.out.flush());
    }

    fn index_of(&self, link: &Link) -> Option<usize> {
        let name = link.target.endpoint().name();
        let mut servers = self.servers.iter();
        servers.position(|server| server.speaks.scheme() == name)
    }
}

/// It did not become so in time.
struct TooLong;

fn name_of(link: &Link) -> String {
    link.target.endpoint().name().to_string()
}

/// Within this time after servers are back the client must be.
const BACK_WITHIN: Duration = Duration::from_secs(3);

/// Within this time after the handle's `close` the client must have ended.
const CLOSED_WITHIN: Duration = Duration::from_millis(500);

/// How many echoes prove a connection.
const PROOF: u64 = 3;

/// How long a connection is left alone before the next outage. Longer than the policy's stability
/// time, so that every outage begins with a clean slate.
const REST: Duration = Duration::from_millis(450);
