//! What is known of each endpoint, and of the connector as a whole.

use std::fmt;
use std::format;
use std::net::SocketAddr;
use std::string::String;
use std::sync::Arc;
use std::time::Duration;
use std::vec::Vec;

use crate::dial::{DialError, Trail};
use crate::directory::{ById, Endpoint, Target};
use crate::drive::event::write_chain;
use crate::drive::handle::Status;
use crate::drive::share::HeldBy;
use crate::failure::{Failure, Phase};
use crate::machine::Condition;
use crate::time::Time;

/// One endpoint, as it stands.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct EndpointReport {
    /// Which.
    pub endpoint: Arc<Endpoint>,
    /// Whether it may be dialled.
    pub condition: Condition,
    /// Until when it rests, if it does.
    pub rests_until: Time,
    /// How often it was dialled.
    pub dials: u64,
    /// How many of these dials gave a connection.
    pub connections: u64,
    /// How many of its dials and connections failed since the last dial that succeeded.
    pub failures_in_a_row: u64,
    /// Its last failure, if it had one.
    pub failure: Option<Failure>,
    /// The error behind that failure.
    pub error: Option<DialError>,
    /// When that was.
    pub failed_at: Option<Time>,
    /// When a dial of it last gave a connection.
    pub connected_at: Option<Time>,
    /// Since when a spare connection to it stands, if one does; of a connector that was dropped, if one did.
    pub spare_since: Option<Time>,
    /// Where its last dial was connected.
    pub(crate) address: Option<SocketAddr>,
}

impl EndpointReport {
    pub(crate) fn new(endpoint: Arc<Endpoint>) -> Self {
        Self {
            endpoint,
            condition: Condition::Active,
            rests_until: Time::ZERO,
            dials: 0,
            connections: 0,
            failures_in_a_row: 0,
            failure: None,
            error: None,
            failed_at: None,
            connected_at: None,
            spare_since: None,
            address: None,
        }
    }

    /// What a dial is to begin behind.
    pub(crate) fn begins_behind(&self) -> Option<SocketAddr> {
        self.address.filter(|_| self.failures_in_a_row > 0)
    }

    pub(crate) fn on_connection(&mut self, trail: &Trail, now: Time) {
        self.address = trail.address();
        self.connections += 1;
        self.failures_in_a_row = 0;
        self.connected_at = Some(now);
    }

    pub(crate) fn on_failed_dial(
        &mut self,
        trail: &Trail,
        failure: Failure,
        error: Option<&DialError>,
        now: Time,
    ) {
        if trail.phase() > Some(Phase::Connect) {
            self.address = trail.address();
        }
        self.on_failure(failure, error, now);
    }

    pub(crate) fn on_failure(&mut self, failure: Failure, error: Option<&DialError>, now: Time) {
        self.failures_in_a_row += 1;
        self.failure = Some(failure);
        self.error = error.cloned();
        self.failed_at = Some(now);
    }
}

impl fmt::Display for EndpointReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.endpoint.name())?;
        match (&self.error, self.failure) {
            (Some(error), _) => write_chain(error, f),
            (None, Some(failure)) => write!(f, "{failure}"),
            (None, None) if self.dials == 0 => f.write_str("not tried"),
            (None, None) => f.write_str("no failure"),
        }
    }
}

/// Everything that is known at one moment.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Snapshot {
    /// When it was taken, by the connector's clock.
    pub at: Time,
    /// What the connector is doing.
    pub status: Status,
    /// Since when.
    pub since: Time,
    /// What it has done.
    pub counters: Counters,
    /// Each endpoint, in the order of its id.
    pub endpoints: Vec<EndpointReport>,
}

/// What a connector has done since it was built.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Counters {
    /// Dials started.
    pub dials: u64,
    /// Dials that failed; one that was cancelled is none.
    pub failed_dials: u64,
    /// Connections handed out.
    pub connections: u64,
    /// Connections lost.
    pub losses: u64,
    /// Moves to another server while the connection stood.
    pub moves: u64,
    /// Panics of hooks.
    pub hook_panics: u64,
}

impl Snapshot {
    /// A sentence for each endpoint: why this one is used, why that one waits, until when, and what
    /// would change it.
    ///
    /// ```
    /// # use std::future::{Ready, ready};
    /// # use failover_core::directory::Endpoint;
    /// # use failover_core::drive::{Clock, Connector};
    /// # use failover_core::policy::{Order, Policy, Walk};
    /// # use failover_core::testing::{Script, Step};
    /// # use failover_core::time::Time;
    /// # #[derive(Clone)] struct MyClock;
    /// # impl Clock for MyClock { type Sleep = Ready<()>;
    /// #   fn now(&self) -> Time { Time::ZERO }
    /// #   fn sleep_until(&self, _: Time) -> Ready<()> { ready(()) } }
    /// # smol::block_on(async {
    /// # let dialer = Script::new(MyClock).host("b", [Step::Accept]);
    /// let mut connector = Connector::builder(dialer, MyClock)
    ///     .endpoint(Endpoint::parse("tcp://a:1")?)
    ///     .endpoint(Endpoint::parse("tcp://b:1")?)
    ///     .policy(Policy::builder().order(Order::new(Walk::Listed)).build()?)
    ///     .build()?;
    /// connector.connect().await?;
    ///
    /// let said = connector.handle().snapshot().explain();
    /// assert_eq!(said[0], "a:1: ready, and not needed while b:1 stands; it failed once (refused)");
    /// assert_eq!(said[1], "b:1: connected for 0ns, until it is lost or left");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    #[must_use]
    pub fn explain(&self) -> Vec<String> {
        self.endpoints
            .iter()
            .map(|report| format!("{}: {}", report.endpoint.name(), self.reason(report)))
            .collect()
    }

