//! Which transports there are.

use std::sync::Arc;

use failover_core::dial::{Dial, Registry};
use transport_tcp::{ByteStream, Tcp};
use transport_tls::Tls;
use transport_tls::rustls::ClientConfig;
use transport_ws::{Ws, WsConfig};

/// The ports where a URL names none: in clear text, and over TLS.
const PORTS: (u16, u16) = (1883, 8883);

/// A dialer for MQTT:
///
/// | scheme | what |
/// |---|---|
/// | `mqtt`, `tcp` | in clear text |
/// | `mqtts`, `tls` | over TLS |
/// | `ws`, `wss` | over WebSocket, subprotocol `mqtt` |
#[must_use]
pub fn dialer(tls: &Arc<ClientConfig>) -> Registry<ByteStream> {
    let tcp = Tcp::new().default_port(PORTS.0);
    let over_tls = Tls::new(Tcp::new().default_port(PORTS.1), Arc::clone(tls));
    let wss = Tls::new(Tcp::new(), Arc::clone(tls));
    let config = || WsConfig::default().subprotocols(["mqtt"]);
    Registry::default()
        .with("mqtt", tcp.clone().map(ByteStream::new))
        .with("tcp", tcp.map(ByteStream::new))
        .with("mqtts", over_tls.clone().map(ByteStream::new))
        .with("tls", over_tls.map(ByteStream::new))
        .with(
            "ws",
            Ws::new(Tcp::new()).config(config()).map(ByteStream::new),
        )
        .with("wss", Ws::new(wss).config(config()).map(ByteStream::new))
}
