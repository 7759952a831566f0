//! Spares over real sockets: their keepers notice the end, and leave what came to the session.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "test code outside of the test functions"
)]

mod peers;

use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use failover_core::dial::{Dial, DialContext};
use failover_core::directory::{Endpoint, Target};
use failover_core::drive::{Connector, Events, Keep, What};
use failover_core::failure::{Failure, Kind};
use failover_core::policy::{Order, Policy, Standing, Walk};
use failover_core::testing::conformance::{PATIENCE, Violation, a_keeper_notices_the_end};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::futures::Notified;
use tokio::sync::{Notify, watch};
use tokio::time::timeout;
use transport_tcp::{ByteStream, KeepTcp, Tcp, TokioClock};

const TCP: Tcp = Tcp::new();

/// How a peer ends its connections when it is told to.
#[derive(Clone, Copy)]
enum End {
    Fin,
    Rst,
}

#[tokio::test]
async fn an_idle_connection_that_is_closed_or_reset_is_noticed() -> Result<(), Violation> {
    for end in [End::Fin, End::Rst] {
        let (address, told) = ending(b"", end).await;
        let (to, clock) = (target(address), TokioClock::new());
        let ends = || told.end();
        a_keeper_notices_the_end(&TCP, &to, KeepTcp::new, ends, &clock).await?;
    }
    Ok(())
}

