//! From the end of a connection to the next one.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use failover_core::drive::{Established, What};
use failover_core::failure::{Failure, Kind};
use failover_core::policy::{Policy, Standing};
use socket2::{SockRef, TcpKeepalive};
use stubborn_io::{ReconnectOptions, StubbornTcpStream};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::figures::{Goal, Row, Table, compare, median, micros};
use crate::servers::{End, Servers, read_to_the_end};
use crate::{Client, Outcome, client};

const REPETITIONS: usize = 4000;
const WARM_UP: usize = 200;
/// One after the other, so that none comes back to a server within the least time between two dials of
/// it (a millisecond), and nobody has to rest, which would be measured as cold memory.
const CLIENTS: usize = 16;

pub(crate) async fn measure(table: &mut Table) -> Outcome {
    for end in [End::Fin, End::Rst] {
        let mut servers = [
            Servers::start(2).await?,
            Servers::start(2).await?,
            Servers::start(2).await?,
        ];
        let (mut ours, mut same, mut least) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..CLIENTS {
            ours.push(Ours::start(&mut servers[0]).await?);
            same.push(ByHand::start(&mut servers[1], Sockets::LikeOurs).await?);
            least.push(ByHand::start(&mut servers[2], Sockets::NoDelay).await?);
        }
        let (mut beside_same, mut beside_least) = (Vec::new(), Vec::new());
        for turn in 0..REPETITIONS + WARM_UP {
            let mut took = [0.0; 3];
            let client = turn % CLIENTS;
            for place in 0..3 {
                let who = (turn + place) % 3;
                let servers = &mut servers[who];
                took[who] = micros(match who {
                    0 => ours[client].lose(end, servers).await?,
                    1 => same[client].lose(end, servers).await?,
                    _ => least[client].lose(end, servers).await?,
                });
            }
            if turn >= WARM_UP {
                beside_same.push((took[0], took[1]));
                beside_least.push((took[0], took[2]));
            }
        }
        let stubborn = stubborn(end).await?;
        let what = format!("loss to new connection ({end:?}), two servers");
        for (pairs, sockets) in [
            (beside_same, "by hand, the same socket options"),
            (beside_least, "by hand, TCP_NODELAY alone"),
        ] {
            let (ours, hand, ratio) = compare(&pairs);
            table.row(Row {
                what: what.clone(),
                ours: format!("{ours:.1} µs"),
                beside: format!("{hand:.1} µs {sockets}; {stubborn:.0} µs stubborn-io"),
                goal: Some(Goal {
                    figure: ratio,
                    at_most: 1.10,
                    unit: "",
                }),
            });
        }
    }
    Ok(())
}

/// Our connector, on the connection that it made last.
struct Ours {
    client: Client,
    link: Established<TcpStream>,
    server_end: Option<TcpStream>,
}

impl Ours {
    async fn start(servers: &mut Servers) -> Outcome<Self> {
        // A connection of the benchmark lives for no time at all: it is stable at once.
        let policy = Policy::builder().stable_after(Duration::ZERO).build()?;
        let mut client = client(&servers.addresses, policy)?;
        let link = client.connect().await?;
        let server_end = Some(servers.accept().await?);
        Ok(Self {
            client,
            link,
            server_end,
        })
    }

    async fn lose(&mut self, end: End, servers: &mut Servers) -> Outcome<Duration> {
        let server_end = self.server_end.take();
        let began = Instant::now();
        let error = take_away(end, server_end, &mut self.link.conn).await?;
        self.client.lost(self.link.id(), error);
        self.link = self.client.connect().await?;
        let took = began.elapsed();
        self.server_end = Some(servers.accept().await?);
        Ok(took)
    }
}

/// What a program without us does: the next address, at once, without a deadline.
struct ByHand {
    sockets: Sockets,
    addresses: Vec<SocketAddr>,
    next: usize,
    stream: TcpStream,
    server_end: Option<TcpStream>,
}

/// What a loop by hand says about its sockets.
#[derive(Clone, Copy)]
pub(crate) enum Sockets {
    /// All that ours says: no delay, and keepalive with its three times.
    LikeOurs,
    NoDelay,
}

