//! Every way in which an upgrade succeeds or fails, over real sockets.

use std::convert::Infallible;
use std::error::Error as _;
use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use crate::common::{Tcp, UPGRADED, answer_with, dial, peer, request, soon};
use failover_core::dial::{Dial, DialContext, Registry};
use failover_core::directory::{Endpoint, Secret, Target};
use failover_core::endpoint::Security;
use failover_core::failure::{Classify, Failure, Kind, Phase, Scope};
use tokio::io::AsyncWriteExt;
use tokio::sync::oneshot;
use transport_ws::{BadAnswer, ConfigError, Refusal, Ws, WsConfig, WsError, WsOptions};

type Error = WsError<crate::common::Refused>;

#[tokio::test]
async fn a_refused_upgrade_is_judged_by_its_status() {
    for (status, kind, scope) in [
        (200, Kind::Upgrade, Scope::Endpoint),
        (204, Kind::Upgrade, Scope::Endpoint),
        (302, Kind::Upgrade, Scope::Endpoint),
        (400, Kind::Upgrade, Scope::Endpoint),
        (401, Kind::Auth, Scope::Endpoint),
        (403, Kind::Auth, Scope::Endpoint),
        (404, Kind::Upgrade, Scope::Endpoint),
        (408, Kind::Upgrade, Scope::Transient),
        (426, Kind::Upgrade, Scope::Endpoint),
        (429, Kind::Upgrade, Scope::Transient),
        (500, Kind::Upgrade, Scope::Transient),
        (503, Kind::Upgrade, Scope::Transient),
        (599, Kind::Upgrade, Scope::Transient),
    ] {
        let error = refused_with(format!("HTTP/1.1 {status} Word\r\n\r\nwhy")).await;
        let expected = Failure::new(kind)
            .scope(scope)
            .at(Phase::Upgrade)
            .code(status);
        assert_eq!(error.failure(), expected);
        assert_eq!(refusal(&error).excerpt, "why");
    }
}

#[tokio::test]
async fn retry_after_reaches_the_failure_in_seconds_and_as_a_date() {
    for header in [
        "Retry-After: 90".to_owned(),
        "Date: Sun, 06 Nov 1994 08:48:07 GMT\r\nRetry-After: Sun, 06 Nov 1994 08:49:37 GMT".into(),
    ] {
        let error = refused_with(format!("HTTP/1.1 503 Busy\r\n{header}\r\n\r\n")).await;
        let hint = Some(Duration::from_secs(90));
        assert_eq!(error.failure().retry_after, hint);
        assert_eq!(refusal(&error).retry_after, hint);
    }
}

#[tokio::test]
async fn a_redirect_is_told_without_its_query_and_not_followed() {
    let location = "https://joe:hunter2@other.example/login?token=hunter2";
    let error = refused_with(format!(
        "HTTP/1.1 302 Found\r\nLocation: {location}\r\n\r\n"
    ))
    .await;
    assert_eq!(
        error.to_string(),
        "the server refused the WebSocket upgrade with status 302 and points to \
         `https://other.example/login?***` (not followed: `follow_redirects` allows no more)"
    );
}

#[tokio::test]
async fn an_answer_that_is_no_upgrade_benches_the_endpoint() {
    let right = UPGRADED;
    for (answer, problem) in [
        (
            right.replace("{accept}", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="),
            BadAnswer::AcceptKey,
        ),
        (
            right.replace("Sec-WebSocket-Accept", "X"),
            BadAnswer::AcceptKey,
        ),
        (
            right.replace("Upgrade: websocket", "X: y"),
            BadAnswer::NoUpgrade,
        ),
        (
            right.replace("Connection: Upgrade", "X: y"),
            BadAnswer::NoConnection,
        ),
        (
            with_header("Sec-WebSocket-Extensions: permessage-deflate"),
            BadAnswer::Extension,
        ),
        (
            with_header("Sec-WebSocket-Protocol: mqtt"),
            BadAnswer::Subprotocol,
        ),
        ("HTTP/1.0 101 Old\r\n\r\n".into(), BadAnswer::NotHttp),
        ("-ERR unknown command\r\n\r\n".into(), BadAnswer::NotHttp),
        ("\u{15}\u{3}\u{1}\0\u{2}\u{2}\n".into(), BadAnswer::NotHttp),
    ] {
        let error = refused_with(answer.clone()).await;
        assert!(
            matches!(&error, WsError::Answer(found) if *found == problem),
            "{answer}: {error:?}"
        );
        let failure = Failure::new(Kind::Upgrade).scope(Scope::Endpoint);
        assert_eq!(error.failure(), failure.at(Phase::Upgrade));
    }
}

#[tokio::test]
async fn an_empty_extensions_header_switches_nothing_on() {
    let port = peer(|stream| async move {
        answer_with(stream, &with_header("Sec-WebSocket-Extensions: ")).await;
    })
    .await;
    dial(&Ws::new(Tcp), port).await.unwrap();
}

#[tokio::test]
async fn the_server_must_choose_a_subprotocol_that_was_offered() {
    let ws = Ws::new(Tcp).config(WsConfig::default().subprotocols(["v12.stomp", "v11.stomp"]));
    let answer = |header: &'static str| async move {
        peer(move |stream| async move { answer_with(stream, &with_header(header)).await }).await
    };

    let port = answer("Sec-WebSocket-Protocol: v11.stomp").await;
    assert_eq!(
        dial(&ws, port).await.unwrap().subprotocol(),
        Some("v11.stomp")
    );
    for header in [
        "X: none",
        "Sec-WebSocket-Protocol: mqtt",
        "Sec-WebSocket-Protocol: v11.stomp\r\nSec-WebSocket-Protocol: mqtt",
    ] {
        let error = dial(&ws, answer(header).await).await.unwrap_err();
        assert!(
            matches!(error, WsError::Answer(BadAnswer::Subprotocol)),
            "{error:?}"
        );
    }
}

