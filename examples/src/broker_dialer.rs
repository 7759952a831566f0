//! The transports of message brokers: in clear text, over TLS, over WebSocket.

use failover_core::dial::{Dial, Registry};
use transport_tcp::{ByteStream, Tcp};
use transport_tls::{Tls, TlsClient};
use transport_ws::{Ws, WsConfig};

/// How a protocol names its transports; `ws` and `wss` are the same for all.
pub(crate) struct Names {
    /// In clear text, and the port where a URL names none.
    pub(crate) plain: ([&'static str; 2], u16),
    /// Over TLS, likewise.
    pub(crate) tls: ([&'static str; 2], u16),
    /// What WebSocket carries.
    pub(crate) subprotocol: &'static str,
}

pub(crate) fn dialer(names: &Names, tls: &TlsClient) -> Registry<ByteStream> {
    let plain = Tcp::new().default_port(names.plain.1);
    let over_tls = Tls::new(Tcp::new().default_port(names.tls.1), tls.clone());
    let config = || WsConfig::default().subprotocols([names.subprotocol]);
    let ws = Ws::new(Tcp::new()).config(config());
    let wss = Ws::new(Tls::new(Tcp::new(), tls.clone())).config(config());
    let mut registry = Registry::default()
        .with("ws", ws.map(ByteStream::new))
        .with("wss", wss.map(ByteStream::new));
    for scheme in names.plain.0 {
        registry = registry.with(scheme, plain.clone().map(ByteStream::new));
    }
    for scheme in names.tls.0 {
        registry = registry.with(scheme, over_tls.clone().map(ByteStream::new));
    }
    registry
}