#[tokio::test]
async fn the_end_behind_a_greeting_that_nobody_reads_is_noticed() -> Result<(), Violation> {
    for end in [End::Fin, End::Rst] {
        let (address, told) = ending(b"welcome", end).await;
        let (to, clock) = (target(address), TokioClock::new());
        let ends = || told.end();
        a_keeper_notices_the_end(&TCP, &to, KeepTcp::new, ends, &clock).await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_byte_stream_that_ends_is_noticed_behind_its_greeting_too() -> Result<(), Violation> {
    let dialer = TCP.map(ByteStream::new);
    for greeting in [&b""[..], b"welcome"] {
        for end in [End::Fin, End::Rst] {
            let (address, told) = ending(greeting, end).await;
            let (to, clock) = (target(address), TokioClock::new());
            let (keeper, ends) = (|| ByteStream::poll_ended, || told.end());
            a_keeper_notices_the_end(&dialer, &to, keeper, ends, &clock).await?;
        }
    }
    Ok(())
}

#[tokio::test]
async fn what_came_while_nobody_read_is_the_sessions() {
    let (address, _told) = ending(b"welcome", End::Fin).await;
    let to = target(address);
    let cx = DialContext::unbounded();

    let mut stream = TCP.dial(&to, &cx).await.unwrap();
    stream.readable().await.unwrap();
    stands(&mut stream, &mut KeepTcp::new()).await;
    assert_eq!(read(&mut stream).await, "welcome");

    let mut stream = TCP.map(ByteStream::new).dial(&to, &cx).await.unwrap();
    // Until the greeting has been read ahead: nothing else is to be read then.
    for _ in 0..50 {
        stands(&mut stream, &mut ByteStream::poll_ended).await;
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert_eq!(read(&mut stream).await, "welcome");
}

#[tokio::test]
async fn a_spare_killed_by_its_server_is_replaced_before_any_loss_and_the_promoted_one_is_live() {
    let (first, ends_first) = ending(b"", End::Fin).await;
    let (second, ends_second) = ending(b"", End::Rst).await;
    let (third, _ends) = ending(b"", End::Fin).await;
    let policy = Policy::builder()
        .order(Order::new(Walk::Listed))
        .standing(Standing::default().spares(1))
        .build()
        .unwrap();
    let endpoints = [first, second, third].map(|at| Endpoint::parse(&format!("tcp://{at}")));
    let mut connector = Connector::builder(TCP, TokioClock::new())
        .endpoints(endpoints.map(Result::unwrap))
        .policy(policy)
        .keeper(|_| KeepTcp::new())
        .build()
        .unwrap();
    let mut events = connector.events();
    let mut link = connector.connect().await.unwrap();
    assert_eq!(link.conn.peer_addr().unwrap(), first);
    assert_eq!(
        next_spare(&mut connector, &mut events).await,
        second.to_string()
    );

    // The spare's server goes, and comes back to no spare of ours: another is made.
    ends_second.end();
    let other = next_spare(&mut connector, &mut events).await;

    ends_first.end();
    assert_eq!(link.conn.read(&mut [0; 8]).await.unwrap(), 0);
    connector.lost(link.id(), Failure::new(Kind::Closed));
    let dials = connector.handle().snapshot().counters.dials;
    link = connector.connect().await.unwrap();
    assert_eq!(link.target().endpoint().name(), other);
    assert_eq!(connector.handle().snapshot().counters.dials, dials);
    link.conn.write_all(b"hello").await.unwrap();
    assert_eq!(read(&mut link.conn).await, "hello");
}

/// Ends the connections of a peer.
#[derive(Clone, Default)]
struct Ender {
    told: Arc<Notify>,
    /// How many connections the peer has, as far as it has noticed them.
    standing: Arc<watch::Sender<usize>>,
}

impl Ender {
    /// Ends every connection, as soon as there is one: a client's may stand before its peer knows.
    fn end(&self) {
        let Self { told, standing } = self.clone();
        tokio::spawn(async move {
            standing
                .subscribe()
                .wait_for(|many| *many > 0)
                .await
                .unwrap();
            told.notify_waiters();
        });
    }
}

/// A peer that greets, sends back what it reads, and ends every connection when it is told to.
async fn ending(greeting: &'static [u8], end: End) -> (SocketAddr, Ender) {
    let ender = Ender::default();
    let Ender { told, standing } = ender.clone();
    let (address, _) = peers::listen(move |mut stream| {
        let (told, standing) = (Arc::clone(&told), Arc::clone(&standing));
        async move {
            let end_now = told.notified();
            tokio::pin!(end_now);
            end_now.as_mut().enable();
            standing.send_modify(|many| *many += 1);
            let is_ended = echo(&mut stream, greeting, end_now).await;
            standing.send_modify(|many| *many -= 1);
            if let (true, End::Rst) = (is_ended, end) {
                stream.set_zero_linger().unwrap();
            }
        }
    })
    .await;
    (address, ender)
}

/// Until it is told to end, which it says, or the client goes.
async fn echo(
    stream: &mut TcpStream,
    greeting: &[u8],
    mut end_now: Pin<&mut Notified<'_>>,
) -> bool {
    stream.write_all(greeting).await.unwrap();
    let mut buf = [0; 64];
    loop {
        tokio::select! {
            () = &mut end_now => return true,
            read = stream.read(&mut buf) => match read {
                Ok(read @ 1..) => stream.write_all(&buf[..read]).await.unwrap(),
                Ok(0) | Err(_) => return false,
            },
        }
    }
}

/// The name of the next spare that stands ready.
async fn next_spare(connector: &mut Connector<Tcp, TokioClock>, events: &mut Events) -> String {
    let ready = async {
        loop {
            if let What::SpareReady(link) = events.next().await.unwrap().what {
                return link.target.endpoint().name().to_string();
            }
        }
    };
    let spare = async {
        tokio::select! {
            spare = ready => spare,
            () = connector.hung_up() => unreachable!("the connection stands"),
        }
    };
    timeout(PATIENCE, spare).await.unwrap()
}

async fn stands<T>(conn: &mut T, keeper: &mut impl Keep<T>) {
    poll_fn(|cx| {
        assert!(keeper.poll_lost(conn, cx).is_pending());
        Poll::Ready(())
    })
    .await;
}

async fn read(stream: &mut (impl AsyncReadExt + Unpin)) -> String {
    let mut buf = [0; 64];
    let read = timeout(PATIENCE, stream.read(&mut buf))
        .await
        .unwrap()
        .unwrap();
    String::from_utf8_lossy(&buf[..read]).into_owned()
}

fn target(address: SocketAddr) -> Target {
    Target::parse(&format!("tcp://{address}")).unwrap()
}
