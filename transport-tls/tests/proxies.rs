//! TLS through proxies of both kinds: the layers know nothing of each other, and the kit finds no difference.

#![allow(
    clippy::unwrap_used,
    reason = "test code outside of the test functions"
)]

mod peers;
#[path = "../../transport-tcp/tests/peers/mod.rs"]
mod tcp_peers;

use std::net::SocketAddr;
use std::time::Duration;

use failover_core::dial::{Dial, DialContext};
use failover_core::directory::Target;
use failover_core::failure::{Kind, Phase};
use failover_core::testing::conformance::{
    PeerLog, Violation, a_reconnect_sees_a_moved_server, concurrent_dials_are_independent,
    does_nothing_before_it_is_polled, errors_hold_no_secrets, errors_tell_their_causes, fails_as,
    leaves_nothing_when_cancelled, waits_for_a_mute_peer_until_the_deadline,
};
use peers::Ca;
use tcp_peers::{moving, proxies};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use transport_tcp::{Tcp, TokioClock};
use transport_tls::{Pem, Roots, Tls, TlsConfig};

const SHORT: Duration = Duration::from_millis(100);
const ADDRESS: &str = "127.0.0.1";
const NAME: &str = "broker.example";

#[tokio::test]
async fn the_kit_passes_through_a_proxy() -> Result<(), Violation> {
    let ca = Ca::new();
    let (fine, _log) = peers::echo(ca.server(ADDRESS)).await;
    let (mute, _log) = peers::mute().await;
    let (other, _log) = peers::echo(Ca::new().server(ADDRESS)).await;
    let (closing, _log) = peers::closes().await;
    let (fine, mute, other, closing) = (target(fine), target(mute), target(other), target(closing));
    for (tls, log) in through_each(&ca, by_address).await {
        let clock = TokioClock::new();
        does_nothing_before_it_is_polled(&tls, &fine, &log, &clock).await?;
        leaves_nothing_when_cancelled(SHORT, &tls, &fine, &log, &clock).await?;

        waits_for_a_mute_peer_until_the_deadline(Phase::Tls, SHORT, &tls, &mute, &clock).await?;
        leaves_nothing_when_cancelled(SHORT, &tls, &mute, &log, &clock).await?;
        concurrent_dials_are_independent(&tls, &fine, &mute, &clock).await?;

        fails_as(&[Kind::Tls], &tls, &other, &clock).await?;
        errors_tell_their_causes(&tls, &other, &clock).await?;
        fails_as(&[Kind::Closed], &tls, &closing, &clock).await?;
        let secrets = ["hunter2", "am9lOmh1bnRlcjI="];
        errors_hold_no_secrets(&secrets, &tls, &other, &clock).await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_server_that_moved_is_found_by_the_proxy_at_the_next_dial() -> Result<(), Violation> {
    let ca = Ca::new();
    for place in 0..2 {
        let (old, before) = peers::echo(ca.server(NAME)).await;
        let (new, after) = peers::echo(ca.server(NAME)).await;
        let (find, moves) = moving(old, new);
        let (tls, _log) = &through_each(&ca, find).await[place];
        let to = Target::parse(&format!("tls://{NAME}:1")).unwrap();
        let (logs, clock) = ((&before, &after), TokioClock::new());
        a_reconnect_sees_a_moved_server(tls, &to, logs, moves, &clock).await?;
    }
    Ok(())
}

#[tokio::test]
async fn the_certificate_is_the_targets() {
    let ca = Ca::new();
    let (address, _log) = peers::echo(ca.server(ADDRESS)).await;
    for (tls, log) in through_each(&ca, by_address).await {
        let to = target(address);
        let mut stream = tls.dial(&to, &DialContext::unbounded()).await.unwrap();
        stream.write_all(b"x").await.unwrap();
        assert_eq!(stream.read_u8().await.unwrap(), b'x');
        assert_eq!(log.accepted(), 1);
    }
}

/// TLS through a proxy of each kind, and the proxy's log.
async fn through_each(
    ca: &Ca,
    find: impl Fn(&str, u16) -> std::io::Result<Vec<SocketAddr>> + Clone + Send + Sync + 'static,
) -> [(Tls<Tcp>, PeerLog); 2] {
    proxies::that_find(find).await.map(|(proxy, log)| {
        let roots = Roots::Only(Pem::Bytes(ca.pem()));
        let client = TlsConfig::new().roots(roots).client().unwrap();
        (Tls::new(Tcp::new().proxies(proxy), client), log)
    })
}

fn by_address(host: &str, port: u16) -> std::io::Result<Vec<SocketAddr>> {
    Ok(vec![SocketAddr::new(host.parse().unwrap(), port)])
}

fn target(address: SocketAddr) -> Target {
    Target::parse(&format!("tls://{address}")).unwrap()
}
