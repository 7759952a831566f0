//! How TLS begins: NATS says `INFO` in clear text first.

use failover_core::dial::{BoxDial, Dial, Registry};
use failover_core::directory::Target;
use failover_core::messaging::Prefixed;
use tokio::io::{AsyncRead, AsyncWrite};
use transport_tcp::{ByteStream, Tcp};
use transport_tls::{Offer, Prelude, PreludeError, Tls, TlsClient, Upgrade, Upgraded, read_line};
use transport_ws::Ws;

use crate::nats::parse::{self, LONGEST_LINE};

/// The port where a URL names none.
const PORT: u16 = 4222;

/// Hears the `INFO`, which the login hears again.
#[derive(Clone, Copy, Debug)]
struct Greeting(Wanted);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wanted {
    /// TLS, whatever the server says.
    Tls,
    /// As the server says.
    AsSaid,
}

impl Prelude for Greeting {
    type Learned = String;
    type Error = PreludeError;

    fn awaited(&self) -> &'static str {
        "the server's INFO"
    }

    async fn speak<S: AsyncRead + AsyncWrite + Unpin + Send>(
        &self,
        stream: &mut S,
        _to: &Target,
    ) -> Result<Offer<String>, PreludeError> {
        let line = read_line(stream, LONGEST_LINE).await?;
        let info = line.strip_prefix("INFO ").map(parse::info);
        let demanded = matches!(&info, Some(Ok(info)) if info.tls_required);
        Ok(match (self.0, demanded) {
            (Wanted::Tls, _) | (Wanted::AsSaid, true) => Offer::Tls(line),
            (Wanted::AsSaid, false) => Offer::Plain(line),
        })
    }
}

/// A dialer for NATS:
///
/// | scheme | what |
/// |---|---|
/// | `nats`, `tcp` | TLS if the server demands it |
/// | `tls` | TLS after the `INFO`, always |
/// | `tls-first` | TLS at once |
/// | `ws`, `wss` | WebSocket |
#[must_use]
pub fn dialer(tls: &TlsClient) -> Registry<Prefixed<ByteStream>> {
    let tcp = || Tcp::new().default_port(PORT);
    let upgrade = |wanted| Upgrade::new(tcp(), Greeting(wanted), tls.clone());
    let as_said = upgrade(Wanted::AsSaid).or_plain();
    let over_tls = |tcp: Tcp| Tls::new(tcp, tls.clone()).map(ByteStream::new).boxed();
    // One type of dialer for both, so that the program has its code once.
    let ws = |over: BoxDial<ByteStream>| Ws::new(over).map(ByteStream::new).map(at_once);
    Registry::default()
        .with("nats", as_said.clone().map(heard))
        .with("tcp", as_said.map(heard))
        .with("tls", upgrade(Wanted::Tls).map(heard))
        .with("tls-first", over_tls(tcp()).map(at_once))
        .with("ws", ws(Tcp::new().map(ByteStream::new).boxed()))
        .with("wss", ws(over_tls(Tcp::new())))
}

/// Nothing was heard.
fn at_once(stream: ByteStream) -> Prefixed<ByteStream> {
    Prefixed::new(Vec::new(), stream)
}

/// The login hears the greeting again.
fn heard<S: AsyncRead + AsyncWrite + Send + Unpin + 'static>(
    upgraded: Upgraded<S, String>,
) -> Prefixed<ByteStream> {
    let (stream, line) = upgraded.into_parts();
    Prefixed::new(line + "\r\n", ByteStream::new(stream))
}
