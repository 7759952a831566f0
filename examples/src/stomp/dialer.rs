//! Which transports there are.

use failover_core::dial::Registry;
use transport_tcp::ByteStream;
use transport_tls::TlsClient;

use crate::broker_dialer::{self, Names};

/// A dialer for STOMP:
///
/// | scheme | what |
/// |---|---|
/// | `stomp`, `tcp` | in clear text |
/// | `tls`, `ssl` | over TLS |
/// | `ws`, `wss` | over WebSocket, subprotocol `v12.stomp` |
#[must_use]
pub fn dialer(tls: &TlsClient) -> Registry<ByteStream> {
    let names = Names {
        plain: (["stomp", "tcp"], 61613),
        tls: (["tls", "ssl"], 61614),
        subprotocol: "v12.stomp",
    };
    broker_dialer::dialer(&names, tls)
}
