//! A connection whose server stops in mid-life, watched by the core's heartbeat piece.

use std::time::{Duration, Instant};

use failover_core::drive::Clock;
use failover_core::failure::{Failure, Kind};
use failover_core::heartbeat::{Action, Heartbeat, Monitor};
use failover_core::policy::{Order, Policy, Walk};
use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use transport_tcp::TokioClock;

use crate::figures::{Goal, Row, Table, median, millis};
use crate::servers::{ANY, echo_on, echo_process};
use crate::{Outcome, client};

const INTERVAL: Duration = Duration::from_millis(100);
const ASKED: u32 = 2;

/// What the client had under way when its server stopped.
#[derive(Clone, Copy, Debug)]
enum UnderWay {
    Nothing,
    /// Bytes that the server has not read.
    Data,
}

pub(crate) async fn measure(table: &mut Table) -> Outcome {
    let heartbeat = Heartbeat::builder().watch(INTERVAL, ASKED).build()?;
    let budget = millis(heartbeat.bound().ok_or("a heartbeat without a bound")?);
    for (under_way, words) in [
        (UnderWay::Nothing, "idle"),
        (UnderWay::Data, "data pending"),
    ] {
        let mut took = Vec::new();
        for _ in 0..5 {
            took.push(millis(replaced_after(&heartbeat, under_way).await?));
        }
        let took = median(took);
        table.row(Row {
            what: format!(
                "peer stopped in mid-life ({words}), last byte to new connection, heartbeat piece"
            ),
            ours: format!("{took:.1} ms"),
            beside: format!("{budget:.0} ms budget"),
            goal: Some(Goal {
                figure: took / budget,
                at_most: 1.10,
                unit: "",
            }),
        });
    }
    Ok(())
}

/// From the last byte of a server that is then stopped to the connection to another one.
async fn replaced_after(heartbeat: &Heartbeat, under_way: UnderWay) -> Outcome<Duration> {
    let (child, first) = echo_process().await?;
    let listener = TcpListener::bind(ANY).await?;
    let second = listener.local_addr()?;
    let other = tokio::spawn(echo_on(listener));
    let policy = Policy::builder()
        .order(Order::new(Walk::Listed))
        .stable_after(Duration::ZERO)
        .build()?;
    let mut client = client(&[first, second], policy)?;
    let mut link = client.connect().await?;
    let peer = link.conn.peer_addr()?;
    if peer != first {
        return Err("the first server was not the first".into());
    }
    let pid = child
        .id()
        .and_then(|id| i32::try_from(id).ok())
        .and_then(Pid::from_raw);
    let last = talk(
        &mut link.conn,
        heartbeat,
        pid.ok_or("no process")?,
        under_way,
    )
    .await?;
    client.lost(link.id(), Failure::new(Kind::Stale));
    link = client.connect().await?;
    let took = last.elapsed();
    if link.conn.peer_addr()? != second {
        return Err("the stopped server was connected again".into());
    }
    other.abort();
    Ok(took)
}

/// Talks for a while, stops the server, and says when its last byte came once it is given up.
async fn talk(
    conn: &mut TcpStream,
    heartbeat: &Heartbeat,
    server: Pid,
    under_way: UnderWay,
) -> Outcome<Instant> {
    let clock = TokioClock::new();
    let mut monitor = Monitor::new(heartbeat, clock.now());
    let mut last = Instant::now();
    let mut buffer = [0; 1024];
    let mut echoes = 0;
    loop {
        while let Some(action) = monitor.poll_action(clock.now()) {
            match action {
                Action::Stale(_) => return Ok(last),
                _ => conn.write_all(b"ping").await?,
            }
        }
        let wake = monitor
            .next_wake()
            .ok_or("a heartbeat that asks for nothing")?;
        tokio::select! {
            read = conn.read(&mut buffer) => {
                if read? == 0 {
                    return Err("a stopped server closed its connection".into());
                }
                monitor.handle_received(clock.now());
                last = Instant::now();
                echoes += 1;
                if echoes == 3 {
                    kill_process(server, Signal::STOP)?;
                    if matches!(under_way, UnderWay::Data) {
                        conn.write_all(&[b'x'; 16 * 1024]).await?;
                    }
                }
            }
            () = clock.sleep_until(wake) => {}
        }
    }
}
