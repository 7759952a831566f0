//! `option=value`, one a line: nats.go and Diffusion.

use std::time::Duration;

use failover_core::config::parse_duration;
use failover_core::directory::{Url, UrlError};
use failover_core::policy::CustomDelay;
use failover_core::preset::{DiffusionFailover, DiffusionReconnect, Nats, PresetName};

use crate::migrate::{Draft, MigrateError};

/// One line.
struct Line<'a> {
    number: usize,
    name: &'a str,
    value: &'a str,
}

/// Lines of `name=value` or `name: value`; empty ones and `#` comments are left out.
fn lines(text: &str) -> Result<Vec<Line<'_>>, MigrateError> {
    let mut lines: Vec<Line<'_>> = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let Some((name, value)) = line.split_once('=') else {
            let problem = "write `option=value`, one a line";
            return Err(MigrateError::input(format!("line {number}"), problem));
        };
        let (name, value) = (name.trim(), value.trim().trim_matches('"'));
        if let Some(twice) = lines.iter().find(|known| known.name == name) {
            let name = shown(name);
            let problem = format!("`{name}` stands in line {} already", twice.number);
            return Err(MigrateError::input(format!("line {number}"), problem));
        }
        lines.push(Line {
            number,
            name,
            value,
        });
    }
    Ok(lines)
}

/// A URL where the name of an option is expected may hold a password.
fn shown(name: &str) -> &str {
    match name.contains(['@', ':', '/']) {
        true => "***",
        false => name,
    }
}

impl Line<'_> {
    fn wrong(&self, right: &str) -> MigrateError {
        let problem = format!("`{}` must be {right}", self.name);
        MigrateError::input(format!("line {}", self.number), problem)
    }

    fn unknown(&self, known: &str) -> MigrateError {
        let name = shown(self.name);
        let problem = format!("there is no option `{name}` here: known are {known}");
        MigrateError::input(format!("line {}", self.number), problem)
    }

    fn truth(&self) -> Result<bool, MigrateError> {
        let truth = self.value.parse();
        truth.map_err(|_| self.wrong("true or false"))
    }

    fn whole<N: std::str::FromStr>(&self) -> Result<N, MigrateError> {
        let number = self.value.parse();
        number.map_err(|_| self.wrong("a whole number"))
    }

    fn duration(&self) -> Result<Duration, MigrateError> {
        let duration = parse_duration(self.value);
        duration.map_err(|_| self.wrong("a duration with its unit, such as 250ms, 2s or 2m"))
    }

    /// Zero for what is below it, too.
    fn interval(&self) -> Result<Duration, MigrateError> {
        match self.value.strip_prefix('-') {
            None if self.value == "0" => Ok(Duration::ZERO),
            None => self.duration(),
            Some("1") => Ok(Duration::ZERO),
            Some(below) => match parse_duration(below) {
                Ok(_) => Ok(Duration::ZERO),
                Err(_) => self.duration(),
            },
        }
    }

    fn millis(&self) -> Result<Duration, MigrateError> {
        self.whole().map(Duration::from_millis)
    }

    fn urls(&self, scheme: &str) -> Result<Vec<Url>, MigrateError> {
        let credentials = self.value.contains('@');
        let urls = self.value.split(',').map(str::trim);
        let urls = urls.map(|url| {
            let read: Result<Url, UrlError> = match url.contains("://") {
                true => url.parse(),
                false => format!("{scheme}://{url}").parse(),
            };
            // A comma within a password has cut it into two URLs.
            read.map_err(|error| match credentials && !url.contains('@') {
                true => error.without_text(),
                false => error,
            })
        });
        Ok(urls.collect::<Result<_, _>>()?)
    }
}

const NATS: &str = "Servers, NoRandomize, AllowReconnect, MaxReconnect, ReconnectWait, ReconnectJitter, ReconnectJitterTLS, ReconnectJitterMax, CustomReconnectDelayCB, Timeout, RetryOnFailedConnect, PingInterval, MaxPingsOut, ReconnectBufSize";

