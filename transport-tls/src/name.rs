//! The name that a server's certificate must carry.

use std::str::FromStr;

use rustls::pki_types;
use thiserror::Error;

/// The name that the server's certificate must be valid for, where it is not the URL's host: an
/// option of an endpoint.
///
/// It is sent as SNI, too, unless it is an address.
///
/// ```
/// use failover_core::directory::Endpoint;
/// use transport_tls::ServerName;
///
/// let server = Endpoint::parse("tls://192.0.2.7:7443")?
///     .with("broker.example".parse::<ServerName>()?);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ServerName(pki_types::ServerName<'static>);

impl ServerName {
    /// The name of a URL's host. An IPv6 zone (`%eth0`) is local and no part of it.
    pub(crate) fn of_host(host: &str) -> Result<Self, ServerNameError> {
        host.split('%').next().unwrap_or(host).parse()
    }

    pub(crate) fn to_rustls(&self) -> pki_types::ServerName<'static> {
        self.0.clone()
    }
}

impl FromStr for ServerName {
    type Err = ServerNameError;

    fn from_str(name: &str) -> Result<Self, ServerNameError> {
        pki_types::ServerName::try_from(name.to_string())
            .map(Self)
            .map_err(|_| ServerNameError {
                name: name.to_string(),
            })
    }
}

/// A text that cannot be the name in a certificate.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("`{name}` is neither a DNS name in ASCII (`xn--…` for others) nor an IP address")]
pub struct ServerNameError {
    name: String,
}
