//! The promises of `Dial`, asked of WebSocket as bytes, as messages, and over TLS.
#![allow(
    clippy::unwrap_used,
    reason = "test code outside of the test functions"
)]

mod onion;
#[path = "../../transport-tcp/tests/peers/mod.rs"]
mod tcp_peers;

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use failover_core::dial::{Dial, DialContext};
use failover_core::failure::{Kind, Phase};
use failover_core::testing::conformance::{
    Violation, a_reconnect_sees_a_moved_server, concurrent_dials_are_independent,
    does_nothing_before_it_is_polled, errors_hold_no_secrets, errors_tell_their_causes, fails_as,
    leaves_nothing_when_cancelled, waits_for_a_mute_peer_until_the_deadline,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use transport_tcp::{Tcp, TokioClock};
use transport_ws::Ws;

use self::onion::{Authority, Speaks, target};
use self::tcp_peers::{moving, proxies};

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

/// How the server is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Straight,
    Http,
    Socks,
}

impl Way {
    const ALL: [Self; 3] = [Self::Straight, Self::Http, Self::Socks];

    /// TCP on this way, with names found like this: by us, or by the proxy.
    async fn tcp(
        self,
        find: impl Fn(&str, u16) -> io::Result<Vec<SocketAddr>> + Clone + Send + Sync + 'static,
    ) -> Tcp {
        let [(http, _), (socks, _)] = proxies::that_find(find.clone()).await;
        match self {
            Self::Straight => Tcp::new().resolver(find),
            Self::Http => Tcp::new().proxies(http),
            Self::Socks => Tcp::new().proxies(socks),
        }
    }

    /// What a refused connect looks like: an HTTP proxy says no more than "bad gateway", and so of a name
    /// that it does not find.
    const fn refusal(self) -> Kind {
        match self {
            Self::Straight | Self::Socks => Kind::Refused,
            Self::Http => Kind::Unreachable,
        }
    }
}

fn by_address(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    let address = host.parse().map_err(io::Error::other)?;
    Ok(vec![SocketAddr::new(address, port)])
}

async fn keeps_all<D: Dial>(
    speaks: Speaks,
    over: impl Fn(&Authority, Tcp) -> D,
) -> Result<(), Violation> {
    for way in Way::ALL {
        keeps_all_on(way, speaks, &over).await?;
    }
    Ok(())
}

async fn keeps_all_on<D: Dial>(
    way: Way,
    speaks: Speaks,
    over: &impl Fn(&Authority, Tcp) -> D,
) -> Result<(), Violation> {
    let (ca, clock) = (Authority::new(), TokioClock::new());
    let ws = over(&ca, way.tcp(by_address).await);
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
    fails_as(&[way.refusal()], &ws, &nobody, &clock).await?;
    fails_as(&[Kind::Reset, Kind::Closed], &ws, &reset, &clock).await?;
    errors_tell_their_causes(&ws, &nobody, &clock).await?;
    let named = target(format!("{scheme}://broker.example:1/stream"));
    if way == Way::Straight {
        // A proxy makes a plain end of a reset, and finds the names itself.
        errors_tell_their_causes(&ws, &reset, &clock).await?;
        fails_as(&[Kind::Resolve], &ws, &named, &clock).await?;
        errors_tell_their_causes(&ws, &named, &clock).await?;
    }

    let (refuses, _log) = onion::refuses().await;
    for failing in [onion::nobody().await, refuses] {
        let secrets = ["hunter2", "hunter3", "am9lOmh1bnRlcjI="];
        let told = format!("{scheme}://joe:hunter2@{failing}/?token=hunter3");
        errors_hold_no_secrets(&secrets, &ws, &target(told), &clock).await?;
    }

    let ((old, before), (new, after)) = (ca.serve(speaks).await, ca.serve(speaks).await);
    let (find, moves) = moving(old, new);
    let (ws, logs) = (over(&ca, way.tcp(find).await), (&before, &after));
    a_reconnect_sees_a_moved_server(&ws, &named, logs, moves, &clock).await
}

#[tokio::test]
async fn bytes_go_there_and_back_through_the_whole_onion() {
    let ca = Authority::new();
    let (address, _log) = ca.serve(Speaks::Wss).await;
    let to = target(format!("wss://{address}/stream"));
    for way in Way::ALL {
        let ws = Ws::new(ca.tls(way.tcp(by_address).await));
        let mut stream = ws.dial(&to, &DialContext::unbounded()).await.unwrap();
        stream.write_all(b"hello").await.unwrap();
        let mut back = [0; 5];
        stream.read_exact(&mut back).await.unwrap();
        assert_eq!(&back, b"hello", "{way:?}");
        stream.hang_up().await.unwrap();
    }
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
