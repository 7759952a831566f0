//! Redirects: followed where that is allowed, and never further.

use std::convert::Infallible;
use std::sync::Arc;

use crate::common::{Tcp, UPGRADED, accept_key, peer, request, soon};
use failover_core::dial::{Dial, DialContext};
use failover_core::directory::{Endpoint, Secret, Target};
use failover_core::endpoint::Security;
use failover_core::failure::{Classify, Failure, Kind, Phase, Scope};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use transport_ws::{NotFollowed, Ws, WsConfig, WsError, WsOptions};

#[tokio::test]
async fn a_redirect_within_the_server_keeps_credentials_and_options() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let serving = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let first = request(&mut stream).await;
        send_on(&mut stream, 307, "/second?x=y").await;
        let (mut stream, _) = listener.accept().await.unwrap();
        let second = request(&mut stream).await;
        upgrade(&mut stream, &second).await;
        (first, second)
    });
    dial(&following(1), port).await.unwrap();
    let (first, second) = soon(serving).await.unwrap();
    assert!(first.starts_with("GET /first HTTP"), "{first}");
    assert!(second.starts_with("GET /second?x=y HTTP"), "{second}");
    for line in SECRET_LINES {
        assert!(
            first.contains(line) && second.contains(line),
            "{line}: {second}"
        );
    }
}

#[tokio::test]
async fn another_server_gets_no_credentials() {
    let (told, heard) = oneshot::channel();
    let other = peer(|mut stream| async move {
        let request = request(&mut stream).await;
        upgrade(&mut stream, &request).await;
        let _ = told.send(request);
    })
    .await;
    let port = sends_on(302, format!("http://eve:pw@127.0.0.1:{other}/there")).await;
    dial(&following(1), port).await.unwrap();
    let request = soon(heard).await.unwrap();
    assert!(request.starts_with("GET /there HTTP"), "{request}");
    assert!(request.contains(&format!("Host: 127.0.0.1:{other}\r\n")));
    for line in SECRET_LINES.into_iter().chain(["Authorization"]) {
        assert!(!request.contains(line), "{line} in {request}");
    }
}

#[tokio::test]
async fn a_ring_of_redirects_ends_at_the_bound() {
    for most in [0_u8, 1, 3] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (count, mut counted) = tokio::sync::mpsc::unbounded_channel();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                count.send(()).unwrap();
                request(&mut stream).await;
                send_on(&mut stream, 308, "/again").await;
            }
        });
        let error = dial(&following(most), port).await.unwrap_err();
        check(&error, 308, NotFollowed::AsConfigured);
        assert_eq!(counted.len(), usize::from(most) + 1);
        counted.close();
    }
}

#[tokio::test]
async fn a_redirect_to_nowhere_or_out_of_reach_is_an_error() {
    for (location, why) in [
        ("", NotFollowed::Nowhere),
        ("relative", NotFollowed::Nowhere),
        ("ftp://127.0.0.1/", NotFollowed::Nowhere),
        // TLS over a dialer that knows none.
        ("wss://127.0.0.1:1/", NotFollowed::OutOfReach),
    ] {
        let port = sends_on(302, location.to_owned()).await;
        let error = dial(&following(9), port).await.unwrap_err();
        check(&error, 302, why);
    }
}

#[tokio::test]
async fn a_redirect_never_gives_up_tls() {
    let port = sends_on(302, "ws://127.0.0.1:1/".to_owned()).await;
    let ws = Ws::new(SaysTls(Tcp)).config(WsConfig::default().follow_redirects(9));
    let target = Target::parse(&format!("wss://127.0.0.1:{port}/")).unwrap();
    let error = soon(ws.dial(&target, &DialContext::unbounded())).await;
    check(&error.unwrap_err(), 302, NotFollowed::Downgrade);
}

/// What a dialer over TLS looks like from above.
struct SaysTls(Tcp);

impl Dial for SaysTls {
    type Conn = TcpStream;
    type Error = crate::common::Refused;

    async fn dial(&self, to: &Target, cx: &DialContext) -> Result<TcpStream, Self::Error> {
        self.0.dial(to, cx).await
    }

    fn security(&self, _: &Target) -> Security {
        Security::Tls
    }
}

const SECRET_LINES: [&str; 4] = [
    "Basic am9lOnB3",
    "X-Own: hunter2",
    "X-Asked: sesame",
    "X-All: open",
];

fn following(most: u8) -> Ws<Tcp> {
    let config = WsConfig::default()
        .header("X-All", "open")
        .follow_redirects(most);
    Ws::new(Tcp).config(config).ask_headers(|_| async {
        Ok::<_, Infallible>(vec![("X-Asked".to_owned(), Secret::new("sesame"))])
    })
}

async fn dial(
    ws: &Ws<Tcp>,
    port: u16,
) -> Result<transport_ws::WsStream<TcpStream>, WsError<crate::common::Refused>> {
    let endpoint = Endpoint::parse(&format!("ws://joe:pw@127.0.0.1:{port}/first")).unwrap();
    let endpoint = endpoint.with(WsOptions::default().header("X-Own", "hunter2"));
    let target = Target::new(Arc::new(endpoint), 0);
    soon(ws.dial(&target, &DialContext::unbounded())).await
}

/// A server that sends its one client on.
async fn sends_on(status: u16, location: String) -> u16 {
    peer(move |mut stream| async move {
        request(&mut stream).await;
        send_on(&mut stream, status, &location).await;
    })
    .await
}

async fn send_on(stream: &mut TcpStream, status: u16, location: &str) {
    let answer = format!("HTTP/1.1 {status} There\r\nLocation: {location}\r\n\r\n");
    stream.write_all(answer.as_bytes()).await.unwrap();
}

async fn upgrade(stream: &mut TcpStream, request: &str) {
    let answer = UPGRADED.replace("{accept}", &accept_key(request));
    stream.write_all(answer.as_bytes()).await.unwrap();
}

fn check(error: &WsError<crate::common::Refused>, status: u32, why: NotFollowed) {
    let WsError::Refused(refusal) = error else {
        panic!("{error:?}");
    };
    assert_eq!(refusal.not_followed, Some(why));
    let failure = Failure::new(Kind::Upgrade).scope(Scope::Endpoint);
    assert_eq!(error.failure(), failure.at(Phase::Upgrade).code(status));
}