    fn reason(&self, report: &EndpointReport) -> String {
        let is_it = |target: &Target| target.endpoint().name() == report.endpoint.name();
        let wait = |until: Time| short(until.since(self.at));
        match &self.status {
            Status::Connected { target, since } if is_it(target) => format!(
                "connected for {}, until it is lost or left",
                short(self.at.since(*since))
            ),
            Status::Dialing { target } if is_it(target) => format!(
                "its turn: being dialled for {}, until it answers, fails or its deadline passes{}",
                short(self.at.since(self.since)),
                failures(report)
            ),
            Status::Held { target, by } if is_it(target) => {
                let waits_for = match by {
                    HeldBy::Limiter => "a permit of the dial limiter, until another dial ends",
                    HeldBy::Budget => "the retry budget, until older retries are forgotten",
                };
                let held = short(self.at.since(self.since));
                format!(
                    "its turn: has waited for {held} for {waits_for}{}",
                    failures(report)
                )
            }
            Status::Waiting { target, until } if is_it(target) => format!(
                "its turn: is dialled next, in {}; a reconnect or resume would cut the wait short{}",
                wait(*until),
                failures(report)
            ),
            Status::Idle => format!(
                "{}; nothing is dialled before `connect`",
                self.condition(report)
            ),
            Status::Paused => format!(
                "{}; nothing is dialled until the pause ends",
                self.condition(report)
            ),
            Status::Starved => format!(
                "{}; nobody may be dialled until the list changes",
                self.condition(report)
            ),
            Status::Closed(_) | Status::Dropped => {
                format!("{}; over: the connector is closed", self.condition(report))
            }
            Status::Connected { target, .. } => match (report.condition, report.spare_since) {
                (Condition::Active, Some(since)) => format!(
                    "a spare stands for {}, and takes over at once if {} is lost",
                    short(self.at.since(since)),
                    target.endpoint().name()
                ),
                (Condition::Active, None) => format!(
                    "ready, and not needed while {} stands{}",
                    target.endpoint().name(),
                    failures(report)
                ),
                (
                    Condition::Marked
                    | Condition::Suspended
                    | Condition::Retired
                    | Condition::Off
                    | Condition::Removed,
                    _,
                ) => self.condition(report),
            },
            Status::Dialing { target }
            | Status::Held { target, .. }
            | Status::Waiting { target, .. } => match report.condition {
                Condition::Active => format!(
                    "ready, and dialled at its turn: if {} fails{}",
                    target.endpoint().name(),
                    failures(report)
                ),
                Condition::Marked
                | Condition::Suspended
                | Condition::Retired
                | Condition::Off
                | Condition::Removed => self.condition(report),
            },
        }
    }

    /// Whether it may be dialled, and if not, until when, and what would change it.
    fn condition(&self, report: &EndpointReport) -> String {
        let rest = short(report.rests_until.since(self.at));
        let over = report.rests_until <= self.at;
        match report.condition {
            Condition::Active => format!("ready{}", failures(report)),
            Condition::Marked | Condition::Suspended if over => {
                format!("has rested, its next dial is a probe{}", failures(report))
            }
            Condition::Marked => format!(
                "rests for {rest}; a reconnect to it by name would dial it now{}",
                failures(report)
            ),
            Condition::Suspended => format!(
                "suspended for {rest}; a reconnect to it by name would dial it now{}",
                failures(report)
            ),
            Condition::Retired => format!(
                "out of the running until the next stable connection{}",
                failures(report)
            ),
            Condition::Off => String::from("switched off, until it is switched on"),
            Condition::Removed => String::from("removed from the list, for good"),
        }
    }
}

/// `; it failed 3 times in a row (refused)`, or nothing.
fn failures(report: &EndpointReport) -> String {
    let why = match (&report.error, report.failure) {
        (_, None) => return String::new(),
        (Some(error), Some(_)) => format!("{}", Chain(error)),
        (None, Some(failure)) => format!("{failure}"),
    };
    match report.failures_in_a_row {
        0 => String::new(),
        1 => format!("; it failed once ({why})"),
        n => format!("; it failed {n} times in a row ({why})"),
    }
}

struct Chain<'a>(&'a DialError);

impl fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_chain(self.0, f)
    }
}

/// A duration without more digits than a person wants.
fn short(duration: Duration) -> String {
    let rounded = if duration < Duration::from_secs(1) {
        duration
    } else {
        Duration::from_millis(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))
    };
    format!("{rounded:?}")
}

/// The reports by id.
pub(crate) type Reports = ById<EndpointReport>;
