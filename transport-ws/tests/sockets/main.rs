//! The dialers and their connections over real sockets and pipes.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "helpers of tests"
)]

mod common;
mod faults;
mod handshake;
mod redirects;
mod session;
mod upgrade;
mod watch;
