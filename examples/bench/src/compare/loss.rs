//! Clients that reconnect, each with a server of its own in the same thread.

use std::fmt::Write as _;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use examples::timeline::short;
use failover_core::policy::{Order, Policy, Walk};
use stubborn_io::ReconnectOptions;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use transport_tcp::Tcp;

use super::{DROPPING, LOSSES, MUTE, middle_and_p90};
use crate::storm::clients::connector;
use crate::storm::nats;
use crate::storm::opened::{open, stubborn};
use crate::storm::tally::Tally;
use crate::{BASE, CAP};

/// A reconnect that takes longer is a failed measurement.
const PATIENCE: Duration = Duration::from_secs(20);

pub(super) async fn section() -> io::Result<String> {
    let mut text = format!(
        "\n## Clients that reconnect\n\nTCP on loopback, clients and servers in one thread. Ours is the connector with its default \
         policy and two servers. The hand-written loop walks over the same two, sleeps 100 ms, doubled up to 10 s, after \
         each fruitless walk, and begins anew when a dial succeeds. stubborn-io knows one server; its first wait is set \
         to zero here, then 100 ms, doubled up to 10 s. async-nats has its defaults and both servers, which answer its \
         login (INFO, CONNECT, PING, PONG: a round trip more than the others have) as a script in the same thread, not \
         as a real nats-server; it is connected when its event says so.\n\n\
         Loss to connected: from the server's close to its next greeting in the client's hands, {LOSSES} times each, in \
         turn, once with an orderly close (FIN), once with a reset (RST); ours counts a connection as stable after a millisecond here, as these live for five. Accept and drop: dials \
         in {} s at servers that close whatever they accept, async-nats once it has logged in. Mute: how long until another server is in use when the first one \
         in the list answers no SYN.\n\n\
         | client | FIN to connected, median | p90 | RST to connected, median | p90 | dials while dropped | mute server left after |\n|---|---|---|---|---|---|---|\n",
        DROPPING.as_secs(),
    );
    let fin = losses(End::Fin).await?;
    let rst = losses(End::Rst).await?;
    let drops = [
        dropped(Who::Ours).await?,
        dropped(Who::Hand).await?,
        dropped(Who::Stubborn).await?,
        dropped(Who::AsyncNats).await?,
    ];
    let mute = mute().await?;
    for (at, who) in Who::ALL.into_iter().enumerate() {
        let (fin, fin_p90) = middle_and_p90(fin[at].clone());
        let (rst, rst_p90) = middle_and_p90(rst[at].clone());
        let left = mute[at].map_or(format!("not within {} s", MUTE.as_secs()), short);
        let _ = writeln!(
            text,
            "| {} | {fin:.0} µs | {fin_p90:.0} µs | {rst:.0} µs | {rst_p90:.0} µs | {} | {left} |",
            who.name(),
            drops[at],
        );
    }
    text.push_str(
        "\nThat stubborn-io knows no other server to go to is why it never leaves the mute one.\n",
    );
    Ok(text)
}

#[derive(Clone, Copy)]
enum Who {
    Ours,
    Hand,
    Stubborn,
    AsyncNats,
}

impl Who {
    const ALL: [Self; 4] = [Self::Ours, Self::Hand, Self::Stubborn, Self::AsyncNats];

    const fn name(self) -> &'static str {
        match self {
            Self::Ours => "failover-core, transport-tcp",
            Self::Hand => "a loop by hand",
            Self::Stubborn => "stubborn-io",
            Self::AsyncNats => "async-nats",
        }
    }

    /// A client of these servers, running.
    async fn start(
        self,
        policy: Policy,
        servers: &[SocketAddr],
        tally: &Arc<Tally>,
    ) -> io::Result<()> {
        let tally = Arc::clone(tally);
        match self {
            Self::Ours => {
                let urls: Vec<String> = servers.iter().map(|at| format!("tcp://{at}")).collect();
                connector(Tcp::new(), &urls, policy, 1, tally)
            }
            Self::Hand => {
                tokio::spawn(by_hand(servers.to_vec(), tally));
                Ok(())
            }
            Self::Stubborn => {
                let options = ReconnectOptions::new()
                    .with_exit_if_first_connect_fails(false)
                    .with_retries_generator(|| {
                        std::iter::once(Duration::ZERO).chain(crate::stubborn_strategy())
                    });
                tokio::spawn(stubborn((servers[0], None, tally), options));
                Ok(())
            }
            Self::AsyncNats => nats::client(servers, tally).await,
        }
    }

    /// What a server says to it when it comes.
    async fn greet(self, stream: &mut TcpStream) -> io::Result<()> {
        match self {
            Self::Ours | Self::Hand | Self::Stubborn => stream.write_all(b".").await,
            Self::AsyncNats => nats::log_in(stream).await,
        }
    }
}

async fn by_hand(servers: Vec<SocketAddr>, tally: Arc<Tally>) {
    let mut wait = BASE;
    let mut failed = 0;
    for server in servers.iter().cycle() {
        match open(*server, None, Arc::clone(&tally)).await {
            Ok(conn) => {
                (wait, failed) = (BASE, 0);
                let _ = tally.sit(conn).await;
            }
            Err(_) => failed += 1,
        }
        if failed == servers.len() {
            sleep(wait).await;
            (wait, failed) = ((wait * 2).min(CAP), 0);
        }
    }
}

