//! From a deployment's text to connections over real sockets, and a text that changes.

#![cfg(unix)]
#![allow(
    clippy::panic,
    clippy::unwrap_used,
    reason = "helpers of tests outside of the test functions"
)]

mod lists;
#[path = "../onion/mod.rs"]
mod onion;
mod reference;
mod reload;

use std::fs;
use std::future::Future;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use failover_core::config::Deployment;
use failover_core::dial::Registry;
use failover_core::drive::Connector;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use transport_tcp::{ByteStream, TokioClock};
use transport_ws::deploy::{self, Reload, Tables};

pub(crate) type Client = Connector<Registry<ByteStream>, TokioClock>;

/// A connector of this deployment, and its reload.
pub(crate) fn start(text: &Value) -> (Client, Reload) {
    let deployment = parse(text);
    let registry = deploy::registry(&deployment).unwrap();
    let connector = Connector::builder(registry.clone(), TokioClock::new())
        .endpoints(deploy::endpoints(&deployment, &registry).unwrap())
        .policy(deployment.policy().unwrap())
        .build()
        .unwrap();
    let reload = Reload::new(connector.handle(), registry, deployment).unwrap();
    (connector, reload)
}

pub(crate) fn parse(text: &Value) -> Deployment<Tables> {
    serde_json::from_str(&text.to_string()).unwrap()
}

/// A test that hangs fails instead.
pub(crate) async fn soon<T>(future: impl Future<Output = T>) -> T {
    let Ok(done) = tokio::time::timeout(Duration::from_secs(20), future).await else {
        panic!("the test hangs");
    };
    done
}

/// A WebSocket server that notes the head of every request.
pub(crate) async fn notes_heads() -> (SocketAddr, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let heads = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&heads);
    tokio::spawn(async move {
        let mut open = Vec::new();
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(stream.read_u8().await.unwrap());
            }
            let head = String::from_utf8(head).unwrap();
            let mut lines = head.lines();
            let key = lines.find_map(|line| line.strip_prefix("Sec-WebSocket-Key: "));
            let answer = format!(
                "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                 Sec-WebSocket-Accept: {}\r\n\r\n",
                derive_accept_key(key.unwrap().as_bytes())
            );
            noted.lock().unwrap().push(head);
            stream.write_all(answer.as_bytes()).await.unwrap();
            open.push(stream);
        }
    });
    (address, heads)
}

/// A directory that is removed at the end.
pub(crate) struct Directory(pub(crate) PathBuf);

impl Directory {
    pub(crate) fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("deploy-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub(crate) fn file(&self, name: &str, content: &[u8]) -> PathBuf {
        let path = self.0.join(name);
        fs::write(&path, content).unwrap();
        path
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
