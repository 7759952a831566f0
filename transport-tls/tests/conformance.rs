//! The TLS layer keeps the promises of `Dial`: those that `tls.rs` does not ask about.
#![allow(
    clippy::unwrap_used,
    reason = "test code outside of the test functions"
)]

mod peers;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use failover_core::directory::Target;
use failover_core::testing::conformance::{
    Violation, a_reconnect_sees_a_moved_server, concurrent_dials_are_independent,
    errors_tell_their_causes,
};
use peers::Ca;
use transport_tcp::{Tcp, TokioClock};
use transport_tls::{Pem, Roots, Tls, TlsConfig};

#[tokio::test]
async fn errors_tell_what_is_behind_them() -> Result<(), Violation> {
    let ca = Ca::new();
    let tls = trusting(&ca, Tcp::new());
    let (stranger, _log) = peers::echo(Ca::new().server("127.0.0.1")).await;
    let (resets, _log) = peers::resets().await;
    for failing in [peers::nobody().await, stranger, resets] {
        errors_tell_their_causes(&tls, &target(failing), &TokioClock::new()).await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_reconnect_goes_where_the_name_leads_now() -> Result<(), Violation> {
    let ca = Ca::new();
    let (old, before) = peers::echo(ca.server("broker.example")).await;
    let (new, after) = peers::echo(ca.server("broker.example")).await;
    let moved = Arc::new(AtomicBool::new(false));
    let is_moved = Arc::clone(&moved);
    let tcp = Tcp::new().resolver(
        move |_: &str, _: u16| match is_moved.load(Ordering::SeqCst) {
            false => Ok(vec![old]),
            true => Ok(vec![new]),
        },
    );
    let (tls, to) = (
        trusting(&ca, tcp),
        Target::parse("tls://broker.example:1").unwrap(),
    );
    let moves = || moved.store(true, Ordering::SeqCst);
    let logs = (&before, &after);
    a_reconnect_sees_a_moved_server(&tls, &to, logs, moves, &TokioClock::new()).await
}

#[tokio::test]
async fn dials_do_not_disturb_each_other() -> Result<(), Violation> {
    let ca = Ca::new();
    let (address, _log) = peers::echo(ca.server("127.0.0.1")).await;
    let (mute, _mute_log) = peers::mute().await;
    let (good, mute) = (target(address), target(mute));
    let tls = trusting(&ca, Tcp::new());
    concurrent_dials_are_independent(&tls, &good, &mute, &TokioClock::new()).await
}

fn trusting(ca: &Ca, tcp: Tcp) -> Tls<Tcp> {
    let config = TlsConfig::new().roots(Roots::Only(Pem::Bytes(ca.pem())));
    Tls::new(tcp, config.client().unwrap())
}

fn target(address: SocketAddr) -> Target {
    Target::parse(&format!("tls://{address}")).unwrap()
}
