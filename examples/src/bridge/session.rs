//! One program's connection, from its coming to its end.

use std::sync::Arc;
use std::time::{Duration, Instant};

use failover_core::directory::{Endpoint, Target};
use failover_core::drive::{Established, Event, Events, Snapshot, What};
use failover_core::failure::{Classify, Kind};
use failover_core::machine::Condition;
use failover_core::policy::MIN_REDIAL;
use serde_json::json;
use tokio::io::AsyncWriteExt;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use transport_tcp::ByteStream;

use crate::bridge::board::{Board, Place, Seat};
use crate::bridge::carry::{End, Patience, ServerLost, carry};
use crate::bridge::client::{Client, reset};
use crate::bridge::journal::Journal;
use crate::bridge::outcome::Outcome;
use crate::bridge::plan::{Common, Dialling, Plan};
use crate::bridge::view::for_people;
use crate::timeline::Mark;

/// What every session needs.
#[derive(Clone)]
pub(crate) struct Shared {
    pub(crate) board: Arc<Board>,
    pub(crate) journal: Journal,
    pub(crate) common: Arc<Common>,
    pub(crate) plan: watch::Receiver<Arc<Plan>>,
    pub(crate) stop: watch::Receiver<Stop>,
    pub(crate) patience: Patience,
    pub(crate) grace: Duration,
}

/// Whether the bridge ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Stop {
    No,
    /// Those that are connected may finish.
    Draining,
    /// It is over.
    Now,
}

/// Serves one program.
pub(crate) async fn serve(mut client: Client, mut shared: Shared) {
    let seat = shared.board.enter(client.name.clone());
    let number = seat.number();
    shared.journal.detail(Mark::Note, "client", || {
        let fields = json!({"connection": number, "client": client.name});
        (format!("#{number} {}", client.name), fields)
    });
    let mut session = Session {
        seat: &seat,
        shared: &mut shared,
    };
    let outcome = session.run(&mut client).await;
    if !matches!(outcome, Outcome::Finished | Outcome::Idle) {
        reset(client.io);
    }
    tell(&shared, seat, &outcome);
}

/// Once its seat is free: who reads the line finds the page so.
fn tell(shared: &Shared, seat: Seat, outcome: &Outcome) {
    let number = seat.number();
    let lived = seat.ended(outcome.word(), outcome.to_string());
    let (to_server, to_client) = seat.meter().bytes();
    drop(seat);
    let line = || {
        let text = format!("#{number} after {}: {outcome}", for_people(lived));
        let fields = json!({
            "connection": number,
            "how": outcome.word(),
            "lived_s": lived.as_secs_f64(),
            "bytes_to_server": to_server,
            "bytes_to_client": to_client,
        });
        (text, fields)
    };
    let mark = outcome.mark();
    if mark == Mark::Note {
        return shared.journal.detail(mark, "ended", line);
    }
    let (text, fields) = line();
    shared.journal.news(mark, "ended", &text, fields);
}

struct Session<'a> {
    seat: &'a Seat,
    shared: &'a mut Shared,
}

/// What comes while there is no connection.
enum Waited {
    Connected(Established<ByteStream>),
    /// The list is another one: begin anew.
    NewPlan,
    Over(Outcome),
}