pub(super) fn nats(text: &str) -> Result<Draft, MigrateError> {
    let mut to = Nats::default();
    let (mut servers, mut notes, mut cap) = (Vec::new(), Vec::new(), None);
    for line in lines(text)? {
        match line.name {
            "Url" | "Servers" => servers.extend(line.urls("nats")?),
            "NoRandomize" => to.no_randomize = line.truth()?,
            "AllowReconnect" => to.allow_reconnect = line.truth()?,
            "MaxReconnect" | "MaxReconnects" => to.max_reconnect = line.whole()?,
            "ReconnectWait" => to.reconnect_wait = line.duration()?,
            "ReconnectJitter" => to.reconnect_jitter = line.duration()?,
            "ReconnectJitterTLS" => to.reconnect_jitter_tls = line.duration()?,
            "ReconnectJitterMax" => cap = Some(line.duration()?),
            "CustomReconnectDelayCB" => {
                to.custom_reconnect_delay = CustomDelay::Unbounded;
                notes.push(
                    "CustomReconnectDelayCB: register your callback as the delay hook".to_string(),
                );
            }
            "Timeout" => to.timeout = line.duration()?,
            "RetryOnFailedConnect" => to.retry_on_failed_connect = line.truth()?,
            "PingInterval" => to.ping_interval = line.interval()?,
            // 0 is the default, in nats.go; below, it takes every connection for stale.
            "MaxPingsOut" if line.value == "0" => to.max_pings_out = Nats::default().max_pings_out,
            "MaxPingsOut" => {
                let number = line.value.parse();
                to.max_pings_out = number.map_err(|_| {
                    line.wrong("a whole number, 0 (the default) or more: below, nats.go takes every connection for stale")
                })?;
            }
            "ReconnectBufSize" => to.reconnect_buf_size = line.whole()?,
            "FlusherTimeout" | "DrainTimeout" | "SubChanLen" | "Verbose" | "Pedantic" | "Name"
            | "NoEcho" | "UseOldRequestStyle" | "Compression" | "InboxPrefix" => {
                notes.push(format!("{}: of the protocol, no equal", line.name));
            }
            "User" | "Password" | "Token" | "Nkey" | "TLSConfig" | "Secure" | "RootCAs" => {
                notes.push(format!(
                    "{}: credentials and TLS belong to the transport, not to the policy",
                    line.name
                ));
            }
            _ => return Err(line.unknown(NATS)),
        }
    }
    named(&servers, "Servers=nats://host:4222")?;
    if let Some(most) = cap {
        let widest = to.reconnect_jitter.max(to.reconnect_jitter_tls);
        if most < widest {
            to.reconnect_jitter = to.reconnect_jitter.min(most);
            to.reconnect_jitter_tls = to.reconnect_jitter_tls.min(most);
        }
        notes.push(
            "ReconnectJitterMax: never existed in nats.go; here it bounds both jitters".into(),
        );
    }
    if servers.iter().any(|server| server.scheme() == "tls") {
        notes.push("tls://: a NATS server begins TLS after its first line; only a NATS client can dial it so, `cat`, `probe` and `bridge` cannot".into());
    }
    if to.retry_on_failed_connect {
        notes.push("RetryOnFailedConnect: the connector goes on with the first connect; it hands out no connection meanwhile".into());
    }
    let mut draft = Draft::of(PresetName::Nats, to.preset()?, &servers)?;
    notes.into_iter().for_each(|note| draft.note(note));
    Ok(draft)
}

fn named(servers: &[Url], such_as: &str) -> Result<(), MigrateError> {
    match servers {
        [] => {
            let problem = format!("there is none: write `{such_as}`");
            Err(MigrateError::input("servers", problem))
        }
        _ => Ok(()),
    }
}

const DIFFUSION: &str = "servers, reconnect.timeout, reconnect.interval, connectionTimeout, retry.attempts, retry.interval, autofailover, cascading, loadBalancing, recoveryBufferSize (times in milliseconds)";

pub(super) fn diffusion(text: &str) -> Result<Draft, MigrateError> {
    let mut stay = DiffusionReconnect::default();
    let mut go = DiffusionFailover {
        autofailover: false,
        cascading: false,
        ..DiffusionFailover::default()
    };
    let (mut servers, mut retries, mut reconnects) = (Vec::new(), 0, false);
    for line in lines(text)? {
        match line.name {
            "servers" | "url" | "host" => servers.extend(line.urls("tcp")?),
            "reconnect.timeout" => {
                stay.timeout = line.millis()?;
                reconnects = !stay.timeout.is_zero();
            }
            "reconnect.interval" => stay.interval = line.millis()?,
            "connectionTimeout" => {
                stay.connection_timeout = line.millis()?;
                go.connection_timeout = stay.connection_timeout;
            }
            "retry.attempts" => retries = line.whole()?,
            "retry.interval" => stay.retry_interval = line.millis()?,
            "autofailover" => go.autofailover = line.truth()?,
            "cascading" => go.cascading = line.truth()?,
            "loadBalancing" => go.load_balancing = line.truth()?,
            "recoveryBufferSize" => stay.recovery_buffer = line.whole()?,
            _ => return Err(line.unknown(DIFFUSION)),
        }
    }
    named(&servers, "servers=tcp://host:port")?;
    stay.retry_attempts = retries;
    go.retry_attempts = retries;
    if !go.autofailover {
        let mut draft = Draft::of(PresetName::DiffusionReconnect, stay.preset()?, &servers)?;
        if go.cascading || go.load_balancing {
            draft.note(
                "cascading, loadBalancing: they belong to autofailover, which is off: left out",
            );
        }
        return Ok(draft);
    }
    let mut draft = Draft::of(PresetName::DiffusionFailover, go.preset()?, &servers)?;
    if reconnects {
        let same = stay.preset()?;
        let policy = draft.preset.policy.to_builder();
        draft.preset.policy = policy.resume(same.policy.resume()).build()?;
        draft.preset.link = same.link;
        draft.note("reconnect with autofailover: as the C client does, the same server until the window ends, then the next");
    }
    if !stay.retry_interval.is_zero() {
        draft.note("retry.interval: between passes our default waits");
    }
    Ok(draft)
}
