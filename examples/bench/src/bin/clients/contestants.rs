//! Three clients that read one subject.

use std::net::SocketAddr;
use std::time::Duration;

use async_nats::ConnectOptions;
use examples::nats::{Incoming, Nats, dialer, policy, subscribe};
use failover_core::directory::Endpoint;
use failover_core::drive::Connector;
use failover_core::heartbeat::Heartbeat;
use failover_core::link::{AtLoss, Bounds, LinkPolicy, Outbox, Overflow};
use failover_core::messaging::{Inbox, Link, Login, Room, open};
use failover_core::policy::{Order, Policy, PolicyBuilder, Walk};
use futures_util::StreamExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use transport_tcp::TokioClock;
use transport_tls::TlsConfig;

use crate::Outcome;
use crate::cluster::SUBJECT;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Who {
    Ours,
    /// With the library's default policy in place of the client's.
    OursGentle,
    AsyncNats,
    Bare,
}

pub(crate) const ALL: [Who; 3] = [Who::Ours, Who::AsyncNats, Who::Bare];

/// The heartbeat of both clients: 1 s. How many pings may be unanswered ours can say (1); async-nats has 2.
const HEARTBEAT: Duration = Duration::from_secs(1);

pub(crate) enum Reader {
    Ours {
        inbox: Inbox<Incoming>,
        _link: Link<Nats>,
    },
    AsyncNats {
        inbox: async_nats::Subscriber,
        _client: async_nats::Client,
    },
    Bare(Bare),
}

impl Reader {
    /// Connected to the first server, and subscribed.
    pub(crate) async fn new(who: Who, servers: &[SocketAddr]) -> Outcome<Self> {
        Ok(match who {
            Who::Ours | Who::OursGentle => {
                let link = match who {
                    Who::OursGentle => ours(servers, Policy::builder())?,
                    _ => ours(servers, policy())?,
                };
                let room = Room {
                    items: 1 << 20,
                    bytes: 1 << 26,
                };
                let inbox = subscribe(&link, SUBJECT, room)?;
                link.flush().await?;
                Self::Ours { inbox, _link: link }
            }
            Who::AsyncNats => {
                let client = async_nats(servers).await?;
                let inbox = client.subscribe(SUBJECT).await?;
                client.flush().await?;
                Self::AsyncNats {
                    inbox,
                    _client: client,
                }
            }
            Who::Bare => Self::Bare(Bare::new(servers).await?),
        })
    }

    /// Until the next message.
    pub(crate) async fn next(&mut self) -> Outcome {
        match self {
            Self::Ours { inbox, .. } => drop(inbox.next().await.ok_or("ours ended")?),
            Self::AsyncNats { inbox, .. } => {
                drop(inbox.next().await.ok_or("async-nats ended")?);
            }
            Self::Bare(bare) => bare.next().await?,
        }
        Ok(())
    }
}

/// Our client, in the given order of servers, with this policy otherwise.
pub(crate) fn ours(servers: &[SocketAddr], policy: PolicyBuilder) -> Outcome<Link<Nats>> {
    let endpoints = servers
        .iter()
        .map(|server| Endpoint::parse(&format!("nats://{server}")))
        .collect::<Result<Vec<_>, _>>()?;
    let policy = policy.order(Order::new(Walk::Listed)).build()?;
    let login = Login::new(dialer(&TlsConfig::new().client()?), Nats::new("ours"));
    let connector = Connector::builder(login, TokioClock::new())
        .endpoints(endpoints)
        .policy(policy)
        .build()?;
    let policy = LinkPolicy::OFF
        .heartbeat(Heartbeat::builder().watch(HEARTBEAT, 1).build()?)
        .outbox(Outbox::Keep {
            bytes: LinkPolicy::BYTES,
        })
        .bounds(Bounds::DEFAULT.overflow(Overflow::Wait { most: None }))
        .at_loss(AtLoss::Wait);
    let (link, driver) = open(connector, policy);
    tokio::spawn(driver.run());
    Ok(link)
}

/// async-nats, in the given order of servers, with its defaults otherwise.
pub(crate) async fn async_nats(servers: &[SocketAddr]) -> Outcome<async_nats::Client> {
    let servers: Vec<String> = servers.iter().map(|one| format!("nats://{one}")).collect();
    let options = ConnectOptions::new().retain_servers_order();
    Ok(options.ping_interval(HEARTBEAT).connect(servers).await?)
}

/// A loop by hand: at the end of a connection the next server, at once, and nothing is parsed.
pub(crate) struct Bare {
    servers: Vec<SocketAddr>,
    at: usize,
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Bare {
    async fn new(servers: &[SocketAddr]) -> Outcome<Self> {
        let stream = Self::connect(servers[0]).await?;
        Ok(Self {
            servers: servers.to_vec(),
            at: 0,
            stream,
            buffer: vec![0; 65_536],
        })
    }

    async fn connect(server: SocketAddr) -> std::io::Result<TcpStream> {
        let mut stream = TcpStream::connect(server).await?;
        stream.set_nodelay(true)?;
        // The INFO comes first.
        let mut info = [0; 4096];
        if stream.read(&mut info).await? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        let hello = format!("CONNECT {{\"verbose\":false}}\r\nSUB {SUBJECT} 1\r\nPING\r\n");
        stream.write_all(hello.as_bytes()).await?;
        Ok(stream)
    }

    async fn next(&mut self) -> Outcome {
        loop {
            let count = self.stream.read(&mut self.buffer).await.unwrap_or(0);
            if self.buffer[..count].windows(4).any(|word| word == b"MSG ") {
                return Ok(());
            }
            while count == 0 {
                self.at = (self.at + 1) % self.servers.len();
                if let Ok(stream) = Self::connect(self.servers[self.at]).await {
                    self.stream = stream;
                    break;
                }
            }
        }
    }
}
