//! The answer to the upgrade at its bounds, and headers that are asked for.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use crate::common::{
    Tcp, UPGRADED, accept_key, answer_with, dial, peer, request, soon, try_request,
};
use failover_core::dial::{Dial, DialContext};
use failover_core::directory::{Secret, Target};
use failover_core::failure::{Classify, Failure, Kind, Phase, Scope};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use tokio::time::{sleep, timeout};
use transport_ws::{ConfigError, MAX_EXCERPT, Ws, WsConfig, WsError};

#[tokio::test]
async fn interim_answers_and_lists_of_connection_words_are_understood() {
    for answer in [
        format!("HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n{UPGRADED}"),
        UPGRADED.replace("Connection: Upgrade", "connection: keep-alive, UPGRADE"),
        UPGRADED.replace("Upgrade: websocket", "Upgrade: WebSocket"),
    ] {
        let port = peer(|stream| async move { answer_with(stream, &answer).await }).await;
        dial(&Ws::new(Tcp), port).await.unwrap();
    }
}

#[tokio::test]
async fn an_answer_at_the_bound_passes_and_one_byte_more_does_not() {
    // The accept key has 28 bytes, its place holder 8.
    let size = UPGRADED.len() - "{accept}".len() + 28;
    let filler = "\r\nX: ".len();
    for (room, passes) in [(400, true), (399, false)] {
        let field = format!("\r\nX: {}\r\n\r\n", "y".repeat(400 - size - filler));
        let answer = UPGRADED.replace("\r\n\r\n", &field);
        let port = peer(|stream| async move { answer_with(stream, &answer).await }).await;
        let ws = Ws::new(Tcp).config(WsConfig::default().max_answer_size(room));
        match dial(&ws, port).await {
            Ok(_) => assert!(passes),
            Err(error) => assert!(!passes && matches!(error, WsError::TooLong), "{error:?}"),
        }
    }
}

#[tokio::test]
async fn an_answer_byte_by_byte_is_put_together() {
    let port = peer(|mut stream| async move {
        stream.set_nodelay(true).unwrap();
        let key = accept_key(&request(&mut stream).await);
        for byte in UPGRADED.replace("{accept}", &key).bytes() {
            stream.write_all(&[byte]).await.unwrap();
            tokio::task::yield_now().await;
        }
        let _ = try_request(&mut stream).await;
    })
    .await;
    dial(&Ws::new(Tcp), port).await.unwrap();
}

#[tokio::test]
async fn a_slow_drip_is_left_to_the_deadline_of_the_whole_dial() {
    let port = peer(|mut stream| async move {
        request(&mut stream).await;
        stream.set_nodelay(true).unwrap();
        let _ = stream.write_all(b"HTTP/1.1 101 Soon\r\nX: ").await;
        while stream.write_all(b"y").await.is_ok() {
            sleep(Duration::from_millis(1)).await;
        }
    })
    .await;
    let target = Target::parse(&format!("ws://127.0.0.1:{port}/")).unwrap();
    let cx = DialContext::unbounded();
    let ws = Ws::new(Tcp);
    // Far more pieces than a library would call an attack.
    let dialling = ws.dial(&target, &cx);
    assert!(timeout(Duration::from_millis(500), dialling).await.is_err());
    assert_eq!(cx.trail().phase(), Some(Phase::Upgrade));
}

#[tokio::test]
async fn a_banner_of_another_protocol_is_recognised_without_waiting_for_more() {
    let port = peer(|mut stream| async move {
        stream.write_all(b"SSH-2.0-x\r\n").await.unwrap();
        let _ = try_request(&mut stream).await;
        std::future::pending::<()>().await;
    })
    .await;
    let error = dial(&Ws::new(Tcp), port).await.unwrap_err();
    assert!(matches!(error, WsError::Answer(_)), "{error:?}");
}

