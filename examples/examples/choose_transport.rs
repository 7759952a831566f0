//! You will see one program reach a server over whichever transport the list of URLs names.
//!
//! `cargo run -p examples --example choose_transport -- tcp://127.0.0.1:1 tcp://127.0.0.1:4222`
//! greets the first server that answers (here a nats-server), or says why none did.

use std::error::Error;
use std::process::ExitCode;

use examples::registry;
use failover_core::directory::Endpoint;
use failover_core::drive::{Connector, Established};
use failover_core::policy::{Limit, Limits, Policy};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use transport_tcp::{ByteStream, TokioClock};
use transport_tls::TlsConfig;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let urls: Vec<String> = std::env::args().skip(1).collect();
    match greet_one_of(&urls).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

async fn greet_one_of(urls: &[String]) -> Result<(), Box<dyn Error>> {
    // The list decides about the transport; the code does not.
    let endpoints = urls.iter().map(|url| Endpoint::parse(url));
    let three_tries = Limits::UNLIMITED.sweeps(Limit::AtMost(3));
    let mut connector = Connector::builder(registry(TlsConfig::new().build()?), TokioClock::new())
        .endpoints(endpoints.collect::<Result<Vec<_>, _>>()?)
        .policy(Policy::builder().start_up_limits(three_tries).build()?)
        .build()?;

    // Your session, on each connection in turn: `Ok` is done, an error means the next connection.
    connector.run(greet).await?;
    Ok(())
}

async fn greet(mut link: Established<ByteStream>) -> Result<(), std::io::Error> {
    eprintln!("connected to {}", link.target());
    link.conn.write_all(b"PING\r\n").await?;
    link.conn.flush().await?;
    let mut answer = [0; 4096];
    let n = link.conn.read(&mut answer).await?;
    if n == 0 {
        return Err(std::io::ErrorKind::UnexpectedEof.into());
    }
    eprintln!("it says: {}", String::from_utf8_lossy(&answer[..n]).trim());
    Ok(())
}
