//! You will see the connector on smol, with a small dialer and clock of its own: one server goes
//! away in mid-session, the session goes on at the other. `cargo run -p examples --example smol_connector`

use std::error::Error;
use std::io;
use std::pin::Pin;
use std::time::Instant;

use failover_core::dial::{ConnectError, Dial, DialContext};
use failover_core::directory::{Endpoint, Target};
use failover_core::drive::{Clock, Connector};
use failover_core::failure::{Failure, Phase};
use failover_core::policy::{Order, Policy, Walk};
use failover_core::time::Time;
use smol::io::{AsyncReadExt, AsyncWriteExt};
use smol::net::{TcpListener, TcpStream};

fn main() -> Result<(), Box<dyn Error>> {
    smol::block_on(story(|line| eprintln!("{line}")))
}

pub(crate) async fn story(mut tell: impl FnMut(String)) -> Result<(), Box<dyn Error>> {
    let mut connector = Connector::builder(Net, SmolClock(Instant::now()))
        .endpoint(Endpoint::parse(&server_that_echoes(2).await?)?.named("first"))
        .endpoint(Endpoint::parse(&server_that_echoes(9).await?)?.named("second"))
        .policy(Policy::builder().order(Order::new(Walk::Listed)).build()?)
        .build()?;
    let mut answers = 0;
    while answers < 5 {
        let mut link = connector.connect().await?;
        tell(format!(
            "connected to the {}",
            link.target().endpoint().name()
        ));
        while answers < 5 {
            let asked = link.conn.write_all(b"?").await;
            if let Err(error) = asked.and(link.conn.read_exact(&mut [0]).await) {
                tell(format!("lost after {answers} answers: {error}"));
                connector.lost(link.id(), Failure::from_io(&error));
                break;
            }
            answers += 1;
        }
    }
    tell(format!("{answers} answers"));
    Ok(())
}

/// Dials with async-net.
struct Net;

impl Dial for Net {
    type Conn = TcpStream;
    type Error = ConnectError;

    async fn dial(&self, to: &Target, cx: &DialContext) -> Result<TcpStream, ConnectError> {
        cx.enter(Phase::Connect);
        let (host, port) = (to.url().host(), to.url().port().unwrap_or(80));
        let dialled = TcpStream::connect((host, port)).await;
        dialled.map_err(|error| ConnectError::new(to, error))
    }
}

struct SmolClock(Instant);

impl Clock for SmolClock {
    type Sleep = Pin<Box<dyn Future<Output = ()> + Send>>;

    fn now(&self) -> Time {
        Time::ZERO + self.0.elapsed()
    }

    fn sleep_until(&self, at: Time) -> Self::Sleep {
        let timer = smol::Timer::at(self.0 + at.since(Time::ZERO));
        Box::pin(async move { _ = timer.await })
    }
}

async fn server_that_echoes(bytes: u64) -> io::Result<String> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("tcp://{}", listener.local_addr()?);
    let serving = smol::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let _ = smol::io::copy(stream.clone().take(bytes), stream).await;
        }
    });
    serving.detach();
    Ok(url)
}
