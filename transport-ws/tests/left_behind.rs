//! What a dial through the layers leaves behind when it is dropped at any await, counted in the
//! process: open descriptors and tasks. One test, which has the process to itself.
#![cfg(target_os = "linux")]
#![allow(
    clippy::unwrap_used,
    reason = "test code outside of the test functions"
)]

mod onion;

use std::net::SocketAddr;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use failover_core::dial::Dial;
use failover_core::directory::Endpoint;
use failover_core::drive::Connector;
use failover_core::testing::conformance::{PeerLog, leaves_no_more_than_before};
use transport_tcp::{Tcp, TokioClock};
use transport_ws::Ws;

use self::onion::{Authority, Speaks, target};

const STILL: Duration = Duration::from_millis(50);

#[tokio::test]
async fn a_dial_or_connect_that_is_dropped_at_any_await_leaves_nothing_and_dials_no_second_time() {
    let ca = Authority::new();
    let (tls, tls_log) = ca.serve(Speaks::Tls).await;
    let (ws, ws_log) = ca.serve(Speaks::Ws).await;
    let (wss, wss_log) = ca.serve(Speaks::Wss).await;
    let (half_way, _log) = ca.mute_behind_tls().await;
    let (mute, _log) = onion::mute().await;
    let over_tls = || ca.tls(Tcp::new());

    check(&over_tls(), "tls", [tls, mute]).await;
    check(&Ws::new(Tcp::new()), "ws", [ws, mute]).await;
    check(&Ws::new(Tcp::new()).messages(), "ws", [ws, mute]).await;
    check(&Ws::new(over_tls()), "wss", [wss, half_way]).await;
    check(&Ws::new(over_tls()).messages(), "wss", [wss, half_way]).await;

    connects_once(over_tls, &format!("tls://{tls}"), &tls_log).await;
    connects_once(|| Ws::new(Tcp::new()), &format!("ws://{ws}/"), &ws_log).await;
    connects_once(|| Ws::new(over_tls()), &format!("wss://{wss}/"), &wss_log).await;
}

async fn check(dialer: &impl Dial, scheme: &str, peers: [SocketAddr; 2]) {
    for peer in peers {
        let (to, clock) = (target(format!("{scheme}://{peer}/")), TokioClock::new());
        let cuts = leaves_no_more_than_before(STILL, dialer, &to, left, &clock).await;
        let cuts = cuts.unwrap();
        assert!(cuts >= 2, "{to}: only {cuts} awaits were cut");
    }
}

/// Polls `connect` by a new future each time, and then to its end: one dial all the while.
async fn connects_once<D: Dial + 'static>(dialer: impl Fn() -> D, url: &str, log: &PeerLog) {
    for dropped in 1..20 {
        let (before, accepted) = (left(), log.accepted());
        let mut connector = Connector::builder(dialer(), TokioClock::new())
            .endpoint(Endpoint::parse(url).unwrap())
            .build()
            .unwrap();
        let link = 'connected: {
            for _ in 0..dropped {
                let mut cx = Context::from_waker(Waker::noop());
                if let Poll::Ready(link) = pin!(connector.connect()).poll(&mut cx) {
                    break 'connected link.unwrap();
                }
                tokio::task::yield_now().await;
            }
            connector.connect().await.unwrap()
        };
        assert_eq!(
            log.accepted(),
            accepted + 1,
            "{url}, dropped {dropped} times"
        );
        drop((link, connector));
        let gone = tokio::time::timeout(Duration::from_secs(10), async {
            while left() > before {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        });
        assert!(
            gone.await.is_ok(),
            "{url}: {before} before, {} after",
            left()
        );
    }
}

/// Open descriptors and tasks that are not done.
fn left() -> usize {
    let descriptors = std::fs::read_dir("/proc/self/fd").unwrap().count();
    descriptors
        + tokio::runtime::Handle::current()
            .metrics()
            .num_alive_tasks()
}
