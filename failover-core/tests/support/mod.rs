//! A scripted dialer on tokio's paused clock, and events in words.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::wildcard_enum_match_arm,
    dead_code,
    unreachable_pub,
    missing_docs
)]

use std::sync::Arc;
use std::time::Duration;

use failover_core::directory::Endpoint;
use failover_core::drive::{Clock, Connector, ConnectorBuilder, Event, Events, What};
use failover_core::machine::Why;
use failover_core::policy::{Backoff, Jitter, Order, Pace, Policy, PolicyBuilder, Walk};
use failover_core::testing::Script;
use failover_core::time::Time;

pub const SECOND: Duration = Duration::from_secs(1);

/// Tokio's clock, which the tests pause.
#[derive(Clone)]
pub struct Paused {
    epoch: tokio::time::Instant,
}

impl Paused {
    pub fn elapsed(&self) -> Duration {
        // The hard floor and tokio's timer wheel add a tick here and there: whole 10 ms count.
        let passed = self.epoch.elapsed();
        Duration::from_millis(u64::try_from(passed.as_millis()).unwrap() / 10 * 10)
    }
}

impl Clock for Paused {
    type Sleep = tokio::time::Sleep;

    fn now(&self) -> Time {
        Time::ZERO + self.epoch.elapsed()
    }

    fn sleep_until(&self, at: Time) -> Self::Sleep {
        tokio::time::sleep_until(self.epoch + at.since(Time::ZERO))
    }
}

pub fn script() -> Script<Paused> {
    Script::new(Paused {
        epoch: tokio::time::Instant::now(),
    })
}

/// A connector over these hosts, in this order, with [`listed`] as its policy.
pub fn connector<C: Clock + Clone>(
    script: &Script<C>,
    hosts: &str,
) -> ConnectorBuilder<Script<C>, Arc<C>> {
    let endpoints = hosts
        .split_whitespace()
        .map(|host| Endpoint::parse(&format!("tcp://{host}:1")).unwrap());
    Connector::builder(script.clone(), script.clock())
        .endpoints(endpoints)
        .policy(listed().build().unwrap())
}

/// Rotates from the top, waits a second before each sweep, a second per dial.
pub fn listed() -> PolicyBuilder {
    Policy::builder()
        .order(Order::new(Walk::Rotate))
        .pace(Pace::new(Backoff::Constant(SECOND)))
        .jitter(Jitter::None)
        .deadline(SECOND)
}

pub fn hosts<C: Clock>(script: &Script<C>) -> String {
    let hosts: Vec<String> = script.dials().into_iter().map(|(_, host)| host).collect();
    hosts.join(" ")
}

pub fn told(events: &mut Events) -> String {
    let told: Vec<String> = std::iter::from_fn(|| events.try_next())
        .map(|event| words(&event))
        .collect();
    told.join("; ")
}

pub fn words(event: &Event) -> String {
    let host = |target: &failover_core::directory::Target| target.url().host().to_string();
    match &event.what {
        What::Attempt(attempt) => {
            let outcome = if attempt.outcome.is_ok() {
                "ok"
            } else {
                "failed"
            };
            format!("attempt {} {outcome}", host(&attempt.target))
        }
        What::Held { target, by } => format!("held {} by {}", host(target), by.as_str()),
        What::Connected(link) => format!("connected {}", host(&link.target)),
        What::Reconnected(link) => format!("reconnected {}", host(&link.target)),
        What::FailedOver { to, from } => {
            format!(
                "failed over {} to {}",
                from.routes()[0].host(),
                host(&to.target)
            )
        }
        What::Disconnected { link, why, .. } => {
            let by = if *why == Why::ByUser { " by user" } else { "" };
            format!("disconnected {}{by}", host(&link.target))
        }
        What::Switching { from, .. } => format!("switching from {}", host(&from.target)),
        What::Moved { to, .. } => format!("moved to {}", host(&to.target)),
        What::HookPanicked { message } => {
            format!("hook panicked: {}", message.as_deref().unwrap_or(""))
        }
        What::ListChanged { added, removed } => {
            format!("list changed +{} -{}", list(added), list(removed))
        }
        What::ListRefused { error } => format!("list refused: {error}"),
        What::Discovered {
            added,
            removed,
            refused,
            ..
        } => format!(
            "discovered +{} -{} !{}",
            list(added),
            list(removed),
            refused.len()
        ),
        What::LateReport { .. } => "late report".to_string(),
        What::NotDriven => "not driven".to_string(),
        What::Draining { link, .. } => format!("draining {}", host(&link.target)),
        What::SpareReady(link) => format!("spare {}", host(&link.target)),
        What::Starved => "starved".to_string(),
        What::Closed(reason) => format!("closed: {reason}"),
        other => panic!("unexpected: {other:?}"),
    }
}

fn list(endpoints: &[Arc<Endpoint>]) -> String {
    let hosts: Vec<&str> = endpoints
        .iter()
        .map(|endpoint| endpoint.routes()[0].host())
        .collect();
    hosts.join(",")
}
