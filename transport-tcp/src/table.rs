//! The TCP table of a deployment's file.

use std::net::IpAddr;

use failover_core::config::{Keyed, SecretError, SecretForm, Span, Switch};
use failover_core::race::{Race, RaceError, Stagger};
use serde::{Deserialize, Deserializer};
use thiserror::Error;

use crate::options::{KeepAlive, TcpOptions};
use crate::proxy::{Proxies, Proxy, ProxyUrlError};

/// What a deployment's file says about TCP: for all endpoints, or for one of them. Every key may be
/// left out, unknown ones are refused.
///
/// | key | for one endpoint, too | value |
/// |---|---|---|
/// | `nodelay` | yes | `false` turns Nagle's algorithm on |
/// | `keepalive` | yes | `{ idle, interval, probes }`, or `"off"` |
/// | `user_timeout` | yes | a duration; Linux only |
/// | `local_address` | yes | an IP address |
/// | `interface` | yes | a name; Linux only |
/// | `receive_buffer`, `send_buffer` | yes | bytes |
/// | `proxy` | yes | a URL without login, `{ env = "NAME" }` or `{ file = "path" }` that hold a URL (with a login, if need be), `"environment"`, or `"off"` |
/// | `no_proxy` | yes | what is reached directly, as in `NO_PROXY`; beside `proxy` |
/// | `stagger` | | the time between two starts of a race of addresses |
///
/// ```
/// use transport_tcp::{TcpOptions, TcpTable};
///
/// let table: TcpTable = serde_json::from_str(
///     r#"{"keepalive": {"idle": "10s"}, "proxy": "socks5://gate.example"}"#,
/// )?;
/// let options = table.options(TcpOptions::new())?;
/// let proxies = table.proxies()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(remote = "Self", default)]
#[non_exhaustive]
pub struct TcpTable {
    /// Whether small writes go out at once.
    pub nodelay: Option<bool>,
    /// When a silent connection is probed, or off.
    pub keepalive: Option<Switch<KeepAliveForm>>,
    /// How long what was sent may stay unacknowledged.
    pub user_timeout: Option<Span>,
    /// The address to connect from.
    pub local_address: Option<IpAddr>,
    /// The network interface to use.
    pub interface: Option<String>,
    /// The size of the receive buffer, in bytes.
    pub receive_buffer: Option<usize>,
    /// The size of the send buffer, in bytes.
    pub send_buffer: Option<usize>,
    /// The way to the target: a URL without login, `environment`, `off`, or where a URL is to be
    /// read when the table becomes [`Proxies`].
    pub proxy: Option<SecretForm>,
    /// What is reached directly.
    pub no_proxy: Option<String>,
    /// The time between two starts in a race of addresses.
    pub stagger: Option<Span>,
}

/// `{ idle = "30s", interval = "10s", probes = 3 }`; what is left out is as in
/// [`KeepAlive::DEFAULT`].
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(remote = "Self", default)]
#[non_exhaustive]
pub struct KeepAliveForm {
    /// The silence before the first probe.
    pub idle: Option<Span>,
    /// The time between two probes.
    pub interval: Option<Span>,
    /// How many stay unanswered before the connection ends.
    pub probes: Option<u32>,
}

impl<'de> Deserialize<'de> for TcpTable {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        Self::deserialize(Keyed(from))
    }
}

impl<'de> Deserialize<'de> for KeepAliveForm {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        Self::deserialize(Keyed(from))
    }
}

