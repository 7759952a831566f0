//! A hundred servers that refuse, one after the other.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use failover_core::policy::{Limit, Limits, Policy};
use tokio::net::{TcpSocket, TcpStream};

use crate::figures::{Goal, Row, Table, compare, micros, rest};
use crate::servers::ANY;
use crate::{Outcome, client};

const SERVERS: usize = 100;
const REPETITIONS: usize = 200;

pub(crate) async fn measure(table: &mut Table) -> Outcome {
    // Bound and not listening: nobody else gets the port, and it refuses.
    let sockets = (0..SERVERS).map(|_| {
        let socket = TcpSocket::new_v4()?;
        socket.bind(ANY)?;
        Ok(socket)
    });
    let sockets: Vec<TcpSocket> = sockets.collect::<std::io::Result<_>>()?;
    let addresses = sockets.iter().map(TcpSocket::local_addr);
    let addresses: Vec<SocketAddr> = addresses.collect::<std::io::Result<_>>()?;
    let mut pairs = Vec::new();
    for turn in 0..REPETITIONS {
        rest().await;
        let pair = if turn % 2 == 0 {
            let ours = ours(&addresses).await?;
            (ours, bare(&addresses).await?)
        } else {
            let bare = bare(&addresses).await?;
            (ours(&addresses).await?, bare)
        };
        pairs.push((micros(pair.0), micros(pair.1)));
    }
    let (ours, bare, ratio) = compare(&pairs);
    table.row(Row {
        what: format!("{SERVERS} refused servers in one sweep"),
        ours: format!("{ours:.0} µs"),
        beside: format!("{bare:.0} µs in a bare loop"),
        goal: Some(Goal {
            figure: ratio,
            at_most: 1.03,
            unit: "",
        }),
    });
    Ok(())
}

async fn ours(addresses: &[SocketAddr]) -> Outcome<Duration> {
    let once = Limits::UNLIMITED.sweeps(Limit::AtMost(1));
    let policy = Policy::builder().start_up_limits(once).build()?;
    let mut client = client(addresses, policy)?;
    let began = Instant::now();
    match client.connect().await {
        Err(_) => Ok(began.elapsed()),
        Ok(_) => Err("a server that refuses was connected".into()),
    }
}

async fn bare(addresses: &[SocketAddr]) -> Outcome<Duration> {
    let began = Instant::now();
    for address in addresses {
        if TcpStream::connect(address).await.is_ok() {
            return Err("a server that refuses was connected".into());
        }
    }
    Ok(began.elapsed())
}
