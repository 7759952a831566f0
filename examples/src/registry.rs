//! All transports of the workspace behind one connection type.

use std::sync::Arc;

use failover_core::dial::Registry;
use rustls::ClientConfig;
use transport_tcp::{ByteStream, Tcp};
use transport_tls::Tls;
use transport_ws::{WsConfig, deploy};

/// A dialer for all schemes with the transports' defaults, so that one list mixes them.
///
/// ```
/// use transport_tls::TlsConfig;
///
/// # if let Ok(config) = TlsConfig::new().build() {
/// let registry = examples::registry(config);
/// assert!(["tcp", "tls", "ws", "wss"].iter().all(|one| registry.schemes().any(|it| it == *one)));
/// # }
/// ```
#[must_use]
pub fn registry(tls: Arc<ClientConfig>) -> Registry<ByteStream> {
    let tls = Tls::new(Tcp::new(), tls);
    deploy::registry_over(Tcp::new(), tls, WsConfig::default())
}
