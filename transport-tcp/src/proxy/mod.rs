//! Proxies: which one, if any, and how it is asked.

mod http;
mod rules;
mod socks;

use std::fmt;
use std::str::FromStr;

use failover_core::directory::{Url, UrlError};
use failover_core::failure::{Classify, Failure, Kind, Phase, Scope};
use thiserror::Error;
use tokio::net::TcpStream;

pub use self::rules::Proxies;

/// A proxy: `socks5://[user:password@]host[:1080]` or `http://[user:password@]host[:80]` (HTTP
/// CONNECT).
///
/// The target's name goes to the proxy unresolved, for `socks5` as for `socks5h`: the proxy sees
/// the names that its network knows. Reserved characters in user and password are percent-encoded.
/// `Debug` and `Display` hide them.
///
/// ```
/// use transport_tcp::Proxy;
///
/// let proxy: Proxy = "socks5://joe:hunter2@gate.example".parse()?;
/// assert_eq!(proxy.to_string(), "socks5://***@gate.example");
/// assert!("https://gate.example".parse::<Proxy>().is_err());
/// # Ok::<(), transport_tcp::ProxyUrlError>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Proxy {
    url: Url,
    kind: ProxyKind,
    login: Option<Login>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ProxyKind {
    Socks5,
    HttpConnect,
}

/// User and password, decoded. Never shown.
#[derive(Clone, PartialEq, Eq)]
struct Login {
    user: String,
    password: String,
}

impl Proxy {
    pub(crate) fn host(&self) -> &str {
        self.url.host()
    }

    pub(crate) fn port(&self) -> u16 {
        self.url.port().unwrap_or(match self.kind {
            ProxyKind::Socks5 => 1080,
            ProxyKind::HttpConnect => 80,
        })
    }

    /// Asks it, over this connection to it, for a connection to the target.
    pub(crate) async fn ask(
        &self,
        stream: TcpStream,
        host: &str,
        port: u16,
    ) -> Result<TcpStream, ProxyError> {
        // An IPv6 zone is local to this machine.
        let host = host.split('%').next().unwrap_or(host);
        match self.kind {
            ProxyKind::Socks5 => socks::ask(stream, self.login.as_ref(), host, port).await,
            ProxyKind::HttpConnect => http::ask(stream, self.login.as_ref(), host, port).await,
        }
    }
}

impl FromStr for Proxy {
    type Err = ProxyUrlError;

    fn from_str(text: &str) -> Result<Self, ProxyUrlError> {
        let url: Url = text.parse()?;
        let kind = match url.scheme() {
            "socks5" | "socks5h" => ProxyKind::Socks5,
            "http" => ProxyKind::HttpConnect,
            other => {
                let scheme = other.to_string();
                return Err(ProxyUrlError::Scheme { scheme });
            }
        };
        if url.host().is_empty() {
            return Err(ProxyUrlError::NoHost);
        }
        let login = match url.userinfo() {
            Some(userinfo) => Some(Login::parse(userinfo.expose())?),
            None => None,
        };
        Ok(Self { url, kind, login })
    }
}

impl fmt::Display for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.url, f)
    }
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.url, f)
    }
}

impl Login {
    fn parse(userinfo: &str) -> Result<Self, ProxyUrlError> {
        let (user, password) = userinfo.split_once(':').unwrap_or((userinfo, ""));
        Ok(Self {
            user: decode(user).ok_or(ProxyUrlError::Login)?,
            password: decode(password).ok_or(ProxyUrlError::Login)?,
        })
    }
}

/// Percent-encoding undone; nothing if it is broken.
pub(crate) fn decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let digits = [rest.next()?, rest.next()?];
        let digits = std::str::from_utf8(&digits).ok()?;
        if !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return None;
        }
        bytes.push(u8::from_str_radix(digits, 16).ok()?);
    }
    String::from_utf8(bytes).ok()
}

/// Why a text is not a proxy's URL.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ProxyUrlError {
    /// It is no URL at all.
    #[error(transparent)]
    Url(#[from] UrlError),
    /// A kind of proxy that is not known.
    #[error("a proxy is `socks5://host:port` or `http://host:port`, not `{scheme}:`")]
    Scheme {
        /// What stood there.
        scheme: String,
    },
    /// The host is missing.
    #[error("a proxy has a host: write `socks5://host:port` or `http://host:port`")]
    NoHost,
    /// User or password cannot be decoded. They are not shown.
    #[error("the proxy's user or password is not percent-encoded UTF-8")]
    Login,
}

/// Why a proxy gave no connection to the target.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ProxyError {
    /// The connection to the proxy ended while it was asked.
    #[error("the connection to the proxy ended")]
    Io(#[from] std::io::Error),
    /// The SOCKS5 proxy refused, or speaks something else.
    #[error("SOCKS5")]
    Socks(#[source] tokio_socks::Error),
    /// The HTTP proxy refused.
    #[error("HTTP status {status} {reason}")]
    Status {
        /// The status.
        status: u16,
        /// Its reason, at most 80 printable characters.
        reason: String,
        /// Its `Retry-After`, when that is a number of seconds.
        retry_after: Option<std::time::Duration>,
    },
    /// The answer is no HTTP.
    #[error("the answer is not HTTP")]
    NotHttp(#[source] httparse::Error),
    /// The answer is longer than 16 KiB.
    #[error("the answer's head is longer than {} bytes", http::LONGEST_HEAD)]
    TooLong,
}

impl Classify for ProxyError {
    fn failure(&self) -> Failure {
        match self {
            Self::Io(error) => Failure::from_io(error),
            Self::Socks(error) => socks::failure(error),
            Self::Status {
                status,
                retry_after,
                ..
            } => http::failure(*status, *retry_after),
            Self::NotHttp(_) | Self::TooLong => Failure::new(Kind::Protocol).scope(Scope::Endpoint),
        }
        .at(Phase::Proxy)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proxys_mistakes_are_named_and_show_no_password() {
        for (text, told) in [
            ("gate.example:1080", "after the scheme"),
            ("https://joe:hunter2@gate.example", "not `https:`"),
            ("socks5:/run/gate", "has a host"),
            ("socks5://joe:hunter2%zz@gate.example", "percent-encoded"),
            ("socks5://joe:hunter2%+1@gate.example", "percent-encoded"),
            ("http://joe:hunter2@gate.example:0", "the port"),
        ] {
            let error = text.parse::<Proxy>().unwrap_err();
            let shown = format!("{error} {error:?}");
            assert!(shown.contains(told), "{text}: {shown}");
            assert!(!shown.contains("hunter2"), "{text}: {shown}");
        }
        let proxy: Proxy = "http://joe:hun%3Ater2@gate.example".parse().unwrap();
        assert!(!format!("{proxy} {proxy:?}").contains("ter2"));
        assert_eq!(proxy.login.unwrap().password, "hun:ter2");
    }
}
