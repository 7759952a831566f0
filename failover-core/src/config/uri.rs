//! The `failover:` URI of the stompit and ActiveMQ family, and the plain comma list.

use core::fmt;
use core::str::FromStr;
use core::time::Duration;
use std::string::{String, ToString};
use std::vec::Vec;

use thiserror::Error;

use crate::config::{nearest, shown};
use crate::directory::{Url, UrlError};
use crate::policy::{Ratio, RatioError};
use crate::preset::{ActiveMq, Stompit};

/// Servers and options from `failover:(u1,u2)?option=value`, or from a plain list `u1,u2`.
///
/// Each server keeps its own query; `nested.*` options are added to the query of every server that
/// does not say otherwise. A composite within the list stands for its servers, and may have no
/// options of its own. `Display` hides credentials, [`expose`](Self::expose) prints all.
///
/// ```
/// use failover_core::config::FailoverUri;
///
/// let uri: FailoverUri = "failover:(tcp://a:61613,ssl://b:61614?trace=true)?maxReconnects=10".parse()?;
/// assert_eq!(uri.servers().len(), 2);
/// assert_eq!(uri.stompit()?.max_reconnects, 10);
///
/// let error = "failover:(tcp://a:1)?maxReconects=10".parse::<FailoverUri>()?.stompit().unwrap_err();
/// assert!(error.to_string().contains("did you mean `maxReconnects`?"));
/// # Ok::<(), failover_core::config::UriError>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct FailoverUri {
    servers: Vec<Url>,
    options: Vec<(String, String)>,
}

/// Why a text is no failover URI.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("the failover URI: {problem}")]
pub struct UriError {
    /// What is wrong, and what would be right.
    pub problem: UriProblem,
}

/// What is wrong with a failover URI, and what would be right.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum UriProblem {
    /// A parenthesis without its partner.
    #[error("the parenthesis at byte {at} has no partner: write `failover:(url,url)?option=value`")]
    Parenthesis {
        /// Where.
        at: usize,
    },
    /// Something else behind the list.
    #[error("behind the list comes `?option=value` or nothing, not what stands at byte {at}")]
    AfterList {
        /// Where.
        at: usize,
    },
    /// No server.
    #[error("it names no server: write `failover:(tcp://host:port)`")]
    NoServer,
    /// Composites within composites, too deep.
    #[error("composites stand more than {MOST_DEEP} deep within one another")]
    TooDeep,
    /// Options of a composite within the list.
    #[error("a composite within the list may have no options of its own: write them at the end")]
    InnerOptions,
    /// An option without a value.
    #[error("the option `{option}` has no value: write `option=value`")]
    NoValue {
        /// The option.
        option: String,
    },
    /// A percent sign that begins no escape.
    #[error("the option `{option}` holds a bad escape: a `%` is followed by two hex digits")]
    Escape {
        /// The option.
        option: String,
    },
    /// An option twice.
    #[error("the option `{option}` stands there twice")]
    Twice {
        /// The option.
        option: String,
    },
    /// An unknown option.
    #[error("there is no option `{option}`{hint}")]
    Unknown {
        /// The option.
        option: String,
        /// What may be meant.
        hint: String,
    },
    /// A value of the wrong kind.
    #[error("the option `{option}` is `{value}`, it must be {right}")]
    Value {
        /// The option.
        option: String,
        /// Its value.
        value: String,
        /// What would be right.
        right: &'static str,
    },
    /// A server's URL.
    #[error(transparent)]
    Url(#[from] UrlError),
}

impl<P: Into<UriProblem>> From<P> for UriError {
    fn from(problem: P) -> Self {
        Self {
            problem: problem.into(),
        }
    }
}

const MOST_DEEP: usize = 8;
const SCHEME: &str = "failover:";

impl FromStr for FailoverUri {
    type Err = UriError;

