//! What a TCP dial leaves behind when it is dropped at any await, counted in the process: open
//! descriptors and tasks. Each test has the process to itself.
#![cfg(target_os = "linux")]
#![allow(
    clippy::unwrap_used,
    reason = "test code outside of the test functions"
)]

mod alone;
mod peers;

use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use failover_core::dial::Dial;
use failover_core::directory::{Endpoint, Target};
use failover_core::drive::{Connector, Loss};
use failover_core::failure::{Failure, Kind};
use failover_core::testing::conformance::leaves_no_more_than_before;
use transport_tcp::{Proxies, Proxy, Tcp, TokioClock, Unix};

use self::alone::{alone, left};

const SHORT: Duration = Duration::from_millis(50);

#[test]
fn a_dial_that_is_dropped_at_any_await_leaves_no_descriptor_and_no_task() {
    alone(async {
        let (address, _log) = peers::echo().await;
        let direct = format!("tcp://{address}");
        check(&Tcp::new(), &direct, 1).await;
        let named = Tcp::new().resolver(move |_: &str, _: u16| Ok(vec![address]));
        check(&named, "tcp://broker.example:1", 1).await;
        check(
            &Tcp::new(),
            &format!("tcp://localhost:{}", address.port()),
            2,
        )
        .await;
    });
}

#[test]
fn a_dial_through_a_proxy_that_is_dropped_at_any_await_leaves_nothing() {
    alone(async {
        let (address, _log) = peers::echo().await;
        let (http, _log) = peers::proxies::http(None).await;
        let (socks, _log) = peers::proxies::socks(None).await;
        let (mute, _log) = peers::mute().await;
        for (proxy, awaits) in [
            (format!("http://{http}"), 2),
            (format!("socks5://{socks}"), 3),
            (format!("http://{mute}"), 2),
            (format!("socks5://{mute}"), 2),
        ] {
            let proxies = Proxies::all(proxy.parse::<Proxy>().unwrap());
            let through = Tcp::new().proxies(proxies);
            check(&through, &format!("tcp://{address}"), awaits).await;
        }
    });
}

#[test]
fn a_race_of_addresses_that_is_dropped_at_any_await_leaves_nothing() {
    alone(async {
        let (_full, silent) = peers::silent().await;
        let (good, _log) = peers::echo().await;
        let nobody = peers::nobody().await;
        let all = vec![silent, nobody, silent, good];
        let racing = Tcp::new().resolver(move |_: &str, _: u16| Ok(all.clone()));
        check(&racing, "tcp://broker.example:1", 2).await;
    });
}

#[test]
fn a_dial_of_a_unix_socket_that_is_dropped_leaves_nothing() {
    alone(async {
        let path = std::env::temp_dir().join(format!("left-behind-{}", std::process::id()));
        let _listener = tokio::net::UnixListener::bind(&path).unwrap();
        check(&Unix, &format!("unix:{}", path.display()), 1).await;
        std::fs::remove_file(path).unwrap();
    });
}

#[test]
fn a_connect_that_is_dropped_at_any_await_dials_no_second_time() {
    alone(async {
        let (address, log) = peers::echo().await;
        let (http, _log) = peers::proxies::http(None).await;
        let proxies = Proxies::all(format!("http://{http}").parse::<Proxy>().unwrap());
        let before = left();
        for cut in 1..40 {
            let mut connector = Connector::builder(Tcp::new(), TokioClock::new())
                .endpoint(
                    Endpoint::parse(&format!("tcp://{address}"))
                        .unwrap()
                        .with(proxies.clone()),
                )
                .build()
                .unwrap();
            let accepted = log.accepted();
            let link = 'connected: {
                for _ in 0..cut {
                    let mut cx = Context::from_waker(Waker::noop());
                    if let Poll::Ready(link) = pin!(connector.connect()).poll(&mut cx) {
                        break 'connected link.unwrap();
                    }
                    tokio::task::yield_now().await;
                }
                connector.connect().await.unwrap()
            };
            assert_eq!(log.accepted(), accepted + 1, "dropped {cut} times");
            assert_eq!(connector.handle().snapshot().counters.dials, 1);
            connector.lost(link.id(), Loss::from(Failure::new(Kind::Closed)));
            drop((link, connector));
        }
        eventually_left(before).await;
    });
}

#[test]
fn a_connector_that_is_dropped_in_any_state_leaves_nothing() {
    alone(async {
        let (address, _log) = peers::echo().await;
        let (mute, _log) = peers::mute().await;
        let nobody = peers::nobody().await;
        let through = Tcp::new().proxies(format!("http://{mute}").parse::<Proxy>().unwrap());
        let before = left();
        for (tcp, to) in [
            (Tcp::new(), address),
            (Tcp::new(), nobody),
            (through, address),
        ] {
            for polls in 0..6 {
                let mut connector = Connector::builder(tcp.clone(), TokioClock::new())
                    .endpoint(Endpoint::parse(&format!("tcp://{to}")).unwrap())
                    .build()
                    .unwrap();
                let handle = connector.handle();
                for _ in 0..polls {
                    let mut cx = Context::from_waker(Waker::noop());
                    let _ = pin!(connector.connect()).poll(&mut cx);
                    tokio::task::yield_now().await;
                }
                drop(connector);
                assert!(handle.status().is_final());
            }
        }
        eventually_left(before).await;
    });
}

async fn check(dialer: &impl Dial, to: &str, awaits: usize) {
    let to = Target::parse(to).unwrap();
    let cuts = leaves_no_more_than_before(SHORT, dialer, &to, left, &TokioClock::new()).await;
    let cuts = cuts.unwrap();
    assert!(cuts >= awaits, "{to}: only {cuts} awaits were cut");
}

async fn eventually_left(before: usize) {
    let patience = tokio::time::timeout(Duration::from_secs(10), async {
        while left() > before {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    });
    assert!(patience.await.is_ok(), "{before} before, {} after", left());
}
