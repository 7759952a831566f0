//! TLS over sockets: from the dial to the first byte back.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use failover_bench::tls::Identity;
use failover_core::dial::{Dial, DialContext};
use failover_core::directory::{Endpoint, Target};
use failover_core::drive::Connector;
use failover_core::failure::{Failure, Kind};
use failover_core::policy::{Order, Policy, Walk};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, HandshakeKind, ServerConfig};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{TlsAcceptor, TlsConnector};
use transport_tcp::{Tcp, TokioClock};
use transport_tls::{Pem, Roots, Tls, TlsConfig, TlsStream};

use crate::Outcome;
use crate::figures::{Goal, Row, Table};

const TURNS: usize = 1001;
const SERVERS: usize = 8;
const RECONNECTS: usize = 100;

type Client = Connector<Tls<Tcp>, TokioClock>;

pub(crate) async fn measure(table: &mut Table) -> Outcome {
    let identity = Identity::new(&["127.0.0.1".parse()?])?;
    let with_tickets = identity.server()?;
    let mut without = ServerConfig::clone(&with_tickets);
    without.send_tls13_tickets = 0;
    let without = Arc::new(without);
    // Two of each: a connector keeps a distance between two dials of one server.
    let servers = [
        serve(Arc::clone(&with_tickets)).await?,
        serve(with_tickets).await?,
    ];
    let forgetful = [serve(Arc::clone(&without)).await?, serve(without).await?];
    let (to, forgets) = (target(servers[0])?, target(forgetful[0])?);
    let tls = ours(&identity)?;
    let bare = Bare::new(servers[0], identity.client()?);
    let mut client = connector(&servers, tls.clone())?;
    let mut others = connector(&forgetful, tls.clone())?;
    for server in servers {
        dial(&tls, &target(server)?, HandshakeKind::Full).await?;
    }
    bare.dial(HandshakeKind::Full).await?;

    let mut times = [const { Vec::new() }; 5];
    for turn in 0..TURNS {
        for place in 0..times.len() {
            let who = (turn + place) % times.len();
            times[who].push(match who {
                0 => dial(&tls, &to, HandshakeKind::Resumed).await?,
                1 => dial(&tls, &forgets, HandshakeKind::Full).await?,
                2 => bare.dial(HandshakeKind::Resumed).await?,
                3 => reconnect(&mut client, HandshakeKind::Resumed).await?,
                _ => reconnect(&mut others, HandshakeKind::Full).await?,
            });
        }
    }
    let [resumed, full, bare, through, through_full] = times;
    let pairs = |one: &[Duration], other: &[Duration]| -> Vec<(Duration, Duration)> {
        one.iter()
            .copied()
            .zip(other.iter().copied())
            .skip(20)
            .collect()
    };
    let rows = [
        (
            "resumed reconnect over sockets (dialer)",
            &resumed,
            &full,
            "full",
            0.70,
        ),
        (
            "resumed reconnect over sockets (connector)",
            &through,
            &through_full,
            "full",
            0.70,
        ),
        (
            "TLS reconnect to the first byte (dialer)",
            &resumed,
            &bare,
            "bare tokio-rustls, resumed",
            1.05,
        ),
        (
            "TLS reconnect to the first byte (connector)",
            &through,
            &bare,
            "bare tokio-rustls, resumed",
            1.05,
        ),
    ];
    for (what, one, other, beside, goal) in rows {
        table.compare(what, &pairs(one, other), beside, Some(Goal::AtMost(goal)));
    }
    among_servers(table, &identity).await
}

/// A connector whose every connection is lost at once, among servers that share one name.
async fn among_servers(table: &mut Table, identity: &Identity) -> Outcome {
    let mut servers = Vec::new();
    for _ in 0..SERVERS {
        servers.push(serve(identity.server()?).await?);
    }
    let mut client = connector(&servers, ours(identity)?)?;
    for _ in 0..SERVERS {
        reconnect(&mut client, HandshakeKind::Full).await?;
    }
    let mut resumed = 0_u32;
    for _ in 0..RECONNECTS {
        let (_, kind) = next(&mut client).await?;
        resumed += u32::from(kind == Some(HandshakeKind::Resumed));
    }
    table.row(Row {
        what: format!("reconnects that were resumed, of {RECONNECTS} among {SERVERS} servers"),
        ours: resumed.to_string(),
        beside: String::new(),
        figure: f64::from(resumed) / RECONNECTS as f64,
        goal: Some(Goal::AtLeast(0.99)),
    });
    Ok(())
}

