//! What was found, in words and as JSON.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use failover_core::dial::Trail;
use failover_core::directory::Target;
use failover_core::failure::{Failure, Phase};
use failover_core::time::Time;
use serde_json::{Value, json};
use transport_tls::rustls::HandshakeKind;
use transport_tls::{CertificateInfo, SessionInfo};

use crate::plural::counted;
use crate::timeline::{Table, millis, short};

const DAY: u64 = 86_400;

/// What was found at one server.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Report {
    /// The endpoint's name.
    pub name: String,
    /// The URL dialled, without credentials.
    pub url: String,
    /// What the name was resolved to; without a name, the address that was tried last. Of a server behind
    /// a proxy they are the proxy's.
    pub addresses: Vec<SocketAddr>,
    /// How long each phase of the dial took; the last one until it failed.
    pub times: Times,
    /// How long the resumed handshake of the second dial took; nothing if none was resumed.
    pub resumed: Option<Duration>,
    /// What TLS agreed on.
    pub session: Option<SessionInfo>,
    /// What is wrong.
    pub fault: Option<Fault>,
    /// For how many whole days the server's certificate is still good, by this machine's clock; below
    /// zero when it is no more.
    pub days_left: Option<i64>,
    /// How it is.
    pub verdict: Verdict,
    /// What is worth knowing or doing.
    pub advice: Vec<String>,
}

/// What is wrong with a server.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Fault {
    /// As the machine would know it.
    pub failure: Failure,
    /// The error with its causes.
    pub error: String,
    /// What to do.
    pub advice: Option<String>,
    /// The certificate that was refused.
    pub certificate: Option<CertificateInfo>,
}

/// How a server is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Verdict {
    /// It can be used.
    Good,
    /// It can be used, but not for long.
    Warning,
    /// It cannot be used.
    Bad,
}

impl Verdict {
    /// The word for tables and JSON lines.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Warning => "warning",
            Self::Bad => "bad",
        }
    }
}

/// How long each phase took.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Times(Vec<(Phase, Duration)>);

impl Times {
    /// From the breadcrumbs of a dial that ended at this time.
    #[must_use]
    pub fn of_trail(trail: &Trail, end: Time) -> Self {
        let entered = trail.phases();
        let ends = entered.iter().skip(1).map(|&(_, at)| at).chain([end]);
        let spans = entered.iter().zip(ends);
        Self(
            spans
                .map(|(&(phase, at), end)| (phase, end.since(at)))
                .collect(),
        )
    }

    /// How long this phase took, in all; nothing if it was not entered.
    #[must_use]
    pub fn of(&self, phase: Phase) -> Option<Duration> {
        let mut of_it = self.0.iter().filter(|(other, _)| *other == phase);
        let (_, first) = of_it.next()?;
        Some(of_it.fold(*first, |sum, (_, more)| sum + *more))
    }
}

impl Report {
    pub(crate) fn new(to: &Target, times: Times, address: Option<SocketAddr>) -> Self {
        Self {
            name: to.endpoint().name().to_string(),
            url: to.url().to_string(),
            addresses: address.into_iter().collect(),
            times,
            resumed: None,
            session: None,
            fault: None,
            days_left: None,
            verdict: Verdict::Good,
            advice: Vec::new(),
        }
    }

    /// Tells a server that was offered protocols by ALPN, and went on without one.
    pub(crate) fn note_alpn(&mut self) {
        if self
            .session
            .as_ref()
            .is_some_and(|session| session.alpn.is_none())
        {
            let told =
                "the server chose none of the protocols offered by ALPN, and goes on without";
            self.advice.push(told.to_string());
        }
    }

