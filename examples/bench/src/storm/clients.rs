//! The clients of a storm: our connector under several policies, and others.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use examples::herd::Contestant;
use failover_core::dial::{Dial, DialContext};
use failover_core::directory::{Endpoint, Target};
use failover_core::drive::Connector;
use failover_core::endpoint::Security;
use failover_core::failure::Classify;
use failover_core::policy::{Backoff, Jitter, Pace, Policy, PolicyError, Ratio, Seed};
use rustls::ClientConfig;
use stubborn_io::ReconnectOptions;
use tokio::io::AsyncRead;
use tokio::time::sleep;
use transport_tcp::{Tcp, TokioClock};
use transport_tls::Tls;

use super::nats;
use super::opened::{self, open};
use super::server::Speaks;
use super::tally::Tally;

/// What the naive loop sleeps whenever a dial or a connection ends.
const NAIVE: Duration = Duration::from_secs(1);

/// Who the clients are.
#[derive(Clone, Debug)]
pub(super) enum Who {
    /// Our connector under this policy.
    Ours(Box<Policy>),
    /// `loop { connect, use, sleep a second }` by hand.
    Naive,
    /// stubborn-io with its own strategy from 100 ms, doubling, up to 10 s.
    StubbornIo,
    /// async-nats with its defaults; its servers speak NATS.
    AsyncNats,
}

impl Who {
    /// Those of this name.
    pub(super) fn named(name: &str) -> io::Result<Self> {
        let policy = match name {
            "naive" => return Ok(Self::Naive),
            "stubborn-io" => return Ok(Self::StubbornIo),
            "async-nats-client" => return Ok(Self::AsyncNats),
            "full-jitter" => full_jitter().map_err(io::Error::other)?,
            "ours-doubling" => crate::ours(),
            _ => Contestant::named(name).map_err(io::Error::other)?.policy,
        };
        Ok(Self::Ours(Box::new(policy)))
    }

    /// The policy that they follow, or what comes nearest to it: for the simulator.
    pub(super) fn policy(&self) -> io::Result<Policy> {
        let (base, cap, factor) = match self {
            Self::Ours(policy) => return Ok(policy.as_ref().clone()),
            Self::Naive => (NAIVE, NAIVE, None),
            Self::StubbornIo => (crate::BASE, crate::CAP, Some(Ratio::TWO)),
            Self::AsyncNats => {
                let law = Contestant::named("async-nats").map_err(io::Error::other)?;
                return Ok(law.policy);
            }
        };
        let (backoff, jitter) = match factor {
            None => (Backoff::Constant(base), Jitter::None),
            Some(factor) => (
                Backoff::Exponential { base, factor },
                Jitter::Proportional(Ratio::from_ppm(50_000)),
            ),
        };
        Policy::builder()
            .pace(Pace::new(backoff).cap(cap))
            .jitter(jitter)
            .tls_jitter(jitter)
            .build()
            .map_err(io::Error::other)
    }

    /// What their server speaks.
    pub(super) fn speaks(&self) -> Speaks {
        match self {
            Self::AsyncNats => Speaks::Nats,
            Self::Ours(_) | Self::Naive | Self::StubbornIo => Speaks::Byte,
        }
    }

    /// How long a connection must live before a loss is a first one.
    pub(super) fn stable_after(&self) -> Duration {
        match self {
            Self::Ours(policy) => policy.stable_after(),
            Self::Naive | Self::StubbornIo | Self::AsyncNats => Duration::ZERO,
        }
    }
}

/// Full jitter, from 100 ms, up to the cap of our default.
fn full_jitter() -> Result<Policy, PolicyError> {
    let backoff = Backoff::Exponential {
        base: crate::BASE,
        factor: Ratio::TWO,
    };
    Policy::builder()
        .pace(Pace::new(backoff).cap(Policy::default().pace().cap))
        .jitter(Jitter::Full)
        .tls_jitter(Jitter::Full)
        .build()
}

/// Makes clients of one kind.
pub(super) struct Maker {
    pub(super) who: Who,
    pub(super) tls: Option<Arc<ClientConfig>>,
    pub(super) tally: Arc<Tally>,
}

impl Maker {
    /// A client of this server, running.
    pub(super) fn spawn(&self, server: SocketAddr, seed: u64) -> io::Result<()> {
        let (tally, tls) = (Arc::clone(&self.tally), self.tls.clone());
        match &self.who {
            Who::Ours(policy) => {
                let policy = policy.as_ref().clone();
                match tls {
                    None => {
                        let url = [format!("tcp://{server}")];
                        connector(Tcp::new(), &url, policy, seed, tally)
                    }
                    Some(tls) => {
                        let url = [format!("tls://{server}")];
                        connector(Tls::new(Tcp::new(), tls), &url, policy, seed, tally)
                    }
                }
            }
            Who::Naive => {
                tokio::spawn(naive(server, tls, tally));
                Ok(())
            }
            Who::StubbornIo => {
                tokio::spawn(stubborn(server, tls, tally));
                Ok(())
            }
            Who::AsyncNats => {
                tokio::spawn(async move { nats::client(&[server], tally).await });
                Ok(())
            }
        }
    }
}

/// Our connector, running.
pub(crate) fn connector<D>(
    dialer: D,
    urls: &[String],
    policy: Policy,
    seed: u64,
    tally: Arc<Tally>,
) -> io::Result<()>
where
    D: Dial + 'static,
    D::Conn: AsyncRead + Unpin,
{
    let dialer = Counted {
        inner: dialer,
        tally: Arc::clone(&tally),
    };
    let endpoints: Result<Vec<Endpoint>, _> = urls.iter().map(|url| Endpoint::parse(url)).collect();
    let mut connector = Connector::builder(dialer, TokioClock::new())
        .endpoints(endpoints.map_err(io::Error::other)?)
        .policy(policy)
        .seed(Seed::new(seed))
        .build()
        .map_err(io::Error::other)?;
    tokio::spawn(async move {
        let session = |link: failover_core::drive::Established<D::Conn>| {
            let tally = Arc::clone(&tally);
            async move { tally.sit(link.conn).await }
        };
        if let Err(given_up) = connector.run(session).await {
            eprintln!("storm: a client gave up: {given_up}");
        }
    });
    Ok(())
}

/// Any dialer, with its dials counted.
struct Counted<D> {
    inner: D,
    tally: Arc<Tally>,
}

impl<D: Dial> Dial for Counted<D> {
    type Conn = D::Conn;
    type Error = D::Error;

    async fn dial(&self, to: &Target, cx: &DialContext) -> Result<Self::Conn, Self::Error> {
        self.tally.dial();
        let dialled = self.inner.dial(to, cx).await;
        if let Err(error) = &dialled {
            self.tally.dial_failed(error.failure().kind);
        }
        dialled
    }

    fn security(&self, to: &Target) -> Security {
        self.inner.security(to)
    }

    fn check(&self, to: &Target) -> Result<(), Self::Error> {
        self.inner.check(to)
    }
}

async fn naive(server: SocketAddr, tls: Option<Arc<ClientConfig>>, tally: Arc<Tally>) {
    loop {
        if let Ok(conn) = open(server, tls.clone(), Arc::clone(&tally)).await {
            let _ = tally.sit(conn).await;
        }
        sleep(NAIVE).await;
    }
}

async fn stubborn(server: SocketAddr, tls: Option<Arc<ClientConfig>>, tally: Arc<Tally>) {
    let options = ReconnectOptions::new()
        .with_exit_if_first_connect_fails(false)
        .with_retries_generator(crate::stubborn_strategy);
    opened::stubborn((server, tls, tally), options).await;
}
