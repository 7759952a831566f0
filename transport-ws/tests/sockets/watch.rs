//! Keepalive and the grace for the close handshake, on a clock that stands still.

use std::io::{self, ErrorKind};
use std::time::Duration;

use crate::common::piped;
use failover_core::failure::{Failure, Kind, Phase};
use failover_core::heartbeat::{Heartbeat, Stale};
use futures_util::StreamExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, split};
use tokio::time::{Instant, sleep, timeout};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::Role;
use transport_ws::{SessionError, WsConfig};

#[tokio::test(start_paused = true)]
async fn a_silent_server_is_given_up_within_the_stated_bound_and_was_asked_before() {
    let (mut stream, mut server) = piped(4096, watched(2)).await;
    let start = Instant::now();
    let error = stream.read_u8().await.unwrap_err();
    assert_ends(start, Duration::from_secs(30));
    check_stale(&error, Stale::Silent);
    drop(stream);
    // Two masked pings without content.
    let mut seen = Vec::new();
    server.read_to_end(&mut seen).await.unwrap();
    let heads: Vec<_> = seen.chunks(6).map(|frame| &frame[..2]).collect();
    assert_eq!(heads, [b"\x89\x80", b"\x89\x80"]);
}

#[tokio::test(start_paused = true)]
async fn each_received_byte_counts_although_the_frame_is_not_whole() {
    let (mut stream, mut server) = piped(4096, watched(0)).await;
    let sending = tokio::spawn(async move {
        for byte in b"\x82\x05hello\x88\x02\x03\xe8" {
            sleep(Duration::from_secs(9)).await;
            server.write_all(&[*byte]).await.unwrap();
        }
        server
    });
    let mut all = Vec::new();
    stream.read_to_end(&mut all).await.unwrap();
    assert_eq!(all, b"hello");
    sending.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn what_is_sent_does_not_hide_a_dead_server() {
    let (stream, mut server) = piped(4096, watched(2)).await;
    let (mut reader, mut writer) = split(stream);
    tokio::spawn(async move { while let Ok(1..) = server.read(&mut [0; 4096]).await {} });
    let writing = tokio::spawn(async move {
        while writer.write_all(b"x").await.is_ok() {
            sleep(Duration::from_secs(1)).await;
        }
    });
    let start = Instant::now();
    check_stale(&reader.read_u8().await.unwrap_err(), Stale::Silent);
    assert_ends(start, Duration::from_secs(30));
    // The writer is told, too.
    writing.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_server_that_answers_pings_stays() {
    let (mut stream, server) = piped(4096, watched(1)).await;
    let mut server = answering(server).await;
    tokio::spawn(async move { while let Some(Ok(_)) = server.next().await {} });
    let an_hour = Duration::from_secs(3600);
    assert!(timeout(an_hour, stream.read_u8()).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn without_a_keepalive_nothing_is_sent_and_nothing_ends() {
    let (mut stream, mut server) = piped(4096, WsConfig::default()).await;
    let an_hour = Duration::from_secs(3600);
    assert!(timeout(an_hour, stream.read_u8()).await.is_err());
    drop(stream);
    assert_eq!(server.read(&mut [0]).await.unwrap(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_beat_is_a_pong_that_nobody_asked_for() {
    let beat = Heartbeat::builder().beat(Duration::from_secs(4));
    let config = WsConfig::default().keepalive(beat.build().unwrap());
    let (mut stream, mut server) = piped(4096, config).await;
    let _ = timeout(Duration::from_secs(9), stream.read_u8()).await;
    drop(stream);
    let mut seen = Vec::new();
    server.read_to_end(&mut seen).await.unwrap();
    assert_eq!(seen.len(), 12);
    assert!(seen.starts_with(b"\x8a\x80"));
}

#[tokio::test(start_paused = true)]
async fn a_write_that_does_not_end_is_given_up_and_the_reader_is_told() {
    let deadline = Heartbeat::builder().write_deadline(Duration::from_secs(7));
    let config = WsConfig::default().keepalive(deadline.build().unwrap());
    let (stream, _server) = piped(64, config).await;
    let (mut reader, mut writer) = split(stream);
    let reading = tokio::spawn(async move { reader.read_u8().await.unwrap_err() });
    tokio::task::yield_now().await;
    let start = Instant::now();
    check_stale(
        &writer.write_all(&[0; 300_000]).await.unwrap_err(),
        Stale::Stuck,
    );
    assert_ends(start, Duration::from_secs(7));
    let error = reading.await.unwrap();
    assert!(
        matches!(SessionError::in_io(&error), Some(SessionError::Ended)),
        "{error:?}"
    );
    let late = writer.write(b"x").await.unwrap_err();
    assert_eq!(late.kind(), ErrorKind::NotConnected);
}

#[tokio::test(start_paused = true)]
async fn a_stuck_write_is_noticed_by_who_only_reads() {
    let deadline = Heartbeat::builder().write_deadline(Duration::from_secs(7));
    let config = WsConfig::default().keepalive(deadline.build().unwrap());
    let (mut stream, _server) = piped(64, config).await;
    stream.write_all(&[0; 1000]).await.unwrap();
    let start = Instant::now();
    check_stale(&stream.read_u8().await.unwrap_err(), Stale::Stuck);
    assert_ends(start, Duration::from_secs(7));
}

#[tokio::test(start_paused = true)]
async fn a_slow_server_that_takes_something_in_is_not_stuck() {
    let deadline = Heartbeat::builder().write_deadline(Duration::from_secs(7));
    let config = WsConfig::default().max_write_size(64);
    let config = config.keepalive(deadline.build().unwrap());
    let (mut stream, mut server) = piped(64, config).await;
    let reading = tokio::spawn(async move {
        let mut amount = 0;
        while let Ok(read @ 1..) = server.read(&mut [0; 16]).await {
            amount += read;
            sleep(Duration::from_secs(1)).await;
        }
        amount
    });
    let start = Instant::now();
    stream.write_all(&[0; 2000]).await.unwrap();
    stream.flush().await.unwrap();
    assert!(start.elapsed() > Duration::from_secs(60));
    drop(stream);
    assert!(reading.await.unwrap() > 2000);
}

#[tokio::test(start_paused = true)]
async fn a_goodbye_that_nobody_answers_ends_after_the_grace() {
    let grace = Duration::from_secs(3);
    let config = || WsConfig::default().close_grace(grace);

    let (stream, _server) = piped(4096, config()).await;
    let start = Instant::now();
    let error = stream.hang_up().await.unwrap_err();
    assert!(matches!(error, SessionError::Unanswered), "{error:?}");
    assert_ends(start, grace);

    // By hand; whoever reads already is told, too.
    let (stream, _server) = piped(4096, config()).await;
    let (mut reader, mut writer) = split(stream);
    let reading = tokio::spawn(async move { reader.read_u8().await.unwrap_err() });
    sleep(Duration::from_secs(1)).await;
    let start = Instant::now();
    writer.shutdown().await.unwrap();
    check_unanswered(&reading.await.unwrap());
    assert_ends(start, grace);

    // Not even the goodbye goes out.
    let (mut stream, _server) = piped(64, config()).await;
    stream.write_all(&[0; 1000]).await.unwrap();
    let start = Instant::now();
    check_unanswered(&stream.shutdown().await.unwrap_err());
    assert_ends(start, grace);
}

#[tokio::test(start_paused = true)]
async fn a_goodbye_is_answered_and_what_comes_meanwhile_is_thrown_away() {
    let (stream, mut server) = piped(4096, WsConfig::default()).await;
    server.write_all(b"\x82\x05hello").await.unwrap();
    let mut server = answering(server).await;
    let serving = tokio::spawn(async move {
        while let Some(Ok(_)) = server.next().await {}
        drop(server);
    });
    let start = Instant::now();
    stream.hang_up().await.unwrap();
    assert_ends(start, Duration::ZERO);
    serving.await.unwrap();
}

/// A keepalive of 10 s with this many pings outstanding.
fn watched(max_outstanding: u32) -> WsConfig {
    let heartbeat = Heartbeat::builder().watch(Duration::from_secs(10), max_outstanding);
    WsConfig::default().keepalive(heartbeat.build().unwrap())
}

async fn answering(server: DuplexStream) -> WebSocketStream<DuplexStream> {
    WebSocketStream::from_raw_socket(server, Role::Server, None).await
}

fn check_stale(error: &io::Error, why: Stale) {
    let found = SessionError::in_io(error);
    assert!(
        matches!(found, Some(SessionError::Stale(found)) if *found == why),
        "{error:?}"
    );
    assert_eq!(error.kind(), ErrorKind::TimedOut);
    let failure = Failure::new(Kind::Stale).at(Phase::Session);
    assert_eq!(Failure::from_io(error), failure);
}

fn check_unanswered(error: &io::Error) {
    let found = SessionError::in_io(error);
    assert!(matches!(found, Some(SessionError::Unanswered)), "{error:?}");
    let failure = Failure::new(Kind::Timeout).at(Phase::Session);
    assert_eq!(Failure::from_io(error), failure);
}

/// The timer's tick is 1 ms.
fn assert_ends(start: Instant, after: Duration) {
    let elapsed = start.elapsed();
    let late = elapsed.checked_sub(after);
    assert!(
        late.is_some_and(|late| late <= Duration::from_millis(5)),
        "{elapsed:?}"
    );
}
