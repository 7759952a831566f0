//! `failover probe`: what is found when each server is dialled once.
//!
//! No policy, no retry, no connector: the transports alone, on a real clock, with the breadcrumbs that
//! each dial leaves. TLS servers are dialled twice, so that a resumed handshake is seen.

mod advice;
mod look;
mod report;

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use failover_core::dial::Dial;
use failover_core::directory::Target;
use tokio::task::JoinSet;
use transport_tcp::Tcp;
#[cfg(unix)]
use transport_tcp::Unix;
use transport_tls::{Alpn, Tls, TlsClient, TlsConfig};
use transport_ws::deploy::{Tables, TablesError};
use transport_ws::{Ws, WsConfig};

pub use self::report::{Fault, Report, Times, Verdict, table};

use self::advice::Said;
use self::look::{Addresses, Glance, look};
use crate::timeline::chain;

#[cfg(unix)]
const SCHEMES: &str = "tcp, tls, unix, ws, wss";
#[cfg(not(unix))]
const SCHEMES: &str = "tcp, tls, ws, wss";

/// Dials servers to see how they are.
#[derive(Clone)]
pub struct Probe {
    tcp: Tcp,
    tls: TlsClient,
    ws: WsConfig,
    said: Said,
    deadline: Duration,
    listening: Duration,
    alpn: Offer,
    expiring: u32,
}

/// What servers are offered by ALPN, where an endpoint does not say it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Offer {
    Nothing,
    Protocols,
}

impl Probe {
    /// How many servers are dialled at a time.
    pub const AT_ONCE: usize = 8;
    /// Below how many days a certificate is warned of, unless told otherwise.
    pub const EXPIRING: u32 = 14;

    /// How long a server is listened to after its dial, unless told otherwise.
    pub const LISTENING: Duration = Duration::from_millis(200);

    /// A probe with this TLS client, five seconds for each dial.
    #[must_use]
    pub fn new(tls: TlsClient) -> Self {
        Self {
            tcp: Tcp::new(),
            tls,
            ws: WsConfig::default(),
            said: Said::Flags,
            deadline: Duration::from_secs(5),
            listening: Self::LISTENING,
            alpn: Offer::Nothing,
            expiring: Self::EXPIRING,
        }
    }

    /// A probe whose transports are as these default tables of a deployment say. What an endpoint has of
    /// its own is in its options ([`endpoints`](transport_ws::deploy::endpoints)) and beats them.
    ///
    /// # Errors
    /// A table cannot be used, or a file that it names.
    pub fn deployed(tables: &Tables) -> Result<Self, TablesError> {
        Ok(Self {
            tcp: tables.tcp()?,
            ws: tables.ws()?,
            said: Said::File,
            alpn: match tables.tls.alpn()? {
                Some(_) => Offer::Protocols,
                None => Offer::Nothing,
            },
            ..Self::new(tables.tls.client(TlsConfig::new())?)
        })
    }

    /// The same with this deadline for each dial, where an endpoint has none of its own.
    #[must_use]
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// The same, listening to each server for so long after its dial: one that closes meanwhile is bad. A far
    /// server has twice the time of its connect on top.
    #[must_use]
    pub fn listening(mut self, time: Duration) -> Self {
        self.listening = time;
        self
    }

    /// The same, warning of certificates that are good for no more than so many days.
    #[must_use]
    pub fn expiring(mut self, days: u32) -> Self {
        self.expiring = days;
        self
    }

    /// Checks a target without dialling it.
    ///
    /// # Errors
    /// What is wrong with its URL, and what would be right.
    pub fn check(&self, to: &Target) -> Result<(), String> {
        let tcp = self.tcp.clone();
        let tls = Tls::new(tcp.clone(), self.tls.clone());
        let checked = match to.url().scheme() {
            "tcp" => tcp.check(to).map_err(|error| chain(&error)),
            "tls" => tls.check(to).map_err(|error| chain(&error)),
            "ws" => Ws::new(tcp).check(to).map_err(|error| chain(&error)),
            "wss" => Ws::new(tls).check(to).map_err(|error| chain(&error)),
            #[cfg(unix)]
            "unix" => Unix.check(to).map_err(|error| chain(&error)),
            scheme => Err(format!(
                "no transport for scheme `{scheme}`: known are {SCHEMES}"
            )),
        };
        checked.map_err(|text| format!("endpoint `{}`: {text}", to.endpoint().name()))
    }

    /// Dials all targets, [`AT_ONCE`](Self::AT_ONCE) at a time, and tells each report as soon as there is
    /// one. The reports come back in the order of the targets.
    ///
    /// # Cancel safety
    /// Dropping it closes every connection.
    pub async fn run(&self, targets: Vec<Target>, mut told: impl FnMut(&Report)) -> Vec<Report> {
        // Not within the first handshake, which is timed. What is wrong is told there.
        let is_tls = |to: &Target| ["tls", "wss"].contains(&to.url().scheme());
        if targets.iter().any(is_tls) {
            let _ = self.tls.load().await;
        }
        let mut waiting = targets.into_iter().enumerate();
        let mut running = JoinSet::new();
        let mut reports = BTreeMap::new();
        loop {
            while running.len() < Self::AT_ONCE {
                let Some((number, to)) = waiting.next() else {
                    break;
                };
                let probe = self.clone();
                running.spawn(async move { (number, probe.one(&to).await) });
            }
            match running.join_next().await {
                None => return reports.into_values().collect(),
                Some(Ok((number, report))) => {
                    told(&report);
                    reports.insert(number, report);
                }
                Some(Err(error)) => {
                    if let Ok(panic) = error.try_into_panic() {
                        std::panic::resume_unwind(panic);
                    }
                }
            }
        }
    }

    /// Each target has a resolver of its own, which notes what it found, and TLS sessions of its own: others
    /// may be of the same server, and its first handshake is to be a full one.
    async fn one(&self, to: &Target) -> Report {
        let found = Addresses::default();
        let tcp = self.tcp.clone().resolver(found.clone());
        let tls = Tls::new(tcp.clone(), self.tls.anew());
        let ws = self.ws.clone();
        let how = Glance {
            deadline: to.endpoint().overrides().deadline.unwrap_or(self.deadline),
            listening: self.listening,
            said: self.said,
        };
        let mut report = match to.url().scheme() {
            "tls" => look(&tls, to, how).await,
            "ws" => look(&Ws::new(tcp).config(ws), to, how).await,
            "wss" => look(&Ws::new(tls).config(ws), to, how).await,
            #[cfg(unix)]
            "unix" => look(&Unix, to, how).await,
            _ => look(&tcp, to, how).await,
        };
        let resolved = found.take();
        if !resolved.is_empty() {
            report.addresses = resolved;
        }
        if self.alpn == Offer::Protocols || to.option::<Alpn>().is_some() {
            report.note_alpn();
        }
        report.judge(SystemTime::now(), self.expiring);
        report
    }
}
