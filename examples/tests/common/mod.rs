//! What tests that run programs have in common.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    dead_code,
    missing_docs,
    unused_imports
)]

pub(crate) mod bridge;
mod place;
mod program;

use std::net::TcpListener;
use std::time::Duration;

pub(crate) use self::place::Place;
pub(crate) use self::program::Program;

/// For anything, on a machine that is busy.
pub(crate) const LONG: Duration = Duration::from_secs(30);

pub(crate) fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}
