//! Peers that vanish without a word, and peers that come and go: over real sockets, on the real clock.
//!
//! The cable is cut by a socket filter that drops whatever comes to the peer's socket.
#![cfg(target_os = "linux")]
#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "test code outside of the test functions"
)]

mod peers;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use failover_core::dial::{Dial, DialContext};
use failover_core::directory::{Endpoint, Target};
use failover_core::drive::Connector;
use failover_core::failure::{Failure, Kind};
use failover_core::policy::{Backoff, Jitter, Pace, Policy, Ratio};
use socket2::{SockFilter, SockRef};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout};
use transport_tcp::{KeepAlive, Tcp, TcpOptions, TokioClock};

const SECOND: Duration = Duration::from_secs(1);
/// The kernel's timers are not exact, and the machine is not idle.
const LATE: Duration = Duration::from_secs(2);

#[tokio::test]
async fn keepalive_ends_an_idle_connection_to_a_vanished_peer_within_its_bound() {
    let keepalive = KeepAlive::after(SECOND).every(SECOND).probes(1);
    let mut stream = cut_off(TcpOptions::new().keepalive(keepalive)).await;
    let began = Instant::now();
    let error = soon(stream.read_u8()).await.unwrap_err();
    let took = began.elapsed();
    assert_eq!(Failure::from_io(&error).kind, Kind::Timeout, "{error}");
    assert!(
        took >= SECOND && took <= keepalive.bound() + LATE,
        "{took:?}"
    );
}

#[tokio::test]
async fn heavy_sending_hides_no_vanished_peer_from_the_user_timeout() {
    let mut stream = cut_off(TcpOptions::new().user_timeout(SECOND)).await;
    let began = Instant::now();
    let error = soon(write_for_ever(&mut stream)).await;
    let took = began.elapsed();
    assert_eq!(Failure::from_io(&error).kind, Kind::Timeout, "{error}");
    assert!(took >= SECOND && took <= SECOND + LATE, "{took:?}");
}

#[tokio::test]
async fn the_user_timeout_ends_a_peer_that_lives_and_reads_nothing() {
    let (address, _log) = peers::listen(|stream| async move {
        std::future::pending::<()>().await;
        drop(stream);
    })
    .await;
    let options = TcpOptions::new().user_timeout(SECOND);
    let mut stream = dial(address, options).await;
    let error = soon(write_for_ever(&mut stream)).await;
    assert_eq!(Failure::from_io(&error).kind, Kind::Timeout, "{error}");
}

#[tokio::test]
async fn a_server_that_accepts_and_closes_for_ever_is_dialled_ever_less_often() {
    let (address, log) = peers::listen(|stream| async move { drop(stream) }).await;
    let backoff = Backoff::Exponential {
        base: Duration::from_millis(20),
        factor: Ratio::TWO,
    };
    let cap = Duration::from_millis(160);
    let policy = Policy::builder()
        .pace(Pace::new(backoff).cap(cap))
        .jitter(Jitter::None)
        .build()
        .unwrap();
    let mut connector = Connector::builder(Tcp::new(), TokioClock::new())
        .endpoint(Endpoint::parse(&format!("tcp://{address}")).unwrap())
        .policy(policy)
        .build()
        .unwrap();
    let began = Instant::now();
    let mut connected = Vec::new();
    for _ in 0..8 {
        let mut link = soon(connector.connect()).await.unwrap();
        connected.push(began.elapsed());
        assert_eq!(soon(link.conn.read(&mut [0; 1])).await.unwrap(), 0);
        connector.lost(link.id(), Failure::new(Kind::Closed));
    }
    let gaps: Vec<Duration> = connected.windows(2).map(|pair| pair[1] - pair[0]).collect();
    for (number, gap) in gaps.iter().enumerate().skip(1) {
        let grown = Duration::from_millis(20 << (number - 1)).min(cap);
        assert!(*gap >= grown, "{number}: {gaps:?}");
    }
    assert!(gaps[gaps.len() - 1] >= cap, "{gaps:?}");
    assert!(log.accepted() <= connected.len());
}

/// A connection to a peer that was there, and then is not.
async fn cut_off(options: TcpOptions) -> TcpStream {
    let cut = Arc::new(Notify::new());
    let is_cut = Arc::clone(&cut);
    let (address, _log) = peers::listen(move |mut stream| {
        let cut = Arc::clone(&cut);
        async move {
            stream.read_u8().await.unwrap();
            // BPF_RET | BPF_K, 0: nothing comes through. It has nothing to send, so that it is silent.
            let nothing = [SockFilter::new(0x06, 0, 0, 0)];
            SockRef::from(&stream).attach_filter(&nothing).unwrap();
            cut.notify_one();
            std::future::pending::<()>().await;
        }
    })
    .await;
    let mut stream = dial(address, options).await;
    stream.write_u8(b'x').await.unwrap();
    soon(is_cut.notified()).await;
    stream
}

async fn write_for_ever(stream: &mut TcpStream) -> std::io::Error {
    loop {
        if let Err(error) = stream.write_all(&[0; 64 * 1024]).await {
            return error;
        }
    }
}

async fn dial(address: SocketAddr, options: TcpOptions) -> TcpStream {
    let to = Target::parse(&format!("tcp://{address}")).unwrap();
    let tcp = Tcp::new().options(options);
    tcp.dial(&to, &DialContext::unbounded()).await.unwrap()
}

async fn soon<T>(future: impl Future<Output = T>) -> T {
    let done = timeout(Duration::from_secs(20), future).await;
    done.expect("the test hangs")
}
