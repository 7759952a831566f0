//! All transports of the workspace behind one connection type.

use std::sync::Arc;

use failover_core::dial::{Dial, Registry};
use rustls::ClientConfig;
use transport_tcp::{ByteStream, Tcp};
use transport_tls::Tls;
use transport_ws::Ws;

/// A dialer for `tcp`, `tls`, `ws` and `wss`, so that one list mixes them.
///
/// ```
/// use transport_tls::TlsConfig;
///
/// # if let Ok(config) = TlsConfig::new().build() {
/// let registry = examples::registry(config);
/// assert_eq!(registry.schemes().collect::<Vec<_>>(), ["tcp", "tls", "ws", "wss"]);
/// # }
/// ```
#[must_use]
pub fn registry(tls: Arc<ClientConfig>) -> Registry<ByteStream> {
    let tls = Tls::new(Tcp::new(), tls);
    Registry::default()
        .with("tcp", Tcp::new().map(ByteStream::new))
        .with("tls", tls.clone().map(ByteStream::new))
        .with("ws", Ws::new(Tcp::new()).map(ByteStream::new))
        .with("wss", Ws::new(tls).map(ByteStream::new))
}