impl Session<'_> {
    async fn run(&mut self, client: &mut Client) -> Outcome {
        loop {
            let plan = Arc::clone(&self.shared.plan.borrow_and_update());
            let number = self.seat.number();
            let mut connector = match plan.connector(&self.shared.common, number) {
                Ok(connector) => connector,
                Err(error) => return Outcome::NoConnector(error),
            };
            let mut events = connector.events();
            self.seat.waits(connector.handle());
            // Until a byte has passed, a server that is lost is replaced by another.
            let outcome = loop {
                match self.wait(client, &mut connector, &mut events).await {
                    Waited::Over(outcome) => break Some(outcome),
                    Waited::NewPlan => break None,
                    Waited::Connected(link) => {
                        let id = link.id();
                        match self.carry(client, link, &plan, &mut connector).await {
                            Carried::Ended(outcome) => break Some(outcome),
                            Carried::Broke(lost) => {
                                let told = Outcome::ServerLost(lost.told());
                                connector.lost(id, lost);
                                break Some(told);
                            }
                            Carried::Untouched(lost) => {
                                self.reopens(&lost);
                                self.seat.waits(connector.handle());
                                connector.lost(id, lost);
                            }
                        }
                    }
                }
            };
            if let Some(outcome) = outcome {
                return outcome;
            }
        }
    }

    fn reopens(&self, lost: &ServerLost) {
        let number = self.seat.number();
        self.shared.journal.detail(Mark::Note, "reopened", || {
            let text = format!("#{number}: {lost}; nothing had passed: the next server");
            let fields = json!({"connection": number, "error": lost.to_string()});
            (text, fields)
        });
        self.seat.reopens();
    }

    /// The connection, or what comes first.
    async fn wait(
        &mut self,
        client: &mut Client,
        connector: &mut Dialling,
        events: &mut Events,
    ) -> Waited {
        let connected = loop {
            let Shared { stop, plan, .. } = &mut *self.shared;
            let event = tokio::select! {
                biased;
                () = asked(stop, Stop::Draining) => {
                    return Waited::Over(Outcome::Shutdown);
                }
                () = client.broken() => return Waited::Over(Outcome::ClientGone),
                changed = plan.changed() => match changed {
                    Ok(()) => return Waited::NewPlan,
                    Err(_) => return Waited::Over(Outcome::Shutdown),
                },
                event = events.next() => event,
                connected = connector.connect() => break connected,
            };
            // A connect that is dropped goes on at the next call.
            match event {
                Some(event) => self.hear(&event),
                None => break connector.connect().await,
            }
        };
        while let Some(event) = events.try_next() {
            self.hear(&event);
        }
        match connected {
            Ok(link) => Waited::Connected(link),
            Err(gave_up) => Waited::Over(Outcome::NoServer(Box::new(gave_up))),
        }
    }

    /// What this connection's connector tells concerns all.
    fn hear(&self, event: &Event) {
        self.shared.journal.event(self.seat.number(), event);
        let What::Attempt(attempt) = &event.what else {
            return;
        };
        let Err(error) = &attempt.outcome else {
            return;
        };
        // One that was called off says nothing, and one that another route follows not yet.
        let another_route = attempt.next.as_ref().is_some_and(|next| {
            next.target.endpoint().name() == attempt.target.endpoint().name()
                && next.target.route() != attempt.target.route()
                && next.wait <= MIN_REDIAL
        });
        // Nor does it speak against the server that nothing is left on this side.
        let ours = error.failure.kind == Kind::Exhausted;
        if error.error.is_none() || another_route || ours {
            return;
        }
        self.server_fails(&attempt.target, error.failure.kind, error.to_string());
    }

    /// It could not be reached, or is not there behind what could.
    fn server_fails(&self, target: &Target, kind: Kind, why: String) {
        let name = target.endpoint().name();
        if self.shared.board.dial_failed(name, why.clone()) {
            let text = format!("{name}: {why}");
            let fields = json!({
                "endpoint": name,
                "url": target.to_string(),
                "kind": kind.as_str(),
                "error": why,
            });
            let journal = &self.shared.journal;
            journal.news(Mark::Warning, "server fails", &text, fields);
        }
    }

    async fn carry(
        &mut self,
        client: &mut Client,
        link: Established<ByteStream>,
        plan: &Plan,
        connector: &mut Dialling,
    ) -> Carried {
        let target = link.target().clone();
        let endpoint = target.endpoint().clone();
        self.connected(&link, plan, &connector.handle().snapshot());
        let mut server = link.conn;
        let meter = Arc::clone(self.seat.meter());
        let patience = self.shared.patience;
        let end = tokio::select! {
            biased;
            outcome = self.called_off(&endpoint) => Err(outcome),
            end = carry(&mut client.io, &mut server, &meter, patience) => Ok(end),
            // It hears what other connections find out; nobody asks it to leave.
            () = connector.hung_up() => Err(Outcome::Removed),
        };
        match end {
            Ok(End::Finished) => Carried::Ended(Outcome::Finished),
            Ok(End::Idle) => {
                let _ = timeout(GOODBYE, server.shutdown()).await;
                Carried::Ended(Outcome::Idle)
            }
            Ok(End::Client(error)) => {
                reset(server);
                Carried::Ended(Outcome::ClientLost(error))
            }
            Ok(End::Server(lost)) => Carried::Broke(lost),
            Ok(End::Untouched(lost)) => {
                if matches!(lost, ServerLost::Mute(_)) {
                    self.server_fails(&target, lost.failure().kind, lost.to_string());
                }
                Carried::Untouched(lost)
            }
            Err(outcome) => {
                reset(server);
                Carried::Ended(outcome)
            }
        }
    }

    fn connected(&self, link: &Established<ByteStream>, plan: &Plan, snapshot: &Snapshot) {
        let name = link.target().endpoint().name();
        let why = why(plan, snapshot, name);
        let url = link.target().url().to_string();
        let number = self.seat.number();
        let failed_for = self.seat.connected(Place {
            endpoint: name.to_string(),
            url: url.clone(),
            since: Instant::now(),
            why: why.clone(),
        });
        if let Some(failed_for) = failed_for {
            let text = format!("{name}, after {}", for_people(failed_for));
            let fields = json!({"endpoint": name, "failed_s": failed_for.as_secs_f64()});
            self.shared
                .journal
                .news(Mark::Good, "server back", &text, fields);
        }
        self.shared.journal.detail(Mark::Good, "carried", || {
            let text = format!("#{number} to {name} ({url}): {why}");
            let fields = json!({"connection": number, "endpoint": name, "url": url, "why": why});
            (text, fields)
        });
    }

    /// Ready when the session has to end although both sides stand.
    async fn called_off(&mut self, endpoint: &Endpoint) -> Outcome {
        let grace = self.shared.grace;
        let mut plan = self.shared.plan.clone();
        let mut stop = self.shared.stop.clone();
        let removed = async {
            loop {
                until_removed(&mut plan, endpoint).await;
                // It may be listed again within its grace.
                tokio::select! {
                    () = sleep(grace) => return,
                    () = until_listed(&mut plan, endpoint) => {}
                }
            }
        };
        tokio::select! {
            () = removed => Outcome::Removed,
            () = asked(&mut stop, Stop::Now) => Outcome::Shutdown,
        }
    }
}

