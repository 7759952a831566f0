//! One idle client of async-nats, as `idle_ours` is one of ours.

use std::error::Error;
use std::time::Duration;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error + Send + Sync>> {
    let server = std::env::args().nth(1).ok_or("which server?")?;
    let options = async_nats::ConnectOptions::new().ping_interval(Duration::from_secs(1));
    let client = options.connect(format!("nats://{server}")).await?;
    let _inbox = client.subscribe("idle").await?;
    client.flush().await?;
    println!("ready");
    std::future::pending().await
}
