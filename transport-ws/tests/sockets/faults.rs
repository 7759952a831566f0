//! Faults of the WebSocket floor on real sockets and the real clock.

use std::io::ErrorKind;
use std::time::Duration;

use crate::common::{Tcp, accept_raw, answer_with, dial, peer, soon};
use failover_core::failure::{Classify, Failure, Kind, Phase, Scope};
use failover_core::heartbeat::{Heartbeat, Stale};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::oneshot;
use tokio::time::Instant;
use transport_ws::{BadAnswer, Breach, SessionError, Ws, WsConfig, WsError};

#[tokio::test]
async fn every_status_is_judged_by_one_rule() {
    for status in 200..600_u32 {
        let port = peer(move |stream| async move {
            answer_with(
                stream,
                &format!("HTTP/1.1 {status} Word\r\nContent-Length: 0\r\n\r\n"),
            )
            .await;
        })
        .await;
        let error = dial(&Ws::new(Tcp), port).await.unwrap_err();
        let kind = match status {
            401 | 403 => Kind::Auth,
            _ => Kind::Upgrade,
        };
        let scope = match status {
            408 | 429 | 500..=599 => Scope::Transient,
            _ => Scope::Endpoint,
        };
        let expected = Failure::new(kind).scope(scope).at(Phase::Upgrade);
        assert_eq!(error.failure(), expected.code(status), "{status}");
    }
}

#[tokio::test]
async fn pings_that_nobody_answers_end_the_connection_within_the_stated_bound() {
    let port = peer(|mut stream| async move {
        accept_raw(&mut stream).await;
        while let Ok(1..) = stream.read(&mut [0; 1024]).await {}
    })
    .await;
    let interval = Duration::from_millis(100);
    let watch = Heartbeat::builder().watch(interval, 1).build().unwrap();
    let ws = Ws::new(Tcp).config(WsConfig::default().keepalive(watch));
    let mut stream = dial(&ws, port).await.unwrap();
    let began = Instant::now();
    let error = soon(stream.read_u8()).await.unwrap_err();
    let took = began.elapsed();
    let bound = interval * 2;
    // The machine is not idle.
    assert!(
        took >= bound && took <= bound + Duration::from_secs(1),
        "{took:?}"
    );
    assert_eq!(error.kind(), ErrorKind::TimedOut);
    let why = SessionError::in_io(&error);
    assert!(
        matches!(why, Some(SessionError::Stale(Stale::Silent))),
        "{error:?}"
    );
    assert_eq!(Failure::from_io(&error).kind, Kind::Stale);
}

#[tokio::test]
async fn a_message_in_endless_fragments_ends_at_the_bound() {
    let (told, heard) = oneshot::channel();
    let port = peer(|mut stream| async move {
        accept_raw(&mut stream).await;
        // The first fragment of a message, and then one after the other, a byte each.
        let mut sent = 1_usize;
        let mut fragment = [0x02, 0x01, b'x'];
        while stream.write_all(&fragment).await.is_ok() {
            fragment[0] = 0;
            sent += 1;
        }
        let _ = told.send(sent);
    })
    .await;
    let ws = Ws::new(Tcp).config(WsConfig::default().max_message_size(1000));
    let mut messages = dial(&ws.messages(), port).await.unwrap();
    let error = soon(futures_util::StreamExt::next(&mut messages)).await;
    let error = error.unwrap().unwrap_err();
    let SessionError::Breach(Breach::TooLarge { size, max_size }) = error else {
        panic!("{error:?}");
    };
    assert_eq!((size, max_size), (1001, 1000));
    drop(messages);
    soon(heard).await.unwrap();
}

#[tokio::test]
async fn a_tls_server_on_a_plain_port_is_told_in_words() {
    let port = peer(|mut stream| async move {
        let _ = stream.read(&mut [0; 1024]).await;
        // The alert with which TLS servers answer HTTP: fatal, protocol_version.
        let _ = stream.write_all(b"\x15\x03\x01\x00\x02\x02\x46").await;
        let _ = stream.read(&mut [0; 1024]).await;
    })
    .await;
    let error = dial(&Ws::new(Tcp), port).await.unwrap_err();
    assert!(
        matches!(error, WsError::Answer(BadAnswer::NotHttp)),
        "{error:?}"
    );
    assert!(error.to_string().contains("does it expect TLS?"), "{error}");
    let failure = Failure::new(Kind::Upgrade).scope(Scope::Endpoint);
    assert_eq!(error.failure(), failure.at(Phase::Upgrade));
}
