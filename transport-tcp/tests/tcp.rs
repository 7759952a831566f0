//! The TCP dialer against real sockets: the conformance kit, and what is TCP's own.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "test code outside of the test functions"
)]

mod peers;

use std::error::Error;
use std::fmt::Display;
use std::time::Duration;

use failover_core::dial::{Dial, DialContext};
use failover_core::directory::Target;
use failover_core::failure::{Classify, Kind, Phase, Scope};
use failover_core::testing::conformance::{
    Violation, a_reconnect_sees_a_moved_server, concurrent_dials_are_independent,
    does_nothing_before_it_is_polled, errors_hold_no_secrets, errors_tell_their_causes, fails_as,
    leaves_nothing_when_cancelled, waits_for_a_mute_peer_until_the_deadline,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use transport_tcp::{ByteStream, Tcp, TcpError, TokioClock};

const TCP: Tcp = Tcp::new();
const SHORT: Duration = Duration::from_millis(100);

#[tokio::test]
async fn nothing_happens_before_the_first_poll() -> Result<(), Violation> {
    let (address, log) = peers::echo().await;
    does_nothing_before_it_is_polled(&TCP, &target(address), &log, &TokioClock::new()).await
}

#[test]
fn a_dial_to_an_address_takes_little_memory() {
    let (to, cx) = (target("127.0.0.1:1"), DialContext::unbounded());
    let bytes = size_of_val(&TCP.dial(&to, &cx));
    println!("a dial: {bytes} bytes");
    assert!(bytes <= 640, "{bytes}");
}

#[tokio::test]
async fn a_refused_target_fails_as_refused() -> Result<(), Violation> {
    let nobody = target(peers::nobody().await);
    fails_as(&[Kind::Refused], &TCP, &nobody, &TokioClock::new()).await
}

#[tokio::test]
async fn a_name_that_does_not_exist_fails_as_resolve() -> Result<(), Violation> {
    let nowhere = target("does-not-exist.invalid:1");
    fails_as(&[Kind::Resolve], &TCP, &nowhere, &TokioClock::new()).await
}

#[tokio::test]
async fn a_name_that_cannot_exist_fails_as_resolve() -> Result<(), Violation> {
    // The system's resolver knows this without asking a server.
    let nowhere = target("empty..label:1");
    fails_as(&[Kind::Resolve], &TCP, &nowhere, &TokioClock::new()).await
}

#[tokio::test]
async fn a_silent_address_is_left_to_the_deadline() -> Result<(), Violation> {
    let (_full, address) = peers::silent().await;
    let (silent, clock) = (target(address), TokioClock::new());
    waits_for_a_mute_peer_until_the_deadline(Phase::Connect, SHORT, &TCP, &silent, &clock).await
}

#[tokio::test]
async fn a_cancelled_dial_leaves_nothing() -> Result<(), Violation> {
    let (address, log) = peers::echo().await;
    leaves_nothing_when_cancelled(SHORT, &TCP, &target(address), &log, &TokioClock::new()).await
}

#[tokio::test]
async fn no_error_holds_secrets() -> Result<(), Violation> {
    let nobody = peers::nobody().await;
    for failing in [
        format!("tcp://joe:hunter2@{nobody}/?token=hunter3"),
        "tcp://joe:hunter2@empty..label:1/?token=hunter3".to_string(),
        "tcp://joe:hunter2@no-port.example/?token=hunter3".to_string(),
        "unix:/run/a?token=hunter3".to_string(),
    ] {
        let to = Target::parse(&failing).unwrap();
        errors_hold_no_secrets(&["hunter2", "hunter3"], &TCP, &to, &TokioClock::new()).await?;
    }
    Ok(())
}

#[tokio::test]
async fn errors_tell_what_is_behind_them() -> Result<(), Violation> {
    let nobody = peers::nobody().await.to_string();
    for failing in [&nobody, "empty..label:1"] {
        errors_tell_their_causes(&TCP, &target(failing), &TokioClock::new()).await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_reconnect_goes_where_the_name_leads_now() -> Result<(), Violation> {
    let ((old, before), (new, after)) = (peers::echo().await, peers::echo().await);
    let (at, moves) = peers::moving(old, new);
    let (tcp, to) = (TCP.resolver(at), target("broker.example:1"));
    let logs = (&before, &after);
    a_reconnect_sees_a_moved_server(&tcp, &to, logs, moves, &TokioClock::new()).await
}

#[tokio::test]
async fn dials_do_not_disturb_each_other() -> Result<(), Violation> {
    let (address, _log) = peers::echo().await;
    let (_full, silent) = peers::silent().await;
    let (good, mute) = (target(address), target(silent));
    concurrent_dials_are_independent(&TCP, &good, &mute, &TokioClock::new()).await
}

#[tokio::test]
async fn bytes_go_there_and_back_also_through_a_boxed_stream() {
    let (address, _log) = peers::echo().await;
    let cx = DialContext::unbounded();
    let boxed = TCP.map(ByteStream::new);
    let mut stream = boxed.dial(&target(address), &cx).await.unwrap();
    assert_eq!(
        format!("{stream:?}"),
        "ByteStream(tokio::net::tcp::stream::TcpStream)"
    );
    stream.write_all(b"ping").await.unwrap();
    let mut read = [0; 4];
    stream.read_exact(&mut read).await.unwrap();
    assert_eq!(&read, b"ping");
    assert_eq!(cx.trail().address(), Some(address));
}

#[tokio::test]
async fn the_stream_sends_small_writes_at_once() {
    let (address, _log) = peers::echo().await;
    let cx = DialContext::unbounded();
    let stream = TCP.dial(&target(address), &cx).await.unwrap();
    assert!(stream.nodelay().unwrap());
}

#[tokio::test]
async fn a_literal_address_is_not_resolved_and_a_name_is() {
    let (address, _log) = peers::echo().await;
    let named = format!("localhost:{}", address.port());
    for (to, first) in [
        (target(address), Phase::Connect),
        (target(named), Phase::Resolve),
    ] {
        let cx = DialContext::unbounded();
        TCP.dial(&to, &cx).await.unwrap();
        let phases: Vec<_> = cx.trail().phases().into_iter().map(|(p, _)| p).collect();
        assert_eq!(phases.first(), Some(&first));
        assert_eq!(phases.last(), Some(&Phase::Connect));
    }
}

#[tokio::test]
async fn a_refusal_names_the_address_and_its_cause() {
    let address = peers::nobody().await;
    let cx = DialContext::unbounded();
    let error = TCP.dial(&target(address), &cx).await.unwrap_err();
    assert_eq!(error.to_string(), format!("cannot connect to {address}"));
    assert!(error.source().unwrap().to_string().contains("refused"));
    let failure = error.failure();
    assert_eq!(failure.scope, Scope::Transient);
    assert_eq!(failure.phase, Some(Phase::Connect));
}

#[test]
fn a_target_without_port_or_host_is_refused_before_any_dial() {
    let refused = |url: &str| TCP.check(&Target::parse(url).unwrap()).unwrap_err();
    let no_port = refused("tls://[::1]");
    assert!(matches!(no_port, TcpError::NoPort { .. }));
    assert_eq!(
        no_port.to_string(),
        "`tls://[::1]` names no port: write `tls://[::1]:PORT`"
    );
    assert_eq!(no_port.failure().scope, Scope::Endpoint);
    assert_eq!(
        refused("unix:/run/nats.sock").to_string(),
        "`unix:/run/nats.sock` has no host: write `tcp://host:port`"
    );
}

#[tokio::test]
async fn the_dial_can_be_spawned() {
    let (address, _log) = peers::echo().await;
    let dial = async move {
        let cx = DialContext::unbounded();
        TCP.boxed().dial(&target(address), &cx).await.is_ok()
    };
    assert!(tokio::spawn(dial).await.unwrap());
}

fn target(authority: impl Display) -> Target {
    Target::parse(&format!("tcp://{authority}")).unwrap()
}