/// How a server ends a connection.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Fin,
    Rst,
}

/// Two listeners that greet, and close when they are told to.
#[derive(Default)]
struct Site {
    close: Notify,
    closed: Mutex<Option<Instant>>,
}

async fn site(who: Who, end: End) -> io::Result<(Arc<Site>, Vec<SocketAddr>, Vec<JoinHandle<()>>)> {
    let site = Arc::new(Site::default());
    let (mut addresses, mut tasks) = (Vec::new(), Vec::new());
    for _ in 0..2 {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        addresses.push(listener.local_addr()?);
        tasks.push(tokio::spawn(greet(listener, Arc::clone(&site), (who, end))));
    }
    Ok((site, addresses, tasks))
}

async fn greet(listener: TcpListener, site: Arc<Site>, (who, end): (Who, End)) {
    while let Ok((mut stream, _)) = listener.accept().await {
        if who.greet(&mut stream).await.is_err() {
            continue;
        }
        site.close.notified().await;
        if end == End::Rst && stream.set_zero_linger().is_err() {
            continue;
        }
        let now = Instant::now();
        drop(stream);
        let mut closed = site.closed.lock().unwrap_or_else(PoisonError::into_inner);
        *closed = Some(now);
    }
}

/// In microseconds, one list a client.
async fn losses(end: End) -> io::Result<[Vec<f64>; Who::ALL.len()]> {
    let policy = Policy::default()
        .to_builder()
        .stable_after(Duration::from_millis(1));
    let policy = policy.build().map_err(io::Error::other)?;
    let mut clients = Vec::new();
    for who in Who::ALL {
        let (site, servers, tasks) = site(who, end).await?;
        let tally = Arc::new(Tally::default());
        who.start(policy.clone(), &servers, &tally).await?;
        returned(&tally).await?;
        clients.push((site, tally, tasks));
    }
    let mut times = [const { Vec::new() }; Who::ALL.len()];
    for round in 0..LOSSES {
        for turn in 0..clients.len() {
            let at = (round + turn) % clients.len();
            let (site, tally, _) = &clients[at];
            sleep(Duration::from_millis(5)).await;
            site.close.notify_one();
            let returned = returned(tally).await?;
            let closed = *site.closed.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(closed) = closed {
                let took = returned.saturating_duration_since(closed);
                times[at].push(took.as_secs_f64() * 1e6);
            }
        }
    }
    for task in clients.iter().flat_map(|(_, _, tasks)| tasks) {
        task.abort();
    }
    Ok(times)
}

async fn returned(tally: &Tally) -> io::Result<Instant> {
    let returned = timeout(PATIENCE, tally.returned()).await;
    returned.map_err(|_| io::Error::other(format!("not connected within {PATIENCE:?}")))
}

/// Dials at servers that drop what they accept. The client goes on afterwards, but is refused.
async fn dropped(who: Who) -> io::Result<u64> {
    let mut tasks = Vec::new();
    let mut servers = Vec::new();
    for _ in 0..2 {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        servers.push(listener.local_addr()?);
        tasks.push(tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                // A connection to a NATS server is one when it has logged in.
                if let Who::AsyncNats = who {
                    let _ = who.greet(&mut stream).await;
                }
            }
        }));
    }
    let tally = Arc::new(Tally::default());
    who.start(Policy::default(), &servers, &tally).await?;
    sleep(DROPPING).await;
    let dials = tally.dials();
    for task in tasks {
        task.abort();
    }
    Ok(dials)
}

/// How long until the second server of the list is in use, when the first one is mute.
async fn mute() -> io::Result<[Option<Duration>; Who::ALL.len()]> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
    let mute = socket.listen(1)?;
    let address = mute.local_addr()?;
    let filled = fill(address).await?;
    let policy = Policy::default()
        .to_builder()
        .order(Order::new(Walk::Listed));
    let policy = policy.build().map_err(io::Error::other)?;
    let mut clients = Vec::new();
    for who in Who::ALL {
        let (_, servers, tasks) = site(who, End::Fin).await?;
        let tally = Arc::new(Tally::default());
        who.start(policy.clone(), &[address, servers[0]], &tally)
            .await?;
        clients.push((tally, tasks));
    }
    let began = Instant::now();
    sleep(MUTE).await;
    let mut left = [None; Who::ALL.len()];
    for (left, (tally, tasks)) in left.iter_mut().zip(&clients) {
        let first = tally.take_returns().first().copied();
        *left = first.map(|at| at.saturating_duration_since(began));
        tasks.iter().for_each(JoinHandle::abort);
    }
    drop((mute, filled));
    Ok(left)
}

/// Fills the accept queue: from then on no SYN is answered.
async fn fill(address: SocketAddr) -> io::Result<Vec<TcpStream>> {
    let mut filled = Vec::new();
    for _ in 0..16 {
        match timeout(Duration::from_millis(200), TcpStream::connect(address)).await {
            Ok(stream) => filled.push(stream?),
            Err(_) => return Ok(filled),
        }
    }
    Err(io::Error::other("a full accept queue still answers"))
}
