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
use transport_tls::{Tls, TlsClient};
use transport_ws::Ws;

pub use self::report::{Fault, Report, Times, Verdict, table};

use self::look::{Addresses, look};
use crate::timeline::chain;

/// Dials servers to see how they are.
#[derive(Clone)]
pub struct Probe {
    tls: TlsClient,
    deadline: Duration,
    expiring: u32,
}

impl Probe {
    /// How many servers are dialled at a time.
    pub const AT_ONCE: usize = 8;
    /// Below how many days a certificate is warned of, unless told otherwise.
    pub const EXPIRING: u32 = 14;

    /// A probe with this TLS client, five seconds for each dial.
    #[must_use]
    pub fn new(tls: TlsClient) -> Self {
        Self {
            tls,
            deadline: Duration::from_secs(5),
            expiring: Self::EXPIRING,
        }
    }

    /// The same with this deadline for each dial, where an endpoint has none of its own.
    #[must_use]
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
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
        let (tcp, tls) = (Tcp::new(), Tls::new(Tcp::new(), self.tls.clone()));
        let checked = match to.url().scheme() {
            "tcp" => tcp.check(to).map_err(|error| chain(&error)),
            "tls" => tls.check(to).map_err(|error| chain(&error)),
            "ws" => Ws::new(tcp).check(to).map_err(|error| chain(&error)),
            "wss" => Ws::new(tls).check(to).map_err(|error| chain(&error)),
            scheme => Err(format!(
                "no transport for scheme `{scheme}`: known are tcp, tls, ws, wss"
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

    /// Each target has a resolver of its own, which notes what it found.
    async fn one(&self, to: &Target) -> Report {
        let found = Addresses::default();
        let tcp = Tcp::new().resolver(found.clone());
        let tls = Tls::new(tcp.clone(), self.tls.clone());
        let deadline = to.endpoint().overrides().deadline.unwrap_or(self.deadline);
        let mut report = match to.url().scheme() {
            "tls" => look(&tls, to, deadline).await,
            "ws" => look(&Ws::new(tcp), to, deadline).await,
            "wss" => look(&Ws::new(tls), to, deadline).await,
            _ => look(&tcp, to, deadline).await,
        };
        let resolved = found.take();
        if !resolved.is_empty() {
            report.addresses = resolved;
        }
        report.judge(SystemTime::now(), self.expiring);
        report
    }
}
