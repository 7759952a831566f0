//! Real server programs on free ports of the loopback interface, clients of them, and a proxy that cuts
//! connections between the two.
#![allow(clippy::print_stdout, dead_code, unreachable_pub)]

pub mod mosquitto;
pub mod nats;
pub mod proxy;
pub mod rabbitmq;

use std::time::Duration;

use failover_core::messaging::{Inbox, Room};
use failover_core::policy::{Backoff, Jitter, Pace, Policy, PolicyBuilder};
use tokio::time::timeout;

use crate::common::LONG;

pub const ROOM: Room = Room {
    items: 10_000,
    bytes: 1 << 20,
};

pub async fn within<T>(future: impl Future<Output = T>) -> T {
    timeout(LONG, future).await.expect("it takes too long")
}

pub async fn next<T>(reader: &mut Inbox<T>) -> T {
    within(reader.next()).await.unwrap()
}

/// A policy for connections that are cut all the time: a millisecond before each sweep, whatever was before.
pub fn tireless() -> PolicyBuilder {
    Policy::builder()
        .pace(Pace::new(Backoff::Constant(Duration::from_millis(1))))
        .jitter(Jitter::None)
        .stable_after(Duration::ZERO)
}
