//! The link, carried by two small protocols over servers in memory, on tokio's paused clock.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::wildcard_enum_match_arm,
    dead_code,
    unreachable_pub,
    missing_docs
)]

mod bad_input;
mod confirmed;
mod conversation;
mod end;
mod full_reader;
mod losses;
mod moved;
mod nats;
mod net;
mod requests;
mod resume;
mod slow_wire;
mod stomp;
#[path = "../support/mod.rs"]
mod support;

use std::sync::Arc;
use std::time::Duration;

use failover_core::directory::Endpoint;
use failover_core::drive::{Connector, GiveUp};
use failover_core::link::{LinkPolicy, Outbox};
use failover_core::messaging::{Link, Login, Protocol, open};
use failover_core::policy::{Backoff, Jitter, Pace, Policy, PolicyBuilder};
use tokio::task::JoinHandle;

use crate::net::Net;
use crate::support::Paused;

/// A link that is carried by a task.
struct Carried<P: Protocol> {
    link: Link<P>,
    driver: JoinHandle<Result<(), GiveUp>>,
}

/// 100 ms before each dial, for ever.
fn patient() -> PolicyBuilder {
    Policy::builder()
        .pace(Pace::new(Backoff::Constant(Duration::from_millis(100))))
        .jitter(Jitter::None)
        .stable_after(Duration::ZERO)
        .deadline(Duration::from_secs(5))
}

fn carry<P: Protocol>(net: &Net, hosts: &str, protocol: P, policy: LinkPolicy) -> Carried<P> {
    carry_with(net, hosts, protocol, policy, patient())
}

fn carry_with<P: Protocol>(
    net: &Net,
    hosts: &str,
    protocol: P,
    link: LinkPolicy,
    policy: PolicyBuilder,
) -> Carried<P> {
    let endpoints = hosts
        .split_whitespace()
        .map(|host| Endpoint::parse(&format!("tcp://{host}:1")).unwrap());
    let connector = Connector::builder(Login::new(net.clone(), protocol).most_frame(5000), clock())
        .endpoints(endpoints)
        .policy(policy.build().unwrap())
        .build()
        .unwrap();
    let (link, driver) = open(connector, link);
    Carried {
        link,
        driver: tokio::spawn(driver.run()),
    }
}

fn clock() -> Arc<Paused> {
    support::script().clock()
}

fn kept() -> LinkPolicy {
    LinkPolicy::OFF.outbox(Outbox::Keep { bytes: 10_000 })
}

/// Time passes, and whoever can do something does it.
async fn pass(duration: Duration) {
    tokio::time::sleep(duration).await;
}

const SECOND: Duration = Duration::from_secs(1);