    /// Says how it is at this time, from what was found.
    pub(crate) fn judge(&mut self, now: SystemTime, expiring: u32) {
        self.days_left = self.certificate().map(|certificate| {
            let now = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
            let seconds = i128::from(certificate.not_after.as_secs()) - i128::from(now);
            i64::try_from(seconds.div_euclid(i128::from(DAY))).unwrap_or(i64::MAX)
        });
        if let Some(fault) = &self.fault {
            self.verdict = Verdict::Bad;
            self.advice.extend(fault.advice.clone());
            return;
        }
        if let Some(days) = self.days_left.filter(|days| *days <= i64::from(expiring)) {
            self.verdict = Verdict::Warning;
            self.advice.push(format!(
                "the certificate expires in {}: renew it",
                counted(days, "day")
            ));
        }
        let full = |session: &SessionInfo| session.handshake != Some(HandshakeKind::Resumed);
        if self.resumed.is_none() && self.session.as_ref().is_some_and(full) {
            let told = "sessions are not resumed: each reconnect costs a full handshake";
            self.advice.push(told.to_string());
        }
    }

    /// The server's own certificate, or the one that was refused.
    #[must_use]
    pub fn certificate(&self) -> Option<&CertificateInfo> {
        let refused = self
            .fault
            .as_ref()
            .and_then(|fault| fault.certificate.as_ref());
        let shown = self
            .session
            .as_ref()
            .and_then(|session| session.certificates.first());
        refused.or(shown)
    }

    /// One JSON object; what is not known is null.
    #[must_use]
    pub fn json(&self) -> Value {
        let of = |phase| self.times.of(phase).map(millis);
        let addresses: Vec<String> = self.addresses.iter().map(ToString::to_string).collect();
        let fault = self.fault.as_ref();
        json!({
            "event": "probe",
            "name": self.name,
            "url": self.url,
            "verdict": self.verdict.as_str(),
            "addresses": addresses,
            "resolve_ms": of(Phase::Resolve),
            "connect_ms": of(Phase::Connect),
            "proxy_ms": of(Phase::Proxy),
            "tls_ms": of(Phase::Tls),
            "tls_resumed_ms": self.resumed.map(millis),
            "upgrade_ms": of(Phase::Upgrade),
            "tls": self.session.as_ref().map(|session| json!({
                "version": session.version.map(|version| version.to_string()),
                "cipher": session.cipher,
                "key_exchange": session.key_exchange,
                "handshake": session.handshake.map(handshake),
                "alpn": session.alpn,
            })),
            "certificate": self.certificate().map(|certificate| json!({
                "subject": certificate.subject,
                "names": certificate.names,
                "issuer": certificate.issuer,
                "not_after": certificate.not_after.as_secs(),
                "days_left": self.days_left,
            })),
            "error": fault.map(|fault| &fault.error),
            "kind": fault.map(|fault| fault.failure.kind.as_str()),
            "phase": fault.and_then(|fault| fault.failure.phase).map(Phase::as_str),
            "advice": self.advice,
        })
    }

    /// What does not fit into the table, a line each.
    fn lines(&self) -> Vec<String> {
        let mut lines = Vec::new();
        if self.url != self.name {
            lines.push(self.url.clone());
        }
        if !self.addresses.is_empty() {
            let all: Vec<String> = self.addresses.iter().map(ToString::to_string).collect();
            let way = match self.times.of(Phase::Proxy) {
                Some(_) => "by the proxy at",
                None => "at",
            };
            lines.push(format!("{way} {}", all.join(", ")));
        }
        if let Some(session) = &self.session {
            let version = session.version.map(|version| version.to_string());
            let alpn = session.alpn.as_ref().map(|name| format!("ALPN {name}"));
            let cipher = session.cipher.map(str::to_string);
            let group = session.key_exchange.map(str::to_string);
            let parts = [version, cipher, group, alpn].into_iter().flatten();
            let parts: Vec<String> = parts.collect();
            lines.push(parts.join(", "));
        }
        if let (Some(certificate), Some(days)) = (self.certificate(), self.days_left) {
            let names = certificate.names.join(", ");
            let mut line = format!("certificate {certificate}");
            if !names.is_empty() {
                line.push_str(&format!(", for {names}"));
            }
            line.push_str(&match days {
                0.. => format!("; {} left", counted(days, "day")),
                _ => "; no days left".to_string(),
            });
            lines.push(line);
        }
        lines.extend(self.fault.as_ref().map(|fault| fault.error.clone()));
        lines.extend(self.advice.iter().map(|told| format!("-> {told}")));
        lines
    }
}

