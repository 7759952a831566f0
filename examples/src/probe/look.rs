//! One server, dialled.

use std::fmt;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use failover_core::attempt::{AttemptId, Purpose};
use failover_core::dial::{Dial, DialContext};
use failover_core::directory::Target;
use failover_core::drive::Clock;
use failover_core::failure::{Classify, Failure, Kind, Phase};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use transport_tcp::{Resolve, Resolving, SystemResolver, TokioClock};
use transport_tls::rustls::HandshakeKind;
use transport_tls::{SessionInfo, TlsStream};
use transport_ws::WsStream;

use crate::probe::Probe;
use crate::probe::advice::{self, Advise, Said};
use crate::probe::report::{Fault, Report, Times};
use crate::timeline::{chain, short};

/// How long a goodbye may take.
const GOODBYE: Duration = Duration::from_millis(200);

/// What TLS within a connection agreed on.
pub(crate) trait Session {
    /// Nothing without TLS.
    fn session(&self) -> Option<SessionInfo>;
}

impl Session for TcpStream {
    fn session(&self) -> Option<SessionInfo> {
        None
    }
}

#[cfg(unix)]
impl Session for tokio::net::UnixStream {
    fn session(&self) -> Option<SessionInfo> {
        None
    }
}

impl<S> Session for TlsStream<S> {
    fn session(&self) -> Option<SessionInfo> {
        Some(Self::session(self))
    }
}

impl<S: Session + AsyncRead + AsyncWrite + Unpin> Session for WsStream<S> {
    fn session(&self) -> Option<SessionInfo> {
        self.get_ref().session()
    }
}

/// How a server is looked at.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Glance {
    /// For each dial.
    pub(crate) deadline: Duration,
    /// How long a server may speak after the dial: tickets, a refusal of the client's certificate, a close.
    /// A far server has twice the time of its connect on top.
    pub(crate) listening: Duration,
    pub(crate) said: Said,
}

/// Dials once, listens for a moment, and with TLS dials again.
pub(crate) async fn look<D>(dialer: &D, to: &Target, how: Glance) -> Report
where
    D: Dial,
    D::Conn: Session + AsyncRead + AsyncWrite + Unpin,
    D::Error: Advise,
{
    let first = dial(dialer, to, how).await;
    let mut report = Report::new(to, first.times, first.address);
    let mut conn = match first.ended {
        Ok(conn) => conn,
        Err(fault) => {
            report.fault = Some(*fault);
            return report;
        }
    };
    report.session = conn.session();
    let near = report.times.of(Phase::Connect).unwrap_or_default();
    if let Err(fault) = listen(&mut conn, how.listening + near * 2, how.said).await {
        report.fault = Some(fault);
        return report;
    }
    let _ = timeout(GOODBYE, conn.shutdown()).await;
    drop(conn);
    if report.session.is_some() {
        again(dialer, to, how, &mut report).await;
    }
    report
}

/// The second dial, for its handshake.
async fn again<D>(dialer: &D, to: &Target, how: Glance, report: &mut Report)
where
    D: Dial,
    D::Conn: Session + AsyncRead + AsyncWrite + Unpin,
    D::Error: Advise,
{
    let second = dial(dialer, to, how).await;
    match second.ended {
        Err(fault) => {
            report.fault = Some(Fault {
                error: format!("the second dial failed: {}", fault.error),
                ..*fault
            });
        }
        Ok(mut conn) => {
            let handshake = conn.session().and_then(|session| session.handshake);
            if handshake == Some(HandshakeKind::Resumed) {
                report.resumed = second.times.of(Phase::Tls);
            }
            let _ = timeout(GOODBYE, conn.shutdown()).await;
        }
    }
}

struct Dialled<T> {
    ended: Result<T, Box<Fault>>,
    times: Times,
    address: Option<SocketAddr>,
}

async fn dial<D>(dialer: &D, to: &Target, how: Glance) -> Dialled<D::Conn>
where
    D: Dial,
    D::Error: Advise,
{
    let Glance { deadline, said, .. } = how;
    let clock = TokioClock::new();
    let end = clock.now() + deadline;
    let now = Arc::new(move || clock.now());
    let cx = DialContext::new(AttemptId::new(1), 1, Purpose::First, end, now);
    let ended = timeout(deadline, dialer.dial(to, &cx)).await;
    let times = Times::of_trail(cx.trail(), clock.now());
    let ended = match ended {
        Ok(Ok(conn)) => Ok(conn),
        Ok(Err(error)) => Err(Box::new(Fault {
            failure: error.failure(),
            error: chain(&error),
            advice: error.advice(said),
            certificate: error.certificate().cloned(),
        })),
        Err(_) => Err(Box::new(late(cx.trail().phase(), deadline))),
    };
    Dialled {
        ended,
        times,
        address: cx.trail().address(),
    }
}

fn late(phase: Option<Phase>, deadline: Duration) -> Fault {
    let phase = phase.unwrap_or(Phase::Connect);
    Fault {
        failure: Failure::new(Kind::Timeout).at(phase),
        error: format!("no answer within {deadline:?}, in {phase}"),
        advice: Some(advice::of_silence(phase).to_string()),
        certificate: None,
    }
}

/// A server that closes at once is up and of no use; with TLS 1.3, a refused client hears it only now.
async fn listen(
    conn: &mut (impl AsyncRead + Unpin),
    most: Duration,
    said: Said,
) -> Result<(), Fault> {
    let began = Instant::now();
    let (failure, error) = match timeout(most, conn.read(&mut [0; 1024])).await {
        Err(_) | Ok(Ok(1..)) => return Ok(()),
        Ok(Ok(0)) => (
            Failure::new(Kind::Closed),
            match began.elapsed() {
                passed if passed <= Probe::LISTENING => {
                    "the server accepts, and closes at once".to_string()
                }
                passed => format!("the server accepts, and closes after {}", short(passed)),
            },
        ),
        Ok(Err(error)) => (
            Failure::from_io(&error),
            format!("the server accepts, and then: {}", chain(&error)),
        ),
    };
    Err(Fault {
        failure: failure.at(failure.phase.unwrap_or(Phase::Session)),
        error,
        advice: Some(advice::of_an_end(failure.kind, said)),
        certificate: None,
    })
}

/// The system's resolver, which notes what it found.
#[derive(Clone, Default)]
pub(crate) struct Addresses(Arc<Mutex<Vec<SocketAddr>>>);

impl Addresses {
    pub(crate) fn take(&self) -> Vec<SocketAddr> {
        // Nothing in a list can be half done.
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Resolve for Addresses {
    fn resolve<'a>(&'a self, host: &'a str, port: u16) -> Resolving<'a> {
        Box::pin(async move {
            let found = SystemResolver.resolve(host, port).await?;
            let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            kept.clone_from(&found);
            Ok(found)
        })
    }
}

impl fmt::Debug for Addresses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Addresses")
    }
}
