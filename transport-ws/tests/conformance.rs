//! The promises of `Dial`, asked of WebSocket as bytes, as messages, and over TLS.
#![allow(
    clippy::unwrap_used,
    reason = "test code outside of the test functions"
)]

mod onion;

use std::time::Duration;

use failover_core::dial::Dial;
use failover_core::failure::{Kind, Phase};
use failover_core::testing::conformance::{
    Violation, a_reconnect_sees_a_moved_server, concurrent_dials_are_independent,
    does_nothing_before_it_is_polled, errors_hold_no_secrets, errors_tell_their_causes, fails_as,
    leaves_nothing_when_cancelled, waits_for_a_mute_peer_until_the_deadline,
};
use transport_tcp::{Tcp, TokioClock};
use transport_ws::Ws;

use self::onion::{Authority, Speaks, moving, target};

const SHORT: Duration = Duration::from_millis(100);

mod bytes {
    use super::*;

    #[tokio::test]
    async fn all_promises_are_kept() -> Result<(), Violation> {
        keeps_all(Speaks::Ws, |_, tcp| Ws::new(tcp)).await
    }
}

mod messages {
    use super::*;

    #[tokio::test]
    async fn all_promises_are_kept() -> Result<(), Violation> {
        keeps_all(Speaks::Ws, |_, tcp| Ws::new(tcp).messages()).await
    }
}

mod bytes_over_tls {
    use super::*;

    #[tokio::test]
    async fn all_promises_are_kept() -> Result<(), Violation> {
        keeps_all(Speaks::Wss, |ca, tcp| Ws::new(ca.tls(tcp))).await
    }
}

mod messages_over_tls {
    use super::*;

    #[tokio::test]
    async fn all_promises_are_kept() -> Result<(), Violation> {
        keeps_all(Speaks::Wss, |ca, tcp| Ws::new(ca.tls(tcp)).messages()).await
    }
}

async fn keeps_all<D: Dial>(
    speaks: Speaks,
    over: impl Fn(&Authority, Tcp) -> D,
) -> Result<(), Violation> {
    let (ca, clock) = (Authority::new(), TokioClock::new());
    let ws = over(&ca, Tcp::new());
    let scheme = match speaks {
        Speaks::Ws => "ws",
        Speaks::Tls | Speaks::Wss => "wss",
    };
    let url = |address| target(format!("{scheme}://{address}/stream"));

    let (address, log) = ca.serve(speaks).await;
    let good = url(address);
    does_nothing_before_it_is_polled(&ws, &good, &log, &clock).await?;
    leaves_nothing_when_cancelled(SHORT, &ws, &good, &log, &clock).await?;

    let (mute, log) = onion::mute().await;
    let mute = url(mute);
    let phase = match speaks {
        Speaks::Ws => Phase::Upgrade,
        Speaks::Tls | Speaks::Wss => Phase::Tls,
    };
    waits_for_a_mute_peer_until_the_deadline(phase, SHORT, &ws, &mute, &clock).await?;
    leaves_nothing_when_cancelled(SHORT, &ws, &mute, &log, &clock).await?;
    concurrent_dials_are_independent(&ws, &good, &mute, &clock).await?;

    let (nobody, reset) = (url(onion::nobody().await), url(onion::resets().await.0));
    fails_as(&[Kind::Refused], &ws, &nobody, &clock).await?;
    fails_as(&[Kind::Reset, Kind::Closed], &ws, &reset, &clock).await?;
    for failing in [&nobody, &reset] {
        errors_tell_their_causes(&ws, failing, &clock).await?;
    }
    let named = target(format!("{scheme}://broker.example:1/stream"));
    let unknown = |_: &str, _: u16| Err(std::io::Error::other("no such name"));
    let nameless = over(&ca, Tcp::new().resolver(unknown));
    fails_as(&[Kind::Resolve], &nameless, &named, &clock).await?;
    errors_tell_their_causes(&nameless, &named, &clock).await?;

    let (refuses, _log) = onion::refuses().await;
    for failing in [onion::nobody().await, refuses] {
        let secrets = ["hunter2", "hunter3", "am9lOmh1bnRlcjI="];
        let told = format!("{scheme}://joe:hunter2@{failing}/?token=hunter3");
        errors_hold_no_secrets(&secrets, &ws, &target(told), &clock).await?;
    }

    let ((old, before), (new, after)) = (ca.serve(speaks).await, ca.serve(speaks).await);
    let (tcp, moves) = moving(old, new);
    let logs = (&before, &after);
    a_reconnect_sees_a_moved_server(&over(&ca, tcp), &named, logs, moves, &clock).await
}

#[tokio::test]
async fn a_peer_that_is_mute_behind_its_tls_is_known_to_have_been_in_the_upgrade()
-> Result<(), Violation> {
    let (ca, clock) = (Authority::new(), TokioClock::new());
    let (address, log) = ca.mute_behind_tls().await;
    let (ws, to) = (
        Ws::new(ca.tls(Tcp::new())),
        target(format!("wss://{address}/")),
    );
    waits_for_a_mute_peer_until_the_deadline(Phase::Upgrade, SHORT, &ws, &to, &clock).await?;
    leaves_nothing_when_cancelled(SHORT, &ws, &to, &log, &clock).await
}
