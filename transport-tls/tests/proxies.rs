//! TLS through an HTTP proxy: the layers know nothing of each other, and the kit finds no difference.

#![allow(
    clippy::unwrap_used,
    reason = "test code outside of the test functions"
)]

mod peers;

use std::net::SocketAddr;
use std::time::Duration;

use failover_core::dial::{Dial, DialContext};
use failover_core::directory::Target;
use failover_core::failure::{Kind, Phase};
use failover_core::testing::conformance::{
    PeerLog, Violation, concurrent_dials_are_independent, does_nothing_before_it_is_polled,
    errors_hold_no_secrets, errors_tell_their_causes, fails_as, leaves_nothing_when_cancelled,
    waits_for_a_mute_peer_until_the_deadline,
};
use peers::Ca;
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::TcpStream;
use transport_tcp::{Proxy, Tcp, TokioClock};
use transport_tls::{Pem, Roots, Tls, TlsConfig};

const SHORT: Duration = Duration::from_millis(100);
const ADDRESS: &str = "127.0.0.1";

#[tokio::test]
async fn the_kit_passes_through_a_proxy() -> Result<(), Violation> {
    let (ca, clock) = (Ca::new(), TokioClock::new());
    let (tls, log) = through_a_proxy(&ca).await;
    let (fine, _log) = peers::echo(ca.server(ADDRESS)).await;
    does_nothing_before_it_is_polled(&tls, &target(fine), &log, &clock).await?;
    leaves_nothing_when_cancelled(SHORT, &tls, &target(fine), &log, &clock).await?;

    let (mute, _log) = peers::mute().await;
    let mute = target(mute);
    waits_for_a_mute_peer_until_the_deadline(Phase::Tls, SHORT, &tls, &mute, &clock).await?;
    leaves_nothing_when_cancelled(SHORT, &tls, &mute, &log, &clock).await?;
    concurrent_dials_are_independent(&tls, &target(fine), &mute, &clock).await?;

    let (other, _log) = peers::echo(Ca::new().server(ADDRESS)).await;
    fails_as(&[Kind::Tls], &tls, &target(other), &clock).await?;
    errors_tell_their_causes(&tls, &target(other), &clock).await?;
    let (closing, _log) = peers::closes().await;
    fails_as(&[Kind::Closed], &tls, &target(closing), &clock).await?;
    let secrets = ["hunter2", "am9lOmh1bnRlcjI="];
    errors_hold_no_secrets(&secrets, &tls, &target(other), &clock).await
}

#[tokio::test]
async fn the_certificate_is_the_targets() {
    let ca = Ca::new();
    let (tls, log) = through_a_proxy(&ca).await;
    let (address, _log) = peers::echo(ca.server(ADDRESS)).await;
    let mut stream = tls
        .dial(&target(address), &DialContext::unbounded())
        .await
        .unwrap();
    stream.write_all(b"x").await.unwrap();
    assert_eq!(stream.read_u8().await.unwrap(), b'x');
    assert_eq!(log.accepted(), 1);
}

async fn through_a_proxy(ca: &Ca) -> (Tls<Tcp>, PeerLog) {
    let (address, log) = peers::listen(|mut client| async move {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            let Ok(byte) = client.read_u8().await else {
                return;
            };
            head.push(byte.into());
        }
        let to = head.split(' ').nth(1).unwrap_or_default();
        if let Ok(mut server) = TcpStream::connect(to).await {
            let _ = client.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await;
            let _ = copy_bidirectional(&mut client, &mut server).await;
        }
    })
    .await;
    let proxy: Proxy = format!("http://joe:hunter2@{address}").parse().unwrap();
    let roots = Roots::Only(Pem::Bytes(ca.pem()));
    let client = TlsConfig::new().roots(roots).client().unwrap();
    (Tls::new(Tcp::new().proxies(proxy), client), log)
}

fn target(address: SocketAddr) -> Target {
    Target::parse(&format!("tls://{address}")).unwrap()
}
