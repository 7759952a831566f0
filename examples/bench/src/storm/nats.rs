//! async-nats as a client, and as much of a NATS server as it takes to log in: no real one can be told to
//! close a connection at a certain moment.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use async_nats::{ConnectOptions, Event};
use failover_core::failure::Kind;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::tally::Tally;

/// A client of these servers, running, with the defaults of its crate and the servers in this order. It
/// counts as connected when its own event says so.
pub(crate) async fn client(servers: &[SocketAddr], tally: Arc<Tally>) -> io::Result<()> {
    let urls: Vec<String> = servers.iter().map(|at| format!("nats://{at}")).collect();
    let dialling = Arc::clone(&tally);
    let options = ConnectOptions::new()
        .retry_on_initial_connect()
        .retain_servers_order()
        .reconnect_delay_callback(move |attempts| {
            // It asks before each dial, and before nothing else.
            dialling.dial();
            usual_delay(attempts)
        })
        .event_callback(move |event| {
            match event {
                Event::Connected => tally.up(),
                Event::Disconnected => tally.down(),
                // One for each fruitless walk over the servers.
                Event::ClientError(_) => tally.dial_failed(Kind::Refused),
                _ => {}
            }
            std::future::ready(())
        });
    let client = options.connect(urls).await.map_err(io::Error::other)?;
    tokio::spawn(async move {
        let _kept = client;
        std::future::pending::<()>().await;
    });
    Ok(())
}

/// Its default, which it does not give away: 0, 2, 4 ... ms, up to 4 s.
fn usual_delay(attempts: usize) -> Duration {
    let exponent = u32::try_from(attempts.saturating_sub(1)).unwrap_or(u32::MAX);
    match exponent {
        0 => Duration::ZERO,
        _ => Duration::from_millis(2_u64.saturating_pow(exponent)).min(Duration::from_secs(4)),
    }
}

/// The server's side of a login, up to the answer to the client's first ping.
pub(crate) async fn log_in(stream: &mut (impl AsyncRead + AsyncWrite + Unpin)) -> io::Result<()> {
    let info = "INFO {\"server_id\":\"N\",\"server_name\":\"n\",\"version\":\"2.10.0\",\"go\":\"go1.22\",\
                \"host\":\"127.0.0.1\",\"port\":4222,\"headers\":true,\"max_payload\":1048576,\"proto\":1,\
                \"client_id\":1}\r\n";
    stream.write_all(info.as_bytes()).await?;
    answer(stream).await
}

/// Answers pings until the client goes.
pub(crate) async fn serve(mut stream: impl AsyncRead + AsyncWrite + Unpin) -> io::Result<()> {
    log_in(&mut stream).await?;
    loop {
        answer(&mut stream).await?;
    }
}

/// Reads up to a ping, and answers it.
async fn answer(stream: &mut (impl AsyncRead + AsyncWrite + Unpin)) -> io::Result<()> {
    let mut said = Vec::new();
    while !said.ends_with(b"PING\r\n") {
        if stream.read_buf(&mut said).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    stream.write_all(b"PONG\r\n").await
}
