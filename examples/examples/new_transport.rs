//! You will see a new transport, pipes within the process, under the same connector: one server is
//! taken away, the next answers. (`tests/stories.rs` runs the conformance kit on it.)
use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use failover_core::dial::{Dial, DialContext};
use failover_core::directory::{Endpoint, Target};
use failover_core::drive::Connector;
use failover_core::failure::{Classify, Failure, Phase};
use failover_core::policy::{Order, Policy, Walk};
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

#[derive(Debug, thiserror::Error)]
#[error("no pipe")]
pub(crate) struct NoPipe(#[from] io::Error);

impl Classify for NoPipe {
    fn failure(&self) -> Failure {
        Failure::from_io(&self.0)
    }
}

impl Dial for Pipes {
    type Conn = DuplexStream;
    type Error = NoPipe;

    async fn dial(&self, to: &Target, cx: &DialContext) -> Result<DuplexStream, NoPipe> {
        cx.enter(Phase::Connect);
        let refused = || io::Error::from(io::ErrorKind::ConnectionRefused);
        let servers = || self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let server = servers()
            .get(to.url().host())
            .cloned()
            .ok_or_else(refused)?;
        let (ours, theirs) = duplex(4096);
        server.send(theirs).await.map_err(|_| refused())?;
        Ok(ours)
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    story(|line| eprintln!("{line}")).await
}

pub(crate) async fn story(mut tell: impl FnMut(String)) -> Result<(), Box<dyn std::error::Error>> {
    let pipes = Pipes::default();
    drop(pipes.listen("a"));
    let mut b = pipes.listen("b");
    tokio::spawn(async move {
        while let Some(mut client) = b.recv().await {
            let _ = client.write_all(b"hello").await;
        }
    });
    let mut connector = Connector::builder(pipes, TokioClock::new())
        .endpoint(Endpoint::parse("pipe://a")?)
        .endpoint(Endpoint::parse("pipe://b")?)
        .policy(Policy::builder().order(Order::new(Walk::Listed)).build()?)
        .build()?;
    let mut link = connector.connect().await?;
    let mut answer = String::new();
    link.conn.read_to_string(&mut answer).await?;
    tell(format!("{} says {answer}", link.target()));
    Ok(())
}
