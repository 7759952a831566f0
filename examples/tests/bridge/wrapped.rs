//! TLS and WebSocket around an echo.

use futures_util::{SinkExt, StreamExt};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use crate::common::Place;

/// Their URLs, each with the transports' table of its file.
pub(crate) fn start(place: &Place) -> Vec<(String, String)> {
    let acceptor = place.acceptor();
    let (tell, told) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        runtime.unwrap().block_on(async {
            let mut ports = Vec::new();
            for (tls, ws) in [(true, false), (false, true), (true, true)] {
                let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
                ports.push(listener.local_addr().unwrap().port());
                tokio::spawn(serve(listener, tls.then(|| acceptor.clone()), ws));
            }
            tell.send(ports).unwrap();
            std::future::pending::<()>().await
        })
    });
    let ports = told.recv().unwrap();
    let ca = format!("[transport.tls]\nca = {:?}\n", place.path("ca.pem"));
    vec![
        (format!("tls://127.0.0.1:{}", ports[0]), ca.clone()),
        (format!("ws://127.0.0.1:{}", ports[1]), String::new()),
        (format!("wss://127.0.0.1:{}/feed", ports[2]), ca),
    ]
}

async fn serve(listener: TcpListener, tls: Option<TlsAcceptor>, ws: bool) {
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let tls = tls.clone();
        tokio::spawn(async move {
            match tls {
                None => echo(stream, ws).await,
                Some(tls) => echo(tls.accept(stream).await.unwrap(), ws).await,
            }
        });
    }
}

async fn echo(mut stream: impl AsyncRead + AsyncWrite + Unpin, ws: bool) {
    if ws {
        let mut socket = tokio_tungstenite::accept_async(stream).await.unwrap();
        while let Some(Ok(message)) = socket.next().await {
            if message.is_binary() {
                socket.send(message).await.unwrap();
            }
        }
        return;
    }
    let mut buffer = [0; 1024];
    loop {
        match stream.read(&mut buffer).await.unwrap() {
            0 => return stream.shutdown().await.unwrap(),
            n => stream.write_all(&buffer[..n]).await.unwrap(),
        }
    }
}
