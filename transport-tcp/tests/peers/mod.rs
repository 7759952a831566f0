//! Peers on loopback, with the manners that the tests need.

#![allow(
    clippy::unwrap_used,
    dead_code,
    reason = "test code outside of the test functions; no test binary needs all of it"
)]

pub(crate) mod proxies;

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use failover_core::testing::conformance::PeerLog;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};

/// A server that sends back what it reads, and the log of its connections.
pub(crate) async fn echo() -> (SocketAddr, PeerLog) {
    listen(send_back).await
}

/// A server that does this with each connection; the log says when it is done with it.
pub(crate) async fn listen<F>(
    serve: impl Fn(TcpStream) -> F + Send + 'static,
) -> (SocketAddr, PeerLog)
where
    F: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (address, serve_at(listener, serve))
}

/// The echo server at this listener.
pub(crate) fn serve_echo(listener: TcpListener) -> PeerLog {
    serve_at(listener, send_back)
}

fn serve_at<F>(listener: TcpListener, serve: impl Fn(TcpStream) -> F + Send + 'static) -> PeerLog
where
    F: Future<Output = ()> + Send + 'static,
{
    let log = PeerLog::default();
    let seen = log.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let seen = seen.accept();
            let serving = serve(stream);
            tokio::spawn(async move {
                serving.await;
                drop(seen);
            });
        }
    });
    log
}

async fn send_back(mut stream: TcpStream) {
    let mut buf = [0; 1024];
    while let Ok(read @ 1..) = stream.read(&mut buf).await {
        if stream.write_all(&buf[..read]).await.is_err() {
            return;
        }
    }
}

/// An address at which nobody listens any more.
pub(crate) async fn nobody() -> SocketAddr {
    let gone = TcpListener::bind("127.0.0.1:0").await.unwrap();
    gone.local_addr().unwrap()
}

/// An address that does not answer, because its accept queue is full; keep the first value alive.
pub(crate) async fn silent() -> (impl Sized, SocketAddr) {
    silent_at("127.0.0.1:0".parse().unwrap()).await
}

/// The same at this address.
pub(crate) async fn silent_at(address: SocketAddr) -> (impl Sized, SocketAddr) {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4().unwrap(),
        SocketAddr::V6(_) => TcpSocket::new_v6().unwrap(),
    };
    socket.bind(address).unwrap();
    let listener = socket.listen(0).unwrap();
    let address = listener.local_addr().unwrap();
    let first = TcpStream::connect(address).await.unwrap();
    ((listener, first), address)
}

/// What every name resolves to: the first address, and the second from the call of the function on.
pub(crate) fn moving(
    old: SocketAddr,
    new: SocketAddr,
) -> (
    impl Fn(&str, u16) -> io::Result<Vec<SocketAddr>> + Clone,
    impl FnOnce(),
) {
    let moved = Arc::new(AtomicBool::new(false));
    let is_moved = Arc::clone(&moved);
    let at = move |_: &str, _: u16| match is_moved.load(Ordering::SeqCst) {
        false => Ok(vec![old]),
        true => Ok(vec![new]),
    };
    (at, move || moved.store(true, Ordering::SeqCst))
}

/// A peer that accepts, reads and says nothing.
pub(crate) async fn mute() -> (SocketAddr, PeerLog) {
    listen(|mut stream| async move { while let Ok(1..) = stream.read(&mut [0; 1024]).await {} })
        .await
}

/// A peer that waits for the first bytes, answers this and then reads on.
pub(crate) async fn answers(answer: &'static [u8]) -> (SocketAddr, PeerLog) {
    listen(move |mut stream| async move {
        let _ = stream.read(&mut [0; 1024]).await;
        let _ = stream.write_all(answer).await;
        while let Ok(1..) = stream.read(&mut [0; 1024]).await {}
    })
    .await
}