/// A table of times, and below it what was found at each server.
#[must_use]
pub fn table(reports: &[Report]) -> String {
    let timed = |phase| reports.iter().any(|one| one.times.of(phase).is_some());
    let mut columns = vec![("resolve", Phase::Resolve), ("connect", Phase::Connect)];
    if timed(Phase::Proxy) {
        columns.push(("proxy", Phase::Proxy));
    }
    columns.push(("tls", Phase::Tls));
    let headings = columns.iter().map(|(heading, _)| *heading);
    let mut table = Table::new(
        ["server", "verdict"]
            .into_iter()
            .chain(headings)
            .chain(["resumed", "upgrade"]),
    );
    for report in reports {
        let verdict = report.verdict.as_str().to_string();
        let times = columns
            .iter()
            .map(|(_, phase)| cell(report.times.of(*phase)));
        let rest = [cell(report.resumed), cell(report.times.of(Phase::Upgrade))];
        let server = [label(report, reports), verdict];
        table.row(server.into_iter().chain(times).chain(rest));
    }
    let mut text = table.to_string();
    for report in reports {
        // Writing to a `String` cannot fail.
        let _ = write!(text, "\n  {}\n", label(report, reports));
        for line in report.lines() {
            let _ = writeln!(text, "    {line}");
        }
    }
    let count = |verdict| reports.iter().filter(|one| one.verdict == verdict).count();
    let [good, warning, bad] = [Verdict::Good, Verdict::Warning, Verdict::Bad].map(count);
    let _ = writeln!(text, "\n  {good} good, {warning} with a warning, {bad} bad");
    text
}

/// Its name, and where several routes lead to a server, which one.
fn label(report: &Report, all: &[Report]) -> String {
    let is_alone = all.iter().filter(|other| other.name == report.name).count() == 1;
    match is_alone || report.name == report.url {
        true => report.name.clone(),
        false => format!("{} ({})", report.name, scheme(&report.url)),
    }
}

fn handshake(kind: HandshakeKind) -> &'static str {
    match kind {
        HandshakeKind::Full => "full",
        // Two round trips: the first offer of a key exchange did not suit the server.
        HandshakeKind::FullWithHelloRetryRequest => "full-with-retry",
        HandshakeKind::Resumed => "resumed",
    }
}

fn scheme(url: &str) -> &str {
    url.split(':').next().unwrap_or(url)
}

fn cell(time: Option<Duration>) -> String {
    time.map_or_else(|| "-".to_string(), short)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};

    use failover_core::attempt::{AttemptId, Purpose};
    use failover_core::dial::DialContext;

    use super::*;

    #[test]
    fn a_phase_lasts_until_the_next_and_the_last_until_the_end() {
        let time = Arc::new(AtomicU64::new(0));
        let told = Arc::clone(&time);
        let now = Arc::new(move || Time::from_nanos(told.load(Ordering::Relaxed)));
        let cx = DialContext::new(AttemptId::new(1), 1, Purpose::First, Time::MAX, now);
        for (at, phase) in [
            (0, Phase::Resolve),
            (5, Phase::Connect),
            (7, Phase::Resolve),
            (8, Phase::Connect),
        ] {
            time.store(at, Ordering::Relaxed);
            cx.enter(phase);
        }
        let times = Times::of_trail(cx.trail(), Time::from_nanos(18));
        assert_eq!(times.of(Phase::Resolve), Some(Duration::from_nanos(6)));
        assert_eq!(times.of(Phase::Connect), Some(Duration::from_nanos(12)));
        assert_eq!(times.of(Phase::Tls), None);
    }
}
