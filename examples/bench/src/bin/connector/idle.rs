//! What a connected client costs that does nothing: wake-ups and memory.

use std::cell::Cell;
use std::fs;
use std::future::{Future, poll_fn};
use std::net::SocketAddr;
use std::pin::pin;
use std::process::Stdio;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use failover_core::policy::Policy;
use rustix::process::{Resource, Rlimit, setrlimit};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::net::TcpStream;
use tokio::process::Command;
use tokio::task::LocalSet;
use tokio::time::sleep;

use crate::figures::{Goal, Row, Table, median};
use crate::servers::{Servers, read_to_the_end};
use crate::{Outcome, client};

/// How long an idle client is watched: longer than the stability time of its policy, whose end is
/// no news either.
const WATCHED: Duration = Duration::from_secs(12);
const CLIENTS: usize = 1000;

pub(crate) async fn measure_wakes(table: &mut Table) -> Outcome {
    LocalSet::new().run_until(watch_one(table)).await
}

/// A task of its own, so that nothing but its own wake-ups polls it.
async fn watch_one(table: &mut Table) -> Outcome {
    let mut servers = Servers::start(2).await?;
    let mut client = client(&servers.addresses, Policy::default())?;
    let polls = Rc::new(Cell::new(0_u32));
    let counter = Rc::clone(&polls);
    let task = tokio::task::spawn_local(async move {
        let session = async |mut link: failover_core::drive::Established<TcpStream>| {
            Err::<(), _>(read_to_the_end(&mut link.conn).await)
        };
        let mut running = pin!(client.run(session));
        poll_fn(|cx| {
            counter.set(counter.get() + 1);
            running.as_mut().poll(cx)
        })
        .await
    });
    let server_end = servers.accept().await?;
    sleep(Duration::from_millis(200)).await;
    let before = polls.get();
    sleep(WATCHED).await;
    let figure = f64::from(polls.get() - before);
    // The counter counts: the end of the connection is a wake-up.
    drop(server_end);
    servers.accept().await?;
    if f64::from(polls.get() - before) <= figure {
        return Err("the polls of a client are not counted".into());
    }
    task.abort();
    table.row(Row {
        what: format!("wake-ups of an idle connector in {} s", WATCHED.as_secs()),
        ours: format!("{figure}"),
        beside: String::new(),
        goal: Some(Goal {
            figure,
            at_most: 0.0,
            unit: "",
        }),
    });
    Ok(())
}

pub(crate) async fn measure_memory(table: &mut Table) -> Outcome {
    more_descriptors()?;
    let (mut ours, mut bare) = (Vec::new(), Vec::new());
    for _ in 0..3 {
        ours.push(memory_of("ours").await?);
        bare.push(memory_of("bare").await?);
    }
    table.row(Row {
        what: format!("memory per idle client (PSS of a process with {CLIENTS}, one policy)"),
        ours: format!("{:.0} B", median(ours)),
        beside: format!(
            "{:.0} B for a tokio task with the same socket",
            median(bare)
        ),
        goal: None,
    });
    Ok(())
}

/// Bytes per client, as a process of its own with so many of them tells.
async fn memory_of(kind: &str) -> Outcome<f64> {
    let mut servers = Servers::start(1).await?;
    let mut child = Command::new(std::env::current_exe()?)
        .args(["--clients", kind, &servers.addresses[0].to_string()])
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    let stdout = child.stdout.take().ok_or("no standard output")?;
    let mut line = String::new();
    let mut told = BufReader::new(stdout);
    let keep = async {
        let mut ends = Vec::new();
        while let Ok(end) = servers.accept().await {
            ends.push(end);
        }
    };
    tokio::select! {
        read = told.read_line(&mut line) => read?,
        () = keep => return Err("the server ended".into()),
    };
    Ok(line.trim().parse()?)
}

/// The process beside: makes the clients, and says what each of them weighs.
pub(crate) async fn clients(kind: &str, server: SocketAddr) -> Outcome {
    more_descriptors()?;
    let policy = Arc::new(Policy::default());
    // What the first of them costs (pages of code, the runtime's own) is not the next one's price.
    for _ in 0..20 {
        start_client(kind, server, &policy)?;
    }
    sleep(Duration::from_millis(300)).await;
    let before = pss()?;
    for _ in 0..CLIENTS {
        start_client(kind, server, &policy)?;
    }
    sleep(Duration::from_millis(1500)).await;
    println!("{:.1}", (pss()? - before) / CLIENTS as f64);
    Ok(())
}

fn start_client(kind: &str, server: SocketAddr, policy: &Arc<Policy>) -> Outcome {
    if kind == "bare" {
        tokio::spawn(async move {
            let mut stream = TcpStream::connect(server).await?;
            stream.set_nodelay(true)?;
            let mut byte = [0; 64];
            stream.read(&mut byte).await
        });
        return Ok(());
    }
    let mut client = client(&[server], Arc::clone(policy))?;
    tokio::spawn(async move {
        client
            .run(|mut link| async move { Err::<(), _>(read_to_the_end(&mut link.conn).await) })
            .await
    });
    Ok(())
}

/// The proportional share of memory of this process, in bytes.
fn pss() -> Outcome<f64> {
    let text = fs::read_to_string("/proc/self/smaps_rollup")?;
    let line = text.lines().find_map(|line| line.strip_prefix("Pss:"));
    let kib: f64 = line
        .and_then(|line| line.trim().strip_suffix("kB"))
        .ok_or("no Pss in smaps_rollup")?
        .trim()
        .parse()?;
    Ok(kib * 1024.0)
}

fn more_descriptors() -> Outcome {
    let limit = Some(8192);
    Ok(setrlimit(
        Resource::Nofile,
        Rlimit {
            current: limit,
            maximum: limit,
        },
    )?)
}
