//! Which transports there are.

use failover_core::dial::Registry;
use transport_tcp::ByteStream;
use transport_tls::TlsClient;

use crate::broker_dialer::{self, Names};

/// A dialer for MQTT:
///
/// | scheme | what |
/// |---|---|
/// | `mqtt`, `tcp` | in clear text |
/// | `mqtts`, `tls` | over TLS |
/// | `ws`, `wss` | over WebSocket, subprotocol `mqtt` |
#[must_use]
pub fn dialer(tls: &TlsClient) -> Registry<ByteStream> {
    let names = Names {
        plain: (["mqtt", "tcp"], 1883),
        tls: (["mqtts", "tls"], 8883),
        subprotocol: "mqtt",
    };
    broker_dialer::dialer(&names, tls)
}