/// Why a table cannot be used. Logins are never shown.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum TableError {
    /// The value cannot be.
    #[error("tcp.{key}: it is 0, and must be above: leave it out for the system's choice")]
    Zero {
        /// The key.
        key: &'static str,
    },
    /// Only Linux and its kin have it.
    #[error("tcp.{key}: this system has no such thing: leave it out")]
    NotHere {
        /// The key.
        key: &'static str,
    },
    /// The stagger is out of bounds.
    #[error("tcp.stagger: {0}")]
    Stagger(#[from] RaceError),
    /// A login stands in the file itself.
    #[error(
        "tcp.proxy: a login does not belong in this file: write `{{ env = \"NAME\" }}` or `{{ file = \"path\" }}`, which hold the whole URL"
    )]
    LoginInClear,
    /// There is no proxy beside the exceptions.
    #[error("tcp.no_proxy: there is no `proxy` beside it to be left out: write both, or neither")]
    NoProxy,
    /// It is not a proxy's URL.
    #[error("tcp.proxy: {0}")]
    Proxy(#[from] ProxyUrlError),
    /// Where its URL should be, it cannot be read.
    #[error("tcp.proxy: {0}")]
    Secret(#[from] SecretError),
}

impl TcpTable {
    /// These options with what the table says otherwise.
    ///
    /// # Errors
    /// When a size, a time or a count is 0, or when this system lacks what a key asks for.
    pub fn options(&self, base: TcpOptions) -> Result<TcpOptions, TableError> {
        let mut options = base;
        options = match self.nodelay {
            Some(true) => options.without_nagle(),
            Some(false) => options.with_nagle(),
            None => options,
        };
        options = match &self.keepalive {
            Some(Switch::Off) => options.without_keepalive(),
            Some(Switch::On(form)) => options.keepalive(form.keepalive()?),
            None => options,
        };
        if let Some(address) = self.local_address {
            options = options.local_address(address);
        }
        if let Some(bytes) = above_zero("receive_buffer", self.receive_buffer)? {
            options = options.receive_buffer(bytes);
        }
        if let Some(bytes) = above_zero("send_buffer", self.send_buffer)? {
            options = options.send_buffer(bytes);
        }
        self.linux_options(options)
    }

    #[cfg(any(target_os = "linux", target_os = "android", target_os = "fuchsia"))]
    fn linux_options(&self, mut options: TcpOptions) -> Result<TcpOptions, TableError> {
        if let Some(Span(after)) = above_zero("user_timeout", self.user_timeout)? {
            options = options.user_timeout(after);
        }
        if let Some(name) = &self.interface {
            options = options.interface(name.as_str());
        }
        Ok(options)
    }

    #[cfg(not(any(target_os = "linux", target_os = "android", target_os = "fuchsia")))]
    fn linux_options(&self, options: TcpOptions) -> Result<TcpOptions, TableError> {
        let key = match (&self.user_timeout, &self.interface) {
            (Some(_), _) => "user_timeout",
            (None, Some(_)) => "interface",
            (None, None) => return Ok(options),
        };
        Err(TableError::NotHere { key })
    }

    /// The proxies, if the table speaks of them. Reads the environment or a file where it says so.
    ///
    /// # Errors
    /// When what is read cannot be, or is not a proxy's URL; when a login stands in the table.
    pub fn proxies(&self) -> Result<Option<Proxies>, TableError> {
        let Some(form) = &self.proxy else {
            return match self.no_proxy {
                Some(_) => Err(TableError::NoProxy),
                None => Ok(None),
            };
        };
        let except = self.no_proxy.as_deref().unwrap_or_default();
        Ok(Some(proxies(form)?.except(except)))
    }

    /// The race of a name's addresses, if the table speaks of it.
    ///
    /// # Errors
    /// When the stagger is out of its bounds.
    pub fn race(&self) -> Result<Option<Race>, TableError> {
        let race = |Span(stagger)| Race::new(Race::default().most(), Stagger::Fixed(stagger));
        Ok(self.stagger.map(race).transpose()?)
    }
}

impl KeepAliveForm {
    fn keepalive(&self) -> Result<KeepAlive, TableError> {
        let mut keepalive = KeepAlive::DEFAULT;
        if let Some(Span(idle)) = above_zero("keepalive.idle", self.idle)? {
            keepalive = KeepAlive::after(idle);
        }
        if let Some(Span(interval)) = above_zero("keepalive.interval", self.interval)? {
            keepalive = keepalive.every(interval);
        }
        if let Some(probes) = above_zero("keepalive.probes", self.probes)? {
            keepalive = keepalive.probes(probes);
        }
        Ok(keepalive)
    }
}

fn proxies(form: &SecretForm) -> Result<Proxies, TableError> {
    if let SecretForm::Text(text) = form {
        match text.expose() {
            "off" => return Ok(Proxies::none()),
            "environment" => return Ok(Proxies::from_env()?),
            url if url.contains('@') => return Err(TableError::LoginInClear),
            _ => {}
        }
    }
    let proxy: Proxy = form.read()?.expose().trim().parse()?;
    Ok(Proxies::all(proxy))
}

/// What has a zero that makes no sense.
trait Zero {
    const ZERO: Self;
}

impl Zero for usize {
    const ZERO: Self = 0;
}

impl Zero for u32 {
    const ZERO: Self = 0;
}

impl Zero for Span {
    const ZERO: Self = Self(std::time::Duration::ZERO);
}

fn above_zero<T: Zero + PartialEq>(
    key: &'static str,
    value: Option<T>,
) -> Result<Option<T>, TableError> {
    if value == Some(T::ZERO) {
        return Err(TableError::Zero { key });
    }
    Ok(value)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;
    use std::{env, fs};

    use super::*;

    fn table(text: &str) -> TcpTable {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn each_key_reaches_the_options_and_beats_the_base() {
        let all = table(
            r#"{"nodelay": false, "keepalive": {"idle": "10s", "interval": "2s", "probes": 4},
                "user_timeout": "20s", "local_address": "127.0.0.1", "interface": "lo",
                "receive_buffer": 4096, "send_buffer": 8192, "stagger": "100ms"}"#,
        );
        let seconds = Duration::from_secs;
        let expected = TcpOptions::new()
            .with_nagle()
            .keepalive(KeepAlive::after(seconds(10)).every(seconds(2)).probes(4))
            .user_timeout(seconds(20))
            .local_address("127.0.0.1".parse().unwrap())
            .interface("lo")
            .receive_buffer(4096)
            .send_buffer(8192);
        assert_eq!(all.options(TcpOptions::new()).unwrap(), expected);
        assert_eq!(
            TcpTable::default().options(expected.clone()).unwrap(),
            expected
        );
        let back = table(r#"{"nodelay": true, "keepalive": "off"}"#);
        let back = back.options(TcpOptions::new().with_nagle()).unwrap();
        assert_eq!(back, TcpOptions::new().without_keepalive());
        let stagger = all.race().unwrap().unwrap().stagger();
        assert_eq!(stagger, Stagger::Fixed(Duration::from_millis(100)));
    }

    #[test]
    fn a_proxy_is_named_read_from_a_file_or_off() {
        let proxies = |text: &str| table(text).proxies().unwrap();
        let gate: Proxy = "socks5://gate".parse().unwrap();
        assert_eq!(proxies("{}"), None);
        assert_eq!(proxies(r#"{"proxy": "off"}"#), Some(Proxies::none()));
        assert_eq!(
            proxies(r#"{"proxy": "socks5://gate", "no_proxy": ".corp"}"#),
            Some(Proxies::all(gate).except(".corp"))
        );
        let file = env::temp_dir().join(format!("tcp-table-{}", std::process::id()));
        fs::write(&file, "http://joe:hunter2@gate\n").unwrap();
        let text = serde_json::json!({"proxy": {"file": file}}).to_string();
        let read = proxies(&text);
        fs::remove_file(&file).unwrap();
        let login: Proxy = "http://joe:hunter2@gate".parse().unwrap();
        assert_eq!(read, Some(Proxies::all(login)));
    }

    #[test]
    fn mistakes_are_named_and_show_no_password() {
        for (text, told) in [
            (r#"{"proxy": "http://joe:hunter2@gate"}"#, "does not belong"),
            (r#"{"proxy": "ftp://gate"}"#, "not `ftp:`"),
            (r#"{"proxy": {"env": "NO SUCH VARIABLE"}}"#, "is not set"),
            (r#"{"proxy": {"file": "/no/such/file"}}"#, "/no/such/file"),
            (r#"{"no_proxy": "localhost"}"#, "write both"),
            (r#"{"receive_buffer": 0}"#, "tcp.receive_buffer"),
            (r#"{"keepalive": {"probes": 0}}"#, "tcp.keepalive.probes"),
            (r#"{"stagger": "1ms"}"#, "tcp.stagger"),
        ] {
            let table = table(text);
            let options = table.options(TcpOptions::new()).map(drop);
            let checked = options.and(table.proxies().map(drop));
            let error = checked.and(table.race().map(drop)).unwrap_err();
            let shown = format!("{error} {error:?} {table:?}");
            assert!(shown.contains(told), "{text}: {shown}");
            assert!(!shown.contains("hunter2"), "{text}: {shown}");
        }
        let typo = serde_json::from_str::<TcpTable>(r#"{"keepalife": "off"}"#).unwrap_err();
        assert!(
            typo.to_string().contains("did you mean `keepalive`?"),
            "{typo}"
        );
        let secret = r#"{"receive_buffer": "joe:hunter2@gate"}"#;
        let error = serde_json::from_str::<TcpTable>(secret).unwrap_err();
        assert!(!error.to_string().contains("hunter2"), "{error}");
    }
}