/// Ready when the bridge is asked to end, this far.
async fn asked(stop: &mut watch::Receiver<Stop>, far: Stop) {
    let _ = stop.wait_for(|stop| *stop >= far).await;
}

/// Ready when this server is in the list.
async fn until_listed(plan: &mut watch::Receiver<Arc<Plan>>, one: &Endpoint) {
    let _ = plan.wait_for(|plan| plan.lists(one)).await;
}

/// Ready when this server is not in the list. Never when there will be no other list.
async fn until_removed(plan: &mut watch::Receiver<Arc<Plan>>, one: &Endpoint) {
    if plan.wait_for(|plan| !plan.lists(one)).await.is_err() {
        std::future::pending().await
    }
}

/// How long a goodbye to a server may take.
const GOODBYE: Duration = Duration::from_millis(250);

/// How the use of a connection ended.
enum Carried {
    Ended(Outcome),
    /// The server broke, and bytes had passed.
    Broke(ServerLost),
    /// The server broke, and nobody would know.
    Untouched(ServerLost),
}

/// Why this server and none of the others.
fn why(plan: &Plan, snapshot: &Snapshot, name: &str) -> String {
    let others = snapshot
        .endpoints
        .iter()
        .filter(|report| report.endpoint.name() != name);
    let passed: Vec<String> = others
        .filter_map(|report| {
            let other = report.endpoint.name();
            let failed = report.failures_in_a_row > 0;
            match report.condition {
                Condition::Active if failed => Some(format!("{other} had just failed")),
                Condition::Active | Condition::Removed => None,
                Condition::Marked | Condition::Suspended => Some(format!("{other} was resting")),
                Condition::Retired => Some(format!("{other} is out of the running")),
                Condition::Off => Some(format!("{other} is off")),
                _ => None,
            }
        })
        .collect();
    match passed.is_empty() {
        true => plan.order_in_words().to_string(),
        false => format!("{}; {}", plan.order_in_words(), passed.join(", ")),
    }
}