#[tokio::test]
async fn the_reason_of_a_refusal_is_found_although_it_comes_late_or_in_chunks() {
    let long = "x".repeat(10 * MAX_EXCERPT);
    let endless = format!("Content-Length: 100000\r\n\r\n{long}");
    for (rest, expected) in [
        ("Content-Length: 6\r\n\r\n|reason", "reason"),
        (
            "Content-Length: 6\r\n\r\nrea|son and the next answer",
            "reason",
        ),
        (
            "Transfer-Encoding: chunked\r\n\r\n|6\r\nreason\r\n0\r\n\r\n",
            "reason",
        ),
        ("Content-Length: 0\r\n\r\n", ""),
        // It never comes whole: what there is is told, soon.
        ("Content-Length: 100\r\n\r\nrea|son", "reason"),
        (endless.as_str(), &long[..MAX_EXCERPT]),
    ] {
        let answer = format!("HTTP/1.0 503 Busy\r\n{rest}");
        let port = peer(move |mut stream| async move {
            request(&mut stream).await;
            for piece in answer.split('|') {
                stream.write_all(piece.as_bytes()).await.unwrap();
                sleep(Duration::from_millis(10)).await;
            }
            std::future::pending::<()>().await;
        })
        .await;
        let error = dial(&Ws::new(Tcp), port).await.unwrap_err();
        let WsError::Refused(refusal) = &error else {
            panic!("{rest}: {error:?}");
        };
        assert_eq!(refusal.excerpt, expected);
        assert_eq!(error.failure().code, Some(503));
    }
}

#[tokio::test]
async fn headers_are_asked_for_at_each_dial() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let serving = tokio::spawn(async move {
        for number in 1..=2 {
            let (mut stream, _) = listener.accept().await.unwrap();
            let request = request(&mut stream).await;
            assert!(
                request.contains(&format!("Authorization: Bearer {number}\r\n")),
                "{request}"
            );
            stream.write_all(b"HTTP/1.1 401 No\r\n\r\n").await.unwrap();
        }
    });
    let count = Arc::new(AtomicU32::new(0));
    let ws = Ws::new(Tcp).ask_headers(move |_| {
        let number = count.fetch_add(1, Ordering::Relaxed) + 1;
        async move {
            tokio::task::yield_now().await;
            let bearer = Secret::new(format!("Bearer {number}"));
            Ok::<_, NoToken>(vec![("Authorization".to_owned(), bearer)])
        }
    });
    for _ in 1..=2 {
        assert_eq!(
            dial(&ws, port).await.unwrap_err().failure().kind,
            Kind::Auth
        );
    }
    soon(serving).await.unwrap();
}

#[tokio::test]
async fn headers_that_cannot_be_had_fail_the_dial_as_their_error_says_and_nothing_is_dialled() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let ws = Ws::new(Tcp).ask_headers(|_| async { Err(NoToken) });
    let error = dial(&ws, port).await.unwrap_err();
    let failure = Failure::new(Kind::Timeout).scope(Scope::Fatal);
    assert_eq!(error.failure(), failure.at(Phase::Upgrade));
    let WsError::Ask(error) = error else {
        panic!("{error:?}");
    };
    assert!(error.inner().is::<NoToken>());
    assert_eq!(error.to_string(), "no token");
    assert!(
        timeout(Duration::from_millis(20), listener.accept())
            .await
            .is_err()
    );
}

#[test]
fn sizes_that_cannot_work_are_refused_before_anything_is_dialled() {
    let ws = Ws::new(Tcp).config(WsConfig::default().max_frame_size(2).max_message_size(1));
    let error = ws.check(&Target::parse("ws://a:1/").unwrap()).unwrap_err();
    assert!(matches!(
        error,
        WsError::Config(ConfigError::FrameAboveMessage { .. })
    ));
}

#[derive(Debug)]
struct NoToken;

impl fmt::Display for NoToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no token")
    }
}

impl std::error::Error for NoToken {}

impl Classify for NoToken {
    fn failure(&self) -> Failure {
        Failure::new(Kind::Timeout).scope(Scope::Fatal)
    }
}