    fn from_str(text: &str) -> Result<Self, UriError> {
        let mut servers = Vec::new();
        let options = read(text.trim(), 0, &mut servers)?;
        let (nested, options): (Vec<_>, Vec<_>) = options
            .into_iter()
            .partition(|(name, _)| name.starts_with("nested."));
        if servers.is_empty() {
            return Err(UriProblem::NoServer.into());
        }
        for server in &mut servers {
            for (name, value) in &nested {
                add(server, name.trim_start_matches("nested."), value);
            }
        }
        let hidden = text.contains('@');
        let servers = servers.iter().map(|server| {
            let read = server.parse::<Url>();
            // A comma within a password has cut it into two servers.
            let read = read.map_err(|error| match hidden && !server.contains('@') {
                true => error.without_text(),
                false => error,
            });
            read.map_err(UriError::from)
        });
        Ok(Self {
            servers: servers.collect::<Result<_, _>>()?,
            options,
        })
    }
}

impl FailoverUri {
    /// The servers, with their own queries.
    #[must_use]
    pub fn servers(&self) -> &[Url] {
        &self.servers
    }

    /// The options by name, decoded.
    #[must_use]
    pub fn options(&self) -> &[(String, String)] {
        &self.options
    }

    /// The whole URI, credentials included; it parses back to an equal one.
    #[must_use]
    pub fn expose(&self) -> String {
        self.spell(Url::expose, |text, _| encode(text))
    }

    /// The text, with the servers and the names and values of the options spelt so; with each of
    /// these comes the name of its option.
    fn spell(&self, url: impl Fn(&Url) -> String, word: impl Fn(&str, &str) -> String) -> String {
        let servers: Vec<String> = self.servers.iter().map(url).collect();
        let mut text = format!("{SCHEME}({})", servers.join(","));
        for (at, (name, value)) in self.options.iter().enumerate() {
            text.push(if at == 0 { '?' } else { '&' });
            text += &format!("{}={}", word(name, name), word(value, name));
        }
        text
    }

    /// The options as stompit's.
    ///
    /// # Errors
    /// An option that stompit does not have, or a value of the wrong kind.
    pub fn stompit(&self) -> Result<Stompit, UriError> {
        let mut to = Stompit::default();
        for (name, value) in &self.options {
            let option = Named { name, value };
            match name.as_str() {
                "initialReconnectDelay" => to.initial_reconnect_delay = option.millis()?,
                "maxReconnectDelay" => to.max_reconnect_delay = option.millis()?,
                "useExponentialBackOff" => to.use_exponential_back_off = option.truth()?,
                "reconnectDelayExponent" => to.reconnect_delay_exponent = option.ratio()?,
                "maxReconnects" => to.max_reconnects = option.count()?,
                "randomize" => to.randomize = option.truth()?,
                _ => return Err(unknown(name, &STOMPIT)),
            }
        }
        Ok(to)
    }

    /// The options as ActiveMQ's. Those that no policy has an equal for are checked and left out.
    ///
    /// # Errors
    /// An option that ActiveMQ does not have, or a value of the wrong kind.
    pub fn activemq(&self) -> Result<ActiveMq, UriError> {
        let mut to = ActiveMq::default();
        let (mut backup, mut pool) = (false, 1);
        let (mut track, mut cache) = (false, 131_072);
        for (name, value) in &self.options {
            let option = Named { name, value };
            match name.as_str() {
                "initialReconnectDelay" => to.initial_reconnect_delay = option.millis()?,
                "maxReconnectDelay" => to.max_reconnect_delay = option.millis()?,
                "useExponentialBackOff" => to.use_exponential_back_off = option.truth()?,
                "backOffMultiplier" | "reconnectDelayExponent" => {
                    to.back_off_multiplier = option.ratio()?;
                }
                "maxReconnectAttempts" => to.max_reconnect_attempts = option.count()?,
                "startupMaxReconnectAttempts" => {
                    to.startup_max_reconnect_attempts = option.count()?;
                }
                "randomize" => to.randomize = option.truth()?,
                "backup" => backup = option.truth()?,
                "backupPoolSize" => pool = option.small()?,
                "priorityBackup" => to.priority_backup = option.truth()?,
                "timeout" => to.timeout = option.millis_or_never()?,
                "trackMessages" => track = option.truth()?,
                "maxCacheSize" => cache = option.whole()?,
                "warnAfterReconnectAttempts" => drop(option.count()?),
                "updateURIsSupported" | "rebalanceUpdateURIs" | "reconnectSupported" => {
                    option.truth()?;
                }
                "priorityURIs" | "updateURIsURL" => {}
                _ => return Err(unknown(name, &ACTIVEMQ)),
            }
        }
        to.backup_pool_size = if backup { pool } else { 0 };
        to.max_cache_size = if track { cache } else { 0 };
        Ok(to)
    }
}

