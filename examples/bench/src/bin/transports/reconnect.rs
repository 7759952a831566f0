//! TLS over sockets: from the dial to the first byte back.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use failover_core::dial::{Dial, DialContext};
use failover_core::directory::{Endpoint, Target};
use failover_core::drive::Connector;
use failover_core::failure::{Failure, Kind};
use failover_core::policy::{Order, Policy, Walk};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls::client::Resumption;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use rustls::server::ServerSessionMemoryCache;
use rustls::{ClientConfig, HandshakeKind, RootCertStore, ServerConfig};
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
    let site = Site::new()?;
    // Two: a connector keeps a distance between two dials of one server.
    let servers = [site.serve().await?, site.serve().await?];
    let to = target(servers[0])?;
    let (tls, forgetful) = (site.dialer()?, site.forgetful_dialer()?);
    let bare = Bare::new(servers[0], site.bare_config()?);
    let mut client = connector(&servers, tls.clone())?;
    let mut others = connector(&servers, forgetful.clone())?;
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
                1 => dial(&forgetful, &to, HandshakeKind::Full).await?,
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
    among_servers(table, &site).await
}

/// A connector whose every connection is lost at once, among servers that share one name.
async fn among_servers(table: &mut Table, site: &Site) -> Outcome {
    let mut servers = Vec::new();
    for _ in 0..SERVERS {
        servers.push(site.serve().await?);
    }
    let mut client = connector(&servers, site.dialer()?)?;
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

/// A server as most are: its certificate comes from one in between, which it shows, too.
struct Site {
    root: CertifiedIssuer<'static, KeyPair>,
    server: Arc<ServerConfig>,
}

impl Site {
    fn new() -> Outcome<Self> {
        let authority = |name: &str| -> Outcome<CertificateParams> {
            let mut params = CertificateParams::new(Vec::new())?;
            params.distinguished_name.push(DnType::CommonName, name);
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            Ok(params)
        };
        let root = CertifiedIssuer::self_signed(authority("root")?, KeyPair::generate()?)?;
        let between =
            CertifiedIssuer::signed_by(authority("between")?, KeyPair::generate()?, &root)?;
        let key = KeyPair::generate()?;
        let own = CertificateParams::new(["127.0.0.1".to_string()])?.signed_by(&key, &between)?;
        let chain = vec![own.der().clone(), between.der().clone()];
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let server = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(chain, key)?;
        let server = Arc::new(server);
        Ok(Self { root, server })
    }

    async fn serve(&self) -> Outcome<SocketAddr> {
        // Each remembers its own sessions only.
        let mut config = ServerConfig::clone(&self.server);
        config.session_storage = ServerSessionMemoryCache::new(256);
        serve(Arc::new(config)).await
    }

    fn config(&self) -> TlsConfig {
        let root = self.root.pem().into_bytes();
        TlsConfig::new().roots(Roots::Only(Pem::Bytes(root)))
    }

    fn dialer(&self) -> Outcome<Tls<Tcp>> {
        Ok(Tls::new(Tcp::new(), self.config().client()?))
    }

    /// The same without a memory for sessions.
    fn forgetful_dialer(&self) -> Outcome<Tls<Tcp>> {
        let mut config = ClientConfig::clone(&*self.config().build()?);
        config.resumption = Resumption::disabled();
        Ok(Tls::new(Tcp::new(), Arc::new(config)))
    }

    fn bare_config(&self) -> Outcome<Arc<ClientConfig>> {
        let mut roots = RootCertStore::empty();
        roots.add(self.root.der().clone())?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Arc::new(config))
    }
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
