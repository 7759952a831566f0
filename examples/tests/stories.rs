//! The stories of `examples/` are told, each within its time, and come out as they say.
#![allow(
    clippy::unwrap_used,
    dead_code,
    reason = "test code outside of the test functions; a story's own `main` is not called here"
)]

#[path = "../examples/machine_alone.rs"]
mod machine_alone;
#[path = "../examples/new_transport.rs"]
mod new_transport;
#[path = "../examples/smol_connector.rs"]
mod smol_connector;

use std::sync::mpsc;
use std::time::Duration;

use failover_core::directory::Target;
use failover_core::failure::{Kind, Phase};
use failover_core::testing::conformance::{
    PeerLog, Violation, a_reconnect_sees_a_moved_server, concurrent_dials_are_independent,
    does_nothing_before_it_is_polled, errors_hold_no_secrets, errors_tell_their_causes, fails_as,
    leaves_nothing_when_cancelled, waits_for_a_mute_peer_until_the_deadline,
};
use tokio::io::AsyncReadExt;
use transport_tcp::TokioClock;

use self::new_transport::Pipes;

const PATIENCE: Duration = Duration::from_secs(20);
const SHORT: Duration = Duration::from_millis(50);

#[test]
fn a_synchronous_client_fails_over_with_the_machine_alone() {
    let (tell, told) = mpsc::channel();
    // A thread, because a story that blocks cannot be cancelled.
    let story = std::thread::spawn(move || {
        let said = |line| tell.send(line).unwrap();
        machine_alone::story(said).map_err(|error| error.to_string())
    });
    let mut lines = Vec::new();
    while let Ok(line) = told.recv_timeout(PATIENCE) {
        lines.push(line);
    }
    assert!(story.is_finished() || told.try_recv().is_err(), "{lines:?}");
    assert_eq!(story.join().unwrap(), Ok(()));
    let has = |words: &str| lines.iter().any(|line| line.contains(words));
    assert!(
        has("e0 cannot be reached") && has("e1 is lost") && has("e2 answers"),
        "{lines:?}"
    );
}

#[test]
fn the_connector_runs_on_smol() {
    let mut lines = Vec::new();
    smol::block_on(smol::future::or(
        smol_connector::story(|line| lines.push(line)),
        async {
            smol::Timer::after(PATIENCE).await;
            Err("the story takes too long".into())
        },
    ))
    .unwrap();
    assert_eq!(lines[0], "connected to the first");
    assert!(lines[1].starts_with("lost after 2 answers"), "{lines:?}");
    assert_eq!(lines[2..], ["connected to the second", "5 answers"]);
}

#[test]
fn a_new_transport_serves_the_connector() {
    new_transport::main().unwrap();
}

#[tokio::test]
async fn the_new_transport_keeps_every_promise() -> Result<(), Violation> {
    let (pipes, clock) = (Pipes::default(), TokioClock::new());
    let log = serve(&pipes, "good");
    let (good, mute, nobody) = (target("good"), target("mute"), target("nobody"));
    // It never takes anybody from its queue, which has room for one.
    let full = pipes.listen("mute");
    let dials = failover_core::dial::DialContext::unbounded();
    let first = failover_core::dial::Dial::dial(&pipes, &mute, &dials).await;

    does_nothing_before_it_is_polled(&pipes, &good, &log, &clock).await?;
    fails_as(&[Kind::Refused], &pipes, &nobody, &clock).await?;
    errors_tell_their_causes(&pipes, &nobody, &clock).await?;
    let phase = Phase::Connect;
    waits_for_a_mute_peer_until_the_deadline(phase, SHORT, &pipes, &mute, &clock).await?;
    leaves_nothing_when_cancelled(SHORT, &pipes, &good, &log, &clock).await?;
    concurrent_dials_are_independent(&pipes, &good, &mute, &clock).await?;
    let secret = Target::parse("pipe://joe:hunter2@nobody/?token=hunter3").unwrap();
    errors_hold_no_secrets(&["hunter2", "hunter3"], &pipes, &secret, &clock).await?;

    let after = PeerLog::default();
    let moves = || noted(pipes.listen("good"), &after);
    a_reconnect_sees_a_moved_server(&pipes, &good, (&log, &after), moves, &clock).await?;
    drop((full, first));
    Ok(())
}

fn serve(pipes: &Pipes, name: &str) -> PeerLog {
    let log = PeerLog::default();
    noted(pipes.listen(name), &log);
    log
}

/// Reads every connection to its end.
fn noted(mut clients: tokio::sync::mpsc::Receiver<tokio::io::DuplexStream>, log: &PeerLog) {
    let log = log.clone();
    tokio::spawn(async move {
        while let Some(mut client) = clients.recv().await {
            let seen = log.accept();
            tokio::spawn(async move {
                while let Ok(1..) = client.read(&mut [0; 64]).await {}
                drop(seen);
            });
        }
    });
}

fn target(name: &str) -> Target {
    Target::parse(&format!("pipe://{name}")).unwrap()
}
