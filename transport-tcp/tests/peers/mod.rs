//! Peers on loopback, with the manners that the tests need.

#![allow(
    clippy::unwrap_used,
    reason = "test code outside of the test functions"
)]

use std::net::SocketAddr;

use failover_core::testing::conformance::PeerLog;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};

/// A server that sends back what it reads, and the log of its connections.
pub(crate) async fn echo() -> (SocketAddr, PeerLog) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let log = PeerLog::default();
    let seen = log.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let seen = seen.accept();
            tokio::spawn(async move {
                send_back(stream).await;
                drop(seen);
            });
        }
    });
    (address, log)
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
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(0).unwrap();
    let address = listener.local_addr().unwrap();
    let first = TcpStream::connect(address).await.unwrap();
    ((listener, first), address)
}
