//! A peer on loopback, a dialer that reaches it, and short ways to say what a test expects.

use std::future::Future;
use std::io;
use std::sync::Mutex;
use std::time::Duration;

use failover_core::dial::{Dial, DialContext};
use failover_core::directory::Target;
use failover_core::failure::{Failure, Kind, Phase};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, duplex};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::Role;
use transport_ws::{Ws, WsConfig, WsStream};

/// The smallest inner dialer.
#[derive(Clone, Debug)]
pub(crate) struct Tcp;

impl Dial for Tcp {
    type Conn = TcpStream;
    type Error = Refused;

    async fn dial(&self, to: &Target, cx: &DialContext) -> Result<TcpStream, Refused> {
        cx.enter(Phase::Connect);
        let port = to.url().port().unwrap_or(80);
        TcpStream::connect((to.url().host(), port))
            .await
            .map_err(Refused)
    }
}

#[derive(Debug, thiserror::Error)]
#[error("no connection")]
pub(crate) struct Refused(#[source] io::Error);

impl failover_core::failure::Classify for Refused {
    fn failure(&self) -> Failure {
        Failure::from_io(&self.0).at(Phase::Connect)
    }
}

/// Accepts one connection and runs this on it; gives the port.
pub(crate) async fn peer<F, Fut>(serve: F) -> u16
where
    F: FnOnce(TcpStream) -> Fut + Send + 'static,
    Fut: Future<Output = ()> + Send,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        serve(stream).await;
    });
    port
}

/// Reads the request's head.
pub(crate) async fn request(stream: &mut (impl AsyncRead + Unpin)) -> String {
    try_request(stream).await.unwrap()
}

/// The same, or nothing if the client goes away first.
pub(crate) async fn try_request(stream: &mut (impl AsyncRead + Unpin)) -> Option<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    String::from_utf8(head).ok()
}

/// Reads the request and answers with these bytes; `{accept}` stands for the right accept key.
/// Then waits for the client to go.
pub(crate) async fn answer_with(mut stream: TcpStream, answer: &str) {
    let key = accept_key(&request(&mut stream).await);
    let answer = answer.replace("{accept}", &key);
    stream.write_all(answer.as_bytes()).await.unwrap();
    let _ = stream.read(&mut [0]).await;
}

/// A right answer, and the server's end of the connection.
pub(crate) async fn accept(mut stream: TcpStream) -> WebSocketStream<TcpStream> {
    accept_raw(&mut stream).await;
    WebSocketStream::from_raw_socket(stream, Role::Server, None).await
}

/// A right answer; what follows is up to the test.
pub(crate) async fn accept_raw(stream: &mut (impl AsyncRead + AsyncWrite + Unpin)) {
    let key = accept_key(&request(stream).await);
    stream
        .write_all(UPGRADED.replace("{accept}", &key).as_bytes())
        .await
        .unwrap();
}

pub(crate) const UPGRADED: &str = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\
    Connection: Upgrade\r\nSec-WebSocket-Accept: {accept}\r\n\r\n";

/// The byte stream and the server's end of a pipe of this size in each direction, upgraded, so that
/// "full" is exact and the clock may stand still.
pub(crate) async fn piped(pipe: usize, config: WsConfig) -> (WsStream<DuplexStream>, DuplexStream) {
    struct Pipe(Mutex<Option<DuplexStream>>);

    impl Dial for Pipe {
        type Conn = DuplexStream;
        type Error = Failure;

        async fn dial(&self, _: &Target, _: &DialContext) -> Result<DuplexStream, Failure> {
            let taken = self.0.lock().unwrap().take();
            taken.ok_or(Failure::new(Kind::Refused))
        }
    }

    let (client, mut server) = duplex(pipe);
    let ws = Ws::new(Pipe(Some(client).into())).config(config);
    let target = Target::parse("ws://pipe").unwrap();
    let cx = DialContext::unbounded();
    let (stream, ()) = tokio::join!(ws.dial(&target, &cx), accept_raw(&mut server));
    (stream.unwrap(), server)
}

/// Dials `ws://127.0.0.1:port/`.
pub(crate) async fn dial<D: Dial>(dialer: &D, port: u16) -> Result<D::Conn, D::Error> {
    let target = Target::parse(&format!("ws://127.0.0.1:{port}/")).unwrap();
    soon(dialer.dial(&target, &DialContext::unbounded())).await
}

/// A test that hangs fails instead.
pub(crate) async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(20), future)
        .await
        .expect("the test hangs")
}

pub(crate) fn accept_key(request: &str) -> String {
    let key = request
        .lines()
        .find_map(|line| line.strip_prefix("Sec-WebSocket-Key: "))
        .unwrap();
    derive_accept_key(key.as_bytes())
}
