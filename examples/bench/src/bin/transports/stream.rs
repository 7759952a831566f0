//! The TCP connection that a connector hands out.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use failover_core::dial::{Dial, Registry};
use failover_core::directory::Endpoint;
use failover_core::drive::Connector;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use transport_tcp::{ByteStream, Tcp, TokioClock};

use crate::Outcome;
use crate::figures::{Goal, Table};

const TURNS: usize = 301;
const PINGS: usize = 200;
/// Sent in one turn of the throughput.
const BULK: usize = 4 << 20;
const PIECE: usize = 64 << 10;
/// The same type and the same socket options: what differs is the noise of the machine.
const EQUAL: Goal = Goal::AtMost(1.02);

pub(crate) async fn measure(table: &mut Table) -> Outcome {
    let server = serve().await?;
    let mut plain = TcpStream::connect(server).await?;
    plain.set_nodelay(true)?;
    // Two plain ones show what the noise is.
    let mut other = TcpStream::connect(server).await?;
    other.set_nodelay(true)?;
    let mut ours: TcpStream = connected(Tcp::new(), server).await?;
    let registry = Registry::default().with("tcp", Tcp::new().map(ByteStream::new));
    let mut boxed: ByteStream = connected(registry, server).await?;

    let (mut pings, mut bulks) = ([vec![], vec![], vec![]], [vec![], vec![], vec![]]);
    for turn in 0..TURNS {
        let (mut ping, mut bulk) = ([Duration::ZERO; 4], [Duration::ZERO; 4]);
        for place in 0..4 {
            let who = (turn + place) % 4;
            (ping[who], bulk[who]) = match who {
                0 => both(&mut ours).await?,
                1 => both(&mut boxed).await?,
                2 => both(&mut other).await?,
                _ => both(&mut plain).await?,
            };
        }
        for who in 0..3 {
            pings[who].push((ping[who] / PINGS as u32, ping[3] / PINGS as u32));
            bulks[who].push((bulk[who], bulk[3]));
        }
    }
    let plainly = "plain TcpStream";
    let rows = [
        ("`Connector<Tcp>`", Some(EQUAL)),
        ("`ByteStream` of a registry", None),
        ("another plain one (the noise)", None),
    ];
    for ((who, goal), (pings, bulks)) in rows.into_iter().zip(pings.iter().zip(&bulks)) {
        table.compare(format!("{who}: 64 B there and back"), pings, plainly, goal);
        table.compare(
            format!("{who}: 4 MiB in pieces of 64 KiB"),
            bulks,
            plainly,
            goal,
        );
    }
    Ok(())
}

async fn connected<D: Dial + 'static>(dialer: D, server: SocketAddr) -> Outcome<D::Conn> {
    let mut connector = Connector::builder(dialer, TokioClock::new())
        .endpoint(Endpoint::parse(&format!("tcp://{server}"))?)
        .build()?;
    Ok(connector.connect().await?.conn)
}

async fn both(stream: &mut (impl AsyncRead + AsyncWrite + Unpin)) -> Outcome<(Duration, Duration)> {
    let mut message = [7; 64];
    let began = Instant::now();
    for _ in 0..PINGS {
        stream.write_all(&message).await?;
        stream.read_exact(&mut message).await?;
    }
    let pings = began.elapsed();

    let piece = vec![0; PIECE];
    let began = Instant::now();
    for _ in 0..BULK / PIECE {
        stream.write_all(&piece).await?;
    }
    // The server says when it has all of it.
    stream.read_exact(&mut message).await?;
    Ok((pings, began.elapsed()))
}

/// Sends back what begins with 7, and takes in a bulk of zeros, for which it answers once.
async fn serve() -> Outcome<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                stream.set_nodelay(true)?;
                let mut buffer = vec![0; PIECE];
                let mut taken = 0;
                loop {
                    let read = stream.read(&mut buffer).await?;
                    if read == 0 {
                        return Ok::<_, std::io::Error>(());
                    }
                    if buffer[0] == 7 {
                        stream.write_all(&buffer[..read]).await?;
                        continue;
                    }
                    taken += read;
                    if taken == BULK {
                        taken = 0;
                        stream.write_all(&[7; 64]).await?;
                    }
                }
            });
        }
    });
    Ok(address)
}
