//! Close is prompt wherever a dial is: at the name, in the TLS handshake, in the upgrade, at the login.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "test code outside of the test functions"
)]

use std::future::pending;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use failover_core::dial::{BoxDial, Dial, DialContext, DialError};
use failover_core::directory::{Endpoint, Target};
use failover_core::drive::Connector;
use failover_core::failure::Phase;
use failover_core::machine::CloseReason;
use failover_core::policy::Policy;
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};
use transport_tcp::{ByteStream, Resolve, Resolving, Tcp, TokioClock};
use transport_tls::{Tls, TlsConfig};
use transport_ws::Ws;

const PATIENCE: Duration = Duration::from_secs(20);

#[tokio::test]
async fn close_is_prompt_at_the_name() {
    let tcp = Tcp::new().resolver(Hangs).map(ByteStream::new);
    closes_promptly(tcp.boxed(), "tcp://name.example:1", Phase::Resolve).await;
}

#[tokio::test]
async fn close_is_prompt_in_every_handshake_and_its_peer_sees_the_end() {
    let tls = Tls::new(Tcp::new(), TlsConfig::new().build().unwrap());
    let cases: [(BoxDial<ByteStream>, &str, Phase); 3] = [
        (tls.map(ByteStream::new).boxed(), "tls", Phase::Tls),
        (
            Ws::new(Tcp::new()).map(ByteStream::new).boxed(),
            "ws",
            Phase::Upgrade,
        ),
        (LogsIn(Tcp::new()).boxed(), "tcp", Phase::Login),
    ];
    for (dialer, scheme, phase) in cases {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("{scheme}://{}", listener.local_addr().unwrap());
        let peer = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            while let Ok(1..) = stream.read(&mut [0; 512]).await {}
        });
        closes_promptly(dialer, &url, phase).await;
        timeout(PATIENCE, peer)
            .await
            .expect("a socket left open")
            .unwrap();
    }
}

/// Closes a connector while its dial is in this phase, of which nothing but the deadline, a minute
/// away, would end it.
async fn closes_promptly(dialer: BoxDial<ByteStream>, url: &str, phase: Phase) {
    let seen = Seen::default();
    let watched = Watched(dialer, seen.clone());
    let mut connector = Connector::builder(watched, TokioClock::new())
        .endpoint(Endpoint::parse(url).unwrap())
        .policy(
            Policy::builder()
                .deadline(Duration::from_secs(60))
                .build()
                .unwrap(),
        )
        .build()
        .unwrap();
    let handle = connector.handle();
    let connecting = tokio::spawn(async move { connector.connect().await.map(drop) });
    let in_phase = async {
        while seen.phase() != Some(phase) {
            sleep(Duration::from_millis(1)).await;
        }
    };
    timeout(PATIENCE, in_phase)
        .await
        .expect("the dial gets there");
    let said = Instant::now();
    handle.close();
    let gave_up = connecting.await.unwrap().unwrap_err();
    assert_eq!(gave_up.reason, CloseReason::ByUser);
    assert!(said.elapsed() < PATIENCE, "{phase:?}: {:?}", said.elapsed());
}

/// Where the latest dial is.
#[derive(Clone, Default)]
struct Seen(Arc<Mutex<Option<DialContext>>>);

impl Seen {
    fn phase(&self) -> Option<Phase> {
        let latest = self.0.lock().unwrap();
        latest.as_ref().and_then(|cx| cx.trail().phase())
    }
}

struct Watched(BoxDial<ByteStream>, Seen);

impl Dial for Watched {
    type Conn = ByteStream;
    type Error = DialError;

    async fn dial(&self, to: &Target, cx: &DialContext) -> Result<ByteStream, DialError> {
        *self.1.0.lock().unwrap() = Some(cx.clone());
        self.0.dial(to, cx).await
    }
}

/// A user's own handshake: it waits for an answer.
struct LogsIn(Tcp);

impl Dial for LogsIn {
    type Conn = ByteStream;
    type Error = DialError;

    async fn dial(&self, to: &Target, cx: &DialContext) -> Result<ByteStream, DialError> {
        let mut stream: TcpStream = self.0.dial(to, cx).await.map_err(DialError::new)?;
        cx.enter(Phase::Login);
        stream.read_u8().await.map_err(DialError::new)?;
        Ok(ByteStream::new(stream))
    }
}

/// A resolver that never answers.
struct Hangs;

impl Resolve for Hangs {
    fn resolve<'a>(&'a self, _: &'a str, _: u16) -> Resolving<'a> {
        Box::pin(pending())
    }
}