impl fmt::Display for FailoverUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.spell(Url::to_string, hidden))
    }
}

impl fmt::Debug for FailoverUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Of an option, what cannot be a credential: names, and the values of those that are known.
fn hidden(text: &str, option: &str) -> String {
    let known = STOMPIT.contains(&option) || ACTIVEMQ.contains(&option);
    match text == option || known {
        true if !text.contains('@') => encode(text),
        _ => "***".to_string(),
    }
}

const STOMPIT: [&str; 6] = [
    "initialReconnectDelay",
    "maxReconnectDelay",
    "useExponentialBackOff",
    "reconnectDelayExponent",
    "maxReconnects",
    "randomize",
];

const ACTIVEMQ: [&str; 20] = [
    "initialReconnectDelay",
    "maxReconnectDelay",
    "useExponentialBackOff",
    "backOffMultiplier",
    "reconnectDelayExponent",
    "maxReconnectAttempts",
    "startupMaxReconnectAttempts",
    "randomize",
    "backup",
    "backupPoolSize",
    "priorityBackup",
    "priorityURIs",
    "timeout",
    "trackMessages",
    "maxCacheSize",
    "warnAfterReconnectAttempts",
    "updateURIsSupported",
    "updateURIsURL",
    "rebalanceUpdateURIs",
    "reconnectSupported",
];

fn unknown(option: &str, known: &[&'static str]) -> UriError {
    let hint = match nearest(option, known.iter().copied()) {
        Some(nearest) => format!(": did you mean `{nearest}`?"),
        None => format!(": known are {}", known.join(", ")),
    };
    let option = shown(option);
    UriProblem::Unknown { option, hint }.into()
}

/// One option, to be read as what it should be.
struct Named<'a> {
    name: &'a str,
    value: &'a str,
}

impl Named<'_> {
    fn wrong(&self, right: &'static str) -> UriError {
        UriProblem::Value {
            option: shown(self.name),
            // A word in place of a number may be anything, a password too.
            value: match self.value.starts_with(char::is_alphabetic) {
                true => "***".to_string(),
                false => shown(self.value),
            },
            right,
        }
        .into()
    }

    fn whole<N: FromStr>(&self) -> Result<N, UriError> {
        let number = self.value.parse();
        number.map_err(|_| self.wrong("a whole number, 0 or more"))
    }

    fn small(&self) -> Result<u8, UriError> {
        let number = self.value.parse();
        number.map_err(|_| self.wrong("a whole number from 0 to 255"))
    }

    fn millis(&self) -> Result<Duration, UriError> {
        let millis = self.value.parse().map(Duration::from_millis);
        millis.map_err(|_| self.wrong("a whole number of milliseconds, 0 or more"))
    }

    fn millis_or_never(&self) -> Result<Option<Duration>, UriError> {
        match self.value.parse::<i64>() {
            Ok(..0) => Ok(None),
            Ok(millis) => Ok(Some(Duration::from_millis(millis.unsigned_abs()))),
            Err(_) => Err(self.wrong("a whole number of milliseconds, or -1 for none")),
        }
    }

    fn count(&self) -> Result<i64, UriError> {
        let number = self.value.parse();
        number.map_err(|_| self.wrong("a whole number, -1 for no limit"))
    }

    fn ratio(&self) -> Result<Ratio, UriError> {
        let ratio = self.value.parse();
        ratio.map_err(|_: RatioError| self.wrong("a decimal number such as 2 or 1.5"))
    }

    fn truth(&self) -> Result<bool, UriError> {
        match self.value {
            "true" => Ok(true),
            "false" => Ok(false),
            _ => Err(self.wrong("true or false")),
        }
    }
}