impl Sockets {
    pub(crate) async fn connect(self, address: SocketAddr) -> std::io::Result<TcpStream> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        if matches!(self, Self::LikeOurs) {
            let keepalive = TcpKeepalive::new()
                .with_time(Duration::from_secs(30))
                .with_interval(Duration::from_secs(10))
                .with_retries(3);
            SockRef::from(&stream).set_tcp_keepalive(&keepalive)?;
        }
        Ok(stream)
    }
}

impl ByHand {
    async fn start(servers: &mut Servers, sockets: Sockets) -> Outcome<Self> {
        let addresses = servers.addresses.clone();
        let stream = sockets.connect(addresses[0]).await?;
        let server_end = Some(servers.accept().await?);
        Ok(Self {
            sockets,
            addresses,
            next: 1,
            stream,
            server_end,
        })
    }

    async fn lose(&mut self, end: End, servers: &mut Servers) -> Outcome<Duration> {
        let server_end = self.server_end.take();
        let began = Instant::now();
        take_away(end, server_end, &mut self.stream).await?;
        self.stream = loop {
            let address = self.addresses[self.next % self.addresses.len()];
            self.next += 1;
            if let Ok(stream) = self.sockets.connect(address).await {
                break stream;
            }
        };
        let took = began.elapsed();
        self.server_end = Some(servers.accept().await?);
        Ok(took)
    }
}

/// Ends the connection at the server, and sees it end at the client.
async fn take_away(
    end: End,
    server_end: Option<TcpStream>,
    client_end: &mut TcpStream,
) -> Outcome<std::io::Error> {
    end.of(server_end.ok_or("no connection to end")?)?;
    Ok(read_to_the_end(client_end).await)
}

/// stubborn-io without a wait, to the first byte over the new connection: it shows nothing sooner.
async fn stubborn(end: End) -> Outcome<f64> {
    let mut servers = Servers::start(1).await?;
    let options =
        ReconnectOptions::new().with_retries_generator(|| std::iter::repeat(Duration::ZERO));
    let mut stream = StubbornTcpStream::connect_with_options(servers.addresses[0], options).await?;
    let mut server_end = servers.accept().await?;
    let mut took = Vec::new();
    for _ in 0..REPETITIONS / 10 {
        let began = Instant::now();
        end.of(server_end)?;
        let mut byte = [0; 1];
        let serve = async {
            let mut stream = servers.accept().await?;
            stream.write_all(b"x").await.map(|()| stream)
        };
        let (read, next) = tokio::join!(stream.read_exact(&mut byte), serve);
        read?;
        took.push(micros(began.elapsed()));
        server_end = next?;
    }
    Ok(median(took))
}

/// From the session's report of a loss to the spare in its hands.
pub(crate) async fn measure_spare(table: &mut Table) -> Outcome {
    let mut servers = Servers::start(3).await?;
    let policy = Policy::builder()
        .stable_after(Duration::ZERO)
        .standing(Standing::default().spares(1))
        .build()?;
    let mut client = client(&servers.addresses, policy)?;
    let mut events = client.events();
    let mut server_ends = Vec::new();
    let mut took = Vec::new();
    let mut link = client.connect().await?;
    for turn in 0..REPETITIONS / 4 + WARM_UP {
        let ready = async {
            loop {
                match events.next().await.map(|event| event.what.clone()) {
                    Some(What::SpareReady(spare)) => return Ok(spare.id),
                    Some(_) => {}
                    None => return Err("the events ended"),
                }
            }
        };
        let spare = tokio::select! {
            spare = ready => spare?,
            () = client.hung_up() => return Err("hung up before a spare stood".into()),
        };
        let began = Instant::now();
        client.lost(link.id(), Failure::new(Kind::Closed));
        link = client.connect().await?;
        let promoted = began.elapsed();
        if link.id() != spare {
            return Err("another connection than the spare was handed out".into());
        }
        if turn >= WARM_UP {
            took.push(micros(promoted));
        }
        while let Some(server_end) = servers.accepted() {
            server_ends.push(server_end);
        }
        let old = server_ends.len().saturating_sub(16);
        server_ends.drain(..old);
    }
    let figure = median(took);
    table.row(Row {
        what: "report of a loss to the spare in hand".to_string(),
        ours: format!("{figure:.1} µs"),
        beside: String::new(),
        goal: Some(Goal {
            figure,
            at_most: 20.0,
            unit: " µs",
        }),
    });
    Ok(())
}
