//! What tests that run programs have in common.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    dead_code,
    missing_docs,
    unused_imports
)]

pub(crate) mod bridge;
mod place;
mod program;

use std::net::TcpListener;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

pub(crate) use self::place::Place;
pub(crate) use self::program::Program;

/// For anything, on a machine that is busy.
pub(crate) const LONG: Duration = Duration::from_secs(30);

/// A port that is free and given to nobody else in this process. None of those that systems give to
/// outgoing connections, or to who asks for any: a server that takes long to start still gets it.
pub(crate) fn free_port() -> u16 {
    const PORTS: std::ops::Range<u32> = 10_000..32_000;
    static GIVEN: AtomicU32 = AtomicU32::new(0);
    // Processes that run at once begin at different places.
    let begin = std::process::id().wrapping_mul(101);
    let next = || {
        let given = GIVEN.fetch_add(1, Ordering::Relaxed);
        let port = PORTS.start + begin.wrapping_add(given) % (PORTS.end - PORTS.start);
        u16::try_from(port).unwrap()
    };
    std::iter::repeat_with(next)
        .take(PORTS.len())
        .find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok())
        .expect("a free port")
}