/// Reads a composite or a plain list; gives the servers to `servers`, and returns the options.
fn read(
    text: &str,
    deep: usize,
    servers: &mut Vec<String>,
) -> Result<Vec<(String, String)>, UriError> {
    if deep > MOST_DEEP {
        return Err(UriProblem::TooDeep.into());
    }
    let has_scheme = text
        .get(..SCHEME.len())
        .is_some_and(|scheme| scheme.eq_ignore_ascii_case(SCHEME));
    if !has_scheme {
        items(text, deep, servers)?;
        return Ok(Vec::new());
    }
    let rest = &text[SCHEME.len()..];
    let rest = rest.strip_prefix("//").unwrap_or(rest);
    let Some(list) = rest.strip_prefix('(') else {
        items(rest, deep, servers)?;
        return Ok(Vec::new());
    };
    let start = text.len() - list.len();
    let end = partner(list).ok_or(UriProblem::Parenthesis { at: start - 1 })?;
    items(&list[..end], deep, servers)?;
    match list[end + 1..].strip_prefix('?') {
        Some(query) => options(query),
        None if end + 1 == list.len() => Ok(Vec::new()),
        None => Err(UriProblem::AfterList {
            at: start + end + 1,
        }
        .into()),
    }
}

/// Where the parenthesis closes that was open before this text.
fn partner(text: &str) -> Option<usize> {
    let mut open = 1_usize;
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'(' => open += 1,
            b')' => open -= 1,
            _ => {}
        }
        if open == 0 {
            return Some(at);
        }
    }
    None
}

/// The items of a list: what stands between commas outside of parentheses.
fn items(list: &str, deep: usize, servers: &mut Vec<String>) -> Result<(), UriError> {
    let (mut open, mut from) = (0_usize, 0);
    for (at, byte) in list.bytes().chain([b',']).enumerate() {
        match byte {
            b'(' => open += 1,
            b')' => {
                open = open.checked_sub(1).ok_or(UriProblem::Parenthesis { at })?;
            }
            b',' if open == 0 => {
                item(list[from..at].trim(), deep, servers)?;
                from = at + 1;
            }
            _ => {}
        }
    }
    match open {
        0 => Ok(()),
        _ => Err(UriProblem::Parenthesis { at: from }.into()),
    }
}

fn item(text: &str, deep: usize, servers: &mut Vec<String>) -> Result<(), UriError> {
    if text.is_empty() {
        return Err(UriProblem::NoServer.into());
    }
    let is_composite = text
        .get(..SCHEME.len())
        .is_some_and(|scheme| scheme.eq_ignore_ascii_case(SCHEME));
    if !is_composite {
        servers.push(text.to_string());
        return Ok(());
    }
    match read(text, deep + 1, servers)?.is_empty() {
        true => Ok(()),
        false => Err(UriProblem::InnerOptions.into()),
    }
}

fn options(query: &str) -> Result<Vec<(String, String)>, UriError> {
    let mut options: Vec<(String, String)> = Vec::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let Some((name, value)) = pair.split_once('=') else {
            let option = shown(pair);
            return Err(UriProblem::NoValue { option }.into());
        };
        let bad = || UriProblem::Escape {
            option: shown(name),
        };
        let name = decode(name).ok_or_else(bad)?;
        let value = decode(value).ok_or_else(bad)?;
        if options.iter().any(|(known, _)| *known == name) {
            let option = shown(&name);
            return Err(UriProblem::Twice { option }.into());
        }
        options.push((name, value));
    }
    Ok(options)
}

/// Adds an option to a server's query, unless it has it.
fn add(server: &mut String, name: &str, value: &str) {
    let query = server.split_once('?').map_or("", |(_, query)| query);
    let mut names = query.split('&').map(|pair| pair.split('=').next());
    if names.any(|known| known == Some(name)) {
        return;
    }
    server.push(if server.contains('?') { '&' } else { '?' });
    *server += &format!("{}={}", encode(name), encode(value));
}

fn decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => {
                let digit = |byte: u8| char::from(byte).to_digit(16);
                let value = digit(rest.next()?)? * 16 + digit(rest.next()?)?;
                u8::try_from(value).ok()?
            }
            other => other,
        });
    }
    String::from_utf8(bytes).ok()
}

fn encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' | b':' => {
                encoded.push(char::from(byte));
            }
            other => encoded += &format!("%{other:02X}"),
        }
    }
    encoded
}
