//! The name that a server's certificate must carry.

use std::net::IpAddr;
use std::str::FromStr;

use rustls::pki_types;
use thiserror::Error;

use crate::config::{TlsConfigError, check_protocols};

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

    #[inline]
    pub(crate) fn of_address(address: IpAddr) -> Self {
        Self(address.into())
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

/// The protocols that are offered by ALPN, most wanted first: an option of an endpoint, which beats
/// the configuration's. None at all: nothing is offered.
///
/// ```
/// use failover_core::directory::Endpoint;
/// use transport_tls::Alpn;
///
/// let broker = Endpoint::parse("tls://broker.example:8883")?.with(Alpn::new(["mqtt"])?);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alpn(pub(crate) Vec<Vec<u8>>);

impl Alpn {
    /// These protocols.
    ///
    /// # Errors
    /// When a name is empty or longer than 255 bytes.
    pub fn new<P: Into<Vec<u8>>>(
        protocols: impl IntoIterator<Item = P>,
    ) -> Result<Self, TlsConfigError> {
        let protocols: Vec<Vec<u8>> = protocols.into_iter().map(Into::into).collect();
        check_protocols(&protocols)?;
        Ok(Self(protocols))
    }
}

/// A text that cannot be the name in a certificate.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("`{name}` is neither a DNS name in ASCII (`xn--…` for others) nor an IP address")]
pub struct ServerNameError {
    name: String,
}