#[tokio::test]
async fn a_mute_server_is_known_to_have_been_in_the_upgrade() {
    let (release, held) = oneshot::channel::<()>();
    let port = peer(|stream| async move {
        let _ = held.await;
        drop(stream);
    })
    .await;
    let target = Target::parse(&format!("ws://127.0.0.1:{port}")).unwrap();
    let cx = DialContext::unbounded();
    let ws = Ws::new(Tcp);
    let deadline = Duration::from_millis(50);
    assert!(
        tokio::time::timeout(deadline, ws.dial(&target, &cx))
            .await
            .is_err()
    );
    assert_eq!(cx.trail().phase(), Some(Phase::Upgrade));
    drop(release);
}

#[tokio::test]
async fn a_dropped_dial_closes_the_connection() {
    let (gone, told) = oneshot::channel();
    let port = peer(|mut stream| async move {
        request(&mut stream).await;
        let end = tokio::io::AsyncReadExt::read(&mut stream, &mut [0]).await;
        let _ = gone.send(end.unwrap_or(0));
    })
    .await;
    let target = Target::parse(&format!("ws://127.0.0.1:{port}")).unwrap();
    let cx = DialContext::unbounded();
    let ws = Ws::new(Tcp);
    let deadline = Duration::from_millis(50);
    assert!(
        tokio::time::timeout(deadline, ws.dial(&target, &cx))
            .await
            .is_err()
    );
    assert_eq!(soon(told).await.unwrap(), 0);
}

#[tokio::test]
async fn a_connection_that_ends_within_the_answer_is_a_transport_fault() {
    for beginning in ["", "HTTP/1.1 101 Switching Pro"] {
        let port = peer(move |mut stream| async move {
            request(&mut stream).await;
            stream.write_all(beginning.as_bytes()).await.unwrap();
        })
        .await;
        let error = dial(&Ws::new(Tcp), port).await.unwrap_err();
        assert!(matches!(error, WsError::Cut), "{error:?}");
        assert_eq!(
            error.failure(),
            Failure::new(Kind::Closed).at(Phase::Upgrade)
        );
    }
}

#[tokio::test]
async fn a_reset_within_the_answer_is_a_transport_fault() {
    let port = peer(|stream| async move {
        // Closing with the request unread resets the connection.
        stream.readable().await.unwrap();
    })
    .await;
    let error = dial(&Ws::new(Tcp), port).await.unwrap_err();
    assert_eq!(
        error.failure(),
        Failure::new(Kind::Reset).at(Phase::Upgrade)
    );
    assert!(error.source().is_some());
}

#[tokio::test]
async fn an_endless_header_is_bounded() {
    let port = peer(|mut stream| async move {
        request(&mut stream).await;
        let _ = stream
            .write_all(b"HTTP/1.1 101 Switching Protocols\r\n")
            .await;
        while stream
            .write_all(b"X-Filler: yyyyyyyyyyyyyyyy\r\n")
            .await
            .is_ok()
        {}
    })
    .await;
    let error = dial(&Ws::new(Tcp), port).await.unwrap_err();
    assert!(matches!(error, WsError::TooLong), "{error:?}");
    assert_eq!(
        error.failure(),
        Failure::new(Kind::Protocol).at(Phase::Upgrade)
    );
}