fn ours(identity: &Identity) -> Outcome<Tls<Tcp>> {
    let roots = Roots::Only(Pem::Bytes(identity.pem().into_bytes()));
    Ok(Tls::new(
        Tcp::new(),
        TlsConfig::new().roots(roots).client()?,
    ))
}

async fn dial(tls: &Tls<Tcp>, to: &Target, kind: HandshakeKind) -> Outcome<Duration> {
    let began = Instant::now();
    let mut stream = tls.dial(to, &DialContext::unbounded()).await?;
    first_byte(&mut stream).await?;
    let took = began.elapsed();
    check(stream.session().handshake, kind)?;
    Ok(took)
}

/// What a program without us does, with one configuration for all its dials.
struct Bare {
    server: SocketAddr,
    connector: TlsConnector,
}

impl Bare {
    fn new(server: SocketAddr, config: Arc<ClientConfig>) -> Self {
        let connector = TlsConnector::from(config);
        Self { server, connector }
    }

    async fn dial(&self, kind: HandshakeKind) -> Outcome<Duration> {
        let began = Instant::now();
        let stream = TcpStream::connect(self.server).await?;
        stream.set_nodelay(true)?;
        let name = ServerName::from(self.server.ip());
        let mut stream = self.connector.connect(name, stream).await?;
        first_byte(&mut stream).await?;
        let took = began.elapsed();
        check(stream.get_ref().1.handshake_kind(), kind)?;
        Ok(took)
    }
}

/// The next connection of a connector whose last one was lost, up to its first byte.
async fn reconnect(client: &mut Client, kind: HandshakeKind) -> Outcome<Duration> {
    let (took, found) = next(client).await?;
    check(found, kind)?;
    Ok(took)
}

async fn next(client: &mut Client) -> Outcome<(Duration, Option<HandshakeKind>)> {
    let began = Instant::now();
    let mut link = client.connect().await?;
    first_byte(&mut link.conn).await?;
    let took = began.elapsed();
    client.lost(link.id(), Failure::new(Kind::Closed));
    let stream: TlsStream<TcpStream> = link.conn;
    Ok((took, stream.session().handshake))
}

fn connector(servers: &[SocketAddr], tls: Tls<Tcp>) -> Outcome<Client> {
    // A connection of the benchmark lives for no time at all: it is stable at once.
    let policy = Policy::builder()
        .order(Order::new(Walk::Rotate))
        .stable_after(Duration::ZERO)
        .build()?;
    let mut endpoints = Vec::new();
    for server in servers {
        endpoints.push(Endpoint::parse(&format!("tls://{server}"))?);
    }
    Ok(Connector::builder(tls, TokioClock::new())
        .endpoints(endpoints)
        .policy(policy)
        .build()?)
}

async fn first_byte(stream: &mut (impl AsyncRead + AsyncWrite + Unpin)) -> Outcome {
    stream.write_all(b"x").await?;
    stream.read_u8().await?;
    Ok(())
}

fn check(found: Option<HandshakeKind>, wanted: HandshakeKind) -> Outcome {
    match found == Some(wanted) {
        true => Ok(()),
        false => Err(format!("a handshake was {found:?}, not {wanted:?}").into()),
    }
}

fn target(server: SocketAddr) -> Outcome<Target> {
    Ok(Target::parse(&format!("tls://{server}"))?)
}

/// Sends back a byte.
async fn serve(config: Arc<ServerConfig>) -> Outcome<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let acceptor = TlsAcceptor::from(config);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                stream.set_nodelay(true)?;
                let mut stream = acceptor.accept(stream).await?;
                let byte = stream.read_u8().await?;
                stream.write_u8(byte).await?;
                stream.flush().await?;
                let _ = stream.read(&mut [0; 1]).await;
                Ok::<_, std::io::Error>(())
            });
        }
    });
    Ok(address)
}
