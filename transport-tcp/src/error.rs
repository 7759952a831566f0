//! Why a TCP dial failed.

use std::fmt::Write as _;
use std::io;
use std::net::{IpAddr, SocketAddr};

use failover_core::failure::{Classify, Failure, Kind, Phase, Scope};
use thiserror::Error;

use crate::proxy::ProxyError;

/// Why a TCP dial failed. Names hosts and addresses, never credentials.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum TcpError {
    /// The URL has no host (`unix:/path`): TCP cannot dial it.
    #[error("`{url}` has no host: write `tcp://host:port`")]
    NoHost {
        /// The URL, without credentials.
        url: String,
    },
    /// Neither the URL nor the dialer says which port.
    #[error("`{url}` names no port: write `{scheme}://{host}:PORT`")]
    NoPort {
        /// The URL, without credentials.
        url: String,
        /// Its scheme.
        scheme: String,
        /// Its host, as it is written in a URL.
        host: String,
    },
    /// The look-up of the name failed; for most resolvers a name that does not exist is this, too.
    #[error("cannot resolve `{host}`")]
    Resolve {
        /// The name.
        host: String,
        /// The resolver's error.
        source: io::Error,
    },
    /// The name exists and has no address.
    #[error("`{host}` has no address")]
    NoAddress {
        /// The name.
        host: String,
    },
    /// No address could be connected to. The text tells all failures but the last, which is the
    /// source.
    #[error("cannot connect to {}", spell(host, others, *last))]
    Connect {
        /// The name or address in the URL.
        host: String,
        /// The failures of the addresses before the last, in the order in which they were tried.
        others: Vec<AddressError>,
        /// The address tried last.
        last: SocketAddr,
        /// Its failure.
        source: io::Error,
    },
    /// The proxy itself cannot be reached.
    #[error("the proxy `{proxy}` cannot be reached")]
    ProxyAway {
        /// The proxy, without credentials.
        proxy: String,
        /// Why.
        source: Box<TcpError>,
    },
    /// The proxy gave no connection to the target.
    #[error("the proxy `{proxy}` gives no connection to `{target}`")]
    Proxy {
        /// The proxy, without credentials.
        proxy: String,
        /// The target's host and port.
        target: String,
        /// Why.
        source: ProxyError,
    },
}

/// The failure of one address.
#[derive(Debug, Error)]
#[error("{address}")]
#[non_exhaustive]
pub struct AddressError {
    /// The address.
    pub address: SocketAddr,
    /// What happened there.
    pub source: io::Error,
}

impl TcpError {
    /// The error of these failures, one an address, at least one.
    pub(crate) fn connect(host: &str, mut failed: Vec<AddressError>) -> Self {
        let host = host.to_string();
        match failed.pop() {
            None => Self::NoAddress { host },
            Some(AddressError { address, source }) => Self::Connect {
                host,
                others: failed,
                last: address,
                source,
            },
        }
    }
}

impl Classify for TcpError {
    /// A connect failure at several addresses is the kind of the first that was not merely
    /// unreachable: a host without IPv6, say, cannot reach those addresses and that tells nothing.
    /// But where descriptors or ports ran out, that is it: the endpoint is not to blame.
    fn failure(&self) -> Failure {
        match self {
            Self::NoHost { .. } | Self::NoPort { .. } => {
                Failure::new(Kind::Other).scope(Scope::Endpoint)
            }
            Self::Resolve { source, .. } => {
                let ours = Failure::from_io(source).kind == Kind::Exhausted;
                let kind = if ours { Kind::Exhausted } else { Kind::Resolve };
                Failure::new(kind).at(Phase::Resolve)
            }
            Self::NoAddress { .. } => Failure::new(Kind::Resolve).at(Phase::Resolve),
            Self::Connect { others, source, .. } => {
                let sources = others.iter().map(|other| &other.source).chain([source]);
                let said = || sources.clone().map(Failure::from_io);
                said()
                    .find(|failure| failure.kind == Kind::Exhausted)
                    .or_else(|| said().find(|failure| failure.kind != Kind::Unreachable))
                    .unwrap_or_else(|| Failure::from_io(source))
                    .at(Phase::Connect)
            }
            Self::ProxyAway { source, .. } => source.failure(),
            Self::Proxy { source, .. } => source.failure(),
        }
    }
}

/// `127.0.0.1:1`, or `` `db`: [::1]:1: Connection refused (os error 111); 127.0.0.1:1 ``.
fn spell(host: &str, others: &[AddressError], last: SocketAddr) -> String {
    let mut text = match host.parse::<IpAddr>() {
        Ok(_) => String::new(),
        Err(_) => format!("`{host}`: "),
    };
    for other in others {
        // Writing to a `String` cannot fail.
        let _ = write!(text, "{}: {}; ", other.address, other.source);
    }
    let _ = write!(text, "{last}");
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(address: &str, kind: io::ErrorKind) -> AddressError {
        AddressError {
            address: address.parse().unwrap(),
            source: kind.into(),
        }
    }

    #[test]
    fn the_text_names_every_address_that_was_tried() {
        let error = TcpError::connect(
            "db",
            vec![
                at("[::1]:1", io::ErrorKind::NetworkUnreachable),
                at("127.0.0.1:1", io::ErrorKind::ConnectionRefused),
            ],
        );
        assert_eq!(
            error.to_string(),
            "cannot connect to `db`: [::1]:1: network unreachable; 127.0.0.1:1"
        );
        let source = std::error::Error::source(&error).unwrap();
        assert_eq!(source.to_string(), "connection refused");
    }

    #[test]
    fn an_unreachable_address_does_not_hide_what_another_said() {
        let (away, refused) = (
            || at("[::1]:1", io::ErrorKind::NetworkUnreachable),
            || at("127.0.0.1:1", io::ErrorKind::ConnectionRefused),
        );
        let kind = |failed| TcpError::connect("db", failed).failure().kind;
        assert_eq!(kind(vec![away(), refused()]), Kind::Refused);
        assert_eq!(kind(vec![refused(), away()]), Kind::Refused);
        assert_eq!(kind(vec![away(), away()]), Kind::Unreachable);
        let exhausted = AddressError {
            address: "[::1]:1".parse().unwrap(),
            source: io::Error::from_raw_os_error(24),
        };
        assert_eq!(kind(vec![refused(), exhausted]), Kind::Exhausted);
    }
}
