//! One idle client of ours, subscribed at the NATS server `HOST:PORT`, and nothing else in the program: what it
//! takes up is what a program takes up by it. Until it is killed.

use std::error::Error;
use std::time::Duration;

use examples::nats::{Nats, dialer, policy, subscribe};
use failover_core::directory::Endpoint;
use failover_core::drive::Connector;
use failover_core::heartbeat::Heartbeat;
use failover_core::link::{LinkPolicy, Outbox};
use failover_core::messaging::{Login, Room, open};
use transport_tcp::TokioClock;
use transport_tls::TlsConfig;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error + Send + Sync>> {
    let server = std::env::args().nth(1).ok_or("which server?")?;
    // It would do TLS if the server asked for it.
    let login = Login::new(dialer(&TlsConfig::new().client()?), Nats::new("idle"));
    let connector = Connector::builder(login, TokioClock::new())
        .endpoint(Endpoint::parse(&format!("nats://{server}"))?)
        .policy(policy().build()?)
        .build()?;
    let policy = LinkPolicy::OFF
        .heartbeat(
            Heartbeat::builder()
                .watch(Duration::from_secs(1), 1)
                .build()?,
        )
        .outbox(Outbox::Keep {
            bytes: LinkPolicy::BYTES,
        });
    let (link, driver) = open(connector, policy);
    tokio::spawn(driver.run());
    let room = Room {
        items: 65_536,
        bytes: 64 << 20,
    };
    let _inbox = subscribe(&link, "idle", room)?;
    link.flush().await?;
    println!("ready");
    std::future::pending().await
}
