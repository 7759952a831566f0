//! You will see a new transport, pipes within the process, under the same connector: nobody listens
//! at the first server, the second answers. (`tests/stories.rs` runs the conformance kit on it.)
use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use failover_core::dial::{ConnectError, Dial, DialContext};
use failover_core::directory::{Endpoint, Target};
use failover_core::drive::Connector;
use failover_core::failure::Phase;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::sync::mpsc::{Receiver, Sender, channel};
use transport_tcp::TokioClock;

/// Servers by name, each with its queue of clients. Clones share them.
#[derive(Clone, Default)]
pub(crate) struct Pipes(Arc<Mutex<BTreeMap<String, Sender<DuplexStream>>>>);

impl Pipes {
    /// Listens under this name, instead of whoever did. One client waits at a time.
    pub(crate) fn listen(&self, name: &str) -> Receiver<DuplexStream> {
        let (sender, receiver) = channel(1);
        let mut servers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        servers.insert(name.to_string(), sender);
        receiver
    }
}

impl Dial for Pipes {
    type Conn = DuplexStream;
    type Error = ConnectError;

    async fn dial(&self, to: &Target, cx: &DialContext) -> Result<DuplexStream, ConnectError> {
        cx.enter(Phase::Connect);
        let refused = || ConnectError::new(to, io::ErrorKind::ConnectionRefused.into());
        let servers = || self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let server = servers().get(to.url().host()).cloned();
        let (ours, theirs) = duplex(4096);
        let taken = server.ok_or_else(refused)?.send(theirs).await;
        taken.map(|()| ours).map_err(|_| refused())
    }
}

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let pipes = Pipes::default();
    let mut b = pipes.listen("b");
    tokio::spawn(async move { b.recv().await?.write_all(b"hello").await.ok() });
    let mut connector = Connector::builder(pipes, TokioClock::new())
        .endpoint(Endpoint::parse("pipe://a")?)
        .endpoint(Endpoint::parse("pipe://b")?)
        .build()?;
    let mut link = connector.connect().await?;
    let mut answer = String::new();
    link.conn.read_to_string(&mut answer).await?;
    assert_eq!(answer, "hello");
    eprintln!("{} says {answer}", link.target());
    Ok(())
}