#[tokio::test]
async fn an_inner_failure_stays_what_it_is() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let error = dial(&Ws::new(Tcp), port).await.unwrap_err();
    assert_eq!(error.to_string(), "no connection");
    assert_eq!(
        error.failure(),
        Failure::new(Kind::Refused).at(Phase::Connect)
    );
}

#[tokio::test]
async fn the_request_carries_what_was_configured_and_asked_for() {
    let (seen, told) = oneshot::channel();
    let port = peer(|mut stream| async move {
        let _ = seen.send(request(&mut stream).await);
    })
    .await;
    let ws = Ws::new(Tcp)
        .config(
            WsConfig::default()
                .subprotocols(["mqtt"])
                .header("Origin", "https://app.example")
                .header("X-Who", "dialer"),
        )
        .ask_headers(|_| async {
            Ok::<_, Infallible>(vec![("X-Token".into(), Secret::new("fresh"))])
        });
    let options = WsOptions::default()
        .subprotocols(["v12.stomp"])
        .header("x-who", "endpoint");
    let endpoint = Endpoint::parse(&format!("ws://joe:p%40ss@127.0.0.1:{port}/s?x=y#z"));
    let target = Target::new(Arc::new(endpoint.unwrap().with(options)), 0);
    ws.check(&target).unwrap();
    soon(ws.dial(&target, &DialContext::unbounded()))
        .await
        .unwrap_err();

    let request = told.await.unwrap();
    assert!(request.starts_with("GET /s?x=y HTTP/1.1\r\n"), "{request}");
    for line in [
        &format!("Host: 127.0.0.1:{port}"),
        "Origin: https://app.example",
        "x-who: endpoint",
        "X-Token: fresh",
        "Sec-WebSocket-Protocol: v12.stomp",
        // joe:p@ss
        "Authorization: Basic am9lOnBAc3M=",
    ] {
        assert!(
            request.contains(&format!("{line}\r\n")),
            "{line} in {request}"
        );
    }
}

#[tokio::test]
async fn no_error_and_no_debug_shows_a_secret_even_if_the_server_echoes_it() {
    let secrets = [
        "hunter2",
        "aHVudGVyMg",
        "am9lOmh1bnRlcjI=",
        "sesame",
        "t0ken",
    ];
    let port = peer(|stream| async move {
        let body = "denied: hunter2 t0ken am9lOmh1bnRlcjI= joe:hunter2 Bearer sesame ?key=t0ken";
        answer_with(stream, &format!("HTTP/1.1 403 No\r\n\r\n{body}")).await;
    })
    .await;
    let ws = Ws::new(Tcp).config(WsConfig::default().header("X-Key", "Bearer sesame"));
    let target = Target::parse(&format!("ws://joe:hunter2@127.0.0.1:{port}/?key=t0ken")).unwrap();
    let error = soon(ws.dial(&target, &DialContext::unbounded()))
        .await
        .unwrap_err();
    let shown = format!("{error} {error:?} {ws:?} {target:?} {target}");
    for secret in secrets {
        assert!(!shown.contains(secret), "{secret} in {shown}");
    }
    assert!(shown.contains("denied: ***"), "{shown}");
}

#[tokio::test]
async fn a_registry_dials_it_from_a_task() {
    let port = peer(|stream| async move { answer_with(stream, UPGRADED).await }).await;
    let registry = Registry::default().with("ws", Ws::new(Tcp));
    tokio::spawn(async move { dial(&registry, port).await.map(drop) })
        .await
        .unwrap()
        .unwrap();
}

#[test]
fn check_finds_what_could_never_be_sent_and_asks_the_inner_dialer() {
    let target = Target::parse("ws://a:1/").unwrap();
    let bad = Ws::new(Tcp).config(WsConfig::default().header("Upgrade", "h2c"));
    let error = bad.check(&target).unwrap_err();
    assert!(matches!(
        error,
        WsError::Config(ConfigError::ReservedHeader { .. })
    ));
    assert_eq!(error.failure().scope, Scope::Endpoint);
    assert!(bad.messages().check(&target).is_err());
    assert!(Ws::new(Tcp).check(&target).is_ok());
    assert_eq!(Ws::new(Tcp).security(&target), Security::Plain);
}

/// The error of a dial whose upgrade is answered with this.
async fn refused_with(answer: String) -> Error {
    let port = peer(|stream| async move { answer_with(stream, &answer).await }).await;
    dial(&Ws::new(Tcp), port).await.unwrap_err()
}

fn refusal<E: Debug>(error: &WsError<E>) -> &Refusal {
    let WsError::Refused(refusal) = error else {
        panic!("{error:?}");
    };
    refusal
}

fn with_header(header: &str) -> String {
    UPGRADED.replace("\r\n\r\n", &format!("\r\n{header}\r\n\r\n"))
}
