//! How fast the link publishes: messages of 128 bytes to a nats-server, and what that is a second.
//!
//! `cargo run --release -p examples --example nats_rate -- nats://127.0.0.1:4222 1000000`

use std::io::Write;
use std::time::Instant;

use examples::nats::{Nats, Publish, dialer};
use failover_core::directory::Endpoint;
use failover_core::drive::Connector;
use failover_core::link::{Bounds, LinkPolicy, Outbox, Overflow};
use failover_core::messaging::{Login, open};
use transport_tcp::TokioClock;
use transport_tls::TlsConfig;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let url = arguments.next().unwrap_or("nats://127.0.0.1:4222".into());
    let count: u32 = arguments
        .next()
        .map_or(Ok(1_000_000), |text| text.parse())?;

    let login = Login::new(dialer(&TlsConfig::new().client()?), Nats::new("rate"));
    let connector = Connector::builder(login, TokioClock::new())
        .endpoint(Endpoint::parse(&url)?)
        .build()?;
    // A sender that is faster than the server waits for room.
    let bounds = Bounds::DEFAULT.overflow(Overflow::Wait { most: None });
    let policy = LinkPolicy::OFF
        .outbox(Outbox::Keep { bytes: 1 << 20 })
        .bounds(bounds);
    let (link, driver) = open(connector, policy);
    let driving = tokio::spawn(driver.run());
    link.flush().await?;

    let payload = bytes::Bytes::from(vec![b'x'; 128]);
    let began = Instant::now();
    for _ in 0..count {
        link.send(Publish::to("rate", payload.clone())).await?;
    }
    link.flush().await?;
    let took = began.elapsed();
    let rate = f64::from(count) / took.as_secs_f64();
    let said = format!("{count} messages of 128 bytes in {took:.2?}: {rate:.0} a second\n");
    std::io::stdout().write_all(said.as_bytes())?;
    link.drain().await?;
    Ok(driving.await??)
}
