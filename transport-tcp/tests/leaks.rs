//! Memory, descriptors and tasks stay flat through 100 000 failed dials and 10 000 reconnects, over
//! real sockets on loopback.
#![cfg(target_os = "linux")]
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "test code outside of the test functions; the figures are for people"
)]

mod alone;
mod peers;

use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use failover_core::directory::Endpoint;
use failover_core::drive::{Connector, ConnectorBuilder};
use failover_core::machine::CloseReason;
use failover_core::policy::{Backoff, Jitter, Limit, Limits, Pace, Policy, PolicyBuilder};
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream};
use transport_tcp::{Tcp, TokioClock};

use self::alone::{alone, left, resident};

/// How much the resident memory may grow after a tenth of the work, in KiB.
const GROWTH: usize = 1024;

#[test]
fn a_hundred_thousand_failed_dials_leave_memory_and_descriptors_flat() {
    const ALL: u32 = 100_000;
    alone(async {
        let nobody = peers::nobody().await.port();
        let began = Instant::now();
        let mut after = Vec::new();
        for part in [ALL / 10, ALL] {
            let budget = Limits::UNLIMITED.turns(Limit::AtMost(part));
            // Many addresses, because no one of them is dialled more often than every millisecond.
            let mut connector = connector(250, nobody, hurried().start_up_limits(budget));
            let mut events = connector.events();
            let before = left();
            let gave_up = connector.connect().await.unwrap_err();
            assert_eq!(gave_up.reason, CloseReason::Turns(part));
            let told = std::iter::from_fn(|| events.try_next()).count() as u64;
            assert_eq!(told + events.dropped(), u64::from(part) + 1);
            assert_eq!(left(), before);
            after.push(resident());
        }
        println!(
            "{ALL} refused dials in {:?}, resident KiB {after:?}",
            began.elapsed()
        );
        assert!(after[1] <= after[0] + GROWTH, "{after:?}");
    });
}

#[test]
fn ten_thousand_reconnects_leave_memory_and_descriptors_flat() {
    const ALL: u32 = 10_000;
    alone(async {
        let port = resets_all().await.port();
        let mut connector = connector(40, port, hurried());
        let began = Instant::now();
        let mut after = Vec::new();
        let mut before = 0;
        for n in 1..=ALL {
            let mut link = connector.connect().await.unwrap();
            let error = link.conn.read_u8().await.unwrap_err();
            connector.lost(link.id(), error);
            drop(link);
            if n == ALL / 10 {
                before = settled().await;
                after.push(resident());
            }
        }
        after.push(resident());
        assert_eq!(settled().await, before);
        assert_eq!(
            connector.handle().snapshot().counters.connections,
            u64::from(ALL)
        );
        println!(
            "{ALL} reconnects in {:?}, resident KiB {after:?}",
            began.elapsed()
        );
        assert!(after[1] <= after[0] + GROWTH, "{after:?}");
    });
}

/// Waits for nothing, rotates, and never thinks a connection unstable.
fn hurried() -> PolicyBuilder {
    Policy::builder()
        .pace(Pace::new(Backoff::Constant(Duration::ZERO)))
        .jitter(Jitter::None)
        .tls_jitter(Jitter::None)
        .stable_after(Duration::ZERO)
}

/// Over so many addresses of loopback.
fn connector(servers: u8, port: u16, policy: PolicyBuilder) -> Connector<Tcp, TokioClock> {
    let addresses = (1..=servers).map(|n| SocketAddr::from((Ipv4Addr::new(127, 0, 0, n), port)));
    let endpoints = addresses.map(|address| Endpoint::parse(&format!("tcp://{address}")).unwrap());
    let builder: ConnectorBuilder<_, _> = Connector::builder(Tcp::new(), TokioClock::new());
    builder
        .endpoints(endpoints)
        .policy(policy.build().unwrap())
        .build()
        .unwrap()
}

/// A server on every address of loopback that resets what it accepts: nothing then waits for late
/// packets, and no port is used up.
async fn resets_all() -> SocketAddr {
    let listener = TcpListener::bind("0.0.0.0:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            TcpStream::set_zero_linger(&stream).unwrap();
        }
    });
    address
}

/// What is open, once the server has closed its side, too.
async fn settled() -> usize {
    tokio::time::sleep(Duration::from_millis(50)).await;
    left()
}
