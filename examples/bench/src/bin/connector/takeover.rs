//! From the end of a connection to the next one.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use failover_core::drive::{Established, What};
use failover_core::failure::{Failure, Kind};
use failover_core::policy::{Policy, Standing};
use stubborn_io::{ReconnectOptions, StubbornTcpStream};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::figures::{Goal, Row, Table, compare, median, micros};
use crate::servers::{End, Servers, read_to_the_end};
use crate::{Client, Outcome, client};

const REPETITIONS: usize = 4000;
const WARM_UP: usize = 200;

pub(crate) async fn measure(table: &mut Table) -> Outcome {
    for end in [End::Fin, End::Rst] {
        let (mut servers, mut others) = (Servers::start(2).await?, Servers::start(2).await?);
        let mut ours = Ours::start(&mut servers).await?;
        let mut bare = Bare::start(&mut others).await?;
        let mut pairs = Vec::new();
        for turn in 0..REPETITIONS + WARM_UP {
            let pair = if turn % 2 == 0 {
                let first = ours.lose(end, &mut servers).await?;
                (first, bare.lose(end, &mut others).await?)
            } else {
                let first = bare.lose(end, &mut others).await?;
                (ours.lose(end, &mut servers).await?, first)
            };
            if turn >= WARM_UP {
                pairs.push((micros(pair.0), micros(pair.1)));
            }
        }
        let (ours, loops, ratio) = compare(&pairs);
        let stubborn = stubborn(end).await?;
        table.row(Row {
            what: format!("loss to new connection ({end:?}), two servers"),
            ours: format!("{ours:.1} µs"),
            beside: format!("{loops:.1} µs by hand, {stubborn:.0} µs stubborn-io"),
            goal: Some(Goal {
                figure: ratio,
                at_most: 1.10,
                unit: "",
            }),
        });
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

/// What a program without us does: the next address, at once.
struct Bare {
    addresses: Vec<SocketAddr>,
    next: usize,
    stream: TcpStream,
    server_end: Option<TcpStream>,
}

impl Bare {
    async fn start(servers: &mut Servers) -> Outcome<Self> {
        let addresses = servers.addresses.clone();
        let stream = TcpStream::connect(addresses[0]).await?;
        stream.set_nodelay(true)?;
        let server_end = Some(servers.accept().await?);
        Ok(Self {
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
            if let Ok(stream) = TcpStream::connect(address).await {
                stream.set_nodelay(true)?;
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
