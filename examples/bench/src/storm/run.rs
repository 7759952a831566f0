//! One storm, from the process of its clients.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::time::{sleep, timeout};

use super::clients::{Maker, Who};
use super::server::{Orders, Server};
use super::tally::Tally;
use super::{Figures, Over, RAMP, Run, predict};
use crate::process;
use crate::tls::Identity;

/// How many loopback addresses the server has: each gives its clients ports of their own.
const ADDRESSES: u8 = 4;
/// So many clients come at a time at first.
const BATCH: usize = 100;
/// A connection that needs longer to be stable is not waited for.
const SETTLE: Duration = Duration::from_secs(15);

pub(super) async fn run(run: Run) -> io::Result<Figures> {
    let who = Who::named(&run.who)?;
    if matches!((&who, run.over), (Who::AsyncNats, Over::Tls)) {
        return Err(io::Error::other(
            "async-nats-client comes over TCP alone: its TLS begins after INFO",
        ));
    }
    let ips: Vec<IpAddr> = (1..=ADDRESSES)
        .map(|n| IpAddr::from(Ipv4Addr::new(127, 0, 0, n)))
        .collect();
    let identity = match run.over {
        Over::Tcp => None,
        Over::Tls => Some(Identity::new(&ips)?),
    };
    let tls = identity.as_ref().map(Identity::client).transpose()?;
    let orders = Orders {
        addresses: free_addresses(&ips)?,
        identity,
        speaks: who.speaks(),
    };
    let server = Server::start(&orders).await?;
    let settle = who.stable_after().min(SETTLE) + Duration::from_millis(500);
    let tally = Arc::new(Tally::default());
    let maker = Maker {
        who: who.clone(),
        tls,
        tally: Arc::clone(&tally),
    };

    let before = process::memory()?;
    let began = Instant::now();
    let ramp = ramp(&run, &maker, &orders.addresses);
    timeout(RAMP, ramp).await.map_err(|_| {
        let up = tally.connected();
        io::Error::other(format!("{up} of {} connected in {RAMP:?}", run.clients))
    })??;
    let count = u32::try_from(run.clients.max(1)).unwrap_or(u32::MAX);
    let work = began.elapsed() / count;
    sleep(settle).await;
    let memory = process::memory()?.saturating_sub(before) / u64::from(count);

    let (cpu, dials) = (process::cpu()?, tally.dials());
    let (refused, failed) = (tally.refused(), tally.failed());
    tally.take_returns();
    let died = Instant::now();
    server.kill().await?;
    sleep(run.outage).await;
    let cpu_down = process::cpu()?.saturating_sub(cpu);
    let mut server = Server::start(&orders).await?;
    let listened = Instant::now();
    let before_return = process::occupied()?;
    let _ = timeout(run.within, tally.reach(run.clients)).await;
    let returning = listened.elapsed();
    let occupied = process::occupied()?.saturating_sub(before_return);
    let cpu = process::cpu()?.saturating_sub(cpu);
    let accepts = server.seen().await?.accepts;
    let returns = tally.take_returns();
    let losses = tally.take_losses();
    let noticed = shares(&losses, died, run.clients)[0].unwrap_or_default();
    let all = losses.iter().take(run.clients);
    let all: Vec<Duration> = all.map(|at| at.saturating_duration_since(died)).collect();
    let away = listened.duration_since(died);
    let busy = occupied.as_secs_f64() / returning.as_secs_f64().max(1e-9);
    let figures = Figures {
        connected: tally.connected(),
        away,
        noticed,
        back: shares(&returns, listened, run.clients),
        peak_accepts: accepts.into_iter().max().unwrap_or_default(),
        dials: tally.dials() - dials,
        refused: tally.refused() - refused,
        failed: tally.failed() - failed,
        cpu_down,
        cpu,
        memory,
        work,
        busy,
        predicted: predict::predict(&run, away, &all, &who.policy()?, work)?,
        run,
    };
    server.kill().await?;
    Ok(figures)
}

/// Everybody connects for the first time, some at a time.
async fn ramp(run: &Run, maker: &Maker, servers: &[SocketAddr]) -> io::Result<()> {
    for client in 0..run.clients {
        let server = servers[client % servers.len()];
        let seed = run.seed.wrapping_add(u64::try_from(client).unwrap_or(0));
        maker.spawn(server, seed)?;
        if client % BATCH == BATCH - 1 {
            maker.tally.reach(client + 1).await;
        }
    }
    maker.tally.reach(run.clients).await;
    Ok(())
}

/// When this had happened to 50, 90, 99 and 100 %.
fn shares(times: &[Instant], since: Instant, clients: usize) -> [Option<Duration>; 4] {
    [50, 90, 99, 100].map(|percent| {
        let wanted = (clients * percent).div_ceil(100);
        let at = times.get(wanted.checked_sub(1)?)?;
        Some(at.saturating_duration_since(since))
    })
}

/// One port that is free at all of these, below those that the system gives to clients: none of ours
/// may happen to dial from it, and so reach itself, while the server is away.
fn free_addresses(ips: &[IpAddr]) -> io::Result<Vec<SocketAddr>> {
    let first = 10_000 + u16::try_from(std::process::id() % 20_000).unwrap_or(0);
    let free = |port: &u16| {
        let bind = |ip: &IpAddr| TcpListener::bind((*ip, *port)).is_ok();
        ips.iter().all(bind)
    };
    let port = (first..first + 1_000).find(free);
    let port = port.ok_or_else(|| io::Error::other("no free port on loopback"))?;
    Ok(ips.iter().map(|ip| SocketAddr::new(*ip, port)).collect())
}
